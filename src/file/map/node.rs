//! The bytes of one map node.
//!
//! ```text
//!  format 1 (u8) | level (u8) | length of all up to the tails (u32, little-endian)
//!  leaf entry:   shared | fresh | 2 * value length + (1 if there is a tail) | [tail length] | key bytes | value
//!  node entry:   shared | fresh |                                                            key bytes | child (32)
//!  tails of the leaf entries, in order
//! ```
//!
//! `shared` is how many bytes the key has in common with the one before it, as many as can be, and `fresh` how many
//! bytes follow them. Numbers are LEB128 in their shortest form, below 2^28. Every set of entries has one encoding, and
//! other bytes are refused. The header and the entries are the part to compress; the tails follow untouched.
//! What may stand where in a map is `map/cursor.rs`'s to judge, where nodes end `file/map.rs`'s.

use super::error::MapError;
use crate::base::ids::ChunkId;
use crate::base::limits::{
    CUT_BYTES_MAX, ENTRY_BYTES_MAX, MAP_KEY_BYTES_MAX, MAP_LEVELS_MAX, TAIL_BYTES_MAX,
};
use core::cmp::Ordering;
use core::fmt;
use core::ops::Range;

/// A finished node. Its bytes are `compress` and then `follow`, and tell by themselves where one ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeParts<'a> {
    /// 0 for a leaf.
    pub level: u8,
    /// Keys and values, to be compressed as one.
    pub compress: &'a [u8],
    /// Tails, compressed each by itself, to be left as they are.
    pub follow: &'a [u8],
}

/// An entry on its way into a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Added<'a> {
    /// Greater than the key before.
    pub key: &'a [u8],
    /// Above the leaves: a chunk id.
    pub value: &'a [u8],
    /// Above the leaves: empty.
    pub tail: &'a [u8],
}

/// Encodes one node after the other into the same memory.
#[derive(Clone)]
pub(super) struct NodeWriter {
    /// 0 for a leaf.
    level: u8,
    /// Header and entries.
    compress: Vec<u8>,
    /// Tails.
    follow: Vec<u8>,
    /// The last key, also after the node was cleared.
    last: Vec<u8>,
    /// Entries in the node.
    entries: usize,
}

impl NodeWriter {
    /// An empty node.
    pub fn new(level: u8) -> Self {
        let mut writer =
            Self { level, compress: Vec::new(), follow: Vec::new(), last: Vec::new(), entries: 0 };
        writer.clear();
        writer
    }

    /// Empties the node and keeps the last key.
    pub fn clear(&mut self) {
        self.compress.clear();
        self.compress.extend_from_slice(&[FORMAT, self.level, 0, 0, 0, 0]);
        self.follow.clear();
        self.entries = 0;
    }

    /// Adds an entry, of lengths that the builder has checked.
    pub fn add(&mut self, entry: Added<'_>) {
        let shared = if self.entries == 0 { 0 } else { shared_length(&self.last, entry.key) };
        let fresh = &entry.key[shared..];
        write_number(&mut self.compress, shared);
        write_number(&mut self.compress, fresh.len());
        if self.level == 0 {
            write_number(&mut self.compress, entry.value.len() << 1 | usize::from(!entry.tail.is_empty()));
            if !entry.tail.is_empty() {
                write_number(&mut self.compress, entry.tail.len());
            }
        }
        self.compress.extend_from_slice(fresh);
        self.compress.extend_from_slice(entry.value);
        self.follow.extend_from_slice(entry.tail);
        self.last.truncate(shared);
        self.last.extend_from_slice(fresh);
        self.entries += 1;
    }

    /// The node as it is to be sealed.
    pub fn parts(&mut self) -> NodeParts<'_> {
        let length = u32::try_from(self.compress.len()).expect("a node is cut long before 4 GiB");
        self.compress[2..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
        NodeParts { level: self.level, compress: &self.compress, follow: &self.follow }
    }

    /// The last key added, if any was.
    pub fn last_key(&self) -> &[u8] {
        &self.last
    }
}

impl fmt::Debug for NodeWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "NodeWriter(level {}, {} entries)", self.level, self.entries)
    }
}

