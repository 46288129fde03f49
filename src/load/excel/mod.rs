//! Excel: the cells of a workbook as lines of text, for XLSX, XLSB and XLS.
//!
//! The three readers are our own, because a grid that is as large as its file says is how a workbook of
//! 5 kB takes 512 GB: here only cells that exist are kept, each is counted, and what a header promises is
//! never allocated. Nothing recurses. A workbook that is encrypted, or older than Excel 5, is refused.
//!
//! The extension decides the reader, as in 0.6.8; without a known one the first bytes do. Errors give the
//! reason alone: the caller knows the path that belongs in front of it.

mod bytes;
mod compound;
mod dates;
mod sheet;
mod strings;
mod xls;
mod xlsb;
mod xlsx;

use super::archive::Archive;
use super::extracted::Extracted;
use super::limits::Meter;
use crate::error::{Error, Kind, Result};

const ARCHIVE: &[u8] = b"PK";

pub(super) fn extract(
    bytes: &[u8],
    extension: Option<&str>,
    full: bool,
    meter: &mut Meter,
) -> Result<Extracted> {
    let extension = extension.map(str::to_ascii_lowercase);
    let packed = match extension.as_deref() {
        Some("xls" | "xla") => false,
        Some("xlsx" | "xlsm" | "xlam" | "xlsb") => true,
        _ => bytes.starts_with(ARCHIVE),
    };
    if !packed {
        return xls::extract(bytes, full, meter);
    }
    if bytes.starts_with(&compound::SIGNATURE) {
        return Err(refused(
            "it is encrypted, or a workbook of the old format under a new extension",
        ));
    }
    let mut archive = Archive::open(bytes)?;
    let binary = match extension.as_deref() {
        Some("xlsb") => true,
        Some("xlsx" | "xlsm" | "xlam") => false,
        _ => archive.holds("xl/workbook.bin"),
    };
    if binary {
        xlsb::extract(&mut archive, full, meter)
    } else {
        xlsx::extract(&mut archive, full, meter)
    }
}

fn refused(text: impl Into<String>) -> Error {
    Error::new(Kind::Document, text.into())
}
