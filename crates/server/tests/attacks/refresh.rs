//! Rotation: lost answers, thieves, restarts and clocks.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use jotgate_domain::audit::Action;
use serde_json::json;

use crate::support::{Answer, Site, Tokens, claims, http_origin};
use crate::tools::*;

/// Past the grace.
const LATER: Duration = Duration::from_secs(11);

async fn rotate(site: &Site, token: &str) -> Tokens {
    site.clock.pass(LATER);
    let answer = site.refresh(token).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.tokens()
}

fn said(answer: &Answer) -> (u16, String) {
    (answer.status, if answer.status == 200 { String::new() } else { answer.code() })
}

fn reused() -> (u16, String) {
    (401, "refresh_token_reused".to_owned())
}

fn invalid() -> (u16, String) {
    (401, "invalid_refresh_token".to_owned())
}

#[tokio::test]
async fn a93_reuse_is_told_once_audited_once_and_ends_that_session_only() {
    let site = Site::new().await;
    let first = site.signed_in("ada").await;
    let other = site.login("ada").await.tokens();
    let second = rotate(&site, &first.refresh).await;
    let third = rotate(&site, &second.refresh).await;
    site.clock.pass(LATER);
    assert_eq!(said(&site.refresh(&first.refresh).await), reused());
    for token in [&first, &second, &third] {
        assert_eq!(said(&site.refresh(&token.refresh).await), invalid());
        refused_everywhere(&site, &token.access, "revoked").await;
        assert_eq!(site.get("/auth/sessions").bearer(&token.access).send().await.status, 401);
        let logout = site.post("/auth/logout", &json!({"refresh_token": token.refresh})).send().await;
        assert_eq!(said(&logout), invalid());
    }
    assert_eq!(audited(&site, Action::RefreshReused).await, 1);
    accepted_everywhere(&site, &other.access).await;
    assert_eq!(site.refresh(&other.refresh).await.status, 200);
    let site = site.restart(|_| {}).await;
    refused_everywhere(&site, &third.access, "revoked").await;
    assert_eq!(said(&site.refresh(&third.refresh).await), invalid());
}

#[tokio::test]
async fn a93_of_fifty_thieves_at_once_one_raises_the_alarm() {
    let site = Site::new().await;
    let first = site.signed_in("ada").await;
    let second = rotate(&site, &first.refresh).await;
    let third = rotate(&site, &second.refresh).await;
    site.clock.pass(LATER);
    // The spent one, the spent one after it, and the good one, all at once.
    let tokens = [&first.refresh, &second.refresh, &third.refresh];
    let answers = join_all((0..60).map(|n| site.refresh(tokens[n % 3]))).await;
    let alarms = answers.iter().filter(|answer| said(answer) == reused()).count();
    assert_eq!(alarms, 1);
    assert_eq!(audited(&site, Action::RefreshReused).await, 1);
    for answer in answers.iter().filter(|answer| answer.status == 200) {
        refused_everywhere(&site, &answer.tokens().access, "revoked").await;
        assert_eq!(said(&site.refresh(&answer.tokens().refresh).await), invalid());
    }
}

#[tokio::test]
async fn a94_fifty_at_once_get_one_successor_and_all_their_tokens_end_together() {
    let site = Site::new().await;
    let first = site.signed_in("ada").await;
    site.clock.pass(LATER);
    let answers = join_all((0..50).map(|_| site.refresh(&first.refresh))).await;
    let tokens: Vec<Tokens> = answers.iter().map(Answer::tokens).collect();
    assert_eq!(tokens.iter().map(|t| t.refresh.clone()).collect::<HashSet<_>>().len(), 1);
    let ids: HashSet<String> = tokens.iter().map(|t| claims(&t.access)["jti"].to_string()).collect();
    assert_eq!(ids.len(), 50, "no two tokens with one id");
    assert_eq!(
        site.ask(http::Method::POST, "/auth/logout").bearer(&tokens[7].access).send().await.status,
        204
    );
    for token in &tokens {
        refused_everywhere(&site, &token.access, "revoked").await;
    }
}

