//! The programs under test: started, asked for what they cost, and ended.

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
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

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> Outcome<()> {
        let process = Pid::from_raw(self.child.id().cast_signed()).ok_or("no process")?;
        kill_process(process, Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it as a machine that is switched off would, and gives back its folder.
    pub(crate) fn end(mut self) -> Option<TempDir> {
        self.kill();
        self.folder.take()
    }

    /// Resident memory of it and its children, in MiB.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn resident_mib(&self) -> Outcome<f64> {
        let mut sum = 0;
        for process in std::iter::once(self.child.id()).chain(children(self.child.id())?) {
            let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
            sum += line.trim().trim_end_matches(" kB").parse::<u64>()?;
        }
        Ok(sum as f64 / 1024.0)
    }

    /// Seconds of processor time so far, in the program and in the kernel for it.
    pub(crate) fn cpu_seconds(&self) -> Outcome<f64> {
        Ok(cpu_seconds_of(self.child.id())?.own)
    }

    /// Where its database and its log are.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(TempDir::path)
    }

    fn kill(&mut self) {
        // Some servers are several processes.
        let workers = children(self.child.id()).unwrap_or_default();
        let _ = self.child.kill();
        let _ = self.child.wait();
        for worker in workers.into_iter().filter_map(|worker| Pid::from_raw(worker.cast_signed())) {
            let _ = kill_process(worker, Signal::KILL);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Seconds of processor time of a process, and of it with its children, those that have ended among them.
#[derive(Debug)]
pub(crate) struct Cpu {
    own: f64,
    pub(crate) with_children: f64,
}

/// What a process has used so far, in user and in kernel mode.
pub(crate) fn cpu_seconds_of(process: u32) -> Outcome<Cpu> {
    let stat = Stat::of(process)?;
    let mut with_children = stat.own + stat.ended_children;
    for child in children(process)? {
        // One that ends just now is counted with the ended ones the next time.
        with_children += Stat::of(child).map_or(0.0, |stat| stat.own);
    }
    Ok(Cpu { own: stat.own, with_children })
}

fn children(process: u32) -> Outcome<Vec<u32>> {
    let all = std::fs::read_dir("/proc")?.flatten();
    let processes = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(processes.filter(|child| Stat::of(*child).is_ok_and(|stat| stat.parent == process)).collect())
}

/// Of `/proc/PID/stat`, in seconds.
struct Stat {
    parent: u32,
    own: f64,
    ended_children: f64,
}

impl Stat {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn of(process: u32) -> Outcome<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name, in parentheses, may hold anything.
        let rest = stat.rsplit_once(')').ok_or("no stat")?.1;
        let field =
            |at: usize| -> Outcome<u64> { Ok(rest.split_whitespace().nth(at).ok_or("no field")?.parse()?) };
        let second = rustix::param::clock_ticks_per_second() as f64;
        Ok(Self {
            parent: field(1)?.try_into()?,
            own: (field(11)? + field(12)?) as f64 / second,
            ended_children: (field(13)? + field(14)?) as f64 / second,
        })
    }
}
