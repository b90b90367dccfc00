//! What can happen to a household, one trouble a step, and how it passes.

use std::sync::Arc;

use super::{Cluster, Health, Turmoil};
use crate::base::units::Span;
use crate::feed::entry::Role;
use crate::node::api::Call;
use crate::node::ports::Ending;
use crate::sim::check::{text, MINUTE};
use crate::sim::disk::Fault;
use crate::store::service::{Reply, Request};

impl Turmoil {
    /// Something happens, and some time passes.
    pub(super) fn trouble(&mut self) {
        let others: Vec<usize> = (0..self.health.len()).filter(|number| self.is_left(*number)).collect();
        let Some(victim) = self.cluster.pick(&others) else { return };
        match self.cluster.draw(if self.leaves { 32 } else { 28 }) {
            0..=4 => {
                self.note("files are edited".into());
                (0..1 + self.cluster.draw(4)).for_each(|_| self.edit());
            }
            5 | 6 => self.lose_power(victim),
            7 => self.fail_call(victim),
            8..=10 => self.swizzle(),
            11 => self.jump_clocks(victim),
            12 => self.take_image(victim),
            13 => self.put_image_back(),
            14 => self.fill_disk(victim),
            15 => self.rot(victim),
            16 => self.lie(victim),
            17 => self.burn(victim),
            18 if self.cluster.draw(2) == 0 => self.burn_the_owner(),
            18 => self.add_a_node(),
            19 | 20 => self.squeeze(),
            21 | 22 => self.hear_nothing(victim),
            23 | 24 => self.forget(),
            25 => self.take_back(),
            26 => self.erase(),
            28..=30 => self.tell_to_leave(victim),
            31 => self.let_stay(),
            _ => self.be_away(victim),
        }
        if self.cluster.draw(3) > 0 {
            self.begin_backup();
        }
        let pause = match self.cluster.draw(8) {
            0..=2 => Span::from_millis(self.cluster.draw(800)),
            3 | 4 => Span::from_millis(self.cluster.draw(20_000)),
            5 | 6 => Span::from_millis(self.cluster.draw(240_000)),
            _ => Span::from_millis(self.cluster.draw(3_600_000)),
        };
        self.cluster.run_until(pause, |_| false);
        self.start_some();
        self.hear_backup();
    }

    /// Nodes whose disk failed or whose power went come back, most of the time.
    fn start_some(&mut self) {
        self.darken();
        for number in 0..self.health.len() {
            let is_off = !self.cluster.is_running(number) && self.is_left(number);
            if is_off && self.cluster.draw(4) > 0 {
                self.cluster.nodes[number].disk.heal();
                self.cluster.start(number);
            }
        }
    }

    /// Nodes whose power went in the midst of something are off.
    pub(super) fn darken(&mut self) {
        for number in 0..self.health.len() {
            if self.cluster.nodes[number].disk.is_off() && self.cluster.is_running(number) {
                self.cluster.crash(number);
            }
        }
    }

    /// The power of a node goes, just now.
    fn lose_power(&mut self, victim: usize) {
        self.note(format!("node {victim} loses its power"));
        self.cluster.crash(victim);
    }

    /// ... or in the midst of some disk call to come.
    fn fail_call(&mut self, victim: usize) {
        if self.cluster.is_running(victim) {
            let calls = self.cluster.draw(60);
            self.note(format!("node {victim} will lose its power in {calls} disk calls"));
            self.cluster.nodes[victim].disk.fail_after(calls, Fault::PowerLoss);
            self.begin_backup();
        }
    }

    /// Nodes go onto other sides of a cut one after the other, and come back in another order.
    fn swizzle(&mut self) {
        let all: Vec<usize> = (0..self.health.len()).collect();
        let count = 1 + self.cluster.draw(4);
        self.note(format!("{count} cuts"));
        let mut cut = Vec::new();
        for _ in 0..count {
            let Some(victim) = self.cluster.pick(&all) else { return };
            let side = 1 + usize::try_from(self.cluster.draw(3)).unwrap_or(0);
            self.cluster.net.put(self.cluster.nodes[victim].address, side);
            cut.push(victim);
            self.begin_backup();
            let pause = Span::from_millis(self.cluster.draw(90_000));
            self.cluster.run_until(pause, |_| false);
        }
        let stays = self.cluster.draw(3) == 0;
        while let Some(victim) = self.cluster.pick(&cut).filter(|_| !stays) {
            cut.retain(|other| *other != victim);
            self.cluster.net.put(self.cluster.nodes[victim].address, 0);
            let pause = Span::from_millis(self.cluster.draw(30_000));
            self.cluster.run_until(pause, |_| false);
        }
    }

