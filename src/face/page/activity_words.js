// Words of the view of what happens, and the sentences of the log in other languages.
import { number, said, size, words } from './i18n.js';
import { nodeSays } from './node_words.js';

words({
  en: {
    'activity.title': 'Activity', 'activity.lead': 'What your devices are doing, and what you tell each other.', 'activity.log': 'What happened', 'activity.kind': 'Kind', 'activity.kind.all': 'Everything', 'activity.kind.backups': 'Backups and sharing', 'activity.kind.copies': 'Copies for others', 'activity.kind.devices': 'Devices', 'activity.kind.health': 'Checks and health', 'activity.kind.notes': 'Notes', 'activity.kind.other': 'Other',
    'activity.folder': 'Folder', 'activity.folder.all': 'All folders', 'activity.device': 'Device', 'activity.device.all': 'All devices', 'activity.worries': 'Warnings only', 'activity.none': 'Nothing here', 'activity.none.filter': 'Nothing that happened fits what you chose above.', 'activity.none.text': 'What happens from now on appears here by itself.', 'activity.more': 'Show older', 'activity.level.warn': 'Warning', 'activity.level.error': 'Error',
    'activity.transfers': 'Transfers', 'activity.pending': '{size} still to be copied', 'activity.left': '{time} left', 'activity.alone': 'No other device is connected now.', 'activity.trip': 'reached in {time}', 'activity.sent': 'Sending', 'activity.received': 'Receiving', 'activity.idle': 'idle', 'activity.totals': '{sent} sent, {received} received',
    'activity.chat': 'Notes', 'activity.chat.none': 'Nothing was said yet', 'activity.chat.text': 'A note reaches all full members, sealed, whenever their devices come.', 'activity.you': '{name} (this device)', 'activity.say': 'Write to the household', 'activity.send': 'Send', 'activity.bytes': '{n} of {max} bytes', 'activity.read.only': 'You may read notes, but not write any.',
    'charts.title': 'How it was', 'charts.none': 'There are no charts to show now.', 'charts.span': 'Time', 'charts.day': 'Day', 'charts.month': 'Month', 'charts.speed': 'Speed', 'charts.sent': 'Sent', 'charts.received': 'Received', 'charts.stored': 'Newly stored here', 'charts.saved': 'Space saved: packed, or here already', 'charts.now': 'now', 'charts.sum.day': 'in 24 hours', 'charts.sum.month': 'in 31 days', 'charts.table': 'The same as a table', 'charts.until': 'Until', 'charts.unknown': 'not known', 'charts.young': 'Not known: this device was not running',
  },
  de: {
    'activity.title': 'Verlauf', 'activity.lead': 'Was Ihre Ger\u00e4te tun, und was Sie einander sagen.', 'activity.log': 'Was geschah', 'activity.kind': 'Art', 'activity.kind.all': 'Alles', 'activity.kind.backups': 'Sicherung und Teilen', 'activity.kind.copies': 'Kopien f\u00fcr andere', 'activity.kind.devices': 'Ger\u00e4te', 'activity.kind.health': 'Pr\u00fcfung und Zustand', 'activity.kind.notes': 'Notizen', 'activity.kind.other': 'Anderes',
    'activity.folder': 'Ordner', 'activity.folder.all': 'Alle Ordner', 'activity.device': 'Ger\u00e4t', 'activity.device.all': 'Alle Ger\u00e4te', 'activity.worries': 'Nur Warnungen', 'activity.none': 'Hier ist nichts', 'activity.none.filter': 'Nichts von dem, was geschah, passt zu Ihrer Auswahl.', 'activity.none.text': 'Was von jetzt an geschieht, erscheint hier von selbst.', 'activity.more': '\u00c4lteres zeigen', 'activity.level.warn': 'Warnung', 'activity.level.error': 'Fehler',
    'activity.transfers': '\u00dcbertragung', 'activity.pending': '{size} sind noch zu kopieren', 'activity.left': 'noch {time}', 'activity.alone': 'Gerade ist kein anderes Ger\u00e4t verbunden.', 'activity.trip': 'erreicht in {time}', 'activity.sent': 'Gesendet', 'activity.received': 'Empfangen', 'activity.idle': 'ruht', 'activity.totals': '{sent} gesendet, {received} empfangen',
    'activity.chat': 'Notizen', 'activity.chat.none': 'Noch hat niemand etwas gesagt', 'activity.chat.text': 'Eine Notiz erreicht versiegelt alle vollen Mitglieder, sobald deren Ger\u00e4te da sind.', 'activity.you': '{name} (dieses Ger\u00e4t)', 'activity.say': 'An alle schreiben', 'activity.send': 'Senden', 'activity.bytes': '{n} von {max} Bytes', 'activity.read.only': 'Sie d\u00fcrfen Notizen lesen, aber keine schreiben.',
    'charts.title': 'Wie es war', 'charts.none': 'Gerade gibt es keine Kurven zu zeigen.', 'charts.span': 'Zeit', 'charts.day': 'Tag', 'charts.month': 'Monat', 'charts.speed': 'Geschwindigkeit', 'charts.sent': 'Gesendet', 'charts.received': 'Empfangen', 'charts.stored': 'Hier neu gespeichert', 'charts.saved': 'Platz gespart: gepackt oder schon da', 'charts.now': 'jetzt', 'charts.sum.day': 'in 24 Stunden', 'charts.sum.month': 'in 31 Tagen', 'charts.table': 'Dasselbe als Tabelle', 'charts.until': 'Bis', 'charts.unknown': 'nicht bekannt', 'charts.young': 'Nicht bekannt: dieses Ger\u00e4t lief nicht',
  },
});

