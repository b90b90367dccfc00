//! Every bound and timeout: unit, reason, and the relations that must hold between them.
//!
//! A number that limits a queue, a map, a retry, a wait or a length from outside stands here and nowhere else.

use super::units::Span;

// ---- cutting and sealing (file/, seal/) ----

/// Smallest piece that content-defined cutting makes, except at the end of a file, in bytes.
pub const CUT_BYTES_MIN: usize = 64 * 1024;
/// Mean piece, in bytes: a compromise of deduplication against index and request overhead.
pub const CUT_BYTES_MEAN: usize = 256 * 1024;
/// Largest piece, in bytes; a reader never needs more of a file than two of these.
pub const CUT_BYTES_MAX: usize = 1024 * 1024;
/// Largest sealed chunk, in bytes: the largest piece, Padme padding (at most 1/32 there), header and tag.
pub const SEALED_BYTES_MAX: usize = CUT_BYTES_MAX + CUT_BYTES_MAX / 16;
/// Content key epochs that a node keeps: one more for each full node that was removed.
pub const EPOCHS_MAX: usize = 128;
/// Files up to this size lie inside their tree entry, in bytes.
pub const INLINE_BYTES_MAX: usize = 4 * 1024;
/// A map node's target length, in bytes: a key closes its node with probability (its encoded length / this).
pub const NODE_BYTES_MEAN: usize = 32 * 1024;
/// A cut is forced when a map node is this long, in bytes.
pub const NODE_BYTES_MAX: usize = 512 * 1024;
/// Largest encoded map entry (key and value; inline content apart), in bytes.
pub const ENTRY_BYTES_MAX: usize = 64 * 1024;
/// A map deeper than this is corrupt: 32 KiB nodes of 100-byte entries hold 300^8 keys.
pub const MAP_LEVELS_MAX: u8 = 8;
/// Pieces of a file listed in its entry before the list moves into chunks of its own.
pub const PIECES_INLINE_MAX: usize = 256;

/// Where cutting becomes eager, in bytes: short of the mean by what makes the mean come out right.
pub const CUT_BYTES_NORMAL: usize = 210 * 1024;
/// Longest key of a map, in bytes: the longest path that Linux takes. With every key this long a node still holds
/// eight, and the levels below `MAP_LEVELS_MAX` sixteen million.
pub const MAP_KEY_BYTES_MAX: usize = 4 * 1024;
/// Longest tail of a map entry, in bytes: inline content that did not shrink, and one byte that says so.
pub const TAIL_BYTES_MAX: usize = INLINE_BYTES_MAX + 1;
/// Longest component of a path, in bytes: NAME_MAX of every file system that Linux mounts itself.
pub const COMPONENT_BYTES_MAX: usize = 255;
/// Longest target of a symbolic link, in bytes (PATH_MAX).
pub const TARGET_BYTES_MAX: usize = 4 * 1024;
/// Extended attributes of up to this length, encoded, stand in the entry; longer ones in a chunk of their own.
pub const ATTRIBUTES_HERE_BYTES_MAX: usize = 16 * 1024;
/// Longest encoded extended attributes of one file, in bytes: one chunk.
pub const ATTRIBUTES_BYTES_MAX: usize = CUT_BYTES_MAX;
/// Extended attributes of one file: Linux lists 64 KiB of names, none of them shorter than `user.x` and a zero.
pub const ATTRIBUTES_MAX: usize = 10_000;
/// Bytes of one ignore file that are read, in bytes; lines beyond are counted and not followed.
pub const IGNORE_FILE_BYTES_MAX: usize = 64 * 1024;

const _: () = assert!(CUT_BYTES_MIN < CUT_BYTES_MEAN && CUT_BYTES_MEAN < CUT_BYTES_MAX);
const _: () = assert!(CUT_BYTES_MIN < CUT_BYTES_NORMAL && CUT_BYTES_NORMAL < CUT_BYTES_MEAN);
const _: () = assert!(MAP_KEY_BYTES_MAX * 8 <= NODE_BYTES_MEAN && MAP_KEY_BYTES_MAX < ENTRY_BYTES_MAX);
// An entry holds a key, a link's target or a list of pieces, and attributes: all of them together fit.
const _: () = assert!(
    MAP_KEY_BYTES_MAX + ATTRIBUTES_HERE_BYTES_MAX + TARGET_BYTES_MAX + PIECES_INLINE_MAX * 48
        < ENTRY_BYTES_MAX
);
const _: () = assert!(NODE_BYTES_MAX + ENTRY_BYTES_MAX + INLINE_BYTES_MAX < CUT_BYTES_MAX);

// ---- feeds (feed/) ----