    /// What one sends is heard by nobody, or by some not, or it hears nobody: though the other direction works.
    fn hear_nothing(&mut self, victim: usize) {
        let is_mute = self.cluster.draw(2) == 0;
        let others: Vec<usize> = (0..self.health.len()).filter(|other| *other != victim).collect();
        let far: Vec<usize> = others.into_iter().filter(|_| self.cluster.draw(3) > 0).collect();
        let word = if is_mute { "is not heard by" } else { "does not hear" };
        self.note(format!("node {victim} {word} {far:?}"));
        let at = |cluster: &Cluster, number: usize| cluster.nodes[number].address;
        for is_cut in [true, false] {
            for other in &far {
                let (one, another) = (at(&self.cluster, victim), at(&self.cluster, *other));
                let (from, to) = if is_mute { (one, another) } else { (another, one) };
                self.cluster.net.cut_one_way(from, to, is_cut);
            }
            if is_cut {
                self.begin_backup();
                let pause = Span::from_millis(self.cluster.draw(400_000));
                self.cluster.run_until(pause, |_| false);
            }
            // It may last until all becomes quiet.
            if is_cut && self.cluster.draw(4) == 0 {
                break;
            }
        }
    }

    /// The clocks on all walls show something else, or that of one node.
    fn jump_clocks(&mut self, victim: usize) {
        let span = [3_600_000_000, 86_400_000_000, 315_360_000_000_000]
            [usize::try_from(self.cluster.draw(3)).unwrap_or(0)];
        let forward = self.cluster.draw(2) == 0;
        let span = if forward { span } else { -span };
        if self.is_long && self.cluster.draw(2) == 0 {
            self.note(format!("the clock of node {victim} jumps by {span} us"));
            self.cluster.nodes[victim].clock_micros += span;
        } else {
            self.note(format!("clocks jump by {span} us"));
            self.cluster.shift_clocks(span);
        }
    }

    /// Somebody copies a disk.
    fn take_image(&mut self, victim: usize) {
        if self.health[victim] == Health::Sound {
            self.note(format!("an image is taken of node {victim}"));
            let disk = Arc::clone(&self.cluster.nodes[victim].disk);
            self.image = Some((victim, disk.image(&mut self.cluster.rng)));
        }
    }

    /// ... and puts the copy into the node later.
    fn put_image_back(&mut self) {
        if self.hurt() + 1 >= usize::from(self.copies) {
            return;
        }
        let Some((victim, image)) = self.image.take() else { return };
        // The same image may be put back again and again, also before all is well after the last time.
        let may_again = self.is_long && self.health[victim] == Health::Doubtful;
        if self.health[victim] != Health::Sound && !may_again {
            return;
        }
        if self.is_long && self.cluster.draw(2) == 0 {
            self.image = Some((victim, image.image(&mut self.cluster.rng)));
        }
        self.note(format!("node {victim} is put back onto its image"));
        self.cluster.crash(victim);
        self.cluster.nodes[victim].disk = Arc::new(image);
        self.health[victim] = Health::Doubtful;
        self.cluster.start(victim);
    }

    /// A disk has nearly no room any more.
    fn fill_disk(&mut self, victim: usize) {
        let room = self.cluster.draw(200_000);
        self.note(format!("the disk of node {victim} has {room} bytes left"));
        let disk = &self.cluster.nodes[victim].disk;
        disk.set_capacity(disk.used() + room);
        self.begin_backup();
    }

    /// Some nodes may hold less than they do, or nothing, or more again: what others hold is given up.
    fn squeeze(&mut self) {
        for number in self.running() {
            if self.cluster.draw(2) > 0 || self.health[number] == Health::Outside {
                continue;
            }
            let Some(used) = self.stored(number) else { continue };
            let value = match self.cluster.draw(4) {
                0 => "0".to_owned(),
                1 => "all".to_owned(),
                _ => (used + self.cluster.draw(used / 4)).to_string(),
            };
            self.note(format!("node {number} may hold {value}"));
            self.squeezed.insert(number);
            self.set_capacity(number, value);
        }
        self.begin_backup();
        let pause = Span::from_millis(self.cluster.draw(400_000));
        self.cluster.run_until(pause, |_| false);
    }

    /// How much the store of a node has, if its disk works.
    fn stored(&mut self, number: usize) -> Option<u64> {
        let running = self.cluster.nodes[number].running.as_mut()?;
        let mut replies = Vec::new();
        running.service.execute(Request::Stats { op: 1 }, &mut replies);
        match replies.pop() {
            Some(Reply::Stats { stats, .. }) => Some(stats.bytes),
            _ => None,
        }
    }

    /// What a node may hold. (That is not kept by a simulated node that is started anew.)
    fn set_capacity(&mut self, number: usize, value: String) {
        let set = Call::ConfigSet { key: "node.capacity".into(), value };
        self.cluster.call(number, set);
        self.cluster.run_until(Span::from_millis(50), |_| false);
    }

    /// A bit of a segment turns over.
    fn rot(&mut self, victim: usize) {
        if self.hurt() + 1 >= usize::from(self.copies) || self.health[victim] != Health::Sound {
            return;
        }
        let disk = Arc::clone(&self.cluster.nodes[victim].disk);
        let segments: Vec<_> = disk
            .files()
            .into_iter()
            .filter(|(name, bytes)| name.starts_with("segments/") && *bytes > 0)
            .collect();
        let Some(place) = self.cluster.pick(&(0..segments.len()).collect::<Vec<_>>()) else { return };
        let (name, bytes) = &segments[place];
        let offset = self.cluster.draw(*bytes);
        self.note(format!("a bit of {name} of node {victim} turns over, at {offset}"));
        disk.flip_bits(name, offset, 1);
        self.health[victim] = Health::Doubtful;
    }

