//! The exact search: every query against every row, the best kept in a bounded heap. Where many ask at once, a product
//! tells which rows need not be looked at. Where a state has a graph, that is asked first, and what it declines is left
//! for here.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicUsize};
use std::thread;

use super::block::{Block, Row, Snapshot};
use super::distance::{dot, dot_wide, inverse_norm, squared_distance, squared_distance_wide};
use super::filter::Filter;
use super::graph;
use super::product::{self, Product};
use super::vectors::{Code, Packed, Precision};
use super::{Entry, Hit, Metric};

/// Multiplications below which a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 21;

/// Product of inverse lengths above which products of the values underflow in `f32`.
const TINY_VECTORS: f64 = 1e25;

/// What looking at one entry's metadata costs, in multiplications.
const LOOK: usize = 256;

/// What is asked for, whatever the query.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'filter> {
    pub(super) metric: Metric,
    pub(super) top_k: usize,
    pub(super) filter: Option<&'filter Filter>,
    /// Nodes of the graph kept in sight, where there is one; `None` is the default.
    pub(super) sight: Option<usize>,
}

/// The best rows for each query.
///
/// Work is divided by rows when there are enough of them and by queries otherwise; the threads are
/// scoped and gone when this returns, so a fork can never inherit a pool.
pub(super) fn search(snapshot: &Snapshot, queries: &[&[f32]], wanted: Wanted<'_>) -> Vec<Vec<Hit>> {
    let queries: Vec<_> =
        queries.iter().map(|query| Query::new(query, wanted.metric, snapshot.precision)).collect();
    let best = match &snapshot.chart {
        None => scan_all(snapshot, &queries, wanted),
        Some(chart) => {
            let mut best = graph::search(snapshot, chart, &queries, wanted);
            let open = |best: &Option<Best<'_>>| best.is_none();
            let left = queries.iter().zip(&best).filter(|(_, best)| open(best));
            let left: Vec<Query<'_>> = left.map(|(query, _)| *query).collect();
            let mut scanned = scan_all(snapshot, &left, wanted).into_iter();
            best.iter_mut().filter(|best| open(best)).for_each(|best| *best = scanned.next());
            best.into_iter().flatten().collect()
        }
    };
    best.into_iter().map(|best| best.into_hits(|score| shown(score, wanted.metric))).collect()
}

/// The best of all rows for each query.
fn scan_all<'block>(
    snapshot: &'block Snapshot,
    queries: &[Query<'_>],
    wanted: Wanted<'_>,
) -> Vec<Best<'block>> {
    if queries.is_empty() {
        return Vec::new();
    }
    let row = queries.len().saturating_mul(snapshot.dimensions.unwrap_or_default());
    let row = row.saturating_add(wanted.filter.map_or(0, |_| LOOK));
    let workers = workers(snapshot.len().saturating_mul(row));
    if workers <= 1 {
        scan(snapshot, &snapshot.blocks, queries, wanted)
    } else if snapshot.blocks.len() >= workers {
        let share = snapshot.blocks.len().div_ceil(workers);
        let parts = in_parallel(&snapshot.blocks, share, workers, |blocks| {
            scan(snapshot, blocks, queries, wanted)
        });
        parts
            .into_iter()
            .reduce(|mut all, part| {
                all.iter_mut().zip(part).for_each(|(all, part)| all.merge(part));
                all
            })
            .unwrap_or_default()
    } else {
        let share = queries.len().div_ceil(workers).max(1);
        let parts = in_parallel(queries, share, workers, |some| {
            scan(snapshot, &snapshot.blocks, some, wanted)
        });
        parts.into_iter().flatten().collect()
    }
}

/// The score that a row with this vector has for `query`.
pub(super) fn similarity(
    query: &[f32],
    vector: Packed<'_>,
    metric: Metric,
    precision: Precision,
) -> f32 {
    shown(Query::new(query, metric, precision).order(vector), metric)
}

