//! What callers give, read on their own threads: lists, iterables, paths, and modules imported on the way.
//!
//! Such reading runs Python code within our frames: a generator's body, a sequence's `__getitem__`, a first import.
//! The caller may be a daemon thread, which CPython would end in there; so all of it goes through
//! [`exit::inside`]. It refuses to let an iterable without end hold up the exit: between two items a thread
//! that came too late stays where it is.

use std::path::PathBuf;

use pyo3::Borrowed;
use pyo3::conversion::FromPyObjectOwned;
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PySequence, PyString, PyTuple};

use super::exit;

/// The items of an iterable.
pub(super) struct Items<'py> {
    iterator: Bound<'py, PyIterator>,
    /// A list or a tuple gives its items without a line of Python.
    plain: bool,
}

impl<'py> Items<'py> {
    pub(super) fn of(given: &Bound<'py, PyAny>) -> PyResult<Self> {
        let plain =
            given.is_exact_instance_of::<PyList>() || given.is_exact_instance_of::<PyTuple>();
        let iterator = exit::inside(given.py(), || given.try_iter())?;
        Ok(Self { iterator, plain })
    }

    /// The iterator itself, for [`draw`].
    pub(super) fn unbind(self) -> Py<PyIterator> {
        self.iterator.unbind()
    }
}

impl<'py> Iterator for Items<'py> {
    type Item = PyResult<Bound<'py, PyAny>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.plain { self.iterator.next() } else { draw(&mut self.iterator) }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // Others are asked for it by a method, which may be anybody's.
        if self.plain { self.iterator.size_hint() } else { (0, None) }
    }
}

/// The next item of an iterator.
pub(super) fn draw<'py>(
    iterator: &mut Bound<'py, PyIterator>,
) -> Option<PyResult<Bound<'py, PyAny>>> {
    let py = iterator.py();
    exit::pause(py);
    exit::inside(py, || iterator.next())
}

/// Items for which room is made before they are seen: a sequence may say any length of itself.
const ROOM: usize = 1 << 16;

/// An argument that is a sequence, by the rules of `Vec`.
pub(super) struct Listed<T>(pub(super) Vec<T>);

impl<'py, T> FromPyObject<'_, 'py> for Listed<T>
where
    T: FromPyObjectOwned<'py>,
{
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        exit::inside(given.py(), || {
            if given.is_instance_of::<PyString>() || given.cast::<PySequence>().is_err() {
                // In the words that say what it is instead.
                return given.extract().map(Self);
            }
            let mut items = Vec::with_capacity(given.len().unwrap_or_default().min(ROOM));
            for item in given.try_iter()? {
                // A thread that came too late stays here.
                exit::pause(given.py());
                items.push(item?.extract::<T>().map_err(Into::into)?);
            }
            Ok(Self(items))
        })
    }
}

/// An argument that is a path, and may be an object that has to be asked for it.
pub(super) struct GivenPath(pub(super) PathBuf);

impl FromPyObject<'_, '_> for GivenPath {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        exit::inside(given.py(), || given.extract()).map(Self)
    }
}

/// A module, which is imported when it is not there yet.
pub(super) fn import<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyModule>> {
    exit::inside(py, || py.import(name))
}
