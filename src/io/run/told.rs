//! What is told of the store when a node starts.

use crate::store::service::OpenReport;

/// What the store has lost since it was closed, for the activity log: the core looks for it.
pub(super) fn lost(report: &OpenReport) -> Option<String> {
    let (files, chunks) = (report.segments_lost, report.chunks_lost);
    (files > 0).then(|| {
        format!("{files} files of the store are gone, with {chunks} chunks that the index knows of; what is missing is fetched from other devices where there is a copy")
    })
}

/// Logs what else a person should know of the store.
pub(super) fn say_opened(report: &OpenReport) {
    if report.segments_renamed + report.files_set_aside > 0 {
        log::warn!(
            "{} files of the store stood under wrong names and were renamed, {} do not belong to it and were set aside",
            report.segments_renamed,
            report.files_set_aside
        );
    }
    if report.rotten_places > 0 {
        log::error!(
            "{} bytes in {} places of the store are damaged; what they held is fetched from other nodes where there is a copy",
            report.rotten_bytes,
            report.rotten_places
        );
    }
    if report.torn_bytes > 0 {
        log::info!(
            "{} bytes that were being written when the node was last cut off are dropped",
            report.torn_bytes
        );
    }
}
