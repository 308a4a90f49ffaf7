//! Which credential of a request counts.

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, ORIGIN, UPGRADE};
use http::{Method, Uri};
use jotgate_jose::Error;

use super::{Reason, Settings};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names under which the access cookie is taken, the strongest first.
#[derive(Debug, Clone)]
pub(super) struct Cookie(Vec<Box<str>>);

/// A namespace.
pub(super) enum Credential {}

impl Credential {
    /// The token that a request shows, not verified; none where it shows nothing.
    pub(super) fn of<'h>(
        method: &Method,
        uri: &Uri,
        headers: &'h HeaderMap,
        settings: &Settings,
    ) -> Result<Option<&'h str>, Reason> {
        // Two cookies of one name are refused beside a header, too.
        let cookie = settings.cookie.as_ref().map_or(Ok(None), |cookie| cookie.read(headers))?;
        if let Some(token) = bearer(headers)? {
            return if uri.query().is_some_and(names_token) {
                Err(Reason::Ambiguous)
            } else {
                Ok(Some(token))
            };
        }
        let changes = !method.is_safe() || headers.contains_key(UPGRADE);
        if cookie.is_some() && changes && !is_from_here(headers, &settings.origins) {
            return Err(Reason::CrossSite);
        }
        Ok(cookie)
    }
}

/// The token of the `Authorization` header (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Reason> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(Reason::Ambiguous);
    }
    let field = field.as_bytes();
    let scheme_ends = field.iter().position(|b| matches!(b, b' ' | b'\t' | b',')).unwrap_or(field.len());
    let (scheme, rest) = field.split_at(scheme_ends);
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Err(Reason::Unauthenticated);
    }
    let token = rest.strip_prefix(b" ").unwrap_or(rest);
    if token.iter().any(|b| matches!(b, b' ' | b'\t' | b',')) {
        return Err(Reason::Ambiguous);
    }
    let plain =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
    match std::str::from_utf8(token) {
        Ok(text) if !token.is_empty() && token.iter().all(plain) => Ok(Some(text)),
        _ => Err(Reason::Refused(Error::Malformed.into())),
    }
}

impl Cookie {
    pub(super) fn new(name: &str) -> Self {
        let prefixed = ["__Host-", "__Secure-"].iter().any(|prefix| name.starts_with(prefix));
        let prefixes: &[&str] = if prefixed { &[""] } else { &["__Host-", "__Secure-", ""] };
        Self(prefixes.iter().map(|prefix| format!("{prefix}{name}").into()).collect())
    }

    /// Its value, from all `Cookie` fields (RFC 9113 §8.2.3: over HTTP/2 they are one string).
    fn read<'h>(&self, headers: &'h HeaderMap) -> Result<Option<&'h str>, Reason> {
        let mut found: Option<(usize, &[u8])> = None;
        let mut seen = 0_u8;
        for field in headers.get_all(COOKIE) {
            for pair in field.as_bytes().split(|b| *b == b';') {
                let Some(at) = pair.iter().position(|b| *b == b'=') else { continue };
                let (name, value) =
                    (pair.get(..at).unwrap_or_default(), pair.get(at + 1..).unwrap_or_default());
                let name = name.trim_ascii();
                let Some(rank) = self.0.iter().position(|one| one.as_bytes() == name) else { continue };
                if seen & 1 << rank != 0 {
                    return Err(Reason::Ambiguous);
                }
                seen |= 1 << rank;
                if found.is_none_or(|(best, _)| rank < best) {
                    found = Some((rank, value.trim_ascii()));
                }
            }
        }
        // What is no text is no token, and still the cookie that counts.
        Ok(found.map(|(_, value)| std::str::from_utf8(value).unwrap_or_default()))
    }
}

/// Whether a page of this server or of a trusted origin sent the request.
fn is_from_here(headers: &HeaderMap, trusted: &[Box<str>]) -> bool {
    let only = |name: &HeaderName| {
        let mut fields = headers.get_all(name).iter();
        fields.next().filter(|_| fields.next().is_none()).map(|field| field.as_bytes())
    };
    // No page can write either of them.
    only(&SEC_FETCH_SITE) == Some(b"same-origin")
        || only(&ORIGIN).is_some_and(|origin| trusted.iter().any(|one| one.as_bytes() == origin))
}

