// Files: the folders of the vault, and what is in one, now and at any time before.
import { html, useEffect, useMemo, useState } from './preact.js';
import { Button, Card, Empty, Icon, Loading, Menu, Notice, Page, Pill, Trouble, failed, toast, useLoad } from './ui.js';
import { ago, dateTime, kept, size, t } from './i18n.js';
import * as api from './api.js';
import { deletedIn, entryOf, hrefOf, iconOf, isTime, lastWith, nameOf, parentOf, saveAll, shown, sorted, whatOf } from './files_tools.js';
import { LongList, useNarrow } from './files_list.js';
import { Changes, TimeBar, useMoments } from './files_time.js';
import { Preview } from './files_preview.js';
import { ConflictDialog, DeleteDialog, NewDirectoryDialog, RestoreDialog, putBack } from './files_act.js';
import { Search } from './files_search.js';
import { Gallery, hasPictures } from './files_gallery.js';
import { useUpload } from './files_drop.js';
import { sums, watch } from './files_uploads.js';
import './files_words.js';

// The look of these views comes with them.
await new Promise((resolve) => {
  const link = document.createElement('link');
  Object.assign(link, { rel: 'stylesheet', href: '/files.css', onload: resolve, onerror: resolve });
  document.head.append(link);
});

const STATES = { protected: 'good', partly_protected: 'warn', partial: 'warn', failed: 'bad', never: 'unknown' };

/** The folders that a session may see, each name once. Who may see some of them is not told the status: their snapshots tell what is known. */
function useFolders(status, session) {
  const some = session.folders;
  const { value, error } = useLoad(async () => {
    if (!some) return null;
    const found = [];
    for (const name of some) {
      const newest = (await api.list('GET', api.url('snapshots', { folder: name })).catch(() => [])).at(-1);
      found.push({ name, own: false, kind: null, state: newest ? (newest.protected.have >= newest.protected.wanted ? 'protected' : 'partly_protected') : 'never', protected: newest?.protected, files: newest?.files ?? null, bytes: newest?.bytes, taken: newest?.taken, last_snapshot: newest?.snapshot });
    }
    return found;
  }, [some?.join()]);
  if (some) return value ?? (error ? [] : null);
  if (!status) return null;
  const seen = new Map();
  for (const folder of status.folders ?? []) if (!seen.has(folder.name) || folder.own) seen.set(folder.name, folder);
  return [...seen.values()].sort((one, other) => one.name.localeCompare(other.name));
}

export default function Files({ route, session, status, may }) {
  const [place, ...parts] = route.parts;
  const folders = useFolders(status, session);
  if (!place) return html`<${Folders} folders=${folders} status=${status} limited=${session.folders} may=${may} />`;
  const [folder, snapshot = ''] = place.split('@');
  const info = folders?.find((one) => one.name === folder);
  if (folders && !info) return html`<${Page} title=${t('files.title')}><${Card}><${Empty} icon="folder" title=${t('files.no.folder', { name: shown(folder) })} action=${html`<${Button} href="#/files">${t('files.all')}<//>`} /><//><//>`;
  if (route.query.view === 'changes') return html`<${ChangesPage} folder=${folder} info=${info} open=${route.query.at} />`;
  return html`<${Browser} key=${folder} folder=${folder} snapshot=${snapshot} path=${parts.join('/')} info=${info} query=${route.query} may=${may} />`;
}

/** All folders. */
function Folders({ folders, status, limited, may }) {
  const [search, setSearch] = useState('');
  if (!folders) return html`<${Page} title=${t('files.title')}><${Loading} /><//>`;
  const names = new Map((status?.peers ?? []).map((peer) => [peer.node, peer.name]));
  const add = may('admin') && html`<${Button} icon="plus" href="#/folders?add=1">${t('files.add.folder')}<//>`;
  return html`<${Page} title=${t('files.title')} lead=${t('files.lead')} actions=${add}>
    ${!folders.length ? html`<${Card}><${Empty} icon="folder" title=${t('files.none')} action=${add}>${t('files.none.text')}<//><//>` : html`
    <${SearchBox} value=${search} onValue=${setSearch} label=${t('files.search.all')} />
    ${search.length > 1 ? html`<${Search} text=${search} folder="" path="" limited=${limited} />` : html`<ul class="folder-cards">${folders.map((folder) => html`<li key=${folder.name}><a class="folder-card" href=${hrefOf(folder.name)}>
      <span class=${`folder-icon ${folder.kind}`}><${Icon} name="folder" size="26" /></span>
      <span class="folder-text"><strong>${folder.name}</strong><small>${kindOf(folder, names)}</small></span>
      <${Pill} state=${STATES[folder.state]}>${t(`files.state.${folder.state}`, folder.protected ?? {})}<//>
      <span class="folder-facts"><span>${folder.files === null ? '\u2013' : t('files.count', { n: folder.files })}</span><span>${size(folder.bytes)}</span><span title=${dateTime(folder.taken)}>${folder.taken ? t('files.as.of', { ago: ago(folder.taken) }) : t('files.never')}</span></span></a></li>`)}</ul>`}`}<//>`;
}

