//! Pictures of figures, readable on light and dark.

use std::fmt::Write as _;

use crate::report::{Figures, Part, shown};

const LINE: f64 = 26.0;

/// Bars of those figures of a part that have its most frequent unit; none where there is nothing to compare.
#[must_use]
pub(crate) fn svg(part: &Part) -> Option<String> {
    let of_unit = |unit: &'static str| part.figures.iter().filter(move |figures| figures.unit == unit);
    let unit = part.figures.iter().map(|figures| figures.unit).max_by_key(|unit| of_unit(unit).count())?;
    let drawn: Vec<&Figures> = of_unit(unit).collect();
    let most = drawn.iter().map(|figures| figures.median()).fold(0.0, f64::max);
    if drawn.len() < 2 || most <= 0.0 {
        return None;
    }
    let height = f64::from(u32::try_from(drawn.len()).ok()?) * LINE + 44.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 860 {height}\" role=\"img\" aria-label=\"{title}\">\
         <style>text{{font:13px system-ui,sans-serif;fill:#222}}.bar{{fill:#3b6fd4}}.ours{{fill:#d4683b}}\
         @media(prefers-color-scheme:dark){{text{{fill:#ddd}}.bar{{fill:#7fa6f0}}.ours{{fill:#f09a6f}}}}</style>\
         <text x=\"8\" y=\"20\" font-weight=\"600\">{title}, {unit}</text>",
        title = escaped(part.title),
        unit = escaped(unit),
    );
    let mut y = 34.0;
    for figures in drawn {
        let width = (figures.median() / most * 350.0).max(1.0);
        let class = if figures.name.starts_with("Jotgate") { "ours" } else { "bar" };
        let _ = write!(
            svg,
            "<text x=\"8\" y=\"{:.0}\">{}</text><rect class=\"{class}\" x=\"400\" y=\"{y:.0}\" width=\"{width:.1}\" \
             height=\"18\" rx=\"2\"/><text x=\"{:.0}\" y=\"{:.0}\">{}</text>",
            y + 14.0,
            escaped(&figures.name),
            406.0 + width,
            y + 14.0,
            shown(figures.median()),
        );
        y += LINE;
    }
    Some(svg + "</svg>\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_the_same_unit_is_drawn_together() {
        let one = |name, unit, value| Figures::one(name, unit, value);
        let part = |figures| Part { name: "t", title: "T", about: String::new(), figures, rows: Vec::new() };
        let drawn =
            svg(&part(vec![one("Jotgate a", "1/s", 5.0), one("b <c>", "1/s", 10.0), one("d", "ms", 1.0)]));
        let drawn = drawn.unwrap();
        assert!(drawn.contains("class=\"ours\"") && drawn.contains("prefers-color-scheme:dark"), "{drawn}");
        assert!(drawn.contains("b &lt;c>") && !drawn.contains(">d<"), "{drawn}");
        assert!(drawn.contains("width=\"175.0\"") && drawn.contains("width=\"350.0\""), "{drawn}");
        assert!(svg(&part(vec![one("alone", "1/s", 5.0)])).is_none());
    }
}
