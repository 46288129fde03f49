//! Many queries at once: a product of matrices tells which rows can be among the best, and only these are scored.
//!
//! Such a product uses each number it has loaded many times, and so takes a fraction of what comparing one by one
//! takes. But it adds up in another order, and other sums round otherwise. So nothing of it is ever answered: with the
//! room that rounding can need it bounds each score from above, and a row whose bound is below the worst of the best so
//! far is passed over. What is found, and its score, are those of [`Query::order`], however many ask at once.
//!
//! The bound of a row is `product * slope + lift`, of which the last two are the row's, and it is compared with what
//! [`Threshold::least`] makes of the worst score. Where it cannot be told, one of these is not a number, and every
//! comparison with it sends the row to be scored.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

use super::Metric;
use super::block::{Block, Row};
use super::distance::inverse_norm;
use super::search::{Best, Candidate, Query};
use super::vectors::{Packed, Precision};

/// Queries from which on a product is quicker than comparing one by one.
pub(super) const ENOUGH: usize = 8;

/// Queries in one product: what comes out for the rows of a block stays near the processor.
const QUERIES_AT_ONCE: usize = 256;
/// Rows passed over at once.
const ROWS_AT_ONCE: usize = 16;
/// Lengths of vectors whose products are far from both ends of the range of `f32`.
const LENGTHS: std::ops::RangeInclusive<f64> = 1e-12..=1e12;

/// The queries of a search, ready to be multiplied with blocks of rows.
pub(super) struct Product<'queries> {
    queries: &'queries [Query<'queries>],
    dimensions: usize,
    /// One row a query.
    values: Vec<f32>,
    thresholds: Vec<Threshold>,
    metric: Metric,
    precision: Precision,
    /// What a score can be more than its bound without the room for it, of vectors of length 1.
    ///
    /// A sum of n products rounds by no more than n half units in the last place of the product of the lengths,
    /// whatever its order (Higham, Accuracy and Stability of Numerical Algorithms, 3.1). There are two such sums here,
    /// and some single roundings beside them.
    room: f64,
    // Kept from block to block.
    scores: Vec<f32>,
    gathered: Vec<f32>,
}

/// What the bounds of one query are compared with.
struct Threshold {
    inverse_norm: f64,
    /// Whether the length is within [`LENGTHS`], or 0.
    usual: bool,
}

impl<'queries> Product<'queries> {
    pub(super) fn new(
        queries: &'queries [Query<'queries>],
        metric: Metric,
        precision: Precision,
    ) -> Self {
        let dimensions = queries.first().map_or(0, |query| query.vector().len());
        let mut values = Vec::with_capacity(queries.len().saturating_mul(dimensions));
        let mut thresholds = Vec::with_capacity(queries.len());
        for query in queries {
            let inverse_norm = inverse_norm(query.vector());
            #[expect(
                clippy::cast_possible_truncation,
                reason = "unusual lengths are not relied on"
            )]
            let factor = if metric == Metric::L2 { 1.0 } else { inverse_norm as f32 };
            values.extend(query.vector().iter().map(|value| value * factor));
            thresholds.push(Threshold { inverse_norm, usual: is_usual(inverse_norm) });
        }
        #[expect(clippy::cast_precision_loss, reason = "no vector has 2^53 values")]
        let room = (dimensions as f64 + 16.0) * f64::from(f32::EPSILON);
        let (scores, gathered) = (Vec::new(), Vec::new());
        Self { queries, dimensions, values, thresholds, metric, precision, room, scores, gathered }
    }

    /// Offers the rows of a block, or those `chosen` of them, to the best of each query.
    pub(super) fn scan<'block>(
        &mut self,
        block: &'block Block,
        chosen: Option<&[usize]>,
        best: &mut [Best<'block>],
    ) {
        let rows: Vec<Row<'block>> = match chosen {
            None => block.rows().collect(),
            Some(chosen) => chosen.iter().filter_map(|row| block.row(*row)).collect(),
        };
        self.gathered.clear();
        let codes = match (chosen, block.vectors.singles(self.precision)) {
            (None, Some(singles)) => singles,
            _ => {
                for row in &rows {
                    row.vector.append_unscaled(self.precision, self.dimensions, &mut self.gathered);
                }
                &self.gathered
            }
        };
        let bounds: (Vec<f32>, Vec<f32>) = rows.iter().map(|row| self.bound(row.vector)).unzip();
        let parts =
            self.queries.chunks(QUERIES_AT_ONCE).zip(self.thresholds.chunks(QUERIES_AT_ONCE));
        let values = self.values.chunks(QUERIES_AT_ONCE.saturating_mul(self.dimensions).max(1));
        let best = best.chunks_mut(QUERIES_AT_ONCE);
        for (((queries, thresholds), values), best) in parts.zip(values).zip(best) {
            self.scores.resize(queries.len().saturating_mul(rows.len()), 0.0);
            if !multiply(values, codes, self.dimensions, &mut self.scores) {
                // Lengths that do not fit have no products; comparing asks for none.
                queries
                    .iter()
                    .zip(best)
                    .for_each(|(query, best)| query.scan(rows.iter().copied(), best));
                continue;
            }
            let scores = self.scores.chunks(rows.len().max(1));
            for (((query, threshold), scores), best) in
                queries.iter().zip(thresholds).zip(scores).zip(best)
            {
                let least = |worst| threshold.least(worst, self.metric, self.room);
                offer(query, &rows, scores, &bounds, best, least);
            }
        }
    }

    /// A row's slope and lift.
    #[expect(clippy::cast_possible_truncation, reason = "unusual lengths are not relied on")]
    fn bound(&self, row: Packed<'_>) -> (f32, f32) {
        let scale = f64::from(row.scale);
        // Of a row of zeros everything is 0.
        let norm = if row.inverse_norm > 0.0 { scale / row.inverse_norm } else { 0.0 };
        if !is_usual(row.inverse_norm) || !(norm == 0.0 || LENGTHS.contains(&norm)) {
            return (f32::NAN, f32::NAN);
        }
        let (slope, lift) = match self.metric {
            Metric::Cosine => (row.inverse_norm, self.room),
            Metric::Dot => (scale, self.room * norm),
            // -|a - b|^2 = 2ab - |a|^2 - |b|^2; rounding needs room on all three.
            Metric::L2 => (2.0 * scale, -norm * norm * (1.0 - 2.0 * self.room)),
        };
        (slope as f32, lift as f32)
    }
}

