//! The claims of a token, found in one pass over its payload.

use crate::error::Error;
use crate::json::{Kind, Name, Others, Scanner, Span, Str, once, unescape};

/// The largest whole number that every JSON reader keeps exactly (RFC 8259 §6).
const MAX_WHOLE: u64 = (1 << 53) - 1;

/// Where each known claim stands in the text. A span of a string is its inside; a span of a list is the whole
/// JSON value.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClaimsIndex {
    pub(crate) iss: Span,
    pub(crate) sub: Span,
    pub(crate) aud: Span,
    pub(crate) jti: Span,
    pub(crate) client_id: Span,
    pub(crate) scope: Span,
    pub(crate) sid: Span,
    pub(crate) preferred_username: Span,
    pub(crate) email: Span,
    pub(crate) roles: Span,
    pub(crate) permissions: Span,
    pub(crate) cnf: Span,
    pub(crate) exp: Option<u64>,
    pub(crate) nbf: Option<u64>,
    pub(crate) iat: Option<u64>,
    pub(crate) auth_time: Option<u64>,
    pub(crate) status_idx: Option<u64>,
    pub(crate) status_uri: Span,
    has_status: bool,
}

impl ClaimsIndex {
    /// Reads a payload into an empty index. Strings with escapes are unescaped into `side`; their spans start at the payload's length.
    ///
    /// # Errors
    /// [`Error::Malformed`] for bad JSON, a claim twice (RFC 7519 §4), or a known claim of the wrong type.
    pub(crate) fn parse(&mut self, payload: &[u8], side: &mut String) -> Result<(), Error> {
        let mut strings = Strings { payload, side };
        Scanner::document(payload, |scanner, name, others| {
            name.with(|text| self.member(text, scanner, name, others, &mut strings))
        })
    }

    fn member<'a>(
        &mut self,
        text: &[u8],
        scanner: &mut Scanner<'a>,
        name: Name<'a>,
        others: &mut Others<'a>,
        strings: &mut Strings<'_>,
    ) -> Result<(), Error> {
        match text {
            b"iss" => set(&mut self.iss, strings.read(scanner)?),
            b"sub" => set(&mut self.sub, strings.read(scanner)?),
            b"aud" => set(&mut self.aud, scanner.strings()?),
            b"exp" => once(&mut self.exp, whole_seconds(scanner, Round::Down)?),
            b"nbf" => once(&mut self.nbf, whole_seconds(scanner, Round::Up)?),
            b"iat" => once(&mut self.iat, whole_seconds(scanner, Round::Up)?),
            b"jti" => set(&mut self.jti, strings.read(scanner)?),
            b"client_id" => set(&mut self.client_id, strings.read(scanner)?),
            b"scope" => set(&mut self.scope, strings.read(scanner)?),
            b"sid" => set(&mut self.sid, strings.read(scanner)?),
            b"auth_time" => once(&mut self.auth_time, whole_seconds(scanner, Round::Down)?),
            b"roles" => set(&mut self.roles, scanner.string_array()?),
            b"permissions" => set(&mut self.permissions, scanner.string_array()?),
            b"preferred_username" => set(&mut self.preferred_username, strings.read(scanner)?),
            b"email" => set(&mut self.email, strings.read(scanner)?),
            b"cnf" if scanner.kind()? == Kind::Object => set(&mut self.cnf, scanner.skip()?),
            b"cnf" => Err(Error::Malformed),
            b"status" => {
                let seen = core::mem::replace(&mut self.has_status, true);
                if seen { Err(Error::Malformed) } else { self.status(scanner, strings) }
            }
            _ => scanner.other(name, others).map(|_| ()),
        }
    }

    /// The `status` claim; mechanisms other than a status list are passed over.
    fn status(&mut self, scanner: &mut Scanner<'_>, strings: &mut Strings<'_>) -> Result<(), Error> {
        let mut seen = None;
        scanner.object(|scanner, name, others| {
            if !name.is("status_list") {
                return scanner.other(name, others).map(|_| ());
            }
            once(&mut seen, ())?;
            self.status_list(scanner, strings)
        })
    }

    fn status_list(&mut self, scanner: &mut Scanner<'_>, strings: &mut Strings<'_>) -> Result<(), Error> {
        scanner.object(|scanner, name, others| {
            name.with(|text| match text {
                b"idx" => once(&mut self.status_idx, whole(scanner)?),
                b"uri" => set(&mut self.status_uri, strings.read(scanner)?),
                _ => scanner.other(name, others).map(|_| ()),
            })
        })?;
        // Half a reference can be checked by nobody.
        if self.status_idx.is_some() && !self.status_uri.is_none() { Ok(()) } else { Err(Error::Malformed) }
    }
}

/// As [`once`], for a span.
fn set(member: &mut Span, span: Span) -> Result<(), Error> {
    if core::mem::replace(member, span).is_none() { Ok(()) } else { Err(Error::Malformed) }
}

/// Reads strings, keeping the values of escaped ones.
struct Strings<'p> {
    payload: &'p [u8],
    side: &'p mut String,
}

impl Strings<'_> {
    fn read(&mut self, scanner: &mut Scanner<'_>) -> Result<Span, Error> {
        let Str { span, escaped } = scanner.string()?;
        if !escaped {
            return Ok(span);
        }
        let raw = core::str::from_utf8(span.of(self.payload)).map_err(|_| Error::Malformed)?;
        let start = self.payload.len() + self.side.len();
        self.side.push_str(&unescape(raw));
        Span::new(start, self.payload.len() + self.side.len())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    Down,
    Up,
}

/// A NumericDate (RFC 7519 §2) in whole seconds: fractions are rounded to the stricter side, and what is negative
/// or past 2^53 is refused.
fn whole_seconds(scanner: &mut Scanner<'_>, round: Round) -> Result<u64, Error> {
    if let Some(whole) = scanner.whole_number() {
        return if whole <= MAX_WHOLE { Ok(whole) } else { Err(Error::Malformed) };
    }
    let number = scanner.number()?;
    let text = core::str::from_utf8(number).map_err(|_| Error::Malformed)?;
    let value: f64 = text.parse().map_err(|_| Error::Malformed)?;
    if text.starts_with('-') || !(0.0..=MAX_WHOLE as f64).contains(&value) {
        return Err(Error::Malformed);
    }
    let value = if round == Round::Up { value.ceil() } else { value.floor() };
    // In range by the check above, and a whole number.
    Ok(value as u64)
}

/// A number written as a whole one.
fn whole(scanner: &mut Scanner<'_>) -> Result<u64, Error> {
    scanner.whole_number().filter(|value| *value <= MAX_WHOLE).ok_or(Error::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_finite_and_not_negative() {
        let seconds = |text: &str, round| whole_seconds(&mut Scanner::new(text.as_bytes()), round);
        for (text, down, up) in [
            ("0", 0, 0),
            ("1.5", 1, 2),
            ("1e10", 10_000_000_000, 10_000_000_000),
            ("9007199254740991", MAX_WHOLE, MAX_WHOLE),
            ("1.0", 1, 1),
        ] {
            assert_eq!(seconds(text, Round::Down), Ok(down), "{text}");
            assert_eq!(seconds(text, Round::Up), Ok(up), "{text}");
        }
        for text in [
            "-1",
            "-0",
            "-0.5",
            "1e400",
            "9007199254740993",
            "9223372036854775808",
            "18446744073709551616",
            "1e300",
        ] {
            assert_eq!(seconds(text, Round::Down), Err(Error::Malformed), "{text}");
        }
    }
}
