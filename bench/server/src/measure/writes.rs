//! What is written: refresh, logout, register, on both databases, against the bare durable row in the same run.

use super::{CLIENTS, LIGHT_HASH, ROTATING, answered, postgres};
use crate::Settings;
use crate::clients::{Logout, Refresh, Register};
use crate::fill::{self, Amount, Filled};
use crate::load::closed;
use crate::program::{Outcome, Program};
use crate::report::{Bar, Figures, Part, Row};
use crate::rows;

/// Sessions of a round: refreshed over and over, and then ended.
const SESSIONS: u32 = 4096;

pub(crate) fn measure(settings: &Settings) -> Outcome<Part> {
    crate::runtime()?.block_on(run(settings))
}

/// A server, and what is left of its sessions.
struct Subject {
    program: Program,
    filled: Filled,
    taken: u32,
    registering: Vec<Register>,
}

impl Subject {
    fn new(program: Program, filled: Filled) -> Self {
        let registering = (0..CLIENTS).map(|client| Register::new(format!("new-{client}"))).collect();
        Self { program, filled, taken: 0, registering }
    }

    /// Refreshes, logouts and registrations a second.
    async fn round(&mut self, settings: &Settings, sessions: u32) -> Outcome<[f64; 3]> {
        let (address, time) = (self.program.address, settings.round);
        let sessions: Vec<_> =
            (self.taken..self.taken + sessions).map(|number| self.filled.session(number)).collect();
        self.taken += u32::try_from(sessions.len())?;
        let (refreshed, clients) = closed(address, Refresh::shared(&sessions, CLIENTS), time).await?;
        let (ended, _) = closed(address, Logout::of(&clients), time).await?;
        let (registered, clients) = closed(address, std::mem::take(&mut self.registering), time).await?;
        self.registering = clients;
        Ok([
            answered("refresh", &refreshed, 200)?,
            answered("logout", &ended, 204)?,
            answered("register", &registered, 201)?,
        ])
    }
}

async fn run(settings: &Settings) -> Outcome<Part> {
    let folder = tempfile::tempdir_in("target")?;
    let bare_sqlite = rows::Sqlite::new(&folder.path().join("bare.db"))?;
    let (cluster, database) = postgres(&["max_connections=150"]).await?;
    let url = format!("{}?pool_size={CLIENTS}", database.url());
    let bare_postgres = rows::Postgres::new(cluster, &database.url(), folder.path(), CLIENTS)?;

    let each = if settings.quick { 256 } else { SESSIONS };
    let sessions = each * u32::try_from(settings.rounds)?;
    let amount = Amount { users: sessions, sessions, revocations: 0 };
    let environment = [ROTATING, LIGHT_HASH];
    let (program, filled) = fill::sqlite(&settings.binary, &environment, amount).await?;
    let mut on_sqlite = Subject::new(program, filled);
    let environment = [ROTATING, LIGHT_HASH, ("JOTGATE_DATABASE_URL", url.as_str())];
    let (program, filled) = fill::postgres(&settings.binary, &environment, &database, amount).await?;
    let mut on_postgres = Subject::new(program, filled);

    let mut figures = [
        format!("SQLite, the bare row, {} a commit", rows::GROUP),
        "Jotgate refresh, SQLite".to_owned(),
        "Jotgate logout, SQLite".to_owned(),
        "Jotgate register, SQLite".to_owned(),
        format!("PostgreSQL, the bare row, pgbench with {CLIENTS} clients"),
        "Jotgate refresh, PostgreSQL".to_owned(),
        "Jotgate logout, PostgreSQL".to_owned(),
        "Jotgate register, PostgreSQL".to_owned(),
    ]
    .map(|name| Figures::new(&name, "1/s"));
    for _ in 0..settings.rounds {
        let bare = bare_sqlite.rows_a_second(settings.round)?;
        let [refresh, logout, register] = on_sqlite.round(settings, each).await?;
        let bare_too = bare_postgres.rows_a_second(settings.round)?;
        let [refresh_too, logout_too, register_too] = on_postgres.round(settings, each).await?;
        let values = [bare, refresh, logout, register, bare_too, refresh_too, logout_too, register_too];
        figures.iter_mut().zip(values).for_each(|(figures, value)| figures.add(value));
    }
    cluster.stop();

    let [bare, refresh, logout, register, bare_too, refresh_too, logout_too, register_too] = &figures;
    let rows = vec![
        Row::ratio("refresh, SQLite, against the bare row", refresh, bare, Some(Bar::AtLeast(0.4))),
        Row::ratio("logout, SQLite, against the bare row", logout, bare, None),
        Row::ratio("register, SQLite, against the bare row", register, bare, None),
        Row::ratio("refresh, PostgreSQL, against pgbench", refresh_too, bare_too, Some(Bar::AtLeast(0.55))),
        Row::ratio("logout, PostgreSQL, against pgbench", logout_too, bare_too, None),
        Row::ratio("register, PostgreSQL, against pgbench", register_too, bare_too, None),
    ];
    let about = format!(
        "{CLIENTS} connections, {each} sessions a round. `synchronous=FULL` on SQLite, `synchronous_commit=on` on \
         PostgreSQL: what was answered is on the disk. A refresh checks its tag, changes one row and signs a token; a \
         logout deletes one row and writes two (the revocation, the audit entry); a registration reads for the name and \
         writes two, its hash the cheapest there is, so that the database is what is seen."
    );
    Ok(Part { name: "writes", title: "Writes", about, rows, figures: figures.to_vec() })
}
