// node run.mjs BINARY [--pictures DIR] [--only WORDS] [--page DIR]: every test of the web page, against the real program.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Suite } from './lib.mjs';

const { argv } = process;
const option = (name) => (argv.includes(name) ? argv[argv.indexOf(name) + 1] : undefined);
const binary = resolve(argv[2] ?? '../../target/debug/nuthatch');
const suite = new Suite(binary, { pictures: option('--pictures') && resolve(option('--pictures')), only: option('--only'), files: option('--page') && resolve(option('--page')) });
const parts = ['house', 'files', 'activity'].filter((name) => existsSync(new URL(`${name}.mjs`, import.meta.url)));
try {
  await suite.open();
  for (const part of parts) await (await import(`./${part}.mjs`)).default(suite);
} catch (error) {
  suite.failed += 1;
  console.log(error.stack);
}
await suite.close();
console.log(`${suite.passed} passed, ${suite.failed} failed`);
process.exitCode = suite.failed ? 1 : 0;
