//! A file's content over HTTP: whole or a range, with what a cache or a player needs to know.
//!
//! User files may be anything, pages that attack included: they come with a policy that lets nothing in them run, are never
//! guessed at, and are shown by a browser only if they are of a type that cannot do anything.

use std::pin::Pin;
use std::task::{ready, Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{
    HeaderMap, HeaderName, HeaderValue, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::Value;

use super::heads::{date_of, disposition, has_tag, is_shown, range_of, seconds_of, type_of, Wanted};
use super::rights::{folder_of, Grant};
use super::site::WebSite;
use crate::face::routes::query_value;
use crate::io::calls::{Outward, Running};
use crate::io::http::{Answer, AnswerBody};
use crate::node::api::{ApiError, Call, Piece};

/// What may be done by content: nothing. The last one lets the page show it in a frame.
const POLICY: &str =
    "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'; \
    frame-ancestors 'self'";

/// What is known of something in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// `file`, `directory` or `symlink`.
    pub(super) kind: String,
    /// Bytes of a file.
    pub(super) size: u64,
    /// When it changed, in nanoseconds since 1970; None: not known.
    pub(super) mtime_ns: Option<i64>,
    /// Permission bits.
    pub(super) mode: Option<u32>,
    /// Of a file, in quotes.
    pub(super) etag: String,
    /// The snapshot, in full.
    pub(super) snapshot: String,
}

impl Facts {
    /// Reads what the core tells first.
    fn read(value: &Value) -> Self {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        Self {
            kind: text("kind"),
            size: value["size_bytes"].as_u64().unwrap_or(0),
            mtime_ns: value["mtime_ns"].as_i64(),
            mode: value["mode"].as_str().and_then(|mode| u32::from_str_radix(mode, 8).ok()),
            etag: format!("\"{}\"", text("etag")),
            snapshot: text("snapshot"),
        }
    }

    /// The same path in the very snapshot that this was read from.
    pub(super) fn pinned(&self, what: &str) -> String {
        let path = what.split_once(':').map_or("", |(_, path)| path);
        format!("{}@{}:{path}", folder_of(what), self.snapshot)
    }

    /// The headers that say what it is, whether its content follows or not.
    fn heads(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        put(&mut headers, ETAG, &self.etag);
        if let Some(mtime_ns) = self.mtime_ns {
            put(&mut headers, LAST_MODIFIED, &date_of(mtime_ns));
        }
        put(&mut headers, ACCEPT_RANGES, "bytes");
        // May be kept, but is asked for each time: files change, and people log out.
        put(&mut headers, CACHE_CONTROL, "private, no-cache");
        headers
    }
}

impl WebSite {
    /// `content`.
    pub(super) async fn content(&self, request: &Parts, grant: &Grant) -> Result<Answer, ApiError> {
        let query = request.uri.query();
        let what = wanted(query, "what")?;
        let is_download = query_value(query, "download")?.as_deref() == Some("true");
        self.file(request, grant, &what, is_download).await
    }

    /// What is known of a path.
    pub(super) async fn facts(&self, grant: &Grant, what: &str) -> Result<Facts, ApiError> {
        let call = Call::Read { what: what.to_owned(), offset: 0, length: Some(0) };
        facts_of(&mut self.begin(grant, call)?).await
    }

    /// A file, or what of it the request's head asks for.
    pub(super) async fn file(
        &self,
        request: &Parts,
        grant: &Grant,
        what: &str,
        is_download: bool,
    ) -> Result<Answer, ApiError> {
        let facts = self.facts(grant, what).await?;
        if facts.kind != "file" {
            let message = format!("'{what}' is a {}, which has no content", facts.kind);
            return Err(ApiError::new("bad_path", message, "name a file"));
        }
        let mut headers = facts.heads();
        let name = what.rsplit(['/', ':']).next().unwrap_or(what);
        let media = type_of(name);
        put(&mut headers, CONTENT_TYPE, media);
        put(&mut headers, CONTENT_DISPOSITION, &disposition(is_shown(media) && !is_download, name));
        put(&mut headers, CONTENT_SECURITY_POLICY, POLICY);
        put(&mut headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
        put(&mut headers, X_FRAME_OPTIONS, "SAMEORIGIN");
        if let Some(status) = precondition(&request.headers, &facts, &request.method) {
            headers.remove(CONTENT_DISPOSITION);
            return Ok(with(status, headers, AnswerBody::empty()));
        }
        let (status, offset, length) = match ranged(&request.headers, &facts) {
            Wanted::Whole => (StatusCode::OK, 0, facts.size),
            Wanted::Nothing => {
                put(&mut headers, CONTENT_RANGE, &format!("bytes */{}", facts.size));
                headers.remove(CONTENT_DISPOSITION);
                return Ok(with(StatusCode::RANGE_NOT_SATISFIABLE, headers, AnswerBody::empty()));
            }
            Wanted::Part(offset, length) => {
                let last = offset + (length - 1);
                put(&mut headers, CONTENT_RANGE, &format!("bytes {offset}-{last}/{}", facts.size));
                (StatusCode::PARTIAL_CONTENT, offset, length)
            }
        };
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        if request.method == Method::HEAD || length == 0 {
            return Ok(with(status, headers, AnswerBody::empty()));
        }
        let body = self.read(grant, &facts.pinned(what), (offset, length)).await?;
        Ok(with(status, headers, AnswerBody::new(body)))
    }

    /// The bytes of a file, once the first of them are here.
    pub(super) async fn read(
        &self,
        grant: &Grant,
        what: &str,
        (offset, length): (u64, u64),
    ) -> Result<ReadBody, ApiError> {
        let call = Call::Read { what: what.to_owned(), offset, length: Some(length) };
        let mut running = self.begin(grant, call)?;
        facts_of(&mut running).await?;
        running.taken();
        let first = match running.next().await {
            Outward::Done(Err(error)) => return Err(error),
            first => Some(first),
        };
        Ok(ReadBody { running, first, left: length, is_pending: false })
    }
}

/// The first piece of a read.
async fn facts_of(running: &mut Running) -> Result<Facts, ApiError> {
    match running.next().await {
        Outward::Piece(Piece::Json(value)) => Ok(Facts::read(&value)),
        Outward::Done(Err(error)) => Err(error),
        _ => Err(ApiError::new("internal", "a read began with something else", "report this as a bug")),
    }
}

/// The answer where a condition of the request decides (RFC 9110, section 13.2.2).
pub(super) fn precondition(headers: &HeaderMap, facts: &Facts, method: &Method) -> Option<StatusCode> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let changed = facts.mtime_ns.map(|mtime_ns| mtime_ns.div_euclid(1_000_000_000));
    let since = |date: &str| Some(changed? > seconds_of(date)?);
    if let Some(tags) = text(IF_MATCH) {
        if !has_tag(tags, &facts.etag, false) {
            return Some(StatusCode::PRECONDITION_FAILED);
        }
    } else if text(IF_UNMODIFIED_SINCE).and_then(since) == Some(true) {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let is_same = match text(IF_NONE_MATCH) {
        Some(tags) => has_tag(tags, &facts.etag, true),
        None => is_read && text(IF_MODIFIED_SINCE).and_then(since) == Some(false),
    };
    if !is_same {
        return None;
    }
    Some(if is_read { StatusCode::NOT_MODIFIED } else { StatusCode::PRECONDITION_FAILED })
}

/// The range that is asked for, if it is one of the very content that the client knows.
fn ranged(headers: &HeaderMap, facts: &Facts) -> Wanted {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(range) = text(RANGE) else { return Wanted::Whole };
    let fits = match text(IF_RANGE) {
        None => true,
        Some(tag) if tag.starts_with('"') => tag == facts.etag,
        // A time of a whole second says little of what changed within it; a tag that is weak says nothing of bytes.
        Some(_) => false,
    };
    if fits {
        range_of(range, facts.size)
    } else {
        Wanted::Whole
    }
}

/// An answer.
pub(super) fn with(status: StatusCode, headers: HeaderMap, body: AnswerBody) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// Sets a header to a text that can be one.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// A key of the query that may not be left out.
pub(super) fn wanted(query: Option<&str>, key: &str) -> Result<String, ApiError> {
    query_value(query, key)?.ok_or_else(|| {
        ApiError::new("bad_request", format!("the query has no {key}"), "add it after the question mark")
    })
}

/// Content of a known length as it comes. The next piece is asked for when the last one was taken for writing.
#[derive(Debug)]
pub(super) struct ReadBody {
    /// The call.
    running: Running,
    /// Heard before the answer began.
    first: Option<Outward>,
    /// Bytes to come.
    left: u64,
    /// A piece was handed out whose taking the core was not told of.
    is_pending: bool,
}

impl ReadBody {
    /// The next bytes; None at the end.
    pub(super) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Vec<u8>, ApiError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut self.is_pending) {
            self.running.taken();
        }
        let outward = match self.first.take() {
            Some(first) => first,
            None => ready!(self.running.poll_next(context)),
        };
        let error = match outward {
            Outward::Piece(Piece::Bytes(bytes)) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                if let Some(left) = self.left.checked_sub(length) {
                    (self.left, self.is_pending) = (left, true);
                    return Poll::Ready(Some(Ok(bytes)));
                }
                too_short()
            }
            Outward::Done(Err(error)) => error,
            _ => too_short(),
        };
        self.left = 0;
        Poll::Ready(Some(Err(error)))
    }

    /// [`ReadBody::poll_piece`] as a future.
    pub(super) async fn next(&mut self) -> Option<Result<Vec<u8>, ApiError>> {
        smol::future::poll_fn(|context| self.poll_piece(context)).await
    }
}

