//! PostgreSQL as one end, over a connection of its own.

use std::pin::pin;

use bytes::BytesMut;
use jotgate_domain::Timestamp;
use tokio::task::JoinHandle;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Row as Answer};
use uuid::Uuid;

use super::{BATCH, Kind, Row, Table, TransferError, Value};
use crate::config::PostgresUrl;
use crate::store::postgres::Postgres;

pub(super) struct PostgresSide {
    client: Client,
    driver: JoinHandle<()>,
}

impl Drop for PostgresSide {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn failed(error: tokio_postgres::Error) -> TransferError {
    let text = error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    TransferError::Database(format!("PostgreSQL: {text}"))
}

/// A column that only PostgreSQL has, and the one whose value it begins with.
fn beside(table: &Table) -> Option<(&'static str, &'static str)> {
    (table.name == "throttles").then_some(("sweep_at", "forgotten_at"))
}

fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Id => Type::UUID,
        Kind::Bytes => Type::BYTEA,
        Kind::Int => Type::INT8,
        Kind::Text => Type::TEXT,
    }
}

/// Connections of servers and commands to this database, but for the one that asks.
pub(super) async fn others(url: &PostgresUrl) -> Result<u64, TransferError> {
    let (client, driver) = Postgres::connection_of_its_own(url).await?;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = current_setting('application_name') AND pid <> pg_backend_pid()";
    let mut found = 0;
    // One that just ended takes a moment to be gone.
    for _ in 0..20 {
        let count: i64 = client.query_one(sql, &[]).await.map_err(failed)?.get(0);
        found = count.unsigned_abs();
        if found == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    driver.abort();
    Ok(found)
}

impl PostgresSide {
    pub(super) async fn reader(url: &PostgresUrl, now: Timestamp) -> Result<Self, TransferError> {
        Self::begin(url, now, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    pub(super) async fn writer(url: &PostgresUrl, now: Timestamp) -> Result<Self, TransferError> {
        Self::begin(url, now, "BEGIN").await
    }

    async fn begin(url: &PostgresUrl, now: Timestamp, begin: &str) -> Result<Self, TransferError> {
        // Brings its schema up to date, and refuses what is no database of ours.
        drop(Postgres::open(url, now).await?);
        let (client, driver) = Postgres::connection_of_its_own(url).await?;
        let side = Self { client, driver };
        // A table may take longer than any request may.
        let limits =
            "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = 0";
        side.client.batch_execute(limits).await.map_err(failed)?;
        side.client.batch_execute(begin).await.map_err(failed)?;
        Ok(side)
    }

    pub(super) async fn count(&self, table: &Table) -> Result<u64, TransferError> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let count: i64 = self.client.query_one(&sql, &[]).await.map_err(failed)?.get(0);
        Ok(count.unsigned_abs())
    }

    pub(super) async fn page(&self, table: &Table, after: Option<Value>) -> Result<Vec<Row>, TransferError> {
        let (columns, name, key) = (table.column_list(), table.name, table.key());
        let condition = if after.is_some() { format!("WHERE {key} > $1") } else { String::new() };
        let sql = format!("SELECT {columns} FROM {name} {condition} ORDER BY {key} LIMIT {BATCH}");
        let kind = table.columns.first().map_or(Kind::Text, |(_, kind)| *kind);
        let after = after.map(|value| Typed(value, kind));
        let params: Vec<(&(dyn ToSql + Sync), Type)> =
            after.iter().map(|after| (after as &(dyn ToSql + Sync), type_of(kind))).collect();
        let answers = self.client.query_typed(&sql, &params).await.map_err(failed)?;
        answers.iter().map(|answer| row(table, answer).map_err(failed)).collect()
    }

    pub(super) async fn insert(&self, table: &Table, rows: Vec<Row>) -> Result<(), TransferError> {
        let mut columns = table.column_list();
        let mut kinds: Vec<Kind> = table.columns.iter().map(|(_, kind)| *kind).collect();
        let copied = beside(table).and_then(|(name, from)| {
            columns = format!("{columns}, {name}");
            table.columns.iter().position(|(column, _)| *column == from)
        });
        kinds.extend(copied.and_then(|at| kinds.get(at).copied()));
        let types: Vec<Type> = kinds.iter().map(|kind| type_of(*kind)).collect();
        let sql = format!("COPY {} ({columns}) FROM STDIN BINARY", table.name);
        let sink = self.client.copy_in(&sql).await.map_err(failed)?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
        for mut row in rows {
            row.extend(copied.and_then(|at| row.get(at).cloned()));
            let values: Vec<Typed> =
                row.into_iter().zip(&kinds).map(|(value, kind)| Typed(value, *kind)).collect();
            let params: Vec<&(dyn ToSql + Sync)> =
                values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
            writer.as_mut().write(&params).await.map_err(failed)?;
        }
        writer.finish().await.map_err(failed)?;
        Ok(())
    }

    pub(super) async fn clear(&self, table: &Table) -> Result<(), TransferError> {
        self.client.batch_execute(&format!("DELETE FROM {}", table.name)).await.map_err(failed)
    }

    pub(super) async fn last_status(&self) -> Result<u64, TransferError> {
        let sql = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM status_numbers";
        let last: i64 = self.client.query_one(sql, &[]).await.map_err(failed)?.get(0);
        Ok(last.unsigned_abs())
    }

    pub(super) async fn set_last_status(&self, status: u64) -> Result<(), TransferError> {
        let last = i64::try_from(status).unwrap_or(i64::MAX);
        // A sequence that has given nothing stands before 1.
        let sql = "SELECT setval('status_numbers', greatest($1, 1), $1 > 0), \
                   setval(pg_get_serial_sequence('revocations', 'seq'), \
                          (SELECT coalesce(max(seq), 0) + 1 FROM revocations), false), \
                   setval(pg_get_serial_sequence('audit', 'id'), \
                          (SELECT coalesce(max(id), 0) + 1 FROM audit), false)";
        self.client.query_typed(sql, &[(&last, Type::INT8)]).await.map_err(failed)?;
        Ok(())
    }

    pub(super) async fn commit(self) -> Result<(), TransferError> {
        self.client.batch_execute("COMMIT").await.map_err(failed)?;
        // So that the first logins are planned by what is there.
        self.client.batch_execute("ANALYZE").await.map_err(failed)
    }
}

fn row(table: &Table, answer: &Answer) -> Result<Row, tokio_postgres::Error> {
    let value = |(at, (_, kind)): (usize, &(&str, Kind))| {
        Ok(match kind {
            Kind::Id => answer.try_get::<_, Option<Uuid>>(at)?.map(|id| Value::Bytes(id.as_bytes().to_vec())),
            Kind::Bytes => answer.try_get::<_, Option<Vec<u8>>>(at)?.map(Value::Bytes),
            Kind::Int => answer.try_get::<_, Option<i64>>(at)?.map(Value::Int),
            Kind::Text => answer.try_get::<_, Option<String>>(at)?.map(Value::Text),
        }
        .unwrap_or(Value::Null))
    };
    table.columns.iter().enumerate().map(value).collect()
}

/// A value as the type of its column.
#[derive(Debug)]
struct Typed(Value, Kind);

impl ToSql for Typed {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (&self.0, self.1) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Int(number), _) => number.to_sql(ty, out),
            (Value::Text(text), _) => text.to_sql(ty, out),
            (Value::Bytes(bytes), Kind::Id) => Uuid::from_slice(bytes)?.to_sql(ty, out),
            (Value::Bytes(bytes), _) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
