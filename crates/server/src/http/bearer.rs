//! Which credential counts: the contract's rule for `Authorization: Bearer` (RFC 6750 §2.1) and cookies.
//!
//! Where an `Authorization` header is present it alone counts, good or bad. A request that shows two
//! credentials is refused, for whoever reads it after us might pick the other one.

use http::Uri;
use http::header::{AUTHORIZATION, HeaderMap};

use super::cookies::{Cookies, Sent};
use super::error::{ApiError, Code};

/// What a request shows; nothing is verified yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential<'h> {
    None,
    /// An access token from the header.
    Bearer(&'h str),
    /// The access cookie, the session cookie, or both.
    Cookie {
        access: Option<&'h str>,
        session: Option<&'h str>,
    },
}

/// The one credential of a request.
///
/// # Errors
/// 400 `ambiguous_credentials` for two `Authorization` headers, a tab, a second space or a comma in one, a
/// header beside `access_token` in the query, and two cookies of one name, which are cleared. 401 for a header
/// that is no Bearer token.
pub fn credential<'h>(
    headers: &'h HeaderMap,
    uri: &Uri,
    cookies: &Cookies,
) -> Result<Credential<'h>, ApiError> {
    among(headers, uri, cookies.read_or_clear(headers, uri.path())?)
}

/// As [`credential`], where the cookies were read already.
///
/// # Errors
/// As there, but for the cookies.
pub fn among<'h>(headers: &'h HeaderMap, uri: &Uri, sent: Sent<'h>) -> Result<Credential<'h>, ApiError> {
    let Sent { access, session, .. } = sent;
    if let Some(token) = bearer(headers)? {
        // A token in the query alone is ignored (RFC 9700 §4.3.2); beside a header it is a second credential.
        if uri.query().is_some_and(names_token) {
            return Err(ambiguous("A token in the Authorization header and another in the query."));
        }
        return Ok(Credential::Bearer(token));
    }
    if access.is_none() && session.is_none() {
        return Ok(Credential::None);
    }
    Ok(Credential::Cookie { access, session })
}

/// The token of the `Authorization` header; none where there is no such header.
///
/// # Errors
/// As [`credential`].
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(ambiguous("Two Authorization headers."));
    }
    let field = field.as_bytes();
    let scheme_ends = field.iter().position(|b| matches!(b, b' ' | b'\t' | b',')).unwrap_or(field.len());
    let (scheme, rest) = field.split_at(scheme_ends);
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Err(ApiError::new(Code::Unauthenticated)
            .detail("The Authorization header is not of the scheme Bearer.")
            .log("Authorization is not Bearer"));
    }
    let token = rest.strip_prefix(b" ").unwrap_or(rest);
    if is_b64token(token) {
        return std::str::from_utf8(token).map(Some).map_err(|_| ApiError::new(Code::Malformed));
    }
    if token.iter().any(|b| matches!(b, b' ' | b'\t' | b',')) {
        return Err(ambiguous("The Authorization header is not one scheme, one space and one token."));
    }
    Err(ApiError::new(Code::Malformed))
}

/// Whether this is a `b64token` (RFC 6750 §2.1); what it stands for is the verifier's business. Every request pays
/// for this: without a way out in the loop, a compiler takes many bytes at once.
fn is_b64token(token: &[u8]) -> bool {
    let plain = |b: u8| {
        let letter = (b | 0x20).wrapping_sub(b'a') < 26;
        // `-./` and the digits, but not the comma before them.
        let digit = b.wrapping_sub(b'-') <= b'9' - b'-';
        letter | digit | (b == b'_') | (b == b'~') | (b == b'+') | (b == b'=')
    };
    !token.is_empty() & token.iter().fold(true, |all, b| all & plain(*b))
}

/// Whether an urlencoded query or form has a parameter `access_token`, however it is escaped.
#[must_use]
pub fn names_token(urlencoded: &str) -> bool {
    url::form_urlencoded::parse(urlencoded.as_bytes()).any(|(name, _)| name == "access_token")
}

