//! `ops.listen`: health and metrics on a listener of their own, and nowhere else.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::host::{HASH, ask};
use super::program::Place;

#[test]
fn operations_have_a_listener_of_their_own_until_the_server_stops() {
    let place = Place::new();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    command.env(HASH.0, HASH.1).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let main = lines.next().unwrap().unwrap().replace("listening on ", "");
    let ops = lines.next().unwrap().unwrap().replace("operations on ", "");
    let answers: Vec<(u16, u16)> = ["/healthz", "/readyz", "/metrics", "/auth/me"]
        .map(|path| (ask(&main, "GET", path, None, None).0, ask(&ops, "GET", path, None, None).0))
        .to_vec();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let stopped = child.wait().unwrap();
    assert_eq!(answers, [(404, 200), (404, 200), (404, 200), (401, 404)]);
    assert!(stopped.success());
}
