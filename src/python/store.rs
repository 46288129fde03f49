//! `VectorStore`, `SearchHit` and `StoredEntry`.
//!
//! Arguments are taken over first; then everything happens without the interpreter, filters included.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;

use super::vectors::{column, matrix, row};
use super::{bridge, json};
use crate::error::Error;
use crate::store::{self, Entry, Filter, Hit, Precision, StoreOptions};
use crate::types::Matrix;

/// One answer to a search.
#[pyclass(frozen, module = "graphbit")]
pub(super) struct SearchHit {
    hit: Hit,
}

#[pymethods]
impl SearchHit {
    /// The id the entry was added under.
    #[getter]
    fn id(&self) -> &str {
        &self.hit.entry.id
    }

    /// More is better: the cosine, the dot product, or the distance with its sign turned.
    #[getter]
    fn score(&self) -> f32 {
        self.hit.score
    }

    /// The text stored beside the vector.
    #[getter]
    fn text(&self) -> &str {
        &self.hit.entry.text
    }

    /// The metadata stored beside the vector; a new dict each time.
    #[getter]
    fn metadata(&self) -> BTreeMap<String, String> {
        self.hit.entry.metadata.clone()
    }

    /// The how-manieth vector of the store this was when it was added, from 0.
    #[getter]
    fn index(&self) -> u64 {
        self.hit.index
    }

    fn __repr__(&self) -> String {
        let text: String = self.hit.entry.text.chars().take(50).collect();
        format!("SearchHit(id={:?}, score={}, text={text:?})", self.id(), self.hit.score)
    }
}

/// What is stored beside a vector, and its place.
#[pyclass(frozen, module = "graphbit")]
pub(super) struct StoredEntry {
    stored: store::StoredEntry,
}

#[pymethods]
impl StoredEntry {
    /// The id the entry was added under.
    #[getter]
    fn id(&self) -> &str {
        &self.stored.entry.id
    }

    /// The text stored beside the vector.
    #[getter]
    fn text(&self) -> &str {
        &self.stored.entry.text
    }

    /// The metadata stored beside the vector; a new dict each time.
    #[getter]
    fn metadata(&self) -> BTreeMap<String, String> {
        self.stored.entry.metadata.clone()
    }

    /// The how-manieth vector of the store this was when it was added, from 0.
    #[getter]
    fn index(&self) -> u64 {
        self.stored.index
    }

    fn __repr__(&self) -> String {
        let text: String = self.text().chars().take(50).collect();
        format!("StoredEntry(id={:?}, index={}, text={text:?})", self.id(), self.index())
    }
}

/// An exact vector store, in memory or in a folder.
#[pyclass(frozen, module = "graphbit")]
pub(super) struct VectorStore {
    store: Arc<store::VectorStore>,
}

impl VectorStore {
    /// The store of the core.
    pub(super) fn shared(&self) -> &Arc<store::VectorStore> {
        &self.store
    }
}

#[pymethods]
impl VectorStore {
    /// `metric` is "cosine", "dot" or "l2", `precision` "f32", "f16" or "i8". Without `dimensions` the first
    /// vectors decide.
    #[new]
    #[pyo3(signature = (dimensions=None, *, metric="cosine", precision="f32"))]
    fn new(dimensions: Option<usize>, metric: &str, precision: &str) -> PyResult<Self> {
        let store =
            store::VectorStore::with_precision(metric.parse()?, dimensions, precision.parse()?)?;
        Ok(Self { store: Arc::new(store) })
    }

    /// Stores one vector a row and returns the ids. Ids that exist are replaced; without `ids` free
    /// numbers are given. All rows are stored, or none.
    #[pyo3(signature = (vectors, texts=None, ids=None, metadatas=None))]
    fn add(
        &self,
        py: Python<'_>,
        vectors: &Bound<'_, PyAny>,
        texts: Option<Vec<String>>,
        ids: Option<Vec<String>>,
        metadatas: Option<Vec<BTreeMap<String, String>>>,
    ) -> PyResult<Vec<String>> {
        let vectors = matrix("vectors", vectors)?;
        let entries = entries(&vectors, texts, ids, metadatas)?;
        bridge::detach(py, || self.store.add(&vectors, entries))
    }

