//! The stage of `nuthatch demo`: a temporary directory, the node processes in it, and the certainty that both are gone
//! in the end.
//!
//! Nodes are real processes of this executable. They end when the demo ends, however it ends: their standard input
//! closes with it, and on a signal or an error they are killed and waited for. Touches nothing outside its directory.

use std::fs::{DirBuilder, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::data::remove_tree;
use crate::base::ids::hex;
use crate::face::exit::{Exit, Fail};
use crate::face::link::Link;
use crate::face::report::{items, word};
use crate::face::show::text;
use crate::io::os::{entropy, StopSignal};
use serde_json::Value;

/// The directory and everybody in it.
pub struct Stage {
    /// Shared with the thread that waits for signals.
    props: Arc<Mutex<Props>>,
    /// Where everything happens.
    directory: PathBuf,
}

/// What must be cleared away.
struct Props {
    /// Processes, by the number of their actor.
    children: Vec<Option<Child>>,
    /// The directory; None once it is removed.
    directory: Option<PathBuf>,
    /// A signal came: what fails from now on fails because of it.
    interrupted: bool,
}

/// A running node.
pub struct Actor {
    /// Its number on the stage.
    number: usize,
    /// Its name in the vault.
    pub name: &'static str,
    /// Its data.
    pub home: PathBuf,
    /// The way to it.
    pub link: Link,
    /// Where other nodes reach it.
    pub listen: String,
    /// Its process id.
    process: u32,
}

/// What a process has used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// The most memory it had resident.
    pub peak_rss_bytes: u64,
    /// Its processor time in hundredths of a second or finer, in seconds.
    pub cpu_seconds: f64,
}

impl Stage {
    /// Makes a fresh directory in `parent` and begins to listen for Ctrl-C and SIGTERM.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn build(parent: &Path) -> Result<Self, Fail> {
        let seed = entropy().map_err(|error| Fail::new("system", error.to_string(), ""))?;
        let directory = parent.join(format!("nuthatch-demo-{}", hex(&seed[..4])));
        let mut builder = DirBuilder::new();
        builder.mode(0o700).create(&directory).map_err(|error| Fail::file("make", &directory, &error))?;
        let props = Arc::new(Mutex::new(Props {
            children: Vec::new(),
            directory: Some(directory.clone()),
            interrupted: false,
        }));
        let stage = Self { props, directory };
        stage.watch()?;
        Ok(stage)
    }

    /// Where everything happens.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Starts a node and waits until it can be spoken to.
    ///
    /// # Errors
    /// When it does not start; the end of its log is in the hint.
    pub fn start(&self, name: &'static str) -> Result<Actor, Fail> {
        let home = self.directory.join(name);
        let log = self.log_of(name);
        let trouble = |error: io::Error| Fail::file("start a node of", &home, &error);
        let program = std::env::current_exe().map_err(trouble)?;
        let mut command = Command::new(program);
        command
            .args([
                "run",
                "--listen",
                "127.0.0.1:0",
                "--mdns",
                "off",
                "--web",
                "off",
                "--exit-with-stdin",
                "--json",
                "--home",
            ])
            .arg(&home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(trouble)?)
            // Ctrl-C is for the demo, which then ends its nodes.
            .process_group(0);
        for variable in
            ["NUTHATCH_HOME", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC"]
        {
            command.env_remove(variable);
        }
        let mut props = self.props();
        let mut child = command.spawn().map_err(trouble)?;
        let process = child.id();
        let output = child.stdout.take();
        let number = props.children.len();
        props.children.push(Some(child));
        drop(props);
        let mut line = String::new();
        if let Some(output) = output {
            BufReader::new(output.take(64 * 1024)).read_line(&mut line).map_err(trouble)?;
        }
        let ready: Value = serde_json::from_str(&line).unwrap_or_default();
        let listen = items(&ready["listen"]).filter_map(Value::as_str).next().unwrap_or_default().to_owned();
        if word(&ready, "event") != "ready" || listen.is_empty() {
            return Err(Fail::new(
                "node_ended",
                format!("the node {name} did not start"),
                self.last_words(name),
            ));
        }
        Ok(Actor { number, name, link: Link::to(home.clone()), home, listen, process })
    }

    /// Kills a node without warning (SIGKILL) and says what it had used.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill(&self, actor: &Actor) -> Result<Usage, Fail> {
        let usage = usage(actor.process).ok_or_else(|| {
            Fail::new(
                "node_ended",
                format!("the node {} has ended early", actor.name),
                self.last_words(actor.name),
            )
        });
        let child = self.props().children.get_mut(actor.number).and_then(Option::take);
        if let Some(mut child) = child {
            end(&mut child);
        }
        usage
    }

    /// Puts the end of a node's log into the hint of what went wrong with it.
    #[must_use]
    pub fn explain(&self, actor: &Actor, mut fail: Fail) -> Fail {
        let words = self.last_words(actor.name);
        if let Some(error) = fail.error.as_mut().filter(|_| !words.is_empty()) {
            error.hint = format!("{}; the log of {} ends with: {words}", error.hint, actor.name);
        }
        fail
    }

    /// What a failure is, seen from outside: nothing to speak of if a signal was its cause.
    #[must_use]
    pub fn seen(&self, fail: Fail) -> Fail {
        if self.props().interrupted {
            Fail::silent(Exit::Interrupted)
        } else {
            fail
        }
    }

    /// The log file of a node.
    fn log_of(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }

    /// The end of a node's log.
    fn last_words(&self, name: &str) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(self.log_of(name))?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(2_000)))?;
            let mut bytes = Vec::new();
            file.take(2_000).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let log = read().unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().map(text).collect::<Vec<_>>().join(" | ")
    }

    /// On a signal everything is cleared away, and the process ends.
    fn watch(&self) -> Result<(), Fail> {
        let trouble = |message: String| Fail::new("system", message, "");
        let mut signal = StopSignal::new().map_err(|error| trouble(error.to_string()))?;
        let props = Arc::clone(&self.props);
        let wait = move || {
            smol::block_on(signal.wait());
            let mut props = props.lock().unwrap_or_else(PoisonError::into_inner);
            props.interrupted = true;
            clear(&mut props);
            std::process::exit(i32::from(Exit::Interrupted.number()));
        };
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
        thread.map(|_| ()).map_err(|error| trouble(format!("cannot start a thread: {error}")))
    }

    /// The props, whoever held them last.
    fn props(&self) -> MutexGuard<'_, Props> {
        self.props.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        clear(&mut self.props());
    }
}

