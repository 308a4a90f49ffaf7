//! SIGTERM, in a process of its own: not ready, still serving, then gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "http/support.rs"]
#[allow(dead_code, reason = "shared with the other HTTP tests")]
mod support;

use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};
use support::{Request, Server, read_answer};
use tokio::io::AsyncWriteExt;

#[tokio::test(flavor = "multi_thread")]
async fn a209_sigterm_readiness_drops_first_and_logins_in_flight_finish() {
    let server = Server::start().await;
    assert_eq!(server.send(Request::get("/readyz")).await.status, 200);
    let mut slow = server.connect().await;
    slow.write_all(&Request::get("/auth/slow").bytes(&server.host())).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;

    let began = Instant::now();
    kill_process(getpid(), Signal::TERM).unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(server.send(Request::get("/readyz")).await.status, 503, "not ready");
    assert_eq!(server.send(Request::get("/auth/me")).await.status, 200, "and yet served");
    let answer = read_answer(&mut slow).await.unwrap();
    assert_eq!(answer.body, "at last");
    server.serving.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
}
