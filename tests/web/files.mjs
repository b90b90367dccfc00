// Files through the page: browse, find, look, upload, pause, go back in time, bring back.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { PASSWORD, hold, same, until } from './lib.mjs';

const button = (page, name, exact = true) => page.getByRole('button', { name, exact });
const row = (page, name) => page.locator('.long-row', { has: page.locator(`bdi`, { hasText: name }) });
const names = (page) => page.locator('.long-row bdi').allInnerTexts();
const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');
const api = (page, method, path, body) => page.evaluate(async ([verb, where, what]) => {
  const answer = await fetch(`/api/v1/${where}`, { method: verb, headers: { 'X-Nuthatch': '1' }, body: what && JSON.stringify(what) });
  return { status: answer.status, text: await answer.text() };
}, [method, path, body]);
const MARKUP = '<img src=x onerror=alert(1)>.txt';
const AWKWARD = [MARKUP, '"quotes" & amp; %41 #hash ?q=1.txt', "';alert(1);x.txt", 'new\nline.txt', 'tab\tname', '-rf', '..hidden', 'colon:at@sign.txt', 'back\\slash', ' leading', 'trailing ', 'a'.repeat(255), '\u0645\u0631\u062d\u0628\u0627.txt', '\u202egpj.exe', '{{template}}', '\u65e5\u672c\u8a9e.txt'];

/** A picture: a sky over hills, as PNG. */
function picture(width, height, seed) {
  const crcs = Array.from({ length: 256 }, (_, value) => { for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1; return value >>> 0; });
  const crc = (bytes) => (bytes.reduce((sum, byte) => crcs[(sum ^ byte) & 255] ^ (sum >>> 8), 0xffffffff) ^ 0xffffffff) >>> 0;
  const part = (name, data) => {
    const body = Buffer.concat([Buffer.from(name), data]);
    const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    check.writeUInt32BE(crc(body));
    return Buffer.concat([length, body, check]);
  };
  const lines = Buffer.alloc(height * (1 + width * 3));
  const [sun, high] = [[width * (0.2 + (seed % 5) * 0.15), height * 0.25], (seed % 3) * 0.06 + 0.5];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const depth = y / height;
      let colour = [90 + 120 * depth + seed * 3, 150 + 50 * depth, 220 - 40 * depth + (seed % 4) * 8];
      if (Math.hypot(x - sun[0], y - sun[1]) < height * 0.1) colour = [255, 238, 196];
      for (let hill = 0; hill < 4; hill += 1) {
        const edge = high + hill * 0.12 + 0.05 * Math.sin((x / width) * (5 + hill * 2) + seed + hill * 2);
        if (depth > edge) colour = [70 - hill * 14 + seed, 120 - hill * 22, 90 - hill * 15];
      }
      colour.forEach((value, index) => { lines[y * (1 + width * 3) + 1 + x * 3 + index] = value; });
    }
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width);
  head.writeUInt32BE(height, 4);
  head.set([8, 2], 8);
  return Buffer.concat([Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), part('IHDR', head), part('IDAT', deflateSync(lines)), part('IEND', Buffer.alloc(0))]);
}

/** A tone of so many seconds, as WAV. */
function tone(seconds) {
  const rate = 44100;
  const data = Buffer.alloc(seconds * rate * 2);
  for (let index = 0; index < seconds * rate; index += 1) data.writeInt16LE(Math.round(8000 * Math.sin((index * 2 * Math.PI * 440) / rate)), index * 2);
  const head = Buffer.alloc(44);
  head.write('RIFF');
  head.writeUInt32LE(36 + data.length, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36);
  head.writeUInt32LE(data.length, 40);
  return Buffer.concat([head, data]);
}

