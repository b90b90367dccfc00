//! Why a session ends, why it refuses a packet or a message, and what it counts.
//!
//! Owns the words and the numbers of the Close frame. Refuses to decide: [`super::session`] does.

use super::recv::LaneError;
use crate::base::units::Span;
use core::fmt;

/// Why a session is closed, for programs; the numbers are those of the Close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// The node stops, or no longer needs the session.
    Done,
    /// A newer session with the same node has taken over.
    Replaced,
    /// The node is no longer a member.
    Removed,
    /// A payload was no sequence of frames.
    BadFrame,
    /// A packet was acknowledged that was never sent.
    BadAck,
    /// Bytes beyond the credit.
    FlowControl,
    /// A message's length is impossible, or (said by the layer above) its content is.
    BadMessage,
    /// A key has done all it may.
    Exhausted,
    /// Credit was asked for and given, others waited for it, and it was not used.
    Sitting,
    /// The node holds as many sessions as it may, and others need theirs more.
    Crowded,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// We closed it.
    Local(CloseCode),
    /// The peer closed it.
    Peer {
        /// Its code, perhaps one that we do not know.
        code: u16,
        /// What it said; never to be trusted.
        text: String,
    },
    /// Nothing came for too long (`life.rs`).
    Idle,
}

/// Why a packet was not taken; it is dropped and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionError {
    /// It was not sealed by the peer for this session.
    Forged,
    /// It was taken before, or is too old to tell.
    Replayed,
    /// The session is closed.
    Closed,
    /// It lies beyond too many gaps; the peer will send it again.
    Crowded,
    /// The peer broke the rules, and the session is closed for it.
    Violation(CloseCode),
}

/// Why a message was not queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The queue is full; the message (its body) comes back. Try again when [`room`](super::session::Session::room) says so.
    Full(Vec<u8>),
    /// It is longer than `MESSAGE_BYTES_MAX`.
    TooLong,
    /// It is empty.
    Empty,
    /// The session is closed.
    Closed,
}

/// What a session has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Smoothed round trip, once measured.
    pub rtt: Option<Span>,
    /// Datagram bytes sent.
    pub sent_bytes: u64,
    /// Datagram bytes received and authenticated.
    pub received_bytes: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Packets received and authenticated.
    pub received_packets: u64,
    /// Packets declared lost.
    pub lost_packets: u64,
    /// Of these, packets that were only late.
    pub spurious_packets: u64,
    /// Bytes of lanes that were sent more than once.
    pub retransmitted_bytes: u64,
    /// Packets that were not sealed by the peer.
    pub forged_packets: u64,
    /// Packets that came twice or too late.
    pub replayed_packets: u64,
    /// Bytes that may be in flight.
    pub congestion_window: u64,
    /// The rate at which the path delivers, in bytes a second; 0 before it was measured.
    pub bandwidth: u64,
    /// Bytes of a full datagram on this path.
    pub datagram_bytes: u64,
}

impl CloseCode {
    /// The number in a Close frame.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Done => 0,
            Self::Replaced => 1,
            Self::Removed => 2,
            Self::BadFrame => 3,
            Self::BadAck => 4,
            Self::FlowControl => 5,
            Self::BadMessage => 6,
            Self::Exhausted => 7,
            Self::Sitting => 8,
            Self::Crowded => 9,
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Done => "done",
            Self::Replaced => "replaced by a newer session",
            Self::Removed => "no longer a member",
            Self::BadFrame => "a packet made no sense",
            Self::BadAck => "a packet was acknowledged that was never sent",
            Self::FlowControl => "more was sent than was allowed",
            Self::BadMessage => "a message made no sense",
            Self::Exhausted => "the key has done all it may",
            Self::Sitting => "credit that others waited for was not used",
            Self::Crowded => "there are as many sessions as may be",
        })
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(code) => write!(formatter, "closed here: {code}"),
            Self::Peer { code: 0, .. } => {
                formatter.write_str("it has stopped, or needs the connection no more")
            }
            Self::Peer { code: 9, .. } => {
                formatter.write_str("it holds as many connections as it may, and will be asked again later")
            }
            Self::Peer { code, text } => write!(formatter, "closed by the peer ({code}): {text:?}"),
            Self::Idle => formatter.write_str("silent for too long"),
        }
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forged => formatter.write_str("the packet was not sealed by the peer"),
            Self::Replayed => formatter.write_str("the packet came before, or too late"),
            Self::Closed => formatter.write_str("the session is closed"),
            Self::Crowded => formatter.write_str("the packet lies beyond too many gaps"),
            Self::Violation(code) => write!(formatter, "the peer broke the protocol: {code}"),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => {
                formatter.write_str("the session's queue is full; send again when there is room")
            }
            Self::TooLong => formatter.write_str("the message is longer than a message may be"),
            Self::Empty => formatter.write_str("the message is empty"),
            Self::Closed => formatter.write_str("the session is closed; connect again"),
        }
    }
}

impl std::error::Error for SessionError {}
impl std::error::Error for SendError {}

/// The code that says what a lane found wrong.
pub(super) const fn code_of(error: LaneError) -> CloseCode {
    match error {
        LaneError::BeyondCredit => CloseCode::FlowControl,
        LaneError::BadLength | LaneError::BadSkip | LaneError::Crowded => CloseCode::BadMessage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_are_golden() {
        let all = [
            CloseCode::Done,
            CloseCode::Replaced,
            CloseCode::Removed,
            CloseCode::BadFrame,
            CloseCode::BadAck,
            CloseCode::FlowControl,
            CloseCode::BadMessage,
            CloseCode::Exhausted,
            CloseCode::Sitting,
            CloseCode::Crowded,
        ];
        assert_eq!(all.map(CloseCode::number), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn what_a_peer_says_is_shown_escaped() {
        let reason = CloseReason::Peer { code: 77, text: "a\nb".to_owned() };
        assert_eq!(reason.to_string(), "closed by the peer (77): \"a\\nb\"");
    }
}