impl Body for ReadBody {
    type Data = Bytes;
    type Error = ApiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ApiError>>> {
        let piece = ready!(self.poll_piece(context));
        // As in io/http.rs: nobody might ask again.
        context.waker().wake_by_ref();
        Poll::Ready(piece.map(|piece| piece.map(|bytes| Frame::data(Bytes::from(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The error for content of another length than was said.
fn too_short() -> ApiError {
    ApiError::new("chunk_missing", "the file has another length than it should", "try again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            kind: "file".into(),
            size: 100,
            mtime_ns: Some(784_111_777_000_000_000),
            mode: None,
            etag: "\"abc\"".into(),
            snapshot: "00".repeat(32),
        }
    }

    fn head(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        lines.iter().for_each(|(name, text)| put(&mut headers, name.clone(), text));
        headers
    }

    #[test]
    fn conditions_are_judged_in_the_order_of_rfc_9110() {
        let judge = |lines: &[(HeaderName, &str)]| {
            precondition(&head(lines), &facts(), &Method::GET).map(|status| status.as_u16())
        };
        assert_eq!(judge(&[]), None);
        assert_eq!(judge(&[(IF_NONE_MATCH, "\"x\", W/\"abc\"")]), Some(304));
        assert_eq!(judge(&[(IF_NONE_MATCH, "*")]), Some(304));
        assert_eq!(
            judge(&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:37 GMT")]),
            None
        );
        assert_eq!(judge(&[(IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:37 GMT")]), Some(304));
        assert_eq!(judge(&[(IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")]), None);
        assert_eq!(judge(&[(IF_MODIFIED_SINCE, "whenever")]), None);
        assert_eq!(judge(&[(IF_MATCH, "\"x\"")]), Some(412));
        assert_eq!(
            judge(&[(IF_MATCH, "\"abc\""), (IF_UNMODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")]),
            None
        );
        assert_eq!(judge(&[(IF_UNMODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")]), Some(412));
    }

    #[test]
    fn a_range_of_other_content_is_the_whole() {
        let range = |lines: &[(HeaderName, &str)]| ranged(&head(lines), &facts());
        assert_eq!(range(&[(RANGE, "bytes=5-9")]), Wanted::Part(5, 5));
        assert_eq!(range(&[(RANGE, "bytes=5-9"), (IF_RANGE, "\"abc\"")]), Wanted::Part(5, 5));
        assert_eq!(range(&[(RANGE, "bytes=5-9"), (IF_RANGE, "\"old\"")]), Wanted::Whole);
        assert_eq!(range(&[(RANGE, "bytes=5-9"), (IF_RANGE, "W/\"abc\"")]), Wanted::Whole);
    }

    #[test]
    fn a_path_is_pinned_to_the_snapshot_it_was_read_from() {
        let snapshot = "00".repeat(32);
        assert_eq!(facts().pinned("photos:a:b@c"), format!("photos@{snapshot}:a:b@c"));
        assert_eq!(facts().pinned("photos@latest:a"), format!("photos@{snapshot}:a"));
    }
}
