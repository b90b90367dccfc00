//! `put`, `get` and `rm`: single files, from and to any full node, whether or not it has a directory of the folder.
//!
//! Bytes stream in both directions. `get` reads the restore stream of one file; it writes aside and renames, so that a file is
//! there whole or not at all.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::exit::{Exit, Fail};
use super::job::told;
use super::link::Link;
use super::out::Out;
use super::report::{amount, word};
use super::restore::failed;
use super::show::{bytes, text};
use crate::file::entry::{Kind, Stat};
use crate::file::tree::name_of;
use crate::io::client::Source;
use crate::io::splitter::{Splitter, Taker};
use crate::io::target::TargetError;
use crate::node::api::{Call, Piece, PutFile};
use crate::node::frames::Frame;
use clap::Args;
use serde_json::{json, Value};

use steady::Steady;

mod steady;

/// Options of `put`.
#[derive(Debug, Args)]
pub struct Put {
    /// The file; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// `NAME:PATH`; where PATH is left out or ends with a slash, the file's name is added.
    #[arg(value_name = "WHERE")]
    pub to: String,
    /// Wait until enough other devices hold it, or until it is clear that they cannot now.
    #[arg(long)]
    pub wait: bool,
}

/// Options of `get`.
#[derive(Debug, Args)]
pub struct Get {
    /// `NAME[@SNAPSHOT]:PATH`.
    #[arg(value_name = "WHAT")]
    pub what: String,
    /// The file to write, or a directory to write it into; `-` is standard output. Without it, the same name here.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Replace a file that is there already.
    #[arg(long)]
    pub overwrite: bool,
}

/// Options of `rm`.
#[derive(Debug, Args)]
pub struct Rm {
    /// `NAME:PATH`.
    #[arg(value_name = "WHAT")]
    pub what: String,
    /// A directory goes with all that is in it.
    #[arg(long, short)]
    pub recursive: bool,
}

/// `put`: sends a file into a shared folder.
///
/// # Errors
/// When it cannot be read, or the node refuses it.
pub fn put(link: &Link, out: Out, options: &Put) -> Result<Exit, Fail> {
    let is_input = options.file == Path::new("-");
    let unreadable = |error: &io::Error| {
        let message = format!("cannot read {}: {error}", options.file.display());
        Fail::new("unreadable", message, "check the path, and who may read it")
    };
    let (reader, length, file): (Box<dyn Read + Send>, Option<u64>, PutFile) = if is_input {
        (Box::new(io::stdin()), None, PutFile { mtime_ns: None, mode: None })
    } else {
        let file = File::open(&options.file).map_err(|error| unreadable(&error))?;
        let found = file.metadata().map_err(|error| unreadable(&error))?;
        if !found.is_file() {
            let message = format!("{} is no regular file", options.file.display());
            return Err(Fail::new(
                "unreadable",
                message,
                "put sends one file; `folder attach` brings a whole directory in",
            ));
        }
        let mtime_ns = found.mtime().saturating_mul(1_000_000_000).saturating_add(found.mtime_nsec());
        let known = PutFile { mtime_ns: Some(mtime_ns), mode: Some(found.mode() & 0o777) };
        (Box::new(Steady::new(file, &found)), Some(found.len()), known)
    };
    let what = with_name(&options.to, (!is_input).then_some(options.file.as_path()))?;
    let bar = Rc::new(out.bar());
    let (shown, broken) = (Rc::clone(&bar), Rc::new(RefCell::new(None)));
    let label = text(&what).to_string();
    let told_bytes = move |sent| match length {
        Some(length) => shown.part(format!("{label}: {}", bytes(sent)), sent, length),
        None => shown.say(format!("{label}: {}", bytes(sent))),
    };
    let heard = Rc::clone(&broken);
    let source = Source::new(
        reader,
        Box::new(told_bytes),
        Box::new(move |error| {
            heard.replace(Some(error));
        }),
    );
    let call = Call::Put { what, file, wait: options.wait };
    let ending = link.send(&call, source, &mut |piece| match piece {
        Piece::Json(line) => bar.aside(|| out.both(&line, changed)),
        Piece::Bytes(_) => Err(odd()),
    });
    bar.clear();
    if let Some(error) = broken.take() {
        return Err(unreadable(&error));
    }
    ending.map(Exit::from)
}

