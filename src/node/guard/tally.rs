//! What a scan counts for the guard over a folder: what went, what is new, and what turned into something that does not compress.
//!
//! Owns the counting, in constant memory: of contents that went and of contents that came only those with the smallest hashes are
//! remembered ("bottom k"; Cohen and Kaplan, "Summarizing data using bottom-k sketches", 2007), which is enough to estimate how many of
//! them are the same, so that what was moved is not taken for lost. Judges nothing: that is `node/guard.rs`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::limits::GUARD_SKETCH_MAX;
use crate::file::entry::texture::Texture;
use crate::file::entry::{Content, Entry, Kind, Piece};

/// Files, and their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Amount {
    /// How many.
    pub files: u64,
    /// Bytes of content.
    pub bytes: u64,
}

/// What a scan has counted. Nothing where there was nothing to compare with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// What there was; nothing where there is nothing to compare with.
    pub before: Amount,
    /// Files that are not at their paths any more, by what they were made of.
    pub gone: [Amount; 3],
    /// Files at paths where there was none, by what they are made of.
    pub fresh: [Amount; 3],
    /// Files that compressed or had a head before, and do not or have none now.
    pub turned: Amount,
    /// The other way round.
    pub turned_back: Amount,
    /// Contents that stand at none of their former paths any more.
    pub lost: Sketch,
    /// Contents that stand where they did not.
    pub arrived: Sketch,
    /// Of the contents that are missed, those that are here again.
    pub returned: BTreeSet<u64>,
}

/// The smallest hashes of a set of contents, and how many there are in all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sketch {
    /// At most [`GUARD_SKETCH_MAX`].
    kept: BTreeSet<u64>,
    /// All that were added, equal ones too.
    count: u64,
}

/// A file's content as a tally sees it.
#[derive(Debug, Clone, Copy)]
pub(in crate::node) struct Seen {
    /// Bytes.
    bytes: u64,
    /// What it is made of.
    texture: Texture,
    /// Which content; None: none to speak of.
    hash: Option<u64>,
}

impl Amount {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { files: self.files.saturating_add(other.files), bytes: self.bytes.saturating_add(other.bytes) }
    }

    /// What is left of it.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self { files: self.files.saturating_sub(other.files), bytes: self.bytes.saturating_sub(other.bytes) }
    }

    /// The lesser of each.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self { files: self.files.min(other.files), bytes: self.bytes.min(other.bytes) }
    }

    /// The greater of each.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        Self { files: self.files.max(other.files), bytes: self.bytes.max(other.bytes) }
    }

    /// So many parts of so many.
    #[must_use]
    pub fn part(self, parts: u64, of: u64) -> Self {
        let part = |value: u64| {
            let whole = u128::from(value) * u128::from(parts) / u128::from(of.max(1));
            u64::try_from(whole).unwrap_or(u64::MAX)
        };
        Self { files: part(self.files), bytes: part(self.bytes) }
    }

    /// One more.
    const fn add(&mut self, bytes: u64) {
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl Sketch {
    /// One more.
    fn add(&mut self, hash: u64) {
        self.count = self.count.saturating_add(1);
        self.kept.insert(hash);
        if self.kept.len() > GUARD_SKETCH_MAX {
            self.kept.pop_last();
        }
    }

    /// The smallest hashes, ascending.
    pub fn smallest(&self) -> impl Iterator<Item = u64> + '_ {
        self.kept.iter().copied()
    }

    /// Nothing was added.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How far it knows all hashes.
    fn range(&self) -> u64 {
        if self.kept.len() < GUARD_SKETCH_MAX {
            return u64::MAX;
        }
        self.kept.last().copied().unwrap_or(u64::MAX)
    }

    /// About how many of the contents are in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> u64 {
        let range = self.range().min(other.range());
        let (mine, theirs) = (self.kept.range(..=range).count(), other.kept.range(..=range).count());
        let both = self.kept.range(..=range).filter(|hash| other.kept.contains(hash)).count();
        let [both, looked_at] = [both, mine + theirs].map(|count| u64::try_from(count).unwrap_or(u64::MAX));
        let all = Amount { files: self.count.saturating_add(other.count), bytes: 0 };
        all.part(both, looked_at).files.min(self.count).min(other.count)
    }
}

impl Seen {
    /// The content of an entry; None of what is no file.
    pub(in crate::node) fn of(entry: &Entry, tail: &[u8]) -> Option<Self> {
        let hash = hash_of(&entry.content, tail);
        let (bytes, texture) = (entry.stat.size, entry.texture);
        (entry.kind == Kind::File).then_some(Self { bytes, texture, hash })
    }

    /// New content.
    pub(in crate::node) fn new(bytes: u64, texture: Texture, content: &Content, tail: &[u8]) -> Self {
        Self { bytes, texture, hash: hash_of(content, tail) }
    }
}

