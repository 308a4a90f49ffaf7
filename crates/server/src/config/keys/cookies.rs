//! Cookies.

use super::{Default, Key, Section, Set};
use crate::config::SameSite;

pub(super) static SECTION: Section = Section {
    heading: "Cookies",
    keys: &[
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
    ],
};
