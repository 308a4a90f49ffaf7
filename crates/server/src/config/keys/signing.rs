//! What verifiers fetch: the published keys and the status lists; and how long a key signs.

use super::{DAY, Default, Key, Section, Set, seconds};

pub(super) static SECTION: Section = Section {
    heading: "Keys",
    keys: &[
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
    ],
};
