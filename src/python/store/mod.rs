//! The stores, `SearchHit` and `StoredEntry`.
//!
//! Arguments are taken over first; then everything happens without the interpreter, filters included. What all
//! stores have in common is written once, over the protocol of the core: here what each call asks for, in
//! `methods` the methods themselves.

mod backed;
mod embedded;
mod foreign;
mod methods;
mod postgres;
mod qdrant;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use pyo3::BoundObject;
use pyo3::prelude::*;

use super::given::Listed;
use super::vectors::{column, matrix, row};
use super::{bridge, json};
use crate::error::{Error, Result};
use crate::store::{self, Entry, Filter, GoOn, Hit, Reply, Store};
use crate::types::Matrix;

pub(super) use backed::{BackedStore, PyFilter};
pub(super) use embedded::VectorStore;
pub(super) use postgres::PgVectorStore;
pub(super) use qdrant::QdrantVectorStore;

type Shared = Arc<dyn Store>;
type Texts = Listed<String>;
type Metadatas = Option<Listed<BTreeMap<String, String>>>;

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

/// The store of the core behind one of the classes, or one over an object that has a store's methods.
pub(super) fn shared(given: &Bound<'_, PyAny>) -> PyResult<Shared> {
    if let Ok(store) = given.cast::<VectorStore>() {
        return Ok(store.get().shared());
    }
    if let Ok(store) = given.cast::<PgVectorStore>() {
        return Ok(store.get().shared());
    }
    if let Ok(store) = given.cast::<QdrantVectorStore>() {
        return Ok(store.get().shared());
    }
    if let Ok(store) = given.cast::<BackedStore>() {
        return Ok(store.get().shared());
    }
    Ok(Arc::new(foreign::ForeignStore::new(given)?))
}

/// A `timeout` as Python gives it; whether 0 is one the store says.
fn timeout(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        let text = "must be a number of seconds above 0";
        Error::validation("timeout", Some(&seconds.to_string()), text).into()
    })
}

/// Waits for what a store says. What it does itself is done on this thread, without the interpreter.
pub(super) fn answer<T: Send + 'static>(py: Python<'_>, reply: Reply<T>) -> PyResult<T> {
    match reply {
        Reply::Here(work) => watched(py, work),
        Reply::Awaited(future) => bridge::block_on(py, future),
    }
}

/// Does work without the interpreter. Ctrl-C has it leave for later what can be left, and is raised then.
fn watched<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(GoOn<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    let mut raised = None;
    let done = bridge::detach(py, || {
        work(&mut || {
            raised = bridge::attach(|py| py.check_signals()).err();
            if raised.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    })?;
    raised.map_or(Ok(done), Err)
}

/// An `asyncio.Future` of what a store says.
fn promise<'py, T, V>(
    py: Python<'py>,
    reply: Reply<T>,
    convert: fn(T) -> V,
) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    V: for<'p> IntoPyObject<'p, Error: Into<PyErr>> + 'static,
{
    bridge::future_into_py(py, reply.run(), move |py, value| {
        let value = convert(value).into_pyobject(py).map_err(Into::into)?;
        Ok(value.into_bound().into_any().unbind())
    })
}

fn hits(found: Vec<Hit>) -> Vec<SearchHit> {
    found.into_iter().map(|hit| SearchHit { hit }).collect()
}

fn hits_of_each(found: Vec<Vec<Hit>>) -> Vec<Vec<SearchHit>> {
    found.into_iter().map(hits).collect()
}

fn page(entries: Vec<store::StoredEntry>) -> Vec<StoredEntry> {
    entries.into_iter().map(|stored| StoredEntry { stored }).collect()
}

fn looked_up(entries: Vec<Option<store::StoredEntry>>) -> Vec<Option<StoredEntry>> {
    entries.into_iter().map(|one| one.map(|stored| StoredEntry { stored })).collect()
}

fn replace(
    store: Shared,
    stale: Texts,
    vectors: &Bound<'_, PyAny>,
    texts: Option<Texts>,
    ids: Option<Texts>,
    metadatas: Metadatas,
) -> PyResult<Reply<Vec<String>>> {
    let vectors = matrix("vectors", vectors)?;
    let entries = entries(&vectors, texts, ids, metadatas)?;
    Ok(store.replace(stale.0, vectors, entries))
}

fn search(
    store: Shared,
    vector: &Bound<'_, PyAny>,
    top_k: usize,
    conditions: Option<&Bound<'_, PyAny>>,
    ef_search: Option<usize>,
) -> PyResult<Reply<Vec<Hit>>> {
    Ok(store.search(row("vector", vector)?, top_k, filter(conditions)?, ef_search))
}

fn search_many(
    store: Shared,
    vectors: &Bound<'_, PyAny>,
    top_k: usize,
    conditions: Option<&Bound<'_, PyAny>>,
    ef_search: Option<usize>,
) -> PyResult<Reply<Vec<Vec<Hit>>>> {
    Ok(store.search_many(matrix("vectors", vectors)?, top_k, filter(conditions)?, ef_search))
}

fn delete(
    store: Shared,
    ids: Option<Texts>,
    conditions: Option<&Bound<'_, PyAny>>,
) -> PyResult<Reply<usize>> {
    match (ids, filter(conditions)?) {
        (Some(ids), None) => Ok(store.delete(ids.0)),
        (None, Some(filter)) => Ok(store.delete_where(filter)),
        // Nothing named must never come to mean everything.
        (ids, _) => {
            let text = "name either ids or where; where={} stands for every entry";
            Err(Error::validation("ids", ids.map(|_| "with where"), text).into())
        }
    }
}

/// The rows of an `add`, without their vectors.
fn entries(
    vectors: &Matrix,
    texts: Option<Texts>,
    ids: Option<Texts>,
    metadatas: Metadatas,
) -> PyResult<Vec<Entry>> {
    if let Some(row) = ids.iter().flat_map(|ids| &ids.0).position(String::is_empty) {
        let text = format!("the id of row {row} is empty");
        return Err(Error::validation("ids", Some(""), &text).into());
    }
    let mut texts = column("texts", texts.map(|list| list.0), vectors)?;
    let mut ids = column("ids", ids.map(|list| list.0), vectors)?;
    let mut metadatas = column("metadatas", metadatas.map(|list| list.0), vectors)?;
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
