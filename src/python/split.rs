//! The splitters, `TextSplitterConfig` and `TextChunk`.
//!
//! The text stays where Python holds it: splitting borrows its UTF-8 form without the interpreter,
//! and a chunk keeps the string and two offsets, so that content is made only when it is read.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyDict, PyList, PyString};

use super::bridge;
use crate::split::{self, Chunk, Count, Split, Strategy};

/// Chunks made between two looks whether another thread wants the interpreter.
const BREATH: usize = 4096;

/// A piece of a text and its place there.
#[pyclass(frozen, module = "graphbit")]
pub(super) struct TextChunk {
    source: Py<PyString>,
    /// The content where it is not a slice of the source.
    chunk: Chunk<Option<Box<str>>>,
    with_metadata: bool,
}

impl TextChunk {
    fn text<'chunk>(&'chunk self, py: Python<'_>) -> PyResult<&'chunk str> {
        match &self.chunk.content {
            Some(text) => Ok(text),
            None => {
                let span = self.chunk.start_byte..self.chunk.end_byte;
                Ok(self.source.to_str(py)?.get(span).unwrap_or_default())
            }
        }
    }
}

#[pymethods]
impl TextChunk {
    /// The text of the chunk.
    #[getter]
    fn content<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        Ok(PyString::new(py, self.text(py)?))
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

    /// `length` in code points, and `token_count` or `sentence_count`; all of them strings.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let metadata = PyDict::new(py);
        if !self.with_metadata {
            return Ok(metadata);
        }
        let length = match &self.chunk.content {
            Some(text) => text.chars().count(),
            None => self.chunk.end_char - self.chunk.start_char,
        };
        metadata.set_item("length", length.to_string())?;
        match self.chunk.count {
            Some(Count::Tokens(count)) => metadata.set_item("token_count", count.to_string())?,
            Some(Count::Sentences(count)) => {
                metadata.set_item("sentence_count", count.to_string())?;
            }
            None => {}
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
        let place = |chunk: &Chunk<Option<Box<str>>>| chunk.clone().map(|_| ());
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

fn split_text<'py>(
    splitter: &impl Split,
    text: &Bound<'py, PyString>,
    with_metadata: bool,
) -> PyResult<Bound<'py, PyList>> {
    let borrowed = PyBackedStr::try_from(text.clone())?;
    let chunks = bridge::detach(text.py(), || Ok(splitter.cut(&borrowed)))?;
    to_list(text, chunks, with_metadata)
}

fn split_texts<'py>(
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

/// The splitter of the core inside any of the classes here; `None` for something else.
pub(super) fn shared(given: &Bound<'_, PyAny>) -> Option<Arc<dyn Split>> {
    macro_rules! try_classes {
        ($($class:ty),+) => {$(
            if let Ok(splitter) = given.cast::<$class>() {
                return Some(Arc::new(splitter.get().core.clone()));
            }
        )+};
    }
    try_classes!(
        CharacterSplitter,
        TokenSplitter,
        SentenceSplitter,
        RecursiveSplitter,
        TextSplitter
    );
    None
}

/// A class around a splitter of the core: its own items, then the methods all of them have.
macro_rules! splitter_class {
    ($(#[$about:meta])* $name:ident($core:ty), metadata: $with_metadata:expr, { $($own:tt)* }) => {
        $(#[$about])*
        #[pyclass(frozen, module = "graphbit")]
        pub(super) struct $name {
            core: $core,
        }

        #[pymethods]
        impl $name {
            $($own)*

            /// The chunks of `text`. Other threads run meanwhile.
            fn split_text<'py>(
                &self,
                text: &Bound<'py, PyString>,
            ) -> PyResult<Bound<'py, PyList>> {
                let with_metadata: fn(&$core) -> bool = $with_metadata;
                split_text(&self.core, text, with_metadata(&self.core))
            }

            /// The chunks of each text, in order; large batches use all cores.
            fn split_texts<'py>(
                &self,
                py: Python<'py>,
                texts: Vec<Bound<'py, PyString>>,
            ) -> PyResult<Bound<'py, PyList>> {
                let with_metadata: fn(&$core) -> bool = $with_metadata;
                split_texts(py, &self.core, &texts, with_metadata(&self.core))
            }
        }
    };
}

splitter_class! {
    /// Splits by code points, after white space where there is some.
    CharacterSplitter(split::CharacterSplitter), metadata: |_| true, {
        #[new]
        #[pyo3(signature = (chunk_size, chunk_overlap=0))]
        fn new(chunk_size: usize, chunk_overlap: usize) -> PyResult<Self> {
            Ok(Self { core: split::CharacterSplitter::new(chunk_size, chunk_overlap)? })
        }

        /// Code points a chunk.
        #[getter]
        fn chunk_size(&self) -> usize {
            self.core.chunk_size()
        }

        /// Code points that neighbours share.
        #[getter]
        fn chunk_overlap(&self) -> usize {
            self.core.chunk_overlap()
        }
    }
}

