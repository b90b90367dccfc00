//! Alerts over real sockets on loopback: what arrives, and what is made of each answer.

use super::*;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

/// Takes one request and answers it like this; what it got.
fn server(answer: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"BODY") {
            let mut buffer = [0; 1024];
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => got.extend_from_slice(&buffer[..count]),
            }
        }
        let _ = stream.write_all(answer.as_bytes());
        String::from_utf8(got).unwrap()
    });
    (address, thread)
}

/// Sends a request there.
fn post(to: &str) -> PostEnd {
    let to = Address::read(to).unwrap();
    let post = Post { to, headers: vec![("title", "a title".into())], body: b"BODY".to_vec() };
    smol::block_on(send(&Names::default(), &post))
}

#[test]
fn a_request_has_what_it_was_given_and_a_success_is_one() {
    let (address, thread) = server("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(post(&format!("http://{address}/topic?a=b")), PostEnd::Taken);
    let got = thread.join().unwrap();
    assert!(got.starts_with("POST /topic?a=b HTTP/1.1\r\n"), "{got}");
    for part in
        [&format!("host: {address}\r\n"), "title: a title\r\n", "content-length: 4\r\n", "\r\n\r\nBODY"]
    {
        assert!(got.contains(part), "{part}: {got}");
    }
}

#[test]
fn failures_that_may_pass_are_told_from_those_that_do_not() {
    for (answer, may_pass) in [
        ("HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 429 x\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 301 x\r\nlocation: http://elsewhere/\r\n\r\n", false),
        ("no HTTP at all\r\n\r\n", true),
        ("", true),
    ] {
        let (address, thread) = server(answer);
        let end = post(&format!("http://{address}/"));
        assert_eq!(matches!(end, PostEnd::Failed(_)), may_pass, "{answer}: {end:?}");
        assert_eq!(matches!(end, PostEnd::Refused(_)), !may_pass, "{answer}: {end:?}");
        thread.join().unwrap();
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(
        matches!(post(&format!("http://{closed}/")), PostEnd::Failed(why) if why.contains("cannot be reached"))
    );
}

#[test]
fn names_are_looked_up_and_one_lookup_goes_on_at_a_time() {
    let names = Names::default();
    let look =
        |host: &str| smol::block_on(names.look_up(&Address::read(&format!("http://{host}:81/")).unwrap()));
    assert_eq!(look("[::1]"), Ok(vec!["[::1]:81".parse().unwrap()]));
    let found = look("localhost").unwrap();
    assert!(
        !found.is_empty() && found.iter().all(|address| address.ip().is_loopback() && address.port() == 81)
    );
    names.busy.store(true, Ordering::Release);
    assert!(look("localhost").is_err_and(|why| why.contains("earlier")));
    assert!(look("127.0.0.1").is_ok(), "an address needs no lookup");
}

#[test]
fn what_was_sent_is_told_in_its_order() {
    let (words, heard) = smol::channel::unbounded();
    let (posts, sent) = bounded(2);
    let (address, thread) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let to = Address::read(&format!("http://{address}/")).unwrap();
    posts.try_send(Post { to: to.clone(), headers: Vec::new(), body: b"BODY".to_vec() }).unwrap();
    posts.try_send(Post { to, headers: Vec::new(), body: b"BODY".to_vec() }).unwrap();
    drop(posts);
    smol::block_on(deliver(sent, words));
    thread.join().unwrap();
    assert!(matches!(heard.try_recv(), Ok(Word::Errand(ErrandEnd::Post(PostEnd::Taken)))));
    // The listener is gone by now.
    assert!(matches!(heard.try_recv(), Ok(Word::Errand(ErrandEnd::Post(PostEnd::Failed(_))))));
}
