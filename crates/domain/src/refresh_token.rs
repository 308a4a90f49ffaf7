//! The form of a refresh token: `jgr_` + base64url(key id 1 ‖ handle 16 ‖ generation 4 ‖ tag 16), 54 characters.
//!
//! tag = HMAC-SHA256(refresh key, "jgr1" ‖ handle ‖ generation), cut to 16 bytes. The database holds SHA-256 of
//! the handle and no key; the key is no use without a handle: it takes both, and the token itself has the only
//! copy of the handle. What a generation means is in [`crate::refresh`].

use std::fmt;

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// So that scanners find leaked ones.
pub const PREFIX: &str = "jgr_";
/// Of every token, in bytes and characters.
pub const TOKEN_LEN: usize = 54;

const HANDLE_LEN: usize = 16;
const TAG_LEN: usize = 16;
const RAW_LEN: usize = 1 + HANDLE_LEN + 4 + TAG_LEN;

/// What names a session to its holder: 16 random bytes that only its refresh tokens carry.
#[derive(Clone)]
pub struct Handle(Zeroizing<[u8; HANDLE_LEN]>);

impl Handle {
    #[must_use]
    pub fn new(random: [u8; HANDLE_LEN]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// What the row holds ([`crate::session::RefreshState::handle_hash`]).
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, self.0.as_slice()).as_ref());
        hash
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle(…)")
    }
}

/// A refresh token as its holder gets it. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct RefreshToken(Zeroizing<String>);

impl RefreshToken {
    /// For the answer or the cookie, and nowhere else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(…)")
    }
}

/// An authentic token: its tag held, so this installation minted it.
#[derive(Clone, Debug)]
pub struct Presented {
    /// To mint the successor with.
    pub handle: Handle,
    pub handle_hash: [u8; 32],
    pub generation: u32,
}

/// Not a token of this installation: of another form, another key, or changed. No more is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAuthentic;

impl fmt::Display for NotAuthentic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a refresh token of this installation")
    }
}

impl std::error::Error for NotAuthentic {}

/// The keys that tag refresh tokens: one that signs, and older ones that are still accepted (for
/// `session.idle_ttl` after they were replaced).
pub struct RefreshKeys {
    current: (u8, hmac::Key),
    older: Vec<(u8, hmac::Key)>,
}

impl fmt::Debug for RefreshKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let older: Vec<u8> = self.older.iter().map(|(id, _)| *id).collect();
        f.debug_struct("RefreshKeys").field("current", &self.current.0).field("older", &older).finish()
    }
}

impl RefreshKeys {
    /// `key` is [`crate::master::Purpose::Refresh`] of `id`.
    #[must_use]
    pub fn new(id: u8, key: &[u8; 32]) -> Self {
        Self { current: (id, hmac::Key::new(hmac::HMAC_SHA256, key)), older: Vec::new() }
    }

    /// Accepts tokens of `key` too, where `id` is not in use yet.
    #[must_use]
    pub fn accepting(mut self, id: u8, key: &[u8; 32]) -> Self {
        if self.key(id).is_none() {
            self.older.push((id, hmac::Key::new(hmac::HMAC_SHA256, key)));
        }
        self
    }

    /// The token of this generation, under the current key. The same input gives the same token.
    #[must_use]
    pub fn mint(&self, handle: &Handle, generation: u32) -> RefreshToken {
        let (id, key) = &self.current;
        let mut raw = Zeroizing::new(Vec::with_capacity(RAW_LEN));
        raw.push(*id);
        raw.extend_from_slice(handle.0.as_slice());
        raw.extend_from_slice(&generation.to_be_bytes());
        raw.extend(tag(key, handle, generation).as_ref().iter().take(TAG_LEN));
        let mut token = Zeroizing::new(String::with_capacity(TOKEN_LEN));
        token.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(raw.as_slice(), &mut token);
        RefreshToken(token)
    }

    /// Reads a token that somebody presented. Strict: no padding, no white space, no stray bits.
    ///
    /// # Errors
    /// [`NotAuthentic`].
    pub fn parse(&self, text: &str) -> Result<Presented, NotAuthentic> {
        let encoded = text.strip_prefix(PREFIX).filter(|_| text.len() == TOKEN_LEN).ok_or(NotAuthentic)?;
        let mut raw = Zeroizing::new([0; RAW_LEN]);
        if URL_SAFE_NO_PAD.decode_slice(encoded, raw.as_mut_slice()) != Ok(RAW_LEN) {
            return Err(NotAuthentic);
        }
        let ([id], rest) = raw.split_first_chunk().ok_or(NotAuthentic)?;
        let (handle, rest) = rest.split_first_chunk().ok_or(NotAuthentic)?;
        let (generation, presented_tag) = rest.split_first_chunk().ok_or(NotAuthentic)?;
        let handle = Handle::new(*handle);
        let generation = u32::from_be_bytes(*generation);
        let tag = tag(self.key(*id).ok_or(NotAuthentic)?, &handle, generation);
        let expected = tag.as_ref().get(..TAG_LEN).ok_or(NotAuthentic)?;
        constant_time::verify_slices_are_equal(expected, presented_tag).map_err(|_| NotAuthentic)?;
        Ok(Presented { handle_hash: handle.hash(), handle, generation })
    }

