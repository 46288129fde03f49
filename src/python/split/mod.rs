//! The splitters, `TextSplitterConfig` and `TextChunk`.

mod batch;
mod chunk;
mod config;
mod semantic;
mod text;

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyList, PyString};

use self::batch::{
    ChunkIterator, Cutter, split_iter, split_text, split_texts, split_texts_parallel,
};
pub(super) use self::chunk::TextChunk;
pub(super) use self::config::TextSplitterConfig;
pub(super) use self::text::TextSplitter;
use crate::python::given::Listed;
use crate::split::{Split, Strategy, TextSplitter as TextSplitterCore, Unit};

/// The splitter of the core inside any of the classes here; `None` for something else. One that asks
/// an embedding client is refused: a pipeline splits where nothing can be waited for.
pub(in crate::python) fn shared(given: &Bound<'_, PyAny>) -> PyResult<Option<Arc<dyn Split>>> {
    macro_rules! try_classes {
        ($($class:ty),+) => {$(
            if let Ok(splitter) = given.cast::<$class>() {
                return Ok(Some(Arc::clone(&splitter.get().core) as Arc<dyn Split>));
            }
        )+};
    }
    if let Ok(splitter) = given.cast::<TextSplitter>() {
        return match splitter.get().cutter() {
            Cutter::Pure(shared) => Ok(Some(Arc::clone(shared))),
            Cutter::Semantic(_) => Err(PyTypeError::new_err(
                "argument 'splitter': a semantic TextSplitter cannot be used here; split with it \
                 and ingest the chunks",
            )),
        };
    }
    try_classes!(CharacterSplitter, TokenSplitter, SentenceSplitter, RecursiveSplitter);
    Ok(None)
}

/// The unit that the keywords of a class or a factory ask for; `None` is GraphBit's own way.
fn unit_of(
    strategy: &Strategy,
    exact: bool,
    unit: Option<&str>,
    encoding: Option<&str>,
) -> PyResult<Option<Unit>> {
    Ok(Unit::chosen(strategy, exact, unit, encoding)?)
}

/// A class around a splitter of the core: its own items, then what all of them have.
macro_rules! splitter_class {
    ($(#[$about:meta])* $name:ident, { $($own:tt)* }) => {
        $(#[$about])*
        #[pyclass(frozen, module = "graphbit")]
        pub(in crate::python) struct $name {
            core: Arc<TextSplitterCore>,
        }

        impl $name {
            fn cutter(&self) -> Cutter {
                Cutter::Pure(Arc::clone(&self.core) as Arc<dyn Split>)
            }
        }

        #[pymethods]
        impl $name {
            $($own)*

            /// The chunks of `text`. Other threads run meanwhile.
            fn split_text<'py>(
                &self,
                text: &Bound<'py, PyString>,
            ) -> PyResult<Bound<'py, PyList>> {
                split_text(&self.cutter(), text, self.core.include_metadata())
            }

            /// The chunks of each text, in order; large batches use all cores.
            fn split_texts<'py>(
                &self,
                py: Python<'py>,
                texts: Listed<Bound<'py, PyString>>,
            ) -> PyResult<Bound<'py, PyList>> {
                split_texts(py, &self.cutter(), texts.0, self.core.include_metadata())
            }

            /// The chunks of each text of an iterable, in order, cut by up to `max_workers`
            /// threads.
            #[pyo3(signature = (texts, max_workers=None))]
            fn split_texts_parallel<'py>(
                &self,
                texts: &Bound<'py, PyAny>,
                max_workers: Option<usize>,
            ) -> PyResult<Bound<'py, PyList>> {
                split_texts_parallel(&self.cutter(), texts, max_workers, self.core.include_metadata())
            }

            /// An iterator over one list of chunks a text, drawing at most `batch_size` texts ahead.
            #[pyo3(signature = (texts, batch_size=64))]
            fn split_iter(
                &self,
                texts: &Bound<'_, PyAny>,
                batch_size: usize,
            ) -> PyResult<ChunkIterator> {
                split_iter(self.cutter(), texts, batch_size, self.core.include_metadata())
            }
        }
    };
}

