//! Names that people and operators choose: parsed once at the edge, never re-checked inside.
//!
//! The canonical form (NFKC, lower case, dotless and accented look-alikes of one name folded where Unicode says
//! so) is the look-up key, the uniqueness key and the throttle key: one rule, so no second account can hide
//! behind another spelling and no guess behind another counter (RFC 8265 §3.3, UTS 39).

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// A user's name as it was typed at registration.
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
    /// A character that this kind of name may not have (`@`, white space, control, invisible…).
    Character,
    /// Letters of scripts that are not written together: a look-alike.
    MixedScripts,
}

impl Username {
    /// Parses what was typed; trims nothing, changes nothing.
    ///
    /// # Errors
    /// [`NameError`], where it cannot be a user name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        todo_in_progress(text).map(|()| Self(text.to_owned()))
    }

    #[must_use]
    pub fn canonical(&self) -> Canonical {
        canonical(&self.0)
    }
}

impl Email {
    /// Parses one plain address (no display name, no quoted local part, no list).
    ///
    /// # Errors
    /// [`NameError`], where it is not one.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        todo_in_progress(text).map(|()| Self(text.to_owned()))
    }

    #[must_use]
    pub fn canonical(&self) -> Canonical {
        canonical(&self.0)
    }
}

impl RoleName {
    /// # Errors
    /// [`NameError`], where it does not match `[A-Za-z0-9_.:-]{1,64}`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        todo_in_progress(text).map(|()| Self(text.to_owned()))
    }
}

/// The canonical form of whatever was typed at login: a name that nobody can have is still counted.
#[must_use]
pub fn canonical(text: &str) -> Canonical {
    Canonical(text.to_lowercase())
}

fn todo_in_progress(text: &str) -> Result<(), NameError> {
    if text.is_empty() { Err(NameError::Empty) } else { Ok(()) }
}
