//! XLS: a workbook of Excel 5 to 2003, a stream of records in a compound file.
//!
//! First come the records of the workbook (names of sheets and where they start, strings, formats), then
//! those of each sheet. A chart within a sheet is a stream within the stream and is passed over.

use std::collections::HashMap;

use encoding_rs::Encoding;

use super::super::extracted::Extracted;
use super::super::limits::Meter;
use super::bytes::{Bytes, error_name};
use super::compound;
use super::dates::Shown;
use super::refused;
use super::sheet::{Book, Cell, Value};
use super::strings::{Spread, code_page};
use crate::error::Result;

const FORMULA: u16 = 0x0006;
const END: u16 = 0x000A;
const FROM_1904: u16 = 0x0022;
const ENCRYPTED: u16 = 0x002F;
const CONTINUED: u16 = 0x003C;
const CODE_PAGE: u16 = 0x0042;
const SHEET: u16 = 0x0085;
const NUMBERS_PACKED: u16 = 0x00BD;
const RICH_TEXT: u16 = 0x00D6;
const STYLE: u16 = 0x00E0;
const SHARED_STRINGS: u16 = 0x00FC;
const SHARED: u16 = 0x00FD;
const NUMBER: u16 = 0x0203;
const TEXT: u16 = 0x0204;
const TRUTH_OR_ERROR: u16 = 0x0205;
const FORMULA_TEXT: u16 = 0x0207;
const NUMBER_PACKED: u16 = 0x027E;
const FORMAT: u16 = 0x041E;
const START: u16 = 0x0809;

/// Excel 97, the first that writes Unicode.
const UNICODE_VERSION: u16 = 0x0600;

pub(super) fn extract(bytes: &[u8], full: bool, meter: &mut Meter) -> Result<Extracted> {
    let stream = compound::stream(bytes, &["Workbook", "Book"])?;
    let mut book = Book::default();
    let workbook = Workbook::read(&stream, &mut book, meter)?;
    for (name, start) in &workbook.sheets {
        let cells = workbook.cells(stream.get(*start..).unwrap_or_default(), full, meter)?;
        book.sheet(name, cells, meter)?;
    }
    Ok(book.finish(full))
}

struct Record<'a> {
    kind: u16,
    bytes: Bytes<'a>,
    continued: Vec<&'a [u8]>,
}

struct Records<'a>(Bytes<'a>);

impl<'a> Records<'a> {
    /// A record with all that continue it; the end of the stream may cut the last one off.
    fn next(&mut self, meter: &mut Meter) -> Result<Option<Record<'a>>> {
        meter.step()?;
        let Some((kind, bytes)) = self.one() else { return Ok(None) };
        let mut continued = Vec::new();
        loop {
            let before = self.0;
            match self.one() {
                Some((CONTINUED, bytes)) => continued.push(bytes.0),
                _ => {
                    self.0 = before;
                    return Ok(Some(Record { kind, bytes, continued }));
                }
            }
            meter.step()?;
        }
    }

    fn one(&mut self) -> Option<(u16, Bytes<'a>)> {
        let kind = self.0.short()?;
        let length = usize::from(self.0.short()?).min(self.0.0.len());
        Some((kind, Bytes(self.0.take(length)?)))
    }
}

struct Workbook {
    unicode: bool,
    code_page: &'static Encoding,
    /// Each sheet's name and where its records start.
    sheets: Vec<(String, usize)>,
    formats: HashMap<u16, Shown>,
    styles: Vec<u16>,
}

impl Workbook {
    fn read(stream: &[u8], book: &mut Book, meter: &mut Meter) -> Result<Self> {
        let mut workbook = Self {
            unicode: true,
            code_page: code_page(1252),
            sheets: Vec::new(),
            formats: HashMap::new(),
            styles: Vec::new(),
        };
        let mut records = Records(Bytes(stream));
        while let Some(mut record) = records.next(meter)? {
            let bytes = &mut record.bytes;
            match record.kind {
                START => {
                    workbook.unicode =
                        bytes.short().is_none_or(|version| version >= UNICODE_VERSION);
                }
                ENCRYPTED => return Err(refused("the workbook is encrypted")),
                END => break,
                FROM_1904 => book.from_1904 = bytes.short() == Some(1),
                CODE_PAGE => workbook.code_page = code_page(bytes.short().unwrap_or_default()),
                SHEET => workbook.sheets.extend(workbook.sheet(bytes)),
                STYLE => {
                    bytes.short();
                    workbook.styles.push(bytes.short().unwrap_or_default());
                }
                FORMAT => workbook.formats.extend(workbook.format(record)),
                SHARED_STRINGS => {
                    let mut spread = Spread::new(bytes.0, record.continued);
                    book.shared = shared_strings(&mut spread, meter)?;
                }
                _ => {}
            }
        }
        Ok(workbook)
    }

    fn sheet(&self, bytes: &mut Bytes<'_>) -> Option<(String, usize)> {
        let start = bytes.size()?;
        bytes.short()?;
        let count = usize::from(bytes.byte()?);
        let name = self.text(count, Spread::new(bytes.0, Vec::new()))?;
        Some((name.replace('\0', ""), start))
    }

    fn format(&self, mut record: Record<'_>) -> Option<(u16, Shown)> {
        let number = record.bytes.short()?;
        let count =
            if self.unicode { record.bytes.short()? } else { u16::from(record.bytes.byte()?) };
        let spread = Spread::new(record.bytes.0, record.continued);
        Some((number, Shown::of_format(&self.text(usize::from(count), spread)?)))
    }

