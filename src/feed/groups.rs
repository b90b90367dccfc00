//! A set of placement groups: what a receipt covers. All groups are the common case and cost one byte on the wire.
//!
//! Wire form (postcard): `0` for all groups; else `1`, the length 512 as a varint, and the bitmap: group `g` is bit
//! `g % 8` (from the least significant) of byte `g / 8`. A full bitmap reads as all groups.

use crate::base::ids::Group;
use core::fmt;
use serde::{de, Deserialize, Deserializer, Serialize, Serializer};

/// A set of the 4,096 placement groups.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct GroupSet(Form);

/// How the set is kept; a full bitmap is always kept as `All`, so that equal sets are equal values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Form {
    /// No group.
    #[default]
    Empty,
    /// Some groups, neither none nor all.
    Bits(Box<[u8; BITMAP_BYTES]>),
    /// Every group.
    All,
}

impl GroupSet {
    /// The set of no groups.
    #[must_use]
    pub const fn new() -> Self {
        Self(Form::Empty)
    }

    /// The set of all groups.
    #[must_use]
    pub const fn all() -> Self {
        Self(Form::All)
    }

    /// Adds a group.
    pub fn insert(&mut self, group: Group) {
        if !self.contains(group) {
            self.combine(|byte, index| byte | bit_in(group, index));
        }
    }

    /// Takes a group out.
    pub fn remove(&mut self, group: Group) {
        if self.contains(group) {
            self.combine(|byte, index| byte & !bit_in(group, index));
        }
    }

    /// Adds every group of `other`.
    pub fn union(&mut self, other: &Self) {
        if self.is_all() || other.is_empty() {
            return;
        }
        if self.is_empty() || other.is_all() {
            self.clone_from(other);
            return;
        }
        self.combine(|byte, index| byte | other.byte(index));
    }

    /// Takes every group of `other` out.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(|byte, index| byte & !other.byte(index));
    }

    /// Leaves only what is in `other` too.
    pub fn intersect(&mut self, other: &Self) {
        self.combine(|byte, index| byte & other.byte(index));
    }

    /// The groups that are in at least so many of these sets.
    #[must_use]
    pub fn in_at_least<'a>(count: usize, sets: impl Iterator<Item = &'a Self>) -> Self {
        // Level n has the groups that were in more than n sets so far.
        let mut levels = vec![[0_u8; BITMAP_BYTES]; count];
        let mut whole = 0;
        for set in sets {
            whole += usize::from(set.is_all());
            if whole >= count {
                return Self::all();
            }
            for index in 0..BITMAP_BYTES {
                let mut more = set.byte(index);
                for level in &mut levels {
                    let before = level[index];
                    level[index] |= more;
                    more &= before;
                }
            }
        }
        levels.last().map_or_else(Self::all, Self::from_bits)
    }

    /// Whether every group of this set is in `other` too.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        other.is_all() || (0..BITMAP_BYTES).all(|index| self.byte(index) & !other.byte(index) == 0)
    }

    /// Whether any group is in both.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        (0..BITMAP_BYTES).any(|index| self.byte(index) & other.byte(index) != 0)
    }

    /// In how many of these sets every group is, counted up to `most`.
    #[must_use]
    pub fn least(sets: &[&Self], most: usize) -> usize {
        let mut least = most.min(sets.len());
        if sets.iter().filter(|set| set.is_all()).count() >= least {
            return least;
        }
        for index in 0..BITMAP_BYTES {
            for bit in (0..8).map(|bit| 1 << bit) {
                let count = sets.iter().filter(|set| set.byte(index) & bit != 0).take(least).count();
                least = least.min(count);
            }
        }
        least
    }

    /// Whether the group is in the set.
    #[must_use]
    pub fn contains(&self, group: Group) -> bool {
        match &self.0 {
            Form::Empty => false,
            Form::All => true,
            Form::Bits(bits) => {
                let index = usize::from(group.number() / 8);
                bits[index] & bit_in(group, index) != 0
            }
        }
    }

    /// Whether every group is in the set.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        matches!(self.0, Form::All)
    }

    /// Whether no group is in the set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self.0, Form::Empty)
    }

    /// How many groups are in the set, at most [`Group::COUNT`].
    #[must_use]
    pub fn len(&self) -> u16 {
        match &self.0 {
            Form::Empty => 0,
            Form::All => Group::COUNT,
            Form::Bits(bits) => {
                let ones: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
                u16::try_from(ones).expect("a bitmap of 512 bytes has at most 4,096 ones")
            }
        }
    }

    /// The groups of the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Group> + '_ {
        Group::all().filter(|group| self.contains(*group))
    }

    /// One byte of the bitmap.
    fn byte(&self, index: usize) -> u8 {
        match &self.0 {
            Form::Empty => 0,
            Form::All => u8::MAX,
            Form::Bits(bits) => bits[index],
        }
    }

    /// Replaces every byte of the bitmap by what `change` makes of it (byte, index).
    fn combine(&mut self, change: impl Fn(u8, usize) -> u8) {
        let mut bits = [0; BITMAP_BYTES];
        for (index, byte) in bits.iter_mut().enumerate() {
            *byte = change(self.byte(index), index);
        }
        *self = Self::from_bits(&bits);
    }

    /// The set with this bitmap.
    fn from_bits(bits: &[u8; BITMAP_BYTES]) -> Self {
        if bits.iter().all(|byte| *byte == 0) {
            Self(Form::Empty)
        } else if bits.iter().all(|byte| *byte == u8::MAX) {
            Self(Form::All)
        } else {
            Self(Form::Bits(Box::new(*bits)))
        }
    }
}

