//! Passwords.

use super::{Default, Key, Section, Set};

pub(super) static SECTION: Section = Section {
    heading: "Passwords",
    keys: &[
        Key {
            name: "password.hash",
            default: Default::Value("argon2id,m=19456,t=2,p=1"),
            takes: "`argon2id,m=KiB,t=N,p=N`",
            doc: "How passwords are hashed: memory in KiB, passes, lanes. Hashes made with other parameters keep working.",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                config.password = value.password_hash()?;
                Ok(())
            }),
        },
        Key {
            name: "password.min_length",
            default: Default::Value("8"),
            takes: "number, 8 to 64",
            doc: "Shortest password in characters. NIST SP 800-63B-4 asks for 15 where the password is the only factor.",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                config.policy.password_min_length = usize::try_from(value.number(8, 64)?).unwrap_or(64);
                Ok(())
            }),
        },
    ],
};
