//! Who asks: sessions, tokens and passwords of requests, and the file in which they are kept.

use std::cell::RefCell;
use std::net::IpAddr;
use std::path::PathBuf;

use base64::engine::general_purpose::STANDARD as BASE64;
use base64::Engine as _;
use hyper::header::{HeaderMap, AUTHORIZATION, COOKIE};

use super::access::{check_password, no_user, secret, Access, Role, Session, User, FILE_NAME, FIRST_USER};
use super::attempts::{Attempts, Source};
use super::gate::is_near;
use super::passwords::Passwords;
use super::rights::Grant;
use crate::io::home::replace_file;
use crate::io::http::From;
use crate::io::os::{entropy, Clock};
use crate::node::api::ApiError;

/// How many digits the code for the first password has.
const CODE_DIGITS: usize = 8;

/// All that is known of who may come.
#[derive(Debug)]
pub(super) struct Accounts {
    /// Where it is kept.
    home: PathBuf,
    /// The time.
    clock: Clock,
    /// The name of the cookie: a browser sends cookies of one machine to all of its ports.
    cookie: String,
    /// What keeps it from being sent unencrypted.
    secure: &'static str,
    /// Who there is.
    access: RefCell<Access>,
    /// Wrong passwords.
    attempts: RefCell<Attempts>,
    /// Checks them.
    passwords: Passwords,
    /// Sets the first password from anywhere.
    code: String,
}

/// How somebody wants to log in.
pub(super) struct Login<'a> {
    /// The user.
    pub(super) user: &'a str,
    /// Their password.
    pub(super) password: &'a str,
    /// From where.
    pub(super) from: From,
}

impl Accounts {
    /// As they are kept.
    pub(super) fn open(home: PathBuf, clock: Clock, port: u16, is_encrypted: bool) -> Result<Self, ApiError> {
        let path = home.join(FILE_NAME);
        let access = match std::fs::read_to_string(&path) {
            Ok(text) => Access::parse(&text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Access::default(),
            Err(error) => {
                let message = format!("cannot read {}: {error}", path.display());
                return Err(ApiError::new("access_invalid", message, "check its permissions"));
            }
        };
        let number = u64::from_le_bytes(random()?[..8].try_into().unwrap_or_default()) % 10_u64.pow(8);
        Ok(Self {
            home,
            clock,
            // A browser takes a cookie of such a name from this very host only, and only encrypted; and it never lets an
            // unencrypted answer change one, so that the two need names of their own.
            cookie: format!("{}nuthatch_{port}", if is_encrypted { "__Host-" } else { "" }),
            secure: if is_encrypted { "; Secure" } else { "" },
            access: RefCell::new(access),
            attempts: RefCell::default(),
            passwords: Passwords::default(),
            code: format!("{number:0CODE_DIGITS$}"),
        })
    }

    /// Nobody has set a password yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.access.borrow().users.is_empty()
    }

    /// The code that sets the first password from anywhere.
    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// Who asks; None: nobody who is known.
    pub(super) fn grant(&self, headers: &HeaderMap, from: From) -> Result<Option<Grant>, ApiError> {
        let From::Address(address) = from else { return Ok(Some(Grant::owner())) };
        if let Some(secret) = bearer(headers) {
            return self.by_token(&secret, address.ip()).map(Some);
        }
        let Some(cookie) = self.cookie(headers) else { return Ok(None) };
        let today = self.today();
        let mut access = self.access.borrow_mut();
        let Some((user, is_new_day)) = access.session(cookie, today) else { return Ok(None) };
        let grant = granted(user);
        if is_new_day {
            self.keep_sessions(&access);
        }
        Ok(Some(grant))
    }

    /// Whether a request is authorised by a cookie rather than by what only a program sends.
    pub(super) fn is_by_cookie(&self, headers: &HeaderMap) -> bool {
        bearer(headers).is_none()
    }

