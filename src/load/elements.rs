//! The XML of office documents as a stream of elements, with names freed of their prefixes.
//!
//! Nothing is kept but the place in the text, so the depth of a document costs no memory of ours; it is
//! counted all the same, because readers keep something a level. Entities other than XML's own five are
//! refused: what a document type declares is never looked at.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::limits::Meter;
use crate::error::{Error, Kind, Result};

/// What stands next in the text.
pub(super) enum Item<'a> {
    /// A self-closing element opens and closes.
    Open(Element<'a>),
    Close,
    /// A piece; text with entities comes in several.
    Text(Cow<'a, str>),
    End,
}

/// An opening tag.
pub(super) struct Element<'a>(BytesStart<'a>);

impl Element<'_> {
    /// Without the prefix.
    pub(super) fn name(&self) -> &str {
        self.0.local_name().into_inner()
    }

    /// The attribute with that name, whatever its prefix; `None` if it is missing or unreadable.
    pub(super) fn attribute(&self, name: &str) -> Option<String> {
        self.find(|key| key.rsplit(':').next() == Some(name))
    }

    /// The attribute with that name behind some prefix: `r:id` beside `id`.
    pub(super) fn prefixed_attribute(&self, name: &str) -> Option<String> {
        self.find(|key| key.split_once(':').is_some_and(|(_, local)| local == name))
    }

    fn find(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let mut attributes = self.0.attributes();
        attributes
            .with_checks(false)
            .flatten()
            .find(|attribute| wanted(attribute.key.into_inner()))
            .and_then(|attribute| {
                Some(attribute.normalized_value(XmlVersion::Implicit1_0).ok()?.into_owned())
            })
    }
}

/// A place in the text of a document.
pub(super) struct Elements<'a> {
    reader: Reader<&'a [u8]>,
    depth: usize,
}

impl<'a> Elements<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        Self { reader, depth: 0 }
    }

    /// How many elements are open.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    pub(super) fn next(&mut self, meter: &mut Meter) -> Result<Item<'a>> {
        loop {
            meter.step()?;
            let event = self.reader.read_event().map_err(|error| self.refused(&error))?;
            return Ok(match event {
                Event::Start(element) => {
                    self.depth += 1;
                    meter.depth(self.depth)?;
                    Item::Open(Element(element))
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    Item::Close
                }
                Event::Text(text) => Item::Text(match text.into_inner() {
                    Cow::Borrowed(text) if text.contains('\r') => unix(text),
                    text => text,
                }),
                Event::CData(text) => Item::Text(text.into_inner()),
                Event::GeneralRef(reference) => {
                    let named = quick_xml::escape::resolve_xml_entity(&reference);
                    let text = match named {
                        Some(text) => text.to_owned(),
                        None => reference
                            .resolve_char_ref()
                            .map_err(|error| self.refused(&error))?
                            .ok_or_else(|| {
                                self.refused(&format!("unknown entity '&{};'", &*reference))
                            })?
                            .to_string(),
                    };
                    Item::Text(Cow::Owned(text))
                }
                Event::Eof if self.depth > 0 => {
                    return Err(self.refused(&"the text ends within an element"));
                }
                Event::Eof => Item::End,
                _ => continue,
            });
        }
    }

    /// Passes over what is left of the element that was opened last.
    pub(super) fn skip(&mut self, meter: &mut Meter) -> Result<()> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            self.next(meter)?;
        }
        Ok(())
    }

    fn refused(&self, reason: &dyn std::fmt::Display) -> Error {
        let place = self.reader.error_position().max(self.reader.buffer_position());
        Error::new(Kind::Document, format!("{reason} at byte {place}"))
    }
}

/// XML's own rule: every line ends with one character.
fn unix(text: &str) -> Cow<'_, str> {
    Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Limits;

    fn told(text: &str) -> Result<String> {
        let mut elements = Elements::new(text);
        let mut meter = Meter::new(Limits { depth: 3, ..Limits::default() });
        let mut said = String::new();
        loop {
            match elements.next(&mut meter)? {
                Item::Open(element) if element.name() == "skipped" => {
                    elements.skip(&mut meter)?;
                }
                Item::Open(element) => {
                    said += "<";
                    said += element.name();
                    said += &element.attribute("id").unwrap_or_default();
                    said += &element.prefixed_attribute("id").unwrap_or_default();
                }
                Item::Close => said += ">",
                Item::Text(text) => said += &text,
                Item::End => return Ok(said),
            }
        }
    }

    #[test]
    fn names_entities_and_lines_are_told_plainly() {
        let text = "<w:a id='1' r:id='2&amp;'>x&#65;&lt;\r\n<![CDATA[<&]]><skipped><b>no</b></skipped><c/></w:a>";
        assert_eq!(told(text).unwrap(), "<a12&xA<\n<&<c>>");
    }

    #[test]
    fn what_is_no_xml_is_refused_where_it_stands() {
        for (text, reason) in [
            ("<a><b></a>", "at byte"),
            ("<a>", "ends within"),
            ("<a>&nbsp;</a>", "&nbsp;"),
            ("<a><a><a><a/></a></a></a>", "max_depth"),
        ] {
            let error = told(text).unwrap_err();
            assert!(error.message().contains(reason), "{error}");
        }
    }
}
