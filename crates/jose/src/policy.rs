//! What a token must say to be accepted.

use core::fmt;

use crate::algorithm::Algorithm;
use crate::claims::Claims;
use crate::error::Error;
use crate::header;

/// Most leeway that a policy takes, in seconds.
pub const MAX_LEEWAY: u64 = 60;
/// How far `iat` may lie ahead, in seconds: an honest issuer's clock may be a little fast.
const MAX_CLOCK_SKEW: u64 = 60;
/// Longest token by default, in bytes.
pub(crate) const MAX_LEN: usize = 16 * 1024;
/// Longest token that any policy may allow.
const MAX_MAX_LEN: usize = 16 * 1024 * 1024;

/// What a token must say to be accepted. There is no verification of claims without one.
///
/// It starts strict: type, issuer, audience and expiry are all checked. Whatever is loosened is loosened by a
/// method whose name says so.
///
/// ```
/// use jotgate_jose::{Algorithm, Policy};
///
/// let policy = Policy::access_token("https://login.example.com", "https://api.example.com")
///     .audience("https://old.api.example.com")
///     .algorithms(&[Algorithm::Es256])
///     .leeway(5)?;
/// # Ok::<_, jotgate_jose::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    typ: Typ,
    issuer: Option<String>,
    audiences: Option<Vec<String>>,
    algorithms: u16,
    required: Vec<Required>,
    leeway: u64,
    max_age: Option<u64>,
    ignore_expiry: bool,
    allow_bound: bool,
    max_len: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Typ {
    Is(String),
    IsOrAbsent(String),
}

/// A claim that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Required {
    Iss,
    Sub,
    Aud,
    Exp,
    Nbf,
    Iat,
    Jti,
    ClientId,
    Other(String),
}

impl Policy {
    /// For access tokens by RFC 9068 §4: `typ` is `at+jwt`; `iss`, `exp`, `aud`, `sub`, `client_id`, `iat` and
    /// `jti` are there; `iss` is exactly `issuer`; `aud` names `audience`.
    #[must_use]
    pub fn access_token(issuer: &str, audience: &str) -> Self {
        Self::token(header::ACCESS_TOKEN, issuer, audience)
            .require("sub")
            .require("client_id")
            .require("iat")
            .require("jti")
    }

    /// For any other kind of JWT: `typ` is `typ`, `iss` is exactly `issuer`, `aud` names `audience`, `exp` is there.
    #[must_use]
    pub fn token(typ: &str, issuer: &str, audience: &str) -> Self {
        Self {
            typ: Typ::Is(typ.to_owned()),
            issuer: Some(issuer.to_owned()),
            audiences: Some(vec![audience.to_owned()]),
            algorithms: u16::MAX,
            required: vec![Required::Iss, Required::Aud, Required::Exp],
            leeway: 0,
            max_age: None,
            ignore_expiry: false,
            allow_bound: false,
            max_len: MAX_LEN,
        }
    }

