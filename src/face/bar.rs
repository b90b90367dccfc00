//! Progress on a terminal: one line on standard error that shows how far a backup, a restore or a check is.
//!
//! Draws nothing where standard error is no terminal, with `--quiet` or with `--json`: results go to standard output, and
//! do not wait for this.

use std::io::{stderr, IsTerminal as _};

use super::report::{amount, word};
use super::show::{bytes, number, percent, text};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

/// The line, or nothing.
pub struct Bar {
    /// Hidden when there is nobody to look.
    line: ProgressBar,
}

impl Bar {
    /// A line that is shown if `wanted` and somebody is there to see it.
    #[must_use]
    pub fn new(wanted: bool) -> Self {
        let shown = wanted && stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr_with_hz(8) } else { ProgressDrawTarget::hidden() };
        let line = ProgressBar::with_draw_target(None, target);
        line.set_style(spinner());
        Self { line }
    }

    /// Shows words while the end is not known.
    pub fn say(&self, words: String) {
        self.line.set_message(words);
        self.line.set_style(spinner());
        self.line.tick();
    }

    /// Shows how much of a whole is done.
    pub fn part(&self, words: String, done: u64, whole: u64) {
        self.line.set_message(words);
        self.line.set_length(whole);
        self.line.set_position(done.min(whole));
        self.line.set_style(measured());
    }

    /// Shows a progress line of a backup.
    pub fn backup(&self, event: &Value) {
        let folder = text(word(event, "folder"));
        let files = number(amount(event, "files").unwrap_or(0));
        let read = bytes(amount(event, "bytes").unwrap_or(0));
        let new = bytes(amount(event, "new_bytes").unwrap_or(0));
        let replicated = &event["replicated"];
        if word(event, "phase") == "replicate" {
            let (done, whole) =
                (amount(replicated, "chunks_done").unwrap_or(0), amount(replicated, "chunks").unwrap_or(0));
            let have = super::report::copies(replicated);
            self.part(
                format!("{folder}: copying to other devices ({have} complete), {}%", percent(done, whole)),
                done,
                whole,
            );
        } else {
            self.say(format!("{folder}: {files} files, {read}; {new} new"));
        }
    }

    /// Runs `print` while the line is out of the way.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.line.suspend(print)
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.line.finish_and_clear();
    }
}

/// The look while the end is not known.
fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// The look when it is known.
fn measured() -> ProgressStyle {
    ProgressStyle::with_template("[{bar:24}] {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
