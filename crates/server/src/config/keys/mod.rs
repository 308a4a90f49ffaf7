//! The table of keys: everything that can be set, one row each; a section a file.

mod cookies;
mod log;
mod passwords;
mod providers;
mod proxies;
mod registration;
mod roles;
mod rules;
mod server;
mod sessions;
mod signing;
mod sso;
mod tls;
mod tokens;
mod webhooks;

use std::time::Duration;

use super::Config;
use super::parse::{Expected, Value};

/// Every section, in the order of the reference.
pub static SECTIONS: &[&Section] = &[
    &server::SECTION,
    &tls::SECTION,
    &proxies::SECTION,
    &tokens::SECTION,
    &sessions::SECTION,
    &cookies::SECTION,
    &sso::SECTION,
    &passwords::SECTION,
    &registration::SECTION,
    &roles::SECTION,
    &providers::SECTION,
    &rules::SECTION,
    &signing::SECTION,
    &webhooks::SECTION,
    &log::SECTION,
];

/// Every key, in the order of the reference.
pub fn all() -> impl Iterator<Item = &'static Key> + Clone {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// Keys that belong together.
#[derive(Debug)]
pub struct Section {
    /// In the reference.
    pub heading: &'static str,
    pub keys: &'static [Key],
}

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// As in `jotgate.toml`; dots are sections. `NAME` stands for a name that the operator chooses.
    pub name: &'static str,
    pub default: Default,
    /// What kind of value it takes, for the reference.
    pub takes: &'static str,
    /// One line of Markdown.
    pub doc: &'static str,
    /// Never printed; has a `_FILE` form. Of a URL only the password is secret.
    pub secret: bool,
    /// Takes several values: a list in the file, commas in the environment, a flag that can be repeated.
    pub list: bool,
    pub(super) set: Set,
}

/// What holds where a key is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// Written so, it would mean the same.
    Value(&'static str),
    /// Nothing.
    None,
    /// Made of other keys, as described in Markdown.
    Derived(&'static str),
}

#[derive(Debug)]
pub(super) enum Set {
    Plain(fn(&mut Config, &Value) -> Result<(), Expected>),
    /// With what stands for `NAME`.
    Named(fn(&mut Config, &str, &Value) -> Result<(), Expected>),
}

impl Key {
    /// `JOTGATE_TOKEN_ACCESS_TTL`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("JOTGATE_{}", self.name.to_uppercase().replace('.', "_"))
    }

    /// `token-access-ttl`; none for a key with a name in it, which is set with `--set`.
    #[must_use]
    pub fn flag(&self) -> Option<String> {
        match self.set {
            Set::Plain(_) => Some(self.name.replace(['.', '_'], "-")),
            Set::Named(_) => None,
        }
    }

    /// Whether it is on or off, so that its flag needs no value.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        self.takes == "`true` or `false`"
    }
}

const DAY: u64 = 86_400;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Whether a permission, or a scope, can stand in a token.
fn is_permission(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_type_agree_on_defaults() {
        let mut config = Config::default();
        for key in all() {
            if let (Default::Value(text), Set::Plain(set)) = (key.default, &key.set) {
                set(&mut config, &Value::Text(text.to_owned()))
                    .unwrap_or_else(|e| panic!("{}: {e}", key.name));
            }
        }
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn no_two_keys_share_a_form() {
        for (i, key) in all().enumerate() {
            for other in all().skip(i + 1) {
                assert_ne!(key.variable(), other.variable());
                assert!(key.flag().is_none() || key.flag() != other.flag());
            }
        }
    }

    #[test]
    fn docs_are_one_line_of_whole_sentences() {
        for key in all() {
            assert!(!key.doc.contains('\n') && key.doc.ends_with('.'), "{}", key.name);
        }
    }
}