/// `rm`: removes a file or directory of a shared folder.
///
/// # Errors
/// When there is none, or the node refuses.
pub fn rm(link: &Link, out: Out, options: Rm) -> Result<Exit, Fail> {
    let Rm { what, recursive } = options;
    link.lines(&Call::Delete { what, recursive }, &mut |line| out.both(&line, changed)).map(Exit::from)
}

/// `NAME:PATH`, with the file's name where the path is left out or ends with a slash.
fn with_name(to: &str, file: Option<&Path>) -> Result<String, Fail> {
    let (folder, path) = to.split_once(':').unwrap_or((to, ""));
    if !path.is_empty() && !path.ends_with('/') {
        return Ok(to.to_owned());
    }
    let name = file.and_then(Path::file_name);
    let hint = "write the path in the folder behind the colon, as in NAME:PATH";
    let Some(name) = name else {
        return Err(Fail::new("bad_path", format!("'{to}' names no file in the folder"), hint));
    };
    let Some(name) = name.to_str() else {
        return Err(Fail::new("bad_path", "the file's name is not UTF-8", hint));
    };
    Ok(format!("{folder}:{path}{name}"))
}

/// A line of `put` or `rm`.
fn changed(line: &Value) -> String {
    let path = text(word(line, "path"));
    match (word(line, "event"), word(line, "result")) {
        ("put", "unchanged") => format!("{path}: is there already, just so\n"),
        ("put", result) => {
            let (length, new) =
                (amount(line, "bytes").unwrap_or(0), amount(line, "stored_bytes").unwrap_or(0));
            format!("{path}: {}, {} ({} new)\n", text(result), bytes(length), bytes(new))
        }
        ("removed", _) => format!("{path}: removed; its versions stay in the snapshots\n"),
        ("waiting", _) => format!("{}\n", text(word(line, "message"))),
        _ => told(line),
    }
}

/// `get`: writes one file of a snapshot.
///
/// # Errors
/// When there is none, it cannot be had whole, or it cannot be written.
pub fn get(link: &Link, out: Out, options: &Get) -> Result<Exit, Fail> {
    let mut splitter = Splitter::default();
    let mut fetched = Fetched { wish: options, state: State::Nothing, length: 0, failed: None };
    let bar = out.bar();
    let call = Call::Restore { what: options.what.clone(), dry_run: false };
    let result = link.call(&call, &mut |piece| {
        let Piece::Bytes(piece) = piece else { return Err(odd()) };
        let taken = splitter.take(&piece, &mut fetched);
        bar.say(format!("{}: {}", text(&options.what), bytes(fetched.length)));
        match (fetched.failed.take(), taken) {
            (Some(fail), _) => Err(fail),
            (None, taken) => taken.map_err(|error| failed(&error)),
        }
    });
    bar.clear();
    result?;
    let (place, length) = (fetched.finish()?, fetched.length);
    let Some(place) = place else { return Ok(Exit::Done) };
    let value = json!({"what": options.what, "file": place.to_string_lossy(), "bytes": length});
    out.both(&value, |_| format!("{}: {}\n", text(&place.to_string_lossy()), bytes(length)))?;
    Ok(Exit::Done)
}

/// One file on its way here.
struct Fetched<'a> {
    /// What is wished for.
    wish: &'a Get,
    /// How far it is.
    state: State,
    /// Bytes so far.
    length: u64,
    /// Why it is not to go on.
    failed: Option<Fail>,
}

/// How far a file is.
enum State {
    /// Nothing has come.
    Nothing,
    /// It goes to standard output.
    Output,
    /// It is written aside.
    File {
        /// Written to.
        file: File,
        /// Where.
        aside: PathBuf,
        /// Where it belongs.
        place: PathBuf,
        /// Applied at the end.
        stat: Stat,
    },
}

