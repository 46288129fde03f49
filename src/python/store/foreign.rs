//! A store that is written in Python, behind the protocol of all stores.
//!
//! Whatever has `get`, `entries`, `search`, `replace` and `delete` is one; the rest is worked out from these, unless the
//! object has it too. Its methods are called on callback threads, never on a worker, with arguments that have been
//! checked. It refuses answers that cannot be right (see `answers`): a store that is at fault is named, and
//! what it says is never half believed.

mod answers;
mod searches;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use self::answers::Backend;
use crate::error::Result;
use crate::python::errors::to_py_err;
use crate::python::vectors::to_array;
use crate::python::{bridge, exit, json};
use crate::store::{
    Candidate, Entry, Filter, Hit, Metric, Reply, Sought, Store, StoredEntry, all_finite,
    at_least_one, check_rows, named,
};
use crate::types::Matrix;

/// What an object must have, and what it may.
const NEEDED: [&str; 5] = ["get", "entries", "search", "replace", "delete"];
/// Entries and ids of one call, where all of them are gone through.
const PAGE: usize = 10_000;

/// What an object can do itself.
#[derive(Clone, Copy)]
struct Offers {
    count: bool,
    delete_where: bool,
    search_many: bool,
    search_words: bool,
    values: bool,
    metadatas: bool,
    vectors: bool,
    ef_search: bool,
}

/// A Python object as a store.
pub(super) struct ForeignStore {
    object: Py<PyAny>,
    class: String,
    metric: Metric,
    /// Values a vector, as far as is known; 0 is not at all. Whoever asks may be on a worker.
    dimensions: AtomicUsize,
    writers: usize,
    offers: Offers,
}

impl ForeignStore {
    /// `TypeError` that names what the object lacks.
    pub(super) fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let class = json::class_of(object);
        let has = |name: &str| exit::inside(py, || is_callable(object, name));
        let lacking: Vec<&str> = NEEDED.into_iter().filter(|name| !has(name)).collect();
        if !lacking.is_empty() {
            let text = format!(
                "store must be one of the vector stores or an object with the methods get, entries, search, \
                 replace and delete; '{class}' has no {}",
                lacking.join(", ")
            );
            return Err(PyTypeError::new_err(text));
        }
        let metric = match attribute(object, "metric")? {
            Some(name) => name.extract::<String>()?.parse()?,
            None => Metric::default(),
        };
        let dimensions = match attribute(object, "dimensions")? {
            Some(number) => number.extract::<usize>()?,
            None => 0,
        };
        let writers = match attribute(object, "writers")? {
            Some(number) => number.extract::<usize>()?.max(1),
            None => 1,
        };
        let offers = Offers {
            count: has("count"),
            delete_where: has("delete_where"),
            search_many: has("search_many"),
            search_words: has("search_words"),
            values: has("values"),
            metadatas: has("metadatas"),
            vectors: has("vectors"),
            ef_search: attribute(object, "ef_search")?.is_some(),
        };
        let dimensions = AtomicUsize::new(dimensions);
        Ok(Self { object: object.clone().unbind(), class, metric, dimensions, writers, offers })
    }

    /// The object itself.
    pub(super) const fn object(&self) -> &Py<PyAny> {
        &self.object
    }

    /// What `work` makes of the object, on a callback thread.
    fn ask<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&Backend<'_>, &Self) -> Result<T> + Send + 'static,
    ) -> Reply<T> {
        Reply::awaited(async move {
            let asked = bridge::call_python(move |py| {
                Ok(work(&Backend::new(self.object.bind(py), &self.class), &self))
            });
            asked.await?
        })
    }

    /// Goes through all entries that `filter` means, in pages.
    fn each_page(
        backend: &Backend<'_>,
        filter: Option<&Filter>,
        mut take: impl FnMut(Vec<StoredEntry>) -> Result<()>,
    ) -> Result<()> {
        let mut after = None;
        loop {
            let page = listed(backend, filter, after, PAGE)?;
            // Not the first page that is short: a server behind the object may give less than it is asked for.
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.index);
            take(page)?;
        }
    }

    fn all_values(&self, backend: &Backend<'_>, key: &str) -> Result<HashSet<String>> {
        if self.offers.values {
            let answer = backend.call("values", |_| Ok(((key,), None)))?;
            return backend.texts("values", &answer);
        }
        let mut values = HashSet::new();
        Self::each_page(backend, None, |page| {
            values.extend(page.iter().filter_map(|it| it.entry.metadata.get(key)).cloned());
            Ok(())
        })?;
        Ok(values)
    }
}

