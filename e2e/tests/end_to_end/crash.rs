//! What was acknowledged survives kill -9, and nobody who retries is signed out by one.

use e2e::{Client, Lost, Response, Server};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How often the server is killed.
fn rounds() -> u32 {
    if std::env::var_os("XTASK_LONG").is_some() { 1000 } else { 100 }
}

/// Clients at once, so that several changes share a commit.
const CLIENTS: usize = 3;

/// A session as its client knows it.
struct Session {
    access: String,
    refresh: String,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// Nobody asked for it.
    None,
    /// Logout was sent, and its answer was lost.
    Asked,
    /// Logout was answered.
    Done,
}

#[test]
fn what_was_answered_survives_kill_9() {
    let mut server = Server::start();
    let mut users = Vec::new();
    let mut answered = [0_u32; 3];
    let mut entries: HashMap<u64, String> = HashMap::new();
    for round in 0..rounds() {
        // A login that a crash broke off stays counted as a try, so no user is kept until the throttle closes.
        if round % 8 == 0 {
            users = (0..CLIENTS).map(|n| register(&server, &format!("user-{round}-{n}"))).collect();
        }
        let answers = Arc::new(AtomicU32::new(0));
        let clients: Vec<_> = users
            .iter()
            .map(|user| {
                let (client, user, answers) = (server.client(), user.clone(), answers.clone());
                std::thread::spawn(move || sign_in_and_out(client, &user, &answers))
            })
            .collect();
        // From before the first answer to amid the fourteenth, at any moment between two of them.
        let begin = Instant::now();
        while answers.load(Ordering::Relaxed) < round % 15 && begin.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_micros(u64::from(round * 613 % 7919)));
        server.kill_9();
        let sessions: Vec<_> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        server.start_again();
        let mut client = server.client();
        for (session, refreshed) in &sessions {
            answered[0] += 1;
            answered[1] += u32::from(*refreshed);
            answered[2] += u32::from(session.end == End::Done);
            judge(&mut client, session);
            // A status entry that a crash gave twice would end a stranger's session with one's own.
            let claims = e2e::claims(&session.access);
            let (idx, sid) =
                (claims["status"]["status_list"]["idx"].as_u64().unwrap(), claims["sid"].to_string());
            let owner = entries.entry(idx).or_insert_with(|| sid.clone());
            assert_eq!(*owner, sid, "entry {idx} was given twice");
        }
    }
    let least = rounds() / 10;
    assert!(answered.iter().all(|count| *count >= least), "too few to mean anything: {answered:?}");
}

fn register(server: &Server, username: &str) -> Value {
    let user = json!({"username": username, "password": "four unrelated words"});
    server.client().post("/auth/register").json(&user).send().expect(201);
    user
}

/// Signs in, refreshes and every other time signs out, until the server is gone. Answers every session that a
/// login was answered with, and whether a refresh of it was.
fn sign_in_and_out(mut client: Client, user: &Value, answers: &AtomicU32) -> Vec<(Session, bool)> {
    let count = || answers.fetch_add(1, Ordering::Relaxed);
    let mut sessions = Vec::new();
    while let Ok(login) = client.post("/auth/login").json(user).try_send() {
        count();
        let mut session = Session::of(&login.is(200), End::None);
        let body = json!({"refresh_token": session.refresh});
        let refreshed = client.post("/auth/refresh").json(&body).try_send();
        let lost = refreshed.is_err();
        if let Ok(answer) = refreshed {
            count();
            session = Session::of(&answer.is(200), End::None);
        }
        if !lost && sessions.len() % 2 == 0 {
            session.end = match client.post("/auth/logout").bearer(&session.access).try_send() {
                Ok(answer) => {
                    count();
                    answer.expect(204);
                    End::Done
                }
                // Nobody was there to hear it.
                Err(Lost::Refused) => End::None,
                Err(_) => End::Asked,
            };
        }
        sessions.push((session, !lost));
    }
    sessions
}

impl Session {
    fn of(answer: &Response, end: End) -> Self {
        Self { access: answer.member("access_token"), refresh: answer.member("refresh_token"), end }
    }
}

/// Holds what the restarted server says of a session against what its client was told.
fn judge(client: &mut Client, session: &Session) {
    let me = client.get("/auth/me").bearer(&session.access).send();
    let body = json!({"refresh_token": session.refresh});
    let refresh = client.post("/auth/refresh").json(&body).send();
    match session.end {
        End::None => {
            me.expect(200);
            // Also where the answer to a refresh was lost: the client shows the token that it has.
            refresh.expect(200);
        }
        End::Done => {
            me.expect_problem(401, "revoked");
            refresh.expect_problem(401, "invalid_refresh_token");
        }
        End::Asked => {
            assert_eq!(me.status == 200, refresh.status == 200, "half signed out: {me:?} {refresh:?}")
        }
    }
}