    /// Removes the entries with the ids `stale` and stores new ones, in one change; returns the new ids.
    #[pyo3(signature = (stale, vectors, texts=None, ids=None, metadatas=None))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from the call's arguments")]
    fn replace(
        &self,
        py: Python<'_>,
        stale: Vec<String>,
        vectors: &Bound<'_, PyAny>,
        texts: Option<Vec<String>>,
        ids: Option<Vec<String>>,
        metadatas: Option<Vec<BTreeMap<String, String>>>,
    ) -> PyResult<Vec<String>> {
        let vectors = matrix("vectors", vectors)?;
        let entries = entries(&vectors, texts, ids, metadatas)?;
        bridge::detach(py, || self.store.replace(&stale, &vectors, entries))
    }

    /// The `top_k` entries most like `vector`, best first, among those that `where` means.
    #[pyo3(signature = (vector, top_k=5, *, r#where=None))]
    fn search(
        &self,
        py: Python<'_>,
        vector: &Bound<'_, PyAny>,
        top_k: usize,
        r#where: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<SearchHit>> {
        let vector = row("vector", vector)?;
        let filter = filter(r#where)?;
        let search = || self.store.search_where(&vector, top_k, filter.as_ref());
        let hits = bridge::detach(py, search)?;
        Ok(hits.into_iter().map(|hit| SearchHit { hit }).collect())
    }

    /// `search` for every row of `vectors`, on all cores.
    #[pyo3(signature = (vectors, top_k=5, *, r#where=None))]
    fn search_many(
        &self,
        py: Python<'_>,
        vectors: &Bound<'_, PyAny>,
        top_k: usize,
        r#where: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<Vec<SearchHit>>> {
        let vectors = matrix("vectors", vectors)?;
        let filter = filter(r#where)?;
        let search = || self.store.search_many_where(&vectors, top_k, filter.as_ref());
        let results = bridge::detach(py, search)?;
        let wrap = |hits: Vec<Hit>| hits.into_iter().map(|hit| SearchHit { hit }).collect();
        Ok(results.into_iter().map(wrap).collect())
    }

    /// The entries with these ids, in this order; `None` for an id that there is not.
    #[expect(clippy::needless_pass_by_value, reason = "extracted from the call's arguments")]
    fn get(&self, py: Python<'_>, ids: Vec<String>) -> PyResult<Vec<Option<StoredEntry>>> {
        let found = bridge::detach(py, || self.store.get_many(&ids))?;
        Ok(found.into_iter().map(|one| one.map(|stored| StoredEntry { stored })).collect())
    }

    /// At most `limit` entries that `where` means, in the order they were added, behind index `after`.
    #[pyo3(signature = (r#where=None, *, after=None, limit=1000))]
    fn entries(
        &self,
        py: Python<'_>,
        r#where: Option<&Bound<'_, PyAny>>,
        after: Option<u64>,
        limit: usize,
    ) -> PyResult<Vec<StoredEntry>> {
        let filter = filter(r#where)?;
        let page = bridge::detach(py, || self.store.entries(filter.as_ref(), after, limit))?;
        Ok(page.into_iter().map(|stored| StoredEntry { stored }).collect())
    }

    /// How many entries `where` means; all of them without it.
    #[pyo3(signature = (r#where=None))]
    fn count(&self, py: Python<'_>, r#where: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
        match filter(r#where)? {
            Some(filter) => bridge::detach(py, || Ok(self.store.count(&filter))),
            None => Ok(self.store.len()),
        }
    }

    /// Removes the entries with these ids, or those that `where` means; returns how many there were.
    #[pyo3(signature = (ids=None, *, r#where=None))]
    fn delete(
        &self,
        py: Python<'_>,
        ids: Option<Vec<String>>,
        r#where: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        match (ids, filter(r#where)?) {
            (Some(ids), None) => bridge::detach(py, || self.store.delete(&ids)),
            (None, Some(filter)) => bridge::detach(py, || self.store.delete_where(&filter)),
            // Nothing named must never come to mean everything.
            (ids, _) => {
                let text = "name either ids or where; where={} stands for every entry";
                Err(Error::validation("ids", ids.map(|_| "with where"), text).into())
            }
        }
    }

    /// Writes one file; what was there before is replaced in one step or stays untouched.
    #[expect(clippy::needless_pass_by_value, reason = "extracted from the call's arguments")]
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        bridge::detach(py, || self.store.save(&path))
    }

    /// Reads what `save` wrote; a damaged file raises and loads nothing.
    #[staticmethod]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from the call's arguments")]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let store = bridge::detach(py, || store::VectorStore::load(&path))?;
        Ok(Self { store: Arc::new(store) })
    }

