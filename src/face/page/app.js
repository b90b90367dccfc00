// The frame: who is here, which view, light or dark; the views come when they are wanted.
import { render, useEffect, useState } from './preact.js';
import { html, Button, Icon, Loading, Toasts, Trouble, failed, may, useLanguage, useStatus } from './ui.js';
import { kept, t } from './i18n.js';
import * as api from './api.js';
import './words.js';

const VIEWS = {
  home: { icon: 'home', load: () => import('./home.js') },
  files: { icon: 'folder', load: () => import('./files.js') },
  devices: { icon: 'devices', load: () => import('./devices.js') },
  activity: { icon: 'activity', load: () => import('./activity.js') },
  settings: { icon: 'settings', load: () => import('./settings.js') },
  folders: { hidden: true, icon: 'folder', load: () => import('./folders.js') },
};

/** `#/files/a/b?c=d` as {name, parts: ['a', 'b'], query: {c: 'd'}}. */
function routeOf(hash) {
  const [path, query = ''] = hash.replace(/^#\/?/, '').split('?');
  const plain = (text) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  };
  const [name = '', ...parts] = path.split('/').map(plain);
  return { name: name || 'home', parts: parts.filter(Boolean), query: Object.fromEntries(new URLSearchParams(query)) };
}

export function setTheme(theme) {
  kept('nuthatch.theme', theme);
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

function useRoute() {
  const [route, setRoute] = useState(() => routeOf(location.hash));
  useEffect(() => {
    const changed = () => {
      setRoute(routeOf(location.hash));
      window.scrollTo(0, 0);
      document.querySelector('main')?.focus({ preventScroll: true });
    };
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return route;
}

const loaded = {};

/** A view, once it is here. */
function View({ name, ...given }) {
  const [state, setState] = useState({ name, view: loaded[name] });
  const load = () => VIEWS[name].load().then(
    (module) => { loaded[name] = module.default; setState({ name, view: module.default }); },
    (error) => setState({ name, error }),
  );
  useEffect(() => { if (!loaded[name]) load(); }, [name]);
  const view = loaded[name];
  if (view) return html`<${view} ...${given} />`;
  if (state.error && state.name === name) return html`<div class="page"><${Trouble} error=${{ message: t('view.missing'), hint: String(state.error.message) }} again=${() => location.reload()} /></div>`;
  return html`<${Loading} />`;
}

function Banner() {
  const [there, setThere] = useState(api.isOnline());
  const [back, setBack] = useState(false);
  useEffect(() => api.on('online', (now) => {
    setThere(now);
    setBack(now);
    if (now) setTimeout(() => setBack(false), 4000);
  }), []);
  if (!there) return html`<div class="banner" role="alert"><span class="spinner" aria-hidden="true"></span>${t('banner.away')}</div>`;
  if (back) return html`<div class="banner good" role="status"><${Icon} name="check" />${t('banner.back')}</div>`;
  return null;
}

function Navigation({ current, session, status, logout }) {
  const shown = Object.entries(VIEWS).filter(([, view]) => !view.hidden);
  const isCurrent = (name) => name === current || (name === 'home' && current === 'folders');
  const worries = (status?.attention ?? []).filter((one) => one.severity !== 'advice').length;
  return html`<nav class="nav" aria-label=${t('nav.label')}>
    <a class="brand" href="#/home"><img src="/icon.svg" alt="" width="36" height="36" /><span><strong>nuthatch</strong><small>${status?.name ?? session.name ?? ''}</small></span></a>
    <ul>${shown.map(([name, view]) => html`<li key=${name}><a href=${`#/${name}`} aria-current=${isCurrent(name) ? 'page' : undefined}><${Icon} name=${view.icon} size="22" /><span>${t(`nav.${name}`)}</span>${name === 'home' && worries > 0 && html`<b class="badge"><span class="out-of-sight">${t('nav.worries')} </span>${worries}</b>`}</a></li>`)}</ul>
    <div class="nav-foot"><span class="who"><${Icon} name="user" size="18" />${session.user ?? t('role.admin')}</span><${Button} kind="quiet" small icon="logout" label=${t('do.logout')} onClick=${logout} /></div></nav>`;
}

function Frame({ session, renew }) {
  const route = useRoute();
  const status = useStatus();
  useEffect(() => {
    api.get('status').then((value) => api.live.status(value), failed);
    api.live.start();
    return () => api.live.stop();
  }, []);
  const name = VIEWS[route.name] ? route.name : 'home';
  const logout = () => api.remove('session').catch(failed).then(renew);
  return html`<a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.querySelector('main').focus(); }}>${t('nav.skip')}</a>
    <div class="frame"><${Navigation} current=${name} session=${session} status=${status} logout=${logout} />
    <main id="main" tabindex="-1"><${View} key=${name} name=${name} route=${route} session=${session} status=${status} renew=${renew} may=${(role) => may(session, role)} /></main></div>`;
}

/** The views that come before anybody is let in. */
function Alone({ load, ...given }) {
  const [view, setView] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => { load().then((module) => setView(() => module.default), setError); }, []);
  if (error) return html`<${Trouble} error=${error} />`;
  return view ? html`<${view} ...${given} />` : html`<${Loading} />`;
}

const begun = () => {
  try {
    return sessionStorage.getItem('nuthatch.first') !== null;
  } catch {
    return false;
  }
};

function App() {
  useLanguage();
  const [session, setSession] = useState(null);
  const [error, setError] = useState(null);
  const renew = () => api.get('session').then((told) => { setSession(told); setError(null); return told; }, setError);
  useEffect(() => { renew(); }, []);
  useEffect(() => api.on('login', () => renew()), []);
  useEffect(() => api.on('online', async (there) => {
    if (!there) return;
    const told = await renew();
    if (session?.version && told?.version && told.version !== session.version) location.reload();
  }), [session]);
  let inside;
  if (error && !session) inside = html`<div class="alone"><${Trouble} error=${error} again=${renew} /></div>`;
  else if (!session) inside = html`<${Loading} />`;
  else if (session.state === 'login') inside = html`<${Alone} key="login" load=${() => import('./login.js')} session=${session} renew=${renew} />`;
  else if (session.state === 'fresh' || (may(session, 'admin') && (!session.vault || begun()))) inside = html`<${Alone} key="first" load=${() => import('./first.js')} session=${session} renew=${renew} />`;
  else inside = kept('nuthatch.in', '1') && html`<${Frame} key=${`${session.user}`} session=${session} renew=${renew} />`;
  return html`<${Banner} />${inside}<${Toasts} />`;
}

setTheme(kept('nuthatch.theme') ?? 'auto');
// Whoever was in before is most likely in still: the view comes while the node is asked.
if (kept('nuthatch.in')) VIEWS[routeOf(location.hash).name]?.load().catch(() => {});
render(html`<${App} />`, document.getElementById('app'));
import('./errors_words.js').catch(() => {});
if (window.isSecureContext && 'serviceWorker' in navigator) navigator.serviceWorker.register('/sw.js').catch(() => {});
