//! A node from its start to its end: takes the home's lock, opens the store, binds the sockets, drives the core until
//! somebody asks it to stop, lets it say good-bye, and takes all of that down again in the opposite order.
//!
//! Decides nothing that the core could decide. The loop itself is in `io/drive.rs`.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

use async_net::unix::UnixListener;
use smol::channel::{unbounded, Sender};
use smol::LocalExecutor;

use super::calls::Calls;
use super::drive::{Driver, Machine, Over, Ports};
use super::home::{place_control, CONFIG_NAME};
use super::http::{serve_tcp, serve_unix, Site};
use super::mdns::Mdns;
use super::os::{self, lock_home, Clock, HomeError, OsError, StopSignal};
use super::outward::{alerts::deliver, Errands};
use super::post::Post;
use super::socket::Shortage;
use super::tcp::TcpError;
use super::threads::{start_files, start_store, ThreadError, Word};
use super::udp::{UdpError, UdpPort};
use super::watch::{self, Changes, Watches};
use crate::base::limits::{FEED_ENTRIES_OWN_MAX, WEB_PORT};
use crate::node::api::ApiError;
use crate::node::config::{Config, ConfigError};
use crate::node::core::{Core, Setup};
use crate::node::ports::Notice;
use web::WebPort;

/// Told when the node can be reached.
pub type TellReady = Box<dyn FnOnce(&Ready)>;

/// What a [`Site`] is made of.
#[derive(Debug)]
pub struct SiteParts {
    /// The core's API.
    pub calls: Calls,
    /// The data home.
    pub home: PathBuf,
    /// The time.
    pub clock: Clock,
    /// This machine's name.
    pub host_name: String,
    /// Names by which the page may be called (`web.hosts`).
    pub hosts: Vec<String>,
    /// Where the web page is, if it is on.
    pub web: Option<SocketAddr>,
    /// It is encrypted.
    pub is_encrypted: bool,
    /// The main thread's tasks.
    pub executor: Weak<LocalExecutor<'static>>,
}

/// Makes what answers requests; the error says why it cannot.
pub type MakeSite = Box<dyn FnOnce(SiteParts) -> Result<Rc<dyn Site>, ApiError>>;

/// Where the web page is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Web {
    /// As `web.listen` says.
    Configured,
    /// Nowhere.
    Off,
    /// Here, which must be free.
    At(SocketAddr),
}

/// How to run.
pub struct RunOptions {
    /// The data home.
    pub home: PathBuf,
    /// The UDP address, which must be free; None: as configured, else the default port or, if that is busy, a free one.
    pub listen: Option<SocketAddr>,
    /// Whether to speak mDNS; None: as configured.
    pub mdns: Option<bool>,
    /// The web page.
    pub web: Web,
    /// Makes what answers the command line and the page.
    pub site: MakeSite,
    /// Called when the node can be reached.
    pub ready: Option<TellReady>,
}

impl fmt::Debug for RunOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RunOptions")
            .field("home", &self.home)
            .field("listen", &self.listen)
            .field("mdns", &self.mdns)
            .finish_non_exhaustive()
    }
}

/// Where a node can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// By other nodes.
    pub addresses: Vec<SocketAddr>,
    /// The default port was busy.
    pub fell_back: bool,
    /// By the command line.
    pub control: PathBuf,
    /// By browsers.
    pub web: Option<SocketAddr>,
    /// By which certificate they know that it is this node: its fingerprint.
    pub certificate: Option<String>,
}

/// How a node that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was asked to.
    Stopped,
    /// It wants to be started anew, with what is on its disk.
    Afresh,
}

/// Why a node does not run (any more).
#[derive(Debug)]
pub enum RunError {
    /// The home cannot be used.
    Home(HomeError),
    /// The system lacks something.
    Os(OsError),
    /// `nuthatch.toml` is wrong.
    Config(ConfigError),
    /// The UDP socket.
    Udp(UdpError),
    /// The socket of the web page.
    Web(TcpError),
    /// The control socket.
    Control {
        /// Its path.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// A thread, or the store in it.
    Thread(ThreadError),
    /// The call that was to be done alone failed.
    Api(ApiError),
    /// The call that was to be done alone waits for something that only a running node has.
    Stuck,
}

impl fmt::Display for RunError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home(error) => error.fmt(formatter),
            Self::Os(error) => error.fmt(formatter),
            Self::Config(error) => error.fmt(formatter),
            Self::Udp(error) => error.fmt(formatter),
            Self::Web(error) => error.fmt(formatter),
            Self::Control { path, error } => write!(
                formatter,
                "cannot listen on the control socket {}: {error}; check the directory's permissions",
                path.display()
            ),
            Self::Thread(error) => error.fmt(formatter),
            Self::Api(error) => error.fmt(formatter),
            Self::Stuck => {
                formatter.write_str("this needs a running node; start one with nuthatch run, then try again")
            }
        }
    }
}

