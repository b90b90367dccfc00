//! What goes into the core and what comes out: the words between floor 3 and whoever drives it (`io/` or `sim/`).
//!
//! Owns no behaviour. Every request carries an [`Op`] that its reply repeats; replies may come in any order between
//! the ports, and come in the order of the requests within one port. Read `node/core.rs` for who handles what.

use std::net::SocketAddr;

use super::api::{ApiError, Call, Piece};
use super::events::errands::{Errand, ErrandEnd};
use super::put::Put;
pub use super::watching::words::{Notice, Unwatched, WatchOrder};
use crate::base::ids::FolderId;
use crate::file::{applied::Disk, entry::Stat};
use crate::peer::discovery::Announcement;
use crate::store::service::{Op, Reply, Request};

/// Names one running API call; drawn by whoever drives the core, never used twice in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Something happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram arrived; it is decrypted in place.
    Datagram {
        /// Who seems to have sent it.
        from: SocketAddr,
        /// Its bytes.
        bytes: &'a mut [u8],
    },
    /// The storage thread answered.
    Store(Reply),
    /// The file thread answered.
    File(FileReply),
    /// Somebody called the API.
    Call {
        /// Repeated in every piece of the answer.
        id: CallId,
        /// What is asked.
        call: Call,
    },
    /// A piece of what a client sends ([`Call::Put`]), asked for by [`Output::More`]; the last one may be empty, others are not.
    Data {
        /// Of which call.
        id: CallId,
        /// The bytes.
        bytes: Vec<u8>,
        /// Nothing follows.
        end: bool,
    },
    /// A piece of an answer was taken by the client: there is room for one more.
    Taken(CallId),
    /// The client went away; the call is dropped.
    Dropped(CallId),
    /// An announcement was seen by mDNS (again and again: an upsert).
    Sighted {
        /// Addresses of the announcer, most specific first.
        addresses: Vec<SocketAddr>,
        /// What it said.
        announcement: Announcement,
    },
    /// Much was done and that is over: what is kept only to be quick is given up, for memory goes back to the system now.
    Rest,
    /// The node is about to stop: peers are told so. What is there to transmit after this is the last that is sent.
    Stop,
    /// The sockets are bound, or something about them has changed.
    Listening(Listening),
    /// Something has changed in a watched folder, or about the watches.
    Notice(Notice),
    /// What came of an [`Output::Errand`].
    Errand(ErrandEnd),
    /// Time passed: something in [`super::core::Core::deadline`] may be due.
    Tick,
}

/// Where this node can be reached, and how well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listening {
    /// Local addresses with the real port.
    pub addresses: Vec<SocketAddr>,
    /// Set when the wanted default port was busy and a free one was taken.
    pub fell_back: bool,
    /// What the kernel does for the socket.
    pub offload: Offload,
}

/// How many datagrams the kernel takes or gives at once; 1: it cannot do that, or its driver cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offload {
    /// In one call that sends (GSO).
    pub send_segments: usize,
    /// In one buffer that was received (GRO).
    pub receive_segments: usize,
}

impl Default for Offload {
    fn default() -> Self {
        Self { send_segments: 1, receive_segments: 1 }
    }
}

/// The core wants something. Datagrams are fetched apart, through `Core::poll_transmit`.
#[derive(Debug)]
pub enum Output {
    /// For the storage thread, in order.
    Store(Request),
    /// For the file thread, in order.
    File(FileRequest),
    /// For the file thread, in the same order; answered by a [`Notice`] or not at all.
    Watch(WatchOrder),
    /// A hook, or an alert; of each one at a time.
    Errand(Errand),
    /// A piece of an answer. At most [`crate::base::limits::CALL_PIECES_MAX`] are under way for a call.
    Piece {
        /// Which call.
        id: CallId,
        /// The piece.
        piece: Piece,
    },
    /// There is room for one more piece of what the client of this call sends.
    More(CallId),
    /// The call is over; `Err` when it failed (possibly after pieces were sent).
    Done {
        /// Which call.
        id: CallId,
        /// How it ended.
        result: Result<Ending, ApiError>,
    },
    /// What mDNS shall say from now on (None: nothing, this node has nothing to announce).
    Announce(Option<Announcement>),
    /// Write this text to `nuthatch.toml` (durably, aside and renamed).
    SaveConfig(String),
    /// This node is to end in good order and to begin again with what is on its disk.
    Restart,
}

/// How a call that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All of it was done.
    Complete,
    /// Done in part, or partly protected: exit code 4.
    Partial,
}

