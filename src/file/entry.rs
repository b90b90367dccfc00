//! What is known of one file, directory or link: the value under its path in a tree.
//!
//! Its encoding is a version byte and postcard; whatever comes from outside is checked for sizes and for sense (only a
//! symbolic link has a target, names of attributes ascend, ...), so that the rest of the program need not. It does not
//! know where the entry lies: paths are in `file/tree.rs`. How small content is packed stands in `file/inline.rs`, the
//! encoding of byte strings and lists in `file/field.rs`.

use crate::base::ids::ChunkId;
use crate::base::limits::{
    ATTRIBUTES_BYTES_MAX, ATTRIBUTES_HERE_BYTES_MAX, ATTRIBUTES_MAX, COMPONENT_BYTES_MAX, CUT_BYTES_MAX,
    ENTRY_BYTES_MAX, PIECES_INLINE_MAX, TARGET_BYTES_MAX,
};
use crate::file::field;
pub use crate::file::field::AttributeList;
pub use crate::file::inline::InlineCodec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A file with content.
    File,
    /// A directory; what is in it are the entries below its path.
    Directory,
    /// A symbolic link, never followed.
    Symlink,
}

/// A stretch of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// Bytes.
    Chunk {
        /// The chunk that holds them.
        id: ChunkId,
        /// How many, from 1 to [`CUT_BYTES_MAX`].
        length: u32,
    },
    /// Zeros that take no room on the disk of a sparse file.
    Hole {
        /// How many, at least 1.
        length: u64,
    },
}

/// Where the content is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// There is none: a directory, or an empty file.
    None,
    /// In the tail of the map entry, packed by [`InlineCodec`].
    Inline,
    /// In these pieces, in order; at most [`PIECES_INLINE_MAX`].
    #[serde(deserialize_with = "field::list::<_, _, PIECES_INLINE_MAX>")]
    Pieces(Vec<Piece>),
    /// In pieces that a map of their own lists: offset (u64, big-endian) -> [`Piece`].
    List {
        /// Root of that map.
        root: ChunkId,
        /// How many pieces it has.
        pieces: u64,
    },
    /// A symbolic link points there: any bytes but NUL, 1 to [`TARGET_BYTES_MAX`].
    Target(#[serde(with = "field::bytes")] Vec<u8>),
}

/// What `stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stat {
    /// Bytes of content.
    pub size: u64,
    /// When content changed, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// When anything changed, nanoseconds since 1970; cannot be set, tells whether the file is still the same.
    pub ctime_ns: i64,
    /// Number within its file system; equal for hard links of one file.
    pub inode: u64,
    /// Permission bits with setuid, setgid and sticky: at most 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names that the file has.
    pub links: u32,
}

/// Extended attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attributes {
    /// Names and values, names ascending; at most [`ATTRIBUTES_HERE_BYTES_MAX`] encoded.
    #[serde(with = "field::pairs")]
    Here(AttributeList),
    /// In a chunk of their own, encoded by [`encode_attributes`].
    Away {
        /// That chunk.
        id: ChunkId,
    },
}

/// All that is known of one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// What `stat` says.
    pub stat: Stat,
    /// Extended attributes.
    pub attributes: Attributes,
    /// Where the content is.
    pub content: Content,
    /// The file changed while it was read: the content may be of no one moment.
    pub torn: bool,
}

/// Why an entry cannot be encoded or bytes are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryError {
    /// Written by a version of nuthatch that is newer than this one, or damaged.
    Version(u8),
    /// Longer than it may be.
    TooLong,
    /// The bytes do not end where the entry ends, or do not make one.
    Malformed,
    /// The parts do not fit together; this one is wrong.
    Senseless(&'static str),
}

impl fmt::Display for EntryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(
                    formatter,
                    "tree entry of version {version}, known is {VERSION}: update nuthatch on this device"
                )
            }
            Self::TooLong => formatter.write_str("tree entry is longer than an entry may be"),
            Self::Malformed => formatter.write_str("tree entry is malformed"),
            Self::Senseless(part) => write!(formatter, "tree entry makes no sense: {part}"),
        }
    }
}

