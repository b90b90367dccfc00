// Activity: what happens now, what the household says to each other, what is on its way, and how it was.
import { html, useEffect, useMemo, useRef, useState } from './preact.js';
import { Button, Card, Empty, Field, Icon, Notice, Page, Switch, failed, useLoad } from './ui.js';
import { date, dateTime, size, span, speed, t, time } from './i18n.js';
import * as api from './api.js';
import { Charts } from './activity_charts.js';
import { logSays } from './activity_words.js';

const LINES_MAX = 3000;
const SHOWN = 120;
const NOTE_BYTES_MAX = 2000;

if (!document.querySelector('link[href="/files.css"]')) {
  await new Promise((resolve) => {
    const link = document.createElement('link');
    Object.assign(link, { rel: 'stylesheet', href: '/files.css', onload: resolve, onerror: resolve });
    document.head.append(link);
  });
}

/** The log so far and as it goes on, oldest first, each line once. */
function useLog() {
  const [lines, setLines] = useState(null);
  const [error, setError] = useState(null);
  const known = useRef(new Set());
  const again = useRef(null);
  const take = (some, first) => {
    const fresh = some.filter((line) => {
      const key = `${line.time}|${line.area}|${line.node}|${line.subject}|${line.message}`;
      return !known.current.has(key) && known.current.add(key);
    });
    if (fresh.length || first) setLines((before) => [...(before ?? []), ...fresh].slice(-LINES_MAX));
  };
  useEffect(() => {
    const stop = new AbortController();
    const load = () => api.list('GET', 'log', undefined, { signal: stop.signal }).then((some) => { setError(null); take(some, true); }, (failure) => failure.name !== 'AbortError' && setError(failure));
    load();
    // Where nothing comes live, it is asked for from time to time.
    const off = [api.on('log', (line) => take([line])), api.on('status', () => api.live.source || load()), api.on('online', (there) => there && load()), api.on('lost', load)];
    again.current = load;
    return () => {
      stop.abort();
      off.forEach((end) => end());
    };
  }, []);
  return { lines, error, again: () => again.current?.() };
}

export default function Activity({ status, session, may }) {
  const { lines, error, again } = useLog();
  return html`<${Page} title=${t('activity.title')} lead=${t('activity.lead')}>${error && !lines && html`<${Notice} state="bad">${error.message}<//>`}
    <${Charts} /><div class="activity"><${Log} lines=${lines ?? []} status=${status} ready=${lines !== null} /><div class="stack"><${Transfers} status=${status} /><${Chat} lines=${lines ?? []} own=${status?.name} allowed=${may('member')} again=${again} /></div></div><//>`;
}

const KIND_OF = {
  backup_done: 'backups', backup_failed: 'backups', backup_works: 'backups', conflict: 'backups', node_silent: 'devices', node_heard: 'devices', member_joined: 'devices', member_removed: 'devices',
  disk_nearly_full: 'health', disk_full: 'health', damaged: 'health', drill_done: 'health', drill_failed: 'health', guard: 'health', note: 'notes', hook_failed: 'other', alert_failed: 'other',
};
const AREA_KIND = { backup: 'backups', folders: 'backups', retention: 'backups', sync: 'backups', watch: 'backups', copies: 'copies', collect: 'copies', members: 'devices', peers: 'devices', network: 'devices', silence: 'devices', audit: 'health', store: 'health', feeds: 'health', drill: 'health', guard: 'health' };
const kindOf = (line) => KIND_OF[line.event] ?? AREA_KIND[line.area] ?? 'other';
const KINDS = ['backups', 'copies', 'devices', 'health', 'notes', 'other'];
const KIND_ICON = { backups: 'archive', copies: 'copy', devices: 'devices', health: 'shield', notes: 'chat', other: 'info' };

