// The folders of the vault: add, attach, change, stop; their snapshots, forgotten and taken back; finding by name.
import { useEffect, useLayoutEffect, useState } from './preact.js';
import { html, Button, Card, Choice, Dialog, Doing, Empty, Field, Loading, Menu, Notice, Page, Pill, Switch, Table, Trouble, When, failed, toast, useLoad } from './ui.js';
import { dateTime, number, size, t } from './i18n.js';
import { FolderRow } from './home.js';
import { DirectoryPicker, nameFor } from './picker.js';
import * as api from './api.js';
import './folders_words.js';

const link = (...parts) => `#/${parts.map(encodeURIComponent).join('/')}`;
/** Where the files of a snapshot are shown. */
const shownAt = (folder, snapshot, ...path) => link('files', `${folder}@${snapshot.slice(0, 16)}`, ...path);
const keepRules = ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'];

/** `last=10,daily=30` as {last: '10', daily: '30'}, and back. */
const readKeep = (text) => Object.fromEntries((text === 'all' ? '' : text ?? '').split(',').filter(Boolean).map((rule) => rule.split('=')));
const writeKeep = (rules) => keepRules.filter((rule) => Number(rules[rule]) > 0).map((rule) => `${rule}=${rules[rule]}`).join(',') || 'all';

function Keep({ value, onValue }) {
  const [all, setAll] = useState(value === 'all');
  const rules = readKeep(value);
  return html`<fieldset class="choice"><legend>${t('keep.title')}</legend><${Switch} label=${t('keep.all')} checked=${all} onValue=${(on) => { setAll(on); onValue(on ? 'all' : 'last=10,daily=30,monthly=24'); }} />
    ${!all && html`<div class="keep">${keepRules.map((rule) => html`<${Field} key=${rule} label=${t(`keep.${rule}`)} type="number" min="0" max="10000" value=${rules[rule] ?? '0'} onValue=${(count) => onValue(writeKeep({ ...rules, [rule]: count }))} />`)}</div><p class="hint">${t('keep.hint')}</p>`}</fieldset>`;
}

function Mode({ value, onValue }) {
  return html`<${Choice} label=${t('mode.title')} value=${value} onValue=${onValue} options=${['both', 'send', 'receive'].map((mode) => [mode, t(`mode.${mode}`), t(`mode.${mode}.text`)])} />`;
}

/** Files above this size are left out; empty: none are, or where a folder is attached, what is left out elsewhere. */
const Largest = ({ value, attach, onValue }) => html`<${Field} label=${t('folders.largest')} hint=${t(attach ? 'folders.largest.attach' : 'folders.largest.hint')} value=${value} onValue=${onValue} spellcheck=${false} autocomplete="off" placeholder="2GB" />`;

