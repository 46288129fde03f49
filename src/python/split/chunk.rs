//! `TextChunk`: a piece of a text that keeps the string and two offsets, so that content is made only
//! when it is read.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::python::cpython::substring;
use crate::split::{Chunk, Content, Count, Packed};

/// Bytes of a content in several pieces from which on Python joins faster than it decodes UTF-8.
const WORTH_JOINING: usize = 300;

/// A piece of a text and its place there.
#[pyclass(frozen, module = "graphbit")]
pub(in crate::python) struct TextChunk {
    source: Py<PyString>,
    place: Packed,
    with_metadata: bool,
}

impl TextChunk {
    pub(super) const fn new(source: Py<PyString>, place: Packed, with_metadata: bool) -> Self {
        Self { source, place, with_metadata }
    }

    fn chunk(&self) -> Cow<'_, Chunk<Content>> {
        self.place.chunk()
    }

    fn text<'chunk>(&'chunk self, py: Python<'chunk>) -> PyResult<Cow<'chunk, str>> {
        Ok(self.chunk().read(self.source.to_str(py)?))
    }

    /// The content, made of these parts of the source, which follow each other in it.
    fn joined<'py>(
        &self,
        py: Python<'py>,
        chunk: &Chunk<Content>,
        parts: impl Iterator<Item = Range<usize>>,
    ) -> PyResult<Bound<'py, PyString>> {
        let text = self.source.to_str(py)?;
        let count = |range: Range<usize>| text.get(range).unwrap_or_default().chars().count();
        let list = PyList::empty(py);
        let (mut at, mut at_char) = (chunk.start_byte, chunk.start_char);
        for part in parts {
            let first = at_char + count(at..part.start);
            (at, at_char) = (part.end, first + count(part));
            list.append(substring(self.source.bind(py), first..at_char)?)?;
        }
        Ok(intern!(py, "").call_method1(intern!(py, "join"), (list,))?.cast_into()?)
    }
}

#[pymethods]
impl TextChunk {
    /// The text of the chunk.
    #[getter]
    fn content<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        if let Some(slice) = self.place.slice() {
            return substring(self.source.bind(py), slice);
        }
        let chunk = self.chunk();
        let (bytes, chars) = (chunk.end_byte - chunk.start_byte, chunk.end_char - chunk.start_char);
        // Python copies what it has faster than it decodes UTF-8, except for short pieces and ASCII.
        let worth_joining = bytes != chars && bytes > WORTH_JOINING;
        match &chunk.content {
            Content::Joined(parts) if worth_joining => {
                self.joined(py, &chunk, parts.iter().cloned())
            }
            Content::Edges { head, tail } if worth_joining => {
                self.joined(py, &chunk, chunk.edges(*head, *tail).into_iter())
            }
            _ => Ok(PyString::new(py, &chunk.read(self.source.to_str(py)?))),
        }
    }

    /// First byte in the UTF-8 form of the source, as GraphBit counts.
    #[getter]
    fn start_index(&self) -> usize {
        self.chunk().start_index
    }

    /// One past the last byte in the UTF-8 form of the source, as GraphBit counts.
    #[getter]
    fn end_index(&self) -> usize {
        self.chunk().end_index
    }

    /// First byte of the content in the UTF-8 form of the source.
    #[getter]
    fn start_byte(&self) -> usize {
        self.chunk().start_byte
    }

    /// One past the last byte of the content in the UTF-8 form of the source.
    #[getter]
    fn end_byte(&self) -> usize {
        self.chunk().end_byte
    }

    /// `text[start_char:end_char]` is the content whenever the content is a slice of the text.
    #[getter]
    fn start_char(&self) -> usize {
        self.chunk().start_char
    }

    /// See `start_char`.
    #[getter]
    fn end_char(&self) -> usize {
        self.chunk().end_char
    }

    /// Position in the result.
    #[getter]
    fn chunk_index(&self) -> usize {
        self.chunk().chunk_index
    }

    /// `length` in code points, `token_count` or `sentence_count`, `headings`; all of them strings.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let metadata = PyDict::new(py);
        if !self.with_metadata {
            return Ok(metadata);
        }
        let chunk = self.chunk();
        let length = match self.place.slice() {
            Some(slice) => slice.len(),
            None => self.text(py)?.chars().count(),
        };
        metadata.set_item("length", length.to_string())?;
        match chunk.count {
            Some(Count::Tokens(count)) => metadata.set_item("token_count", count.to_string())?,
            Some(Count::Sentences(count)) => {
                metadata.set_item("sentence_count", count.to_string())?;
            }
            None => {}
        }
        if let Some(headings) = &chunk.headings {
            metadata.set_item("headings", &**headings)?;
        }
        Ok(metadata)
    }

    fn __str__(&self, py: Python<'_>) -> PyResult<String> {
        let Chunk { chunk_index, start_index, end_index, .. } = *self.chunk();
        let length = self.text(py)?.len();
        Ok(format!(
            "TextChunk(index={chunk_index}, start={start_index}, end={end_index}, length={length})"
        ))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let Chunk { chunk_index, start_index, end_index, .. } = *self.chunk();
        let head: String = self.text(py)?.chars().take(50).collect();
        Ok(format!(
            "TextChunk(content='{head}...', index={chunk_index}, start={start_index}, end={end_index})"
        ))
    }

    fn __eq__(&self, other: &Self, py: Python<'_>) -> PyResult<bool> {
        let place = |one: &Self| one.chunk().into_owned().map(|_| ());
        Ok(place(self) == place(other)
            && self.with_metadata == other.with_metadata
            && self.text(py)? == other.text(py)?)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<u64> {
        let mut hasher = DefaultHasher::new();
        let Chunk { start_index, chunk_index, .. } = *self.chunk();
        (start_index, chunk_index, self.text(py)?).hash(&mut hasher);
        Ok(hasher.finish())
    }
}