/// The score a user sees, of that which rows are ordered by.
fn shown(score: f32, metric: Metric) -> f32 {
    match metric {
        // A rounding step above 1 would surprise whoever takes the arc cosine.
        Metric::Cosine => score.clamp(-1.0, 1.0),
        Metric::Dot => score,
        Metric::L2 => -(-score).sqrt(),
    }
}

/// The entries that `filter` means, in order.
pub(super) fn select<'block>(
    snapshot: &'block Snapshot,
    filter: &Filter,
) -> Vec<&'block Arc<Entry>> {
    let workers = workers(snapshot.len().saturating_mul(LOOK));
    let share = snapshot.blocks.len().div_ceil(workers).max(1);
    let parts = in_parallel(&snapshot.blocks, share, workers, |blocks| -> Vec<_> {
        let entries = blocks.iter().flat_map(|block| &block.entries);
        entries.filter(|entry| filter.matches(&entry.metadata)).collect()
    });
    parts.concat()
}

/// Threads for this many multiplications.
pub(super) fn workers(work: usize) -> usize {
    match work / WORTH_A_THREAD {
        0 => 1,
        // Asking for the number of cores reads files; a small search is done before that.
        more => more.min(thread::available_parallelism().map_or(1, NonZero::get)),
    }
}

/// The best of the rows of some blocks for each query.
fn scan<'block>(
    snapshot: &Snapshot,
    blocks: &'block [Arc<Block>],
    queries: &[Query<'_>],
    wanted: Wanted<'_>,
) -> Vec<Best<'block>> {
    let mut best: Vec<_> = queries.iter().map(|_| Best::new(wanted.top_k)).collect();
    let mut chosen = Vec::new();
    let mut product = (queries.len() >= product::ENOUGH)
        .then(|| Product::new(queries, wanted.metric, snapshot.precision));
    // Blocks outside, queries inside: a block is read from memory once for all queries.
    for block in blocks {
        if let Some(filter) = wanted.filter {
            chosen.clear();
            let entries = block.entries.iter().enumerate();
            let meant = entries.filter(|(_, entry)| filter.matches(&entry.metadata));
            chosen.extend(meant.map(|(row, _)| row));
            if chosen.is_empty() {
                continue;
            }
        }
        if let Some(product) = &mut product {
            product.scan(block, wanted.filter.map(|_| chosen.as_slice()), &mut best);
            continue;
        }
        for (query, best) in queries.iter().zip(&mut best) {
            match wanted.filter {
                None => query.scan(block.rows(), best),
                Some(_) => {
                    let rows = chosen.iter().filter_map(|row| block.row(*row));
                    query.scan(rows, best);
                }
            }
        }
    }
    best
}

/// `work` on so many of the items at a time, on this thread and others; results in the order of the items. Whoever is
/// done takes the next, so that a core that somebody else uses as well has less to do.
pub(super) fn in_parallel<'items, T: Sync, R: Send>(
    items: &'items [T],
    at_once: usize,
    workers: usize,
    work: impl Fn(&'items [T]) -> R + Sync,
) -> Vec<R> {
    let parts: Vec<&'items [T]> = items.chunks(at_once.max(1)).collect();
    let next = AtomicUsize::new(0);
    let take_part = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, atomic::Ordering::Relaxed);
            let Some(part) = parts.get(at) else { return done };
            done.push((at, work(part)));
        }
    };
    thread::scope(|scope| {
        // A thread that cannot be had leaves its work to the others.
        let helpers = (1..workers.min(parts.len()))
            .filter_map(|_| thread::Builder::new().spawn_scoped(scope, take_part).ok());
        let helpers: Vec<_> = helpers.collect();
        let mut done = take_part();
        for helper in helpers {
            done.append(
                &mut helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        done.sort_unstable_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, result)| result).collect()
    })
}

#[derive(Clone, Copy)]
pub(super) struct Query<'query> {
    vector: &'query [f32],
    inverse_norm: f64,
    metric: Metric,
    precision: Precision,
}

impl<'query> Query<'query> {
    pub(super) fn new(vector: &'query [f32], metric: Metric, precision: Precision) -> Self {
        let inverse_norm = if metric == Metric::Cosine { inverse_norm(vector) } else { 1.0 };
        Self { vector, inverse_norm, metric, precision }
    }

