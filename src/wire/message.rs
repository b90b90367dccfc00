//! What two nodes say to each other once a session stands: messages, one after the other on a lane.
//!
//! Owns: the numbers of the messages, their encoding (a version byte, a kind byte, then postcard) and the bounds that
//! a decoder holds before it allocates. Refuses: to know what a message means, how it is cut into packets (frame.rs),
//! or whether it may be sent. Read first: PROTOCOL.md, "Messages".

mod checked;
mod error;
mod kind;
mod leaving;
pub mod range;
mod words;

pub use self::checked::Checked;
pub use self::error::WireError;
pub use self::leaving::{Confirmed, Leaving};
pub use self::words::{About, FeedHead, Offered, Sighting};
use crate::base::ids::{ChunkId, FeedId, SnapshotId};
use crate::base::limits::{
    ADDRESSES_PER_MESSAGE_MAX, FEED_ENTRIES_MESSAGE_BYTES_MAX, FEED_ENTRIES_PER_MESSAGE_MAX,
    FEED_ENTRY_BYTES_MAX, HEADS_PER_MESSAGE_MAX, IDS_PER_MESSAGE_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX,
    SEALED_BYTES_MAX, SIGHTINGS_PER_MESSAGE_MAX,
};
use range::{ExchangeId, Part, Short, Standing};
use serde::{Deserialize, Serialize};

/// One message between two members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The first message of each side on the control lane.
    Hello {
        /// The program's version, at most [`NAME_BYTES_MAX`] bytes, shown to people only.
        version: String,
        /// Bytes that this node would still store for others; 0 when it is full or stores nothing.
        free_bytes: u64,
    },
    /// What the sender has of the feeds named; sent whole after Hello, then whenever a head moves.
    FeedHave {
        /// At most [`HEADS_PER_MESSAGE_MAX`].
        heads: Vec<FeedHead>,
        /// Another FeedHave of the same list follows.
        more: bool,
    },
    /// Asks for entries of a feed.
    FeedWant {
        /// Which feed.
        feed: FeedId,
        /// Sequence of the first entry that is wanted.
        from: u64,
    },
    /// Entries of a feed in order, as they were signed.
    FeedEntries {
        /// Which feed.
        feed: FeedId,
        /// Sequence of the first of them.
        from: u64,
        /// Together at most [`FEED_ENTRIES_MESSAGE_BYTES_MAX`] bytes; none is empty.
        entries: Vec<Vec<u8>>,
    },
    /// The sender has these chunks for the receiver to store. Each of them is answered: by Want and then Stored, or by Decline.
    Offer {
        /// At most [`IDS_PER_MESSAGE_MAX`].
        chunks: Vec<Offered>,
    },
    /// Of what was offered, what is to come now.
    Want {
        /// At most [`IDS_PER_MESSAGE_MAX`].
        ids: Vec<ChunkId>,
    },
    /// Of what was wanted of an Offer, what the sender holds now, synced.
    Stored {
        /// At most [`IDS_PER_MESSAGE_MAX`].
        ids: Vec<ChunkId>,
    },
    /// Asks for chunks; each is answered with Chunk or named in a Missing.
    Get {
        /// At most [`IDS_PER_MESSAGE_MAX`].
        ids: Vec<ChunkId>,
    },
    /// A chunk; the receiver checks that the bytes have this id.
    Chunk {
        /// SHA-256 of `bytes`.
        id: ChunkId,
        /// At most [`SEALED_BYTES_MAX`].
        bytes: Vec<u8>,
    },
    /// Of what was asked for by Get, what the sender has not.
    Missing {
        /// At most [`IDS_PER_MESSAGE_MAX`].
        ids: Vec<ChunkId>,
    },
    /// Of what the sender asked for by Get, what it no longer wants: what has not been sent need not be.
    Cancel {
        /// At most [`IDS_PER_MESSAGE_MAX`].
        ids: Vec<ChunkId>,
    },
    /// A folder was looked after, by the sender or by another whose word it passes on.
    Checked(Checked),
    /// Of what was offered (or wanted of that), what need not come as an offer: it is here already, on its way from elsewhere, or
    /// not taken now. No word on whether it will be asked for another time.
    Decline {
        /// At most [`IDS_PER_MESSAGE_MAX`].
        ids: Vec<ChunkId>,
    },
    /// How far the sender has come with its share of a snapshot; for people and for patience, never a receipt.
    Status {
        /// Which snapshot.
        snapshot: SnapshotId,
        /// Chunks of its share that it holds, synced.
        held: u64,
        /// Chunks of its share.
        total: u64,
    },
    /// Asks where a node or a chunk is.
    Who {
        /// What is looked for.
        about: About,
        /// True when it was passed on once already: then it is not passed on again.
        forwarded: bool,
    },
    /// Answers Who with what the sender knows; may name nobody.
    Known {
        /// What was looked for.
        about: About,
        /// At most [`SIGHTINGS_PER_MESSAGE_MAX`].
        sightings: Vec<Sighting>,
    },
    /// Opens a comparison of what both hold; answered by Range.
    Digest {
        /// Names it.
        exchange: ExchangeId,
        /// Which placement groups are compared, as a bitmap; empty: all.
        groups: Vec<u8>,
        /// Chunks that the sender has in them.
        count: u64,
        /// Their fingerprint.
        fingerprint: Short,
    },
    /// Asks for proof that the receiver has a range of a chunk; answered by Proof.
    Challenge {
        /// Drawn at random.
        nonce: [u8; 32],
        /// Which chunk.
        id: ChunkId,
        /// The first byte of the range.
        offset: u32,
        /// Its length in bytes.
        length: u32,
    },
    /// Answers a Challenge.
    Proof {
        /// Of the Challenge.
        nonce: [u8; 32],
        /// The proof; None: the chunk, or the range, is not here.
        answer: Option<[u8; 32]>,
    },
    /// Goes on with a comparison, in both directions.
    Range {
        /// Which.
        exchange: ExchangeId,
        /// What is still to be said.
        standing: Standing,
        /// At most [`RANGE_PARTS_MAX`](crate::base::limits::RANGE_PARTS_MAX).
        parts: Vec<Part>,
    },
    /// The sender has released groups, and asks who holds what it held.
    Leaving(Leaving),
    /// Answers Leaving.
    Confirmed(Confirmed),
}

