//! Changing: files come, go, and get other places.

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::StatusCode;
use serde_json::Value;

use super::look::forbidden;
use super::{plain, Facts, Place};
use crate::face::web::content::{precondition, put};
use crate::face::web::rights::{folder_of, Grant};
use crate::face::web::site::WebSite;
use crate::io::calls::{Outward, Running};
use crate::io::http::{drain, feed, Answer};
use crate::node::api::{ApiError, Call, Piece, PutFile};

impl WebSite {
    /// Whether a place may be changed: by its conditions, and by the locks of others. `with_below`: all that is in it, too.
    pub(super) fn may_write(
        &self,
        request: &Parts,
        grant: &Grant,
        place: &Place,
        facts: Option<&Facts>,
        with_below: bool,
    ) -> Result<(), ApiError> {
        // Asked before anything is said of locks.
        grant.check(&Call::MakeDirectory { what: place.what.clone() })?;
        let condition = request.headers.get("if").map_or(Ok(""), |value| value.to_str()).unwrap_or("()");
        let (now, mut locks) = (self.clock.time(), self.locks.borrow_mut());
        let etag = facts.map(|facts| facts.etag.as_str());
        let is_so = super::locks::holds(condition, etag, |token| locks.has(token, &place.what, now));
        if !is_so {
            return Err(ApiError::new("precondition", "what If says is not so", "look at it again"));
        }
        if !locks.may_change(&place.what, with_below, condition, now) {
            return Err(ApiError::new("locked", "another program has locked it", "close it there, or wait"));
        }
        let is_refused = match facts {
            Some(facts) => precondition(&request.headers, facts, &request.method).is_some(),
            None => request.headers.contains_key("if-match"),
        };
        if is_refused {
            return Err(ApiError::new("precondition", "it has changed meanwhile", "look at it again"));
        }
        Ok(())
    }

    /// PUT.
    pub(super) async fn dav_put(
        &self,
        request: &Parts,
        mut body: Incoming,
        grant: &Grant,
        place: &Place,
    ) -> Result<Answer, ApiError> {
        let result = self.dav_store(request, &mut body, grant, place).await;
        if !matches!(&result, Ok(answer) if answer.status().is_success()) {
            drain(&mut body).await;
        }
        result
    }

    /// Takes what is sent.
    async fn dav_store(
        &self,
        request: &Parts,
        body: &mut Incoming,
        grant: &Grant,
        place: &Place,
    ) -> Result<Answer, ApiError> {
        if place.is_folder() {
            return Ok(plain(StatusCode::METHOD_NOT_ALLOWED));
        }
        if request.headers.contains_key("content-range") {
            return Err(ApiError::new("bad_request", "a part of a file cannot be put", "send all of it"));
        }
        let facts = self.dav_facts(grant, place).await?;
        if facts.as_ref().is_some_and(|facts| facts.kind == "directory") {
            return Ok(plain(StatusCode::METHOD_NOT_ALLOWED));
        }
        self.may_write(request, grant, place, facts.as_ref(), false)?;
        if !self.has_parent(grant, place).await? {
            return Ok(plain(StatusCode::CONFLICT));
        }
        // What other servers and rclone agreed upon for the time of a file.
        let seconds = request
            .headers
            .get("x-oc-mtime")
            .and_then(|value| value.to_str().ok()?.split('.').next()?.parse::<i64>().ok());
        let file =
            PutFile { mtime_ns: seconds.map(|seconds| seconds.saturating_mul(1_000_000_000)), mode: None };
        let mut running = self.begin(grant, Call::Put { what: place.what.clone(), file, wait: false })?;
        let first = feed(body, &mut running).await;
        let line = ended(&mut running, first).await?;
        let mut answer = made(&line);
        if seconds.is_some() {
            put(answer.headers_mut(), hyper::header::HeaderName::from_static("x-oc-mtime"), "accepted");
        }
        Ok(answer)
    }

    /// Whether what a place would be in is a directory.
    async fn has_parent(&self, grant: &Grant, place: &Place) -> Result<bool, ApiError> {
        let facts = self.dav_facts(grant, &place.parent()).await?;
        Ok(facts.is_some_and(|facts| facts.kind == "directory"))
    }

    /// DELETE.
    pub(super) async fn dav_delete(
        &self,
        request: &Parts,
        grant: &Grant,
        place: &Place,
    ) -> Result<Answer, ApiError> {
        if place.is_folder() {
            return Ok(forbidden());
        }
        let facts = self.facts(grant, &place.what).await?;
        self.may_write(request, grant, place, Some(&facts), true)?;
        self.finish(grant, Call::Delete { what: place.what.clone(), recursive: true }).await?;
        self.locks.borrow_mut().forget(&place.what);
        Ok(plain(StatusCode::NO_CONTENT))
    }

