//! The programs under test: started, asked for what they cost, and ended.

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A running server; ended when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From the start of the process until it said where it listens.
    pub(crate) started_in: Duration,
    /// Of Jotgate: where its database and its log are.
    folder: Option<TempDir>,
}

impl Program {
    /// One of [`crate::bare`].
    pub(crate) fn bare(what: &str, environment: &[(&str, &str)]) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", what]).envs(environment.iter().copied());
        let log = tempfile::tempfile()?;
        Self::start(command.stderr(log), None)
    }

    /// Jotgate, with a data folder of its own below `target` (where a disk is, not memory).
    pub(crate) fn jotgate(binary: &Path, environment: &[(&str, &str)]) -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in("target")?;
        Self::jotgate_in(binary, folder, environment)
    }

    pub(crate) fn jotgate_in(binary: &Path, folder: TempDir, environment: &[(&str, &str)]) -> Outcome<Self> {
        let mut command = Command::new(binary.canonicalize()?);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .current_dir(folder.path())
            .envs(environment.iter().copied())
            .stderr(std::fs::File::create(folder.path().join("log"))?);
        Self::start(&mut command, Some(folder))
    }

    /// Any server that says `listening on http://…` first.
    pub(crate) fn start(command: &mut Command, folder: Option<TempDir>) -> Outcome<Self> {
        let began = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        loop {
            let Some(line) = lines.next() else {
                let _ = child.wait();
                return Err(format!("{command:?} ended before it listened").into());
            };
            if let Some(url) = line?.strip_prefix("listening on http://") {
                let address = url.trim_end_matches('/').parse()?;
                let started_in = began.elapsed();
                // What it says further goes nowhere; it must not block on a full pipe.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(Self { child, address, started_in, folder });
            }
        }
    }

    /// Ends it as a machine that is switched off would, and gives back its folder.
    pub(crate) fn end(mut self) -> Option<TempDir> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.folder.take()
    }

    /// Resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Seconds of processor time so far, in the program and in the kernel for it.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn cpu_seconds(&self) -> Outcome<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, in parentheses, may hold anything.
        let rest = stat.rsplit_once(')').ok_or("no stat")?.1;
        let field =
            |at: usize| -> Outcome<u64> { Ok(rest.split_whitespace().nth(at).ok_or("no field")?.parse()?) };
        let ticks = rustix::param::clock_ticks_per_second();
        Ok((field(11)? + field(12)?) as f64 / ticks as f64)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
