//! JSON bodies, read strictly (RFC 8259, and RFC 8725 §2.6's reason for refusing repeated members).
//!
//! No value that was sent comes back in an error: what is wrong may be a password.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, OptionalFromRequest, Request};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::body::{self, MediaType};
use super::error::{ApiError, Code};

/// The most members that all objects of a body may have together: more is an attack on maps, not a request.
const MOST_MEMBERS: usize = 256;

const NOT_THE_FORM: &str = "The body has not the form that is expected here.";

/// A JSON body as `T`, at most `CAP` bytes.
///
/// Refuses: another content type or charset than UTF-8, a compressed body (415); more than `CAP` bytes (413);
/// what is not a JSON object, a repeated member anywhere, nesting beyond 128, more than 256 members, a missing member or
/// one of a wrong type (400 `invalid_request`, naming the member). Unknown members are ignored.
///
/// `Option<Json<T>>` is none where there is no body.
#[derive(Clone, Copy, Debug)]
pub struct Json<T, const CAP: usize = { body::CAP }>(pub T);

impl<S: Sync, T: DeserializeOwned, const CAP: usize> FromRequest<S> for Json<T, CAP> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        check_type(&parts.headers)?;
        read::<T, CAP>(&parts.headers, body).await?.map(Self).ok_or_else(not_json)
    }
}

impl<S: Sync, T: DeserializeOwned, const CAP: usize> OptionalFromRequest<S> for Json<T, CAP> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Option<Self>, ApiError> {
        let (parts, body) = request.into_parts();
        if body.is_end_stream() {
            return Ok(None);
        }
        // A client that streams nothing need not say of what type nothing is.
        if parts.headers.contains_key(CONTENT_TYPE) || parts.headers.contains_key(CONTENT_ENCODING) {
            check_type(&parts.headers)?;
            return Ok(read::<T, CAP>(&parts.headers, body).await?.map(Self));
        }
        match body::read(&parts.headers, body, CAP).await? {
            body::Read::All(bytes) if bytes.is_empty() => Ok(None),
            _ => Err(ApiError::new(Code::UnsupportedMediaType)),
        }
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    match body::media_type(headers) {
        MediaType::Json => Ok(()),
        _ => Err(ApiError::new(Code::UnsupportedMediaType)),
    }
}

/// None: the body is empty.
async fn read<T: DeserializeOwned, const CAP: usize>(
    headers: &HeaderMap,
    body: Body,
) -> Result<Option<T>, ApiError> {
    match body::read(headers, body, CAP).await? {
        body::Read::All(bytes) if bytes.is_empty() => Ok(None),
        body::Read::All(bytes) => parse(&bytes).map(Some),
        // A bomb is a bomb even where it is cut off; what merely goes on is too large.
        body::Read::Beyond(start) => Err(match scan(&start) {
            Err(error) if !error.is_eof() => refusal_of(&error),
            _ => ApiError::new(Code::BodyTooLarge),
        }),
    }
}

/// `T` from JSON text, with the rules of [`Json`].
///
/// # Errors
/// 400 `invalid_request`.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, ApiError> {
    scan(text).map_err(|error| refusal_of(&error))?;
    // A struct would be read from a list as well, in the order of its fields.
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(ApiError::new(Code::InvalidRequest).detail(NOT_THE_FORM));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let detail = match missing_member(&error.inner().to_string()) {
            Some(name) => format!("The member \"{name}\" is missing."),
            None if is_plain(&path) => format!("The member \"{path}\" has a wrong type or value."),
            None => NOT_THE_FORM.to_owned(),
        };
        ApiError::new(Code::InvalidRequest).detail(detail)
    })
}

fn not_json() -> ApiError {
    ApiError::new(Code::InvalidRequest).detail("The body is empty; a JSON object is expected.")
}

fn refusal_of(error: &serde_json::Error) -> ApiError {
    let detail = if error.is_data() {
        "The body repeats a member, or has more of them than any request needs."
    } else {
        "The body is not JSON in UTF-8, or is nested too deeply."
    };
    ApiError::new(Code::InvalidRequest).detail(detail)
}

/// The name in serde's message; it is the name of a field of ours, never what was sent.
fn missing_member(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split_once('`').map(|(name, _)| name)
}

/// Whether a path may be repeated in an answer: short, and made of names such as ours.
fn is_plain(path: &str) -> bool {
    path != "."
        && path.len() <= 64
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'[' | b']'))
}