/// Longest signed feed entry, in bytes; a receipt's bitmap (512) and a sealed folder description fit well.
pub const FEED_ENTRY_BYTES_MAX: usize = 16 * 1024;
/// Longest chain of Admit entries from the root to a node; it must fit the first handshake packet.
pub const ADMIT_CHAIN_MAX: usize = 4;
/// Most members of a vault that this version keeps in memory.
pub const MEMBERS_MAX: usize = 1024;
/// Longest name of a node, a site or a folder, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Addresses in one Describe: several interfaces, two families.
pub const ADDRESSES_MAX: usize = 16;
/// Feeds of a removed node that its Remove names; a node begins a new one only after a disaster.
pub const REMOVE_HEADS_MAX: usize = 64;
/// What an Alert is about (an id, at most two), in bytes.
pub const ALERT_ABOUT_BYTES_MAX: usize = 64;
/// Longest sealed text in an entry (a folder's description), in bytes; the envelope must fit beside it.
pub const SEALED_TEXT_BYTES_MAX: usize = 12 * 1024;
/// Longest path of a folder's directory, in bytes: what Linux takes (PATH_MAX).
pub const DIRECTORY_BYTES_MAX: usize = 4 * 1024;
/// Ignore patterns of one folder.
pub const IGNORE_GLOBS_MAX: usize = 256;
/// Longest ignore pattern, in bytes.
pub const GLOB_BYTES_MAX: usize = 1024;
/// Feeds that a view follows: every member began a few.
pub const FEEDS_MAX: usize = 4 * MEMBERS_MAX;
/// Entries of one feed that a view follows; ten a day are 270 years of them, and a node may begin a new feed.
pub const FEED_ENTRIES_MAX: usize = 1_000_000;
/// Admit and Remove entries of one feed that count; those after these are void.
pub const ROSTER_FACTS_PER_FEED_MAX: usize = 2 * MEMBERS_MAX;

const _: () = assert!(SEALED_TEXT_BYTES_MAX + 1024 <= FEED_ENTRY_BYTES_MAX);
const _: () = assert!(REMOVE_HEADS_MAX * 90 + 256 < FEED_ENTRY_BYTES_MAX);
const _: () = assert!(DIRECTORY_BYTES_MAX + NAME_BYTES_MAX < SEALED_TEXT_BYTES_MAX);

// ---- wire and peers (wire/, peer/) ----

