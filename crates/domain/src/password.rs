//! Passwords: how they are read, and which are refused when one is chosen (NIST SP 800-63B-4 §3.1.1).
//!
//! What is typed is normalised to NFC (RFC 8265 §4.2 `OpaqueString`), so a keyboard that composes letters
//! otherwise never locks anybody out; nothing else is changed, cut or trimmed, and every character is allowed,
//! NUL and spaces included. There are no composition rules and there is no expiry. A chosen password is refused
//! where it is short, common, or made of what an attacker tries first: the names of the service and the user.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::name::{Email, Username};

/// Most characters (Unicode scalar values after NFC); more is refused before anything is hashed.
pub const MAX_LENGTH: usize = 256;
/// What NFC can shrink to [`MAX_LENGTH`] is not longer than this: bounds the work.
const MAX_TYPED_BYTES: usize = 16 * MAX_LENGTH;
/// A shorter name may stand in a password by chance.
const SHORTEST_NAME: usize = 3;

/// Lower case, NFC, sorted by bytes; sources and licences in `data/README.md`.
const COMMON: &str = include_str!("../data/common-passwords.txt");

/// A password as it will be hashed: NFC, at most [`MAX_LENGTH`] characters. Wiped when dropped, never printed.
pub struct Password(Zeroizing<String>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Why a password was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasswordError {
    /// Fewer than so many characters.
    TooShort {
        min: usize,
    },
    /// More than [`MAX_LENGTH`] characters.
    TooLong,
    /// Among the passwords found most often in breaches, or such a one repeated.
    Common,
    HasServiceName,
    HasUsername,
    HasEmail,
}

impl PasswordError {
    /// Stable, for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TooShort { .. } => "password_too_short",
            Self::TooLong => "password_too_long",
            Self::Common => "password_common",
            Self::HasServiceName => "password_has_service_name",
            Self::HasUsername => "password_has_username",
            Self::HasEmail => "password_has_email",
        }
    }
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { min } => write!(f, "use at least {min} characters"),
            Self::TooLong => write!(f, "use at most {MAX_LENGTH} characters"),
            Self::Common => f.write_str("this password is among the first that attackers try"),
            Self::HasServiceName => f.write_str("do not use the name of this service in it"),
            Self::HasUsername => f.write_str("do not use your user name in it"),
            Self::HasEmail => f.write_str("do not use your e-mail address in it"),
        }
    }
}

impl std::error::Error for PasswordError {}

/// What a new password is held against.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// `password.min_length`, in Unicode scalar values after NFC.
    pub min_length: usize,
    /// Names of the service: its product name, the labels of its host.
    pub service_names: &'a [&'a str],
    pub username: &'a Username,
    pub email: Option<&'a Email>,
}

impl Password {
    /// A password typed to prove who one is: no rule but the length that is hashed at most, so a rule that grows
    /// stricter locks nobody out.
    ///
    /// # Errors
    /// [`PasswordError::TooLong`].
    pub fn typed(text: &str) -> Result<Self, PasswordError> {
        if text.len() > MAX_TYPED_BYTES {
            return Err(PasswordError::TooLong);
        }
        // Room for all that NFC can make of it, so that no copy is left behind by growing.
        let mut normal = Zeroizing::new(String::with_capacity(text.len().saturating_mul(3)));
        normal.extend(text.nfc());
        if normal.chars().count() > MAX_LENGTH {
            return Err(PasswordError::TooLong);
        }
        Ok(Self(normal))
    }

    /// A password that is being chosen.
    ///
    /// # Errors
    /// [`PasswordError`], the first that applies.
    pub fn chosen(text: &str, rules: &Rules<'_>) -> Result<Self, PasswordError> {
        let password = Self::typed(text)?;
        if password.0.chars().count() < rules.min_length {
            return Err(PasswordError::TooShort { min: rules.min_length });
        }
        let folded = Zeroizing::new(password.0.to_lowercase());
        if is_common(unit(&folded)) || is_common(&folded) {
            return Err(PasswordError::Common);
        }
        if contains_name(&folded, rules.username.as_str()) {
            return Err(PasswordError::HasUsername);
        }
        if rules.email.is_some_and(|e| contains_name(&folded, e.local_part())) {
            return Err(PasswordError::HasEmail);
        }
        if rules.service_names.iter().any(|name| contains_name(&folded, name)) {
            return Err(PasswordError::HasServiceName);
        }
        Ok(password)
    }

    /// What is hashed: every byte of it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Whether `folded` is on the list, or a single character or pair repeated.
fn is_common(folded: &str) -> bool {
    if folded.chars().count() <= 2 {
        return true;
    }
    // Halving over bytes: each step looks at the whole line around the middle.
    let (mut low, mut high) = (0, COMMON.len());
    while low < high {
        let middle = low.midpoint(high);
        let bytes = COMMON.as_bytes();
        let start = bytes.iter().take(middle).rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let end = bytes.iter().skip(middle).position(|b| *b == b'\n').map_or(bytes.len(), |at| middle + at);
        let line = bytes.get(start..end).unwrap_or_default();
        match line.cmp(folded.as_bytes()) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => low = end + 1,
            std::cmp::Ordering::Greater => high = start,
        }
    }
    false
}

/// The part that `text` is a repetition of; all of it where it is none.
fn unit(text: &str) -> &str {
    text.char_indices()
        .skip(1)
        .map(|(at, _)| at)
        .filter(|at| text.len().is_multiple_of(*at))
        .find_map(|at| {
            let part = text.get(..at)?;
            (part.repeat(text.len() / at) == text).then_some(part)
        })
        .unwrap_or(text)
}

