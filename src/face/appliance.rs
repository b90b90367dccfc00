//! The appliance: what our own system image needs of this program besides the node.
//!
//! `update` is for people; the commands of `appliance` are called by the system's scripts in `images/root/`. What a person puts on the boot partition
//! is in `boot_file.rs`, the two system slots in `slots.rs`. Read docs/APPLIANCE.md first.

pub mod boot_file;
pub mod bundle;
pub mod first_boot;
pub mod machine;
pub mod screen;
pub mod slots;
pub mod update;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::exit::{Exit, Fail};
use super::link::Link;
use super::out::Out;
use machine::{Machine, NOTE};
use slots::Slots;

/// The commands of `appliance`.
#[derive(Debug, Subcommand)]
pub enum Appliance {
    /// Take over what a person has put on the boot partition, once.
    #[command(
        after_long_help = "Examples:\n  nuthatch appliance first-boot --boot /boot --root /data/system"
    )]
    FirstBoot {
        /// The boot partition.
        #[arg(long, value_name = "DIR")]
        boot: PathBuf,
        /// Where the system's own files are kept.
        #[arg(long, value_name = "DIR")]
        root: PathBuf,
    },
    /// Print the name of the disk that a person wants to be formatted, if there is one.
    #[command(after_long_help = "Examples:\n  nuthatch appliance data-disk --boot /boot")]
    DataDisk {
        /// The boot partition.
        #[arg(long, value_name = "DIR")]
        boot: PathBuf,
    },
    /// Print what stands on the console.
    #[command(
        after_long_help = "Examples:\n  nuthatch appliance screen\n  nuthatch appliance screen --code 12345678"
    )]
    Screen {
        /// The code for the first password.
        #[arg(long, value_name = "CODE")]
        code: Option<String>,
    },
    /// Say that the system that runs works: it starts from now on.
    #[command(after_long_help = "Examples:\n  nuthatch appliance good")]
    Good,
}

/// Does one of them.
///
/// # Errors
/// When a file cannot be written, or this is no appliance.
pub fn appliance(link: impl Fn() -> Result<Link, Fail>, out: Out, command: &Appliance) -> Result<Exit, Fail> {
    match command {
        Appliance::FirstBoot { boot, root } => first_boot::first_boot(boot, root, out),
        Appliance::DataDisk { boot } => {
            if let Some(disk) = first_boot::look(boot).wishes.format {
                out.text(&format!("{disk}\n"))?;
            }
            Ok(Exit::Done)
        }
        Appliance::Screen { code } => screen::screen(&link()?, out, code.as_deref()),
        Appliance::Good => good(Path::new(NOTE), out),
    }
}

/// The slot that runs is good.
fn good(note: &Path, out: Out) -> Result<Exit, Fail> {
    let machine = Machine::read(note)?;
    let now = Slots::read(&machine.boot, machine.slot);
    let wanted = Slots { good: machine.slot, trial: None };
    // An update that waits for the next start goes on waiting.
    let waits =
        now.good == machine.slot && now.trial.is_some_and(|(slot, tries)| slot != machine.slot && tries > 0);
    if now != wanted && !waits {
        wanted.write(&machine.boot)?;
        out.text(&format!("Slot {} is good.\n", machine.slot.letter()))?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::machine::Slot;
    use super::*;

    const QUIET: Out = Out { json: true, quiet: true };

    #[test]
    fn a_system_that_works_stays_and_one_that_waits_for_its_trial_goes_on_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let boot = directory.path();
        let note = boot.join("note");
        let running = |slot: &str| {
            let text = format!(
                "slot={slot}\ntarget=rpi-arm64\nboot={}\nslot_a=/dev/a\nslot_b=/dev/b\nkernel=6\n",
                boot.display()
            );
            std::fs::write(&note, text).unwrap();
        };
        let tried = Slots { good: Slot::A, trial: None }.with_trial(Slot::B);
        tried.write(boot).unwrap();
        running("a");
        good(&note, QUIET).unwrap();
        assert_eq!(Slots::read(boot, Slot::A), tried);
        running("b");
        good(&note, QUIET).unwrap();
        assert_eq!(Slots::read(boot, Slot::A), Slots { good: Slot::B, trial: None });
        // The fall-back: b failed, its tries are used up, and a runs again.
        tried.write(boot).unwrap();
        let text = std::fs::read_to_string(boot.join("nuthatch-slots.txt")).unwrap();
        std::fs::write(boot.join("nuthatch-slots.txt"), text.replace("tries=2", "tries=0")).unwrap();
        running("a");
        good(&note, QUIET).unwrap();
        assert_eq!(Slots::read(boot, Slot::B), Slots { good: Slot::A, trial: None });
    }
}
