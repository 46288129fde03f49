//! Where the cells of a table stand when some of them reach over several columns and rows.
//!
//! A value is kept once, in the first of its places; the others stay empty, so that whatever stands beside
//! and below it is under its own heading. Only cells that exist are kept, and columns in which none
//! begins are left out: a cell that claims a million columns costs what any other costs.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::load::limits::Meter;

/// The most columns and rows that a cell of a page reaches over, as the HTML standard has it.
const MOST_COLUMNS: usize = 1000;
const MOST_ROWS: usize = 65_534;

/// How many columns and rows a cell covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load) struct Span {
    pub(in crate::load) columns: usize,
    /// `None` for all that are left in the group of rows.
    pub(in crate::load) rows: Option<usize>,
}

impl Span {
    /// As the attributes of a cell have it; nonsense counts as one.
    pub(super) fn written(columns: Option<&str>, rows: Option<&str>) -> Self {
        let number = |text: Option<&str>| text.and_then(leading_number).unwrap_or(1);
        let rows = number(rows).min(MOST_ROWS);
        Self {
            columns: number(columns).clamp(1, MOST_COLUMNS),
            rows: if rows == 0 { None } else { Some(rows) },
        }
    }
}

/// A table on its way. Rows come one after the other, cells from left to right.
#[derive(Debug, Default)]
pub(in crate::load) struct Grid {
    /// Each cell with the column in which it begins.
    rows: Vec<Vec<(usize, String)>>,
    /// Cells of earlier rows that reach into this one or below, from left to right.
    above: Vec<Above>,
    /// How many of them the row has passed, and where its next cell may stand.
    passed: usize,
    column: usize,
    /// Cells of this row that reach below it.
    below: Vec<Above>,
}

#[derive(Debug)]
struct Above {
    column: usize,
    end: usize,
    /// The first row that it does not reach into.
    until: usize,
}

impl Grid {
    /// Begins a group of rows, out of which no cell reaches.
    pub(in crate::load) fn group(&mut self) {
        self.above.clear();
        self.below.clear();
    }

    /// Begins a row. What reaches down is counted as cells, so that a page of holes is refused before it
    /// takes all the time that there is.
    pub(in crate::load) fn row(&mut self, meter: &mut Meter) -> Result<()> {
        let row = self.rows.len();
        self.rows.push(Vec::new());
        (self.passed, self.column) = (0, 0);
        if self.below.is_empty() {
            return Ok(());
        }
        let mut above = std::mem::take(&mut self.above);
        above.append(&mut self.below);
        above.sort_by_key(|cell| cell.column);
        for cell in above.into_iter().filter(|cell| cell.until > row) {
            match self.above.last_mut() {
                // Neighbours that end together are as good as one.
                Some(last) if last.until == cell.until && last.end >= cell.column => {
                    meter.step()?;
                    last.end = last.end.max(cell.end);
                }
                _ => {
                    meter.cell()?;
                    self.above.push(cell);
                }
            }
        }
        Ok(())
    }

    /// Leaves columns of the row empty.
    pub(in crate::load) fn skip(&mut self, columns: usize) {
        self.column = self.column.saturating_add(columns.min(MOST_COLUMNS));
    }

    /// Adds a cell behind the last one, where nothing reaches down from above.
    pub(in crate::load) fn cell(
        &mut self,
        text: String,
        span: Span,
        meter: &mut Meter,
    ) -> Result<()> {
        let next = self.rows.len();
        let Some(row) = self.rows.last_mut() else { return Ok(()) };
        while let Some(above) = self.above.get(self.passed).filter(|it| it.column <= self.column) {
            meter.cell()?;
            // The row has been added, so it is the one before the next.
            if above.until >= next {
                self.column = self.column.max(above.end);
            }
            self.passed = self.passed.saturating_add(1);
        }
        let column = self.column;
        row.push((column, text));
        let end = column.saturating_add(span.columns);
        self.column = end;
        if span.rows != Some(1) {
            let below = span.rows.map(|rows| next.saturating_add(rows).saturating_sub(1));
            self.below.push(Above { column, end, until: below.unwrap_or(usize::MAX) });
        }
        Ok(())
    }

    /// Leaves out the rows in which nothing is written.
    pub(in crate::load) fn drop_blank_rows(&mut self) {
        self.rows.retain(|row| row.iter().any(|(_, text)| !text.is_empty()));
    }

