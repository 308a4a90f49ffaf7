//! Making the pair of tokens that a login, a refresh or a changed password is answered with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jotgate_domain::token::{self, Mint};
use jotgate_domain::{Session, Timestamp, User};
use zeroize::Zeroizing;

use super::{App, Fault};

/// A pair of tokens that was just made, and what it stands for.
pub struct Grant {
    pub access_token: Zeroizing<String>,
    /// Seconds.
    pub expires_in: u64,
    pub refresh_token: Zeroizing<String>,
    /// Seconds until the session's idle or absolute end, whichever is first.
    pub session_expires_in: u64,
    pub session: Session,
    pub user: User,
    /// Value of the known-device cookie, where the login was by cookie.
    pub device: Option<String>,
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grant").field("session", &self.session.id).finish_non_exhaustive()
    }
}

impl App {
    /// Signs an access token of this session; it expires at [`App::access_until`] of `now`.
    pub(super) fn grant(
        &self,
        session: Session,
        user: User,
        refresh_token: Zeroizing<String>,
        now: Timestamp,
    ) -> Result<Grant, Fault> {
        let number = session
            .status
            .ok_or_else(|| Fault::Internal("a session was granted without a status entry".into()))?;
        let position = self.status.position(number);
        let uri = self.status_uri(position.list);
        let jti = URL_SAFE_NO_PAD.encode(self.edge.random::<16>()?);
        let mint = Mint {
            issuer: &self.issuer_text,
            audience: &self.audience,
            jti: &jti,
            now,
            status_uri: &uri,
            status_index: position.index,
            policy: &self.config.policy,
        };
        let ring = self.keys.current();
        let access_token = ring.sign(&token::access_claims(&user, &session, &mint))?;
        let session_until = session.idle_until.min(session.expires_at);
        Ok(Grant {
            access_token: Zeroizing::new(access_token),
            expires_in: self.config.policy.access_ttl.as_secs(),
            refresh_token,
            session_expires_in: session_until.since(now).as_secs(),
            session,
            user,
            device: None,
        })
    }

    /// When an access token that is made at `now` expires.
    pub(super) fn access_until(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_secs(now.secs()).plus(self.config.policy.access_ttl)
    }
}
