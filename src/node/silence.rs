//! Silence: since when nothing was heard of each folder's backups, and how long that is usual. The books, without the core;
//! `node/hearing.rs` connects them.
//!
//! What is heard is a snapshot that comes in a feed, or a mark (`feed/mark.rs`) that the folder was looked after. The time is
//! this node's own running time: no clock on a wall, neither here nor there, can make a silent device look alive or an
//! honest one silent, and while this node is off nobody grows silent. What is usual is learnt from the pauses that were
//! heard: the longest but one of the last thirty days, so that one journey teaches nothing and a laptop that is on at
//! weekends only is known as such after the second week. Twice that, and never less than [`SILENCE_FLOOR`], is too long.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::collect::Settings;
use crate::base::ids::{FolderId, NodeId};
use crate::base::limits::{
    SILENCE_FLOOR, SILENCE_LEARNT_AFTER, SILENCE_LIMIT_MAX, SILENCE_PAUSES_MAX, SILENCE_SAVE_EVERY,
    SILENCE_WINDOW,
};
use crate::base::units::{Span, WallTime};

/// What is known of the folders of others.
#[derive(Debug, Default)]
pub struct Silence {
    /// By folder and device, for several may have a shared one.
    watched: BTreeMap<Place, Watched>,
    /// Settings of folders that are watched no more.
    gone: Vec<String>,
}

/// A folder, and a device that looks after it.
pub type Place = (FolderId, NodeId);

/// One folder of another device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Whose it is.
    pub writer: NodeId,
    /// Something was heard of it since it is watched.
    pub heard: bool,
    /// When, in this node's running time in microseconds; if nothing was, since when it is watched.
    last_us: u64,
    /// Since when it is watched.
    since_us: u64,
    /// How often its device means to look after it, in microseconds; 0: it has not said.
    every_us: u64,
    /// The number of the newest mark.
    pub number: u64,
    /// Pauses between signs of life: when each ended, and how long it was, in microseconds; the longest.
    pauses: Vec<(u64, u64)>,
    /// It has been told that it is silent.
    #[serde(skip)]
    is_told: bool,
    /// It is among those that are watched.
    #[serde(skip)]
    stays: bool,
    /// What was saved of it is old; when it was saved.
    #[serde(skip)]
    unsaved: bool,
    /// See `unsaved`.
    #[serde(skip)]
    saved_us: u64,
}

impl Watched {
    /// A folder that comes into view.
    fn new(writer: NodeId, running: Span) -> Self {
        let now = running.as_micros();
        Self {
            writer,
            heard: false,
            last_us: now,
            since_us: now,
            every_us: 0,
            number: 0,
            pauses: Vec::new(),
            is_told: false,
            stays: true,
            unsaved: true,
            saved_us: 0,
        }
    }

    /// Since how long nothing was heard.
    #[must_use]
    pub fn silent_for(&self, running: Span) -> Span {
        running - Span::from_micros(self.last_us)
    }

    /// How long a pause is usual. `labels` are when its snapshots say that they were taken: they count only as long as this
    /// node has not listened for itself.
    #[must_use]
    pub fn usual(&self, running: Span, labels: &[WallTime]) -> Span {
        let from = (running - SILENCE_WINDOW).as_micros();
        let heard: Vec<u64> =
            self.pauses.iter().filter(|(ended, _)| *ended >= from).map(|(_, pause)| *pause).collect();
        let mut usual = second(heard).max(self.every_us);
        if running - Span::from_micros(self.since_us) < SILENCE_LEARNT_AFTER {
            let between = labels.windows(2).map(|pair| pair[1].as_micros().abs_diff(pair[0].as_micros()));
            // A label may be of a clock that was wrong: what is longer than any limit is no pause.
            let between = between.filter(|pause| *pause <= SILENCE_LIMIT_MAX.as_micros()).collect();
            usual = usual.max(second(between));
        }
        Span::from_micros(usual)
    }

    /// After how long a silence is too long.
    #[must_use]
    pub fn limit(&self, running: Span, labels: &[WallTime]) -> Span {
        self.usual(running, labels).times(2).clamp(SILENCE_FLOOR, SILENCE_LIMIT_MAX)
    }

    /// Something was heard, so long ago.
    fn hear(&mut self, running: Span, age: Span) {
        let at = (running - age).as_micros();
        if at <= self.last_us && self.heard {
            return;
        }
        let pause = at.saturating_sub(self.last_us);
        if self.heard && pause > 0 {
            self.pauses.push((at, pause));
            let from = (running - SILENCE_WINDOW).as_micros();
            self.pauses.retain(|(ended, _)| *ended >= from);
            if self.pauses.len() > SILENCE_PAUSES_MAX {
                // The shortest goes, of equals the oldest.
                let least = (0..self.pauses.len()).min_by_key(|index| {
                    let (ended, pause) = self.pauses[*index];
                    (pause, ended)
                });
                least.map(|index| self.pauses.remove(index));
            }
        }
        self.last_us = self.last_us.max(at);
        self.heard = true;
        self.unsaved = true;
    }
}

