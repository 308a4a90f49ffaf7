//! Tokens that must not pass, and feeds that must not be believed: the same in five languages.

use std::time::{Duration, Instant};

use jotgate_jose::{Algorithm, SigningKey};
use serde_json::{Value, json};

use super::fleet::{Fleet, Member};
use super::forger::{Feed, Forger, REVOKED, encoded, now};
use super::{PATIENCE, says};

const STALE_AFTER: u64 = 3;
/// From the last news: what is borne, a second that was cut off an instant, and a busy machine.
const STALE_LIMIT: Duration = Duration::from_secs(STALE_AFTER + 4);
/// An answer that drips is given up after ten seconds, and the next try is some seconds later.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a119_five_languages_refuse_what_is_forged_and_believe_no_hostile_feed() {
    let forger = Forger::start();
    let fleet = Fleet::start(&forger.url(), &forger.url(), STALE_AFTER);
    fleet.wait("fresh", PATIENCE, |member| says(member, "fresh"));
    a_forged_token_is_refused(&forger, &fleet);
    a9_unknown_keys_do_not_multiply(&forger, &fleet);

    let (good, revoked) = (forger.token(1), forger.token(REVOKED));
    for feed in [Feed::FromTheFuture, Feed::Resets] {
        forger.becomes(feed);
        let (begin, before) = (Instant::now(), forger.asked_for_pages());
        while begin.elapsed() < STALE_LIMIT {
            for member in &fleet.members {
                let language = member.language;
                assert_eq!(member.reads(&good), 200, "{language}, {feed:?}: {:?}", member.health());
                assert_eq!(
                    member.reads(&revoked),
                    401,
                    "{language}, {feed:?}: nothing revoked passes meanwhile"
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let rate = (forger.asked_for_pages() - before) as f64 / begin.elapsed().as_secs_f64();
        assert!(rate < 12.0 * fleet.members.len() as f64, "{feed:?}: {rate} pages a second");
    }
    for feed in [
        Feed::Repeats,
        Feed::RepeatsTomorrow,
        Feed::DripsStream,
        Feed::EndlessLine,
        Feed::EndlessPage,
        Feed::HalfAnEntry,
        Feed::Garbage,
        Feed::Fails,
        Feed::RedirectsElsewhere,
        Feed::NamesElsewhere,
        Feed::DripsPage,
    ] {
        forger.becomes(Feed::Honest);
        fleet.wait("fresh", RECOVERY_LIMIT, |member| member.reads(&good) == 200);
        let memory: Vec<u64> = fleet.members.iter().map(Member::memory_mib).collect();
        forger.becomes(feed);
        // Never a yes to what was revoked, however the feed misbehaves.
        fleet.wait(&format!("stale: {feed:?}"), STALE_LIMIT, |member| {
            assert_ne!(member.reads(&revoked), 200, "{}, {feed:?}", member.language);
            member.reads(&good) == 503
        });
        for (member, before) in fleet.members.iter().zip(memory) {
            let grown = member.memory_mib().saturating_sub(before);
            assert!(grown < 96, "{}, {feed:?}: {grown} MiB more", member.language);
            assert_eq!(member.reads(&good), 503, "{}, {feed:?}", member.language);
        }
    }
    forger.becomes(Feed::Honest);
    fleet.wait("fresh", RECOVERY_LIMIT, |member| member.reads(&good) == 200);
    assert_eq!(forger.led_astray(), 0, "nobody but the issuer is asked");
}

fn a_forged_token_is_refused(forger: &Forger, fleet: &Fleet) {
    let kid = forger.key.kid();
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid});
    let good = [forger.token(1), forger.token_under(&header)];
    let bad = forged(forger);
    for member in &fleet.members {
        for token in &good {
            assert_eq!(member.reads(token), 200, "{}\n{}", member.language, member.said());
        }
        let answers = bad.iter().map(|(name, authorization)| (name, member.ask("GET", Some(authorization))));
        // Spring puts an `iat` where there is none before anybody can see that it was missing; `jotgate-verify` knows
        // by which key a signature held, and whether that is revoked, also where the token does not say.
        let borne = |name: &str| [("Java", "no iat"), ("Rust", "no kid")].contains(&(member.language, name));
        let wrong: Vec<_> = answers.filter(|(name, answer)| !borne(name) && !is_refused(answer)).collect();
        assert!(wrong.is_empty(), "{}: {wrong:?}\n{}", member.language, member.said());
        assert_eq!(member.reads(&good[0]), 200, "{}: none of it did any harm", member.language);
    }
}

/// Refused for the token's sake: not let in, and no fault of the server's.
fn is_refused((status, challenge): &(u16, String)) -> bool {
    match status {
        401 => challenge.starts_with("Bearer"),
        // Too long, or no HTTP: before anybody looked for a token.
        400 | 431 => true,
        _ => false,
    }
}

