//! JSON, printed again: two blanks an indent, one entry a line.
//!
//! As 0.6.8 does it, keys are sorted, of equal ones the last is kept, and numbers are what a computer
//! makes of them. In full every entry stays where it was and every number as it was written. It refuses
//! what is not JSON, with line and column.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::extracted::Extracted;
use super::json_number::printed;
use super::limits::Meter;
use super::readers::Style;
use crate::error::{Error, Kind, Result};

pub(super) fn extract(text: &str, style: &Style<'_>, meter: &mut Meter) -> Result<Extracted> {
    serde_json::from_str::<Valid>(text)
        .map_err(|reason| Error::new(Kind::Document, format!("Invalid JSON content: {reason}")))?;
    let mut out = String::new();
    if style.full && style.preserve_formatting {
        meter.push(&mut out, text)?;
        return Ok(Extracted::plain(out));
    }
    let tree = Tokens { rest: text }.value(style.full, meter)?;
    tree.print(0, &mut out, meter)?;
    Ok(Extracted::plain(out))
}

/// Any JSON at all. Nothing is kept: a tree is built from the text, which says more than values do.
struct Valid;

impl<'de> Deserialize<'de> for Valid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Valid {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        while entries.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

/// A value; the depth is what the check let pass, so walking it cannot exhaust the stack.
enum Tree {
    /// Printed as it is.
    Leaf(String),
    List(Vec<Self>),
    /// Keys with their text, unescaped, to sort by.
    Map(Vec<(String, Self)>),
}

impl Tree {
    fn print(&self, depth: usize, out: &mut String, meter: &mut Meter) -> Result<()> {
        let line = |out: &mut String, meter: &mut Meter, first: bool, depth: usize| {
            meter.push(out, if first { "\n" } else { ",\n" })?;
            (0..depth).try_for_each(|_| meter.push(out, "  "))
        };
        match self {
            Self::Leaf(text) => meter.push(out, text),
            Self::List(items) if items.is_empty() => meter.push(out, "[]"),
            Self::Map(entries) if entries.is_empty() => meter.push(out, "{}"),
            Self::List(items) => {
                meter.push(out, "[")?;
                for (index, item) in items.iter().enumerate() {
                    line(out, meter, index == 0, depth + 1)?;
                    item.print(depth + 1, out, meter)?;
                }
                line(out, meter, true, depth)?;
                meter.push(out, "]")
            }
            Self::Map(entries) => {
                meter.push(out, "{")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    line(out, meter, index == 0, depth + 1)?;
                    meter.push(out, &quoted(key))?;
                    meter.push(out, ": ")?;
                    value.print(depth + 1, out, meter)?;
                }
                line(out, meter, true, depth)?;
                meter.push(out, "}")
            }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// Reads text that is known to be JSON.
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    fn value(&mut self, full: bool, meter: &mut Meter) -> Result<Tree> {
        meter.step()?;
        if self.eat('[') {
            let mut items = Vec::new();
            while !self.eat(']') {
                items.push(self.value(full, meter)?);
                self.eat(',');
            }
            return Ok(Tree::List(items));
        }
        if self.eat('{') {
            let mut entries = Vec::new();
            while !self.eat('}') {
                let key = self.text()?;
                self.eat(':');
                entries.push((key, self.value(full, meter)?));
                self.eat(',');
            }
            return Ok(Tree::Map(if full { entries } else { sorted(entries) }));
        }
        if self.peek() == Some('"') {
            return Ok(Tree::Leaf(quoted(&self.text()?)));
        }
        let end = |letter: char| matches!(letter, ',' | ']' | '}') || letter.is_ascii_whitespace();
        let word = self.take(self.rest.find(end).unwrap_or(self.rest.len()));
        if word.is_empty() {
            return Err(unexpected());
        }
        if full || matches!(word, "null" | "true" | "false") {
            return Ok(Tree::Leaf(word.to_owned()));
        }
        // Where the two ways of rounding disagree about what is too large, the number stays.
        Ok(Tree::Leaf(printed(word).unwrap_or_else(|| word.to_owned())))
    }

    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start_matches([' ', '\n', '\r', '\t']);
        self.rest.chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.take(wanted.len_utf8());
        }
        found
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn text(&mut self) -> Result<String> {
        self.peek();
        let mut escaped = false;
        let end = self.rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let token = self.take(end.ok_or_else(unexpected)?.saturating_add(2));
        serde_json::from_str(token).map_err(|_| unexpected())
    }
}

fn sorted(mut entries: Vec<(String, Tree)>) -> Vec<(String, Tree)> {
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    let mut kept: Vec<(String, Tree)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        match kept.last_mut() {
            Some(last) if last.0 == key => last.1 = value,
            _ => kept.push((key, value)),
        }
    }
    kept
}

/// The check let something pass that it should not have.
fn unexpected() -> Error {
    Error::new(Kind::Internal, "Internal error: JSON that was checked cannot be read")
}
