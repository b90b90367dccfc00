//! Upkeep: what a node does for its own store without being asked. Here: giving up what was retired long ago, and the
//! passes that drop what no manifest lists any more.
//!
//! Owns when a pass may run and what its roots are. The books are `node/collect.rs`, the pass is `node/marking.rs`.
//! Nothing goes unless this node knows that its view is complete: its own head is confirmed, everybody connected has told
//! all, no feed is known to have two histories, and no mass of retirements waits for a person's answer.

use serde_json::{json, Value};

use super::activity::Level;
use super::after::{AfterAppend, AfterSave};
use super::collect::{Collect, Settings};
use super::compacting::Compacting;
use super::core::{Core, Duty, Pending};
use super::drill::drilling::Drilling;
use super::healing::Healing;
use super::known::Known;
use super::marking::{Pass, PassCounts, PassOutput, World};
use super::moving::Moving;
use super::offer::Offer;
use super::removal::Removing;
use super::retire::Retiring;
use super::room::Room;
use super::scrubbing::Scrubbing;
use super::status::attention::{Attention, Severity};
use super::unfinished::Unfinished;
use crate::base::ids::SnapshotId;
use crate::base::limits::{
    COLLECT_AFTER_START, COLLECT_EVERY, COLLECT_RETRY, MASS_CLOSE, RUNNING_SAVE_EVERY,
};
use crate::base::units::{Span, Time, WallTime};
use crate::feed::entry::{Body, GroupSet, Release};
use crate::feed::view::Applied;
use crate::store::service::{Request, StoreStats};

mod afresh;
mod roots;
mod waits;

use afresh::Afresh;

/// What is known of the node's upkeep.
#[derive(Debug, Default)]
pub struct Upkeep {
    /// The books of collection.
    pub(super) collect: Collect,
    /// Chunks were pushed here that a backup of another node may still list.
    pushed_here: bool,
    /// Retirement.
    pub(super) retire: Retiring,
    /// Something was erased: of what the next pass drops the bytes shall go, too.
    pub(super) erased: bool,
    /// Since when each full node is known.
    pub(super) known: Known,
    /// How much more is taken.
    pub(super) room: Room,
    /// What others are told of it.
    pub(super) offer: Offer,
    /// Giving up what others hold.
    pub(super) moving: Moving,
    /// Giving space back.
    pub(super) compacting: Compacting,
    /// Reading everything again.
    pub(super) scrubbing: Scrubbing,
    /// Restoring a sample from others.
    pub(super) drilling: Drilling,
    /// Chunks that were damaged here.
    pub(super) healing: Healing,
    /// Backups that were interrupted.
    pub(super) unfinished: Unfinished,
    /// A disk that did not take an entry.
    afresh: Afresh,
    /// Members that leave.
    pub(super) removing: Removing,
    /// The pass that runs, or is about to.
    pass: Option<Option<u64>>,
    /// When the next pass begins.
    pass_due: Option<Time>,
    /// When to look again.
    next: Option<Time>,
    /// When the pass that runs goes on.
    rest: Option<Time>,
    /// Why nothing may be given up at present.
    waits: Option<&'static str>,
    /// The last pass: when it ended, what it did, why it failed.
    last: Option<(WallTime, PassCounts, Option<String>)>,
}

impl Upkeep {
    /// Feeds or the roster have changed: look again.
    pub(super) fn recheck(&mut self, now: Time) {
        self.next = Some(now);
    }

    /// A pass is to begin as soon as one may.
    pub(super) fn pass_now(&mut self, now: Time) {
        (self.pass_due, self.next) = (Some(now), Some(now));
    }

    /// A pass is to begin at this time, if none does before.
    pub(super) fn pass_by(&mut self, due: Time) {
        self.pass_due = Some(self.pass_due.map_or(due, |before| before.min(due)));
        self.look_by(due);
    }

    /// Looks again at this time, if not before.
    fn look_by(&mut self, due: Time) {
        self.next = Some(self.next.map_or(due, |before| before.min(due)));
    }

    /// A chunk was pushed here: while one may come to be listed (`holds`) a pass that is at work waits, and nothing else might ever
    /// have it looked at again.
    pub(super) fn was_pushed(&mut self, now: Time, holds: bool) {
        self.pushed_here = holds && !self.erased;
        if self.pushed_here {
            self.look_by(now + COLLECT_RETRY);
        }
    }

