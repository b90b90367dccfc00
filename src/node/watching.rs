//! When a folder is scanned by itself because something in it has changed. Pure: changes and time in, a moment out.
//!
//! ```text
//!   quiet --a change--> settling --still for a moment, or changing for a minute--> due --the pauses are over--> scan
//!     ^                                                                                                          |
//!     '--------- nothing changed meanwhile ------------------------------------------------- its end ------------'
//! ```
//!
//! How long that moment is depends on what happened. What is over (a file was closed, moved, deleted, made) is told from what goes on
//! (a file was changed and is still open: `writing`), and a run of changes, as when a tree is copied, has to be still for longer the
//! longer it went on.
//!
//! Three pauses begin at the end of a scan, and the longest counts. One in proportion to what scans of this folder cost, so that
//! a twentieth of the time goes into them at most: a folder that was quiet has some minutes of that in hand, and is scanned
//! at once. One that grows with the automatic snapshots of late: the
//! first few come at once, a file that is saved every minute soon makes a snapshot every few minutes, and what changes all
//! day one every [`SNAPSHOT_PAUSE_MAX`], so that it makes about a hundred snapshots a day and not tens of thousands (a shared folder, whose
//! changes somebody waits for elsewhere, some hundreds: [`Allowance`]). And
//! one that grows with scans that found nothing new, as when a program writes to files that are left out. A person who
//! asks for a backup waits for none of them.

use super::activity::Level;
use super::core::Core;
use super::outcome::{BackupError, Outcome};
use super::ports::{Notice, Output, Unwatched, WatchOrder};
use super::status::attention::{Attention, Severity};
use crate::base::ids::FolderId;
use crate::base::limits::{
    FRUITLESS_PAUSE, FRUITLESS_PAUSE_MAX, SCAN_COST_BYTES_MAX, SCAN_CREDIT, SCAN_PAUSE_MAX, SCAN_PAUSE_TIMES,
    SCAN_RETRY, SETTLE, SETTLE_ENDED, SETTLE_MAX, SETTLE_PARTS, SHARED_SNAPSHOTS_FREE,
    SHARED_SNAPSHOT_FORGIVEN_EVERY, SHARED_SNAPSHOT_PAUSE_MAX, SNAPSHOTS_FREE, SNAPSHOT_FORGIVEN_EVERY,
    SNAPSHOT_PAUSE, SNAPSHOT_PAUSE_MAX,
};
use crate::base::units::{Span, Time};
use crate::feed::entry::FolderKind;
use serde_json::{json, Value};
use writing::{Touched, Writing};

pub(super) mod words;
pub mod writing;

/// The timing of one folder's automatic scans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timing {
    /// The first change that no scan has seen yet.
    changed: Option<Time>,
    /// The first and the last change of those that followed each other without a pause, whatever was scanned in between.
    run: (Time, Time),
    /// Files that somebody is writing.
    writing: Writing,
    /// When the running scan, or the last one, began.
    began: Time,
    /// It began because of changes.
    for_changes: bool,
    /// Nothing begins by itself before then.
    rests_until: Time,
    /// How long a scan takes that stores little.
    cost: Span,
    /// When the scans so far are made up for.
    paid: Time,
    /// Snapshots of late, and when the last of them was forgiven.
    snapshots: (u32, Time),
    /// Scans for changes that found nothing, one after the other.
    fruitless: u32,
}

/// How many snapshots a folder may make because of changes.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// So many follow each other freely.
    free: u32,
    /// The longest pause after one.
    pause_max: Span,
    /// Every so often one is forgiven.
    forgiven_every: Span,
}

impl Allowance {
    /// Of a backup: what matters is that there is one.
    const BACKUP: Self =
        Self { free: SNAPSHOTS_FREE, pause_max: SNAPSHOT_PAUSE_MAX, forgiven_every: SNAPSHOT_FORGIVEN_EVERY };
    /// Of a shared folder: somebody waits for it at another device.
    const SHARED: Self = Self {
        free: SHARED_SNAPSHOTS_FREE,
        pause_max: SHARED_SNAPSHOT_PAUSE_MAX,
        forgiven_every: SHARED_SNAPSHOT_FORGIVEN_EVERY,
    };

