//! The page of somebody who was to be signed in at an application on another root domain, shown on that host.

use askama::Template;

use super::assets;

#[derive(Clone, Debug, Template)]
#[template(path = "away.html")]
pub struct AwayPage {
    /// HTTP status.
    pub status: u16,
    pub code: &'static str,
    pub title: &'static str,
    /// What to do about it.
    pub detail: String,
    /// Where the button leads, and what it says; none where there is nothing to go to.
    pub action: Option<(String, &'static str)>,
    /// `X-Request-Id` of the answer, to quote.
    pub request_id: String,
}

impl AwayPage {
    #[cfg(test)]
    pub(super) fn sample() -> Self {
        Self {
            status: 403,
            code: "sign_in_loop",
            title: "shop.other.example does not let you in",
            detail:
                "You are signed in, and it has sent you here again and again. Tell the people who run it."
                    .into(),
            action: Some(("/_jotgate/start?return_to=%2Fbasket".into(), "Try again")),
            request_id: "0198c3f2a7d47c1e".into(),
        }
    }
}
