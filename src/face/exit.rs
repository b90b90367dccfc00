//! How a command ends: exit codes, and errors with what to do about them.
//!
//! Every error has the shape of the API's ([`ApiError`]: code, message, hint), whether the node sent it or the command line
//! found it. The codes are listed in docs/ERRORS.md.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::node::api::ApiError;
use crate::node::ports::Ending;

/// The exit codes of `docs/DESIGN.md`, section 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Done,
    /// It failed.
    Failed,
    /// The command line is wrong.
    Usage,
    /// The node is not running.
    NotRunning,
    /// Done in part, or partly protected.
    Partial,
    /// Ended by a signal, or by a reader that went away.
    Interrupted,
}

impl Exit {
    /// The number that the process ends with.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotRunning => 3,
            Self::Partial => 4,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

impl From<Ending> for Exit {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Complete => Self::Done,
            Ending::Partial => Self::Partial,
        }
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fail {
    /// What to tell; None: nothing is left to say, or nobody to say it to.
    pub error: Option<ApiError>,
    /// How the process ends.
    pub exit: Exit,
}

impl Fail {
    /// It failed.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { error: Some(ApiError::new(code, message, hint)), exit: Exit::Failed }
    }

    /// The command line asks for what cannot be.
    #[must_use]
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new("usage", message, hint) }
    }

    /// No node answers for this home.
    #[must_use]
    pub fn not_running(home: &Path) -> Self {
        let message = format!("the node of {} is not running", home.display());
        let hint = "start it with `nuthatch run`, or name another home with --home DIR";
        Self { exit: Exit::NotRunning, ..Self::new("not_running", message, hint) }
    }

    /// A file could not be read or written.
    #[must_use]
    pub fn file(verb: &str, path: &Path, error: &io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => "check the path",
            io::ErrorKind::PermissionDenied => "check its permissions",
            io::ErrorKind::StorageFull => "make room, or name another place",
            _ => "check the disk",
        };
        Self::new("file", format!("cannot {verb} {}: {error}", path.display()), hint)
    }

    /// Ends without a word.
    #[must_use]
    pub const fn silent(exit: Exit) -> Self {
        Self { error: None, exit }
    }
}

impl From<ApiError> for Fail {
    fn from(mut error: ApiError) -> Self {
        // Messages of the lower floors end with what to do: that is the hint.
        if error.hint.is_empty() {
            if let Some((message, hint)) = error.message.rsplit_once("; ") {
                (error.hint, error.message) = (hint.to_owned(), message.to_owned());
            }
        }
        Self { error: Some(error), exit: Exit::Failed }
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => error.fmt(formatter),
            None => formatter.write_str("ended early"),
        }
    }
}

impl std::error::Error for Fail {}