/// Reads the entries of one node, one after the other.
pub struct NodeReader {
    /// All bytes of the node.
    bytes: Vec<u8>,
    /// 0 for a leaf.
    level: u8,
    /// Where the entries end and the tails begin.
    tails: usize,
    /// Where the next entry begins.
    next: usize,
    /// An entry was read since the start.
    started: bool,
    /// Its key.
    key: Vec<u8>,
    /// Where its value is.
    value: Range<usize>,
    /// Where its tail is.
    tail: Range<usize>,
}

impl NodeReader {
    /// A reader before the first entry.
    pub fn new(bytes: Vec<u8>) -> Result<Self, MapError> {
        if bytes.len() > CUT_BYTES_MAX {
            return Err(MapError::TooLong);
        }
        let Some((&[format, level, a, b, c, d], _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(MapError::Malformed);
        };
        if format != FORMAT {
            return Err(MapError::Format(format));
        }
        if level >= MAP_LEVELS_MAX {
            return Err(MapError::TooDeep);
        }
        let tails = usize::try_from(u32::from_le_bytes([a, b, c, d])).map_err(|_| MapError::Malformed)?;
        if tails < HEADER_BYTES || tails > bytes.len() {
            return Err(MapError::Malformed);
        }
        let mut reader =
            Self { bytes, level, tails, next: 0, started: false, key: Vec::new(), value: 0..0, tail: 0..0 };
        reader.rewind();
        Ok(reader)
    }

    /// Back before the first entry.
    pub fn rewind(&mut self) {
        self.next = HEADER_BYTES;
        self.started = false;
        self.key.clear();
        self.value = HEADER_BYTES..HEADER_BYTES;
        self.tail = self.tails..self.tails;
    }

    /// Moves to the next entry; false at the end, where the last key stays.
    pub fn advance(&mut self) -> Result<bool, MapError> {
        if self.next == self.tails {
            return if self.tail.end == self.bytes.len() { Ok(false) } else { Err(MapError::Malformed) };
        }
        let mut part = Part { bytes: &self.bytes[..self.tails], next: self.next };
        let shared = part.number()?;
        let fresh = part.number()?;
        let (value_length, tail_length) =
            if self.level == 0 { part.leaf_lengths()? } else { (ChunkId::SIZE, 0) };
        let key_length = shared + fresh;
        if key_length > MAP_KEY_BYTES_MAX
            || key_length + value_length > ENTRY_BYTES_MAX
            || tail_length > TAIL_BYTES_MAX
        {
            return Err(MapError::TooLong);
        }
        let fresh = part.take(fresh)?;
        let fresh = &part.bytes[fresh];
        if self.started {
            check_ascent(&self.key, shared, fresh)?;
        } else if shared > 0 {
            return Err(MapError::Malformed);
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(fresh);
        self.value = part.take(value_length)?;
        self.next = part.next;
        self.tail = self.tail.end..self.tail.end + tail_length;
        if self.tail.end > self.bytes.len() {
            return Err(MapError::Malformed);
        }
        self.started = true;
        Ok(true)
    }

    /// 0 for a leaf.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Stands at an entry, or behind the last.
    pub fn started(&self) -> bool {
        self.started
    }

    /// Key of the entry where it stands.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Value of the entry where it stands.
    pub fn value(&self) -> &[u8] {
        &self.bytes[self.value.clone()]
    }

    /// Tail of the entry where it stands.
    pub fn tail(&self) -> &[u8] {
        &self.bytes[self.tail.clone()]
    }

    /// Child of the entry where it stands, above the leaves.
    pub fn child(&self) -> ChunkId {
        self.value()
            .try_into()
            .map(ChunkId::from_bytes)
            .expect("above the leaves, advance takes 32 bytes of value")
    }

    /// A reader of its own over the entries that are still to come, for looking ahead: calls `look` with the key before
    /// each child and its id until it says false.
    pub fn look_ahead(&self, mut look: impl FnMut(&[u8], ChunkId) -> bool) {
        let mut part = Part { bytes: &self.bytes[..self.tails], next: self.next };
        let mut key = self.key.clone();
        while part.next < part.bytes.len() {
            let Ok((shared, fresh, id)) = part.child_entry() else {
                return;
            };
            if !look(&key, id) {
                return;
            }
            key.truncate(shared);
            key.extend_from_slice(&part.bytes[fresh]);
        }
    }
}

impl fmt::Debug for NodeReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "NodeReader(level {}, at {} of {})", self.level, self.next, self.bytes.len())
    }
}

