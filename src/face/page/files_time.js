// Going back in time: a slider over the snapshots of a folder, and what changed from one to the next.
import { html, useEffect, useState } from './preact.js';
import { Button, Card, Empty, Icon, Loading, Pill, Trouble, useLoad } from './ui.js';
import { date, dateTime, number, size, t, time } from './i18n.js';
import * as api from './api.js';
import { entryOf, hrefOf, iconOf, momentsOf, shown, whatOf } from './files_tools.js';

const SHOWN_MAX = 500;

/** The moments of a folder, newest first; asked again when there is a newer one. */
export function useMoments(folder, newest, isShared, wanted) {
  return useLoad(async () => {
    if (!wanted) return null;
    return momentsOf(await api.list('GET', api.url('snapshots', { folder })), isShared);
  }, [folder, newest, isShared, wanted]);
}

const placeOf = (moments, snapshot) => moments.findIndex((one) => one.snapshot.startsWith(snapshot));

/** The bar with the slider. `go(snapshot or '')`. */
export function TimeBar({ moments, snapshot, go, changesHref }) {
  const at = snapshot ? placeOf(moments, snapshot) : 0;
  const [drag, setDrag] = useState(null);
  useEffect(() => setDrag(null), [snapshot]);
  const count = moments.length;
  if (!count) return null;
  const place = drag ?? Math.max(0, at);
  const moment = moments[place];
  const first = moments[count - 1];
  const isNow = place === 0 && (drag !== null || !snapshot);
  const choose = (next) => go(next <= 0 ? '' : moments[Math.min(next, count - 1)].snapshot);
  const told = isNow ? t('files.now') : dateTime(moment.taken);
  return html`<section class="time-bar" aria-label=${t('files.timeline')}>
    <div class="time-head"><${Icon} name="clock" /><div class="grow"><strong>${told}</strong>
      <small>${t('files.moment', { files: moment.files, n: moment.files, size: size(moment.bytes) })}${moment.writer ? ` \u00b7 ${moment.writer}` : ''}</small></div>
      <${Button} small kind="quiet" icon="left" label=${t('files.older')} disabled=${place >= count - 1} onClick=${() => choose(place + 1)} />
      <${Button} small kind="quiet" icon="right" label=${t('files.newer')} disabled=${place <= 0 && !snapshot} onClick=${() => choose(place - 1)} />
      <${Button} small icon="activity" href=${changesHref}>${t('files.changes')}<//></div>
    <div class="time-slide"><input type="range" min="0" max=${count - 1} value=${count - 1 - place} disabled=${count < 2} aria-label=${t('files.timeline')} aria-valuetext=${told}
      onInput=${(event) => setDrag(count - 1 - Number(event.target.value))} onChange=${(event) => choose(count - 1 - Number(event.target.value))} />
      <div class="time-marks" aria-hidden="true">${count < 150 && moments.map((one, index) => html`<i key=${one.snapshot} class=${one === moment ? 'on' : ''} style=${{ left: `${count < 2 ? 100 : (100 * (count - 1 - index)) / (count - 1)}%` }}></i>`)}</div>
      <div class="time-ends" aria-hidden="true"><span>${date(first.taken)}</span><span>${t('files.now')}</span></div></div></section>`;
}

