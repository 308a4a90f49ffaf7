//! What the database says, in words for the store's callers and for the operator.

use std::fmt;

use jotgate_domain::StoreError;
use jotgate_domain::store::Unique;
use tokio_postgres::error::SqlState;

use crate::store::codec;

/// Why a PostgreSQL database cannot be used. Each says what to do; none has a password in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// Nobody answers there.
    Unreachable(String),
    /// User or password is not the right one.
    NotLetIn(String),
    /// The server has no database of this name.
    NoDatabase,
    /// It is starting or stopping.
    Starting(String),
    /// The user may not do what is needed.
    NoRight(String),
    /// No TLS, or a certificate that does not check.
    Tls(String),
    NotPostgres(String),
    TooOld(String),
    /// Only a read-only copy answers.
    Standby,
    /// Tables of another program are where ours would be.
    NotOurs(String),
    /// No installation is in it yet.
    Empty,
    /// Written by a later version of the program.
    Newer {
        found: u32,
        known: u32,
    },
    /// A migration that was applied is not the one of this program.
    OtherMigration(u32),
    /// A migration failed; it was rolled back whole.
    Migration {
        version: u32,
        why: String,
    },
    /// A pooler takes no options; it is asked again without.
    NoOptions,
    Failed(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => {
                write!(f, "cannot be reached ({why}). Check that it runs, and host and port in database_url")
            }
            Self::NotLetIn(why) => write!(
                f,
                "does not let us in ({why}). Check user and password in database_url, and pg_hba.conf"
            ),
            Self::NoDatabase => f.write_str("does not exist. Make it: createdb --owner USER DATABASE"),
            Self::Starting(why) => write!(f, "is not ready ({why}). Wait for it and start again"),
            Self::NoRight(why) => write!(
                f,
                "does not allow what is needed ({why}). Let the user of database_url own the database, or: GRANT \
                 CREATE ON SCHEMA public TO that user"
            ),
            Self::Tls(why) => write!(
                f,
                "is not reached safely ({why}). sslmode=require and verify-full check the certificate; \
                 sslrootcert=FILE names the authority it is from"
            ),
            Self::NotPostgres(what) => {
                write!(f, "is not PostgreSQL ({what}). Point database_url to a PostgreSQL server")
            }
            Self::TooOld(what) => write!(f, "runs {what}. Jotgate needs PostgreSQL 14 or later: upgrade it"),
            Self::Standby => f.write_str(
                "is a read-only standby. Name the primary in database_url, or all: postgres://…@A,B/…",
            ),
            Self::NotOurs(table) => {
                write!(f, "has a table {table:?} of another program. Give Jotgate a database of its own")
            }
            Self::Empty => f.write_str(
                "holds no installation yet. Start `jotgate serve` once, add a user with `jotgate user add`, or name \
                 the database that you mean",
            ),
            Self::Newer { found, known } => write!(
                f,
                "was written by a newer jotgate (schema {found}, this program knows {known}). Run that version or \
                 a later one, or restore a backup from before the upgrade"
            ),
            Self::OtherMigration(version) => write!(
                f,
                "has a migration {version} that is not the one of this program. It was made by a modified or \
                 unreleased build: run that build, or restore a backup"
            ),
            Self::Migration { version, why } => write!(
                f,
                "did not take migration {version}, which was rolled back: {why}. Fix that and start again; it \
                 resumes there"
            ),
            Self::NoOptions => f.write_str("is behind a pooler that takes no options"),
            Self::Failed(why) => write!(f, "failed: {why}. Its own log says more"),
        }
    }
}

/// Of a statement that did not do as asked.
#[derive(Debug)]
pub(super) enum Fail {
    Db(tokio_postgres::Error),
    Store(StoreError),
}

impl From<tokio_postgres::Error> for Fail {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error)
    }
}

impl From<StoreError> for Fail {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Fail> for StoreError {
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Db(error) => store_error(&error),
            Fail::Store(error) => error,
        }
    }
}

impl Fail {
    /// Whether nothing was done, and the same may succeed at once: a deadlock was broken, or two transactions did
    /// not fit beside each other.
    pub(super) fn is_transient(&self) -> bool {
        let Self::Db(error) = self else { return false };
        matches!(error.code(), Some(code)
            if *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::T_R_SERIALIZATION_FAILURE)
    }

    /// Whether the server answered, so that the connection goes on.
    pub(super) fn is_answer(&self) -> bool {
        match self {
            Self::Db(error) => error.as_db_error().is_some(),
            Self::Store(_) => true,
        }
    }
}

/// The transaction was given up before: what is said of the statements behind the one that failed.
pub(super) fn is_aftermath(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION)
}

fn store_error(error: &tokio_postgres::Error) -> StoreError {
    let Some(said) = error.as_db_error() else { return StoreError::Unavailable(text(error)) };
    let code = said.code();
    if code.code() == EXPECTED_OTHER {
        return StoreError::Conflict;
    }
    if *code == SqlState::UNIQUE_VIOLATION {
        return match said.constraint() {
            Some("users_username") => StoreError::Taken(Unique::Username),
            Some("users_email") => StoreError::Taken(Unique::Email),
            Some("clients_id") => StoreError::Taken(Unique::ClientId),
            Some("identities_subject") => StoreError::Taken(Unique::Identity),
            Some("spent_pkey") => StoreError::Taken(Unique::Use),
            // An id that exists already: with a fresh one the caller may succeed.
            _ => StoreError::Conflict,
        };
    }
    if *code == SqlState::FOREIGN_KEY_VIOLATION {
        return StoreError::Conflict;
    }
    match code.code().get(..2) {
        // What breaks a rule of the schema, or is no value of its type.
        Some("22" | "23") => codec::corrupt(text(error)),
        _ => StoreError::Unavailable(text(error)),
    }
}

/// What `jotgate_expect` fails with.
const EXPECTED_OTHER: &str = "JG001";

/// The error without its details, which quote values.
pub(super) fn text(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} ({})", said.message(), said.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
