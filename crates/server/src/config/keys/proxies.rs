//! Which proxies are believed, and what they may have renewed.

use super::{Default, Key, Section, Set};

pub(super) static SECTION: Section = Section {
    heading: "Behind a proxy",
    keys: &[
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
            name: "verify.renew",
            default: Default::Value("false"),
            takes: "`true` or `false`",
            doc: "Whether a proxy's `/auth/verify?renew=1` renews an access cookie that has run out, by the session cookie: only for applications on the server's own host. See [Single sign-on](single-sign-on.md#renewal).",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                config.verify_renew = value.bool()?;
                Ok(())
            }),
        },
    ],
};
