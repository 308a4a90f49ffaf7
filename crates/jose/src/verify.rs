//! Verifying: from a token's text to a value that only a verified token can become.

use core::fmt;
use std::borrow::Cow;

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::claims::{Claims, ClaimsIndex};
use crate::error::Error;
use crate::header::{self, Header};
use crate::json::Span;
use crate::key::{MAX_SIGNATURE, VerifyingKey};
use crate::keyset::KeySet;
use crate::policy::Policy;
use crate::token::Parts;

/// Longest signature that is not RSA: two numbers of P-521.
const SHORT_SIGNATURE: usize = 132;
/// Longest token for [`verify_signature_only`].
const MAX_LEN: usize = 1024 * 1024;

/// Verifies a JWT at the second `now` (since 1970, UTC): its form, its signature under one of `keys`, and all
/// that `policy` asks of its claims.
///
/// # Errors
/// One [`Error`] for each reason; the checks run in the order of that list, signature before claims.
pub fn verify(keys: &KeySet, policy: &Policy, token: &str, now: u64) -> Result<Verified<'static>, Error> {
    verify_with_room(keys, policy, token, now, 0)
}

/// As [`verify`], and keeps the token's own text beside its claims, in the same memory: for a caller that keeps what
/// it verified and finds it again by that text, [`Verified::token`].
///
/// # Errors
/// As [`verify`].
pub fn verify_and_keep(
    keys: &KeySet,
    policy: &Policy,
    token: &str,
    now: u64,
) -> Result<Verified<'static>, Error> {
    let mut verified = verify_with_room(keys, policy, token, now, token.len())?;
    let text = verified.text.to_mut();
    let start = text.len();
    text.push_str(token);
    verified.layout.token = Span::new(start, text.len())?;
    Ok(verified)
}

/// `room`: bytes to spare in the buffer.
fn verify_with_room(
    keys: &KeySet,
    policy: &Policy,
    token: &str,
    now: u64,
    room: usize,
) -> Result<Verified<'static>, Error> {
    let mut buffer = Vec::new();
    let mut index = ClaimsIndex::default();
    let layout = decode(keys, policy, token, &mut buffer, room, &mut index)?;
    let text = String::from_utf8(buffer).map_err(|_| Error::Malformed)?;
    policy.check(Claims::new(&text, layout.payload_len, &index), now)?;
    Ok(Verified { text: Cow::Owned(text), index, layout })
}

/// As [`verify`], but the claims are decoded into `buffer`, which is emptied first: kept over many tokens, it saves
/// the one allocation.
///
/// # Errors
/// As [`verify`].
pub fn verify_in<'b>(
    buffer: &'b mut Vec<u8>,
    keys: &KeySet,
    policy: &Policy,
    token: &str,
    now: u64,
) -> Result<Verified<'b>, Error> {
    let mut index = ClaimsIndex::default();
    let layout = decode(keys, policy, token, buffer, 0, &mut index)?;
    let text = core::str::from_utf8(buffer).map_err(|_| Error::Malformed)?;
    policy.check(Claims::new(text, layout.payload_len, &index), now)?;
    Ok(Verified { text: Cow::Borrowed(text), index, layout })
}

/// Verifies the signature of a compact JWS whatever its type and payload are, at most 1 MiB.
///
/// It proves who signed, not what for: a token of any other kind passes as well.
///
/// # Errors
/// [`Error::Malformed`], [`Error::UnsupportedAlgorithm`], [`Error::UnknownKey`] or [`Error::InvalidSignature`].
pub fn verify_signature_only(keys: &KeySet, token: &str) -> Result<VerifiedSignature, Error> {
    let parts = Parts::cut(token, MAX_LEN)?;
    let header = header::decode(parts.header)?;
    let parsed = Header::parse(&header)?;
    let key = authenticate(keys, &parts, &parsed)?;
    let payload = base64url::decode(parts.payload.as_bytes())?;
    let (kid, alg) = (key.kid().to_owned(), key.algorithm());
    Ok(VerifiedSignature { header, payload, kid, alg })
}