/// The bytes of `message`: what `Endpoint::send` takes.
///
/// # Errors
/// [`WireError::TooLong`] when a bound in limits.rs does not hold.
pub fn encode(message: &Message) -> Result<Vec<u8>, WireError> {
    match message {
        Message::Hello { version, free_bytes } => {
            bounded(version.len(), NAME_BYTES_MAX)?;
            put(start(kind::HELLO), &(version, free_bytes))
        }
        Message::FeedHave { heads, more } => {
            bounded(heads.len(), HEADS_PER_MESSAGE_MAX)?;
            put(start(kind::FEED_HAVE), &(heads, more))
        }
        Message::FeedWant { feed, from } => put(start(kind::FEED_WANT), &(feed, from)),
        Message::FeedEntries { feed, from, entries } => encode_entries(feed, *from, entries),
        Message::Offer { chunks } => {
            bounded(chunks.len(), IDS_PER_MESSAGE_MAX)?;
            put(start(kind::OFFER), &chunks)
        }
        Message::Want { ids } => encode_ids(kind::WANT, ids),
        Message::Stored { ids } => encode_ids(kind::STORED, ids),
        Message::Get { ids } => encode_ids(kind::GET, ids),
        Message::Chunk { id, bytes } => Ok([&chunk_head(id, bytes)?[..], bytes].concat()),
        Message::Missing { ids } => encode_ids(kind::MISSING, ids),
        Message::Cancel { ids } => encode_ids(kind::CANCEL, ids),
        Message::Checked(checked) => checked::encode(checked),
        Message::Decline { ids } => encode_ids(kind::DECLINE, ids),
        Message::Status { snapshot, held, total } => put(start(kind::STATUS), &(snapshot, held, total)),
        Message::Who { about, forwarded } => put(start(kind::WHO), &(about, forwarded)),
        Message::Known { about, sightings } => {
            bounded(sightings.len(), SIGHTINGS_PER_MESSAGE_MAX)?;
            let mut bytes = put(start(kind::KNOWN), &(about, sightings.len()))?;
            for sighting in sightings {
                bounded(sighting.addresses.len(), ADDRESSES_PER_MESSAGE_MAX)?;
                bytes = put(bytes, &(sighting.node, &sighting.addresses))?;
            }
            Ok(bytes)
        }
        Message::Digest { exchange, groups, count, fingerprint } => {
            range::encode_digest(exchange, groups, *count, fingerprint)
        }
        Message::Challenge { nonce, id, offset, length } => {
            put(start(kind::CHALLENGE), &(nonce, id, offset, length))
        }
        Message::Proof { nonce, answer } => put(start(kind::PROOF), &(nonce, answer)),
        Message::Range { exchange, standing, parts } => range::encode_range(exchange, *standing, parts),
        Message::Leaving(leaving) => leaving::encode_leaving(leaving),
        Message::Confirmed(confirmed) => leaving::encode_confirmed(confirmed),
    }
}

