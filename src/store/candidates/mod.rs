//! Candidates for an answer: found by vector, by words or by both, and chosen to differ.

mod elsewhere;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Arc, PoisonError};
use std::thread;

use super::block::Snapshot;
use super::distance::{dot_wide, inverse_norm};
use super::filter::Filter;
use super::search::{self, Best, in_parallel};
use super::vectors::Packed;
use super::{Hit, Metric, VectorStore, at_least_one, check_query};
use crate::error::Result;
use crate::lexical::{self, Query, Segment};

pub(super) use elsewhere::{Found, joined};

/// What a rank is worth: 1 / (60 + rank), the constant of Cormack, Clarke & Buettcher, "Reciprocal Rank Fusion
/// Outperforms Condorcet and Individual Rank Learning Methods" (2009).
const RANK_CONSTANT: f32 = 60.0;
/// Ranks of either list that are fused at least; what is far behind in both adds next to nothing.
pub const FUSED_RANKS: usize = 100;

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wanted<'w> {
    /// Vectors like this one.
    Vector(&'w [f32]),
    /// Texts with these words, by BM25.
    Words(&'w str),
    /// Both, fused by the ranks they have in either list.
    Both(&'w [f32], &'w str),
}

/// A hit that may become part of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// What was found. Its score is that of the vector, or of BM25 when only words were looked for.
    pub hit: Hit,
    /// What candidates are ordered by, more is better: the score, or the fused ranks.
    pub relevance: f32,
    /// Its vector; empty where the store gives it only when it is asked for ([`super::Store::vectors`]).
    pub vector: Vec<f32>,
}

