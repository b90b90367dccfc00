//! Files over the web's port of a real node: content, archives, uploads in parts, WebDAV and the routes of older systems, and what
//! hostile names and clients that go away do to them.

mod household;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::{json, Value};
use tempfile::TempDir;

/// A node with a shared folder `storage`, and tokens.
struct Node {
    dir: TempDir,
    web: SocketAddr,
    process: Child,
    member: String,
    reader: String,
}

/// What came back.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(dir.path().join("storage")).expect("the surroundings of a test work");
        let home = dir.path().join("home");
        let (process, web) = household::serve(&home, "127.0.0.1:0");
        let run = |args: &[&str]| {
            let output = Command::new(env!("CARGO_BIN_EXE_nuthatch"))
                .arg("--home")
                .arg(&home)
                .args(args)
                .output()
                .expect("the surroundings of a test work");
            let code = output.status.code();
            assert!(matches!(code, Some(0 | 4)), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
            serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default()
        };
        run(&["init"]);
        let storage = dir.path().join("storage");
        run(&[
            "folder",
            "add",
            "storage",
            storage.to_str().expect("the surroundings of a test work"),
            "--kind",
            "shared",
            "--copies",
            "1",
        ]);
        run(&["backup", "--wait"]);
        let token = |role: &str| {
            run(&["--json", "token", "add", role, "--role", role])["token"]
                .as_str()
                .expect("the surroundings of a test work")
                .to_owned()
        };
        let (member, reader) = (token("member"), token("read"));
        Self { dir, web, process, member, reader }
    }

    /// Asks as somebody with this token.
    fn ask_as(&self, token: &str, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nauthorization: Bearer {token}\r\n",
            self.web
        );
        head.push_str(&format!("content-length: {}\r\n", body.len()));
        headers.iter().for_each(|line| head.push_str(&format!("{line}\r\n")));
        let mut stream = TcpStream::connect(self.web).expect("the node listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("the surroundings of a test work");
        stream.write_all(format!("{head}\r\n").as_bytes()).expect("the surroundings of a test work");
        stream.write_all(body).expect("the surroundings of a test work");
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let at = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(0);
        let head = String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Answer { status, head, body: bytes.get(at + 4..).unwrap_or_default().to_vec() }
    }

    /// Asks as a member.
    fn ask(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        self.ask_as(&self.member, method, path, headers, body)
    }

    fn put(&self, path: &str, content: &[u8]) {
        let answer = self.ask("PUT", &format!("/dav/storage/{path}"), &[], content);
        assert!(matches!(answer.status, 201 | 204), "{path}: {} {}", answer.status, answer.text());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Something that has several chunks.
fn noise(length: u32) -> Vec<u8> {
    (0..length).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3] ^ at.to_le_bytes()[1]).collect()
}

#[test]
fn content_comes_whole_in_ranges_and_only_if_it_is_new() {
    let node = Node::new();
    let content = noise(2_000_000);
    node.put("film.mp4", &content);
    let path = "/api/v1/content?what=storage:film.mp4";
    let whole = node.ask("GET", path, &[], b"");
    assert!(whole.status == 200 && whole.body == content);
    assert!(whole.head.contains("content-length: 2000000") && whole.head.contains("content-type: video/mp4"));
    assert!(whole.head.contains("content-security-policy: sandbox") && whole.head.contains("nosniff"));
    let part = node.ask("GET", path, &["range: bytes=1500000-1500009"], b"");
    assert!(part.status == 206 && part.body == content[1_500_000..1_500_010]);
    assert!(part.head.contains("content-range: bytes 1500000-1500009/2000000"), "{}", part.head);
    let beyond = node.ask("GET", path, &["range: bytes=2000000-"], b"");
    assert!(beyond.status == 416 && beyond.head.contains("content-range: bytes */2000000"));
    let etag = whole.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    assert_eq!(node.ask("GET", path, &[&format!("if-none-match: {etag}")], b"").status, 304);
    let head = node.ask("HEAD", path, &[], b"");
    assert!(head.status == 200 && head.body.is_empty() && head.head.contains("content-length: 2000000"));
    for bad in [
        "storage:../x",
        "storage:/etc/passwd",
        "storage:a%00b",
        "storage:film.mp4/x",
        "nowhere:x",
        "storage:nothing",
    ] {
        let status = node.ask("GET", &format!("/api/v1/content?what={bad}"), &[], b"").status;
        assert!(matches!(status, 400 | 404), "{bad} {status}");
    }
}

