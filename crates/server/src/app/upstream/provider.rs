//! One provider: what it says of itself, and its keys, each asked for when it is needed and kept.
//!
//! Nobody but the configured issuer says where to ask: its metadata have to name it, and their addresses are https
//! (http only where the issuer itself is on this machine). What was read is good for an hour; where the provider is
//! away, what was read last serves for a day. A key that is not known is asked for at most every thirty seconds, so a
//! stream of invented tokens asks the provider next to nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Request, StatusCode};
use jotgate_domain::Timestamp;
use jotgate_domain::upstream::Preset;
use jotgate_jose::{Algorithm, KeySet};
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use crate::config;
use crate::outbound::Outbound;

/// No question to a provider takes longer; a sign-in asks four at most.
const PATIENCE: Duration = Duration::from_secs(6);
/// For so long what was read is not asked for again.
const FRESH: Duration = Duration::from_secs(3600);
/// For so long it serves where the provider is away.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// After a question that failed, or for a key that is not known, the next one waits for so long.
const COOL_DOWN: Duration = Duration::from_secs(30);

/// A year in seconds: an age that hardly anybody's sign-in at a provider reaches.
const ANY_AGE: u32 = 365 * 24 * 3600;

/// Algorithms of ID tokens that are accepted, where the provider says that it uses them: never a shared secret.
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];

/// Why a provider vouches for nobody. The texts are for the log only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is away, or answers what nobody can use: 503.
    Away(String),
    /// It does not accept the code: 401.
    Code(String),
    /// What it answered proves nothing: 401.
    Token(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(why) | Self::Code(why) | Self::Token(why) => f.write_str(why),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(super) name: String,
    pub(super) config: config::Provider,
    outbound: Outbound,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    metadata: Kept<Metadata>,
    keys: Kept<Keys>,
}

/// What was read, and when it was last asked for.
#[derive(Debug)]
struct Kept<T> {
    read: Option<(Arc<T>, Timestamp)>,
    failed_at: Option<Timestamp>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { read: None, failed_at: None }
    }
}

impl<T> Kept<T> {
    fn within(&self, age: Duration, now: Timestamp) -> Option<Arc<T>> {
        self.read.as_ref().filter(|(_, at)| now.since(*at) < age).map(|(read, _)| Arc::clone(read))
    }

    fn is_cooling(&self, now: Timestamp) -> bool {
        self.failed_at.is_some_and(|at| now.since(at) < COOL_DOWN)
    }

    /// Keeps what was read; of what was not, that it was asked for.
    fn keep(&mut self, asked: Result<T, Trouble>, now: Timestamp) -> Result<Arc<T>, Trouble> {
        match asked {
            Ok(read) => {
                let read = Arc::new(read);
                *self = Self { read: Some((Arc::clone(&read), now)), failed_at: None };
                Ok(read)
            }
            Err(trouble) => {
                self.failed_at = Some(now);
                self.within(KEPT, now).ok_or(trouble)
            }
        }
    }
}

/// What a provider says of itself (OpenID Connect Discovery §3).
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    /// As its tokens name it, with `{tenantid}` where there are many.
    pub(super) issuer: String,
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: String,
    /// Of GitHub: its API.
    pub(super) userinfo_endpoint: Option<String>,
    jwks_uri: String,
    pub(super) algorithms: Vec<Algorithm>,
    /// The client's secret goes into the form rather than into `Authorization`.
    pub(super) secret_in_form: bool,
    /// `iss` comes back with every code (RFC 9207 §3).
    pub(super) names_itself: bool,
}

/// A provider's keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) set: KeySet,
    /// By `kid`: for whom a key vouches, where the set says so (Microsoft).
    pub(super) issuers: HashMap<String, String>,
}

impl Provider {
    pub(super) fn new(name: &str, config: &config::Provider) -> Self {
        // An Outbound of its own: a provider that does not answer takes no place from another.
        let outbound = Outbound::new(PATIENCE);
        Self { name: name.to_owned(), config: config.clone(), outbound, known: Mutex::default() }
    }

    pub(super) fn label(&self) -> &str {
        self.config.label(&self.name)
    }

    /// Whether it is known by its API instead.
    pub(super) fn has_no_id_token(&self) -> bool {
        self.config.preset == Some(Preset::GitHub)
    }

