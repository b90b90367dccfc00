//! Who is a member, told as stories.

use crate::base::ids::{EntryHash, FeedId, NodeId};
use crate::base::limits::ADMIT_CHAIN_MAX;
use crate::feed::entry::{decode, Admit, Body, FeedError, Note, Role};
use crate::feed::roster::Roster;
use crate::feed::writer::Writer;

/// Adds entries as they are.
fn add(roster: &mut Roster, entries: &[&[u8]]) {
    for bytes in entries {
        roster.add(bytes, &decode(bytes).unwrap());
    }
}

fn rank(roster: &Roster, writer: &Writer) -> Vec<u64> {
    roster.member(&writer.node()).unwrap().rank.clone()
}

fn writers() -> (Writer, Writer, Writer, Writer, Roster) {
    let root = Writer::new(1);
    let roster = Roster::new(root.public());
    (root, Writer::new(2), Writer::new(3), Writer::new(4), roster)
}

#[test]
fn members_are_those_with_a_chain_of_admits_from_the_root() {
    let (mut root, mut a, mut b, c, mut roster) = writers();
    let admit_c = b.admit(&c, Role::Store);
    let admit_b = a.admit(&b, Role::Full);
    add(&mut roster, &[&admit_c, &admit_b]);
    assert_eq!(roster.members().count(), 0, "nobody vouches for a");
    let admit_a = root.admit(&a, Role::Full);
    add(&mut roster, &[&admit_a]);
    assert_eq!(
        (rank(&roster, &a), rank(&roster, &b), rank(&roster, &c)),
        (vec![0], vec![0, 0], vec![0, 0, 0])
    );
    assert_eq!(roster.admit_chain(&c.node()), [admit_a, admit_b, admit_c]);
    let member = roster.member(&c.node()).unwrap();
    assert_eq!(roster.by_channel(&member.channel), Some(member));
    assert!(roster.members().map(|member| member.node).is_sorted());
    assert_eq!(roster.members().count(), 3);
    assert_eq!(roster.vault().as_bytes(), roster.root().as_bytes());
}

#[test]
fn store_nodes_admit_and_remove_nobody() {
    let (mut root, a, mut b, c, mut roster) = writers();
    add(&mut roster, &[&root.admit(&a, Role::Full), &root.admit(&b, Role::Store), &b.admit(&c, Role::Full)]);
    add(&mut roster, &[&b.remove(a.node(), vec![])]);
    assert!(roster.member(&a.node()).is_some() && roster.member(&c.node()).is_none());
    assert!(roster.may_admit(&a.node()) && !roster.may_admit(&b.node()));
}

#[test]
fn a_member_with_two_admits_takes_the_lower_rank() {
    let (mut root, mut a, mut b, c, mut roster) = writers();
    let (admit_a, admit_b) = (root.admit(&a, Role::Full), root.admit(&b, Role::Full));
    add(&mut roster, &[&admit_a, &admit_b, &b.admit(&c, Role::Full)]);
    assert_eq!(rank(&roster, &c), [1, 0]);
    add(&mut roster, &[&root.admit(&c, Role::Full)]);
    assert_eq!(rank(&roster, &c), [1, 0], "[1, 0] is before [2]");
    add(&mut roster, &[&a.admit(&c, Role::Full)]);
    assert_eq!(rank(&roster, &c), [0, 0]);
}

#[test]
fn who_was_let_in_before_another_gives_it_no_other_key_or_role() {
    let (mut root, mut a, mut m, b, mut roster) = writers();
    let honest = [root.admit(&a, Role::Full), a.admit(&m, Role::Full), a.admit(&b, Role::Full)];
    add(&mut roster, &[&honest[0], &honest[1], &honest[2]]);
    let before = roster.member(&b.node()).unwrap().clone();
    let false_one = m.write(Body::Admit(Admit {
        signing: b.public(),
        channel: [9; 32],
        role: Role::Store,
        name: "crow".into(),
    }));
    add(&mut roster, &[&false_one]);
    let told = |roster: &Roster| {
        let member = roster.member(&b.node()).unwrap();
        (member.channel, member.role, member.name.clone())
    };
    assert_eq!(told(&roster), (before.channel, Role::Full, before.name));
    assert!(roster.by_channel(&[9; 32]).is_none());
    assert_eq!(roster.admit_chain(&b.node()), [honest[0].clone(), honest[2].clone()]);
    // Whatever comes first.
    let mut other = Roster::new(root.public());
    add(&mut other, &[&false_one, &honest[2], &honest[1], &honest[0]]);
    assert_eq!(told(&other), told(&roster));
    let head = m.head();
    add(&mut roster, &[&root.remove(m.node(), vec![head])]);
    roster.settle(&|_, _| Some(head.hash));
    assert_eq!(told(&roster).0, before.channel, "nor after it was removed");
}

