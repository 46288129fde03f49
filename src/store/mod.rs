//! An exact vector store: add, search, delete; in memory, and in a folder that survives the process.
//!
//! [`VectorStore::save`] and [`VectorStore::load`] move a whole store to and from one file;
//! [`VectorStore::open`] keeps one in a folder, where each change is written down before it is
//! acknowledged. Every search compares with every vector, so recall is 1 by construction. Readers work on a
//! snapshot and never wait for a writer; what a writer changes appears at once or not at all. It
//! refuses vectors of another length, values that are not finite, and files that are not whole.
//!
//! ```
//! use graphbit::store::{Entry, Metric, VectorStore};
//! use graphbit::types::Matrix;
//!
//! let store = VectorStore::new(Metric::Cosine, None)?;
//! let vectors = Matrix::from_rows(&[vec![1.0, 0.0], vec![0.0, 2.0]])?;
//! store.add(&vectors, vec![Entry::text("east"), Entry::text("north")])?;
//! let hits = store.search(&[0.1, 3.0], 1)?;
//! assert_eq!(hits[0].entry.text, "north");
//! # Ok::<(), graphbit::Error>(())
//! ```

mod block;
mod distance;
mod file;
mod folder;
mod journal;
mod search;
mod writing;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use block::Snapshot;
pub use folder::StoreOptions;
use serde::{Deserialize, Serialize};
use writing::Ledger;

use crate::error::{Error, Kind, Result};
use crate::types::Matrix;

/// How alike two vectors are; of each, more is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// The cosine of the angle, -1 to 1. A vector of zeros scores 0 with everything.
    #[default]
    Cosine,
    /// The dot product.
    Dot,
    /// The Euclidean distance with its sign turned, so that 0 is best.
    L2,
}

impl Metric {
    /// The metric's name: `"cosine"`, `"dot"` or `"l2"`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Dot => "dot",
            Self::L2 => "l2",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Cosine, Self::Dot, Self::L2].into_iter().find(|one| one.as_str() == name).ok_or_else(
            || Error::validation("metric", Some(name), "must be 'cosine', 'dot' or 'l2'"),
        )
    }
}

/// What is stored beside a vector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The name to find, replace and delete it by; an empty one is replaced by a free number.
    pub id: String,
    /// The text the vector stands for.
    pub text: String,
    /// Free key-value data.
    pub metadata: BTreeMap<String, String>,
}

impl Entry {
    /// An entry with a text and nothing else.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// One answer to a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// What was found.
    pub entry: Arc<Entry>,
    /// See [`Metric`]; more is better.
    pub score: f32,
    /// The how-manieth vector this was when it was first added, from 0; never given out twice.
    pub index: u64,
}

/// The store. Share it between threads; all methods take `&self`.
pub struct VectorStore {
    metric: Metric,
    snapshot: RwLock<Arc<Snapshot>>,
    writer: Mutex<Ledger>,
    /// The process that is writing, 0 for none: a forked child inherits a lock that nobody will
    /// ever release when another thread was writing at that moment.
    writing: AtomicU32,
}

impl VectorStore {
    /// An empty store. Without `dimensions` the first vectors decide.
    ///
    /// # Errors
    /// [`Kind::Validation`] when `dimensions` is 0.
    pub fn new(metric: Metric, dimensions: Option<usize>) -> Result<Self> {
        if dimensions == Some(0) {
            return Err(Error::validation("dimensions", Some("0"), "must be at least 1"));
        }
        Ok(Self::with_snapshot(metric, Snapshot { dimensions, ..Snapshot::default() }))
    }

