//! Sampled interleavings of what adds and takes chunks, on the real code: the store on a disk that loses what was not synced,
//! feeds with signatures, the books, the pass and the share. Only the transport is left out: nodes read each other's
//! entries and chunks directly, in any order and as late as chance has it.
//!
//! The oracle is that of `collect_model.rs`, after every operation and on every node.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

use super::disk::SimDisk;
use crate::base::ids::{ChunkId, FolderId, NodeId, SnapshotId};
use crate::base::limits::RETIRED_MIN;
use crate::base::units::{Copies, Span, Time, WallTime};
use crate::feed::entry::{
    Body, Checkpoint, Counts, GroupSet, Receipt, Release, Role, SnapshotEntry, Standing,
};
use crate::feed::view::View;
use crate::feed::writer::Writer;
use crate::file::map::{MapBuilder, NodeParts};
use crate::node::collect::{Collect, Settings};
use crate::node::duty::{Ask, ChunkLost, Told};
use crate::node::keep::{pin_key, Keep, KeepEnd, KeepOutput};
use crate::node::manifest::MANIFEST_MAP_KEY;
use crate::node::marking::{Pass, PassOutput, Root, World};
use crate::store::chunks::Chunks;
use crate::store::disk::Disk;
use crate::store::service::{Reply, Request, StoreOptions};

/// Operations of one sample.
const OPERATIONS: usize = 10;
/// Samples that one household lives through, one after the other.
const SAMPLES_PER_HOUSE: usize = 8;
/// How long retired snapshots keep their chunks.
const FLOOR: Span = RETIRED_MIN;

/// What a node is doing.
enum Duty {
    Nothing,
    /// A backup that counts on these chunks.
    Backup(Vec<ChunkId>),
    /// A share, with its writer's snapshot.
    Share(Box<Keep>),
}

/// A node without its transport.
struct Node {
    disk: Arc<SimDisk>,
    chunks: Option<Chunks>,
    /// Settings and own entries: what `state.redb` has, which is written in whole transactions (`sim/store/feeds.rs`).
    settings: BTreeMap<String, Vec<u8>>,
    writer: Writer,
    view: View,
    collect: Collect,
    duty: Duty,
    pass: Option<Pass>,
    /// How much of the log it has read.
    read: usize,
}

/// Three nodes, of which the first two write.
struct House {
    rng: ChaCha8Rng,
    now: Time,
    root: Writer,
    nodes: Vec<Node>,
    /// Everything that was published, in the order in which it was.
    log: Vec<Vec<u8>>,
    /// What each snapshot needs: its manifest's nodes too.
    needs: BTreeMap<SnapshotId, Vec<ChunkId>>,
    /// Chunks dropped so far, for the test that something happens at all.
    dropped: u64,
    /// What was done, for a person who looks for a fault.
    story: Vec<String>,
}

/// Opens the chunks of a disk.
fn open(disk: &Arc<SimDisk>) -> Chunks {
    let options = StoreOptions { reserve_bytes: 0, ..StoreOptions::default() };
    Chunks::open(Arc::clone(disk) as Arc<dyn Disk>, options).expect("the store opens after any crash").0
}

/// The bytes of a content.
fn content(number: u8) -> Vec<u8> {
    vec![number; 100 + usize::from(number) * 37]
}

/// The id of bytes.
fn id_of(bytes: &[u8]) -> ChunkId {
    ChunkId::from_bytes(Sha256::digest(bytes).into())
}

impl Node {
    /// Does what the service does with a request; answers to earlier ones are of no interest.
    fn store(&mut self, request: Request) -> Option<Reply> {
        let chunks = self.chunks.as_mut().expect("they are open");
        let reply = match request {
            Request::Put { op, id, bytes } => {
                chunks.put(op, id, &bytes);
                None
            }
            Request::Drop { op, ids } => {
                chunks.give_up(op, &ids);
                let _ = chunks.flush();
                let mut replies = Vec::new();
                chunks.drain(&mut replies);
                replies.into_iter().find(|reply| matches!(reply, Reply::Drop { .. }))
            }
            Request::Get { op, id } => Some(Reply::Get { op, id, result: chunks.read(&id) }),
            Request::Has { op, ids } => {
                let have = ids.iter().map(|id| chunks.has(id).expect("the index is read")).collect();
                Some(Reply::Has { op, have })
            }
            Request::Flush { op } => Some(Reply::Flush { op, result: chunks.flush() }),
            Request::Scan { op, after, limit, read } => {
                let (found, more) = chunks.scan(after.as_ref(), limit, read).expect("the index is read");
                Some(Reply::Scan { op, found, more })
            }
            Request::Save { op, settings } => {
                self.save(settings);
                return Some(Reply::Save { op, result: Ok(()) });
            }
            other => panic!("nothing here asks for {other:?}"),
        };
        chunks.drain(&mut Vec::new());
        reply
    }

