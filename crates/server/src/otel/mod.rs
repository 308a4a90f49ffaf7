//! Traces of requests for an OpenTelemetry collector: with the feature `otel`, in `jotgate serve`, where
//! `OTEL_EXPORTER_OTLP_ENDPOINT` is set. Without the feature these are empty types, and nothing is left of the calls.
//!
//! A span is made of what the program itself names (methods, route patterns, status codes, refusal codes,
//! operations) and the request id. Nothing that a client sent gets into one, nor who it was.
//!
//! A request is the current context of the thread while its future is polled, so that what it awaits finds it; what
//! runs on its own (jobs, bodies that are streamed) has no trace.

#[cfg(any(not(feature = "otel"), test))]
#[cfg_attr(feature = "otel", expect(dead_code, reason = "here for its own test only"))]
mod off;
#[cfg(feature = "otel")]
mod on;
#[cfg(feature = "otel")]
mod queue;

#[cfg(not(feature = "otel"))]
pub(crate) use off::{Hashing, Operation, Request, start};
#[cfg(feature = "otel")]
pub(crate) use on::{Hashing, Operation, Request, start};
