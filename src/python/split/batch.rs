//! Splitting as Python calls it: the text stays where Python holds it, its UTF-8 form is borrowed
//! without the interpreter, and the chunks come back as lists.

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyList, PyString};

use super::chunk::TextChunk;
use crate::python::bridge;
use crate::split::{self, Chunk, Content, Source, Split};

/// Chunks made between two looks whether another thread wants the interpreter.
const BREATH: usize = 4096;

fn to_list<'py>(
    source: &Bound<'py, PyString>,
    chunks: Vec<Chunk<Content>>,
    with_metadata: bool,
) -> PyResult<Bound<'py, PyList>> {
    let py = source.py();
    let mut made = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        if made.len() % BREATH == BREATH - 1 {
            bridge::breathe(py);
        }
        let source = source.clone().unbind();
        made.push(Bound::new(py, TextChunk { source, chunk, with_metadata })?);
    }
    // At once: a list with holes in it must not be seen by anybody.
    PyList::new(py, made)
}

/// The text as the core takes it. Python knows the length in code points.
fn view<'text>(
    text: &Bound<'_, PyString>,
    borrowed: &'text PyBackedStr,
) -> PyResult<Source<'text>> {
    Ok(Source::with_length(borrowed, text.len()?))
}

pub(super) fn split_text<'py>(
    splitter: &impl Split,
    text: &Bound<'py, PyString>,
    with_metadata: bool,
) -> PyResult<Bound<'py, PyList>> {
    let borrowed = PyBackedStr::try_from(text.clone())?;
    let view = view(text, &borrowed)?;
    let chunks = bridge::detach(text.py(), || Ok(splitter.places(view)))?;
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
    let views: Vec<Source<'_>> = texts
        .iter()
        .zip(&borrowed)
        .map(|(text, borrowed)| view(text, borrowed))
        .collect::<PyResult<_>>()?;
    let results = bridge::detach(py, || Ok(split::split_texts(splitter, &views)))?;
    let lists = PyList::empty(py);
    for (text, chunks) in texts.iter().zip(results) {
        lists.append(to_list(text, chunks, with_metadata)?)?;
    }
    Ok(lists)
}
