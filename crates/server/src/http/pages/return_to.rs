//! Where a person goes after a form: never to a place that only a stranger's link chose.
//!
//! Accepted are paths of our own, origins of `cookie.trusted_origins`, and https hosts under `cookie.domain`.
//! Whatever else a link asks for, and whatever browsers and libraries could read in more than one way, is
//! dropped, and the page's own default takes its place.

use url::{Host, Url};

use crate::http::applications::PREFIX;
use crate::server::Server;

/// A destination that was found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo {
    /// For `Location`: a path of ours, or an absolute URL in normal form; printable ASCII.
    location: String,
    /// `scheme://host[:port]`, where it is not ours, or leads on to there at once.
    origin: Option<String>,
}

/// What is acceptable here.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Our own origin, in every form it has.
    pub own: &'a [String],
    /// Below which path of it our own pages are: the others are an application's around us.
    pub mount: &'a str,
    /// `cookie.trusted_origins`
    pub trusted: &'a [String],
    /// `sso.origins`
    pub applications: &'a [String],
    /// `cookie.domain`, without the leading dot.
    pub domain: Option<&'a str>,
}

impl<'a> Rules<'a> {
    /// Those of this installation.
    #[must_use]
    pub(in crate::http) fn of(server: &'a Server) -> Self {
        let site = server.site();
        Self {
            own: &site.own_origins,
            mount: site.mount.as_str(),
            trusted: &site.trusted_origins,
            applications: site.applications.origins(),
            domain: server.app().config.cookie.domain.as_deref(),
        }
    }
}

/// Pages that lead on to `return_to` themselves: nobody goes back to them, or it might go round for ever.
const NEVER: [&str; 4] = ["", "/login", "/register", "/logout"];

/// Enough for an address in an address in an address.
const LONGEST: usize = 8192;

impl ReturnTo {
    /// `asked` as a destination; none where it is not acceptable.
    #[must_use]
    pub fn parse(asked: &str, rules: Rules<'_>) -> Option<Self> {
        if asked.len() > LONGEST || !asked.bytes().all(is_plain) {
            return None;
        }
        if asked.starts_with('/') {
            return local(asked, rules);
        }
        let url = Url::parse(asked).ok()?;
        if !matches!(url.scheme(), "https" | "http") {
            return None;
        }
        let origin = url.origin().ascii_serialization();
        // Written as we understood it: no user, no upper case, no escapes, dots or digits in another form.
        let rest = asked.strip_prefix(origin.as_str())?;
        if !(rest.is_empty() || rest.starts_with(['/', '?', '#'])) {
            return None;
        }
        if rules.own.contains(&origin) {
            return local(if rest.is_empty() { "/" } else { rest }, rules);
        }
        let under_domain = |domain| url.scheme() == "https" && is_under(url.host(), domain);
        let good = rules.trusted.contains(&origin)
            || rules.applications.contains(&origin)
            || rules.domain.is_some_and(under_domain);
        good.then(|| Self { location: url.into(), origin: Some(origin) })
    }

    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The origin, where it is not ours: what `form-action` must name, since Chromium holds the redirect after
    /// a post to it.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The host to name to a person, where it is not ours.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.origin.as_deref().and_then(|origin| origin.split("://").nth(1))
    }
}

/// `asked` as a place on the site of the application `origin`, for `Location`: its path, query and fragment. None
/// where it is not one, and for the paths there that are ours.
#[must_use]
pub fn on_application(asked: &str, origin: &str) -> Option<String> {
    let rest = asked.strip_prefix(origin).unwrap_or(asked);
    if !rest.starts_with('/') || rest.len() > LONGEST || !rest.bytes().all(is_plain) {
        return None;
    }
    let (url, location) = path_of(rest)?;
    // Decoded, since what a proxy sends here it may have decoded first.
    let ours = format!("{}/", url.path()).to_ascii_lowercase();
    let ours = String::from_utf8_lossy(&decode(ours.as_bytes())).starts_with(PREFIX);
    (!ours).then_some(location)
}

