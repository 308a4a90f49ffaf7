use serde_json::json;

use super::*;
use crate::name::Username;
use crate::sample::{NOW, role, session, shape, user};

fn policy() -> Policy {
    let permits = |all: &[&str]| all.iter().map(|p| (*p).to_owned()).collect();
    Policy {
        permissions: BTreeMap::from([
            ("editor".to_owned(), permits(&["write", "read"])),
            ("admin".to_owned(), permits(&["read", "ban"])),
            ("ghost".to_owned(), permits(&["haunt"])),
        ]),
        ..Policy::default()
    }
}

fn mint<'a>(audience: &'a [String]) -> Mint<'a> {
    Mint {
        issuer: "https://auth.example.com",
        audience,
        status_uri: "https://auth.example.com/auth/status/0",
        status_index: 4711,
        jti: "j",
        delivery: Delivery::Body,
        now: NOW,
    }
}

fn claims(user: &User, session: &Session, policy: &Policy) -> Value {
    let audience = ["https://auth.example.com".to_owned()];
    serde_json::to_value(Token::new(user, session, policy, mint(&audience)).claims()).unwrap()
}

#[test]
fn what_a_token_says() {
    assert_eq!(
        claims(&user(), &session(), &policy()),
        json!({
            "iss": "https://auth.example.com",
            "sub": user().id.to_string(),
            "aud": "https://auth.example.com",
            "exp": 1_800_000_600,
            "iat": 1_800_000_000,
            "jti": "j",
            "client_id": "jotgate",
            "scope": "account admin",
            "sid": session().id.to_string(),
            "auth_time": 1_799_999_000,
            "roles": ["editor", "admin"],
            "preferred_username": "Alice",
            "permissions": ["ban", "read", "write"],
            "email": "alice@example.com",
            "status": {"status_list": {"idx": 4711, "uri": "https://auth.example.com/auth/status/0"}},
            "tenant": "acme",
        })
    );
}

#[test]
fn what_it_leaves_out() {
    let has =
        |user: &User, policy: &Policy, claim: &str| claims(user, &session(), policy).get(claim).is_some();
    assert!(!has(&User { email_verified_at: None, ..user() }, &policy(), "email"), "not proven");
    assert!(!has(&User { email: None, ..user() }, &policy(), "email"));
    assert!(!has(&user(), &Policy::default(), "permissions"), "not configured");
    // (permissions of editor before, whether the user, editor and admin, has less now)
    for (before, less) in [("read", false), ("write", false), ("ban", false), ("print", true)] {
        let before = BTreeMap::from([("editor".to_owned(), vec![before.to_owned()])]);
        assert_eq!(loses_permissions(&user(), &before, &policy()), less, "{before:?}");
        assert!(!loses_permissions(&User { roles: Vec::new(), ..user() }, &before, &policy()));
    }
    // Where they are configured, whoever has none has none, rather than no claim.
    let nobody = User { roles: Vec::new(), ..user() };
    assert_eq!(claims(&nobody, &session(), &policy())["permissions"], json!([]));
    assert_eq!(claims(&nobody, &session(), &policy())["roles"], json!([]));
    // The scope goes with the role, though the session was granted it.
    assert_eq!(claims(&nobody, &session(), &policy())["scope"], "account");
}

#[test]
fn one_audience_or_several() {
    let several = ["https://a.example".to_owned(), "https://b.example".to_owned()];
    let (user, session, policy) = (user(), session(), policy());
    let token = Token::new(&user, &session, &policy, mint(&several));
    assert_eq!(serde_json::to_value(token.claims()).unwrap()["aud"], json!(several));
}

/// Attack 105: nothing outlives the session's end, be it idle or old.
#[test]
fn no_token_outlives_its_session() {
    let (user, policy) = (user(), policy());
    for (left, expected) in
        [(1_000_000, 600), (600_000, 600), (599_000, 599), (1_500, 1), (0, 0), (-5_000, 0)]
    {
        let end = Timestamp(1_800_000_000_000 + left);
        let old = Session { expires_at: end, ..session() };
        let idle = Session { idle_until: end, ..session() };
        for session in [old, idle] {
            let token = Token::new(&user, &session, &policy, mint(&[]));
            assert_eq!(token.expires_in(), expected, "{left} ms left");
            assert!(Timestamp::from_secs(token.claims().exp) <= access_until(&policy, NOW));
        }
    }
}

#[test]
fn scopes() {
    let admin = user();
    let other = User { roles: vec![role("editor")], ..user() };
    for (scope, to_admin, to_other, in_cookie) in [
        ("", "", "", ""),
        ("account", "account", "account", ""),
        ("admin", "admin", "", ""),
        ("account admin", "account admin", "account", ""),
        ("admin openid admin", "admin openid admin", "openid", "openid"),
        ("administrator", "administrator", "administrator", "administrator"),
    ] {
        assert_eq!(effective_scope(scope, &admin, Delivery::Body), to_admin);
        assert_eq!(effective_scope(scope, &other, Delivery::Body), to_other);
        assert_eq!(effective_scope(scope, &admin, Delivery::Cookie), in_cookie);
    }
}

/// The estimate is exact.
#[test]
fn the_length_of_a_token() {
    use base64::Engine as _;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    for extra in 0..4 {
        for (algorithm, bits) in
            [("ES256", 0), ("HS256", 0), ("ES384", 0), ("EdDSA", 0), ("RS256", 2048), ("PS256", 3072)]
        {
            let user = User { username: Username::from_stored("x".repeat(1 + extra)), ..user() };
            let (session, policy, kid) = (session(), policy(), "k".repeat(40 + extra));
            let token = Token::new(&user, &session, &policy, mint(&[]));
            let signature = vec![0; signature_len(algorithm, bits)];
            let header = json!({"alg": algorithm, "typ": "at+jwt", "kid": kid}).to_string();
            let payload = serde_json::to_vec(&token.claims()).unwrap();
            let compact =
                format!("{}.{}.{}", encode(header.as_bytes()), encode(&payload), encode(&signature));
            assert_eq!(
                estimated_len(&token.claims(), algorithm, kid.len(), signature.len()),
                compact.len(),
                "{algorithm}"
            );
        }
    }
}

