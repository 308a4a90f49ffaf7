//! The real binary as a process: started, ended in every way there is, and checked.

use crate::canary::Canaries;
use crate::http::Client;
use crate::program;
use crate::tls::{self, Trust};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the server may take to say where it listens.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long a server that was asked to end may take.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// What differs from a server without any configuration.
#[derive(Clone, Debug)]
pub struct Options {
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    wrapper: Vec<String>,
    config: Option<String>,
    memory_limit_mib: u64,
    tls: bool,
}

/// A running server with a data folder of its own.
#[derive(Debug)]
pub struct Server {
    options: Options,
    folder: TempDir,
    trust: Option<Trust>,
    process: Option<Process>,
    url: String,
    log: Arc<Mutex<Vec<String>>>,
    canaries: Canaries,
}

#[derive(Debug)]
struct Process {
    child: Child,
    readers: Vec<JoinHandle<()>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            environment: Vec::new(),
            arguments: Vec::new(),
            wrapper: Vec::new(),
            config: None,
            memory_limit_mib: 256,
            tls: false,
        }
    }
}

impl Options {
    /// A configuration key in its form for the environment: `("JOTGATE_TOKEN_ACCESS_TTL", "2s")`.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more argument of `jotgate serve`.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Puts a program before the server that prepares its world and then becomes it (`exec`).
    #[must_use]
    pub fn behind(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// The text of `jotgate.toml` in the folder where the server starts.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.config = Some(toml.to_owned());
        self
    }

    /// HTTPS in the server itself, with a certificate for 127.0.0.1 that only this server's clients trust.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self.env("JOTGATE_TLS_CERT", "tls.crt").env("JOTGATE_TLS_KEY", "tls.key")
    }

    /// The most resident memory that the server may ever have had, in MiB (256 unless told).
    #[must_use]
    pub fn memory_limit_mib(mut self, limit: u64) -> Self {
        self.memory_limit_mib = limit;
        self
    }

    /// Starts the server and waits until it listens.
    #[must_use]
    pub fn start(self) -> Server {
        let folder = tempfile::Builder::new().prefix("jotgate-e2e-").tempdir().unwrap();
        if let Some(toml) = &self.config {
            std::fs::write(folder.path().join("jotgate.toml"), toml).unwrap();
        }
        let trust = self.tls.then(|| tls::write_certificate(folder.path()));
        let mut server = Server {
            options: self,
            folder,
            trust,
            process: None,
            url: String::new(),
            log: Arc::default(),
            canaries: Canaries::default(),
        };
        server.spawn("127.0.0.1:0").unwrap_or_else(|problem| panic!("{problem}\n{}", server.log_text()));
        server
    }
}

impl Server {
    /// A server without any configuration but a free port.
    #[must_use]
    pub fn start() -> Self {
        Options::default().start()
    }

    /// To say what differs from that: `Server::with().env(…).start()`.
    #[must_use]
    pub fn with() -> Options {
        Options::default()
    }