    /// Who has this token. Tokens cannot be guessed; wrong ones are counted all the same, for they may be passwords.
    fn by_token(&self, secret: &str, address: IpAddr) -> Result<Grant, ApiError> {
        let sources = [Source::address(address)];
        if let Some(token) = self.access.borrow().token(secret) {
            return Ok(Grant {
                name: token.label.clone(),
                role: token.role,
                folders: token.folders.clone(),
                is_local: false,
            });
        }
        self.check_pause(&sources)?;
        self.attempts.borrow_mut().wrong(&sources, self.clock.time());
        Err(ApiError::new(
            "unauthorised",
            "this token is not known (any more)",
            "make a new one on the page under Settings, or with `nuthatch token add`",
        ))
    }

    /// The user that a password belongs to.
    pub(super) async fn check_login(&self, login: &Login<'_>) -> Result<User, ApiError> {
        let mut sources = vec![Source::User(login.user.to_owned())];
        if let From::Address(address) = login.from {
            sources.push(Source::address(address.ip()));
        }
        self.check_pause(&sources)?;
        let user = self.access.borrow().user(login.user).cloned();
        // Counted before it is checked, so that many at once are not all free.
        self.attempts.borrow_mut().wrong(&sources, self.clock.time());
        let is_right =
            self.passwords.is_right(login.password, user.as_ref().map(|user| &user.password)).await?;
        match user.filter(|_| is_right) {
            Some(user) => {
                self.attempts.borrow_mut().right(&sources);
                Ok(user)
            }
            None => Err(ApiError::new(
                "wrong_password",
                "the name or the password is wrong",
                "try again; an admin can set a new password with `nuthatch password`",
            )),
        }
    }

    /// Nobody of these has to wait.
    fn check_pause(&self, sources: &[Source]) -> Result<(), ApiError> {
        let Some(pause) = self.attempts.borrow().pause(sources, self.clock.time()) else { return Ok(()) };
        let seconds = pause.as_micros().div_ceil(1_000_000);
        Err(ApiError::new(
            "too_many_attempts",
            "there were too many wrong passwords",
            format!("wait {seconds} s, then try again"),
        ))
    }

    /// A new session: its cookie as a header.
    pub(super) fn begin_session(&self, user: &User) -> Result<String, ApiError> {
        let (text, hash) = secret(random()?);
        let session = Session { hash, user: user.name.clone(), day: self.today() };
        let mut access = self.access.borrow_mut();
        access.add_session(session);
        self.keep_sessions(&access);
        let seconds = crate::base::limits::WEB_SESSION_DAYS * 86_400;
        let (name, secure) = (&self.cookie, self.secure);
        Ok(format!("{name}={text}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}"))
    }

    /// A session ends: the header that takes its cookie away.
    pub(super) fn end_session(&self, headers: &HeaderMap) -> Result<String, ApiError> {
        if let Some(cookie) = self.cookie(headers) {
            let mut access = self.access.borrow_mut();
            access.end_session(cookie);
            self.write(&access)?;
        }
        Ok(format!("{}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0{}", self.cookie, self.secure))
    }

    /// Whether the first password may be set from there. A node that is in a vault already was set up by its command line:
    /// then not everybody in the network shall be the first.
    pub(super) fn check_first(
        &self,
        from: From,
        code: Option<&str>,
        is_member: bool,
    ) -> Result<(), ApiError> {
        let From::Address(address) = from else { return Ok(()) };
        let sources = [Source::User(FIRST_USER.to_owned())];
        match code {
            None if is_near(address.ip()) && !is_member => Ok(()),
            None => Err(ApiError::new(
                "code_needed",
                "the first password of this node needs the code that it shows in its log and on its console",
                "send it as `code`, or set the password on the machine itself with `nuthatch password`",
            )),
            Some(code) => {
                self.check_pause(&sources)?;
                let digits: String = code.chars().filter(char::is_ascii_digit).collect();
                if digits == self.code {
                    return Ok(());
                }
                self.attempts.borrow_mut().wrong(&sources, self.clock.time());
                Err(ApiError::new(
                    "wrong_password",
                    "the code is wrong",
                    "it is shown in the node's log at its start",
                ))
            }
        }
    }

