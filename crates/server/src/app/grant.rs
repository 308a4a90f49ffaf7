//! Making the pair of tokens that a login, a refresh or a changed password is answered with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jotgate_domain::refresh_token::{Handle, RefreshToken};
use jotgate_domain::token::{Mint, Token};
use jotgate_domain::{Session, Timestamp, User};
use zeroize::Zeroizing;

use super::{App, Fault};

/// A pair of tokens that was just made, and what it stands for.
pub struct Grant {
    pub access_token: Zeroizing<String>,
    /// Seconds.
    pub expires_in: u64,
    pub refresh_token: RefreshToken,
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
    /// The pair for a session whose refresh counter stands at the generation to hand out.
    pub(super) fn grant(
        &self,
        session: Session,
        user: User,
        handle: &Handle,
        now: Timestamp,
    ) -> Result<Grant, Fault> {
        let generation = session.refresh.generation;
        self.grant_generation(session, user, handle, generation, now)
    }

    /// Signs an access token of this session, and mints its refresh token of `generation`.
    pub(super) fn grant_generation(
        &self,
        session: Session,
        user: User,
        handle: &Handle,
        generation: u32,
        now: Timestamp,
    ) -> Result<Grant, Fault> {
        let number = session
            .status
            .ok_or_else(|| Fault::Internal("a session was granted without a status entry".into()))?;
        let position = self.positions.of(number);
        let uri = self.status_uri(position.list);
        let jti = URL_SAFE_NO_PAD.encode(self.edge.random::<16>()?);
        let mint = Mint {
            issuer: &self.issuer_text,
            audience: &self.audience,
            status_uri: &uri,
            status_index: position.index,
            jti: &jti,
            now,
        };
        let (access_token, expires_in) = {
            let token = Token::new(&user, &session, &self.config.policy, mint);
            (self.keys.current().sign(&token.claims())?, token.expires_in())
        };
        let session_until = session.idle_until.min(session.expires_at);
        Ok(Grant {
            access_token: Zeroizing::new(access_token),
            expires_in,
            refresh_token: self.refresh_keys.mint(handle, generation),
            session_expires_in: session_until.since(now).as_secs(),
            session,
            user,
            device: None,
        })
    }
}
