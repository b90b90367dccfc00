//! Who waits for the system's events: this thread itself while there is work, the helper thread of async-io while the node is at rest.
//!
//! async-io's [`block_on`](smol::block_on) waits for events in the thread that calls it, which is cheapest while they come one upon the
//! other; but the helper thread looks up to ten times after each event whether it is needed (`main_loop` in async-io 2's driver.rs), and a
//! node at rest would be woken five to six times for one datagram. futures-lite's [`block_on`](smol::future::block_on) only sleeps: then the helper
//! waits for the events and wakes this thread, at the price of two threads for each of them. So a node changes between the two.

use std::cell::Cell;
use std::future::{poll_fn, Future};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Whether little is going on; shared by who knows and who waits.
#[derive(Debug, Clone, Default)]
pub struct Rest(Rc<Cell<bool>>);

impl Rest {
    /// It is so, or not any more.
    pub(super) fn set(&self, is_resting: bool) {
        self.0.set(is_resting);
    }

    /// Whether it is so.
    pub(super) fn is_on(&self) -> bool {
        self.0.get()
    }

    /// Runs a future to its end on this thread.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            let mut until = |is_resting: bool, context: &mut Context<'_>| match future.as_mut().poll(context)
            {
                Poll::Ready(end) => Poll::Ready(Some(end)),
                Poll::Pending if self.is_on() == is_resting => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            };
            if let Some(end) = smol::block_on(poll_fn(|context| until(true, context))) {
                return end;
            }
            if let Some(end) = smol::future::block_on(poll_fn(|context| until(false, context))) {
                return end;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_goes_on_where_it_was_however_often_the_way_of_waiting_changes() {
        let rest = Rest::default();
        let (sender, receiver) = smol::channel::unbounded();
        let (asked, answers) = smol::channel::unbounded();
        let other = std::thread::spawn(move || {
            for number in 0..1_000_u32 {
                asked.send_blocking(number).unwrap();
                assert_eq!(receiver.recv_blocking(), Ok(number));
            }
        });
        let told = rest.clone();
        let sum = rest.block_on(async move {
            let mut sum = 0;
            while let Ok(number) = answers.recv().await {
                // In runs of different lengths, so that it changes in all places.
                told.set(number / (1 + number % 7) % 2 == 0);
                sum += number;
                sender.send(number).await.unwrap();
            }
            sum
        });
        assert_eq!(sum, 499_500);
        other.join().unwrap();
    }

    #[test]
    fn timers_and_sockets_wake_in_either_way() {
        for is_resting in [false, true] {
            let rest = Rest::default();
            rest.set(is_resting);
            let received = rest.block_on(async {
                smol::Timer::after(std::time::Duration::from_millis(1)).await;
                let socket = async_net::UdpSocket::bind("127.0.0.1:0").await?;
                socket.send_to(b"to itself", socket.local_addr()?).await?;
                let mut bytes = [0; 16];
                socket.recv_from(&mut bytes).await
            });
            assert_eq!(received.unwrap().0, 9);
        }
    }
}
