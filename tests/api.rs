//! docs/openapi.json against a real node: every operation with every role, and what is answered as far as it is declared.

mod household;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use household::Node;
use serde_json::{json, Map, Value};

/// The roles, from the least.
const ROLES: [&str; 4] = ["none", "read", "member", "admin"];

/// What was answered.
struct Answer {
    /// The status.
    status: u16,
    /// The head.
    head: String,
    /// The body.
    body: String,
}

impl Answer {
    /// A header; empty: there is none.
    fn header(&self, wanted: &str) -> &str {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map_or("", |(_, value)| value)
    }

    /// The code of an error; empty: it is none.
    fn code(&self) -> String {
        let value: Value = serde_json::from_str(&self.body).unwrap_or_default();
        value["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A node with its web page, and a token for each role.
struct Web {
    /// Where it is.
    address: SocketAddr,
    /// Tokens in the order of [`ROLES`]; none for the first.
    tokens: [String; 4],
    /// The node.
    _node: Node,
}

impl Web {
    /// One that is a vault's only device and has a shared folder with a file.
    fn new() -> Self {
        let mut node = Node::new();
        let address = node.start_web();
        let password = json!({"new": "correct horse battery"}).to_string();
        let first = ask(address, ("POST", "/api/v1/password"), "x-nuthatch: 1\r\n", &password);
        assert_eq!(first.status, 200, "{}", first.body);
        let cookie = first.header("set-cookie").split(';').next().unwrap_or_default();
        node.init();
        let directory = node.dir.path().join("family");
        std::fs::create_dir(&directory).expect("a directory can be made");
        std::fs::write(directory.join("a.txt"), "hello").expect("a file can be written");
        node.ok(&["folder", "add", "family", directory.to_str().expect("a plain path"), "--kind", "shared"]);
        node.run(&["backup", "family"]);
        let headers = format!("cookie: {cookie}\r\nx-nuthatch: 1\r\n");
        let token = |role: &str| match role {
            "none" => String::new(),
            role => {
                let body = json!({"label": role, "role": role}).to_string();
                let made = ask(address, ("POST", "/api/v1/tokens"), &headers, &body);
                let made: Value = serde_json::from_str(&made.body).expect("JSON");
                made["token"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
            }
        };
        Self { address, tokens: ROLES.map(token), _node: node }
    }

    /// Asks as somebody of this role.
    fn ask(&self, role: usize, (method, path): (&str, &str), body: &str) -> Answer {
        let login = match self.tokens[role].as_str() {
            "" => "x-nuthatch: 1\r\n".to_owned(),
            token => format!("authorization: Bearer {token}\r\n"),
        };
        ask(self.address, (method, path), &login, body)
    }
}

/// One request, and its answer up to its end (of live events: up to the first status).
fn ask(address: SocketAddr, line: (&str, &str), headers: &str, body: &str) -> Answer {
    let (head, body) = exchange(address, line, headers, body);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("{line:?}: {head:?}"));
    let mut answer = Answer { status, head, body: String::new() };
    let is_chunked = answer.header("transfer-encoding") == "chunked";
    let body = if is_chunked { unchunked(&body) } else { body };
    answer.body = String::from_utf8_lossy(&body).into_owned();
    answer
}

/// Head and body as they come.
fn exchange(
    address: SocketAddr,
    (method, path): (&str, &str),
    headers: &str,
    body: &str,
) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).expect("the node listens");
    stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a time limit can be set");
    let length = body.len();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    stream.write_all(request.as_bytes()).expect("it can be asked");
    let (mut all, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let count = stream.read(&mut buffer).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        all.extend_from_slice(&buffer[..count]);
        let is_live =
            path.starts_with("/api/v1/events") && all.windows(14).any(|part| part == b"event: status\n");
        if count == 0 || is_live {
            break;
        }
    }
    let end = all
        .windows(4)
        .position(|part| part == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("{method} {path}: no head"));
    (String::from_utf8_lossy(&all[..end]).into_owned(), all[end + 4..].to_vec())
}

/// A body without the lengths of its pieces.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|part| part == b"\r\n") {
        let length =
            std::str::from_utf8(&body[..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let Some(length) = length.filter(|length| *length > 0) else { break };
        let piece = &body[end + 2..];
        whole.extend_from_slice(&piece[..length.min(piece.len())]);
        body = piece.get(length + 2..).unwrap_or_default();
    }
    whole
}

/// The document.
fn document() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("it is there")).expect("it is JSON")
}

