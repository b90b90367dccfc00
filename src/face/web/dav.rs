//! WebDAV (RFC 4918, classes 1 and 2) under `/dav/FOLDER/`: shared folders as file managers of every system open them, and backup
//! folders to look at.
//!
//! A resource is what stands in the newest snapshot; what is written is an edit as of `put` and `rm`, and answered when it is durable
//! here. Nothing is kept of properties that clients make up; locks are in `dav/locks.rs`.
//!
//! | file | what it answers |
//! |---|---|
//! | `dav/look.rs` | OPTIONS, PROPFIND, PROPPATCH |
//! | `dav/change.rs` | PUT, DELETE, MKCOL, COPY, MOVE |
//! | `dav/lock.rs` | LOCK, UNLOCK |

use hyper::body::Incoming;
use hyper::header::{HeaderMap, ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};

use super::content::{put, with, Facts};
use super::rights::Grant;
use super::site::WebSite;
use crate::base::limits::PATH_TEXT_BYTES_MAX;
use crate::face::routes::unescape;
use crate::io::http::{refusal, Answer, AnswerBody};
use crate::node::api::ApiError;
use crate::node::names::check_folder_name;

mod change;
mod lock;
mod locks;
mod look;
mod props;
mod xml;

pub(super) use self::change::ended;
pub(super) use self::locks::Locks;
pub use self::xml::check_xml_bytes;

/// What stands before every path.
const PREFIX: &str = "/dav";

/// Methods that there are.
const METHODS: &str = "OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, COPY, MOVE, PROPFIND, PROPPATCH, LOCK, UNLOCK";

/// Whether a request is one of WebDAV.
pub(super) fn is_dav(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A place below `/dav/`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// `NAME:PATH`; only the name for a folder itself; nothing for the list of folders.
    what: String,
}

impl Place {
    /// Reads the path of an address.
    fn parse(path: &str) -> Result<Self, ApiError> {
        let path = unescape(path.strip_prefix(PREFIX).unwrap_or_default())?;
        let path = path.trim_matches('/');
        if path.len() > PATH_TEXT_BYTES_MAX || path.contains('\0') {
            return Err(ApiError::new("bad_path", "no path can look like this", "choose a shorter name"));
        }
        let (folder, rest) = path.split_once('/').unwrap_or((path, ""));
        if path.is_empty() {
            return Ok(Self { what: String::new() });
        }
        check_folder_name(folder)?;
        if rest.split('/').any(|name| matches!(name, "." | "..")) {
            return Err(ApiError::new("bad_path", "the path has . or .. in it", "write it without them"));
        }
        let what = if rest.is_empty() { folder.to_owned() } else { format!("{folder}:{rest}") };
        Ok(Self { what })
    }

    /// It is the list of folders.
    fn is_top(&self) -> bool {
        self.what.is_empty()
    }

    /// It is a folder itself, or all of them.
    fn is_folder(&self) -> bool {
        !self.what.contains(':')
    }

    /// What it is in.
    fn parent(&self) -> Self {
        let what = match (self.what.rsplit_once('/'), self.what.split_once(':')) {
            (Some((parent, _)), Some(_)) => parent,
            (None, Some((folder, _))) => folder,
            _ => "",
        };
        Self { what: what.to_owned() }
    }
}

/// The path of an address for `NAME:PATH`; that of a directory ends with a slash.
fn href_of(what: &str, is_directory: bool) -> String {
    let mut href = format!("{PREFIX}/");
    for byte in what.replacen(':', "/", 1).bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            href.push(char::from(byte));
        } else {
            href.push_str(&format!("%{byte:02X}"));
        }
    }
    if is_directory && !href.ends_with('/') {
        href.push('/');
    }
    href
}

