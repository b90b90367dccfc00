//! Calls as HTTP: which method and path under `/api/v1` each [`Call`] has, and back.
//!
//! [`route`] is what the node's control socket (and later its web page) uses, [`request_of`] is what the command line
//! uses; a test sends every call through both. Decides nothing, and knows no sockets. Secrets travel in bodies, never in
//! paths or queries, for those end up in logs. The bodies are JSON objects; fields that are left out have their default.

mod entering;
mod query;

use self::query::Query;
pub(super) use self::query::{escape, query_value, query_values, unescape};
use super::bodies::{
    backup, folder_add, folder_body, restore_body, restore_some, BackupBody, ConfigBody, DrillBody,
    EraseBody, InitBody, InviteBody, JoinBody, MoveBody, NoBody, PauseBody, RecoverBody, SayBody, SetBody,
    SyncBody, TestBody, VerifyBody, WhatBody,
};
use crate::feed::entry::Role;
use crate::io::http::{Asked, Handler, Media, Route};
use crate::node::api::{ApiError, Call, PutFile, Removal};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What stands before every path.
pub const PREFIX: &str = "/api/v1/";

/// A request as it goes over the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// The path, with its query.
    pub path: String,
    /// JSON, or empty.
    pub body: Vec<u8>,
}

/// The routes, as the control socket asks for them.
#[derive(Debug, Clone, Copy)]
pub struct Routes;

impl Handler for Routes {
    fn route(&self, asked: &Asked<'_>) -> Result<Route, ApiError> {
        let call = route(asked.method, asked.path, asked.query.unwrap_or_default(), asked.body)?;
        let media = media_of(&call);
        Ok(Route { call, media })
    }

    fn is_stream(&self, method: &str, path: &str) -> bool {
        method == "PUT" && path.strip_prefix(PREFIX) == Some("files")
    }
}

/// In which form a call is answered.
const fn media_of(call: &Call) -> Media {
    match call {
        Call::Read { .. } | Call::Restore { .. } | Call::RestoreSome { .. } => Media::Bytes,
        Call::Join { .. }
        | Call::Recover { .. }
        | Call::Invite { .. }
        | Call::Backup { .. }
        | Call::Checksum { .. }
        | Call::Sync { .. }
        | Call::Snapshots { .. }
        | Call::List { .. }
        | Call::History { .. }
        | Call::Diff { .. }
        | Call::Find { .. }
        | Call::Put { .. }
        | Call::Delete { .. }
        | Call::MakeDirectory { .. }
        | Call::Move { .. }
        | Call::Verify { .. }
        | Call::Drill { .. }
        | Call::TestAlert { .. }
        | Call::Log { .. } => Media::Lines,
        Call::Init { .. }
        | Call::Nodes
        | Call::Remove { .. }
        | Call::FolderAdd(_)
        | Call::FolderList
        | Call::FolderSet { .. }
        | Call::FolderRemove { .. }
        | Call::Pause { .. }
        | Call::Resume
        | Call::Forget { .. }
        | Call::Undo { .. }
        | Call::Erase { .. }
        | Call::Confirm { .. }
        | Call::Status
        | Call::Charts
        | Call::Say { .. }
        | Call::ConfigGet { .. }
        | Call::ConfigKeys
        | Call::ConfigSet { .. } => Media::Json,
    }
}