function Log({ lines, status, ready }) {
  const [kind, setKind] = useState('');
  const [folder, setFolder] = useState('');
  const [node, setNode] = useState('');
  const [worries, setWorries] = useState(false);
  const [most, setMost] = useState(SHOWN);
  const names = (values) => [...new Set(values.filter(Boolean))].sort();
  const folders = useMemo(() => names([...(status?.folders ?? []).map((one) => one.name), ...lines.map((line) => line.folder)]), [lines, status]);
  const nodes = useMemo(() => names([status?.name, ...(status?.peers ?? []).map((one) => one.name), ...lines.map((line) => line.node)]), [lines, status]);
  const fitting = useMemo(() => lines.filter((line) => (!kind || kindOf(line) === kind) && (!folder || line.folder === folder) && (!node || line.node === node) && (!worries || line.level !== 'info')).reverse(), [lines, kind, folder, node, worries]);
  const days = [];
  fitting.slice(0, most).forEach((line) => {
    const day = date(line.time);
    if (days[days.length - 1]?.day !== day) days.push({ day, lines: [] });
    days[days.length - 1].lines.push(line);
  });
  const options = (all, values) => [['', all], ...values.map((value) => [value, value])];
  return html`<${Card} title=${t('activity.log')} icon="activity" className="log-card" actions=${html`<${Switch} label=${t('activity.worries')} checked=${worries} onValue=${setWorries} />`}>
    <div class="log-filters"><${Field} label=${t('activity.kind')} as="select" value=${kind} onValue=${setKind} options=${[['', t('activity.kind.all')], ...KINDS.map((key) => [key, t(`activity.kind.${key}`)])]} />
      <${Field} label=${t('activity.folder')} as="select" value=${folder} onValue=${setFolder} options=${options(t('activity.folder.all'), folders)} />
      <${Field} label=${t('activity.device')} as="select" value=${node} onValue=${setNode} options=${options(t('activity.device.all'), nodes)} /></div>
    ${ready && !fitting.length ? html`<${Empty} icon="activity" title=${t('activity.none')}>${lines.length ? t('activity.none.filter') : t('activity.none.text')}<//>` : ''}
    ${days.map(({ day, lines: some }) => html`<section key=${day} class="log-day"><h3>${day}</h3><ul>${some.map((line) => html`<${Line} key=${`${line.time}${line.message}${line.subject}`} line=${line} />`)}</ul></section>`)}
    ${fitting.length > most && html`<div class="row center"><${Button} onClick=${() => setMost(most + 300)}>${t('activity.more')}<//></div>`}<//>`;
}

function Line({ line }) {
  const kind = kindOf(line);
  const bad = { warn: 'warn', error: 'bad' }[line.level];
  const icon = bad === 'bad' ? 'alert' : bad ? 'warn' : KIND_ICON[kind];
  return html`<li class=${`log-line ${bad ?? ''}`}><span class="log-icon"><${Icon} name=${icon} size="17" label=${t(bad ? `activity.level.${line.level}` : `activity.kind.${kind}`)} /></span>
    <div class="grow"><p>${line.event === 'note' ? `\u201c${line.message}\u201d` : logSays(line.message)}</p>${line.node && html`<small>${line.node}</small>`}</div><time class="figure" datetime=${line.time} title=${dateTime(line.time)}>${time(line.time)}</time></li>`;
}

/** Bytes a second with each device, from how far the counters went between two states. */
function useRates(status) {
  const last = useRef(null);
  const [rates, setRates] = useState({});
  useEffect(() => {
    if (!status) return undefined;
    const now = performance.now();
    const before = last.current;
    last.current = { now, peers: new Map((status.peers ?? []).map((peer) => [peer.node, peer])) };
    if (before && now - before.now > 500) {
      const fresh = {};
      for (const peer of status.peers ?? []) {
        const old = before.peers.get(peer.node);
        const rate = (key) => Math.max(0, peer[key] - (old?.[key] ?? peer[key])) / ((now - before.now) / 1000);
        fresh[peer.node] = { up: rate('sent_bytes'), down: rate('received_bytes') };
      }
      setRates(fresh);
    }
    // No news for a while: nothing is sent.
    const timer = setTimeout(() => setRates({}), 6000);
    return () => clearTimeout(timer);
  }, [status]);
  return rates;
}