splitter_class! {
    /// Splits by tokens: runs of word characters, of white space, of others; or a pattern's matches.
    TokenSplitter(split::TokenSplitter), metadata: |_| true, {
        #[new]
        #[pyo3(signature = (chunk_size, chunk_overlap=0, token_pattern=None))]
        fn new(
            chunk_size: usize,
            chunk_overlap: usize,
            token_pattern: Option<&str>,
        ) -> PyResult<Self> {
            Ok(Self { core: split::TokenSplitter::new(chunk_size, chunk_overlap, token_pattern)? })
        }

        /// Tokens a chunk.
        #[getter]
        fn chunk_size(&self) -> usize {
            self.core.chunk_size()
        }

        /// Tokens that neighbours share.
        #[getter]
        fn chunk_overlap(&self) -> usize {
            self.core.chunk_overlap()
        }
    }
}

splitter_class! {
    /// Splits by sentences; the size counts UTF-8 bytes, the overlap sentences.
    SentenceSplitter(split::SentenceSplitter), metadata: |_| true, {
        #[new]
        #[pyo3(signature = (chunk_size, chunk_overlap=0, sentence_endings=None))]
        #[expect(clippy::needless_pass_by_value, reason = "extracted from the call's arguments")]
        fn new(
            chunk_size: usize,
            chunk_overlap: usize,
            sentence_endings: Option<Vec<String>>,
        ) -> PyResult<Self> {
            let endings = sentence_endings.as_deref();
            Ok(Self { core: split::SentenceSplitter::new(chunk_size, chunk_overlap, endings)? })
        }

        /// Bytes at which a chunk stops growing.
        #[getter]
        fn chunk_size(&self) -> usize {
            self.core.chunk_size()
        }

        /// Sentences that neighbours share.
        #[getter]
        fn chunk_overlap(&self) -> usize {
            self.core.chunk_overlap()
        }
    }
}

splitter_class! {
    /// Splits by the coarsest separator that will do; sizes count UTF-8 bytes.
    RecursiveSplitter(split::RecursiveSplitter), metadata: |_| true, {
        #[new]
        #[pyo3(signature = (chunk_size, chunk_overlap=0, separators=None))]
        fn new(
            chunk_size: usize,
            chunk_overlap: usize,
            separators: Option<Vec<String>>,
        ) -> PyResult<Self> {
            Ok(Self { core: split::RecursiveSplitter::new(chunk_size, chunk_overlap, separators)? })
        }

        /// Bytes a chunk, overlap not counted.
        #[getter]
        fn chunk_size(&self) -> usize {
            self.core.chunk_size()
        }

        /// Bytes taken from each neighbour.
        #[getter]
        fn chunk_overlap(&self) -> usize {
            self.core.chunk_overlap()
        }

        /// The separators, coarse to fine; a new list each time.
        #[getter]
        fn separators(&self) -> Vec<&str> {
            self.core.separators().collect()
        }
    }
}

splitter_class! {
    /// The splitter that a `TextSplitterConfig` describes.
    TextSplitter(split::TextSplitter), metadata: split::TextSplitter::include_metadata, {
        #[new]
        fn new(config: &TextSplitterConfig) -> PyResult<Self> {
            Ok(Self { core: split::TextSplitter::new(&config.current())? })
        }

        /// The chunks of `text` as dicts of strings: content, start_index, end_index, chunk_index.
        fn create_documents<'py>(
            &self,
            text: &Bound<'py, PyString>,
        ) -> PyResult<Bound<'py, PyList>> {
            let py = text.py();
            let borrowed = PyBackedStr::try_from(text.clone())?;
            let chunks = bridge::detach(py, || Ok(self.core.cut(&borrowed)))?;
            let documents = PyList::empty(py);
            for chunk in chunks {
                let document = PyDict::new(py);
                document.set_item("content", &*chunk.content)?;
                document.set_item("start_index", chunk.start_index.to_string())?;
                document.set_item("end_index", chunk.end_index.to_string())?;
                document.set_item("chunk_index", chunk.chunk_index.to_string())?;
                documents.append(document)?;
            }
            Ok(documents)
        }
    }
}

/// A strategy, its sizes and three flags; made by one of the static methods.
#[pyclass(frozen, module = "graphbit")]
pub(super) struct TextSplitterConfig {
    checked: split::TextSplitterConfig,
    preserve_word_boundaries: AtomicBool,
    trim_whitespace: AtomicBool,
    include_metadata: AtomicBool,
}

impl TextSplitterConfig {
    fn make(strategy: Strategy) -> PyResult<Self> {
        let checked = split::TextSplitterConfig::new(strategy)?;
        Ok(Self {
            preserve_word_boundaries: AtomicBool::new(checked.preserve_word_boundaries),
            trim_whitespace: AtomicBool::new(checked.trim_whitespace),
            include_metadata: AtomicBool::new(checked.include_metadata),
            checked,
        })
    }

    /// A copy with the flags as they are now.
    fn current(&self) -> split::TextSplitterConfig {
        let mut config = self.checked.clone();
        config.preserve_word_boundaries = self.preserve_word_boundaries();
        config.trim_whitespace = self.trim_whitespace();
        config.include_metadata = self.include_metadata();
        config
    }
}

