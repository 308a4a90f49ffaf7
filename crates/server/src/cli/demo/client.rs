//! Requests to the server of the tour, as any application would send them.

use http::Request;
use serde_json::Value;

use crate::cli::error::{Failure, failed};
use crate::cli::fetch;
use crate::outbound;

/// What one request sends.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    /// Name and value.
    pub(super) header: Option<(&'static str, String)>,
    /// JSON.
    pub(super) body: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: http::StatusCode,
    pub(super) set_cookies: Vec<String>,
    /// Null where there is none.
    pub(super) body: Value,
    /// As it came.
    pub(super) text: String,
}

pub(super) struct Client {
    client: outbound::Client,
    pub(super) origin: String,
}

impl<'a> Ask<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self { method: "GET", path, header: None, body: None }
    }

    /// With this object of texts as body, if it has members.
    pub(super) fn post(path: &'a str, members: &[(&str, &str)]) -> Self {
        let members: Vec<String> =
            members.iter().map(|(name, value)| format!("\"{name}\":{}", Value::from(*value))).collect();
        let body = Some(format!("{{{}}}", members.join(","))).filter(|_| !members.is_empty());
        Self { method: "POST", path, header: None, body }
    }

    pub(super) fn bearer(self, token: &str) -> Self {
        Self { header: Some(("Authorization", format!("Bearer {token}"))), ..self }
    }

    pub(super) fn cookie(self, cookie: &str) -> Self {
        Self { header: Some(("Cookie", cookie.to_owned())), ..self }
    }
}

impl Client {
    pub(super) fn new(origin: String) -> Self {
        Self { client: outbound::Client::new(fetch::TIMEOUT), origin }
    }

    pub(super) fn send(&self, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let wrong = |error: &dyn std::fmt::Display| failed(format!("{} {}: {error}", ask.method, ask.path));
        let mut request = Request::builder().method(ask.method).uri(format!("{}{}", self.origin, ask.path));
        if let Some((name, value)) = &ask.header {
            request = request.header(*name, value);
        }
        let response = match &ask.body {
            Some(body) => {
                let request = request.header("Content-Type", "application/json").body(body.clone());
                self.client.run(request.map_err(|error| wrong(&error))?)
            }
            None => self.client.run(request.body(()).map_err(|error| wrong(&error))?),
        };
        let mut response = response.map_err(|error| wrong(&error))?;
        let text = response.body_mut().read_to_string().map_err(|error| wrong(&error))?;
        let set_cookies = response.headers().get_all("set-cookie").iter();
        Ok(Answer {
            status: response.status(),
            set_cookies: set_cookies.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect(),
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        })
    }
}

impl Answer {
    /// A member of the body as text; empty where it is none.
    pub(super) fn text_of(&self, member: &str) -> &str {
        self.body.get(member).and_then(Value::as_str).unwrap_or_default()
    }
}
