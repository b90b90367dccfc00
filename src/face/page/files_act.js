// What is done to files: delete, restore, and what is asked before it is.
import { html, useState } from './preact.js';
import { Button, Choice, Dialog, Field, Icon, Notice, Progress, Switch, failed, toast } from './ui.js';
import { size, t } from './i18n.js';
import * as api from './api.js';
import { DirectoryPicker } from './picker.js';
import { joined, lastWith, parentOf, saveAll, shown, whatOf } from './files_tools.js';

const NAMES_MAX = 4;

/** A few names, and how many more. */
function Names({ entries }) {
  const more = entries.length - NAMES_MAX;
  return html`<ul class="names">${entries.slice(0, NAMES_MAX).map((entry) => html`<li key=${entry.path}><${Icon} name=${entry.kind === 'directory' ? 'folder' : 'file'} size="18" /><bdi class="clip">${shown(entry.name)}</bdi></li>`)}
    ${more > 0 && html`<li class="soft">${t('files.and.more', { n: more })}</li>`}</ul>`;
}

/** Brings what was back as the newest state of a shared folder: files one by one, directories with all that is in them. */
export async function putBack(folder, entries, onFile = () => {}, signal = undefined) {
  let count = 0;
  for (const entry of entries) {
    const snapshot = entry.snapshot ?? await lastWith(folder, entry.path, signal);
    const files = entry.kind === 'directory'
      ? (await api.list('GET', api.url('files', { what: whatOf(folder, snapshot, entry.path), recursive: true }), undefined, { signal })).filter((line) => line.kind === 'file')
      : [entry];
    const left = files.filter((file) => !file.path_base64);
    // A few at once, for each answer waits until the change is safe.
    const one = async () => {
      for (let file = left.shift(); file; file = left.shift()) {
        await api.post('revert', { what: whatOf(folder, snapshot, file.path) }, { signal });
        count += 1;
        onFile(count);
      }
    };
    await Promise.all([one(), one(), one(), one()]);
  }
  return count;
}

/** Asks, deletes, and offers to take it back. */
export function DeleteDialog({ folder, entries, onClose, onDone }) {
  const [busy, setBusy] = useState(0);
  const act = async () => {
    let done = 0;
    try {
      for (const entry of entries) {
        setBusy(done + 1);
        await api.run('DELETE', api.url('files', { what: whatOf(folder, '', entry.path), recursive: entry.kind === 'directory' ? 'true' : undefined }));
        done += 1;
      }
    } catch (error) {
      failed(error);
    }
    onClose();
    if (done) onDone(entries.slice(0, done));
  };
  const title = entries.length === 1 ? t('files.delete.one', { name: shown(entries[0].name) }) : t('files.delete.many', { n: entries.length });
  const footer = html`<${Button} onClick=${onClose} disabled=${busy > 0}>${t('do.cancel')}<//><${Button} kind="danger" icon="trash" busy=${busy > 0} onClick=${act}>${t('do.delete')}<//>`;
  return html`<${Dialog} title=${title} onClose=${onClose} footer=${footer}>${entries.length > 1 && html`<${Names} entries=${entries} />`}
    <p>${t('files.delete.text', { folder })}</p>${busy > 0 && entries.length > 1 && html`<${Progress} value=${busy - 1} max=${entries.length} label=${title} />`}<//>`;
}

