//! The command line: every command, option and help text.
//!
//! Only says what can be typed; the options of each command are in `face/options.rs`, and `face/act.rs` does it. The conventions (exit codes, `--json`, secrets, the data home)
//! are those of `docs/DESIGN.md`, section 9.

use std::path::PathBuf;

use super::act::access::{Password, Token};
use super::act::say::Say;
use super::act::setup_service::SetupService;
use super::act::test_alert::TestAlert;
use super::appliance::update::Update;
use super::appliance::Appliance;
use super::erase::Erase;
use super::files::{Get, Put, Rm};
use super::folder::Folder;
use super::hold::{Pause, Sync};
use super::job::Backup;
use super::options::{
    Bench, Completions, Config, Demo, Init, Invite, Join, Log, Ls, Recover, Remove, Restore, Run, Snapshots,
    Store, Verify,
};
use super::versions::{Diff, Find, History};
use clap::{Args, Parser, Subcommand};

/// An encrypted, self-healing home for your files, on the machines you already own.
#[derive(Debug, Parser)]
#[command(name = "nuthatch", version, max_term_width = 100, subcommand_required = true, after_long_help = OVERVIEW)]
pub struct Arguments {
    /// Where this node keeps its data (else $NUTHATCH_HOME, else the system's or the user's data directory).
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Print JSON: one object, or one object a line where there is a stream; errors as {"error": ...}.
    #[arg(long, global = true)]
    pub json: bool,
    /// Print no progress and no advice, only results and errors.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// All commands, in the order in which one meets them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show it here: three nodes join, back up, lose one, recover and compare.
    #[command(after_long_help = "Examples:\n  nuthatch demo                       with generated files\n  \
        nuthatch demo ~/src --work /var/tmp  with your own; DIR is only read\n\n\
        Everything happens in a temporary directory, which is removed in the end, also after Ctrl-C. Exits with 0 only if\n\
        every byte and every attribute came back equal.")]
    Demo(Demo),
    /// Make a new vault; prints its recovery phrase, once.
    #[command(after_long_help = "Examples:\n  nuthatch init\n  nuthatch init --name attic --site home\n  \
        nuthatch init --json | jq -r .recovery_phrase\n\n\
        Write the 24 words on paper. They are kept nowhere, and whoever has them can read everything.")]
    Init(Init),
    /// Join a vault with the code that `nuthatch invite` shows on one of its nodes.
    #[command(
        after_long_help = "Examples:\n  nuthatch join                                 asks for the code\n  \
        nuthatch join 1234-5678\n  nuthatch join - --peer 192.168.1.20:7117 < code.txt\n\n\
        Without --peer the other node is found on the local network (mDNS)."
    )]
    Join(Join),
    /// Come back from the 24 words of the recovery phrase when a node was lost.
    #[command(
        after_long_help = "Examples:\n  nuthatch recover                              asks for the words, without showing them\n  \
        nuthatch recover --phrase-file words.txt --peer 192.168.1.20:7117\n  \
        nuthatch recover --phrase-file - --replace attic\n\n\
        --replace removes the lost node for good and takes over its folders."
    )]
    Recover(Recover),
    /// Run the node, in the foreground.
    #[command(
        after_long_help = "Examples:\n  nuthatch run\n  nuthatch run --listen 192.168.1.20:7117 --mdns off\n\n\
        On an empty home the node waits until `init`, `join` or `recover` is called. Ctrl-C or SIGTERM ends it cleanly;\n\
        nothing is lost if it is killed."
    )]
    Run(Run),
    /// Let one more node in: shows a code, and waits until it was used.
    #[command(
        after_long_help = "Examples:\n  nuthatch invite                 for a node that may read everything\n  \
        nuthatch invite --role store    for one that keeps sealed copies and can read nothing\n  \
        nuthatch invite --no-wait --json\n\n\
        A code is good for one node, ten minutes and five attempts. One invitation is open at a time: a new one takes the\n\
        place of the one before, whose code is of no use from then on, and says so. Ctrl-C takes a code back."
    )]
    Invite(Invite),
    /// The nodes of the vault, where they are and what they hold.
    #[command(after_long_help = "Examples:\n  nuthatch nodes\n  nuthatch nodes --json | jq '.[].name'\n\n\
        In JSON `capacity_bytes` is null for a node that has not described itself yet; `full` says that it takes no more.")]
    Nodes,
    /// Remove a node from the vault, for good.
    #[command(after_long_help = "Examples:\n  nuthatch remove attic          it is sold or broken\n  \
        nuthatch remove attic --now    it was stolen\n  nuthatch remove attic --keep   it may stay after all\n  \
        nuthatch remove 3fa4b2 --yes\n\n\
        One that is connected and holds what others do not have yet is removed when they do: until then it is a member, and\n\
        `status` says how far that is. With --now, and where it is not connected, it is removed at once (in a vault of more\n\
        devices than are linked with each other only where it was silent for longer than usual).\n\n\
        A removed node cannot come back under its old identity. What it had, it has; its snapshots stay on the others.\n\n\
        Asks first. Where nobody can be asked (in a script, with --json), nothing is removed without --yes.")]
    Remove(Remove),
    /// Folders: what is backed up.
    #[command(
        subcommand,
        after_long_help = "Examples:\n  nuthatch folder add photos ~/Pictures\n  nuthatch folder list\n  \
        nuthatch folder remove photos"
    )]
    Folder(Folder),
    /// Back up now.
    #[command(after_long_help = "Examples:\n  nuthatch backup                 all folders\n  \
        nuthatch backup photos --wait   until enough other devices hold it\n  \
        nuthatch backup photos --checksum   reads every file: finds what changed without a sign of it\n\n\
        Exits with 4 when it is backed up here but not yet on as many devices as it should be.")]
    Backup(Backup),
    /// Talk to every node that can be reached, and back up all folders, now.
    #[command(
        after_long_help = "Examples:\n  nuthatch sync\n  nuthatch sync --wait   before a journey: until enough other devices hold everything\n\n\
        Exits with 4 when everything is backed up here but not yet on as many devices as it should be."
    )]
    Sync(Sync),
    /// Hold still: no backups, copies or checks that nobody asks for.
    #[command(
        after_long_help = "Examples:\n  nuthatch pause            until `nuthatch resume`\n  nuthatch pause --for 2h\n\n\
        For a metered line, or while the machine is needed for something else. The node stays connected and answers others, at\n\
        64 kbit/s; `backup` and `restore` work as ever. A pause outlives a restart. Other devices call this one silent if it\n\
        makes no backup for longer than usual."
    )]
    Pause(Pause),
    /// Go on after `pause`.
    #[command(after_long_help = "Examples:\n  nuthatch resume")]
    Resume,
    /// The snapshots of a folder, newest last.
    #[command(after_long_help = "Examples:\n  nuthatch snapshots\n  nuthatch snapshots photos --json")]
    Snapshots(Snapshots),
    /// Retire a snapshot; its space comes back after a while, until then `undo` takes it back.
    #[command(
        after_long_help = "Examples:\n  nuthatch forget photos 3fa4b2\n  nuthatch forget photos@2024-08-01T0930\n\n\
        Devices give the chunks of a forgotten snapshot up when they have run for 37 days since they heard of it. This is to\n\
        be run on the device that wrote the snapshot. Files that other snapshots have too stay."
    )]
    Forget(OneSnapshot),
    /// Take a forgotten snapshot back, as long as its chunks are here.
    #[command(
        after_long_help = "Examples:\n  nuthatch undo photos            the newest that was forgotten\n  \
        nuthatch undo photos 3fa4b2\n\n\
        What was taken back is not retired by the folder's policy again."
    )]
    Undo(OneSnapshot),
    /// Have forgotten snapshots given up at once, on every device, for good.
    #[command(
        after_long_help = "Examples:\n  nuthatch erase photos 3fa4b2            on two full nodes\n  \
        nuthatch erase photos 3fa4b2 --phrase   on one, with the recovery phrase\n  \
        nuthatch erase photos --yes --phrase-file words.txt\n\n\
        For what must not exist any more, or for room on a full disk: the 37 days of a forgotten snapshot are not waited for. It\n\
        takes the recovery phrase, or the same command on two full nodes, and every device heeds only full nodes that it has\n\
        known for 37 days or from the start. Without SNAPSHOT all that is forgotten of the folder is meant. Snapshots\n\
        that stand are never touched, nor is what they have in common with an erased one."
    )]
    Erase(Erase),
    /// Answer what `status` asks: that so many snapshots were meant to be retired.
    #[command(after_long_help = "Examples:\n  nuthatch confirm photos     the policy of this folder\n  \
        nuthatch confirm collect    what other devices have retired")]
    Confirm {
        /// As `status` names it.
        #[arg(value_name = "WHAT")]
        what: String,
    },
    /// List what a snapshot holds.
    #[command(
        after_long_help = "Examples:\n  nuthatch ls photos\n  nuthatch ls photos@latest:2024/summer\n  \
        nuthatch ls photos@2024-08-01T0930 --recursive\n\n\
        NAME[@SNAPSHOT][:PATH]; SNAPSHOT is `latest`, at least six digits of its id, or YYYY-MM-DDTHHMM in UTC (the newest\n\
        one up to then)."
    )]
    Ls(Ls),
    /// All versions of one file over the snapshots of its folder, oldest first.
    #[command(after_long_help = "Examples:\n  nuthatch history photos:2024/summer.jpg\n\n\
        Snapshots in a row with the same version are one line: from the first to the last of them. Any of them brings it back:\n\
        nuthatch restore photos@SNAPSHOT:2024/summer.jpg --to .")]
    History(History),
    /// What was added, changed and deleted between two snapshots.
    #[command(
        after_long_help = "Examples:\n  nuthatch diff photos@3fa4b2                 from then to the newest\n  \
        nuthatch diff photos@3fa4b2 @9c01d2\n  nuthatch diff photos@2024-08-01T0930:2024 photos\n\n\
        Only what differs is read, so it is quick in large folders. Times of directories are not compared."
    )]
    Diff(Diff),
    /// Find files by name in the newest snapshots of all folders.
    #[command(
        after_long_help = "Examples:\n  nuthatch find '*.pdf'\n  nuthatch find 'letters/**/*.pdf' --folder home\n  \
        nuthatch find budget.ods --all          also what was changed or deleted long ago\n\n\
        PATTERN is written as in .gitignore: without a slash it is that of a name, with one that of the whole path."
    )]
    Find(Find),
    /// Write a folder, or one path of it, from a snapshot to a directory.
    #[command(after_long_help = "Examples:\n  nuthatch restore photos --to /tmp/photos\n  \
        nuthatch restore photos@3fa4b2:2024/summer --to .        makes ./summer\n  \
        nuthatch restore photos --to ~/Pictures --dry-run        what would be done, path by path\n\n\
        What is there already (a file of the same size and time, a link with the same target) is neither fetched nor\n\
        written, so a restore that broke off is finished by the same command. What is there and differs is kept, which\n\
        makes the exit code 4, unless --overwrite is given.")]
    Restore(Restore),
    /// Send a file into a shared folder, from any full node.
    #[command(after_long_help = "Examples:\n  nuthatch put letter.pdf family:letters/\n  \
        nuthatch put letter.pdf family:letters/to-mum.pdf --wait\n  tar c src | nuthatch put - family:src.tar\n\n\
        Missing directories are made. What was there before stays as a version. Devices that have a directory of the folder\n\
        write the file there.")]
    Put(Put),
    /// Write one file of a folder here, from any full node.
    #[command(after_long_help = "Examples:\n  nuthatch get family:letters/to-mum.pdf\n  \
        nuthatch get photos@3fa4b2:2024/summer.jpg /tmp/summer.jpg\n  nuthatch get family:src.tar - | tar t\n\n\
        `restore` does the same for directories and whole folders.")]
    Get(Get),
    /// Remove a file or directory of a shared folder, from any full node; versions stay.
    #[command(after_long_help = "Examples:\n  nuthatch rm family:letters/draft.pdf\n  \
        nuthatch rm family:letters --recursive\n\n\
        It goes on all devices. `nuthatch history NAME:PATH` shows its versions, `nuthatch get NAME@SNAPSHOT:PATH` brings one back.")]
    Rm(Rm),
    /// How things are: one sentence first, then details.
    #[command(
        after_long_help = "Examples:\n  nuthatch status\n  nuthatch status --all\n  nuthatch status --json | jq -r .summary"
    )]
    Status {
        /// Everything that needs attention, not only the worst three.
        #[arg(long)]
        all: bool,
    },
    /// Check that everything that should be here is here; with --all read every byte.
    #[command(after_long_help = "Examples:\n  nuthatch verify\n  nuthatch verify --all\n\n\
        Exits with 1 and a list when something is damaged or missing.")]
    Verify(Verify),
    /// Restore a sample of this node's folders from other nodes, and compare.
    #[command(after_long_help = "Examples:\n  nuthatch drill\n  nuthatch drill photos\n\n\
        Nothing is written to your files. Each chunk is asked of another node that has signed for it. Exits with 1 and a list when a node\n\
        does not have what it signed for, with 4 when nobody could be asked. The node does this by itself every `drill.every`.")]
    Drill {
        /// Of this folder only.
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// What happened, and what people said.
    #[command(after_long_help = "Examples:\n  nuthatch log\n  nuthatch log --follow\n  \
        nuthatch log --json | jq -r 'select(.level != \"info\").message'\n\n\
        Events are those since the node was started; notes are the newest 128 of the vault, with the time at which they were written.")]
    Log(Log),
    /// Leave a note to everybody who looks at a full node of the vault.
    #[command(after_long_help = "Examples:\n  nuthatch say the attic box will be off until Friday\n  \
        nuthatch say - < note.txt\n\n\
        It reaches all full nodes, also those that are off now, and stands in their `nuthatch log`. Store nodes carry it and\n\
        cannot read it. At most 2,000 bytes; there is no way to take it back.")]
    Say(Say),
    /// Run hooks and send an alert, to see whether they work.
    #[command(after_long_help = "Examples:\n  nuthatch test-alert\n  nuthatch test-alert backup_failed\n\n\
        As if the event had happened: runs the hooks of its name and `any` with \"test\": true in what they get, and posts to\n\
        `alerts.url`. docs/EVENTS.md lists all events. Exits with 1 if something does not work.")]
    TestAlert(TestAlert),
    /// Read, change or check the configuration (nuthatch.toml).
    #[command(
        subcommand,
        after_long_help = "Examples:\n  nuthatch config get\n  nuthatch config set node.capacity 200GB\n  \
        nuthatch config check /etc/nuthatch.toml"
    )]
    Config(Config),
    /// Set a password for the web page.
    #[command(
        after_long_help = "Examples:\n  nuthatch password            of the first user, admin\n  nuthatch password ada\n  \
        nuthatch password < password.txt\n\n\
        Whoever can run this on the node's machine needs no old password. Browsers that were logged in as that user are logged out.\n\
        Works without the node running, too."
    )]
    Password(Password),
    /// Tokens, with which programs use the API over TCP.
    #[command(
        subcommand,
        after_long_help = "Examples:\n  nuthatch token add cron --role member --folder family\n  \
        nuthatch token list\n  nuthatch token remove 3fA9bC2d\n\n\
        Sent as `Authorization: Bearer TOKEN`, or as the password where a file manager asks for one."
    )]
    Token(Token),
    /// Check or export what is in a data home, without its node; nothing there is changed.
    #[command(
        subcommand,
        after_long_help = "Examples:\n  nuthatch store check --home /mnt/old/nuthatch\n  \
        nuthatch store export --to /mnt/disk/export"
    )]
    Store(Store),
    /// Measure what a network gives the protocol, or a disk the store; no node is needed or touched.
    #[command(
        subcommand,
        after_long_help = "Examples:\n  nuthatch bench serve --listen 0.0.0.0:7200\n  \
        nuthatch bench send 192.168.1.20:7200 --seconds 10\n  \
        nuthatch bench store --dir /mnt/disk/bench --chunks 4000"
    )]
    Bench(Bench),
    /// Make this program a service of the machine, and give it folders of other users.
    #[command(
        after_long_help = "Examples:\n  nuthatch setup-service                          as root: installs, enables and starts it\n  \
        nuthatch setup-service --folder /home/anna/photos\n  nuthatch setup-service --folder /srv/family --write --yes\n  \
        nuthatch setup-service --dry-run                what would be written and run\n\n\
        Needs systemd. Run again it does only what is missing. docs/INSTALL.md tells what the service sees, and how to take it back."
    )]
    SetupService(SetupService),
    /// Put a signed update into the other system slot of the appliance; it is tried at the next start.
    #[command(after_long_help = "Examples:\n  nuthatch update nuthatch-rpi-arm64-0.2.0.update\n  \
        ssh root@attic.local nuthatch update - --reboot < nuthatch-rpi-arm64-0.2.0.update\n\n\
        Only for systems made from a nuthatch image. The running system is not touched, and comes back by itself if the new one\n\
        does not report healthy. A bundle that is unsigned, broken, for another machine or for older data is refused.")]
    Update(Update),
    /// What the appliance's own system calls.
    #[command(
        subcommand,
        hide = true,
        after_long_help = "Examples:\n  nuthatch appliance screen\n  nuthatch appliance good"
    )]
    Appliance(Appliance),
    /// Print the completions for a shell.
    #[command(
        after_long_help = "Examples:\n  nuthatch completions bash > ~/.local/share/bash-completion/completions/nuthatch\n  \
        nuthatch completions zsh > ~/.zfunc/_nuthatch"
    )]
    Completions(Completions),
}

