//! Looking: what there is, and of what kind it is.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{ready, Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{HeaderMap, CONTENT_TYPE};
use hyper::http::request::Parts;
use hyper::StatusCode;
use rustix::fs::statvfs;
use serde_json::Value;

use super::props::{asked, nothing, propstat, response, Asked, Resource, Surroundings, HEAD, TAIL};
use super::xml::{escaped, read};
use super::{href_of, plain, xml_answer, Facts, Place};
use crate::face::web::content::{put, with};
use crate::face::web::rights::{folder_of, Grant};
use crate::face::web::site::WebSite;
use crate::io::calls::{Outward, Running};
use crate::io::http::{read_body, Answer, AnswerBody};
use crate::io::os::Clock;
use crate::node::api::{ApiError, Call, Piece};

impl WebSite {
    /// PROPFIND.
    pub(super) async fn dav_propfind(
        &self,
        request: &Parts,
        body: Incoming,
        grant: &Grant,
        place: &Place,
    ) -> Result<Answer, ApiError> {
        let body = read_body(body).await?;
        let found = if body.is_empty() { Some(Asked::All) } else { read(&body).as_deref().and_then(asked) };
        let Some(asked) = found else { return Err(bad_document()) };
        let is_deep = match request.headers.get("depth").map(|depth| depth.as_bytes()) {
            Some(b"0") => false,
            Some(b"1") => true,
            _ => return Ok(too_deep()),
        };
        let has_quota = asked.names("quota-available-bytes") || asked.names("quota-used-bytes");
        let around = Surroundings { asked, quota: if has_quota { self.quota() } else { None } };
        if place.is_top() {
            return self.dav_folders(grant, &around, is_deep).await;
        }
        let facts = self.facts(grant, &place.what).await?;
        let first = self.told(&resource_of(place, &facts), &place.what, &around);
        if !is_deep || facts.kind != "directory" {
            return Ok(xml_answer(StatusCode::MULTI_STATUS, format!("{HEAD}{first}{TAIL}")));
        }
        let call = Call::List { what: facts.pinned(&place.what), recursive: false };
        let running = self.begin(grant, call)?;
        let folder = folder_of(&place.what).to_owned();
        let body = Listing {
            running,
            folder,
            around,
            locks: Rc::clone(&self.locks),
            clock: self.clock,
            ready: VecDeque::from([format!("{HEAD}{first}")]),
            is_over: false,
        };
        let mut headers = HeaderMap::new();
        put(&mut headers, CONTENT_TYPE, "application/xml; charset=utf-8");
        Ok(with(StatusCode::MULTI_STATUS, headers, AnswerBody::new(body)))
    }

    /// The list of folders.
    async fn dav_folders(
        &self,
        grant: &Grant,
        around: &Surroundings,
        is_deep: bool,
    ) -> Result<Answer, ApiError> {
        let top = Resource {
            href: href_of("", true),
            name: "nuthatch".to_owned(),
            is_directory: true,
            size: 0,
            mtime_ns: None,
            etag: String::new(),
        };
        let mut text = format!("{HEAD}{}", self.told(&top, "", around));
        if is_deep {
            let list = self.ask(Call::FolderList).await?;
            let names = list.as_array().into_iter().flatten().filter_map(|folder| folder["name"].as_str());
            let mut names: Vec<&str> = names.filter(|name| grant.check_folder(name).is_ok()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let folder = Resource { href: href_of(name, true), name: name.to_owned(), ..top.clone() };
                text.push_str(&self.told(&folder, name, around));
            }
        }
        text.push_str(TAIL);
        Ok(xml_answer(StatusCode::MULTI_STATUS, text))
    }

    /// A resource as a part of a multistatus.
    fn told(&self, resource: &Resource, what: &str, around: &Surroundings) -> String {
        let now = self.clock.time();
        response(resource, around, &self.locks.borrow_mut().on(what, false, now), now)
    }

    /// Free and used bytes of the disk of the data home.
    fn quota(&self) -> Option<(u64, u64)> {
        let space = statvfs(&self.home).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
        Some((bytes(space.f_bavail), bytes(space.f_blocks.saturating_sub(space.f_bfree))))
    }

