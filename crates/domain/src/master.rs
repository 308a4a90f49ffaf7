//! The master key: the one secret outside the database, from which every other symmetric key is derived.

use std::fmt;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

/// A derived key. Wiped when dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// 32 bytes drawn at first start and kept in `DATA_DIR/master.key`. Wiped when dropped, never printed.
pub struct MasterKey(Key);

/// What a key is for; two purposes never share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Seals private signing keys at rest.
    Seal,
    /// Tags refresh tokens; the number is the key id inside the token ([`crate::refresh_token`]).
    Refresh(u8),
    /// Permutes status numbers ([`crate::status::Permutation`]).
    Status,
    /// Hashes names and devices into bucket keys ([`crate::throttle::BucketKeys`]).
    Throttle,
    /// Tags hosted forms.
    Forms,
    /// Tags the cookie of a known device.
    Devices,
    /// Tags sign-ins on their way through another provider ([`crate::upstream::flow`]).
    Flows,
}

impl MasterKey {
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key for a purpose: HKDF-Expand with SHA-256 (RFC 5869 §2.3), one block. The extract step is skipped,
    /// since the master key is uniformly random (§3.3).
    #[must_use]
    pub fn derive(&self, purpose: Purpose) -> Key {
        let mut info = match purpose {
            Purpose::Seal => b"jotgate 1 seal".to_vec(),
            Purpose::Refresh(id) => [b"jotgate 1 refresh ".as_slice(), &[id]].concat(),
            Purpose::Status => b"jotgate 1 status".to_vec(),
            Purpose::Throttle => b"jotgate 1 throttle".to_vec(),
            Purpose::Forms => b"jotgate 1 forms".to_vec(),
            Purpose::Devices => b"jotgate 1 devices".to_vec(),
            Purpose::Flows => b"jotgate 1 flows".to_vec(),
        };
        info.push(1);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice()), &info);
        let mut key = Key::default();
        key.copy_from_slice(tag.as_ref());
        key
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hkdf;

    use super::*;

    struct Len32;
    impl hkdf::KeyType for Len32 {
        fn len(&self) -> usize {
            32
        }
    }

    /// Held against another implementation of RFC 5869 §2.3; these strings must never change.
    #[test]
    fn it_is_hkdf_expand() {
        let master = MasterKey::new([7; 32]);
        let table: &[(Purpose, &[u8])] = &[
            (Purpose::Seal, b"jotgate 1 seal"),
            (Purpose::Refresh(1), b"jotgate 1 refresh \x01"),
            (Purpose::Refresh(255), b"jotgate 1 refresh \xff"),
            (Purpose::Status, b"jotgate 1 status"),
            (Purpose::Throttle, b"jotgate 1 throttle"),
            (Purpose::Forms, b"jotgate 1 forms"),
            (Purpose::Devices, b"jotgate 1 devices"),
            (Purpose::Flows, b"jotgate 1 flows"),
        ];
        for (purpose, info) in table {
            let mut expected = [0; 32];
            let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &[7; 32]);
            prk.expand(&[info], Len32).unwrap().fill(&mut expected).unwrap();
            assert_eq!(*master.derive(*purpose), expected, "{purpose:?}");
        }
    }

    #[test]
    fn nothing_of_it_is_printed() {
        assert_eq!(format!("{:?}", MasterKey::new([7; 32])), "MasterKey(…)");
    }
}
