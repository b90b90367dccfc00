//! Live events: lines of the activity log as they come, and the status when it has changed, as server-sent events.
//!
//! ```text
//!   log lines  -- a Log call of each stream, which the core holds back for whoever is slow --> each stream
//!   status     -- asked for every two seconds while anybody listens, for all streams -------> those whose last one is older
//! ```
//!
//! A stream ends after some minutes: the browser comes again by itself, with the number of the last line that it has, and whether it
//! still may is looked at anew. Lines that were forgotten meanwhile are told as `lost`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{HeaderName, HeaderValue, CONTENT_TYPE};
use hyper::{Request, Response};
use serde_json::{json, Value};
use smol::Timer;

use super::access::Role;
use super::rights::Grant;
use super::site::{only_status, value_of, WebSite};
use crate::base::limits::{EVENTS_KEEPALIVE, EVENTS_STATUS_EVERY, EVENTS_STREAMS_MAX, EVENTS_TIME_MAX};
use crate::face::routes::query_value;
use crate::io::calls::{Calls, Outward, Running};
use crate::io::http::{Answer, AnswerBody};
use crate::io::os::duration;
use crate::node::api::{ApiError, Call, Piece};

/// What all streams share.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// How many there are.
    streams: Cell<usize>,
    /// Somebody asks for the status.
    asks: Cell<bool>,
    /// The newest status, and how many there were before it.
    status: RefCell<(u64, Rc<Value>)>,
    /// What of it counts.
    digest: Cell<u64>,
    /// Those who wait for the next one.
    wakers: RefCell<Vec<Waker>>,
}

impl Live {
    /// A status has come: is it news?
    fn came(&self, status: Value) {
        let mut hasher = DefaultHasher::new();
        digest(&status, &mut hasher);
        if self.digest.replace(hasher.finish()) != hasher.finish() {
            let mut newest = self.status.borrow_mut();
            *newest = (newest.0 + 1, Rc::new(status));
            self.wakers.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Asks for the status while anybody listens.
    async fn ask(self: Rc<Self>, calls: Calls) {
        while self.streams.get() > 0 {
            // A node that is busy is asked again.
            if let Ok(status) = value_of(calls.begin(Call::Status)).await {
                self.came(status);
            }
            Timer::after(duration(EVENTS_STATUS_EVERY)).await;
        }
        self.asks.set(false);
    }
}

/// What of a status makes it another one: not how much time has passed, nor counts of strangers.
fn digest(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter().filter(|(key, _)| !key.ends_with("_us") && *key != "counters") {
                key.hash(hasher);
                digest(value, hasher);
            }
        }
        Value::Array(items) => {
            items.len().hash(hasher);
            items.iter().for_each(|item| digest(item, hasher));
        }
        Value::String(text) => text.hash(hasher),
        other => other.to_string().hash(hasher),
    }
}

/// A stream to one client.
struct Stream {
    /// What it shares.
    live: Rc<Live>,
    /// Lines of the log; None for who may not see them.
    log: Option<Running>,
    /// The number of the last line.
    number: u64,
    /// Which folders its client sees; None: all.
    folders: Option<Vec<String>>,
    /// How many statuses there were when it was told the last one.
    told: u64,
    /// What is to be sent next.
    waiting: VecDeque<Bytes>,
    /// A line was handed out whose taking the core was not told of.
    pending: bool,
    /// When it is to say that it is there.
    quiet: Timer,
    /// When it ends.
    end: Timer,
}

impl WebSite {
    /// `GET /api/v1/events`.
    pub(super) async fn events(
        &self,
        request: &Request<Incoming>,
        grant: &Grant,
    ) -> Result<Answer, ApiError> {
        grant.check_role(Role::Read)?;
        if self.live.streams.get() >= EVENTS_STREAMS_MAX {
            let hint = "close some, or ask for the status now and then";
            return Err(ApiError::new("busy", "too many pages listen to live events", hint));
        }
        let status = self.status().await?;
        let last = request.headers().get("last-event-id").and_then(|last| last.to_str().ok()?.parse().ok());
        let asked = query_value(request.uri().query(), "after")?.and_then(|after| after.parse().ok());
        let number = last.or(asked).or_else(|| status["log_number"].as_u64()).unwrap_or(0);
        let log = Call::Log { follow: true, after: Some(number) };
        let log = grant.check(&log).is_ok().then(|| self.calls.begin(log));
        // Named at once: who is cut off before the first line comes does not miss it.
        let begin = Bytes::from(format!("retry: 2000\nid: {number}\n\n"));
        let shown = shown(&status, grant.folders.as_deref());
        let live = Rc::clone(&self.live);
        live.came(status);
        live.streams.set(live.streams.get() + 1);
        if let Some(executor) = self.executor.upgrade().filter(|_| !live.asks.replace(true)) {
            executor.spawn(Rc::clone(&live).ask(self.calls.clone())).detach();
        }
        let told = live.status.borrow().0;
        let stream = Stream {
            live,
            log,
            number,
            folders: grant.folders.clone(),
            told,
            waiting: VecDeque::from([begin, shown]),
            pending: false,
            quiet: Timer::after(duration(EVENTS_KEEPALIVE)),
            end: Timer::after(duration(EVENTS_TIME_MAX)),
        };
        let mut answer = Response::new(AnswerBody::new(stream));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        // What stands between must not collect it.
        headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        Ok(answer)
    }
}