    /// A folder's.
    const fn of(kind: FolderKind) -> Self {
        match kind {
            FolderKind::Backup => Self::BACKUP,
            FolderKind::Shared => Self::SHARED,
        }
    }
}

/// How a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Yield {
    /// A snapshot, for which so many sealed bytes were stored.
    Snapshot(u64),
    /// The folder was as before.
    Nothing,
    /// It failed.
    Failure,
}

impl Timing {
    /// Something has changed.
    pub fn changed(&mut self, now: Time, touched: Touched) {
        self.writing.heard(now, touched);
        self.changed.get_or_insert(now);
        let (since, last) = self.run;
        self.run = (if now.since(last) <= SETTLE { since } else { now }, now);
    }

    /// A scan begins: it will see what has changed so far.
    pub fn begun(&mut self, now: Time) {
        self.for_changes = self.changed.take().is_some();
        self.began = now;
    }

    /// It is over.
    pub fn ended(&mut self, now: Time, found: Yield, allowed: Allowance) {
        let took = now.since(self.began);
        match found {
            Yield::Snapshot(bytes) => {
                self.fruitless = 0;
                let (snapshots, since) = self.snapshots;
                let forgiven = now.since(since).as_micros() / allowed.forgiven_every.as_micros();
                let left = snapshots.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
                let since = if left == 0 { now } else { since + allowed.forgiven_every.times(forgiven) };
                self.snapshots = (left.saturating_add(u32::from(self.for_changes)), since);
                // What it stored took time too, and the next scan will not store that again.
                if bytes <= SCAN_COST_BYTES_MAX {
                    self.cost = took;
                }
            }
            Yield::Nothing => {
                self.fruitless = if self.for_changes { self.fruitless.saturating_add(1) } else { 0 };
                self.cost = took;
            }
            // It is looked at again before long in any case.
            Yield::Failure => {}
        }
        let paid = self.paid.max(self.began) + self.cost.times(SCAN_PAUSE_TIMES);
        self.paid = paid.min(now + SCAN_CREDIT + SCAN_PAUSE_MAX);
        let many = self.snapshots.0.checked_sub(allowed.free);
        let pauses = [
            if found == Yield::Failure { SCAN_RETRY } else { Span::ZERO },
            self.paid.since(now + SCAN_CREDIT),
            // One that was made for other reasons, as right before a merge, is none of those that this pause is about.
            grown(SNAPSHOT_PAUSE, many.filter(|_| self.for_changes), allowed.pause_max),
            grown(FRUITLESS_PAUSE, self.fruitless.checked_sub(1), FRUITLESS_PAUSE_MAX),
        ];
        let rests = now + pauses.into_iter().max().unwrap_or_default();
        self.rests_until = if self.for_changes { rests } else { rests.max(self.rests_until) };
    }

    /// Since when something has changed that no scan has seen, and when one will.
    #[must_use]
    pub fn waits(&self) -> Option<(Time, Time)> {
        self.changed.zip(self.due())
    }

    /// When a scan is due because of what has changed.
    #[must_use]
    pub fn due(&self) -> Option<Time> {
        let (since, last) = self.run;
        let ended = last + last.since(since).part(SETTLE_PARTS).max(SETTLE_ENDED).min(SETTLE);
        let written = self.writing.last().map_or(ended, |last| last + SETTLE);
        Some(ended.max(written).min(self.changed? + SETTLE_MAX).max(self.rests_until))
    }
}

/// A pause that doubles with every step; none without any.
fn grown(first: Span, steps: Option<u32>, most: Span) -> Span {
    steps.map_or(Span::ZERO, |steps| first.times(1 << steps.min(32)).min(most))
}

/// What is watched of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Watched {
    /// Directories that are.
    directories: u64,
    /// Directories that are not, though they should be.
    missed: u64,
    /// Why not.
    reason: Option<Unwatched>,
}

