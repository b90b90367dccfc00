//! The routes of older systems, which scripts still use, on the shared folder `storage`; with a token.
//!
//! | route | what it does |
//! |---|---|
//! | `GET /files`, `GET /api/files` | the files of the folder: `{"files":[{"name","size","modified"}]}` |
//! | `GET /download?filename=NAME`, `GET /api/download/NAME` | a file |
//! | `POST /upload`, `POST /api/upload` | files, as `multipart/form-data` |
//! | `POST /delete` (`filename` as JSON or a form), `POST` or `DELETE /api/delete/NAME` | removes a file |
//! | `POST /api/sync` | backs everything up and reaches for all nodes |
//! | `GET /api/stats`, `GET /api/nodes` | figures of the folder; the members |

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use hyper::Request;
use serde_json::{json, Value};

use super::account::told;
use super::content::wanted;
use super::dav::ended;
use super::rights::Grant;
use super::site::WebSite;
use crate::base::limits::{CLASSIC_FILES_MAX, PATH_TEXT_BYTES_MAX};
use crate::face::routes::{query_value, unescape};
use crate::io::calls::{Outward, Running};
use crate::io::http::{drain, next_piece, read_body, Answer};
use crate::node::api::{ApiError, Call, Piece, PutFile};

mod multipart;

pub use self::multipart::check_multipart_bytes;
use self::multipart::{Found, Multipart};

/// The folder.
const FOLDER: &str = "storage";

/// Whether a path is one of these.
pub(super) fn is_classic(path: &str) -> bool {
    let rest = path.strip_prefix("/api").unwrap_or(path);
    let is_api = rest.len() < path.len();
    match rest {
        "/files" | "/upload" => true,
        "/download" | "/delete" => !is_api,
        "/sync" | "/stats" | "/nodes" => is_api,
        _ => is_api && (rest.starts_with("/download/") || rest.starts_with("/delete/")),
    }
}

impl WebSite {
    /// Answers one of these.
    pub(super) async fn classic(
        &self,
        request: Request<Incoming>,
        grant: &Grant,
    ) -> Result<Answer, ApiError> {
        let (request, mut body) = request.into_parts();
        let path = request.uri.path();
        let path = path.strip_prefix("/api").unwrap_or(path);
        let (name, argument) = match path[1..].split_once('/') {
            Some((name, argument)) => (name, Some(unescape(argument)?)),
            None => (&path[1..], None),
        };
        match (request.method.as_str(), name, argument) {
            ("GET", "files", None) => self.classic_files(grant).await,
            ("GET" | "HEAD", "download", argument) => {
                let name = argument.map_or_else(|| wanted(request.uri.query(), "filename"), Ok)?;
                self.file(&request, grant, &what_of(&name)?, true).await
            }
            ("POST", "upload", None) => {
                let result = self.classic_upload(&request, &mut body, grant).await;
                if result.is_err() {
                    drain(&mut body).await;
                }
                result
            }
            ("POST", "delete", None) => {
                let name = name_in(&read_body(body).await?)?;
                self.classic_delete(grant, &name).await
            }
            ("POST" | "DELETE", "delete", Some(name)) => self.classic_delete(grant, &name).await,
            ("POST", "sync", None) => {
                self.finish(grant, Call::Sync { wait: false }).await?;
                Ok(told(&json!({"success": true})))
            }
            ("GET", "stats", None) => self.classic_stats(grant).await,
            ("GET", "nodes", None) => {
                grant.check(&Call::Nodes)?;
                Ok(told(&json!({"nodes": self.ask(Call::Nodes).await?})))
            }
            (method, ..) => {
                let message = format!("{} does not take {method}", request.uri.path());
                Err(ApiError::new("method_not_allowed", message, "reading is GET, doing is POST"))
            }
        }
    }

    /// The files of the folder, as far as such a list goes.
    async fn classic_list(&self, grant: &Grant) -> Result<(Vec<Value>, bool), ApiError> {
        let call = Call::List { what: FOLDER.to_owned(), recursive: true };
        let mut running = self.begin(grant, call)?;
        let mut files = Vec::new();
        loop {
            match running.next().await {
                Outward::Piece(Piece::Json(line)) => {
                    running.taken();
                    if line["kind"] != "file" || line.get("path_base64").is_some() {
                        continue;
                    }
                    if files.len() >= CLASSIC_FILES_MAX {
                        return Ok((files, true));
                    }
                    files.push(
                        json!({"name": line["path"], "size": line["size_bytes"], "modified": line["mtime"]}),
                    );
                }
                Outward::Done(Ok(_)) => return Ok((files, false)),
                Outward::Done(Err(error)) => return Err(error),
                _ => {}
            }
        }
    }

    /// The list as an answer.
    async fn classic_files(&self, grant: &Grant) -> Result<Answer, ApiError> {
        let (files, is_cut) = self.classic_list(grant).await?;
        Ok(told(&json!({"files": files, "cut": is_cut})))
    }