    /// Sets a password; the user must be there, but for the first.
    pub(super) async fn set_password(&self, name: &str, password: &str) -> Result<User, ApiError> {
        check_password(password)?;
        let first = || self.is_fresh().then_some((Role::Admin, None));
        let found = self.access.borrow().user(name).map(|user| (user.role, user.folders.clone()));
        let (role, folders) = found.or_else(first).ok_or_else(|| no_user(name))?;
        self.set_user(name, password, role, folders).await
    }

    /// Makes or changes a user.
    pub(super) async fn set_user(
        &self,
        name: &str,
        password: &str,
        role: Role,
        folders: Option<Vec<String>>,
    ) -> Result<User, ApiError> {
        check_password(password)?;
        let password = self.passwords.make(password, random()?).await?;
        let user = User { name: name.to_owned(), role, folders, password };
        self.change(|access| access.set_user(user.clone()))?;
        Ok(user)
    }

    /// Who there is.
    pub(super) fn read<R>(&self, look: impl FnOnce(&Access) -> R) -> R {
        look(&self.access.borrow())
    }

    /// Changes who there is, on disk first.
    pub(super) fn change(
        &self,
        change: impl FnOnce(&mut Access) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let mut next = self.access.borrow().clone();
        change(&mut next)?;
        self.write(&next)?;
        *self.access.borrow_mut() = next;
        Ok(())
    }

    /// Writes down who is logged in. On a full disk somebody has to be able to log in and make room: then a session lasts until the
    /// node's end.
    fn keep_sessions(&self, access: &Access) {
        if let Err(error) = self.write(access) {
            log::warn!("{}", error.message);
        }
    }

    /// Writes it down. A few kilobytes, seldom: the main thread waits for the disk.
    fn write(&self, access: &Access) -> Result<(), ApiError> {
        replace_file(&self.home, FILE_NAME, &access.text()).map_err(|error| {
            ApiError::new(
                "home",
                format!("who may log in cannot be written down: {error}"),
                "is the disk full?",
            )
        })
    }

    /// Days since 1970.
    fn today(&self) -> i64 {
        self.clock.now().wall.as_micros().div_euclid(86_400_000_000)
    }

    /// Seconds since 1970.
    pub(super) fn seconds(&self) -> i64 {
        self.clock.now().wall.as_micros().div_euclid(1_000_000)
    }

    /// The session's cookie of a request.
    fn cookie<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        cookies.flat_map(|value| value.split(';')).find_map(|part| {
            let (name, value) = part.trim().split_once('=')?;
            (name == self.cookie).then_some(value)
        })
    }
}

/// What a user may.
fn granted(user: &User) -> Grant {
    Grant { name: user.name.clone(), role: user.role, folders: user.folders.clone(), is_local: false }
}

/// The token that a program sends: as Bearer, or as the password of Basic, which is all that file managers know.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(rest.trim().to_owned()),
        "basic" => basic(rest).map(|(_, password)| password),
        _ => None,
    }
}

/// Name and password of Basic (RFC 7617).
fn basic(text: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64.decode(text.trim()).ok()?).ok()?;
    text.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
}