/// The contract's figure.
#[test]
fn twenty_roles_fit_a_kilobyte_and_a_half() {
    let roles: Vec<_> = (0..20).map(|n| role(&format!("role-of-12-{}", char::from(b'a' + n)))).collect();
    assert!(roles.iter().all(|r| r.as_str().len() == 12));
    let user = User { roles, claims: BTreeMap::new(), ..user() };
    let (session, policy, audience) = (session(), Policy::default(), vec![shape().issuer]);
    let mint = Mint { jti: "0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1a", ..mint(&audience) };
    let token = Token::new(&user, &session, &policy, mint);
    let length = estimated_len(&token.claims(), "ES256", 43, 64);
    assert!(length <= 1536, "{length}");
    assert!(check_size(&user, &policy, &shape()).is_ok());
}

#[test]
fn what_would_not_fit_the_cookie_is_refused() {
    let with = |value: usize| User {
        claims: (0..10)
            .map(|n| (format!("claim{n}"), json!("v".repeat(if n == 0 { value } else { 230 }))))
            .collect(),
        ..user()
    };
    let policy = Policy::default();
    let fits = (0..1000).take_while(|n| check_size(&with(*n), &policy, &shape()).is_ok()).count();
    assert!((10..990).contains(&fits), "{fits}");
    let TooLarge { bytes } = check_size(&with(fits), &policy, &shape()).unwrap_err();
    assert!((COOKIE_MAX + 1..COOKIE_MAX + 3).contains(&bytes), "{bytes}");
    // Each part of the shape counts: none of them has room left.
    let full = with(fits - 1);
    for shape in [
        Shape { signature_len: 96, ..shape() },
        Shape { kid_len: 80, ..shape() },
        Shape { cookie_name_len: 60, ..shape() },
        Shape { issuer: format!("{}/longer", shape().issuer), ..shape() },
        Shape { status_uri: format!("{}/longer", shape().status_uri), ..shape() },
        Shape { audience: vec!["a".repeat(40); 2], ..shape() },
    ] {
        assert!(check_size(&full, &policy, &shape).is_err(), "{shape:?}");
    }
    // An address that is proven later has its room already.
    let unproven = User { email_verified_at: None, ..full.clone() };
    let bytes =
        |user: &User| check_size(user, &policy, &Shape { kid_len: 500, ..shape() }).unwrap_err().bytes;
    assert_eq!(bytes(&unproven), bytes(&full));
    // A role's permissions count.
    let many = Policy {
        permissions: BTreeMap::from([("editor".to_owned(), vec!["p".repeat(300)])]),
        ..Policy::default()
    };
    assert!(check_size(&full, &many, &shape()).is_err());
}

/// Whatever the session, no token of a user who fits is longer than was reckoned.
#[test]
fn the_reckoning_is_the_worst_case() {
    let (user, policy) = (user(), policy());
    let audience = shape().audience;
    let reckoned = check_size(&user, &policy, &Shape { kid_len: 4000, ..shape() }).unwrap_err().bytes
        - shape().cookie_name_len
        - 1;
    let status_uri = shape().status_uri;
    let mint = Mint {
        issuer: &shape().issuer,
        audience: &audience,
        status_uri: &status_uri,
        status_index: LIST_SIZE - 1,
        jti: "0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1a",
        delivery: Delivery::Body,
        now: Timestamp(9_999_999_000_000),
    };
    let end = Timestamp(i64::MAX);
    let session = Session { idle_until: end, expires_at: end, ..session() };
    let token = Token::new(&user, &session, &policy, mint);
    let length = estimated_len(&token.claims(), "ES256", 4000, 64);
    assert!(length <= reckoned && reckoned - length < 8, "{length} {reckoned}");
}

#[test]
fn custom_claims() {
    use ClaimError::{Name, Null, Reserved, TooLong};
    let table: &[(&str, Value, Option<ClaimError>)] = &[
        ("tenant", json!("acme"), None),
        ("https://example.com/plan", json!({"tier": [1, 2.5, true]}), None),
        ("a", json!(false), None),
        ("n", json!("v".repeat(CLAIM_VALUE_MAX - 2)), None),
        ("n", json!("v".repeat(CLAIM_VALUE_MAX - 1)), Some(TooLong)),
        ("n", json!(null), Some(Null)),
        ("", json!(1), Some(Name)),
        (&"n".repeat(64), json!(1), None),
        (&"n".repeat(65), json!(1), Some(Name)),
        ("a b", json!(1), Some(Name)),
        ("a\"b", json!(1), Some(Name)),
        ("ä", json!(1), Some(Name)),
        ("roles", json!(["admin"]), Some(Reserved)),
        ("Roles", json!(["admin"]), Some(Reserved)),
        ("EXP", json!(1), Some(Reserved)),
        ("__proto__", json!({}), Some(Reserved)),
        ("email_verified", json!(true), Some(Reserved)),
    ];
    for (name, value, expected) in table {
        assert_eq!(check_claim(name, value).err(), *expected, "{name}");
    }
    // Everything that a token says itself is reserved, so no member ever comes twice.
    let all = claims(&User { claims: BTreeMap::new(), ..user() }, &session(), &policy());
    for claim in all.as_object().unwrap().keys() {
        assert_eq!(check_claim(claim, &json!(1)), Err(Reserved), "{claim}");
    }
}
