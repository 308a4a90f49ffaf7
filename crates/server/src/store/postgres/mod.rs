//! PostgreSQL, for several nodes over one database: nothing is held in a node that another needs.
//!
//! What is asked often is one round trip: a try with its user, the ordinary refresh, a logout, the log. A statement
//! compares and stores; where it finds things other than in the ordinary case, rows are read, the same pure
//! functions decide as over SQLite, and what they say is written only if the rows still are as they were read.

mod bell;
mod changes;
mod connect;
mod error;
mod migrate;
mod pool;
mod rotate;
mod rows;
mod sql;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use jotgate_domain::audit;
use jotgate_domain::client::{Client, ClientId};
use jotgate_domain::key::StoredKey;
use jotgate_domain::name::Canonical;
use jotgate_domain::refresh;
use jotgate_domain::sso::Ticket;
use jotgate_domain::store::{
    Applied, Attempt, Attempted, AuditPage, AuditQuery, Connections, Deliveries, DeliveryCount, Lookup,
    Revocable, RevocationPage, Revoked,
};
use jotgate_domain::throttle::{self, Bucket, Verdict};
use jotgate_domain::upstream::Identity;
use jotgate_domain::webhook::{self, Delivery};
use jotgate_domain::{Change, Expect, Session, SessionId, Store, StoreError, Timestamp, User, UserId};
use tokio_postgres::Row;
use uuid::Uuid;

use self::bell::Bell;
use self::changes::{Steps, millis, text};
use self::connect::Connector;
use self::error::Fail;
pub use self::error::Problem;
use self::pool::{Link, Params, Pool, Query, Sql, Transaction};
use super::OpenError;
use super::codec;
use crate::config::PostgresUrl;

/// How often what changed meanwhile is read and decided on again.
const TRIES: u32 = 16;
/// For how long a server that is only starting is waited for.
const STARTING: std::time::Duration = std::time::Duration::from_secs(20);

/// A PostgreSQL database.
#[derive(Debug)]
pub struct Postgres {
    pool: Arc<Pool>,
    bell: Bell,
}

impl Postgres {
    /// Opens the database and brings its schema up to date; of nodes that start at once one does that, and the
    /// others wait for it.
    ///
    /// # Errors
    /// [`OpenError::Postgres`], which names the database and the fix.
    pub async fn open(url: &PostgresUrl, now: Timestamp) -> Result<Self, OpenError> {
        Self::open_with(url, migrate::MIGRATIONS, true, now).await.map_err(|problem| refused(url, problem))
    }

    /// The same where there is an installation already; an empty database is left so.
    ///
    /// # Errors
    /// As above, and [`Problem::Empty`].
    pub async fn open_existing(url: &PostgresUrl, now: Timestamp) -> Result<Self, OpenError> {
        Self::open_with(url, migrate::MIGRATIONS, false, now).await.map_err(|problem| refused(url, problem))
    }

