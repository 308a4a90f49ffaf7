//! Asks the issuer about a token (RFC 7662), and ends one (RFC 7009), as an OAuth client with a secret.
//!
//! Each question is a round trip, and no answer is kept: an answer is as old as it is kept. Where a second is soon
//! enough, [`follow`](crate::follow) is faster and goes on while the issuer is away.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::clock::now;
use crate::follow::client::Client;
use crate::follow::discovery::{self, Endpoints};
use crate::follow::{Failure, Issuer, SetupError};

/// Longest answer that is read, in bytes.
const LIMIT: usize = 64 * 1024;

/// Asks one issuer. Cheap to clone.
///
/// ```no_run
/// # async fn run(token: &str) -> Result<(), Box<dyn std::error::Error>> {
/// use jotgate_verify::follow::Issuer;
/// use jotgate_verify::introspect::Introspector;
///
/// let issuer = Issuer::new("https://login.example.com", "https://api.example.com");
/// let introspector = Introspector::new(&issuer, "orders", &std::env::var("CLIENT_SECRET")?)?;
/// match introspector.introspect(token).await? {
///     Some(active) => println!("{:?}", active.sub()),
///     None => println!("not active"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Introspector(Arc<Inner>);

struct Inner {
    issuer: String,
    audience: String,
    client: Client,
    /// The `Authorization` field, wiped when dropped.
    authorization: Zeroizing<String>,
    endpoints: ArcSwapOption<Endpoints>,
}

impl fmt::Debug for Introspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspector").field("issuer", &self.0.issuer).finish_non_exhaustive()
    }
}

/// Why there is no answer. Neither the token nor the secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskError {
    /// The issuer cannot be asked, or its answer not be used. Refuse the request that brought the token.
    Failure(Failure),
    /// It does not take the client for whom it says it is: id or secret is wrong, or the client was deleted.
    ClientRefused,
    /// It does what was asked for nobody, or not for this client: its `error` (RFC 6749 §5.2), such as
    /// `invalid_grant` for another client's token.
    Refused(String),
    /// Its metadata name no such endpoint.
    NoEndpoint,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failure(failure) => failure.fmt(f),
            Self::ClientRefused => {
                f.write_str("the issuer refuses the client: its id or its secret is wrong")
            }
            Self::Refused(error) => write!(f, "the issuer refuses the request: {error}"),
            Self::NoEndpoint => f.write_str("the issuer's metadata name no endpoint for this"),
        }
    }
}

impl std::error::Error for AskError {}

impl From<Failure> for AskError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// What a token is, to whom it may concern (RFC 7009 §2.1). It only helps the issuer to look in the right place first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// `access_token`
    AccessToken,
    /// `refresh_token`
    RefreshToken,
}

impl Introspector {
    /// The client `client_id` of the issuer that `issuer` names, for the audience named there; its other settings that
    /// matter here are TLS and `http`.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(issuer: &Issuer, client_id: &str, client_secret: &str) -> Result<Self, SetupError> {
        let mut pair = Zeroizing::new(String::with_capacity(3 * (client_id.len() + client_secret.len()) + 1));
        encode(client_id, &mut pair);
        pair.push(':');
        encode(client_secret, &mut pair);
        let mut authorization = Zeroizing::new(String::with_capacity(6 + pair.len().div_ceil(3) * 4));
        authorization.push_str("Basic ");
        STANDARD.encode_string(pair.as_bytes(), &mut authorization);
        Ok(Self(Arc::new(Inner {
            issuer: issuer.address.clone(),
            audience: issuer.audience.clone(),
            client: issuer.client()?,
            authorization,
            endpoints: ArcSwapOption::empty(),
        })))
    }

    /// What the issuer says of an access token at this moment; none where it is not active, is not for this audience,
    /// or is no bearer token, such as a refresh token. At most ten seconds, each way together.
    ///
    /// # Errors
    /// [`AskError`]: then nothing is known, and whoever shows the token is to be refused.
    pub async fn introspect(&self, token: &str) -> Result<Option<Active>, AskError> {
        let body =
            self.ask(|endpoints| endpoints.introspection.clone(), token, Some(Hint::AccessToken)).await?;
        let unusable = || AskError::Failure(Failure::Unusable("no introspection answer"));
        let Value::Object(members) = serde_json::from_slice(&body).map_err(|_| unusable())? else {
            return Err(unusable());
        };
        let active = Active(members);
        match active.get("active") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Ok(None),
            _ => return Err(unusable()),
        }
        let bearer = active.text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("Bearer"));
        let ours = active.text("iss") == Some(&self.0.issuer) && active.is_for(&self.0.audience);
        let in_time = active.exp().is_some_and(|exp| exp > now());
        Ok(Some(active).filter(|_| bearer && ours && in_time))
    }

    /// Ends a token that was issued to this client. One that is not known, or not good any more, is no error.
    ///
    /// # Errors
    /// [`AskError`]: the token may still be good.
    pub async fn revoke(&self, token: &str, hint: Option<Hint>) -> Result<(), AskError> {
        self.ask(|endpoints| endpoints.revocation.clone(), token, hint).await.map(drop)
    }

    async fn ask(
        &self,
        endpoint: impl Fn(&Endpoints) -> Option<String>,
        token: &str,
        hint: Option<Hint>,
    ) -> Result<bytes::Bytes, AskError> {
        let path = endpoint(&*self.endpoints().await?).ok_or(AskError::NoEndpoint)?;
        let mut form = Zeroizing::new(String::with_capacity(3 * token.len() + 40));
        form.push_str("token=");
        encode(token, &mut form);
        match hint {
            None => {}
            Some(Hint::AccessToken) => form.push_str("&token_type_hint=access_token"),
            Some(Hint::RefreshToken) => form.push_str("&token_type_hint=refresh_token"),
        }
        let (status, body) = self.0.client.post(&path, &self.0.authorization, &form, LIMIT).await?;
        match status.as_u16() {
            200 => Ok(body),
            401 => Err(AskError::ClientRefused),
            400 => Err(AskError::Refused(error_of(&body))),
            other => {
                // It may have moved.
                self.0.endpoints.store(None);
                Err(Failure::Status(other).into())
            }
        }
    }

    async fn endpoints(&self) -> Result<Arc<Endpoints>, Failure> {
        if let Some(known) = self.0.endpoints.load_full() {
            return Ok(known);
        }
        let found = Arc::new(discovery::discover(&self.0.client, &self.0.issuer).await?);
        self.0.endpoints.store(Some(Arc::clone(&found)));
        Ok(found)
    }
}

