//! Moving an installation to another database.

use std::fmt;

use jotgate_domain::Timestamp;

use super::open::sqlite_path;
use crate::config::{Config, DatabaseUrl};
use crate::store::transfer::{self, Carried, Place, Step, Target, TransferError};
use crate::store::{OpenError, lock_data_dir};

/// Why nothing was moved.
#[derive(Debug)]
#[non_exhaustive]
pub enum MoveError {
    /// A server runs on the source.
    InUse(String),
    /// There is nothing at the source.
    NoDatabase(String),
    /// Source and target are one.
    Same,
    Transfer(TransferError),
}

impl fmt::Display for MoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(why) => write!(
                f,
                "{why}. Stop what uses the source, or add --online: what is written there after this begins is then \
                 not carried over"
            ),
            Self::NoDatabase(path) => write!(f, "there is no database at {path}"),
            Self::Same => f.write_str("--to names the database that is to be moved"),
            Self::Transfer(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MoveError {}

impl From<TransferError> for MoveError {
    fn from(error: TransferError) -> Self {
        Self::Transfer(error)
    }
}

impl From<OpenError> for MoveError {
    fn from(error: OpenError) -> Self {
        Self::Transfer(error.into())
    }
}

/// Where the records of `config` rest, or would.
#[must_use]
pub fn place(config: &Config, url: &DatabaseUrl) -> Place {
    match url {
        DatabaseUrl::Sqlite(path) => Place::Sqlite(sqlite_path(config, path.as_deref())),
        DatabaseUrl::Postgres(url) => Place::Postgres(url.clone()),
    }
}

/// Carries all records of the configured database into the empty one at `to`. The master key stays what it is.
///
/// # Errors
/// [`MoveError`]; the target is then as it was, and the source is never written to.
pub async fn move_to(
    config: &Config,
    to: &DatabaseUrl,
    online: bool,
    now: Timestamp,
    progress: impl FnMut(Step),
) -> Result<Carried, MoveError> {
    let (from, to) = (place(config, &config.database_url), place(config, to));
    if from == to {
        return Err(MoveError::Same);
    }
    if let Place::Sqlite(path) = &from
        && !path.exists()
    {
        return Err(MoveError::NoDatabase(path.display().to_string()));
    }
    // Held until all is done, so that no server starts meanwhile.
    let _lock = match &from {
        Place::Sqlite(_) if !online => {
            Some(lock_data_dir(&config.data_dir).map_err(|error| match error {
                OpenError::InUse { .. } => MoveError::InUse(error.to_string()),
                error => error.into(),
            })?)
        }
        _ => None,
    };
    if let Place::Postgres(url) = &from
        && !online
    {
        let others = transfer::others_on(url).await?;
        if others > 0 {
            return Err(MoveError::InUse(format!("{others} other connections of Jotgate use {url}")));
        }
    }
    Ok(transfer::carry(&from, &to, Target::Empty, online, now, progress).await?)
}
