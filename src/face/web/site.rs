//! Each request, from its head to what answers it.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::{Rc, Weak};

use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, CACHE_CONTROL, RETRY_AFTER};
use hyper::{Method, Request, StatusCode};
use serde_json::Value;
use smol::LocalExecutor;

use super::account::{told, unauthorised};
use super::accounts::Accounts;
use super::events::Live;
use super::gate::{check_sign, to_https, Gate};
use super::rights::Grant;
use super::uploads::Uploads;
use super::{assets, classic, dav, filed, places, plain};
use crate::face::routes::{query_value, unescape, unroutable, Routes, PREFIX};
use crate::io::calls::{Calls, Outward, Running};
use crate::io::http::{answer_call, refusal, Answer, Answering, Asked, From, Handler, Route, Site};
use crate::io::os::Clock;
use crate::io::run::SiteParts;
use crate::node::api::{ApiError, Call, Piece};

/// What answers requests.
#[derive(Debug)]
pub struct WebSite {
    /// The core's API.
    pub(super) calls: Calls,
    /// The data home.
    pub(super) home: PathBuf,
    /// By which names we may be called.
    gate: Gate,
    /// Who may come.
    pub(super) accounts: Accounts,
    /// Files that come in parts.
    pub(super) uploads: Uploads,
    /// Locks of WebDAV.
    pub(super) locks: Rc<RefCell<dav::Locks>>,
    /// The time.
    pub(super) clock: Clock,
    /// Shared by the restores that run.
    pub(super) restores: Rc<()>,
    /// Where what goes on without a request is done.
    pub(super) executor: Weak<LocalExecutor<'static>>,
    /// What live events share.
    pub(super) live: Rc<Live>,
}

/// Makes what answers the control socket and the web's port.
///
/// # Errors
/// When it cannot be known who may log in.
pub fn make_site(parts: SiteParts) -> Result<Rc<dyn Site>, ApiError> {
    Ok(Rc::new(WebSite::new(parts)?))
}

impl WebSite {
    /// As [`make_site`].
    pub(super) fn new(parts: SiteParts) -> Result<Self, ApiError> {
        let port = parts.web.map_or(0, |address| address.port());
        let clock = parts.clock;
        let accounts = Accounts::open(parts.home.clone(), parts.clock, port, parts.is_encrypted)?;
        if let (Some(address), true) = (parts.web, accounts.is_fresh()) {
            log::info!(
                "nobody has set a password for the web page on port {} yet; from outside of the local network, or once this node is in a vault, that needs the code {}",
                address.port(),
                accounts.code()
            );
        }
        let gate = Gate { hosts: parts.hosts };
        Ok(Self {
            calls: parts.calls,
            home: parts.home,
            gate,
            accounts,
            uploads: Uploads::default(),
            locks: Rc::default(),
            clock,
            restores: Rc::new(()),
            live: Rc::default(),
            executor: parts.executor,
        })
    }
}

impl Site for WebSite {
    fn answer(&self, request: Request<Incoming>, from: From) -> Answering<'_> {
        Box::pin(async move {
            let is_dav = dav::is_dav(request.uri().path());
            let mut answer = match self.dispatch(request, from).await {
                Ok(answer) => answer,
                Err(error) => refused(&error),
            };
            if is_dav && answer.status() == StatusCode::UNAUTHORIZED {
                dav::ask_for_token(answer.headers_mut());
            }
            if from != From::Control {
                harden(answer.headers_mut());
            }
            answer
        })
    }

    fn answer_plain(&self, request: Request<Incoming>, from: From) -> Answering<'_> {
        Box::pin(async move {
            // What looks after many machines asks for this without knowing their certificates.
            if request.uri().path() == "/health" {
                return self.answer(request, from).await;
            }
            let checked = self.gate.check_host(request.headers());
            let mut answer = match checked.and_then(|()| to_https(request.headers(), request.uri())) {
                Ok(answer) => answer,
                Err(error) => refused(&error),
            };
            harden(answer.headers_mut());
            answer
        })
    }
}

