//! Bounds of configuration, faces and the operating system.

use super::content::CUT_BYTES_MEAN;
use super::node::{FIRST_BLOCK_BYTES, OPEN_AHEAD_BYTES, SELECTION_BYTES_MAX, SELECTION_RANGES_MAX};
use super::peers::{DATAGRAM_BYTES_BASE, DATAGRAM_BYTES_MAX, SESSIONS_MAX};
use super::store::GROUP_DELAY_MAX;
use crate::base::units::Span;

// ---- configuration (node/config) and faces (face/) ----

/// Longest `nuthatch.toml` that is read, in bytes; the sample has about 2,000.
pub const CONFIG_BYTES_MAX: usize = 256 * 1024;
/// Addresses in `peers.addresses`: as many as sessions, for more could not all be held.
pub const PEER_ADDRESSES_MAX: usize = 64;
/// Most copies of a folder; a household rarely has more devices, and each costs its whole size.
pub const COPIES_MAX: u8 = 16;
/// Slowest limit of bandwidth, in bytes a second: 64 kbit, below which a session could not prove its life.
pub const BANDWIDTH_RATE_MIN: u64 = 8_000;
/// Limits by the time of day in one key.
pub const BANDWIDTH_RULES_MAX: usize = 32;
/// The time of day is looked at this often where a limit depends on it, at whole minutes.
pub const BANDWIDTH_CHECK: Span = Span::from_secs(60);
/// Shortest time between two backups of a folder by themselves.
pub const RESCAN_MIN: Span = Span::from_secs(60);
/// Longest time between two backups of a folder by themselves.
pub const RESCAN_MAX: Span = Span::from_secs(30 * 86_400);
/// Longest recovery phrase or code that is read, in bytes: 24 words of at most 8 letters, however they are spaced.
pub const SECRET_BYTES_MAX: usize = 4 * 1024;
/// Bytes of each of two files compared at once.
pub const COMPARE_BLOCK_BYTES: usize = 256 * 1024;
/// Bytes of a message of `bench`: as a chunk of mean length.
pub const BENCH_MESSAGE_BYTES: usize = CUT_BYTES_MEAN;
/// A `bench` server that has everything stays this long for a sender that has not heard of it.
pub const BENCH_LINGER: Span = Span::from_secs(3);
/// Files and directories of a folder that `setup-service` looks at, to tell whether the service may use them.
pub const SETUP_ENTRIES_MAX: usize = 10_000;
/// How long a node may take to end after whoever started it went away.
pub const EXIT_TIME_MAX: Span = Span::from_secs(10);

const _: () = assert!(PEER_ADDRESSES_MAX <= SESSIONS_MAX);

// ---- outside (io/) ----

