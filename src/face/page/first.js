// First run: from a fresh node to a file that came back, step by step.
import { useEffect, useRef, useState } from './preact.js';
import { html, Button, Choice, Empty, Field, Icon, Loading, Notice, Pill, Progress, failed, useLoad } from './ui.js';
import { number, size, t } from './i18n.js';
import { Bird, LanguagePick } from './login.js';
import { Sheet, Words } from './sheet.js';
import { DirectoryPicker, nameFor } from './picker.js';
import * as api from './api.js';
import './first_words.js';

const KEY = 'nuthatch.first';
const remembered = () => {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
};
const remember = (value) => {
  try {
    if (value) sessionStorage.setItem(KEY, JSON.stringify(value));
    else sessionStorage.removeItem(KEY);
  } catch { /* no storage: a reload begins again */ }
};

/** The code of an invitation in the address (`#/join/12345678`), as a phone's camera brings it. */
const codeInAddress = () => /^#\/join\/(\d{4}-?\d{4})$/.exec(location.hash)?.[1] ?? '';

const STEPS = { first: ['name', 'password', 'disk', 'way', 'words', 'check', 'folder', 'snapshot', 'restore', 'done'], join: ['name', 'password', 'disk', 'way', 'enter', 'folder', 'snapshot', 'restore', 'done'], recover: ['name', 'password', 'disk', 'way', 'enter', 'done'] };

function Step({ title, text, children, next, nextText, back, skip, busy, disabled, icon }) {
  const head = useRef();
  useEffect(() => { head.current?.focus(); }, [title]);
  const submit = (event) => {
    event.preventDefault();
    if (!busy && !disabled) next?.();
  };
  return html`<form class="card alone-card form" onSubmit=${submit}><div class="step-head">${icon && html`<span class="step-icon"><${Icon} name=${icon} size="26" /></span>`}<h1 tabindex="-1" ref=${head}>${title}</h1>${text && html`<p class="soft">${text}</p>`}</div>
    ${children}<div class="row between step-foot">${back ? html`<${Button} kind="quiet" icon="left" onClick=${back}>${t('do.back')}<//>` : html`<span></span>`}<div class="row">${skip && html`<${Button} kind="quiet" onClick=${skip}>${t('first.later')}<//>`}${next && html`<${Button} kind="primary" type="submit" busy=${busy} disabled=${disabled}>${nextText ?? t('do.next')}<//>`}</div></div></form>`;
}

function NameStep({ data, set, next }) {
  const bad = data.name && new TextEncoder().encode(data.name).length > 64;
  return html`<${Step} icon="home" title=${t('first.name.title')} text=${t('first.name.text')} next=${next} disabled=${!data.name.trim() || !data.site.trim() || bad}>
    <${Field} label=${t('first.name')} hint=${t('first.name.hint')} value=${data.name} onValue=${(name) => set({ name })} maxlength="64" required autocomplete="off" />
    <${Field} label=${t('first.site')} hint=${t('first.site.hint')} value=${data.site} onValue=${(site) => set({ site })} maxlength="64" list="sites" required autocomplete="off" /><datalist id="sites">${['home', 'parents', 'office'].map((site) => html`<option value=${t(`first.site.${site}`)} />`)}</datalist><//>`;
}

/** How hard a password is to guess, roughly: 0 to 4. */
const strength = (text) => Math.min(4, Math.floor((new Set(text).size * Math.sqrt(text.length)) / 11));