/// Largest datagram of a network that carries 9,000 bytes, in bytes of UDP payload over IPv4.
pub const DATAGRAM_BYTES_MAX: usize = 8_972;
/// Datagram that every path takes, in bytes of UDP payload (fits IPv6's 1,280 minimum): all handshakes and pairing, and
/// data packets until the path has shown that it takes longer ones.
pub const DATAGRAM_BYTES_BASE: usize = 1_200;
/// Largest message on a lane, in bytes: a sealed chunk with its id and header.
pub const MESSAGE_BYTES_MAX: usize = SEALED_BYTES_MAX + 1_024;
/// Ranges of packet numbers kept and sent in an acknowledgement; older gaps have been repaired long since.
pub const ACK_RANGES_MAX: usize = 32;
/// Longest text in a Close frame, in bytes; it is for a log line.
pub const CLOSE_TEXT_BYTES_MAX: usize = 64;
/// Credit that each lane of each session always has beyond what was taken, in bytes: Control, Interactive, Bulk,
/// Background. A first flight of ten datagrams on one of the middle lanes needs no more.
pub const LANE_CREDIT_BYTES: [u64; 4] = [8 * 1024, 12 * 1024, 12 * 1024, 4 * 1024];
/// Most credit beyond what was taken that a lane is given while it receives, in bytes: what keeps 50 Mbit/s over 100 ms
/// busy for four round trips, as long as a repair may take.
pub const LANE_WINDOW_BYTES: [u64; 4] = [256 * 1024, 2_560 * 1024, 2_560 * 1024, 1_280 * 1024];
/// Whole messages of a lane that wait to be taken; more stay bytes, so that tiny messages cannot multiply in memory.
pub const READY_MESSAGES_MAX: usize = 16;
/// Separate ranges of bytes beyond a gap that a lane's receiver keeps, powers of two; a packet that would add one is not
/// acknowledged. A window of Bulk on a link that loses a tenth makes about 200.
pub const LANE_GAPS_MAX: [usize; 4] = [32, 128, 256, 128];
/// Withdrawn parts of a lane that its receiver keeps until it has come to them.
pub const LANE_SKIPS_MAX: usize = 8;
/// What a lane's receiver may need beyond its credit, ranges apart, in bytes: parts of two pages, lists.
pub const LANE_FIXED_BYTES: usize = 3_584;
/// Memory of all sessions' receivers together, in bytes.
pub const RECEIVE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Memory of one session's receiver, in bytes.
pub const RECEIVE_SESSION_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Credit beyond the lanes' own that all sessions share, in bytes. A sixteenth of it more is memory for lists of pages.
pub const POOL_BYTES: u64 = 3_840 * 1024;
/// Of it, one session at the most, in bytes.
pub const POOL_SESSION_BYTES_MAX: u64 = 3_584 * 1024;
/// Of it, kept for whole messages, in bytes: as long as one of any length can be completed, all can, one by one.
pub const POOL_MESSAGE_BYTES: u64 = 1_090 * 1024;
/// Of it, kept for messages of Control and Interactive, in bytes.
pub const POOL_URGENT_BYTES: u64 = 128 * 1024;
/// While others wait, who was given credit must use some of it this often...
pub const CREDIT_PATIENCE: Span = Span::from_secs(10);
/// ... namely this many bytes (26 kbit/s), or all of it.
pub const CREDIT_PACE_BYTES: u64 = 32 * 1024;
/// A limit of bandwidth lets pass at once what it would let pass in this long...
pub const BANDWIDTH_BURST_SPAN: Span = Span::from_millis(10);
/// ... at least this much, in bytes: two datagrams...
pub const BANDWIDTH_STEP_BYTES_MIN: u64 = 2_400;
/// ... and at most this much, in bytes.
pub const BANDWIDTH_STEP_BYTES_MAX: u64 = 64 * 1024;
/// A sender says how far a lane is queued when that has grown by this, in bytes, or the credit covers what it said.
pub const LANE_WANT_STEP_BYTES: u64 = 32 * 1024;
/// Part of the send queue that only Control and Interactive may fill, in bytes, so that bulk cannot lock them out.
pub const SEND_QUEUE_URGENT_BYTES: usize = 512 * 1024;
/// Part of the send queue that Background may not fill, in bytes, so that it cannot lock bulk out.
pub const SEND_QUEUE_BULK_BYTES: usize = 1_280 * 1024;
/// Packets behind the newest that are still told from replays.
pub const REPLAY_WINDOW_PACKETS: u64 = 2_048;
/// Packet numbers end here (RFC 9001, section 6.6, allows 2^62 for this cipher); the session closes and is replaced.
pub const PACKET_NUMBER_MAX: u64 = 1 << 60;
/// Forged packets that a key may meet (RFC 9001, section 6.6: 2^36 for this cipher); then the session closes.
pub const FORGED_PACKETS_MAX: u64 = 1 << 36;
/// An acknowledgement waits for company at most this long.
pub const ACK_DELAY_MAX: Span = Span::from_millis(25);
/// ... and for at most this many packets that ask for one; a sender that waits asks at once.
pub const ACK_PACKETS_MAX: u32 = 16;
/// A sender asks for an answer at once this many times a round trip, so that the window is fed in small pieces...
pub const ANSWERS_PER_TRIP: u64 = 8;
/// ... but no more often than this: an answer costs as much as a packet.
pub const ANSWER_SPAN_MIN: Span = Span::from_micros(250);
/// Packets acknowledged one by one after a gap, so that a loss is proven soon; at least the reordering threshold.
pub const ACK_URGENT_PACKETS: u32 = 3;
/// A packet is lost when one this much younger is acknowledged (RFC 9002, section 6.1.1)...
pub const REORDER_PACKETS_MIN: u64 = 3;
/// ... a threshold that grows to at most this where the path is seen to reorder.
pub const REORDER_PACKETS_MAX: u64 = 128;
/// Lost packets remembered to notice that they were only late.
pub const LOST_REMEMBERED_MAX: usize = 256;
/// Timers are not set finer than this (RFC 9002, section 6.1.2).
pub const TIMER_GRANULARITY: Span = Span::from_millis(1);
/// The round trip before one was measured; a handshake has just been answered in less.
pub const RTT_INITIAL: Span = Span::from_millis(100);
/// Probes are sent at least this often while something is unacknowledged, however far the probe timeout has backed off.
pub const PROBE_TIMEOUT_MAX: Span = Span::from_secs(8);
/// Packets sent when the probe timeout fires (RFC 9002, section 6.2.4).
pub const PROBE_PACKETS: u8 = 2;
/// Losses over this many probe timeouts mean that the path has changed (RFC 9002, section 7.6.1).
pub const PERSISTENT_CONGESTION_TIMEOUTS: u64 = 3;
/// Congestion window at the start, in datagrams (RFC 9002, section 7.2).
pub const WINDOW_DATAGRAMS_INITIAL: u64 = 10;
/// Smallest congestion window, in datagrams: enough to prove a loss by the packets after it.
pub const WINDOW_DATAGRAMS_MIN: u64 = 4;
/// Largest congestion window, in bytes; flow control and the send queue end sooner.
pub const WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Most that pacing lets go at once, in bytes: a few batches of the kernel.
pub const PACING_BURST_BYTES_MAX: u64 = 256 * 1024;
/// Pacing lets go at once what it would let go in this long (finer timers cost more than they smooth)...
pub const PACING_BURST_SPAN: Span = Span::from_millis(1);
/// ... or in this long, where the round trip is short.
pub const PACING_BURST_SPAN_MIN: Span = Span::from_micros(250);
/// The shortest round trip is measured anew when nothing has confirmed it for this long, as in BBRv3.
pub const BBR_PROBE_TRIP_EVERY: Span = Span::from_secs(5);
/// That takes this long, or a round trip if that is longer (BBR: 200 ms).
pub const BBR_PROBE_TRIP_TIME: Span = Span::from_millis(200);
/// Between two probes for more bandwidth lie at least this and six round trips: every probe costs a queue.
pub const BBR_CRUISE_MIN: Span = Span::from_millis(200);
/// Least and most queue that background work leaves standing: below it, timers and radios look like a queue.
pub const LEDBAT_TARGET_MIN: Span = Span::from_millis(2);
/// See [`LEDBAT_TARGET_MIN`]: what the smallest home router buffers at the least.
pub const LEDBAT_TARGET_MAX: Span = Span::from_millis(15);
/// Probes of one datagram length that are lost before a shorter one is tried (RFC 8899, section 5.1.2: MAX_PROBES).
pub const PATH_PROBES_MAX: u8 = 3;
/// Longer datagrams are tried again after this long (RFC 8899, section 5.1.1: PMTU_RAISE_TIMER).
pub const PATH_SEARCH_EVERY: Span = Span::from_secs(600);
/// Probe timeouts in a row after which datagrams are of base length again (RFC 8899, section 4.3).
pub const PROBE_TIMEOUTS_BLACK_HOLE: u32 = 3;
/// Of the packets that carry lanes, one in this many begins with a lane that is not the most urgent.
pub const LANE_SHARE_PACKETS: u32 = 8;
/// Close datagrams that answer packets of a peer that has not noticed.
pub const FAREWELLS_MAX: u8 = 3;
/// Unacknowledged and queued bytes that a sender keeps for one session, in bytes.
pub const SEND_QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Ids in one Get, Missing, Offer or Want.
pub const IDS_PER_MESSAGE_MAX: usize = 64;
/// Feed heads in one message.
pub const HEADS_PER_MESSAGE_MAX: usize = 256;
/// Entry bytes in one message, in bytes.
pub const FEED_ENTRIES_MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Entries in one message, so that small ones do not cost more memory than bytes.
pub const FEED_ENTRIES_PER_MESSAGE_MAX: usize = 512;
/// Nodes named in one answer to Who.
pub const SIGHTINGS_PER_MESSAGE_MAX: usize = 8;
/// Addresses of one of them.
pub const ADDRESSES_PER_MESSAGE_MAX: usize = 8;
/// Established sessions at once; beyond, nodes talk through lookup (a later version).
pub const SESSIONS_MAX: usize = 64;
/// Handshakes begun and not answered yet, at once.
pub const HANDSHAKES_BEGUN_MAX: usize = 64;
/// Handshakes answered and not completed yet, at once; the oldest goes first.
pub const HANDSHAKES_ANSWERED_MAX: usize = 64;
/// Of these, with one node: what is sent again and again (or replayed) does not drive others out.
pub const HANDSHAKES_ANSWERED_PER_NODE_MAX: usize = 4;
/// A handshake's first message is sent again after this long, then after twice as long, and so on.
pub const HANDSHAKE_WAIT_FIRST: Span = Span::from_millis(500);
/// A handshake that is not complete after this long is given up; four repetitions fit.
pub const HANDSHAKE_TIME_MAX: Span = Span::from_secs(10);
/// First messages whose MAC is remembered once they led to a session.
pub const HANDSHAKE_MACS_MAX: usize = 256;
/// New first messages with a right MAC in a second; where there are more, their senders are asked for cookies. A
/// household has a handful, and each costs a small machine about a millisecond.
pub const HANDSHAKE_LOAD_PER_SECOND: u32 = 32;
/// Of these, with a true cookie, from one source.
pub const HANDSHAKE_SOURCE_PER_SECOND: u32 = 8;
/// Sources that are told apart within a second; others have to wait for the next.
pub const HANDSHAKE_SOURCES_MAX: usize = 64;
/// The secret that cookies come from is used for this long, and accepted for as long again (WireGuard: two minutes).
pub const COOKIE_SECRET_TIME: Span = Span::from_secs(120);
/// A first message is answered again so often: five are sent, some of them twice by the network.
pub const HANDSHAKE_REPEATS_MAX: u8 = 8;
/// Two nodes that knock at each other's door at once: the one whose handshake will win leaves the other's unanswered
/// for this long.
pub const SIMULTANEOUS_WAIT: Span = Span::from_secs(2);
/// Datagrams of handshakes and pairing that wait to be sent.
pub const OUTBOX_DATAGRAMS_MAX: usize = 256;
/// A session with nothing to say proves its life this often, unless configured otherwise: Ping and Ack are two packets
/// then in 50 seconds.
pub const SESSION_KEEPALIVE: Span = Span::from_secs(50);
/// A silent session is closed after as many keepalives.
pub const SESSION_KEEPALIVES_IDLE: u64 = 3;
/// A silent session is closed after this long, where the keepalive is the usual one.
pub const SESSION_IDLE_MAX: Span = SESSION_KEEPALIVE.times(SESSION_KEEPALIVES_IDLE);
/// A session is given up when a packet that asks for an answer has waited this long, and nothing at all came.
pub const SESSION_ANSWER_MAX: Span = Span::from_secs(60);
/// Of two nodes, the one that is not to begin proves its life so much later: it need not, if the other does.
pub const KEEPALIVE_SECOND: Span = Span::from_secs(5);
/// Shortest keepalive that can be configured: what the most forgetful routers ask for.
pub const KEEPALIVE_MIN: Span = Span::from_secs(10);
/// Longest keepalive that can be configured.
pub const KEEPALIVE_MAX: Span = Span::from_secs(3_600);
/// A key seals this many packets before the next generation begins; far below what its cipher allows.
pub const KEY_PACKETS_MAX: u64 = 1 << 32;
/// ... or for this long, so that a key that is stolen from memory opens little of what was recorded.
pub const KEY_TIME_MAX: Span = Span::from_secs(3_600);
/// A peer's last key still opens packets that are late for this long, and is wiped then: longer than a probe waits.
pub const KEY_LINGER: Span = Span::from_secs(10);
/// A closed session says so to a peer that goes on, for this long.
pub const FAREWELL_TIME: Span = Span::from_secs(3);
/// Nodes sighted on the local network that are remembered; the one not seen for longest goes first.
pub const SIGHTINGS_MAX: usize = 128;
/// A neighbour that is connected for this long and was not sighted in it shows that multicast does not get through.
pub const SIGHTING_OVERDUE: Span = Span::from_secs(600);
/// Longest name of an announcement, in bytes (a DNS label).
pub const INSTANCE_BYTES_MAX: usize = 63;
/// Digits of a pairing code.
pub const PAIRING_CODE_DIGITS: usize = 8;
/// Answered attempts at one invitation before it closes.
pub const PAIRING_ATTEMPTS_MAX: u8 = 5;
/// An invitation closes after this long.
pub const PAIRING_TIME_MAX: Span = Span::from_secs(600);
/// Bytes that a joiner says of itself, encrypted.
pub const PAIRING_HELLO_BYTES_MAX: usize = 600;
/// Bytes that the inviter answers, encrypted.
pub const PAIRING_PAYLOAD_BYTES_MAX: usize = 8 * 1024;
/// Of these in one datagram; a joiner's datagrams are always longer.
pub const PAIRING_PART_BYTES_MAX: usize = 1_000;
/// Addresses at which one node tries to join at once.
pub const PAIRING_JOINS_MAX: usize = 8;
/// A joiner asks again after this long.
pub const PAIRING_WAIT: Span = Span::from_millis(500);
/// A joiner gives up when nothing has come back for this long.
pub const PAIRING_SILENCE_MAX: Span = Span::from_secs(10);
/// An answered attempt that is not confirmed after this long is a failed one.
pub const PAIRING_CONFIRM_TIME_MAX: Span = Span::from_secs(30);
/// A closed invitation still repeats its last answers for this long.
pub const PAIRING_LINGER: Span = Span::from_secs(30);

