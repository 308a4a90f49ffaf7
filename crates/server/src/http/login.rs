//! `POST /auth/login`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;

use super::answer;
use super::error::{ApiError, Code};
use super::json::Json;
use crate::app::{Delivery, LoginError, LoginForm, Visitor};
use crate::server::Server;

#[derive(Deserialize)]
pub(super) struct Form {
    username: String,
    password: String,
    #[serde(default)]
    delivery: DeliveryName,
    scope: Option<String>,
}

/// Read from a string and nothing else: an enum would be read from `{"cookie": null}` as well.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(try_from = "String")]
enum DeliveryName {
    #[default]
    Body,
    Cookie,
}

impl TryFrom<String> for DeliveryName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match name.as_str() {
            "body" => Ok(Self::Body),
            "cookie" => Ok(Self::Cookie),
            _ => Err("body or cookie"),
        }
    }
}

pub(super) async fn post(
    State(server): State<Server>,
    visitor: Visitor,
    headers: HeaderMap,
    Json(form): Json<Form>,
) -> Result<Response, ApiError> {
    let delivery = match form.delivery {
        DeliveryName::Body => Delivery::Body,
        DeliveryName::Cookie => Delivery::Cookie,
    };
    let sent = server.site().cookies.read_or_clear(&headers, "/auth/login")?;
    // Only a login that replaces the cookies ends the session that they were of.
    let replaced = match sent.session.filter(|_| delivery == Delivery::Cookie) {
        Some(token) => server.app().holder(token).await?,
        None => None,
    };
    let login = LoginForm {
        username: &form.username,
        password: &form.password,
        delivery,
        admin: form.scope.as_deref().is_some_and(|scope| scope.split(' ').any(|one| one == "admin")),
        replaces: replaced.map(|holder| holder.signed_in.session.id),
        device: sent.device,
    };
    let grant = server.app().login(&visitor, login).await?;
    answer::tokens(&server, &grant, delivery)
}

impl From<LoginError> for ApiError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::InvalidCredentials => Code::InvalidCredentials.into(),
            LoginError::PasswordTooLong => {
                Self::new(Code::InvalidRequest).detail("The password is longer than any password can be.")
            }
            LoginError::TooLarge(why) => Self::new(Code::TooManyRoles).log(why),
            LoginError::Fault(fault) => fault.into(),
        }
    }
}