#[test]
fn a_node_removes_only_those_who_rank_after_it_and_the_root_anyone() {
    let (mut root, mut a, mut b, c, mut roster) = writers();
    add(
        &mut roster,
        &[&root.admit(&a, Role::Full), &root.admit(&b, Role::Full), &root.admit(&c, Role::Full)],
    );
    add(&mut roster, &[&b.remove(a.node(), vec![]), &b.remove(b.node(), vec![])]);
    assert_eq!(roster.members().count(), 3, "not one before it, and not itself");
    add(&mut roster, &[&b.remove(c.node(), vec![])]);
    assert!(roster.is_removed(&c.node()));
    add(&mut roster, &[&a.remove(b.node(), vec![b.head()])]);
    assert!(roster.is_removed(&b.node()));
    assert!(!roster.is_removed(&c.node()), "b's entries are not proven to be from its time as a member");
    add(&mut roster, &[&root.remove(a.node(), vec![])]);
    assert!(roster.is_removed(&a.node()) && !roster.is_removed(&b.node()));
    add(&mut roster, &[&root.admit(&a, Role::Full)]);
    assert!(roster.is_removed(&a.node()), "a Remove is final");
    assert_eq!(roster.admit_chain(&a.node()), Vec::<Vec<u8>>::new());
}

/// The hashes of one feed.
fn hashes_of(feed: FeedId, hashes: Vec<EntryHash>) -> impl Fn(&FeedId, u64) -> Option<EntryHash> {
    move |asked, sequence| hashes.get(usize::try_from(sequence).unwrap()).copied().filter(|_| *asked == feed)
}

#[test]
fn what_a_removed_node_wrote_before_stays_and_what_it_writes_later_is_void() {
    let (mut root, mut a, b, c, mut roster) = writers();
    let admit_a = root.admit(&a, Role::Full);
    let admit_b = a.admit(&b, Role::Full);
    let head = a.head();
    let later = a.admit(&c, Role::Full);
    let remove = root.remove(a.node(), vec![head]);
    add(&mut roster, &[&later, &remove, &admit_b, &admit_a]);
    assert_eq!(roster.members().count(), 0, "the head that the Remove names is not known yet");
    assert_eq!(roster.former().count(), 1);

    roster.settle(&hashes_of(a.feed, vec![head.hash, a.last]));
    assert!(roster.member(&b.node()).is_some() && roster.member(&c.node()).is_none());
    assert!(roster.is_within(&a.feed, 0) && !roster.is_within(&a.feed, 1));
    assert_eq!(roster.admit_chain(&b.node()), [admit_a, admit_b]);

    // A second past, written after the removal, in the place of the first.
    roster.settle(&hashes_of(a.feed, vec![EntryHash::from_bytes([1; 32])]));
    assert_eq!(roster.members().count(), 0);
    // A feed that the Remove does not name.
    roster.settle(&hashes_of(FeedId { random: [1; 8], ..a.feed }, vec![head.hash]));
    assert_eq!(roster.members().count(), 0);
}

#[test]
fn of_two_removes_the_shorter_past_counts() {
    let (mut root, mut a, b, c, mut roster) = writers();
    let admit_a = root.admit(&a, Role::Full);
    let admit_b = a.admit(&b, Role::Full);
    let first = a.head();
    let admit_c = a.admit(&c, Role::Full);
    let removes = [root.remove(a.node(), vec![a.head()]), root.remove(a.node(), vec![first])];
    let hashes = hashes_of(a.feed, vec![first.hash, a.last]);
    add(&mut roster, &[&admit_a, &admit_b, &admit_c, &removes[0]]);
    roster.settle(&hashes);
    assert_eq!(roster.members().count(), 2);
    add(&mut roster, &[&removes[1]]);
    roster.settle(&hashes);
    assert_eq!(roster.members().map(|member| member.node).collect::<Vec<_>>(), [b.node()]);
}

