//! Paths: every way in which a program behind a proxy could read one.

use std::fmt;

/// The longest path that is judged, in bytes.
const LONGEST: usize = 8 * 1024;

/// The most readings of one path. An honest one has a handful.
const MOST_READINGS: usize = 64;

/// A path of a rule. It covers itself and everything below it, by whole segments; with `=` in front, itself only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    segments: Vec<String>,
    alone: bool,
}

impl PathPattern {
    /// `/`
    #[must_use]
    pub const fn everything() -> Self {
        Self { segments: Vec::new(), alone: false }
    }

    /// Parses `/admin`, or `=/admin`.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (path, alone) = text.strip_prefix('=').map_or((text, false), |path| (path, true));
        let Some(rest) = path.strip_prefix('/') else { return Err("a path begins with /") };
        if path.contains('*') {
            return Err("a path covers what is below it: write it without *");
        }
        if path.contains(['?', '#', '%', ';', '\\']) || path.chars().any(|c| c.is_control() || c == ' ') {
            return Err("write it decoded, and without ? # % ; \\ and spaces");
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let segments: Vec<String> =
            if rest.is_empty() { Vec::new() } else { rest.split('/').map(str::to_owned).collect() };
        if segments.iter().any(|segment| matches!(segment.as_str(), "" | "." | "..")) {
            return Err("write it without empty segments, . and ..");
        }
        Ok(Self { segments, alone })
    }

    /// Whether a reading of a path, as in [`readings`], is this path or below it.
    #[must_use]
    pub fn covers(&self, path: &[u8], caseless: bool) -> bool {
        let mut segments = segments(path);
        let same = |asked: &[u8], ours: &String| {
            if caseless { alike(asked, ours.as_bytes()) } else { asked == ours.as_bytes() }
        };
        for ours in &self.segments {
            if !segments.next().is_some_and(|asked| same(asked, ours)) {
                return false;
            }
        }
        !self.alone || segments.next().is_none()
    }

    /// The greater, the more specific.
    #[must_use]
    pub fn rank(&self) -> (usize, bool) {
        (self.segments.len(), self.alone)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", if self.alone { "=" } else { "" }, self.segments.join("/"))
    }
}

/// What is between the slashes; of `/` nothing.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let rest = path.strip_prefix(b"/").unwrap_or(path);
    rest.split(|b| *b == b'/').filter(move |_| !rest.is_empty())
}

/// Equal to a reader who folds case, of whatever script.
fn alike(asked: &[u8], ours: &[u8]) -> bool {
    if asked.is_ascii() {
        return asked.eq_ignore_ascii_case(ours);
    }
    match (std::str::from_utf8(asked), std::str::from_utf8(ours)) {
        (Ok(asked), Ok(ours)) => asked.to_lowercase() == ours.to_lowercase(),
        _ => false,
    }
}

/// Every way to read a path: as it is; decoded, once or as often as possible; `\` as `/`; without parameters
/// (`;…`); several slashes as one; dot segments taken out; cut off where a decoded `?` or `#` stands; without the
/// slash at the end; and all of that one after the other in every order.
///
/// None where no judgement is safe: no slash in front, a raw `#` or `%` that escapes nothing, control characters or
/// bytes that are no UTF-8 in any reading, more than 8 KiB, or more than 64 readings.
#[must_use]
pub fn readings(path: &[u8]) -> Option<Vec<Vec<u8>>> {
    if !path.starts_with(b"/") || path.len() > LONGEST || path.contains(&b'#') || !is_escaped_well(path) {
        return None;
    }
    let mut readings = vec![path.to_vec()];
    let mut at = 0;
    while let Some(reading) = readings.get(at).cloned() {
        if reading.iter().any(u8::is_ascii_control) || std::str::from_utf8(&reading).is_err() {
            return None;
        }
        for read in READERS {
            let other = read(&reading);
            if !readings.contains(&other) {
                readings.push(other);
            }
        }
        if readings.len() > MOST_READINGS {
            return None;
        }
        at += 1;
    }
    Some(readings)
}

type Reader = fn(&[u8]) -> Vec<u8>;

/// Each makes no path longer, and what it made it leaves as it is or shortens further: so there is an end.
const READERS: [Reader; 7] =
    [decoded, with_slashes, without_parameters, without_empty, without_dots, cut_off, without_last_slash];

/// Without the ending of its last segment, where that has one behind something else: `/admin.json` is `/admin`, in
/// frameworks whose routes take a format.
pub(super) fn without_format(path: &[u8]) -> Option<&[u8]> {
    let begin = path.iter().rposition(|b| *b == b'/')? + 1;
    let dot = path.get(begin..)?.iter().rposition(|b| *b == b'.').filter(|dot| *dot > 0)?;
    path.get(..begin + dot)
}

/// Whether each `%` has two hexadecimal digits after it (RFC 3986 §2.1).
fn is_escaped_well(path: &[u8]) -> bool {
    path.split(|b| *b == b'%')
        .skip(1)
        .all(|rest| matches!(rest, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()))
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        let digit = |b: &u8| char::from(*b).to_digit(16);
        let byte = match (first, tail) {
            (b'%', [high, low, ..]) => {
                digit(high).zip(digit(low)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok())
            }
            _ => None,
        };
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    decoded
}

fn with_slashes(path: &[u8]) -> Vec<u8> {
    path.iter().map(|b| if *b == b'\\' { b'/' } else { *b }).collect()
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    let bare = |segment: &[u8]| segment.split(|b| *b == b';').next().unwrap_or_default().to_vec();
    path.split(|b| *b == b'/').map(bare).collect::<Vec<_>>().join(&b'/')
}

fn without_empty(path: &[u8]) -> Vec<u8> {
    let mut shorter = path.to_vec();
    shorter.dedup_by(|a, b| *a == b'/' && *b == b'/');
    shorter
}

/// RFC 3986 §5.2.4.
fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut ends_in_dots = false;
    for segment in path.strip_prefix(b"/").unwrap_or(path).split(|b| *b == b'/') {
        ends_in_dots = matches!(segment, b"." | b"..");
        match segment {
            b"." => {}
            b".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    if ends_in_dots {
        kept.push(b"");
    }
    [b"/", kept.join(&b'/').as_slice()].concat()
}

fn cut_off(path: &[u8]) -> Vec<u8> {
    path.split(|b| matches!(b, b'?' | b'#')).next().unwrap_or_default().to_vec()
}

fn without_last_slash(path: &[u8]) -> Vec<u8> {
    match path.strip_suffix(b"/") {
        Some(shorter) if !shorter.is_empty() => shorter.to_vec(),
        _ => path.to_vec(),
    }
}
