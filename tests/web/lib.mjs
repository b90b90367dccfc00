// What the tests share: nodes of the real program, browsers that look at them, and how a test is told.
import { spawn, execFileSync } from 'node:child_process';
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SIZES = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 800 } };

const TYPES = { html: 'text/html', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' };

export const PASSWORD = 'three blue horses';

export function same(left, right, what) {
  const [one, other] = [JSON.stringify(left), JSON.stringify(right)];
  if (one !== other) throw new Error(`${what}: ${one} is not ${other}`);
}

export function hold(is, what) {
  if (!is) throw new Error(what);
}

/** Waits until something is so, looking again and again. */
export async function until(look, what, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await look();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const freePort = () => new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

/** A node of the real program with a home of its own. */
export class Node {
  constructor(binary, home, port, web) {
    Object.assign(this, { binary, home, peer: `127.0.0.1:${port}`, url: `http://127.0.0.1:${web}`, web });
  }

  static async fresh(binary, root, name) {
    const home = join(root, name);
    mkdirSync(home);
    const node = new Node(binary, home, await freePort(), await freePort());
    await node.start();
    return node;
  }

  async start() {
    this.output = '';
    this.process = spawn(this.binary, ['--home', this.home, 'run', '--listen', this.peer, '--web', `127.0.0.1:${this.web}`, '--mdns', 'off'], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.process.stdout.on('data', (data) => { this.output += data; });
    this.process.stderr.on('data', (data) => { this.output += data; });
    this.ended = new Promise((resolve) => this.process.once('exit', resolve));
    await until(async () => {
      if (this.process.exitCode !== null) throw new Error(`the node ended: ${this.output}`);
      return fetch(`${this.url}/api/v1/session`).then((answer) => answer.ok, () => false);
    }, `the node answers\n${this.output}`, 30);
  }

  async stop() {
    this.process.kill('SIGTERM');
    await this.ended;
  }

  /** A command of the command line against this node; gives its output. */
  cli(...words) {
    return execFileSync(this.binary, ['--home', this.home, ...words], { encoding: 'utf8' });
  }

  json(...words) {
    return JSON.parse(this.cli('--json', ...words));
  }
}

/** All that a run needs, and what it found. */
export class Suite {
  constructor(binary, { pictures, only, files }) {
    Object.assign(this, { binary, pictures, only, page_files: files, passed: 0, failed: 0, root: mkdtempSync(join(tmpdir(), 'nuthatch-web-')), nodes: [], contexts: [] });
  }

  async open() {
    this.browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
  }

  async close() {
    await this.browser?.close();
    await Promise.all(this.nodes.map((node) => node.stop().catch(() => {})));
    rmSync(this.root, { recursive: true, force: true });
  }

  /** One test: its name is a fact. */
  async test(name, body) {
    if (this.only && !name.includes(this.only)) return;
    const begun = Date.now();
    try {
      await body();
      this.passed += 1;
      console.log(`ok    ${name} (${Date.now() - begun} ms)`);
    } catch (error) {
      this.failed += 1;
      console.log(`FAIL  ${name}\n      ${error.stack ?? error}`);
      for (const page of this.contexts.flatMap((context) => context.pages())) {
        await page.screenshot({ path: join(tmpdir(), `nuthatch-web-failed-${this.failed}.png`) }).catch(() => {});
      }
    }
  }

  async node(name) {
    const node = await Node.fresh(this.binary, this.root, name);
    this.nodes.push(node);
    return node;
  }

  /** A directory with files: {path: content}. */
  directory(name, files) {
    const directory = join(this.root, name);
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(join(directory, path, '..'), { recursive: true });
      writeFileSync(join(directory, path), content);
    }
    return directory;
  }

  /** A browser of its own at an address; what goes wrong in it fails the test that looks. */
  async page(address, { size = 'desk', locale = 'en', theme = 'light', script = true } = {}) {
    const context = await this.browser.newContext({ viewport: SIZES[size], isMobile: size === 'phone', hasTouch: size === 'phone', locale, colorScheme: theme, javaScriptEnabled: script, acceptDownloads: true, timezoneId: 'Europe/Berlin' });
    this.contexts.push(context);
    if (this.page_files) await context.route(/^http:\/\/127\.0\.0\.1:\d+\/([\w.-]+\.(js|css|svg))?$/, (route) => this.fromDisk(route));
    const page = await context.newPage();
    page.setDefaultTimeout(15000);
    page.faults = [];
    page.on('pageerror', (error) => page.faults.push(String(error)));
    page.on('console', (message) => {
      const isNetwork = /Failed to load resource|ERR_CONNECTION|ERR_EMPTY|ERR_INCOMPLETE/.test(message.text());
      if (message.type() === 'error' && !isNetwork) page.faults.push(message.text());
    });
    page.on('request', (request) => {
      if (!/^(http:\/\/127\.0\.0\.1:|blob:|data:)/.test(request.url())) page.faults.push(`asks elsewhere: ${request.url()}`);
    });
    await page.goto(address);
    return page;
  }

  /** Serves the page's files from the source tree, so that the program need not be built for every change of them. */
  async fromDisk(route) {
    const name = new URL(route.request().url()).pathname.slice(1) || 'index.html';
    const answer = await route.fetch().catch(() => null);
    if (!answer) return route.abort('connectionrefused');
    const { 'content-encoding': _, 'content-length': __, ...headers } = answer.headers();
    return route.fulfill({ status: 200, headers: { ...headers, 'content-type': TYPES[name.split('.').pop()] }, body: readFileSync(join(this.page_files, name)) });
  }

  async login(node, { user = 'admin', password = PASSWORD, ...options } = {}) {
    const page = await this.page(node.url, options);
    await page.locator('input[name=username]').fill(user);
    await page.locator('input[name=password]').fill(password);
    await page.locator('button[type=submit]').click();
    await page.locator('main#main').waitFor();
    return page;
  }

  /** Nothing serious for screen readers and keyboards, and no error in the console. */
  async sound(page, what) {
    await page.evaluate(AXE);
    // What is still coming in is paler than what it will be.
    await page.evaluate(() => Promise.all(document.getAnimations().filter((one) => one.effect.getTiming().iterations !== Infinity).map((one) => one.finished.catch(() => {}))));
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    const serious = violations.filter((one) => ['serious', 'critical'].includes(one.impact));
    hold(!serious.length, `${what}: ${serious.map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 200)} ${one.nodes[0].failureSummary}`).join('\n')}`);
    same(page.faults, [], `${what}: errors of the page`);
  }

  /** A picture for the documentation, if pictures are wanted. */
  async picture(page, name, options = {}) {
    if (!this.pictures) return;
    mkdirSync(this.pictures, { recursive: true });
    await page.mouse.move(0, 0);
    await new Promise((resolve) => setTimeout(resolve, 400));
    await page.screenshot({ path: join(this.pictures, `${name}.png`), ...options });
  }
}
