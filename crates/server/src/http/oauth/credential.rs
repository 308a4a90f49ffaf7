//! What a client shows of itself (RFC 6749 §2.3): `client_secret_basic`, `client_secret_post`, or its id alone. At most
//! one, and nothing else counts.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap};
use zeroize::Zeroizing;

use super::invalid_request;
use super::parameters::{Parameters, decode};
use crate::app::ClientCredential;
use crate::http::error::{OAuthCode, OAuthError};

/// An id and maybe a secret; nothing is checked yet.
pub struct Shown {
    id: String,
    secret: Option<Zeroizing<String>>,
}

impl Shown {
    #[must_use]
    pub fn as_shown(&self) -> ClientCredential<'_> {
        ClientCredential { id: &self.id, secret: self.secret.as_ref().map(|secret| secret.as_str()) }
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The one credential of a request.
///
/// # Errors
/// `invalid_request` for two methods, two headers, or a `client_id` that is not the header's. `invalid_client` for a
/// header that is not a good `Basic` one, for a method that is not supported, and for nothing at all.
pub fn credential(headers: &HeaderMap, parameters: &Parameters) -> Result<Shown, OAuthError> {
    let header = basic(headers)?;
    let (id, secret) = (parameters.find("client_id"), parameters.find("client_secret"));
    let assertion = parameters.find("client_assertion").or(parameters.find("client_assertion_type"));
    match (header, secret, assertion) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
            Err(invalid_request("More than one way of client authentication; use one."))
        }
        (Some(shown), None, None) if id.is_some_and(|id| id != shown.id) => {
            Err(invalid_request("The client_id is not that of the Authorization header."))
        }
        (Some(shown), None, None) => Ok(shown),
        (None, None, Some(_)) => Err(invalid_client("client_assertion is not supported")),
        (None, secret, None) => {
            let id = id.ok_or_else(|| invalid_client("no client authentication"))?;
            let secret = secret.map(|secret| Zeroizing::new(secret.to_owned()));
            Ok(Shown { id: id.to_owned(), secret })
        }
    }
}

/// Id and secret are form-urlencoded first, then joined by a colon and base64 (RFC 6749 §2.3.1, RFC 7617 §2).
fn basic(headers: &HeaderMap) -> Result<Option<Shown>, OAuthError> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(invalid_request("Two Authorization headers."));
    }
    let malformed = || invalid_client("the Authorization header is no Basic one");
    let encoded = field
        .as_bytes()
        .split_at_checked(6)
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Basic "))
        .map(|(_, encoded)| encoded)
        .ok_or_else(malformed)?;
    // Strict: padded, without stray bits, nothing before or behind.
    let pair = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| malformed())?);
    let at = pair.iter().position(|byte| *byte == b':').ok_or_else(malformed)?;
    let (id, secret) = pair.split_at(at);
    let part = |bytes| {
        decode(bytes)
            .filter(|text| !text.is_empty() && text.bytes().all(|b| matches!(b, b' '..=b'~')))
            .ok_or_else(malformed)
    };
    let id = part(id)?.to_string();
    Ok(Some(Shown { id, secret: Some(part(secret.get(1..).unwrap_or_default())?) }))
}

