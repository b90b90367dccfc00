//! Runs hooks: looks whether there is one and whether it may be run, starts it, gives it the event, and waits for its end.
//!
//! In a thread of its own that lives as long as the hook, since an SD card may take seconds to bring an executable; most
//! nodes have no hooks, and no thread. Decides nothing but that: which hook, and when, is the core's business
//! (`node/events/hooks.rs`), which asks for one at a time. A hook that takes too long is killed with all that it has started
//! and that is still of its process group; whoever has ended is waited for, so that no zombie is left.

use std::fs::{canonicalize, metadata, symlink_metadata, Metadata};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::Builder;
use std::time::Duration;

use rustix::event::{poll, PollFd, PollFlags};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{fcntl_getfl, fcntl_setfl, OFlags};
use rustix::process::{geteuid, kill_process_group, pidfd_open, Pid, PidfdFlags, Signal};
use smol::channel::Sender;

use crate::base::limits::{HOOK_LINE_BYTES_MAX, HOOK_READS_PER_TURN, HOOK_TIME_MAX};
use crate::base::units::Span;
use crate::io::os::{duration, Clock};
use crate::io::threads::Word;
use crate::node::events::errands::ErrandEnd;
use crate::node::events::hooks::{HookEnd, HookRun};

/// Runs a hook if there is one; the end is told with [`Word::Errand`].
pub fn start(home: &Path, run: HookRun, words: &Sender<Word>) {
    let directory = home.join(&run.directory);
    if is_absent(&directory.join(run.name)) {
        return tell(words, HookEnd::Absent);
    }
    let (home, told) = (home.to_path_buf(), words.clone());
    let thread = Builder::new().name("nuthatch-hook".to_owned());
    let spawned = thread.spawn(move || {
        tell(&told, execute(&home, &directory, &run, HOOK_TIME_MAX));
    });
    if let Err(error) = spawned {
        tell(words, HookEnd::Refused(format!("the system gave no thread: {error}")));
    }
}

/// Tells the main thread.
fn tell(words: &Sender<Word>, end: HookEnd) {
    let _ = words.try_send(Word::Errand(ErrandEnd::Hook(end)));
}

/// Whether nothing stands at a path.
fn is_absent(path: &Path) -> bool {
    symlink_metadata(path)
        .is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}

/// Runs a hook to its end.
fn execute(home: &Path, directory: &Path, run: &HookRun, limit: Span) -> HookEnd {
    let path = match find(directory, run.name) {
        Ok(Some(path)) => path,
        Ok(None) => return HookEnd::Absent,
        Err(why) => return HookEnd::Refused(why),
    };
    let spawned = Command::new(&path)
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .env("NUTHATCH_EVENT", run.event)
        .current_dir(home)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    match spawned {
        Ok(child) => attend(child, format!("{}\n", run.body).as_bytes(), limit),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            HookEnd::Refused(format!("{} cannot be executed; a script begins with #!/bin/sh", path.display()))
        }
        Err(error) => HookEnd::Refused(format!("{} cannot be started: {error}", path.display())),
    }
}

/// The hook of this name, if it may be run. Whoever may change it, its directory or any above could run what they want as
/// the node's user: nobody may but that user and root.
fn find(directory: &Path, name: &str) -> Result<Option<PathBuf>, String> {
    let cannot = |error: std::io::Error| format!("{} cannot be looked at: {error}", directory.display());
    let directory = match canonicalize(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found.map_err(cannot)?,
    };
    let path = directory.join(name);
    let found = match symlink_metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found.map_err(cannot)?,
    };
    if found.is_symlink() {
        return Err(format!(
            "{} is a symbolic link; put a script there that calls what it points to",
            path.display()
        ));
    }
    if !found.is_file() {
        return Err(format!("{} is no file", path.display()));
    }
    if found.mode() & 0o111 == 0 {
        return Err(format!("{} is not executable; if it is meant to be: chmod +x", path.display()));
    }
    check_owner(&path, &found, false)?;
    for above in directory.ancestors() {
        let found = metadata(above).map_err(cannot)?;
        // In a directory like /tmp nobody may replace what is another's.
        check_owner(above, &found, above != directory && found.mode() & 0o1000 != 0)?;
    }
    Ok(Some(path))
}

/// Whether only the node's user and root may change something.
fn check_owner(path: &Path, found: &Metadata, is_sticky: bool) -> Result<(), String> {
    if found.uid() != 0 && found.uid() != geteuid().as_raw() {
        let user = if geteuid().is_root() { "root" } else { "the node's user or root" };
        return Err(format!("{} belongs to another user; it must belong to {user}", path.display()));
    }
    if found.mode() & 0o022 != 0 && !is_sticky {
        return Err(format!("others may write to {}: chmod go-w", path.display()));
    }
    Ok(())
}

