// Pictures as pictures: a directory as tiles, of which only those that are seen are loaded, two at a time, and kept small.
import { html, useEffect, useMemo, useState } from './preact.js';
import { Icon } from './ui.js';
import { size, t } from './i18n.js';
import * as api from './api.js';
import { contentUrl, hrefOf, iconOf, parentOf, shown, typeOf } from './files_tools.js';
import { LongList } from './files_list.js';

const PICTURE_MAX = 25_000_000;
const SIDE = 360;
const AT_ONCE = 2;
const KEPT_MAX = 400;

const kept = new Map();
const waiting = [];
let busy = 0;

/** A small picture of a file, as an address; asked for again at each sight, in the order of what came into sight last. */
function thumbnail(address, done) {
  if (kept.has(address)) {
    done(kept.get(address));
    return () => {};
  }
  const stop = new AbortController();
  const job = { address, done, stop };
  waiting.push(job);
  setTimeout(next, 80);
  return () => {
    stop.abort();
    const place = waiting.indexOf(job);
    if (place >= 0) waiting.splice(place, 1);
  };
}

async function next() {
  if (busy >= AT_ONCE || !waiting.length) return;
  const job = waiting.pop();
  busy += 1;
  try {
    const answer = await api.ask('GET', job.address, undefined, { signal: job.stop.signal });
    const picture = await createImageBitmap(await answer.blob());
    const scale = Math.min(1, SIDE / Math.min(picture.width, picture.height));
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [Math.max(1, picture.width * scale), Math.max(1, picture.height * scale)];
    canvas.getContext('2d').drawImage(picture, 0, 0, canvas.width, canvas.height);
    picture.close();
    const small = await new Promise((resolve) => { canvas.toBlob(resolve, 'image/webp', 0.8); });
    const made = URL.createObjectURL(small);
    kept.set(job.address, made);
    for (const [old, url] of kept) {
      if (kept.size <= KEPT_MAX) break;
      kept.delete(old);
      URL.revokeObjectURL(url);
    }
    job.done(made);
  } catch { /* its sign stays */ }
  busy -= 1;
  next();
}

/** Whether a directory is one of pictures. */
export const hasPictures = (entries) => entries.length > 0 && entries.filter((entry) => typeOf(entry.name) === 'image').length >= Math.max(2, entries.length / 3);

export function Gallery({ rows, folder, snapshot, chosen, toggle, openEntry, label, narrow, onKey }) {
  const [columns, setColumns] = useState(1);
  useEffect(() => {
    const fit = () => setColumns(Math.max(2, Math.floor(((document.querySelector('.gallery')?.clientWidth ?? 360) + 12) / (narrow ? 150 : 190))));
    fit();
    addEventListener('resize', fit);
    return () => removeEventListener('resize', fit);
  }, [narrow]);
  const groups = useMemo(() => {
    const made = [];
    for (let index = 0; index < rows.length; index += columns) made.push({ id: rows[index].path, entries: rows.slice(index, index + columns) });
    return made;
  }, [rows, columns]);
  const row = ({ entries }) => html`<div class="tiles" style=${{ gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` }} role="presentation">${entries.map((entry) => html`<${Tile} key=${entry.path_base64 ?? entry.path} entry=${entry} isOn=${chosen.has(entry.path)} ...${{ folder, snapshot, toggle, openEntry }} />`)}</div>`;
  const keys = (event, { entries }) => {
    const tile = event.target.closest('.tile');
    const entry = tile && entries[[...tile.parentNode.children].indexOf(tile)];
    if (entry) onKey(event, entry);
  };
  return html`<div class="gallery"><${LongList} rows=${groups} height=${narrow ? 184 : 214} label=${label} columns=${columns} row=${row} onKey=${keys} head="" /></div>`;
}

function Tile({ entry, isOn, folder, snapshot, toggle, openEntry }) {
  const isPicture = entry.kind === 'file' && !entry.deleted && !entry.odd && typeOf(entry.name) === 'image' && entry.size_bytes <= PICTURE_MAX;
  const [picture, setPicture] = useState(null);
  const address = contentUrl(folder, entry.snapshot ?? snapshot, entry.path);
  useEffect(() => (isPicture ? thumbnail(`${address}#${entry.mtime}`, setPicture) : undefined), [address, entry.mtime]);
  const href = entry.kind === 'directory' ? hrefOf(folder, snapshot, entry.path) : hrefOf(folder, snapshot, parentOf(entry.path), { open: entry.name });
  const open = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    openEntry(entry);
  };
  return html`<div role="cell" class=${`tile ${isOn ? 'on' : ''} ${entry.deleted ? 'is-deleted' : ''}`}><a class="row-main" href=${href} onClick=${open} title=${entry.name}>
    <span class="tile-picture">${picture ? html`<img src=${picture} alt="" />` : html`<span class=${`kind of-${iconOf(entry)}`}><${Icon} name=${iconOf(entry)} size="34" /></span>`}</span>
    <span class="tile-text"><bdi class="clip">${shown(entry.name)}</bdi><small>${entry.kind === 'file' ? size(entry.size_bytes) : ''}</small></span></a>
    <input type="checkbox" aria-label=${t('files.select', { name: shown(entry.name) })} checked=${isOn} disabled=${entry.odd} onChange=${() => toggle(entry)} /></div>`;
}
