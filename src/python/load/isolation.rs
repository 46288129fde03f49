//! The processes in which documents are read that may end them: this interpreter once more, with nothing
//! but this module in it.

use std::ffi::OsString;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::load::{Isolation, isolate};

/// Imports the module and nothing around it: what a user's `site` does is no business of a reader.
const PROGRAM: &str = "from graphbit._graphbit import _read_documents; _read_documents()";

/// How to start one; `None` in an interpreter that does not know its own program.
pub(in crate::python) fn isolation(py: Python<'_>) -> Option<Arc<Isolation>> {
    static ISOLATION: PyOnceLock<Option<Arc<Isolation>>> = PyOnceLock::new();
    ISOLATION.get_or_init(py, || find(py).ok().flatten()).clone()
}

fn find(py: Python<'_>) -> PyResult<Option<Arc<Isolation>>> {
    let sys = py.import("sys")?;
    let program: Option<String> = sys.getattr("executable")?.extract()?;
    let Some(program) = program.filter(|program| !program.is_empty()) else { return Ok(None) };
    // The way on which this process found us, so that it finds the same.
    let path = sys.getattr("path")?.repr()?.to_string();
    let code = format!("import sys; sys.path[:] = {path}; {PROGRAM}");
    let arguments = ["-S", "-c", &code].map(OsString::from);
    Ok(Some(Arc::new(Isolation::new(program, arguments))))
}

/// Reads documents from standard input until nobody asks any more.
#[pyfunction]
#[pyo3(name = "_read_documents")]
pub(in crate::python) fn read_documents(py: Python<'_>) -> PyResult<()> {
    py.detach(|| isolate::serve(std::io::stdin(), &mut std::io::stdout()))?;
    Ok(())
}
