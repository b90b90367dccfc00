//! The web's port of a real node: who gets in, and what hostile or clumsy clients can do to it.

mod household;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{json, Value};
use tempfile::TempDir;

/// A node with a web page on loopback.
struct Node {
    dir: TempDir,
    web: SocketAddr,
    process: Child,
}

/// What came back.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The cookie that was set, as it is sent back.
    fn cookie(&self) -> String {
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with("set-cookie:"));
        let line = line.unwrap_or_else(|| panic!("no cookie in {}", self.head));
        line.split([':', ';']).nth(1).expect("a cookie has a name").trim().to_owned()
    }
}

impl Node {
    fn new() -> Self {
        Self::in_home(tempfile::tempdir().expect("a temporary directory"), "127.0.0.1:0")
    }

    fn in_home(dir: TempDir, web: &str) -> Self {
        let (process, web) = household::serve(&dir.path().join("home"), web);
        Self { dir, web, process }
    }

    /// Kills it and starts it again on the same port.
    fn restart(mut self) -> Self {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a temporary directory"));
        Self::in_home(dir, &self.web.to_string())
    }

    /// Sends a request with these header lines.
    fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        if !headers.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
            request.push_str(&format!("host: {}\r\n", self.web));
        }
        for line in headers {
            request.push_str(line);
            request.push_str("\r\n");
        }
        self.raw(&format!("{request}\r\n{body}"))
    }

    /// Sends bytes, and reads until the node closes.
    fn raw(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("the node takes a request");
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.web).expect("the node listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout can be set");
        stream
    }

    /// With the sign of our own page.
    fn post(&self, path: &str, cookie: &str, body: &Value) -> Answer {
        let cookie = format!("cookie: {cookie}");
        self.ask("POST", path, &["x-nuthatch: 1", &cookie], &body.to_string())
    }

    fn get(&self, path: &str, cookie: &str) -> Answer {
        self.ask("GET", path, &[&format!("cookie: {cookie}")], "")
    }

    /// Sets the first password, and makes a vault.
    fn set_up(&self) -> String {
        let answer = self.post("/api/v1/password", "", &json!({"new": "correct horse"}));
        assert_eq!(answer.status, 200, "{}", answer.body);
        let cookie = answer.cookie();
        let answer = self.post("/api/v1/init", &cookie, &json!({"name": "attic"}));
        assert_eq!(answer.status, 200, "{}", answer.body);
        cookie
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const SESSION: &str = "/api/v1/session";

#[test]
fn a_fresh_node_takes_one_first_password_and_then_asks_for_it() {
    let node = Node::new();
    let state = || node.get(SESSION, "").json()["state"].clone();
    assert_eq!(state(), "fresh");
    for path in ["/api/v1/status", "/api/v1/config", "/api/v1/users", "/api/v1/log", "/metrics", "/dav/"] {
        assert_eq!(node.get(path, "").status, 401, "{path}");
    }
    assert_eq!(node.ask("POST", "/api/v1/password", &[], "{\"new\": \"correct horse\"}").code(), "csrf");
    assert_eq!(node.post("/api/v1/password", "", &json!({"new": "short"})).code(), "weak_password");
    let cookie = node.set_up();
    assert_eq!(state(), "login");
    assert_eq!(node.post("/api/v1/password", "", &json!({"new": "another one"})).status, 401);
    let session = node.get(SESSION, &cookie).json();
    assert_eq!((session["state"].as_str(), session["role"].as_str()), (Some("in"), Some("admin")));
    assert_eq!(node.get("/api/v1/status", &cookie).json()["name"], "attic");

    let node = node.restart();
    assert_eq!(node.get(SESSION, &cookie).json()["state"], "in", "a restart ends no session");
    assert_eq!(node.post(SESSION, "", &json!({"password": "wrong"})).code(), "wrong_password");
    let second = node.post(SESSION, "", &json!({"user": "admin", "password": "correct horse"})).cookie();
    assert_ne!(second, cookie);
    let sign = ["x-nuthatch: 1", &format!("cookie: {second}")];
    assert_eq!(node.ask("DELETE", SESSION, &sign, "").status, 200);
    assert_eq!(node.get(SESSION, &second).json()["state"], "login");
    assert_eq!(node.get(SESSION, &cookie).json()["state"], "in");
    let wrong = json!({"old": "wrong", "new": "another horse"});
    assert_eq!(node.post("/api/v1/password", &cookie, &wrong).code(), "wrong_password");
    let changed =
        node.post("/api/v1/password", &cookie, &json!({"old": "correct horse", "new": "another horse"}));
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(node.get(SESSION, &cookie).json()["state"], "login", "a new password ends sessions");
    assert_eq!(node.get(SESSION, &changed.cookie()).json()["state"], "in");
}

#[test]
fn a_node_that_is_in_a_vault_lets_nobody_be_the_first_without_its_code() {
    let node = Node::new();
    let home = node.dir.path().join("home");
    let done =
        Command::new(env!("CARGO_BIN_EXE_nuthatch")).arg("--home").arg(&home).arg("init").output().unwrap();
    assert!(done.status.success());
    assert_eq!(node.post("/api/v1/password", "", &json!({"new": "correct horse"})).code(), "code_needed");
    let guess = json!({"new": "correct horse", "code": "1"});
    for _ in 0..3 {
        assert_eq!(node.post("/api/v1/password", "", &guess).code(), "wrong_password");
    }
    let waits = node.post("/api/v1/password", "", &guess);
    assert_eq!((waits.status, waits.code().as_str()), (429, "too_many_attempts"));
    assert!(waits.head.to_ascii_lowercase().contains("retry-after: "), "{}", waits.head);
    // On the machine itself it takes no code, whether the node runs or not.
    let set = |user: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_nuthatch"))
            .args(["password", user, "--home"])
            .arg(&home)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"correct horse\n").unwrap();
        child.wait().unwrap().success()
    };
    assert!(set("admin") && !set("nobody"));
    assert_eq!(node.get(SESSION, "").json()["state"], "login");
}

