//! A session: one login on one device, one row, whatever the number of its tokens.

use crate::{SessionId, Timestamp, UserId};

/// `client_id` of a login at Jotgate itself.
pub const FIRST_PARTY: &str = "jotgate";

/// [`Session::authenticated_at`] of somebody whom a provider vouches for that does not say when they signed in there:
/// so long ago that no rule takes it for recent.
pub const UNTOLD: Timestamp = Timestamp(0);

/// One row of `sessions`. A session that ended has no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub user_id: UserId,
    /// [`FIRST_PARTY`], or the OAuth client that it was granted to.
    pub client_id: String,
    /// Space-separated; what every access token of this session carries (RFC 6749 §3.3).
    pub scope: String,
    pub refresh: RefreshState,
    /// Number of the status entry that its access tokens name; none after the entry was revoked while the
    /// session went on: the next token takes a fresh one.
    pub status: Option<u64>,
    /// The latest `exp` that was signed under [`Session::status`].
    pub access_until: Timestamp,
    pub created_at: Timestamp,
    /// When the user last proved who they are (`auth_time`); where nobody says, [`UNTOLD`].
    pub authenticated_at: Timestamp,
    pub last_used_at: Timestamp,
    /// End of the idle time, moved by each use.
    pub idle_until: Timestamp,
    /// End whatever the use.
    pub expires_at: Timestamp,
    /// Where it began: address and user agent, bounded and cleaned, for the device list and audit.
    pub address: String,
    pub user_agent: String,
}

impl Session {
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.idle_until && now < self.expires_at
    }
}

/// What a client said of itself, fit to be stored and shown: one line of at most `max` characters, control
/// characters and those that turn the direction of text dropped.
#[must_use]
pub fn cleaned(text: &str, max: usize) -> String {
    let is_shown = |c: &char| {
        !c.is_control()
            && !matches!(*c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().filter(is_shown).take(max).collect()
}

/// The refresh counter of a session; see [`crate::refresh`] for what each number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshState {
    /// SHA-256 of the handle inside the session's refresh tokens.
    pub handle_hash: [u8; 32],
    /// The generation last minted.
    pub generation: u32,
    /// The generation last used.
    pub previous: u32,
    /// The first generation that was minted from `previous`.
    pub first: u32,
    /// None until the first rotation.
    pub rotated_at: Option<Timestamp>,
}

impl RefreshState {
    /// As at login: generation 1 is minted, none was used.
    #[must_use]
    pub const fn new(handle_hash: [u8; 32]) -> Self {
        Self { handle_hash, generation: 1, previous: 0, first: 1, rotated_at: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::session;

    #[test]
    fn idle_and_absolute_end() {
        let session = Session { idle_until: Timestamp(100), expires_at: Timestamp(200), ..session() };
        for (now, live) in [(0, true), (99, true), (100, false), (150, false), (250, false)] {
            assert_eq!(session.is_live(Timestamp(now)), live, "{now}");
        }
        let session = Session { idle_until: Timestamp(300), ..session };
        for (now, live) in [(199, true), (200, false), (250, false)] {
            assert_eq!(session.is_live(Timestamp(now)), live, "{now}");
        }
    }

    /// Attack 204: one bounded line.
    #[test]
    fn what_a_client_says_is_cleaned() {
        for (text, shown) in [
            ("Mozilla/5.0 (X11; Linux) é 王", "Mozilla/5.0 (X11; Linux) é 王"),
            ("a\r\nb\tc\0d\u{7f}e\u{85}f", "abcdef"),
            ("\u{1b}[31mred", "[31mred"),
            ("\u{202e}evil\u{2066}\u{200b}\u{feff}\u{2028}", "evil"),
            ("<b>&amp;</b>", "<b>&amp;</b>"),
        ] {
            assert_eq!(cleaned(text, 100), shown);
        }
        assert_eq!(cleaned(&"é".repeat(1_000_000), 5), "ééééé");
        assert_eq!(cleaned("\n\na\nb", 2), "ab");
    }
}