function PasswordStep({ session, renew, next, back }) {
  const [password, setPassword] = useState('');
  const [again, setAgain] = useState('');
  const [code, setCode] = useState(null);
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(false);
  if (session.state === 'in') return html`<${Step} icon="lock" title=${t('first.password.title')} text=${t('first.password.there')} next=${next} back=${back} />`;
  const submit = async () => {
    if (password !== again) return setError(t('first.password.differ'));
    setBusy(true);
    try {
      await api.post('password', { new: password, ...(code ? { code } : {}) });
      await renew();
      return next();
    } catch (failure) {
      if (/code/.test(failure.code)) setCode((before) => before ?? '');
      setError(`${failure.message}. ${failure.hint ?? ''}`);
    }
    return setBusy(false);
  };
  const level = strength(password);
  return html`<${Step} icon="lock" title=${t('first.password.title')} text=${t('first.password.text')} next=${submit} back=${back} busy=${busy} disabled=${password.length < 8 || !again}>
    <input type="text" name="username" autocomplete="username" value="admin" hidden readonly />
    <${Field} label=${t('first.password')} hint=${t('first.password.hint')} type="password" value=${password} onValue=${setPassword} autocomplete="new-password" required focus />
    <${Progress} value=${password ? level + 1 : 0} max="5" tone=${['bad', 'bad', 'warn', 'good', 'good'][level]} label=${t('first.password.strength')} />
    <${Field} label=${t('first.password.again')} type="password" value=${again} onValue=${(text) => { setAgain(text); setError(''); }} autocomplete="new-password" required error=${error} />
    ${code !== null && html`<${Field} label=${t('first.code')} hint=${t('first.code.hint')} value=${code} onValue=${setCode} autocomplete="one-time-code" />`}<//>`;
}

