//! Which holder is asked for proof when, and what follows from it.
//!
//! Every connected member that has receipted something which this node has too (because it has receipted or written it) is asked a few times
//! a day for a random range of a random chunk, one holder at a time. A holder that fails is asked more; one that goes on failing is *marked*: its receipts
//! no longer count as copies here, people are told, and the mark is lifted when it proves again. Marks survive a restart. The judgement
//! is `replicate/audit.rs`'s, one challenge is `node/challenge.rs`, others' challenges are met by `node/proving.rs`.

mod seeking;

use std::collections::BTreeMap;

use rand_core::RngCore;
use serde_json::{json, Value};

use super::activity::Level;
use super::after::AfterSave;
use super::challenge::{first_of, Challenge, ChallengeOutput, Outcome};
use super::core::Core;
use super::duty::Told;
use super::events::{Event, Kind};
use super::proving::{Proving, ProvingOutput};
use super::status::attention::{Attention, Severity};
use crate::base::derived::Derived;
use crate::base::ids::{ChunkId, Group, NodeId};
use crate::base::limits::{AUDIT_AFTER_UP, AUDIT_CALLED, AUDIT_FAR_SOON, AUDIT_SOON, COMPARE_RETRY};
use crate::base::units::Time;
use crate::feed::entry::GroupSet;
use crate::feed::view::SnapshotFact;
use crate::replicate::audit::{Belief, ChunkRange, Nonce, Verdict};
use crate::wire::frame::Lane;
use crate::wire::message::Message;

/// The duty number of challenges that this node makes.
pub(super) const CHALLENGE_DUTY: u64 = 4;
/// The duty number of those that it meets.
pub(super) const PROVE_DUTY: u64 = 5;

/// What is known of audits.
#[derive(Debug)]
pub(super) struct Auditing {
    /// Every holder that was connected, or is marked.
    holders: Derived<BTreeMap<NodeId, Holder>, Option<(Time, NodeId)>>,
    /// The challenge that is being made.
    running: Option<Box<Challenge>>,
    /// It is about what this node is to leave to the holder.
    is_for_moving: bool,
    /// Those that are being met.
    proving: Proving,
    /// Who was sought out only to be asked, and when.
    sought: BTreeMap<NodeId, Time>,
}

/// What is known of a holder.
#[derive(Debug, Default)]
struct Holder {
    /// When it is asked next; None while it is not connected.
    due: Option<Time>,
    /// What is thought of it.
    belief: Belief,
    /// Challenges that it met, since the start.
    proven: u64,
    /// Challenges that it failed.
    failed: u64,
    /// When it was to be asked next as the last challenge ended, connected or not.
    next: Time,
    /// The last challenge ended with its session, unanswered: once that may be the line, twice in a row it is a failure.
    broke_off: bool,
}

impl Default for Auditing {
    fn default() -> Self {
        Self {
            holders: Derived::default(),
            running: None,
            is_for_moving: false,
            proving: Proving::new(PROVE_DUTY),
            sought: BTreeMap::new(),
        }
    }
}

impl Auditing {
    /// Marks that were made before.
    pub(super) fn load(&mut self, settings: &BTreeMap<String, Vec<u8>>) {
        let bytes = settings.get(MARKED_KEY).map_or(&[][..], Vec::as_slice);
        if let Ok((marked, [])) = postcard::take_from_bytes::<Vec<NodeId>>(bytes) {
            for node in marked {
                let belief = Belief::Marked { proven: 0, failed: 0 };
                self.holders.insert(node, Holder { belief, ..Holder::default() });
            }
        }
    }

    /// Whether a node claims what it cannot prove: its receipts do not count.
    pub(super) fn is_marked(&self, node: &NodeId) -> bool {
        self.holders.get(node).is_some_and(|holder| holder.belief.is_marked())
    }

    /// A holder came up; `for_long`: it stays, as far as it is known. Where not everybody is linked with everybody it may be gone soon, and
    /// is asked at once, unless it was asked lately.
    pub(super) fn peer_up(&mut self, now: Time, peer: NodeId, for_long: bool, chance: u64) {
        let holder = self.holders.entry(peer).or_default();
        // One that is marked may have been mended meanwhile.
        holder.belief.came_back();
        let pause = if for_long { holder.belief.pause().min(AUDIT_AFTER_UP) } else { AUDIT_CALLED };
        let soon = now + pause + pause.by_chance(chance);
        holder.due = Some(if !for_long {
            soon.max(holder.next)
        } else if holder.next == Time::ZERO {
            soon
        } else {
            // To come and go puts nothing off.
            soon.min(holder.next.max(now + AUDIT_CALLED))
        });
    }

