//! The other side of the control socket: how the command line asks a running node.
//!
//! Blocking, because the command line does one thing at a time. Knows no route; see `face/routes.rs`. The forms of
//! answers are in `io/http.rs`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use async_net::unix::UnixStream;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, CONTENT_TYPE, HOST, TE};
use hyper::{Method, Request, StatusCode};
use serde_json::Value;
use smol::LocalExecutor;
use smol_hyper::rt::FuturesIo;

use super::http::{ending_word, Media, END, FAILED};
use super::os::control_path;
use crate::base::limits::ANSWER_LINE_BYTES_MAX;
use crate::node::api::{ApiError, Piece};
use crate::node::ports::Ending;

/// Where the service's socket lies, whatever its home is.
const SYSTEM_SOCKET: &str = "/run/nuthatch/control.sock";

/// Why asking did not lead to an answer.
#[derive(Debug)]
pub enum ClientError {
    /// No node runs on this home.
    NotRunning {
        /// Where its socket would be.
        socket: PathBuf,
    },
    /// The socket belongs to another user.
    Denied {
        /// The socket.
        socket: PathBuf,
    },
    /// The node refused, or failed.
    Api(ApiError),
    /// The connection broke.
    Lost(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning { socket } => write!(
                formatter,
                "no node is running here (nobody answers at {}); start one with nuthatch run, or name its home with --home DIR",
                socket.display()
            ),
            Self::Denied { socket } => write!(
                formatter,
                "{} belongs to another user; run this as that user, or with sudo",
                socket.display()
            ),
            Self::Api(error) => error.fmt(formatter),
            Self::Lost(detail) => write!(
                formatter,
                "the connection to the node broke ({detail}); see whether it still runs with nuthatch status"
            ),
        }
    }
}

impl std::error::Error for ClientError {}

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// `GET`, `POST`, ...
    pub method: &'a str,
    /// Path and query, percent-encoded where needed.
    pub path: &'a str,
    /// JSON, or empty.
    pub body: &'a [u8],
}

/// A connection to a running node, good for one call.
#[derive(Debug)]
pub struct Client {
    /// Connected.
    stream: UnixStream,
}

/// What an answer is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A piece of it.
    Piece(Piece),
    /// Its end.
    End(Ending),
}

impl Client {
    /// Connects to the node that runs on `home`.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] when none does.
    pub fn connect(home: &Path) -> Result<Self, ClientError> {
        Self::connect_to(control_path(home))
    }

    /// Connects to the node that runs as the machine's service.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] when none does.
    pub fn connect_system() -> Result<Self, ClientError> {
        Self::connect_to(PathBuf::from(SYSTEM_SOCKET))
    }

    /// Connects to a socket.
    fn connect_to(socket: PathBuf) -> Result<Self, ClientError> {
        match smol::block_on(UnixStream::connect(&socket)) {
            Ok(stream) => Ok(Self { stream }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(ClientError::Denied { socket })
            }
            Err(_) => Err(ClientError::NotRunning { socket }),
        }
    }

    /// Asks, and waits for the answer to begin.
    ///
    /// # Errors
    /// [`ClientError::Api`] when the node refuses.
    pub fn call(self, ask: &Ask<'_>) -> Result<CallStream, ClientError> {
        self.call_with(ask, Full::new(Bytes::copy_from_slice(ask.body)))
    }

    /// Asks with a body that is read as it is sent, and waits for the answer to begin.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn send(self, ask: &Ask<'_>, source: Source) -> Result<CallStream, ClientError> {
        self.call_with(ask, source)
    }

    /// Asks with any body.
    fn call_with<B>(self, ask: &Ask<'_>, body: B) -> Result<CallStream, ClientError>
    where
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let method = Method::from_bytes(ask.method.as_bytes()).map_err(lost)?;
        let request = Request::builder()
            .method(method)
            .uri(ask.path)
            .header(HOST, "localhost")
            .header(TE, "trailers")
            .header(CONTENT_TYPE, Media::Json.name())
            .body(body)
            .map_err(lost)?;
        let executor = LocalExecutor::new();
        let response = smol::block_on(executor.run(async {
            let (mut sender, connection) = http1::handshake(FuturesIo::new(self.stream)).await?;
            // Errors of the connection are seen by whoever reads the body.
            executor.spawn(async move { connection.await.map_or((), |()| ()) }).detach();
            sender.send_request(request).await
        }))
        .map_err(lost)?;
        let status = response.status();
        let media = media_of(response.headers());
        let (parts, body) = response.into_parts();
        let mut stream = CallStream {
            executor,
            body,
            media,
            headers: parts.headers,
            buffer: Vec::new(),
            over: None,
            given: false,
        };
        if status == StatusCode::OK {
            return Ok(stream);
        }
        let text = stream.collect()?;
        let said = serde_json::from_slice::<Value>(&text).ok().and_then(|value| error_in(&value));
        Err(said.map_or_else(|| ClientError::Lost(format!("it answered {status}")), ClientError::Api))
    }
}

/// An answer, piece by piece.
#[derive(Debug)]
pub struct CallStream {
    /// Drives the connection while somebody waits for a piece.
    executor: LocalExecutor<'static>,
    /// The response's body.
    body: Incoming,
    /// Its form.
    media: Media,
    /// The response's headers; at the end of the body, its trailers.
    headers: HeaderMap,
    /// Read, and not yet given.
    buffer: Vec<u8>,
    /// The end was read.
    over: Option<Result<Ending, ApiError>>,
    /// The one value of [`Media::Json`] was given.
    given: bool,
}

