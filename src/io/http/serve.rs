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

use super::{duration, Answer, Tls};
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

    /// Answers one that came unencrypted to a port that has a certificate.
    fn answer_plain(&self, request: Request<Incoming>, from: From) -> Answering<'_> {
        self.answer(request, from)
    }
}

/// Serves the control socket until the task is dropped.
pub async fn serve_unix(executor: Rc<LocalExecutor<'static>>, listener: UnixListener, site: Rc<dyn Site>) {
    let places = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    loop {
        let place = places.acquire_arc().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let stream: Box<dyn Stream> = Box::new(stream);
                let serving = connection((stream, Way::Meant), From::Control, Rc::clone(&site), place);
                executor.spawn(serving).detach();
            }
            Err(error) => rest("the control socket", &error).await,
        }
    }
}

/// Serves the web's port until the task is dropped, encrypted where there is a certificate.
pub async fn serve_tcp(
    executor: Rc<LocalExecutor<'static>>,
    listener: TcpListener,
    site: Rc<dyn Site>,
    tls: Option<Tls>,
) {
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
                let (site, tls) = (Rc::clone(&site), tls.clone());
                let serving = async move {
                    match welcome(stream, tls).await {
                        Ok(stream) => connection(stream, From::Address(address), site, place).await,
                        Err(error) => log::debug!("{address} came to nothing: {error}"),
                    }
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

/// How a client came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As it should.
    Meant,
    /// Unencrypted, where there is a certificate.
    Plain,
}

/// What a client speaks, and through what: with its first byte a client of TLS says that it is one (RFC 8446, section 5.1).
async fn welcome(stream: TcpStream, tls: Option<Tls>) -> io::Result<(Box<dyn Stream>, Way)> {
    let patient = |stream| Patient::new(stream, WEB_STALL_MAX);
    let Some(tls) = tls else { return Ok((Box::new(patient(stream)), Way::Meant)) };
    let agreed = async {
        let mut first = [0];
        match stream.peek(&mut first).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ if first == [TLS_HANDSHAKE] => {
                let secured: Box<dyn Stream> = Box::new(tls.accept(patient(stream)).await?);
                Ok((secured, Way::Meant))
            }
            _ => Ok((Box::new(patient(stream)) as Box<dyn Stream>, Way::Plain)),
        }
    };
    let late = async {
        Timer::after(duration(HTTP_REQUEST_TIME_MAX)).await;
        Err(io::ErrorKind::TimedOut.into())
    };
    smol::future::or(agreed, late).await
}

/// Serves one connection.
async fn connection(
    (stream, way): (Box<dyn Stream>, Way),
    from: From,
    site: Rc<dyn Site>,
    _place: SemaphoreGuardArc,
) {
    let service = service_fn(move |request| {
        let site = Rc::clone(&site);
        async move {
            Ok::<_, Infallible>(match way {
                Way::Meant => site.answer(request, from).await,
                Way::Plain => site.answer_plain(request, from).await,
            })
        }
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

/// The first byte of a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

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
