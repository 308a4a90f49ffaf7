//! A refusal shown to a person.

use askama::Template as _;

use super::error::ErrorPage;
use crate::ui::ProblemPage;

pub(crate) fn render(error: &ErrorPage, request_id: &str) -> String {
    let action = match error.status.as_u16() {
        401 => ("/login", "Sign in"),
        _ => ("/account", "Go to your account"),
    };
    let page = ProblemPage {
        status: error.status.as_u16(),
        code: error.code.to_string(),
        title: error.code.title().to_owned(),
        detail: error.detail.to_string(),
        action,
        request_id: request_id.to_owned(),
    };
    page.render().unwrap_or_else(|_| error.code.title().to_owned())
}