/// 32 random bytes.
pub(super) fn random() -> Result<[u8; 32], ApiError> {
    entropy().map_err(|error| ApiError::new("internal", error.to_string(), "restart the machine"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use std::net::SocketAddr;

    fn near() -> From {
        From::Address(SocketAddr::from(([192, 168, 1, 9], 4_000)))
    }

    fn accounts(home: &std::path::Path) -> Accounts {
        Accounts::open(home.to_path_buf(), Clock::new(), 7118, false).unwrap()
    }

    fn with_cookie(header: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let pair = header.split(';').next().unwrap();
        headers.insert(COOKIE, HeaderValue::from_str(&format!("other=1; {pair}")).unwrap());
        headers
    }

    #[test]
    fn a_session_outlives_a_restart_and_ends_when_it_is_ended() {
        let home = tempfile::tempdir().unwrap();
        smol::block_on(async {
            let node = accounts(home.path());
            assert!(node.is_fresh());
            let user = node.set_password(FIRST_USER, "correct horse").await.unwrap();
            let header = node.begin_session(&user).unwrap();
            assert!(header.contains("HttpOnly") && header.contains("SameSite=Strict"));
            let node = accounts(home.path());
            assert!(!node.is_fresh());
            let headers = with_cookie(&header);
            let grant = node.grant(&headers, near()).unwrap().unwrap();
            assert_eq!((grant.name.as_str(), grant.role), (FIRST_USER, Role::Admin));
            node.end_session(&headers).unwrap();
            assert_eq!(node.grant(&headers, near()), Ok(None));
            assert_eq!(accounts(home.path()).grant(&headers, near()), Ok(None));
        });
    }

    #[test]
    fn one_can_log_in_where_nothing_can_be_written() {
        let home = tempfile::tempdir().unwrap();
        smol::block_on(async {
            let node = accounts(home.path());
            let user = node.set_password(FIRST_USER, "correct horse").await.unwrap();
            home.close().unwrap();
            let header = node.begin_session(&user).unwrap();
            assert!(node.grant(&with_cookie(&header), near()).unwrap().is_some());
            assert_eq!(node.set_password(FIRST_USER, "another horse").await.unwrap_err().code, "home");
        });
    }

    #[test]
    fn wrong_passwords_have_to_wait_and_then_the_right_one_too() {
        let home = tempfile::tempdir().unwrap();
        smol::block_on(async {
            let node = accounts(home.path());
            node.set_password(FIRST_USER, "correct horse").await.unwrap();
            let login = |password| Login { user: FIRST_USER, password, from: near() };
            for _ in 0..3 {
                assert_eq!(node.check_login(&login("wrong")).await.unwrap_err().code, "wrong_password");
            }
            assert_eq!(
                node.check_login(&login("correct horse")).await.unwrap_err().code,
                "too_many_attempts"
            );
            let other = Login { user: "nobody", password: "x", from: From::Control };
            assert_eq!(node.check_login(&other).await.unwrap_err().code, "wrong_password");
        });
    }

    #[test]
    fn the_first_password_is_set_from_near_or_with_the_code() {
        let home = tempfile::tempdir().unwrap();
        let node = accounts(home.path());
        let far = From::Address(SocketAddr::from(([8, 8, 8, 8], 4_000)));
        let code = |result: Result<(), ApiError>| result.unwrap_err().code;
        assert_eq!(node.check_first(near(), None, false), Ok(()));
        assert_eq!(code(node.check_first(near(), None, true)), "code_needed");
        assert_eq!(code(node.check_first(far, None, false)), "code_needed");
        let spaced = format!("{} {}", &node.code()[..4], &node.code()[4..]);
        assert_eq!(node.check_first(far, Some(&spaced), true), Ok(()));
        for _ in 0..3 {
            assert_eq!(code(node.check_first(far, Some("1"), true)), "wrong_password");
        }
        assert_eq!(code(node.check_first(far, Some(&spaced), true)), "too_many_attempts");
        assert_eq!(node.check_first(From::Control, None, true), Ok(()));
    }

    #[test]
    fn a_token_is_taken_as_bearer_and_as_a_basic_password_until_it_is_revoked() {
        let home = tempfile::tempdir().unwrap();
        let node = accounts(home.path());
        let (text, hash) = secret([1; 32]);
        let token = super::super::access::Token {
            id: "t1".into(),
            label: "cron".into(),
            role: Role::Member,
            folders: Some(vec!["photos".into()]),
            hash,
            created: 0,
        };
        node.change(|access| access.add_token(token)).unwrap();
        let header = |value: String| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(&value).unwrap());
            headers
        };
        let bearer = header(format!("Bearer {text}"));
        let basic = header(format!("Basic {}", BASE64.encode(format!("anybody:{text}"))));
        for headers in [&bearer, &basic] {
            let grant = node.grant(headers, near()).unwrap().unwrap();
            assert_eq!((grant.role, grant.folders), (Role::Member, Some(vec!["photos".to_owned()])));
            assert!(!node.is_by_cookie(headers));
        }
        node.change(|access| access.remove_token("t1")).unwrap();
        assert_eq!(node.grant(&bearer, near()).unwrap_err().code, "unauthorised");
        assert_eq!(node.grant(&header("Basic !!!".into()), near()), Ok(None));
    }
}
