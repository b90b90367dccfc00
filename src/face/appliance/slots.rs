//! Which of the two system slots starts: a small file on the boot partition, which our initramfs reads too (images/init).
//!
//! ```text
//! good=a        starts when nothing is on trial
//! trial=b       is to be tried ...
//! tries=2       ... so often, before it is given up
//! end           a file without this line was cut off, and does not count
//! ```
//! It is written beside the old one, synced, and renamed over it; the initramfs counts `tries` down before each try.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use super::machine::Slot;
use crate::face::exit::Fail;

/// Its name.
const NAME: &str = "nuthatch-slots.txt";
/// What is written first.
const NEW_NAME: &str = "nuthatch-slots.new";
/// How often a new system is tried: a plug that is pulled during the first try must not cost the update.
const TRIES: u8 = 2;

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// The slot that is known to work.
    pub good: Slot,
    /// The one that is to be tried, and how often still.
    pub trial: Option<(Slot, u8)>,
}

impl Slots {
    /// As it stands in the boot partition `boot`; `good` where the file is not there or was cut off, as the initramfs does.
    #[must_use]
    pub fn read(boot: &Path, good: Slot) -> Self {
        let text = |name| std::fs::read_to_string(boot.join(name)).ok();
        let found = text(NAME).and_then(|text| Self::parse(&text));
        found
            .or_else(|| text(NEW_NAME).and_then(|text| Self::parse(&text)))
            .unwrap_or(Self { good, trial: None })
    }

    /// With a slot on trial.
    #[must_use]
    pub const fn with_trial(self, slot: Slot) -> Self {
        Self { trial: Some((slot, TRIES)), ..self }
    }

    /// Reads it; None: it is not whole.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut take = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix('=').map(str::to_owned);
        let (good, trial, tries) = (take("good")?, take("trial")?, take("tries")?);
        if lines.next() != Some("end") {
            return None;
        }
        let trial = match trial.as_str() {
            "" => None,
            slot => Some((Slot::parse(slot)?, tries.parse().ok()?)),
        };
        Some(Self { good: Slot::parse(&good)?, trial })
    }

    /// The file.
    fn print(self) -> String {
        let (trial, tries) = self.trial.map_or(("", 0), |(slot, tries)| (slot.letter(), tries));
        format!("good={}\ntrial={trial}\ntries={tries}\nend\n", self.good.letter())
    }

    /// Writes it so that after a crash the old or the new one counts.
    ///
    /// # Errors
    /// With the step that failed.
    pub fn write(self, boot: &Path) -> Result<(), Fail> {
        let (aside, path) = (boot.join(NEW_NAME), boot.join(NAME));
        let write = || {
            let mut file = File::create(&aside)?;
            file.write_all(self.print().as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&aside, &path)?;
            File::open(boot)?.sync_all()
        };
        writable(boot, write).map_err(|error| Fail::file("write", &path, &error))
    }
}

/// Does something to the boot partition, which is mounted for reading only and is so again afterwards.
///
/// # Errors
/// Those of `work`.
pub fn writable<T>(boot: &Path, work: impl Fn() -> std::io::Result<T>) -> std::io::Result<T> {
    match work() {
        Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {
            let remount = |how: &str| Command::new("mount").args(["-o", how]).arg(boot).status();
            remount("remount,rw")?;
            let done = work();
            // It stays writable where that fails, which is no reason to call the work undone.
            let _ = remount("remount,ro");
            done
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_cut_off_does_not_count() {
        let boot = tempfile::tempdir().unwrap();
        let first = Slots { good: Slot::A, trial: None };
        assert_eq!(Slots::read(boot.path(), Slot::A), first);
        let tried = first.with_trial(Slot::B);
        tried.write(boot.path()).unwrap();
        assert_eq!(Slots::read(boot.path(), Slot::A), tried);
        let whole = tried.print();
        for length in 0..whole.len() - 1 {
            assert_eq!(Slots::parse(&whole[..length]), None, "{length}");
        }
        assert_eq!(Slots::parse(&format!("# mine\r\n{}", whole.replace('\n', "\r\n"))), Some(tried));
    }

    #[test]
    fn the_new_file_counts_where_a_crash_took_the_old_one() {
        let boot = tempfile::tempdir().unwrap();
        let tried = Slots { good: Slot::A, trial: None }.with_trial(Slot::B);
        std::fs::write(boot.path().join(NEW_NAME), tried.print()).unwrap();
        std::fs::write(boot.path().join(NAME), "good=a\ntr").unwrap();
        assert_eq!(Slots::read(boot.path(), Slot::A), tried);
    }
}
