//! Whether a request that changes something comes from where it should: Fetch Metadata, `Origin`, and for the
//! hosted forms a token.
//!
//! The decision is one pure function, [`decide`]; `http::front` applies it before any handler runs. GET and
//! HEAD never change state and are never asked.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue, ORIGIN};

use super::Site;
use super::cookies::{Helper, Sent};
use crate::edge::NoRandomness;

/// Field of a hosted form that carries its token.
pub const FORM_FIELD: &str = "form_token";

pub(super) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How long the cookie that form tokens are bound to lives: a week, in seconds.
const FORM_COOKIE_AGE: u64 = 7 * 24 * 60 * 60;

/// All that the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// GET, HEAD, OPTIONS or TRACE (RFC 9110 §9.2.1).
    pub safe: bool,
    /// `Sec-Fetch-Site`.
    pub site: Stated<'a>,
    pub origin: Stated<'a>,
    /// Our origin, or while it is loopback all that it is called.
    pub own: &'a [String],
    pub trusted: &'a [String],
    /// One of our cookies, helpers included, came along.
    pub has_cookie: bool,
    /// A login or registration: it would set cookies.
    pub enters: bool,
    /// The hosted form's token was there and right.
    pub form_token: bool,
}

/// A header that says where a request is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stated<'a> {
    Not,
    As(&'a str),
    /// Several times, or in bytes that no browser sends.
    Wrongly,
}

impl<'a> Stated<'a> {
    fn of(headers: &'a HeaderMap, name: &HeaderName) -> Self {
        let mut fields = headers.get_all(name).iter();
        match (fields.next(), fields.next()) {
            (None, _) => Self::Not,
            (Some(field), None) => field.to_str().map_or(Self::Wrongly, Self::As),
            (Some(_), Some(_)) => Self::Wrongly,
        }
    }
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The headers say that it is from elsewhere, or contradict each other. No token helps.
    Foreign,
    /// Nothing says where it is from.
    Unproven,
}