    /// The store in a folder, which is made when it is not there. One process may write to it; others
    /// open it read-only. Memory holds all of it, as ever.
    ///
    /// # Errors
    /// [`Kind::Store`] when another process writes, the folder cannot be used, or its files are damaged;
    /// [`Kind::Validation`] when `options` name another metric than the store's.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self> {
        if options.dimensions == Some(0) {
            return Err(Error::validation("dimensions", Some("0"), "must be at least 1"));
        }
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
        }
    }

    /// The metric of every search.
    #[must_use]
    pub const fn metric(&self) -> Metric {
        self.metric
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

    /// The entry with this id.
    ///
    /// # Errors
    /// As for [`VectorStore::delete`].
    pub fn get(&self, id: &str) -> Result<Option<Arc<Entry>>> {
        let ledger = self.write()?;
        Ok(ledger.places.get(id).and_then(|sequence| self.current().entry(*sequence)))
    }

    /// The `top_k` entries most like `query`, best first, equals in the order they were added.
    ///
    /// # Errors
    /// [`Kind::Validation`] when `top_k` is 0 or a value is not finite, [`Kind::Store`] when the
    /// query's dimensions are not the store's.
    pub fn search(&self, query: &[f32], top_k: usize) -> Result<Vec<Hit>> {
        finite("query", None, query)?;
        let hits = self.find(&[query], top_k)?.pop();
        Ok(hits.unwrap_or_default())
    }

    /// [`VectorStore::search`] for every row of `queries`, on all cores.
    ///
    /// # Errors
    /// As for [`VectorStore::search`].
    pub fn search_many(&self, queries: &Matrix, top_k: usize) -> Result<Vec<Vec<Hit>>> {
        for (row, query) in queries.iter().enumerate() {
            finite("queries", Some(row), query)?;
        }
        self.find(&queries.iter().collect::<Vec<_>>(), top_k)
    }

    fn find(&self, queries: &[&[f32]], top_k: usize) -> Result<Vec<Vec<Hit>>> {
        if top_k == 0 {
            return Err(Error::validation("top_k", Some("0"), "must be at least 1"));
        }
        let snapshot = self.current();
        if let (Some(known), Some(query)) = (snapshot.dimensions, queries.first()) {
            same_dimensions(known, query.len())?;
        }
        Ok(search::search(&snapshot, self.metric, queries, top_k))
    }

    /// Writes the store to one file, in the safetensors format. The file is replaced in one step: at
    /// any moment, and after a crash too, it is the whole old one or the whole new one.
    ///
    /// # Errors
    /// [`Kind::Store`] with the system's reason; the old file is then untouched.
    pub fn save(&self, path: &Path) -> Result<()> {
        file::save(&self.current(), self.metric, path)
    }

    /// Reads what [`VectorStore::save`] wrote.
    ///
    /// # Errors
    /// [`Kind::Store`] naming what is wrong with the file; nothing of it is kept.
    pub fn load(path: &Path) -> Result<Self> {
        let (metric, snapshot) = file::load(path)?;
        Ok(Self::with_snapshot(metric, snapshot))
    }

    /// Takes in what the writer of the folder has changed since, and says whether there was anything. Only
    /// a store that was opened read-only can be behind.
    ///
    /// # Errors
    /// [`Kind::Store`] when the folder cannot be read any more; the store stays as it was.
    pub fn refresh(&self) -> Result<bool> {
        let mut ledger = self.write()?;
        let Ledger { places, folder, .. } = &mut *ledger;
        let Some(folder) = folder else { return Ok(false) };
        let Some((next, news)) = folder.news(self.metric, &self.current(), places)? else {
            return Ok(false);
        };
        *places = news;
        self.swap(next);
        Ok(true)
    }

    /// Lets go of the folder, so that another may write to it. Searches go on; changes are refused.
    ///
    /// # Errors
    /// [`Kind::Store`] in a forked child whose parent was writing at that moment.
    pub fn close(&self) -> Result<()> {
        let mut ledger = self.write()?;
        ledger.closed |= ledger.folder.take().is_some();
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

fn same_dimensions(store: usize, given: usize) -> Result<()> {
    if store == given {
        return Ok(());
    }
    Err(Error::new(
        Kind::Store,
        format!("the store holds vectors of {store} dimensions, this one has {given}"),
    ))
}

fn finite(field: &str, row: Option<usize>, vector: &[f32]) -> Result<()> {
    match vector.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let value = vector.get(at).copied().unwrap_or(f32::NAN).to_string();
            let place = row.map_or_else(String::new, |row| format!("row {row}, "));
            let text = format!("{place}position {at} is not a finite number");
            Err(Error::validation(field, Some(&value), &text))
        }
    }
}

#[cfg(test)]
mod tests;
