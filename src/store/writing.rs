//! The changes of a store: one at a time, written down first, and then seen whole.
//!
//! Adding, deleting and replacing are one operation with parts left out. It checks everything before it
//! writes anything down, and after the journal has taken it nothing can fail any more.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use super::block::Snapshot;
use super::checks::{closed, distinct_ids, some_values};
use super::filter::Filter;
use super::folder::Folder;
use super::protocol::GoOn;
use super::vectors::Vectors;
use super::{Entry, VectorStore, check_rows, same_dimensions, search};
use crate::error::{Error, Kind, Result};
use crate::types::Matrix;

/// Each row's number by its id.
pub(super) type Places = HashMap<Arc<str>, u64>;

impl VectorStore {
    /// Stores one vector for each entry and returns their ids. An id that is there already gets the
    /// new vector and entry in its old place. All of the batch is stored, or nothing.
    ///
    /// # Errors
    /// [`Kind::Validation`] when the numbers of vectors and entries differ, a value is not finite, or
    /// an id comes twice; [`Kind::Store`] when the dimensions differ from the store's, or the store is in a
    /// folder and cannot be written.
    pub fn add(&self, vectors: Matrix, entries: Vec<Entry>) -> Result<Vec<String>> {
        self.replace::<&str>(&[], vectors, entries)
    }

    /// Removes the entries with the `stale` ids and stores new ones, in one change: a search sees both or
    /// neither, and so does whoever opens the folder of a process that was killed meanwhile. A stale id that
    /// comes again keeps its place; one that is unknown is passed over. Returns the ids of `entries`.
    ///
    /// ```
    /// use graphbit::store::{Entry, Metric, VectorStore};
    /// use graphbit::types::Matrix;
    ///
    /// let store = VectorStore::new(Metric::Cosine, None)?;
    /// let page = |id: &str| Entry { id: id.to_owned(), ..Entry::default() };
    /// store.add(Matrix::new(vec![1.0, 2.0], 2, 1)?, vec![page("a#0"), page("a#1")])?;
    /// store.replace(&["a#0", "a#1"], Matrix::new(vec![3.0], 1, 1)?, vec![page("a#0")])?;
    /// assert_eq!(store.len(), 1);
    /// # Ok::<(), graphbit::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`VectorStore::add`]; nothing is removed then.
    pub fn replace<S: AsRef<str>>(
        &self,
        stale: &[S],
        vectors: Matrix,
        entries: Vec<Entry>,
    ) -> Result<Vec<String>> {
        let ids = self.replace_rows(stale, vectors, entries)?;
        self.catch_up(&mut || ControlFlow::Continue(()))?;
        Ok(ids)
    }

    /// [`VectorStore::replace`] without [`VectorStore::catch_up`].
    pub(crate) fn replace_rows<S: AsRef<str>>(
        &self,
        stale: &[S],
        vectors: Matrix,
        entries: Vec<Entry>,
    ) -> Result<Vec<String>> {
        check_rows(&vectors, &entries)?;
        if stale.is_empty() && entries.is_empty() {
            return Ok(Vec::new());
        }
        let dimensions = vectors.dimensions();
        // Before the lock: this is most of the work.
        let packed = Vectors::pack(self.precision(), vectors);
        let mut writer = self.write()?;
        // Shares every block with the present state.
        let mut next = Snapshot::clone(&self.current());
        if !entries.is_empty() {
            match next.dimensions {
                Some(known) => same_dimensions(known, dimensions)?,
                None => {
                    some_values(dimensions)?;
                    next.dimensions = Some(dimensions);
                }
            }
        }
        let entries = named(entries, &writer.places, next.next_sequence)?;
        let mut gone: Vec<&str> = stale.iter().map(AsRef::as_ref).collect();
        if !gone.is_empty() {
            let given: HashSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
            gone.retain(|id| !given.contains(id));
        }
        let ids = entries.iter().map(|entry| entry.id.clone()).collect();
        self.change(&mut writer, next, &gone, packed, entries)?;
        Ok(ids)
    }

    /// Removes the entries with these ids and says how many there were; unknown ones are passed over.
    ///
    /// # Errors
    /// [`Kind::Store`] in a forked child whose parent was writing at that moment, or when the store is in a
    /// folder and cannot be written.
    pub fn delete<S: AsRef<str>>(&self, ids: &[S]) -> Result<usize> {
        let gone = self.delete_rows(ids)?;
        self.catch_up(&mut || ControlFlow::Continue(()))?;
        Ok(gone)
    }

    /// [`VectorStore::delete`] without [`VectorStore::catch_up`].
    pub(crate) fn delete_rows<S: AsRef<str>>(&self, ids: &[S]) -> Result<usize> {
        let mut writer = self.write()?;
        let next = Snapshot::clone(&self.current());
        let ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
        self.change(&mut writer, next, &ids, Vectors::default(), Vec::new())
    }

    /// Removes the entries that `filter` means and says how many there were, in one change.
    ///
    /// # Errors
    /// As for [`VectorStore::delete`].
    pub fn delete_where(&self, filter: &Filter) -> Result<usize> {
        let gone = self.delete_rows_where(filter)?;
        self.catch_up(&mut || ControlFlow::Continue(()))?;
        Ok(gone)
    }

