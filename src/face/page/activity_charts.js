// Charts of the last day and month, drawn by hand; the same figures as a table for who cannot see them.
import { html, useEffect, useRef, useState } from './preact.js';
import { Card, Loading, Notice, Table, useLoad } from './ui.js';
import { date, size, speed, t, time } from './i18n.js';
import * as api from './api.js';

const [WIDTH, HEIGHT] = [600, 150];

/** `day` and `month`: {step_us, end, sent_bytes, received_bytes, stored_bytes, saved_bytes}. */
export function Charts() {
  const [which, setWhich] = useState('day');
  const { value, error, again } = useLoad(() => api.get('charts'), []);
  useEffect(() => {
    const timer = setInterval(again, 120_000);
    return () => clearInterval(timer);
  }, []);
  if (error && !value) return html`<${Notice} state="warn">${t('charts.none')}<//>`;
  if (!value) return html`<${Card}><${Loading} /><//>`;
  const part = value[which];
  const seconds = part.step_us / 1e6;
  const rates = (list) => list.map((bytes) => (bytes === null ? null : bytes / seconds));
  const given = { part, which };
  const toggle = html`<div class="segments" role="group" aria-label=${t('charts.span')}>${['day', 'month'].map((key) => html`<button type="button" key=${key} aria-pressed=${key === which ? 'true' : 'false'} onClick=${() => setWhich(key)}>${t(`charts.${key}`)}</button>`)}</div>`;
  return html`<${Card} title=${t('charts.title')} icon="chart" actions=${toggle} className="charts"><div class="chart-row">
    <${Chart} ...${given} title=${t('charts.speed')} tell=${speed} series=${[{ name: t('charts.sent'), tone: 'one', values: rates(part.sent_bytes) }, { name: t('charts.received'), tone: 'two', values: rates(part.received_bytes) }]} now="last" />
    <${Chart} ...${given} title=${t('charts.stored')} tell=${size} series=${[{ name: t('charts.stored'), tone: 'one', values: part.stored_bytes }]} now="sum" bars />
    <${Chart} ...${given} title=${t('charts.saved')} tell=${size} series=${[{ name: t('charts.saved'), tone: 'three', values: part.saved_bytes }]} now="sum" bars /></div>
    <details class="chart-table"><summary>${t('charts.table')}</summary><${Figures} ...${given} /></details><//>`;
}

const whenOf = (part, index, count) => new Date(new Date(part.end) - ((count - 1 - index) * part.step_us) / 1000);
const known = (values) => values.filter((value) => value !== null && value !== undefined);

/** A round number at or above, so that the axis can be read. */
function ceiling(value) {
  if (value <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10].find((times) => times * unit >= value) * unit;
}

