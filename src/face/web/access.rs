//! Who may use the web page and the API over TCP: users with passwords, tokens for programs, sessions of browsers.
//!
//! Plain values and their text, `access.json` in the home. Of tokens and sessions only hashes are kept, so that whoever reads
//! the file can use none of them; passwords are behind argon2id (`passwords.rs`). Reads no clock and no entropy.

use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base::limits::{
    PASSWORD_BYTES_MAX, PASSWORD_CHARACTERS_MIN, WEB_SESSIONS_MAX, WEB_SESSION_DAYS, WEB_TOKENS_MAX,
    WEB_USERS_MAX,
};
use crate::node::api::ApiError;

/// The file in the home.
pub(super) const FILE_NAME: &str = "access.json";
/// The user that there is from the first password on.
pub(super) const FIRST_USER: &str = "admin";

/// What somebody may do; each may what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look, download and restore.
    Read,
    /// Change files, make backups, write notes.
    Member,
    /// Everything.
    Admin,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// How they log in.
    pub name: String,
    /// What they may.
    pub role: Role,
    /// Of which folders; None: of all.
    pub folders: Option<Vec<String>>,
    /// The password.
    pub password: Password,
}

/// What is kept of a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password {
    /// Memory in KiB (argon2id, version 0x13, one lane).
    pub memory: u32,
    /// Passes.
    pub passes: u32,
    /// 16 bytes in base64.
    pub salt: String,
    /// 32 bytes in base64.
    pub hash: String,
}

/// What a program logs in with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Names it where it is revoked.
    pub id: String,
    /// What it is for.
    pub label: String,
    /// What it may.
    pub role: Role,
    /// Of which folders; None: of all.
    pub folders: Option<Vec<String>>,
    /// Its SHA-256, in base64.
    pub hash: String,
    /// When it was made, in seconds since 1970.
    pub created: i64,
}

/// A browser that is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The SHA-256 of its cookie, in base64.
    pub hash: String,
    /// Whose.
    pub user: String,
    /// The last day on which it was used, since 1970.
    pub day: i64,
}

/// That somebody has the recovery words of a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sheet {
    /// Of which vault.
    pub vault: String,
    /// When that was said, in seconds since 1970.
    pub said: i64,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// People; none: nobody has set a password yet.
    #[serde(default)]
    pub users: Vec<User>,
    /// Programs.
    #[serde(default)]
    pub tokens: Vec<Token>,
    /// Browsers.
    #[serde(default)]
    pub sessions: Vec<Session>,
    /// Whether the recovery words were typed back, or said to be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheet: Option<Sheet>,
}

/// A secret that is given to a program or a browser, and what is kept of it.
pub(super) fn secret(entropy: [u8; 32]) -> (String, String) {
    let text = BASE64.encode(entropy);
    let hash = hash_of(&text);
    (text, hash)
}

/// What is kept of a secret that cannot be guessed.
pub(super) fn hash_of(secret: &str) -> String {
    BASE64.encode(Sha256::digest(secret.as_bytes()))
}

