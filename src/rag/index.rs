//! Documents over the vector store: which chunks belong to which source, and how to replace them.
//!
//! A chunk's id is its source and its number (`"guide.md#3"`); place and source also travel in the chunk's
//! metadata, so that a store filled earlier, or read from a file, answers with full citations.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::store::VectorStore;
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
    // Chunks a source. Held only for map operations and store calls on blocking threads.
    sources: Mutex<HashMap<String, usize>>,
}

impl Index {
    pub(super) fn over(store: Arc<VectorStore>) -> Self {
        let mut sources: HashMap<String, usize> = HashMap::new();
        for id in store.ids() {
            // Chunks that somebody else put in can be found by questions, but belong to no document.
            if let Some((source, _)) = id.rsplit_once('#') {
                *sources.entry(source.to_owned()).or_default() += 1;
            }
        }
        Self { store, sources: Mutex::new(sources) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.store.is_empty()
    }

    pub(super) fn chunks(&self) -> usize {
        self.store.len()
    }

    pub(super) fn documents(&self) -> usize {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Puts the chunks of `source` in place of those it had before.
    pub(super) fn replace(
        &self,
        source: &str,
        metadata: &BTreeMap<String, String>,
        chunks: Vec<StoredChunk>,
        vectors: &Matrix,
    ) -> Result<()> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let count = chunks.len();
        let ids = (0..count).map(|number| id(source, number)).collect();
        let (mut texts, mut places) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for chunk in chunks {
            let mut place: Map<String, Value> =
                metadata.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
            place.insert(SOURCE.to_owned(), json!(source));
            place.insert(START.to_owned(), json!(chunk.start_char));
            place.insert(END.to_owned(), json!(chunk.end_char));
            texts.push(chunk.text);
            places.push(place);
        }
        self.store.add(ids, vectors, texts, places)?;
        let before = sources.insert(source.to_owned(), count).unwrap_or(0);
        let left_over: Vec<String> = (count..before).map(|number| id(source, number)).collect();
        self.store.delete(&left_over);
        Ok(())
    }

    pub(super) fn search(&self, vector: &[f32], top_k: usize) -> Result<Vec<Passage>> {
        let hits = self.store.search(vector, top_k)?;
        Ok(hits
            .into_iter()
            .map(|hit| {
                let number = |key: &str| {
                    let value = hit.metadata.get(key).and_then(Value::as_u64).unwrap_or(0);
                    usize::try_from(value).unwrap_or(usize::MAX)
                };
                let source = hit.metadata.get(SOURCE).and_then(Value::as_str).unwrap_or(&hit.id);
                Passage {
                    source: source.to_owned(),
                    start_char: number(START),
                    end_char: number(END),
                    text: hit.text,
                    score: hit.score,
                }
            })
            .collect())
    }
}

fn id(source: &str, number: usize) -> String {
    format!("{source}#{number}")
}
