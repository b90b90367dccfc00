// The parts that every view is made of. What comes from the node gets into the page as text, never as markup.
import { html, useEffect, useLayoutEffect, useRef, useState } from './preact.js';
import { t, onLanguage, ago, dateTime, size } from './i18n.js';
import { ICONS } from './icons.js';
import * as api from './api.js';

export { html };
const cx = (...names) => names.filter(Boolean).join(' ');
let lastId = 0;
const freshId = () => `u${(lastId += 1)}`;
export function useId() {
  return useState(freshId)[0];
}

export function Icon({ name, label, size: side = 20 }) {
  return html`<svg class="icon" width=${side} height=${side} viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width=${name === 'more' ? 2.8 : 1.7}
    stroke-linecap="round" stroke-linejoin="round" role=${label ? 'img' : undefined} aria-label=${label} aria-hidden=${label ? undefined : 'true'}>
    <path d=${ICONS[name] ?? ICONS.question} /></svg>`;
}

/** kind: primary, plain (default), quiet, danger. With `icon` alone, `label` is its name for screen readers. */
export function Button({ kind = 'plain', icon, label, children, busy, small, href, className, ...rest }) {
  const names = cx('button', kind, small && 'small', !children && 'only-icon', className);
  const inside = html`${busy ? html`<span class="spinner" aria-hidden="true"></span>` : icon && html`<${Icon} name=${icon} size=${small ? 17 : 19} />`}${children && html`<span>${children}</span>`}`;
  if (href) return html`<a class=${names} href=${href} aria-label=${label} title=${label} ...${rest}>${inside}</a>`;
  return html`<button type="button" class=${names} aria-label=${label} title=${label} aria-busy=${busy ? 'true' : undefined} ...${rest} disabled=${rest.disabled || busy}>${inside}</button>`;
}

/** A button whose work is a promise: it is busy meanwhile, and a failure is said in a toast. */
export function Doing({ action, done, ...rest }) {
  const [busy, setBusy] = useState(false);
  const press = async () => {
    setBusy(true);
    try {
      await action();
      if (done) toast(done, 'good');
    } catch (error) {
      failed(error);
    }
    setBusy(false);
  };
  return html`<${Button} ...${rest} busy=${busy} onClick=${press} />`;
}

export function Card({ title, icon, actions, children, className, tone }) {
  const id = useId();
  return html`<section class=${cx('card', tone, className)} aria-labelledby=${title ? id : undefined}>
    ${title && html`<header class="card-head"><h2 id=${id}>${icon && html`<${Icon} name=${icon} />`}${title}</h2>${actions && html`<div class="row">${actions}</div>`}</header>`}
    ${children}</section>`;
}

/** A view: heading, buttons beside it, content. */
export function Page({ title, lead, actions, children, wide }) {
  useEffect(() => { document.title = `${title} \u00b7 nuthatch`; }, [title]);
  return html`<div class=${cx('page', wide && 'wide')}>
    <header class="page-head"><div><h1>${title}</h1>${lead && html`<p class="lead">${lead}</p>`}</div>${actions && html`<div class="row">${actions}</div>`}</header>
    ${children}</div>`;
}

/** How something is: good, warn, bad or unknown; never by colour alone. */
export function Pill({ state = 'unknown', children }) {
  const icon = { good: 'check', warn: 'warn', bad: 'alert', unknown: 'question', info: 'info' }[state];
  return html`<span class=${cx('pill', state)}><${Icon} name=${icon} size="14" />${children}</span>`;
}

export function Progress({ value, max = 1, label, tone }) {
  const known = value !== null && value !== undefined && max > 0;
  const part = known ? Math.min(100, (100 * value) / max) : undefined;
  return html`<div class=${cx('progress', tone, !known && 'unknown')} role="progressbar" aria-label=${label} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${known ? Math.round(part) : undefined}>
    <div class="bar" style=${known ? { width: `${part}%` } : undefined}></div></div>`;
}

export function Empty({ icon = 'info', title, children, action }) {
  return html`<div class="empty"><span class="empty-icon"><${Icon} name=${icon} size="30" /></span><h3>${title}</h3>${children && html`<p>${children}</p>`}${action}</div>`;
}

