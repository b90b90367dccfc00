//! Telling others that a folder was looked after, hearing it of theirs, and saying so when a device has been silent for too long.
//!
//! A mark goes to all peers whenever a scan ends well, and to a peer whenever its session begins; what was heard of others is
//! passed on, so that a device that meets only one of them is known to all. Nothing is written for it: the books
//! (`node/silence.rs`) are saved with other writes. Nobody is asked to be silent about itself: a node watches the others only.

use std::collections::BTreeMap;

use serde_json::{json, Value};

use super::activity::Level;
use super::around::Around;
use super::collect::Settings;
use super::core::Core;
use super::events::{Event, Kind};
use super::outcome::{BackupError, Outcome};
use super::silence::{Place, Silence};
use super::status::attention::{Attention, Severity};
use crate::base::ids::{FolderId, NodeId};
use crate::base::limits::{
    ABSENCE_SHORT, FOLDERS_MAX, MARKS_PASSED_MEMBERS_MAX, SILENCE_LABELS_MAX, SILENCE_LOOK_EVERY,
};
use crate::base::units::{Span, Time, WallTime};
use crate::feed::entry::{Body, FolderKind};
use crate::feed::mark::{is_signed, sign_mark, Mark};
use crate::feed::view::Applied;
use crate::wire::frame::Lane;
use crate::wire::message::{Checked, Message};

/// What is said and heard of folders.
#[derive(Debug, Default)]
pub struct Hearing {
    /// The books.
    silence: Silence,
    /// The newest mark of each folder and device, and when it came (it says how old it was then): for who comes later.
    marks: BTreeMap<Place, (Checked, Time)>,
    /// When to look whether somebody has grown silent.
    due: Option<Time>,
    /// Which members are heard at all.
    pub(super) around: Around,
}

/// A device that has not made its backup for too long, or may not have.
struct Silent {
    /// Which folder.
    folder: FolderId,
    /// Whose.
    writer: NodeId,
    /// Since when nothing was heard.
    silent_for: Span,
    /// What is usual.
    usual: Span,
    /// When it is too long.
    limit: Span,
    /// Something was heard of it at all.
    heard: bool,
}

impl Silent {
    /// It is too long.
    fn is_alarming(&self) -> bool {
        self.silent_for >= self.limit
    }
}

impl Hearing {
    /// When to look again.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.due.into_iter().chain(self.around.deadline()).min()
    }
}

impl Core {
    /// The state is loaded, or this node has become a member.
    pub(super) fn hearing_begins(&mut self, settings: &BTreeMap<String, Vec<u8>>) {
        self.hearing.silence = Silence::load(settings);
        self.hearing.due = Some(self.now.time);
        self.around_begins(settings);
    }

    /// A scan of an own folder ended well: the others are told.
    pub(super) fn looked_after(&mut self, folder: FolderId, result: &Result<Outcome, BackupError>) {
        if result.is_err() {
            return;
        }
        let running = self.upkeep.collect.running(self.now.time);
        let Some(member) = &self.member else { return };
        let every_us = self.setup.config.rescan.as_micros();
        let mark = Mark { writer: member.node, folder, number: running.as_micros(), every_us };
        let signature = sign_mark(&mark, &member.keys.vault(), member.secret.signing_key());
        let Mark { writer, number, .. } = mark;
        let checked = Checked { writer, folder, number, every_us, age_us: 0, signature };
        self.hearing.marks.insert((folder, writer), (checked.clone(), self.now.time));
        self.pass_mark(&checked, None);
    }

    /// A session begins: the peer hears what is known.
    pub(super) fn tell_marks(&mut self, node: &NodeId) {
        let now = self.now.time;
        let known: Vec<Checked> = self
            .hearing
            .marks
            .values()
            .filter(|(checked, _)| checked.writer != *node)
            .map(|(checked, at)| Checked {
                age_us: checked.age_us.saturating_add(now.since(*at).as_micros()),
                ..checked.clone()
            })
            .collect();
        for checked in known {
            self.send(node, Lane::Control, &Message::Checked(checked));
        }
    }