/// A path of our own origin, with query and fragment.
fn local(asked: &str, rules: Rules<'_>) -> Option<ReturnTo> {
    let (url, location) = path_of(asked)?;
    let ours = url.path().strip_prefix(rules.mount);
    // A sign-in at a provider begins below the page of ours.
    if ours.is_some_and(|path| NEVER.contains(&path.trim_end_matches('/')) || path.starts_with("/login/")) {
        return None;
    }
    // From there it goes on to an application.
    let onward = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value);
    let origin = (ours == Some(super::sso::PATH)).then(|| onward(super::sso::ORIGIN)).flatten();
    let origin = origin.and_then(|origin| rules.applications.iter().find(|known| **known == *origin));
    Some(ReturnTo { location, origin: origin.cloned() })
}

/// A path in normal form. Only the path matters: the origin that it is read against is any.
fn path_of(asked: &str) -> Option<(Url, String)> {
    let base = Url::parse("http://localhost").ok()?;
    let url = base.join(asked).ok()?;
    if url.origin() != base.origin() || !is_plain_path(asked) {
        return None;
    }
    let location = url.as_str().strip_prefix("http://localhost")?.to_owned();
    Some((url, location))
}

/// White space, controls and `\` are what browsers drop or turn before they read a URL.
fn is_plain(b: u8) -> bool {
    matches!(b, b'!'..=b'~') && b != b'\\'
}

/// Whether every reader finds the same path in it: nothing that could become a host, a parent folder or a
/// control once somebody decodes it, however often.
fn is_plain_path(asked: &str) -> bool {
    let mut path = asked.split(['?', '#']).next().unwrap_or_default().as_bytes().to_vec();
    loop {
        let dots = |segment: &[u8]| segment == b"." || segment == b"..";
        if path.starts_with(b"//")
            || path.iter().any(|b| b.is_ascii_control() || *b == b'\\')
            || path.split(|b| *b == b'/').any(dots)
        {
            return false;
        }
        let decoded = decode(&path);
        if decoded == path {
            return true;
        }
        path = decoded; // shorter each time
    }
}

/// Percent-decodes once; what is no escape stays.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => {
                let digit = |b: &u8| char::from(*b).to_digit(16);
                digit(high).zip(digit(low)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok())
            }
            _ => None,
        };
        decoded.push(escaped.unwrap_or(*first));
        if escaped.is_some() {
            rest = tail.get(2..).unwrap_or_default();
        }
    }
    decoded
}

