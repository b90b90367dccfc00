// The queue of uploads: files go in parts, can be paused, and go on where they stood after a break. Shows nothing.
import * as api from './api.js';
import { whatOf } from './files_tools.js';

/** Bytes of a part. */
const PART = 8 * 1024 * 1024;
/** Up to here a file is sent in one request. */
const WHOLE = 1024 * 1024;
/** Files on their way at once; a browser has six connections to a node. */
const AT_ONCE = 4;
const TRIES = 5;

let items = [];
let nextId = 1;
const listeners = new Set();
let timer = 0;
const rates = [];

/** Listens for changes; gives back how to stop. */
export function watch(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const tell = () => {
  timer = 0;
  listeners.forEach((listener) => listener());
};
const changed = () => { timer ||= setTimeout(tell, 120); };

export const all = () => items;
const isOpen = (item) => item.state === 'waiting' || item.state === 'sending';

/** How all of it stands: files and bytes, and bytes a second of the last seconds. */
export function sums() {
  const told = { files: 0, done: 0, failed: 0, paused: 0, open: 0, bytes: 0, sent: 0, rate: 0 };
  for (const item of items) {
    told.files += 1;
    told.bytes += item.size;
    told.sent += item.state === 'done' ? item.size : item.sent;
    if (item.state === 'done') told.done += 1;
    else if (item.state === 'failed') told.failed += 1;
    else if (item.state === 'paused') told.paused += 1;
    else told.open += 1;
  }
  const now = performance.now();
  while (rates.length && now - rates[0][0] > 5000) rates.shift();
  const bytes = rates.reduce((sum, [, count]) => sum + count, 0);
  if (rates.length) told.rate = bytes / Math.max(1, (now - rates[0][0]) / 1000);
  return told;
}

/** Adds files: `{folder, path, size, open}`; `open()` gives the File, when its turn comes. */
export function add(files) {
  items = items.filter((item) => item.state !== 'done').concat(files.map((file) => ({
    id: (nextId += 1), sent: 0, state: 'waiting', tries: 0, error: null, upload: null, stop: null, ...file, what: whatOf(file.folder, '', file.path),
  })));
  changed();
  pump();
}

/** Begins what may begin: never two to one place at once, for the later one is to be the newer version. */
function pump() {
  let busy = items.filter((item) => item.state === 'sending').length;
  const taken = new Set();
  for (const item of items) {
    const { what } = item;
    if (busy < AT_ONCE && item.state === 'waiting' && !taken.has(what) && !(item.after > performance.now())) {
      busy += 1;
      begin(item);
    }
    if (isOpen(item) || item.state === 'offline') taken.add(what);
  }
}

async function begin(item) {
  const stop = new AbortController();
  Object.assign(item, { state: 'sending', error: null, stop });
  changed();
  try {
    item.file ??= await item.open();
    item.size = item.file.size;
    if (item.size <= WHOLE) await sendWhole(item, stop.signal);
    else await sendParts(item, stop.signal);
    Object.assign(item, { state: 'done', sent: item.size, file: null });
  } catch (error) {
    // One that was paused and went on again is no longer this attempt's.
    if (item.stop === stop) ended(item, error);
  }
  if (item.stop === stop) item.stop = null;
  changed();
  pump();
}

function ended(item, error) {
  if (item.state !== 'sending') return;
  item.tries += 1;
  const isPassing = ['offline', 'cut_off', 'bad_answer', 'upload_busy', 'busy'].includes(error.code) && item.tries <= TRIES;
  if (!isPassing) {
    Object.assign(item, { state: 'failed', error: error.message, hint: error.hint ?? '' });
    return;
  }
  // When the node is back it goes on by itself, and the tries are forgotten.
  item.state = error.code === 'offline' ? 'offline' : 'waiting';
  item.after = performance.now() + item.tries * 600;
  setTimeout(pump, item.tries * 600 + 20);
}

api.on('online', (there) => {
  if (!there) return;
  items.filter((item) => item.state === 'offline').forEach((item) => { Object.assign(item, { state: 'waiting', tries: 0, after: 0 }); });
  changed();
  pump();
});

function counted(item, base, loaded, before) {
  const sent = Math.min(item.size, base + loaded);
  rates.push([performance.now(), Math.max(0, sent - before)]);
  if (rates.length > 400) rates.splice(0, 200);
  item.sent = sent;
  changed();
}

const times = (item) => `${item.file.lastModified || Date.now()}000000`;

async function sendWhole(item, signal) {
  const address = api.url('files', { what: item.what, mtime_ns: times(item) });
  await api.send('PUT', address, item.file, { signal, onProgress: (loaded) => counted(item, 0, loaded, item.sent) });
}

async function sendParts(item, signal) {
  let offset = await placeOf(item, signal);
  while (offset !== null) {
    const base = offset;
    const part = item.file.slice(base, base + PART);
    const address = api.url(`uploads/${item.upload}`, { offset: base });
    try {
      const told = await api.send('PUT', address, part, { signal, onProgress: (loaded) => counted(item, base, Math.min(loaded, part.size), item.sent) });
      if (told.stored) return;
      offset = told.offset;
      item.tries = 0;
    } catch (error) {
      if (error.code !== 'wrong_offset' || !Number.isFinite(error.more?.offset)) throw error;
      offset = error.more.offset;
    }
    item.sent = offset;
    changed();
  }
}

/** Where an upload that was begun stands, null where all of it is stored; a new one where it was given up. */
async function placeOf(item, signal) {
  if (item.upload) {
    try {
      const told = await api.get(`uploads/${item.upload}`, {}, { signal });
      if (told.stored) return null;
      if (told.size === item.size) return told.offset;
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  }
  const told = await api.post('uploads', { what: item.what, size: item.size, mtime_ns: Number(times(item)) }, { signal });
  item.upload = told.id;
  return told.offset ?? 0;
}

const halt = (item, state) => {
  item.state = state;
  item.stop?.abort();
};

export function pause(item) {
  if (isOpen(item) || item.state === 'offline') halt(item, 'paused');
  changed();
  pump();
}

export function resume(item) {
  if (item.state === 'paused' || item.state === 'failed' || item.state === 'offline') Object.assign(item, { state: 'waiting', tries: 0, after: 0, error: null });
  changed();
  pump();
}

export function cancel(item) {
  halt(item, 'gone');
  items = items.filter((other) => other !== item);
  if (item.upload) api.remove(`uploads/${item.upload}`).catch(() => { /* it is given up by itself after a while */ });
  changed();
  pump();
}

export const pauseAll = () => items.filter((item) => isOpen(item) || item.state === 'offline').forEach(pause);
export const resumeAll = () => items.filter((item) => item.state === 'paused' || item.state === 'failed').forEach(resume);
export const cancelAll = () => [...items].forEach((item) => (item.state === 'done' ? null : cancel(item)));

/** Forgets what is done. */
export function clear() {
  items = items.filter((item) => item.state !== 'done');
  changed();
}

addEventListener('beforeunload', (event) => {
  if (items.some((item) => item.state !== 'done')) event.preventDefault();
});

/** What was dropped or chosen, as `{path, size, open}` with the path below where it was dropped. */
export async function filesOf({ items: given = [], files = [] }) {
  const entries = [...given].filter((item) => item.kind === 'file').map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile()).filter(Boolean);
  if (!entries.length) return [...files].map((file) => ofFile(file, file.webkitRelativePath || file.name));
  const found = [];
  for (const entry of entries) await collect(entry, '', found);
  return found;
}

const ofFile = (file, path) => ({ path, size: file.size, open: async () => file });

async function collect(entry, above, found) {
  if (entry instanceof File) {
    found.push(ofFile(entry, above + entry.name));
  } else if (entry.isFile) {
    const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); });
    found.push(ofFile(file, above + entry.name));
  } else {
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
      if (!some.length) return;
      for (const one of some) await collect(one, `${above}${entry.name}/`, found);
    }
  }
}