function kindOf(folder, names) {
  if (folder.removed) return t('files.kind.removed');
  if (!folder.kind) return '';
  if (folder.kind === 'shared') return t('files.kind.shared');
  return folder.own ? t('files.kind.own') : t('files.kind.backup', { name: names.get(folder.writer) ?? t('files.other.device') });
}

function ChangesPage({ folder, info, open }) {
  return html`<${Page} title=${t('files.changes.of', { name: folder })} lead=${t('files.changes.lead')}>
    <${Crumbs} folder=${folder} path="" last=${t('files.changes')} />
    <${Changes} folder=${folder} newest=${info?.last_snapshot} isShared=${info?.kind === 'shared'} open=${open} /><//>`;
}

function Crumbs({ folder, snapshot, path, last }) {
  const parts = path ? path.split('/') : [];
  const crumbs = [[t('files.title'), '#/files'], [folder, hrefOf(folder, snapshot)], ...parts.map((part, index) => [shown(part), hrefOf(folder, snapshot, parts.slice(0, index + 1).join('/'))])];
  if (last) crumbs.push([last]);
  // Of a long way only its ends are said.
  const folded = crumbs.length > 6 ? [...crumbs.slice(0, 2), ['\u2026', crumbs[crumbs.length - 4][1]], ...crumbs.slice(-3)] : crumbs;
  return html`<nav class="crumbs" aria-label=${t('files.crumbs')}><ol>${folded.map(([text, href], index) => html`<li key=${index}>${index < folded.length - 1 ? html`<a href=${href}><bdi>${text}</bdi></a><${Icon} name="right" size="14" />` : html`<span aria-current="page"><bdi>${text}</bdi></span>`}</li>`)}</ol></nav>`;
}

function SearchBox({ value, onValue, label }) {
  return html`<div class="search"><${Icon} name="search" /><input type="search" value=${value} placeholder=${label} aria-label=${label} autocomplete="off" spellcheck=${false} onInput=${(event) => onValue(event.target.value)} /></div>`;
}

/** What is in a directory, as it comes: {entries, done, error, partial}; what was there stays until the new is. */
function useEntries(folder, snapshot, path, newest) {
  const [state, setState] = useState({});
  const place = `${folder}@${snapshot}:${path}`;
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    const found = [];
    let drawn = performance.now();
    setState((before) => (before.place === place ? { ...before, error: null } : { place, path }));
    const load = async () => {
      let partial = null;
      const stream = api.lines('GET', api.url('files', { what: whatOf(folder, snapshot, path) }), undefined, { signal: stop.signal });
      for await (const line of stream) {
        if (line.path !== undefined) found.push(entryOf(line));
        else if (line.partial || line.lost) partial = line;
        if (performance.now() - drawn > 250) {
          drawn = performance.now();
          setState((before) => (before.done ? before : { place, path, entries: [...found] }));
        }
      }
      setState({ place, path, entries: found, done: true, partial });
    };
    load().catch((error) => error.name !== 'AbortError' && setState((before) => ({ ...before, error, done: true })));
    return () => stop.abort();
  }, [place, newest, turn]);
  useEffect(() => api.on('online', (there) => there && setTurn((before) => before + 1)), []);
  return { ...(state.place === place ? state : {}), again: () => setTurn((before) => before + 1) };
}

