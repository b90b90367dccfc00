//! A member that breaks the rules: packets of any content that are sealed as they should be, between the victim's own messages and timers.
#![no_main]

use nuthatch::base::limits::RECEIVE_SESSION_BYTES_MAX;
use nuthatch::base::units::{Span, Time};
use nuthatch::peer::generations::Generations;
use nuthatch::peer::pool::Pool;
use nuthatch::peer::session::{PacketKeys, Session};
use nuthatch::wire::frame::Lane;
use nuthatch::wire::packet::{DataHeader, TAG_BYTES};

/// Datagrams that one step may lead to: all that its queues hold, in the smallest packets.
const DATAGRAMS_MAX: usize = 20_000;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let keys = |send, receive| PacketKeys { send: [send; 32], receive: [receive; 32] };
    let mut now = Time::from_micros(1_000_000);
    let mut victim = Session::new(now, keys(2, 1), 20, 10);
    let mut forger = Generations::new(now, &keys(1, 2));
    let mut pool = Pool::default();
    let mut out = vec![0; 65_536];
    let (mut rest, mut number) = (bytes, 0_u64);
    while let [step, size, behind @ ..] = rest {
        rest = behind;
        match step % 8 {
            0..=4 => {
                let (payload, behind) = rest.split_at(rest.len().min(usize::from(*size)));
                rest = behind;
                number += 1 + u64::from(step >> 5);
                let header = DataHeader { generation: 0, receiver: 20, number };
                let mut sealed = [payload, &[0; TAG_BYTES]].concat();
                forger.seal(header, &mut sealed);
                let _ = victim.handle_data(now, header, &mut sealed);
            }
            5 => {
                let lane = Lane::ALL[usize::from(step >> 3) % Lane::COUNT];
                let _ = victim.send(lane, vec![*step; 1 + usize::from(*size) * 64]);
            }
            6 => {
                now = now + Span::from_micros(u64::from(*size).pow(2) * 100);
                if victim.deadline().is_some_and(|due| due <= now) {
                    victim.handle_timeout(now);
                }
            }
            _ => while victim.poll_message().is_some() {},
        }
        victim.settle(now, &mut pool);
        let mut sent = 0;
        while victim.poll_batch(now, &mut out).is_some() {
            sent += 1;
            assert!(sent < DATAGRAMS_MAX, "a session does not send for ever");
        }
        assert!(victim.held() <= RECEIVE_SESSION_BYTES_MAX);
    }
});
