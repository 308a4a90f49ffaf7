//! From hyper's requests to the router, and back.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use axum::routing::future::RouteFuture;
use http::header::{CONNECTION, HOST, HeaderValue, LOCATION};
use http::{Method, Request, StatusCode, Version};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use pin_project_lite::pin_project;
use tower::Service;

use super::keeper::{InFlight, Kept};
use super::lifecycle::{Lifecycle, Phase};
use crate::config::Origin;
use crate::http::Connection;
use crate::http::error::{ApiError, Code};

/// Answers the requests of one connection.
#[derive(Clone, Debug)]
pub(super) struct Requests {
    pub(super) router: Router,
    pub(super) peer: SocketAddr,
    pub(super) kept: Arc<Kept>,
    pub(super) lifecycle: Lifecycle,
}

impl hyper::service::Service<Request<Incoming>> for Requests {
    type Response = http::Response<Outgoing>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let in_flight = self.kept.begin();
        let framing = self.kept.number();
        let is_http1 = request.version() < Version::HTTP_2;
        let flaw = framing.filter(|_| is_http1).or_else(|| host_flaw(&request));
        let mut request =
            request.map(|body| if body.is_end_stream() { Body::empty() } else { Body::new(body) });
        request.extensions_mut().insert(Connection { peer: self.peer, flaw });
        Answering {
            answer: self.router.clone().call(request),
            // RFC 9112 §6.3: nothing more can be read from it with certainty.
            closes: flaw.is_some() && is_http1,
            in_flight: Some(in_flight),
            lifecycle: self.lifecycle.clone(),
        }
    }
}

/// What is wrong about where the request says it goes (RFC 9112 §3.2, RFC 9113 §8.3.1).
fn host_flaw<B>(request: &Request<B>) -> Option<&'static str> {
    let mut fields = request.headers().get_all(HOST).iter();
    let (host, second) = (fields.next(), fields.next());
    if second.is_some() {
        return Some("The request has more than one Host.");
    }
    match (request.uri().authority(), host) {
        (None, None) if request.version() == Version::HTTP_11 => Some("The request has no Host."),
        (Some(authority), Some(host))
            if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            Some("The request's target and its Host differ.")
        }
        _ => None,
    }
}

pin_project! {
    /// Future of [`Requests`].
    pub(super) struct Answering {
        #[pin]
        answer: RouteFuture<Infallible>,
        closes: bool,
        in_flight: Option<InFlight>,
        lifecycle: Lifecycle,
    }
}

impl Future for Answering {
    type Output = Result<http::Response<Outgoing>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.answer.poll(cx));
        if *this.closes {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let in_flight = this.in_flight.take();
        Poll::Ready(Ok(response.map(|body| Outgoing::new(body, in_flight, this.lifecycle))))
    }
}

/// The body of an answer: as long as it is being sent its request is in flight. One without an end of its own
/// ends when the server stops.
pub(super) struct Outgoing {
    body: Body,
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    is_over: bool,
    _in_flight: Option<InFlight>,
}

impl Outgoing {
    fn new(body: Body, mut in_flight: Option<InFlight>, lifecycle: &Lifecycle) -> Self {
        let endless = body.size_hint().exact().is_none();
        if let Some(in_flight) = &mut in_flight {
            in_flight.answer(endless);
        }
        let stop = endless.then(|| {
            let lifecycle = lifecycle.clone();
            Box::pin(async move { lifecycle.reached(Phase::Stopping).await })
                as Pin<Box<dyn Future<Output = ()> + Send>>
        });
        Self { body, stop, is_over: false, _in_flight: in_flight }
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_pending() && self.stop.as_mut().is_some_and(|stop| stop.as_mut().poll(cx).is_ready()) {
            self.is_over = true;
            return Poll::Ready(None);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What somebody is told who speaks plain HTTP to the port of TLS: where the right address is, if only something
/// was to be read. What was to be written must not be sent again before somebody has looked: it went over the
/// wire for all to see.
pub(super) fn answer_plain(public_url: &Origin, request: &Request<Incoming>) -> http::Response<Body> {
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
    let location = HeaderValue::try_from(format!("{public_url}{path}"));
    let mut response: Response = match (request.method(), location) {
        (&Method::GET | &Method::HEAD, Ok(location)) => {
            (StatusCode::PERMANENT_REDIRECT, [(LOCATION, location)]).into_response()
        }
        _ => ApiError::new(Code::InvalidRequest)
            .detail("This port speaks HTTPS only. What was sent crossed the network unencrypted.")
            .into_response(),
    };
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
