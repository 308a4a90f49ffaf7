//! `POST /auth/login`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::{Deserialize, Deserializer};

use super::answer;
use super::error::{ApiError, Code};
use super::json::Json;
use super::upstream;
use crate::app::{Delivery, Handover, LoginError, LoginForm, Visitor};
use crate::server::Server;

/// One of two credentials: a name with its password, or a code of a provider.
#[derive(Deserialize)]
pub(super) struct Form {
    #[serde(default, deserialize_with = "text")]
    username: Option<String>,
    #[serde(default, deserialize_with = "text")]
    password: Option<String>,
    #[serde(default, deserialize_with = "text")]
    provider: Option<String>,
    #[serde(flatten)]
    code: upstream::Code,
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
    let replaces = replaced.map(|holder| holder.signed_in.session.id);
    let admin = form.scope.as_deref().is_some_and(|scope| scope.split(' ').any(|one| one == "admin"));
    let grant = match (&form.provider, &form.username, &form.password) {
        (Some(provider), None, None) => {
            let hand = Handover { delivery, admin, replaces };
            server.app().login_by_code(&visitor, form.code.of(provider)?, hand).await?
        }
        (None, username, password) => {
            let login = LoginForm {
                username: needed(username, "username")?,
                password: needed(password, "password")?,
                delivery,
                admin,
                replaces,
                device: sent.device,
            };
            server.app().login(&visitor, login).await?
        }
        (Some(_), ..) => return Err(ApiError::new(Code::InvalidRequest).detail(EITHER)),
    };
    answer::tokens(&server, &grant, delivery)
}

const EITHER: &str = "Send either \"username\" and \"password\", or \"provider\" and its \"code\".";

/// A member that this kind of request has to have.
pub(super) fn needed<'f>(member: &'f Option<String>, name: &str) -> Result<&'f str, ApiError> {
    let missing = || ApiError::new(Code::InvalidRequest).detail(format!("The member \"{name}\" is missing."));
    member.as_deref().ok_or_else(missing)
}

/// Text, where the member is there at all: `null` is none.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
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