impl Watched {
    /// What a person is told of directories that are not watched, and what helps.
    fn complaint(&self, name: &str) -> Option<(String, String)> {
        let reason = self.reason.as_ref().filter(|_| self.missed > 0)?;
        let all = self.directories.saturating_add(self.missed);
        let what = format!(
            "changes in {} of the {all} directories of {name} are found by the rescan only: ",
            self.missed
        );
        Some(match reason {
            Unwatched::Limit { limit } => {
                let wanted = all.max(limit.unwrap_or(0)).saturating_mul(2).next_power_of_two().max(524_288);
                let limit = limit.map_or_else(String::new, |limit| format!(" ({limit})"));
                (
                    format!("{what}the system's limit on watches{limit} is reached"),
                    format!("as root: `sysctl fs.inotify.max_user_watches={wanted}`, and the same line in /etc/sysctl.d/nuthatch.conf"),
                )
            }
            Unwatched::Bound => (
                format!("{what}no more directories are watched"),
                format!("leave out what need not be backed up (`nuthatch folder set {name} ignore+=GLOB`), or have it scanned more often: `nuthatch config set backup.rescan 15m`"),
            ),
            Unwatched::Failed { reason } => {
                (format!("{what}{reason}"), "nothing is lost; `nuthatch config set backup.rescan 15m` has it scanned more often".into())
            }
        })
    }
}

impl Core {
    /// Something has changed in a folder, or about its watches.
    pub(super) fn noticed(&mut self, notice: Notice) {
        let now = self.now.time;
        match notice {
            Notice::Changed(folder, touched) => {
                if let Some(local) = self.folders.local.get_mut(&folder) {
                    local.timing.changed(now, touched);
                }
            }
            Notice::Overflowed => {
                let all = self.folders.local.values_mut();
                all.for_each(|local| local.timing.changed(now, Touched::UNKNOWN));
            }
            Notice::Watching { folder, directories, missed, reason } => {
                let name = self.folder_name(&folder);
                let Some(local) = self.folders.local.get_mut(&folder) else { return };
                let before = local.watched.replace(Watched { directories, missed, reason });
                let is_new = before.is_none_or(|before| before.missed == 0);
                let complaint = local.watched.as_ref().and_then(|watched| watched.complaint(&name));
                if let Some((message, hint)) = complaint.filter(|_| is_new) {
                    self.note(Level::Warn, "watch", format!("{message}; {hint}"));
                }
            }
            Notice::Unavailable(reason) => {
                let message =
                    format!("changes are found by the rescan only, the system gives no watches: {reason}");
                self.note(Level::Warn, "watch", message.clone());
                self.folders.unwatched = Some(message);
            }
        }
    }

    /// Whether a scan that begins now will find something new, most likely: it need not compare first.
    pub(super) fn expects_news(&mut self, folder: FolderId) -> bool {
        let timing = &self.local(folder).timing;
        timing.for_changes && timing.fruitless == 0
    }

    /// A scan of a folder begins: whether the directories that it lists are watched from then on.
    pub(super) fn watch_begins(&mut self, folder: FolderId) -> bool {
        let now = self.now.time;
        self.local(folder).timing.begun(now);
        let watch = self.setup.config.watch;
        let order = if watch { WatchOrder::Begin(folder) } else { WatchOrder::Forget(folder) };
        self.outputs.push_back(Output::Watch(order));
        if !watch {
            self.local(folder).watched = None;
        }
        watch
    }

    /// A scan of a folder has ended.
    pub(super) fn watch_ended(&mut self, folder: FolderId, result: &Result<Outcome, BackupError>) {
        let now = self.now.time;
        let found = match result {
            Ok(Outcome::Changed(taken)) => Yield::Snapshot(taken.counts.stored_bytes),
            Ok(Outcome::Unchanged { .. }) => Yield::Nothing,
            Err(_) => Yield::Failure,
        };
        let entry =
            self.all_folders().into_iter().map(|(_, entry, _)| entry).find(|entry| entry.folder == folder);
        let allowed = Allowance::of(entry.map_or(FolderKind::Backup, |entry| entry.kind));
        self.local(folder).timing.ended(now, found, allowed);
        if result.is_ok() && self.setup.config.watch {
            self.outputs.push_back(Output::Watch(WatchOrder::End(folder)));
        }
    }

