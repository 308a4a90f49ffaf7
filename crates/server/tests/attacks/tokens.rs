//! Access tokens at the endpoints: forged, of another kind, for somebody else, too late, in odd places.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use jotgate_jose::{Algorithm, SigningKey};
use serde_json::{Value, json};

use crate::support::{Answer, Ask, START, Site, Tokens, claims, http_origin};
use crate::tools::*;

/// A site, a signed-in user, their claims, and the key, to sign whatever the real one would never sign.
async fn forge() -> (Site, Tokens, Value, SigningKey) {
    let site = Site::new().await;
    let tokens = site.signed_in("ada").await;
    let claims = claims(&tokens.access);
    let key = signing_key(&site).await;
    (site, tokens, claims, key)
}

fn signed(key: &SigningKey, typ: &str, claims: &Value) -> String {
    key.sign(typ, claims.to_string().as_bytes()).unwrap()
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn join(header: &str, payload: &[u8], signature: &str) -> String {
    format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

#[tokio::test]
async fn a_forged_token_of_the_same_form_is_accepted_or_the_others_prove_nothing() {
    let (site, _, claims, key) = forge().await;
    accepted_everywhere(&site, &signed(&key, "at+jwt", &claims)).await;
    accepted_everywhere(&site, &signed(&key, "application/at+jwt", &claims)).await;
}

#[tokio::test]
async fn a01_a02_a03_a_token_that_nobody_signed_is_nobodys() {
    let (site, tokens, claims, key) = forge().await;
    let kid = key.kid().to_owned();
    let payload = claims.to_string();
    let signature = tokens.access.rsplit('.').next().unwrap().to_owned();
    for alg in ["none", "None", "NONE", "nOnE", "none ", ""] {
        for signature in ["", signature.as_str()] {
            let header = json!({"alg": alg, "typ": "at+jwt", "kid": kid}).to_string();
            let token = join(&header, payload.as_bytes(), signature);
            for (where_, status, _) in everywhere(&site, &token).await {
                assert_eq!(status, 401, "{where_} {alg:?}");
            }
        }
    }
    let jwks = site.get("/.well-known/jwks.json").send().await.text();
    let jwk: Value = serde_json::from_str::<Value>(&jwks).unwrap()["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|jwk| jwk["kid"] == kid)
        .unwrap()
        .clone();
    let point = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let secrets = [
        jwks.into_bytes(),
        jwk.to_string().into_bytes(),
        [point("x"), point("y")].concat(),
        [vec![4], point("x"), point("y")].concat(),
        point("x"),
        kid.clone().into_bytes(),
    ];
    for secret in secrets {
        let secret = if secret.len() < 32 { [secret, vec![0; 32]].concat() } else { secret };
        let secret = &secret[..secret.len().min(1024)];
        let forger = SigningKey::from_secret(Algorithm::Hs256, secret).unwrap().with_kid(&kid);
        refused_everywhere(&site, &signed(&forger, "at+jwt", &claims), "unsupported_algorithm").await;
    }
    // Another key under the same kid, and one that the token brings along.
    let own = SigningKey::generate(Algorithm::Es256).unwrap().with_kid(&kid);
    refused_everywhere(&site, &signed(&own, "at+jwt", &claims), "invalid_signature").await;
    let own = SigningKey::generate(Algorithm::Es256).unwrap();
    refused_everywhere(&site, &signed(&own, "at+jwt", &claims), "unknown_key").await;
    // Signed bytes under other claims.
    let more = with(&claims, "scope", json!("account admin"));
    let header =
        String::from_utf8(URL_SAFE_NO_PAD.decode(tokens.access.split('.').next().unwrap()).unwrap()).unwrap();
    let token = join(&header, more.to_string().as_bytes(), &signature);
    refused_everywhere(&site, &token, "invalid_signature").await;
}

#[tokio::test]
async fn a17_a19_a20_a21_what_is_no_compact_token_is_refused_at_once() {
    let (site, tokens, ..) = forge().await;
    let parts: Vec<&str> = tokens.access.split('.').collect();
    let flattened = json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]}).to_string();
    for token in [
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.", tokens.access),
        format!(".{}.{}", parts[1], parts[2]),
        format!("{}..{}", parts[0], parts[2]),
        format!("{}.x", tokens.access),
        format!("{}=", tokens.access),
        tokens.access.replace('-', "+").replace('_', "/") + "==",
        ".".repeat(10_000),
        "A".repeat(30_000),
        format!("{}.{}.{}", URL_SAFE_NO_PAD.encode("[".repeat(9_000)), parts[1], parts[2]),
        URL_SAFE_NO_PAD.encode(&flattened),
        "..".to_owned(),
        "null".to_owned(),
        "undefined".to_owned(),
    ] {
        let began = std::time::Instant::now();
        for (where_, status, code) in everywhere(&site, &token).await {
            assert_eq!(status, 401, "{where_}: {token:.60}");
            assert!(
                matches!(code.as_str(), "malformed" | "invalid_signature"),
                "{where_}: {token:.60}: {code}"
            );
        }
        assert!(began.elapsed() < Duration::from_millis(200), "{token:.60}: {:?}", began.elapsed());
    }
    let answer = site.get("/auth/me").header("authorization", &format!("Bearer {flattened}")).send().await;
    assert!(matches!(answer.status, 400 | 401), "{}", answer.text());
    // Every other last character of the signature, and every other character anywhere.
    for at in (0..tokens.access.len()).step_by(7).chain([tokens.access.len() - 1]) {
        let mut changed = tokens.access.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(site.me(&changed).await.status, 401, "{at}");
    }
}

