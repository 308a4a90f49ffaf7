//! What goes into an access token (RFC 9068 §2.2) and how large it may get.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// Claims that a custom claim may not be named.
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