function Transfers({ status }) {
  const rates = useRates(status);
  const peers = status?.peers ?? [];
  const pending = (status?.folders ?? []).filter((folder) => folder.pending_bytes > 0);
  return html`<${Card} title=${t('activity.transfers')} icon="send">
    ${pending.map((folder) => html`<div key=${folder.name} class="item"><${Icon} name="folder" /><div class="grow"><strong>${folder.name}</strong><p>${t('activity.pending', { size: size(folder.pending_bytes) })}${folder.left_us ? ` \u00b7 ${t('activity.left', { time: span(folder.left_us) })}` : ''}</p></div></div>`)}
    ${!peers.length && html`<p class="soft">${t('activity.alone')}</p>`}
    <ul class="list">${peers.map((peer) => {
      const rate = rates[peer.node];
      const isBusy = rate && rate.up + rate.down > 1500;
      return html`<li key=${peer.node} class="transfer"><div class="row between"><strong class="clip">${peer.name ?? peer.node.slice(0, 8)}</strong><small class="figure">${t('activity.trip', { time: peer.rtt_us < 1000 ? '< 1 ms' : `${Math.round(peer.rtt_us / 1000)} ms` })}</small></div>
        <div class="row figure"><span class=${isBusy ? 'busy' : ''}><${Icon} name="upload" size="16" label=${t('activity.sent')} />${isBusy ? speed(rate.up) : t('activity.idle')}</span><span class=${isBusy ? 'busy' : ''}><${Icon} name="download" size="16" label=${t('activity.received')} />${isBusy ? speed(rate.down) : t('activity.idle')}</span></div>
        <small class="figure">${t('activity.totals', { sent: size(peer.sent_bytes), received: size(peer.received_bytes) })}</small></li>`;
    })}</ul><//>`;
}

function Chat({ lines, own, allowed, again }) {
  const [text, setText] = useState('');
  const [busy, setBusy] = useState(false);
  const box = useRef();
  const notes = useMemo(() => lines.filter((line) => line.event === 'note').sort((one, other) => (one.time < other.time ? -1 : one.time > other.time ? 1 : 0)), [lines]);
  useEffect(() => { if (box.current) box.current.scrollTop = box.current.scrollHeight; }, [notes.length]);
  const bytes = new TextEncoder().encode(text).length;
  const send = async () => {
    const said = text.trim();
    if (!said || bytes > NOTE_BYTES_MAX || busy) return;
    setBusy(true);
    try {
      await api.post('say', { text: said });
      setText('');
      again();
    } catch (error) {
      failed(error);
    }
    setBusy(false);
  };
  const keys = (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };
  return html`<${Card} title=${t('activity.chat')} icon="chat" className="chat-card">
    <div class="chat" role="log" aria-label=${t('activity.chat')} tabindex="0" ref=${box}>${!notes.length && html`<${Empty} icon="chat" title=${t('activity.chat.none')}>${t('activity.chat.text')}<//>`}${notes.map((note, index) => {
      const before = notes[index - 1];
      const isNewDay = !before || date(before.time) !== date(note.time);
      const isOwn = note.node === own;
      const isNewWriter = isNewDay || before.node !== note.node;
      return html`${isNewDay && html`<p class="chat-day">${date(note.time)}</p>`}<div key=${note.subject} class=${`note ${isOwn ? 'own' : ''}`}>${isNewWriter && html`<strong>${isOwn ? t('activity.you', { name: note.node }) : note.node}</strong>`}
        <p>${note.message}</p><time datetime=${note.time} title=${dateTime(note.time)}>${time(note.time)}</time></div>`;
    })}</div>
    ${allowed ? html`<form class="chat-form" onSubmit=${(event) => { event.preventDefault(); send(); }}><textarea rows=${Math.min(5, text.split('\n').length)} value=${text} placeholder=${t('activity.say')} aria-label=${t('activity.say')} onInput=${(event) => setText(event.target.value)} onKeyDown=${keys}></textarea>
      <${Button} kind="primary" icon="send" label=${t('activity.send')} busy=${busy} disabled=${!text.trim() || bytes > NOTE_BYTES_MAX} onClick=${send} /></form>
      ${bytes > NOTE_BYTES_MAX - 200 && html`<p class=${bytes > NOTE_BYTES_MAX ? 'field-error' : 'hint'} role="status">${t('activity.bytes', { n: bytes, max: NOTE_BYTES_MAX })}</p>`}` : html`<p class="soft">${t('activity.read.only')}</p>`}<//>`;
}
