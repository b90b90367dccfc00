//! What the service manager hears while the node runs: that it serves, how things are in one sentence, and that it lives.
//!
//! ```text
//!   the loop turns --> look --> did the threads turn since the last look? --> a sign of life, or none
//!                  \-> tell --> the machine's sentence, as soon as it has one: ready; then whenever it has changed
//! ```
//!
//! Pure: time, pulses and the sentence come in, what is to be told goes out; `drive.rs` asks in every turn, so that a loop that does not
//! turn tells nothing. A thread that waits for work is well however long that takes; one that stands in the midst of something must have
//! come further between two looks. Of these there are [`WATCHDOG_LOOKS`] in the time after which the service manager gives a node up, which is
//! therefore what a single call to the disk may take.
//!
//! The file thread has more patience ([`FILE_STALL_MAX`]): a network disk that is away holds it up for as long as it is away. A restart would only
//! hang there again, and take away from others what this node does for them meanwhile.

use crate::base::limits::{FILE_STALL_MAX, STATUS_EVERY, WATCHDOG_LOOKS};
use crate::base::units::{Span, Time};

/// The state of what was told.
#[derive(Debug)]
pub(super) struct Vigil {
    /// There is a service manager.
    is_heard: bool,
    /// Between two looks at the threads.
    every: Span,
    /// When the next one is due; None: nobody wants signs of life.
    next_look: Option<Time>,
    /// When the sentence is due again.
    next_sentence: Time,
    /// The sentence that was told last; None: it was not told yet that the node serves.
    told: Option<String>,
    /// The threads that are watched.
    threads: [Watched; 2],
}

/// A thread that is watched.
#[derive(Debug)]
struct Watched {
    /// What does not answer when this does not.
    what: &'static str,
    /// For so long it may stand still.
    patience: Span,
    /// Its pulse at the last look.
    pulse: u32,
    /// When it was last seen to turn.
    turned: Time,
    /// It stood still at the last look.
    stands: bool,
}

/// What is to be told of the node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Telling {
    /// For the first time: it serves.
    pub(super) is_first: bool,
    /// How things are.
    pub(super) sentence: String,
}

impl Vigil {
    /// From now on; `watchdog` is the time after which the service manager gives a node up that tells nothing.
    pub(super) fn new(now: Time, is_heard: bool, watchdog: Option<Span>) -> Self {
        let every = watchdog.map(|time| time.part(WATCHDOG_LOOKS));
        let watched = |what, patience| Watched { what, patience, pulse: 0, turned: now, stands: false };
        Self {
            is_heard,
            every: every.unwrap_or(STATUS_EVERY),
            next_look: every.map(|_| now),
            next_sentence: now,
            told: None,
            threads: [
                watched("the disk with the node's data", Span::ZERO),
                watched("a disk with folders", FILE_STALL_MAX),
            ],
        }
    }

    /// When [`Vigil::look`] is due.
    pub(super) const fn deadline(&self) -> Option<Time> {
        self.next_look
    }

    /// Looks at the pulses of the storage and the file thread, if that is due; whether a sign of life is to be given.
    pub(super) fn look(&mut self, now: Time, pulses: [u32; 2]) -> bool {
        if self.next_look.is_none_or(|due| now < due) {
            return false;
        }
        self.next_look = Some(now + self.every);
        for (watched, pulse) in self.threads.iter_mut().zip(pulses) {
            let stands = pulse % 2 == 1 && pulse == watched.pulse;
            if !stands {
                watched.turned = now;
            } else if !watched.stands {
                log::error!("{} does not answer", watched.what);
            }
            (watched.pulse, watched.stands) = (pulse, stands);
        }
        self.threads.iter().all(|watched| now.since(watched.turned) <= watched.patience)
    }

