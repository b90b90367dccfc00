//! `update`: a signed bundle into the slot that does not run, to be tried at the next start.
//!
//! Streams: neither the bundle nor the system in it is ever in memory as a whole. The running slot is not touched, and the next start
//! takes it whatever goes wrong here; only when all was written, synced and read back is the new one put on trial.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use ed25519_dalek::VerifyingKey;
use rustix::fs::Advice;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::bundle::{keys, Head};
use super::machine::{Machine, NOTE};
use super::slots::Slots;
use crate::face::exit::{Exit, Fail};
use crate::face::out::Out;
use crate::face::show::text;
use crate::store::segment::FORMAT;

/// Options of `update`.
#[derive(Debug, Args)]
pub struct Update {
    /// The bundle; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Restart at once when it was written.
    #[arg(long)]
    pub reboot: bool,
    /// The note of the appliance.
    #[arg(long, hide = true, value_name = "FILE", default_value = NOTE)]
    pub note: PathBuf,
    /// The keys that may sign.
    #[arg(long, hide = true, value_name = "FILE", default_value = "/etc/nuthatch/update.pub")]
    pub keys: PathBuf,
}

/// How much is read and written at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// `update`.
///
/// # Errors
/// When this is no appliance, the bundle is not good or not for it, or a disk fails.
pub fn update(out: Out, options: &Update) -> Result<Exit, Fail> {
    let machine = Machine::read(&options.note)?;
    let trusted = std::fs::read_to_string(&options.keys)
        .map_err(|error| Fail::file("read", &options.keys, &error))
        .and_then(|text| keys(&text).map_err(|why| refused(format!("{}: {why}", options.keys.display()))))?;
    let input: Box<dyn Read> = if options.file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(File::open(&options.file).map_err(|error| Fail::file("open", &options.file, &error))?)
    };
    let bar = out.bar();
    let mut input = BufReader::with_capacity(BLOCK_BYTES, input);
    let head = install(&machine, &trusted, &mut input, &mut |said| bar.say(said.to_owned()))?;
    bar.clear();
    let slot = machine.slot.other().letter();
    out.both(&json!({"event": "installed", "version": head.version, "slot": slot}), |_| {
        format!("Version {} stands in slot {slot}, and is tried at the next start.\n", text(&head.version))
    })?;
    if options.reboot {
        // Of a bus that this system does not have it would complain, and do it all the same.
        let started = Command::new("systemctl").arg("reboot").stderr(Stdio::null()).status();
        if !started.is_ok_and(|status| status.success()) {
            return Err(Fail::new("start", "the restart could not be begun", "restart the machine by hand"));
        }
    } else {
        out.advice("Restart when it suits (`reboot`). If the new system is not healthy, this one comes back by itself.");
    }
    Ok(Exit::Done)
}

/// Writes what a bundle brings, and puts it on trial.
fn install(
    machine: &Machine,
    trusted: &[VerifyingKey],
    input: &mut impl Read,
    say: &mut dyn FnMut(&str),
) -> Result<Head, Fail> {
    let head = Head::read(input, trusted).map_err(invalid)?;
    let path = machine.partition(machine.slot.other());
    let open = OpenOptions::new().read(true).write(true).open(path);
    let mut file = open.map_err(|error| Fail::file("open", path, &error))?;
    let room = file.seek(SeekFrom::End(0)).map_err(|error| Fail::file("measure", path, &error))?;
    let slots = Slots::read(&machine.boot, machine.slot);
    check(&head, machine, room, slots)?;
    // What stood there is not to be started any more, half overwritten.
    let only = Slots { good: machine.slot, trial: None };
    if slots != only {
        only.write(&machine.boot)?;
    }
    let failed = |verb: &'static str| move |error: std::io::Error| Fail::file(verb, path, &error);
    file.rewind().map_err(failed("write"))?;
    say("writing");
    let hash = copy(input, &mut file, head.root_bytes, path)?;
    if input.read(&mut [0]).is_ok_and(|more| more > 0) {
        return Err(invalid("more follows than its head says".into()));
    }
    if hash != head.root_hash {
        return Err(invalid("its content does not have the hash that was signed".into()));
    }
    say("reading back");
    file.sync_all().map_err(failed("sync"))?;
    // What is read now must come from the disk.
    let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
    file.rewind().map_err(failed("read"))?;
    if copy(&mut file, &mut std::io::sink(), head.root_bytes, path)? != head.root_hash {
        return Err(Fail::new(
            "file",
            format!("{} does not give back what was written to it", path.display()),
            "the card is failing; replace it soon. The running system was not touched",
        ));
    }
    only.with_trial(machine.slot.other()).write(&machine.boot)?;
    Ok(head)
}

/// Whether a bundle is for this machine, now.
fn check(head: &Head, machine: &Machine, room: u64, slots: Slots) -> Result<(), Fail> {
    if slots.trial.is_some_and(|(slot, _)| slot == machine.slot) {
        return Err(refused(
            "the system that runs is itself on trial, and what would be overwritten is the one that works"
                .into(),
        ));
    }
    if head.target != machine.target {
        return Err(refused(format!(
            "it is for {}, and this machine is {}",
            text(&head.target),
            text(&machine.target)
        )));
    }
    if head.data < FORMAT {
        return Err(refused(format!(
            "its nuthatch ({}) writes the data format {}, and the data here are in format {FORMAT} already",
            text(&head.version),
            head.data
        )));
    }
    if head.kernel != machine.kernel {
        return Err(refused(format!(
            "it is made for the kernel {}, and {} runs here; a new kernel comes with a new image only",
            text(&head.kernel),
            text(&machine.kernel)
        )));
    }
    if head.root_bytes > room {
        return Err(refused(format!("it has {} bytes, and its place has {room}", head.root_bytes)));
    }
    Ok(())
}

