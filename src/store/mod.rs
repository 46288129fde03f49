//! A vector store: add, search, delete; in memory, and in a folder that survives the process.
//!
//! [`VectorStore::save`] and [`VectorStore::load`] move a whole store to and from one file;
//! [`VectorStore::open`] keeps one in a folder, where each change is written down before it is
//! acknowledged. By default every search compares with every vector, so recall is 1 by construction;
//! [`Index::Hnsw`] walks a graph instead once there are many (see `graph/mod.rs`). Readers work on a
//! snapshot and never wait for a writer; what a writer changes appears at once or not at all. It
//! refuses vectors of another length, values that are not finite, and files that are not whole. A [`Filter`]
//! narrows a search to entries by their metadata.
//!
//! ```
//! use graphbit::store::{Entry, Metric, VectorStore};
//! use graphbit::types::Matrix;
//!
//! let store = VectorStore::new(Metric::Cosine, None)?;
//! let vectors = Matrix::from_rows(&[vec![1.0, 0.0], vec![0.0, 2.0]])?;
//! store.add(vectors, vec![Entry::text("east"), Entry::text("north")])?;
//! let hits = store.search(&[0.1, 3.0], 1)?;
//! assert_eq!(hits[0].entry.text, "north");
//! # Ok::<(), graphbit::Error>(())
//! ```

mod block;
mod candidates;
mod checks;
mod distance;
mod embedded;
mod entries;
mod entry;
mod file;
mod filter;
mod folder;
mod graph;
mod half;
mod journal;
mod postgres;
mod product;
mod protocol;
mod qdrant;
mod reading;
mod remote;
mod search;
mod vectors;
mod writing;

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use block::Snapshot;
pub use candidates::{Candidate, FUSED_RANKS, Wanted, diverse, fused};
pub(crate) use checks::{
    all_finite, at_least_one, check_rows, finite, named, same_dimensions, within,
};
pub use entry::{Entry, Hit, Index, Metric, StoredEntry};
pub use filter::Filter;
pub use folder::StoreOptions;
use graph::Chart;
pub use postgres::{IndexKind, PgOptions, PgVectorStore};
pub use protocol::{GoOn, Reply, Sought, Store};
pub use qdrant::{QdrantOptions, QdrantVectorStore};
pub use reading::Asked;
pub use vectors::Precision;
use writing::Ledger;

use crate::error::Result;
use crate::runtime::PerProcess;

/// The store. Share it between threads; all methods take `&self`.
pub struct VectorStore {
    metric: Metric,
    snapshot: RwLock<Arc<Snapshot>>,
    writer: Mutex<Ledger>,
    /// The process that is writing, 0 for none: a forked child inherits a lock that nobody will
    /// ever release when another thread was writing at that moment.
    writing: AtomicU32,
    /// Held by the one search that indexes words, of all that find them missing.
    indexing: PerProcess<Mutex<()>>,
}

impl VectorStore {
    /// An empty store. Without `dimensions` the first vectors decide.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] when `dimensions` is 0.
    pub fn new(metric: Metric, dimensions: Option<usize>) -> Result<Self> {
        Self::with_precision(metric, dimensions, Precision::F32)
    }

    /// An empty store that keeps its vectors, in memory and in files, only as exactly as `precision` says. Scores
    /// are those of the vectors as they are kept.
    ///
    /// # Errors
    /// As for [`VectorStore::new`].
    pub fn with_precision(
        metric: Metric,
        dimensions: Option<usize>,
        precision: Precision,
    ) -> Result<Self> {
        at_least_one("dimensions", dimensions)?;
        Ok(Self::with_snapshot(metric, Snapshot { dimensions, precision, ..Snapshot::default() }))
    }