function Chart({ part, which, title, tell, series, now, bars }) {
  const box = useRef();
  const [at, setAt] = useState(null);
  const count = series[0].values.length;
  const all = series.flatMap((one) => known(one.values));
  const top = ceiling(Math.max(0, ...all));
  const x = (index) => (bars ? (index + 0.5) * (WIDTH / count) : (index * WIDTH) / (count - 1));
  const y = (value) => HEIGHT - (HEIGHT - 6) * (value / top);
  const figure = (one) => {
    const some = known(one.values);
    if (!some.length) return '\u2013';
    return tell(now === 'sum' ? some.reduce((sum, value) => sum + value, 0) : some[some.length - 1]);
  };
  const move = (event) => {
    const frame = box.current.getBoundingClientRect();
    setAt(Math.max(0, Math.min(count - 1, Math.round(((event.clientX - frame.left) / frame.width) * (count - 1)))));
  };
  const moment = (index) => (which === 'day' ? time(whenOf(part, index, count)) : `${date(whenOf(part, index, count))} ${time(whenOf(part, index, count))}`);
  const summary = series.map((one) => `${one.name}: ${figure(one)}`).join(', ');
  return html`<figure class="chart"><figcaption><span class="soft">${title}</span><span class="chart-now figure">${at === null ? series.map((one) => html`<span key=${one.name} class=${`key ${one.tone}`}>${series.length > 1 && html`<i></i>`}${figure(one)}</span>`)
    : series.map((one) => html`<span key=${one.name} class=${`key ${one.tone}`}>${series.length > 1 && html`<i></i>`}${one.values[at] === null ? t('charts.unknown') : tell(one.values[at])}</span>`)}</span>
      <small>${at === null ? (series.length > 1 ? `${series.map((one) => one.name).join(' / ')}` : t(now === 'sum' ? `charts.sum.${which}` : 'charts.now')) : moment(at)}</small></figcaption>
    <div class="plot" ref=${box} onPointerMove=${move} onPointerLeave=${() => setAt(null)}><svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${`${title}, ${t(`charts.${which}`)}: ${summary}`}>
      ${unknown(series, count).map(([from, to]) => html`<rect class="unknown" x=${x(from)} y="0" width=${Math.max(1, x(to) - x(from))} height=${HEIGHT} />`)}
      ${[0.25, 0.5, 0.75].map((share) => html`<line class="rule" x1="0" x2=${WIDTH} y1=${y(top * share)} y2=${y(top * share)} />`)}
      ${series.map((one) => (bars ? html`<path class=${`fill solid ${one.tone}`} d=${barsOf(one.values, x, y, WIDTH / count)} />` : html`<path class=${`fill ${one.tone}`} d=${lineOf(one.values, x, y, true)} /><path class=${`stroke ${one.tone}`} d=${lineOf(one.values, x, y)} />`))}
      ${at !== null && html`<line class="cursor" x1=${x(at)} x2=${x(at)} y1="0" y2=${HEIGHT} />`}</svg>
      <span class="scale figure" aria-hidden="true">${all.some((value) => value > 0) ? tell(top) : ''}</span>${all.length < series.length * count * 0.4 && html`<span class="young">${t('charts.young')}</span>`}</div>
    <div class="axis figure" aria-hidden="true"><span>${which === 'day' ? time(whenOf(part, 0, count)) : date(whenOf(part, 0, count))}</span><span>${which === 'day' ? time(whenOf(part, count >> 1, count)) : date(whenOf(part, count >> 1, count))}</span><span>${t('charts.now')}</span></div></figure>`;
}

/** Where nothing is known of any series, from and to. */
function unknown(series, count) {
  const gaps = [];
  for (let index = 0; index < count; index += 1) {
    if (series.some((one) => one.values[index] !== null && one.values[index] !== undefined)) continue;
    const last = gaps[gaps.length - 1];
    if (last && last[1] === index - 1) last[1] = index;
    else gaps.push([index, index]);
  }
  return gaps;
}

function lineOf(values, x, y, isArea) {
  let [path, from] = ['', null];
  const close = (index) => (isArea && from !== null ? `L${x(index).toFixed(1)} ${HEIGHT}L${x(from).toFixed(1)} ${HEIGHT}Z` : '');
  values.forEach((value, index) => {
    if (value === null || value === undefined) {
      path += close(index - 1);
      from = null;
      return;
    }
    path += `${from === null ? 'M' : 'L'}${x(index).toFixed(1)} ${y(value).toFixed(1)}${isArea ? '' : 'h.01'}`;
    from ??= index;
  });
  return path + close(values.length - 1);
}

const barsOf = (values, x, y, step) => values.map((value, index) => (value ? `M${(x(index) - step * 0.42).toFixed(1)} ${HEIGHT}V${Math.min(HEIGHT - 1, y(value)).toFixed(1)}h${(step * 0.84).toFixed(1)}V${HEIGHT}Z` : '')).join('');

/** An hour of a day, or a day of a month, a row. */
function Figures({ part, which }) {
  const count = part.sent_bytes.length;
  const group = Math.round((which === 'day' ? 3.6e9 : 8.64e10) / part.step_us);
  const rows = [];
  for (let end = count; end > 0; end -= group) {
    const some = (key) => known(part[key].slice(Math.max(0, end - group), end));
    const sum = (key) => (some(key).length ? some(key).reduce((total, value) => total + value, 0) : null);
    rows.push({ at: whenOf(part, end - 1, count), sent: sum('sent_bytes'), received: sum('received_bytes'), stored: sum('stored_bytes'), saved: sum('saved_bytes') });
  }
  const column = (key) => ({ key, title: t(`charts.${key}`), align: 'right', cell: (row) => size(row[key]) });
  return html`<${Table} caption=${t('charts.table')} rows=${rows} keyOf=${(row) => `${row.at}`} columns=${[{ key: 'at', title: t('charts.until'), cell: (row) => (which === 'day' ? time(row.at) : date(row.at)) }, column('sent'), column('received'), column('stored'), column('saved')]} />`;
}
