//! `/register`.

use askama::Template;

use super::{Form, FormError, ProviderLink, assets, filters, form};

#[derive(Clone, Debug, Template)]
#[template(path = "register.html")]
pub struct RegisterPage {
    pub form: Form,
    /// `registration.enabled`
    pub open: bool,
    /// As it was typed.
    pub username: String,
    /// As it was typed.
    pub email: String,
    /// `password.min_length`
    pub min_length: usize,
    pub error: Option<FormError>,
    pub providers: Vec<ProviderLink>,
}

impl RegisterPage {
    #[cfg(test)]
    pub(super) fn sample() -> Self {
        Self {
            form: Form::sample(),
            open: true,
            username: String::new(),
            email: String::new(),
            min_length: 8,
            error: None,
            providers: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn sample_taken() -> Self {
        Self {
            username: "ada".into(),
            email: "ada@example.com".into(),
            error: Some(FormError {
                code: "username_taken",
                message: "That user name is taken. Choose another one.".into(),
                field: Some("username"),
            }),
            ..Self::sample()
        }
    }

    #[cfg(test)]
    pub(super) fn sample_closed() -> Self {
        Self { open: false, ..Self::sample() }
    }
}
