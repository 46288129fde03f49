//! What walks compare: rows, found by the node they became.

use std::borrow::Cow;
use std::sync::Arc;

use super::NONE;
use crate::store::Metric;
use crate::store::block::{Block, Row, Snapshot};
use crate::store::distance::fetch;
use crate::store::search::Query;
use crate::store::vectors::{Packed, Precision};

/// Bits of a place that say which row of its block is meant.
const ROW_BITS: u32 = 10;

/// Block and row in one number; `None` beyond what fits, some four million blocks.
pub(super) fn place(block: usize, row: usize) -> Option<u32> {
    let (block, row) = (u32::try_from(block).ok()?, u32::try_from(row).ok()?);
    let place = block.checked_mul(1 << ROW_BITS)?.checked_add(row)?;
    (row < 1 << ROW_BITS && place != NONE).then_some(place)
}

/// The block and the row of a place.
pub(super) const fn block_and_row(place: u32) -> (usize, usize) {
    ((place >> ROW_BITS) as usize, (place & ((1 << ROW_BITS) - 1)) as usize)
}

/// The row in a place.
pub(super) fn row(snapshot: &Snapshot, place: u32) -> Option<Row<'_>> {
    let (block, row) = block_and_row(place);
    snapshot.blocks.get(block)?.row(row)
}

/// One state of a store, seen from the nodes.
#[derive(Clone, Copy)]
pub(super) struct Ground<'g> {
    pub(super) blocks: &'g [Arc<Block>],
    /// By node, where its row is now; [`NONE`] when that is gone.
    pub(super) places: &'g [u32],
    pub(super) metric: Metric,
    pub(super) precision: Precision,
    pub(super) dimensions: usize,
}

impl<'g> Ground<'g> {
    pub(super) fn new(snapshot: &'g Snapshot, places: &'g [u32], metric: Metric) -> Self {
        Self {
            blocks: &snapshot.blocks,
            places,
            metric,
            precision: snapshot.precision,
            dimensions: snapshot.dimensions.unwrap_or_default(),
        }
    }

    pub(super) fn place(&self, node: u32) -> Option<u32> {
        self.places.get(node as usize).copied().filter(|place| *place != NONE)
    }

    pub(super) fn vector(&self, place: u32) -> Option<Packed<'g>> {
        let (block, row) = block_and_row(place);
        self.blocks.get(block)?.vectors.row(row)
    }

    /// Asks for the memory of a row, or of so many lines of it.
    pub(super) fn fetch(&self, place: u32, lines: usize) {
        if let Some(vector) = self.vector(place) {
            fetch(vector.words, lines);
        }
    }

    /// A row, made ready to be compared with others.
    pub(super) fn kin(&self, vector: Packed<'g>) -> Kin<'g> {
        let values = match self.precision {
            Precision::F32 => Cow::Borrowed(vector.codes(self.dimensions)),
            Precision::F16 | Precision::I8 => {
                Cow::Owned(vector.values(self.precision, self.dimensions))
            }
        };
        let inverse_norm = vector.inverse_norm / f64::from(vector.scale);
        Kin { values, inverse_norm }
    }

    /// How alike a row is to another, by what links are chosen: more is better. For dot products it is the product.
    ///
    /// Links by the cosine lead to long rows, which most queries are after, no sooner than to others. Half way between
    /// both finds more where queries are unlike all rows, and less where all have much in common, as texts have. A
    /// transformation that makes distances of products (Bachrach et al., "Speeding Up the Xbox Recommender System Using
    /// a Euclidean Transformation for Inner-Product Spaces", 2014) misses many of the best where lengths differ: the
    /// coordinate that makes up for them outweighs all others.
    pub(super) fn likeness(&self, kin: &Kin<'_>, vector: Packed<'_>) -> f32 {
        Query::of_row(&kin.values, kin.inverse_norm, self.metric, self.precision).order(vector)
    }
}

/// A row that others are compared with.
pub(super) struct Kin<'g> {
    values: Cow<'g, [f32]>,
    inverse_norm: f64,
}

/// What a walk is after: rows that `score` makes much of.
pub(super) struct Towards<'g, S> {
    pub(super) ground: Ground<'g>,
    score: S,
}

impl<'g, S: Fn(Packed<'_>) -> f32> Towards<'g, S> {
    pub(super) fn new(ground: Ground<'g>, score: S) -> Self {
        Self { ground, score }
    }

    pub(super) fn score(&self, place: u32) -> f32 {
        self.ground.vector(place).map_or(f32::NEG_INFINITY, &self.score)
    }
}
