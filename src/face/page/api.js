// What the page asks of the node: JSON, JSON Lines, live events. Knows nothing of what is shown.

let tongue = (told) => told;

/** How what went wrong is said to this reader: a function of {code, message, hint} that gives the same in other words. */
export const setTongue = (say) => { tongue = say; };

/** What went wrong, as the node says it: a code for programs, what happened, what to do. */
export class Failure extends Error {
  constructor(told, status = 0) {
    const { code, message, hint, ...more } = tongue(told);
    super(message);
    Object.assign(this, { name: 'Failure', code, hint, status, more });
  }
}

const PREFIX = '/api/v1/';
const events = new EventTarget();
const say = (type, detail) => events.dispatchEvent(new CustomEvent(type, { detail }));

/** Listens for `online` (detail: true or false), `login` (the session is over), `log`, `lost` and `status`; gives back how to stop. */
export function on(type, listener) {
  const wrapped = (event) => listener(event.detail);
  events.addEventListener(type, wrapped);
  return () => events.removeEventListener(type, wrapped);
}

let online = true;
let probe = 0;

export const isOnline = () => online;

function lost() {
  if (online) {
    online = false;
    say('online', false);
  }
  if (!probe) probe = setTimeout(tryAgain, 1000);
}

async function tryAgain() {
  probe = 0;
  try {
    const answer = await fetch(PREFIX + 'session', { cache: 'no-store' });
    if (answer.status >= 502) throw new Error('not there yet');
    online = true;
    say('online', true);
    live.start();
  } catch {
    probe = setTimeout(tryAgain, 1500);
  }
}

/** The address of a call, for links, pictures and downloads. */
export function url(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== false);
  const text = given.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join('&');
  return PREFIX + path + (text ? `?${text}` : '');
}

/** One request; a failure of any kind is a Failure. */
export async function ask(method, path, body, { signal, headers = {} } = {}) {
  const isRaw = body instanceof Blob || body instanceof ArrayBuffer;
  const sent = { 'X-Nuthatch': '1', ...headers };
  if (body !== undefined && !isRaw) sent['Content-Type'] = 'application/json';
  let answer;
  try {
    answer = await fetch(path.startsWith('/') ? path : PREFIX + path, {
      method, signal, headers: sent, cache: 'no-store', body: body === undefined || isRaw ? body : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    lost();
    throw new Failure({ code: 'offline', message: 'the node does not answer', hint: 'is it on, and in this network?' });
  }
  if (!answer.ok) throw await failureOf(answer);
  return answer;
}

async function failureOf(answer) {
  let told;
  try {
    told = (await answer.json()).error;
  } catch { /* no JSON: said below */ }
  const wait = Number(answer.headers.get('retry-after'));
  if (told && wait > 0) told.retry_after_us = wait * 1e6;
  if (answer.status === 502 || answer.status === 504) lost();
  const failure = new Failure(told ?? { code: 'bad_answer', message: `the node answered with ${answer.status}`, hint: '' }, answer.status);
  if (answer.status === 401 && failure.code !== 'wrong_password') say('login');
  return failure;
}

/** A call that answers with one JSON value. */
export async function json(method, path, body, options) {
  const answer = await ask(method, path, body, options);
  const text = await answer.text();
  return text.trim() ? JSON.parse(text) : {};
}

export const get = (path, query, options) => json('GET', url(path, query).slice(PREFIX.length), undefined, options);
export const post = (path, body = {}, options) => json('POST', path, body, options);
export const put = (path, body = {}, options) => json('PUT', path, body, options);
export const remove = (path, query, options) => json('DELETE', url(path, query).slice(PREFIX.length), undefined, options);

/** A call that answers with JSON Lines: yields each; the generator returns `complete` or `partial`. */
export async function* lines(method, path, body, options) {
  const answer = await ask(method, path, body, options);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error) => {
        if (error.name !== 'AbortError') lost();
        throw error.name === 'AbortError' ? error
          : new Failure({ code: 'cut_off', message: 'the answer broke off', hint: 'try again' });
      });
      rest += done ? '\n' : value;
      const parts = rest.split('\n');
      rest = parts.pop();
      for (const part of parts) {
        if (!part.trim()) continue;
        const line = JSON.parse(part);
        if (line.error) throw new Failure(line.error, answer.status);
        if (line.end) return line.end;
        yield line;
      }
      if (done) throw new Failure({ code: 'cut_off', message: 'the answer broke off', hint: 'try again' });
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The same with a function that gets each line; gives back how it ended. */
export async function run(method, path, body, onLine = () => {}, options) {
  const stream = lines(method, path, body, options);
  for (;;) {
    const { done, value } = await stream.next();
    if (done) return value;
    onLine(value);
  }
}

/** All lines as a list, at most so many. */
export async function list(method, path, body, { max = Infinity, ...options } = {}) {
  const all = [];
  for await (const line of lines(method, path, body, options)) {
    all.push(line);
    if (all.length >= max) break;
  }
  return all;
}

/** Sends one part of an upload and tells how far it is; XMLHttpRequest, for fetch tells nothing while it sends. */
export function send(method, address, body, { onProgress = () => {}, signal, headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, address);
    request.setRequestHeader('X-Nuthatch', '1');
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onProgress(event.loaded);
    request.onload = () => {
      let told = {};
      try {
        told = JSON.parse(request.responseText.trim().split('\n').pop() || '{}');
      } catch { /* said below */ }
      if (request.status < 300 && !told.error) return resolve(told);
      if (request.status === 401) say('login');
      return reject(new Failure(told.error ?? { code: 'bad_answer', message: `the node answered with ${request.status}`, hint: '' }, request.status));
    };
    request.onerror = () => {
      lost();
      reject(new Failure({ code: 'offline', message: 'the node does not answer', hint: 'is it on, and in this network?' }));
    };
    request.onabort = () => reject(new DOMException('stopped', 'AbortError'));
    signal?.addEventListener('abort', () => request.abort());
    request.send(body);
  });
}

/** Live events: a stream, else asking every few seconds. Say `live.start()` once there is a session. */
export const live = {
  source: null, timer: 0, failures: 0, last: null,

  start() {
    this.stop();
    const source = new EventSource(PREFIX + 'events');
    this.source = source;
    source.addEventListener('log', (event) => say('log', { id: event.lastEventId, ...JSON.parse(event.data) }));
    source.addEventListener('status', (event) => this.status(JSON.parse(event.data)));
    // Lines of the log were forgotten before they could be sent: what they told of may have changed anything.
    source.addEventListener('lost', (event) => {
      say('lost', JSON.parse(event.data));
      get('status').then((value) => this.status(value), () => {});
    });
    source.onopen = () => { this.failures = 0; };
    source.onerror = () => {
      this.failures += 1;
      if (this.failures > 2 || source.readyState === EventSource.CLOSED) this.poll();
      else this.check();
    };
  },

  status(value) {
    this.last = value;
    say('status', value);
  },

  /** Is the node still there? */
  async check() {
    try {
      await get('session');
    } catch { /* the banner says so */ }
  },

  async poll() {
    this.stop();
    try {
      this.status(await get('status'));
    } catch { /* the banner says so */ }
    if (!this.source) this.timer = setTimeout(() => (online ? this.poll() : undefined), 5000);
  },

  stop() {
    this.source?.close();
    this.source = null;
    clearTimeout(this.timer);
  },
};
