//! The graph of a store in a folder, so that opening it need not link everything again.
//!
//! All of it little-endian: [`MAGIC`], which ends with the version; one byte for the metric; the numbers of nodes
//! and of layers (u32 each); by node the number of its row (u64), [`GONE`] for one that has none any more, the CRC-32 of
//! its vector as it is kept (u32) and its twin (u32); of each layer the number of its nodes (u32), those nodes except in
//! the lowest, and their links (u32 each); and the CRC-32 of all before it (u32).
//!
//! The file is a hint and nothing more. One that is missing, cut short, damaged, of another version or of another
//! store is passed over, and a node counts only where the row with its number has its vector: so it need not be
//! written in step with the journal, whoever is killed in between.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::chart::Chart;
use super::ground::row;
use super::{BOTTOM_LINKS, Graph, Layer, MOST_LAYERS, NONE, UPPER_LINKS};
use crate::store::block::Snapshot;
use crate::store::file::temporary_beside;
use crate::store::vectors::Packed;
use crate::store::{Metric, block::Row};

/// Its name in the folder.
const FILE: &str = "graph.bin";
const MAGIC: &[u8; 8] = b"GBGRAPH\x03";
const GONE: u64 = u64::MAX;

/// Replaces the file by one with this chart's graph.
pub(in crate::store) fn write(
    folder: &Path,
    snapshot: &Snapshot,
    chart: &Chart,
    metric: Metric,
) -> io::Result<()> {
    let place = folder.join(FILE);
    let temporary = temporary_beside(&place)?;
    // Not synchronised: one that a power cut tears is passed over.
    let written = fs::File::create_new(&temporary)
        .and_then(|mut file| file.write_all(&bytes(snapshot, chart, metric)))
        .and_then(|()| fs::rename(&temporary, &place));
    if written.is_err() {
        // Best effort: nobody else knows this name.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// The chart of a state with what the folder's file knows of it; `None` when that is nothing.
pub(in crate::store) fn read(folder: &Path, snapshot: &Snapshot, metric: Metric) -> Option<Chart> {
    let bytes = fs::read(folder.join(FILE)).ok()?;
    let (graph, marks) = parse(&bytes, metric)?;
    let same = |node: u32, _: usize, row: Row<'_>| {
        marks.get(node as usize).is_some_and(|known| *known == mark(row.vector))
    };
    Some(Chart::of(snapshot, Arc::new(graph), same))
}

/// What tells a vector from others.
fn mark(vector: Packed<'_>) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(bytemuck::cast_slice(vector.words));
    checksum.update(&vector.scale.to_le_bytes());
    checksum.finalize()
}

fn bytes(snapshot: &Snapshot, chart: &Chart, metric: Metric) -> Vec<u8> {
    let graph = &chart.graph;
    let mut bytes = MAGIC.to_vec();
    bytes.push(code(metric));
    put(&mut bytes, graph.len());
    put(&mut bytes, graph.layers.len());
    let nodes = graph.sequences.iter().zip(&graph.twins).zip(chart.places.iter());
    for ((sequence, twin), place) in nodes {
        let row = row(snapshot, *place);
        bytes.extend(row.map_or(GONE, |_| *sequence).to_le_bytes());
        bytes.extend(row.map_or(0, |row| mark(row.vector)).to_le_bytes());
        bytes.extend(twin.to_le_bytes());
    }
    for layer in &graph.layers {
        put(&mut bytes, layer.links.len() / layer.width);
        let numbers = layer.nodes.iter().flatten().chain(&layer.links);
        bytes.extend(numbers.flat_map(|number| number.to_le_bytes()));
    }
    let checksum = crc32fast::hash(&bytes);
    bytes.extend(checksum.to_le_bytes());
    bytes
}

fn put(bytes: &mut Vec<u8>, number: usize) {
    bytes.extend(u32::try_from(number).unwrap_or(NONE).to_le_bytes());
}

const fn code(metric: Metric) -> u8 {
    match metric {
        Metric::Cosine => 0,
        Metric::Dot => 1,
        Metric::L2 => 2,
    }
}

/// The graph, and the mark of each node.
fn parse(bytes: &[u8], metric: Metric) -> Option<(Graph, Vec<u32>)> {
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let mut rest = body.strip_prefix(MAGIC)?;
    let [known] = take(&mut rest)?;
    let nodes = number(&mut rest)? as usize;
    let layers = number(&mut rest)? as usize;
    if known != code(metric) || layers > MOST_LAYERS {
        return None;
    }
    let mut graph = Graph::default();
    let mut marks = Vec::new();
    for _ in 0..nodes {
        graph.sequences.push(u64::from_le_bytes(take(&mut rest)?));
        marks.push(number(&mut rest)?);
        graph.twins.push(number(&mut rest)?);
    }
    for at in 0..layers {
        let count = number(&mut rest)? as usize;
        let layer = if at == 0 {
            let links = numbers(&mut rest, count.checked_mul(BOTTOM_LINKS)?)?;
            (count == nodes).then_some(Layer { links, ..Layer::new(at) })?
        } else {
            let own = numbers(&mut rest, count)?;
            let links = numbers(&mut rest, count.checked_mul(UPPER_LINKS)?)?;
            Layer { nodes: Some(own), links, ..Layer::new(at) }
        };
        graph.layers.push(layer);
    }
    graph.put_in_order();
    rest.is_empty().then_some((graph, marks))
}

fn take<const WIDTH: usize>(rest: &mut &[u8]) -> Option<[u8; WIDTH]> {
    let (first, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*first)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    take(rest).map(u32::from_le_bytes)
}

fn numbers(rest: &mut &[u8], count: usize) -> Option<Vec<u32>> {
    let (own, left) = rest.split_at_checked(count.checked_mul(4)?)?;
    *rest = left;
    Some(own.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
}