    /// The configuration has changed: what is not to be watched is not, what is to be is looked at soon.
    pub(super) fn watch_configured(&mut self) {
        let (watch, now) = (self.setup.config.watch, self.now.time);
        let mut orders = Vec::new();
        for (folder, local) in &mut self.folders.local {
            match (watch, local.watched.is_some()) {
                (true, false) => local.next_scan = local.next_scan.map(|next| next.min(now)),
                (false, true) => {
                    local.watched = None;
                    orders.push(Output::Watch(WatchOrder::Forget(*folder)));
                }
                _ => {}
            }
        }
        self.outputs.extend(orders);
    }

    /// For `status`: what is watched of an own folder.
    pub(super) fn watch_status(&self, folder: &FolderId, name: &str, attention: &mut Attention) -> Value {
        let Some(watched) = self.folders.local.get(folder).and_then(|local| local.watched.as_ref()) else {
            return Value::Null;
        };
        if let Some((message, hint)) = watched.complaint(name) {
            attention.add(Severity::Advice, message, hint);
        }
        json!({"directories": watched.directories, "missed": watched.missed})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::ZERO + Span::from_secs(1_000_000) + Span::from_millis(millis)
    }

    /// Something happened that is over: a file was closed, say.
    fn over() -> Touched {
        let mut touched = Touched::default();
        touched.end(1);
        touched
    }

    /// A file was changed, and is still open.
    fn open() -> Touched {
        let mut touched = Touched::default();
        touched.write(1);
        touched
    }

    /// A scan that was due then, and took no time.
    fn scan(timing: &mut Timing, now: Time, found: Yield) {
        timing.begun(now);
        timing.ended(now, found, Allowance::BACKUP);
    }

    #[test]
    fn a_scan_follows_a_change_when_that_has_settled() {
        let mut timing = Timing::default();
        assert_eq!(timing.due(), None);
        timing.changed(at(0), over());
        assert_eq!(timing.due(), Some(at(0) + SETTLE_ENDED));
        timing.changed(at(300), over());
        assert_eq!(timing.due(), Some(at(300) + SETTLE_ENDED));
        timing.begun(at(3_500));
        assert_eq!(timing.due(), None, "the scan sees what has changed so far");
        timing.changed(at(3_600), over());
        timing.ended(at(3_700), Yield::Snapshot(10), Allowance::BACKUP);
        assert!(
            timing.due() >= Some(at(3_600) + SETTLE_ENDED),
            "what changed during the scan leads to another"
        );
    }

    #[test]
    fn a_file_that_is_still_open_is_waited_for_a_little_and_what_happens_beside_it_is_not() {
        let mut timing = Timing::default();
        timing.changed(at(0), open());
        timing.changed(at(400), open());
        assert_eq!(timing.due(), Some(at(400) + SETTLE));
        // It is closed: an editor is done.
        timing.changed(at(500), over());
        assert_eq!(timing.due(), Some(at(500) + SETTLE_ENDED));
        // A database keeps its file open, and is quiet after a while; a document is saved then.
        let mut other = Touched::default();
        other.write(2);
        timing.changed(at(600), other);
        timing.begun(at(4_000));
        timing.ended(at(4_000), Yield::Snapshot(10), Allowance::BACKUP);
        timing.changed(at(9_000), over());
        assert_eq!(timing.due(), Some(at(9_000) + SETTLE_ENDED));
        timing.changed(at(9_100), Touched::UNKNOWN);
        assert_eq!(timing.due(), Some(at(9_100) + SETTLE), "what was not told may go on");
    }

