//! Room: how much more this node takes of what others want it to keep.
//!
//! Two things make a node full: `node.capacity`, and the reserve that is kept free on the disk. A full node takes no share; it
//! says so to its peers (Hello with no free bytes) and in `status`, and looks again after a while. Reading, restoring,
//! retiring and collecting go on. What its own folders need is refused only by the disk itself.

use serde_json::{json, Value};

use super::activity::Level;
use super::config_keys::bytes_of;
use super::core::{Core, Pending};
use super::events::{Event, Kind};
use super::status::attention::{Attention, Severity};
use crate::base::limits::{ROOM_LOOK_EVERY, ROOM_WARNING_PERCENT};
use crate::base::units::Time;
use crate::store::service::{Request, StoreStats};
use crate::wire::frame::Lane;
use crate::wire::message::Message;

/// What is known of the room.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// The store's figures, until a share has been kept with them.
    stats: Option<StoreStats>,
    /// They were asked for.
    asked: bool,
    /// What the share that is being kept may bring.
    budget: u64,
    /// It was found nearly full.
    nearly: bool,
    /// The node was found full: why.
    full: Option<String>,
}

/// `node.capacity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity {
    /// As much as there is.
    All,
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of what the store has and the disk has free.
    Percent(u8),
}

impl Capacity {
    /// As it stands in the configuration.
    #[must_use]
    pub fn read(value: &toml_edit::Value) -> Option<Self> {
        if let Some(number) = value.as_integer() {
            return u64::try_from(number).ok().map(Self::Bytes);
        }
        let text = value.as_str()?.trim();
        match text.strip_suffix('%') {
            Some(percent) => percent.trim().parse().ok().filter(|percent| *percent <= 100).map(Self::Percent),
            None if text == "all" => Some(Self::All),
            None => bytes_of(text).map(Self::Bytes),
        }
    }

    /// As it would be set.
    #[must_use]
    pub fn show(self) -> Value {
        match self {
            Self::All => Value::from("all"),
            Self::Bytes(bytes) => Value::from(bytes),
            Self::Percent(percent) => Value::from(format!("{percent}%")),
        }
    }

    /// In bytes, for a store like this; None: no limit but the disk.
    #[must_use]
    pub fn bytes(self, stats: Option<&StoreStats>) -> Option<u64> {
        match (self, stats) {
            (Self::All, _) | (Self::Percent(_), None) => None,
            (Self::Bytes(bytes), _) => Some(bytes),
            (Self::Percent(percent), Some(stats)) => {
                Some((stats.bytes.saturating_add(stats.free_bytes) / 100).saturating_mul(u64::from(percent)))
            }
        }
    }

    /// How many bytes a store like this may have in all: what the capacity and the disk with its reserve allow.
    pub(super) fn limit(self, stats: &StoreStats) -> u64 {
        let free = stats.free_bytes.saturating_sub(stats.reserve_bytes);
        self.bytes(Some(stats)).unwrap_or(u64::MAX).min(stats.bytes.saturating_add(free))
    }

    /// How many hundredths of that are used; None for a node that is meant to have nothing.
    pub(super) fn used_percent(self, stats: &StoreStats) -> Option<u64> {
        let used = u128::from(stats.bytes) * 100;
        u64::try_from(used.checked_div(u128::from(self.limit(stats)))?).ok()
    }

    /// What more fits; None: none, and why.
    pub(super) fn room(self, stats: &StoreStats) -> Result<u64, String> {
        let free = stats.free_bytes.saturating_sub(stats.reserve_bytes);
        let quota = self.bytes(Some(stats)).map_or(u64::MAX, |limit| limit.saturating_sub(stats.bytes));
        match free.min(quota) {
            0 if quota == 0 => Err("what node.capacity allows is used up".into()),
            0 => Err("the disk has no space left but the reserve".into()),
            room => Ok(room),
        }
    }
}

impl Room {
    /// Whether the node was found full.
    pub(super) const fn is_full(&self) -> bool {
        self.full.is_some()
    }
}