const EN = [[/^(.+): (\d+) files, (\d+) new bytes$/, (name, files, bytes) => `${name} was backed up: ${number(+files)} ${files === '1' ? 'file' : 'files'}, ${size(+bytes)} new`]];
const DE = [
  [/^(.+): (\d+) files, (\d+) new bytes$/, (name, files, bytes) => `${name} wurde gesichert: ${number(+files)} ${files === '1' ? 'Datei' : 'Dateien'}, ${size(+bytes)} neu`],
  [/^snapshot ([0-9a-f]+) is kept here: (\d+) chunks$/, 'Schnappschuss $1 wird hier aufbewahrt: $2 St\u00fccke'],
  [/^folder (.+) was added$/, 'Ordner $1 wurde hinzugef\u00fcgt'],
  [/^folder (.+) was removed$/, 'Ordner $1 wurde entfernt'],
  [/^folder (.+) is on this device, too$/, 'Ordner $1 ist jetzt auch auf diesem Ger\u00e4t'],
  [/^(.+): (\d+) changes were written here$/, (name, count) => `${name}: ${number(+count)} \u00c4nderungen wurden hierher geschrieben`],
  [/^(\d+) chunks that nothing needs any more were given up$/, '$1 St\u00fccke, die niemand mehr braucht, wurden aufgegeben'],
  [/^(\d+) of 4096 parts that others hold were given up here$/, '$1 von 4096 Teilen, die andere halten, wurden hier aufgegeben'],
  [/^(\d+) retired snapshots are given up here$/, '$1 ausgemusterte Schnappsch\u00fcsse wurden hier aufgegeben'],
  [/^connected to (.+) at (.+)$/, 'verbunden mit $1 ($2)'],
  [/^(.+) introduced itself$/, '$1 hat sich vorgestellt'],
  [/^an invitation is open$/, 'eine Einladung ist offen'],
  [/^a new vault was made$/, 'ein neuer Tresor wurde angelegt'],
  [/^this node has joined a vault$/, 'dieses Ger\u00e4t ist einem Tresor beigetreten'],
  [/^this node was recovered from the phrase$/, 'dieses Ger\u00e4t wurde aus den W\u00f6rtern wiederhergestellt'],
  [/^this node goes on$|^the pause is over, this node goes on$/, 'dieses Ger\u00e4t macht weiter'],
  [/^folder (.+) is no longer backed up; its snapshots stay$/, 'der Ordner $1 wird nicht mehr gesichert; seine Schnappsch\u00fcsse bleiben'],
  [/^folder (.+) is no longer on this device$/, 'der Ordner $1 ist nicht mehr auf diesem Ger\u00e4t'],
  [/^the hook permit says no \((.*)\): this node holds still$/, 'das Programm \u201epermit\u201c sagt nein ($1): dieses Ger\u00e4t h\u00e4lt still'],
  [/^this node is paused(.*)$/, 'dieses Ger\u00e4t ist angehalten$1'],
  [/^this node has room for copies again$/, 'dieses Ger\u00e4t hat wieder Platz f\u00fcr Kopien'],
  [/^confirmed: (.+)$/, 'best\u00e4tigt: $1'],
  [/^lost (.+): (.+)$/, 'Verbindung zu $1 verloren: $2'],
];

/** A sentence of the log in the reader's language, where it is known. */
export function logSays(text) {
  const own = said(text, { en: EN, de: DE });
  return own === text ? nodeSays(text) : own;
}
