//! Walking from node to node towards what is most alike.
//!
//! The search of one layer in Malkov & Yashunin, "Efficient and Robust Approximate Nearest Neighbor Search
//! Using Hierarchical Navigable Small World Graphs" (2016). A node whose row is gone has nothing left to be compared
//! with; it is walked through as if what it is linked to were linked to whoever comes by.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::ground::Towards;
use super::{Graph, Layer, UPPER_SIGHT};
use crate::store::distance::fetch;
use crate::store::vectors::Packed;

/// Lines of a row that are asked for with those of others.
const FIRST_LINES: usize = 4;
/// Lines that are asked for at most: what follows the processor expects by itself.
const MOST_LINES: usize = 32;

/// A node, and how alike it is to what is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Near {
    pub(super) score: f32,
    pub(super) node: u32,
    pub(super) place: u32,
}

/// Greater is nearer; of equals the node that was there first.
impl Ord for Near {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.node.cmp(&self.node))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Near {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Near {}

/// How a layer is walked.
#[derive(Clone, Copy)]
pub(super) struct Aim {
    pub(super) layer: usize,
    /// Nodes kept in sight, and found at most.
    pub(super) count: usize,
    /// Whether nodes that hang on others count as well.
    pub(super) twins: bool,
}

/// What walks need besides the graph; used again from walk to walk.
#[derive(Default)]
pub(super) struct Walker {
    /// One bit a node, and the words in which some are set.
    seen: Vec<u64>,
    marked: Vec<u32>,
    frontier: BinaryHeap<Near>,
    found: BinaryHeap<Reverse<Near>>,
    /// Met and not yet scored: node and place.
    fresh: Vec<(u32, u32)>,
    /// Gone, to be walked through.
    through: Vec<u32>,
    /// Nodes scored since [`Walker::begin`].
    scored: usize,
    most: usize,
}

impl Walker {
    /// Gets ready for a walk that scores at most about `most` nodes.
    pub(super) fn begin(&mut self, graph: &Graph, most: usize) {
        self.seen.resize(graph.len().div_ceil(64), 0);
        (self.scored, self.most) = (0, most);
    }

    /// Whether the walk was cut short.
    pub(super) fn gave_up(&self) -> bool {
        self.scored > self.most
    }

    /// The nodes to begin with in layer `until`: the nearest of the layers above.
    pub(super) fn descend(
        &mut self,
        graph: &Graph,
        until: usize,
        towards: &Towards<'_, impl Fn(Packed<'_>) -> f32>,
    ) -> Vec<u32> {
        let mut starts = graph.starts();
        for layer in (until + 1..graph.layers.len()).rev() {
            let aim = Aim { layer, count: UPPER_SIGHT, twins: false };
            let nearest = self.layer(graph, aim, &starts, towards, |_| true);
            if !nearest.is_empty() {
                starts = nearest.iter().map(|near| near.node).collect();
            }
        }
        starts
    }

    /// The nearest nodes of one layer that are wanted, best first. Starts that are not in it are passed over.
    pub(super) fn layer(
        &mut self,
        graph: &Graph,
        aim: Aim,
        starts: &[u32],
        towards: &Towards<'_, impl Fn(Packed<'_>) -> f32>,
        wanted: impl Fn(u32) -> bool,
    ) -> Vec<Near> {
        let count = aim.count;
        self.frontier.clear();
        self.found.clear();
        let Some(layer) = graph.layers.get(aim.layer) else { return Vec::new() };
        for start in starts.iter().filter(|start| layer.slot(**start).is_some()) {
            self.meet(*start, towards);
        }
        self.pass_through(graph, layer, towards);
        self.score(layer, count, towards, &wanted);
        while let Some(next) = self.frontier.pop() {
            let worst = self.found.peek().filter(|_| self.found.len() >= count);
            if worst.is_some_and(|worst| next.score < worst.0.score) || self.gave_up() {
                break;
            }
            let twin = graph.twin(next.node).filter(|_| aim.twins);
            for link in layer.links(next.node).iter().copied().chain(twin) {
                self.meet(link, towards);
            }
            self.pass_through(graph, layer, towards);
            self.score(layer, count, towards, &wanted);
        }
        for word in self.marked.drain(..) {
            if let Some(word) = self.seen.get_mut(word as usize) {
                *word = 0;
            }
        }
        let mut found: Vec<Near> = self.found.drain().map(|near| near.0).collect();
        found.sort_unstable_by(|one, other| other.cmp(one));
        found
    }

    fn meet(&mut self, node: u32, towards: &Towards<'_, impl Fn(Packed<'_>) -> f32>) {
        let Some(word) = self.seen.get_mut(node as usize / 64) else { return };
        let bit = 1 << (node % 64);
        if *word & bit != 0 {
            return;
        }
        if *word == 0 {
            self.marked.push(node / 64);
        }
        *word |= bit;
        match towards.ground.place(node) {
            Some(place) => self.fresh.push((node, place)),
            None => self.through.push(node),
        }
    }

    fn pass_through(
        &mut self,
        graph: &Graph,
        layer: &Layer,
        towards: &Towards<'_, impl Fn(Packed<'_>) -> f32>,
    ) {
        while let Some(gone) = self.through.pop() {
            for link in layer.links(gone).iter().copied().chain(graph.twin(gone)) {
                self.meet(link, towards);
            }
        }
    }

    fn score(
        &mut self,
        layer: &Layer,
        count: usize,
        towards: &Towards<'_, impl Fn(Packed<'_>) -> f32>,
        wanted: &impl Fn(u32) -> bool,
    ) {
        // The beginnings of all are asked for before the first is waited for, and the rest of each while the one before
        // it is compared: what is asked for beyond what the processor keeps track of is asked for in vain.
        for (_, place) in &self.fresh {
            towards.ground.fetch(*place, FIRST_LINES);
        }
        self.scored += self.fresh.len();
        let mut fresh = self.fresh.drain(..).peekable();
        while let Some((node, place)) = fresh.next() {
            if let Some((_, next)) = fresh.peek() {
                towards.ground.fetch(*next, MOST_LINES);
            }
            let near = Near { score: towards.score(place), node, place };
            let full = self.found.len() >= count;
            if full && self.found.peek().is_some_and(|worst| near < worst.0) {
                continue;
            }
            self.frontier.push(near);
            // It may well be the next to be left from.
            fetch(layer.room(node), MOST_LINES);
            if wanted(place) {
                self.found.push(Reverse(near));
                if full {
                    self.found.pop();
                }
            }
        }
    }
}
