//! Server and client together over a real socket.

use super::*;
use crate::io::calls::Inward;
use crate::io::client::{Ask, Client, ClientError, Event};
use crate::node::ports::CallId;
use async_net::unix::UnixListener;
use smol::channel::Receiver;
use smol::LocalExecutor;
use std::io::{Read, Write};
use std::path::Path;
use std::rc::Rc;

/// A site that is nothing but a handler.
pub(crate) struct Plain<H>(pub(crate) H, pub(crate) Calls);

impl<H: Handler> Site for Plain<H> {
    fn answer(&self, request: Request<Incoming>, _from: From) -> Answering<'_> {
        Box::pin(answer_call(request, &self.0, &self.1))
    }
}

/// Routes of these tests.
#[derive(Debug)]
struct Routes;

impl Handler for Routes {
    fn route(&self, asked: &Asked<'_>) -> Result<Route, ApiError> {
        let media = match asked.path {
            "/json" => Media::Json,
            "/lines" => Media::Lines,
            "/bytes" => Media::Bytes,
            _ => return Err(ApiError::new("not_found", format!("no {}", asked.path), "look again")),
        };
        if asked.method != "POST" {
            return Err(ApiError::new("method_not_allowed", "only POST", ""));
        }
        // What was sent comes back to the test's core as the name of a folder.
        let name = format!("{}|{}", asked.query.unwrap_or("-"), String::from_utf8_lossy(asked.body));
        Ok(Route { call: Call::FolderRemove { name }, media })
    }
}

/// Serves `home` with a core made of `answer` while `client` runs on this thread.
fn with_server<R>(
    answer: impl FnMut(&Calls, CallId, &str) + Send + 'static,
    client: impl FnOnce(&Path) -> R,
) -> R {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("control.sock");
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    let (ready, bound) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let executor = Rc::new(LocalExecutor::new());
        let (calls, heard) = Calls::new();
        smol::block_on(executor.run(async {
            let listener = UnixListener::bind(&socket).unwrap();
            ready.send(()).unwrap();
            executor
                .spawn(serve_unix(Rc::clone(&executor), listener, Rc::new(Plain(Routes, calls.clone()))))
                .detach();
            executor.spawn(core(calls, heard, answer)).detach();
            let _ = stopped.recv().await;
        }));
    });
    bound.recv().unwrap();
    let result = client(home.path());
    drop(stop);
    thread.join().unwrap();
    result
}

/// A core that answers every call at once by a function.
async fn core(calls: Calls, heard: Receiver<Inward>, mut answer: impl FnMut(&Calls, CallId, &str)) {
    while let Ok(inward) = heard.recv().await {
        if let Inward::Call { id, call: Call::FolderRemove { name } } = inward {
            answer(&calls, id, &name);
        }
    }
}

