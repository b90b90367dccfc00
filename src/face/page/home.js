// Home: is everything all right, what needs attention, what would be lost, who is there.
import { useEffect, useState } from './preact.js';
import { html, Button, Card, Dialog, Doing, Empty, Icon, Loading, Menu, Page, Pill, Progress, When, failed, toast, useLoad } from './ui.js';
import { ago, date, dateTime, percent, size, span, t } from './i18n.js';
import { nodeSays } from './node_words.js';
import * as api from './api.js';
import './home_words.js';

/** How all of it is: good, warn, bad, or unknown where that is not known. */
export function stateOf(status) {
  if (!status || status.state !== 'member') return 'unknown';
  const severities = (status.attention ?? []).map((one) => one.severity);
  const folders = (status.folders ?? []).filter((folder) => !folder.removed);
  if (severities.includes('danger')) return 'bad';
  if (severities.includes('trouble') || folders.some((folder) => folder.state !== 'protected')) return 'warn';
  return folders.length ? 'good' : 'unknown';
}

const stateOfFolder = (folder) => ({ protected: 'good', partly_protected: 'warn', partial: 'warn', never: 'warn', failed: 'bad' }[folder.state] ?? 'unknown');

/** What one button can do about a concern: from the first command in its hint that the page knows. */
export function remedyOf(concern) {
  for (const [, command] of (concern.hint ?? '').matchAll(/`nuthatch ([^`]+)`/g)) {
    const [verb, ...rest] = command.split(' ');
    const [first = ''] = rest;
    const found = {
      invite: () => ({ text: t('fix.invite'), icon: 'plus', href: '#/devices?invite=1' }),
      backup: () => ({ text: t('fix.backup'), icon: 'refresh', action: () => backUp(first.startsWith('-') ? undefined : first) }),
      resume: () => ({ text: t('fix.resume'), icon: 'play', action: () => api.post('resume') }),
      drill: () => ({ text: t('fix.drill'), icon: 'shield', action: () => drill() }),
      verify: () => ({ text: t('fix.verify'), icon: 'shield', action: () => verify() }),
      confirm: () => ({ text: t('fix.answer'), icon: 'question', ask: first }),
      nodes: () => ({ text: t('fix.devices'), icon: 'devices', href: '#/devices' }),
      remove: () => ({ text: t('fix.devices'), icon: 'devices', href: '#/devices' }),
      status: () => ({ text: t('fix.devices'), icon: 'devices', href: '#/devices' }),
      log: () => ({ text: t('fix.log'), icon: 'activity', href: '#/activity' }),
      config: () => ({ text: t('fix.settings'), icon: 'settings', href: `#/settings/all?key=${encodeURIComponent(rest[1] ?? '')}` }),
      folder: () => ({ text: t('fix.folder'), icon: 'edit', href: `#/folders/${encodeURIComponent(rest[1] ?? '')}` }),
      erase: () => ({ text: t('fix.folder'), icon: 'edit', href: `#/folders/${encodeURIComponent(first)}` }),
      forget: () => ({ text: t('fix.folder'), icon: 'edit', href: '#/folders' }),
    }[verb];
    if (found) return found();
  }
  return null;
}

const backUp = async (name) => {
  await api.run('POST', 'backup', { name, wait: false });
  toast(t('home.backup.done'), 'good');
};

async function drill() {
  const end = await api.run('POST', 'drill', {});
  toast(t(end === 'complete' ? 'home.drill.done' : 'home.drill.partly'), end === 'complete' ? 'good' : 'warn');
}

async function verify() {
  const end = await api.run('POST', 'verify', { all: true });
  toast(t('home.verify.done'), end === 'complete' ? 'good' : 'warn');
}