    /// The store in a folder, made when it is not there: each change is written down before the call
    /// returns. One process writes; others pass `read_only=True`.
    #[staticmethod]
    #[pyo3(signature = (path, *, dimensions=None, metric=None, precision=None, read_only=false, sync=false))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from the call's arguments")]
    fn open(
        py: Python<'_>,
        path: PathBuf,
        dimensions: Option<usize>,
        metric: Option<&str>,
        precision: Option<&str>,
        read_only: bool,
        sync: bool,
    ) -> PyResult<Self> {
        let metric = metric.map(str::parse).transpose()?;
        let precision = precision.map(str::parse).transpose()?;
        let options = StoreOptions { metric, dimensions, precision, read_only, sync };
        let store = bridge::detach(py, || store::VectorStore::open(&path, options))?;
        Ok(Self { store: Arc::new(store) })
    }

    /// Takes in what the folder's writer has changed since; whether there was anything.
    fn refresh(&self, py: Python<'_>) -> PyResult<bool> {
        bridge::detach(py, || self.store.refresh())
    }

    /// Lets go of the folder; searches go on, changes are refused.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        bridge::detach(py, || self.store.close())
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _class: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }

    /// Values a vector, or `None` before the first one.
    #[getter]
    fn dimensions(&self) -> Option<usize> {
        self.store.dimensions()
    }

    /// "cosine", "dot" or "l2".
    #[getter]
    fn metric(&self) -> &'static str {
        self.store.metric().as_str()
    }

    /// "f32", "f16" or "i8".
    #[getter]
    fn precision(&self) -> &'static str {
        self.store.precision().as_str()
    }

    fn __len__(&self) -> usize {
        self.store.len()
    }

    fn __repr__(&self) -> String {
        let dimensions =
            self.dimensions().map_or_else(|| "None".to_owned(), |number| number.to_string());
        let precision = match self.store.precision() {
            Precision::F32 => String::new(),
            other => format!(", precision='{other}'"),
        };
        format!(
            "VectorStore(len={}, dimensions={dimensions}, metric='{}'{precision})",
            self.store.len(),
            self.metric()
        )
    }
}

/// The rows of an `add`, without their vectors.
fn entries(
    vectors: &Matrix,
    texts: Option<Vec<String>>,
    ids: Option<Vec<String>>,
    metadatas: Option<Vec<BTreeMap<String, String>>>,
) -> PyResult<Vec<Entry>> {
    if let Some(row) = ids.iter().flatten().position(String::is_empty) {
        let text = format!("the id of row {row} is empty");
        return Err(Error::validation("ids", Some(""), &text).into());
    }
    let mut texts = column("texts", texts, vectors)?;
    let mut ids = column("ids", ids, vectors)?;
    let mut metadatas = column("metadatas", metadatas, vectors)?;
    let entry = |_| Entry {
        id: ids.next().unwrap_or_default(),
        text: texts.next().unwrap_or_default(),
        metadata: metadatas.next().unwrap_or_default(),
    };
    Ok((0..vectors.rows()).map(entry).collect())
}

/// A filter as Python writes it; `None` is none.
pub(super) fn filter(conditions: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Filter>> {
    let Some(conditions) = conditions else { return Ok(None) };
    Ok(Some(Filter::parse(&json::dump("where", conditions)?)?))
}
