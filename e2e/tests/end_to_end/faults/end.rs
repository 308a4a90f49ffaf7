//! The server ends while everybody is at work: asked to, or killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use e2e::{Client, Server};
use serde_json::json;

use super::Tally;
use super::crowd::{Crowd, Doing, login, register};

/// How often a proxy asks whether the server is ready, and for how long an answer is good: `docs/operations.md`
/// says that half a second is enough.
const LOOK_EVERY: Duration = Duration::from_millis(150);
const LOOK_HOLDS: Duration = Duration::from_millis(450);

/// A client behind a proxy that honours `/readyz`.
struct Proxied {
    client: Client,
    /// When the question was asked to which the answer was yes.
    ready: Option<Instant>,
    late: Arc<AtomicU32>,
}

impl Proxied {
    fn is_ready(&mut self) -> bool {
        if self.ready.is_none_or(|asked| asked.elapsed() > LOOK_EVERY) {
            let asked = Instant::now();
            let answer = self.client.get("/readyz").try_send();
            self.ready = answer.is_ok_and(|answer| answer.status == 200).then_some(asked);
        }
        self.ready.is_some()
    }

    /// Refreshes while the server is ready; answers the last token.
    fn work(mut self, mut token: String, stop: &AtomicBool, tally: &Tally) -> String {
        while !stop.load(Relaxed) {
            if !self.is_ready() {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let answer = self.client.post("/auth/refresh").json(&json!({"refresh_token": token})).try_send();
            // This machine stood still, and what was known is too old: no proxy would have sent it.
            let old = self.ready.is_none_or(|asked| asked.elapsed() > LOOK_HOLDS);
            if answer.is_err() && old {
                self.late.fetch_add(1, Relaxed);
                continue;
            }
            if tally.count(answer.as_ref().map_err(|lost| *lost), 200) {
                token = answer.unwrap().member("refresh_token");
            }
        }
        token
    }
}

#[test]
fn sigterm_under_load_fails_no_request() {
    let mut server = Server::start();
    let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
    let late = Arc::new(AtomicU32::new(0));
    let mut clients = Vec::new();
    for n in 0..12 {
        let mut client = server.client();
        register(&mut client, &format!("user-{n}"));
        let token = login(&mut client, &format!("user-{n}")).member("refresh_token");
        let (stop, tally) = (Arc::clone(&stop), Arc::clone(&tally));
        let proxied = Proxied { client, ready: None, late: Arc::clone(&late) };
        clients.push(std::thread::spawn(move || proxied.work(token, &stop, &tally)));
    }
    for _ in 0..3 {
        let target = tally.done() + 100;
        super::until("refreshes are done", || tally.done() >= target);
        assert!(server.terminate().success());
        server.start_again();
    }
    let target = tally.done() + 100;
    super::until("refreshes are done", || tally.done() >= target);
    stop.store(true, Relaxed);
    let mut lost = 0;
    for client in clients {
        let body = json!({"refresh_token": client.join().unwrap()});
        lost += u64::from(server.client().post("/auth/refresh").json(&body).send().status != 200);
    }
    tally.print("SIGTERM, three times, under load", "refresh behind a proxy that honours /readyz", lost);
    assert_eq!((tally.refused(), tally.cut(), tally.failed(), lost), (0, 0, 0, 0));
    assert!(late.load(Relaxed) < 12, "too slow a machine to tell anything");
}

#[test]
fn a_killed_server_signs_nobody_out() {
    let mut server = Server::start();
    let crowd = Crowd::gather(&server, 50, Doing::Refreshing);
    let rounds = if std::env::var_os("XTASK_LONG").is_some() { 60 } else { 6 };
    for round in 0..rounds {
        crowd.works(100 + 37 * (round % 5));
        server.kill_9();
        server.start_again();
    }
    crowd.works(100);
    let (writes, reads) = (crowd.writes.clone(), crowd.reads.clone());
    let lost = crowd.judge(&server);
    writes.print("kill -9 while 50 clients refresh", "refresh", lost);
    assert_eq!((lost, writes.failed(), reads.failed()), (0, 0, 0));
    assert!(writes.cut() > 0, "nobody noticed");
}
