//! The commands of `folder`: their options, and what they do.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::exit::{Exit, Fail};
use super::link::Link;
use super::out::Out;
use super::place::absolute;
use super::report::{folders, items, word};
use super::show::{count, text};
use crate::feed::entry::Mode;
use crate::node::api::{self, Call};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

/// The commands of `folder`.
#[derive(Debug, Subcommand)]
pub enum Folder {
    /// Back up a directory of this node from now on.
    #[command(after_long_help = "Examples:\n  nuthatch folder add photos ~/Pictures\n  \
        nuthatch folder add src ~/src --ignore target/ --ignore '*.o' --copies 2\n  \
        nuthatch folder add mail ~/Mail --keep last=10,daily=30,monthly=24 --max-size 2GB\n\n\
        Patterns are written as in .gitignore; so are files named .nuthatchignore inside DIR. Directories with a\n\
        CACHEDIR.TAG are left out.")]
    Add(FolderAdd),
    /// Have a shared folder of the vault on this device, too: what others have comes here, what is here goes to them. Or take over a
    /// folder that is backed up, and whose device was removed.
    #[command(
        after_long_help = "Examples:\n  nuthatch folder attach family ~/Family\n  nuthatch folder attach music /mnt/usb/Music --mode receive\n\n\
        What lies in DIR already becomes part of the folder. Where two devices have different content under one name, both are\n\
        kept, one of them as `name (conflict DEVICE DATE DIGITS)`.\n\n\
        Of a folder that is backed up, and whose device was removed, DIR is where its files are now (`nuthatch restore` first, if they\n\
        are gone): the next backup goes on from its last snapshot."
    )]
    Attach(FolderAttach),
    /// All folders of the vault.
    #[command(after_long_help = "Examples:\n  nuthatch folder list\n  nuthatch folder list --json")]
    List,
    /// Change what was said of a folder when it was added.
    #[command(
        after_long_help = "Examples:\n  nuthatch folder set photos copies=2 keep=last=10,daily=30\n  \
        nuthatch folder set src ignore+=target/ ignore-='*.o'\n  nuthatch folder set photos directory=/mnt/new/photos\n\n\
        KEY is copies, keep, ignore (a list with commas; += adds one, -= takes one away), one-file-system (true or false), max-size\n\
        (2GB: larger files are left out; or off), directory (where it lies now, if it has moved), name, or of a shared folder mode (both, send, receive). The next backup goes by it; snapshots that exist stay as they are."
    )]
    Set {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        /// What to change.
        #[arg(value_name = "KEY=VALUE", required = true)]
        changes: Vec<String>,
    },
    /// Stop backing up a folder here; its snapshots stay.
    #[command(after_long_help = "Examples:\n  nuthatch folder remove photos")]
    Remove {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// What a device does with the changes of a shared folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeName {
    /// Both ways.
    Both,
    /// Its own go out.
    Send,
    /// Others' come in.
    Receive,
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::Both => Self::Both,
            ModeName::Send => Self::Send,
            ModeName::Receive => Self::Receive,
        }
    }
}

/// Options of `folder add`.
#[derive(Debug, Args)]
pub struct FolderAdd {
    /// Its name in the vault: letters, digits, `.`, `_` and `-`, at most 64.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The directory.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// `backup`: this device writes it. `shared`: every device that attaches it does, and all have the same.
    #[arg(long, default_value = "backup", value_parser = ["backup", "shared"])]
    pub kind: String,
    /// On how many devices it shall be, this one included (else `backup.copies` of the configuration).
    #[arg(long, value_name = "N")]
    pub copies: Option<u8>,
    /// Which snapshots are kept: the last ones, and the newest of each hour, day, week, month and year; or `all` (else
    /// `backup.keep` of the configuration).
    #[arg(long, value_name = "POLICY")]
    pub keep: Option<String>,
    /// What to leave out, as in .gitignore; may be given many times.
    #[arg(long, value_name = "GLOB")]
    pub ignore: Vec<String>,
    /// Do not go into other file systems that are mounted below DIR.
    #[arg(long)]
    pub one_file_system: bool,
    /// Leave out files that are larger than that, such as 2GB.
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<String>,
    /// Of a shared folder. `both`: changes here go to the others, and theirs come here. `send`: nothing of theirs is written here.
    /// `receive`: what is changed here stays here, under another name.
    #[arg(long, value_enum, default_value = "both")]
    pub mode: ModeName,
}

