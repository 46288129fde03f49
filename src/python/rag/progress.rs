//! Who is told how far an ingest is: the user's callback, and the bar on the screen.

use std::sync::Arc;

use pyo3::prelude::*;

use super::report::PyIngestProgress;
use crate::python::closing::Closing;
use crate::python::documents::wrong_type;
use crate::python::exit;
use crate::rag::{OnProgress, Progress};

/// The user's callback, when it can be one.
pub(super) fn callback(given: Option<Bound<'_, PyAny>>) -> PyResult<Option<Py<PyAny>>> {
    match given {
        Some(given) if !given.is_callable() => Err(wrong_type("on_progress", "callable", &given)),
        given => Ok(given.map(Bound::unbind)),
    }
}

/// The callback and a bar as one, and what takes the bar down: an ingest that fails sends it no last word.
pub(super) fn with_bar(
    py: Python<'_>,
    callback: Option<Py<PyAny>>,
    shown: Option<bool>,
) -> PyResult<(Option<OnProgress>, Closing)> {
    let mut callbacks: Vec<_> = callback.into_iter().collect();
    let mut drawn = None;
    if shown.unwrap_or(true) {
        let make = || py.import("graphbit._progress")?.call_method0("bar");
        let bar = exit::inside(py, make)?;
        if !bar.is_none() {
            drawn = Some(bar.clone().unbind());
            callbacks.push(bar.unbind());
        }
    }
    let told = (!callbacks.is_empty()).then(|| tell(callbacks));
    Ok((told, Closing::of(drawn)))
}

/// Calls each of them, whatever the others raise.
pub(super) fn tell(callbacks: Vec<Py<PyAny>>) -> OnProgress {
    Arc::new(move |progress: Progress| {
        exit::attach(|py| {
            for callback in &callbacks {
                // Nobody waits for this call who could be told; Python's hook for that case is.
                if let Err(error) = callback.call1(py, (PyIngestProgress(progress),)) {
                    error.write_unraisable(py, Some(callback.bind(py)));
                }
            }
        });
    })
}
