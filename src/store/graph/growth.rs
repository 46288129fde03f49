//! Linking rows into the graph, in batches, on all cores.
//!
//! Each row of a batch looks for its neighbours in the graph as it was before the batch, and among the other
//! rows of the batch; then all of them are put in, and the nodes they chose are linked back to them. No step
//! depends on which thread does what: one order of rows gives one graph, on any machine.

use std::collections::HashMap;
use std::num::NonZero;
use std::thread;

use super::ground::{Ground, Kin, Towards, row};
use super::islands::{Member, islands};
use super::walk::{Aim, Near, Walker};
use super::{Graph, LAYER_BITS, Layer, MOST_LAYERS, NONE, level};
use crate::store::Metric;
use crate::store::block::{Row, Snapshot};
use crate::store::search::in_parallel;
use crate::store::vectors::Packed;

/// Rows linked at once.
const BATCH: usize = 256;
/// Rows whose neighbours a thread looks for at a time.
const WALKS_AT_ONCE: usize = 4;
/// Lists of links that a thread makes anew at a time.
const LISTS_AT_ONCE: usize = 64;
/// Nodes that links are chosen among, the nearest of those that were met.
const CLOSELY: usize = 64;
/// Links that a new node chooses; the rest of the room there is, is for those who choose it.
const FORWARD_LINKS: usize = 16;
/// Of so many of the most alike one has to be in the graph, for that to lead to a newcomer sooner or later.
const HOME: usize = 8;

/// A graph while rows are added to it.
pub(super) struct Growth<'s> {
    pub(super) graph: Graph,
    /// By node, where its row is.
    pub(super) places: Vec<u32>,
    snapshot: &'s Snapshot,
    metric: Metric,
    workers: usize,
}

/// A row on its way into the graph.
struct Newcomer {
    place: u32,
    sequence: u64,
    level: usize,
    /// An earlier one of the batch that has the same vector.
    twin: Option<usize>,
}

/// What a newcomer has found.
struct Chosen {
    /// A node with the same vector, to hang on.
    twin: Option<u32>,
    /// Whether some of the most alike are in the graph already.
    at_home: bool,
    /// Its links, by layer.
    layers: Vec<Vec<u32>>,
}

impl Chosen {
    /// No links, for one that hangs on another. In the lowest layer each node has its place.
    fn unlinked(twin: Option<u32>) -> Self {
        Self { twin, at_home: false, layers: vec![Vec::new()] }
    }
}

/// A list of links to be replaced.
struct Relinked {
    layer: usize,
    node: u32,
    links: Vec<u32>,
}

impl<'s> Growth<'s> {
    pub(super) fn new(
        graph: Graph,
        places: Vec<u32>,
        snapshot: &'s Snapshot,
        metric: Metric,
    ) -> Self {
        let workers = thread::available_parallelism().map_or(1, NonZero::get);
        Self { graph, places, snapshot, metric, workers }
    }

