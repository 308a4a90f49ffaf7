//! What a verifying key is made of, checked once; everything else is derived from it.

use aws_lc_rs::signature::{ED25519, ParsedPublicKey, RsaPublicKeyComponents};
use aws_lc_rs::{digest, hmac};
use zeroize::Zeroizing;

use super::edwards;
use crate::algorithm::{Algorithm, Curve, Family};
use crate::base64url;
use crate::der::{self, Reader};
use crate::error::KeyError;
use crate::jwk::Jwk;

/// Longest HMAC secret: longer ones gain nothing (RFC 2104 §3).
const MAX_SECRET: usize = 1024;

/// The parts of a key that verifying needs, in their canonical form.
#[derive(Clone)]
pub(super) enum Public {
    /// A shared secret: public only in that it verifies.
    Hmac(Zeroizing<Vec<u8>>),
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// `x ‖ y`, each as long as the curve's field.
    Ec {
        curve: &'static Curve,
        xy: Vec<u8>,
    },
    Ed25519([u8; 32]),
}

/// The same, ready to use.
#[derive(Clone)]
pub(super) enum Prepared {
    Hmac(Box<hmac::Key>),
    Asymmetric(ParsedPublicKey),
}

impl Public {
    pub(super) fn from_jwk(jwk: &Jwk, alg: Algorithm) -> Result<Self, KeyError> {
        match alg.row().family {
            Family::Hmac(_) => Ok(Self::Hmac(Zeroizing::new(jwk.secret()?.to_vec()))),
            Family::Rsa(..) => {
                let (n, e) = jwk.rsa_public()?;
                Ok(Self::Rsa { n: n.to_vec(), e: e.to_vec() })
            }
            Family::Ec(curve) => {
                let (x, y) = jwk.point()?;
                // RFC 7518 §6.2.1.2: exactly as long as the field, neither shortened nor padded.
                if x.len() != curve.len || y.len() != curve.len {
                    return Err(KeyError::InvalidPoint);
                }
                Ok(Self::Ec { curve, xy: [x, y].concat() })
            }
            Family::Ed25519 => jwk.x()?.try_into().map(Self::Ed25519).map_err(|_| KeyError::InvalidPoint),
        }
    }

    /// From SubjectPublicKeyInfo (RFC 5280 §4.1), or PKCS#1 for RSA (RFC 8017 App. A.1.1).
    pub(super) fn from_der(alg: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        let mut outer = Reader::only(der, der::SEQUENCE)?;
        if outer.is_next(der::INTEGER) {
            return match alg.row().family {
                Family::Rsa(..) => Self::from_pkcs1(der),
                _ => Err(KeyError::Malformed),
            };
        }
        let mut id = outer.sequence()?;
        let bits = outer.bits()?;
        outer.end()?;
        let oid = id.element(der::OID)?;
        match alg.row().family {
            Family::Rsa(..) if oid == der::RSA_ENCRYPTION => {
                // RFC 3279 §2.3.1: the parameters are NULL.
                if !id.element(0x05)?.is_empty() {
                    return Err(KeyError::Malformed);
                }
                id.end()?;
                Self::from_pkcs1(bits)
            }
            Family::Ec(curve) if oid == der::EC_PUBLIC_KEY => {
                if id.element(der::OID)? != curve.oid {
                    return Err(KeyError::UnsupportedAlgorithm);
                }
                id.end()?;
                Self::from_point(curve, bits)
            }
            Family::Ed25519 if oid == der::ED25519 => {
                id.end()?;
                bits.try_into().map(Self::Ed25519).map_err(|_| KeyError::InvalidPoint)
            }
            _ => Err(KeyError::UnsupportedAlgorithm),
        }
    }