    /// Migrations that the database has not had. Changes nothing.
    ///
    /// # Errors
    /// [`OpenError::Postgres`].
    pub async fn pending(url: &PostgresUrl) -> Result<Vec<&'static str>, OpenError> {
        let look = async {
            let connector = Connector::new(url.clone())?;
            migrate::pending(&Link::open(&connector).await?, migrate::MIGRATIONS).await
        };
        look.await.map_err(|problem| refused(url, problem))
    }

    async fn open_with(
        url: &PostgresUrl,
        migrations: &[migrate::Migration],
        create: bool,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let pool = Pool::new(Connector::new(url.clone())?);
        let begun = tokio::time::Instant::now();
        let link = loop {
            match Link::open(pool.connector()).await {
                Err(Problem::Starting(_)) if begun.elapsed() < STARTING => {
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
                opened => break opened?,
            }
        };
        if !create && migrate::is_empty(&link).await? {
            return Err(Problem::Empty);
        }
        migrate::migrate(&link, migrations, now).await?;
        warn_if_lossy(&link).await;
        pool.put(link);
        Ok(Self { pool: Arc::new(pool), bell: Bell::default() })
    }

    /// A connection that is in no pool, for work that takes long; the task that drives it ends with it.
    pub(in crate::store) async fn connection_of_its_own(
        url: &PostgresUrl,
    ) -> Result<(tokio_postgres::Client, tokio::task::JoinHandle<()>), OpenError> {
        let open = async { Connector::new(url.clone())?.open().await };
        let opened: Result<_, Problem> = open.await;
        let (client, driver, _) = opened.map_err(|problem| refused(url, problem))?;
        Ok((client, driver))
    }

    async fn read(&self, sql: &'static Sql, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        self.pool.run(&Query(sql, params)).await
    }

    async fn one<T>(
        &self,
        sql: &'static Sql,
        params: Params<'_>,
        read: impl FnOnce(&Row) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.read(sql, params).await?.first().map(read).transpose()
    }

    async fn many<T>(
        &self,
        sql: &'static Sql,
        params: Params<'_>,
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.read(sql, params).await?.iter().map(read).collect()
    }

    /// All steps in one transaction, and the bell after it.
    async fn write(&self, steps: &Steps) -> Result<Applied, StoreError> {
        if steps.is_empty() {
            return Ok(Applied::default());
        }
        let params = steps.params();
        let all = steps.with(&params);
        let then = if steps.bell { self.bell.after_commit() } else { None };
        let answers = self.pool.run(&Transaction(&all, then)).await?;
        let applied = steps.applied(&answers)?;
        if steps.bell {
            self.bell.ring();
        } else if !applied.revoked.is_empty() {
            self.bell.owe();
        }
        Ok(applied)
    }
}

fn refused(url: &PostgresUrl, problem: Problem) -> OpenError {
    OpenError::Postgres { place: url.to_string(), problem }
}

/// Longer than any limit that makes sense, and short enough that sums of it are no overflow in the database.
const LONGEST: i64 = 1_000_000_000_000_000;

/// What [`sql::ATTEMPT_BY_ID`] and its sisters take besides the look-up.
struct Try {
    first: [i64; 4],
    forgive: i64,
    free: i64,
    delays: Vec<i64>,
    far: i64,
}

impl Try {
    fn new(attempt: &Attempt) -> Self {
        let limit = attempt.limit;
        let bounded = |duration| millis(duration).min(LONGEST);
        let (_, first) = throttle::take(Bucket::default(), limit, attempt.now);
        let forgotten = first.counted_at.plus(limit.forgive_every.saturating_mul(first.tries));
        let mut delays = Vec::new();
        for over in 1..=throttle::DELAYS_DIFFER {
            let delay = bounded(limit.delay(over));
            delays.push(delay);
            if delay >= bounded(limit.longest_delay) {
                break;
            }
        }
        Self {
            first: [
                i64::from(first.tries),
                first.counted_at.0,
                first.blocked_until.0,
                forgotten.max(first.blocked_until).0,
            ],
            forgive: bounded(limit.forgive_every),
            free: i64::from(limit.free),
            delays,
            far: bounded(limit.longest_delay.saturating_mul(2)),
        }
    }
}

