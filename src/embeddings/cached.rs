//! Vectors as entries of a cache: what tells one text's from another's, and batches of which only what is
//! new is sent, each text once.

use std::collections::HashMap;

use bytes::Bytes;

use super::plan::Sought;
use crate::cache::{Key, Shelf};
use crate::types::Matrix;

/// What is hashed, and the version of how.
pub(super) const DOMAIN: &str = "graphbit embedding 2";

pub(super) fn key(shelf: &Shelf, text: &str) -> Key {
    shelf.key(text.len().saturating_add(8)).part(text.as_bytes()).finish()
}

/// Puts each text's row there; done when they are in the file, if there is one.
pub(super) async fn put(shelf: &Shelf, texts: &[String], vectors: &Matrix) {
    let entry = |(text, row): (&String, &[f32])| (key(shelf, text), encode(row));
    shelf.cache().put_many(texts.iter().zip(vectors.iter()).map(entry).collect()).await;
}

/// A row as little-endian 32-bit floats.
pub(super) fn encode(row: &[f32]) -> Bytes {
    row.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
}

/// The row of an entry.
pub(super) fn decode(entry: &[u8]) -> Vec<f32> {
    let (values, _) = entry.as_chunks::<4>();
    values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The texts that must be sent, each once, and the rows that the cache knows, by their positions.
pub(super) async fn seek(shelf: &Shelf, texts: Vec<String>) -> (Sought, Vec<(usize, Vec<f32>)>) {
    let keys: Vec<Key> = texts.iter().map(|text| key(shelf, text)).collect();
    let entries = shelf.cache().get_many(&keys).await;
    let (mut wanted, mut firsts, mut repeats, mut known) = (vec![], vec![], vec![], vec![]);
    let mut numbers: HashMap<Key, usize> = HashMap::new();
    let found = texts.into_iter().zip(keys.into_iter().zip(entries));
    for (position, (text, (key, entry))) in found.enumerate() {
        if let Some(entry) = entry {
            known.push((position, decode(&entry)));
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
