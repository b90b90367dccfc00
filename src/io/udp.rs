//! The one UDP socket of a node, for both IP versions where the machine has both.
//!
//! Sends and receives without waiting and without allocating; whoever uses it drains it and then waits through
//! [`UdpPort::poll_readable`]. Knows nothing of packets.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::task::{Context, Poll};

use if_addrs::get_if_addrs;
use smol::Async;
use socket2::{Domain, Protocol, Socket, Type};

use crate::base::limits::{NODE_PORT, UDP_BUFFER_BYTES};

/// The socket could not be had.
#[derive(Debug)]
pub struct UdpError {
    /// Which address was wanted.
    pub address: SocketAddr,
    /// The system's words.
    pub error: io::Error,
}

impl fmt::Display for UdpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot listen on UDP {}: {}; ", self.address, self.error)?;
        formatter.write_str(match self.error.kind() {
            io::ErrorKind::AddrInUse => "another program has that port, so name another with --listen ADDR",
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address, so name another with --listen ADDR"
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need root, so name another with --listen ADDR"
            }
            _ => "name another with --listen ADDR",
        })
    }
}

impl std::error::Error for UdpError {}

/// A bound socket.
#[derive(Debug)]
pub struct UdpPort {
    /// Never blocks.
    socket: Async<UdpSocket>,
    /// Where it is bound, with the real port.
    local: SocketAddr,
    /// The default port was busy.
    fell_back: bool,
}

impl UdpPort {
    /// Binds `listen`, or, without one, the default port on all addresses of both IP versions, or any free port if that
    /// one is busy.
    ///
    /// # Errors
    /// When a port that was asked for cannot be had.
    pub fn bind(listen: Option<SocketAddr>) -> Result<Self, UdpError> {
        let Some(address) = listen else { return Self::bind_default(NODE_PORT) };
        bind(address).and_then(|socket| Self::new(socket, false)).map_err(|error| UdpError { address, error })
    }

    /// Binds `port`, or a free one.
    fn bind_default(port: u16) -> Result<Self, UdpError> {
        let six = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let four = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let mut fell_back = false;
        let mut address = six;
        loop {
            let error = match bind(address).and_then(|socket| Self::new(socket, fell_back)) {
                Ok(bound) => return Ok(bound),
                Err(error) => error,
            };
            if error.kind() == io::ErrorKind::AddrInUse && !fell_back {
                fell_back = true;
                address.set_port(0);
            } else if address.is_ipv6() {
                // No IPv6 on this machine.
                address = four;
                fell_back = false;
            } else {
                return Err(UdpError { address, error });
            }
        }
    }

    /// Wraps a bound socket.
    fn new(socket: Socket, fell_back: bool) -> io::Result<Self> {
        let socket = UdpSocket::from(socket);
        let local = socket.local_addr()?;
        Ok(Self { socket: Async::new_nonblocking(socket)?, local, fell_back })
    }

    /// Where it is bound, with the real port.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether the default port was busy and another was taken.
    #[must_use]
    pub const fn fell_back(&self) -> bool {
        self.fell_back
    }

    /// Where others can reach it: the bound address, or those of all interfaces but loopback and virtual ones; loopback
    /// if there is nothing else.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        if !self.local.ip().is_unspecified() {
            return vec![self.local];
        }
        let mut found: Vec<IpAddr> = get_if_addrs()
            .unwrap_or_default()
            .iter()
            .filter(|interface| !interface.is_loopback() && !is_virtual(&interface.name))
            .map(if_addrs::Interface::ip)
            .filter(|ip| ip.is_ipv4() || self.local.is_ipv6())
            // A link-local address means nothing without the other side's name for the link.
            .filter(|ip| !matches!(ip, IpAddr::V6(six) if six.is_unicast_link_local()))
            .collect();
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            found.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        found.into_iter().map(|ip| SocketAddr::new(ip, self.local.port())).collect()
    }

    /// The next datagram that has arrived, and its sender; None if there is none. One longer than `buffer` is cut.
    pub fn receive(&self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        loop {
            match self.socket.get_ref().recv_from(buffer) {
                Ok((length, from)) => return Some((length, plain(from))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => {
                    // An earlier datagram's ICMP answer; it says nothing that the session's own timers do not.
                    log::trace!("receive: {error}");
                    return None;
                }
            }
        }
    }

    /// Sends one datagram. False: not now, try again when writable. One that cannot be sent at all counts as lost on the
    /// way, as any other may be.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) -> bool {
        let to = if self.local.is_ipv6() { mapped(to) } else { to };
        loop {
            match self.socket.get_ref().send_to(bytes, to) {
                Ok(_) => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    log::trace!("send to {to}: {error}");
                    return true;
                }
            }
        }
    }

    /// Ready when a datagram may have arrived.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_readable(context).map(|_| ())
    }

    /// Ready when a datagram may be sent.
    pub fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_writable(context).map(|_| ())
    }
}