    /// Figures.
    async fn classic_stats(&self, grant: &Grant) -> Result<Answer, ApiError> {
        let (files, is_cut) = self.classic_list(grant).await?;
        let bytes: u64 = files.iter().filter_map(|file| file["size"].as_u64()).sum();
        Ok(told(&json!({"files": files.len(), "bytes": bytes, "cut": is_cut})))
    }

    /// Removes a file.
    async fn classic_delete(&self, grant: &Grant, name: &str) -> Result<Answer, ApiError> {
        self.finish(grant, Call::Delete { what: what_of(name)?, recursive: false }).await?;
        Ok(told(&json!({"success": true, "filename": name})))
    }

    /// Takes files.
    async fn classic_upload(
        &self,
        request: &Parts,
        body: &mut Incoming,
        grant: &Grant,
    ) -> Result<Answer, ApiError> {
        let malformed = || {
            let message = "the body is no form with files (multipart/form-data)";
            ApiError::new("bad_request", message, "send it as `curl -F file=@NAME` does")
        };
        let media =
            request.headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
        let mut parts = Multipart::new(media).ok_or_else(malformed)?;
        let (mut current, mut stored) = (None::<(String, Running, u64)>, Vec::new());
        loop {
            match parts.next().map_err(|_| malformed())? {
                None => match next_piece(body).await? {
                    Some(bytes) => parts.push(&bytes),
                    None => return Err(malformed()),
                },
                Some(Found::Part(Some(name))) => {
                    let file = PutFile { mtime_ns: None, mode: None };
                    let call = Call::Put { what: what_of(&name)?, file, wait: false };
                    current = Some((name, self.begin(grant, call)?, 0));
                }
                Some(Found::Part(None)) => current = None,
                Some(Found::Data(data)) => {
                    if let Some((_, running, length)) = &mut current {
                        *length += u64::try_from(data.len()).unwrap_or(0);
                        room(running).await?;
                        running.give(data, false);
                    }
                }
                Some(Found::PartEnd) => {
                    if let Some((name, mut running, length)) = current.take() {
                        room(&mut running).await?;
                        running.give(Vec::new(), true);
                        let first = running.next().await;
                        ended(&mut running, first).await?;
                        stored.push(json!({"filename": name, "size": length}));
                    }
                }
                Some(Found::End) if stored.is_empty() => return Err(malformed()),
                Some(Found::End) => return Ok(told(&json!({"success": true, "files": stored}))),
            }
        }
    }
}

/// Until the core takes another piece of what is sent.
async fn room(running: &mut Running) -> Result<(), ApiError> {
    loop {
        match running.next().await {
            Outward::More => return Ok(()),
            Outward::Piece(_) => running.taken(),
            Outward::Done(Err(error)) => return Err(error),
            Outward::Done(Ok(_)) => {
                return Err(ApiError::new(
                    "internal",
                    "an upload ended before its end",
                    "report this as a bug",
                ));
            }
        }
    }
}

/// The file of a name. Browsers of Windows sent whole paths once; what is in a directory is named with slashes.
fn what_of(name: &str) -> Result<String, ApiError> {
    let is_path = !name.is_empty()
        && name.len() <= PATH_TEXT_BYTES_MAX
        && !name.contains(['\0', '\\'])
        && !name.split('/').any(|part| matches!(part, "" | "." | ".."));
    if is_path {
        return Ok(format!("{FOLDER}:{name}"));
    }
    Err(ApiError::new(
        "bad_path",
        "this is no name of a file",
        "name it without . or .., and relative to the folder",
    ))
}

/// The `filename` in the body of a `delete`.
fn name_in(body: &[u8]) -> Result<String, ApiError> {
    let found = match serde_json::from_slice::<Value>(body) {
        Ok(value) => value["filename"].as_str().map(str::to_owned),
        Err(_) => query_value(std::str::from_utf8(body).ok(), "filename")?.map(|name| name.replace('+', " ")),
    };
    found.ok_or_else(|| {
        ApiError::new("bad_request", "the body has no filename", "send {\"filename\":\"NAME\"}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_old_routes_are_classic() {
        for path in [
            "/files",
            "/download",
            "/upload",
            "/delete",
            "/api/files",
            "/api/upload",
            "/api/download/a",
            "/api/delete/a",
            "/api/sync",
            "/api/stats",
            "/api/nodes",
        ] {
            assert!(is_classic(path), "{path}");
        }
        for path in
            ["/", "/files/x", "/api/v1/files", "/api/delete", "/stats", "/nodes", "/download/a", "/api"]
        {
            assert!(!is_classic(path), "{path}");
        }
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        assert_eq!(what_of("a/b c"), Ok("storage:a/b c".into()));
        for bad in
            ["", "/etc/passwd", "../x", "a/../b", "a//b", "a\\b", "a\0", "./a", "a/", &"x".repeat(10_000)]
        {
            assert_eq!(what_of(bad).unwrap_err().code, "bad_path", "{bad}");
        }
        assert_eq!(name_in(b"{\"filename\":\"a b\"}"), Ok("a b".into()));
        assert_eq!(name_in(b"filename=a+b%2Fc"), Ok("a b/c".into()));
        assert!(name_in(b"{}").is_err() && name_in(b"\xff").is_err());
    }
}
