//! What an ID token has to say, once its signature and its times were found good (OpenID Connect Core §3.1.3.7).
//!
//! Signature, algorithm, `exp` and `iat` are `jotgate_jose`'s; here is what depends on the client and on the request.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use crate::Timestamp;

/// Stands for a tenant's id in the issuer of a provider with many (Microsoft).
const TENANT: &str = "{tenantid}";

/// How far a provider's clock may be from ours.
const SKEW: Duration = Duration::from_secs(60);

/// What the token says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'a> {
    pub iss: Option<&'a str>,
    pub aud: &'a [&'a str],
    pub azp: Option<&'a str>,
    pub nonce: Option<&'a str>,
    /// `tid`: the tenant, at a provider with many.
    pub tenant: Option<&'a str>,
}

/// What it has to say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Who vouches: exact, but for a tenant's place.
    pub issuer: &'a str,
    /// For whom the key vouches that signed it, where the provider says so of its keys.
    pub key_issuer: Option<&'a str>,
    pub client_id: &'a str,
    /// As it was sent along; none where nobody sent one.
    pub nonce: Option<&'a str>,
}

/// Why a token proves nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdTokenError {
    Issuer,
    /// The key is for tokens of another issuer.
    KeyIssuer,
    Audience,
    /// It was made for another client, which may use it at ours.
    AuthorizedParty,
    Nonce,
    /// `auth_time` is still to come.
    AuthTime,
}

impl fmt::Display for IdTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Issuer => "the ID token is from another issuer",
            Self::KeyIssuer => "the ID token is signed with a key of another issuer",
            Self::Audience => "the ID token is for another client",
            Self::AuthorizedParty => "the ID token was given to another client",
            Self::Nonce => "the nonce of the ID token is not the one that was sent",
            Self::AuthTime => "the ID token says that the sign-in is still to come",
        })
    }
}

impl std::error::Error for IdTokenError {}

/// Holds the token against the request; returns the issuer, as the token has it.
///
/// # Errors
/// [`IdTokenError`].
pub fn check<'a>(said: Said<'a>, expected: Expected<'_>) -> Result<&'a str, IdTokenError> {
    let iss = said.iss.ok_or(IdTokenError::Issuer)?;
    if !issuer_fits(expected.issuer, iss, said.tenant) {
        return Err(IdTokenError::Issuer);
    }
    if expected.key_issuer.is_some_and(|issuer| !issuer_fits(issuer, iss, said.tenant)) {
        return Err(IdTokenError::KeyIssuer);
    }
    // One for us and others may have been shown by one of those others.
    match said.aud {
        [one] if *one == expected.client_id => {}
        several if several.contains(&expected.client_id) => {
            if said.azp.is_none() {
                return Err(IdTokenError::AuthorizedParty);
            }
        }
        _ => return Err(IdTokenError::Audience),
    }
    if said.azp.is_some_and(|azp| azp != expected.client_id) {
        return Err(IdTokenError::AuthorizedParty);
    }
    // A nonce that nobody sent, or sent and did not come back, is of another sign-in.
    if said.nonce != expected.nonce {
        return Err(IdTokenError::Nonce);
    }
    Ok(iss)
}

/// Why a sign-in at the provider is not recent enough. Outside both are one; this is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    TooOld,
    /// The token does not say when it was, though it was asked to (OpenID Connect Core §3.1.2.1).
    Untold,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooOld => "the sign-in at the provider is older than was asked for",
            Self::Untold => "the provider does not say when somebody signed in there",
        })
    }
}

impl std::error::Error for Stale {}

/// When somebody signed in there, of `auth_time` in seconds; none where the token does not say. It is never after `now`.
///
/// # Errors
/// [`IdTokenError::AuthTime`]: it is after now by more than clocks differ, so it means something else.
pub fn authenticated_at(auth_time: Option<u64>, now: Timestamp) -> Result<Option<Timestamp>, IdTokenError> {
    let Some(seconds) = auth_time else { return Ok(None) };
    let at = Timestamp::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    if at > now.plus(SKEW) { Err(IdTokenError::AuthTime) } else { Ok(Some(at.min(now))) }
}

/// Holds that against how recent it was asked to be (OpenID Connect Core §3.1.3.7, number 13).
///
/// # Errors
/// [`Stale`].
pub fn check_fresh(authenticated_at: Option<Timestamp>, since: Option<Timestamp>) -> Result<(), Stale> {
    match (authenticated_at, since) {
        (_, None) => Ok(()),
        (None, Some(_)) => Err(Stale::Untold),
        (Some(at), Some(since)) if at < since.minus(SKEW) => Err(Stale::TooOld),
        (Some(_), Some(_)) => Ok(()),
    }
}

