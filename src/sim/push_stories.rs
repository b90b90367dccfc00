//! Stories of pushing: how soon a backup is protected, and peers that do not keep the rules.

use serde_json::Value;

use super::check::{add_folder, assert_protected, fill, found, join, MINUTE, ROOT};
use super::cluster::Cluster;
use super::net::Weather;
use crate::base::ids::{ChunkId, FeedId, NodeId, SnapshotId};
use crate::base::limits::{
    COLLECT_AFTER_START, COLLECT_RETRY, FAULTS_MAX, PUSH_HOLD, RECEIPTS_UNWRITTEN_MANY, SEALED_BYTES_MAX,
    UNASKED_CHUNKS_MAX,
};
use crate::base::units::Span;
use crate::feed::entry::{Alert, Body, GroupSet, Receipt, Role};
use crate::feed::writer::Writer;
use crate::node::api::{Call, Removal};
use crate::node::ports::{Ending, Input};
use crate::wire::message::{Message, Offered};
use rand_core::RngCore;
use sha2::{Digest, Sha256};

/// A home network without losses.
const CALM: Weather = Weather {
    loss_per_mille: 0,
    double_per_mille: 0,
    delay: Span::from_micros(500),
    jitter: Span::from_micros(100),
};

/// Three nodes that push or do not, the first with a folder.
fn household(seed: u64, push: bool) -> Cluster {
    let mut cluster = Cluster::new(seed, 0, CALM);
    cluster.push = push;
    for _ in 0..3 {
        cluster.add_node();
    }
    found(&mut cluster);
    join(&mut cluster, 1, Role::Full);
    join(&mut cluster, 2, Role::Store);
    add_folder(&mut cluster);
    cluster.run_until(MINUTE, |_| false);
    cluster
}

/// Writes so many files of so many random bytes each.
fn write(cluster: &mut Cluster, files: usize, bytes: usize) {
    for number in 0..files {
        let mut content = vec![0; bytes];
        cluster.rng.fill_bytes(&mut content);
        cluster.nodes[0].files.write(ROOT, format!("f{number:03}").as_bytes(), &content);
    }
}

/// What a node says of itself.
fn status(cluster: &mut Cluster, number: usize) -> Value {
    cluster.ask(number, Call::Status, MINUTE).lines.remove(0)
}

/// A figure of pushing.
fn figure(cluster: &mut Cluster, number: usize, name: &str) -> u64 {
    status(cluster, number)["push"][name].as_u64().unwrap_or_else(|| panic!("{name} is told"))
}

/// Backs up until it is protected: how long the scan takes, and how long it is from its end until then.
fn time_to_protected(push: bool) -> (Span, Span, Cluster) {
    let mut cluster = household(7, push);
    // An SD card that is read at 6 MB/s, and lines of 80 Mbit/s.
    cluster.source_bytes_per_second = Some(6_000_000);
    cluster.net.line_bytes_per_second = Some(10_000_000);
    write(&mut cluster, 60, 400_000);
    let began = cluster.now();
    let call = cluster.call(0, Call::Backup { name: None, wait: true });
    let told = |cluster: &Cluster, event: &str| {
        cluster.answer(0, call).lines.iter().any(|line| line["event"] == event)
    };
    assert!(cluster.run_until(MINUTE, |cluster| told(cluster, "snapshot")));
    let scanned = cluster.now();
    let answer = cluster.finish(0, call, MINUTE);
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
    assert_protected(&answer.lines);
    (scanned.since(began), cluster.now().since(scanned), cluster)
}