#[test]
fn hostile_names_and_types_do_nothing_in_a_browser() {
    let node = Node::new();
    for name in ["a%0D%0ASet-Cookie:%20x=1.html", "%3Cscript%3E.svg", "%22%3B%20x.txt"] {
        node.put(name, b"<script>alert(1)</script>");
        let answer = node.ask("GET", &format!("/api/v1/content?what=storage:{name}"), &[], b"");
        assert_eq!(answer.status, 200, "{name}");
        assert!(!answer.head.lines().any(|line| line.starts_with("set-cookie")), "{}", answer.head);
        assert!(answer.head.contains("sandbox; default-src 'none'") && answer.head.contains("nosniff"));
        let is_shown = answer.head.contains("content-disposition: inline");
        assert_eq!(is_shown, name.contains(".txt"), "{}", answer.head);
    }
    let list = node.ask("PROPFIND", "/dav/storage/", &["depth: 1"], b"");
    assert!(list.status == 207 && !list.text().contains("<script>"), "{}", list.text());
    let zip = node.ask("GET", "/api/v1/zip?what=storage", &[], b"");
    assert!(zip.status == 200 && zip.text().contains("%0D%0ASet-Cookie"));
}

#[test]
fn an_upload_goes_on_where_it_broke_off_and_shows_nothing_before_its_end() {
    let node = Node::new();
    let content = noise(1_500_000);
    let begin = json!({"what": "storage:in parts", "size": content.len()}).to_string();
    let begun = node.ask("POST", "/api/v1/uploads", &[], begin.as_bytes()).json();
    let path = format!("/api/v1/uploads/{}", begun["id"].as_str().unwrap());
    let part = node.ask("PUT", &format!("{path}?offset=0"), &[], &content[..300_000]);
    assert_eq!(part.json()["offset"], 300_000, "{}", part.text());
    assert_eq!(node.ask("GET", "/api/v1/content?what=storage:in%20parts", &[], b"").status, 404);
    let wrong = node.ask("PUT", &format!("{path}?offset=7"), &[], b"x");
    assert_eq!((wrong.status, wrong.json()["error"]["code"].as_str()), (409, Some("wrong_offset")));
    assert_eq!(node.ask_as(&node.reader, "GET", &path, &[], b"").status, 403, "readers have none");
    // Another one hangs, as on a network that has gone; the next takes its place.
    let mut hanging = TcpStream::connect(node.web).unwrap();
    let now = 300_000_u64;
    let head = format!(
        "PUT {path}?offset={now} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-length: 1000\r\n\r\nx",
        node.web, node.member
    );
    hanging.write_all(head.as_bytes()).unwrap();
    while node.ask("GET", &path, &[], b"").json()["offset"].as_u64() == Some(now) {}
    let now = now + 1;
    let mut content = content;
    content[usize::try_from(now).unwrap() - 1] = b'x';
    let rest = &content[usize::try_from(now).unwrap()..];
    let done = node.ask("PUT", &format!("{path}?offset={now}"), &[], rest);
    assert_eq!((done.status, &done.json()["stored"]), (200, &json!(true)), "{}", done.text());
    assert!(node.ask("GET", "/api/v1/content?what=storage:in%20parts", &[], b"").body == content);
    assert!(std::fs::read(node.dir.path().join("storage/in parts")).unwrap() == content);
}

#[test]
fn a_file_manager_makes_moves_locks_and_removes() {
    let node = Node::new();
    let status = |method: &str, path: &str, headers: &[&str]| node.ask(method, path, headers, b"").status;
    assert_eq!(status("MKCOL", "/dav/storage/a", &[]), 201);
    assert_eq!(status("MKCOL", "/dav/storage/a", &[]), 405);
    assert_eq!(status("MKCOL", "/dav/storage/no/b", &[]), 409);
    node.put("a/%C3%BC.txt", b"x");
    let to = format!("destination: http://{}/dav/storage/b", node.web);
    assert_eq!(status("MOVE", "/dav/storage/a", &[&to]), 201);
    assert_eq!(status("COPY", "/dav/storage/b", &["destination: http://elsewhere/dav/storage/c"]), 502);
    assert_eq!(status("GET", "/dav/storage/b/%C3%BC.txt", &[]), 200);
    assert_eq!(status("PROPFIND", "/dav/storage/", &["depth: infinity"]), 403);
    let lock =
        b"<lockinfo xmlns='DAV:'><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>";
    let locked = node.ask("LOCK", "/dav/storage/b/%C3%BC.txt", &[], lock);
    assert_eq!(locked.status, 200, "{}", locked.text());
    let token = locked.head.lines().find_map(|line| line.strip_prefix("lock-token: ")).unwrap().to_owned();
    assert_eq!(node.ask("PUT", "/dav/storage/b/%C3%BC.txt", &[], b"y").status, 423);
    assert_eq!(status("DELETE", "/dav/storage/b", &[]), 423);
    assert_eq!(node.ask("PUT", "/dav/storage/b/%C3%BC.txt", &[&format!("if: ({token})")], b"y").status, 204);
    assert_eq!(status("UNLOCK", "/dav/storage/b/%C3%BC.txt", &[&format!("lock-token: {token}")]), 204);
    assert_eq!(status("DELETE", "/dav/storage/b", &[]), 204);
    assert!(!node.dir.path().join("storage/b").exists());
    let bomb = b"<!DOCTYPE a [<!ENTITY b 'c'>]><propfind xmlns='DAV:'>&b;</propfind>";
    assert_eq!(node.ask("PROPFIND", "/dav/storage/", &["depth: 0"], bomb).status, 400);
    let no_token = node.ask_as("", "PROPFIND", "/dav/storage/", &["depth: 0"], b"");
    assert_eq!(no_token.status, 401);
}

