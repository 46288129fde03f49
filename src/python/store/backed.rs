//! `BackedStore`: all methods of a store over an object that has a few of them, and `Filter`, for whoever writes one.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyo3::prelude::*;

use super::foreign::{self, ForeignStore};
use super::methods::store_methods;
use super::{Shared, answer};
use crate::python::exit;
use crate::store::Filter;

/// A store over an object of the user's.
#[pyclass(frozen, subclass, module = "graphbit._graphbit")]
pub(in crate::python) struct BackedStore {
    store: Arc<ForeignStore>,
}

impl BackedStore {
    /// The store of the core.
    pub(in crate::python) fn shared(&self) -> Shared {
        Arc::<ForeignStore>::clone(&self.store)
    }
}

store_methods! { BackedStore,
    #[new]
    fn new(backend: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { store: Arc::new(ForeignStore::new(backend)?) })
    }

    /// The object it was made of.
    #[getter]
    fn backend(&self, py: Python<'_>) -> Py<PyAny> {
        self.store.object().clone_ref(py)
    }

    /// Closes the object, if it can be closed.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        foreign::close(py, self.store.object())
    }

    /// What the object says, or `None`.
    #[getter]
    fn dimensions(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        let known = foreign::attribute(self.store.object().bind(py), "dimensions")?;
        known.map(|known| known.extract()).transpose()
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        answer(py, self.shared().count(None))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let object = self.store.object().bind(py);
        let shown = exit::inside(py, || object.repr())?;
        Ok(format!("BackedStore({shown})"))
    }
}

/// Says which metadata are meant by conditions.
#[pyclass(frozen, name = "Filter", module = "graphbit._graphbit")]
pub(in crate::python) struct PyFilter {
    filter: Option<Filter>,
}

#[pymethods]
impl PyFilter {
    #[new]
    #[pyo3(signature = (r#where=None))]
    fn new(r#where: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        Ok(Self { filter: super::filter(r#where)? })
    }

    /// Whether an entry with this metadata is meant.
    #[expect(clippy::needless_pass_by_value, reason = "extracted from the call's arguments")]
    fn matches(&self, metadata: BTreeMap<String, String>) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(&metadata))
    }
}
