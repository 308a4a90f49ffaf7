//! On the way to another provider, after a post: a page that goes on by itself, or by its one button.

use askama::Template;

use super::{assets, filters};

#[derive(Clone, Debug, Template)]
#[template(path = "leaving.html")]
pub struct LeavingPage {
    /// What the provider is called.
    pub label: String,
    /// The provider's page.
    pub to: String,
    /// To add a way to sign in, rather than to sign in.
    pub linking: bool,
}

#[cfg(test)]
impl LeavingPage {
    pub(super) fn sample() -> Self {
        Self {
            label: "Google".into(),
            to: "https://accounts.google.com/o/oauth2/v2/auth?a=b&c=d".into(),
            linking: true,
        }
    }
}
