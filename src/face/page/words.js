// Words of the frame and of what all views share. Each view has its own beside it.
import { words } from './i18n.js';

words({
  en: {
    'nav.label': 'Main', 'nav.home': 'Home', 'nav.files': 'Files', 'nav.devices': 'Devices', 'nav.activity': 'Activity', 'nav.settings': 'Settings',
    'nav.skip': 'Skip to the content', 'nav.worries': 'needs attention:',
    'do.close': 'Close', 'do.again': 'Try again', 'do.logout': 'Log out', 'do.cancel': 'Cancel', 'do.save': 'Save', 'do.remove': 'Remove', 'do.add': 'Add',
    'do.next': 'Next', 'do.back': 'Back', 'do.done': 'Done', 'do.copy': 'Copy', 'do.print': 'Print', 'do.edit': 'Change', 'do.undo': 'Undo', 'do.delete': 'Delete', 'do.download': 'Download', 'do.restore': 'Restore', 'do.show': 'Show',
    'wait': 'One moment \u2026', 'copied': 'Copied', 'table.actions': 'Actions', 'time.now': 'just now', 'unknown': 'not known', 'view.missing': 'This part of the page could not be loaded',
    'banner.away': 'The node does not answer. Trying again \u2026', 'banner.back': 'The node is back.',
    'role.admin': 'Administrator', 'role.member': 'Member', 'role.read': 'Read only', 'only.admin': 'Only an administrator can do this.',
  },
  de: {
    'nav.label': 'Haupt', 'nav.home': 'Start', 'nav.files': 'Dateien', 'nav.devices': 'Ger\u00e4te', 'nav.activity': 'Verlauf', 'nav.settings': 'Optionen',
    'nav.skip': 'Zum Inhalt springen', 'nav.worries': 'braucht Aufmerksamkeit:',
    'do.close': 'Schlie\u00dfen', 'do.again': 'Noch einmal', 'do.logout': 'Abmelden', 'do.cancel': 'Abbrechen', 'do.save': 'Speichern', 'do.remove': 'Entfernen', 'do.add': 'Hinzuf\u00fcgen',
    'do.next': 'Weiter', 'do.back': 'Zur\u00fcck', 'do.done': 'Fertig', 'do.copy': 'Kopieren', 'do.print': 'Drucken', 'do.edit': '\u00c4ndern', 'do.undo': 'R\u00fcckg\u00e4ngig', 'do.delete': 'L\u00f6schen', 'do.download': 'Herunterladen', 'do.restore': 'Wiederherstellen', 'do.show': 'Zeigen',
    'wait': 'Einen Moment \u2026', 'copied': 'Kopiert', 'table.actions': 'Aktionen', 'time.now': 'gerade eben', 'unknown': 'nicht bekannt', 'view.missing': 'Dieser Teil der Seite konnte nicht geladen werden',
    'banner.away': 'Der Knoten antwortet nicht. Neuer Versuch \u2026', 'banner.back': 'Der Knoten ist wieder da.',
    'role.admin': 'Verwalter', 'role.member': 'Mitglied', 'role.read': 'Nur lesen', 'only.admin': 'Das kann nur ein Verwalter.',
  },
});