/// All of an answer.
fn events(
    stream: Result<crate::io::client::CallStream, ClientError>,
) -> (Vec<Piece>, Result<Ending, ClientError>) {
    let mut stream = match stream {
        Ok(stream) => stream,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let mut pieces = Vec::new();
    loop {
        match stream.next_event() {
            Ok(Event::Piece(piece)) => pieces.push(piece),
            Ok(Event::End(ending)) => return (pieces, Ok(ending)),
            Err(error) => return (pieces, Err(error)),
        }
    }
}

/// Asks with POST.
fn post(home: &Path, path: &str, body: &[u8]) -> (Vec<Piece>, Result<Ending, ClientError>) {
    events(Client::connect(home).unwrap().call(&Ask { method: "POST", path, body }))
}

/// The error of an answer.
fn api_error(result: Result<Ending, ClientError>) -> ApiError {
    match result {
        Err(ClientError::Api(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_form_of_answer_arrives_with_its_ending() {
    let answer = |calls: &Calls, id, name: &str| {
        let ending = if name.contains("part") { Ending::Partial } else { Ending::Complete };
        if name.contains("bytes") {
            calls.piece(id, Piece::Bytes(vec![7; 300_000]));
            calls.piece(id, Piece::Bytes(Vec::new()));
            calls.piece(id, Piece::Bytes(b"end".to_vec()));
        } else {
            calls.piece(id, Piece::Json(json!({ "name": name, "end": 1 })));
            if name.contains("lines") {
                calls.piece(id, Piece::Json(json!({ "error": "a word, no error" , "x": 1})));
            }
        }
        calls.done(id, Ok(ending));
    };
    with_server(answer, |home| {
        let (pieces, end) = post(home, "/json?a=b%20c", b"body");
        assert_eq!(pieces, [Piece::Json(json!({ "name": "a=b%20c|body", "end": 1 }))]);
        assert_eq!(end.unwrap(), Ending::Complete);
        assert_eq!(post(home, "/json?part", b"").1.unwrap(), Ending::Partial);
        let (pieces, end) = post(home, "/lines?part", b"lines");
        assert_eq!((pieces.len(), end.unwrap()), (2, Ending::Partial));
        let (pieces, end) = post(home, "/bytes?part", b"bytes");
        let bytes: Vec<u8> = pieces
            .into_iter()
            .flat_map(|piece| match piece {
                Piece::Bytes(bytes) => bytes,
                Piece::Json(value) => panic!("{value}"),
            })
            .collect();
        assert!(bytes == [vec![7; 300_000], b"end".to_vec()].concat());
        assert_eq!(end.unwrap(), Ending::Partial);
    });
}

#[test]
fn an_error_is_told_before_and_after_the_first_piece_in_every_form() {
    let answer = |calls: &Calls, id, name: &str| {
        if name.contains("late") {
            let piece = if name.contains("bytes") { Piece::Bytes(vec![1]) } else { Piece::Json(json!(1)) };
            calls.piece(id, piece);
        }
        calls.done(
            id,
            Err(ApiError::new("unknown_folder", "no folder \"\u{fc}\u{1f426}\"\n", "is it f\u{fc}r?")),
        );
    };
    with_server(answer, |home| {
        for (path, body, pieces) in [
            ("/json", "", 0),
            ("/lines", "", 0),
            ("/bytes", "", 0),
            ("/json", "late", 0),
            ("/lines", "late", 1),
            ("/bytes", "late bytes", 1),
        ] {
            let (found, end) = post(home, path, body.as_bytes());
            let error = api_error(end);
            assert_eq!(found.len(), pieces, "{path} {body}");
            assert_eq!((error.code.as_str(), error.hint.as_str()), ("unknown_folder", "is it f\u{fc}r?"));
            assert_eq!(error.message, "no folder \"\u{fc}\u{1f426}\"\n");
        }
    });
}

#[test]
fn wrong_requests_are_refused_with_a_fitting_status() {
    with_server(
        |_: &Calls, _, _: &str| panic!("no call was meant"),
        |home| {
            assert_eq!(api_error(post(home, "/nowhere", b"").1).code, "not_found");
            let get = Client::connect(home).unwrap().call(&Ask { method: "GET", path: "/json", body: b"" });
            assert_eq!(api_error(events(get).1).code, "method_not_allowed");
            let large = vec![b'x'; HTTP_BODY_BYTES_MAX + 1];
            assert_eq!(api_error(post(home, "/json", &large).1).code, "body_too_large");
            let mut raw = std::os::unix::net::UnixStream::connect(home.join("control.sock")).unwrap();
            raw.write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
            let mut text = String::new();
            raw.read_to_string(&mut text).unwrap();
            assert!(text.starts_with("HTTP/1.1 404 ") && text.contains("application/json"), "{text}");
            let mut raw = std::os::unix::net::UnixStream::connect(home.join("control.sock")).unwrap();
            raw.write_all(b"\x16\x03\x01garbage\r\n\r\n").unwrap();
            let mut text = String::new();
            raw.read_to_string(&mut text).unwrap();
            assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
        },
    );
}

#[test]
fn a_client_that_knows_no_trailers_sees_a_failed_byte_stream_broken() {
    let answer = |calls: &Calls, id, _: &str| {
        calls.piece(id, Piece::Bytes(b"some".to_vec()));
        calls.done(id, Err(ApiError::new("failed", "it failed", "")));
    };
    with_server(answer, |home| {
        let mut raw = std::os::unix::net::UnixStream::connect(home.join("control.sock")).unwrap();
        raw.write_all(b"POST /bytes HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").unwrap();
        let mut text = String::new();
        raw.read_to_string(&mut text).unwrap();
        assert!(!text.ends_with("\r\n0\r\n\r\n"), "it looks whole: {text}");
    });
}

#[test]
fn a_slow_reader_holds_the_core_back_and_one_that_leaves_is_told() {
    let (told, heard) = std::sync::mpsc::channel();
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("control.sock");
    let path = home.path().to_path_buf();
    let thread = std::thread::spawn(move || {
        let executor = Rc::new(LocalExecutor::new());
        let (calls, inward) = Calls::new();
        smol::block_on(executor.run(async {
            let listener = UnixListener::bind(&socket).unwrap();
            told.send(0).unwrap();
            executor
                .spawn(serve_unix(Rc::clone(&executor), listener, Rc::new(Plain(Routes, calls.clone()))))
                .detach();
            let mut sent = 0_u64;
            while let Ok(inward) = inward.recv().await {
                match inward {
                    Inward::Call { id, .. } | Inward::Taken(id) => {
                        sent += 1;
                        calls.piece(id, Piece::Bytes(vec![1; 100_000]));
                    }
                    Inward::Dropped(_) => break,
                    Inward::Data { .. } => panic!("nothing was asked for"),
                }
            }
            told.send(sent).unwrap();
        }));
    });
    heard.recv().unwrap();
    let mut stream =
        Client::connect(&path).unwrap().call(&Ask { method: "POST", path: "/bytes", body: b"" }).unwrap();
    assert!(matches!(stream.next_event(), Ok(Event::Piece(_))));
    drop(stream);
    let sent = heard.recv().unwrap();
    // Far more would have gone into a socket that nobody reads if it had not been asked for piece by piece.
    assert!(sent < 100, "{sent} pieces of 100,000 bytes");
    thread.join().unwrap();
}

#[test]
fn nobody_there_is_told_as_that() {
    let home = tempfile::tempdir().unwrap();
    assert!(matches!(Client::connect(home.path()), Err(ClientError::NotRunning { .. })));
    drop(UnixListener::bind(home.path().join("control.sock")).unwrap());
    assert!(matches!(Client::connect(home.path()), Err(ClientError::NotRunning { .. })));
}

#[test]
fn a_client_that_takes_nothing_for_too_long_is_given_up() {
    use crate::base::units::Span;
    use smol::io::AsyncWriteExt as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let stream = async_net::TcpStream::try_from(stream).unwrap();
    let mut patient = serve::Patient::new(stream, Span::from_millis(100));
    smol::block_on(async {
        // As long as something is taken now and then, it goes on.
        let piece = vec![7; 1024 * 1024];
        patient.write_all(&piece[..1024]).await.unwrap();
        client.read_exact(&mut [0; 1024]).unwrap();
        let error = loop {
            if let Err(error) = patient.write_all(&piece).await {
                break error;
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    });
}
