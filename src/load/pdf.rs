//! PDF: the text of the pages in the order in which they draw it.
//!
//! Lines follow the places of the characters, as 0.6.8 lays them out; pages follow each other without a
//! break, or with `full` by a blank line. A page whose content is damaged costs that page and is named in
//! the flags. Pictures, the names of the document and what a password protects are not read.
//!
//! The libraries below panic on much that is damaged, which is caught here. They also follow references
//! in circles and believe sizes, which cannot be caught: that is why a PDF from outside belongs into a
//! process of its own (see [`super::isolate`]).

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pdf_extract::{
    ConvertToFmt, Document, MediaBox, Object, OutputDev, OutputError, PlainTextOutput, Transform,
};
use serde_json::Value;

use super::extracted::Extracted;
use super::limits::Meter;
use crate::error::{Error, Kind, Result};

/// How far the properties of a page may be inherited.
const ANCESTORS: usize = 256;

type Edges = (f64, f64, f64, f64);

pub(super) fn extract(bytes: &[u8], full: bool, meter: &mut Meter) -> Result<Extracted> {
    let document = open(bytes)?;
    let pages = document.get_pages();
    for page in pages.values() {
        meter.page()?;
        check_ancestors(&document, *page)?;
    }
    let count = pages.len();
    let sink = RefCell::new(Sink { text: String::new(), meter, refused: None });
    let mut output =
        Pages { plain: PlainTextOutput::new(Pen(&sink)), sink: &sink, full, start: 0, ended: 0 };
    // All pages at once, because for a single one the library counts them all; those behind a damaged
    // page are asked for one by one.
    let mut result = guarded(|| pdf_extract::output_doc(&document, &mut output));
    let numbers: Vec<u32> = pages.into_keys().collect();
    let mut next = output.ended;
    let mut unreadable = Vec::new();
    let mut reason = None;
    while let Err(text) = result {
        if let Some(error) = sink.borrow_mut().refused.take() {
            return Err(error);
        }
        reason.get_or_insert(text);
        let Some(damaged) = numbers.get(next) else { break };
        unreadable.push(*damaged);
        next += 1;
        result = Ok(());
        while let (Ok(()), Some(number)) = (&result, numbers.get(next)) {
            sink.borrow().meter.look()?;
            result = guarded(|| pdf_extract::output_doc_page(&document, &mut output, *number));
            next += usize::from(result.is_ok());
        }
    }
    let text = sink.into_inner().text.trim().to_owned();
    let mut extracted = Extracted { text, ..Extracted::default() };
    if extracted.text.is_empty() {
        return Err(match reason {
            Some(reason) => failed(&reason),
            None => Error::new(Kind::Document, "No text content could be extracted from the PDF"),
        });
    }
    if full {
        extracted.flags.insert("pages".to_owned(), Value::from(count));
    }
    if !unreadable.is_empty() {
        extracted.flags.insert("unreadable_pages".to_owned(), Value::from(unreadable));
    }
    Ok(extracted)
}

fn open(bytes: &[u8]) -> Result<Document> {
    let opened = guarded(|| {
        let mut document = Document::load_mem(bytes)?;
        if document.is_encrypted() {
            document.decrypt("")?;
        }
        Ok(document)
    });
    let mut document = opened.map_err(|reason| failed(&reason))?;
    // A picture would be unpacked and searched for text like any other part of a page.
    for object in document.objects.values_mut() {
        if let Object::Stream(stream) = object {
            let kind = stream.dict.get(b"Subtype").and_then(Object::as_name);
            if kind.is_ok_and(|kind| kind == b"Image") {
                stream.dict.remove(b"Filter");
                stream.content = Vec::new();
            }
        }
    }
    Ok(document)
}

/// Runs a library call whose panics are damages of the document.
fn guarded<T>(call: impl FnOnce() -> Result<T, OutputError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Err(format!("the content is damaged: {}", text.unwrap_or("no reason given")))
        }
    }
}

/// The library climbs from parent to parent, and in a ring it would never arrive.
fn check_ancestors(document: &Document, page: (u32, u16)) -> Result<()> {
    let mut place = page;
    for _ in 0..ANCESTORS {
        let parent = document
            .get_dictionary(place)
            .and_then(|page| page.get(b"Parent"))
            .and_then(Object::as_reference);
        let Ok(parent) = parent else { return Ok(()) };
        place = parent;
    }
    Err(failed("the tree of pages is a ring"))
}

fn failed(reason: &str) -> Error {
    Error::new(Kind::Document, format!("Failed to extract text from PDF: {reason}"))
}

/// Where the characters go, and why no more may come.
struct Sink<'a> {
    text: String,
    meter: &'a mut Meter,
    refused: Option<Error>,
}

impl Sink<'_> {
    fn note(&mut self, result: Result<()>) -> fmt::Result {
        result.map_err(|error| {
            self.refused = Some(error);
            fmt::Error
        })
    }
}

struct Pen<'a, 'm>(&'a RefCell<Sink<'m>>);

impl fmt::Write for Pen<'_, '_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let sink = &mut *self.0.borrow_mut();
        let result = sink.meter.push(&mut sink.text, piece);
        sink.note(result)
    }
}

impl ConvertToFmt for Pen<'_, '_> {
    type Writer = Self;

    fn convert(self) -> Self {
        self
    }
}

/// Knows which page is drawn, and leaves the characters to the library's own layout.
struct Pages<'a, 'm> {
    plain: PlainTextOutput<Pen<'a, 'm>>,
    sink: &'a RefCell<Sink<'m>>,
    full: bool,
    /// Where the text of the page starts.
    start: usize,
    ended: usize,
}

impl OutputDev for Pages<'_, '_> {
    fn begin_page(
        &mut self,
        number: u32,
        media: &MediaBox,
        art: Option<Edges>,
    ) -> Result<(), OutputError> {
        let sink = &mut *self.sink.borrow_mut();
        let result = sink.meter.look();
        sink.note(result)?;
        if self.full {
            sink.text.truncate(sink.text.trim_end().len());
            if !sink.text.is_empty() {
                sink.text.push_str("\n\n");
            }
            self.start = sink.text.len();
            self.plain = PlainTextOutput::new(Pen(self.sink));
        }
        self.plain.begin_page(number, media, art)
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        self.ended += 1;
        if self.full {
            // The first line comes with a line break, as if there were one above it.
            let text = &mut self.sink.borrow_mut().text;
            let page = text.split_off(self.start.min(text.len()));
            text.push_str(page.trim());
        }
        self.plain.end_page()
    }

    fn output_character(
        &mut self,
        place: &Transform,
        width: f64,
        spacing: f64,
        size: f64,
        character: &str,
    ) -> Result<(), OutputError> {
        self.plain.output_character(place, width, spacing, size, character)
    }

    fn begin_word(&mut self) -> Result<(), OutputError> {
        self.plain.begin_word()
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        self.plain.end_word()
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        self.plain.end_line()
    }
}