/** Makes a directory at a place of a shared folder. `taken`: what is there. */
export function NewDirectoryDialog({ folder, path, taken, onClose, onDone }) {
  const [name, setName] = useState('');
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(false);
  const wanted = name.trim();
  const wrong = wanted === '.' || wanted === '..' || wanted.includes('/') ? t('files.new.wrong') : taken.includes(wanted) ? t('files.new.taken', { name: shown(wanted) }) : '';
  const act = async () => {
    if (!wanted || wrong || busy) return;
    setBusy(true);
    try {
      await api.run('POST', 'make-directory', { what: whatOf(folder, '', joined(path, wanted)) });
      toast(t('files.new.done', { name: shown(wanted) }), 'good');
      onClose();
      onDone();
    } catch (failure) {
      setError(`${failure.message}. ${failure.hint ?? ''}`);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${t('files.new')} onClose=${onClose} onSubmit=${act} footer=${html`<${Button} onClick=${onClose}>${t('do.cancel')}<//><${Button} kind="primary" type="submit" busy=${busy} disabled=${!wanted || Boolean(wrong)}>${t('files.new.do')}<//>`}>
    <${Field} label=${t('files.new.name')} value=${name} onValue=${(text) => { setName(text); setError(''); }} error=${wrong || error} focus autofocus autocomplete="off" spellcheck=${false} maxlength="200" /><//>`;
}

/** What to do with names that exist already. `choose('version' | 'both' | 'skip' | null)`. */
export function ConflictDialog({ names, choose }) {
  const [how, setHow] = useState('version');
  const footer = html`<${Button} onClick=${() => choose(null)}>${t('do.cancel')}<//><${Button} kind="primary" icon="upload" onClick=${() => choose(how)}>${t('files.upload')}<//>`;
  return html`<${Dialog} title=${t('files.conflict', { n: names.length })} onClose=${() => choose(null)} footer=${footer} onSubmit=${() => choose(how)}>
    <${Names} entries=${names.map((path) => ({ path, name: path, kind: 'file' }))} />
    <${Choice} label=${t('files.conflict.how')} value=${how} onValue=${setHow} options=${['version', 'both', 'skip'].map((key) => [key, t(`files.conflict.${key}`), t(`files.conflict.${key}.text`)])} /><//>`;
}

/** Where to: back into the folder, where the files lie on this device, elsewhere on it, or to this computer. */
export function RestoreDialog({ folder, entries, snapshot, info, may, onClose, onDone }) {
  const isShared = info?.kind === 'shared';
  const ways = [
    isShared && may('member') && 'back',
    !isShared && info?.own && !info.removed && may('admin') && 'there',
    may('admin') && 'else',
    'save',
  ].filter(Boolean);
  const [way, setWay] = useState(ways[0]);
  const [path, setPath] = useState('/');
  const [overwrite, setOverwrite] = useState(false);
  const [busy, setBusy] = useState(null);
  const [result, setResult] = useState(null);
  const [stop] = useState(() => new AbortController());
  const close = () => {
    stop.abort();
    onClose();
  };
  // What a search says of a deleted file is the snapshot without it.
  const snapshotOf = async (entry) => (entry.snapshot && (entry.version || !entry.deleted) ? entry.snapshot : snapshot || lastWith(folder, entry.path, stop.signal));
  const write = async (base) => {
    const told = { new: 0, overwritten: 0, kept: 0, equal: 0, lost: 0 };
    for (const entry of entries) {
      const at = await snapshotOf(entry);
      const to = way === 'there' ? joined(base, parentOf(entry.path)) : base;
      const last = {};
      await api.run('POST', 'restore-to', { what: whatOf(folder, at, entry.path), to, overwrite }, (line) => {
        Object.assign(last, line);
        setBusy({ ...line });
      }, { signal: stop.signal });
      for (const key of Object.keys(told)) told[key] += last[key] ?? 0;
    }
    setResult({ ...told, to: way === 'there' ? info.directory : base });
  };
  const act = async () => {
    if (way === 'save') {
      const places = [];
      for (const entry of entries) places.push({ ...entry, snapshot: await snapshotOf(entry) });
      onClose();
      return saveAll(folder, snapshot, places);
    }
    setBusy({});
    try {
      if (way === 'back') {
        const given = [];
        for (const entry of entries) given.push({ ...entry, snapshot: await snapshotOf(entry) });
        const count = await putBack(folder, given, (done) => setBusy({ done }), stop.signal);
        onClose();
        toast(t('files.put.back', { n: count }), 'good');
        onDone?.();
      } else await write(way === 'there' ? info.directory : path);
    } catch (error) {
      failed(error);
    }
    setBusy(null);
    return undefined;
  };
  const title = entries.length === 1 ? t('files.restore.one', { name: entries[0].path ? shown(entries[0].name) : folder }) : t('files.restore.many', { n: entries.length });
  if (result) {
    return html`<${Dialog} title=${t('files.restored')} onClose=${close} footer=${html`<${Button} kind="primary" onClick=${close}>${t('do.done')}<//>`}>
      <${Notice} state=${result.kept || result.lost ? 'warn' : 'good'}><p>${t('files.restored.text', { n: result.new + result.overwritten, to: result.to })}</p>
      ${result.equal > 0 && html`<p>${t('files.restored.equal', { n: result.equal })}</p>`}${result.kept > 0 && html`<p>${t('files.restored.kept', { n: result.kept })}</p>`}${result.lost > 0 && html`<p>${t('files.restored.lost', { n: result.lost })}</p>`}<//><//>`;
  }
  const words = { there: info?.directory, else: t('files.restore.else.text'), back: t('files.restore.back.text'), save: t('files.restore.save.text') };
  const icons = { back: 'undo', there: 'disk', else: 'folder', save: 'download' };
  const footer = html`<${Button} onClick=${close}>${t('do.cancel')}<//><${Button} kind="primary" icon=${way === 'save' ? 'download' : 'restore'} busy=${busy !== null} onClick=${act}>${t(way === 'save' ? 'do.download' : 'do.restore')}<//>`;
  return html`<${Dialog} title=${title} onClose=${close} footer=${footer} onSubmit=${act}>${entries.length > 1 && html`<${Names} entries=${entries} />`}
    <${Choice} label=${t('files.restore.where')} value=${way} onValue=${setWay} options=${ways.map((key) => [key, t(`files.restore.${key}`), words[key], icons[key]])} />
    ${way === 'else' && html`<${DirectoryPicker} value=${path} onValue=${(to) => setPath(to || '/')} />`}
    ${(way === 'else' || way === 'there') && html`<${Switch} label=${t('files.overwrite')} hint=${t('files.overwrite.hint')} checked=${overwrite} onValue=${setOverwrite} />`}
    ${busy && html`<${Progress} label=${title} value=${busy.file_bytes} max=${busy.bytes_expected} />`}${busy?.done > 0 && html`<p class="soft">${t('files.done.so.far', { n: busy.done })}</p>`}${busy?.file_bytes > 0 && html`<p class="soft">${size(busy.file_bytes)}</p>`}<//>`;
}
