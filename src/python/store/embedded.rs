//! `VectorStore`: the store in memory or in a folder.

use std::sync::Arc;

use pyo3::prelude::*;

use super::methods::store_methods;
use super::{Shared, watched};
use crate::python::bridge;
use crate::python::given::GivenPath;
use crate::store::{self, Index, Precision, StoreOptions};

/// A vector store, in memory or in a folder.
#[pyclass(frozen, module = "graphbit")]
pub(in crate::python) struct VectorStore {
    store: Arc<store::VectorStore>,
}

impl VectorStore {
    /// The store of the core.
    pub(in crate::python) fn shared(&self) -> Shared {
        Arc::<store::VectorStore>::clone(&self.store)
    }
}

store_methods! { VectorStore,
    /// `metric` is "cosine", "dot" or "l2", `precision` "f32", "f16" or "i8", `index` "exact" or "hnsw". Without
    /// `dimensions` the first vectors decide.
    #[new]
    #[pyo3(signature = (dimensions=None, *, metric="cosine", precision="f32", index="exact"))]
    fn new(
        dimensions: Option<usize>,
        metric: &str,
        precision: &str,
        index: &str,
    ) -> PyResult<Self> {
        let store =
            store::VectorStore::with_precision(metric.parse()?, dimensions, precision.parse()?)?;
        Ok(Self { store: Arc::new(store.with_index(index.parse()?)?) })
    }

    /// Writes one file; what was there before is replaced in one step or stays untouched.
    #[expect(clippy::needless_pass_by_value, reason = "extracted from the call's arguments")]
    fn save(&self, py: Python<'_>, path: GivenPath) -> PyResult<()> {
        bridge::detach(py, || self.store.save(&path.0))
    }

    /// Reads what `save` wrote; a damaged file raises and loads nothing.
    #[staticmethod]
    #[pyo3(signature = (path, *, index="exact"))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from the call's arguments")]
    fn load(py: Python<'_>, path: GivenPath, index: &str) -> PyResult<Self> {
        let index = index.parse()?;
        let store = watched(py, |go_on| {
            let store = store::VectorStore::load(&path.0)?.rows_with_index(index)?;
            store.catch_up(go_on)?;
            Ok(store)
        })?;
        Ok(Self { store: Arc::new(store) })
    }

    /// The store in a folder, made when it is not there: each change is written down before the call
    /// returns. One process writes; others pass `read_only=True`.
    #[staticmethod]
    #[pyo3(signature = (path, *, dimensions=None, metric=None, precision=None, index="exact", read_only=false, sync=false))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from the call's arguments")]
    fn open(
        py: Python<'_>,
        path: GivenPath,
        dimensions: Option<usize>,
        metric: Option<&str>,
        precision: Option<&str>,
        index: &str,
        read_only: bool,
        sync: bool,
    ) -> PyResult<Self> {
        let metric = metric.map(str::parse).transpose()?;
        let precision = precision.map(str::parse).transpose()?;
        let index = index.parse()?;
        let options = StoreOptions { metric, dimensions, precision, index, read_only, sync };
        let store = watched(py, |go_on| {
            let store = store::VectorStore::open_rows(&path.0, options)?;
            store.catch_up(go_on)?;
            Ok(store)
        })?;
        Ok(Self { store: Arc::new(store) })
    }

    /// Takes in what the folder's writer has changed since; whether there was anything.
    fn refresh(&self, py: Python<'_>) -> PyResult<bool> {
        watched(py, |go_on| {
            let news = self.store.refresh_rows()?;
            self.store.catch_up(go_on)?;
            Ok(news)
        })
    }

    /// Lets go of the folder; searches go on, changes are refused.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        bridge::detach(py, || self.store.close())
    }

    /// Values a vector, or `None` before the first one.
    #[getter]
    fn dimensions(&self) -> Option<usize> {
        self.store.dimensions()
    }

    /// "f32", "f16" or "i8".
    #[getter]
    fn precision(&self) -> &'static str {
        self.store.precision().as_str()
    }

    /// "exact" or "hnsw".
    #[getter]
    fn index(&self) -> &'static str {
        self.store.index().as_str()
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
        let index = match self.store.index() {
            Index::Exact => "",
            Index::Hnsw => ", index='hnsw'",
        };
        format!(
            "VectorStore(len={}, dimensions={dimensions}, metric='{}'{precision}{index})",
            self.store.len(),
            self.metric()
        )
    }
}
