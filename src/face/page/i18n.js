// Words and figures in the reader's language. Each view adds its own words with `words`.

const TABLES = { en: {}, de: {} };
const NAMES = { en: 'English', de: 'Deutsch' };
const store = (key, value) => {
  try {
    if (value === undefined) return localStorage.getItem(key);
    localStorage.setItem(key, value);
  } catch { /* no storage: it lasts as long as the page */ }
  return value;
};

let language = pick();
const listeners = new Set();

function pick() {
  const kept = store('nuthatch.language');
  if (kept && TABLES[kept]) return kept;
  const wanted = (navigator.languages ?? [navigator.language]).map((tag) => tag.slice(0, 2).toLowerCase());
  return wanted.find((tag) => TABLES[tag]) ?? 'en';
}

export const languages = () => Object.entries(NAMES);
export const currentLanguage = () => language;
export const kept = store;

/** The locale of figures: the browser's, where it speaks the same language. */
export const locale = () => {
  const own = navigator.languages?.find((tag) => tag.toLowerCase().startsWith(language));
  return own ?? language;
};

export function setLanguage(tag) {
  language = tag;
  store('nuthatch.language', tag);
  document.documentElement.lang = tag;
  listeners.forEach((listener) => listener());
}

export const onLanguage = (listener) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

/** Adds words: `words({en: {'home.title': 'Home'}, de: {...}})`. */
export function words(tables) {
  for (const [tag, table] of Object.entries(tables)) Object.assign(TABLES[tag], table);
}

/** A text by its key, with `{name}` filled in. Where `n` is 1 and `key.one` exists, that one is taken. */
export function t(key, values = {}) {
  const table = TABLES[language];
  const one = values.n === 1 ? table[`${key}.one`] ?? TABLES.en[`${key}.one`] : undefined;
  const text = one ?? table[key] ?? TABLES.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    if (value === undefined || value === null) return whole;
    return typeof value === 'number' ? number(value) : value;
  });
}

export const has = (key) => key in TABLES[language];

/** Runs over what came from the node in English and gives it in the reader's language, where it is known. */
export function said(text, table) {
  for (const [pattern, words] of table[language] ?? []) {
    const found = pattern.exec(text);
    if (found) return typeof words === 'function' ? words(...found.slice(1)) : words.replace(/\$(\d)/g, (_, place) => found[place]);
  }
  return text;
}

export const number = (value, digits = 0) => new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value);
export const percent = (part) => new Intl.NumberFormat(locale(), { style: 'percent', maximumFractionDigits: part < 0.1 ? 1 : 0 }).format(part);

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** Bytes, in powers of a thousand; a dash where nothing is known. */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return '\u2013';
  let [value, place] = [bytes, 0];
  while (value >= 999.5 && place < UNITS.length - 1) [value, place] = [value / 1000, place + 1];
  return `${number(value, place === 0 || value >= 99.5 ? 0 : 1)}\u00a0${UNITS[place]}`;
}

export const speed = (bytes) => `${size(bytes)}/s`;

const unit = (value, name, display = 'long') =>
  new Intl.NumberFormat(locale(), { style: 'unit', unit: name, unitDisplay: display, maximumFractionDigits: 0 }).format(value);

/** A span of microseconds in one unit, or two for hours and minutes. */
export function span(us, display = 'long') {
  if (us === null || us === undefined) return '\u2013';
  const seconds = Math.round(us / 1e6);
  if (seconds < 90) return unit(seconds, 'second', display);
  if (seconds < 90 * 60) return unit(Math.round(seconds / 60), 'minute', display);
  if (seconds < 36 * 3600) return unit(Math.round(seconds / 3600), 'hour', display);
  if (seconds < 60 * 86400) return unit(Math.round(seconds / 86400), 'day', display);
  if (seconds < 700 * 86400) return unit(Math.round(seconds / 2629800), 'month', display);
  return unit(Math.round(seconds / 31557600), 'year', display);
}

/** How long ago; `at` is a Date, a text or milliseconds. */
export function ago(at) {
  if (!at) return '\u2013';
  const seconds = (new Date(at) - Date.now()) / 1000;
  const format = new Intl.RelativeTimeFormat(locale(), { numeric: 'auto' });
  const past = Math.abs(seconds);
  if (past < 45) return t('time.now');
  if (past < 5400) return format.format(Math.round(seconds / 60), 'minute');
  if (past < 36 * 3600) return format.format(Math.round(seconds / 3600), 'hour');
  if (past < 60 * 86400) return format.format(Math.round(seconds / 86400), 'day');
  if (past < 700 * 86400) return format.format(Math.round(seconds / 2629800), 'month');
  return format.format(Math.round(seconds / 31557600), 'year');
}

const dated = (at, options) => (at ? new Intl.DateTimeFormat(locale(), options).format(new Date(at)) : '\u2013');
export const date = (at) => dated(at, { dateStyle: 'medium' });
export const time = (at) => dated(at, { timeStyle: 'short' });
export const dateTime = (at) => dated(at, { dateStyle: 'medium', timeStyle: 'short' });

document.documentElement.lang = language;