/// A token that was verified: nothing else makes this type.
///
/// It holds the decoded claims, borrowed from the buffer given to [`verify_in`] or its own.
#[derive(Clone)]
pub struct Verified<'b> {
    /// The payload, then the values of claims that had escapes, then the key's `kid`, then the token where it is kept.
    text: Cow<'b, str>,
    index: ClaimsIndex,
    layout: Layout,
}

#[derive(Debug, Clone, Copy)]
struct Layout {
    payload_len: usize,
    kid: Span,
    token: Span,
    alg: Algorithm,
}

impl Verified<'_> {
    /// The claims.
    #[must_use]
    pub fn claims(&self) -> Claims<'_> {
        Claims::new(&self.text, self.layout.payload_len, &self.index)
    }

    /// The `kid` of the key that verified the token, as the key set has it.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.layout.kid.of_str(&self.text)
    }

    /// The algorithm of the key that verified the token.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.layout.alg
    }

    /// The token's own text, a credential: there after [`verify_and_keep`] only.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        (!self.layout.token.is_none()).then(|| self.layout.token.of_str(&self.text))
    }

    /// Checks again, at `now` (seconds since the epoch), what time alone changes: `exp`, `nbf`, `iat` and the
    /// policy's maximum age. For a token that is kept after it was verified under the same policy.
    ///
    /// # Errors
    /// [`Error::Expired`], [`Error::NotYetValid`] or [`Error::TooOld`].
    pub fn recheck(&self, policy: &Policy, now: u64) -> Result<(), Error> {
        policy.check_times(self.claims(), now)
    }

    /// The same, in a buffer of its own.
    #[must_use]
    pub fn into_owned(self) -> Verified<'static> {
        Verified { text: Cow::Owned(self.text.into_owned()), index: self.index, layout: self.layout }
    }
}

/// Without the claims: they are about a person, and `Debug` ends in logs.
impl fmt::Debug for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Verified");
        shown.field("kid", &self.kid()).field("alg", &self.algorithm()).field("jti", &self.claims().jti());
        shown.finish_non_exhaustive()
    }
}

/// A JWS whose signature was verified, and nothing else.
#[derive(Debug, Clone)]
pub struct VerifiedSignature {
    header: String,
    payload: Vec<u8>,
    kid: String,
    alg: Algorithm,
}

impl VerifiedSignature {
    /// The header as JSON text.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The payload, which may be anything.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The header's `typ` (RFC 7515 §4.1.9).
    #[must_use]
    pub fn typ(&self) -> Option<String> {
        Header::parse(&self.header).ok()?.typ.map(Cow::into_owned)
    }

    /// The `kid` of the key that verified it.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The algorithm of the key that verified it.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.alg
    }

    /// The payload, kept.
    #[must_use]
    pub fn into_payload(self) -> Vec<u8> {
        self.payload
    }
}

/// A token that was cut and decoded, and not verified at all.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Insecure {
    /// The header as JSON text.
    pub header: String,
    /// The payload, which may be anything.
    pub payload: Vec<u8>,
    /// The signature's bytes.
    pub signature: Vec<u8>,
}

/// Decodes a token without verifying anything: what it says may be anybody's invention.
///
/// For showing a token to a person, and for finding the keys that it claims to be signed with.
///
/// # Errors
/// [`Error::Malformed`] as in [`verify_signature_only`].
pub fn insecure_decode(token: &str) -> Result<Insecure, Error> {
    let parts = Parts::cut(token, MAX_LEN)?;
    let header = header::decode(parts.header)?;
    Header::parse(&header)?;
    let payload = base64url::decode(parts.payload.as_bytes())?;
    let signature = base64url::decode(parts.signature.as_bytes())?;
    Ok(Insecure { header, payload, signature })
}

/// The `iss` that a token of at most 16 KiB names, nothing verified: only to choose whose keys it is then verified
/// with.
///
/// # Errors
/// [`Error::Malformed`] as in [`verify_signature_only`], [`Error::MissingClaim`] if it names none.
pub fn insecure_issuer(token: &str) -> Result<String, Error> {
    let parts = Parts::cut(token, crate::policy::MAX_LEN)?;
    let payload = base64url::decode(parts.payload.as_bytes())?;
    let mut side = String::new();
    let mut index = ClaimsIndex::default();
    index.parse(&payload, &mut side)?;
    let text = String::from_utf8(payload).map_err(|_| Error::Malformed)?;
    let (payload_len, text) = (text.len(), text + &side);
    Claims::new(&text, payload_len, &index).iss().map(str::to_owned).ok_or(Error::MissingClaim)
}

