//! `TextSplitterConfig`: a strategy, its sizes and its flags.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use super::batch::Cutter;
use super::semantic::Wanted;
use super::unit_of;
use crate::embeddings::SemanticSplitter;
use crate::python::given::Listed;
use crate::split::{self, Strategy};

/// A strategy, its sizes and three flags; made by one of the static methods.
#[pyclass(frozen, module = "graphbit")]
pub(in crate::python) struct TextSplitterConfig {
    checked: split::TextSplitterConfig,
    /// The splitter that asks a client; `checked` then holds its sizes.
    semantic: Option<SemanticSplitter>,
    preserve_word_boundaries: AtomicBool,
    trim_whitespace: AtomicBool,
    include_metadata: AtomicBool,
}

impl TextSplitterConfig {
    fn make(
        strategy: Strategy,
        exact: bool,
        unit: Option<&str>,
        encoding: Option<&str>,
    ) -> PyResult<Self> {
        let unit = unit_of(&strategy, exact, unit, encoding)?;
        let mut checked = split::TextSplitterConfig::new(strategy)?;
        checked.unit = unit;
        Ok(Self::of(checked, None))
    }

    fn of(checked: split::TextSplitterConfig, semantic: Option<SemanticSplitter>) -> Self {
        Self {
            preserve_word_boundaries: AtomicBool::new(checked.preserve_word_boundaries),
            trim_whitespace: AtomicBool::new(checked.trim_whitespace),
            include_metadata: AtomicBool::new(checked.include_metadata),
            checked,
            semantic,
        }
    }

    /// The splitter with the flags as they are now.
    pub(super) fn cutter(&self) -> PyResult<Cutter> {
        if let Some(splitter) = &self.semantic {
            let splitter = splitter.clone().with_trim(self.trim_whitespace());
            return Ok(Cutter::Semantic(Arc::new(splitter)));
        }
        let mut config = self.checked.clone();
        config.preserve_word_boundaries = self.preserve_word_boundaries();
        config.trim_whitespace = self.trim_whitespace();
        Ok(Cutter::Pure(Arc::new(split::TextSplitter::new(&config)?)))
    }

    /// Whether chunks carry metadata.
    pub(super) fn includes_metadata(&self) -> bool {
        self.include_metadata()
    }
}

#[pymethods]
impl TextSplitterConfig {
    /// See `CharacterSplitter`.
    #[staticmethod]
    #[pyo3(signature = (chunk_size, chunk_overlap=0, *, exact=false, unit=None, encoding=None))]
    fn character(
        chunk_size: usize,
        chunk_overlap: usize,
        exact: bool,
        unit: Option<&str>,
        encoding: Option<&str>,
    ) -> PyResult<Self> {
        Self::make(Strategy::Character { chunk_size, chunk_overlap }, exact, unit, encoding)
    }

    /// See `TokenSplitter`.
    #[staticmethod]
    #[pyo3(signature = (chunk_size, chunk_overlap=0, token_pattern=None, *, exact=false, unit=None, encoding=None))]
    fn token(
        chunk_size: usize,
        chunk_overlap: usize,
        token_pattern: Option<String>,
        exact: bool,
        unit: Option<&str>,
        encoding: Option<&str>,
    ) -> PyResult<Self> {
        Self::make(
            Strategy::Token { chunk_size, chunk_overlap, token_pattern },
            exact,
            unit,
            encoding,
        )
    }

    /// See `SentenceSplitter`.
    #[staticmethod]
    #[pyo3(signature = (chunk_size, chunk_overlap=0, sentence_endings=None, *, exact=false, unit=None, encoding=None))]
    fn sentence(
        chunk_size: usize,
        chunk_overlap: usize,
        sentence_endings: Option<Listed<String>>,
        exact: bool,
        unit: Option<&str>,
        encoding: Option<&str>,
    ) -> PyResult<Self> {
        Self::make(
            Strategy::Sentence {
                chunk_size,
                chunk_overlap,
                sentence_endings: sentence_endings.map(|list| list.0),
            },
            exact,
            unit,
            encoding,
        )
    }

