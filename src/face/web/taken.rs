//! What is taken out of old snapshots: a version that becomes the current one, and a restore into a directory of this node.
//!
//! A version does not go through the client: what the core reads of the old snapshot is put into the folder like something that was
//! sent, and has the same chunks there. A restore is done by this same program as its command line does it (`face/restore.rs`), in a
//! process of its own that asks this node over the control socket: files are written with the node's rights, slow disks hold up
//! nobody, and when the client goes away the process is killed. What it has written stays, and the next one goes on from there.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::task::{ready, Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{HeaderMap, CONTENT_TYPE};
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{json, Value};
use smol::io::AsyncRead as _;
use smol::Async;

use super::account::{parsed, told};
use super::content::{put, with};
use super::rights::{folder_of, Grant};
use super::site::WebSite;
use crate::base::limits::{ANSWER_LINE_BYTES_MAX, RESTORES_MAX};
use crate::io::calls::Outward;
use crate::io::http::{Answer, AnswerBody, Media};
use crate::node::api::{ApiError, Call, Piece, PutFile};

/// The body of `revert`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevertBody {
    /// `NAME@SNAPSHOT:PATH`.
    what: String,
}

/// The body of `restore-to`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RestoreBody {
    /// `NAME[@SNAPSHOT][:PATH]`.
    what: String,
    /// An absolute path of this node.
    to: String,
    /// Replace what differs.
    #[serde(default)]
    overwrite: bool,
    /// Say what would be done.
    #[serde(default)]
    dry_run: bool,
}

impl WebSite {
    /// `revert`.
    pub(super) async fn revert(&self, request: Request<Incoming>, grant: &Grant) -> Result<Answer, ApiError> {
        let RevertBody { what } = parsed(request).await?;
        let path = what.split_once(':').map_or("", |(_, path)| path);
        let now = format!("{}:{path}", folder_of(&what));
        Ok(told(&self.take_over(grant, &what, &now).await?))
    }

    /// Makes a file of a snapshot a file of a shared folder; what the core says of it.
    pub(super) async fn take_over(&self, grant: &Grant, from: &str, to: &str) -> Result<Value, ApiError> {
        let facts = self.facts(grant, from).await?;
        if facts.kind != "file" {
            let message = format!("'{from}' is a {}, and only files have versions", facts.kind);
            return Err(ApiError::new("bad_path", message, "name a file"));
        }
        let file = PutFile { mtime_ns: facts.mtime_ns, mode: facts.mode };
        let mut running = self.begin(grant, Call::Put { what: to.to_owned(), file, wait: false })?;
        let mut content = match facts.size {
            0 => None,
            size => Some(self.read(grant, &facts.pinned(from), (0, size)).await?),
        };
        let mut line = json!({});
        loop {
            match running.next().await {
                Outward::More => {
                    let next = match &mut content {
                        Some(content) => content.next().await,
                        None => None,
                    };
                    match next {
                        Some(piece) => running.give(piece?, false),
                        None => running.give(Vec::new(), true),
                    }
                }
                Outward::Piece(piece) => {
                    running.taken();
                    if let Piece::Json(told) = piece {
                        if told["event"] == "put" {
                            line = told;
                        }
                    }
                }
                Outward::Done(result) => return result.map(|_| line),
            }
        }
    }

    /// `restore-to`.
    pub(super) async fn restore_to(
        &self,
        request: Request<Incoming>,
        grant: &Grant,
    ) -> Result<Answer, ApiError> {
        // Whoever may write anywhere on this node may do everything.
        grant.check(&Call::ConfigGet { key: None })?;
        let body: RestoreBody = parsed(request).await?;
        if !Path::new(&body.to).is_absolute() || body.to.contains('\0') {
            let message = format!("'{}' is no absolute path", body.to.escape_debug());
            return Err(ApiError::new("target", message, "begin with /"));
        }
        // A mistake is told before a process is started for it.
        self.facts(grant, &body.what).await?;
        if Rc::strong_count(&self.restores) > RESTORES_MAX {
            return Err(ApiError::new(
                "busy",
                "other restores are running",
                "wait until one of them is done",
            ));
        }
        let cannot = |error: std::io::Error| {
            ApiError::new(
                "system",
                format!("a process for the restore cannot be started: {error}"),
                "end other programs",
            )
        };
        let mut headers = HeaderMap::new();
        put(&mut headers, CONTENT_TYPE, Media::Lines.name());
        let (output, child) = start(&self.home, &body).map_err(cannot)?;
        let output = Async::new(output).map_err(cannot)?;
        let restoring = Restoring {
            child: Some(child),
            output,
            line: Vec::new(),
            has_failed: false,
            is_over: false,
            _counted: Rc::clone(&self.restores),
        };
        Ok(with(StatusCode::OK, headers, AnswerBody::new(restoring)))
    }
}

