//! The table of keys: everything that can be set, one row each, in the order of the reference.

use std::time::Duration;

use jotgate_domain::access::{Access, HostPattern, PathPattern, Rule, method};
use jotgate_domain::audit::Action;
use jotgate_domain::name::RoleName;
use jotgate_domain::webhook::{self as rules, is_name};
use jotgate_jose::Algorithm;

use super::parse::{Expected, Value, shown};
use super::providers::{self, PRESETS};
use super::{Config, LogFormat, MasterKeySource, Provider, SameSite, Secret, Tls, Webhook, webhooks};

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// As in `jotgate.toml`; dots are sections. `NAME` stands for a name that the operator chooses.
    pub name: &'static str,
    pub default: Default,
    /// What kind of value it takes, for the reference.
    pub takes: &'static str,
    /// One line of Markdown.
    pub doc: &'static str,
    /// Never printed; has a `_FILE` form. Of a URL only the password is secret.
    pub secret: bool,
    /// Takes several values: a list in the file, commas in the environment, a flag that can be repeated.
    pub list: bool,
    pub(super) set: Set,
}

/// What holds where a key is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// Written so, it would mean the same.
    Value(&'static str),
    /// Nothing.
    None,
    /// Made of other keys, as described in Markdown.
    Derived(&'static str),
}

#[derive(Debug)]
pub(super) enum Set {
    Plain(fn(&mut Config, &Value) -> Result<(), Expected>),
    /// With what stands for `NAME`.
    Named(fn(&mut Config, &str, &Value) -> Result<(), Expected>),
}

impl Key {
    /// `JOTGATE_TOKEN_ACCESS_TTL`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("JOTGATE_{}", self.name.to_uppercase().replace('.', "_"))
    }

    /// `token-access-ttl`; none for a key with a name in it, which is set with `--set`.
    #[must_use]
    pub fn flag(&self) -> Option<String> {
        match self.set {
            Set::Plain(_) => Some(self.name.replace(['.', '_'], "-")),
            Set::Named(_) => None,
        }
    }

    /// Whether it is on or off, so that its flag needs no value.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        self.takes == "`true` or `false`"
    }
}

