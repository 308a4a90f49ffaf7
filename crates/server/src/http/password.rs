//! `POST /auth/password/change`

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::answer;
use super::auth::Manager;
use super::error::{ApiError, Code};
use super::json::Json;
use super::login::{needed, text};
use crate::app::{ChangePasswordError, Visitor};
use crate::server::Server;

#[derive(Deserialize)]
pub(super) struct Form {
    #[serde(default, deserialize_with = "text")]
    current_password: Option<String>,
    new_password: String,
}

pub(super) async fn change(
    State(server): State<Server>,
    visitor: Visitor,
    manager: Manager,
    Json(form): Json<Form>,
) -> Result<Response, ApiError> {
    let Manager { signed_in, delivery } = manager;
    if signed_in.user.password_hash.is_some() {
        needed(&form.current_password, "current_password")?;
    }
    let current = form.current_password.as_deref();
    let grant =
        server.app().change_password(&visitor, signed_in, current, &form.new_password, delivery).await?;
    answer::tokens(&server, &grant, delivery)
}

impl From<ChangePasswordError> for ApiError {
    fn from(error: ChangePasswordError) -> Self {
        match error {
            ChangePasswordError::WrongPassword => {
                Self::new(Code::InvalidCredentials).detail("The current password is wrong.")
            }
            ChangePasswordError::SignInAgain => Code::RecentSignInRequired.into(),
            ChangePasswordError::Password(why) => Self::new(Code::WeakPassword).detail(why.to_string()),
            ChangePasswordError::SessionEnded => Code::Revoked.into(),
            ChangePasswordError::Fault(fault) => fault.into(),
        }
    }
}
