//! Which change made an entry of a shared folder, and which changes a device has seen.
//!
//! A [`Dot`] names one change: the feed that it was made in, and its number there. A [`Vector`] says of each feed up to which
//! number its changes were seen; deletions are numbered too, so that who has seen one has seen more. A version goes exactly if the other side has seen its dot and lacks it; there is no
//! tombstone (Preguica et al., "Dotted Version Vectors", 2010; Almeida et al., "Delta State Replicated Data Types", 2018,
//! section 7.2: one causal context for a whole map). `file/merge.rs` uses both, no clock has a say in them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::{hex, FeedId};
use super::limits::VECTOR_FEEDS_MAX;

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// Counts within the feed, from 1 on. It comes first: of two concurrent versions with equal content the one stays
    /// whose writer has made more changes.
    pub counter: u64,
    /// The feed of the device that made it.
    pub feed: FeedId,
}

impl Dot {
    /// Six digits that tell it from others that are likely to meet it, for names of conflict copies.
    #[must_use]
    pub fn short(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(self.feed.node.as_bytes())
            .update(&self.feed.random)
            .update(&self.counter.to_be_bytes());
        hex(&hasher.finalize().as_bytes()[..3])
    }
}

/// Which changes were seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vector(BTreeMap<FeedId, u64>);

impl Vector {
    /// Whether a change was seen.
    #[must_use]
    pub fn covers(&self, dot: &Dot) -> bool {
        self.0.get(&dot.feed).is_some_and(|seen| *seen >= dot.counter)
    }

    /// Whether all was seen that `other` has seen.
    #[must_use]
    pub fn covers_all(&self, other: &Self) -> bool {
        other.0.iter().all(|(feed, counter)| self.covers(&Dot { counter: *counter, feed: *feed }))
    }

    /// Sees what `other` has seen.
    pub fn join(&mut self, other: &Self) {
        for (feed, counter) in &other.0 {
            let seen = self.0.entry(*feed).or_default();
            *seen = (*seen).max(*counter);
        }
    }

    /// The dot of a change that is made now in `feed`.
    pub fn next(&mut self, feed: FeedId) -> Dot {
        let seen = self.0.entry(feed).or_default();
        *seen = seen.saturating_add(1);
        Dot { counter: *seen, feed }
    }

    /// How many changes of a feed were seen.
    #[must_use]
    pub fn of(&self, feed: &FeedId) -> u64 {
        self.0.get(feed).copied().unwrap_or(0)
    }

    /// How many changes were seen in all: of two states of one device the later one has seen more, or as many.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.values().fold(0, |sum, counter| sum.saturating_add(*counter))
    }
}

impl Serialize for Vector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(VectorVisitor)
    }
}

/// No feed makes so many changes: a greater number is made up.
const COUNTER_MAX: u64 = 1 << 60;

/// Takes feeds and counters: ascending, bounded, none of zero, so that a vector has one encoding.
struct VectorVisitor;

impl<'de> Visitor<'de> for VectorVisitor {
    type Value = Vector;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "at most {VECTOR_FEEDS_MAX} ascending feeds with their counters")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vector, A::Error> {
        let mut vector = BTreeMap::new();
        while let Some((feed, counter)) = items.next_element::<(FeedId, u64)>()? {
            let ascends = vector.last_key_value().is_none_or(|(last, _)| *last < feed);
            if vector.len() == VECTOR_FEEDS_MAX || !ascends || counter == 0 || counter > COUNTER_MAX {
                return Err(A::Error::custom("not a vector of versions"));
            }
            vector.insert(feed, counter);
        }
        Ok(Vector(vector))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::NodeId;
    use super::*;

    /// A feed of a node with this number.
    fn feed(number: u8) -> FeedId {
        FeedId { node: NodeId::from_bytes([number; 32]), random: [number; 8] }
    }

    #[test]
    fn a_vector_covers_what_it_has_seen_and_no_more() {
        let (mut one, mut other) = (Vector::default(), Vector::default());
        let first = one.next(feed(1));
        let second = other.next(feed(2));
        assert!(one.covers(&first) && !one.covers(&second) && !one.covers_all(&other));
        one.join(&other);
        assert!(one.covers(&second) && one.covers_all(&other) && !other.covers_all(&one));
        assert_eq!((one.sum(), one.of(&feed(1)), one.of(&feed(3))), (2, 1, 0));
        assert_eq!(one.next(feed(1)).counter, 2);
    }

    #[test]
    fn a_vector_has_one_encoding() {
        let mut vector = Vector::default();
        vector.next(feed(2));
        vector.next(feed(1));
        let bytes = postcard::to_stdvec(&vector).unwrap();
        assert_eq!(postcard::from_bytes::<Vector>(&bytes).unwrap(), vector);
        let swapped = postcard::to_stdvec(&[(feed(2), 1_u64), (feed(1), 1)].as_slice()).unwrap();
        assert!(postcard::from_bytes::<Vector>(&swapped).is_err(), "not ascending");
        let zero = postcard::to_stdvec(&[(feed(1), 0_u64)].as_slice()).unwrap();
        assert!(postcard::from_bytes::<Vector>(&zero).is_err(), "a feed of which nothing was seen");
    }

    #[test]
    fn short_names_differ_between_changes() {
        let names: std::collections::BTreeSet<String> =
            (1..=200).map(|counter| Dot { counter, feed: feed(7) }.short()).collect();
        assert_eq!(names.len(), 200);
    }
}