    /// Whether it answers with a form that the browser posts, as Apple does to whoever asks for the address.
    pub(super) fn posts_back(&self) -> bool {
        self.config.preset == Some(Preset::Apple)
    }

    /// Asks it to say when the person signed in there, and where `max_age` is told to have them do so anew if that was
    /// more seconds ago (OpenID Connect Core §3.1.2.1).
    pub(super) fn ask_when(&self, to: &mut Url, max_age: Option<u32>) {
        let mut query = to.query_pairs_mut();
        let asked = match self.config.preset {
            Some(Preset::GitHub) => None,
            // It says so where it is asked like this.
            Some(Preset::Google) => {
                query.append_pair("claims", r#"{"id_token":{"auth_time":{"essential":true}}}"#);
                max_age
            }
            // It says so always.
            Some(Preset::Apple) => max_age,
            // Whoever is asked for an age says it: one that asks nothing of the person.
            _ => max_age.or(Some(ANY_AGE)),
        };
        if let Some(seconds) = asked {
            query.append_pair("max_age", &seconds.to_string());
        }
        // Some take an age of zero for none. Google and Apple know no such prompt.
        let plain = !matches!(self.config.preset, Some(Preset::Google | Preset::Apple));
        if max_age == Some(0) && plain {
            query.append_pair("prompt", "login");
        }
    }

    /// Whether `iss` beside a code is this provider. GitHub's names the path of its endpoints as well.
    pub(super) fn answers_as(&self, issuer: &str, iss: &str) -> bool {
        let rest = iss.strip_prefix(issuer);
        rest == Some("") || self.has_no_id_token() && rest == Some("/login/oauth")
    }

    /// # Errors
    /// [`Trouble::Away`].
    pub(super) async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, Trouble> {
        if self.has_no_id_token() {
            return super::github::metadata(self.config.base()).map(Arc::new).map_err(Trouble::Away);
        }
        let mut known = self.known.lock().await;
        if let Some(fresh) = known.metadata.within(FRESH, now) {
            return Ok(fresh);
        }
        if known.metadata.is_cooling(now) {
            return known.metadata.within(KEPT, now).ok_or_else(|| self.just_failed());
        }
        let asked = self.discover().await;
        self.told(&asked);
        known.metadata.keep(asked, now)
    }

    async fn discover(&self) -> Result<Metadata, Trouble> {
        let (url, issuer) = self.config.discovery();
        let document = self.get("the metadata", &url, None).await?;
        parse_metadata(&document, &issuer).map_err(Trouble::Away)
    }

    /// The keys; with `unknown`, asked for again because a token names one that is not among them.
    ///
    /// # Errors
    /// [`Trouble::Away`].
    pub(super) async fn keys(
        &self,
        metadata: &Metadata,
        now: Timestamp,
        unknown: bool,
    ) -> Result<Arc<Keys>, Trouble> {
        let mut known = self.known.lock().await;
        let age = if unknown { COOL_DOWN } else { FRESH };
        if let Some(fresh) = known.keys.within(age, now) {
            return Ok(fresh);
        }
        if known.keys.is_cooling(now) {
            return known.keys.within(KEPT, now).ok_or_else(|| self.just_failed());
        }
        let asked = self.get("the keys", &metadata.jwks_uri, None).await;
        let asked = asked.and_then(|set| Keys::parse(&set, &metadata.algorithms));
        self.told(&asked);
        known.keys.keep(asked, now)
    }

    fn just_failed(&self) -> Trouble {
        Trouble::Away(format!("{} did not answer moments ago", self.name))
    }

    /// For the operator, once each time it was asked.
    fn told<T>(&self, asked: &Result<T, Trouble>) {
        if let Err(trouble) = asked {
            tracing::warn!(provider = %self.name, error = %trouble, "a provider cannot be used");
        }
    }

    /// A JSON document.
    ///
    /// # Errors
    /// [`Trouble::Away`].
    pub(super) async fn get(&self, what: &str, url: &str, bearer: Option<&str>) -> Result<Value, Trouble> {
        let mut request = Request::get(url).header(ACCEPT, "application/json");
        if let Some(token) = bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Vec::new()).map_err(|_| away(what, "cannot be asked for"))?;
        let (status, answer) = self.ask(what, request).await?;
        if status == StatusCode::OK { Ok(answer) } else { Err(away(what, format!("came with {status}"))) }
    }