function Browser({ folder, snapshot, path, info, query, may }) {
  const narrow = useNarrow();
  const newest = snapshot ? '' : info?.last_snapshot;
  const { entries, done, error, partial, again } = useEntries(folder, snapshot, path, newest);
  const [sort, setSort] = useState({ key: 'name', down: false });
  const [chosen, setChosen] = useState(new Set());
  const [search, setSearch] = useState('');
  const [hasTime, setHasTime] = useState(Boolean(snapshot));
  const [tiles, setTiles] = useState(kept('nuthatch.tiles') !== 'off');
  const [withDeleted, setWithDeleted] = useState(false);
  const [deleted, setDeleted] = useState(null);
  const [preview, setPreview] = useState(null);
  const [dialog, setDialog] = useState(null);
  // Of who may see some folders only the node knows whether this one is shared; it refuses what does not fit.
  const isShared = info?.kind === 'shared' || info?.kind === null;
  const canChange = isShared && !snapshot && !info.removed && may('member');
  const { value: moments } = useMoments(folder, info?.last_snapshot, isShared, hasTime || Boolean(snapshot));
  useEffect(() => {
    let open = 0;
    return watch(() => {
      const now = sums().open;
      if (open > 0 && now === 0) again();
      open = now;
    });
  }, []);
  const upload = useUpload({ folder, path, entries, canChange, ask: (names) => new Promise((choose) => setDialog({ kind: 'conflict', names, choose })) });

  useEffect(() => { setChosen(new Set()); setSearch(''); setPreview(null); }, [path, snapshot]);
  useEffect(() => {
    setDeleted(null);
    if (!withDeleted || snapshot) return undefined;
    const stop = new AbortController();
    deletedIn(folder, path, stop.signal).then(setDeleted, failed);
    return () => stop.abort();
  }, [withDeleted, snapshot, folder, path, info?.last_snapshot]);

  const rows = useMemo(() => {
    if (!entries) return [];
    const here = new Set(entries.map((entry) => entry.path));
    const gone = withDeleted ? (deleted ?? []).filter((entry) => !here.has(entry.path)) : [];
    return sorted([...entries, ...gone], sort);
  }, [entries, deleted, withDeleted, sort]);
  const files = useMemo(() => rows.filter((entry) => entry.kind !== 'directory'), [rows]);

  // A place in the address may name a file: it is shown when it is there.
  useEffect(() => {
    const wanted = query.open && done && entries?.find((entry) => entry.name === query.open && entry.kind !== 'directory');
    if (wanted) setPreview(wanted);
  }, [query.open, done, path]);

  const goTime = (to) => {
    const next = hrefOf(folder, to, path);
    if (next !== location.hash) location.hash = next;
  };
  const restore = (list) => setDialog({ kind: 'restore', entries: list });
  const remove = (list) => setDialog({ kind: 'delete', entries: list });
  const deletedNow = (list) => {
    setChosen(new Set());
    setPreview(null);
    setDialog({ kind: 'undo', entries: list });
  };
  const openDeletedDirectory = async (entry) => {
    try {
      const at = await lastWith(folder, entry.path);
      location.hash = hrefOf(folder, at, entry.path);
    } catch (failure) {
      failed(failure);
    }
  };
  const openEntry = (entry) => {
    if (entry.kind !== 'directory') setPreview(entry);
    else if (entry.deleted) openDeletedDirectory(entry);
    else if (!entry.odd) location.hash = hrefOf(folder, snapshot, entry.path);
  };
  const toggle = (entry) => setChosen((before) => {
    const after = new Set(before);
    if (!after.delete(entry.path)) after.add(entry.path);
    return after;
  });
  const keys = (event, entry) => {
    if (event.target.closest('input, textarea')) return;
    if (event.key === 'Delete' && canChange && !entry.deleted && !entry.odd) remove(chosen.size ? rows.filter((one) => chosen.has(one.path)) : [entry]);
    else if (event.key === 'Backspace') location.hash = path ? hrefOf(folder, snapshot, parentOf(path)) : '#/files';
    else if (event.key === 'x' || (event.key === ' ' && event.target.tagName === 'A')) toggle(entry);
    else return;
    event.preventDefault();
  };
  const around = (step, go) => {
    const next = files[files.findIndex((entry) => entry.path === preview.path) + step];
    if (next && go) setPreview(next);
    return next;
  };
  const picked = rows.filter((entry) => chosen.has(entry.path));
  const canRestore = Boolean(snapshot) || !isShared;
  const context = { folder, snapshot, narrow, chosen, toggle, openEntry, canChange, restore, remove, may };
  const title = path ? shown(nameOf(path)) : folder;
  const totals = entries && done ? sumOf(entries) : null;

  const canTile = hasPictures(rows);
  const isGallery = canTile && tiles;
  const flip = () => {
    kept('nuthatch.tiles', tiles ? 'off' : 'on');
    setTiles(!tiles);
  };

  const inFolder = html`${error && !entries && html`<${Card}><${Trouble} error=${error} again=${again} /><//>`}
    ${!entries && !error && html`<${Loading} />`}
    ${partial && html`<${Notice} state="warn">${partial.lost ? t('files.lost', { reason: partial.reason }) : t('files.partial.text')}<//>`}
    ${entries && !rows.length && done && html`<${Card}><${Empty} icon="folder" title=${t('files.empty')} action=${canChange && html`<${Button} kind="primary" icon="upload" onClick=${upload.chooseFiles}>${t('files.upload')}<//>`}>${canChange ? t('files.empty.drop') : ''}<//><//>`}
    ${isGallery && html`<${Gallery} rows=${rows} label=${title} onKey=${keys} ...${context} />`}
    ${rows.length > 0 && !isGallery && html`<section class="card flush files-card"><${LongList} rows=${rows} height=${narrow ? 62 : 48} label=${title} columns=${narrow ? 3 : 5} onKey=${keys}
      head=${html`<${Head} sort=${sort} setSort=${setSort} narrow=${narrow} rows=${rows} chosen=${chosen} setChosen=${setChosen} />`}
      row=${(entry, index, isCurrent) => html`<${Row} entry=${entry} isCurrent=${isCurrent} ...${context} />`} /></section>`}
    ${totals && rows.length > 0 && html`<p class="soft list-sum">${totals}${!done ? ' \u2026' : ''}</p>`}`;

  return html`<div class="page browser" ...${upload.zone}><header class="page-head"><div class="grow"><${Crumbs} folder=${folder} snapshot=${snapshot} path=${path} /><h1 class="clip"><bdi>${title}</bdi></h1></div>
      <div class="row">${canChange && html`<${Button} kind="primary" icon="upload" onClick=${upload.chooseFiles}>${t('files.upload')}<//>`}
      ${canChange && !narrow && html`<${Button} icon="newfolder" label=${t('files.new')} onClick=${() => setDialog({ kind: 'new' })} />`}
      <${Button} icon="clock" aria-pressed=${hasTime || snapshot ? 'true' : 'false'} className=${hasTime || snapshot ? 'on' : ''} onClick=${() => setHasTime(!hasTime)}>${t('files.timeline')}<//>
      <${Menu} kind="plain" label=${t('files.more.actions')} items=${[
        canChange && { icon: 'newfolder', text: `${t('files.new')} \u2026`, action: () => setDialog({ kind: 'new' }) },
        canChange && { icon: 'folder', text: t('files.upload.directory'), action: upload.chooseDirectory },
        { icon: 'archive', text: t('files.zip'), href: api.url('zip', { what: whatOf(folder, snapshot, path) }), download: '' },
        (canRestore || may('admin')) && { icon: 'restore', text: t('files.restore.all'), action: () => restore([{ kind: 'directory', path, name: title, snapshot }]) },
        !snapshot && { icon: 'trash', text: t(withDeleted ? 'files.hide.deleted' : 'files.show.deleted'), action: () => setWithDeleted(!withDeleted) },
        { icon: 'activity', text: t('files.changes'), href: hrefOf(folder, '', '', { view: 'changes' }) },
      ]} /></div></header>
    ${(hasTime || snapshot) && moments && html`<${TimeBar} moments=${moments} snapshot=${snapshot} go=${goTime} changesHref=${hrefOf(folder, '', '', { view: 'changes', at: snapshot || moments[0]?.snapshot })} />`}
    ${snapshot && html`<${Notice} state="warn"><p>${t('files.past', { time: moments?.find((one) => one.snapshot.startsWith(snapshot)) ? dateTime(moments.find((one) => one.snapshot.startsWith(snapshot)).taken) : snapshot.slice(0, 8) })}</p><div class="row"><${Button} small icon="restore" onClick=${() => restore([{ kind: 'directory', path, name: title, snapshot }])}>${t('files.restore.all')}<//><${Button} small onClick=${() => goTime('')}>${t('files.to.now')}<//></div><//>`}
    ${!snapshot && info && !isShared && html`<p class="read-only"><${Icon} name="lock" size="16" />${t(info.own ? 'files.read.only.own' : 'files.read.only')}</p>`}
    ${isShared && !snapshot && !may('member') && html`<p class="read-only"><${Icon} name="lock" size="16" />${t('files.read.role')}</p>`}
    <div class="tools"><${SearchBox} value=${search} onValue=${setSearch} label=${t('files.search', { name: title })} />
      ${canTile && html`<${Button} icon=${isGallery ? 'list' : 'grid'} label=${t(isGallery ? 'files.as.list' : 'files.as.tiles')} onClick=${flip} />`}
      ${(narrow || isGallery) && html`<${Sorter} sort=${sort} setSort=${setSort} />`}</div>
    ${withDeleted && !snapshot && html`<p class="read-only"><${Icon} name="trash" size="16" />${deleted === null ? t('files.deleted.looking') : t('files.deleted.shown', { n: deleted.length })} <button type="button" class="link" onClick=${() => setWithDeleted(false)}>${t('files.hide.deleted')}</button></p>`}
    ${search.trim().length > 1 ? html`<${Search} text=${search.trim()} folder=${folder} path=${path} />` : inFolder}
    ${picked.length > 0 && html`<div class="selection" role="region" aria-label=${t('files.selection')}><strong>${t('files.selected', { n: picked.length })}</strong><small>${size(picked.reduce((sum, entry) => sum + (entry.size_bytes ?? 0), 0))}</small><span class="grow"></span>
      <${Button} small icon="download" onClick=${() => saveAll(folder, snapshot, picked.filter((entry) => !entry.deleted && !entry.odd))}>${t('do.download')}<//>
      <${Button} small icon="restore" onClick=${() => restore(picked.filter((entry) => !entry.odd))}>${t('do.restore')}<//>
      ${canChange && html`<${Button} small kind="danger" icon="trash" onClick=${() => remove(picked.filter((entry) => !entry.deleted && !entry.odd))}>${t('do.delete')}<//>`}
      <${Button} small kind="quiet" icon="close" label=${t('files.select.none')} onClick=${() => setChosen(new Set())} /></div>`}
    ${upload.inputs}${upload.over && html`<div class="drop" aria-hidden="true"><div><${Icon} name=${canChange ? 'upload' : 'lock'} size="40" /><strong>${canChange ? t('files.drop', { name: title }) : t('files.drop.not')}</strong></div></div>`}
    ${preview && html`<${Preview} folder=${folder} snapshot=${snapshot} entry=${preview} around=${around} onClose=${() => setPreview(null)} restore=${(entry) => restore([{ ...entry, version: true }])} remove=${canChange ? (entry) => remove([entry]) : null} />`}
    ${dialog?.kind === 'restore' && html`<${RestoreDialog} folder=${folder} entries=${dialog.entries} snapshot=${snapshot} info=${info} may=${may} onClose=${() => setDialog(null)} onDone=${() => { setChosen(new Set()); if (snapshot) goTime(''); }} />`}
    ${dialog?.kind === 'new' && html`<${NewDirectoryDialog} folder=${folder} path=${path} taken=${(entries ?? []).map((entry) => entry.name)} onClose=${() => setDialog(null)} onDone=${again} />`}
    ${dialog?.kind === 'delete' && html`<${DeleteDialog} folder=${folder} entries=${dialog.entries} onClose=${() => setDialog(null)} onDone=${deletedNow} />`}
    ${dialog?.kind === 'conflict' && html`<${ConflictDialog} names=${dialog.names} choose=${(how) => { setDialog(null); dialog.choose(how); }} />`}
    ${dialog?.kind === 'undo' && html`<${Undo} folder=${folder} entries=${dialog.entries} onClose=${() => setDialog(null)} />`}</div>`;
}

function sumOf(entries) {
  let [directories, files, bytes] = [0, 0, 0];
  for (const entry of entries) {
    if (entry.kind === 'directory') directories += 1;
    else files += 1;
    bytes += entry.size_bytes ?? 0;
  }
  return [directories > 0 && t('files.directories', { n: directories }), files > 0 && `${t('files.count', { n: files })}, ${size(bytes)}`].filter(Boolean).join(' \u00b7 ');
}

/** Deleting can be taken back at once. */
function Undo({ folder, entries, onClose }) {
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    if (busy) return undefined;
    const timer = setTimeout(onClose, 12_000);
    return () => clearTimeout(timer);
  }, [busy]);
  const act = async () => {
    setBusy(true);
    try {
      toast(t('files.put.back', { n: await putBack(folder, entries) }), 'good');
    } catch (error) {
      failed(error);
    }
    onClose();
  };
  return html`<div class="undo" role="status"><${Icon} name="trash" /><span class="grow">${entries.length === 1 ? t('files.gone.one', { name: shown(entries[0].name) }) : t('files.gone.many', { n: entries.length })}</span>
    <${Button} small icon="undo" busy=${busy} onClick=${act}>${t('do.undo')}<//><${Button} small kind="quiet" icon="close" label=${t('do.close')} onClick=${onClose} /></div>`;
}

