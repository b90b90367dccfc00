// The panel of uploads: in a corner of every view, for as long as there is something to see.
import { html, render, useEffect, useState } from './preact.js';
import { Button, Icon, Progress, useLanguage } from './ui.js';
import { number, size, span, speed, t } from './i18n.js';
import { nameOf, shown } from './files_tools.js';
import * as uploads from './files_uploads.js';

const SHOWN_MAX = 60;
const RANK = { sending: 0, failed: 1, offline: 2, paused: 3, waiting: 4, done: 5 };

function Panel() {
  useLanguage();
  const [, turn] = useState(0);
  const [small, setSmall] = useState(false);
  useEffect(() => uploads.watch(() => turn((before) => before + 1)), []);
  const items = uploads.all();
  const sums = uploads.sums();
  useEffect(() => {
    // Speed falls to nothing by itself when nothing is sent.
    const timer = sums.open ? setInterval(() => turn((before) => before + 1), 1000) : 0;
    return () => clearInterval(timer);
  }, [sums.open > 0]);
  const isOver = items.length > 0 && sums.done === sums.files;
  useEffect(() => {
    // What is done needs no attention: the panel folds, and goes.
    if (!isOver) return undefined;
    setSmall(true);
    const timer = setTimeout(uploads.clear, 10_000);
    return () => {
      clearTimeout(timer);
      setSmall(false);
    };
  }, [isOver]);
  if (!items.length) return null;
  const left = sums.rate > 1000 && sums.open ? ((sums.bytes - sums.sent) / sums.rate) * 1e6 : null;
  const title = isOver ? t('up.over', { n: sums.files }) : t('up.title', { done: sums.done, files: sums.files });
  const told = [`${size(sums.sent)} / ${size(sums.bytes)}`, sums.open > 0 && sums.rate > 0 && speed(sums.rate), left !== null && t('up.left', { time: span(left) }), sums.failed > 0 && t('up.failed', { n: sums.failed }), sums.paused > 0 && t('up.paused', { n: sums.paused })].filter(Boolean).join(' \u00b7 ');
  const list = [...items].sort((one, other) => RANK[one.state] - RANK[other.state]).slice(0, SHOWN_MAX);
  return html`<section class="uploads" aria-label=${t('up.label')}><header><div class="grow"><h2>${isOver && html`<${Icon} name="check" size="18" />`}${title}</h2><p>${told}</p></div>
      ${!isOver && (sums.open > 0 ? html`<${Button} small kind="quiet" icon="pause" label=${t('up.pause.all')} onClick=${uploads.pauseAll} />` : html`<${Button} small kind="quiet" icon="play" label=${t('up.resume.all')} onClick=${uploads.resumeAll} />`)}
      <${Button} small kind="quiet" icon=${small ? 'up' : 'down'} label=${t(small ? 'up.open' : 'up.fold')} aria-expanded=${small ? 'false' : 'true'} onClick=${() => setSmall(!small)} />
      ${isOver ? html`<${Button} small kind="quiet" icon="close" label=${t('do.close')} onClick=${uploads.clear} />` : html`<${Button} small kind="quiet" icon="close" label=${t('up.cancel.all')} onClick=${uploads.cancelAll} />`}</header>
    <${Progress} value=${sums.bytes ? sums.sent : sums.done} max=${sums.bytes || sums.files} label=${title} tone=${isOver ? 'good' : sums.failed ? 'warn' : ''} />
    <p class="out-of-sight" role="status">${isOver ? title : sums.failed > 0 ? t('up.failed', { n: sums.failed }) : ''}</p>
    ${!small && html`<ul>${list.map((item) => html`<${Item} key=${item.id} item=${item} />`)}${items.length > SHOWN_MAX && html`<li class="soft">${t('files.and.more', { n: items.length - SHOWN_MAX })}</li>`}</ul>`}</section>`;
}

function Item({ item }) {
  const name = shown(nameOf(item.path));
  const done = item.state === 'done';
  const part = item.size ? item.sent / item.size : 0;
  const told = item.error ?? (done ? size(item.size) : item.state === 'sending' && part >= 1 ? t('up.storing') : item.state === 'sending' ? `${number(100 * part)} % \u00b7 ${size(item.size)}` : `${t(`up.is.${item.state}`)} \u00b7 ${size(item.size)}`);
  return html`<li class=${item.state}><${Icon} name=${done ? 'check' : item.state === 'failed' ? 'alert' : 'file'} size="18" /><div class="grow"><bdi class="clip" title=${item.path}>${name}</bdi><small class="clip" title=${item.hint}>${told}</small>
      ${!done && item.sent > 0 && html`<${Progress} value=${item.sent} max=${item.size} label=${name} />`}</div>
    ${(item.state === 'sending' || item.state === 'waiting') && html`<${Button} small kind="quiet" icon="pause" label=${t('up.pause', { name })} onClick=${() => uploads.pause(item)} />`}
    ${(item.state === 'paused' || item.state === 'offline') && html`<${Button} small kind="quiet" icon="play" label=${t('up.resume', { name })} onClick=${() => uploads.resume(item)} />`}
    ${item.state === 'failed' && html`<${Button} small kind="quiet" icon="refresh" label=${t('up.retry', { name })} onClick=${() => uploads.resume(item)} />`}
    ${!done && html`<${Button} small kind="quiet" icon="close" label=${t('up.cancel', { name })} onClick=${() => uploads.cancel(item)} />`}</li>`;
}

let place = null;

/** Shows the panel from now on, whatever view is open. */
export function showQueue() {
  if (place) return;
  place = document.createElement('div');
  document.body.append(place);
  render(html`<${Panel} />`, place);
}
