//! The entities that a part declares for itself.
//!
//! Word writes none, but 0.6.8 reads what other writers do with them. Only texts are put in for them, a
//! million bytes a part at most, in steps as deep as ten; what stands outside of the part is not fetched and
//! counts as nothing. A name that is not declared stays, for the reader to complain about.

use std::borrow::Cow;
use std::collections::HashMap;

use quick_xml::events::Event;
use quick_xml::reader::Reader;

use super::super::limits::Meter;
use crate::error::{Error, Kind, Result};

/// The bounds of 0.6.8.
const MOST_BYTES: usize = 1_000_000;
const MOST_STEPS: usize = 10;

/// The part with the texts of its entities in their places.
pub(super) fn expanded(part: String, meter: &mut Meter) -> Result<String> {
    let Some((declared, body)) = declared(&part) else { return Ok(part) };
    let (head, body) = part.split_at_checked(body).unwrap_or(("", &part));
    let mut text = head.to_owned();
    Expansion { declared, spent: 0, meter }.write(body, 0, &mut text)?;
    Ok(text)
}

/// The entities of the document type, and where what comes behind it begins. `None` if there are none.
fn declared(part: &str) -> Option<(HashMap<&str, String>, usize)> {
    let mut reader = Reader::from_str(part);
    loop {
        // What is no XML is for the reader to complain about.
        match reader.read_event().ok()? {
            Event::DocType(text) => {
                let Cow::Borrowed(text) = text.into_inner() else { return None };
                let entities = entities(text);
                let place = usize::try_from(reader.buffer_position()).ok()?;
                return Some((entities, place)).filter(|(entities, _)| !entities.is_empty());
            }
            Event::Start(_) | Event::Empty(_) | Event::Eof => return None,
            _ => {}
        }
    }
}

/// What an internal subset declares. The first word about a name counts.
fn entities(document_type: &str) -> HashMap<&str, String> {
    let mut entities = HashMap::new();
    let mut rest = document_type.split_once('[').map_or("", |(_, subset)| subset);
    while let Some(place) = rest.find('<') {
        rest = rest.get(place..).unwrap_or_default();
        let end = if rest.starts_with("<!--") {
            rest.find("-->")
        } else if rest.starts_with("<?") {
            rest.find("?>")
        } else {
            end_of_declaration(rest)
        };
        let Some((declaration, behind)) = end.and_then(|end| rest.split_at_checked(end)) else {
            break;
        };
        if let Some((name, value)) = declaration.strip_prefix("<!ENTITY").and_then(entity) {
            entities.entry(name).or_insert(value);
        }
        rest = behind;
    }
    entities
}

/// Where a declaration ends; a bracket in quotes is none.
fn end_of_declaration(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut letters = text.char_indices();
    letters.find_map(|(place, letter)| {
        match (quote, letter) {
            (None, '>') => return Some(place),
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            _ => {}
        }
        None
    })
}

/// Name and text of an entity, but not of one that is for declarations only.
fn entity(declaration: &str) -> Option<(&str, String)> {
    let (name, value) = declaration.trim().split_once(char::is_whitespace)?;
    let value = value.trim();
    if name == "%" {
        return None;
    }
    let quote = value.chars().next().filter(|letter| matches!(letter, '"' | '\''));
    let Some(quote) = quote else { return Some((name, String::new())) };
    let (value, _) = value.get(1..)?.split_once(quote)?;
    Some((name, with_numbers(value)))
}

/// Numbers of characters count where an entity is declared, other entities where it is used.
fn with_numbers(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(place) = rest.find("&#") {
        let (before, reference) = rest.split_at_checked(place).unwrap_or((rest, ""));
        text.push_str(before);
        let character = reference.split_once(';').and_then(|(number, behind)| {
            let number = number.strip_prefix("&#")?;
            let code = match number.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            Some((char::from_u32(code)?, behind))
        });
        match character {
            Some((character, behind)) => {
                text.push(character);
                rest = behind;
            }
            None => {
                text.push_str("&#");
                rest = reference.get(2..).unwrap_or_default();
            }
        }
    }
    text.push_str(rest);
    text
}

