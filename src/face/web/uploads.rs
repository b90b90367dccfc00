//! Uploads in parts: a file of a shared folder that comes in as many requests as its sender likes, with pauses between them.
//!
//! ```text
//!   begin --> open: a Put that runs, and how much of it came --part--> open --the last byte--> stored
//!                |                                                                                |
//!                '------- given up: by its sender, by an error, after four idle hours <-----------'
//! ```
//!
//! The core holds what has come as chunks that nothing names; only after the last byte the file becomes a part of the folder. A
//! part that breaks off counts as far as it came. Each upload is its sender's: for anybody else it is not there.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::CONTENT_LENGTH;
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{json, Value};
use smol::channel::{bounded, Receiver, Sender};
use smol::Timer;

use super::account::{parsed, told};
use super::accounts::random;
use super::content::wanted;
use super::rights::Grant;
use super::site::WebSite;
use crate::base::limits::{TAKE_OVER_LOOKS, TAKE_OVER_PAUSE};
use crate::base::units::Time;
use crate::io::calls::{Outward, Running};
use crate::io::http::{drain, json_response, next_piece, Answer};
use crate::io::os::duration;
use crate::node::api::{ApiError, Call, Piece, PutFile};

mod kept;

/// The body of a new upload.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UploadBody {
    /// `NAME:PATH`.
    what: String,
    /// Bytes in all.
    size: u64,
    /// As in [`PutFile`].
    mtime_ns: Option<i64>,
    /// As in [`PutFile`].
    mode: Option<u32>,
}

/// All uploads in parts.
#[derive(Debug, Clone, Default)]
pub(super) struct Uploads {
    /// By their ids.
    all: Rc<RefCell<HashMap<String, Rc<Upload>>>>,
}

/// One of them.
#[derive(Debug)]
struct Upload {
    /// Whose it is.
    owner: String,
    /// What was asked for: it is asked again whether its sender may.
    call: Call,
    /// Bytes in all.
    size: u64,
    /// Bytes that came.
    offset: Cell<u64>,
    /// The call, unless a part is coming now, or it has ended.
    running: RefCell<Option<Running>>,
    /// The core has room for a piece.
    has_room: Cell<bool>,
    /// When something of it was asked or sent last.
    touched: Cell<Time>,
    /// What became of it.
    stored: RefCell<Option<Value>>,
    /// Ends the part that is coming: its sender has begun another, so the connection of the first is dead.
    interrupt: (Sender<()>, Receiver<()>),
}

/// An upload of which a part is coming; it goes on with the next one even if this one breaks off.
struct Part<'a> {
    /// It.
    upload: &'a Upload,
    /// Its call.
    running: Option<Running>,
    /// What the core says of it.
    line: Value,
}

impl WebSite {
    /// `POST uploads`.
    pub(super) async fn begin_upload(
        &self,
        request: Request<Incoming>,
        grant: &Grant,
    ) -> Result<Answer, ApiError> {
        let UploadBody { what, size, mtime_ns, mode } = parsed(request).await?;
        let call = Call::Put { what, file: PutFile { mtime_ns, mode }, wait: false };
        let mut running = self.begin(grant, call.clone())?;
        match running.next().await {
            Outward::More => {}
            Outward::Done(Err(error)) => return Err(error),
            _ => {
                return Err(ApiError::new(
                    "internal",
                    "an upload began with something else",
                    "report this as a bug",
                ))
            }
        }
        let id: String = random()?[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let upload = Upload {
            owner: grant.name.clone(),
            call,
            size,
            offset: Cell::new(0),
            running: RefCell::new(Some(running)),
            has_room: Cell::new(true),
            touched: Cell::new(self.clock.time()),
            stored: RefCell::new(None),
            interrupt: bounded(1),
        };
        let upload = self.uploads.add(&id, upload)?;
        if let Some(executor) = self.executor.upgrade() {
            executor.spawn(self.uploads.clone().watch(id.clone(), self.clock)).detach();
        }
        if size == 0 {
            let mut part = Part::take(&upload)?;
            part.give(Vec::new(), true);
            self.settle(&id, part).await?;
        }
        let mut answer = upload.told();
        answer["id"] = id.into();
        Ok(told(&answer))
    }

    /// `uploads/ID`.
    pub(super) async fn upload(
        &self,
        request: &Parts,
        mut body: Incoming,
        grant: &Grant,
        id: &str,
    ) -> Result<Answer, ApiError> {
        let upload = self.uploads.find(grant, id, self.clock.time())?;
        match request.method.as_str() {
            "GET" => Ok(told(&upload.told())),
            "DELETE" => {
                self.uploads.remove(id);
                Ok(told(&json!({ "given_up": upload.stored.borrow().is_none() })))
            }
            "PUT" => {
                let result = self.part(request, &mut body, &upload, id).await;
                if !matches!(&result, Ok(answer) if answer.status() == StatusCode::OK) {
                    drain(&mut body).await;
                }
                result
            }
            method => {
                let hint = "GET asks, PUT sends, DELETE gives up";
                let message = format!("{} does not take {method}", request.uri.path());
                Err(ApiError::new("method_not_allowed", message, hint))
            }
        }
    }

    /// Takes a part.
    async fn part(
        &self,
        request: &Parts,
        body: &mut Incoming,
        upload: &Upload,
        id: &str,
    ) -> Result<Answer, ApiError> {
        let offset = wanted(request.uri.query(), "offset")?;
        if offset.parse() != Ok(upload.offset.get()) {
            return Ok(wrong_offset(upload.offset.get()));
        }
        if upload.stored.borrow().is_some() {
            return Ok(told(&upload.told()));
        }
        let length =
            request.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > upload.size - upload.offset.get()) {
            return Err(too_long(upload.size));
        }
        let mut part = Part::take_over(upload).await?;
        // What it takes the place of may have come a little further.
        if offset.parse() != Ok(upload.offset.get()) {
            return Ok(wrong_offset(upload.offset.get()));
        }
        while upload.offset.get() < upload.size {
            if let Err(error) = part.wait_for_room().await {
                self.uploads.remove(id);
                return Err(error);
            }
            let next = smol::future::or(next_piece(body), upload.interrupted()).await?;
            let Some(bytes) = next else { return Ok(told(&upload.told())) };
            upload.touched.set(self.clock.time());
            let left = upload.size - upload.offset.get();
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if length > left {
                return Err(too_long(upload.size));
            }
            upload.offset.set(upload.offset.get() + length);
            part.give(Vec::from(bytes), length == left);
        }
        self.settle(id, part).await?;
        Ok(told(&upload.told()))
    }

