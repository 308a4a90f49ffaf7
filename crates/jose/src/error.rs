//! Why a token or a key is refused: one name for each refusal.

use core::fmt;

/// Why a token was refused.
///
/// Exhaustive on purpose: a program that maps refusals to answers should be told by its compiler when
/// a new refusal appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Error {
    /// Not a compact JWS (RFC 7515 §7.1), not strict base64url (§2), not strict JSON, a header that is not
    /// understood (`crit`, `b64`, RFC 7515 §4.1.11), a claim of the wrong type (RFC 7519 §4), or over the
    /// size limit.
    Malformed,
    /// `alg` is not one this crate, the policy or the named key allows (RFC 8725 §3.1, §3.2).
    UnsupportedAlgorithm,
    /// No key of the set fits the token's `kid` and `alg` (RFC 7515 §4.1.4).
    UnknownKey,
    /// The signature does not fit (RFC 7515 §5.2).
    InvalidSignature,
    /// `typ` or `cty` is not what the policy expects (RFC 8725 §3.11, RFC 9068 §4), or the token is bound to a key
    /// and the policy is for bearer tokens (`cnf`, RFC 7800 §3).
    WrongType,
    /// `exp` has passed (RFC 7519 §4.1.4).
    Expired,
    /// `nbf` lies ahead (RFC 7519 §4.1.5), or `iat` more than a minute ahead (§4.1.6).
    NotYetValid,
    /// `iat` is further back than the policy's maximum age (RFC 7519 §4.1.6).
    TooOld,
    /// `iss` is another issuer's (RFC 7519 §4.1.1, RFC 8725 §3.8).
    WrongIssuer,
    /// `aud` names nobody that the policy accepts (RFC 7519 §4.1.3, RFC 8725 §3.9).
    WrongAudience,
    /// A claim that the policy requires is absent (RFC 9068 §2.2).
    MissingClaim,
    /// The token's status entry, or its key, was revoked. This crate never raises it; `jotgate-verify` does.
    Revoked,
}

impl Error {
    /// All refusals, in the order of the checks.
    pub const ALL: [Self; 12] = [
        Self::Malformed,
        Self::UnsupportedAlgorithm,
        Self::UnknownKey,
        Self::InvalidSignature,
        Self::WrongType,
        Self::Expired,
        Self::NotYetValid,
        Self::TooOld,
        Self::WrongIssuer,
        Self::WrongAudience,
        Self::MissingClaim,
        Self::Revoked,
    ];

    /// The stable code of this refusal, for logs, metrics and machine-readable answers.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::InvalidSignature => "invalid_signature",
            Self::WrongType => "wrong_type",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::TooOld => "too_old",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::MissingClaim => "missing_claim",
            Self::Revoked => "revoked",
        }
    }

    /// One sentence for a person. It says nothing that the token's holder does not know.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Malformed => "the token is not a well-formed compact JWS with well-formed claims",
            Self::UnsupportedAlgorithm => "the token's algorithm is not accepted for its key",
            Self::UnknownKey => "no known key fits the token",
            Self::InvalidSignature => "the token's signature is wrong",
            Self::WrongType => "the token is of another type than the one expected",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::TooOld => "the token was issued too long ago",
            Self::WrongIssuer => "the token comes from another issuer",
            Self::WrongAudience => "the token is meant for another audience",
            Self::MissingClaim => "the token lacks a required claim",
            Self::Revoked => "the token has been revoked",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl core::error::Error for Error {}

/// Why a key was refused. It never contains key material.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyError {
    /// Not JSON, PEM or DER of a known structure, a member of the wrong type, or bytes left over.
    Malformed,
    /// A `kty`, `crv` or `alg` this crate has no row for, or an `alg` that does not fit the key.
    UnsupportedAlgorithm,
    /// The key says that it is for something else: `use` or `key_ops` (RFC 7517 §4.2, §4.3).
    WrongUse,
    /// An HMAC key shorter than the hash (RFC 7518 §3.2), or RSA below 2048 bits (§3.3).
    TooShort,
    /// RSA above 8192 bits, or a secret above 1 KiB: verifying would cost too much.
    TooLong,
    /// An RSA exponent that is even or below 65537, or an even modulus.
    WeakExponent,
    /// A point that is not on the curve, of small order, or not canonical; or parts that do not belong together.
    InvalidPoint,
    /// Private or symmetric material where a public key was expected.
    Private,
    /// Public material where a private key was expected.
    Public,
    /// Another key of this set is the same key, or has the same `kid` and algorithm.
    Duplicate,
    /// The cryptographic library refused the key or the operation.
    Rejected,
}

impl KeyError {
    /// The stable code of this refusal.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_key",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::WrongUse => "wrong_use",
            Self::TooShort => "key_too_short",
            Self::TooLong => "key_too_long",
            Self::WeakExponent => "weak_exponent",
            Self::InvalidPoint => "invalid_point",
            Self::Private => "private_key",
            Self::Public => "public_key",
            Self::Duplicate => "duplicate_key",
            Self::Rejected => "rejected_key",
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the key is not well-formed",
            Self::UnsupportedAlgorithm => "the key's type or algorithm is not supported",
            Self::WrongUse => "the key is not meant for signatures",
            Self::TooShort => "the key is too short for its algorithm",
            Self::TooLong => "the key is too long",
            Self::WeakExponent => "the RSA key's exponent or modulus is weak",
            Self::InvalidPoint => "the key is not a valid point of its curve",
            Self::Private => "a secret or private key stands where a public key is expected",
            Self::Public => "a public key stands where a private key is expected",
            Self::Duplicate => "the set already has this key",
            Self::Rejected => "the cryptographic library refused the key",
        })
    }
}

impl core::error::Error for KeyError {}