/// Whether the request may go on.
///
/// # Errors
/// [`Refused`]: 403 `csrf`.
pub fn decide(facts: &Facts<'_>) -> Result<(), Refused> {
    if facts.safe || !(facts.has_cookie || facts.enters) {
        return Ok(());
    }
    let origin = match facts.origin {
        Stated::Not => Origin::Unstated,
        Stated::As("null") => Origin::Null,
        Stated::As(origin) if facts.own.iter().any(|own| own == origin) => Origin::Own,
        Stated::As(origin) if facts.trusted.iter().any(|trusted| trusted == origin) => Origin::Trusted,
        Stated::As(_) | Stated::Wrongly => Origin::Foreign,
    };
    match (facts.site, origin) {
        (_, Origin::Foreign) | (Stated::Wrongly, _) => Err(Refused::Foreign),
        // A page with `Referrer-Policy: no-referrer`, such as ours, posts with `Origin: null`.
        (Stated::As("same-origin"), Origin::Own | Origin::Null | Origin::Unstated) => Ok(()),
        (Stated::As("same-origin"), Origin::Trusted) => Err(Refused::Foreign),
        (Stated::As("same-site" | "cross-site"), Origin::Trusted) => Ok(()),
        // While it is loopback our origin has several names, and browsers take them for different sites.
        (Stated::As("same-site" | "cross-site"), Origin::Own) if facts.own.len() > 1 => Ok(()),
        (Stated::As("same-site" | "cross-site"), _) => Err(Refused::Foreign),
        (Stated::Not | Stated::As("none"), Origin::Own | Origin::Trusted) => Ok(()),
        (Stated::Not | Stated::As("none"), Origin::Null | Origin::Unstated) if facts.form_token => Ok(()),
        // No browser: none of ours to abuse, and nothing that one would have said.
        (Stated::Not, Origin::Unstated) if facts.enters && !facts.has_cookie => Ok(()),
        (Stated::Not | Stated::As("none"), Origin::Null | Origin::Unstated) => Err(Refused::Unproven),
        (Stated::As(_), _) => Err(Refused::Foreign),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Unstated,
    /// `Origin: null`: the browser does not say.
    Null,
    Own,
    Trusted,
    Foreign,
}

impl<'a> Facts<'a> {
    /// What a request says, with no form token looked at yet.
    #[must_use]
    pub fn of(site: &'a Site, method: &Method, headers: &'a HeaderMap, enters: bool) -> Self {
        let safe = method.is_safe();
        Self {
            safe,
            site: Stated::of(headers, &SEC_FETCH_SITE),
            origin: Stated::of(headers, &ORIGIN),
            own: &site.own_origins,
            trusted: &site.trusted_origins,
            has_cookie: !safe && site.cookies.any_sent(headers),
            enters,
            form_token: false,
        }
    }
}

/// What a hosted form needs: the hidden field's value, and the cookie to set where there was none.
#[derive(Clone, Debug)]
pub struct FormToken {
    pub token: String,
    pub cookie: Option<HeaderValue>,
}

/// The token of a form shown to whoever sent these cookies. It proves nothing but that the form was shown to
/// this browser.
///
/// # Errors
/// [`NoRandomness`], where a new cookie is needed.
pub fn form_token(site: &Site, sent: &Sent<'_>) -> Result<FormToken, NoRandomness> {
    if let Some(seed) = sent.form.filter(|seed| is_seed(seed)) {
        return Ok(FormToken { token: URL_SAFE_NO_PAD.encode(tag(site, seed)), cookie: None });
    }
    let seed = URL_SAFE_NO_PAD.encode(site.edge.random::<16>()?);
    Ok(FormToken {
        token: URL_SAFE_NO_PAD.encode(tag(site, &seed)),
        cookie: site.cookies.helper(Helper::Form, &seed, FORM_COOKIE_AGE).ok(),
    })
}

/// Whether `token` is the one that [`form_token`] made for these cookies; compared in constant time.
#[must_use]
pub fn is_form_token(site: &Site, sent: &Sent<'_>, token: &str) -> bool {
    let Some(seed) = sent.form.filter(|seed| is_seed(seed)) else { return false };
    let Ok(tag) = URL_SAFE_NO_PAD.decode(token) else { return false };
    hmac::verify(&site.form_key, &message(seed), &tag).is_ok()
}

fn tag(site: &Site, seed: &str) -> hmac::Tag {
    hmac::sign(&site.form_key, &message(seed))
}

fn message(seed: &str) -> Vec<u8> {
    [b"jotgate form 1\0", seed.as_bytes()].concat()
}

/// 16 bytes in base64url, as we make them.
fn is_seed(text: &str) -> bool {
    text.len() == 22 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::site::tests::site;

    const OWN: &str = "https://id.example.com";
    const TRUSTED: &str = "https://app.example.com";

    /// `true`: passes.
    fn passes(
        site: Stated<'_>,
        origin: Stated<'_>,
        has_cookie: bool,
        enters: bool,
        form_token: bool,
    ) -> bool {
        let (own, trusted) = (&[OWN.to_owned()][..], &[TRUSTED.to_owned()][..]);
        decide(&Facts { safe: false, site, origin, own, trusted, has_cookie, enters, form_token }).is_ok()
    }

    #[test]
    fn a76_a77_a78_a79_every_combination_of_what_a_browser_says() {
        use Stated::{As, Not, Wrongly};
        // Site, origin; whether it passes with a cookie, as a login without one, and with a form token.
        let table: &[(Stated<'_>, Stated<'_>, bool, bool, bool)] = &[
            // Our own page.
            (As("same-origin"), As(OWN), true, true, true),
            (As("same-origin"), As("null"), true, true, true),
            (As("same-origin"), Not, true, true, true),
            // Headers that disagree.
            (As("same-origin"), As(TRUSTED), false, false, false),
            (As("same-origin"), As("https://evil.example"), false, false, false),
            (As("cross-site"), As(OWN), false, false, false),
            (As("same-site"), As(OWN), false, false, false),
            // A trusted application.
            (As("same-site"), As(TRUSTED), true, true, true),
            (As("cross-site"), As(TRUSTED), true, true, true),
            (As("none"), As(TRUSTED), true, true, true),
            (Not, As(TRUSTED), true, true, true),
            // Anybody else.
            (As("cross-site"), As("https://evil.example"), false, false, false),
            (As("cross-site"), As("null"), false, false, false),
            (As("cross-site"), Not, false, false, false),
            (As("same-site"), As("https://sibling.example.com"), false, false, false),
            (As("same-site"), As("null"), false, false, false),
            (As("same-site"), Not, false, false, false),
            // Browsers without Fetch Metadata.
            (Not, As(OWN), true, true, true),
            (Not, As("https://evil.example"), false, false, false),
            (Not, As("https://id.example.com.evil"), false, false, false),
            (Not, As("https://id.example.com:8443"), false, false, false),
            (Not, As("http://id.example.com"), false, false, false),
            (Not, As("https://sub.id.example.com"), false, false, false),
            (Not, As("https://example.com"), false, false, false),
            (Not, As("https://evil-app.example.com"), false, false, false),
            (Not, As("https://id.example.com/"), false, false, false),
            (Not, As("HTTPS://ID.EXAMPLE.COM"), false, false, false),
            (Not, As(""), false, false, false),
            (Not, As("null"), false, false, true),
            // Typed, bookmarked, posted again after a reload.
            (As("none"), As(OWN), true, true, true),
            (As("none"), As("null"), false, false, true),
            (As("none"), Not, false, false, true),
            (As("none"), As("https://evil.example"), false, false, false),
            // No browser, or one that hides everything.
            (Not, Not, false, true, true),
            // What no browser sends.
            (As("same-origin, same-origin"), As(OWN), false, false, false),
            (As("SAME-ORIGIN"), As(OWN), false, false, false),
            (As(""), As(OWN), false, false, false),
            (Wrongly, As(OWN), false, false, false),
            (As("same-origin"), Wrongly, false, false, false),
            (Not, Wrongly, false, false, false),
        ];
        for (site, origin, cookie, login, token) in table {
            let case = format!("{site:?} {origin:?}");
            assert_eq!(passes(*site, *origin, true, false, false), *cookie, "cookie: {case}");
            assert_eq!(passes(*site, *origin, true, true, false), *cookie, "login with a cookie: {case}");
            assert_eq!(passes(*site, *origin, false, true, false), *login, "login without one: {case}");
            assert_eq!(passes(*site, *origin, true, false, true), *token, "form token: {case}");
            // Neither carries a cookie nor sets one: nothing that a stranger could borrow.
            assert!(passes(*site, *origin, false, false, false), "not covered: {case}");
        }
    }

    #[test]
    fn on_loopback_three_names_are_one_origin() {
        let site = site("http://127.0.0.1:8080");
        for own in ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"] {
            for (fetch_site, expected) in
                [("same-origin", true), ("same-site", true), ("cross-site", true), ("sideways", false)]
            {
                let mut headers = HeaderMap::new();
                headers.insert(ORIGIN, own.parse().unwrap());
                headers.insert(SEC_FETCH_SITE, fetch_site.parse().unwrap());
                headers.insert("cookie", "jwt=x".parse().unwrap());
                let facts = Facts::of(&site, &Method::POST, &headers, false);
                assert!(facts.has_cookie);
                assert_eq!(decide(&facts).is_ok(), expected, "{own} {fetch_site}");
            }
        }
        for foreign in
            ["http://localhost", "http://localhost:8081", "https://localhost:8080", "http://127.0.0.2:8080"]
        {
            let mut headers = HeaderMap::new();
            headers.insert(ORIGIN, foreign.parse().unwrap());
            assert_eq!(
                decide(&Facts::of(&site, &Method::POST, &headers, true)),
                Err(Refused::Foreign),
                "{foreign}"
            );
        }
    }

    #[test]
    fn safe_methods_are_never_asked() {
        let site = site(OWN);
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, "https://evil.example".parse().unwrap());
        headers.insert("cookie", "__Host-jwt=x".parse().unwrap());
        for (method, expected) in [
            (Method::GET, true),
            (Method::HEAD, true),
            (Method::OPTIONS, true),
            (Method::POST, false),
            (Method::PUT, false),
            (Method::DELETE, false),
            (Method::PATCH, false),
            (Method::from_bytes(b"get").unwrap(), false),
            (Method::from_bytes(b"LINK").unwrap(), false),
        ] {
            assert_eq!(decide(&Facts::of(&site, &method, &headers, false)).is_ok(), expected, "{method}");
        }
        headers.append("cookie", "__Host-jwt=y".parse().unwrap());
        assert!(
            decide(&Facts::of(&site, &Method::POST, &headers, false)).is_err(),
            "two cookies are cookies"
        );
    }

    #[test]
    fn a_form_token_is_good_for_its_cookie_only() {
        let site = site(OWN);
        let issued = form_token(&site, &Sent::default()).unwrap();
        let cookie = issued.cookie.unwrap().to_str().unwrap().to_owned();
        assert!(
            cookie.starts_with("__Host-jwt_form=") && cookie.contains("; Max-Age=604800; Secure; HttpOnly")
        );
        let seed = cookie.split(['=', ';']).nth(1).unwrap();
        let sent = Sent { form: Some(seed), ..Sent::default() };
        assert!(is_form_token(&site, &sent, &issued.token));
        let again = form_token(&site, &sent).unwrap();
        assert_eq!(again.token, issued.token);
        assert!(again.cookie.is_none(), "other tabs keep theirs");

        let other = form_token(&site, &Sent::default()).unwrap();
        assert_ne!(other.token, issued.token);
        for wrong in [other.token.as_str(), "", seed, &issued.token[1..], &issued.token.replace('-', "+")] {
            if wrong != issued.token {
                assert!(!is_form_token(&site, &sent, wrong), "{wrong}");
            }
        }
        for none in [None, Some(""), Some("AAAAAAAAAAAAAAAAAAAAAA")] {
            assert!(!is_form_token(&site, &Sent { form: none, ..Sent::default() }, &issued.token));
        }
    }
}
