//! XML as an indented list of elements, attributes and texts.
//!
//! As 0.6.8 does it, text before a child is printed with the child, attributes are raw, and elements
//! without content are not there at all. In full every element and every text is where it belongs. A
//! document that is not well-formed comes back as it is, and its metadata says why. It refuses to follow
//! anything: no entity but the five predefined ones and numbers has a value here.

use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::extracted::Extracted;
use super::limits::Meter;
use super::readers::Style;
use crate::error::Result;

pub(super) fn extract(text: &str, style: &Style<'_>, meter: &mut Meter) -> Result<Extracted> {
    let mut outline = Outline {
        full: style.full,
        keeps_blanks: style.keeps_blanks(),
        depth: 0,
        raw: String::new(),
        texts: Vec::new(),
        out: String::new(),
        meter,
    };
    outline.print("XML Document Content:\n\n")?;
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let broken = loop {
        outline.meter.step()?;
        let event = match reader.read_event() {
            // Text behind the last element is nowhere printed, but it may still be none.
            Ok(Event::Eof) => break outline.resolve().err(),
            Ok(event) => event,
            Err(reason) => break Some(reason.to_string()),
        };
        if let Some(reason) = outline.take(&event)? {
            break Some(reason);
        }
    };
    if let Some(reason) = broken {
        return Ok(Extracted::fallback(text, reason));
    }
    if outline.full {
        outline.flush()?;
    }
    outline.print("\nXML parsing completed.\n")?;
    Ok(Extracted::plain(outline.out))
}

struct Outline<'a> {
    full: bool,
    keeps_blanks: bool,
    depth: usize,
    /// Text and references since the last markup, not yet resolved.
    raw: String,
    /// Texts that wait for an element to end.
    texts: Vec<String>,
    out: String,
    meter: &'a mut Meter,
}

impl Outline<'_> {
    /// The reason when the document turns out to be none.
    fn take(&mut self, event: &Event<'_>) -> Result<Option<String>> {
        match event {
            Event::Text(text) => self.raw.push_str(text),
            Event::GeneralRef(reference) => self.refer(reference),
            other => {
                if let Err(reason) = self.resolve() {
                    return Ok(Some(reason));
                }
                return self.mark_up(other);
            }
        }
        Ok(None)
    }

    fn refer(&mut self, reference: &BytesRef<'_>) {
        let name: &str = reference;
        let known = name.starts_with('#') || resolve_predefined_entity(name).is_some();
        // In full an unknown entity stays what it is instead of spoiling the whole document.
        self.raw.push_str(if self.full && !known { "&amp;" } else { "&" });
        self.raw.push_str(name);
        self.raw.push(';');
    }

    fn resolve(&mut self) -> Result<(), String> {
        let raw = std::mem::take(&mut self.raw);
        let text = unescape(&raw).map_err(|reason| reason.to_string())?;
        let text = if self.keeps_blanks { &*text } else { text.trim() };
        if !text.trim().is_empty() {
            self.texts.push(text.to_owned());
        }
        Ok(())
    }

    fn mark_up(&mut self, event: &Event<'_>) -> Result<Option<String>> {
        match event {
            Event::Start(element) => {
                let broken = self.open(element)?;
                self.depth = self.depth.saturating_add(1);
                self.meter.depth(self.depth)?;
                return Ok(broken);
            }
            Event::Empty(element) if self.full => return self.open(element),
            Event::End(_) => {
                self.flush()?;
                self.depth = self.depth.saturating_sub(1);
            }
            Event::CData(text) if !text.trim().is_empty() => self.texts.push(text.to_string()),
            _ => {}
        }
        Ok(None)
    }

    fn open(&mut self, element: &BytesStart<'_>) -> Result<Option<String>> {
        if self.full {
            self.flush()?;
        }
        self.line("Element: ", element.name().as_ref())?;
        for attribute in element.attributes() {
            let attribute = match attribute {
                Ok(attribute) => attribute,
                Err(reason) => return Ok(Some(reason.to_string())),
            };
            let value = match unescape(&attribute.value) {
                Ok(value) if self.full => value,
                _ => attribute.value.clone(),
            };
            self.line("  @", &format!("{}: {value}", attribute.key.as_ref()))?;
        }
        Ok(None)
    }

    /// Prints the texts that wait.
    fn flush(&mut self) -> Result<()> {
        let text = self.texts.join(" ");
        self.texts.clear();
        let text = if self.keeps_blanks { &*text } else { text.trim() };
        if text.is_empty() { Ok(()) } else { self.line("Text: ", text) }
    }

    fn line(&mut self, label: &str, text: &str) -> Result<()> {
        (0..self.depth).try_for_each(|_| self.print("  "))?;
        [label, text, "\n"].into_iter().try_for_each(|piece| self.print(piece))
    }

    fn print(&mut self, piece: &str) -> Result<()> {
        self.meter.push(&mut self.out, piece)
    }
}
