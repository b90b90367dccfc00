//! `appliance first-boot`: what stands on the boot partition becomes files of the system, once; secrets are wiped there.
//!
//! The root of the system cannot be written. Below `--root` (on the data partition) lies what is laid over it at each start:
//! `etc/`, `ssh/`, `passwd` and `shadow` (lines to add), `node.toml` (for a new home) and `join` (code and address, gone when used).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{symlink, DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::boot_file::{used, Wifi, Wishes};
use super::slots::writable;
use crate::face::exit::{Exit, Fail};
use crate::face::out::Out;

/// Our file.
const OWN: &str = "nuthatch-boot.toml";
/// The reply to it.
const REPLY: &str = "nuthatch-boot.log";
/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What was found on the boot partition.
#[derive(Debug, Default)]
pub struct Found {
    /// What it comes to.
    pub wishes: Wishes,
    /// What is wrong.
    pub said: Vec<String>,
    /// Which files it came from.
    files: Vec<&'static str>,
}

/// Reads a file's text and says what is wrong in it; whether it was of use.
type Reader<'a> = &'a mut dyn FnMut(&str, &mut Vec<String>) -> Result<bool, String>;

/// Reads all files that a person or the imager may have put there.
#[must_use]
pub fn look(boot: &Path) -> Found {
    let mut found = Found::default();
    let Found { wishes, said, files } = &mut found;
    let mut with = |name: &'static str, take: Reader<'_>| {
        let result = match read(&boot.join(name)) {
            Ok(None) => return,
            Ok(Some(text)) => take(&text, said),
            Err(why) => Err(why),
        };
        match result {
            Ok(true) => files.push(name),
            Ok(false) => {}
            Err(why) => said.push(format!("{name} was not used: {why}")),
        }
    };
    with("custom.toml", &mut |text, said| wishes.read_custom(text, said));
    with("userconf.txt", &mut |text, said| {
        wishes.read_user(text, "userconf.txt", said);
        Ok(true)
    });
    for name in ["ssh", "ssh.txt"] {
        with(name, &mut |_, _| {
            wishes.ssh = true;
            Ok(true)
        });
    }
    // Ours last: what it says counts.
    with(OWN, &mut |text, said| wishes.read(text, said));
    found
}

