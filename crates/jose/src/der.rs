//! The little DER (X.690) that keys need: definite lengths, in their shortest form, nothing left over.

use crate::error::KeyError;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

/// Object identifiers as content bytes (RFC 8017 App. C, RFC 5480 §2.1.1, RFC 8410 §3).
pub(crate) const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
pub(crate) const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
pub(crate) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// Reads one element after another.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(der: &'a [u8]) -> Self {
        Self { rest: der }
    }

    /// The whole of `der` as one element with `tag`, opened.
    pub(crate) fn only(der: &'a [u8], tag: u8) -> Result<Self, KeyError> {
        let mut outer = Self::new(der);
        let content = outer.element(tag)?;
        outer.end()?;
        Ok(Self::new(content))
    }

    pub(crate) fn end(&self) -> Result<(), KeyError> {
        if self.rest.is_empty() { Ok(()) } else { Err(KeyError::Malformed) }
    }

    pub(crate) fn is_next(&self, tag: u8) -> bool {
        self.rest.first() == Some(&tag)
    }

    /// The content of the next element, which must have this tag.
    pub(crate) fn element(&mut self, tag: u8) -> Result<&'a [u8], KeyError> {
        let (&found, rest) = self.rest.split_first().ok_or(KeyError::Malformed)?;
        let (&first, mut rest) = rest.split_first().ok_or(KeyError::Malformed)?;
        let mut len = usize::from(first);
        if first >= 0x80 {
            let count = usize::from(first & 0x7f);
            let bytes = rest.get(..count).ok_or(KeyError::Malformed)?;
            if !(1..=3).contains(&count) || bytes.first() == Some(&0) {
                return Err(KeyError::Malformed);
            }
            len = bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
            if len < 0x80 {
                return Err(KeyError::Malformed);
            }
            rest = rest.get(count..).ok_or(KeyError::Malformed)?;
        }
        let (content, rest) = rest.split_at_checked(len).ok_or(KeyError::Malformed)?;
        if found != tag {
            return Err(KeyError::Malformed);
        }
        self.rest = rest;
        Ok(content)
    }

    pub(crate) fn sequence(&mut self) -> Result<Self, KeyError> {
        self.element(SEQUENCE).map(Self::new)
    }

    /// The next element as a non-negative integer without leading zeros.
    pub(crate) fn unsigned(&mut self) -> Result<&'a [u8], KeyError> {
        match self.element(INTEGER)? {
            [] => Err(KeyError::Malformed),
            [0] => Ok(&[]),
            [0, rest @ ..] if rest.first().is_some_and(|byte| *byte >= 0x80) => Ok(rest),
            [first, ..] if *first == 0 || *first >= 0x80 => Err(KeyError::Malformed),
            bytes => Ok(bytes),
        }
    }

    /// The next element as a bit string of whole bytes.
    pub(crate) fn bits(&mut self) -> Result<&'a [u8], KeyError> {
        match self.element(BIT_STRING)? {
            [0, bytes @ ..] => Ok(bytes),
            _ => Err(KeyError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_shortest_and_complete() {
        let refused: [&[u8]; 8] = [
            &[],
            &[0x30],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x81, 0x01, 0],
            &[0x30, 0x82, 0x00, 0x80],
            &[0x30, 0x84, 0, 0, 0, 1, 0],
            &[0x30, 0x02, 0],
            &[0x30, 0x00, 0x00],
        ];
        for der in refused {
            assert!(Reader::only(der, SEQUENCE).is_err(), "{der:?}");
        }
        assert!(Reader::only(&[0x30, 0], SEQUENCE).is_ok());
    }

    #[test]
    fn integers_are_non_negative_and_shortest() {
        let unsigned = |der: &'static [u8]| Reader::new(der).unsigned();
        assert_eq!(unsigned(&[2, 1, 0]), Ok(&[][..]));
        assert_eq!(unsigned(&[2, 2, 0, 0x80]), Ok(&[0x80][..]));
        assert_eq!(unsigned(&[2, 1, 0x7f]), Ok(&[0x7f][..]));
        for der in [&[2, 0][..], &[2, 1, 0x80], &[2, 2, 0, 0x7f], &[2, 2, 0, 0]] {
            assert_eq!(Reader::new(der).unsigned(), Err(KeyError::Malformed), "{der:?}");
        }
    }
}
