// Who is there?
import { useState } from './preact.js';
import { html, Button, Field } from './ui.js';
import { t, words, currentLanguage, languages, setLanguage, span } from './i18n.js';
import * as api from './api.js';

words({
  en: {
    'login.title': 'Welcome back', 'login.user': 'Name', 'login.password': 'Password', 'login.do': 'Log in', 'login.wrong': 'This name and password do not fit.', 'login.wait': 'Too many attempts. Try again in {span}.', 'login.language': 'Language',
    'login.lost': 'Forgotten? On the device itself, the command "nuthatch password" sets a new one.',
  },
  de: {
    'login.title': 'Willkommen zurück', 'login.user': 'Name', 'login.password': 'Passwort', 'login.do': 'Anmelden', 'login.wrong': 'Name und Passwort passen nicht zusammen.', 'login.wait': 'Zu viele Versuche. Wieder möglich in {span}.', 'login.language': 'Sprache',
    'login.lost': 'Vergessen? Am Gerät selbst setzt der Befehl "nuthatch password" ein neues.',
  },
});

export function LanguagePick() {
  return html`<div class="row language" role="group" aria-label=${t('login.language')}>${languages().map(([tag, name]) => html`<button type="button" class="language-item" lang=${tag} aria-pressed=${tag === currentLanguage() ? 'true' : 'false'} onClick=${() => setLanguage(tag)}>${name}</button>`)}</div>`;
}

export const Bird = ({ side = 84 }) => html`<img src="/icon.svg" alt="" width=${side} height=${side} class="bird" />`;

export default function Login({ session, renew }) {
  const [user, setUser] = useState('admin');
  const [password, setPassword] = useState('');
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await api.post('session', { user, password });
      await renew();
    } catch (failure) {
      const wait = failure.more?.retry_after_us;
      setError(wait ? t('login.wait', { span: span(wait) }) : failure.code === 'wrong_password' ? t('login.wrong') : `${failure.message}. ${failure.hint}`);
      setPassword('');
    }
    setBusy(false);
  };
  return html`<main class="alone"><form class="card alone-card form" onSubmit=${submit}><div class="alone-head"><${Bird} /><h1>${t('login.title')}</h1><p class="soft">${session.name ?? 'nuthatch'}</p></div>
    <${Field} label=${t('login.user')} value=${user} onValue=${setUser} name="username" autocomplete="username" autocapitalize="none" spellcheck=${false} required />
    <${Field} label=${t('login.password')} value=${password} onValue=${setPassword} type="password" name="password" autocomplete="current-password" focus required error=${error} />
    <${Button} kind="primary big" type="submit" icon="right" busy=${busy}>${t('login.do')}<//>
    <p class="hint">${t("login.lost")}</p></form><${LanguagePick} /></main>`;
}