impl std::error::Error for RunError {}

/// What a core is started with, from the configuration in the home (which may be missing).
///
/// # Errors
/// When the configuration cannot be read or is wrong.
pub fn setup(home: &Path) -> Result<Setup, RunError> {
    let path = home.join(CONFIG_NAME);
    let config_text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(RunError::Home(HomeError::Io { verb: "read", path, error })),
    };
    let config = Config::parse(&config_text).map_err(RunError::Config)?;
    Ok(Setup {
        config,
        config_text,
        host_name: os::hostname(),
        discovery: false,
        certificate: None,
        feed_entries: FEED_ENTRIES_OWN_MAX,
        lost: None,
    })
}

/// Runs a node until SIGINT or SIGTERM, or until it wants to be started anew.
///
/// # Errors
/// When it cannot start, or a thread fails while it runs.
pub fn run(options: RunOptions) -> Result<End, RunError> {
    // First of all, so that a signal during a long start is not missed.
    let mut stop = StopSignal::new().map_err(RunError::Os)?;
    run_until(options, async move { stop.wait().await })
}

/// Runs a node until `stop` is ready.
///
/// # Errors
/// As [`run`].
pub fn run_until(options: RunOptions, stop: impl Future<Output = ()> + 'static) -> Result<End, RunError> {
    let lock = lock_home(&options.home).map_err(RunError::Home)?;
    let mut setup = setup(lock.home())?;
    log::set_max_level(setup.config.log_level);
    let clock = Clock::new();
    let udp = UdpPort::bind(options.listen.or(setup.config.listen)).map_err(RunError::Udp)?;
    let mut web = WebPort::bind(options.web, &setup.config)?;
    if let Some(web) = &mut web {
        web.encrypt(lock.home(), &setup, clock)?;
        setup.certificate = web.certificate.clone();
    }
    let mdns = if options.mdns.unwrap_or(setup.config.mdns) { start_mdns(&setup.config) } else { None };
    setup.discovery = mdns.is_some();
    let (told, words) = unbounded();
    os::notify_status(false, "Opening the store; after a crash or on a new disk this may take a while.");
    let (store, report) = start_store(lock.home(), clock, told.clone()).map_err(RunError::Thread)?;
    told::say_opened(&report);
    setup.lost = told::lost(&report);
    let (watches, changes) = start_watches(&told);
    let files = start_files(lock.home(), watches, told.clone()).map_err(RunError::Thread)?;
    let (calls, heard) = Calls::new();
    let home = lock.home().to_path_buf();
    let executor = Rc::new(LocalExecutor::new());
    let site = SiteParts {
        calls: calls.clone(),
        home: home.clone(),
        clock,
        host_name: setup.host_name.clone(),
        hosts: setup.config.web_hosts.clone(),
        web: web.as_ref().map(|web| web.port.local),
        is_encrypted: setup.certificate.is_some(),
        executor: Rc::downgrade(&executor),
    };
    let site = (options.site)(site).map_err(RunError::Api)?;
    let core = Core::new(os::entropy().map_err(RunError::Os)?, setup);
    let post = Post::new(udp);
    let (outward, posts) = Errands::new(&home, told.clone());
    let ports = Ports { clock, post, store, files, words, outward, calls, heard, changes, mdns, home };
    let delivering = executor.spawn(deliver(posts, told));
    let driver = Driver::new(core, ports);
    let rest = driver.rest();
    let lived = live(Rc::clone(&executor), driver, (site, web, options.ready), stop);
    let result = rest.block_on(executor.run(lived));
    drop(delivering);
    result
}

/// Starts discovery; a node works without.
fn start_mdns(config: &Config) -> Option<Mdns> {
    Mdns::start(&config.mdns_interfaces)
        .map_err(|error| {
            log::warn!(
                "no discovery on the local network: {error}; other nodes can be named with --peer ADDR"
            );
        })
        .ok()
}

