//! Documents over the vector store: which chunks belong to which source, and how to replace them.
//!
//! A chunk's id is its source and its number (`"guide.md#3"`); source and place also travel in the chunk's
//! metadata, so that a store filled earlier, or read from a file, answers with full citations. There is
//! no lock here: the store has its own, and the number of documents is a counter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Result;
use crate::store::{Entry, Hit, VectorStore};
use crate::types::{Matrix, Passage};

const SOURCE: &str = "source";
const START: &str = "start_char";
const END: &str = "end_char";

/// A chunk as it goes into the store.
pub(super) struct StoredChunk {
    pub(super) text: String,
    pub(super) start_char: usize,
    pub(super) end_char: usize,
}

pub(super) struct Index {
    store: Arc<VectorStore>,
    documents: AtomicUsize,
}

impl Index {
    pub(super) fn over(store: Arc<VectorStore>) -> Self {
        Self { store, documents: AtomicUsize::new(0) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.store.is_empty()
    }

    pub(super) fn chunks(&self) -> usize {
        self.store.len()
    }

    pub(super) fn documents(&self) -> usize {
        self.documents.load(Ordering::Relaxed)
    }

    /// Puts the chunks of `source` in place of those it had before.
    pub(super) fn replace(
        &self,
        source: &str,
        metadata: &BTreeMap<String, String>,
        chunks: Vec<StoredChunk>,
        vectors: &Matrix,
    ) -> Result<()> {
        let count = chunks.len();
        let known = self.store.get(&id(source, 0))?.is_some();
        let entries = chunks.into_iter().enumerate().map(|(number, chunk)| {
            let mut metadata = metadata.clone();
            metadata.insert(SOURCE.to_owned(), source.to_owned());
            metadata.insert(START.to_owned(), chunk.start_char.to_string());
            metadata.insert(END.to_owned(), chunk.end_char.to_string());
            Entry { id: id(source, number), text: chunk.text, metadata }
        });
        self.store.add(vectors, entries.collect())?;
        // The new ones took the places of the first old ones; a longer past leaves a tail.
        let mut left_over = Vec::new();
        while known && self.store.get(&id(source, count + left_over.len()))?.is_some() {
            left_over.push(id(source, count + left_over.len()));
        }
        self.store.delete(&left_over)?;
        match (known, count > 0) {
            (false, true) => {
                self.documents.fetch_add(1, Ordering::Relaxed);
            }
            (true, false) => {
                let less = |documents: usize| documents.checked_sub(1);
                let _ = self.documents.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            }
            _ => {}
        }
        Ok(())
    }
}

/// A hit as a passage, with what the entry's metadata say of its place.
pub(super) fn passage(hit: &Hit) -> Passage {
    let place =
        |key: &str| hit.entry.metadata.get(key).and_then(|place| place.parse().ok()).unwrap_or(0);
    Passage {
        // An entry that somebody else put in has no source; its id is its name.
        source: hit.entry.metadata.get(SOURCE).unwrap_or(&hit.entry.id).clone(),
        start_char: place(START),
        end_char: place(END),
        text: hit.entry.text.clone(),
        score: hit.score,
    }
}

fn id(source: &str, number: usize) -> String {
    format!("{source}#{number}")
}