/// A status as an event, for who sees these folders.
fn shown(status: &Value, folders: Option<&[String]>) -> Bytes {
    match folders {
        Some(folders) => event("status", &only_status(status, folders)),
        None => event("status", status),
    }
}

/// An event; JSON has no line ends.
fn event(name: &str, data: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

impl Stream {
    /// A line of the log came: what is to be sent for it, after what was lost before it.
    fn line(&mut self, line: &Value) {
        let Some(number) = line["number"].as_u64() else { return self.waiting.push_back(event("log", line)) };
        if number != self.number.saturating_add(1) {
            self.waiting.push_back(event("lost", &json!({"after": self.number, "before": number})));
        }
        self.number = number;
        self.waiting.push_back(Bytes::from(format!("id: {number}\nevent: log\ndata: {line}\n\n")));
    }

    /// The next thing to send; None: it is over.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.waiting.pop_front() {
                return Poll::Ready(Some(bytes));
            }
            if let Some(log) = self.log.as_mut().filter(|_| std::mem::take(&mut self.pending)) {
                log.taken();
            }
            match self.log.as_mut().map(|log| log.poll_next(context)) {
                Some(Poll::Ready(Outward::Piece(Piece::Json(line)))) => {
                    self.pending = true;
                    self.line(&line);
                    continue;
                }
                Some(Poll::Ready(_)) => return Poll::Ready(None),
                Some(Poll::Pending) | None => {}
            }
            let (version, status) = self.live.status.borrow().clone();
            if version != self.told {
                self.told = version;
                return Poll::Ready(Some(shown(&status, self.folders.as_deref())));
            }
            if Pin::new(&mut self.end).poll(context).is_ready() {
                return Poll::Ready(None);
            }
            if Pin::new(&mut self.quiet).poll(context).is_ready() {
                return Poll::Ready(Some(Bytes::from_static(b": here\n\n")));
            }
            let mut wakers = self.live.wakers.borrow_mut();
            if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            return Poll::Pending;
        }
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = ApiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ApiError>>> {
        let next = self.poll_next(context);
        if let Poll::Ready(Some(_)) = &next {
            self.quiet.set_after(duration(EVENTS_KEEPALIVE));
            // As in `io/http.rs`: hyper may end a turn without having asked again.
            context.waker().wake_by_ref();
        }
        next.map(|next| next.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.live.streams.set(self.live.streams.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that has seen the line of this number.
    fn stream(number: u64) -> Stream {
        let live = Rc::new(Live::default());
        live.streams.set(1);
        let timer = || Timer::never();
        let (told, waiting) = (0, VecDeque::new());
        Stream {
            live,
            log: None,
            number,
            folders: None,
            told,
            waiting,
            pending: false,
            quiet: timer(),
            end: timer(),
        }
    }

    #[test]
    fn lines_have_their_number_and_what_is_missing_is_told() {
        let mut stream = stream(6);
        for line in [json!({"number": 7, "message": "a\nb"}), json!({"number": 9}), json!({"event": "note"})]
        {
            stream.line(&line);
        }
        let sent: String = stream.waiting.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        assert_eq!(
            sent,
            "id: 7\nevent: log\ndata: {\"message\":\"a\\nb\",\"number\":7}\n\n\
             event: lost\ndata: {\"after\":7,\"before\":9}\n\n\
             id: 9\nevent: log\ndata: {\"number\":9}\n\nevent: log\ndata: {\"event\":\"note\"}\n\n"
        );
    }

    #[test]
    fn a_status_is_news_when_more_than_time_has_passed() {
        let mut stream = stream(0);
        let mut context = Context::from_waker(Waker::noop());
        let live = Rc::clone(&stream.live);
        let mut next = || match stream.poll_next(&mut context) {
            Poll::Ready(Some(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            _ => String::new(),
        };
        live.came(json!({"summary": "fine", "silence": [{"silent_us": 1}], "counters": {"garbage": 0}}));
        assert!(next().starts_with("event: status\ndata: {") && next().is_empty());
        live.came(json!({"summary": "fine", "silence": [{"silent_us": 9}], "counters": {"garbage": 5}}));
        assert!(next().is_empty());
        live.came(json!({"summary": "bad", "silence": [{"silent_us": 9}], "counters": {"garbage": 5}}));
        assert!(next().contains("bad"));
        live.came(json!({"summary": "bad", "silence": []}));
        assert!(next().contains("[]") && next().is_empty());
    }
}
