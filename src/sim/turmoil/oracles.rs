//! What must be true of a household, after every step and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::{Health, Turmoil};
use crate::base::ids::{ChunkId, Group, NodeId, SnapshotId};
use crate::feed::entry::GroupSet;
use crate::file::map::{MapCursor, Step};
use crate::node::api::{Call, Removal};
use crate::node::forge::Claim;
use crate::node::ports::Ending;
use crate::sim::check::{text, MINUTE};
use crate::store::service::{Reply, Request};

impl Turmoil {
    /// Stored means there: every copy that anybody counts on lies on the disk of whoever is counted on, as far as that node can be
    /// asked and nothing was done to its disk. What a holder has released counts no more, whatever others have heard of it
    /// yet; then as many others have it as copies are wanted, unless it was forgotten once and taken back: who heard the one and not the
    /// other may have given it up at the end of its time.
    pub(super) fn check(&mut self) {
        self.see_who_left();
        let on_disk: Vec<BTreeSet<ChunkId>> =
            (0..self.health.len()).map(|number| self.chunks(number)).collect();
        // The power of some may have gone since they were last seen, or just now, while they were asked.
        self.darken();
        self.learn_ids();
        let mut claims: BTreeSet<Claim> = BTreeSet::new();
        let mut own: BTreeMap<(NodeId, SnapshotId), GroupSet> = BTreeMap::new();
        for number in self.running() {
            for claim in self.core(number).claims() {
                if Some(claim.holder) == self.core(number).own_id() {
                    own.insert((claim.holder, claim.snapshot), claim.groups.clone());
                }
                claims.insert(claim);
            }
        }
        for claim in claims {
            let Some(holder) = self.ids.get(&claim.holder).copied() else { continue };
            if self.health[holder] != Health::Sound || !self.cluster.is_running(holder) {
                continue;
            }
            let (listed, snapshot) = (self.manifest(claim.manifest), claim.snapshot.short());
            let held = own.get(&(claim.holder, claim.snapshot)).cloned().unwrap_or_default();
            let lacking = listed
                .iter()
                .filter(|id| claim.groups.contains(Group::of(id)) && !on_disk[holder].contains(id));
            let (missing, released): (Vec<&ChunkId>, Vec<&ChunkId>) =
                lacking.partition(|id| held.contains(Group::of(id)));
            if !missing.is_empty() {
                self.fail(&format!(
                    "node {holder} is counted on for {snapshot} and lacks {} of {}",
                    missing.len(),
                    listed.len()
                ));
            }
            // Who heard that it was forgotten, and not that it was taken back, has given it up in time; and who counts on it may not have
            // heard that it was forgotten.
            let may_be_gone = self.may_be_gone(&claim.snapshot.to_string());
            for id in released.into_iter().filter(|_| !may_be_gone) {
                let have = self.may_have(*id, &on_disk);
                if have < usize::from(claim.copies) {
                    self.fail(&format!(
                        "node {holder} gave up a chunk of {snapshot} that {have} others have"
                    ));
                }
            }
        }
        self.check_the_floor(&on_disk);
    }

    /// How many nodes have a chunk, or would if nothing had been done to them.
    pub(super) fn may_have(&self, id: ChunkId, on_disk: &[BTreeSet<ChunkId>]) -> usize {
        let may_have = |number: &usize| {
            let is_sound = self.health[*number] == Health::Sound && self.cluster.is_running(*number);
            let is_excused = !is_sound && self.health[*number] != Health::Gone;
            is_excused || on_disk[*number].contains(&id)
        };
        (0..on_disk.len()).filter(may_have).count()
    }

