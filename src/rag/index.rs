//! Documents over the vector store: which chunks belong to which source, and how to replace them.
//!
//! A chunk's id is its source and its number (`"guide.md#3"`); source, place and fingerprint also travel in
//! the chunk's metadata, so that a store filled earlier, or read from a file, answers with full citations and
//! knows what it need not be given again. There is no lock here: the store has its own, and the number of
//! documents is a counter.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::batch::Vector;
use super::cut::Head;
use crate::error::Result;
use crate::store::{Entry, Hit, StoredEntry, VectorStore};
use crate::types::{Matrix, Passage};

const SOURCE: &str = "source";
const START: &str = "start_char";
const END: &str = "end_char";
const FINGERPRINT: &str = "document_fingerprint";

/// A chunk as it goes into the store.
pub(super) struct StoredChunk {
    pub(super) text: String,
    pub(super) start_char: usize,
    pub(super) end_char: usize,
}

/// A document that is ready to be stored.
pub(super) struct Finished {
    pub(super) head: Arc<Head>,
    pub(super) chunks: Vec<(StoredChunk, Vector)>,
}

pub(super) struct Index {
    store: Arc<VectorStore>,
    documents: AtomicUsize,
}

impl Index {
    pub(super) fn over(store: Arc<VectorStore>) -> Self {
        let first = |entry: &Arc<Entry>| {
            entry.metadata.get(SOURCE).is_some_and(|source| entry.id == id(source, 0))
        };
        let documents = whole(&store).iter().filter(|stored| first(&stored.entry)).count();
        Self { store, documents: AtomicUsize::new(documents) }
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

    /// Whether the store has a document, in so many chunks and no more.
    pub(super) fn holds(&self, source: &str, fingerprint: &str, chunks: usize) -> bool {
        let chunk = |number| self.store.get(&id(source, number)).ok().flatten();
        let same = |number| {
            chunk(number).is_some_and(|entry| {
                entry.metadata.get(FINGERPRINT).is_some_and(|it| it == fingerprint)
            })
        };
        (0..chunks).all(same) && chunk(chunks).is_none()
    }

    /// Puts documents in place of what their sources had before, all of them or none.
    pub(super) fn replace(&self, documents: &[Finished]) -> Result<()> {
        let (mut stale, mut entries, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let (mut more, mut fewer, mut dimensions) = (0, 0, 0);
        for Finished { head, chunks } in documents {
            let known = self.store.get(&id(&head.source, 0))?.is_some();
            more += usize::from(!known && !chunks.is_empty());
            fewer += usize::from(known && chunks.is_empty());
            for (number, (chunk, vector)) in chunks.iter().enumerate() {
                let mut metadata = head.metadata.clone();
                metadata.insert(SOURCE.to_owned(), head.source.clone());
                metadata.insert(START.to_owned(), chunk.start_char.to_string());
                metadata.insert(END.to_owned(), chunk.end_char.to_string());
                metadata.insert(FINGERPRINT.to_owned(), head.fingerprint.clone());
                let (id, text) = (id(&head.source, number), chunk.text.clone());
                entries.push(Entry { id, text, metadata });
                dimensions = vector.len();
                values.extend_from_slice(vector);
            }
            // The new ones take the places of the first old ones; a longer past leaves a tail.
            let mut number = chunks.len();
            while self.store.get(&id(&head.source, number))?.is_some() {
                stale.push(id(&head.source, number));
                number += 1;
            }
        }
        let vectors = Matrix::new(values, entries.len(), dimensions)?;
        self.store.replace(&stale, &vectors, entries)?;
        self.count(more, fewer);
        Ok(())
    }

    /// Deletes the documents of these sources and says how many there were.
    pub(super) fn delete(&self, gone: impl Fn(&str) -> bool) -> Result<usize> {
        let (mut ids, mut sources) = (Vec::new(), HashSet::new());
        for StoredEntry { entry, .. } in whole(&self.store) {
            if let Some(source) = entry.metadata.get(SOURCE).filter(|source| gone(source)) {
                ids.push(entry.id.clone());
                sources.insert(source.clone());
            }
        }
        self.store.delete(&ids)?;
        self.count(0, sources.len());
        Ok(sources.len())
    }

    fn count(&self, more: usize, fewer: usize) {
        let change = |documents: usize| Some(documents.saturating_add(more).saturating_sub(fewer));
        let _ = self.documents.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }
}

fn whole(store: &VectorStore) -> Vec<StoredEntry> {
    // A page without a bound has no reason to be refused.
    store.entries(None, None, usize::MAX).unwrap_or_default()
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
