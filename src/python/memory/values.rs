//! What a memory hands out. The values never change, are equal when what they hold is, and pickle.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::memory::{Change, Memory, ScoredMemory};
use crate::python::chat_types::{Reduced, reduced};

/// One thing remembered. Obtained from a `MemoryClient`, never constructed.
#[pyclass(module = "graphbit", frozen, eq, hash, from_py_object)]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct PyMemory(pub(super) Memory);

#[pymethods]
impl PyMemory {
    /// A UUID.
    #[getter]
    fn id(&self) -> &str {
        &self.0.id
    }

    /// The fact itself.
    #[getter]
    fn content(&self) -> &str {
        &self.0.content
    }

    /// Whom it is about.
    #[getter]
    fn user_id(&self) -> Option<&str> {
        self.0.user_id.as_deref()
    }

    /// Which agent learned it.
    #[getter]
    fn agent_id(&self) -> Option<&str> {
        self.0.agent_id.as_deref()
    }

    /// In which run.
    #[getter]
    fn run_id(&self) -> Option<&str> {
        self.0.run_id.as_deref()
    }

    /// RFC 3339.
    #[getter]
    fn created_at(&self) -> &str {
        &self.0.created_at
    }

    /// RFC 3339; the moment of the last change.
    #[getter]
    fn updated_at(&self) -> &str {
        &self.0.updated_at
    }

    /// Whatever stands beside it in the file; a new dict each time.
    #[getter]
    fn metadata(&self) -> BTreeMap<String, String> {
        self.0.metadata.clone()
    }

    #[classmethod]
    #[pyo3(name = "_restore")]
    fn restore(
        _class: &Bound<'_, PyType>,
        said: (String, String),
        scope: (Option<String>, Option<String>, Option<String>),
        dates: (String, String),
        metadata: BTreeMap<String, String>,
    ) -> Self {
        let ((id, content), (user_id, agent_id, run_id)) = (said, scope);
        let (created_at, updated_at) = dates;
        Self(Memory { id, content, user_id, agent_id, run_id, created_at, updated_at, metadata })
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        let scope = (self.user_id(), self.agent_id(), self.run_id());
        let dates = (self.created_at(), self.updated_at());
        reduced::<Self>(py, ((self.id(), self.content()), scope, dates, self.metadata()))
    }

    fn __repr__(&self) -> String {
        format!("Memory(id='{}', content='{}')", self.id(), self.content())
    }
}

/// A memory that was found. Obtained from a `MemoryClient`, never constructed.
#[pyclass(module = "graphbit", frozen, eq)]
#[derive(PartialEq)]
pub(in super::super) struct PyScoredMemory(pub(super) ScoredMemory);

#[pymethods]
impl PyScoredMemory {
    /// What was found.
    #[getter]
    fn memory(&self) -> PyMemory {
        PyMemory(self.0.memory.clone())
    }

    /// Cosine similarity to the query.
    #[getter]
    fn score(&self) -> f32 {
        self.0.score
    }

    #[classmethod]
    #[pyo3(name = "_restore")]
    fn restore(_class: &Bound<'_, PyType>, memory: PyMemory, score: f32) -> Self {
        Self(ScoredMemory { memory: memory.0, score })
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        reduced::<Self>(py, (self.memory(), self.score()))
    }

    fn __repr__(&self) -> String {
        format!("ScoredMemory(id='{}', score={:.4})", self.0.memory.id, self.0.score)
    }
}

/// One change of a memory. Obtained from a `MemoryClient`, never constructed.
#[pyclass(module = "graphbit", frozen, eq, hash)]
#[derive(PartialEq, Eq, Hash)]
pub(in super::super) struct PyMemoryHistory(pub(super) Change);

#[pymethods]
impl PyMemoryHistory {
    /// Which memory.
    #[getter]
    fn memory_id(&self) -> &str {
        &self.0.memory_id
    }

    /// The content before; empty for one that was added.
    #[getter]
    fn old_content(&self) -> &str {
        &self.0.old_content
    }

    /// The content after; empty for one that was deleted.
    #[getter]
    fn new_content(&self) -> &str {
        &self.0.new_content
    }

    /// `ADD`, `UPDATE` or `DELETE`.
    #[getter]
    fn action(&self) -> &str {
        &self.0.action
    }

    /// RFC 3339.
    #[getter]
    fn timestamp(&self) -> &str {
        &self.0.timestamp
    }

    #[classmethod]
    #[pyo3(name = "_restore")]
    fn restore(
        _class: &Bound<'_, PyType>,
        memory_id: String,
        old_content: String,
        new_content: String,
        action: String,
        timestamp: String,
    ) -> Self {
        Self(Change { memory_id, old_content, new_content, action, timestamp })
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        let contents = (self.memory_id(), self.old_content(), self.new_content());
        let (memory_id, old_content, new_content) = contents;
        let state = (memory_id, old_content, new_content, self.action(), self.timestamp());
        reduced::<Self>(py, state)
    }

    fn __repr__(&self) -> String {
        format!("MemoryHistory(memory_id='{}', action='{}')", self.memory_id(), self.action())
    }
}
