//! DOCX: the text of a Word document.
//!
//! As 0.6.8 does, only paragraphs that stand directly in the body are read, and of these only the runs that
//! stand directly in them: no tables, links, tabs, notes, headers. With `full` all of it is read, as
//! Markdown (see [`markdown`]). Only the main part must be sound; a damaged style sheet costs the headings
//! and is told in the flags.

mod markdown;
mod sheets;

use super::archive::Archive;
use super::elements::{Elements, Item};
use super::extracted::Extracted;
use super::limits::Meter;
use crate::error::{Error, Kind, Result};

/// Where the text of a run stands.
const PLACE_OF_TEXT: [&str; 5] = ["document", "body", "p", "r", "t"];

/// How many elements are open within a paragraph's own parents.
const ABOVE_PARAGRAPH: usize = 2;

pub(super) fn extract(bytes: &[u8], full: bool, meter: &mut Meter) -> Result<Extracted> {
    let failed = |error: Error| error.with_prefix("Failed to parse DOCX file: ");
    let mut archive = Archive::open(bytes).map_err(failed)?;
    let extracted = if full {
        markdown::extract(&mut archive, meter).map_err(failed)?
    } else {
        let body = main_part(&mut archive, meter).map_err(failed)?;
        let text = plain(&body, meter).map_err(failed)?;
        Extracted { text: text.trim().to_owned(), ..Extracted::default() }
    };
    if extracted.text.is_empty() {
        let text = "No text content could be extracted from the DOCX file";
        return Err(Error::new(Kind::Document, text));
    }
    Ok(extracted)
}

fn main_part(archive: &mut Archive<'_>, meter: &mut Meter) -> Result<String> {
    archive
        .text("word/document.xml", meter)?
        .ok_or_else(|| Error::new(Kind::Document, "the archive holds no word/document.xml"))
}

fn plain(body: &str, meter: &mut Meter) -> Result<String> {
    let mut elements = Elements::new(body);
    let mut text = String::new();
    // How many of the open elements, from the outermost, are those of the place.
    let mut inside = 0;
    loop {
        let depth = elements.depth();
        match elements.next(meter)? {
            Item::Open(element) => {
                if depth == inside && PLACE_OF_TEXT.get(inside) == Some(&element.name()) {
                    inside += 1;
                }
            }
            Item::Close => {
                let depth = elements.depth();
                if inside > depth {
                    inside = depth;
                    if inside == ABOVE_PARAGRAPH {
                        meter.push(&mut text, "\n")?;
                    }
                }
            }
            Item::Text(piece) if inside == PLACE_OF_TEXT.len() && depth == inside => {
                meter.push(&mut text, &piece)?;
            }
            Item::Text(_) => {}
            Item::End => return Ok(text),
        }
    }
}
