//! PEM (RFC 7468), the strict textual form.

use zeroize::Zeroizing;

use crate::base64url;
use crate::error::KeyError;

/// What a PEM block holds, by its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    /// `PUBLIC KEY`: SubjectPublicKeyInfo (RFC 7468 §13).
    Spki,
    /// `RSA PUBLIC KEY`: PKCS#1 (RFC 8017 App. A.1.1).
    RsaPublic,
    /// `PRIVATE KEY`: PKCS#8 (RFC 7468 §10).
    Pkcs8,
    /// `RSA PRIVATE KEY`: PKCS#1 (RFC 8017 App. A.1.2).
    RsaPrivate,
    /// `EC PRIVATE KEY`: SEC 1 (RFC 5915 §4).
    EcPrivate,
}

impl Label {
    fn from_text(label: &str) -> Option<Self> {
        match label {
            "PUBLIC KEY" => Some(Self::Spki),
            "RSA PUBLIC KEY" => Some(Self::RsaPublic),
            "PRIVATE KEY" => Some(Self::Pkcs8),
            "RSA PRIVATE KEY" => Some(Self::RsaPrivate),
            "EC PRIVATE KEY" => Some(Self::EcPrivate),
            _ => None,
        }
    }

    pub(crate) fn is_private(self) -> bool {
        matches!(self, Self::Pkcs8 | Self::RsaPrivate | Self::EcPrivate)
    }
}

/// The first block that holds a key. An `EC PARAMETERS` block, which OpenSSL writes before some keys, is passed
/// over; text outside blocks is ignored (RFC 7468 §2).
pub(crate) fn decode(pem: &str) -> Result<(Label, Zeroizing<Vec<u8>>), KeyError> {
    let mut rest = pem;
    loop {
        let (_, after) = rest.split_once("-----BEGIN ").ok_or(KeyError::Malformed)?;
        let (label, body) = after.split_once("-----").ok_or(KeyError::Malformed)?;
        let (body, after) = body.split_once("-----END ").ok_or(KeyError::Malformed)?;
        let after = after.strip_prefix(label).and_then(|end| end.strip_prefix("-----"));
        let after = after.ok_or(KeyError::Malformed)?;
        if label == "EC PARAMETERS" {
            rest = after;
            continue;
        }
        let label = Label::from_text(label).ok_or(KeyError::UnsupportedAlgorithm)?;
        let text: Zeroizing<Vec<u8>> = Zeroizing::new(
            body.bytes().filter(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).collect(),
        );
        let der = base64url::decode_standard(&text).map_err(|_| KeyError::Malformed)?;
        return Ok((label, Zeroizing::new(der)));
    }
}