impl Silence {
    /// What was saved.
    #[must_use]
    pub fn load(settings: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut silence = Self::default();
        for (key, bytes) in settings {
            let Some(name) = key.strip_prefix(HEARD_PREFIX) else { continue };
            let folder = name.split(':').next().and_then(|id| id.parse().ok());
            if let (Some(folder), Ok((watched, []))) = (folder, postcard::take_from_bytes::<Watched>(bytes)) {
                let place = (folder, watched.writer);
                if *key != key_of(&place) {
                    // Before, one device was watched of each folder.
                    silence.gone.push(key.clone());
                }
                silence.watched.insert(place, watched);
            }
        }
        silence
    }

    /// Watches exactly these folders from now on.
    pub fn watch(&mut self, running: Span, places: impl Iterator<Item = Place>) {
        self.watched.values_mut().for_each(|watched| watched.stays = false);
        for place in places {
            self.watched.entry(place).or_insert_with(|| Watched::new(place.1, running)).stays = true;
        }
        let gone = &mut self.gone;
        self.watched.retain(|place, watched| {
            if !watched.stays {
                gone.push(key_of(place));
            }
            watched.stays
        });
    }

    /// Whether a folder is watched.
    pub fn watches(&self, place: &Place) -> bool {
        self.watched.contains_key(place)
    }

    /// A snapshot of a folder came.
    pub fn heard_snapshot(&mut self, running: Span, place: &Place) {
        if let Some(watched) = self.watched.get_mut(place) {
            watched.hear(running, Span::default());
        }
    }

    /// A mark came, so old; `direct`: from its writer. True if it is news. What others pass on counts only if it is newer
    /// than what is known, for they may keep an old one.
    pub fn heard_mark(
        &mut self,
        running: Span,
        place: &Place,
        number: u64,
        every: Span,
        age: Span,
        direct: bool,
    ) -> bool {
        let Some(watched) = self.watched.get_mut(place) else { return false };
        if number == watched.number || (!direct && number < watched.number) {
            return false;
        }
        watched.number = number;
        watched.every_us = every.as_micros().min(SILENCE_LIMIT_MAX.as_micros());
        watched.hear(running, age);
        true
    }

    /// Every watched folder.
    pub fn iter(&self) -> impl Iterator<Item = (&Place, &Watched)> {
        self.watched.iter()
    }

    /// Remembers whether a folder's silence was told. True if that has changed.
    pub fn tell(&mut self, place: &Place, is_silent: bool) -> bool {
        let watched = self.watched.get_mut(place);
        watched.is_some_and(|watched| core::mem::replace(&mut watched.is_told, is_silent) != is_silent)
    }

    /// Adds what is not saved yet to what is written anyway; for each folder now and then only.
    pub fn ride_along(&mut self, running: Span, settings: &mut Settings) {
        settings.extend(self.gone.drain(..).map(|key| (key, None)));
        for (place, watched) in self.watched.iter_mut().filter(|(_, watched)| watched.unsaved) {
            if running - Span::from_micros(watched.saved_us) >= SILENCE_SAVE_EVERY || watched.saved_us == 0 {
                (watched.unsaved, watched.saved_us) = (false, running.as_micros().max(1));
                settings.push((key_of(place), postcard::to_stdvec(watched).ok()));
            }
        }
    }
}

/// The longest but one; 0 of fewer.
fn second(mut pauses: Vec<u64>) -> u64 {
    pauses.sort_unstable();
    pauses.iter().rev().nth(1).copied().unwrap_or(0)
}

/// The setting that keeps what was heard of one.
fn key_of((folder, writer): &Place) -> String {
    format!("{HEARD_PREFIX}{folder}:{}", writer.hex())
}

