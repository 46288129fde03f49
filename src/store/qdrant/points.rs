//! Points: what an entry becomes on its way to the server, and what an answer's point is here.
//!
//! Qdrant names points by UUIDs, so the id of an entry is a name-based UUID of it (version 5) and stands in the
//! payload too. A key of the metadata is one step of a path to the server, in which most signs mean something;
//! bytes that are neither letters, digits nor `_` are written `-XX`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::words::Sparse;
use crate::store::filter::Number;
use crate::store::{Entry, StoredEntry};

/// The names of the two vectors of a point.
pub(super) const VECTOR: &str = "embedding";
pub(super) const WORDS: &str = "words";
/// Payload: when an entry was added, in microseconds since 1970, and always one more than the one before.
pub(super) const SEQUENCE: &str = "sequence";
/// Payload: the texts of the metadata, by [`step`].
pub(super) const METADATA: &str = "metadata";
/// Payload: of those of them that are numbers written out, the upper half of the bits of double precision as a
/// number, and the lower half. The server reads a number with many digits not always as the nearest double.
pub(super) const NUMBERS: &str = "numbers";
pub(super) const NUMBERS_NEXT: &str = "numbers_next";
/// Payload: the first six bytes of each text as one number, and the next six, so that texts compare on the server.
pub(super) const ORDER: &str = "order";
pub(super) const ORDER_NEXT: &str = "order_next";

/// Bytes of a text that [`ORDER`] and [`ORDER_NEXT`] hold together.
pub(super) const ORDERED: usize = 2 * GROUP;
const GROUP: usize = 6;
/// One more than there are bytes: 0 is the end of a text. Six such digits stay below 2 to the 53rd.
const BASE: u64 = 257;

/// Bits of an index below those of the sequence. They tell entries apart that two writers added in the same
/// microsecond.
const TIE: u32 = 12;
const MOST_SEQUENCE: u64 = u64::MAX >> (TIE + 1);

/// Our own corner among the UUIDs that are made of names.
const NAMESPACE: Uuid = Uuid::from_u128(0x7f1c_5e0a_9d0b_4c56_8a3e_67b1_24d9_0c11);

/// The name of a point: ours are UUIDs, those that others put in may be numbers.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, Hash)]
#[serde(untagged)]
pub(super) enum PointId {
    Number(u64),
    Uuid(String),
}

impl PointId {
    /// That of the entry with this id.
    pub(super) fn of(id: &str) -> Self {
        Self::Uuid(Uuid::new_v5(&NAMESPACE, id.as_bytes()).to_string())
    }

    fn tie(&self) -> u64 {
        let number = match self {
            Self::Number(number) => *number,
            Self::Uuid(text) => text
                .get(text.len().saturating_sub(3)..)
                .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                .unwrap_or_default(),
        };
        number & ((1 << TIE) - 1)
    }
}

/// The sequence in an index.
pub(super) const fn sequence_of(index: u64) -> u64 {
    index >> TIE
}

/// A point as it is sent.
#[derive(Serialize)]
pub(super) struct NewPoint<'e> {
    id: PointId,
    vector: Vectors<'e>,
    payload: Payload<'e>,
}

#[derive(Serialize)]
struct Vectors<'e> {
    embedding: &'e [f32],
    #[serde(skip_serializing_if = "Sparse::is_empty")]
    words: Sparse,
}

#[derive(Serialize)]
struct Payload<'e> {
    id: &'e str,
    text: &'e str,
    sequence: u64,
    metadata: BTreeMap<Cow<'e, str>, &'e str>,
    numbers: BTreeMap<Cow<'e, str>, u64>,
    numbers_next: BTreeMap<Cow<'e, str>, u64>,
    order: BTreeMap<Cow<'e, str>, u64>,
    order_next: BTreeMap<Cow<'e, str>, u64>,
}

impl<'e> NewPoint<'e> {
    pub(super) fn new(entry: &'e Entry, vector: &'e [f32], sequence: u64) -> Self {
        let Entry { id, text, metadata } = entry;
        let pairs = || metadata.iter().map(|(key, value)| (step(key), value.as_str()));
        let numbers =
            || pairs().filter_map(|(key, value)| Some((key, halves(Number::parse(value)?))));
        Self {
            id: PointId::of(id),
            vector: Vectors { embedding: vector, words: Sparse::of_text(text) },
            payload: Payload {
                id,
                text,
                sequence,
                metadata: pairs().collect(),
                numbers: numbers().map(|(key, halves)| (key, halves.0)).collect(),
                numbers_next: numbers().map(|(key, halves)| (key, halves.1)).collect(),
                order: pairs().map(|(key, value)| (key, order(value).0)).collect(),
                order_next: pairs().map(|(key, value)| (key, order(value).1)).collect(),
            },
        }
    }
}

/// Where a text stands among all texts by their first twelve bytes, as two numbers, the first of which counts
/// for more.
pub(super) fn order(text: &str) -> (u64, u64) {
    let number = |from: usize| {
        let digit = |at: usize| text.as_bytes().get(at).map_or(0, |byte| u64::from(*byte) + 1);
        (from..from + GROUP).fold(0, |number, at| number * BASE + digit(at))
    };
    (number(0), number(GROUP))
}

/// Where a number stands among all numbers of double precision, as two numbers of 32 bits, the first of which
/// counts for more.
pub(super) fn halves(number: Number) -> (u64, u64) {
    let bits = number.rounded().to_bits();
    // Negative numbers come first, and among them the one with the greatest bits.
    let bits = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    (bits >> 32, bits & u64::from(u32::MAX))
}

