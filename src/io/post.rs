//! Letters between one machine without input or output of its own and the network: datagrams in, datagrams out, and the
//! time at which something is due.
//!
//! Owns the socket, its buffers, the timer, and how much is done before anybody else gets a turn. Decides nothing. The
//! node's loop (`drive.rs`) and [`exchange`], which drives an endpoint without a node around it, share this.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use smol::stream::Stream;
use smol::Timer;

use super::os::Clock;
use super::udp::{Arrivals, UdpPort};
use crate::base::limits::{
    DATAGRAMS_PER_TURN_MAX, SEND_BATCH_BYTES_MAX, SOCKET_REST, TICK_MIN, TRANSMITS_PER_TURN_MAX,
};
use crate::base::units::Time;
use crate::peer::event::Transmit;

/// A socket with its buffers, and a timer.
#[derive(Debug)]
pub struct Post {
    /// Where datagrams come and go.
    udp: UdpPort,
    /// What was received.
    arrivals: Arrivals,
    /// What is to be sent.
    outgoing: Box<[u8]>,
    /// What of `outgoing` could not be sent yet.
    unsent: Option<Unsent>,
    /// For the next deadline.
    timer: Timer,
    /// What the timer is set to.
    armed: Option<Time>,
    /// When the socket had nothing, since when nothing was heard of it.
    empty_since: Option<Time>,
}

/// Datagrams that wait for the socket.
#[derive(Debug, Clone, Copy)]
struct Unsent {
    /// They, and those before them.
    transmit: Transmit,
    /// Bytes that are sent already.
    done: usize,
}

impl Post {
    /// Wraps a socket.
    #[must_use]
    pub fn new(udp: UdpPort) -> Self {
        Self {
            udp,
            arrivals: Arrivals::default(),
            outgoing: vec![0; SEND_BATCH_BYTES_MAX].into_boxed_slice(),
            unsent: None,
            timer: Timer::never(),
            armed: None,
            empty_since: None,
        }
    }

    /// The socket.
    #[must_use]
    pub const fn udp(&self) -> &UdpPort {
        &self.udp
    }

    /// Hands on what has arrived, each datagram in place; whether there may be more.
    pub fn receive(&mut self, mut take: impl FnMut(SocketAddr, &mut [u8])) -> bool {
        let mut taken = 0;
        while taken < DATAGRAMS_PER_TURN_MAX {
            if !self.udp.receive(&mut self.arrivals) {
                return false;
            }
            for (from, datagram) in self.arrivals.datagrams() {
                take(from, datagram);
                taken += 1;
            }
            if !self.arrivals.is_full() {
                // The socket was empty; what has come since then wakes whoever waits.
                return false;
            }
        }
        true
    }

    /// The same, but a socket that had nothing a moment ago is not asked: a busy node does many small things in a turn's time.
    pub fn receive_now_and_then(&mut self, now: Time, mut take: impl FnMut(SocketAddr, &mut [u8])) -> bool {
        if self.empty_since.is_some_and(|since| now < since + SOCKET_REST) {
            return false;
        }
        let mut any = false;
        let is_more = self.receive(|from, bytes| {
            any = true;
            take(from, bytes);
        });
        self.empty_since = (!any).then_some(now);
        is_more
    }

    /// Sends what `next` writes until it has no more; whether there may be more that can be sent now.
    pub fn transmit(&mut self, mut next: impl FnMut(&mut [u8]) -> Option<Transmit>) -> bool {
        let mut sent = 0;
        while sent < TRANSMITS_PER_TURN_MAX {
            let fresh = || next(&mut self.outgoing).map(|transmit| Unsent { transmit, done: 0 });
            let Some(Unsent { transmit, mut done }) = self.unsent.take().or_else(fresh) else { return false };
            let rest = &self.outgoing[done..transmit.length];
            let moved = self.udp.send(&transmit, rest);
            sent += moved.div_ceil(transmit.segment.max(1));
            done += moved;
            if done < transmit.length {
                self.unsent = Some(Unsent { transmit, done });
                return false;
            }
        }
        true
    }

    /// Sets the timer to `due`.
    pub fn arm(&mut self, clock: &Clock, due: Option<Time>) {
        if due != self.armed {
            self.armed = due;
            match due.and_then(|due| clock.instant(due)) {
                Some(instant) => self.timer.set_at(instant),
                None => self.timer.clear(),
            }
        }
    }

    /// Whether something has arrived, can be sent or is due; who waits is woken when it does.
    pub fn poll(&mut self, context: &mut Context<'_>) -> bool {
        let mut ready = self.udp.poll_readable(context).is_ready();
        if ready {
            self.empty_since = None;
        }
        ready |= self.unsent.is_some() && self.udp.poll_writable(context).is_ready();
        if Pin::new(&mut self.timer).poll_next(context).is_ready() {
            self.armed = None;
            ready = true;
        }
        ready
    }
}

/// What [`exchange`] drives.
pub trait Party {
    /// A datagram has arrived.
    fn handle_datagram(&mut self, now: Time, from: SocketAddr, bytes: &mut [u8]);
    /// The deadline has passed.
    fn handle_timeout(&mut self, now: Time);
    /// Everything that arrived at once was handed over: it is time to think. Whether nothing is left to be done.
    fn work(&mut self, now: Time) -> bool;
    /// The next datagrams for one peer, written to `out`.
    fn poll_transmit(&mut self, now: Time, out: &mut [u8]) -> Option<Transmit>;
    /// When [`Party::handle_timeout`] is due.
    fn deadline(&self) -> Option<Time>;
}

/// Drives a party until nothing is left to be done, and what it had to send then is sent.
pub async fn exchange(post: &mut Post, clock: &Clock, party: &mut impl Party) {
    let mut last_tick = clock.time();
    loop {
        let now = clock.time();
        if party.deadline().is_some_and(|deadline| deadline <= now) {
            last_tick = now;
            party.handle_timeout(now);
        }
        let received = post.receive(|from, bytes| party.handle_datagram(now, from, bytes));
        let done = party.work(now);
        let sent = post.transmit(|out| party.poll_transmit(clock.time(), out));
        if done && !sent && post.unsent.is_none() {
            return;
        }
        if !received && !sent {
            // A deadline that stays in the past after a tick must not keep us turning.
            let due = party.deadline();
            let due = due.map(|due| if due > last_tick { due } else { last_tick + TICK_MIN });
            post.arm(clock, due);
            std::future::poll_fn(|context| if post.poll(context) { Poll::Ready(()) } else { Poll::Pending })
                .await;
        }
    }
}
