//! The table of algorithms: one row each.

use core::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self as sig, EcdsaSigningAlgorithm, RsaParameters, RsaSignatureEncoding};

/// A signature algorithm of RFC 7518 §3.1, RFC 8037 §3.1 or RFC 9864 §2.
///
/// Exhaustive on purpose: a program that lists algorithms (in metadata, in configuration) should be told by
/// its compiler when one is added. `none` is not among them, and never will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// HMAC with SHA-256 (RFC 7518 §3.2).
    Hs256,
    /// HMAC with SHA-384 (RFC 7518 §3.2).
    Hs384,
    /// HMAC with SHA-512 (RFC 7518 §3.2).
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3).
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384 (RFC 7518 §3.3).
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512 (RFC 7518 §3.3).
    Rs512,
    /// RSASSA-PSS with SHA-256, salt as long as the hash (RFC 7518 §3.5).
    Ps256,
    /// RSASSA-PSS with SHA-384, salt as long as the hash (RFC 7518 §3.5).
    Ps384,
    /// RSASSA-PSS with SHA-512, salt as long as the hash (RFC 7518 §3.5).
    Ps512,
    /// ECDSA over P-256 with SHA-256 (RFC 7518 §3.4).
    Es256,
    /// ECDSA over P-384 with SHA-384 (RFC 7518 §3.4).
    Es384,
    /// ECDSA over P-521 with SHA-512 (RFC 7518 §3.4).
    Es512,
    /// Ed25519 under its older, polymorphic name `EdDSA` (RFC 8037 §3.1).
    EdDsa,
    /// Ed25519 under its fully specified name `Ed25519` (RFC 9864 §2.2). The name is the only difference from
    /// [`Algorithm::EdDsa`]; a key has one of the two, and a token must say that one.
    Ed25519,
}

impl Algorithm {
    /// All algorithms, in the order of the table.
    pub const ALL: [Self; 14] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
        Self::Ed25519,
    ];

    /// The value of `alg` (RFC 7515 §4.1.1).
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The algorithm of this exact name. Names are case-sensitive (RFC 7515 §4.1.1).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.name() == name)
    }

    /// Whether the verifying key is the signing secret itself (HMAC), and so must never be published.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        matches!(self.row().family, Family::Hmac(_))
    }

    /// This algorithm's bit in a set of algorithms.
    pub(crate) const fn bit(self) -> u16 {
        1 << (self as u16)
    }

    /// This algorithm's row of the table.
    pub(crate) const fn row(self) -> Row {
        match self {
            Self::Hs256 => Row { name: "HS256", family: Family::Hmac(&hmac::HMAC_SHA256) },
            Self::Hs384 => Row { name: "HS384", family: Family::Hmac(&hmac::HMAC_SHA384) },
            Self::Hs512 => Row { name: "HS512", family: Family::Hmac(&hmac::HMAC_SHA512) },
            Self::Rs256 => Row {
                name: "RS256",
                family: Family::Rsa(&sig::RSA_PKCS1_2048_8192_SHA256, &sig::RSA_PKCS1_SHA256),
            },
            Self::Rs384 => Row {
                name: "RS384",
                family: Family::Rsa(&sig::RSA_PKCS1_2048_8192_SHA384, &sig::RSA_PKCS1_SHA384),
            },
            Self::Rs512 => Row {
                name: "RS512",
                family: Family::Rsa(&sig::RSA_PKCS1_2048_8192_SHA512, &sig::RSA_PKCS1_SHA512),
            },
            Self::Ps256 => Row {
                name: "PS256",
                family: Family::Rsa(&sig::RSA_PSS_2048_8192_SHA256, &sig::RSA_PSS_SHA256),
            },
            Self::Ps384 => Row {
                name: "PS384",
                family: Family::Rsa(&sig::RSA_PSS_2048_8192_SHA384, &sig::RSA_PSS_SHA384),
            },
            Self::Ps512 => Row {
                name: "PS512",
                family: Family::Rsa(&sig::RSA_PSS_2048_8192_SHA512, &sig::RSA_PSS_SHA512),
            },
            Self::Es256 => Row { name: "ES256", family: Family::Ec(&P256) },
            Self::Es384 => Row { name: "ES384", family: Family::Ec(&P384) },
            Self::Es512 => Row { name: "ES512", family: Family::Ec(&P521) },
            Self::EdDsa => Row { name: "EdDSA", family: Family::Ed25519 },
            Self::Ed25519 => Row { name: "Ed25519", family: Family::Ed25519 },
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One row: the name, and what the cryptographic library needs.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) family: Family,
}

/// The families differ in how a key is written; within a family, algorithms differ in parameters only.
#[derive(Clone, Copy)]
pub(crate) enum Family {
    Hmac(&'static hmac::Algorithm),
    Rsa(&'static RsaParameters, &'static RsaSignatureEncoding),
    Ec(&'static Curve),
    Ed25519,
}

/// A curve of RFC 7518 §6.2.1.1, with the one hash that JOSE uses on it.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    /// Length of a coordinate, and of half a signature, in bytes.
    pub(crate) len: usize,
    /// The curve's object identifier, as the content bytes of its DER form (RFC 5480 §2.1.1.1).
    pub(crate) oid: &'static [u8],
    pub(crate) verify: &'static sig::EcdsaVerificationAlgorithm,
    pub(crate) sign: &'static EcdsaSigningAlgorithm,
}

static P256: Curve = Curve {
    name: "P-256",
    len: 32,
    oid: &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
    verify: &sig::ECDSA_P256_SHA256_FIXED,
    sign: &sig::ECDSA_P256_SHA256_FIXED_SIGNING,
};
static P384: Curve = Curve {
    name: "P-384",
    len: 48,
    oid: &[0x2b, 0x81, 0x04, 0x00, 0x22],
    verify: &sig::ECDSA_P384_SHA384_FIXED,
    sign: &sig::ECDSA_P384_SHA384_FIXED_SIGNING,
};
static P521: Curve = Curve {
    name: "P-521",
    len: 66,
    oid: &[0x2b, 0x81, 0x04, 0x00, 0x23],
    verify: &sig::ECDSA_P521_SHA512_FIXED,
    sign: &sig::ECDSA_P521_SHA512_FIXED_SIGNING,
};

#[cfg(test)]
mod tests {
    use super::Algorithm;

    #[test]
    fn names_are_unique_and_exact() {
        for alg in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(alg.name()), Some(alg));
            assert_eq!(Algorithm::from_name(&format!("{} ", alg.name())), None);
        }
        for name in
            ["", "none", "None", "NONE", "nOnE", "none ", "hs256", "ES256K", "Ed448", "ML-DSA-44", "eddsa"]
        {
            assert_eq!(Algorithm::from_name(name), None, "{name}");
        }
    }
}