/// Whether `iss` is the configured issuer, with the token's tenant in its place.
fn issuer_fits(issuer: &str, iss: &str, tenant: Option<&str>) -> bool {
    match issuer.split_once(TENANT) {
        None => issuer == iss,
        Some((before, after)) => tenant
            .filter(|tenant| tenant.len() == 36 && Uuid::try_parse(tenant).is_ok())
            .is_some_and(|tenant| iss == format!("{before}{tenant}{after}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const ISSUER: &str = "https://login.example.com";
    const TENANTS: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";
    const TID: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
    const OTHER_TID: &str = "11111111-6c67-4c5b-b112-36a304b66dad";

    fn said() -> Said<'static> {
        Said { iss: Some(ISSUER), aud: &["us"], azp: None, nonce: Some("n"), tenant: None }
    }

    fn expected() -> Expected<'static> {
        Expected { issuer: ISSUER, key_issuer: None, client_id: "us", nonce: Some("n") }
    }

    /// Attack 150: wrong `aud`, `iss` or nonce.
    #[test]
    fn a150_every_claim_must_be_ours() {
        use IdTokenError::{Audience, AuthorizedParty, Issuer, Nonce};
        let table: &[(Said<'_>, Option<IdTokenError>)] = &[
            (said(), None),
            (Said { azp: Some("us"), ..said() }, None),
            (Said { iss: None, ..said() }, Some(Issuer)),
            (Said { iss: Some("https://login.example.com/"), ..said() }, Some(Issuer)),
            (Said { iss: Some("https://login.example.com.evil"), ..said() }, Some(Issuer)),
            (Said { aud: &[], ..said() }, Some(Audience)),
            (Said { aud: &["them"], ..said() }, Some(Audience)),
            (Said { aud: &["US"], ..said() }, Some(Audience)),
            (Said { aud: &["us", "them"], ..said() }, Some(AuthorizedParty)),
            (Said { aud: &["us", "them"], azp: Some("them"), ..said() }, Some(AuthorizedParty)),
            (Said { aud: &["us", "them"], azp: Some("us"), ..said() }, None),
            (Said { azp: Some("them"), ..said() }, Some(AuthorizedParty)),
            (Said { nonce: None, ..said() }, Some(Nonce)),
            (Said { nonce: Some(""), ..said() }, Some(Nonce)),
            (Said { nonce: Some("m"), ..said() }, Some(Nonce)),
        ];
        for (said, error) in table {
            assert_eq!(check(*said, expected()).err(), *error, "{said:?}");
        }
        // An application that sent none must not be given one.
        let none = Expected { nonce: None, ..expected() };
        assert_eq!(check(said(), none), Err(Nonce));
        assert_eq!(check(Said { nonce: None, ..said() }, none), Ok(ISSUER));
    }

    #[test]
    fn when_somebody_signed_in_there() {
        let second = |n: i64| Timestamp(NOW.0 + n * 1000);
        let said = |n: i64| u64::try_from(second(n).secs()).ok();
        for (auth_time, at) in [
            (None, Ok(None)),
            (said(0), Ok(Some(NOW))),
            (said(-3600), Ok(Some(second(-3600)))),
            (Some(0), Ok(Some(Timestamp(0)))),
            // A clock that is ahead makes nobody's sign-in later than now.
            (said(60), Ok(Some(NOW))),
            (said(61), Err(IdTokenError::AuthTime)),
            // In milliseconds, as some have it.
            (u64::try_from(NOW.0).ok(), Err(IdTokenError::AuthTime)),
            (Some(u64::MAX), Err(IdTokenError::AuthTime)),
        ] {
            assert_eq!(authenticated_at(auth_time, NOW), at, "{auth_time:?}");
        }
        for (at, since, fresh) in [
            (None, None, Ok(())),
            (Some(-9999), None, Ok(())),
            (None, Some(-9999), Err(Stale::Untold)),
            (Some(5), Some(0), Ok(())),
            (Some(-60), Some(0), Ok(())),
            (Some(-61), Some(0), Err(Stale::TooOld)),
            (Some(-360), Some(-300), Ok(())),
            (Some(-361), Some(-300), Err(Stale::TooOld)),
        ] {
            assert_eq!(check_fresh(at.map(second), since.map(second)), fresh, "{at:?} {since:?}");
        }
    }

    /// CVE-2026-31813: an issuer of many tenants is still one issuer.
    #[test]
    fn a_tenant_stands_in_its_place_and_nowhere_else() {
        let of = |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/v2.0");
        let expected = Expected { issuer: TENANTS, ..expected() };
        let ours = of(TID);
        let say = |iss: &str, tenant: Option<&str>, expected: Expected<'_>| {
            check(Said { iss: Some(iss), tenant, ..said() }, expected).map(str::to_owned)
        };
        assert_eq!(say(&ours, Some(TID), expected), Ok(ours.clone()));
        for (iss, tenant) in [
            (ours.as_str(), None),
            (&ours, Some(OTHER_TID)),
            (TENANTS, Some("{tenantid}")),
            (&of("evil"), Some("evil")),
            (&of(""), Some("")),
            ("https://evil.example/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", Some(TID)),
            (&of(&TID.replace('-', "")), Some(&TID.replace('-', ""))),
        ] {
            assert_eq!(say(iss, tenant, expected), Err(IdTokenError::Issuer), "{iss} {tenant:?}");
        }
        // A key of one tenant signs for no other.
        let theirs = of(OTHER_TID);
        for (key_issuer, ok) in [(TENANTS, true), (ours.as_str(), true), (theirs.as_str(), false)] {
            let expected = Expected { key_issuer: Some(key_issuer), ..expected };
            let answer = say(&ours, Some(TID), expected);
            assert_eq!(answer.is_ok(), ok, "{key_issuer}");
            assert!(ok || answer == Err(IdTokenError::KeyIssuer));
        }
    }
}
