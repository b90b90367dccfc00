//! `restore`: takes the stream of a snapshot's files from the node and writes them here, with the rights of whoever runs
//! the command.
//!
//! The writing itself is in `io/target.rs`. What was there already and stays, and what could not be had, is named in
//! the result and makes the exit code 4: a restore is only called done when all of it is there.

use std::path::Path;

use super::bar::Bar;
use super::exit::{Exit, Fail};
use super::link::Link;
use super::options::Restore;
use super::out::Out;
use super::place::absolute;
use super::show::{bytes, count, name, number, percent, text};
use crate::io::target::{Options, Report, TargetError, Writer};
use crate::node::api::{Call, Piece};
use crate::node::ports::Ending;
use base64::engine::general_purpose::STANDARD as BASE64;
use base64::Engine as _;
use serde_json::{json, Value};

/// What to write where.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// `NAME[@SNAPSHOT][:PATH]`.
    pub what: &'a str,
    /// The directory to write into.
    pub target: &'a Path,
    /// Replace what is there.
    pub overwrite: bool,
    /// Write nothing.
    pub dry_run: bool,
}

/// `restore`.
///
/// # Errors
/// When there is no such snapshot or path, or the target cannot be written.
pub fn restore(link: &Link, out: Out, options: &Restore) -> Result<Exit, Fail> {
    let target = absolute(&options.to)?;
    let wish =
        Wish { what: &options.what, target: &target, overwrite: options.overwrite, dry_run: options.dry_run };
    let bar = out.bar();
    let result = write_snapshot(link, &wish, &bar);
    bar.clear();
    let (report, ending) = result?;
    out.both(&as_json(&report, &wish), |_| as_text(&report, &wish))?;
    let whole = !report.partial && report.lost_count == 0 && (report.kept == 0 || options.dry_run);
    Ok(if whole { ending.into() } else { Exit::Partial })
}

/// Writes what is wished for and says what became of it.
///
/// # Errors
/// As [`restore`].
pub fn write_snapshot(link: &Link, wish: &Wish<'_>, bar: &Bar) -> Result<(Report, Ending), Fail> {
    let options = Options {
        overwrite: wish.overwrite,
        dry_run: wish.dry_run,
        owner: rustix::process::geteuid().is_root(),
    };
    let mut writer: Option<Writer> = None;
    let call = Call::Restore { what: wish.what.to_owned(), dry_run: wish.dry_run };
    let ending = link.call(&call, &mut |piece| {
        let Piece::Bytes(piece) = piece else {
            return Err(Fail::new(
                "lost",
                "the node answered without bytes",
                "use the same version on both sides",
            ));
        };
        // The target is made only when the node has found what is asked for.
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(Writer::new(wish.target, options).map_err(|error| failed(&error))?),
        };
        writer.take(&piece).map_err(|error| failed(&error))?;
        let report = writer.report();
        let done = number(report.new + report.overwritten + report.kept);
        let share = percent(report.bytes, report.bytes_expected.max(1)).min(100);
        bar.part(
            format!("{done} files, {} ({share}%)", bytes(report.bytes)),
            report.bytes,
            report.bytes_expected,
        );
        Ok(())
    })?;
    let writer = writer.ok_or_else(|| failed(&TargetError::Short))?;
    let report = writer.finish().map_err(|error| failed(&error))?;
    Ok((report, ending))
}

/// What ended the writing, with what to do.
fn failed(error: &TargetError) -> Fail {
    let message = error.to_string();
    let (message, hint) = message.rsplit_once("; ").unwrap_or((&message, ""));
    let code = match error {
        TargetError::Target { .. } => "target",
        TargetError::Disk { .. } => "no_room",
        TargetError::Stream(_) | TargetError::Short => "lost",
    };
    Fail::new(code, message, hint)
}

