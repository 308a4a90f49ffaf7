//! Everything that a database holds, carried into another one, of whatever kind.
//!
//! The tables have the same columns in both kinds, so they are described once, here, and a test holds the description
//! against each schema: a column that is forgotten fails it. What arrives is read back before it is committed, and has
//! to be what was sent, to the byte.

mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

use aws_lc_rs::digest::{Context, SHA256};
use jotgate_domain::Timestamp;
use jotgate_domain::status::LIST_SIZE;

use self::postgres::PostgresSide;
use self::sqlite::SqliteSide;
use super::OpenError;
use crate::config::PostgresUrl;

/// Rows that are on the way at once.
const BATCH: usize = 2000;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// 16 bytes; a type of its own where the database has one.
    Id,
    Bytes,
    Int,
    Text,
}

/// The value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

type Row = Vec<Value>;

/// A table as every kind of database has it.
#[derive(Debug)]
struct Table {
    name: &'static str,
    /// The first is unique, and rows are read in its order.
    columns: &'static [(&'static str, Kind)],
}

/// In the order in which they can be filled.
const TABLES: [Table; 12] = {
    use Kind::{Bytes, Id, Int, Text};
    [
        Table {
            name: "users",
            columns: &[
                ("id", Id),
                ("username", Text),
                ("username_canonical", Text),
                ("email", Text),
                ("email_canonical", Text),
                ("email_verified_at", Int),
                ("password_hash", Text),
                ("password_changed_at", Int),
                ("roles", Text),
                ("claims", Text),
                ("created_at", Int),
                ("disabled_at", Int),
                ("version", Int),
            ],
        },
        Table {
            name: "sessions",
            columns: &[
                ("id", Id),
                ("user_id", Id),
                ("client_id", Text),
                ("scope", Text),
                ("handle_hash", Bytes),
                ("generation", Int),
                ("previous", Int),
                ("first", Int),
                ("rotated_at", Int),
                ("status", Int),
                ("access_until", Int),
                ("created_at", Int),
                ("authenticated_at", Int),
                ("last_used_at", Int),
                ("idle_until", Int),
                ("expires_at", Int),
                ("address", Text),
                ("user_agent", Text),
                ("used_address", Text),
                ("used_agent", Text),
                ("elsewhere_at", Int),
                ("sweep_at", Int),
            ],
        },
        Table {
            name: "identities",
            columns: &[
                ("id", Id),
                ("user_id", Id),
                ("issuer", Text),
                ("subject", Text),
                ("provider", Text),
                ("label", Text),
                ("created_at", Int),
            ],
        },
        Table { name: "spent", columns: &[("id", Bytes), ("until_at", Int)] },
        Table {
            name: "revocations",
            columns: &[("seq", Int), ("status", Int), ("kid", Text), ("until_at", Int)],
        },
        Table {
            name: "throttles",
            columns: &[
                ("bucket", Bytes),
                ("tries", Int),
                ("counted_at", Int),
                ("blocked_until", Int),
                ("forgotten_at", Int),
            ],
        },
        Table {
            name: "signing_keys",
            columns: &[
                ("kid", Text),
                ("algorithm", Text),
                ("sealed", Bytes),
                ("published_at", Int),
                ("signs_at", Int),
                ("gone_at", Int),
            ],
        },
        Table {
            name: "clients",
            columns: &[
                ("id", Text),
                ("name", Text),
                ("secret_hash", Bytes),
                ("audiences", Text),
                ("created_at", Int),
            ],
        },
        Table {
            name: "sso_tickets",
            columns: &[
                ("hash", Bytes),
                ("session_id", Id),
                ("origin", Text),
                ("binding", Bytes),
                ("expires_at", Int),
            ],
        },
        Table { name: "settings", columns: &[("name", Text), ("value", Text)] },
        Table {
            name: "audit",
            columns: &[
                ("id", Int),
                ("at", Int),
                ("action", Text),
                ("actor", Text),
                ("actor_id", Id),
                ("user_id", Id),
                ("session_id", Id),
                ("address", Text),
                ("detail", Text),
            ],
        },
        Table {
            name: "webhook_deliveries",
            columns: &[
                ("id", Text),
                ("webhook", Text),
                ("kind", Text),
                ("body", Text),
                ("tries", Int),
                ("next_at", Int),
                ("dead_at", Int),
                ("problem", Text),
            ],
        },
    ]
};

impl Table {
    fn key(&self) -> &'static str {
        self.columns.first().map_or("", |(name, _)| name)
    }

    fn column_list(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

/// A database that is read or filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Sqlite(PathBuf),
    Postgres(Box<PostgresUrl>),
}

/// What becomes of what the target holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It must hold nothing.
    Empty,
    /// It goes, in the same transaction.
    Replaced,
}

/// Why nothing was carried over.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransferError {
    Open(OpenError),
    /// The target has users or keys already.
    NotEmpty(&'static str),
    /// Source or target, and what it said.
    Database(String),
    /// What arrived is not what was sent.
    Differs(&'static str),
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::NotEmpty(table) => write!(
                f,
                "the target is not empty: there are rows in its table {table}. Name a new database, or empty that one"
            ),
            Self::Database(why) => f.write_str(why),
            Self::Differs(table) => {
                write!(f, "the table {table} did not arrive as it was sent; nothing was kept of it")
            }
        }
    }
}

impl std::error::Error for TransferError {}

impl From<OpenError> for TransferError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Rows sent, or read back, of `total`, over all tables; each is counted in both.
    pub done: u64,
    pub total: u64,
}

/// What was carried over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Rows and SHA-256 of each table.
    pub tables: Vec<(&'static str, u64, [u8; 32])>,
}

