//! A zip archive that is made while it is sent: the frames of a restore come in, and an archive comes out.
//!
//! Nothing is compressed (photos and films would only take time), so the archive costs as much processor time as its files. In memory
//! is one piece of the stream; the list of all files, which an archive has at its end, lies in a file in the home that has no name,
//! once it is longer than [`ZIP_LIST_BYTES_MAX`] (a million files make a hundred megabytes of it).
//!
//! Of several places the restores follow each other: each is begun when the one before it has ended.
//!
//! What cannot be had is left out and named in a text at the end; a file that breaks off in its middle cannot be taken back any
//! more, and gets a wrong checksum, so that whoever unpacks it is told.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame as BodyFrame};
use hyper::header::{HeaderMap, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::content::{put, with};
use super::heads::disposition;
use super::rights::Grant;
use super::site::WebSite;
use crate::file::entry::Kind;
use crate::io::calls::{Calls, Outward, Running};
use crate::io::http::{Answer, AnswerBody};
use crate::io::restored::TargetError;
use crate::io::splitter::{Splitter, Taker};
use crate::node::api::{ApiError, Call, Piece};
use crate::node::frames::{Frame, FrameError};

mod archive;
mod list;
mod places;

use self::archive::{Archive, Item};
use self::places::{below, head_of, last_of, name_for, places};

impl WebSite {
    /// `zip`.
    pub(super) async fn zip(&self, request: &Parts, grant: &Grant) -> Result<Answer, ApiError> {
        let places = places(request.uri.query())?;
        let facts = self.facts(grant, &places[0]).await?;
        // What is of the same snapshot as the first one is of the very same, whatever comes meanwhile.
        let head = head_of(&places[0]);
        let pinned = |what: &String| if head_of(what) == head { facts.pinned(what) } else { what.clone() };
        let mut rest: VecDeque<String> = places.iter().map(pinned).collect();
        rest.iter().try_for_each(|what| grant.check(&restore(what)))?;
        let mut headers = HeaderMap::new();
        put(&mut headers, CONTENT_TYPE, "application/zip");
        put(&mut headers, CONTENT_DISPOSITION, &disposition(false, &format!("{}.zip", name_for(&places))));
        put(&mut headers, CACHE_CONTROL, "private, no-store");
        let first = rest.pop_front().filter(|_| request.method != Method::HEAD);
        let Some(what) = first else {
            return Ok(with(StatusCode::OK, headers, AnswerBody::empty()));
        };
        let mut running = self.begin(grant, restore(&what))?;
        let first = match running.next().await {
            Outward::Done(Err(error)) => return Err(error),
            first => Some(first),
        };
        let body = ZipBody {
            calls: self.calls.clone(),
            running,
            rest,
            has_begun: true,
            first,
            splitter: Splitter::default(),
            zip: Zip::new(below(&what), &self.home),
            what,
            state: State::Taking,
        };
        Ok(with(StatusCode::OK, headers, AnswerBody::new(body)))
    }
}

/// What is asked of the core for one place.
fn restore(what: &str) -> Call {
    Call::Restore { what: what.to_owned(), dry_run: false }
}

/// An archive as it is sent.
struct ZipBody {
    /// The core's API.
    calls: Calls,
    /// The restore.
    running: Running,
    /// Of what.
    what: String,
    /// Those that follow.
    rest: VecDeque<String>,
    /// Something of the restore came.
    has_begun: bool,
    /// Heard before the answer began.
    first: Option<Outward>,
    /// Cuts its stream into frames.
    splitter: Splitter,
    /// Makes an archive of them.
    zip: Zip,
    /// Where it stands.
    state: State,
}

/// The states of a [`ZipBody`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Frames come.
    Taking,
    /// All came; the list of files is sent.
    Listing,
    /// All was sent.
    Over,
}

