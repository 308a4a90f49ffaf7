//! What goes into an access token (RFC 9068 §2.2) and how large it may get.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::config::Policy;
use crate::login::Delivery;
use crate::session::{FIRST_PARTY, Session};
use crate::status::LIST_SIZE;
use crate::{Timestamp, User};

/// Most bytes of the access cookie, name and value: browsers drop one of more than 4,096 without a word.
pub const COOKIE_MAX: usize = 4000;
/// Most bytes of a custom claim's name.
pub const CLAIM_NAME_MAX: usize = 64;
/// Most bytes of a custom claim's value, as JSON.
pub const CLAIM_VALUE_MAX: usize = 1024;

/// Scope of a session that manages its user's account with a Bearer token.
pub const SCOPE_ACCOUNT: &str = "account";
/// Scope that the admin API needs; worth nothing without the role of the same name.
pub const SCOPE_ADMIN: &str = "admin";
/// The role that may administer.
pub const ROLE_ADMIN: &str = "admin";

/// Claims that a custom claim may not be named, in any case.
pub const RESERVED_CLAIMS: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "sid",
    "auth_time",
    "acr",
    "amr",
    "roles",
    "permissions",
    "preferred_username",
    "email",
    "email_verified",
    "status",
    "cnf",
    "act",
    "may_act",
    "azp",
    "nonce",
    "at_hash",
    "c_hash",
    "events",
    "typ",
    "sub_id",
    // What assignment to a JavaScript object would not take as a plain member.
    "__proto__",
    "constructor",
    "prototype",
];

/// The claims of one access token, borrowed from what it is made of, in the order in which they are written.
#[derive(Debug, Serialize)]
pub struct AccessClaims<'a> {
    pub iss: &'a str,
    pub sub: &'a str,
    pub aud: Audience<'a>,
    pub exp: i64,
    pub iat: i64,
    pub jti: &'a str,
    pub client_id: &'a str,
    pub scope: &'a str,
    pub sid: &'a str,
    pub auth_time: i64,
    pub roles: &'a [crate::name::RoleName],
    pub preferred_username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<&'a str>,
    pub status: Status<'a>,
    #[serde(flatten)]
    pub custom: &'a BTreeMap<String, Value>,
}

/// One audience is a string, several are an array (RFC 7519 §4.1.3).
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub enum Audience<'a> {
    One(&'a str),
    Many(&'a [String]),
}

/// `{"status_list": {"idx", "uri"}}`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Status<'a> {
    pub status_list: StatusRef<'a>,
}

/// Which entry of which list.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StatusRef<'a> {
    pub idx: u64,
    pub uri: &'a str,
}

/// What an access token says, worked out from the rows and ready to be borrowed as [`AccessClaims`].
#[derive(Debug)]
pub struct Token<'a> {
    user: &'a User,
    session: &'a Session,
    at: Mint<'a>,
    sub: String,
    sid: String,
    scope: String,
    permissions: Option<Vec<String>>,
    exp: i64,
}

/// The circumstances of minting.
#[derive(Clone, Copy, Debug)]
pub struct Mint<'a> {
    pub issuer: &'a str,
    /// `token.audience`; not empty.
    pub audience: &'a [String],
    /// Address of the status list that has the session's entry, and its index there.
    pub status_uri: &'a str,
    pub status_index: u64,
    pub jti: &'a str,
    /// How the token is handed over.
    pub delivery: Delivery,
    pub now: Timestamp,
}

impl<'a> Token<'a> {
    #[must_use]
    pub fn new(user: &'a User, session: &'a Session, policy: &Policy, at: Mint<'a>) -> Self {
        Self {
            user,
            session,
            at,
            sub: user.id.to_string(),
            sid: session.id.to_string(),
            scope: effective_scope(&session.scope, user, at.delivery),
            permissions: permissions(user, policy),
            // No token outlives its session, be it idle or old.
            exp: access_until(policy, at.now)
                .secs()
                .min(session.idle_until.secs())
                .min(session.expires_at.secs()),
        }
    }

