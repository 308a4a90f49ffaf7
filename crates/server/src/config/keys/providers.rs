//! Whom users may sign in with.

use jotgate_domain::webhook::is_name;

use super::{Default, Key, Section, Set, is_permission};
use crate::config::parse::{Expected, Value};
use crate::config::providers::{self, PRESETS};
use crate::config::{Config, Provider, Secret};

pub(super) static SECTION: Section = Section {
    heading: "Sign-in with others",
    keys: &[
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
                let issuer =
                    if providers::is_issuer(issuer) { issuer } else { return Err(EXPECTED.to_owned()) };
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
                provider(config, name)?.private_key =
                    Some(Secret::new(value.text("the text of a .p8 file")?));
                Ok(())
            }),
        },
    ],
};

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