function DiskStep({ next, back }) {
  const { value, error } = useLoad(() => api.get('disks'), []);
  const disks = [...(value?.disks ?? [])].sort((one, other) => other.home - one.home);
  const home = disks.find((disk) => disk.home);
  return html`<${Step} icon="disk" title=${t('first.disk.title')} text=${t('first.disk.text')} next=${next} back=${back}>
    ${error && html`<${Notice} state="warn">${t('first.disk.unknown')} ${error.message}<//>`}${!value && !error && html`<${Loading} />`}
    <ul class="stack tight">${disks.map((disk) => html`<li key=${disk.mount} class=${`disk ${disk.home ? 'chosen' : ''}`}><${Icon} name=${disk.sd_card ? 'chip' : 'disk'} size="24" /><div class="grow"><div class="row between"><strong>${disk.mount}</strong>${disk.home && html`<${Pill} state="info">${t('first.disk.here')}<//>`}</div>
      <p class="soft">${t('first.disk.free', { free: size(disk.free_bytes), total: size(disk.total_bytes) })} · ${disk.sd_card ? t('first.disk.sd') : disk.removable ? t('first.disk.usb') : disk.removable === false ? t('first.disk.fixed') : t('unknown')}</p>
      <${Progress} value=${disk.total_bytes - disk.free_bytes} max=${disk.total_bytes} label=${t('first.disk.free', { free: size(disk.free_bytes), total: size(disk.total_bytes) })} /></div></li>`)}</ul>
    ${home?.sd_card && html`<${Notice} state="warn"><strong>${t('first.disk.warn')}</strong><p>${t('first.disk.warn.text')}</p><//>`}
    ${disks.length > 1 && html`<p class="hint">${t('first.disk.other')}</p>`}<//>`;
}

function WayStep({ data, set, next, back, busy }) {
  const digits = data.code.replace(/\D/g, '');
  const count = data.phrase.trim().split(/\s+/).filter(Boolean).length;
  const ready = { first: true, join: digits.length === 8, recover: count === 24 }[data.way];
  const places = html`<details><summary>${t('first.peer.more')}</summary><${Field} label=${t('first.peer')} hint=${t('first.peer.hint')} value=${data.peer} onValue=${(peer) => set({ peer })} placeholder="192.168.1.20:7117" inputmode="url" /></details>`;
  return html`<${Step} icon="devices" title=${t('first.way.title')} next=${next} back=${back} busy=${busy} disabled=${!ready}>
    <${Choice} label=${t('first.way')} value=${data.way} onValue=${(way) => set({ way })} options=${['first', 'join', 'recover'].map((way) => [way, t(`first.way.${way}`), t(`first.way.${way}.text`), { first: 'home', join: 'link', recover: 'restore' }[way]])} />
    ${data.way === 'join' && html`<${Field} label=${t('first.join.code')} hint=${t('first.join.hint')} value=${data.code} onValue=${(code) => set({ code })} inputmode="numeric" maxlength="9" className="code-field" placeholder="0000-0000" autocomplete="off" />${places}`}
    ${data.way === 'recover' && html`<${Field} label=${t('first.recover.words')} hint=${t('first.recover.count', { n: count })} as="textarea" value=${data.phrase} onValue=${(phrase) => set({ phrase })} autocapitalize="none" spellcheck=${false} autocomplete="off" />
      <${Field} label=${t('first.recover.replace')} hint=${t('first.recover.replace.hint')} value=${data.replace} onValue=${(replace) => set({ replace })} autocomplete="off" />${places}`}<//>`;
}

function WordsStep({ data, next }) {
  const [seen, setSeen] = useState(false);
  return html`<${Step} icon="key" title=${t('first.words.title')} text=${t('first.words.text')} next=${next} disabled=${!seen}>
    ${seen ? html`<${Words} phrase=${data.secret} />` : html`<${Button} kind="big" icon="eye" onClick=${() => setSeen(true)}>${t('first.words.show')}<//>`}
    ${seen && html`<div class="row"><${Button} icon="print" onClick=${() => print()}>${t('first.words.print')}<//></div>`}
    <${Notice} state="warn">${t('first.words.warn')}<//><${Sheet} phrase=${data.secret} vault=${data.vault} name=${data.name} /><//>`;
}

const pickTwo = (count) => {
  const first = Math.floor(Math.random() * count);
  const second = (first + 1 + Math.floor(Math.random() * (count - 1))) % count;
  return [first, second].sort((one, other) => one - other);
};

function CheckStep({ data, next, back }) {
  const words = data.secret.split(' ');
  const [asked] = useState(() => pickTwo(words.length));
  const [typed, setTyped] = useState(['', '']);
  const [error, setError] = useState('');
  const submit = async () => {
    const right = asked.every((place, index) => typed[index].trim().toLowerCase() === words[place]);
    if (!right) return setError(t('first.check.wrong'));
    // Where it cannot be remembered the start page asks again.
    await api.post('sheet').catch(failed);
    return next();
  };
  return html`<${Step} icon="check" title=${t('first.check.title')} text=${t('first.check.text')} next=${submit} back=${back} disabled=${typed.some((text) => !text.trim())}>
    ${asked.map((place, index) => html`<${Field} key=${place} label=${t('first.check.word', { place: place + 1 })} value=${typed[index]} autocapitalize="none" autocomplete="off" spellcheck=${false} data-place=${place}
      onValue=${(text) => { setError(''); setTyped(typed.map((old, at) => (at === index ? text : old))); }} error=${index === 1 ? error : ''} />`)}<//>`;
}

function EnterStep({ data, next, back }) {
  const [said, setSaid] = useState([]);
  const [error, setError] = useState(null);
  const [joined, setJoined] = useState(null);
  useEffect(() => {
    const stop = new AbortController();
    const { code, phrase, peer, replace, name, site } = data;
    const given = { name, site, ...(peer ? { peer } : {}) };
    const body = data.way === 'join' ? { code: code.replace(/\D/g, ''), ...given } : { phrase: phrase.trim().replace(/\s+/g, ' ').toLowerCase(), ...(replace ? { replace } : {}), ...given };
    const line = (told) => {
      if (told.message) setSaid((before) => [...before.slice(-5), told.message]);
      if (told.event === 'joined' || told.event === 'recovered') setJoined(told);
    };
    api.run('POST', data.way, body, line, { signal: stop.signal }).then(() => setJoined((before) => before ?? {}), (failure) => failure.name !== 'AbortError' && setError(failure));
    return () => stop.abort();
  }, []);
  return html`<${Step} icon=${joined ? 'check' : 'link'} title=${t(joined ? `first.${data.way}.done` : `first.${data.way}.busy`)} next=${joined && next} back=${error && back}>
    ${!joined && !error && html`<${Progress} label=${t('wait')} />`}<ul class="stack tight soft" aria-live="polite">${said.map((text) => html`<li class="row"><${Icon} name="right" size="15" />${text}</li>`)}</ul>
    ${error && html`<${Notice} state="bad"><strong>${error.message}</strong><p>${error.hint}</p><//>`}
    ${joined && html`<${Notice} state="good">${t(`first.${data.way}.done.text`)}${joined.adopted?.length ? html`<p>${t('first.adopted', { names: joined.adopted.map((one) => one.name ?? one).join(', ') })}</p>` : null}<//>`}<//>`;
}

function FolderStep({ data, set, next, skip }) {
  const [path, setPath] = useState('');
  const [name, setName] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const submit = async () => {
    setBusy(true);
    try {
      await api.post('folders', { name, directory: path });
      set({ folder: name });
      next();
    } catch (failure) {
      setError(`${failure.message}. ${failure.hint}`);
      setBusy(false);
    }
  };
  return html`<${Step} icon="folder" title=${t('first.folder.title')} text=${t('first.folder.text')} next=${submit} skip=${skip} busy=${busy} disabled=${!path || !name}>
    <${DirectoryPicker} value=${path} onValue=${(chosen) => { setPath(chosen); setName(nameFor(chosen)); setError(''); }} />
    <${Field} label=${t('first.folder.path')} value=${path} onValue=${(text) => { setPath(text); setName(nameFor(text)); }} placeholder="/home/pi/Photos" autocomplete="off" spellcheck=${false} />
    <${Field} label=${t('first.folder.name')} hint=${t('first.folder.name.hint')} value=${name} onValue=${setName} pattern="[A-Za-z0-9._\\-]+" maxlength="64" error=${error} autocomplete="off" /><//>`;
}

function SnapshotStep({ data, next }) {
  const [at, setAt] = useState(null);
  const [done, setDone] = useState(null);
  const [error, setError] = useState(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    setError(null);
    const line = (told) => (told.event === 'snapshot' ? setDone(told) : told.event === 'progress' && setAt(told));
    api.run('POST', 'backup', { name: data.folder, wait: false }, line, { signal: stop.signal }).catch((failure) => failure.name !== 'AbortError' && setError(failure));
    return () => stop.abort();
  }, [turn]);
  return html`<${Step} icon="camera" title=${t(done ? 'first.snapshot.done' : 'first.snapshot.title')} text=${t('first.snapshot.text', { folder: data.folder })} next=${done && next}>
    ${!done && !error && html`<${Progress} label=${t('wait')} /><p class="soft" aria-live="polite">${at ? t('first.snapshot.at', { n: at.files, size: size(at.bytes) }) : t('wait')}</p>`}
    ${done && html`<div class="big-figures"><div><strong>${number(done.files)}</strong><span>${t('first.snapshot.files')}</span></div><div><strong>${size(done.bytes)}</strong><span>${t('first.snapshot.bytes')}</span></div><div><strong>${size(done.stored_bytes)}</strong><span>${t('first.snapshot.stored')}</span></div></div>
      ${done.unreadable?.length > 0 && html`<${Notice} state="warn">${t('first.snapshot.unreadable', { n: done.unreadable.length })}<//>`}`}
    ${error && html`<${Notice} state="bad"><strong>${error.message}</strong><p>${error.hint}</p><${Button} small onClick=${() => setTurn(turn + 1)}>${t('do.again')}<//><//>`}<//>`;
}

function RestoreStep({ data, next }) {
  const [taken, setTaken] = useState(false);
  const { value, error } = useLoad(() => api.list('GET', api.url('files', { what: data.folder, recursive: true }), undefined, { max: 200 }), []);
  const files = (value ?? []).filter((line) => line.kind === 'file' && line.size_bytes > 0).slice(0, 6);
  return html`<${Step} icon="restore" title=${t('first.restore.title')} text=${t('first.restore.text')} next=${next} nextText=${taken ? undefined : t('first.later')}>
    ${error && html`<${Notice} state="warn">${error.message}<//>`}${value && !files.length && html`<${Empty} icon="file" title=${t('first.restore.none')} />`}
    <ul class="stack tight">${files.map((file) => html`<li key=${file.path}><a class="picker-item" download href=${api.url('content', { what: `${data.folder}:${file.path}`, download: true })} onClick=${() => setTaken(true)}><${Icon} name="file" size="18" /><span class="clip grow">${file.path}</span><small>${size(file.size_bytes)}</small><${Icon} name="download" size="18" label=${t('do.download')} /></a></li>`)}</ul>
    ${taken && html`<${Notice} state="good">${t('first.restore.done')}<//>`}<//>`;
}

export default function First({ session, renew }) {
  const before = remembered();
  const [data, setData] = useState({ way: codeInAddress() ? 'join' : 'first', name: session.name ?? '', site: t('first.site.home'), phrase: '', replace: '', peer: '', step: 'name', ...before, code: before.code || codeInAddress() });
  const [busy, setBusy] = useState(false);
  const set = (change) => setData((old) => {
    const next = { ...old, ...change };
    // The recovery words that a person types are kept nowhere.
    remember({ ...next, phrase: '' });
    return next;
  });
  const steps = session.vault && !before.step ? ['password', 'done'] : STEPS[data.way];
  let step = steps.includes(data.step) ? data.step : steps[0];
  if (session.state === 'fresh' && !['name', 'password'].includes(step)) step = 'password';
  if (step === 'enter' && data.way === 'recover' && !data.phrase) step = 'way';
  const to = (name) => set({ step: name });
  const next = () => to(steps[steps.indexOf(step) + 1]);
  const back = () => to(steps[steps.indexOf(step) - 1]);
  const leave = async () => {
    remember(null);
    location.hash = '#/home';
    await renew();
  };
  const begin = async () => {
    if (data.way !== 'first') return next();
    setBusy(true);
    try {
      const told = await api.post('init', { name: data.name, site: data.site });
      set({ secret: told.recovery_phrase, vault: told.vault, step: 'words' });
    } catch (failure) {
      failed(failure);
    }
    return setBusy(false);
  };
  const given = { data, set, session, renew, next, back };
  const view = {
    name: () => html`<${NameStep} ...${given} />`,
    password: () => html`<${PasswordStep} ...${given} back=${steps[0] === 'password' ? null : back} />`,
    disk: () => html`<${DiskStep} ...${given} />`,
    way: () => html`<${WayStep} ...${given} next=${begin} busy=${busy} />`,
    words: () => html`<${WordsStep} ...${given} />`,
    check: () => html`<${CheckStep} ...${given} next=${() => set({ secret: undefined, step: 'folder' })} />`,
    enter: () => html`<${EnterStep} ...${given} next=${() => set({ code: '', step: data.way === 'join' ? 'folder' : 'done' })} />`,
    folder: () => html`<${FolderStep} ...${given} skip=${() => to('done')} />`,
    snapshot: () => html`<${SnapshotStep} ...${given} />`,
    restore: () => html`<${RestoreStep} ...${given} />`,
    done: () => html`<${Step} icon="check" title=${t('first.done.title')} text=${t('first.done.text')} next=${leave} nextText=${t('first.done.go')}><div class="alone-head"><${Bird} side="120" /></div><//>`,
  }[step];
  if (step === 'check' && !data.secret) return html`<${Loading} />`;
  const place = steps.indexOf(step);
  return html`<main class="alone"><div class="steps" role="progressbar" aria-label=${t('first.progress')} aria-valuemin="1" aria-valuemax=${steps.length} aria-valuenow=${place + 1}>${steps.map((name, at) => html`<span key=${name} class=${at <= place ? 'passed' : ''}></span>`)}</div>
    ${step === steps[0] && html`<div class="alone-head"><${Bird} /><p class="welcome">${t('first.welcome')}</p></div>`}${view()}<${LanguagePick} /></main>`;
}
