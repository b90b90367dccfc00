// The recovery words as a sheet of paper.
import { html } from './ui.js';
import { date, t, words } from './i18n.js';

words({
  en: { 'paper.title': 'Recovery sheet', 'paper.text': 'These 24 words, in this order, bring back every file of this vault, on any new device: install nuthatch, open its page, choose "Recover", and type them. Whoever has them can read everything: keep this sheet like a passport, not beside the devices.', 'paper.of': 'Vault {vault}, made on {name}, {date}' },
  de: { 'paper.title': 'Notfallblatt', 'paper.text': 'Diese 24 Wörter bringen in dieser Reihenfolge jede Datei dieses Tresors zurück, auf jedem neuen Gerät: nuthatch installieren, seine Seite öffnen, „Wiederherstellen“ wählen und sie eintippen. Wer sie hat, kann alles lesen: bewahren Sie dieses Blatt wie einen Reisepass auf, nicht neben den Geräten.', 'paper.of': 'Tresor {vault}, angelegt auf {name}, {date}' },
});

export const Words = ({ phrase }) => html`<ol class="phrase" translate="no">${phrase.split(' ').map((word, place) => html`<li><span class="faint">${place + 1}</span><strong>${word}</strong></li>`)}</ol>`;

export function Sheet({ phrase, vault, name }) {
  return html`<section class="paper"><h1>nuthatch · ${t('paper.title')}</h1><p>${t('paper.text')}</p><${Words} phrase=${phrase} /><p>${t('paper.of', { vault: (vault ?? '').slice(0, 12), name, date: date(new Date()) })}</p></section>`;
}