    /// The store in a folder, which is made when it is not there. One process may write to it; others
    /// open it read-only. Memory holds all of it, as ever.
    ///
    /// # Errors
    /// [`crate::Kind::Store`] when another process writes, the folder cannot be used, or its files are damaged;
    /// [`crate::Kind::Validation`] when `options` name another metric or precision than the store's.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self> {
        let store = Self::open_rows(path, options)?;
        store.catch_up(&mut || ControlFlow::Continue(()))?;
        Ok(store)
    }

    /// [`VectorStore::open`] without [`VectorStore::catch_up`].
    pub(crate) fn open_rows(path: &Path, options: StoreOptions) -> Result<Self> {
        at_least_one("dimensions", options.dimensions)?;
        let opened = folder::open(path, options)?;
        let ledger = Ledger { places: opened.places, folder: Some(opened.folder), closed: false };
        Ok(Self::with_ledger(opened.metric, opened.snapshot, ledger))
    }

    fn with_snapshot(metric: Metric, snapshot: Snapshot) -> Self {
        let ledger = Ledger { places: snapshot.places(), ..Ledger::default() };
        Self::with_ledger(metric, snapshot, ledger)
    }

    fn with_ledger(metric: Metric, snapshot: Snapshot, ledger: Ledger) -> Self {
        Self {
            metric,
            snapshot: RwLock::new(Arc::new(snapshot)),
            writer: Mutex::new(ledger),
            writing: AtomicU32::new(0),
            indexing: PerProcess::new(Mutex::default),
        }
    }

    /// The same store, searched by `index`. For a store that is large already this takes as long as linking all of
    /// it does.
    ///
    /// # Errors
    /// [`crate::Kind::Store`] in a forked child whose parent was writing at that moment.
    pub fn with_index(self, index: Index) -> Result<Self> {
        let store = self.rows_with_index(index)?;
        store.catch_up(&mut || ControlFlow::Continue(()))?;
        Ok(store)
    }

    /// [`VectorStore::with_index`] without [`VectorStore::catch_up`].
    pub(crate) fn rows_with_index(self, index: Index) -> Result<Self> {
        {
            let _writer = self.write()?;
            let present = self.current();
            let chart = (index == Index::Hnsw).then(|| Arc::new(Chart::new(&present)));
            self.publish(Snapshot { chart, ..Snapshot::clone(&present) });
        }
        Ok(self)
    }

    /// How searches look for what they find.
    #[must_use]
    pub fn index(&self) -> Index {
        if self.current().chart.is_some() { Index::Hnsw } else { Index::Exact }
    }

    /// The metric of every search.
    #[must_use]
    pub const fn metric(&self) -> Metric {
        self.metric
    }

    /// How exactly the vectors are kept.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.current().precision
    }

    /// Values a vector, once that is known.
    #[must_use]
    pub fn dimensions(&self) -> Option<usize> {
        self.current().dimensions
    }

    /// Number of vectors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current().len()
    }

    /// Whether there is no vector.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the store to one file, in the safetensors format. The file is replaced in one step: at
    /// any moment, and after a crash too, it is the whole old one or the whole new one.
    ///
    /// # Errors
    /// [`crate::Kind::Store`] with the system's reason; the old file is then untouched.
    pub fn save(&self, path: &Path) -> Result<()> {
        file::save(&self.current(), self.metric, path)
    }

    /// Reads what [`VectorStore::save`] wrote.
    ///
    /// # Errors
    /// [`crate::Kind::Store`] naming what is wrong with the file; nothing of it is kept.
    pub fn load(path: &Path) -> Result<Self> {
        let (metric, snapshot) = file::load(path)?;
        Ok(Self::with_snapshot(metric, snapshot))
    }

    /// Takes in what the writer of the folder has changed since, and says whether there was anything. Only
    /// a store that was opened read-only can be behind. Another store that has taken the folder's place is a change
    /// as well; its dimensions and precision may be others.
    ///
    /// # Errors
    /// [`crate::Kind::Store`] when the folder cannot be read any more, or what is there now has another metric; the
    /// store stays as it was.
    pub fn refresh(&self) -> Result<bool> {
        let news = self.refresh_rows()?;
        self.catch_up(&mut || ControlFlow::Continue(()))?;
        Ok(news)
    }

    /// [`VectorStore::refresh`] without [`VectorStore::catch_up`].
    pub(crate) fn refresh_rows(&self) -> Result<bool> {
        let mut ledger = self.write()?;
        let Ledger { places, folder, .. } = &mut *ledger;
        let Some(folder) = folder else { return Ok(false) };
        let Some((next, news)) = folder.news(self.metric, &self.current(), places)? else {
            return Ok(false);
        };
        *places = news;
        self.publish(next);
        Ok(true)
    }

    /// Lets go of the folder, so that another may write to it. Searches go on; changes are refused.
    ///
    /// # Errors
    /// [`crate::Kind::Store`] in a forked child whose parent was writing at that moment.
    pub fn close(&self) -> Result<()> {
        let mut ledger = self.write()?;
        if let Some(mut folder) = ledger.folder.take() {
            folder.keep_graph(&self.current(), self.metric, true);
            ledger.closed = true;
        }
        Ok(())
    }

    /// The present state. The lock is held only while a pointer is copied.
    fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for VectorStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VectorStore")
            .field("metric", &self.metric)
            .field("dimensions", &self.dimensions())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Refuses a query that no row can be compared with.
fn check_query(snapshot: &Snapshot, query: &[f32]) -> Result<()> {
    finite("query", None, query)?;
    snapshot.dimensions.map_or(Ok(()), |known| same_dimensions(known, query.len()))
}

#[cfg(test)]
mod tests;
