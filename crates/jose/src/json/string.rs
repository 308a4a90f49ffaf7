//! Strings: where they end, and what they say (RFC 8259 §7).

use crate::error::Error;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The offset of the closing quote of the string whose inside starts at `start`, and whether it has escapes.
/// Control characters, unknown escapes, lone surrogates and NUL are refused.
pub(super) fn end(text: &[u8], start: usize) -> Result<(usize, bool), Error> {
    let mut at = start;
    let mut escaped = false;
    loop {
        at = special(text, at);
        match text.get(at) {
            Some(b'"') => return Ok((at, escaped)),
            Some(b'\\') => {
                escaped = true;
                at = escape(text, at + 1)?.1;
            }
            _ => return Err(Error::Malformed),
        }
    }
}

/// The value of a string that [`end`] has accepted.
pub(crate) fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, tail)) = rest.split_once('\\') {
        out.push_str(plain);
        let Ok((c, len)) = escape(tail.as_bytes(), 0) else { return out };
        out.push(c);
        rest = tail.get(len..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// The first quote, backslash or control character at or after `at`; eight bytes at a time.
fn special(text: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = text.get(at..at + 8).and_then(|eight| <[u8; 8]>::try_from(eight).ok()) {
        let word = u64::from_le_bytes(chunk);
        let quote = word ^ (ONES * 0x22);
        let slash = word ^ (ONES * 0x5c);
        // Each term has the high bit of a byte set where that byte is a hit; false hits come after a true one only.
        let hits = (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let hits = hits & HIGHS;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while text.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)) {
        at += 1;
    }
    at
}

/// The character of the escape whose backslash ends at `at`, and the offset after it.
fn escape(text: &[u8], at: usize) -> Result<(char, usize), Error> {
    let c = match text.get(at).ok_or(Error::Malformed)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(text, at + 1),
        _ => return Err(Error::Malformed),
    };
    Ok((c, at + 1))
}

/// The character whose four hex digits start at `at`, with its second half where it is a surrogate pair.
fn unicode(text: &[u8], at: usize) -> Result<(char, usize), Error> {
    let first = hex4(text, at)?;
    let (code, end) = match first {
        0 => return Err(Error::Malformed),
        0xd800..=0xdbff => {
            if text.get(at + 4..at + 6) != Some(b"\\u") {
                return Err(Error::Malformed);
            }
            let second = hex4(text, at + 6)?;
            if !(0xdc00..=0xdfff).contains(&second) {
                return Err(Error::Malformed);
            }
            (0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00), at + 10)
        }
        _ => (first, at + 4),
    };
    char::from_u32(code).map(|c| (c, end)).ok_or(Error::Malformed)
}

fn hex4(text: &[u8], at: usize) -> Result<u32, Error> {
    let digits = text.get(at..at + 4).ok_or(Error::Malformed)?;
    digits.iter().try_fold(0, |value, digit| {
        char::from(*digit).to_digit(16).map(|digit| value << 4 | digit).ok_or(Error::Malformed)
    })
}
