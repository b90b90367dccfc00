//! What goes wrong around a node with a web page, and does not bring it down: a disk that is full, clients that take next to nothing,
//! more listeners than there may be.

mod household;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Child;
use std::time::Duration;

use serde_json::{json, Value};
use tempfile::TempDir;

/// A node with a shared folder `storage`, and who is logged in.
struct Node {
    dir: TempDir,
    web: SocketAddr,
    process: Child,
    cookie: String,
}

/// What came back.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn code(&self) -> String {
        let value: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        value["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Node {
    /// One on the disk of the machine.
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(dir.path().join("storage")).expect("a directory can be made");
        let (process, web) = household::serve(&dir.path().join("home"), "127.0.0.1:0");
        Self::set_up(dir, process, web)
    }

    /// One on a small disk; None: there is none here.
    fn on_small_disk(megabytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (process, web) = household::serve_on_small_disk(dir.path(), megabytes)?;
        Some(Self::set_up(dir, process, web))
    }

    /// Makes a vault and the folder, all over the web's port.
    fn set_up(dir: TempDir, process: Child, web: SocketAddr) -> Self {
        let storage = dir.path().join("storage");
        let mut node = Self { dir, web, process, cookie: String::new() };
        let set = node.post("password", &json!({"new": "correct horse"}));
        assert_eq!(set.status, 200, "{}", set.text());
        let cookie = set.head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        node.cookie = cookie.and_then(|line| line.split(';').next()).expect("a cookie").to_owned();
        let folder = json!({"name": "storage", "directory": storage, "kind": "shared", "copies": 1});
        for (path, body) in [("init", json!({})), ("folders", folder), ("backup", json!({}))] {
            let answer = node.post(path, &body);
            assert!(
                answer.status == 200 && !answer.text().contains("\"error\""),
                "{path}: {}",
                answer.text()
            );
        }
        node
    }

    /// Begins a request, whose body is still to be sent.
    fn begin(&self, method: &str, path: &str, length: usize) -> TcpStream {
        let mut stream = TcpStream::connect(self.web).expect("the node listens");
        stream.set_read_timeout(Some(Duration::from_secs(300))).expect("a time limit can be set");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nx-nuthatch: 1\r\ncookie: {}\r\ncontent-length: {length}\r\n\r\n",
            self.web, self.cookie
        );
        stream.write_all(head.as_bytes()).expect("the node takes a request");
        stream
    }

    /// One request, and all of its answer.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let mut stream = self.begin(method, path, body.len());
        // A node that refuses what it has seen of it may not take the rest.
        let _ = stream.write_all(body);
        answer(stream)
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", &format!("/api/v1/{path}"), body.to_string().as_bytes())
    }

    /// A file of the folder, in one request.
    fn put(&self, name: &str, content: &[u8]) -> Answer {
        self.ask("PUT", &format!("/api/v1/files?what=storage:{name}"), content)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, b"")
    }

    /// The names in the folder.
    fn names(&self) -> Vec<String> {
        let list = self.get("/api/v1/files?what=storage").text();
        // What is no JSON is the length of a piece.
        let lines = list.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| line["path"].as_str().map(str::to_owned)).collect()
    }

    /// Memory of the process, in kilobytes: the most that it had.
    fn peak_kilobytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// All that comes.
fn answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n").unwrap_or(0);
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head, body: bytes.get(end + 4..).unwrap_or_default().to_vec() }
}

/// Bytes that compress badly, another one for each seed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A megabyte.
const MEGABYTE: usize = 1_000_000;

