//! A body that is read while it is sent.

use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};

use crate::base::limits::HTTP_BUFFER_BYTES_MAX;

/// Tells how many bytes were read so far; an error ends the sending.
pub type Told = Box<dyn FnMut(u64)>;

/// What is sent.
pub struct Source {
    /// Where it is read.
    reader: Box<dyn Read>,
    /// Hears how far it is.
    told: Told,
    /// Hears why it could not be read on.
    failed: Box<dyn FnMut(std::io::Error)>,
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
    pub fn new(reader: Box<dyn Read>, told: Told, failed: Box<dyn FnMut(std::io::Error)>) -> Self {
        Self { reader, told, failed, bytes: 0 }
    }
}

impl Body for Source {
    type Data = Bytes;
    type Error = Broken;

    /// Reads the next piece. That blocks, as all that the command line does.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut piece = vec![0; HTTP_BUFFER_BYTES_MAX];
        let read = loop {
            match self.reader.read(&mut piece) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        Poll::Ready(match read {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                self.bytes += u64::try_from(length).unwrap_or(0);
                let bytes = self.bytes;
                (self.told)(bytes);
                Some(Ok(Frame::data(Bytes::from(piece))))
            }
            Err(error) => {
                (self.failed)(error);
                Some(Err(Broken))
            }
        })
    }
}