impl std::error::Error for EntryError {}

impl Entry {
    /// The entry as the value of a tree.
    ///
    /// # Errors
    /// When the parts do not fit together, or there are too many of them.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        self.check()?;
        let bytes = postcard::to_extend(self, vec![VERSION]).map_err(|_| EntryError::Malformed)?;
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EntryError::TooLong);
        }
        Ok(bytes)
    }

    /// Reads what [`Entry::encode`] wrote.
    ///
    /// # Errors
    /// For any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EntryError::TooLong);
        }
        let entry: Self = versioned(bytes)?;
        entry.check()?;
        Ok(entry)
    }

    /// Do the parts fit together?
    fn check(&self) -> Result<(), EntryError> {
        if self.stat.mode > MODE_MAX {
            return Err(EntryError::Senseless("mode"));
        }
        if let Attributes::Here(pairs) = &self.attributes {
            check_attributes(pairs, ATTRIBUTES_HERE_BYTES_MAX)?;
        }
        match (self.kind, &self.content) {
            (Kind::File, Content::Pieces(pieces)) => check_pieces(pieces),
            (Kind::Directory | Kind::File, Content::None)
            | (Kind::File, Content::Inline | Content::List { pieces: 1.., .. }) => Ok(()),
            (Kind::Symlink, Content::Target(target)) => check_target(target),
            _ => Err(EntryError::Senseless("content of another kind")),
        }
    }
}

impl Piece {
    /// How many bytes of the file it is.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Chunk { length, .. } => u64::from(*length),
            Self::Hole { length } => *length,
        }
    }

    /// The piece as the value of a list of pieces.
    ///
    /// # Errors
    /// When it is empty or longer than a piece can be.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        self.check()?;
        postcard::to_extend(self, vec![VERSION]).map_err(|_| EntryError::Malformed)
    }

    /// Reads what [`Piece::encode`] wrote.
    ///
    /// # Errors
    /// For any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let piece: Self = versioned(bytes)?;
        piece.check()?;
        Ok(piece)
    }

    /// Is its length possible?
    fn check(&self) -> Result<(), EntryError> {
        let possible = match self {
            Self::Chunk { length, .. } => {
                usize::try_from(*length).is_ok_and(|length| (1..=CUT_BYTES_MAX).contains(&length))
            }
            Self::Hole { length } => (1..=FILE_BYTES_MAX).contains(length),
        };
        if possible {
            Ok(())
        } else {
            Err(EntryError::Senseless("length of a piece"))
        }
    }
}

/// Extended attributes in a form that is stored by itself, for [`Attributes::Away`]. If it is no longer than
/// [`ATTRIBUTES_HERE_BYTES_MAX`], the attributes fit into the entry.
///
/// # Errors
/// When names do not ascend, or there is more than fits into a chunk.
pub fn encode_attributes(pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<Vec<u8>, EntryError> {
    check_attributes(pairs, ATTRIBUTES_BYTES_MAX)?;
    postcard::to_extend(&field::PairsRef(pairs), vec![VERSION]).map_err(|_| EntryError::Malformed)
}

/// Reads what [`encode_attributes`] wrote.
///
/// # Errors
/// For any other bytes.
pub fn decode_attributes(bytes: &[u8]) -> Result<AttributeList, EntryError> {
    if bytes.len() > ATTRIBUTES_BYTES_MAX {
        return Err(EntryError::TooLong);
    }
    let field::Pairs(pairs) = versioned(bytes)?;
    check_attributes(&pairs, ATTRIBUTES_BYTES_MAX)?;
    Ok(pairs)
}

/// Reads a version byte and what follows it, to the last byte.
fn versioned<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, EntryError> {
    match bytes.split_first() {
        Some((&VERSION, body)) => match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            _ => Err(EntryError::Malformed),
        },
        Some((version, _)) => Err(EntryError::Version(*version)),
        None => Err(EntryError::Malformed),
    }
}

