//! The loop with a stand-in for the core, over real sockets and threads.

use super::*;
use crate::base::units::Moment;
use crate::io::calls::Outward;
use crate::io::threads::{start_files, start_store};
use crate::io::udp::UdpPort;
use crate::node::api::{Call, Piece};
use crate::node::ports::{CallId, Ending, FileReply, FileRequest};
use crate::peer::event::Transmit;
use crate::store::service::Reply;
use smol::channel::unbounded;
use smol::{LocalExecutor, Timer};
use std::net::{SocketAddr, UdpSocket};

/// Sends every datagram back, carries a call through all ports, and is endlessly busy if told so.
#[derive(Debug, Default)]
struct Parrot {
    outputs: VecDeque<Output>,
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    call: Option<CallId>,
    listening: Vec<SocketAddr>,
    deadline: Option<Time>,
    ticks: u64,
    busy: bool,
    polls: u64,
}

impl Machine for Parrot {
    fn handle(&mut self, moment: Moment, input: Input<'_>) {
        match input {
            Input::Datagram { from, bytes } => self.datagrams.push_back((from, bytes.to_vec())),
            Input::Listening(listening) => self.listening = listening.addresses,
            Input::Call { id, call: Call::Nodes } => {
                self.call = Some(id);
                self.outputs.push_back(Output::Store(Request::Flush { op: 5 }));
            }
            Input::Call { call: Call::Status, .. } => self.busy = true,
            Input::Call { call: Call::Backup { .. }, .. } => self.outputs.push_back(Output::Restart),
            Input::Store(Reply::Flush { op: 5, result: Ok(()) }) => {
                self.outputs.push_back(Output::File(FileRequest::Root { op: 6, root: b"/".to_vec() }));
            }
            Input::File(FileReply::Root { op: 6, .. }) => {
                self.deadline = Some(moment.time + Span::from_millis(5))
            }
            Input::Tick => {
                self.deadline = None;
                self.ticks += 1;
                let id = self.call.unwrap();
                let text = format!("{} addresses", self.listening.len());
                self.outputs.push_back(Output::Piece { id, piece: Piece::Json(text.into()) });
            }
            Input::Rest => {}
            Input::Taken(id) => self.outputs.push_back(Output::Done { id, result: Ok(Ending::Complete) }),
            other => panic!("{other:?}"),
        }
    }

    fn poll(&mut self, _: Moment) -> Option<Output> {
        self.polls += 1;
        if self.busy {
            return Some(Output::Announce(None));
        }
        self.outputs.pop_front()
    }

    fn poll_transmit(&mut self, _: Moment, out: &mut [u8]) -> Option<Transmit> {
        let (to, bytes) = self.datagrams.pop_front()?;
        out[..bytes.len()].copy_from_slice(&bytes);
        Some(Transmit { to, length: bytes.len(), segment: bytes.len() })
    }

    fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    fn busy(&self) -> bool {
        self.busy
    }
}

/// Runs `test` beside a driven parrot, which does not want to start anew.
fn with_parrot<T>(test: impl AsyncFnOnce(&Calls, SocketAddr) -> T) -> (T, Parrot) {
    let (ended, parrot) = beside_parrot(test);
    (ended.expect("the driver does not end by itself"), parrot)
}

/// Runs `test` beside a driven parrot; None if that wants to start anew before.
fn beside_parrot<T>(test: impl AsyncFnOnce(&Calls, SocketAddr) -> T) -> (Option<T>, Parrot) {
    let home = tempfile::tempdir().unwrap();
    let clock = Clock::new();
    let (told, words) = unbounded();
    let (store, _) = start_store(home.path(), clock, told.clone()).unwrap();
    let files = start_files(home.path(), None, told.clone()).unwrap();
    let (outward, _) = Errands::new(home.path(), told);
    let (calls, heard) = Calls::new();
    let udp = UdpPort::bind(Some("127.0.0.1:0".parse().unwrap())).unwrap();
    let address = udp.local();
    let home_path = home.path().to_path_buf();
    let (post, calls_in) = (Post::new(udp), calls.clone());
    let ports = Ports {
        clock,
        post,
        store,
        files,
        words,
        outward,
        calls: calls_in,
        heard,
        changes: None,
        mdns: None,
        home: home_path,
    };
    let mut driver = Driver::new(Parrot::default(), ports);
    let executor = LocalExecutor::new();
    let ended =
        smol::block_on(executor.run(smol::future::or(async { Some(test(&calls, address).await) }, async {
            let over = driver.run().await;
            assert!(matches!(over, Over::Afresh), "{over:?}");
            None
        })));
    let Driver { machine, ports, .. } = driver;
    ports.store.finish().unwrap();
    ports.files.finish().unwrap();
    (ended, machine)
}

#[test]
fn a_core_that_wants_to_start_anew_ends_the_loop() {
    let (ended, _) = beside_parrot(async |calls, _| {
        calls.begin(Call::Backup { name: None, wait: false }).next().await;
    });
    assert!(ended.is_none(), "whoever waits for an answer is not told that all went well");
}

/// A datagram to the parrot comes back.
async fn echo(address: SocketAddr, text: &[u8]) {
    let socket = smol::Async::<UdpSocket>::bind(([127, 0, 0, 1], 0)).unwrap();
    socket.send_to(text, address).await.unwrap();
    let mut buffer = [0; 100];
    let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
    assert_eq!((&buffer[..length], from), (text, address));
}

#[test]
fn datagrams_calls_replies_and_time_reach_the_core_and_come_back() {
    let ((), parrot) = with_parrot(async |calls, address| {
        echo(address, b"hello").await;
        let mut call = calls.begin(Call::Nodes);
        let Outward::Piece(Piece::Json(value)) = call.next().await else { panic!("no piece") };
        assert_eq!(value, "1 addresses");
        call.taken();
        assert!(matches!(call.next().await, Outward::Done(Ok(Ending::Complete))));
        for _ in 0..200 {
            echo(address, b"again").await;
        }
    });
    assert_eq!(parrot.ticks, 1);
}

#[test]
fn packets_are_answered_while_the_core_is_busy_without_end() {
    let ((), parrot) = with_parrot(async |calls, address| {
        let _call = calls.begin(Call::Status);
        for _ in 0..50 {
            echo(address, b"still there?").await;
        }
    });
    assert!(parrot.busy && parrot.polls > 500, "{} polls", parrot.polls);
}

#[test]
fn an_idle_loop_does_not_turn() {
    let ((), parrot) = with_parrot(async |_, address| {
        echo(address, b"one").await;
        // Only time passes: nothing wakes the loop. Its own polls are counted, not the time.
        Timer::after(std::time::Duration::from_millis(100)).await;
    });
    assert!(parrot.polls < 20, "{} polls", parrot.polls);
}
