//! From a code to somebody a provider vouches for (OpenID Connect Core §3.1.3). Nothing here touches the database.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use jotgate_domain::Timestamp;
use jotgate_domain::name::Email;
use jotgate_domain::upstream::id_token::{self, Expected, Said};
use jotgate_domain::upstream::{AboutEmail, Preset, SUBJECT_MAX, Vouched};
use jotgate_jose::{Algorithm, Error, MAX_LEEWAY, Policy, SigningKey, Verified, verify};
use serde_json::{Value, json};

use super::github;
use super::provider::{Keys, Metadata, Provider, Trouble, away};

/// How long a client secret that we make is good for, in seconds; it is used at once.
const SECRET_LIFE: i64 = 300;

/// A code, and what was sent along when it was asked for.
#[derive(Clone, Copy)]
pub(super) struct Code<'a> {
    pub(super) code: &'a str,
    pub(super) verifier: &'a str,
    pub(super) redirect_uri: &'a str,
    pub(super) nonce: Option<&'a str>,
}

impl Provider {
    /// # Errors
    /// [`Trouble`].
    pub(super) async fn redeem(&self, code: Code<'_>, now: Timestamp) -> Result<Vouched, Trouble> {
        let metadata = self.metadata(now).await?;
        let tokens = self.tokens(&metadata, code, now).await?;
        let text = |name: &str| tokens.get(name).and_then(Value::as_str);
        let access_token = text("access_token").filter(|token| token.bytes().all(|b| b.is_ascii_graphic()));
        if self.has_no_id_token() {
            let token = access_token.ok_or_else(|| away("the token endpoint", "gave no access token"))?;
            return github::vouched(self, &metadata, token).await;
        }
        let token = text("id_token").ok_or_else(|| Trouble::Token("there is no ID token".to_owned()))?;
        let (mut vouched, claims, algorithm) = self.id_token(&metadata, token, code.nonce, now).await?;
        if vouched.subject.len() > SUBJECT_MAX {
            return Err(Trouble::Token("sub is longer than 255 characters".to_owned()));
        }
        vouched.names = names(&claims);
        self.add_email(&mut vouched, &claims);
        if let (None, Some(url), Some(token)) = (&vouched.email, &metadata.userinfo_endpoint, access_token) {
            if claims.get("at_hash").is_some_and(|said| *said != at_hash(algorithm, token)) {
                return Err(Trouble::Token("at_hash is that of another access token".to_owned()));
            }
            let claims = self.get("the userinfo endpoint", url, Some(token)).await?;
            // OpenID Connect Core §5.3.2: an access token could have been swapped.
            if string(&claims, "sub") != Some(vouched.subject.as_str()) {
                return Err(Trouble::Token("the userinfo endpoint speaks of somebody else".to_owned()));
            }
            vouched.names.extend(names(&claims));
            self.add_email(&mut vouched, &claims);
        }
        Ok(vouched)
    }

    fn add_email(&self, vouched: &mut Vouched, claims: &Value) {
        let Some(email) = string(claims, "email").and_then(|email| Email::parse(email).ok()) else { return };
        // Apple sends its truth values as strings, Microsoft as numbers.
        let is_true = |name: &str| match claims.get(name) {
            Some(Value::Bool(value)) => *value,
            Some(Value::String(text)) => text == "true" || text == "1",
            Some(Value::Number(number)) => number.as_u64() == Some(1),
            _ => false,
        };
        let about = AboutEmail {
            address: email.as_str(),
            verified: is_true("email_verified"),
            domain_owner_verified: is_true("xms_edov"),
            hosted_domain: string(claims, "hd"),
        };
        vouched.email_verified = Preset::vouches_for_email(self.config.preset, about);
        vouched.email = Some(email);
    }

