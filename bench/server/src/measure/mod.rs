//! What is measured: one file a part.

mod cost;
mod feed;
mod flood;
mod jose;
mod login;
mod peers;
mod scale;
mod size;
mod verify;
mod writes;

use testing::postgres::{Cluster, Database};

use crate::Settings;
use crate::load::Tally;
use crate::program::Outcome;
use crate::report::Part;

/// A part of the run.
pub(crate) struct Chapter {
    /// What `--only` takes.
    pub(crate) name: &'static str,
    /// Part of `--quick`: needs nothing but the two programs and PostgreSQL.
    pub(crate) is_quick: bool,
    pub(crate) measure: fn(&Settings) -> Outcome<Part>,
}

const fn chapter(name: &'static str, is_quick: bool, measure: fn(&Settings) -> Outcome<Part>) -> Chapter {
    Chapter { name, is_quick, measure }
}

/// Every part, in the order of the report.
pub(crate) const CHAPTERS: &[Chapter] = &[
    chapter("jose", false, jose::measure),
    chapter("verify", true, verify::measure),
    chapter("login", true, login::measure),
    chapter("writes", true, writes::measure),
    chapter("flood", true, flood::measure),
    chapter("feed", true, feed::measure),
    chapter("size", true, size::measure),
    chapter("cost", true, cost::measure),
    chapter("scale", true, scale::measure),
    chapter("peers", false, peers::measure),
];

/// Clients that ask side by side.
const CLIENTS: usize = 32;

/// Every refresh rotates: with a grace, one that comes too soon would be a repeat, which writes nothing.
const ROTATING: (&str, &str) = ("JOTGATE_REFRESH_GRACE", "0s");
/// The cheapest hash of passwords that is allowed: where the database is what is looked at.
const LIGHT_HASH: (&str, &str) = ("JOTGATE_PASSWORD_HASH", "argon2id,m=8,t=1,p=1");

/// Answers of this status a second, where there was no other.
fn answered(what: &str, tally: &Tally, status: u16) -> Outcome<f64> {
    if tally.statuses.keys().any(|other| *other != status) || tally.statuses.is_empty() {
        return Err(format!("{what}: not every answer was {status}: {:?}", tally.statuses).into());
    }
    Ok(tally.rate(status))
}

/// A server of its own, kept until this program ends or it is stopped, and a database of it.
async fn postgres(settings: &'static [&'static str]) -> Outcome<(&'static Cluster, Database)> {
    let cluster = tokio::task::spawn_blocking(move || Cluster::start(settings)).await?;
    let cluster: &'static Cluster = Box::leak(Box::new(cluster));
    Ok((cluster, cluster.database()))
}
