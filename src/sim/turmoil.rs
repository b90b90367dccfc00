//! A household to which everything happens that may happen: one seed draws its size and sites, the weather, and a row of troubles out of
//! all there are (`turmoil/troubles.rs`). After every step it is looked at whether what anybody counts on is there
//! (`turmoil/oracles.rs`), and at the end, when all is quiet, whether all is well again.
//!
//! The vault is forged as `crowd/forge.rs` does it, for joining is what costs most, and one step joins a node for real. What
//! no household is promised to survive is not done to it: never more nodes than `copies` - 1 are burnt, lie, rot or are older than what they
//! signed, at a time.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use serde_json::Value;

use super::check::{text, unpack, weather, Expected, MINUTE, ROOT};
use super::cluster::Cluster;
use super::crowd::Crowd;
use crate::base::ids::{ChunkId, NodeId};
use crate::base::units::{Span, Time};
use crate::node::api::{Call, FolderAdd};
use crate::node::ports::{CallId, Ending};
use crate::seal::keys::RootSecret;
use crate::seal::phrase;

mod leaving;
mod letting_go;
mod oracles;
mod owner;
mod seeds;
mod troubles;

/// In households of these seeds and later ones members are told to leave, too; those before are what they were.
const LEAVES_FROM: u64 = 70_000_000;
/// In these and later ones a node may be off for days, so that others stand in for it, and the clock of one alone may jump.
const AWAY_FROM: u64 = 80_000_000;

/// What is wrong with a node, for the oracles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    /// Nothing: what it has signed must be on its disk.
    Sound,
    /// Its disk has lost what it has signed, or it lies.
    Doubtful,
    /// It is gone for good, with its disk.
    Burnt,
    /// It wanted to join, and was told of no success: it is off, and may be a member in the others' eyes.
    Outside,
    /// It was removed when the others had what it held, and is off: nothing is missing for that.
    Gone,
}

/// The household and what is known of it.
struct Turmoil {
    /// The nodes.
    cluster: Cluster,
    /// The recovery phrase.
    words: String,
    /// Copies that the folder wants.
    copies: u8,
    /// By node.
    health: Vec<Health>,
    /// The node whose folder is backed up.
    owner: usize,
    /// Its files.
    files: Expected,
    /// A backup that has not ended, and what was there when it began; None where something was changed since.
    running: Option<(CallId, Option<Expected>)>,
    /// Every snapshot that was said to be protected once, oldest first.
    kept: Vec<Kept>,
    /// What was taken back, or may have been.
    undone: BTreeSet<String>,
    /// What each manifest lists.
    manifests: BTreeMap<ChunkId, std::sync::Arc<BTreeSet<ChunkId>>>,
    /// Whom each node is, once it is known.
    ids: BTreeMap<NodeId, usize>,
    /// Nodes that were hurt and are whole again, but for what is in the trash, which nobody repairs.
    mended: BTreeSet<usize>,
    /// Nodes that were off, or cut off, for so long that others stood in for them.
    long_away: BTreeSet<usize>,
    /// Nodes that may hold less than they could.
    squeezed: BTreeSet<usize>,
    /// Who was let in, and by whom.
    let_in: Vec<(usize, usize)>,
    /// Nodes of which something rotted for good before anybody else had it.
    rotten: BTreeSet<usize>,
    /// Members that are told to leave, and what they are once they are none any more.
    leaving: BTreeMap<usize, Health>,
    /// Whether such things happen: they do in younger households.
    leaves: bool,
    /// Whether these do.
    is_long: bool,
    /// An old image of the disk of a node.
    image: Option<(usize, super::disk::SimDisk)>,
    /// What has happened, for whoever reads of a failure.
    story: Vec<String>,
}

/// A snapshot that was said to be protected.
struct Kept {
    /// Its id.
    id: String,
    /// What is in it.
    files: Expected,
    /// The root of its manifest, if a node was on that knew it.
    manifest: Option<ChunkId>,
    /// When somebody began to have it forgotten, if it was not taken back since.
    forgotten: Option<Time>,
    /// The words were said that it shall go at once, or may have been.
    erased: bool,
    /// It was taken back: whether all is still there was a matter of luck.
    returned: bool,
    /// Who had little room and kept nothing of it when it was forgotten.
    unpinned: BTreeSet<usize>,
}

/// How much of everything a household has.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Nodes.
    nodes: usize,
    /// Troubles.
    steps: u64,
    /// Sessions that a node may have; None: as many as by default.
    sessions: Option<usize>,
}

impl Size {
    /// The usual one of a seed: mostly small, for most of what can go wrong goes wrong among five; of ten thousand one has up to fifty
    /// nodes, and takes as long as a few hundred others.
    fn of(seed: u64) -> Self {
        let nodes = match seed % 64 {
            _ if seed % 10_000 == 9_999 => 20 + usize::try_from(seed / 10_000 % 31).unwrap_or(0),
            0 => 12,
            1..=4 => 7 + usize::try_from(seed / 64 % 3).unwrap_or(0),
            rest => 3 + usize::try_from(rest % 4).unwrap_or(0),
        };
        Self { nodes, steps: 5 + seed / 7 % 6, sessions: None }
    }
}

