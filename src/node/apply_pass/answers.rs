//! What the file thread answered: something has its place, or something else stands in its way; something went, or not.

use super::{
    applied, applied_of, conflict_key, expected, name_of, path_of, Act, Apply, Doing, FileError,
    FileErrorKind, Filled, Found, Leaving, Out, Sink, AGAIN, ASIDE_ATTEMPTS_MAX, PLACED,
};

impl Apply {
    /// It got its place, or not.
    pub(super) fn placed(
        &mut self,
        mut filled: Box<Filled>,
        was: Option<applied::Applied>,
        result: Result<Option<Found>, FileError>,
    ) {
        match result {
            Err(error) if error.kind == FileErrorKind::Changed && !filled.is_aside => {
                self.doing = Some(Doing::SetAside(AGAIN, filled, 1));
            }
            other => {
                filled.result = Some(other.and_then(|found| {
                    found.ok_or(FileError { kind: FileErrorKind::Failed, detail: "it is not there".into() })
                }));
                self.doing = Some(Doing::Place(PLACED, filled, was));
            }
        }
    }

    /// Writes down that it got its place, or that it did not.
    pub(super) fn finish_place(
        &mut self,
        filled: &Filled,
        was: Option<&applied::Applied>,
        out: &mut Out<'_>,
    ) {
        let version = &filled.version;
        match &filled.result {
            Some(Ok(found)) => {
                self.done.written += 1;
                if let Some(applied) = applied_of(found, version.dot) {
                    self.push(&version.key, &applied, out);
                }
            }
            Some(Err(error)) => self.fail(&version.key, was, error.detail.clone(), out),
            None => {}
        }
    }

    /// Asks to give what stands there another name.
    pub(super) fn ask_aside(&mut self, filled: Box<Filled>, attempt: u32, sink: &mut Sink) {
        let key = conflict_key(&filled.version, &self.tools.own_name, attempt);
        let op = self.ask(&filled.version.key, Act::SetAside(name_of(&key).to_vec()), sink);
        self.doing = Some(Doing::SetAside(op, filled, attempt));
    }

    /// What stood there has another name, or not.
    pub(super) fn set_aside(
        &mut self,
        mut filled: Box<Filled>,
        attempt: u32,
        result: Result<Option<Found>, FileError>,
    ) {
        match result {
            Err(error) if error.kind != FileErrorKind::Missing && attempt < ASIDE_ATTEMPTS_MAX => {
                self.doing = Some(Doing::SetAside(AGAIN, filled, attempt + 1));
            }
            // Whatever became of it: if something still stands there, its place is refused once more, and it stays pending.
            _ => {
                filled.is_aside = true;
                self.doing = Some(Doing::Place(AGAIN, filled, None));
            }
        }
    }

    /// Asks for something to go.
    pub(super) fn remove(&mut self, leaving: Leaving, sink: &mut Sink) {
        let op = self.ask(&leaving.key, Act::Remove(expected(&leaving.was)), sink);
        self.doing = Some(Doing::Remove(op, Box::new(leaving)));
    }

    /// It went, or not.
    pub(super) fn removed(&mut self, mut leaving: Box<Leaving>, result: Result<Option<Found>, FileError>) {
        match &result {
            Ok(_) => self.done.written += 1,
            // What stands there now is a change of this device, and found by the next scan.
            Err(error) if matches!(error.kind, FileErrorKind::Missing | FileErrorKind::Changed) => {}
            Err(error) => {
                leaving.stays = true;
                self.done.pending += 1;
                self.done.report.unreadable(path_of(&leaving.key), error.detail.clone());
            }
        }
        self.doing = Some(Doing::Remove(PLACED, leaving));
    }
}
