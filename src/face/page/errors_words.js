// What the node and its API say when something cannot be done, in other languages: by the code of the error, for its words may
// change. A name that it is about is kept. What is not here is said as it came.
import { setTongue } from './api.js';
import { currentLanguage } from './i18n.js';

const NAMED = /['\u2018"]([^'\u2019"]+)['\u2019"]/;

// By code: the message, with {name} where something is named (and without it, behind a bar, where nothing is), and what to do.
const TABLES = {
  de: {
    offline: ['Der Knoten antwortet nicht', 'Ist er an und in diesem Netz?'],
    cut_off: ['Die Antwort brach ab', 'Versuchen Sie es noch einmal.'],
    request_timeout: ['Es kam zu lange nichts mehr an', 'Versuchen Sie es noch einmal.'],
    bad_answer: ['Der Knoten antwortete mit etwas Unverständlichem', 'Ist auf allen Geräten dieselbe Version?'],
    stopping: ['Der Knoten hält gerade an', 'Versuchen Sie es noch einmal, wenn er wieder läuft.'],
    internal: ['Im Programm ist ein Fehler', 'Bitte melden Sie ihn.'],
    busy: ['Zu viel auf einmal, oder dasselbe läuft schon', 'Warten Sie einen Moment.'],
    unauthorised: ['Dafür muss man angemeldet sein', 'Melden Sie sich an.'],
    wrong_password: ['Der Name oder das Passwort stimmt nicht', 'Versuchen Sie es noch einmal. Ein Verwalter kann ein neues setzen.'],
    too_many_attempts: ['Es gab zu viele falsche Passwörter', 'Warten Sie eine Weile.'],
    weak_password: ['Ein Passwort hat mindestens 8 Zeichen', 'Drei oder vier Wörter, die nicht zusammengehören, sind leicht zu merken und schwer zu raten.'],
    code_needed: ['Das erste Passwort dieses Geräts braucht den Code aus seinem Protokoll', 'Oder setzen Sie es am Gerät selbst.'],
    forbidden: ['Das dürfen Sie nicht', 'Fragen Sie jemanden, der verwaltet.'],
    local_only: ['Das wird nur am Gerät selbst gesetzt', 'Dort mit: nuthatch config set'],
    wrong_host: ['Das Gerät hört nicht auf diesen Namen', 'Öffnen Sie es über seine Adresse oder seinen Namen im eigenen Netz.'],
    last_admin: ['Dann dürfte niemand mehr Personen und Optionen ändern', 'Machen Sie erst jemand anderen zum Verwalter aller Ordner.'],
    unknown_user: ['Diese Person gibt es nicht', 'Laden Sie die Liste neu.'],
    unknown_token: ['Diesen Schlüssel gibt es nicht (mehr)', 'Laden Sie die Liste neu.'],
    directory: ['Das Verzeichnis lässt sich nicht auflisten', 'Darf der Nutzer des Geräts es lesen?'],
    no_folder: ['Es gibt keinen Ordner {name}|Diesen Ordner gibt es nicht', 'Sehen Sie in der Liste der Ordner nach.'],
    exists: ['{name} gibt es schon|Das gibt es schon', 'Wählen Sie einen anderen Namen.'],
    bad_name: ['So kann es nicht heißen', 'Wählen Sie einen anderen Namen.'],
    bad_path: ['So kann ein Pfad nicht heißen, oder dort ist schon etwas anderes', 'Wählen Sie einen anderen Namen oder Ort.'],
    bad_directory: ['Dieses Verzeichnis geht nicht', 'Schreiben Sie den ganzen Pfad, von / an, und prüfen Sie ihn.'],
    bad_copies: ['So viele Kopien gehen nicht', 'Wählen Sie eine andere Zahl.'],
    bad_pattern: ['Dieses Muster geht nicht', 'Prüfen Sie es; * steht für alles.'],
    bad_policy: ['Diese Regel geht nicht', 'Prüfen Sie die Zahlen.'],
    not_shared: ['Nur in gemeinsamen Ordnern wird von hier aus geändert', 'Ändern Sie die Datei auf dem Gerät, dem sie gehört.'],
    not_empty: ['Das Verzeichnis ist nicht leer', 'Löschen Sie es mit allem, was darin ist.'],
    not_found: ['{name} gibt es hier nicht|Das gibt es hier nicht', 'Laden Sie die Liste neu; vielleicht wurde es gelöscht.'],
    no_snapshot: ['Diesen Schnappschuss gibt es nicht', 'Vielleicht wurde er inzwischen ausgemustert.'],
    bad_snapshot: ['Diesen Schnappschuss gibt es nicht', 'Wählen Sie einen auf dem Zeitstrahl.'],
    chunk_missing: ['Ein Teil davon ist jetzt auf keinem erreichbaren Gerät', 'Schalten Sie die anderen Geräte ein und versuchen Sie es noch einmal.'],
    sealed: ['Dieses Gerät hat den Schlüssel dafür nicht', 'Öffnen Sie die Seite eines Geräts, das lesen darf.'],
    not_full: ['Dieses Gerät bewahrt nur Versiegeltes auf', 'Öffnen Sie die Seite eines Geräts, das lesen darf.'],
    folder_missing: ['Das Verzeichnis des Ordners ist nicht da', 'Ist die Platte angeschlossen? Nichts gilt als gelöscht.'],
    folder_changed: ['An der Stelle des Ordners ist ein anderes Verzeichnis', 'Ist die richtige Platte eingehängt? Nichts gilt als gelöscht.'],
    folder_unreadable: ['Der Ordner ist da und darf nicht gelesen werden', 'Geben Sie dem Nutzer des Geräts das Recht dazu.'],
    folder_emptied: ['Der Ordner ist auf einmal leer', 'Beantworten Sie die Frage auf der Startseite.'],
    folder_guarded: ['In diesem Ordner ist auf einmal vieles weg oder sieht verschlüsselt aus', 'Beantworten Sie die Frage auf der Startseite.'],
    no_room: ['Auf der Platte ist nicht genug Platz', 'Machen Sie Platz und versuchen Sie es noch einmal.'],
    disk: ['Die Platte des Geräts nimmt oder gibt nicht, was sie soll', 'Ist sie voll oder defekt? Das Protokoll sagt mehr.'],
    home: ['Auf dem Gerät konnte etwas nicht aufgeschrieben werden', 'Ist die Platte voll?'],
    target: ['Dorthin kann nicht wiederhergestellt werden', 'Wählen Sie ein anderes Verzeichnis.'],
    unknown_upload: ['Dieses Hochladen gibt es nicht mehr', 'Es beginnt von vorn.'],
    locked: ['Ein anderes Programm hält die Datei fest', 'Schließen Sie sie dort.'],
    precondition: ['Jemand hat es inzwischen geändert', 'Laden Sie neu.'],
    bad_code: ['Ein Code hat acht Ziffern', 'Lesen Sie ihn noch einmal ab.'],
    wrong_code: ['Dieser Code stimmt nicht', 'Lesen Sie ihn am einladenden Gerät noch einmal ab.'],
    invitation_closed: ['Diese Einladung gilt nicht mehr', 'Laden Sie am anderen Gerät noch einmal ein.'],
    no_peer: ['Kein Gerät des Tresors hat geantwortet', 'Ist es an und im selben Netz? Sonst geben Sie seine Adresse an.'],
    bad_phrase: ['Die Wörter stimmen nicht', 'Es sind 24, in der Reihenfolge des Blatts; prüfen Sie jedes.'],
    member_already: ['Dieses Gerät gehört schon zu einem Tresor', 'Laden Sie die Seite neu.'],
    not_member: ['Dieses Gerät gehört noch zu keinem Tresor', 'Richten Sie es zuerst ein.'],
    refused: ['Das andere Gerät hat es abgelehnt', 'Laden Sie dort noch einmal ein.'],
    unconfirmed: ['Seit dem Start war noch kein anderes Gerät erreichbar', 'Schalten Sie ein anderes Gerät ein und versuchen Sie es dann.'],
    no_copies: ['Noch hat kein anderes Gerät eine Kopie quittiert', 'Es gibt also noch nichts zu proben.'],
    newest: ['Der neueste Schnappschuss bleibt', 'Wählen Sie einen älteren.'],
    not_writer: ['Das darf nur das Gerät, das den Schnappschuss gemacht hat', 'Öffnen Sie dessen Seite.'],
    collected: ['Dieser Schnappschuss ist nicht mehr zurückzuholen', 'Er war zu lange ausgemustert.'],
    empty_note: ['Eine Notiz braucht einen Text', 'Schreiben Sie etwas.'],
    note_too_long: ['Die Notiz ist zu lang', 'Kürzen Sie sie.'],
    config_invalid: ['Dieser Wert geht nicht', 'Sehen Sie nach, was möglich ist.'],
  },
};

setTongue((told) => {
  const found = TABLES[currentLanguage()]?.[told.code];
  if (!found) return told;
  const [, name] = NAMED.exec(told.message) ?? [];
  const [named, plain = named] = found[0].split('|');
  return { ...told, message: name ? named.replace('{name}', () => `\u201e${name}\u201c`) : plain, hint: found[1] };
});
