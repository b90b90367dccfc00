//! Tests: what all ids add up to stays true while chunks come and go, rot, move and fail to be written.

use proptest::prelude::*;

use super::tester::{chunk, Tester};
use crate::base::ranges::GroupTallies;
use crate::sim::disk::{Fault, SimDisk};
use crate::store::service::{CompactState, Reply, Request};

/// What all ids add up to, after so many steps.
fn tally(tester: &mut Tester, limit: usize) -> (GroupTallies, usize) {
    for step in 1..1_000 {
        match tester.ask(Request::Tally { op: 9, limit }) {
            Some(Reply::Tally { op: 9, groups: Some(groups) }) => return (groups, step),
            Some(Reply::Tally { op: 9, groups: None }) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("the count does not come to an end")
}

/// The same, counted from what is there.
fn counted(tester: &mut Tester) -> GroupTallies {
    let mut groups = GroupTallies::default();
    tester.scan(false).keys().for_each(|id| groups.add(id));
    groups
}

#[test]
fn the_first_time_it_is_counted_in_steps_and_then_it_is_known() {
    let mut tester = Tester::open(&SimDisk::new(1 << 24)).unwrap();
    assert_eq!(tally(&mut tester, 10), (GroupTallies::default(), 1));
    drop(tester.die());
    let mut tester = Tester::open(&SimDisk::new(1 << 24)).unwrap();
    (0..95).for_each(|number| tester.put(number));
    let expected = counted(&mut tester);
    assert_eq!(tally(&mut tester, 10), (expected.clone(), 10));
    assert_eq!(tally(&mut tester, 10), (expected, 1));
    tester.put(100);
    tester.give_up(&[3, 4, 4, 5]);
    let expected = counted(&mut tester);
    assert_eq!(tally(&mut tester, 10), (expected, 1));
}

#[test]
fn chunks_in_a_segment_that_is_gone_are_not_counted() {
    let disk = SimDisk::new(1 << 24);
    let mut tester = Tester::open(&disk).unwrap();
    (0..95).for_each(|number| tester.put(number));
    tester.ask(Request::Flush { op: 0 });
    let (before, _) = tally(&mut tester, 1_000);
    tester.service.close();
    let name = disk
        .files()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("segments/"))
        .nth(1)
        .unwrap();
    crate::store::disk::Disk::remove(&disk, &name).unwrap();
    let mut tester = Tester::open(&disk).unwrap();
    let (after, _) = tally(&mut tester, 7);
    assert!(after != before);
    assert_eq!(after, counted(&mut tester));
}

/// One step of the property test.
#[derive(Debug, Clone)]
enum Step {
    /// Put a chunk.
    Put(u64),
    /// Give a chunk up.
    Drop(u64),
    /// Count on.
    Tally(usize),
    /// Let everything rot that is in this segment, and read a chunk.
    Rot(usize, u64),
    /// Compact.
    Compact,
    /// The next sync fails.
    Fail,
    /// Sync.
    Flush,
}

/// Any step.
fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..60_u64).prop_map(Step::Put),
        4 => (0..60_u64).prop_map(Step::Drop),
        4 => (1..12_usize).prop_map(Step::Tally),
        1 => (0..9_usize, 0..60_u64).prop_map(|(segment, number)| Step::Rot(segment, number)),
        1 => Just(Step::Compact),
        1 => Just(Step::Fail),
        2 => Just(Step::Flush),
    ]
}

/// Does one step.
fn take(tester: &mut Tester, step: &Step) {
    match step {
        Step::Put(number) => tester.put(*number),
        Step::Drop(number) => tester.give_up(&[*number]),
        Step::Tally(limit) => drop(tester.ask(Request::Tally { op: 9, limit: *limit })),
        Step::Rot(segment, number) => {
            let names: Vec<String> = tester
                .disk
                .files()
                .into_iter()
                .map(|(name, _)| name)
                .filter(|name| name.starts_with("segments/"))
                .collect();
            if let Some(name) = names.get(*segment) {
                let length = tester.disk.content(name).map_or(1, |content| content.len());
                tester.disk.flip_bits(name, (100 + number * 50).min(u64::try_from(length).unwrap() - 1), 3);
            }
            let _ = tester.get(*number);
        }
        Step::Compact => {
            for _ in 0..20 {
                match tester.ask(Request::Compact { op: 1, bytes: 4_000, keep: vec![chunk(7).0] }) {
                    Some(Reply::Compact { result: Ok(done), .. }) if done.state != CompactState::Idle => {}
                    _ => break,
                }
            }
        }
        Step::Fail => {
            tester.disk.fail_after(0, Fault::Io);
            tester.ask(Request::Flush { op: 0 });
            tester.disk.heal();
        }
        Step::Flush => drop(tester.ask(Request::Flush { op: 0 })),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_all_ids_add_up_to_is_what_is_there(steps in proptest::collection::vec(step(), 1..150)) {
        let mut tester = Tester::open(&SimDisk::new(1 << 24)).unwrap();
        tester.stubborn = true;
        steps.iter().for_each(|step| take(&mut tester, step));
        let (tallies, _) = tally(&mut tester, 5);
        let counted = counted(&mut tester);
        prop_assert_eq!(tallies, counted);
    }
}
