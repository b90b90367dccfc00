//! A node under a service manager: what it is told, through the real binary and a socket in systemd's place.

mod household;

use household::{binary, wait_for, Node};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use tempfile::TempDir;

/// A service manager with one node.
struct Manager {
    /// Its place.
    dir: TempDir,
    /// What it is told; always taken at once, for a node waits for a service manager whose queue is full.
    told: mpsc::Receiver<String>,
    /// The node.
    process: Child,
}

impl Manager {
    /// Starts a node that has to give signs of life within so many microseconds.
    fn start(watched: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let mut command = Command::new(binary());
        command
            .args(["run", "--mdns", "off", "--web", "off", "--listen", "127.0.0.1:0", "--home"])
            .arg(dir.path().join("home"))
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", watched)
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let (send, told) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                let text = String::from_utf8(buffer[..length].to_vec()).expect("it is text");
                if send.send(text).is_err() {
                    return;
                }
            }
        });
        let process = command.spawn().expect("the binary starts");
        Self { dir, told, process }
    }

    /// The next thing it is told.
    fn hear(&self) -> String {
        self.told.recv().expect("something is told")
    }

    /// What it is told until this is among it.
    fn hear_until(&self, word: &str) -> Vec<String> {
        let mut heard = vec![self.hear()];
        while !heard.last().is_some_and(|last| last.contains(word)) {
            heard.push(self.hear());
        }
        heard
    }

    /// A command of the node's command line.
    fn ok(&self, arguments: &[&str]) {
        let output = Command::new(binary())
            .args(arguments)
            .arg("--home")
            .arg(self.dir.path().join("home"))
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_service_manager_hears_when_a_node_serves_how_it_is_and_that_it_lives() {
    let manager = Manager::start("400000");
    let heard = manager.hear_until("READY=1");
    assert!(heard[0].starts_with("STATUS=Opening the store"), "{heard:?}");
    assert!(heard.last().is_some_and(|last| last.contains("STATUS=This node belongs to no vault yet.\n")));
    // It serves at that moment: no waiting here.
    manager.ok(&["status"]);
    for _ in 0..3 {
        manager.hear_until("WATCHDOG=1");
    }
    manager.ok(&["init", "--name", "attic"]);
    manager.hear_until("STATUS=No folder is backed up on this vault yet.\n");
    let pid = rustix::process::Pid::from_child(&manager.process);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it can be told to end");
    manager.hear_until("STOPPING=1");
}

/// A start is over when calls are answered, not when the sockets are bound: what is told before is no readiness.
#[test]
fn a_home_that_is_in_use_is_never_ready() {
    let mut node = Node::new();
    node.start();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let socket = UnixDatagram::bind(dir.path().join("notify")).expect("a socket");
    socket.set_nonblocking(true).expect("it can be set");
    let output = node
        .command(&["run", "--mdns", "off", "--web", "off", "--listen", "127.0.0.1:0"])
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let mut buffer = [0; 4096];
    while let Ok(length) = socket.recv(&mut buffer) {
        let told = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert!(!told.contains("READY=1"), "{told}");
    }
    wait_for("the first node still answers", || node.run(&["status"]).status.success());
}
