//! Collection: which manifests are pinned here, since when the retired ones wait, and when their time is over.
//!
//! ```text
//!   pinned --retired in the feeds--> waiting (saved with the running time) --floor passed--> given up
//!     ^                                 |                                   (own receipt released, pin removed)
//!     '------ taken back (undo) --------'                                              |
//!                                                                           a pass drops what nothing lists
//! ```
//!
//! Time is this node's own running time ([`Running`]): no clock on a wall, and nothing that was not saved. This file keeps
//! the books, without the core; `node/upkeep.rs` connects it, `node/marking.rs` is the pass. What is saved under which name
//! stands in store/FORMAT.md.

use std::collections::BTreeMap;

use super::keep::{pin_key, PIN_PREFIX};
use crate::base::ids::{ChunkId, NodeId, SnapshotId};
use crate::base::limits::{EXPIRED_PER_TURN_MAX, MASS_RETIRED_MIN, MASS_WITHIN, RUNNING_SAVE_EVERY};
use crate::base::units::{Span, Time};

/// Settings to be written: name and value; `None` removes.
pub type Settings = Vec<(String, Option<Vec<u8>>)>;

/// How long this node has run, in all its runs together.
#[derive(Debug, Default)]
pub struct Running {
    /// As it was saved before this run.
    before: Span,
    /// When this run began.
    since: Time,
    /// What was handed over to be saved last.
    saved: Span,
}

/// A manifest that is pinned here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// Its root.
    pub manifest: ChunkId,
    /// The running time when its snapshot was found retired.
    pub gone: Option<Span>,
}

/// The books.
#[derive(Debug, Default)]
pub struct Collect {
    /// Own running time.
    running: Running,
    /// What is pinned.
    pins: BTreeMap<SnapshotId, Pin>,
    /// Nothing is given up before this running time: what the pins said was doubtful.
    not_before: Span,
    /// So many retired at once that a person is asked.
    frozen: Option<u64>,
    /// Up to this running time a person has said that it was meant.
    sure: Span,
    /// Grows whenever something begins that lists chunks or counts on them.
    disturbances: u64,
}

impl Running {
    /// Until now.
    #[must_use]
    pub fn now(&self, now: Time) -> Span {
        self.before + now.since(self.since)
    }
}

impl Collect {
    /// What was saved.
    #[must_use]
    pub fn load(settings: &BTreeMap<String, Vec<u8>>, now: Time) -> Self {
        let span = |key: &str| {
            let bytes = settings.get(key).and_then(|bytes| bytes.as_slice().try_into().ok());
            bytes.map_or(Span::default(), |bytes| Span::from_micros(u64::from_le_bytes(bytes)))
        };
        let before = span(RUNNING_KEY);
        let mut collect = Self {
            running: Running { before, since: now, saved: before },
            not_before: span(NOT_BEFORE_KEY),
            sure: span(SURE_KEY),
            ..Self::default()
        };
        if settings.contains_key(FROZEN_KEY) {
            collect.frozen = Some(span(FROZEN_KEY).as_micros());
        }
        let named = |key: &String, prefix: &str| key.strip_prefix(prefix).and_then(|id| id.parse().ok());
        for (key, bytes) in settings {
            if let (Some(id), Ok(manifest)) = (named(key, PIN_PREFIX), <[u8; 32]>::try_from(bytes.as_slice()))
            {
                collect.pins.insert(id, Pin { manifest: ChunkId::from_bytes(manifest), gone: None });
            }
        }
        for (id, pin) in &mut collect.pins {
            let key = gone_key(id);
            pin.gone = settings.contains_key(&key).then(|| span(&key));
        }
        collect
    }

    /// This node's own running time.
    #[must_use]
    pub fn running(&self, now: Time) -> Span {
        self.running.now(now)
    }

    /// Adds the running time to what is written anyway.
    pub fn ride_along(&mut self, now: Time, settings: &mut Settings) {
        self.running.saved = self.running.now(now);
        settings.push((RUNNING_KEY.to_owned(), Some(encode(self.running.saved))));
    }

