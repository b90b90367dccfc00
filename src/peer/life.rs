//! How long a session lives: when it proves that it does, and when it is given up.
//!
//! Owns: the keepalive, the patience with a silent peer. Refuses: packets (`session.rs`). Read first: PROTOCOL.md,
//! "Life of a session".

use crate::base::limits::{KEEPALIVE_SECOND, SESSION_ANSWER_MAX, SESSION_KEEPALIVE, SESSION_KEEPALIVES_IDLE};
use crate::base::units::{Span, Time};

/// What a session knows of its peer's being there.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// When the last authentic packet arrived.
    heard: Time,
    /// When the last packet that asks for an answer went.
    asked: Option<Time>,
    /// Since when such a packet waits while nothing at all has come.
    waiting: Option<Time>,
    /// With nothing to say, it is said that one is there after this long; None: never.
    keepalive: Option<Span>,
    /// Of the two sides, this one says so first.
    is_first: bool,
}

impl Life {
    /// That of a session whose handshake is done.
    #[must_use]
    pub const fn new(now: Time, is_first: bool) -> Self {
        Self { heard: now, asked: None, waiting: None, keepalive: Some(SESSION_KEEPALIVE), is_first }
    }

    /// What both sides want: the shorter of two keepalives, and none only if neither wants one.
    #[must_use]
    pub fn agree(ours: Option<Span>, theirs: Option<Span>) -> Option<Span> {
        ours.into_iter().chain(theirs).min()
    }

    /// Sets what was agreed.
    pub const fn set_keepalive(&mut self, keepalive: Option<Span>) {
        self.keepalive = keepalive;
    }

    /// An authentic packet has arrived.
    pub fn on_heard(&mut self, now: Time) {
        self.heard = self.heard.max(now);
        self.waiting = None;
    }

    /// A packet goes that asks for an answer.
    pub fn on_asked(&mut self, now: Time) {
        self.asked = Some(now);
        self.waiting.get_or_insert(now);
    }

    /// When life must be proven if nothing else happens. The other side's packets count: so only one of both asks.
    #[must_use]
    pub fn ping_at(&self) -> Option<Time> {
        let patience = if self.is_first { Span::ZERO } else { KEEPALIVE_SECOND };
        let last = self.asked.map_or(self.heard, |asked| asked.max(self.heard));
        self.keepalive.map(|keepalive| last + keepalive + patience)
    }

    /// When the peer is taken for gone: after a long silence, or a shorter one that followed a question.
    #[must_use]
    pub fn ends_at(&self) -> Option<Time> {
        let idle = self.keepalive.map(|keepalive| self.heard + keepalive.times(SESSION_KEEPALIVES_IDLE));
        idle.into_iter().chain(self.waiting.map(|since| since + SESSION_ANSWER_MAX)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::SESSION_IDLE_MAX;

    #[test]
    fn a_keepalive_is_off_only_where_neither_wants_one() {
        let (short, long) = (Some(Span::from_secs(30)), Some(Span::from_secs(50)));
        assert_eq!(Life::agree(long, short), short);
        assert_eq!(Life::agree(None, long), long);
        assert_eq!(Life::agree(None, None), None);
    }

    #[test]
    fn a_question_shortens_the_patience() {
        let start = Time::ZERO;
        let mut life = Life::new(start, true);
        assert_eq!(life.ping_at(), Some(start + SESSION_KEEPALIVE));
        assert_eq!(Life::new(start, false).ping_at(), Some(start + SESSION_KEEPALIVE + KEEPALIVE_SECOND));
        assert_eq!(life.ends_at(), Some(start + SESSION_IDLE_MAX));
        let asked = start + Span::from_secs(5);
        life.on_asked(asked);
        life.on_asked(asked + Span::from_secs(8));
        assert_eq!(
            life.ends_at(),
            Some(asked + SESSION_ANSWER_MAX),
            "counted from the first of the questions"
        );
        life.on_heard(asked + Span::from_secs(9));
        assert_eq!(life.ends_at(), Some(asked + Span::from_secs(9) + SESSION_IDLE_MAX));
        life.set_keepalive(None);
        assert_eq!((life.ping_at(), life.ends_at()), (None, None), "nobody asks, so nobody notices");
        life.on_asked(asked + Span::from_secs(20));
        assert_eq!(life.ends_at(), Some(asked + Span::from_secs(20) + SESSION_ANSWER_MAX));
    }
}