#[test]
fn a_backup_is_protected_soon_after_its_scan_if_chunks_are_pushed() {
    let (scan_without, without, mut idle) = time_to_protected(false);
    let (scan_with, with, mut pushed) = time_to_protected(true);
    println!("scan {scan_without:?}, protected {without:?} later; with push {scan_with:?} and {with:?}");
    assert!(with.times(3) < without, "{with:?} after the scan with push, {without:?} without");
    assert!(scan_with.times(10) < scan_without.times(11), "the scan is not held up");
    assert_eq!(figure(&mut idle, 1, "taken_chunks"), 0);
    let (taken, stored) = (figure(&mut pushed, 1, "taken_chunks"), figure(&mut pushed, 0, "stored_chunks"));
    assert!(taken > 60 && stored >= taken, "{taken} {stored}");
    for number in 0..3 {
        assert_eq!(figure(&mut pushed, number, "unlisted_bytes"), 0, "a snapshot lists all that was pushed");
        assert_eq!(figure(&mut pushed, number, "faults"), 0);
        let twice = figure(&mut pushed, number, "unasked_chunks");
        assert!(twice <= 2, "at most a node of the manifest comes twice: {twice}");
    }
    let sent = (idle.net.sent_bytes(), pushed.net.sent_bytes());
    assert!(sent.1 < sent.0 + sent.0 / 20, "pushing costs no traffic: {sent:?}");
}

#[test]
fn pushing_survives_bad_weather_crashes_and_cuts() {
    for seed in 0..4 {
        let mut cluster = household(seed, true);
        cluster.net.weather = super::check::weather(seed + 1);
        cluster.source_bytes_per_second = Some(3_000_000);
        let expected = fill(&mut cluster, 80);
        let call = cluster.call(0, Call::Backup { name: None, wait: true });
        cluster.run_until(Span::from_millis(150 + 100 * seed), |_| false);
        if seed % 2 == 0 {
            cluster.crash(1);
            cluster.start(1);
        } else {
            cluster.cut(&[0]);
            cluster.run_until(Span::from_secs(40), |_| false);
            cluster.cut(&[]);
        }
        let _ = cluster.finish(0, call, MINUTE.times(20));
        let answer = super::check::back_up(&mut cluster);
        assert_eq!(answer.end, Some(Ok(Ending::Complete)), "seed {seed}: {:?}", answer.lines);
        assert_protected(&answer.lines);
        cluster.crash(0);
        let call = Call::Restore { what: "family".into(), dry_run: false };
        let restored = cluster.ask(1, call, MINUTE.times(10));
        assert_eq!(restored.end, Some(Ok(Ending::Complete)), "seed {seed}");
        assert!(restored.bytes.len() > expected.values().map(Vec::len).sum());
        for number in 1..3 {
            assert_eq!(
                figure(&mut cluster, number, "faults"),
                0,
                "seed {seed}: nobody is blamed for a crash"
            );
        }
    }
}

/// The id of a node.
fn id(cluster: &mut Cluster, number: usize) -> NodeId {
    let text = status(cluster, number)["node"].as_str().map(ToOwned::to_owned);
    text.expect("a member has an id").parse().expect("it is one")
}

impl Cluster {
    /// Has a node say something that it would not say by itself.
    fn say_wrongly(&mut self, number: usize, to: &NodeId, message: &Message) {
        if let Some(running) = &mut self.nodes[number].running {
            assert!(running.core.say_wrongly(to, message), "there is a session with room");
        }
        self.give(number, Input::Tick);
    }
}

/// Full node 1 says things to node 0 that no node of this program says.
fn rogue(seed: u64) -> (Cluster, NodeId) {
    let mut cluster = household(seed, true);
    let victim = id(&mut cluster, 0);
    (cluster, victim)
}

/// A chunk of these bytes.
fn chunk(bytes: &[u8]) -> (ChunkId, Offered) {
    let id = ChunkId::from_bytes(Sha256::digest(bytes).into());
    (id, Offered { id, bytes: u32::try_from(bytes.len()).expect("it is small") })
}