    /// Accepts one more audience: the token must name any of them, compared exactly (RFC 7519 §4.1.3).
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        self.audiences.get_or_insert_default().push(audience.to_owned());
        self
    }

    /// Accepts these algorithms only, whatever the keys are for (RFC 8725 §3.1). By default a key's own algorithm
    /// decides.
    #[must_use]
    pub fn algorithms(mut self, algorithms: &[Algorithm]) -> Self {
        self.algorithms = algorithms.iter().fold(0, |set, alg| set | alg.bit());
        self
    }

    /// Also demands this claim. An empty string does not meet the demand; nor does `null`, where the claim has no
    /// type of its own here.
    #[must_use]
    pub fn require(mut self, claim: &str) -> Self {
        let required = match claim {
            "iss" => Required::Iss,
            "sub" => Required::Sub,
            "aud" => Required::Aud,
            "exp" => Required::Exp,
            "nbf" => Required::Nbf,
            "iat" => Required::Iat,
            "jti" => Required::Jti,
            "client_id" => Required::ClientId,
            other => Required::Other(other.to_owned()),
        };
        if !self.required.contains(&required) {
            self.required.push(required);
        }
        self
    }

    /// Seconds that `exp` and `nbf` may be off, for clocks that differ; 0 by default (RFC 7519 §4.1.4).
    ///
    /// # Errors
    /// [`PolicyError::LeewayTooLong`] above [`MAX_LEEWAY`].
    pub fn leeway(mut self, seconds: u64) -> Result<Self, PolicyError> {
        if seconds > MAX_LEEWAY {
            return Err(PolicyError::LeewayTooLong);
        }
        self.leeway = seconds;
        Ok(self)
    }

    /// Refuses tokens issued more than this many seconds ago, whatever their `exp`; `iat` is then required.
    #[must_use]
    pub fn max_age(mut self, seconds: u64) -> Self {
        self.max_age = Some(seconds);
        self.require("iat")
    }

    /// Longest token that is looked at, in bytes; 16 KiB by default. For status lists, which are long.
    ///
    /// # Errors
    /// [`PolicyError::LengthTooLong`] above 16 MiB.
    pub fn max_length(mut self, bytes: usize) -> Result<Self, PolicyError> {
        if bytes > MAX_MAX_LEN {
            return Err(PolicyError::LengthTooLong);
        }
        self.max_len = bytes;
        Ok(self)
    }

    /// Accepts a token without `typ`, as ID tokens often come; one that is there must still fit.
    #[must_use]
    pub fn typ_may_be_absent(mut self) -> Self {
        self.typ = match self.typ {
            Typ::Is(typ) | Typ::IsOrAbsent(typ) => Typ::IsOrAbsent(typ),
        };
        self
    }

    /// Accepts any issuer, or none. Only where the keys say who it is.
    #[must_use]
    pub fn any_issuer(mut self) -> Self {
        self.issuer = None;
        self
    }

    /// Accepts a token for any audience.
    #[must_use]
    pub fn any_audience(mut self) -> Self {
        self.audiences = None;
        self
    }

    /// Does not demand this claim, whose value is still checked if it is there.
    #[must_use]
    pub fn optional(mut self, claim: &str) -> Self {
        let unwanted = Self { required: Vec::new(), ..self.clone() }.require(claim).required;
        self.required.retain(|required| !unwanted.contains(required));
        self
    }

    /// Accepts a token that has expired: for `id_token_hint` (OpenID Connect RP-Initiated Logout §2), which shows
    /// who somebody was.
    #[must_use]
    pub fn ignore_expiry(mut self) -> Self {
        self.ignore_expiry = true;
        self
    }

    /// The issuer whose tokens are accepted; none after [`Policy::any_issuer`].
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Accepts a token that is bound to a key (`cnf`, RFC 7800 §3): the caller checks the proof, by DPoP (RFC 9449
    /// §7) or mutual TLS (RFC 8705 §3). By default such a token is refused: shown as a mere bearer token, it is stolen.
    #[must_use]
    pub fn allow_bound(mut self) -> Self {
        self.allow_bound = true;
        self
    }

    /// The longest token that is looked at.
    pub(crate) fn max_len(&self) -> usize {
        self.max_len
    }

    /// Whether a key of this algorithm may be used.
    pub(crate) fn allows(&self, alg: Algorithm) -> bool {
        self.algorithms & alg.bit() != 0
    }

    /// Checks the header's `typ`.
    pub(crate) fn check_type(&self, typ: Option<&str>) -> Result<(), Error> {
        let fits = match (&self.typ, typ) {
            (Typ::Is(expected) | Typ::IsOrAbsent(expected), Some(typ)) => header::same_type(typ, expected),
            (Typ::IsOrAbsent(_), None) => true,
            (Typ::Is(_), None) => false,
        };
        if fits { Ok(()) } else { Err(Error::WrongType) }
    }

    /// Checks the claims at the second `now`.
    pub(crate) fn check(&self, claims: Claims<'_>, now: u64) -> Result<(), Error> {
        if claims.cnf().is_some() && !self.allow_bound {
            return Err(Error::WrongType);
        }
        if !self.required.iter().all(|required| required.is_in(claims)) {
            return Err(Error::MissingClaim);
        }
        if self.issuer.as_deref().is_some_and(|issuer| claims.iss() != Some(issuer)) {
            return Err(Error::WrongIssuer);
        }
        if let Some(accepted) = &self.audiences
            && !claims.aud().iter().any(|aud| accepted.iter().any(|one| *one == aud))
        {
            return Err(Error::WrongAudience);
        }
        self.check_times(claims, now)
    }

    pub(crate) fn check_times(&self, claims: Claims<'_>, now: u64) -> Result<(), Error> {
        // RFC 7519 §4.1.4: refused *on* the instant, too.
        let expired = claims.exp().is_some_and(|exp| now >= exp.saturating_add(self.leeway));
        if expired && !self.ignore_expiry {
            return Err(Error::Expired);
        }
        if claims.nbf().is_some_and(|nbf| nbf > now.saturating_add(self.leeway)) {
            return Err(Error::NotYetValid);
        }
        let Some(iat) = claims.iat() else { return Ok(()) };
        if iat > now.saturating_add(MAX_CLOCK_SKEW) {
            return Err(Error::NotYetValid);
        }
        if self.max_age.is_some_and(|max_age| now.saturating_sub(iat) > max_age) {
            return Err(Error::TooOld);
        }
        Ok(())
    }
}

impl Required {
    fn is_in(&self, claims: Claims<'_>) -> bool {
        match self {
            Self::Iss => says_something(claims.iss()),
            Self::Sub => says_something(claims.sub()),
            Self::Aud => !claims.aud().is_absent(),
            Self::Exp => claims.exp().is_some(),
            Self::Nbf => claims.nbf().is_some(),
            Self::Iat => claims.iat().is_some(),
            Self::Jti => says_something(claims.jti()),
            Self::ClientId => says_something(claims.client_id()),
            Self::Other(name) => claims.get(name).is_some_and(|value| value != "null" && value != "\"\""),
        }
    }
}

/// An empty name names nobody.
fn says_something(claim: Option<&str>) -> bool {
    claim.is_some_and(|text| !text.is_empty())
}

/// Why a policy could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PolicyError {
    /// More leeway than [`MAX_LEEWAY`]: that is no difference of clocks, but a longer life for every token.
    LeewayTooLong,
    /// A longer token than 16 MiB.
    LengthTooLong,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeewayTooLong => "leeway is at most 60 seconds",
            Self::LengthTooLong => "a token is at most 16 MiB long",
        })
    }
}

impl core::error::Error for PolicyError {}