/// Options of `forget` and `undo`.
#[derive(Debug, Args)]
pub struct OneSnapshot {
    /// The folder, or `NAME@SNAPSHOT`.
    #[arg(value_name = "FOLDER")]
    pub folder: String,
    /// At least six digits of its id, or a time as `ls` takes it.
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: Option<String>,
}

/// What the long help of the whole program ends with.
const OVERVIEW: &str = "\
First steps:
  nuthatch demo                         see it work, on this machine alone
  nuthatch run &                        the node
  nuthatch init                         a new vault; write the 24 words on paper
  nuthatch invite                       a code for the next node
  nuthatch join CODE                    on that node, where `nuthatch run` runs too
  nuthatch folder add photos ~/Pictures
  nuthatch backup --wait
  nuthatch status

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the node is not running, 4 done in part or partly protected.";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// All commands below `command` that do something themselves.
    fn leaves(command: &clap::Command) -> Vec<clap::Command> {
        let below: Vec<_> =
            command.get_subcommands().filter(|inner| inner.get_name() != "help").flat_map(leaves).collect();
        if below.is_empty() {
            vec![command.clone()]
        } else {
            below
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_that_parses() {
        for command in leaves(&Arguments::command()) {
            let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<_> = help.lines().filter(|line| line.starts_with("  nuthatch ")).collect();
            assert!(!examples.is_empty(), "{} has no example", command.get_name());
            for example in examples {
                let words = example.split("  ").find(|part| !part.is_empty()).unwrap_or_default();
                let words = words
                    .split([' '])
                    .take_while(|word| !["|", ">", "<"].contains(word))
                    .map(|word| word.trim_matches('\''));
                assert!(Arguments::try_parse_from(words).is_ok(), "{example}");
            }
        }
    }

    #[test]
    fn every_option_and_argument_has_a_help_text() {
        for command in leaves(&Arguments::command()) {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }
}