/// Starts the command line; what it says, errors too, comes out of the socket.
fn start(home: &Path, body: &RestoreBody) -> std::io::Result<(UnixStream, Child)> {
    let (ours, theirs) = UnixStream::pair()?;
    let errors = theirs.try_clone()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg("--home").arg(home).args(["--json", "restore", "--to"]).arg(&body.to);
    if body.overwrite {
        command.arg("--overwrite");
    }
    if body.dry_run {
        command.arg("--dry-run");
    }
    command.arg("--").arg(&body.what);
    let (theirs, errors) = (std::os::fd::OwnedFd::from(theirs), std::os::fd::OwnedFd::from(errors));
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::from(theirs)).stderr(Stdio::from(errors)).spawn()?;
    Ok((ours, child))
}

/// A restore that runs.
struct Restoring {
    /// The process, until it was waited for.
    child: Option<Child>,
    /// What it says.
    output: Async<UnixStream>,
    /// A line that is not complete.
    line: Vec<u8>,
    /// It told an error.
    has_failed: bool,
    /// All was told.
    is_over: bool,
    /// Counts as one of those that run.
    _counted: Rc<()>,
}

impl Body for Restoring {
    type Data = Bytes;
    type Error = ApiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ApiError>>> {
        loop {
            if self.is_over {
                return Poll::Ready(None);
            }
            let mut block = [0; 16 * 1024];
            let count = match ready!(Pin::new(&mut self.output).poll_read(context, &mut block)) {
                Ok(count) => count,
                Err(error) => {
                    log::debug!("a restore's output ended: {error}");
                    0
                }
            };
            let lines = if count == 0 { self.end() } else { self.take(&block[..count]) };
            if !lines.is_empty() {
                // As in io/http.rs: nobody might ask again.
                context.waker().wake_by_ref();
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from(lines)))));
            }
        }
    }
}

impl Restoring {
    /// Takes what it says, and gives the lines of JSON that are complete; other words are for terminals.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.line.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            self.has_failed |= line.starts_with(b"{\"error\"");
            if line.starts_with(b"{") {
                lines.extend(line);
            }
        }
        if self.line.len() > ANSWER_LINE_BYTES_MAX {
            self.line.clear();
        }
        lines
    }

    /// It has ended: how, as a line.
    fn end(&mut self) -> Vec<u8> {
        self.is_over = true;
        // Its output is closed, so it is about to end.
        let status = self.child.take().and_then(|mut child| child.wait().ok());
        let value = match status.and_then(|status| status.code()) {
            Some(0) => json!({"end": "complete"}),
            Some(4) => json!({"end": "partial"}),
            _ if self.has_failed => return Vec::new(),
            _ => {
                let error =
                    ApiError::new("internal", "the restore ended without saying why", "see the node's log");
                json!({ "error": error })
            }
        };
        format!("{value}\n").into_bytes()
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = child.kill();
        // It may be in the middle of a write to a slow disk, which nobody here waits for.
        let reap = move || drop(child.wait());
        if let Err(error) =
            std::thread::Builder::new().name("nuthatch-reap".to_owned()).stack_size(64 * 1024).spawn(reap)
        {
            log::warn!("a process that was ended is not waited for: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that says something and then lives on.
    fn process(script: &str) -> Restoring {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let child = Command::new("sh")
            .arg("-c")
            .arg(script)
            .stdout(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .spawn()
            .unwrap();
        Restoring {
            child: Some(child),
            output: Async::new(ours).unwrap(),
            line: Vec::new(),
            has_failed: false,
            is_over: false,
            _counted: Rc::new(()),
        }
    }

    fn all(mut restoring: Restoring) -> String {
        let mut text = Vec::new();
        while let Some(frame) =
            smol::block_on(std::future::poll_fn(|context| Pin::new(&mut restoring).poll_frame(context)))
        {
            text.extend_from_slice(frame.unwrap().data_ref().unwrap());
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn lines_of_json_come_through_and_the_last_says_how_it_ended() {
        assert_eq!(
            all(process("echo '{\"a\":1}'; echo words; printf '{\"b\"'; echo ':2}'")),
            "{\"a\":1}\n{\"b\":2}\n{\"end\":\"complete\"}\n"
        );
        assert_eq!(all(process("exit 4")), "{\"end\":\"partial\"}\n");
        assert_eq!(all(process("echo '{\"error\":{}}'; exit 1")), "{\"error\":{}}\n");
        assert!(all(process("kill -9 $$")).contains("internal"));
    }

    #[test]
    fn a_process_whose_client_goes_away_is_killed() {
        let restoring = process("exec sleep 1000");
        let pid = restoring.child.as_ref().unwrap().id();
        drop(restoring);
        let place = format!("/proc/{pid}");
        while Path::new(&place).exists() {
            std::thread::yield_now();
        }
    }
}
