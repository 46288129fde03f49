//! Finding and reading files for the command line, by the rules of a pipeline's ingest.

use std::path::PathBuf;

use pyo3::prelude::*;

use super::isolation::isolation;
use crate::load::{Place, find};
use crate::python::bridge;
use crate::python::given::GivenPath;
use crate::rag;

/// The files that a path, a folder or a pattern stands for, without those in one folder.
#[pyfunction]
#[pyo3(name = "_find_documents", signature = (path, without=None))]
pub(in crate::python) fn find_documents(
    py: Python<'_>,
    path: GivenPath,
    without: Option<GivenPath>,
) -> PyResult<Vec<PathBuf>> {
    bridge::detach(py, move || {
        let without = without.as_ref().map(|folder| folder.0.as_path());
        Ok(find(&path.0, without)?.files)
    })
}

/// The text of a file, as an ingest takes it.
#[pyfunction]
#[pyo3(name = "_read_document")]
pub(in crate::python) fn read_document(py: Python<'_>, path: GivenPath) -> PyResult<String> {
    let loader = rag::loader().with_isolation(isolation(py));
    let work = async move { loader.load_found(Place::Path(path.0)).await };
    Ok(bridge::block_on(py, work)?.content)
}