const _: () = assert!(
    SESSION_KEEPALIVE.as_micros() >= 50_000_000,
    "one packet in 25 seconds, both directions together"
);
const _: () = assert!(
    KEEPALIVE_SECOND.as_micros() < KEEPALIVE_MIN.as_micros() && KEEPALIVE_MAX.as_micros() < 65_536_000_000
);
const _: () = assert!(PROBE_TIMEOUT_MAX.as_micros() < KEY_LINGER.as_micros());
const _: () = assert!(KEY_PACKETS_MAX < PACKET_NUMBER_MAX && MESSAGE_BYTES_MAX < SEND_QUEUE_BYTES_MAX);
const _: () = assert!(HANDSHAKE_WAIT_FIRST.as_micros() * 15 < HANDSHAKE_TIME_MAX.as_micros());
const _: () = assert!(SIMULTANEOUS_WAIT.as_micros() * 2 < HANDSHAKE_TIME_MAX.as_micros());
const _: () = assert!(PAIRING_PART_BYTES_MAX + 64 < DATAGRAM_BYTES_BASE);
const _: () = assert!(PAIRING_HELLO_BYTES_MAX + 128 < DATAGRAM_BYTES_BASE);
const _: () = assert!(PAIRING_PAYLOAD_BYTES_MAX <= PAIRING_PART_BYTES_MAX * 16);
const _: () = assert!(
    MESSAGE_BYTES_MAX + 4 <= SEND_QUEUE_BYTES_MAX - SEND_QUEUE_URGENT_BYTES - SEND_QUEUE_BULK_BYTES,
    "a largest message fits into the part that every lane may fill"
);
const _: () = {
    let credit = LANE_CREDIT_BYTES[0] + LANE_CREDIT_BYTES[1] + LANE_CREDIT_BYTES[2] + LANE_CREDIT_BYTES[3];
    let gaps = LANE_GAPS_MAX[0] + LANE_GAPS_MAX[1] + LANE_GAPS_MAX[2] + LANE_GAPS_MAX[3];
    assert!(credit <= 64 * 1024, "a session that says nothing costs little");
    let fixed = (4 * LANE_FIXED_BYTES + 16 * gaps) as u64;
    let all = SESSIONS_MAX as u64 * (credit + credit / 16 + fixed) + POOL_BYTES + POOL_BYTES / 16;
    assert!(all <= RECEIVE_BYTES_MAX as u64, "what all sessions may hold");
    let one = credit + credit / 16 + fixed + POOL_SESSION_BYTES_MAX + POOL_SESSION_BYTES_MAX / 16;
    assert!(one <= RECEIVE_SESSION_BYTES_MAX as u64, "what one session may hold");
    assert!(MESSAGE_BYTES_MAX as u64 + 4 <= POOL_MESSAGE_BYTES);
    assert!(
        POOL_MESSAGE_BYTES + POOL_URGENT_BYTES < POOL_SESSION_BYTES_MAX
            && POOL_SESSION_BYTES_MAX < POOL_BYTES
    );
};
const _: () = assert!(CREDIT_PATIENCE.as_micros() < SESSION_IDLE_MAX.as_micros());
const _: () = assert!(ACK_DELAY_MAX.as_micros() < RTT_INITIAL.as_micros());
const _: () = assert!(PROBE_TIMEOUT_MAX.as_micros() * 3 < SESSION_ANSWER_MAX.as_micros());
const _: () = assert!(WINDOW_DATAGRAMS_MIN < WINDOW_DATAGRAMS_INITIAL && WINDOW_BYTES_MAX > 16 * 8_972);
const _: () = assert!(FEED_ENTRY_BYTES_MAX < FEED_ENTRIES_MESSAGE_BYTES_MAX);

