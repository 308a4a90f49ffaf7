//! `/logout`: asks first, so that no link or image signs anybody out; and the page that says it is done.

use askama::Template;

use super::{Form, assets, filters};

#[derive(Clone, Debug, Template)]
#[template(path = "logout.html")]
pub struct LogoutPage {
    pub form: Form,
    pub username: String,
}

#[derive(Clone, Debug, Template)]
#[template(path = "signed_out.html")]
pub struct SignedOutPage {
    pub form: Form,
    /// Host of the application to go back to, where one was named.
    pub destination: Option<String>,
}

impl LogoutPage {
    #[cfg(test)]
    pub(super) fn sample() -> Self {
        Self { form: Form::sample(), username: "ada".into() }
    }
}

impl SignedOutPage {
    #[cfg(test)]
    pub(super) fn sample() -> Self {
        Self { form: Form::sample(), destination: None }
    }
}
