//! What an installation costs when it does nothing, what it takes to begin, and what a session and a verification add.

use std::time::{Duration, Instant};

use super::{CLIENTS, LIGHT_HASH, ROTATING, answered};
use crate::Settings;
use crate::clients::{Get, Refresh, log_in, register};
use crate::fill::{self, Amount};
use crate::load::closed;
use crate::program::{Outcome, Program};
use crate::report::{Bar, Figures, Part, Row, shown};

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
        log_in(jotgate.address, 0..1, 1).await?;
        first_login.add(began.elapsed().as_secs_f64());
        listening.add(jotgate.started_in.as_secs_f64());
        folder = jotgate.end();
    }

    let jotgate = Program::jotgate_in(&settings.binary, folder.take().ok_or("no folder")?, &[])?;
    tokio::time::sleep(Duration::from_secs(3).min(settings.round * 2)).await;
    let idle = jotgate.resident_mib()?;
    let token = log_in(jotgate.address, 0..1, 1).await?.remove(0).access;
    let before = jotgate.cpu_seconds()?;
    let clients = vec![Get::new("/auth/verify", Some(&token)); CLIENTS];
    let (tally, _) = closed(jotgate.address, clients, settings.round * 3).await?;
    let cpu = (jotgate.cpu_seconds()? - before) * 1e6 / tally.count(200);
    let busy = jotgate.resident_mib()?;
    drop(jotgate);

    let sessions = if settings.quick { 1000 } else { 100_000 };
    let empty = refreshed(settings, 1000).await?;
    let full = refreshed(settings, sessions + 1000).await?;
    let each = (full - empty) * 100_000.0 / f64::from(sessions);

    #[expect(clippy::cast_precision_loss, reason = "a file is smaller than 2^52 bytes")]
    let binary = settings.binary.metadata()?.len() as f64 / f64::from(1 << 20);
    let sessions = shown(sessions.into());
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
            "memory of 100,000 sessions",
            each,
            "MiB",
            None,
            &format!(
                "resident while they are refreshed, beside 1,000 sessions; measured with {sessions} more"
            ),
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
            "processor time of a million verifications",
            cpu,
            "s",
            None,
            "HTTP and log line included, warm",
        ),
    ];
    let about = "One installation on SQLite.".to_owned();
    Ok(Part { name: "cost", title: "Cost", about, rows, figures: vec![listening, first_login] })
}

/// Resident memory, in MiB, of a server with so many sessions after it refreshed as many of them as it could.
async fn refreshed(settings: &Settings, sessions: u32) -> Outcome<f64> {
    let amount = Amount { users: sessions, sessions, revocations: 0 };
    let (jotgate, filled) = fill::sqlite(&settings.binary, &[ROTATING, LIGHT_HASH], amount).await?;
    let sessions: Vec<_> = (0..sessions).map(|place| filled.session(place)).collect();
    let clients = Refresh::shared(&sessions, CLIENTS);
    let (tally, _) = closed(jotgate.address, clients, settings.round * 3).await?;
    answered("refresh", &tally, 200)?;
    jotgate.resident_mib()
}