#[tokio::test]
async fn a96_two_generations_old_ends_the_session_however_recent() {
    let site = Site::with(http_origin(), |config| config.policy.grace = Duration::from_secs(60)).await;
    let first = site.signed_in("ada").await;
    let second = site.refresh(&first.refresh).await.tokens();
    site.clock.pass(Duration::from_secs(61));
    let third = site.refresh(&second.refresh).await.tokens();
    // Inside the grace of the second rotation: the second is a racing tab, the first a thief.
    assert_eq!(site.refresh(&second.refresh).await.tokens().refresh, third.refresh);
    assert_eq!(said(&site.refresh(&first.refresh).await), reused());
    assert_eq!(said(&site.refresh(&third.refresh).await), invalid());
}

#[tokio::test]
async fn a97_of_a_thief_and_a_victim_the_first_to_use_their_sibling_wins_and_the_other_ends_it() {
    for thief_first in [true, false] {
        let site = Site::new().await;
        let shared = site.signed_in("ada").await;
        let thief = rotate(&site, &shared.refresh).await;
        site.clock.pass(LATER);
        // The victim's answer would have been lost: it gets a sibling, and the trail an entry.
        let victim = site.refresh(&shared.refresh).await.tokens();
        assert_ne!(victim.refresh, thief.refresh);
        assert_eq!(audited(&site, Action::RefreshSibling).await, 1);
        let (winner, loser) = if thief_first { (&thief, &victim) } else { (&victim, &thief) };
        let next = rotate(&site, &winner.refresh).await;
        site.clock.pass(LATER);
        assert_eq!(said(&site.refresh(&loser.refresh).await), reused());
        assert_eq!(said(&site.refresh(&next.refresh).await), invalid());
        for token in [&shared, &thief, &victim, &next] {
            refused_everywhere(&site, &token.access, "revoked").await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_again_and_again_signs_nobody_out() {
    let site = Site::new().await;
    let held = site.signed_in("ada").await;
    let mut minted = HashSet::new();
    for _ in 0..40 {
        site.clock.pass(LATER);
        minted.insert(site.refresh(&held.refresh).await.tokens().refresh);
    }
    assert_eq!(minted.len(), 40);
    let kept = minted.iter().next().unwrap();
    rotate(&site, kept).await;
}

#[tokio::test]
async fn a_restart_between_any_two_steps_changes_nothing() {
    let mut site = Site::new().await;
    let mut held = site.signed_in("ada").await;
    let mut spent = Vec::new();
    for round in 0..4 {
        site = site.restart(|_| {}).await;
        site.clock.pass(if round % 2 == 0 { LATER } else { Duration::from_secs(3) });
        let next = site.refresh(&held.refresh).await.tokens();
        site = site.restart(|_| {}).await;
        let same = site.refresh(&held.refresh).await.tokens();
        assert_eq!(next.refresh, same.refresh, "round {round}: inside the grace, after a restart");
        for token in [&held, &next, &same] {
            accepted_everywhere(&site, &token.access).await;
        }
        if next.refresh != held.refresh {
            spent.push(held.refresh.clone());
        }
        held = next;
    }
    site.clock.pass(LATER);
    assert!(spent.len() >= 2);
    assert_eq!(said(&site.refresh(&spent[0]).await), reused());
    site = site.restart(|_| {}).await;
    assert_eq!(said(&site.refresh(&held.refresh).await), invalid());
    refused_everywhere(&site, &held.access, "revoked").await;
}

#[tokio::test]
async fn a_clock_that_goes_back_and_forth_signs_nobody_out_and_revives_nothing() {
    let site = Site::new().await;
    let mut held = site.signed_in("ada").await;
    let ended = site.login("ada").await.tokens();
    assert_eq!(site.ask(http::Method::POST, "/auth/logout").bearer(&ended.access).send().await.status, 204);
    for (back, seconds) in
        [(true, 3_600), (false, 3_620), (true, 86_400), (true, 60), (false, 90_000), (true, 10), (false, 600)]
    {
        let step = Duration::from_secs(seconds);
        if back {
            site.clock.go_back(step)
        } else {
            site.clock.pass(step)
        }
        let answer = site.refresh(&held.refresh).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        held = answer.tokens();
        accepted_everywhere(&site, &held.access).await;
        let old = everywhere(&site, &ended.access).await;
        assert!(old.iter().all(|(_, status, _)| *status == 401), "{old:?}");
        assert_eq!(said(&site.refresh(&ended.refresh).await), invalid());
    }
}

#[tokio::test]
async fn a102_a104_what_is_no_refresh_token_of_ours_is_refused_without_a_trace() {
    let site = Site::new().await;
    let tokens = site.signed_in("ada").await;
    let elsewhere = another_installation().await;
    let foreign = elsewhere.signed_in("ada").await;
    let (head, tail) = tokens.refresh.split_at(30);
    for token in [
        foreign.refresh.clone(),
        tokens.access.clone(),
        tokens.session.clone(),
        String::new(),
        "jgr_".to_owned(),
        tokens.refresh.to_uppercase(),
        format!(" {}", tokens.refresh),
        format!("{}\n", tokens.refresh),
        format!("{}=", tokens.refresh),
        format!("{head}{}", tail.chars().rev().collect::<String>()),
        format!("{}{}", &tokens.refresh[..54 - 22], &foreign.refresh[54 - 22..]),
        format!("{}\u{0}", tokens.refresh),
        "jgr_".repeat(2_000),
        "é".repeat(27),
    ] {
        assert_eq!(said(&site.refresh(&token).await), invalid(), "{token:.70}");
        let logout = site.post("/auth/logout", &json!({"refresh_token": token})).send().await;
        assert_eq!(said(&logout), invalid(), "{token:.70}");
    }
    assert_eq!(audited(&site, Action::RefreshReused).await, 0);
    site.clock.pass(LATER);
    assert_eq!(site.refresh(&tokens.refresh).await.status, 200);
}

#[tokio::test]
async fn a105_no_access_token_outlives_its_session() {
    let site = Site::with(http_origin(), |config| {
        config.policy.idle_ttl = Duration::from_secs(120);
        config.policy.max_ttl = Duration::from_secs(500);
    })
    .await;
    let tokens = site.signed_in("ada").await;
    let answer = site.login("ada").await;
    assert!(answer.json()["expires_in"].as_u64().unwrap() <= 120, "idle for longer, the session is over");
    site.clock.pass(Duration::from_secs(121));
    assert_eq!(said(&site.refresh(&tokens.refresh).await), invalid());
    for (where_, status, _) in everywhere(&site, &tokens.access).await {
        assert_eq!(status, 401, "{where_}");
    }
}

#[tokio::test]
async fn a108_the_database_holds_nothing_that_can_be_used() {
    let site = Site::new().await;
    let mut secrets = vec![crate::support::PASSWORD.to_owned()];
    let mut held = site.signed_in("ada").await;
    for _ in 0..3 {
        secrets.extend([held.access.clone(), held.refresh.clone()]);
        held = rotate(&site, &held.refresh).await;
    }
    let cookies = cookie_login(&site, "ada").await;
    for name in ["jwt", "jwt_session", "jwt_device"] {
        secrets.push(cookie_value(&cookies, name));
    }
    let mut patterns: Vec<Vec<u8>> = Vec::new();
    for secret in &secrets {
        patterns.push(secret.clone().into_bytes());
        if let Some(encoded) = secret.strip_prefix("jgr_") {
            use base64::Engine as _;
            let raw = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded).unwrap();
            // The handle alone, and the tag alone, whatever stands around them.
            patterns.push(raw[1..17].to_vec());
            patterns.push(raw[21..].to_vec());
        }
        if let Some(signature) = secret.split('.').nth(2) {
            patterns.push(signature.as_bytes().to_vec());
        }
    }
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(site.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            bytes.push((path.clone(), std::fs::read(path).unwrap()));
        }
    }
    assert!(bytes.iter().any(|(path, _)| path.to_string_lossy().contains("jotgate.db-wal")), "{bytes:?}");
    assert!(bytes.iter().any(|(_, found)| found.windows(3).any(|w| w == b"ada")), "nothing was searched");
    for (path, found) in &bytes {
        for pattern in &patterns {
            let hit = found.windows(pattern.len()).any(|window| window == pattern.as_slice());
            assert!(!hit, "{}: {}", path.display(), String::from_utf8_lossy(pattern));
        }
    }
}
