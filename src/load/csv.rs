//! Comma-separated values, a line for each field with its column's name.
//!
//! As 0.6.8 does it, a hundred rows are printed and fields beyond the header left out. In full all of
//! them are there. It refuses no table: rows may be of any length, and an open quote runs to the end.

use csv::{ReaderBuilder, StringRecord};

use super::extracted::Extracted;
use super::limits::Meter;
use super::readers::Style;
use crate::error::Result;

/// Rows that 0.6.8 prints.
const ROWS: usize = 100;

pub(super) fn extract(text: &str, style: &Style<'_>, meter: &mut Meter) -> Result<Extracted> {
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let headers = match reader.headers() {
        Ok(headers) => headers.clone(),
        Err(reason) => return Ok(Extracted::fallback(text, reason)),
    };
    let mut out = String::new();
    let mut push = |meter: &mut Meter, pieces: &[&str]| {
        pieces.iter().try_for_each(|piece| meter.push(&mut out, piece))
    };
    let names = headers.iter().collect::<Vec<_>>().join(", ");
    let count = headers.len().to_string();
    push(meter, &["CSV Document Content:\nColumns (", &count, "): ", &names, "\n\n"])?;

    let (mut printed, mut omitted) = (0_usize, 0_usize);
    let mut record = StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(reason) => return Ok(Extracted::fallback(text, reason)),
        }
        meter.step()?;
        if printed == ROWS && !style.full {
            omitted = omitted.saturating_add(1);
            continue;
        }
        printed = printed.saturating_add(1);
        push(meter, &["Row ", &printed.to_string(), ":\n"])?;
        for (index, field) in record.iter().enumerate() {
            let field = if style.keeps_blanks() { field } else { field.trim() };
            match headers.get(index) {
                Some(header) => push(meter, &["  ", header, ": ", field, "\n"])?,
                None if style.full => {
                    let number = index.saturating_add(1).to_string();
                    push(meter, &["  Column ", &number, ": ", field, "\n"])?;
                }
                None => break,
            }
            if style.full {
                meter.cell()?;
            }
        }
        push(meter, &["\n"])?;
    }
    if printed == ROWS && !style.full {
        let omitted = omitted.to_string();
        push(meter, &["... and ", &omitted, " more rows (truncated for readability)\n"])?;
    }
    push(meter, &["Total rows processed: ", &printed.to_string(), "\n"])?;
    Ok(Extracted::plain(out))
}