#[test]
fn a_reader_finds_no_way_to_write() {
    let node = Node::new();
    node.put("file", b"x");
    let reader = |method: &str, path: &str, headers: &[&str], body: &[u8]| {
        node.ask_as(&node.reader, method, path, headers, body).status
    };
    assert_eq!(reader("GET", "/dav/storage/file", &[], b""), 200);
    assert_eq!(reader("GET", "/api/v1/zip?what=storage", &[], b""), 200);
    let to = format!("destination: http://{}/dav/storage/b", node.web);
    for (method, headers) in [
        ("PUT", vec![]),
        ("DELETE", vec![]),
        ("MKCOL", vec![]),
        ("LOCK", vec![]),
        ("UNLOCK", vec!["lock-token: <x>"]),
        ("MOVE", vec![to.as_str()]),
        ("COPY", vec![to.as_str()]),
    ] {
        let path = if method == "MKCOL" { "/dav/storage/new" } else { "/dav/storage/file" };
        assert_eq!(reader(method, path, &headers, b""), 403, "{method}");
    }
    let form = b"--X\r\nContent-Disposition: form-data; filename=\"f\"\r\n\r\nx\r\n--X--";
    assert_eq!(reader("POST", "/upload", &["content-type: multipart/form-data; boundary=X"], form), 403);
    assert_eq!(reader("POST", "/delete", &[], b"{\"filename\":\"file\"}"), 403);
    for (path, body) in [
        ("uploads", json!({"what": "storage:x", "size": 1})),
        ("revert", json!({"what": "storage:file"})),
        ("restore-to", json!({"what": "storage", "to": "/tmp/x"})),
        ("move", json!({"from": "storage:file", "to": "storage:y"})),
        ("make-directory", json!({"what": "storage:d"})),
    ] {
        assert_eq!(
            reader("POST", &format!("/api/v1/{path}"), &[], body.to_string().as_bytes()),
            403,
            "{path}"
        );
    }
    assert!(std::fs::read(node.dir.path().join("storage/file")).unwrap() == b"x");
}

#[test]
fn scripts_of_older_systems_work() {
    let node = Node::new();
    let form = b"--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"old script.bin\"\r\n\r\nline\r\n\r\n--X--\r\n";
    let media = "content-type: multipart/form-data; boundary=X";
    let up = node.ask("POST", "/upload", &[media], form);
    assert_eq!((up.status, &up.json()["success"]), (200, &json!(true)), "{}", up.text());
    assert_eq!(node.ask("GET", "/files", &[], b"").json()["files"][0]["name"], "old script.bin");
    assert_eq!(node.ask("GET", "/download?filename=old%20script.bin", &[], b"").body, b"line\r\n");
    assert_eq!(node.ask("GET", "/api/stats", &[], b"").json()["files"], 1);
    let cut = [&form[..], b""].concat();
    let half = node.ask("POST", "/upload", &[media], &cut[..90]);
    assert_eq!(half.status, 400, "{}", half.text());
    let evil = b"--X\r\nContent-Disposition: form-data; filename=\"../evil\"\r\n\r\nx\r\n--X--";
    assert_eq!(node.ask("POST", "/upload", &[media], evil).json()["error"]["code"], "bad_path");
    assert_eq!(node.ask("DELETE", "/api/delete/old%20script.bin", &[], b"").status, 200);
    assert_eq!(node.ask("GET", "/api/files", &[], b"").json()["files"], json!([]));
}
