//! `providers.NAME`: whom users may sign in with, and what of it a preset knows already.

use std::fmt;

use jotgate_domain::upstream::Preset;
use jotgate_jose::{Algorithm, SigningKey};
use url::Url;
use zeroize::Zeroizing;

use super::{Config, Origin};

/// One section `providers.NAME`; what is left open is the preset's.
#[derive(Clone, Debug, Default)]
pub struct Provider {
    pub preset: Option<Preset>,
    pub issuer: Option<String>,
    pub client_id: String,
    pub client_secret: Option<Secret>,
    pub label: Option<String>,
    /// Empty: the preset's.
    pub scopes: Vec<String>,
    /// Where applications that sign in by `POST /auth/login` have their codes sent.
    pub redirect_uris: Vec<String>,
    pub trust_email: Option<bool>,
    pub registration: Option<bool>,
    /// Microsoft's.
    pub tenant: Option<String>,
    /// Apple's, as the two below.
    pub team_id: Option<String>,
    pub key_id: Option<String>,
    pub private_key: Option<Secret>,
}

/// Text that is never printed, and wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Tenants of Microsoft that stand for many.
const MANY_TENANTS: [&str; 2] = ["common", "organizations"];
/// The tenant of all personal Microsoft accounts.
const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// What `preset` can be.
pub(super) const PRESETS: [(&str, Preset); 5] = [
    ("google", Preset::Google),
    ("microsoft", Preset::Microsoft),
    ("github", Preset::GitHub),
    ("gitlab", Preset::GitLab),
    ("apple", Preset::Apple),
];

impl Provider {
    /// Where the provider is: its issuer, or of GitHub and Microsoft the address that all of theirs begin with.
    #[must_use]
    pub fn base(&self) -> &str {
        self.issuer.as_deref().unwrap_or(match self.preset {
            Some(Preset::Google) => "https://accounts.google.com",
            Some(Preset::Microsoft) => "https://login.microsoftonline.com",
            Some(Preset::GitHub) => "https://github.com",
            Some(Preset::GitLab) => "https://gitlab.com",
            Some(Preset::Apple) => "https://appleid.apple.com",
            None => "",
        })
    }

    /// Where its metadata are (OpenID Connect Discovery §4), and the issuer that they have to name, which of one with
    /// many tenants has `{tenantid}` in it.
    #[must_use]
    pub fn discovery(&self) -> (String, String) {
        let base = self.base();
        if self.preset != Some(Preset::Microsoft) {
            let path = base.trim_end_matches('/');
            return (format!("{path}/.well-known/openid-configuration"), base.to_owned());
        }
        let tenant = match self.tenant.as_deref().unwrap_or("common") {
            "consumers" => CONSUMERS,
            tenant => tenant,
        };
        let issuer = if MANY_TENANTS.contains(&tenant) { "{tenantid}" } else { tenant };
        (format!("{base}/{tenant}/v2.0/.well-known/openid-configuration"), format!("{base}/{issuer}/v2.0"))
    }

    /// What stands on the button, after "Continue with".
    #[must_use]
    pub fn label<'a>(&'a self, name: &'a str) -> &'a str {
        self.label.as_deref().unwrap_or(match self.preset {
            Some(Preset::Google) => "Google",
            Some(Preset::Microsoft) => "Microsoft",
            Some(Preset::GitHub) => "GitHub",
            Some(Preset::GitLab) => "GitLab",
            Some(Preset::Apple) => "Apple",
            None => name,
        })
    }

    #[must_use]
    pub fn scope(&self) -> String {
        if !self.scopes.is_empty() {
            return self.scopes.join(" ");
        }
        match self.preset {
            Some(Preset::GitHub) => "read:user user:email",
            Some(Preset::Apple) => "openid email",
            _ => "openid email profile",
        }
        .to_owned()
    }

    /// The name of its preset.
    #[must_use]
    pub fn preset_name(&self) -> Option<&'static str> {
        PRESETS.iter().find(|(_, preset)| Some(*preset) == self.preset).map(|(name, _)| *name)
    }

    /// Whether it can say when somebody signed in there.
    #[must_use]
    pub fn tells_when(&self) -> bool {
        self.preset != Some(Preset::GitHub)
    }

    /// Whether an address that it vouches for counts as proven here. Of the presets all are known to mean it; of a
    /// provider of one's own its operator has to say so, and of Microsoft, where others write addresses into
    /// accounts.
    #[must_use]
    pub fn trusts_email(&self) -> bool {
        self.trust_email.unwrap_or(match self.preset {
            // One of one's own may not ask for proof, nor be who the preset is about.
            Some(Preset::Google | Preset::GitHub | Preset::Apple | Preset::GitLab) => self.issuer.is_none(),
            Some(Preset::Microsoft) | None => false,
        })
    }
}

/// An address of a provider: https, or http on this machine; no query, no fragment, no user.
pub(crate) fn is_issuer(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let origin = text.split('/').take(3).collect::<Vec<_>>().join("/");
    plain && Origin::parse(&origin).is_ok_and(|origin| origin.https || origin.is_loopback())
}

/// Where a code may be sent: https, http on this machine, or a scheme of an application's own (RFC 8252 §7.1).
pub(super) fn is_redirect_uri(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let scheme = url.scheme();
    url.fragment().is_none()
        && text.bytes().all(|b| b.is_ascii_graphic())
        && match scheme {
            "https" => true,
            "http" => is_issuer(text.split('?').next().unwrap_or_default()),
            _ => scheme.contains('.'),
        }
}

/// What is wrong with a provider as a whole: the key to look at, and a sentence without its full stop.
pub(super) fn broken(config: &Config) -> Vec<(String, String)> {
    config
        .providers
        .iter()
        .filter_map(|(name, provider)| {
            let (key, message) = fault(provider)?;
            Some((format!("providers.{name}.{key}"), message))
        })
        .collect()
}

