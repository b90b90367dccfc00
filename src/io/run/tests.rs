//! A node's start and end.

use super::*;
use crate::io::client::{Ask, Client, ClientError, Event};
use crate::io::http::tests::Plain;
use crate::io::http::{Asked, Handler, Media, Route};
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
            "/lines" | "/bytes" => {
                let call = serde_json::from_slice(asked.body)
                    .map_err(|error| ApiError::new("bad_request", error.to_string(), ""))?;
                let media = if asked.path == "/lines" { Media::Lines } else { Media::Bytes };
                Ok(Route { call, media })
            }
            _ => Err(ApiError::new("not_found", "no such route", "")),
        }
    }
}

/// A node on a thread of its own.
struct Node {
    ready: Ready,
    stop: Sender<()>,
    thread: JoinHandle<Result<End, RunError>>,
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
            let site: MakeSite = Box::new(|parts| Ok(Rc::new(Plain(Routes, parts.calls))));
            let options =
                RunOptions { home, listen, mdns: Some(false), web: Web::Off, site, ready: Some(ready) };
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
        self.thread.join().unwrap().map(|end| assert_eq!(end, End::Stopped))
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

/// Calls the node of this home; the answer's stream.
fn call(home: &Path, path: &str, call: &Call) -> crate::io::client::CallStream {
    let body = serde_json::to_vec(call).unwrap();
    Client::connect(home).unwrap().call(&Ask { method: "POST", path, body: &body }).unwrap()
}

/// All lines of an answer.
fn lines(home: &Path, asked: &Call) -> (Vec<serde_json::Value>, crate::node::ports::Ending) {
    let mut stream = call(home, "/lines", asked);
    let mut found = Vec::new();
    loop {
        match stream.next_event().unwrap() {
            Event::Piece(Piece::Json(value)) => found.push(value),
            Event::Piece(Piece::Bytes(_)) => panic!("bytes"),
            Event::End(ending) => return (found, ending),
        }
    }
}

#[test]
fn two_real_nodes_meet_keep_a_folder_and_give_it_back() {
    use crate::io::target::{Options, Writer};
    use crate::node::api::FolderAdd;
    use std::os::unix::ffi::OsStrExt;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (first, second) = (path("first"), path("second"));
    let (pieces, _) =
        crate::io::alone::run_call(&first, Call::Init { name: Some("one".into()), site: None }).unwrap();
    assert!(
        matches!(&pieces[..], [Piece::Json(value)] if value["recovery_phrase"].is_string()),
        "{pieces:?}"
    );
    let one = Node::start(&first, Some("127.0.0.1:0")).unwrap();
    let two = Node::start(&second, Some("127.0.0.1:0")).unwrap();
    let mut invitation =
        call(&first, "/lines", &Call::Invite { role: crate::feed::entry::Role::Store, wait: true });
    let Event::Piece(Piece::Json(open)) = invitation.next_event().unwrap() else { panic!("no code") };
    let code = open["code"].as_str().unwrap().to_owned();
    let peer = Some(one.ready.addresses[0]);
    lines(&second, &Call::Join { code, peer, name: Some("two".into()), site: None });
    drop(invitation);
    let source = path("source");
    std::fs::create_dir_all(source.join("sub")).unwrap();
    std::fs::write(source.join("sub/small"), b"small").unwrap();
    let large: Vec<u8> = (0..700_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(source.join("large"), &large).unwrap();
    lines(
        &first,
        &Call::FolderAdd(FolderAdd {
            name: "docs".into(),
            directory: source.as_os_str().as_bytes().to_vec(),
            kind: "backup".into(),
            copies: Some(2),
            keep: None,
            ignore: Vec::new(),
            one_file_system: false,
            max_size: None,
            mode: crate::feed::entry::Mode::Both,
        }),
    );
    let (progress, ending) = lines(&first, &Call::Backup { name: Some("docs".into()), wait: true });
    assert_eq!(ending, crate::node::ports::Ending::Complete, "{progress:?}");
    let target = path("target");
    let mut writer = Writer::new(&target, Options::default()).unwrap();
    let mut stream = call(&first, "/bytes", &Call::Restore { what: "docs".into(), dry_run: false });
    while let Event::Piece(Piece::Bytes(bytes)) = stream.next_event().unwrap() {
        writer.take(&bytes).unwrap();
    }
    let report = writer.finish().unwrap();
    assert_eq!((report.new, report.lost_count), (2, 0), "{report:?}");
    let found =
        std::fs::read(target.join("large")).or_else(|_| std::fs::read(target.join("docs/large"))).unwrap();
    assert!(found == large);
    // Whoever stops says so: it is not taken for connected until its silence is noticed.
    two.stop().unwrap();
    while status(&first).unwrap()["peers"].as_array().is_some_and(|peers| !peers.is_empty()) {
        std::thread::yield_now();
    }
    let (log, _) = lines(&first, &Call::Log { follow: false, after: None });
    assert!(format!("{log:?}").contains("lost two: it has stopped"), "{log:?}");
    one.stop().unwrap();
}