    /// A string of so many characters, or before Unicode so many bytes.
    fn text(&self, count: usize, mut spread: Spread<'_>) -> Option<String> {
        if self.unicode {
            return spread.text(count);
        }
        let bytes: Vec<u8> = std::iter::from_fn(|| spread.byte()).take(count).collect();
        Some(self.code_page.decode_without_bom_handling(&bytes).0.into_owned())
    }

    fn cells(&self, stream: &[u8], full: bool, meter: &mut Meter) -> Result<Vec<Cell>> {
        let mut cells = Vec::new();
        let mut records = Records(Bytes(stream));
        let mut inner = 0_usize;
        // A formula whose result is text says so, and the text follows.
        let mut awaited = None;
        while let Some(record) = records.next(meter)? {
            match record.kind {
                START => inner += 1,
                END => {
                    inner = inner.saturating_sub(1);
                    if inner == 0 {
                        break;
                    }
                }
                _ if inner > 1 => {}
                FORMULA_TEXT => {
                    if let (Some((row, column)), Some(text)) =
                        (awaited.take(), self.counted(record))
                    {
                        meter.cell()?;
                        cells.push(Cell { row, column, value: Value::Text(text.into()) });
                    }
                }
                FORMULA | NUMBERS_PACKED => {
                    let before = cells.len();
                    if record.kind == FORMULA {
                        awaited = self.formula(record.bytes, full, &mut cells);
                    } else {
                        self.packed_numbers(record.bytes, full, &mut cells);
                    }
                    for _ in before..cells.len() {
                        meter.cell()?;
                    }
                }
                _ => {
                    if let Some(cell) = self.cell(record, full) {
                        meter.cell()?;
                        cells.push(cell);
                    }
                }
            }
        }
        Ok(cells)
    }

    fn counted(&self, mut record: Record<'_>) -> Option<String> {
        let count = usize::from(record.bytes.short()?);
        self.text(count, Spread::new(record.bytes.0, record.continued))
    }

    fn number(&self, number: f64, style: u16, full: bool) -> Value {
        let shown = || {
            let format = self.styles.get(usize::from(style))?;
            let built_in = Shown::built_in(u32::from(*format));
            Some(self.formats.get(format).copied().unwrap_or(built_in))
        };
        match shown().filter(|shown| full && *shown != Shown::Number) {
            Some(shown) => Value::Moment(number, shown),
            None => Value::Number(number),
        }
    }

    fn cell(&self, mut record: Record<'_>, full: bool) -> Option<Cell> {
        let bytes = &mut record.bytes;
        let known = [NUMBER, NUMBER_PACKED, TEXT, RICH_TEXT, SHARED, TRUTH_OR_ERROR];
        if !known.contains(&record.kind) {
            return None;
        }
        let (row, column, style) = (bytes.short()?, bytes.short()?, bytes.short()?);
        let value = match record.kind {
            NUMBER => self.number(bytes.double()?, style, full),
            NUMBER_PACKED => self.number(bytes.packed_number()?, style, full),
            SHARED => Value::Shared(bytes.size()?),
            TRUTH_OR_ERROR => truth_or_error(bytes.byte()?, bytes.byte()? != 0),
            _ => Value::Text(self.counted(record)?.into()),
        };
        Some(Cell { row: row.into(), column: column.into(), value })
    }

    fn packed_numbers(
        &self,
        mut bytes: Bytes<'_>,
        full: bool,
        cells: &mut Vec<Cell>,
    ) -> Option<()> {
        let row = u32::from(bytes.short()?);
        let mut column = u32::from(bytes.short()?);
        // The last two bytes repeat the last column.
        while bytes.0.len() >= 6 {
            let style = bytes.short()?;
            let value = self.number(bytes.packed_number()?, style, full);
            cells.push(Cell { row, column, value });
            column += 1;
        }
        Some(())
    }

    /// Keeps the result, or says where the text that follows belongs.
    fn formula(
        &self,
        mut bytes: Bytes<'_>,
        full: bool,
        cells: &mut Vec<Cell>,
    ) -> Option<(u32, u32)> {
        let (row, column) = (u32::from(bytes.short()?), u32::from(bytes.short()?));
        let style = bytes.short()?;
        let result = bytes.take(8)?;
        let value = match *result {
            [0, .., 0xFF, 0xFF] => return Some((row, column)),
            [1, _, truth, .., 0xFF, 0xFF] => truth_or_error(truth, false),
            [2, _, code, .., 0xFF, 0xFF] => truth_or_error(code, true),
            [.., 0xFF, 0xFF] => Value::Text(Box::default()),
            _ => self.number(Bytes(result).double()?, style, full),
        };
        cells.push(Cell { row, column, value });
        None
    }
}

fn truth_or_error(value: u8, error: bool) -> Value {
    if error { Value::Text(error_name(value).into()) } else { Value::Truth(value != 0) }
}

/// The strings that cells share; the count in the file is not believed.
fn shared_strings(spread: &mut Spread<'_>, meter: &mut Meter) -> Result<Vec<String>> {
    let mut strings = Vec::new();
    if spread.skip(8).is_none() {
        return Ok(strings);
    }
    while let Some(text) = spread.short().and_then(|count| spread.text(usize::from(count))) {
        meter.cell()?;
        strings.push(text);
    }
    Ok(strings)
}
