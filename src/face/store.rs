//! `store check` and `store export`: what is in a data home, without its node.
//!
//! Only reads the home. Exported are the sealed chunks and the signed feed entries: what another program needs, with the recovery
//! phrase, to go on. Settings are not: they hold this node's keys. Read `store/check.rs` first.

use std::collections::HashSet;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::exit::{Exit, Fail};
use super::out::Out;
use super::serve::failed;
use super::show;
use crate::base::ids::hex;
use crate::io::disk::FileDisk;
use crate::io::home::hold_home;
use crate::io::run::RunError;
use crate::node::api::ApiError;
use crate::store::check::{check as check_store, CheckReport, Named, Whole};
use crate::store::disk::DiskError;
use serde_json::json;

/// `store check`, and with a directory `store export`.
///
/// # Errors
/// When there is no store, a node uses it, or the disk fails; damage is no error but the exit code.
pub fn check(home: &Path, to: Option<&Path>, out: Out) -> Result<Exit, Fail> {
    let _held = hold_home(home).map_err(|error| failed(&RunError::Home(error)))?;
    let mut target = to.map(Target::take).transpose()?;
    let bar = out.bar();
    let mut bytes = 0;
    let report = check_store(Arc::new(FileDisk::read_only(home)), &mut |whole| {
        if let Whole::Chunk(_, sealed) = whole {
            bytes += u64::try_from(sealed.len()).unwrap_or(0);
            bar.say(format!("{} read", show::bytes(bytes)));
        }
        target.as_mut().map_or(Ok(()), |target| target.keep(whole))
    });
    bar.clear();
    let report = report.map_err(|error| ApiError::new("disk", error.to_string(), ""))?;
    if let Some(target) = target {
        target.finish()?;
    }
    tell(out, &report, to)?;
    Ok(match (report.is_sound(), to) {
        (true, _) => Exit::Done,
        (false, None) => Exit::Failed,
        (false, Some(_)) => Exit::Partial,
    })
}

/// Prints what was found.
fn tell(out: Out, report: &CheckReport, to: Option<&Path>) -> Result<(), Fail> {
    let ids = |named: &Named| named.ids.iter().map(|id| id.hex()).collect::<Vec<_>>();
    let value = json!({
        "sound": report.is_sound(),
        "chunks": report.chunks,
        "stored_bytes": report.bytes,
        "entries": report.entries,
        "dead_records": report.dead,
        "damaged": report.damaged.count,
        "damaged_ids": ids(&report.damaged),
        "missing": report.missing.count,
        "missing_ids": ids(&report.missing),
        "unindexed": report.unindexed,
        "rotten_places": report.rotten_places,
        "rotten_bytes": report.rotten_bytes,
        "torn_bytes": report.open.torn_bytes,
        "runs_damaged": report.open.runs_discarded,
        "state_error": report.state.as_ref().map(ToString::to_string),
        "exported_to": to.map(|to| to.display().to_string()),
    });
    out.both(&value, |_| text(report, to))
}

/// The same for people.
fn text(report: &CheckReport, to: Option<&Path>) -> String {
    let mut lines = Vec::new();
    let verb = if to.is_some() { "were written" } else { "are whole" };
    lines.push(format!(
        "{} ({}) and {} {verb}.",
        show::count(report.chunks, "chunk"),
        show::bytes(report.bytes),
        show::count(report.entries, "feed entry"),
    ));
    for (what, named) in [("damaged", &report.damaged), ("missing", &report.missing)] {
        if named.count > 0 {
            lines.push(format!("{} {what}:", show::count(named.count, "chunk")));
            lines.extend(named.ids.iter().map(|id| format!("  {}", id.hex())));
        }
    }
    if report.rotten_places > 0 {
        let rotten = show::bytes(report.rotten_bytes);
        lines.push(format!(
            "{} of segments, {rotten}, cannot be read as records.",
            show::count(report.rotten_places, "place")
        ));
    }
    match report.unindexed {
        Some(0) => {}
        Some(count) => lines.push(format!("{} that the index does not have.", show::count(count, "record"))),
        None => lines.push("Whether the index has all records cannot be told beside that damage.".into()),
    }
    if let Some(error) = &report.state {
        lines.push(error.to_string());
    }
    if report.open.torn_bytes > 0 || report.open.runs_discarded > 0 {
        lines.push(format!(
            "At its next start the node cuts off {} that were never acknowledged, and builds {} anew.",
            show::bytes(report.open.torn_bytes),
            show::count(report.open.runs_discarded, "index run"),
        ));
    }
    if !report.is_sound() {
        lines.push("The node fetches what is damaged or missing from the others; keep one running, and look at the health of this disk.".into());
    }
    lines.join("\n") + "\n"
}

/// Where an export goes.
struct Target {
    /// The directory.
    root: PathBuf,
    /// Directories that were made.
    made: HashSet<String>,
}

impl Target {
    /// Takes a directory that is empty or not there.
    fn take(root: &Path) -> Result<Self, Fail> {
        match std::fs::read_dir(root) {
            Ok(entries) => {
                if entries.count() > 0 {
                    let message = format!("{} holds something already", root.display());
                    return Err(Fail::usage(message, "name an empty directory, or one that is not there"));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(root).map_err(|error| Fail::file("make", root, &error))?;
            }
            Err(error) => return Err(Fail::file("read", root, &error)),
        }
        Ok(Self { root: root.to_path_buf(), made: HashSet::new() })
    }

    /// Writes one thing to a file of its own.
    fn keep(&mut self, whole: Whole<'_>) -> Result<(), DiskError> {
        let (directories, leaf, content) = match whole {
            Whole::Chunk(id, sealed) => {
                let name = id.hex();
                (["chunks".to_owned(), format!("chunks/{}", &name[..2])], name, sealed)
            }
            Whole::Entry(feed, sequence, entry) => {
                let feed = format!("feeds/{}-{}", feed.node.hex(), hex(&feed.random));
                (["feeds".to_owned(), feed], format!("{sequence:020}"), entry)
            }
        };
        let name = format!("{}/{leaf}", directories[1]);
        self.write(&directories, &name, content).map_err(|error| DiskError::from_io("write", &name, &error))
    }

    /// Writes a file.
    fn write(&mut self, directories: &[String; 2], name: &str, content: &[u8]) -> io::Result<()> {
        for directory in directories {
            if !self.made.contains(directory) {
                make(&self.root.join(directory))?;
                self.made.insert(directory.clone());
            }
        }
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(self.root.join(name))?;
        io::Write::write_all(&mut file, content)
    }

    /// Waits until all of it is on the disk.
    fn finish(self) -> Result<(), Fail> {
        let synced = std::fs::File::open(&self.root)
            .and_then(|root| rustix::fs::syncfs(&root).map_err(io::Error::from));
        synced.map_err(|error| Fail::file("sync", &self.root, &error))
    }
}

/// Makes a directory of this user alone.
fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(directory)
}