/** The list of moments, each with what changed, when it is opened. */
export function Changes({ folder, newest, isShared, open }) {
  const { value: moments, error, again } = useMoments(folder, newest, isShared, true);
  const [most, setMost] = useState(60);
  if (error && !moments) return html`<${Trouble} error=${error} again=${again} />`;
  if (!moments) return html`<${Loading} />`;
  if (!moments.length) return html`<${Empty} icon="clock" title=${t('files.never')}>${t('files.never.text')}<//>`;
  const days = [];
  moments.slice(0, most).forEach((moment, index) => {
    const day = date(moment.taken);
    if (days[days.length - 1]?.day !== day) days.push({ day, list: [] });
    days[days.length - 1].list.push({ moment, before: moments[index + 1] });
  });
  return html`${days.map(({ day, list }) => html`<${Card} key=${day} title=${day} className="moments">
    <ul>${list.map(({ moment, before }) => html`<${Moment} key=${moment.snapshot} folder=${folder} moment=${moment} before=${before} isOpen=${open && moment.snapshot.startsWith(open)} isNewest=${moment === moments[0]} />`)}</ul><//>`)}
    ${moments.length > most && html`<div class="row center"><${Button} onClick=${() => setMost(most + 200)}>${t('files.more')}<//></div>`}`;
}

function Moment({ folder, moment, before, isOpen, isNewest }) {
  const [open, setOpen] = useState(Boolean(isOpen));
  const grown = before ? moment.bytes - before.bytes : moment.bytes;
  const files = before ? moment.files - before.files : moment.files;
  const signed = (value, told) => (value > 0 ? `+${told}` : value < 0 ? `\u2212${told}` : '');
  const delta = [files && `${signed(files, number(Math.abs(files)))} ${t('files.files', { n: Math.abs(files) })}`, grown && signed(grown, size(Math.abs(grown)))].filter(Boolean).join(', ');
  const safe = moment.protected;
  return html`<li class="moment"><button type="button" class="moment-head" aria-expanded=${open ? 'true' : 'false'} onClick=${() => setOpen(!open)}>
      <span class="moment-time figure">${time(moment.taken)}</span><span class="grow"><strong>${t('files.moment', { files: moment.files, n: moment.files, size: size(moment.bytes) })}</strong>
      <small>${[delta || (before ? t('files.same.size') : t('files.first')), moment.writers ? [...moment.writers].join(', ') : moment.writer].filter(Boolean).join(' \u00b7 ')}</small></span>
      ${moment.partial ? html`<${Pill} state="warn">${t('files.partial')}<//>` : safe && html`<${Pill} state=${safe.have >= safe.wanted ? 'good' : 'warn'}>${t('files.copies', safe)}<//>`}
      <${Icon} name=${open ? 'down' : 'right'} size="18" /></button>
    ${open && html`<div class="moment-body"><${Differences} folder=${folder} before=${before?.snapshot} after=${moment.snapshot} />
      <div class="row"><${Button} small icon="eye" href=${hrefOf(folder, isNewest ? '' : moment.snapshot, '')}>${t('files.look')}<//></div></div>`}</li>`;
}

const SIGNS = { added: ['plus', 'good'], changed: ['edit', 'info'], deleted: ['trash', 'bad'] };

/** What differs between two snapshots; without a first one, what is in the other. */
function Differences({ folder, before, after }) {
  const { value, error, again } = useLoad(async () => {
    const told = { lines: [], sum: null };
    const address = before ? api.url('diff', { before: whatOf(folder, before), after: `@${after}` }) : api.url('files', { what: whatOf(folder, after), recursive: true });
    for await (const line of api.lines('GET', address)) {
      if (line.event === 'result') told.sum = line;
      else if (line.path !== undefined && told.lines.length < SHOWN_MAX) told.lines.push({ change: 'added', ...entryOf(line) });
      else if (line.path !== undefined) told.cut = true;
      if (told.cut && !before) break;
    }
    // A directory whose times alone changed says nothing that the files in it do not.
    told.lines = told.lines.filter((line) => line.kind !== 'directory' || line.change !== 'changed');
    return told;
  }, [folder, before, after]);
  if (error && !value) return html`<${Trouble} error=${error} again=${again} />`;
  if (!value) return html`<${Loading} />`;
  if (!value.lines.length) return html`<p class="soft">${t('files.nothing.changed')}</p>`;
  return html`<ul class="differences">${value.lines.map((line) => {
    const [icon, tone] = SIGNS[line.change];
    const at = line.change === 'deleted' ? before : '';
    const directory = line.path.slice(0, Math.max(0, line.path.length - line.name.length - 1));
    const inside = html`<bdi class="clip">${shown(line.name)}</bdi>${directory && html`<small class="clip"><bdi>${shown(directory)}</bdi></small>`}`;
    return html`<li key=${line.path_base64 ?? line.path}><span class=${`sign ${tone}`}><${Icon} name=${icon} size="15" label=${t(`files.${line.change}`)} /></span>
      <${Icon} name=${iconOf(line)} size="18" />${line.odd ? html`<span class="difference">${inside}</span>`
      : html`<a class="difference" href=${line.kind === 'directory' ? hrefOf(folder, at, line.path) : hrefOf(folder, at, directory, { open: line.name })}>${inside}</a>`}
      <span class="figure soft">${line.kind === 'file' ? size(line.size_bytes) : ''}</span></li>`;
  })}</ul>${value.cut && html`<p class="soft">${t('files.cut', { n: SHOWN_MAX })}</p>`}`;
}