/// Each operation: path, method, and what is said of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, said) in methods.as_object().expect("methods") {
            all.push((path.clone(), method.to_uppercase(), said.clone()));
        }
    }
    all
}

/// What stands behind a reference, or the schema itself.
fn followed<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).expect("a reference leads somewhere"),
        None => schema,
    }
}

/// Whether a value is as a schema says, as far as schemas here say anything.
fn check(document: &Value, schema: &Value, value: &Value, place: &str) {
    let schema = followed(document, schema);
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{place}: {value} is none of {allowed:?}");
    }
    let is = |kind: &str| match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("{place}: no such type {other}"),
    };
    match &schema["type"] {
        Value::String(kind) => assert!(is(kind), "{place}: {value} is no {kind}"),
        Value::Array(kinds) => {
            assert!(
                kinds.iter().any(|kind| is(kind.as_str().expect("a type"))),
                "{place}: {value} is none of {kinds:?}"
            );
        }
        _ => {}
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(value.get(name).is_some(), "{place}: {name} is missing in {value}");
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(name) {
            check(document, schema, value, &format!("{place}.{name}"));
        }
    }
    if !schema["items"].is_null() {
        for item in value.as_array().into_iter().flatten() {
            check(document, &schema["items"], item, &format!("{place}[]"));
        }
    }
}

/// A value that fits a schema and names nothing that there is.
fn sample(document: &Value, name: &str, schema: &Value) -> Value {
    let schema = followed(document, schema);
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match (name, kind) {
        ("what" | "before", _) => json!("nothing:x"),
        ("to" | "directory", _) => json!("/nowhere/x"),
        ("code", _) => json!("12345678"),
        (_, Some("integer")) => json!(0),
        (_, Some("boolean")) => json!(false),
        (_, Some("array")) => json!([]),
        _ => schema["enum"].get(0).cloned().unwrap_or_else(|| json!("nothing")),
    }
}

/// An operation as a request: its path with what must be there, and its body.
fn request(document: &Value, path: &str, said: &Value) -> (String, String) {
    let mut path = path.to_owned();
    let mut separator = '?';
    for parameter in said["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().expect("a name");
        if parameter["in"] == "path" {
            path = path.replace(&format!("{{{name}}}"), "nothing");
        } else if parameter["required"] == true {
            let value = sample(document, name, &parameter["schema"]);
            path.push_str(&format!("{separator}{name}={}", value.to_string().trim_matches('"')));
            separator = '&';
        }
    }
    let content = &said["requestBody"]["content"];
    if content.get("application/octet-stream").is_some() {
        return (path, "abc".to_owned());
    }
    let schema = &content["application/json"]["schema"];
    let mut body = Map::new();
    // A body that is understood is looked at before rights are: so it is whole.
    let all = schema["properties"].as_object().into_iter().flatten();
    for (name, schema) in
        all.filter(|(name, _)| !["directory_base64", "peer", "wait"].contains(&name.as_str()))
    {
        body.insert(name.clone(), sample(document, name, schema));
    }
    let body = if schema.is_null() { String::new() } else { Value::Object(body).to_string() };
    (path, body)
}