/// Does a file of at most the possible length come out of these pieces?
fn check_pieces(pieces: &[Piece]) -> Result<(), EntryError> {
    if pieces.is_empty() || pieces.len() > PIECES_INLINE_MAX {
        return Err(EntryError::Senseless("number of pieces"));
    }
    let mut size: u64 = 0;
    for piece in pieces {
        piece.check()?;
        size = size.saturating_add(piece.length());
    }
    if size > FILE_BYTES_MAX {
        return Err(EntryError::Senseless("sum of the pieces' lengths"));
    }
    Ok(())
}

/// Can a link point there?
fn check_target(target: &[u8]) -> Result<(), EntryError> {
    if target.is_empty() || target.len() > TARGET_BYTES_MAX || target.contains(&0) {
        return Err(EntryError::Senseless("target of a symbolic link"));
    }
    Ok(())
}

/// Do the names ascend, and is the whole short enough?
fn check_attributes(pairs: &[(Vec<u8>, Vec<u8>)], bytes_max: usize) -> Result<(), EntryError> {
    if pairs.iter().any(|(name, _)| name.is_empty() || name.len() > COMPONENT_BYTES_MAX || name.contains(&0))
    {
        return Err(EntryError::Senseless("name of an extended attribute"));
    }
    if pairs.windows(2).any(|two| two[0].0 >= two[1].0) {
        return Err(EntryError::Senseless("order of the extended attributes"));
    }
    if pairs.len() > ATTRIBUTES_MAX || field::pairs_length(pairs) >= bytes_max {
        return Err(EntryError::TooLong);
    }
    Ok(())
}

/// What a fuzzer calls: any bytes are an entry or are not, and an entry is what its encoding says.
///
/// # Panics
/// When they do neither, which is what the fuzzer looks for.
pub fn check_entry_bytes(bytes: &[u8]) {
    if let Ok(entry) = Entry::decode(bytes) {
        let again =
            entry.encode().expect("a decoded entry is sensible, and its shortest encoding is no longer");
        assert_eq!(Entry::decode(&again), Ok(entry), "an entry is what its encoding says");
    }
    if let Ok(piece) = Piece::decode(bytes) {
        let again = piece.encode().expect("a decoded piece is sensible");
        assert_eq!(Piece::decode(&again), Ok(piece), "a piece is what its encoding says");
    }
    if let Ok(pairs) = decode_attributes(bytes) {
        let again = encode_attributes(&pairs).expect("decoded attributes are sensible");
        assert_eq!(decode_attributes(&again), Ok(pairs), "attributes are what their encoding says");
    }
}

