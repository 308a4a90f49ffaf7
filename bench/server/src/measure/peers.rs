//! Jotgate and other servers of the field, by the same load in the same run.

use super::{CLIENTS, ROTATING};
use crate::Settings;
use crate::clients::{Ask, Login, Refresh, log_in, register};
use crate::load::{Client, closed};
use crate::peers::{InTurn, PEERS, Peer, Rotating, Running, USERS};
use crate::program::{Outcome, Program};
use crate::report::{Bar, Figures, Part, Row};

/// Clients that log in at once: all else is the queue before the hashes.
const LOGGING_IN: usize = 8;

pub(crate) fn measure(settings: &Settings) -> Outcome<Part> {
    crate::runtime()?.block_on(run(settings))
}

/// One that runs, and what came of it.
struct Subject {
    peer: &'static Peer,
    running: Running,
    refreshing: Vec<Rotating>,
    idle_mib: f64,
    me: Figures,
    login: Figures,
    refresh: Figures,
    /// Answers that were not 200.
    failed: f64,
}

async fn run(settings: &Settings) -> Outcome<Part> {
    static ALL: [Peer; PEERS.len()] = PEERS;
    let (mut subjects, mut rows) = (Vec::new(), Vec::new());
    for peer in &ALL {
        let with = settings.clone();
        match tokio::task::spawn_blocking(move || peer.start(&with)).await? {
            Ok(running) => subjects.push(Subject::new(peer, running)?),
            Err(why) => rows.push(Row::left_out(peer.name, &why.to_string())),
        }
    }
    let jotgate = Program::jotgate(&settings.binary, &[ROTATING])?;
    let users = u32::try_from(USERS)?;
    register(jotgate.address, users).await?;
    let idle_mib = jotgate.resident_mib()?;
    let sessions = log_in(jotgate.address, 0..users, USERS).await?;
    let tokens = sessions.iter().map(|pair| pair.access.clone()).collect();
    let mut refreshing = Refresh::shared(&sessions, CLIENTS);
    let [mut verify, mut me, mut login, mut refresh] = ["/auth/verify", "/auth/me", "login", "refresh"]
        .map(|what| Figures::new(&format!("Jotgate {what}"), "1/s"));
    let rounds = settings.rounds.min(5);
    for _ in 0..rounds {
        let (address, time) = (jotgate.address, settings.round);
        verify.add(rate(address, Ask::in_turn("/auth/verify", &tokens, CLIENTS), time).await?.0);
        me.add(rate(address, Ask::in_turn("/auth/me", &tokens, CLIENTS), time).await?.0);
        let (per_second, clients) = rate(address, refreshing, time).await?;
        refresh.add(per_second);
        refreshing = clients;
        for subject in &mut subjects {
            subject.round(time).await?;
        }
        let clients = (0..u32::try_from(LOGGING_IN)?).map(Login::new).collect();
        login.add(rate(address, clients, time).await?.0);
        for subject in &mut subjects {
            subject.login(time).await?;
        }
    }
    for subject in &subjects {
        let name = &subject.running.name;
        if subject.peer.login.is_some() {
            rows.push(Row::ratio(&format!("login, against {name}"), &login, &subject.login, None));
        }
        let ours = if subject.peer.name == "golang-jwt" { &verify } else { &me };
        rows.push(Row::ratio(&format!("who is it, against {name}"), ours, &subject.me, None));
        if subject.peer.refresh.is_some() {
            let bar = (subject.peer.name == "oidc-provider").then_some(Bar::AtLeast(8.0));
            rows.push(Row::ratio(&format!("refresh, against {name}"), &refresh, &subject.refresh, bar));
        }
    }
    rows.push(memory("Jotgate", idle_mib, jotgate.resident_mib()?));
    for subject in &subjects {
        rows.push(memory(&subject.running.name, subject.idle_mib, subject.running.program.resident_mib()?));
        if subject.failed > 0.0 {
            let what = format!("{}: answers that were no success", subject.running.name);
            rows.push(Row::figure(&what, subject.failed, "", None, "counted in no rate"));
        }
    }
    let mut figures = vec![login, refresh, me, verify];
    figures.extend(subjects.iter().filter(|s| s.peer.login.is_some()).map(|s| s.login.clone()));
    figures.extend(subjects.iter().filter(|s| s.peer.refresh.is_some()).map(|s| s.refresh.clone()));
    figures.extend(subjects.iter().map(|subject| subject.me.clone()));
    let peers: Vec<_> = subjects.iter().map(|s| format!("{}: {}", s.running.name, s.peer.about)).collect();
    let about = format!(
        "{CLIENTS} connections ({LOGGING_IN} that log in), {USERS} users with a session each, {rounds} rounds in turns. \
         Jotgate on SQLite with the hashes of a new installation. {}.",
        peers.join(". ")
    );
    Ok(Part { name: "peers", title: "Peers", about, rows, figures })
}

impl Subject {
    fn new(peer: &'static Peer, running: Running) -> Outcome<Self> {
        let figures = |what: &str| Figures::new(&format!("{} {what}", running.name), "1/s");
        let refreshing = peer
            .refresh
            .into_iter()
            .flat_map(|how| running.refresh.iter().take(CLIENTS).map(move |token| Rotating::new(token, how)));
        Ok(Self {
            peer,
            refreshing: refreshing.collect(),
            idle_mib: running.program.resident_mib()?,
            me: figures("who is it"),
            login: figures("login"),
            refresh: figures("refresh"),
            failed: 0.0,
            running,
        })
    }

    async fn round(&mut self, time: std::time::Duration) -> Outcome<()> {
        let address = self.running.program.address;
        let requests = self.running.me.iter().map(|token| (self.peer.me)(token));
        let (tally, _) = closed(address, InTurn::clients(requests, CLIENTS), time).await?;
        self.me.add(tally.rate(200));
        self.failed += tally.failures();
        if self.peer.refresh.is_some() {
            let clients = std::mem::take(&mut self.refreshing);
            let (tally, clients) = closed(address, clients, time).await?;
            // A peer may forget the tokens that it gave before these: oidc-provider's memory keeps a thousand.
            let newest: Vec<_> = clients.iter().filter_map(|client| client.access.clone()).collect();
            if !newest.is_empty() {
                self.running.me = newest;
            }
            self.refreshing = clients;
            self.refresh.add(tally.rate(200));
            self.failed += tally.failures();
        }
        Ok(())
    }

    async fn login(&mut self, time: std::time::Duration) -> Outcome<()> {
        let Some(login) = self.peer.login else { return Ok(()) };
        let clients = InTurn::clients((0..USERS).map(login), LOGGING_IN);
        let (tally, _) = closed(self.running.program.address, clients, time).await?;
        self.login.add(tally.rate(200));
        self.failed += tally.failures();
        Ok(())
    }
}

/// Of Jotgate nothing may fail.
async fn rate<C: Client>(
    address: std::net::SocketAddr,
    clients: Vec<C>,
    time: std::time::Duration,
) -> Outcome<(f64, Vec<C>)> {
    let (tally, clients) = closed(address, clients, time).await?;
    Ok((super::answered("Jotgate", &tally, 200)?, clients))
}

fn memory(name: &str, idle: f64, after: f64) -> Row {
    let note = format!("{} before", crate::report::shown(idle));
    Row::figure(&format!("memory of {name} after the load"), after, "MiB", None, &note)
}