/// Whether an answer is as declared.
fn check_answer(document: &Value, said: &Value, answer: &Answer, place: &str) {
    if place.starts_with("HEAD") {
        return assert!(answer.body.is_empty(), "{place}: {}", answer.body);
    }
    let declared = said["responses"].get(answer.status.to_string());
    let error = &document["components"]["responses"]["Error"];
    let declared = declared.unwrap_or(error);
    let kind = answer.header("content-type");
    for (media, content) in declared["content"].as_object().into_iter().flatten() {
        if media != "*/*" {
            assert!(kind.starts_with(media.as_str()), "{place}: {kind} instead of {media}");
        }
        match media.as_str() {
            "application/json" if answer.header("content-encoding") != "gzip" => {
                let value =
                    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{place}: {error}"));
                check(document, &content["schema"], &value, place);
            }
            "application/x-ndjson" => {
                for line in answer.body.lines() {
                    let value: Value =
                        serde_json::from_str(line).unwrap_or_else(|error| panic!("{place}: {error}"));
                    let is_end = value.get("end").is_some() || value.get("error").is_some();
                    let schema = if is_end { &Value::Null } else { &content["x-line"] };
                    check(document, schema, &value, place);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn everybody_reaches_what_is_theirs_and_nothing_else_and_answers_are_as_declared() {
    let (web, document) = (Web::new(), document());
    let mut asked = 0;
    for (path, method, said) in operations(&document) {
        let least = ROLES.iter().position(|role| said["x-role"] == *role).expect("a role");
        let (target, body) = request(&document, &path, &said);
        for (role, name) in ROLES.iter().enumerate() {
            let place = format!("{method} {target} as {name}");
            let answer = web.ask(role, (&method, &target), &body);
            let code = answer.code();
            if role < least {
                let refused = if role == 0 { (401, "unauthorised") } else { (403, "forbidden") };
                assert_eq!(answer.status, refused.0, "{place}: {}", answer.body);
                let is_told = path == "/plain" || method == "HEAD" || code == refused.1;
                assert!(is_told, "{place}: {}", answer.body);
            } else {
                let wrong = ["unauthorised", "forbidden", "unknown_route", "method_not_allowed", "internal"];
                // Who may log in, or set whose password, is decided by more than the role.
                let is_own = matches!(path.as_str(), "/api/v1/password" | "/api/v1/session");
                assert!(is_own || !wrong.contains(&code.as_str()), "{place}: {}", answer.body);
                assert!(
                    answer.status != 405 && answer.status < 500,
                    "{place}: {} {}",
                    answer.status,
                    answer.body
                );
                check_answer(&document, &said, &answer, &place);
            }
            asked += 1;
        }
    }
    assert!(asked > 200, "{asked} requests");
    // Good answers, not only errors.
    for path in [
        "status",
        "folders",
        "nodes",
        "snapshots",
        "log",
        "charts",
        "config?explained=true",
        "disks",
        "session",
    ] {
        let answer = web.ask(3, ("GET", &format!("/api/v1/{path}")), "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
}

#[test]
fn what_is_not_in_the_document_is_not_there() {
    let (web, document) = (Web::new(), document());
    let all = operations(&document);
    let mut paths: Vec<&String> = all.iter().map(|(path, _, _)| path).collect();
    paths.dedup();
    for path in paths.into_iter().filter(|path| path.starts_with("/api/v1/")) {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            if all.iter().any(|(other, known, _)| other == path && known == method) {
                continue;
            }
            let target = path.split('{').next().map(|start| {
                if start == path {
                    start.to_owned()
                } else {
                    format!("{start}nothing")
                }
            });
            let answer = web.ask(3, (method, &target.unwrap_or_default()), "");
            assert!(matches!(answer.status, 404 | 405), "{method} {path}: {} {}", answer.status, answer.body);
        }
    }
    for path in ["/api/v1/nothing", "/api/v1/", "/api/v2/status", "/nothing", "/api/v1/status/x"] {
        let answer = web.ask(3, ("GET", path), "");
        assert!(matches!(answer.status, 404 | 405), "{path}: {} {}", answer.status, answer.body);
    }
}

#[test]
fn live_events_go_on_behind_the_last_line_and_begin_with_the_status() {
    let web = Web::new();
    let login = format!("authorization: Bearer {}\r\n", web.tokens[1]);
    let first = ask(web.address, ("GET", "/api/v1/events"), &login, "");
    assert_eq!(first.header("content-type"), "text/event-stream");
    let number =
        first.body.lines().find_map(|line| line.strip_prefix("id: ")).and_then(|id| id.parse::<u64>().ok());
    let number = number.expect("the stream begins with the number of the last line");
    let log = web.ask(1, ("GET", &format!("/api/v1/log?after={}", number - 1)), "");
    let line: Value = serde_json::from_str(log.body.lines().next().unwrap_or_default()).expect("a line");
    assert_eq!(line["number"], number);
    let before = format!("{login}last-event-id: {}\r\n", number - 1);
    let again = ask(web.address, ("GET", "/api/v1/events"), &before, "");
    assert!(again.body.starts_with(&format!("retry: 2000\nid: {}\n\n", number - 1)), "{}", again.body);
}

#[test]
fn hooks_are_not_chosen_over_the_network() {
    let web = Web::new();
    let body = json!({"key": "hooks.dir", "value": "/tmp"}).to_string();
    let answer = web.ask(3, ("PUT", "/api/v1/config"), &body);
    assert_eq!((answer.status, answer.code().as_str()), (403, "local_only"));
    let health = web.ask(0, ("GET", "/health"), "");
    assert_eq!((health.status, health.body.trim()), (200, "{\"live\":true,\"ready\":true}"));
    let metrics = web.ask(1, ("GET", "/metrics"), "");
    assert!(metrics.body.contains("\nnuthatch_folder_files{folder=\"family\""), "{}", metrics.body);
}
