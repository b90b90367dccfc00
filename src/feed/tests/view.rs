//! The view: what counts, told as stories. That order changes nothing is shown in [`super::order`].

use crate::base::ids::{ChunkId, FolderId, Group, NodeId, SnapshotId};
use crate::base::limits::FEEDS_PER_NODE_MAX;
use crate::base::units::{Copies, WallTime};
use crate::feed::entry::{
    hash, kind, snapshot_id, Alert, Body, Counts, Describe, FeedError, FolderEntry, FolderKind, GroupSet,
    Note, Receipt, Release, Role, SnapshotEntry,
};
use crate::feed::view::{Applied, View};
use crate::feed::writer::Writer;

fn apply(view: &mut View, bytes: &[u8]) -> Applied {
    view.apply(bytes).unwrap()
}

pub(in crate::feed) fn snapshot(folder: u8, taken: i64) -> Body {
    Body::Snapshot(SnapshotEntry {
        folder: FolderId::from_bytes([folder; 16]),
        manifest: ChunkId::from_bytes([6; 32]),
        parent: None,
        copies: Copies::new(3),
        taken: WallTime::from_micros(taken),
        complete: true,
        counts: Counts::default(),
        sealed: vec![],
    })
}

pub(super) fn folder(folder: u8, copies: u8) -> Body {
    Body::Folder(FolderEntry {
        folder: FolderId::from_bytes([folder; 16]),
        kind: FolderKind::Backup,
        copies: Copies::new(copies),
        removed: false,
        sealed: vec![],
    })
}

pub(super) fn receipt(snapshot: SnapshotId, groups: GroupSet) -> Body {
    Body::Receipt(Receipt { snapshot, groups })
}

pub(super) fn describe(name: &str) -> Body {
    let (site, version) = (String::new(), String::new());
    Body::Describe(Describe {
        name: name.into(),
        site,
        capacity_bytes: 0,
        is_full: false,
        addresses: vec![],
        version,
    })
}

pub(super) fn groups(numbers: &[u16]) -> GroupSet {
    numbers.iter().map(|number| Group::new(*number).unwrap()).collect()
}

/// A root, a full node and two store nodes that it knows, and a view that has read their Admits.
fn household() -> (View, Writer, Writer, Writer, Writer) {
    let (mut root, full, one, two) = (Writer::new(1), Writer::new(2), Writer::new(3), Writer::new(4));
    let mut view = View::new(root.public());
    for (other, role) in [(&full, Role::Full), (&one, Role::Store), (&two, Role::Store)] {
        let admit = root.admit(other, role);
        assert!(apply(&mut view, &admit).counts);
    }
    (view, root, full, one, two)
}

pub(super) fn holders(view: &View, snapshot: &SnapshotId) -> Vec<(NodeId, u16)> {
    view.receipts(snapshot).map(|(node, groups)| (node, groups.len())).collect()
}

#[test]
fn an_entry_is_taken_once_in_its_turn_from_a_member() {
    let (mut view, _, mut full, ..) = household();
    let entries = [full.write(describe("a")), full.write(snapshot(1, 5))];
    assert_eq!(view.apply(&entries[1]), Err(FeedError::Gap { feed: full.feed, have: 0 }));
    apply(&mut view, &entries[0]);
    let applied = apply(&mut view, &entries[1]);
    assert_eq!((applied.feed, applied.sequence, applied.hash), (full.feed, 1, full.last));
    assert_eq!(view.apply(&entries[0]), Err(FeedError::Known));
    assert_eq!(view.head(&full.feed), Some(full.head()));
    let next = view.next_entry(&full.feed, WallTime::default(), describe("b"));
    assert_eq!((next.sequence, next.previous), (2, full.last));

    let mut stranger = Writer::new(9);
    assert_eq!(view.apply(&stranger.write(describe("s"))), Err(FeedError::UnknownAuthor(stranger.node())));
    let mut forged = full.write(describe("f"));
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(view.apply(&forged), Err(FeedError::Signature));
    assert_eq!(view.heads().len(), 2);
}

