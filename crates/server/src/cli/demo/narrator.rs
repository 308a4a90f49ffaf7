//! What the tour prints: numbered steps, what was sent, what came, and whether it is as it should be.

use serde::Serialize;

use super::client::{Answer, Ask};
use super::excerpt::{cut, excerpt};
use crate::cli::error::Failure;
use crate::cli::output::{self, BAD, BOLD, DIM, GOOD, clean, indent_json, paint};

/// Columns that a line has at most.
const WIDTH: usize = 100;
const MARGIN: &str = "   ";

/// Tells the tour, or collects it for `--json`.
pub(super) struct Narrator {
    json: bool,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    number: usize,
    title: &'static str,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    what: String,
    held: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    held: bool,
    steps: &'a [Step],
}

impl Narrator {
    pub(super) fn new(json: bool) -> Self {
        Self { json, steps: Vec::new() }
    }

    fn print(&self, text: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { output::print(text) }
    }

    pub(super) fn introduce(&self, lines: &[String]) -> Result<(), Failure> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&format!("{line}\n"));
        }
        self.print(&text)
    }

    pub(super) fn step(&mut self, title: &'static str) -> Result<(), Failure> {
        let number = self.steps.len() + 1;
        self.steps.push(Step { number, title, checks: Vec::new() });
        self.print(&format!("\n{}\n", paint(BOLD, format!("{number}  {title}"))))
    }

    /// A remark.
    pub(super) fn note(&self, text: &str) -> Result<(), Failure> {
        self.print(&format!("{MARGIN}{}\n", paint(DIM, text)))
    }

    /// A request and its answer, of whose body only these members are shown (`user.roles`: one of an inner
    /// object), and of long texts the ends.
    pub(super) fn exchange(&self, ask: &Ask<'_>, answer: &Answer, members: &[&str]) -> Result<(), Failure> {
        let mut sent = vec![ask.method.to_owned(), ask.path.to_owned()];
        if let Some((name, value)) = &ask.header {
            sent.push(format!("({name}: {})", value.split(' ').map(cookie).collect::<Vec<_>>().join(" ")));
        }
        sent.extend(ask.body.as_ref().map(|body| excerpt(body, None)));
        let mut text = folded(">", BOLD, &sent.join(" "));

        let style = if answer.status.is_success() { GOOD } else { BAD };
        let body = if answer.text.is_empty() { String::new() } else { excerpt(&answer.text, Some(members)) };
        text.push_str(&folded("<", style, format!("{} {body}", answer.status).trim_end()));
        for set in &answer.set_cookies {
            text.push_str(&folded("<", anstyle::Style::new(), &format!("Set-Cookie: {}", cookie(set))));
        }
        self.print(&text)
    }

    /// JSON as it stands, indented.
    pub(super) fn document(&self, title: &str, json: &str) -> Result<(), Failure> {
        let mut text = format!("{MARGIN}{title}\n");
        for line in indent_json(json).lines() {
            text.push_str(&format!("{MARGIN}  {}\n", clean(line)));
        }
        self.print(&text)
    }

    /// Says whether something is as it should be; where it is not, the tour ends.
    pub(super) fn check(&mut self, what: impl Into<String>, held: bool) -> Result<(), Failure> {
        let what = what.into();
        let mark = if held { paint(GOOD, "✓") } else { paint(BAD, "✗") };
        self.print(&format!("{MARGIN}{mark} {}\n", clean(&what)))?;
        if let Some(step) = self.steps.last_mut() {
            step.checks.push(Check { what, held });
        }
        if held { Ok(()) } else { Err(Failure::Failed("this step did not hold".to_owned())) }
    }

    /// The last words. `ended`: how the tour did.
    pub(super) fn finish(self, ended: Result<(), Failure>) -> Result<(), Failure> {
        let checks = self.steps.iter().flat_map(|step| &step.checks);
        let (all, bad) = checks.fold((0, 0), |(all, bad), check| (all + 1, bad + usize::from(!check.held)));
        let held = ended.is_ok() && bad == 0;
        if self.json {
            output::json(&Report { held, steps: &self.steps })?;
        } else if held {
            output::print(&format!(
                "\n{}\nThe server and its data are gone. Start one that stays: {}\n",
                paint(GOOD, format!("All {} steps held: {all} checks.", self.steps.len())),
                paint(BOLD, "jotgate serve")
            ))?;
        }
        ended
    }
}

/// A text over as many lines as it needs, broken after commas and spaces; the first word stands out.
fn folded(mark: &str, style: anstyle::Style, text: &str) -> String {
    let room = WIDTH - MARGIN.len() - 2;
    let text = clean(text);
    let mut lines: Vec<String> = vec![String::new()];
    for part in text.split_inclusive([',', ' ']) {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + part.trim_end().chars().count() > room {
            lines.push("  ".to_owned());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(part);
        }
    }
    let mark = paint(DIM, mark);
    let mut out = String::new();
    for (number, line) in lines.iter().enumerate() {
        let line = line.trim_end();
        let (first, rest) =
            if number == 0 { line.split_at(line.find(' ').unwrap_or(line.len())) } else { ("", line) };
        out.push_str(&format!(
            "{MARGIN}{mark} {}{rest}\n",
            if first.is_empty() { String::new() } else { paint(style, first) }
        ));
    }
    out
}

/// `name=value` with a long value cut; attributes stay.
fn cookie(cookie: &str) -> String {
    let (pair, attributes) = cookie.split_at(cookie.find(';').unwrap_or(cookie.len()));
    match pair.split_once('=') {
        Some((name, value)) if !value.is_empty() => format!("{name}={}{attributes}", cut(value)),
        _ => format!("{}{attributes}", cut(pair)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_and_attributes_are_not() {
        let token = "x".repeat(500);
        assert_eq!(
            cookie(&format!("jwt={token}; HttpOnly; Path=/")),
            format!("jwt={}; HttpOnly; Path=/", cut(&token))
        );
        assert_eq!(cookie("Bearer"), "Bearer");
        assert_eq!(cookie(&token), cut(&token));
    }

    #[test]
    fn lines_are_folded_after_commas() {
        let json = serde_json::Value::from(vec!["abcdefghij"; 20]).to_string();
        let text = folded("<", BOLD, &json);
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert_eq!(text.replace("\n   <   ", "").trim(), format!("< {json}"));
    }
}
