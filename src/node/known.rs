//! Since when this node has known each member: whose word it heeds when a snapshot shall go before its time, and to whom it leaves
//! what it gives up.
//!
//! A full node may let others in. So two words of full nodes are the words of two only if the second is not one that the first has
//! made up for the purpose. Whoever owns one node cannot make up the past of another device: a full node counts here when it
//! has been known for the whole floor (`store.retired`), in this node's own running time, or since this node itself came into the vault (its
//! first day there). Then a made-up one gains nothing: without it, too, what is retired goes after the floor.
//!
//! For that long what is given up here because others hold it (`node/surplus.rs`) is left to two at least that are known in this sense: a
//! full node that has let false holders in and makes room for them in the placement is one of those at most.
//!
//! Keeps the books and decides over words; `node/erase.rs` connects it.

use std::collections::{BTreeMap, BTreeSet};

use super::collect::Settings;
use crate::base::gather;
use crate::base::ids::NodeId;
use crate::base::limits::KNOWN_FROM_THE_START;
use crate::base::units::Span;

/// The books. Running times are this node's own.
#[derive(Debug, Default)]
pub struct Known {
    /// When this node first looked at its vault.
    first: Option<Span>,
    /// When each other full node was seen first as such; zero: it was there from the start.
    seen: BTreeMap<NodeId, Span>,
    /// The same of each other member, whatever it may do: a store node that is let in anew as a full one has no past as such.
    met: BTreeMap<NodeId, Span>,
}

/// What this node makes of the words on a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heed {
    /// They are enough: it goes.
    Enough,
    /// There are too few.
    Few,
    /// There would be enough if this node had known their authors for longer.
    Young,
}

impl Known {
    /// What was saved.
    #[must_use]
    pub fn load(settings: &BTreeMap<String, Vec<u8>>) -> Self {
        let span = |bytes: &Vec<u8>| {
            bytes.as_slice().try_into().ok().map(|bytes| Span::from_micros(u64::from_le_bytes(bytes)))
        };
        let all = |prefix: &str| {
            let stamps = settings.iter().filter_map(|(key, bytes)| {
                let node = key.strip_prefix(prefix)?.parse().ok()?;
                Some((node, span(bytes)?))
            });
            gather::map(stamps)
        };
        let (seen, met) = (all(KNOWN_PREFIX), all(MET_PREFIX));
        Self { first: settings.get(FIRST_KEY).and_then(span), seen, met }
    }

    /// Looks at the other members of the vault, those present (and whether they are full ones) and those removed. What is to be saved is
    /// added to `settings`, together with the running time.
    pub fn look(
        &mut self,
        running: Span,
        present: impl Iterator<Item = (NodeId, bool)>,
        removed: impl Iterator<Item = NodeId>,
        settings: &mut Settings,
    ) {
        let first = *self.first.get_or_insert_with(|| {
            settings.push((FIRST_KEY.to_owned(), Some(encode(running))));
            running
        });
        let is_start = running <= first + KNOWN_FROM_THE_START;
        let stamp = if is_start { Span::default() } else { running };
        for (node, is_full) in present {
            let as_full = is_full.then_some((&mut self.seen, KNOWN_PREFIX));
            for (book, prefix) in [(&mut self.met, MET_PREFIX)].into_iter().chain(as_full) {
                if let std::collections::btree_map::Entry::Vacant(vacant) = book.entry(node) {
                    vacant.insert(stamp);
                    settings.push((key_of(prefix, &node), Some(encode(stamp))));
                }
            }
        }
        for node in removed {
            for (book, prefix) in [(&mut self.met, MET_PREFIX), (&mut self.seen, KNOWN_PREFIX)] {
                if book.remove(&node).is_some() {
                    settings.push((key_of(prefix, &node), None));
                }
            }
        }
    }

    /// Whether a member has been known for the whole floor, or from the start.
    #[must_use]
    pub fn is_old(&self, node: &NodeId, running: Span, floor: Span) -> bool {
        self.met.get(node).is_some_and(|seen| is_old(*seen, running, floor))
    }

    /// What the node `own` makes of these words.
    #[must_use]
    pub fn heed(
        &self,
        words: &BTreeSet<NodeId>,
        (own, root): (&NodeId, &NodeId),
        running: Span,
        floor: Span,
    ) -> Heed {
        if words.contains(root) {
            return Heed::Enough;
        }
        if words.len() < 2 {
            return Heed::Few;
        }
        // What a person has said at this very node needs no past.
        let others = words.iter().filter(|node| *node != own);
        let seen = others.filter_map(|node| self.seen.get(node));
        let old = seen.filter(|seen| is_old(**seen, running, floor)).count();
        if words.contains(own) || old >= 2 {
            Heed::Enough
        } else {
            Heed::Young
        }
    }
}