impl Threshold {
    /// What a row's bound must reach for its score to reach `worst`.
    #[expect(clippy::cast_possible_truncation, reason = "there is room for rounding")]
    fn least(&self, worst: f32, metric: Metric, room: f64) -> f32 {
        if !self.usual {
            return f32::NAN;
        }
        let worst = f64::from(worst);
        let least = match metric {
            Metric::Cosine => worst,
            Metric::Dot => worst * self.inverse_norm,
            Metric::L2 if self.inverse_norm > 0.0 => {
                worst + self.inverse_norm.powi(-2) * (1.0 - 2.0 * room)
            }
            Metric::L2 => worst,
        };
        least as f32
    }
}

/// Whether a vector with this inverse length, or one of zeros, keeps the products within the range of `f32`.
fn is_usual(inverse_norm: f64) -> bool {
    inverse_norm == 0.0 || LENGTHS.contains(&inverse_norm)
}

/// Each of `queries` times each of `rows`, all of so many `dimensions`; `false` when the lengths do not fit.
fn multiply(queries: &[f32], rows: &[f32], dimensions: usize, products: &mut [f32]) -> bool {
    let count = |values: &[f32]| values.len().checked_div(dimensions).unwrap_or_default();
    let (height, width) = (count(queries), count(rows));
    let queries = ArrayView2::from_shape((height, dimensions), queries);
    let rows = ArrayView2::from_shape((width, dimensions), rows);
    let products = ArrayViewMut2::from_shape((height, width), products);
    let (Ok(queries), Ok(rows), Ok(mut products)) = (queries, rows, products) else {
        return false;
    };
    general_mat_mul(1.0, &queries, &rows.t(), 0.0, &mut products);
    true
}