#[test]
fn a_proven_fork_keeps_what_came_first_and_is_remembered() {
    let (mut view, _, mut full, ..) = household();
    let mut copy = full.clone();
    apply(&mut view, &full.write(describe("a")));
    apply(&mut view, &full.write(describe("b")));
    // The same disk, started twice.
    let others = [copy.write(describe("a")), copy.write(describe("c")), copy.write(describe("d"))];
    assert_eq!(view.apply(&others[0]), Err(FeedError::Known));
    let fork = FeedError::Fork { feed: full.feed, sequence: 1 };
    let mut forged = others[1].clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(view.apply(&forged), Err(FeedError::Signature));
    assert_eq!(view.forks().count(), 0, "a fork that nobody signed proves nothing");
    // The third entry alone proves it too: it follows a second one that is not ours.
    assert_eq!(view.apply(&others[2]), Err(fork.clone()));
    assert_eq!(view.apply(&others[1]), Err(fork));
    let found: Vec<_> = view.forks().copied().collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].feed, found[0].sequence, found[0].kept), (full.feed, 1, full.last));
    assert_eq!(found[0].refused, hash(&others[1]));
    assert_eq!(view.describe(&full.node()).unwrap().name, "b");
    apply(&mut view, &full.write(describe("e")));
}

#[test]
fn who_shows_a_chain_is_a_member_before_the_feeds_arrive() {
    let (mut root, mut full, mut new) = (Writer::new(1), Writer::new(2), Writer::new(5));
    let chain = [root.admit(&full, Role::Full), full.admit(&new, Role::Store)];
    let mut view = View::new(root.public());
    let greeting = new.write(describe("new"));
    assert_eq!(view.apply(&greeting), Err(FeedError::UnknownAuthor(new.node())));
    let member = view.introduce(&chain).unwrap();
    assert_eq!(view.roster().member(&new.node()), Some(&member));
    assert_eq!(view.introduce(&chain), Ok(member));
    assert!(apply(&mut view, &greeting).counts);
    assert_eq!(view.heads().len(), 1, "of the feeds in between nothing is here");
    apply(&mut view, &chain[0]);
    apply(&mut view, &chain[1]);
    assert_eq!(view.roster().members().count(), 2);
    apply(&mut view, &full.remove(new.node(), vec![new.head()]));
    assert_eq!(view.introduce(&chain), Err(FeedError::Removed(new.node())));
}

/// A node that admits somebody in a second history, which it shows but does not publish.
#[test]
fn what_a_feed_says_outweighs_an_introduction() {
    let (mut root, full, guest) = (Writer::new(1), Writer::new(2), Writer::new(5));
    let admit = root.admit(&full, Role::Full);
    let other = Body::Remove(crate::feed::entry::Remove { node: guest.node(), heads: vec![] });
    for public in [describe("a"), other] {
        let (mut hidden, mut shown) = (full.clone(), full.clone());
        let chain = [admit.clone(), hidden.admit(&guest, Role::Full)];
        let bytes = shown.write(public);
        let mut view = View::new(root.public());
        assert!(view.introduce(&chain).is_ok());
        apply(&mut view, &bytes);
        assert_eq!(view.roster().member(&guest.node()), None);
        let fork = FeedError::Fork { feed: full.feed, sequence: 0 };
        assert_eq!(view.introduce(&chain), Err(fork));
        assert_eq!(view.forks().count(), 1);
    }
}

#[test]
fn receipts_add_up_until_they_are_released() {
    let (mut view, _, mut full, mut one, mut two) = household();
    let id = snapshot_id(&apply(&mut view, &full.write(snapshot(1, 5))).hash);
    let other = snapshot_id(&apply(&mut view, &full.write(snapshot(1, 6))).hash);
    apply(&mut view, &one.write(receipt(id, groups(&[1, 2]))));
    apply(&mut view, &one.write(receipt(id, groups(&[3]))));
    apply(&mut view, &one.write(receipt(other, GroupSet::all())));
    apply(&mut view, &two.write(receipt(id, GroupSet::all())));
    let both = |mut expected: Vec<(NodeId, u16)>| {
        expected.sort_unstable();
        expected
    };
    assert_eq!(holders(&view, &id), both(vec![(one.node(), 3), (two.node(), 4096)]));
    // A release of everything takes these groups off all that was receipted before it, and nothing off what follows.
    apply(&mut view, &one.write(Body::Release(Release { snapshot: None, groups: groups(&[2, 3, 4]) })));
    assert_eq!(holders(&view, &id), both(vec![(one.node(), 1), (two.node(), 4096)]));
    assert_eq!(holders(&view, &other), [(one.node(), 4093)]);
    apply(&mut view, &one.write(receipt(id, groups(&[2]))));
    assert_eq!(holders(&view, &id), both(vec![(one.node(), 2), (two.node(), 4096)]));
    apply(&mut view, &one.write(Body::Release(Release { snapshot: Some(id), groups: GroupSet::all() })));
    assert_eq!(holders(&view, &id), [(two.node(), 4096)]);
    assert_eq!(holders(&view, &other), [(one.node(), 4093)]);
}