/// Carries everything over, in one transaction of the target, and checks it before that ends. `fresh_lists`: the
/// source may go on giving status entries, so the target begins with the next list.
///
/// # Errors
/// [`TransferError`]; the target is then as it was.
pub async fn carry(
    from: &Place,
    to: &Place,
    target: Target,
    fresh_lists: bool,
    now: Timestamp,
    mut progress: impl FnMut(Step),
) -> Result<Carried, TransferError> {
    let mut source = Side::reader(from, now).await?;
    let mut sink = Side::writer(to, now).await?;
    let mut total = 0;
    for table in &TABLES {
        total += 2 * source.count(table).await?;
        match target {
            Target::Empty if sink.count(table).await? > 0 => return Err(TransferError::NotEmpty(table.name)),
            Target::Empty => {}
            Target::Replaced => {}
        }
    }
    if target == Target::Replaced {
        for table in TABLES.iter().rev() {
            sink.clear(table).await?;
        }
    }
    let mut done = 0;
    let mut sent = Vec::new();
    for table in &TABLES {
        let mut digest = Digest::default();
        let mut after = None;
        loop {
            let rows = source.page(table, after.take()).await?;
            digest.add(&rows);
            done += rows.len() as u64;
            progress(Step { done, total });
            after = rows.last().and_then(|row| row.first().cloned());
            let last = rows.len() < BATCH;
            sink.insert(table, rows).await?;
            if last {
                break;
            }
        }
        sent.push((table, digest.finish()));
    }
    let given = source.last_status().await?;
    sink.set_last_status(if fresh_lists { given.div_ceil(LIST_SIZE) * LIST_SIZE } else { given }).await?;
    let mut tables = Vec::new();
    for (table, (rows, expected)) in sent {
        let mut digest = Digest::default();
        let mut after = None;
        loop {
            let page = sink.page(table, after.take()).await?;
            digest.add(&page);
            done += page.len() as u64;
            progress(Step { done, total });
            after = page.last().and_then(|row| row.first().cloned());
            if page.len() < BATCH {
                break;
            }
        }
        if digest.finish() != (rows, expected) {
            return Err(TransferError::Differs(table.name));
        }
        tables.push((table.name, rows, expected));
    }
    sink.commit().await?;
    Ok(Carried { tables })
}

/// How many connections of other processes of Jotgate a PostgreSQL database has.
///
/// # Errors
/// [`TransferError`]
pub async fn others_on(url: &PostgresUrl) -> Result<u64, TransferError> {
    postgres::others(url).await
}

/// Rows and a digest over all their values, each under its kind and length.
#[derive(Default)]
struct Digest {
    rows: u64,
    hash: Option<Context>,
}

impl Digest {
    fn add(&mut self, rows: &[Row]) {
        let hash = self.hash.get_or_insert_with(|| Context::new(&SHA256));
        for value in rows.iter().flatten() {
            let (kind, bytes): (u8, &[u8]) = match value {
                Value::Null => (0, &[]),
                Value::Int(number) => {
                    hash.update(&[1]);
                    hash.update(&number.to_be_bytes());
                    continue;
                }
                Value::Text(text) => (2, text.as_bytes()),
                Value::Bytes(bytes) => (3, bytes),
            };
            hash.update(&[kind]);
            hash.update(&(bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
        self.rows += rows.len() as u64;
    }

    fn finish(self) -> (u64, [u8; 32]) {
        let mut bytes = [0; 32];
        if let Some(hash) = self.hash {
            bytes.copy_from_slice(hash.finish().as_ref());
        }
        (self.rows, bytes)
    }
}

/// One end of it: a transaction that sees one state of its database, or fills it.
enum Side {
    Sqlite(SqliteSide),
    Postgres(PostgresSide),
}

/// The same call on whichever it is.
macro_rules! on_side {
    ($self:expr, $side:ident => $call:expr) => {
        match $self {
            Side::Sqlite($side) => $call,
            Side::Postgres($side) => $call.await,
        }
    };
}

impl Side {
    async fn reader(place: &Place, now: Timestamp) -> Result<Self, TransferError> {
        Ok(match place {
            Place::Sqlite(path) => Self::Sqlite(SqliteSide::reader(path, now)?),
            Place::Postgres(url) => Self::Postgres(PostgresSide::reader(url, now).await?),
        })
    }

    async fn writer(place: &Place, now: Timestamp) -> Result<Self, TransferError> {
        Ok(match place {
            Place::Sqlite(path) => Self::Sqlite(SqliteSide::writer(path, now)?),
            Place::Postgres(url) => Self::Postgres(PostgresSide::writer(url, now).await?),
        })
    }

    async fn count(&mut self, table: &Table) -> Result<u64, TransferError> {
        on_side!(self, side => side.count(table))
    }

    /// At most [`BATCH`] rows after the one with this key, in the order of keys.
    async fn page(&mut self, table: &Table, after: Option<Value>) -> Result<Vec<Row>, TransferError> {
        on_side!(self, side => side.page(table, after))
    }

    async fn insert(&mut self, table: &Table, rows: Vec<Row>) -> Result<(), TransferError> {
        on_side!(self, side => side.insert(table, rows))
    }

    async fn clear(&mut self, table: &Table) -> Result<(), TransferError> {
        on_side!(self, side => side.clear(table))
    }

    async fn last_status(&mut self) -> Result<u64, TransferError> {
        on_side!(self, side => side.last_status())
    }

    async fn set_last_status(&mut self, status: u64) -> Result<(), TransferError> {
        on_side!(self, side => side.set_last_status(status))
    }

    async fn commit(self) -> Result<(), TransferError> {
        on_side!(self, side => side.commit())
    }
}