fn invalid_client(why: &'static str) -> OAuthError {
    OAuthError::new(OAuthCode::InvalidClient).log(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    fn ask(authorization: &[&str], form: &str) -> Result<(String, Option<String>), &'static str> {
        let mut headers = HeaderMap::new();
        for field in authorization {
            headers.append(AUTHORIZATION, field.parse().unwrap());
        }
        let parameters = Parameters::parse(form.as_bytes()).unwrap();
        let shown = credential(&headers, &parameters).map_err(|refused| refused.code().as_str())?;
        Ok((shown.id, shown.secret.map(|secret| secret.to_string())))
    }

    /// Both parts are decoded after base64: what looks like a separator or an escape inside of them is none.
    #[test]
    fn a73_basic_is_read_as_it_is_written() {
        for (text, id, secret) in [
            ("api:s3cret", "api", "s3cret"),
            ("api:a%3Ab", "api", "a:b"),
            ("api:a:b", "api", "a:b"),
            ("a%3Ab%2Bc%25d:x", "a:b+c%d", "x"),
            ("api:a%2Bb+c%25%20", "api", "a+b c% "),
        ] {
            assert_eq!(ask(&[&header(text)], ""), Ok((id.to_owned(), Some(secret.to_owned()))), "{text}");
        }
        assert_eq!(
            ask(&[&header("api:x").replace("Basic", "bASIC")], ""),
            Ok(("api".into(), Some("x".into())))
        );
    }

    #[test]
    fn a_secret_is_not_printed() {
        let shown = Shown { id: "api".into(), secret: Some(Zeroizing::new("s3cret".into())) };
        let debugged = format!("{shown:?}");
        assert!(debugged.contains("api") && !debugged.contains("s3cret"), "{debugged}");
    }

    #[test]
    fn a73_anything_else_is_no_client() {
        let long = header("api:secret");
        for bad in [
            "Basic".to_owned(),
            "Basic ".to_owned(),
            header(""),
            header("api"),
            header("api:"),
            header(":secret"),
            header("api:se\0cret"),
            header("api:se%00cret"),
            header("api:se%0acret"),
            header("api:%"),
            header("api:%3"),
            header("api:%zz"),
            header("api:%ff"),
            header("api:%C3%A9"),
            long.trim_end_matches('=').to_owned(),
            format!("{long} "),
            format!("{long}!"),
            format!("{long}, Basic x"),
            long.replacen(' ', "  ", 1),
            "Basic YXBpOnM*".to_owned(),
            // Stray bits after the last character.
            "Basic YTpiYh==".to_owned(),
            "Basic YXBp-nM_".to_owned(),
            "Bearer abc".to_owned(),
            "Basicx".to_owned(),
        ] {
            assert_eq!(ask(&[&bad], ""), Err("invalid_client"), "{bad}");
            assert_eq!(ask(&[&bad], "client_id=api"), Err("invalid_client"), "{bad}: no way round it");
        }
    }

    proptest::proptest! {
        /// Whatever may be in an id and a secret arrives as it was sent, and no header ends the process.
        #[test]
        fn a73_what_was_encoded_is_read(id in "[ -~]{1,40}", secret in "[ -~]{1,40}", junk in ".{0,60}") {
            let part = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let sent = header(&format!("{}:{}", part(&id), part(&secret)));
            proptest::prop_assert_eq!(ask(&[&sent], ""), Ok((id, Some(secret))));
            let _ = ask(&[&header(&junk)], "");
            if let Ok(raw) = http::HeaderValue::from_bytes(junk.as_bytes()) {
                let mut headers = HeaderMap::new();
                headers.append(AUTHORIZATION, raw);
                let _ = credential(&headers, &Parameters::parse(b"").unwrap());
            }
            let _ = Parameters::parse(junk.as_bytes());
        }
    }

    #[test]
    fn a137_one_method_and_one_id() {
        let basic = &*header("api:s");
        for (authorization, form, expected) in [
            (&[basic][..], "client_id=api", Ok(("api", Some("s")))),
            (&[basic], "client_secret=", Ok(("api", Some("s")))),
            (&[basic], "client_id=other", Err("invalid_request")),
            (&[basic], "client_id=api&client_secret=s", Err("invalid_request")),
            (&[basic], "client_assertion=x", Err("invalid_request")),
            (&[basic, basic], "", Err("invalid_request")),
            (&[], "client_id=api&client_secret=a%2Bb", Ok(("api", Some("a+b")))),
            (&[], "client_id=api&client_secret=s&client_assertion_type=x", Err("invalid_request")),
            (&[], "client_id=api&client_assertion=x", Err("invalid_client")),
            (&[], "client_id=api", Ok(("api", None))),
            (&[], "client_id=api&client_secret=", Ok(("api", None))),
            (&[], "client_secret=s", Err("invalid_client")),
            (&[], "", Err("invalid_client")),
        ] {
            let expected =
                expected.map(|(id, secret): (&str, Option<&str>)| (id.to_owned(), secret.map(str::to_owned)));
            assert_eq!(ask(authorization, form), expected, "{authorization:?} {form}");
        }
    }
}
