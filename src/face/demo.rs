//! `nuthatch demo`: three nodes here join, back up, lose one, recover and compare.
//!
//! The whole promise on one machine, through the same processes, sockets and calls as at home. Reads the given directory
//! and never writes there. The processes and their directory are in `face/demo/stage.rs`, the files that are made
//! up in `face/demo/data.rs`, the comparison in `face/compare.rs`, the result as text in `face/demo/report.rs`.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use self::data::generate;
use self::report::{told, NodeUsage, Outcome, Step};
use self::stage::{Actor, Stage};
use super::bar::Bar;
use super::compare::{compare, Comparison};
use super::exit::{Exit, Fail};
use super::options::Demo;
use super::out::Out;
use super::place::{measure, readable, roomy};
use super::report::{amount, word};
use super::restore::{write_snapshot, Wish};
use super::show::{bytes, span};
use crate::base::units::Time;
use crate::feed::entry::Role;
use crate::io::os::Clock;
use crate::io::target::Options;
use crate::node::api::{Call, FolderAdd};
use crate::node::ports::Ending;
use serde_json::Value;

pub mod data;
pub mod report;
pub mod stage;

/// The folder's name in the demo's vault.
const FOLDER: &str = "demo";

/// Plays it.
///
/// # Errors
/// When a step fails; what was begun is cleared away.
pub fn demo(out: Out, options: &Demo) -> Result<Exit, Fail> {
    let source = options.directory.as_deref().map(readable).transpose()?;
    let wanted = match &source {
        Some(source) => measure(source)?,
        None => data::expected_bytes(options.size),
    };
    let parent = roomy(options.work.as_deref(), source.as_deref(), wanted)?;
    let stage = Stage::build(&parent)?;
    out.advice(&format!("Everything happens in {} and is removed in the end.", stage.directory().display()));
    let clock = Clock::new();
    let mut play =
        Play { out, bar: out.bar(), clock, began: clock.time(), stage, outcome: Outcome::default() };
    let played = match source {
        Some(source) => play.perform(&source),
        None => play.make_files(options).and_then(|source| play.perform(&source)),
    };
    played.map_err(|fail| play.stage.seen(fail))?;
    let Play { outcome, stage, .. } = play;
    drop(stage);
    let outcome = Outcome { elapsed: clock.time().since(Time::ZERO), ..outcome };
    out.both(&outcome.json(), |_| told(&outcome))?;
    Ok(if outcome.is_equal() { Exit::Done } else { Exit::Failed })
}

/// A demo on its way.
struct Play {
    /// How to speak.
    out: Out,
    /// The progress line.
    bar: Bar,
    /// For the seconds of each step.
    clock: Clock,
    /// When the current step began.
    began: Time,
    /// Where it happens.
    stage: Stage,
    /// What is known so far.
    outcome: Outcome,
}

impl Play {
    /// Makes the files up.
    fn make_files(&mut self, options: &Demo) -> Result<PathBuf, Fail> {
        let root = self.stage.directory().join("files");
        self.bar.say("making files up".to_owned());
        let failed = |error| Fail::file("make files in", &root, &error);
        std::fs::create_dir(&root).and_then(|()| generate(&root, options.size)).map_err(failed)?;
        self.step("make files up", String::new());
        Ok(root)
    }

    /// The story.
    fn perform(&mut self, source: &Path) -> Result<(), Fail> {
        self.bar.say("starting three nodes".to_owned());
        let [first, second, third] =
            [self.stage.start("first")?, self.stage.start("second")?, self.stage.start("third")?];
        let phrase = self.make_vault(&first)?;
        self.step("start three nodes, make a vault", String::new());
        for other in [&second, &third] {
            self.join(&first, other)?;
        }
        self.step("two join by code", "as store nodes: they can read nothing".to_owned());
        self.back_up(&first, source)?;
        for holder in [&second, &third] {
            self.verify(holder)?;
        }
        self.step("verify every byte that they hold", String::new());
        self.lose(&first)?;
        let recovered = self.stage.start("recovered")?;
        self.recover(&recovered, &second, phrase)?;
        let target = self.stage.directory().join("restored");
        self.restore(&recovered, &target)?;
        self.compare(source, &target)?;
        for actor in [&second, &third, &recovered] {
            self.retire(actor)?;
        }
        self.bar.clear();
        Ok(())
    }

    /// `init`; gives the phrase.
    fn make_vault(&self, first: &Actor) -> Result<String, Fail> {
        let call = Call::Init { name: Some(first.name.to_owned()), site: None };
        let (value, _) = first.link.value(&call).map_err(|fail| self.stage.explain(first, fail))?;
        Ok(word(&value, "recovery_phrase").to_owned())
    }

    /// `invite` on one node and `join` on the other.
    fn join(&self, first: &Actor, other: &Actor) -> Result<(), Fail> {
        self.bar.say(format!("{} joins", other.name));
        let peer = address_of(first)?;
        let invite = Call::Invite { role: Role::Store, wait: true };
        first.link.lines(&invite, &mut |line| {
            if word(&line, "event") != "open" {
                return Ok(());
            }
            let code = word(&line, "code").chars().filter(char::is_ascii_digit).collect();
            let call = Call::Join { code, peer: Some(peer), name: Some(other.name.to_owned()), site: None };
            other
                .link
                .lines(&call, &mut |_| Ok(()))
                .map(|_| ())
                .map_err(|fail| self.stage.explain(other, fail))
        })?;
        Ok(())
    }

