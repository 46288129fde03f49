//! Vectors as entries of a cache: what tells one text's from another's, and batches of which only what is
//! new is sent, each text once.

use std::collections::HashMap;

use bytes::Bytes;

use super::plan::Sought;
use crate::cache::{Kept, Key, Shelf};
use crate::types::Matrix;

/// What is hashed, and the version of how.
pub(super) const DOMAIN: &str = "graphbit embedding 2";

pub(super) fn key(shelf: &Shelf, text: &str) -> Key {
    shelf.key(text.len().saturating_add(8)).part(text.as_bytes()).finish()
}

/// The vector of one text.
pub(super) struct Row(Box<[f32]>);

impl Row {
    pub(super) fn new(values: Vec<f32>) -> Self {
        Self(values.into())
    }

    pub(super) fn values(&self) -> &[f32] {
        &self.0
    }

    pub(super) fn into_values(self) -> Vec<f32> {
        self.0.into()
    }
}

/// Little-endian 32-bit floats.
fn written(values: &[f32]) -> Bytes {
    let mut entry = vec![0; size_of_val(values)];
    for (place, value) in entry.as_chunks_mut().0.iter_mut().zip(values) {
        *place = value.to_le_bytes();
    }
    entry.into()
}

impl Kept for Row {
    fn write(&self) -> Option<Bytes> {
        Some(written(&self.0))
    }

    fn read(entry: &Bytes) -> Option<Self> {
        let (values, rest) = entry.as_chunks::<4>();
        rest.is_empty()
            .then(|| Self(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
    }
}

/// Puts each text's row there; done when they are in the file, if there is one.
pub(super) async fn put(shelf: &Shelf, texts: &[String], vectors: &Matrix) {
    let entry = |(text, row): (&String, &[f32])| (key(shelf, text), written(row));
    shelf.cache().put_many(texts.iter().zip(vectors.iter()).map(entry)).await;
}

/// The texts that must be sent, each once, and the rows that the cache knows, by their positions.
pub(super) async fn seek(shelf: &Shelf, texts: Vec<String>) -> (Sought, Vec<(usize, Row)>) {
    let keys: Vec<Key> = texts.iter().map(|text| key(shelf, text)).collect();
    let entries = shelf.cache().get_many(&keys).await;
    let (mut wanted, mut firsts, mut repeats, mut known) = (vec![], vec![], vec![], vec![]);
    let mut numbers: HashMap<Key, usize> = HashMap::new();
    let found = texts.into_iter().zip(keys.into_iter().zip(entries));
    for (position, (text, (key, entry))) in found.enumerate() {
        if let Some(entry) = entry {
            known.push((position, entry));
        } else if let Some(number) = numbers.get(&key) {
            repeats.push((*number, position));
        } else {
            numbers.insert(key, wanted.len());
            firsts.push(position);
            wanted.push(text);
        }
    }
    (Sought::some(wanted, firsts, repeats), known)
}
