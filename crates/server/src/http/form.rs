//! Forms of the hosted pages (`application/x-www-form-urlencoded`).

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::HeaderMap;
use serde::de::DeserializeOwned;

use super::body::{self, MediaType};
use super::error::{ApiError, Code, PageError};

/// A form as `T`, at most 16 KiB. A repeated field is refused where `T` has it once; unknown ones are ignored.
#[derive(Clone, Copy, Debug)]
pub struct Form<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = PageError;

    async fn from_request(request: Request, _: &S) -> Result<Self, PageError> {
        let (parts, body) = request.into_parts();
        if body::media_type(&parts.headers) != MediaType::Form {
            return Err(ApiError::new(Code::UnsupportedMediaType).detail("Send a form.").into());
        }
        let text = read(&parts.headers, body).await?;
        // Its message can repeat what was sent.
        serde_urlencoded::from_bytes(&text).map(Self).map_err(|_| {
            ApiError::new(Code::InvalidRequest).detail("The form lacks a field, or repeats one.").into()
        })
    }
}

/// All of a form's text.
///
/// # Errors
/// As [`body::read`]; 413 beyond 16 KiB.
pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    match body::read(headers, body, body::CAP).await? {
        body::Read::All(bytes) => Ok(bytes),
        body::Read::Beyond(_) => Err(ApiError::new(Code::BodyTooLarge)),
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Login {
        username: String,
        remember: Option<String>,
    }

    async fn send(content_type: &str, body: impl Into<Body>) -> Result<Login, u16> {
        let request = Request::post("/").header("content-type", content_type).body(body.into()).unwrap();
        let answer = <Form<Login> as FromRequest<()>>::from_request(request, &()).await;
        answer.map(|Form(login)| login).map_err(|e| e.into_response().status().as_u16())
    }

    #[tokio::test]
    async fn forms_are_read_as_forms_only() {
        let form = "application/x-www-form-urlencoded";
        let login = send(form, "username=a%40b&x=1&x=2&remember=on").await.unwrap();
        assert_eq!((login.username.as_str(), login.remember.as_deref()), ("a@b", Some("on")));
        assert_eq!(send(form, "username=a&username=b").await.unwrap_err(), 400);
        assert_eq!(send(form, "").await.unwrap_err(), 400);
        assert_eq!(send(form, "username=".to_owned() + &"a".repeat(20_000)).await.unwrap_err(), 413);
        assert_eq!(send("application/json", "{}").await.unwrap_err(), 415);
        assert_eq!(send("text/plain", "username=a").await.unwrap_err(), 415);
        assert_eq!(send("multipart/form-data; boundary=x", "username=a").await.unwrap_err(), 415);
    }
}
