//! The TCP socket of the web page, for both IP versions where the machine has both.
//!
//! Decides nothing; who may come is the business of `io/http/serve.rs` and of whoever answers there.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use async_net::TcpListener;
use smol::Async;
use socket2::{Domain, Protocol, Socket, Type};

use crate::base::limits::WEB_PORT;

/// The socket could not be had.
#[derive(Debug)]
pub struct TcpError {
    /// Which address was wanted.
    pub address: SocketAddr,
    /// The system's words.
    pub error: io::Error,
}

impl fmt::Display for TcpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot serve the web page on TCP {}: {}; ", self.address, self.error)?;
        formatter.write_str(match self.error.kind() {
            io::ErrorKind::AddrInUse => "another program has that port, so name another with --web ADDR",
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address, so name another with --web ADDR"
            }
            io::ErrorKind::PermissionDenied => "ports below 1024 need root, so name another with --web ADDR",
            _ => "name another with --web ADDR, or --web off",
        })
    }
}

impl std::error::Error for TcpError {}

/// A bound socket that listens.
#[derive(Debug)]
pub struct TcpPort {
    /// It.
    pub listener: TcpListener,
    /// Where it is bound, with the real port.
    pub local: SocketAddr,
    /// The default port was busy.
    pub fell_back: bool,
}

impl TcpPort {
    /// Binds `address`, or, without one, the default port on all addresses of both IP versions, or any free port if that
    /// one is busy.
    ///
    /// # Errors
    /// When a port that was asked for cannot be had.
    pub fn bind(address: Option<SocketAddr>) -> Result<Self, TcpError> {
        if let Some(address) = address {
            return listen(address, false).map_err(|error| TcpError { address, error });
        }
        let six = SocketAddr::from((Ipv6Addr::UNSPECIFIED, WEB_PORT));
        let four = SocketAddr::from((Ipv4Addr::UNSPECIFIED, WEB_PORT));
        // Where there is no IPv6, each way fails and the next one is tried.
        let mut tried = Vec::with_capacity(4);
        for mut address in [six, four] {
            for fell_back in [false, true] {
                if fell_back {
                    address.set_port(0);
                }
                match listen(address, fell_back) {
                    Ok(port) => return Ok(port),
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                        tried.push(TcpError { address, error })
                    }
                    Err(error) => {
                        tried.push(TcpError { address, error });
                        break;
                    }
                }
            }
        }
        Err(tried.swap_remove(0))
    }
}

/// A socket that listens there.
fn listen(address: SocketAddr, fell_back: bool) -> io::Result<TcpPort> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // A node that is started again does not wait for the connections of the one before to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(128)?;
    let socket = std::net::TcpListener::from(socket);
    let local = socket.local_addr()?;
    Ok(TcpPort { listener: Async::new_nonblocking(socket)?.into(), local, fell_back })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_that_was_asked_for_is_refused_with_what_to_do() {
        let first = TcpPort::bind(Some("127.0.0.1:0".parse().unwrap())).unwrap();
        assert!(first.local.port() != 0 && !first.fell_back);
        let refused = TcpPort::bind(Some(first.local)).unwrap_err().to_string();
        assert!(refused.contains("--web ADDR"), "{refused}");
    }

    #[test]
    fn the_default_falls_back_to_a_free_port() {
        // Whoever has the port, this test or another program: two listeners cannot both have it.
        let (one, other) = (TcpPort::bind(None).unwrap(), TcpPort::bind(None).unwrap());
        assert!(other.fell_back);
        assert_ne!(one.local.port(), other.local.port());
    }
}
