//! Applications on other root domains.

use super::{Default, Key, Section, Set};

pub(super) static SECTION: Section = Section {
    heading: "Other root domains",
    keys: &[Key {
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
    }],
};
