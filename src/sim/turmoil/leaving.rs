//! Members that are told to leave: what they hold is on others when they are none any more, whatever happens meanwhile.

use std::collections::BTreeSet;

use super::letting_go::is_cut_off;
use super::{Health, Turmoil};
use crate::base::ids::{ChunkId, NodeId};
use crate::node::api::{Call, Removal};
use crate::node::ports::Ending;
use crate::sim::check::{text, MINUTE};

impl Turmoil {
    /// A member is to leave, but neither the owner's nor the other one that can always read, and not if too few would be left.
    pub(super) fn tell_to_leave(&mut self, victim: usize) {
        let left = (0..self.health.len()).filter(|number| self.is_left(*number)).count();
        let may = left > usize::from(self.copies) + self.leaving.len()
            && self.hurt() + self.leaving.len() + 1 < usize::from(self.copies)
            && self.health[victim] == Health::Sound;
        if !may || victim == self.owner || victim == 1 || !self.cluster.is_running(self.owner) {
            return;
        }
        let call = Call::Remove { node: format!("node{victim}"), how: Removal::Drained };
        let (owner, id) = (self.owner, self.cluster.call(self.owner, call));
        self.cluster.run_until(MINUTE, |cluster| cluster.answer(owner, id).end.is_some());
        let answer = self.cluster.answer(owner, id);
        let (end, first) = (answer.end.clone(), answer.lines.first());
        let is_told_to = first.is_some_and(|line| line.get("leaving").is_some());
        self.note(format!("node {victim} is told to leave: {end:?}, it waits: {is_told_to}"));
        if !matches!(&end, Some(Err(error)) if !is_cut_off(error)) {
            // One that is removed at once, or may be, is one copy less.
            let health = if is_told_to { Health::Gone } else { Health::Burnt };
            self.leaving.insert(victim, health);
        }
        self.see_who_left();
    }

    /// One that is to leave may stay.
    pub(super) fn let_stay(&mut self) {
        let all: Vec<usize> = self.leaving.keys().copied().collect();
        let Some(number) = self.cluster.pick(&all) else { return };
        let end = self.order(Call::Remove { node: format!("node{number}"), how: Removal::Keep });
        self.note(format!("node {number} may stay: {end:?}"));
        if end == Some(Ok(Ending::Complete)) {
            self.leaving.remove(&number);
        }
    }

    /// Those that are no members any more are off from now on.
    pub(super) fn see_who_left(&mut self) {
        if self.leaving.is_empty() || !self.cluster.is_running(self.owner) {
            return;
        }
        let told = self.cluster.ask(self.owner, Call::Nodes, MINUTE).lines;
        let Some(list) = told.first().and_then(|line| line.as_array()) else { return };
        let is_member = |number: &usize| list.iter().any(|node| node["name"] == *format!("node{number}"));
        let gone: Vec<(usize, Health)> = self
            .leaving
            .iter()
            .filter(|(number, _)| !is_member(number))
            .map(|(n, health)| (*n, *health))
            .collect();
        // Where some hold nothing, or no more, there may be too few holders.
        let is_tight = list.iter().any(|node| node["full"] == true || node["capacity_bytes"] == 0);
        for (number, health) in gone {
            self.note(format!("node {number} is a member no more"));
            self.leaving.remove(&number);
            self.cluster.crash(number);
            self.health[number] = health;
            if health == Health::Gone && !is_tight {
                self.check_nothing_is_missing(number);
            }
        }
    }

    /// Whoever was let in by one that burnt before anybody else had heard of that is a member to nobody, and has to join anew (seed 75070868).
    pub(super) fn see_who_is_unknown(&mut self) {
        let members = self.members();
        let is_unknown = |number: &&usize| {
            let id = self.core(**number).own_id();
            let mut others = members.iter().filter(|other| *other != *number).peekable();
            others.peek().is_some()
                && others.all(|other| id.is_some_and(|id| !self.core(*other).counts_as_member(&id)))
        };
        let is_burnt = |by: usize| self.health[by] == Health::Burnt;
        let was_let_in =
            |number: &&usize| self.let_in.iter().any(|(who, by)| who == *number && is_burnt(*by));
        let unknown: Vec<usize> = members.iter().filter(was_let_in).filter(is_unknown).copied().collect();
        for number in unknown {
            self.note(format!("node {number} is a member to nobody who is left"));
            self.cluster.crash(number);
            self.health[number] = Health::Outside;
        }
    }

    /// Without the one that has left there are as many copies as before of what was said to be protected and stands.
    fn check_nothing_is_missing(&mut self, gone: usize) {
        let on_disk: Vec<BTreeSet<ChunkId>> =
            (0..self.health.len()).map(|number| self.chunks(number)).collect();
        // Of whom proof was asked in vain (its disk may have been without power since) the owner waits for nothing.
        let holders = self.status(self.owner)["audit"]["holders"].take();
        let doubted = holders.as_array().into_iter().flatten().filter(|holder| holder["believed"] == false);
        let doubted: BTreeSet<String> = doubted.map(|holder| text(holder, "node")).collect();
        self.learn_ids();
        let is_doubted = |(id, number): (&NodeId, &usize)| doubted.contains(&id.hex()).then_some(*number);
        let doubted: BTreeSet<usize> = self.ids.iter().filter_map(is_doubted).collect();
        let standing = self.kept.iter().filter(|kept| kept.forgotten.is_none() && !kept.returned);
        let standing: Vec<(String, ChunkId)> =
            standing.filter_map(|kept| Some((kept.id.clone(), kept.manifest?))).collect();
        for (id, manifest) in standing {
            for chunk in self.manifest(manifest).iter() {
                // Who is away for long is not waited for, and may have come back since.
                let is_late = |number: &&usize| {
                    let is_asked =
                        self.health[**number] == Health::Sound && self.cluster.is_running(**number);
                    is_asked && !on_disk[**number].contains(chunk)
                };
                let late = self.long_away.union(&doubted).filter(is_late).count();
                let have = self.may_have(*chunk, &on_disk) + late;
                if have < usize::from(self.copies) {
                    self.fail(&format!(
                        "node {gone} was removed while {have} others had a chunk of {}",
                        &id[..8]
                    ));
                }
            }
        }
    }
}
