//! What a large installation does more slowly than a small one: a million users and sessions, and a million
//! revocations that are not forgotten yet.

use std::sync::Arc;

use super::{CLIENTS, LIGHT_HASH, ROTATING, answered, postgres};
use crate::Settings;
use crate::clients::{Ask, Login, Logout, Refresh, Register};
use crate::fill::{self, Amount, Filled};
use crate::load::closed;
use crate::program::{Outcome, Program};
use crate::report::{Bar, Figures, Part, Row, shown};

/// More sessions than a round can refresh: in the large one none is refreshed twice.
const SESSIONS_A_ROUND: u32 = 20_000;
/// Tokens that a node verifies over and over.
const TOKENS: usize = 1000;
/// Tokens whose users are read and whose sessions end, at the most: no more than the small one refreshes in a round,
/// so as many on both sides, and fewer than a node keeps verified.
const KNOWN: usize = 2000;

/// What is done, whether it is a read, and so how much slower it may be.
const OPERATIONS: [(&str, f64); 6] =
    [("verify", 1.2), ("me", 1.2), ("login", 2.0), ("refresh", 2.0), ("logout", 2.0), ("register", 2.0)];

pub(crate) fn measure(settings: &Settings) -> Outcome<Part> {
    crate::runtime()?.block_on(run(settings))
}

/// A server with so much in it.
struct Subject {
    program: Program,
    filled: Filled,
    amount: Amount,
    /// Sessions that a round takes.
    each: u32,
    taken: u32,
    registering: Vec<Register>,
    figures: [Figures; 6],
}

impl Subject {
    fn new(what: &str, (program, filled): (Program, Filled), amount: Amount, rounds: usize) -> Outcome<Self> {
        let figures = OPERATIONS.map(|(name, _)| Figures::new(&format!("Jotgate {name}, {what}"), "1/s"));
        let each = (amount.sessions / u32::try_from(rounds)?).min(SESSIONS_A_ROUND);
        let registering = (0..CLIENTS).map(|client| Register::new(format!("new-{client}"))).collect();
        Ok(Self { program, filled, amount, each, taken: 0, registering, figures })
    }
}

async fn run(settings: &Settings) -> Outcome<Part> {
    let [few, many] = if settings.quick { [100, 10_000] } else { [10_000, 1_000_000] };
    let small = Amount { users: few, sessions: few, revocations: 0 };
    let large = Amount { users: many, sessions: many, revocations: many };
    let rounds = settings.rounds.min(5);
    let (cluster, database) =
        postgres(&["max_connections=150", "shared_buffers=256MB", "max_wal_size=4GB"]).await?;
    let other = cluster.database();
    let urls = [&database, &other].map(|database| format!("{}?pool_size={CLIENTS}", database.url()));

    let mut subjects = Vec::new();
    for (amount, what) in [(small, few), (large, many)] {
        eprintln!("  filling in {} users, sessions and revocations …", shown(what.into()));
        let begun = fill::sqlite(&settings.binary, &[ROTATING, LIGHT_HASH], amount).await?;
        subjects.push(Subject::new(&format!("SQLite, {} users", shown(what.into())), begun, amount, rounds)?);
    }
    for ((amount, what), (database, url)) in
        [(small, few), (large, many)].into_iter().zip([&database, &other].into_iter().zip(&urls))
    {
        let environment = [ROTATING, LIGHT_HASH, ("JOTGATE_DATABASE_URL", url.as_str())];
        let begun = fill::postgres(&settings.binary, &environment, database, amount).await?;
        let what = format!("PostgreSQL, {} users", shown(what.into()));
        subjects.push(Subject::new(&what, begun, amount, rounds)?);
    }
    eprintln!("  measuring");
    for _ in 0..rounds {
        round(&mut subjects, settings).await?;
    }

    let mut rows = Vec::new();
    for (database, pair) in ["SQLite", "PostgreSQL"].into_iter().zip(subjects.chunks(2)) {
        let [small, large] = pair else { return Err("two of each".into()) };
        for (at, (name, most)) in OPERATIONS.into_iter().enumerate() {
            let (Some(fast), Some(slow)) = (small.figures.get(at), large.figures.get(at)) else { continue };
            let what = format!("{name}, {database}: how much slower at {}", shown(many.into()));
            rows.push(Row::ratio(&what, fast, slow, Some(Bar::AtMost(most))));
        }
    }
    for (database, pair) in ["SQLite", "PostgreSQL"].into_iter().zip(subjects.chunks(2)) {
        let [small, large] = pair else { return Err("two of each".into()) };
        rows.push(Row::figure(
            &format!("memory, {database}, of {} sessions and revocations", shown(many.into())),
            large.program.resident_mib()? - small.program.resident_mib()?,
            "MiB",
            None,
            "resident, more than the small one, after the load",
        ));
        rows.push(Row::figure(
            &format!("start, {database}, until it listens"),
            large.program.started_in.as_secs_f64(),
            "s",
            None,
            &format!("{} s with {} users", shown(small.program.started_in.as_secs_f64()), shown(few.into())),
        ));
    }
    let bytes = |what: &str, size: f64| {
        Row::figure(&format!("disk of {what}, indexes included"), size / f64::from(many), "B", None, "")
    };
    for (table, what) in [("users", "a user, PostgreSQL"), ("sessions", "a session, PostgreSQL")] {
        let size = other.sql(&format!("SELECT pg_total_relation_size('{table}')")).parse()?;
        rows.push(bytes(what, size));
    }
    let file =
        subjects.get(1).and_then(|large| Some(large.program.folder()?.join("jotgate-data/jotgate.db")));
    let size = u32::try_from(file.ok_or("no folder")?.metadata()?.len() / 4096)?;
    rows.push(bytes("a user with a session and a revocation, SQLite", f64::from(size) * 4096.0));
    cluster.stop();
    let about = format!(
        "{few} users with a session each and nothing revoked, against {many} users with a session each and as many \
         revocations, side by side. The tokens and users asked about are all over the tables, and no session of the \
         large one is refreshed twice. The hash of the passwords is the cheapest there is: with the usual one a login \
         would take as long in both.",
        few = shown(few.into()),
        many = shown(many.into()),
    );
    let figures = subjects.into_iter().flat_map(|subject| subject.figures).collect();
    Ok(Part { name: "size", title: "At size", about, rows, figures })
}