/** A labelled control. `as`: input (default), select, textarea; `options`: [value, text] pairs of a select. */
export function Field({ label, hint, error, as = 'input', options, value, onValue, className, focus, ...rest }) {
  const id = useId();
  const box = useRef();
  useEffect(() => { if (focus) box.current?.focus(); }, []);
  const given = { ref: box, id, value, onInput: (event) => onValue?.(event.target.value), 'aria-describedby': hint || error ? `${id}h` : undefined, 'aria-invalid': error ? 'true' : undefined, ...rest };
  let control;
  if (as === 'select') control = html`<select ...${given} onChange=${given.onInput}>${options.map(([key, text]) => html`<option value=${key} selected=${key === value}>${text}</option>`)}</select>`;
  else if (as === 'textarea') control = html`<textarea rows="4" ...${given}></textarea>`;
  else control = html`<input type="text" ...${given} />`;
  return html`<div class=${cx('field', className)}><label for=${id}>${label}</label>${control}${(hint || error) && html`<p id=${`${id}h`} class=${error ? 'field-error' : 'hint'}>${error || hint}</p>`}</div>`;
}

/** One of a few, as radio buttons that look like cards: options of [value, title, text]. */
export function Choice({ label, options, value, onValue, columns }) {
  const name = useId();
  return html`<fieldset class=${cx('choice', columns && 'columns')}><legend>${label}</legend>${options.map(([key, title, text, icon]) => html`
    <label class=${cx('choice-item', key === value && 'chosen')}><input type="radio" name=${name} value=${key} checked=${key === value} onChange=${() => onValue(key)} />
    ${icon && html`<${Icon} name=${icon} size="22" />`}<span><strong>${title}</strong>${text && html`<small>${text}</small>`}</span></label>`)}</fieldset>`;
}

export function Switch({ label, hint, checked, onValue, ...rest }) {
  const id = useId();
  return html`<div class="switch"><div><label for=${id}>${label}</label>${hint && html`<p class="hint" id=${`${id}h`}>${hint}</p>`}</div>
    <input id=${id} type="checkbox" role="switch" checked=${checked} aria-describedby=${hint ? `${id}h` : undefined} onChange=${(event) => onValue(event.target.checked)} ...${rest} /></div>`;
}

/** A modal dialog; `onClose` when it is left by Escape, the cross or a press beside it. `footer`: its buttons. */
export function Dialog({ title, children, footer, onClose, wide, onSubmit }) {
  const box = useRef();
  const id = useId();
  useLayoutEffect(() => {
    const before = document.activeElement;
    box.current.showModal();
    box.current.querySelector('[autofocus]')?.focus();
    return () => before?.focus?.();
  }, []);
  const close = (event) => {
    event?.preventDefault();
    onClose();
  };
  const submit = (event) => {
    event.preventDefault();
    onSubmit?.();
  };
  return html`<dialog ref=${box} class=${cx('dialog', wide && 'wide')} aria-labelledby=${id} onCancel=${close} onMouseDown=${(event) => event.target === box.current && close()}>
    <form class="dialog-inside" method="dialog" onSubmit=${submit}>
    <header class="dialog-head"><h2 id=${id}>${title}</h2><${Button} kind="quiet" icon="close" label=${t('do.close')} onClick=${close} /></header>
    <div class="dialog-body">${children}</div>${footer && html`<footer class="dialog-foot">${footer}</footer>`}</form></dialog>`;
}