/// First byte of every encoding. History: 1, the first.
const VERSION: u8 = 1;
/// All permission bits with setuid, setgid and sticky.
const MODE_MAX: u32 = 0o7777;
/// Longest file that a 64-bit Linux can have (off_t).
const FILE_BYTES_MAX: u64 = i64::MAX.unsigned_abs();

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, prop_oneof, proptest, Just, Strategy};

    /// A chunk id of equal bytes.
    fn id(byte: u8) -> ChunkId {
        ChunkId::from_bytes([byte; 32])
    }

    /// A stat with small numbers.
    fn stat() -> Stat {
        Stat { size: 300, mtime_ns: -1, ctime_ns: 2, inode: 3, mode: 0o644, uid: 0, gid: 1, links: 1 }
    }

    /// An empty file without attributes.
    fn plain() -> Entry {
        Entry {
            kind: Kind::File,
            stat: stat(),
            attributes: Attributes::Here(vec![]),
            content: Content::None,
            torn: false,
        }
    }

    /// Any piece that there can be.
    fn piece() -> impl Strategy<Value = Piece> {
        prop_oneof![
            (any::<[u8; 32]>(), 1_u32..=1 << 20)
                .prop_map(|(bytes, length)| Piece::Chunk { id: ChunkId::from_bytes(bytes), length }),
            (1_u64..1 << 40).prop_map(|length| Piece::Hole { length }),
        ]
    }

    /// Any entry that there can be.
    fn entry() -> impl Strategy<Value = Entry> {
        let content = prop_oneof![
            Just((Kind::Directory, Content::None)),
            Just((Kind::File, Content::None)),
            Just((Kind::File, Content::Inline)),
            proptest::collection::vec(piece(), 1..20)
                .prop_map(|pieces| (Kind::File, Content::Pieces(pieces))),
            (any::<[u8; 32]>(), 1_u64..).prop_map(|(root, pieces)| {
                (Kind::File, Content::List { root: ChunkId::from_bytes(root), pieces })
            }),
            proptest::collection::vec(1_u8.., 1..100)
                .prop_map(|target| (Kind::Symlink, Content::Target(target))),
        ];
        let value = proptest::collection::vec(any::<u8>(), 0..50);
        let attributes = prop_oneof![
            proptest::collection::btree_map(proptest::collection::vec(1_u8.., 1..20), value, 0..10)
                .prop_map(|map| Attributes::Here(map.into_iter().collect())),
            any::<[u8; 32]>().prop_map(|bytes| Attributes::Away { id: ChunkId::from_bytes(bytes) }),
        ];
        let numbers = (any::<[u64; 2]>(), any::<[i64; 2]>(), 0_u32..=0o7777, any::<[u32; 3]>());
        (content, attributes, numbers, any::<bool>()).prop_map(
            |((kind, content), attributes, numbers, torn)| {
                let ([size, inode], [mtime_ns, ctime_ns], mode, [uid, gid, links]) = numbers;
                let stat = Stat { size, mtime_ns, ctime_ns, inode, mode, uid, gid, links };
                Entry { kind, stat, attributes, content, torn }
            },
        )
    }

    #[test]
    fn entries_are_golden() {
        let mut entry = plain();
        entry.attributes = Attributes::Here(vec![(b"user.a".to_vec(), b"1".to_vec())]);
        entry.content =
            Content::Pieces(vec![Piece::Chunk { id: id(0xab), length: 256 }, Piece::Hole { length: 44 }]);
        let mut golden = vec![
            1, // version
            0, // File
            0xac, 2, // size 300
            1, // mtime -1, zigzag
            4, // ctime 2, zigzag
            3, // inode
            0xa4, 3, // mode 0o644
            0, 1, 1, // uid, gid, links
            0, // attributes Here
            1, 6, b'u', b's', b'e', b'r', b'.', b'a', 1, b'1', // one: name, value
            2,    // Pieces
            2,    // two
            0,    // Chunk
        ];
        golden.extend([0xab; 32]);
        golden.extend([
            0x80, 2, // length 256
            1, 44, // Hole of 44
            0,  // not torn
        ]);
        assert_eq!(entry.encode(), Ok(golden));

        let mut link = plain();
        link.kind = Kind::Symlink;
        link.attributes = Attributes::Away { id: id(0xcd) };
        link.content = Content::Target(b"../x".to_vec());
        let bytes = link.encode().unwrap();
        assert_eq!(bytes[..2], [1, 2]);
        assert_eq!(bytes[12..14], [1, 0xcd]);
        assert_eq!(bytes[45..], [4, 4, b'.', b'.', b'/', b'x', 0]);
    }

    #[test]
    fn pieces_are_golden() {
        assert_eq!(Piece::Hole { length: 300 }.encode(), Ok(vec![1, 1, 0xac, 2]));
        let chunk = Piece::Chunk { id: id(7), length: 5 }.encode().unwrap();
        assert_eq!(chunk, [&[1, 0][..], &[7; 32], &[5]].concat());
    }

    #[test]
    fn what_makes_no_sense_is_refused_on_both_ways() {
        let mut directory = plain();
        directory.kind = Kind::Directory;
        directory.content = Content::Inline;
        assert!(directory.encode().is_err());
        let bytes = postcard::to_extend(&directory, vec![VERSION]).unwrap();
        assert_eq!(Entry::decode(&bytes), Err(EntryError::Senseless("content of another kind")));

        let mut file = plain();
        file.attributes = Attributes::Here(vec![(b"b".to_vec(), vec![]), (b"a".to_vec(), vec![])]);
        assert_eq!(file.encode(), Err(EntryError::Senseless("order of the extended attributes")));
        file.attributes = Attributes::Here(vec![(b"a".to_vec(), vec![0; ATTRIBUTES_HERE_BYTES_MAX])]);
        assert_eq!(file.encode(), Err(EntryError::TooLong));

        let hole = Piece::Hole { length: u64::MAX / 3 };
        file.attributes = Attributes::Here(vec![]);
        file.content = Content::Pieces(vec![hole, hole]);
        assert_eq!(file.encode(), Err(EntryError::Senseless("sum of the pieces' lengths")));
        assert!(Piece::Chunk { id: id(1), length: 0 }.encode().is_err());

        let mut link = plain();
        link.kind = Kind::Symlink;
        link.content = Content::Target(b"a\0b".to_vec());
        assert!(link.encode().is_err());
        let mut moded = plain();
        moded.stat.mode = 0o10_0644;
        assert_eq!(moded.encode(), Err(EntryError::Senseless("mode")));
    }

    #[test]
    fn a_newer_version_and_trailing_bytes_are_refused() {
        let mut bytes = plain().encode().unwrap();
        bytes.push(0);
        assert_eq!(Entry::decode(&bytes), Err(EntryError::Malformed));
        bytes[0] = 2;
        assert_eq!(Entry::decode(&bytes), Err(EntryError::Version(2)));
        assert_eq!(Entry::decode(&[]), Err(EntryError::Malformed));
        assert_eq!(Entry::decode(&vec![1; ENTRY_BYTES_MAX + 1]), Err(EntryError::TooLong));
    }

    #[test]
    fn attributes_too_long_for_the_entry_go_into_a_chunk() {
        let pairs = vec![(b"user.big".to_vec(), vec![7; 60_000]), (b"user.small".to_vec(), vec![])];
        let bytes = encode_attributes(&pairs).unwrap();
        assert!(bytes.len() > ATTRIBUTES_HERE_BYTES_MAX);
        assert_eq!(decode_attributes(&bytes), Ok(pairs));
        let too_many = vec![(b"user.a".to_vec(), vec![0; ATTRIBUTES_BYTES_MAX])];
        assert_eq!(encode_attributes(&too_many), Err(EntryError::TooLong));
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        // Pieces, 2^28 of them, and no byte more.
        let mut bytes = plain().encode().unwrap();
        bytes.truncate(bytes.len() - 2);
        bytes.extend([2, 0x80, 0x80, 0x80, 0x80, 1]);
        assert_eq!(Entry::decode(&bytes), Err(EntryError::Malformed));
    }

    proptest! {
        #[test]
        fn every_entry_survives_a_round_trip(entry in entry()) {
            prop_assert_eq!(Entry::decode(&entry.encode().unwrap()), Ok(entry));
        }

        #[test]
        fn every_piece_survives_a_round_trip(piece in piece()) {
            prop_assert_eq!(Piece::decode(&piece.encode().unwrap()), Ok(piece));
        }

        #[test]
        fn any_bytes_decode_or_do_not(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            check_entry_bytes(&bytes);
            check_entry_bytes(&[&[VERSION], &bytes[..]].concat());
        }

        #[test]
        fn damaged_entries_decode_or_do_not(entry in entry(), position in any::<usize>(), byte in any::<u8>()) {
            let mut bytes = entry.encode().unwrap();
            let position = position % bytes.len();
            bytes[position] = byte;
            check_entry_bytes(&bytes);
            check_entry_bytes(&bytes[..position]);
        }
    }
}
