//! The web's port of a real node with `web.tls = "on"`: who speaks TLS is served, and who does not is told where to go, or cut.

mod household;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{json, Value};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A node whose page is encrypted.
struct Node {
    dir: TempDir,
    /// `127.0.0.1:PORT`.
    web: String,
    /// As it was said at the start.
    fingerprint: String,
    process: Child,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(dir.path().join("home")).expect("a home can be made");
        std::fs::write(dir.path().join("home/nuthatch.toml"), "[web]\ntls = \"on\"\n")
            .expect("a configuration");
        Self::in_home(dir, "127.0.0.1:0")
    }

    fn in_home(dir: TempDir, web: &str) -> Self {
        let (process, ready) = household::serve_told(&dir.path().join("home"), web);
        let word = |key: &str| ready[key].as_str().unwrap_or_else(|| panic!("{key}: {ready}")).to_owned();
        Self { web: word("web"), fingerprint: word("certificate"), dir, process }
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// curl, trusting what the node has in its home and nothing else, by the name that is in it.
    fn curl(&self, path: &str, arguments: &[&str]) -> Option<Output> {
        let port = self.web.rsplit(':').next().expect("an address has a port");
        Command::new("curl")
            .args(["-sS", "--noproxy", "*", "--resolve", &format!("localhost:{port}:127.0.0.1"), "--cacert"])
            .arg(self.home().join("web-tls.pem"))
            .args(arguments)
            .arg(format!("https://localhost:{port}{path}"))
            .output()
            .ok()
    }

    /// The same, which must succeed; the body.
    fn body(&self, path: &str, arguments: &[&str]) -> Vec<u8> {
        let output = self.curl(path, arguments).expect("curl is here");
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.web).expect("the node listens");
        stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a time limit can be set");
        stream
    }

    /// Sends bytes as they are, and reads until the node closes.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("the node takes bytes");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A request without TLS.
    fn plain(&self, path: &str, host: &str) -> String {
        self.raw(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes())
    }

    fn cli(&self, arguments: &[&str]) -> Value {
        let output = Command::new(household::binary())
            .args(arguments)
            .args(["--json", "--home"])
            .arg(self.home())
            .output()
            .expect("the binary runs");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The fingerprint of the first certificate of a PEM text.
fn fingerprint_of(pem: &str) -> String {
    let body = pem.split("-----BEGIN CERTIFICATE-----").nth(1).expect("there is a certificate");
    let body: String = body.split("-----END").next().expect("it ends").split_whitespace().collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).expect("it is base64");
    Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[test]
fn a_browser_comes_in_with_the_certificate_that_is_shown_and_its_cookie_stays_encrypted() {
    let node = Node::new();
    assert_eq!(node.cli(&["status"])["web_certificate"], node.fingerprint.as_str());
    let pem = std::fs::read_to_string(node.home().join("web-tls.pem")).expect("it is in the home");
    assert_eq!(fingerprint_of(&pem), node.fingerprint);
    let Some(seen) = node.curl("/", &["-o", "/dev/null", "-w", "%{certs}"]) else {
        return eprintln!("not tried further: there is no curl here");
    };
    assert!(seen.status.success(), "{}", String::from_utf8_lossy(&seen.stderr));
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    // An older curl does not know how to show it.
    if seen.contains("BEGIN CERTIFICATE") {
        assert_eq!(fingerprint_of(&seen), node.fingerprint, "what a client sees is what is shown");
    }
    let older = node.curl("/", &["--tls-max", "1.2"]).expect("curl is here");
    assert!(!older.status.success(), "nothing older than TLS 1.3 is spoken");

    let jar = node.dir.path().join("jar");
    let jar = jar.to_str().expect("a plain path");
    let new = json!({"new": "correct horse"}).to_string();
    let sign = ["-H", "x-nuthatch: 1", "-c", jar, "-b", jar, "-D", "-"];
    let set = node.body("/api/v1/password", &[&sign[..], &["-d", new.as_str()]].concat());
    let set = String::from_utf8_lossy(&set).into_owned();
    let cookie =
        set.lines().find(|line| line.to_ascii_lowercase().starts_with("set-cookie:")).expect("a cookie");
    assert!(cookie.contains("__Host-nuthatch_") && cookie.contains("; Secure"), "{cookie}");
    let session = node.body("/api/v1/session", &["-b", jar]);
    assert_eq!(serde_json::from_slice::<Value>(&session).expect("JSON")["state"], "in");

    // Large bodies both ways, as a file manager sends them.
    node.cli(&["init"]);
    let shared = node.dir.path().join("shared");
    std::fs::create_dir(&shared).expect("a directory can be made");
    let folder =
        ["folder", "add", "storage", shared.to_str().expect("plain"), "--kind", "shared", "--copies", "1"];
    node.cli(&folder);
    node.cli(&["backup", "--wait"]);
    let token =
        node.cli(&["token", "add", "files", "--role", "member"])["token"].as_str().expect("one").to_owned();
    let file = node.dir.path().join("film");
    household::write_noise(&file, 9_000_000, 3);
    let login = format!("any:{token}");
    let path = file.to_str().expect("a plain path");
    node.body("/dav/storage/film", &["-f", "-u", &login, "-T", path]);
    assert!(
        node.body("/dav/storage/film", &["-f", "-u", &login]) == std::fs::read(&file).expect("it is there")
    );
}

#[test]
fn who_comes_unencrypted_is_sent_to_https_and_asks_for_nothing_but_health() {
    let node = Node::new();
    let answer = node.plain("/api/v1/status?x=1", &node.web);
    assert!(answer.starts_with("HTTP/1.1 307"), "{answer}");
    let place = format!("location: https://{}/api/v1/status?x=1\r\n", node.web);
    assert!(answer.to_ascii_lowercase().contains(&place), "{answer}");
    let health = node.plain("/health", &node.web);
    assert!(health.starts_with("HTTP/1.1 200") && health.contains("\"ready\":true"), "{health}");
    let stranger = node.plain("/", "evil.example");
    assert!(stranger.starts_with("HTTP/1.1 403") && stranger.contains("wrong_host"), "{stranger}");
    let garbage = node.raw(b"GARBAGE\r\n\r\n");
    assert!(garbage.starts_with("HTTP/1.1 400"), "{garbage}");
}

#[test]
fn half_a_hello_is_cut_and_garbage_is_refused_while_others_are_served() {
    let node = Node::new();
    // They say that 512 bytes follow, and stay.
    let mut held: Vec<TcpStream> = (0..20).map(|_| node.connect()).collect();
    for (index, stream) in held.iter_mut().enumerate() {
        let bytes: &[u8] = if index % 2 == 0 { b"\x16\x03\x01\x02\x00\x01\x00" } else { b"\x16" };
        stream.write_all(bytes).expect("the node takes bytes");
    }
    let noise: Vec<u8> = (0..600_u32).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    for head in [&b"\x16"[..], b"\x16\x03\x01\xff\xff", b"\x16\x03\x01\x00\x10", b"\x16\x03\x01\x00\x00"] {
        node.raw(&[head, &noise].concat());
    }
    let served = || {
        let output = node.curl("/health", &["-k"]);
        output.is_none_or(|output| output.status.success())
    };
    assert!(served(), "others are served");
    for stream in &mut held {
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it is cut"),
        }
    }
    assert!(served());
}

#[test]
fn a_certificate_outlives_a_restart_and_one_that_is_damaged_stops_the_start_in_words() {
    let mut node = Node::new();
    let (web, before) = (node.web.clone(), node.fingerprint.clone());
    let _ = node.process.kill();
    let _ = node.process.wait();
    let dir = std::mem::replace(&mut node.dir, tempfile::tempdir().expect("a temporary directory"));
    let mut node = Node::in_home(dir, &web);
    assert_eq!(node.fingerprint, before);
    let _ = node.process.kill();
    let _ = node.process.wait();
    std::fs::write(node.home().join("web-tls.pem"), "nothing").expect("it can be written");
    let output = Command::new(household::binary())
        .args(["run", "--json", "--mdns", "off", "--listen", "127.0.0.1:0", "--web", "127.0.0.1:0", "--home"])
        .arg(node.home())
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("\"code\":\"tls_invalid\""), "{text}");
}
