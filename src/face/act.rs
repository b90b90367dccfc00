//! Does what the command line asks: one function a command, or the file that has it.
//!
//! `face/vault.rs` has the commands around membership, `face/job.rs` and `face/restore.rs` the long ones, `face/demo.rs` the
//! demonstration. Here are the rest, and what is common to all: the home, usage errors, the exit code.

pub mod access;
pub mod say;
pub mod setup_service;
pub mod test_alert;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use super::cli::{Arguments, Command, OneSnapshot};
use super::exit::{Exit, Fail};
use super::link::Link;
use super::options::{Bench, Completions, Log, Ls, Snapshots, Store};
use super::out::Out;
use super::place::absolute;
use super::report::{entry, short, snapshots, status, word};
use super::show::text;
use super::{
    appliance, bench, demo, erase, files, folder, hold, job, restore, serve, settings, store, vault, versions,
};
use crate::io::os::default_home;
use crate::node::api::Call;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

/// The whole program: `words` are the arguments, the name of the program first.
#[must_use]
pub fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.collect();
    let arguments = match Arguments::try_parse_from(&words) {
        Ok(arguments) => arguments,
        Err(error) => return misused(&error, words.iter().any(|word| word == "--json")).into(),
    };
    let out = Out { json: arguments.json, quiet: arguments.quiet };
    let exit = act(arguments, out).unwrap_or_else(|fail| {
        out.failure(&fail);
        fail.exit
    });
    exit.into()
}

/// What clap has to say: help and version are results, the rest is a usage error.
fn misused(error: &clap::Error, json: bool) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Whoever closes the pipe has read enough.
        let _ = error.print();
        return Exit::Done;
    }
    if json {
        let rendered = error.render().to_string();
        let message = rendered.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let fail = Fail::usage(message, "see `nuthatch help`");
        Out { json, quiet: false }.failure(&fail);
    } else {
        let _ = error.print();
    }
    Exit::Usage
}

/// Does it.
fn act(arguments: Arguments, out: Out) -> Result<Exit, Fail> {
    let home = arguments.home;
    let link = || link(home.as_deref());
    match arguments.command {
        Command::Demo(options) => demo::demo(out, &options),
        Command::Bench(Bench::Serve(options)) => bench::serve(out, &options),
        Command::Bench(Bench::Send(options)) => bench::send(out, &options),
        Command::Bench(Bench::Store(options)) => bench::store::store(out, &options),
        Command::Completions(options) => completions(&options),
        Command::Init(options) => vault::init(&link()?, out, options),
        Command::Join(options) => vault::join(&link()?, out, options),
        Command::Recover(options) => vault::recover(&link()?, out, options),
        Command::Run(options) => serve::run(link()?.home(), out, &options),
        Command::Invite(options) => vault::invite(&link()?, out, &options),
        Command::Nodes => vault::list(&link()?, out),
        Command::Remove(options) => vault::remove(&link()?, out, options),
        Command::Folder(command) => folder::folder(&link()?, out, command),
        Command::Backup(options) => job::backup(&link()?, out, options),
        Command::Sync(options) => hold::sync(&link()?, out, &options),
        Command::Pause(options) => hold::pause(&link()?, out, &options),
        Command::Resume => hold::resume(&link()?, out),
        Command::Snapshots(options) => list_snapshots(&link()?, out, options),
        Command::Forget(options) => change(&link()?, out, options, |what| Call::Forget { what }),
        Command::Undo(options) => change(&link()?, out, options, |what| Call::Undo { what }),
        Command::Erase(options) => erase::erase(&link()?, out, options),
        Command::Confirm { what } => {
            let (value, ending) = link()?.value(&Call::Confirm { what })?;
            out.both(&value, |value| format!("Confirmed: {}.\n", text(word(value, "confirmed"))))?;
            Ok(ending.into())
        }
        Command::Ls(options) => ls(&link()?, out, options),
        Command::History(options) => versions::history(&link()?, out, options),
        Command::Diff(options) => versions::diff(&link()?, out, options),
        Command::Find(options) => versions::find(&link()?, out, options),
        Command::Restore(options) => restore::restore(&link()?, out, &options),
        Command::Put(options) => files::put(&link()?, out, &options),
        Command::Get(options) => files::get(&link()?, out, &options),
        Command::Rm(options) => files::rm(&link()?, out, options),
        Command::Status { all } => {
            let (value, ending) = link()?.value(&Call::Status)?;
            out.both(&value, |value| status(value, all))?;
            Ok(ending.into())
        }
        Command::Drill { name } => job::drill(&link()?, out, name),
        Command::Verify(options) => job::verify(&link()?, out, &options),
        Command::TestAlert(options) => test_alert::test_alert(&link()?, out, options),
        Command::Say(options) => say::say(&link()?, out, &options),
        Command::Log(options) => log(&link()?, out, &options),
        Command::Password(options) => access::password(&link()?, out, options),
        Command::Token(options) => access::token(&link()?, out, options),
        Command::Config(options) => settings::config(&link()?, out, options),
        Command::SetupService(options) => setup_service::setup_service(out, &options),
        Command::Update(options) => appliance::update::update(out, &options),
        Command::Appliance(command) => appliance::appliance(link, out, &command),
        Command::Store(Store::Check) => store::check(link()?.home(), None, out),
        Command::Store(Store::Export { to }) => store::check(link()?.home(), Some(&absolute(&to)?), out),
    }
}