    /// MKCOL.
    pub(super) async fn dav_make(
        &self,
        request: &Parts,
        mut body: Incoming,
        grant: &Grant,
        place: &Place,
    ) -> Result<Answer, ApiError> {
        if place.is_folder() {
            return Ok(forbidden());
        }
        let has_body = !hyper::body::Body::is_end_stream(&body);
        if has_body {
            drain(&mut body).await;
            return Ok(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let facts = self.dav_facts(grant, place).await?;
        self.may_write(request, grant, place, facts.as_ref(), false)?;
        if facts.is_some() {
            return Ok(plain(StatusCode::METHOD_NOT_ALLOWED));
        }
        if !self.has_parent(grant, place).await? {
            return Ok(plain(StatusCode::CONFLICT));
        }
        self.finish(grant, Call::MakeDirectory { what: place.what.clone() }).await?;
        Ok(plain(StatusCode::CREATED))
    }

    /// COPY and MOVE.
    pub(super) async fn dav_move(
        &self,
        request: &Parts,
        grant: &Grant,
        from: &Place,
    ) -> Result<Answer, ApiError> {
        let is_copy = request.method.as_str() == "COPY";
        let Some(to) = destination(request)? else { return Ok(plain(StatusCode::BAD_GATEWAY)) };
        if from.is_folder() || to.is_folder() || *from == to {
            return Ok(forbidden());
        }
        let header = |name: &str| request.headers.get(name).map(|value| value.as_bytes());
        let overwrite = header("overwrite") != Some(b"F");
        let facts = self.facts(grant, &from.what).await?;
        if !is_copy {
            self.may_write(request, grant, from, Some(&facts), true)?;
        }
        let there = self.dav_facts(grant, &to).await?;
        grant.check(&Call::MakeDirectory { what: to.what.clone() })?;
        let condition = request.headers.get("if").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !self.locks.borrow_mut().may_change(&to.what, true, condition, self.clock.time()) {
            return Err(ApiError::new("locked", "another program has locked it", "close it there, or wait"));
        }
        if there.is_some() && !overwrite {
            return Ok(plain(StatusCode::PRECONDITION_FAILED));
        }
        if !self.has_parent(grant, &to).await? {
            return Ok(plain(StatusCode::CONFLICT));
        }
        let is_flat = is_copy && facts.kind == "directory" && header("depth") == Some(b"0");
        if is_flat {
            if there.is_some() {
                self.finish(grant, Call::Delete { what: to.what.clone(), recursive: true }).await?;
            }
            self.finish(grant, Call::MakeDirectory { what: to.what.clone() }).await?;
        } else if folder_of(&from.what) == folder_of(&to.what) {
            let (from, to) = (from.what.clone(), to.what.clone());
            self.finish(grant, Call::Move { from, to, copy: is_copy, overwrite }).await?;
        } else if facts.kind == "file" {
            self.take_over(grant, &from.what, &to.what).await?;
            if !is_copy {
                self.finish(grant, Call::Delete { what: from.what.clone(), recursive: false }).await?;
            }
        } else {
            // Clients then do it file by file.
            return Ok(plain(StatusCode::BAD_GATEWAY));
        }
        let mut locks = self.locks.borrow_mut();
        if !is_copy {
            locks.forget(&from.what);
        }
        Ok(plain(if there.is_some() { StatusCode::NO_CONTENT } else { StatusCode::CREATED }))
    }

    /// Does something to its end; what the core says of it.
    pub(in crate::face::web) async fn finish(&self, grant: &Grant, call: Call) -> Result<Value, ApiError> {
        let mut running = self.begin(grant, call)?;
        let first = running.next().await;
        ended(&mut running, first).await
    }
}

/// The end of an edit: the line that says what became of it.
pub(in crate::face::web) async fn ended(running: &mut Running, first: Outward) -> Result<Value, ApiError> {
    let (mut outward, mut line) = (first, Value::Null);
    loop {
        match outward {
            Outward::Piece(piece) => {
                running.taken();
                if let Piece::Json(told) = piece {
                    if told["result"].is_string() {
                        line = told;
                    }
                }
            }
            Outward::Done(result) => return result.map(|_| line),
            Outward::More => {
                return Err(ApiError::new(
                    "internal",
                    "more is asked for than there is",
                    "report this as a bug",
                ));
            }
        }
        outward = running.next().await;
    }
}

/// The answer to something that was put.
fn made(line: &Value) -> Answer {
    plain(if line["result"] == "created" { StatusCode::CREATED } else { StatusCode::NO_CONTENT })
}

/// Where something is to go; None: to another server.
fn destination(request: &Parts) -> Result<Option<Place>, ApiError> {
    let missing = || ApiError::new("bad_request", "Destination is missing, or no address", "say where to");
    let value =
        request.headers.get("destination").and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
    let uri: hyper::Uri = value.parse().map_err(|_| missing())?;
    let host = request.headers.get("host").and_then(|value| value.to_str().ok());
    if uri.authority().is_some_and(|authority| Some(authority.as_str()) != host) || !super::is_dav(uri.path())
    {
        return Ok(None);
    }
    Place::parse(uri.path()).map(Some)
}
