//! What a duty that tells lines has for the core and for its client: questions at once, lines as fast as the client takes them.

use std::collections::VecDeque;

use serde_json::Value;

use super::duty::Ask;
use super::list::ListOutput;
use crate::base::limits::CALL_PIECES_MAX;

/// Questions and lines on their way out.
#[derive(Debug)]
pub(super) struct Outbox {
    /// What is asked.
    pub(super) asks: VecDeque<Ask>,
    /// Lines that are ready.
    lines: VecDeque<Value>,
    /// Lines that the client has room for.
    credit: usize,
}

impl Outbox {
    /// Nothing is on its way.
    pub(super) const fn new() -> Self {
        Self { asks: VecDeque::new(), lines: VecDeque::new(), credit: CALL_PIECES_MAX }
    }

    /// The client took a line.
    pub(super) fn taken(&mut self) {
        self.credit = (self.credit + 1).min(CALL_PIECES_MAX);
    }

    /// Adds a line.
    pub(super) fn tell(&mut self, line: Value) {
        self.lines.push_back(line);
    }

    /// No more lines should be made now.
    pub(super) fn is_full(&self) -> bool {
        self.lines.len() >= CALL_PIECES_MAX
    }

    /// Lines are ready.
    pub(super) fn has_lines(&self) -> bool {
        !self.lines.is_empty()
    }

    /// The client has room for a line.
    pub(super) const fn has_credit(&self) -> bool {
        self.credit > 0
    }

    /// The next question, or the next line if the client has room for one.
    pub(super) fn pop(&mut self) -> Option<ListOutput> {
        if let Some(ask) = self.asks.pop_front() {
            return Some(ListOutput::Ask(ask));
        }
        if self.credit == 0 {
            return None;
        }
        let line = self.lines.pop_front()?;
        self.credit -= 1;
        Some(ListOutput::Line(line))
    }
}