    /// A form, and the JSON that it is answered with, whatever the status.
    ///
    /// # Errors
    /// [`Trouble::Away`].
    pub(super) async fn post(
        &self,
        what: &str,
        url: &str,
        form: &[(&str, &str)],
        basic: Option<String>,
    ) -> Result<(StatusCode, Value), Trouble> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = Request::post(url)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(basic) = basic {
            request = request.header(AUTHORIZATION, basic);
        }
        let request = request.body(body.into_bytes()).map_err(|_| away(what, "cannot be asked for"))?;
        self.ask(what, request).await
    }

    async fn ask(&self, what: &str, request: Request<Vec<u8>>) -> Result<(StatusCode, Value), Trouble> {
        let answer = self.outbound.ask(request).await.map_err(|why| away(what, why))?;
        let status = answer.status();
        match serde_json::from_slice(answer.body()) {
            Ok(json) => Ok((status, json)),
            Err(_) => Err(away(what, format!("came with {status} and no JSON"))),
        }
    }
}

pub(super) fn away(what: &str, why: impl fmt::Display) -> Trouble {
    Trouble::Away(format!("{what}: {why}"))
}

impl Keys {
    fn parse(document: &Value, algorithms: &[Algorithm]) -> Result<Self, Trouble> {
        let set = KeySet::from_json_for(&document.to_string(), algorithms)
            .map_err(|error| away("the keys", error))?;
        // A published secret is none.
        let set: KeySet = set.iter().filter(|key| !key.algorithm().is_symmetric()).cloned().collect();
        if set.is_empty() {
            return Err(away("the keys", "none of them can be used"));
        }
        let text = |key: &Value, name: &str| key.get(name).and_then(Value::as_str).map(str::to_owned);
        let keys = document.get("keys").and_then(Value::as_array).into_iter().flatten();
        let issuers = keys.filter_map(|key| Some((text(key, "kid")?, text(key, "issuer")?))).collect();
        Ok(Self { set, issuers })
    }
}

/// Reads the metadata of `issuer`.
///
/// # Errors
/// What is wrong with them, for the operator.
fn parse_metadata(document: &Value, issuer: &str) -> Result<Metadata, String> {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let says = text("issuer").ok_or("the metadata have no issuer")?;
    if says != issuer {
        // RFC 8414 §3.3: whoever answers here is not who was meant.
        return Err(format!("the metadata are of the issuer {says:?}, not of {issuer:?}"));
    }
    let local = Url::parse(issuer).is_ok_and(|url| url.scheme() == "http");
    let endpoint = |name: &str| -> Result<Option<String>, String> {
        let Some(found) = text(name) else { return Ok(None) };
        let path = found.split('?').next().unwrap_or_default();
        let good = if local { config::is_issuer(path) } else { found.starts_with("https://") };
        let parsed = Url::parse(found).is_ok_and(|url| url.fragment().is_none() && url.username().is_empty());
        if good && parsed { Ok(Some(found.to_owned())) } else { Err(format!("its {name} is not https://")) }
    };
    let needed = |name: &str| endpoint(name)?.ok_or_else(|| format!("the metadata have no {name}"));
    let list = |name: &str| -> Option<Vec<&str>> {
        Some(document.get(name)?.as_array()?.iter().filter_map(Value::as_str).collect())
    };
    // RS256 where nothing is said (OpenID Connect Core §15.1).
    let theirs = list("id_token_signing_alg_values_supported").unwrap_or_else(|| vec!["RS256"]);
    let algorithms: Vec<Algorithm> =
        ALGORITHMS.into_iter().filter(|alg| theirs.contains(&alg.name())).collect();
    if algorithms.is_empty() {
        return Err(format!(
            "it signs ID tokens with none of {}",
            ALGORITHMS.map(Algorithm::name).join(", ")
        ));
    }
    let methods = list("token_endpoint_auth_methods_supported");
    let takes = |method: &str| methods.as_ref().is_some_and(|methods| methods.contains(&method));
    let authorization_endpoint = needed("authorization_endpoint")?;
    Ok(Metadata {
        issuer: issuer.to_owned(),
        authorization_endpoint: Url::parse(&authorization_endpoint).map_err(|error| error.to_string())?,
        token_endpoint: needed("token_endpoint")?,
        userinfo_endpoint: endpoint("userinfo_endpoint")?,
        jwks_uri: needed("jwks_uri")?,
        algorithms,
        secret_in_form: takes("client_secret_post") && !takes("client_secret_basic"),
        names_itself: document.get("authorization_response_iss_parameter_supported")
            == Some(&Value::Bool(true)),
    })
}

