//! Finding and reading files for the command line, by the rules of a pipeline's ingest.

use std::path::PathBuf;

use pyo3::prelude::*;

use super::isolation::isolation;
use crate::load::{Place, find};
use crate::python::bridge;
use crate::rag;

/// The files that a path, a folder or a pattern stands for, without those in one folder.
#[pyfunction]
#[pyo3(name = "_find_documents", signature = (path, without=None))]
pub(in crate::python) fn find_documents(
    py: Python<'_>,
    path: PathBuf,
    without: Option<PathBuf>,
) -> PyResult<Vec<PathBuf>> {
    bridge::detach(py, move || Ok(find(&path, without.as_deref())?.files))
}

/// The text of a file, as an ingest takes it.
#[pyfunction]
#[pyo3(name = "_read_document")]
pub(in crate::python) fn read_document(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    let loader = rag::loader().with_isolation(isolation(py));
    let work = async move { loader.load_found(Place::Path(path)).await };
    Ok(bridge::block_on(py, work)?.content)
}
