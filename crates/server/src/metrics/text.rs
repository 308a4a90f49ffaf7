//! The text that Prometheus reads (exposition format 0.0.4).

use std::fmt::{Display, Write as _};

use super::Histogram;

/// `Content-Type` of it.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family's numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The text in the making: a family's head, then its samples.
#[derive(Debug, Default)]
pub(crate) struct Text {
    text: String,
    family: &'static str,
}

/// Names and values of a sample's labels.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    /// Begins a family. Its head is written even where it has no samples yet, so that what exists can be seen.
    pub(crate) fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.family = name;
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// A sample of the family.
    pub(crate) fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.line("", labels, None, value);
    }

    /// A family of one sample without labels.
    pub(crate) fn single(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }

    /// The samples of a histogram.
    pub(crate) fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram) {
        let mut count = 0;
        for (bound, seen) in histogram.cumulative() {
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
            self.line("_bucket", labels, Some(&bound), seen);
            count = seen;
        }
        self.line("_sum", labels, None, histogram.sum_seconds());
        self.line("_count", labels, None, count);
    }

    #[must_use]
    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, le: Option<&str>, value: impl Display) {
        let family = self.family;
        self.push(format_args!("{family}{suffix}"));
        let mut separator = '{';
        for (name, value) in labels.iter().copied().chain(le.map(|le| ("le", le))) {
            self.push(format_args!("{separator}{name}=\"{}\"", Escaped(value)));
            separator = ',';
        }
        self.push(format_args!("{} {value}\n", if separator == '{' { "" } else { "}" }));
    }

    fn push(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.text.write_fmt(arguments);
    }
}

/// A label's value: every text is one, with three characters escaped.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn is_written_as_prometheus_reads_it() {
        let mut text = Text::default();
        text.single("a", Kind::Gauge, "One number.", 1.5);
        text.family("b_total", Kind::Counter, "Labelled.");
        text.sample(&[("x", "1"), ("y", "a\\b\"c\nd")], 7);
        text.family("c_seconds", Kind::Histogram, "Times.");
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(2));
        text.histogram(&[("z", "q")], &histogram);
        let text = text.finish();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..3], ["# HELP a One number.", "# TYPE a gauge", "a 1.5"]);
        assert_eq!(lines[5], r#"b_total{x="1",y="a\\b\"c\nd"} 7"#);
        assert_eq!(lines[8], r#"c_seconds_bucket{z="q",le="0.0001"} 0"#);
        assert_eq!(lines[11], r#"c_seconds_bucket{z="q",le="0.0025"} 1"#);
        assert_eq!(lines[lines.len() - 3], r#"c_seconds_bucket{z="q",le="+Inf"} 1"#);
        assert_eq!(lines[lines.len() - 2], r#"c_seconds_sum{z="q"} 0.002"#);
        assert_eq!(lines[lines.len() - 1], r#"c_seconds_count{z="q"} 1"#);
    }
}
