// Chooses a directory of the node's own disk.
import { useState } from './preact.js';
import { html, Button, Empty, Icon, Loading, Trouble, useLoad } from './ui.js';
import { t, words } from './i18n.js';
import * as api from './api.js';

words({
  en: { 'pick.up': 'One up', 'pick.none': 'No folders in here', 'pick.where': 'Folder', 'pick.path': 'You are in', 'pick.locked': 'not readable', 'pick.cut': 'There are more: type the path.' },
  de: { 'pick.up': 'Eins nach oben', 'pick.none': 'Hier sind keine Ordner', 'pick.where': 'Ordner', 'pick.path': 'Sie sind in', 'pick.locked': 'nicht lesbar', 'pick.cut': 'Es gibt mehr: tippen Sie den Pfad.' },
});

export function DirectoryPicker({ value, onValue }) {
  const [at, setAt] = useState(value || '/');
  const { value: told, error, again } = useLoad(() => api.get('directories', { path: at }), [at]);
  const go = (path) => {
    setAt(path);
    onValue(path === '/' ? '' : path);
  };
  const below = (name) => `${at === '/' ? '' : at}/${name}`;
  const entries = (told?.directories ?? []).map((one) => (typeof one === 'string' ? { name: one, readable: true } : one)).filter((one) => !one.name.startsWith('.'));
  const parts = at.split('/').filter(Boolean);
  return html`<div class="picker"><nav class="picker-path" aria-label=${t('pick.path')}><${Button} kind="quiet" small icon="disk" label="/" onClick=${() => go('/')} />${parts.map((part, place) => html`<span aria-hidden="true" class="faint">›</span><button type="button" class="link" onClick=${() => go(`/${parts.slice(0, place + 1).join('/')}`)}>${part}</button>`)}</nav>
    <div class="picker-list">${error ? html`<${Trouble} error=${error} again=${again} />` : !told ? html`<${Loading} />` : html`<ul>
      ${at !== '/' && html`<li><button type="button" class="picker-item" onClick=${() => go(told.parent ?? '/')}><${Icon} name="undo" size="18" />${t('pick.up')}</button></li>`}
      ${entries.map((one) => html`<li key=${one.name}><button type="button" class="picker-item" disabled=${!one.readable} onClick=${() => go(below(one.name))}><${Icon} name=${one.readable ? 'folder' : 'lock'} size="18" /><span class="clip grow">${one.name}</span>${one.readable ? html`<${Icon} name="right" size="16" />` : html`<small>${t('pick.locked')}</small>`}</button></li>`)}</ul>
      ${!entries.length && html`<${Empty} icon="folder" title=${t('pick.none')} />`}${told.cut && html`<p class="hint">${t('pick.cut')}</p>`}`}</div></div>`;
}

/** A name for a folder that was chosen: its last part, in the characters that names may have. */
export const nameFor = (path) => (path.split('/').filter(Boolean).at(-1) ?? '').normalize('NFKD').replace(/[\u0300-\u036f]/g, '').replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 64);
