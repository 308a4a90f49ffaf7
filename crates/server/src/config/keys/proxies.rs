//! Which proxies are believed.

use super::{Default, Key, Section, Set};

pub(super) static SECTION: Section = Section {
    heading: "Behind a proxy",
    keys: &[Key {
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
    }],
};