/// For the file thread. Paths are absolute `root` plus a relative path of components joined by `/` ("" is the root).
/// Nothing here follows a symbolic link below `root`; only [`FileRequest::Put`] writes below it, never in a backup folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileRequest {
    /// Something in a shared folder is to become as another device has it.
    Put(Put),
    /// What stands at `root` itself.
    Root {
        /// Repeated in the reply.
        op: Op,
        /// Absolute path of a directory (may be a symbolic link itself).
        root: Vec<u8>,
    },
    /// The names in a directory after `after`, sorted by bytes, with their stats; at most
    /// [`crate::base::limits::LIST_BYTES_MAX`] bytes of names a reply, however large the directory is.
    List {
        /// Repeated in the reply.
        op: Op,
        /// As above.
        root: Vec<u8>,
        /// The directory, relative to `root`.
        path: Vec<u8>,
        /// The last name already listed.
        after: Option<Vec<u8>>,
        /// It is asked before it is needed: what is behind its first page is not kept open.
        ahead: bool,
        /// For which folder the directory is watched from now on, if it is; only with its first page.
        watch: Option<FolderId>,
    },
    /// Everything about one file, directory or link but what lies behind its first `budget` bytes.
    Open {
        /// Repeated in the reply.
        op: Op,
        /// As above.
        root: Vec<u8>,
        /// Relative to `root`.
        path: Vec<u8>,
        /// Content bytes to read at once, from offset 0 (0: attributes only).
        budget: usize,
        /// A regular file's stat as it was listed: if it is the same behind the reading, the file held still, and one look tells both.
        known: Option<Stat>,
    },
    /// The next block of a file.
    Read {
        /// Repeated in the reply.
        op: Op,
        /// As above.
        root: Vec<u8>,
        /// Relative to `root`.
        path: Vec<u8>,
        /// Where to begin, in bytes.
        offset: u64,
        /// Data bytes to read at the most.
        budget: usize,
    },
}

/// What the file thread found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileReply {
    /// Answer to [`FileRequest::Put`].
    Put {
        /// As asked.
        op: Op,
        /// What stands there now, where something was placed.
        result: Result<Option<Found>, FileError>,
    },
    /// Answer to [`FileRequest::Root`].
    Root {
        /// As asked.
        op: Op,
        /// What is there.
        result: Result<RootFacts, FileError>,
    },
    /// Answer to [`FileRequest::List`].
    List {
        /// As asked.
        op: Op,
        /// Names in ascending order of their bytes.
        result: Result<Listing, FileError>,
    },
    /// Answer to [`FileRequest::Open`].
    Open {
        /// As asked.
        op: Op,
        /// What was found.
        result: Result<Opened, FileError>,
    },
    /// Answer to [`FileRequest::Read`].
    Read {
        /// As asked.
        op: Op,
        /// What was read.
        result: Result<Block, FileError>,
    },
}

/// What identifies a folder's root, so that an unmounted disk is not taken for an emptied folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFacts {
    /// Identifies the file system (fsid where the system has a stable one, else the device number).
    pub file_system: u64,
    /// The root's inode.
    pub inode: u64,
    /// Whether it has any entry.
    pub empty: bool,
    /// The root's own stat.
    pub stat: Stat,
}

/// A page of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// In ascending order.
    pub items: Vec<Item>,
    /// More names follow the last one.
    pub more: bool,
    /// The content of a `.nuthatchignore` in this directory (first page only), at most 64 KiB.
    pub ignore: Option<Vec<u8>>,
    /// The directory carries a valid CACHEDIR.TAG (first page only).
    pub cache: bool,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// One component, any bytes but `/` and NUL.
    pub name: Vec<u8>,
    /// What it is; `Err` where it could not be looked at.
    pub found: Result<Found, FileError>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its type.
    pub kind: FoundKind,
    /// Its stat (not followed).
    pub stat: Stat,
    /// On which file system (a mount point below the root is on another).
    pub disk: Disk,
}

/// The types of directory entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A socket, device or pipe: counted, never kept.
    Special,
}

/// An opened file, directory or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Its type and stat when it was opened.
    pub found: Found,
    /// Extended attributes, sorted by name (POSIX ACLs are among them).
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Target of a symbolic link.
    pub target: Option<Vec<u8>>,
    /// The first block (empty for what has no content).
    pub block: Block,
}

/// A run of a file's content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Block {
    /// Data and holes in order, from the offset asked for on.
    pub extents: Vec<Extent>,
    /// The end of the file was reached.
    pub end: bool,
    /// The file's stat after the read, to see whether it changed meanwhile (None where there was nothing to read).
    pub after: Option<Stat>,
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// Bytes.
    Data(Vec<u8>),
    /// This many zeros that take no room on the disk.
    Hole(u64),
}

/// Why the file thread could not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// What kind of trouble.
    pub kind: FileErrorKind,
    /// The system's words, with the verb: "open: Permission denied".
    pub detail: String,
}

/// Kinds of trouble that the core treats differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileErrorKind {
    /// It is not there (any more).
    Missing,
    /// Not allowed.
    Denied,
    /// It is of another type than expected, or a symbolic link stands in the way.
    Changed,
    /// The file system cannot have it: it does not take the name, or takes it for another's, or has no such things.
    Unfit,
    /// Anything else.
    Failed,
}