fn listed(
    backend: &Backend<'_>,
    filter: Option<&Filter>,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<StoredEntry>> {
    let answer = backend.call("entries", |py| {
        let keywords = PyDict::new(py);
        keywords.set_item("after", after)?;
        keywords.set_item("limit", limit)?;
        Ok(((conditions(py, filter)?,), Some(keywords)))
    })?;
    backend.page(&answer, filter, after, limit)
}

fn deleted(backend: &Backend<'_>, ids: Vec<String>) -> Result<usize> {
    let most = ids.len();
    if most == 0 {
        return Ok(0);
    }
    let answer = backend.call("delete", |_| Ok(((ids,), None)))?;
    backend.number("delete", &answer, Some(most))
}

fn is_callable(object: &Bound<'_, PyAny>, name: &str) -> bool {
    object.getattr(name).is_ok_and(|method| method.is_callable())
}

/// An attribute, unless it is missing or `None`.
pub(super) fn attribute<'py>(
    object: &Bound<'py, PyAny>,
    name: &str,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    match exit::inside(py, || object.getattr(name)) {
        Ok(value) => Ok((!value.is_none()).then_some(value)),
        Err(missing) if missing.is_instance_of::<PyAttributeError>(py) => Ok(None),
        Err(raised) => Err(raised),
    }
}

/// The conditions as they were written.
fn conditions<'py>(py: Python<'py>, filter: Option<&Filter>) -> PyResult<Bound<'py, PyAny>> {
    let Some(filter) = filter else { return Ok(py.None().into_bound(py)) };
    json::into_python(py, filter.conditions())
}

impl fmt::Debug for ForeignStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignStore").field("class", &self.class).finish_non_exhaustive()
    }
}

impl Store for ForeignStore {
    fn metric(&self) -> Metric {
        self.metric
    }

    fn dimensions(&self) -> Option<usize> {
        Some(self.dimensions.load(Ordering::Relaxed)).filter(|known| *known > 0)
    }

    fn known_len(&self) -> Option<usize> {
        None
    }

    fn writers(&self) -> usize {
        self.writers
    }

    fn count(self: Arc<Self>, filter: Option<Filter>) -> Reply<usize> {
        self.ask(move |backend, store| {
            if store.offers.count {
                let answer =
                    backend.call("count", |py| Ok(((conditions(py, filter.as_ref())?,), None)))?;
                return backend.number("count", &answer, None);
            }
            let mut count = 0;
            Self::each_page(backend, filter.as_ref(), |page| {
                count += page.len();
                Ok(())
            })?;
            Ok(count)
        })
    }

    fn count_values(self: Arc<Self>, key: String) -> Reply<usize> {
        self.ask(move |backend, store| Ok(store.all_values(backend, &key)?.len()))
    }

    fn values(self: Arc<Self>, key: String) -> Reply<Vec<String>> {
        self.ask(move |backend, store| Ok(store.all_values(backend, &key)?.into_iter().collect()))
    }

    fn values_at(
        self: Arc<Self>,
        ids: Vec<String>,
        key: String,
    ) -> Reply<Vec<Option<Option<String>>>> {
        self.ask(move |backend, store| {
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            if store.offers.metadatas {
                let count = ids.len();
                let answer = backend.call("metadatas", |_| Ok(((ids,), None)))?;
                let found = backend.metadatas(&answer, count)?.into_iter();
                return Ok(found.map(|one| Some(one?.remove(&key))).collect());
            }
            let answer = backend.call("get", |_| Ok(((&ids,), None)))?;
            let found = backend.looked_up(&answer, &ids)?.into_iter();
            Ok(found.map(|one| Some(one?.entry.metadata.get(&key).cloned())).collect())
        })
    }

    fn get(self: Arc<Self>, ids: Vec<String>) -> Reply<Vec<Option<StoredEntry>>> {
        self.ask(move |backend, _| {
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            let answer = backend.call("get", |_| Ok(((&ids,), None)))?;
            backend.looked_up(&answer, &ids)
        })
    }

    fn entries(
        self: Arc<Self>,
        filter: Option<Filter>,
        after: Option<u64>,
        limit: usize,
    ) -> Reply<Vec<StoredEntry>> {
        self.ask(move |backend, _| {
            at_least_one("limit", limit)?;
            listed(backend, filter.as_ref(), after, limit)
        })
    }

