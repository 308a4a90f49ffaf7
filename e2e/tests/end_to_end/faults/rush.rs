//! Everybody at once.

use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use e2e::Server;
use serde_json::json;

use super::crowd::register;
use super::{PASSWORD, Tally, wait};

const CLIENTS: usize = 256;
/// Several clients a user, so that the test does not spend its time on registering.
const USERS: usize = 32;

#[test]
fn two_hundred_and_fifty_six_at_once() {
    // The drop of the server holds its memory to the limit of every test.
    let server = Server::with().env("JOTGATE_TRUSTED_PROXIES", "127.0.0.1").start();
    for n in 0..USERS {
        register(&mut server.client(), &format!("user-{n}"));
    }
    let start = Arc::new(Barrier::new(CLIENTS));
    let (logins, refreshes) = (Arc::new(Tally::default()), Arc::new(Tally::default()));
    let longest = Arc::new(Mutex::new(Duration::ZERO));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (mut client, start, longest) = (server.client(), Arc::clone(&start), Arc::clone(&longest));
            let (logins, refreshes) = (Arc::clone(&logins), Arc::clone(&refreshes));
            let address = format!("198.51.100.{n}");
            std::thread::spawn(move || {
                let mut post = |path: &str, body: &serde_json::Value, tally: &Tally| {
                    let asked = Instant::now();
                    let answer = client.post(path).header("X-Forwarded-For", &address).json(body).try_send();
                    let took = asked.elapsed();
                    let mut longest = longest.lock().unwrap();
                    *longest = took.max(*longest);
                    drop(longest);
                    let done = tally.count(answer.as_ref().map_err(|lost| *lost), 200);
                    let answer = answer.expect("an answer");
                    if !done {
                        std::thread::sleep(wait(&answer).unwrap_or(Duration::from_secs(1)));
                    }
                    done.then(|| answer.member("refresh_token"))
                };
                let user = json!({"username": format!("user-{}", n % USERS), "password": PASSWORD});
                let patience = Instant::now();
                start.wait();
                let mut token = None;
                while token.is_none() && patience.elapsed() < Duration::from_secs(180) {
                    token = post("/auth/login", &user, &logins);
                }
                let mut token = token.expect("a login within three minutes");
                start.wait();
                for _ in 0..4 {
                    if let Some(next) = post("/auth/refresh", &json!({"refresh_token": token}), &refreshes) {
                        token = next;
                    }
                }
            })
        })
        .collect();
    let held: Vec<_> = clients.into_iter().map(std::thread::JoinHandle::join).collect();
    let fallen = held.iter().filter(|held| held.is_err()).count();
    let (_, memory) = server.memory_mib();
    logins.print("256 clients at once (SQLite)", "login", 0);
    refreshes.print("256 clients at once (SQLite)", "refresh", 0);
    println!("the longest took {:?}; at most {memory} MiB", longest.lock().unwrap());
    assert_eq!((fallen, logins.failed(), refreshes.failed()), (0, 0, 0));
    assert_eq!(logins.done(), CLIENTS as u64);
    assert!(refreshes.done() >= CLIENTS as u64);
}