/// What a hook that runs is watched by.
struct Watch {
    /// Where the event goes, until it has gone.
    input: Option<ChildStdin>,
    /// What is left of it.
    body: Vec<u8>,
    /// What it says, until it says no more.
    errors: Option<ChildStderr>,
    /// The beginning of that.
    said: Vec<u8>,
    /// Readable when it has ended; None on systems without (Linux before 5.3).
    end: Option<OwnedFd>,
}

/// Waits for the end of a hook, and gives it the event meanwhile.
fn attend(mut child: Child, body: &[u8], limit: Span) -> HookEnd {
    let clock = Clock::new();
    let started = clock.time();
    let pid = Pid::from_child(&child);
    let mut watch = Watch {
        input: child.stdin.take().filter(set_nonblocking),
        body: body.to_vec(),
        errors: child.stderr.take().filter(set_nonblocking),
        said: Vec::new(),
        end: pidfd_open(pid, PidfdFlags::empty()).ok(),
    };
    loop {
        watch.carry();
        match child.try_wait() {
            Ok(Some(status)) => {
                watch.carry();
                return ended(status, &watch.line());
            }
            Ok(None) => {}
            Err(error) => return HookEnd::Refused(format!("it cannot be waited for: {error}")),
        }
        let waited = clock.time().since(started);
        if waited >= limit {
            // It was not waited for yet, so that the number is still its own.
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = child.wait();
            let seconds = limit.as_micros() / 1_000_000;
            let reason = format!("after {seconds} s, for hooks may not take longer");
            return HookEnd::Killed { reason, line: watch.line() };
        }
        watch.wait(duration(limit - waited));
    }
}

/// How it ended.
fn ended(status: ExitStatus, line: &str) -> HookEnd {
    let line = line.to_owned();
    match status.code() {
        Some(code) => HookEnd::Ended { code, line },
        None => {
            let signal = status.signal().unwrap_or_default();
            HookEnd::Killed { reason: format!("by signal {signal}"), line }
        }
    }
}

impl Watch {
    /// Waits until something can be carried, it has ended, or the time is over.
    fn wait(&self, left: Duration) {
        let mut waits: Vec<PollFd<'_>> = Vec::with_capacity(3);
        waits.extend(self.input.iter().map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::OUT)));
        waits.extend(self.errors.iter().map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
        waits.extend(self.end.iter().map(|end| PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN)));
        let left = if self.end.is_some() { left } else { left.min(LOOK_EVERY) };
        let timeout = rustix::time::Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        // Whatever it says: everything is looked at again.
        let _ = poll(&mut waits, Some(&timeout));
    }

    /// Gives and takes what can be without waiting.
    fn carry(&mut self) {
        if let Some(pipe) = &mut self.input {
            let is_over = match pipe.write(&self.body) {
                Ok(written) => {
                    self.body.drain(..written);
                    self.body.is_empty()
                }
                // It need not read.
                Err(error) => !is_for_later(&error),
            };
            if is_over {
                self.input = None;
            }
        }
        // One that never stops talking must not keep its time limit from being looked at.
        for _ in 0..HOOK_READS_PER_TURN {
            let Some(pipe) = &mut self.errors else { return };
            let mut buffer = [0; 1024];
            match pipe.read(&mut buffer) {
                Ok(0) => self.errors = None,
                Ok(count) if self.said.len() < HOOK_LINE_BYTES_MAX => {
                    self.said.extend_from_slice(&buffer[..count]);
                }
                Ok(_) => {}
                Err(error) if is_for_later(&error) => return,
                Err(_) => self.errors = None,
            }
        }
    }

    /// The first line of what it said, safe for a log.
    fn line(&self) -> String {
        let text = String::from_utf8_lossy(&self.said[..self.said.len().min(HOOK_LINE_BYTES_MAX)]);
        let line = text.trim_start().lines().next().unwrap_or_default();
        line.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
    }
}

/// Whether a pipe may be ready later.
fn is_for_later(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Whether a pipe can be used without waiting for it.
fn set_nonblocking(pipe: &impl rustix::fd::AsFd) -> bool {
    fcntl_getfl(pipe).and_then(|flags| fcntl_setfl(pipe, flags | OFlags::NONBLOCK)).is_ok()
}

/// Where hooks find programs.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where the system cannot tell when a process ends, it is looked this often.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