/// Walks the whole text once, keeping nothing but the names of the objects that are open.
fn scan(text: &[u8]) -> Result<(), serde_json::Error> {
    let mut members = 0;
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    Strict { members: &mut members }.deserialize(&mut deserializer)?;
    deserializer.end()
}

struct Strict<'m> {
    members: &'m mut usize,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Strict { members: self.members })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key_seed(Name)? {
            *self.members += 1;
            if *self.members > MOST_MEMBERS {
                return Err(serde::de::Error::custom("too many members"));
            }
            if !seen.insert(name) {
                return Err(serde::de::Error::custom("repeated member"));
            }
            map.next_value_seed(Strict { members: self.members })?;
        }
        Ok(())
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Instant;

    use axum::response::IntoResponse;
    use http_body_util::BodyExt;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Login {
        username: String,
        password: String,
        delivery: Option<Delivery>,
        #[serde(default)]
        extra: HashMap<String, u8>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Delivery {
        Body,
        Cookie,
    }

    fn request(content_type: Option<&str>, body: impl Into<Body>) -> Request {
        let mut request = Request::post("/");
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.body(body.into()).unwrap()
    }

    async fn send(content_type: Option<&str>, body: impl Into<Body>) -> (u16, String) {
        match <Json<Login> as FromRequest<()>>::from_request(request(content_type, body), &()).await {
            Ok(Json(login)) => {
                (200, format!("{} {} {:?} {:?}", login.username, login.password, login.delivery, login.extra))
            }
            Err(error) => {
                let response = error.into_response();
                let status = response.status().as_u16();
                let body = response.into_body().collect().await.unwrap().to_bytes();
                let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
                (
                    status,
                    format!("{}: {}", problem["code"].as_str().unwrap(), problem["detail"].as_str().unwrap()),
                )
            }
        }
    }

    #[tokio::test]
    async fn a61_bombs_and_wrong_types_are_refused_at_once_and_never_repeated() {
        let many =
            format!("{{{}}}", (0..1_000_000).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(","));
        let own = r#"{"username":"u","password":"#;
        let wrong = |name: &str| format!("invalid_request: The member \"{name}\" has a wrong type or value.");
        let syntax = "invalid_request: The body is not JSON in UTF-8, or is nested too deeply.".to_owned();
        let repeated =
            "invalid_request: The body repeats a member, or has more of them than any request needs."
                .to_owned();
        let table: Vec<(Vec<u8>, u16, String)> = vec![
            (format!("{own}\"p\"}}").into(), 200, "u p None {}".into()),
            (format!("{own}\"p\",\"delivery\":\"cookie\"}}").into(), 200, "u p Some(Cookie) {}".into()),
            (format!("{own}\"p\",\"delivery\":\"body\"}}").into(), 200, "u p Some(Body) {}".into()),
            (
                format!("{own}\"p\",\"unknown\":{{\"a\":[1,null,1.5,true]}}}}").into(),
                200,
                "u p None {}".into(),
            ),
            ("[".repeat(100_000).into(), 400, syntax.clone()),
            ("[".repeat(1000).into(), 400, syntax.clone()),
            ("{\"a\":".repeat(1000).into(), 400, syntax.clone()),
            (many.into(), 400, repeated.clone()),
            (format!("{own}1e999999}}").into(), 400, syntax.clone()),
            (format!("{own}\"a\",\"password\":\"b\"}}").into(), 400, repeated.clone()),
            (format!("{own}\"a\",\"p\\u0061ssword\":\"b\"}}").into(), 400, repeated.clone()),
            (format!("{own}\"a\",\"x\":{{\"y\":1,\"y\":1}}}}").into(), 400, repeated.clone()),
            (format!("{own}{{\"$ne\":null}}}}").into(), 400, wrong("password")),
            (format!("{own}[\"canary\"]}}").into(), 400, wrong("password")),
            (format!("{own}true}}").into(), 400, wrong("password")),
            (format!("{own}12345}}").into(), 400, wrong("password")),
            (format!("{own}null}}").into(), 400, wrong("password")),
            (format!("{own}\"p\",\"delivery\":\"canary\"}}").into(), 400, wrong("delivery")),
            (
                format!("{own}\"p\",\"extra\":{{\"canary <b>\":\"canary\"}}}}").into(),
                400,
                "invalid_request: The body has not the form that is expected here.".into(),
            ),
            (
                br#"{"username":"u"}"#.into(),
                400,
                "invalid_request: The member \"password\" is missing.".into(),
            ),
            (b"[]".into(), 400, "invalid_request: The body has not the form that is expected here.".into()),
            (
                b"\"canary\"".into(),
                400,
                "invalid_request: The body has not the form that is expected here.".into(),
            ),
            (b"".into(), 400, "invalid_request: The body is empty; a JSON object is expected.".into()),
            (b"{".into(), 400, syntax.clone()),
            (b"{}{}".into(), 400, syntax.clone()),
            (b"\xef\xbb\xbf{}".into(), 400, syntax.clone()),
            (b"{\"username\":\"\xff\"}".into(), 400, syntax.clone()),
            (br#"{"username":"\ud800"}"#.into(), 400, syntax.clone()),
            (b"\xff\xfe{\0}\0".into(), 400, syntax.clone()),
        ];
        for (body, status, text) in table {
            let shown = String::from_utf8_lossy(&body).chars().take(60).collect::<String>();
            let began = Instant::now();
            let answer = send(Some("application/json"), body).await;
            assert!(began.elapsed().as_millis() < 50, "{shown}: {:?}", began.elapsed());
            assert!(!answer.1.contains("canary"), "{answer:?}");
            assert_eq!(answer, (status, text), "{shown}");
        }
    }

    #[tokio::test]
    async fn a56_a197_too_large_is_413() {
        let large = format!(r#"{{"username":"u","password":"{}"}}"#, "p".repeat(1_000_000));
        assert_eq!(send(Some("application/json"), large).await.0, 413);
        let padded = format!(r#"{{"username":"u","password":"p"}}{}"#, " ".repeat(body::CAP));
        assert_eq!(send(Some("application/json"), padded).await.0, 413);
        let fits = format!(r#"{{"username":"u","password":"{}"}}"#, "p".repeat(body::CAP - 30));
        assert_eq!(fits.len(), body::CAP);
        assert_eq!(send(Some("application/json"), fits).await.0, 200);
    }

    #[tokio::test]
    async fn a62_a81_only_json_in_utf8_is_json() {
        let ok = r#"{"username":"u","password":"p"}"#;
        let table = [
            (Some("application/json"), 200),
            (Some("Application/JSON"), 200),
            (Some("application/json; charset=utf-8"), 200),
            (Some("application/json;charset=\"UTF-8\""), 200),
            (Some("application/json; charset=utf8"), 415),
            (Some("application/json; charset=utf-16"), 415),
            (Some("application/json; charset=utf-8; charset=utf-16"), 415),
            (Some("application/json, text/plain"), 415),
            (Some("text/plain"), 415),
            (Some("text/json"), 415),
            (Some("application/x-www-form-urlencoded"), 415),
            (Some("multipart/form-data; boundary=application/json"), 415),
            (Some("application/jsonp"), 415),
            (Some(""), 415),
            (None, 415),
        ];
        for (content_type, status) in table {
            assert_eq!(send(content_type, ok).await.0, status, "{content_type:?}");
        }
        for encoding in ["gzip", "br", "identity, gzip"] {
            let mut packed = request(Some("application/json"), ok);
            packed.headers_mut().insert(CONTENT_ENCODING, encoding.parse().unwrap());
            let refused = <Json<Login> as FromRequest<()>>::from_request(packed, &()).await.unwrap_err();
            assert_eq!(refused.code(), Code::UnsupportedMediaType);
        }
        let mut twice = request(Some("application/json"), ok);
        twice.headers_mut().append(CONTENT_TYPE, "text/plain".parse().unwrap());
        assert!(<Json<Login> as FromRequest<()>>::from_request(twice, &()).await.is_err());
    }

    #[tokio::test]
    async fn an_optional_body_may_be_missing_but_not_wrong() {
        let table = [
            (None, "", Ok(false)),
            (Some("application/json"), "", Ok(false)),
            (Some("application/json"), r#"{"username":"u","password":"p"}"#, Ok(true)),
            (Some("application/json"), "{", Err(400)),
            (Some("text/plain"), "{}", Err(415)),
            (None, "{}", Err(415)),
        ];
        for (content_type, body, expected) in table {
            // As a stream, whose end is not known beforehand, and as one piece.
            let stream = Body::new(http_body_util::StreamBody::new(futures_util::stream::iter([Ok::<
                _,
                std::io::Error,
            >(
                hyper::body::Frame::data(bytes::Bytes::copy_from_slice(body.as_bytes())),
            )])));
            for body in [Body::from(body), stream] {
                let answer =
                    <Json<Login> as OptionalFromRequest<()>>::from_request(request(content_type, body), &())
                        .await;
                assert_eq!(
                    answer.map(|j| j.is_some()).map_err(|e| e.code().status().as_u16()),
                    expected,
                    "{content_type:?}"
                );
            }
        }
    }
}
