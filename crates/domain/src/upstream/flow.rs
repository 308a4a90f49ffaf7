//! A sign-in on its way through a provider and back (RFC 6749 §4.1, OpenID Connect Core §3.1).
//!
//! What set out lies in a cookie of the browser that did, under a tag of ours; `state`, `nonce` and the PKCE verifier
//! are made of that cookie under the same key, so nothing is stored and none can be chosen by anybody. Whatever comes
//! back has to come back in that browser, for that provider (RFC 9700 §4.4.2), within ten minutes, and once: the
//! caller writes [`Flow::use_id`] down as spent before it asks the provider anything.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::{SessionId, Timestamp};

/// How long somebody may take to sign in at the provider.
pub const LIFE: Duration = Duration::from_secs(600);
/// First byte of the cookie's value: its form.
const FORM: u8 = 2;
/// Bytes of a tag.
const TAG: usize = 32;

/// What is to happen when the browser comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    SignIn,
    /// The identity is to be linked to the user of this session, who asked for it while signed in.
    Link(SessionId),
}

/// A sign-in that set out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Random.
    pub id: [u8; 16],
    /// Name of the provider in the configuration, at most 255 bytes.
    pub provider: String,
    pub intent: Intent,
    /// For how many seconds the sign-in there may have been over when this set out; none where it is of no matter.
    pub max_age: Option<u32>,
    pub until: Timestamp,
    /// Where to go afterwards, as it was found good; empty for our own default.
    pub return_to: String,
}

impl Flow {
    /// What is written down as spent.
    #[must_use]
    pub fn use_id(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"jotgate flow 1\0");
        context.update(&self.id);
        let mut id = [0; 32];
        id.copy_from_slice(context.finish().as_ref());
        id
    }

    /// The sign-in there may not be from before; none where it is of no matter.
    #[must_use]
    pub fn fresh_since(&self) -> Option<Timestamp> {
        let age = Duration::from_secs(self.max_age?.into());
        Some(self.until.minus(LIFE).minus(age))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORM];
        bytes.extend(self.until.0.to_be_bytes());
        bytes.extend(self.id);
        match self.intent {
            Intent::SignIn => bytes.push(0),
            Intent::Link(session) => {
                bytes.push(1);
                bytes.extend(session.0.as_bytes());
            }
        }
        match self.max_age {
            None => bytes.push(0),
            Some(age) => {
                bytes.push(1);
                bytes.extend(age.to_be_bytes());
            }
        }
        let name = self.provider.as_bytes().get(..255).unwrap_or(self.provider.as_bytes());
        bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.extend(name);
        bytes.extend(self.return_to.as_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&FORM, rest) = bytes.split_first()? else { return None };
        let (until, rest) = rest.split_first_chunk::<8>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (intent, rest) = match rest.split_first()? {
            (0, rest) => (Intent::SignIn, rest),
            (1, rest) => {
                let (session, rest) = rest.split_first_chunk::<16>()?;
                (Intent::Link(SessionId(Uuid::from_bytes(*session))), rest)
            }
            _ => return None,
        };
        let (max_age, rest) = match rest.split_first()? {
            (0, rest) => (None, rest),
            (1, rest) => {
                let (age, rest) = rest.split_first_chunk::<4>()?;
                (Some(u32::from_be_bytes(*age)), rest)
            }
            _ => return None,
        };
        let (length, rest) = rest.split_first()?;
        let (provider, return_to) = rest.split_at_checked(usize::from(*length))?;
        Some(Self {
            id: *id,
            provider: std::str::from_utf8(provider).ok()?.to_owned(),
            intent,
            max_age,
            until: Timestamp(i64::from_be_bytes(*until)),
            return_to: std::str::from_utf8(return_to).ok()?.to_owned(),
        })
    }
}

