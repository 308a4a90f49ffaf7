//! Member names, and the refusal of a name that an object has twice.

use super::string;
use crate::error::Error;

/// Most names that are remembered at once: bounds the comparisons that a hostile object can cause.
const MAX_NAMES: usize = 256;
/// Names that are remembered without allocating.
const INLINE: usize = 16;

/// A member's name as it stands in the text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Name<'a> {
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> Name<'a> {
    pub(super) fn new(raw: &'a [u8], escaped: bool) -> Self {
        Self { raw, escaped }
    }

    /// The name, if it has no escapes; no name that this crate knows is worth spelling with one, so the others
    /// go through [`Name::is`].
    pub(crate) fn plain(self) -> Option<&'a [u8]> {
        (!self.escaped).then_some(self.raw)
    }

    /// Hands the unescaped name to `f`.
    pub(crate) fn with<R>(self, f: impl FnOnce(&[u8]) -> R) -> R {
        match self.plain() {
            Some(name) => f(name),
            None => f(string::unescape(&String::from_utf8_lossy(self.raw)).as_bytes()),
        }
    }

    /// Whether this is the name `other`.
    pub(crate) fn is(self, other: &str) -> bool {
        self.with(|name| name == other.as_bytes())
    }

    fn same_as(self, other: Self) -> bool {
        if self.escaped || other.escaped {
            self.with(|a| other.with(|b| a == b))
        } else {
            self.raw == other.raw
        }
    }
}

/// The names of the objects that are open, innermost last.
pub(super) struct Names<'a> {
    inline: [Name<'a>; INLINE],
    spill: Vec<Name<'a>>,
    len: usize,
    /// Index of the first name of each open object but the outermost.
    starts: [u16; super::MAX_DEPTH],
    depth: usize,
}

impl<'a> Names<'a> {
    pub(super) fn new() -> Self {
        Self {
            inline: [Name::default(); INLINE],
            spill: Vec::new(),
            len: 0,
            starts: [0; super::MAX_DEPTH],
            depth: 0,
        }
    }

    /// An object begins.
    pub(super) fn open(&mut self) {
        if let (Some(start), Ok(len)) = (self.starts.get_mut(self.depth), u16::try_from(self.len)) {
            *start = len;
        }
        self.depth += 1;
    }

    /// The innermost object ends: its names are forgotten.
    pub(super) fn close(&mut self) {
        self.len = self.start();
        self.spill.truncate(self.len.saturating_sub(INLINE));
        self.depth = self.depth.saturating_sub(1);
    }

    /// Adds a name to the innermost object, unless it is there.
    pub(super) fn add(&mut self, name: Name<'a>) -> Result<(), Error> {
        let inline = self.inline.get(self.start()..self.len.min(INLINE)).unwrap_or_default();
        let spilled = self.spill.get(self.start().saturating_sub(INLINE)..).unwrap_or_default();
        if inline.iter().chain(spilled).any(|other| other.same_as(name)) || self.len >= MAX_NAMES {
            return Err(Error::Malformed);
        }
        match self.inline.get_mut(self.len) {
            Some(slot) => *slot = name,
            None => self.spill.push(name),
        }
        self.len += 1;
        Ok(())
    }

    fn start(&self) -> usize {
        self.depth.checked_sub(1).and_then(|top| self.starts.get(top)).map_or(0, |start| usize::from(*start))
    }
}