    /// A peer says that a folder was looked after, by itself or by another.
    pub(super) fn mark_came(&mut self, from: &NodeId, checked: Checked) {
        let (now, running) = (self.now.time, self.upkeep.collect.running(self.now.time));
        self.watch_folders();
        let Some(member) = &self.member else { return };
        let Checked { writer, folder, number, every_us, age_us, signature } = checked;
        let mark = Mark { writer, folder, number, every_us };
        let public = member.view.roster().member(&writer).map(|writer| writer.signing);
        let is_true = public.is_some_and(|key| is_signed(&mark, &member.keys.vault(), &key, &signature));
        if !is_true || writer == member.node {
            return log::debug!("a mark from {} was not taken", from.short());
        }
        let (direct, every, age) = (*from == writer, Span::from_micros(every_us), Span::from_micros(age_us));
        let place = (folder, writer);
        if !self.hearing.silence.heard_mark(running, &place, number, every, age, direct) {
            return;
        }
        if age < ABSENCE_SHORT {
            self.member_heard(&writer);
        }
        self.hearing.marks.insert(place, (checked.clone(), now));
        self.hearing.due = Some(now);
        if direct {
            self.pass_mark(&checked, Some(from));
        }
    }

    /// Sends a mark to all peers but its writer.
    fn pass_mark(&mut self, checked: &Checked, from: Option<&NodeId>) {
        let members = self.member.as_ref().map_or(0, |member| member.view.roster().members().count());
        if from.is_some() && members > MARKS_PASSED_MEMBERS_MAX {
            return;
        }
        let peers: Vec<NodeId> = self.gossip.peers().filter(|peer| Some(*peer) != from).copied().collect();
        for peer in peers {
            self.send(&peer, Lane::Control, &Message::Checked(checked.clone()));
        }
    }

    /// Entries came from a peer: snapshots are signs of life.
    pub(super) fn hearing_heard(&mut self, entries: &[(Applied, Vec<u8>)]) {
        if let Some((applied, _)) = entries.first() {
            self.member_heard(&applied.feed.node);
        }
        let snapshots: Vec<Place> = entries
            .iter()
            .filter_map(|(applied, _)| match &applied.entry.body {
                Body::Snapshot(snapshot) => Some((snapshot.folder, applied.feed.node)),
                _ => None,
            })
            .collect();
        let has_folders = entries
            .iter()
            .any(|(applied, _)| matches!(applied.entry.body, Body::Folder(_) | Body::Remove(_)));
        if snapshots.is_empty() && !has_folders {
            return;
        }
        let running = self.upkeep.collect.running(self.now.time);
        self.watch_folders();
        for place in snapshots {
            self.hearing.silence.heard_snapshot(running, &place);
        }
        self.hearing.due = Some(self.now.time);
    }

    /// Looks whether somebody has grown silent, or is heard again; a person is told either way.
    pub(super) fn hearing_timeout(&mut self) {
        let now = self.now.time;
        self.around_timeout();
        if self.hearing.due.is_none_or(|due| due > now) {
            return;
        }
        self.watch_folders();
        let all = self.silences();
        let pauses = all.iter().filter(|silent| !silent.is_alarming());
        let next = pauses.map(|silent| silent.limit - silent.silent_for).min();
        self.hearing.due = Some(now + next.unwrap_or(SILENCE_LOOK_EVERY).min(SILENCE_LOOK_EVERY));
        for silent in &all {
            if self.hearing.silence.tell(&(silent.folder, silent.writer), silent.is_alarming()) {
                let message = self.silence_sentence(silent);
                let (kind, level) = match silent.is_alarming() {
                    true => (Kind::NodeSilent, Level::Warn),
                    false => (Kind::NodeHeard, Level::Info),
                };
                let event =
                    Event::new(kind, level, "silence", message).of_folder(self.folder_name(&silent.folder));
                let device = self.member.as_ref().map(|member| member.name_of(&silent.writer));
                self.raise(event.of_node(device.unwrap_or_default()));
            }
        }
    }

