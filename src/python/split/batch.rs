//! Splitting as Python calls it: the text stays where Python holds it, its UTF-8 form is borrowed
//! without the interpreter, and the chunks come back as lists.

use std::borrow::Cow;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyList, PyString};

use super::chunk::TextChunk;
use crate::python::bridge;
use crate::split::{self, Chunk, Split};

/// Chunks made between two looks whether another thread wants the interpreter.
const BREATH: usize = 4096;

type Cut<'text> = Vec<Chunk<Cow<'text, str>>>;

fn to_list<'py>(
    source: &Bound<'py, PyString>,
    chunks: Cut<'_>,
    with_metadata: bool,
) -> PyResult<Bound<'py, PyList>> {
    let py = source.py();
    let list = PyList::empty(py);
    for (number, chunk) in chunks.into_iter().enumerate() {
        if number % BREATH == BREATH - 1 {
            bridge::breathe(py);
        }
        let chunk = chunk.map(|content| match content {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text.into_boxed_str()),
        });
        list.append(TextChunk { source: source.clone().unbind(), chunk, with_metadata })?;
    }
    Ok(list)
}

pub(super) fn split_text<'py>(
    splitter: &impl Split,
    text: &Bound<'py, PyString>,
    with_metadata: bool,
) -> PyResult<Bound<'py, PyList>> {
    let borrowed = PyBackedStr::try_from(text.clone())?;
    let chunks = bridge::detach(text.py(), || Ok(splitter.cut(&borrowed)))?;
    to_list(text, chunks, with_metadata)
}

pub(super) fn split_texts<'py>(
    py: Python<'py>,
    splitter: &impl Split,
    texts: &[Bound<'py, PyString>],
    with_metadata: bool,
) -> PyResult<Bound<'py, PyList>> {
    let borrowed: Vec<PyBackedStr> =
        texts.iter().cloned().map(PyBackedStr::try_from).collect::<PyResult<_>>()?;
    let views: Vec<&str> = borrowed.iter().map(|text| &**text).collect();
    let results = bridge::detach(py, || Ok(split::split_texts(splitter, &views)))?;
    let lists = PyList::empty(py);
    for (text, chunks) in texts.iter().zip(results) {
        lists.append(to_list(text, chunks, with_metadata)?)?;
    }
    Ok(lists)
}