#[test]
fn wrong_bytes_under_an_offered_id_are_not_kept_and_the_sender_is_cut() {
    let (mut cluster, victim) = rogue(1);
    let before = status(&mut cluster, 0)["store"]["chunks"].clone();
    for number in 0..u8::try_from(FAULTS_MAX).unwrap() {
        let (id, offered) = chunk(&[number; 100]);
        cluster.say_wrongly(1, &victim, &Message::Offer { chunks: vec![offered] });
        cluster.run_until(Span::from_secs(1), |_| false);
        cluster.say_wrongly(1, &victim, &Message::Chunk { id, bytes: vec![99; 100] });
        cluster.run_until(Span::from_secs(1), |_| false);
    }
    assert_eq!(figure(&mut cluster, 0, "faults"), FAULTS_MAX);
    assert_eq!(figure(&mut cluster, 0, "cut_sessions"), 1);
    assert_eq!(status(&mut cluster, 0)["store"]["chunks"], before);
    let log = serde_json::to_string(&cluster.ask(0, Call::Log { follow: false, after: None }, MINUTE).lines)
        .unwrap();
    assert!(log.contains("not what its id says"), "{log}");
}

#[test]
fn endless_offers_wants_and_chunks_are_bounded_counted_and_cut() {
    let (mut cluster, victim) = rogue(2);
    // Offers of chunks that never come: 256 may be open, those beyond break the rule.
    for lot in 0..40_u8 {
        let of = |number: u8| Offered {
            id: ChunkId::from_bytes([[lot, number]; 16].concat().try_into().unwrap()),
            bytes: 1_000_000,
        };
        cluster.say_wrongly(1, &victim, &Message::Offer { chunks: (0..64).map(of).collect() });
    }
    cluster.run_until(Span::from_secs(2), |_| false);
    assert_eq!(figure(&mut cluster, 0, "cut_sessions"), 1);
    cluster.run_until(MINUTE, |_| false);
    // Wants of what nobody offered.
    for _ in 0..40 {
        let ids = (0..64).map(|number| ChunkId::from_bytes([number; 32])).collect();
        cluster.say_wrongly(1, &victim, &Message::Want { ids });
    }
    cluster.run_until(Span::from_secs(2), |_| false);
    assert_eq!(figure(&mut cluster, 0, "cut_sessions"), 2);
    cluster.run_until(MINUTE, |_| false);
    // Chunks that nobody asked for.
    let before = status(&mut cluster, 0)["store"]["chunks"].clone();
    for number in 0..=u8::try_from(UNASKED_CHUNKS_MAX).unwrap() {
        let (id, _) = chunk(&[number; 50]);
        cluster.say_wrongly(1, &victim, &Message::Chunk { id, bytes: vec![number; 50] });
        cluster.run_until(Span::from_millis(50), |_| false);
    }
    cluster.run_until(Span::from_secs(2), |_| false);
    assert_eq!(figure(&mut cluster, 0, "cut_sessions"), 3);
    assert_eq!(status(&mut cluster, 0)["store"]["chunks"], before);
    // It is still a member, and what it has is still made use of.
    cluster.run_until(MINUTE, |_| false);
    let _ = fill(&mut cluster, 10);
    assert_protected(&super::check::back_up(&mut cluster).lines);
}

