//! Why a database cannot be used, in words that name the file and the fix.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::postgres::Problem;

/// A database that is not opened. Each says which file, what is wrong, and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The file system refused.
    Io { path: PathBuf, doing: &'static str, error: io::Error },
    /// Something else than an SQLite database lies there.
    NotADatabase { path: PathBuf },
    /// A database of another program.
    NotOurs { path: PathBuf },
    /// Cut short, overwritten or otherwise damaged.
    Damaged { path: PathBuf, why: String },
    /// The database is gone or empty, but its write-ahead log is not: opening it would throw the log away.
    OrphanedLog { path: PathBuf, log: PathBuf },
    /// Written by a later version of the program.
    Newer { path: PathBuf, found: u32, known: u32 },
    /// A migration that was applied is not the one of this program.
    OtherMigration { path: PathBuf, version: u32 },
    /// A migration failed; it was rolled back whole.
    Migration { path: PathBuf, version: u32, why: String },
    /// Another process keeps the database locked.
    Busy { path: PathBuf },
    /// The file system cannot hold a write-ahead log (a network share).
    NoSharedMemory { path: PathBuf },
    /// The directory belongs to a server that runs.
    InUse { path: PathBuf, pid: Option<u32> },
    /// A PostgreSQL database, named without its password.
    Postgres { place: String, problem: Problem },
    /// Anything else that the database said.
    Failed { path: PathBuf, why: String },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, doing, error } => write!(
                f,
                "cannot {doing} {}: {error}. Check that the directory exists, has space and belongs to the user \
                 who runs jotgate",
                path.display()
            ),
            Self::NotADatabase { path } => write!(
                f,
                "{} is not an SQLite database. Move it away, or point database_url to the right file",
                path.display()
            ),
            Self::NotOurs { path } => write!(
                f,
                "{} is a database of another program. Point database_url to a file of its own",
                path.display()
            ),
            Self::Damaged { path, why } => write!(
                f,
                "{} is damaged or cut short ({why}). Stop all jotgate processes and put a backup in its place",
                path.display()
            ),
            Self::OrphanedLog { path, log } => write!(
                f,
                "{} is missing or empty, but {} holds changes that belong to it. Put the database file back; or, \
                 to begin with an empty database, delete the log",
                path.display(),
                log.display()
            ),
            Self::Newer { path, found, known } => write!(
                f,
                "{} was written by a newer jotgate (schema {found}, this program knows {known}). Run that version \
                 or a later one, or restore a backup from before the upgrade",
                path.display()
            ),
            Self::OtherMigration { path, version } => write!(
                f,
                "{} has a migration {version} that is not the one of this program. It was made by a modified or \
                 unreleased build: run that build, or restore a backup",
                path.display()
            ),
            Self::Migration { path, version, why } => write!(
                f,
                "migration {version} of {} failed and was rolled back: {why}. Fix that and start again; it \
                 resumes there",
                path.display()
            ),
            Self::Busy { path } => write!(
                f,
                "{} is locked by another process. Wait for it, or end it (fuser {} names it)",
                path.display(),
                path.display()
            ),
            Self::NoSharedMemory { path } => write!(
                f,
                "the file system of {} cannot hold a write-ahead log. Put data_dir on a local disk",
                path.display()
            ),
            Self::InUse { path, pid } => {
                write!(f, "a jotgate server already runs on {}", path.display())?;
                if let Some(pid) = pid {
                    write!(f, " (process {pid})")?;
                }
                f.write_str(". Stop it, or give this one a data_dir of its own")
            }
            Self::Postgres { place, problem } => write!(f, "{place} {problem}"),
            Self::Failed { path, why } => write!(f, "cannot open {}: {why}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
