//! Traces: the program exports to a collector, and what that has received is all there is to see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// Whatever waits for something waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A message as it was on the wire.
struct Message {
    head: String,
    body: Vec<u8>,
}

/// The head to its empty line, and as much of a body as it announces; none at the end of the connection.
fn read_message(from: &mut impl std::io::BufRead) -> Option<Message> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if from.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    from.read_exact(&mut body).ok()?;
    Some(Message { head, body })
}

/// Takes whatever is exported.
struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Message>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&received);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, all) = (stream.unwrap(), Arc::clone(&all));
                thread::spawn(move || {
                    let mut from = BufReader::new(stream.try_clone().unwrap());
                    while let Some(message) = read_message(&mut from) {
                        all.lock().unwrap().push(message);
                        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
                        if (&stream).write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, received }
    }

    /// Every span that came, and the attributes of the resources.
    fn spans(&self) -> (Vec<Span>, BTreeMap<String, String>) {
        let (mut spans, mut resource) = (Vec::new(), BTreeMap::new());
        for message in self.received.lock().unwrap().iter() {
            assert!(message.head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{}", message.head);
            assert!(message.head.contains("application/x-protobuf"), "{}", message.head);
            let batch = ExportTraceServiceRequest::decode(&*message.body).unwrap();
            for of_resource in batch.resource_spans {
                resource.extend(attributes(&of_resource.resource.unwrap().attributes));
                spans.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        (spans, resource)
    }

    /// All bytes that came.
    fn bytes(&self) -> Vec<u8> {
        let received = self.received.lock().unwrap();
        received.iter().flat_map(|message| [message.head.as_bytes(), &message.body].concat()).collect()
    }
}

fn attributes(list: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    list.iter().map(|pair| (pair.key.clone(), text(&pair.value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The program, in a directory of its own and with nothing of the surrounding environment.
struct Server {
    child: Child,
    address: String,
    dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(collector: SocketAddr, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_jotgate"))
            .args(["serve", "--listen", "127.0.0.1:0", "--registration-enabled"])
            .args(arguments)
            .current_dir(dir.path())
            .env_clear()
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"))
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let log = || std::fs::read_to_string(dir.path().join("log")).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{}", log()));
        Self { address: address.to_owned(), child, dir }
    }

    /// Status, request id and body.
    fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: Option<&Json>) -> Answer {
        let body = body.map(Json::to_string).unwrap_or_default();
        let mut request =
            format!("{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str("content-type: application/json\r\n");
        }
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: "));
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            request_id: id.unwrap().to_owned(),
            body: serde_json::from_str(body).unwrap_or_default(),
        }
    }

    /// SIGTERM; how long it took to end, and what it logged.
    fn stop(mut self) -> (Duration, String) {
        let began = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        (began.elapsed(), std::fs::read_to_string(self.dir.path().join("log")).unwrap())
    }
}

struct Answer {
    status: u16,
    request_id: String,
    body: Json,
}

/// The span of the request with this id, its attributes, and the names of its children in the order of their start.
fn request_span<'s>(spans: &'s [Span], id: &str) -> (&'s Span, BTreeMap<String, String>, Vec<&'s str>) {
    let of = |span: &&Span| attributes(&span.attributes).get("jotgate.request_id").is_some_and(|i| i == id);
    let [span] = spans.iter().filter(of).collect::<Vec<_>>()[..] else { panic!("{id}: not one span") };
    assert_eq!(span.kind(), SpanKind::Server);
    let mut children: Vec<_> = spans.iter().filter(|child| child.parent_span_id == span.span_id).collect();
    children.sort_by_key(|child| child.start_time_unix_nano);
    for child in &children {
        assert_eq!(child.trace_id, span.trace_id);
        assert!(child.start_time_unix_nano >= span.start_time_unix_nano, "{}", child.name);
        assert!(child.end_time_unix_nano <= span.end_time_unix_nano, "{}", child.name);
    }
    (span, attributes(&span.attributes), children.iter().map(|child| child.name.as_str()).collect())
}

const PASSWORD: &str = "canary-password-51c0";
/// What clients say of themselves: none of it belongs in a trace.
const CANARY_HEADERS: [(&str, &str); 7] = [
    ("user-agent", "canary-agent"),
    ("x-forwarded-for", "203.0.113.77"),
    ("cookie", "theme=canary-cookie"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", "vendor=canary-state"),
    ("baggage", "user=canary-baggage"),
    ("x-request-id", "caller-id-1"),
];

#[test]
fn a_request_is_a_span_with_its_hash_and_database_inside_and_nothing_of_the_client() {
    let collector = Collector::start();
    // Nothing is sent before the end: what arrives was flushed at SIGTERM.
    let lazy = ("OTEL_BSP_SCHEDULE_DELAY", "600000");
    let untrusting = Server::start(collector.address, &[], &[lazy, ("OTEL_SERVICE_NAME", "sign-in")]);
    let ask = |method, target, body: Option<&Json>| untrusting.ask(method, target, &CANARY_HEADERS, body);
    let account = json!({"username": "canaryuser", "email": "canarymail@post.example", "password": PASSWORD});
    let register = ask("POST", "/auth/register", Some(&account));
    assert_eq!(register.status, 201, "{}", register.body);
    let credentials = json!({"username": "canaryuser", "password": PASSWORD});
    let login = ask("POST", "/auth/login", Some(&credentials));
    assert_eq!(login.status, 200, "{}", login.body);
    let token = |answer: &Answer, name: &str| answer.body[name].as_str().unwrap().to_owned();
    let refresh_token = token(&login, "refresh_token");
    let refresh = ask("POST", "/auth/refresh", Some(&json!({"refresh_token": refresh_token})));
    assert_eq!(refresh.status, 200, "{}", refresh.body);
    let wrong = json!({"username": "canaryuser", "password": "canary-guess"});
    let wrong = ask("POST", "/auth/login", Some(&wrong));
    assert_eq!(wrong.status, 401);
    let session = format!("/auth/sessions/{}?canary-query=1", token(&login, "session_id"));
    let authorization = format!("Bearer {}", token(&refresh, "access_token"));
    let end = untrusting.ask("DELETE", &session, &[("authorization", &authorization)], None);
    assert_eq!(end.status, 204, "{}", end.body);
    let nothing = ask("CANARYMETHOD", "/canary-path", None);
    assert_eq!(nothing.status, 404, "{}", nothing.body);
    untrusting.stop();

    let (spans, resource) = collector.spans();
    assert_eq!(resource["service.name"], "sign-in");
    let look = |answer: &Answer| request_span(&spans, &answer.request_id);
    let (span, attributes, children) = look(&register);
    assert_eq!(span.name, "POST /auth/register");
    assert_eq!(attributes["http.request.method"], "POST");
    assert_eq!(attributes["http.route"], "/auth/register");
    assert_eq!(attributes["http.response.status_code"], "201");
    assert!(!attributes.contains_key("jotgate.refusal"), "{attributes:?}");
    assert!(children.windows(2).any(|two| two == ["password wait", "password hash"]), "{children:?}");
    assert_eq!(children.last(), Some(&"database apply"), "{children:?}");
    let login_children = ["database attempt", "password wait", "password hash", "database apply"];
    assert_eq!(look(&login).2, login_children);
    assert_eq!(look(&refresh).2, ["database refresh"]);
    let (span, attributes, children) = look(&wrong);
    assert_eq!(span.name, "POST /auth/login");
    assert_eq!(attributes["http.response.status_code"], "401");
    assert_eq!(attributes["jotgate.refusal"], "invalid_credentials");
    assert_eq!(children[..3], login_children[..3]);
    let (span, attributes, _) = look(&end);
    assert_eq!(
        (span.name.as_str(), &*attributes["http.route"]),
        ("DELETE /auth/sessions/{id}", "/auth/sessions/{id}")
    );
    let (span, attributes, _) = look(&nothing);
    assert_eq!((span.name.as_str(), &*attributes["http.request.method"]), ("HTTP", "_OTHER"));
    assert_eq!(attributes["jotgate.refusal"], "not_found");

    // Each request began a trace of its own, whatever the header said; and nothing but requests has one.
    let roots: Vec<_> = spans.iter().filter(|span| span.parent_span_id.is_empty()).collect();
    assert_eq!(roots.len(), 6);
    assert!(roots.iter().all(|span| span.kind() == SpanKind::Server));
    assert!(spans.iter().all(|span| hex(&span.trace_id) != TRACE && span.trace_state.is_empty()));
    let known = [
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "jotgate.request_id",
        "jotgate.refusal",
        "db.operation.name",
    ];
    for span in &spans {
        let attributes = self::attributes(&span.attributes);
        assert!(attributes.keys().all(|name| known.contains(&name.as_str())), "{attributes:?}");
        assert!(span.events.is_empty() && span.links.is_empty());
    }

    let bytes = collector.bytes();
    let mut canaries: Vec<String> = ["access_token", "refresh_token", "session_id"]
        .iter()
        .flat_map(|name| [token(&login, name), token(&refresh, name)])
        .collect();
    canaries.push(register.body["user"]["id"].as_str().unwrap().to_owned());
    canaries.extend(["canary", "CANARY", "post.example", "203.0.113.77", "caller-id-1"].map(str::to_owned));
    for canary in canaries {
        assert!(
            !canary.is_empty() && !bytes.windows(canary.len()).any(|w| w == canary.as_bytes()),
            "{canary}"
        );
    }
}

#[test]
fn the_trace_of_the_caller_is_continued_for_a_trusted_proxy_only() {
    let collector = Collector::start();
    // Sent while it runs.
    let server = Server::start(
        collector.address,
        &["--trusted-proxies", "127.0.0.1"],
        &[("OTEL_BSP_SCHEDULE_DELAY", "50")],
    );
    let continued = server.ask("GET", "/auth/me", &CANARY_HEADERS, None);
    assert_eq!(continued.request_id, "caller-id-1");
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let twice = [("traceparent", parent.as_str()), ("traceparent", parent.as_str())];
    let twice = server.ask("GET", "/auth/me", &twice, None);
    let broken = server.ask("GET", "/auth/me", &[("traceparent", "00-canary-canary-01")], None);
    let unsampled = format!("00-{TRACE}-{PARENT}-00");
    server.ask("GET", "/auth/me", &[("traceparent", &unsampled), ("x-request-id", "unsampled")], None);
    let last = server.ask("GET", "/auth/me", &[], None);
    let deadline = Instant::now() + PATIENCE;
    let seen = |id: &str, spans: &[Span]| {
        spans
            .iter()
            .any(|span| attributes(&span.attributes).get("jotgate.request_id").is_some_and(|i| i == id))
    };
    while !seen(&last.request_id, &collector.spans().0) {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(20));
    }
    server.stop();

    let (spans, resource) = collector.spans();
    assert_eq!(resource["service.name"], "jotgate");
    let (span, ..) = request_span(&spans, &continued.request_id);
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    assert_eq!(span.trace_state, "");
    for answer in [twice, broken, last] {
        let (span, ..) = request_span(&spans, &answer.request_id);
        assert!(hex(&span.trace_id) != TRACE && span.parent_span_id.is_empty());
    }
    assert!(!seen("unsampled", &spans), "the caller decided not to sample it");
    let bytes = collector.bytes();
    assert!(!bytes.windows(6).any(|window| window == b"canary"));
}

/// `silent`: it takes connections and never answers; otherwise nothing listens.
fn without_a_collector(silent: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listener = silent.then_some(listener);
    // An export would wait for ten minutes.
    let variables = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000"),
    ];
    let server = Server::start(address, &[], &variables);
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(server.ask("GET", "/auth/me", &[], None).status, 401);
    }
    let account = json!({"username": "ann", "password": PASSWORD});
    assert_eq!(server.ask("POST", "/auth/register", &[], Some(&account)).status, 201);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    let (took, log) = server.stop();
    assert!(took < Duration::from_secs(20), "{took:?}");
    // Once, and what came after it at the end.
    let warnings = log.lines().filter(|line| line.contains("spans were lost")).count();
    assert!((1..=2).contains(&warnings), "{log}");
    drop(listener);
}

#[test]
fn a_collector_that_is_away_neither_slows_nor_fails_a_request() {
    without_a_collector(false);
}

#[test]
fn a_collector_that_never_answers_neither_slows_nor_fails_a_request() {
    without_a_collector(true);
}