#[test]
fn a_chain_is_as_long_as_it_may_be_and_no_longer() {
    let mut writers: Vec<Writer> = (1..=7).map(Writer::new).collect();
    let mut roster = Roster::new(writers[0].public());
    for at in 1..writers.len() {
        let next = writers[at].clone();
        let admit = writers[at - 1].admit(&next, Role::Full);
        add(&mut roster, &[&admit]);
    }
    assert_eq!(roster.members().count(), ADMIT_CHAIN_MAX);
    assert!(roster.may_admit(&writers[3].node()) && !roster.may_admit(&writers[4].node()));
}

#[test]
fn a_stranger_is_believed_by_its_chain() {
    let (mut root, mut a, b, _, mut roster) = writers();
    let chain = vec![root.admit(&a, Role::Full), a.admit(&b, Role::Store)];
    let member = roster.verify_chain(&chain).unwrap();
    assert_eq!((member.node, member.role, member.rank), (b.node(), Role::Store, vec![0, 0]));
    assert_eq!(roster.members().count(), 0, "believing is not admitting");

    assert_eq!(roster.verify_chain(&chain[1..]), Err(FeedError::Author), "not signed by the root");
    assert!(matches!(roster.verify_chain(&[]), Err(FeedError::Chain(_))));
    assert!(matches!(roster.verify_chain(&vec![chain[0].clone(); 5]), Err(FeedError::Chain(_))));
    let mut forged = chain.clone();
    forged[1][100] ^= 1;
    assert!(roster.verify_chain(&forged).is_err());
    let note = root.write(Body::Note(Note { sealed: vec![] }));
    assert_eq!(roster.verify_chain(&[note]), Err(FeedError::Chain("an entry that admits nobody")));

    // Removed, or admitted by one who was removed.
    add(&mut roster, &[&chain[0], &chain[1], &root.remove(b.node(), vec![])]);
    assert_eq!(roster.verify_chain(&chain), Err(FeedError::Removed(b.node())));
    let (mut root, mut a, b, c, mut roster) = writers();
    let chain = vec![root.admit(&a, Role::Full), a.admit(&b, Role::Store)];
    let head = a.head();
    let later = vec![chain[0].clone(), a.admit(&c, Role::Full)];
    add(&mut roster, &[&chain[0], &root.remove(a.node(), vec![head])]);
    assert_eq!(roster.verify_chain(&chain), Err(FeedError::Removed(a.node())), "from which time is this?");
    roster.note(&chain[1], &decode(&chain[1]).unwrap());
    roster.settle(&hashes_of(a.feed, vec![head.hash]));
    assert_eq!(roster.verify_chain(&chain).unwrap().node, b.node());
    assert_eq!(roster.verify_chain(&later), Err(FeedError::Removed(a.node())));
}

#[test]
fn store_nodes_and_the_root_itself_are_no_links_of_a_chain() {
    let (mut root, mut a, b, _, roster) = writers();
    let by_store = vec![root.admit(&a, Role::Store), a.admit(&b, Role::Full)];
    assert_eq!(roster.verify_chain(&by_store), Err(FeedError::Chain("store nodes admit nobody")));
    let itself = root.clone();
    let circle = vec![root.admit(&itself, Role::Full)];
    assert_eq!(roster.verify_chain(&circle), Err(FeedError::Chain("the root is no member")));
    let mut taken = roster;
    add(&mut taken, &[&circle[0]]);
    assert_eq!(taken.members().count(), 0);
}

#[test]
fn a_copied_channel_key_stays_its_owners() {
    let (mut root, a, b, _, mut roster) = writers();
    add(&mut roster, &[&root.admit(&a, Role::Full)]);
    let owner = roster.member(&a.node()).unwrap().clone();
    let thief = Admit { signing: b.public(), channel: owner.channel, role: Role::Full, name: "b".into() };
    add(&mut roster, &[&root.write(Body::Admit(thief))]);
    assert_eq!(roster.by_channel(&owner.channel), Some(&owner));
    assert_eq!(roster.member(&NodeId::from_bytes([0; 32])), None);
}