impl Core {
    /// Whether a share may be taken now. If that is not known yet it is asked, and the share comes later.
    pub(super) fn has_room(&mut self) -> bool {
        let Some(stats) = self.upkeep.room.stats.take() else {
            if !std::mem::replace(&mut self.upkeep.room.asked, true) {
                self.ask_store(Pending::Room, |op| Request::Stats { op });
            }
            return false;
        };
        match self.setup.config.capacity.room(&stats) {
            Ok(budget) => {
                self.upkeep.room.budget = budget;
                self.now_used(self.setup.config.capacity.used_percent(&stats));
                // What others were told is taken back by what they are offered, in its own time (`node/offer.rs`).
                if !self.is_said_to_be_full() {
                    self.now_full(None);
                }
                true
            }
            Err(reason) => {
                self.now_full(Some(reason));
                self.holding.look_at(self.now.time + ROOM_LOOK_EVERY);
                false
            }
        }
    }

    /// The store's figures have come.
    pub(super) fn room_known(&mut self, stats: Option<StoreStats>) {
        self.upkeep.room.asked = false;
        self.upkeep.room.stats = stats;
        self.offer_known(stats);
        let due = if stats.is_some() { self.now.time } else { self.now.time + ROOM_LOOK_EVERY };
        self.holding.look_at(due);
    }

    /// Why the share that has brought so many bytes may bring no more, if so.
    pub(super) fn over_budget(&self, fetched_bytes: u64) -> Option<&'static str> {
        (fetched_bytes > self.upkeep.room.budget)
            .then_some("what node.capacity or the disk allows is used up")
    }

    /// A share could not be kept here: when it may be tried again.
    pub(super) fn room_ended(&mut self, fetched_bytes: u64) -> Time {
        if let Some(reason) = self.over_budget(fetched_bytes) {
            self.now_full(Some(reason.to_owned()));
        }
        self.now.time + ROOM_LOOK_EVERY
    }

    /// Says, once, that the node will soon be full.
    fn now_used(&mut self, used: Option<u64>) {
        let used = used.filter(|used| *used >= ROOM_WARNING_PERCENT);
        if let Some(used) = used.filter(|_| !self.upkeep.room.nearly) {
            let event = Event::new(Kind::DiskNearlyFull, Level::Warn, "store", nearly_full(used));
            self.raise(event.about(format!("{used}%")));
        }
        self.upkeep.room.nearly = used.is_some();
    }

    /// Whether others were told that this node is full.
    fn is_said_to_be_full(&self) -> bool {
        let said = self.member.as_ref().and_then(|member| member.view.describe(&member.node));
        said.is_some_and(|said| said.is_full)
    }

    /// Says when the node becomes full, or is no more.
    fn now_full(&mut self, full: Option<String>) {
        if self.upkeep.room.full.is_some() != full.is_some() {
            match &full {
                Some(reason) => {
                    let message = format!("this node is full and takes no more copies: {reason}");
                    self.raise(Event::new(Kind::DiskFull, Level::Warn, "store", message));
                }
                None => self.note(Level::Info, "store", "this node has room for copies again"),
            }
            self.upkeep.room.full = full;
            let peers: Vec<_> = self.gossip.peers().copied().collect();
            for peer in peers {
                let hello = self.hello();
                self.send(&peer, Lane::Control, &hello);
            }
            self.describe_self();
        }
    }

    /// What others are told now: the node was full before it was started, or is full no more.
    pub(super) fn full_again_or_not(&mut self, is_full: bool) {
        match (is_full, self.upkeep.room.is_full()) {
            (true, false) => self.now_full(Some("it was full before it was started".into())),
            (false, true) => self.now_full(None),
            _ => {}
        }
    }

    /// How this node greets: with no free bytes exactly when it is full.
    pub(super) fn hello(&self) -> Message {
        let free_bytes = if self.upkeep.room.full.is_some() { 0 } else { u64::MAX };
        Message::Hello { version: env!("CARGO_PKG_VERSION").to_owned(), free_bytes }
    }

    /// For `status`: what is full here or elsewhere, and what will be soon.
    pub(super) fn room_status(&self, stats: Option<&StoreStats>, attention: &mut Attention) -> Value {
        let capacity = self.setup.config.capacity.bytes(stats);
        let limit = stats.map(|stats| self.setup.config.capacity.limit(stats));
        let used = stats.and_then(|stats| self.setup.config.capacity.used_percent(stats));
        if let Some(reason) = &self.upkeep.room.full {
            let message = format!("this node is full and takes no more copies: {reason}");
            let hint = "`nuthatch config set node.capacity SIZE` with more, free space on the disk, or `nuthatch forget NAME SNAPSHOT`";
            attention.add(Severity::Trouble, message, hint);
        } else if limit == Some(0) && capacity != Some(0) {
            let message =
                "the disk with this node's data has no space but its reserve: no copies are kept here";
            let hint = "make room on that disk, or `nuthatch run --home DIR` on a larger one";
            attention.add(Severity::Trouble, message, hint);
        } else if let Some(used) = used.filter(|used| *used >= ROOM_WARNING_PERCENT) {
            let hint = "`nuthatch config set node.capacity SIZE` with more, or make room on the disk, before this node takes no more copies";
            attention.add(Severity::Advice, nearly_full(used), hint);
        }
        if let Some(wanted) = stats.map(|stats| stats.merge_wants_bytes).filter(|wanted| *wanted > 0) {
            let message = format!(
                "the index of the store waits for {} MiB of free space to be put in order",
                (wanted >> 20) + 1
            );
            attention.add(
                Severity::Advice,
                message,
                "make room on the disk; until then look-ups take longer, and nothing else",
            );
        }
        let full = self.gossip.peers().filter(|peer| self.gossip.free_bytes(peer) == Some(0));
        for name in full.filter_map(|peer| Some(self.member.as_ref()?.name_of(peer))) {
            let message = format!("{name} is full and takes no more copies");
            let hint = "there: `nuthatch config set node.capacity SIZE` with more; or let another device join: `nuthatch invite`";
            attention.add(Severity::Trouble, message, hint);
        }
        json!({
            "capacity_bytes": capacity, "limit_bytes": limit, "used_percent": used, "full": self.upkeep.room.full,
        })
    }
}

