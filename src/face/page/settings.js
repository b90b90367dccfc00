// Settings: this browser, people, programs, everything that the node can be told, and what it is.
import { useEffect, useLayoutEffect, useRef, useState } from './preact.js';
import { html, Button, Card, Choice, Dialog, Doing, Empty, Field, Loading, Menu, Notice, Page, Pill, Switch, Table, Trouble, When, copyText, failed, toast, useLoad } from './ui.js';
import { currentLanguage, has, kept, languages, setLanguage, t } from './i18n.js';
import { setTheme } from './app.js';
import * as api from './api.js';
import './settings_words.js';

// The last values of this session, to go back to: {key, before}.
const changed = [];

function Looks() {
  const [theme, choose] = useState(kept('nuthatch.theme') ?? 'auto');
  const pick = (value) => {
    choose(value);
    setTheme(value);
  };
  return html`<${Card} title=${t('looks.title')} icon="sun"><${Choice} columns label=${t('looks.theme')} value=${theme} onValue=${pick} options=${[['auto', t('looks.auto'), '', 'settings'], ['light', t('looks.light'), '', 'sun'], ['dark', t('looks.dark'), '', 'moon']]} />
    <${Choice} columns label=${t('looks.language')} value=${currentLanguage()} onValue=${setLanguage} options=${languages().map(([tag, name]) => [tag, name, '', 'globe'])} /><p class="hint">${t('looks.here')}</p><//>`;
}

function Password({ session, renew }) {
  const [old, setOld] = useState('');
  const [next, setNext] = useState('');
  const [again, setAgain] = useState('');
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    if (next !== again) return setError(t('password.differ'));
    setBusy(true);
    try {
      await api.post('password', { old, new: next });
      toast(t('password.done'), 'good');
      [setOld, setNext, setAgain].forEach((set) => set(''));
      await renew();
    } catch (failure) {
      setError(failure.code === 'wrong_password' ? t('password.wrong') : `${failure.message}. ${failure.hint}`);
    }
    return setBusy(false);
  };
  const field = (label, value, set, more) => html`<${Field} label=${t(label)} type="password" value=${value} onValue=${(text) => { set(text); setError(''); }} required ...${more} />`;
  return html`<${Card} title=${t('password.title')} icon="lock"><form class="form" onSubmit=${submit}><input type="text" name="username" autocomplete="username" value=${session.user} hidden readonly />${field('password.old', old, setOld, { autocomplete: 'current-password' })}${field('password.new', next, setNext, { autocomplete: 'new-password', hint: t('password.hint') })}${field('password.again', again, setAgain, { autocomplete: 'new-password', error })}
    <div><${Button} type="submit" busy=${busy} disabled=${!old || next.length < 8 || !again}>${t('password.do')}<//></div></form><//>`;
}

const roles = () => ['admin', 'member', 'read'].map((role) => [role, t(`role.${role}`), t(`role.${role}.text`)]);

/** Which folders: null for all of them. */
function FolderChoice({ value, onValue }) {
  const { value: folders } = useLoad(() => api.get('folders'), []);
  const names = [...new Set([...(folders ?? []).map((folder) => folder.name), ...(value ?? [])])];
  const turn = (name, on) => onValue(on ? [...value, name] : value.filter((other) => other !== name));
  return html`<fieldset class="choice"><legend>${t('people.folders')}</legend><${Switch} label=${t('people.folders.all')} checked=${value === null} onValue=${(all) => onValue(all ? null : [])} />
    ${value !== null && html`<ul class="stack tight">${names.map((name) => html`<li key=${name}><label class="choice-item"><input type="checkbox" checked=${value.includes(name)} onChange=${(event) => turn(name, event.target.checked)} />${name}</label></li>`)}</ul>`}</fieldset>`;
}

function UserDialog({ user, onClose, done }) {
  const [name, setName] = useState(user?.name ?? '');
  const [password, setPassword] = useState('');
  const [role, setRole] = useState(user?.role ?? 'member');
  const [folders, setFolders] = useState(user?.folders ?? null);
  const [error, setError] = useState(null);
  const submit = () => api.post('users', { name, role, folders, ...(password ? { password } : {}) }).then(() => { toast(t('people.saved', { name }), 'good'); done(); }, setError);
  const ready = name.trim() && (user || password.length >= 8);
  return html`<${Dialog} title=${user ? t('people.change', { name: user.name }) : t('people.add')} onClose=${onClose} onSubmit=${() => ready && submit()} footer=${html`<${Button} onClick=${onClose}>${t('do.cancel')}<//><${Button} kind="primary" type="submit" disabled=${!ready}>${t('do.save')}<//>`}>
    ${!user && html`<${Field} label=${t('people.name')} value=${name} onValue=${setName} autocapitalize="none" autocomplete="off" spellcheck=${false} maxlength="64" />`}
    <${Choice} label=${t('people.role')} value=${role} onValue=${setRole} options=${roles()} />
    <${Field} label=${t(user ? 'people.password.new' : 'people.password')} hint=${t(user ? 'people.password.keep' : 'password.hint')} type="password" value=${password} onValue=${setPassword} autocomplete="new-password" />
    <${FolderChoice} value=${folders} onValue=${setFolders} />${error && html`<${Trouble} error=${error} />`}<//>`;
}

