//! What an ingest tells, for Python: its report, a document's outcome, the state while it runs.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::rag::{DocumentOutcome, IngestReport, Progress};

/// How far an ingest is.
#[pyclass(name = "IngestProgress", module = "graphbit", frozen, eq)]
#[derive(Clone, Copy, PartialEq)]
pub(in crate::python) struct PyIngestProgress(pub(super) Progress);

#[pymethods]
impl PyIngestProgress {
    /// Documents found so far; 0 until the folders have been read.
    #[getter]
    fn documents_total(&self) -> usize {
        self.0.documents_total
    }
    /// Documents stored, or found unchanged.
    #[getter]
    fn documents_done(&self) -> usize {
        self.0.documents_done
    }
    /// Documents that failed.
    #[getter]
    fn documents_failed(&self) -> usize {
        self.0.documents_failed
    }
    /// Chunks cut so far.
    #[getter]
    fn chunks_total(&self) -> usize {
        self.0.chunks_total
    }
    /// Chunks so far that have a vector, or failed to get one.
    #[getter]
    fn chunks_done(&self) -> usize {
        self.0.chunks_done
    }
    /// Tokens embedded so far.
    #[getter]
    fn tokens(&self) -> u64 {
        self.0.tokens
    }
    /// US dollars for the embeddings so far, or None.
    #[getter]
    fn cost(&self) -> Option<f64> {
        self.0.cost
    }
    /// Embedding requests so far that were sent again because they had failed.
    #[getter]
    fn retries(&self) -> u64 {
        self.0.retries
    }
    /// Since the ingest began.
    #[getter]
    fn seconds(&self) -> f64 {
        self.0.seconds
    }
    /// Documents settled a second, over the last ten seconds.
    #[getter]
    fn documents_per_second(&self) -> f64 {
        self.0.documents_per_second
    }
    /// Chunks embedded a second, over the last ten seconds.
    #[getter]
    fn chunks_per_second(&self) -> f64 {
        self.0.chunks_per_second
    }
    /// Seconds to go, or None while nobody can know.
    #[getter]
    fn eta_seconds(&self) -> Option<f64> {
        self.0.eta_seconds
    }
    /// Whether this is the last report.
    #[getter]
    fn finished(&self) -> bool {
        self.0.finished
    }
    fn __repr__(&self) -> String {
        let Progress { documents_total, documents_done, documents_failed, chunks_done, .. } =
            self.0;
        format!(
            "IngestProgress(documents={documents_done}/{documents_total}, \
             failed={documents_failed}, chunks={chunks_done}, retries={}, seconds={:.3})",
            self.0.retries, self.0.seconds
        )
    }
}

/// What an ingest did.
#[pyclass(name = "IngestReport", module = "graphbit", frozen, eq)]
#[derive(Clone, PartialEq)]
pub(in crate::python) struct PyIngestReport(pub(super) IngestReport);

#[pymethods]
impl PyIngestReport {
    /// Documents without an error, unchanged ones among them.
    #[getter]
    fn documents(&self) -> usize {
        self.0.documents
    }
    /// Documents that the store had already, as they are now.
    #[getter]
    fn unchanged(&self) -> usize {
        self.0.unchanged
    }
    /// Documents deleted because they are gone.
    #[getter]
    fn deleted(&self) -> usize {
        self.0.deleted
    }
    /// Chunks stored by this ingest.
    #[getter]
    fn chunks(&self) -> usize {
        self.0.chunks
    }
    /// Tokens embedded.
    #[getter]
    fn tokens(&self) -> u64 {
        self.0.tokens
    }
    /// US dollars for the embeddings, or None when a price or a count of tokens is missing.
    #[getter]
    fn cost(&self) -> Option<f64> {
        self.0.cost
    }
    /// Embedding requests that were sent again because they had failed.
    #[getter]
    fn retries(&self) -> u64 {
        self.0.retries
    }
    /// One DocumentOutcome a document, in the order given.
    #[getter]
    fn outcomes(&self) -> Vec<PyDocumentOutcome> {
        self.0.outcomes.iter().cloned().map(PyDocumentOutcome).collect()
    }
    /// The outcomes with an error.
    #[getter]
    fn failed(&self) -> Vec<PyDocumentOutcome> {
        let failed = self.0.outcomes.iter().filter(|outcome| outcome.error.is_some());
        failed.cloned().map(PyDocumentOutcome).collect()
    }
    /// Seconds each stage was busy, by name; stages overlap. "wall" is the whole time.
    #[getter]
    fn seconds<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let seconds = self.0.seconds;
        let values = PyDict::new(py);
        values.set_item("load", seconds.load)?;
        values.set_item("split", seconds.split)?;
        values.set_item("embed", seconds.embed)?;
        values.set_item("store", seconds.store)?;
        values.set_item("wall", seconds.wall)?;
        Ok(values)
    }
    fn __repr__(&self) -> String {
        let IngestReport {
            documents,
            unchanged,
            deleted,
            chunks,
            tokens,
            retries,
            outcomes,
            seconds,
            ..
        } = &self.0;
        let failed = outcomes.len() - documents;
        format!(
            "IngestReport(documents={documents}, unchanged={unchanged}, failed={failed}, \
             deleted={deleted}, chunks={chunks}, tokens={tokens}, retries={retries}, \
             seconds={:.3})",
            seconds.wall
        )
    }
}

/// How it went for one document.
#[pyclass(name = "DocumentOutcome", module = "graphbit", frozen, eq)]
#[derive(Clone, PartialEq)]
pub(in crate::python) struct PyDocumentOutcome(pub(super) DocumentOutcome);

#[pymethods]
impl PyDocumentOutcome {
    /// The path or name given.
    #[getter]
    fn source(&self) -> &str {
        &self.0.source
    }
    /// Chunks the store holds of it.
    #[getter]
    fn chunks(&self) -> usize {
        self.0.chunks
    }
    /// Whether the store had it already, as it is now.
    #[getter]
    fn unchanged(&self) -> bool {
        self.0.unchanged
    }
    /// Why nothing of it was stored, or None.
    #[getter]
    fn error(&self) -> Option<&str> {
        self.0.error.as_deref()
    }
    /// Whether the store has it.
    #[getter]
    fn ok(&self) -> bool {
        self.0.error.is_none()
    }
    fn __repr__(&self) -> String {
        let DocumentOutcome { source, chunks, unchanged, error } = &self.0;
        match error {
            None if *unchanged => {
                format!("DocumentOutcome(source={source:?}, chunks={chunks}, unchanged=True)")
            }
            None => format!("DocumentOutcome(source={source:?}, chunks={chunks})"),
            Some(error) => format!("DocumentOutcome(source={source:?}, error={error:?})"),
        }
    }
}
