//! The body of a request that is handed to its call piece by piece.
//!
//! The next piece is read when the core has room for it, so a client that sends faster than the disk takes it waits. One that stops in
//! the middle is given up after a while, and nothing of what it sent becomes part of anything.

use hyper::body::Incoming;

use super::{duration, ApiError, BodyExt, Bytes, Outward, Running, Timer};
use crate::base::limits::{HTTP_DRAIN_BYTES_MAX, HTTP_DRAIN_TIME_MAX, HTTP_PIECE_TIME_MAX};

/// Hands the body to the call until that answers something.
pub async fn feed(body: &mut Incoming, running: &mut Running) -> Outward {
    let mut ended = false;
    let outward = loop {
        match running.next().await {
            Outward::More => match next_piece(body).await {
                Ok(piece) => {
                    ended = piece.is_none();
                    running.give(piece.map(Vec::from).unwrap_or_default(), ended);
                }
                Err(error) => break Outward::Done(Err(error)),
            },
            outward => break outward,
        }
    };
    if !ended && matches!(outward, Outward::Done(Err(_))) {
        drain(body).await;
    }
    outward
}

/// Reads some of what nobody wants, lest a client that is still sending never sees why it was refused.
pub async fn drain(body: &mut Incoming) {
    let read = async {
        let mut bytes = 0;
        while let Ok(Some(piece)) = next_piece(body).await {
            bytes += piece.len();
            if bytes > HTTP_DRAIN_BYTES_MAX {
                break;
            }
        }
    };
    let late = async {
        Timer::after(duration(HTTP_DRAIN_TIME_MAX)).await;
    };
    smol::future::or(read, late).await;
}

/// The next bytes, at least one; None at the end.
///
/// # Errors
/// When they do not come, or took too long.
pub async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, ApiError> {
    loop {
        let late = async {
            Timer::after(duration(HTTP_PIECE_TIME_MAX)).await;
            Err(ApiError::new("request_timeout", "nothing more was sent for too long", "send it again"))
        };
        let next = async { Ok(body.frame().await) };
        let frame = match smol::future::or(next, late).await? {
            None => return Ok(None),
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                let message = format!("what was sent broke off: {error}");
                return Err(ApiError::new("bad_request", message, "send it again"));
            }
        };
        match frame.into_data() {
            Ok(data) if !data.is_empty() => return Ok(Some(data)),
            _ => {}
        }
    }
}
