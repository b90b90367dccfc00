//! Whether anything may be sent, and how urgent it is. Read [`super`] first.

use super::{SendLane, SendLanes};
use crate::wire::frame::Lane;

impl SendLanes {
    /// Whether any lane has something that may be sent.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.lanes.iter().any(SendLane::is_pending)
    }

    /// Whether Control or Interactive has something that may be sent.
    #[must_use]
    pub fn is_urgent_pending(&self) -> bool {
        [Lane::Control, Lane::Interactive].iter().any(|lane| self.lanes[lane.index()].is_pending())
    }

    /// Whether background work, and nothing else, may be sent.
    #[must_use]
    pub fn is_yielding(&self) -> bool {
        self.is_pending() && !self.is_awaited_pending()
    }

    /// Whether anything but background work may be sent.
    #[must_use]
    pub fn is_awaited_pending(&self) -> bool {
        let background = Lane::Background.index();
        self.lanes.iter().enumerate().any(|(place, lane)| place != background && lane.is_pending())
    }
}