/// The node that is meant.
fn link(home: Option<&Path>) -> Result<Link, Fail> {
    let named = home.is_some() || std::env::var_os("NUTHATCH_HOME").is_some_and(|value| !value.is_empty());
    let home = match home {
        Some(home) => home.to_path_buf(),
        None => default_home().map_err(|error| Fail::usage(error.to_string(), "give --home DIR"))?,
    };
    let home = absolute(&home)?;
    Ok(if named { Link::to(home) } else { Link::to_any(home) })
}

/// `snapshots`.
fn list_snapshots(link: &Link, out: Out, options: Snapshots) -> Result<Exit, Fail> {
    let mut lines = Vec::new();
    let ending = link.lines(&Call::Snapshots { name: options.name }, &mut |line| {
        out.value(&line)?;
        // A table needs all its rows; as JSON nothing is kept.
        if !out.json {
            lines.push(line);
        }
        Ok(())
    })?;
    if lines.is_empty() {
        out.text("There is no snapshot yet.\n")?;
    } else {
        out.text(&snapshots(&lines))?;
    }
    Ok(ending.into())
}

/// `forget` and `undo`.
fn change(link: &Link, out: Out, options: OneSnapshot, call: fn(String) -> Call) -> Result<Exit, Fail> {
    let what = match options.snapshot {
        Some(snapshot) => format!("{}@{snapshot}", options.folder),
        None => options.folder,
    };
    let (value, ending) = link.value(&call(what))?;
    out.both(&value, |value| {
        let which = format!("{} of {}", short(word(value, "snapshot")), text(word(value, "folder")));
        if value["retired"] == true {
            let days = value["floor_us"].as_u64().unwrap_or(0) / 86_400_000_000;
            format!(
                "Snapshot {which} is forgotten. `nuthatch undo` takes it back for at least {days} days.\n"
            )
        } else {
            format!("Snapshot {which} is back, and stays until it is forgotten again.\n")
        }
    })?;
    Ok(ending.into())
}

/// `ls`.
fn ls(link: &Link, out: Out, options: Ls) -> Result<Exit, Fail> {
    let call = Call::List { what: options.what, recursive: options.recursive };
    link.lines(&call, &mut |line| out.both(&line, entry)).map(Exit::from)
}

/// `log`.
fn log(link: &Link, out: Out, options: &Log) -> Result<Exit, Fail> {
    link.lines(&Call::Log { follow: options.follow, after: None }, &mut |line| out.both(&line, say::activity))
        .map(Exit::from)
}

/// `completions`.
fn completions(options: &Completions) -> Result<Exit, Fail> {
    // Into memory first: the generator panics where its reader goes away.
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "nuthatch", &mut script);
    super::out::write(&script)?;
    Ok(Exit::Done)
}