    /// RFC 6749 §4.1.3, with RFC 7636 §4.5.
    async fn tokens(&self, metadata: &Metadata, code: Code<'_>, now: Timestamp) -> Result<Value, Trouble> {
        const WHAT: &str = "the token endpoint";
        let id = self.config.client_id.as_str();
        let secret = self.client_secret(now)?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.code),
            ("redirect_uri", code.redirect_uri),
            ("code_verifier", code.verifier),
        ];
        let mut basic = None;
        match &secret {
            Some(secret) if metadata.secret_in_form => {
                form.extend([("client_id", id), ("client_secret", secret.as_str())]);
            }
            Some(secret) => basic = Some(basic_header(id, secret)),
            None => form.push(("client_id", id)),
        }
        let (status, answer) = self.post(WHAT, &metadata.token_endpoint, &form, basic).await?;
        // GitHub answers 200 to what it refuses.
        match string(&answer, "error") {
            Some("invalid_grant" | "bad_verification_code") => {
                Err(Trouble::Code(format!("{} does not accept the code", self.name)))
            }
            Some("invalid_request") => {
                Err(Trouble::Code(format!("{} does not understand the code", self.name)))
            }
            Some(error) => {
                let error: String = error.chars().filter(char::is_ascii_graphic).take(64).collect();
                Err(away(WHAT, format!("refuses this server: {error}. Check client_id and client_secret")))
            }
            None if status == StatusCode::OK => Ok(answer),
            None => Err(away(WHAT, format!("answered {status}"))),
        }
    }

    /// The configured secret, or Apple's: a JWT (RFC 7523 §3).
    fn client_secret(&self, now: Timestamp) -> Result<Option<zeroize::Zeroizing<String>>, Trouble> {
        let config = &self.config;
        let (Some(team), Some(kid), Some(key)) = (&config.team_id, &config.key_id, &config.private_key)
        else {
            let secret = config.client_secret.as_ref();
            return Ok(secret.map(|secret| zeroize::Zeroizing::new(secret.expose().to_owned())));
        };
        let claims = json!({
            "iss": team,
            "iat": now.secs(),
            "exp": now.secs().saturating_add(SECRET_LIFE),
            "aud": config.base(),
            "sub": config.client_id,
        });
        SigningKey::from_pem(Algorithm::Es256, key.expose())
            .and_then(|key| key.with_kid(kid).sign("JWT", claims.to_string().as_bytes()))
            .map(|jwt| Some(zeroize::Zeroizing::new(jwt)))
            .map_err(|error| away("private_key", error))
    }

    /// Verifies an ID token: whom it vouches for, with no more than who and when; all its claims; its algorithm.
    async fn id_token(
        &self,
        metadata: &Metadata,
        token: &str,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<(Vouched, Value, Algorithm), Trouble> {
        // The issuer may have a tenant in it: that is held against the token below.
        let policy = Policy::token("JWT", "", &self.config.client_id)
            .any_issuer()
            .typ_may_be_absent()
            .require("sub")
            .require("iat")
            .algorithms(&metadata.algorithms)
            .leeway(MAX_LEEWAY)
            .map_err(|error| Trouble::Token(error.to_string()))?;
        let seconds = u64::try_from(now.secs()).unwrap_or(0);
        let mut keys = self.keys(metadata, now, false).await?;
        let mut result = verify(&keys.set, &policy, token, seconds);
        if let Err(Error::UnknownKey) = result {
            keys = self.keys(metadata, now, true).await?;
            result = verify(&keys.set, &policy, token, seconds);
        }
        let verified = result.map_err(|error| Trouble::Token(format!("the ID token: {}", error.code())))?;
        let issuer = self.check(metadata, &keys, &verified, nonce)?;
        let authenticated_at = id_token::authenticated_at(verified.claims().auth_time(), now)
            .map_err(|why| Trouble::Token(why.to_string()))?;
        let claims: Value = serde_json::from_str(verified.claims().json())
            .map_err(|_| Trouble::Token("the claims are no JSON".to_owned()))?;
        let subject = string(&claims, "sub").unwrap_or_default().to_owned();
        let vouched = Vouched { issuer, subject, authenticated_at, ..Vouched::default() };
        Ok((vouched, claims, verified.algorithm()))
    }

    fn check(
        &self,
        metadata: &Metadata,
        keys: &Keys,
        verified: &Verified<'_>,
        nonce: Option<&str>,
    ) -> Result<String, Trouble> {
        let claims = verified.claims();
        let aud: Vec<_> = claims.aud().iter().collect();
        let aud: Vec<&str> = aud.iter().map(AsRef::as_ref).collect();
        let (azp, said_nonce) = (claims.get_str("azp"), claims.get_str("nonce"));
        let tenant = claims.get_str("tid");
        // A claim that is there and is no text is none of these.
        if ["azp", "nonce"].iter().any(|name| claims.get(name).is_some() && claims.get_str(name).is_none()) {
            return Err(Trouble::Token("a claim of the ID token has a wrong type".to_owned()));
        }
        let said = Said {
            iss: claims.iss(),
            aud: &aud,
            azp: azp.as_deref(),
            nonce: said_nonce.as_deref(),
            tenant: tenant.as_deref(),
        };
        let expected = Expected {
            issuer: &metadata.issuer,
            key_issuer: keys.issuers.get(verified.kid()).map(String::as_str),
            client_id: &self.config.client_id,
            nonce,
        };
        id_token::check(said, expected).map(str::to_owned).map_err(|why| Trouble::Token(why.to_string()))
    }
}

/// `at_hash` of an access token that came with an ID token of this algorithm: half of its hash (OpenID Connect Core
/// §3.1.3.6), with Ed25519 of SHA-512, as RFC 8032 has it.
fn at_hash(algorithm: Algorithm, access_token: &str) -> String {
    let hash = match algorithm {
        Algorithm::Es384 => &digest::SHA384,
        Algorithm::EdDsa => &digest::SHA512,
        _ => &digest::SHA256,
    };
    let hash = digest::digest(hash, access_token.as_bytes());
    let (half, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(half)
}

fn string<'v>(claims: &'v Value, name: &str) -> Option<&'v str> {
    claims.get(name).and_then(Value::as_str)
}

fn names(claims: &Value) -> Vec<String> {
    let names = ["preferred_username", "nickname", "name"];
    names.into_iter().filter_map(|name| string(claims, name)).map(str::to_owned).collect()
}

/// RFC 6749 §2.3.1: both are form-encoded first.
fn basic_header(id: &str, secret: &str) -> String {
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_named_as_the_rfc_says() {
        let header = basic_header("a:b", "s%c r+t");
        let text = STANDARD.decode(header.strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "a%3Ab:s%25c+r%2Bt");
    }
}
