//! Between the requests and the collector: what waits has a bound, what goes beyond it or cannot be sent is dropped and
//! counted, and the log says so once a minute at most.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use opentelemetry::Context;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};

use crate::outbound;

/// How often the log says that spans are lost.
const QUIET: Duration = Duration::from_secs(60);
/// Longest answer that is read of a collector.
const LONGEST: u64 = 64 * 1024;

/// Why spans are lost while the last batch was taken.
const SLOW: &str = "the collector is slow";

/// What waits, and what was lost.
#[derive(Debug)]
pub(super) struct Queue {
    cap: usize,
    waiting: AtomicUsize,
    lost: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Debug)]
struct Told {
    last: Option<Instant>,
    /// What became of the last attempt to send.
    why: String,
}

impl Queue {
    pub(super) fn new(cap: usize) -> Self {
        let told = Mutex::new(Told { last: None, why: SLOW.into() });
        Self { cap, waiting: AtomicUsize::new(0), lost: AtomicU64::new(0), told }
    }

    /// Whether there is room for one more, which then has it.
    fn enter(&self) -> bool {
        let room = |waiting| (waiting < self.cap).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
    }

    fn leave(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::Relaxed);
    }

    fn lose(&self, count: usize) {
        self.lost.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.tell(false);
    }

    fn tell(&self, last_words: bool) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !last_words && told.last.is_some_and(|last| last.elapsed() < QUIET) {
            return;
        }
        let count = self.lost.swap(0, Ordering::Relaxed);
        if count > 0 {
            told.last = Some(Instant::now());
            tracing::warn!(target: "jotgate::otel", count, why = told.why.as_str(), "spans were lost");
        }
    }

    fn note(&self, why: String) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).why = why;
    }

    /// The end: what still waits is lost.
    pub(super) fn close(&self) {
        let waiting = self.waiting.swap(0, Ordering::Relaxed);
        self.lost.fetch_add(u64::try_from(waiting).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.tell(true);
    }
}

/// Lets in what has room; the batches inside then never have too many.
#[derive(Debug)]
pub(super) struct Bounded {
    batches: BatchSpanProcessor,
    queue: Arc<Queue>,
}

impl Bounded {
    pub(super) fn new(batches: BatchSpanProcessor, queue: Arc<Queue>) -> Self {
        Self { batches, queue }
    }
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.queue.enter() {
            self.batches.on_end(span);
        } else {
            self.queue.lose(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Sends batches, from a thread of its own.
#[derive(Debug)]
pub(super) struct Exporter {
    inner: opentelemetry_otlp::SpanExporter,
    queue: Arc<Queue>,
}

impl Exporter {
    pub(super) fn new(inner: opentelemetry_otlp::SpanExporter, queue: Arc<Queue>) -> Self {
        Self { inner, queue }
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let sent = self.inner.export(batch).await;
        self.queue.leave(count);
        if sent.is_err() {
            self.queue.lose(count);
        }
        sent
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// The way to the collector: the program's own client. It blocks, as the thread of the batches may.
#[derive(Debug)]
pub(super) struct Client {
    client: outbound::Client,
    queue: Arc<Queue>,
}

impl Client {
    pub(super) fn new(client: outbound::Client, queue: Arc<Queue>) -> Self {
        Self { client, queue }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let response = self.client.run(request.map(|body| body.to_vec()))?;
        let (parts, mut body) = response.into_parts();
        let body = body.with_config().limit(LONGEST).read_to_vec()?;
        Ok(Response::from_parts(parts, body.into()))
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        match self.send(request) {
            Ok(response) => {
                self.queue.note(if response.status().is_success() {
                    SLOW.into()
                } else {
                    format!("the collector answered {}", response.status().as_u16())
                });
                Ok(response)
            }
            Err(error) => {
                // Other errors can repeat the address, in which there can be a password.
                self.queue.note(match &error {
                    ureq::Error::Io(error) => format!("the collector cannot be reached: {}", error.kind()),
                    ureq::Error::Timeout(_) => "the collector does not answer".into(),
                    ureq::Error::HostNotFound => "the collector's name is not known".into(),
                    ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
                        "the collector's certificate is not trusted".into()
                    }
                    _ => "the collector cannot be reached".into(),
                });
                Err(error.into())
            }
        }
    }
}