    /// What the server said it listens on: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client without cookies.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.url, self.trust.clone(), self.canaries.clone())
    }

    /// Puts a new certificate in place of the running server's; clients made from now on trust only that one.
    pub fn renew_certificate(&mut self) {
        assert!(self.trust.is_some(), "the server was started without TLS");
        self.trust = Some(tls::write_certificate(self.folder.path()));
    }

    /// The folder in which the server was started; its data are in `jotgate-data` there.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process id of the running server.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server runs").child.id()
    }

    /// Another command of the same binary on the same data, as an administrator types it beside the server.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        let mut command = self.program();
        command.args(arguments).stdin(Stdio::null()).output().expect("the binary runs")
    }

    /// The same with something on its standard input.
    pub fn command_with_input<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &str,
    ) -> Output {
        let mut command = self.program();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        // A command that does not read its input closes the pipe; its own message says more.
        let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("the command ends")
    }

    /// Ends the server as a power cut would: nothing is flushed, nobody is asked.
    pub fn kill_9(&mut self) {
        self.signal(Signal::KILL);
        self.reap();
    }

    /// Asks the server to end (SIGTERM) and waits until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let begin = Instant::now();
        while self.running().child.try_wait().expect("a child").is_none() {
            assert!(
                begin.elapsed() < STOP_LIMIT,
                "still there {STOP_LIMIT:?} after SIGTERM\n{}",
                self.log_text()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        self.reap()
    }

    /// Sends a signal to the running server.
    pub fn signal(&mut self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("the server is there");
    }

    /// Stops the running server (SIGSTOP) and waits until none of its threads runs: on a busy machine the kernel takes
    /// its time, and what was asked meanwhile is answered. `SIGCONT` lets it go on.
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
        let threads = format!("/proc/{}/task", self.pid());
        let is_stopped = |thread: std::io::Result<std::fs::DirEntry>| {
            let status = thread.and_then(|thread| std::fs::read_to_string(thread.path().join("status")));
            status.is_ok_and(|status| status.contains("\nState:\tT"))
        };
        let begin = Instant::now();
        while !std::fs::read_dir(&threads).expect("a process").all(is_stopped) {
            assert!(begin.elapsed() < STOP_LIMIT, "still running {STOP_LIMIT:?} after SIGSTOP");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Starts an ended server again: same data, same port, so that its tokens keep their issuer.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server still runs");
        let address = self.url.split_once("://").expect("a URL").1.to_owned();
        // Between the two, the port may have gone to an outgoing connection of another test.
        let begin = Instant::now();
        while let Err(problem) = self.spawn(&address) {
            assert!(begin.elapsed() < START_LIMIT, "{problem}\n{}", self.log_text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Changes a configuration key in its form for the environment, for the next start and for commands from now on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.options.environment.retain(|(known, _)| known != name);
        self.options.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Says that `secret` must never be logged. Passwords and tokens that pass through a client need no mention.
    pub fn secret(&self, secret: &str) {
        self.canaries.add(secret);
    }

    /// All lines that the server wrote so far, over restarts.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The resident memory of the server in MiB: now, and at most so far.
    #[must_use]
    pub fn memory_mib(&self) -> (u64, u64) {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a running process");
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of it");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
        };
        (mib("VmRSS:"), mib("VmHWM:"))
    }

    /// What must hold after every test: the server answers, is the same process, kept its memory small, and wrote
    /// nothing but JSON without a secret.
    pub fn check(&mut self) {
        if let Some(process) = &mut self.process {
            let ended = process.child.try_wait().expect("a child");
            assert!(ended.is_none(), "the server ended by itself: {ended:?}\n{}", self.log_text());
            let (_, most) = self.memory_mib();
            let limit = self.options.memory_limit_mib;
            assert!(most <= limit, "{most} MiB of memory, over the limit of {limit}");
            self.client().get("/.well-known/jwks.json").send().expect(200);
        }
        for line in self.log() {
            if let Err(problem) = judge_line(&line, &self.canaries) {
                panic!("{problem}: {line}");
            }
        }
    }

    fn spawn(&mut self, listen: &str) -> Result<(), String> {
        let mut command = match self.options.wrapper.as_slice() {
            [] => self.program(),
            [wrapper, arguments @ ..] => {
                let mut command = self.in_folder(Command::new(wrapper));
                command.args(arguments).arg(program::binary());
                command
            }
        };
        command.arg("serve").args(&self.options.arguments).env("JOTGATE_LISTEN", listen);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().map_err(|error| format!("{}: {error}", program::binary().display()))?;

        let (first_line, said) = mpsc::channel();
        let stdout = child.stdout.take().expect("a pipe");
        let stderr = child.stderr.take().expect("a pipe");
        let readers = vec![
            read_lines(stdout, self.log.clone(), Some(first_line)),
            read_lines(stderr, self.log.clone(), None),
        ];
        self.process = Some(Process { child, readers });

        let said = said.recv_timeout(START_LIMIT);
        match said.as_deref().map(|line| line.strip_prefix("listening on ")) {
            Ok(Some(url)) => {
                url.clone_into(&mut self.url);
                Ok(())
            }
            Ok(None) => {
                self.kill_9();
                Err(format!("the first line is not `listening on URL`: {said:?}"))
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                self.kill_9();
                Err(format!("no `listening on URL` within {START_LIMIT:?}"))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(format!("the server did not start: {}", self.reap()))
            }
        }
    }

    /// The binary in this server's folder, with its configuration and no other.
    fn program(&self) -> Command {
        self.in_folder(Command::new(program::binary()))
    }

    fn in_folder(&self, command: Command) -> Command {
        let mut command = program::in_folder(command, self.folder.path());
        command.envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn running(&mut self) -> &mut Process {
        self.process.as_mut().expect("the server runs")
    }

    /// Waits for the ended process and for the last of its output.
    fn reap(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("a process");
        let status = process.child.wait().expect("a child");
        for reader in process.readers {
            reader.join().expect("a reader of lines");
        }
        status
    }

    fn log_text(&self) -> String {
        format!("--- what the server wrote:\n{}", self.log().join("\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log_text());
            if self.process.is_some() {
                self.kill_9();
            }
            return;
        }
        let check = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.check()));
        if self.process.is_some() {
            self.kill_9();
        }
        if let Err(failed) = check {
            std::panic::resume_unwind(failed);
        }
    }
}

/// A line of the log that must not be there, and why.
fn judge_line(line: &str, canaries: &Canaries) -> Result<(), &'static str> {
    // As Rust prints it, and as the server logs it.
    if ["panicked at", "jotgate::panic", "panic at "].iter().any(|sign| line.contains(sign)) {
        return Err("the server panicked");
    }
    if canaries.found_in(line).is_some() {
        return Err("a secret is in the log");
    }
    let fixed = line.starts_with("listening on ");
    if !fixed && serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line).is_err() {
        return Err("a line of the log is no JSON");
    }
    Ok(())
}

fn read_lines(
    from: impl Read + Send + 'static,
    log: Arc<Mutex<Vec<String>>>,
    first: Option<mpsc::Sender<String>>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut first = first;
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Some(first) = first.take() {
                let _ = first.send(line.clone());
            }
            log.lock().unwrap().push(line);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_of_the_log_is_told() {
        let canaries = Canaries::default();
        canaries.add("correct horse");
        for (line, verdict) in [
            ("listening on http://127.0.0.1:1", Ok(())),
            (r#"{"level":"INFO","route":"/auth/login"}"#, Ok(())),
            (r#"{"level":"INFO","body":"correct horse"}"#, Err("a secret is in the log")),
            ("thread 'main' panicked at src/main.rs:1:1:", Err("the server panicked")),
            (
                r#"{"level":"ERROR","target":"jotgate::panic","place":"src/main.rs:1"}"#,
                Err("the server panicked"),
            ),
            ("INFO started", Err("a line of the log is no JSON")),
            ("[]", Err("a line of the log is no JSON")),
        ] {
            assert_eq!(judge_line(line, &canaries), verdict, "{line}");
        }
    }
}