    /// Keeps a chunk.
    fn put(&mut self, bytes: &[u8]) -> ChunkId {
        let id = id_of(bytes);
        self.store(Request::Put { op: 1, id, bytes: bytes.to_vec() });
        id
    }

    /// A chunk's bytes.
    fn get(&mut self, id: ChunkId) -> Option<Vec<u8>> {
        match self.store(Request::Get { op: 2, id }) {
            Some(Reply::Get { result, .. }) => result.ok().flatten(),
            _ => None,
        }
    }

    /// Which of these are not here.
    fn lacks(&mut self, ids: &[ChunkId]) -> usize {
        match self.store(Request::Has { op: 3, ids: ids.to_vec() }) {
            Some(Reply::Has { have, .. }) => have.iter().filter(|have| !**have).count(),
            other => panic!("the store answers otherwise: {other:?}"),
        }
    }

    /// Writes settings.
    fn save(&mut self, settings: Settings) {
        for (name, value) in settings {
            match value {
                Some(value) => drop(self.settings.insert(name, value)),
                None => drop(self.settings.remove(&name)),
            }
        }
    }

    /// Signs an entry, believes it and writes it with these settings, as `Core::append` does.
    fn append(&mut self, now: Time, body: Body, mut settings: Settings) -> (SnapshotId, Vec<u8>) {
        let bytes = self.writer.write(body);
        let applied = self.view.apply(&bytes).expect("own entries are taken");
        let id = SnapshotId::from_bytes(*applied.hash.as_bytes());
        if let Body::Snapshot(snapshot) = &applied.entry.body {
            self.collect.pin(id, snapshot.manifest);
            settings.push((pin_key(&id), Some(snapshot.manifest.as_bytes().to_vec())));
        }
        self.collect.ride_along(now, &mut settings);
        self.save(settings);
        (id, bytes)
    }

    /// What a pass sees.
    fn world(&self) -> World {
        let is_calm = matches!(self.duty, Duty::Nothing);
        World { disturbances: self.collect.disturbances(), is_calm, is_idle: true }
    }

    /// All roots, as `node/upkeep.rs` has them.
    fn roots(&self) -> Vec<Root> {
        let pinned = self.collect.pins().values().map(|pin| Root {
            manifest: pin.manifest,
            pinned: true,
            whole: true,
        });
        let standing = self.view.snapshots().map(|fact| Root {
            manifest: fact.entry.manifest,
            pinned: false,
            whole: true,
        });
        pinned.chain(standing).collect()
    }
}