#[async_trait]
impl Store for Postgres {
    async fn attempt(&self, attempt: Attempt) -> Result<Attempted, StoreError> {
        let Try { first: [tries, counted_at, blocked_until, forgotten_at], forgive, free, delays, far } =
            &Try::new(&attempt);
        let (sql, key): (_, Box<dyn tokio_postgres::types::ToSql + Send + Sync>) = match &attempt.lookup {
            Lookup::Id(id) => (&sql::ATTEMPT_BY_ID, Box::new(id.0)),
            Lookup::Name(name) => (&sql::ATTEMPT_BY_NAME, Box::new(key(name))),
            Lookup::Email(address) => (&sql::ATTEMPT_BY_EMAIL, Box::new(key(address))),
        };
        let bucket = attempt.bucket.as_slice();
        for _ in 0..TRIES {
            let params: Params<'_> = &[
                &bucket,
                tries,
                counted_at,
                blocked_until,
                forgotten_at,
                &attempt.now.0,
                forgive,
                free,
                delays,
                far,
                &*key,
            ];
            let rows = self.read(sql, params).await?;
            let row = rows.first().ok_or_else(|| codec::corrupt("no answer to an attempt"))?;
            let user = rows::maybe_user_at(row, 4)?;
            if rows::get::<i64>(row, 3)? > 0 {
                return Ok(Attempted { verdict: Verdict::Granted, user });
            }
            // Refused by the bucket as it is now; what was read beside is of a moment before, and where others
            // tried in between it says nothing yet.
            let bucket = Bucket {
                tries: u32::try_from(rows::get::<Option<i64>>(row, 0)?.unwrap_or(0)).unwrap_or(u32::MAX),
                counted_at: rows::maybe_instant(row, 1)?.unwrap_or_default(),
                blocked_until: rows::maybe_instant(row, 2)?.unwrap_or_default(),
            };
            let (verdict, _) = throttle::take(bucket, attempt.limit, attempt.now);
            if verdict != Verdict::Granted {
                return Ok(Attempted { verdict, user });
            }
        }
        Err(pool::unavailable("too many try at once"))
    }

    async fn refresh(&self, request: refresh::Request) -> Result<refresh::Outcome, StoreError> {
        self.rotate(&request).await
    }

    async fn apply(&self, changes: Vec<Change>, expect: Vec<Expect>) -> Result<Applied, StoreError> {
        self.write(&Steps::new(&changes, &expect)).await
    }

    async fn user(&self, lookup: Lookup) -> Result<Option<User>, StoreError> {
        let read = |row: &Row| rows::user_at(row, 0);
        match lookup {
            Lookup::Id(id) => self.one(&sql::USER_BY_ID, &[&id.0], read).await,
            Lookup::Name(name) => self.one(&sql::USER_BY_NAME, &[&key(&name)], read).await,
            Lookup::Email(address) => self.one(&sql::USER_BY_EMAIL, &[&key(&address)], read).await,
        }
    }

    async fn users(&self, after: Option<Canonical>, limit: u32) -> Result<Vec<User>, StoreError> {
        let after = after.as_ref().map_or("", Canonical::as_str);
        self.many(&sql::USERS_AFTER, &[&text(after), &i64::from(limit)], |row| rows::user_at(row, 0)).await
    }

    async fn session(&self, id: SessionId, now: Timestamp) -> Result<Option<(Session, User)>, StoreError> {
        let found = self.one(&sql::SESSION_WITH_USER, &[&id.0], rows::both).await?;
        Ok(found.filter(|(session, _)| session.is_live(now)))
    }

    async fn session_by_handle(
        &self,
        handle_hash: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<(Session, User)>, StoreError> {
        let found = self.one(&sql::SESSION_BY_HANDLE, &[&handle_hash.as_slice()], rows::both).await?;
        Ok(found.filter(|(session, _)| session.is_live(now)))
    }

    async fn sessions(
        &self,
        user: Option<UserId>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError> {
        let limit = i64::from(limit);
        let read = |row: &Row| rows::session_at(row, 0);
        match user {
            Some(user) => self.many(&sql::SESSIONS_OF, &[&user.0, &now.0, &limit], read).await,
            None => self.many(&sql::SESSIONS, &[&now.0, &limit], read).await,
        }
    }

    async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        self.one(&sql::CLIENT, &[&id.as_str()], rows::client).await
    }

    async fn clients(&self, after: Option<ClientId>, limit: u32) -> Result<Vec<Client>, StoreError> {
        let after = after.as_ref().map_or("", ClientId::as_str);
        self.many(&sql::CLIENTS_AFTER, &[&after, &i64::from(limit)], rows::client).await
    }

    async fn ticket(&self, hash: [u8; 32]) -> Result<Option<Ticket>, StoreError> {
        self.one(&sql::TICKET, &[&hash.as_slice()], rows::ticket).await
    }

    async fn identity(&self, issuer: &str, subject: &str) -> Result<Option<(Identity, User)>, StoreError> {
        self.one(&sql::IDENTITY, &[&text(issuer), &text(subject)], |row| {
            Ok((rows::identity_at(row, rows::USER_COLUMNS)?, rows::user_at(row, 0)?))
        })
        .await
    }

    async fn identities(&self, user: UserId) -> Result<Vec<Identity>, StoreError> {
        self.many(&sql::IDENTITIES_OF, &[&user.0], |row| rows::identity_at(row, 0)).await
    }

    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.many(&sql::KEYS, &[], rows::key).await
    }

    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.one(&sql::SETTING, &[&name], |row| rows::get(row, 0)).await
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<audit::Entry>, StoreError> {
        let user: Option<Uuid> = query.user.map(|id| id.0);
        let action = query.action.map(audit::Action::name);
        let limit = i64::from(query.limit);
        let mut entries = match user {
            Some(user) => self.many(&sql::AUDIT_NEWEST_OF, &[&action, &limit, &user], rows::entry).await?,
            None => self.many(&sql::AUDIT_NEWEST, &[&action, &limit], rows::entry).await?,
        };
        entries.reverse();
        Ok(entries)
    }

    /// A position is the snapshot that was read last; in the middle of much that is new, the snapshots before and
    /// behind it, and the last id that was read between them: `before|behind|id`.
    async fn audit_since(&self, query: AuditQuery, position: Option<&str>) -> Result<AuditPage, StoreError> {
        let Some(position) = position else {
            let found = self.one(&sql::SNAPSHOT, &[], |row| rows::get(row, 0)).await?;
            return Ok(AuditPage { entries: Vec::new(), position: found.unwrap_or_default() });
        };
        let mut parts = position.split('|');
        let before = parts.next().unwrap_or_default();
        let behind = parts.next();
        let id: i64 = parts.next().and_then(|id| id.parse().ok()).unwrap_or(i64::MIN);
        let user: Option<Uuid> = query.user.map(|id| id.0);
        let action = query.action.map(audit::Action::name);
        let limit = i64::from(query.limit);
        let rows = self.read(&sql::AUDIT_SINCE, &[&before, &behind, &id, &user, &action, &limit]).await?;
        let mut page = AuditPage::default();
        for row in &rows {
            page.position = rows::get(row, 9)?;
            // Where nothing is new there is one row, with the position only.
            if rows::get::<Option<i64>>(row, 0)?.is_some() {
                page.entries.push(rows::entry(row)?);
            }
        }
        if page.entries.len() >= usize::try_from(query.limit).unwrap_or(usize::MAX)
            && let Some(last) = page.entries.last()
        {
            page.position = format!("{before}|{}|{}", page.position, last.id);
        }
        Ok(page)
    }

    async fn audit_after(&self, after: i64, limit: u32) -> Result<Vec<audit::Entry>, StoreError> {
        self.many(&sql::AUDIT_AFTER, &[&after, &i64::from(limit)], rows::entry).await
    }

    async fn mark(&self) -> Result<String, StoreError> {
        let found = self.one(&sql::MARK, &[], |row| rows::get(row, 0)).await?;
        found.ok_or_else(|| codec::corrupt("no answer to which database this is"))
    }

    async fn deliveries(&self, which: Deliveries, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        let limit = i64::from(limit);
        match which {
            Deliveries::Due { webhook, now } => {
                self.many(&sql::DELIVERIES_DUE, &[&webhook, &now.0, &limit], rows::delivery).await
            }
            Deliveries::Dead { webhook } => {
                self.many(&sql::DELIVERIES_DEAD, &[&webhook, &limit], rows::delivery).await
            }
            Deliveries::One { id } => self.many(&sql::DELIVERY, &[&text(&id)], rows::delivery).await,
        }
    }

    async fn delivery_counts(&self) -> Result<Vec<DeliveryCount>, StoreError> {
        self.many(&sql::DELIVERY_COUNTS, &[], rows::delivery_count).await
    }

    async fn revocations(&self, cursor: i64) -> Result<RevocationPage, StoreError> {
        let mut rows = self.read(&sql::REVOCATIONS, &[&cursor]).await?;
        let horizon: i64 = rows.first().map(|row| rows::get(row, 0)).transpose()?.unwrap_or(0);
        if cursor > horizon {
            // Not of this database, or not of its present.
            rows = self.read(&sql::REVOCATIONS, &[&0_i64]).await?;
        }
        let mut page = RevocationPage::default();
        for row in &rows {
            page.cursor = rows::get(row, 0)?;
            page.last_status = rows::status(row, 1)?.unwrap_or(0);
            let what = match (rows::status(row, 2)?, rows::get::<Option<String>>(row, 4)?) {
                (Some(status), _) => Revocable::Status(status),
                (None, Some(kid)) => Revocable::Key(kid),
                // The one row of a log with nothing new.
                (None, None) => continue,
            };
            page.revoked.push(Revoked { what, until: rows::instant(row, 3)? });
        }
        Ok(page)
    }

    async fn changed(&self, seen: u64) -> u64 {
        self.bell.changed(seen, &self.pool).await
    }

    async fn sweep(&self, now: Timestamp, keep_audit: u64, batch: u32) -> Result<u64, StoreError> {
        let keep = i64::try_from(keep_audit).unwrap_or(i64::MAX);
        let kinds = [
            (&sql::SWEEP_REVOCATIONS, now.0),
            (&sql::SWEEP_THROTTLES, now.0),
            (&sql::SWEEP_TICKETS, now.0),
            (&sql::SWEEP_SPENT, now.0),
            (&sql::SWEEP_AUDIT, keep),
            (&sql::SWEEP_SESSIONS, now.0),
        ];
        let mut all = 0;
        for (sql, bound) in kinds {
            let mut left = i64::from(batch);
            while left > 0 {
                let rows = self.read(sql, &[&bound, &left]).await?;
                let row = rows.first().ok_or_else(|| codec::corrupt("no answer to a sweep"))?;
                let (gone, seen): (i64, i64) = (rows::get(row, 0)?, rows::get(row, 1)?);
                all += u64::try_from(gone).unwrap_or(0);
                if seen < left {
                    break;
                }
                left -= gone;
            }
        }
        let (old, batch) = (now.minus(webhook::DEAD_FOR).0, i64::from(batch));
        let most: i64 = webhook::MOST_DEAD.into();
        let dead = self.one(&sql::SWEEP_DEAD, &[&old, &most, &batch], |row| rows::get::<i64>(row, 0)).await?;
        Ok(all + dead.unwrap_or(0).unsigned_abs())
    }

    async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        self.one(&sql::CLOCK, &[], |row| rows::instant(row, 0)).await
    }

    fn connections(&self) -> Option<Connections> {
        Some(self.pool.connections())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(&sql::PING, &[]).await.map(drop)
    }
}

/// A name to look up. No user's name has a zero in it, which the database would not take as text, or is empty.
fn key(name: &Canonical) -> String {
    if name.as_str().contains('\0') { String::new() } else { name.as_str().to_owned() }
}

/// A server that answers before it has written: fast, and not what an acknowledgement promises.
async fn warn_if_lossy(link: &Link) {
    static DURABLE: Sql = Sql {
        text: "SELECT current_setting('fsync') || ' ' || current_setting('synchronous_commit')",
        types: &[],
        named: false,
    };
    let answer: Result<Option<String>, Fail> = async {
        let rows = link.query(&DURABLE, &[]).await?;
        Ok(rows.first().map(|row| rows::get(row, 0)).transpose()?)
    }
    .await;
    if let Ok(Some(settings)) = answer
        && settings.split(' ').any(|setting| setting == "off")
    {
        tracing::warn!(
            "PostgreSQL runs with fsync or synchronous_commit off: what was acknowledged may be lost when its \
             machine fails"
        );
    }
}