/// A text file; None: it is not there.
fn read(path: &Path) -> Result<Option<String>, String> {
    match std::fs::metadata(path) {
        Ok(facts) if facts.len() > FILE_BYTES_MAX => Err(format!("it has more than {FILE_BYTES_MAX} bytes")),
        Ok(_) => match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                Err("it is not UTF-8 text; save it as UTF-8".into())
            }
            Err(error) => Err(error.to_string()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// `appliance first-boot`.
///
/// # Errors
/// When the system's files cannot be written; what stands on the boot partition then stays for the next start.
pub fn first_boot(boot: &Path, root: &Path, out: Out) -> Result<Exit, Fail> {
    let mut found = look(boot);
    if found.files.is_empty() && found.said.is_empty() {
        return Ok(Exit::Done);
    }
    if !found.files.is_empty() {
        apply(&found.wishes, root, &mut found.said)?;
        writable(boot, || wipe(boot, &found.files)).map_err(|error| Fail::file("write", boot, &error))?;
    }
    let mut reply = match found.files.as_slice() {
        [] => "Nothing was changed.\r\n".to_owned(),
        files => format!("Read and used: {}.\r\n", files.join(", ")),
    };
    for line in &found.said {
        reply.push_str(&format!("- {}\r\n", crate::face::show::text(line)));
    }
    out.text(&reply.replace('\r', ""))?;
    let path = boot.join(REPLY);
    // The same complaint at every start is not written to the card again and again.
    if std::fs::read_to_string(&path).ok().as_ref() != Some(&reply) {
        writable(boot, || replace(&path, reply.as_bytes(), 0o644))
            .map_err(|error| Fail::file("write", &path, &error))?;
    }
    Ok(if found.said.is_empty() { Exit::Done } else { Exit::Partial })
}

/// Writes the system's files.
fn apply(wishes: &Wishes, root: &Path, said: &mut Vec<String>) -> Result<(), Fail> {
    let put = |name: &str, text: &str, mode: u32| {
        let path = root.join(name);
        place(&path)
            .and_then(|()| replace(&path, text.as_bytes(), mode))
            .map_err(|error| Fail::file("write", &path, &error))
    };
    if let Some(name) = &wishes.name {
        put("etc/hostname", &format!("{}\n", host_name(name)), 0o644)?;
    }
    if wishes.name.is_some() || wishes.site.is_some() {
        let mut node = toml_edit::DocumentMut::new();
        node["node"] = toml_edit::table();
        for (key, value) in [("name", &wishes.name), ("site", &wishes.site)] {
            if let Some(value) = value {
                node["node"][key] = toml_edit::value(value.as_str());
            }
        }
        put("node.toml", &node.to_string(), 0o644)?;
    }
    if let Some(zone) = &wishes.timezone {
        let zone = PathBuf::from("/usr/share/zoneinfo").join(zone);
        let link = root.join("etc/localtime");
        if zone.is_file() {
            let aside = root.join("etc/localtime.new");
            let linked = place(&link).and_then(|()| {
                let _ = std::fs::remove_file(&aside);
                symlink(&zone, &aside)?;
                std::fs::rename(&aside, &link)
            });
            linked.map_err(|error| Fail::file("write", &link, &error))?;
        } else {
            said.push(format!(
                "timezone: {} is no time zone here, such as Europe/Berlin; left out",
                zone.display()
            ));
        }
    }
    if wishes.wifi.is_some() || wishes.country.is_some() {
        put("etc/wpa_supplicant/wpa_supplicant-wlan0.conf", &wireless(wishes), 0o600)?;
    }
    if !wishes.keys.is_empty() {
        put("ssh/authorized_keys", &format!("{}\n", wishes.keys.join("\n")), 0o600)?;
    }
    if let Some((user, hash)) = &wishes.user {
        put("passwd", &format!("{user}:x:0:0:administrator:/root:/bin/sh\n"), 0o644)?;
        put("shadow", &format!("{user}:{hash}:20000:0:99999:7:::\n"), 0o600)?;
    }
    if wishes.ssh {
        put("ssh/enabled", "", 0o644)?;
    }
    if let Some(code) = &wishes.code {
        let peer = wishes.peer.map(|peer| peer.to_string()).unwrap_or_default();
        put("join", &format!("{code}\n{peer}\n"), 0o600)?;
    }
    Ok(())
}

/// What the wireless network needs to know.
fn wireless(wishes: &Wishes) -> String {
    let country = wishes.country.as_ref().map_or_else(String::new, |country| format!("country={country}\n"));
    let mut out = format!("ctrl_interface=/run/wpa_supplicant\n{country}");
    if let Some(Wifi { ssid, password, hidden }) = &wishes.wifi {
        let ssid = crate::base::ids::hex(ssid.as_bytes());
        let password = match password.len() {
            0 => "key_mgmt=NONE".to_owned(),
            64 => format!("psk={password}"),
            _ => format!("psk=\"{password}\""),
        };
        out.push_str(&format!(
            "network={{\n\tssid={ssid}\n\t{password}\n\tscan_ssid={}\n}}\n",
            u8::from(*hidden)
        ));
    }
    out
}

/// The host's name that comes from a node's name: what may stand before `.local`.
fn host_name(name: &str) -> String {
    let plain = |character: char| {
        if character.is_ascii_alphanumeric() {
            character.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(plain).take(63).collect();
    let name = name.trim_matches('-');
    if name.is_empty() {
        "nuthatch".to_owned()
    } else {
        name.to_owned()
    }
}

/// Takes what was used away from the boot partition, so that it is read once and no secret stays there.
fn wipe(boot: &Path, files: &[&'static str]) -> std::io::Result<()> {
    for name in files {
        let path = boot.join(name);
        let text = std::fs::read_to_string(&path)?;
        // Where it stood first, in place; what the card itself keeps elsewhere cannot be reached.
        let mut file = OpenOptions::new().write(true).open(&path)?;
        file.write_all(" ".repeat(text.len()).as_bytes())?;
        file.sync_all()?;
        drop(file);
        if *name == OWN {
            replace(&path, used(&text).replace('\n', "\r\n").as_bytes(), 0o644)?;
        } else {
            std::fs::remove_file(&path)?;
        }
    }
    File::open(boot)?.sync_all()
}

/// The directory of a file.
fn place(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |parent| DirBuilder::new().recursive(true).mode(0o755).create(parent))
}

/// Replaces a file so that after a crash the old or the new one is there.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let aside = path.with_extension("new");
    // One of a start that was cut off may have other rights.
    let _ = std::fs::remove_file(&aside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const QUIET: Out = Out { json: true, quiet: true };

    #[test]
    fn a_boot_file_becomes_files_of_the_system_once() {
        let (boot, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = "name = \"Attic box\"\r\nsite = \"parents\"\r\n[wifi]\r\nssid = \"net\"\r\npassword = \"correct horse\"\r\n[join]\r\ncode = \"1234 5678\"\r\n";
        std::fs::write(boot.path().join(OWN), file).unwrap();
        std::fs::write(boot.path().join("ssh"), "").unwrap();
        assert_eq!(first_boot(boot.path(), root.path(), QUIET).unwrap(), Exit::Done);
        let text = |name: &str| std::fs::read_to_string(root.path().join(name)).unwrap_or_default();
        assert_eq!(text("etc/hostname"), "attic-box\n");
        assert_eq!(text("node.toml"), "[node]\nname = \"Attic box\"\nsite = \"parents\"\n");
        let wireless = "etc/wpa_supplicant/wpa_supplicant-wlan0.conf";
        assert!(text(wireless).contains("ssid=6e6574\n\tpsk=\"correct horse\""), "{}", text(wireless));
        assert_eq!(
            std::fs::metadata(root.path().join(wireless)).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(text("join"), "12345678\n\n");
        assert!(root.path().join("ssh/enabled").exists() && !boot.path().join("ssh").exists());
        let after = std::fs::read_to_string(boot.path().join(OWN)).unwrap();
        assert!(!after.contains("horse") && !after.contains("5678"), "{after}");
        let reply = std::fs::read_to_string(boot.path().join(REPLY)).unwrap();
        assert_eq!(reply, "Read and used: ssh, nuthatch-boot.toml.\r\n");
        // The second start finds nothing to do.
        std::fs::remove_file(root.path().join("join")).unwrap();
        assert_eq!(first_boot(boot.path(), root.path(), QUIET).unwrap(), Exit::Done);
        assert!(!root.path().join("join").exists());
    }

    #[test]
    fn a_file_that_is_no_toml_stays_and_is_said() {
        let (boot, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(boot.path().join(OWN), "name = attic\n").unwrap();
        assert_eq!(first_boot(boot.path(), root.path(), QUIET).unwrap(), Exit::Partial);
        assert_eq!(std::fs::read_to_string(boot.path().join(OWN)).unwrap(), "name = attic\n");
        let reply = std::fs::read_to_string(boot.path().join(REPLY)).unwrap();
        assert!(reply.contains("nuthatch-boot.toml was not used: line 1: "), "{reply}");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
        std::fs::write(boot.path().join(OWN), b"n\0a\0").unwrap();
        assert!(look(boot.path()).said[0].contains("save it as UTF-8"));
    }

    #[test]
    fn a_host_has_a_name_that_can_stand_before_local() {
        assert_eq!(host_name("Oma's B\u{fc}ro "), "oma-s-b-ro");
        assert_eq!(host_name("--"), "nuthatch");
        assert_eq!(host_name(&"a".repeat(64)).len(), 63);
    }
}
