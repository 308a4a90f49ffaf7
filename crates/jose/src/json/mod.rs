//! A strict JSON reader (RFC 8259) for tokens and keys.
//!
//! It reads in one pass, without recursion and without copying: values are spans of the text. Stricter than a
//! general reader where a token gives no reason to be lax: no member twice in any object (RFC 7515 §4, RFC 7519
//! §4), no lone surrogate, no NUL in a string, nesting and member counts bounded. UTF-8 is checked by the caller
//! for the whole text at once.

mod names;
mod string;

pub(crate) use names::Name;
use names::Names;
pub(crate) use string::unescape;

use crate::error::Error;

/// Deepest nesting of objects and arrays that is accepted.
const MAX_DEPTH: usize = 32;

/// Numbers that are longer, or have an exponent, are looked at for whether they are finite: others cannot be too
/// large for a double.
const MAX_PLAIN_NUMBER: usize = 300;

/// A part of a text, by byte offsets. `0..0` stands for nothing: no value starts at a text's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Result<Self, Error> {
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(start), Ok(end)) => Ok(Self { start, end }),
            _ => Err(Error::Malformed),
        }
    }

    pub(crate) fn is_none(self) -> bool {
        self.end == 0
    }

    pub(crate) fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    pub(crate) fn of_str(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// The inside of a string, without the quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Str {
    pub(crate) span: Span,
    /// Whether it has escapes, so that its value is not its text.
    pub(crate) escaped: bool,
}

/// What a value starts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Literal,
}

/// The members of an object that its reader does not know. Most objects have none, and then this costs nothing.
pub(crate) struct Others<'a>(Option<Names<'a>>);

/// Fills in a member's value, unless it has one: a member stands once (RFC 7515 §4, RFC 7519 §4).
pub(crate) fn once<T>(member: &mut Option<T>, value: T) -> Result<(), Error> {
    match member.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::Malformed),
    }
}

