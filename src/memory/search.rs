//! The memories most like a query, and those that cannot be compared with it yet.
//!
//! Every vector of the scope is read and compared, a block at a time, so that nothing has to be held between two
//! searches, and what other processes wrote is found at once.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::record::{Scope, ScoredMemory};
use super::rows::{content_hash, get_by_row};
use crate::embeddings::similarities;

/// Vectors compared at once: small enough to stay in the processor's cache.
const BLOCK: usize = 128;
/// Memories without a fitting vector that are handed out at once.
const BARE: usize = 1024;

pub(super) struct Search {
    pub(super) query: Vec<f32>,
    pub(super) scope: Scope,
    pub(super) model: String,
    pub(super) threshold: f64,
    pub(super) top_k: usize,
}

#[derive(Debug)]
pub(super) enum Found {
    /// Best first.
    Hits(Vec<ScoredMemory>),
    /// Id and content of some that have no vector, or one of another text or length.
    Bare(Vec<(String, String)>),
}

impl Search {
    pub(super) fn run(&self, connection: &mut Connection) -> rusqlite::Result<Found> {
        // One transaction: the rows that are hits must not change before they are read.
        let transaction = connection.transaction()?;
        let query = format!(
            "SELECT m.rowid, m.id, m.content, v.content_hash, v.vector FROM memories AS m
             LEFT JOIN memory_vectors AS v ON v.memory_id = m.id AND v.model = ?
             WHERE {} ORDER BY m.rowid",
            self.scope.condition()
        );
        let mut statement = transaction.prepare(&query)?;
        let values = [self.model.clone()].into_iter().chain(self.scope.values()).map(Value::Text);
        let mut rows = statement.query(params_from_iter(values))?;
        let mut best =
            Best { search: self, hits: Vec::new(), rows: Vec::new(), values: Vec::new() };
        let mut bare = Vec::new();
        while let Some(row) = rows.next()? {
            let content = row.get_ref(2)?.as_str()?;
            let hash = row.get_ref(3)?.as_blob_or_null()?;
            let vector = row.get_ref(4)?.as_blob_or_null()?;
            match vector {
                Some(bytes)
                    if bytes.len() == self.query.len().saturating_mul(size_of::<f32>())
                        && hash == Some(content_hash(content).as_slice()) =>
                {
                    best.compare(row.get(0)?, bytes);
                }
                // What says nothing is like nothing.
                _ if content.trim().is_empty() => {}
                _ if bare.len() < BARE => bare.push((row.get(1)?, content.to_owned())),
                _ => break,
            }
        }
        if !bare.is_empty() {
            return Ok(Found::Bare(bare));
        }
        let hits = best
            .finish()
            .into_iter()
            .map(|(score, row)| Ok(ScoredMemory { memory: get_by_row(&transaction, row)?, score }));
        Ok(Found::Hits(hits.collect::<rusqlite::Result<_>>()?))
    }
}

/// The best so far, and a block of vectors that were not compared yet.
struct Best<'a> {
    search: &'a Search,
    hits: Vec<(f32, i64)>,
    rows: Vec<i64>,
    values: Vec<f32>,
}

impl Best<'_> {
    fn compare(&mut self, row: i64, vector: &[u8]) {
        self.rows.push(row);
        let (values, _) = vector.as_chunks::<4>();
        self.values.extend(values.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        if self.rows.len() >= BLOCK {
            self.settle();
        }
    }

    fn settle(&mut self) {
        let query = &self.search.query;
        let scores = similarities(query, &self.values, self.rows.len(), query.len());
        for (score, row) in scores.unwrap_or_default().into_iter().zip(self.rows.drain(..)) {
            if f64::from(score) >= self.search.threshold {
                self.hits.push((score, row));
            }
        }
        self.values.clear();
        // Stable: of equals the one that was added first comes first.
        self.hits.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        self.hits.truncate(self.search.top_k);
    }

    fn finish(mut self) -> Vec<(f32, i64)> {
        self.settle();
        self.hits
    }
}
