//! The view does not depend on the order in which feeds arrive: random households, read in many orders.

use super::view::{describe, folder, groups, holders, receipt, snapshot};
use crate::base::ids::{NodeId, SnapshotId};
use crate::feed::entry::{decode, Body, Checkpoint, Erase, Erased, GroupSet, Leave, Release, Role, Standing};
use crate::feed::view::View;
use crate::feed::writer::Writer;
use proptest::prelude::{any, proptest, ProptestConfig};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use std::collections::BTreeMap;

/// Nodes that write at random, each by what it has read so far, and go on when they were removed.
struct Household {
    rng: ChaCha8Rng,
    /// The root first.
    writers: Vec<(Writer, View)>,
    /// Everything that was written, feed by feed.
    entries: Vec<Vec<u8>>,
}

impl Household {
    fn new(seed: u64) -> Self {
        let root = Writer::new(1).public();
        let writers = (1..=7).map(|number| (Writer::new(number), View::new(root))).collect();
        let mut house = Self { rng: ChaCha8Rng::seed_from_u64(seed), writers, entries: Vec::new() };
        for other in 1..3 {
            let admitted = house.writers[other].0.clone();
            let bytes = house.writers[0].0.admit(&admitted, Role::Full);
            house.publish(0, bytes);
        }
        for _ in 0..60 {
            house.step();
        }
        house
    }

    fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.rng.next_u64() % u64::try_from(count).unwrap()).unwrap()
    }

    /// Writes into the log, and into the writer's own view if it may.
    fn publish(&mut self, writer: usize, bytes: Vec<u8>) {
        let _ = self.writers[writer].1.apply(&bytes);
        self.entries.push(bytes);
    }

    fn step(&mut self) {
        let who = self.pick(self.writers.len());
        let whom = self.pick(self.writers.len());
        if self.pick(3) == 0 {
            read(&mut self.writers[who].1, &self.entries);
        }
        let known: Vec<SnapshotId> = self.writers[who].1.snapshots().map(|fact| fact.id).collect();
        let chosen = (!known.is_empty()).then(|| known[self.pick(known.len())]);
        let number = u8::try_from(self.pick(4)).unwrap();
        let action = self.pick(if who == 0 { 4 } else { 18 });
        let other = self.writers[whom].0.clone();
        let (writer, view) = &mut self.writers[who];
        let bytes = match (action, chosen) {
            (0, _) => writer.admit(&other, Role::Full),
            (1, _) => writer.admit(&other, Role::Store),
            (2, _) => {
                let heads = view.heads().into_iter().filter(|head| head.feed.node == other.node()).collect();
                writer.remove(other.node(), heads)
            }
            (3, _) => writer.write(describe(&number.to_string())),
            (4, _) => writer.begin(number + 1 + writer.feed.random[0]),
            (5, _) => writer.write(folder(number, number + 1)),
            (6 | 7, Some(id)) => writer.write(receipt(id, groups(&[u16::from(number)]))),
            (8, Some(id)) => writer.write(receipt(id, GroupSet::all())),
            (9, snapshot) => writer.write(Body::Release(Release { snapshot, groups: groups(&[1, 2]) })),
            (14 | 15, Some(id)) => {
                // All that is retired, and one that may stand.
                let all = view.retired().filter_map(|fact| view.erasable(&fact.id));
                let any = Erased { snapshot: id, version: u64::from(number) };
                writer.write(Body::Erase(Erase { snapshots: all.chain([any]).collect() }))
            }
            (16, _) => writer.write(Body::Leave(view.next_leave(other.node(), number > 0))),
            (17, _) => {
                let (node, version) = (other.node(), u64::from(number));
                writer.write(Body::Leave(Leave { node, version, leaves: true }))
            }
            (10..=13, Some(_)) => {
                let feed = [writer.feed, other.feed][usize::from(number / 2)];
                let Some(until) = view.head(&feed) else { return };
                let listed =
                    view.snapshots_at(&feed, 0, until.length).skip(usize::from(number % 2)).step_by(2);
                let standing =
                    listed.map(|fact| Standing { sequence: fact.sequence, held: number == 1 }).collect();
                let (from, version) = (u64::from(number), view.checkpoint_version(&feed) + 1);
                writer.write(Body::Checkpoint(Checkpoint { until, from, version, standing }))
            }
            _ => writer.write(snapshot(number, i64::from(number))),
        };
        self.publish(who, bytes);
    }

    /// The log in another order that keeps each feed's own.
    fn shuffled(&mut self) -> Vec<Vec<u8>> {
        let mut feeds: BTreeMap<_, Vec<Vec<u8>>> = BTreeMap::new();
        for bytes in self.entries.iter().rev() {
            feeds.entry(decode(bytes).unwrap().feed).or_default().push(bytes.clone());
        }
        let mut feeds: Vec<_> = feeds.into_values().collect();
        let mut order = Vec::new();
        while !feeds.is_empty() {
            let at = self.pick(feeds.len());
            order.extend(feeds[at].pop());
            if feeds[at].is_empty() {
                feeds.swap_remove(at);
            }
        }
        order
    }
}

