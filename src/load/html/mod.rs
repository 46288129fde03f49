//! HTML as readable text: the sections of GraphBit 0.6.8, or the page itself as Markdown.
//!
//! [`claim`] finds the encoding, [`page`] builds the page within the limits, [`sections`] and [`markdown`]
//! print it, [`grid`] lays out tables, those of DOCX too. Scripts are not run, links and images not followed.

mod claim;
mod grid;
mod markdown;
mod page;
mod sections;
mod tree;

pub(super) use claim::{claimed_encoding, declared_encoding};
pub(super) use grid::{Grid, Span};

use super::extracted::Extracted;
use super::limits::Meter;
use super::readers::Style;
use crate::error::Result;

pub(super) fn extract(text: &str, style: &Style<'_>, meter: &mut Meter) -> Result<Extracted> {
    // What is for readers without scripts is for us, but 0.6.8 leaves it out.
    let page = tree::parse(text, !style.full, meter)?;
    let text = if style.full {
        markdown::print(&page, style.preserve_formatting, meter)?
    } else {
        sections::print(&page, meter)?
    };
    Ok(Extracted::plain(text))
}