function Concern({ concern, onAsk, may }) {
  const remedy = may('admin') ? remedyOf(concern) : null;
  const state = { danger: 'bad', trouble: 'warn' }[concern.severity] ?? 'info';
  let button = null;
  if (remedy?.href) button = html`<${Button} small icon=${remedy.icon} href=${remedy.href}>${remedy.text}<//>`;
  else if (remedy?.ask) button = html`<${Button} small icon=${remedy.icon} onClick=${() => onAsk(concern, remedy.ask)}>${remedy.text}<//>`;
  else if (remedy) button = html`<${Doing} small icon=${remedy.icon} action=${remedy.action}>${remedy.text}<//>`;
  const hint = (concern.hint ?? '').split('`').map((part, place) => (place % 2 ? html`<code>${part}</code>` : part));
  return html`<li class="concern"><span class=${`dot ${state}`}><${Icon} name=${state === 'info' ? 'info' : 'warn'} size="18" /></span>
    <div class="grow"><p>${nodeSays(concern.message)}</p><details><summary>${t('home.how')}</summary><p class="hint">${hint}</p></details></div>${button}</li>`;
}

/** A question of the node that wants a yes: is what happened meant? */
function Ask({ concern, what, onClose }) {
  return html`<${Dialog} title=${t('ask.title')} onClose=${onClose}
    footer=${html`<${Button} onClick=${onClose} href=${what === 'collect' ? undefined : `#/files/${encodeURIComponent(what)}`}>${t('ask.no')}<//>
      <${Doing} kind="danger" action=${async () => { await api.post('confirm', { what }); onClose(); }} done=${t('ask.told')}>${t('ask.yes')}<//>`}>
    <p><strong>${nodeSays(concern.message)}</strong></p><p class="soft">${t('ask.text')}</p><//>`;
}

function Attention({ status, may }) {
  const [asked, setAsked] = useState(null);
  const [all, setAll] = useState(false);
  const concerns = status.attention ?? [];
  if (!concerns.length) return null;
  const shown = all ? concerns : concerns.slice(0, 3);
  return html`<${Card} title=${t('home.attention')} icon="warn"><ul class="list">${shown.map((concern) => html`<${Concern} key=${concern.message} concern=${concern} may=${may} onAsk=${(one, what) => setAsked({ one, what })} />`)}</ul>
    ${concerns.length > 3 && html`<${Button} kind="quiet" small onClick=${() => setAll(!all)}>${all ? t('home.fewer') : t('home.more', { n: concerns.length - 3 })}<//>`}
    ${asked && html`<${Ask} concern=${asked.one} what=${asked.what} onClose=${() => setAsked(null)} />`}<//>`;
}

function Hero({ status, may }) {
  const state = stateOf(status);
  const icon = { good: 'check', warn: 'warn', bad: 'alert', unknown: 'question' }[state];
  const paused = status.paused;
  const pauseFor = (hours) => api.post('pause', hours ? { span_us: hours * 3.6e9 } : {}).catch(failed);
  return html`<section class=${`hero ${state}`} aria-label=${t('home.state')}><span class="hero-mark"><${Icon} name=${icon} size="34" /></span>
    <div class="grow"><p class="hero-text" data-test="sentence">${nodeSays(status.summary)}</p>
    <p class="hero-more">${t(`home.state.${state}`)}</p></div>
    ${may('member') && html`<div class="row hero-do">
      ${paused ? html`<${Doing} kind="primary" icon="play" action=${() => api.post('resume')}>${t('fix.resume')}<//>`
    : html`<${Doing} kind="primary" icon="refresh" action=${() => backUp()}>${t('home.backup')}<//>`}
      ${may('admin') && !paused && html`<${Menu} label=${t('home.pause')} icon="pause" kind="plain" items=${[1, 8, 24].map((hours) => ({ text: t('home.pause.for', { span: span(hours * 3.6e9) }), icon: 'clock', action: () => pauseFor(hours) })).concat({ text: t('home.pause.open'), icon: 'pause', action: () => pauseFor(0) })} />`}</div>`}</section>`;
}

