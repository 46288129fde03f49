//! From cells to text, as 0.6.8 lays it out, without ever making the grid that holds them.
//!
//! A sheet is its cells. Rows and columns between them are printed as 0.6.8 prints them (an empty row of
//! several columns is a row of bars) while all grids together stay within the limit of cells. A sheet whose
//! grid would exceed it, such as one with two cells in far corners, is printed as its cells with their
//! addresses, and named in the flags.

use std::collections::BTreeMap;

use serde_json::Value as Flag;

use super::super::extracted::Extracted;
use super::super::limits::Meter;
use super::dates::Shown;
use crate::error::Result;

#[derive(Debug)]
pub(super) enum Value {
    /// Its number among the shared strings.
    Shared(usize),
    Text(Box<str>),
    Truth(bool),
    Number(f64),
    Moment(f64, Shown),
}

#[derive(Debug)]
pub(super) struct Cell {
    pub(super) row: u32,
    pub(super) column: u32,
    pub(super) value: Value,
}

/// The text of a workbook, sheet by sheet.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) shared: Vec<String>,
    pub(super) from_1904: bool,
    text: String,
    /// Cells of all grids so far.
    area: usize,
    sparse: Vec<String>,
    sheets: Vec<String>,
}

impl Book {
    pub(super) fn sheet(
        &mut self,
        name: &str,
        mut cells: Vec<Cell>,
        meter: &mut Meter,
    ) -> Result<()> {
        if self.sheets.is_empty() {
            meter.push(&mut self.text, "Excel Document Content:\n\n")?;
        }
        self.sheets.push(name.to_owned());
        let rule = "-".repeat(name.len() + "Sheet: ".len());
        meter.push(&mut self.text, &format!("Sheet: {name}\n{rule}\n"))?;
        // Stable: of two cells in one place the later counts.
        cells.sort_by_key(|cell| (cell.row, cell.column));
        let bounds = bounds(&cells);
        let most = meter.limits().cells;
        let area = bounds.map_or(0, |(_, rows, columns)| rows.saturating_mul(columns));
        if self.area.saturating_add(area) <= most {
            self.area += area;
            if let Some((left, _, columns)) = bounds {
                self.grid(&cells, left, columns, meter)?;
            }
        } else {
            self.sparse.push(name.to_owned());
            self.list(&cells, meter)?;
        }
        meter.push(&mut self.text, "\n")
    }

    pub(super) fn finish(mut self, full: bool) -> Extracted {
        let mut flags = BTreeMap::new();
        if !self.sparse.is_empty() {
            flags.insert("sparse_sheets".to_owned(), Flag::from(self.sparse));
        }
        if full {
            flags.insert("sheets".to_owned(), Flag::from(self.sheets));
        }
        if self.text.is_empty() {
            self.text.push_str("Excel Document Content:");
        }
        Extracted { text: self.text.trim().to_owned(), flags }
    }

    fn grid(&mut self, cells: &[Cell], left: u32, columns: usize, meter: &mut Meter) -> Result<()> {
        let right = left.saturating_add(u32::try_from(columns).unwrap_or(u32::MAX));
        let empty = format!("{}\n", " | ".repeat(columns.saturating_sub(1)));
        let mut below: Option<u32> = None;
        for row in cells.chunk_by(|one, other| one.row == other.row) {
            let Some(number) = row.first().map(|cell| cell.row) else { continue };
            // A row of one column without text is blank, and blank rows are left out.
            let gap = below.map_or(0, |below| number.saturating_sub(below));
            for _ in 0..if columns > 1 { gap } else { 0 } {
                meter.push(&mut self.text, &empty)?;
            }
            below = number.checked_add(1);
            let start = self.text.len();
            let mut row = row.iter().peekable();
            for column in left..right {
                if column > left {
                    meter.push(&mut self.text, " | ")?;
                }
                while let Some(cell) = row.next_if(|cell| cell.column == column) {
                    if row.peek().is_none_or(|next| next.column != column) {
                        self.value(&cell.value, meter)?;
                    }
                }
            }
            if self.text.get(start..).is_some_and(|line| line.trim().is_empty()) {
                self.text.truncate(start);
            } else {
                meter.push(&mut self.text, "\n")?;
            }
        }
        Ok(())
    }

    fn list(&mut self, cells: &[Cell], meter: &mut Meter) -> Result<()> {
        for row in cells.chunk_by(|one, other| one.row == other.row) {
            for (place, cell) in row.iter().enumerate() {
                let between = if place == 0 { "" } else { " | " };
                meter.push(&mut self.text, between)?;
                let address = format!("{}{}: ", letters(cell.column), u64::from(cell.row) + 1);
                meter.push(&mut self.text, &address)?;
                self.value(&cell.value, meter)?;
            }
            meter.push(&mut self.text, "\n")?;
        }
        Ok(())
    }

    fn value(&mut self, value: &Value, meter: &mut Meter) -> Result<()> {
        let text = &mut self.text;
        match value {
            Value::Shared(place) => {
                meter.push(text, self.shared.get(*place).map_or("", String::as_str))
            }
            Value::Text(own) => meter.push(text, own),
            Value::Truth(truth) => meter.push(text, if *truth { "true" } else { "false" }),
            Value::Number(number) => meter.push(text, &number.to_string()),
            Value::Moment(serial, shown) => {
                let date = shown.text(*serial, self.from_1904);
                meter.push(text, &date.unwrap_or_else(|| serial.to_string()))
            }
        }
    }
}

/// The leftmost column, the count of rows and that of columns; the cells are sorted.
fn bounds(cells: &[Cell]) -> Option<(u32, usize, usize)> {
    let (top, bottom) = (cells.first()?.row, cells.last()?.row);
    let columns = || cells.iter().map(|cell| cell.column);
    let (left, right) = (columns().min()?, columns().max()?);
    let count = |first: u32, last: u32| usize::try_from(last - first).ok()?.checked_add(1);
    Some((left, count(top, bottom)?, count(left, right)?))
}

/// The name of a column: A to Z, AA and on.
fn letters(column: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = u64::from(column) + 1;
    while rest > 0 {
        letters.push(char::from(b'A' + u8::try_from((rest - 1) % 26).unwrap_or(0)));
        rest = (rest - 1) / 26;
    }
    letters.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Limits;

    fn printed(cells: &[(u32, u32, &str)], most: usize) -> Extracted {
        let mut book = Book::default();
        let mut meter = Meter::new(Limits { cells: most, ..Limits::default() });
        let cells = cells.iter().map(|&(row, column, text)| Cell {
            row,
            column,
            value: Value::Text(text.into()),
        });
        book.sheet("S", cells.collect(), &mut meter).unwrap();
        book.finish(false)
    }

    #[test]
    fn gaps_are_printed_as_rows_of_bars() {
        let cells = [(5, 3, "c"), (2, 1, "old"), (2, 1, "a"), (2, 2, "b")];
        let text = printed(&cells, 100).text;
        assert_eq!(
            text,
            "Excel Document Content:\n\nSheet: S\n--------\na | b | \n |  | \n |  | \n |  | c"
        );
    }

    #[test]
    fn far_corners_are_printed_with_their_addresses() {
        let printed = printed(&[(0, 0, "first"), (1_048_575, 16_383, "last")], 1_000_000);
        assert!(
            printed.text.ends_with("--------\nA1: first\nXFD1048576: last"),
            "{}",
            printed.text
        );
        assert_eq!(printed.flags["sparse_sheets"], Flag::from(vec!["S"]));
    }
}
