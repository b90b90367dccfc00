//! Holding still: `pause` and `resume`.
//!
//! A node that is paused begins nothing by itself. It scans no folder, fetches no copies for others, offers nothing, checks and
//! tidies nothing up; a scan or a share that was under way stands where it is. It stays connected, so that feeds and signs of
//! life go on, and what others ask of it is answered at a trickle (64 kbit/s), lest a pause make it look lost or hold them up.
//! What a person asks for meanwhile - a backup, a restore - is done, and at full speed. A pause is written down and outlives
//! a restart; one with an end is over when either clock says so. It is no way to end backups: after a day or two the
//! other devices call this one silent, as they should.
//!
//! With `hooks.permit` an executable of the owner is asked now and then whether the node may work by itself (on battery? on a
//! metered line?): while it says no, the node holds still as well. One that is not there, or cannot answer, holds nothing up.

use std::collections::BTreeMap;

use super::activity::Level;
use super::after::AfterSave;
use super::api::ApiError;
use super::core::{Core, Duty};
use super::events::hooks::HookEnd;
use super::events::{Event, Kind};
use super::folders::Folders;
use super::ports::CallId;
use super::status::attention::{Attention, Severity};
use crate::base::ids::FolderId;
use crate::base::limits::{BANDWIDTH_RATE_MIN, PAUSE_MAX};
use crate::base::units::{Span, Time, WallTime};
use serde_json::{json, Value};

/// Whether and until when a node holds still.
#[derive(Debug, Default)]
pub struct Pausing {
    /// The pause, if there is one.
    pause: Option<Pause>,
    /// What the hook says.
    permit: Permit,
    /// Transfers are held down because of either.
    trickles: bool,
}

/// What the hook `permit` says.
#[derive(Debug, Default)]
struct Permit {
    /// When it is asked next.
    due: Option<Time>,
    /// It says no: why.
    denied: Option<String>,
    /// It did not answer: why.
    failed: Option<String>,
}

/// A pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pause {
    /// Its end as this run measures it; None: when a person ends it.
    until: Option<Time>,
    /// Its end by the clock on the wall.
    wall: Option<WallTime>,
}

impl Pausing {
    /// Whether this node holds still.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.pause.is_some() || self.permit.denied.is_some()
    }

    /// What transfers are held down to, in bytes a second.
    pub(super) const fn rate(&self) -> Option<u64> {
        if self.trickles {
            Some(BANDWIDTH_RATE_MIN)
        } else {
            None
        }
    }

    /// When the pause is over, or the hook is to be asked.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.pause.and_then(|pause| pause.until).into_iter().chain(self.permit.due).min()
    }

    /// What is remembered: microseconds since 1970, or that it has no end.
    fn setting(&self) -> (String, Option<Vec<u8>>) {
        let end = self.pause.map(|pause| pause.wall.map_or(i64::MAX, WallTime::as_micros));
        (PAUSE_KEY.to_owned(), end.map(|end| end.to_le_bytes().to_vec()))
    }

    /// What was remembered. A clock that has jumped makes no pause longer than one may be.
    fn load(settings: &BTreeMap<String, Vec<u8>>, now: Time, wall: WallTime) -> Option<Pause> {
        let end = i64::from_le_bytes(settings.get(PAUSE_KEY)?.as_slice().try_into().ok()?);
        if end == i64::MAX {
            return Some(Pause { until: None, wall: None });
        }
        let left = u64::try_from(end.saturating_sub(wall.as_micros())).ok().filter(|left| *left > 0)?;
        let until = Some(now + Span::from_micros(left).min(PAUSE_MAX));
        Some(Pause { until, wall: Some(WallTime::from_micros(end)) })
    }

    /// The summary of a node that may be paused.
    pub(super) fn summary(&self, summary: String) -> String {
        match self.pause {
            None => match &self.permit.denied {
                Some(why) => format!("Holding still ({why}). {summary}"),
                None => summary,
            },
            Some(Pause { wall: None, .. }) => format!("Paused. {summary}"),
            Some(Pause { wall: Some(wall), .. }) => format!("Paused until {wall}. {summary}"),
        }
    }
}

