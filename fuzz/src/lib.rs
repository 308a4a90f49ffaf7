//! What each fuzz target does with its input. Each one asserts more than "no panic": what is accepted must hold
//! up against another JSON reader, and whatever is read must come out again as it went in.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64_simd::URL_SAFE_NO_PAD;
use jotgate_domain::access::{Access, Asked, Host, HostPattern, PathPattern, Rule, Rules, readings};
use jotgate_jose::{
    Algorithm, Claims, KeySet, Policy, SigningKey, VerifyingKey, insecure_decode, verify, verify_in,
    verify_signature_only,
};
use serde_json::{Map, Value};

const NOW: u64 = 1_790_000_000;
const SECRET: [u8; 32] = [7; 32];

/// Keys of four kinds, always the same ones, named `hs`, `es`, `ed` and `rs`.
static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let pem = |alg, pem: &str| SigningKey::from_pem(alg, pem).unwrap().verifying_key();
    [
        VerifyingKey::from_secret(Algorithm::Hs256, &SECRET).unwrap().with_kid("hs"),
        pem(Algorithm::Es256, include_str!("../../crates/jose/tests/keys/p256.pkcs8.pem")).with_kid("es"),
        pem(Algorithm::EdDsa, include_str!("../../crates/jose/tests/keys/ed25519.pkcs8.pem")).with_kid("ed"),
        pem(Algorithm::Rs256, include_str!("../../crates/jose/tests/keys/rsa.pkcs8.pem")).with_kid("rs"),
    ]
    .into_iter()
    .collect()
});

/// Nothing but what no policy can waive.
static LENIENT: LazyLock<Policy> = LazyLock::new(|| {
    let policy =
        Policy::token("at+jwt", "", "").any_issuer().any_audience().ignore_expiry().typ_may_be_absent();
    policy.optional("iss").optional("aud").optional("exp")
});

static STRICT: LazyLock<Policy> =
    LazyLock::new(|| Policy::access_token("https://login.example.com", "https://api.example.com"));

/// A token as a whole.
pub fn token(data: &[u8]) {
    let Ok(token) = core::str::from_utf8(data) else { return };
    let mut buffer = Vec::new();
    for policy in [&*STRICT, &*LENIENT] {
        let owned = verify(&KEYS, policy, token, NOW);
        let borrowed = verify_in(&mut buffer, &KEYS, policy, token, NOW);
        match (owned, borrowed) {
            (Ok(owned), Ok(borrowed)) => assert_eq!(owned.claims().json(), borrowed.claims().json()),
            (owned, borrowed) => assert_eq!(owned.err(), borrowed.err()),
        }
    }
    let verified = verify_signature_only(&KEYS, token).is_ok();
    match insecure_decode(token) {
        // One spelling: what was read is written in the same letters.
        Ok(parts) => {
            let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode_to_string(bytes);
            let again = format!(
                "{}.{}.{}",
                text(parts.header.as_bytes()),
                text(&parts.payload),
                text(&parts.signature)
            );
            assert_eq!(again, token);
        }
        Err(_) => assert!(!verified),
    }
}

/// A header's text, under a right signature.
pub fn header(data: &[u8]) {
    let claims = r#"{"iss":"https://login.example.com","sub":"u","aud":"https://api.example.com","exp":1790000600,"iat":1790000000,"jti":"j","client_id":"c"}"#;
    let input =
        format!("{}.{}", URL_SAFE_NO_PAD.encode_to_string(data), URL_SAFE_NO_PAD.encode_to_string(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), input.as_bytes());
    let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode_to_string(tag));
    let accepted = verify(&KEYS, &STRICT, &token, NOW).is_ok();
    let authentic = verify_signature_only(&KEYS, &token).is_ok();
    assert!(!accepted || authentic);
    if !authentic {
        return;
    }
    let header: Map<String, Value> = serde_json::from_slice(data).expect("accepted, and no JSON object");
    assert_eq!(header["alg"], "HS256");
    assert!(["crit", "b64", "enc", "zip"].iter().all(|name| !header.contains_key(*name)));
    assert!(header.get("kid").is_none_or(|kid| kid == "hs"));
    if accepted {
        let typ = header["typ"].as_str().expect("accepted, and no type").to_ascii_lowercase();
        assert!(typ == "at+jwt" || typ == "application/at+jwt");
    }
}

