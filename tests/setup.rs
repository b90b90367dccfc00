//! `setup-service` through the real binary, below a directory that stands for the machine.

mod household;

use household::{binary, lines, snapshot_of};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// Runs it for the machine in `root`.
fn setup(root: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(["setup-service", "--json", "--root"]).arg(root).args(more);
    command.output().expect("the binary runs")
}

/// The same where it must succeed; its lines.
fn ok(root: &Path, more: &[&str]) -> Vec<Value> {
    let output = setup(root, more);
    assert!(output.status.success(), "{output:?}");
    lines(&String::from_utf8_lossy(&output.stdout))
}

/// The code of the error that it must end with.
fn code(output: &Output) -> String {
    let value = lines(&String::from_utf8_lossy(&output.stderr));
    value[0]["error"]["code"].as_str().expect("an error").to_owned()
}

/// A machine with two users.
fn machine() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary directory");
    let etc = root.path().join("etc");
    std::fs::create_dir(&etc).expect("a directory can be made");
    std::fs::write(etc.join("passwd"), "root:x:0:0::/root:/bin/sh\nanna:x:1000:1000::/home/anna:/bin/sh\n")
        .expect("a file can be written");
    root
}

#[test]
fn a_service_is_set_up_once_and_what_is_there_stays() {
    let root = machine();
    let shared = root.path().join("our photos");
    std::fs::create_dir(&shared).expect("a directory can be made");
    let before = snapshot_of(root.path());
    let folder = shared.to_str().expect("a plain path");
    let dry = ok(root.path(), &["--dry-run", "--folder", folder, "--write"]);
    assert_eq!(snapshot_of(root.path()), before, "a dry run writes nothing");
    let steps = dry[0]["steps"].as_array().expect("a plan");
    let runs = |what: &str| steps.iter().any(|step| step["run"].to_string().contains(what));
    assert!(runs("useradd") && runs("daemon-reload") && runs("enable") && runs("restart"), "{dry:?}");

    // Nobody can be asked here, and nothing is done then.
    let unasked = setup(root.path(), &["--folder", folder, "--write"]);
    assert_eq!((unasked.status.code(), code(&unasked).as_str()), (Some(1), "not_confirmed"));
    assert_eq!(snapshot_of(root.path()), before);

    ok(root.path(), &["--yes", "--folder", folder, "--write"]);
    let unit =
        std::fs::read_to_string(root.path().join("etc/systemd/system/nuthatch.service")).expect("a unit");
    assert!(unit.contains("\nExecStart=/usr/local/bin/nuthatch run\n") && unit.contains("\nType=notify\n"));
    let installed = root.path().join("usr/local/bin/nuthatch");
    let version = Command::new(&installed).arg("--version").output().expect("it can be run");
    assert!(version.status.success(), "{version:?}");
    let drop_ins = root.path().join("etc/systemd/system/nuthatch.service.d");
    let names: Vec<_> = std::fs::read_dir(&drop_ins).expect("drop-ins").flatten().collect();
    let text = std::fs::read_to_string(names[0].path()).expect("a drop-in");
    assert!(
        text.contains(&format!("\nReadWritePaths=\"-{folder}\"\n")) || text.contains("\nBindPaths=\"-"),
        "{text}"
    );

    // The user is not made here, where nothing of the system is run.
    let etc = root.path().join("etc/passwd");
    let users =
        std::fs::read_to_string(&etc).expect("users") + "nuthatch:x:990:990::/var/lib/nuthatch:/none\n";
    std::fs::write(&etc, users).expect("a file can be written");
    let after = snapshot_of(root.path());
    let again = ok(root.path(), &["--folder", folder, "--write"]);
    assert_eq!(
        (again[0]["steps"].as_array().map(Vec::len), &again[1]["changed"]),
        (Some(1), &false.into()),
        "{again:?}"
    );
    assert_eq!(snapshot_of(root.path()), after, "what is there is not written again");

    ok(root.path(), &["--user", "anna", "--yes"]);
    assert!(std::fs::read_to_string(drop_ins.join("user.conf"))
        .expect("a drop-in")
        .contains("\nUser=anna\n"));
    assert_eq!(ok(root.path(), &[])[1]["user"], "anna", "it stays so");
}

#[test]
fn what_cannot_be_is_said_before_anything_is_done() {
    let root = machine();
    let before = snapshot_of(root.path());
    assert_eq!(code(&setup(root.path(), &["--yes", "--user", "nobody-here"])), "no_user");
    let missing = setup(root.path(), &["--yes", "--folder", "/nowhere/at/all"]);
    assert_eq!(code(&missing), "file");
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere/at/all"), "{missing:?}");
    assert_eq!(setup(root.path(), &["--yes", "--write"]).status.code(), Some(2), "of which folder?");
    assert_eq!(snapshot_of(root.path()), before);
}