impl Folders {
    /// Whether a person waits for a scan of this folder.
    fn is_asked_for(&self, folder: &FolderId) -> bool {
        self.local.get(folder).is_some_and(|local| {
            let calls = [&local.waiters, &local.later].into_iter().any(|calls| !calls.is_empty());
            calls || [&local.edits, &local.editing].into_iter().any(|edits| !edits.is_empty())
        })
    }
}

impl Core {
    /// The state is loaded.
    pub(super) fn pausing_begins(&mut self, settings: &BTreeMap<String, Vec<u8>>) {
        self.pausing.pause = Pausing::load(settings, self.now.time, self.now.wall);
        if self.pausing.is_on() {
            self.note(
                Level::Warn,
                "pause",
                "this node is paused, as it was before; `nuthatch resume` ends that",
            );
        }
    }

    /// `pause`.
    pub(super) fn call_pause(&mut self, call: CallId, span: Option<Span>) {
        if span.is_some_and(|span| span > PAUSE_MAX || span == Span::ZERO) {
            let hint = "give at most 30d, or no time at all and `nuthatch resume` later";
            return self.end_call(call, Err(ApiError::new("bad_time", "a pause cannot be that long", hint)));
        }
        let micros = span.map(|span| i64::try_from(span.as_micros()).unwrap_or(i64::MAX));
        let wall =
            micros.map(|micros| WallTime::from_micros(self.now.wall.as_micros().saturating_add(micros)));
        self.pausing.pause = Some(Pause { until: span.map(|span| self.now.time + span), wall });
        let until = wall.map(|wall| wall.to_string());
        let end = until.as_ref().map_or_else(String::new, |until| format!(" until {until}"));
        self.note(Level::Info, "pause", format!("this node is paused{end}"));
        self.save(
            vec![self.pausing.setting()],
            AfterSave::Done { call, value: json!({"paused": true, "until": until}) },
        );
    }

    /// `resume`.
    pub(super) fn call_resume(&mut self, call: CallId) {
        let was_paused = self.pausing.pause.take().is_some();
        if was_paused {
            self.note(Level::Info, "pause", "this node goes on");
        }
        let value = json!({"paused": false, "was_paused": was_paused});
        self.save(vec![self.pausing.setting()], AfterSave::Done { call, value });
    }

    /// Ends a pause whose time is over; holds transfers down or lets them go.
    pub(super) fn pausing_timeout(&mut self) {
        let now = self.now;
        match self.setup.config.hooks_permit {
            // Also when it is to be asked more often than before.
            Some(every)
                if self.pausing.permit.due.is_none_or(|due| due <= now.time || due > now.time + every) =>
            {
                self.pausing.permit.due = Some(now.time + every);
                self.ask_permit();
            }
            Some(_) => {}
            None => self.pausing.permit = Permit::default(),
        }
        let is_over = self.pausing.pause.is_some_and(|pause| {
            pause.until.is_some_and(|until| until <= now.time)
                || pause.wall.is_some_and(|wall| wall <= now.wall)
        });
        if is_over {
            self.pausing.pause = None;
            self.note(Level::Info, "pause", "the pause is over, this node goes on");
            self.save(vec![self.pausing.setting()], AfterSave::Nothing);
        }
        let trickles = self.pausing.is_on() && !self.is_asked_for_anything();
        if trickles != self.pausing.trickles {
            self.pausing.trickles = trickles;
            self.throttle();
        }
    }

    /// The hook `permit` has ended.
    pub(super) fn permit_answered(&mut self, end: HookEnd) {
        if self.setup.config.hooks_permit.is_none() {
            return;
        }
        let was_denied = self.pausing.permit.denied.is_some();
        let (denied, failed) = match end {
            HookEnd::Ended { code: 0, .. } => (None, None),
            HookEnd::Ended { code, line } if line.is_empty() => (Some(format!("exit code {code}")), None),
            HookEnd::Ended { line, .. } => (Some(line), None),
            HookEnd::Absent => (None, Some("is not there".to_owned())),
            HookEnd::Refused(why) => (None, Some(format!("was not run: {why}"))),
            HookEnd::Killed { reason, .. } => (None, Some(format!("was ended {reason}"))),
        };
        match &denied {
            Some(why) if !was_denied => {
                self.note(
                    Level::Info,
                    "pause",
                    format!("the hook permit says no ({why}): this node holds still"),
                );
            }
            None if was_denied => {
                self.note(Level::Info, "pause", "this node goes on: the hook permit no longer says no")
            }
            _ => {}
        }
        if let Some(why) = failed.as_ref().filter(|why| self.pausing.permit.failed.as_ref() != Some(why)) {
            let message = format!("the hook permit {why}; this node works as if it said yes");
            self.raise(Event::new(Kind::HookFailed, Level::Warn, "hook", message).about("permit"));
        }
        (self.pausing.permit.denied, self.pausing.permit.failed) = (denied, failed);
    }

