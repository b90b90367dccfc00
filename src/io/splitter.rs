//! Cuts a restore stream (`node/frames.rs`) into its frames and their content, wherever its pieces begin and end.

use super::restored::TargetError;
use crate::node::frames::{Frame, FrameError, FRAME_BYTES_MAX};

/// Takes what the stream says.
pub trait Taker {
    /// The next frame.
    ///
    /// # Errors
    /// When the restore cannot go on.
    fn frame(&mut self, frame: Frame) -> Result<(), TargetError>;

    /// A run of the content that the last frame told of.
    ///
    /// # Errors
    /// When the restore cannot go on.
    fn data(&mut self, data: &[u8]) -> Result<(), TargetError>;
}

/// A stream that is being read.
#[derive(Debug, Default)]
pub struct Splitter {
    /// Bytes of a frame that is not complete.
    buffer: Vec<u8>,
    /// What comes next in the stream.
    next: Next,
}

/// What comes next in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Next {
    /// The length of a frame.
    #[default]
    Length,
    /// This many bytes of a frame.
    Frame(usize),
    /// This many bytes of content.
    Data(usize),
    /// Nothing.
    Nothing,
}

impl Splitter {
    /// Whether the last frame was seen.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.next == Next::Nothing
    }

    /// Takes the next bytes of the stream, cut anywhere.
    ///
    /// # Errors
    /// When they are none of a restore stream, or `taker` cannot go on.
    pub fn take(&mut self, mut bytes: &[u8], taker: &mut impl Taker) -> Result<(), TargetError> {
        loop {
            match self.next {
                Next::Length => {
                    if !self.gather(&mut bytes, 4) {
                        return Ok(());
                    }
                    let length = self.buffer.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    if length > FRAME_BYTES_MAX {
                        return Err(TargetError::Stream(FrameError));
                    }
                    self.buffer.clear();
                    self.next = Next::Frame(length);
                }
                Next::Frame(length) => {
                    if !self.gather(&mut bytes, length) {
                        return Ok(());
                    }
                    let frame = Frame::decode(&self.buffer).map_err(TargetError::Stream)?;
                    self.buffer.clear();
                    self.next = match frame {
                        Frame::Data(length) => Next::Data(usize::try_from(length).unwrap_or(usize::MAX)),
                        Frame::End { .. } => Next::Nothing,
                        _ => Next::Length,
                    };
                    taker.frame(frame)?;
                }
                Next::Data(0) => self.next = Next::Length,
                Next::Data(left) => {
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    let (data, rest) = bytes.split_at(left.min(bytes.len()));
                    taker.data(data)?;
                    self.next = Next::Data(left - data.len());
                    bytes = rest;
                }
                Next::Nothing if bytes.is_empty() => return Ok(()),
                Next::Nothing => return Err(TargetError::Stream(FrameError)),
            }
        }
    }

    /// Moves bytes to the buffer until it has `length`; whether it has.
    fn gather(&mut self, bytes: &mut &[u8], length: usize) -> bool {
        let (taken, rest) = bytes.split_at(length.saturating_sub(self.buffer.len()).min(bytes.len()));
        self.buffer.extend_from_slice(taken);
        *bytes = rest;
        self.buffer.len() == length
    }
}