#[test]
fn receipts_lapse_with_a_newer_feed_or_a_removal() {
    let (mut view, mut root, mut full, mut one, mut two) = household();
    let id = snapshot_id(&apply(&mut view, &full.write(snapshot(1, 5))).hash);
    for storer in [&mut one, &mut two] {
        apply(&mut view, &storer.write(receipt(id, GroupSet::all())));
    }
    apply(&mut view, &one.begin(7));
    assert_eq!(view.newest_feed(&one.node()), Some(one.feed));
    assert_eq!(holders(&view, &id), [(two.node(), 4096)], "its disk was restored: who knows what it lost");
    apply(&mut view, &root.remove(two.node(), vec![two.head()]));
    assert_eq!(holders(&view, &id), []);
    apply(&mut view, &one.write(receipt(id, GroupSet::all())));
    assert_eq!(holders(&view, &id), [(one.node(), 4096)]);
    // The old feed goes on, from the old disk: it is older all the same.
    let mut old = Writer::new(3);
    (old.length, old.last) = (1, view.hash_at(&old.feed, 0).unwrap());
    let late = apply(&mut view, &old.write(receipt(id, GroupSet::all())));
    assert!(!late.counts);
}

#[test]
fn a_store_node_that_begins_feeds_without_end_takes_nobodys_place() {
    let (mut view, mut root, mut full, mut one, mut two) = household();
    for random in 1..=u8::try_from(FEEDS_PER_NODE_MAX).unwrap() {
        apply(&mut view, &one.begin(random));
    }
    let mut last = one.clone();
    let heads = view.heads();
    for random in 150..250 {
        assert_eq!(view.apply(&one.begin(random)), Err(FeedError::Full("feeds of one node")));
    }
    assert_eq!(view.heads(), heads);
    assert!(apply(&mut view, &last.write(describe("goes on"))).counts);
    assert_eq!(view.newest_feed(&one.node()), Some(last.feed));
    for other in [&mut full, &mut two] {
        assert!(apply(&mut view, &other.begin(9)).counts);
    }
    let mut new = Writer::new(8);
    apply(&mut view, &root.admit(&new, Role::Store));
    assert!(apply(&mut view, &new.write(describe("new"))).counts);
    let heads = view.heads_of(&one.node());
    apply(&mut view, &root.remove(one.node(), heads));
    assert!(view.roster().is_removed(&one.node()));
}

#[test]
fn store_nodes_write_of_themselves_only() {
    let (mut view, _, mut full, mut one, _) = household();
    let id = snapshot_id(&apply(&mut view, &full.write(snapshot(1, 5))).hash);
    let void = [
        snapshot(1, 9),
        folder(1, 3),
        Body::Note(Note { sealed: vec![] }),
        Body::Reserved { kind: kind::USER, bytes: vec![] },
    ];
    for body in void {
        assert!(!apply(&mut view, &one.write(body)).counts);
    }
    assert_eq!((view.snapshots().count(), view.folders().count()), (1, 0));
    for body in
        [describe("attic"), receipt(id, GroupSet::all()), Body::Alert(Alert { code: 1, about: vec![] })]
    {
        assert!(apply(&mut view, &one.write(body)).counts);
    }
    assert_eq!(view.describe(&one.node()).unwrap().name, "attic");
}

#[test]
fn the_root_admits_and_removes_and_nothing_else() {
    let (mut view, mut root, ..) = household();
    for body in [
        snapshot(1, 1),
        folder(1, 3),
        describe("root"),
        receipt(SnapshotId::from_bytes([1; 32]), GroupSet::all()),
    ] {
        assert!(!apply(&mut view, &root.write(body)).counts);
    }
    assert_eq!((view.snapshots().count(), view.folders().count()), (0, 0));
    assert_eq!(view.describe(&root.node()), None);
    assert_eq!(holders(&view, &SnapshotId::from_bytes([1; 32])), []);
}