/// Names and `Authorization` headers.
fn forged(forger: &Forger) -> Vec<(&'static str, String)> {
    let kid = forger.key.kid();
    let good = forger.token(1);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (first, payload) = signed.split_once('.').unwrap();
    let claims = forger.claims(1).to_string();
    let stranger = || SigningKey::generate(Algorithm::Es256).unwrap();
    let public = forger.key.verifying_key().to_public_jwk().unwrap();
    let confused = |secret: &[u8]| {
        SigningKey::from_secret(Algorithm::Hs256, secret)
            .unwrap()
            .with_kid(kid)
            .sign("at+jwt", claims.as_bytes())
            .unwrap()
    };
    let without = |name: &str| forger.token_with(|claims| drop(claims.as_object_mut().unwrap().remove(name)));
    let with = |name: &str, value: Value| forger.token_with(|claims| claims[name] = value);
    let status = |entry: Value| with("status", json!({"status_list": entry}));
    let uri = format!("{}/auth/status/0", forger.url());
    let nested = format!("{}{}", "[".repeat(4_000), "]".repeat(4_000));
    let none = |alg: &str| {
        format!("{}.{payload}.", encoded(&json!({"alg": alg, "typ": "at+jwt", "kid": kid}).to_string()))
    };
    let tokens = vec![
        ("empty", String::new()),
        ("garbage", "abc".to_owned()),
        ("dots", "...".to_owned()),
        ("two parts", signed.to_owned()),
        ("four parts", format!("{good}.{signature}")),
        ("no signature", format!("{signed}.")),
        (
            "tampered signature",
            format!("{signed}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]),
        ),
        ("tampered payload", format!("{first}.{}.{signature}", encoded(&claims.replace("ada", "eve")))),
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("HS256 with the public key", confused(public.as_bytes())),
        ("HS256 with the JWK Set's text", confused(good.as_bytes())),
        (
            "another key under the known kid",
            stranger().with_kid(kid).sign("at+jwt", claims.as_bytes()).unwrap(),
        ),
        ("an unknown key", stranger().sign("at+jwt", claims.as_bytes()).unwrap()),
        ("no kid", forger.token_under(&json!({"alg": "ES256", "typ": "at+jwt"}))),
        ("kid of another kind", forger.token_under(&json!({"alg": "ES256", "typ": "at+jwt", "kid": [kid]}))),
        ("no typ", forger.token_under(&json!({"alg": "ES256", "kid": kid}))),
        ("typ of an ID token", forger.token_under(&json!({"alg": "ES256", "typ": "JWT", "kid": kid}))),
        (
            "typ of a status list",
            forger.token_under(&json!({"alg": "ES256", "typ": "statuslist+jwt", "kid": kid})),
        ),
        (
            "crit",
            forger.token_under(&json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "crit": ["x"], "x": 1})),
        ),
        ("alg of another family", forger.token_under(&json!({"alg": "RS256", "typ": "at+jwt", "kid": kid}))),
        ("expired", with("exp", json!(now() - 120))),
        ("exp as a text", with("exp", json!("soon"))),
        ("not yet valid", with("nbf", json!(now() + 3600))),
        ("another audience", with("aud", json!("https://other.example"))),
        ("another issuer", with("iss", json!("https://other.example"))),
        ("the issuer with a slash", with("iss", json!(format!("{}/", forger.url())))),
        ("no exp", without("exp")),
        ("no iat", without("iat")),
        ("no iss", without("iss")),
        ("no aud", without("aud")),
        ("no sub", without("sub")),
        ("no client_id", without("client_id")),
        ("no jti", without("jti")),
        ("revoked", forger.token(REVOKED)),
        ("revoked key", forger.leaked.sign("at+jwt", claims.as_bytes()).unwrap()),
        ("status of no form", with("status", json!("good"))),
        ("status without an entry", status(json!({}))),
        ("entry as a text", status(json!({"uri": uri, "idx": REVOKED.to_string()}))),
        ("entry below zero", status(json!({"uri": uri, "idx": -1}))),
        ("entry between two", status(json!({"uri": uri, "idx": 1.5}))),
        ("deeply nested payload", format!("{first}.{}.{signature}", encoded(&nested))),
        ("deeply nested header", format!("{}.{payload}.{signature}", encoded(&nested))),
        ("very long", format!("{first}.{}.{signature}", "A".repeat(40_000))),
    ];
    let mut all: Vec<_> = tokens.into_iter().map(|(name, token)| (name, format!("Bearer {token}"))).collect();
    all.push(("another scheme", format!("Basic {good}")));
    all.push(("no scheme", good.clone()));
    all.push(("two tokens", format!("Bearer {good} {good}")));
    all
}

/// However many tokens name keys that nobody has, the issuer is asked for keys a few times.
fn a9_unknown_keys_do_not_multiply(forger: &Forger, fleet: &Fleet) {
    let before = forger.asked_for_keys();
    for member in &fleet.members {
        for _ in 0..30 {
            let other = SigningKey::generate(Algorithm::Es256).unwrap();
            let token = other.sign("at+jwt", forger.claims(1).to_string().as_bytes()).unwrap();
            assert!(is_refused(&member.ask("GET", Some(&format!("Bearer {token}")))), "{}", member.language);
        }
    }
    let asked = forger.asked_for_keys() - before;
    assert!(asked <= 3 * fleet.members.len(), "asked {asked} times");
}