#[pymethods]
impl TextSplitterConfig {
    /// See `CharacterSplitter`.
    #[staticmethod]
    #[pyo3(signature = (chunk_size, chunk_overlap=0))]
    fn character(chunk_size: usize, chunk_overlap: usize) -> PyResult<Self> {
        Self::make(Strategy::Character { chunk_size, chunk_overlap })
    }

    /// See `TokenSplitter`.
    #[staticmethod]
    #[pyo3(signature = (chunk_size, chunk_overlap=0, token_pattern=None))]
    fn token(
        chunk_size: usize,
        chunk_overlap: usize,
        token_pattern: Option<String>,
    ) -> PyResult<Self> {
        Self::make(Strategy::Token { chunk_size, chunk_overlap, token_pattern })
    }

    /// See `SentenceSplitter`.
    #[staticmethod]
    #[pyo3(signature = (chunk_size, chunk_overlap=0, sentence_endings=None))]
    fn sentence(
        chunk_size: usize,
        chunk_overlap: usize,
        sentence_endings: Option<Vec<String>>,
    ) -> PyResult<Self> {
        Self::make(Strategy::Sentence { chunk_size, chunk_overlap, sentence_endings })
    }

    /// See `RecursiveSplitter`.
    #[staticmethod]
    #[pyo3(signature = (chunk_size, chunk_overlap=0, separators=None))]
    fn recursive(
        chunk_size: usize,
        chunk_overlap: usize,
        separators: Option<Vec<String>>,
    ) -> PyResult<Self> {
        Self::make(Strategy::Recursive { chunk_size, chunk_overlap, separators })
    }

    /// By paragraphs; `TextSplitter` does not take this one.
    #[staticmethod]
    #[pyo3(signature = (chunk_size, chunk_overlap=0, min_paragraph_length=None))]
    fn paragraph(
        chunk_size: usize,
        chunk_overlap: usize,
        min_paragraph_length: Option<usize>,
    ) -> PyResult<Self> {
        Self::make(Strategy::Paragraph { chunk_size, chunk_overlap, min_paragraph_length })
    }

    /// By Markdown blocks; `TextSplitter` does not take this one.
    #[staticmethod]
    #[pyo3(signature = (chunk_size, chunk_overlap=0, split_by_headers=true))]
    fn markdown(chunk_size: usize, chunk_overlap: usize, split_by_headers: bool) -> PyResult<Self> {
        Self::make(Strategy::Markdown { chunk_size, chunk_overlap, split_by_headers })
    }

    /// By the structure of program code; `TextSplitter` does not take this one.
    #[staticmethod]
    #[pyo3(signature = (chunk_size, chunk_overlap=0, language=None))]
    fn code(chunk_size: usize, chunk_overlap: usize, language: Option<String>) -> PyResult<Self> {
        Self::make(Strategy::Code { chunk_size, chunk_overlap, language })
    }

    /// Between the matches of a pattern; `TextSplitter` does not take this one.
    #[staticmethod]
    #[pyo3(signature = (pattern, chunk_size, chunk_overlap=0))]
    fn regex(pattern: String, chunk_size: usize, chunk_overlap: usize) -> PyResult<Self> {
        Self::make(Strategy::Regex { pattern, chunk_size, chunk_overlap })
    }

    /// Size of a chunk, in the strategy's own units.
    #[getter]
    fn chunk_size(&self) -> usize {
        self.checked.strategy().sizes().0
    }

    /// What neighbours share, in the strategy's own units.
    #[getter]
    fn chunk_overlap(&self) -> usize {
        self.checked.strategy().sizes().1
    }

    /// The strategy's name.
    #[getter]
    fn strategy_type(&self) -> &'static str {
        self.checked.strategy().name()
    }

    /// Whether cuts avoid the inside of words.
    #[getter]
    fn preserve_word_boundaries(&self) -> bool {
        self.preserve_word_boundaries.load(Ordering::Relaxed)
    }

    /// Whether white space at the ends of a chunk is removed.
    #[getter]
    fn trim_whitespace(&self) -> bool {
        self.trim_whitespace.load(Ordering::Relaxed)
    }

    /// Whether chunks carry metadata.
    #[getter]
    fn include_metadata(&self) -> bool {
        self.include_metadata.load(Ordering::Relaxed)
    }

    /// Only the character strategy can cut inside words.
    fn set_preserve_word_boundaries(&self, preserve: bool) {
        self.preserve_word_boundaries.store(preserve, Ordering::Relaxed);
    }

    /// Keep or remove white space at the ends of chunks.
    fn set_trim_whitespace(&self, trim: bool) {
        self.trim_whitespace.store(trim, Ordering::Relaxed);
    }

    /// Fill or leave empty each chunk's metadata.
    fn set_include_metadata(&self, include: bool) {
        self.include_metadata.store(include, Ordering::Relaxed);
    }

    fn __repr__(&self) -> String {
        let (chunk_size, chunk_overlap) = self.checked.strategy().sizes();
        format!(
            "TextSplitterConfig(strategy={}, chunk_size={chunk_size}, chunk_overlap={chunk_overlap})",
            self.strategy_type()
        )
    }
}
