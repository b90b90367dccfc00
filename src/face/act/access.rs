//! `password` and `token`: who may use the web page and the API over TCP.

use crate::face::exit::{Exit, Fail};
use crate::face::link::Link;
use crate::face::out::Out;
use crate::face::report::word;
use crate::face::routes::{escape, plain, post};
use crate::face::secret::new_password;
use crate::face::serve::failed;
use crate::face::show::text;
use crate::face::web::set_password_alone;
use crate::io::home::lock_home;
use crate::io::run::RunError;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{json, Value};

/// Options of `password`.
#[derive(Debug, Args)]
pub struct Password {
    /// Whose; the first user when left out.
    #[arg(value_name = "USER", default_value = "admin")]
    pub user: String,
}

/// The commands of `token`.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token; it is shown once.
    #[command(after_long_help = "Examples:\n  nuthatch token add cron --role member --folder family")]
    Add {
        /// What it is for.
        #[arg(value_name = "LABEL")]
        label: String,
        /// What it may do.
        #[arg(long, value_enum, default_value = "read")]
        role: RoleWord,
        /// Only with this folder; may be given again.
        #[arg(long = "folder", value_name = "NAME")]
        folders: Vec<String>,
    },
    /// What tokens there are.
    #[command(after_long_help = "Examples:\n  nuthatch token list")]
    List,
    /// Revoke a token.
    #[command(after_long_help = "Examples:\n  nuthatch token remove 3fA9bC2d")]
    Remove {
        /// As `list` shows it.
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleWord {
    /// Look, download and restore.
    Read,
    /// Change files, make backups, write notes.
    Member,
    /// Everything.
    Admin,
}

impl RoleWord {
    /// As the API calls it.
    const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }
}

/// `password`.
pub(super) fn password(link: &Link, out: Out, options: Password) -> Result<Exit, Fail> {
    let new = new_password()?;
    let value = if link.is_running()? {
        link.request(&post("password", &json!({"user": options.user, "new": *new})))?
    } else {
        let lock = lock_home(link.home()).map_err(|error| failed(&RunError::Home(error)))?;
        set_password_alone(lock.home(), &options.user, &new)?;
        json!({"user": options.user})
    };
    out.both(&value, |value| format!("The password of {} is set.\n", text(word(value, "user"))))?;
    Ok(Exit::Done)
}

/// `token`.
pub(super) fn token(link: &Link, out: Out, options: Token) -> Result<Exit, Fail> {
    match options {
        Token::Add { label, role, folders } => {
            let folders = (!folders.is_empty()).then_some(folders);
            let body = json!({"label": label, "role": role.word(), "folders": folders});
            let value = link.request(&post("tokens", &body))?;
            out.both(&value, |value| format!("{}\n", text(word(value, "token"))))?;
            out.advice("It is shown only now. `nuthatch token list` shows which there are.");
        }
        Token::List => {
            let value = link.request(&plain("GET", "tokens".to_owned()))?;
            out.both(&value, list)?;
        }
        Token::Remove { id } => {
            let value = link.request(&plain("DELETE", format!("tokens/{}", escape(&id))))?;
            out.both(&value, |_| format!("The token {} is revoked.\n", text(&id)))?;
        }
    }
    Ok(Exit::Done)
}

/// The tokens, a line each.
fn list(value: &Value) -> String {
    let tokens = value["tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
    if tokens.is_empty() {
        return "There is no token.\n".to_owned();
    }
    let line = |token: &Value| {
        let folders = token["folders"].as_array().map_or_else(
            || "all folders".to_owned(),
            |folders| folders.iter().filter_map(Value::as_str).map(text).collect::<Vec<_>>().join(", "),
        );
        let part = |key: &str| text(word(token, key));
        format!("{}  {}  {}  {}  {folders}\n", part("id"), part("created"), part("role"), part("label"))
    };
    tokens.iter().map(line).collect()
}
