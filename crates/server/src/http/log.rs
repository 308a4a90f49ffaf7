//! What a request's line in the log says beyond what everybody can see of it.

use axum::response::Response;
use jotgate_domain::{SessionId, UserId};

/// What a handler knows for the log: a response extension.
#[derive(Clone, Debug, Default)]
pub struct Note {
    /// Stable code of a refusal.
    pub reason: Option<&'static str>,
    pub user: Option<UserId>,
    pub session: Option<SessionId>,
    /// The log half of an error; never a secret.
    pub detail: Option<String>,
}

impl Note {
    /// The note of this response, empty where it has none yet.
    pub fn of(response: &mut Response) -> &mut Self {
        response.extensions_mut().get_or_insert_default()
    }
}