    /// [`VectorStore::delete_where`] without [`VectorStore::catch_up`].
    pub(crate) fn delete_rows_where(&self, filter: &Filter) -> Result<usize> {
        let mut writer = self.write()?;
        let present = self.current();
        let meant = search::select(&present, filter);
        let ids: Vec<&str> = meant.into_iter().map(|entry| entry.id.as_str()).collect();
        self.change(&mut writer, Snapshot::clone(&present), &ids, Vectors::default(), Vec::new())
    }

    /// Turns the present state, of which `next` is a copy, into one without `gone` and with `entries`, all
    /// of which have their ids. Returns how many were removed.
    fn change(
        &self,
        writer: &mut Writer<'_>,
        mut next: Snapshot,
        gone: &[&str],
        vectors: Vectors,
        entries: Vec<Entry>,
    ) -> Result<usize> {
        let known = |id: &&str| writer.places.contains_key(*id);
        let gone: Vec<&str> = gone.iter().copied().filter(known).collect();
        if gone.is_empty() && entries.is_empty() {
            return Ok(0);
        }
        if let Some(folder) = writer.folder_to_write()? {
            let mut bytes = Vec::new();
            vectors.scales_to(next.precision, &mut bytes);
            vectors.codes_to(next.precision, next.dimensions.unwrap_or_default(), &mut bytes);
            folder.change(&gone, &entries, &bytes)?;
        }
        // Nothing can fail from here on.
        let removed = next.change(&mut writer.places, &gone, vectors, entries);
        self.swap(next);
        if let Some(folder) = &mut writer.folder {
            folder.compact_if_due(&self.current(), self.metric);
        }
        Ok(removed)
    }

    /// Links rows that wait for it into the graph, some at a time, until few are left or `go_on` breaks it off. Between
    /// two times others may write, and searches go on all the while.
    pub(crate) fn catch_up(&self, go_on: GoOn<'_>) -> Result<()> {
        let behind = || self.current().chart.as_ref().is_some_and(|chart| chart.is_behind());
        while behind() {
            let mut writer = self.write()?;
            let present = self.current();
            if let Some(chart) = present.chart.as_ref().filter(|chart| chart.is_behind()) {
                let chart = Some(Arc::new(chart.step(&present, self.metric)));
                self.publish(Snapshot { chart, ..Snapshot::clone(&present) });
            }
            if let Some(folder) = &mut writer.folder {
                folder.keep_graph(&self.current(), self.metric, false);
            }
            drop(writer);
            if go_on().is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Makes `next`, whose rows are others, the state that readers find.
    pub(super) fn swap(&self, mut next: Snapshot) {
        let present = self.current();
        let chart = present.chart.as_ref().map(|chart| Arc::new(chart.follow(&present, &next)));
        next.chart = chart;
        self.publish(next);
    }

    pub(super) fn publish(&self, next: Snapshot) {
        let next = Arc::new(next);
        let old = {
            let mut slot = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *slot, next)
        };
        // Dropped here, outside the lock: freeing a large state takes its time.
        drop(old);
    }

    pub(super) fn write(&self) -> Result<Writer<'_>> {
        let here = std::process::id();
        let owner = self.writing.load(Ordering::Acquire);
        if owner != 0 && owner != here {
            return Err(Error::new(
                Kind::Store,
                "the vector store was being written by another thread when this process was \
                 forked; load it from its file or build a new one here",
            ));
        }
        let ledger = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.writing.store(here, Ordering::Release);
        Ok(Writer { ledger, writing: &self.writing })
    }
}

/// The entries with an id each: those without one get the free numbers from `free` on.
fn named(mut entries: Vec<Entry>, places: &Places, mut free: u64) -> Result<Vec<Entry>> {
    distinct_ids(&entries)?;
    if entries.iter().all(|entry| !entry.id.is_empty()) {
        return Ok(entries);
    }
    let given: HashSet<String> = entries.iter().map(|entry| entry.id.clone()).collect();
    for entry in &mut entries {
        while entry.id.is_empty() {
            entry.id = free.to_string();
            free += 1;
            if places.contains_key(entry.id.as_str()) || given.contains(&entry.id) {
                entry.id.clear();
            }
        }
    }
    Ok(entries)
}

/// What only writers need.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) places: Places,
    /// Where changes are written down, for a store that has such a place.
    pub(super) folder: Option<Folder>,
    /// It had one, and let it go.
    pub(super) closed: bool,
}

impl Ledger {
    fn folder_to_write(&mut self) -> Result<Option<&mut Folder>> {
        if self.closed {
            return Err(closed());
        }
        Ok(self.folder.as_mut())
    }
}

/// The right to write.
pub(super) struct Writer<'store> {
    ledger: MutexGuard<'store, Ledger>,
    writing: &'store AtomicU32,
}

impl std::ops::Deref for Writer<'_> {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

impl std::ops::DerefMut for Writer<'_> {
    fn deref_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.writing.store(0, Ordering::Release);
    }
}
