//! Each algorithm that can be configured, another one after a restart, another issuer.

use std::time::Duration;

use jotgate_jose::{Algorithm, KeySet, Policy, SigningKey};
use serde_json::json;

use crate::support::{Site, Tokens, claims, http_origin, part};
use crate::tools::*;

const CONFIGURABLE: [Algorithm; 6] = [
    Algorithm::Hs256,
    Algorithm::Rs256,
    Algorithm::Ps256,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::EdDsa,
];

async fn under(algorithm: Algorithm) -> (Site, Tokens) {
    let site = Site::with(http_origin(), |config| config.token.algorithm = algorithm).await;
    let tokens = site.signed_in("ada").await;
    (site, tokens)
}

/// What a resource server knows: the published keys, and nothing else.
async fn verifies_offline(site: &Site, access: &str) -> bool {
    let jwks = site.get("/.well-known/jwks.json").send().await.text();
    let keys = KeySet::from_public_json(&jwks).unwrap();
    let policy = Policy::access_token("http://127.0.0.1:8080", "http://127.0.0.1:8080");
    let now = u64::try_from(site.server.app().now().secs()).unwrap();
    jotgate_jose::verify(&keys, &policy, access, now).is_ok()
}

#[tokio::test]
async fn every_algorithm_signs_what_it_says_and_accepts_nothing_else() {
    for algorithm in CONFIGURABLE {
        let (site, tokens) = under(algorithm).await;
        assert_eq!(part(&tokens.access, 0)["alg"], algorithm.name());
        accepted_everywhere(&site, &tokens.access).await;
        assert_eq!(
            verifies_offline(&site, &tokens.access).await,
            algorithm != Algorithm::Hs256,
            "{algorithm}"
        );
        let metadata = site.get("/.well-known/openid-configuration").send().await.json();
        assert_eq!(metadata["id_token_signing_alg_values_supported"], json!([algorithm.name()]));
        // a04: the same kid, another algorithm.
        let kid = part(&tokens.access, 0)["kid"].as_str().unwrap().to_owned();
        let payload = claims(&tokens.access).to_string();
        for other in CONFIGURABLE.into_iter().filter(|other| *other != algorithm) {
            let forger = SigningKey::generate(other).unwrap().with_kid(&kid);
            let forged = forger.sign("at+jwt", payload.as_bytes()).unwrap();
            for (where_, status, _) in everywhere(&site, &forged).await {
                assert_eq!(status, 401, "{algorithm} {other} {where_}");
            }
        }
        let renewed = site.refresh(&tokens.refresh).await.tokens();
        accepted_everywhere(&site, &renewed.access).await;
        assert_eq!(
            site.ask(http::Method::POST, "/auth/logout").bearer(&renewed.access).send().await.status,
            204
        );
        refused_everywhere(&site, &tokens.access, "revoked").await;
    }
}

#[tokio::test]
async fn a02_with_a_shared_secret_configured_the_published_keys_are_still_no_secrets() {
    let (site, tokens) = under(Algorithm::Hs256).await;
    let kid = part(&tokens.access, 0)["kid"].as_str().unwrap().to_owned();
    let payload = claims(&tokens.access).to_string();
    let jwks = site.get("/.well-known/jwks.json").send().await;
    let mut secrets = vec![jwks.body.clone(), kid.clone().into_bytes(), b"secret".to_vec(), Vec::new()];
    let mut kids = vec![kid];
    for jwk in jwks.json()["keys"].as_array().unwrap() {
        secrets.push(jwk.to_string().into_bytes());
        kids.push(jwk["kid"].as_str().unwrap().to_owned());
    }
    for secret in &secrets {
        let padded = [secret.as_slice(), &[0; 32]].concat();
        let padded = &padded[..padded.len().min(1_024)];
        for kid in &kids {
            let forger = SigningKey::from_secret(Algorithm::Hs256, padded).unwrap().with_kid(kid);
            let forged = forger.sign("at+jwt", payload.as_bytes()).unwrap();
            for (where_, status, _) in everywhere(&site, &forged).await {
                assert_eq!(status, 401, "{where_}");
            }
        }
    }
}

#[tokio::test]
async fn another_algorithm_after_a_restart_signs_anyone_out() {
    for (before, after) in [
        (Algorithm::Es256, Algorithm::EdDsa),
        (Algorithm::EdDsa, Algorithm::Rs256),
        (Algorithm::Rs256, Algorithm::Hs256),
        (Algorithm::Hs256, Algorithm::Es256),
        (Algorithm::Ps256, Algorithm::Es384),
    ] {
        let (site, old) = under(before).await;
        site.clock.pass(Duration::from_secs(60));
        let site = site.restart(|config| config.token.algorithm = after).await;
        accepted_everywhere(&site, &old.access).await;
        // Nobody signs with a key that followers cannot have yet, and what is signed is accepted all the while.
        let mut held = site.refresh(&old.refresh).await.tokens();
        let mut last = part(&held.access, 0)["alg"].clone();
        for _ in 0..12 {
            accepted_everywhere(&site, &held.access).await;
            site.clock.pass(Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(5)).await;
            held = site.refresh(&held.refresh).await.tokens();
            last = part(&held.access, 0)["alg"].clone();
        }
        let _ = last;
        // The jobs of a real server look at the hour each second; a restart does as well.
        let site = site.restart(|_| {}).await;
        let new = site.login("ada").await.tokens();
        assert_eq!(part(&new.access, 0)["alg"], after.name(), "{before} to {after}");
        accepted_everywhere(&site, &new.access).await;
        accepted_everywhere(&site, &held.access).await;
        // And back, within the time that the earlier keys stay.
        let site = site.restart(|config| config.token.algorithm = before).await;
        accepted_everywhere(&site, &new.access).await;
        let back = site.refresh(&new.refresh).await.tokens();
        accepted_everywhere(&site, &back.access).await;
    }
}

#[tokio::test]
async fn another_issuer_refuses_the_tokens_of_the_one_before_and_keeps_the_sessions() {
    let site = Site::new().await;
    let old = site.signed_in("ada").await;
    let key = signing_key(&site).await;
    let other = jotgate::config::Origin { port: Some(9090), ..http_origin() };
    let Site { dir, config, clock, server, router, .. } = site;
    drop((server, router));
    let open = async |origin: &jotgate::config::Origin| {
        let edge = jotgate::edge::Edge::new(clock.clone());
        let app = jotgate::app::App::open(config.clone(), origin.clone(), edge).await.unwrap();
        Site::over(app, dir.clone(), config.clone(), origin.clone(), clock.clone())
    };
    let moved = open(&other).await;
    refused_everywhere(&moved, &old.access, "wrong_issuer").await;
    let new = moved.refresh(&old.refresh).await.tokens();
    assert_eq!(claims(&new.access)["iss"], "http://127.0.0.1:9090");
    accepted_everywhere(&moved, &new.access).await;
    // A token that names the other address of the two in `aud` is not accepted for it.
    let mut mixed = claims(&new.access);
    mixed["aud"] = json!("http://127.0.0.1:8080");
    let mixed = key.sign("at+jwt", mixed.to_string().as_bytes()).unwrap();
    refused_everywhere(&moved, &mixed, "wrong_audience").await;
    // What was revoked under one name is revoked under the other.
    assert_eq!(moved.ask(http::Method::POST, "/auth/logout").bearer(&new.access).send().await.status, 204);
    drop(moved);
    let back = open(&http_origin()).await;
    refused_everywhere(&back, &old.access, "revoked").await;
    assert_eq!(back.refresh(&new.refresh).await.code(), "invalid_refresh_token");
}
