// A household's way through the page: first run, a second device, people, settings, mishaps.
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PASSWORD, hold, same, until } from './lib.mjs';

const button = (page, name, exact = true) => page.getByRole('button', { name, exact });
const field = (page, name) => page.getByLabel(name, { exact: true });
const sentence = (page) => page.locator('[data-test=sentence]');
const api = (page, method, path, body) => page.evaluate(async ([verb, where, what]) => {
  const answer = await fetch(`/api/v1/${where}`, { method: verb, headers: { 'X-Nuthatch': '1' }, body: what && JSON.stringify(what) });
  return { status: answer.status, text: await answer.text() };
}, [method, path, body]);
const HOSTILE = '<img src=x onerror=alert(1)>';

/** From a fresh node to its start page, on a phone. */
async function firstRun(suite, node, directory) {
  const page = await suite.page(node.url, { size: 'phone' });
  await field(page, 'Name').fill('attic');
  await suite.sound(page, 'first step');
  await suite.picture(page, 'first-run');
  await button(page, 'Next').click();
  await field(page, 'Password').fill(PASSWORD);
  await field(page, 'The same again').fill('three blue hores');
  await button(page, 'Next').click();
  await page.getByText('The two are not the same.').waitFor();
  await field(page, 'The same again').fill(PASSWORD);
  await button(page, 'Next').click();
  await page.locator('.disk.chosen').waitFor();
  await suite.sound(page, 'disks');
  await button(page, 'Next').click();
  await page.getByText('is the first box').waitFor();
  await suite.sound(page, 'way');
  await button(page, 'Next').click();
  await button(page, 'Show the words').click();
  const words = await page.locator('form > .phrase strong').allInnerTexts();
  same(words.length, 24, 'recovery words');
  suite.words = words;
  await suite.sound(page, 'words');
  await button(page, 'Next').click();
  const boxes = await page.locator('input[data-place]').all();
  for (const box of boxes) await box.fill('wrong');
  await button(page, 'Next').click();
  await page.getByText('At least one is not right', { exact: false }).waitFor();
  for (const box of boxes) await box.fill(words[Number(await box.getAttribute('data-place'))]);
  await button(page, 'Next').click();
  for (const part of directory.split('/').filter(Boolean)) await button(page, part).click();
  same(await field(page, 'Path').inputValue(), directory, 'the directory that was picked');
  await suite.sound(page, 'folder');
  await button(page, 'Next').click();
  await page.locator('.big-figures').waitFor();
  same(await page.locator('.big-figures strong').first().innerText(), '4', 'files of the first snapshot');
  await button(page, 'Next').click();
  const [download] = await Promise.all([page.waitForEvent('download'), page.locator('a.picker-item', { hasText: 'letter.txt' }).click()]);
  same(readFileSync(await download.path(), 'utf8'), 'Dear Ada,\n', 'the file that came back');
  await page.getByText('opened and checked', { exact: false }).waitFor();
  await suite.sound(page, 'restore');
  await button(page, 'Next').click();
  await button(page, 'To the start page').click();
  await until(async () => (await sentence(page).innerText()).includes('photos'), 'the start page says something about the folder');
  return page;
}

