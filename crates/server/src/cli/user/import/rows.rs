//! The rows of a file, one at a time, each with the line that it begins on.

use std::fmt;
use std::io::{BufRead, BufReader, Read};

use csv::StringRecord;
use serde::Deserialize;

use super::Format;

/// A longer line is no user.
const LONGEST_LINE: u64 = 64 * 1024;

/// What a row says, unchecked.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) username: String,
    #[serde(default)]
    pub(super) email: Option<String>,
    #[serde(default)]
    pub(super) email_verified: bool,
    #[serde(default)]
    pub(super) roles: Vec<String>,
    #[serde(default)]
    pub(super) password_hash: Option<String>,
}

/// Why a row was refused.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wrong {
    /// Stable, for programs.
    pub(super) code: &'static str,
    pub(super) detail: String,
}

const COLUMNS: [&str; 5] = ["username", "email", "email_verified", "roles", "password_hash"];

fn malformed(detail: impl fmt::Display) -> Wrong {
    Wrong { code: "malformed_row", detail: detail.to_string() }
}

/// Reads rows; gives each with its line. In both forms a row is a line, so one that is broken off cannot swallow
/// those after it.
pub(super) enum Rows {
    Jsonl(Lines),
    Csv(Table),
}

impl Rows {
    /// # Errors
    /// What keeps the file from being read at all, as a sentence.
    pub(super) fn open(input: impl Read + 'static, format: Option<Format>) -> Result<Self, String> {
        let mut input: BufReader<Box<dyn Read>> = BufReader::with_capacity(1 << 16, Box::new(input));
        let start = input.fill_buf().map_err(|error| error.to_string())?;
        // Spreadsheets put a byte order mark in front.
        let mark = if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let first = start.get(mark..).unwrap_or_default().iter().find(|b| !b.is_ascii_whitespace()).copied();
        input.consume(mark);
        let told = if first == Some(b'{') { Format::Jsonl } else { Format::Csv };
        let lines = Lines { input, line: 0, failed: false };
        match format.unwrap_or(told) {
            Format::Jsonl => Ok(Self::Jsonl(lines)),
            Format::Csv => Table::open(lines).map(Self::Csv),
        }
    }
}

impl Iterator for Rows {
    type Item = (u64, Result<Row, Wrong>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Jsonl(lines) => {
                let (line, text) = lines.next()?;
                let row = text
                    .and_then(|text| serde_json::from_slice(&text).map_err(|error| malformed(plain(&error))));
                Some((line, row))
            }
            Self::Csv(table) => {
                let (line, text) = table.lines.next()?;
                Some((line, text.and_then(|text| table.row(&record(&text)?))))
            }
        }
    }
}

/// Lines that have something in them.
pub(super) struct Lines {
    input: BufReader<Box<dyn Read>>,
    line: u64,
    /// Nothing more can be read.
    failed: bool,
}

impl Iterator for Lines {
    type Item = (u64, Result<Vec<u8>, Wrong>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.failed {
                return None;
            }
            let mut text = Vec::new();
            self.line += 1;
            match self.input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut text) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => {
                    self.failed = true;
                    return Some((self.line, Err(malformed(format!("cannot read on: {error}")))));
                }
            }
            if !text.ends_with(b"\n") && text.len() as u64 >= LONGEST_LINE {
                let skipped = self.input.skip_until(b'\n').map(drop);
                let why =
                    skipped.map_or_else(malformed, |()| malformed("the line is longer than 65536 bytes"));
                return Some((self.line, Err(why)));
            }
            if !text.iter().all(u8::is_ascii_whitespace) {
                return Some((self.line, Ok(text)));
            }
        }
    }
}

