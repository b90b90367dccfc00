//! What a reconciliation finds and costs, and what a peer that does not play by the rules can make of it.

use super::*;
use crate::wire::message::{decode, encode};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// What one node holds: sorted ids and their tallies.
struct Holder {
    ids: Vec<ChunkId>,
    tallies: Rc<GroupTallies>,
}

impl Holder {
    fn new(ids: &BTreeSet<ChunkId>) -> Self {
        let mut tallies = GroupTallies::default();
        ids.iter().for_each(|id| tallies.add(id));
        Self { ids: ids.iter().copied().collect(), tallies: Rc::new(tallies) }
    }

    /// Reads a range as the index would; counts what was read.
    fn survey(&self, mut survey: Survey, read: &mut usize) -> Survey {
        let start = survey.range().before().map_or(0, |before| self.ids.partition_point(|id| *id <= before));
        for page in self.ids[start..].chunks(50) {
            *read += page.len();
            if !survey.take(page.iter().copied()) {
                break;
            }
        }
        survey
    }
}

/// What an exchange came to.
#[derive(Debug)]
struct Outcome {
    found: Vec<ChunkId>,
    lacking: u64,
    bytes: usize,
    trips: usize,
    read: usize,
    ended: Ended,
}

/// One exchange over `groups`, with every message encoded and decoded again.
fn compare(one: &Holder, other: &Holder, groups: &GroupSet, salt: u8) -> Outcome {
    let mut exchange = Exchange::new([salt; 16], groups.clone(), Rc::clone(&one.tallies));
    let (mut bytes, mut read, mut lacking) = (0, 0, 0);
    loop {
        match exchange.poll() {
            Next::Survey(survey) => exchange.surveyed(one.survey(survey, &mut read)),
            Next::Say(message) => {
                let mut answer = match carried(&message, &mut bytes) {
                    Message::Digest { exchange, groups, fingerprint, .. } => {
                        Answer::to_digest(exchange, &groups, fingerprint, Rc::clone(&other.tallies))
                    }
                    Message::Range { exchange, parts, .. } => {
                        Answer::to_range(exchange, groups.clone(), parts, Rc::clone(&other.tallies))
                    }
                    other => panic!("{other:?} is none of an exchange's"),
                };
                loop {
                    match answer.poll() {
                        Next::Survey(survey) => answer.surveyed(other.survey(survey, &mut read)),
                        Next::Say(message) => {
                            let Message::Range { exchange: id, standing, parts } =
                                carried(&message, &mut bytes)
                            else {
                                panic!("a Range answers")
                            };
                            assert!(exchange.answered(&id, standing, parts));
                        }
                        Next::Wait => panic!("an answer waits for nobody"),
                        Next::Over => break,
                    }
                }
                lacking += answer.lacking();
            }
            Next::Wait => panic!("everything was answered"),
            Next::Over => break,
        }
    }
    let (ended, trips) = (exchange.ended().unwrap(), exchange.asked_count());
    Outcome { found: exchange.into_found(), lacking, bytes, trips, read, ended }
}

/// What arrives of a message; its length is counted.
fn carried(message: &Message, bytes: &mut usize) -> Message {
    let encoded = encode(message).unwrap();
    *bytes += encoded.len();
    decode(&encoded).unwrap()
}

/// Random ids.
fn ids(seed: u64, count: usize) -> BTreeSet<ChunkId> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut id = [0; 32];
    (0..count)
        .map(|_| {
            rng.fill_bytes(&mut id);
            ChunkId::from_bytes(id)
        })
        .collect()
}

