//! The rows of a store, in blocks that successive states share until one of them changes.

use std::sync::Arc;

use super::Entry;
use super::entries::Entries;
use super::graph::Chart;
use super::vectors::{Packed, Precision, Vectors};
use super::writing::Places;

/// Rows a block at most. Replacing a row copies its block when a running search still reads it.
const BLOCK_ROWS: usize = 1024;

/// Up to [`BLOCK_ROWS`] rows.
#[derive(Clone, Default)]
pub(super) struct Block {
    pub(super) vectors: Vectors,
    /// Ascending numbers, each given out once.
    pub(super) sequence: Vec<u64>,
    pub(super) entries: Entries,
}

/// What a search looks at.
#[derive(Clone, Copy)]
pub(super) struct Row<'block> {
    pub(super) vector: Packed<'block>,
    pub(super) sequence: u64,
    pub(super) entry: &'block Arc<Entry>,
}

impl Block {
    /// An empty block for so many rows like this one. Rows are large: room made as they come would be copied, and
    /// let go of, as often as it doubles.
    fn for_rows(count: usize, row: Packed<'_>) -> Self {
        Self {
            vectors: Vectors::with_room(count, row.words.len()),
            sequence: Vec::with_capacity(count),
            entries: Entries::with_room(count),
        }
    }

    /// The rows of both.
    fn joined(&self, other: &Self) -> Self {
        Self {
            vectors: self.vectors.joined(&other.vectors),
            sequence: [self.sequence.as_slice(), &other.sequence].concat(),
            entries: self.entries.joined(&other.entries),
        }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let rows = self.sequence.iter().zip(&self.entries);
        let rows = self.vectors.iter().zip(rows);
        rows.map(|(vector, (sequence, entry))| Row { vector, sequence: *sequence, entry })
    }

    pub(super) fn row(&self, row: usize) -> Option<Row<'_>> {
        let (sequence, entry) = (*self.sequence.get(row)?, self.entries.get(row)?);
        Some(Row { vector: self.vectors.row(row)?, sequence, entry })
    }

    fn push(&mut self, row: Row<'_>) {
        self.vectors.push(row.vector);
        self.sequence.push(row.sequence);
        self.entries.push(Arc::clone(row.entry));
    }
}

/// One state of a store; cloning it copies pointers.
#[derive(Clone, Default)]
pub(super) struct Snapshot {
    pub(super) dimensions: Option<usize>,
    pub(super) precision: Precision,
    pub(super) blocks: Vec<Arc<Block>>,
    pub(super) next_sequence: u64,
    /// What the graph knows of these rows, in a store that has one.
    pub(super) chart: Option<Arc<Chart>>,
}