/// The call that a request asks for. `query` is what follows the question mark.
///
/// # Errors
/// `unknown_route`, `method_not_allowed` or `bad_request`, in words.
pub fn route(method: &str, path: &str, query: &str, body: &[u8]) -> Result<Call, ApiError> {
    let rest = path.strip_prefix(PREFIX).ok_or_else(|| no_such_route(path))?;
    let query = Query::parse(query)?;
    let (name, argument) = match rest.split_once('/') {
        Some((name, argument)) => (name, Some(unescape(argument)?)),
        None => (rest, None),
    };
    match (method, name, argument) {
        ("GET", "nodes", None) => Ok(Call::Nodes),
        ("DELETE", "nodes", Some(node)) => Ok(Call::Remove { node, how: removal(&query)? }),
        ("GET", "folders", None) => Ok(Call::FolderList),
        ("DELETE", "folders", Some(name)) => Ok(Call::FolderRemove { name }),
        ("GET", "snapshots", None) => Ok(Call::Snapshots { name: query.value("folder") }),
        ("GET", "files", None) => {
            Ok(Call::List { what: query.wanted("what")?, recursive: query.flag("recursive")? })
        }
        ("PUT", "files", None) => Ok(Call::Put {
            what: query.wanted("what")?,
            file: PutFile { mtime_ns: query.number("mtime_ns")?, mode: query.number("mode")? },
            wait: query.flag("wait")?,
        }),
        ("DELETE", "files", None) => {
            Ok(Call::Delete { what: query.wanted("what")?, recursive: query.flag("recursive")? })
        }
        ("GET", "content", None) => Ok(Call::Read {
            what: query.wanted("what")?,
            offset: query.number("offset")?.unwrap_or(0),
            length: query.number("length")?,
        }),
        ("GET", "history", None) => Ok(Call::History { what: query.wanted("what")? }),
        ("GET", "diff", None) => {
            Ok(Call::Diff { before: query.wanted("before")?, after: query.value("after") })
        }
        ("GET", "find", None) => Ok(Call::Find {
            pattern: query.wanted("pattern")?,
            folder: query.value("folder"),
            all: query.flag("all")?,
        }),
        ("GET", "restore", None) => {
            Ok(Call::Restore { what: query.wanted("what")?, dry_run: query.flag("dry_run")? })
        }
        ("GET", "status", None) => Ok(Call::Status),
        ("GET", "log", None) => {
            Ok(Call::Log { follow: query.flag("follow")?, after: query.number("after")? })
        }
        ("GET", "charts", None) => Ok(Call::Charts),
        ("GET", "config", None) if query.flag("explained")? => Ok(Call::ConfigKeys),
        ("GET", "config", None) => Ok(Call::ConfigGet { key: query.value("key") }),
        ("POST" | "PUT", name, None) => {
            with_body(method, name, body).unwrap_or_else(|| Err(unroutable(method, path, name)))
        }
        _ => Err(unroutable(method, path, name)),
    }
}

/// The calls that have a body; None when there is none with this method and name.
fn with_body(method: &str, name: &str, body: &[u8]) -> Option<Result<Call, ApiError>> {
    Some(match (method, name) {
        ("POST", "init") => parsed(body).map(|InitBody { name, site }| Call::Init { name, site }),
        ("POST", "join") => {
            parsed(body).map(|JoinBody { code, peer, name, site }| Call::Join { code, peer, name, site })
        }
        ("POST", "recover") => parsed(body).map(|RecoverBody { phrase, peer, replace, name, site }| {
            Call::Recover { phrase, peer, replace, name, site }
        }),
        ("POST", "invite") => parsed(body).and_then(|InviteBody { role, wait }| match role.as_deref() {
            None | Some("full") => Ok(Call::Invite { role: Role::Full, wait }),
            Some("store") => Ok(Call::Invite { role: Role::Store, wait }),
            Some(other) => Err(bad(format!("there is no role {other}"), "give full or store")),
        }),
        ("POST", "folders") => parsed(body).and_then(folder_add),
        ("PUT", "folders") => parsed(body).map(|SetBody { name, changes }| Call::FolderSet { name, changes }),
        ("POST", "backup") => parsed(body).map(backup),
        ("POST", "sync") => parsed(body).map(|SyncBody { wait }| Call::Sync { wait }),
        ("POST", "pause") => parsed(body).map(|PauseBody { span_us }| Call::Pause { span_us }),
        ("POST", "resume") => parsed(body).map(|NoBody {}| Call::Resume),
        ("POST", "make-directory") => parsed(body).map(|WhatBody { what }| Call::MakeDirectory { what }),
        ("POST", "move") => parsed(body).map(MoveBody::call),
        ("POST", "forget") => parsed(body).map(|WhatBody { what }| Call::Forget { what }),
        ("POST", "undo") => parsed(body).map(|WhatBody { what }| Call::Undo { what }),
        ("POST", "erase") => parsed(body).map(|EraseBody { folder, snapshots, phrase }| Call::Erase {
            folder,
            snapshots,
            phrase,
        }),
        ("POST", "confirm") => parsed(body).map(|WhatBody { what }| Call::Confirm { what }),
        ("POST", "restore") => parsed(body).and_then(restore_some),
        ("POST", "verify") => parsed(body).map(|VerifyBody { all }| Call::Verify { all }),
        ("POST", "drill") => parsed(body).map(|DrillBody { name }| Call::Drill { name }),
        ("POST", "say") => parsed(body).map(|SayBody { text }| Call::Say { text }),
        ("POST", "test-alert") => parsed(body).map(|TestBody { event }| Call::TestAlert { event }),
        ("PUT", "config") => parsed(body).map(|ConfigBody { key, value }| Call::ConfigSet { key, value }),
        _ => return None,
    })
}

