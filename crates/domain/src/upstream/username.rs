//! A user name for somebody who comes from a provider and was not asked for one.

use super::Vouched;
use crate::name::Username;

/// Longest part of a foreign name that is kept, in characters.
const KEPT: usize = 32;

/// Names to try, best first: what the person is called there, then the same with digits behind it, at last digits
/// alone. Each is a good user name; whether it is free, or looks like one that is taken, the caller asks. `random`
/// makes the digits.
#[must_use]
pub fn candidates(vouched: &Vouched, random: u32) -> Vec<Username> {
    let mut all: Vec<Username> = Vec::new();
    let local = vouched.email.as_ref().map(|email| email.local_part());
    let bases: Vec<String> =
        vouched.names.iter().map(String::as_str).chain(local).filter_map(plain).take(4).collect();
    for base in &bases {
        all.extend(Username::parse(base));
    }
    for base in &bases {
        all.extend(Username::parse(&format!("{base}-{:04}", random % 10_000)));
    }
    all.extend(Username::parse(&format!("user-{random:010}")));
    all.dedup();
    all
}

/// Letters and digits of the name, with a dot for whatever stands between them. Of an address only what is before
/// the `@`.
fn plain(name: &str) -> Option<String> {
    let name = name.split('@').next().unwrap_or_default();
    let mut plain = String::new();
    for c in name.chars().take(200) {
        if c.is_alphanumeric() || matches!(c, '_' | '-') {
            plain.push(c);
        } else if !plain.is_empty() && !plain.ends_with('.') {
            plain.push('.');
        }
        if plain.chars().count() == KEPT {
            break;
        }
    }
    let plain = plain.trim_matches(['.', '-', '_']).to_lowercase();
    (!plain.is_empty()).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Email;

    fn names(names: &[&str], email: Option<&str>) -> Vec<String> {
        let vouched = Vouched {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            email: email.map(|email| Email::parse(email).unwrap()),
            ..Vouched::default()
        };
        candidates(&vouched, 4_000_000_123).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_are_derived_from_what_there_is() {
        for (given, email, expected) in [
            (&["octocat"][..], None, &["octocat", "octocat-0123", "user-4000000123"][..]),
            (&["Ada Lovelace"], None, &["ada.lovelace", "ada.lovelace-0123", "user-4000000123"]),
            (&["ada@corp.example"], None, &["ada", "ada-0123", "user-4000000123"]),
            (&[], Some("a.b+c@x.example"), &["a.b.c", "a.b.c-0123", "user-4000000123"]),
            (&["Jürgen  Müller!"], None, &["jürgen.müller", "jürgen.müller-0123", "user-4000000123"]),
            (&[], None, &["user-4000000123"]),
            // Nothing to be made of it, or nothing that may be a name: look-alikes, ids, controls.
            (&["", " ", "@x", "\u{202e}", "🐈", "..."], None, &["user-4000000123"]),
            (&["pаypal"], None, &["user-4000000123"]),
        ] {
            assert_eq!(names(given, email), expected, "{given:?}");
        }
        let id = "01936b2e-8f00-7c3a-9d57-0f4a5c1e2b3d";
        assert!(!names(&[id], None).contains(&id.to_owned()));
    }

    #[test]
    fn every_name_is_one_whatever_came() {
        let long = "x".repeat(5000);
        for hostile in
            [&long, "-._a", "<script>alert(1)</script>", "a\u{0}b", "\u{301}\u{301}a", "A\u{200d}B"]
        {
            for name in names(&[hostile], None) {
                assert!(Username::parse(&name).is_ok(), "{name}");
                assert!(name.chars().count() <= KEPT + 5);
            }
        }
    }
}