    fn ground(&self) -> Ground<'_> {
        Ground::new(self.snapshot, &self.places, self.metric)
    }

    /// Links the rows in these places.
    pub(super) fn add(&mut self, rows: &[u32]) {
        for batch in rows.chunks(BATCH) {
            let mut vectors: HashMap<(&[u32], u32), usize> = HashMap::new();
            let mut newcomers = Vec::with_capacity(batch.len());
            for place in batch {
                let Some(Row { vector, sequence, .. }) = row(self.snapshot, *place) else {
                    continue;
                };
                let at = newcomers.len();
                let first = *vectors.entry((vector.words, vector.scale.to_bits())).or_insert(at);
                let twin = (first < at).then_some(first);
                newcomers.push(Newcomer { place: *place, sequence, level: level(sequence), twin });
            }
            self.add_batch(newcomers);
        }
        self.graph.put_in_order();
    }

    fn add_batch(&mut self, mut batch: Vec<Newcomer>) {
        let numbers: Vec<usize> = (0..batch.len()).collect();
        let chosen = in_parallel(&numbers, WALKS_AT_ONCE, self.workers, |numbers| {
            let mut walker = Walker::default();
            let own = numbers.iter().map(|at| self.neighbours(&batch, *at, &mut walker));
            own.collect::<Vec<_>>()
        });
        let mut chosen: Vec<Chosen> = chosen.into_iter().flatten().collect();
        self.raise_islands(&mut batch, &mut chosen);
        let mut backward: Vec<(usize, u32, u32)> = Vec::new();
        for (newcomer, Chosen { twin, layers, .. }) in batch.iter().zip(chosen) {
            let node = self.push(newcomer, twin, &layers);
            for (layer, links) in layers.iter().enumerate() {
                backward.extend(links.iter().map(|link| (layer, *link, node)));
            }
        }
        self.link_back(backward);
    }

    /// Puts one of each group that the graph does not lead to into the layers where walks begin.
    fn raise_islands(&self, batch: &mut [Newcomer], chosen: &mut [Chosen]) {
        let first = u32::try_from(self.graph.len()).unwrap_or(NONE);
        let members = batch.iter().zip(&*chosen).map(|(newcomer, chosen)| Member {
            level: newcomer.level,
            links: chosen.layers.first().map_or(&[], Vec::as_slice),
            twin: chosen.twin,
            at_home: chosen.at_home,
        });
        let islands = islands(first, &members.collect::<Vec<_>>());
        // Above all layers that chance makes of so many nodes and of some hundred times as many.
        let height = self.graph.len().checked_ilog2().unwrap_or_default() / LAYER_BITS + 2;
        for at in &islands {
            if let Some(newcomer) = batch.get_mut(*at) {
                newcomer.level = (height as usize).clamp(newcomer.level, MOST_LAYERS - 1);
            }
        }
        let mut walker = Walker::default();
        for at in islands {
            if let Some(chosen) = chosen.get_mut(at) {
                *chosen = self.neighbours(batch, at, &mut walker);
            }
        }
    }

    /// What a newcomer is linked to, or hangs on.
    fn neighbours(&self, batch: &[Newcomer], at: usize, walker: &mut Walker) -> Chosen {
        let ground = self.ground();
        let Some(own) = batch.get(at) else { return Chosen::unlinked(None) };
        let Some(vector) = ground.vector(own.place) else { return Chosen::unlinked(None) };
        let kin = ground.kin(vector);
        let towards = Towards::new(ground, |vector| ground.likeness(&kin, vector));
        let first = u32::try_from(self.graph.len()).unwrap_or(NONE);
        if let Some(twin) = own.twin {
            return Chosen::unlinked(u32::try_from(twin).ok().and_then(|at| first.checked_add(at)));
        }
        let mates = (first..).zip(batch).enumerate();
        let mates = mates.filter(|(mate, (_, newcomer))| *mate != at && newcomer.twin.is_none());
        let mates = mates.map(|(_, (node, mate))| {
            let near = Near { score: towards.score(mate.place), node, place: mate.place };
            (mate.level, near)
        });
        let mates: Vec<(usize, Near)> = mates.collect();
        let is_twin = |near: &&Near| {
            let other = ground.vector(near.place);
            let same =
                |other: Packed<'_>| other.words == vector.words && other.scale == vector.scale;
            near.node < first && other.is_some_and(same)
        };
        walker.begin(&self.graph, usize::MAX);
        let mut starts = walker.descend(&self.graph, own.level, &towards);
        let mut layers = Vec::with_capacity(own.level + 1);
        let mut at_home = false;
        for layer in (0..=own.level).rev() {
            let aim = Aim { layer, count: CLOSELY, twins: false };
            let mut near = walker.layer(&self.graph, aim, &starts, &towards, |_| true);
            if !near.is_empty() {
                starts = near.iter().map(|near| near.node).collect();
            }
            let beside = mates.iter().filter(|(level, _)| *level >= layer);
            near.extend(beside.map(|(_, near)| *near));
            near.sort_unstable_by(|one, other| other.cmp(one));
            near.truncate(CLOSELY);
            if let Some(twin) = near.iter().find(is_twin) {
                return Chosen::unlinked(Some(twin.node));
            }
            at_home = near.iter().take(HOME).any(|near| near.node < first);
            layers.push(select(&ground, &near, FORWARD_LINKS));
        }
        layers.reverse();
        Chosen { twin: None, at_home, layers }
    }

    fn push(&mut self, newcomer: &Newcomer, twin: Option<u32>, layers: &[Vec<u32>]) -> u32 {
        let node = u32::try_from(self.graph.len()).unwrap_or(NONE);
        let next = twin.and_then(|twin| self.graph.twins.get_mut(twin as usize));
        let behind = next.map_or(NONE, |next| std::mem::replace(next, node));
        self.graph.sequences.push(newcomer.sequence);
        self.graph.twins.push(behind);
        self.places.push(newcomer.place);
        for (number, links) in layers.iter().enumerate() {
            if self.graph.layers.len() == number {
                self.graph.layers.push(Layer::new(number));
            }
            if let Some(layer) = self.graph.layers.get_mut(number) {
                layer.push(node, links);
            }
        }
        node
    }

    /// Links nodes to those that chose them: in this layer, this node, by that one.
    fn link_back(&mut self, mut chosen: Vec<(usize, u32, u32)>) {
        chosen.sort_unstable();
        let groups: Vec<&[(usize, u32, u32)]> =
            chosen.chunk_by(|one, next| (one.0, one.1) == (next.0, next.1)).collect();
        let relinked = in_parallel(&groups, LISTS_AT_ONCE, self.workers, |groups| {
            groups.iter().filter_map(|group| self.linked_back(group)).collect::<Vec<_>>()
        });
        self.relink(relinked.into_iter().flatten());
    }

    /// The links of a node that others chose.
    fn linked_back(&self, group: &[(usize, u32, u32)]) -> Option<Relinked> {
        let (number, node, _) = *group.first()?;
        let layer = self.graph.layers.get(number)?;
        let mut links = layer.links(node).to_vec();
        let others = group.iter().map(|(_, _, other)| *other);
        links.extend(others.filter(|other| !layer.links(node).contains(other)));
        if links.len() > layer.width {
            links = self.thinned(layer, node, &links)?;
        }
        Some(Relinked { layer: number, node, links })
    }

    /// The best of a node's links that may be too many; those that are gone are replaced by what they led to.
    fn thinned(&self, layer: &Layer, node: u32, links: &[u32]) -> Option<Vec<u32>> {
        let ground = self.ground();
        let kin = ground.kin(ground.vector(ground.place(node)?)?);
        let mut reached: Vec<u32> = Vec::with_capacity(links.len());
        for link in links {
            match ground.place(*link) {
                Some(_) => reached.push(*link),
                None => {
                    reached.extend_from_slice(layer.links(*link));
                    reached.extend(self.graph.heir(*link, |twin| ground.place(twin).is_some()));
                }
            }
        }
        reached.sort_unstable();
        reached.dedup();
        let near = reached.iter().filter(|link| **link != node).filter_map(|link| {
            let place = ground.place(*link)?;
            let score = ground.likeness(&kin, ground.vector(place)?);
            Some(Near { score, node: *link, place })
        });
        let mut near: Vec<Near> = near.collect();
        near.sort_unstable_by(|one, other| other.cmp(one));
        // It may be the only way to where it leads.
        let farthest = near.last().map(|near| near.node);
        near.truncate(CLOSELY);
        let mut links = select(&ground, &near, layer.width.saturating_sub(1));
        links.extend(farthest.filter(|farthest| !links.contains(farthest)));
        Some(links)
    }

    /// Takes nodes that are gone out of the links of the nodes from `from` on, before `until`. What these choose is linked
    /// back to them: those who led to them may be gone, and nobody would pass by where others lie between.
    pub(super) fn mend(&mut self, from: u32, until: u32) {
        let stale = |layer: &Layer, node: u32| {
            let gone = |link: &u32| self.ground().place(*link).is_none();
            self.ground().place(node).is_some() && layer.links(node).iter().any(gone)
        };
        let nodes = |(number, layer)| -> Vec<(usize, u32)> {
            let layer: &Layer = layer;
            let nodes = layer.nodes().skip_while(|node| *node < from);
            let nodes = nodes.take_while(|node| *node < until);
            nodes.filter(|node| stale(layer, *node)).map(|node| (number, node)).collect()
        };
        let nodes: Vec<(usize, u32)> =
            self.graph.layers.iter().enumerate().flat_map(nodes).collect();
        let relinked = in_parallel(&nodes, LISTS_AT_ONCE, self.workers, |nodes| {
            let mended = nodes.iter().filter_map(|(number, node)| {
                let layer = self.graph.layers.get(*number)?;
                let links = self.thinned(layer, *node, layer.links(*node))?;
                Some(Relinked { layer: *number, node: *node, links })
            });
            mended.collect::<Vec<_>>()
        });
        let relinked: Vec<Relinked> = relinked.into_iter().flatten().collect();
        let chosen = relinked.iter().flat_map(|Relinked { layer, node, links }| {
            links.iter().map(move |link| (*layer, *link, *node))
        });
        let chosen = chosen.collect();
        self.relink(relinked);
        self.link_back(chosen);
    }

    /// Forgets the nodes that are gone; the others are numbered anew.
    pub(super) fn close_up(&mut self) {
        let mut free = 0..;
        let renumber = |place: &u32| if *place == NONE { Some(NONE) } else { free.next() };
        let numbers: Vec<u32> = self.places.iter().filter_map(renumber).collect();
        let number = |node: u32| number_of(&numbers, node);
        let is_there = |node: u32| number(node).is_some();
        // Whoever comes next in place of one that is gone takes over its links.
        let linked = |node: u32| {
            self.graph.layers.first().is_some_and(|layer| !layer.links(node).is_empty())
        };
        let gone = (0_u32..).take(self.graph.len()).filter(|node| !is_there(*node));
        let heirs = gone.filter(|node| linked(*node));
        let heirs = heirs.filter_map(|node| Some((self.graph.heir(node, is_there)?, node)));
        let heirs: HashMap<u32, u32> = heirs.collect();
        let layers = self.graph.layers.iter().enumerate().map(|(at, layer)| {
            let mut kept = Layer::new(at);
            for node in layer.nodes() {
                let inherited = heirs.get(&node).map(|gone| layer.links(*gone)).unwrap_or_default();
                let links = layer.links(node).iter().chain(inherited);
                let mut links: Vec<u32> = links.filter_map(|link| number(*link)).collect();
                if let Some(node) = number(node) {
                    links.retain(|link| *link != node);
                    links.dedup();
                    kept.push(node, &links);
                }
            }
            kept
        });
        let layers = layers.filter(|layer| !layer.links.is_empty()).collect();
        let nodes = || (0_u32..).zip(&self.graph.sequences).filter(|(node, _)| is_there(*node));
        let sequences = nodes().map(|(_, sequence)| *sequence).collect();
        let twin = |node| self.graph.heir(node, is_there).and_then(number).unwrap_or(NONE);
        let twins = nodes().map(|(node, _)| twin(node)).collect();
        self.graph = Graph { layers, sequences, twins, order: Vec::new() };
        self.places.retain(|place| *place != NONE);
        self.graph.put_in_order();
    }

    fn relink(&mut self, relinked: impl IntoIterator<Item = Relinked>) {
        for Relinked { layer, node, links } in relinked {
            if let Some(layer) = self.graph.layers.get_mut(layer) {
                layer.set(node, &links);
            }
        }
    }
}

/// The new number of a node that is there.
fn number_of(numbers: &[u32], node: u32) -> Option<u32> {
    numbers.get(node as usize).copied().filter(|number| *number != NONE)
}

/// Chooses links among candidates, best first: one that is more alike to one already chosen than to the node is
/// reached over that. What is left of the room goes to the best that were passed over.
fn select(ground: &Ground<'_>, candidates: &[Near], room: usize) -> Vec<u32> {
    let mut kept: Vec<(u32, Kin<'_>)> = Vec::with_capacity(room);
    let mut spare = Vec::new();
    for near in candidates {
        if kept.len() == room {
            break;
        }
        let Some(vector) = ground.vector(near.place) else { continue };
        let apart = |(_, kin): &(u32, Kin<'_>)| ground.likeness(kin, vector) < near.score;
        if kept.iter().all(apart) {
            kept.push((near.node, ground.kin(vector)));
        } else {
            spare.push(near.node);
        }
    }
    let spare = spare.into_iter().take((room / 2).saturating_sub(kept.len()));
    kept.into_iter().map(|(node, _)| node).chain(spare).collect()
}