    fn key(&self, id: u8) -> Option<&hmac::Key> {
        std::iter::once(&self.current).chain(&self.older).find(|(i, _)| *i == id).map(|(_, key)| key)
    }
}

fn tag(key: &hmac::Key, handle: &Handle, generation: u32) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(b"jgr1");
    context.update(handle.0.as_slice());
    context.update(&generation.to_be_bytes());
    context.sign()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> RefreshKeys {
        RefreshKeys::new(2, &[2; 32]).accepting(1, &[1; 32])
    }

    fn handle() -> Handle {
        Handle::new(*b"0123456789abcdef")
    }

    #[test]
    fn what_was_minted_is_read() {
        for generation in [0, 1, 2, 255, 256, u32::MAX - 1, u32::MAX] {
            let token = keys().mint(&handle(), generation);
            assert_eq!(token.expose().len(), TOKEN_LEN);
            let read = keys().parse(token.expose()).unwrap();
            assert_eq!((read.handle_hash, read.generation), (handle().hash(), generation));
            assert_eq!(keys().mint(&read.handle, generation).expose(), token.expose());
        }
    }

    /// The form is a promise to tokens that are out: this text must be readable for ever.
    #[test]
    fn the_form_is_frozen() {
        assert_eq!(
            RefreshKeys::new(1, &[1; 32]).mint(&handle(), 7).expose(),
            "jgr_ATAxMjM0NTY3ODlhYmNkZWYAAAAHbooAFQ7aZAAPIEIqbBY6HQ"
        );
    }

    #[test]
    fn older_keys_are_accepted_and_unknown_ones_are_not() {
        let old = RefreshKeys::new(1, &[1; 32]);
        let token = old.mint(&handle(), 7);
        assert!(keys().parse(token.expose()).is_ok());
        assert!(RefreshKeys::new(2, &[2; 32]).parse(token.expose()).is_err(), "an id that is gone");
        assert!(RefreshKeys::new(1, &[9; 32]).parse(token.expose()).is_err(), "another installation's key");
        // An id names one key: the second is not taken.
        assert!(RefreshKeys::new(2, &[2; 32]).accepting(2, &[1; 32]).parse(token.expose()).is_err());
        assert!(keys().mint(&handle(), 7).expose().starts_with("jgr_Aj"), "signs with the current one");
    }

    /// Every single changed character and every length but the right one.
    #[test]
    fn a_mangled_token_is_not_authentic() {
        let token = keys().mint(&handle(), 7).expose().to_owned();
        for at in 0..token.len() {
            for c in (0..=127_u8).map(char::from).filter(|c| !token[at..].starts_with(*c)) {
                let mut changed = token.clone();
                changed.replace_range(at..=at, c.encode_utf8(&mut [0; 4]));
                assert_eq!(keys().parse(&changed).err(), Some(NotAuthentic), "{changed}");
            }
            assert!(keys().parse(&token[..at]).is_err());
            assert!(keys().parse(&token[at + 1..]).is_err());
        }
        for text in [
            format!("{token}A"),
            format!("{token}="),
            format!("{token}=="),
            format!("{token}\n"),
            format!(" {token}"),
            format!("jgr_{token}"),
            token.replacen("jgr_", "JGR_", 1),
            token.replacen("jgr_", "jgs_", 1),
            token.replacen("jgr_", "", 1),
            String::new(),
            "jgr_".to_owned(),
            "é".repeat(27),
            "jgr_".to_owned() + &"é".repeat(25),
            "x".repeat(1_000_000),
        ] {
            assert!(keys().parse(&text).is_err(), "{text:.80}");
        }
    }

    #[test]
    fn a_generation_or_handle_cannot_be_put_under_another_tag() {
        let raw = |token: &RefreshToken| URL_SAFE_NO_PAD.decode(&token.expose()[4..]).unwrap();
        let encode = |raw: &[u8]| format!("jgr_{}", URL_SAFE_NO_PAD.encode(raw));
        let seven = raw(&keys().mint(&handle(), 7));
        let eight = raw(&keys().mint(&handle(), 8));
        let other = raw(&keys().mint(&Handle::new([9; 16]), 7));
        assert!(keys().parse(&encode(&seven)).is_ok());
        assert!(keys().parse(&encode(&[&eight[..21], &seven[21..]].concat())).is_err());
        assert!(keys().parse(&encode(&[&other[..17], &seven[17..]].concat())).is_err());
        assert!(keys().parse(&encode(&[&[1], &seven[1..]].concat())).is_err());
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let token = keys().mint(&handle(), 7);
        let read = keys().parse(token.expose()).unwrap();
        let printed = format!("{token:?} {read:?} {:?}", keys());
        assert!(
            !printed.contains("0123") && !printed.contains("jgr_") && !printed.contains("48, 49"),
            "{printed}"
        );
    }
}