impl Fetched<'_> {
    /// The file begins.
    fn begin(&mut self, path: &[u8], stat: Stat) -> Result<(), Fail> {
        if self.wish.file.as_deref() == Some(Path::new("-")) {
            self.state = State::Output;
            return Ok(());
        }
        let name = Path::new(std::ffi::OsStr::from_bytes(name_of(path)));
        let name = name.file_name().map(PathBuf::from).unwrap_or_default();
        let place = match &self.wish.file {
            None => name,
            Some(place) if place.is_dir() => place.join(name),
            Some(place) => place.clone(),
        };
        if place.symlink_metadata().is_ok() && !self.wish.overwrite {
            let message = format!("{} is there already", place.display());
            return Err(Fail::new("exists", message, "choose another name, or add --overwrite"));
        }
        let mut aside = place.as_os_str().to_owned();
        aside.push(format!(".nuthatch-{}", std::process::id()));
        let aside = PathBuf::from(aside);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside);
        let file = file.map_err(|error| unwritable(&aside, &error))?;
        self.state = State::File { file, aside, place, stat };
        Ok(())
    }

    /// Writes so many zeros.
    fn zeros(&mut self, length: u64) -> Result<(), Fail> {
        let run = vec![0; 64 * 1024];
        let mut left = length;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(run.len());
            self.write(&run[..part])?;
            left -= u64::try_from(part).unwrap_or(left);
        }
        Ok(())
    }

    /// Writes on.
    fn write(&mut self, data: &[u8]) -> Result<(), Fail> {
        self.length += u64::try_from(data.len()).unwrap_or(0);
        match &mut self.state {
            State::Nothing => Ok(()),
            State::Output => {
                io::stdout().write_all(data).map_err(|error| unwritable(Path::new("standard output"), &error))
            }
            State::File { file, aside, .. } => {
                file.write_all(data).map_err(|error| unwritable(aside, &error))
            }
        }
    }

    /// All of it came: where it is, unless that is standard output.
    fn finish(&mut self) -> Result<Option<PathBuf>, Fail> {
        let (file, aside, place, stat) = match std::mem::replace(&mut self.state, State::Nothing) {
            State::Nothing => return Err(Fail::new("lost", "the file did not come", "try again")),
            State::Output => {
                let flushed = io::stdout().flush();
                return flushed
                    .map(|()| None)
                    .map_err(|error| unwritable(Path::new("standard output"), &error));
            }
            State::File { file, aside, place, stat } => (file, aside, place, stat),
        };
        let since = Duration::from_nanos(stat.mtime_ns.unsigned_abs());
        let mtime =
            if stat.mtime_ns < 0 { SystemTime::UNIX_EPOCH - since } else { SystemTime::UNIX_EPOCH + since };
        let done = file
            .set_permissions(std::fs::Permissions::from_mode(stat.mode & 0o777))
            .and_then(|()| file.set_modified(mtime))
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&aside, &place));
        done.map_err(|error| {
            // What is left is named in the error's path.
            let _ = std::fs::remove_file(&aside);
            unwritable(&place, &error)
        })?;
        Ok(Some(place))
    }

    /// Takes a failure down; the stream ends with it.
    fn note(&mut self, result: Result<(), Fail>) -> Result<(), TargetError> {
        match result {
            Ok(()) => Ok(()),
            Err(fail) => {
                self.failed = Some(fail);
                Err(TargetError::Short)
            }
        }
    }
}

impl Drop for Fetched<'_> {
    fn drop(&mut self) {
        if let State::File { aside, .. } = &self.state {
            // It is no whole file; that it cannot be removed is nothing that a person can be told any more.
            let _ = std::fs::remove_file(aside);
        }
    }
}

impl Taker for Fetched<'_> {
    fn frame(&mut self, frame: Frame) -> Result<(), TargetError> {
        let result = match frame {
            Frame::Entry { path, kind: Kind::File, stat, .. } if matches!(self.state, State::Nothing) => {
                self.begin(&path, stat)
            }
            Frame::Entry { .. } => {
                let message = format!("{} is no file", text(&self.wish.what));
                Err(Fail::new("bad_path", message, "`nuthatch restore` writes directories and links"))
            }
            Frame::Hole(length) => self.zeros(length),
            Frame::Lost { reason, .. } => Err(Fail::new(
                "chunk_missing",
                format!("the file cannot be had whole: {reason}"),
                "try again when more devices are on",
            )),
            Frame::Begin { .. } | Frame::Data(_) | Frame::LeftOut | Frame::End { .. } => Ok(()),
        };
        self.note(result)
    }

    fn data(&mut self, data: &[u8]) -> Result<(), TargetError> {
        let result = self.write(data);
        self.note(result)
    }
}

/// The error for a place that cannot be written.
fn unwritable(place: &Path, error: &io::Error) -> Fail {
    let message = format!("cannot write {}: {error}", place.display());
    Fail::new("target", message, "check the path, who may write there, and whether there is room")
}

/// The error for an answer of the wrong form.
fn odd() -> Fail {
    Fail::new(
        "lost",
        "the node answered in another form than was asked for",
        "use the same version on both sides",
    )
}