const DAY: u64 = 86_400;
/// What browsers keep a cookie for at most (RFC 6265bis §5.5).
const LONGEST_COOKIE: Duration = Duration::from_secs(400 * DAY);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Every key.
pub static KEYS: &[Key] = &[
    Key {
        name: "listen",
        default: Default::Value("127.0.0.1:8080"),
        takes: "`ADDRESS:PORT`",
        doc: "Where the server listens. Port `0` picks a free one; the first line on standard output says which. `:PORT` and `localhost:PORT` mean `127.0.0.1`.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.listen = value.address()?;
            Ok(())
        }),
    },
    Key {
        name: "public_url",
        default: Default::Derived("`http://` + `listen`; `https://` with `tls.*`"),
        takes: "origin",
        doc: "The address under which browsers reach the server: the issuer of its tokens, and the origin that cookies and links belong to. No path. While it is loopback, `localhost`, `127.0.0.1` and `[::1]` on its port are one origin.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.public_url = Some(value.origin()?);
            Ok(())
        }),
    },
    Key {
        name: "allow_insecure_http",
        default: Default::Value("false"),
        takes: "`true` or `false`",
        doc: "Allows an `http://` origin that is not loopback. Passwords and tokens then cross the network in clear.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.allow_insecure_http = value.bool()?;
            Ok(())
        }),
    },
    Key {
        name: "ops.listen",
        default: Default::None,
        takes: "`ADDRESS:PORT` or `main`",
        doc: "A listener of its own for health, metrics and administration. Without it they are on the main listener only while `public_url` is loopback; `main` puts them there always.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.ops = value.ops()?;
            Ok(())
        }),
    },
    Key {
        name: "data_dir",
        default: Default::Value("./jotgate-data"),
        takes: "path",
        doc: "Where the database and the master key are kept. Made on first start, readable by its owner only.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.data_dir = value.path()?;
            Ok(())
        }),
    },
    Key {
        name: "database_url",
        default: Default::Derived("`sqlite://` + `data_dir` + `/jotgate.db`"),
        takes: "`sqlite://PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`",
        doc: "The database. An absolute path has three slashes: `sqlite:///var/lib/jotgate/jotgate.db`. PostgreSQL 14 or later is for several nodes: see [PostgreSQL](postgresql.md) for its parameters, TLS and poolers.",
        secret: true,
        list: false,
        set: Set::Plain(|config, value| {
            config.database_url = value.database_url()?;
            Ok(())
        }),
    },
    Key {
        name: "master_key_file",
        default: Default::Derived("`data_dir` + `/master.key`, made on first start"),
        takes: "path",
        doc: "A file with the master key, under which private keys rest sealed in the database. It is never made when this is set, and has to stay the same. Keep a copy: without it every signing key is lost.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.master_key = MasterKeySource::File(value.path()?);
            Ok(())
        }),
    },
    Key {
        name: "tls.cert",
        default: Default::None,
        takes: "path",
        doc: "Certificate chain (PEM) for HTTPS in the server itself; reloaded when the file changes. Needs `tls.key`.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            let cert = value.path()?;
            tls(config).cert = cert;
            Ok(())
        }),
    },
    Key {
        name: "tls.key",
        default: Default::None,
        takes: "path",
        doc: "Private key (PEM) of `tls.cert`; reloaded when the file changes.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            let key = value.path()?;
            tls(config).key = key;
            Ok(())
        }),
    },
    Key {
        name: "trusted_proxies",
        default: Default::None,
        takes: "list of addresses and networks",
        doc: "Only these may say in `Forwarded` and `X-Forwarded-*` who the client is. Without it these headers are ignored.",
        secret: false,
        list: true,
        set: Set::Plain(|config, value| {
            config.trusted_proxies = value.networks()?;
            Ok(())
        }),
    },
    Key {
        name: "token.audience",
        default: Default::Derived("`public_url`"),
        takes: "string or list",
        doc: "`aud` of access tokens: who may accept them.",
        secret: false,
        list: true,
        set: Set::Plain(|config, value| {
            const EXPECTED: &str = "one to 16 names or URLs of at most 256 characters each";
            let audience = value.list()?;
            let fits = (1..=16).contains(&audience.len())
                && audience
                    .iter()
                    .all(|name| (1..=256).contains(&name.len()) && !name.chars().any(char::is_control));
            config.token.audience = if fits { audience } else { return Err(EXPECTED.to_owned()) };
            Ok(())
        }),
    },
    Key {
        name: "token.access_ttl",
        default: Default::Value("10m"),
        takes: "duration, `1s` to `1d`",
        doc: "How long an access token lives; 5 to 60 minutes is usual.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.policy.access_ttl = value.duration(seconds(1), seconds(DAY))?;
            Ok(())
        }),
    },
    Key {
        name: "token.algorithm",
        default: Default::Value("ES256"),
        takes: "`HS256` `RS256` `PS256` `ES256` `ES384` `EdDSA`",
        doc: "Signature algorithm of access tokens. With `HS256` the key is a secret that every verifier shares.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.token.algorithm = value.choice(&ALGORITHMS.map(|alg| (alg.name(), alg)))?;
            Ok(())
        }),
    },
    Key {
        name: "session.idle_ttl",
        default: Default::Value("14d"),
        takes: "duration, `1s` to `400d`",
        doc: "A session ends when it has not been used for this long.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.policy.idle_ttl = value.duration(seconds(1), LONGEST_COOKIE)?;
            Ok(())
        }),
    },
    Key {
        name: "session.max_ttl",
        default: Default::Value("90d"),
        takes: "duration, `1s` to `400d`",
        doc: "A session ends after this long, however much it is used.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.policy.max_ttl = value.duration(seconds(1), LONGEST_COOKIE)?;
            Ok(())
        }),
    },
    Key {
        name: "session.max_per_user",
        default: Default::Value("100"),
        takes: "number, 1 to 10000",
        doc: "How many sessions a user may have at once; past it the oldest ends.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.policy.max_per_user = value.number(1, 10_000)?;
            Ok(())
        }),
    },
    Key {
        name: "refresh.grace",
        default: Default::Value("10s"),
        takes: "duration, `0s` to `1m`",
        doc: "How long racing tabs that refresh with one token get the same successor.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.policy.grace = value.duration(seconds(0), jotgate_domain::refresh::GRACE_MAX)?;
            Ok(())
        }),
    },
    Key {
        name: "cookie.name",
        default: Default::Value("jwt"),
        takes: "name",
        doc: "Name of the access cookie; the session cookie has `_session` after it. On `https` the prefix `__Host-` or `__Secure-` is added.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.cookie.name = value.cookie_name()?;
            Ok(())
        }),
    },
    Key {
        name: "cookie.domain",
        default: Default::None,
        takes: "domain",
        doc: "`.example.com` sends the access cookie to every subdomain: single sign-on. Has to be a parent of `public_url`'s host, and nothing under which strangers have domains, such as `co.uk`.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.cookie.domain = Some(value.domain()?);
            Ok(())
        }),
    },
    Key {
        name: "cookie.same_site",
        default: Default::Value("lax"),
        takes: "`lax` or `strict`",
        doc: "`SameSite` of the access cookie. The session cookie is always `Lax`.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.cookie.same_site =
                value.choice(&[("lax", SameSite::Lax), ("strict", SameSite::Strict)])?;
            Ok(())
        }),
    },
    Key {
        name: "cookie.trusted_origins",
        default: Default::None,
        takes: "list of origins",
        doc: "Origins of other applications that may call `/auth/*` from the browser with the user's cookies (CORS and CSRF). Exact; there are no wildcards.",
        secret: false,
        list: true,
        set: Set::Plain(|config, value| {
            config.cookie.trusted_origins = value.origins()?;
            Ok(())
        }),
    },
    Key {
        name: "sso.origins",
        default: Default::None,
        takes: "list of origins",
        doc: "Origins of applications on other root domains, which `cookie.domain` does not reach: their proxies send the paths under `/_jotgate/` here, and whoever is signed in gets an access cookie there too. See [Single sign-on](single-sign-on.md). `https`; `http` only for this machine.",
        secret: false,
        list: true,
        set: Set::Plain(|config, value| {
            config.applications = value.origins()?;
            Ok(())
        }),
    },
    Key {
        name: "password.hash",
        default: Default::Value("argon2id,m=19456,t=2,p=1"),
        takes: "`argon2id,m=KiB,t=N,p=N`",
        doc: "How passwords are hashed: memory in KiB, passes, lanes. Hashes made with other parameters keep working.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.password = value.password_hash()?;
            Ok(())
        }),
    },
    Key {
        name: "password.min_length",
        default: Default::Value("8"),
        takes: "number, 8 to 64",
        doc: "Shortest password in characters. NIST SP 800-63B-4 asks for 15 where the password is the only factor.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.policy.password_min_length = usize::try_from(value.number(8, 64)?).unwrap_or(64);
            Ok(())
        }),
    },
    Key {
        name: "registration.enabled",
        default: Default::Derived("`true` while `public_url` is loopback, else `false`"),
        takes: "`true` or `false`",
        doc: "Whether visitors may make an account. `jotgate user add` works either way.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.registration_enabled = Some(value.bool()?);
            Ok(())
        }),
    },
    Key {
        name: "roles.NAME.permissions",
        default: Default::None,
        takes: "list of strings",
        doc: "What a role may do. The union over a user's roles is the `permissions` claim. In the environment, the `NAME` in capitals with `_` for every `.`, `:` and `-`; as a flag, `--set roles.NAME.permissions=a,b`.",
        secret: false,
        list: true,
        set: Set::Named(|config, name, value| {
            if RoleName::parse(name).is_err() {
                return Err("a role named with 1 to 64 of A-Z a-z 0-9 _ . : -".to_owned());
            }
            let permissions = value.list()?;
            if permissions.iter().any(|permission| !is_permission(permission)) {
                return Err("permissions of 1 to 128 printable ASCII characters without spaces".to_owned());
            }
            config.policy.permissions.insert(name.to_owned(), permissions);
            Ok(())
        }),
    },
    Key {
        name: "providers.NAME.preset",
        default: Default::None,
        takes: "`google` `microsoft` `github` `gitlab` `apple`",
        doc: "A provider that is known: its issuer, scopes and ways. `NAME` is 1 to 32 of `a-z 0-9 _ -` and stands in the redirect URI to register there: `PUBLIC_URL/login/NAME/callback`. See [signing in with others](upstream.md). As a flag, `--set providers.NAME.preset=google`.",
        secret: false,
        list: false,
        set: Set::Named(|config, name, value| {
            provider(config, name)?.preset = Some(value.choice(&PRESETS)?);
            Ok(())
        }),
    },
    Key {
        name: "providers.NAME.issuer",
        default: Default::Derived("the preset's"),
        takes: "URL",
        doc: "The issuer of any OpenID Connect provider, exactly as its tokens name it; of a GitLab or GitHub Enterprise of your own, its address.",
        secret: false,
        list: false,
        set: Set::Named(|config, name, value| {
            const EXPECTED: &str = "https://, a host and perhaps a path, as the provider writes it (http:// only for one on this machine)";
            let issuer = value.text(EXPECTED)?;
            let issuer = if providers::is_issuer(issuer) { issuer } else { return Err(EXPECTED.to_owned()) };
            provider(config, name)?.issuer = Some(issuer.to_owned());
            Ok(())
        }),
    },
    Key {
        name: "providers.NAME.client_id",
        default: Default::None,
        takes: "text",
        doc: "What the provider calls this server.",
        secret: false,
        list: false,
        set: Set::Named(|config, name, value| {
            provider(config, name)?.client_id = printable(value)?;
            Ok(())
        }),
    },
    Key {
        name: "providers.NAME.client_secret",
        default: Default::None,
        takes: "text",
        doc: "The secret that goes with it. Without one this server is a public client, which is protected by PKCE alone.",
        secret: true,
        list: false,
        set: Set::Named(|config, name, value| {
            provider(config, name)?.client_secret = Some(Secret::new(&printable(value)?));
            Ok(())
        }),
    },
    Key {
        name: "providers.NAME.label",
        default: Default::Derived("the preset's name, or `NAME`"),
        takes: "text",
        doc: "What stands on the button after \"Continue with\".",
        secret: false,
        list: false,
        set: Set::Named(|config, name, value| {
            const EXPECTED: &str = "1 to 40 characters";
            let label = value.text(EXPECTED)?;
            let fits = (1..=40).contains(&label.chars().count()) && !label.chars().any(char::is_control);
            provider(config, name)?.label =
                Some(if fits { label.to_owned() } else { return Err(EXPECTED.to_owned()) });
            Ok(())
        }),
    },
    Key {
        name: "providers.NAME.scopes",
        default: Default::Derived("`openid email profile`, or the preset's"),
        takes: "list of scopes",
        doc: "What is asked for there.",
        secret: false,
        list: true,
        set: Set::Named(|config, name, value| {
            let scopes = value.list()?;
            if scopes.iter().any(|scope| !is_permission(scope)) {
                return Err("scopes of 1 to 128 printable ASCII characters without spaces".to_owned());
            }
            provider(config, name)?.scopes = scopes;
            Ok(())
        }),
    },
    Key {
        name: "providers.NAME.redirect_uris",
        default: Default::None,
        takes: "list of URIs",
        doc: "Where applications have codes of this provider sent that they then show at `POST /auth/login`. Exact.",
        secret: false,
        list: true,
        set: Set::Named(|config, name, value| {
            let uris = value.list()?;
            if uris.iter().any(|uri| !providers::is_redirect_uri(uri)) {
                return Err("absolute URIs without a fragment: https://, http:// on this machine, or a scheme of an application's own such as com.example.app:/callback".to_owned());
            }
            provider(config, name)?.redirect_uris = uris;
            Ok(())
        }),
    },
    Key {
        name: "providers.NAME.trust_email",
        default: Default::Derived(
            "`true` with preset `google`, `github`, `apple` and `gitlab`, without an `issuer` of one's own; else `false`",
        ),
        takes: "`true` or `false`",
        doc: "Whether an address that this provider calls verified counts as proven here: whoever has it there then signs in to the account that has proven it here. Leave it off where people or their administrators can write addresses into accounts without proof.",
        secret: false,
        list: false,
        set: Set::Named(|config, name, value| {
            provider(config, name)?.trust_email = Some(value.bool()?);
            Ok(())
        }),
    },
    Key {
        name: "providers.NAME.registration",
        default: Default::Derived("`registration.enabled`"),
        takes: "`true` or `false`",
        doc: "Whether somebody who comes from this provider and has no account gets one.",
        secret: false,
        list: false,
        set: Set::Named(|config, name, value| {
            provider(config, name)?.registration = Some(value.bool()?);
            Ok(())
        }),
    },
    Key {
        name: "providers.NAME.tenant",
        default: Default::Derived("`common`"),
        takes: "UUID, `common`, `organizations` or `consumers`",
        doc: "With preset `microsoft`: whose accounts may sign in.",
        secret: false,
        list: false,
        set: Set::Named(|config, name, value| {
            provider(config, name)?.tenant = Some(printable(value)?.to_ascii_lowercase());
            Ok(())
        }),
    },
    Key {
        name: "providers.NAME.team_id",
        default: Default::None,
        takes: "text",
        doc: "With preset `apple`: the team that the key belongs to.",
        secret: false,
        list: false,
        set: Set::Named(|config, name, value| {
            provider(config, name)?.team_id = Some(printable(value)?);
            Ok(())
        }),
    },
    Key {
        name: "providers.NAME.key_id",
        default: Default::None,
        takes: "text",
        doc: "With preset `apple`: the name of the key.",
        secret: false,
        list: false,
        set: Set::Named(|config, name, value| {
            provider(config, name)?.key_id = Some(printable(value)?);
            Ok(())
        }),
    },
    Key {
        name: "providers.NAME.private_key",
        default: Default::None,
        takes: "PEM",
        doc: "With preset `apple`: the text of the `.p8` file. Client secrets are made with it, each good for five minutes.",
        secret: true,
        list: false,
        set: Set::Named(|config, name, value| {
            provider(config, name)?.private_key = Some(Secret::new(value.text("the text of a .p8 file")?));
            Ok(())
        }),
    },
    Key {
        name: "rules.NAME.host",
        default: Default::None,
        takes: "list of hosts",
        doc: "Which hosts behind a proxy a rule of `/auth/verify` is for; it has to be set. Without any rules, whoever is signed in may pass; with them, a host and path that none names is refused. `*.example.com` is every name with exactly one label more. Case, a dot at the end and the port do not matter. See [proxies](proxies.md#rules).",
        secret: false,
        list: true,
        set: Set::Named(|config, name, value| {
            let hosts = parsed(value, "hosts such as app.example.com or *.example.com", HostPattern::parse)?;
            rule(config, name)?.host = hosts;
            Ok(())
        }),
    },
    Key {
        name: "rules.NAME.path",
        default: Default::None,
        takes: "list of paths",
        doc: "Which paths the rule is for: each covers itself and what is below it, by whole segments; with `=` in front, itself only. Not set: every path. Of several rules the most specific applies: an exact host before a wildcard, the longer path, a named method.",
        secret: false,
        list: true,
        set: Set::Named(|config, name, value| {
            let paths = parsed(value, "paths such as /admin or =/", PathPattern::parse)?;
            rule(config, name)?.path = paths;
            Ok(())
        }),
    },
    Key {
        name: "rules.NAME.methods",
        default: Default::None,
        takes: "list of methods",
        doc: "Which methods the rule is for, in capitals; `GET` stands for `HEAD` too. Not set: every method. A path that only rules for other methods name is closed to the rest.",
        secret: false,
        list: true,
        set: Set::Named(|config, name, value| {
            let methods = parsed(value, "methods such as GET", method)?;
            rule(config, name)?.methods = methods;
            Ok(())
        }),
    },
    Key {
        name: "rules.NAME.access",
        default: Default::Value("signed_in"),
        takes: "`public` or `signed_in`",
        doc: "Who may pass: anybody, or whoever is signed in.",
        secret: false,
        list: false,
        set: Set::Named(|config, name, value| {
            let access = value.choice(&[("public", Access::Public), ("signed_in", Access::SignedIn)])?;
            rule(config, name)?.access = access;
            Ok(())
        }),
    },
    Key {
        name: "rules.NAME.role",
        default: Default::None,
        takes: "list of roles",
        doc: "Roles that whoever passes must have, all of them.",
        secret: false,
        list: true,
        set: Set::Named(|config, name, value| {
            let roles = parsed(value, "roles named with 1 to 64 of A-Z a-z 0-9 _ . : -", |role| {
                RoleName::parse(role).map(|_| role.to_owned()).map_err(|_| "it is no name of a role")
            })?;
            rule(config, name)?.role = roles;
            Ok(())
        }),
    },
    Key {
        name: "rules.NAME.scope",
        default: Default::None,
        takes: "list of scopes",
        doc: "Scopes that the access token must have, all of them.",
        secret: false,
        list: true,
        set: Set::Named(|config, name, value| {
            let scopes = parsed(value, "scopes of printable ASCII characters without spaces", |scope| {
                if is_permission(scope) { Ok(scope.to_owned()) } else { Err("it is no scope") }
            })?;
            rule(config, name)?.scope = scopes;
            Ok(())
        }),
    },
    Key {
        name: "rules.NAME.max_age",
        default: Default::None,
        takes: "duration, `10s` to `90d`",
        doc: "How long ago the user may have proven who they are. Whoever did so longer ago is asked for the password again, and then comes back.",
        secret: false,
        list: false,
        set: Set::Named(|config, name, value| {
            let age = value.duration(seconds(10), seconds(90 * DAY))?;
            rule(config, name)?.max_age = Some(age);
            Ok(())
        }),
    },
    Key {
        name: "jwks.max_age",
        default: Default::Value("5m"),
        takes: "duration, `1s` to `1d`",
        doc: "How long verifiers may cache the published keys (`Cache-Control` of the JWK Set). A new key signs only after it was published for this long.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.policy.jwks_max_age = value.duration(seconds(1), seconds(DAY))?;
            Ok(())
        }),
    },
    Key {
        name: "status_list.ttl",
        default: Default::Value("30s"),
        takes: "duration, `3s` to `1h`",
        doc: "The longest until a verifier that polls status lists refuses what was revoked. One that follows the revocation feed refuses it within a second.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.policy.status_list_ttl = value.duration(seconds(3), seconds(3600))?;
            Ok(())
        }),
    },
    Key {
        name: "key.rotation",
        default: Default::Value("90d"),
        takes: "duration, `1m` to `3650d`",
        doc: "How long a key signs before the next one takes over, without a restart.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.policy.key_rotation = value.duration(seconds(60), seconds(3650 * DAY))?;
            Ok(())
        }),
    },
    Key {
        name: "webhooks.NAME.url",
        default: Default::None,
        takes: "URL",
        doc: "Where to post what happens: see [webhooks](webhooks.md). `NAME` is 1 to 32 of `a-z 0-9 _ -`. As a flag, `--set webhooks.NAME.url=https://…`.",
        secret: true,
        list: false,
        set: Set::Named(|config, name, value| {
            const EXPECTED: &str = "https://, a host and perhaps a path, without a user's name (http:// only for a receiver on this machine)";
            let url = value.text(EXPECTED)?;
            let url = if webhooks::is_url(url) { url } else { return Err(EXPECTED.to_owned()) };
            url.clone_into(&mut webhook(config, name)?.url);
            Ok(())
        }),
    },
    Key {
        name: "webhooks.NAME.secret",
        default: Default::None,
        takes: "`whsec_…`, or several",
        doc: "What its messages are signed with, such as `echo whsec_$(openssl rand -base64 32)` makes. While it is exchanged, the new one and the old one: each message has a signature of both.",
        secret: true,
        list: true,
        set: Set::Named(|config, name, value| {
            let secrets = value.list()?;
            let secrets: Result<Vec<_>, _> = secrets.iter().map(|text| rules::Secret::parse(text)).collect();
            webhook(config, name)?.secrets = secrets?;
            Ok(())
        }),
    },
    Key {
        name: "webhooks.NAME.events",
        default: Default::Value("*"),
        takes: "list of actions",
        doc: "Which actions of the audit trail it is told of, such as `user.registered`; `*` is all of them.",
        secret: false,
        list: true,
        set: Set::Named(|config, name, value| {
            let known = || Action::ALL.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
            let events = webhooks::events(&value.list()?);
            webhook(config, name)?.events =
                events.map_err(|wrong| format!("*, or actions: {wrong:?} is none of {}", known()))?;
            Ok(())
        }),
    },
    Key {
        name: "log.filter",
        default: Default::Value("info"),
        takes: "levels",
        doc: "What is logged to standard error: `error`, `warn`, `info`, `debug`, `trace`, also by part: `info,jotgate::http=debug`.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            const EXPECTED: &str = "a level (error, warn, info, debug, trace, off), or levels by part such as info,jotgate::http=debug";
            let text = value.text(EXPECTED)?;
            let parsed = tracing_subscriber::EnvFilter::builder().parse(text);
            if text.trim().is_empty() || parsed.is_err() {
                return Err(EXPECTED.to_owned());
            }
            text.clone_into(&mut config.log.filter);
            Ok(())
        }),
    },
    Key {
        name: "log.format",
        default: Default::Value("auto"),
        takes: "`auto` `json` `text`",
        doc: "`auto` is text where standard error is a terminal, else JSON, one object a line.",
        secret: false,
        list: false,
        set: Set::Plain(|config, value| {
            config.log.format = value.choice(&[
                ("auto", LogFormat::Auto),
                ("json", LogFormat::Json),
                ("text", LogFormat::Text),
            ])?;
            Ok(())
        }),
    },
];

