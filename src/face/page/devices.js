// The devices of the vault: who is there, who holds how much, who comes, who goes, how fast.
import { useEffect, useLayoutEffect, useState } from './preact.js';
import { html, Button, Card, Choice, Dialog, Doing, Field, Icon, Loading, Menu, Notice, Page, Pill, Progress, Switch, Trouble, copyText, failed, toast, useLoad } from './ui.js';
import { number, percent, size, span, speed, t } from './i18n.js';
import { Qr } from './qr.js';
import * as api from './api.js';
import './devices_words.js';

const COLOURS = 8;

/** The code of an invitation for whoever holds the new device. */
function Invite({ onClose, onJoined }) {
  const [role, setRole] = useState('full');
  const [open, setOpen] = useState(null);
  const [left, setLeft] = useState(0);
  const [end, setEnd] = useState(null);
  const [host, setHost] = useState('nuthatch.local');
  const [stop] = useState(() => new AbortController());
  useEffect(() => () => stop.abort(), []);
  useEffect(() => {
    const timer = setInterval(() => setLeft(open && !end ? Math.max(0, open.until - Date.now()) : 0), 500);
    return () => clearInterval(timer);
  }, [open, end]);
  const begin = () => api.run('POST', 'invite', { role, wait: true }, (line) => {
    if (line.event === 'open') setOpen({ ...line, until: Date.now() + line.expires_us / 1000 });
    else setEnd((before) => (before?.event === 'joined' ? before : line));
  }, { signal: stop.signal }).then(onJoined, (error) => { if (error.name !== 'AbortError') { failed(error); onClose(); } });
  const place = host.includes(':') ? host : `${host}:7118`;
  const address = open && `http://${place}/#/join/${open.code}`;
  if (end) {
    const joined = end.event === 'joined';
    return html`<${Dialog} title=${t('invite.title')} onClose=${onClose} footer=${html`<${Button} kind="primary" onClick=${onClose}>${t('do.done')}<//>`}>
      <${Notice} state=${joined ? 'good' : 'warn'}><strong>${joined ? t('invite.joined', { name: end.name }) : t('invite.closed')}</strong>${!joined && html`<p>${t(`invite.closed.${end.reason}`)}</p>`}<//><//>`;
  }
  if (!open) {
    return html`<${Dialog} title=${t('invite.title')} onClose=${onClose} footer=${html`<${Button} onClick=${onClose}>${t('do.cancel')}<//><${Doing} kind="primary" icon="key" action=${async () => { begin(); }}>${t('invite.show')}<//>`}>
      <${Choice} label=${t('invite.role')} value=${role} onValue=${setRole} options=${[['full', t('role.full'), t('role.full.text'), 'key'], ['store', t('role.store'), t('role.store.text'), 'lock']]} /><//>`;
  }
  return html`<${Dialog} title=${t('invite.title')} onClose=${onClose} footer=${html`<${Button} onClick=${onClose}>${t('do.close')}<//>`}>
    <p>${t('invite.text')}</p><p class="code" data-test="code" aria-label=${t('invite.code')}>${open.code}</p>
    <p class="row between soft"><span>${left > 0 ? t('invite.left', { span: span(left * 1000) }) : ''}</span><${Button} small kind="quiet" icon="copy" onClick=${() => copyText(open.code)}>${t('do.copy')}<//></p>
    <${Progress} value=${left} max=${open.expires_us / 1000} label=${t('invite.left', { span: span(left * 1000) })} />
    <div class="invite-qr"><${Qr} text=${address} label=${t('invite.qr')} /><div class="stack tight"><p class="soft">${t('invite.qr.text')}</p><${Field} label=${t('invite.host')} value=${host} onValue=${setHost} autocomplete="off" spellcheck=${false} inputmode="url" /></div></div>
    <p class="hint">${t('invite.peer', { addresses: (open.addresses ?? []).join(', ') })}</p><//>`;
}

