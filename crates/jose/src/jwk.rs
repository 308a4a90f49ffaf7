//! JSON Web Keys as text (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2): the members that matter, checked for type.

use zeroize::Zeroizing;

use crate::algorithm::{Algorithm, Family};
use crate::base64url;
use crate::error::KeyError;
use crate::json::{Kind, Name, Scanner, Span, Str, unescape};

/// Longest text of one key that is looked at: an 8192-bit private key with a certificate chain fits.
const MAX_LEN: usize = 64 * 1024;

/// The members of a JWK that this crate understands, unverified but well-typed.
#[derive(Default)]
pub(crate) struct Jwk {
    pub(crate) kty: String,
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
        let mut has_kty = false;
        Scanner::document(text.as_bytes(), |scanner, name| {
            has_kty |= name.is("kty");
            jwk.member(text, scanner, name)
        })
        .map_err(|_| KeyError::Malformed)?;
        if has_kty { Ok(jwk) } else { Err(KeyError::Malformed) }
    }

    fn member(&mut self, text: &str, scanner: &mut Scanner<'_>, name: Name<'_>) -> Result<(), crate::Error> {
        name.with(|name| {
            match name {
                b"kty" => self.kty = string(text, scanner)?,
                b"crv" => self.crv = Some(string(text, scanner)?),
                b"alg" => self.alg = Some(string(text, scanner)?),
                b"kid" => self.kid = Some(string(text, scanner)?),
                b"use" => self.usage = Some(string(text, scanner)?),
                b"key_ops" => self.key_ops = Some(strings(text, scanner)?),
                b"n" => self.n = Some(bytes(text, scanner)?),
                b"e" => self.e = Some(bytes(text, scanner)?),
                b"x" => self.x = Some(bytes(text, scanner)?),
                b"y" => self.y = Some(bytes(text, scanner)?),
                b"d" => self.d = Some(bytes(text, scanner)?),
                b"p" => self.p = Some(bytes(text, scanner)?),
                b"q" => self.q = Some(bytes(text, scanner)?),
                b"dp" => self.dp = Some(bytes(text, scanner)?),
                b"dq" => self.dq = Some(bytes(text, scanner)?),
                b"qi" => self.qi = Some(bytes(text, scanner)?),
                b"k" => self.k = Some(bytes(text, scanner)?),
                b"oth" => {
                    self.oth = true;
                    scanner.skip()?;
                }
                _ => {
                    scanner.skip()?;
                }
            }
            Ok(())
        })
    }

    /// The one algorithm of this key: what `alg` says if it fits `kty` and `crv`; else the only one there is for
    /// the curve; else, for RSA and HMAC keys without `alg`, `RS256` and `HS256`; for Ed25519 `EdDSA`.
    pub(crate) fn algorithm(&self) -> Result<Algorithm, KeyError> {
        let alg = match &self.alg {
            Some(name) => Algorithm::from_name(name).ok_or(KeyError::UnsupportedAlgorithm)?,
            None => match (self.kty.as_str(), self.crv.as_deref()) {
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
        match alg.row().family {
            Family::Hmac(_) => self.kty == "oct",
            Family::Rsa(..) => self.kty == "RSA",
            Family::Ec(curve) => self.kty == "EC" && self.crv.as_deref() == Some(curve.name),
            Family::Ed25519 => self.kty == "OKP" && self.crv.as_deref() == Some("Ed25519"),
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
    Scanner::document(text.as_bytes(), |scanner, name| {
        if !name.is("keys") {
            return scanner.skip().map(|_| ());
        }
        let mut spans = Vec::new();
        scanner.array(|scanner| {
            // The inside is judged key by key, so that a bad one cannot take the good ones with it.
            spans.push(scanner.skip_loosely()?);
            Ok(())
        })?;
        keys = Some(spans);
        Ok(())
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
