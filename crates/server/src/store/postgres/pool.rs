//! Connections, lent to one operation at a time, and what is sent over them.
//!
//! Everything waits for a bounded time: for its turn, for a connection, for the answer. A database that is slow or
//! away costs callers five seconds at most, and new ones nothing once it is known.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use jotgate_domain::StoreError;
use jotgate_domain::store::Connections;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use super::connect::Connector;
use super::error::{Fail, Problem, is_aftermath};

/// No operation takes longer, whatever it waits for.
const DEADLINE: Duration = Duration::from_secs(5);
/// Nobody waits longer for a connection to be free.
const TURN: Duration = Duration::from_secs(2);
/// After a connection could not be opened, nobody tries for this long: who asks meanwhile is told at once.
const PAUSE: Duration = Duration::from_millis(250);
/// How often an operation that the database gave up is begun again.
const TRIES: u32 = 5;
/// A connection that was idle for longer is not used again: what stands between may have forgotten it.
const IDLE: Duration = Duration::from_secs(300);

/// A statement and the types of its parameters.
#[derive(Debug)]
pub(super) struct Sql {
    pub(super) text: &'static str,
    pub(super) types: &'static [Type],
    /// Prepared once a connection; else planned each time for its parameters.
    pub(super) named: bool,
}

pub(super) type Params<'p> = &'p [&'p (dyn ToSql + Sync)];

/// What is done on a connection, and may be done again on another.
pub(super) trait Work: Sync {
    type Out;
    fn on(&self, link: &Link) -> impl Future<Output = Result<Self::Out, Fail>> + Send;
}

/// One statement.
pub(super) struct Query<'q>(pub(super) &'q Sql, pub(super) Params<'q>);

impl Work for Query<'_> {
    type Out = Vec<Row>;
    async fn on(&self, link: &Link) -> Result<Self::Out, Fail> {
        Ok(link.query(self.0, self.1).await?)
    }
}

/// All of these in one transaction, and what follows it.
pub(super) struct Transaction<'t>(pub(super) &'t [(&'t Sql, Params<'t>)], pub(super) Option<&'t str>);

impl Work for Transaction<'_> {
    type Out = Vec<Vec<Row>>;
    async fn on(&self, link: &Link) -> Result<Self::Out, Fail> {
        link.transact(self.0, self.1).await
    }
}

/// An open connection.
pub(super) struct Link {
    client: Client,
    driver: JoinHandle<()>,
    /// Statements prepared on it, by their text's place. None behind a pooler, where a name may be another's.
    prepared: Option<Mutex<HashMap<usize, Statement>>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("pooled", &self.prepared.is_none()).finish_non_exhaustive()
    }
}

impl Link {
    pub(super) async fn open(connector: &Connector) -> Result<Self, Problem> {
        let (client, driver, about) = connector.open().await?;
        let prepared = (!about.pooled).then(Mutex::default);
        Ok(Self { client, driver, prepared })
    }

