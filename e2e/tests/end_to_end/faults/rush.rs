//! Everybody at once.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use e2e::{Options, Server};
use serde_json::json;

use super::crowd::register;
use super::{Missed, PASSWORD, Tally};

const CLIENTS: usize = 256;
/// Several clients a user, so that the test does not spend its time on registering.
const USERS: usize = 32;

#[test]
fn two_hundred_and_fifty_six_at_once() {
    rush("256 clients at once (SQLite)", Server::with());
}

#[test]
fn two_hundred_and_fifty_six_at_once_on_eight_connections() {
    let url = format!("{}?pool_size=8", testing::postgres::database().url());
    rush("256 clients at once, 8 connections (PostgreSQL)", Server::with().env("JOTGATE_DATABASE_URL", &url));
}

fn rush(name: &str, options: Options) {
    // The drop of the server holds its memory to the limit of every test.
    let server = options.env("JOTGATE_TRUSTED_PROXIES", "127.0.0.1").start();
    for n in 0..USERS {
        register(&mut server.client(), &format!("user-{n}"));
    }
    let logins = Arc::new(Tally::default());
    let signed_in = at_once((0..CLIENTS).map(|n| {
        let (mut client, tally) = (server.client(), Arc::clone(&logins));
        client.wait_for(Duration::from_secs(40));
        let user = json!({"username": format!("user-{}", n % USERS), "password": PASSWORD});
        let address = format!("198.51.100.{n}");
        move || {
            let begun = Instant::now();
            loop {
                let login = client.post("/auth/login").header("X-Forwarded-For", &address).json(&user);
                match tally.ask(login, 200) {
                    Ok(answer) => return (client, answer.member("refresh_token")),
                    Err(missed) => assert_eq!(missed, Missed::Refused),
                }
                assert!(begun.elapsed() < Duration::from_secs(180), "no login within three minutes");
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }));
    let refreshes = Arc::new(Tally::default());
    at_once(signed_in.into_iter().map(|(mut client, mut token)| {
        let tally = Arc::clone(&refreshes);
        move || {
            for _ in 0..4 {
                match tally.ask(client.post("/auth/refresh").json(&json!({"refresh_token": token})), 200) {
                    Ok(answer) => token = answer.member("refresh_token"),
                    Err(missed) => assert_eq!(missed, Missed::Refused),
                }
            }
        }
    }));
    let (_, memory) = server.memory_mib();
    logins.print(name, "login", 0);
    refreshes.print(name, "refresh", 0);
    println!("at most {memory} MiB");
    assert_eq!((logins.failed(), refreshes.failed()), (0, 0));
    assert_eq!(logins.done(), CLIENTS as u64);
    assert!(refreshes.done() >= CLIENTS as u64);
}

/// Runs all of them, begun at one moment, each in a thread.
fn at_once<T: Send + 'static>(all: impl Iterator<Item = impl FnOnce() -> T + Send + 'static>) -> Vec<T> {
    let start = Arc::new(Barrier::new(CLIENTS));
    let threads: Vec<_> = all
        .map(|one| {
            let start = Arc::clone(&start);
            std::thread::spawn(move || {
                start.wait();
                one()
            })
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}
