//! What the core may not read itself: clocks, entropy, this machine's name, what the process has used, signals, and
//! the service manager.
//!
//! Decides nothing. The home is in `io/home.rs`, whose functions are named here too.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_signal::{Signal, Signals};
use rustix::rand::GetRandomFlags;
use rustix::time::ClockId;
use sd_notify::NotifyState;
use smol::stream::StreamExt;

pub use super::home::{control_path, default_home, lock_home, HomeError, HomeLock};
use crate::base::units::{Moment, Span, Time, WallTime};

/// The system does not give what a node cannot be without.
#[derive(Debug)]
pub struct OsError {
    /// What was asked for.
    what: &'static str,
    /// The system's words.
    error: std::io::Error,
}

impl fmt::Display for OsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the system gave no {}: {}; restart the machine and try again",
            self.what, self.error
        )
    }
}

impl std::error::Error for OsError {}

/// Both clocks; the monotonic one begins at zero when this is made.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// The origin of [`Time`].
    origin: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// A clock that begins now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where monotonic time is read")]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }

    /// The moment it is.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment { time: self.time(), wall: wall_time() }
    }

    /// Monotonic time only.
    #[must_use]
    pub fn time(&self) -> Time {
        Time::from_micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The same point of time for the executor's timers; None if it is too far away to be told.
    #[must_use]
    pub fn instant(&self, time: Time) -> Option<Instant> {
        self.origin.checked_add(Duration::from_micros(time.as_micros()))
    }
}

/// What the wall clock shows, before 1970 too.
#[expect(clippy::disallowed_methods, reason = "the one place where wall time is read")]
fn wall_time() -> WallTime {
    let micros = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    };
    WallTime::from_micros(micros)
}

/// A span for timers of the standard library and the executor.
#[must_use]
pub const fn duration(span: Span) -> Duration {
    Duration::from_micros(span.as_micros())
}

/// 32 bytes from the kernel's generator; waits until it is seeded (early in a boot).
///
/// # Errors
/// When the kernel has none to give.
pub fn entropy() -> Result<[u8; 32], OsError> {
    let mut bytes = [0; 32];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(OsError { what: "entropy", error: errno.into() }),
        }
    }
    Ok(bytes)
}

/// This machine's name without its domain; "node" if it has none.
#[must_use]
pub fn hostname() -> String {
    let facts = rustix::system::uname();
    let name = facts.nodename().to_string_lossy();
    let short = name.split('.').next().unwrap_or_default();
    if short.is_empty() || short == "(none)" {
        "node".to_owned()
    } else {
        short.to_owned()
    }
}

/// The most memory that this process ever had resident, in bytes.
#[must_use]
pub fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Processor time that this process has used, in seconds.
#[must_use]
pub fn cpu_seconds() -> f64 {
    let spent = rustix::time::clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(spent.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(spent.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos).as_secs_f64()
}

/// Waits for somebody to ask the process to stop (SIGINT or SIGTERM); made early so that none is missed.
#[derive(Debug)]
pub struct StopSignal {
    /// The registered signals.
    signals: Signals,
}

impl StopSignal {
    /// From now on the two signals no longer end the process by themselves.
    ///
    /// # Errors
    /// When the system refuses the registration.
    pub fn new() -> Result<Self, OsError> {
        let signals =
            Signals::new([Signal::Int, Signal::Term]).map_err(|error| OsError { what: "signals", error })?;
        Ok(Self { signals })
    }

    /// Returns when one arrived.
    pub async fn wait(&mut self) {
        // An error or an end of the stream cannot be told from a signal safely: stopping is the safe answer to both.
        let _ = self.signals.next().await;
    }
}

/// Whether there is a service manager that wants to be told how the node is.
#[must_use]
pub fn is_supervised() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty())
}

/// Tells the service manager how things are, and `is_ready`: that the node serves from now on.
pub fn notify_status(is_ready: bool, sentence: &str) {
    // A line of its own would be an order to the service manager; names of devices are anybody's.
    let line: String = sentence.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
    let states = [NotifyState::Status(&line), NotifyState::Ready];
    notify(if is_ready { &states } else { &states[..1] });
}

/// Tells the service manager that the node is about to stop.
pub fn notify_stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Gives the service manager a sign of life.
pub fn notify_watchdog() {
    notify(&[NotifyState::Watchdog]);
}

/// After how long without [`notify_watchdog`] the service manager gives the node up; None: nobody watches.
#[must_use]
pub fn watchdog_interval() -> Option<Span> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    // It may have been meant for who has started this process.
    let is_meant = std::env::var_os("WATCHDOG_PID").is_none()
        || number("WATCHDOG_PID") == Some(u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0).map(Span::from_micros)
}

/// Shows whether a thread turns: odd while it does something, even while it waits for work.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicU32>);

impl Pulse {
    /// Work begins, or ends.
    pub fn turn(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The work has come further.
    pub fn step(&self) {
        self.0.fetch_add(2, Ordering::Relaxed);
    }

    /// What it shows.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Sends a state; the node works as well without a service manager.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        log::debug!("the service manager could not be told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_begins_at_zero_and_never_goes_back() {
        let clock = Clock::new();
        let first = clock.now();
        let second = clock.now();
        assert!(first.time <= second.time);
        assert!(first.time < Time::from_micros(60_000_000));
        // 2024 to 2200: the wall clock of whoever runs this test.
        assert!((1_704_067_200_000_000..7_258_118_400_000_000).contains(&first.wall.as_micros()));
    }

    #[test]
    fn entropy_differs_and_the_machine_says_what_it_used() {
        assert_ne!(entropy().unwrap(), entropy().unwrap());
        assert!(peak_rss_bytes().unwrap() > 1024 * 1024);
        assert!(cpu_seconds() >= 0.0);
        assert!(!hostname().is_empty() && !hostname().contains('.'));
    }
}
