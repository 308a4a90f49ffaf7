//! What an installation costs when it does nothing, and what it takes to begin.

use std::time::{Duration, Instant};

use super::CLIENTS;
use crate::Settings;
use crate::clients::{Get, log_in, register};
use crate::load::closed;
use crate::program::{Outcome, Program};
use crate::report::{Bar, Figures, Part, Row};

pub(crate) fn measure(settings: &Settings) -> Outcome<Part> {
    crate::runtime()?.block_on(run(settings))
}

async fn run(settings: &Settings) -> Outcome<Part> {
    let jotgate = Program::jotgate(&settings.binary, &[])?;
    register(jotgate.address, 1).await?;
    let folder = jotgate.end().ok_or("no folder")?;

    let mut first_login = Figures::new("start of an existing installation to its first login", "s");
    let mut listening = Figures::new("start until it listens", "s");
    let mut folder = Some(folder);
    for _ in 0..settings.rounds {
        let began = Instant::now();
        let jotgate = Program::jotgate_in(&settings.binary, folder.take().ok_or("no folder")?, &[])?;
        log_in(jotgate.address, 1, 1).await?;
        first_login.add(began.elapsed().as_secs_f64());
        listening.add(jotgate.started_in.as_secs_f64());
        folder = jotgate.end();
    }

    let jotgate = Program::jotgate_in(&settings.binary, folder.take().ok_or("no folder")?, &[])?;
    tokio::time::sleep(Duration::from_secs(3).min(settings.round * 2)).await;
    let idle = mib(&jotgate)?;
    let token = log_in(jotgate.address, 1, 1).await?.remove(0).access;
    let before = jotgate.cpu_seconds()?;
    let clients = vec![Get::new("/auth/verify", Some(&token)); CLIENTS];
    let (tally, _) = closed(jotgate.address, clients, settings.round * 3).await?;
    let cpu = (jotgate.cpu_seconds()? - before) * 1e6 / tally.count(200);
    let busy = mib(&jotgate)?;
    #[expect(clippy::cast_precision_loss, reason = "a file is smaller than 2^52 bytes")]
    let binary = settings.binary.metadata()?.len() as f64 / f64::from(1 << 20);
    let rows = vec![
        Row::figure("memory, idle", idle, "MiB", Some(Bar::AtMost(20.0)), "resident, after a restart"),
        Row::figure(
            "memory under verifications",
            busy,
            "MiB",
            Some(Bar::AtMost(80.0)),
            "resident, the arena of one login included",
        ),
        Row::figure(
            "start to first login",
            first_login.median(),
            "s",
            Some(Bar::AtMost(0.15)),
            "the login's own hash included",
        ),
        Row::figure("binary", binary, "MiB", Some(Bar::AtMost(25.0)), "needs only libc"),
        Row::figure(
            "processor time a million verifications",
            cpu,
            "s",
            None,
            "HTTP and log line included, warm",
        ),
    ];
    let about = "One installation on SQLite.".to_owned();
    Ok(Part { title: "Cost", about, rows, figures: vec![listening, first_login] })
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn mib(program: &Program) -> Outcome<f64> {
    Ok(program.resident_kib()? as f64 / 1024.0)
}