/// Whether who was seen first then has been known for the whole floor, or from the start.
fn is_old(seen: Span, running: Span, floor: Span) -> bool {
    seen.as_micros() == 0 || running >= seen + floor
}

/// Under which name it is kept when a member was seen first.
fn key_of(prefix: &str, node: &NodeId) -> String {
    format!("{prefix}{node}")
}

/// A span as it is saved.
fn encode(span: Span) -> Vec<u8> {
    span.as_micros().to_le_bytes().to_vec()
}

/// See [`key_of`].
const KNOWN_PREFIX: &str = "known:";
/// The same of members of both roles.
const MET_PREFIX: &str = "met:";
/// When this node first looked.
const FIRST_KEY: &str = "known";

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Span = Span::from_secs(37 * 86_400);
    const DAY: Span = Span::from_secs(86_400);

    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 32])
    }

    /// What node 1 makes of the words of these after so many days; node 0 is the root.
    fn heed(known: &Known, words: &[u8], days: u64) -> Heed {
        let words = words.iter().map(|number| node(*number)).collect();
        known.heed(&words, (&node(1), &node(0)), DAY.times(days), FLOOR)
    }

    /// Looks at these members after so many days; what was saved.
    fn look(known: &mut Known, days: u64, present: &[u8], removed: &[u8]) -> Settings {
        let mut settings = Settings::new();
        let nodes = |numbers: &[u8]| numbers.iter().map(|number| node(*number)).collect::<Vec<_>>();
        let present = nodes(present).into_iter().map(|node| (node, true));
        let removed = nodes(removed).into_iter();
        known.look(DAY.times(days), present, removed, &mut settings);
        settings
    }

    #[test]
    fn two_are_two_only_when_both_have_been_known_for_long_enough() {
        let mut known = Known::default();
        look(&mut known, 5, &[1, 2, 3], &[]);
        assert_eq!(heed(&known, &[], 5), Heed::Few);
        assert_eq!(heed(&known, &[2], 5), Heed::Few, "one alone never");
        assert_eq!(heed(&known, &[2], 5_000), Heed::Few);
        assert_eq!(heed(&known, &[2, 3], 5), Heed::Enough, "they were there from the start");
        look(&mut known, 20, &[1, 2, 3, 4], &[]);
        assert_eq!(heed(&known, &[2, 4], 20), Heed::Young, "whom one of them may have made up");
        assert_eq!(heed(&known, &[2, 4], 56), Heed::Young);
        assert_eq!(heed(&known, &[2, 4], 57), Heed::Enough, "as long as anything that is retired waits");
        assert_eq!(heed(&known, &[2, 9], 5_000), Heed::Young, "nobody has seen that one");
    }

    #[test]
    fn the_root_is_enough_and_what_was_said_here_needs_no_past() {
        let mut known = Known::default();
        look(&mut known, 5, &[1, 2], &[]);
        look(&mut known, 20, &[1, 2, 4], &[]);
        assert_eq!(heed(&known, &[0], 5), Heed::Enough);
        assert_eq!(heed(&known, &[1], 5), Heed::Few);
        assert_eq!(heed(&known, &[1, 4], 20), Heed::Enough);
    }

    #[test]
    fn what_was_saved_is_known_after_a_restart_and_a_removed_node_is_forgotten() {
        let mut known = Known::default();
        let mut saved: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut keep = |settings: Settings| {
            for (key, value) in settings {
                match value {
                    Some(value) => drop(saved.insert(key, value)),
                    None => drop(saved.remove(&key)),
                }
            }
        };
        keep(look(&mut known, 5, &[1, 2], &[]));
        assert!(look(&mut known, 5, &[1, 2], &[]).is_empty(), "it is written once");
        keep(look(&mut known, 20, &[1, 2, 4, 6], &[]));
        keep(look(&mut known, 21, &[1, 2, 4], &[6]));
        let known = Known::load(&saved);
        assert_eq!((known.first, known.seen.len()), (Some(DAY.times(5)), 3));
        assert_eq!(heed(&known, &[2, 4], 56), Heed::Young);
        assert_eq!(heed(&known, &[2, 4], 57), Heed::Enough);
    }
}