    /// Everything works again; whoever was hurt may show that it is whole.
    pub(super) fn become_quiet(&mut self) {
        self.note("all becomes quiet".into());
        self.calm_down();
        for number in 0..self.health.len() {
            // A restart, so that whoever lied is honest.
            if self.health[number] == Health::Doubtful {
                self.cluster.crash(number);
                self.cluster.start(number);
            }
        }
        self.cluster.run_until(MINUTE.times(20), |_| false);
        self.hear_backup();
        for number in 0..self.health.len() {
            let attempts = match self.health[number] {
                Health::Burnt => 20,
                Health::Outside => 1,
                // Whoever removed it may have burnt before anybody else heard of that.
                Health::Gone => 2,
                Health::Sound | Health::Doubtful => 0,
            };
            for _ in 0..attempts {
                let call = Call::Remove { node: format!("node{number}"), how: Removal::Drained };
                let owner = self.owner;
                if self.cluster.ask(owner, call, MINUTE.times(5)).end == Some(Ok(Ending::Complete)) {
                    break;
                }
                self.cluster.run_until(MINUTE, |_| false);
            }
        }
    }

    /// The vault is well: protected anew, one and the same for all, and whole on every disk.
    pub(super) fn assert_well(&mut self) {
        self.running = None;
        self.edit();
        self.protect();
        self.learn_ids();
        let mut worst = String::new();
        for _ in 0..40 {
            self.cluster.run_until(MINUTE.times(10), |_| false);
            self.see_who_left();
            self.see_who_is_unknown();
            worst = self.trouble_left();
            if worst.is_empty() {
                break;
            }
        }
        if !worst.is_empty() {
            self.fail(&worst);
        }
        for (number, health) in self.health.iter_mut().enumerate() {
            if *health == Health::Doubtful && !self.rotten.contains(&number) {
                *health = Health::Sound;
                self.mended.insert(number);
            }
        }
        self.check();
    }

    /// What is still wrong; nothing, if nothing is.
    fn trouble_left(&mut self) -> String {
        let left = self.not_let_go();
        if !left.is_empty() {
            return left;
        }
        let members = self.members();
        let heads: BTreeSet<Vec<String>> =
            members.iter().map(|number| self.core(*number).told_heads()).collect();
        if heads.len() > 1 {
            return format!("after hours of quiet the nodes have {} views of the vault", heads.len());
        }
        for number in &members {
            let answer = self.cluster.ask(*number, Call::Verify { all: true }, MINUTE.times(20));
            if answer.end != Some(Ok(Ending::Complete)) && !self.rotted_alone(*number, &answer.lines) {
                let (last, words) = (answer.lines.last(), self.last_words(*number));
                return format!("after hours of quiet node {number} is not whole: {last:?}\n{words}");
            }
            let log = self.cluster.ask(*number, Call::Log { follow: false, after: None }, MINUTE).lines;
            if log.iter().any(|line| line.to_string().contains("another history")) {
                return format!("node {number} has met two histories of a feed");
            }
        }
        String::new()
    }

    /// Whether all that a check misses rotted here before anybody else had it: it is of no snapshot that was said to be protected, and on no
    /// disk, so not of the newest one either.
    fn rotted_alone(&mut self, number: usize, lines: &[Value]) -> bool {
        if self.health[number] != Health::Doubtful {
            return false;
        }
        let on_disk: Vec<BTreeSet<ChunkId>> =
            self.members().into_iter().map(|member| self.chunks(member)).collect();
        let mut damaged = lines.iter().filter(|line| line["event"] == "damaged").peekable();
        // A check that broke off for another reason has named nothing.
        let is_named = damaged.peek().is_some() && lines.iter().any(|line| line["event"] == "result");
        let is_alone = damaged.all(|line| {
            let is_on_disk = |id: ChunkId| on_disk.iter().any(|chunks| chunks.contains(&id));
            let is_gone = text(line, "damaged").parse().is_ok_and(|id| !is_on_disk(id));
            line["snapshot"].is_string()
                && is_gone
                && self.kept.iter().all(|kept| line["snapshot"] != *kept.id)
        });
        self.rotten.extend((is_named && is_alone).then_some(number));
        is_named && is_alone
    }

