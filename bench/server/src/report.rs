//! What was measured: a table for people, JSON for programs, and a picture.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::Outcome;

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

    fn spread(&self) -> (f64, f64) {
        let least = self.rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (least, most)
    }
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
    pub(crate) note: String,
}

impl Row {
    #[must_use]
    pub(crate) fn ratio(what: &str, ours: &Figures, theirs: &Figures, bar: Option<Bar>) -> Self {
        let note = format!(
            "{} {} against {} {}",
            shown(ours.median()),
            ours.unit,
            shown(theirs.median()),
            theirs.unit
        );
        Self { what: what.to_owned(), value: ours.median() / theirs.median(), unit: "×", bar, note }
    }

    #[must_use]
    pub(crate) fn figure(what: &str, value: f64, unit: &'static str, bar: Option<Bar>, note: &str) -> Self {
        Self { what: what.to_owned(), value, unit, bar, note: note.to_owned() }
    }

    fn verdict(&self) -> &'static str {
        match self.bar {
            Some(Bar::AtLeast(bar)) if self.value >= bar => "met",
            Some(Bar::AtMost(bar)) if self.value <= bar => "met",
            Some(_) => "**not met**",
            None => "",
        }
    }
}

/// One part of the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
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
    let mut text = String::new();
    let _ = writeln!(text, "{machine}\n");
    for part in parts {
        let _ = writeln!(text, "### {}\n\n{}\n", part.title, part.about);
        if !part.rows.is_empty() {
            text += "| | measured | bar | | of |\n|---|---:|---:|---|---|\n";
            for row in &part.rows {
                let bar = match row.bar {
                    Some(Bar::AtLeast(bar)) => format!("≥ {}", shown(bar)),
                    Some(Bar::AtMost(bar)) => format!("≤ {}", shown(bar)),
                    None => String::new(),
                };
                let (value, verdict) = (shown(row.value), row.verdict());
                let _ = writeln!(
                    text,
                    "| {} | {value} {} | {bar} | {verdict} | {} |",
                    row.what, row.unit, row.note
                );
            }
            text.push('\n');
        }
        if !part.figures.is_empty() {
            text += "| | median | least | most | |\n|---|---:|---:|---:|---|\n";
            for figures in &part.figures {
                let (least, most) = figures.spread();
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {} | {} |",
                    figures.name,
                    shown(figures.median()),
                    shown(least),
                    shown(most),
                    figures.unit
                );
            }
            text.push('\n');
        }
    }
    text
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
                   "note": row.note})
        });
        json!({"title": part.title, "figures": figures.collect::<Vec<_>>(), "rows": rows.collect::<Vec<_>>()})
    };
    json!({"machine": machine, "parts": parts.iter().map(part).collect::<Vec<_>>()})
}

/// Bars of what has the same unit, longest first come; readable on light and dark.
pub(crate) fn plot(part: &Part, unit: &'static str, path: &Path) -> Outcome<()> {
    const LINE: f64 = 26.0;
    let shown_here: Vec<_> = part.figures.iter().filter(|figures| figures.unit == unit).collect();
    let most = shown_here.iter().map(|figures| figures.median()).fold(0.0, f64::max);
    let height = f64::from(u32::try_from(shown_here.len())?) * LINE + 44.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 {height}\" role=\"img\" aria-label=\"{title}\">\
         <style>text{{font:13px system-ui,sans-serif;fill:#222}}.bar{{fill:#3b6fd4}}.ours{{fill:#d4683b}}\
         @media(prefers-color-scheme:dark){{text{{fill:#ddd}}.bar{{fill:#7fa6f0}}.ours{{fill:#f09a6f}}}}</style>\
         <text x=\"8\" y=\"20\" font-weight=\"600\">{title}, {unit}</text>",
        title = escaped(part.title),
    );
    for (index, figures) in shown_here.iter().enumerate() {
        let y = f64::from(u32::try_from(index)?) * LINE + 34.0;
        let width = (figures.median() / most * 320.0).max(1.0);
        let class = if figures.name.starts_with("Jotgate") { "ours" } else { "bar" };
        let _ = write!(
            svg,
            "<text x=\"8\" y=\"{:.0}\">{}</text><rect class=\"{class}\" x=\"330\" y=\"{y:.0}\" width=\"{width:.1}\" \
             height=\"18\" rx=\"2\"/><text x=\"{:.0}\" y=\"{:.0}\">{}</text>",
            y + 14.0,
            escaped(&figures.name),
            336.0 + width,
            y + 14.0,
            shown(figures.median()),
        );
    }
    svg += "</svg>\n";
    std::fs::write(path, svg)?;
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
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
        let part = Part { title: "t", about: String::new(), figures: vec![ours, theirs], rows: vec![row] };
        let text = markdown("m", std::slice::from_ref(&part));
        assert!(
            text.contains("**not met**") && text.contains("| Jotgate | 80.0 | 70.0 | 90.0 | 1/s |"),
            "{text}"
        );
        let folder = tempfile::tempdir().unwrap();
        plot(&part, "1/s", &folder.path().join("a.svg")).unwrap();
        let svg = std::fs::read_to_string(folder.path().join("a.svg")).unwrap();
        assert!(svg.contains("class=\"ours\"") && svg.contains("prefers-color-scheme:dark"));
        assert_eq!(json("m", &[part])["parts"][0]["rows"][0]["at_least"], 0.81);
    }
}
