//! Bounds of moving: giving up what placement no longer wants here.

use super::lookup::LINKS_NEEDED_MAX;
use super::peers::MESSAGE_BYTES_MAX;
use crate::base::units::Span;

/// What a node no longer need hold it keeps until so many hundredths of what it may hold are used.
pub const MOVE_USED_PERCENT: u64 = 75;
/// Whether anything is to be released, or may be dropped, is looked at so often.
pub const MOVE_LOOK_EVERY: Span = Span::from_secs(1_800);
/// After a Release others are given so long to hear of it, and holders that are not connected to be reached.
pub const MOVE_SPREAD: Span = Span::from_secs(60);
/// What a pass has left is not asked for again for so long: something of it may have come back, or was in the trash.
pub const MOVE_AGAIN: Span = Span::from_secs(7 * 86_400);
/// Snapshots of others that are pinned here: with more of them nothing moves. 64 lots, 512 KiB of ids.
pub const MOVE_SNAPSHOTS_MAX: usize = 16_384;
/// Snapshots that one question names: 8 KiB of ids.
pub const LEAVING_SNAPSHOTS_MAX: usize = 256;
/// Members that are asked in one round, all of them connected.
pub const MOVE_ASKED_MAX: usize = 64;
/// Where a node is not linked with everybody: members that a session is opened with for a round.
pub const MOVE_CALLED_MAX: usize = LINKS_NEEDED_MAX / 2;
/// Others are asked what they hold; who has not answered after this long has not confirmed,
pub const MOVE_ANSWER_TIME: Span = Span::from_secs(60);
/// and this long for each lot.
pub const MOVE_LOT_TIME: Span = Span::from_secs(5);
/// After a round for each lot of it so long passes before the next one: 150 bytes a second to each who is asked.
pub const MOVE_LOT_PAUSE: Span = Span::from_secs(60);
/// What was confirmed is to be proven and dropped within this time, or is asked for anew.
pub const MOVE_CONFIRMED_FOR: Span = Span::from_secs(6 * 3_600);
/// Chunks that are looked for to have one proven, where nothing suitable was found.
pub const MOVE_PROOF_TRIES: u8 = 8;
/// Between two of them.
pub const MOVE_PROOF_PAUSE: Span = Span::from_secs(5);
/// Questions of one peer that are answered in an hour: all that one round may ask, a few times.
pub const LEAVING_ANSWERS_MAX: u32 = 512;
/// Within this.
pub const LEAVING_WITHIN: Span = Span::from_secs(3_600);

/// Whoever removes a node that leaves looks so often whether others have what it holds.
pub const LEAVING_LOOK_EVERY: Span = Span::from_secs(10);
/// When a receipt has come, after so long: more may come.
pub const LEAVING_LOOK_PAUSE: Span = Span::from_secs(1);
/// With more than a thousand snapshots, so often.
pub const LEAVING_LOOK_SELDOM: Span = Span::from_secs(60);

const _: () = assert!(LEAVING_SNAPSHOTS_MAX * 32 + 1_024 <= MESSAGE_BYTES_MAX);
const _: () = assert!(MOVE_ANSWER_TIME.as_micros() < MOVE_LOOK_EVERY.as_micros());
const _: () = assert!(MOVE_SNAPSHOTS_MAX / LEAVING_SNAPSHOTS_MAX + 16 < LEAVING_ANSWERS_MAX as usize);
const _: () = assert!(MOVE_CALLED_MAX >= 2 && MOVE_CALLED_MAX < MOVE_ASKED_MAX);