/// What has it looked at again where nothing else happens is shown in node/upkeep.rs (found by the seed 78029976).
#[test]
fn a_pass_into_which_a_chunk_is_pushed_says_that_it_waits_and_goes_on_when_nothing_comes_to_list_that() {
    let (mut cluster, victim) = rogue(4);
    for _ in 0..20 {
        write(&mut cluster, 1, 1_000);
        assert_protected(&super::check::back_up(&mut cluster).lines);
    }
    cluster.crash(0);
    cluster.start(0);
    let collect = |cluster: &mut Cluster| status(cluster, 0)["collect"].take();
    cluster.run_until(COLLECT_AFTER_START - Span::from_secs(1), |_| false);
    while collect(&mut cluster)["pass"].is_null() {
        cluster.run_until(Span::from_millis(2), |_| false);
    }
    let (id, offered) = chunk(b"of a backup that was given up");
    cluster.say_wrongly(1, &victim, &Message::Offer { chunks: vec![offered] });
    cluster.run_until(Span::from_millis(20), |_| false);
    let bytes = b"of a backup that was given up".to_vec();
    cluster.say_wrongly(1, &victim, &Message::Chunk { id, bytes });
    cluster.run_until(Span::from_millis(20), |_| false);
    assert_eq!(figure(&mut cluster, 0, "taken_chunks"), 1);
    assert!(!collect(&mut cluster)["pass"].is_null(), "it was at work when that came");
    cluster.run_until(COLLECT_RETRY + MINUTE, |_| false);
    let told = collect(&mut cluster);
    assert!(told["waits"].to_string().contains("pushed chunks") && told["last"].is_null(), "{told}");
    cluster.run_until(PUSH_HOLD + COLLECT_RETRY, |_| false);
    let told = collect(&mut cluster);
    assert!(told["pass"].is_null() && told["last"]["dropped_chunks"].as_u64() > Some(0), "{told}");
}

#[test]
fn who_offers_and_does_not_send_or_wants_and_does_not_take_holds_nothing_up() {
    let (mut cluster, victim) = rogue(3);
    let of = |number: u8| Offered {
        id: ChunkId::from_bytes([number; 32]),
        bytes: u32::try_from(SEALED_BYTES_MAX).unwrap(),
    };
    cluster.say_wrongly(1, &victim, &Message::Offer { chunks: (0..64).map(of).collect() });
    let _ = fill(&mut cluster, 40);
    assert_protected(&super::check::back_up(&mut cluster).lines);
    cluster.run_until(MINUTE.times(3), |_| false);
    assert_eq!(figure(&mut cluster, 0, "cut_sessions"), 0, "it is left alone, no more");
    assert_eq!(figure(&mut cluster, 0, "taken_chunks"), 0);
    cluster.say_wrongly(1, &victim, &Message::Offer { chunks: vec![chunk(b"now it would").1] });
    cluster.run_until(Span::from_secs(2), |_| false);
    cluster.say_wrongly(
        1,
        &victim,
        &Message::Chunk { id: chunk(b"now it would").0, bytes: b"now it would".to_vec() },
    );
    cluster.run_until(Span::from_secs(2), |_| false);
    assert_eq!(figure(&mut cluster, 0, "taken_chunks"), 0, "in this session nothing more is taken");
}

#[test]
fn wrong_bytes_that_were_asked_for_are_asked_of_the_next_one_and_the_sender_is_blamed() {
    let mut cluster = household(5, false);
    let expected = fill(&mut cluster, 40);
    assert_protected(&super::check::back_up(&mut cluster).lines);
    // What this one has are the bytes of something else, and its disk does not know better.
    cluster.stop(2);
    let ids = cluster.chunks_of(2);
    cluster.lose_chunks(2, &ids);
    ids.iter().for_each(|id| cluster.put_chunk(2, *id, b"something else".to_vec()));
    cluster.stop(0);
    let own = cluster.chunks_of(0);
    cluster.lose_chunks(0, &own);
    cluster.start(2);
    cluster.start(0);
    cluster.run_until(Span::from_secs(5), |_| false);
    let call = Call::Restore { what: "family".into(), dry_run: false };
    let restored = cluster.ask(0, call, MINUTE.times(10));
    assert_eq!(restored.end, Some(Ok(Ending::Complete)), "the next one is asked");
    assert!(super::check::unpack(&restored.bytes) == expected);
    assert!(figure(&mut cluster, 0, "faults") > 0);
    let log = cluster.ask(0, Call::Log { follow: false, after: None }, MINUTE).lines;
    let blamed: Vec<&str> = log
        .iter()
        .filter_map(|line| line["message"].as_str())
        .filter(|message| message.contains("not what its id says"))
        .collect();
    assert!(blamed.iter().all(|message| message.contains("node2")), "{blamed:?}");
}