/// The `kid` that a token of at most 16 KiB names, if it names one; nothing verified.
///
/// # Errors
/// [`Error::Malformed`] as in [`verify_signature_only`].
pub fn insecure_kid(token: &str) -> Result<Option<String>, Error> {
    let parts = Parts::cut(token, crate::policy::MAX_LEN)?;
    let header = header::decode(parts.header)?;
    Ok(Header::parse(&header)?.kid.map(Cow::into_owned))
}

/// All but the policy's claims; leaves in `buffer` and `index` what [`Verified`] holds, its UTF-8 not checked yet.
fn decode(
    keys: &KeySet,
    policy: &Policy,
    token: &str,
    buffer: &mut Vec<u8>,
    room: usize,
    index: &mut ClaimsIndex,
) -> Result<Layout, Error> {
    buffer.clear();
    let parts = Parts::cut(token, policy.max_len())?;
    let key = find_key(keys, policy, &parts)?;
    buffer.reserve(parts.payload.len() + key.kid().len() + room);
    base64url::decode_into(parts.payload.as_bytes(), buffer)?;
    let mut side = String::new();
    index.parse(buffer, &mut side)?;
    let payload_len = buffer.len();
    buffer.extend_from_slice(side.as_bytes());
    let kid_start = buffer.len();
    buffer.extend_from_slice(key.kid().as_bytes());
    let kid = Span::new(kid_start, buffer.len())?;
    Ok(Layout { payload_len, kid, token: Span::default(), alg: key.algorithm() })
}

/// The key that signed the token, if the policy allows its algorithm and the token's type.
fn find_key<'k>(keys: &'k KeySet, policy: &Policy, parts: &Parts<'_>) -> Result<&'k VerifyingKey, Error> {
    if let Some(alg) = keys.known_header(parts.header) {
        if !policy.allows(alg) {
            return Err(Error::UnsupportedAlgorithm);
        }
        let key = with_signature(parts, |signature| {
            keys.verify_known(parts.header, parts.signing_input.as_bytes(), signature)
        })?;
        policy.check_type(Some(header::ACCESS_TOKEN))?;
        return Ok(key);
    }
    let header = header::decode(parts.header)?;
    let header = Header::parse(&header)?;
    let alg = header.alg.as_deref().ok_or(Error::Malformed)?;
    if !Algorithm::from_name(alg).is_some_and(|alg| policy.allows(alg)) {
        return Err(Error::UnsupportedAlgorithm);
    }
    let key = authenticate(keys, parts, &header)?;
    policy.check_type(header.typ.as_deref())?;
    // RFC 7519 §5.2: the payload would be another token.
    if header.cty.is_some_and(|cty| header::same_type(&cty, "JWT")) {
        return Err(Error::WrongType);
    }
    Ok(key)
}

fn authenticate<'k>(
    keys: &'k KeySet,
    parts: &Parts<'_>,
    header: &Header<'_>,
) -> Result<&'k VerifyingKey, Error> {
    with_signature(parts, |signature| keys.verify(header, parts.signing_input.as_bytes(), signature))
}

/// Hands the decoded signature to `verify`. One longer than any algorithm's is wrong without being looked at.
fn with_signature<T>(parts: &Parts<'_>, verify: impl FnOnce(&[u8]) -> Result<T, Error>) -> Result<T, Error> {
    let text = parts.signature.as_bytes();
    if text.len() > base64url::encoded_len(MAX_SIGNATURE) {
        return Err(Error::InvalidSignature);
    }
    if text.len() > base64url::encoded_len(SHORT_SIGNATURE) {
        return verify(base64url::decode_to(text, &mut [0; MAX_SIGNATURE])?);
    }
    verify(base64url::decode_to(text, &mut [0; SHORT_SIGNATURE])?)
}
