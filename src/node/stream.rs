//! The sending end of a restore: parts in order become frames, frames become pieces of the answer.
//!
//! Owns what was sent and what was lost. Opens chunks. Read `node/frames.rs` for the frames and `node/parts.rs` for what
//! comes in.

use std::collections::VecDeque;

use super::duty::ChunkLost;
use super::frames::Frame;
use super::parts::{Part, Placed};
use super::ports::Ending;
use crate::base::limits::{CALL_PIECES_MAX, RESTORE_BATCH_BYTES};
use crate::file::entry::{decode_attributes, Kind};
use crate::seal::sealed::{ChunkKind, Sealer};

/// The stream of one restore.
#[derive(Debug)]
pub(super) struct Stream {
    /// Entries without content.
    dry_run: bool,
    /// The file whose parts leave now.
    current: Placed,
    /// The file that is lost: its parts are passed over.
    spoiled: Option<u64>,
    /// Frames that are sent together.
    batch: Vec<u8>,
    /// Pieces that are ready.
    pieces: VecDeque<Vec<u8>>,
    /// Files sent.
    files: u64,
    /// Bytes sent.
    bytes: u64,
    /// Losses told.
    losses: u64,
}

impl Stream {
    /// A stream of which nothing was sent.
    pub(super) fn new(dry_run: bool) -> Self {
        Self {
            dry_run,
            current: Placed::default(),
            spoiled: None,
            batch: Vec::new(),
            pieces: VecDeque::new(),
            files: 0,
            bytes: 0,
            losses: 0,
        }
    }

    /// Another part may be added.
    pub(super) fn has_room(&self) -> bool {
        self.pieces.len() < CALL_PIECES_MAX
    }

    /// No piece is ready.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The next piece.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        self.pieces.pop_front()
    }

    /// The parts of this file are passed over.
    pub(super) fn is_spoiled(&self, file: u64) -> bool {
        self.spoiled == Some(file)
    }

    /// Makes a piece of what there is. False if there is nothing.
    pub(super) fn flush(&mut self) -> bool {
        let any = !self.batch.is_empty();
        self.cut_batch(0);
        any
    }

    /// Sends one part. True if a chunk was opened for it.
    pub(super) fn part(&mut self, placed: Placed, part: Part, sealer: &mut Sealer) -> bool {
        if self.is_spoiled(placed.file) {
            return false;
        }
        self.current = placed;
        match part {
            Part::Entry(frame) => self.entry(&frame),
            Part::Data(plain) => self.data(&plain),
            Part::Hole(length) => {
                self.bytes = self.bytes.saturating_add(length);
                self.frame(&Frame::Hole(length));
            }
            Part::LeftOut => self.frame(&Frame::LeftOut),
            Part::Lost(reason) => self.lose(reason),
            Part::Chunk { length, came, .. } => {
                match open(came, ChunkKind::Content, sealer) {
                    Ok(plain) if u32::try_from(plain.len()) == Ok(length) => self.data(&plain),
                    Ok(_) => self.lose("a chunk has another length than the tree says".into()),
                    Err(reason) => self.lose(reason),
                }
                return true;
            }
            Part::EntryAway { frame, came, .. } => {
                let opened = open(came, ChunkKind::Attributes, sealer)
                    .and_then(|plain| decode_attributes(&plain).map_err(|error| error.to_string()));
                match (opened, *frame) {
                    (Ok(attributes), Frame::Entry { path, kind, stat, target, torn, .. }) => {
                        self.entry(&Frame::Entry { path, kind, stat, attributes, target, torn });
                    }
                    (Ok(_), other) => self.frame(&other),
                    (Err(reason), _) => self.lose(format!("its attributes cannot be had: {reason}")),
                }
                return true;
            }
        }
        false
    }

    /// Sends a frame, with others if it is short.
    pub(super) fn frame(&mut self, frame: &Frame) {
        let Ok(bytes) = frame.encode() else { return };
        self.cut_batch(RESTORE_BATCH_BYTES.saturating_sub(bytes.len()));
        self.batch.extend_from_slice(&bytes);
    }

    /// Ends the stream.
    pub(super) fn end(&mut self) -> Ending {
        let Self { files, bytes, losses: lost, .. } = *self;
        self.frame(&Frame::End { files, bytes, lost });
        self.cut_batch(0);
        if lost == 0 {
            Ending::Complete
        } else {
            Ending::Partial
        }
    }

    /// Sends the frame of an entry.
    fn entry(&mut self, frame: &Frame) {
        if frame.encode().is_err() {
            return self.lose("its attributes are too long".into());
        }
        if let Frame::Entry { kind, stat, .. } = frame {
            if *kind != Kind::Directory {
                self.files += 1;
            }
            if self.dry_run && *kind == Kind::File {
                self.bytes = self.bytes.saturating_add(stat.size);
            }
        }
        self.frame(frame);
    }

    /// Sends content.
    fn data(&mut self, plain: &[u8]) {
        let Ok(length) = u32::try_from(plain.len()) else { return };
        self.bytes = self.bytes.saturating_add(u64::from(length));
        if self.batch.len() + plain.len() > RESTORE_BATCH_BYTES {
            self.cut_batch(0);
        }
        self.frame(&Frame::Data(length));
        self.batch.extend_from_slice(plain);
        self.cut_batch(RESTORE_BATCH_BYTES);
    }

    /// Tells that the current file is lost; what is left of it is passed over.
    fn lose(&mut self, reason: String) {
        self.spoiled = Some(self.current.file);
        self.losses += 1;
        let path = self.current.path.clone();
        self.frame(&Frame::Lost { path, reason });
    }

    /// Makes a piece of the batch if it is longer than this.
    fn cut_batch(&mut self, length: usize) {
        if self.batch.len() > length {
            self.pieces.push_back(std::mem::take(&mut self.batch));
        }
    }
}

/// The plain content of a chunk that came.
pub(super) fn open(
    came: Option<Result<Vec<u8>, ChunkLost>>,
    kind: ChunkKind,
    sealer: &mut Sealer,
) -> Result<Vec<u8>, String> {
    match came {
        Some(Ok(bytes)) => sealer.open(kind, &bytes).map_err(|error| error.to_string()),
        Some(Err(lost)) => Err(lost.reason),
        None => Err("it was not waited for".into()),
    }
}
