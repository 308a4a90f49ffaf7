//! Logging: every event is one bounded line on standard error, JSON or text, and nobody waits for it.
//!
//! Lines go into a buffer in memory that a thread writes out. Where standard error does not keep up, lines about
//! requests are dropped once a mebibyte waits, everything else at eight, and the number of those that were is
//! written as soon as there is room: a server that stops answering because nobody reads its log would be worse.
//! The audit trail is in the database and does not depend on this.
//!
//! What other crates log is taken at `info` and above only, whatever the filter says: below that, HTTP and TLS
//! libraries print what passes through them, secrets included.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write as _};
use std::io::{IsTerminal as _, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{self, LogFormat};
use crate::edge::Edge;
use crate::http::client::is_treacherous;

/// Target of the line that each request writes.
pub const REQUESTS: &str = "jotgate::request";

/// The longest value of a field, in bytes before escapes.
const VALUE_CAP: usize = 1024;
/// No further field is begun beyond this.
const LINE_CAP: usize = 8 * 1024;
/// Bytes that may wait, for lines about requests and for all others.
const REQUESTS_CAP: usize = 1024 * 1024;
const BUFFER_CAP: usize = 8 * REQUESTS_CAP;
/// How long lines gather before they are written together.
const GATHER: Duration = Duration::from_millis(2);
/// How long the end of the program waits for a standard error that does not take what is left.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Keeps logging alive; what waits is written when it is dropped.
#[derive(Debug)]
#[must_use = "logging ends when this is dropped"]
pub struct Guard {
    sink: Arc<Sink>,
    writer: Option<JoinHandle<()>>,
}

/// Starts logging to standard error for the whole process, and has panics logged instead of printed.
///
/// # Errors
/// Where something else in this process already took over logging, or no thread can be started.
pub fn init(config: &config::Log, edge: Edge) -> Result<Guard, Box<dyn std::error::Error + Send + Sync>> {
    let terminal = std::io::stderr().is_terminal();
    let text = match config.format {
        LogFormat::Json => false,
        LogFormat::Text => true,
        LogFormat::Auto => terminal,
    };
    let filter = EnvFilter::builder().parse(&config.filter)?;
    let guard = Guard::start(Box::new(std::io::stderr()), edge.clone())?;
    let form = match (text, terminal) {
        (false, _) => Form::Json,
        (true, colour) => Form::Text { colour },
    };
    let lines = Lines { sink: Arc::clone(&guard.sink), edge, form };
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
        // The text of a panic can have been made of what was sent; a literal cannot.
        let literal = info.payload().downcast_ref::<&'static str>().copied();
        tracing::error!(target: "jotgate::panic", place = place.as_str(), literal, "panic");
        LAST_PANIC.with(|last| last.set(Some(place)));
    }));
    Ok(guard)
}