export function FolderRow({ folder, nodes }) {
  const state = stateOfFolder(folder);
  const writer = nodes?.find((node) => node.node === folder.writer)?.name;
  const { have, wanted, sites } = folder.protected ?? {};
  const isPending = folder.pending_bytes > 0 && folder.protected && have < wanted;
  return html`<li><a class="folder-row" href=${`#/folders/${encodeURIComponent(folder.name)}`}><span class=${`dot ${state}`}><${Icon} name=${folder.kind === 'shared' ? 'link' : 'folder'} size="19" /></span>
    <div class="grow"><div class="row between"><strong class="clip">${folder.name}</strong><${Pill} state=${state}>${folder.scanning ? t('folder.scanning') : t(`folder.state.${folder.state}`)}<//></div>
    <p class="soft">${folder.files === null ? t('folder.nothing') : `${t('folder.files', { n: folder.files })} · ${size(folder.bytes)}`}${writer && ` · ${writer}`}</p>
    ${folder.protected && html`<p class="soft">${t('folder.copies', { have, wanted, n: sites })} · <${When} at=${folder.checked ?? folder.taken} /></p>`}
    ${isPending && html`<div class="pending"><${Progress} value=${have} max=${wanted} tone=${state} label=${t('folder.copies', { have, wanted, n: sites })} /><small>${t('folder.pending', { size: size(folder.pending_bytes) })}${folder.left_us ? ` · ${t('folder.left', { span: span(folder.left_us) })}` : ''}</small></div>`}
    ${folder.failure && html`<p class="field-error">${folder.failure}</p>`}</div></a></li>`;
}

function Folders({ status, nodes, may }) {
  const folders = (status.folders ?? []).filter((folder) => !folder.removed);
  const add = may('admin') && html`<${Button} small icon="plus" href="#/folders?add=1">${t('do.add')}<//>`;
  return html`<${Card} title=${t('home.folders')} icon="folder" actions=${html`${add}<${Button} small kind="quiet" href="#/folders">${t('home.all')}<//>`}>
    ${folders.length ? html`<ul class="list">${folders.map((folder) => html`<${FolderRow} key=${folder.folder} folder=${folder} nodes=${nodes} />`)}</ul>`
    : html`<${Empty} icon="folder" title=${t('home.nofolder')} action=${may('admin') && html`<${Button} kind="primary" icon="plus" href="#/folders?add=1">${t('home.addfolder')}<//>`}>${t('home.nofolder.text')}<//>`}<//>`;
}

/** What becomes of one folder in a fire. */
function lossWords(one) {
  if (!one.left) return t('fire.gone', { folder: one.folder });
  const older = one.older_lost ? t('fire.versions', { folder: one.folder, n: one.older_lost }) : '';
  const back = one.left === one.newest ? '' : t('fire.older', { folder: one.folder, when: `${dateTime(one.left_taken)}` });
  return [back, older].filter(Boolean).join(' ');
}

/** Of one fire: what of the folders would be gone or older. */
const lossOf = (status, is) => (status.losses ?? []).filter(is).flatMap((one) => one.folders);

function Fire({ icon, title, lost, known }) {
  const gone = lost.filter((one) => !one.left);
  const state = !known ? 'unknown' : gone.length ? 'bad' : lost.length ? 'warn' : 'good';
  return html`<li class="item"><span class=${`dot ${state}`}><${Icon} name=${icon} size="19" /></span><div class="grow"><strong>${title}</strong>
    ${!known && html`<p>${t('fire.unknown')}</p>`}${known && !lost.length && html`<p>${t('fire.nothing')}</p>`}
    ${lost.map((one) => html`<p key=${one.folder}>${lossWords(one)}</p>`)}</div></li>`;
}

function Losses({ status, nodes }) {
  const known = (status.folders ?? []).some((folder) => folder.last_snapshot);
  const sites = [...new Set((nodes ?? []).map((node) => node.site).filter(Boolean))].sort((one, other) => (other === status.site) - (one === status.site));
  const others = (nodes ?? []).filter((node) => !node.self);
  const worst = others.map((node) => ({ node, lost: lossOf(status, (one) => one.node === node.node) })).filter(({ lost }) => lost.length);
  return html`<${Card} title=${t('fire.title')} icon="fire"><ul class="list">
    <${Fire} icon="devices" title=${t('fire.box', { name: status.name })} known=${known} lost=${lossOf(status, (one) => one.node === status.node)} />
    ${sites.map((site) => html`<${Fire} key=${site} icon="house" title=${t(site === status.site ? 'fire.house' : 'fire.place', { site })} known=${known} lost=${lossOf(status, (one) => one.site === site)} />`)}
    ${worst.map(({ node, lost }) => html`<${Fire} key=${node.node} icon="devices" title=${t('fire.other', { name: node.name })} known=${known} lost=${lost} />`)}</ul><//>`;
}

function Drill({ status, may }) {
  const { last, running, every_us: every } = status.drill ?? {};
  const state = !last ? 'unknown' : last.problems ? 'bad' : 'good';
  const text = !last ? t('drill.never') : last.problems ? t('drill.bad', { n: last.problems }) : t('drill.good', { n: last.files, size: size(last.bytes) });
  return html`<${Card} title=${t('drill.title')} icon="shield"><div class="item"><span class=${`dot ${state}`}><${Icon} name=${{ good: 'check', bad: 'alert' }[state] ?? 'question'} size="19" /></span><div class="grow"><strong>${text}</strong>
    <p>${last ? html`${ago(last.ended)}${last.nodes?.length ? ` · ${t('drill.from', { n: last.nodes.length ?? last.nodes })}` : ''}` : t('drill.what')}</p>${every && html`<p>${t('drill.every', { span: span(every) })}</p>`}</div></div>
    ${may('admin') && html`<div class="row"><${Doing} icon="shield" busy=${running} action=${drill}>${t('drill.now')}<//><${Button} kind="quiet" icon="restore" href="#/files">${t('drill.restore')}<//></div>`}<//>`;
}

/** In how many days a line through what was stored reaches the limit; null where that is not known. */
export function daysUntilFull(month, limit) {
  const points = (month?.stored_bytes ?? []).map((value, place) => [place, value]).filter(([, value]) => value !== null);
  if (points.length < 24 || !limit) return null;
  const mean = (place) => points.reduce((sum, point) => sum + point[place], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const slope = points.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0) / points.reduce((sum, [a]) => sum + (a - x) ** 2, 0);
  const days = (limit - points.at(-1)[1]) / (slope * (86400e6 / month.step_us));
  return slope <= 0 || days > 3650 ? Infinity : Math.max(0, days);
}

function Machine({ status, may }) {
  const { value: disks } = useLoad(() => (may('admin') ? api.get('disks') : Promise.resolve(null)), []);
  const { value: charts } = useLoad(() => api.get('charts'), []);
  const [drift, setDrift] = useState(null);
  useEffect(() => {
    const asked = Date.now();
    api.ask('GET', 'session').then((answer) => {
      const told = Date.parse(answer.headers.get('date') ?? '');
      if (!Number.isNaN(told)) setDrift(told + 500 - (asked + Date.now()) / 2);
    }, () => {});
  }, []);
  const { store, room } = status;
  const limit = room?.limit_bytes;
  const days = daysUntilFull(charts?.month, limit);
  const used = limit ? store.stored_bytes / limit : null;
  const life = store?.life;
  const home = disks?.disks?.find((disk) => disk.home);
  const clock = drift === null ? 'unknown' : Math.abs(drift) < 30000 ? 'good' : 'warn';
  return html`<${Card} title=${t('machine.title', { name: status.name })} icon="disk">
    <div class="stack tight"><div class="row between"><span>${t('machine.space', { used: size(store?.stored_bytes), limit: size(limit) })}</span><span class="soft figure">${used === null ? '' : percent(used)}</span></div>
    <${Progress} value=${used} max="1" label=${t('machine.space', { used: size(store?.stored_bytes), limit: size(limit) })} tone=${room?.full ? 'bad' : used > 0.9 ? 'warn' : ''} /></div>
    <dl class="facts"><dt>${t('machine.full')}</dt><dd>${days === null ? html`<${Pill}>${t('unknown')}<//>` : days === Infinity ? t('machine.full.never') : t('machine.full.in', { span: span(days * 86400e6) })}</dd>
    <dt>${t('machine.free')}</dt><dd>${size(store?.free_bytes)}</dd>
    ${home && html`<dt>${t('machine.medium')}</dt><dd>${home.sd_card ? html`<${Pill} state="warn">${t('machine.sd')}<//>` : home.sd_card === false ? t(home.removable ? 'machine.usb' : 'machine.disk') : html`<${Pill}>${t('unknown')}<//>`}</dd>`}
    <dt>${t('machine.wear')}</dt><dd>${life ? t('machine.wear.used', { percent: percent(life.used_percent_max / 100) }) : html`<${Pill}>${t('machine.wear.unknown')}<//>`}</dd>
    ${store?.written && html`<dt>${t('machine.written')}</dt><dd>${size(store.written.total_bytes)}</dd>`}
    <dt>${t('machine.clock')}</dt><dd><${Pill} state=${clock}>${clock === 'unknown' ? t('unknown') : clock === 'good' ? t('machine.clock.good') : t('machine.clock.off', { span: span(Math.abs(drift) * 1000) })}<//></dd></dl><//>`;
}

function Devices({ status, nodes, may }) {
  const rows = nodes ?? [];
  const last = (node) => (status.folders ?? []).filter((folder) => folder.writer === node.node && !folder.removed).map((folder) => folder.checked ?? folder.taken).filter(Boolean).sort().at(-1);
  const silent = (node) => (status.silence ?? []).some((one) => one.writer === node.node && one.too_long);
  return html`<${Card} title=${t('home.devices')} icon="devices" actions=${html`${may('admin') && html`<${Button} small icon="plus" href="#/devices?invite=1">${t('fix.invite')}<//>`}<${Button} small kind="quiet" href="#/devices">${t('home.all')}<//>`}><ul class="list">${rows.map((node) => {
    const state = node.self || node.connected ? 'good' : silent(node) ? 'bad' : node.absence?.planned_around ? 'warn' : 'unknown';
    return html`<li key=${node.node} class="item"><span class=${`dot ${state}`}><${Icon} name="devices" size="19" /></span><div class="grow"><div class="row between"><strong class="clip">${node.name}</strong><${Pill} state=${state}>${t(node.self ? 'device.self' : node.connected ? 'device.here' : silent(node) ? 'device.silent' : 'device.away')}<//></div>
    <p>${[node.site, last(node) ? t('device.backup', { when: ago(last(node)) }) : node.role === 'store' ? t('device.store') : t('device.nobackup')].filter(Boolean).join(' · ')}${!node.self && !node.connected && node.absence ? ` · ${t('device.heard', { span: span(node.absence.silent_us) })}` : ''}</p></div></li>`;
  })}</ul><//>`;
}

