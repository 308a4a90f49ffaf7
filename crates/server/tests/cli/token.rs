//! `jotgate token`, with tokens and keys made by the library.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use jotgate_jose::{Algorithm, KeySet, SigningKey};
use serde_json::json;

use super::program::Place;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn token_with(key: &SigningKey, typ: &str, change: impl Fn(&mut serde_json::Value)) -> String {
    let now = now();
    let mut claims = json!({
        "iss": "https://auth.example.com", "sub": "ada", "aud": "https://api.example.com", "exp": now + 600,
        "iat": now, "jti": "1", "client_id": "web", "n": 1.50,
    });
    change(&mut claims);
    key.sign(typ, claims.to_string().as_bytes()).unwrap()
}

fn token(key: &SigningKey) -> String {
    token_with(key, "at+jwt", |_| {})
}

fn published(key: &SigningKey) -> String {
    KeySet::from(key.verifying_key()).to_json()
}

#[test]
fn inspect_shows_what_it_says_and_that_nothing_was_verified() {
    let place = Place::new();
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let token = token(&key);
    let run = place.run(&["token", "inspect", &token]).exits(0);
    assert!(run.out.contains("Not verified") && run.out.contains("\"sub\": \"ada\""), "{}", run.out);
    for input in [token.clone(), format!("Bearer {token}\n"), format!("  \"{token}\"\r\n")] {
        let json = place.run_with_input(&["token", "inspect", "--json"], &input).exits(0).json();
        assert_eq!(json["verified"], false);
        assert_eq!(json["header"]["alg"], "ES256");
        assert_eq!(json["claims"]["sub"], "ada");
    }
    place.run_with_input(&["token", "inspect", "-"], &token).exits(0);
    let run = place.run(&["token", "inspect", "not.a.token"]).exits(1);
    assert!(run.err.contains("(malformed)"), "{}", run.err);
    place.run(&["token", "inspect"]).exits(2);
}

#[test]
fn verify_says_valid_or_why_not() {
    let place = Place::new();
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    place.write("jwks.json", &published(&key));
    let good = token(&key);
    let mut tampered = good.clone();
    // The first character of the payload's second half.
    let at = good.find('.').unwrap() + 40;
    tampered.replace_range(at..=at, if &good[at..=at] == "A" { "B" } else { "A" });
    let verify = |token: &str, more: &[&str]| {
        let run = place.run(&[&["token", "verify", token, "--jwks", "jwks.json"], more].concat());
        assert_eq!(run.out.lines().count(), 1, "{}", run.out);
        (run.code, run.json())
    };

    let (code, answer) = verify(&good, &[]);
    assert_eq!((code, &answer["valid"], &answer["claims"]["sub"]), (0, &json!(true), &json!("ada")));
    let both = ["--issuer", "https://auth.example.com", "--audience", "https://api.example.com"];
    assert_eq!(verify(&good, &both).0, 0);

    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    for (token, more, error) in [
        ("x".to_owned(), &[][..], "malformed"),
        (tampered, &[], "invalid_signature"),
        (self::token(&other), &[], "unknown_key"),
        (token_with(&key, "JWT", |_| {}), &[], "wrong_type"),
        (token_with(&key, "at+jwt", |c| c["exp"] = json!(now() - 1)), &[], "expired"),
        (token_with(&key, "at+jwt", |c| c["nbf"] = json!(now() + 60)), &[], "not_yet_valid"),
        (
            token_with(&key, "at+jwt", |c| drop(c.as_object_mut().unwrap().remove("jti"))),
            &[],
            "missing_claim",
        ),
        (good.clone(), &["--issuer", "https://evil.example.com"], "wrong_issuer"),
        (good.clone(), &["--audience", "https://other.example.com"], "wrong_audience"),
    ] {
        let (code, answer) = verify(&token, more);
        assert_eq!((code, &answer["valid"], &answer["error"]), (1, &json!(false), &json!(error)));
        assert!(!answer["detail"].as_str().unwrap().is_empty());
    }
    assert_eq!(verify(&token_with(&key, "JWT", |_| {}), &["--signature-only"]).0, 0);
}

