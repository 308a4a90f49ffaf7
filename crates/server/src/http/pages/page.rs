//! What all pages have in common: the form token, the way back, the headers, the redirect after a post.

use askama::Template;
use axum::body::Body;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, SET_COOKIE};
use http::{HeaderMap, StatusCode};

use super::return_to::{ReturnTo, Rules};
use crate::app::Fault;
use crate::config::Mount;
use crate::http::FormAction;
use crate::http::cookies::Sent;
use crate::http::csrf::{self, FormToken};
use crate::http::error::{ApiError, Code, PageError};
use crate::server::Server;
use crate::ui::{self, Form, FormError, ProviderLink, words};

/// A page about to be made, for one request.
pub(super) struct Page {
    return_to: Option<ReturnTo>,
    /// As in [`Form::max_age`].
    max_age: Option<u32>,
    token: String,
    mount: Mount,
    /// Set with the page: what its form token is bound to, where the browser has none yet.
    form_cookie: Option<HeaderValue>,
}

impl Page {
    /// `return_to` as the request asks for it; dropped where it is not acceptable.
    ///
    /// # Errors
    /// 503 where there is no randomness for a form token.
    pub(super) fn new(server: &Server, sent: &Sent<'_>, return_to: &str) -> Result<Self, ApiError> {
        let site = server.site();
        let FormToken { token, cookie } = csrf::form_token(site, sent)?;
        let return_to = ReturnTo::parse(return_to, Rules::of(server));
        Ok(Self { return_to, max_age: None, token, mount: site.mount.clone(), form_cookie: cookie })
    }

    /// The same for a sign-in that has to be recent: `max_age` in seconds, as the request asks for it.
    pub(super) fn within(self, max_age: &str) -> Self {
        Self { max_age: max_age.parse().ok(), ..self }
    }

    pub(super) fn max_age(&self) -> Option<u32> {
        self.max_age
    }

    pub(super) fn form(&self) -> Form {
        Form {
            token: self.token.clone(),
            return_to: self.destination().unwrap_or_default().to_owned(),
            max_age: self.max_age,
        }
    }

    /// Whom people can sign in with here.
    pub(super) fn providers(&self, server: &Server) -> Vec<ProviderLink> {
        let of_use = server.app().providers().filter(|one| one.tells_when || self.max_age.is_none());
        of_use.map(|one| ProviderLink { name: one.name.to_owned(), label: one.label.to_owned() }).collect()
    }

    /// Where to go afterwards; none for the page's own default.
    pub(super) fn destination(&self) -> Option<&str> {
        self.return_to.as_ref().map(ReturnTo::location)
    }

    /// On to where they were going, or else to `default`, a page of ours.
    pub(super) fn leave(&self, default: &str, cookies: Vec<HeaderValue>) -> Response {
        match self.destination() {
            Some(to) => see_other(to, cookies),
            None => see_other(&self.mount.of(default), cookies),
        }
    }

    /// Whether that is an application on another root domain, whose own beginning ends every circle.
    pub(super) fn is_to_application(&self) -> bool {
        let sso = self.mount.of(super::sso::PATH);
        self.destination().is_some_and(|to| to.split('?').next() == Some(&*sso))
    }

    /// The host to go to afterwards, where it is not ours.
    pub(super) fn host(&self) -> Option<String> {
        self.return_to.as_ref().and_then(ReturnTo::host).map(str::to_owned)
    }

    /// 200 with the page.
    ///
    /// # Errors
    /// 500 where the template fails.
    pub(super) fn show(
        &self,
        view: &impl Template,
        cookies: Vec<HeaderValue>,
    ) -> Result<Response, PageError> {
        self.fill(Response::new(Body::empty()), view, cookies)
    }

    /// The page again with the status and the headers of the refusal.
    ///
    /// # Errors
    /// The refusal itself where there is nothing that a person could do about it.
    pub(super) fn refuse(&self, error: ApiError, view: &impl Template) -> Result<Response, PageError> {
        if error.code().status() == StatusCode::INTERNAL_SERVER_ERROR {
            return Err(error.into());
        }
        let (response, _) = error.head();
        self.fill(response, view, Vec::new())
    }

    fn fill(
        &self,
        mut response: Response,
        view: &impl Template,
        cookies: Vec<HeaderValue>,
    ) -> Result<Response, PageError> {
        let html = ui::render(view, self.mount.as_str()).map_err(ApiError::internal)?;
        *response.body_mut() = Body::from(html);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for cookie in self.form_cookie.iter().cloned().chain(cookies) {
            headers.append(SET_COOKIE, cookie);
        }
        if let Some(origin) = self.return_to.as_ref().and_then(ReturnTo::origin) {
            response.extensions_mut().insert(FormAction(origin.to_owned()));
        }
        Ok(response)
    }
}

/// 303 to a page of ours.
pub(super) fn see_own(server: &Server, path: &str, cookies: Vec<HeaderValue>) -> Response {
    see_other(&server.site().mount.of(path), cookies)
}

/// A page without a form, with the status and the headers of the refusal.
///
/// # Errors
/// 500 where the template fails.
pub(super) fn bare(
    error: ApiError,
    view: &impl Template,
    cookies: Vec<HeaderValue>,
) -> Result<Response, ApiError> {
    let (mut response, _) = error.head();
    *response.body_mut() = Body::from(ui::render(view, "").map_err(ApiError::internal)?);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// What to say to a browser that was given a cookie with the form and sends back none: it would be signed in, and not be
/// known at the next step. Other programs post without.
pub(super) fn keeps_no_cookies(headers: &HeaderMap, sent: &Sent<'_>) -> Option<(ApiError, FormError)> {
    let code = Code::CookiesBlocked;
    let message = "Your browser keeps no cookies of this site, and without them nobody can be signed in. Allow them, then \
                   try again.";
    let shown = FormError { code: code.as_str(), message: message.to_owned(), field: None };
    (sent.is_empty() && headers.contains_key(csrf::SEC_FETCH_SITE)).then(|| (code.into(), shown))
}

/// 303: whatever was posted is not posted again (RFC 9110 §15.4.4).
pub(super) fn see_other(to: &str, cookies: Vec<HeaderValue>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    // Printable ASCII: a path of ours or a destination that was found good.
    headers.insert(LOCATION, HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/")));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
    response
}

/// A parameter of the query; empty where it is missing or repeated.
pub(super) fn asked(uri: &Uri, name: &str) -> String {
    let query = uri.query().unwrap_or_default();
    let mut found = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => value.into_owned(),
        _ => String::new(),
    }
}

/// What to do where it is nobody's mistake.
pub(super) fn fault(fault: &Fault) -> String {
    match fault {
        Fault::Throttled { retry_after } => {
            format!("There were too many attempts. Try again {}.", words::wait(*retry_after))
        }
        Fault::Busy { retry_after } => {
            format!(
                "Very many people are signing in at this moment. Try again {}.",
                words::wait(*retry_after)
            )
        }
        Fault::Unavailable(_) | Fault::Internal(_) => {
            "That was not possible just now; nothing was changed. Try again in a few seconds.".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_parameter_is_none() {
        for (uri, value) in [
            ("/login", ""),
            ("/login?return_to=/a", "/a"),
            ("/login?x&return_to=%2Fa%3Fb&y", "/a?b"),
            ("/login?return_to=/a&return_to=/b", ""),
            ("/login?return_to=/a&return%5Fto=/b", ""),
        ] {
            assert_eq!(asked(&Uri::from_static(uri), "return_to"), value, "{uri}");
        }
    }
}
