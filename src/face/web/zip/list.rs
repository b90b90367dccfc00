//! The list of files at the end of an archive, while it grows: in memory as long as it is short, then in a file without a name.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::base::limits::ZIP_LIST_BYTES_MAX;
use crate::io::os::entropy;
use crate::node::api::ApiError;

/// The list.
pub(super) struct List {
    /// Where the file would be.
    home: PathBuf,
    /// What is not in the file.
    buffer: Vec<u8>,
    /// The file.
    file: Option<File>,
    /// Bytes in all.
    length: u64,
}

impl List {
    /// Nothing is in it.
    pub(super) const fn new(home: PathBuf) -> Self {
        Self { home, buffer: Vec::new(), file: None, length: 0 }
    }

    /// Bytes in all.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Adds bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        self.length += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= ZIP_LIST_BYTES_MAX {
            self.spill().map_err(|error| full(&error))?;
        }
        Ok(())
    }

    /// All was added: it is read from its beginning.
    pub(super) fn rewind(&mut self) -> Result<(), ApiError> {
        if self.file.is_none() {
            return Ok(());
        }
        self.spill()
            .and_then(|()| self.file.as_mut().map_or(Ok(()), |file| file.rewind()))
            .map_err(|error| full(&error))
    }

    /// The next bytes, after [`List::rewind`].
    pub(super) fn piece(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        let Some(file) = &mut self.file else {
            return Ok(Some(std::mem::take(&mut self.buffer)).filter(|bytes| !bytes.is_empty()));
        };
        let mut bytes = vec![0; BLOCK_BYTES];
        let length = file.read(&mut bytes).map_err(|error| full(&error))?;
        bytes.truncate(length);
        Ok((length > 0).then_some(bytes))
    }

    /// Moves what is in memory into the file.
    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(nameless(&self.home)?),
        };
        file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// A file in this directory that goes when it is closed.
fn nameless(home: &std::path::Path) -> io::Result<File> {
    let random = entropy().map_err(io::Error::other)?;
    let name: String = random[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let path = home.join(format!("zip-{name}.tmp"));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// The error for a list that cannot be kept.
fn full(error: &io::Error) -> ApiError {
    ApiError::new(
        "no_room",
        format!("the list of an archive's files cannot be kept: {error}"),
        "make room on this node's disk",
    )
}

/// Bytes that are read at once.
const BLOCK_BYTES: usize = 64 * 1024;
