//! Real nodes through the real binary, each with a home of its own, on loopback or in a network namespace.
// Each test that plays with them needs a part of this.
#![allow(dead_code)]

use std::io::{BufRead as _, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// One node: a home that lasts, and a process that may be killed and started again.
pub struct Node {
    /// Its home and whatever else a test puts beside it.
    pub dir: TempDir,
    /// Where it listens, also after a restart.
    pub address: SocketAddr,
    /// In which network namespace its process runs; None: where the test does, without mDNS.
    namespace: Option<String>,
    /// The running process.
    process: Option<Child>,
}

impl Node {
    /// An empty home and a free port; nothing runs yet.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        Self { dir, address, namespace: None, process: None }
    }

    /// An empty home of a node that has a network namespace for itself, and mDNS there; nothing runs yet.
    pub fn within(namespace: String, address: SocketAddr) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { dir, address, namespace: Some(namespace), process: None }
    }

    /// A node that runs.
    pub fn started() -> Self {
        let mut node = Self::new();
        node.start();
        node
    }

    /// Its home.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Writes the configuration of a node that is off.
    pub fn configure(&self, text: &str) {
        std::fs::create_dir_all(self.home()).expect("a home can be made");
        std::fs::write(self.home().join("nuthatch.toml"), text).expect("a configuration can be written");
    }

    /// Starts the process and waits until it answers.
    pub fn start(&mut self) {
        self.start_with("off");
    }

    /// The same with the web page and the API on a port of loopback; where that is.
    pub fn start_web(&mut self) -> SocketAddr {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let web = free.local_addr().expect("it is bound");
        drop(free);
        self.start_with(&web.to_string());
        web
    }

    /// Starts the process with its web page there.
    fn start_with(&mut self, web: &str) {
        let mut command = Command::new(if self.namespace.is_some() { "ip" } else { binary() });
        if let Some(namespace) = &self.namespace {
            // `ip` becomes what it starts: its process is the node's.
            command.args(["netns", "exec", namespace, binary()]);
        }
        let mdns = if self.namespace.is_some() { "on" } else { "off" };
        let child = command
            .args(["run", "--mdns", mdns, "--web", web, "--exit-with-stdin", "--listen"])
            .arg(self.address.to_string())
            .arg("--home")
            .arg(self.home())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        self.process = Some(child);
        wait_for("the node answers", || self.run(&["status", "--json"]).status.success());
    }

    /// The process is gone, without any warning.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            child.kill().expect("the process can be killed");
            child.wait().expect("the process is waited for");
        }
    }

    /// A command of this node's command line, ready to be run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--home").arg(self.home()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }

    /// Runs a command that must succeed; its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Runs a command with `--json` that must succeed; its lines.
    pub fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        lines(&self.ok(&arguments))
    }

    /// Makes a vault; the words.
    pub fn init(&self) -> String {
        let answer = self.json(&["init", "--name", "first"]);
        answer[0]["recovery_phrase"].as_str().expect("init tells the words").to_owned()
    }

    /// Lets another node in.
    pub fn admit(&self, other: &Self, role: &str, name: &str) {
        let invitation = self.json(&["invite", "--role", role, "--no-wait"]);
        let code = invitation[0]["code"].as_str().expect("an invitation has a code");
        other.ok(&["join", code, "--peer", &self.address.to_string(), "--name", name]);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The binary under test.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_nuthatch")
}

/// A node of this home with its web page there, and where that is once it says that it is ready: with port 0 a free one that
/// nobody else can have taken meanwhile.
pub fn serve(home: &Path, web: &str) -> (Child, SocketAddr) {
    let (process, ready) = serve_told(home, web);
    let address = ready["web"].as_str().and_then(|address| address.parse().ok());
    (process, address.expect("it says where the web page is"))
}

/// The same, and all that it says when it is ready.
pub fn serve_told(home: &Path, web: &str) -> (Child, Value) {
    let mut command = Command::new(binary());
    command.args(SERVE).args(["--web", web, "--home"]).arg(home);
    ready(&mut command)
}

/// The same on a disk of its own with so many megabytes, mounted on `directory` for this node alone: its home is `home` in there.
/// None: there are no such disks here.
pub fn serve_on_small_disk(directory: &Path, megabytes: u32) -> Option<(Child, SocketAddr)> {
    let script = r#"
        mount -t tmpfs -o "size=$1m" none "$2" || exit 77
        mkdir "$2/storage"; shift 2
        exec "$@"
    "#;
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script, "sh", &megabytes.to_string()]).arg(directory);
    command.arg(binary()).args(SERVE).args(["--web", "127.0.0.1:0", "--home"]).arg(directory.join("home"));
    if !Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"])
        .status()
        .is_ok_and(|status| status.success())
    {
        return None;
    }
    let (process, ready) = ready(&mut command);
    let address = ready["web"].as_str().and_then(|address| address.parse().ok());
    Some((process, address.expect("it says where the web page is")))
}

/// How a node is run whose web page is tested.
const SERVE: [&str; 7] = ["run", "--mdns", "off", "--listen", "127.0.0.1:0", "--json", "--exit-with-stdin"];

/// Starts a node and reads what it says when it is ready.
fn ready(command: &mut Command) -> (Child, Value) {
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    let output = process.stdout.take().expect("it is piped");
    BufReader::new(output).read_line(&mut line).expect("the node says that it is ready");
    (process, serde_json::from_str(&line).expect("that is JSON"))
}

/// JSON Lines (or one JSON document) as values.
pub fn lines(text: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(text)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Waits for a condition, as long as it takes on a loaded machine (the test runner has the last word).
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    panic!("waited in vain: {what}");
}

/// Writes a file of pseudo-random bytes that compress badly and differ by seed.
pub fn write_noise(path: &Path, length: usize, seed: u64) {
    std::fs::create_dir_all(path.parent().expect("a file has a directory"))
        .expect("the directory can be made");
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("the file can be made"));
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut left = length;
    while left > 0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = state.to_le_bytes();
        let count = left.min(8);
        file.write_all(&bytes[..count]).expect("the file can be written");
        left -= count;
    }
    file.flush().expect("the file can be written");
}

/// Every path below `root` with what is there: kind, mode, mtime, content or target.
pub fn snapshot_of(root: &Path) -> std::collections::BTreeMap<Vec<u8>, String> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;
    let mut found = std::collections::BTreeMap::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory can be read") {
            let path = entry.expect("an entry can be read").path();
            let meta = std::fs::symlink_metadata(&path).expect("an entry has a stat");
            let content = if meta.is_symlink() {
                format!("-> {:?}", std::fs::read_link(&path).expect("a link has a target"))
            } else if meta.is_dir() {
                todo.push(path.clone());
                String::new()
            } else {
                blake3::hash(&std::fs::read(&path).expect("a file can be read")).to_hex().to_string()
            };
            let kind = meta.file_type();
            let text = format!("{kind:?} {:o} {}.{} {content}", meta.mode(), meta.mtime(), meta.mtime_nsec());
            found.insert(
                path.strip_prefix(root).expect("below the root").as_os_str().as_bytes().to_vec(),
                text,
            );
        }
    }
    found
}