impl Body for ZipBody {
    type Data = Bytes;
    type Error = ApiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, ApiError>>> {
        loop {
            if self.state == State::Over {
                return Poll::Ready(None);
            }
            if let Some(bytes) = self.zip.archive.take() {
                return given(context, bytes);
            }
            if self.state == State::Listing {
                match self.zip.archive.list_piece() {
                    Ok(Some(bytes)) => return given(context, bytes),
                    Ok(None) => {
                        self.state = State::Over;
                        continue;
                    }
                    Err(error) => return self.fail(error),
                }
            }
            let outward = match self.first.take() {
                Some(first) => first,
                None => ready!(self.running.poll_next(context)),
            };
            match outward {
                Outward::Piece(Piece::Bytes(bytes)) => {
                    self.has_begun = true;
                    let Self { splitter, zip, running, .. } = &mut *self;
                    let taken = splitter.take(&bytes, zip);
                    running.taken();
                    if taken.is_err() {
                        let error = self.zip.failed.take().unwrap_or_else(broken);
                        return self.fail(error);
                    }
                }
                Outward::Done(Ok(_)) if self.splitter.is_over() => {
                    if let Err(error) = self.go_on() {
                        return self.fail(error);
                    }
                }
                // One of several is not there (any more): the others are.
                Outward::Done(Err(error)) if !self.has_begun => {
                    let Self { what, zip, .. } = &mut *self;
                    let lost = zip.lose(last_of(what).as_bytes(), &error.message);
                    if let Err(error) = lost.and_then(|()| self.go_on()) {
                        return self.fail(error);
                    }
                }
                Outward::Done(Err(error)) => return self.fail(error),
                _ => return self.fail(broken()),
            }
        }
    }
}

impl ZipBody {
    /// The next restore begins; after the last one, the list of files does.
    fn go_on(&mut self) -> Result<(), ApiError> {
        let Some(what) = self.rest.pop_front() else {
            self.state = State::Listing;
            return self.zip.end();
        };
        self.zip.below = below(&what).to_vec();
        self.splitter = Splitter::default();
        self.has_begun = false;
        self.running = self.calls.begin(restore(&what));
        self.what = what;
        Ok(())
    }

    /// It cannot be brought to its end: the connection breaks off, so that nobody takes what came for all.
    fn fail(&mut self, error: ApiError) -> Poll<Option<Result<BodyFrame<Bytes>, ApiError>>> {
        self.state = State::Over;
        Poll::Ready(Some(Err(error)))
    }
}

/// Bytes of the body.
fn given(context: &Context<'_>, bytes: Vec<u8>) -> Poll<Option<Result<BodyFrame<Bytes>, ApiError>>> {
    // As in io/http.rs: nobody might ask again.
    context.waker().wake_by_ref();
    Poll::Ready(Some(Ok(BodyFrame::data(Bytes::from(bytes)))))
}

/// The error for a stream that makes no sense.
fn broken() -> ApiError {
    ApiError::new("internal", "the stream of a restore is damaged", "try again")
}

/// Turns frames into an archive.
struct Zip {
    /// Comes before all names.
    below: Vec<u8>,
    /// The archive.
    archive: Archive,
    /// A file whose content has not begun.
    waiting: Option<Item>,
    /// The file whose content comes is passed over.
    is_skipping: bool,
    /// What could not be had: its names, as far as they fit.
    lost: String,
    /// How much that is.
    lost_count: u64,
    /// Why it cannot go on.
    failed: Option<ApiError>,
}

impl Zip {
    /// An archive without anything in it. The list of files may be put into `home`.
    fn new(below: &[u8], home: &Path) -> Self {
        Self {
            below: below.to_vec(),
            archive: Archive::new(PathBuf::from(home)),
            waiting: None,
            is_skipping: false,
            lost: String::new(),
            lost_count: 0,
            failed: None,
        }
    }

