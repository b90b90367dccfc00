//! Ranges of chunk ids, cut by prefix, and what the ids in a range add up to.
//!
//! Ids are hashes and lie evenly, so a range needs no bounds of its own: it is a prefix, of six bits a level, and its 64
//! children are the prefixes one level longer. Level 0 is all ids, level 2 the placement groups. Owns the arithmetic only; who
//! compares what with whom is `replicate/reconcile.rs`.

use super::ids::{ChunkId, Group};

/// All ids with one prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdRange {
    /// How long the prefix is, in steps of six bits.
    level: u8,
    /// The prefix, below 64 to the power of `level`.
    number: u64,
}

impl IdRange {
    /// Every id.
    pub const ALL: Self = Self { level: 0, number: 0 };
    /// Children of a range.
    pub const CHILDREN: usize = 64;
    /// The level of the placement groups.
    pub const GROUP_LEVEL: u8 = 2;
    /// The longest prefix: 54 bits. Two honest ids never share it.
    pub const LEVEL_MAX: u8 = 9;

    /// The range with this prefix, if there is one.
    #[must_use]
    pub const fn new(level: u8, number: u64) -> Option<Self> {
        if level <= Self::LEVEL_MAX && number >> (BITS * level as u32) == 0 {
            Some(Self { level, number })
        } else {
            None
        }
    }

    /// The range of a placement group.
    #[must_use]
    pub fn of_group(group: Group) -> Self {
        Self { level: Self::GROUP_LEVEL, number: u64::from(group.number()) }
    }

    /// How long the prefix is, in steps of six bits.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// The prefix as a number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.number
    }

    /// The child with this place among the children, if prefixes may be so long.
    #[must_use]
    pub fn child(self, place: usize) -> Option<Self> {
        let place = u64::try_from(place).ok().filter(|place| *place < 1 << BITS)?;
        (self.level < Self::LEVEL_MAX)
            .then(|| Self { level: self.level + 1, number: self.number << BITS | place })
    }

    /// The range that has this one as a child.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        Some(Self { level: self.level.checked_sub(1)?, number: self.number >> BITS })
    }

    /// Whether an id lies in it.
    #[must_use]
    pub fn contains(self, id: &ChunkId) -> bool {
        first_bits(id, u32::from(self.level) * BITS) == self.number
    }

    /// The place of the child in which an id of this range lies.
    #[must_use]
    pub fn place_of(self, id: &ChunkId) -> usize {
        let below = first_bits(id, (u32::from(self.level) + 1) * BITS) & ((1 << BITS) - 1);
        usize::try_from(below).unwrap_or(0)
    }

    /// The groups that it spans; None below the level of groups.
    #[must_use]
    pub fn groups(self) -> Option<core::ops::Range<u16>> {
        let shift = u32::from(Self::GROUP_LEVEL.checked_sub(self.level)?) * BITS;
        let first = u16::try_from(self.number << shift).ok()?;
        Some(first..first + (1 << shift))
    }

    /// The greatest id below the range; None if there is none.
    #[must_use]
    pub fn before(self) -> Option<ChunkId> {
        let before = self.number.checked_sub(1)?;
        let bits = u32::from(self.level) * BITS;
        let first = before << (u64::BITS - bits) | (u64::MAX >> bits);
        let mut id = [u8::MAX; ChunkId::SIZE];
        id[..8].copy_from_slice(&first.to_be_bytes());
        Some(ChunkId::from_bytes(id))
    }
}

/// The first bits of an id as a number; at most 63.
fn first_bits(id: &ChunkId, bits: u32) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *id.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h]).checked_shr(u64::BITS - bits).unwrap_or(0)
}

/// How many ids there are, and their sum modulo 2^256 (an id is read as a number, least significant byte first). It does not
/// depend on the order, and an id that was added can be taken out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Ids.
    count: u64,
    /// Their sum, least significant part first.
    sum: [u64; 4],
}

impl Tally {
    /// How many ids it is of.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The sum as bytes, least significant first.
    #[must_use]
    pub fn sum(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (part, limb) in bytes.chunks_exact_mut(8).zip(self.sum) {
            part.copy_from_slice(&limb.to_le_bytes());
        }
        bytes
    }

    /// Adds an id.
    pub fn add(&mut self, id: &ChunkId) {
        self.join(&Self { count: 1, sum: limbs(id) });
    }

    /// Takes an id out that was added.
    pub fn remove(&mut self, id: &ChunkId) {
        self.count = self.count.wrapping_sub(1);
        let mut borrow = false;
        for (limb, less) in self.sum.iter_mut().zip(limbs(id)) {
            let (once, first) = limb.overflowing_sub(less);
            let (twice, second) = once.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (twice, first || second);
        }
    }