thread_local! {
    static LAST_PANIC: Cell<Option<String>> = const { Cell::new(None) };
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// File and line of the panic that this thread just caught; none where the hook of [`init`] is not in place.
pub(crate) fn last_panic() -> Option<String> {
    LAST_PANIC.with(Cell::take)
}

impl Guard {
    fn start(output: Box<dyn Write + Send>, edge: Edge) -> std::io::Result<Self> {
        let sink = Arc::new(Sink::default());
        let shared = Arc::clone(&sink);
        let writer =
            std::thread::Builder::new().name("log".into()).spawn(move || shared.write_out(output, &edge))?;
        Ok(Self { sink, writer: Some(writer) })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.sink.lock().stop = true;
        self.sink.wake.notify_one();
        let began = Instant::now();
        if let Some(writer) = self.writer.take() {
            while !writer.is_finished() && began.elapsed() < LAST_WORDS {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Where lines wait.
#[derive(Debug, Default)]
struct Sink {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    dropped: u64,
    stop: bool,
}

impl Sink {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &str, cap: usize) {
        let mut waiting = self.lock();
        if waiting.lines.len() + line.len() > cap {
            waiting.dropped += 1;
            return;
        }
        let first = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line.as_bytes());
        drop(waiting);
        if first {
            self.wake.notify_one();
        }
    }

    fn write_out(&self, mut output: Box<dyn Write + Send>, edge: &Edge) {
        let mut lines = Vec::new();
        loop {
            let mut waiting = self.lock();
            while waiting.lines.is_empty() && waiting.dropped == 0 && !waiting.stop {
                waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut lines, &mut waiting.lines);
            let (dropped, stop) = (std::mem::take(&mut waiting.dropped), waiting.stop);
            drop(waiting);
            if lines.is_empty() && dropped == 0 {
                return; // told to stop, and nothing is left
            }
            // Nobody can be told that the log cannot be written.
            let _ = output.write_all(&lines);
            if dropped > 0 {
                let time = Time(edge.now().0);
                let _ = writeln!(
                    output,
                    r#"{{"time":"{time}","level":"warn","target":"jotgate::log","message":"lines dropped","count":{dropped}}}"#
                );
            }
            let _ = output.flush();
            lines.clear();
            lines.shrink_to(64 * 1024);
            if !stop {
                std::thread::sleep(GATHER);
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Json,
    Text { colour: bool },
}

/// Makes lines of events.
#[derive(Debug)]
struct Lines {
    sink: Arc<Sink>,
    edge: Edge,
    form: Form,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let meta = event.metadata();
        let ours = meta.target().starts_with("jotgate");
        if !ours && *meta.level() > Level::INFO {
            return;
        }
        let cap =
            if meta.target() == REQUESTS && *meta.level() > Level::ERROR { REQUESTS_CAP } else { BUFFER_CAP };
        LINE.with(|line| {
            // A value that logs while it is printed finds the line in use.
            let mut own = String::new();
            let mut kept = line.try_borrow_mut();
            let line = kept.as_deref_mut().unwrap_or(&mut own);
            line.clear();
            self.form.begin(line, self.edge.now().0, *meta.level(), meta.target());
            event.record(&mut Fields { line, form: self.form });
            line.push_str(match self.form {
                Form::Json => "}\n",
                Form::Text { .. } => "\n",
            });
            self.sink.push(line, cap);
        });
    }
}

impl Form {
    fn begin(self, line: &mut String, now: i64, level: Level, target: &str) {
        let (name, colour) = match level {
            Level::ERROR => ("error", "31"),
            Level::WARN => ("warn", "33"),
            Level::INFO => ("info", "32"),
            Level::DEBUG => ("debug", "34"),
            Level::TRACE => ("trace", "35"),
        };
        let time = Time(now);
        // Writing to a String does not fail.
        let _ = match self {
            Self::Json => write!(line, r#"{{"time":"{time}","level":"{name}","target":"{target}""#),
            Self::Text { colour: false } => write!(line, "{time} {name:5} {target}"),
            Self::Text { colour: true } => {
                write!(line, "\u{1b}[2m{time}\u{1b}[0m \u{1b}[{colour}m{name:5}\u{1b}[0m {target}")
            }
        };
    }
}

/// Milliseconds since the epoch, as RFC 3339.
struct Time(i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        write!(f, "{time:.3}")
    }
}

struct Fields<'a> {
    line: &'a mut String,
    form: Form,
}

impl Fields<'_> {
    /// The name; false where the line is long enough.
    fn name(&mut self, field: &Field) -> bool {
        if self.line.len() > LINE_CAP {
            return false;
        }
        let name = field.name().strip_prefix("r#").unwrap_or(field.name());
        let _ = match self.form {
            Form::Json => write!(self.line, ",\"{name}\":"),
            Form::Text { .. } if name == "message" => self.line.write_char(' '),
            Form::Text { .. } => write!(self.line, " {name}="),
        };
        true
    }

    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        if self.name(field) {
            let _ = write!(self.line, "{value}");
        }
    }

    fn text(&mut self, field: &Field, write: impl FnOnce(&mut Escaped<'_>) -> fmt::Result) {
        if self.name(field) {
            let json = matches!(self.form, Form::Json);
            let quoted = json || field.name() != "message";
            if quoted {
                self.line.push('"');
            }
            let mut escaped = Escaped { line: self.line, left: VALUE_CAP, json };
            // It fails where the value is cut.
            if write(&mut escaped).is_err() {
                self.line.push('…');
            }
            if quoted {
                self.line.push('"');
            }
        }
    }
}

impl Visit for Fields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, |line| line.write_str(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, |line| write!(line, "{value:?}"));
    }
}

/// Writes text so that it stays on its line and inside its quotes.
struct Escaped<'a> {
    line: &'a mut String,
    /// Bytes of the value that may still follow.
    left: usize,
    json: bool,
}

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let plain = |b: u8| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\';
        if text.len() <= self.left && text.bytes().all(plain) {
            self.left -= text.len();
            self.line.push_str(text);
            return Ok(());
        }
        for c in text.chars() {
            self.left = self.left.checked_sub(c.len_utf8()).ok_or(fmt::Error)?;
            match c {
                '"' | '\\' => {
                    self.line.push('\\');
                    self.line.push(c);
                }
                '\n' => self.line.push_str("\\n"),
                '\r' => self.line.push_str("\\r"),
                '\t' => self.line.push_str("\\t"),
                c if is_treacherous(c) && self.json => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        write!(self.line, "\\u{unit:04x}")?;
                    }
                }
                c if is_treacherous(c) => write!(self.line, "{}", c.escape_unicode())?,
                c => self.line.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use jotgate_domain::Timestamp;

    use super::*;
    use crate::edge::{NoRandomness, Source};

    struct Fixed;

    impl Source for Fixed {
        fn now(&self) -> Timestamp {
            Timestamp(1_790_000_000_120)
        }

        fn fill(&self, _: &mut [u8]) -> Result<(), NoRandomness> {
            Err(NoRandomness)
        }
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(form: Form, filter: &str, events: impl FnOnce()) -> String {
        let written = Written::default();
        let guard = Guard::start(Box::new(written.clone()), Edge::new(Fixed)).unwrap();
        let lines = Lines { sink: Arc::clone(&guard.sink), edge: Edge::new(Fixed), form };
        let filter = EnvFilter::builder().parse(filter).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(filter).with(lines), events);
        drop(guard);
        let written = written.0.lock().unwrap().clone();
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn an_event_is_one_line() {
        let event = || {
            tracing::info!(target: "jotgate::x", status = 200_u16, yes = true, who = "a b", none = None::<&str>, "done");
        };
        assert_eq!(
            logged(Form::Json, "info", event),
            "{\"time\":\"2026-09-21T14:13:20.120Z\",\"level\":\"info\",\"target\":\"jotgate::x\",\
             \"message\":\"done\",\"status\":200,\"yes\":true,\"who\":\"a b\"}\n"
        );
        assert_eq!(
            logged(Form::Text { colour: false }, "info", event),
            "2026-09-21T14:13:20.120Z info  jotgate::x done status=200 yes=true who=\"a b\"\n"
        );
    }

    #[test]
    fn a204_whatever_is_logged_stays_on_one_bounded_line() {
        let evil = "\"}\r\n{\"level\":\"error\"}\u{1b}[2J\u{2028}\u{202e}\u{0}\\\t${jndi:ldap://x}\u{e0001}é";
        let long = "a".repeat(1_000_000);
        for form in [Form::Json, Form::Text { colour: false }] {
            let text = logged(form, "info", || {
                tracing::info!(target: "jotgate::x", evil, debug = ?evil, "{evil}");
                tracing::info!(target: "jotgate::x", long = long.as_str(), "{long}");
            });
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines.len(), 2, "{text}");
            for line in lines {
                assert!(line.len() < LINE_CAP + 2 * VALUE_CAP, "{}", line.len());
                assert!(!line.chars().any(is_treacherous), "{line:?}");
                if matches!(form, Form::Json) {
                    let value: serde_json::Value = serde_json::from_str(line).unwrap();
                    if let Some(back) = value["evil"].as_str() {
                        assert_eq!(back, evil, "nothing is lost");
                    } else {
                        assert!(value["long"].as_str().unwrap().ends_with('…'));
                    }
                }
            }
        }
    }

    #[test]
    fn a_request_is_one_line_with_nothing_of_the_visitors_own() {
        use crate::http::error::{ApiError, Code};
        use crate::http::log::{Line, Note, line};
        use axum::response::IntoResponse as _;

        let mut refused = ApiError::new(Code::Csrf).log("Origin is \"https://evil.example\"").into_response();
        let note = Note::of(&mut refused).clone();
        let method = http::Method::from_bytes(b"CANARY").unwrap();
        let mut request = Line {
            method: &http::Method::GET,
            route: "/auth/sessions/{id}",
            status: http::StatusCode::OK,
            took: Duration::from_micros(42),
            address: None,
            request_id: "0a",
            note: None,
        };
        let text = logged(Form::Json, "info", || {
            line(&request);
            request.status = http::StatusCode::SERVICE_UNAVAILABLE;
            (request.method, request.route, request.note) = (&method, "", Some(&note));
            request.address = Some("2001:db8::1".parse().unwrap());
            line(&request);
        });
        assert_eq!(
            text,
            "{\"time\":\"2026-09-21T14:13:20.120Z\",\"level\":\"info\",\"target\":\"jotgate::request\",\
             \"method\":\"GET\",\"route\":\"/auth/sessions/{id}\",\"status\":200,\"us\":42,\
             \"request_id\":\"0a\"}\n\
             {\"time\":\"2026-09-21T14:13:20.120Z\",\"level\":\"error\",\"target\":\"jotgate::request\",\
             \"method\":\"(other)\",\"route\":\"\",\"status\":503,\"reason\":\"csrf\",\"us\":42,\
             \"address\":\"2001:db8::1\",\"request_id\":\"0a\",\
             \"detail\":\"Origin is \\\"https://evil.example\\\"\"}\n"
        );
    }

    #[test]
    fn a205_other_crates_are_heard_from_info_on_only() {
        let text = logged(Form::Json, "trace", || {
            tracing::trace!(target: "h2::codec", "canary");
            tracing::debug!(target: "hyper", "canary");
            tracing::info!(target: "hyper", "heard");
            tracing::trace!(target: "jotgate::x", "heard too");
        });
        assert!(!text.contains("canary"), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    /// Takes nothing until it is told to.
    struct Stuck(mpsc::Receiver<()>, Written);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_log_that_is_not_read_and_the_loss_is_told() {
        let (unstick, stuck) = mpsc::channel();
        let written = Written::default();
        let guard = Guard::start(Box::new(Stuck(stuck, written.clone())), Edge::new(Fixed)).unwrap();
        let line = format!("{}\n", "r".repeat(999));
        let began = Instant::now();
        for _ in 0..3000 {
            guard.sink.push(&line, REQUESTS_CAP);
        }
        guard.sink.push("an error\n", BUFFER_CAP);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        drop(unstick);
        drop(guard);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let kept = text.lines().filter(|l| l.starts_with('r')).count();
        assert!((1000..2200).contains(&kept), "{kept}");
        assert!(text.contains("an error\n"), "room is left for what matters");
        let told = format!("\"message\":\"lines dropped\",\"count\":{}}}", 3000 - kept);
        assert!(text.contains(&told), "{told}");
    }
}