    /// Something becomes a part of it.
    fn take(&mut self, frame: Frame) -> Result<(), ApiError> {
        match frame {
            Frame::Begin { .. } | Frame::Data(_) => {}
            Frame::Entry { path, kind, stat, target, .. } => {
                self.end_file()?;
                let item = Item { name: name_of(&self.below, &path, kind), kind, stat };
                match kind {
                    Kind::File if stat.size > 0 => self.waiting = Some(item),
                    Kind::File | Kind::Directory => self.archive.whole(&item, b"")?,
                    Kind::Symlink => self.archive.whole(&item, &target.unwrap_or_default())?,
                }
            }
            Frame::Hole(length) => {
                self.begin_file()?;
                self.archive.zeros(length)?;
            }
            Frame::Lost { path, reason } => self.lose(&path, &reason)?,
            Frame::LeftOut => self.lose(b"", "it was left out")?,
            Frame::End { .. } => self.end_file()?,
        }
        Ok(())
    }

    /// Content of the file comes.
    fn begin_file(&mut self) -> Result<(), ApiError> {
        match self.waiting.take() {
            Some(item) => self.archive.begin(&item),
            None => Ok(()),
        }
    }

    /// No more content of the file comes.
    fn end_file(&mut self) -> Result<(), ApiError> {
        self.is_skipping = false;
        // It has a length and no content: nothing of it came, not even a loss.
        self.begin_file()?;
        self.archive.end(true)
    }

    /// What is under way cannot be had.
    fn lose(&mut self, path: &[u8], reason: &str) -> Result<(), ApiError> {
        self.waiting = None;
        self.is_skipping = true;
        self.archive.end(false)?;
        self.lost_count += 1;
        if self.lost.len() < LOST_BYTES_MAX {
            let path = String::from_utf8_lossy(path);
            self.lost.push_str(&format!("{}: {reason}\r\n", path.replace(char::is_control, "?")));
        }
        Ok(())
    }

    /// All came: says what did not, and ends the archive.
    fn end(&mut self) -> Result<(), ApiError> {
        if self.lost_count > 0 {
            let text = format!(
                "{} of the files or directories cannot be had now and are not in this archive, or not whole:\r\n\r\n{}",
                self.lost_count, self.lost
            );
            self.archive.note(&name_of(&self.below, LOST_NAME, Kind::File), text.as_bytes())?;
        }
        self.archive.finish()
    }
}

impl Taker for Zip {
    fn frame(&mut self, frame: Frame) -> Result<(), TargetError> {
        self.take(frame).map_err(|error| {
            self.failed = Some(error);
            TargetError::Stream(FrameError)
        })
    }

    fn data(&mut self, data: &[u8]) -> Result<(), TargetError> {
        if self.is_skipping {
            return Ok(());
        }
        let result = self.begin_file().and_then(|()| self.archive.data(data));
        result.map_err(|error| {
            self.failed = Some(error);
            TargetError::Stream(FrameError)
        })
    }
}

/// The name in the archive, in UTF-8 and with slashes: what is no UTF-8, cannot be shown, or would be a way out of the directory
/// on some systems is escaped as in addresses. A directory's name ends with a slash.
fn name_of(below: &[u8], path: &[u8], kind: Kind) -> Vec<u8> {
    let mut name = Vec::with_capacity(below.len() + path.len() + 2);
    name.extend_from_slice(below);
    if !below.is_empty() {
        name.push(b'/');
    }
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '\\' {
                let mut bytes = [0; 4];
                escape(&mut name, character.encode_utf8(&mut bytes).as_bytes());
            } else {
                let mut bytes = [0; 4];
                name.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
            }
        }
        escape(&mut name, chunk.invalid());
    }
    if kind == Kind::Directory {
        name.push(b'/');
    }
    name
}

/// Adds bytes as `%XX`.
fn escape(name: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        name.extend_from_slice(format!("%{byte:02X}").as_bytes());
    }
}

/// What says that not all is there.
const LOST_NAME: &[u8] = b"NOT EVERYTHING IS HERE.txt";
/// Bytes of the names of what could not be had.
const LOST_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