    /// When to look again.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let steps = [
            self.compacting.deadline(),
            self.scrubbing.deadline(),
            self.drilling.deadline(),
            self.offer.deadline(),
            self.moving.deadline(),
            self.afresh.deadline(),
            self.removing.deadline(),
            self.healing.deadline(),
        ];
        [self.next, self.rest].into_iter().chain(steps).flatten().min()
    }
}

impl Core {
    /// The state is loaded: the books are opened.
    pub(super) fn upkeep_begins(&mut self, settings: &std::collections::BTreeMap<String, Vec<u8>>) {
        self.upkeep.collect = Collect::load(settings, self.now.time);
        self.upkeep.known = Known::load(settings);
        self.hearing_begins(settings);
        self.healing_begins(settings);
        self.upkeep.unfinished = Unfinished::load(settings);
        self.upkeep.pass_due = Some(self.now.time + COLLECT_AFTER_START);
        self.upkeep.recheck(self.now.time);
        self.moving_begins();
        self.upkeep.removing.recheck(self.now.time);
        self.compacting_begins();
        self.scrubbing_begins(settings);
        self.drilling_begins(settings);
        self.reconciling.auditing.load(settings);
        self.store_has_lost();
    }

    /// What the store had and was gone when it was opened is looked for: of a node that holds nothing for others nobody else asks.
    fn store_has_lost(&mut self) {
        if let Some(lost) = self.setup.lost.take().filter(|_| self.member.is_some()) {
            self.note(Level::Error, "store", lost);
            self.healing_opens();
            self.look_through();
        }
    }

    /// What is written together with an own entry: the running time, and the pin of a new snapshot.
    pub(super) fn with_books(&mut self, applied: &Applied, settings: &mut Settings) {
        if let Body::Snapshot(snapshot) = &applied.entry.body {
            let id = SnapshotId::from_bytes(*applied.hash.as_bytes());
            self.upkeep.collect.pin(id, snapshot.manifest);
            settings.push((super::keep::pin_key(&id), Some(snapshot.manifest.as_bytes().to_vec())));
        }
        self.upkeep.collect.ride_along(self.now.time, settings);
        self.hearing_rides_along(settings);
    }

    /// What has deadlines of its own.
    fn step_timeouts(&mut self) {
        self.compacting_timeout();
        self.scrubbing_timeout();
        self.drilling_timeout();
        self.offer_timeout();
        self.moving_timeout();
        self.afresh_timeout();
        self.removing_timeout();
        self.healing_timeout();
    }

    /// Looks at what is retired, gives up what has waited long enough, begins a pass that is due.
    pub(super) fn upkeep_timeout(&mut self) {
        let now = self.now.time;
        self.step_timeouts();
        self.upkeep.rest = self.upkeep.rest.filter(|rest| *rest > now);
        if self.upkeep.next.is_none_or(|next| next > now) {
            return;
        }
        self.retire_partials();
        let Some(member) = &self.member else {
            self.upkeep.next = None;
            return;
        };
        let view = &member.view;
        let writer = |id: &SnapshotId| view.snapshot(id).map(|fact| fact.writer);
        // Partial snapshots all go at once when a backup is complete, and of a busy day's the policy keeps few: neither is a mass.
        let thinned = std::cell::OnceCell::new();
        let mass_of = |id: &SnapshotId| {
            let thinned = thinned.get_or_init(|| view.thinned(MASS_CLOSE));
            let fact = view.snapshot(id).filter(|fact| fact.entry.complete && !thinned.contains(id));
            fact.map(|fact| fact.writer)
        };
        let (forgotten, own) = (self.forgotten_ids(), member.node);
        // What counts no more (its writer was removed by somebody who had not heard of it), and was never all here, waits as what is retired.
        let is_member = view.roster().member(&own).is_some();
        let is_void = |id: &SnapshotId| {
            is_member && view.written_by(id) != Some(own) && view.once_receipted(id, &own).is_empty()
        };
        let retired = |id: &SnapshotId| match writer(id) {
            Some(writer) => (!view.stands(id)).then_some(writer),
            None => (forgotten.contains(id) || is_void(id)).then_some(own),
        };
        let mut settings = Settings::new();
        let was_frozen = self.upkeep.collect.frozen();
        self.upkeep.collect.compare(now, retired, mass_of, &mut settings);
        self.look_at_members(&mut settings);
        let waits_for_backup = self.waits_for_backup();
        if !settings.is_empty() || self.upkeep.collect.is_save_due(now, waits_for_backup) {
            self.save(settings, AfterSave::Nothing);
        }
        if let Some(count) = self.upkeep.collect.frozen().filter(|_| was_frozen.is_none()) {
            let message = format!(
                "{count} snapshots were retired at once; none is given up before `nuthatch confirm collect`"
            );
            self.note(Level::Warn, "collect", message);
        }
        let floor = self.setup.config.retired;
        let mut expired = self.upkeep.collect.expired(now, floor);
        let more = self.add_erased(&mut expired).then_some(now);
        let is_pass_due = self.upkeep.pass.is_none() && self.upkeep.pass_due.is_some_and(|due| due <= now);
        // To drop what was pushed is a waste at the most, and somebody waits for what was erased to be gone.
        self.upkeep.pushed_here = self.pushing.holds(now) && !self.upkeep.erased;
        self.upkeep.waits = self.may_collect().err();
        if !expired.is_empty() || is_pass_due {
            if self.upkeep.waits.is_some() {
                self.upkeep.next = Some(now + self.collect_retry());
                return;
            }
            if expired.is_empty() {
                (self.upkeep.pass, self.upkeep.pass_due) = (Some(None), None);
                self.ask_store(Pending::Upkeep, |op| Request::Stats { op });
            } else if !self.give_up_all(&expired) {
                self.upkeep.next = Some(now + self.collect_retry());
                return;
            }
        }
        let pass = self.upkeep.pass_due.filter(|_| self.upkeep.pass.is_none());
        let is_saved = waits_for_backup || self.upkeep.collect.waiting().next().is_some();
        let save = is_saved.then_some(now + RUNNING_SAVE_EVERY);
        let pushed = self.upkeep.pushed_here.then_some(now + COLLECT_RETRY);
        self.upkeep.next = [more, pass, save, pushed, self.upkeep.collect.next_expiry(now, floor)]
            .into_iter()
            .flatten()
            .min();
    }

