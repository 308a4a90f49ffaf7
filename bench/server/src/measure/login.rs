//! Logins against the raw rate of argon2id on all cores.

use std::time::Instant;

use argon2::{Algorithm, Argon2, Block, Params, Version};

use super::answered;
use crate::Settings;
use crate::clients::{Login, register};
use crate::load::closed;
use crate::program::{Outcome, Program};
use crate::report::{Bar, Figures, Part, Row};

/// The cost of a password here, as a new installation has it.
const MEMORY_KIB: u32 = 19456;
const PASSES: u32 = 2;

pub(crate) fn measure(settings: &Settings) -> Outcome<Part> {
    crate::runtime()?.block_on(run(settings))
}

async fn run(settings: &Settings) -> Outcome<Part> {
    let jotgate = Program::jotgate(&settings.binary, &[])?;
    register(jotgate.address, 32).await?;
    let mut raw = Figures::new("argon2id alone, a thread a core, one arena each", "1/s");
    let mut logins = Figures::new("Jotgate logins, 8 clients", "1/s");
    for _ in 0..settings.rounds {
        // Long enough for the end not to count, where the cores run out of logins one after the other.
        let time = settings.round * 3;
        raw.add(tokio::task::spawn_blocking(move || hashes_a_second(time)).await??);
        let clients = (0..8).map(Login::new).collect();
        let (tally, _) = closed(jotgate.address, clients, time).await?;
        logins.add(answered("login", &tally, 200)?);
    }
    let rows =
        vec![Row::ratio("login against raw argon2id of all cores", &logins, &raw, Some(Bar::AtLeast(0.95)))];
    let about = format!("argon2id, m = {MEMORY_KIB} KiB, t = {PASSES}, p = 1: what hashing alone allows.");
    Ok(Part { name: "login", title: "Login", about, rows, figures: vec![raw, logins] })
}

/// Of all cores together.
pub(crate) fn hashes_a_second(time: std::time::Duration) -> Outcome<f64> {
    let cores = std::thread::available_parallelism()?.get();
    let threads: Vec<_> = (0..cores)
        .map(|_| {
            std::thread::spawn(move || -> Outcome<f64> {
                let params =
                    Params::new(MEMORY_KIB, PASSES, 1, Some(32)).map_err(|error| error.to_string())?;
                let blocks = params.block_count();
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                let mut arena = vec![Block::new(); blocks];
                let (mut output, mut count, began) = ([0; 32], 0_u32, Instant::now());
                while began.elapsed() < time {
                    argon2
                        .hash_password_into_with_memory(
                            b"four unrelated words",
                            b"sixteen bytes ok",
                            &mut output,
                            &mut arena,
                        )
                        .map_err(|error| error.to_string())?;
                    count += 1;
                }
                Ok(f64::from(count) / began.elapsed().as_secs_f64())
            })
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?).sum()
}