// ---- store (store/) ----

/// Length at which a segment file is closed and the next begun, in bytes.
pub const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A group of chunks is synced at the latest when this much is unsynced, in bytes.
pub const GROUP_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// ... or after this long.
pub const GROUP_DELAY_MAX: Span = Span::from_millis(200);
/// Ids in one page of a set or a scan.
pub const PAGE_IDS_MAX: usize = 1_024;
/// Free bytes kept so that reading, restoring and collecting always work.
pub const RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// A group of chunks is synced at the latest when it has this many: their bookkeeping is what a group keeps in memory.
pub const GROUP_CHUNKS_MAX: usize = 4 * 1024;
/// Index entries in memory before they become a run: about 1.3 MiB as a sorted map.
pub const DELTA_ENTRIES_MAX: usize = 16 * 1024;
/// Runs of one size before they are merged: more means less writing and more reading.
pub const RUNS_PER_TIER: usize = 4;
/// Runs merged at once, each with a block in memory.
pub const MERGE_RUNS_MAX: usize = 16;
/// Entries merged for each chunk stored: above the number of tiers that 100 million chunks make, so merging keeps up.
pub const MERGE_STEPS_PER_CHUNK: usize = 10;
/// Ids of all temporary sets in memory, before they go to disk: 1 MiB.
pub const SET_IDS_IN_MEMORY_MAX: usize = 32 * 1024;
/// Temporary sets at once.
pub const SETS_MAX: usize = 64;
/// Files of one temporary set before they are merged; each has a block in memory while a page is read.
pub const SET_RUNS_MAX: usize = 64;
/// Cache of the database of small state, in bytes.
pub const STATE_CACHE_BYTES: usize = 512 * 1024;
/// Longest name of a setting, in bytes.
pub const SETTING_NAME_BYTES_MAX: usize = 256;
/// Longest value of a setting, in bytes.
pub const SETTING_VALUE_BYTES_MAX: usize = 1024 * 1024;
/// Most feed entry bytes in one page, whatever was asked for, in bytes.
pub const ENTRIES_PAGE_BYTES_MAX: usize = 256 * 1024;

