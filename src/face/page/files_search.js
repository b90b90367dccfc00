// Search by name, in one folder or all, now or at any time.
import { html, useEffect, useState } from './preact.js';
import { Card, Empty, Icon, Loading, Switch, Trouble, failed } from './ui.js';
import { ago, dateTime, size, t } from './i18n.js';
import * as api from './api.js';
import { entryOf, hrefOf, iconOf, isTime, lastWith, parentOf, patternOf, shown } from './files_tools.js';
import { LongList } from './files_list.js';

const FOUND_MAX = 5000;

export function Search({ text, folder, path, limited }) {
  const [all, setAll] = useState(false);
  const [state, setState] = useState({});
  useEffect(() => {
    const stop = new AbortController();
    const look = async () => {
      const found = new Map();
      let drawn = 0;
      const told = (done) => setState({ rows: [...found.values()], done, cut: found.size >= FOUND_MAX });
      for (const one of folder ? [folder] : limited ?? [undefined]) {
        const address = api.url('find', { pattern: patternOf(text, path), folder: one, all: all || undefined });
        for await (const line of api.lines('GET', address, undefined, { signal: stop.signal })) {
          if (line.path === undefined) continue;
          const id = `${line.folder}:${line.path_base64 ?? line.path}`;
          found.set(id, { ...entryOf(line), id, deleted: line.change === 'deleted' ? line.taken : null });
          if (found.size >= FOUND_MAX) break;
          if (performance.now() - drawn > 250) {
            drawn = performance.now();
            told(false);
          }
        }
      }
      told(true);
    };
    const timer = setTimeout(() => look().catch((error) => error.name !== 'AbortError' && setState({ error })), 300);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text, folder, path, all, limited?.join()]);
  const { rows = [], done, error, cut } = state;
  const go = async (event, entry) => {
    if (!entry.deleted || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    try {
      const at = await lastWith(entry.folder, entry.path);
      location.hash = entry.kind === 'directory' ? hrefOf(entry.folder, at, entry.path) : hrefOf(entry.folder, at, parentOf(entry.path), { open: entry.name });
    } catch (failure) {
      failed(failure);
    }
  };
  const row = (entry, index, isCurrent) => {
    const href = entry.kind === 'directory' ? hrefOf(entry.folder, '', entry.path) : hrefOf(entry.folder, '', parentOf(entry.path), { open: entry.name });
    const place = [folder ? '' : entry.folder, shown(parentOf(entry.path))].filter(Boolean).join(' / ') || t('files.top');
    return html`<div role="cell" class=${`cell-name ${entry.deleted ? 'is-deleted' : ''}`}><a class="row-main" href=${href} tabindex=${isCurrent ? 0 : -1} onClick=${(event) => go(event, entry)}><span class=${`kind of-${iconOf(entry)}`}><${Icon} name=${iconOf(entry)} size="22" /></span>
      <span class="row-text"><bdi class="clip">${shown(entry.name)}</bdi><small class="clip"><bdi>${place}</bdi></small></span></a></div>
      <div role="cell" class="cell-found" title=${dateTime(entry.mtime)}>${entry.deleted ? t('files.deleted.at', { ago: ago(entry.deleted) }) : html`<span class="figure">${entry.kind === 'file' ? size(entry.size_bytes) : ''}</span><small>${isTime(entry.mtime) ? ago(entry.mtime) : ''}</small>`}</div>`;
  };
  return html`<div class="search-options"><p class="soft" role="status">${done ? t('files.found', { n: rows.length }) : t('files.searching')}${cut ? ` ${t('files.found.cut')}` : ''}</p><${Switch} label=${t('files.search.deleted')} checked=${all} onValue=${setAll} /></div>
    ${error && html`<${Card}><${Trouble} error=${error} /><//>`}${!done && !rows.length && !error && html`<${Loading} text=${t('files.searching')} />`}
    ${done && !rows.length && html`<${Card}><${Empty} icon="search" title=${t('files.found.none')}>${t('files.found.none.text')}<//><//>`}
    ${rows.length > 0 && html`<section class="card flush files-card found"><${LongList} rows=${rows} height=${62} label=${t('files.found', { n: rows.length })} columns=${2} row=${row}
      head=${html`<div role="row" class="out-of-sight"><div role="columnheader">${t('files.by.name')}</div><div role="columnheader">${t('files.by.size')}</div></div>`} /></section>`}`;
}