export default async function house(suite) {
  const directory = suite.directory('pictures/photos', { 'letter.txt': 'Dear Ada,\n', 'summer/lake.jpg': 'x'.repeat(200000), 'summer/boat.jpg': 'y'.repeat(90000), [`${HOSTILE}.txt`]: 'markup' });
  const attic = await suite.node('attic');
  const cellar = await suite.node('cellar');
  let phone;
  let desk;

  await suite.test('a page without scripts says so, and where the plain status is', async () => {
    const page = await suite.page(attic.url, { script: false });
    await page.locator('.no-script p').first().waitFor();
    same(await page.locator('.no-script a').getAttribute('href'), '/plain', 'where the plain page is');
    same((await fetch(`${attic.url}/plain`)).status, 401, 'the plain page without a token');
    same(page.faults, [], 'errors of the page');
  });

  await suite.test('the first screen is drawn quickly', async () => {
    const page = await suite.page(attic.url, { size: 'phone' });
    await page.getByRole('heading', { level: 1 }).waitFor();
    const [drawn, weight] = await page.evaluate(() => {
      const entries = performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'));
      return [performance.getEntriesByName('first-contentful-paint')[0]?.startTime, entries.reduce((sum, entry) => sum + entry.transferSize, 0)];
    });
    console.log(`      first paint after ${Math.round(drawn)} ms, ${Math.round(weight / 1000)} kB over the wire`);
    hold(drawn > 0, 'the first paint');
  });

  await suite.test('first run on a phone: name, password, words typed back, folder, snapshot, a file comes back', async () => {
    phone = await firstRun(suite, attic, directory);
  });

  await suite.test('login: a wrong password is told, the right one lets in, a logout ends it', async () => {
    const page = await suite.page(attic.url);
    await field(page, 'Password').fill('wrong wrong');
    await button(page, 'Log in').click();
    await page.getByText('do not fit', { exact: false }).waitFor();
    await suite.sound(page, 'login');
    await until(async () => {
      if (await page.locator('main#main').count()) return true;
      await field(page, 'Password').fill(PASSWORD);
      await button(page, 'Log in').click();
      await new Promise((resolve) => setTimeout(resolve, 700));
      return false;
    }, 'the right password lets in');
    desk = page;
    const other = await suite.login(attic);
    await button(other, 'Log out').click();
    await button(other, 'Log in').waitFor();
    await other.context().close();
  });

  await suite.test('the node remembers that the recovery words were typed back: another browser is told', async () => {
    await desk.getByText('Confirmed on', { exact: false }).waitFor();
    same(await button(desk, 'I have it').count(), 0, 'nothing is asked any more');
  });

  await suite.test('a second device joins with the code of the first, in German, by the address of the QR code', async () => {
    await desk.goto(`${attic.url}/#/devices?invite=1`);
    await button(desk, 'Show the code').click();
    const code = await desk.locator('[data-test=code]').innerText();
    hold(await desk.locator('svg.qr path').count(), 'there is a QR code');
    await suite.sound(desk, 'invitation');
    await suite.picture(desk, 'invite');
    const page = await suite.page(`${cellar.url}/#/join/${code}`, { locale: 'de', theme: 'dark' });
    await field(page, 'Name').fill('Keller');
    await field(page, 'Wo steht es?').fill('Eltern');
    await button(page, 'Weiter').click();
    await field(page, 'Passwort').fill(PASSWORD);
    await field(page, 'Noch einmal dasselbe').fill(PASSWORD);
    await button(page, 'Weiter').click();
    await page.locator('.disk.chosen').waitFor();
    await button(page, 'Weiter').click();
    same(await field(page, 'Code der Einladung').inputValue(), code, 'the code came with the address');
    await page.getByText('Das andere Gerät ist nicht in diesem Netz').click();
    await field(page, 'Seine Adresse').fill(attic.peer);
    await suite.sound(page, 'join');
    await button(page, 'Weiter').click();
    await page.getByText('Es gehört zum Tresor').waitFor();
    await desk.getByText('Keller has joined.').waitFor();
    await button(desk, 'Done').click();
    await button(page, 'Weiter').click();
    await button(page, 'Später').click();
    await button(page, 'Zur Startseite').click();
    await page.locator('main#main').waitFor();
    await desk.locator('.member', { hasText: 'Keller' }).waitFor();
    // This device has not seen the words, until somebody says that they are there.
    await button(page, 'Ich habe es').click();
    await page.getByText('bestätigt', { exact: false }).waitFor();
    const told = await page.evaluate(() => import('/api.js').then((asked) => asked.post('make-directory', { what: 'nirgends:x' })).catch((error) => [error.code, error.message, error.hint]));
    same(told, ['no_folder', 'Es gibt keinen Ordner „nirgends“', 'Sehen Sie in der Liste der Ordner nach.'], 'an error in German');
    const wait = await page.evaluate(() => import('/api.js').then((asked) => asked.post('join', { code: '1' })).catch((error) => [error.code, error.message]));
    same(wait, ['member_already', 'Dieses Gerät gehört schon zu einem Tresor'], 'another one');
  });

  await suite.test('what happens is seen without a reload: another file, copies on the second device', async () => {
    await phone.goto(`${attic.url}/#/home`);
    writeFileSync(join(directory, 'new.txt'), 'one more');
    await phone.getByText('5 files', { exact: false }).first().waitFor({ timeout: 40000 });
    await phone.getByText('2 of 3 copies in 2 places', { exact: false }).first().waitFor({ timeout: 40000 });
    await phone.locator('.concern', { hasText: 'partly protected' }).waitFor();
  });

  await suite.test('what needs attention has a button that leads to what helps', async () => {
    // A page that is slow: its frames come late, and whatever waits for one.
    await phone.evaluate(() => { window.inTime = window.requestAnimationFrame; window.requestAnimationFrame = (call) => setTimeout(call, 2000); });
    await phone.locator('.concern').getByRole('link', { name: 'Invite a device' }).click();
    await phone.getByText('What may the new device do?').waitFor();
    await phone.keyboard.press('Escape');
    await until(async () => !(await phone.locator('dialog').count()), 'Escape closes the dialog');
    await until(() => phone.evaluate(() => location.hash === '#/devices'), 'and it stays closed');
    same(await phone.locator('dialog').count(), 0, 'a dialog that was closed');
    await phone.evaluate(() => { window.requestAnimationFrame = window.inTime; });
  });

  await suite.test('a folder is changed, its snapshots are forgotten and taken back, its files found', async () => {
    await desk.goto(`${attic.url}/#/folders/photos`);
    await button(desk, 'More about this folder').click();
    await desk.getByRole('menuitem', { name: 'Change' }).click();
    await field(desk, 'Copies').fill('2');
    await field(desk, 'Left out').fill('*.tmp');
    await field(desk, 'Largest file').fill('2GB');
    await suite.sound(desk, 'change of a folder');
    await button(desk, 'Save').click();
    await until(() => attic.json('folder', 'list').find((folder) => folder.copies === 2 && folder.ignore.includes('*.tmp') && folder.max_size === '2GB'), 'the folder is changed');
    await desk.getByText('files above 2GB').waitFor();
    const oldest = desk.locator('table', { hasText: 'Taken' }).locator('tbody tr').last();
    await oldest.waitFor();
    const place = await oldest.locator('a').getAttribute('href');
    const isThere = () => desk.locator(`a[href="${place}"]`).count();
    await oldest.getByRole('button').click();
    await desk.getByRole('menuitem', { name: 'Forget' }).click();
    await until(async () => !(await isThere()), 'it is forgotten');
    await button(desk, 'Undo').click();
    await until(isThere, 'it is back');
    await field(desk, 'Name or pattern').fill('onerror');
    await button(desk, 'Find').click();
    await desk.locator('table', { hasText: HOSTILE }).waitFor();
    same(await desk.locator('img[src=x]').count(), 0, 'names that are markup are text');
  });

  await suite.test('settings: a key is changed and taken back, language and theme stay', async () => {
    await desk.goto(`${attic.url}/#/settings/all?key=backup.copies`);
    await field(desk, 'Value').fill('2');
    await suite.sound(desk, 'a key');
    await button(desk, 'Save').click();
    await until(() => attic.cli('config', 'get', 'backup.copies').trim() === '2', 'the key is set');
    await button(desk, 'Undo').click();
    await until(() => attic.cli('config', 'get', 'backup.copies').trim() === '3', 'the key is as it was');
    await desk.goto(`${attic.url}/#/settings/all?key=scrub.days`);
    await field(desk, 'Value').fill('9999');
    await button(desk, 'Save').click();
    await desk.getByRole('alert').getByText('scrub.days', { exact: false }).waitFor();
    await desk.keyboard.press('Escape');
    await desk.goto(`${attic.url}/#/settings`);
    await desk.getByText('Deutsch').click();
    await desk.getByRole('heading', { name: 'Optionen' }).waitFor();
    await desk.getByText('Dunkel', { exact: true }).click();
    await desk.reload();
    await desk.getByRole('heading', { name: 'Optionen' }).waitFor();
    same(await desk.evaluate(() => document.documentElement.dataset.theme), 'dark', 'the theme after a reload');
    await desk.getByText('English').click();
    await desk.getByText('As the system').click();
  });

  await suite.test('a limit of speed by the time of day is kept', async () => {
    await desk.goto(`${attic.url}/#/devices`);
    await desk.getByRole('group', { name: 'Sending' }).getByText('By time of day').click();
    await button(desk, 'Save').click();
    await until(() => attic.cli('config', 'get', 'bandwidth.up').includes('08:00-23:00 20Mbit'), 'the limit is set');
    await desk.getByRole('group', { name: 'Sending' }).getByText('No limit').click();
    await button(desk, 'Save').click();
    await until(() => attic.cli('config', 'get', 'bandwidth.up').includes('unlimited'), 'the limit is gone');
  });

  await suite.test('roles: who may only read sees nothing to change, is refused by the API, and is out when removed', async () => {
    await desk.goto(`${attic.url}/#/settings/people`);
    await button(desk, 'Add somebody').click();
    await field(desk, 'Name').fill('<b>mia</b>'.replaceAll('/', ''));
    await field(desk, 'Password').fill('reading is fun');
    await desk.getByText('Read only').click();
    await suite.sound(desk, 'somebody new');
    await button(desk, 'Save').click();
    await desk.locator('td', { hasText: '<b>mia<b>' }).waitFor();
    const mia = await suite.login(attic, { user: '<b>mia<b>', password: 'reading is fun', size: 'phone' });
    await sentence(mia).waitFor();
    for (const name of ['Back up now', 'Pause', 'Check now']) same(await button(mia, name).count(), 0, `a button ${name}`);
    same(await mia.getByRole('link', { name: 'Invite a device' }).count(), 0, 'a link to invite');
    for (const [method, path, body] of [['POST', 'backup', {}], ['PUT', 'config', { key: 'node.name', value: '"x"' }], ['POST', 'invite', {}], ['DELETE', 'folders/photos'], ['POST', 'say', { text: 'x' }]]) {
      same((await api(mia, method, path, body)).status, 403, `${method} ${path}`);
    }
    for (const place of ['devices', 'settings', 'folders/photos']) {
      await mia.goto(`${attic.url}/#/${place}`);
      await mia.getByRole('heading', { level: 1 }).waitFor();
      await suite.sound(mia, `${place} for who may only read`);
    }
    same(await button(mia, 'More about this folder').count(), 0, 'a menu of changes');
    await button(desk, 'More about <b>mia<b>').click();
    await desk.getByRole('menuitem', { name: 'Remove' }).click();
    await mia.goto(`${attic.url}/#/home`);
    await mia.reload();
    await button(mia, 'Log in').waitFor();
    await mia.context().close();
  });

  await suite.test('a token lets a program in, and shows the plain status, until it is revoked', async () => {
    await desk.goto(`${attic.url}/#/settings/people`);
    await button(desk, 'New token').click();
    await field(desk, 'What for').fill('backup script');
    await button(desk, 'Make').click();
    const token = await desk.locator('[data-test=token]').innerText();
    await suite.sound(desk, 'token');
    await button(desk, 'Done').click();
    const asks = () => fetch(`${attic.url}/api/v1/status`, { headers: { Authorization: `Bearer ${token}` } });
    same((await asks()).status, 200, 'with the token');
    const plain = await fetch(`${attic.url}/plain`, { headers: { Authorization: `Basic ${btoa(`any:${token}`)}` } });
    hold((await plain.text()).includes('protected'), 'the plain page shows the status with the token');
    await button(desk, 'Revoke backup script').click();
    await until(async () => (await asks()).status === 401, 'the token is good for nothing');
  });

  await suite.test('the keyboard is enough: skip link, menu by arrows, dialog by Escape', async () => {
    await desk.goto(`${attic.url}/#/settings/people`);
    await desk.reload();
    await desk.locator('table').first().waitFor();
    await desk.evaluate(() => document.activeElement.blur());
    await desk.keyboard.press('Tab');
    same(await desk.evaluate(() => document.activeElement.className), 'skip', 'the first stop');
    await desk.keyboard.press('Enter');
    same(await desk.evaluate(() => document.activeElement.id), 'main', 'after the skip link');
    await button(desk, 'More about admin').focus();
    await desk.keyboard.press('ArrowDown');
    await until(async () => (await desk.evaluate(() => document.activeElement.getAttribute('role'))) === 'menuitem', 'the menu is open');
    await desk.keyboard.press('Enter');
    await desk.locator('dialog').waitFor();
    await desk.keyboard.press('Escape');
    await until(async () => !(await desk.locator('dialog').count()), 'the dialog is closed');
  });

  await suite.test('nothing serious for axe on any view, on phone and desk, light and dark', async () => {
    for (const [size, theme] of [['phone', 'light'], ['desk', 'dark']]) {
      const page = await suite.login(attic, { size, theme });
      for (const place of ['home', 'files', 'files/photos', 'devices', 'activity', 'folders', 'folders/photos', 'folders?add=1', 'settings', 'settings/people', 'settings/all', 'settings/about']) {
        await page.goto(`${attic.url}/#/${place}`);
        await page.getByRole('heading', { level: 1 }).waitFor();
        await until(async () => !(await page.locator('.loading').count()), `${place} is there`);
        await suite.sound(page, `${place}, ${size}, ${theme}`);
      }
      await page.context().close();
    }
  });

  await suite.test('pictures for the documentation', async () => {
    if (suite.pictures) {
      for (const [name, count] of [['documents', 48], ['music', 31]]) {
        const files = Object.fromEntries(Array.from({ length: count }, (_, index) => [`${2020 + (index % 6)}/${name}-${index}.bin`, randomBytes(20000 + index * 3000)]));
        attic.cli('folder', 'add', name, suite.directory(`pictures/${name}`, files), '--copies', '2');
        attic.cli('backup', name, '--wait');
      }
      attic.cli('drill');
    }
    for (const [name, place, options] of [['home-phone', 'home', { size: 'phone' }], ['home-desk', 'home', {}], ['home-dark', 'home', { theme: 'dark', locale: 'de' }], ['devices', 'devices', {}], ['files', 'files/photos', {}], ['activity', 'activity', { theme: 'dark' }], ['settings', 'settings/all', {}]]) {
      const page = await suite.login(attic, options);
      await page.goto(`${attic.url}/#/${place}`);
      await page.getByRole('heading', { level: 1 }).waitFor();
      await until(async () => !(await page.locator('.loading').count()), `${place} is there`);
      await suite.picture(page, name);
      await page.context().close();
    }
  });

  await suite.test('a node that restarts under an open page is reached again by itself', async () => {
    await desk.goto(`${attic.url}/#/home`);
    await sentence(desk).waitFor();
    await attic.stop();
    await desk.getByText('The node does not answer', { exact: false }).waitFor();
    await attic.start();
    await desk.getByText('The node is back.').waitFor();
    await until(async () => !(await desk.locator('.banner').count()), 'the banner goes');
    writeFileSync(join(directory, 'after.txt'), 'after the restart');
    await desk.getByText('6 files', { exact: false }).first().waitFor({ timeout: 40000 });
  });

  await suite.test('pause and resume', async () => {
    await button(desk, 'Pause').click();
    await desk.getByRole('menuitem', { name: 'For 8 hours' }).click();
    await until(async () => (await sentence(desk).innerText()).startsWith('Paused until '), 'the sentence says so');
    await button(desk, 'Resume').first().click();
    await button(desk, 'Back up now').first().waitFor();
  });

  await suite.test('a lost device is removed after its name was typed', async () => {
    await cellar.stop();
    await desk.goto(`${attic.url}/#/devices`);
    await button(desk, 'More about Keller').click();
    await desk.getByRole('menuitem', { name: 'Remove', exact: false }).click();
    await desk.getByText('no longer count', { exact: false }).waitFor();
    hold(await button(desk, 'Remove for good').isDisabled(), 'nothing is removed before its name is typed');
    await field(desk, 'Type “Keller” to confirm').fill('Keller');
    await desk.getByText('No other device can be reached').click();
    await field(desk, 'Every other device is lost or off').check();
    await suite.sound(desk, 'remove');
    await button(desk, 'Remove for good').click();
    await until(() => attic.json('nodes').length === 1, 'it is no member any more');
    await until(async () => (await desk.locator('.member').count()) === 1, 'the page shows one device');
  });

  await suite.test('a new device gets everything back with the 24 words', async () => {
    const spare = await suite.node('spare');
    const page = await suite.page(spare.url);
    await field(page, 'Name').fill('spare');
    await button(page, 'Next').click();
    await field(page, 'Password').fill(PASSWORD);
    await field(page, 'The same again').fill(PASSWORD);
    await button(page, 'Next').click();
    await page.locator('.disk.chosen').waitFor();
    await button(page, 'Next').click();
    await page.getByText('replaces what was lost').click();
    await field(page, 'The 24 words').fill(suite.words.slice(0, 23).join(' '));
    hold(await button(page, 'Next').isDisabled(), 'nothing begins with 23 words');
    await field(page, 'The 24 words').fill(`  ${suite.words.join('  ').toUpperCase()} `);
    await page.getByText('The other device is not in this network').click();
    await field(page, 'Its address').fill(attic.peer);
    await suite.sound(page, 'recover');
    await button(page, 'Next').click();
    await page.getByText('The vault is back').waitFor({ timeout: 60000 });
    same(await page.evaluate((word) => JSON.stringify({ ...sessionStorage }).includes(word), suite.words.slice(3, 5).join(' ')), false, 'the words are kept by the browser');
    await button(page, 'Next').click();
    await button(page, 'To the start page').click();
    await sentence(page).waitFor();
    await page.goto(`${spare.url}/#/folders`);
    await page.getByText('photos').first().waitFor({ timeout: 40000 });
  });
}