#[tokio::test]
async fn a25_a27_a28_times_are_numbers_and_kept_to_the_second() {
    let (site, _, claims, key) = forge().await;
    for name in ["exp", "iat", "nbf"] {
        for value in [
            json!("1795349400"),
            json!(-1),
            json!(9_223_372_036_854_775_808_u64),
            json!(null),
            json!(true),
            json!([1_795_349_400]),
            json!({}),
        ] {
            let token = signed(&key, "at+jwt", &with(&claims, name, value.clone()));
            for (where_, status, code) in everywhere(&site, &token).await {
                assert_eq!((status, code.as_str()), (401, "malformed"), "{name} {value} {where_}");
            }
        }
        let text = claims.to_string().replacen('{', &format!("{{\"{name}\":1e400,"), 1);
        let token = key.sign("at+jwt", text.as_bytes()).unwrap();
        refused_everywhere(&site, &token, "malformed").await;
    }
    for name in ["exp", "iat"] {
        refused_everywhere(&site, &signed(&key, "at+jwt", &without(&claims, name)), "missing_claim").await;
    }
    refused_everywhere(&site, &signed(&key, "at+jwt", &with(&claims, "exp", json!(START))), "expired").await;
    accepted_everywhere(&site, &signed(&key, "at+jwt", &with(&claims, "exp", json!(START + 1)))).await;
    accepted_everywhere(&site, &signed(&key, "at+jwt", &with(&claims, "nbf", json!(START)))).await;
    refused_everywhere(
        &site,
        &signed(&key, "at+jwt", &with(&claims, "nbf", json!(START + 1))),
        "not_yet_valid",
    )
    .await;
    let ahead = with(&claims, "iat", json!(START + 3_600));
    refused_everywhere(&site, &signed(&key, "at+jwt", &ahead), "not_yet_valid").await;
}

#[tokio::test]
async fn a29_a30_a31_only_our_tokens_for_us_are_ours() {
    let (site, _, claims, key) = forge().await;
    let issuer = "http://127.0.0.1:8080";
    for (aud, code) in [
        (json!([]), "wrong_audience"),
        (json!(""), "wrong_audience"),
        (json!(["x"]), "wrong_audience"),
        (json!("http://127.0.0.1:8080/"), "wrong_audience"),
        (json!("HTTP://127.0.0.1:8080"), "wrong_audience"),
        (json!("http://127.0.0.1:808"), "wrong_audience"),
        (json!("http://127.0.0.1:80801"), "wrong_audience"),
        (json!("http://127.0.0.1:8080 other"), "wrong_audience"),
        (json!("http://localhost:8080"), "wrong_audience"),
        (json!([[issuer]]), "malformed"),
        (json!([issuer, 7, null]), "malformed"),
        (json!({"aud": issuer}), "malformed"),
        (json!(null), "malformed"),
        (json!(7), "malformed"),
    ] {
        refused_everywhere(&site, &signed(&key, "at+jwt", &with(&claims, "aud", aud)), code).await;
    }
    refused_everywhere(&site, &signed(&key, "at+jwt", &without(&claims, "aud")), "missing_claim").await;
    accepted_everywhere(&site, &signed(&key, "at+jwt", &with(&claims, "aud", json!(["other", issuer]))))
        .await;
    for (iss, code) in [
        (json!("http://127.0.0.1:808"), "wrong_issuer"),
        (json!("http://127.0.0.1:8080/"), "wrong_issuer"),
        (json!("HTTP://127.0.0.1:8080"), "wrong_issuer"),
        (json!("http://127.0.0.1:8080.evil.example"), "wrong_issuer"),
        (json!("http://localhost:8080"), "wrong_issuer"),
        (json!(""), "missing_claim"),
        (json!([issuer]), "malformed"),
        (json!(null), "malformed"),
    ] {
        refused_everywhere(&site, &signed(&key, "at+jwt", &with(&claims, "iss", iss)), code).await;
    }
    for name in ["iss", "sub", "jti", "client_id"] {
        refused_everywhere(&site, &signed(&key, "at+jwt", &without(&claims, name)), "missing_claim").await;
    }
}