impl Access {
    /// From the text of the file.
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        serde_json::from_str(text).map_err(|error| {
            ApiError::new(
                "access_invalid",
                format!("{FILE_NAME} in the node's home cannot be understood: {error}"),
                "mend it, or remove it: then a first password can be set again with `nuthatch password`",
            )
        })
    }

    /// As the text of the file.
    pub(super) fn text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The user with this name.
    pub(super) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// A new user, or another password, role or folders of one that is there.
    pub(super) fn set_user(&mut self, user: User) -> Result<(), ApiError> {
        check_name(&user.name)?;
        let mut next = self.clone();
        next.users.retain(|other| other.name != user.name);
        if next.users.len() >= WEB_USERS_MAX {
            return Err(too_many("users", WEB_USERS_MAX));
        }
        // Whoever had the old password is logged out.
        next.sessions.retain(|session| session.user != user.name);
        next.users.push(user);
        next.users.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        self.replace(next)
    }

    /// A user goes.
    pub(super) fn remove_user(&mut self, name: &str) -> Result<(), ApiError> {
        if self.user(name).is_none() {
            return Err(no_user(name));
        }
        let mut next = self.clone();
        next.users.retain(|user| user.name != name);
        next.sessions.retain(|session| session.user != name);
        self.replace(next)
    }

    /// Takes over what leaves somebody who can change it again.
    fn replace(&mut self, next: Self) -> Result<(), ApiError> {
        let rules = |user: &User| user.role == Role::Admin && user.folders.is_none();
        if !next.users.iter().any(rules) {
            return Err(ApiError::new(
                "last_admin",
                "nobody would be left who may change users and settings",
                "make somebody else an admin of all folders first",
            ));
        }
        *self = next;
        Ok(())
    }

    /// A new token.
    pub(super) fn add_token(&mut self, token: Token) -> Result<(), ApiError> {
        let label = token.label.trim();
        if label.is_empty() || label.len() > 64 || label.chars().any(char::is_control) {
            return Err(ApiError::new(
                "bad_request",
                "a token's label has 1 to 64 bytes",
                "say what it is for",
            ));
        }
        if self.tokens.len() >= WEB_TOKENS_MAX {
            return Err(too_many("tokens", WEB_TOKENS_MAX));
        }
        self.tokens.push(token);
        Ok(())
    }

    /// A token goes.
    pub(super) fn remove_token(&mut self, id: &str) -> Result<(), ApiError> {
        let before = self.tokens.len();
        self.tokens.retain(|token| token.id != id);
        if self.tokens.len() == before {
            return Err(ApiError::new(
                "unknown_token",
                format!("there is no token {id}"),
                "look at the list of tokens",
            ));
        }
        Ok(())
    }

    /// The token with this secret.
    pub(super) fn token(&self, secret: &str) -> Option<&Token> {
        let hash = hash_of(secret);
        self.tokens.iter().find(|token| token.hash == hash)
    }

    /// A browser is logged in.
    pub(super) fn add_session(&mut self, session: Session) {
        self.sessions.push(session);
        while self.sessions.len() > WEB_SESSIONS_MAX {
            let oldest = self.sessions.iter().enumerate().min_by_key(|(_, session)| session.day);
            let Some((index, _)) = oldest else { break };
            self.sessions.remove(index);
        }
    }

    /// Whose session this is; the second: its day has to be written down anew.
    pub(super) fn session(&mut self, secret: &str, today: i64) -> Option<(&User, bool)> {
        let hash = hash_of(secret);
        let limit = i64::try_from(WEB_SESSION_DAYS).unwrap_or(i64::MAX);
        // A clock that was set back makes no session older.
        self.sessions.retain(|session| today.saturating_sub(session.day) <= limit);
        let session = self.sessions.iter_mut().find(|session| session.hash == hash)?;
        let is_new_day = session.day != today;
        session.day = today;
        let name = session.user.clone();
        self.user(&name).map(|user| (user, is_new_day))
    }

    /// A browser is logged out.
    pub(super) fn end_session(&mut self, secret: &str) {
        let hash = hash_of(secret);
        self.sessions.retain(|session| session.hash != hash);
    }
}

/// Whether a password may be one.
pub(super) fn check_password(password: &str) -> Result<(), ApiError> {
    if password.chars().count() < PASSWORD_CHARACTERS_MIN || password.len() > PASSWORD_BYTES_MAX {
        return Err(ApiError::new(
            "weak_password",
            format!("a password has at least {PASSWORD_CHARACTERS_MIN} characters, and at most {PASSWORD_BYTES_MAX} bytes"),
            "three or four words that do not belong together are easy to remember and hard to guess",
        ));
    }
    Ok(())
}

/// Whether a user can be called so.
fn check_name(name: &str) -> Result<(), ApiError> {
    let fits =
        !name.is_empty() && name.len() <= 64 && !name.chars().any(|c| c.is_control() || c == ':' || c == '/');
    // `-` is standard input where a password is asked for, and that is what was meant.
    if fits && name.trim() == name && !name.starts_with('-') {
        return Ok(());
    }
    Err(ApiError::new(
        "bad_request",
        "a user's name has 1 to 64 bytes, without colon and slash, and begins with no hyphen",
        "choose another name",
    ))
}

/// The error for a user who does not exist.
pub(super) fn no_user(name: &str) -> ApiError {
    ApiError::new("unknown_user", format!("there is no user {name}"), "look at the list of users")
}