/// The result as JSON.
fn as_json(report: &Report, wish: &Wish<'_>) -> Value {
    let path = |path: &[u8]| match std::str::from_utf8(path) {
        Ok(text) => json!({"path": text}),
        Err(_) => json!({"path": String::from_utf8_lossy(path), "path_base64": BASE64.encode(path)}),
    };
    let lost = report.lost.iter().map(|(lost, reason)| {
        let mut entry = path(lost);
        entry["reason"] = json!(reason);
        entry
    });
    json!({
        "to": wish.target.to_string_lossy(),
        "dry_run": wish.dry_run,
        "partial": report.partial,
        "new": report.new,
        "overwritten": report.overwritten,
        "kept": report.kept,
        "kept_paths": report.kept_paths.iter().map(|kept| path(kept)).collect::<Vec<_>>(),
        "directories": report.directories,
        "file_bytes": report.bytes,
        "lost": report.lost_count,
        "lost_paths": lost.collect::<Vec<_>>(),
        "torn": report.torn,
        "owners_not_kept": report.owners_not_kept,
        "attributes_not_kept": report.attributes_not_kept,
        "modes_not_kept": report.modes_not_kept,
        "times_not_kept": report.times_not_kept,
        "links_copied": report.links_copied,
    })
}

/// The result in words.
fn as_text(report: &Report, wish: &Wish<'_>) -> String {
    let verb = if wish.dry_run { "Would write" } else { "Wrote" };
    let mut out = format!(
        "{verb} {}, {} in {} to {}: {} new, {} overwritten, {} kept, {} lost.\n",
        count(report.new + report.overwritten, "file"),
        bytes(report.bytes),
        count(report.directories, "new directory"),
        name(wish.target.as_os_str().as_encoded_bytes()),
        number(report.new),
        number(report.overwritten),
        number(report.kept),
        number(report.lost_count),
    );
    if report.partial {
        out.push_str("This was a partial snapshot: its backup had not come to its end, and the folder may have had more.\n");
    }
    if report.kept > 0 {
        out.push_str("Kept as they are, since --overwrite was not given:\n");
        list(&mut out, report.kept, report.kept_paths.iter().map(|path| name(path)));
    }
    if report.lost_count > 0 {
        out.push_str("Lost for now; try again when more devices are connected:\n");
        list(
            &mut out,
            report.lost_count,
            report.lost.iter().map(|(path, reason)| format!("{}: {}", name(path), text(reason))),
        );
    }
    let notes = [
        (report.torn, "changed while it was backed up"),
        (report.owners_not_kept, "has another owner now"),
        (report.attributes_not_kept, "lacks an extended attribute"),
        (report.modes_not_kept, "has another mode"),
        (report.times_not_kept, "has another time"),
        (report.links_copied, "is a copy now, not a hard link"),
    ];
    for (number, what) in notes.iter().filter(|(number, _)| *number > 0) {
        out.push_str(&format!("  {}: {what}\n", count(*number, "file")));
    }
    out
}

/// The first of many, and how many more there are.
fn list(out: &mut String, all: u64, shown: impl Iterator<Item = String>) {
    let mut left = all;
    for line in shown {
        out.push_str(&format!("  {line}\n"));
        left = left.saturating_sub(1);
    }
    if left > 0 {
        out.push_str(&format!("  and {} more\n", number(left)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_written_is_named() {
        let wish = Wish { what: "x", target: Path::new("/t"), overwrite: false, dry_run: false };
        let report = Report {
            new: 2,
            kept: 3,
            kept_paths: vec![b"a\n".to_vec()],
            lost_count: 1,
            lost: vec![(b"b\xff".to_vec(), "no device holds it".to_owned())],
            ..Report::default()
        };
        let told = as_text(&report, &wish);
        assert!(
            told.starts_with(
                "Wrote 2 files, 0 B in 0 new directories to /t: 2 new, 0 overwritten, 3 kept, 1 lost.\n"
            ),
            "{told}"
        );
        assert!(
            told.contains("  a\\n\n  and 2 more\n") && told.contains("  b\\xff: no device holds it\n"),
            "{told}"
        );
        let value = as_json(&report, &wish);
        assert_eq!(value["lost_paths"][0]["path_base64"], "Yv8=");
        assert_eq!((value["kept"].as_u64(), value["lost"].as_u64()), (Some(3), Some(1)));
    }

    #[test]
    fn an_error_of_the_target_is_split_into_message_and_hint() {
        let fail = failed(&TargetError::Short);
        let error = fail.error.unwrap();
        assert_eq!((error.message.as_str(), error.hint.is_empty()), ("the restore broke off", false));
    }
}
