//! Tables for people: aligned by what is seen, not by bytes; the header stands out, nothing else does.

use anstyle::Style;
use unicode_width::UnicodeWidthStr as _;

use super::output::{BOLD, clean};

/// A table; cells are cleaned when they are added.
#[derive(Debug)]
pub(super) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(super) fn styled(style: Style, text: &str) -> Self {
        Self { text: clean(text), style }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(Style::new(), text.as_ref())
    }
}

impl Table {
    pub(super) fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    /// With a new line at the end of each row, and none at the end of cells.
    pub(super) fn render(&self) -> String {
        let mut widths: Vec<usize> = self.header.iter().map(|title| title.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        let mut out = String::new();
        let header: Vec<(&str, Style)> = self.header.iter().map(|title| (*title, BOLD)).collect();
        line(&mut out, &header, &widths);
        for row in &self.rows {
            let cells: Vec<(&str, Style)> = row.iter().map(|cell| (cell.text.as_str(), cell.style)).collect();
            line(&mut out, &cells, &widths);
        }
        out
    }
}

fn line(out: &mut String, cells: &[(&str, Style)], widths: &[usize]) {
    let mut blanks = 0;
    for ((text, style), width) in cells.iter().zip(widths) {
        if !text.is_empty() {
            out.extend(std::iter::repeat_n(' ', blanks));
            blanks = 0;
            out.push_str(&format!("{style}{text}{style:#}"));
        }
        blanks += width.saturating_sub(text.width()) + 2;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let mut table = Table::new(&["NAME", "ROLES", "STATE"]);
        table.row(["ada".into(), "admin,editor".into(), "".into()]);
        table.row(["漢字".into(), "".into(), "disabled".into()]);
        table.row(["a\nb".into(), "x".into(), "active".into()]);
        insta::assert_snapshot!(anstream::adapter::strip_str(&table.render()).to_string(), @r"
        NAME     ROLES         STATE
        ada      admin,editor
        漢字                   disabled
        a\u{a}b  x             active
        ");
    }
}