/// Whether the host is `domain` or a name under it, of letters, digits, `-` and `_`: the URL standard lets more
/// through, and the host goes into a policy header.
fn is_under(host: Option<Host<&str>>, domain: &str) -> bool {
    let Some(Host::Domain(host)) = host else { return false };
    let labels = match host.strip_suffix(domain) {
        Some("") => return true,
        Some(prefix) => prefix.strip_suffix('.'),
        None => None,
    };
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    labels.is_some_and(|labels| labels.split('.').all(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(asked: &str) -> Option<(String, Option<String>)> {
        parse_under(asked, "")
    }

    fn parse_under(asked: &str, mount: &str) -> Option<(String, Option<String>)> {
        let own = ["https://auth.example.com".to_owned()];
        let trusted = ["https://partner.test".to_owned(), "http://localhost:3000".to_owned()];
        let applications = ["https://shop.other.test".to_owned()];
        let rules = Rules {
            own: &own,
            mount,
            trusted: &trusted,
            applications: &applications,
            domain: Some("example.com"),
        };
        ReturnTo::parse(asked, rules).map(|to| (to.location, to.origin))
    }

    #[test]
    fn our_own_paths_are_good() {
        for (asked, location) in [
            ("/account", "/account"),
            ("/account?done=x#devices", "/account?done=x#devices"),
            (
                "/oauth/authorize?client_id=a&redirect_uri=https%3A%2F%2Fb%2Fcb&state=%0d%0a",
                "/oauth/authorize?client_id=a&redirect_uri=https%3A%2F%2Fb%2Fcb&state=%0d%0a",
            ),
            ("/a//b", "/a//b"),
            ("/search?q=//evil.test", "/search?q=//evil.test"),
            ("/caf%C3%A9", "/caf%C3%A9"),
            ("/100%", "/100%"),
            ("https://auth.example.com/account", "/account"),
            ("https://auth.example.com/a?b#c", "/a?b#c"),
        ] {
            assert_eq!(parse(asked), Some((location.to_owned(), None)), "{asked}");
        }
    }

    #[test]
    fn inside_an_application_its_own_paths_are_good_and_only_our_doors_are_not() {
        for good in ["/", "/login", "/idea", "/id/account", "https://auth.example.com/hello?a=b"] {
            assert!(parse_under(good, "/id").is_some(), "{good}");
        }
        for door in ["/id", "/id/", "/id/login", "/id/logout?x", "https://auth.example.com/id/register"] {
            assert_eq!(parse_under(door, "/id"), None, "{door}");
        }
    }

    #[test]
    fn trusted_origins_and_hosts_under_the_domain_are_good() {
        for (asked, location, origin) in [
            ("https://partner.test", "https://partner.test/", "https://partner.test"),
            ("https://partner.test/a?b=c#d", "https://partner.test/a?b=c#d", "https://partner.test"),
            ("http://localhost:3000/cb", "http://localhost:3000/cb", "http://localhost:3000"),
            ("https://wiki.example.com/", "https://wiki.example.com/", "https://wiki.example.com"),
            ("https://shop.other.test/a?b", "https://shop.other.test/a?b", "https://shop.other.test"),
            // On to the application at once.
            (
                "/sso?origin=https%3A%2F%2Fshop.other.test&binding=x",
                "/sso?origin=https%3A%2F%2Fshop.other.test&binding=x",
                "https://shop.other.test",
            ),
            ("https://example.com?x", "https://example.com/?x", "https://example.com"),
            (
                "https://a_b.c-d.example.com:8443/",
                "https://a_b.c-d.example.com:8443/",
                "https://a_b.c-d.example.com:8443",
            ),
            ("https://wiki.example.com/a/../b", "https://wiki.example.com/b", "https://wiki.example.com"),
        ] {
            assert_eq!(parse(asked), Some((location.to_owned(), Some(origin.to_owned()))), "{asked}");
        }
    }

    #[test]
    fn a148_everything_else_is_dropped() {
        for asked in [
            "",
            // Other hosts, in all the ways to write one.
            "//evil",
            "//evil.test/",
            "///evil",
            "////evil",
            "/\\evil",
            "\\\\evil",
            "\\/evil",
            "https:evil",
            "https:/evil",
            "https:///evil",
            "https:\\\\evil",
            "https://evil.test/",
            "http://evil.test",
            "https://evil.test/?https://auth.example.com/",
            "https://evil.test#https://auth.example.com/",
            "evil.test",
            "evil",
            "ftp://wiki.example.com/",
            "javascript:alert(1)",
            "javascript://auth.example.com/%0aalert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "blob:https://auth.example.com/x",
            // Ours in front of theirs.
            "https://auth.example.com@evil.test/",
            "https://auth.example.com:x@evil.test/",
            "https://shop.other.test:8443/",
            "https://sub.shop.other.test/",
            "http://shop.other.test/",
            "https://user@wiki.example.com/",
            "https://user:pass@auth.example.com/",
            "https://@auth.example.com/",
            "https://auth.example.com.evil.test/",
            "https://auth.example.com%2eevil.test/",
            "https://auth.example.com%2f.evil.test/",
            "https://example.com%2eevil/",
            "https://auth.example.com\u{3002}evil.test/",
            "https://partner\u{3002}test/",
            "https://partner.test.evil.test/",
            "https://evilexample.com/",
            "https://evil-example.com/",
            "https://example.com.evil/",
            "https://partner.test:8443/",
            "http://partner.test/",
            "http://wiki.example.com/",
            "http://localhost:3001/",
            "http://127.0.0.1:3000/",
            "https://sub.partner.test/",
            // Ours, but written so that two readers may differ.
            "HTTPS://wiki.example.com/",
            "https://WIKI.example.com/",
            "https://wiki.example.com./",
            "https://wiki..example.com/",
            "https://.example.com/",
            "https://wiki.example.com:443/",
            "https://wiki.example%2ecom/",
            "https://wiki.example.com\\@evil.test/",
            "https://wiki\t.example.com/",
            " https://wiki.example.com/",
            "https://wiki.example.com/ ",
            "https://bücher.example.com/",
            "https://wiki.example.com/\r\nSet-Cookie: a=b",
            // Hosts that would say more in a policy header.
            "https://*.example.com/",
            "https://a;sandbox.example.com/",
            "https://a,b.example.com/",
            "https://'self'.example.com/",
            "https://a&b.example.com/",
            // Our own paths that become something else.
            "/%09/evil",
            "/\t/evil",
            "/%0a/evil",
            "/%00",
            "/%5c%5cevil",
            "/%5Cevil",
            "/%2f/evil",
            "/%2fevil",
            "/%252fevil",
            "/%25252fevil",
            "/..//evil",
            "/.//evil",
            "/../account",
            "/a/../../evil",
            "/a/%2e%2e//evil",
            "/%2e%2e//evil",
            "/%252e%252e/x",
            "/a b",
            "/é",
            "account",
            "?done=x",
            "#x",
            // Round and round.
            "/",
            "/login",
            "/login/",
            "/login?return_to=/login",
            "/login#x",
            "/login/google",
            "/login/google/callback?code=x",
            "/register",
            "/logout",
            "/logout?return_to=//evil",
            "https://auth.example.com",
            "https://auth.example.com/login",
        ] {
            assert_eq!(parse(asked), None, "{asked:?}");
        }
        assert_eq!(parse(&format!("/{}", "a".repeat(LONGEST))), None);
        let deep = format!("/%{}2fevil", "25".repeat(2000));
        assert_eq!(parse(&deep), None);
    }

    #[test]
    fn a148_a_ticket_leads_to_no_strangers_site() {
        for asked in ["/sso?origin=https%3A%2F%2Fevil.test", "/sso", "/sso/?origin=https://shop.other.test"] {
            assert_eq!(parse(asked), Some((asked.to_owned(), None)), "{asked}: named in no policy");
        }
    }

    #[test]
    fn a148_on_an_application_only_its_own_paths_are_good() {
        const SHOP: &str = "https://shop.other.test";
        for (asked, location) in [
            ("/", "/"),
            ("/page?a=b#c", "/page?a=b#c"),
            ("/login", "/login"),
            ("https://shop.other.test/page", "/page"),
            ("/caf%C3%A9", "/caf%C3%A9"),
            ("/_jotgates", "/_jotgates"),
        ] {
            assert_eq!(on_application(asked, SHOP).as_deref(), Some(location), "{asked}");
        }
        for asked in [
            "",
            "page",
            "//evil.test",
            "/\\evil.test",
            "/%2f/evil.test",
            "/%5cevil.test",
            "/..//evil.test",
            "/a/../b",
            "/\t/evil",
            "https://evil.test/",
            "https://shop.other.test",
            "https://shop.other.test:8443/",
            "https://shop.other.test.evil/",
            "https://shop.other.test@evil.test/",
            "https://shop.other.test//evil.test",
            "javascript:alert(1)",
            // Round and round.
            "/_jotgate",
            "/_jotgate/start?return_to=/",
            "/_jotgate/finish",
            "/%5fjotgate/start",
            "/_JOTGATE/start",
        ] {
            assert_eq!(on_application(asked, SHOP), None, "{asked:?}");
        }
        assert_eq!(on_application(&format!("/{}", "a".repeat(LONGEST)), SHOP), None);
    }

    #[test]
    fn without_a_domain_only_trusted_origins_are_others() {
        let rules = Rules {
            mount: "",
            own: &["http://localhost:8080".to_owned()],
            trusted: &[],
            applications: &[],
            domain: None,
        };
        for asked in ["https://wiki.example.com/", "https://localhost:8080/x", "http://localhost/x"] {
            assert_eq!(ReturnTo::parse(asked, rules), None, "{asked}");
        }
        assert_eq!(ReturnTo::parse("http://localhost:8080/x", rules).unwrap().location(), "/x");
    }

    #[test]
    fn people_are_told_the_host() {
        let rules = Rules {
            mount: "",
            own: &[],
            trusted: &["http://localhost:3000".to_owned()],
            applications: &[],
            domain: None,
        };
        let to = ReturnTo::parse("http://localhost:3000/a", rules).unwrap();
        assert_eq!((to.host(), to.origin()), (Some("localhost:3000"), Some("http://localhost:3000")));
        assert_eq!(ReturnTo::parse("/a", rules).unwrap().host(), None);
    }
}