/// Reads a log, as often as it brings something new: a feed may be of a member that others admit later in the log.
fn read(view: &mut View, entries: &[Vec<u8>]) {
    while entries.iter().filter(|bytes| view.apply(bytes).is_ok()).count() > 0 {}
}

/// All that a view says.
fn told(view: &View) -> String {
    let nodes: Vec<NodeId> = (1..=7).map(|number| Writer::new(number).node()).collect();
    let members: Vec<_> = view.roster().members().collect();
    let former: Vec<_> = view.roster().former().collect();
    let snapshots: Vec<_> = view.snapshots().map(|fact| (fact.id, holders(view, &fact.id))).collect();
    let retired: Vec<_> = view.retired().map(|fact| fact.id).collect();
    let held: Vec<_> = view.snapshots().map(|fact| view.is_held(&fact.id)).collect();
    let erased: Vec<_> = view.erased().collect();
    let folders: Vec<_> = view.folders().collect();
    let described: Vec<_> = nodes.iter().map(|node| view.describe(node)).collect();
    let leaving: Vec<_> = nodes.iter().map(|node| view.leaving(node)).collect();
    let chains: Vec<_> = nodes.iter().map(|node| view.admit_chain(node)).collect();
    format!(
        "{members:?} {former:?} {:?} {snapshots:?} {retired:?} {erased:?} {held:?} {folders:?} {described:?} {leaving:?} {chains:?}",
        view.heads()
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_order_in_which_feeds_arrive_changes_nothing(seed in any::<u64>()) {
        let mut house = Household::new(seed);
        let root = Writer::new(1).public();
        let mut first = View::new(root);
        read(&mut first, &house.entries);
        assert_eq!(first.forks().count(), 0);
        for _ in 0..4 {
            let mut view = View::new(root);
            // Some have introduced themselves before their feeds, and those of who admitted them, were read.
            for member in first.roster().members().filter(|member| member.node.as_bytes()[0] % 2 == 0) {
                // Refused when somebody in the chain was removed: from which time is this?
                let _ = view.introduce(&first.admit_chain(&member.node));
            }
            read(&mut view, &house.shuffled());
            assert_eq!(told(&view), told(&first));
        }
        // A view that grew by and by, and the one of somebody who read while it was written.
        for (_, mut view) in house.writers {
            read(&mut view, &house.entries);
            assert_eq!(told(&view), told(&first));
        }
    }
}

#[test]
fn the_random_household_is_not_dull() {
    let mut seen = [0_usize; 8];
    for seed in 0..240 {
        let house = Household::new(seed);
        let mut view = View::new(Writer::new(1).public());
        read(&mut view, &house.entries);
        let held = view.snapshots().filter(|fact| view.receipts(&fact.id).next().is_some()).count();
        for (sum, count) in seen.iter_mut().zip([
            view.roster().members().count(),
            view.roster().former().count(),
            view.snapshots().count(),
            view.folders().count(),
            held,
            view.retired().count(),
            view.erased().count(),
            view.roster().members().filter(|member| view.leaving(&member.node).is_some()).count(),
        ]) {
            *sum += count;
        }
    }
    assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
}
