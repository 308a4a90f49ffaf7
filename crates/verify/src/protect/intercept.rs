//! Layers that answer some requests themselves, and let the others through as they are.

use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::Answer;

/// What such a layer decides by. Not for others to implement.
pub trait Intercept {
    /// The answer to this request; none lets it through.
    fn answer<B, R: From<String>>(&self, request: &Request<B>) -> Option<Response<R>>;
}

/// A service behind [`Require`](super::Require) or [`ProtectedResource`](super::ProtectedResource).
#[derive(Debug, Clone)]
pub struct Intercepted<S, L> {
    pub(super) inner: S,
    pub(super) layer: L,
}

impl<S, L, B, R> Service<Request<B>> for Intercepted<S, L>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    L: Intercept,
    R: From<String> + Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Answer<R, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.layer.answer(&request) {
            Some(answer) => Box::pin(std::future::ready(Ok(answer))),
            None => Box::pin(self.inner.call(request)),
        }
    }
}
