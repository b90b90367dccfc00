//! Finding the place in a tree that a path names, and the nearest name when there is none.
//!
//! Owns one descent: entry by entry along the path. Read `node/reader.rs` first.
//!
//! ```text
//!   Entry(depth) --there--> Entry(depth + 1) ... --all there--> Found
//!        | not there
//!        v
//!   Names(directory) --end or many seen--> Unknown { nearest }
//! ```

use std::collections::VecDeque;

use super::api::ApiError;
use super::duty::{Ask, Ops};
use super::names::nearest;
use super::reader::{Reader, Seen};
use crate::base::limits::NEAREST_NAMES_MAX;
use crate::file::tree::{check_key, is_within, name_of, parent_of, path_of};

/// What a look finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sought {
    /// Nothing yet.
    Wait,
    /// The reader stands on the entry (or at the start of the tree, for the empty path).
    Found,
    /// There is no such entry, or the tree cannot be read so far.
    Failed(ApiError),
}

/// A search for one path.
#[derive(Debug)]
pub(super) struct Seek {
    /// The wanted key.
    key: Vec<u8>,
    /// Where it stands.
    state: State,
}

/// The states of a [`Seek`].
#[derive(Debug)]
enum State {
    /// Nothing was asked yet.
    New,
    /// The wanted entry is looked for.
    Entry,
    /// This ancestor of it is looked for: the nearest that is there says where the names are looked at.
    Ancestor(Vec<u8>),
    /// The names in this directory are looked at.
    Names(Vec<u8>, Vec<String>),
    /// It was found.
    Found,
}

/// The key of a path that a person wrote (components joined by `/`, or already by 0x00); empty: all of the tree.
pub(super) fn wanted_key(path: &[u8]) -> Result<Vec<u8>, ApiError> {
    let key: Vec<u8> = path.iter().map(|byte| if *byte == b'/' { 0 } else { *byte }).collect();
    match check_key(&key) {
        Err(error) if !key.is_empty() => {
            Err(ApiError::new("bad_path", error.to_string(), "write it as `nuthatch ls` shows it"))
        }
        _ => Ok(key),
    }
}

impl Seek {
    /// A search for `key`; empty: all of the tree.
    pub(super) const fn new(key: Vec<u8>) -> Self {
        Self { key, state: State::New }
    }

    /// Searches on with a reader that is used for nothing else meanwhile.
    pub(super) fn look(&mut self, reader: &mut Reader, ops: &mut Ops, asks: &mut VecDeque<Ask>) -> Sought {
        loop {
            match std::mem::replace(&mut self.state, State::Found) {
                State::New if self.key.is_empty() => {}
                State::New => {
                    reader.seek(&self.key);
                    self.state = State::Entry;
                }
                State::Found => return Sought::Found,
                waiting => match reader.look(ops, asks) {
                    Seen::Wait => {
                        self.state = waiting;
                        return Sought::Wait;
                    }
                    Seen::Lost { reason, .. } => return Sought::Failed(lost(&reason)),
                    seen => {
                        if let Some(error) = self.at(waiting, seen == Seen::Entry, reader) {
                            return Sought::Failed(error);
                        }
                    }
                },
            }
        }
    }

    /// The reader stands on an entry, or at the end of the tree.
    fn at(&mut self, state: State, entry: bool, reader: &mut Reader) -> Option<ApiError> {
        match state {
            State::Entry if entry && reader.key() == self.key.as_slice() => self.state = State::Found,
            State::Entry => self.go_up(&self.key.clone(), reader),
            State::Ancestor(key) if entry && reader.key() == key.as_slice() => self.look_in(key, reader),
            State::Ancestor(key) => self.go_up(&key, reader),
            State::Names(directory, mut names) => {
                if !entry || !is_within(reader.key(), &directory) || names.len() >= NEAREST_NAMES_MAX {
                    return Some(self.unknown(&names));
                }
                names.push(String::from_utf8_lossy(name_of(reader.key())).into_owned());
                let next = behind(reader.key());
                reader.seek(&next);
                self.state = State::Names(directory, names);
            }
            State::New | State::Found => self.state = state,
        }
        None
    }

    /// Looks for what `key` is in.
    fn go_up(&mut self, key: &[u8], reader: &mut Reader) {
        let parent = parent_of(key).to_vec();
        if parent.is_empty() {
            self.look_in(parent, reader);
        } else {
            reader.seek(&parent);
            self.state = State::Ancestor(parent);
        }
    }

    /// Looks at the names in a directory that is there.
    fn look_in(&mut self, directory: Vec<u8>, reader: &mut Reader) {
        let mut first = directory.clone();
        if !first.is_empty() {
            first.push(0);
        }
        reader.seek(&first);
        self.state = State::Names(directory, Vec::new());
    }

    /// Says that the path is not there, and what is.
    fn unknown(&self, names: &[String]) -> ApiError {
        let wanted = String::from_utf8_lossy(name_of(&self.key)).into_owned();
        let near = nearest(&wanted, names.iter().map(String::as_str));
        let path = String::from_utf8_lossy(&path_of(&self.key)).into_owned();
        ApiError::new(
            "not_found",
            format!("there is no '{path}' in this snapshot{near}"),
            "list it with `nuthatch ls`",
        )
    }
}

/// The first key that is neither `key` nor below it.
pub(super) fn behind(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    next.push(1);
    next
}

/// Says that the tree cannot be read.
pub(super) fn lost(reason: &str) -> ApiError {
    ApiError::new(
        "chunk_missing",
        format!("a part of the snapshot's tree cannot be had: {reason}"),
        "connect a device that holds the snapshot, then try again",
    )
}