    pub(super) fn from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        let mut parts = Reader::only(der, der::SEQUENCE)?;
        let (n, e) = (parts.unsigned()?.to_vec(), parts.unsigned()?.to_vec());
        parts.end()?;
        Ok(Self::Rsa { n, e })
    }

    /// From an uncompressed point (SEC 1 §2.3.3).
    pub(super) fn from_point(curve: &'static Curve, point: &[u8]) -> Result<Self, KeyError> {
        match point {
            [0x04, xy @ ..] if xy.len() == 2 * curve.len => Ok(Self::Ec { curve, xy: xy.to_vec() }),
            _ => Err(KeyError::InvalidPoint),
        }
    }

    /// Checks the key and makes it ready for `alg`.
    pub(super) fn prepare(&self, alg: Algorithm) -> Result<Prepared, KeyError> {
        let parsed = match (self, alg.row().family) {
            (Self::Hmac(secret), Family::Hmac(hash)) => {
                if secret.len() < hash.tag_len() {
                    return Err(KeyError::TooShort);
                }
                if secret.len() > MAX_SECRET {
                    return Err(KeyError::TooLong);
                }
                return Ok(Prepared::Hmac(hmac::Key::new(*hash, secret).into()));
            }
            (Self::Rsa { n, e }, Family::Rsa(params, _)) => {
                check_rsa(n, e)?;
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(params)
            }
            (Self::Ec { curve, xy }, Family::Ec(_)) => {
                let point = [&[0x04], xy.as_slice()].concat();
                // The library checks that the point is on the curve.
                return ParsedPublicKey::new(curve.verify, point)
                    .map(Prepared::Asymmetric)
                    .map_err(|_| KeyError::InvalidPoint);
            }
            (Self::Ed25519(x), Family::Ed25519) => {
                edwards::check(x)?;
                ParsedPublicKey::new(&ED25519, x)
            }
            _ => return Err(KeyError::UnsupportedAlgorithm),
        };
        parsed.map(Prepared::Asymmetric).map_err(|_| KeyError::Rejected)
    }

    /// The members that a thumbprint covers, in its order (RFC 7638 §3.2, RFC 8037 §2); nothing for a secret.
    pub(super) fn required_members(&self) -> Option<String> {
        let b64 = base64url::encode;
        Some(match self {
            Self::Hmac(_) => return None,
            Self::Rsa { n, e } => format!(r#""e":"{}","kty":"RSA","n":"{}""#, b64(e), b64(n)),
            Self::Ec { curve, xy } => {
                let (x, y) = xy.split_at_checked(curve.len).unwrap_or_default();
                format!(r#""crv":"{}","kty":"EC","x":"{}","y":"{}""#, curve.name, b64(x), b64(y))
            }
            Self::Ed25519(x) => format!(r#""crv":"Ed25519","kty":"OKP","x":"{}""#, b64(x)),
        })
    }

    /// The RFC 7638 thumbprint with SHA-256. A hash of a secret would be a gift to whoever guesses at it, so for
    /// an HMAC key it is the HMAC of a fixed text: every token signed with the key shows as much.
    pub(super) fn thumbprint(&self) -> String {
        if let Self::Hmac(secret) = self {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            return base64url::encode(hmac::sign(&key, b"jotgate-jose key id").as_ref());
        }
        let members = self.required_members().unwrap_or_default();
        let hash = digest::digest(&digest::SHA256, format!("{{{members}}}").as_bytes());
        base64url::encode(hash.as_ref())
    }
}

/// RFC 7518 §3.3 asks for 2048 bits; FIPS 186-5 §5.4 for an odd exponent above 2^16. The library verifies with
/// moduli up to 8192 bits and exponents up to 33 bits.
fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), KeyError> {
    let (Some(&top), Some(&low)) = (n.first(), n.last()) else { return Err(KeyError::Malformed) };
    // RFC 7518 §6.3.1: the shortest form, without leading zeros.
    if top == 0 || e.first().is_none_or(|byte| *byte == 0) {
        return Err(KeyError::Malformed);
    }
    let bits = n.len() * 8 - top.leading_zeros() as usize;
    let exponent = e.iter().try_fold(0_u64, |value, byte| {
        value.checked_mul(256).map(|value| value | u64::from(*byte)).filter(|value| *value < 1 << 33)
    });
    match exponent {
        _ if bits < 2048 => Err(KeyError::TooShort),
        _ if bits > 8192 => Err(KeyError::TooLong),
        Some(e) if e > 1 << 16 && e % 2 == 1 && low % 2 == 1 => Ok(()),
        _ => Err(KeyError::WeakExponent),
    }
}
