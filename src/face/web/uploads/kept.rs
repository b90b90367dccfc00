//! Which uploads there are: each is found by its sender, makes way when it was idle for long and others are wanted, and is given up
//! when it was idle for very long.

use std::rc::Rc;

use smol::Timer;

use super::{Grant, Upload, Uploads};
use crate::base::limits::{UPLOADS_KEPT_MAX, UPLOADS_MAX, UPLOAD_IDLE_MAX, UPLOAD_IDLE_YIELDS};
use crate::base::units::{Span, Time};
use crate::io::os::{duration, Clock};
use crate::node::api::ApiError;

impl Uploads {
    /// The upload of this id, for its sender.
    pub(super) fn find(&self, grant: &Grant, id: &str, now: Time) -> Result<Rc<Upload>, ApiError> {
        let found = self.all.borrow().get(id).cloned();
        let upload = found.filter(|upload| upload.owner == grant.name).ok_or_else(unknown)?;
        grant.check(&upload.call)?;
        upload.touched.set(now);
        Ok(upload)
    }

    /// Forgets one.
    pub(super) fn remove(&self, id: &str) {
        self.all.borrow_mut().remove(id);
    }

    /// Another one; where there are too many, in the place of the one that has been idle for longest, if that is long.
    pub(super) fn add(&self, id: &str, upload: Upload) -> Result<Rc<Upload>, ApiError> {
        let mut all = self.all.borrow_mut();
        let now = upload.touched.get();
        let open = all.values().filter(|upload| upload.stored.borrow().is_none()).count();
        if open >= UPLOADS_MAX {
            let idle = all.iter().filter(|(_, upload)| upload.is_idle(now, UPLOAD_IDLE_YIELDS));
            let longest = idle.min_by_key(|(_, upload)| upload.touched.get()).map(|(id, _)| id.clone());
            let hint = "wait until others are done, or give some up";
            let busy = || ApiError::new("busy", "too many files are being sent in parts", hint);
            all.remove(&longest.ok_or_else(busy)?);
        }
        if all.len() >= UPLOADS_KEPT_MAX {
            all.retain(|_, upload| upload.stored.borrow().is_none());
        }
        let upload = Rc::new(upload);
        all.insert(id.to_owned(), Rc::clone(&upload));
        Ok(upload)
    }

    /// Waits until nothing was sent for an upload for too long, and gives it up.
    pub(super) async fn watch(self, id: String, clock: Clock) {
        while self.all.borrow().contains_key(&id) {
            Timer::after(duration(UPLOAD_IDLE_YIELDS)).await;
            let now = clock.time();
            self.all.borrow_mut().retain(|other, upload| *other != id || !upload.is_long_idle(now));
        }
    }
}

impl Upload {
    /// Whether a part of it is coming now.
    fn is_coming(&self) -> bool {
        self.running.borrow().is_none() && self.stored.borrow().is_none()
    }

    /// Whether it is open, and nothing of it was asked or sent for so long.
    fn is_idle(&self, now: Time, span: Span) -> bool {
        self.stored.borrow().is_none() && !self.is_coming() && now.since(self.touched.get()) >= span
    }

    /// Whether it is given up, or, if it is stored, forgotten.
    fn is_long_idle(&self, now: Time) -> bool {
        !self.is_coming() && now.since(self.touched.get()) >= UPLOAD_IDLE_MAX
    }
}

/// The error for an upload that is not there.
fn unknown() -> ApiError {
    let message = "there is no such upload: it was given up, or nothing was sent for it for hours";
    ApiError::new("unknown_upload", message, "begin it anew")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::calls::Calls;
    use crate::node::api::{Call, PutFile};
    use serde_json::json;
    use smol::channel::bounded;
    use std::cell::{Cell, RefCell};

    /// An upload that waits for its next part since then.
    fn open(calls: &Calls, since: Time) -> Upload {
        let call =
            Call::Put { what: "family:a".into(), file: PutFile { mtime_ns: None, mode: None }, wait: false };
        Upload {
            owner: "ada".into(),
            size: 10,
            offset: Cell::new(0),
            running: RefCell::new(Some(calls.begin(call.clone()))),
            call,
            has_room: Cell::new(true),
            touched: Cell::new(since),
            stored: RefCell::new(None),
            interrupt: bounded(1),
        }
    }

    #[test]
    fn the_longest_idle_one_makes_way_and_none_that_is_needed() {
        let (calls, _heard) = Calls::new();
        let uploads = Uploads::default();
        let start = Time::from_micros(0);
        let second = |count: u64| start + Span::from_secs(count);
        for count in 0..24 {
            uploads.add(&count.to_string(), open(&calls, second(count))).unwrap();
        }
        let busy = uploads.add("early", open(&calls, second(500))).unwrap_err();
        assert_eq!(busy.code, "busy");
        // The first one is being sent: the second one has been idle for longest.
        let coming = uploads.all.borrow()["0"].running.borrow_mut().take();
        uploads.add("late", open(&calls, second(700))).unwrap();
        let all = uploads.all.borrow();
        assert!(all.len() == UPLOADS_MAX && all.contains_key("0") && !all.contains_key("1"));
        assert!(!all["0"].is_long_idle(second(100_000)), "what is coming is not given up");
        drop(coming);
        assert!(all["2"].is_long_idle(second(2) + UPLOAD_IDLE_MAX) && !all["2"].is_long_idle(second(3_600)));
    }

    #[test]
    fn one_that_is_stored_is_remembered_and_makes_way_for_no_one() {
        let (calls, _heard) = Calls::new();
        let uploads = Uploads::default();
        for count in 0..UPLOADS_KEPT_MAX {
            let upload = uploads.add(&count.to_string(), open(&calls, Time::from_micros(0))).unwrap();
            *upload.stored.borrow_mut() = Some(json!({}));
        }
        assert_eq!(uploads.all.borrow().len(), UPLOADS_KEPT_MAX);
        uploads.add("new", open(&calls, Time::from_micros(0))).unwrap();
        assert_eq!(uploads.all.borrow().len(), 1, "those that ended are forgotten when there are very many");
    }
}
