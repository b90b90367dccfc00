//! What becomes of an entry that cannot be read, is not there any more, or has to be read again.

use super::{
    kind_of, path_of, Block, Build, Content, Entry, FileError, FileErrorKind, Found, FoundKind, Fresh, Kind,
    New, Old, Opened, Out, Sink,
};
use crate::file::applied::Disk;

impl Build {
    /// It cannot be read: the parent's version stands; a directory is known by its stat; else it is only reported.
    pub(super) fn unreadable(&mut self, mut fresh: Fresh, error: &FileError, out: &mut Out<'_>) {
        let is_directory = kind_of(fresh.new.found.kind) == Some(Kind::Directory);
        if error.kind == FileErrorKind::Missing && !is_directory {
            // It vanished, which is not an error: it is just not there.
            return self.vanished(fresh, out);
        }
        self.writer.report.unreadable(fresh.new.path.clone(), error.detail.clone());
        match fresh.old.take() {
            Some((old, entry)) => self.writer.keep(old, entry, out),
            None if is_directory => {
                let (found, attributes, block) = (fresh.new.found, Vec::new(), Block::default());
                let opened = Opened { found, attributes, target: None, block };
                self.made(fresh, opened, Content::None, out);
            }
            None => {}
        }
    }

    /// It is not there any more.
    pub(super) fn vanished(&mut self, mut fresh: Fresh, out: &mut Out<'_>) {
        self.forget_old(&fresh);
        if let Some((mut old, entry)) = fresh.old.take() {
            self.tally_gone(&old, &entry);
            if let Some(known) = &mut old.shared {
                known.gone = true;
                self.writer.keep(old, entry, out);
            }
        }
    }

    /// What the parent has of it goes.
    pub(super) fn forget_old(&mut self, fresh: &Fresh) {
        if let Some((_, entry)) = &fresh.old {
            self.writer.drop_old(entry);
        }
    }

    /// Reads an unchanged file whose list of pieces is lost.
    pub(super) fn read_again(&mut self, old: &Old, entry: &Entry, sink: &mut Sink) {
        let found = Found { kind: FoundKind::File, stat: entry.stat, disk: Disk::Root };
        let new = New { key: old.key.clone(), path: path_of(&old.key), found };
        let op = self.ask_open(&new, None, sink);
        self.queue.open_again(op, Fresh { new, old: None, attempts: 1 });
    }
}
