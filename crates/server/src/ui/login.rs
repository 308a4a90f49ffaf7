//! `/login`, and the page of a person who is signed in already and was sent here to go on elsewhere.

use askama::Template;

use super::{Form, FormError, assets, filters, form};

#[derive(Clone, Debug, Template)]
#[template(path = "login.html")]
pub struct LoginPage {
    pub form: Form,
    /// Host of the application to go back to; none for our own pages.
    pub destination: Option<String>,
    /// As it was typed.
    pub username: String,
    pub error: Option<FormError>,
    /// Signed in, but longer ago than the application accepts.
    pub again: bool,
    /// Whether a password is of use: not to somebody who has none.
    pub by_password: bool,
    /// Whether `/register` is open.
    pub registration: bool,
    pub providers: Vec<ProviderLink>,
}

/// Another provider to sign in with.
#[derive(Clone, Debug)]
pub struct ProviderLink {
    /// In the address.
    pub name: String,
    pub label: String,
}

/// Signed in already, and still sent here: the application did not accept what it got, so going back at once
/// could go round in circles. A person decides.
#[derive(Clone, Debug, Template)]
#[template(path = "continue.html")]
pub struct ContinuePage {
    pub form: Form,
    pub destination: Option<String>,
    pub username: String,
}

impl LoginPage {
    #[cfg(test)]
    pub(super) fn sample() -> Self {
        Self {
            form: Form::sample(),
            destination: None,
            username: String::new(),
            error: None,
            again: false,
            by_password: true,
            registration: true,
            providers: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn sample_with_providers() -> Self {
        Self {
            form: Form { return_to: "/account".into(), ..Form::sample() },
            providers: ProviderLink::samples(),
            ..Self::sample()
        }
    }

    #[cfg(test)]
    pub(super) fn sample_wrong() -> Self {
        Self {
            username: "ada".into(),
            error: Some(FormError {
                code: "invalid_credentials",
                message: "That user name and password do not go together. Check both and try again; \
                          upper and lower case matter in the password."
                    .into(),
                field: None,
            }),
            ..Self::sample()
        }
    }

    #[cfg(test)]
    pub(super) fn sample_again() -> Self {
        let form = Form { max_age: Some(300), ..Self::sample_to_app().form };
        Self { form, again: true, username: "ada".into(), ..Self::sample_to_app() }
    }

    /// Of somebody who came with a provider, and of whom no other knows when they signed in.
    #[cfg(test)]
    pub(super) fn sample_stuck() -> Self {
        Self { by_password: false, ..Self::sample_again() }
    }

    #[cfg(test)]
    pub(super) fn sample_again_elsewhere() -> Self {
        Self { providers: ProviderLink::samples(), ..Self::sample_stuck() }
    }

    #[cfg(test)]
    pub(super) fn sample_to_app() -> Self {
        Self {
            form: Form { return_to: "https://wiki.example.com/start?page=1".into(), ..Form::sample() },
            destination: Some("wiki.example.com".into()),
            registration: false,
            ..Self::sample()
        }
    }
}

#[cfg(test)]
impl ProviderLink {
    pub(super) fn samples() -> Vec<Self> {
        [("google", "Google"), ("github", "GitHub"), ("corp", "the staff directory of Example Ltd")]
            .map(|(name, label)| Self { name: name.into(), label: label.into() })
            .to_vec()
    }
}

impl ContinuePage {
    #[cfg(test)]
    pub(super) fn sample() -> Self {
        Self {
            form: Form { return_to: "https://wiki.example.com/start".into(), ..Form::sample() },
            destination: Some("wiki.example.com".into()),
            username: "ada".into(),
        }
    }
}
