//! A stranger's flood of datagrams at a node: `flood ADDR --seconds N [--rate PACKETS_PER_SECOND] [--kind noise|init|data]`.
//!
//! `noise` is random bytes, `init` first messages of a handshake with a wrong MAC, `data` packets of sessions that do
//! not exist. Prints how many were sent and how many bytes came back (it should be none), as one line of JSON.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// xorshift64*: speed matters here, secrecy does not.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// The value after a flag.
fn option(arguments: &[String], name: &str) -> Option<String> {
    arguments.iter().position(|one| one == name).and_then(|place| arguments.get(place + 1)).cloned()
}

/// The next datagram, written over the last; its length.
fn datagram(kind: &str, dice: &mut Dice, bytes: &mut [u8; 1_200]) -> Result<usize, String> {
    let header: &[u8] = match kind {
        "noise" => &[],
        "init" => &[1, 1, 1, 0],
        "data" => &[4, 1, 0, 0],
        other => return Err(format!("there is no kind '{other}'; use noise, init or data")),
    };
    let length = if kind == "init" { 440 } else { 32 + usize::try_from(dice.next() % 1_168).unwrap_or(0) };
    dice.fill(&mut bytes[..length]);
    bytes[..header.len()].copy_from_slice(header);
    if kind == "init" {
        bytes[8..12].fill(0);
    }
    Ok(length)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: flood ADDR --seconds N [--rate PACKETS_PER_SECOND] [--kind noise|init|data]";
    let to: SocketAddr = arguments.first().ok_or(usage)?.parse().map_err(|_| usage)?;
    let seconds: u64 = option(&arguments, "--seconds").ok_or(usage)?.parse()?;
    let rate: u64 = option(&arguments, "--rate").map_or(Ok(u64::MAX), |text| text.parse())?;
    let kind = option(&arguments, "--kind").unwrap_or_else(|| "noise".to_owned());
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    let (mut dice, mut bytes, mut room) = (Dice(0x9e37_79b9_7f4a_7c15), [0; 1_200], [0; 2_048]);
    let (mut sent, mut sent_bytes, mut answers, mut answer_bytes) = (0_u64, 0_u64, 0_u64, 0_u64);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(seconds) {
        let allowed = u128::from(rate).saturating_mul(start.elapsed().as_micros()) / 1_000_000;
        if u128::from(sent) >= allowed {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        let length = datagram(&kind, &mut dice, &mut bytes)?;
        // What the kernel has no room for is not sent; a node that is not there says so through ICMP.
        if socket.send(&bytes[..length]).is_ok() {
            sent += 1;
            sent_bytes += u64::try_from(length)?;
        }
        while let Ok(length) = socket.recv(&mut room) {
            answers += 1;
            answer_bytes += u64::try_from(length)?;
        }
    }
    println!(
        "{{\"kind\":\"{kind}\",\"sent\":{sent},\"sent_bytes\":{sent_bytes},\"answers\":{answers},\"answer_bytes\":{answer_bytes}}}"
    );
    Ok(())
}
