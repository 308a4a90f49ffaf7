//! Our cookies: read strictly, written in one place (RFC 6265, and its successor draft for the prefixes).
//!
//! Where `public_url` is https every cookie is `Secure` and its name has a prefix that browsers enforce:
//! `__Host-` (this host only), or `__Secure-` for an access cookie with a Domain. On http neither.

use std::fmt;

use http::header::{COOKIE, HeaderMap, HeaderValue};

use super::error::{ApiError, Code};
use crate::config::{self, Mount, Origin, SameSite};

/// What a cookie's name and value may take together; browsers drop those beyond 4,096 bytes in silence.
pub const SIZE_BUDGET: usize = 4000;

/// Browsers keep no cookie for longer: 400 days.
const LONGEST_AGE: u64 = 400 * 24 * 60 * 60;

/// Bytes of the headers that clear one cookie in many scopes: more than proxies take is no answer.
const CLEAR_BUDGET: usize = 8 * 1024;

/// Cookies without rights: they help a flow, they prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// State of a login with an upstream provider.
    Flow,
    /// What the form token is bound to ([`super::csrf`]).
    Form,
    /// A device that the user has signed in from.
    Device,
}

/// The cookies of this installation: their names, and how they are written.
#[derive(Debug)]
pub struct Cookies {
    access: String,
    session: String,
    flow: String,
    form: String,
    device: String,
    /// Of the access cookie; without the leading dot.
    domain: Option<String>,
    access_same_site: SameSite,
    secure: bool,
    /// Domains that reach this host, itself included: where a sibling may have put a cookie of our name.
    parents: Vec<String>,
    /// Below which path our own are.
    mount: Mount,
    /// Ready to send: the access cookie gone from every scope but the current one.
    clear_past: Vec<HeaderValue>,
    clear_access: HeaderValue,
    clear_session: HeaderValue,
}

/// Our cookies in one request. One whose value has octets that no cookie of ours has is there and empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent<'h> {
    pub access: Option<&'h str>,
    pub session: Option<&'h str>,
    pub flow: Option<&'h str>,
    pub form: Option<&'h str>,
    pub device: Option<&'h str>,
}

impl Sent<'_> {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Sent::default()
    }
}

/// Two cookies of one of our names: nobody can say which of them is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate<'c> {
    /// Name with prefix.
    pub name: &'c str,
}

/// The cookie would be larger than [`SIZE_BUDGET`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    pub size: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a cookie of {} bytes exceeds {SIZE_BUDGET}", self.size)
    }
}

impl std::error::Error for TooLarge {}

impl From<TooLarge> for ApiError {
    fn from(error: TooLarge) -> Self {
        Self::new(Code::TooManyRoles).log(error)
    }
}

impl Cookies {
    /// `past_domains`: every `cookie.domain` that this installation has had, which the database remembers.
    #[must_use]
    pub fn new(config: &config::Cookie, public_url: &Origin, mount: &Mount, past_domains: &[String]) -> Self {
        let secure = public_url.https;
        let host_prefix = if secure { "__Host-" } else { "" };
        let domain_prefix = if secure { "__Secure-" } else { "" };
        let on_host = format!("{host_prefix}{}", config.name);
        let on_domain = format!("{domain_prefix}{}", config.name);
        let plain = |domain: &str| domain.trim_start_matches('.').to_ascii_lowercase();
        let domain = config.domain.as_deref().map(plain);
        let same_site = config.same_site;

        let mut clear_past = Vec::new();
        if domain.is_some() {
            clear_past.extend(clear(&on_host, None, "/", secure, same_site));
        }
        let mut seen: Vec<String> = domain.iter().cloned().collect();
        for past in past_domains.iter().map(|d| plain(d)) {
            if !seen.contains(&past) {
                clear_past.extend(clear(&on_domain, Some(&past), "/", secure, same_site));
                seen.push(past);
            }
        }
        let access = if domain.is_some() { on_domain } else { on_host };
        let helper = |suffix: &str| format!("{host_prefix}{}_{suffix}", config.name);
        let session = helper("session");
        let nothing = HeaderValue::from_static("");
        Self {
            clear_access: clear(&access, domain.as_deref(), "/", secure, same_site)
                .unwrap_or_else(|| nothing.clone()),
            clear_session: clear(&session, None, "/", secure, SameSite::Lax).unwrap_or(nothing),
            access,
            session,
            flow: helper("flow"),
            form: helper("form"),
            device: helper("device"),
            domain,
            access_same_site: same_site,
            secure,
            parents: parents(&public_url.host),
            mount: mount.clone(),
            clear_past,
        }
    }

    /// Name of the access cookie, prefix included.
    #[must_use]
    pub fn access_name(&self) -> &str {
        &self.access
    }

    /// Name of the session cookie, prefix included.
    #[must_use]
    pub fn session_name(&self) -> &str {
        &self.session
    }

    /// The most bytes that an access token may take for its cookie to fit [`SIZE_BUDGET`].
    #[must_use]
    pub fn access_budget(&self) -> usize {
        SIZE_BUDGET.saturating_sub(self.access.len() + 1)
    }

