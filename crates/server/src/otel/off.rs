//! Nothing, at no cost.

use std::time::Duration;

use axum::body::Body;
use axum::extract::MatchedPath;

use crate::http::log::Line;
use crate::outbound;

#[derive(Debug)]
pub(crate) struct Traces;

#[inline]
pub(crate) fn start(_: fn(Duration) -> outbound::Client) -> Traces {
    Traces
}

#[derive(Debug)]
pub(crate) struct Request;

#[derive(Debug)]
pub(crate) struct Entered;

impl Request {
    #[inline]
    pub(crate) fn begin(_: &http::Request<Body>, _: Option<&MatchedPath>, _: bool) -> Self {
        Self
    }

    #[inline]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn enter(&self) -> Entered {
        Entered
    }

    #[inline]
    pub(crate) fn end(self, _: &Line<'_>) {}
}

#[derive(Debug)]
pub(crate) struct Operation;

impl Operation {
    #[inline]
    pub(crate) fn begin(_: &'static str) -> Self {
        Self
    }

    #[inline]
    pub(crate) fn end(self, _: Option<&'static str>) {}
}

#[derive(Debug)]
pub(crate) struct Hashing;

impl Hashing {
    #[inline]
    pub(crate) fn wait() -> Self {
        Self
    }

    #[inline]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn start(&mut self) {}

    #[inline]
    pub(crate) fn end(self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_feature_nothing_is_kept() {
        assert_eq!(size_of::<(Request, Entered, Operation, Hashing, Traces)>(), 0);
        assert!(!std::mem::needs_drop::<(Request, Entered, Operation, Hashing, Traces)>());
    }
}