    /// See `RecursiveSplitter`.
    #[staticmethod]
    #[pyo3(signature = (chunk_size, chunk_overlap=0, separators=None, *, exact=false, unit=None, encoding=None))]
    fn recursive(
        chunk_size: usize,
        chunk_overlap: usize,
        separators: Option<Listed<String>>,
        exact: bool,
        unit: Option<&str>,
        encoding: Option<&str>,
    ) -> PyResult<Self> {
        Self::make(
            Strategy::Recursive {
                chunk_size,
                chunk_overlap,
                separators: separators.map(|list| list.0),
            },
            exact,
            unit,
            encoding,
        )
    }

    /// By paragraphs, those shorter than `min_paragraph_length` kept with the next one. Always exact.
    #[staticmethod]
    #[pyo3(signature = (chunk_size, chunk_overlap=0, min_paragraph_length=None, *, exact=true, unit=None, encoding=None))]
    fn paragraph(
        chunk_size: usize,
        chunk_overlap: usize,
        min_paragraph_length: Option<usize>,
        exact: bool,
        unit: Option<&str>,
        encoding: Option<&str>,
    ) -> PyResult<Self> {
        Self::make(
            Strategy::Paragraph { chunk_size, chunk_overlap, min_paragraph_length },
            exact,
            unit,
            encoding,
        )
    }

    /// By Markdown blocks, by default no chunk in two sections. Always exact.
    #[staticmethod]
    #[pyo3(signature = (chunk_size, chunk_overlap=0, split_by_headers=true, *, exact=true, unit=None, encoding=None))]
    fn markdown(
        chunk_size: usize,
        chunk_overlap: usize,
        split_by_headers: bool,
        exact: bool,
        unit: Option<&str>,
        encoding: Option<&str>,
    ) -> PyResult<Self> {
        Self::make(
            Strategy::Markdown { chunk_size, chunk_overlap, split_by_headers },
            exact,
            unit,
            encoding,
        )
    }

    /// By the structure of program code. Always exact.
    #[staticmethod]
    #[pyo3(signature = (chunk_size, chunk_overlap=0, language=None, *, exact=true, unit=None, encoding=None))]
    fn code(
        chunk_size: usize,
        chunk_overlap: usize,
        language: Option<String>,
        exact: bool,
        unit: Option<&str>,
        encoding: Option<&str>,
    ) -> PyResult<Self> {
        Self::make(Strategy::Code { chunk_size, chunk_overlap, language }, exact, unit, encoding)
    }

    /// Into pieces that each end with a match of `pattern`. Always exact.
    #[staticmethod]
    #[pyo3(signature = (pattern, chunk_size, chunk_overlap=0, *, exact=true, unit=None, encoding=None))]
    fn regex(
        pattern: String,
        chunk_size: usize,
        chunk_overlap: usize,
        exact: bool,
        unit: Option<&str>,
        encoding: Option<&str>,
    ) -> PyResult<Self> {
        Self::make(Strategy::Regex { pattern, chunk_size, chunk_overlap }, exact, unit, encoding)
    }

    /// By meaning: a chunk ends where the embeddings of neighbouring sentences grow apart. Always exact.
    #[staticmethod]
    #[pyo3(signature = (client, chunk_size, chunk_overlap=0, *, percentile=95.0, threshold=None, window=1, min_chunk_size=0, unit=None, encoding=None))]
    #[expect(clippy::too_many_arguments, reason = "the keywords of a Python signature")]
    fn semantic(
        client: &Bound<'_, PyAny>,
        chunk_size: usize,
        chunk_overlap: usize,
        percentile: f64,
        threshold: Option<f64>,
        window: usize,
        min_chunk_size: usize,
        unit: Option<&str>,
        encoding: Option<&str>,
    ) -> PyResult<Self> {
        let wanted = Wanted {
            chunk_size,
            chunk_overlap,
            percentile,
            threshold,
            window,
            min_chunk_size,
            unit,
            encoding,
        };
        let splitter = wanted.splitter(client)?;
        let checked = split::TextSplitterConfig::new(wanted.strategy())?;
        Ok(Self::of(checked, Some(splitter)))
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
        if self.semantic.is_some() { "semantic" } else { self.checked.strategy().name() }
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
