//! What an operation asks of the database, on one, two and three nodes, with few users and with many.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use testing::postgres::{Cluster, Database};
use testing::proxy::Proxy;

use super::{LIGHT_HASH, ROTATING, answered, postgres};
use crate::Settings;
use crate::clients::{Ask, Login, Logout, Refresh, Register};
use crate::fill::{self, Amount, Filled};
use crate::load::{Client, Tally, closed};
use crate::program::{Outcome, Program, cpu_seconds_of};
use crate::report::{Bar, Figures, Part, Row, shown};

const OPERATIONS: [&str; 6] = ["verify", "me", "login", "refresh", "logout", "register"];
/// What is counted of each.
const KINDS: [&str; 5] =
    ["statements", "round trips", "µs of the node", "µs of PostgreSQL", "bytes of write-ahead log"];
/// Clients of a node.
const EACH: usize = 8;

pub(crate) fn measure(settings: &Settings) -> Outcome<Part> {
    crate::runtime()?.block_on(run(settings))
}

/// What was spent so far.
#[derive(Clone, Copy)]
struct Spent([f64; KINDS.len()]);

/// Some nodes over one database, and a proxy between that counts.
struct Nodes<'d> {
    nodes: Vec<Program>,
    proxy: &'d Proxy,
    database: &'d Database,
    cluster: &'static Cluster,
}

impl Nodes<'_> {
    fn spent(&self) -> Outcome<Spent> {
        let sql = format!(
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid \
             WHERE d.datname = '{}' AND s.userid = '{}'::regrole",
            self.database.name,
            testing::postgres::USER
        );
        let statements: f64 = self.cluster.sql("postgres", &sql).parse()?;
        let mut nodes = 0.0;
        for node in &self.nodes {
            nodes += node.cpu_seconds()?;
        }
        let trips = f64::from(u32::try_from(self.proxy.trips())?);
        let log = self.cluster.sql("postgres", "SELECT pg_current_wal_insert_lsn() - '0/0'").parse()?;
        Ok(Spent([statements, trips, nodes * 1e6, postgres_seconds(self.cluster)? * 1e6, log]))
    }
}

/// Processor time of the server and of all that it started, those that ended included.
fn postgres_seconds(cluster: &Cluster) -> Outcome<f64> {
    let file = std::fs::read_to_string(cluster.folder().join("data/postmaster.pid"))?;
    let main: u32 = file.lines().next().ok_or("no process id")?.trim().parse()?;
    Ok(cpu_seconds_of(main)?.with_children)
}

async fn run(settings: &Settings) -> Outcome<Part> {
    let (cluster, database) = postgres(&[
        "max_connections=150",
        "shared_buffers=256MB",
        "shared_preload_libraries=pg_stat_statements",
    ])
    .await?;
    cluster.sql("postgres", "CREATE EXTENSION pg_stat_statements");
    let more = cluster.database();
    let [few, many] = if settings.quick { [1000, 10_000] } else { [20_000, 500_000] };
    let time = settings.round;

    let mut columns = Vec::new();
    for (database, users) in [(&database, few), (&more, many)] {
        let proxy = Proxy::to(cluster.port());
        let url = format!("{}?pool_size=8", database.url_at(proxy.port()));
        let here = ("JOTGATE_PUBLIC_URL", "http://127.0.0.1:8080");
        let environment = [ROTATING, LIGHT_HASH, here, ("JOTGATE_DATABASE_URL", url.as_str())];
        let amount = Amount { users, sessions: users, revocations: 0 };
        let (first, filled) = fill::postgres(&settings.binary, &environment, database, amount).await?;
        // The nodes share one master key.
        let key = first.folder().ok_or("no folder")?.join("jotgate-data/master.key");
        let key: PathBuf = std::path::absolute(key)?;
        let key = key.to_str().ok_or("a path that is no text")?.to_owned();
        let mut environment = environment.to_vec();
        environment.push(("JOTGATE_MASTER_KEY_FILE", &key));
        let mut nodes = Nodes { nodes: vec![first], proxy: &proxy, database, cluster };
        let mut taken = 0;
        let counts = if users == few { 1..=3 } else { 1..=1 };
        for count in counts {
            while nodes.nodes.len() < count {
                nodes.nodes.push(Program::jotgate(&settings.binary, &environment)?);
            }
            let per = per_operation(&nodes, &filled, &mut taken, users, time).await?;
            let nodes = if count == 1 { "node" } else { "nodes" };
            columns.push((format!("{count} {nodes}, {} users", shown(users.into())), per));
        }
    }
    cluster.stop();

    let (mut rows, mut figures) = (Vec::new(), Vec::new());
    for (at, operation) in OPERATIONS.into_iter().enumerate() {
        for (kind, name) in KINDS.into_iter().enumerate() {
            let values: Vec<f64> = columns
                .iter()
                .filter_map(|(_, per)| per.get(at).and_then(|of| of.0.get(kind)).copied())
                .collect();
            let [one, two, three, crowded] = values[..] else { return Err("four columns".into()) };
            figures.extend(
                columns.iter().zip(&values).map(|((what, _), value)| {
                    Figures::one(&format!("{operation}, {what}"), unit(kind), *value)
                }),
            );
            // Of what is nothing anywhere, there is no ratio.
            if one < 0.05 && three < 0.05 {
                continue;
            }
            let note =
                format!("{one:.2}, {two:.2}, {three:.2} on 1, 2, 3 nodes; {crowded:.2} with many users");
            let bar = (kind < 2).then_some(Bar::AtMost(1.1));
            rows.push(Row::figure(
                &format!("{operation}: {name}, three nodes against one"),
                three / one,
                "×",
                bar,
                &note,
            ));
            rows.push(Row::figure(
                &format!("{operation}: {name}, many users against few"),
                crowded / one,
                "×",
                bar,
                "",
            ));
        }
    }
    let about = format!(
        "One, two and three nodes on one PostgreSQL with {few} users, then one with {many}; {EACH} clients a node. \
         Statements are those that PostgreSQL counts (`pg_stat_statements`), `BEGIN` and `COMMIT` among them; a round \
         trip is a message to the database after one from it. What the nodes ask when nobody asks them anything \
         ({}) is taken off.",
        columns
            .iter()
            .map(|(what, per)| format!("{:.1} statements a second on {what}", per.idle))
            .collect::<Vec<_>>()
            .join(", "),
        few = shown(few.into()),
        many = shown(many.into()),
    );
    Ok(Part { name: "scale", title: "Scale", about, rows, figures })
}

