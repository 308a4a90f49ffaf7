//! SQLite as one end. It reads in one transaction, whose log goes on beside it; a server may run meanwhile.

use std::path::Path;

use jotgate_domain::Timestamp;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::{BATCH, Row, Table, TransferError, Value};
use crate::store::sqlite::Sqlite;
use crate::store::sqlite::connection::{open_reader, open_writer};

pub(super) struct SqliteSide {
    connection: Connection,
}

fn failed(error: rusqlite::Error) -> TransferError {
    TransferError::Database(format!("SQLite: {error}"))
}

impl SqliteSide {
    pub(super) fn reader(path: &Path, now: Timestamp) -> Result<Self, TransferError> {
        // Brings its schema up to date, and refuses what is no database of ours.
        drop(Sqlite::open(path, now)?);
        let connection = open_reader(path).map_err(failed)?;
        connection.execute_batch("BEGIN").map_err(failed)?;
        Ok(Self { connection })
    }

    pub(super) fn writer(path: &Path, now: Timestamp) -> Result<Self, TransferError> {
        drop(Sqlite::open(path, now)?);
        let connection = open_writer(path).map_err(failed)?;
        connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
        Ok(Self { connection })
    }

    pub(super) fn count(&self, table: &Table) -> Result<u64, TransferError> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        self.connection.query_row(&sql, [], |row| row.get(0)).map_err(failed)
    }

    pub(super) fn page(&self, table: &Table, after: Option<Value>) -> Result<Vec<Row>, TransferError> {
        let (columns, name, key) = (table.column_list(), table.name, table.key());
        let (condition, after) = match after {
            Some(after) => (format!("WHERE {key} > ?1"), vec![after]),
            None => (String::new(), Vec::new()),
        };
        let sql = format!("SELECT {columns} FROM {name} {condition} ORDER BY {key} LIMIT {BATCH}");
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed)?;
        let rows = statement.query_map(params_from_iter(after), |row| {
            (0..table.columns.len())
                .map(|at| {
                    Ok(match row.get_ref(at)? {
                        ValueRef::Null => Value::Null,
                        ValueRef::Integer(number) => Value::Int(number),
                        // Not made to fit: what is no text is an error, and not another text.
                        ValueRef::Text(_) => Value::Text(row.get(at)?),
                        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
                        // The tables are strict, and none has such a column.
                        ValueRef::Real(_) => return Err(rusqlite::Error::InvalidQuery),
                    })
                })
                .collect()
        });
        rows.map_err(failed)?.collect::<rusqlite::Result<_>>().map_err(failed)
    }

    pub(super) fn insert(&self, table: &Table, rows: Vec<Row>) -> Result<(), TransferError> {
        let places = (1..=table.columns.len()).map(|at| format!("?{at}")).collect::<Vec<_>>().join(", ");
        let sql = format!("INSERT INTO {} ({}) VALUES ({places})", table.name, table.column_list());
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed)?;
        for row in rows {
            statement.execute(params_from_iter(row)).map_err(failed)?;
        }
        Ok(())
    }

    pub(super) fn clear(&self, table: &Table) -> Result<(), TransferError> {
        self.connection.execute(&format!("DELETE FROM {}", table.name), []).map_err(failed)?;
        Ok(())
    }

    pub(super) fn last_status(&self) -> Result<u64, TransferError> {
        let sql = "SELECT value FROM counters WHERE name = 'status'";
        self.connection.query_row(sql, [], |row| row.get(0)).map_err(failed)
    }

    pub(super) fn set_last_status(&self, status: u64) -> Result<(), TransferError> {
        let sql = "UPDATE counters SET value = ?1 WHERE name = 'status'";
        self.connection.execute(sql, [status]).map_err(failed)?;
        Ok(())
    }

    pub(super) fn commit(self) -> Result<(), TransferError> {
        self.connection.execute_batch("COMMIT").map_err(failed)
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
