//! Why a token is not accepted here: because of what it is, or because this verifier knows too little.

use std::fmt;

use jotgate_jose::Error;

/// Why [`Verifier::check`](crate::Verifier::check) refused.
///
/// Exhaustive on purpose, as [`Error`] is: whoever maps it to answers is told when a refusal appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The token is no good: 401.
    Token(Error),
    /// The issuer's keys are not here yet: 503. The token may be good.
    NotReady,
    /// The issuer has not been heard from for longer than [`Staleness::Refuse`](crate::Staleness::Refuse) allows,
    /// or its keys are too old: 503. The token may be good, or revoked.
    Stale,
}

impl Refusal {
    /// The stable code: that of [`Error::code`], `not_ready`, or `stale`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Token(error) => error.code(),
            Self::NotReady => "not_ready",
            Self::Stale => "stale",
        }
    }

    /// One sentence for a person.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Token(error) => error.detail(),
            Self::NotReady => "the issuer's keys are not known yet",
            Self::Stale => "the issuer has not been heard from for too long",
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Token(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for Refusal {}