/** A new folder, or a shared one of the vault on this device too. */
function Add({ attach, onClose, done }) {
  const [kind, setKind] = useState(attach ? 'attach' : 'backup');
  const [path, setPath] = useState('');
  const [name, setName] = useState(attach ?? '');
  const [copies, setCopies] = useState('');
  const [ignore, setIgnore] = useState('');
  const [mode, setMode] = useState('both');
  const [largest, setLargest] = useState('');
  const [one, setOne] = useState(false);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const choose = (text) => {
    setPath(text);
    if (!attach) setName(nameFor(text));
  };
  const submit = async () => {
    setBusy(true);
    try {
      await api.post('folders', { name, directory: path, kind, mode, one_file_system: one, ignore: ignore.split('\n').map((line) => line.trim()).filter(Boolean), ...(copies ? { copies: Number(copies) } : {}), ...(largest ? { max_size: largest } : {}) });
      toast(t('folders.added', { name }), 'good');
      done();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${attach ? t('folders.attach', { name: attach }) : t('folders.add')} onClose=${onClose} onSubmit=${submit} footer=${html`<${Button} onClick=${onClose}>${t('do.cancel')}<//><${Button} kind="primary" type="submit" busy=${busy} disabled=${!path || !name}>${t('do.add')}<//>`}>
    ${!attach && html`<${Choice} columns label=${t('folders.kind')} value=${kind} onValue=${setKind} options=${[['backup', t('kind.backup'), t('kind.backup.text'), 'archive'], ['shared', t('kind.shared'), t('kind.shared.text'), 'link']]} />`}
    <${DirectoryPicker} value=${path} onValue=${choose} /><${Field} label=${t('folders.path')} value=${path} onValue=${choose} spellcheck=${false} autocomplete="off" placeholder="/home/pi/Photos" />
    ${!attach && html`<${Field} label=${t('folders.name')} hint=${t('folders.name.hint')} value=${name} onValue=${setName} maxlength="64" autocomplete="off" />`}
    <details><summary>${t('folders.more')}</summary><div class="stack">${kind === 'backup' || kind === 'shared' ? html`<${Field} label=${t('folders.copies')} hint=${t('folders.copies.hint')} type="number" min="1" max="16" value=${copies} onValue=${setCopies} />` : null}
      <${Field} label=${t('folders.ignore')} hint=${t('folders.ignore.hint')} as="textarea" value=${ignore} onValue=${setIgnore} spellcheck=${false} /><${Largest} value=${largest} attach=${attach} onValue=${setLargest} /><${Switch} label=${t('folders.one')} hint=${t('folders.one.hint')} checked=${one} onValue=${setOne} />${kind !== 'backup' && html`<${Mode} value=${mode} onValue=${setMode} />`}</div></details>
    ${error && html`<${Trouble} error=${error} />`}<//>`;
}

/** Changes what was said of a folder; only what differs is sent. */
function Change({ folder, onClose, done }) {
  const [name, setName] = useState(folder.name);
  const [copies, setCopies] = useState(String(folder.copies));
  const [keep, setKeep] = useState(folder.keep);
  const [ignore, setIgnore] = useState(folder.ignore.join('\n'));
  const [directory, setDirectory] = useState(folder.directory);
  const [largest, setLargest] = useState(folder.max_size ?? '');
  const [one, setOne] = useState(folder.one_file_system);
  const [mode, setMode] = useState(folder.mode ?? 'both');
  const [error, setError] = useState(null);
  const lines = () => ignore.split('\n').map((line) => line.trim()).filter(Boolean);
  const submit = async () => {
    const changes = [];
    if (copies !== String(folder.copies)) changes.push(`copies=${copies}`);
    if (keep !== folder.keep) changes.push(`keep=${keep}`);
    folder.ignore.filter((glob) => !lines().includes(glob)).forEach((glob) => changes.push(`ignore-=${glob}`));
    lines().filter((glob) => !folder.ignore.includes(glob)).forEach((glob) => changes.push(`ignore+=${glob}`));
    if (largest !== (folder.max_size ?? '')) changes.push(`max-size=${largest || 'off'}`);
    if (one !== folder.one_file_system) changes.push(`one-file-system=${one}`);
    if (directory !== folder.directory) changes.push(`directory=${directory}`);
    if (folder.kind === 'shared' && mode !== (folder.mode ?? 'both')) changes.push(`mode=${mode}`);
    if (name !== folder.name) changes.push(`name=${name}`);
    if (!changes.length) return onClose();
    try {
      await api.put('folders', { name: folder.name, changes });
      toast(t('folders.changed', { name }), 'good');
      return done(name);
    } catch (failure) {
      return setError(failure);
    }
  };
  return html`<${Dialog} title=${t('folders.change', { name: folder.name })} onClose=${onClose} onSubmit=${submit} footer=${html`<${Button} onClick=${onClose}>${t('do.cancel')}<//><${Button} kind="primary" type="submit">${t('do.save')}<//>`}>
    <${Field} label=${t('folders.copies')} hint=${t('folders.copies.hint')} type="number" min="1" max="16" value=${copies} onValue=${setCopies} /><${Keep} value=${keep} onValue=${setKeep} />
    <${Field} label=${t('folders.ignore')} hint=${t('folders.ignore.hint')} as="textarea" value=${ignore} onValue=${setIgnore} spellcheck=${false} /><${Largest} value=${largest} onValue=${setLargest} />
    ${folder.kind === 'shared' && html`<${Mode} value=${mode} onValue=${setMode} />`}<${Switch} label=${t('folders.one')} hint=${t('folders.one.hint')} checked=${one} onValue=${setOne} />
    <${Field} label=${t('folders.path')} hint=${t('folders.path.hint')} value=${directory} onValue=${setDirectory} spellcheck=${false} /><${Field} label=${t('folders.name')} hint=${t('folders.name.hint')} value=${name} onValue=${setName} maxlength="64" />${error && html`<${Trouble} error=${error} />`}<//>`;
}

function Stop({ folder, onClose, done }) {
  const [error, setError] = useState(null);
  const stop = () => api.remove(`folders/${encodeURIComponent(folder.name)}`).then(() => { toast(t('folders.stopped', { name: folder.name }), 'good'); done(); }, setError);
  return html`<${Dialog} title=${t('folders.stop', { name: folder.name })} onClose=${onClose} footer=${html`<${Button} onClick=${onClose}>${t('do.cancel')}<//><${Doing} kind="danger" action=${stop}>${t('folders.stop.do')}<//>`}><p>${t('folders.stop.text')}</p>${error && html`<${Trouble} error=${error} />`}<//>`;
}

function Snapshots({ folder, admin }) {
  const { value, error, again } = useLoad(() => api.list('GET', api.url('snapshots', { folder: folder.name }), undefined, { max: 2000 }), [folder.last_snapshot]);
  const [forgotten, setForgotten] = useState([]);
  const [many, setMany] = useState(20);
  const change = async (verb, snapshot) => {
    await api.post(verb, { what: `${folder.name}@${snapshot.snapshot}` });
    setForgotten(verb === 'forget' ? [...forgotten, snapshot] : forgotten.filter((other) => other.snapshot !== snapshot.snapshot));
    again();
  };
  const act = (verb, snapshot) => change(verb, snapshot).catch(failed);
  const rows = [...(value ?? [])].sort((one, other) => other.taken.localeCompare(one.taken));
  const columns = [
    { title: t('snap.taken'), cell: (row) => html`<a href=${shownAt(folder.name, row.snapshot)}>${dateTime(row.taken)}</a>` },
    { title: t('snap.files'), align: 'right', cell: (row) => html`<span class="figure">${number(row.files)}</span>` },
    { title: t('snap.size'), align: 'right', cell: (row) => html`<span class="figure">${size(row.bytes)}</span>` },
    { title: t('snap.copies'), align: 'right', cell: (row) => html`<${Pill} state=${row.protected.have >= row.protected.wanted ? 'good' : 'warn'}>${t('snap.of', row.protected)}<//>` },
    { title: '', cell: (row) => html`<${Menu} label=${t('snap.menu', { when: dateTime(row.taken) })} items=${[{ text: t('snap.browse'), icon: 'folder', href: shownAt(folder.name, row.snapshot) }, admin && { text: t('snap.forget'), icon: 'trash', danger: true, action: () => act('forget', row) }]} />` },
  ];
  return html`<${Card} title=${t('snap.title')} icon="clock" actions=${admin && html`<${Doing} small kind="quiet" icon="undo" action=${async () => { await api.post('undo', { what: folder.name }); again(); }} done=${t('snap.undone')}>${t('snap.undo')}<//>`}>
    ${forgotten.map((one) => html`<${Notice} key=${one.snapshot} state="warn">${t('snap.forgotten', { when: dateTime(one.taken) })} <${Button} small icon="undo" onClick=${() => act('undo', one)}>${t('do.undo')}<//><//>`)}
    ${error ? html`<${Trouble} error=${error} again=${again} />` : !value ? html`<${Loading} />` : html`<${Table} caption=${t('snap.title')} columns=${columns} rows=${rows.slice(0, many)} keyOf=${(row) => row.snapshot} empty=${html`<${Empty} icon="clock" title=${t('snap.none')} />`} />`}
    ${rows.length > many && html`<${Button} kind="quiet" onClick=${() => setMany(many + 100)}>${t('snap.more', { n: rows.length - many })}<//>`}<//>`;
}

/** Finds files by name, in one folder or in all. */
function Find({ folder }) {
  const [pattern, setPattern] = useState('');
  const [all, setAll] = useState(false);
  const [found, setFound] = useState(null);
  const [busy, setBusy] = useState(false);
  const look = async (event) => {
    event.preventDefault();
    setBusy(true);
    const wanted = /[*?[]/.test(pattern) ? pattern : `*${pattern}*`;
    try {
      setFound(await api.list('GET', api.url('find', { pattern: wanted, folder, all: all || undefined }), undefined, { max: 200 }));
    } catch (error) {
      failed(error);
    }
    setBusy(false);
  };
  const columns = [
    { title: t('find.name'), cell: (row) => html`<a href=${shownAt(row.folder, row.snapshot, ...row.path.split('/').slice(0, -1))}>${row.path}</a>` },
    ...(folder ? [] : [{ title: t('find.folder'), cell: (row) => row.folder }]),
    { title: t('snap.size'), align: 'right', cell: (row) => size(row.size_bytes) },
    { title: t('find.changed'), align: 'right', cell: (row) => html`<${When} at=${row.mtime} />` },
    { title: '', cell: (row) => row.kind === 'file' && html`<${Button} kind="quiet" small icon="download" label=${t('do.download')} href=${api.url('content', { what: `${row.folder}@${row.snapshot}:${row.path}`, download: true })} download />` },
  ];
  return html`<${Card} title=${t('find.title')} icon="search"><form class="find" onSubmit=${look}><${Field} label=${t('find.pattern')} value=${pattern} onValue=${setPattern} placeholder="*.jpg" autocomplete="off" spellcheck=${false} /><${Button} type="submit" icon="search" busy=${busy} disabled=${!pattern.trim()}>${t('find.do')}<//></form>
    <${Switch} label=${t('find.all')} checked=${all} onValue=${setAll} />${found && html`<${Table} caption=${t('find.title')} columns=${columns} rows=${found} keyOf=${(row) => row.snapshot + row.path} empty=${html`<${Empty} icon="search" title=${t('find.none')} />`} />${found.length >= 200 && html`<p class="hint">${t('find.many')}</p>`}`}<//>`;
}

function Detail({ folder, nodes, admin, member, renew }) {
  const [open, setOpen] = useState(null);
  const close = () => setOpen(null);
  const writer = nodes?.find((node) => node.node === folder.writer)?.name;
  const shared = folder.kind === 'shared';
  const items = [folder.own && { text: t('do.edit'), icon: 'edit', action: () => setOpen('change') }, ((shared && !folder.own) || folder.left_behind) && { text: t('folders.attach.do'), icon: 'plus', action: () => setOpen('attach') }, (folder.own || folder.left_behind) && !folder.removed && { text: t('folders.stop.do'), icon: 'trash', danger: true, action: () => setOpen('stop') }];
  return html`<${Page} title=${folder.name} lead=${t(`kind.${folder.kind}`)} actions=${html`<${Button} icon="folder" href=${link('files', folder.name)}>${t('folders.browse')}<//>${member && folder.own && !folder.removed && html`<${Doing} kind="primary" icon="refresh" action=${() => api.run('POST', 'backup', { name: folder.name, wait: false })} done=${t('folders.backed')}>${t('fix.backup')}<//>`}${admin && items.some(Boolean) && html`<${Menu} label=${t('folders.menu')} kind="plain" items=${items} />`}`}>
    ${folder.failure && html`<${Notice} state="bad">${folder.failure}<//>`}${folder.removed && html`<${Notice} state="warn">${t('folders.removed')}<//>`}
    <div class="grid two"><${Card}><ul class="list"><${FolderRow} folder=${folder} nodes=${nodes} /></ul><dl class="facts"><dt>${t('folders.on')}</dt><dd>${writer ?? t('unknown')}</dd><dt>${t('folders.path')}</dt><dd class="mono">${folder.directory}</dd><dt>${t('folders.copies')}</dt><dd>${number(folder.copies)}</dd><dt>${t('keep.title')}</dt><dd>${folder.keep === 'all' ? t('keep.all') : Object.entries(readKeep(folder.keep)).map(([rule, count]) => t(`keep.${rule}.n`, { n: Number(count) })).join(', ')}</dd>
      <dt>${t('folders.ignore')}</dt><dd>${folder.ignore.length ? folder.ignore.map((glob) => html`<code class="glob">${glob}</code> `) : !folder.max_size && t('folders.nothing')}${folder.max_size && t('folders.larger', { size: folder.max_size })}${folder.too_large > 0 && ` (${number(folder.too_large)})`}</dd>${folder.watch && html`<dt>${t('folders.watch')}</dt><dd>${t('folders.watch.n', { n: folder.watch.directories })}</dd>`}</dl><//><${Find} folder=${folder.name} /></div>
    <${Snapshots} folder=${folder} admin=${admin} />
    ${open === 'change' && html`<${Change} folder=${folder} onClose=${close} done=${(name) => { close(); renew(); if (name !== folder.name) location.hash = link('folders', name); }} />`}
    ${open === 'stop' && html`<${Stop} folder=${folder} onClose=${close} done=${() => { close(); renew(); location.hash = '#/folders'; }} />`}${open === 'attach' && html`<${Add} attach=${folder.name} onClose=${close} done=${() => { close(); renew(); }} />`}<//>`;
}

export default function Folders({ route, status, may }) {
  const { value: folders, error, again } = useLoad(() => api.get('folders'), [status]);
  const { value: nodes } = useLoad(() => api.get('nodes'), [status?.members]);
  const [adding, setAdding] = useState(false);
  useLayoutEffect(() => setAdding(route.query.add === '1'), [route]);
  const admin = may('admin');
  const name = route.parts[0];
  if (error && !folders) return html`<div class="page"><${Trouble} error=${error} again=${again} /></div>`;
  if (!folders) return html`<${Loading} />`;
  const same = folders.filter((folder) => folder.name === name);
  const chosen = same.find((folder) => folder.own) ?? same[0];
  if (chosen) return html`<${Detail} key=${name} folder=${chosen} nodes=${nodes} admin=${admin} member=${may('member')} renew=${again} />`;
  const close = () => { setAdding(false); if (route.query.add) location.replace('#/folders'); };
  const add = admin && html`<${Button} kind="primary" icon="plus" onClick=${() => setAdding(true)}>${t('folders.add')}<//>`;
  return html`<${Page} title=${t('folders.title')} lead=${t('folders.lead')} actions=${add}>${name && html`<${Notice} state="warn">${t('folders.unknown', { name })}<//>`}
    <${Card}>${folders.length ? html`<ul class="list">${folders.map((folder) => html`<${FolderRow} key=${folder.folder + folder.writer} folder=${folder} nodes=${nodes} />`)}</ul>` : html`<${Empty} icon="folder" title=${t('home.nofolder')} action=${add}>${t('home.nofolder.text')}<//>`}<//>
    ${folders.length > 0 && html`<${Find} />`}${adding && admin && html`<${Add} onClose=${close} done=${() => { close(); again(); }} />`}<//>`;
}
