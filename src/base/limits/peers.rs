//! Bounds of packets, sessions and meeting other nodes.

use super::content::{FEED_ENTRY_BYTES_MAX, SEALED_BYTES_MAX};
use crate::base::units::Span;

/// Largest datagram of a network that carries 9,000 bytes, in bytes of UDP payload over IPv4.
pub const DATAGRAM_BYTES_MAX: usize = 8_972;
/// Datagram that every path takes, in bytes of UDP payload (fits IPv6's 1,280 minimum): all handshakes and pairing, and
/// data packets until the path has shown that it takes longer ones.
pub const DATAGRAM_BYTES_BASE: usize = 1_200;
/// Largest message on a lane, in bytes: a sealed chunk with its id and header.
pub const MESSAGE_BYTES_MAX: usize = SEALED_BYTES_MAX + 1_024;
/// What a message may have in front of its body without being copied together with it, in bytes: the head of a chunk.
pub const MESSAGE_HEAD_BYTES_MAX: usize = 36;
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
pub const ACK_PACKETS_MAX: u32 = 64;
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
/// Congestion window at the start, in datagrams: what Chromium gives QUIC (`kInitialCongestionWindow`), paced.
pub const WINDOW_DATAGRAMS_INITIAL: u64 = 32;
/// Of these, what goes at once (RFC 9002, section 7.2); the others are paced.
pub const FIRST_FLIGHT_DATAGRAMS: u64 = 10;
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
/// That takes this long, or a round trip if that is longer. Half of BBR's: it costs a jittery path most of its rate.
pub const BBR_PROBE_TRIP_TIME: Span = Span::from_millis(100);
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
/// Members' channel keys with which this node remembers what its own agrees on: 64 bytes each, and a tenth of the processor time of an
/// attempt to reach one.
pub const AGREED_KEYS_MAX: usize = 1_024;
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