    /// Gives up snapshots whose time is over: the own receipt is released in the same transaction in which the pin goes.
    /// False when an own entry was refused: what is left is tried again later.
    pub(super) fn give_up(&mut self, expired: &[SnapshotId]) -> bool {
        let (mut saved, mut count) = (Settings::new(), 0);
        for snapshot in expired {
            let settings = Collect::giving_up(snapshot);
            let has_receipt = self
                .member
                .as_ref()
                .is_some_and(|member| member.view.receipts(snapshot).any(|(node, _)| node == member.node));
            // Whoever counts on the receipt must know before anything goes.
            if has_receipt {
                let release = Release { snapshot: Some(*snapshot), groups: GroupSet::all() };
                if self.append(Body::Release(release), settings, AfterAppend::Nothing).is_none() {
                    break;
                }
            } else {
                saved.extend(settings);
                saved.extend(self.give_up_draft(snapshot));
            }
            self.upkeep.collect.given_up(snapshot);
            count += 1;
        }
        if !saved.is_empty() {
            self.save(saved, AfterSave::Nothing);
        }
        if count > 0 {
            self.note(Level::Info, "collect", format!("{count} retired snapshots are given up here"));
            self.upkeep.pass_due = Some(self.now.time);
        }
        count == expired.len()
    }

    /// The size of the store is known: a pass begins.
    pub(super) fn pass_begins(&mut self, stats: Option<&StoreStats>) {
        let Some(stats) = stats else {
            return self.pass_ends(PassCounts::default(), Some("the store does not answer".into()));
        };
        let chunks = stats.chunks;
        // A folder that was removed while it was to be read again holds nothing up from now on.
        self.healing_settles();
        self.moving_pass_begins();
        let number = self.begin_duty(|duty| Duty::Collect(Box::new(Pass::new(chunks, duty))));
        self.upkeep.pass = Some(Some(number));
    }

    /// One turn of a pass. False when it waits.
    pub(super) fn poll_pass(&mut self, number: u64) -> bool {
        let (now, mut world) = (self.now.time, self.world());
        world.is_calm &= !self.upkeep.pushed_here;
        let Some(Duty::Collect(pass)) = self.duties.get_mut(&number) else { return false };
        let output = pass.poll(now, world);
        let (counts, rests) = (pass.counts(), pass.rests_until());
        self.upkeep.rest = Some(rests).filter(|rests| *rests > now);
        match output {
            None => return false,
            Some(PassOutput::Ask(ask)) => self.ask(ask),
            Some(PassOutput::Roots) => {
                let end = self.may_collect().map(|()| self.roots());
                let moved = self.moved_groups();
                match (end, self.duties.get_mut(&number)) {
                    (Ok(roots), Some(Duty::Collect(pass))) => pass.begin_slice(roots, moved, world),
                    (Err(reason), _) => self.finish_pass(number, counts, Some(reason.to_owned())),
                    (Ok(_), _) => {}
                }
            }
            Some(PassOutput::Finished(end)) => self.finish_pass(number, counts, end.err()),
        }
        true
    }

