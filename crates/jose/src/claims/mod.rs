//! Typed claims (RFC 7519 §4, RFC 9068 §2.2), borrowed from the verified payload.

mod index;
mod list;
mod owned;

use std::borrow::Cow;

pub(crate) use index::ClaimsIndex;
pub use list::{StringList, Strings};
pub use owned::{OwnedClaims, OwnedStatus};

use crate::json::{Scanner, Span, unescape};

/// The claims of a verified token. Each is `None` only if the token does not have it: a claim of the wrong type
/// made the token [`Malformed`](crate::Error::Malformed).
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a> {
    text: &'a str,
    payload_len: usize,
    index: &'a ClaimsIndex,
}

/// A token's entry in a status list (draft-ietf-oauth-status-list §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StatusRef<'a> {
    /// The entry's place in the list.
    pub idx: u64,
    /// Where the list is published.
    pub uri: &'a str,
}

impl<'a> Claims<'a> {
    pub(crate) fn new(text: &'a str, payload_len: usize, index: &'a ClaimsIndex) -> Self {
        Self { text, payload_len, index }
    }

    /// `iss`: who issued the token (RFC 7519 §4.1.1).
    #[must_use]
    pub fn iss(self) -> Option<&'a str> {
        self.string(self.index.iss)
    }

    /// `sub`: whom the token is about; the user's id (RFC 7519 §4.1.2).
    #[must_use]
    pub fn sub(self) -> Option<&'a str> {
        self.string(self.index.sub)
    }

    /// `aud`: for whom the token is meant, be it a string or a list; empty if absent (RFC 7519 §4.1.3).
    #[must_use]
    pub fn aud(self) -> StringList<'a> {
        self.list(self.index.aud)
    }

    /// `exp`: the second from which the token is refused, fractions rounded down (RFC 7519 §4.1.4).
    #[must_use]
    pub fn exp(self) -> Option<u64> {
        self.index.exp
    }

    /// `nbf`: the second from which the token counts, fractions rounded up (RFC 7519 §4.1.5).
    #[must_use]
    pub fn nbf(self) -> Option<u64> {
        self.index.nbf
    }

    /// `iat`: the second of issue, fractions rounded up (RFC 7519 §4.1.6).
    #[must_use]
    pub fn iat(self) -> Option<u64> {
        self.index.iat
    }

    /// `jti`: the token's own id (RFC 7519 §4.1.7).
    #[must_use]
    pub fn jti(self) -> Option<&'a str> {
        self.string(self.index.jti)
    }

    /// `client_id`: the client that asked for the token (RFC 8693 §4.3).
    #[must_use]
    pub fn client_id(self) -> Option<&'a str> {
        self.string(self.index.client_id)
    }

    /// `scope`: the scopes, separated by spaces (RFC 8693 §4.2).
    #[must_use]
    pub fn scope(self) -> Option<&'a str> {
        self.string(self.index.scope)
    }

    /// The scopes one by one.
    pub fn scopes(self) -> impl Iterator<Item = &'a str> {
        self.scope().unwrap_or_default().split(' ').filter(|scope| !scope.is_empty())
    }

    /// Whether `scope` is among the scopes, compared exactly.
    #[must_use]
    pub fn has_scope(self, scope: &str) -> bool {
        self.scopes().any(|one| one == scope)
    }

    /// `sid`: the session (OpenID Connect Front-Channel Logout §3).
    #[must_use]
    pub fn sid(self) -> Option<&'a str> {
        self.string(self.index.sid)
    }

    /// `auth_time`: the second in which the user last proved who they are (RFC 9068 §2.2.1).
    #[must_use]
    pub fn auth_time(self) -> Option<u64> {
        self.index.auth_time
    }

    /// `roles`: the user's roles; empty if absent (RFC 9068 §2.2.3.1).
    #[must_use]
    pub fn roles(self) -> StringList<'a> {
        self.list(self.index.roles)
    }

    /// `permissions`: what the roles allow; empty if absent.
    #[must_use]
    pub fn permissions(self) -> StringList<'a> {
        self.list(self.index.permissions)
    }

    /// `preferred_username`: the user's name (OpenID Connect Core §5.1).
    #[must_use]
    pub fn preferred_username(self) -> Option<&'a str> {
        self.string(self.index.preferred_username)
    }

    /// `email`: the user's address (OpenID Connect Core §5.1).
    #[must_use]
    pub fn email(self) -> Option<&'a str> {
        self.string(self.index.email)
    }

    /// `status.status_list`: the entry that is set when the token is revoked.
    #[must_use]
    pub fn status(self) -> Option<StatusRef<'a>> {
        Some(StatusRef { idx: self.index.status_idx?, uri: self.string(self.index.status_uri)? })
    }

    /// `cnf`: the key that whoever shows the token must prove to have, as JSON text (RFC 7800 §3.1).
    #[must_use]
    pub fn cnf(self) -> Option<&'a str> {
        (!self.index.cnf.is_none()).then(|| self.index.cnf.of_str(self.text))
    }

    /// Any claim by name, as JSON text; to be read with `serde_json::from_str`. Finding it costs one more pass over
    /// the payload.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'a str> {
        let mut found = None;
        // The payload was read once already, so this cannot fail.
        let _ = Scanner::document(self.json().as_bytes(), |scanner, member, _| {
            let span = scanner.skip()?;
            if member.is(name) {
                found = Some(span);
            }
            Ok(())
        });
        found.map(|span| span.of_str(self.json()))
    }

    /// A claim that is a string, by name, unescaped; `None` if it is absent or of another type.
    #[must_use]
    pub fn get_str(self, name: &str) -> Option<Cow<'a, str>> {
        let raw = self.get(name)?.strip_prefix('"')?.strip_suffix('"')?;
        Some(if raw.contains('\\') { unescape(raw).into() } else { raw.into() })
    }

    /// All claims as the JSON text that was signed.
    #[must_use]
    pub fn json(self) -> &'a str {
        self.text.get(..self.payload_len).unwrap_or_default()
    }

    /// The claims as a value of their own.
    #[must_use]
    pub fn to_owned(self) -> OwnedClaims {
        OwnedClaims::from(self)
    }

    fn string(self, span: Span) -> Option<&'a str> {
        (!span.is_none()).then(|| span.of_str(self.text))
    }

    fn list(self, span: Span) -> StringList<'a> {
        StringList::new(span.of_str(self.text))
    }
}