impl VectorStore {
    /// The best `limit` entries for what is wanted, best first, equals in the order they were added. An entry
    /// without any of the words is none for words, and one that `filter` does not mean is none at all.
    ///
    /// # Errors
    /// As for [`VectorStore::search`].
    pub fn candidates(
        &self,
        wanted: Wanted<'_>,
        limit: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<Candidate>> {
        at_least_one("limit", limit)?;
        let snapshot = self.current();
        let hits = |vector: &[f32], limit| {
            check_query(&snapshot, vector)?;
            let top_k = usize::min(limit, snapshot.len());
            let wanted = search::Wanted { metric: self.metric, top_k, filter, sight: None };
            Ok(search::search(&snapshot, &[vector], wanted).pop().unwrap_or_default())
        };
        let ranked = match wanted {
            Wanted::Vector(vector) => own_scores(hits(vector, limit)?),
            Wanted::Words(text) => own_scores(self.with_words(&snapshot, text, limit, filter)),
            Wanted::Both(vector, text) => {
                let depth = limit.max(FUSED_RANKS);
                let lists = [hits(vector, depth)?, self.with_words(&snapshot, text, depth, filter)];
                fused(lists, |sequence| similarity(&snapshot, self.metric, vector, sequence), limit)
            }
        };
        let candidate = |(hit, relevance): (Hit, f32)| {
            let dimensions = snapshot.dimensions.unwrap_or_default();
            let values = |packed: Packed<'_>| packed.values(snapshot.precision, dimensions);
            let vector = snapshot.vector(hit.index).map(values);
            Candidate { vector: vector.unwrap_or_default(), hit, relevance }
        };
        Ok(ranked.into_iter().map(candidate).collect())
    }

    fn with_words(
        &self,
        snapshot: &Snapshot,
        text: &str,
        limit: usize,
        filter: Option<&Filter>,
    ) -> Vec<Hit> {
        let segments = self.indexed(snapshot);
        let segments: Vec<&Segment> = segments.iter().map(Arc::as_ref).collect();
        let mut best = Best::new(limit);
        lexical::score(&segments, &Query::new(text), |block, row, score| {
            let Some(block) = snapshot.blocks.get(block) else { return };
            if let (Some(sequence), Some(entry)) = (block.sequence.get(row), block.entries.get(row))
            {
                if filter.is_some_and(|filter| !filter.matches(&entry.metadata)) {
                    return;
                }
                best.offer(search::Candidate { score, sequence: *sequence, entry });
            }
        });
        best.into_hits(|score| score)
    }

    /// The word index of every block.
    fn indexed(&self, snapshot: &Snapshot) -> Vec<Arc<Segment>> {
        if snapshot.blocks.iter().any(|block| !block.entries.are_indexed()) {
            // Whoever comes meanwhile waits here and finds them made.
            let indexing = self.indexing.get();
            let _turn = indexing.lock().unwrap_or_else(PoisonError::into_inner);
            let workers = thread::available_parallelism().map_or(1, NonZero::get);
            in_parallel(&snapshot.blocks, 1, workers, |blocks| {
                blocks.iter().for_each(|block| drop(block.entries.words()));
            });
        }
        snapshot.blocks.iter().map(|block| block.entries.words()).collect()
    }
}

fn own_scores(hits: Vec<Hit>) -> Vec<(Hit, f32)> {
    hits.into_iter()
        .map(|hit| {
            let score = hit.score;
            (hit, score)
        })
        .collect()
}

/// The score a row has for `vector`, whether or not it was found by it.
fn similarity(snapshot: &Snapshot, metric: Metric, vector: &[f32], sequence: u64) -> Option<f32> {
    let row = snapshot.vector(sequence)?;
    Some(search::similarity(vector, row, metric, snapshot.precision))
}

/// Joins two ranked lists, best first, by the sum of 1 / (60 + rank), ranks counted from 1, and keeps the best `limit` of
/// them with that sum. `score` says a hit's score by its index; without one it keeps its own.
#[must_use]
pub fn fused(
    lists: [Vec<Hit>; 2],
    score: impl Fn(u64) -> Option<f32>,
    limit: usize,
) -> Vec<(Hit, f32)> {
    let mut sums: HashMap<u64, (Hit, f32)> = HashMap::new();
    for list in lists {
        let mut rank = RANK_CONSTANT;
        for hit in list {
            rank += 1.0;
            let (_, sum) = sums.entry(hit.index).or_insert_with(|| (hit, 0.0));
            *sum += 1.0 / rank;
        }
    }
    let mut fused: Vec<(Hit, f32)> = sums.into_values().collect();
    fused.sort_unstable_by(|(one, one_sum), (other, other_sum)| {
        other_sum.total_cmp(one_sum).then(one.index.cmp(&other.index))
    });
    fused.truncate(limit);
    for (hit, _) in &mut fused {
        hit.score = score(hit.index).unwrap_or(hit.score);
    }
    fused
}

/// Picks `count` candidates that are relevant and differ, one after the other: maximal marginal relevance after
/// Carbonell & Goldstein (1998).
///
/// Each next one has the most of (1 - diversity) * relevance - diversity * its largest cosine with those picked,
/// relevance scaled to between 0 and 1 over the candidates. At 0 the order stays as it is.
#[must_use]
pub fn diverse(candidates: Vec<Candidate>, diversity: f32, count: usize) -> Vec<Candidate> {
    struct Open {
        candidate: Candidate,
        relevance: f32,
        norm: f64,
        nearest: f32,
    }
    let worths = || candidates.iter().map(|candidate| candidate.relevance);
    let least = worths().fold(f32::INFINITY, f32::min);
    let span = worths().fold(f32::NEG_INFINITY, f32::max) - least;
    let scaled = |relevance: f32| if span > 0.0 { (relevance - least) / span } else { 1.0 };
    let open = |candidate: Candidate| Open {
        relevance: scaled(candidate.relevance),
        norm: inverse_norm(&candidate.vector),
        candidate,
        nearest: 0.0,
    };
    let mut open: Vec<Open> = candidates.into_iter().map(open).collect();
    let mut picked = Vec::with_capacity(count.min(open.len()));
    while picked.len() < count {
        let worth = |one: &Open| (1.0 - diversity) * one.relevance - diversity * one.nearest;
        // The first of equals, which is the better in the order given.
        let best = open.iter().enumerate().reduce(|best, next| {
            let order = worth(next.1).total_cmp(&worth(best.1));
            if order == Ordering::Greater { next } else { best }
        });
        let Some((at, _)) = best else { break };
        let Open { candidate, norm, .. } = open.remove(at);
        for other in &mut open {
            let product = dot_wide(&candidate.vector, &other.candidate.vector);
            #[expect(clippy::cast_possible_truncation, reason = "a cosine")]
            let cosine = (product * norm * other.norm) as f32;
            other.nearest = if picked.is_empty() { cosine } else { other.nearest.max(cosine) };
        }
        picked.push(candidate);
    }
    picked
}

#[cfg(test)]
mod tests;
