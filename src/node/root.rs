//! The root of a folder: is it the directory that was scanned before, and is it there at all?
//!
//! Owns the refusals: a root that is missing, another one, or suddenly empty is never taken for a deletion. Read
//! `node/backup.rs` for when it is looked at.

use super::duty::Ask;
use super::outcome::{BackupError, BackupJob};
use super::ports::{FileError, FileErrorKind, FileRequest, RootFacts};
use super::sink::Sink;
use crate::store::service::Op;

/// What identifies a root: its file system and inode.
pub(super) type Marker = (u64, u64);

/// Asks for the root.
pub(super) fn ask(job: &BackupJob, sink: &mut Sink) -> Op {
    let op = sink.ops.draw();
    sink.asks.push_back(Ask::File(FileRequest::Root { op, root: job.root.clone() }));
    op
}

/// The root was looked at before the scan.
pub(super) fn before(
    job: &mut BackupJob,
    result: Result<RootFacts, FileError>,
) -> Result<Marker, BackupError> {
    let root = job.root.clone();
    let facts = result.map_err(|error| unreadable(job, error))?;
    let marker = (facts.file_system, facts.inode);
    if job.marker.is_some_and(|known| known != marker) {
        return Err(BackupError::RootChanged { root });
    }
    // A shared folder that is attached to another place is to be filled there.
    let had_entries =
        !job.is_elsewhere() && job.base().is_some_and(|base| base.counts.files + base.counts.directories > 0);
    if facts.empty && had_entries && !job.guarded.may_be_empty {
        // Of a shared folder all may be what this disk never had: it does not take such names, or had no room.
        job.guarded.is_empty = job.shared.is_some();
        if !job.guarded.is_empty {
            return Err(BackupError::RootEmptied { root });
        }
    }
    Ok(marker)
}

/// The root was looked at after the scan: an unplugged disk looks like files that vanished one after the other.
pub(super) fn after(
    job: &BackupJob,
    marker: Marker,
    result: Result<RootFacts, FileError>,
) -> Result<(), BackupError> {
    let facts = result.map_err(|error| unreadable(job, error))?;
    if (facts.file_system, facts.inode) == marker {
        Ok(())
    } else {
        Err(BackupError::RootChanged { root: job.root.clone() })
    }
}

/// Why the root cannot be scanned.
pub(super) fn unreadable(job: &BackupJob, error: FileError) -> BackupError {
    let root = job.root.clone();
    if job.guarded.is_empty {
        return BackupError::RootEmptied { root };
    }
    match error.kind {
        FileErrorKind::Missing => BackupError::RootMissing { root },
        FileErrorKind::Changed => BackupError::RootChanged { root },
        FileErrorKind::Denied | FileErrorKind::Failed | FileErrorKind::Unfit => {
            BackupError::RootUnreadable { root, detail: error.detail }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::FolderId;
    use crate::base::units::WallTime;
    use crate::file::entry::Stat;

    #[test]
    fn a_disk_that_was_unplugged_during_the_scan_is_no_deletion() {
        let mut job = BackupJob {
            folder: FolderId::from_bytes([0; 16]),
            root: b"/mnt/disk".to_vec(),
            ignore: Vec::new(),
            one_file_system: false,
            max_size: None,
            marker: None,
            parent: None,
            partial: None,
            trusted_before: WallTime::default(),
            cut_key: [0; 32],
            map_key: [0; 32],
            exact: false,
            anew: false,
            watch: false,
            checksum: false,
            lost: std::collections::BTreeSet::new(),
            fresh: false,
            news: false,
            shared: None,
            guarded: crate::node::guard::guarding::Guarded::default(),
        };
        let stat =
            Stat { size: 0, mtime_ns: 0, ctime_ns: 0, inode: 2, mode: 0o755, uid: 0, gid: 0, links: 1 };
        let facts = |file_system| Ok(RootFacts { file_system, inode: 2, empty: true, stat });
        let marker = before(&mut job, facts(7)).unwrap();
        assert_eq!(after(&job, marker, facts(7)), Ok(()), "a root may be empty when it always was");
        let root = job.root.clone();
        assert_eq!(after(&job, marker, facts(1)), Err(BackupError::RootChanged { root: root.clone() }));
        let gone = FileError { kind: FileErrorKind::Missing, detail: "stat: gone".into() };
        assert_eq!(after(&job, marker, Err(gone)), Err(BackupError::RootMissing { root }));
    }
}