impl CallStream {
    /// The form of the answer.
    #[must_use]
    pub const fn media(&self) -> Media {
        self.media
    }

    /// The next piece or the end; after the end, the end again.
    ///
    /// # Errors
    /// [`ClientError::Api`] when the call failed on its way, [`ClientError::Lost`] when its end was never heard.
    pub fn next_event(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Some(result) = &self.over {
                return result.clone().map(Event::End).map_err(ClientError::Api);
            }
            let piece = match self.media {
                Media::Json => self.next_whole()?,
                Media::Lines => self.next_line()?,
                Media::Bytes => self.next_bytes()?,
            };
            if let Some(piece) = piece {
                return Ok(Event::Piece(piece));
            }
        }
    }

    /// The one value, then the end.
    fn next_whole(&mut self) -> Result<Option<Piece>, ClientError> {
        if self.given {
            self.over = Some(Ok(ending_in(&self.headers)?));
            return Ok(None);
        }
        let text = self.collect()?;
        self.given = true;
        serde_json::from_slice(&text).map(|value| Some(Piece::Json(value))).map_err(lost)
    }

    /// A line, or the end that the last line tells.
    fn next_line(&mut self) -> Result<Option<Piece>, ClientError> {
        let mut searched = 0;
        let end = loop {
            if let Some(at) = self.buffer[searched..].iter().position(|&byte| byte == b'\n') {
                break searched + at;
            }
            searched = self.buffer.len();
            if searched > ANSWER_LINE_BYTES_MAX {
                return Err(ClientError::Lost("a line is too long".to_owned()));
            }
            let more = self.read()?.ok_or_else(cut_off)?;
            self.buffer.extend_from_slice(&more);
        };
        let value: Value = serde_json::from_slice(&self.buffer[..end]).map_err(lost)?;
        self.buffer.drain(..=end);
        let sole = value.as_object().is_some_and(|object| object.len() == 1);
        if sole && value.get("end").is_some() {
            let word = value["end"].as_str().unwrap_or_default();
            self.over = Some(Ok(ending_of(word)?));
            return Ok(None);
        }
        if let Some(error) = error_in(&value).filter(|_| sole) {
            self.over = Some(Err(error));
            return Ok(None);
        }
        Ok(Some(Piece::Json(value)))
    }

    /// Bytes as they come, or the end that the trailers tell.
    fn next_bytes(&mut self) -> Result<Option<Piece>, ClientError> {
        if let Some(bytes) = self.read()? {
            return Ok((!bytes.is_empty()).then(|| Piece::Bytes(bytes.into())));
        }
        let failed = self.headers.get(FAILED).and_then(|value| serde_json::from_slice(value.as_bytes()).ok());
        self.over = Some(match failed {
            Some(error) => Err(error),
            None => Ok(ending_in(&self.headers)?),
        });
        Ok(None)
    }

    /// All of the body.
    fn collect(&mut self) -> Result<Vec<u8>, ClientError> {
        let mut text = Vec::new();
        while let Some(more) = self.read()? {
            text.extend_from_slice(&more);
            if text.len() > ANSWER_LINE_BYTES_MAX {
                return Err(ClientError::Lost("the answer is too long".to_owned()));
            }
        }
        Ok(text)
    }

    /// Some more of the body; None at its end, when the trailers are known.
    fn read(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let frame = smol::block_on(self.executor.run(self.body.frame()));
            let Some(frame) = frame else { return Ok(None) };
            match frame.map_err(lost)?.into_data() {
                Ok(data) => return Ok(Some(data)),
                Err(other) => {
                    if let Ok(trailers) = other.into_trailers() {
                        self.headers.extend(trailers);
                    }
                }
            }
        }
    }
}

mod source;
pub use source::Source;

/// The form that the headers tell.
fn media_of(headers: &HeaderMap) -> Media {
    match headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) {
        Some(name) if name == Media::Lines.name().as_bytes() => Media::Lines,
        Some(name) if name == Media::Bytes.name().as_bytes() => Media::Bytes,
        _ => Media::Json,
    }
}

/// The error that a JSON value is.
fn error_in(value: &Value) -> Option<ApiError> {
    value.get("error").and_then(|error| serde_json::from_value(error.clone()).ok())
}

/// The ending that headers or trailers tell.
fn ending_in(headers: &HeaderMap) -> Result<Ending, ClientError> {
    let name: &HeaderName = &END;
    headers.get(name).and_then(|value| value.to_str().ok()).map_or_else(|| Err(cut_off()), ending_of)
}

/// The ending that a word means.
fn ending_of(word: &str) -> Result<Ending, ClientError> {
    [Ending::Complete, Ending::Partial]
        .into_iter()
        .find(|&ending| ending_word(ending) == word)
        .ok_or_else(cut_off)
}

/// The answer has no end.
fn cut_off() -> ClientError {
    ClientError::Lost("the answer was cut off".to_owned())
}

/// Anything that went wrong on the way.
fn lost(error: impl fmt::Display) -> ClientError {
    ClientError::Lost(error.to_string())
}
