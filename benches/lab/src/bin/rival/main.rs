//! nuthatch's rivals, memory to memory, one thread a side, with the same interface as `nuthatch bench`.
//!
//! `rival tcp|quinn serve --listen ADDR --congestion cubic|bbr [--certificate FILE]`: one run, then exit.
//! `rival tcp|quinn send ADDR --congestion cubic|bbr [--certificate FILE] --seconds N|--bytes N`
//!
//! Each side prints one JSON line. A run ends for the sender when the receiver has confirmed the last byte, so what lies in
//! buffers is not counted as sent. quinn's server writes its certificate to FILE before it listens, the client trusts only that.

mod quic;
mod tcp;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::sys::resource::{getrusage, UsageWho};
use nix::sys::time::TimeValLike;
use socket2::Socket;

/// What one write hands over.
const CHUNK_BYTES: usize = 64 * 1024;
/// Asked of the kernel for each UDP socket: quinn itself leaves it at the system's default, which is a millisecond at 1 Gbit/s.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [transport, side, rest @ ..] = &arguments[..] else {
        return Err("usage: rival tcp|quinn serve|send ...".into());
    };
    let flag = |name: &str| rest.iter().position(|f| f == name).and_then(|i| rest.get(i + 1));
    let need = |name: &str| flag(name).ok_or(format!("{name} is missing"));
    let congestion = need("--congestion")?;
    match (transport.as_str(), side.as_str()) {
        ("tcp", "serve") => tcp::serve(need("--listen")?.parse()?, congestion),
        ("tcp", "send") => tcp::send(target(rest)?, congestion, &Goal::from(&flag)?),
        ("quinn", "serve") => quic::serve(need("--listen")?.parse()?, congestion, need("--certificate")?),
        ("quinn", "send") => {
            quic::send(target(rest)?, congestion, need("--certificate")?, &Goal::from(&flag)?)
        }
        _ => Err(format!("unknown: {transport} {side}").into()),
    }
}

fn target(rest: &[String]) -> Result<SocketAddr, Box<dyn std::error::Error>> {
    Ok(rest.first().ok_or("the address is missing")?.parse()?)
}

/// When the sender stops.
enum Goal {
    Bytes(u64),
    Time(Duration),
}

impl Goal {
    fn from<'a>(flag: &impl Fn(&str) -> Option<&'a String>) -> Result<Goal, Box<dyn std::error::Error>> {
        match (flag("--bytes"), flag("--seconds")) {
            (Some(bytes), None) => Ok(Goal::Bytes(bytes.parse()?)),
            (None, Some(seconds)) => Ok(Goal::Time(Duration::from_secs_f64(seconds.parse()?))),
            _ => Err("give either --bytes or --seconds".into()),
        }
    }

    /// How many bytes to write next; 0 = stop.
    fn next(&self, sent: u64, started: Instant) -> usize {
        match self {
            Goal::Bytes(bytes) => (bytes - sent).min(CHUNK_BYTES as u64) as usize,
            Goal::Time(time) if started.elapsed() < *time => CHUNK_BYTES,
            Goal::Time(_) => 0,
        }
    }
}

/// The line that each side prints.
fn tell(payload_bytes: u64, time: Duration) {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage knows this process");
    let cpu_us = (usage.user_time() + usage.system_time()).num_microseconds();
    let seconds = time.as_secs_f64();
    println!(
        "{{\"payload_bytes\": {payload_bytes}, \"seconds\": {seconds:.3}, \"mbit_per_s\": {:.3}, \"cpu_seconds\": {:.3}, \
         \"peak_rss_bytes\": {}}}",
        payload_bytes as f64 * 8.0 / 1e6 / seconds.max(1e-9),
        cpu_us as f64 / 1e6,
        peak_rss_bytes(),
    );
}

/// Of this program alone. getrusage would count what ran in this process before `exec`: the script that started us.
fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|kib| kib.trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Large buffers, beyond the system's limit where we may.
fn enlarge(socket: &Socket) -> Outcome {
    use nix::sys::socket::{setsockopt, sockopt};
    if setsockopt(socket, sockopt::RcvBufForce, &SOCKET_BUFFER_BYTES).is_err() {
        socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    }
    if setsockopt(socket, sockopt::SndBufForce, &SOCKET_BUFFER_BYTES).is_err() {
        socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    }
    Ok(())
}
