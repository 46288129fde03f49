//! Documents over a store: which chunks belong to which source, and how to replace them.
//!
//! A chunk's id is its source and its number (`"guide.md#3"`); source, place and fingerprint also travel in
//! the chunk's metadata, so that a store filled earlier, or read from a file, answers with full citations and
//! knows what it need not be given again. Nothing is remembered here: others may write to the same store. It is
//! asked about many documents at once, because each question may be a journey to a server.

use std::sync::Arc;

use super::batch::Vector;
use super::cut::{Head, OF_TEXT};
use crate::error::Result;
use crate::store::{Entry, Filter, Hit, Store};
use crate::types::{Matrix, Passage};

const SOURCE: &str = "source";
const START: &str = "start_char";
const END: &str = "end_char";
const FINGERPRINT: &str = "document_fingerprint";

/// Ids asked about at once.
const IDS_AT_ONCE: usize = 10_000;
/// Ids behind the end of a document that are looked for first; as many again as were found, then.
const TAIL: usize = 4;

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
    store: Arc<dyn Store>,
}

impl Index {
    pub(super) fn over(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Whether there is nothing, as far as is known without asking.
    pub(super) fn is_known_empty(&self) -> bool {
        self.store.known_len() == Some(0)
    }

    pub(super) async fn chunks(&self) -> Result<usize> {
        Arc::clone(&self.store).count(None).run().await
    }

    pub(super) async fn documents(&self) -> Result<usize> {
        Arc::clone(&self.store).count_values(SOURCE.to_owned()).run().await
    }

    /// The numbers of documents and chunks, if the store is here.
    pub(super) fn sizes_at_once(&self) -> Option<(usize, usize)> {
        let chunks = self.store.known_len()?;
        let documents = Arc::clone(&self.store).count_values(SOURCE.to_owned()).at_once()?.ok()?;
        Some((documents, chunks))
    }

    /// Whether the store has each document, in as many chunks and no more.
    pub(super) async fn holds(&self, documents: &[&Head]) -> Result<Vec<bool>> {
        let ids = documents.iter().flat_map(|head| (0..=head.chunks).map(|n| id(&head.source, n)));
        let mut found = self.fingerprints(ids.collect()).await?.into_iter();
        let mut held = Vec::with_capacity(documents.len());
        for head in documents {
            // All of the document's answers are taken: those about the next one stand behind them.
            let mut chunks: Vec<_> = found.by_ref().take(head.chunks + 1).collect();
            let behind = chunks.pop().flatten();
            let wanted = Some(head.fingerprint.as_str());
            let same = |one: &Option<Option<String>>| {
                one.iter().flatten().next().map(String::as_str) == wanted
            };
            held.push(behind.is_none() && chunks.iter().all(same));
        }
        Ok(held)
    }

    async fn fingerprints(&self, ids: Vec<String>) -> Result<Vec<Option<Option<String>>>> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS_AT_ONCE) {
            let store = Arc::clone(&self.store);
            found.extend(store.values_at(ids.to_vec(), FINGERPRINT.to_owned()).run().await?);
        }
        Ok(found)
    }

    /// Puts documents in place of what their sources had before, all of them or none.
    pub(super) async fn replace(&self, documents: &[Finished]) -> Result<()> {
        let chunks = documents.iter().flat_map(|document| &document.chunks);
        let (count, numbers) = chunks
            .fold((0, 0), |(count, numbers), (_, vector)| (count + 1, numbers + vector.len()));
        // Room at once: what is copied into larger and larger places lies about for a while.
        let (mut entries, mut values) = (Vec::with_capacity(count), Vec::with_capacity(numbers));
        let mut dimensions = 0;
        for Finished { head, chunks } in documents {
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
        }
        // The new ones take the places of the first old ones; a longer past leaves a tail.
        let stale = self.tails(documents).await?;
        let vectors = Matrix::new(values, entries.len(), dimensions)?;
        Arc::clone(&self.store).replace(stale, vectors, entries).run().await?;
        Ok(())
    }

    /// The ids that the store has behind the last chunk of each document.
    async fn tails(&self, documents: &[Finished]) -> Result<Vec<String>> {
        let mut stale = Vec::new();
        let mut open: Vec<(&str, usize)> =
            documents.iter().map(|it| (it.head.source.as_str(), it.chunks.len())).collect();
        let mut width = TAIL;
        while !open.is_empty() {
            let ids: Vec<String> = open
                .iter()
                .flat_map(|(source, start)| (*start..start + width).map(|n| id(source, n)))
                .collect();
            let found = self.fingerprints(ids.clone()).await?;
            let mut longer = Vec::new();
            for ((source, start), (ids, found)) in
                open.into_iter().zip(ids.chunks(width).zip(found.chunks(width)))
            {
                let there = found.iter().take_while(|one| one.is_some()).count();
                stale.extend(ids.iter().take(there).cloned());
                if there == width {
                    longer.push((source, start + width));
                }
            }
            open = longer;
            width = (width * 2).min(IDS_AT_ONCE);
        }
        Ok(stale)
    }

    /// The names of all documents.
    pub(super) async fn sources(&self) -> Result<Vec<String>> {
        Arc::clone(&self.store).values(SOURCE.to_owned()).run().await
    }

    /// Those of these documents that were put here by an ingest, and not as texts in memory.
    pub(super) async fn without_texts(&self, sources: Vec<String>) -> Result<Vec<String>> {
        let ids = sources.iter().map(|source| id(source, 0)).collect();
        let fingerprints = self.fingerprints(ids).await?;
        let of_texts = |one: &Option<Option<String>>| {
            one.iter().flatten().next().is_none_or(|fingerprint| fingerprint.ends_with(OF_TEXT))
        };
        let known = sources.into_iter().zip(fingerprints);
        Ok(known.filter(|(_, one)| !of_texts(one)).map(|(source, _)| source).collect())
    }

    /// Deletes these documents and says how many there were.
    pub(super) async fn delete(&self, sources: Vec<String>) -> Result<usize> {
        let count = sources.len();
        if count > 0 {
            let filter = Filter::one_of(SOURCE, sources);
            Arc::clone(&self.store).delete_where(filter).run().await?;
        }
        Ok(count)
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