impl House {
    fn new(seed: u64) -> Self {
        let mut root = Writer::new(1);
        let writers = [Writer::new(2), Writer::new(3), Writer::new(4)];
        let roles = [Role::Full, Role::Full, Role::Store];
        let log: Vec<Vec<u8>> =
            writers.iter().zip(roles).map(|(writer, role)| root.admit(writer, role)).collect();
        let mut house = Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            now: Time::ZERO,
            root,
            nodes: Vec::new(),
            log,
            needs: BTreeMap::new(),
            dropped: 0,
            story: Vec::new(),
        };
        for writer in writers {
            let disk = Arc::new(SimDisk::new(1 << 40));
            let view = View::new(house.root.public());
            let (chunks, settings) = (Some(open(&disk)), BTreeMap::new());
            let collect = Collect::load(&BTreeMap::new(), Time::ZERO);
            house.nodes.push(Node {
                disk,
                chunks,
                settings,
                writer,
                view,
                collect,
                duty: Duty::Nothing,
                pass: None,
                read: 0,
            });
        }
        (0..3).for_each(|at| house.read(at));
        house
    }

    fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.rng.next_u64() % u64::try_from(count).expect("counts are small"))
            .expect("it is smaller")
    }

    /// One operation.
    fn step(&mut self) {
        self.now = self.now + Span::from_secs(1);
        let (at, what) = (self.pick(3), self.pick(16));
        self.story.push(format!("{at}: {what}"));
        match what {
            0..=2 if at < 2 => self.backup(at),
            0..=4 => self.share(at),
            5 | 6 => self.read(at),
            7 | 8 if at < 2 => self.retire(at, true),
            9 if at < 2 => self.retire(at, false),
            10 | 11 => self.give_up(at),
            12..=14 => self.pass(at),
            15 => self.crash(at),
            _ => self.read(at),
        }
        self.check();
    }

    /// A backup begins, or ends.
    fn backup(&mut self, at: usize) {
        let number = u8::try_from(self.pick(20)).expect("contents are few");
        let count = 1 + self.pick(4);
        let node = &mut self.nodes[at];
        match std::mem::replace(&mut node.duty, Duty::Nothing) {
            Duty::Nothing => {
                node.collect.disturb();
                let ids = (0..count).map(|more| node.put(&content(number + u8::try_from(more).unwrap_or(0))));
                node.duty = Duty::Backup(ids.collect());
            }
            Duty::Backup(mut ids) => {
                ids.sort_unstable();
                ids.dedup();
                let mut nodes = Vec::new();
                let mut builder = MapBuilder::new(&MANIFEST_MAP_KEY);
                let mut seal = |parts: NodeParts<'_>| {
                    nodes.push([parts.compress, parts.follow].concat());
                    id_of(&nodes[nodes.len() - 1])
                };
                for id in &ids {
                    builder.push(id.as_bytes(), &[], &[], &mut seal).expect("ids ascend");
                }
                let manifest = builder.finish(&mut seal).expect("it ends");
                ids.extend(nodes.iter().map(|bytes| node.put(bytes)));
                node.store(Request::Flush { op: 6 });
                let taken =
                    WallTime::from_micros(1_800_000_000_000_000 + i64::try_from(self.log.len()).unwrap_or(0));
                let entry = SnapshotEntry {
                    folder: FolderId::from_bytes([9; 16]),
                    manifest,
                    parent: None,
                    copies: Copies::new(3),
                    taken,
                    complete: true,
                    counts: Counts::default(),
                    sealed: Vec::new(),
                };
                let (id, bytes) = node.append(self.now, Body::Snapshot(entry), Vec::new());
                self.needs.insert(id, ids);
                self.log.push(bytes);
            }
            other => node.duty = other,
        }
    }

    /// A share begins, or goes on for a while.
    fn share(&mut self, at: usize) {
        let own = self.nodes[at].writer.node();
        if matches!(self.nodes[at].duty, Duty::Nothing) {
            let node = &mut self.nodes[at];
            let is_owed = |fact: &&crate::feed::view::SnapshotFact| {
                fact.writer != own && !node.view.receipts(&fact.id).any(|(holder, _)| holder == own)
            };
            let owed =
                node.view.snapshots().filter(is_owed).last().map(|fact| (fact.id, fact.entry.manifest));
            let Some((id, manifest)) = owed else { return };
            node.collect.pin(id, manifest);
            node.collect.disturb();
            node.duty = Duty::Share(Box::new(Keep::new(id, manifest, GroupSet::all(), 7)));
        }
        for _ in 0..self.pick(12) {
            let Duty::Share(keep) = &mut self.nodes[at].duty else { return };
            match keep.poll() {
                Some(KeepOutput::Ask(ask)) => {
                    let told = self.serve(at, ask);
                    if let (Duty::Share(keep), Some(told)) = (&mut self.nodes[at].duty, told) {
                        keep.told(told);
                    }
                }
                Some(KeepOutput::Finished(end)) => {
                    let snapshot = keep.snapshot();
                    let node = &mut self.nodes[at];
                    node.duty = Duty::Nothing;
                    if end == KeepEnd::Kept {
                        let receipt = Receipt { snapshot, groups: GroupSet::all() };
                        let (_, bytes) = node.append(self.now, Body::Receipt(receipt), Vec::new());
                        self.log.push(bytes);
                    }
                }
                None => return,
            }
        }
    }

    /// What a share asks for.
    fn serve(&mut self, at: usize, ask: Ask) -> Option<Told> {
        match ask {
            Ask::Store(request) => self.nodes[at].store(request).map(Told::Store),
            Ask::Chunk { op, id } => {
                let bytes = self.fetch(at, id);
                let result = bytes.ok_or_else(|| ChunkLost { reason: "gone".into() });
                Some(Told::Chunk { op, id, result })
            }
            Ask::Keep { op, id } => {
                let bytes = self.fetch(at, id);
                let result = bytes.map(|_| 1).ok_or_else(|| ChunkLost { reason: "gone".into() });
                Some(Told::Kept { op, id, result })
            }
            Ask::File(_) => None,
        }
    }

    /// A chunk from here or from anybody; what came from others is kept.
    fn fetch(&mut self, at: usize, id: ChunkId) -> Option<Vec<u8>> {
        if let Some(bytes) = self.nodes[at].get(id) {
            return Some(bytes);
        }
        let bytes = self.nodes.iter_mut().find_map(|node| node.get(id))?;
        self.nodes[at].put(&bytes);
        Some(bytes)
    }

    /// Reads what others have published, and looks at what is retired.
    fn read(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        for bytes in &self.log[node.read..] {
            // What others say is read again after a crash: it is not written here.
            let _ = node.view.apply(bytes);
        }
        node.read = self.log.len();
        let mut settings = Settings::new();
        let writer = |id: &SnapshotId| node.view.snapshot(id).map(|fact| fact.writer);
        node.collect.compare(
            self.now,
            |id| writer(id).filter(|_| !node.view.stands(id)),
            writer,
            &mut settings,
        );
        if !settings.is_empty() {
            node.collect.ride_along(self.now, &mut settings);
            node.save(settings);
        }
    }

    /// A writer retires one of its snapshots, or takes one back that it still pins.
    fn retire(&mut self, at: usize, retire: bool) {
        let (node, now) = (&mut self.nodes[at], self.now);
        let (own, chance) = (node.writer.node(), usize::try_from(self.rng.next_u64() % 8).unwrap_or(0));
        let wanted = |id: &SnapshotId| {
            node.view.stands(id) == retire && (retire || node.collect.pins().contains_key(id))
        };
        let all = node.view.all_snapshots_of(&FolderId::from_bytes([9; 16]));
        let fitting: Vec<u64> =
            all.filter(|fact| fact.writer == own && wanted(&fact.id)).map(|fact| fact.sequence).collect();
        let Some(sequence) = fitting.get(chance % fitting.len().max(1)).copied() else { return };
        let feed = node.writer.feed;
        let hash = node.view.hash_at(&feed, sequence).expect("own entries are here");
        let until = crate::feed::entry::Head { feed, length: sequence + 1, hash };
        let standing = if retire { Vec::new() } else { vec![Standing { sequence, held: true }] };
        let version = node.view.checkpoint_version(&feed) + 1;
        let checkpoint = Checkpoint { until, from: sequence, version, standing };
        let (_, bytes) = node.append(now, Body::Checkpoint(checkpoint), Vec::new());
        self.log.push(bytes);
        self.read(at);
    }

    /// The floor passes on a node, or half of it: what has waited for so long is given up.
    fn give_up(&mut self, at: usize) {
        self.now = self.now + FLOOR.part(2);
        let node = &mut self.nodes[at];
        if !matches!(node.duty, Duty::Nothing) || node.collect.may_drop(self.now).is_err() {
            return;
        }
        for id in node.collect.expired(self.now, FLOOR) {
            let own = node.writer.node();
            if node.view.receipts(&id).any(|(holder, _)| holder == own) {
                let release = Release { snapshot: Some(id), groups: GroupSet::all() };
                let (_, bytes) = node.append(self.now, Body::Release(release), Collect::giving_up(&id));
                self.log.push(bytes);
            } else {
                node.save(Collect::giving_up(&id));
            }
            node.collect.given_up(&id);
        }
    }

    /// A pass begins, or goes on for a while.
    fn pass(&mut self, at: usize) {
        for _ in 0..=self.pick(24) {
            self.now = self.now + Span::from_secs(1);
            let node = &mut self.nodes[at];
            let world = node.world();
            let (now, roots) = (self.now, node.roots());
            // Small slices, so that much can fall between.
            let pass =
                node.pass.get_or_insert_with(|| Pass::new(4 * crate::base::limits::COLLECT_SLICE_IDS, 6));
            match pass.poll(now, world) {
                None => return,
                Some(PassOutput::Roots) => pass.begin_slice(roots, GroupSet::new(), world),
                Some(PassOutput::Finished(_)) => {
                    self.dropped += pass.counts().dropped;
                    node.pass = None;
                    return;
                }
                Some(PassOutput::Ask(ask)) => {
                    let told = self.serve(at, ask);
                    if let (Some(pass), Some(told)) = (&mut self.nodes[at].pass, told) {
                        pass.told(told);
                    }
                }
            }
        }
    }

    /// The power goes, and comes again.
    fn crash(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.chunks = None;
        node.disk.crash(&mut self.rng);
        node.chunks = Some(open(&node.disk));
        (node.duty, node.pass, node.read) = (Duty::Nothing, None, 0);
        node.collect = Collect::load(&node.settings, self.now);
        node.view = View::new(self.root.public());
        // Own entries are shown to nobody before they are durable, so the log has what the disk has.
        let own = node.writer.node();
        let (mine, _): (Vec<_>, Vec<_>) = self.log.iter().partition(|bytes| {
            crate::feed::entry::decode(bytes)
                .is_ok_and(|entry| entry.feed.node == own || matches!(entry.body, Body::Admit(_)))
        });
        mine.into_iter().for_each(|bytes| drop(node.view.apply(bytes)));
    }

    /// The oracle.
    fn check(&mut self) {
        let writers: Vec<(NodeId, Vec<SnapshotId>)> = self
            .nodes
            .iter()
            .map(|node| {
                let own = node.writer.node();
                (own, node.view.snapshots().filter(|fact| fact.writer == own).map(|fact| fact.id).collect())
            })
            .collect();
        for at in 0..self.nodes.len() {
            let own = self.nodes[at].writer.node();
            let mut needed: Vec<ChunkId> = Vec::new();
            if let Duty::Backup(ids) = &self.nodes[at].duty {
                needed.extend(ids);
            }
            for (writer, standing) in &writers {
                for id in standing {
                    let is_promised =
                        *writer == own || self.nodes[at].view.receipts(id).any(|(holder, _)| holder == own);
                    if is_promised {
                        needed.extend(&self.needs[id]);
                    }
                }
            }
            needed.sort_unstable();
            needed.dedup();
            let lacks = needed.chunks(512).map(|page| self.nodes[at].lacks(page)).sum::<usize>();
            assert_eq!(lacks, 0, "node {at} lacks what stands or is counted on, after {:#?}", self.story);
        }
    }
}