    /// PROPPATCH: what Windows says of its own attributes is taken note of and forgotten, for it does not write a file otherwise; all
    /// else cannot be set.
    pub(super) async fn dav_proppatch(
        &self,
        request: &Parts,
        body: Incoming,
        grant: &Grant,
        place: &Place,
    ) -> Result<Answer, ApiError> {
        let body = read_body(body).await?;
        let found = read(&body).filter(|found| found[0].is_dav("propertyupdate")).ok_or_else(bad_document)?;
        let facts = self.facts(grant, &place.what).await?;
        self.may_write(request, grant, place, Some(&facts), false)?;
        let names = found.iter().filter(|one| one.depth == 3);
        let (ours, others): (Vec<_>, Vec<_>) =
            names.partition(|one| one.space.starts_with("urn:schemas-microsoft-com:"));
        let all = |list: &[&super::xml::Element]| {
            list.iter().map(|one| nothing(&one.space, &one.name)).collect::<String>()
        };
        let first = if others.is_empty() { "200 OK" } else { "424 Failed Dependency" };
        let text = format!(
            "{HEAD}<D:response><D:href>{}</D:href>{}{}</D:response>{TAIL}",
            escaped(&href_of(&place.what, facts.kind == "directory")),
            propstat(&all(&ours), first),
            propstat(&all(&others), "403 Forbidden")
        );
        Ok(xml_answer(StatusCode::MULTI_STATUS, text))
    }
}

/// A directory as it is listed.
struct Listing {
    /// The list.
    running: Running,
    /// The folder.
    folder: String,
    /// What is asked for.
    around: Surroundings,
    /// All locks.
    locks: Rc<std::cell::RefCell<super::Locks>>,
    /// The time.
    clock: Clock,
    /// What leaves next.
    ready: VecDeque<String>,
    /// All was told.
    is_over: bool,
}

impl Body for Listing {
    type Data = Bytes;
    type Error = ApiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ApiError>>> {
        loop {
            if let Some(text) = self.ready.pop_front() {
                // As in io/http.rs: nobody might ask again.
                context.waker().wake_by_ref();
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from(text)))));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            match ready!(self.running.poll_next(context)) {
                Outward::Piece(Piece::Json(line)) => {
                    self.running.taken();
                    if let Some(text) = self.line(&line) {
                        self.ready.push_back(text);
                    }
                }
                Outward::Done(Ok(_)) => {
                    self.is_over = true;
                    self.ready.push_back(TAIL.to_owned());
                }
                Outward::Done(Err(error)) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(error)));
                }
                _ => {}
            }
        }
    }
}

impl Listing {
    /// A line of the list as a part of the answer; what has no address, or is no file or directory, is left out.
    fn line(&self, line: &Value) -> Option<String> {
        let path = line["path"].as_str().filter(|_| line.get("path_base64").is_none())?;
        let kind = line["kind"].as_str().filter(|kind| *kind != "symlink")?;
        let what = format!("{}:{path}", self.folder);
        let is_directory = kind == "directory";
        let resource = Resource {
            href: href_of(&what, is_directory),
            name: path.rsplit('/').next().unwrap_or(path).to_owned(),
            is_directory,
            size: line["size_bytes"].as_u64().unwrap_or(0),
            mtime_ns: line["mtime_ns"].as_i64(),
            etag: format!("\"{}\"", line["etag"].as_str().unwrap_or_default()),
        };
        let now = self.clock.time();
        Some(response(&resource, &self.around, &self.locks.borrow_mut().on(&what, false, now), now))
    }
}

/// What is known of a place, as a resource.
fn resource_of(place: &Place, facts: &Facts) -> Resource {
    let is_directory = facts.kind == "directory";
    Resource {
        href: href_of(&place.what, is_directory),
        name: place.what.rsplit(['/', ':']).next().unwrap_or_default().to_owned(),
        is_directory,
        size: facts.size,
        mtime_ns: facts.mtime_ns,
        etag: facts.etag.clone(),
    }
}

/// The answer to who wants all of a folder at once (RFC 4918, section 9.1).
fn too_deep() -> Answer {
    let text = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:error xmlns:D=\"DAV:\"><D:propfind-finite-depth/></D:error>\n";
    xml_answer(StatusCode::FORBIDDEN, text.to_owned())
}

/// The error for a body that is not what it should be.
pub(super) fn bad_document() -> ApiError {
    ApiError::new("bad_request", "the body is no such XML as WebDAV has", "send what RFC 4918 says")
}

/// An answer to what is not allowed, in one place.
pub(super) fn forbidden() -> Answer {
    plain(StatusCode::FORBIDDEN)
}