#[test]
fn ten_differences_among_a_million_chunks_cost_less_than_20_kb_and_four_round_trips() {
    let all = ids(1, 1_000_005);
    let (mut one, mut other) = (all.clone(), all.clone());
    let rare: Vec<ChunkId> = all.iter().step_by(100_000).copied().take(10).collect();
    for id in &rare[..5] {
        one.remove(id);
    }
    for id in &rare[5..] {
        other.remove(id);
    }
    let (one, other) = (Holder::new(&one), Holder::new(&other));
    let outcome = compare(&one, &other, &GroupSet::all(), 7);
    println!("10 of a million differ: {} bytes, {} round trips", outcome.bytes, outcome.trips);
    assert_eq!((outcome.ended, outcome.found, outcome.lacking), (Ended::Whole, rare[..5].to_vec(), 5));
    assert!(
        outcome.bytes <= 20_000 && outcome.trips <= 4,
        "{} bytes, {} trips",
        outcome.bytes,
        outcome.trips
    );
    assert!(outcome.read < 10 * 4 * 400, "only what differs is read: {} ids", outcome.read);

    let outcome = compare(&one, &one, &GroupSet::all(), 7);
    println!("a million are equal: {} bytes, {} round trips", outcome.bytes, outcome.trips);
    assert_eq!((outcome.ended, outcome.trips, outcome.read), (Ended::Whole, 1, 0));
    assert!(outcome.found.is_empty() && outcome.bytes <= 1_000, "{} bytes", outcome.bytes);
    let half: GroupSet = Group::all().filter(|group| group.number() % 2 == 0).collect();
    let outcome = compare(&one, &one, &half, 7);
    println!(".. of every other group: {} bytes", outcome.bytes);
    assert!(outcome.bytes <= 1_000, "{} bytes", outcome.bytes);
}

#[test]
fn an_empty_node_learns_of_a_thousand_chunks_at_once_and_that_there_are_more() {
    let (none, many) = (Holder::new(&BTreeSet::new()), Holder::new(&ids(2, 50_000)));
    let outcome = compare(&none, &many, &GroupSet::all(), 1);
    assert_eq!(outcome.ended, Ended::Cut);
    assert!(
        outcome.found.len() >= 300 && outcome.found.len() <= EXCHANGE_FOUND_MAX,
        "{}",
        outcome.found.len()
    );
    assert!(outcome.trips <= EXCHANGE_MESSAGES_MAX);
    let outcome = compare(&many, &none, &GroupSet::all(), 1);
    assert!(outcome.found.is_empty());
}

#[test]
fn only_the_groups_that_were_named_are_compared() {
    let all = ids(3, 20_000);
    let named: GroupSet = Group::all().filter(|group| group.number() < 2_048).collect();
    let is_named = |id: &&ChunkId| named.contains(Group::of(id));
    let gone: Vec<ChunkId> = all.iter().step_by(1_000).copied().collect();
    let mut fewer = all.clone();
    gone.iter().for_each(|id| assert!(fewer.remove(id)));
    let outcome = compare(&Holder::new(&fewer), &Holder::new(&all), &named, 9);
    assert_eq!(outcome.ended, Ended::Whole);
    // Where few are left whole ranges are told, also what both have.
    let new: Vec<ChunkId> = outcome.found.into_iter().filter(|id| !fewer.contains(id)).collect();
    assert_eq!(new, gone.iter().filter(is_named).copied().collect::<Vec<_>>());
}

#[test]
fn nobody_has_the_whole_index_read() {
    let holder = Holder::new(&ids(4, 100_000));
    for range in [IdRange::ALL, IdRange::new(1, 5).unwrap()] {
        for says in [Says::Shorts(vec![[1; 8]; RANGE_IDS]), Says::Children(Box::new([[9; 8]; 64]))] {
            let tallies = Rc::clone(&holder.tallies);
            let one_group: GroupSet = Group::new(320).into_iter().collect();
            let parts = vec![Part { range, says }];
            let mut answer = Answer::to_range([1; 16], one_group, parts, tallies);
            let mut read = 0;
            loop {
                match answer.poll() {
                    Next::Survey(survey) => answer.surveyed(holder.survey(survey, &mut read)),
                    Next::Over => break,
                    _ => {}
                }
            }
            assert!(read <= 64 * 100, "{read} ids are read for {range:?}");
        }
    }
}

/// Short ids in a full part.
const RANGE_IDS: usize = 128;

/// Plays an initiator against a responder that answers each message with `lie`.
fn against(lie: impl Fn(&[IdRange], u64) -> (Standing, Vec<Part>)) -> Exchange {
    let holder = Holder::new(&ids(5, 30_000));
    let mut exchange = Exchange::new([3; 16], GroupSet::all(), Rc::clone(&holder.tallies));
    let mut turn = 0;
    loop {
        match exchange.poll() {
            Next::Survey(survey) => exchange.surveyed(holder.survey(survey, &mut 0)),
            Next::Say(message) => {
                let asked: Vec<IdRange> = match message {
                    Message::Range { parts, .. } => parts.iter().map(|part| part.range).collect(),
                    _ => vec![IdRange::ALL],
                };
                turn += 1;
                let (standing, parts) = lie(&asked, turn);
                assert!(exchange.answered(&[3; 16], standing, parts));
                assert!(exchange.matching.waiting() <= RANGES_WAITING_MAX);
            }
            Next::Wait => panic!("it was answered"),
            Next::Over => return exchange,
        }
    }
}

