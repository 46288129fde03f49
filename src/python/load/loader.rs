//! `DocumentLoader`: each verb is one future of the core; parsing never holds the interpreter.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::config::DocumentLoaderConfig;
use super::content::DocumentContent;
use super::isolation::isolation;
use super::many::{Batch, DocumentIterator};
use super::place;
use crate::load::{Format, Loader, LoaderSettings, check_source};
use crate::python::bridge;

/// Loads documents.
#[pyclass(frozen, module = "graphbit")]
pub(in crate::python) struct DocumentLoader {
    loader: Loader,
}

impl DocumentLoader {
    /// The core's, with `full` as this call wants it.
    fn core(&self, full: Option<bool>) -> Loader {
        match full {
            Some(full) if full != self.loader.settings().full => {
                self.loader.with_settings(LoaderSettings { full, ..self.loader.settings().clone() })
            }
            _ => self.loader.clone(),
        }
    }
}

#[pymethods]
impl DocumentLoader {
    #[new]
    #[pyo3(signature = (config=None))]
    fn new(py: Python<'_>, config: Option<&DocumentLoaderConfig>) -> Self {
        let settings = config.map(DocumentLoaderConfig::settings).unwrap_or_default();
        Self { loader: Loader::new(settings).with_isolation(isolation(py)) }
    }

    #[staticmethod]
    fn supported_types() -> Vec<&'static str> {
        Format::ALL.map(Format::as_str).to_vec()
    }

    #[staticmethod]
    fn detect_document_type(file_path: &Bound<'_, PyAny>) -> PyResult<Option<&'static str>> {
        let path = place("file_path", file_path)?.shown();
        Ok(Format::of_path(&path).map(Format::as_str))
    }

    #[staticmethod]
    fn validate_document_source(
        source_path: &Bound<'_, PyAny>,
        document_type: &str,
    ) -> PyResult<()> {
        let place = place("source_path", source_path)?;
        // A file system may take its time.
        bridge::detach(source_path.py(), || check_source(&place, document_type))
    }

    #[pyo3(signature = (source_path, document_type, *, full=None))]
    fn load_document(
        &self,
        source_path: &Bound<'_, PyAny>,
        document_type: String,
        full: Option<bool>,
    ) -> PyResult<DocumentContent> {
        let py = source_path.py();
        let (loader, place) = (self.core(full), place("source_path", source_path)?);
        let loaded = bridge::block_on(py, async move { loader.load(place, &document_type).await })?;
        Ok(DocumentContent::new(py, loaded))
    }

    #[pyo3(signature = (source_path, document_type, *, full=None))]
    fn load_document_async<'py>(
        &self,
        source_path: &Bound<'py, PyAny>,
        document_type: String,
        full: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (loader, place) = (self.core(full), place("source_path", source_path)?);
        bridge::future_into_py(
            source_path.py(),
            async move { loader.load(place, &document_type).await },
            |py, loaded| Ok(Py::new(py, DocumentContent::new(py, loaded))?.into_any()),
        )
    }

    #[pyo3(signature = (paths, document_type=None, max_workers=None, *, full=None))]
    fn load_many<'py>(
        &self,
        paths: &Bound<'py, PyAny>,
        document_type: Option<&str>,
        max_workers: Option<usize>,
        full: Option<bool>,
    ) -> PyResult<Bound<'py, PyList>> {
        Batch::new(self.core(full), paths, document_type, max_workers)?.block(paths.py())
    }

    #[pyo3(signature = (paths, document_type=None, max_workers=None, *, full=None))]
    fn load_many_async<'py>(
        &self,
        paths: &Bound<'py, PyAny>,
        document_type: Option<&str>,
        max_workers: Option<usize>,
        full: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Batch::new(self.core(full), paths, document_type, max_workers)?.start(paths.py())
    }

    #[pyo3(signature = (paths, document_type=None, max_workers=None, *, full=None))]
    fn load_iter(
        &self,
        paths: &Bound<'_, PyAny>,
        document_type: Option<&str>,
        max_workers: Option<usize>,
        full: Option<bool>,
    ) -> PyResult<DocumentIterator> {
        DocumentIterator::new(self.core(full), paths, document_type, max_workers)
    }

    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let config = DocumentLoaderConfig::of(self.loader.settings().clone());
        Ok((py.get_type::<Self>().into_any(), PyTuple::new(py, [Bound::new(py, config)?])?))
    }

    fn __repr__(&self) -> String {
        format!("DocumentLoader(supported_types={:?})", Self::supported_types())
    }
}
