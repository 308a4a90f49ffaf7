//! What an attacker and an operator can do beside the requests.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jotgate::app::App;
use jotgate::config::Config;
use jotgate::edge::{Edge, Source as _};
use jotgate::http::Connection;
use jotgate::seal::{Sealer, open_master_key};
use jotgate_domain::account::{self, By, Edited};
use jotgate_domain::audit::{Action, Actor};
use jotgate_domain::key;
use jotgate_domain::name::{Email, RoleName, Username};
use jotgate_domain::store::{AuditQuery, Lookup};
use jotgate_domain::{Change, User};
use jotgate_jose::SigningKey;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Answer, Ask, PASSWORD, Site};

/// The record of a user who exists.
pub(crate) async fn record(site: &Site, name: &str) -> User {
    let name = Username::parse(name).unwrap().canonical();
    site.server.app().store.user(Lookup::Name(name)).await.unwrap().unwrap()
}

pub(crate) fn by_operator(site: &Site) -> By {
    By { actor: Actor::Operator, at: site.server.app().now(), address: String::new() }
}

/// Writes what an operator's program would write.
pub(crate) async fn write(site: &Site, edited: Edited) {
    site.server.app().store.apply(edited.changes, edited.expect).await.unwrap();
}

pub(crate) async fn disable(site: &Site, name: &str) {
    let edited = account::disable(&record(site, name).await, &by_operator(site));
    write(site, edited).await;
}

pub(crate) async fn delete(site: &Site, name: &str) {
    let (changes, expect) = account::delete(&record(site, name).await, &by_operator(site));
    site.server.app().store.apply(changes, expect).await.unwrap();
}

/// Changes the row as no use case would.
pub(crate) async fn rewrite(site: &Site, name: &str, change: impl FnOnce(&mut User)) {
    let mut user = record(site, name).await;
    change(&mut user);
    user.version += 1;
    site.server.app().store.apply(vec![Change::UpdateUser(user)], vec![]).await.unwrap();
}

pub(crate) async fn prove_email(site: &Site, name: &str, email: &str) {
    let at = site.server.app().now();
    rewrite(site, name, |user| {
        user.email = Some(Email::parse(email).unwrap());
        user.email_verified_at = Some(at);
    })
    .await;
}

pub(crate) async fn grant_roles(site: &Site, name: &str, roles: impl IntoIterator<Item = &str>) {
    let roles: Vec<RoleName> = roles.into_iter().map(|role| RoleName::parse(role).unwrap()).collect();
    rewrite(site, name, |user| user.roles.extend(roles)).await;
}

/// Another process at the same database, such as the command line.
pub(crate) async fn beside(site: &Site) -> App {
    App::open(site.config.clone(), site.origin.clone(), Edge::new(site.clock.clone())).await.unwrap()
}

/// An installation with keys of its own: what is drawn from the same seed would be the same.
pub(crate) async fn another_installation() -> Site {
    let site = Site::new().await;
    let Site { config, origin, clock, .. } = site;
    let mut drawn = [0; 64];
    clock.fill(&mut drawn).unwrap();
    let dir = Arc::new(TempDir::new().unwrap());
    let config = Config { data_dir: dir.path().to_owned(), ..config };
    let app = App::open(config.clone(), origin.clone(), Edge::new(clock.clone())).await.unwrap();
    Site::over(app, dir, config, origin, clock)
}

/// How often something was written to the audit trail.
pub(crate) async fn audited(site: &Site, action: Action) -> usize {
    let query = AuditQuery { action: Some(action), limit: 10_000, ..AuditQuery::default() };
    site.server.app().store.audit(query).await.unwrap().len()
}

/// The key that signs now, as whoever has database and master key has it.
pub(crate) async fn signing_key(site: &Site) -> SigningKey {
    let app = site.server.app();
    let edge = Edge::new(site.clock.clone());
    let master = open_master_key(&site.config.master_key, &site.config.data_dir, false, &edge).unwrap();
    let rows = app.store.keys().await.unwrap();
    let row = key::signing_key(&rows, site.config.token.algorithm.name(), app.now()).unwrap();
    let jwk = Sealer::new(&master).unwrap().open(&row.kid, &row.sealed).unwrap();
    SigningKey::from_jwk(std::str::from_utf8(&jwk).unwrap()).unwrap()
}

/// Statuses of an access token wherever one is accepted, by header and by cookie.
pub(crate) async fn everywhere(site: &Site, access: &str) -> Vec<(String, u16, String)> {
    let cookie = format!("{}={access}", site.server.site().cookies.access_name());
    let mut seen = Vec::new();
    for path in ["/auth/me", "/auth/verify"] {
        for by_cookie in [false, true] {
            let ask = site.get(path);
            let ask = if by_cookie { ask.header("cookie", &cookie) } else { ask.bearer(access) };
            let answer = ask.send().await;
            let code = if answer.status == 200 { String::new() } else { answer.code() };
            seen.push((format!("{path} by cookie: {by_cookie}"), answer.status, code));
        }
    }
    seen
}

/// Nobody accepts this token, and each says why.
pub(crate) async fn refused_everywhere(site: &Site, access: &str, code: &str) {
    for (where_, status, said) in everywhere(site, access).await {
        assert_eq!((status, said.as_str()), (401, code), "{where_}");
    }
}

pub(crate) async fn accepted_everywhere(site: &Site, access: &str) {
    for (where_, status, said) in everywhere(site, access).await {
        assert_eq!(status, 200, "{where_}: {said}");
    }
}

/// What another process revoked is refused here within the promised second.
pub(crate) async fn soon_refused_everywhere(site: &Site, access: &str, code: &str) {
    for _ in 0..100 {
        if everywhere(site, access).await.iter().all(|(_, status, said)| *status == 401 && said == code) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still not {code}: {:?}", everywhere(site, access).await);
}

pub(crate) trait SentFrom {
    /// Sent from this address.
    fn sent_from(self, address: &str) -> Self;
}

impl SentFrom for Ask<'_> {
    fn sent_from(self, address: &str) -> Self {
        let ip: IpAddr = address.parse().unwrap();
        self.extension(Connection { peer: (ip, 40_000).into(), flaw: None })
    }
}

pub(crate) fn credentials(username: &str, password: &str) -> Value {
    json!({"username": username, "password": password})
}

pub(crate) async fn try_login(site: &Site, username: &str, password: &str) -> Answer {
    site.post("/auth/login", &credentials(username, password)).send().await
}

pub(crate) async fn cookie_login(site: &Site, username: &str) -> Answer {
    let body = json!({"username": username, "password": PASSWORD, "delivery": "cookie"});
    let answer = site.post("/auth/login", &body).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// The value of the cookie that was set under this name, prefix and all.
pub(crate) fn cookie_value(answer: &Answer, name: &str) -> String {
    let header = answer.cookie_header();
    let pair = header.split("; ").find(|pair| pair.split('=').next() == Some(name));
    pair.unwrap_or_else(|| panic!("no {name} in {header}")).split_once('=').unwrap().1.to_owned()
}

/// Everything but what differs from one answer to the next anyway.
pub(crate) fn shape(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<(String, String)> = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "x-request-id")
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    (answer.status, headers, answer.text())
}