const COLUMNS = ['name', 'size', 'mtime'];

function Sorter({ sort, setSort }) {
  return html`<${Menu} kind="plain" icon="sort" label=${t('files.sort')} items=${COLUMNS.map((key) => ({ text: t(`files.by.${key}`), icon: sort.key === key ? (sort.down ? 'down' : 'up') : 'blank', action: () => setSort({ key, down: sort.key === key ? !sort.down : key !== 'name' }) }))} />`;
}

function Head({ sort, setSort, narrow, rows, chosen, setChosen }) {
  const all = rows.length > 0 && chosen.size >= rows.filter((entry) => !entry.deleted && !entry.odd).length;
  const box = html`<div role="columnheader" class="cell-check"><input type="checkbox" aria-label=${t('files.select.all')} checked=${all} onChange=${() => setChosen(all ? new Set() : new Set(rows.filter((entry) => !entry.deleted && !entry.odd).map((entry) => entry.path)))} /></div>`;
  const column = (key) => html`<div role="columnheader" class=${`cell-${key}`} aria-sort=${sort.key === key ? (sort.down ? 'descending' : 'ascending') : 'none'}><button type="button" onClick=${() => setSort({ key, down: sort.key === key ? !sort.down : key !== 'name' })}>${t(`files.by.${key}`)}${sort.key === key && html`<${Icon} name=${sort.down ? 'down' : 'up'} size="15" />`}</button></div>`;
  return html`<div role="row" class="long-row-head" aria-rowindex="1">${box}${narrow ? column('name') : COLUMNS.map(column)}<div role="columnheader" class="cell-menu"><span class="out-of-sight">${t('table.actions')}</span></div></div>`;
}

