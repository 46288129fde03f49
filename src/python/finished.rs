//! Finished work on what interrupts a call: `.results` of the exception, or of the cancelled future.
//!
//! A call for many things may be cut short by its own failure, by a signal's handler that raises (Ctrl-C,
//! an alarm) or by asyncio. What was finished by then has been paid for, so it is converted and handed over
//! first. It refuses to hold a determined user up: a second signal during the conversion wins, and the
//! results are gone.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::bridge::Slices;

/// Converts without losing anything to the first signal that comes meanwhile.
pub(super) struct Conversion {
    slices: Slices,
    /// Of a call that was cut short, or by the first signal since.
    raised: Option<PyErr>,
}

impl Conversion {
    /// The conversion of a call that went well, or of one that `raised` cut short.
    pub(super) fn new(raised: Option<PyErr>) -> Self {
        Self { slices: Slices::new(), raised }
    }

    /// To be called now and then: lets other threads run when it is time.
    pub(super) fn breathe(&mut self, py: Python<'_>) -> PyResult<()> {
        match self.slices.breathe(py) {
            Err(raised) if self.raised.is_none() => {
                self.raised = Some(raised);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// One item for each of `items`.
    pub(super) fn list<'py, T>(
        &mut self,
        py: Python<'py>,
        items: impl IntoIterator<Item = T>,
        mut convert: impl FnMut(T) -> PyResult<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for item in items {
            list.append(convert(item)?)?;
            self.breathe(py)?;
        }
        Ok(list)
    }

    /// Nothing when all went well. Else raises what did not, with `results`.
    pub(super) fn end(self, results: &Bound<'_, PyAny>) -> PyResult<()> {
        // A signal of the last moment would be raised when the call has returned, and take them along.
        let ended = self.raised.map_or_else(|| results.py().check_signals(), Err);
        ended.map_err(|raised| with_results(raised, results))
    }
}

/// The exception with what was finished. One that refuses attributes goes without.
pub(super) fn with_results(raised: PyErr, results: &Bound<'_, PyAny>) -> PyErr {
    let _ = raised.value(results.py()).setattr("results", results);
    raised
}
