//! A resource server's side: keys read once, each request's token verified without asking anybody.
//!
//! `cargo run -p jotgate-jose --example resource_server`

use std::error::Error as StdError;

use jotgate_jose::{Algorithm, Error, KeyError, KeySet, OwnedClaims, Policy, SigningKey, verify_in};

const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";

/// What is kept between requests.
struct ResourceServer {
    keys: KeySet,
    policy: Policy,
}

impl ResourceServer {
    /// `jwks` is what the issuer publishes at its `jwks_uri`.
    fn new(jwks: &str) -> Result<Self, Box<dyn StdError>> {
        let keys = KeySet::from_public_json(jwks)?;
        for rejected in keys.rejected() {
            eprintln!("key {} ({:?}) is left out: {}", rejected.index, rejected.kid, rejected.error);
        }
        let policy = Policy::access_token(ISSUER, AUDIENCE)
            .algorithms(&[Algorithm::Es256, Algorithm::EdDsa])
            .max_age(3600)
            .leeway(5)?;
        Ok(Self { keys, policy })
    }

    /// One request: who asks, or why not. `buffer` is kept by the worker, so that nothing is allocated.
    fn handle(&self, token: &str, now: u64, buffer: &mut Vec<u8>) -> Result<String, Error> {
        let verified = verify_in(buffer, &self.keys, &self.policy, token, now)?;
        let claims = verified.claims();
        let name = claims.preferred_username().or(claims.sub()).unwrap_or_default();
        let may_write = claims.has_scope("write") || claims.roles().contains("editor");
        Ok(format!("{name} may {}", if may_write { "read and write" } else { "read" }))
    }
}

fn main() -> Result<(), Box<dyn StdError>> {
    let now = 1_790_000_000;
    // The issuer, for the sake of the example in the same program.
    let key = SigningKey::generate(Algorithm::Es256)?;
    let server = ResourceServer::new(&KeySet::from(key.verifying_key()).to_json())?;

    let mut claims = OwnedClaims {
        iss: Some(ISSUER.into()),
        sub: Some("0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".into()),
        aud: vec![AUDIENCE.into()],
        exp: Some(now + 600),
        iat: Some(now),
        jti: Some("1".into()),
        client_id: Some("web".into()),
        preferred_username: Some("ada".into()),
        roles: vec!["editor".into()],
        ..OwnedClaims::default()
    };
    let good = key.sign("at+jwt", &serde_json::to_vec(&claims)?)?;
    claims.aud = vec!["https://other.example.com".into()];
    let meant_for_another = key.sign("at+jwt", &serde_json::to_vec(&claims)?)?;
    let no_access_token = key.sign("JWT", &serde_json::to_vec(&claims)?)?;

    let mut buffer = Vec::new();
    for (what, token, at) in [
        ("a good token", good.as_str(), now),
        ("ten minutes later", &good, now + 605),
        ("another's audience", &meant_for_another, now),
        ("an ID token", &no_access_token, now),
        ("no token at all", "Bearer", now),
    ] {
        match server.handle(token, at, &mut buffer) {
            Ok(answer) => println!("{what:20} 200 {answer}"),
            Err(error) => println!("{what:20} 401 {}: {error}", error.code()),
        }
    }

    // Writing claims straight into the buffer that becomes the response.
    let mut response = br#"{"token_type":"Bearer","access_token":""#.to_vec();
    key.sign_into("at+jwt", &mut response, |space| {
        serde_json::to_writer(space, &claims).map_err(|_| KeyError::Rejected)
    })?;
    response.extend_from_slice(b"\"}");
    println!("{} bytes of response, in one buffer", response.len());
    Ok(())
}
