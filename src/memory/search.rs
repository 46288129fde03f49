//! The memories most like a query, and those that cannot be compared with it yet.
//!
//! Every vector of the scope is read and compared, so that nothing has to be held between two searches, and what other
//! processes wrote is found at once. It is read a page at a time, each in a turn of its own, and compared between
//! the turns: a fork waits for a page at most, and so does whoever else wants the file.
//!
//! So the file may change meanwhile. A page and a hit are as they are in the file in one moment, and a hit has the
//! score of the content it is returned with: one that says something else by the time it is read is compared
//! anew, and one that is gone, or no longer of the scope, is left out. Where that may have cost another memory its
//! place, the search begins again, a few times at most. What is added meanwhile is found, or not yet; only `VACUUM`,
//! which numbers the rows anew, can hide what has not changed, from that one search.

use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::database::Database;
use super::record::{Scope, ScoredMemory};
use super::rows::{COLUMNS, Hash, content_hash, memory};
use crate::embeddings::similarities;
use crate::error::Result;
use crate::runtime;

/// Rows that one turn reads, and about how many bytes: some milliseconds.
const PAGE: usize = 2048;
const PAGE_BYTES: usize = 2 << 20;
/// Memories without a fitting vector that are handed out at once.
const BARE: usize = 1024;
/// How often a search begins while others change what it found.
const PASSES: usize = 3;

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

/// What was read in one turn.
#[derive(Default)]
struct Page {
    rows: Vec<(i64, Hash)>,
    /// One vector for each row.
    values: Vec<f32>,
    bare: Vec<(String, String)>,
    /// The row that the next page begins with.
    next: Option<i64>,
}

/// A row, and the hash of the content that was compared.
#[derive(Clone)]
struct Hit {
    score: f32,
    row: i64,
    hash: Hash,
}

/// The best so far.
#[derive(Default)]
pub(super) struct Best {
    hits: Vec<Hit>,
    /// Whether there were more than are wanted.
    cut: bool,
}

/// What became of hits until they were read.
#[derive(Default)]
pub(super) struct Settled {
    pub(super) hits: Vec<(i64, ScoredMemory)>,
    pub(super) bare: Vec<(String, String)>,
    /// Whether any of them was changed or has gone.
    pub(super) stale: bool,
}

