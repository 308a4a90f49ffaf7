//! OAuth clients that ask for something: who they are (RFC 6749 §2.3).

use std::fmt;

use jotgate_domain::client::{Client, ClientId, is_secret};
use jotgate_domain::session::FIRST_PARTY;
use jotgate_domain::throttle::Verdict;

use super::{App, Fault, Visitor};

/// What a client shows of itself; nothing is checked yet.
#[derive(Clone, Copy)]
pub struct ClientCredential<'a> {
    pub id: &'a str,
    /// None: a public client, or what claims to be one.
    pub secret: Option<&'a str>,
}

impl fmt::Debug for ClientCredential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredential").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A client that is who it says, as far as it can prove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authenticated {
    /// It showed its secret.
    Confidential(Client),
    /// It has none to show.
    Public(Client),
    /// This server's own logins: a public client (`jotgate`) that is always there and has no row.
    FirstParty,
}

impl Authenticated {
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Confidential(client) | Self::Public(client) => client.id.as_str(),
            Self::FirstParty => FIRST_PARTY,
        }
    }
}

/// Why a client was not taken for whom it says it is.
#[derive(Debug)]
pub enum ClientAuthError {
    /// 401 `invalid_client`, whatever it was; the text is for the log.
    Invalid(&'static str),
    Fault(Fault),
}

impl<F: Into<Fault>> From<F> for ClientAuthError {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

impl App {
    /// Who a client is.
    ///
    /// Every one is looked up, also from a network where others fail: one read by the key and one SHA-256, which is all
    /// that a secret of 256 random bits needs, and what is right is let through. The throttle of failures is none of
    /// guesses, of which not one will be right, but tells whoever goes on failing to wait.
    ///
    /// # Errors
    /// [`ClientAuthError`]; whatever was wrong, it takes as long and is said alike.
    pub async fn authenticate_client(
        &self,
        visitor: &Visitor,
        shown: ClientCredential<'_>,
    ) -> Result<Authenticated, ClientAuthError> {
        let found = match ClientId::parse(shown.id) {
            Ok(id) => self.store.client(&id).await?,
            Err(_) if shown.id == FIRST_PARTY && shown.secret.is_none() => {
                return Ok(Authenticated::FirstParty);
            }
            Err(_) => None,
        };
        let decided = match (found, shown.secret) {
            (found, Some(secret)) if is_secret(found.as_ref(), secret) => {
                found.map(Authenticated::Confidential).ok_or("no such client")
            }
            (Some(client), None) if client.is_public() => Ok(Authenticated::Public(client)),
            (None, _) => Err("no such client"),
            (Some(_), Some(_)) => Err("wrong secret, or a secret of a client without one"),
            (Some(_), None) => Err("a confidential client without its secret"),
        };
        decided.map_err(|why| match self.client_failed(visitor) {
            Ok(()) => ClientAuthError::Invalid(why),
            Err(fault) => fault.into(),
        })
    }

    /// Counts a failed authentication of a client, also one of which nothing could be looked up.
    ///
    /// # Errors
    /// Throttled, which is to be said in its place, where many from there failed.
    pub fn client_failed(&self, visitor: &Visitor) -> Result<(), Fault> {
        match self.client_failures.take(&visitor.network, self.now()) {
            Verdict::Granted => Ok(()),
            Verdict::Refused { retry_after } => Err(Fault::Throttled { retry_after }),
        }
    }
}
