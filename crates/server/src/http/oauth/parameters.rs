//! `application/x-www-form-urlencoded`, read strictly (RFC 6749 §3.2 and App. B).

use std::collections::HashSet;
use std::fmt;

use zeroize::Zeroizing;

use super::invalid_request;
use crate::http::error::OAuthError;

/// The parameters of a request: each once, none empty.
pub struct Parameters(Vec<(String, Zeroizing<String>)>);

impl Parameters {
    /// # Errors
    /// `invalid_request`: one twice, or what is no form.
    pub fn parse(form: &[u8]) -> Result<Self, OAuthError> {
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for pair in form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = pair.split_at(at);
            let decoded = |part| decode(part).ok_or_else(|| invalid_request("The form is malformed."));
            let name = decoded(name)?.to_string();
            let value = decoded(value.get(1..).unwrap_or_default())?;
            if !seen.insert(name.clone()) {
                return Err(invalid_request("The form repeats a parameter."));
            }
            if !value.is_empty() {
                all.push((name, value));
            }
        }
        Ok(Self(all))
    }

    /// The value of a parameter; none where it is absent or empty.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that has to be there.
    ///
    /// # Errors
    /// `invalid_request`.
    pub fn require(&self, name: &'static str) -> Result<&str, OAuthError> {
        self.find(name).ok_or_else(|| invalid_request("A parameter is missing.").log(name))
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Decodes one name or value; none where an escape is broken or the text is not UTF-8.
pub(super) fn decode(part: &[u8]) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(part.len()));
    let mut rest = part.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(*rest.next()?)? << 4 | hex(*rest.next()?)?,
            plain => *plain,
        });
    }
    std::str::from_utf8(&bytes).ok().map(|text| Zeroizing::new(text.to_owned()))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a131_each_parameter_once_empty_is_omitted_unknown_is_kept_apart() {
        let parsed = Parameters::parse(b"token=a%2Bb+c&hint=&other=1&&flag").unwrap();
        assert_eq!(parsed.find("token"), Some("a+b c"));
        assert_eq!((parsed.find("hint"), parsed.find("flag"), parsed.find("none")), (None, None, None));
        assert_eq!(parsed.find("other"), Some("1"));
        assert!(parsed.require("token").is_ok() && parsed.require("hint").is_err());
        assert_eq!(format!("{parsed:?}"), r#"["token", "other"]"#, "no values in a log");
        for bad in [
            &b"token=a&token=a"[..],
            b"token=&token=a",
            b"token=a&%74oken=b",
            b"x=1&x=2",
            b"token=%",
            b"token=%4",
            b"token=%zz",
            b"token=\xff",
            b"token=%ff",
            b"%=a",
        ] {
            assert!(Parameters::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(Parameters::parse(b"").is_ok_and(|all| all.0.is_empty()));
    }
}