/// A payload's text, under a right signature; what is accepted must read the same to serde_json.
pub fn claims(data: &[u8]) {
    static KEY: LazyLock<SigningKey> =
        LazyLock::new(|| SigningKey::from_secret(Algorithm::Hs256, &SECRET).unwrap().with_kid("hs"));
    let token = KEY.sign("at+jwt", data).unwrap();
    let mut buffer = Vec::new();
    let strict = verify_in(&mut buffer, &KEYS, &STRICT, &token, NOW).is_ok();
    let Ok(verified) = verify(&KEYS, &LENIENT, &token, NOW) else {
        assert!(!strict);
        return;
    };
    let value: Map<String, Value> = serde_json::from_slice(data).expect("accepted, and no JSON object");
    compare(verified.claims(), &value);
    let again = serde_json::to_vec(&verified.claims().to_owned()).unwrap();
    // Numbers may be written otherwise, so the owned form is compared by what it says.
    let token = KEY.sign("at+jwt", &again).unwrap();
    let verified_again = verify(&KEYS, &LENIENT, &token, NOW).expect("what was read can be written");
    assert_eq!(verified_again.claims().to_owned(), verified.claims().to_owned());
}

fn compare(claims: Claims<'_>, value: &Map<String, Value>) {
    let strings = [
        ("iss", claims.iss()),
        ("sub", claims.sub()),
        ("jti", claims.jti()),
        ("client_id", claims.client_id()),
        ("scope", claims.scope()),
        ("sid", claims.sid()),
        ("preferred_username", claims.preferred_username()),
        ("email", claims.email()),
    ];
    for (name, ours) in strings {
        assert_eq!(ours, value.get(name).map(|value| value.as_str().expect("a string")), "{name}");
    }
    for (name, ours) in [("exp", claims.exp()), ("nbf", claims.nbf()), ("iat", claims.iat())] {
        let theirs = value.get(name).map(|value| value.as_f64().expect("a number"));
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => {
                assert!((ours as f64 - theirs).abs() < 1.0, "{name}: {ours} {theirs}")
            }
            (ours, theirs) => assert_eq!(ours.is_some(), theirs.is_some()),
        }
    }
    for (name, ours) in
        [("aud", claims.aud()), ("roles", claims.roles()), ("permissions", claims.permissions())]
    {
        let theirs: Vec<&str> = match value.get(name) {
            None => Vec::new(),
            Some(Value::String(one)) => vec![one],
            Some(list) => {
                list.as_array().expect("a list").iter().map(|one| one.as_str().expect("a string")).collect()
            }
        };
        assert!(ours.iter().eq(theirs), "{name}");
    }
    if let Some(status) = claims.status() {
        let theirs = &value["status"]["status_list"];
        assert_eq!((Some(status.idx), Some(status.uri)), (theirs["idx"].as_u64(), theirs["uri"].as_str()));
    }
    for (name, value) in value {
        let raw = claims.get(name).expect("every member is found");
        assert_eq!(serde_json::from_str::<Value>(raw).ok().as_ref(), Some(value), "{name}");
    }
}

/// One JWK.
pub fn jwk(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(key) = VerifyingKey::from_jwk(text) {
        round_trip(&key);
    }
    if let Ok(key) = SigningKey::from_jwk(text) {
        private_round_trip(&key);
    }
}