/// Whether `name` stands in the password, in any case, with or without what stands between its words.
fn contains_name(folded: &str, name: &str) -> bool {
    let name = name.nfc().collect::<String>().to_lowercase();
    let letters =
        |text: &str| Zeroizing::new(text.chars().filter(|c| c.is_alphanumeric()).collect::<String>());
    let bare = letters(&name);
    if bare.chars().count() < SHORTEST_NAME {
        return false;
    }
    folded.contains(&name) || letters(folded).contains(bare.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(text: &str) -> Result<Password, PasswordError> {
        Password::chosen(
            text,
            &Rules {
                min_length: 8,
                service_names: &["jotgate", "example"],
                username: &Username::parse("John.Smith").unwrap(),
                email: Some(&Email::parse("hannah99@mail.test").unwrap()),
            },
        )
    }

    #[test]
    fn chosen() {
        use PasswordError::{Common, HasEmail, HasServiceName, HasUsername, TooLong, TooShort};
        let short = TooShort { min: 8 };
        let table: &[(&str, Option<PasswordError>)] = &[
            ("", Some(short)),
            ("xK9!vq2", Some(short)),
            ("xK9!vq2w", None),
            ("correct horse battery staple", None),
            ("        x        ", None),
            ("🦀🐢🦑🐙🐠🐟🐡🦐", None),
            ("🦀🐢🦑🐙🐠🐟🐡", Some(short)),
            ("abc\0defgh", None),
            // Seven letters after NFC, eight before.
            ("vqe\u{301}xzkw", Some(short)),
            (&"b7".repeat(127), Some(Common)),
            (&"q9".repeat(200), Some(TooLong)),
            ("password", Some(Common)),
            ("PassWord", Some(Common)),
            ("passwordpassword", Some(Common)),
            ("qwertyuiop", Some(Common)),
            ("1q2w3e4r5t", Some(Common)),
            ("iloveyou", Some(Common)),
            ("aaaaaaaaaaaaaaaaaaaaaaa", Some(Common)),
            ("ababababababababab", Some(Common)),
            ("abcabcabcabcabcabc", None),
            ("12345678", Some(Common)),
            ("my jotgate password", Some(HasServiceName)),
            ("JotGate-2031-x", Some(HasServiceName)),
            ("j.o.t.g.a.t.e.1", Some(HasServiceName)),
            ("at example.com 7", Some(HasServiceName)),
            ("john.smith-4711", Some(HasUsername)),
            ("xxJOHNSMITHxx", Some(HasUsername)),
            ("john smith 4711", Some(HasUsername)),
            ("john-was-here-42", None),
            ("Hannah99!!x", Some(HasEmail)),
            ("hannah-and-her-sisters", None),
        ];
        for (text, expected) in table {
            assert_eq!(choose(text).err(), *expected, "{text:?}");
        }
    }

    /// Attack 58, and RFC 8265 §4.2.
    #[test]
    fn one_password_whatever_the_keyboard_composes() {
        let composed = Password::typed("Ünïcödé-p\u{e5}ss").unwrap();
        let apart = Password::typed("U\u{308}ni\u{308}co\u{308}de\u{301}-pa\u{30a}ss").unwrap();
        assert_eq!(composed.as_bytes(), apart.as_bytes());
        // Nothing beyond NFC: full-width letters and ligatures are other characters.
        assert_ne!(Password::typed("ﬁ").unwrap().as_bytes(), Password::typed("fi").unwrap().as_bytes());
        assert_ne!(Password::typed("A").unwrap().as_bytes(), Password::typed("a").unwrap().as_bytes());
    }

    /// Attacks 56 and 57.
    #[test]
    fn every_byte_counts() {
        let a = format!("{}x{}", "p".repeat(89), "q".repeat(10));
        let b = format!("{}y{}", "p".repeat(89), "q".repeat(10));
        assert_ne!(Password::typed(&a).unwrap().as_bytes(), Password::typed(&b).unwrap().as_bytes());
        assert_eq!(Password::typed("abc\0def").unwrap().as_bytes(), b"abc\0def");
        assert_eq!(Password::typed(" a ").unwrap().as_bytes(), b" a ");
        for (length, fits) in [(256, true), (257, false), (1_000_000, false)] {
            assert_eq!(Password::typed(&"é".repeat(length)).is_ok(), fits);
            assert_eq!(Password::typed(&"e\u{301}".repeat(length)).is_ok(), fits);
            assert_eq!(Password::typed(&"🦀".repeat(length)).is_ok(), fits);
        }
    }

    #[test]
    fn a_short_user_name_may_stand_in_a_password() {
        let rules = Rules {
            min_length: 8,
            service_names: &[],
            username: &Username::parse("al").unwrap(),
            email: None,
        };
        assert!(Password::chosen("royal flush 7", &rules).is_ok());
    }

    #[test]
    fn nothing_of_it_is_printed() {
        assert_eq!(format!("{:?}", Password::typed("hunter2hunter2").unwrap()), "Password(…)");
    }

    /// Attack 72: the search finds every line, so the list is sorted and folded as the search folds.
    #[test]
    fn the_whole_list_is_found() {
        let mut lines = 0;
        for line in COMMON.lines() {
            lines += 1;
            assert!(is_common(line), "{line:?}");
            assert_eq!(line, line.nfc().collect::<String>().to_lowercase());
        }
        assert!(lines > 40_000, "{lines}");
        for absent in ["zzzzzzzzzzzzzzzzzzzzzzzy", "!", "", "0", "passwor\u{ff}d", "\u{10ffff}abc"] {
            assert_eq!(is_common(absent), absent.chars().count() <= 2, "{absent:?}");
        }
    }
}
