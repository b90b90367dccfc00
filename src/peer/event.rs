//! The words between an [`Endpoint`](super::table::Endpoint) and the node that owns it: what it is told at the start,
//! what it reports, what it counts.
//!
//! Owns: these types. Refuses: behaviour. Read first: `table.rs`.

use crate::base::ids::{NodeId, VaultId};
use crate::base::units::{Span, Time};
use crate::feed::roster::Member;
use crate::wire::frame::Lane;
use core::fmt;
use std::net::SocketAddr;
use zeroize::Zeroize;

/// Who this node is on the channel.
#[derive(Clone)]
pub struct Identity {
    /// Its id.
    pub node: NodeId,
    /// Its X25519 secret, whose public half stands in its Admit entry.
    pub channel_secret: [u8; 32],
}

/// What all members of a vault know, and strangers do not.
#[derive(Clone)]
pub struct Door {
    /// Which vault.
    pub vault: VaultId,
    /// The door secret.
    pub secret: [u8; 32],
    /// The vault's root public signing key, from which every Admit chain begins.
    pub root_public: [u8; 32],
}

/// What happened. The owner drains these after every call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A session stands. What was on its way in an earlier one is lost: a Down came before.
    Up {
        /// With whom.
        node: NodeId,
        /// Where it is reached.
        address: SocketAddr,
    },
    /// The session has ended; messages on their way are lost.
    Down {
        /// With whom.
        node: NodeId,
        /// Why, for people.
        reason: String,
    },
    /// The peer has ended the session, or not begun it, for it holds as many as it may. Down comes before, if Up did.
    Crowded {
        /// Who.
        node: NodeId,
    },
    /// A whole message has arrived.
    Message {
        /// From whom.
        node: NodeId,
        /// On which lane; each lane keeps its own order.
        lane: Lane,
        /// For `wire::message::decode`.
        bytes: Vec<u8>,
    },
    /// A node that the roster did not know has proved with an Admit chain that it is a member. Up follows. The owner
    /// puts the chain into its view and calls `set_roster`.
    Introduced {
        /// Who.
        member: Member,
        /// The raw entries, root first.
        chain: Vec<Vec<u8>>,
    },
    /// Inviter: somebody knows the code. To be answered with `answer_pairing`.
    PairRequest {
        /// Names the request in the answer.
        ticket: u64,
        /// What the joiner says of itself.
        hello: Vec<u8>,
        /// Where it is.
        from: SocketAddr,
    },
    /// Joiner: the inviter knows the code too and has answered.
    PairAnswered {
        /// What it answered.
        payload: Vec<u8>,
        /// Where it is.
        from: SocketAddr,
    },
    /// Joiner: it will not work at this address.
    PairFailed {
        /// Why.
        reason: PairFailure,
        /// Which `join` has failed.
        from: SocketAddr,
    },
    /// Inviter: the invitation is over.
    InvitationClosed {
        /// Why.
        reason: CloseReason,
    },
    /// Nobody answered there, or somebody else did.
    ConnectFailed {
        /// Who was wanted.
        peer: Option<NodeId>,
        /// Where.
        address: SocketAddr,
    },
    /// The address leads to a node with which a session stands, or will in a moment: the attempt there was given up.
    Reached {
        /// Who is there.
        node: NodeId,
        /// Where.
        address: SocketAddr,
    },
    /// A data packet of a session that is not there has come: perhaps a peer does not know yet that this node was
    /// started anew. Anybody can cause this; it is a hint.
    Unclaimed {
        /// Where it seems to come from.
        from: SocketAddr,
    },
    /// A queue that was full has drained below half.
    Room {
        /// To whom.
        node: NodeId,
    },
}

/// Why pairing failed, as the joiner sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairFailure {
    /// The inviter shows another code.
    WrongCode,
    /// Another node has joined with it.
    Used,
    /// Too many wrong codes were tried there.
    Attempts,
    /// The invitation there is closed.
    Closed,
    /// The code is right, and the inviter could not let this node in.
    Declined,
    /// Nobody answered.
    NoAnswer,
    /// It was begun and then took too long.
    Expired,
}

