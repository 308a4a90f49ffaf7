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
mod tests {
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
}
