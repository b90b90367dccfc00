//! Bounds of what nodes tell people: notes, hooks and alerts.

use super::SEALED_TEXT_BYTES_MAX;
use crate::base::units::Span;

/// Longest note, in bytes: a page of text. What is longer is a file.
pub const NOTE_BYTES_MAX: usize = 2_000;
/// Notes that are kept at hand, the newest of the vault; all of them stand in the feeds. At the longest that is 260 kB.
pub const NOTES_MAX: usize = 128;

const _: () = assert!(NOTE_BYTES_MAX + 512 < SEALED_TEXT_BYTES_MAX);

/// Events of one kind about one thing run hooks and raise alerts at most this often; those between are one, with their number.
pub const EVENT_PAUSE: Span = Span::from_secs(60);
/// Kinds and things of which that is remembered; beyond, events go out as they happen, which the queues bound.
pub const EVENT_THINGS_MAX: usize = 256;
/// Events that wait for their hooks; of more the oldest are left out, and that is said.
pub const HOOKS_WAITING_MAX: usize = 64;
/// A hook that runs longer is killed, and what it has started with it.
pub const HOOK_TIME_MAX: Span = Span::from_secs(60);
/// How often a hook may be asked whether the node may work by itself.
pub const PERMIT_EVERY_MIN: Span = Span::from_secs(60);
/// See [`PERMIT_EVERY_MIN`].
pub const PERMIT_EVERY_MAX: Span = Span::from_secs(86_400);
/// What of a hook's standard error is noted, in bytes: its first line.
pub const HOOK_LINE_BYTES_MAX: usize = 200;
/// Reads, of a kilobyte each, of what a hook says before its time limit is looked at again.
pub const HOOK_READS_PER_TURN: usize = 64;
/// Alerts that wait to be delivered; of more the oldest are left out, and that is said.
pub const ALERTS_WAITING_MAX: usize = 32;
/// Attempts to deliver an alert: with the pauses below about half an hour, so that a router may be started anew meanwhile.
pub const ALERT_ATTEMPTS_MAX: u32 = 10;
/// The pause after the first attempt that failed; it doubles.
pub const ALERT_PAUSE_MIN: Span = Span::from_secs(5);
/// The longest.
pub const ALERT_PAUSE_MAX: Span = Span::from_secs(600);
/// An attempt is given up after this long: name, connection and answer together.
pub const ALERT_TIME_MAX: Span = Span::from_secs(20);
/// Longest address of `alerts.url`, in bytes.
pub const ALERT_URL_BYTES_MAX: usize = 1_000;
/// Addresses of one name that are tried.
pub const ALERT_ADDRESSES_MAX: usize = 4;
/// One address that does not answer is given up after this: the next one may.
pub const ALERT_CONNECT_TIME_MAX: Span = Span::from_secs(4);

/// Charts have steps of this length for a day,
pub const CHART_DAY_STEP: Span = Span::from_secs(300);
/// ... so many of them,
pub const CHART_DAY_STEPS: usize = 288;
/// and of this length for a month,
pub const CHART_MONTH_STEP: Span = Span::from_secs(7_200);
/// ... so many: 31 days. Both together are 30 kB in memory.
pub const CHART_MONTH_STEPS: usize = 372;
/// A clock that differs by so much from the time that has passed has jumped, or the node was asleep.
pub const CHART_JUMP_MIN: Span = Span::from_secs(150);
/// Charts are saved at most so often (some kB), when something else is written,
pub const CHART_SAVE_EVERY: Span = Span::from_secs(3_600);
/// ... or so many bytes have gone through the node since.
pub const CHART_UNSAVED_MAX: u64 = 64 * 1024 * 1024;

const _: () = assert!(CHART_DAY_STEP.as_micros() / 2 == CHART_JUMP_MIN.as_micros());