/** Buttons behind a button: items of {text, icon, action, danger, href}; arrow keys move. */
export function Menu({ label, icon = 'more', items, kind = 'quiet', children }) {
  const [open, setOpen] = useState(false);
  const box = useRef();
  useEffect(() => {
    if (!open) return undefined;
    const list = box.current.querySelector('.menu-list');
    // Where there is no room below, it opens upwards.
    if (list.getBoundingClientRect().bottom > innerHeight - 70 && list.offsetHeight < box.current.getBoundingClientRect().top) list.classList.add('above');
    box.current.querySelector('[role=menuitem]')?.focus({ preventScroll: true });
    const outside = (event) => box.current?.contains(event.target) || setOpen(false);
    document.addEventListener('pointerdown', outside);
    return () => document.removeEventListener('pointerdown', outside);
  }, [open]);
  const shut = () => {
    setOpen(false);
    box.current?.querySelector('button')?.focus();
  };
  const keys = (event) => {
    const all = [...box.current.querySelectorAll('[role=menuitem]')];
    const place = all.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === 'Escape' && open) shut();
    else if (step && open) all[(place + step + all.length) % all.length]?.focus();
    else if (event.key === 'ArrowDown') setOpen(true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const shown = items.filter(Boolean);
  return html`<div class="menu" ref=${box} onKeyDown=${keys}><${Button} kind=${kind} icon=${icon} label=${children ? undefined : label} aria-haspopup="menu" aria-expanded=${open ? 'true' : 'false'} onClick=${() => setOpen(!open)}>${children}<//>
    ${open && html`<div class="menu-list" role="menu" aria-label=${label}>${shown.map((item) => (item.href
      ? html`<a role="menuitem" tabindex="-1" class="menu-item" href=${item.href} download=${item.download} onClick=${() => setOpen(false)}><${Icon} name=${item.icon ?? 'right'} size="18" />${item.text}</a>`
      : html`<button type="button" role="menuitem" tabindex="-1" class=${cx('menu-item', item.danger && 'danger')} onClick=${() => { shut(); item.action(); }}><${Icon} name=${item.icon ?? 'right'} size="18" />${item.text}</button>`))}</div>`}</div>`;
}

/** columns: {key, title, cell(row), align, wide}; on a phone each row is a small card. */
export function Table({ columns, rows, keyOf, caption, empty }) {
  if (!rows.length) return empty ?? null;
  return html`<div class="table-box"><table class="table"><caption class="out-of-sight">${caption}</caption>
    <thead><tr>${columns.map((column) => html`<th scope="col" class=${column.align}>${column.title || html`<span class="out-of-sight">${t('table.actions')}</span>`}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${keyOf(row)}>${columns.map((column) => html`<td class=${cx(column.align, !column.title && 'actions')} data-title=${column.title}>${column.cell(row)}</td>`)}</tr>`)}</tbody></table></div>`;
}

export const Loading = ({ text }) => html`<div class="loading" role="status"><span class="spinner" aria-hidden="true"></span>${text ?? t('wait')}</div>`;

/** What went wrong, in the place where it was to be. */
export function Trouble({ error, again }) {
  return html`<div class="notice bad" role="alert"><${Icon} name="alert" /><div><strong>${error.message}</strong>${error.hint && html`<p>${error.hint}</p>`}${again && html`<${Button} small icon="refresh" onClick=${again}>${t('do.again')}<//>`}</div></div>`;
}

export const Notice = ({ state = 'info', children }) => html`<div class=${cx('notice', state)}><${Icon} name=${{ good: 'check', warn: 'warn', bad: 'alert' }[state] ?? 'info'} /><div>${children}</div></div>`;
export const When = ({ at }) => (at ? html`<time datetime=${at} title=${dateTime(at)}>${ago(at)}</time>` : '\u2013');
export const Size = ({ bytes }) => html`<span class="figure">${size(bytes)}</span>`;

// Toasts ---------------------------------------------------------------------------------------------------------------
let toasts = [];
let showToasts = () => {};

export function toast(text, state = 'info', hint = '') {
  const one = { id: freshId(), text, state, hint };
  toasts = [...toasts.slice(-2), one];
  showToasts(toasts);
  setTimeout(() => drop(one.id), state === 'bad' ? 9000 : 4500);
}

function drop(id) {
  toasts = toasts.filter((one) => one.id !== id);
  showToasts(toasts);
}

/** Says a failure; one that is only an abort is none. */
export function failed(error) {
  if (error?.name === 'AbortError') return;
  if (error?.name !== 'Failure') console.error(error);
  toast(error.message, 'bad', error.hint);
}

export function Toasts() {
  const [all, setAll] = useState(toasts);
  showToasts = setAll;
  return html`<div class="toasts" role="status" aria-live="polite">${all.map((one) => html`<div key=${one.id} class=${cx('toast', one.state)}><${Icon} name=${{ good: 'check', bad: 'alert', warn: 'warn' }[one.state] ?? 'info'} /><div>${one.text}${one.hint && html`<p>${one.hint}</p>`}</div><${Button} kind="quiet" small icon="close" label=${t('do.close')} onClick=${() => drop(one.id)} /></div>`)}</div>`;
}

// What is asked of the node -------------------------------------------------------------------------------------------
/** Asks with `load` (and again when `deps` change, on `again()` and when the node is back): {value, error, again}. */
export function useLoad(load, deps = []) {
  const [told, setTold] = useState({});
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let current = true;
    load().then(
      (value) => current && setTold({ value }),
      (error) => current && error.name !== 'AbortError' && setTold((before) => ({ value: before.value, error })),
    );
    return () => { current = false; };
  }, [...deps, turn]);
  useEffect(() => api.on('online', (there) => there && setTurn((before) => before + 1)), []);
  return { ...told, again: () => setTurn((before) => before + 1) };
}

/** The newest status, live. */
export function useStatus() {
  const [status, setStatus] = useState(api.live.last);
  useEffect(() => api.on('status', setStatus), []);
  return status;
}

export function useLanguage() {
  const [, turn] = useState(0);
  useEffect(() => onLanguage(() => turn((before) => before + 1)), []);
}

/** May somebody with this session do what takes this role? */
export const may = (session, role) => ['read', 'member', 'admin'].indexOf(session?.role) >= ['read', 'member', 'admin'].indexOf(role);

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const box = document.createElement('textarea');
    box.value = text;
    document.body.append(box);
    box.select();
    document.execCommand('copy');
    box.remove();
  }
  toast(t('copied'), 'good');
}