function Row({ entry, isCurrent, folder, snapshot, narrow, chosen, toggle, openEntry, canChange, restore, remove }) {
  const isOn = chosen.has(entry.path);
  const tab = isCurrent ? 0 : -1;
  const isDirectory = entry.kind === 'directory';
  const name = shown(entry.name);
  const when = isTime(entry.mtime) ? ago(entry.mtime) : '';
  const facts = entry.deleted ? t('files.deleted.at', { ago: ago(entry.deleted) }) : isDirectory ? when : `${size(entry.size_bytes)} \u00b7 ${when}`;
  const open = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    openEntry(entry);
  };
  const items = [
    { icon: isDirectory ? 'folder' : 'eye', text: t(isDirectory ? 'files.open' : 'files.show'), action: () => openEntry(entry) },
    !entry.deleted && !entry.odd && { icon: 'download', text: t(isDirectory ? 'files.zip' : 'do.download'), action: () => saveAll(folder, snapshot, [entry]) },
    !entry.odd && { icon: 'restore', text: `${t('do.restore')} \u2026`, action: () => restore([entry]) },
    canChange && !entry.deleted && !entry.odd && { icon: 'trash', text: `${t('do.delete')} \u2026`, danger: true, action: () => remove([entry]) },
  ];
  const href = isDirectory && !entry.odd && !entry.deleted ? hrefOf(folder, snapshot, entry.path) : hrefOf(folder, snapshot, parentOf(entry.path), { open: entry.name });
  return html`<div role="cell" class="cell-check"><input type="checkbox" tabindex=${tab} aria-label=${t('files.select', { name })} checked=${isOn} disabled=${entry.odd} onChange=${() => toggle(entry)} /></div>
    <div role="cell" class=${`cell-name ${entry.deleted ? 'is-deleted' : ''}`}><a class="row-main" href=${href} tabindex=${tab} title=${entry.name} onClick=${open}><span class=${`kind of-${iconOf(entry)}`}><${Icon} name=${iconOf(entry)} size="22" /></span>
      <span class="row-text"><bdi class="clip">${name}</bdi>${narrow && html`<small>${facts}</small>`}${entry.odd && html`<span class="out-of-sight"> ${t('files.odd')}</span>`}</span></a></div>
    ${!narrow && html`<div role="cell" class="cell-size figure">${isDirectory ? '' : size(entry.size_bytes)}</div><div role="cell" class="cell-mtime" title=${when && dateTime(entry.deleted ?? entry.mtime)}>${entry.deleted ? facts : when}</div>`}
    <div role="cell" class="cell-menu"><${Menu} label=${t('files.actions.of', { name })} items=${items} /></div>`;
}
