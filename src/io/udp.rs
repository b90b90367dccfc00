//! The one UDP socket of a node, for both IP versions where the machine has both.
//!
//! Sends and receives many datagrams with one call where the kernel can (UDP_SEGMENT, UDP_GRO, recvmmsg; through
//! quinn-udp), without waiting and without allocating; whoever uses it drains it and then waits through
//! [`UdpPort::poll_readable`]. Nothing is fragmented: what is longer than a path takes is lost. How the socket is made is in
//! `io/socket.rs`. Knows nothing of packets.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::task::{Context, Poll};

use if_addrs::get_if_addrs;
use quinn_udp::{RecvMeta, UdpSocketState};
use rustix::io::Errno;
use smol::Async;

use super::socket::{bind, Bound, Shortage};
use crate::base::limits::{NODE_PORT, RECEIVE_BUFFERS, RECEIVE_BUFFER_BYTES, SEND_BATCH_BYTES_MAX};
use crate::node::ports::{Listening, Offload};
use crate::peer::event::Transmit;

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
    /// What the kernel can do for it.
    state: UdpSocketState,
    /// Where it is bound, with the real port.
    local: SocketAddr,
    /// The default port was busy.
    fell_back: bool,
    /// What the kernel gave less of than was asked for.
    shortages: Vec<Shortage>,
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
    fn new(Bound { socket, shortages }: Bound, fell_back: bool) -> io::Result<Self> {
        let local = socket.local_addr()?;
        // Turns GRO on, and fragmentation off for both IP versions.
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket: Async::new_nonblocking(socket)?, state, local, fell_back, shortages })
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

    /// What the kernel gave less of than was asked for.
    #[must_use]
    pub fn shortages(&self) -> &[Shortage] {
        &self.shortages
    }

    /// Where it can be reached, and what the kernel does for it, as far as that is known by now.
    #[must_use]
    pub fn listening(&self) -> Listening {
        let offload = Offload {
            send_segments: self.state.max_gso_segments(),
            receive_segments: self.state.gro_segments(),
        };
        Listening { addresses: self.addresses(), fell_back: self.fell_back, offload }
    }

    /// Takes what has arrived into `arrivals`, in place of what was there; whether anything has.
    pub fn receive(&self, arrivals: &mut Arrivals) -> bool {
        let Arrivals { bytes, metas, count } = arrivals;
        let mut rooms = bytes.chunks_exact_mut(RECEIVE_BUFFER_BYTES);
        let mut slices: [IoSliceMut<'_>; RECEIVE_BUFFERS] =
            std::array::from_fn(|_| IoSliceMut::new(rooms.next().unwrap_or_default()));
        *count = self.state.recv(self.socket.get_ref().into(), &mut slices, metas).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::WouldBlock {
                // An earlier datagram's ICMP answer; it says nothing that the session's own timers do not.
                log::trace!("receive: {error}");
            }
            0
        });
        *count > 0
    }

    /// Sends the datagrams of a transmit that lie in `bytes` (the rest of its buffer): how many bytes are done with. Less
    /// than all: not now, try the rest again when writable. A datagram that cannot be sent at all counts as lost on the
    /// way, as any other may be.
    pub fn send(&mut self, transmit: &Transmit, bytes: &[u8]) -> usize {
        let destination = if self.local.is_ipv6() { mapped(transmit.to) } else { transmit.to };
        let Self { socket, state, .. } = self;
        let limit = || state.max_gso_segments();
        let attempt = |contents: &[u8], segment_size| {
            let transmit =
                quinn_udp::Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
            state.try_send(socket.get_ref().into(), &transmit)
        };
        let sent = send_parts(bytes, transmit.segment, limit, attempt);
        if sent.too_long_alone {
            // The datagrams were longer than the interface takes, which is no fault of sending them together.
            if let Ok(fresh) = UdpSocketState::new(socket.get_ref().into()) {
                *state = fresh;
            }
        }
        sent.done
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

/// What was received, and room for more.
#[derive(Debug)]
pub struct Arrivals {
    /// [`RECEIVE_BUFFERS`] buffers, one behind the other. What is never used is no memory.
    bytes: Box<[u8]>,
    /// What is in each.
    metas: [RecvMeta; RECEIVE_BUFFERS],
    /// How many are filled.
    count: usize,
}

impl Default for Arrivals {
    fn default() -> Self {
        let bytes = vec![0; RECEIVE_BUFFERS * RECEIVE_BUFFER_BYTES].into_boxed_slice();
        Self { bytes, metas: [RecvMeta::default(); RECEIVE_BUFFERS], count: 0 }
    }
}

impl Arrivals {
    /// Whether every buffer was filled, so that there may be more.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.count == RECEIVE_BUFFERS
    }

    /// Every datagram, with its sender, in the order in which they came.
    pub fn datagrams(&mut self) -> impl Iterator<Item = (SocketAddr, &mut [u8])> {
        let filled = self.bytes.chunks_exact_mut(RECEIVE_BUFFER_BYTES).zip(&self.metas).take(self.count);
        filled.flat_map(|(buffer, meta)| {
            let from = plain(meta.addr);
            buffer[..meta.len].chunks_mut(meta.stride.max(1)).map(move |datagram| (from, datagram))
        })
    }
}

/// What came of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    /// Bytes that are sent or lost.
    done: usize,
    /// Datagrams were refused together, and then were too long alone.
    too_long_alone: bool,
}

