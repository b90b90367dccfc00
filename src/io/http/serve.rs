//! Connections: those of the control socket, and those of the web's port.
//!
//! Bounds how many there are, how many of one address, how long a client may take to ask and how long it may take nothing of
//! what is sent to it. Who may ask for what is the business of the [`Site`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_net::unix::UnixListener;
use async_net::{TcpListener, TcpStream};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::Request;
use smol::io::{AsyncRead, AsyncWrite};
use smol::lock::{Semaphore, SemaphoreGuardArc};
use smol::{LocalExecutor, Timer};
use smol_hyper::rt::{FuturesIo, SmolTimer};

use super::{duration, Answer};
use crate::base::limits::{
    HTTP_BUFFER_BYTES_MAX, HTTP_CONNECTIONS_MAX, HTTP_REQUEST_TIME_MAX, WEB_CONNECTIONS_EACH_MAX,
    WEB_CONNECTIONS_MAX, WEB_STALL_MAX,
};
use crate::base::units::Span;

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The control socket, which only the node's user can open.
    Control,
    /// The web's port.
    Address(SocketAddr),
}

/// An answer to come.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;

/// Answers requests.
pub trait Site {
    /// Answers one.
    fn answer(&self, request: Request<Incoming>, from: From) -> Answering<'_>;
}

/// Serves the control socket until the task is dropped.
pub async fn serve_unix(executor: Rc<LocalExecutor<'static>>, listener: UnixListener, site: Rc<dyn Site>) {
    let places = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    loop {
        let place = places.acquire_arc().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let stream = Box::new(stream);
                executor.spawn(connection(stream, From::Control, Rc::clone(&site), place)).detach();
            }
            Err(error) => rest("the control socket", &error).await,
        }
    }
}

/// Serves the web's port until the task is dropped.
pub async fn serve_tcp(executor: Rc<LocalExecutor<'static>>, listener: TcpListener, site: Rc<dyn Site>) {
    let places = Arc::new(Semaphore::new(WEB_CONNECTIONS_MAX));
    let crowd = Rc::new(RefCell::new(HashMap::new()));
    loop {
        let place = places.acquire_arc().await;
        match listener.accept().await {
            Ok((stream, address)) => {
                let Some(seat) = Seat::take(&crowd, address.ip()) else {
                    log::debug!("{address} has too many connections");
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let (stream, site) = (Box::new(Patient::new(stream, WEB_STALL_MAX)), Rc::clone(&site));
                let serving = async move {
                    connection(stream, From::Address(address), site, place).await;
                    drop(seat);
                };
                executor.spawn(serving).detach();
            }
            Err(error) => rest("the web's port", &error).await,
        }
    }
}

/// Out of descriptors, most likely: the listener stays readable, so wait instead of turning.
async fn rest(what: &str, error: &io::Error) {
    log::warn!("{what} cannot accept: {error}");
    Timer::after(Duration::from_millis(200)).await;
}

/// Bytes both ways: whatever they come through, hyper is in the program once.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Serves one connection.
async fn connection(stream: Box<dyn Stream>, from: From, site: Rc<dyn Site>, _place: SemaphoreGuardArc) {
    let service = service_fn(move |request| {
        let site = Rc::clone(&site);
        async move { Ok::<_, Infallible>(site.answer(request, from).await) }
    });
    let served = http1::Builder::new()
        .timer(SmolTimer::new())
        .header_read_timeout(duration(HTTP_REQUEST_TIME_MAX))
        .max_buf_size(HTTP_BUFFER_BYTES_MAX)
        .serve_connection(FuturesIo::new(stream), service)
        .await;
    if let Err(error) = served {
        log::debug!("a connection ended: {error}");
    }
}

/// How many connections each address has.
type Crowd = Rc<RefCell<HashMap<IpAddr, usize>>>;

/// One connection of an address, counted until it is dropped.
struct Seat {
    /// All of them.
    crowd: Crowd,
    /// Whose.
    address: IpAddr,
}

impl Seat {
    /// One more, unless there are too many.
    fn take(crowd: &Crowd, address: IpAddr) -> Option<Self> {
        let mut seats = crowd.borrow_mut();
        let count = seats.entry(address).or_insert(0);
        if *count >= WEB_CONNECTIONS_EACH_MAX {
            return None;
        }
        *count += 1;
        Some(Self { crowd: Rc::clone(crowd), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.crowd.borrow_mut();
        if let Some(count) = seats.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                seats.remove(&self.address);
            }
        }
    }
}

/// A connection that is given up when nothing of what is sent is taken for so long.
pub(super) struct Patient {
    /// The connection.
    stream: TcpStream,
    /// How long.
    limit: Span,
    /// Runs while it takes nothing.
    stalled: Option<Timer>,
}

impl Patient {
    /// Has not waited yet.
    pub(super) const fn new(stream: TcpStream, limit: Span) -> Self {
        Self { stream, limit, stalled: None }
    }

    /// What a write came to, unless it has been waited for too long.
    fn judge<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let limit = self.limit;
        let timer = self.stalled.get_or_insert_with(|| Timer::after(duration(limit)));
        match Pin::new(timer).poll(context) {
            Poll::Ready(_) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.judge(context, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}
