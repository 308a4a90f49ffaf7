//! Claims as a value of their own.

use serde::Serialize;
use serde_json::value::{Map, Value};

use super::Claims;

/// The claims of an access token as owned values: to keep after the token is gone, or to fill in and sign.
///
/// It serialises to the payload of a token; what is `None` or empty is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "each field is documented at the method of the same name in `Claims`")]
pub struct OwnedClaims {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "one_or_list")]
    pub aud: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_username: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_status_list")]
    pub status: Option<OwnedStatus>,
    /// All other claims. A name that stands above as well would be there twice, and the token refused.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A token's entry in a status list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct OwnedStatus {
    /// The entry's place in the list.
    pub idx: u64,
    /// Where the list is published.
    pub uri: String,
}

/// The claims that have a field of their own.
const FIELDS: [&str; 16] = [
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
    "roles",
    "preferred_username",
    "permissions",
    "email",
    "status",
];

impl From<Claims<'_>> for OwnedClaims {
    fn from(claims: Claims<'_>) -> Self {
        let string = |value: Option<&str>| value.map(str::to_owned);
        let mut other: Map<String, Value> = serde_json::from_str(claims.json()).unwrap_or_default();
        other.retain(|name, _| !FIELDS.contains(&name.as_str()));
        Self {
            iss: string(claims.iss()),
            sub: string(claims.sub()),
            aud: claims.aud().iter().map(Into::into).collect(),
            exp: claims.exp(),
            nbf: claims.nbf(),
            iat: claims.iat(),
            jti: string(claims.jti()),
            client_id: string(claims.client_id()),
            scope: string(claims.scope()),
            sid: string(claims.sid()),
            auth_time: claims.auth_time(),
            roles: claims.roles().iter().map(Into::into).collect(),
            preferred_username: string(claims.preferred_username()),
            permissions: claims.permissions().iter().map(Into::into).collect(),
            email: string(claims.email()),
            status: claims.status().map(|status| OwnedStatus { idx: status.idx, uri: status.uri.to_owned() }),
            other,
        }
    }
}

/// One audience is written as a string, several as a list (RFC 7519 §4.1.3).
fn one_or_list<S: serde::Serializer>(list: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match list {
        [one] => one.serialize(serializer),
        list => list.serialize(serializer),
    }
}

fn as_status_list<S: serde::Serializer>(
    status: &Option<OwnedStatus>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Status<'a> {
        status_list: &'a Option<OwnedStatus>,
    }
    Status { status_list: status }.serialize(serializer)
}
