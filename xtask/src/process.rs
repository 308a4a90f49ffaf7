//! Runs a command: its output is passed on line by line, and it and whatever it started end at the time limit.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Every process of one command carries this variable, so that those whose parent has died are found too.
const MARK: &str = "XTASK_COMMAND";

/// How long a command's own children may outlive it before they are ended.
const LINGER: Duration = Duration::from_secs(3);

pub(crate) enum Ended {
    Well,
    Badly,
    TimeLimit,
}

/// Runs `command` for at most `limit`; `on_line` sees each line of both its outputs, in order.
pub(crate) fn stream(
    mut command: Command,
    limit: Duration,
    mut on_line: impl FnMut(&str),
) -> io::Result<Ended> {
    let mark = mark();
    let deadline = Instant::now() + limit;
    // One pipe for both outputs keeps their lines in order.
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).env(MARK, &mark);
    let mut child = command.spawn()?;
    drop(command); // it holds the writing ends, and the reader would never see the end

    let lines = read_lines(reader);
    let mut exited_at = None;
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                pass_on(&line);
                on_line(String::from_utf8_lossy(&line).trim_end());
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if exited_at.is_none() && child.try_wait()?.is_some() {
            exited_at = Some(Instant::now());
        }
        if exited_at.is_some_and(|at| at.elapsed() > LINGER) {
            pass_on(b"xtask: a process outlived the command that started it, and is ended\n");
            end_marked(&mark);
            break;
        }
        if Instant::now() > deadline && exited_at.is_none() {
            end(&mut child, &mark);
            return Ok(Ended::TimeLimit);
        }
    }
    // Both outputs are closed; a command that runs on without them is held to the limit as well.
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            end(&mut child, &mark);
            return Ok(Ended::TimeLimit);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(if child.wait()?.success() { Ended::Well } else { Ended::Badly })
}

/// What `command` prints on its standard output, if it ends well.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let done = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

fn mark() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn read_lines(reader: io::PipeReader) -> mpsc::Receiver<Vec<u8>> {
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        loop {
            let mut line = Vec::new();
            match reader.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if send.send(line).is_err() => return,
                Ok(_) => {}
            }
        }
    });
    lines
}

fn pass_on(line: &[u8]) {
    let mut out = io::stdout().lock();
    // Nobody listening is no reason to stop checking.
    let _ = out.write_all(line).and_then(|()| out.flush());
}

fn end(child: &mut Child, mark: &str) {
    end_marked(mark);
    let _ = child.kill();
    let _ = child.wait();
}

/// Ends every process that carries `mark` (on Linux, where a process shows its environment).
fn end_marked(mark: &str) {
    let wanted = format!("{MARK}={mark}").into_bytes();
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    let mut pids = Vec::new();
    for process in processes.flatten() {
        let Ok(environment) = std::fs::read(process.path().join("environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|variable| variable == wanted) {
            pids.push(process.file_name());
        }
    }
    if !pids.is_empty() {
        // `kill` is a part of every shell, but not a program on every machine.
        let _ = Command::new("sh").args(["-c", "kill -KILL \"$@\"", "sh"]).args(pids).status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> (Ended, Vec<String>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut lines = Vec::new();
        let ended = stream(command, limit, |line| lines.push(line.to_owned())).unwrap();
        (ended, lines)
    }

    #[test]
    fn both_outputs_are_seen_in_order() {
        let (ended, lines) = shell("echo one; echo two >&2; echo three; exit 3", Duration::from_secs(20));
        assert!(matches!(ended, Ended::Badly));
        assert_eq!(lines, ["one", "two", "three"]);
    }

    #[test]
    fn the_time_limit_ends_children_too() {
        let begin = Instant::now();
        // The grandchild is orphaned and holds the pipe.
        let (ended, lines) = shell("(sleep 61 & echo $!); sleep 62", Duration::from_secs(1));
        assert!(matches!(ended, Ended::TimeLimit));
        assert!(begin.elapsed() < Duration::from_secs(20));
        // A zombie shows none; on a busy machine it takes a moment to become one.
        let environment = || std::fs::read(format!("/proc/{}/environ", lines[0])).unwrap_or_default();
        let gone = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            environment().is_empty()
        });
        assert!(gone, "the orphan lives on");
    }

    #[test]
    fn an_orphan_does_not_hold_up_a_finished_command() {
        let begin = Instant::now();
        let (ended, _) = shell("(sleep 63 &); echo done", Duration::from_secs(60));
        assert!(matches!(ended, Ended::Well));
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
}
