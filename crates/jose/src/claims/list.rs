//! Claims that are lists of strings.

use core::fmt;
use std::borrow::Cow;

use crate::json::{Scanner, unescape};

/// A list of strings in a verified token, or a single string in its place (RFC 7519 §4.1.3). Read on demand:
/// nothing is copied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StringList<'a> {
    /// The JSON value; empty for a claim that is absent.
    json: &'a str,
}

impl<'a> StringList<'a> {
    pub(super) fn new(json: &'a str) -> Self {
        Self { json }
    }

    /// The strings, in order.
    #[must_use]
    pub fn iter(self) -> Strings<'a> {
        let single = self.json.starts_with('"');
        // Past the bracket: the scanner then stands at the first string, if there is one.
        let inside = if single { self.json } else { self.json.get(1..).unwrap_or_default() };
        Strings { json: inside, scanner: Scanner::new(inside.as_bytes()) }
    }

    /// Whether `value` is in the list, compared exactly.
    #[must_use]
    pub fn contains(self, value: &str) -> bool {
        self.iter().any(|one| one == value)
    }

    /// How many strings there are.
    #[must_use]
    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// Whether the claim is not there at all.
    pub(crate) fn is_absent(self) -> bool {
        self.json.is_empty()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }
}

impl fmt::Debug for StringList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for StringList<'a> {
    type Item = Cow<'a, str>;
    type IntoIter = Strings<'a>;

    fn into_iter(self) -> Strings<'a> {
        self.iter()
    }
}

/// The strings of a [`StringList`]; borrowed unless a string has escapes.
#[derive(Debug, Clone)]
pub struct Strings<'a> {
    json: &'a str,
    scanner: Scanner<'a>,
}

impl<'a> Iterator for Strings<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        let found = self.scanner.next_string()?;
        let raw = found.span.of_str(self.json);
        Some(if found.escaped { unescape(raw).into() } else { raw.into() })
    }
}
