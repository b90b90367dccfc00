//! `pause`, `resume` and `sync`: holding still, and the opposite.

use super::exit::{Exit, Fail};
use super::job::scan;
use super::link::Link;
use super::out::Out;
use super::show::text;
use crate::base::units::Span;
use crate::node::api::Call;
use crate::node::config_keys::span_of;
use clap::Args;
use serde_json::Value;

/// Options of `sync`.
#[derive(Debug, Args)]
pub struct Sync {
    /// Wait until enough other devices hold it, or until it is clear that they cannot now.
    #[arg(long)]
    pub wait: bool,
}

/// Options of `pause`.
#[derive(Debug, Args)]
pub struct Pause {
    /// Only for so long: a number with s, m, h or d.
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    pub span: Option<Span>,
}

/// A span of time.
fn time(text: &str) -> Result<Span, String> {
    span_of(text).ok_or_else(|| "a number with s, m, h or d, such as 90m".to_owned())
}

/// `sync`: reaches for all nodes, scans all folders, and waits for copies if asked to.
///
/// # Errors
/// When a folder cannot be read or stored.
pub fn sync(link: &Link, out: Out, options: &Sync) -> Result<Exit, Fail> {
    scan(link, out, &Call::Sync { wait: options.wait })
}

/// `pause`.
///
/// # Errors
/// When no node runs.
pub fn pause(link: &Link, out: Out, options: &Pause) -> Result<Exit, Fail> {
    change(link, out, &Call::Pause { span_us: options.span.map(Span::as_micros) })
}

/// `resume`.
///
/// # Errors
/// When no node runs.
pub fn resume(link: &Link, out: Out) -> Result<Exit, Fail> {
    change(link, out, &Call::Resume)
}

/// Changes it, and says how it is.
fn change(link: &Link, out: Out, call: &Call) -> Result<Exit, Fail> {
    let (value, ending) = link.value(call)?;
    out.both(&value, told)?;
    Ok(ending.into())
}

/// How it is.
fn told(value: &Value) -> String {
    match value["until"].as_str() {
        Some(until) => format!("Paused until {}.\n", text(until)),
        None if value["paused"] == true => "Paused, until `nuthatch resume`.\n".to_owned(),
        None if value["was_paused"] == true => "Goes on.\n".to_owned(),
        None => "It was not paused.\n".to_owned(),
    }
}