/// What `token.algorithm` can be.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::Hs256,
    Algorithm::Rs256,
    Algorithm::Ps256,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::EdDsa,
];

/// Both paths are set one by one; that neither is missing is a rule.
fn tls(config: &mut Config) -> &mut Tls {
    config.tls.get_or_insert_with(|| Tls { cert: "".into(), key: "".into() })
}

/// The webhook of this name, begun where it was not mentioned before.
fn webhook<'c>(config: &'c mut Config, name: &str) -> Result<&'c mut Webhook, Expected> {
    if !is_name(name) {
        return Err("a webhook named with 1 to 32 of a-z 0-9 _ -".to_owned());
    }
    Ok(config.webhooks.entry(name.to_owned()).or_default())
}

/// The provider of this name, begun where it was not mentioned before.
fn provider<'c>(config: &'c mut Config, name: &str) -> Result<&'c mut Provider, Expected> {
    if !is_name(name) {
        return Err("a provider named with 1 to 32 of a-z 0-9 _ -".to_owned());
    }
    Ok(config.providers.entry(name.to_owned()).or_default())
}

fn printable(value: &Value) -> Result<String, Expected> {
    const EXPECTED: &str = "1 to 1000 printable ASCII characters without spaces";
    let text = value.text(EXPECTED)?;
    let fits = (1..=1000).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(text.to_owned()) } else { Err(EXPECTED.to_owned()) }
}

