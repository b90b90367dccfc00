//! HTTP/1.1 on the control socket and the web's port: requests become calls, answers become bodies.
//!
//! Knows no route: a [`Handler`] (`face/routes.rs`) turns method, path and body into a [`Call`]. Bounds what a client
//! may send and how long it may take; a client that reads slowly slows only its own call. The answer's form:
//!
//! | media | body | how the end is told |
//! |---|---|---|
//! | [`Media::Json`] | one JSON value | status, and header `nuthatch-end: complete` or `partial` |
//! | [`Media::Lines`] | JSON Lines | last line `{"end":"complete"}`, `{"end":"partial"}` or `{"error":{...}}` |
//! | [`Media::Bytes`] | bytes | trailer `nuthatch-end` or `nuthatch-error` (JSON); to a client without `TE: trailers` an error is a broken body |
//!
//! An error before the first piece is `{"error":{"code","message","hint"}}` with a status of its own.

use std::pin::Pin;
use std::task::{ready, Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue, CONTENT_TYPE, TE, TRAILER};
use hyper::{Request, Response, StatusCode};
use serde_json::json;
use smol::Timer;

use super::calls::{Calls, Outward, Running};
use super::os::duration;
use crate::base::limits::{HTTP_BODY_BYTES_MAX, HTTP_REQUEST_TIME_MAX};
use crate::node::api::{ApiError, Call, Piece};
use crate::node::ports::Ending;

/// A request, as far as routes need it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// `GET`, `POST`, ...
    pub method: &'a str,
    /// Without the query, as it was sent (percent-encoded).
    pub path: &'a str,
    /// What stands behind the question mark, as it was sent.
    pub query: Option<&'a str>,
    /// The whole body.
    pub body: &'a [u8],
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// One JSON value.
    Json,
    /// JSON Lines.
    Lines,
    /// Bytes.
    Bytes,
}

impl Media {
    /// Its name in HTTP.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Lines => "application/x-ndjson",
            Self::Bytes => "application/octet-stream",
        }
    }
}

/// What a request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The call.
    pub call: Call,
    /// How its answer is written.
    pub media: Media,
}

/// Knows the routes.
pub trait Handler {
    /// What a request means.
    ///
    /// # Errors
    /// When it means nothing here.
    fn route(&self, asked: &Asked<'_>) -> Result<Route, ApiError>;

    /// Whether the body of such a request is no part of the call, but is handed to it piece by piece, however long it is.
    fn is_stream(&self, _method: &str, _path: &str) -> bool {
        false
    }
}

/// How an answer that did not fail ended: header and trailer.
pub const END: HeaderName = HeaderName::from_static("nuthatch-end");
/// How a byte stream failed: trailer.
pub const FAILED: HeaderName = HeaderName::from_static("nuthatch-error");

/// The word for an ending.
#[must_use]
pub const fn ending_word(ending: Ending) -> &'static str {
    match ending {
        Ending::Complete => "complete",
        Ending::Partial => "partial",
    }
}

/// Answers one request with a call to the core.
pub async fn answer_call(request: Request<Incoming>, handler: &dyn Handler, calls: &Calls) -> Answer {
    let (parts, body) = request.into_parts();
    let trailers = parts.headers.get_all(TE).iter().any(|value| value.as_bytes() == b"trailers");
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let mut stream = None;
    let read = if handler.is_stream(method, path) {
        stream = Some(body);
        Ok(Bytes::new())
    } else {
        read_body(body).await
    };
    let query = parts.uri.query();
    let routed = read.and_then(|body| handler.route(&Asked { method, path, query, body: &body }));
    let route = match routed {
        Ok(route) => route,
        Err(error) => {
            if let Some(body) = &mut stream {
                drain(body).await;
            }
            return refusal(&error);
        }
    };
    let mut running = calls.begin(route.call);
    let first = match &mut stream {
        Some(body) => feed(body, &mut running).await,
        None => running.next().await,
    };
    match (first, route.media) {
        (Outward::Done(Err(error)), _) => refusal(&error),
        (first, Media::Json) => whole(first, running).await,
        (first, media) => {
            let body =
                StreamBody { running, first: Some(first), media, trailers, pending: false, over: false };
            let mut response = Response::new(AnswerBody::new(body));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media.name()));
            if media == Media::Bytes {
                headers.insert(TRAILER, HeaderValue::from_static("nuthatch-end, nuthatch-error"));
            }
            response
        }
    }
}

/// The whole body of a request, within its bounds.
pub async fn read_body(body: Incoming) -> Result<Bytes, ApiError> {
    let read = async { Some(Limited::new(body, HTTP_BODY_BYTES_MAX).collect().await) };
    let late = async {
        Timer::after(duration(HTTP_REQUEST_TIME_MAX)).await;
        None
    };
    match smol::future::or(read, late).await {
        Some(Ok(body)) => Ok(body.to_bytes()),
        Some(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(ApiError::new(
            "body_too_large",
            format!("the request's body is longer than {HTTP_BODY_BYTES_MAX} bytes"),
            "send less",
        )),
        Some(Err(error)) => {
            Err(ApiError::new("bad_request", format!("the body broke off: {error}"), "send it again"))
        }
        None => Err(ApiError::new("request_timeout", "the request's body took too long", "send it again")),
    }
}

/// An answer that is one JSON value: its status is known only at its end.
async fn whole(first: Outward, mut running: Running) -> Answer {
    let mut values = Vec::new();
    let mut outward = first;
    let ending = loop {
        match outward {
            Outward::Piece(Piece::Json(value)) => {
                values.push(value);
                running.taken();
            }
            Outward::Piece(Piece::Bytes(_)) | Outward::More => {
                return refusal(&ApiError::new(
                    "internal",
                    "bytes where JSON was expected",
                    "report this as a bug",
                ));
            }
            Outward::Done(Ok(ending)) => break ending,
            Outward::Done(Err(error)) => return refusal(&error),
        }
        outward = running.next().await;
    };
    let value = if values.len() == 1 { values.swap_remove(0) } else { serde_json::Value::Array(values) };
    let mut response = json_response(StatusCode::OK, &value);
    response.headers_mut().insert(END, HeaderValue::from_static(ending_word(ending)));
    response
}

/// An error as a response of its own.
#[must_use]
pub fn refusal(error: &ApiError) -> Answer {
    json_response(status_of(&error.code), &json!({ "error": error }))
}

/// A JSON value as a response.
#[must_use]
pub fn json_response(status: StatusCode, value: &serde_json::Value) -> Answer {
    let mut text = value.to_string();
    text.push('\n');
    let mut response = Response::new(AnswerBody::whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Media::Json.name()));
    response
}

