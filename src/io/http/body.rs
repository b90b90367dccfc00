//! The body of any answer.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use hyper::Response;

use super::ApiError;

/// An answer, whatever its body is made of.
pub type Answer = Response<AnswerBody>;

/// A body that is known as a whole, or one that is made while it is sent.
pub enum AnswerBody {
    /// Known.
    Whole(Full<Bytes>),
    /// Made.
    Made(Pin<Box<dyn Body<Data = Bytes, Error = ApiError>>>),
}

impl AnswerBody {
    /// A body that is made while it is sent.
    pub fn new(body: impl Body<Data = Bytes, Error = ApiError> + 'static) -> Self {
        Self::Made(Box::pin(body))
    }

    /// A body that is known.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Full::new(bytes.into()))
    }

    /// None.
    #[must_use]
    pub fn empty() -> Self {
        Self::whole(Bytes::new())
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = ApiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ApiError>>> {
        match &mut *self {
            Self::Whole(body) => Pin::new(body)
                .poll_frame(context)
                .map(|next| next.map(|frame| frame.map_err(|never| match never {}))),
            Self::Made(body) => body.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Made(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Made(body) => body.size_hint(),
        }
    }
}
