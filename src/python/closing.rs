//! Python objects that must be closed however the work that uses them ends.

use pyo3::prelude::*;

use super::exit;
use crate::runtime;

/// An object with a `close()` that may be called twice. Dropped, it is closed.
pub(super) struct Closing(Option<Py<PyAny>>);

impl Closing {
    pub(super) const fn of(object: Option<Py<PyAny>>) -> Self {
        Self(object)
    }

    /// Closes it before anything else happens on this thread.
    pub(super) fn now(mut self, py: Python<'_>) {
        if let Some(object) = self.0.take() {
            exit::inside(py, || close(py, &object));
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let Some(object) = self.0.take() else { return };
        // Python never runs on a worker, and a worker may be what drops this.
        let closed = runtime::callback(move || {
            exit::attach(|py| close(py, &object));
            Ok(())
        });
        drop(closed);
    }
}

fn close(py: Python<'_>, object: &Py<PyAny>) {
    if let Err(error) = object.call_method0(py, "close") {
        error.write_unraisable(py, Some(object.bind(py)));
    }
}