impl WebSite {
    /// Answers a request of WebDAV.
    pub(super) async fn dav(&self, request: Request<Incoming>, grant: &Grant) -> Result<Answer, ApiError> {
        let (request, body) = request.into_parts();
        let place = match Place::parse(request.uri.path()) {
            Ok(place) => place,
            // A name that no folder can have is that of none.
            Err(error) if error.code == "bad_name" => return Ok(plain(StatusCode::NOT_FOUND)),
            Err(error) => return Err(error),
        };
        let result = match request.method.as_str() {
            "OPTIONS" => Ok(options()),
            "GET" | "HEAD" => self.dav_get(&request, grant, &place).await,
            "PROPFIND" => self.dav_propfind(&request, body, grant, &place).await,
            "PROPPATCH" => self.dav_proppatch(&request, body, grant, &place).await,
            "PUT" => self.dav_put(&request, body, grant, &place).await,
            "DELETE" => self.dav_delete(&request, grant, &place).await,
            "MKCOL" => self.dav_make(&request, body, grant, &place).await,
            "COPY" | "MOVE" => self.dav_move(&request, grant, &place).await,
            "LOCK" => self.dav_lock(&request, body, grant, &place).await,
            "UNLOCK" => self.dav_unlock(&request, grant, &place),
            _ => {
                let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED);
                put(answer.headers_mut(), ALLOW, METHODS);
                Ok(answer)
            }
        };
        Ok(result.unwrap_or_else(|error| refused(&error)))
    }

    /// A file; of a directory only that it is one.
    async fn dav_get(&self, request: &Parts, grant: &Grant, place: &Place) -> Result<Answer, ApiError> {
        let is_file = !place.is_folder() && self.facts(grant, &place.what).await?.kind == "file";
        if is_file {
            return self.file(request, grant, &place.what, false).await;
        }
        if !place.is_top() {
            self.facts(grant, &place.what).await?;
        }
        let mut headers = HeaderMap::new();
        put(&mut headers, CONTENT_TYPE, "text/plain; charset=utf-8");
        let text =
            "This is a directory. Open the address with a file manager, as a network drive (WebDAV).\n";
        Ok(with(StatusCode::OK, headers, AnswerBody::whole(text)))
    }

    /// What stands somewhere; None: nothing does.
    async fn dav_facts(&self, grant: &Grant, place: &Place) -> Result<Option<Facts>, ApiError> {
        match self.facts(grant, &place.what).await {
            Ok(facts) => Ok(Some(facts)),
            Err(error) if error.code == "not_found" => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What can be done here.
fn options() -> Answer {
    let mut answer = plain(StatusCode::OK);
    let headers = answer.headers_mut();
    put(headers, ALLOW, METHODS);
    put(headers, hyper::header::HeaderName::from_static("dav"), "1, 2");
    put(headers, hyper::header::HeaderName::from_static("ms-author-via"), "DAV");
    answer
}

/// An answer without a body.
fn plain(status: StatusCode) -> Answer {
    with(status, HeaderMap::new(), AnswerBody::empty())
}

/// An answer of XML.
fn xml_answer(status: StatusCode, text: String) -> Answer {
    let mut headers = HeaderMap::new();
    put(&mut headers, CONTENT_TYPE, "application/xml; charset=utf-8");
    with(status, headers, AnswerBody::whole(text))
}

/// An error, with the status that clients of WebDAV expect.
fn refused(error: &ApiError) -> Answer {
    let mut answer = refusal(error);
    let status = match error.code.as_str() {
        "not_shared" | "bad_snapshot" => StatusCode::FORBIDDEN,
        "exists" => StatusCode::METHOD_NOT_ALLOWED,
        "bad_path" => StatusCode::CONFLICT,
        _ => return answer,
    };
    *answer.status_mut() = status;
    answer
}

/// Asks who it is, in the only way that file managers know.
pub(super) fn ask_for_token(headers: &mut HeaderMap) {
    put(headers, WWW_AUTHENTICATE, "Basic realm=\"nuthatch: a token as the password\", charset=\"UTF-8\"");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_places_and_back() {
        let what = |path: &str| Place::parse(path).map(|place| place.what).map_err(|error| error.code);
        assert_eq!(what("/dav"), Ok(String::new()));
        assert_eq!(what("/dav/family/"), Ok("family".into()));
        assert_eq!(what("/dav/family/a%20b/c%3A%40d/"), Ok("family:a b/c:@d".into()));
        assert_eq!(what("/dav/family/%C3%BC"), Ok("family:\u{fc}".into()));
        for bad in [
            "/dav/family/%ff",
            "/dav/family/%2e%2e/x",
            "/dav/family/../x",
            "/dav/family/a/./b",
            "/dav/family/%00",
            "/dav/fam%3Aily/x",
            "/dav/a%40b",
        ] {
            assert!(what(bad).is_err(), "{bad}");
        }
        let long = format!("/dav/family/{}", "x".repeat(20_000));
        assert_eq!(what(&long), Err("bad_path".into()));
        assert_eq!(href_of("family:a b/\u{fc}:c", true), "/dav/family/a%20b/%C3%BC%3Ac/");
        assert_eq!(href_of("", true), "/dav/");
        let parent = |what: &str| Place { what: what.into() }.parent().what;
        assert_eq!(
            (parent("f:a/b").as_str(), parent("f:a").as_str(), parent("f").as_str()),
            ("f:a", "f", "")
        );
    }

    #[test]
    fn only_what_is_below_dav_is_webdav() {
        assert!(is_dav("/dav") && is_dav("/dav/") && is_dav("/dav/x") && !is_dav("/davx") && !is_dav("/"));
    }
}