/** Two devices with folders of all kinds; the browser is at the first. */
export async function household(suite, name) {
  const attic = await suite.node(`${name}-attic`);
  const cellar = await suite.node(`${name}-cellar`);
  for (const node of [attic, cellar]) {
    const answer = await fetch(`${node.url}/api/v1/password`, { method: 'POST', headers: { 'X-Nuthatch': '1' }, body: JSON.stringify({ new: PASSWORD }) });
    hold(answer.ok, `the password is set: ${await answer.text()}`);
  }
  attic.cli('init', '--name', 'attic', '--site', 'home');
  const invitation = attic.cli('--json', 'invite', '--no-wait').trim().split('\n').map((line) => JSON.parse(line)).find((line) => line.code);
  cellar.cli('join', invitation.code, '--peer', attic.peer, '--name', 'cellar', '--site', 'parents');
  return { attic, cellar };
}

/** Slows down what the browser sends. */
async function slow(page, bytes) {
  const session = await page.context().newCDPSession(page);
  await session.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: bytes });
}

const listed = (node, what) => {
  try {
    return node.cli('--json', 'ls', what).trim().split('\n').filter(Boolean).map((line) => JSON.parse(line).path);
  } catch {
    return [];
  }
};
const content = (node, what, to) => {
  node.cli('get', what, to, '--overwrite');
  return readFileSync(to);
};
const uploaded = (page, count) => page.locator('.uploads h2', { hasText: count === 1 ? 'One file uploaded' : `${count} files uploaded` }).waitFor({ timeout: 60000 });
const choose = (page, files) => page.locator('input[type=file][multiple]').setInputFiles(files);

