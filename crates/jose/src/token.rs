//! The three parts of a compact JWS (RFC 7515 §7.1).

use crate::error::Error;
use crate::header;

/// A token cut at its dots; nothing is decoded yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'t> {
    pub(crate) header: &'t str,
    pub(crate) payload: &'t str,
    pub(crate) signature: &'t str,
    /// What is signed: header, dot and payload (RFC 7515 §5.1).
    pub(crate) signing_input: &'t str,
}

impl<'t> Parts<'t> {
    /// Cuts a token. Two parts, four, or the five of a JWE (RFC 7516 §7.1) are refused; so is a header that is
    /// empty or over 8 KiB.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub(crate) fn cut(token: &'t str, max_len: usize) -> Result<Self, Error> {
        if token.len() > max_len {
            return Err(Error::Malformed);
        }
        let mut dots = memchr::memchr_iter(b'.', token.as_bytes());
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(Error::Malformed);
        };
        if !(1..=header::MAX_LEN).contains(&first) {
            return Err(Error::Malformed);
        }
        let part = |range: core::ops::Range<usize>| token.get(range).ok_or(Error::Malformed);
        let (header, payload) = (part(0..first)?, part(first + 1..second)?);
        let (signature, signing_input) = (part(second + 1..token.len())?, part(0..second)?);
        Ok(Self { header, payload, signature, signing_input })
    }
}
