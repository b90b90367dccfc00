//! `bench`: what a network and this machine's processor give the real protocol, memory to memory.
//!
//! Drives the two ends of `face/bench/ends.rs` over a real socket, with the code that a node uses, and prints what came
//! of it. No node, home or vault is touched.

use self::ends::{Failure, Measured, Quantity, Sender, Server};
use super::exit::{Exit, Fail};
use super::options::{BenchSend, BenchServe};
use super::out::Out;
use super::show;
use crate::base::units::Span;
use crate::io::os::{self, Clock};
use crate::io::post::{exchange, Post};
use crate::io::udp::UdpPort;
use crate::wire::frame::Lane;
use serde_json::{json, Value};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub mod ends;
pub mod rounds;
pub mod store;
pub mod upkeep;
pub mod vault;

/// `bench serve`: counts what one sender sends.
///
/// # Errors
/// When the address is busy, or the sender is lost in the middle.
pub fn serve(out: Out, options: &BenchServe) -> Result<Exit, Fail> {
    let mut post = listen(out, options.listen)?;
    let addresses: Vec<String> = post.udp().addresses().iter().map(ToString::to_string).collect();
    out.advice(&format!("Waiting for one `nuthatch bench send` on {}.", addresses.join(", ")));
    let mut server = Server::new(seed()?);
    smol::block_on(exchange(&mut post, &Clock::new(), &mut server));
    tell(out, server.result().map_err(|failure| failed(&failure, None))?, "received", &[])
}

/// `bench send`: sends to a server for a while.
///
/// # Errors
/// When nobody answers, or the server is lost in the middle.
pub fn send(out: Out, options: &BenchSend) -> Result<Exit, Fail> {
    let quantity = match options.bytes {
        Some(bytes) => Quantity::Bytes(bytes),
        None => Quantity::Time(Span::from_secs(u64::from(options.seconds))),
    };
    let lane = if options.background { Lane::Background } else { Lane::Bulk };
    let any = match options.address.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let mut post = listen(out, Some(SocketAddr::new(any, 0)))?;
    let clock = Clock::new();
    let mut sender = Sender::new(clock.time(), seed()?, options.address, lane, quantity);
    smol::block_on(exchange(&mut post, &clock, &mut sender));
    let measured = sender.result().map_err(|failure| failed(&failure, Some(options.address)))?;
    let peer = measured.peer.as_ref();
    let own = [
        ("retransmitted_bytes", json!(peer.map(|peer| peer.retransmitted_bytes))),
        ("packets", json!(peer.map(|peer| peer.sent_packets))),
        ("rtt_ms", json!(peer.map(|peer| peer.rtt.as_secs_f64() * 1_000.0))),
    ];
    tell(out, measured, "sent", &own)
}

/// A socket.
fn listen(out: Out, address: Option<SocketAddr>) -> Result<Post, Fail> {
    let udp = UdpPort::bind(address).map_err(|error| {
        let message = error.to_string();
        let (message, hint) = message.rsplit_once("; ").unwrap_or((&message, ""));
        Fail::new("listen", message, hint)
    })?;
    for shortage in udp.shortages() {
        out.advice(&shortage.to_string());
    }
    Ok(Post::new(udp))
}

/// Randomness for one end.
fn seed() -> Result<[u8; 32], Fail> {
    os::entropy().map_err(|error| Fail::new("system", error.to_string(), "restart the machine and try again"))
}

/// Prints what was measured.
fn tell(out: Out, measured: Measured, verb: &str, own: &[(&str, Value)]) -> Result<Exit, Fail> {
    let cpu_seconds = os::cpu_seconds();
    let peak_rss_bytes = os::peak_rss_bytes();
    let mut value = json!({
        "payload_bytes": measured.payload_bytes,
        "seconds": measured.span.as_secs_f64(),
        "mbit_per_s": mbit_per_s(measured.payload_bytes, measured.span),
        "cpu_seconds": cpu_seconds,
        "peak_rss_bytes": peak_rss_bytes,
    });
    for (name, of_one_end) in own {
        value[*name] = of_one_end.clone();
    }
    out.both(&value, |value| {
        let mut text = format!(
            "{verb} {} in {}: {:.1} Mbit/s, {cpu_seconds:.2} CPU-seconds, at most {} of memory\n",
            show::bytes(measured.payload_bytes),
            show::span(measured.span),
            value["mbit_per_s"].as_f64().unwrap_or_default(),
            show::bytes(peak_rss_bytes.unwrap_or_default()),
        );
        if let Some(peer) = measured.peer.filter(|_| !own.is_empty()) {
            text.push_str(&format!(
                "{} packets, {} sent again, round trip {:.3} ms\n",
                show::number(peer.sent_packets),
                show::bytes(peer.retransmitted_bytes),
                peer.rtt.as_secs_f64() * 1_000.0
            ));
        }
        text
    })?;
    Ok(Exit::Done)
}

/// Payload in a time as a rate, to three places: bits in a microsecond.
fn mbit_per_s(bytes: u64, span: Span) -> f64 {
    let thousandths = u128::from(bytes) * 8_000 / u128::from(span.as_micros().max(1));
    f64::from(u32::try_from(thousandths).unwrap_or(u32::MAX)) / 1_000.0
}

/// A failure as the command line tells it.
fn failed(failure: &Failure, address: Option<SocketAddr>) -> Fail {
    match failure {
        Failure::NoAnswer => {
            let address = address.map(|address| address.to_string()).unwrap_or_default();
            Fail::new(
                "no_bench",
                format!("nobody answers at {address}"),
                "start `nuthatch bench serve --listen ADDR` there, and look at firewalls on the way",
            )
        }
        Failure::Lost(reason) => Fail::new(
            "bench_lost",
            format!("the other end is gone in the middle of it: {reason}"),
            "look at the other end, and start both again",
        ),
        Failure::Miscounted { sent, received } => Fail::new(
            "internal",
            format!("{sent} bytes were sent and {received} bytes have arrived"),
            "this is a mistake of this program; please report it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_bits_in_a_microsecond() {
        let rate = |bytes, micros| format!("{:.3}", mbit_per_s(bytes, Span::from_micros(micros)));
        assert_eq!(rate(1_000_000, 1_000_000), "8.000");
        assert_eq!(rate(12_345, 1_000_000), "0.098");
        assert_eq!(rate(0, 0), "0.000");
    }
}