/// Begins the settings that keep what was heard.
const HEARD_PREFIX: &str = "heard:";

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Span = Span::from_secs(3_600);
    const FOLDER: FolderId = FolderId::from_bytes([1; 16]);
    const WRITER: NodeId = NodeId::from_bytes([2; 32]);
    const PLACE: Place = (FOLDER, WRITER);

    fn watching() -> Silence {
        let mut silence = Silence::default();
        silence.watch(HOUR, [PLACE].into_iter());
        silence
    }

    /// A mark of an hourly device comes at this hour.
    fn mark(silence: &mut Silence, hour: u64) -> bool {
        silence.heard_mark(HOUR.times(hour), &PLACE, hour, HOUR, Span::default(), true)
    }

    fn limit(silence: &Silence, hour: u64) -> u64 {
        silence.watched[&PLACE].limit(HOUR.times(hour), &[]).as_micros() / HOUR.as_micros()
    }

    #[test]
    fn an_hourly_device_is_missed_after_the_floor_and_one_night_teaches_nothing() {
        let mut silence = watching();
        (2..20).for_each(|hour| assert!(mark(&mut silence, hour)));
        assert_eq!(limit(&silence, 20), 26);
        assert!(mark(&mut silence, 60));
        assert_eq!(limit(&silence, 60), 26, "one journey");
        assert_eq!(silence.watched[&PLACE].silent_for(HOUR.times(63)), HOUR.times(3));
    }

    #[test]
    fn a_laptop_that_is_on_at_weekends_is_known_as_such_after_the_second_week() {
        let mut silence = watching();
        let week = |silence: &mut Silence, week: u64| {
            (0..40).for_each(|hour| assert!(mark(silence, 10 + week * 168 + hour)));
        };
        (0..3).for_each(|number| week(&mut silence, number));
        // The pauses are of 128 and 129 hours; twice the shorter of the two.
        let hour = 10 + 2 * 168 + 40;
        assert!((256..=260).contains(&limit(&silence, hour)), "{}", limit(&silence, hour));
        // It is on every day from now on: after thirty days the weeks are forgotten.
        (hour..hour + 24 * 31).for_each(|hour| _ = mark(&mut silence, hour));
        assert_eq!(limit(&silence, hour + 24 * 31), 26);
    }

    #[test]
    fn what_others_pass_on_counts_only_if_it_is_newer() {
        let mut silence = watching();
        let pass = |silence: &mut Silence, number, age: u64| {
            silence.heard_mark(HOUR.times(30), &PLACE, number, HOUR, HOUR.times(age), false)
        };
        assert!(mark(&mut silence, 20));
        assert!(!pass(&mut silence, 20, 0) && !pass(&mut silence, 19, 0));
        assert_eq!(silence.watched[&PLACE].silent_for(HOUR.times(30)), HOUR.times(10));
        assert!(pass(&mut silence, 25, 4));
        assert_eq!(silence.watched[&PLACE].silent_for(HOUR.times(30)), HOUR.times(4));
        // The device itself may begin anew, for its disk may be old.
        assert!(silence.heard_mark(HOUR.times(31), &PLACE, 3, HOUR, Span::default(), true));
        let stranger = NodeId::from_bytes([9; 32]);
        assert!(!silence.heard_mark(HOUR.times(32), &(FOLDER, stranger), 99, HOUR, Span::default(), true));
    }

    #[test]
    fn labels_count_until_this_node_has_listened_for_itself_and_wrong_clocks_do_not() {
        let silence = watching();
        let label = |hour: i64| WallTime::from_micros(1_800_000_000_000_000 + hour * 3_600_000_000);
        let labels = [0, 48, 96, 96 + 87_660, 97 + 87_660, 145].map(label);
        let watched = &silence.watched[&PLACE];
        assert_eq!(watched.usual(HOUR.times(3), &labels), HOUR.times(48));
        assert_eq!(watched.usual(HOUR.times(24 * 20), &labels), Span::default());
        assert!(!watched.heard && watched.silent_for(HOUR.times(28)) == HOUR.times(27));
    }

    #[test]
    fn what_was_heard_is_saved_with_other_writes_and_read_again() {
        let mut silence = watching();
        (2..40).for_each(|hour| assert!(mark(&mut silence, hour)));
        let mut settings = Settings::new();
        silence.ride_along(HOUR.times(40), &mut settings);
        let saved: BTreeMap<String, Vec<u8>> =
            settings.drain(..).map(|(key, value)| (key, value.unwrap())).collect();
        let again = Silence::load(&saved);
        assert_eq!(again.watched[&PLACE].last_us, HOUR.times(39).as_micros());
        assert_eq!(limit(&again, 40), limit(&silence, 40));
        silence.ride_along(HOUR.times(40), &mut settings);
        assert!(settings.is_empty(), "nothing is new");
        silence.watch(HOUR.times(41), std::iter::empty());
        silence.ride_along(HOUR.times(41), &mut settings);
        assert_eq!(settings.len(), 1, "what is watched no more is forgotten");
    }

    #[test]
    fn a_device_that_looks_a_thousand_times_a_day_takes_no_more_memory() {
        let mut silence = watching();
        for number in 1..5_000 {
            let running = HOUR + Span::from_secs(60 * number);
            silence.heard_mark(running, &PLACE, number, Span::from_secs(60), Span::default(), true);
        }
        assert_eq!(silence.watched[&PLACE].pauses.len(), SILENCE_PAUSES_MAX);
    }
}