    /// Adds all ids of another one.
    pub fn join(&mut self, other: &Self) {
        self.count = self.count.wrapping_add(other.count);
        let mut carry = false;
        for (limb, more) in self.sum.iter_mut().zip(other.sum) {
            let (once, first) = limb.overflowing_add(more);
            let (twice, second) = once.overflowing_add(u64::from(carry));
            (*limb, carry) = (twice, first || second);
        }
    }
}

/// An id as a number.
fn limbs(id: &ChunkId) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, part) in limbs.iter_mut().zip(id.as_bytes().chunks_exact(8)) {
        let mut eight = [0; 8];
        eight.copy_from_slice(part);
        *limb = u64::from_le_bytes(eight);
    }
    limbs
}

/// What the ids of every placement group add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupTallies(Box<[Tally]>);

impl Default for GroupTallies {
    fn default() -> Self {
        Self(vec![Tally::default(); usize::from(Group::COUNT)].into_boxed_slice())
    }
}

impl GroupTallies {
    /// Adds an id.
    pub fn add(&mut self, id: &ChunkId) {
        self.at(id).add(id);
    }

    /// Takes an id out that was added.
    pub fn remove(&mut self, id: &ChunkId) {
        self.at(id).remove(id);
    }

    /// What the ids of a group add up to.
    #[must_use]
    pub fn group(&self, group: Group) -> &Tally {
        &self.0[usize::from(group.number())]
    }

    /// The tally of the group of an id.
    fn at(&mut self, id: &ChunkId) -> &mut Tally {
        &mut self.0[usize::from(Group::of(id).number())]
    }
}

/// Bits of a prefix for each level.
const BITS: u32 = 6;

const _: () = assert!(1 << BITS == IdRange::CHILDREN);
const _: () = assert!(1 << (BITS * IdRange::GROUP_LEVEL as u32) == Group::COUNT as u32);
// One level more is looked at than prefixes have, and no shift may be wider than the number.
const _: () = assert!(BITS * (IdRange::LEVEL_MAX as u32 + 1) < u64::BITS);

#[cfg(test)]
mod tests {
    use super::*;

    fn id(first: [u8; 3]) -> ChunkId {
        let mut bytes = [7; 32];
        bytes[..3].copy_from_slice(&first);
        ChunkId::from_bytes(bytes)
    }

    #[test]
    fn a_range_is_all_ids_with_a_prefix() {
        let id = id([0xab, 0xcd, 0xef]);
        let group = IdRange::of_group(Group::of(&id));
        assert_eq!((group.level(), group.number()), (2, 0xabc));
        assert!(group.contains(&id) && IdRange::ALL.contains(&id));
        assert_eq!(group.place_of(&id), 0b11_0111, "the next six bits of ..def");
        let child = group.child(0b11_0111).unwrap();
        assert!(child.contains(&id) && !group.child(0).unwrap().contains(&id));
        assert_eq!((child.parent(), IdRange::ALL.parent()), (Some(group), None));
        assert_eq!(IdRange::ALL.child(64), None);
        assert_eq!(IdRange::new(1, 63).unwrap().groups(), Some(4032..4096));
        assert_eq!((group.groups(), child.groups()), (Some(0xabc..0xabd), None));
        assert_eq!((IdRange::new(1, 64), IdRange::new(10, 0)), (None, None));
        let (deepest, last) = (IdRange::new(9, (1 << 54) - 1).unwrap(), ChunkId::from_bytes([255; 32]));
        assert!(deepest.contains(&last) && deepest.child(0).is_none());
        assert_eq!(deepest.place_of(&last), 63, "what a peer says of the deepest ranges is sorted too");
    }

    #[test]
    fn the_id_before_a_range_is_the_last_one_outside() {
        let range = IdRange::new(2, 0xabc).unwrap();
        let before = range.before().unwrap();
        assert!(IdRange::new(2, 0xabb).unwrap().contains(&before));
        assert_eq!(before.as_bytes()[1..], [&[0xbf][..], &[0xff; 30]].concat());
        assert_eq!((IdRange::ALL.before(), IdRange::new(3, 0).unwrap().before()), (None, None));
    }

    #[test]
    fn a_tally_does_not_depend_on_the_order_and_forgets_what_is_taken_out() {
        let ids = [[255; 3], [1, 2, 3], [128, 0, 255]].map(id);
        let (mut one, mut other) = (Tally::default(), Tally::default());
        ids.iter().for_each(|id| one.add(id));
        ids.iter().rev().for_each(|id| other.add(id));
        assert_eq!(one, other);
        let greatest = ChunkId::from_bytes([255; 32]);
        one.add(&greatest);
        assert!(one != other && one.count() == 4, "the carry goes through all parts and away");
        one.remove(&greatest);
        assert_eq!(one, other);
        ids.iter().for_each(|id| one.remove(id));
        assert_eq!(one, Tally::default());
    }
}