/// How a member is to be removed.
fn removal(query: &Query) -> Result<Removal, ApiError> {
    let words = [("alone", Removal::Alone), ("keep", Removal::Keep), ("now", Removal::Now)];
    for (word, how) in words {
        if query.flag(word)? {
            return Ok(how);
        }
    }
    Ok(Removal::Drained)
}

/// The request that asks for a call.
#[must_use]
pub fn request_of(call: &Call) -> Request {
    match call {
        Call::Init { .. } | Call::Join { .. } | Call::Recover { .. } | Call::Invite { .. } => {
            entering::request_of(call)
        }
        Call::Nodes => get("nodes", &[]),
        Call::Remove { node, how } => {
            let flag = match how {
                Removal::Drained => "",
                Removal::Now => "?now=true",
                Removal::Alone => "?alone=true",
                Removal::Keep => "?keep=true",
            };
            plain("DELETE", format!("nodes/{}{flag}", escape(node)))
        }
        Call::FolderAdd(folder) => post("folders", &folder_body(folder)),
        Call::FolderList => get("folders", &[]),
        Call::FolderRemove { name } => plain("DELETE", format!("folders/{}", escape(name))),
        Call::FolderSet { name, changes } => {
            put("folders", &SetBody { name: name.clone(), changes: changes.clone() })
        }
        Call::Backup { name, wait } | Call::Checksum { name, wait } => {
            let checksum = matches!(call, Call::Checksum { .. });
            post("backup", &BackupBody { name: name.clone(), wait: *wait, checksum })
        }
        Call::Sync { wait } => post("sync", &SyncBody { wait: *wait }),
        Call::Pause { span_us } => post("pause", &PauseBody { span_us: *span_us }),
        Call::Resume => post("resume", &NoBody {}),
        Call::Snapshots { name } => get("snapshots", &[("folder", name.as_deref())]),
        Call::MakeDirectory { what } => post("make-directory", &WhatBody { what: what.clone() }),
        Call::Move { from, to, copy, overwrite } => {
            post("move", &MoveBody { from: from.clone(), to: to.clone(), copy: *copy, overwrite: *overwrite })
        }
        Call::Forget { what } => post("forget", &WhatBody { what: what.clone() }),
        Call::Undo { what } => post("undo", &WhatBody { what: what.clone() }),
        Call::Erase { folder, snapshots, phrase } => post(
            "erase",
            &EraseBody { folder: folder.clone(), snapshots: snapshots.clone(), phrase: phrase.clone() },
        ),
        Call::Confirm { what } => post("confirm", &WhatBody { what: what.clone() }),
        Call::List { what, recursive } => {
            get("files", &[("what", Some(what)), ("recursive", Some(flag(*recursive)))])
        }
        Call::Read { .. } | Call::Put { .. } | Call::Delete { .. } => file_request(call),
        Call::History { what } => get("history", &[("what", Some(what))]),
        Call::Diff { before, after } => get("diff", &[("before", Some(before)), ("after", after.as_deref())]),
        Call::Find { pattern, folder, all } => get(
            "find",
            &[("pattern", Some(pattern)), ("folder", folder.as_deref()), ("all", Some(flag(*all)))],
        ),
        Call::Restore { what, dry_run } => restore_request(what, *dry_run),
        Call::RestoreSome { what, wanted } => post("restore", &restore_body(what, wanted)),
        Call::Status => get("status", &[]),
        Call::Verify { all } => post("verify", &VerifyBody { all: *all }),
        Call::Drill { name } => post("drill", &DrillBody { name: name.clone() }),
        Call::Say { text } => post("say", &SayBody { text: text.clone() }),
        Call::TestAlert { event } => post("test-alert", &TestBody { event: event.clone() }),
        Call::Log { follow, after } => {
            let after = after.map(|after| after.to_string());
            get("log", &[("follow", Some(flag(*follow))), ("after", after.as_deref())])
        }
        Call::Charts => get("charts", &[]),
        Call::ConfigGet { key } => get("config", &[("key", key.as_deref())]),
        Call::ConfigKeys => get("config", &[("explained", Some("true"))]),
        Call::ConfigSet { key, value } => {
            put("config", &ConfigBody { key: key.clone(), value: value.clone() })
        }
    }
}