/// The entries of a node, and how far they are read.
struct Part<'a> {
    /// Header and entries.
    bytes: &'a [u8],
    /// What is read next.
    next: usize,
}

impl Part<'_> {
    /// Reads a number below 2^28.
    fn number(&mut self) -> Result<usize, MapError> {
        let mut number: usize = 0;
        for shift in [0, 7, 14, 21] {
            let byte = *self.bytes.get(self.next).ok_or(MapError::Malformed)?;
            self.next += 1;
            number |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // Zeros above the number would make it a second form of the same.
                return if byte == 0 && shift > 0 { Err(MapError::Malformed) } else { Ok(number) };
            }
        }
        Err(MapError::Malformed)
    }

    /// Reads the lengths of a leaf entry's value and tail.
    fn leaf_lengths(&mut self) -> Result<(usize, usize), MapError> {
        let number = self.number()?;
        if number & 1 == 0 {
            return Ok((number >> 1, 0));
        }
        match self.number()? {
            0 => Err(MapError::Malformed),
            tail_length => Ok((number >> 1, tail_length)),
        }
    }

    /// Passes over `length` bytes and says where they are.
    fn take(&mut self, length: usize) -> Result<Range<usize>, MapError> {
        let end = self.next + length;
        if end > self.bytes.len() {
            return Err(MapError::Malformed);
        }
        let range = self.next..end;
        self.next = end;
        Ok(range)
    }

    /// Reads an entry above the leaves: shared length, where the fresh bytes are, child.
    fn child_entry(&mut self) -> Result<(usize, Range<usize>, ChunkId), MapError> {
        let shared = self.number()?;
        let fresh = self.number()?;
        let fresh = self.take(fresh)?;
        let id = self.take(ChunkId::SIZE)?;
        let id = self.bytes[id].try_into().map_err(|_| MapError::Malformed)?;
        Ok((shared, fresh, ChunkId::from_bytes(id)))
    }
}

/// Is `previous[..shared]` and `fresh` behind it greater than `previous`, and `shared` as long as can be?
fn check_ascent(previous: &[u8], shared: usize, fresh: &[u8]) -> Result<(), MapError> {
    match (previous.len().cmp(&shared), fresh.first()) {
        (Ordering::Less, _) => Err(MapError::Malformed),
        (Ordering::Equal, Some(_)) => Ok(()),
        (Ordering::Greater, Some(first)) => match previous[shared].cmp(first) {
            Ordering::Less => Ok(()),
            Ordering::Equal => Err(MapError::Malformed),
            Ordering::Greater => Err(MapError::Order),
        },
        (_, None) => Err(MapError::Order),
    }
}

/// How many bytes two keys have in common at their start.
fn shared_length(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Appends a number below 2^28.
fn write_number(bytes: &mut Vec<u8>, mut number: usize) {
    debug_assert!(number < 1 << 28, "lengths inside a node are short");
    while number >= 0x80 {
        bytes.push((number & 0x7f).to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// What a fuzzer calls: any bytes are a node or are not, and a node has no other encoding.
///
/// # Panics
/// When they do neither, which is what the fuzzer looks for.
pub fn check_node_bytes(bytes: &[u8]) {
    let Ok(mut reader) = NodeReader::new(bytes.to_vec()) else {
        return;
    };
    let mut writer = NodeWriter::new(reader.level());
    loop {
        match reader.advance() {
            Ok(true) => writer.add(Added { key: reader.key(), value: reader.value(), tail: reader.tail() }),
            Ok(false) => break,
            Err(_) => return,
        }
    }
    let parts = writer.parts();
    assert_eq!([parts.compress, parts.follow].concat(), bytes, "a node has one encoding");
}

/// First byte of a node. History: 1, the first.
pub(super) const FORMAT: u8 = 1;
/// Length of the header, in bytes.
pub(super) const HEADER_BYTES: usize = 6;
