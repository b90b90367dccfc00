// What the views of files have in common: addresses of places, kinds of files, order, patterns. Shows nothing.
import * as api from './api.js';

/** `NAME[@SNAPSHOT][:PATH]`, as the node reads it. */
export const whatOf = (folder, snapshot, path) => folder + (snapshot ? `@${snapshot}` : '') + (path ? `:${path}` : '');

/** The place in this page. */
export function hrefOf(folder, snapshot, path, query = {}) {
  const parts = [folder + (snapshot ? `@${snapshot.slice(0, 16)}` : ''), ...(path ? path.split('/') : [])].map(encodeURIComponent);
  const given = Object.entries(query).filter(([, value]) => value).map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
  return `#/files/${parts.join('/')}${given.length ? `?${given.join('&')}` : ''}`;
}

export const nameOf = (path) => path.slice(path.lastIndexOf('/') + 1);
export const parentOf = (path) => path.slice(0, Math.max(0, path.lastIndexOf('/')));
export const joined = (directory, name) => (directory ? `${directory}/${name}` : name);

/** A name as it can be looked at: what would be invisible, or turn the line around, has a sign. */
export const shown = (name) => name.replace(/[\u0000-\u001f]/g, (sign) => String.fromCharCode(0x2400 + sign.charCodeAt(0)))
  .replace(/[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');

const TYPES = {
  image: 'jpg jpeg jfif png gif webp avif bmp',
  audio: 'mp3 m4a aac ogg oga opus wav flac weba',
  video: 'mp4 m4v webm mov ogv mkv',
  text: 'txt md markdown csv tsv log json jsonl xml yaml yml toml ini conf cfg tex srt vtt ics vcf rs js mjs ts py rb go java kt c h cc cpp hpp cs css html htm svg sh bat ps1 sql lua php pl r swift gitignore lock',
};
const TYPE_OF = new Map(Object.entries(TYPES).flatMap(([type, endings]) => endings.split(' ').map((ending) => [ending, type])));
const ICON_OF = { image: 'image', audio: 'music', video: 'video', text: 'text' };

/** `image`, `audio`, `video`, `text` or nothing, by the name alone. */
export const typeOf = (name) => TYPE_OF.get(name.slice(name.lastIndexOf('.') + 1).toLowerCase());
export const iconOf = (entry) => (entry.kind === 'directory' ? 'folder' : entry.kind === 'symlink' ? 'link' : ICON_OF[typeOf(entry.path)] ?? 'file');

let collator;
const compareNames = (one, other) => {
  collator ??= new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });
  return collator.compare(one.name, other.name);
};
const BY = {
  name: compareNames,
  size: (one, other) => (one.size_bytes ?? -1) - (other.size_bytes ?? -1) || compareNames(one, other),
  mtime: (one, other) => (one.mtime < other.mtime ? -1 : one.mtime > other.mtime ? 1 : 0),
};

/** Directories first, then by `key`. */
export function sorted(entries, { key, down }) {
  const sign = down ? -1 : 1;
  const rank = (entry) => (entry.kind === 'directory' ? 0 : 1);
  return [...entries].sort((one, other) => rank(one) - rank(other) || sign * BY[key](one, other));
}

/** A line of the node as an entry of a list. */
export const entryOf = (line) => ({ ...line, name: nameOf(line.path), odd: Boolean(line.path_base64) });

const literal = (text) => text.replace(/[\\*?[\]]/g, '\\$&');

/** What a person types as a pattern: anywhere in the name, in either case; with * or ? it is one already. */
export function patternOf(text, directory = '') {
  const cased = (part) => part.replace(/\p{L}/gu, (letter) => {
    const [low, high] = [letter.toLowerCase(), letter.toUpperCase()];
    return low.length === 1 && high.length === 1 && low !== high && letter < '\u007f' ? `[${low}${high}]` : letter;
  });
  const body = /[*?]/.test(text)
    ? text.split(/([*?])/).map((part) => (/^[*?]$/.test(part) ? part : cased(literal(part)))).join('')
    : `*${cased(literal(text))}*`;
  return directory ? `/${literal(directory)}/**/${body}` : body;
}

