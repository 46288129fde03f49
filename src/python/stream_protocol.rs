//! What every stream can do beside its items: `async for`, `with` and `async with`.

use std::future::Future;

use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;

use super::bridge;
use crate::error::Result;

/// An awaitable of the next item; the end is a `StopAsyncIteration`.
pub(super) fn awaited<'py, T, F, C>(
    py: Python<'py>,
    next: F,
    convert: C,
) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    F: Future<Output = Result<Option<T>>> + Send + 'static,
    C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
{
    bridge::future_into_py(py, next, |py, item| match item {
        Some(item) => convert(py, item),
        None => Err(PyStopAsyncIteration::new_err(())),
    })
}

/// An awaitable of something that is there already.
pub(super) fn at_once<'py>(py: Python<'py>, value: Py<PyAny>) -> PyResult<Bound<'py, PyAny>> {
    bridge::future_into_py(py, std::future::ready(Ok(value)), |_, value| Ok(value))
}

/// The methods of a stream's class: its own, among them `close`, and those that all streams share. PyO3 takes
/// one block of methods a class, so they cannot stand in a trait or a block of their own.
macro_rules! stream_methods {
    ($class:ident { $($own:tt)* }) => {
        #[pymethods]
        impl $class {
            $($own)*

            fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
                slf
            }

            fn __aiter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
                slf
            }

            fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
                slf
            }

            #[pyo3(signature = (exc_type=None, exc_val=None, exc_tb=None))]
            fn __exit__(
                &self,
                exc_type: Option<&Bound<'_, PyAny>>,
                exc_val: Option<&Bound<'_, PyAny>>,
                exc_tb: Option<&Bound<'_, PyAny>>,
            ) {
                let _ = (exc_type, exc_val, exc_tb);
                self.close();
            }

            fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
                $crate::python::stream_protocol::at_once(slf.py(), slf.clone().into_any().unbind())
            }

            #[pyo3(signature = (exc_type=None, exc_val=None, exc_tb=None))]
            fn __aexit__<'py>(
                &self,
                py: Python<'py>,
                exc_type: Option<&Bound<'_, PyAny>>,
                exc_val: Option<&Bound<'_, PyAny>>,
                exc_tb: Option<&Bound<'_, PyAny>>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let _ = (exc_type, exc_val, exc_tb);
                self.close();
                $crate::python::stream_protocol::at_once(py, py.None())
            }
        }
    };
}

pub(super) use stream_methods;
