//! Whether so much of a folder went, or turned into noise, that a person is asked before anything follows from it.
//!
//! Owns the judgement, a pure function of counts: of one scan, and of the scans of the last day together, for whatever encrypts or
//! deletes files takes its time, and a scan follows every minute. What follows from the judgement is `node/guard/guarding.rs`; what is
//! counted is `node/guard/tally.rs`.
//!
//! ```text
//!   vanished   more than a share of the files, or of their bytes, are gone and stand nowhere else in the folder
//!   noise      files that compressed or had a head became such as do not and have none, in place or under other names: they count
//!              twice; files that went while others that do not compress came, once
//! ```

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::base::limits::GUARD_HOURS_MAX;
use tally::{Amount, Tally};

pub mod guarding;
pub mod tally;

/// From when on a loss is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// More than so many of a hundred files, or bytes.
    pub share: u64,
    /// And at least so many files.
    pub files: u64,
}

/// What happened to a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// There is nothing in it.
    Emptied,
    /// Much of it is gone.
    Vanished,
    /// Much of it is made of noise, and was not.
    Noise,
}

/// A loss that is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Of which kind.
    pub what: What,
    /// How much.
    pub lost: Amount,
    /// Of how much.
    pub of: Amount,
}

/// A scan's losses, with what was moved left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Losses {
    /// What there was before.
    before: Amount,
    /// What went.
    gone: Amount,
    /// What came and is no noise.
    fresh: Amount,
    /// What turned into noise, in place or under another name.
    noise: Amount,
    /// What went while something came that does not compress.
    packed: Amount,
    /// What was noise and is not any more.
    back: Amount,
}

impl Loss {
    /// Whether this is what was asked about before: of its kind, and no more than a tenth more. (Of an empty directory that less is gone
    /// than all is no news.)
    #[must_use]
    pub fn is_within(&self, asked: &Self) -> bool {
        let is_kind = self.what == asked.what || (self.what == What::Vanished && asked.what == What::Emptied);
        let room = |amount: u64| amount.saturating_add(amount / 10);
        is_kind && self.lost.files <= room(asked.lost.files) && self.lost.bytes <= room(asked.lost.bytes)
    }
}

/// The losses of the last day.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Window {
    /// By the hour, oldest first; at most [`GUARD_HOURS_MAX`].
    hours: VecDeque<(i64, Losses)>,
}

impl Losses {
    /// What a scan has found, of a folder in which there was so much.
    #[must_use]
    pub fn of(tally: &Tally, before: Amount) -> Self {
        let sum = |of: &[Amount; 3]| of.iter().fold(Amount::default(), |sum, one| sum.plus(*one));
        let (gone, fresh) = (sum(&tally.gone), sum(&tally.fresh));
        let moved = tally.moved();
        let less = |amount: Amount, all: Amount| amount.part(all.files.saturating_sub(moved), all.files);
        let [gone_plain, gone_packed, _] = tally.gone.map(|amount| less(amount, gone));
        let [fresh_plain, fresh_packed, fresh_noise] = tally.fresh.map(|amount| less(amount, fresh));
        // Under another name: what had a shape is gone, and as much noise is new.
        let renamed = fresh_noise.least(gone_plain.plus(gone_packed));
        Self {
            before,
            gone: less(gone, gone),
            fresh: fresh_plain.plus(fresh_packed),
            noise: tally.turned.plus(renamed),
            packed: fresh_packed.least(gone_plain.minus(renamed)),
            back: tally.turned_back,
        }
    }

    /// Both together.
    fn plus(self, other: Self) -> Self {
        Self {
            before: self.before.most(other.before),
            gone: self.gone.plus(other.gone),
            fresh: self.fresh.plus(other.fresh),
            noise: self.noise.plus(other.noise),
            packed: self.packed.plus(other.packed),
            back: self.back.plus(other.back),
        }
    }

    /// What came to an earlier count of the same scan.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            before: self.before,
            gone: self.gone.minus(earlier.gone),
            fresh: self.fresh.minus(earlier.fresh),
            noise: self.noise.minus(earlier.noise),
            packed: self.packed.minus(earlier.packed),
            back: self.back.minus(earlier.back),
        }
    }

    /// Something was lost.
    #[must_use]
    pub const fn is_some(&self) -> bool {
        self.gone.files > 0 || self.noise.files > 0
    }

    /// What is asked about, if these are the losses of one scan or, `net` of what came, of many.
    fn judge(&self, limits: Limits, net: bool) -> Option<Loss> {
        let exceeds = |part: Amount| {
            let more = |part: u64, of: u64| {
                u128::from(part) * 100 > u128::from(of) * u128::from(limits.share) && of > 0
            };
            part.files >= limits.files.max(1)
                && (more(part.files, self.before.files) || more(part.bytes, self.before.bytes))
        };
        let noise = self.noise.minus(self.back);
        let gone = if net { self.gone.minus(self.fresh) } else { self.gone };
        let (what, lost) = if exceeds(noise.plus(noise).plus(self.packed)) {
            (What::Noise, noise.plus(self.packed))
        } else if exceeds(gone) {
            (What::Vanished, gone)
        } else {
            return None;
        };
        Some(Loss { what, lost: lost.least(self.before), of: self.before })
    }
}