    /// Whether a duty stands still because of a pause.
    pub(super) fn stands_still(&self, duty: &Duty) -> bool {
        self.pausing.is_on()
            && match duty {
                Duty::Backup(_, folder) | Duty::Merge(_, folder) => !self.folders.is_asked_for(folder),
                Duty::Keep(_) | Duty::Collect(_) | Duty::Verify(_, None) => true,
                Duty::Upload(..) | Duty::Restore(..) | Duty::List(..) | Duty::Verify(..) => false,
            }
    }

    /// Whether a person waits for something that may need other devices.
    fn is_asked_for_anything(&self) -> bool {
        let asked =
            |duty: &Duty| matches!(duty, Duty::Restore(..) | Duty::List(..) | Duty::Verify(_, Some(_)));
        self.duties.values().any(asked)
            || self.folders.local.keys().any(|folder| self.folders.is_asked_for(folder))
            || self.calls.is_waiting_for_copies()
    }

    /// For `status`.
    pub(super) fn pausing_status(&self, attention: &mut Attention) -> Value {
        if let Some(why) = &self.pausing.permit.denied {
            let message = format!("this node holds still, for the hook permit says no: {why}");
            let hint = "nothing is backed up or copied by itself until it says yes; `nuthatch config set hooks.permit off` asks it no more";
            attention.add(Severity::Trouble, message, hint);
        }
        if let Some(why) = &self.pausing.permit.failed {
            let hint = "correct it, or `nuthatch config set hooks.permit off`; docs/GUIDE.md has an example";
            attention.add(Severity::Advice, format!("the hook permit cannot be asked: it {why}"), hint);
        }
        let Some(pause) = self.pausing.pause else { return Value::Null };
        let until = pause.wall.map(|wall| wall.to_string());
        let end = until.as_ref().map_or_else(String::new, |until| format!(" until {until}"));
        let message = format!("this node is paused{end}: nothing is backed up or copied by itself");
        attention.add(Severity::Trouble, message, "`nuthatch resume` ends that");
        json!({"until": until})
    }
}

/// The setting that remembers a pause.
const PAUSE_KEY: &str = "paused";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_outlives_a_restart_and_no_clock_makes_it_endless() {
        let (now, wall) = (Time::from_micros(5_000_000), WallTime::from_micros(1_800_000_000_000_000));
        let hours = |count: u64| Span::from_secs(3_600).times(count);
        let later = |hours: i64| WallTime::from_micros(wall.as_micros() + hours * 3_600_000_000);
        let remembered = |pause| {
            let (key, bytes) = Pausing { pause, ..Pausing::default() }.setting();
            bytes.map(|bytes| BTreeMap::from([(key, bytes)])).unwrap_or_default()
        };
        let endless = Pause { until: None, wall: None };
        assert_eq!(Pausing::load(&remembered(Some(endless)), now, wall), Some(endless));
        assert_eq!(Pausing::load(&remembered(None), now, wall), None);
        let two = remembered(Some(Pause { until: Some(now + hours(2)), wall: Some(later(2)) }));
        let loaded = Pausing::load(&two, now, later(1)).expect("an hour is left");
        assert_eq!(loaded.until, Some(now + hours(1)));
        assert_eq!(Pausing::load(&two, now, later(3)), None);
        let back = Pausing::load(&two, now, WallTime::from_micros(0)).expect("a clock in 1970");
        assert_eq!(back.until, Some(now + PAUSE_MAX));
    }
}