/// Sends datagrams of `segment` bytes (the last may be shorter), together as far as `limit` allows at the time. What is
/// refused together is sent again one by one (drivers promise more than they do); what is refused alone is lost.
fn send_parts(
    bytes: &[u8],
    segment: usize,
    limit: impl Fn() -> usize,
    mut attempt: impl FnMut(&[u8], Option<usize>) -> io::Result<()>,
) -> Sent {
    let mut sent = Sent { done: 0, too_long_alone: false };
    let mut refused = false;
    while sent.done < bytes.len() {
        let rest = &bytes[sent.done..];
        let most = if refused { 1 } else { limit().min(SEND_BATCH_BYTES_MAX / segment.max(1)).max(1) };
        let part = &rest[..rest.len().min(most * segment)];
        let together = part.len() > segment;
        match attempt(part, together.then_some(segment)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return sent,
            Err(error) => {
                let errno = Errno::from_io_error(&error);
                if together && matches!(errno, Some(Errno::IO | Errno::INVAL)) {
                    log::debug!("{} bytes in parts of {segment} are refused: {error}", part.len());
                    refused = true;
                    continue;
                }
                sent.too_long_alone |= refused && errno == Some(Errno::MSGSIZE);
                log::trace!("send {} bytes: {error}", part.len());
            }
        }
        sent.done += part.len();
    }
    sent
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
    fn received(port: &UdpPort, arrivals: &mut Arrivals) -> (Vec<u8>, SocketAddr) {
        smol::block_on(async {
            while !port.receive(arrivals) {
                std::future::poll_fn(|context| port.poll_readable(context)).await;
            }
            let (from, bytes) = arrivals.datagrams().next().unwrap();
            (bytes.to_vec(), from)
        })
    }

    /// Sends one datagram; it fits the socket.
    fn send(port: &mut UdpPort, to: SocketAddr, bytes: &[u8]) {
        let transmit = Transmit { to, length: bytes.len(), segment: bytes.len() };
        assert_eq!(port.send(&transmit, bytes), bytes.len());
    }

    #[test]
    fn both_ip_versions_meet_on_one_port_and_are_shown_as_themselves() {
        let mut port = UdpPort::bind_default(0).unwrap();
        let mut other = UdpPort::bind(Some("127.0.0.1:0".parse().unwrap())).unwrap();
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port.local().port()));
        send(&mut other, to, b"four");
        let mut arrivals = Arrivals::default();
        let (bytes, from) = received(&port, &mut arrivals);
        assert_eq!((&bytes[..], from), (&b"four"[..], other.local()));
        send(&mut port, from, b"back");
        assert_eq!(received(&other, &mut arrivals), (b"back".to_vec(), to));
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
        let mut port = UdpPort::bind(Some("127.0.0.1:0".parse().unwrap())).unwrap();
        send(&mut port, "[2001:db8::1]:9".parse().unwrap(), b"x");
        let to = port.local();
        send(&mut port, to, &vec![0; 70_000]);
        assert!(!port.receive(&mut Arrivals::default()));
    }

    #[test]
    fn a_batch_arrives_as_the_datagrams_that_were_sent() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // A machine without IPv6 has nothing to show for it.
            let Ok(mut port) = UdpPort::bind(Some(address.parse().unwrap())) else { continue };
            let other = UdpPort::bind(Some(address.parse().unwrap())).unwrap();
            let sent: Vec<Vec<u8>> =
                (0..54).map(|number| vec![number; if number < 53 { 1_200 } else { 700 }]).collect();
            let bytes = sent.concat();
            let transmit = Transmit { to: other.local(), length: bytes.len(), segment: 1_200 };
            assert_eq!(port.send(&transmit, &bytes), bytes.len());
            let mut arrivals = Arrivals::default();
            let mut found = Vec::new();
            while found.len() < sent.len() {
                received(&other, &mut arrivals);
                found.extend(arrivals.datagrams().map(|(from, bytes)| {
                    assert_eq!(from, port.local());
                    bytes.to_vec()
                }));
            }
            assert_eq!(found, sent);
        }
    }

    /// What a socket was asked to send: length of each call, and whether in segments.
    fn attempts(
        lengths: (usize, usize),
        mut answer: impl FnMut(usize, bool) -> io::Result<()>,
    ) -> (Sent, Vec<(usize, bool)>) {
        let mut calls = Vec::new();
        let sent = send_parts(
            &vec![0; lengths.0],
            lengths.1,
            || 64,
            |part, segment| {
                calls.push((part.len(), segment.is_some()));
                answer(part.len(), segment.is_some())
            },
        );
        (sent, calls)
    }

    #[test]
    fn a_driver_that_refuses_batches_gets_single_datagrams() {
        let error = |errno: Errno| Err(io::Error::from(errno));
        for errno in [Errno::IO, Errno::INVAL] {
            let (sent, calls) =
                attempts((3_000, 1_200), |_, together| if together { error(errno) } else { Ok(()) });
            assert_eq!(sent, Sent { done: 3_000, too_long_alone: false });
            assert_eq!(calls, [(3_000, true), (1_200, false), (1_200, false), (600, false)]);
        }
        let (sent, calls) =
            attempts(
                (8_000, 4_000),
                |_, together| {
                    if together {
                        error(Errno::INVAL)
                    } else {
                        error(Errno::MSGSIZE)
                    }
                },
            );
        assert_eq!((sent, calls.len()), (Sent { done: 8_000, too_long_alone: true }, 3));
    }

    #[test]
    fn a_full_socket_keeps_the_rest_and_a_batch_is_no_longer_than_the_kernel_takes() {
        let full = || Err(io::Error::from(io::ErrorKind::WouldBlock));
        let (sent, calls) =
            attempts((100_000, 1_000), |length, _| if length < 64_000 { full() } else { Ok(()) });
        assert_eq!(sent, Sent { done: 64_000, too_long_alone: false });
        assert_eq!(calls, [(64_000, true), (36_000, true)]);
        let (_, calls) = attempts((100_000, 1_200), |_, _| Ok(()));
        assert_eq!(calls[0], (54 * 1_200, true));
    }
}