#[test]
fn a_batch_is_answered_line_by_line_and_fails_if_one_fails() {
    let place = Place::new();
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    place.write("jwk.json", &key.verifying_key().to_public_jwk().unwrap());
    let arguments = ["token", "verify", "--jwks", "jwk.json"];
    let good = format!("{}\n", token(&key));
    let run = place.run_with_input(&arguments, &good.repeat(500)).exits(0);
    assert_eq!(run.out.lines().filter(|line| line.starts_with(r#"{"valid":true,"#)).count(), 500);
    let run = place.run_with_input(&arguments, &format!("{good}\nx\n{good}")).exits(1);
    let valid: Vec<bool> = run.out.lines().map(|line| line.contains("true")).collect();
    assert_eq!(valid, [true, false, false, true]);
    place.run_with_input(&arguments, "").exits(2);
}

#[test]
fn each_answer_comes_before_the_next_token_is_awaited() {
    let place = Place::new();
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    place.write("jwk.json", &key.verifying_key().to_public_jwk().unwrap());
    let mut command = place.command(&["token", "verify", "--jwks", "jwk.json"]);
    let mut child =
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    for _ in 0..3 {
        writeln!(stdin, "{}", token(&key)).unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        assert!(line.starts_with(r#"{"valid":true"#), "{line}");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_secret_verifies_from_a_file_and_a_bad_key_is_left_out() {
    let place = Place::new();
    let key = SigningKey::generate(Algorithm::Hs256).unwrap();
    place.write("secret.json", &key.to_private_jwk().unwrap());
    place.run(&["token", "verify", &token(&key), "--jwks", "secret.json"]).exits(0);

    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let good = key.verifying_key().to_public_jwk().unwrap();
    place.write("mixed.json", &format!(r#"{{"keys":[{{"kty":"oct","kid":"short","k":"AA"}},{good}]}}"#));
    let run = place.run(&["token", "verify", &token(&key), "--jwks", "mixed.json"]).exits(0);
    assert!(run.err.contains("warning: key 1 of mixed.json, kid \"short\" is left out"), "{}", run.err);

    place.write("broken.json", "{");
    let run = place.run(&["token", "verify", "x", "--jwks", "broken.json"]).exits(1);
    assert!(run.err.contains("broken.json is neither a JWK Set nor a JWK"), "{}", run.err);
    let run = place.run(&["token", "verify", "x", "--jwks", "nowhere.json"]).exits(1);
    assert!(run.err.contains("cannot read nowhere.json"), "{}", run.err);
}

/// Answers one request with this status and body; gives its URL.
fn serve_once(status: &'static str, body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nLocation: /elsewhere\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    });
    url
}

#[test]
fn keys_come_from_a_url() {
    let place = Place::new();
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let url = serve_once("200 OK", published(&key));
    place.run(&["token", "verify", &token(&key), "--jwks", &url]).exits(0);

    let url = serve_once("503 Service Unavailable", String::new());
    let run = place.run(&["token", "verify", "x", "--jwks", &url]).exits(1);
    assert!(run.err.contains("the answer was 503"), "{}", run.err);

    let url = serve_once("302 Found", String::new());
    place.run(&["token", "verify", "x", "--jwks", &url]).exits(1);

    // A published secret is none: it must not verify anything.
    let secret = SigningKey::generate(Algorithm::Hs256).unwrap();
    let url = serve_once("200 OK", format!(r#"{{"keys":[{}]}}"#, *secret.to_private_jwk().unwrap()));
    let run = place.run(&["token", "verify", &token(&secret), "--jwks", &url]).exits(1);
    assert_eq!(run.json()["error"], "unknown_key");
}