    /// Our cookies among those of all `Cookie` fields, which over HTTP/2 are one string (RFC 9113 §8.2.3).
    /// Others' are passed over, whatever they look like.
    ///
    /// # Errors
    /// [`Duplicate`] where one of our names occurs twice, even with equal values.
    pub fn read<'h>(&self, headers: &'h HeaderMap) -> Result<Sent<'h>, Duplicate<'_>> {
        let mut sent = Sent::default();
        for field in headers.get_all(COOKIE) {
            for pair in pairs(field.as_bytes()) {
                let pair = pair.trim_ascii();
                let Some(at) = memchr::memchr(b'=', pair) else { continue };
                let (name, rest) = pair.split_at(at);
                let name = name.trim_ascii_end();
                let (name, slot) = if name == self.access.as_bytes() {
                    (&self.access, &mut sent.access)
                } else if name == self.session.as_bytes() {
                    (&self.session, &mut sent.session)
                } else if name == self.form.as_bytes() {
                    (&self.form, &mut sent.form)
                } else if name == self.device.as_bytes() {
                    (&self.device, &mut sent.device)
                } else if name == self.flow.as_bytes() {
                    (&self.flow, &mut sent.flow)
                } else {
                    continue;
                };
                let value = rest.get(1..).unwrap_or_default().trim_ascii_start();
                let value = if is_cookie_value(value) { value } else { b"" };
                // Cookie octets are ASCII.
                if slot.replace(std::str::from_utf8(value).unwrap_or_default()).is_some() {
                    return Err(Duplicate { name });
                }
            }
        }
        Ok(sent)
    }

    /// As [`Self::read`]; two cookies of one name become the refusal that clears both.
    ///
    /// # Errors
    /// 400 `ambiguous_credentials`, with every scope that `path` can have received the cookie from cleared.
    pub fn read_or_clear<'h>(&self, headers: &'h HeaderMap, path: &str) -> Result<Sent<'h>, ApiError> {
        self.read(headers).map_err(|twice| refuse(twice, self.clear_everywhere(twice.name, path)))
    }

    /// As [`Self::read_or_clear`], of a request that went to another program, which a proxy asks about: to `host`,
    /// which has its own parents, and to `path` there, as it was sent.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn read_or_clear_at<'h>(
        &self,
        headers: &'h HeaderMap,
        host: &str,
        path: &str,
    ) -> Result<Sent<'h>, ApiError> {
        self.read(headers)
            .map_err(|twice| refuse(twice, self.clear_in(twice.name, &parents(host), ancestors(path))))
    }

    /// Whether one of our cookies is among those sent, twice or once.
    #[must_use]
    pub fn any_sent(&self, headers: &HeaderMap) -> bool {
        self.read(headers).map_or(true, |sent| !sent.is_empty())
    }

    /// The access cookie, for as long as the token lives (seconds), and the same cookie cleared in every scope
    /// used before.
    ///
    /// # Errors
    /// [`TooLarge`]; nothing is written.
    pub fn access(&self, token: &str, max_age: u64) -> Result<Vec<HeaderValue>, TooLarge> {
        let cookie =
            self.write(&self.access, token, max_age, self.domain.as_deref(), self.access_same_site)?;
        let mut all = Vec::with_capacity(1 + self.clear_past.len());
        all.push(cookie);
        all.extend(self.clear_past.iter().cloned());
        Ok(all)
    }

    /// The session cookie: this host only and always Lax, whatever the access cookie is.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn session(&self, refresh_token: &str, max_age: u64) -> Result<HeaderValue, TooLarge> {
        self.write(&self.session, refresh_token, max_age, None, SameSite::Lax)
    }

    /// A helper cookie: this host only, Lax. A `max_age` of 0 clears it.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn helper(&self, helper: Helper, value: &str, max_age: u64) -> Result<HeaderValue, TooLarge> {
        let name = match helper {
            Helper::Flow => &self.flow,
            Helper::Form => &self.form,
            Helper::Device => &self.device,
        };
        self.write(name, value, max_age, None, SameSite::Lax)
    }

    /// Ends both cookies of a login, in the current and every past scope.
    pub fn clear(&self) -> impl Iterator<Item = HeaderValue> + '_ {
        [&self.clear_access, &self.clear_session].into_iter().chain(&self.clear_past).cloned()
    }

    /// Clears the cookie `name` wherever a request for `path` can have received it from: our own scope, and the
    /// domains above and paths below it that another application may have used.
    #[must_use]
    pub fn clear_everywhere(&self, name: &str, path: &str) -> Vec<HeaderValue> {
        // A handler of ours sees its path without the part below which the server is nested, one of the application
        // around it sees the whole.
        let nested = self.mount.of(path);
        let mut paths = [ancestors(path), ancestors(&nested)].concat();
        paths.sort_unstable();
        paths.dedup();
        self.clear_in(name, &self.parents, paths)
    }

    /// Clears it for this host alone and for each of `domains`, in each of `paths`, until the budget is used up.
    fn clear_in(&self, name: &str, domains: &[String], paths: Vec<&str>) -> Vec<HeaderValue> {
        // Browsers let a cookie of this prefix exist in one scope only.
        if name.starts_with("__Host-") {
            return clear(name, None, "/", self.secure, SameSite::Lax).into_iter().collect();
        }
        let scopes = paths.into_iter().flat_map(|path| {
            let domains = std::iter::once(None).chain(domains.iter().map(|d| Some(d.as_str())));
            domains.map(move |domain| (domain, path))
        });
        let mut left = CLEAR_BUDGET;
        scopes
            .filter_map(|(domain, path)| clear(name, domain, path, self.secure, SameSite::Lax))
            .take_while(|line| {
                let fits = line.len() <= left;
                left = left.saturating_sub(line.len());
                fits
            })
            .collect()
    }

    /// Whether other sites' pages that lead here bring the access cookie along.
    pub(crate) fn is_strict(&self) -> bool {
        self.access_same_site == SameSite::Strict
    }

    fn write(
        &self,
        name: &str,
        value: &str,
        max_age: u64,
        domain: Option<&str>,
        same_site: SameSite,
    ) -> Result<HeaderValue, TooLarge> {
        let size = name.len() + 1 + value.len();
        if size > SIZE_BUDGET {
            return Err(TooLarge { size });
        }
        let max_age = max_age.min(LONGEST_AGE);
        // What we write as a value is base64url and dots; anything else would be a slip here, and is not sent.
        let value = if is_cookie_value(value.as_bytes()) { value } else { "" };
        Ok(render(name, value, max_age, domain, "/", self.secure, same_site)
            .unwrap_or(HeaderValue::from_static("")))
    }
}

