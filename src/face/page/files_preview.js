// One file: what it looks like, what is known of it, and all its versions.
import { html, useEffect, useLayoutEffect, useRef, useState } from './preact.js';
import { Button, Icon, Loading, Pill, Trouble, useId, useLoad } from './ui.js';
import { ago, dateTime, size, t } from './i18n.js';
import * as api from './api.js';
import { contentUrl, save, shown, typeOf, versionsOf, iconOf } from './files_tools.js';

const TEXT_MAX = 262_144;
const PICTURE_MAX = 60_000_000;

/**
 * The dialog. `entry`: the file; `snapshot`: which state of the folder; `around(step)`: the file before or after it, or nothing;
 * `restore(entry)`, `remove(entry)`: where allowed.
 */
export function Preview({ folder, snapshot, entry, around, onClose, restore, remove, phase }) {
  const box = useRef();
  const id = useId();
  const [version, setVersion] = useState(null);
  useEffect(() => setVersion(null), [entry.path]);
  useLayoutEffect(() => {
    const before = document.activeElement;
    box.current.showModal();
    document.documentElement.classList.add('still');
    // The browser's own way back closes it, too.
    history.pushState({ preview: true }, '');
    const back = () => onClose();
    addEventListener('popstate', back);
    return () => {
      document.documentElement.classList.remove('still');
      removeEventListener('popstate', back);
      if (history.state?.preview) history.back();
      before?.focus?.({ preventScroll: true });
    };
  }, []);
  const keys = (event) => {
    if (/^(INPUT|VIDEO|AUDIO|TEXTAREA)$/.test(event.target.tagName)) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && !event.altKey) {
      around(step, true);
      event.preventDefault();
    }
  };
  const close = (event) => {
    event?.preventDefault();
    onClose();
  };
  const at = version?.last?.snapshot ?? (entry.deleted ? null : snapshot);
  const now = version ? { ...entry, ...version } : entry;
  return html`<dialog ref=${box} class="preview" aria-labelledby=${id} onCancel=${close} onKeyDown=${keys}>
    <header class="preview-head"><${Button} kind="quiet" icon="close" label=${t('do.close')} onClick=${close} />
      <div class="grow"><h2 id=${id} class="clip" title=${entry.name}><bdi>${shown(entry.name)}</bdi></h2>
        <p class="clip">${size(now.size_bytes)} \u00b7 ${dateTime(now.mtime)}${version ? ` \u00b7 ${t('files.old.version')}` : ''}</p></div>
      ${around(-1) && html`<${Button} kind="quiet" icon="left" label=${t('files.previous')} onClick=${() => around(-1, true)} />`}
      ${around(1) && html`<${Button} kind="quiet" icon="right" label=${t('files.next')} onClick=${() => around(1, true)} />`}
      ${!entry.odd && at !== null && html`<${Button} kind="primary" icon="download" className="lean" label=${t('do.download')} onClick=${() => save(contentUrl(folder, at, entry.path, true), entry.name)}><span>${t('do.download')}</span><//>`}</header>
    <div class="preview-body"><div class="stage">${at === null ? html`<${Loading} />` : html`<${Stage} key=${`${at}:${entry.path}`} folder=${folder} snapshot=${at} entry=${now} />`}</div>
      <aside class="side" aria-label=${t('files.about')}>
        <dl class="facts"><dt>${t('files.where')}</dt><dd><bdi>${shown(`${folder}/${entry.path}`)}</bdi></dd><dt>${t('files.size')}</dt><dd>${size(now.size_bytes)}</dd>
          <dt>${t('files.changed.at')}</dt><dd>${dateTime(now.mtime)}</dd>${now.target !== undefined && html`<dt>${t('files.target')}</dt><dd><bdi>${shown(now.target)}</bdi></dd>`}
          <dt>${t('files.rights')}</dt><dd class="mono">${now.mode}</dd></dl>
        ${phase && html`<p class="soft">${phase}</p>`}
        ${!entry.odd && html`<${Versions} key=${entry.path} folder=${folder} entry=${entry} current=${version} choose=${setVersion} restore=${restore} snapshot=${snapshot} />`}
        ${remove && !entry.deleted && html`<${Button} kind="danger" icon="trash" onClick=${() => remove(entry)}>${t('do.delete')}<//>`}</aside></div></dialog>`;
}

function Versions({ folder, entry, current, choose, restore, snapshot }) {
  const { value, error, again } = useLoad(() => versionsOf(folder, entry.path), [folder, entry.path]);
  // Of what is deleted the last version is shown.
  const newest = value?.find((row) => row.state === 'there');
  useEffect(() => { if (entry.deleted && newest && !current) choose(newest); }, [newest]);
  if (error && !value) return html`<${Trouble} error=${error} again=${again} />`;
  if (!value) return html`<${Loading} />`;
  const there = value.filter((row) => row.state === 'there');
  return html`<section class="versions" aria-label=${t('files.versions')}><h3>${t('files.versions')} <span class="soft">${there.length}</span></h3><ol>${value.map((row, index) => {
    const isShown = current ? current === row : index === value.findIndex((one) => one.state === 'there') && !snapshot && !entry.deleted;
    if (row.state !== 'there') {
      return html`<li class="gone"><${Icon} name=${row.state === 'absent' ? 'trash' : 'question'} size="17" /><div class="grow"><strong>${t(row.state === 'absent' ? 'files.deleted' : 'files.not.known')}</strong><small title=${dateTime(row.first.taken)}>${ago(row.first.taken)}</small></div></li>`;
    }
    return html`<li class=${isShown ? 'on' : ''}><button type="button" class="version" aria-pressed=${isShown ? 'true' : 'false'} onClick=${() => choose(row)}>
      <span class="grow"><strong>${index === 0 ? t('files.newest') : dateTime(row.mtime)}</strong><small title=${dateTime(row.first.taken)}>${size(row.size_bytes)} \u00b7 ${ago(row.mtime)}</small></span></button>
      ${index > 0 && restore && html`<${Button} small kind="quiet" icon="restore" label=${t('files.restore.version', { time: dateTime(row.mtime) })} onClick=${() => restore({ ...entry, ...row, name: entry.name, snapshot: row.last.snapshot, deleted: entry.deleted })} />`}</li>`;
  })}</ol></section>`;
}

/** The content itself. */
function Stage({ folder, snapshot, entry }) {
  const [broken, setBroken] = useState(false);
  const address = contentUrl(folder, snapshot, entry.path);
  const type = entry.kind === 'file' ? typeOf(entry.name) : undefined;
  const none = (text) => html`<div class="no-preview"><span class="empty-icon"><${Icon} name=${iconOf(entry)} size="34" /></span><p>${text}</p></div>`;
  if (entry.odd) return none(t('files.odd'));
  if (entry.kind === 'symlink') return none(t('files.symlink'));
  if (broken) return none(t('files.broken'));
  if (type === 'image') return entry.size_bytes > PICTURE_MAX ? none(t('files.large')) : html`<${Picture} address=${address} name=${entry.name} failed=${() => setBroken(true)} />`;
  if (type === 'video') return html`<video controls playsinline preload="metadata" src=${address} onError=${() => setBroken(true)} aria-label=${entry.name}></video>`;
  if (type === 'audio') return html`<div class="no-preview"><span class="empty-icon"><${Icon} name="music" size="34" /></span><audio controls preload="metadata" src=${address} onError=${() => setBroken(true)} aria-label=${entry.name}></audio></div>`;
  if (type === 'text' || (!type && entry.size_bytes <= TEXT_MAX && !/\.(pdf|zip|gz|docx?|xlsx?|pptx?|od[tsp])$/i.test(entry.name))) return html`<${Text} address=${address} entry=${entry} none=${none} />`;
  return none(t('files.no.preview'));
}

function Picture({ address, name, failed }) {
  const [there, setThere] = useState(false);
  return html`${!there && html`<${Loading} />`}<img src=${address} alt=${name} class=${there ? '' : 'coming'} onLoad=${() => setThere(true)} onError=${failed} />`;
}

function Text({ address, entry, none }) {
  const { value, error, again } = useLoad(async () => {
    if (!entry.size_bytes) return { text: '' };
    const answer = await api.ask('GET', address, undefined, { headers: { Range: `bytes=0-${TEXT_MAX - 1}` } });
    const bytes = new Uint8Array(await answer.arrayBuffer());
    if (bytes.subarray(0, 8192).includes(0)) return { binary: true };
    return { text: new TextDecoder().decode(bytes), cut: entry.size_bytes > bytes.length };
  }, [address]);
  if (error && !value) return html`<${Trouble} error=${error} again=${again} />`;
  if (!value) return html`<${Loading} />`;
  if (value.binary) return none(t('files.no.preview'));
  if (!value.text) return none(t('files.empty.file'));
  return html`<div class="text-stage" tabindex="0" role="region" aria-label=${entry.name}><pre>${value.text}</pre>${value.cut && html`<p><${Pill} state="info">${t('files.text.cut', { size: size(TEXT_MAX) })}<//></p>`}</div>`;
}