/// The request of a restore.
fn restore_request(what: &str, dry_run: bool) -> Request {
    get("restore", &[("what", Some(what)), ("dry_run", Some(flag(dry_run)))])
}

/// The request that reads or changes a file.
fn file_request(call: &Call) -> Request {
    let mut query = Vec::new();
    let mut name = "files";
    let method = match call {
        Call::Read { what, offset, length } => {
            name = "content";
            query.push(("what", what.clone()));
            query.push(("offset", offset.to_string()));
            query.extend(length.map(|length| ("length", length.to_string())));
            "GET"
        }
        Call::Put { what, file, wait } => {
            query.push(("what", what.clone()));
            query.extend(file.mtime_ns.map(|at| ("mtime_ns", at.to_string())));
            query.extend(file.mode.map(|mode| ("mode", mode.to_string())));
            query.push(("wait", flag(*wait).to_owned()));
            "PUT"
        }
        Call::Delete { what, recursive } => {
            query.push(("what", what.clone()));
            query.push(("recursive", flag(*recursive).to_owned()));
            "DELETE"
        }
        _ => "GET",
    };
    let query: Vec<_> = query.iter().map(|(key, value)| (*key, Some(value.as_str()))).collect();
    Request { method, ..get(name, &query) }
}

/// A body as what it should be.
fn parsed<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| bad(format!("the body is not what this call takes: {error}"), "send a JSON object"))
}

/// A request with a body.
pub(super) fn post(name: &str, body: &impl Serialize) -> Request {
    let body =
        serde_json::to_vec(body).expect("the bodies have string keys only, which JSON can always express");
    Request { method: "POST", path: format!("{PREFIX}{name}"), body }
}

/// A request that changes something.
fn put(name: &str, body: &impl Serialize) -> Request {
    Request { method: "PUT", ..post(name, body) }
}

/// A request without a body.
pub(super) fn plain(method: &'static str, rest: String) -> Request {
    Request { method, path: format!("{PREFIX}{rest}"), body: Vec::new() }
}

/// A request with a query; keys without a value are left out.
fn get(name: &str, query: &[(&str, Option<&str>)]) -> Request {
    let mut path = name.to_owned();
    let given = query.iter().filter_map(|(key, value)| value.map(|value| (key, value)));
    for (index, (key, value)) in given.enumerate() {
        path.push(if index == 0 { '?' } else { '&' });
        path.push_str(&format!("{key}={}", escape(value)));
    }
    plain("GET", path)
}

/// A flag in a query.
const fn flag(on: bool) -> &'static str {
    if on {
        "true"
    } else {
        "false"
    }
}

/// What can stand behind the prefix, whoever answers it.
pub(super) const NAMES: &str =
    "content session password users tokens directories disks init join recover invite nodes \
    folders backup sync pause resume snapshots forget undo erase confirm files history diff find \
    restore status verify say test-alert log config zip uploads revert restore-to charts drill \
    make-directory move events sheet";

