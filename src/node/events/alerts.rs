//! Alerts: what a person should look at, or what puts data at risk, is posted to an address: a webhook's, or an ntfy topic's.
//!
//! One goes at a time; a bounded number waits. An attempt that may be repeated is, with pauses that double, a bounded number of
//! times; what is not delivered in the end is told by an event that is no alert itself.

use std::collections::VecDeque;

use base64::engine::general_purpose::STANDARD as BASE64;
use base64::Engine as _;

use super::address::Address;
use super::gate::Leaving;
use super::{Event, Kind};
use crate::base::limits::{ALERTS_WAITING_MAX, ALERT_ATTEMPTS_MAX, ALERT_PAUSE_MAX, ALERT_PAUSE_MIN};
use crate::base::units::Time;
use crate::node::activity::Level;
use crate::node::ports::CallId;

/// How an alert is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One JSON object, the same that hooks get.
    #[default]
    Json,
    /// A text with headers, as ntfy takes it.
    Ntfy,
}

/// A request that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// To whom.
    pub to: Address,
    /// Names and values; none has a control character.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent.
    pub body: Vec<u8>,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostEnd {
    /// An answer that says that it was taken.
    Taken,
    /// It was not, and trying again may help.
    Failed(String),
    /// It was refused, and would be again.
    Refused(String),
}

/// An alert on its way.
#[derive(Debug, Clone)]
pub(super) struct Alert {
    /// What happened.
    pub(super) leaving: Leaving,
    /// As hooks get it.
    pub(super) body: String,
    /// The name of this device.
    pub(super) device: String,
    /// Who wants to know what comes of it; it is tried once.
    pub(super) call: Option<CallId>,
    /// Attempts so far.
    attempts: u32,
}

/// What is to be told of an attempt.
#[derive(Debug)]
pub(super) struct Verdict {
    /// For the activity log: it is given up.
    pub(super) event: Option<Event>,
    /// For a call that waits: which, and what went wrong.
    pub(super) call: Option<(CallId, Option<String>)>,
}

/// Alerts that wait.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    /// Oldest first.
    waiting: VecDeque<Alert>,
    /// The first is being posted.
    posting: bool,
    /// Not before then is it tried again.
    not_before: Option<Time>,
    /// Alerts that were left out since that was last said.
    left_out: u64,
}

impl Alert {
    /// An alert that was not tried yet.
    pub(super) const fn new(leaving: Leaving, body: String, device: String, call: Option<CallId>) -> Self {
        Self { leaving, body, device, call, attempts: 0 }
    }

    /// The request.
    fn post(&self, to: &Address, format: Format) -> Post {
        let (headers, body) = match format {
            Format::Json => {
                (vec![("content-type", "application/json".to_owned())], format!("{}\n", self.body))
            }
            Format::Ntfy => self.ntfy(),
        };
        Post { to: to.clone(), headers, body: body.into_bytes() }
    }

    /// Headers and text for ntfy.
    fn ntfy(&self) -> (Vec<(&'static str, String)>, String) {
        let Leaving { event, times, .. } = &self.leaving;
        let (priority, tag) = match event.level {
            Level::Error => ("high", "rotating_light"),
            Level::Warn => ("default", "warning"),
            Level::Info => ("low", "information_source"),
        };
        let headers = vec![
            ("content-type", "text/plain; charset=utf-8".to_owned()),
            ("title", header(&format!("nuthatch on {}", self.device))),
            ("priority", priority.to_owned()),
            ("tags", format!("{tag},{}", event.kind.word())),
        ];
        let text: String =
            event.message.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
        (headers, if *times > 1 { format!("{text} ({times} times)") } else { text })
    }
}

impl Alerts {
    /// Something happened that a person should know.
    pub(super) fn push(&mut self, alert: Alert) {
        if self.waiting.len() >= ALERTS_WAITING_MAX {
            // The first may be on its way.
            self.waiting.remove(1);
            self.left_out += 1;
        }
        match alert.call {
            // Who waits for a test should not wait for all that could not be delivered before.
            Some(_) if !self.posting => {
                self.waiting.push_front(alert);
                self.not_before = None;
            }
            _ => self.waiting.push_back(alert),
        }
    }

    /// The next request, if none is on its way and it is time.
    pub(super) fn next(&mut self, now: Time, to: &Address, format: Format) -> Option<Post> {
        if self.posting || self.not_before.is_some_and(|due| due > now) {
            return None;
        }
        let first = self.waiting.front()?;
        self.posting = true;
        self.not_before = None;
        Some(first.post(to, format))
    }

    /// Nobody is told any more.
    pub(super) fn forget(&mut self) -> Vec<CallId> {
        let keep = usize::from(self.posting);
        self.not_before = None;
        self.waiting.drain(keep.min(self.waiting.len())..).filter_map(|alert| alert.call).collect()
    }