    #[test]
    fn a_tree_that_is_copied_slowly_is_not_scanned_in_each_of_its_pauses() {
        let (mut timing, mut scans, mut now) = (Timing::default(), 0, at(0));
        // A file a second, for half a minute: after a few of them the pause between two is no end.
        for _ in 0..30 {
            timing.changed(now, over());
            let next = now + Span::from_secs(1);
            if timing.due().is_some_and(|due| due < next) {
                scan(&mut timing, next, Yield::Snapshot(1));
                scans += 1;
            }
            now = next;
        }
        assert!(scans <= 3, "{scans} scans");
        let mut fast = Timing::default();
        for millis in (0..8_000).step_by(200) {
            fast.changed(at(millis), over());
            assert!(fast.due() > Some(at(millis + 200)));
        }
        assert_eq!(fast.due(), Some(at(7_800) + SETTLE), "it is never longer than for a file that is open");
        fast.changed(at(15_000), over());
        assert_eq!(fast.due(), Some(at(15_000) + SETTLE_ENDED), "what comes later is something else");
    }

    #[test]
    fn a_file_that_is_written_all_the_time_postpones_nothing_for_ever() {
        let mut timing = Timing::default();
        let first = at(0);
        let mut now = first;
        while timing.due().is_none_or(|due| due > now) {
            timing.changed(now, over());
            now = now + Span::from_millis(100);
        }
        assert_eq!(now, first + SETTLE_MAX);
    }

    #[test]
    fn what_changes_all_day_makes_about_a_hundred_snapshots_and_the_first_ones_at_once() {
        let mut timing = Timing::default();
        let (mut now, mut taken) = (at(0), Vec::new());
        let end = now + Span::from_secs(86_400);
        while now < end {
            timing.changed(now, over());
            if timing.due().is_some_and(|due| due <= now) {
                scan(&mut timing, now, Yield::Snapshot(10));
                taken.push(now.since(at(0)).as_millis() / 1_000);
            }
            now = now + Span::from_secs(10);
        }
        assert!(taken[4] <= 5 * 70, "the first ones wait for nothing but settling: {taken:?}");
        assert!((60..130).contains(&taken.len()), "{} snapshots", taken.len());
        let pauses = taken.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(pauses.max().unwrap_or(0) <= SNAPSHOT_PAUSE_MAX.as_millis() / 1_000 + 70, "{taken:?}");
        // After a quiet night it is as at first.
        now = now + Span::from_secs(8 * 3_600);
        scan(&mut timing, now, Yield::Snapshot(10));
        timing.changed(now, over());
        assert_eq!(timing.due(), Some(now + SETTLE_ENDED));
    }

    #[test]
    fn in_a_shared_folder_an_afternoon_of_saving_reaches_the_others_within_minutes() {
        let mut timing = Timing::default();
        let (mut now, mut longest, mut count) = (at(0), Span::ZERO, 0);
        while now < at(0) + Span::from_secs(86_400) {
            timing.changed(now, over());
            let (since, due) = timing.waits().expect("something has changed");
            assert_eq!(since, now);
            longest = longest.max(due.since(since));
            timing.begun(due);
            assert_eq!(timing.waits(), None, "the scan sees it");
            timing.ended(due, Yield::Snapshot(10), Allowance::SHARED);
            count += 1;
            if count == SHARED_SNAPSHOTS_FREE {
                assert_eq!(longest, SETTLE_ENDED, "many follow each other freely");
            }
            now = due + Span::from_secs(5);
        }
        assert!(longest <= SHARED_SNAPSHOT_PAUSE_MAX, "{longest:?}");
        assert!((300..520).contains(&count), "{count} snapshots in a day");
    }

    #[test]
    fn scans_for_what_others_have_made_use_up_no_snapshots() {
        let mut timing = Timing::default();
        for number in 0..20 {
            scan(&mut timing, at(number * 10_000), Yield::Snapshot(0));
        }
        timing.changed(at(200_000), over());
        assert_eq!(timing.due(), Some(at(200_000) + SETTLE_ENDED));
        // Nor do they end or lengthen a pause of those that are for changes.
        for number in 0..=u64::from(SNAPSHOTS_FREE) {
            timing.changed(at(300_000 + number), over());
            scan(&mut timing, at(300_000 + number), Yield::Snapshot(1));
        }
        let mut other = timing.clone();
        timing.changed(at(301_000), over());
        let due = timing.due();
        assert!(due > Some(at(301_000) + SNAPSHOT_PAUSE), "{due:?}");
        other.begun(at(300_900));
        other.ended(at(300_900), Yield::Snapshot(0), Allowance::BACKUP);
        scan(&mut other, at(300_950), Yield::Nothing);
        other.changed(at(301_000), over());
        assert_eq!(other.due(), due);
    }