/// What all send until a backup is protected, and a while longer, if one crashes in the midst of taking it or not.
fn sent_until_protected(crashes: bool, push: bool) -> u64 {
    let mut cluster = household(8, push);
    cluster.source_bytes_per_second = Some(6_000_000);
    cluster.net.line_bytes_per_second = Some(4_000_000);
    write(&mut cluster, 50, 400_000);
    let (began, before) = (cluster.now(), cluster.net.sent_bytes());
    let call = cluster.call(0, Call::Backup { name: None, wait: true });
    let half = before + 20_000_000;
    assert!(cluster.run_until(MINUTE, |cluster| cluster.net.sent_bytes() > half));
    assert_eq!(cluster.answer(0, call).end, None, "it is in the midst of it");
    if crashes {
        cluster.crash(2);
        cluster.start(2);
    }
    assert_protected(&cluster.finish(0, call, MINUTE.times(3)).lines);
    cluster.run_until(MINUTE.times(5) - cluster.now().since(began), |_| false);
    cluster.net.sent_bytes() - before
}

#[test]
fn who_crashes_in_the_midst_of_taking_its_share_goes_on_where_it_was() {
    for push in [true, false] {
        let (calm, crashed) = (sent_until_protected(false, push), sent_until_protected(true, push));
        // Of the 40 MB of both shares next to nothing is sent twice: what is pushed while a share is fetched is not fetched as well.
        assert!(calm < 43_000_000, "push {push}: {calm} bytes for 40 MB");
        // Of the 20 MB of the one at most a tenth is.
        assert!(crashed < calm + 2_000_000, "push {push}: {calm} bytes, {crashed} with a crash");
    }
}

#[test]
fn entries_that_their_writers_have_not_signed_change_nothing_and_the_sender_is_cut() {
    let (mut cluster, victim) = rogue(4);
    let known = |cluster: &Cluster| {
        let core = &cluster.nodes[0].running.as_ref().expect("it runs").core;
        (core.told_heads(), core.claims())
    };
    let before = known(&cluster);
    let core = &cluster.nodes[1].running.as_ref().expect("it runs").core;
    let odd = |skipped, is_signed| core.odd_entry(skipped, is_signed).expect("it is a member");
    let mut stranger = Writer::new(9);
    let unknown = stranger.write(Body::Alert(Alert { code: 1, about: Vec::new() }));
    let (early, (feed, bytes), (_, sound)) = (odd(5, true), odd(0, false), odd(0, true));
    // What comes before its turn, or is of a writer that is not known yet, is nobody's fault.
    for (feed, bytes) in [early, (stranger.feed, unknown)].into_iter().cycle().take(8) {
        let entries = vec![bytes];
        cluster.say_wrongly(1, &victim, &Message::FeedEntries { feed, from: 0, entries });
        cluster.run_until(Span::from_secs(1), |_| false);
    }
    assert_eq!(figure(&mut cluster, 0, "faults"), 0);
    // Nor is there an end to the names of feeds.
    for number in 0..100 {
        let feed = FeedId { node: victim, random: [number; 8] };
        cluster.say_wrongly(1, &victim, &Message::FeedEntries { feed, from: 0, entries: Vec::new() });
        cluster.run_until(Span::from_millis(50), |_| false);
    }
    assert_eq!(cluster.nodes[0].running.as_ref().expect("it runs").core.useless_feeds(), 0);
    // Cut short, of another feed than is said, and not signed.
    let other = FeedId { node: victim, random: [9; 8] };
    let wrong = [(feed, sound[..sound.len() - 1].to_vec()), (other, sound), (feed, bytes)];
    for (sent, (feed, bytes)) in (0..FAULTS_MAX).zip(wrong.into_iter().cycle()) {
        assert_eq!(figure(&mut cluster, 0, "cut_sessions"), 0, "after {sent}");
        let entries = vec![bytes];
        cluster.say_wrongly(1, &victim, &Message::FeedEntries { feed, from: 0, entries });
        cluster.run_until(Span::from_secs(1), |_| false);
        assert_eq!(figure(&mut cluster, 0, "faults"), sent + 1);
    }
    assert_eq!(figure(&mut cluster, 0, "cut_sessions"), 1);
    assert_eq!(known(&cluster), before);
    let log = serde_json::to_string(&cluster.ask(0, Call::Log { follow: false, after: None }, MINUTE).lines)
        .unwrap();
    assert!(log.contains("signature of the feed entry does not hold"), "{log}");
    // The next session is as any other.
    cluster.run_until(MINUTE, |_| false);
    let _ = fill(&mut cluster, 10);
    assert_protected(&super::check::back_up(&mut cluster).lines);
    assert_eq!(figure(&mut cluster, 0, "faults"), FAULTS_MAX);
    assert_eq!(figure(&mut cluster, 0, "cut_sessions"), 1);
}