const _: () = assert!(GROUP_CHUNKS_MAX <= DELTA_ENTRIES_MAX && PAGE_IDS_MAX <= SET_IDS_IN_MEMORY_MAX);
const _: () = assert!(RUNS_PER_TIER >= 2 && RUNS_PER_TIER <= MERGE_RUNS_MAX);
const _: () = assert!(FEED_ENTRY_BYTES_MAX <= ENTRIES_PAGE_BYTES_MAX);

// ---- node (node/) ----

/// Chunk requests on their way at once, over all peers: their bytes are what a fetch keeps in memory.
pub const FETCH_CHUNKS_MAX: usize = 16;
/// Of these, on their way to one peer.
pub const FETCH_CHUNKS_PER_PEER_MAX: usize = 8;
/// What was asked of a peer that has sent nothing of it for this long is asked of the next one.
pub const FETCH_TIMEOUT: Span = Span::from_secs(20);
/// Bytes that a peer must send within that time to count as sending, in bytes: more than its acknowledgements and signs of
/// life, and what a line of 7 kbit/s carries.
pub const FETCH_PROGRESS_BYTES_MIN: u64 = 16 * 1024;
/// A peer that has sent this many chunks which were asked of it later has passed one over: it is asked of the next one.
pub const FETCH_PASSED_CHUNKS_MAX: usize = 32;
/// Chunk reads for one peer that are on their way from the disk at once.
pub const SERVE_CHUNKS_PER_PEER_MAX: usize = 4;
/// Requested ids that one peer may have waiting here.
pub const SERVE_QUEUE_PER_PEER_MAX: usize = 64;
/// Fetched bytes that wait for a sync; above, nothing more is fetched. More than a group, or the two would wait for each other.
pub const UNSYNCED_BYTES_MAX: u64 = GROUP_BYTES_MAX + GROUP_BYTES_MAX / 2;
/// Calls of the API at once; more are refused.
pub const CALLS_MAX: usize = 64;
/// A backup that waits for copies gives up this long after the last device that could make one was heard.
pub const WAIT_FOR_PEERS_MAX: Span = Span::from_secs(15);
/// ... or after this long without progress, when a connected device still owes a copy.
pub const WAIT_FOR_STALLED_MAX: Span = Span::from_secs(60);
/// A share that could not be had is tried again after this long (or when a peer comes up).
pub const KEEP_RETRY: Span = Span::from_secs(30);
/// Init, join and recover are given up after this long without an end.
pub const ENTER_TIME_MAX: Span = Span::from_secs(30);
/// What would write an entry waits this long for a peer's word on the own feed: time to reach one after start, a handshake
/// that is given up included.
pub const CONFIRM_WAIT_MAX: Span = Span::from_secs(15);
/// Folders of a vault.
pub const FOLDERS_MAX: usize = 256;
/// After start every folder is scanned this soon, so that what was interrupted is completed.
pub const SCAN_AFTER_START: Span = Span::from_secs(3);
/// First and longest pause between attempts to reach a member.
pub const CONNECT_PAUSE_MIN: Span = Span::from_secs(1);
/// Of several addresses of one node, the next is tried this long after the one before (RFC 8305, section 5).
pub const CONNECT_STAGGER: Span = Span::from_millis(250);
/// A packet of an unknown session, which anybody can send, hastens the next attempt at its sender this often.
pub const CONNECT_HINT_EVERY: Span = Span::from_secs(5);
/// See [`CONNECT_PAUSE_MIN`].
pub const CONNECT_PAUSE_MAX: Span = Span::from_secs(60);
/// Addresses remembered for unconnected announcers.
pub const REACH_ADDRESSES_MAX: usize = 256;
/// Pieces of an answer that wait for a slow client.
pub const CALL_PIECES_MAX: usize = 4;
/// Entries of the activity log kept in memory.
pub const ACTIVITY_ENTRIES_MAX: usize = 1_000;
/// Names of one directory listed at once, in bytes of names; larger directories are listed in passes.
pub const LIST_BYTES_MAX: usize = 1024 * 1024;
/// Files whose first block is read ahead of the one being cut.
pub const READ_AHEAD_FILES: usize = 16;