/// Ends all processes and removes the directory.
fn clear(props: &mut Props) {
    for child in props.children.iter_mut().filter_map(Option::take) {
        let mut child = child;
        end(&mut child);
    }
    if let Some(directory) = props.directory.take() {
        if let Err(error) = remove_tree(&directory) {
            log::error!("cannot remove {}: {error}; remove it by hand", directory.display());
        }
    }
}

/// Kills a process and waits until it is gone.
fn end(child: &mut Child) {
    // Either may fail only because it is gone already.
    let _ = child.kill();
    let _ = child.wait();
}

/// What a process has used so far; None when it is gone.
fn usage(process: u32) -> Option<Usage> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    usage_in(&status, &stat, rustix::param::clock_ticks_per_second())
}

/// Reads `VmHWM` of proc(5) status, and utime and stime (fields 14 and 15) of its stat.
fn usage_in(status: &str, stat: &str, ticks_per_second: u64) -> Option<Usage> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    // The second field is a name in parentheses that may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()?.checked_add(ticks()?)?;
    let micros = ticks.checked_mul(1_000_000)?.checked_div(ticks_per_second)?;
    let cpu_seconds = std::time::Duration::from_micros(micros).as_secs_f64();
    Some(Usage { peak_rss_bytes: kibibytes * 1024, cpu_seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_past_an_odd_name() {
        let status = "Name:\tnut\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n";
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 10 0 0 0 150 50 0 0 20 0 5 0 100 1 1";
        assert_eq!(usage_in(status, stat, 100), Some(Usage { peak_rss_bytes: 2_097_152, cpu_seconds: 2.0 }));
        assert_eq!(usage_in("", stat, 100), None);
        assert_eq!(usage_in(status, "42 (a) S 1", 100), None);
    }

    #[test]
    fn the_stage_is_empty_afterwards() {
        let parent = tempfile::tempdir().unwrap();
        let stage = Stage::build(parent.path()).unwrap();
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let process = child.id();
        assert!(usage(process).is_some());
        stage.props().children.push(Some(child));
        std::fs::write(stage.directory().join("file"), b"x").unwrap();
        drop(stage);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
        assert!(usage(process).is_none());
    }
}
