//! Where results go: text or JSON on standard output, advice and errors on standard error.
//!
//! A reader that goes away (`nuthatch ls | head`) ends the command without a complaint.

use std::io::{self, IsTerminal as _, Write as _};

use super::bar::Bar;
use super::exit::{Exit, Fail};
use super::routes::error_json;
use serde_json::Value;

/// How to speak.
#[derive(Debug, Clone, Copy)]
pub struct Out {
    /// JSON only.
    pub json: bool,
    /// No progress and no advice.
    pub quiet: bool,
}

impl Out {
    /// A result in words; nothing with `--json`.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn text(self, text: &str) -> Result<(), Fail> {
        if self.json {
            return Ok(());
        }
        write(text.as_bytes())
    }

    /// A result as JSON, on a line of its own; nothing without `--json`.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn value(self, value: &Value) -> Result<(), Fail> {
        if !self.json {
            return Ok(());
        }
        write(format!("{value}\n").as_bytes())
    }

    /// A result in both forms.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn both(self, value: &Value, text: impl FnOnce(&Value) -> String) -> Result<(), Fail> {
        if self.json {
            self.value(value)
        } else {
            self.text(&text(value))
        }
    }

    /// Advice, which is no result: only where a person may read it.
    pub fn advice(self, text: &str) {
        if !self.json && !self.quiet {
            // Advice that cannot be written is not missed.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Whether somebody sits at standard output.
    #[must_use]
    pub fn has_reader(self) -> bool {
        !self.json && io::stdout().is_terminal()
    }

    /// A progress line for this way of speaking.
    #[must_use]
    pub fn bar(self) -> Bar {
        Bar::new(!self.json && !self.quiet)
    }

    /// Tells why a command failed.
    pub fn failure(self, fail: &Fail) {
        let Some(error) = &fail.error else { return };
        let mut text = if self.json {
            error_json(error).to_string()
        } else {
            format!("error: {}", super::show::text(&error.message))
        };
        if !self.json && !error.hint.is_empty() {
            text.push_str(&format!("\nhint: {}", super::show::text(&error.hint)));
        }
        // There is no place left to complain about this one.
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// Writes to standard output.
pub(super) fn write(bytes: &[u8]) -> Result<(), Fail> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Fail::silent(Exit::Done),
        _ => Fail::new(
            "output",
            format!("cannot write the result: {error}"),
            "check where standard output goes",
        ),
    })
}