    #[test]
    fn a_scan_that_costs_much_is_followed_by_a_pause_in_proportion_but_what_it_stored_does_not_count() {
        let mut timing = Timing::default();
        let (mut now, mut scanning) = (at(0), Span::ZERO);
        timing.changed(now, over());
        let took = Span::from_secs(30);
        while now < at(0) + Span::from_secs(86_400) {
            now = timing.due().expect("something changes all the time");
            timing.begun(now);
            timing.changed(now, over());
            now = now + took;
            scanning = scanning + took;
            timing.ended(now, Yield::Nothing, Allowance::BACKUP);
        }
        assert!(scanning <= Span::from_secs(86_400).part(SCAN_PAUSE_TIMES) + took.times(2), "{scanning:?}");
        timing.begun(at(0));
        timing.ended(at(36_000_000), Yield::Nothing, Allowance::BACKUP);
        timing.changed(at(36_000_000), over());
        assert_eq!(timing.due(), Some(at(36_000_000) + SCAN_PAUSE_MAX));
        let mut quiet = Timing::default();
        quiet.begun(at(0));
        quiet.ended(at(3_000), Yield::Snapshot(10), Allowance::BACKUP);
        quiet.changed(at(3_000), over());
        assert_eq!(
            quiet.due(),
            Some(at(3_000) + SETTLE_ENDED),
            "one change in a quiet folder is seen at once"
        );
        let mut first = Timing::default();
        first.begun(at(0));
        first.ended(at(36_000_000), Yield::Snapshot(1 << 40), Allowance::BACKUP);
        first.changed(at(36_000_000), over());
        assert_eq!(first.due(), Some(at(36_000_000) + SETTLE_ENDED));
    }

    #[test]
    fn changes_of_what_is_left_out_are_looked_at_less_and_less_often() {
        let mut timing = Timing::default();
        let (mut now, mut scans) = (at(0), 0);
        let end = now + Span::from_secs(3_600);
        while now < end {
            timing.changed(now, over());
            now = now + Span::from_secs(3);
            if timing.due().is_some_and(|due| due <= now) {
                scan(&mut timing, now, Yield::Nothing);
                scans += 1;
            }
        }
        assert!((30..90).contains(&scans), "{scans} scans in an hour");
        timing.changed(now, over());
        assert!(timing.due() <= Some(now + FRUITLESS_PAUSE_MAX), "what does count is seen soon");
        scan(&mut timing, now, Yield::Snapshot(1));
        timing.changed(now, over());
        assert_eq!(timing.due(), Some(now + SETTLE_ENDED));
    }

    #[test]
    fn a_scan_that_failed_is_not_tried_again_with_every_change() {
        let mut timing = Timing::default();
        timing.changed(at(0), over());
        scan(&mut timing, at(2_000), Yield::Failure);
        timing.changed(at(2_100), over());
        assert_eq!(timing.due(), Some(at(2_000) + SCAN_RETRY));
    }

    #[test]
    fn a_limit_that_is_reached_is_said_with_what_helps() {
        let reason = Some(Unwatched::Limit { limit: Some(8_192) });
        let watched = Watched { directories: 8_000, missed: 70_000, reason };
        let (message, hint) = watched.complaint("photos").expect("some are missed");
        assert!(message.contains("70000 of the 78000 directories of photos") && message.contains("8192"));
        assert!(hint.contains("sysctl fs.inotify.max_user_watches=524288"), "{hint}");
        assert_eq!(Watched { missed: 0, ..watched }.complaint("photos"), None);
    }
}