struct Expansion<'a, 'm> {
    declared: HashMap<&'a str, String>,
    spent: usize,
    meter: &'m mut Meter,
}

impl Expansion<'_, '_> {
    fn write(&mut self, text: &str, steps: usize, out: &mut String) -> Result<()> {
        let mut rest = text;
        while let Some(place) = rest.find(['&', '<']) {
            self.meter.step()?;
            let (before, found) = rest.split_at_checked(place).unwrap_or((rest, ""));
            out.push_str(before);
            // Where an ampersand is one.
            let plain =
                [("<!--", "-->"), ("<![CDATA[", "]]>")].into_iter().find_map(|(start, end)| {
                    let inside = found.strip_prefix(start)?;
                    Some(inside.find(end).map_or(found.len(), |place| start.len() + place))
                });
            let name = found.strip_prefix('&').and_then(|found| found.split_once(';'));
            let value = name.and_then(|(name, behind)| Some((self.declared.get(name)?, behind)));
            if let Some((value, behind)) = value {
                let value = value.clone();
                // An empty one is work as well.
                self.spent = self.spent.saturating_add(value.len().max(1));
                if self.spent > MOST_BYTES || steps == MOST_STEPS {
                    let text = format!(
                        "its entities are nested more than {MOST_STEPS} deep or longer than {MOST_BYTES} bytes"
                    );
                    return Err(Error::new(Kind::Document, text));
                }
                self.write(&value, steps + 1, out)?;
                rest = behind;
            } else {
                let (copied, behind) =
                    found.split_at_checked(plain.unwrap_or(1)).unwrap_or((found, ""));
                out.push_str(copied);
                rest = behind;
            }
        }
        out.push_str(rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Limits;

    fn read(subset: &str, body: &str) -> Result<String> {
        let part = format!("<?xml version='1.0'?><!DOCTYPE a [{subset}]>{body}");
        let text = expanded(part, &mut Meter::new(Limits::default()))?;
        Ok(text.rsplit_once("]>").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    #[test]
    fn texts_take_the_place_of_their_names() {
        for (subset, body, expected) in [
            (
                "<!ENTITY e 'big'>",
                "<a b='&e;'>a &e; &amp; &other; &#65;</a>",
                "<a b='big'>a big &amp; &other; &#65;</a>",
            ),
            ("<!ENTITY f 'very &#65;'><!ENTITY e \"&f; b'ig>\">", "&e;", "very A b'ig>"),
            ("<!ENTITY e 'one'><!ENTITY e 'two'>", "&e;", "one"),
            ("<!-- <!ENTITY e 'no'> --><?x <!ENTITY e 'no'>?><!ENTITY e 'yes'>", "&e;", "yes"),
            ("<!ENTITY % e 'no'><!ELEMENT a ANY>", "&e;", "&e;"),
            ("<!ENTITY e SYSTEM 'file:///etc/passwd'>", "<&e;>", "<>"),
            ("<!ENTITY e '&#38;lt;&#x26;#38;'>", "&e;", "&lt;&#38;"),
            ("<!ENTITY e 'x'>", "<!-- &e; -->&e;<![CDATA[&e;]]>", "<!-- &e; -->x<![CDATA[&e;]]>"),
            ("", "&e;", "&e;"),
        ] {
            // The test cuts the text at the end of the document type.
            let read = read(subset, body).unwrap();
            assert_eq!(read, expected.rsplit_once("]>").map_or(expected, |it| it.1), "{subset}");
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut subset = String::from("<!ENTITY e0 'lol'>");
        for step in 1..9 {
            let inner = format!("&e{};", step - 1).repeat(10);
            subset.push_str(&format!("<!ENTITY e{step} '{inner}'>"));
        }
        assert!(read(&subset, "&e8;").unwrap_err().message().contains("entities"));
        assert!(read(&subset.replace("lol", ""), "&e8;").is_err());
        assert!(read("<!ENTITY e '&f;'><!ENTITY f '&e;'>", "&e;").is_err());
        let long = format!("<!ENTITY e '{}'>", "x".repeat(1000));
        assert!(read(&long, &"&e;".repeat(1001)).is_err());
        assert_eq!(read(&long, &"&e;".repeat(1000)).unwrap().len(), 1_000_000);
    }
}