impl Snapshot {
    pub(super) fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.entries.len()).sum()
    }

    /// Every row's number and entry, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u64, &Arc<Entry>)> {
        self.rows_after(None)
    }

    /// The rows behind the one with this number, or all.
    pub(super) fn rows_after(
        &self,
        after: Option<u64>,
    ) -> impl Iterator<Item = (u64, &Arc<Entry>)> {
        let passed = move |sequence: &u64| after.is_some_and(|after| *sequence <= after);
        let blocks = self.blocks.partition_point(|block| block.sequence.last().is_some_and(passed));
        let blocks = self.blocks.get(blocks..).unwrap_or_default();
        let rows =
            blocks.iter().flat_map(|block| block.sequence.iter().copied().zip(&block.entries));
        rows.skip_while(move |(sequence, _)| passed(sequence))
    }

    /// Each row's number by its id.
    pub(super) fn places(&self) -> Places {
        self.rows().map(|(sequence, entry)| (Arc::from(entry.id.as_str()), sequence)).collect()
    }

    /// Removes the rows with the ids `gone`, and puts each of `entries`, one for each of `vectors`, in the place of that
    /// with its id or behind all. Says how many were removed.
    pub(super) fn change<S: AsRef<str>>(
        &mut self,
        places: &mut Places,
        gone: &[S],
        vectors: Vectors,
        entries: Vec<Entry>,
    ) -> usize {
        let mut gone: Vec<u64> = gone.iter().filter_map(|id| places.remove(id.as_ref())).collect();
        gone.sort_unstable();
        self.remove(&gone);
        let known = |entry: &&Entry| places.contains_key(entry.id.as_str());
        let mut new = entries.len().saturating_sub(entries.iter().filter(known).count());
        places.reserve(new);
        if new == entries.len() && (1..=BLOCK_ROWS).contains(&new) && self.open_block().is_none() {
            self.append(places, vectors, entries);
        } else {
            for (vector, entry) in vectors.iter().zip(entries) {
                match places.get(entry.id.as_str()) {
                    Some(sequence) => self.replace(*sequence, vector, Arc::new(entry)),
                    None => {
                        let (id, sequence) = (Arc::from(entry.id.as_str()), self.next_sequence);
                        places.insert(id, sequence);
                        self.push(Row { vector, sequence, entry: &Arc::new(entry) }, new);
                        new = new.saturating_sub(1);
                    }
                }
            }
        }
        self.merge_tail();
        gone.len()
    }

    /// Makes rows that are all new a block, without copying their vectors.
    fn append(&mut self, places: &mut Places, vectors: Vectors, entries: Vec<Entry>) {
        let mut block = Block {
            vectors,
            sequence: Vec::with_capacity(entries.len()),
            entries: Entries::with_room(entries.len()),
        };
        for entry in entries {
            places.insert(Arc::from(entry.id.as_str()), self.next_sequence);
            block.sequence.push(self.next_sequence);
            block.entries.push(Arc::new(entry));
            self.next_sequence += 1;
        }
        self.blocks.push(Arc::new(block));
    }

    /// The last block, if it has room and no other state shares it: such a one is left alone rather than copied.
    fn open_block(&mut self) -> Option<&mut Block> {
        let last = self.blocks.last_mut().and_then(Arc::get_mut);
        last.filter(|block| block.entries.len() < BLOCK_ROWS)
    }

    /// Appends the first of `coming` rows; their numbers must ascend.
    pub(super) fn push(&mut self, row: Row<'_>, coming: usize) {
        self.next_sequence = row.sequence + 1;
        if self.open_block().is_none() {
            self.blocks.push(Arc::new(Block::for_rows(coming.clamp(1, BLOCK_ROWS), row.vector)));
        }
        if let Some(block) = self.blocks.last_mut().and_then(Arc::get_mut) {
            block.push(row);
        }
    }

    /// Merges small blocks at the end, each with one at least as large as itself: rows added one by
    /// one are copied a few times each, and few small blocks remain.
    fn merge_tail(&mut self) {
        while let [.., before, last] = self.blocks.as_mut_slice() {
            let (rows, added) = (before.entries.len(), last.entries.len());
            if rows > added || rows + added > BLOCK_ROWS {
                return;
            }
            *before = Arc::new(before.joined(last));
            self.blocks.pop();
        }
    }

    fn replace(&mut self, sequence: u64, vector: Packed<'_>, entry: Arc<Entry>) {
        let Some((block, row)) = self.locate(sequence) else { return };
        let Some(block) = self.blocks.get_mut(block) else { return };
        let block = Arc::make_mut(block);
        block.vectors.set(row, vector);
        block.entries.replace(row, entry);
    }

    /// Removes the rows with these ascending numbers.
    fn remove(&mut self, mut gone: &[u64]) {
        for block in &mut self.blocks {
            let until =
                block.sequence.last().map_or(0, |last| gone.partition_point(|one| one <= last));
            let (here, later) = gone.split_at(until);
            gone = later;
            if here.is_empty() {
                continue;
            }
            let count = block.entries.len().saturating_sub(here.len());
            let stays = |row: &Row<'_>| here.binary_search(&row.sequence).is_err();
            let mut rows = block.rows().filter(stays).peekable();
            let mut kept =
                rows.peek().map_or_else(Block::default, |row| Block::for_rows(count, row.vector));
            rows.for_each(|row| kept.push(row));
            *block = Arc::new(kept);
        }
        self.blocks.retain(|block| !block.entries.is_empty());
    }

    pub(super) fn entry(&self, sequence: u64) -> Option<Arc<Entry>> {
        let (block, row) = self.locate(sequence)?;
        self.blocks.get(block)?.entries.get(row).map(Arc::clone)
    }

    /// A row's vector.
    pub(super) fn vector(&self, sequence: u64) -> Option<Packed<'_>> {
        let (block, row) = self.locate(sequence)?;
        self.blocks.get(block)?.vectors.row(row)
    }

    fn locate(&self, sequence: u64) -> Option<(usize, usize)> {
        let after = self.blocks.partition_point(|block| block.sequence.first() <= Some(&sequence));
        let block = after.checked_sub(1)?;
        let row = self.blocks.get(block)?.sequence.binary_search(&sequence).ok()?;
        Some((block, row))
    }
}