/// Offers the rows whose bounds reach far enough.
fn offer<'block>(
    query: &Query<'_>,
    rows: &[Row<'block>],
    scores: &[f32],
    (slopes, lifts): &(Vec<f32>, Vec<f32>),
    best: &mut Best<'block>,
    least: impl Fn(f32) -> f32,
) {
    let mut wanted = least(best.worst());
    let parts = rows.chunks(ROWS_AT_ONCE).zip(scores.chunks(ROWS_AT_ONCE));
    let bounds = slopes.chunks(ROWS_AT_ONCE).zip(lifts.chunks(ROWS_AT_ONCE));
    for ((rows, scores), (slopes, lifts)) in parts.zip(bounds) {
        let bounds = || {
            let bounds = scores.iter().zip(slopes).zip(lifts);
            bounds.map(|((score, slope), lift)| score * slope + lift)
        };
        // To the end in any case: a loop that may stop early is not made of vector instructions.
        if bounds().fold(true, |below, bound| below & (bound < wanted)) {
            continue;
        }
        for (row, bound) in rows.iter().zip(bounds()) {
            if bound < wanted {
                continue;
            }
            let Row { vector, sequence, entry } = *row;
            best.offer(Candidate { score: query.order(vector), sequence, entry });
            wanted = least(best.worst());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::store::{Entry, Filter, Precision, VectorStore};
    use crate::types::Matrix;

    /// Vectors around few directions, so that scores are close and equal, of lengths that differ by `spread` powers
    /// of ten each way, with zeros among them.
    fn vectors(seed: u64, count: usize, dimensions: usize, spread: f32) -> Matrix {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut values = Vec::with_capacity(count * dimensions);
        for _ in 0..count {
            let length = 10.0_f32.powf((random.f32() * 2.0 - 1.0) * spread);
            let length = if random.u8(..40) == 0 { 0.0 } else { length };
            let (direction, noise) = (random.usize(..dimensions), random.f32() * 0.01);
            values.extend((0..dimensions).map(|at| {
                let near = if at == direction { 1.0 } else { 0.0 };
                (near + noise * (random.f32() - 0.5)) * length
            }));
        }
        Matrix::new(values, count, dimensions).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 50, ..ProptestConfig::default() })]

        #[test]
        fn many_queries_find_exactly_what_each_finds_alone(
            metric in prop_oneof![Just(Metric::Cosine), Just(Metric::Dot), Just(Metric::L2)],
            precision in prop_oneof![Just(Precision::F32), Just(Precision::F16), Just(Precision::I8)],
            (seed, rows, dimensions) in (any::<u64>(), 1_usize..1500, 1_usize..70),
            queries in ENOUGH..QUERIES_AT_ONCE + 20,
            spread in prop_oneof![Just(0.0_f32), Just(2.0), Just(15.0), Just(37.0)],
            (top_k, filtered) in (1_usize..30, any::<bool>()),
        ) {
            let store = VectorStore::with_precision(metric, None, precision).unwrap();
            let part = |at: usize| BTreeMap::from([("part".to_owned(), (at % 7).to_string())]);
            let entries = (0..rows).map(|at| Entry { metadata: part(at), ..Entry::default() });
            let given = vectors(seed, rows, dimensions, spread);
            store.add(given, entries.collect()).unwrap();
            let filter = filtered.then(|| Filter::parse(&json!({"part": "3"})).unwrap());
            let queries = vectors(!seed, queries, dimensions, spread);
            let together = store.search_many_where(&queries, top_k, filter.as_ref()).unwrap();
            for (query, together) in queries.iter().zip(together) {
                let alone = store.search_where(query, top_k, filter.as_ref()).unwrap();
                let told = |hits: Vec<crate::store::Hit>| -> Vec<(u64, u32)> {
                    hits.iter().map(|hit| (hit.index, hit.score.to_bits())).collect()
                };
                prop_assert_eq!(told(together), told(alone));
            }
        }

        #[test]
        fn a_row_is_passed_over_only_when_its_score_is_below(
            metric in prop_oneof![Just(Metric::Cosine), Just(Metric::Dot), Just(Metric::L2)],
            (seed, dimensions) in (any::<u64>(), 1_usize..300),
            spread in prop_oneof![Just(0.0_f32), Just(3.0)],
        ) {
            let (rows, queries) = (vectors(seed, 40, dimensions, spread), vectors(!seed, 40, dimensions, spread));
            let compared: Vec<_> =
                queries.iter().map(|query| Query::new(query, metric, Precision::F32)).collect();
            let product = Product::new(&compared, metric, Precision::F32);
            let packed = super::super::vectors::Vectors::pack(Precision::F32, rows.clone());
            let mut products = vec![0.0; 1600];
            prop_assert!(multiply(&product.values, rows.as_slice(), dimensions, &mut products));
            let mut told = 0;
            for ((query, threshold), products) in compared.iter().zip(&product.thresholds).zip(products.chunks(40)) {
                for (row, product_of_both) in packed.iter().zip(products) {
                    let (slope, lift) = product.bound(row);
                    let bound = product_of_both * slope + lift;
                    let score = query.order(row);
                    prop_assert!(bound >= threshold.least(score, metric, product.room));
                    // Not so high that nothing would ever be passed over.
                    let far = score.abs().max(1.0) * 0.1;
                    told += usize::from(bound < threshold.least(score + far, metric, product.room));
                }
            }
            prop_assert!(told > 800 || spread > 0.0, "{told} of 1600 bounds tell something");
        }
    }
}