impl Turmoil {
    /// A household before its first trouble, with a folder that is protected.
    fn begin(seed: u64, size: Size) -> Self {
        let crowd = Crowd::forge(seed, size.nodes, 2, 64, weather(seed));
        let mut root = [0; 32];
        ChaCha20Rng::seed_from_u64(seed).fill_bytes(&mut root);
        let words = phrase::to_words(&RootSecret::from_bytes(root)).to_string();
        let mut cluster = Cluster::new(seed, 0, weather(seed));
        cluster.segment_bytes = (32 * 1024) << (seed % 6);
        cluster.push = seed % 5 > 0;
        if seed % 2 == 0 {
            cluster.retired = letting_go::FLOOR_SHORT;
        }
        cluster.sessions = size.sessions;
        let sites = 1 + cluster.draw(3);
        for (number, person) in crowd.nodes.iter().enumerate() {
            cluster.add_node_off();
            let node = &mut cluster.nodes[number];
            node.disk = std::sync::Arc::clone(&person.disk);
            node.site = Some(format!("site{}", u64::try_from(number).unwrap_or(0) % sites));
            node.peers = vec![std::net::SocketAddr::from(([10, 0, 0, 1], 7117))];
        }
        (0..size.nodes).for_each(|number| cluster.start(number));
        let copies = if size.nodes > 3 && seed % 3 == 0 { 2 } else { 3 };
        let health = vec![Health::Sound; size.nodes];
        let mut house = Self {
            cluster,
            words,
            copies,
            health,
            owner: 0,
            files: Expected::new(),
            running: None,
            kept: Vec::new(),
            undone: BTreeSet::new(),
            manifests: BTreeMap::new(),
            ids: BTreeMap::new(),
            mended: BTreeSet::new(),
            long_away: BTreeSet::new(),
            squeezed: BTreeSet::new(),
            let_in: Vec::new(),
            rotten: BTreeSet::new(),
            leaving: BTreeMap::new(),
            leaves: seed >= LEAVES_FROM,
            is_long: seed >= AWAY_FROM,
            image: None,
            story: vec![format!("seed {seed}: {size:?}, {copies} copies, {sites} sites")],
        };
        house.settle_in();
        house
    }

    /// All meet, and the folder is protected for the first time.
    fn settle_in(&mut self) {
        let nodes = self.cluster.nodes.len();
        let all_met = |cluster: &mut Cluster| {
            cluster.ask(0, Call::Nodes, MINUTE).lines[0].as_array().is_some_and(|list| {
                list.iter().filter(|node| !node["capacity_bytes"].is_null()).count() == nodes
            })
        };
        for _ in 0..60 {
            self.cluster.run_until(Span::from_secs(5), |_| false);
            if all_met(&mut self.cluster) {
                break;
            }
        }
        self.cluster.nodes[0].files.make_root(ROOT);
        (0..3 + self.cluster.draw(6)).for_each(|_| self.edit());
        let add = FolderAdd {
            name: "family".into(),
            directory: ROOT.to_vec(),
            kind: "backup".into(),
            copies: Some(self.copies),
            keep: Some("all".into()),
            ignore: Vec::new(),
            one_file_system: false,
            max_size: None,
            mode: crate::feed::entry::Mode::Both,
        };
        let answer = self.cluster.ask(0, Call::FolderAdd(add), MINUTE);
        assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
        self.protect();
    }

    /// The owner writes a file anew, or another one, or deletes one.
    fn edit(&mut self) {
        let name = format!("d{}/f{}", self.cluster.draw(3), self.cluster.draw(9)).into_bytes();
        let length = match self.cluster.draw(10) {
            0 => 0,
            1..=5 => self.cluster.draw(3_000),
            6..=8 => self.cluster.draw(30_000),
            _ => self.cluster.draw(300_000),
        };
        let files = &mut self.cluster.nodes[self.owner].files;
        if length == 0 && self.files.remove(&name).is_some() {
            files.remove(ROOT, &name);
        } else {
            let mut content = vec![0; usize::try_from(length).unwrap_or(0)];
            self.cluster.rng.fill_bytes(&mut content);
            self.cluster.nodes[self.owner].files.write(ROOT, &name, &content);
            self.files.insert(name, content);
        }
        if let Some((_, before)) = &mut self.running {
            *before = None;
        }
    }

    /// A backup begins, if none runs.
    fn begin_backup(&mut self) {
        if self.running.is_none() && self.cluster.is_running(self.owner) {
            let id = self.cluster.call(self.owner, Call::Backup { name: None, wait: true });
            self.running = Some((id, Some(self.files.clone())));
        }
    }

