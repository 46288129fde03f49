//! `TextChunk`: a piece of a text that keeps the string and two offsets, so that content is made only
//! when it is read.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::python::cpython::substring;
use crate::split::{Chunk, Content, Count};

/// Bytes of a content in several pieces from which on Python joins faster than it decodes UTF-8.
const WORTH_JOINING: usize = 300;

/// A piece of a text and its place there.
#[pyclass(frozen, module = "graphbit")]
pub(in crate::python) struct TextChunk {
    pub(super) source: Py<PyString>,
    pub(super) chunk: Chunk<Content>,
    pub(super) with_metadata: bool,
}

impl TextChunk {
    fn text<'chunk>(&'chunk self, py: Python<'_>) -> PyResult<Cow<'chunk, str>> {
        Ok(self.chunk.read(self.source.to_str(py)?))
    }
}

#[pymethods]
impl TextChunk {
    /// The text of the chunk.
    #[getter]
    fn content<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        let Chunk { content, start_byte, end_byte, start_char, end_char, .. } = &self.chunk;
        let (bytes, chars) = (end_byte - start_byte, end_char - start_char);
        match content {
            Content::Slice => substring(self.source.bind(py), *start_char, *end_char),
            Content::Joined(pieces) if bytes != chars && bytes > WORTH_JOINING => {
                let text = self.source.to_str(py)?;
                let count =
                    |range: Range<usize>| text.get(range).unwrap_or_default().chars().count();
                let parts = PyList::empty(py);
                let (mut at, mut at_char) = (*start_byte, *start_char);
                for piece in pieces {
                    let first = at_char + count(at..piece.start);
                    (at, at_char) = (piece.end, first + count(piece.clone()));
                    parts.append(substring(self.source.bind(py), first, at_char)?)?;
                }
                let joined = intern!(py, "").call_method1(intern!(py, "join"), (parts,))?;
                Ok(joined.cast_into()?)
            }
            _ => Ok(PyString::new(py, &self.text(py)?)),
        }
    }

    /// First byte in the UTF-8 form of the source, as GraphBit counts.
    #[getter]
    fn start_index(&self) -> usize {
        self.chunk.start_index
    }

    /// One past the last byte in the UTF-8 form of the source, as GraphBit counts.
    #[getter]
    fn end_index(&self) -> usize {
        self.chunk.end_index
    }

    /// First byte of the content in the UTF-8 form of the source.
    #[getter]
    fn start_byte(&self) -> usize {
        self.chunk.start_byte
    }

    /// One past the last byte of the content in the UTF-8 form of the source.
    #[getter]
    fn end_byte(&self) -> usize {
        self.chunk.end_byte
    }

    /// `text[start_char:end_char]` is the content whenever the content is a slice of the text.
    #[getter]
    fn start_char(&self) -> usize {
        self.chunk.start_char
    }

    /// See `start_char`.
    #[getter]
    fn end_char(&self) -> usize {
        self.chunk.end_char
    }

    /// Position in the result.
    #[getter]
    fn chunk_index(&self) -> usize {
        self.chunk.chunk_index
    }

    /// `length` in code points, `token_count` or `sentence_count`, `headings`; all of them strings.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let metadata = PyDict::new(py);
        if !self.with_metadata {
            return Ok(metadata);
        }
        let length = match &self.chunk.content {
            Content::Slice => self.chunk.end_char - self.chunk.start_char,
            _ => self.text(py)?.chars().count(),
        };
        metadata.set_item("length", length.to_string())?;
        match self.chunk.count {
            Some(Count::Tokens(count)) => metadata.set_item("token_count", count.to_string())?,
            Some(Count::Sentences(count)) => {
                metadata.set_item("sentence_count", count.to_string())?;
            }
            None => {}
        }
        if let Some(headings) = &self.chunk.headings {
            metadata.set_item("headings", &**headings)?;
        }
        Ok(metadata)
    }

    fn __str__(&self, py: Python<'_>) -> PyResult<String> {
        let Chunk { chunk_index, start_index, end_index, .. } = &self.chunk;
        let length = self.text(py)?.len();
        Ok(format!(
            "TextChunk(index={chunk_index}, start={start_index}, end={end_index}, length={length})"
        ))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let Chunk { chunk_index, start_index, end_index, .. } = &self.chunk;
        let head: String = self.text(py)?.chars().take(50).collect();
        Ok(format!(
            "TextChunk(content='{head}...', index={chunk_index}, start={start_index}, end={end_index})"
        ))
    }

    fn __eq__(&self, other: &Self, py: Python<'_>) -> PyResult<bool> {
        let place = |chunk: &Chunk<Content>| chunk.clone().map(|_| ());
        Ok(place(&self.chunk) == place(&other.chunk)
            && self.with_metadata == other.with_metadata
            && self.text(py)? == other.text(py)?)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<u64> {
        let mut hasher = DefaultHasher::new();
        (self.chunk.start_index, self.chunk.chunk_index, self.text(py)?).hash(&mut hasher);
        Ok(hasher.finish())
    }
}