#[test]
fn two_histories_of_a_device_stop_collection_until_it_is_removed_and_status_says_so() {
    let (mut cluster, victim) = rogue(5);
    let core = &mut cluster.nodes[1].running.as_mut().expect("it runs").core;
    let (feed, bytes) = core.odd_entry(0, true).expect("it is a member");
    assert!(core.forge(Body::Alert(Alert { code: 2, about: Vec::new() })));
    cluster.run_until(MINUTE, |_| false);
    let told = |cluster: &mut Cluster| {
        let said = status(cluster, 0)["attention"].to_string();
        let core = &cluster.nodes[0].running.as_ref().expect("it runs").core;
        let waits = core.collection_waits().is_some_and(|waits| waits.contains("two histories"));
        (said.contains("two histories"), waits)
    };
    assert_eq!(told(&mut cluster), (false, false));
    cluster.say_wrongly(1, &victim, &Message::FeedEntries { feed, from: 0, entries: vec![bytes] });
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(told(&mut cluster), (true, true));
    let node = status(&mut cluster, 1)["node"].as_str().expect("it has an id").to_owned();
    let removed = cluster.ask(0, Call::Remove { node, how: Removal::Now }, MINUTE);
    assert_eq!(removed.end, Some(Ok(Ending::Complete)), "{:?}", removed.lines);
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(told(&mut cluster), (false, false));
}

#[test]
fn a_device_that_says_without_end_that_it_holds_what_nobody_wrote_is_told_of() {
    let (mut cluster, _) = rogue(6);
    for number in 0..RECEIPTS_UNWRITTEN_MANY {
        let mut id = [0x55; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        let receipt = Receipt { snapshot: SnapshotId::from_bytes(id), groups: GroupSet::all() };
        let core = &mut cluster.nodes[1].running.as_mut().expect("it runs").core;
        assert!(core.forge(Body::Receipt(receipt)));
    }
    let is_told = |cluster: &mut Cluster| {
        status(cluster, 0)["attention"].to_string().contains("which no known device has written")
    };
    assert!(!is_told(&mut cluster));
    cluster.run_until(MINUTE.times(20), |_| false);
    assert!(is_told(&mut cluster));
    cluster.crash(0);
    cluster.start(0);
    cluster.run_until(MINUTE, |_| false);
    assert!(is_told(&mut cluster), "after a restart, too");
    let node = status(&mut cluster, 1)["node"].as_str().expect("it has an id").to_owned();
    let removed = cluster.ask(0, Call::Remove { node, how: Removal::Now }, MINUTE);
    assert_eq!(removed.end, Some(Ok(Ending::Complete)), "{:?}", removed.lines);
    assert!(!is_told(&mut cluster));
}
