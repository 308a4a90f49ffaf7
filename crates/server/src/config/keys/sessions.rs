//! Sessions, and the refresh tokens that they have.

use std::time::Duration;

use super::{DAY, Default, Key, Section, Set, seconds};

pub(super) static SECTION: Section = Section {
    heading: "Sessions",
    keys: &[
        Key {
            name: "session.idle_ttl",
            default: Default::Value("14d"),
            takes: "duration, `1s` to `400d`",
            doc: "A session ends when it has not been used for this long.",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                config.policy.idle_ttl = value.duration(seconds(1), LONGEST_COOKIE)?;
                Ok(())
            }),
        },
        Key {
            name: "session.max_ttl",
            default: Default::Value("90d"),
            takes: "duration, `1s` to `400d`",
            doc: "A session ends after this long, however much it is used.",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                config.policy.max_ttl = value.duration(seconds(1), LONGEST_COOKIE)?;
                Ok(())
            }),
        },
        Key {
            name: "session.max_per_user",
            default: Default::Value("100"),
            takes: "number, 1 to 10000",
            doc: "How many sessions a user may have at once; past it the oldest ends.",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                config.policy.max_per_user = value.number(1, 10_000)?;
                Ok(())
            }),
        },
        Key {
            name: "refresh.grace",
            default: Default::Value("10s"),
            takes: "duration, `0s` to `1m`",
            doc: "How long racing tabs that refresh with one token get the same successor.",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                config.policy.grace = value.duration(seconds(0), jotgate_domain::refresh::GRACE_MAX)?;
                Ok(())
            }),
        },
    ],
};

/// What browsers keep a cookie for at most (RFC 6265bis §5.5).
const LONGEST_COOKIE: Duration = Duration::from_secs(400 * DAY);