/// What a Chunk message has before the chunk's own bytes.
///
/// # Errors
/// [`WireError::TooLong`] when the chunk is longer than [`SEALED_BYTES_MAX`].
pub fn chunk_head(id: &ChunkId, chunk: &[u8]) -> Result<[u8; CHUNK_HEADER_BYTES], WireError> {
    bounded(chunk.len(), SEALED_BYTES_MAX)?;
    let mut head = [0; CHUNK_HEADER_BYTES];
    (head[0], head[1]) = (MESSAGE_VERSION, kind::CHUNK);
    head[2..].copy_from_slice(id.as_bytes());
    Ok(head)
}

/// The message that `bytes` are. Any bytes give a message or an error; what is allocated is bounded by their length.
///
/// # Errors
/// Says what is wrong; [`WireError::Kind`] alone is no fault of the peer.
pub fn decode(bytes: &[u8]) -> Result<Message, WireError> {
    bounded(bytes.len(), MESSAGE_BYTES_MAX)?;
    let (&version, rest) = bytes.split_first().ok_or(WireError::Malformed)?;
    if version != MESSAGE_VERSION {
        return Err(WireError::Version(version));
    }
    let (&number, rest) = rest.split_first().ok_or(WireError::Malformed)?;
    let mut reader = Reader(rest);
    let message = match number {
        kind::HELLO => Message::Hello { version: reader.text(NAME_BYTES_MAX)?, free_bytes: reader.take()? },
        kind::FEED_HAVE => {
            Message::FeedHave { heads: reader.list(HEADS_PER_MESSAGE_MAX)?, more: reader.take()? }
        }
        kind::FEED_WANT => Message::FeedWant { feed: reader.take()?, from: reader.take()? },
        kind::FEED_ENTRIES => {
            let (feed, from) = reader.take()?;
            Message::FeedEntries { feed, from, entries: reader.entries()? }
        }
        kind::OFFER => Message::Offer { chunks: reader.list(IDS_PER_MESSAGE_MAX)? },
        kind::WANT => Message::Want { ids: reader.list(IDS_PER_MESSAGE_MAX)? },
        kind::STORED => Message::Stored { ids: reader.list(IDS_PER_MESSAGE_MAX)? },
        kind::GET => Message::Get { ids: reader.list(IDS_PER_MESSAGE_MAX)? },
        kind::CHUNK => reader.chunk()?,
        kind::MISSING => Message::Missing { ids: reader.list(IDS_PER_MESSAGE_MAX)? },
        kind::CANCEL => Message::Cancel { ids: reader.list(IDS_PER_MESSAGE_MAX)? },
        kind::CHECKED => checked::read(&mut reader)?,
        kind::DECLINE => Message::Decline { ids: reader.list(IDS_PER_MESSAGE_MAX)? },
        kind::STATUS => {
            Message::Status { snapshot: reader.take()?, held: reader.take()?, total: reader.take()? }
        }
        kind::WHO => Message::Who { about: reader.take()?, forwarded: reader.take()? },
        kind::KNOWN => Message::Known { about: reader.take()?, sightings: reader.sightings()? },
        kind::DIGEST => reader.digest()?,
        kind::RANGE => reader.range()?,
        kind::CHALLENGE => reader.challenge()?,
        kind::PROOF => Message::Proof { nonce: reader.take()?, answer: reader.take()? },
        kind::LEAVING => leaving::read_leaving(&mut reader)?,
        kind::CONFIRMED => leaving::read_confirmed(&mut reader)?,
        unknown => return Err(WireError::Kind(unknown)),
    };
    if reader.0.is_empty() {
        Ok(message)
    } else {
        Err(WireError::Trailing)
    }
}

