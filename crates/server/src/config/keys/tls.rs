//! HTTPS in the server itself.

use super::{Default, Key, Section, Set};
use crate::config::{Config, Tls};

pub(super) static SECTION: Section = Section {
    heading: "HTTPS",
    keys: &[
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
    ],
};

/// Both paths are set one by one; that neither is missing is a rule.
fn tls(config: &mut Config) -> &mut Tls {
    config.tls.get_or_insert_with(|| Tls { cert: "".into(), key: "".into() })
}