/// A key of the metadata as one step of a path.
pub(super) fn step(key: &str) -> Cow<'_, str> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if !key.is_empty() && key.as_bytes().iter().all(plain) {
        return Cow::Borrowed(key);
    }
    let mut written = String::with_capacity(key.len() * 3);
    for byte in key.bytes() {
        if plain(&byte) {
            written.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(written, "-{byte:02X}");
        }
    }
    if written.is_empty() {
        written.push('-');
    }
    Cow::Owned(written)
}

/// The key behind a step. What others have written, and no step is, is the key itself.
fn key_of(step: &str) -> String {
    let read = || {
        let mut bytes = Vec::with_capacity(step.len());
        let mut rest = step.as_bytes();
        while let Some((first, tail)) = rest.split_first() {
            rest = tail;
            if *first != b'-' {
                bytes.push(*first);
                continue;
            }
            let (digits, tail) = tail.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        }
        String::from_utf8(bytes).ok()
    };
    if step == "-" {
        return String::new();
    }
    read().filter(|key| self::step(key) == step).unwrap_or_else(|| step.to_owned())
}

/// A point of an answer, with as much of it as was asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Point {
    pub(super) id: PointId,
    #[serde(default)]
    pub(super) score: f32,
    #[serde(default)]
    payload: Option<Map<String, Value>>,
    #[serde(default)]
    vector: Option<Named>,
}

#[derive(Debug, Default, Deserialize)]
struct Named {
    #[serde(default)]
    embedding: Vec<f32>,
}

impl Point {
    pub(super) fn sequence(&self) -> u64 {
        let sequence = self.payload.as_ref().and_then(|payload| payload.get(SEQUENCE)?.as_u64());
        sequence.unwrap_or_default().min(MOST_SEQUENCE)
    }

    /// See [`StoredEntry::index`].
    pub(super) fn index(&self) -> u64 {
        (self.sequence() << TIE) | self.id.tie()
    }

    /// Its metadata.
    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        let held = self.payload.as_ref().and_then(|payload| payload.get(METADATA));
        let pair = |(step, value): (&String, &Value)| Some((key_of(step), written(value.clone())?));
        held.and_then(Value::as_object).into_iter().flatten().filter_map(pair).collect()
    }

    /// What its metadata's `key` is.
    pub(super) fn value(&mut self, key: &str) -> Option<String> {
        let held = self.payload.as_mut()?.get_mut(METADATA)?.as_object_mut()?;
        written(held.remove(&*step(key))?)
    }

    /// Its vector, taken out.
    pub(super) fn vector(&mut self) -> Vec<f32> {
        self.vector.take().unwrap_or_default().embedding
    }

    pub(super) fn into_stored(mut self) -> StoredEntry {
        let index = self.index();
        let metadata = self.metadata();
        let mut text = |name: &str| written(self.payload.as_mut()?.remove(name)?);
        let (id, text) = (text("id"), text("text").unwrap_or_default());
        // A point that somebody else put in is called what the server calls it.
        let id = id.unwrap_or_else(|| match self.id {
            PointId::Number(number) => number.to_string(),
            PointId::Uuid(uuid) => uuid,
        });
        StoredEntry { entry: Arc::new(Entry { id, text, metadata }), index }
    }
}

/// What others have put in need not be texts; it is read as it is written out.
fn written(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_steps_and_back() {
        for key in
            ["source", "a_b", "", "-", "a b", "a.b[0]", "\u{e9}", "-41", "\"", "a-", "\u{1f40d}"]
        {
            let step = step(key);
            assert!(
                step.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'),
                "{step}"
            );
            assert_eq!(key_of(&step), key, "{step}");
        }
        // What no step is was written by somebody else.
        for foreign in ["file name", "a-b", "-4", "-41", "-e9"] {
            assert_eq!(key_of(foreign), foreign);
        }
    }

    #[test]
    fn texts_are_ordered_by_their_first_bytes() {
        let texts = [
            "", "\0", "\0\0", "a", "a\0", "ab", "abcdef", "abcdef\0", "abcdefg", "b", "\u{e9}",
            "\u{ffff}",
        ];
        for (one, other) in texts.iter().zip(&texts[1..]) {
            assert!(order(one) < order(other), "{one:?} {other:?}");
        }
        assert!(order("\u{10ffff}\u{10ffff}").0 < 1 << 53);
        assert_eq!(order("2024-05-31T12:00"), order("2024-05-31T17:00"), "beyond twelve bytes");
    }

    #[test]
    fn numbers_are_ordered_by_their_halves() {
        let texts = [
            "-1e308",
            "-7.5",
            "-1",
            "-5e-324",
            "0",
            "5e-324",
            "0.1",
            "0.10000000000000002",
            "1e22",
            "1e308",
        ];
        let halves: Vec<_> =
            texts.iter().map(|text| halves(Number::parse(text).unwrap())).collect();
        assert!(halves.is_sorted_by(|one, other| one < other), "{halves:?}");
    }

    #[test]
    fn a_point_comes_back_as_the_entry_it_was() {
        let metadata = [("page", "7.50"), ("a b", "x"), ("", "\0")];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let entry = Entry { id: "guide.md#3".into(), text: "The heron waits.".into(), metadata };
        let sent = serde_json::to_value(NewPoint::new(&entry, &[0.1, 2.0], 1_790_000_000_000_000))
            .unwrap();
        assert_eq!(sent["payload"]["numbers"], serde_json::json!({"page": 0xC01E_0000_u32}));
        assert_eq!(sent["payload"]["numbers_next"], serde_json::json!({"page": 0}));
        assert_eq!(sent["id"], "e6931d46-5988-533e-87a1-f2c089a4b988");
        let stored = serde_json::from_value::<Point>(sent).unwrap().into_stored();
        assert_eq!(*stored.entry, entry);
        assert_eq!(sequence_of(stored.index), 1_790_000_000_000_000);
    }
}
