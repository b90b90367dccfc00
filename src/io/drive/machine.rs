//! What the loop drives: the core, or a stand-in in tests.

use super::super::threads::ThreadError;
use crate::base::units::{Moment, Time};
use crate::node::core::Core;
use crate::node::ports::{Input, Output};
use crate::peer::event::Transmit;

/// What is driven.
pub trait Machine {
    /// Something happened.
    fn handle(&mut self, moment: Moment, input: Input<'_>);
    /// What is wanted now; asked until None.
    fn poll(&mut self, moment: Moment) -> Option<Output>;
    /// The next datagrams for one peer, written to `out`.
    fn poll_transmit(&mut self, moment: Moment, out: &mut [u8]) -> Option<Transmit>;
    /// When [`Input::Tick`] is due.
    fn deadline(&self) -> Option<Time>;
    /// Nothing is wanted, but there is more work: poll again after a look at the sockets.
    fn busy(&self) -> bool;
    /// How things are, in one sentence; None as long as it cannot serve.
    fn sentence(&mut self, _: Moment) -> Option<String> {
        None
    }
}

impl Machine for Core {
    fn handle(&mut self, moment: Moment, input: Input<'_>) {
        Self::handle(self, moment, input);
    }

    fn poll(&mut self, moment: Moment) -> Option<Output> {
        Self::poll(self, moment)
    }

    fn poll_transmit(&mut self, moment: Moment, out: &mut [u8]) -> Option<Transmit> {
        Self::poll_transmit(self, moment, out)
    }

    fn deadline(&self) -> Option<Time> {
        Self::deadline(self)
    }

    fn busy(&self) -> bool {
        Self::busy(self)
    }

    fn sentence(&mut self, moment: Moment) -> Option<String> {
        Self::sentence(self, moment)
    }
}

/// Why a driver does not turn any more.
#[derive(Debug)]
pub enum Over {
    /// A thread failed.
    Failed(ThreadError),
    /// The core wants to start anew.
    Afresh,
}