    /// A holder is asked then, or sooner, if it is connected.
    pub(super) fn ask_at(&mut self, peer: &NodeId, then: Time) {
        if let Some(holder) = self.holders.get_mut(peer) {
            holder.due = holder.due.map(|due| due.min(then));
        }
    }

    /// A holder is gone.
    pub(super) fn peer_down(&mut self, peer: &NodeId) {
        if let Some(holder) = self.holders.get_mut(peer) {
            holder.next = holder.due.take().unwrap_or(holder.next);
        }
        if let Some(running) = self.running.as_mut().filter(|running| running.holder() == *peer) {
            running.session_ended();
        }
    }

    /// Who is no member any more is forgotten.
    pub(super) fn keep_members(&mut self, is_member: impl Fn(&NodeId) -> bool) {
        self.holders.retain(|node, _| is_member(node));
        self.sought.retain(|node, _| is_member(node));
    }

    /// When a holder was to be asked next as the last challenge ended, if one did.
    fn next_of(&self, node: &NodeId) -> Time {
        self.holders.get(node).map_or(Time::ZERO, |holder| holder.next)
    }

    /// Who is asked next, and when.
    fn next_holder(&self) -> Option<(Time, NodeId)> {
        self.holders.follows(|holders| holders.iter().filter_map(|(node, one)| Some((one.due?, *node))).min())
    }

    /// When something is to be done if nothing happens.
    pub(super) fn deadline(&self) -> Option<Time> {
        match &self.running {
            Some(running) => running.deadline(),
            None => self.next_holder().map(|(due, _)| due),
        }
    }

    /// Tests: this node has nothing of what it is asked to prove, and says otherwise.
    #[cfg(test)]
    pub(super) fn claim_falsely(&mut self, lies: bool) {
        self.proving.lies = lies;
    }

    /// The setting that remembers the marks.
    fn marks(&self) -> (String, Option<Vec<u8>>) {
        let marked = self.holders.iter().filter(|(_, holder)| holder.belief.is_marked());
        let marked: Vec<NodeId> = marked.map(|(node, _)| *node).collect();
        (MARKED_KEY.to_owned(), postcard::to_stdvec(&marked).ok())
    }
}

impl Core {
    /// Begins a challenge that is due.
    pub(super) fn auditing_timeout(&mut self) {
        let now = self.now.time;
        if let Some(running) = &mut self.reconciling.auditing.running {
            return running.handle_timeout(now);
        }
        let next = self.reconciling.auditing.next_holder();
        let Some((_, holder)) = next.filter(|(due, _)| *due <= now) else { return };
        let to_prove = self.unproven_of(&holder);
        let is_for_moving = to_prove.is_some();
        let promised = if is_for_moving { None } else { self.promised_to_both(&holder) };
        let has_promised = is_for_moving || promised.is_some();
        let may_begin = has_promised && self.is_disk_idle();
        // While the disk is busy for days those whom it waits for leave places to others.
        let most = if may_begin { self.needed_max() } else { (self.needed_max() / 2).max(1) };
        let groups = to_prove.or_else(|| self.common_groups(&holder)).unwrap_or_default();
        let chance = self.rng.next_u64();
        // One that may be gone soon stays until it has answered.
        let is_far = !self.reach.linking.is_meshed(&holder);
        let stays =
            is_far && has_promised && !self.pausing.is_on() && self.reach.linking.need(now, holder, most);
        if !may_begin {
            let pause = if stays { AUDIT_FAR_SOON } else { COMPARE_RETRY };
            if let Some(one) = self.reconciling.auditing.holders.get_mut(&holder) {
                one.due = Some(now + pause + pause.by_chance(chance));
            }
            return;
        };
        let mut nonce = Nonce::default();
        self.rng.fill_bytes(&mut nonce);
        let after = self.random_id(&groups);
        let challenge = Challenge::new(holder, groups, after, nonce, chance, CHALLENGE_DUTY);
        let challenge = match promised {
            None => challenge.of_one(),
            Some(promised) => {
                let after = self.random_id(&promised);
                challenge.or_of(promised, after)
            }
        };
        self.reconciling.auditing.running = Some(Box::new(challenge));
        self.reconciling.auditing.is_for_moving = is_for_moving;
    }