const scope = (one) => (one.folders === null || one.folders === undefined ? t('people.folders.all') : one.folders.join(', ') || t('people.folders.none'));

function Users({ session }) {
  const { value, error, again } = useLoad(() => api.get('users'), []);
  const [open, setOpen] = useState(null);
  const remove = (user) => api.remove(`users/${encodeURIComponent(user.name)}`).then(() => { toast(t('people.removed', { name: user.name }), 'good'); again(); }, failed);
  const columns = [
    { title: t('people.name'), cell: (user) => html`<span>${user.name} ${user.name === session.user && html`<${Pill} state="info">${t('people.you')}<//>`}</span>` },
    { title: t('people.role'), cell: (user) => t(`role.${user.role}`) }, { title: t('people.folders'), cell: scope },
    { title: '', cell: (user) => html`<${Menu} label=${t('people.menu', { name: user.name })} items=${[{ text: t('do.edit'), icon: 'edit', action: () => setOpen(user) }, user.name !== session.user && { text: t('do.remove'), icon: 'trash', danger: true, action: () => remove(user) }]} />` },
  ];
  return html`<${Card} title=${t('people.title')} icon="user" actions=${html`<${Button} small icon="plus" onClick=${() => setOpen('new')}>${t('people.add')}<//>`}><p class="soft">${t('people.text')}</p>
    ${error ? html`<${Trouble} error=${error} again=${again} />` : !value ? html`<${Loading} />` : html`<${Table} caption=${t('people.title')} columns=${columns} rows=${value.users} keyOf=${(user) => user.name} empty=${html`<${Empty} icon="user" title=${t('people.none')} />`} />`}
    ${open && html`<${UserDialog} user=${open === 'new' ? null : open} onClose=${() => setOpen(null)} done=${() => { setOpen(null); again(); }} />`}<//>`;
}

function TokenDialog({ onClose, renew }) {
  const [label, setLabel] = useState('');
  const [role, setRole] = useState('read');
  const [folders, setFolders] = useState(null);
  const [made, setMade] = useState(null);
  const [error, setError] = useState(null);
  const submit = () => api.post('tokens', { label, role, folders }).then((told) => { setMade(told); renew(); }, setError);
  if (made) return html`<${Dialog} title=${t('token.made')} onClose=${onClose} footer=${html`<${Button} kind="primary" onClick=${onClose}>${t('do.done')}<//>`}><${Notice} state="warn">${t('token.once')}<//><p class="token" data-test="token">${made.token}</p><div><${Button} icon="copy" onClick=${() => copyText(made.token)}>${t('do.copy')}<//></div><p class="hint">${t('token.use')}</p><//>`;
  return html`<${Dialog} title=${t('token.add')} onClose=${onClose} onSubmit=${() => label.trim() && submit()} footer=${html`<${Button} onClick=${onClose}>${t('do.cancel')}<//><${Button} kind="primary" type="submit" disabled=${!label.trim()}>${t('token.make')}<//>`}>
    <${Field} label=${t('token.label')} hint=${t('token.label.hint')} value=${label} onValue=${setLabel} maxlength="64" autocomplete="off" /><${Choice} label=${t('people.role')} value=${role} onValue=${setRole} options=${roles()} /><${FolderChoice} value=${folders} onValue=${setFolders} />${error && html`<${Trouble} error=${error} />`}<//>`;
}

function Tokens() {
  const { value, error, again } = useLoad(() => api.get('tokens'), []);
  const [open, setOpen] = useState(false);
  const revoke = (token) => api.remove(`tokens/${encodeURIComponent(token.id)}`).then(() => { toast(t('token.revoked', { label: token.label }), 'good'); again(); }, failed);
  const columns = [
    { title: t('token.label'), cell: (token) => token.label }, { title: t('people.role'), cell: (token) => t(`role.${token.role}`) }, { title: t('people.folders'), cell: scope }, { title: t('token.created'), cell: (token) => html`<${When} at=${token.created} />` },
    { title: '', cell: (token) => html`<${Button} kind="quiet" small icon="trash" label=${t('token.revoke', { label: token.label })} onClick=${() => revoke(token)} />` },
  ];
  return html`<${Card} title=${t('token.title')} icon="key" actions=${html`<${Button} small icon="plus" onClick=${() => setOpen(true)}>${t('token.add')}<//>`}><p class="soft">${t('token.text')}</p>
    ${error ? html`<${Trouble} error=${error} again=${again} />` : !value ? html`<${Loading} />` : html`<${Table} caption=${t('token.title')} columns=${columns} rows=${value.tokens} keyOf=${(token) => token.id} empty=${html`<${Empty} icon="key" title=${t('token.none')} />`} />`}
    ${open && html`<${TokenDialog} onClose=${() => setOpen(false)} renew=${again} />`}<//>`;
}

/** A value as one line for people. */
const shown = (value) => (Array.isArray(value) ? value.join(', ') || t('config.empty') : typeof value === 'boolean' ? t(value ? 'config.on' : 'config.off') : value === '' ? t('config.empty') : String(value));

/** What was typed, in the shape of the value that was there. */
function typed(text, key) {
  const lines = text.split('\n').map((line) => line.trim()).filter(Boolean);
  if (typeof key.value === 'number') return Number(text);
  if (key.default.startsWith('[')) return lines;
  return lines.length > 1 ? lines : lines[0] ?? '';
}

const meaning = (key) => (has(`key.${key.key}`) ? t(`key.${key.key}`) : key.meaning);
/** The same, with what stands in backquotes as code. */
const Meaning = ({ item }) => meaning(item).split('`').map((part, place) => (place % 2 ? html`<code>${part}</code>` : part));

async function setKey(key, value) {
  await api.put('config', { key, value: JSON.stringify(value) });
}

function KeyDialog({ item, onClose, done }) {
  const [text, setText] = useState(Array.isArray(item.value) ? item.value.join('\n') : String(item.value));
  const [error, setError] = useState(null);
  const many = Array.isArray(item.value) || /\blist\b/.test(item.range);
  const save = async (value) => {
    try {
      await setKey(item.key, value);
      if (JSON.stringify(value) !== JSON.stringify(item.value)) changed.unshift({ key: item.key, before: item.value });
      toast(t('config.saved', { key: item.key }), 'good');
      done();
    } catch (failure) {
      setError(failure);
    }
  };
  let standard;
  try {
    standard = JSON.parse(item.default);
  } catch { /* it is no JSON: cannot be offered */ }
  return html`<${Dialog} title=${item.key} onClose=${onClose} onSubmit=${() => save(typed(text, item))} footer=${html`${standard !== undefined && html`<${Button} onClick=${() => save(standard)}>${t('config.default.take')}<//>`}<${Button} kind="primary" type="submit">${t('do.save')}<//>`}>
    <p><${Meaning} item=${item} /></p><${Field} label=${t('config.value')} as=${many ? 'textarea' : 'input'} type=${typeof item.value === 'number' ? 'number' : 'text'} value=${text} onValue=${(next) => { setText(next); setError(null); }} autocomplete="off" spellcheck=${false} autofocus hint=${many ? t('config.lines') : undefined} />
    <dl class="facts left"><dt>${t('config.range')}</dt><dd>${item.range}</dd><dt>${t('config.default')}</dt><dd class="mono">${item.default}</dd></dl>${error && html`<${Trouble} error=${error} />`}<//>`;
}

function Key({ item, onOpen, renew, target }) {
  const box = useRef();
  useEffect(() => { if (target) box.current.scrollIntoView({ block: 'center' }); }, [target]);
  const turn = (on) => setKey(item.key, on).then(() => { changed.unshift({ key: item.key, before: item.value }); toast(t('config.saved', { key: item.key }), 'good'); renew(); }, failed);
  const isDefault = JSON.stringify(item.value) === item.default || String(item.value) === item.default;
  const name = item.key.split('.')[1];
  if (typeof item.value === 'boolean') return html`<li ref=${box}><${Switch} label=${html`<span class="mono">${name}</span>`} hint=${html`<${Meaning} item=${item} />`} checked=${item.value} onValue=${turn} /></li>`;
  return html`<li ref=${box} class="key"><div class="grow"><strong class="mono">${name}</strong><p class="hint"><${Meaning} item=${item} /></p></div><div class="key-value"><span class="mono clip" title=${shown(item.value)}>${shown(item.value)}</span>${!isDefault && html`<${Pill} state="info">${t('config.own')}<//>`}<${Button} small kind="quiet" icon="edit" label=${t('config.edit', { key: item.key })} onClick=${() => onOpen(item)} /></div></li>`;
}

function Everything({ route }) {
  const { value, error, again } = useLoad(() => api.get('config', { explained: true }), []);
  const [open, setOpen] = useState(null);
  const [search, setSearch] = useState('');
  const wanted = route.query.key;
  useLayoutEffect(() => { if (value && wanted) setOpen(value.find((item) => item.key === wanted) ?? null); }, [Boolean(value), wanted]);
  if (error) return html`<${Trouble} error=${error} again=${again} />`;
  if (!value) return html`<${Loading} />`;
  const fits = (item) => `${item.key} ${meaning(item)}`.toLowerCase().includes(search.toLowerCase());
  const groups = [...new Set(value.map((item) => item.key.split('.')[0]))];
  const back = async () => {
    const [{ key, before }] = changed;
    await setKey(key, before);
    changed.shift();
    again();
  };
  return html`${changed.length > 0 && html`<${Notice}><strong>${t('config.changed', { key: changed[0].key })}</strong><p>${t('config.before', { value: shown(changed[0].before) })}</p><${Doing} small icon="undo" action=${back} done=${t('config.undone')}>${t('do.undo')}<//><//>`}
    <${Field} label=${t('config.search')} value=${search} onValue=${setSearch} type="search" autocomplete="off" />
    ${groups.map((group) => { const items = value.filter((item) => item.key.startsWith(`${group}.`) && fits(item)); return items.length > 0 && html`<${Card} key=${group} title=${has(`group.${group}`) ? t(`group.${group}`) : group}><ul class="list keys">${items.map((item) => html`<${Key} key=${item.key} item=${item} onOpen=${setOpen} renew=${again} target=${item.key === wanted} />`)}</ul><//>`; })}
    ${open && html`<${KeyDialog} item=${open} onClose=${() => setOpen(null)} done=${() => { setOpen(null); again(); }} />`}`;
}

function About({ status, session }) {
  const install = window.isSecureContext ? t('about.install') : t('about.noinstall');
  return html`<${Card} title="nuthatch" icon="info"><p>${t('about.text')}</p><dl class="facts"><dt>${t('about.version')}</dt><dd>${status?.version ?? session.version}</dd><dt>${t('about.node')}</dt><dd class="mono clip" title=${status?.node}>${status?.node ?? t('unknown')}</dd><dt>${t('about.vault')}</dt><dd class="mono clip" title=${status?.vault}>${status?.vault ?? t('unknown')}</dd><dt>${t('about.listen')}</dt><dd class="mono">${(status?.listen ?? []).join(', ')}</dd><dt>${t('about.licence')}</dt><dd>Apache-2.0</dd></dl>${status?.web_certificate && html`<p class="soft">${t('about.certificate')}</p><p class="token" data-test="certificate">${status.web_certificate}</p>`}
    <p class="hint">${install}</p><p class="hint">${t('about.made')}</p><div class="row"><${Button} small icon="text" href="/api/v1/openapi.json">OpenAPI<//><${Button} small icon="text" href="/plain">${t('about.plain')}<//></div><//>`;
}

export default function Settings({ route, session, status, renew, may }) {
  const admin = may('admin');
  const parts = { '': t('settings.mine'), ...(admin ? { people: t('settings.people'), all: t('settings.all') } : {}), about: t('settings.about') };
  const current = route.parts[0] in parts ? route.parts[0] : '';
  const view = { '': () => html`<div class="grid two"><${Looks} /><${Password} session=${session} renew=${renew} /></div>`, people: () => html`<${Users} session=${session} /><${Tokens} />`, all: () => html`<${Everything} route=${route} />`, about: () => html`<${About} status=${status} session=${session} />` }[current];
  const out = () => api.remove('session').catch(failed).then(renew);
  return html`<${Page} title=${t('nav.settings')} actions=${html`<${Button} kind="quiet" icon="logout" onClick=${out}>${t('do.logout')}<//>`}>
    <nav class="tabs" aria-label=${t('nav.settings')}>${Object.entries(parts).map(([key, text]) => html`<a key=${key} href=${key ? `#/settings/${key}` : '#/settings'} aria-current=${key === current ? 'page' : undefined}>${text}</a>`)}</nav>${view()}<//>`;
}
