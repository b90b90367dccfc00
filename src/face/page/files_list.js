// A list of any length of which only what is seen is drawn.
import { html, useEffect, useLayoutEffect, useRef, useState } from './preact.js';

const SPARE = 8;
/** Rows by which what is drawn moves on. */
const STEP = 4;

/** Whether the window is as narrow as a phone's. */
export function useNarrow() {
  const [narrow, setNarrow] = useState(() => matchMedia('(max-width: 719px)').matches);
  useEffect(() => {
    const query = matchMedia('(max-width: 719px)');
    const changed = () => setNarrow(query.matches);
    query.addEventListener('change', changed);
    return () => query.removeEventListener('change', changed);
  }, []);
  return narrow;
}

/**
 * Rows of equal height, in the flow of the page. `row(entry, index, isCurrent)` draws one; the element of class `row-main` in it
 * takes the focus. Arrow keys, Page, Home, End move; `onKey(event, entry)` gets the rest.
 */
export function LongList({ rows, height, row, head, label, columns, onKey }) {
  const box = useRef();
  const wanted = useRef(false);
  const drawn = useRef({});
  const [range, setRange] = useState([0, 60]);
  const [current, setCurrent] = useState(0);

  useLayoutEffect(() => {
    let frame = 0;
    const look = () => {
      frame = 0;
      if (!box.current) return;
      const above = -box.current.getBoundingClientRect().top;
      const first = Math.max(0, Math.floor((above / height - SPARE) / STEP) * STEP);
      const last = Math.min(rows.length, Math.ceil(((above + innerHeight) / height + SPARE) / STEP) * STEP);
      setRange((before) => (before[0] === first && before[1] === last ? before : [first, Math.max(first, last)]));
    };
    const later = () => { frame ||= requestAnimationFrame(look); };
    look();
    addEventListener('scroll', later, { passive: true });
    addEventListener('resize', later);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener('scroll', later);
      removeEventListener('resize', later);
    };
  }, [rows.length, height]);

  useLayoutEffect(() => {
    if (!wanted.current) return;
    const target = box.current.querySelector(`[data-row="${current}"] .row-main`);
    if (!target) return;
    wanted.current = false;
    target.focus({ preventScroll: true });
  });

  const go = (index) => {
    const place = Math.max(0, Math.min(rows.length - 1, index));
    wanted.current = true;
    setCurrent(place);
    const top = box.current.getBoundingClientRect().top + place * height;
    const [from, to] = [120, innerHeight - 140];
    if (top < from) scrollBy(0, top - from);
    else if (top + height > to) scrollBy(0, top + height - to);
  };
  const keys = (event) => {
    if (event.target.closest('[role=menu]') || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor((innerHeight - 260) / height));
    const to = { ArrowDown: current + 1, ArrowUp: current - 1, PageDown: current + page, PageUp: current - page, Home: 0, End: rows.length - 1 }[event.key];
    if (to !== undefined && rows.length) {
      go(to);
      event.preventDefault();
    } else if (rows[current]) onKey?.(event, rows[current]);
  };
  const focused = (event) => {
    const at = event.target.closest('[data-row]');
    if (at) setCurrent(Number(at.dataset.row));
  };

  // What is drawn already is not drawn again while one scrolls.
  if (drawn.current.row !== row) drawn.current = { row, by: new Map() };
  const draw = (entry, index, isCurrent) => {
    const before = drawn.current.by.get(index);
    if (before?.entry === entry && before.isCurrent === isCurrent && before.height === height) return before.node;
    const node = html`<div key=${entry.id ?? entry.path_base64 ?? entry.path} role="row" class="long-row" data-row=${index} aria-rowindex=${index + 2} style=${{ top: `${index * height}px`, height: `${height}px` }}>${row(entry, index, isCurrent)}</div>`;
    drawn.current.by.set(index, { entry, isCurrent, height, node });
    return node;
  };
  for (const index of drawn.current.by.keys()) if (index < range[0] || index >= range[1]) drawn.current.by.delete(index);
  const [first, last] = [Math.min(range[0], rows.length), Math.min(range[1], rows.length)];
  return html`<div class="long" role="table" aria-label=${label} aria-rowcount=${rows.length + 1} aria-colcount=${columns} onKeyDown=${keys} onfocusin=${focused}>
    <div role="rowgroup" class="long-head">${head}</div>
    <div role="rowgroup" class="long-body" ref=${box} style=${{ height: `${rows.length * height}px` }}>${rows.slice(first, last).map((entry, offset) => draw(entry, first + offset, first + offset === Math.min(current, rows.length - 1)))}</div></div>`;
}
