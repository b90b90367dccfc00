//! `run`: the node in the foreground.
//!
//! Sets up the log, checks the options, and leaves the rest to `io/run.rs`. With `--json` one line on standard output says
//! when the node can be spoken to.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use super::exit::{Exit, Fail};
use super::options::{Run, Switch};
use super::out::Out;
use super::web::make_site;
use crate::base::limits::EXIT_TIME_MAX;
use crate::io::home::HomeError;
use crate::io::known::recognise;
use crate::io::run::{run as run_node, End, Ready, RunError, RunOptions};
use crate::node::api::ApiError;
use crate::node::config::{Config, FILE_NAME};
use rustix::process::{getpid, kill_process, Signal};
use serde_json::json;

/// Runs until it is told to stop.
///
/// # Errors
/// When the home is in use or wrong, or the address is busy.
pub fn run(home: &Path, out: Out, options: &Run) -> Result<Exit, Fail> {
    begin_log(home);
    if options.exit_with_stdin {
        end_with_stdin()?;
    }
    let mdns = options.mdns.map(|switch| switch == Switch::On);
    let name = home.to_string_lossy().into_owned();
    let ready = move |ready: &Ready| {
        let addresses: Vec<String> = ready.addresses.iter().map(ToString::to_string).collect();
        // A node whose starter does not listen runs all the same.
        let web = ready.web.map(|address| address.to_string());
        let certificate = &ready.certificate;
        let _ = out.value(
            &json!({"event": "ready", "listen": addresses, "web": web, "certificate": certificate, "home": name}),
        );
        out.advice(&format!("The node listens on {}. Ctrl-C ends it.", addresses.join(", ")));
        if let Some(page) = ready.web {
            let scheme = if certificate.is_some() { "https" } else { "http" };
            out.advice(&format!("The web page is on {scheme}://{}", page_address(page)));
        }
        if let Some(fingerprint) = certificate {
            out.advice(&format!("The fingerprint of its certificate (SHA-256) is {fingerprint}"));
        }
    };
    let seen = || match options.exit_with_stdin {
        // Whoever starts a node for a while only has it in a place of its own.
        true => Ok(()),
        false => recognise(home).map_err(|error| failed(&RunError::Home(error))),
    };
    seen()?;
    let (home, listen, web, site) = (home.to_path_buf(), options.listen, options.web, Box::new(make_site));
    let end = run_node(RunOptions { home, listen, web, mdns, site, ready: Some(Box::new(ready)) })
        .map_err(|error| failed(&error))?;
    // A store that was made meanwhile is known from now on.
    seen()?;
    match end {
        End::Stopped => Ok(Exit::Done),
        End::Afresh => Err(begin_afresh()),
    }
}

/// This program once more, in the same process and by its name, so that whoever supervises it notices nothing. Only a failure returns.
fn begin_afresh() -> Fail {
    // By the path of this process where the file was replaced meanwhile.
    let path = std::env::current_exe().ok().filter(|path| path.exists());
    let mut given = std::env::args_os();
    let mut command = Command::new(path.unwrap_or_else(|| "/proc/self/exe".into()));
    command.arg0(given.next().unwrap_or_default());
    let error = command.args(given).exec();
    let hint = "start it with `nuthatch run`, or with `systemctl start nuthatch` where it is a service";
    Fail::new("start", format!("this node wanted to start anew, and cannot be started: {error}"), hint)
}

/// Where a browser on this machine finds the page.
fn page_address(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(four) if four.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(six) if six.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        _ => address,
    }
}

/// A failure of the node as the command line tells it.
#[must_use]
pub fn failed(error: &RunError) -> Fail {
    let code = match error {
        RunError::Api(error) => return error.clone().into(),
        RunError::Config(error) => return ApiError::from(error.clone()).into(),
        RunError::Home(HomeError::Busy { .. }) => "home_in_use",
        RunError::Home(_) => "home",
        RunError::Udp(_) | RunError::Web(_) => "listen",
        _ => "start",
    };
    let message = error.to_string();
    let (message, hint) = message.rsplit_once("; ").unwrap_or((&message, ""));
    Fail::new(code, message, hint)
}

/// Sends the log to standard error, as much as the configuration says.
fn begin_log(home: &Path) {
    // A configuration that is wrong is told by the node itself.
    let text = std::fs::read_to_string(home.join(FILE_NAME)).unwrap_or_default();
    let level = Config::parse(&text).map_or(log::LevelFilter::Info, |config| config.log_level);
    let logger = simple_logger::SimpleLogger::new().with_level(level);
    if let Err(error) = logger.init() {
        log::warn!("the log was begun already: {error}");
    }
}

/// Asks this process to stop when standard input closes, and ends it if it does not.
fn end_with_stdin() -> Result<(), Fail> {
    let wait = || {
        let mut block = [0; 64];
        // Data is ignored; an error is an end too.
        while std::io::stdin().read(&mut block).is_ok_and(|count| count > 0) {}
        if let Err(errno) = kill_process(getpid(), Signal::TERM) {
            log::error!("cannot stop: {errno}");
        }
        std::thread::park_timeout(std::time::Duration::from_micros(EXIT_TIME_MAX.as_micros()));
        std::process::exit(i32::from(Exit::Failed.number()));
    };
    let thread = std::thread::Builder::new().name("stdin".to_owned()).stack_size(64 * 1024).spawn(wait);
    thread
        .map(|_| ())
        .map_err(|error| Fail::new("start", format!("cannot start a thread: {error}"), "end other programs"))
}