/// Starts watching; a node works without, and says so.
fn start_watches(told: &Sender<Word>) -> (Option<Watches>, Option<Changes>) {
    match watch::start() {
        Ok((watches, changes)) => (Some(watches), Some(changes)),
        Err(error) => {
            let _ = told.try_send(Word::Notice(Notice::Unavailable(error.to_string())));
            (None, None)
        }
    }
}

/// From the control socket's birth to its end. (`stop` becomes a task: beside the loop it would look at the signals in every turn.)
async fn live<M: Machine>(
    executor: Rc<LocalExecutor<'static>>,
    mut driver: Driver<M>,
    (site, web, tell): (Rc<dyn Site>, Option<WebPort>, Option<TellReady>),
    stop: impl Future<Output = ()> + 'static,
) -> Result<End, RunError> {
    let control = place_control(&driver.ports().home).map_err(RunError::Home)?;
    let listener = bind_control(&control)?;
    let mut served = vec![executor.spawn(serve_unix(Rc::clone(&executor), listener, Rc::clone(&site)))];
    let listening = driver.ports().mdns.as_ref().map(|mdns| executor.spawn(mdns.listen(driver.sighted())));
    let udp = driver.ports().post.udp();
    let page = web.as_ref().map(|web| web.port.local);
    let certificate = web.as_ref().and_then(|web| web.certificate.clone());
    let (addresses, fell_back) = (udp.addresses(), udp.fell_back());
    let ready = Ready { addresses, fell_back, control, web: page, certificate };
    say_ready(&ready, udp.local(), udp.shortages());
    if let Some(web) = web {
        let WebPort { port, tls, .. } = web;
        if port.fell_back {
            log::warn!(
                "TCP port {WEB_PORT} was busy, so the web page is on port {} for now",
                port.local.port()
            );
        }
        served.push(executor.spawn(serve_tcp(Rc::clone(&executor), port.listener, site, tls)));
    }
    if let Some(tell) = tell {
        tell(&ready);
    }
    let mut asked = executor.spawn(async {
        stop.await;
        None
    });
    let over = smol::future::or(&mut asked, async { Some(driver.run().await) }).await;
    if !matches!(over, Some(Over::Afresh)) {
        os::notify_stopping();
    }
    log::info!("stopping");
    driver.farewell();
    let _ = std::fs::remove_file(&ready.control);
    for served in served {
        served.cancel().await;
    }
    if let Some(listening) = listening {
        listening.cancel().await;
    }
    let ports = driver.into_ports();
    ports.calls.close();
    if let Some(mdns) = ports.mdns {
        mdns.stop();
    }
    // The file thread may hang on a dead network disk: nobody waits for it. The store is synced and closed.
    let closed = ports.store.finish();
    match over {
        Some(Over::Failed(error)) => Err(RunError::Thread(error)),
        Some(Over::Afresh) if !was_asked_meanwhile(&asked).await => {
            closed.map(|()| End::Afresh).map_err(RunError::Thread)
        }
        _ => closed.map(|()| End::Stopped).map_err(RunError::Thread),
    }
}

/// Whether the node was asked to stop while it ended in order to start anew: the signals that have come are looked at once more.
async fn was_asked_meanwhile<T>(asked: &smol::Task<T>) -> bool {
    smol::Timer::after(std::time::Duration::from_millis(1)).await;
    smol::future::yield_now().await;
    asked.is_finished()
}

/// Logs where the node can be reached.
fn say_ready(ready: &Ready, local: SocketAddr, shortages: &[Shortage]) {
    if ready.fell_back {
        log::warn!("the default port was busy, so this node listens on port {} for now", local.port());
    }
    let addresses: Vec<String> = ready.addresses.iter().map(ToString::to_string).collect();
    for shortage in shortages {
        log::info!("{shortage}");
    }
    log::info!("listening on {}; control socket {}", addresses.join(", "), ready.control.display());
}

/// Binds the control socket for this user only. What is left of an earlier run that was cut off is removed: the home's
/// lock says that nobody uses it.
fn bind_control(path: &Path) -> Result<UnixListener, RunError> {
    let failed = |error| RunError::Control { path: path.to_path_buf(), error };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

mod told;
mod web;

#[cfg(test)]
mod tests;
