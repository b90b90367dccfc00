//! Bounds of how long a silent holder is waited for.

use super::lookup::LINKS_NEEDED_MAX;
use crate::base::units::Span;

/// A holder that was not heard of for so long is planned around, as long as this node has not watched it for
/// [`ABSENCE_LEARNT_AFTER`]: longer than a night or a power cut, shorter than two disks take to fail.
pub const ABSENCE_DEFAULT: Span = Span::from_secs(24 * 3_600);
/// ... and never before this: to copy everything that a device holds is more work than to wait for half a day.
pub const ABSENCE_FLOOR: Span = Span::from_secs(12 * 3_600);
/// ... and after this in any case, however long its absences usually are: what it holds has one copy less all that time.
pub const ABSENCE_CEILING: Span = Span::from_secs(7 * 86_400);
/// So many times a usual absence is longer than usual.
pub const ABSENCE_TIMES: u64 = 2;
/// A node goes by what it has seen of a holder alone when it has watched it for so long.
pub const ABSENCE_LEARNT_AFTER: Span = Span::from_secs(14 * 86_400);
/// Absences older than this are forgotten, in time listened.
pub const ABSENCE_WINDOW: Span = Span::from_secs(45 * 86_400);
/// Absences shorter than this change nothing, and are not remembered.
pub const ABSENCE_SHORT: Span = Span::from_secs(6 * 3_600);
/// Absences that are remembered of one member, the longest: 100 bytes of it at the most.
pub const ABSENCES_MAX: usize = 8;
/// A silence that has grown by so much is saved when something else is written (in large vaults, by more).
pub const ABSENCE_SAVE_STEP: Span = Span::from_secs(3_600);
/// ... and by itself so often, as long as somebody is silent.
pub const ABSENCE_SAVE_EVERY: Span = Span::from_secs(86_400);
/// Who is silent is looked at so often.
pub const ABSENCE_LOOK_EVERY: Span = Span::from_secs(600);
/// Where this node is linked with some members only: others that seem silent and are tried in one turn,
pub const ABSENCE_PROBES_MAX: usize = LINKS_NEEDED_MAX / 2;
/// and when the next turn is.
pub const ABSENCE_PROBE_EVERY: Span = Span::from_secs(120);
/// ... who was tried is not tried again before this.
pub const ABSENCE_PROBE_AGAIN: Span = Span::from_secs(3_600);
/// Members that one sentence of `status` names.
pub const ABSENCE_NAMES_MAX: usize = 5;

const _: () = assert!(ABSENCE_FLOOR.as_micros() <= ABSENCE_DEFAULT.as_micros());
const _: () = assert!(ABSENCE_DEFAULT.as_micros() <= ABSENCE_CEILING.as_micros());
const _: () = assert!(ABSENCE_SHORT.as_micros() * ABSENCE_TIMES <= ABSENCE_FLOOR.as_micros());
const _: () = assert!(
    ABSENCE_CEILING.as_micros() * 2 <= ABSENCE_WINDOW.as_micros(),
    "two of the longest are remembered"
);