splitter_class! {
    /// Splits by code points, after white space where there is some.
    CharacterSplitter, {
        #[new]
        #[pyo3(signature = (chunk_size, chunk_overlap=0, *, exact=false, unit=None, encoding=None))]
        fn new(
            chunk_size: usize,
            chunk_overlap: usize,
            exact: bool,
            unit: Option<&str>,
            encoding: Option<&str>,
        ) -> PyResult<Self> {
            let strategy = Strategy::Character { chunk_size, chunk_overlap };
            let unit = unit_of(&strategy, exact, unit, encoding)?;
            Ok(Self { core: Arc::new(TextSplitterCore::of(strategy, unit)?) })
        }

        /// What a chunk holds at most, or aims at.
        #[getter]
        fn chunk_size(&self) -> usize {
            self.core.strategy().sizes().0
        }

        /// What neighbours share.
        #[getter]
        fn chunk_overlap(&self) -> usize {
            self.core.strategy().sizes().1
        }
    }
}

splitter_class! {
    /// Splits by tokens: BPE tokens of an `encoding`, matches of a pattern, or runs of word characters,
    /// of white space and of others.
    TokenSplitter, {
        #[new]
        #[pyo3(signature = (chunk_size, chunk_overlap=0, token_pattern=None, *, exact=false, unit=None, encoding=None))]
        fn new(
            chunk_size: usize,
            chunk_overlap: usize,
            token_pattern: Option<String>,
            exact: bool,
            unit: Option<&str>,
            encoding: Option<&str>,
        ) -> PyResult<Self> {
            let strategy = Strategy::Token { chunk_size, chunk_overlap, token_pattern };
            let unit = unit_of(&strategy, exact, unit, encoding)?;
            Ok(Self { core: Arc::new(TextSplitterCore::of(strategy, unit)?) })
        }

        /// What a chunk holds at most, or aims at.
        #[getter]
        fn chunk_size(&self) -> usize {
            self.core.strategy().sizes().0
        }

        /// What neighbours share.
        #[getter]
        fn chunk_overlap(&self) -> usize {
            self.core.strategy().sizes().1
        }
    }
}

splitter_class! {
    /// Splits by sentences; the size counts UTF-8 bytes, the overlap sentences.
    SentenceSplitter, {
        #[new]
        #[pyo3(signature = (chunk_size, chunk_overlap=0, sentence_endings=None, *, exact=false, unit=None, encoding=None))]
        fn new(
            chunk_size: usize,
            chunk_overlap: usize,
            sentence_endings: Option<Listed<String>>,
            exact: bool,
            unit: Option<&str>,
            encoding: Option<&str>,
        ) -> PyResult<Self> {
            let strategy = Strategy::Sentence { chunk_size, chunk_overlap, sentence_endings: sentence_endings.map(|list| list.0) };
            let unit = unit_of(&strategy, exact, unit, encoding)?;
            Ok(Self { core: Arc::new(TextSplitterCore::of(strategy, unit)?) })
        }

        /// What a chunk holds at most, or aims at.
        #[getter]
        fn chunk_size(&self) -> usize {
            self.core.strategy().sizes().0
        }

        /// What neighbours share.
        #[getter]
        fn chunk_overlap(&self) -> usize {
            self.core.strategy().sizes().1
        }
    }
}

splitter_class! {
    /// Splits by the coarsest separator that will do; sizes count UTF-8 bytes.
    RecursiveSplitter, {
        #[new]
        #[pyo3(signature = (chunk_size, chunk_overlap=0, separators=None, *, exact=false, unit=None, encoding=None))]
        fn new(
            chunk_size: usize,
            chunk_overlap: usize,
            separators: Option<Listed<String>>,
            exact: bool,
            unit: Option<&str>,
            encoding: Option<&str>,
        ) -> PyResult<Self> {
            let strategy = Strategy::Recursive { chunk_size, chunk_overlap, separators: separators.map(|list| list.0) };
            let unit = unit_of(&strategy, exact, unit, encoding)?;
            Ok(Self { core: Arc::new(TextSplitterCore::of(strategy, unit)?) })
        }

        /// What a chunk holds at most, or aims at.
        #[getter]
        fn chunk_size(&self) -> usize {
            self.core.strategy().sizes().0
        }

        /// What neighbours share.
        #[getter]
        fn chunk_overlap(&self) -> usize {
            self.core.strategy().sizes().1
        }

        /// The separators, coarse to fine; a new list each time.
        #[getter]
        fn separators(&self) -> Vec<String> {
            self.core.strategy().separators().into_iter().map(str::to_owned).collect()
        }
    }
}