fn unit(kind: usize) -> &'static str {
    KINDS.get(kind).copied().unwrap_or_default()
}

/// Of each operation, what one of it costs; and statements a second of nodes that are asked nothing.
struct Per {
    each: Vec<Spent>,
    idle: f64,
}

impl Per {
    fn get(&self, at: usize) -> Option<&Spent> {
        self.each.get(at)
    }
}

async fn per_operation(
    nodes: &Nodes<'_>,
    filled: &Filled,
    taken: &mut u32,
    users: u32,
    time: Duration,
) -> Outcome<Per> {
    // Just started, they still do what they do once.
    tokio::time::sleep(time.max(Duration::from_millis(1500))).await;
    let (before, began) = (nodes.spent()?, Instant::now());
    tokio::time::sleep(time.max(Duration::from_secs(2))).await;
    let (after, elapsed) = (nodes.spent()?, began.elapsed().as_secs_f64());
    let mut idle = after.0;
    idle.iter_mut().zip(before.0).for_each(|(after, before)| *after = (*after - before) / elapsed);

    let count = u32::try_from(nodes.nodes.len())?;
    // A session is refreshed over and over, and then ended.
    let each = (users / 16).min(2000);
    let mut clients: Vec<Vec<Refresh>> = Vec::new();
    for _ in 0..count {
        let sessions: Vec<_> = (*taken..*taken + each).map(|place| filled.session(place)).collect();
        *taken += each;
        clients.push(Refresh::shared(&sessions, EACH));
    }
    let (refresh, clients) = spend(nodes, idle, clients, time, 200).await?;
    let tokens: Vec<Arc<[String]>> =
        clients.iter().map(|some| some.iter().flat_map(Refresh::access_tokens).cloned().collect()).collect();
    let ask = |path| tokens.iter().map(|tokens| Ask::in_turn(path, tokens, EACH)).collect();
    let (verify, _) = spend(nodes, idle, ask("/auth/verify"), time, 200).await?;
    let (me, _) = spend(nodes, idle, ask("/auth/me"), time, 200).await?;
    let client = |node: u32, client: usize| {
        Login::spread(node * 1_299_709 + u32::try_from(client).unwrap_or(0) * 104_729, users)
    };
    let logins = (0..count).map(|node| (0..EACH).map(|number| client(node, number)).collect());
    let (login, _) = spend(nodes, idle, logins.collect(), time, 200).await?;
    let ending = clients.iter().map(|some| Logout::of(some)).collect();
    let (logout, _) = spend(nodes, idle, ending, time, 204).await?;
    let registering = (0..count)
        .map(|node| (0..EACH).map(|client| Register::new(format!("new-{count}-{node}-{client}"))).collect());
    let (register, _) = spend(nodes, idle, registering.collect(), time, 201).await?;
    let [idle, ..] = idle;
    Ok(Per { each: vec![verify, me, login, refresh, logout, register], idle })
}

/// What one answer costs, with clients on every node at once.
async fn spend<C: Client>(
    nodes: &Nodes<'_>,
    idle: [f64; KINDS.len()],
    clients: Vec<Vec<C>>,
    time: Duration,
    status: u16,
) -> Outcome<(Spent, Vec<Vec<C>>)> {
    let (before, began) = (nodes.spent()?, Instant::now());
    let loads: Vec<_> = nodes
        .nodes
        .iter()
        .zip(clients)
        .map(|(node, clients)| tokio::spawn(closed(node.address, clients, time)))
        .collect();
    let (mut tallies, mut back): (Vec<Tally>, Vec<Vec<C>>) = (Vec::new(), Vec::new());
    for load in loads {
        let (tally, clients) = load.await??;
        tallies.push(tally);
        back.push(clients);
    }
    // What the nodes hear of it belongs to it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (mut spent, elapsed) = (nodes.spent()?, began.elapsed().as_secs_f64());
    let mut answers = 0.0;
    for tally in &tallies {
        answered("an operation", tally, status)?;
        answers += tally.count(status);
    }
    for ((spent, before), idle) in spent.0.iter_mut().zip(before.0).zip(idle) {
        *spent = ((*spent - before - idle * elapsed) / answers).max(0.0);
    }
    Ok((spent, back))
}