impl fmt::Display for PairFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::WrongCode => "the code is wrong; compare it with the one that `nuthatch invite` shows",
            Self::Used => "the invitation is used: it was for one node; run `nuthatch invite` again there",
            Self::Attempts => {
                "the invitation is closed, for too many wrong codes were tried; run `nuthatch invite` again there"
            }
            Self::Declined => {
                "the code is right, but the inviting node could not let this one in; see `nuthatch log` there"
            }
            Self::Closed => "the invitation is closed; run `nuthatch invite` again on the other device",
            Self::NoAnswer => {
                "no node invites at this address; run `nuthatch invite` there, or check the address"
            }
            Self::Expired => "pairing took too long; run `nuthatch invite` again on the other device",
        })
    }
}

impl std::error::Error for PairFailure {}

/// Why an invitation is over, as the inviter sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// A node has joined with it.
    Used,
    /// As many wrong attempts were answered as are allowed.
    Attempts,
    /// Its time is over.
    Expired,
    /// `close_invitation` was called, or a new one opened.
    Withdrawn,
}

/// Why `send` did not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// There is no session with this node.
    NoSession,
    /// The lane has room for only this many bytes now; Room will be reported.
    Full {
        /// Bytes that would still be taken.
        room: usize,
    },
    /// The message is empty, or longer than any message may be.
    Length,
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession => formatter.write_str("there is no session with this node"),
            Self::Full { room } => {
                write!(formatter, "the queue takes only {room} more bytes now; try again later")
            }
            Self::Length => formatter.write_str("the message is empty, or longer than any message may be"),
        }
    }
}

impl std::error::Error for SendError {}

/// A text that is no pairing code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeError;

impl fmt::Display for CodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "a pairing code has eight digits, such as 1234 5678; type it as the other device shows it",
        )
    }
}

impl std::error::Error for CodeError {}

/// Datagrams for one peer that lie one behind the other in a buffer: each is `segment` bytes long, but the last may be
/// shorter. A kernel that can (UDP_SEGMENT) takes them all with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// Where they go.
    pub to: SocketAddr,
    /// Bytes of all of them.
    pub length: usize,
    /// Bytes of each but the last; equal to `length` for one datagram.
    pub segment: usize,
}

impl Transmit {
    /// The datagrams in the buffer that they were written to.
    pub fn datagrams<'a>(&self, buffer: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        buffer[..self.length].chunks(self.segment.max(1))
    }
}

/// What is known of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerInfo {
    /// With whom.
    pub node: NodeId,
    /// Where packets go now.
    pub address: SocketAddr,
    /// Since when it stands.
    pub since: Time,
    /// Smoothed round-trip time; zero before the first is measured.
    pub rtt: Span,
    /// Bytes of datagrams sent.
    pub sent_bytes: u64,
    /// Bytes of authenticated datagrams received.
    pub received_bytes: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Packets declared lost, of which some may only have been late.
    pub lost_packets: u64,
    /// Bytes of messages that were sent more than once.
    pub retransmitted_bytes: u64,
    /// Bytes of messages that are queued or not acknowledged yet.
    pub queued_bytes: u64,
}

/// What was dropped in silence, and what went over the network, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// First messages without knowledge of the door secret, or from nodes that are no members.
    pub strangers: u64,
    /// Datagrams that are nothing at all, or that belong to no session.
    pub garbage: u64,
    /// Packets or first messages that were seen before.
    pub replayed: u64,
    /// Packets of a session that did not authenticate.
    pub forged: u64,
    /// What was refused because a bound was reached.
    pub refused: u64,
    /// Sessions ended because credit that others waited for was not used.
    pub cut: u64,
    /// First messages whose senders were asked for a cookie.
    pub cookies: u64,
    /// Bytes of all datagrams that were sent, to whomever.
    pub sent_bytes: u64,
    /// Bytes of all datagrams that came, from whomever.
    pub received_bytes: u64,
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Identity").field("node", &self.node).finish_non_exhaustive()
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Door").field("vault", &self.vault).finish_non_exhaustive()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.channel_secret.zeroize();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}
