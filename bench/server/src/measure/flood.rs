//! What 256 clients that log in at once do to everybody else.

use std::time::Duration;

use super::login::hashes_a_second;
use crate::Settings;
use crate::clients::{Get, Login, Refresh, log_in, register};
use crate::load::{closed, open};
use crate::program::{Outcome, Program};
use crate::report::{Bar, Figures, Part, Row, shown};

const FLOOD: u32 = 256;
/// Offered a second, whether they are answered or not.
const VERIFICATIONS: u32 = 200;
const REFRESHES: u32 = 50;

pub(crate) fn measure(settings: &Settings) -> Outcome<Part> {
    crate::runtime()?.block_on(run(settings))
}

async fn run(settings: &Settings) -> Outcome<Part> {
    let time = settings.round * 3;
    let jotgate = Program::jotgate(&settings.binary, &[])?;
    let flooding = if settings.quick { 32 } else { FLOOD };
    // Who verifies and refreshes logs in no more: a user's sessions beyond a hundred end the oldest.
    register(jotgate.address, flooding + 8).await?;
    let sessions = log_in(jotgate.address, flooding..flooding + 8, 64).await?;
    let token = sessions.first().ok_or("no session")?.access.clone();

    let flood_is = format!("while {flooding} clients log in");
    let mut figures = [
        ("verify, nothing else".to_owned(), "ms, p99"),
        ("verify, beside bare argon2 on all cores".to_owned(), "ms, p99"),
        (format!("verify, {flood_is}"), "ms, p99"),
        (format!("verify, {flood_is}, half of them"), "ms, p50"),
        (format!("refresh, {flood_is}"), "ms, p99"),
        (format!("refresh, {flood_is}, half of them"), "ms, p50"),
        ("Jotgate logins, 8 clients, nothing else".to_owned(), "1/s"),
        (format!("Jotgate logins, {flooding} clients"), "1/s"),
        ("refused with 503 meanwhile".to_owned(), "1/s"),
    ]
    .map(|(name, unit)| Figures::new(&name, unit));
    let mut others = 0.0;
    for _ in 0..settings.rounds {
        let verifiers = || vec![Get::new("/auth/verify", Some(&token)); 16];
        let (quiet, _) = open(jotgate.address, verifiers(), VERIFICATIONS, time).await?;
        let hashing = tokio::task::spawn_blocking(move || hashes_a_second(time));
        let (beside, _) = open(jotgate.address, verifiers(), VERIFICATIONS, time).await?;
        hashing.await??;
        let (alone, _) = closed(jotgate.address, (0..8).map(Login::new).collect(), time).await?;

        let flood = tokio::spawn(closed(jotgate.address, (0..flooding).map(Login::new).collect(), time));
        // Let the queue fill first.
        tokio::time::sleep(time / 6).await;
        let rest = time * 2 / 3;
        let refreshers = sessions.chunks(4).map(|some| Refresh::new(some.to_vec(), false));
        let (verified, refreshed) = tokio::join!(
            open(jotgate.address, verifiers(), VERIFICATIONS, rest),
            open(jotgate.address, refreshers.collect(), REFRESHES, rest)
        );
        let ((verified, _), (refreshed, _)) = (verified?, refreshed?);
        let (flood, _) = flood.await??;
        for (tally, what) in
            [(&quiet, "quiet"), (&beside, "beside"), (&verified, "flooded"), (&refreshed, "refresh")]
        {
            if tally.statuses.keys().any(|status| *status != 200) {
                return Err(format!("{what}: {:?}", tally.statuses).into());
            }
        }
        let flood_others: f64 =
            flood.statuses.keys().filter(|s| !matches!(**s, 200 | 503)).map(|s| flood.count(*s)).sum();
        others += flood_others;
        let values = [
            quiet.percentile(0.99),
            beside.percentile(0.99),
            verified.percentile(0.99),
            verified.percentile(0.5),
            refreshed.percentile(0.99),
            refreshed.percentile(0.5),
            alone.rate(200),
            flood.rate(200),
            flood.rate(503),
        ];
        figures.iter_mut().zip(values).for_each(|(figures, value)| figures.add(value));
        // The queue empties, and throttles forget.
        tokio::time::sleep(Duration::from_secs(2).min(time)).await;
    }
    let [_, beside, verify, _, _, _, alone, flooded, _] = &figures;
    // The bar is either of two: 10 ms, or three times what bare hashing beside it does.
    let allowed = (3.0 * beside.median()).max(10.0);
    let note = format!("the greater of 10 ms and 3 × {} ms beside bare argon2", shown(beside.median()));
    let rows = vec![
        Row::figure(
            &format!("verify {flood_is}, p99"),
            verify.median(),
            "ms",
            Some(Bar::AtMost(allowed)),
            &note,
        ),
        Row::ratio("logins kept under the flood", flooded, alone, Some(Bar::AtLeast(0.9))),
        Row::figure(
            "answers to the flood other than 200 and 503",
            others,
            "",
            Some(Bar::AtMost(0.0)),
            "time-outs, cut connections, and a 503 without `Retry-After` included",
        ),
    ];
    let about = format!(
        "{flooding} connections log in as fast as they are answered; {VERIFICATIONS} verifications and {REFRESHES} \
         refreshes a second are offered beside them at fixed instants, and timed from those."
    );
    Ok(Part { name: "flood", title: "Login flood", about, rows, figures: figures.to_vec() })
}
