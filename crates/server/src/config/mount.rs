//! The path under which the server is nested in an application.

use std::fmt;
use std::sync::Arc;

/// A path without a slash at its end, such as `/id`; empty where the server has its origin to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount(Arc<str>);

impl Mount {
    /// Parses `/segment…` of letters, digits, `-`, `_`, `.` and `~`: what every proxy, cookie and comparison of
    /// issuers (RFC 8414 §3.3) reads alike. An empty text, and `/`, are the origin itself.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if matches!(text, "" | "/") {
            return Ok(Self::default());
        }
        let segments = text.strip_prefix('/').ok_or("it does not begin with a slash")?;
        if segments.ends_with('/') {
            return Err("it ends with a slash: write it without");
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
        for segment in segments.split('/') {
            if segment.is_empty() || segment == "." || segment == ".." || !segment.bytes().all(plain) {
                return Err("its segments are not of A-Z a-z 0-9 - _ . ~ alone");
            }
        }
        Ok(Self(text.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A path of ours as it is asked for from outside.
    #[must_use]
    pub fn of(&self, path: &str) -> String {
        format!("{self}{path}")
    }
}

impl Default for Mount {
    fn default() -> Self {
        Self("".into())
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_everybody_reads_alike() {
        for (text, path) in [("", ""), ("/", ""), ("/id", "/id"), ("/a/b-c_d.e~f", "/a/b-c_d.e~f")] {
            assert_eq!(Mount::parse(text).unwrap().of("/login"), format!("{path}/login"));
        }
        for bad in [
            "id", "/id/", "//", "//id", "/a//b", "/.", "/a/../b", "/a b", "/{id}", "/%69d", "/ä", "/a?b",
            "/a#b",
        ] {
            assert!(Mount::parse(bad).is_err(), "{bad}");
        }
    }
}
