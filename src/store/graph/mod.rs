//! A graph of near neighbours over the rows of a store: hierarchical navigable small worlds (HNSW).
//!
//! It holds links and nothing else: some 150 bytes a row, whatever the vectors' length and precision. Vectors are
//! compared where the store keeps them, and what a search answers is scored as ever; the graph only proposes. It is one
//! more part of a snapshot, so searches never wait, and whatever has changed since it was made is known by the
//! [`Chart`]: rows that are gone or have another vector are walked through and never found, rows that are not linked
//! yet are compared with one by one. Linking happens within the calls that change the store, a thousand rows at a time,
//! on all cores, so that nothing runs behind anybody's back, and the outcome depends on the order of rows alone.
//!
//! # Why not a library
//!
//! 100,000 clustered vectors of 384, two cores of a shared machine, 160 in sight of each walk
//! (`benches/run.py --only store` prints it):
//!
//! | | vectors/s linked | queries/s | recall@10 |
//! |---|---|---|---|
//! | this | 4,964 | 3,293 | 1.00 |
//! | usearch 2.26 | 2,267 | 1,757 | 1.00 |
//! | hnswlib 0.8 | 2,903 | 3,537 | 1.00 |
//! | FAISS 1.15 | 9,356 | 5,404 | 0.99 |
//!
//! FAISS links in half the time and asks in three fifths, with instructions that only some processors have. But
//! each of these keeps the vectors once more, in an order of its own, which would double the memory of a store. None has
//! snapshots: a row that is replaced or deleted changes for searches that are under way, and making room for more rows
//! must keep all searches out. Linking on several threads gives another graph each time. And a fault in C++ ends the
//! process.

mod chart;
mod file;
mod ground;
mod growth;
mod islands;
mod search;
mod walk;

pub(super) use chart::Chart;
pub(super) use file::{read, write};
pub(super) use search::search;

/// Links a node has at most in the lowest layer.
const BOTTOM_LINKS: usize = 32;
/// Links a node has at most in the layers above it.
const UPPER_LINKS: usize = 16;
/// Of the nodes of a layer one in 2^4 is in the layer above as well.
const LAYER_BITS: u32 = 4;
const MOST_LAYERS: usize = 9;
/// Nodes kept in sight in the layers above the lowest.
const UPPER_SIGHT: usize = 8;
/// Nodes that walks begin with at most.
const MOST_TOPS: usize = 64;
/// What a link holds that leads nowhere, and a place that is gone.
const NONE: u32 = u32::MAX;
/// Mixed into each row's number, so that levels are chance and the same each time.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Nodes and their links. A node is a row as it was when it was linked; where that row is now, if it is
/// still there, is the [`Chart`]'s business.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    /// The lowest first; each further one holds some of the nodes of the one before.
    layers: Vec<Layer>,
    /// By node, the number of its row.
    sequences: Vec<u64>,
    /// By node, the next one with the very same vector. Of such nodes the first is linked to others, and the rest hang
    /// on it: links among equals would fill all the room there is, and lead nowhere.
    twins: Vec<u32>,
    /// The nodes by the number of their row, where that is not the order they are in.
    order: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Layer {
    /// Links a node.
    width: usize,
    /// Its nodes, ascending; left out in the lowest layer, which has all.
    nodes: Option<Vec<u32>>,
    /// So many a node; behind the last one [`NONE`].
    links: Vec<u32>,
}

impl Layer {
    fn new(layer: usize) -> Self {
        match layer {
            0 => Self { width: BOTTOM_LINKS, nodes: None, links: Vec::new() },
            _ => Self { width: UPPER_LINKS, nodes: Some(Vec::new()), links: Vec::new() },
        }
    }

    fn slot(&self, node: u32) -> Option<usize> {
        match &self.nodes {
            None => Some(node as usize),
            Some(nodes) => nodes.binary_search(&node).ok(),
        }
    }

    /// A node's links and the room for more.
    fn room(&self, node: u32) -> &[u32] {
        let Some(slot) = self.slot(node) else { return &[] };
        self.links.get(slot * self.width..(slot + 1) * self.width).unwrap_or_default()
    }

    /// What a node is linked to.
    fn links(&self, node: u32) -> &[u32] {
        let links = self.room(node);
        let used = links.iter().position(|link| *link == NONE).unwrap_or(links.len());
        links.get(..used).unwrap_or_default()
    }

    fn set(&mut self, node: u32, links: &[u32]) {
        let Some(slot) = self.slot(node) else { return };
        if let Some(place) = self.links.get_mut(slot * self.width..(slot + 1) * self.width) {
            place.fill(NONE);
            place.iter_mut().zip(links).for_each(|(place, link)| *place = *link);
        }
    }

    fn push(&mut self, node: u32, links: &[u32]) {
        if let Some(nodes) = &mut self.nodes {
            nodes.push(node);
        }
        let end = self.links.len() + self.width;
        self.links.extend(links.iter().take(self.width));
        self.links.resize(end, NONE);
    }

    /// Its nodes.
    fn nodes(&self) -> impl Iterator<Item = u32> {
        let all = self.nodes.is_none().then_some(0..);
        let slots = self.links.len() / self.width;
        let some = self.nodes.iter().flatten().copied();
        all.into_iter().flatten().chain(some).take(slots)
    }
}

impl Graph {
    fn len(&self) -> usize {
        self.sequences.len()
    }

    /// The next node with the same vector.
    fn twin(&self, node: u32) -> Option<u32> {
        self.twins.get(node as usize).copied().filter(|twin| *twin != NONE)
    }

    /// The node behind this one and its twins that comes first and is there.
    fn heir(&self, node: u32, is_there: impl Fn(u32) -> bool) -> Option<u32> {
        let twins = std::iter::successors(self.twin(node), |twin| self.twin(*twin));
        twins.take(self.len()).find(|twin| is_there(*twin))
    }

    /// Where walks begin: all nodes of the lowest layer that has few.
    fn starts(&self) -> Vec<u32> {
        let few = |layer: &&Layer| layer.links.len() <= MOST_TOPS * layer.width;
        let highest = self.layers.iter().find(few).or(self.layers.last());
        highest.map(|layer| layer.nodes().take(MOST_TOPS).collect()).unwrap_or_default()
    }

    /// Nodes by the number of their row; of one row, the latest last.
    fn by_sequence(&self) -> impl Iterator<Item = (u64, u32)> {
        let count = if self.order.is_empty() { self.len() } else { 0 };
        let plain = (0_u32..).take(count);
        let nodes = plain.chain(self.order.iter().copied());
        nodes.filter_map(|node| Some((*self.sequences.get(node as usize)?, node)))
    }

    /// Makes [`Graph::by_sequence`] right again.
    fn put_in_order(&mut self) {
        self.order.clear();
        if self.sequences.is_sorted() {
            return;
        }
        self.order = (0_u32..).take(self.sequences.len()).collect();
        let sequences = &self.sequences;
        self.order.sort_by_key(|node| sequences.get(*node as usize));
    }
}

/// How many layers above the lowest a row is in.
fn level(sequence: u64) -> usize {
    // The mixing of SplitMix64.
    let mut mixed = sequence.wrapping_add(1).wrapping_mul(SEED);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    usize::min((mixed.trailing_zeros() / LAYER_BITS) as usize, MOST_LAYERS - 1)
}

#[cfg(test)]
mod tests;