/** What removing a device means, and doing it. */
function Remove({ node, status, onClose, done }) {
  const [typed, setTyped] = useState('');
  const [alone, setAlone] = useState(false);
  const [now, setNow] = useState(false);
  const [error, setError] = useState(null);
  const folders = (status.folders ?? []).filter((folder) => folder.writer === node.node).map((folder) => folder.name);
  const remove = async () => {
    try {
      const told = await api.remove(`nodes/${encodeURIComponent(node.node)}`, alone ? { alone } : { now: now || undefined });
      toast(t(told.leaving ? 'remove.leaving' : 'remove.done', { name: node.name, n: told.snapshots }), 'good');
      done();
    } catch (failure) {
      setError(failure);
    }
  };
  return html`<${Dialog} title=${t('remove.title', { name: node.name })} onClose=${onClose} footer=${html`<${Button} onClick=${onClose}>${t('do.cancel')}<//><${Doing} kind="danger" icon="trash" disabled=${typed.trim() !== node.name} action=${remove}>${t('remove.do')}<//>`}>
    <ul class="stack tight">${[node.connected && !now && !alone ? 'first' : 'copies', 'keys', 'kept', 'for-good'].map((part) => html`<li class="item"><${Icon} name=${{ first: 'copy', copies: 'copy', keys: 'key', kept: 'lock', 'for-good': 'info' }[part]} /><span>${t(`remove.${part}`, { name: node.name })}</span></li>`)}
    ${folders.length > 0 && html`<li class="item"><${Icon} name="folder" /><span>${t('remove.folders', { names: folders.join(', ') })}</span></li>`}</ul>
    <${Field} label=${t('remove.type', { name: node.name })} value=${typed} onValue=${setTyped} autocomplete="off" />
    ${node.connected && html`<${Switch} label=${t('remove.now')} hint=${t('remove.now.hint')} checked=${now} onValue=${setNow} />`}
    <details><summary>${t('remove.alone.more')}</summary><${Switch} label=${t('remove.alone')} hint=${t('remove.alone.hint')} checked=${alone} onValue=${setAlone} /></details>
    ${error && html`<${Trouble} error=${error} />`}<//>`;
}

/** Who offers how much of the whole, as one bar. */
function Shares({ nodes, snapshots }) {
  const total = nodes.reduce((sum, node) => sum + (node.capacity_bytes ?? 0), 0);
  if (!total) return null;
  return html`<${Card} title=${t('shares.title')} icon="chart"><p class="soft">${t('shares.text', { size: size(total) })}</p>
    <div class="shares" role="img" aria-label=${nodes.map((node) => `${node.name} ${size(node.capacity_bytes)}`).join(', ')}>${nodes.map((node, place) => node.capacity_bytes > 0 && html`<span key=${node.node} class=${`share c${place % COLOURS}`} style=${{ flexGrow: node.capacity_bytes / total }}></span>`)}</div>
    <ul class="legend">${nodes.map((node, place) => html`<li key=${node.node}><span class=${`swatch c${place % COLOURS}`}></span><span class="grow clip">${node.name}</span><span class="soft figure">${node.capacity_bytes === null ? t('unknown') : `${size(node.capacity_bytes)} · ${percent((node.capacity_bytes ?? 0) / total)}`}</span></li>`)}</ul>
    ${snapshots.length > 0 && html`<h3>${t('shares.holds')}</h3><ul class="stack tight">${nodes.map((node, place) => {
    const held = node.held_snapshots ?? 0;
    return html`<li key=${node.node} class="holds"><span class="clip">${node.name}</span><div class=${`holds-bar c${place % COLOURS}`}><${Progress} value=${held} max=${snapshots.length} label=${node.name} /></div><span class="soft figure">${t('shares.of', { have: held, n: snapshots.length })}</span></li>`;
  })}</ul>`}<//>`;
}