#[test]
fn the_latest_word_on_a_folder_counts() {
    let (mut view, mut root, mut full, ..) = household();
    let id = FolderId::from_bytes([1; 16]);
    apply(&mut view, &full.write(folder(1, 2)));
    apply(&mut view, &full.write(folder(1, 3)));
    assert_eq!(view.folder(&id).unwrap().entry.copies, Copies::new(3));
    apply(&mut view, &full.begin(1));
    assert_eq!(view.folder(&id).unwrap().entry.copies, Copies::new(3), "the newest feed that has one");
    apply(&mut view, &full.write(folder(1, 4)));
    let fact = view.folder(&id).unwrap();
    assert_eq!(
        (fact.entry.copies, fact.writer, fact.feed, fact.sequence),
        (Copies::new(4), full.node(), full.feed, 1)
    );

    // A node that adopts the folder of one that is removed.
    let mut heir = Writer::new(7);
    apply(&mut view, &root.admit(&heir, Role::Full));
    apply(&mut view, &root.remove(full.node(), vec![full.head()]));
    assert_eq!(view.folder(&id).unwrap().writer, full.node());
    apply(&mut view, &heir.write(folder(1, 5)));
    assert_eq!(view.folders().map(|fact| fact.writer).collect::<Vec<_>>(), [heir.node()]);
    assert_eq!(view.folder_facts(&id).count(), 2);
}

#[test]
fn of_a_removed_node_only_the_past_counts_and_what_others_hold() {
    let (mut view, mut root, mut full, mut one, _) = household();
    let before = snapshot_id(&apply(&mut view, &full.write(snapshot(1, 1))).hash);
    apply(&mut view, &full.write(folder(1, 2)));
    let head = full.head();
    let held = snapshot_id(&apply(&mut view, &full.write(snapshot(1, 2))).hash);
    let lost = snapshot_id(&apply(&mut view, &full.write(snapshot(1, 3))).hash);
    apply(&mut view, &full.write(folder(1, 9)));
    apply(&mut view, &one.write(receipt(held, groups(&[1]))));
    let listed = |view: &View| view.snapshots().map(|fact| fact.id).collect::<Vec<_>>();
    assert_eq!(listed(&view), [before, held, lost]);
    apply(&mut view, &root.remove(full.node(), vec![head]));
    assert_eq!(listed(&view), [before, held]);
    assert_eq!(view.snapshots_of(&FolderId::from_bytes([1; 16])).count(), 2);
    assert_eq!(view.snapshot(&lost), None);
    assert_eq!(view.folder(&FolderId::from_bytes([1; 16])).unwrap().entry.copies, Copies::new(2));
    assert!(!apply(&mut view, &full.write(snapshot(1, 4))).counts);
    assert_eq!(view.heads().len(), 3, "its feed is still passed on, so that all see the same");
    // Its only holder begins a new feed, as after an old image: it lists the snapshot, and is to say anew what it has of it.
    apply(&mut view, &one.begin(7));
    assert_eq!(holders(&view, &held), []);
    assert_eq!(listed(&view), [before, held]);
    let heads = view.heads_of(&one.node());
    apply(&mut view, &root.remove(one.node(), heads));
    assert_eq!(listed(&view), [before], "nobody is left who has said that it has it");
}

#[test]
fn snapshots_come_by_folder_then_time_then_id() {
    let (mut view, _, mut full, ..) = household();
    for (folder, taken) in [(2, 5), (1, 9), (1, -3), (2, 1), (1, 9)] {
        apply(&mut view, &full.write(snapshot(folder, taken)));
    }
    let order: Vec<_> = view
        .snapshots()
        .map(|fact| (fact.entry.folder.as_bytes()[0], fact.entry.taken.as_micros(), fact.id))
        .collect();
    assert!(order.is_sorted());
    assert_eq!(
        order.iter().map(|(folder, taken, _)| (*folder, *taken)).collect::<Vec<_>>(),
        [(1, -3), (1, 9), (1, 9), (2, 1), (2, 5)]
    );
}