/// One operation after the other, each on all servers in turn.
async fn round(subjects: &mut [Subject], settings: &Settings) -> Outcome<()> {
    let time = settings.round / 2;
    let mut refreshed = Vec::new();
    for subject in subjects.iter_mut() {
        let sessions = subject.taken..subject.taken + subject.each;
        subject.taken = sessions.end;
        let sessions: Vec<_> = sessions.map(|place| subject.filled.session(place)).collect();
        let clients = Refresh::shared(&sessions, CLIENTS);
        let (tally, clients) = closed(subject.program.address, clients, time).await?;
        let [.., refresh, _, _] = &mut subject.figures;
        refresh.add(answered("refresh", &tally, 200)?);
        refreshed.push(clients);
    }
    let mut known: Vec<Arc<[String]>> = Vec::new();
    for (subject, clients) in subjects.iter().zip(&refreshed) {
        let tokens: Arc<[String]> =
            clients.iter().flat_map(Refresh::access_tokens).take(KNOWN).cloned().collect();
        // Each is shown before it counts: what the first check of a token costs depends on no table.
        let first = tokens.chunks(KNOWN / CLIENTS).map(|some| Ask::cold("/auth/verify", some.into()));
        let (tally, _) = closed(subject.program.address, first.collect(), time * 10).await?;
        if tally.count(200) < f64::from(u32::try_from(tokens.len())?) {
            return Err(
                format!("tokens that were not shown: {:?} of {}", tally.statuses, tokens.len()).into()
            );
        }
        known.push(tokens);
    }
    for (at, (path, most)) in [("/auth/verify", TOKENS), ("/auth/me", KNOWN)].into_iter().enumerate() {
        for (subject, tokens) in subjects.iter_mut().zip(&known) {
            let some: Arc<[String]> = tokens.iter().take(most).cloned().collect();
            let (tally, _) =
                closed(subject.program.address, Ask::in_turn(path, &some, CLIENTS), time).await?;
            if let Some(figures) = subject.figures.get_mut(at) {
                figures.add(answered(path, &tally, 200)?);
            }
        }
    }
    for subject in subjects.iter_mut() {
        let begin = |client| u32::try_from(client).unwrap_or(0) * 104_729;
        let users = subject.amount.users;
        let clients = (0..CLIENTS).map(|client| Login::spread(begin(client), users)).collect();
        let (tally, _) = closed(subject.program.address, clients, time).await?;
        let [_, _, login, ..] = &mut subject.figures;
        login.add(answered("login", &tally, 200)?);
    }
    for (subject, tokens) in subjects.iter_mut().zip(&known) {
        let (tally, _) = closed(subject.program.address, Logout::shared(tokens, CLIENTS), time).await?;
        let [.., logout, _] = &mut subject.figures;
        logout.add(answered("logout", &tally, 204)?);
    }
    for subject in subjects.iter_mut() {
        let clients = std::mem::take(&mut subject.registering);
        let (tally, clients) = closed(subject.program.address, clients, time).await?;
        subject.registering = clients;
        let [.., register] = &mut subject.figures;
        register.add(answered("register", &tally, 201)?);
    }
    Ok(())
}
