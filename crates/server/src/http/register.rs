//! `POST /auth/register`

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;

use super::error::{ApiError, Code};
use super::json::Json;
use super::view::UserView;
use crate::app::{RegisterError, RegisterForm, Visitor};
use crate::server::Server;

#[derive(Deserialize)]
pub(super) struct Form {
    username: String,
    password: String,
    email: Option<String>,
}

pub(super) async fn post(
    State(server): State<Server>,
    visitor: Visitor,
    Json(form): Json<Form>,
) -> Result<Response, ApiError> {
    let form = RegisterForm {
        username: &form.username,
        password: &form.password,
        // A form field left empty is no address.
        email: form.email.as_deref().filter(|email| !email.is_empty()),
    };
    let user = server.app().register(&visitor, form).await?;
    let body = axum::Json(BTreeMap::from([("user", UserView::of(&user))]));
    Ok((StatusCode::CREATED, body).into_response())
}

impl From<RegisterError> for ApiError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Disabled => Code::RegistrationDisabled.into(),
            RegisterError::Username(why) => Self::new(Code::InvalidUsername).detail(why.to_string()),
            RegisterError::Email(why) => Self::new(Code::InvalidEmail).detail(why.to_string()),
            RegisterError::Password(why) => Self::new(Code::WeakPassword).detail(why.to_string()),
            RegisterError::Taken => Code::UsernameTaken.into(),
            RegisterError::Refused(reason) => Self::new(Code::RegistrationRefused).detail(reason),
            RegisterError::Fault(fault) => fault.into(),
        }
    }
}