/// Routes, for somebody who may not ask everything.
struct Guarded<'a>(&'a Grant);

impl Handler for Guarded<'_> {
    fn route(&self, asked: &Asked<'_>) -> Result<Route, ApiError> {
        let route = Routes.route(asked)?;
        self.0.check(&route.call)?;
        Ok(route)
    }

    fn is_stream(&self, method: &str, path: &str) -> bool {
        Routes.is_stream(method, path)
    }
}

impl WebSite {
    /// What a request is, and whether it may be.
    async fn dispatch(&self, request: Request<Incoming>, from: From) -> Result<Answer, ApiError> {
        let path = request.uri().path().to_owned();
        if from != From::Control {
            self.gate.check_host(request.headers())?;
        }
        let is_reading = matches!(*request.method(), Method::GET | Method::HEAD);
        if is_reading {
            if let Some(answer) = assets::asset(&path, request.headers()) {
                return Ok(answer);
            }
        }
        let is_by_cookie = from != From::Control && self.accounts.is_by_cookie(request.headers());
        if is_by_cookie && dav::is_dav(&path) {
            // File managers send no token before they are asked for it, and never a cookie.
            return Err(unauthorised());
        }
        if is_by_cookie {
            check_sign(request.method(), request.headers())?;
        }
        if path == "/health" && is_reading {
            return Ok(self.health().await);
        }
        let grant = self.accounts.grant(request.headers(), from)?;
        if path == "/plain" {
            return match &grant {
                Some(grant) => Ok(plain::page(&value_of(self.begin(grant, Call::Status)?).await?)),
                None => Ok(plain::ask()),
            };
        }
        if classic::is_classic(&path) {
            return self.classic(request, &grant.ok_or_else(unauthorised)?).await;
        }
        if dav::is_dav(&path) {
            return self.dav(request, &grant.ok_or_else(unauthorised)?).await;
        }
        let rest = path.strip_prefix(PREFIX);
        match (request.method().as_str(), rest) {
            ("GET", Some("session")) => return self.session(grant.as_ref()).await,
            ("POST", Some("session")) => return self.log_in(request, from).await,
            ("DELETE", Some("session")) => return self.log_out(&request),
            ("POST", Some("password")) => return self.password(request, from, grant.as_ref()).await,
            _ => {}
        }
        let grant = grant.ok_or_else(unauthorised)?;
        if path == "/metrics" && is_reading {
            return self.metrics(&grant).await;
        }
        self.granted(request, &grant, rest.unwrap_or_default()).await
    }

    /// What those who are logged in can ask for. `rest` is the path behind the prefix.
    async fn granted(
        &self,
        request: Request<Incoming>,
        grant: &Grant,
        rest: &str,
    ) -> Result<Answer, ApiError> {
        let (name, argument) = rest.split_once('/').map_or((rest, None), |(name, rest)| (name, Some(rest)));
        if matches!(name, "users" | "tokens" | "directories" | "disks" | "sheet") {
            return self.administered(request, grant, name, argument).await;
        }
        if filed::NAMES.contains(&name) {
            return self.filed(request, grant, name, argument).await;
        }
        // Who may not see all folders sees those of these lists.
        match (request.method().as_str(), rest, &grant.folders) {
            ("GET", "events", _) => self.events(&request, grant).await,
            ("GET", "folders", Some(folders)) => Ok(told(&only(self.ask(Call::FolderList).await?, folders))),
            ("GET", "status", Some(folders)) => Ok(told(&only_status(&self.status().await?, folders))),
            _ => Ok(answer_call(request, &Guarded(grant), &self.calls).await),
        }
    }

