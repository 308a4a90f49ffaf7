//! A browser with a jar of cookies, and the way to a provider and back.

use std::collections::BTreeMap;

use http::Method;
use url::Url;

use super::idp::{Idp, Person};
use super::support::{Answer, PASSWORD, Site};

pub(crate) struct Browser<'s> {
    site: &'s Site,
    pub(crate) jar: BTreeMap<String, String>,
}

impl<'s> Browser<'s> {
    pub(crate) fn new(site: &'s Site) -> Self {
        Self { site, jar: BTreeMap::new() }
    }

    /// One that is signed in with a password.
    pub(crate) async fn registered(site: &'s Site, username: &str) -> Self {
        let mut browser = Self::new(site);
        // The page gives out the cookie that its form needs.
        browser.get("/register").await;
        let answer = browser.post("/register", &[("username", username), ("password", PASSWORD)]).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        browser
    }

    /// One with the same cookies: a copy that a thief or a double click makes.
    pub(crate) fn copy(&self) -> Self {
        Self { site: self.site, jar: self.jar.clone() }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// A form of one of our own pages.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(Method::POST, path, Some(form)).await
    }

    async fn send(&mut self, method: Method, path: &str, form: Option<String>) -> Answer {
        let mut ask = self.site.ask(method, path);
        if !self.jar.is_empty() {
            let cookies = self.jar.iter().map(|(name, value)| format!("{name}={value}"));
            ask = ask.header("cookie", &cookies.collect::<Vec<_>>().join("; "));
        }
        if let Some(form) = form {
            ask = ask.header("sec-fetch-site", "same-origin");
            ask = ask.header("content-type", "application/x-www-form-urlencoded").body(form);
        }
        let answer = ask.send().await;
        for cookie in answer.cookies() {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Where `/login/PROVIDER` sends the browser.
    pub(crate) async fn set_out(&mut self, provider: &str) -> Url {
        let answer = self.get(&format!("/login/{provider}")).await;
        Url::parse(location(&answer)).unwrap()
    }

    /// All the way to the provider, where `person` signs in, and back.
    pub(crate) async fn sign_in(&mut self, idp: &Idp, person: &Person) -> Answer {
        let back = idp.authorize(&self.set_out("idp").await, person);
        self.get(&back).await
    }

    /// The user's id, as the server itself sees it; none where nobody is signed in.
    pub(crate) async fn user(&mut self) -> Option<String> {
        let answer = self.get("/auth/me").await;
        (answer.status == 200).then(|| answer.json()["user"]["id"].as_str().unwrap().to_owned())
    }
}

pub(crate) fn location(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("location").unwrap()
}

/// Status and code of a refusal's page.
pub(crate) fn refused(answer: &Answer) -> String {
    let text = answer.text();
    let code = text.split("<dt>Code</dt><dd><code>").nth(1).unwrap_or_else(|| panic!("{text}"));
    code.split('<').next().unwrap().to_owned()
}