    /// If the backup that runs has ended: what it promised.
    fn hear_backup(&mut self) {
        let Some((id, _)) = &self.running else { return };
        let Some(end) = self.cluster.answer(self.owner, *id).end.clone() else { return };
        let Some((id, before)) = self.running.take() else { return };
        let answer = self.cluster.finish(self.owner, id, Span::ZERO);
        let snapshot = answer.lines.iter().rev().find(|line| line["event"] == "protected");
        if let (Ok(Ending::Complete), Some(line), Some(before)) = (end, snapshot, before) {
            self.keep(text(line, "snapshot"), before);
        }
    }

    /// Backs up until it is protected.
    fn protect(&mut self) {
        for _ in 0..30 {
            self.begin_backup();
            let Some((id, _)) = &self.running else { break };
            let (id, owner) = (*id, self.owner);
            self.cluster.run_until(MINUTE.times(10), |cluster| cluster.answer(owner, id).end.is_some());
            let end = self.cluster.answer(owner, id).end.clone();
            self.hear_backup();
            if end == Some(Ok(Ending::Complete)) {
                return;
            }
            // Whoever was full stays so for hours.
            self.cluster.run_until(MINUTE.times(15), |_| false);
        }
        let status = self.status(self.owner);
        let said: Vec<String> = self.running().into_iter().map(|number| self.last_words(number)).collect();
        let (folders, attention) = (&status["folders"], &status["attention"]);
        self.fail(&format!("the folder is not protected: {folders} {attention}\n{}", said.join("\n")));
    }

    /// What a node thinks of the others, and the end of its log: for whoever looks for the cause.
    fn last_words(&mut self, number: usize) -> String {
        let audit = self.status(number)["audit"].take();
        let log = self.cluster.ask(number, Call::Log { follow: false, after: None }, MINUTE).lines;
        let lines =
            log.iter().rev().take(12).rev().map(|line| format!("  {} {}", line["time"], line["message"]));
        format!("node {number}: {audit}\n{}", lines.collect::<Vec<_>>().join("\n"))
    }

    /// What a node says of itself.
    fn status(&mut self, number: usize) -> Value {
        self.cluster.ask(number, Call::Status, MINUTE).lines.remove(0)
    }

    /// Those that run and are members.
    fn running(&self) -> Vec<usize> {
        (0..self.health.len()).filter(|number| self.cluster.is_running(*number)).collect()
    }

    /// How many nodes are burnt or doubtful.
    fn hurt(&self) -> usize {
        self.health.iter().filter(|health| matches!(health, Health::Doubtful | Health::Burnt)).count()
    }

    /// Whether a node can be anything but off.
    fn is_left(&self, number: usize) -> bool {
        !matches!(self.health[number], Health::Burnt | Health::Outside | Health::Gone)
    }

    /// Notes what happens.
    fn note(&mut self, what: String) {
        let minutes = self.cluster.now().as_micros() / 60_000_000;
        self.story.push(format!("{minutes} min: {what}"));
    }

    /// The story has a bad end.
    fn fail(&self, what: &str) -> ! {
        panic!("{what}\n{}", self.story.join("\n"))
    }

    /// A node restores what it is told, and it is what it was.
    fn assert_restores(&mut self, number: usize, what: &str, expected: &Expected) {
        let mut end = None;
        for _ in 0..8 {
            let call = Call::Restore { what: what.to_owned(), dry_run: false };
            let answer = self.cluster.ask(number, call, MINUTE.times(20));
            if answer.end == Some(Ok(Ending::Complete)) {
                if unpack(&answer.bytes) != *expected {
                    self.fail(&format!("node {number} restores something else of {what}"));
                }
                return;
            }
            end = answer.end;
            self.cluster.run_until(MINUTE.times(2), |_| false);
        }
        self.fail(&format!("node {number} cannot restore {what}: {end:?}"));
    }
}

impl Cluster {
    /// A number below `bound`.
    fn draw(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound.max(1)
    }

    /// One of these.
    fn pick(&mut self, from: &[usize]) -> Option<usize> {
        let place = usize::try_from(self.draw(u64::try_from(from.len()).ok()?)).ok()?;
        from.get(place).copied()
    }
}

/// What a seed came to: the same again as long as the program is the same, and after a change that only makes it faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Course {
    /// Virtual time at the end.
    end: Time,
    /// Datagrams that were on their way, and their bytes.
    sent: (u64, u64),
    /// What the generator would say next, of which every datagram and every wait has taken something.
    next: u64,
}

/// Plays a seed to its end.
fn play(seed: u64, size: Size) -> Course {
    let mut house = Turmoil::begin(seed, size);
    house.check();
    for _ in 0..size.steps {
        house.trouble();
        house.check();
    }
    house.become_quiet();
    house.assert_well();
    house.lose_what_may_be_lost();
    (0..house.health.len()).for_each(|number| house.cluster.crash(number));
    let net = &house.cluster.net;
    let sent = (net.sent_count(), net.sent_bytes());
    Course { end: house.cluster.now(), sent, next: house.cluster.rng.next_u64() }
}
