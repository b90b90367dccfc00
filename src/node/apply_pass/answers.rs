//! What the file thread answered: something has its place, or something else stands in its way; something went, or not.

use super::{
    applied, applied_of, conflict_key, expected, is_within, name_of, path_of, Act, Apply, Doing, FileError,
    FileErrorKind, Filled, Found, Kind, Leaving, Next, Out, Sink, Version, ASIDE_ATTEMPTS_MAX,
};

use crate::file::applied::Disk;

/// Whether an error says that something else stands there, or nothing. (What stands there under another name that the file system
/// takes for the same was renamed by whoever sits here.)
const fn is_another(kind: FileErrorKind) -> bool {
    matches!(kind, FileErrorKind::Missing | FileErrorKind::Changed | FileErrorKind::Unfit)
}

impl Apply {
    /// It got its place, or not.
    pub(super) fn placed(
        &mut self,
        filled: Box<Filled>,
        was: Option<applied::Applied>,
        result: Result<Option<Found>, FileError>,
    ) {
        let gone = || FileError { kind: FileErrorKind::Failed, detail: "it is not there".into() };
        self.doing = Some(Doing::Next(match result {
            Err(error) if error.kind == FileErrorKind::Changed && !filled.is_aside => {
                Next::SetAside(filled, 1)
            }
            other => Next::Placed(filled, was, other.and_then(|found| found.ok_or_else(gone))),
        }));
    }

    /// What stood there has another name, or not.
    pub(super) fn set_aside(
        &mut self,
        mut filled: Box<Filled>,
        attempt: u32,
        result: Result<Option<Found>, FileError>,
    ) {
        self.doing = Some(Doing::Next(match result {
            Err(error) if error.kind != FileErrorKind::Missing && attempt < ASIDE_ATTEMPTS_MAX => {
                Next::SetAside(filled, attempt + 1)
            }
            // Whatever became of it: if something still stands there, its place is refused once more, and it stays pending.
            _ => {
                filled.is_aside = true;
                Next::Place(filled)
            }
        }));
    }

    /// It went, or not.
    pub(super) fn removed(&mut self, mut leaving: Box<Leaving>, result: Result<Option<Found>, FileError>) {
        match &result {
            Ok(_) => (self.done.written, self.done.removed) = (self.done.written + 1, self.done.removed + 1),
            // What stands there now is a change of this device, and found by the next scan.
            Err(error) if is_another(error.kind) => {}
            Err(error) => {
                leaving.stays = true;
                self.done.pending += 1;
                self.done.report.unreadable(path_of(&leaving.key), error.detail.clone());
            }
        }
        self.doing = Some(Doing::Next(Next::Removed(leaving)));
    }

    /// Something cannot be written: what was applied still is.
    pub(super) fn fail(
        &mut self,
        version: &Version,
        was: Option<&applied::Applied>,
        error: FileError,
        out: &mut Out<'_>,
    ) {
        let unfit = u64::from(error.kind == FileErrorKind::Unfit);
        self.done.pending += 1;
        self.done.unfit += unfit;
        self.done.report.unreadable(path_of(&version.key), error.detail);
        match was {
            Some(was) => self.push(&version.key, was, out),
            None if version.entry.kind == Kind::Directory => self.barred = (version.key.clone(), unfit),
            None => {}
        }
    }

    /// Whether something was never here because its directory cannot be: that was said of the directory. On a disk that takes two names
    /// for one it would else end up in the other's.
    pub(super) fn is_barred(&mut self, key: &[u8]) -> bool {
        let (directory, unfit) = &self.barred;
        let is_barred = !directory.is_empty() && is_within(key, directory);
        if is_barred {
            self.done.pending += 1;
            self.done.unfit += unfit;
        }
        is_barred
    }

    /// Does what follows on an answer.
    pub(super) fn act_on(&mut self, next: Next, out: &mut Out<'_>) {
        match next {
            Next::Place(filled) => self.place(filled, None, out.sink),
            Next::SetAside(filled, attempt) => self.ask_aside(filled, attempt, out.sink),
            Next::Placed(filled, _, Ok(found)) => {
                self.done.written += 1;
                if let Some(applied) = applied_of(&found, filled.version.dot) {
                    self.push(&filled.version.key, &applied, out);
                }
            }
            Next::Placed(filled, was, Err(error)) => {
                self.fail(&filled.version, was.as_ref(), error, out);
            }
            Next::Removed(leaving) => self.go_on_behind(*leaving, out),
        }
    }

    /// A path went, and what has its place is made; or it stays.
    fn go_on_behind(&mut self, leaving: Leaving, out: &mut Out<'_>) {
        let is_open = self.leaving.iter().all(|outer| outer.instead.is_none());
        match leaving.instead {
            Some(version) => self.fill(version, None),
            // It is still owed; without this the next scan would take it for something new.
            None if leaving.stays && leaving.was.kind != Kind::Directory && is_open => {
                self.push(&leaving.key, &leaving.was, out);
            }
            None => {}
        }
    }

    /// Asks to give what stands there another name.
    fn ask_aside(&mut self, filled: Box<Filled>, attempt: u32, sink: &mut Sink) {
        let key = conflict_key(&filled.version, &self.tools.own_name, attempt);
        let op = self.ask(&filled.version.key, Act::SetAside(name_of(&key).to_vec()), sink);
        self.doing = Some(Doing::SetAside(op, filled, attempt));
    }

    /// Asks for something to go.
    pub(super) fn remove(&mut self, leaving: Leaving, sink: &mut Sink) {
        let op = self.ask(&leaving.key, Act::Remove(expected(&leaving.was)), sink);
        self.doing = Some(Doing::Remove(op, Box::new(leaving)));
    }

    /// Remembers a directory if a disk is mounted there.
    pub(super) fn note_mount(&mut self, key: &[u8], disk: Disk) {
        let is_mount = match disk {
            Disk::Root => false,
            // An older version has written where the outermost is.
            Disk::Other => self.mount_of(key) == 0,
            Disk::Mounted => true,
        };
        if is_mount {
            self.mounted.retain(|outer| is_within(key, outer));
            self.mounted.push(key.to_vec());
        }
    }

    /// Length of the path of the innermost directory above a path in which a disk is mounted; 0: there is none.
    pub(super) fn mount_of(&self, key: &[u8]) -> usize {
        let above = |mount: &&Vec<u8>| key != mount.as_slice() && is_within(key, mount);
        self.mounted.iter().rev().find(above).map_or(0, Vec::len)
    }
}
