//! A body that is read while it is sent.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use smol::channel::{bounded, Receiver, Sender};
use smol::stream::Stream as _;

use crate::base::limits::HTTP_BUFFER_BYTES_MAX;

/// Tells how many bytes were read so far; an error ends the sending.
pub type Told = Box<dyn FnMut(u64)>;

/// What is sent. It is read in a thread of its own: a source that is slow (a pipe) must not keep the connection from carrying what it
/// has.
pub struct Source {
    /// What was read, or why it could not be.
    pieces: Pin<Box<Receiver<io::Result<Vec<u8>>>>>,
    /// Hears how far it is.
    told: Told,
    /// Hears why it could not be read on.
    failed: Box<dyn FnMut(io::Error)>,
    /// Bytes so far.
    bytes: u64,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Source").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// Reading failed: the request breaks off, and the node keeps nothing of it.
#[derive(Debug)]
pub struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("what is sent cannot be read on")
    }
}

impl std::error::Error for Broken {}

impl Source {
    /// Reads from here until the end.
    #[must_use]
    pub fn new(reader: Box<dyn Read + Send>, told: Told, failed: Box<dyn FnMut(io::Error)>) -> Self {
        let (sender, pieces) = bounded(PIECES_READ_MAX);
        let spawned = std::thread::Builder::new().name("source".into()).spawn({
            let sender = sender.clone();
            move || read(reader, &sender)
        });
        if let Err(error) = spawned {
            // The channel is empty: there is room.
            let _ = sender.try_send(Err(error));
        }
        Self { pieces: Box::pin(pieces), told, failed, bytes: 0 }
    }
}

/// Pieces that are read ahead.
const PIECES_READ_MAX: usize = 2;

/// Reads to the end, or until nobody wants more.
fn read(mut reader: Box<dyn Read + Send>, sender: &Sender<io::Result<Vec<u8>>>) {
    loop {
        let mut piece = vec![0; HTTP_BUFFER_BYTES_MAX];
        let result = match reader.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(0) => return,
            Ok(length) => {
                piece.truncate(length);
                Ok(piece)
            }
            Err(error) => Err(error),
        };
        let is_over = result.is_err();
        if sender.send_blocking(result).is_err() || is_over {
            return;
        }
    }
}

impl Body for Source {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Poll::Ready(match ready!(self.pieces.as_mut().poll_next(context)) {
            None => None,
            Some(Ok(piece)) => {
                self.bytes += u64::try_from(piece.len()).unwrap_or(0);
                let bytes = self.bytes;
                (self.told)(bytes);
                Some(Ok(Frame::data(Bytes::from(piece))))
            }
            Some(Err(error)) => {
                (self.failed)(error);
                Some(Err(Broken))
            }
        })
    }
}