    /// The values compared with.
    pub(super) fn vector(&self) -> &'query [f32] {
        self.vector
    }

    /// A row as a query; `inverse_norm` is that of its values.
    pub(super) fn of_row(
        vector: &'query [f32],
        inverse_norm: f64,
        metric: Metric,
        precision: Precision,
    ) -> Self {
        Self { vector, inverse_norm, metric, precision }
    }

    pub(super) fn scan<'block>(
        &self,
        rows: impl Iterator<Item = Row<'block>>,
        best: &mut Best<'block>,
    ) {
        for Row { vector, sequence, entry } in rows {
            best.offer(Candidate { score: self.order(vector), sequence, entry });
        }
    }

    /// [`Query::score`] for vectors as they are kept.
    pub(super) fn order(&self, vector: Packed<'_>) -> f32 {
        let score = match self.precision {
            Precision::F32 => self.score::<f32>(vector),
            Precision::F16 => self.score::<u16>(vector),
            Precision::I8 => self.score::<i8>(vector),
        };
        // Adding zero makes -0 and 0 the same score.
        score + 0.0
    }

    /// What rows are ordered by: for `l2` the squared distance with its sign turned.
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the result wanted")]
    fn score<C: Code>(&self, row: Packed<'_>) -> f32 {
        let codes = row.codes::<C>(self.vector.len());
        let scale = match self.metric {
            // The row's scale lengthens both the vector and its product.
            Metric::Cosine => row.inverse_norm * self.inverse_norm,
            Metric::Dot | Metric::L2 => f64::from(row.scale),
        };
        let score = match self.metric {
            Metric::Cosine | Metric::Dot => (f64::from(dot(codes, self.vector)) * scale) as f32,
            Metric::L2 => -squared_distance(codes, row.scale, self.vector),
        };
        if score.is_finite() && !(self.metric == Metric::Cosine && scale > TINY_VECTORS) {
            return score;
        }
        // The products left the range of `f32`; the result may not.
        (match self.metric {
            Metric::Cosine | Metric::Dot => dot_wide(codes, self.vector) * scale,
            Metric::L2 => -squared_distance_wide(codes, row.scale, self.vector),
        }) as f32
    }
}

pub(super) struct Candidate<'block> {
    pub(super) score: f32,
    pub(super) sequence: u64,
    pub(super) entry: &'block Arc<Entry>,
}

/// Greater is worse, so that the heap's top is the one to drop: a lower score, or at the same score
/// a later row.
impl Ord for Candidate<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.sequence.cmp(&other.sequence))
    }
}

impl PartialOrd for Candidate<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate<'_> {}

pub(super) struct Best<'block> {
    heap: BinaryHeap<Candidate<'block>>,
    limit: usize,
}

impl<'block> Best<'block> {
    pub(super) fn new(limit: usize) -> Self {
        Self { heap: BinaryHeap::new(), limit }
    }

    pub(super) fn offer(&mut self, candidate: Candidate<'block>) {
        if self.heap.len() < self.limit {
            self.heap.push(candidate);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && candidate < *worst
        {
            *worst = candidate;
        }
    }

    /// The score that a later row must exceed to be taken.
    pub(super) fn worst(&self) -> f32 {
        match self.heap.peek() {
            Some(worst) if self.heap.len() >= self.limit => worst.score,
            _ => f32::NEG_INFINITY,
        }
    }

    fn merge(&mut self, other: Self) {
        for candidate in other.heap {
            self.offer(candidate);
        }
    }

    /// The best, best first, each with what `shown` makes of its score.
    pub(super) fn into_hits(self, shown: impl Fn(f32) -> f32) -> Vec<Hit> {
        let hit = |candidate: Candidate<'_>| Hit {
            entry: Arc::clone(candidate.entry),
            score: shown(candidate.score),
            index: candidate.sequence,
        };
        self.heap.into_sorted_vec().into_iter().map(hit).collect()
    }
}