#[test]
fn an_upload_that_the_disk_has_no_room_for_is_refused_in_words_and_the_node_goes_on() {
    // The store keeps 64 MiB free, so that there is room for some 30 MB.
    let Some(node) = Node::on_small_disk(100) else {
        return eprintln!("not tried: no disk of one's own can be mounted here");
    };
    let small = noise(MEGABYTE, 1);
    let stored = node.put("small", &small);
    assert_eq!(stored.status, 200, "{}", stored.text());

    // In one request: it is refused while it comes, so that not all of it may be taken.
    let mut stream = node.begin("PUT", "/api/v1/files?what=storage:large", 90 * MEGABYTE);
    for piece in 0..90 {
        if stream.write_all(&noise(MEGABYTE, 100 + piece)).is_err() {
            break;
        }
    }
    let large = answer(stream);
    assert_eq!((large.status, large.code().as_str()), (507, "no_room"), "{} {}", large.head, large.text());
    assert!(large.text().contains("disk is full") && large.text().contains("make room"), "{}", large.text());

    // In parts: the one that does not fit is refused, and the upload is over.
    let begun = node.post("uploads", &json!({"what": "storage:parts", "size": 90 * MEGABYTE}));
    let id: Value = serde_json::from_slice(&begun.body).expect("JSON");
    let path = format!("/api/v1/uploads/{}", id["id"].as_str().expect("an id"));
    let mut offset = 0;
    let refused = loop {
        let part = node.ask("PUT", &format!("{path}?offset={offset}"), &noise(5 * MEGABYTE, 1_000 + offset));
        if part.status != 200 {
            break part;
        }
        offset += 5_000_000;
        assert!(offset < 90_000_000, "all of it was taken");
    };
    assert_eq!((refused.status, refused.code().as_str()), (507, "no_room"), "{}", refused.text());
    assert_eq!(node.get(&path).code(), "unknown_upload");

    // Nothing of either is shown, what was there is there, and the node goes on.
    assert_eq!(node.names(), ["small"]);
    assert!(node.get("/api/v1/content?what=storage:small").body == small);
    assert_eq!(node.get("/health").text().trim(), "{\"live\":true,\"ready\":true}");
    assert!(node.get("/api/v1/status").text().contains("\"summary\""));
    let login = node.post("session", &json!({"password": "correct horse"}));
    assert_eq!(login.status, 200, "one can log in: {}", login.text());
    let removed = node.ask("DELETE", "/api/v1/files?what=storage:small", b"");
    assert_eq!(removed.status, 200, "what takes room can be removed: {}", removed.text());
    assert!(node.names().is_empty());
}

#[test]
fn clients_that_take_next_to_nothing_delay_nobody_and_cost_little_memory() {
    let node = Node::new();
    let content = noise(24 * MEGABYTE, 7);
    assert_eq!(node.put("film", &content).status, 200);
    let path = "/api/v1/content?what=storage:film";
    assert!(node.get(path).body == content);
    let before = node.peak_kilobytes();
    // Each has begun, and takes one byte and no more.
    let mut slow: Vec<TcpStream> = (0..30).map(|_| node.begin("GET", path, 0)).collect();
    for stream in &mut slow {
        stream.read_exact(&mut [0]).expect("the answer begins");
    }
    for _ in 0..3 {
        assert!(node.get(path).body == content, "others get all of it");
        assert_eq!(node.get("/health").status, 200);
    }
    for stream in &mut slow {
        stream.read_exact(&mut [0]).expect("the answer goes on");
    }
    // All of it for all of them would be 720 MB.
    let more = node.peak_kilobytes().saturating_sub(before);
    assert!(more < 80_000, "{more} kB more");
    drop(slow);
    assert_eq!(node.put("next", b"x").status, 200);
}

#[test]
fn live_events_have_a_bound_and_a_place_that_is_left_is_free_again() {
    let node = Node::new();
    // Up to its first event.
    let listen = || {
        let mut stream = node.begin("GET", "/api/v1/events", 0);
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&bytes).contains("event: status") {
            let count = stream.read(&mut buffer).expect("the node answers");
            if count == 0 {
                break;
            }
            bytes.extend_from_slice(&buffer[..count]);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (stream, text)
    };
    let mut listeners: Vec<TcpStream> = Vec::new();
    for _ in 0..24 {
        let (stream, text) = listen();
        assert!(text.contains("event: status"), "{text}");
        listeners.push(stream);
    }
    let (_, text) = listen();
    assert!(text.starts_with("HTTP/1.1 409") && text.contains("\"busy\""), "{text}");
    assert_eq!(node.get("/api/v1/status").status, 200, "whoever asks now and then is answered");
    listeners.pop();
    household::wait_for("a place is free again", || listen().1.contains("event: status"));
    assert!(node.dir.path().join("home").exists());
}