    /// A holder drops some of what it has signed, and claims to have it.
    fn lie(&mut self, victim: usize) {
        let may = self.hurt() + 1 < usize::from(self.copies) && self.health[victim] == Health::Sound;
        if !may || victim == self.owner || !self.cluster.is_running(victim) {
            return;
        }
        self.note(format!("node {victim} gives up half of what it has, and lies"));
        self.cluster.stop(victim);
        if self.cluster.nodes[victim].disk.is_off() {
            // It was about to lose its power, and did so while it stopped.
            self.cluster.crash(victim);
        }
        self.cluster.nodes[victim].disk.heal();
        let chunks = self.cluster.chunks_of(victim);
        let lost: Vec<_> = chunks.into_iter().step_by(2).collect();
        self.cluster.lose_chunks(victim, &lost);
        self.health[victim] = Health::Doubtful;
        self.cluster.start(victim);
        self.cluster.claim_falsely(victim, true);
    }

    /// A node is gone for good, but neither the owner's nor the other one that can always read, and as many stay as copies are wanted.
    fn burn(&mut self, victim: usize) {
        let left = (0..self.health.len()).filter(|number| self.is_left(*number)).count();
        let copies = usize::from(self.copies);
        if self.hurt() + 1 >= copies || left <= copies + self.leaving.len() {
            return;
        }
        if victim == self.owner || victim == 1 {
            return;
        }
        self.note(format!("node {victim} burns"));
        self.cluster.crash(victim);
        self.health[victim] = Health::Burnt;
    }

    /// The network is whole, disks have room, and everybody is there.
    pub(super) fn calm_down(&mut self) {
        self.cluster.cut(&[]);
        for number in 0..self.health.len() {
            self.cluster.nodes[number].disk.set_capacity(1 << 40);
            if self.cluster.nodes[number].disk.is_off() {
                self.cluster.crash(number);
            }
            self.cluster.nodes[number].disk.heal();
            if self.is_left(number) && !self.cluster.is_running(number) {
                self.cluster.start(number);
            }
            if self.is_left(number) && self.squeezed.contains(&number) {
                self.set_capacity(number, "all".to_owned());
            }
        }
        self.squeezed.clear();
        self.cluster.run_until(MINUTE.times(5), |_| false);
    }

    /// A new node joins, if it can at the moment.
    fn add_a_node(&mut self) {
        if !self.cluster.is_running(self.owner) || self.health.len() > 60 {
            return;
        }
        let number = self.cluster.add_node_off();
        self.cluster.nodes[number].site = Some(format!("site{}", self.cluster.draw(3)));
        self.cluster.start(number);
        self.health.push(Health::Sound);
        let role = if self.cluster.draw(2) == 0 { Role::Full } else { Role::Store };
        let joined = self.join(number, role);
        self.let_in.push((number, self.owner));
        if !joined {
            self.cluster.crash(number);
            self.health[number] = Health::Outside;
        }
        self.note(format!("node {number} joins as {role:?}: {joined}"));
    }

    /// Lets a node in; whether that went well.
    fn join(&mut self, number: usize, role: Role) -> bool {
        let by = self.owner;
        let invitation = self.cluster.call(by, Call::Invite { role, wait: true });
        let told = move |cluster: &Cluster| {
            let answer = cluster.answer(by, invitation);
            answer.end.is_some() || !answer.lines.is_empty()
        };
        self.cluster.run_until(MINUTE, told);
        let Some(line) = self.cluster.answer(by, invitation).lines.first() else { return false };
        let (code, peer) = (text(line, "code"), Some(self.cluster.nodes[by].address));
        let site = self.cluster.nodes[number].site.clone();
        let call = self.cluster.call(number, Call::Join { code, peer, name: None, site });
        self.cluster.run_until(MINUTE.times(3), |cluster| cluster.answer(number, call).end.is_some());
        self.cluster.answer(number, call).end == Some(Ok(Ending::Complete))
    }

    /// A node is off for long.
    fn be_away(&mut self, victim: usize) {
        let is_long = self.is_long && self.cluster.draw(2) == 0;
        if is_long {
            let is_apart = |number: &usize| self.cluster.net.is_apart(&self.cluster.nodes[*number].address);
            let apart: Vec<usize> = (0..self.health.len()).filter(is_apart).collect();
            self.long_away.extend(apart.into_iter().chain([victim]));
        }
        let hours = if is_long { 10 + self.cluster.draw(60) } else { 1 + self.cluster.draw(4) };
        self.note(format!("node {victim} is off for {hours} hours"));
        self.cluster.crash(victim);
        (0..2).for_each(|_| self.edit());
        self.begin_backup();
        self.cluster.run_until(MINUTE.times(60 * hours), |_| false);
    }
}