/// The error for one more than there may be.
fn too_many(what: &str, max: usize) -> ApiError {
    ApiError::new(
        "too_many",
        format!("there are {max} {what} already"),
        "remove one that is not used any more",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, role: Role) -> User {
        let password = Password { memory: 8, passes: 1, salt: "c2FsdA".into(), hash: "aGFzaA".into() };
        User { name: name.into(), role, folders: None, password }
    }

    fn code<T: std::fmt::Debug>(result: Result<T, ApiError>) -> String {
        result.unwrap_err().code
    }

    #[test]
    fn somebody_always_rules() {
        let mut access = Access::default();
        assert_eq!(code(access.set_user(user("ada", Role::Member))), "last_admin");
        access.set_user(user("ada", Role::Admin)).unwrap();
        assert_eq!(code(access.set_user(user("ada", Role::Read))), "last_admin");
        assert_eq!(code(access.remove_user("ada")), "last_admin");
        let limited = User { folders: Some(vec!["photos".into()]), ..user("ada", Role::Admin) };
        assert_eq!(code(access.set_user(limited)), "last_admin");
        access.set_user(user("bob", Role::Admin)).unwrap();
        access.remove_user("ada").unwrap();
        assert_eq!(code(access.remove_user("ada")), "unknown_user");
        assert_eq!(access.users.len(), 1);
    }

    #[test]
    fn a_session_ends_with_its_user_its_password_and_its_time() {
        let mut access = Access::default();
        access.set_user(user("ada", Role::Admin)).unwrap();
        let (cookie, hash) = secret([7; 32]);
        let session = |day| Session { hash: hash.clone(), user: "ada".into(), day };
        access.add_session(session(100));
        assert_eq!(
            access.session(&cookie, 100).map(|(user, new)| (user.name.clone(), new)),
            Some(("ada".into(), false))
        );
        assert!(access.session(&cookie, 101).is_some_and(|(_, new)| new));
        assert!(access.session("another", 101).is_none());
        assert!(access.session(&cookie, -20_000).is_some(), "a clock that was set back ends nothing");
        access.add_session(session(100));
        assert!(access.session(&cookie, 10_000).is_none());
        access.add_session(session(100));
        access.set_user(user("ada", Role::Admin)).unwrap();
        assert!(access.session(&cookie, 100).is_none(), "a new password ends sessions");
        access.add_session(session(100));
        access.end_session(&cookie);
        assert!(access.session(&cookie, 100).is_none());
    }

    #[test]
    fn of_secrets_only_hashes_are_kept() {
        let mut access = Access::default();
        let (text, hash) = secret([9; 32]);
        let token = |id: &str| Token {
            id: id.into(),
            label: "cron".into(),
            role: Role::Member,
            folders: None,
            hash: hash.clone(),
            created: 5,
        };
        access.add_token(token("a")).unwrap();
        assert_eq!(access.token(&text).map(|token| token.id.as_str()), Some("a"));
        assert!(access.token(&hash).is_none());
        assert!(!access.text().contains(&text));
        assert_eq!(Access::parse(&access.text()), Ok(access.clone()));
        assert_eq!(code(Access::parse("{\"users\": 1}")), "access_invalid");
        access.remove_token("a").unwrap();
        assert_eq!(code(access.remove_token("a")), "unknown_token");
        for index in 0..WEB_TOKENS_MAX {
            access.add_token(token(&index.to_string())).unwrap();
        }
        assert_eq!(code(access.add_token(token("b"))), "too_many");
    }

    #[test]
    fn sessions_are_bounded_and_the_least_used_goes() {
        let mut access = Access::default();
        for day in 0..200 {
            access.add_session(Session { hash: day.to_string(), user: "ada".into(), day });
        }
        assert_eq!(access.sessions.len(), WEB_SESSIONS_MAX);
        assert!(access.sessions.iter().all(|session| session.day >= 72));
    }

    #[test]
    fn names_and_passwords_are_checked() {
        assert!(check_password("short").is_err() && check_password(&"x".repeat(2_000)).is_err());
        assert!(check_password("\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}").is_ok());
        for wrong in ["", " ada", "a:b", "a/b", "a\nb", "-"] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
        assert!(check_name("Zo\u{eb} M.").is_ok());
    }
}