const _: () = assert!(FETCH_CHUNKS_PER_PEER_MAX <= FETCH_CHUNKS_MAX);
const _: () = assert!(FETCH_PASSED_CHUNKS_MAX >= 2 * FETCH_CHUNKS_PER_PEER_MAX);
const _: () = assert!(HANDSHAKE_TIME_MAX.as_micros() < CONFIRM_WAIT_MAX.as_micros());
const _: () = assert!(FETCH_CHUNKS_PER_PEER_MAX <= SERVE_QUEUE_PER_PEER_MAX);

// ---- duties (node/backup.rs, restore.rs, list.rs, verify.rs) ----

/// Bytes of listings that a scan keeps over all levels of a deep tree; beyond, the upper ones are listed again.
pub const SCAN_BYTES_MAX: usize = 2 * LIST_BYTES_MAX;
/// What an item of a listing costs beside its name, in bytes of memory.
pub const LIST_ITEM_BYTES: usize = 128;
/// Content bytes read with the opening of a file.
pub const FIRST_BLOCK_BYTES: usize = 256 * 1024;
/// Content bytes of each later read of a file.
pub const NEXT_BLOCK_BYTES: usize = 512 * 1024;
/// Shorter holes of sparse files are kept as zeros: a list of tiny pieces costs more than zeros that compress.
pub const HOLE_BYTES_MIN: u64 = 64 * 1024;
/// A file that grew by this much while it was read is cut off there, and read again.
pub const GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A file that changed while it was read is read so often in all before it is stored as torn.
pub const READ_ATTEMPTS_MAX: u8 = 3;
/// Changes this shortly before a scan may hide behind an equal stat: they are read again at the next one.
pub const RACY_SPAN: Span = Span::from_secs(3);
/// Entries that wait between the comparison and the tree, in bytes.
pub const SCAN_QUEUE_BYTES_MAX: usize = 512 * 1024;
/// Steps of a walk in one turn of the main thread, each about a microsecond.
pub const STEPS_PER_TURN_MAX: usize = 1_024;
/// Sealed bytes on their way to the store; more than a group, or the two would wait for each other.
pub const PUT_BYTES_MAX: u64 = GROUP_BYTES_MAX + GROUP_BYTES_MAX / 2;
/// Pages of ids on their way into a temporary set.
pub const SET_PAGES_MAX: usize = 8;
/// Paths that a report names; more are counted.
pub const REPORTED_PATHS_MAX: usize = 100;
/// Names of a directory that are looked at to find the nearest to one that is not there.
pub const NEAREST_NAMES_MAX: usize = 2_000;
/// Content chunks that a restore asks for ahead.
pub const RESTORE_CHUNKS_MAX: usize = 8;
/// Entries, holes and chunks of a restore that wait for those before them.
pub const RESTORE_PARTS_MAX: usize = 128;
/// Map nodes that a walk asks for beyond the one that it needs.
pub const NODES_AHEAD_MAX: usize = 3;
/// Small frames of a restore are sent together up to this length, in bytes.
pub const RESTORE_BATCH_BYTES: usize = 64 * 1024;

