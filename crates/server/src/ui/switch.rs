//! Before somebody leaves for another provider without having chosen to on a page of ours.

use askama::Template;

use super::{Form, assets, filters};

#[derive(Clone, Debug, Template)]
#[template(path = "switch.html")]
pub struct SwitchPage {
    pub form: Form,
    /// The provider, in the address.
    pub name: String,
    /// What it is called.
    pub label: String,
    /// Who is signed in, and would not be any more.
    pub username: Option<String>,
}

#[cfg(test)]
impl SwitchPage {
    pub(super) fn sample() -> Self {
        Self {
            form: Form { return_to: "/account".into(), ..Form::sample() },
            name: "google".into(),
            label: "Google".into(),
            username: Some("ada".into()),
        }
    }
}