    /// A random id in one of these groups.
    fn random_id(&mut self, groups: &GroupSet) -> ChunkId {
        let mut id = [0; ChunkId::SIZE];
        self.rng.fill_bytes(&mut id);
        let nth = self.rng.next_u64() % u64::from(groups.len().max(1));
        let group = groups.iter().nth(usize::try_from(nth).unwrap_or(0));
        let first = group.map_or([0; ChunkId::SIZE], |group| *first_of(group).as_bytes());
        (id[0], id[1]) = (first[0], first[1] | id[1] & 0x0f);
        ChunkId::from_bytes(id)
    }

    /// One step of a challenge. False when there is nothing to do.
    pub(super) fn auditing_turn(&mut self) -> bool {
        let now = self.now.time;
        if let Some(output) = self.reconciling.auditing.proving.poll() {
            self.proving_wants(output);
            return true;
        }
        let Some(running) = &mut self.reconciling.auditing.running else { return false };
        let holder = running.holder();
        match running.poll(now) {
            None => return false,
            Some(ChallengeOutput::Ask(ask)) => self.ask(ask),
            Some(ChallengeOutput::Roots(group)) => {
                let is_for_moving = self.reconciling.auditing.is_for_moving;
                let roots = self.claimed_by(&holder, group, is_for_moving);
                if let Some(running) = &mut self.reconciling.auditing.running {
                    running.receipted(roots);
                }
            }
            Some(ChallengeOutput::Say(message)) => {
                // Behind chunks that go to it at leisure it would come too late.
                if !self.send(&holder, Lane::Control, &message) {
                    if let Some(running) = &mut self.reconciling.auditing.running {
                        running.unsent();
                    }
                }
            }
            Some(ChallengeOutput::Finished(outcome)) => {
                self.reconciling.auditing.running = None;
                self.audited(&holder, outcome);
                if std::mem::take(&mut self.reconciling.auditing.is_for_moving) {
                    self.move_audited(&holder, outcome);
                }
            }
        }
        true
    }

    /// An answer to an operation of an audit.
    pub(super) fn auditing_told(&mut self, number: u64, told: Told) {
        let Some(own) = self.member.as_ref().map(|member| member.node) else { return };
        match (number, &mut self.reconciling.auditing.running) {
            (PROVE_DUTY, _) => {
                let outputs = self.reconciling.auditing.proving.told(&own, told);
                outputs.into_iter().for_each(|output| self.proving_wants(output));
            }
            (_, Some(running)) => running.told(told),
            (_, None) => {}
        }
    }

    /// A peer asks for a proof, or gives one, or says that it cannot.
    pub(super) fn audit(&mut self, peer: &NodeId, message: Message) {
        let now = self.now.time;
        let Auditing { running, proving, .. } = &mut self.reconciling.auditing;
        match message {
            Message::Challenge { nonce, id, offset, length } => {
                proving.challenged(now, peer, nonce, id, ChunkRange { offset, length });
            }
            Message::Proof { nonce, answer } => {
                if let Some(running) = running.as_mut().filter(|running| running.holder() == *peer) {
                    running.proved(&nonce, answer);
                }
            }
            _ => {}
        }
    }

    /// What proving wants.
    fn proving_wants(&mut self, output: ProvingOutput) {
        match output {
            ProvingOutput::Ask(ask) => self.ask(ask),
            ProvingOutput::Say(peer, message) => drop(self.send(&peer, Lane::Control, &message)),
            // What was promised is found by comparing with whoever has it.
            ProvingOutput::Lacking(peer, id) => {
                self.missed(peer, id);
                self.compare_soon(&peer);
            }
        }
    }

    /// The manifests of all snapshots that stand and of which a holder has receipted this group, or any; and those that it wrote, if
    /// those are meant as well: so where it has confirmed to hold what this node is about to give up.
    pub(super) fn claimed_by(&self, holder: &NodeId, group: Option<Group>, or_written: bool) -> Vec<ChunkId> {
        let Some(member) = &self.member else { return Vec::new() };
        let has = |fact: &SnapshotFact| {
            let mut receipts = member.view.receipts(&fact.id);
            let covers = |groups: &GroupSet| group.is_none_or(|group| groups.contains(group));
            (or_written && fact.writer == *holder)
                || receipts.any(|(node, groups)| node == *holder && covers(groups))
        };
        let claimed = member.view.snapshots().filter(|fact| has(fact));
        claimed.map(|fact| fact.entry.manifest).collect()
    }

