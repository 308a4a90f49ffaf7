//! Who is told what happens.

use jotgate_domain::audit::Action;
use jotgate_domain::webhook::{Secret, is_name};

use super::{Default, Key, Section, Set};
use crate::config::parse::Expected;
use crate::config::{Config, Webhook, webhooks};

pub(super) static SECTION: Section = Section {
    heading: "Webhooks",
    keys: &[
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
                let secrets: Result<Vec<_>, _> = secrets.iter().map(|text| Secret::parse(text)).collect();
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
    ],
};

/// The webhook of this name, begun where it was not mentioned before.
fn webhook<'c>(config: &'c mut Config, name: &str) -> Result<&'c mut Webhook, Expected> {
    if !is_name(name) {
        return Err("a webhook named with 1 to 32 of a-z 0-9 _ -".to_owned());
    }
    Ok(config.webhooks.entry(name.to_owned()).or_default())
}