/// Longest path of a Unix socket, in bytes: `sun_path` without its NUL.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Entries of one page of a directory: what lies in memory with their stats.
pub const LIST_ITEMS_MAX: usize = 1_024;
/// Directories of one directory that are listed ahead, at most.
pub const LISTS_AHEAD: usize = 8;
/// ... and of all together, in a deep tree.
pub const LISTS_AHEAD_MAX: usize = 24;
/// Directories whose remaining names are kept between pages; each takes up to [`super::LIST_BYTES_MAX`].
pub const OPEN_LISTINGS_MAX: usize = 3;
/// Folder roots that are kept open.
pub const OPEN_ROOTS_MAX: usize = 32;
/// Files that are kept open between two of their blocks.
pub const OPEN_SOURCE_FILES_MAX: usize = 2 * (OPEN_AHEAD_BYTES / FIRST_BLOCK_BYTES);
/// Runs of data and holes in one block of a file.
pub const BLOCK_EXTENTS_MAX: usize = 1_024;
/// Longest `.nuthatchignore` that is used, in bytes.
pub const IGNORE_BYTES_MAX: usize = 64 * 1024;
/// Extended attributes of one file, names and values, in bytes: they must fit one frame of a restore stream.
pub const SOURCE_ATTRIBUTES_BYTES_MAX: usize = 128 * 1024;
/// Files of the store that are kept open.
pub const OPEN_STORE_FILES_MAX: usize = 24;
/// Buffers in one gathering write (IOV_MAX of Linux is 1,024).
pub const WRITE_PARTS_MAX: usize = 64;
/// Groups of hard links that a restore remembers; what lies beyond is copied, and counted.
pub const LINK_GROUPS_MAX: usize = 65_536;
/// Open directories along the path that a restore is writing to; the ones above are opened again when needed.
pub const TARGET_LEVELS_OPEN_MAX: usize = 32;
/// Paths that a restore's report names; all are counted.
pub const REPORT_PATHS_MAX: usize = 1_000;
/// Connections of the control socket at once.
pub const HTTP_CONNECTIONS_MAX: usize = 64;
/// Connections of the web's port at once; each takes some 20 kB, and up to twice [`HTTP_BUFFER_BYTES_MAX`] while it is busy.
pub const WEB_CONNECTIONS_MAX: usize = 96;
/// ... and of one address: a browser opens six, and a family may sit behind one router.
pub const WEB_CONNECTIONS_EACH_MAX: usize = 48;
/// A client of the web's port that takes nothing of what is sent to it for so long is given up.
pub const WEB_STALL_MAX: Span = Span::from_secs(120);
/// What an encrypted connection holds of what is to be sent, in bytes, beside [`HTTP_BUFFER_BYTES_MAX`].
pub const TLS_BUFFER_BYTES_MAX: usize = 32 * 1024;
/// Streams of live events at once: each takes a connection and a call.
pub const EVENTS_STREAMS_MAX: usize = 24;
/// A stream tells a changed status at most so often.
pub const EVENTS_STATUS_EVERY: Span = Span::from_secs(2);
/// A stream that has nothing to tell says so after this long: what stands between gives no quiet connection up.
pub const EVENTS_KEEPALIVE: Span = Span::from_secs(15);
/// A stream ends after this long, and its client comes again: a session that was ended, or a token that was revoked, sees no more than that.
pub const EVENTS_TIME_MAX: Span = Span::from_secs(300);
/// A node that does not say within this time that it has read its state is not ready.
pub const HEALTH_TIME_MAX: Span = Span::from_secs(1);
/// The TCP port of the web page, if it is free.
pub const WEB_PORT: u16 = 7118;
/// Users of the web page.
pub const WEB_USERS_MAX: usize = 64;
/// Tokens of the API.
pub const WEB_TOKENS_MAX: usize = 64;
/// Sessions of the web page: each browser of each person has one; the one that was used longest ago goes.
pub const WEB_SESSIONS_MAX: usize = 128;
/// A session that was not used for so many days has ended.
pub const WEB_SESSION_DAYS: u64 = 30;
/// Shortest password, in characters.
pub const PASSWORD_CHARACTERS_MIN: usize = 8;
/// Longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Memory of one password check (argon2id), in KiB: RFC 9106 wants as much as one can spare; OWASP's least with two passes.
pub const PASSWORD_MEMORY_KIB: u32 = 19 * 1024;
/// Passes of a password check.
pub const PASSWORD_PASSES: u32 = 2;
/// Password checks that wait for their turn; beyond, the caller is told to come again.
pub const PASSWORD_QUEUE_MAX: usize = 8;
/// Wrong passwords in a row from one address, or for one user, before there is a pause.
pub const ATTEMPTS_FREE: u32 = 3;
/// The first pause; it doubles with each wrong password...
pub const ATTEMPT_PAUSE_MIN: Span = Span::from_secs(1);
/// ... up to this.
pub const ATTEMPT_PAUSE_MAX: Span = Span::from_secs(300);
/// Addresses and users whose wrong passwords are remembered.
pub const ATTEMPTS_MAX: usize = 256;
/// Names by which the web page may be called beside those that only the local network knows.
pub const WEB_HOSTS_MAX: usize = 16;
/// Entries of a directory that the page is told when somebody looks for a place.
pub const DIRECTORIES_TOLD_MAX: usize = 2_000;