/// Options of `folder attach`.
#[derive(Debug, Args)]
pub struct FolderAttach {
    /// Its name in the vault.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The directory, which may be empty.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// What to leave out here, as in .gitignore (else what the folder leaves out elsewhere).
    #[arg(long, value_name = "GLOB")]
    pub ignore: Vec<String>,
    /// Do not go into other file systems that are mounted below DIR.
    #[arg(long)]
    pub one_file_system: bool,
    /// Leave out files that are larger than that, such as 2GB (else as elsewhere; `off`: none).
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<String>,
    /// Of a shared folder. `both`: changes here go to the others, and theirs come here. `send`: nothing of theirs is written here.
    /// `receive`: what is changed here stays here, under another name.
    #[arg(long, value_enum, default_value = "both")]
    pub mode: ModeName,
}

/// Does it.
///
/// # Errors
/// When the node refuses, or none runs.
pub fn folder(link: &Link, out: Out, command: Folder) -> Result<Exit, Fail> {
    match command {
        Folder::Add(options) => add(link, out, options),
        Folder::Attach(options) => attach(link, out, options),
        Folder::List => {
            let (value, ending) = link.value(&Call::FolderList)?;
            out.both(&value, folders)?;
            Ok(ending.into())
        }
        Folder::Set { name, changes } => {
            let (value, ending) = link.value(&Call::FolderSet { name, changes })?;
            out.both(&value, described)?;
            Ok(ending.into())
        }
        Folder::Remove { name } => {
            let (value, ending) = link.value(&Call::FolderRemove { name })?;
            out.both(&value, |value| {
                let name = text(word(value, "name"));
                if value["kind"] == "shared" {
                    return format!("{name} is no longer on this device; its files stay where they are, and the vault keeps its snapshots.\n");
                }
                format!("{name} is backed up no more; its snapshots stay.\n")
            })?;
            Ok(ending.into())
        }
    }
}

/// A folder as it is now.
fn described(value: &Value) -> String {
    let mut left_out: Vec<String> = items(&value["ignore"]).filter_map(Value::as_str).map(text).collect();
    left_out.extend(value["max_size"].as_str().map(|most| format!("files above {}", text(most))));
    let left_out = if left_out.is_empty() { "nothing".to_owned() } else { left_out.join(", ") };
    format!(
        "{}: {} on {}, keeps {}, leaves out {left_out}\n",
        text(word(value, "name")),
        text(word(value, "directory")),
        count(value["copies"].as_u64().unwrap_or(1), "device"),
        text(word(value, "keep")),
    )
}

/// The directory of a folder: absolute, and there.
fn directory_of(given: &Path) -> Result<PathBuf, Fail> {
    let directory = absolute(given)?;
    if directory.is_dir() {
        return Ok(directory);
    }
    let message = format!("{} is no directory", directory.display());
    Err(Fail::new(
        "bad_directory",
        message,
        "check the path; a new directory is made with mkdir, and may be empty",
    ))
}

/// `folder attach`.
fn attach(link: &Link, out: Out, options: FolderAttach) -> Result<Exit, Fail> {
    let directory = directory_of(&options.directory)?;
    let (value, ending) = link.value(&Call::FolderAdd(api::FolderAdd {
        name: options.name,
        directory: directory.as_os_str().as_bytes().to_vec(),
        kind: "attach".into(),
        copies: None,
        keep: None,
        ignore: options.ignore,
        one_file_system: options.one_file_system,
        max_size: options.max_size,
        mode: options.mode.into(),
    }))?;
    out.both(&value, |value| {
        let name = text(word(value, "name"));
        let how =
            if word(value, "kind") == "backup" { "backed up from here now" } else { "on this device, too" };
        format!("{name} is {how}: {}\n", directory.display())
    })?;
    if word(&value, "kind") == "shared" {
        out.advice("What others have comes by itself; `nuthatch status` tells how far it is.");
    }
    Ok(ending.into())
}

/// `folder add`.
fn add(link: &Link, out: Out, options: FolderAdd) -> Result<Exit, Fail> {
    let directory = directory_of(&options.directory)?;
    let (value, ending) = link.value(&Call::FolderAdd(api::FolderAdd {
        name: options.name,
        directory: directory.as_os_str().as_bytes().to_vec(),
        kind: options.kind,
        copies: options.copies,
        keep: options.keep,
        ignore: options.ignore,
        one_file_system: options.one_file_system,
        max_size: options.max_size,
        mode: options.mode.into(),
    }))?;
    out.both(&value, |value| {
        let copies = value["copies"].as_u64().unwrap_or(1);
        let devices = if copies == 1 { "this device only".into() } else { format!("{copies} devices") };
        let name = text(word(value, "name"));
        if word(value, "kind") == "shared" {
            let there = format!("On another device: nuthatch folder attach {name} DIR");
            return format!("{name} is shared from now on, to be on {devices}. {there}\n");
        }
        format!("{name} is backed up from now on, to be on {devices}.\n")
    })?;
    out.advice("Next: `nuthatch backup --wait`, or wait: a backup begins by itself.");
    Ok(ending.into())
}
