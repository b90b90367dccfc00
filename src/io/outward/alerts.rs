//! Sends alerts: one HTTP/1.1 POST at a time, on the main thread, with a time limit for all of it.
//!
//! Decides nothing: what is sent, and how often it is tried, is the core's business (`node/events/alerts.rs`). A name is looked up
//! by the system in a thread of its own, for there is no other way that knows all of its sources; it lives as long as the
//! lookup, and there is one at most. Redirections are not followed, and of the answer nothing but its status is read.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::Builder;

use async_net::TcpStream;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use smol::channel::{bounded, Receiver, Sender};
use smol::Timer;
use smol_hyper::rt::FuturesIo;

use crate::base::limits::{ALERT_ADDRESSES_MAX, ALERT_CONNECT_TIME_MAX, ALERT_TIME_MAX};
use crate::io::os::duration;
use crate::io::threads::Word;
use crate::node::events::address::Address;
use crate::node::events::alerts::{Post, PostEnd};
use crate::node::events::errands::ErrandEnd;

/// Sends what comes, one after the other, for ever; what came of each is told with [`Word::Errand`].
pub async fn deliver(posts: Receiver<Post>, words: Sender<Word>) {
    let names = Names::default();
    while let Ok(post) = posts.recv().await {
        let late = async {
            Timer::after(duration(ALERT_TIME_MAX)).await;
            PostEnd::Failed(format!("{} took too long", post.to.authority()))
        };
        let end = smol::future::or(send(&names, &post), late).await;
        let _ = words.try_send(Word::Errand(ErrandEnd::Post(end)));
    }
}

/// Sends one.
async fn send(names: &Names, post: &Post) -> PostEnd {
    let to = &post.to;
    let addresses = match names.look_up(to).await {
        Ok(addresses) => addresses,
        Err(why) => return PostEnd::Failed(format!("{} is not found: {why}", to.host)),
    };
    let mut why = "no address".to_owned();
    for address in addresses.into_iter().take(ALERT_ADDRESSES_MAX) {
        // An address that swallows packets must not take the time of the next one.
        let late = async {
            Timer::after(duration(ALERT_CONNECT_TIME_MAX)).await;
            Err(std::io::Error::from(std::io::ErrorKind::TimedOut))
        };
        match smol::future::or(TcpStream::connect(address), late).await {
            Ok(stream) => return exchange(stream, post).await,
            Err(error) => why = error.to_string(),
        }
    }
    PostEnd::Failed(format!("{} cannot be reached: {why}", to.authority()))
}

/// The request and its answer's status, over a connection that stands.
async fn exchange(stream: TcpStream, post: &Post) -> PostEnd {
    let lost = |error: hyper::Error| PostEnd::Failed(format!("{} broke off: {error}", post.to.authority()));
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(&post.to.path)
        .header(HOST, post.to.authority())
        .header(USER_AGENT, concat!("nuthatch/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close");
    for (name, value) in &post.headers {
        request = request.header(*name, value);
    }
    let request = match request.body(Full::new(Bytes::copy_from_slice(&post.body))) {
        Ok(request) => request,
        Err(error) => return PostEnd::Refused(format!("it cannot be sent: {error}")),
    };
    let (mut sender, connection) = match http1::handshake(FuturesIo::new(stream)).await {
        Ok(both) => both,
        Err(error) => return lost(error),
    };
    let answered = async {
        match sender.send_request(request).await {
            Ok(answer) => verdict(&post.to, answer.status()),
            Err(error) => lost(error),
        }
    };
    let carried = async {
        // Its errors are seen by whoever waits for the answer.
        let _ = connection.await;
        std::future::pending().await
    };
    smol::future::or(answered, carried).await
}

/// What a status means.
fn verdict(to: &Address, status: StatusCode) -> PostEnd {
    let said = format!("{} answered {status}", to.authority());
    let again = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    match status {
        _ if status.is_success() => PostEnd::Taken,
        _ if again => PostEnd::Failed(said),
        _ if status.is_redirection() => PostEnd::Refused(format!("{said}; redirections are not followed")),
        _ => PostEnd::Refused(said),
    }
}

/// Looks names up.
#[derive(Debug, Default)]
struct Names {
    /// A lookup is going on, perhaps one that nobody waits for any more.
    busy: Arc<AtomicBool>,
}

impl Names {
    /// The addresses of a host.
    async fn look_up(&self, to: &Address) -> Result<Vec<SocketAddr>, String> {
        if let Ok(address) = to.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, to.port)]);
        }
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err("an earlier lookup has not ended".to_owned());
        }
        let (found, answer) = bounded(1);
        let (busy, host, port) = (Arc::clone(&self.busy), to.host.clone(), to.port);
        let thread = Builder::new().name("nuthatch-name".to_owned()).spawn(move || {
            let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
            busy.store(false, Ordering::Release);
            let _ = found.try_send(addresses);
        });
        if let Err(error) = thread {
            self.busy.store(false, Ordering::Release);
            return Err(format!("the system gave no thread: {error}"));
        }
        match answer.recv().await {
            Ok(addresses) => addresses.map_err(|error| error.to_string()),
            Err(_) => Err("the lookup ended without an answer".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