    /// Whether the running time is to be written by itself: only while something waits for it, here or elsewhere.
    #[must_use]
    pub fn is_save_due(&self, now: Time, is_waited_for: bool) -> bool {
        (is_waited_for || self.waiting().next().is_some())
            && self.running.now(now) - self.running.saved >= RUNNING_SAVE_EVERY
    }

    /// A manifest is pinned, or is about to be: from now on its chunks stay.
    pub fn pin(&mut self, snapshot: SnapshotId, manifest: ChunkId) {
        self.pins.entry(snapshot).or_insert(Pin { manifest, gone: None });
        self.disturbances += 1;
    }

    /// A draft is forgotten: from now on it is a pin, and waits. What is to be saved is added to `settings`.
    pub fn forget(&mut self, now: Time, draft: SnapshotId, manifest: ChunkId, settings: &mut Settings) {
        let running = self.running.now(now);
        self.pins.insert(draft, Pin { manifest, gone: Some(running) });
        settings.push((pin_key(&draft), Some(manifest.as_bytes().to_vec())));
        settings.push((gone_key(&draft), Some(encode(running))));
    }

    /// A draft that was forgotten is taken back: it holds its chunks itself again.
    pub fn take_back(&mut self, draft: &SnapshotId, settings: &mut Settings) {
        self.pins.remove(draft);
        self.disturbances += 1;
        settings.extend(Self::giving_up(draft));
    }

    /// Something begins that lists chunks or counts on their being here.
    pub fn disturb(&mut self) {
        self.disturbances += 1;
    }

    /// Grows with each [`Collect::pin`] and [`Collect::disturb`].
    #[must_use]
    pub const fn disturbances(&self) -> u64 {
        self.disturbances
    }

    /// Everything that is pinned, by snapshot.
    #[must_use]
    pub const fn pins(&self) -> &BTreeMap<SnapshotId, Pin> {
        &self.pins
    }

    /// Retired snapshots whose chunks are still here, and since which running time.
    pub fn waiting(&self) -> impl Iterator<Item = (&SnapshotId, Span)> {
        self.pins.iter().filter_map(|(id, pin)| Some((id, pin.gone?)))
    }

    /// Compares the pins with what the feeds say. `retired` tells the writer of a snapshot that is retired. What is to be
    /// saved is added to `settings`.
    pub fn compare(
        &mut self,
        now: Time,
        retired: impl Fn(&SnapshotId) -> Option<NodeId>,
        writer: impl Fn(&SnapshotId) -> Option<NodeId>,
        settings: &mut Settings,
    ) {
        let running = self.running.now(now);
        let (mut fresh, mut returned) = (false, false);
        for (id, pin) in &mut self.pins {
            match (pin.gone, retired(id)) {
                (None, Some(_)) => {
                    pin.gone = Some(running);
                    fresh = true;
                    settings.push((gone_key(id), Some(encode(running))));
                }
                (Some(_), None) => {
                    (pin.gone, returned) = (None, true);
                    self.disturbances += 1;
                    settings.push((gone_key(id), None));
                }
                _ => {}
            }
        }
        // When a mass was taken back nobody has to be asked any more.
        if returned && self.frozen.is_some() && self.mass(&writer, |_| true) == 0 {
            self.frozen = None;
            settings.push((FROZEN_KEY.to_owned(), None));
        }
        if fresh {
            self.look_for_mass(running, writer, settings);
        }
    }

    /// So many retired at once: nothing is given up before a person has been asked.
    fn look_for_mass(
        &mut self,
        running: Span,
        writer: impl Fn(&SnapshotId) -> Option<NodeId>,
        settings: &mut Settings,
    ) {
        // What has waited for longer was looked at before; it is no part of the whole any more.
        let mass = self.mass(writer, |gone| running - gone <= MASS_WITHIN);
        if mass > 0 {
            let mass = u64::try_from(mass).unwrap_or(u64::MAX);
            self.frozen = Some(mass);
            settings.push((FROZEN_KEY.to_owned(), Some(encode(Span::from_micros(mass)))));
        }
    }

