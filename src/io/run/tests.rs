//! A node's start and end.

use super::*;
use crate::io::client::{Ask, Client, ClientError, Event};
use crate::io::http::{Asked, Media, Route};
use crate::node::api::{Call, Piece};
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc;
use std::thread::JoinHandle;

/// One route.
struct Routes;

impl Handler for Routes {
    fn route(&self, asked: &Asked<'_>) -> Result<Route, ApiError> {
        match asked.path {
            "/status" => Ok(Route { call: Call::Status, media: Media::Json }),
            _ => Err(ApiError::new("not_found", "no such route", "")),
        }
    }
}

/// A node on a thread of its own.
struct Node {
    ready: Ready,
    stop: smol::channel::Sender<()>,
    thread: JoinHandle<Result<(), RunError>>,
}

impl Node {
    /// Starts it; the error if it does not start.
    fn start(home: &Path, listen: Option<&str>) -> Result<Self, RunError> {
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = smol::channel::bounded(1);
        let home = home.to_path_buf();
        let listen = listen.map(|address| address.parse().unwrap());
        let thread = std::thread::spawn(move || {
            let ready: TellReady = Box::new(move |ready| tell.send(ready.clone()).unwrap());
            let handler = Rc::new(Routes);
            let options = RunOptions { home, listen, mdns: Some(false), handler, ready: Some(ready) };
            run_until(options, async move {
                let _ = stopped.recv().await;
            })
        });
        match told.recv() {
            Ok(ready) => Ok(Self { ready, stop, thread }),
            Err(_) => Err(thread.join().unwrap().unwrap_err()),
        }
    }

    /// Stops it.
    fn stop(self) -> Result<(), RunError> {
        drop(self.stop);
        self.thread.join().unwrap()
    }
}

/// What the node of this home says of itself.
fn status(home: &Path) -> Result<serde_json::Value, ClientError> {
    let mut answer = Client::connect(home)?.call(&Ask { method: "GET", path: "/status", body: b"" })?;
    let Event::Piece(Piece::Json(value)) = answer.next_event()? else { panic!("no piece") };
    assert!(matches!(answer.next_event()?, Event::End(_)));
    Ok(value)
}

#[test]
fn a_node_starts_answers_stops_and_starts_again() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("home");
    for _ in 0..2 {
        let node = Node::start(&home, Some("127.0.0.1:0")).unwrap();
        assert_eq!(node.ready.addresses.len(), 1);
        assert_ne!(node.ready.addresses[0].port(), 0);
        assert_eq!(std::fs::metadata(&node.ready.control).unwrap().mode() & 0o777, 0o600);
        assert!(status(&home).unwrap().get("summary").is_some());
        node.stop().unwrap();
        assert!(!home.join("control.sock").exists());
        assert!(matches!(status(&home), Err(ClientError::NotRunning { .. })));
    }
}

#[test]
fn a_home_in_use_and_a_busy_port_are_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let (home, other) = (directory.path().join("a"), directory.path().join("b"));
    let node = Node::start(&home, Some("127.0.0.1:0")).unwrap();
    let refused = Node::start(&home, Some("127.0.0.1:0")).err().unwrap();
    assert!(matches!(&refused, RunError::Home(HomeError::Busy { .. })), "{refused}");
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    assert!(status(&home).is_ok(), "the first one still answers");
    let busy = node.ready.addresses[0].to_string();
    let refused = Node::start(&other, Some(&busy)).err().unwrap();
    assert!(matches!(&refused, RunError::Udp(_)), "{refused}");
    let third = Node::start(&other, Some("127.0.0.1:0")).unwrap();
    third.stop().unwrap();
    node.stop().unwrap();
}

#[test]
fn what_a_cut_off_run_left_behind_is_no_hindrance() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    drop(std::os::unix::net::UnixListener::bind(home.join("control.sock")).unwrap());
    std::fs::write(home.join("lock"), "nuthatch, process 1").unwrap();
    let node = Node::start(home, Some("127.0.0.1:0")).unwrap();
    assert!(status(home).is_ok());
    node.stop().unwrap();
}

#[test]
fn a_home_with_a_path_too_long_for_a_socket_works() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("x".repeat(150));
    let node = Node::start(&home, Some("127.0.0.1:0")).unwrap();
    assert!(status(&home).is_ok());
    let control = node.ready.control.clone();
    node.stop().unwrap();
    assert!(!control.exists());
}

#[test]
fn a_wrong_configuration_is_named_not_skipped() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("nuthatch.toml"), b"\xff").unwrap();
    let refused = Node::start(directory.path(), Some("127.0.0.1:0")).err().unwrap();
    assert!(refused.to_string().contains("nuthatch.toml"), "{refused}");
}