function Member({ node, status, admin, onRemove, onKeep }) {
  const peer = (status.peers ?? []).find((other) => other.node === node.node);
  const silent = (status.silence ?? []).some((one) => one.writer === node.node && one.too_long);
  const state = node.self || node.connected ? 'good' : silent ? 'bad' : node.absence?.planned_around ? 'warn' : 'unknown';
  const belief = (status.audit?.holders ?? []).find((holder) => holder.node === node.node);
  const items = admin ? [node.self && { text: t('member.name'), icon: 'edit', href: '#/settings/all?key=node.name' }, node.self && { text: t('member.capacity'), icon: 'disk', href: '#/settings/all?key=node.capacity' }, !node.self && { text: t('member.remove'), icon: 'trash', danger: true, action: () => onRemove(node) }, node.leaving && { text: t('member.keep'), icon: 'undo', action: () => onKeep(node) }] : [];
  return html`<li class="card member"><div class="item"><span class=${`dot ${state}`}><${Icon} name=${node.role === 'store' ? 'lock' : 'devices'} size="19" /></span><div class="grow"><h2 class="clip">${node.name}</h2><p>${[node.site, t(`role.${node.role}`)].filter(Boolean).join(' · ')}</p></div><${Pill} state=${state}>${t(node.self ? 'device.self' : node.connected ? 'device.here' : silent ? 'device.silent' : 'device.away')}<//>${items.some(Boolean) && html`<${Menu} label=${t('member.menu', { name: node.name })} items=${items} />`}</div>
    <dl class="facts">${!node.self && html`<dt>${t('member.seen')}</dt><dd>${node.connected ? t('member.now') : node.absence ? t('member.ago', { span: span(node.absence.silent_us) }) : t('unknown')}</dd>`}
    <dt>${t('member.offers')}</dt><dd>${size(node.capacity_bytes)} ${node.full && html`<${Pill} state="warn">${t('member.full')}<//>`} ${node.leaving && html`<${Pill} state="warn">${t('member.leaving')}<//>`}</dd>
    <dt>${t('member.holds')}</dt><dd>${t('member.snapshots', { n: node.held_snapshots })}</dd>
    ${belief && html`<dt>${t('member.proof')}</dt><dd>${belief.believed ? (belief.proven ? t('member.proven', { n: belief.proven }) : t('member.unasked')) : html`<${Pill} state="bad">${t('member.unproven')}<//>`}</dd>`}
    ${peer && html`<dt>${t('member.traffic')}</dt><dd>↑ ${size(peer.sent_bytes)} ↓ ${size(peer.received_bytes)} · ${number(peer.rtt_us / 1000, 1)} ms</dd>`}
    <dt>${t('member.address')}</dt><dd class="mono clip">${node.address ?? node.addresses?.[0] ?? t('unknown')}</dd><dt>${t('member.version')}</dt><dd>${node.version ?? t('unknown')}</dd></dl></li>`;
}

const RATE = /^(\d+(?:\.\d+)?)(kbit|Mbit|Gbit)$/;

/** One direction: never limited, always limited, or by the time of day. */
function Limit({ direction, value, save }) {
  const rules = Array.isArray(value) ? value : [];
  const kind = value === 'unlimited' ? 'unlimited' : Array.isArray(value) ? 'times' : 'always';
  const [chosen, setChosen] = useState(kind);
  const [rate, setRate] = useState(RATE.exec(kind === 'always' ? value : '')?.[1] ?? '20');
  const [times, setTimes] = useState(rules.length ? rules.map((rule) => { const [from, to, mbit] = /^(\d\d:\d\d)-(\d\d:\d\d) (.*)$/.exec(rule)?.slice(1) ?? ['08:00', '23:00', '20Mbit']; return { from, to, rate: mbit }; }) : [{ from: '08:00', to: '23:00', rate: '20Mbit' }]);
  const change = (place, part) => setTimes(times.map((one, at) => (at === place ? { ...one, ...part } : one)));
  const written = chosen === 'unlimited' ? 'unlimited' : chosen === 'always' ? `${rate}Mbit` : times.map(({ from, to, rate: mbit }) => `${from}-${to} ${mbit}`);
  const isNew = JSON.stringify(written) !== JSON.stringify(value);
  return html`<div class="stack"><${Choice} columns label=${t(`limit.${direction}`)} value=${chosen} onValue=${setChosen} options=${['unlimited', 'always', 'times'].map((key) => [key, t(`limit.${key}`)])} />
    ${chosen === 'always' && html`<${Field} label="Mbit/s" value=${rate} onValue=${setRate} inputmode="decimal" type="number" min="0.1" step="any" />`}
    ${chosen === 'times' && html`<div class="stack tight">${times.map((one, place) => html`<div class="times" key=${place}><${Field} label=${t('limit.from')} type="time" value=${one.from} onValue=${(from) => change(place, { from })} /><${Field} label=${t('limit.to')} type="time" value=${one.to} onValue=${(to) => change(place, { to })} /><${Field} label=${t('limit.rate')} value=${one.rate} onValue=${(mbit) => change(place, { rate: mbit })} /><${Button} kind="quiet" icon="close" label=${t('do.remove')} onClick=${() => setTimes(times.filter((_, at) => at !== place))} /></div>`)}
      <div><${Button} small icon="plus" onClick=${() => setTimes([...times, { from: '23:00', to: '08:00', rate: '100Mbit' }])}>${t('limit.more')}<//></div><p class="hint">${t('limit.utc', { now: new Date().toISOString().slice(11, 16) })}</p></div>`}
    ${isNew && html`<div><${Doing} kind="primary" action=${() => save(`bandwidth.${direction}`, written)} done=${t('limit.saved')}>${t('do.save')}<//></div>`}</div>`;
}

function Bandwidth({ status }) {
  const { value, error, again } = useLoad(() => api.get('config'), []);
  const save = async (key, written) => {
    await api.put('config', { key, value: JSON.stringify(written) });
    again();
  };
  const now = status.bandwidth ?? {};
  const told = (bytes) => (bytes ? speed(bytes) : t('limit.none'));
  return html`<${Card} title=${t('limit.title')} icon="gauge"><p class="soft">${t('limit.now', { up: told(now.up_bytes_per_s), down: told(now.down_bytes_per_s) })}</p>
    ${error ? html`<${Trouble} error=${error} again=${again} />` : !value ? html`<${Loading} />` : ['up', 'down'].map((direction) => html`<${Limit} key=${direction + JSON.stringify(value[`bandwidth.${direction}`])} direction=${direction} value=${value[`bandwidth.${direction}`]} save=${save} />`)}<//>`;
}

export default function Devices({ status, route, may }) {
  const { value: nodes, error, again } = useLoad(() => api.get('nodes'), [status?.members, status?.peers?.length]);
  const { value: snapshots } = useLoad(() => api.list('GET', 'snapshots', undefined, { max: 2000 }), [status?.folders?.map((folder) => folder.last_snapshot).join()]);
  const [inviting, setInviting] = useState(route.query.invite === '1');
  const [removing, setRemoving] = useState(null);
  // Not in an effect: one that comes late would open again what was closed meanwhile.
  useLayoutEffect(() => { if (route.query.invite === '1') setInviting(true); }, [route]);
  useEffect(() => {
    const timer = setInterval(again, 15000);
    return () => clearInterval(timer);
  }, []);
  const shut = () => {
    setInviting(false);
    if (route.query.invite) location.replace('#/devices');
    again();
  };
  const keep = async (node) => {
    try {
      await api.remove(`nodes/${encodeURIComponent(node.node)}`, { keep: true });
      toast(t('member.kept', { name: node.name }), 'good');
    } catch (failure) {
      toast(failure.message, 'bad');
    }
    again();
  };
  if (!status) return html`<${Loading} />`;
  const admin = may('admin');
  return html`<${Page} title=${t('nav.devices')} lead=${t('devices.lead', { n: nodes?.length ?? 0 })} actions=${admin && html`<${Button} kind="primary" icon="plus" onClick=${() => setInviting(true)}>${t('devices.invite')}<//>`}>
    ${error && html`<${Trouble} error=${error} again=${again} />`}${!nodes && !error && html`<${Loading} />`}
    ${nodes && html`<ul class="grid two">${nodes.map((node) => html`<${Member} key=${node.node} node=${node} status=${status} admin=${admin} onRemove=${setRemoving} onKeep=${keep} />`)}</ul>
      <div class="grid two"><${Shares} nodes=${nodes} snapshots=${snapshots ?? []} />${admin && html`<${Bandwidth} status=${status} />`}</div>`}
    ${inviting && admin && html`<${Invite} onClose=${shut} onJoined=${again} />`}
    ${removing && html`<${Remove} node=${removing} status=${status} onClose=${() => setRemoving(null)} done=${() => { setRemoving(null); again(); }} />`}<//>`;
}
