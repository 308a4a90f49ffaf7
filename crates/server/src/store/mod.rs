//! Where the records rest: one folder a database, all behind [`jotgate_domain::Store`].
//!
//! Here is what backends share: how a row's composite values are written, what a refresh does to the rows
//! (the rule itself is [`jotgate_domain::refresh::decide`]), and why a database may not be opened. Nothing here
//! knows HTTP.

mod codec;
mod lock;
mod measured;
mod open;
mod plan;
pub mod postgres;
pub mod sqlite;
pub mod transfer;

pub(crate) use lock::make_private_dir;
pub use lock::{DataDirLock, lock_data_dir};
pub(crate) use measured::{Measured, Stats};
pub use open::OpenError;
pub use postgres::Postgres;
pub use sqlite::Sqlite;