/// The parser's words without its place: there is one line, and the report names it.
fn plain(error: &serde_json::Error) -> String {
    if !error.is_data() {
        return "the line is not a JSON object".to_owned();
    }
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

/// One line of CSV (RFC 4180).
fn record(line: &[u8]) -> Result<StringRecord, Wrong> {
    if line.iter().filter(|&&b| b == b'"').count() % 2 == 1 {
        return Err(malformed("a quotation mark is not closed on its line"));
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .buffer_capacity(line.len())
        .from_reader(line);
    let mut record = StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(_) => Ok(record),
        Err(_) => Err(malformed("the row is not text in UTF-8")),
    }
}

pub(super) struct Table {
    lines: Lines,
    /// Which of [`COLUMNS`] each column is.
    columns: Vec<&'static str>,
}

impl Table {
    fn open(mut lines: Lines) -> Result<Self, String> {
        let header = match lines.next() {
            Some((_, text)) => text.and_then(|text| record(&text)).map_err(|wrong| wrong.detail)?,
            None => StringRecord::new(),
        };
        let mut columns = Vec::new();
        for name in &header {
            let lower = name.to_ascii_lowercase();
            let column = COLUMNS.into_iter().find(|column| *column == lower);
            match column {
                None => {
                    return Err(format!(
                        "the first line has to name the columns, and {name:?} is none: {}",
                        COLUMNS.join(", ")
                    ));
                }
                Some(column) if columns.contains(&column) => {
                    return Err(format!("the column {column} stands twice"));
                }
                Some(column) => columns.push(column),
            }
        }
        if !columns.is_empty() && !columns.contains(&"username") {
            return Err("there is no column username".to_owned());
        }
        Ok(Self { lines, columns })
    }

    fn row(&self, record: &StringRecord) -> Result<Row, Wrong> {
        if record.len() != self.columns.len() {
            return Err(malformed(format!(
                "{} columns where the header has {}",
                record.len(),
                self.columns.len()
            )));
        }
        let mut row = Row::default();
        for (column, value) in self.columns.iter().zip(record) {
            let some = || Some(value).filter(|value| !value.is_empty()).map(str::to_owned);
            match *column {
                "username" => value.clone_into(&mut row.username),
                "email" => row.email = some(),
                "email_verified" => {
                    row.email_verified = match value.to_ascii_lowercase().as_str() {
                        "true" | "1" | "yes" => true,
                        "" | "false" | "0" | "no" => false,
                        _ => return Err(malformed("email_verified is neither true nor false")),
                    }
                }
                "roles" => {
                    let separated = value.split(|c: char| c.is_whitespace() || matches!(c, '|' | ',' | ';'));
                    row.roles = separated.filter(|role| !role.is_empty()).map(str::to_owned).collect();
                }
                _ => row.password_hash = some(),
            }
        }
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str, format: Option<Format>) -> Vec<(u64, Result<Row, Wrong>)> {
        Rows::open(std::io::Cursor::new(text.as_bytes().to_vec()), format).unwrap().collect()
    }

    fn ada() -> Row {
        Row {
            username: "ada".to_owned(),
            email: Some("ada@example.com".to_owned()),
            email_verified: true,
            roles: vec!["admin".to_owned(), "editor".to_owned()],
            password_hash: Some("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA".to_owned()),
        }
    }

    #[test]
    fn both_forms_say_the_same() {
        let csv = "\u{feff}Username, email,roles,password_hash,email_verified\r\n\
            ada,ada@example.com,admin|editor,\"$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA\",yes\r\n";
        let json = "\n{\"username\":\"ada\",\"email\":\"ada@example.com\",\"email_verified\":true,\
            \"roles\":[\"admin\",\"editor\"],\"password_hash\":\"$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA\"}\n\n";
        assert_eq!(rows(csv, None), [(2, Ok(ada()))]);
        assert_eq!(rows(json, None), [(2, Ok(ada()))]);
    }

    #[test]
    fn no_row_is_lost_after_a_bad_one() {
        let csv = "username,email\nada,\nonly\nbob,b@example.com,more\neve,e@example.com\n";
        let found: Vec<_> =
            rows(csv, None).into_iter().map(|(line, row)| (line, row.map(|row| row.username).ok())).collect();
        assert_eq!(found, [(2, Some("ada".to_owned())), (3, None), (4, None), (5, Some("eve".to_owned()))]);

        let json = format!(
            "{{\"username\":\"ada\"}}\n{{\"user\":1}}\nnonsense\n{}\n{{\"username\":\"eve\"}}",
            "x".repeat(100_000)
        );
        let found: Vec<_> = rows(&json, Some(Format::Jsonl))
            .into_iter()
            .map(|(line, row)| (line, row.map_err(|wrong| wrong.detail).map(|row| row.username)))
            .collect();
        insta::assert_debug_snapshot!(found, @r#"
        [
            (
                1,
                Ok(
                    "ada",
                ),
            ),
            (
                2,
                Err(
                    "unknown field `user`, expected one of `username`, `email`, `email_verified`, `roles`, `password_hash`",
                ),
            ),
            (
                3,
                Err(
                    "the line is not a JSON object",
                ),
            ),
            (
                4,
                Err(
                    "the line is longer than 65536 bytes",
                ),
            ),
            (
                5,
                Ok(
                    "eve",
                ),
            ),
        ]
        "#);
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let csv = "username,email\r\n\r\nada,\r\n\r\n\r\n\"b\nob\",\r\n\"eve\",\r\n";
        let found: Vec<_> = rows(csv, None).into_iter().map(|(line, row)| (line, row.is_ok())).collect();
        assert_eq!(found, [(3, true), (6, false), (7, false), (8, true)]);
    }

    #[test]
    fn a_row_that_is_not_text_is_refused_alone() {
        let bytes = b"username\nada\nb\xffb\neve\n".to_vec();
        let found: Vec<bool> =
            Rows::open(std::io::Cursor::new(bytes), None).unwrap().map(|(_, row)| row.is_ok()).collect();
        assert_eq!(found, [true, false, true]);
    }

    #[test]
    fn a_header_has_to_be_there_and_known() {
        for text in ["ada,ada@example.com\n", "username,password\n", "email\n", "username,username\n"] {
            assert!(
                Rows::open(std::io::Cursor::new(text.as_bytes().to_vec()), Some(Format::Csv)).is_err(),
                "{text}"
            );
        }
        assert_eq!(rows("", Some(Format::Csv)), []);
        assert_eq!(rows("", Some(Format::Jsonl)), []);
    }
}