impl FromIterator<Group> for GroupSet {
    fn from_iter<I: IntoIterator<Item = Group>>(groups: I) -> Self {
        let mut bits = [0; BITMAP_BYTES];
        for group in groups {
            let index = usize::from(group.number() / 8);
            bits[index] |= bit_in(group, index);
        }
        Self::from_bits(&bits)
    }
}

impl fmt::Debug for GroupSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "GroupSet({} of {})", self.len(), Group::COUNT)
    }
}

impl Serialize for GroupSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Form::All => Wire::All.serialize(serializer),
            Form::Empty => Wire::Bits(&[0; BITMAP_BYTES]).serialize(serializer),
            Form::Bits(bits) => Wire::Bits(bits.as_slice()).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for GroupSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Wire::deserialize(deserializer)? {
            Wire::All => Ok(Self::all()),
            Wire::Bits(bits) => match <&[u8; BITMAP_BYTES]>::try_from(bits) {
                Ok(bits) => Ok(Self::from_bits(bits)),
                Err(_) => Err(de::Error::custom("a bitmap of groups has 512 bytes")),
            },
        }
    }
}

/// The wire form; variants keep their order for ever.
#[derive(Serialize, Deserialize)]
enum Wire<'a> {
    /// Every group.
    All,
    /// A bitmap.
    Bits(&'a [u8]),
}

/// The bit of `group` in byte `index` of the bitmap; zero in every other byte.
#[inline]
fn bit_in(group: Group, index: usize) -> u8 {
    if usize::from(group.number() / 8) == index {
        1 << (group.number() % 8)
    } else {
        0
    }
}

/// Length of the bitmap, in bytes.
const BITMAP_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn group(number: u16) -> Group {
        Group::new(number).unwrap()
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_not_taken_out() {
        let mut set: GroupSet = [0, 7, 8, 4095].map(group).into_iter().collect();
        assert_eq!(set.iter().map(Group::number).collect::<Vec<_>>(), [0, 7, 8, 4095]);
        set.remove(group(7));
        set.insert(group(9));
        assert!(set.contains(group(9)) && !set.contains(group(7)));
        assert_eq!(set.len(), 4);
        let copy = set.clone();
        set.subtract(&copy);
        assert!(set.is_empty());
        assert_eq!(set, GroupSet::new());
    }

    #[test]
    fn sets_are_counted_group_by_group() {
        let set = |numbers: &[u16]| numbers.iter().copied().map(group).collect::<GroupSet>();
        let sets = [set(&[1, 2, 3, 4095]), set(&[2, 3]), GroupSet::new(), set(&[3, 4, 4095])];
        let at_least = |count| GroupSet::in_at_least(count, sets.iter());
        assert_eq!(at_least(0), GroupSet::all());
        assert_eq!(at_least(1), set(&[1, 2, 3, 4, 4095]));
        assert_eq!(at_least(2), set(&[2, 3, 4095]));
        assert_eq!(at_least(3), set(&[3]));
        assert_eq!(at_least(4), GroupSet::new());
        let all: Vec<&GroupSet> = sets.iter().collect();
        assert_eq!(GroupSet::least(&all, 9), 0);
        let whole = GroupSet::all();
        let mut nearly = GroupSet::all();
        nearly.remove(group(4095));
        assert_eq!(GroupSet::least(&[&whole, &nearly, &whole, &sets[1]], 9), 2);
        assert_eq!(GroupSet::least(&[&whole, &nearly, &whole], 1), 1);
        assert_eq!(GroupSet::least(&[&whole; 3], 9), 3);
        assert_eq!(GroupSet::least(&[], 9), 0);
        let mut both = sets[0].clone();
        both.intersect(&sets[3]);
        assert_eq!(both, set(&[3, 4095]));
    }

    #[test]
    fn a_full_bitmap_and_all_are_one_value() {
        let counted: GroupSet = Group::all().collect();
        assert_eq!(counted, GroupSet::all());
        let mut set = GroupSet::all();
        set.remove(group(100));
        assert_eq!(set.len(), 4095);
        set.union(&[group(100)].into_iter().collect());
        assert!(set.is_all());
    }

    #[test]
    fn the_wire_form_is_one_byte_or_a_bitmap() {
        // 00: all groups
        assert_eq!(postcard::to_stdvec(&GroupSet::all()).unwrap(), [0x00]);
        let set: GroupSet = [group(0), group(9)].into_iter().collect();
        let bytes = postcard::to_stdvec(&set).unwrap();
        // 01: a bitmap; 80 04: of 512 bytes; 01: group 0; 02: group 9; then zeros
        assert_eq!(bytes[..5], [0x01, 0x80, 0x04, 0x01, 0x02]);
        assert_eq!(bytes.len(), 515);
        assert!(bytes[5..].iter().all(|byte| *byte == 0));
        assert_eq!(postcard::from_bytes::<GroupSet>(&bytes), Ok(set));
        assert!(postcard::from_bytes::<GroupSet>(&bytes[..100]).is_err());
        assert!(postcard::from_bytes::<GroupSet>(&[0x01, 0x02, 0, 0]).is_err());
    }
}
