//! Attack 52 by the clock: whoever it is, a refusal costs one hash. A binary of its own, so that no other test of this
//! crate runs beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use jotgate_domain::Change;
use jotgate_domain::name::{Email, Username};
use jotgate_domain::store::Lookup;
use serde_json::json;
use support::{PASSWORD, Site};

/// Odd, so that the median is one of them.
const ROUNDS: usize = 15;
/// A hash that is left out is a ratio far below this, one too many is 2.
const BOUNDS: std::ops::RangeInclusive<f64> = 0.6..=1.67;

struct Times(Vec<Duration>);

impl Times {
    fn sorted(&self) -> Vec<Duration> {
        let mut times = self.0.clone();
        times.sort();
        times
    }

    fn median(&self) -> f64 {
        self.sorted()[self.0.len() / 2].as_secs_f64()
    }

    fn least(&self) -> f64 {
        self.sorted()[0].as_secs_f64()
    }
}

async fn rewrite(site: &Site, name: &str, change: impl FnOnce(&mut jotgate_domain::User)) {
    let store = &site.server.app().store;
    let name = Username::parse(name).unwrap().canonical();
    let mut user = store.user(Lookup::Name(name)).await.unwrap().unwrap();
    change(&mut user);
    user.version += 1;
    store.apply(vec![Change::UpdateUser(user)], vec![]).await.unwrap();
}

#[tokio::test]
async fn a52_whoever_it_is_a_refusal_takes_as_long() {
    let site = Site::with(support::http_origin(), |config| {
        config.password = jotgate::config::PasswordHash::default()
    })
    .await;
    for name in ["ada", "disabled", "unproven", "passwordless"] {
        assert_eq!(site.register(name).await.status, 201);
    }
    let now = site.server.app().now();
    let email = |text: &str| Some(Email::parse(text).unwrap());
    rewrite(&site, "ada", |user| {
        (user.email, user.email_verified_at) = (email("ada@example.com"), Some(now))
    })
    .await;
    rewrite(&site, "disabled", |user| user.disabled_at = Some(now)).await;
    rewrite(&site, "unproven", |user| user.email = email("unproven@example.com")).await;
    rewrite(&site, "passwordless", |user| user.password_hash = None).await;

    let wrong = "a wrong password".to_owned();
    let kinds = [
        ("ada", wrong.clone(), 401),
        ("nobody", wrong.clone(), 401),
        ("disabled", PASSWORD.to_owned(), 401),
        ("passwordless", PASSWORD.to_owned(), 401),
        ("ada@example.com", wrong.clone(), 401),
        ("nobody@example.com", wrong.clone(), 401),
        ("unproven@example.com", PASSWORD.to_owned(), 401),
        // Refused before any hash: what a left out one would look like.
        ("ada", "x".repeat(300), 400),
    ];
    let mut times: Vec<Times> = kinds.iter().map(|_| Times(Vec::new())).collect();
    for round in 0..=ROUNDS {
        // So that no throttle has a say.
        site.clock.pass(Duration::from_secs(3_600));
        for at in 0..kinds.len() {
            // Each kind comes after each other one.
            let at = (at * 3 + round) % kinds.len();
            let (name, password, status) = &kinds[at];
            let body = json!({"username": name, "password": password});
            let began = Instant::now();
            let answer = site.post("/auth/login", &body).send().await;
            let took = began.elapsed();
            assert_eq!(answer.status, *status, "{name}: {}", answer.text());
            // The first round warms up.
            if round > 0 {
                times[at].0.push(took);
            }
        }
    }
    let unhashed = times.pop().unwrap();
    let known = &times[0];
    assert!(
        unhashed.median() * 3.0 < known.median(),
        "a hash takes {:?} and none {:?}: nothing could be told apart",
        known.sorted(),
        unhashed.sorted()
    );
    for ((name, ..), kind) in kinds.iter().zip(&times) {
        let (medians, minima) = (kind.median() / known.median(), kind.least() / known.least());
        // Noise moves one of the two; a hash more or less moves both.
        assert!(
            BOUNDS.contains(&medians) || BOUNDS.contains(&minima),
            "{name}: {medians:.2} of the median and {minima:.2} of the least of a wrong password, {:?}",
            kind.sorted()
        );
    }
}
