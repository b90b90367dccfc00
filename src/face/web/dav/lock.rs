//! LOCK and UNLOCK.

use hyper::body::Incoming;
use hyper::header::HeaderName;
use hyper::http::request::Parts;
use hyper::StatusCode;

use super::locks::{time_of, Lock};
use super::look::{bad_document, forbidden};
use super::props::active;
use super::xml::{read, Element};
use super::{plain, xml_answer, Place};
use crate::base::units::Time;
use crate::face::web::accounts::random;
use crate::face::web::content::put;
use crate::face::web::rights::Grant;
use crate::face::web::site::WebSite;
use crate::io::http::{read_body, Answer};
use crate::node::api::{ApiError, Call};

impl WebSite {
    /// LOCK: a new one, or one that is to hold for longer.
    pub(super) async fn dav_lock(
        &self,
        request: &Parts,
        body: Incoming,
        grant: &Grant,
        place: &Place,
    ) -> Result<Answer, ApiError> {
        if place.is_top() {
            return Ok(forbidden());
        }
        // Whoever cannot write has nothing to lock.
        grant.check(&Call::MakeDirectory { what: place.what.clone() })?;
        let body = read_body(body).await?;
        let header =
            |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let now = self.clock.time();
        let end = now + time_of(header("timeout"));
        if body.is_empty() {
            let refreshed = self.locks.borrow_mut().refresh(&place.what, header("if"), end, now);
            return Ok(refreshed.map_or_else(
                || plain(StatusCode::PRECONDITION_FAILED),
                |lock| told(StatusCode::OK, &lock, now),
            ));
        }
        let found = read(&body).filter(|found| found[0].is_dav("lockinfo")).ok_or_else(bad_document)?;
        let is_deep = match header("depth") {
            "0" => false,
            "" | "infinity" => true,
            _ => return Err(ApiError::new("bad_request", "Depth is 0 or infinity", "send one of these")),
        };
        let facts = self.dav_facts(grant, place).await?;
        let lock = Lock {
            token: token()?,
            what: place.what.clone(),
            is_deep,
            is_shared: found.iter().any(|one| one.depth == 2 && one.is_dav("shared")),
            owner: owner_of(&found),
            end,
        };
        if !self.locks.borrow_mut().add(lock.clone(), now) {
            return Err(ApiError::new("locked", "another program has locked it", "close it there, or wait"));
        }
        let status = if facts.is_some() { StatusCode::OK } else { StatusCode::CREATED };
        let mut answer = told(status, &lock, now);
        put(answer.headers_mut(), HeaderName::from_static("lock-token"), &format!("<{}>", lock.token));
        Ok(answer)
    }

    /// UNLOCK.
    pub(super) fn dav_unlock(
        &self,
        request: &Parts,
        grant: &Grant,
        place: &Place,
    ) -> Result<Answer, ApiError> {
        grant.check(&Call::MakeDirectory { what: place.what.clone() })?;
        let token =
            request.headers.get("lock-token").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = token.trim().trim_start_matches('<').trim_end_matches('>');
        if token.is_empty() {
            return Err(ApiError::new("bad_request", "Lock-Token is missing", "say which lock shall end"));
        }
        let is_removed = self.locks.borrow_mut().remove(&place.what, token, self.clock.time());
        Ok(plain(if is_removed { StatusCode::NO_CONTENT } else { StatusCode::CONFLICT }))
    }
}

/// A lock as an answer.
fn told(status: StatusCode, lock: &Lock, now: Time) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:prop xmlns:D=\"DAV:\"><D:lockdiscovery>{}</D:lockdiscovery></D:prop>\n",
        active(lock, now)
    );
    xml_answer(status, text)
}

/// What the client says of who it is: the text in `owner` and in what is in that.
fn owner_of(found: &[Element]) -> String {
    let Some(at) = found.iter().position(|one| one.depth == 1 && one.is_dav("owner")) else {
        return String::new();
    };
    let within = found[at + 1..].iter().take_while(|one| one.depth > 1);
    let text: String = std::iter::once(&found[at]).chain(within).map(|one| one.text.trim()).collect();
    text.chars().take(OWNER_CHARACTERS).collect()
}

/// A new token.
fn token() -> Result<String, ApiError> {
    let mut random: [u8; 16] = *random()?.first_chunk().unwrap_or(&[0; 16]);
    // RFC 9562, version 4.
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |at: std::ops::Range<usize>| digits.get(at).unwrap_or_default();
    Ok(format!("urn:uuid:{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)))
}

/// Characters of an owner that are kept.
const OWNER_CHARACTERS: usize = 200;