    /// How many are retired that nobody has answered for, of writers of whom that is much, counting what `is_new`.
    fn mass(&self, writer: impl Fn(&SnapshotId) -> Option<NodeId>, is_new: impl Fn(Span) -> bool) -> usize {
        let mut counts: BTreeMap<NodeId, (usize, usize)> = BTreeMap::new();
        for (id, pin) in &self.pins {
            let Some(writer) = writer(id) else { continue };
            let (all, gone) = counts.entry(writer).or_default();
            let is_new = pin.gone.is_some_and(|gone| gone > self.sure && is_new(gone));
            *all += usize::from(is_new || pin.gone.is_none());
            *gone += usize::from(is_new);
        }
        let mass = counts.values().filter(|(all, gone)| *gone >= MASS_RETIRED_MIN && gone * 2 > *all);
        mass.map(|(_, gone)| gone).sum()
    }

    /// How many snapshots were retired in a mass that nobody has answered for.
    #[must_use]
    pub const fn frozen(&self) -> Option<u64> {
        self.frozen
    }

    /// A person says that it was meant.
    pub fn thaw(&mut self, now: Time) -> Settings {
        self.frozen = None;
        self.sure = self.running.now(now);
        vec![(FROZEN_KEY.to_owned(), None), (SURE_KEY.to_owned(), Some(encode(self.sure)))]
    }

    /// What this disk knows of its pins is in doubt (it was restored from an image): for a whole `floor` nothing is given up.
    pub fn doubt(&mut self, now: Time, floor: Span) -> (String, Option<Vec<u8>>) {
        self.not_before = self.running.now(now) + floor;
        (NOT_BEFORE_KEY.to_owned(), Some(encode(self.not_before)))
    }

    /// Whether anything may be given up or dropped at all; if not, why.
    ///
    /// # Errors
    /// The reason, for a person.
    pub fn may_drop(&self, now: Time) -> Result<(), &'static str> {
        if self.frozen.is_some() {
            return Err("many snapshots were retired at once; a person is asked first");
        }
        if self.running.now(now) < self.not_before {
            return Err("this device has begun a new feed, for its disk was restored from an older state or the feed was full; nothing is given up for a while");
        }
        Ok(())
    }

    /// Snapshots whose time is over: retired for `floor` of running time. A few at once.
    #[must_use]
    pub fn expired(&self, now: Time, floor: Span) -> Vec<SnapshotId> {
        let running = self.running.now(now);
        let over = self.waiting().filter(|(_, gone)| running - *gone >= floor && running >= *gone);
        over.map(|(id, _)| *id).take(EXPIRED_PER_TURN_MAX).collect()
    }

    /// When the next one's time is over.
    #[must_use]
    pub fn next_expiry(&self, now: Time, floor: Span) -> Option<Time> {
        let first = self.waiting().map(|(_, gone)| gone).min()?;
        Some(now + ((first + floor) - self.running.now(now)))
    }

    /// What is to be saved when a snapshot is given up.
    #[must_use]
    pub fn giving_up(snapshot: &SnapshotId) -> Settings {
        vec![(pin_key(snapshot), None), (gone_key(snapshot), None)]
    }

    /// It is on its way to the disk: the pin is gone.
    pub fn given_up(&mut self, snapshot: &SnapshotId) {
        self.pins.remove(snapshot);
    }
}

/// Under which name it is kept since when a snapshot is known to be retired.
fn gone_key(snapshot: &SnapshotId) -> String {
    format!("gone:{snapshot}")
}

/// A span as it is saved.
fn encode(span: Span) -> Vec<u8> {
    span.as_micros().to_le_bytes().to_vec()
}

/// Own running time.
const RUNNING_KEY: &str = "running";
/// See [`Collect::doubt`].
const NOT_BEFORE_KEY: &str = "collect:not-before";
/// See [`Collect::frozen`].
const FROZEN_KEY: &str = "collect:frozen";
/// See [`Collect::thaw`].
const SURE_KEY: &str = "collect:sure";