const _: () = assert!(FIRST_BLOCK_BYTES > INLINE_BYTES_MAX && NEXT_BLOCK_BYTES <= CUT_BYTES_MAX);
const _: () = assert!(PUT_BYTES_MAX > GROUP_BYTES_MAX + 2 * 1024 * 1024);

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
/// How long a node may take to end after whoever started it went away.
pub const EXIT_TIME_MAX: Span = Span::from_secs(10);

const _: () = assert!(PEER_ADDRESSES_MAX <= SESSIONS_MAX);

// ---- outside (io/) ----

/// Longest path of a Unix socket, in bytes: `sun_path` without its NUL.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Entries of one page of a directory: what lies in memory with their stats.
pub const LIST_ITEMS_MAX: usize = 1_024;
/// Directories whose remaining names are kept between pages; each takes up to [`LIST_BYTES_MAX`].
pub const OPEN_LISTINGS_MAX: usize = 3;
/// Folder roots that are kept open.
pub const OPEN_ROOTS_MAX: usize = 32;
/// Files that are kept open between two of their blocks.
pub const OPEN_SOURCE_FILES_MAX: usize = 2 * READ_AHEAD_FILES;
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
/// Longest body of a request, in bytes.
pub const HTTP_BODY_BYTES_MAX: usize = 1024 * 1024;
/// What a connection buffers for reading, and again for writing, in bytes.
pub const HTTP_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// A request's head, and again its body, must arrive within this.
pub const HTTP_REQUEST_TIME_MAX: Span = Span::from_secs(15);
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
/// Room for the datagrams that one call to the kernel sends, in bytes: the most that a kernel takes (UDP_SEGMENT).
pub const SEND_BATCH_BYTES_MAX: usize = 65_507;
/// Replies of the threads handed to the core before anything else is looked at: each may carry a chunk.
pub const REPLIES_PER_TURN_MAX: usize = 16;
/// Work of the core after which the sockets are looked at again (one chunk's work may exceed it).
pub const TURN_MAX: Span = Span::from_millis(1);
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
/// Interfaces are looked at again this often: how late a pulled cable is noticed where nothing is sent.
pub const INTERFACES_EVERY: Span = Span::from_secs(5);
/// The file thread closes what it has open when it was asked nothing for this long.
pub const FILE_REST: Span = Span::from_secs(5);

const _: () = assert!(DATAGRAM_BYTES_MAX <= SEND_BATCH_BYTES_MAX);
const _: () = assert!(OPEN_SOURCE_FILES_MAX > READ_AHEAD_FILES);
const _: () = assert!(TURN_MAX.as_micros() < GROUP_DELAY_MAX.as_micros());
const _: () = assert!(DATAGRAM_BYTES_BASE < DATAGRAM_BYTES_MAX && DATAGRAM_BYTES_MAX < RECEIVE_BUFFER_BYTES);
