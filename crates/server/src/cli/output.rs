//! What goes to standard output: built as one text, styled, and stripped of styles where no person reads it
//! (no terminal, or `NO_COLOR`).

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use jotgate_domain::Timestamp;
use serde::Serialize;

use super::error::{Failure, failed};

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default();
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();

/// `text` in this style.
pub(super) fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Prints a text that ends with a new line.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Prints one line.
pub(super) fn say(line: impl std::fmt::Display) -> Result<(), Failure> {
    print(&format!("{line}\n"))
}

/// Prints JSON, indented where a person looks at it.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    use std::io::IsTerminal as _;
    let text = if std::io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    say(text.map_err(failed)?)
}

/// Text that came from somebody else, made harmless for a terminal: control characters and those that turn the
/// direction of writing are shown as escapes.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        let harmful = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if harmful { clean.extend(c.escape_unicode()) } else { clean.push(c) }
    }
    clean
}

/// `2026-11-22 12:30:05Z`.
pub(super) fn instant(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.0.to_string(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// `2026-11-22T12:30:05.123Z` (RFC 3339), for programs.
pub(super) fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| format!("{at:.3}"))
}

/// `3 minutes ago`, `in 2 days`.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    let (seconds, past) = if at <= now { (now.since(at), true) } else { (at.since(now), false) };
    let seconds = seconds.as_secs();
    // To the nearest: a session that was just begun ends in 14 days, not in 13.
    let (number, unit) = match seconds {
        0..=59 => (seconds, "second"),
        60..=3_569 => ((seconds + 30) / 60, "minute"),
        3_570..=84_599 => ((seconds + 1_800) / 3_600, "hour"),
        _ => ((seconds + 43_200) / 86_400, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    if past { format!("{number} {unit}{plural} ago") } else { format!("in {number} {unit}{plural}") }
}

/// JSON text with line breaks and indentation; members keep their order, numbers every digit. Short lists of
/// plain values stay on one line.
pub(super) fn indent_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth: usize = 0;
    let mut rest = json.trim();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = rest.chars().next() {
        let token = token(rest);
        rest = rest.get(token.len()..).unwrap_or_default().trim_start();
        match c {
            '{' | '[' => {
                if let Some((list, after)) = short_list(token, rest) {
                    out.push_str(&list);
                    rest = after;
                    continue;
                }
                out.push(c);
                depth += 1;
                line(&mut out, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => out.push_str(token),
        }
    }
    out
}

/// The token that JSON text begins with: a mark, a string, or a plain value.
fn token(text: &str) -> &str {
    let mut escaped = false;
    let end = match text.chars().next() {
        Some('"') => text.char_indices().skip(1).find(|&(_, c)| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        }),
        Some('{' | '}' | '[' | ']' | ',' | ':') => return text.get(..1).unwrap_or_default(),
        _ => {
            let end = text.find(|c: char| c.is_whitespace() || "{}[],:\"".contains(c));
            return text.get(..end.unwrap_or(text.len()).max(1)).unwrap_or(text);
        }
    };
    end.and_then(|(at, _)| text.get(..=at)).unwrap_or(text)
}

/// What begins with `open`, on one line, and the text after it: something empty, or a short list without lists
/// and objects in it.
fn short_list<'j>(open: &str, mut rest: &'j str) -> Option<(String, &'j str)> {
    const SHORT: usize = 60;
    let mut list = open.to_owned();
    loop {
        let token = token(rest);
        rest = rest.get(token.len()..)?.trim_start();
        match token {
            "]" | "}" => {
                list.push_str(token);
                return Some((list, rest));
            }
            "[" | "{" | "" => return None,
            _ if open == "{" => return None,
            "," => list.push_str(", "),
            token => list.push_str(token),
        }
        if list.len() > SHORT {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_without_a_change() {
        let text = r#"{"a":[1, 2.50,{"b,\"}":"c:\\"}],"e":{},"f":[ ], "n":12345678901234567890}"#;
        let pretty = indent_json(text);
        insta::assert_snapshot!(pretty, @r#"
        {
          "a": [
            1,
            2.50,
            {
              "b,\"}": "c:\\"
            }
          ],
          "e": {},
          "f": [],
          "n": 12345678901234567890
        }
        "#);
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&pretty), value(text));
    }

    #[test]
    fn what_others_wrote_cannot_drive_the_terminal() {
        assert_eq!(clean("a\x1b[2J\r\nb\u{202e}c\u{2028}é"), "a\\u{1b}[2J\\u{d}\\u{a}b\\u{202e}c\\u{2028}é");
    }

    #[test]
    fn instants_read_well() {
        let now = Timestamp::from_secs(1_790_000_000);
        assert_eq!(instant(now), "2026-09-21 14:13:20Z");
        assert_eq!(rfc3339(now), "2026-09-21T14:13:20.000Z");
        for (seconds, text) in [
            (0, "0 seconds ago"),
            (-1, "1 second ago"),
            (-120, "2 minutes ago"),
            (7_200, "in 2 hours"),
            (3_569, "in 59 minutes"),
            (3_599, "in 1 hour"),
            (86_399, "in 1 day"),
            (14 * 86_400 - 1, "in 14 days"),
        ] {
            assert_eq!(relative(Timestamp::from_secs(1_790_000_000 + seconds), now), text);
        }
    }
}
