//! `setup-service`: makes this program a service of the machine, and gives it folders of other users.
//!
//! Looks what there is, plans what is missing (`plan.rs`; what a folder takes is in `grant.rs`), tells it, asks, and does it. Run again, it does
//! only what is missing still. Where a package has brought the unit along, that one is left as it is.

mod grant;
mod plan;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::face::exit::{Exit, Fail};
use crate::face::out::Out;
use crate::face::place::readable;
use crate::face::vault::ask_first;
use clap::Args;
use grant::{Grant, Names};
use plan::{Plan, Step, DROP_INS, SERVICE_USER};
use serde_json::{json, Value};

/// Options of `setup-service`.
#[derive(Debug, Args)]
pub struct SetupService {
    /// A directory that the service may read, wherever it is; may be given several times.
    #[arg(long = "folder", value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// It may write there as well: for shared folders.
    #[arg(long, requires = "folders")]
    pub write: bool,
    /// As whom the service runs, from now on (else as it was; `nuthatch` at first, who is made).
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// Only print what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Write below this directory, and run nothing.
    #[arg(long, value_name = "DIR", hide = true)]
    pub root: Option<PathBuf>,
}

/// `setup-service`.
pub(super) fn setup_service(out: Out, options: &SetupService) -> Result<Exit, Fail> {
    let folders = options.folders.iter().map(|folder| wanted(folder)).collect::<Result<Vec<_>, _>>()?;
    let root = options.root.as_deref();
    if !options.dry_run && root.is_none() {
        check_machine()?;
    }
    let names = Names::read(root);
    let user = match &options.user {
        Some(user) => user.clone(),
        None => plan::user_of(&read(root, &format!("{DROP_INS}/user.conf"))?.unwrap_or_default()),
    };
    if user != SERVICE_USER && names.user(&user).is_none() {
        let message = format!("there is no user {user} on this machine");
        return Err(Fail::new("no_user", message, "leave --user out: a user for the service is made"));
    }
    let grants: Vec<Grant> =
        folders.iter().map(|folder| grant::grant(folder, &names, &user, options.write)).collect();
    let program =
        std::env::current_exe().map_err(|error| Fail::file("find", Path::new("nuthatch"), &error))?;
    let plan = Plan::new(&program, &user, &grants);
    let mut missing = Vec::new();
    for step in plan.steps(names.user(SERVICE_USER).is_some(), |path| is_there(root, path)) {
        if !is_done(root, &step)? {
            missing.push(step);
        }
    }
    let changed = !missing.is_empty();
    missing.extend(plan::end(changed));
    tell(out, options, &missing, &grants, changed)?;
    if options.dry_run {
        return Ok(Exit::Done);
    }
    if changed && !options.yes {
        ask_first(out, "Do this?", "set up")?;
    }
    for step in &missing {
        carry_out(root, step)?;
    }
    let done = json!({"event": "done", "user": user, "changed": changed});
    out.both(&done, |_| next(&grants, changed))?;
    Ok(Exit::Done)
}

/// A directory that exists, and that a unit file can name.
fn wanted(folder: &Path) -> Result<PathBuf, Fail> {
    let full = readable(folder)?;
    if full.to_str().is_none_or(|name| name.chars().any(char::is_control)) {
        let message = format!("a unit file cannot name {}", full.display());
        return Err(Fail::usage(message, "name a directory above it, or rename it"));
    }
    Ok(full)
}

/// Whether anything can be done here at all.
fn check_machine() -> Result<(), Fail> {
    if !Path::new("/run/systemd/system").is_dir() {
        return Err(Fail::new(
            "no_systemd",
            "this machine was not started by systemd",
            "have `nuthatch run` started by what starts services here; --dry-run shows how systemd would",
        ));
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Fail::new(
            "not_root",
            "only root may set up a service",
            "run it with sudo, or with --dry-run to see what it would do",
        ));
    }
    Ok(())
}

/// A path of the plan, below `root`.
fn below(root: Option<&Path>, path: &str) -> PathBuf {
    root.map_or_else(|| PathBuf::from(path), |root| root.join(path.trim_start_matches('/')))
}

/// Whether something stands there.
fn is_there(root: Option<&Path>, path: &str) -> bool {
    below(root, path).exists()
}

/// A file of the plan, if it is there.
fn read(root: Option<&Path>, path: &str) -> Result<Option<String>, Fail> {
    let path = below(root, path);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fail::file("read", &path, &error)),
    }
}

/// Whether a step needs not be done any more.
fn is_done(root: Option<&Path>, step: &Step) -> Result<bool, Fail> {
    match step {
        Step::Write { path, text } => Ok(read(root, path)?.as_ref() == Some(text)),
        Step::Copy { from, to } => {
            let (from, to) = (fs::read(from), fs::read(below(root, to)));
            Ok(from.is_ok_and(|from| to.is_ok_and(|to| from == to)))
        }
        Step::Run(_) => Ok(false),
    }
}

/// Tells what will be done, and what a person should know of the folders.
fn tell(
    out: Out,
    options: &SetupService,
    steps: &[Step],
    grants: &[Grant],
    changed: bool,
) -> Result<(), Fail> {
    let notes: Vec<&String> = grants.iter().flat_map(|grant| &grant.notes).collect();
    if out.json {
        let told: Vec<Value> = steps.iter().map(Step::told).collect();
        return out
            .value(&json!({"event": "plan", "steps": told, "notes": notes, "dry_run": options.dry_run}));
    }
    if changed {
        for step in steps {
            out.text(&step.shown(options.dry_run))?;
        }
    }
    notes.iter().try_for_each(|note| out.text(&format!("\n{note}\n")))
}

/// Does a step.
fn carry_out(root: Option<&Path>, step: &Step) -> Result<(), Fail> {
    match step {
        Step::Write { path, text } => put(&below(root, path), text.as_bytes(), 0o644),
        Step::Copy { from, to } => {
            let program = fs::read(from).map_err(|error| Fail::file("read", from, &error))?;
            put(&below(root, to), &program, 0o755)
        }
        Step::Run(_) if root.is_some() => Ok(()),
        Step::Run(words) => run(words),
    }
}

/// Writes a file aside and puts it in its place: a program that runs cannot be written to.
fn put(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Fail> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    let write = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&aside, bytes)?;
        fs::set_permissions(&aside, fs::Permissions::from_mode(mode))?;
        fs::File::open(&aside)?.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(|error| Fail::file("write", path, &error))
}

/// Runs a program of the system.
fn run(words: &[String]) -> Result<(), Fail> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let told = match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            said.lines().next().unwrap_or("it said nothing").to_owned()
        }
        Err(error) => error.to_string(),
    };
    let message = format!("`{}` failed: {told}", words.join(" "));
    Err(Fail::new(
        "service_failed",
        message,
        "see `journalctl -u nuthatch -n 30`; the command can be run again",
    ))
}

/// What to do next.
fn next(grants: &[Grant], changed: bool) -> String {
    let mut text =
        if changed { "The service is set up and runs.\n" } else { "The service is set up already.\n" }
            .to_owned();
    if grants.is_empty() {
        text.push_str("Next: `sudo nuthatch init` or `sudo nuthatch join`, or in a browser http://THIS-MACHINE.local:7118\n");
    }
    for grant in grants {
        text.push_str(&format!(
            "Next: sudo nuthatch folder add NAME '{}'\n",
            crate::face::show::text(&grant.directory)
        ));
    }
    text
}