    /// The attempt has ended.
    pub(super) fn ended(&mut self, now: Time, end: PostEnd) -> Option<Verdict> {
        if !std::mem::take(&mut self.posting) {
            return None;
        }
        let first = self.waiting.front_mut()?;
        first.attempts += 1;
        let (why, is_last) = match end {
            PostEnd::Taken => {
                let call = first.call.map(|call| (call, None));
                self.waiting.pop_front();
                return Some(Verdict { event: None, call });
            }
            PostEnd::Failed(why) => (why, first.call.is_some() || first.attempts >= ALERT_ATTEMPTS_MAX),
            PostEnd::Refused(why) => (why, true),
        };
        if !is_last {
            let pause = ALERT_PAUSE_MIN.times(1 << (first.attempts - 1).min(16)).min(ALERT_PAUSE_MAX);
            self.not_before = Some(now + pause);
            return Some(Verdict { event: None, call: None });
        }
        let Alert { leaving, call, .. } = self.waiting.pop_front()?;
        let message = format!("an alert was not delivered ({why}): {}", leaving.event.message);
        let event = Event::new(Kind::AlertFailed, Level::Warn, "alert", message);
        Some(Verdict { event: Some(event), call: call.map(|call| (call, Some(why))) })
    }

    /// Alerts that were left out, once.
    pub(super) fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }

    /// When to try again.
    pub(super) const fn deadline(&self) -> Option<Time> {
        self.not_before
    }

    /// Whether anything still waits for this call.
    pub(super) fn is_for(&self, call: CallId) -> bool {
        self.waiting.iter().any(|alert| alert.call == Some(call))
    }
}

/// A text as a header's value: as it is if it is plain, else as RFC 2047 (section 2) encodes it.
fn header(text: &str) -> String {
    if text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        text.to_owned()
    } else {
        format!("=?UTF-8?B?{}?=", BASE64.encode(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::{Span, WallTime};

    /// An alert with this text.
    fn alert(text: &str, call: Option<u64>) -> Alert {
        let event = Event::new(Kind::Damaged, Level::Error, "store", text);
        let leaving = Leaving { wall: WallTime::default(), event, times: 3 };
        Alert::new(leaving, "{}".into(), "b\u{f6}x".into(), call.map(CallId))
    }

    /// Where alerts go.
    fn to() -> Address {
        Address::read("http://host/topic").unwrap()
    }

    #[test]
    fn an_alert_is_tried_again_with_growing_pauses_and_given_up_in_the_end() {
        let mut alerts = Alerts::default();
        alerts.push(alert("rot", None));
        let (mut now, mut pauses) = (Time::ZERO, Vec::new());
        let verdict = loop {
            assert!(alerts.next(now, &to(), Format::Json).is_some());
            assert!(alerts.next(now, &to(), Format::Json).is_none(), "one at a time");
            let verdict = alerts.ended(now, PostEnd::Failed("nobody answers".into())).unwrap();
            let Some(due) = alerts.deadline() else { break verdict };
            assert!(alerts.next(now, &to(), Format::Json).is_none(), "not before its time");
            pauses.push(due.since(now));
            now = due;
        };
        assert_eq!(pauses.len() + 1, usize::try_from(ALERT_ATTEMPTS_MAX).unwrap());
        assert_eq!((pauses[0], pauses.last().copied()), (ALERT_PAUSE_MIN, Some(ALERT_PAUSE_MAX)));
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]));
        let event = verdict.event.unwrap();
        assert_eq!(event.kind, Kind::AlertFailed);
        assert!(
            event.message.contains("nobody answers") && event.message.contains("rot"),
            "{}",
            event.message
        );
        assert!(alerts.waiting.is_empty());
    }

    #[test]
    fn what_is_refused_is_not_tried_again_and_a_test_is_tried_once() {
        let mut alerts = Alerts::default();
        alerts.push(alert("rot", None));
        alerts.next(Time::ZERO, &to(), Format::Json).unwrap();
        assert!(alerts.ended(Time::ZERO, PostEnd::Refused("404".into())).unwrap().event.is_some());
        for number in 0..2 * ALERTS_WAITING_MAX {
            alerts.push(alert(&number.to_string(), None));
        }
        assert_eq!(alerts.waiting.len(), ALERTS_WAITING_MAX);
        assert_eq!(alerts.take_left_out(), u64::try_from(ALERTS_WAITING_MAX).unwrap());
        alerts.push(alert("test", Some(7)));
        alerts.next(Time::ZERO, &to(), Format::Json).unwrap();
        assert!(alerts.is_for(CallId(7)));
        let verdict = alerts.ended(Time::ZERO, PostEnd::Failed("off".into())).unwrap();
        assert_eq!(verdict.call, Some((CallId(7), Some("off".into()))));
        assert_eq!(alerts.deadline().map(|due| due.since(Time::ZERO)), None::<Span>);
    }

    #[test]
    fn ntfy_gets_the_sentence_and_headers_that_are_safe() {
        let post = alert("rot\r\nX-Evil: 1", None).post(&to(), Format::Ntfy);
        assert_eq!(String::from_utf8(post.body).unwrap(), "rot  X-Evil: 1 (3 times)");
        let value =
            |name: &str| post.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
        assert_eq!(value("priority"), Some("high"));
        assert_eq!(value("tags"), Some("rotating_light,damaged"));
        assert_eq!(value("title"), Some("=?UTF-8?B?bnV0aGF0Y2ggb24gYsO2eA==?="));
    }
}
