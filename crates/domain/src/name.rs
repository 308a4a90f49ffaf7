//! Names that people and operators choose: parsed once at the edge, never re-checked inside.
//!
//! The [`Canonical`] form is the look-up key, the uniqueness key and the throttle key: one rule, so no second
//! account can hide behind another spelling and no guess behind another counter (RFC 8265 §3.3, UTS 39 §4).
//! It is stored. Normalisation and case folding never change for a character that exists; the table of
//! look-alikes may, so the crates that hold the tables are pinned, and a test insists on a migration that
//! recomputes the column when their data moves.

use std::fmt;

use caseless::Caseless as _;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use unicode_security::{GeneralSecurityProfile as _, RestrictionLevel, RestrictionLevelDetection as _};

use crate::store::Lookup;

/// Most characters of a user name, counted after NFKC.
pub const USERNAME_MAX: usize = 64;
/// Most bytes of an address (RFC 5321 §4.5.3.1.3, less the angle brackets).
pub const EMAIL_MAX: usize = 254;
/// Most bytes of an address before the `@` (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_MAX: usize = 64;
/// Most bytes of a role's name.
pub const ROLE_MAX: usize = 64;
/// What is typed at login is looked at up to here; nothing longer is anybody's name or address.
const TYPED_MAX: usize = 1024;
/// Marks over one letter (UTS 39 §5.4).
const MARKS_MAX: usize = 4;

/// Canonical form of a user name or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Canonical(String);

impl Canonical {
    /// For a backend that reads back what it wrote.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// For a backend that reads back what it wrote.
            #[must_use]
            pub fn from_stored(text: String) -> Self {
                Self(text)
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A user's name as it was chosen at registration, in NFKC, its case kept.
    Username
}
name! {
    /// An e-mail address as it was typed.
    Email
}
name! {
    /// A role: `[A-Za-z0-9_.:-]{1,64}`.
    RoleName
}

/// Why a name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    Empty,
    TooLong,
    /// A character that this kind of name may not have (`@`, white space, control, invisible…), or may not have
    /// at this place.
    Character,
    /// Letters of scripts that are not written together: a look-alike.
    MixedScripts,
    /// It would read as something that is not a name (a user id).
    Reserved,
}

impl NameError {
    /// A sentence for whoever chose the name.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty => "must not be empty",
            Self::TooLong => "is too long",
            Self::Character => "has a character that is not allowed there",
            Self::MixedScripts => "mixes letters of different scripts",
            Self::Reserved => "looks like a user id",
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for NameError {}

impl Username {
    /// Parses what was typed, after NFKC (full-width letters become plain ones); trims nothing.
    ///
    /// 1 to 64 characters: letters, their marks and decimal digits of the scripts in common use (UTS 39 §3.1,
    /// "allowed"), and `.`, `_`, `-`, `+`. Refused: `@`, white space, control, format and invisible characters
    /// (joiners and directional marks among them), symbols and emoji, a first character that is `.`, `-`, `+`
    /// or a mark, a last one that is `.` or `+`, more than four marks in a row, scripts that are not written
    /// together ("highly restrictive", UTS 39 §5.2), and the text of a UUID, which is what user ids look like.
    ///
    /// # Errors
    /// [`NameError`], where it cannot be a user name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        // NFKC makes no character of nothing and at most eighteen of one: bounds the work before it is done.
        if text.len() > TYPED_MAX {
            return Err(NameError::TooLong);
        }
        let name: String = text.nfkc().collect();
        let (Some(first), Some(last)) = (name.chars().next(), name.chars().next_back()) else {
            return Err(NameError::Empty);
        };
        if name.chars().count() > USERNAME_MAX {
            return Err(NameError::TooLong);
        }
        if matches!(first, '.' | '-' | '+') || is_combining_mark(first) || matches!(last, '.' | '+') {
            return Err(NameError::Character);
        }
        let mut marks = 0;
        for c in name.chars() {
            marks = if is_combining_mark(c) { marks + 1 } else { 0 };
            if !is_name_char(c) || marks > MARKS_MAX {
                return Err(NameError::Character);
            }
        }
        let letters: String = name.chars().filter(|c| *c != '+').collect();
        if !letters.as_str().check_restriction_level(RestrictionLevel::HighlyRestrictive) {
            return Err(NameError::MixedScripts);
        }
        if uuid::Uuid::try_parse(&name).is_ok() {
            return Err(NameError::Reserved);
        }
        Ok(Self(name))
    }