    /// The duty of a pass is over.
    fn finish_pass(&mut self, number: u64, counts: PassCounts, failure: Option<String>) {
        self.duties.remove(&number);
        self.moving_pass_ends(failure.is_none());
        self.pass_ends(counts, failure);
    }

    /// A pass is over.
    fn pass_ends(&mut self, counts: PassCounts, failure: Option<String>) {
        let (now, wall) = (self.now.time, self.now.wall);
        self.upkeep.pass = None;
        let next = now + if failure.is_some() { self.collect_retry() } else { COLLECT_EVERY };
        self.erased_are_dropped(counts.dropped, self.upkeep.pass_due.is_none() && failure.is_none());
        // What was given up while this pass ran is for another one.
        self.upkeep.pass_due = Some(self.upkeep.pass_due.map_or(next, |due| due.min(next)));
        self.upkeep.recheck(now);
        if let Some(reason) = &failure {
            log::warn!("a collection was given up, it is tried again: {reason}");
        }
        if counts.dropped > 0 {
            let message = format!("{} chunks that nothing needs any more were given up", counts.dropped);
            self.note(Level::Info, "collect", message);
            self.compact_soon();
        }
        self.upkeep.last = Some((wall, counts, failure));
    }

    /// For `status`.
    pub(super) fn upkeep_status(&self, attention: &mut Attention) -> Value {
        let upkeep = &self.upkeep;
        self.retire_attention(attention);
        if let Some(count) = upkeep.collect.frozen() {
            let message =
                format!("{count} snapshots were retired at once; their chunks stay until this is confirmed");
            let hint = "if it was meant: `nuthatch confirm collect`, on each device that asks; if not: `nuthatch undo NAME`";
            attention.add(Severity::Danger, message, hint);
        }
        let pass = upkeep.pass.flatten().and_then(|number| match self.duties.get(&number) {
            Some(Duty::Collect(pass)) => Some(
                json!({"done_per_mille": pass.done_per_mille(), "dropped_chunks": pass.counts().dropped}),
            ),
            _ => None,
        });
        json!({
            "running_us": upkeep.collect.running(self.now.time).as_micros(),
            "retired_snapshots": upkeep.collect.waiting().count(),
            "floor_us": self.setup.config.retired.as_micros(),
            "waits": upkeep.waits,
            "erased": self.erase_status(attention),
            "pass": pass,
            "compaction": self.compacting_status(), "moving": self.moving_status(),
            "last": upkeep.last.as_ref().map(|(wall, counts, failure)| json!({
                "ended": wall.to_string(), "chunks": counts.chunks, "dropped_chunks": counts.dropped,
                "dropped_bytes": counts.dropped_bytes, "failure": failure,
            })),
        })
    }

    /// After a disk restored from an image: nothing is given up for a whole floor.
    pub(super) fn doubt_pins(&mut self) -> (String, Option<Vec<u8>>) {
        let floor: Span = self.setup.config.retired;
        self.upkeep.collect.doubt(self.now.time, floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where nothing else happens any more a pass stood still for ever, and did not say why.
    #[test]
    fn what_is_pushed_into_a_pass_has_it_looked_at_again() {
        let now = Time::ZERO + Span::from_secs(9);
        let mut upkeep = Upkeep { pass: Some(None), ..Upkeep::default() };
        assert_eq!(upkeep.deadline(), None);
        upkeep.was_pushed(now, false);
        assert_eq!((upkeep.pushed_here, upkeep.deadline()), (false, None));
        upkeep.was_pushed(now, true);
        assert_eq!((upkeep.pushed_here, upkeep.deadline()), (true, Some(now + COLLECT_RETRY)));
        upkeep.was_pushed(now + COLLECT_RETRY, true);
        assert_eq!(upkeep.deadline(), Some(now + COLLECT_RETRY), "it is not put off");
        // Somebody waits for what was erased to be gone.
        upkeep.erased = true;
        upkeep.was_pushed(now, true);
        assert!(!upkeep.pushed_here);
    }
}