    /// `folder add` and `backup --wait`.
    fn back_up(&mut self, first: &Actor, source: &Path) -> Result<(), Fail> {
        let add = Call::FolderAdd(FolderAdd {
            name: FOLDER.to_owned(),
            directory: source.as_os_str().as_bytes().to_vec(),
            kind: "backup".to_owned(),
            copies: Some(3),
            keep: None,
            ignore: Vec::new(),
            one_file_system: false,
            max_size: None,
            mode: crate::feed::entry::Mode::Both,
        });
        first.link.value(&add).map_err(|fail| self.stage.explain(first, fail))?;
        let link = first.link.clone();
        let mut copies = Value::Null;
        let ending = link.lines(&Call::Backup { name: Some(FOLDER.to_owned()), wait: true }, &mut |line| {
            match word(&line, "event") {
                "progress" => self.bar.backup(&line),
                "snapshot" => self.snapshot(&line),
                "protected" => copies = line,
                _ => {}
            }
            Ok(())
        });
        if ending.map_err(|fail| self.stage.explain(first, fail))? == Ending::Partial {
            let have = super::report::copies(&copies);
            let fail = Fail::new(
                "not_protected",
                format!("the files are on {have} devices only"),
                "run the demo again",
            );
            return Err(self.stage.explain(first, fail));
        }
        let size = self.outcome.bytes;
        self.step_with_rate("copy to the two others", size);
        Ok(())
    }

    /// The snapshot is made: what it says.
    fn snapshot(&mut self, line: &Value) {
        self.outcome.bytes = amount(line, "bytes").unwrap_or(0);
        self.outcome.chunks = amount(line, "chunks").unwrap_or(0);
        // A backup that began by itself when the folder was added may have stored it already.
        self.outcome.stored_bytes = self.outcome.stored_bytes.max(amount(line, "stored_bytes").unwrap_or(0));
        self.outcome.unkept = amount(line, "skipped").unwrap_or(0) + amount(line, "torn").unwrap_or(0);
        self.step_with_rate("back up", self.outcome.bytes);
    }

    /// `verify --all`.
    fn verify(&self, actor: &Actor) -> Result<(), Fail> {
        self.bar.say(format!("{} checks every byte", actor.name));
        let mut wrong = None;
        actor.link.lines(&Call::Verify { all: true }, &mut |line| {
            if word(&line, "event") == "result" {
                wrong = Some(amount(&line, "damaged").unwrap_or(0) + amount(&line, "missing").unwrap_or(0));
            }
            Ok(())
        })?;
        match wrong {
            Some(0) => Ok(()),
            _ => Err(self.stage.explain(
                actor,
                Fail::new("damaged", format!("{} has damaged or missing chunks", actor.name), ""),
            )),
        }
    }

    /// Kills a node and deletes its home.
    fn lose(&mut self, actor: &Actor) -> Result<(), Fail> {
        self.retire(actor)?;
        data::remove_tree(&actor.home).map_err(|error| Fail::file("remove", &actor.home, &error))?;
        self.step("kill the first, delete its home", String::new());
        Ok(())
    }

    /// Notes what a node has used and ends it.
    fn retire(&mut self, actor: &Actor) -> Result<(), Fail> {
        let usage = self.stage.kill(actor)?;
        self.outcome.nodes.push(NodeUsage { name: actor.name, usage });
        Ok(())
    }

    /// `recover` on a new node.
    fn recover(&mut self, actor: &Actor, peer: &Actor, phrase: String) -> Result<(), Fail> {
        self.bar.say("a new node recovers from the 24 words".to_owned());
        let call = Call::Recover {
            phrase,
            peer: Some(address_of(peer)?),
            replace: Some("first".to_owned()),
            name: Some(actor.name.to_owned()),
            site: None,
        };
        actor.link.lines(&call, &mut |_| Ok(())).map_err(|fail| self.stage.explain(actor, fail))?;
        self.step("recover from the 24 words", String::new());
        Ok(())
    }

    /// `restore`.
    fn restore(&mut self, actor: &Actor, target: &Path) -> Result<(), Fail> {
        let owner = rustix::process::geteuid().is_root();
        let options = Options { owner, ..Options::default() };
        let wish = Wish { what: FOLDER, target, options };
        let (report, _) =
            write_snapshot(&actor.link, &wish, &self.bar).map_err(|fail| self.stage.explain(actor, fail))?;
        self.outcome.lost = report.lost_count;
        self.step_with_rate("restore", self.outcome.bytes);
        Ok(())
    }

    /// Both trees, byte by byte.
    fn compare(&mut self, source: &Path, target: &Path) -> Result<(), Fail> {
        self.bar.say("comparing byte by byte".to_owned());
        let found: Comparison =
            compare(source, target).map_err(|error| Fail::file("compare", target, &error))?;
        self.outcome.found = Some(found);
        self.step("compare", String::new());
        Ok(())
    }

    /// A step is done.
    fn step(&mut self, name: &'static str, detail: String) {
        let now = self.clock.time();
        let took = now.since(self.began);
        self.began = now;
        self.outcome.steps.push(Step { name, took });
        let line = format!("  {name:<34} {:>10}   {detail}", span(took));
        self.bar.aside(|| self.out.advice(line.trim_end()));
    }

    /// A step that moved so many bytes is done.
    fn step_with_rate(&mut self, name: &'static str, size: u64) {
        let took = self.clock.time().since(self.began);
        self.step(name, format!("{}, {}", bytes(size), super::show::rate(size, took)));
    }
}

/// Where other nodes reach this one.
fn address_of(actor: &Actor) -> Result<std::net::SocketAddr, Fail> {
    actor
        .listen
        .parse()
        .map_err(|_| Fail::new("node_ended", format!("{} has no address", actor.name), "run the demo again"))
}