export default async function files(suite) {
  const photos = suite.directory('files/photos', { 'notes.txt': 'first\n', 'letter.md': '# Dear Ada\n', 'song.wav': tone(60), 'empty.txt': '', ...Object.fromEntries(AWKWARD.map((name) => [`awkward/${name}`, `content of ${name}`])) });
  writeFileSync(Buffer.concat([Buffer.from(join(photos, 'awkward/')), Buffer.from([0xff, 0xfe]), Buffer.from('.bin')]), 'bytes');
  for (let index = 0; index < 9; index += 1) {
    mkdirSync(join(photos, 'Summer at the lake'), { recursive: true });
    writeFileSync(join(photos, 'Summer at the lake', `IMG_${4100 + index * 7}.png`), picture(480, 320, index));
  }
  const pile = suite.directory('files/pile', Object.fromEntries(Array.from({ length: 10000 }, (_, index) => [`note ${String(index).padStart(5, '0')}.txt`, `note ${index}\n`])));
  const family = suite.directory('files/family', { 'Recipes/Bread.txt': 'flour\n', 'Recipes/Cake.txt': 'sugar\n', 'shopping.txt': 'milk\n' });
  const outside = suite.directory('files/outside', { 'small.txt': 'small\n', 'trip/a.txt': 'a', 'trip/day 1/b.txt': 'b', 'trip/day 1/c.txt': 'c' });
  const large = randomBytes(30_000_000);
  writeFileSync(join(outside, 'large.bin'), large);
  const { attic, cellar } = await household(suite, 'files');
  for (const [name, directory, kind] of [['photos', photos, 'backup'], ['pile', pile, 'backup'], ['family', family, 'shared']]) attic.cli('folder', 'add', name, directory, '--kind', kind, '--copies', '2');
  attic.cli('backup', '--wait');
  const page = await suite.login(attic);
  page.on('dialog', (dialog) => dialog.accept());
  const go = async (place) => {
    // Whatever a test that failed left open is gone.
    await page.goto('about:blank');
    await page.goto(`${attic.url}/#/files/${place}`);
    await page.locator('.long-row').first().waitFor();
  };
  // A dialog comes with a movement, during which its colours are not yet what they will be.
  const sound = async (where, what) => {
    await where.waitForTimeout(300);
    await suite.sound(where, what);
  };
  const scratch = join(outside, 'scratch');

  await suite.test('folders: what kind, how safe; names sort, directories come first, keys move', async () => {
    await page.goto(`${attic.url}/#/files`);
    await page.locator('.folder-card', { hasText: 'family' }).getByText('Shared', { exact: false }).waitFor();
    await sound(page, 'folders');
    await page.locator('.folder-card', { hasText: 'photos' }).click();
    await row(page, 'notes.txt').waitFor();
    same((await names(page)).slice(0, 3), ['awkward', 'Summer at the lake', 'empty.txt'], 'the order');
    await button(page, 'Size').click();
    same((await names(page))[2], 'song.wav', 'the largest first');
    await button(page, 'Name').click();
    await page.locator('.row-main').first().focus();
    await page.keyboard.press('End');
    same(await page.evaluate(() => document.activeElement.innerText), 'song.wav', 'the last row has the focus');
    await page.keyboard.press('Home');
    await page.keyboard.press('Enter');
    await page.locator('h1', { hasText: 'awkward' }).waitFor();
    await sound(page, 'a directory');
  });

  await suite.test('names that are markup, or no text, are shown as they are and break nothing', async () => {
    await go('photos/awkward');
    const shown = await names(page);
    same(shown.length, AWKWARD.length + 1, 'entries');
    hold(shown.includes(MARKUP) && shown.includes('new\u240aline.txt') && shown.some((name) => name.includes('\ufffd')), 'names are text');
    same(await page.locator('img[src=x]').count(), 0, 'nothing of it is markup');
    hold(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is wider than the window');
    for (const name of [MARKUP, '"quotes" & amp; %41 #hash ?q=1.txt', 'colon:at@sign.txt', ' leading']) {
      await row(page, name.trim()).locator('.row-main').click();
      await page.locator('pre', { hasText: `content of ${name}`.trim() }).waitFor();
      await sound(page, `preview of ${name}`);
      await page.keyboard.press('Escape');
    }
    await row(page, '.bin').locator('.row-main').click();
    await page.getByText('not readable text', { exact: false }).first().waitFor();
    await page.keyboard.press('Escape');
    const phone = await suite.login(attic, { size: 'phone' });
    await phone.goto(`${attic.url}/#/files/photos/awkward`);
    await phone.locator('.long-row').first().waitFor();
    hold(await phone.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nor on a phone');
    await phone.goto(`${attic.url}/#/files/family/${'x'.repeat(10000)}`);
    await phone.getByRole('alert').waitFor();
    hold(await phone.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nor is a name of 10,000 letters');
    await sound(phone, 'a name of 10,000 letters');
    await phone.close();
  });

  await suite.test('10,000 entries scroll smoothly', async () => {
    await go('pile');
    await page.getByText('10,000 files', { exact: false }).waitFor();
    const told = await page.evaluate(async () => {
      const frames = [];
      let before = performance.now();
      for (let step = 1; step <= 120; step += 1) {
        scrollTo(0, step * 300);
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        frames.push(now - before);
        before = now;
      }
      scrollTo(0, document.documentElement.scrollHeight);
      await new Promise((resolve) => { setTimeout(resolve, 300); });
      frames.sort((one, other) => one - other);
      return { middle: frames[60], worst: frames[119], rows: document.querySelectorAll('.long-row').length, last: document.querySelector('.long-body').lastElementChild.innerText };
    });
    console.log(`      a frame of scrolling: ${told.middle.toFixed(1)} ms, at worst ${told.worst.toFixed(1)} ms; ${told.rows} rows are drawn`);
    hold(told.rows < 200, 'only what is seen is drawn');
    hold(told.last.includes('note 09999.txt'), `the end of the list: ${told.last}`);
  });

  await suite.test('search finds by a part of the name in either case, below where one is', async () => {
    await go('photos');
    await page.getByRole('searchbox').fill('img_41');
    await page.getByText('9 found', { exact: false }).waitFor();
    await sound(page, 'search');
    await row(page, 'IMG_4107').locator('.row-main').click();
    await page.locator('.preview img').waitFor();
    await page.keyboard.press('Escape');
  });

  await suite.test('previews: pictures, text, sound by ranges; the next by keys; the way back closes them', async () => {
    await go('photos/Summer%20at%20the%20lake');
    await until(async () => (await page.locator('.tile img').count()) >= 6, 'small pictures');
    await sound(page, 'pictures');
    await suite.picture(page, 'files-pictures');
    await page.locator('.tile .row-main').first().click();
    await until(() => page.evaluate(() => document.querySelector('.preview img')?.naturalWidth === 480), 'the picture');
    await sound(page, 'a picture');
    await page.keyboard.press('ArrowRight');
    await page.locator('.preview h2', { hasText: 'IMG_4107' }).waitFor();
    await page.goBack();
    await until(async () => !(await page.locator('.preview').count()), 'the way back closes it');
    await page.locator('h1', { hasText: 'Summer' }).waitFor();
    await go('photos');
    const ranges = [];
    page.on('response', (answer) => answer.url().includes('song.wav') && ranges.push(answer.status()));
    await row(page, 'song.wav').locator('.row-main').click();
    await until(() => page.evaluate(() => document.querySelector('audio')?.duration > 59), 'the sound is known');
    await page.evaluate(() => { document.querySelector('audio').currentTime = 50; });
    await until(() => page.evaluate(() => document.querySelector('audio').currentTime >= 50 && !document.querySelector('audio').seeking), 'it goes to another place');
    hold(ranges.includes(206), `by ranges: ${ranges}`);
    await page.keyboard.press('Escape');
    await row(page, 'empty.txt').locator('.row-main').click();
    await page.getByText('The file is empty.').waitFor();
    await page.keyboard.press('Escape');
  });

  await suite.test('what is a backup can only be looked at, and says so', async () => {
    await go('photos');
    await page.getByText('change the files where they lie', { exact: false }).waitFor();
    same(await button(page, 'Upload').count(), 0, 'a button to upload');
    await page.evaluate(() => {
      const data = new DataTransfer();
      data.items.add(new File(['x'], 'x.txt'));
      document.querySelector('.browser').dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    });
    await page.getByText('cannot be uploaded here', { exact: false }).first().waitFor();
  });

  await suite.test('upload: a small and a large file, byte for byte, with the time they had', async () => {
    await go('family');
    await slow(page, 12_000_000);
    await choose(page, [join(outside, 'small.txt'), join(outside, 'large.bin')]);
    await page.getByText('large.bin').first().waitFor();
    await page.waitForTimeout(700);
    await sound(page, 'uploads');
    await suite.picture(page, 'files-upload');
    await uploaded(page, 2);
    await slow(page, -1);
    await row(page, 'large.bin').waitFor();
    same(sha(content(attic, 'family:large.bin', scratch)), sha(large), 'the large file');
    same(content(attic, 'family:small.txt', scratch).toString(), 'small\n', 'the small file');
    await until(() => existsSync(join(family, 'large.bin')), 'it lies in the directory of the folder, too');
  });

  await suite.test('upload: pause, nothing of it is shown, and on where it stood', async () => {
    await go('family');
    await slow(page, 6_000_000);
    const bytes = randomBytes(25_000_000);
    writeFileSync(join(outside, 'paused.bin'), bytes);
    await choose(page, [join(outside, 'paused.bin')]);
    await page.locator('.uploads li', { hasText: /[3-6]\d %/ }).waitFor({ timeout: 30000 });
    await button(page, 'Pause paused.bin').click();
    await page.locator('.uploads li.paused').waitFor();
    await page.waitForTimeout(1500);
    hold(!listed(attic, 'family').includes('paused.bin'), 'half a file is not shown');
    const asked = [];
    page.on('request', (request) => request.method() === 'PUT' && asked.push(Number(new URL(request.url()).searchParams.get('offset'))));
    await slow(page, -1);
    await button(page, 'Go on with paused.bin').click();
    await uploaded(page, 1);
    hold(asked[0] > 1_000_000, `it went on at ${asked[0]}`);
    same(sha(content(attic, 'family:paused.bin', scratch)), sha(bytes), 'the file');
  });

  await suite.test('upload: one that breaks off for good leaves nothing behind', async () => {
    const other = await suite.login(attic);
    await other.goto(`${attic.url}/#/files/family`);
    await other.locator('.long-row').first().waitFor();
    await slow(other, 4_000_000);
    const snapshots = attic.cli('--json', 'snapshots', 'family').trim().split('\n').length;
    writeFileSync(join(outside, 'broken.bin'), randomBytes(25_000_000));
    await choose(other, [join(outside, 'broken.bin')]);
    await other.locator('.uploads li', { hasText: /[2-6]\d %/ }).waitFor({ timeout: 30000 });
    await other.close();
    await page.waitForTimeout(2500);
    hold(!listed(attic, 'family').includes('broken.bin') && !existsSync(join(family, 'broken.bin')), 'nothing of it is there');
    same(attic.cli('--json', 'snapshots', 'family').trim().split('\n').length, snapshots, 'no snapshot was made of it');
  });

  await suite.test('upload: the node restarts in the middle, and it goes on by itself', async () => {
    await go('family');
    await slow(page, 5_000_000);
    const bytes = randomBytes(20_000_000);
    writeFileSync(join(outside, 'restart.bin'), bytes);
    await choose(page, [join(outside, 'restart.bin')]);
    await page.locator('.uploads li', { hasText: /[3-6]\d %/ }).waitFor({ timeout: 30000 });
    await attic.stop();
    await page.getByText('Goes on when the node is back', { exact: false }).waitFor();
    await slow(page, -1);
    await attic.start();
    await uploaded(page, 1);
    same(sha(content(attic, 'family:restart.bin', scratch)), sha(bytes), 'the file');
  });

  await suite.test('upload: two to one name are two versions, and nothing is mixed', async () => {
    const other = await suite.login(attic);
    const [one, two] = [randomBytes(6_000_000), randomBytes(6_000_000)];
    const made = (bytes, place) => {
      mkdirSync(join(outside, place));
      writeFileSync(join(outside, place, 'both.bin'), bytes);
      return join(outside, place, 'both.bin');
    };
    const [first, second] = [made(one, 'one'), made(two, 'two')];
    for (const who of [page, other]) {
      await who.goto('about:blank');
      await who.goto(`${attic.url}/#/files/family`);
      await who.locator('.long-row').first().waitFor();
      await slow(who, 5_000_000);
    }
    // Both begin before one is done: neither is asked.
    await Promise.all([choose(page, [first]), choose(other, [second])]);
    await Promise.all([uploaded(page, 1), uploaded(other, 1)]);
    await slow(page, -1);
    await other.close();
    const found = attic.cli('--json', 'history', 'family:both.bin').trim().split('\n').map((line) => JSON.parse(line)).filter((line) => line.state === 'there');
    const kept = found.map((line) => sha(content(attic, `family@${line.last.snapshot}:both.bin`, scratch))).sort();
    same([...new Set(kept)], [sha(one), sha(two)].sort(), 'both versions');
  });

  await suite.test('upload: a name that is there is asked about; both are kept on request', async () => {
    await go('family');
    await choose(page, [join(outside, 'small.txt')]);
    await page.getByRole('heading', { name: 'One file is there already' }).waitFor();
    await sound(page, 'question');
    await page.getByText('Keep both').click();
    await page.locator('dialog').getByRole('button', { name: 'Upload' }).click();
    await row(page, 'small (2).txt').waitFor();
  });

  await suite.test('upload: a whole directory, and files that are dropped', async () => {
    await go('family');
    await page.locator('input[webkitdirectory]').setInputFiles(join(outside, 'trip'));
    await uploaded(page, 3);
    same(listed(attic, 'family:trip/day 1').sort(), ['trip/day 1/b.txt', 'trip/day 1/c.txt'], 'the directory');
    await page.evaluate(() => {
      const data = new DataTransfer();
      data.items.add(new File(['dropped'], '<b>dropped</b>.txt'.replace('/', '')));
      const zone = document.querySelector('.browser');
      for (const type of ['dragenter', 'dragover', 'drop']) zone.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
    });
    await row(page, '<b>dropped<b>.txt').waitFor();
  });

  await suite.test('an older version is looked at, and becomes the newest again', async () => {
    for (const text of ['milk\nbread\n', 'nothing\n']) {
      writeFileSync(join(family, 'shopping.txt'), text);
      attic.cli('backup', 'family');
    }
    await go('family');
    await row(page, 'shopping.txt').locator('.row-main').click();
    await page.locator('pre', { hasText: 'nothing' }).waitFor();
    await page.locator('.version').nth(1).click();
    await page.locator('pre', { hasText: 'bread' }).waitFor();
    await sound(page, 'versions');
    await page.getByRole('button', { name: /Restore the version/ }).first().click();
    await page.locator('dialog.dialog').getByRole('button', { name: 'Restore', exact: true }).click();
    await until(() => readFileSync(join(family, 'shopping.txt'), 'utf8') === 'milk\nbread\n', 'it is in the directory again');
    await page.keyboard.press('Escape');
  });

  await suite.test('what is deleted can be undone at once, and be found and brought back later', async () => {
    await go('family');
    await button(page, 'Actions for Recipes').click();
    await page.getByRole('menuitem', { name: 'Delete' }).click();
    await sound(page, 'question');
    await page.locator('dialog').getByRole('button', { name: 'Delete' }).click();
    await until(() => !existsSync(join(family, 'Recipes/Cake.txt')), 'it is gone');
    await page.locator('.undo').getByRole('button', { name: 'Undo' }).click();
    await until(() => existsSync(join(family, 'Recipes/Cake.txt')) && existsSync(join(family, 'Recipes/Bread.txt')), 'it is back');
    await row(page, 'Recipes').waitFor();
    rmSync(join(family, 'shopping.txt'));
    attic.cli('backup', 'family');
    await until(async () => !(await row(page, 'shopping.txt').count()), 'what was deleted elsewhere goes from the list');
    await button(page, 'More').click();
    await page.getByRole('menuitem', { name: 'Show deleted files' }).click();
    await page.locator('.is-deleted', { hasText: 'shopping.txt' }).waitFor();
    await sound(page, 'deleted files');
    await button(page, 'Actions for shopping.txt').click();
    await page.getByRole('menuitem', { name: 'Restore' }).click();
    await page.locator('dialog').getByRole('button', { name: 'Restore', exact: true }).click();
    await until(() => existsSync(join(family, 'shopping.txt')), 'it is back');
  });

  await suite.test('the time line: the folder as it was, what changed, and back to now', async () => {
    rmSync(join(photos, 'letter.md'));
    writeFileSync(join(photos, 'notes.txt'), 'second\n');
    attic.cli('backup', 'photos');
    await go('photos');
    await button(page, 'Time line').click();
    await page.getByRole('slider').waitFor();
    await button(page, 'Older').click();
    await page.getByText('You see the folder as it was', { exact: false }).waitFor();
    await row(page, 'letter.md').waitFor();
    await sound(page, 'the past');
    await suite.picture(page, 'files-past');
    await page.getByRole('slider').focus();
    await page.keyboard.press('ArrowRight');
    await until(async () => !(await row(page, 'letter.md').count()), 'keys move in time');
    await page.getByRole('link', { name: 'What changed' }).first().click();
    await page.locator('.differences li', { hasText: 'letter.md' }).waitFor();
    same(await page.locator('.differences .sign').first().getAttribute('class'), 'sign bad', 'the sign of a deletion');
    await sound(page, 'what changed');
  });

  await suite.test('restore: a deleted file of a backup goes to where it was; a directory to another place', async () => {
    await go('photos');
    await button(page, 'More').click();
    await page.getByRole('menuitem', { name: 'Show deleted files' }).click();
    await page.locator('.is-deleted', { hasText: 'letter.md' }).waitFor();
    await button(page, 'Actions for letter.md').click();
    await page.getByRole('menuitem', { name: 'Restore' }).click();
    await sound(page, 'restore');
    await page.locator('dialog').getByRole('button', { name: 'Restore', exact: true }).click();
    await page.getByText('One file was written', { exact: false }).waitFor();
    same(readFileSync(join(photos, 'letter.md'), 'utf8'), '# Dear Ada\n', 'the file');
    await button(page, 'Done').click();
    const target = join(outside, 'target');
    mkdirSync(target);
    await button(page, 'Actions for Summer at the lake').click();
    await page.getByRole('menuitem', { name: 'Restore' }).click();
    await page.getByText('To another place on this device').click();
    for (const part of target.split('/').filter(Boolean)) await page.locator('.picker-item', { hasText: part }).filter({ hasText: new RegExp(`^\\s*${part}\\s*$`) }).click();
    await page.locator('dialog').getByRole('button', { name: 'Restore', exact: true }).click();
    await page.getByText('9 files were written', { exact: false }).waitFor();
    same(sha(readFileSync(join(target, 'Summer at the lake/IMG_4100.png'))), sha(readFileSync(join(photos, 'Summer at the lake/IMG_4100.png'))), 'a picture');
    await button(page, 'Done').click();
  });

  await suite.test('download: a file, and a directory as a zip that holds what it says', async () => {
    await go('photos');
    const [file] = await Promise.all([page.waitForEvent('download'), (async () => {
      await button(page, 'Actions for notes.txt').click();
      await page.getByRole('menuitem', { name: 'Download' }).click();
    })()]);
    same([file.suggestedFilename(), readFileSync(await file.path(), 'utf8')], ['notes.txt', 'second\n'], 'the file');
    const [zip] = await Promise.all([page.waitForEvent('download'), (async () => {
      await button(page, 'Actions for awkward').click();
      await page.getByRole('menuitem', { name: 'Download as zip' }).click();
    })()]);
    const bytes = readFileSync(await zip.path());
    same([zip.suggestedFilename(), bytes.subarray(0, 4).toString('latin1')], ['awkward.zip', 'PK\u0003\u0004'], 'the zip');
    hold(bytes.includes(Buffer.from(MARKUP)) && bytes.includes(Buffer.from('content of -rf')), 'what is in it');
  });

  await suite.test('a new folder is made; one that is there, or no name at all, is refused', async () => {
    await go('family');
    await button(page, 'New folder').click();
    const name = page.locator('dialog').getByLabel('Name', { exact: true });
    const make = page.locator('dialog').getByRole('button', { name: 'Make' });
    hold(await make.isDisabled(), 'nothing is made without a name');
    await name.fill('Recipes');
    await page.getByText('There is something called Recipes already.').waitFor();
    await name.fill('a/b');
    await page.getByText('A name has no slash', { exact: false }).waitFor();
    hold(await make.isDisabled(), 'nothing is made with a wrong name');
    await sound(page, 'a new folder');
    await name.fill('Garden <b>');
    await page.keyboard.press('Enter');
    await row(page, 'Garden <b>').waitFor();
    hold(existsSync(join(family, 'Garden <b>')), 'it is on the disk');
    const phone = await suite.login(attic, { size: 'phone', locale: 'de', theme: 'dark' });
    await phone.goto(`${attic.url}/#/files/family`);
    await button(phone, 'Mehr').click();
    await phone.getByRole('menuitem', { name: 'Neuer Ordner' }).click();
    await sound(phone, 'a new folder on a phone');
    await phone.locator('dialog').getByLabel('Name', { exact: true }).fill('Garten');
    await suite.picture(phone, 'new-folder-phone');
    await phone.locator('dialog').getByRole('button', { name: 'Anlegen' }).click();
    await row(phone, 'Garten').waitFor();
    await phone.close();
  });

  await suite.test('several are selected: how many, download, delete', async () => {
    await go('family');
    for (const name of ['small.txt', 'small (2).txt']) await page.getByRole('checkbox', { name: `Select ${name}`, exact: true }).check();
    await page.locator('.selection').getByText('2 selected').waitFor();
    await sound(page, 'selection');
    const [zip] = await Promise.all([page.waitForEvent('download'), page.locator('.selection').getByRole('button', { name: 'Download' }).click()]);
    const bytes = readFileSync(await zip.path());
    same([zip.suggestedFilename(), bytes.subarray(0, 4).toString('latin1')], ['family.zip', 'PK\u0003\u0004'], 'one archive for both');
    for (const name of ['small.txt', 'small (2).txt']) hold(bytes.includes(Buffer.from(name)), `${name} is in it`);
    await page.locator('.selection').getByRole('button', { name: 'Delete' }).click();
    await page.locator('dialog').getByRole('button', { name: 'Delete' }).click();
    await until(() => !existsSync(join(family, 'small.txt')) && !existsSync(join(family, 'small (2).txt')), 'both are gone');
  });

  await suite.test('who may only read, and only one folder, sees that one and nothing to change', async () => {
    hold((await api(page, 'POST', 'users', { name: 'mia', password: 'reading is fun', role: 'read', folders: ['family'] })).status < 300, 'the user');
    const mia = await suite.login(attic, { user: 'mia', password: 'reading is fun', size: 'phone', locale: 'de' });
    await mia.goto(`${attic.url}/#/files`);
    await mia.locator('.folder-card').first().waitFor();
    same(await mia.locator('.folder-card strong').allInnerTexts(), ['family'], 'her folders');
    await mia.locator('.folder-card').click();
    await row(mia, 'Recipes').waitFor();
    same([await button(mia, 'Hochladen').count(), await mia.locator('input[type=file]').count()], [0, 0], 'ways to upload');
    same((await api(mia, 'DELETE', 'files?what=family:trip/a.txt')).status, 403, 'deleting');
    same((await api(mia, 'POST', 'uploads', { what: 'family:x', size: 1 })).status, 403, 'uploading');
    same((await api(mia, 'GET', 'files?what=photos')).status, 403, 'another folder');
    await mia.goto(`${attic.url}/#/files/photos`);
    await mia.getByText('Es gibt keinen Ordner photos').waitFor();
    await mia.close();
  });

  await suite.test('a file that one device uploads is seen on the other, and the other way round', async () => {
    const other = await suite.login(cellar);
    await other.goto(`${cellar.url}/#/files/family`);
    await row(other, 'trip').waitFor({ timeout: 30000 });
    await choose(other, [{ name: 'from the cellar.txt', mimeType: 'text/plain', buffer: Buffer.from('hello') }]);
    await go('family');
    await row(page, 'from the cellar.txt').waitFor({ timeout: 30000 });
    await other.close();
  });

  await suite.test('pictures of files for the documentation', async () => {
    if (!suite.pictures) return;
    for (const name of listed(attic, 'family')) rmSync(join(family, name), { recursive: true, force: true });
    const nice = { 'Music/Lullaby.wav': tone(4), 'Recipes/Bread.txt': 'flour, water, salt\n', 'Taxes/2025 return.pdf': '%PDF-1.4\n', 'House/Insurance.pdf': '%PDF-1.4\n', 'House/Boiler manual.pdf': '%PDF-1.4\n', 'Birthday film.mp4': randomBytes(3_400_000), 'Holiday plan.txt': 'Monday: the lake\n', 'Shopping list.txt': 'milk\n', 'Tent.png': picture(480, 320, 3), 'Phone numbers.csv': 'Ada,1\n' };
    for (const [path, bytes] of Object.entries(nice)) {
      mkdirSync(join(family, path, '..'), { recursive: true });
      writeFileSync(join(family, path), bytes);
    }
    attic.cli('backup', 'family');
    attic.cli('backup', '--wait');
    for (const [name, place, options] of [['files', 'family', {}], ['files-phone', 'photos/Summer%20at%20the%20lake', { size: 'phone', theme: 'dark', locale: 'de' }], ['files-folders', '', { size: 'phone' }], ['files-preview', 'photos/Summer%20at%20the%20lake?open=IMG_4114.png', {}]]) {
      const shot = await suite.login(attic, options);
      await shot.goto(`${attic.url}/#/files/${place}`);
      await shot.locator('.long-row, .folder-card').first().waitFor();
      await shot.mouse.move(2, 2);
      await shot.waitForTimeout(2500);
      await suite.picture(shot, name);
      await shot.close();
    }
  });
  rmSync(dirname(outside), { recursive: true, force: true });
}