    /// The claims to sign; of the address only a proven one.
    #[must_use]
    pub fn claims(&self) -> AccessClaims<'_> {
        AccessClaims {
            iss: self.at.issuer,
            sub: &self.sub,
            aud: audience(self.at.audience),
            exp: self.exp,
            iat: self.at.now.secs(),
            jti: self.at.jti,
            client_id: &self.session.client_id,
            scope: &self.scope,
            sid: &self.sid,
            auth_time: self.session.authenticated_at.secs(),
            roles: &self.user.roles,
            preferred_username: self.user.username.as_str(),
            permissions: self.permissions.as_deref(),
            email: self.user.verified_email().map(crate::name::Email::as_str),
            status: Status { status_list: StatusRef { idx: self.at.status_index, uri: self.at.status_uri } },
            custom: &self.user.claims,
        }
    }

    /// Its `scope` (RFC 9068 §2.2.3).
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Seconds until it expires: `expires_in` (RFC 6749 §5.1) and the cookie's Max-Age.
    #[must_use]
    pub fn expires_in(&self) -> u64 {
        u64::try_from(self.exp.saturating_sub(self.at.now.secs())).unwrap_or(0)
    }
}

/// `exp` of a token minted at `now`, before the end of its session is looked at: what goes into
/// [`Session::access_until`].
#[must_use]
pub fn access_until(policy: &Policy, now: Timestamp) -> Timestamp {
    let ttl = i64::try_from(policy.access_ttl.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_secs(now.secs().saturating_add(ttl))
}

/// The sorted union of what the user's roles permit; none where no role of the configuration permits anything.
#[must_use]
pub fn permissions(user: &User, policy: &Policy) -> Option<Vec<String>> {
    if policy.permissions.values().all(Vec::is_empty) {
        return None;
    }
    Some(permitted(user, &policy.permissions).into_iter().cloned().collect())
}

/// Whether the user could do under `before` (permissions by role) what `policy` no longer permits.
#[must_use]
pub fn loses_permissions(user: &User, before: &BTreeMap<String, Vec<String>>, policy: &Policy) -> bool {
    !permitted(user, before).is_subset(&permitted(user, &policy.permissions))
}

fn permitted<'a>(user: &User, by_role: &'a BTreeMap<String, Vec<String>>) -> BTreeSet<&'a String> {
    user.roles.iter().filter_map(|role| by_role.get(role.as_str())).flatten().collect()
}

/// What a token carries of its session's scope: `admin` goes with the role, and a token in a cookie, which sibling
/// applications receive as well, manages nothing.
#[must_use]
pub fn effective_scope(scope: &str, user: &User, delivery: Delivery) -> String {
    let is_admin = user.has_role(ROLE_ADMIN);
    let in_cookie = delivery == Delivery::Cookie;
    let stays = |scope: &&str| match *scope {
        SCOPE_ADMIN => is_admin && !in_cookie,
        SCOPE_ACCOUNT => !in_cookie,
        other => !other.is_empty(),
    };
    let kept: Vec<&str> = scope.split(' ').filter(stays).collect();
    kept.join(" ")
}

fn audience(all: &[String]) -> Audience<'_> {
    match all {
        [one] => Audience::One(one),
        all => Audience::Many(all),
    }
}

/// What the size of every token of an installation depends on, beside the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub issuer: String,
    pub audience: Vec<String>,
    /// `token.algorithm`
    pub algorithm: String,
    /// Bytes of a signature under it; see [`signature_len`].
    pub signature_len: usize,
    /// Bytes of a `kid`.
    pub kid_len: usize,
    /// A status list's address, of the longest kind.
    pub status_uri: String,
    /// Bytes of the access cookie's name, prefix included.
    pub cookie_name_len: usize,
}

/// The token of some user would not fit a cookie; refused when roles or claims are granted, since a browser that
/// drops the cookie would be sent to the login page for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// Bytes of the cookie, name and value.
    pub bytes: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the access cookie would have {} bytes; {COOKIE_MAX} fit", self.bytes)
    }
}

