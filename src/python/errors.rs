//! One table from [`Kind`] to a Python class, applied in one place.
//!
//! The classes are ordinary Python (`graphbit/exceptions.py`), so that they pickle and carry fields;
//! this file looks them up by the kind's word. An exception that a user's callback raised is handed
//! back as it was; one that has been given words of ours ([`Cause`]) becomes the new one's cause.

use std::fmt;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::exit;
use crate::error::{Error, Kind};

/// The Python exception for an error of the core.
pub(super) fn to_py_err(mut error: Error) -> PyErr {
    let mut cause = None;
    if let Some(source) = error.take_source() {
        match source.downcast::<PyErr>() {
            Ok(raised) if error.kind() == Kind::Callback => return *raised,
            Ok(_) => {}
            Err(source) => cause = source.downcast::<Cause>().ok(),
        }
    }
    Python::attach(|py| {
        let raised = build(py, &error).unwrap_or_else(|failed| failed);
        if let Some(cause) = cause {
            raised.set_cause(py, Some(cause.0));
        }
        raised
    })
}

/// The source of an error that is to be raised from it, as `raise ... from` does.
#[derive(Debug)]
pub(super) struct Cause(pub(super) PyErr);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        to_py_err(error)
    }
}

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    static CLASSES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let classes = exit::inside(py, || CLASSES.import(py, "graphbit.exceptions", "BY_KIND"))?;
    let fields = PyDict::new(py);
    fields.set_item("kind", error.kind().as_str())?;
    fields.set_item("provider", error.provider())?;
    fields.set_item("model", error.model())?;
    fields.set_item("operation", error.operation())?;
    fields.set_item("attempts", error.attempts())?;
    fields.set_item("status_code", error.status())?;
    fields.set_item("request_id", error.request_id())?;
    fields.set_item("retry_after", error.retry_after().map(|wait| wait.as_secs_f64()))?;
    let class = classes.get_item(error.kind().as_str())?;
    let value =
        exit::inside(py, || class.call((error.message(),), Some(&fields))).map_err(|cause| {
            let plain = PyRuntimeError::new_err(error.message().to_owned());
            plain.set_cause(py, Some(cause));
            plain
        })?;
    Ok(PyErr::from_value(value))
}

/// Wraps what a user's callable raised, keeping the exception itself as the source.
pub(super) fn callback_error(py: Python<'_>, raised: PyErr) -> Error {
    let name =
        raised.get_type(py).name().map_or_else(|_| "Exception".to_owned(), |n| n.to_string());
    let text = raised.value(py).str().map_or_else(|_| String::new(), |text| text.to_string());
    Error::new(Kind::Callback, format!("{name}: {text}")).with_source(raised)
}
