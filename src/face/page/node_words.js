// Sentences of the node, which it says in English, in other languages; what is not here stays as it came.
import { said, number, dateTime } from './i18n.js';

const copies = (count) => (count === '1' ? '1 Kopie' : `${count} Kopien`);
const places = (count) => (count === '1' ? 'an 1 Ort' : `an ${count} Orten`);
const AGO = [
  [/^less than a minute ago$/, () => 'vor weniger als einer Minute'], [/^(\d+) min ago$/, (n) => `vor ${number(+n)} Min.`],
  [/^(\d+) hours ago$/, (n) => `vor ${number(+n)} Stunden`], [/^(\d+) days ago$/, (n) => `vor ${number(+n)} Tagen`],
];

// A pause stands before the rest, with a time as programs want it.
const paused = (word, until) => [/^Paused(?: until (\S+Z))?\. (.*)$/, (at, rest) => `${word}${at ? ` ${until} ${dateTime(at)}` : ''}. ${nodeSays(rest)}`];

const TABLE = {
  en: [paused('Paused', 'until'), [/^this node is paused until (\S+Z): (.*)$/, (at, rest) => `this node is paused until ${dateTime(at)}: ${rest}`]],
  de: [
    paused('Angehalten', 'bis'),
    [/^Holding still \((.*?)\)\. (.*)$/, (why, rest) => `Hält still (${why}). ${nodeSays(rest)}`],
    ...AGO,
    [/^This node belongs to no vault yet\.$/, 'Dieses Gerät gehört noch zu keinem Tresor.'],
    [/^This node keeps sealed copies of (\d+) snapshots for its vault\.$/, 'Dieses Gerät bewahrt versiegelte Kopien von $1 Schnappschüssen auf.'],
    [/^The disk with this node's data did not take an entry: this node is not to be counted on before it has started anew\.$/, 'Die Platte mit den Daten dieses Geräts hat einen Eintrag nicht angenommen: bis zu seinem Neustart ist auf das Gerät kein Verlass.'],
    [/^(.*) is backed up by (.*) as well$/, '$1 wird auch von $2 gesichert'],
    [/^the disk with this node's data has no space but its reserve: no copies are kept here$/, 'auf der Platte mit den Daten dieses Geräts ist nur noch die Reserve frei: hier werden keine Kopien aufbewahrt'],
    [/^No device backs up (.*) any more\.$/, 'Kein Gerät sichert $1 mehr.'],
    [/^no device backs up (.*) any more: its own (.*) was removed$/, 'kein Gerät sichert $1 mehr: sein eigenes ($2) wurde entfernt'],
    [/^the disk with this node's data did not take what was to be written: (.*)$/, 'die Platte mit den Daten dieses Geräts hat nicht angenommen, was geschrieben werden sollte: $1'],
    [/^No folder is backed up on this vault yet\.$/, 'Noch wird kein Ordner gesichert.'],
    [/^Much is gone or looks encrypted at once in (.*): an answer is awaited\.$/, 'In $1 ist auf einmal vieles weg oder sieht verschlüsselt aus: eine Antwort wird gebraucht.'],
    [/^The last backup failed: (.*)\.$/, 'Die letzte Sicherung ist gescheitert: $1.'],
    [/^Backed up in part so far: (.*)\.$/, 'Bisher erst zum Teil gesichert: $1.'],
    [/^Not backed up yet: (.*)\.$/, 'Noch nicht gesichert: $1.'],
    [/^No backup by (.*) was heard of for too long\.$/, 'Von $1 wurde zu lange keine Sicherung gesehen.'],
    [/^Partly protected: (.*)\.$/, (list) => `Zum Teil geschützt: ${list.replace(/\((\d+) of (\d+)\)/g, '($1 von $2)')}.`],
    [/^All copies are signed for, but most of the devices that keep them were not heard of for too long\.$/, 'Alle Kopien sind quittiert, aber von den meisten Geräten, die sie aufbewahren, wurde zu lange nichts gehört.'],
    [/^All copies are signed for, but the last restore drill failed\.$/, 'Alle Kopien sind quittiert, aber die letzte Probe der Wiederherstellung ist gescheitert.'],
    [/^Everything is protected(?: but the latest changes in (.*))?: (\d+) cop(?:y|ies)(?: in (\d+) places?)?(?:, newest (.*))?\.$/,
      (but, have, sites, age) => `Alles ist geschützt${but ? ` bis auf die letzten Änderungen in ${but}` : ''}: ${copies(have)}${sites ? ` ${places(sites)}` : ''}${age ? `, die neueste ${said(age, { de: AGO })}` : ''}.`],
    [/^the newest snapshot of (.*) is lost, as far as is known here: no devices are left that hold all of it$/, 'der neueste Schnappschuss von $1 ist verloren, soweit hier bekannt: was an Geräten übrig ist, hat ihn nicht ganz'],
    [/^(.*) is partly protected: (\d+) of (\d+) copies$/, '$1 ist zum Teil geschützt: $2 von $3 Kopien'],
    [/^(.*) is backed up in part only, as a partial snapshot lists it$/, '$1 ist erst zum Teil gesichert'],
    [/^(.*) is not backed up yet$/, '$1 ist noch nicht gesichert'],
    [/^(\d+) changes of other devices to (.*) are not on this disk$/, '$1 Änderungen anderer Geräte an $2 sind noch nicht auf dieser Platte'],
    [/^(\d+) files of (.*) could not be read$/, '$1 Dateien von $2 konnten nicht gelesen werden'],
    [/^(\d+) chunks on this disk were found damaged; they are fetched again$/, '$1 Stücke auf dieser Platte waren beschädigt; sie werden neu geholt'],
    [/^this node holds still, for the hook permit says no: (.*)$/, 'dieses Gerät hält still, denn das Programm „permit“ sagt nein: $1'],
    [/^the hook permit cannot be asked: it (.*)$/, 'das Programm „permit“ kann nicht gefragt werden: $1'],
    [/^this node is paused(?: until (.*))?: nothing is backed up or copied by itself$/, (until) => `dieses Gerät ist angehalten${until ? ` bis ${dateTime(until)}` : ''}: nichts wird von selbst gesichert oder kopiert`],
    [/^(.*) (?:was|were) not heard of for longer than usual: other devices keep copies in that place$/, 'von $1 wurde länger als üblich nichts gehört: andere Geräte bewahren solange seine Kopien auf'],
    [/^more than half of the devices that keep copies were not heard of for longer than usual$/, 'von mehr als der Hälfte der Geräte, die Kopien aufbewahren, wurde länger als üblich nichts gehört'],
    [/^(.*) claims chunks that it cannot prove to have; its copies do not count$/, '$1 kann nicht beweisen, was es zu haben behauptet; seine Kopien zählen nicht'],
    [/^(.*?)(, which is not connected,)? is removed when other devices have what it holds(?:; of (\d+) snapshots they do not yet)?$/, (name, away, count) => `${name}${away ? ' (nicht verbunden)' : ''} wird entfernt, sobald andere Geräte haben, was es bewahrt${count ? `; von ${count} Schnappschüssen fehlt noch etwas` : ''}`],
    [/^(.*) has told this device to leave, and no other device is connected any more: most likely it was removed$/, '$1 hat dieses Gerät gehen heißen, und kein anderes Gerät ist mehr verbunden: vermutlich wurde es entfernt'],
    [/^(.*) removes this device from the vault when other devices have what it holds$/, '$1 entfernt dieses Gerät aus dem Tresor, sobald andere Geräte haben, was es bewahrt'],
    [/^(.*) says of (\d+) snapshots that it holds them which no known device has written; each takes memory on all devices$/, '$1 sagt von $2 Ständen, es habe sie, die kein bekanntes Gerät geschrieben hat; jeder kostet Speicher auf allen Geräten'],
    [/^(.*) has written two histories \(a copied disk\?\): nothing is retired or given up anywhere while it is a member$/, '$1 hat zwei verschiedene Verläufe geschrieben (eine kopierte Platte?): nirgends wird ausgemustert oder aufgeräumt, solange es Mitglied ist'],
    [/^(\d+) chunks that this device keeps for the vault are not on its disk$/, '$1 Stücke, die dieses Gerät aufbewahrt, sind nicht auf seiner Platte'],
    [/^the policy of (.*) would retire (\d+) snapshots at once$/, 'die Regel von $1 würde $2 Schnappschüsse auf einmal ausmustern'],
    [/^(\d+) snapshots were retired at once; their chunks stay until this is confirmed$/, '$1 Schnappschüsse wurden auf einmal ausgemustert; sie bleiben, bis das bestätigt wird'],
    [/^this node is full and takes no more copies: (.*)$/, 'dieses Gerät ist voll und nimmt keine Kopien mehr an: $1'],
    [/^this node is nearly full: (\d+)% of what it may hold is used$/, 'dieses Gerät ist fast voll: $1 % sind belegt'],
    [/^(.*) is full and takes no more copies$/, '$1 ist voll und nimmt keine Kopien mehr an'],
    [/^(.*) is to be erased, and waits for a second word$/, '$1 soll gelöscht werden und wartet auf eine zweite Zustimmung'],
    [/^(.*), which is erased, is still on (.*)$/, '$1 ist gelöscht, aber noch auf $2'],
  ],
};

export const nodeSays = (text) => said(text ?? '', TABLE);
