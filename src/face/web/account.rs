//! Logging in and out, passwords, users and tokens.

use hyper::body::Incoming;
use hyper::header::{HeaderValue, SET_COOKIE};
use hyper::{Request, StatusCode};
use serde::de::DeserializeOwned;
use serde::Deserialize;
use serde_json::{json, Value};

use super::access::{secret, Role, Sheet, Token, User, FIRST_USER};
use super::accounts::{random, Login};
use super::rights::Grant;
use super::site::WebSite;
use crate::base::units::WallTime;
use crate::io::http::{json_response, read_body, Answer, From, END};
use crate::node::api::ApiError;

/// The body of a login.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginBody {
    /// The first one when left out.
    user: Option<String>,
    /// Their password.
    password: String,
}

/// The body of a new password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordBody {
    /// Oneself when left out.
    user: Option<String>,
    /// The password that was.
    old: Option<String>,
    /// The one that shall be.
    new: String,
    /// Of the node's console, for the first one.
    code: Option<String>,
}

/// The body of a user.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserBody {
    /// How they log in.
    name: String,
    /// Left out: as it is.
    password: Option<String>,
    /// What they may.
    role: Role,
    /// Left out: of all folders.
    folders: Option<Vec<String>>,
}

/// The body of a token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    /// What it is for.
    label: String,
    /// What it may.
    role: Role,
    /// Left out: of all folders.
    folders: Option<Vec<String>>,
}

/// The body of what needs none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoBody {}

/// A request's body as what it should be.
pub(super) async fn parsed<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, ApiError> {
    let body = read_body(request.into_body()).await?;
    let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
    serde_json::from_slice(text).map_err(|error| {
        let message = format!("the body is not what this call takes: {error}");
        ApiError::new("bad_request", message, "send a JSON object")
    })
}

/// A JSON answer.
pub(super) fn told(value: &Value) -> Answer {
    let mut answer = json_response(StatusCode::OK, value);
    answer.headers_mut().insert(END, HeaderValue::from_static("complete"));
    answer
}

impl WebSite {
    /// `GET /api/v1/session`.
    pub(super) async fn session(&self, grant: Option<&Grant>) -> Result<Answer, ApiError> {
        let status = self.status().await?;
        let state = match grant {
            _ if self.accounts.is_fresh() && grant.is_none() => "fresh",
            None => "login",
            Some(_) => "in",
        };
        let mut value = json!({
            "state": state,
            "name": status["name"],
            "vault": !status["vault"].is_null(),
            "user": null,
            "role": null,
            "folders": null,
            "version": null,
            "sheet": null,
        });
        if let Some(grant) = grant {
            value["user"] = json!(grant.name);
            value["role"] = json!(grant.role);
            value["folders"] = json!(grant.folders);
            value["version"] = json!(env!("CARGO_PKG_VERSION"));
            let said = self.accounts.read(|access| access.sheet.clone());
            value["sheet"] =
                json!(said.filter(|sheet| status["vault"] == *sheet.vault).map(|sheet| at(sheet.said)));
        }
        Ok(told(&value))
    }

    /// `POST /api/v1/sheet`: somebody has the recovery words. The node itself does not know them, and takes their word for it.
    pub(super) async fn keep_sheet(&self, request: Request<Incoming>) -> Result<Answer, ApiError> {
        let NoBody {} = parsed(request).await?;
        let status = self.status().await?;
        let vault = status["vault"].as_str().ok_or_else(|| {
            let hint = "make one, or join one, first";
            ApiError::new("not_member", "this node is in no vault yet, so that there are no words", hint)
        })?;
        let sheet = Sheet { vault: vault.to_owned(), said: self.accounts.seconds() };
        let said = at(sheet.said);
        self.accounts.change(|access| {
            access.sheet = Some(sheet);
            Ok(())
        })?;
        Ok(told(&json!({"sheet": said})))
    }

    /// `POST /api/v1/session`.
    pub(super) async fn log_in(&self, request: Request<Incoming>, from: From) -> Result<Answer, ApiError> {
        let LoginBody { user, password } = parsed(request).await?;
        let user = user.unwrap_or_else(|| FIRST_USER.to_owned());
        let user = self.accounts.check_login(&Login { user: &user, password: &password, from }).await?;
        self.logged_in(&user)
    }

    /// The answer to whoever has just shown who they are.
    fn logged_in(&self, user: &User) -> Result<Answer, ApiError> {
        let cookie = self.accounts.begin_session(user)?;
        let mut answer =
            told(&json!({"state": "in", "user": user.name, "role": user.role, "folders": user.folders}));
        set_cookie(&mut answer, &cookie);
        Ok(answer)
    }

    /// `DELETE /api/v1/session`.
    pub(super) fn log_out(&self, request: &Request<Incoming>) -> Result<Answer, ApiError> {
        let cookie = self.accounts.end_session(request.headers())?;
        let mut answer = told(&json!({"state": "login"}));
        set_cookie(&mut answer, &cookie);
        Ok(answer)
    }

