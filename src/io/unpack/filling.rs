//! The content of one restored file: written aside, or first compared with the file that stands there.
//!
//! While what comes is what stands there, nothing is written. At the first difference the file is begun aside with what was the same so
//! far, if it may replace the other. So a restore by content costs the disk reads, and writes only where something is wrong. That copy
//! is made by the kernel, which reads nothing again where files may share their blocks; if the file was changed meanwhile, it is not
//! what was compared, and the restore of it fails.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::super::place::{Aside, Placed};
use super::super::restored::Fate;
use super::super::{beneath, facts};
use crate::file::entry::Stat;

/// Bytes that are compared or copied at once.
const STEP_BYTES: usize = 64 * 1024;

/// The content of a file on its way.
#[derive(Debug)]
pub struct Filling {
    /// Where it goes.
    way: Way,
    /// It may replace what stands there.
    overwrite: bool,
}

/// Where content goes.
#[derive(Debug)]
enum Way {
    /// Into a new file.
    Write(Aside),
    /// It is compared.
    Compare(Comparison),
    /// It differs from what stands there, which stays.
    Differs,
}

/// A comparison with what stands there.
#[derive(Debug)]
struct Comparison {
    /// The directory.
    directory: OwnedFd,
    /// A name in it for a new file.
    aside: String,
    /// What stands there.
    file: OwnedFd,
    /// Its stat when it was opened.
    stat: Stat,
    /// So far it is the same.
    position: u64,
}

impl Filling {
    /// Into a new file, under this name for the time being.
    ///
    /// # Errors
    /// What the system says.
    pub fn aside(directory: BorrowedFd<'_>, aside: String, overwrite: bool) -> Result<Self, Errno> {
        Ok(Self { way: Way::Write(Aside::new(directory, aside)?), overwrite })
    }

    /// Compared with the regular file `name`, as long as it is the same; where that may not be read it is another.
    ///
    /// # Errors
    /// What the system says.
    pub fn comparing(
        directory: BorrowedFd<'_>,
        name: &[u8],
        aside: String,
        overwrite: bool,
    ) -> Result<Self, Errno> {
        // Something else may stand there by now: NONBLOCK, so that no pipe keeps this waiting.
        match beneath::open(directory, name, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()) {
            Ok(file) => {
                let directory = rustix::io::fcntl_dupfd_cloexec(directory, 0)?;
                let stat = facts::look(file.as_fd())?.stat;
                let comparison = Comparison { directory, aside, file, stat, position: 0 };
                Ok(Self { way: Way::Compare(comparison), overwrite })
            }
            Err(_) if overwrite => Self::aside(directory, aside, overwrite),
            Err(_) => Ok(Self { way: Way::Differs, overwrite }),
        }
    }

    /// The file in which it is whole: the new one, or the one that stands there; None if that is another.
    #[must_use]
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        match &self.way {
            Way::Write(aside) => Some(aside.file()),
            Way::Compare(comparison) => Some(comparison.file.as_fd()),
            Way::Differs => None,
        }
    }

    /// It is a new file, which has no metadata yet.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        matches!(self.way, Way::Write(_))
    }

    /// Bytes and holes so far; None where nobody counts any more.
    #[must_use]
    pub const fn position(&self) -> Option<u64> {
        match &self.way {
            Way::Write(aside) => Some(aside.position()),
            Way::Compare(comparison) => Some(comparison.position),
            Way::Differs => None,
        }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// What the system says; the file is then good for nothing.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        match &mut self.way {
            Way::Write(aside) => aside.write(bytes),
            Way::Differs => Ok(()),
            Way::Compare(comparison) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                if comparison.is_next(bytes)? {
                    comparison.position += length;
                    return Ok(());
                }
                self.part()?;
                self.write(bytes)
            }
        }
    }

    /// A hole comes next.
    ///
    /// # Errors
    /// What the system says; FBIG when the file would become longer than can be told.
    pub fn hole(&mut self, length: u64) -> Result<(), Errno> {
        match &mut self.way {
            Way::Write(aside) => aside.hole(length),
            Way::Differs => Ok(()),
            Way::Compare(comparison) => {
                if comparison.is_hole(length)? {
                    comparison.position += length;
                    return Ok(());
                }
                self.part()?;
                self.hole(length)
            }
        }
    }

    /// Everything has come: a new file gets its length, one that stands there may be too long.
    ///
    /// # Errors
    /// What the system says.
    pub fn end(&mut self) -> Result<(), Errno> {
        if let Way::Compare(comparison) = &self.way {
            if facts::look(comparison.file.as_fd())?.stat.size != comparison.position {
                self.part()?;
            }
        }
        match &self.way {
            Way::Write(aside) => aside.end(),
            Way::Compare(_) | Way::Differs => Ok(()),
        }
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// ISDIR where a directory stands there; else what the system says.
    pub fn place(self, name: &[u8]) -> Result<Fate, Errno> {
        match self.way {
            Way::Write(aside) => aside.place(name, self.overwrite).map(Placed::into),
            Way::Compare(_) => Ok(Fate::Equal),
            Way::Differs => Ok(Fate::Kept),
        }
    }

    /// What comes is not what stands there: it is written aside from here on, after a copy of what was the same.
    fn part(&mut self) -> Result<(), Errno> {
        let Way::Compare(comparison) = std::mem::replace(&mut self.way, Way::Differs) else { return Ok(()) };
        if self.overwrite {
            self.way = Way::Write(comparison.into_aside()?);
        }
        Ok(())
    }
}

impl Comparison {
    /// Whether these bytes come next in the file.
    fn is_next(&self, bytes: &[u8]) -> Result<bool, Errno> {
        let mut buffer = vec![0; STEP_BYTES.min(bytes.len())];
        let mut position = self.position;
        for step in bytes.chunks(STEP_BYTES) {
            let read = read_fully(&self.file, &mut buffer[..step.len()], position)?;
            if &buffer[..read] != step {
                return Ok(false);
            }
            position += u64::try_from(read).unwrap_or(u64::MAX);
        }
        Ok(true)
    }

    /// Whether only zeros come next.
    fn is_hole(&self, length: u64) -> Result<bool, Errno> {
        let mut buffer = vec![0; STEP_BYTES];
        let end = self.position.checked_add(length).ok_or(Errno::FBIG)?;
        let mut position = self.position;
        while position < end {
            let step = usize::try_from(end - position).unwrap_or(STEP_BYTES).min(STEP_BYTES);
            let read = read_fully(&self.file, &mut buffer[..step], position)?;
            if read < step || buffer[..read].iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            position += u64::try_from(read).unwrap_or(u64::MAX);
        }
        Ok(true)
    }

    /// A new file with what was the same so far.
    fn into_aside(self) -> Result<Aside, Errno> {
        let mut aside = Aside::new(self.directory.as_fd(), self.aside)?;
        let copied = aside.copy_from(self.file.as_fd(), self.position)?;
        let now = facts::look(self.file.as_fd())?.stat;
        let key = |stat: &Stat| (stat.size, stat.mtime_ns, stat.ctime_ns);
        if !copied || key(&now) != key(&self.stat) {
            // It was changed after it had been compared.
            return Err(Errno::STALE);
        }
        Ok(aside)
    }
}

/// Reads until the buffer is full or the file ends; how much that was.
fn read_fully(file: &OwnedFd, buffer: &mut [u8], mut position: u64) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::pread(file, &mut buffer[filled..], position) {
            Ok(0) => break,
            Ok(count) => {
                filled += count;
                position += u64::try_from(count).unwrap_or(u64::MAX);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}
