//! Keys rotate while everybody works: no verifier that honours `max-age` refuses a good token.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::Server;
use serde_json::{Value, json};

use super::judge::Judge;

const ROTATIONS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn three_rotations_under_load_and_no_false_401() {
    let server = Server::with().env("JOTGATE_JWKS_MAX_AGE", "2s").env("JOTGATE_REFRESH_GRACE", "0s").start();
    let mut judges = vec![("jotgate-verify", Judge::follower(&server))];
    let modules = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/e2e/jose");
    if modules.join("node_modules/jose").is_dir() {
        let arguments = [server.url(), modules.to_str().unwrap()];
        judges.push(("npm jose", Judge::script("remote-jwks.mjs", &arguments)));
    } else {
        e2e::left_out(
            "npm jose over rotations",
            "its packages are not installed (`cargo xtask test --only e2e`)",
        );
    }
    let user = json!({"username": "ada", "password": "four unrelated words"});
    let mut client = server.client();
    client.post("/auth/register").json(&user).send().expect(201);
    let mut tokens: Value = client.post("/auth/login").json(&user).send().is(200).json();
    let (mut signed_by, mut first_of_each, mut checked) = (BTreeSet::new(), Vec::new(), 0_u32);
    let begun = Instant::now();
    let mut asked = 0;
    // The last key gets to sign for a while.
    let mut after_last = 0;
    while after_last < 100 {
        assert!(begun.elapsed() < PATIENCE, "{} of {ROTATIONS} rotations", signed_by.len() - 1);
        let access = tokens["access_token"].as_str().unwrap().to_owned();
        client.get("/auth/me").bearer(&access).send().expect(200);
        for (name, judge) in &judges {
            assert_eq!(judge.verdict(&access), "valid", "{name}, after {} rotations", signed_by.len() - 1);
            checked += 1;
        }
        if signed_by.insert(kid(&access)) {
            first_of_each.push(access);
        }
        if asked < ROTATIONS && signed_by.len() > asked {
            asked += 1;
            let rotated = server.command(["key", "rotate"]);
            assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
        }
        after_last += u32::from(signed_by.len() > ROTATIONS);
        let refresh = json!({"refresh_token": tokens["refresh_token"]});
        tokens = client.post("/auth/refresh").json(&refresh).send().is(200).json();
    }
    // What the first keys signed has not expired, and holds everywhere.
    for access in &first_of_each {
        client.get("/auth/me").bearer(access).send().expect(200);
        for (name, judge) in &judges {
            assert_eq!(judge.verdict(access), "valid", "{name}: a token from before the rotations");
        }
    }
    let took = begun.elapsed().as_secs();
    let _ = writeln!(
        std::io::stderr(),
        "{ROTATIONS} rotations in {took} s: {checked} verdicts, no false refusal"
    );
}

/// The key that signed a token.
fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}