#[test]
fn strangers_names_and_sites_are_refused() {
    let node = Node::new();
    let cookie = node.set_up();
    let with = format!("cookie: {cookie}");
    for host in ["evil.example", "127.0.0.1.evil.example", "attic.local.evil.example", ""] {
        let answer = node.ask("GET", "/api/v1/status", &[&format!("host: {host}"), &with], "");
        assert_eq!((answer.status, answer.code().as_str()), (403, "wrong_host"), "{host}");
    }
    assert_eq!(node.ask("GET", "/api/v1/status", &["host: attic.local:7118", &with], "").status, 200);
    for (method, path) in
        [("POST", "/api/v1/say"), ("DELETE", "/api/v1/folders/x"), ("PUT", "/api/v1/config")]
    {
        assert_eq!(
            node.ask(method, path, &[&with, "origin: http://evil.example"], "{}").code(),
            "csrf",
            "{path}"
        );
    }
    let page = node.ask("GET", "/", &[], "");
    assert_eq!(page.status, 200);
    for rule in ["default-src 'none'", "frame-ancestors 'none'", "nosniff", "x-frame-options: DENY"] {
        assert!(page.head.contains(rule), "{rule} is not in {}", page.head);
    }
    assert!(!page.head.contains("unsafe-inline"));
    for path in ["/../Cargo.toml", "/%2e%2e/Cargo.toml", "//etc/passwd", "/index.html%00", "/api/v1/../../x"]
    {
        let status = node.get(path, "").status;
        assert!([400, 401, 404].contains(&status), "{path} {status}");
    }
}

#[test]
fn a_token_does_what_its_role_may_until_it_is_revoked() {
    let node = Node::new();
    let cookie = node.set_up();
    let made = node.post("/api/v1/tokens", &cookie, &json!({"label": "cron", "role": "read"})).json();
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let bearer = format!("authorization: Bearer {token}");
    assert_eq!(node.ask("GET", "/api/v1/status", &[&bearer], "").status, 200);
    assert_eq!(node.ask("POST", "/api/v1/say", &[&bearer], "{\"text\": \"x\"}").code(), "forbidden");
    assert_eq!(node.ask("GET", "/api/v1/tokens", &[&bearer], "").code(), "forbidden");
    let limited = json!({"label": "photos", "role": "admin", "folders": ["photos"]});
    let limited = node.post("/api/v1/tokens", &cookie, &limited).json()["token"].as_str().unwrap().to_owned();
    let limited = format!("authorization: Bearer {limited}");
    assert_eq!(node.ask("GET", "/api/v1/folders", &[&limited], "").json(), json!([]));
    for path in ["/api/v1/log", "/api/v1/users", "/api/v1/files?what=letters", "/api/v1/find?pattern=x"] {
        assert_eq!(node.ask("GET", path, &[&limited], "").code(), "forbidden", "{path}");
    }
    let sign = ["x-nuthatch: 1", &format!("cookie: {cookie}")];
    assert_eq!(node.ask("DELETE", &format!("/api/v1/tokens/{id}"), &sign, "").status, 200);
    assert_eq!(node.ask("GET", "/api/v1/status", &[&bearer], "").code(), "unauthorised");
    // A token that is wrong too often has to wait, as a password would.
    let codes: Vec<String> =
        (0..4).map(|_| node.ask("GET", "/api/v1/status", &[&bearer], "").code()).collect();
    assert!(codes.contains(&"too_many_attempts".to_owned()), "{codes:?}");
    assert_eq!(node.get("/api/v1/status", &cookie).status, 200, "whoever is logged in is not held up");
}

#[test]
fn clumsy_and_hostile_clients_get_an_answer_and_hold_nobody_up() {
    let node = Node::new();
    let cookie = node.set_up();
    assert_eq!(node.raw("GARBAGE\r\n\r\n").status, 400);
    let long = format!("x-long: {}", "a".repeat(200_000));
    assert!([400, 431].contains(&node.ask("GET", "/", &[&long], "").status));
    let split = "GET /api/v1/session HTTP/1.1\r\nhost: localhost\r\nx: a\rb: c\r\nconnection: close\r\n\r\n";
    assert_eq!(node.raw(split).status, 400, "a bare CR splits no header");
    let large = "x".repeat(1_100_000);
    assert_eq!(node.ask("POST", SESSION, &["x-nuthatch: 1"], &large).code(), "body_too_large");
    // Half a request from each of many: others are served meanwhile, and more of one address are turned away.
    let mut held = Vec::new();
    for _ in 0..60 {
        let mut stream = node.connect();
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: loc");
        held.push(stream);
    }
    let is_refused = |stream: &mut TcpStream| {
        let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
        matches!(stream.read(&mut [0; 16]), Ok(0)) || stream.write_all(b"alhost").is_err()
    };
    assert!(held.iter_mut().any(is_refused), "one address has a bound");
    drop(held);
    // What was held is free again.
    let mut waited = 0;
    while node.raw(&format!("GET {SESSION} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).status
        != 200
    {
        waited += 1;
        assert!(waited < 2_000, "connections that were closed are still counted");
    }
    assert_eq!(node.get("/api/v1/status", &cookie).status, 200);
}