    #[must_use]
    pub fn canonical(&self) -> Canonical {
        canonical(&self.0)
    }
}

fn is_name_char(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+')
    } else {
        // `identifier_allowed` lets some punctuation and joiners pass for the middle of words.
        c.identifier_allowed() && (c.is_alphanumeric() || is_combining_mark(c)) && !is_invisible(c)
    }
}

/// Joiners, directional marks, variation selectors, fillers, tags: takes part in a name without being seen.
fn is_invisible(c: char) -> bool {
    let mut buffer = [0; 4];
    unicode_security::skeleton(c.encode_utf8(&mut buffer)).next().is_none()
}

impl Email {
    /// Parses one plain address: a dot-atom (RFC 5321 §4.1.2 `Dot-string`), `@`, and a host name, at most 64 and
    /// 254 bytes in all, ASCII only (an internationalised domain in its `xn--` form).
    ///
    /// Refused on purpose: display names, comments, quoted local parts, address literals, lists, white space,
    /// control characters: nothing that a mail header or a second recipient could be made of.
    ///
    /// # Errors
    /// [`NameError`], where it is not one.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(NameError::Character)?;
        if text.len() > EMAIL_MAX || local.len() > LOCAL_PART_MAX {
            return Err(NameError::TooLong);
        }
        let atom = |part: &str| !part.is_empty() && part.bytes().all(is_atext);
        if local.split('.').all(atom) && domain.split('.').all(is_label) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Character)
        }
    }

    #[must_use]
    pub fn canonical(&self) -> Canonical {
        canonical(&self.0)
    }

    /// Before the `@`.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.0.rsplit_once('@').map_or(self.0.as_str(), |(local, _)| local)
    }
}

/// `atext` of RFC 5322 §3.2.3.
fn is_atext(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b)
}

/// A label of a host name (RFC 1123 §2.1).
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl RoleName {
    /// # Errors
    /// [`NameError`], where it does not match `[A-Za-z0-9_.:-]{1,64}`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            Err(NameError::Empty)
        } else if text.len() > ROLE_MAX {
            Err(NameError::TooLong)
        } else if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Character)
        }
    }
}

impl Lookup {
    /// What was typed at login: an address where its canonical form has an `@` (no user name has one), else a
    /// user name.
    #[must_use]
    pub fn typed(text: &str) -> Self {
        let canonical = canonical(text);
        if canonical.as_str().contains('@') { Self::Email(canonical) } else { Self::Name(canonical) }
    }
}

/// The canonical form of whatever was typed at login: a name that nobody can have is still counted.
///
/// Surrounding white space is dropped, then to a fixed point: NFKC, full case folding, invisible characters
/// dropped, the dot of `i̇` dropped (so İ, I, ı and i are one), and each character *outside ASCII* replaced by
/// what it looks like (the skeleton of UTS 39 §4). ASCII look-alikes stay apart: `user1`/`userl` and
/// `stern`/`stem` are different people.
#[must_use]
pub fn canonical(text: &str) -> Canonical {
    if text.is_ascii() {
        // What the rest comes to for these.
        return Canonical(text.trim().chars().take(TYPED_MAX).map(|c| c.to_ascii_lowercase()).collect());
    }
    let mut form: String = text.trim().chars().take(TYPED_MAX).collect();
    // One more round each time a look-alike is itself folded further; a test shows that three suffice for any
    // single character.
    for _ in 0..8 {
        let next = canonical_step(&form);
        if next == form {
            break;
        }
        form = next;
    }
    Canonical(form)
}