/// Whether an urlencoded query has a parameter `access_token`, however it is escaped.
fn names_token(query: &str) -> bool {
    query.split('&').any(|pair| {
        let mut rest = pair.split('=').next().unwrap_or_default().bytes();
        let decoded = std::iter::from_fn(|| {
            let byte = rest.next()?;
            if byte != b'%' {
                return Some(byte);
            }
            let mut after = rest.clone();
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (Some(high), Some(low)) = (digit(after.next()), digit(after.next())) else {
                return Some(byte);
            };
            rest = after;
            u8::try_from(high * 16 + low).ok()
        });
        decoded.eq(b"access_token".iter().copied())
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NAMES: [&str; 3] = ["jwt", "__Secure-jwt", "__Host-jwt"];

    fn settings() -> Settings {
        Settings {
            cookie: Some(Cookie::new("jwt")),
            origins: vec!["https://app.example".into()],
            ..Settings::default()
        }
    }

    fn ask(
        settings: &Settings,
        method: Method,
        uri: &'static str,
        lines: &[(HeaderName, &[u8])],
    ) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        Credential::of(&method, &Uri::from_static(uri), &headers, settings)
            .map(|token| token.map(str::to_owned))
            .map_err(|reason| reason.code())
    }

    #[test]
    fn a47_a48_one_credential_counts() {
        type Row<'a> = (&'a [&'a [u8]], &'a str, &'static str, Result<Option<&'a str>, &'static str>);
        let (malformed, nothing, two) =
            (Err("malformed"), Err("unauthenticated"), Err("ambiguous_credentials"));
        let rows: &[Row<'_>] = &[
            (&[], "", "/", Ok(None)),
            (&[b"Bearer a.b.c"], "", "/", Ok(Some("a.b.c"))),
            (&[b"bEARER a.b.c"], "", "/", Ok(Some("a.b.c"))),
            (&[], "jwt=a", "/", Ok(Some("a"))),
            (&[], "x=1;jwt = a ; y", "/", Ok(Some("a"))),
            (&[], "jwt_session=a; xjwt=b; JWT=c", "/", Ok(None)),
            (&[], "jwt=", "/", Ok(Some(""))),
            (&[], "jwt=a; __Host-jwt=c; __Secure-jwt=b", "/", Ok(Some("c"))),
            (&[], "jwt=a; __Secure-jwt=b", "/", Ok(Some("b"))),
            // The header alone counts, good or bad.
            (&[b"Bearer a"], "jwt=b", "/", Ok(Some("a"))),
            (&[b"Bearer"], "jwt=b", "/", malformed),
            (&[b"Bearer "], "jwt=b", "/", malformed),
            (&[b"Bearer \xff"], "", "/", malformed),
            (&[b"Bearer \"a\""], "", "/", malformed),
            (&[b""], "jwt=b", "/", nothing),
            (&[b"Basic YTpi"], "jwt=b", "/", nothing),
            (&[b"Bearertoken"], "", "/", nothing),
            (&[b"Bearer a", b"Bearer a"], "", "/", two),
            (&[b"Bearer a", b"Basic b"], "", "/", two),
            (&[b"Bearer  a"], "", "/", two),
            (&[b"Bearer\ta"], "", "/", two),
            (&[b"Bearer a, Bearer b"], "", "/", two),
            (&[b"Bearer a,b"], "", "/", two),
            (&[], "jwt=a; jwt=a", "/", two),
            (&[b"Bearer a"], "__Host-jwt=a; __Host-jwt=b", "/", two),
            (&[b"Bearer a"], "", "/?access_token=x", two),
            (&[b"Bearer a"], "", "/?x=%&y=1&access%5Ftoken=x", two),
            (&[b"Bearer a"], "", "/?access%5ftoken", two),
            // In the query alone a token is nothing.
            (&[], "", "/?access_token=x", Ok(None)),
            (&[b"Bearer a"], "", "/?xaccess_token=x&access_token%00=y&access%5=", Ok(Some("a"))),
        ];
        for (authorization, cookie, uri, expected) in rows {
            let mut lines: Vec<_> = authorization.iter().map(|value| (AUTHORIZATION, *value)).collect();
            if !cookie.is_empty() {
                lines.push((COOKIE, cookie.as_bytes()));
            }
            let expected = expected.map(|token| token.map(str::to_owned));
            assert_eq!(ask(&settings(), Method::GET, uri, &lines), expected, "{lines:?} {uri}");
        }
        let fields: [(HeaderName, &[u8]); 2] = [(COOKIE, b"jwt=a"), (COOKIE, b"jwt=b")];
        assert_eq!(
            ask(&settings(), Method::GET, "/", &fields),
            Err("ambiguous_credentials"),
            "over two fields"
        );
        let none = Settings::default();
        assert_eq!(ask(&none, Method::GET, "/", &fields), Ok(None), "not asked for");
        let exact = Settings { cookie: Some(Cookie::new("__Host-jwt")), ..none };
        for name in NAMES {
            let expected = Ok((name == "__Host-jwt").then(|| "a".to_owned()));
            let line = format!("{name}=a");
            assert_eq!(ask(&exact, Method::GET, "/", &[(COOKIE, line.as_bytes())]), expected, "{name}");
        }
    }

    #[test]
    fn a_cookie_changes_things_only_from_a_trusted_page() {
        let cookie: (HeaderName, &[u8]) = (COOKIE, b"jwt=a");
        let site = |value: &'static str| (SEC_FETCH_SITE, value.as_bytes());
        let origin = |value: &'static str| (ORIGIN, value.as_bytes());
        type Lines<'a> = &'a [(HeaderName, &'a [u8])];
        let rows: &[(Lines<'_>, bool)] = &[
            (&[], false),
            (&[site("same-origin")], true),
            (&[site("same-site")], false),
            (&[site("cross-site")], false),
            (&[site("none")], false),
            (&[site("same-origin"), site("cross-site")], false),
            (&[origin("https://app.example")], true),
            (&[site("cross-site"), origin("https://app.example")], true),
            (&[origin("https://app.example.evil.example")], false),
            (&[origin("null")], false),
            (&[origin("https://app.example"), origin("https://evil.example")], false),
        ];
        for (lines, passes) in rows {
            let with =
                |more: &[(HeaderName, &'static [u8])]| [std::slice::from_ref(&cookie), *lines, more].concat();
            let expected = if *passes { Ok(Some("a".to_owned())) } else { Err("csrf") };
            for method in [Method::POST, Method::DELETE, Method::CONNECT] {
                assert_eq!(ask(&settings(), method, "/", &with(&[])), expected, "{lines:?}");
            }
            let socket = with(&[(UPGRADE, b"websocket")]);
            assert_eq!(ask(&settings(), Method::GET, "/", &socket), expected, "{lines:?}");
            assert_eq!(ask(&settings(), Method::GET, "/", &with(&[])), Ok(Some("a".to_owned())));
            let header = with(&[(AUTHORIZATION, b"Bearer b")]);
            assert_eq!(ask(&settings(), Method::POST, "/", &header), Ok(Some("b".to_owned())));
        }
    }
}