    /// What is to be told, if there is news; `sentence` says how things are.
    pub(super) fn tell(&mut self, now: Time, sentence: impl FnOnce() -> Option<String>) -> Option<Telling> {
        let is_first = self.told.is_none();
        if !self.is_heard || !is_first && now < self.next_sentence {
            return None;
        }
        let mut sentence = sentence()?;
        self.next_sentence = now + STATUS_EVERY.min(self.every);
        if let Some(watched) = self.threads.iter().find(|watched| watched.stands) {
            let seconds = now.since(watched.turned).as_micros() / 1_000_000;
            sentence = format!("For {seconds} s {} has not answered. {sentence}", watched.what);
        }
        if self.told.as_ref() == Some(&sentence) {
            return None;
        }
        self.told = Some(sentence.clone());
        Some(Telling { is_first, sentence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quarter of what the vigils here are watched with.
    const LOOK: Span = Span::from_secs(45);

    /// A vigil that somebody listens to, and its beginning.
    fn vigil() -> (Vigil, Time) {
        let now = Time::from_micros(5_000_000);
        (Vigil::new(now, true, Some(LOOK.times(WATCHDOG_LOOKS))), now)
    }

    #[test]
    fn threads_that_wait_or_work_are_alive_however_long() {
        let (mut vigil, mut now) = vigil();
        assert!(vigil.look(now, [0, 0]), "at once");
        assert_eq!(vigil.deadline(), Some(now + LOOK));
        assert!(!vigil.look(now, [0, 0]), "and then not before it is due");
        for turn in 0..100 {
            now = now + LOOK;
            // One works on and on, one waits for work.
            assert!(vigil.look(now, [2 * turn + 1, 0]));
        }
    }

    #[test]
    fn a_stalled_storage_thread_ends_the_signs_of_life_and_its_return_begins_them_again() {
        let (mut vigil, now) = vigil();
        assert!(vigil.look(now, [3, 0]));
        assert!(!vigil.look(now + LOOK, [3, 0]));
        assert!(!vigil.look(now + LOOK.times(2), [3, 0]));
        let told = vigil.tell(now + LOOK.times(2), || Some("All is well.".into())).unwrap();
        assert_eq!(told.sentence, "For 90 s the disk with the node's data has not answered. All is well.");
        assert!(vigil.look(now + LOOK.times(3), [4, 0]));
        let told = vigil.tell(now + LOOK.times(3), || Some("All is well.".into())).unwrap();
        assert_eq!(told.sentence, "All is well.");
    }

    /// A network disk that was away for a night had the node restarted every three minutes.
    #[test]
    fn a_stalled_folder_is_told_and_waited_for_much_longer() {
        let (mut vigil, begun) = vigil();
        let mut now = begun;
        while now.since(begun) <= FILE_STALL_MAX {
            assert!(vigil.look(now, [0, 7]));
            now = now + LOOK;
        }
        assert!(!vigil.look(now, [0, 7]));
        let told = vigil.tell(now, || Some("All is well.".into())).unwrap();
        assert!(told.sentence.contains("a disk with folders has not answered"), "{}", told.sentence);
    }

    #[test]
    fn a_node_is_ready_when_it_can_say_how_things_are_and_tells_only_news() {
        let (mut vigil, now) = vigil();
        assert_eq!(vigil.tell(now, || None), None);
        let telling = |is_first, sentence: &str| Some(Telling { is_first, sentence: sentence.to_owned() });
        assert_eq!(vigil.tell(now, || Some("Fine.".into())), telling(true, "Fine."));
        assert_eq!(vigil.tell(now, || panic!("it is asked too often")), None);
        let later = now + STATUS_EVERY;
        assert_eq!(vigil.tell(later, || Some("Fine.".into())), None);
        assert_eq!(vigil.tell(later + STATUS_EVERY, || Some("Bad.".into())), telling(false, "Bad."));
    }

    #[test]
    fn without_a_service_manager_nothing_is_asked_or_told() {
        let mut vigil = Vigil::new(Time::ZERO, false, None);
        assert_eq!(vigil.tell(Time::ZERO, || panic!("nobody listens")), None);
        assert!(!vigil.look(Time::from_micros(u64::MAX), [1, 1]) && vigil.deadline().is_none());
    }
}