/// A position in a text that moves over one value after another.
#[derive(Debug, Clone)]
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Reads a whole text that must be one object and nothing else; `member` as in [`Scanner::object`].
    pub(crate) fn document(
        text: &'a [u8],
        member: impl FnMut(&mut Self, Name<'a>, &mut Others<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut scanner = Self::new(text);
        scanner.space();
        scanner.object(member)?;
        scanner.end()
    }

    /// Nothing but white space is left.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(Error::Malformed) }
    }

    /// Reads an object. `member` is called at each member and must move the scanner over the value, and it must
    /// refuse a member that it knows and has seen ([`once`] does); all others it gives to [`Scanner::other`].
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Name<'a>, &mut Others<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.expect(b'{')?;
        self.space();
        if self.skip_if(b'}') {
            return Ok(());
        }
        let mut others = Others(None);
        loop {
            let name = self.name()?;
            member(self, name, &mut others)?;
            self.space();
            if self.skip_if(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
            self.space();
        }
    }

    /// Moves over a member that the caller does not know, unless the object had it already.
    pub(crate) fn other(&mut self, name: Name<'a>, others: &mut Others<'a>) -> Result<Span, Error> {
        others.0.get_or_insert_with(Names::new).add(name)?;
        self.skip()
    }

    /// Reads an array; `item` is called at each item and must move the scanner over it.
    pub(crate) fn array(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.expect(b'[')?;
        self.space();
        if self.skip_if(b']') {
            return Ok(());
        }
        loop {
            item(self)?;
            self.space();
            if self.skip_if(b']') {
                return Ok(());
            }
            self.expect(b',')?;
            self.space();
        }
    }

    /// Reads a string.
    pub(crate) fn string(&mut self) -> Result<Str, Error> {
        self.expect(b'"')?;
        let start = self.at;
        let (end, escaped) = string::end(self.text, start)?;
        self.at = end + 1;
        Ok(Str { span: Span::new(start, end)?, escaped })
    }

    /// Reads a string or an array of nothing but strings, and returns the whole value's span.
    pub(crate) fn strings(&mut self) -> Result<Span, Error> {
        let start = self.at;
        match self.kind()? {
            Kind::String => {
                self.string()?;
            }
            _ => self.array(|scanner| scanner.string().map(|_| ()))?,
        }
        Span::new(start, self.at)
    }

    /// Reads an array of nothing but strings, and returns the whole value's span.
    pub(crate) fn string_array(&mut self) -> Result<Span, Error> {
        let start = self.at;
        self.array(|scanner| scanner.string().map(|_| ()))?;
        Span::new(start, self.at)
    }

    /// The next string of a list that was read before: past what separates it from the one before, if any.
    pub(crate) fn next_string(&mut self) -> Option<Str> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r' | b',') = self.peek() {
            self.at += 1;
        }
        self.string().ok()
    }

    /// Reads a number that is written as a whole one of up to 16 digits; moves nowhere if it is not.
    pub(crate) fn whole_number(&mut self) -> Option<u64> {
        let (mut value, mut at) = (0_u64, self.at);
        while let Some(digit @ b'0'..=b'9') = self.text.get(at) {
            // Seventeen digits stay far below the end of u64.
            if at - self.at > 16 {
                return None;
            }
            value = value * 10 + u64::from(digit - b'0');
            at += 1;
        }
        let len = at - self.at;
        let leading_zero = len > 1 && self.peek() == Some(b'0');
        let goes_on = matches!(self.text.get(at), Some(b'.' | b'e' | b'E'));
        if !(1..=16).contains(&len) || leading_zero || goes_on {
            return None;
        }
        self.at = at;
        Some(value)
    }

    /// Reads a number and returns its text. One that no double can hold is refused.
    pub(crate) fn number(&mut self) -> Result<&'a [u8], Error> {
        let start = self.at;
        let _ = self.skip_if(b'-');
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(Error::Malformed),
        }
        if self.skip_if(b'.') {
            self.some_digits()?;
        }
        let exponent = self.skip_if(b'e') || self.skip_if(b'E');
        if exponent {
            let _ = self.skip_if(b'+') || self.skip_if(b'-');
            self.some_digits()?;
        }
        let number = self.text.get(start..self.at).unwrap_or_default();
        if (exponent || number.len() > MAX_PLAIN_NUMBER) && !is_finite(number) {
            return Err(Error::Malformed);
        }
        Ok(number)
    }

    /// Moves over one value of any kind and returns its span.
    pub(crate) fn skip(&mut self) -> Result<Span, Error> {
        let start = self.at;
        match self.kind()? {
            Kind::Object | Kind::Array => self.skip_nested(true)?,
            _ => self.skip_scalar()?,
        }
        Span::new(start, self.at)
    }

    /// As [`Scanner::skip`], but members that stand twice inside are left for a later reader to refuse.
    pub(crate) fn skip_loosely(&mut self) -> Result<Span, Error> {
        let start = self.at;
        match self.kind()? {
            Kind::Object | Kind::Array => self.skip_nested(false)?,
            _ => self.skip_scalar()?,
        }
        Span::new(start, self.at)
    }

    /// What the next value starts as.
    pub(crate) fn kind(&self) -> Result<Kind, Error> {
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f' | b'n') => Ok(Kind::Literal),
            _ => Err(Error::Malformed),
        }
    }

    /// Moves over white space (RFC 8259 §2).
    pub(crate) fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn skip_scalar(&mut self) -> Result<(), Error> {
        match self.kind()? {
            Kind::String => self.string().map(|_| ()),
            Kind::Number => self.number().map(|_| ()),
            Kind::Literal => self.literal(),
            Kind::Object | Kind::Array => Err(Error::Malformed),
        }
    }

    /// Objects and arrays, iteratively: an explicit stack, so that depth costs nothing but the refusal.
    fn skip_nested(&mut self, unique: bool) -> Result<(), Error> {
        let mut closers = [0_u8; MAX_DEPTH];
        let mut depth = 0;
        let mut names = Names::new();
        loop {
            // At the start of a value.
            match self.kind()? {
                open @ (Kind::Object | Kind::Array) => {
                    let closer = if open == Kind::Object { b'}' } else { b']' };
                    self.at += 1;
                    self.space();
                    if !self.skip_if(closer) {
                        *closers.get_mut(depth).ok_or(Error::Malformed)? = closer;
                        depth += 1;
                        if open == Kind::Object {
                            names.open();
                            self.member_name(&mut names, unique)?;
                        }
                        continue;
                    }
                }
                _ => self.skip_scalar()?,
            }
            // After a value: close what ends here, then go on to the next member or item.
            loop {
                let Some(&closer) = depth.checked_sub(1).and_then(|top| closers.get(top)) else {
                    return Ok(());
                };
                self.space();
                if self.skip_if(closer) {
                    depth -= 1;
                    if closer == b'}' {
                        names.close();
                    }
                    continue;
                }
                self.expect(b',')?;
                self.space();
                if closer == b'}' {
                    self.member_name(&mut names, unique)?;
                }
                break;
            }
        }
    }

    fn member_name(&mut self, names: &mut Names<'a>, unique: bool) -> Result<(), Error> {
        let name = self.name()?;
        if unique { names.add(name) } else { Ok(()) }
    }

    /// A member's name and the colon after it.
    fn name(&mut self) -> Result<Name<'a>, Error> {
        let Str { span, escaped } = self.string()?;
        self.space();
        self.expect(b':')?;
        self.space();
        Ok(Name::new(span.of(self.text), escaped))
    }

    fn literal(&mut self) -> Result<(), Error> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        for word in [&b"true"[..], b"false", b"null"] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(());
            }
        }
        Err(Error::Malformed)
    }

    fn some_digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        self.digits();
        if self.at > start { Ok(()) } else { Err(Error::Malformed) }
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_if(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Error> {
        if self.skip_if(byte) { Ok(()) } else { Err(Error::Malformed) }
    }
}

/// Whether a number is one to those who read it as a double: readers disagree about `1e400`.
fn is_finite(number: &[u8]) -> bool {
    let value = core::str::from_utf8(number).ok().and_then(|text| text.parse::<f64>().ok());
    value.is_some_and(f64::is_finite)
}

#[cfg(test)]
mod tests;