    fn replace(
        self: Arc<Self>,
        mut stale: Vec<String>,
        vectors: Matrix,
        entries: Vec<Entry>,
    ) -> Reply<Vec<String>> {
        self.ask(move |backend, store| {
            check_rows(&vectors, &entries)?;
            let (mut ids, mut texts, mut metadatas) = (Vec::new(), Vec::new(), Vec::new());
            for Entry { id, text, metadata } in named(entries)? {
                ids.push(id);
                texts.push(text);
                metadatas.push(metadata);
            }
            let kept: HashSet<&str> = ids.iter().map(String::as_str).collect();
            stale.retain(|id| !kept.contains(id.as_str()));
            stale.sort_unstable();
            stale.dedup();
            if ids.is_empty() {
                deleted(backend, stale)?;
                return Ok(ids);
            }
            let dimensions = vectors.dimensions();
            backend.check_dimensions(dimensions)?;
            backend.call("replace", |py| {
                Ok(((stale, to_array(py, vectors)?, texts, &ids, metadatas), None))
            })?;
            store.dimensions.store(dimensions, Ordering::Relaxed);
            Ok(ids)
        })
    }

    fn delete(self: Arc<Self>, mut ids: Vec<String>) -> Reply<usize> {
        ids.sort_unstable();
        ids.dedup();
        self.ask(move |backend, _| deleted(backend, ids))
    }

    fn delete_where(self: Arc<Self>, filter: Filter) -> Reply<usize> {
        self.ask(move |backend, store| {
            if store.offers.delete_where {
                let answer = backend
                    .call("delete_where", |py| Ok(((conditions(py, Some(&filter))?,), None)))?;
                return backend.number("delete_where", &answer, None);
            }
            let mut gone = 0;
            Self::each_page(backend, Some(&filter), |page| {
                gone += deleted(backend, page.iter().map(|it| it.entry.id.clone()).collect())?;
                Ok(())
            })?;
            Ok(gone)
        })
    }

    fn search(
        self: Arc<Self>,
        query: Vec<f32>,
        top_k: usize,
        filter: Option<Filter>,
        ef_search: Option<usize>,
    ) -> Reply<Vec<Hit>> {
        self.ask(move |backend, store| {
            at_least_one("top_k", top_k)?;
            at_least_one("ef_search", ef_search)?;
            store.by_vector(backend, query, top_k, filter.as_ref(), ef_search)
        })
    }

    fn search_many(
        self: Arc<Self>,
        queries: Matrix,
        top_k: usize,
        filter: Option<Filter>,
        ef_search: Option<usize>,
    ) -> Reply<Vec<Vec<Hit>>> {
        self.ask(move |backend, store| {
            at_least_one("top_k", top_k)?;
            at_least_one("ef_search", ef_search)?;
            all_finite("queries", &queries)?;
            let filter = filter.as_ref();
            if queries.rows() == 0 || !store.offers.search_many {
                let one = |query: &[f32]| {
                    store.by_vector(backend, query.to_vec(), top_k, filter, ef_search)
                };
                return queries.iter().map(one).collect();
            }
            backend.check_dimensions(queries.dimensions())?;
            let count = queries.rows();
            let answer = backend.call("search_many", |py| {
                let keywords = store.search_keywords(py, filter, ef_search)?;
                Ok(((to_array(py, queries)?, top_k), Some(keywords)))
            })?;
            backend.hits_of_each(&answer, count, top_k, filter)
        })
    }

    fn candidates(
        self: Arc<Self>,
        sought: Sought,
        limit: usize,
        filter: Option<Filter>,
    ) -> Reply<Vec<Candidate>> {
        self.ask(move |backend, store| {
            at_least_one("limit", limit)?;
            let filter = filter.as_ref();
            let own = |hits: Vec<Hit>| -> Vec<(Hit, f32)> {
                let scores: Vec<f32> = hits.iter().map(|hit| hit.score).collect();
                hits.into_iter().zip(scores).collect()
            };
            let ranked = match sought {
                Sought::Vector(vector) => {
                    own(store.by_vector(backend, vector, limit, filter, None)?)
                }
                Sought::Words(words) => own(store.by_words(backend, &words, limit, filter)?),
                Sought::Both(vector, words) => {
                    store.by_both(backend, &vector, &words, limit, filter)?
                }
            };
            // Most who ask need no vectors, and they are most of what would have to be moved.
            let bare = |(hit, relevance)| Candidate { hit, relevance, vector: Vec::new() };
            Ok(ranked.into_iter().map(bare).collect())
        })
    }

    fn vectors(self: Arc<Self>, ids: Vec<String>) -> Reply<Vec<Option<Vec<f32>>>> {
        self.ask(move |backend, store| store.vectors_of(backend, ids))
    }
}

/// What closes the object, if it can be closed.
pub(super) fn close(py: Python<'_>, object: &Py<PyAny>) -> PyResult<()> {
    let object = object.bind(py);
    if !exit::inside(py, || is_callable(object, "close")) {
        return Ok(());
    }
    exit::inside(py, || object.call_method0("close"))
        .map(drop)
        .map_err(|raised| to_py_err(answers::failed(py, &json::class_of(object), "close", raised)))
}
