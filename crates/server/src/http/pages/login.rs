//! `/login`

use std::time::Duration;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use http::HeaderMap;
use jotgate_domain::User;
use serde::Deserialize;

use super::account;
use super::here::{self, Here};
use super::page::{self, Page};
use crate::app::{Delivery, LoginError, LoginForm, Visitor};
use crate::http::answer;
use crate::http::error::{ApiError, Code, PageError};
use crate::http::form::Form;
use crate::server::Server;
use crate::ui::{ContinuePage, FormError, LoginPage};

pub(super) const PATH: &str = "/login";

#[derive(Deserialize)]
pub(super) struct Fields {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    return_to: String,
    #[serde(default)]
    max_age: String,
}

/// What `again=1` stands for: recent is what happens from now on.
const NOW: &str = "0";

pub(super) async fn get(
    State(server): State<Server>,
    visitor: Visitor,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let sent = server.site().cookies.read_or_clear(&headers, PATH)?;
    let page = Page::new(&server, &sent, &page::asked(&uri, "return_to"))?;
    let again = page::asked(&uri, "again") == "1";
    let max_age = if again { NOW.to_owned() } else { page::asked(&uri, "max_age") };
    let page = page.within(&max_age);
    let Some(here) = here::find(&server, &visitor, &sent).await? else {
        return page.show(&view(&server, &page, String::new(), None, None), Vec::new());
    };
    if again || is_too_long_ago(&server, &here, page.max_age()) {
        let user = &here.signed_in.user;
        let view = view(&server, &page, user.username.to_string(), Some(user), None);
        return page.show(&view, here.cookies);
    }
    onward(&page, here)
}

/// The page for somebody who is signed in and has to show who they are once more.
pub(super) fn again(server: &Server, return_to: &str) -> String {
    let to = server.site().mount.of(return_to);
    let to: String = url::form_urlencoded::byte_serialize(to.as_bytes()).collect();
    format!("{PATH}?again=1&return_to={to}")
}

/// Whether whoever is signed in has to prove again who they are: an application asks for no more than `max_age`
/// seconds since they last did (OpenID Connect Core §3.1.2.1 has it with the same meaning).
fn is_too_long_ago(server: &Server, here: &Here, max_age: Option<u32>) -> bool {
    let Some(most) = max_age else { return false };
    server.app().now() > here.signed_in.session.authenticated_at.plus(Duration::from_secs(most.into()))
}

/// For somebody who is signed in already and has no business at this door: on to where they were going.
///
/// # Errors
/// 500 where the template fails.
pub(super) fn onward(page: &Page, here: Here) -> Result<Response, PageError> {
    if page.destination().is_none() || here.may_go_back || page.is_to_application() {
        return Ok(page.leave(account::PATH, here.cookies));
    }
    let username = here.signed_in.user.username.to_string();
    let view = ContinuePage { form: page.form(), destination: page.host(), username };
    page.show(&view, here.cookies)
}

pub(super) async fn post(
    State(server): State<Server>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Result<Response, PageError> {
    let sent = server.site().cookies.read_or_clear(&headers, PATH)?;
    let page = Page::new(&server, &sent, &fields.return_to)?.within(&fields.max_age);
    if let Some((error, shown)) = page::keeps_no_cookies(&headers, &sent) {
        return page.refuse(error, &view(&server, &page, fields.username, None, Some(shown)));
    }
    let replaced = here::of_session_cookie(&server, &sent).await?;
    let login = LoginForm {
        username: &fields.username,
        password: &fields.password,
        delivery: Delivery::Cookie,
        admin: false,
        replaces: replaced.as_ref().map(|signed_in| signed_in.session.id),
        device: sent.device,
    };
    match server.app().login(&visitor, login).await {
        Ok(grant) => Ok(page.leave(account::PATH, answer::cookies(&server, &grant)?)),
        Err(error) => {
            let message = message(&error);
            let error = ApiError::from(error);
            let shown = FormError { code: error.code().as_str(), message, field: None };
            let again = replaced.as_ref().filter(|_| page.max_age().is_some()).map(|here| &here.user);
            page.refuse(error, &view(&server, &page, fields.username, again, Some(shown)))
        }
    }
}

/// `again`: who is signed in, and has to show once more that it is they.
fn view(
    server: &Server,
    page: &Page,
    username: String,
    again: Option<&User>,
    error: Option<FormError>,
) -> LoginPage {
    LoginPage {
        form: page.form(),
        destination: page.host(),
        username,
        error,
        again: again.is_some(),
        by_password: again.is_none_or(|user| user.password_hash.is_some()),
        registration: again.is_none() && server.app().registration_enabled(),
        providers: page.providers(server),
    }
}

fn message(error: &LoginError) -> String {
    match error {
        LoginError::InvalidCredentials | LoginError::PasswordTooLong => {
            "That user name and password do not go together. Check both and try again; upper and lower case matter \
             in the password."
                .to_owned()
        }
        LoginError::TooLarge(_) => Code::TooManyRoles.detail().to_owned(),
        LoginError::Fault(fault) => page::fault(fault),
    }
}
