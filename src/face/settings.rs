//! `config get`, `config set` and `config check`.
//!
//! Through the running node where there is one, since it has to know; else in the file itself, which is replaced whole.

use std::path::Path;

use super::exit::{Exit, Fail};
use super::link::Link;
use super::options::Config as Options;
use super::out::Out;
use super::place::absolute;
use super::show::text;
use crate::io::home::{lock_home, replace_file, HomeError};
use crate::node::api::{ApiError, Call};
use crate::node::config::{set, Config, FILE_NAME};
use crate::node::config_keys::KEYS;
use serde_json::{json, Value};

/// Does one of the three.
///
/// # Errors
/// When a key does not exist, a value does not fit, or the file is wrong or cannot be written.
pub fn config(link: &Link, out: Out, options: Options) -> Result<Exit, Fail> {
    match options {
        Options::Get { key } => get(link, out, key),
        Options::Set { key, value } => change(link, out, key, value),
        Options::Check { file } => check(link, out, file.as_deref()),
    }
}

/// `config get`.
fn get(link: &Link, out: Out, key: Option<String>) -> Result<Exit, Fail> {
    let value = if link.is_running()? {
        link.value(&Call::ConfigGet { key: key.clone() })?.0
    } else {
        let config = Config::parse(&read(&link.home().join(FILE_NAME))?).map_err(ApiError::from)?;
        match &key {
            None => config.values(),
            Some(key) => config.value(key).map_err(ApiError::from)?,
        }
    };
    out.both(&value, |value| match key {
        Some(_) => format!("{}\n", plain(value)),
        None => all(value),
    })?;
    Ok(Exit::Done)
}

/// Every key with its value and meaning.
fn all(values: &Value) -> String {
    let line = |key: &crate::node::config_keys::Key| {
        format!("# {}\n{} = {}\n", key.meaning, key.name, values[key.name])
    };
    KEYS.iter().map(line).collect()
}

/// A value as one would give it to `config set`.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), text)
}

/// `config set`.
fn change(link: &Link, out: Out, key: String, value: String) -> Result<Exit, Fail> {
    if link.is_running()? {
        link.value(&Call::ConfigSet { key: key.clone(), value: value.clone() })?;
    } else {
        let failed = |error: HomeError| Fail::new("home", error.to_string(), "");
        let lock = lock_home(link.home()).map_err(failed)?;
        let changed = set(&read(&lock.home().join(FILE_NAME))?, &key, &value).map_err(ApiError::from)?;
        replace_file(lock.home(), FILE_NAME, &changed).map_err(failed)?;
    }
    out.both(&json!({"key": key, "value": value}), |_| format!("{key} is set.\n"))?;
    Ok(Exit::Done)
}

/// `config check`.
fn check(link: &Link, out: Out, file: Option<&Path>) -> Result<Exit, Fail> {
    let path = match file {
        Some(file) => absolute(file)?,
        None => link.home().join(FILE_NAME),
    };
    let there = path.exists();
    if file.is_some() && !there {
        return Err(Fail::new("file", format!("there is no {}", path.display()), "check the path"));
    }
    Config::parse(&read(&path)?).map_err(ApiError::from)?;
    let value = json!({"file": path.to_string_lossy(), "exists": there, "valid": true});
    out.both(&value, |_| match there {
        true => format!("{} is right.\n", path.display()),
        false => format!("There is no {}: every key has its default.\n", path.display()),
    })?;
    Ok(Exit::Done)
}

/// The text of the file; empty when there is none.
fn read(path: &Path) -> Result<String, Fail> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        other => other.map_err(|error| Fail::file("read", path, &error)),
    }
}