#[tokio::test]
async fn a35_a_token_for_another_audience_of_ours_is_refused_where_it_is_not_named() {
    let site = Site::with(http_origin(), |config| {
        config.token.audience = vec!["https://a.example".into(), "b".into()]
    })
    .await;
    let tokens = site.signed_in("ada").await;
    let own = claims(&tokens.access);
    assert_eq!(own["aud"], json!(["https://a.example", "b"]));
    accepted_everywhere(&site, &tokens.access).await;
    let key = signing_key(&site).await;
    for aud in [json!("https://a.example/"), json!("http://127.0.0.1:8080"), json!("a"), json!("B")] {
        refused_everywhere(&site, &signed(&key, "at+jwt", &with(&own, "aud", aud)), "wrong_audience").await;
    }
    // Configured anew: tokens for nobody who is left are refused, and the session goes on with new ones.
    let site = site.restart(|config| config.token.audience = vec!["https://c.example".into()]).await;
    refused_everywhere(&site, &tokens.access, "wrong_audience").await;
    let renewed = site.refresh(&tokens.refresh).await.tokens();
    assert_eq!(claims(&renewed.access)["aud"], "https://c.example");
    accepted_everywhere(&site, &renewed.access).await;
}

#[tokio::test]
async fn a24_a32_a34_a_token_of_another_kind_is_no_access_token() {
    let (site, _, claims, key) = forge().await;
    for typ in [
        "JWT",
        "jwt",
        "",
        "id+jwt",
        "logout+jwt",
        "token-introspection+jwt",
        "oauth-authz-req+jwt",
        "dpop+jwt",
        "statuslist+jwt",
        "secevent+jwt",
        "client-authentication+jwt",
        "reset+jwt",
        "at+jwt+x",
        "x-at+jwt",
        "at+jw",
        "text/at+jwt",
        "application/application/at+jwt",
    ] {
        refused_everywhere(&site, &signed(&key, typ, &claims), "wrong_type").await;
    }
}

#[tokio::test]
async fn a45_a46_text_that_is_no_text_and_names_in_another_case() {
    let (site, _, claims, key) = forge().await;
    let text = claims.to_string();
    let sub = claims["sub"].as_str().unwrap();
    let sign = |payload: &[u8]| key.sign("at+jwt", payload).unwrap();
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for payload in [
        utf16,
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        text.replace(sub, "\u{fffd}").replace('\u{fffd}', "\u{1}").into_bytes(),
        text.replacen(sub, "\\ud800", 1).into_bytes(),
        [text.as_bytes(), b"\xff"].concat(),
        format!("{text}{text}").into_bytes(),
        format!("[{text}]").into_bytes(),
        text.replacen('{', "{\"sub\":\"x\",", 1).into_bytes(),
        text.replacen('{', "{\"\\u0073ub\":\"x\",", 1).into_bytes(),
        b"".to_vec(),
        b"null".to_vec(),
    ] {
        let shown = String::from_utf8_lossy(&payload).chars().take(60).collect::<String>();
        let token = sign(&payload);
        for (where_, status, code) in everywhere(&site, &token).await {
            assert_eq!((status, code.as_str()), (401, "malformed"), "{shown} {where_}");
        }
    }
    for (name, other) in [("exp", "EXP"), ("aud", "Aud"), ("iss", "ISS"), ("sub", "Sub"), ("iat", "Iat")] {
        let value = claims[name].clone();
        let token = signed(&key, "at+jwt", &with(&without(&claims, name), other, value));
        refused_everywhere(&site, &token, "missing_claim").await;
    }
}

/// Claims that nobody minted point at no session and no user of somebody else.
#[tokio::test]
async fn a_token_without_its_session_reaches_no_record() {
    let (site, _, claims, key) = forge().await;
    for sid in [json!("x"), json!(""), json!("0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1a")] {
        let token = signed(&key, "at+jwt", &with(&claims, "sid", sid.clone()));
        assert_eq!(site.me(&token).await.status, 401, "{sid}");
        assert_eq!(site.get("/auth/sessions").bearer(&token).send().await.status, 401, "{sid}");
        assert_eq!(
            site.ask(Method::DELETE, "/auth/sessions").bearer(&token).send().await.status,
            401,
            "{sid}"
        );
    }
    let token = signed(&key, "at+jwt", &without(&claims, "sid"));
    assert_eq!(site.me(&token).await.status, 401);
    assert_eq!(site.ask(Method::POST, "/auth/logout").bearer(&token).send().await.status, 401);
}