impl std::error::Error for TooLarge {}

/// Bytes of a signature; an RSA key's of its modulus (`rsa_bits`), RFC 7518 §3.
#[must_use]
pub fn signature_len(algorithm: &str, rsa_bits: usize) -> usize {
    match algorithm {
        "HS256" => 32,
        "ES384" => 96,
        "RS256" | "PS256" => rsa_bits.div_ceil(8),
        // ES256, EdDSA
        _ => 64,
    }
}

/// Bytes of the compact token (RFC 7515 §7.1) with these claims.
#[must_use]
pub fn estimated_len(
    claims: &AccessClaims<'_>,
    algorithm: &str,
    kid_len: usize,
    signature_len: usize,
) -> usize {
    let header = r#"{"alg":"","typ":"at+jwt","kid":""}"#.len() + algorithm.len() + kid_len;
    let payload = serde_json::to_vec(claims).map_or(usize::MAX / 16, |json| json.len());
    base64url_len(header) + 1 + base64url_len(payload) + 1 + base64url_len(signature_len)
}

fn base64url_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// Whether the access cookie of `user` fits, in the worst case of everything else in it.
///
/// # Errors
/// [`TooLarge`], which is `too_many_roles` outside.
pub fn check_size(user: &User, policy: &Policy, shape: &Shape) -> Result<(), TooLarge> {
    const ID: &str = "00000000-0000-0000-0000-000000000000";
    let latest = 9_999_999_999;
    let permissions = permissions(user, policy);
    let claims = AccessClaims {
        iss: &shape.issuer,
        sub: ID,
        aud: audience(&shape.audience),
        exp: latest,
        iat: latest,
        jti: ID,
        client_id: FIRST_PARTY,
        scope: "account admin",
        sid: ID,
        auth_time: latest,
        roles: &user.roles,
        preferred_username: user.username.as_str(),
        permissions: permissions.as_deref(),
        // An address is proven without anybody asking for room again.
        email: user.email.as_ref().map(crate::name::Email::as_str),
        status: Status { status_list: StatusRef { idx: LIST_SIZE - 1, uri: &shape.status_uri } },
        custom: &user.claims,
    };
    let token = estimated_len(&claims, &shape.algorithm, shape.kid_len, shape.signature_len);
    // name=value
    let bytes = shape.cookie_name_len + 1 + token;
    if bytes > COOKIE_MAX { Err(TooLarge { bytes }) } else { Ok(()) }
}

/// Why a custom claim was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimError {
    /// The name means something else already.
    Reserved,
    /// Not `[A-Za-z0-9_.:/-]{1,64}`.
    Name,
    /// More than [`CLAIM_VALUE_MAX`] bytes.
    TooLong,
    /// `null` says nothing: remove the claim instead.
    Null,
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved => f.write_str("this claim's name is reserved"),
            Self::Name => write!(f, "a claim's name is 1 to {CLAIM_NAME_MAX} of A-Z a-z 0-9 _ . : / -"),
            Self::TooLong => write!(f, "a claim's value has at most {CLAIM_VALUE_MAX} bytes"),
            Self::Null => f.write_str("a claim cannot be null"),
        }
    }
}

impl std::error::Error for ClaimError {}

/// Whether a custom claim may be set.
///
/// # Errors
/// [`ClaimError`].
pub fn check_claim(name: &str, value: &Value) -> Result<(), ClaimError> {
    let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || b"_.:/-".contains(&b);
    if !(1..=CLAIM_NAME_MAX).contains(&name.len()) || !name.bytes().all(is_name_byte) {
        Err(ClaimError::Name)
    } else if RESERVED_CLAIMS.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
        Err(ClaimError::Reserved)
    } else if value.is_null() {
        Err(ClaimError::Null)
    } else if serde_json::to_vec(value).map_or(true, |json| json.len() > CLAIM_VALUE_MAX) {
        Err(ClaimError::TooLong)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
