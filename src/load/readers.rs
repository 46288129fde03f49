//! The reader of each format, behind a guard: whatever a parser does to a hostile document, the outcome
//! is a text or an error. The guard of packed formats is their own.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::encoding::{Written, decode};
use super::extracted::Extracted;
use super::format::Format;
use super::limits::Meter;
use super::{csv, html, json, xml};
use crate::error::{Error, Kind, Result};

/// How a document is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style<'a> {
    /// Everything that is in the document, instead of what 0.6.8 prints.
    pub(super) full: bool,
    /// In full: blanks and line breaks as they stand.
    pub(super) preserve_formatting: bool,
    pub(super) written: Written<'a>,
    /// Where it comes from, for complaints.
    pub(super) from_url: bool,
}

impl Style<'_> {
    /// Whether texts are not to be trimmed.
    pub(super) const fn keeps_blanks(&self) -> bool {
        self.full && self.preserve_formatting
    }
}

/// The text of a document.
pub(super) fn extract(
    format: Format,
    bytes: &[u8],
    style: &Style<'_>,
    meter: &mut Meter,
) -> Result<Extracted> {
    guarded(format, || read(format, bytes, style, meter))
}

/// Makes a panic of a parser an error of the document.
fn guarded<T>(format: Format, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let defect = Error::panicked(panic.as_ref());
        let text = format!("the {} document cannot be read: {defect}", format.label());
        Err(Error::new(Kind::Document, text))
    })
}

fn read(format: Format, bytes: &[u8], style: &Style<'_>, meter: &mut Meter) -> Result<Extracted> {
    let mut written = style.written;
    if written.sniff {
        written.claimed = match format {
            Format::Html => html::claimed_encoding(bytes),
            Format::Xml => html::declared_encoding(bytes),
            _ => None,
        };
    }
    let text = || {
        decode(bytes, written).map_err(|reason| {
            let text = if style.from_url {
                format!("Failed to decode text content: {reason}")
            } else {
                format!("Failed to read {} file: {reason}", format.label())
            };
            Error::new(Kind::Document, text)
        })
    };
    // 0.6.8 hands over what a server sends as it came, but for JSON.
    let raw = style.from_url && !style.full && format != Format::Json;
    match format {
        Format::Json => json::extract(&text()?, style, meter),
        Format::Csv if !raw => csv::extract(&text()?, style, meter),
        Format::Xml if !raw => xml::extract(&text()?, style, meter),
        Format::Html if !raw => html::extract(&text()?, style, meter),
        _ => {
            let mut out = String::new();
            meter.push(&mut out, &text()?)?;
            Ok(Extracted::plain(out))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_that_panics_is_an_error_of_the_document() {
        let outcome: Result<()> = guarded(Format::Xls, || panic!("index out of bounds"));
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), Kind::Document);
        assert!(error.message().contains("Excel") && error.message().contains("out of bounds"));
    }
}