/// What the issuer says of a token that is active (RFC 7662 §2.2).
#[derive(Debug, Clone, PartialEq)]
pub struct Active(Map<String, Value>);

impl Active {
    /// Any member.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// `sub`: whom the token is about.
    #[must_use]
    pub fn sub(&self) -> Option<&str> {
        self.text("sub")
    }

    /// `username`: for people.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.text("username")
    }

    /// `client_id`: the client that asked for the token.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.text("client_id")
    }

    /// `exp`: the second from which the token is refused.
    #[must_use]
    pub fn exp(&self) -> Option<u64> {
        self.get("exp")?.as_u64()
    }

    /// Whether `scope` is among the scopes, compared exactly.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.text("scope").is_some_and(|all| all.split(' ').any(|one| one == scope && !one.is_empty()))
    }

    /// Whether `role` is among `roles`.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.get("roles").and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == role))
    }

    fn is_for(&self, audience: &str) -> bool {
        match self.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(all)) => all.iter().any(|one| one == audience),
            _ => false,
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }
}

/// The `error` of a refusal, if it is one of the kind that is allowed (RFC 6749 §5.2).
fn error_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let error = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.error).unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if (1..=64).contains(&error.len()) && error.bytes().all(plain) { error } else { "unknown".to_owned() }
}

/// `application/x-www-form-urlencoded` (RFC 6749 App. B): all but the unreserved characters are escaped.
fn encode(text: &str, to: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'*') {
            to.push(char::from(byte));
        } else {
            to.push('%');
            for half in [byte >> 4, byte & 15] {
                to.extend(char::from_digit(half.into(), 16).map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a73_id_and_secret_are_encoded_before_they_are_joined() {
        let issuer = Issuer::new("https://login.example", "https://api.example");
        let asks = Introspector::new(&issuer, "a:b", "s+%/ é").unwrap();
        let encoded = STANDARD.decode(asks.0.authorization.strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(String::from_utf8(encoded).unwrap(), "a%3Ab:s%2B%25%2F%20%C3%A9");
        assert_eq!(format!("{asks:?}"), r#"Introspector { issuer: "https://login.example", .. }"#);
    }

    #[test]
    fn an_error_is_repeated_only_where_it_is_one() {
        for (body, error) in [
            (&br#"{"error":"invalid_grant","error_description":"x"}"#[..], "invalid_grant"),
            (br#"{"error":"a b\n"}"#, "unknown"),
            (br#"{"error":""}"#, "unknown"),
            (br#"{"error":1}"#, "unknown"),
            (b"<html>", "unknown"),
        ] {
            assert_eq!(error_of(body), error);
        }
    }

    #[test]
    fn members_are_read_as_what_they_are() {
        let read = |text: &str| Active(serde_json::from_str(text).unwrap());
        let one = read(r#"{"aud":"a","scope":"read write","exp":5,"roles":["staff"],"sub":1}"#);
        assert!(one.is_for("a") && !one.is_for("A") && one.has_scope("read") && !one.has_scope("rea"));
        assert!(!one.has_scope("") && one.has_role("staff") && !one.has_role("Staff"));
        assert_eq!((one.exp(), one.sub()), (Some(5), None));
        let other = read(r#"{"aud":["b","a"],"scope":7,"exp":"5","roles":"staff"}"#);
        assert!(
            other.is_for("a") && !other.has_scope("7") && !other.has_role("staff") && other.exp().is_none()
        );
        assert!(!read("{}").is_for("a"));
    }
}
