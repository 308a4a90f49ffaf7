//! Runs a script of `browser/` in Node.js; the script drives Chromium against a server.

use crate::program::{on_path, root};
use crate::server::Server;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A script may take this long.
const LIMIT: Duration = Duration::from_secs(180);

/// Runs `browser/SCRIPT` against `server` and fails if it does.
///
/// The script finds the server at `JOTGATE_E2E_URL`, and `environment` besides. It is left out, with a message,
/// where Node.js, Chromium or the npm packages are missing.
#[track_caller]
pub fn run(script: &str, server: &Server, environment: &[(&str, &str)]) {
    let url = [("JOTGATE_E2E_URL", server.url())];
    run_alone(script, &[&url, environment].concat());
}

/// The same for a script that needs no server.
#[track_caller]
pub fn run_alone(script: &str, environment: &[(&str, &str)]) {
    let tools = match Tools::find() {
        Ok(tools) => tools,
        Err(missing) => return crate::left_out(script, missing),
    };
    let mut child = Command::new(tools.node)
        .arg(root().join("e2e/browser").join(script))
        .env("JOTGATE_E2E_CHROMIUM", tools.chromium)
        .env("JOTGATE_E2E_MODULES", tools.modules)
        .env("JOTGATE_E2E_JOSE", root().join("target/e2e/jose"))
        .env("JOTGATE_E2E_SHOTS", root().join("target/e2e/shots"))
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node runs");
    let stdout = read_all(child.stdout.take().expect("a pipe"));
    let stderr = read_all(child.stderr.take().expect("a pipe"));
    let in_time = wait(&mut child);
    let status = child.wait().expect("a child");
    let said = format!("{}{}", stdout.join().expect("a reader"), stderr.join().expect("a reader"));
    assert!(in_time, "{script}: no end within {LIMIT:?}\n{said}");
    assert!(status.success(), "{script}: {status}\n{said}");
}

struct Tools {
    node: PathBuf,
    chromium: PathBuf,
    modules: PathBuf,
}

impl Tools {
    fn find() -> Result<Self, &'static str> {
        let node = on_path("node").ok_or("no node on the path")?;
        let chromium = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(on_path);
        let chromium = chromium.ok_or("no chromium on the path")?;
        let modules = root().join("target/e2e/browser");
        if !modules.join("node_modules/playwright-core").is_dir() {
            return Err("the npm packages are not installed (`cargo xtask test --only e2e` does it)");
        }
        Ok(Self { node, chromium, modules })
    }
}

/// Waits for the end; false where it had to be brought about.
fn wait(child: &mut Child) -> bool {
    let begin = Instant::now();
    let mut asked = false;
    while child.try_wait().expect("a child").is_none() {
        if begin.elapsed() > LIMIT && !asked {
            // Asked to end, the script closes its browser.
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
            kill_process(pid, Signal::TERM).expect("the script is there");
            asked = true;
        }
        if begin.elapsed() > LIMIT + Duration::from_secs(10) {
            child.kill().expect("the script is there");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    !asked
}

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