    /// As many nodes burn as may, and somebody who is left restores all that was promised.
    pub(super) fn lose_what_may_be_lost(&mut self) {
        let Some((snapshot, expected)) = self.one_that_is_promised() else { return };
        let members = self.members();
        let mut left = members.clone();
        let reader_wanted = self.cluster.draw(2) == 0;
        for _ in 1..self.copies {
            // One that can read is to be left, or else the words must do.
            let choice: Vec<usize> =
                left.iter().copied().filter(|number| *number != 1 || !reader_wanted).collect();
            let Some(victim) = self.cluster.pick(&choice) else { break };
            left.retain(|number| *number != victim);
            self.note(format!("node {victim} burns at the end"));
            self.cluster.crash(victim);
            self.health[victim] = Health::Burnt;
        }
        let reader = if left.contains(&1) { 1 } else { self.recover(&left) };
        self.assert_restores(reader, &format!("family@{}", &snapshot[..12]), &expected);
    }

    /// A new node comes back from the words and what one that is left knows; its number.
    fn recover(&mut self, left: &[usize]) -> usize {
        let survivor = self.cluster.pick(left);
        let peer = survivor.map(|number| self.cluster.nodes[number].address);
        let number = self.cluster.add_node();
        self.health.push(Health::Sound);
        let call = Call::Recover { phrase: self.words.clone(), peer, replace: None, name: None, site: None };
        let answer = self.cluster.ask(number, call, MINUTE.times(20));
        if answer.end != Some(Ok(Ending::Complete)) {
            self.fail(&format!("nobody comes back from the words: {:?}", answer.end));
        }
        number
    }

    /// Those that run and belong to the vault.
    pub(super) fn members(&mut self) -> Vec<usize> {
        self.running().into_iter().filter(|number| self.core(*number).own_id().is_some()).collect()
    }

    /// The program of a node that runs.
    pub(super) fn core(&self, number: usize) -> &crate::node::core::Core {
        &self.cluster.nodes[number].running.as_ref().expect("it runs").core
    }

    /// Who is who.
    pub(super) fn learn_ids(&mut self) {
        for number in self.running() {
            let id: Option<NodeId> = self.core(number).own_id();
            self.ids.extend(id.map(|id| (id, number)));
        }
    }

    /// The chunks in the index of a node that runs.
    pub(super) fn chunks(&mut self, number: usize) -> BTreeSet<ChunkId> {
        let mut ids = BTreeSet::new();
        let Some(running) = &mut self.cluster.nodes[number].running else { return ids };
        loop {
            let mut replies = Vec::new();
            let request = Request::Scan { op: 1, after: ids.last().copied(), limit: 1_000, read: false };
            running.service.execute(request, &mut replies);
            let Some(Reply::Scan { found, more, .. }) = replies.pop() else { return ids };
            ids.extend(found.into_iter().map(|(id, _)| id));
            if !more {
                return ids;
            }
        }
    }

    /// What a manifest lists; nothing, if no node that runs has all of it.
    pub(super) fn manifest(&mut self, root: ChunkId) -> Arc<BTreeSet<ChunkId>> {
        if let Some(known) = self.manifests.get(&root) {
            return Arc::clone(known);
        }
        let (mut cursor, mut ids) = (MapCursor::new(root), BTreeSet::new());
        loop {
            let needed = match cursor.step().expect("a manifest is sound") {
                Step::Need(id) => id,
                Step::Entry { key, .. } => {
                    ids.insert(ChunkId::from_bytes(key.try_into().expect("keys of a manifest are ids")));
                    continue;
                }
                Step::End => break,
            };
            let Some(bytes) = self.running().into_iter().find_map(|number| self.chunk(number, needed)) else {
                return Arc::default();
            };
            cursor.give(needed, bytes).expect("it was asked for");
        }
        let ids = Arc::new(ids);
        self.manifests.insert(root, Arc::clone(&ids));
        ids
    }

    /// A chunk of a node that runs.
    fn chunk(&mut self, number: usize, id: ChunkId) -> Option<Vec<u8>> {
        let running = self.cluster.nodes[number].running.as_mut()?;
        let mut replies = Vec::new();
        running.service.execute(Request::Get { op: 1, id }, &mut replies);
        match replies.pop() {
            Some(Reply::Get { result: Ok(bytes), .. }) => bytes,
            _ => None,
        }
    }
}