impl Window {
    /// Adds the losses of a scan that ended in this hour.
    pub fn add(&mut self, hour: i64, losses: Losses) {
        let oldest = hour.saturating_sub(i64::try_from(GUARD_HOURS_MAX).unwrap_or(i64::MAX));
        // A clock that was set back must not keep old losses for ever.
        self.hours.retain(|(at, _)| *at > oldest && *at <= hour);
        match self.hours.back_mut() {
            Some((at, last)) if *at == hour => *last = last.plus(losses),
            _ => self.hours.push_back((hour, losses)),
        }
    }

    /// What is asked about after a scan with these losses, which were added.
    #[must_use]
    pub fn judge(&self, scan: &Losses, limits: Limits) -> Option<Loss> {
        let day = self.hours.iter().fold(Losses::default(), |sum, (_, losses)| sum.plus(*losses));
        scan.judge(limits, false).or_else(|| day.judge(limits, true))
    }

    /// Nothing was lost in it.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        !self.hours.iter().any(|(_, losses)| losses.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { share: 50, files: 20 };

    fn amount(files: u64) -> Amount {
        Amount { files, bytes: files * 1_000 }
    }

    /// What is said of one scan of a folder with 1,000 files.
    fn judged(gone: [u64; 3], fresh: [u64; 3], turned: u64) -> Option<What> {
        let tally = Tally {
            gone: gone.map(amount),
            fresh: fresh.map(amount),
            turned: amount(turned),
            ..Tally::default()
        };
        let losses = Losses::of(&tally, amount(1_000));
        let mut window = Window::default();
        window.add(7, losses);
        window.judge(&losses, LIMITS).map(|loss| loss.what)
    }

    #[test]
    fn what_people_do_is_not_asked_about() {
        assert_eq!(judged([0; 3], [0, 5_000, 0], 0), None, "photos are imported");
        assert_eq!(judged([60, 40, 0], [0; 3], 0), None, "one of ten directories is deleted");
        assert_eq!(judged([5, 0, 0], [0, 5, 0], 0), None, "some documents are converted");
        assert_eq!(judged([0; 3], [0, 0, 3_000], 0), None, "an encrypted archive is copied here");
        assert_eq!(judged([0, 0, 400], [0, 0, 400], 0), None, "noise under other names was noise before");
        assert_eq!(judged([0; 3], [0; 3], 200), None, "a fifth is encrypted");
    }

    #[test]
    fn what_empties_or_encrypts_is() {
        assert_eq!(judged([400, 200, 0], [0; 3], 0), Some(What::Vanished));
        assert_eq!(
            judged([600, 0, 0], [600, 0, 0], 0),
            Some(What::Vanished),
            "other files are there instead"
        );
        assert_eq!(judged([0; 3], [0; 3], 300), Some(What::Noise), "in place");
        assert_eq!(judged([200, 100, 0], [0, 0, 300], 0), Some(What::Noise), "under other names");
        assert_eq!(judged([600, 0, 0], [0, 600, 0], 0), Some(What::Noise), "in archives");
    }

    #[test]
    fn an_answer_covers_what_was_asked_and_little_more() {
        let loss = |what, files| Loss { what, lost: amount(files), of: amount(1_000) };
        let asked = loss(What::Vanished, 600);
        assert!(loss(What::Vanished, 660).is_within(&asked) && loss(What::Vanished, 5).is_within(&asked));
        assert!(!loss(What::Vanished, 661).is_within(&asked) && !loss(What::Noise, 5).is_within(&asked));
        assert!(loss(What::Vanished, 1_000).is_within(&loss(What::Emptied, 1_000)));
        let large = Loss { lost: Amount { files: 600, bytes: 700_000 }, ..asked };
        assert!(!large.is_within(&asked), "more bytes");
    }

    #[test]
    fn few_files_are_no_mass_and_few_large_ones_are_by_their_bytes() {
        let losses = |files, bytes| {
            let tally = Tally {
                gone: [Amount { files, bytes }, Amount::default(), Amount::default()],
                ..Tally::default()
            };
            Losses::of(&tally, Amount { files: 1_000, bytes: 1_000_000 }).judge(LIMITS, false)
        };
        assert_eq!(losses(19, 999_999), None);
        let loss = losses(20, 600_000).unwrap();
        assert_eq!((loss.lost.files, loss.of.files), (20, 1_000));
    }

    #[test]
    fn losses_of_a_day_add_up_and_what_came_instead_does_not_count() {
        let (mut window, mut other, mut noise) = (Window::default(), Window::default(), Window::default());
        let mut asked = [None; 3];
        for scan in 0..10 {
            let mut tally =
                Tally { gone: [amount(60), Amount::default(), Amount::default()], ..Tally::default() };
            let losses = Losses::of(&tally, amount(1_000 - scan * 60));
            window.add(5, losses);
            tally.fresh = [amount(60), Amount::default(), Amount::default()];
            let churn = Losses::of(&tally, amount(1_000));
            other.add(5, churn);
            let turned = Losses::of(&Tally { turned: amount(30), ..Tally::default() }, amount(1_000));
            noise.add(5 + i64::try_from(scan).unwrap(), turned);
            let judged =
                [window.judge(&losses, LIMITS), other.judge(&churn, LIMITS), noise.judge(&turned, LIMITS)];
            for (first, now) in asked.iter_mut().zip(judged) {
                *first = first.or(now.map(|loss| (scan, loss.what)));
            }
        }
        assert_eq!(asked, [Some((8, What::Vanished)), None, Some((8, What::Noise))]);
        window.add(5 + 24, Losses::default());
        assert!(window.is_quiet(), "a day later it is forgotten");
        noise.add(3, Losses::default());
        assert!(noise.is_quiet(), "a clock that was set back remembers nothing of the future");
    }
}
