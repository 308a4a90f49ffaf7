//! Making the pair of tokens that a login, a refresh or a changed password is answered with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jotgate_domain::refresh_token::{Handle, RefreshToken};
use jotgate_domain::session::FIRST_PARTY;
use jotgate_domain::token::{Mint, Shape, Token, check_claim, check_size, signature_len};
use jotgate_domain::{Session, SessionId, Timestamp, User};
use zeroize::Zeroizing;

use super::{App, Delivery, Fault};
use crate::config::{Config, Mount, Origin};
use crate::hooks::Minting;

/// Bytes of a `kid`: a SHA-256 thumbprint in base64url (RFC 7638).
const KID_LEN: usize = 43;
/// Bits of an RSA key that this server makes.
const RSA_BITS: usize = 2048;

/// A pair of tokens that was just made, and what it stands for.
pub struct Grant {
    pub access_token: Zeroizing<String>,
    /// Seconds.
    pub expires_in: u64,
    /// Of the access token; it may be less than the session's.
    pub scope: String,
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

/// Whom a token is about.
pub(super) struct Subject {
    user: User,
    /// The same with the claims of the application's hook.
    extended: Option<User>,
}

/// An access token that was just signed.
pub struct Signed {
    pub access_token: Zeroizing<String>,
    /// Seconds.
    pub expires_in: u64,
    pub scope: String,
}

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signed").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

impl App {
    /// What a token says of `user`: their record, with what the application's hook adds to it. Whatever is wrong with
    /// that is no token (503): one without the claims could be taken for one of somebody who has none.
    pub(super) async fn subject(&self, user: User, session: SessionId) -> Result<Subject, Fault> {
        let about = || Minting {
            user: user.id,
            username: user.username.to_string(),
            email: user.verified_email().map(ToString::to_string),
            roles: user.roles.clone(),
            claims: user.claims.clone(),
            session,
            client_id: FIRST_PARTY.to_owned(),
        };
        let failed = |why: String| Fault::Unavailable(format!("before_token: {why}"));
        let Some(claims) = self.hooks.claims(about).await.map_err(failed)? else {
            return Ok(Subject { user, extended: None });
        };
        for (name, value) in &claims {
            check_claim(name, value).map_err(|why| failed(format!("claim {name:?}: {why}")))?;
        }
        let mut extended = user.clone();
        extended.claims.extend(claims);
        check_size(&extended, &self.config.policy, &shape(&self.config, &self.issuer, &self.mount))
            .map_err(|why| failed(why.to_string()))?;
        Ok(Subject { user, extended: Some(extended) })
    }

    /// The pair for a session whose refresh counter stands at the generation to hand out.
    pub(super) fn grant(
        &self,
        session: Session,
        subject: Subject,
        handle: &Handle,
        delivery: Delivery,
        now: Timestamp,
    ) -> Result<Grant, Fault> {
        let generation = session.refresh.generation;
        self.grant_generation(session, subject, handle, generation, delivery, now)
    }

    /// Signs an access token of this session, and mints its refresh token of `generation`.
    pub(super) fn grant_generation(
        &self,
        session: Session,
        subject: Subject,
        handle: &Handle,
        generation: u32,
        delivery: Delivery,
        now: Timestamp,
    ) -> Result<Grant, Fault> {
        let Signed { access_token, expires_in, scope } = self.sign(&session, &subject, delivery, now)?;
        let session_until = session.idle_until.min(session.expires_at);
        Ok(Grant {
            access_token,
            expires_in,
            scope,
            refresh_token: self.refresh_keys.mint(handle, generation),
            session_expires_in: session_until.since(now).as_secs(),
            session,
            user: subject.user,
            device: None,
        })
    }

    /// Signs an access token of this session.
    pub(super) fn sign(
        &self,
        session: &Session,
        subject: &Subject,
        delivery: Delivery,
        now: Timestamp,
    ) -> Result<Signed, Fault> {
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
            delivery,
            now,
        };
        let (access_token, expires_in, scope) = {
            let of = subject.extended.as_ref().unwrap_or(&subject.user);
            let token = Token::new(of, session, &self.config.policy, mint);
            (self.keys.current().sign(&token.claims())?, token.expires_in(), token.scope().to_owned())
        };
        Ok(Signed { access_token: Zeroizing::new(access_token), expires_in, scope })
    }
}

/// What the size of an installation's tokens depends on.
pub(super) fn shape(config: &Config, issuer: &Origin, mount: &Mount) -> Shape {
    let algorithm = config.token.algorithm.name();
    // The longer of the prefixes that the cookie can have.
    let prefix = if issuer.https { "__Secure-".len() } else { 0 };
    let issuer = format!("{issuer}{mount}");
    Shape {
        audience: match config.token.audience.as_slice() {
            [] => vec![issuer.clone()],
            named => named.to_vec(),
        },
        algorithm: algorithm.to_owned(),
        signature_len: signature_len(algorithm, RSA_BITS),
        kid_len: KID_LEN,
        status_uri: format!("{issuer}/auth/status/{}", u32::MAX),
        cookie_name_len: prefix + config.cookie.name.len(),
        issuer,
    }
}
