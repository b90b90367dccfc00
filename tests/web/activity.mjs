// What happens, through the page: the log as it goes on, notes, transfers, charts.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hold, same, until } from './lib.mjs';
import { household } from './files.mjs';

const button = (page, name, exact = true) => page.getByRole('button', { name, exact });

export default async function activity(suite) {
  const directory = suite.directory('activity/papers', { 'a.txt': 'a' });
  const { attic, cellar } = await household(suite, 'activity');
  attic.cli('folder', 'add', 'papers', directory, '--copies', '2');
  attic.cli('backup', '--wait');
  attic.cli('say', 'The summer pictures are all in.');
  cellar.cli('say', 'Lovely, thank you! Who has the tax return?');
  attic.cli('say', 'It is in family/Taxes.');
  const page = await suite.login(attic);
  await page.goto(`${attic.url}/#/activity`);
  await page.locator('.log-line').first().waitFor();
  await page.locator('.note:not(.own)').waitFor();
  await page.evaluate(() => scrollTo(0, document.querySelector('.activity').getBoundingClientRect().top - 20));
  await suite.picture(page, 'activity');

  await suite.test('the log goes on by itself, newest first', async () => {
    writeFileSync(join(directory, 'b.txt'), 'b');
    attic.cli('backup', 'papers');
    await page.locator('.log-line', { hasText: 'papers was backed up: 2 files' }).waitFor();
    same((await page.locator('.log-line p').allInnerTexts()).filter((line) => line.includes('2 files')).length, 1, 'each line once');
    await suite.sound(page, 'activity');
  });

  await suite.test('filters: a kind, a folder, warnings only', async () => {
    await page.getByLabel('Kind').selectOption({ label: 'Devices' });
    await until(async () => (await page.locator('.log-line').count()) > 0 && !(await page.locator('.log-line', { hasText: 'backed up' }).count()), 'only of devices');
    await page.getByLabel('Kind').selectOption({ label: 'Everything' });
    await page.getByLabel('Folder').selectOption('papers');
    await until(async () => (await page.locator('.log-line').count()) === (await page.locator('.log-line', { hasText: 'papers' }).count()), 'only of one folder');
    await page.getByLabel('Folder').selectOption('');
    await page.getByRole('switch', { name: 'Warnings only' }).check();
    await until(async () => (await page.locator('.log-line').count()) === (await page.locator('.log-line.warn, .log-line.bad').count()), 'only warnings');
    await page.getByRole('switch', { name: 'Warnings only' }).uncheck();
  });

  await suite.test('notes: said here, answered there, own ones on the right, markup as text', async () => {
    const other = await suite.login(cellar, { size: 'phone', locale: 'de', theme: 'dark' });
    await other.goto(`${cellar.url}/#/activity`);
    const text = '<b onclick=alert(1)>Who has the tax return?</b>';
    await page.getByLabel('Write to the household').fill(text);
    await page.keyboard.press('Enter');
    await page.locator('.note.own', { hasText: text }).waitFor();
    await other.locator('.note:not(.own)', { hasText: text }).waitFor({ timeout: 30000 });
    await other.getByLabel('An alle schreiben').fill('In family/Taxes.\nLook there.');
    await button(other, 'Senden').click();
    await page.locator('.note:not(.own)', { hasText: 'Look there.' }).waitFor({ timeout: 30000 });
    same(await page.locator('.note b').count(), 0, 'nothing of it is markup');
    await page.getByLabel('Write to the household').fill('\u00fc'.repeat(1200));
    await page.getByText('2,400 of 2,000 bytes').waitFor();
    hold(await button(page, 'Send').isDisabled(), 'what is too long is not sent');
    await page.getByLabel('Write to the household').fill('');
    await suite.sound(other, 'activity on a phone');
    await other.close();
  });

  await suite.test('when lines were forgotten before they could be sent, the status is asked for anew', async () => {
    const other = await suite.login(attic);
    let asked = 0;
    other.on('request', (request) => { asked += new URL(request.url()).pathname === '/api/v1/status' ? 1 : 0; });
    await other.route('**/api/v1/events', (route) => route.fulfill({ status: 200, headers: { 'content-type': 'text/event-stream' }, body: 'retry: 600000\n\nevent: lost\ndata: {"after":1,"before":900}\n\n' }));
    await other.reload();
    await until(() => asked >= 2, 'once at the start, once more for what was lost');
    await other.close();
  });

  await suite.test('transfers name the other device; charts have a table', async () => {
    await page.locator('.transfer', { hasText: 'cellar' }).getByText('sent', { exact: false }).first().waitFor();
    await button(page, 'Month').click();
    await page.locator('summary').click();
    same(await page.locator('.chart-table tbody tr').count(), 31, 'a row a day');
    await button(page, 'Day').click();
    same(await page.locator('.chart-table tbody tr').count(), 24, 'a row an hour');
    await suite.sound(page, 'charts');
  });
}