/// Longest body of a request, in bytes.
pub const HTTP_BODY_BYTES_MAX: usize = 1024 * 1024;
// The largest bodies are lists of files that are wanted, in base64.
const _: () = assert!(SELECTION_BYTES_MAX * 3 / 2 + SELECTION_RANGES_MAX * 16 < HTTP_BODY_BYTES_MAX);
/// What a connection buffers for reading, and again for writing, in bytes.
pub const HTTP_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// A request's head, and again its body, must arrive within this.
pub const HTTP_REQUEST_TIME_MAX: Span = Span::from_secs(15);
/// Of a body that is handed on piece by piece, the next piece must arrive within this.
pub const HTTP_PIECE_TIME_MAX: Span = Span::from_secs(600);
/// So much of a body that nobody wants is read, in bytes...
pub const HTTP_DRAIN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// ... for at most this long, so that the client sees why it was refused.
pub const HTTP_DRAIN_TIME_MAX: Span = Span::from_secs(5);
/// Bytes of the list of an archive's files that are kept in memory; a longer list (some 3,000 files) is kept on the disk.
pub const ZIP_LIST_BYTES_MAX: usize = 256 * 1024;
/// Files that the list of the classic routes has.
pub const CLASSIC_FILES_MAX: usize = 10_000;
/// Locks of WebDAV at once.
pub const DAV_LOCKS_MAX: usize = 1_000;
/// Longest time of a lock; programs renew theirs.
pub const DAV_LOCK_TIME_MAX: Span = Span::from_secs(3_600);
/// Longest path in an address of WebDAV, in bytes; longer ones are none that a folder can have.
pub const PATH_TEXT_BYTES_MAX: usize = 5 * 1024;
/// Restores into a directory of this node that run at once for the web page, each in a process of its own.
pub const RESTORES_MAX: usize = 4;
/// Uploads in parts at once: each holds what is cut of a file, about half a megabyte.
pub const UPLOADS_MAX: usize = 24;
/// ... and with those that ended and are remembered, lest their senders not know.
pub const UPLOADS_KEPT_MAX: usize = 256;
/// Where a new part takes the place of one whose connection is dead, it is looked so often whether that one has ended...
pub const TAKE_OVER_LOOKS: u32 = 100;
/// ... and after so long each.
pub const TAKE_OVER_PAUSE: Span = Span::from_millis(20);
/// An upload in parts that nothing was sent for in this time is given up: a laptop may sleep over a meeting. Until then nothing is
/// collected, and what came of it takes room on the disk.
pub const UPLOAD_IDLE_MAX: Span = Span::from_secs(4 * 3_600);
/// ... and one that nothing was sent for in this time makes way for a new one, where there are [`UPLOADS_MAX`].
pub const UPLOAD_IDLE_YIELDS: Span = Span::from_secs(600);
const _: () = assert!(UPLOAD_IDLE_YIELDS.as_micros() < UPLOAD_IDLE_MAX.as_micros());
/// Longest line, and longest single value, that the command line takes from a node, in bytes.
pub const ANSWER_LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The UDP port of a node, if it is free.
pub const NODE_PORT: u16 = 7117;
/// What is asked of the kernel for the socket's receive buffer, and again for sending, in bytes.
pub const UDP_BUFFER_BYTES: usize = 2 * 1024 * 1024;
/// Room for one datagram, or for many of one sender that the kernel has put together (UDP_GRO), in bytes.
pub const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;
/// Buffers filled by one call to the kernel. What is never filled costs no memory.
pub const RECEIVE_BUFFERS: usize = 4;
/// Datagrams taken from the socket before anything else is looked at, and the rest of what one call gave.
pub const DATAGRAMS_PER_TURN_MAX: usize = 64;
/// Datagrams sent before anything else is looked at, and the rest of a batch.
pub const TRANSMITS_PER_TURN_MAX: usize = 256;
/// Turns of sending that a node has for its last words: more than enough for a datagram to each peer.
pub const FAREWELL_TURNS_MAX: usize = 4;
/// Room for the datagrams that one call to the kernel sends, in bytes: the most that a kernel takes (UDP_SEGMENT).
pub const SEND_BATCH_BYTES_MAX: usize = 65_507;
/// Replies of the threads handed to the core before anything else is looked at: each may carry a chunk.
pub const REPLIES_PER_TURN_MAX: usize = 16;
/// Work of the core after which the sockets are looked at again (one chunk's work may exceed it).
pub const TURN_MAX: Span = Span::from_millis(1);
/// A socket that had nothing is asked again after this long, or when the system says that it has something.
pub const SOCKET_REST: Span = Span::from_micros(500);
/// Replies that a thread hands over at once, if it has more to do.
pub const REPLIES_TOGETHER_MAX: usize = 16;
/// The core is told that time passed no more often than this about a deadline that it left in the past.
pub const TICK_MIN: Span = Span::from_millis(1);
/// Announcements that wait to be looked at.
pub const SIGHTINGS_WAITING_MAX: usize = 64;
/// Who is announced on the network is told to the core this often.
pub const SIGHTINGS_EVERY: Span = Span::from_secs(4);
/// Listening to the network begins again after this long.
pub const MDNS_RETRY: Span = Span::from_secs(2);
/// What is done without a running node (init) must be done within this.
pub const ALONE_TIME_MAX: Span = Span::from_secs(60);
/// Interfaces are looked at again this often, by the node and by its mDNS: how late a pulled cable is noticed where nothing is sent. It is what
/// wakes a node at rest most often.
pub const INTERFACES_EVERY: Span = Span::from_secs(10);
/// With more turns than this between two looks at the interfaces a node was at work: when that is over, memory is given back.
pub const BUSY_TURNS: u32 = 200;
/// Looks at the node's threads in the time after which a service manager gives a node up.
pub const WATCHDOG_LOOKS: u64 = 4;
/// The file thread may stand in one call for so long before the node no longer counts as alive: a network disk comes back by itself, and a
/// restart would hang on it again.
pub const FILE_STALL_MAX: Span = Span::from_secs(1_800);
/// How things are is told to a service manager this often, if it has changed.
pub const STATUS_EVERY: Span = Span::from_secs(15);
/// The file thread closes what it has open when it was asked nothing for this long.
pub const FILE_REST: Span = Span::from_secs(5);

/// Directories that are watched for changes: eight bytes each here, about a kilobyte each in the kernel, which has a limit of
/// its own (one percent of the memory).
pub const WATCHES_MAX: usize = 262_144;
/// What has changed is read this long after it was read last: enough for the kernel to put equal events together, and so that
/// a file that is written all the time wakes the node ten times a second at most.
pub const WATCH_REST: Span = Span::from_millis(100);
/// Times that changes are read in one go; the rest is read after [`WATCH_REST`], or lost and made up for by a scan.
pub const WATCH_READS_MAX: usize = 64;

const _: () = assert!(DATAGRAM_BYTES_MAX <= SEND_BATCH_BYTES_MAX);
const _: () = assert!(OPEN_SOURCE_FILES_MAX * FIRST_BLOCK_BYTES > OPEN_AHEAD_BYTES);
const _: () = assert!(TURN_MAX.as_micros() < GROUP_DELAY_MAX.as_micros());
const _: () = assert!(DATAGRAM_BYTES_BASE < DATAGRAM_BYTES_MAX && DATAGRAM_BYTES_MAX < RECEIVE_BUFFER_BYTES);
