//! Packet sockets: the only unsafe code of the lab, two system calls that nix and rustix do not offer for them.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{setsockopt, sockopt, AddressFamily, SockFlag, SockType};

/// Bytes that the kernel may hold for us while we are not scheduled: half a second at 1 Gbit/s.
const RECEIVE_BUFFER_BYTES: usize = 128 << 20;

/// A raw socket on `interface` that sees the IPv4 frames arriving there, each with the kernel's time of arrival, and sends whole
/// frames out of it. Frames that leave are not seen: only a socket for all protocols sees those.
pub fn open(interface: &str) -> io::Result<OwnedFd> {
    let index = if_nametoindex(interface)?;
    let socket =
        nix::sys::socket::socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    // SAFETY: all-zero bytes are a valid sockaddr_ll, which is plain integers.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_IP as u16).to_be();
    address.sll_ifindex = index as i32;
    // SAFETY: the pointer and the length describe `address`, which outlives the call.
    let bound = unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32)
    };
    if bound == 0 {
        Ok(socket)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Frames that the kernel dropped since the last call because our receive buffer was full.
pub fn dropped(socket: &OwnedFd) -> u32 {
    // SAFETY: all-zero bytes are a valid tpacket_stats, which is plain integers.
    let mut stats: libc::tpacket_stats = unsafe { zeroed() };
    let mut length = size_of::<libc::tpacket_stats>() as u32;
    // SAFETY: the pointers describe `stats` and its length, which outlive the call.
    let got = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut stats).cast(),
            &raw mut length,
        )
    };
    if got == 0 {
        stats.tp_drops
    } else {
        0
    }
}
