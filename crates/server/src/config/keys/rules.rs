//! Who may pass to applications behind a proxy.

use jotgate_domain::access::{Access, HostPattern, PathPattern, Rule, method};
use jotgate_domain::name::RoleName;

use super::{DAY, Default, Key, Section, Set, is_permission, seconds};
use crate::config::Config;
use crate::config::parse::{Expected, Value, shown};

pub(super) static SECTION: Section = Section {
    heading: "Rules for applications behind a proxy",
    keys: &[
        Key {
            name: "rules.NAME.host",
            default: Default::None,
            takes: "list of hosts",
            doc: "Which hosts behind a proxy a rule of `/auth/verify` is for; it has to be set. Without any rules, whoever is signed in may pass; with them, a host and path that none names is refused. `*.example.com` is every name with exactly one label more. Case, a dot at the end and the port do not matter. See [proxies](proxies.md#rules).",
            secret: false,
            list: true,
            set: Set::Named(|config, name, value| {
                let hosts =
                    parsed(value, "hosts such as app.example.com or *.example.com", HostPattern::parse)?;
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
            doc: "How long ago the user may have proven who they are. Whoever did so longer ago is asked to sign in again, and then comes back.",
            secret: false,
            list: false,
            set: Set::Named(|config, name, value| {
                let age = value.duration(seconds(10), seconds(90 * DAY))?;
                rule(config, name)?.max_age = Some(age);
                Ok(())
            }),
        },
    ],
};

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