/// The error for a method that the name does not have, or for a name that does not exist.
pub(super) fn unroutable(method: &str, path: &str, name: &str) -> ApiError {
    if NAMES.split(' ').any(|known| known == name) {
        ApiError::new(
            "method_not_allowed",
            format!("{path} does not take {method}"),
            "reading is GET, doing is POST, changing the configuration is PUT, removing is DELETE",
        )
    } else {
        no_such_route(path)
    }
}

/// The error for a path that does not exist.
fn no_such_route(path: &str) -> ApiError {
    ApiError::new(
        "unknown_route",
        format!("there is no {path}"),
        format!("paths begin with {PREFIX}, such as {PREFIX}status"),
    )
}

/// The error for a request that cannot be understood.
pub(super) fn bad(message: String, hint: &str) -> ApiError {
    ApiError::new("bad_request", message, hint)
}

/// An error as it goes over the socket and onto standard error with `--json`.
#[must_use]
pub fn error_json(error: &ApiError) -> serde_json::Value {
    json!({"error": {"code": error.code, "message": error.message, "hint": error.hint}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::api::FolderAdd;
    use crate::node::restore::selection::Range;
    use std::net::SocketAddr;

    /// One of every call, with awkward values.
    fn calls() -> Vec<Call> {
        let some = |text: &str| Some(text.to_owned());
        let peer: Option<SocketAddr> = "[fe80::1]:7117".parse().ok();
        let wanted = vec![Range { first: b"a/\xff".to_vec(), last: b"b".to_vec() }];
        let folder = |directory: &[u8]| {
            Call::FolderAdd(FolderAdd {
                name: "photos".into(),
                directory: directory.to_vec(),
                kind: "backup".into(),
                copies: Some(2),
                keep: some("last=3,daily=7"),
                ignore: vec!["*.tmp".into(), "/a b/".into()],
                one_file_system: true,
                max_size: some("2GB"),
                mode: crate::feed::entry::Mode::Receive,
            })
        };
        vec![
            Call::Init { name: some("attic \u{e9}"), site: None },
            Call::Join { code: "01234567".into(), peer, name: None, site: some("home") },
            Call::Recover {
                phrase: "able acid".into(),
                peer,
                replace: some("attic"),
                name: None,
                site: None,
            },
            Call::Invite { role: Role::Full, wait: true },
            Call::Invite { role: Role::Store, wait: false },
            Call::Nodes,
            Call::Remove { node: "a/b ?#%".into(), how: Removal::Drained },
            folder(b"/home/ada"),
            folder(b"/home/\xff"),
            Call::FolderList,
            Call::FolderRemove { name: "photos".into() },
            Call::Backup { name: None, wait: true },
            Call::Backup { name: some("photos"), wait: false },
            Call::FolderSet { name: "photos".into(), changes: vec!["copies=2".into(), "ignore+=a b".into()] },
            Call::Checksum { name: some("photos"), wait: true },
            Call::Sync { wait: true },
            Call::Pause { span_us: Some(7_200_000_000) },
            Call::Resume,
            Call::Snapshots { name: None },
            Call::Snapshots { name: some("photos") },
            Call::Forget { what: "photos@3fa4b2".into() },
            Call::Undo { what: "photos".into() },
            Call::Erase { folder: "photos".into(), snapshots: Vec::new(), phrase: None },
            Call::Erase {
                folder: "photos".into(),
                snapshots: vec!["3fa4b2".into(), "latest".into()],
                phrase: some("able acid"),
            },
            Call::Confirm { what: "collect".into() },
            Call::List { what: "photos@latest:a b/\u{fc}&c=1".into(), recursive: true },
            Call::History { what: "photos:a b/c".into() },
            Call::Diff { before: "photos@3fa4b2:x".into(), after: None },
            Call::Diff { before: "photos".into(), after: some("@latest") },
            Call::Find { pattern: "*.p&f".into(), folder: None, all: true },
            Call::Find { pattern: "a/**/b?".into(), folder: some("photos"), all: false },
            Call::Restore { what: "photos".into(), dry_run: false },
            Call::RestoreSome { what: "photos".into(), wanted },
            Call::Status,
            Call::Verify { all: true },
            Call::Drill { name: Some("photos".into()) },
            Call::Drill { name: None },
            Call::ConfigGet { key: None },
            Call::ConfigKeys,
            Call::ConfigGet { key: some("node.name") },
            Call::ConfigSet { key: "node.name".into(), value: "\"x\"".into() },
        ]
    }

    /// And those that are for people.
    fn calls_for_people() -> Vec<Call> {
        vec![
            Call::Log { follow: true, after: None },
            Call::Log { follow: false, after: Some(1_800_000_000_123) },
            Call::Charts,
            Call::Say { text: "milk, \n\u{1b}[2J \u{e9}".into() },
            Call::TestAlert { event: None },
            Call::TestAlert { event: Some("backup_failed".into()) },
        ]
    }

    /// Calls that change a file.
    fn file_calls() -> [Call; 8] {
        let what = "family:a b/\u{fc}&c=1".to_owned();
        let file = PutFile { mtime_ns: Some(-5), mode: Some(0o600) };
        [
            Call::Put { what: what.clone(), file, wait: true },
            Call::Put { what: what.clone(), file: PutFile { mtime_ns: None, mode: None }, wait: false },
            Call::Delete { what: what.clone(), recursive: true },
            Call::Delete { what, recursive: false },
            Call::MakeDirectory { what: "family:a b".into() },
            Call::Move { from: "family:a".into(), to: "family:b".into(), copy: true, overwrite: false },
            Call::Read { what: "photos:a b".into(), offset: 7, length: Some(9) },
            Call::Read { what: "photos:a".into(), offset: 0, length: None },
        ]
    }

    #[test]
    fn every_call_survives_the_way_over_http() {
        let removals = [Removal::Drained, Removal::Now, Removal::Alone, Removal::Keep];
        let removals = removals.map(|how| Call::Remove { node: "attic".into(), how });
        for call in calls().into_iter().chain(removals).chain(calls_for_people()).chain(file_calls()) {
            let request = request_of(&call);
            let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
            assert!(request.path.bytes().all(|byte| byte.is_ascii_graphic()), "{}", request.path);
            assert_eq!(route(request.method, path, query, &request.body), Ok(call));
        }
    }

    #[test]
    fn secrets_are_in_no_path() {
        for call in calls() {
            let path = request_of(&call).path;
            assert!(!path.contains("01234567") && !path.contains("able"), "{path}");
        }
    }

    #[test]
    fn what_is_no_call_is_refused_in_words() {
        let code =
            |method, path, query, body: &str| route(method, path, query, body.as_bytes()).unwrap_err().code;
        assert_eq!(code("GET", "/", "", ""), "unknown_route");
        assert_eq!(code("GET", "/api/v1/nothing", "", ""), "unknown_route");
        assert_eq!(code("PATCH", "/api/v1/status", "", ""), "method_not_allowed");
        assert_eq!(code("GET", "/api/v1/backup", "", ""), "method_not_allowed");
        assert_eq!(code("POST", "/api/v1/join", "", "{}"), "bad_request");
        assert_eq!(code("POST", "/api/v1/join", "", "[1"), "bad_request");
        assert_eq!(code("POST", "/api/v1/init", "", "{\"nmae\": \"x\"}"), "bad_request");
        assert_eq!(code("POST", "/api/v1/invite", "", "{\"role\": \"king\"}"), "bad_request");
        assert_eq!(code("POST", "/api/v1/folders", "", "{\"name\": \"x\"}"), "bad_request");
        assert_eq!(code("GET", "/api/v1/files", "", ""), "bad_request");
        assert_eq!(code("GET", "/api/v1/files", "what=%f", ""), "bad_request");
        assert_eq!(code("GET", "/api/v1/files", "what=%ff", ""), "bad_request");
        assert_eq!(code("GET", "/api/v1/log", "follow=maybe", ""), "bad_request");
    }

    #[test]
    fn a_body_may_leave_out_what_has_a_default() {
        assert_eq!(route("POST", "/api/v1/backup", "", b""), Ok(Call::Backup { name: None, wait: false }));
        assert_eq!(
            route("POST", "/api/v1/invite", "", b"{}"),
            Ok(Call::Invite { role: Role::Full, wait: false })
        );
    }
}