/// The status that fits an error's code.
fn status_of(code: &str) -> StatusCode {
    match code {
        "method_not_allowed" => StatusCode::METHOD_NOT_ALLOWED,
        "body_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "request_timeout" => StatusCode::REQUEST_TIMEOUT,
        "unauthorised" | "wrong_password" => StatusCode::UNAUTHORIZED,
        "forbidden" | "csrf" | "wrong_host" | "local_only" => StatusCode::FORBIDDEN,
        "too_many_attempts" => StatusCode::TOO_MANY_REQUESTS,
        "stopping" | "chunk_missing" | "offline" => StatusCode::SERVICE_UNAVAILABLE,
        "locked" => StatusCode::LOCKED,
        "precondition" => StatusCode::PRECONDITION_FAILED,
        "no_room" => StatusCode::INSUFFICIENT_STORAGE,
        "no_folder" | "no_snapshot" => StatusCode::NOT_FOUND,
        "internal" | "disk" | "home" => StatusCode::INTERNAL_SERVER_ERROR,
        _ if code.ends_with("not_found") || code.starts_with("unknown_") => StatusCode::NOT_FOUND,
        _ if code.contains("busy") || code.starts_with("already_") => StatusCode::CONFLICT,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// An answer that is written as it comes. The next piece is asked for when the last one was taken for writing.
#[derive(Debug)]
struct StreamBody {
    /// The call.
    running: Running,
    /// Heard before the response began.
    first: Option<Outward>,
    /// Lines or bytes.
    media: Media,
    /// The client takes trailers.
    trailers: bool,
    /// A piece was handed out whose taking the core was not told of.
    pending: bool,
    /// Nothing follows.
    over: bool,
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = ApiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ApiError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut self.pending) {
            self.running.taken();
        }
        let outward = match self.first.take() {
            Some(first) => first,
            None => ready!(self.running.poll_next(context)),
        };
        let frame = match outward {
            Outward::Piece(piece) => {
                self.pending = true;
                // hyper 1.12 (proto/h1/dispatch.rs, poll_loop) may end a turn with a flush that has just succeeded,
                // without having asked the body again: nobody would ever wake it. So it is woken here.
                context.waker().wake_by_ref();
                Ok(Frame::data(match piece {
                    Piece::Json(value) => line(&value),
                    Piece::Bytes(bytes) => Bytes::from(bytes),
                }))
            }
            Outward::Done(result) => {
                self.over = true;
                self.last_frame(result)
            }
            Outward::More => {
                self.over = true;
                let what = "more is asked for, and nothing was sent";
                self.last_frame(Err(ApiError::new("internal", what, "report this as a bug")))
            }
        };
        Poll::Ready(Some(frame))
    }
}

impl StreamBody {
    /// Tells the end.
    fn last_frame(&self, result: Result<Ending, ApiError>) -> Result<Frame<Bytes>, ApiError> {
        match (self.media, result) {
            (Media::Bytes, Ok(ending)) => Ok(trailer(END, HeaderValue::from_static(ending_word(ending)))),
            (Media::Bytes, Err(error)) if self.trailers => match HeaderValue::from_str(&ascii_json(&error)) {
                Ok(value) => Ok(trailer(FAILED, value)),
                Err(_) => Err(error),
            },
            (Media::Bytes, Err(error)) => Err(error),
            (_, Ok(ending)) => Ok(Frame::data(line(&json!({ "end": ending_word(ending) })))),
            (_, Err(error)) => Ok(Frame::data(line(&json!({ "error": error })))),
        }
    }
}

/// One line of JSON Lines.
fn line(value: &serde_json::Value) -> Bytes {
    let mut text = value.to_string();
    text.push('\n');
    Bytes::from(text)
}

/// One trailer.
fn trailer(name: HeaderName, value: HeaderValue) -> Frame<Bytes> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(name, value);
    Frame::trailers(trailers)
}

/// JSON in ASCII, as a header value must be.
fn ascii_json(error: &ApiError) -> String {
    let mut text = String::new();
    for unit in json!(error).to_string().encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\u{unit:04x}")),
        }
    }
    text
}

mod body;
mod certificate;
mod serve;
mod tls;
mod upload;

pub use body::{Answer, AnswerBody};
pub use certificate::Certificate;
pub use serve::{serve_tcp, serve_unix, Answering, From, Site};
pub use tls::Tls;
pub use upload::{drain, feed, next_piece};

#[cfg(test)]
pub(crate) mod tests;
