//! Notes: what full nodes say to each other's people. A note is a sealed entry of its writer's feed, so that it reaches all
//! full nodes, also those that are off when it is written; store nodes carry it and cannot read it.
//!
//! A note that arrives is an event (`node/events.rs`). After a restart the newest ones are taken from the feeds for `log`.

use std::collections::BTreeSet;

use serde_json::{json, Value};

use super::{Event, Kind};
use crate::base::gather;
use crate::base::ids::{EntryHash, NodeId};
use crate::base::limits::{NOTES_MAX, NOTE_BYTES_MAX};
use crate::base::units::WallTime;
use crate::feed::entry::{Body, Note, NoteText, Role};
use crate::feed::view::{Applied, NoteFact};
use crate::node::activity::Level;
use crate::node::after::AfterAppend;
use crate::node::api::ApiError;
use crate::node::core::Core;
use crate::node::member::Membership;
use crate::node::ports::{CallId, Ending};

/// What is known of notes besides the feeds.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Those that came before the key that opens them.
    sealed: BTreeSet<EntryHash>,
}

/// A note as people see it.
fn opened(member: &Membership, fact: &NoteFact) -> Option<(WallTime, Event)> {
    let plain = member.sealer.as_ref()?.open_text(&fact.feed, fact.sequence, &fact.sealed).ok()?;
    let text = NoteText::decode(&plain).ok()?.text;
    let event = Event::new(Kind::Note, Level::Info, "note", text).about(fact.hash.hex());
    Some((fact.wall, event.of_node(member.name_of(&fact.writer))))
}

impl Core {
    /// `say`: writes a note.
    pub(in crate::node) fn call_say(&mut self, id: CallId, text: &str) {
        let text = match checked(text) {
            Ok(text) => text.to_owned(),
            Err(error) => return self.end_call(id, Err(error)),
        };
        let Some(member) = self.member.as_ref().filter(|_| self.keyring.may_seal()) else {
            return self.end_call(id, Err(self.refusal()));
        };
        let (Some(sealer), Ok(plain)) = (&member.sealer, NoteText { text }.encode()) else {
            return self.end_call(id, Err(self.refusal()));
        };
        let sealed = sealer.seal_text(&member.own, member.next_sequence(), &plain);
        let is_full =
            |node: &&NodeId| member.view.roster().member(node).is_some_and(|peer| peer.role == Role::Full);
        let connected = self.gossip.peers().filter(is_full).count();
        let value = json!({"said": true, "time": self.now.wall.to_string(), "connected": connected});
        let then = AfterAppend::Done { call: id, value };
        if self.append(Body::Note(Note { sealed }), Vec::new(), then).is_none() {
            self.end_call(id, Err(self.refusal()));
        }
    }

    /// Whether `say` would write something.
    pub(in crate::node) fn would_say(&self, text: &str) -> bool {
        checked(text).is_ok()
    }

    /// Entries were written or came: notes among them are told.
    pub(in crate::node) fn notes_heard(&mut self, entries: &[(Applied, Vec<u8>)]) {
        for (applied, _) in entries.iter().filter(|(applied, _)| applied.counts) {
            let Body::Note(note) = &applied.entry.body else { continue };
            let fact = NoteFact {
                writer: applied.feed.node,
                feed: applied.feed,
                sequence: applied.sequence,
                hash: applied.hash,
                wall: applied.entry.wall,
                sealed: note.sealed.clone(),
            };
            self.note_came(&fact);
        }
    }

    /// A note came, or the key that opens it.
    fn note_came(&mut self, fact: &NoteFact) {
        let Some(member) = &self.member else { return };
        if member.sealer.is_none() {
            let writer = member.name_of(&fact.writer);
            let message = format!("{writer} wrote a note, which only full nodes can read");
            return self.note(Level::Info, "note", message);
        }
        match opened(member, fact) {
            Some((wall, event)) => self.raise_at(wall, event),
            None if self.outward.notes.sealed.len() < NOTES_MAX => {
                self.outward.notes.sealed.insert(fact.hash);
            }
            None => {}
        }
    }

    /// Keys were learnt: notes that came before them are told now.
    pub(in crate::node) fn keys_learnt(&mut self, count: usize) {
        self.note(Level::Info, "keys", format!("{count} content keys were given to this node"));
        let sealed = std::mem::take(&mut self.outward.notes.sealed);
        let Some(member) = self.member.as_ref().filter(|_| !sealed.is_empty()) else { return };
        let facts: Vec<NoteFact> =
            member.view.notes().filter(|fact| sealed.contains(&fact.hash)).cloned().collect();
        facts.iter().for_each(|fact| self.note_came(fact));
    }

    /// `log`: what happened in this run, and before it the notes that it has not; behind the line of that number, if it is known.
    pub(in crate::node) fn call_log(&mut self, id: CallId, follow: bool, after: Option<u64>) {
        // Where the clock went back a number may come that is none yet: then nothing is known of what was seen.
        let after = after.filter(|after| *after <= self.activity.last());
        let told: BTreeSet<String> = gather::set(self.activity.subjects_of(Kind::Note).map(str::to_owned));
        let before = self.member.iter().filter(|_| after.is_none()).flat_map(|member| {
            let notes = member.view.notes().filter(|fact| !told.contains(&fact.hash.hex()));
            notes.filter_map(|fact| opened(member, fact)).map(|(wall, event)| event.json_at(wall))
        });
        let lines: Vec<Value> = before.chain(self.activity.since(after.unwrap_or(0))).collect();
        for line in lines {
            self.json(id, line);
        }
        if follow {
            let seen = self.activity.last();
            self.calls.follow(id, seen);
        } else {
            self.end_call(id, Ok(Ending::Complete));
        }
    }
}

/// A text that may be a note, without the line end that a pipe leaves behind it.
fn checked(text: &str) -> Result<&str, ApiError> {
    let text = text.trim_end_matches(['\n', '\r']);
    if text.trim().is_empty() {
        let hint = "write the text behind `nuthatch say`, or pipe it into `nuthatch say -`";
        return Err(ApiError::new("empty_note", "a note needs a text", hint));
    }
    if text.len() > NOTE_BYTES_MAX {
        let message = format!("a note has at most {NOTE_BYTES_MAX} bytes, and this one is longer");
        let hint = "shorten it, or put a file into a shared folder";
        return Err(ApiError::new("note_too_long", message, hint));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_has_a_text_of_bounded_length() {
        assert_eq!(checked("milk\n"), Ok("milk"));
        assert_eq!(checked("two\nlines\r\n"), Ok("two\nlines"));
        for empty in ["", "\n", " \t\n"] {
            assert_eq!(checked(empty).unwrap_err().code, "empty_note");
        }
        let longest = "m".repeat(NOTE_BYTES_MAX);
        assert_eq!(checked(&longest), Ok(longest.as_str()));
        let error = checked(&format!("{longest}m")).unwrap_err();
        assert_eq!(error.code, "note_too_long");
        assert!(error.message.contains("2000"), "{}", error.message);
    }
}