/// The refusal for a second credential.
#[must_use]
pub(crate) fn ambiguous(detail: &'static str) -> ApiError {
    ApiError::new(Code::AmbiguousCredentials).detail(detail)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::COOKIE;

    use super::*;
    use crate::config::{self, Origin, SameSite};

    fn ask(authorization: &[&[u8]], cookie: &str, uri: &'static str) -> Result<String, u16> {
        let cookies = Cookies::new(
            &config::Cookie {
                name: "jwt".into(),
                domain: None,
                same_site: SameSite::Lax,
                trusted_origins: vec![],
            },
            &Origin { https: false, host: "localhost".into(), port: Some(8080) },
            &config::Mount::default(),
            &[],
        );
        let mut headers = HeaderMap::new();
        for field in authorization {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(field).unwrap());
        }
        if !cookie.is_empty() {
            headers.append(COOKIE, cookie.parse().unwrap());
        }
        match credential(&headers, &Uri::from_static(uri), &cookies) {
            Ok(Credential::None) => Ok("none".into()),
            Ok(Credential::Bearer(token)) => Ok(format!("bearer {token}")),
            Ok(Credential::Cookie { access, session }) => Ok(format!("cookie {access:?} {session:?}")),
            Err(error) => {
                assert!(error.code() != Code::Csrf);
                Err(error.code().status().as_u16())
            }
        }
    }

    #[test]
    fn of_all_bytes_those_of_a_b64token_are_taken() {
        assert!(!is_b64token(b""));
        for byte in 0..=u8::MAX {
            let good = byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
            let mut token = [b'a'; 100];
            token[37] = byte;
            assert_eq!((is_b64token(&[byte]), is_b64token(&token)), (good, good), "{byte:#x}");
        }
    }

    #[test]
    fn a47_a48_one_credential_counts() {
        let me = "/auth/me";
        let query = "/auth/me?access_token=x";
        type Row<'a> = (&'a [&'a [u8]], &'a str, &'static str, Result<&'a str, u16>);
        let table: &[Row<'_>] = &[
            (&[], "", me, Ok("none")),
            (&[b"Bearer a.b.c"], "", me, Ok("bearer a.b.c")),
            (&[b"bearer a.b.c"], "", me, Ok("bearer a.b.c")),
            (&[b"BEARER a.b.c"], "", me, Ok("bearer a.b.c")),
            (&[], "jwt=a", me, Ok("cookie Some(\"a\") None")),
            (&[], "jwt=a; jwt_session=s", me, Ok("cookie Some(\"a\") Some(\"s\")")),
            (&[], "jwt_session=s", me, Ok("cookie None Some(\"s\")")),
            // The header alone counts, good or bad.
            (&[b"Bearer a"], "jwt=b", me, Ok("bearer a")),
            (&[b"Bearer"], "jwt=b", me, Err(401)),
            (&[b""], "jwt=b", me, Err(401)),
            (&[b"Basic YTpi"], "jwt=b", me, Err(401)),
            (&[b"DPoP a"], "jwt=b", me, Err(401)),
            (&[b"Bearertoken"], "jwt=b", me, Err(401)),
            (&[b"Bearer \xff"], "", me, Err(401)),
            (&[b"Bearer \"a\""], "", me, Err(401)),
            (&[b"Bearer {}"], "", me, Err(401)),
            // Ambiguous.
            (&[b"Bearer a", b"Bearer a"], "", me, Err(400)),
            (&[b"Bearer a", b"Basic b"], "", me, Err(400)),
            (&[b"Bearer\ta"], "", me, Err(400)),
            (&[b"Bearer  a"], "", me, Err(400)),
            (&[b"Bearer a b"], "", me, Err(400)),
            (&[b"Bearer a,b"], "", me, Err(400)),
            (&[b"Bearer a, Bearer b"], "", me, Err(400)),
            (&[b"Bearer, a"], "", me, Err(400)),
            (&[], "jwt=a; jwt=b", me, Err(400)),
            (&[], "jwt_session=a; jwt_session=a", me, Err(400)),
            (&[b"Bearer a"], "jwt=a; jwt=b", me, Err(400)),
            (&[b"Bearer a"], "", query, Err(400)),
            (&[b"Bearer a"], "", "/auth/me?x=1&access%5Ftoken=x", Err(400)),
            // In the query alone a token is nothing.
            (&[], "", query, Ok("none")),
            (&[], "jwt=a", query, Ok("cookie Some(\"a\") None")),
            (&[b"Bearer a"], "", "/auth/me?xaccess_token=x", Ok("bearer a")),
        ];
        for (authorization, cookie, uri, expected) in table {
            let shown = authorization.iter().map(|a| String::from_utf8_lossy(a)).collect::<Vec<_>>();
            assert_eq!(
                ask(authorization, cookie, uri),
                expected.map(str::to_owned),
                "{shown:?} {cookie} {uri}"
            );
        }
    }
}