    /// The texts of each row as they come, without the empty places.
    pub(in crate::load) fn texts(&self) -> impl Iterator<Item = Vec<&str>> {
        self.rows.iter().map(|row| row.iter().map(|(_, text)| text.as_str()).collect())
    }

    /// How many columns there are, and for each row the text of each place in it.
    pub(in crate::load) fn lines(
        &self,
    ) -> (usize, impl Iterator<Item = impl Iterator<Item = &str>>) {
        let starts: BTreeSet<usize> =
            self.rows.iter().flatten().map(|(column, _)| *column).collect();
        let starts: Vec<usize> = starts.into_iter().collect();
        let width = starts.len();
        let lines = self.rows.iter().map(move |row| {
            let mut cells = row.iter().peekable();
            let starts = starts.clone();
            starts.into_iter().map(move |start| {
                cells.next_if(|(column, _)| *column == start).map_or("", |(_, text)| text.as_str())
            })
        });
        (width, lines)
    }
}

/// The number that a text begins with, as the HTML standard reads it.
fn leading_number(text: &str) -> Option<usize> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0C', '\r']);
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let digits = text.get(..digits).filter(|digits| !digits.is_empty())?;
    // What does not fit is more than anybody allows.
    Some(digits.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Limits;

    /// A line a row, its cells as `text columns rows`.
    fn laid_out(table: &str) -> Vec<String> {
        let mut meter = Meter::new(Limits::default());
        let mut grid = Grid::default();
        for row in table.lines() {
            if row == "group" {
                grid.group();
                continue;
            }
            grid.row(&mut meter).unwrap();
            for cell in row.split('|').filter(|cell| !cell.trim().is_empty()) {
                let mut words = cell.split_whitespace();
                let text = words.next().unwrap_or_default().to_owned();
                let (columns, rows) = (words.next(), words.next());
                grid.cell(text, Span::written(columns, rows), &mut meter).unwrap();
            }
        }
        let (_, lines) = grid.lines();
        lines.map(|line| line.collect::<Vec<_>>().join("|")).collect()
    }

    #[test]
    fn every_value_stands_under_its_own_heading() {
        for (table, expected) in [
            ("a|b|c\nd|e", &["a|b|c", "d|e|"][..]),
            (
                "Region|City|Sales\nNorth 1 2|Oslo|5\nTurku|7\nSouth|Rome|9",
                &["Region|City|Sales", "North|Oslo|5", "|Turku|7", "South|Rome|9"],
            ),
            ("a 2|b\nc|d|e", &["a||b", "c|d|e"]),
            // A cell behind one that reaches down, and one that reaches both ways.
            ("a|b 2 2|c\nd|e\nf|g|h|i", &["a|b||c", "d|||e", "f|g|h|i"]),
            // To the end of the group only.
            ("a 1 0|b\nc\ngroup\nd|e", &["a|b", "|c", "d|e"]),
            ("a 1 9|b\ngroup\nd|e", &["a|b", "d|e"]),
            // Two that meet in one place.
            ("a|b 1 2|c\nd 3|e\nf|g|h|i", &["a|b|c|", "d|||e", "f|g|h|i"]),
        ] {
            assert_eq!(laid_out(table), expected, "{table}");
        }
    }

    #[test]
    fn absurd_spans_cost_nothing() {
        assert_eq!(laid_out("a 100000000|b\nc 99999999999999999999999|d 0 -1"), ["a|b", "c|d"]);
        assert_eq!(laid_out("a 1 99999999999999999999999|b\nc"), ["a|b", "|c"]);
        let wide = "a 1000|".repeat(10_000);
        assert_eq!(laid_out(&wide), [wide.replace(" 1000|", "|").trim_end_matches('|')]);
    }

    #[test]
    fn numbers_are_read_as_browsers_read_them() {
        for (text, expected) in
            [("2", 2), (" +3px", 3), ("0", 1), ("-2", 1), ("", 1), ("x", 1), ("1001", 1000)]
        {
            assert_eq!(Span::written(Some(text), None).columns, expected, "{text}");
        }
        assert_eq!(Span::written(None, Some("0")).rows, None);
        assert_eq!(Span::written(None, Some("70000")).rows, Some(MOST_ROWS));
    }
}