    /// All came: waits until it is a part of the folder.
    async fn settle(&self, id: &str, mut part: Part<'_>) -> Result<(), ApiError> {
        let result = part.ending().await;
        if result.is_err() {
            self.uploads.remove(id);
        }
        result
    }
}

impl Upload {
    /// Fails when another part is to come instead of this one.
    async fn interrupted(&self) -> Result<Option<Bytes>, ApiError> {
        let _ = self.interrupt.1.recv().await;
        Err(busy())
    }

    /// How far it is.
    fn told(&self) -> Value {
        let mut told = json!({"offset": self.offset.get(), "size": self.size});
        if let Some(line) = &*self.stored.borrow() {
            told["stored"] = true.into();
            told["result"] = line["result"].clone();
        }
        told
    }
}

impl<'a> Part<'a> {
    /// Begins with a part.
    fn take(upload: &'a Upload) -> Result<Self, ApiError> {
        let running = upload.running.borrow_mut().take();
        if running.is_none() {
            return Err(busy());
        }
        Ok(Self { upload, running, line: json!({}) })
    }

    /// Begins with a part in the place of one that is coming: its connection is most likely dead.
    async fn take_over(upload: &'a Upload) -> Result<Self, ApiError> {
        for _ in 0..TAKE_OVER_LOOKS {
            match Self::take(upload) {
                Ok(part) => {
                    let _ = upload.interrupt.1.try_recv();
                    return Ok(part);
                }
                Err(_) => drop(upload.interrupt.0.try_send(())),
            }
            Timer::after(duration(TAKE_OVER_PAUSE)).await;
        }
        Self::take(upload)
    }

    /// Until the core takes another piece.
    async fn wait_for_room(&mut self) -> Result<(), ApiError> {
        while !self.upload.has_room.get() {
            if self.hear().await? {
                return Err(ApiError::new(
                    "internal",
                    "an upload ended before its end",
                    "report this as a bug",
                ));
            }
        }
        Ok(())
    }

    /// Hands a piece on.
    fn give(&mut self, bytes: Vec<u8>, end: bool) {
        self.upload.has_room.set(false);
        if let Some(running) = &self.running {
            running.give(bytes, end);
        }
    }

    /// Until the core has stored it.
    async fn ending(&mut self) -> Result<(), ApiError> {
        while !self.hear().await? {}
        Ok(())
    }

    /// Hears the next thing of the core; true: it was the end.
    async fn hear(&mut self) -> Result<bool, ApiError> {
        let Some(running) = &mut self.running else { return Ok(true) };
        match running.next().await {
            Outward::More => self.upload.has_room.set(true),
            Outward::Piece(piece) => {
                running.taken();
                if let Piece::Json(line) = piece {
                    if line["event"] == "put" {
                        self.line = line;
                    }
                }
            }
            Outward::Done(result) => {
                self.running = None;
                let line = std::mem::take(&mut self.line);
                return result.map(|_| {
                    *self.upload.stored.borrow_mut() = Some(line);
                    true
                });
            }
        }
        Ok(false)
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        *self.upload.running.borrow_mut() = self.running.take();
    }
}

/// The answer to a part that does not follow what came.
fn wrong_offset(offset: u64) -> Answer {
    let message = format!("{offset} bytes of this file have come, so that the next part begins there");
    let error = ApiError::new("wrong_offset", message, "go on from there");
    json_response(StatusCode::CONFLICT, &json!({"error": error, "offset": offset}))
}

/// The error for two parts at once.
fn busy() -> ApiError {
    let hint = "send one part after the other";
    ApiError::new("upload_busy", "another part of this file is being sent", hint)
}

/// The error for more than was announced.
fn too_long(size: u64) -> ApiError {
    ApiError::new(
        "too_long",
        format!("the file was said to have {size} bytes, and more came"),
        "begin it anew",
    )
}
