// Files that come into the page: dropped, or chosen. What has the name of one that is there is asked about first.
import { html, useEffect, useRef, useState } from './preact.js';
import { failed, toast } from './ui.js';
import { t } from './i18n.js';
import * as api from './api.js';
import { joined, whatOf } from './files_tools.js';
import { add, filesOf } from './files_uploads.js';
import { showQueue } from './files_queue.js';

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files');

/** `ask(names)` gives what to do with names that exist: `version`, `both`, `skip` or null. */
export function useUpload({ folder, path, entries, canChange, ask }) {
  const files = useRef();
  const directory = useRef();
  const depth = useRef(0);
  const [over, setOver] = useState(false);

  const take = async (given) => {
    try {
      const found = await filesOf(given);
      if (!found.length) return;
      const there = await existing(folder, path, entries ?? [], found);
      const doubled = found.filter((file) => there.has(file.path));
      const how = doubled.length ? await ask(doubled.map((file) => file.path)) : 'version';
      if (!how) return;
      const wanted = how === 'skip' ? found.filter((file) => !there.has(file.path)) : found;
      if (how === 'both') {
        for (const file of doubled) {
          file.path = free(file.path, there);
          there.add(file.path);
        }
      }
      if (!wanted.length) return;
      showQueue();
      add(wanted.map((file) => ({ ...file, folder, path: joined(path, file.path) })));
    } catch (error) {
      failed(error);
    }
  };

  // A file that is dropped beside would else be opened instead of the page.
  useEffect(() => {
    const stop = (event) => hasFiles(event) && event.preventDefault();
    addEventListener('dragover', stop);
    addEventListener('drop', stop);
    return () => {
      removeEventListener('dragover', stop);
      removeEventListener('drop', stop);
    };
  }, []);

  const zone = {
    onDragEnter: (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      depth.current += 1;
      setOver(true);
    },
    onDragLeave: (event) => {
      if (!hasFiles(event)) return;
      depth.current = Math.max(0, depth.current - 1);
      if (!depth.current) setOver(false);
    },
    onDragOver: (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = canChange ? 'copy' : 'none';
    },
    onDrop: (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      depth.current = 0;
      setOver(false);
      if (canChange) take(event.dataTransfer);
      else toast(t('files.drop.not'), 'warn');
    },
  };
  const chosen = (event) => {
    const list = [...event.target.files];
    event.target.value = '';
    take({ files: list });
  };
  const inputs = canChange && html`<input ref=${files} type="file" multiple hidden onChange=${chosen} /><input ref=${directory} type="file" webkitdirectory hidden onChange=${chosen} />`;
  return { over, zone, inputs, chooseFiles: () => files.current.click(), chooseDirectory: () => directory.current.click() };
}

/** Which of the files are there already. Directories that are there are looked into. */
async function existing(folder, path, entries, found) {
  const here = new Map(entries.map((entry) => [entry.name, entry]));
  const there = new Set();
  for (const file of found) if (here.has(file.path)) there.add(file.path);
  const tops = new Set(found.filter((file) => file.path.includes('/')).map((file) => file.path.split('/')[0]));
  for (const top of tops) {
    if (here.get(top)?.kind !== 'directory') continue;
    const base = joined(path, top);
    const wanted = new Set(found.map((file) => file.path));
    for await (const line of api.lines('GET', api.url('files', { what: whatOf(folder, '', base), recursive: true }))) {
      const below = line.path?.slice(path ? path.length + 1 : 0);
      if (below && wanted.has(below) && line.kind !== 'directory') there.add(below);
    }
  }
  return there;
}

/** `a (2).txt`, or the first number that is free. */
function free(path, taken) {
  const name = path.lastIndexOf('/') + 1;
  const dot = path.lastIndexOf('.');
  const [stem, ending] = dot > name ? [path.slice(0, dot), path.slice(dot)] : [path, ''];
  for (let number = 2; ; number += 1) {
    const next = `${stem} (${number})${ending}`;
    if (!taken.has(next)) return next;
  }
}
