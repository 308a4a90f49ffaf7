//! JSON Web Keys as text (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2): the members that matter, checked for type.

use zeroize::Zeroizing;

use crate::algorithm::{Algorithm, Family};
use crate::base64url;
use crate::error::KeyError;
use crate::json::{Kind, Name, Others, Scanner, Span, Str, once, unescape};

/// Longest text of one key that is looked at: an 8192-bit private key with a certificate chain fits.
const MAX_LEN: usize = 64 * 1024;

/// The members of a JWK that this crate understands, unverified but well-typed.
#[derive(Default)]
pub(crate) struct Jwk {
    kty: Option<String>,
    pub(crate) crv: Option<String>,
    pub(crate) alg: Option<String>,
    pub(crate) kid: Option<String>,
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    n: Option<Secret>,
    e: Option<Secret>,
    x: Option<Secret>,
    y: Option<Secret>,
    d: Option<Secret>,
    p: Option<Secret>,
    q: Option<Secret>,
    dp: Option<Secret>,
    dq: Option<Secret>,
    qi: Option<Secret>,
    k: Option<Secret>,
    oth: bool,
}

/// A member's decoded bytes, wiped when dropped (most of them are no secrets; telling them apart buys nothing).
pub(crate) type Secret = Zeroizing<Vec<u8>>;

impl Jwk {
    /// Reads one JWK. Unknown members are ignored (RFC 7517 §4); a member twice, or of the wrong type, is not.
    pub(crate) fn parse(text: &str) -> Result<Self, KeyError> {
        if text.len() > MAX_LEN {
            return Err(KeyError::TooLong);
        }
        let mut jwk = Self::default();
        Scanner::document(text.as_bytes(), |scanner, name, others| {
            name.with(|text_of_name| jwk.member(text, text_of_name, scanner, name, others))
        })
        .map_err(|_| KeyError::Malformed)?;
        if jwk.kty.is_some() { Ok(jwk) } else { Err(KeyError::Malformed) }
    }

    fn member<'a>(
        &mut self,
        text: &'a str,
        text_of_name: &[u8],
        scanner: &mut Scanner<'a>,
        name: Name<'a>,
        others: &mut Others<'a>,
    ) -> Result<(), crate::Error> {
        match text_of_name {
            b"kty" => once(&mut self.kty, string(text, scanner)?),
            b"crv" => once(&mut self.crv, string(text, scanner)?),
            b"alg" => once(&mut self.alg, string(text, scanner)?),
            b"kid" => once(&mut self.kid, string(text, scanner)?),
            b"use" => once(&mut self.usage, string(text, scanner)?),
            b"key_ops" => once(&mut self.key_ops, strings(text, scanner)?),
            b"n" => once(&mut self.n, bytes(text, scanner)?),
            b"e" => once(&mut self.e, bytes(text, scanner)?),
            b"x" => once(&mut self.x, bytes(text, scanner)?),
            b"y" => once(&mut self.y, bytes(text, scanner)?),
            b"d" => once(&mut self.d, bytes(text, scanner)?),
            b"p" => once(&mut self.p, bytes(text, scanner)?),
            b"q" => once(&mut self.q, bytes(text, scanner)?),
            b"dp" => once(&mut self.dp, bytes(text, scanner)?),
            b"dq" => once(&mut self.dq, bytes(text, scanner)?),
            b"qi" => once(&mut self.qi, bytes(text, scanner)?),
            b"k" => once(&mut self.k, bytes(text, scanner)?),
            b"oth" => {
                self.oth = true;
                scanner.other(name, others).map(|_| ())
            }
            _ => scanner.other(name, others).map(|_| ()),
        }
    }

    /// The one algorithm of this key: what `alg` says if it fits `kty` and `crv`; else the only one there is for
    /// the curve; else, for RSA and HMAC keys without `alg`, `RS256` and `HS256`; for Ed25519 `EdDSA`.
    pub(crate) fn algorithm(&self) -> Result<Algorithm, KeyError> {
        let alg = match &self.alg {
            Some(name) => Algorithm::from_name(name).ok_or(KeyError::UnsupportedAlgorithm)?,
            None => match (self.kty.as_deref().unwrap_or_default(), self.crv.as_deref()) {
                ("oct", _) => Algorithm::Hs256,
                ("RSA", _) => Algorithm::Rs256,
                ("EC", Some("P-256")) => Algorithm::Es256,
                ("EC", Some("P-384")) => Algorithm::Es384,
                ("EC", Some("P-521")) => Algorithm::Es512,
                ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
                _ => return Err(KeyError::UnsupportedAlgorithm),
            },
        };
        if self.fits(alg) { Ok(alg) } else { Err(KeyError::UnsupportedAlgorithm) }
    }

    /// Whether `kty` and `crv` are those of the algorithm.
    pub(crate) fn fits(&self, alg: Algorithm) -> bool {
        let kty = self.kty.as_deref();
        match alg.row().family {
            Family::Hmac(_) => kty == Some("oct"),
            Family::Rsa(..) => kty == Some("RSA"),
            Family::Ec(curve) => kty == Some("EC") && self.crv.as_deref() == Some(curve.name),
            Family::Ed25519 => kty == Some("OKP") && self.crv.as_deref() == Some("Ed25519"),
        }
    }

    /// Refuses a key that says it is for something else (RFC 7517 §4.2, §4.3). `operation` is `sign` or
    /// `verify`; `key_ops` must name it, and nothing twice.
    pub(crate) fn check_use(&self, operation: &str) -> Result<(), KeyError> {
        let usage = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        let ops = self.key_ops.as_ref().is_none_or(|ops| {
            let distinct =
                ops.iter().enumerate().all(|(i, op)| !ops.iter().skip(i + 1).any(|other| other == op));
            distinct && ops.iter().any(|op| op == operation)
        });
        if usage && ops { Ok(()) } else { Err(KeyError::WrongUse) }
    }

    /// Whether any member of a private key is there.
    pub(crate) fn is_private(&self) -> bool {
        self.oth
            || [&self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi].iter().any(|part| part.is_some())
    }

    pub(crate) fn secret(&self) -> Result<&[u8], KeyError> {
        part(&self.k)
    }

    pub(crate) fn rsa_public(&self) -> Result<(&[u8], &[u8]), KeyError> {
        Ok((part(&self.n)?, part(&self.e)?))
    }

    /// `d`, `p`, `q`, `dp`, `dq`, `qi`, all of them (RFC 7518 §6.3.2); more than two primes are refused.
    pub(crate) fn rsa_private(&self) -> Result<[&[u8]; 6], KeyError> {
        if self.oth {
            return Err(KeyError::UnsupportedAlgorithm);
        }
        Ok([
            private(&self.d)?,
            part(&self.p)?,
            part(&self.q)?,
            part(&self.dp)?,
            part(&self.dq)?,
            part(&self.qi)?,
        ])
    }

    pub(crate) fn point(&self) -> Result<(&[u8], &[u8]), KeyError> {
        Ok((part(&self.x)?, part(&self.y)?))
    }

    pub(crate) fn x(&self) -> Result<&[u8], KeyError> {
        part(&self.x)
    }

    pub(crate) fn d(&self) -> Result<&[u8], KeyError> {
        private(&self.d)
    }
}