fn canonical_step(text: &str) -> String {
    let folded = text.nfkc().default_case_fold().nfkd();
    let mut form = String::with_capacity(text.len());
    let mut buffer = [0; 4];
    for c in folded {
        if c.is_ascii() {
            form.push(c);
        } else if c == '\u{307}' && form.ends_with(['i', 'j']) {
            // The dot is part of these letters.
        } else {
            let start = form.len();
            form.extend(unicode_security::skeleton(c.encode_utf8(&mut buffer)));
            // What looks like `m`: the table has "rn" as the common form of both, and `m` itself stays here.
            if form.get(start..) == Some("rn") {
                form.truncate(start);
                form.push('m');
            }
        }
    }
    form.nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names() {
        use NameError::{Character, Empty, MixedScripts, Reserved, TooLong};
        let long = "a".repeat(64);
        let table: &[(&str, Result<&str, NameError>)] = &[
            ("alice", Ok("alice")),
            ("Alice", Ok("Alice")),
            ("a", Ok("a")),
            ("7", Ok("7")),
            ("j.r-r_t+olkien", Ok("j.r-r_t+olkien")),
            ("_root", Ok("_root")),
            ("zoë", Ok("zoë")),
            ("zoe\u{308}", Ok("zoë")),
            ("søren", Ok("søren")),
            ("müller99", Ok("müller99")),
            ("иван", Ok("иван")),
            ("Ελένη", Ok("Ελένη")),
            ("王小明", Ok("王小明")),
            ("さくらサクラ桜", Ok("さくらサクラ桜")),
            ("김철수", Ok("김철수")),
            ("राम", Ok("राम")),
            ("محمد", Ok("محمد")),
            ("דוד", Ok("דוד")),
            ("สมชาย", Ok("สมชาย")),
            // Latin beside Han, kana or hangul is written together (UTS 39 §5.2).
            ("kenji健二", Ok("kenji健二")),
            // Compatibility forms become plain.
            ("ａｌｉｃｅ", Ok("alice")),
            ("ﬁona", Ok("fiona")),
            (&long, Ok(&long)),
            ("", Err(Empty)),
            (&"a".repeat(65), Err(TooLong)),
            (&"ﷺ".repeat(10), Err(TooLong)),
            (&"a".repeat(1_000_000), Err(TooLong)),
            ("a@b", Err(Character)),
            ("a＠b", Err(Character)),
            (" alice", Err(Character)),
            ("alice ", Err(Character)),
            ("al ice", Err(Character)),
            ("al\u{a0}ice", Err(Character)),
            ("al\u{3000}ice", Err(Character)),
            ("alice\n", Err(Character)),
            ("al\0ice", Err(Character)),
            ("al\u{7f}ice", Err(Character)),
            ("al\u{85}ice", Err(Character)),
            ("al\u{200d}ice", Err(Character)),
            ("al\u{200c}ice", Err(Character)),
            ("al\u{200b}ice", Err(Character)),
            ("al\u{ad}ice", Err(Character)),
            ("al\u{2060}ice", Err(Character)),
            ("al\u{feff}ice", Err(Character)),
            ("al\u{202e}ice", Err(Character)),
            ("al\u{2066}ice", Err(Character)),
            ("al\u{200e}ice", Err(Character)),
            ("al\u{fe0f}ice", Err(Character)),
            ("al\u{34f}ice", Err(Character)),
            ("al\u{115f}ice", Err(Character)),
            ("al\u{3164}ice", Err(Character)),
            ("al\u{e0061}ice", Err(Character)),
            ("al\u{e000}ice", Err(Character)),
            ("al\u{fffd}ice", Err(Character)),
            ("al\u{2028}ice", Err(Character)),
            (".alice", Err(Character)),
            ("alice.", Err(Character)),
            ("-rf", Err(Character)),
            ("+cmd", Err(Character)),
            ("alice+", Err(Character)),
            ("=1+1", Err(Character)),
            ("a/b", Err(Character)),
            ("a\\b", Err(Character)),
            ("<b>", Err(Character)),
            ("a'b", Err(Character)),
            ("a:b", Err(Character)),
            ("a,b", Err(Character)),
            ("al·ice", Err(Character)),
            ("😀", Err(Character)),
            ("\u{301}alice", Err(Character)),
            (&format!("a{}", "\u{323}".repeat(6)), Err(Character)),
            // One Cyrillic letter among Latin ones, and the other ways round.
            ("p\u{430}ypal", Err(MixedScripts)),
            ("аdmin", Err(MixedScripts)),
            ("αdmin", Err(MixedScripts)),
            ("иvan", Err(MixedScripts)),
            ("ивανη", Err(MixedScripts)),
            ("aდb", Err(MixedScripts)),
            ("0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1a", Err(Reserved)),
            ("0192f0c12b3c7d4e8f5a6b7c8d9e0f1a", Err(Reserved)),
        ];
        for (text, expected) in table {
            let parsed = Username::parse(text);
            assert_eq!(parsed.as_ref().map(Username::as_str), expected.as_ref().copied(), "{text:?}");
        }
    }

    /// Attack 59: what is one account, and what is not.
    #[test]
    fn one_account_however_it_is_written() {
        let same: &[(&str, &str)] = &[
            ("alice", "ALICE"),
            ("alice", "ａｌｉｃｅ"),
            ("alice", "ＡＬＩＣＥ"),
            ("alice", "al\u{200d}ice"),
            ("alice", "al\u{ad}ice"),
            ("alice", " alice\u{a0}"),
            ("alice", "alice\t\n"),
            ("alice", "аlice"),
            ("paypal", "раураӏ"),
            ("scope", "ѕсоре"),
            ("irmak", "ırmak"),
            ("istanbul", "İSTANBUL"),
            ("istanbul", "i\u{307}stanbul"),
            ("zoë", "ZOE\u{308}"),
            ("strasse", "Straße"),
            ("strasse", "STRAẞE"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
            ("fiona", "ﬁona"),
            ("kelvin", "\u{212a}elvin"),
            ("mum", "𝓶𝓾𝓶"),
            ("alice@example.com", "Alice＠EXAMPLE.com"),
        ];
        for (a, b) in same {
            assert_eq!(canonical(a), canonical(b), "{a:?} {b:?}");
        }
        let different: &[(&str, &str)] = &[
            ("user1", "userl"),
            ("user0", "usero"),
            ("stern", "stem"),
            ("alice", "alice."),
            ("alice", "al ice"),
            ("zoe", "zoë"),
            ("alice", "alice1"),
            ("иван", "ивана"),
        ];
        for (a, b) in different {
            assert_ne!(canonical(a), canonical(b), "{a:?} {b:?}");
        }
    }

    /// Every character but those of planes that are empty or private, which stay what they are.
    fn characters() -> impl Iterator<Item = char> {
        ('\0'..='\u{323af}').chain('\u{e0000}'..='\u{e0fff}')
    }

    /// A form is its own form, a name that parses keeps a key without `@`, and no form ever changes.
    ///
    /// If the digest fails, the tables of a dependency changed what some stored key should be: a migration has
    /// to recompute `users.username_canonical` and `email_canonical` before the new number may stand here.
    #[test]
    fn the_canonical_form_is_stable_and_frozen() {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for c in characters() {
            let form = canonical(&format!("a{c}b"));
            assert_eq!(canonical(form.as_str()), form, "U+{:04X}", u32::from(c));
            context.update(form.as_str().as_bytes());
            context.update(b"\n");
            if let Ok(name) = Username::parse(&format!("{c}")) {
                let key = name.canonical();
                assert!(!key.as_str().is_empty() && !key.as_str().contains('@'), "U+{:04X}", u32::from(c));
                assert_eq!(Lookup::typed(name.as_str()), Lookup::Name(key));
            }
        }
        let digest = context.finish();
        assert_eq!(digest.as_ref()[..4], [0x68, 0xc8, 0xa5, 0xaf], "{:02x?}", &digest.as_ref()[..4]);
    }

    #[test]
    fn plain_letters_take_the_short_way_to_the_same_form() {
        for c in '\0'..='\x7f' {
            let slow = canonical_step(format!("a{c}B").trim());
            assert_eq!(canonical(&format!("a{c}B")).as_str(), slow, "{c:?}");
        }
    }

    /// Attack 172 among them.
    #[test]
    fn addresses() {
        use NameError::{Character, Empty, TooLong};
        let long_local = format!("{}@example.com", "a".repeat(64));
        let label = "a".repeat(63);
        let long = format!("a@{label}.{label}.{label}.{}", "b".repeat(60));
        let table: &[(&str, Option<NameError>)] = &[
            ("alice@example.com", None),
            ("Alice.B+tag@Example.COM", None),
            ("o'brien@example.com", None),
            ("root@localhost", None),
            ("a@xn--mller-kva.de", None),
            (&long_local, None),
            (&long, None),
            ("", Some(Empty)),
            ("alice", Some(Character)),
            ("@example.com", Some(Character)),
            ("alice@", Some(Character)),
            (&format!("a{long_local}"), Some(TooLong)),
            (&format!("{long}b"), Some(TooLong)),
            (&format!("a@{}.com", "a".repeat(64)), Some(Character)),
            ("a@b@c", Some(Character)),
            ("victim@x.com,evil@y.com", Some(Character)),
            ("victim@x.com;evil@y.com", Some(Character)),
            ("victim@x.com evil@y.com", Some(Character)),
            ("victim@x.com\nBcc: evil@y.com", Some(Character)),
            ("victim@x.com\r\n", Some(Character)),
            ("\"victim\"@x.com", Some(Character)),
            ("\"a b\"@x.com", Some(Character)),
            ("Victim <victim@x.com>", Some(Character)),
            ("<victim@x.com>", Some(Character)),
            ("victim(comment)@x.com", Some(Character)),
            ("victim@[127.0.0.1]", Some(Character)),
            (".a@x.com", Some(Character)),
            ("a.@x.com", Some(Character)),
            ("a..b@x.com", Some(Character)),
            ("a@x..com", Some(Character)),
            ("a@.x.com", Some(Character)),
            ("a@x.com.", Some(Character)),
            ("a@-x.com", Some(Character)),
            ("a@x-.com", Some(Character)),
            ("a@x_y.com", Some(Character)),
            ("mıke@example.com", Some(Character)),
            ("mike@gıthub.com", Some(Character)),
            ("MİKE@example.com", Some(Character)),
            ("a\0@x.com", Some(Character)),
            ("a@x.com\0", Some(Character)),
            (" a@x.com", Some(Character)),
            ("[\"a@x.com\"]", Some(Character)),
        ];
        for (text, expected) in table {
            assert_eq!(Email::parse(text).err(), *expected, "{text:?}");
        }
        assert_eq!(Email::parse("a+b@x.com").unwrap().local_part(), "a+b");
    }

    #[test]
    fn roles() {
        for good in ["a", "admin", "team:read", "A-b_c.d:9", &"r".repeat(64)] {
            assert_eq!(RoleName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a,b", "ä", "a\n", "a/b", "\"", &"r".repeat(65)] {
            assert!(RoleName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_typed_at_login() {
        assert_eq!(Lookup::typed("Alice"), Lookup::Name(canonical("alice")));
        assert_eq!(Lookup::typed(" Alice@Example.com "), Lookup::Email(canonical("alice@example.com")));
        assert_eq!(Lookup::typed("alice＠example.com"), Lookup::Email(canonical("alice@example.com")));
        assert_eq!(Lookup::typed(""), Lookup::Name(canonical("")));
        // Bounded, whatever is sent.
        assert!(canonical(&"ﷺ".repeat(100_000)).as_str().len() < 100_000);
    }
}
