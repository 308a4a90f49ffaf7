//! A browser with a jar of cookies, and the way to a provider and back.

use http::Method;
use url::Url;

use super::idp::{Idp, Person};
use super::support::{Answer, Ask, Jar, PASSWORD, Site};

/// What a browser says of a link or a form on one of our own pages.
const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");

pub(crate) struct Browser<'s> {
    site: &'s Site,
    pub(crate) jar: Jar,
}

impl<'s> Browser<'s> {
    pub(crate) fn new(site: &'s Site) -> Self {
        Self { site, jar: Jar::new() }
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

    /// A link of one of our own pages.
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.get_from(path, &[OWN]).await
    }

    /// With what it says itself of where the link is.
    pub(crate) async fn get_from(&mut self, path: &str, says: &[(&str, &str)]) -> Answer {
        let ask = self.site.get(path);
        self.send(ask, says).await
    }

    /// A form of one of our own pages.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_from(path, fields, &[OWN]).await
    }

    pub(crate) async fn post_from(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        says: &[(&str, &str)],
    ) -> Answer {
        let ask = self.site.ask(Method::POST, path).form(fields);
        self.send(ask, says).await
    }

    async fn send(&mut self, mut ask: Ask<'_>, says: &[(&str, &str)]) -> Answer {
        for (name, value) in says {
            ask = ask.header(name, value);
        }
        let answer = ask.cookies(&self.jar).send().await;
        answer.keep(&mut self.jar);
        answer
    }

    /// Where `/login/PROVIDER` sends the browser.
    pub(crate) async fn set_out(&mut self, provider: &str) -> Url {
        let answer = self.get(&format!("/login/{provider}")).await;
        Url::parse(location(&answer)).unwrap()
    }

    /// All the way to the provider, where `person` signs in, and back.
    pub(crate) async fn sign_in(&mut self, idp: &Idp, person: &Person) -> Answer {
        let to = self.set_out("idp").await;
        self.come_back(idp, &to, person).await
    }

    /// From where the browser was sent to, and back.
    pub(crate) async fn come_back(&mut self, idp: &Idp, to: &Url, person: &Person) -> Answer {
        self.get_from(&idp.authorize(to, person), &[("sec-fetch-site", "cross-site")]).await
    }

    /// The user's id, as the server itself sees it; none where nobody is signed in.
    pub(crate) async fn user(&mut self) -> Option<String> {
        let answer = self.get("/auth/me").await;
        (answer.status == 200).then(|| answer.json()["user"]["id"].as_str().unwrap().to_owned())
    }
}

pub(crate) fn location(answer: &Answer) -> &str {
    answer.location()
}

/// Status and code of a refusal's page.
pub(crate) fn refused(answer: &Answer) -> String {
    let text = answer.text();
    let code = text.split("<dt>Code</dt><dd><code>").nth(1).unwrap_or_else(|| panic!("{text}"));
    code.split('<').next().unwrap().to_owned()
}