    /// `POST /api/v1/password`: the first one, one's own, or (for admins) another's.
    pub(super) async fn password(
        &self,
        request: Request<Incoming>,
        from: From,
        grant: Option<&Grant>,
    ) -> Result<Answer, ApiError> {
        let PasswordBody { user, old, new, code } = parsed(request).await?;
        if self.accounts.is_fresh() {
            let is_member = !self.status().await?["vault"].is_null();
            self.accounts.check_first(from, code.as_deref(), is_member)?;
            let user = self.accounts.set_password(user.as_deref().unwrap_or(FIRST_USER), &new).await?;
            return self.logged_in(&user);
        }
        let grant = grant.ok_or_else(unauthorised)?;
        let own = if grant.is_local { FIRST_USER } else { grant.name.as_str() };
        let user = user.unwrap_or_else(|| own.to_owned());
        let is_ruler = grant.role == Role::Admin && grant.folders.is_none();
        if !(grant.is_local || is_ruler && user != own) {
            if user != own {
                grant.check_role(Role::Admin)?;
            }
            let old = old.unwrap_or_default();
            self.accounts.check_login(&Login { user: &user, password: &old, from }).await?;
        }
        let user = self.accounts.set_password(&user, &new).await?;
        // The new password ended all sessions of this user, this one too.
        if user.name == own && !grant.is_local {
            return self.logged_in(&user);
        }
        Ok(told(&json!({"user": user.name})))
    }

    /// `GET /api/v1/users`.
    pub(super) fn users(&self) -> Answer {
        let user = |user: &User| json!({"name": user.name, "role": user.role, "folders": user.folders});
        told(
            &json!({"users": self.accounts.read(|access| access.users.iter().map(user).collect::<Vec<_>>())}),
        )
    }

    /// `POST /api/v1/users`.
    pub(super) async fn set_user(&self, request: Request<Incoming>) -> Result<Answer, ApiError> {
        let UserBody { name, password, role, folders } = parsed(request).await?;
        match password {
            Some(password) => {
                self.accounts.set_user(&name, &password, role, folders).await?;
            }
            None => {
                let known = self.accounts.read(|access| access.user(&name).cloned());
                let known = known.ok_or_else(|| {
                    ApiError::new(
                        "bad_request",
                        format!("{name} is new and needs a password"),
                        "send one as `password`",
                    )
                })?;
                self.accounts.change(|access| access.set_user(User { role, folders, ..known }))?;
            }
        }
        Ok(self.users())
    }

    /// `DELETE /api/v1/users/NAME`.
    pub(super) fn remove_user(&self, name: &str) -> Result<Answer, ApiError> {
        self.accounts.change(|access| access.remove_user(name))?;
        Ok(self.users())
    }

    /// `GET /api/v1/tokens`.
    pub(super) fn tokens(&self) -> Answer {
        let token = |token: &Token| {
            json!({
                "id": token.id,
                "label": token.label,
                "role": token.role,
                "folders": token.folders,
                "created": at(token.created),
            })
        };
        told(
            &json!({"tokens": self.accounts.read(|access| access.tokens.iter().map(token).collect::<Vec<_>>())}),
        )
    }

    /// `POST /api/v1/tokens`.
    pub(super) async fn add_token(&self, request: Request<Incoming>) -> Result<Answer, ApiError> {
        let TokenBody { label, role, folders } = parsed(request).await?;
        let (text, hash) = secret(random()?);
        let id = hash.chars().filter(char::is_ascii_alphanumeric).take(8).collect::<String>();
        let created = self.accounts.seconds();
        let token = Token { id: id.clone(), label: label.trim().to_owned(), role, folders, hash, created };
        self.accounts.change(|access| access.add_token(token))?;
        Ok(told(&json!({"id": id, "token": text})))
    }

    /// `DELETE /api/v1/tokens/ID`.
    pub(super) fn remove_token(&self, id: &str) -> Result<Answer, ApiError> {
        self.accounts.change(|access| access.remove_token(id))?;
        Ok(self.tokens())
    }
}

/// Seconds since 1970 as programs read them.
fn at(seconds: i64) -> String {
    WallTime::from_micros(seconds.saturating_mul(1_000_000)).to_string()
}

/// The error for whoever is not logged in.
pub(super) fn unauthorised() -> ApiError {
    ApiError::new(
        "unauthorised",
        "this needs a login",
        "log in on the page, or send a token as Authorization: Bearer",
    )
}

/// Adds a cookie to an answer.
fn set_cookie(answer: &mut Answer, cookie: &str) {
    // Only of our own making: base64 and a number.
    if let Ok(value) = HeaderValue::from_str(cookie) {
        answer.headers_mut().append(SET_COOKIE, value);
    }
}