/** What is deleted in a directory, and was there in some snapshot: entries with the time when they went. */
export async function deletedIn(folder, directory, signal) {
  const pattern = `/${directory ? `${literal(directory)}/` : ''}*`;
  const last = new Map();
  for await (const line of api.lines('GET', api.url('find', { pattern, folder, all: true }), undefined, { signal })) {
    if (line.path !== undefined && !line.lost) last.set(line.path_base64 ?? line.path, line);
  }
  return [...last.values()].filter((line) => line.change === 'deleted').map((line) => ({ ...entryOf(line), deleted: line.taken }));
}

/** All that a path was, newest first; what is the same in several snapshots is one version. */
export async function versionsOf(folder, path, signal) {
  const rows = await api.list('GET', api.url('history', { what: whatOf(folder, '', path) }), undefined, { signal });
  return rows.reverse();
}

/** The newest snapshot that still had a path. */
export async function lastWith(folder, path, signal) {
  const versions = await versionsOf(folder, path, signal);
  return versions.find((version) => version.state === 'there')?.last.snapshot;
}

/**
 * Snapshots as moments of a time line, newest first. What one device said and another took over unchanged is one moment; the
 * empty beginning of a device that a shared folder came to is none.
 */
export function momentsOf(snapshots, isShared) {
  const moments = [];
  const writers = new Set();
  for (const one of snapshots) {
    const last = moments[moments.length - 1];
    const isFirst = !writers.has(one.writer);
    writers.add(one.writer);
    if (isShared && isFirst && last && one.files === 0) continue;
    const isSame = last && isShared && one.writer !== last.writer && one.files === last.files && one.bytes === last.bytes
      && new Date(one.taken) - new Date(last.taken) < 600_000;
    if (isSame) moments[moments.length - 1] = { ...one, writer: last.writer, writers: new Set([...(last.writers ?? [last.writer]), one.writer]), taken: last.taken };
    else moments.push(one);
  }
  return moments.reverse();
}

/** Whether a time is one: directories of shared folders have none. */
export const isTime = (at) => Boolean(at) && !at.startsWith('1970-01-01T00:00:00');

/** Saves an address under a name, without leaving the page. */
export function save(address, name = '') {
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
}

export const contentUrl = (folder, snapshot, path, download) => api.url('content', { what: whatOf(folder, snapshot, path), download: download ? 'true' : undefined });

// An address may be as long as this: the node takes heads of 64 KiB.
const ADDRESS_MAX = 40_000;

/** Addresses of archives with all of these entries: one, unless there are so many that it would be too long. */
export function zipUrls(folder, snapshot, entries) {
  const addresses = [];
  for (const entry of entries) {
    const part = `what=${encodeURIComponent(whatOf(folder, (entry.snapshot ?? snapshot ?? '').slice(0, 16), entry.path))}`;
    const last = addresses.length - 1;
    if (last >= 0 && addresses[last].length + part.length < ADDRESS_MAX) addresses[last] += `&${part}`;
    else addresses.push(`${api.url('zip')}?${part}`);
  }
  return addresses;
}

/** Saves a file as it is, and a directory, or several of anything, as a zip. */
export async function saveAll(folder, snapshot, entries) {
  const [first] = entries;
  if (entries.length === 1 && first.kind !== 'directory' && first.path !== '') return save(contentUrl(folder, first.snapshot ?? snapshot, first.path, true), first.name);
  const addresses = zipUrls(folder, snapshot, entries);
  for (const address of addresses) {
    save(address);
    if (addresses.length > 1) await new Promise((resolve) => { setTimeout(resolve, 700); });
  }
  return undefined;
}