/// What is left of a message while it is read from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next value; only types whose size does not depend on the input, or that borrow from it.
    fn take<T: Deserialize<'a>>(&mut self) -> Result<T, WireError> {
        let (value, rest) = postcard::take_from_bytes(self.0).map_err(|_| WireError::Malformed)?;
        self.0 = rest;
        Ok(value)
    }

    /// The next list, of at most `count_max` elements: checked before anything is allocated.
    fn list<T: Deserialize<'a>>(&mut self, count_max: usize) -> Result<Vec<T>, WireError> {
        let count: usize = self.take()?;
        bounded(count, count_max)?;
        // Every element takes at least a byte, so a short message cannot claim a long list.
        let mut list = Vec::with_capacity(count.min(self.0.len()));
        for _ in 0..count {
            list.push(self.take()?);
        }
        Ok(list)
    }

    /// The next text, of at most `bytes_max` bytes.
    fn text(&mut self, bytes_max: usize) -> Result<String, WireError> {
        let text: &str = self.take()?;
        bounded(text.len(), bytes_max)?;
        Ok(text.to_owned())
    }

    /// The entries of a FeedEntries.
    fn entries(&mut self) -> Result<Vec<Vec<u8>>, WireError> {
        let entries: Vec<&[u8]> = self.list(FEED_ENTRIES_PER_MESSAGE_MAX)?;
        check_entries(entries.iter().copied())?;
        Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
    }

    /// The nodes of a Known.
    fn sightings(&mut self) -> Result<Vec<Sighting>, WireError> {
        let count: usize = self.take()?;
        bounded(count, SIGHTINGS_PER_MESSAGE_MAX)?;
        (0..count)
            .map(|_| Ok(Sighting { node: self.take()?, addresses: self.list(ADDRESSES_PER_MESSAGE_MAX)? }))
            .collect()
    }

    /// The rest as a chunk: its id, then its bytes up to the end.
    fn chunk(&mut self) -> Result<Message, WireError> {
        let (id, bytes) = self.0.split_first_chunk::<{ ChunkId::SIZE }>().ok_or(WireError::Malformed)?;
        bounded(bytes.len(), SEALED_BYTES_MAX)?;
        self.0 = &[];
        Ok(Message::Chunk { id: ChunkId::from_bytes(*id), bytes: bytes.to_vec() })
    }
}

/// The first two bytes of a message.
fn start(kind: u8) -> Vec<u8> {
    vec![MESSAGE_VERSION, kind]
}

/// Appends the encoding of `value`.
fn put<T: Serialize>(bytes: Vec<u8>, value: &T) -> Result<Vec<u8>, WireError> {
    postcard::to_extend(value, bytes).map_err(|_| WireError::Malformed)
}

/// A message that is a list of chunk ids.
fn encode_ids(kind: u8, ids: &[ChunkId]) -> Result<Vec<u8>, WireError> {
    bounded(ids.len(), IDS_PER_MESSAGE_MAX)?;
    put(start(kind), &ids)
}

/// A FeedEntries message.
fn encode_entries(feed: &FeedId, from: u64, entries: &[Vec<u8>]) -> Result<Vec<u8>, WireError> {
    bounded(entries.len(), FEED_ENTRIES_PER_MESSAGE_MAX)?;
    check_entries(entries.iter().map(Vec::as_slice))?;
    put(start(kind::FEED_ENTRIES), &(feed, from, entries))
}

/// No entry is empty or too long, and neither are all together.
fn check_entries<'a>(entries: impl Iterator<Item = &'a [u8]>) -> Result<(), WireError> {
    let mut total = 0;
    for entry in entries {
        if entry.is_empty() {
            return Err(WireError::Malformed);
        }
        bounded(entry.len(), FEED_ENTRY_BYTES_MAX)?;
        total += entry.len();
    }
    bounded(total, FEED_ENTRIES_MESSAGE_BYTES_MAX)
}

/// Holds a bound.
const fn bounded(count: usize, count_max: usize) -> Result<(), WireError> {
    if count > count_max {
        return Err(WireError::TooLong);
    }
    Ok(())
}

/// The version of all messages; 1: the first.
pub const MESSAGE_VERSION: u8 = 1;

/// Bytes of a Chunk message before the chunk's own: version, kind, id.
pub const CHUNK_HEADER_BYTES: usize = 2 + ChunkId::SIZE;

const _: () = assert!(CHUNK_HEADER_BYTES + SEALED_BYTES_MAX <= MESSAGE_BYTES_MAX);

#[cfg(test)]
mod tests;