/// Copies exactly so many bytes; their SHA-256.
fn copy(
    from: &mut impl Read,
    to: &mut impl std::io::Write,
    bytes: u64,
    path: &Path,
) -> Result<[u8; 32], Fail> {
    let mut left = bytes;
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK_BYTES];
    while left > 0 {
        let want = usize::try_from(left).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        let read = match from.read(&mut block[..want]) {
            Ok(0) => return Err(invalid(format!("it was cut off: {left} bytes are missing"))),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(invalid(format!("it cannot be read: {error}"))),
        };
        hash.update(&block[..read]);
        to.write_all(&block[..read]).map_err(|error| Fail::file("write", path, &error))?;
        left = left.saturating_sub(u64::try_from(read).unwrap_or(left));
    }
    Ok(hash.finalize().into())
}

/// A bundle that is none, or not as it was signed.
fn invalid(why: String) -> Fail {
    Fail::new(
        "update_invalid",
        format!("this update is not used: {why}"),
        "fetch it again from where it was published; the running system stays as it is",
    )
}

/// A good bundle at the wrong place or time.
fn refused(why: String) -> Fail {
    Fail::new(
        "update_refused",
        format!("this update is not used: {why}"),
        "see docs/UPDATES.md; the running system stays as it is",
    )
}

#[cfg(test)]
mod tests {
    use super::super::bundle::tests::bundle;
    use super::super::machine::Slot;
    use super::*;
    use ed25519_dalek::SigningKey;

    /// A machine of files, running in slot A; both slots are a mebibyte.
    fn machine(directory: &Path) -> Machine {
        let slots = ["a", "b"].map(|name| directory.join(name));
        for slot in &slots {
            std::fs::write(slot, vec![0xee; 1 << 20]).unwrap();
        }
        Machine {
            target: "rpi-arm64".into(),
            slot: Slot::A,
            boot: directory.into(),
            slots,
            kernel: "6.1.0-test".into(),
        }
    }

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    /// Installs; the code of the error.
    fn run(machine: &Machine, bytes: &[u8]) -> Result<(), String> {
        let done = install(machine, &[key().verifying_key()], &mut &*bytes, &mut |_| {});
        done.map(|_| ()).map_err(|fail| fail.error.unwrap().to_string())
    }

    #[test]
    fn a_good_update_is_written_and_put_on_trial() {
        let directory = tempfile::tempdir().unwrap();
        let machine = machine(directory.path());
        let system: Vec<u8> = (0..700_000_u32).map(|at| at.to_le_bytes()[1]).collect();
        run(&machine, &bundle(&key(), "rpi-arm64", FORMAT, &system)).unwrap();
        assert!(std::fs::read(&machine.slots[1]).unwrap().starts_with(&system));
        assert!(std::fs::read(&machine.slots[0]).unwrap().iter().all(|byte| *byte == 0xee));
        let slots = Slots::read(&machine.boot, Slot::B);
        assert_eq!(slots, Slots { good: Slot::A, trial: None }.with_trial(Slot::B));
        // Not again before it was tried: in slot B, on trial, A is what works.
        let tried = Machine { slot: Slot::B, ..machine };
        let again = run(&tried, &bundle(&key(), "rpi-arm64", FORMAT, &system)).unwrap_err();
        assert!(again.contains("itself on trial"), "{again}");
    }

    #[test]
    fn what_is_not_for_this_machine_is_refused_before_anything_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let machine = machine(directory.path());
        let other_kernel = Machine { kernel: "6.6".into(), ..machine.clone() };
        for (machine, bytes, why) in [
            (&machine, bundle(&key(), "amd64", FORMAT, b"x"), "it is for amd64"),
            (&machine, bundle(&key(), "rpi-arm64", FORMAT - 1, b"x"), "data format 0"),
            (&machine, bundle(&key(), "rpi-arm64", FORMAT, &vec![1; (1 << 20) + 1]), "its place has 1048576"),
            (&other_kernel, bundle(&key(), "rpi-arm64", FORMAT, b"x"), "made for the kernel 6.1.0-test"),
            (
                &machine,
                bundle(&SigningKey::from_bytes(&[9; 32]), "rpi-arm64", FORMAT, b"x"),
                "signature is not by a key",
            ),
        ] {
            let said = run(machine, &bytes).unwrap_err();
            assert!(said.contains(why), "{said}");
            assert!(std::fs::read(&machine.slots[1]).unwrap().iter().all(|byte| *byte == 0xee), "{why}");
            assert!(!directory.path().join("nuthatch-slots.txt").exists(), "{why}");
        }
    }

    #[test]
    fn a_broken_update_is_never_tried_and_takes_an_older_trial_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let machine = machine(directory.path());
        let whole = bundle(&key(), "rpi-arm64", FORMAT, &vec![5; 600_000]);
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        let longer = [whole.as_slice(), b"x"].concat();
        for (bytes, why) in
            [(&damaged, "hash"), (&whole[..400_000].to_vec(), "cut off"), (&longer, "more follows")]
        {
            Slots { good: Slot::A, trial: None }.with_trial(Slot::B).write(&machine.boot).unwrap();
            let said = run(&machine, bytes).unwrap_err();
            assert!(said.contains(why), "{said}");
            assert_eq!(Slots::read(&machine.boot, Slot::B), Slots { good: Slot::A, trial: None }, "{why}");
        }
    }

    #[test]
    fn elsewhere_it_says_what_to_use_instead() {
        let fail = Machine::read(Path::new("/nonexistent/appliance")).unwrap_err();
        let error = fail.error.unwrap();
        assert_eq!(error.code, "no_appliance");
        assert!(error.hint.contains("apt install"), "{}", error.hint);
    }
}
