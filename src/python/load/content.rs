//! `DocumentContent`: a document that was loaded. It never changes, compares by value and pickles.

use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use serde_json::{Map, Value};

use crate::load;
use crate::python::chat_types::{Reduced, reduced};
use crate::python::{cpython, json};

/// A loaded document.
#[pyclass(frozen, module = "graphbit")]
pub(in crate::python) struct DocumentContent {
    source: String,
    document_type: String,
    /// Python's own, so that reading it costs nothing.
    text: Py<PyString>,
    file_size: u64,
    extracted_at: i64,
    metadata: Map<String, Value>,
}

impl DocumentContent {
    pub(super) fn new(py: Python<'_>, loaded: load::DocumentContent) -> Self {
        Self {
            source: loaded.source,
            document_type: loaded.document_type,
            text: PyString::new(py, &loaded.content).unbind(),
            file_size: loaded.file_size,
            extracted_at: loaded.extracted_at,
            metadata: loaded.metadata,
        }
    }

    fn utf8<'py>(&'py self, py: Python<'py>) -> PyResult<&'py str> {
        self.text.bind(py).to_str()
    }
}

/// Everything a document holds, in the order in which `_restore` takes it; the metadata as JSON.
type State<'py> = (String, String, Bound<'py, PyString>, u64, i64, String);

#[pymethods]
impl DocumentContent {
    #[getter]
    fn source(&self) -> &str {
        &self.source
    }

    #[getter]
    fn document_type(&self) -> &str {
        &self.document_type
    }

    #[getter]
    fn content(&self, py: Python<'_>) -> Py<PyString> {
        self.text.clone_ref(py)
    }

    #[getter]
    fn file_size(&self) -> u64 {
        self.file_size
    }

    #[getter]
    fn extracted_at(&self) -> i64 {
        self.extracted_at
    }

    /// A new dict each time.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        json::into_python(py, &Value::Object(self.metadata.clone()))
    }

    /// In UTF-8 bytes.
    fn content_length(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.utf8(py)?.len())
    }

    fn is_empty(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.utf8(py)?.trim().is_empty())
    }

    #[pyo3(signature = (max_length=500))]
    fn preview(&self, py: Python<'_>, max_length: usize) -> PyResult<Py<PyString>> {
        let text = self.text.bind(py);
        if text.len()? <= max_length {
            return Ok(text.clone().unbind());
        }
        let start = cpython::substring(text, 0..max_length)?;
        Ok(start.add("...")?.cast_into::<PyString>()?.unbind())
    }

    fn __eq__(&self, py: Python<'_>, other: &Self) -> PyResult<bool> {
        let same = self.source == other.source
            && self.document_type == other.document_type
            && self.file_size == other.file_size
            && self.extracted_at == other.extracted_at
            && self.metadata == other.metadata;
        Ok(same && self.utf8(py)? == other.utf8(py)?)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<u64> {
        let mut hasher = DefaultHasher::new();
        (&self.source, &self.document_type, self.file_size).hash(&mut hasher);
        (self.extracted_at, self.text.bind(py).hash()?).hash(&mut hasher);
        Ok(hasher.finish())
    }

    #[staticmethod]
    #[pyo3(name = "_restore", signature = (*state))]
    fn restore(state: &Bound<'_, PyTuple>) -> PyResult<Self> {
        let state: State<'_> = state.extract()?;
        let (source, document_type, text, file_size, extracted_at, metadata) = state;
        let metadata = crate::python::chat_types::parse("metadata", &metadata)?;
        let metadata = metadata.as_object().cloned().unwrap_or_default();
        let text = text.unbind();
        Ok(Self { source, document_type, text, file_size, extracted_at, metadata })
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        let state: State<'py> = (
            self.source.clone(),
            self.document_type.clone(),
            self.text.bind(py).clone(),
            self.file_size,
            self.extracted_at,
            Value::Object(self.metadata.clone()).to_string(),
        );
        reduced::<Self>(py, state)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "DocumentContent(source='{}', type='{}', size={} bytes, content_length={})",
            self.source,
            self.document_type,
            self.file_size,
            self.content_length(py)?
        ))
    }
}