impl Metadata {
    /// Of a provider without a document of its own.
    pub(super) fn without_id_token(base: &str, authorize: &str, token: String, api: String) -> Option<Self> {
        Some(Self {
            issuer: base.to_owned(),
            authorization_endpoint: Url::parse(authorize).ok()?,
            token_endpoint: token,
            userinfo_endpoint: Some(api),
            jwks_uri: String::new(),
            algorithms: Vec::new(),
            secret_in_form: true,
            names_itself: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "issuer": "https://id.example",
            "authorization_endpoint": "https://id.example/authorize",
            "token_endpoint": "https://id.example/token",
            "jwks_uri": "https://keys.example/jwks",
            "id_token_signing_alg_values_supported": ["HS256", "none", "ES256", "RS256"],
        })
    }

    fn with(name: &str, value: Value) -> Result<Metadata, String> {
        let mut document = document();
        document[name] = value;
        parse_metadata(&document, "https://id.example")
    }

    #[test]
    fn metadata_are_of_the_issuer_and_lead_nowhere_else() {
        let read = parse_metadata(&document(), "https://id.example").unwrap();
        assert_eq!(read.algorithms, [Algorithm::Rs256, Algorithm::Es256], "never HS256, never none");
        assert!(!read.secret_in_form && !read.names_itself && read.userinfo_endpoint.is_none());
        for (name, value) in [
            ("issuer", json!("https://id.example/")),
            ("issuer", json!("https://evil.example")),
            ("issuer", json!(7)),
            ("token_endpoint", json!("http://id.example/token")),
            ("token_endpoint", json!("http://127.0.0.1/token")),
            ("token_endpoint", json!("http://169.254.169.254/latest")),
            ("token_endpoint", json!("file:///etc/passwd")),
            ("token_endpoint", json!("https://user@id.example/token")),
            ("token_endpoint", Value::Null),
            ("userinfo_endpoint", json!("http://id.example/me")),
            ("jwks_uri", json!("")),
            ("authorization_endpoint", json!("javascript:alert(1)")),
            ("id_token_signing_alg_values_supported", json!(["HS256", "none"])),
        ] {
            assert!(with(name, value.clone()).is_err(), "{name} {value}");
        }
        // On this machine, and for one on this machine only.
        let mut local = document();
        local["issuer"] = json!("http://127.0.0.1:4000");
        for (endpoint, good) in [
            ("http://127.0.0.1:4000/token", true),
            ("http://10.0.0.1/token", false),
            ("https://x.example/t", true),
        ] {
            local["token_endpoint"] = json!(endpoint);
            assert_eq!(parse_metadata(&local, "http://127.0.0.1:4000").is_ok(), good, "{endpoint}");
        }
    }

    #[test]
    fn where_the_secret_goes() {
        for (methods, in_form) in [
            (json!(["client_secret_basic", "client_secret_post"]), false),
            (json!(["client_secret_post"]), true),
            (json!(["private_key_jwt"]), false),
            (json!([]), false),
        ] {
            let read = with("token_endpoint_auth_methods_supported", methods).unwrap();
            assert_eq!(read.secret_in_form, in_form);
        }
    }

    #[test]
    fn what_was_read_serves_for_an_hour_and_where_nobody_answers_for_a_day() {
        let now = Timestamp::from_secs(1_795_000_000);
        let later = |seconds| now.plus(Duration::from_secs(seconds));
        let mut kept = Kept::default();
        kept.keep(Ok(1), now).unwrap();
        assert!(kept.within(FRESH, later(3599)).is_some() && kept.within(FRESH, later(3600)).is_none());
        let failed = || Err(Trouble::Away(String::new()));
        assert_eq!(*kept.keep(failed(), later(4000)).unwrap(), 1);
        assert!(kept.is_cooling(later(4029)) && !kept.is_cooling(later(4030)));
        assert!(kept.keep(failed(), later(86_400)).is_err());
        assert_eq!(*kept.keep(Ok(2), later(86_500)).unwrap(), 2);
        assert!(!kept.is_cooling(later(86_501)));
    }
}
