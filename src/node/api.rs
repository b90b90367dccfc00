//! The API: what a person (through the command line or a page) can ask of a node, as plain values.
//!
//! The answer to a [`Call`] is any number of [`Piece`]s and one end. `face/routes.rs` gives each call its HTTP method and
//! path under `/api/v1`; this file knows nothing of HTTP. Errors are listed in `docs/ERRORS.md`.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

use super::restore::selection::Range;
use crate::feed::entry::{Mode, Role};

/// A question or an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// Make a new vault with this node as its first member. One JSON object: `recovery_phrase`, `vault`, `node`.
    Init {
        /// The node's name; the host's name when None.
        name: Option<String>,
        /// The site's name; "home" when None.
        site: Option<String>,
    },
    /// Join a vault by code. JSON Lines: progress, last the result (`vault`, `node`, `role`).
    Join {
        /// Eight digits.
        code: String,
        /// Where the inviter is; None: through mDNS.
        peer: Option<SocketAddr>,
        /// As in `Init`.
        name: Option<String>,
        /// As in `Init`.
        site: Option<String>,
    },
    /// Come back from the 24 words. JSON Lines: progress, last the result.
    Recover {
        /// The words.
        phrase: String,
        /// Where any member is; None: through mDNS.
        peer: Option<SocketAddr>,
        /// The lost node: it is removed, and its backup folders are adopted.
        replace: Option<String>,
        /// As in `Init`.
        name: Option<String>,
        /// As in `Init`.
        site: Option<String>,
    },
    /// Open an invitation. JSON Lines: first `code`, `expires_us`, `addresses`; then what happens, until it closes.
    Invite {
        /// Of the node that will join.
        role: Role,
        /// Until it is used or closed; without, the answer ends with the first line and the invitation stays open.
        wait: bool,
    },
    /// The members. One JSON array.
    Nodes,
    /// Remove a member for good.
    Remove {
        /// Its name or a prefix of its id.
        node: String,
        /// At once or not.
        how: Removal,
    },
    /// A new folder.
    FolderAdd(FolderAdd),
    /// All folders. One JSON array.
    FolderList,
    /// Change what was said of an own folder when it was added. One JSON object: the folder as it is then.
    FolderSet {
        /// Its name.
        name: String,
        /// `KEY=VALUE`, `ignore+=GLOB` or `ignore-=GLOB`, in order.
        changes: Vec<String>,
    },
    /// Stop backing up a folder here; its snapshots stay.
    FolderRemove {
        /// Its name.
        name: String,
    },
    /// Scan now (all folders when None). JSON Lines: progress; with `wait` until protected, or until it is known that it
    /// cannot be now (Partial).
    Backup {
        /// The folder.
        name: Option<String>,
        /// Until protected.
        wait: bool,
    },
    /// Scan now and read everything: what has other content than the last snapshot though size and times are the same is
    /// found and named. JSON Lines as of `Backup`, with the number of those as `silent`.
    Checksum {
        /// The folder; all when None.
        name: Option<String>,
        /// Until protected.
        wait: bool,
    },
    /// Reach every member that can be reached and scan all folders, now. JSON Lines: `sync` first, then as of `Backup`.
    Sync {
        /// Until protected.
        wait: bool,
    },
    /// Begin nothing by oneself for a while. One JSON object.
    Pause {
        /// For how long, in microseconds; None: until `Resume`.
        span_us: Option<u64>,
    },
    /// End a pause. One JSON object.
    Resume,
    /// Snapshots, newest last. JSON Lines.
    Snapshots {
        /// Of this folder only.
        name: Option<String>,
    },
    /// Retire a snapshot; its chunks stay for a while. One JSON object.
    Forget {
        /// `NAME@SNAPSHOT`.
        what: String,
    },
    /// Take a retired snapshot back. One JSON object.
    Undo {
        /// `NAME[@SNAPSHOT]`; without a snapshot the newest that is retired.
        what: String,
    },
    /// Have forgotten snapshots given up at once: the recovery phrase, or the words of two full nodes. One JSON object.
    Erase {
        /// The folder's name.
        folder: String,
        /// Which of its forgotten snapshots, as behind the `@`; all of them when none is named.
        snapshots: Vec<String>,
        /// The 24 words; None: the word of this node.
        phrase: Option<String>,
    },
    /// Answer what `status` asks. One JSON object.
    Confirm {
        /// What is meant, as `status` names it.
        what: String,
    },
    /// Entries of a snapshot. JSON Lines.
    List {
        /// `NAME[@SNAPSHOT][:PATH]`.
        what: String,
        /// Everything below, not only one level.
        recursive: bool,
    },
    /// What became of one path over all snapshots of its folder, oldest first. JSON Lines: one for each version.
    History {
        /// `NAME:PATH`.
        what: String,
    },
    /// What differs between two snapshots. JSON Lines: first which they are, then a line for each path, last the sums.
    Diff {
        /// `NAME[@SNAPSHOT][:PATH]`.
        before: String,
        /// `NAME[@SNAPSHOT]`, or `@SNAPSHOT` of the same folder; None: its newest.
        after: Option<String>,
    },
    /// Paths that match a pattern, in the newest snapshot of each folder. JSON Lines.
    Find {
        /// A name or glob; with a slash of whole paths.
        pattern: String,
        /// In this folder only.
        folder: Option<String>,
        /// In all snapshots: what came, changed and went in each.
        all: bool,
    },
    /// A snapshot's files as a stream of frames (see `node/frames.rs`). Bytes.
    Restore {
        /// `NAME[@SNAPSHOT][:PATH]`.
        what: String,
        /// Entries without content: what would be written.
        dry_run: bool,
    },
    /// The same, with the content only of files in some ranges; that of others is told as left out. Bytes.
    RestoreSome {
        /// `NAME[@SNAPSHOT][:PATH]`.
        what: String,
        /// In the order of the tree.
        wanted: Vec<Range>,
    },
    /// What is known of a path, as one JSON object (of a file with `etag`, which is another one for other content); then the bytes
    /// of a file from an offset on.
    Read {
        /// `NAME[@SNAPSHOT][:PATH]`.
        what: String,
        /// The first byte.
        offset: u64,
        /// At most so many; None: to the end of the file. Zero: no content, and the path may be of anything.
        length: Option<u64>,
    },
    /// A file of a shared folder, as the client sends it ([`super::ports::Input::Data`]). JSON Lines: what was stored, then as of
    /// `Backup`.
    Put {
        /// `NAME:PATH`.
        what: String,
        /// What is known of it.
        file: PutFile,
        /// Until protected.
        wait: bool,
    },
    /// A file or directory of a shared folder goes, on all devices; versions stay. JSON Lines as of `Put`.
    Delete {
        /// `NAME:PATH`.
        what: String,
        /// A directory goes with all that is in it.
        recursive: bool,
    },
    /// An empty directory in a shared folder. JSON Lines as of `Put`.
    MakeDirectory {
        /// `NAME:PATH`.
        what: String,
    },
    /// A file or directory of a shared folder gets another place in it, with all that is in it. JSON Lines as of `Put`.
    Move {
        /// `NAME:PATH`.
        from: String,
        /// `NAME:PATH` in the same folder.
        to: String,
        /// It stays where it was, too.
        copy: bool,
        /// What stands there goes, with all that is in it.
        overwrite: bool,
    },
    /// The state of everything. One JSON object; `summary` is the one sentence.
    Status,
    /// Check structure and presence; with `all` every byte. JSON Lines: `scrub` (how far what is read again unasked is, as in
    /// `status`), progress, damage; last the result.
    Verify {
        /// Read everything.
        all: bool,
    },
    /// A note to all full nodes. One JSON object.
    Say {
        /// At most [`crate::base::limits::NOTE_BYTES_MAX`] bytes.
        text: String,
    },
    /// Restore a sample of this node's folders from other devices, and compare. JSON Lines: `restored`, `problem`, `untested`; last
    /// the result.
    Drill {
        /// Of this folder only.
        name: Option<String>,
    },
    /// Run hooks and send an alert as if something had happened. JSON Lines: one for each, with what came of it.
    TestAlert {
        /// The event's word; `test` when None.
        event: Option<String>,
    },
    /// The activity log, notes included. JSON Lines; those of this run have a `number`, which grows.
    Log {
        /// Go on with what happens.
        follow: bool,
        /// Only what came after the line of this number.
        after: Option<u64>,
    },
    /// What was sent, received, stored and saved in the last day and month, in steps. One JSON object.
    Charts,
    /// The configuration, or one key of it. One JSON value.
    ConfigGet {
        /// All when None.
        key: Option<String>,
    },
    /// Every key of the configuration with what it means, its range, default and value. One JSON value.
    ConfigKeys,
    /// Change one key. It is checked first.
    ConfigSet {
        /// Dotted name.
        key: String,
        /// A TOML value, or a bare word for a string.
        value: String,
    },
}