/// Plays so many samples; chunks that were dropped, and snapshots that were made.
fn play(seed: u64, samples: usize) -> (u64, usize) {
    let mut house = House::new(seed);
    for _ in 0..samples * OPERATIONS {
        house.step();
    }
    (house.dropped, house.needs.len())
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn no_sampled_interleaving_removes_what_was_receipted_and_stands() {
    let (mut dropped, mut snapshots) = (0, 0);
    for seed in 0..number("NUTHATCH_COLLECT_SAMPLES").unwrap_or(10_000)
        / u64::try_from(SAMPLES_PER_HOUSE).unwrap_or(1)
    {
        let (more, made) = play(seed, SAMPLES_PER_HOUSE);
        (dropped, snapshots) = (dropped + more, snapshots + made);
    }
    assert!(
        dropped > 1_000 && snapshots > 1_000,
        "{dropped} chunks dropped, {snapshots} snapshots: too dull"
    );
}

#[test]
#[ignore = "runs for as many seconds as NUTHATCH_COLLECT_SECONDS says; for a long night"]
#[expect(clippy::disallowed_methods, reason = "the budget is one of a person's time")]
fn collect_long() {
    let seconds = number("NUTHATCH_COLLECT_SECONDS").unwrap_or(3_600);
    let began = std::time::Instant::now();
    let mut seed = 1_000_000;
    while began.elapsed().as_secs() < seconds {
        play(seed, 40);
        seed += 1;
    }
    println!("{} households, {} operations", seed - 1_000_000, (seed - 1_000_000) * 400);
}
