//! `restore`: takes the stream of a snapshot's files from the node and writes them here, with the rights of whoever runs
//! the command.
//!
//! ```text
//!   target is new or empty ------------------------------> all content --> written
//!   something is there --> entries alone --> what of it --> its content --> written
//! ```
//!
//! What stands there already whole is neither fetched nor written, so a restore that broke off is repeated by the same command. The
//! writing itself is in `io/target.rs`, what is told of it in `face/restore/told.rs`. What was there already, differs and stays, and what
//! could not be had, makes the exit code 4: a restore is only called done when all of it is there.

use std::path::Path;

use super::bar::Bar;
use super::exit::{Exit, Fail};
use super::link::Link;
use super::options::Restore;
use super::out::Out;
use super::place::absolute;
use super::show::{bytes, number, percent};
use crate::io::target::{Fate, Options, Planned, Report, TargetError, Writer};
use crate::node::api::{Call, Piece};
use crate::node::ports::Ending;
use crate::node::restore::selection::Choice;

mod told;

use self::told::{as_json, as_text, planned_json, planned_text};

/// What to write where.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// `NAME[@SNAPSHOT][:PATH]`.
    pub what: &'a str,
    /// The directory to write into.
    pub target: &'a Path,
    /// How.
    pub options: Options,
}

/// Takes lines of a plan.
type EachPlanned<'a> = &'a mut dyn FnMut(Vec<Planned>) -> Result<(), Fail>;

/// `restore`.
///
/// # Errors
/// When there is no such snapshot or path, or the target cannot be written.
pub fn restore(link: &Link, out: Out, options: &Restore) -> Result<Exit, Fail> {
    let target = absolute(&options.to)?;
    let wish = Wish {
        what: &options.what,
        target: &target,
        options: Options {
            overwrite: options.overwrite,
            dry_run: options.dry_run,
            owner: rustix::process::geteuid().is_root(),
            checksum: options.checksum,
        },
    };
    let (report, ending) = if options.dry_run {
        show_plan(link, out, &wish)?
    } else {
        let bar = out.bar();
        let result = write_snapshot(link, &wish, &bar);
        bar.clear();
        result?
    };
    out.both(&as_json(&report, &wish), |_| as_text(&report, &wish))?;
    let whole = !report.partial && report.lost_count == 0 && (report.kept == 0 || options.dry_run);
    Ok(if whole { ending.into() } else { Exit::Partial })
}

/// Writes what is wished for and says what became of it.
///
/// # Errors
/// As [`restore`].
pub fn write_snapshot(link: &Link, wish: &Wish<'_>, bar: &Bar) -> Result<(Report, Ending), Fail> {
    let call = if wish.options.checksum || is_free(wish.target) {
        Call::Restore { what: wish.what.to_owned(), dry_run: false }
    } else {
        missing(link, wish, bar)?
    };
    let progress = |report: &Report| {
        let done = number(report.new + report.overwritten + report.kept + report.equal);
        let whole = report.bytes_expected.saturating_sub(report.equal_bytes).max(1);
        let share = percent(report.bytes, whole).min(100);
        bar.part(format!("{done} files, {} ({share}%)", bytes(report.bytes)), report.bytes, whole);
    };
    run(link, wish.target, wish.options, &call, &progress, &mut |_| Ok(()))
}

/// Shows what a restore would do, line by line as it is found.
fn show_plan(link: &Link, out: Out, wish: &Wish<'_>) -> Result<(Report, Ending), Fail> {
    let call = Call::Restore { what: wish.what.to_owned(), dry_run: true };
    run(link, wish.target, wish.options, &call, &|_| {}, &mut |planned| {
        if out.json {
            return planned.iter().try_for_each(|planned| out.value(&planned_json(planned)));
        }
        out.text(&planned.iter().map(planned_text).collect::<String>())
    })
}

/// Looks at what is there, and asks for what of it is missing or is to be replaced.
fn missing(link: &Link, wish: &Wish<'_>, bar: &Bar) -> Result<Call, Fail> {
    let call = Call::Restore { what: wish.what.to_owned(), dry_run: true };
    let options = Options { dry_run: true, ..wish.options };
    let mut choice = Choice::default();
    let progress = |report: &Report| {
        bar.say(format!(
            "looking at what is there: {} of {} files",
            number(report.equal),
            number(report.new + report.overwritten + report.kept + report.equal)
        ));
    };
    let (report, _) = run(link, wish.target, options, &call, &progress, &mut |planned| {
        for planned in planned.into_iter().filter(|planned| !planned.directory) {
            match planned.fate {
                Fate::New | Fate::Overwritten => choice.take(planned.path),
                Fate::Kept | Fate::Equal => choice.leave(planned.size),
            }
        }
        Ok(())
    })?;
    // Of this very snapshot: a newer one may come meanwhile.
    Ok(Call::RestoreSome { what: pinned(wish.what, &report.snapshot), wanted: choice.into_ranges() })
}

/// `NAME[@SNAPSHOT][:PATH]` with this snapshot.
fn pinned(what: &str, snapshot: &str) -> String {
    let (place, path) = match what.split_once(':') {
        Some((place, path)) => (place, format!(":{path}")),
        None => (what, String::new()),
    };
    let name = place.split_once('@').map_or(place, |(name, _)| name);
    format!("{name}@{snapshot}{path}")
}

/// Whether nothing is there. What cannot be looked at is seen when it is written.
fn is_free(target: &Path) -> bool {
    std::fs::read_dir(target).map_or(true, |mut entries| entries.next().is_none())
}

/// Has the node answer, and a writer take that.
fn run(
    link: &Link,
    target: &Path,
    options: Options,
    call: &Call,
    progress: &dyn Fn(&Report),
    each: EachPlanned<'_>,
) -> Result<(Report, Ending), Fail> {
    let mut writer: Option<Writer> = None;
    let ending = link.call(call, &mut |piece| {
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
            None => writer.insert(Writer::new(target, options).map_err(|error| failed(&error))?),
        };
        writer.take(&piece).map_err(|error| failed(&error))?;
        progress(writer.report());
        each(writer.take_planned())
    })?;
    let writer = writer.ok_or_else(|| failed(&TargetError::Short))?;
    let report = writer.finish().map_err(|error| failed(&error))?;
    Ok((report, ending))
}

/// What ended the writing, with what to do.
pub(super) fn failed(error: &TargetError) -> Fail {
    let message = error.to_string();
    let (message, hint) = message.rsplit_once("; ").unwrap_or((&message, ""));
    let code = match error {
        TargetError::Target { .. } => "target",
        TargetError::Disk { .. } => "no_room",
        TargetError::Stream(_) | TargetError::Short => "lost",
    };
    Fail::new(code, message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_target_is_split_into_message_and_hint() {
        let fail = failed(&TargetError::Short);
        let error = fail.error.unwrap();
        assert_eq!((error.message.as_str(), error.hint.is_empty()), ("the restore broke off", false));
    }

    #[test]
    fn the_second_question_is_for_the_snapshot_of_the_first() {
        for (what, with) in [
            ("docs", "docs@ab"),
            ("docs@latest", "docs@ab"),
            ("docs:a@b:c", "docs@ab:a@b:c"),
            ("docs@2024-01-01T0000:x", "docs@ab:x"),
        ] {
            assert_eq!(pinned(what, "ab"), with);
        }
    }
}