impl Tally {
    /// A file is not there any more.
    pub(in crate::node) fn gone(&mut self, before: Seen) {
        self.gone[index(before.texture)].add(before.bytes);
        before.hash.into_iter().for_each(|hash| self.lost.add(hash));
    }

    /// A file is new.
    pub(in crate::node) fn fresh(&mut self, now: Seen, missed: &[u64]) {
        self.fresh[index(now.texture)].add(now.bytes);
        self.arrived(now, missed);
    }

    /// A file was read again.
    pub(in crate::node) fn changed(&mut self, before: Seen, now: Seen, missed: &[u64]) {
        if before.hash == now.hash {
            return;
        }
        self.arrived(now, missed);
        if now.texture > before.texture {
            self.turned.add(before.bytes);
            before.hash.into_iter().for_each(|hash| self.lost.add(hash));
        } else if now.texture < before.texture {
            self.turned_back.add(now.bytes);
        }
    }

    /// About how many of the files that went stand elsewhere now.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.lost.common(&self.arrived)
    }

    /// Nothing went, came or turned.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let Self { gone, fresh, turned, turned_back, .. } = self;
        gone.iter().chain(fresh).chain([turned, turned_back]).all(|amount| amount.files == 0)
    }

    /// This content is where it was not.
    fn arrived(&mut self, now: Seen, missed: &[u64]) {
        let Some(hash) = now.hash else { return };
        self.arrived.add(hash);
        if missed.binary_search(&hash).is_ok() {
            self.returned.insert(hash);
        }
    }
}

/// Where a texture is counted.
const fn index(texture: Texture) -> usize {
    match texture {
        Texture::Plain => 0,
        Texture::Packed => 1,
        Texture::Noise => 2,
    }
}

/// Tells contents apart. Ids are hashes; what they are mixed by only has to keep them apart and spread.
fn hash_of(content: &Content, tail: &[u8]) -> Option<u64> {
    let of_id = |id: &crate::base::ids::ChunkId| {
        let (_, last) = id.as_bytes().split_last_chunk::<8>()?;
        Some(u64::from_le_bytes(*last))
    };
    match content {
        Content::None | Content::Target(_) => None,
        Content::Inline => {
            let hash = blake3::hash(tail);
            let (first, _) = hash.as_bytes().split_first_chunk::<8>()?;
            Some(u64::from_le_bytes(*first))
        }
        Content::List { root, .. } => of_id(root),
        Content::Pieces(pieces) => pieces.iter().try_fold(0_u64, |mixed, piece| {
            let next = match piece {
                Piece::Chunk { id, .. } => of_id(id)?,
                Piece::Hole { length } => *length,
            };
            Some((mixed.rotate_left(23) ^ next).wrapping_mul(ODD))
        }),
    }
}

/// An odd number without a pattern: multiplying by it loses nothing (2^64 divided by the golden ratio; Knuth, TAOCP 3, 6.4).
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ChunkId;
    use sha2::{Digest, Sha256};

    /// A file of one piece.
    fn file(number: u64, texture: Texture) -> Seen {
        let id = ChunkId::from_bytes(Sha256::digest(number.to_le_bytes()).into());
        Seen::new(10, texture, &Content::Pieces(vec![Piece::Chunk { id, length: 10 }]), &[])
    }

    #[test]
    fn what_was_moved_is_known_exactly_while_it_is_little_and_about_right_else() {
        for (all, moved) in [(100, 0), (100, 37), (100, 100), (20_000, 0), (20_000, 10_000), (20_000, 20_000)]
        {
            let mut tally = Tally::default();
            (0..all).for_each(|number| tally.gone(file(number, Texture::Plain)));
            (0..moved).for_each(|number| tally.fresh(file(number, Texture::Plain), &[]));
            (0..all - moved).for_each(|number| tally.fresh(file(1_000_000 + number, Texture::Plain), &[]));
            let error = tally.moved().abs_diff(moved);
            assert!(error * 8 <= if all > 1_000 { all } else { 0 }, "{all} {moved}: {}", tally.moved());
            assert!(tally.lost.kept.len() <= GUARD_SKETCH_MAX);
        }
    }

    #[test]
    fn a_change_is_worse_or_better_and_what_is_missed_is_found_again() {
        let mut tally = Tally::default();
        tally.changed(file(1, Texture::Plain), file(1, Texture::Plain), &[]);
        assert!(tally.is_quiet(), "only its times have changed");
        tally.changed(file(1, Texture::Plain), file(2, Texture::Noise), &[]);
        tally.changed(file(3, Texture::Noise), file(4, Texture::Noise), &[]);
        assert_eq!((tally.turned.files, tally.turned_back.files), (1, 0));
        let missed: Vec<u64> = tally.lost.smallest().collect();
        assert_eq!(missed.len(), 1);
        let mut later = Tally::default();
        later.changed(file(2, Texture::Noise), file(1, Texture::Plain), &missed);
        assert_eq!((later.turned_back.files, later.returned.into_iter().collect::<Vec<_>>()), (1, missed));
    }
}
