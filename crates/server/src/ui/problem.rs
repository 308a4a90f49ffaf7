//! The page for whatever went wrong: what it was, a stable code, and what to do.

use askama::Template;

use super::{assets, filters};

#[derive(Clone, Debug, Template)]
#[template(path = "problem.html")]
pub struct ProblemPage {
    /// HTTP status.
    pub status: u16,
    /// The code of the API for the same error.
    pub code: String,
    pub title: String,
    /// What to do about it.
    pub detail: String,
    /// Where the main button leads, and what it says.
    pub action: (&'static str, &'static str),
    /// `X-Request-Id` of the answer, to quote; empty where unknown.
    pub request_id: String,
}

impl ProblemPage {
    #[cfg(test)]
    pub(super) fn sample() -> Self {
        Self {
            status: 404,
            code: "not_found".into(),
            title: "There is no page here".into(),
            detail: "Check the address for a typing mistake, or start again from your account.".into(),
            action: ("/account", "Go to your account"),
            request_id: "0198c3f2a7d47c1e".into(),
        }
    }

    #[cfg(test)]
    pub(super) fn sample_busy() -> Self {
        Self {
            status: 503,
            code: "unavailable".into(),
            title: "Not possible at the moment".into(),
            detail: "Nothing was changed and nothing is lost. Try again in a few seconds.".into(),
            action: ("/login", "Try again"),
            request_id: String::new(),
        }
    }
}
