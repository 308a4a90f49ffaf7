//! Webhooks as they are configured.

use jotgate_domain::audit::Action;
use jotgate_domain::webhook::Secret;
use url::{Host, Url};

/// Who is told, and what: `webhooks.NAME`.
#[derive(Clone, Debug, Default)]
pub struct Webhook {
    /// Where messages are posted to.
    pub url: String,
    /// What they are signed with: several while a secret is exchanged.
    pub secrets: Vec<Secret>,
    /// None: everything.
    pub events: Option<Vec<Action>>,
}

impl Webhook {
    /// Whether this webhook is told of it.
    #[must_use]
    pub fn wants(&self, action: Action) -> bool {
        self.events.as_ref().is_none_or(|events| events.contains(&action))
    }

    /// Names of the actions; `*`: all.
    #[must_use]
    pub fn event_names(&self) -> Vec<String> {
        match &self.events {
            None => vec!["*".to_owned()],
            Some(events) => events.iter().map(|action| action.name().to_owned()).collect(),
        }
    }

    /// Scheme, host and port of the address.
    #[must_use]
    pub fn origin(&self) -> String {
        Url::parse(&self.url).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
    }
}

/// Whether messages can be posted there: by TLS, or on this machine, and without a name and password in front.
pub(super) fn is_url(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let reachable = url.scheme() == "https" || (url.scheme() == "http" && here);
    plain && reachable && text.len() <= 2048 && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The events of a list; the error is the one that there is not.
pub(super) fn events(names: &[String]) -> Result<Option<Vec<Action>>, String> {
    if names.iter().any(|name| name == "*") {
        return Ok(None);
    }
    names
        .iter()
        .map(|name| Action::from_name(name).ok_or_else(|| name.clone()))
        .collect::<Result<_, _>>()
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_by_tls_or_stay_on_this_machine() {
        for good in [
            "https://app.example/hooks?key=1",
            "https://app.example:8443",
            "http://127.0.0.1:3000/hooks",
            "http://localhost/x",
            "http://[::1]:80/",
        ] {
            assert!(is_url(good), "{good}");
        }
        for bad in [
            "",
            "app.example",
            "http://app.example/",
            "http://10.0.0.1/",
            "http://localhost.example/",
            "https://user:password@app.example/",
            "https://app.example/#x",
            "ftp://app.example/",
            "https://app.example/a b",
        ] {
            assert!(!is_url(bad), "{bad}");
        }
    }

    #[test]
    fn a_webhook_wants_what_it_names() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let some = Webhook {
            events: events(&names(&["login.succeeded", "user.deleted"])).unwrap(),
            ..Webhook::default()
        };
        assert!(some.wants(Action::UserDeleted) && !some.wants(Action::LoginFailed));
        let all =
            Webhook { events: events(&names(&["login.succeeded", "*"])).unwrap(), ..Webhook::default() };
        assert!(all.wants(Action::LoginFailed));
        assert_eq!(all.event_names(), ["*"]);
        assert_eq!(events(&names(&["login.suceeded"])).unwrap_err(), "login.suceeded");
    }
}
