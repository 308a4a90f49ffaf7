//! Secrets that must not be found where they do not belong.

use regex_lite::Regex;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex};

/// Tokens, wherever they stand in a text.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"jgr_[A-Za-z0-9_-]{20,}|eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{20,}").unwrap()
});

/// A JSON member or form field that holds a secret somebody typed.
static TYPED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#""[a-z_]*password"\s*:\s*"([^"\\]{8,})"|(?:^|&)[a-z_]*password=([^&\s]{8,})"#).unwrap()
});

/// Every secret that was seen, to be looked for later: by its first bytes, since a test under load sees a hundred
/// thousand of them and searches as many lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Canaries(Arc<Mutex<HashMap<[u8; START], HashSet<String>>>>);

/// The shortest secret that can be told from other text.
const START: usize = 8;

fn put(known: &mut HashMap<[u8; START], HashSet<String>>, secret: &str) {
    let start = secret.as_bytes().first_chunk();
    let start = start.unwrap_or_else(|| panic!("too short to be found by search: {secret}"));
    known.entry(*start).or_default().insert(secret.to_owned());
}

impl Canaries {
    pub(crate) fn add(&self, secret: &str) {
        put(&mut self.0.lock().unwrap(), secret);
    }

    /// Takes in every token and password of a request or response.
    pub(crate) fn learn(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let mut known = self.0.lock().unwrap();
        for token in TOKEN.find_iter(&text) {
            // Header and claims of a JWT may be public; its signature is what makes it a token.
            let secret = token.as_str().rsplit('.').next().unwrap_or_default();
            put(&mut known, secret);
        }
        for typed in TYPED.captures_iter(&text) {
            let secret = typed.get(1).or(typed.get(2)).map_or("", |secret| secret.as_str());
            // "password" as a (weak) password would be found in every path.
            if secret.bytes().any(|byte| !byte.is_ascii_lowercase()) {
                put(&mut known, secret);
            }
        }
    }

    /// The first known secret in `text`.
    pub(crate) fn found_in(&self, text: &str) -> Option<String> {
        let known = self.0.lock().unwrap();
        let mut places = (0..text.len()).filter_map(|at| {
            let rest = &text.as_bytes()[at..];
            known.get(rest.first_chunk()?)?.iter().find(|secret| rest.starts_with(secret.as_bytes()))
        });
        places.next().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_passwords_are_learnt_from_what_passes_by() {
        let canaries = Canaries::default();
        canaries.learn(br#"{"username":"alice","new_password": "correct horse"}"#);
        canaries.learn(b"username=alice&password=battery+staple&x=1");
        canaries.learn(b"Set-Cookie: jwt_session=jgr_AAAAAAAAAAAAAAAAAAAAAAAA; Path=/");
        canaries.learn(b"Authorization: Bearer eyJhbGci.eyJzdWIi.c2lnbmF0dXJlLXNpZ25hdHVyZQ\r\n");
        for leak in [
            "tried correct horse",
            "password battery+staple",
            "jgr_AAAAAAAAAAAAAAAAAAAAAAAA",
            "eyJhbGci.eyJzdWIi.c2lnbmF0dXJlLXNpZ25hdHVyZQ",
        ] {
            assert!(canaries.found_in(leak).is_some(), "{leak}");
        }
        canaries.learn(br#"{"password":"password"}"#);
        assert_eq!(canaries.found_in("/auth/password/change"), None);
        assert_eq!(canaries.found_in("alice logged in with eyJhbGci.eyJzdWIi"), None);
    }
}
