//! API calls between whoever asks (connections of the control socket) and the loop that drives the core.
//!
//! Both sides run on the main thread. The core has at most `CALL_PIECES_MAX` pieces of a call under way, so the
//! channels here never hold more.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{ready, Context, Poll};

use smol::channel::{unbounded, Receiver, Sender};
use smol::stream::Stream;

use crate::node::api::{ApiError, Call, Piece};
use crate::node::ports::{CallId, Ending};

/// What the loop hears of calls.
#[derive(Debug)]
pub enum Inward {
    /// A call begins.
    Call {
        /// Its number, never used twice.
        id: CallId,
        /// What is asked.
        call: Call,
    },
    /// A piece of what a client sends; `end`: the last one.
    Data {
        /// Of which call.
        id: CallId,
        /// The bytes.
        bytes: Vec<u8>,
        /// Nothing follows.
        end: bool,
    },
    /// One piece was taken.
    Taken(CallId),
    /// Nobody waits for the answer any more.
    Dropped(CallId),
}

/// What a caller hears.
#[derive(Debug)]
pub enum Outward {
    /// There is room for one more piece of what the caller sends.
    More,
    /// A piece of the answer.
    Piece(Piece),
    /// The end of it.
    Done(Result<Ending, ApiError>),
}

/// All running calls; clones are handles to the same.
#[derive(Clone)]
pub struct Calls {
    /// Shared with every running call.
    shared: Rc<Shared>,
}

/// What the handles share.
struct Shared {
    /// The number of the next call.
    next: Cell<u64>,
    /// To the loop.
    inward: Sender<Inward>,
    /// To the callers.
    running: RefCell<HashMap<CallId, Sender<Outward>>>,
}

impl fmt::Debug for Calls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Calls").field("running", &self.shared.running.borrow().len()).finish()
    }
}

impl Calls {
    /// No call yet, and what the loop listens to.
    #[must_use]
    pub fn new() -> (Self, Receiver<Inward>) {
        let (inward, heard) = unbounded();
        let shared = Shared { next: Cell::new(1), inward, running: RefCell::default() };
        (Self { shared: Rc::new(shared) }, heard)
    }

    /// Asks the core.
    #[must_use]
    pub fn begin(&self, call: Call) -> Running {
        let id = CallId(self.shared.next.get());
        self.shared.next.set(id.0 + 1);
        let (answers, heard) = unbounded();
        self.shared.running.borrow_mut().insert(id, answers);
        self.tell(Inward::Call { id, call });
        Running { calls: self.clone(), id, answers: Box::pin(heard), over: false }
    }

    /// Hands a piece to the caller; one who went away is told by [`Inward::Dropped`] already.
    pub fn piece(&self, id: CallId, piece: Piece) {
        if let Some(answers) = self.shared.running.borrow().get(&id) {
            let _ = answers.try_send(Outward::Piece(piece));
        }
    }

    /// There is room for one more piece of what the caller sends.
    pub fn more(&self, id: CallId) {
        if let Some(answers) = self.shared.running.borrow().get(&id) {
            let _ = answers.try_send(Outward::More);
        }
    }

    /// Ends a call.
    pub fn done(&self, id: CallId, result: Result<Ending, ApiError>) {
        if let Some(answers) = self.shared.running.borrow_mut().remove(&id) {
            let _ = answers.try_send(Outward::Done(result));
        }
    }

    /// Ends all calls, because the node stops.
    pub fn close(&self) {
        self.shared.inward.close();
        self.shared.running.borrow_mut().clear();
    }

    /// To the loop; after [`Calls::close`] nobody listens, and nobody needs to.
    fn tell(&self, inward: Inward) {
        let _ = self.shared.inward.try_send(inward);
    }
}

/// A call that was begun; dropping it tells the core that nobody waits any more.
#[derive(Debug)]
pub struct Running {
    /// Where it belongs.
    calls: Calls,
    /// Its number.
    id: CallId,
    /// What it is answered.
    answers: Pin<Box<Receiver<Outward>>>,
    /// The end was heard.
    over: bool,
}

impl Running {
    /// The next thing heard. After the end it is not to be asked again.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Outward> {
        let outward = ready!(self.answers.as_mut().poll_next(context)).unwrap_or_else(|| {
            Outward::Done(Err(ApiError::new(
                "stopping",
                "the node is stopping",
                "start it again with nuthatch run, then ask again",
            )))
        });
        self.over |= matches!(outward, Outward::Done(_));
        Poll::Ready(outward)
    }

    /// [`Running::poll_next`] as a future.
    pub async fn next(&mut self) -> Outward {
        smol::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Hands on a piece of what the caller sends; it was asked for by [`Outward::More`].
    pub fn give(&self, bytes: Vec<u8>, end: bool) {
        self.calls.tell(Inward::Data { id: self.id, bytes, end });
    }

    /// One piece was written: there is room for another.
    pub fn taken(&self) {
        self.calls.tell(Inward::Taken(self.id));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            self.calls.shared.running.borrow_mut().remove(&self.id);
            self.calls.tell(Inward::Dropped(self.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_call_is_told_once_and_an_ended_one_not() {
        let (calls, heard) = Calls::new();
        let mut first = calls.begin(Call::Nodes);
        let second = calls.begin(Call::Status);
        assert!(matches!(heard.try_recv(), Ok(Inward::Call { id: CallId(1), call: Call::Nodes })));
        assert!(matches!(heard.try_recv(), Ok(Inward::Call { id: CallId(2), call: Call::Status })));
        calls.piece(CallId(1), Piece::Bytes(vec![1]));
        calls.done(CallId(1), Ok(Ending::Complete));
        assert!(matches!(smol::block_on(first.next()), Outward::Piece(Piece::Bytes(_))));
        first.taken();
        assert!(matches!(smol::block_on(first.next()), Outward::Done(Ok(Ending::Complete))));
        drop(first);
        drop(second);
        assert!(matches!(heard.try_recv(), Ok(Inward::Taken(CallId(1)))));
        assert!(matches!(heard.try_recv(), Ok(Inward::Dropped(CallId(2)))));
        assert!(heard.try_recv().is_err());
        calls.piece(CallId(2), Piece::Bytes(vec![1]));
    }

    #[test]
    fn a_stopping_node_ends_its_calls_with_an_error() {
        let (calls, _heard) = Calls::new();
        let mut call = calls.begin(Call::Nodes);
        calls.close();
        let Outward::Done(Err(error)) = smol::block_on(call.next()) else { panic!("no error") };
        assert_eq!(error.code, "stopping");
    }
}