/// What a person is told before a node is full.
fn nearly_full(used: u64) -> String {
    format!("this node is nearly full: {used}% of what it may hold is used")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_ends_at_the_capacity_or_at_the_reserve() {
        let stats = StoreStats { bytes: 400, free_bytes: 600, reserve_bytes: 100, ..StoreStats::default() };
        assert_eq!(Capacity::All.room(&stats), Ok(500));
        assert_eq!(Capacity::Bytes(450).room(&stats), Ok(50));
        assert_eq!(Capacity::Percent(50).room(&stats), Ok(100));
        assert!(Capacity::Bytes(0).room(&stats).unwrap_err().contains("capacity"));
        assert!(Capacity::Percent(40).room(&stats).unwrap_err().contains("capacity"));
        let full = StoreStats { free_bytes: 100, ..stats };
        assert!(Capacity::All.room(&full).unwrap_err().contains("disk"));
        assert_eq!(Capacity::Percent(50).bytes(None), None);
    }

    #[test]
    fn what_is_used_is_counted_against_the_smaller_bound() {
        let stats = StoreStats { bytes: 400, free_bytes: 600, reserve_bytes: 100, ..StoreStats::default() };
        assert_eq!((Capacity::All.limit(&stats), Capacity::All.used_percent(&stats)), (900, Some(44)));
        assert_eq!(
            (Capacity::Bytes(440).limit(&stats), Capacity::Bytes(440).used_percent(&stats)),
            (440, Some(90))
        );
        assert_eq!(Capacity::Bytes(5_000).limit(&stats), 900);
        assert_eq!(Capacity::Bytes(200).used_percent(&stats), Some(200), "a bound that was lowered");
        assert_eq!(Capacity::Bytes(0).used_percent(&stats), None);
    }
}