/// How a row stands to the query.
enum Standing<'row> {
    /// It has the vector of its content.
    Comparable(&'row [u8], Hash),
    Bare(&'row str),
    /// It says nothing, and what says nothing is like nothing.
    Blank,
}

impl Search {
    pub(super) async fn run(self: &Arc<Self>, database: &Database) -> Result<Found> {
        let mut pass = 1;
        loop {
            let (best, bare) = self.compare_all(database).await?;
            if !bare.is_empty() {
                return Ok(Found::Bare(bare));
            }
            let cut = best.cut;
            let Settled { mut hits, bare, stale } = self.settle(database, best).await?;
            if !bare.is_empty() {
                return Ok(Found::Bare(bare));
            }
            if stale && cut && pass < PASSES {
                pass = pass.saturating_add(1);
                continue;
            }
            // Those that were compared anew are out of order.
            hits.sort_by(|(row, one), (other_row, other)| {
                other.score.total_cmp(&one.score).then(row.cmp(other_row))
            });
            return Ok(Found::Hits(hits.into_iter().map(|(_, hit)| hit).collect()));
        }
    }

    /// The best of the scope; or some that are bare, and then the best are of no use.
    pub(super) async fn compare_all(
        self: &Arc<Self>,
        database: &Database,
    ) -> Result<(Best, Vec<(String, String)>)> {
        let (mut best, mut bare, mut next) = (Best::default(), Vec::new(), Some(i64::MIN));
        while let Some(from) = next
            && bare.len() < BARE
        {
            let (search, room) = (Arc::clone(self), BARE.saturating_sub(bare.len()));
            let mut page =
                database.run(move |connection| search.page(connection, from, room)).await?;
            next = page.next;
            bare.append(&mut page.bare);
            if bare.is_empty() {
                // It is too much work for a thread that others' futures wait for.
                let search = Arc::clone(self);
                best = runtime::spawn_blocking(move || search.compare(best, &page)).await?;
            }
        }
        Ok((best, bare))
    }

    /// Reads from a row on, with at most `room` bare ones.
    fn page(&self, connection: &Connection, from: i64, room: usize) -> rusqlite::Result<Page> {
        let query = format!(
            "SELECT m.id, m.content, v.content_hash, v.vector, m.rowid FROM memories AS m
             LEFT JOIN memory_vectors AS v ON v.memory_id = m.id AND v.model = ?
             WHERE {} AND m.rowid >= ? ORDER BY m.rowid",
            self.scope.condition()
        );
        let mut statement = connection.prepare(&query)?;
        let mut rows = statement.query(params_from_iter(self.values(from)))?;
        let (mut page, mut read, mut bytes) = (Page::default(), 0_usize, 0_usize);
        while let Some(row) = rows.next()? {
            let number = row.get(4)?;
            if read >= PAGE || bytes >= PAGE_BYTES || page.bare.len() >= room {
                page.next = Some(number);
                break;
            }
            let content = row.get_ref(1)?.as_str()?;
            read = read.saturating_add(1);
            bytes = bytes.saturating_add(content.len());
            match self.standing(content, row, 2)? {
                Standing::Comparable(vector, hash) => {
                    if page.values.is_empty() {
                        // At once: growing by and by costs as much as the reading.
                        let most = PAGE_BYTES.div_ceil(vector.len().max(1)).min(PAGE);
                        page.values.reserve(most.saturating_mul(self.query.len()));
                    }
                    bytes = bytes.saturating_add(vector.len());
                    page.values.extend(floats(vector));
                    page.rows.push((number, hash));
                }
                Standing::Bare(content) => page.bare.push((row.get(0)?, content.to_owned())),
                Standing::Blank => {}
            }
        }
        Ok(page)
    }

    fn compare(&self, mut best: Best, page: &Page) -> Result<Best> {
        let scores = similarities(&self.query, &page.values, page.rows.len(), self.query.len())?;
        let hits = scores.into_iter().zip(&page.rows).filter(|(score, _)| self.suffices(*score));
        best.hits.extend(hits.map(|(score, &(row, hash))| Hit { score, row, hash }));
        // Stable: of equals the one that was added first comes first.
        best.hits.sort_by(|one, other| other.score.total_cmp(&one.score));
        best.cut |= best.hits.len() > self.top_k;
        best.hits.truncate(self.top_k);
        Ok(best)
    }

    /// Reads the memories that are hits, as many in a turn as a page has rows.
    pub(super) async fn settle(
        self: &Arc<Self>,
        database: &Database,
        best: Best,
    ) -> Result<Settled> {
        let mut settled = Settled::default();
        for hits in best.hits.chunks(PAGE) {
            let (search, hits) = (Arc::clone(self), hits.to_vec());
            let read = database.run(move |connection| search.read(connection, &hits)).await?;
            settled.hits.extend(read.hits);
            settled.bare.extend(read.bare);
            settled.stale |= read.stale;
        }
        settled.bare.truncate(BARE);
        Ok(settled)
    }

    fn read(&self, connection: &mut Connection, hits: &[Hit]) -> rusqlite::Result<Settled> {
        // One lock for all of them.
        let transaction = connection.transaction()?;
        let query = format!(
            "SELECT {COLUMNS}, v.content_hash, v.vector FROM memories AS m
             LEFT JOIN memory_vectors AS v ON v.memory_id = m.id AND v.model = ?
             WHERE {} AND m.rowid = ?",
            self.scope.condition()
        );
        let mut statement = transaction.prepare(&query)?;
        let mut settled = Settled::default();
        for hit in hits {
            let mut rows = statement.query(params_from_iter(self.values(hit.row)))?;
            let Some(row) = rows.next()? else {
                settled.stale = true;
                continue;
            };
            let memory = memory(row)?;
            // By the content and not by the row: the number of a row that has gone is given to another.
            if content_hash(&memory.content) == hit.hash {
                settled.hits.push((hit.row, ScoredMemory { memory, score: hit.score }));
                continue;
            }
            settled.stale = true;
            match self.standing(&memory.content, row, 8)? {
                Standing::Comparable(vector, _) => {
                    let vector: Vec<f32> = floats(vector).collect();
                    let scores = similarities(&self.query, &vector, 1, self.query.len());
                    let score = scores.ok().and_then(|scores| scores.first().copied());
                    if let Some(score) = score.filter(|score| self.suffices(*score)) {
                        settled.hits.push((hit.row, ScoredMemory { memory, score }));
                    }
                }
                Standing::Bare(_) => settled.bare.push((memory.id, memory.content)),
                Standing::Blank => {}
            }
        }
        Ok(settled)
    }

    /// What both queries are asked with.
    fn values(&self, row: i64) -> Vec<Value> {
        let texts = [self.model.clone()].into_iter().chain(self.scope.values()).map(Value::Text);
        texts.chain([Value::Integer(row)]).collect()
    }

    /// `column` is that of the hash; the one behind it is that of the vector.
    fn standing<'row>(
        &self,
        content: &'row str,
        row: &'row Row<'_>,
        column: usize,
    ) -> rusqlite::Result<Standing<'row>> {
        let hash = row.get_ref(column)?.as_blob_or_null()?;
        let vector = row.get_ref(column.saturating_add(1))?.as_blob_or_null()?;
        let length = self.query.len().saturating_mul(size_of::<f32>());
        if let Some(vector) = vector.filter(|vector| vector.len() == length) {
            let own = content_hash(content);
            if hash == Some(own.as_slice()) {
                return Ok(Standing::Comparable(vector, own));
            }
        }
        let blank = content.trim().is_empty();
        Ok(if blank { Standing::Blank } else { Standing::Bare(content) })
    }

    fn suffices(&self, score: f32) -> bool {
        f64::from(score) >= self.threshold
    }
}

fn floats(vector: &[u8]) -> impl Iterator<Item = f32> {
    let (values, _) = vector.as_chunks::<4>();
    values.iter().map(|bytes| f32::from_le_bytes(*bytes))
}
