//! Clients that sign in, renew and sign out all the while, and hold the server to what it answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use e2e::{Client, Response, Server};
use serde_json::json;

use super::{Missed, PASSWORD, Tally, until};

/// A session as its client knows it.
struct Held {
    access: String,
    refresh: String,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nobody asked for it.
    None,
    /// Asked for; what came of it was not told.
    Asked,
    /// Asked for and refused: it goes on.
    Refused,
    Done,
}

/// What the clients do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    Everything,
    Refreshing,
}

/// Writers and readers at work.
pub(crate) struct Crowd {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Vec<Held>>>,
    readers: Vec<JoinHandle<()>>,
    /// Of logins, refreshes, logouts.
    pub(crate) writes: Arc<Tally>,
    /// Of what needs no database.
    pub(crate) reads: Arc<Tally>,
}

/// Registers a user; a full hash queue only means to come again.
pub(crate) fn register(client: &mut Client, name: &str) {
    let user = json!({"username": name, "password": PASSWORD});
    until("a registration", || {
        let answer = client.post("/auth/register").json(&user).send();
        assert!(matches!(answer.status, 201 | 503), "{answer:?}");
        answer.status == 201
    });
}

/// Signs in, with the same patience.
pub(crate) fn login(client: &mut Client, name: &str) -> Response {
    let mut granted = None;
    until("a login", || {
        let answer = client.post("/auth/login").json(&json!({"username": name, "password": PASSWORD})).send();
        assert!(matches!(answer.status, 200 | 503), "{answer:?}");
        granted = (answer.status == 200).then_some(answer);
        granted.is_some()
    });
    granted.unwrap()
}

impl Crowd {
    /// Registers `size` users, signs them in, and sets them to work, beside two who only read.
    pub(crate) fn gather(server: &Server, size: usize, doing: Doing) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (writes, reads) = (Arc::new(Tally::default()), Arc::new(Tally::default()));
        let mut ready = Vec::new();
        for n in 0..size {
            let mut client = server.client();
            let name = format!("writer-{n}");
            register(&mut client, &name);
            let first = Held::of(&login(&mut client, &name));
            ready.push((client, name, first));
        }
        let mut writers = Vec::new();
        for (client, name, first) in ready {
            let (stop, writes) = (Arc::clone(&stop), Arc::clone(&writes));
            writers.push(std::thread::spawn(move || write(client, &name, first, doing, &stop, &writes)));
        }
        let mut readers = Vec::new();
        for n in 0..2 {
            let (mut client, stop, reads) = (server.client(), Arc::clone(&stop), Arc::clone(&reads));
            let name = format!("reader-{n}");
            register(&mut client, &name);
            let access = login(&mut client, &name).member("access_token");
            readers.push(std::thread::spawn(move || read(client, &access, &stop, &reads)));
        }
        Self { stop, writers, readers, writes, reads }
    }

    /// Waits until `count` more writes were done.
    pub(crate) fn works(&self, count: u64) {
        let target = self.writes.done() + count;
        until("writes are done", || self.writes.done() >= target);
    }

    /// Ends their work, and asks the server for all that it acknowledged; how much of it is gone.
    pub(crate) fn judge(mut self, server: &Server) -> u64 {
        self.stop.store(true, Relaxed);
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let mut client = server.client();
        let mut lost = 0;
        let mut judged = 0;
        for writer in self.writers.drain(..) {
            for held in writer.join().unwrap() {
                judged += 1;
                lost += u64::from(!held.stands(&mut client));
            }
        }
        assert!(judged > 0);
        lost
    }
}

/// A test that has failed must not leave them at work.
impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

impl Held {
    fn of(answer: &Response) -> Self {
        Self {
            access: answer.member("access_token"),
            refresh: answer.member("refresh_token"),
            end: End::None,
        }
    }

    /// Whether the server still says of it what it said to its client.
    fn stands(&self, client: &mut Client) -> bool {
        let me = client.get("/auth/me").bearer(&self.access).send().status;
        let body = json!({"refresh_token": self.refresh});
        let refresh = client.post("/auth/refresh").json(&body).send().status;
        let good = match self.end {
            End::None => (me, refresh) == (200, 200),
            End::Done => (me, refresh) == (401, 401),
            End::Asked | End::Refused => (me == 200) == (refresh == 200),
        };
        if !good {
            println!("lost: /auth/me {me}, refresh {refresh}");
        }
        good
    }
}

fn write(
    mut client: Client,
    name: &str,
    first: Held,
    doing: Doing,
    stop: &AtomicBool,
    tally: &Tally,
) -> Vec<Held> {
    let mut sessions = vec![first];
    for n in 1_usize.. {
        if stop.load(Relaxed) {
            break;
        }
        let live = |held: &&mut Held| matches!(held.end, End::None | End::Refused);
        let last = sessions.iter_mut().rfind(live);
        let done = match last {
            // Refused, a logout was done or was not.
            Some(held) if held.end == End::Refused => {
                let body = json!({"refresh_token": held.refresh});
                match client.post("/auth/refresh").json(&body).try_send() {
                    Ok(answer) if answer.status == 200 => *held = Held::of(&answer),
                    Ok(answer) if answer.status == 401 => held.end = End::Done,
                    _ => {}
                }
                Err(Missed::Refused)
            }
            Some(held) if doing == Doing::Refreshing || n % 8 != 0 => {
                let body = json!({"refresh_token": held.refresh});
                let answer = tally.ask(client.post("/auth/refresh").json(&body), 200);
                answer.map(|answer| *held = Held::of(&answer))
            }
            Some(held) if n % 16 == 0 => {
                let answer = tally.ask(client.post("/auth/logout").bearer(&held.access), 204);
                held.end = match answer {
                    Ok(_) => End::Done,
                    Err(Missed::Refused) => End::Refused,
                    Err(Missed::Cut) => End::Asked,
                };
                answer.map(drop)
            }
            _ => {
                let user = json!({"username": name, "password": PASSWORD});
                let answer = tally.ask(client.post("/auth/login").json(&user), 200);
                answer.map(|answer| sessions.push(Held::of(&answer)))
            }
        };
        // As a client does that was told to come back, only sooner.
        std::thread::sleep(Duration::from_millis(if done.is_ok() { 2 } else { 50 }));
    }
    sessions
}

/// Everything that is served from memory.
fn read(mut client: Client, access: &str, stop: &AtomicBool, tally: &Tally) {
    while !stop.load(Relaxed) {
        for path in
            ["/auth/verify", "/.well-known/jwks.json", "/auth/revocations", "/auth/status/0", "/healthz"]
        {
            let _ = tally.ask(client.get(path).bearer(access), 200);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