    /// What is known of the folders of others.
    fn silences(&self) -> Vec<Silent> {
        let running = self.upkeep.collect.running(self.now.time);
        let Some(member) = &self.member else { return Vec::new() };
        let silence = |((folder, writer), watched): (&Place, &super::silence::Watched)| {
            let is_shared =
                member.view.folder(folder).is_some_and(|fact| fact.entry.kind == FolderKind::Shared);
            let of_all = member.view.all_snapshots_of(folder);
            let theirs = of_all.filter(|fact| !is_shared || fact.writer == *writer);
            let all: Vec<WallTime> = theirs.map(|fact| fact.entry.taken).collect();
            let labels = &all[all.len().saturating_sub(SILENCE_LABELS_MAX)..];
            Silent {
                folder: *folder,
                writer: watched.writer,
                silent_for: watched.silent_for(running),
                usual: watched.usual(running, labels),
                limit: watched.limit(running, labels),
                heard: watched.heard,
            }
        };
        self.hearing.silence.iter().map(silence).collect()
    }

    /// Follows what folders there are: those of other members, as long as they are backed up.
    fn watch_folders(&mut self) {
        let running = self.upkeep.collect.running(self.now.time);
        let Some(member) = &self.member else { return };
        let theirs = member.view.folders().filter(|fact| {
            let is_member = member.view.roster().member(&fact.writer).is_some();
            is_member && fact.writer != member.node && !fact.entry.removed
        });
        let places = theirs.take(FOLDERS_MAX).map(|fact| (fact.entry.folder, fact.writer));
        let Hearing { silence, marks, .. } = &mut self.hearing;
        silence.watch(running, places);
        marks.retain(|place, _| place.1 == member.node || silence.watches(place));
    }

    /// Adds what was heard to what is written anyway.
    pub(super) fn hearing_rides_along(&mut self, settings: &mut Settings) {
        let running = self.upkeep.collect.running(self.now.time);
        self.hearing.silence.ride_along(running, settings);
        self.hearing.around.ride_along(self.now.time, settings);
        self.charts_ride_along(settings);
    }

    /// What a person is told of a folder.
    fn silence_sentence(&self, silent: &Silent) -> String {
        let device = self.member.as_ref().map_or_else(String::new, |member| member.name_of(&silent.writer));
        let folder = self.folder_name(&silent.folder);
        if !silent.is_alarming() {
            return format!("{device} backs up {folder} again");
        }
        let since = in_words(silent.silent_for);
        if silent.heard {
            let usual = in_words(silent.usual.max(Span::from_secs(3_600)));
            format!("no backup of {folder} by {device} was heard of for {since}; usual is {usual}")
        } else {
            format!("no backup of {folder} by {device} was ever heard of here, in {since}")
        }
    }

    /// For `status`: every folder of others, and what is too long.
    pub(super) fn silence_status(&self, attention: &mut Attention) -> Value {
        let all = self.silences();
        let alone = self.gossip.peers().next().is_none();
        for silent in all.iter().filter(|silent| silent.is_alarming()) {
            let hint = if alone {
                "this node is connected to no other device at present, so it may be the one that hears nothing: look at its network, and at `nuthatch nodes`".into()
            } else {
                let name =
                    self.member.as_ref().map_or_else(String::new, |member| member.name_of(&silent.writer));
                format!("look at that device: is it on, connected, and its disk plugged in? If it is gone for good: `nuthatch remove {name}`")
            };
            attention.add(Severity::Danger, self.silence_sentence(silent), hint);
        }
        let told = all.iter().map(|silent| {
            json!({
                "folder": silent.folder.hex(), "name": self.folder_name(&silent.folder), "writer": silent.writer.hex(),
                "heard": silent.heard, "silent_us": silent.silent_for.as_micros(), "usual_us": silent.usual.as_micros(),
                "limit_us": silent.limit.as_micros(), "too_long": silent.is_alarming(),
            })
        });
        Value::Array(told.collect())
    }

    /// Devices of which too long nothing was heard, for the one sentence of `status`.
    pub(super) fn silent_devices(&self) -> Vec<String> {
        let Some(member) = &self.member else { return Vec::new() };
        let mut names: Vec<String> = self
            .silences()
            .iter()
            .filter(|silent| silent.is_alarming())
            .map(|silent| member.name_of(&silent.writer))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// A span as people say it.
pub(super) fn in_words(span: Span) -> String {
    let hours = span.as_micros() / 3_600_000_000;
    match hours {
        0 | 1 => "an hour".into(),
        2..=47 => format!("{hours} hours"),
        _ => format!("{} days", hours / 24),
    }
}