/// A JWK Set.
pub fn jwk_set(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(set) = KeySet::from_json(text) else { return };
    set.iter().for_each(round_trip);
    let public = set.iter().filter(|key| !key.algorithm().is_symmetric()).count();
    let again = KeySet::from_public_json(&set.to_json()).expect("what was written can be read");
    assert_eq!((again.len(), again.rejected().len()), (public, 0));
    let strict = KeySet::from_public_json(text).expect("the same text");
    assert_eq!(strict.len(), public);
    let _ = KeySet::from_json_for(text, &Algorithm::ALL).map(|set| set.iter().for_each(round_trip));
}

/// A PEM file, for every algorithm.
pub fn pem(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    for alg in Algorithm::ALL {
        if let Ok(key) = VerifyingKey::from_pem(alg, text) {
            round_trip(&key);
        }
        if let Ok(key) = SigningKey::from_pem(alg, text) {
            private_round_trip(&key);
        }
        // The same bytes as DER, which has no checksum and no frame.
        if let Ok(key) = VerifyingKey::from_der(alg, data) {
            round_trip(&key);
        }
    }
}

fn round_trip(key: &VerifyingKey) {
    let Some(jwk) = key.to_public_jwk() else { return };
    let again = VerifyingKey::from_jwk(&jwk).expect("what was written can be read");
    assert_eq!(
        (again.algorithm(), again.kid(), again.thumbprint()),
        (key.algorithm(), key.kid(), key.thumbprint())
    );
}

fn private_round_trip(key: &SigningKey) {
    let jwk = key.to_private_jwk().expect("a key can be written");
    let again = SigningKey::from_jwk(&jwk).expect("what was written can be read");
    assert_eq!((again.algorithm(), again.kid()), (key.algorithm(), key.kid()));
    let token = key.sign("JWT", b"{}").expect("a key signs");
    assert!(verify_signature_only(&again.verifying_key().into(), &token).is_ok());
}

/// A host, a new line, and a path behind a proxy: no reading leads past the rule of `/admin`, and a host has one form.
pub fn access(data: &[u8]) {
    static RULES: LazyLock<Rules> = LazyLock::new(|| {
        let rule = |path, change: fn(&mut Rule)| {
            let host = ["app.example.com", "*.example.com"].map(|host| HostPattern::parse(host).unwrap()).into();
            let mut rule = Rule { host, path: vec![PathPattern::parse(path).unwrap()], ..Rule::default() };
            change(&mut rule);
            rule
        };
        Rules::new(
            [
                ("public".to_owned(), rule("/", |rule| rule.access = Access::Public)),
                ("admin".to_owned(), rule("/admin", |rule| rule.role.push("admin".to_owned()))),
            ]
            .into(),
        )
    });
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (host, path) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let own = Host::parse("app.example.com").unwrap().0;
    let host = core::str::from_utf8(host).ok().and_then(Host::parse).map(|(host, _)| host);
    if let Some(host) = &host {
        assert_eq!(Host::parse(host.as_str()), Some((host.clone(), None)));
        let labels = host.as_str().strip_suffix(".example.com");
        let named = labels.is_some_and(|label| !label.is_empty() && !label.contains('.'));
        let asked = Asked { method: "GET", host, path: b"/" };
        assert_eq!(RULES.requirement(&asked).is_ok(), named);
    }
    let Some(all) = readings(path) else { return };
    assert!(all.len() <= 64 && all.iter().all(|reading| core::str::from_utf8(reading).is_ok()));
    let admin = |reading: &Vec<u8>| {
        let text = String::from_utf8_lossy(reading).to_lowercase();
        // In another format it is the same page.
        let format = text.rsplit_once('.').filter(|(page, format)| !page.ends_with('/') && !format.contains('/'));
        [text.as_str(), format.map_or("", |(page, _)| page)]
            .iter()
            .any(|page| *page == "/admin" || page.starts_with("/admin/"))
    };
    let needs = RULES.requirement(&Asked { method: "GET", host: &own, path }).expect("it can be read");
    assert_eq!(all.iter().any(admin), !needs.roles.is_empty());
    // Each reading read again leads to nothing that was not there.
    for reading in &all {
        if let Some(again) = readings(reading) {
            assert!(again.iter().all(|one| all.contains(one)));
        }
    }
}
