//! `POST /account/password`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;

use super::page::{self, Page};
use super::{account, here, login};
use crate::app::{ChangePasswordError, Delivery, Visitor};
use crate::http::answer;
use crate::http::error::{ApiError, PageError};
use crate::http::form::Form;
use crate::server::Server;
use crate::ui::{AccountPage, FormError, Notice, words};

#[derive(Deserialize)]
pub(super) struct Fields {
    #[serde(default)]
    current_password: String,
    #[serde(default)]
    new_password: String,
}

pub(super) async fn post(
    State(server): State<Server>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Result<Response, PageError> {
    let (signed_in, sent) = match here::of_form(&server, &headers, "/account/password").await? {
        Ok(both) => both,
        Err(to_login) => return Ok(to_login),
    };
    let is_first = signed_in.user.password_hash.is_none();
    let current = Some(fields.current_password.as_str()).filter(|_| !is_first);
    let new = &fields.new_password;
    match server.app().change_password(&visitor, signed_in.clone(), current, new, Delivery::Cookie).await {
        Ok(grant) => {
            let cookies = answer::cookies(&server, &grant)?;
            let notice = if is_first { Notice::PasswordSet } else { Notice::PasswordChanged };
            Ok(page::see_own(&server, &account::done(notice), cookies))
        }
        Err(ChangePasswordError::SessionEnded) => Ok(page::see_own(&server, login::PATH, Vec::new())),
        Err(ChangePasswordError::SignInAgain) => {
            Ok(page::see_own(&server, &login::again(&server, account::PATH), Vec::new()))
        }
        Err(error) => {
            let page = Page::new(&server, &sent, "")?;
            let (message, field) = message(&error);
            let error = ApiError::from(error);
            let shown = FormError { code: error.code().as_str(), message, field };
            let view = account::view(&server, &page, &signed_in).await?;
            page.refuse(error, &AccountPage { error: Some(shown), ..view })
        }
    }
}

/// What to do, and at which field.
fn message(error: &ChangePasswordError) -> (String, Option<&'static str>) {
    match error {
        ChangePasswordError::WrongPassword => {
            ("That is not your current password. Type it again.".to_owned(), Some("current_password"))
        }
        ChangePasswordError::Password(why) => (words::password(*why), Some("new_password")),
        // These lead elsewhere.
        ChangePasswordError::SessionEnded | ChangePasswordError::SignInAgain => (String::new(), None),
        ChangePasswordError::Fault(fault) => (page::fault(fault), None),
    }
}