fn fault(provider: &Provider) -> Option<(&'static str, String)> {
    let wrong = |key, message: &str| Some((key, message.to_owned()));
    let apple = provider.preset == Some(Preset::Apple);
    let tenant = provider.tenant.as_deref();
    if provider.preset.is_none() && provider.issuer.is_none() {
        return wrong(
            "issuer",
            "is missing: the issuer's address, such as https://accounts.example.com, or a preset: google, microsoft, github, gitlab or apple",
        );
    }
    if provider.client_id.is_empty() {
        return wrong(
            "client_id",
            "is missing: the provider gives it to whoever registers this server there",
        );
    }
    if tenant.is_some() && provider.preset != Some(Preset::Microsoft) {
        return wrong("tenant", "is for preset microsoft only");
    }
    if tenant.is_some_and(|tenant| {
        !MANY_TENANTS.contains(&tenant)
            && tenant != "consumers"
            && (tenant.len() != 36 || uuid::Uuid::try_parse(tenant).is_err())
    }) {
        return wrong("tenant", "is none: the tenant's id (a UUID), or common, organizations or consumers");
    }
    let apples = [
        ("team_id", provider.team_id.is_some()),
        ("key_id", provider.key_id.is_some()),
        ("private_key", provider.private_key.is_some()),
    ];
    if let Some((key, set)) = apples.iter().find(|(_, set)| *set != apple) {
        return wrong(
            key,
            if *set {
                "is for preset apple only"
            } else {
                "is missing: with preset apple a client secret is made of team_id, key_id and private_key"
            },
        );
    }
    if let Some(key) = &provider.private_key
        && SigningKey::from_pem(Algorithm::Es256, key.expose()).is_err()
    {
        return wrong("private_key", "is no key: the text of the .p8 file that Apple gave out");
    }
    if apple && provider.client_secret.is_some() {
        return wrong("client_secret", "is made of private_key with preset apple: leave it out");
    }
    if provider.preset == Some(Preset::GitHub) && provider.client_secret.is_none() {
        return wrong("client_secret", "is missing: GitHub gives no code away without it");
    }
    let openid = provider.scopes.is_empty() || provider.scopes.iter().any(|scope| scope == "openid");
    if provider.preset != Some(Preset::GitHub) && !openid {
        return wrong("scopes", "lacks openid: without it there is no ID token");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_of_ones_own_is_not_trusted_with_addresses() {
        for (preset, trusted) in [
            (Some(Preset::Google), true),
            (Some(Preset::GitHub), true),
            (Some(Preset::Apple), true),
            (Some(Preset::GitLab), true),
            (Some(Preset::Microsoft), false),
            (None, false),
        ] {
            let known = Provider { preset, ..Provider::default() };
            assert_eq!(known.trusts_email(), trusted, "{preset:?}");
            let own = Provider { issuer: Some("https://git.example.com".to_owned()), ..known };
            assert!(!own.trusts_email(), "{preset:?}");
            assert!(Provider { trust_email: Some(true), ..own }.trusts_email());
        }
    }

    #[test]
    fn addresses_of_providers() {
        for good in [
            "https://accounts.example.com",
            "https://id.example.com/realms/main",
            "https://id.example.com:8443/a/",
            "http://127.0.0.1:4000",
            "http://localhost:4000/x",
        ] {
            assert!(is_issuer(good), "{good}");
        }
        for bad in [
            "",
            "accounts.example.com",
            "http://accounts.example.com",
            "ftp://x.example",
            "https://a@x.example",
            "https://x.example?a",
            "https://x.example#a",
            "https://",
        ] {
            assert!(!is_issuer(bad), "{bad}");
        }
        for (uri, good) in [
            ("https://app.example.com/cb?x=1", true),
            ("http://127.0.0.1:3000/cb", true),
            ("com.example.app:/cb", true),
            ("http://app.example.com/cb", false),
            ("https://app.example.com/cb#x", false),
            ("javascript:alert(1)", false),
            ("https://app.example.com/ c", false),
        ] {
            assert_eq!(is_redirect_uri(uri), good, "{uri}");
        }
    }

    #[test]
    fn where_a_provider_says_who_it_is() {
        let of = |preset, issuer: Option<&str>, tenant: Option<&str>| {
            let provider = Provider {
                preset,
                issuer: issuer.map(str::to_owned),
                tenant: tenant.map(str::to_owned),
                ..Provider::default()
            };
            let (url, issuer) = provider.discovery();
            (url.trim_end_matches("/.well-known/openid-configuration").to_owned(), issuer)
        };
        let is = |url: &str, issuer: &str| (url.to_owned(), issuer.to_owned());
        let google = "https://accounts.google.com";
        assert_eq!(of(Some(Preset::Google), None, None), is(google, google));
        // The slash at the end belongs to the name.
        assert_eq!(of(None, Some("https://x.example/"), None), is("https://x.example", "https://x.example/"));
        let microsoft = |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/v2.0");
        let ask = |tenant| of(Some(Preset::Microsoft), None, tenant);
        assert_eq!(ask(None), is(&microsoft("common"), &microsoft("{tenantid}")));
        assert_eq!(ask(Some("consumers")), is(&microsoft(CONSUMERS), &microsoft(CONSUMERS)));
        assert_eq!(ask(Some(CONSUMERS)), is(&microsoft(CONSUMERS), &microsoft(CONSUMERS)));
    }

    #[test]
    fn secrets_are_not_printed() {
        let provider = Provider { client_secret: Some(Secret::new("s3cret")), ..Provider::default() };
        assert!(!format!("{provider:?}").contains("s3cret"));
    }
}