/** Whether somebody typed recovery words back, or said that the sheet is there. */
function Sheet({ session, renew, may }) {
  const when = session.sheet;
  const say = async () => {
    await api.post('sheet');
    await renew();
  };
  return html`<${Card} title=${t('sheet.title')} icon="key"><div class="item"><span class=${`dot ${when ? 'good' : 'unknown'}`}><${Icon} name=${when ? 'check' : 'question'} size="19" /></span><div class="grow"><strong>${when ? t('sheet.good', { date: date(when) }) : t('sheet.unknown')}</strong><p>${t('sheet.text')}</p></div>
    ${!when && may('admin') && html`<${Doing} small icon="check" action=${say} done=${t('sheet.noted')}>${t('sheet.have')}<//>`}</div><//>`;
}

export default function Home({ status, session, renew, may }) {
  const { value: nodes, again } = useLoad(() => api.get('nodes'), [status?.members, status?.peers?.length]);
  useEffect(() => {
    const timer = setInterval(again, 30000);
    return () => clearInterval(timer);
  }, []);
  if (!status) return html`<${Loading} />`;
  return html`<${Page} title=${t('home.title')} lead=${`${status.name ?? ''} · ${status.site ?? ''}`}>
    <${Hero} status=${status} may=${may} />
    <${Attention} status=${status} may=${may} />
    <div class="grid two"><div class="stack"><${Folders} status=${status} nodes=${nodes} may=${may} />${nodes && html`<${Devices} status=${status} nodes=${nodes} may=${may} />`}<${Sheet} session=${session} renew=${renew} may=${may} /></div>
    <div class="stack"><${Losses} status=${status} nodes=${nodes} /><${Drill} status=${status} may=${may} /><${Machine} status=${status} may=${may} /></div></div><//>`;
}
