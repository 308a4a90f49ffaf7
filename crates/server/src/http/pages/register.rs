//! `/register`

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;

use super::page::{self, Page};
use super::{account, here, login};
use crate::app::{Delivery, LoginForm, RegisterError, RegisterForm, Visitor};
use crate::http::answer;
use crate::http::error::{ApiError, PageError};
use crate::http::form::Form;
use crate::server::Server;
use crate::ui::{FormError, Notice, RegisterPage, words};

const PATH: &str = "/register";

#[derive(Deserialize)]
pub(super) struct Fields {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    return_to: String,
}

pub(super) async fn get(
    State(server): State<Server>,
    visitor: Visitor,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let sent = server.site().cookies.read_or_clear(&headers, PATH)?;
    let page = Page::new(&server, &sent, &page::asked(&uri, "return_to"))?;
    match here::find(&server, &visitor, &sent).await? {
        Some(here) => login::onward(&page, here),
        None => page.show(&view(&server, &page, String::new(), String::new(), None), Vec::new()),
    }
}

/// A new account is signed in at once.
pub(super) async fn post(
    State(server): State<Server>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Result<Response, PageError> {
    let sent = server.site().cookies.read_or_clear(&headers, PATH)?;
    let page = Page::new(&server, &sent, &fields.return_to)?;
    if let Some((error, shown)) = page::keeps_no_cookies(&headers, &sent) {
        return page.refuse(error, &view(&server, &page, fields.username, fields.email, Some(shown)));
    }
    let form = RegisterForm {
        username: &fields.username,
        password: &fields.password,
        email: Some(fields.email.trim()).filter(|email| !email.is_empty()),
    };
    if let Err(error) = server.app().register(&visitor, form).await {
        let (message, field) = message(&error);
        let error = ApiError::from(error);
        let shown = FormError { code: error.code().as_str(), message, field };
        return page.refuse(error, &view(&server, &page, fields.username, fields.email, Some(shown)));
    }
    let replaced = here::of_session_cookie(&server, &sent).await?;
    let login = LoginForm {
        username: &fields.username,
        password: &fields.password,
        delivery: Delivery::Cookie,
        admin: false,
        replaces: replaced.map(|signed_in| signed_in.session.id),
        device: None,
    };
    let Ok(grant) = server.app().login(&visitor, login).await else {
        // The account is there; only the server is too busy to sign it in as well.
        return Ok(page::see_own(&server, login::PATH, Vec::new()));
    };
    Ok(page.leave(&account::done(Notice::Registered), answer::cookies(&server, &grant)?))
}

fn view(
    server: &Server,
    page: &Page,
    username: String,
    email: String,
    error: Option<FormError>,
) -> RegisterPage {
    RegisterPage {
        form: page.form(),
        open: server.app().registration_enabled(),
        username,
        email,
        min_length: server.app().config.policy.password_min_length,
        error,
        providers: page.providers(server),
    }
}

/// What to do, and at which field.
fn message(error: &RegisterError) -> (String, Option<&'static str>) {
    match error {
        // The page says so itself.
        RegisterError::Disabled => (String::new(), None),
        RegisterError::Username(why) => (words::username(*why), Some("username")),
        RegisterError::Taken => ("That user name is taken. Choose another one.".to_owned(), Some("username")),
        RegisterError::Email(why) => (words::email(*why), Some("email")),
        RegisterError::Password(why) => (words::password(*why), Some("password")),
        RegisterError::Refused(reason) => (reason.clone(), None),
        RegisterError::Fault(fault) => (page::fault(fault), None),
    }
}