async fn form(ask: Ask<'_>, access: &str) -> Answer {
    ask.header("content-type", "application/x-www-form-urlencoded")
        .body(format!("access_token={access}"))
        .send()
        .await
}

#[tokio::test]
async fn a47_a_token_in_a_query_or_a_form_is_none_and_beside_a_header_one_too_many() {
    let (site, tokens, ..) = forge().await;
    let access = &tokens.access;
    for path in ["/auth/me", "/auth/verify", "/auth/sessions"] {
        let query = format!("{path}?access_token={access}");
        assert_eq!(site.get(&query).send().await.code(), "unauthenticated", "{path}");
        for name in ["access_token", "access%5Ftoken", "%61ccess_token"] {
            let both = site.get(&format!("{path}?a=b&{name}={access}")).bearer(access).send().await;
            assert_eq!((both.status, both.code().as_str()), (400, "ambiguous_credentials"), "{path} {name}");
        }
    }
    assert_eq!(form(site.ask(Method::POST, "/auth/logout"), access).await.status, 415);
    let both = form(site.ask(Method::POST, "/auth/logout").bearer(access), access).await;
    assert_eq!((both.status, both.code().as_str()), (400, "ambiguous_credentials"));
    accepted_everywhere(&site, access).await;
}

#[tokio::test]
async fn a48_one_header_one_scheme_one_space_one_token() {
    let (site, tokens, ..) = forge().await;
    let access = &tokens.access;
    for path in ["/auth/me", "/auth/verify", "/auth/sessions"] {
        let ask = async |values: &[String]| {
            let ask = values.iter().fold(site.get(path), |ask, value| ask.header("authorization", value));
            ask.send().await.status
        };
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            assert_eq!(ask(&[format!("{scheme} {access}")]).await, 200, "{path} {scheme}");
        }
        for ambiguous in [
            format!("Bearer\t{access}"),
            format!("Bearer  {access}"),
            format!("Bearer {access} {access}"),
            format!("Bearer {access},Bearer {access}"),
            format!("Bearer {access}, Basic YTpi"),
        ] {
            assert_eq!(ask(std::slice::from_ref(&ambiguous)).await, 400, "{path} {ambiguous:.20}");
        }
        assert_eq!(ask(&[format!("Bearer {access}"), format!("Bearer {access}")]).await, 400, "{path}");
        assert_eq!(ask(&["Basic YTpi".to_owned(), format!("Bearer {access}")]).await, 400, "{path}");
        for other in ["Bearer", "Bearer ", "Basic YTpi", "", "Token x"] {
            assert_eq!(ask(&[other.to_owned()]).await, 401, "{path} {other}");
        }
        assert_eq!(ask(&[format!("DPoP {access}")]).await, 401, "{path}: a50");
        assert_eq!(ask(std::slice::from_ref(access)).await, 401, "{path}");
        // A good cookie does not mend a bad header.
        let cookie = format!("jwt={access}");
        for bad in ["Basic YTpi", "Bearer x", "Bearer"] {
            let answer = site.get(path).header("authorization", bad).header("cookie", &cookie).send().await;
            assert_eq!(answer.status, 401, "{path} {bad}");
        }
    }
}

#[tokio::test]
async fn a43_no_private_member_is_published_and_kids_differ() {
    for algorithm in Algorithm::ALL {
        if !["HS256", "RS256", "PS256", "ES256", "ES384", "EdDSA"].contains(&algorithm.name()) {
            continue;
        }
        let site = Site::with(http_origin(), |config| config.token.algorithm = algorithm).await;
        let jwks = site.get("/.well-known/jwks.json").send().await;
        assert_eq!(jwks.header("cache-control"), Some("public, max-age=300"));
        let jwks = jwks.json();
        let keys = jwks["keys"].as_array().unwrap();
        assert!(keys.len() >= 2, "a standby is published: {algorithm}");
        let mut kids = Vec::new();
        for key in keys {
            let key = key.as_object().unwrap();
            assert_ne!(key["kty"], "oct", "{algorithm}");
            for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"] {
                assert!(!key.contains_key(private), "{algorithm} {private}");
            }
            kids.push(key["kid"].as_str().unwrap().to_owned());
        }
        kids.sort();
        kids.dedup();
        assert_eq!(kids.len(), keys.len(), "{algorithm}");
    }
}
