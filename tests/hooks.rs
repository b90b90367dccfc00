//! Hooks and alerts of a real node: executables in its home are run, a listener gets what is posted, and a test tells both.

mod household;

use household::{wait_for, Node};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc;

/// Puts a hook into a node's home.
fn put_hook(node: &Node, name: &str, script: &str) {
    let directory = node.home().join("hooks");
    std::fs::create_dir_all(&directory).expect("a directory can be made");
    set_mode(&directory, 0o755);
    let path = directory.join(name);
    std::fs::write(&path, script).expect("a hook can be written");
    set_mode(&path, 0o755);
}

/// Sets the rights of a file.
fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("rights can be set");
}

/// Takes requests for ever and answers each with a success: its address, and the bodies.
fn listener() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let (send, bodies) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("the body comes");
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            reader.get_mut().write_all(answer).expect("it can be answered");
            if send.send(String::from_utf8(body).expect("text")).is_err() {
                return;
            }
        }
    });
    (address, bodies)
}

/// Children of a process that have ended and were not waited for.
fn zombies(node: &Node) -> usize {
    let home = node.home();
    let mut parents = Vec::new();
    let mut dead = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("there is /proc").flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let (state, parent) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        if state == "Z" {
            dead.push(parent.to_owned());
        }
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(home.to_str().expect("a plain path")) {
            parents.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    assert!(!parents.is_empty(), "the node runs");
    dead.iter().filter(|parent| parents.contains(parent)).count()
}

#[test]
fn hooks_run_and_alerts_arrive() {
    let node = Node::started();
    node.init();
    let nothing = node.run(&["test-alert"]);
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("there is no hook"), "{nothing:?}");

    // A hook on each event, one on notes; the first is refused as long as anybody could change it.
    put_hook(&node, "any", "#!/bin/sh\necho \"$NUTHATCH_EVENT $(cat)\" >> events\n");
    put_hook(&node, "note", "#!/bin/sh\necho cannot reach the printer >&2\nexit 5\n");
    set_mode(&node.home().join("hooks"), 0o777);
    let refused = node.run(&["test-alert"]);
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(said.contains("others may write") && refused.status.code() == Some(1), "{refused:?}");
    set_mode(&node.home().join("hooks"), 0o755);
    node.ok(&["say", "the printer is on"]);
    let events = node.home().join("events");
    let has = |word: &str| std::fs::read_to_string(&events).is_ok_and(|text| text.contains(word));
    wait_for("the hook of all events has run", || has("note {") && has("the printer is on"));
    wait_for("the failure of the other is in the log", || {
        let log = node.json(&["log"]);
        log.iter().any(|line| {
            line["event"] == "hook_failed"
                && line["message"].to_string().contains("exit code 5: cannot reach")
        })
    });

    // Alerts: what is as it should be is none, a folder that is not there is.
    let (address, bodies) = listener();
    let wrong = node.run(&["config", "set", "alerts.url", "https://example.org/x"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("hook"), "{wrong:?}");
    node.ok(&["config", "set", "alerts.url", &format!("http://{address}/topic")]);
    let folder = node.dir.path().join("photos");
    std::fs::create_dir(&folder).expect("a directory can be made");
    std::fs::write(folder.join("one"), "1").expect("a file can be written");
    node.ok(&["folder", "add", "photos", folder.to_str().expect("a plain path"), "--copies", "1"]);
    node.ok(&["backup", "photos", "--wait"]);
    wait_for("the hook has heard of the backup", || has("backup_done {"));
    std::fs::rename(&folder, node.dir.path().join("elsewhere")).expect("it can be moved");
    assert!(!node.run(&["backup", "photos"]).status.success());
    let alert: serde_json::Value = loop {
        let body = bodies.recv().expect("an alert arrives");
        let alert: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        if alert["event"] == "backup_failed" {
            break alert;
        }
    };
    assert_eq!(
        (&alert["folder"], &alert["subject"]),
        (&"photos".into(), &"folder_missing".into()),
        "{alert}"
    );
    assert_eq!((&alert["device"], &alert["level"]), (&"first".into(), &"error".into()), "{alert}");

    // As ntfy takes it; and the command that tries it out.
    node.ok(&["config", "set", "alerts.format", "ntfy"]);
    let trial = node.json(&["test-alert"]);
    assert!(trial.iter().any(|line| line["result"] == "delivered"), "{trial:?}");
    let text = bodies.recv().expect("an alert arrives");
    assert!(text.starts_with("this is a test"), "{text}");
    assert_eq!(zombies(&node), 0);
}
