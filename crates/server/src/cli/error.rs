//! How a command ends when it does not end well.

use std::fmt;
use std::io;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

pub(super) const DONE: u8 = 0;
pub(super) const FAILED: u8 = 1;
pub(super) const USAGE: u8 = 2;

/// Why a command did not do what was asked; the text goes to standard error.
#[derive(Debug)]
pub(super) enum Failure {
    /// Exit code 1.
    Failed(String),
    /// Exit code 2: what was asked makes no sense.
    Usage(String),
    /// Exit code 1; all is said already, or there is nobody left to read it.
    Silent,
}

impl Failure {
    pub(super) fn report(self) -> ExitCode {
        let (code, message) = match self {
            Self::Failed(message) => (FAILED, message),
            Self::Usage(message) => (USAGE, message),
            Self::Silent => return ExitCode::from(FAILED),
        };
        note("error", AnsiColor::Red, &message);
        ExitCode::from(code)
    }
}

impl From<io::Error> for Failure {
    /// Of writing to standard output.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // `jotgate … | head` has seen enough.
            io::ErrorKind::BrokenPipe => Self::Silent,
            _ => Self::Failed(format!("cannot write to standard output: {error}")),
        }
    }
}

/// A failure with this text.
pub(super) fn failed(message: impl fmt::Display) -> Failure {
    Failure::Failed(message.to_string())
}

pub(super) fn warn(message: impl fmt::Display) {
    note("warning", AnsiColor::Yellow, &message.to_string());
}

/// A word to a person who waits at a terminal.
pub(super) fn hint(message: impl fmt::Display) {
    use std::io::Write as _;
    let style = Style::new().dimmed();
    let _ = writeln!(anstream::stderr().lock(), "{style}{message}{style:#}");
}

fn note(kind: &str, color: AnsiColor, message: &str) {
    use std::io::Write as _;
    let style = Style::new().fg_color(Some(color.into())).bold();
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(anstream::stderr().lock(), "{style}{kind}:{style:#} {message}");
}
