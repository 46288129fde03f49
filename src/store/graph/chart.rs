//! Which rows of one state of a store are in the graph, and which are still to come.

use std::sync::Arc;

use super::ground::{block_and_row, place};
use super::growth::Growth;
use super::{Graph, NONE};
use crate::store::Metric;
use crate::store::block::{Row, Snapshot};

/// Rows from which on there is a graph; below, comparing with all of them is as fast. Tests of this crate are not
/// optimised, and have less of everything; those in Python meet the numbers as they are.
pub(in crate::store) const FROM: usize = if cfg!(test) { 2560 } else { 8192 };
/// Rows that wait until they are linked together, and are compared with by every search meanwhile.
pub(super) const STEP: usize = if cfg!(test) { 256 } else { 1024 };
/// When one node in so many is gone, the graph is mended: what is walked through costs as much as a long list of links.
const TORN: usize = 10;
/// Nodes that are mended together.
const MENDED: u32 = 8192;

/// The graph, and where its nodes are in one state.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Chart {
    pub(super) graph: Arc<Graph>,
    /// By node, where its row is; [`NONE`] when that is gone or has another vector.
    pub(super) places: Arc<Vec<u32>>,
    /// Where rows are that are no nodes, in order.
    pub(super) pending: Vec<u32>,
    /// Nodes whose rows are there.
    pub(super) live: usize,
    /// Nodes whose links have been looked through for some that are gone, while that is being done.
    mended: u32,
    /// Blocks before the first that has no node and none behind it.
    end: usize,
}

impl Chart {
    /// The chart of a state of which nothing is linked yet.
    pub(in crate::store) fn new(snapshot: &Snapshot) -> Self {
        Self::of(snapshot, Arc::default(), |_, _, _| false)
    }

    /// The chart of a state, from a graph that may fit it or not: `same` says whether a row still is what the
    /// node stands for.
    pub(super) fn of(
        snapshot: &Snapshot,
        graph: Arc<Graph>,
        same: impl Fn(u32, usize, Row<'_>) -> bool,
    ) -> Self {
        let mut places = vec![NONE; graph.len()];
        let (mut pending, mut live, mut end) = (Vec::new(), 0, 0);
        let mut nodes = graph.by_sequence().peekable();
        for (number, block) in snapshot.blocks.iter().enumerate() {
            for (at, row) in block.rows().enumerate() {
                let Some(here) = place(number, at) else { continue };
                let mut linked = false;
                while let Some((_, node)) = nodes.next_if(|(sequence, _)| *sequence <= row.sequence)
                {
                    let of_row = graph.sequences.get(node as usize) == Some(&row.sequence);
                    if of_row && !linked && same(node, number, row) {
                        linked = true;
                        if let Some(slot) = places.get_mut(node as usize) {
                            *slot = here;
                        }
                    }
                }
                if linked {
                    (live, end) = (live + 1, number + 1);
                } else {
                    pending.push(here);
                }
            }
        }
        drop(nodes);
        Self { graph, places: Arc::new(places), pending, live, end, mended: 0 }
    }

    /// The chart of the state `next`, which came of the state `before` that this is the chart of.
    pub(in crate::store) fn follow(&self, before: &Snapshot, next: &Snapshot) -> Self {
        let blocks = before.blocks.iter().zip(&next.blocks);
        let shared = blocks.take_while(|(before, next)| Arc::ptr_eq(before, next)).count();
        if shared >= self.end {
            let old = |place: &&u32| block_and_row(**place).0 < shared;
            let mut pending: Vec<u32> = self.pending.iter().take_while(old).copied().collect();
            for (number, block) in next.blocks.iter().enumerate().skip(shared) {
                pending.extend((0..block.entries.len()).filter_map(|row| place(number, row)));
            }
            return Self { pending, ..self.clone() };
        }
        let chart = Self::of(next, Arc::clone(&self.graph), |node, number, row| {
            let Some(old) = self.places.get(node as usize).filter(|place| **place != NONE) else {
                return false;
            };
            let (old_block, old_row) = block_and_row(*old);
            let Some(old_block) = before.blocks.get(old_block) else { return false };
            if next.blocks.get(number).is_some_and(|block| Arc::ptr_eq(block, old_block)) {
                return true;
            }
            let old = old_block.vectors.row(old_row);
            old.is_some_and(|old| old.words == row.vector.words && old.scale == row.vector.scale)
        });
        Self { mended: self.mended, ..chart }
    }

    /// Whether there is work for [`Chart::step`].
    pub(in crate::store) fn is_behind(&self) -> bool {
        let rows = self.live + self.pending.len();
        self.is_torn() || (rows >= FROM && self.pending.len() >= STEP)
    }

    /// Whether many nodes are gone, or taking them out has begun.
    fn is_torn(&self) -> bool {
        self.mended > 0 || self.gone() * TORN > self.places.len()
    }

    fn gone(&self) -> usize {
        self.places.len() - self.live
    }

    /// Nodes, those that are gone among them.
    pub(in crate::store) fn nodes(&self) -> usize {
        self.places.len()
    }

    /// Rows that are nodes.
    pub(in crate::store) const fn linked(&self) -> usize {
        self.live
    }

    /// A chart that is nearer to the rows: either some of those that are gone are taken out of the graph, or some that
    /// are new are linked.
    pub(in crate::store) fn step(&self, snapshot: &Snapshot, metric: Metric) -> Self {
        if self.gone() * 2 > self.places.len() {
            // What is left would be mended more slowly than it is linked again.
            return Self::new(snapshot);
        }
        let graph = Graph::clone(&self.graph);
        let mut growth = Growth::new(graph, Vec::clone(&self.places), snapshot, metric);
        if !self.is_torn() {
            let (now, later) = self.pending.split_at(self.pending.len().min(STEP));
            growth.add(now);
            let last = now.last().map_or(0, |place| block_and_row(*place).0 + 1);
            return Self {
                graph: Arc::new(growth.graph),
                places: Arc::new(growth.places),
                pending: later.to_vec(),
                live: self.live + now.len(),
                end: self.end.max(last),
                mended: 0,
            };
        }
        let mut mended = self.mended.saturating_add(MENDED);
        growth.mend(self.mended, mended);
        if mended as usize >= growth.places.len() {
            growth.close_up();
            mended = 0;
        }
        Self {
            graph: Arc::new(growth.graph),
            places: Arc::new(growth.places),
            mended,
            ..self.clone()
        }
    }
}