    /// Users, tokens and places: for admins of all folders.
    async fn administered(
        &self,
        request: Request<Incoming>,
        grant: &Grant,
        name: &str,
        argument: Option<&str>,
    ) -> Result<Answer, ApiError> {
        grant.check(&Call::ConfigGet { key: None })?;
        let argument = argument.map(unescape).transpose()?;
        match (request.method().as_str(), name, argument) {
            ("GET", "users", None) => Ok(self.users()),
            ("POST", "users", None) => self.set_user(request).await,
            ("DELETE", "users", Some(user)) => self.remove_user(&user),
            ("GET", "tokens", None) => Ok(self.tokens()),
            ("POST", "tokens", None) => self.add_token(request).await,
            ("DELETE", "tokens", Some(token)) => self.remove_token(&token),
            ("POST", "sheet", None) => self.keep_sheet(request).await,
            ("GET", "directories", None) => {
                let path = query_value(request.uri().query(), "path")?;
                Ok(told(&places::directories(path.as_deref().unwrap_or("/"))?))
            }
            ("GET", "disks", None) => Ok(told(&places::disks(&self.home))),
            _ => Err(unroutable(request.method().as_str(), request.uri().path(), name)),
        }
    }

    /// Begins a call for somebody, if they may.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn begin(&self, grant: &Grant, call: Call) -> Result<Running, ApiError> {
        grant.check(&call)?;
        Ok(self.calls.begin(call))
    }

    /// The status.
    pub(super) async fn status(&self) -> Result<Value, ApiError> {
        self.ask(Call::Status).await
    }

    /// The one value that a call is answered with.
    pub(super) async fn ask(&self, call: Call) -> Result<Value, ApiError> {
        value_of(self.calls.begin(call)).await
    }
}

/// The one value that a call is answered with.
pub(super) async fn value_of(mut running: Running) -> Result<Value, ApiError> {
    let mut value = Value::Null;
    loop {
        match running.next().await {
            Outward::Piece(Piece::Json(piece)) => {
                value = piece;
                running.taken();
            }
            Outward::Piece(Piece::Bytes(_)) | Outward::More => {}
            Outward::Done(Ok(_)) => return Ok(value),
            Outward::Done(Err(error)) => return Err(error),
        }
    }
}

/// An error as an answer; whoever has to wait is told how long.
fn refused(error: &ApiError) -> Answer {
    let mut answer = refusal(error);
    if error.code == "too_many_attempts" {
        let seconds = error.hint.split(' ').find_map(|word| word.parse::<u32>().ok()).unwrap_or(1);
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// What every answer to a browser says, unless it says something else already.
fn harden(headers: &mut HeaderMap) {
    let rules = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in rules {
        headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// Of a list of folders, or of what is about them, those with these names.
fn only(list: Value, folders: &[String]) -> Value {
    let Value::Array(mut list) = list else { return Value::Array(Vec::new()) };
    list.retain(|one| one["name"].as_str().is_some_and(|name| folders.iter().any(|folder| folder == name)));
    Value::Array(list)
}

/// Of the status, what concerns these folders and nobody else's.
pub(super) fn only_status(status: &Value, folders: &[String]) -> Value {
    let mut told = serde_json::Map::new();
    for key in ["name", "site", "node", "vault", "state", "role", "version", "paused"] {
        told.insert(key.to_owned(), status[key].clone());
    }
    told.insert("folders".to_owned(), only(status["folders"].clone(), folders));
    told.insert("attention".to_owned(), Value::Array(Vec::new()));
    told.insert("limited".to_owned(), Value::Bool(true));
    Value::Object(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_sees_some_folders_is_told_of_those_only() {
        let list = json!([{"name": "photos", "copies": 2}, {"name": "letters"}]);
        assert_eq!(only(list.clone(), &["photos".to_owned()]), json!([{"name": "photos", "copies": 2}]));
        let status = json!({"name": "attic", "folders": list, "attention": ["letters are gone"], "summary": "letters", "peers": [1]});
        let told = only_status(&status, &["photos".to_owned()]);
        assert!(!told.to_string().contains("letters") && told.get("peers").is_none());
    }

    #[test]
    fn whoever_has_to_wait_is_told_how_long() {
        let error = ApiError::new("too_many_attempts", "x", "wait 16 s, then try again");
        assert_eq!(refused(&error).headers()[RETRY_AFTER], "16");
    }
}
