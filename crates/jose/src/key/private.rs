//! Private keys: how each family is read, written, made and used.

use aws_lc_rs::encoding::{AsBigEndian as _, AsDer as _, EcPrivateKeyBin, Pkcs8V1Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::{KeyPairComponents, KeySize};
use aws_lc_rs::signature::{
    EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair, RsaPublicKeyComponents, RsaSignatureEncoding,
};
use zeroize::Zeroizing;

use super::public::Public;
use crate::algorithm::{Algorithm, Curve, Family};
use crate::base64url;
use crate::der::{self, Reader};
use crate::error::KeyError;
use crate::jwk::Jwk;

/// The largest signature: RSA with 8192 bits.
pub(crate) const MAX_SIGNATURE: usize = 1024;

pub(super) enum Private {
    Hmac(Box<hmac::Key>, Zeroizing<Vec<u8>>),
    Rsa(RsaKeyPair, &'static RsaSignatureEncoding),
    Ec(EcdsaKeyPair, &'static Curve),
    Ed25519(Ed25519KeyPair),
}

impl Private {
    pub(super) fn generate(alg: Algorithm) -> Result<Self, KeyError> {
        match alg.row().family {
            Family::Hmac(hash) => {
                let mut secret = Zeroizing::new(vec![0; hash.tag_len()]);
                rand::fill(&mut secret).map_err(|_| KeyError::Rejected)?;
                Ok(Self::Hmac(hmac::Key::new(*hash, &secret).into(), secret))
            }
            Family::Rsa(_, encoding) => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Rejected)?;
                Ok(Self::Rsa(pair, encoding))
            }
            Family::Ec(curve) => {
                let pair = EcdsaKeyPair::generate(curve.sign).map_err(|_| KeyError::Rejected)?;
                Ok(Self::Ec(pair, curve))
            }
            Family::Ed25519 => Ed25519KeyPair::generate().map(Self::Ed25519).map_err(|_| KeyError::Rejected),
        }
    }

    pub(super) fn from_jwk(jwk: &Jwk, alg: Algorithm) -> Result<Self, KeyError> {
        match alg.row().family {
            Family::Hmac(_) => Self::from_secret(alg, jwk.secret()?),
            Family::Rsa(_, encoding) => {
                let (n, e) = jwk.rsa_public()?;
                let [d, p, q, dp, dq, qi] = jwk.rsa_private()?;
                let public_key = RsaPublicKeyComponents { n, e };
                let parts = KeyPairComponents { public_key, d, p, q, dP: dp, dQ: dq, qInv: qi };
                let pair = RsaKeyPair::from_components(&parts).map_err(|_| KeyError::Rejected)?;
                Ok(Self::Rsa(pair, encoding))
            }
            Family::Ec(curve) => {
                let (x, y) = jwk.point()?;
                let d = jwk.d()?;
                // RFC 7518 §6.2.1.2, §6.2.2.1: exactly as long as the field.
                if [x, y, d].iter().any(|part| part.len() != curve.len) {
                    return Err(KeyError::InvalidPoint);
                }
                let point = [&[0x04], x, y].concat();
                EcdsaKeyPair::from_private_key_and_public_key(curve.sign, d, &point)
                    .map(|pair| Self::Ec(pair, curve))
                    .map_err(|_| KeyError::InvalidPoint)
            }
            Family::Ed25519 => Ed25519KeyPair::from_seed_and_public_key(jwk.d()?, jwk.x()?)
                .map(Self::Ed25519)
                .map_err(|_| KeyError::InvalidPoint),
        }
    }

    pub(super) fn from_secret(alg: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        match alg.row().family {
            Family::Hmac(hash) => {
                Ok(Self::Hmac(hmac::Key::new(*hash, secret).into(), Zeroizing::new(secret.to_vec())))
            }
            _ => Err(KeyError::UnsupportedAlgorithm),
        }
    }

    /// From PKCS#8 (RFC 5958), PKCS#1 for RSA (RFC 8017 App. A.1.2) or SEC 1 for EC (RFC 5915).
    pub(super) fn from_der(alg: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        // PKCS#8 goes on with a sequence after its version; the older forms do not.
        let mut parts = Reader::only(der, der::SEQUENCE)?;
        if !parts.is_next(der::INTEGER) {
            return Err(KeyError::Public);
        }
        parts.element(der::INTEGER)?;
        let pkcs8 = parts.is_next(der::SEQUENCE);
        match alg.row().family {
            Family::Hmac(_) => Err(KeyError::UnsupportedAlgorithm),
            Family::Rsa(_, encoding) => {
                let pair = if pkcs8 { RsaKeyPair::from_pkcs8(der) } else { RsaKeyPair::from_der(der) };
                pair.map(|pair| Self::Rsa(pair, encoding)).map_err(|_| KeyError::Rejected)
            }
            Family::Ec(curve) => {
                let pair = if pkcs8 {
                    EcdsaKeyPair::from_pkcs8(curve.sign, der)
                } else {
                    EcdsaKeyPair::from_private_key_der(curve.sign, der)
                };
                pair.map(|pair| Self::Ec(pair, curve)).map_err(|_| KeyError::Rejected)
            }
            Family::Ed25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                .map(Self::Ed25519)
                .map_err(|_| KeyError::Rejected),
        }
    }

    pub(super) fn public(&self) -> Result<Public, KeyError> {
        match self {
            Self::Hmac(_, secret) => Ok(Public::Hmac(secret.clone())),
            Self::Rsa(pair, _) => Public::from_pkcs1(pair.public_key().as_ref()),
            Self::Ec(pair, curve) => Public::from_point(curve, pair.public_key().as_ref()),
            Self::Ed25519(pair) => {
                pair.public_key().as_ref().try_into().map(Public::Ed25519).map_err(|_| KeyError::Rejected)
            }
        }
    }

    /// The private members of the JWK, as JSON text without braces, beginning with a comma where public members
    /// come before it.
    pub(super) fn jwk_members(&self) -> Result<Zeroizing<String>, KeyError> {
        let b64 = |bytes: &[u8]| Zeroizing::new(base64url::encode(bytes));
        let members = match self {
            Self::Hmac(_, secret) => format!(r#""kty":"oct","k":"{}""#, *b64(secret)),
            Self::Rsa(pair, _) => {
                let pkcs8 = pair.as_der().map_err(|_| KeyError::Rejected)?;
                return rsa_members(&pkcs8);
            }
            Self::Ec(pair, _) => {
                let d: EcPrivateKeyBin<'_> =
                    pair.private_key().as_be_bytes().map_err(|_| KeyError::Rejected)?;
                format!(r#","d":"{}""#, *b64(d.as_ref()))
            }
            Self::Ed25519(pair) => {
                let seed = pair.seed().and_then(|seed| seed.as_be_bytes()).map_err(|_| KeyError::Rejected)?;
                format!(r#","d":"{}""#, *b64(seed.as_ref()))
            }
        };
        Ok(Zeroizing::new(members))
    }

    /// Signs `message` into `out` and returns the signature.
    pub(super) fn sign<'o>(
        &self,
        message: &[u8],
        out: &'o mut [u8; MAX_SIGNATURE],
    ) -> Result<&'o [u8], KeyError> {
        let mut copy = |signature: &[u8]| {
            if let Some(space) = out.get_mut(..signature.len()) {
                space.copy_from_slice(signature);
            }
            signature.len()
        };
        let len = match self {
            Self::Hmac(key, _) => copy(hmac::sign(key, message).as_ref()),
            Self::Ec(pair, _) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Rejected)?;
                copy(signature.as_ref())
            }
            Self::Ed25519(pair) => copy(pair.try_sign(message).map_err(|_| KeyError::Rejected)?.as_ref()),
            Self::Rsa(pair, encoding) => {
                let len = pair.public_modulus_len();
                let space = out.get_mut(..len).ok_or(KeyError::TooLong)?;
                pair.sign(*encoding, &SystemRandom::new(), message, space).map_err(|_| KeyError::Rejected)?;
                len
            }
        };
        out.get(..len).ok_or(KeyError::TooLong)
    }
}

/// The private members of an RSA key, out of its PKCS#8 form.
fn rsa_members(pkcs8: &Pkcs8V1Der<'_>) -> Result<Zeroizing<String>, KeyError> {
    let mut outer = Reader::only(pkcs8.as_ref(), der::SEQUENCE)?;
    outer.element(der::INTEGER)?;
    outer.sequence()?;
    let mut parts = Reader::only(outer.element(der::OCTET_STRING)?, der::SEQUENCE)?;
    for _version_n_e in 0..3 {
        parts.unsigned()?;
    }
    // One allocation of the right size, so that no copy is left behind by growing.
    let mut members = Zeroizing::new(String::with_capacity(pkcs8.as_ref().len() * 2 + 64));
    for name in ["d", "p", "q", "dp", "dq", "qi"] {
        let value = Zeroizing::new(base64url::encode(parts.unsigned()?));
        for piece in [",\"", name, "\":\"", value.as_str(), "\""] {
            members.push_str(piece);
        }
    }
    Ok(members)
}
