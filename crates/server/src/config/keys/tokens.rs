//! Access tokens.

use jotgate_jose::Algorithm;

use super::{DAY, Default, Key, Section, Set, seconds};

pub(super) static SECTION: Section = Section {
    heading: "Tokens",
    keys: &[
        Key {
            name: "token.audience",
            default: Default::Derived("`public_url`"),
            takes: "string or list",
            doc: "`aud` of access tokens: who may accept them.",
            secret: false,
            list: true,
            set: Set::Plain(|config, value| {
                const EXPECTED: &str = "one to 16 names or URLs of at most 256 characters each";
                let audience = value.list()?;
                let fits = (1..=16).contains(&audience.len())
                    && audience
                        .iter()
                        .all(|name| (1..=256).contains(&name.len()) && !name.chars().any(char::is_control));
                config.token.audience = if fits { audience } else { return Err(EXPECTED.to_owned()) };
                Ok(())
            }),
        },
        Key {
            name: "token.access_ttl",
            default: Default::Value("10m"),
            takes: "duration, `1s` to `1d`",
            doc: "How long an access token lives; 5 to 60 minutes is usual.",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                config.policy.access_ttl = value.duration(seconds(1), seconds(DAY))?;
                Ok(())
            }),
        },
        Key {
            name: "token.algorithm",
            default: Default::Value("ES256"),
            takes: "`HS256` `RS256` `PS256` `ES256` `ES384` `EdDSA`",
            doc: "Signature algorithm of access tokens. With `HS256` the key is a secret that every verifier shares.",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                config.token.algorithm = value.choice(&ALGORITHMS.map(|alg| (alg.name(), alg)))?;
                Ok(())
            }),
        },
    ],
};

/// What `token.algorithm` can be.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::Hs256,
    Algorithm::Rs256,
    Algorithm::Ps256,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::EdDsa,
];