/// Whether an interface leads to containers or virtual machines of this host only.
#[must_use]
pub fn is_virtual(name: &str) -> bool {
    const PREFIXES: [&str; 8] = ["docker", "veth", "br-", "virbr", "podman", "cni", "lxc", "vnet"];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// A bound socket that never blocks.
fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    // Bursts arrive faster than a busy small machine takes them; what does not fit is lost and sent again.
    let receive = socket.set_recv_buffer_size(UDP_BUFFER_BYTES).and_then(|()| socket.recv_buffer_size());
    let send = socket.set_send_buffer_size(UDP_BUFFER_BYTES).and_then(|()| socket.send_buffer_size());
    socket.bind(&address.into())?;
    for (name, size) in [("rmem_max", receive), ("wmem_max", send)] {
        match size {
            Ok(size) if size >= UDP_BUFFER_BYTES => {}
            Ok(size) => log::debug!(
                "the socket buffer is {size} bytes instead of {UDP_BUFFER_BYTES}; net.core.{name} could be raised"
            ),
            Err(error) => log::debug!("the socket buffer stays as it is: {error}"),
        }
    }
    Ok(socket)
}

/// An IPv4 address as itself, where a socket of both versions gives it in the form of IPv6.
fn plain(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(four) => SocketAddr::from((four, address.port())),
        IpAddr::V6(_) => address, // with its scope
    }
}

/// An IPv4 address in the form of IPv6.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(four) => {
            SocketAddr::V6(SocketAddrV6::new(four.ip().to_ipv6_mapped(), four.port(), 0, 0))
        }
        six @ SocketAddr::V6(_) => six,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits for one datagram.
    fn received(port: &UdpPort, buffer: &mut [u8]) -> (usize, SocketAddr) {
        smol::block_on(async {
            loop {
                if let Some(found) = port.receive(buffer) {
                    return found;
                }
                std::future::poll_fn(|context| port.poll_readable(context)).await;
            }
        })
    }

    #[test]
    fn both_ip_versions_meet_on_one_port_and_are_shown_as_themselves() {
        let port = UdpPort::bind_default(0).unwrap();
        let other = UdpPort::bind(Some("127.0.0.1:0".parse().unwrap())).unwrap();
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port.local().port()));
        assert!(other.send(to, b"four"));
        let mut buffer = [0; 100];
        let (length, from) = received(&port, &mut buffer);
        assert_eq!((&buffer[..length], from), (&b"four"[..], other.local()));
        assert!(port.send(from, b"back"));
        assert_eq!(received(&other, &mut buffer), (4, to));
        assert_eq!(other.addresses(), [other.local()]);
        assert!(port.addresses().iter().all(|address| address.port() == port.local().port()));
        assert!(!port.addresses().is_empty());
    }

    #[test]
    fn a_busy_default_port_falls_back_and_a_busy_wanted_one_fails() {
        let first = UdpPort::bind_default(0).unwrap();
        assert!(!first.fell_back());
        let second = UdpPort::bind_default(first.local().port()).unwrap();
        assert!(second.fell_back());
        assert_ne!(second.local().port(), first.local().port());
        let error = UdpPort::bind(Some(first.local())).unwrap_err();
        assert!(error.to_string().contains("another program has that port"), "{error}");
    }

    #[test]
    fn a_datagram_that_cannot_be_sent_counts_as_lost() {
        let port = UdpPort::bind(Some("127.0.0.1:0".parse().unwrap())).unwrap();
        assert!(port.send("[2001:db8::1]:9".parse().unwrap(), b"x"));
        assert!(port.send(port.local(), &vec![0; 70_000]));
        assert!(port.receive(&mut [0; 10]).is_none());
    }
}