/// The rule of this name, made at the first of its keys.
fn rule<'c>(config: &'c mut Config, name: &str) -> Result<&'c mut Rule, Expected> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    if name.len() > 64 || !name.bytes().all(plain) {
        return Err("a rule named with 1 to 64 of a-z 0-9 _ -".to_owned());
    }
    Ok(config.rules.entry(name.to_owned()).or_default())
}

/// A list of at least one, each read by `parse`.
fn parsed<T>(
    value: &Value,
    expected: &str,
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<Vec<T>, Expected> {
    let items = value.list()?;
    if items.is_empty() {
        return Err(format!("{expected}; an empty list says nothing"));
    }
    let read = |item: &String| parse(item).map_err(|why| format!("{expected} (in {}: {why})", shown(item)));
    items.iter().map(read).collect()
}

fn is_permission(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_type_agree_on_defaults() {
        let mut config = Config::default();
        for key in KEYS {
            if let (Default::Value(text), Set::Plain(set)) = (key.default, &key.set) {
                set(&mut config, &Value::Text(text.to_owned()))
                    .unwrap_or_else(|e| panic!("{}: {e}", key.name));
            }
        }
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn no_two_keys_share_a_form() {
        for (i, key) in KEYS.iter().enumerate() {
            for other in &KEYS[i + 1..] {
                assert_ne!(key.variable(), other.variable());
                assert!(key.flag().is_none() || key.flag() != other.flag());
            }
        }
    }

    #[test]
    fn docs_are_one_line_of_whole_sentences() {
        for key in KEYS {
            assert!(!key.doc.contains('\n') && key.doc.ends_with('.'), "{}", key.name);
        }
    }
}
