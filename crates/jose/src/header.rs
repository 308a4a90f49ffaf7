//! The JOSE header (RFC 7515 §4).

use std::borrow::Cow;

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::error::Error;
use crate::json::{Scanner, Str, once, unescape};

/// The `typ` of an access token (RFC 9068 §2.1).
pub(crate) const ACCESS_TOKEN: &str = "at+jwt";

/// Types whose headers a signing key keeps ready.
pub(crate) const USUAL_TYPES: [&str; 4] = [ACCESS_TOKEN, "JWT", "statuslist+jwt", "logout+jwt"];

/// Longest encoded header that is looked at: a certificate chain fits, an attack does not.
pub(crate) const MAX_LEN: usize = 8 * 1024;

/// The encoded header that our own signing writes.
pub(crate) fn encode(alg: Algorithm, typ: &str, kid: &str) -> Vec<u8> {
    let (typ, kid) = (serde_json::Value::from(typ), serde_json::Value::from(kid));
    base64url::encode(format!(r#"{{"alg":"{alg}","typ":{typ},"kid":{kid}}}"#).as_bytes()).into_bytes()
}

/// The same with the dot that follows it.
pub(crate) fn encode_with_dot(alg: Algorithm, typ: &str, kid: &str) -> Vec<u8> {
    let mut header = encode(alg, typ, kid);
    header.push(b'.');
    header
}

/// The members of a header that decide anything.
#[derive(Debug, Default)]
pub(crate) struct Header<'a> {
    pub(crate) alg: Option<Cow<'a, str>>,
    pub(crate) kid: Option<Cow<'a, str>>,
    pub(crate) typ: Option<Cow<'a, str>>,
    pub(crate) cty: Option<Cow<'a, str>>,
}

impl<'a> Header<'a> {
    /// Reads a decoded header.
    ///
    /// Refused: `crit`, whatever it lists, since no extension is understood here (RFC 7515 §4.1.11); `b64` (RFC
    /// 7797 §7); the members of JWE, `enc` and `zip` (RFC 7516 §4.1); a member twice (RFC 7515 §4). Ignored, as
    /// nothing is ever fetched or trusted because a token says so: `jku`, `jwk`, `x5u`, `x5c`, `x5t` and unknown
    /// ones.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub(crate) fn parse(text: &'a str) -> Result<Self, Error> {
        let mut header = Self::default();
        Scanner::document(text.as_bytes(), |scanner, name, others| {
            name.with(|text_of_name| {
                let member = match text_of_name {
                    b"alg" => &mut header.alg,
                    b"kid" => &mut header.kid,
                    b"typ" => &mut header.typ,
                    b"cty" => &mut header.cty,
                    b"crit" | b"b64" | b"enc" | b"zip" => return Err(Error::Malformed),
                    _ => return scanner.other(name, others).map(|_| ()),
                };
                once(member, value(text, scanner.string()?))
            })
        })?;
        Ok(header)
    }
}

/// Decodes the first part of a token.
///
/// # Errors
/// [`Error::Malformed`] for bad base64url, bad UTF-8, nothing, or too much.
pub(crate) fn decode(encoded: &str) -> Result<String, Error> {
    if encoded.len() > MAX_LEN {
        return Err(Error::Malformed);
    }
    String::from_utf8(base64url::decode(encoded.as_bytes())?).map_err(|_| Error::Malformed)
}

fn value(text: &str, Str { span, escaped }: Str) -> Cow<'_, str> {
    let raw = span.of_str(text);
    if escaped { unescape(raw).into() } else { raw.into() }
}

/// Whether `typ` is `expected`: the prefix `application/` may be left out, and case does not matter (RFC 7515
/// §4.1.9).
pub(crate) fn same_type(typ: &str, expected: &str) -> bool {
    short_type(typ).eq_ignore_ascii_case(short_type(expected))
}

fn short_type(typ: &str) -> &str {
    const PREFIX: usize = "application/".len();
    match typ.split_at_checked(PREFIX) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") && !rest.contains('/') => rest,
        _ => typ,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_match_as_media_types() {
        for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
            assert!(same_type(typ, "at+jwt"), "{typ}");
        }
        for typ in
            ["", "JWT", "at+jwt ", "text/at+jwt", "application/application/at+jwt", "application/", "atjwt"]
        {
            assert!(!same_type(typ, "at+jwt"), "{typ}");
        }
    }

    #[test]
    fn what_we_encode_reads_back() {
        let encoded = String::from_utf8(encode(Algorithm::Es256, "at+jwt", "a\"é")).unwrap();
        let text = decode(&encoded).unwrap();
        let header = Header::parse(&text).unwrap();
        assert_eq!(header.alg.as_deref(), Some("ES256"));
        assert_eq!(header.typ.as_deref(), Some("at+jwt"));
        assert_eq!(header.kid.as_deref(), Some("a\"é"));
    }
}