fn part(part: &Option<Secret>) -> Result<&[u8], KeyError> {
    part.as_ref().map(|bytes| bytes.as_slice()).ok_or(KeyError::Malformed)
}

fn private(part: &Option<Secret>) -> Result<&[u8], KeyError> {
    part.as_ref().map(|bytes| bytes.as_slice()).ok_or(KeyError::Public)
}

/// The keys of a JWK Set as texts (RFC 7517 §5), or the text itself where it is one JWK.
pub(crate) fn split_set(text: &str) -> Result<Vec<&str>, KeyError> {
    let mut keys: Option<Vec<Span>> = None;
    Scanner::document(text.as_bytes(), |scanner, name, others| {
        if !name.is("keys") {
            // The members of one JWK standing alone are judged when it is read.
            return scanner.other(name, others).map(|_| ());
        }
        let mut spans = Vec::new();
        scanner.array(|scanner| {
            // The inside is judged key by key, so that a bad one cannot take the good ones with it.
            spans.push(scanner.skip_loosely()?);
            Ok(())
        })?;
        once(&mut keys, spans)
    })
    .map_err(|_| KeyError::Malformed)?;
    Ok(keys.map_or_else(|| vec![text], |spans| spans.iter().map(|span| span.of_str(text)).collect()))
}

fn string(text: &str, scanner: &mut Scanner<'_>) -> Result<String, crate::Error> {
    scanner.string().map(|found| value(text, found))
}

fn value(text: &str, Str { span, escaped }: Str) -> String {
    let raw = span.of_str(text);
    if escaped { unescape(raw) } else { raw.to_owned() }
}

fn strings(text: &str, scanner: &mut Scanner<'_>) -> Result<Vec<String>, crate::Error> {
    let mut list = Vec::new();
    if scanner.kind()? != Kind::Array {
        return Err(crate::Error::Malformed);
    }
    scanner.array(|scanner| {
        list.push(string(text, scanner)?);
        Ok(())
    })?;
    Ok(list)
}

fn bytes(text: &str, scanner: &mut Scanner<'_>) -> Result<Secret, crate::Error> {
    let raw = Zeroizing::new(string(text, scanner)?);
    base64url::decode(raw.as_bytes()).map(Zeroizing::new)
}