    /// A challenge is over.
    fn audited(&mut self, peer: &NodeId, outcome: Outcome) {
        let (now, chance, most) = (self.now.time, self.rng.next_u64(), self.needed_max());
        let Some(holder) = self.reconciling.auditing.holders.get_mut(peer) else { return };
        let outcome = match outcome {
            Outcome::Broken(_) if !std::mem::replace(&mut holder.broke_off, true) => Outcome::Skipped,
            Outcome::Broken(id) => Outcome::Failed(id),
            outcome => outcome,
        };
        let verdict = match outcome {
            Outcome::Skipped | Outcome::Broken(_) => Verdict::Same,
            Outcome::Proven | Outcome::Failed(_) => {
                holder.broke_off = false;
                let is_proven = outcome == Outcome::Proven;
                holder.proven += u64::from(is_proven);
                holder.failed += u64::from(!is_proven);
                holder.belief.sample(is_proven)
            }
        };
        let mut pause = if outcome == Outcome::Skipped { AUDIT_AFTER_UP } else { holder.belief.pause() };
        // One that may be gone soon is not let go before it is known what to think of it.
        let is_asked_on = pause == AUDIT_SOON && !self.reach.linking.is_meshed(peer);
        if is_asked_on && self.reach.linking.need(now, *peer, most) {
            pause = AUDIT_FAR_SOON;
        }
        holder.next = now + pause + pause.part(4).by_chance(chance);
        holder.due = holder.due.map(|_| holder.next);
        let name = self.member.as_ref().map_or_else(|| peer.short(), |member| member.name_of(peer));
        if let Outcome::Failed(id) = outcome {
            let message =
                format!("{name} could not prove that it has chunk {}; it is asked for others", id.short());
            self.note(Level::Warn, "audit", message);
        }
        if verdict == Verdict::Same {
            return;
        }
        let message = if verdict == Verdict::Marked {
            format!("{name} claims chunks that it cannot prove to have: its copies no longer count")
        } else {
            format!("{name} proves again what it claims: its copies count")
        };
        let level = if verdict == Verdict::Marked { Level::Error } else { Level::Info };
        let kind = if verdict == Verdict::Marked { Kind::Damaged } else { Kind::Other };
        self.raise(Event::new(kind, level, "audit", message).of_node(name));
        let marks = self.reconciling.auditing.marks();
        self.save(vec![marks], AfterSave::Nothing);
        self.check_waiting_backups();
    }

    /// For `status`.
    pub(super) fn auditing_status(&self, attention: &mut Attention) -> Value {
        let Auditing { holders, running, proving, .. } = &self.reconciling.auditing;
        let marked = holders.iter().filter(|(_, holder)| holder.belief.is_marked());
        for (node, _) in marked {
            let name = self.member.as_ref().map_or_else(|| node.short(), |member| member.name_of(node));
            let message =
                format!("{name} claims chunks that it cannot prove to have; its copies do not count");
            let hint =
                format!("look at the disk of {name}; if it does not recover, `nuthatch remove {name}`");
            attention.add(Severity::Danger, message, hint);
        }
        let (proven, missing, refused) = proving.counts();
        json!({
            "running": running.as_ref().map(|running| running.holder().hex()),
            "proven_here": proven, "missing_here": missing, "refused_here": refused,
            "holders": holders.iter().map(|(node, holder)| json!({
                "node": node.hex(), "proven": holder.proven, "failed": holder.failed,
                "believed": !holder.belief.is_marked(),
            })).collect::<Vec<_>>(),
        })
    }
}

/// Under which name marked holders are remembered.
const MARKED_KEY: &str = "audit:marked";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Span;

    /// A liar could else stay unasked by ending its sessions in time, and whoever is well again stay marked on a bad line.
    #[test]
    fn to_come_and_go_puts_no_proof_off() {
        let peer = NodeId::from_bytes([1; 32]);
        let mut auditing = Auditing::default();
        auditing.peer_up(Time::ZERO, peer, true, 7);
        let first = auditing.deadline().unwrap();
        assert!(first >= Time::ZERO + AUDIT_AFTER_UP);
        let mut now = Time::ZERO;
        while now < first {
            auditing.peer_down(&peer);
            assert_eq!(auditing.deadline(), None);
            now = now + Span::from_secs(300);
            auditing.peer_up(now, peer, true, 7);
            assert!(auditing.deadline().unwrap() <= first.max(now + AUDIT_CALLED));
        }
    }
}
