//! XLSB: a workbook as an archive of binary records.
//!
//! A record is a kind and a length, seven bits a byte, and its bytes. Kinds that hold no cell are passed
//! over by their length, and a part that ends within a record ends with it.

use std::collections::HashMap;

use super::super::archive::Archive;
use super::super::extracted::Extracted;
use super::super::limits::Meter;
use super::super::relations::Relations;
use super::bytes::{Bytes, error_name, utf16};
use super::dates::Shown;
use super::refused;
use super::sheet::{Book, Cell, Value};
use crate::error::Result;

const ROW: u32 = 0;
const NUMBER_PACKED: u32 = 2;
const ERROR: u32 = 3;
const TRUTH: u32 = 4;
const NUMBER: u32 = 5;
const TEXT: u32 = 6;
const SHARED: u32 = 7;
const FORMULA_TEXT: u32 = 8;
const FORMULA_NUMBER: u32 = 9;
const FORMULA_TRUTH: u32 = 10;
const FORMULA_ERROR: u32 = 11;
const SHARED_ITEM: u32 = 19;
const FORMAT: u32 = 44;
const STYLE: u32 = 47;
const RICH_TEXT: u32 = 62;
const WORKBOOK: u32 = 153;
const SHEET: u32 = 156;
const STYLES_OF_CELLS: u32 = 617;
const STYLES_OF_CELLS_END: u32 = 618;

pub(super) fn extract(
    archive: &mut Archive<'_>,
    full: bool,
    meter: &mut Meter,
) -> Result<Extracted> {
    let relations = Relations::of("xl/workbook.bin", archive, meter)?;
    let Some(bytes) = archive.bytes("xl/workbook.bin", meter)? else {
        return Err(refused("the archive holds no xl/workbook.bin"));
    };
    let mut book = Book::default();
    let mut sheets = Vec::new();
    let mut records = Records(Bytes(&bytes));
    while let Some((kind, mut record)) = records.next(meter)? {
        match kind {
            SHEET => sheets.extend(sheet(&mut record)),
            WORKBOOK => book.from_1904 = record.long().is_some_and(|flags| flags & 1 != 0),
            _ => {}
        }
    }
    if let Some(part) = relations.of_kind("sharedStrings") {
        let bytes = archive.bytes(part, meter)?.unwrap_or_default();
        let mut records = Records(Bytes(&bytes));
        while let Some((kind, mut record)) = records.next(meter)? {
            if kind == SHARED_ITEM {
                meter.cell()?;
                record.byte();
                book.shared.push(text(&mut record).unwrap_or_default());
            }
        }
    }
    let mut styles = Vec::new();
    if let (true, Some(part)) = (full, relations.of_kind("styles")) {
        styles = formats(&archive.bytes(part, meter)?.unwrap_or_default(), meter)?;
    }
    for (name, id) in sheets {
        let part = relations.target(&id).map(str::to_owned);
        let bytes = match part {
            Some(part) => archive.bytes(&part, meter)?.unwrap_or_default(),
            None => Vec::new(),
        };
        let cells = cells(&bytes, &styles, meter)?;
        book.sheet(&name, cells, meter)?;
    }
    Ok(book.finish(full))
}

struct Records<'a>(Bytes<'a>);

impl<'a> Records<'a> {
    fn next(&mut self, meter: &mut Meter) -> Result<Option<(u32, Bytes<'a>)>> {
        meter.step()?;
        Ok(self.record())
    }

    fn record(&mut self) -> Option<(u32, Bytes<'a>)> {
        let kind = self.0.byte()?;
        let kind = match kind & 0x80 {
            0 => u32::from(kind),
            _ => u32::from(kind & 0x7F) | u32::from(self.0.byte()? & 0x7F) << 7,
        };
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.0.byte()?;
            length |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Some((kind, Bytes(self.0.take(length)?)))
    }
}

/// A string behind its count of characters.
fn text(record: &mut Bytes<'_>) -> Option<String> {
    let count = record.size()?;
    record.take(count.checked_mul(2)?).map(utf16)
}

/// Name and reference of a sheet.
fn sheet(record: &mut Bytes<'_>) -> Option<(String, String)> {
    record.take(8)?;
    let id = text(record)?;
    Some((text(record)?, id))
}

fn formats(bytes: &[u8], meter: &mut Meter) -> Result<Vec<Shown>> {
    let mut custom = HashMap::new();
    let mut styles = Vec::new();
    let mut in_cells = false;
    let mut records = Records(Bytes(bytes));
    while let Some((kind, mut record)) = records.next(meter)? {
        match kind {
            FORMAT => {
                let number = record.short();
                let format = text(&mut record).unwrap_or_default();
                custom.extend(number.map(|number| (number, Shown::of_format(&format))));
            }
            STYLES_OF_CELLS => in_cells = true,
            STYLES_OF_CELLS_END => in_cells = false,
            STYLE if in_cells => {
                record.short();
                let number = record.short().unwrap_or(0);
                let built_in = Shown::built_in(u32::from(number));
                styles.push(custom.get(&number).copied().unwrap_or(built_in));
            }
            _ => {}
        }
    }
    Ok(styles)
}

fn cells(bytes: &[u8], styles: &[Shown], meter: &mut Meter) -> Result<Vec<Cell>> {
    let mut cells = Vec::new();
    let mut row = 0;
    let mut records = Records(Bytes(bytes));
    while let Some((kind, mut record)) = records.next(meter)? {
        if kind == ROW {
            row = record.long().unwrap_or(row);
        } else if let Some((column, value)) = cell(kind, &mut record, styles) {
            meter.cell()?;
            cells.push(Cell { row, column, value });
        }
    }
    Ok(cells)
}

fn cell(kind: u32, record: &mut Bytes<'_>, styles: &[Shown]) -> Option<(u32, Value)> {
    if !(NUMBER_PACKED..=FORMULA_ERROR).contains(&kind) && kind != RICH_TEXT {
        return None;
    }
    let column = record.long()?;
    // Above the 24 bits of the style stand flags.
    let style = record.long()? & 0x00FF_FFFF;
    let shown = usize::try_from(style).ok().and_then(|style| styles.get(style));
    let number = |number| match shown {
        None | Some(Shown::Number) => Value::Number(number),
        Some(shown) => Value::Moment(number, *shown),
    };
    let value = match kind {
        NUMBER_PACKED => number(record.packed_number()?),
        NUMBER | FORMULA_NUMBER => number(record.double()?),
        ERROR | FORMULA_ERROR => Value::Text(error_name(record.byte()?).into()),
        TRUTH | FORMULA_TRUTH => Value::Truth(record.byte()? != 0),
        TEXT | FORMULA_TEXT => Value::Text(text(record)?.into()),
        SHARED => Value::Shared(record.size()?),
        _ => {
            record.byte()?;
            Value::Text(text(record)?.into())
        }
    };
    Some((column, value))
}