/// How a member is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Removal {
    /// When others have what it holds, if it is here; else at once.
    Drained,
    /// At once.
    Now,
    /// At once, and all others are lost: no peer can tell what it knows of this node, whose feed is begun anew.
    Alone,
    /// Not at all: that it leaves is taken back.
    Keep,
}

/// The folder that is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderAdd {
    /// Its name in the vault.
    pub name: String,
    /// Absolute path on this node, bytes of an OS path.
    pub directory: Vec<u8>,
    /// `backup`, `shared`, or `attach`: the shared folder of that name, on this device too.
    pub kind: String,
    /// How many devices; the vault's default when None.
    pub copies: Option<u8>,
    /// Which snapshots are kept, as in file/retain.rs; the configuration's policy when None.
    pub keep: Option<String>,
    /// Patterns in gitignore syntax.
    pub ignore: Vec<String>,
    /// Do not go into other file systems mounted below.
    pub one_file_system: bool,
    /// Leave out files that are larger: a size such as 2GB, or `off`.
    pub max_size: Option<String>,
    /// Of a shared folder: what this device does with changes.
    pub mode: Mode,
}

/// A file that a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutFile {
    /// When its content changed, in nanoseconds since 1970; None: now.
    pub mtime_ns: Option<i64>,
    /// Permission bits; 0o644 when None.
    pub mode: Option<u32>,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// A line of JSON Lines, or the one JSON value.
    Json(serde_json::Value),
    /// A run of a byte stream.
    Bytes(Vec<u8>),
}

/// Why a call failed, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// Stable, snake_case, listed in `docs/ERRORS.md`.
    pub code: String,
    /// What happened, to what.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl ApiError {
    /// An error with these words.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), hint: hint.into() }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.message)?;
        if !self.hint.is_empty() {
            write!(formatter, "; {}", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for ApiError {}