    /// Runs one statement: one round trip, and one more the first time on this connection.
    pub(super) async fn query(
        &self,
        sql: &Sql,
        params: Params<'_>,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        match self.prepare(sql).await? {
            Some(statement) => self.client.query(&statement, params).await,
            None => self.query_unnamed(sql, params).await,
        }
    }

    async fn query_unnamed(&self, sql: &Sql, params: Params<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
        let typed: Vec<_> = params.iter().copied().zip(sql.types.iter().cloned()).collect();
        self.client.query_typed(sql.text, &typed).await
    }

    async fn prepare(&self, sql: &Sql) -> Result<Option<Statement>, tokio_postgres::Error> {
        let Some(prepared) = self.prepared.as_ref().filter(|_| sql.named) else { return Ok(None) };
        let place = sql.text.as_ptr().addr();
        let known = lock(prepared).get(&place).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let statement = self.client.prepare_typed(sql.text, sql.types).await?;
        lock(prepared).insert(place, statement.clone());
        Ok(Some(statement))
    }

    /// Runs all of `steps` in one transaction, sent together with its beginning and its end: one round trip. What
    /// fails a step fails the transaction, and the end then undoes it. `then` follows when it is committed.
    pub(super) async fn transact(
        &self,
        steps: &[(&Sql, Params<'_>)],
        then: Option<&str>,
    ) -> Result<Vec<Vec<Row>>, Fail> {
        if let ([(sql, params)], None) = (steps, then) {
            return Ok(vec![self.query(sql, params).await?]);
        }
        let prepared = self.prepare_all(steps).await?;
        let simple = |text| async move { self.client.batch_execute(text).await.map(|()| Vec::new()) };
        let mut sent: Vec<Sent<'_>> = Vec::with_capacity(steps.len() + 3);
        sent.push(Box::pin(simple("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")));
        for ((sql, params), statement) in steps.iter().zip(&prepared) {
            sent.push(match statement {
                Some(statement) => Box::pin(self.client.query(statement, params)),
                None => Box::pin(self.query_unnamed(sql, params)),
            });
        }
        sent.push(Box::pin(simple("COMMIT")));
        sent.extend(then.map(|text| Box::pin(simple(text)) as Sent<'_>));
        let mut answers = answered(sent).await;
        // What follows the end changes nothing about it, whatever becomes of it.
        answers.truncate(steps.len() + 2);
        let mut rows = Vec::with_capacity(steps.len());
        let mut aftermath = None;
        for answer in answers {
            match answer {
                Ok(answer) => rows.push(answer),
                Err(error) if is_aftermath(&error) => aftermath = aftermath.or(Some(error)),
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(error) = aftermath {
            return Err(error.into());
        }
        // Those of the beginning and of the end say nothing.
        rows.pop();
        rows.drain(..1.min(rows.len()));
        Ok(rows)
    }

    /// In one round trip for all that are new to this connection.
    async fn prepare_all(
        &self,
        steps: &[(&Sql, Params<'_>)],
    ) -> Result<Vec<Option<Statement>>, tokio_postgres::Error> {
        let mut distinct: Vec<&Sql> = steps.iter().map(|(sql, _)| *sql).collect();
        distinct.sort_unstable_by_key(|sql| sql.text.as_ptr().addr());
        distinct.dedup_by_key(|sql| sql.text.as_ptr().addr());
        let mut new: Vec<Pin<Box<dyn Future<Output = Result<_, tokio_postgres::Error>> + Send + '_>>> =
            Vec::with_capacity(distinct.len());
        for sql in distinct {
            new.push(Box::pin(self.prepare(sql)));
        }
        for prepared in answered(new).await {
            prepared?;
        }
        let known = self.prepared.as_ref().map(lock);
        let find = |sql: &Sql| known.as_ref().and_then(|known| known.get(&sql.text.as_ptr().addr()).cloned());
        Ok(steps.iter().map(|(sql, _)| find(sql)).collect())
    }

    /// Statements without parameters, in the simple protocol.
    pub(super) async fn batch(&self, text: &str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(text).await
    }
}

type Sent<'f> = Pin<Box<dyn Future<Output = Result<Vec<Row>, tokio_postgres::Error>> + Send + 'f>>;

/// Begins all futures in order, so that what they send goes out in order, and waits for all.
async fn answered<T: Unpin>(mut all: Vec<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, done) in all.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// The connections of this node.
pub(super) struct Pool {
    connector: Connector,
    turns: Semaphore,
    idle: Mutex<Vec<(Link, Instant)>>,
    /// When a connection could last not be opened, and why.
    down: Mutex<Option<(Instant, String)>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("url", self.connector.url()).finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Self {
        let size = usize::try_from(connector.url().pool_size).unwrap_or(1);
        Self { connector, turns: Semaphore::new(size), idle: Mutex::default(), down: Mutex::default() }
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    pub(super) fn connections(&self) -> Connections {
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let most = number(usize::try_from(self.connector.url().pool_size).unwrap_or(1));
        let busy = most.saturating_sub(number(self.turns.available_permits()));
        Connections { busy, idle: number(lock(&self.idle).len()), most }
    }

    /// Keeps a connection for the next operation.
    pub(super) fn put(&self, link: Link) {
        if !link.client.is_closed() {
            lock(&self.idle).push((link, Instant::now()));
        }
    }

    /// Does `work` on a connection, once more where the database gave it up by itself with nothing done. An
    /// operation whose connection is lost is not repeated: it may have been done.
    pub(super) async fn run<W: Work>(&self, work: &W) -> Result<W::Out, StoreError> {
        let all = async {
            for attempt in 1.. {
                let lease = self.lend().await?;
                let done = match &lease.link {
                    Some(link) => work.on(link).await,
                    None => return Err(unavailable("no connection")),
                };
                match done {
                    Ok(value) => {
                        lease.give_back();
                        return Ok(value);
                    }
                    Err(fail) => {
                        if fail.is_answer() {
                            lease.give_back();
                        }
                        if attempt >= TRIES || !fail.is_transient() {
                            return Err(fail.into());
                        }
                        tokio::time::sleep(Duration::from_millis(3) * attempt).await;
                    }
                }
            }
            Err(unavailable("given up"))
        };
        timeout(DEADLINE, all).await.unwrap_or_else(|_| Err(unavailable("no answer within five seconds")))
    }

    async fn lend(&self) -> Result<Lease<'_>, StoreError> {
        let turn = match self.turns.try_acquire() {
            Ok(turn) => turn,
            Err(_) => match timeout(TURN, self.turns.acquire()).await {
                Ok(Ok(turn)) => turn,
                _ => return Err(unavailable("every connection is busy")),
            },
        };
        loop {
            let idle = lock(&self.idle).pop();
            match idle {
                Some((link, since)) if !link.client.is_closed() && since.elapsed() < IDLE => {
                    return Ok(Lease { pool: self, link: Some(link), _turn: turn });
                }
                // Dropped, it says good-bye.
                Some(_) => {}
                None => break,
            }
        }
        if let Some((at, why)) = &*lock(&self.down)
            && at.elapsed() < PAUSE
        {
            return Err(unavailable(why.clone()));
        }
        match Link::open(&self.connector).await {
            Ok(link) => {
                *lock(&self.down) = None;
                Ok(Lease { pool: self, link: Some(link), _turn: turn })
            }
            Err(problem) => {
                let why = format!("{} {problem}", self.connector.url());
                *lock(&self.down) = Some((Instant::now(), why.clone()));
                Err(unavailable(why))
            }
        }
    }
}

/// A connection lent to an operation. Unless it is given back it is closed: the operation was given up in the
/// middle, and what comes over the connection next would be meant for it.
struct Lease<'p> {
    pool: &'p Pool,
    link: Option<Link>,
    _turn: SemaphorePermit<'p>,
}

impl Lease<'_> {
    fn give_back(mut self) {
        if let Some(link) = self.link.take() {
            self.pool.put(link);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            link.driver.abort();
        }
    }
}

pub(super) fn unavailable(why: impl Into<String>) -> StoreError {
    StoreError::Unavailable(why.into())
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