#[test]
fn endless_ranges_are_bounded() {
    // Everything always differs: children of whatever was asked, as many as a message takes.
    let exchange = against(|asked, turn| {
        let noise = |place: usize| {
            Says::Children(Box::new([[u8::try_from(place).unwrap() ^ turn.to_le_bytes()[0]; 8]; 64]))
        };
        let below = |range: &IdRange| (0..64).filter_map(|place| range.child(place)).collect::<Vec<_>>();
        let ranges: Vec<IdRange> =
            if turn == 1 { asked.to_vec() } else { asked.iter().flat_map(below).take(64).collect() };
        (
            Standing::Cut,
            ranges.into_iter().enumerate().map(|(place, range)| Part { range, says: noise(place) }).collect(),
        )
    });
    assert!(exchange.asked_count() <= EXCHANGE_MESSAGES_MAX, "{}", exchange.asked_count());
    assert!(matches!(exchange.ended(), Some(Ended::Cut | Ended::Nonsense)), "{:?}", exchange.ended());
}

#[test]
fn what_was_not_asked_ends_the_exchange() {
    let other = IdRange::new(3, 77).unwrap();
    let children = Says::Children(Box::new([[1; 8]; 64]));
    let nonsense: [Part; 5] = [
        Part { range: other, says: children.clone() },
        Part { range: IdRange::ALL, says: Says::Shorts(vec![[0; 8]]) },
        Part {
            range: IdRange::ALL,
            says: Says::Ids(vec![ChunkId::from_bytes([2; 32]), ChunkId::from_bytes([1; 32])]),
        },
        Part { range: IdRange::ALL, says: Says::Ids(vec![ChunkId::from_bytes([2; 32]); 2]) },
        Part { range: other, says: Says::Ids(vec![ChunkId::from_bytes([2; 32])]) },
    ];
    for part in nonsense {
        let exchange = against(|_, _| (Standing::Whole, vec![part.clone()]));
        assert_eq!(exchange.ended(), Some(Ended::Nonsense), "{part:?}");
        assert!(exchange.into_found().is_empty());
    }
    let twice = Part { range: IdRange::ALL, says: children };
    let exchange = against(|_, _| (Standing::Whole, vec![twice.clone(), twice.clone()]));
    assert_eq!(exchange.ended(), Some(Ended::Nonsense));
    let exchange = against(|_, _| (Standing::Refused, Vec::new()));
    assert_eq!(exchange.ended(), Some(Ended::Refused));
}

#[test]
fn an_answer_to_another_exchange_changes_nothing() {
    let holder = Holder::new(&ids(6, 10));
    let mut exchange = Exchange::new([3; 16], GroupSet::all(), Rc::clone(&holder.tallies));
    assert!(!exchange.answered(&[3; 16], Standing::Refused, Vec::new()), "nothing was asked yet");
    assert!(matches!(exchange.poll(), Next::Say(_)));
    assert!(!exchange.answered(&[4; 16], Standing::Refused, Vec::new()));
    assert!(matches!(exchange.poll(), Next::Wait));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_the_other_has_is_found(seed in any::<u64>(), common in 0_usize..3_000, own in 0_usize..40, theirs in 0_usize..40) {
        let both = ids(seed, common);
        let (more, missing) = (ids(seed ^ 1, own), ids(seed ^ 2, theirs));
        let one = Holder::new(&both.union(&more).copied().collect());
        let other = Holder::new(&both.union(&missing).copied().collect());
        let outcome = compare(&one, &other, &GroupSet::all(), 5);
        prop_assert_eq!(outcome.ended, Ended::Whole);
        // Where few are left, ids are told that both have.
        let found: BTreeSet<ChunkId> = outcome.found.into_iter().filter(|id| !both.contains(id)).collect();
        prop_assert_eq!(found, missing);
    }
}