fn refuse(twice: Duplicate<'_>, cleared: Vec<HeaderValue>) -> ApiError {
    ApiError::new(Code::AmbiguousCredentials)
        .detail("Two cookies of one name were sent; both have been cleared.")
        .log(format_args!("two cookies {}", twice.name))
        .cookies(cleared)
}

/// What stands between the semicolons of a field.
fn pairs(mut field: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if field.is_empty() {
            return None;
        }
        let end = memchr::memchr(b';', field).unwrap_or(field.len());
        let (pair, rest) = field.split_at(end);
        field = rest.get(1..).unwrap_or_default();
        Some(pair)
    })
}

/// `*cookie-octet` (RFC 6265 §4.1.1). Without a way out in the loop, a compiler takes many bytes at once.
fn is_cookie_value(value: &[u8]) -> bool {
    let is_octet = |b: u8| {
        let is_visible = b.wrapping_sub(b'!') <= b'~' - b'!';
        is_visible & (b != b'"') & (b != b',') & (b != b';') & (b != b'\\')
    };
    value.iter().fold(true, |all, b| all & is_octet(*b))
}

fn clear(
    name: &str,
    domain: Option<&str>,
    path: &str,
    secure: bool,
    same_site: SameSite,
) -> Option<HeaderValue> {
    render(name, "", 0, domain, path, secure, same_site)
}

fn render(
    name: &str,
    value: &str,
    max_age: u64,
    domain: Option<&str>,
    path: &str,
    secure: bool,
    same_site: SameSite,
) -> Option<HeaderValue> {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(name.len() + value.len() + 128);
    // Writing to a String does not fail.
    let _ = write!(text, "{name}={value}; Path={path}");
    if let Some(domain) = domain {
        let _ = write!(text, "; Domain={domain}");
    }
    let _ = write!(text, "; Max-Age={max_age}");
    text.push_str(if secure { "; Secure; HttpOnly" } else { "; HttpOnly" });
    text.push_str(match same_site {
        SameSite::Lax => "; SameSite=Lax",
        SameSite::Strict => "; SameSite=Strict",
    });
    HeaderValue::try_from(text).ok()
}

/// `a.b.example.com` → itself, `b.example.com`, `example.com`; nothing for addresses and single labels.
/// Browsers ignore those that are public suffixes.
fn parents(host: &str) -> Vec<String> {
    if host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok() {
        return Vec::new();
    }
    let mut all = Vec::new();
    let mut rest = host;
    while rest.contains('.') && all.len() < 5 {
        all.push(rest.to_owned());
        rest = rest.split_once('.').map_or("", |(_, parent)| parent);
    }
    all
}

/// `/a/b` → `/`, `/a`, `/a/`, `/a/b`: every Path whose cookies a request for it carries (RFC 6265 §5.1.4), the short
/// ones first.
fn ancestors(path: &str) -> Vec<&str> {
    let mut all = vec!["/"];
    // A semicolon ends the attribute: no Path has one, nor ends right before one.
    let end = path
        .find(';')
        .map_or(path.len(), |at| path.get(..at).and_then(|p| p.rfind('/')).map_or(0, |at| at + 1));
    let path = path.get(..end).unwrap_or_default();
    if path.starts_with('/') {
        for (at, _) in path.match_indices('/').skip(1) {
            all.extend([path.get(..at), path.get(..=at)].into_iter().flatten());
        }
        if path.len() > 1 && !path.ends_with('/') {
            all.push(path);
        }
    }
    all
}

#[cfg(test)]
mod tests;
