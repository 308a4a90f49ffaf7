//! A verifier in a process of its own: a token a line, a verdict a line.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use e2e::Server;

pub(crate) struct Judge {
    child: Child,
    ends: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Judge {
    /// Follows the server with `jotgate-verify`.
    pub(crate) fn follower(server: &Server) -> Self {
        Self::start(Command::new(env!("CARGO_BIN_EXE_verifier")).arg(server.url()))
    }

    /// A script of `scripts/` in Node.js.
    pub(crate) fn script(script: &str, arguments: &[&str]) -> Self {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts").join(script);
        Self::start(Command::new("node").arg(script).args(arguments))
    }

    /// A script of `scripts/` in Python.
    pub(crate) fn python(script: &str, arguments: &[&str]) -> Self {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts").join(script);
        Self::start(Command::new("python3").arg(script).args(arguments))
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let judge = Self { child, ends: RefCell::new((stdin, stdout)) };
        assert_eq!(judge.read(), "ready");
        judge
    }

    fn read(&self) -> String {
        let mut line = String::new();
        self.ends.borrow_mut().1.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// `valid`, or why not.
    pub(crate) fn verdict(&self, token: &str) -> String {
        writeln!(self.ends.borrow_mut().0, "{token}").expect("it listens");
        self.read()
    }

    /// Whether a token is refused for what became of it, and nothing else.
    pub(crate) fn refuses(&self, token: &str) -> bool {
        match self.verdict(token).as_str() {
            "valid" => false,
            "revoked" | "unknown_key" => true,
            other => panic!("{other}"),
        }
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
