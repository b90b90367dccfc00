//! How the node's UDP socket is made: bound, never blocking, with as much buffer as the kernel gives.
//!
//! Decides nothing and sends nothing; `io/udp.rs` does.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::base::limits::UDP_BUFFER_BYTES;

/// A socket, and what it lacks.
#[derive(Debug)]
pub struct Bound {
    /// It.
    pub socket: UdpSocket,
    /// What the kernel gave less of.
    pub shortages: Vec<Shortage>,
}

/// A buffer that is smaller than was asked for: bursts are lost sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// The system's setting that holds it down.
    setting: &'static str,
    /// Bytes that it has.
    given: usize,
}

impl fmt::Display for Shortage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, given } = self;
        write!(
            formatter,
            "the kernel gives the UDP socket {given} bytes of buffer instead of {UDP_BUFFER_BYTES}, so fast transfers lose \
             more; `sysctl -w net.core.{setting}={UDP_BUFFER_BYTES}` would allow it"
        )
    }
}

/// A bound socket that never blocks.
///
/// # Errors
/// When the address cannot be had.
pub fn bind(address: SocketAddr) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    // Bursts arrive faster than a busy small machine takes them; what does not fit is lost and sent again.
    let receive = socket.set_recv_buffer_size(UDP_BUFFER_BYTES).and_then(|()| socket.recv_buffer_size());
    let send = socket.set_send_buffer_size(UDP_BUFFER_BYTES).and_then(|()| socket.send_buffer_size());
    socket.bind(&address.into())?;
    let shortages = [("rmem_max", receive), ("wmem_max", send)];
    let shortages = shortages.into_iter().filter_map(|(setting, size)| {
        // Linux reports twice what counts: the other half is for its own bookkeeping.
        let given = size.unwrap_or(0) / 2;
        (given < UDP_BUFFER_BYTES).then_some(Shortage { setting, given })
    });
    Ok(Bound { socket: socket.into(), shortages: shortages.collect() })
}
