//! Strict base64url (RFC 7515 §2, RFC 4648 §5): no padding, no whitespace, no foreign characters, and no bits
//! set in the unused end of the last character.

use base64_simd::{Out, STANDARD, URL_SAFE_NO_PAD};

use crate::error::Error;

/// Appends the decoded bytes to `out`. Allocates only if `out` lacks room.
pub(crate) fn decode_into(text: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    URL_SAFE_NO_PAD.decode_append(text, out).map_err(|_| Error::Malformed)
}

/// Decodes into a new vector.
pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    decode_into(text, &mut out)?;
    Ok(out)
}

/// Decodes into a caller's array; text that does not fit is refused.
pub(crate) fn decode_to<'b>(text: &[u8], out: &'b mut [u8]) -> Result<&'b [u8], Error> {
    if text.len() / 4 * 3 + (text.len() % 4).saturating_sub(1) > out.len() {
        return Err(Error::Malformed);
    }
    URL_SAFE_NO_PAD.decode(text, Out::from_slice(out)).map(|bytes| &*bytes).map_err(|_| Error::Malformed)
}

/// Length of the text for `n` bytes.
pub(crate) const fn encoded_len(n: usize) -> usize {
    n / 3 * 4
        + match n % 3 {
            0 => 0,
            1 => 2,
            _ => 3,
        }
}

/// Appends the text of `bytes` to `out`.
pub(crate) fn encode_into(bytes: &[u8], out: &mut Vec<u8>) {
    URL_SAFE_NO_PAD.encode_append(bytes, out);
}

/// The text of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

/// Encodes into exactly the space for it; `false` if `out` is too short.
pub(crate) fn encode_to(bytes: &[u8], out: &mut [u8]) -> bool {
    if out.len() < encoded_len(bytes.len()) {
        return false;
    }
    let _ = URL_SAFE_NO_PAD.encode(bytes, Out::from_slice(out));
    true
}

/// Decodes padded standard base64, as in PEM (RFC 7468 §3).
pub(crate) fn decode_standard(text: &[u8]) -> Result<Vec<u8>, Error> {
    STANDARD.decode_to_vec(text).map_err(|_| Error::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_every_length() {
        for n in 0..200_usize {
            let bytes: Vec<u8> = (0..n).map(|i| (i * 37 + n) as u8).collect();
            let text = encode(&bytes);
            assert_eq!(text.len(), encoded_len(n));
            assert_eq!(decode(text.as_bytes()).unwrap(), bytes);
            let mut out = [0; 256];
            assert_eq!(decode_to(text.as_bytes(), &mut out).unwrap(), bytes);
        }
    }

    /// Attack A17, and the RFC 4648 §3.5 rule about unused bits, at every length so that the vector code and
    /// the tail code are both reached.
    #[test]
    fn a17_foreign_characters_and_stray_bits_are_refused() {
        for n in 1..100_usize {
            let text = encode(&vec![0xa5; n]);
            for at in 0..text.len() {
                for bad in ['=', '+', '/', ' ', '\n', '\r', '\t', '?', '.', '\0', '@', '[', '`', '{', ','] {
                    let mut chars: Vec<char> = text.chars().collect();
                    chars[at] = bad;
                    let broken: String = chars.into_iter().collect();
                    assert_eq!(decode(broken.as_bytes()), Err(Error::Malformed), "{broken:?}");
                }
                let mut high = text.clone().into_bytes();
                high[at] |= 0x80;
                assert_eq!(decode(&high), Err(Error::Malformed));
            }
            for tail in ["=", "==", "A", "\n", " "] {
                let longer = format!("{text}{tail}");
                if let Ok(bytes) = decode(longer.as_bytes()) {
                    assert_eq!(encode(&bytes), longer, "a second spelling of the same bytes");
                }
            }
        }
    }

    #[test]
    fn one_spelling_only() {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for a in ALPHABET {
            for b in ALPHABET {
                let text = [b'A', b'A', b'A', b'A', *a, *b];
                if let Ok(bytes) = decode(&text) {
                    assert_eq!(encode(&bytes).as_bytes(), text);
                }
                let text = [b'A', *a, *b];
                if let Ok(bytes) = decode(&text) {
                    assert_eq!(encode(&bytes).as_bytes(), text);
                }
            }
        }
    }
}
