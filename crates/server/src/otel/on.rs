//! The spans, and what of the standard variables is ours to read.

use std::borrow::Cow;
use std::env;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::MatchedPath;
use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{
    Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, ContextGuard, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span};

use super::queue::{Bounded, Client, Exporter, Queue};
use crate::http::log::{Line, known};
use crate::outbound;

const TRACEPARENT: &str = "traceparent";
/// How long the end of the program waits for the collector.
const LAST_SPANS: Duration = Duration::from_secs(2);
/// What the specification says where a variable does not.
const QUEUE: usize = 2048;
const TIMEOUT: Duration = Duration::from_secs(10);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Sends what waits when it is dropped, for two seconds at most.
#[derive(Debug)]
pub(crate) struct Traces(Option<(SdkTracerProvider, Arc<Queue>)>);

/// Begins to export, if the environment names a collector. What is wrong with the settings is logged, and the server
/// then runs without traces. `client` makes one that gives up after the given time.
pub(crate) fn start(client: fn(Duration) -> outbound::Client) -> Traces {
    let endpoint = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    if !endpoint.iter().any(|name| variable(name).is_some())
        || variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none")
    {
        return Traces(None);
    }
    let of_traces = |name: &str| {
        variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"))
            .or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
    };
    if of_traces("PROTOCOL").is_some_and(|protocol| protocol != "http/protobuf") {
        tracing::warn!("traces are sent as http/protobuf; OTEL_EXPORTER_OTLP_PROTOCOL knows no other here");
    }
    let timeout =
        of_traces("TIMEOUT").and_then(|text| text.parse().ok()).map_or(TIMEOUT, Duration::from_millis);
    let cap = variable("OTEL_BSP_MAX_QUEUE_SIZE").and_then(|text| text.parse().ok()).unwrap_or(QUEUE);
    let queue = Arc::new(Queue::new(cap));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(Client::new(client(timeout), Arc::clone(&queue)))
        .build();
    let Ok(exporter) = exporter else {
        // Its own words can repeat what is set, and an address can have a password in it.
        tracing::error!(
            "no traces: OTEL_EXPORTER_OTLP_ENDPOINT has to be an http or https URL, and compression is not supported"
        );
        return Traces(None);
    };
    let batches = BatchSpanProcessor::builder(Exporter::new(exporter, Arc::clone(&queue)))
        .with_batch_config(BatchConfigBuilder::default().with_max_queue_size(cap).build())
        .build();
    let provider = SdkTracerProvider::builder()
        .with_resource(resource())
        .with_span_processor(Bounded::new(batches, Arc::clone(&queue)))
        .build();
    let _ = TRACER.set(provider.tracer("jotgate"));
    tracing::info!(target: "jotgate::otel", "traces are exported");
    Traces(Some((provider, queue)))
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some((provider, queue)) = self.0.take() {
            // What could not be sent is told by the queue.
            let _ = provider.shutdown_with_timeout(LAST_SPANS);
            queue.close();
        }
    }
}

/// An empty variable is none.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let builder = Resource::builder().with_attribute(version);
    let named = variable("OTEL_SERVICE_NAME").is_some()
        || variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|list| {
            list.split(',').any(|pair| pair.split('=').next().is_some_and(|key| key.trim() == "service.name"))
        });
    if named { builder.build() } else { builder.with_service_name("jotgate").build() }
}

/// The one `traceparent` of a request. `tracestate` is free text, and left where it is.
struct Caller<'a>(&'a HeaderMap);

impl Extractor for Caller<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let mut fields = self.0.get_all(TRACEPARENT).iter();
        match (key, fields.next(), fields.next()) {
            (TRACEPARENT, Some(field), None) => field.to_str().ok(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

/// Span of a request, until it is answered.
#[derive(Debug)]
pub(crate) struct Request(Option<Context>);

/// While it is kept, what is begun on this thread is a child of the request.
#[derive(Debug)]
pub(crate) struct Entered {
    _guard: Option<ContextGuard>,
}

impl Request {
    /// The trace of the caller is continued where the connection comes from a trusted proxy.
    pub(crate) fn begin(request: &http::Request<Body>, route: Option<&MatchedPath>, trusted: bool) -> Self {
        let Some(tracer) = TRACER.get() else { return Self(None) };
        let parent = match trusted {
            true => TraceContextPropagator::new()
                .extract_with_context(&Context::new(), &Caller(request.headers())),
            false => Context::new(),
        };
        let method = known(request.method());
        let name = method.unwrap_or("HTTP");
        let mut attributes =
            vec![KeyValue::new("http.request.method", method.unwrap_or("_OTHER").to_owned())];
        let name = match route {
            Some(route) => {
                attributes.push(KeyValue::new("http.route", route.as_str().to_owned()));
                format!("{name} {}", route.as_str())
            }
            None => name.to_owned(),
        };
        let span = tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            .with_attributes(attributes)
            .start_with_context(tracer, &parent);
        Self(Some(Context::new().with_span(span)))
    }

    pub(crate) fn enter(&self) -> Entered {
        Entered { _guard: self.0.clone().map(Context::attach) }
    }

    pub(crate) fn end(self, line: &Line<'_>) {
        let Some(context) = self.0 else { return };
        let span = context.span();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(line.status.as_u16())));
        span.set_attribute(KeyValue::new("jotgate.request_id", line.request_id.to_owned()));
        let code = line.note.and_then(|note| note.reason);
        if let Some(code) = code {
            span.set_attribute(KeyValue::new("jotgate.refusal", code));
        }
        if line.status.is_server_error() {
            span.set_attribute(KeyValue::new("error.type", code.unwrap_or("internal")));
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// A part of the current request; of nothing else, so that jobs do not fill the collector.
fn child(
    context: &Context,
    name: impl Into<Cow<'static, str>>,
    kind: SpanKind,
    attributes: Vec<KeyValue>,
) -> Option<Span> {
    let tracer = TRACER.get().filter(|_| context.has_active_span())?;
    let span = tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
    Some(span.start_with_context(tracer, context))
}

/// Span of an operation of the database.
#[derive(Debug)]
pub(crate) struct Operation(Option<Span>);

impl Operation {
    pub(crate) fn begin(name: &'static str) -> Self {
        if TRACER.get().is_none() {
            return Self(None);
        }
        let attributes = vec![KeyValue::new("db.operation.name", name)];
        Self(child(&Context::current(), format!("database {name}"), SpanKind::Client, attributes))
    }

    /// `failed`: how the database failed; not that the answer was no.
    pub(crate) fn end(self, failed: Option<&'static str>) {
        if let (Some(mut span), Some(kind)) = (self.0, failed) {
            span.set_attribute(KeyValue::new("error.type", kind));
            span.set_status(Status::error(""));
        }
        // It ends when it is dropped.
    }
}

/// Spans of a password: while it waits for a thread, and while it is hashed.
#[derive(Debug)]
pub(crate) struct Hashing {
    request: Context,
    span: Option<Span>,
}

impl Hashing {
    pub(crate) fn wait() -> Self {
        if TRACER.get().is_none() {
            return Self { request: Context::new(), span: None };
        }
        let request = Context::current();
        let span = child(&request, "password wait", SpanKind::Internal, Vec::new());
        Self { request, span }
    }

    pub(crate) fn start(&mut self) {
        // The wait ends before the hash begins.
        self.span = None;
        self.span = child(&self.request, "password hash", SpanKind::Internal, Vec::new());
    }

    pub(crate) fn end(self) {}
}
