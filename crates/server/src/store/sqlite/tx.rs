//! A transaction of the writer, and why a write in it did not happen.

use std::cell::Cell;

use jotgate_domain::StoreError;
use jotgate_domain::store::Unique;
use rusqlite::{Connection, ErrorCode};

use crate::store::codec;

/// A transaction of the writer, and whether it holds something that followers wait for.
#[derive(Debug)]
pub(super) struct Tx<'c> {
    pub(super) connection: &'c Connection,
    pub(super) bell: Cell<bool>,
}

impl<'c> Tx<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self { connection, bell: Cell::new(false) }
    }
}

/// Why a write did not happen.
#[derive(Debug)]
pub(super) enum Failure {
    /// Its own fault: only its savepoint is rolled back.
    Refused(StoreError),
    /// The database's: the whole group is rolled back.
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match &error {
            rusqlite::Error::SqliteFailure(code, message) if code.code == ErrorCode::ConstraintViolation => {
                let message = message.as_deref().unwrap_or_default();
                Self::Refused(constraint(code.extended_code, message))
            }
            error if is_corrupt_row(error) => Self::Refused(codec::corrupt(error.to_string())),
            _ => Self::Database(error),
        }
    }
}

/// Whether a row was read that holds other than what this program writes.
pub(super) fn is_corrupt_row(error: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    matches!(
        error,
        E::FromSqlConversionFailure(..)
            | E::InvalidColumnType(..)
            | E::IntegralValueOutOfRange(..)
            | E::Utf8Error(..)
    )
}

fn constraint(extended_code: i32, message: &str) -> StoreError {
    if message.contains("users.username_canonical") {
        StoreError::Taken(Unique::Username)
    } else if message.contains("users.email_canonical") {
        StoreError::Taken(Unique::Email)
    } else if message.contains("clients.id") {
        StoreError::Taken(Unique::ClientId)
    } else if message.contains("identities.issuer") {
        StoreError::Taken(Unique::Identity)
    } else if message.contains("spent.id") {
        StoreError::Taken(Unique::Use)
    } else if matches!(
        extended_code,
        // An id that exists already, or a user who is gone: with fresh ones the caller may succeed.
        rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
            | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            | rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY
    ) {
        StoreError::Conflict
    } else {
        codec::corrupt(message)
    }
}
