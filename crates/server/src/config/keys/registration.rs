//! Who may make an account.

use super::{Default, Key, Section, Set};

pub(super) static SECTION: Section = Section {
    heading: "Registration",
    keys: &[Key {
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
    }],
};
