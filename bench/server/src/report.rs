//! What was measured: tables for people, and JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// Figures of one thing over all rounds.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    rounds: Vec<f64>,
}

impl Figures {
    #[must_use]
    pub(crate) fn new(name: &str, unit: &'static str) -> Self {
        Self { name: name.to_owned(), unit, rounds: Vec::new() }
    }

    /// Of something that has only one.
    #[must_use]
    pub(crate) fn one(name: &str, unit: &'static str, value: f64) -> Self {
        Self { name: name.to_owned(), unit, rounds: vec![value] }
    }

    pub(crate) fn add(&mut self, value: f64) {
        self.rounds.push(value);
    }

    #[must_use]
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Least and most.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)))
}

/// Which side of a bar is good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

/// One line of the summary: a figure, or how it stands to another of the same run.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) bar: Option<Bar>,
    /// Least and most of the rounds, where there were several.
    spread: Option<(f64, f64)>,
    pub(crate) note: String,
}

impl Row {
    /// Left out where the other side did nothing.
    #[must_use]
    pub(crate) fn ratio(what: &str, ours: &Figures, theirs: &Figures, bar: Option<Bar>) -> Self {
        if theirs.median() == 0.0 {
            return Self::left_out(what, &format!("0 {} of {}", theirs.unit, theirs.name));
        }
        let note = format!(
            "{} {} against {} {}",
            shown(ours.median()),
            ours.unit,
            shown(theirs.median()),
            theirs.unit
        );
        let of_rounds = || ours.rounds.iter().zip(&theirs.rounds).map(|(ours, theirs)| ours / theirs);
        let spread = (ours.rounds.len() > 1).then(|| spread(of_rounds()));
        Self { what: what.to_owned(), value: ours.median() / theirs.median(), unit: "×", bar, spread, note }
    }

    #[must_use]
    pub(crate) fn figure(what: &str, value: f64, unit: &'static str, bar: Option<Bar>, note: &str) -> Self {
        Self { what: what.to_owned(), value, unit, bar, spread: None, note: note.to_owned() }
    }

    /// Something that could not be measured here.
    #[must_use]
    pub(crate) fn left_out(what: &str, why: &str) -> Self {
        Self::figure(what, f64::NAN, "", None, &format!("left out: {why}"))
    }

    /// False also where there is no bar.
    #[must_use]
    pub(crate) fn is_met(&self) -> bool {
        match self.bar {
            Some(Bar::AtLeast(bar)) => self.value >= bar,
            Some(Bar::AtMost(bar)) => self.value <= bar,
            None => false,
        }
    }

    fn verdict(&self) -> &'static str {
        match self.bar {
            Some(_) if self.is_met() => "met",
            Some(_) => "**not met**",
            None => "",
        }
    }
}

/// One part of the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// As `--only` takes it.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) about: String,
    pub(crate) figures: Vec<Figures>,
    pub(crate) rows: Vec<Row>,
}

/// Three digits that mean something.
#[must_use]
pub(crate) fn shown(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "–".to_owned(),
        size if size >= 1000.0 => {
            let digits = format!("{value:.0}");
            let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
            let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
            format!("{sign}{}", groups.join(","))
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The whole run in Markdown.
#[must_use]
pub(crate) fn markdown(machine: &str, parts: &[Part]) -> String {
    let mut text = format!("{machine}\n\n");
    for part in parts {
        let _ = writeln!(text, "### {}\n\n{}\n", part.title, part.about);
        text += &bars(part.rows.iter());
        text += &figures(part);
    }
    text
}

/// The rows of the summary, with what they are held against.
#[must_use]
pub(crate) fn bars<'r>(rows: impl Iterator<Item = &'r Row>) -> String {
    let mut text = String::new();
    for row in rows {
        let bar = match row.bar {
            Some(Bar::AtLeast(bar)) => format!("≥ {}", shown(bar)),
            Some(Bar::AtMost(bar)) => format!("≤ {}", shown(bar)),
            None => String::new(),
        };
        let spread =
            row.spread.map_or_else(String::new, |(least, most)| format!("{}–{}", shown(least), shown(most)));
        let (value, verdict) = (shown(row.value), row.verdict());
        let _ = writeln!(
            text,
            "| {} | {value} {} | {spread} | {bar} | {verdict} | {} |",
            row.what, row.unit, row.note
        );
    }
    if text.is_empty() {
        return text;
    }
    format!("| | measured | of the rounds | bar | | of |\n|---|---:|---:|---:|---|---|\n{text}\n")
}

/// Every figure of a part.
fn figures(part: &Part) -> String {
    let mut text = String::new();
    for figures in &part.figures {
        let (least, most) = spread(figures.rounds.iter().copied());
        let (median, least, most) = (shown(figures.median()), shown(least), shown(most));
        let _ = writeln!(text, "| {} | {median} | {least} | {most} | {} |", figures.name, figures.unit);
    }
    if text.is_empty() {
        return text;
    }
    format!("| | median | least | most | |\n|---|---:|---:|---:|---|\n{text}\n")
}

/// The whole run for programs.
#[must_use]
pub(crate) fn json(machine: &str, parts: &[Part]) -> Value {
    let part = |part: &Part| {
        let figures =
            part.figures.iter().map(|f| json!({"name": f.name, "unit": f.unit, "rounds": f.rounds}));
        let rows = part.rows.iter().map(|row| {
            let (least, most) = match row.bar {
                Some(Bar::AtLeast(bar)) => (Some(bar), None),
                Some(Bar::AtMost(bar)) => (None, Some(bar)),
                None => (None, None),
            };
            json!({"what": row.what, "value": row.value, "unit": row.unit, "at_least": least, "at_most": most,
                   "spread": row.spread, "note": row.note})
        });
        json!({"name": part.name, "title": part.title, "figures": figures.collect::<Vec<_>>(), "rows": rows.collect::<Vec<_>>()})
    };
    json!({"machine": machine, "parts": parts.iter().map(part).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        for (value, text) in [
            (0.123, "0.12"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1234.5, "1,234"),
            (1_234_567.0, "1,234,567"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(shown(value), text);
        }
    }

    #[test]
    fn a_bar_that_is_missed_is_said_to_be() {
        let (mut ours, mut theirs) = (Figures::new("Jotgate", "1/s"), Figures::new("bare", "1/s"));
        for round in [70.0, 80.0, 90.0] {
            ours.add(round);
            theirs.add(100.0);
        }
        let row = Row::ratio("x", &ours, &theirs, Some(Bar::AtLeast(0.8)));
        assert_eq!((row.value, row.verdict()), (0.8, "met"));
        let row = Row::ratio("x", &ours, &theirs, Some(Bar::AtLeast(0.81)));
        let part = Part {
            name: "t",
            title: "t",
            about: String::new(),
            figures: vec![ours, theirs],
            rows: vec![row],
        };
        let text = markdown("m", std::slice::from_ref(&part));
        assert!(
            text.contains("**not met**") && text.contains("| Jotgate | 80.0 | 70.0 | 90.0 | 1/s |"),
            "{text}"
        );
        assert!(text.contains("| x | 0.80 × | 0.70–0.90 | ≥ 0.81 |"), "{text}");
        let nothing = Figures::one("bare", "1/s", 0.0);
        let left_out = Row::ratio("x", &nothing, &nothing, None);
        assert!(left_out.value.is_nan() && left_out.note == "left out: 0 1/s of bare", "{left_out:?}");
        assert_eq!(json("m", &[part])["parts"][0]["rows"][0]["at_least"], 0.81);
    }
}