/// Why what came back is not what set out. Outside all are one; this is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlowError {
    /// This browser set out for nothing, or too long ago: it has no cookie.
    NoCookie,
    /// The cookie is not of our making.
    Forged,
    /// It set out for another provider (a mix-up, RFC 9700 §4.4).
    OtherProvider,
    /// Another browser set out with it, or another tab of this one.
    WrongState,
    TooLate,
}

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCookie => "the browser has no sign-in under way",
            Self::Forged => "the cookie of the sign-in under way is not ours",
            Self::OtherProvider => "the sign-in under way is with another provider",
            Self::WrongState => "the state is not that of the sign-in under way",
            Self::TooLate => "the sign-in took too long",
        })
    }
}

impl std::error::Error for FlowError {}

/// Makes and reads the cookie, and what is made of it.
pub struct FlowKey(hmac::Key);

impl fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlowKey(…)")
    }
}

impl FlowKey {
    /// `key` is [`crate::master::Purpose::Flows`].
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The cookie's value.
    #[must_use]
    pub fn cookie(&self, flow: &Flow) -> String {
        let mut bytes = flow.to_bytes();
        let tag = self.tag(b"cookie", flow);
        bytes.extend(tag.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads the cookie back, and holds against it what came back beside: the provider at whose address, and `state`.
    ///
    /// # Errors
    /// [`FlowError`].
    pub fn open(
        &self,
        cookie: Option<&str>,
        provider: &str,
        state: &str,
        now: Timestamp,
    ) -> Result<Flow, FlowError> {
        let cookie = cookie.filter(|cookie| !cookie.is_empty()).ok_or(FlowError::NoCookie)?;
        let bytes = URL_SAFE_NO_PAD.decode(cookie).map_err(|_| FlowError::Forged)?;
        let at = bytes.len().checked_sub(TAG).ok_or(FlowError::Forged)?;
        let (body, tag) = bytes.split_at_checked(at).ok_or(FlowError::Forged)?;
        let flow = Flow::from_bytes(body).ok_or(FlowError::Forged)?;
        if constant_time::verify_slices_are_equal(self.tag(b"cookie", &flow).as_ref(), tag).is_err() {
            return Err(FlowError::Forged);
        }
        if flow.provider != provider {
            return Err(FlowError::OtherProvider);
        }
        let ours = self.state(&flow);
        if constant_time::verify_slices_are_equal(ours.as_bytes(), state.as_bytes()).is_err() {
            return Err(FlowError::WrongState);
        }
        // One from too far ahead was made by a clock that has gone back since.
        if now >= flow.until || flow.until > now.plus(LIFE.saturating_mul(2)) {
            return Err(FlowError::TooLate);
        }
        Ok(flow)
    }

    /// `state` (RFC 6749 §10.12).
    #[must_use]
    pub fn state(&self, flow: &Flow) -> String {
        URL_SAFE_NO_PAD.encode(self.tag(b"state", flow))
    }

    /// `nonce` (OpenID Connect Core §3.1.2.1).
    #[must_use]
    pub fn nonce(&self, flow: &Flow) -> String {
        URL_SAFE_NO_PAD.encode(self.tag(b"nonce", flow))
    }

    /// `code_verifier`: 43 characters of 256 bits (RFC 7636 §4.1).
    #[must_use]
    pub fn verifier(&self, flow: &Flow) -> String {
        URL_SAFE_NO_PAD.encode(self.tag(b"verifier", flow))
    }

    fn tag(&self, what: &[u8], flow: &Flow) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(what);
        context.update(&[0]);
        context.update(&flow.to_bytes());
        context.sign()
    }
}

/// `code_challenge` of a verifier, by S256 (RFC 7636 §4.2).
#[must_use]
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

/// Whether it can be a `code_verifier` (RFC 7636 §4.1).
#[must_use]
pub fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{NOW, session};

    fn flow() -> Flow {
        Flow {
            id: [4; 16],
            provider: "google".into(),
            intent: Intent::SignIn,
            max_age: None,
            until: NOW.plus(LIFE),
            return_to: "https://wiki.example.com/ä?x=1".into(),
        }
    }

    #[test]
    fn what_set_out_reads_back() {
        let key = FlowKey::new(&[1; 32]);
        for intent in [Intent::SignIn, Intent::Link(session().id)] {
            for (max_age, return_to) in
                [(None, ""), (Some(0), "/account"), (Some(u32::MAX), "https://wiki.example.com/ä?x=1")]
            {
                let flow = Flow { intent, max_age, return_to: return_to.into(), ..flow() };
                let cookie = key.cookie(&flow);
                assert_eq!(key.open(Some(&cookie), "google", &key.state(&flow), NOW), Ok(flow));
            }
        }
    }

    #[test]
    fn how_old_the_sign_in_there_may_be() {
        let since = |max_age| Flow { max_age, ..flow() }.fresh_since();
        assert_eq!(since(None), None);
        assert_eq!(since(Some(0)), Some(NOW));
        assert_eq!(since(Some(300)), Some(NOW.minus(Duration::from_secs(300))));
    }

    /// Attack 150: every part of it is bound to every other.
    #[test]
    fn a150_what_comes_back_must_be_what_set_out() {
        let (key, flow) = (FlowKey::new(&[1; 32]), flow());
        let (cookie, state) = (key.cookie(&flow), key.state(&flow));
        let open = |cookie: Option<&str>, provider: &str, state: &str, now| {
            key.open(cookie, provider, state, now).map(drop)
        };
        let late = NOW.plus(LIFE);
        let other = Flow { id: [5; 16], ..flow.clone() };
        let theirs = FlowKey::new(&[2; 32]);
        for (cookie, provider, state, now, expected) in [
            (Some(cookie.as_str()), "google", state.as_str(), NOW, Ok(())),
            (None, "google", &state, NOW, Err(FlowError::NoCookie)),
            (Some(""), "google", &state, NOW, Err(FlowError::NoCookie)),
            (Some("x"), "google", &state, NOW, Err(FlowError::Forged)),
            (Some("AAAA"), "google", &state, NOW, Err(FlowError::Forged)),
            (Some(&theirs.cookie(&flow)), "google", &theirs.state(&flow), NOW, Err(FlowError::Forged)),
            (Some(&cookie), "gitlab", &state, NOW, Err(FlowError::OtherProvider)),
            (Some(&cookie), "google", "", NOW, Err(FlowError::WrongState)),
            // Another browser's, or that of a flow that this browser began before.
            (Some(&cookie), "google", &key.state(&other), NOW, Err(FlowError::WrongState)),
            (Some(&key.cookie(&other)), "google", &state, NOW, Err(FlowError::WrongState)),
            (Some(&cookie), "google", &state, late, Err(FlowError::TooLate)),
            (Some(&cookie), "google", &state, NOW.minus(LIFE.saturating_mul(3)), Err(FlowError::TooLate)),
        ] {
            assert_eq!(open(cookie, provider, state, now), expected);
        }
    }

    #[test]
    fn no_bit_of_the_cookie_can_be_changed() {
        let (key, flow) = (FlowKey::new(&[1; 32]), flow());
        let bytes = URL_SAFE_NO_PAD.decode(key.cookie(&flow)).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let cookie = URL_SAFE_NO_PAD.encode(changed);
            assert_eq!(
                key.open(Some(&cookie), "google", &key.state(&flow), NOW),
                Err(FlowError::Forged),
                "byte {at}"
            );
        }
    }

    #[test]
    fn what_is_made_of_it_differs_each_time_and_from_each_other() {
        let key = FlowKey::new(&[1; 32]);
        let made = |flow: &Flow| [key.state(flow), key.nonce(flow), key.verifier(flow), key.cookie(flow)];
        let mut all: Vec<String> = made(&flow()).to_vec();
        all.extend(made(&Flow { id: [5; 16], ..flow() }));
        all.extend(made(&Flow { intent: Intent::Link(session().id), ..flow() }));
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(is_verifier(&key.verifier(&flow())));
        assert_ne!(flow().use_id(), Flow { id: [5; 16], ..flow() }.use_id());
        // The same, whatever became of it meanwhile: one id is used once.
        assert_eq!(flow().use_id(), Flow { return_to: String::new(), ..flow() }.use_id());
    }

    /// RFC 7636 App. B.
    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(is_verifier(verifier));
        for bad in ["", "short", &"a".repeat(129), &"a b".repeat(20), &"é".repeat(30)] {
            assert!(!is_verifier(bad), "{bad}");
        }
    }
}
