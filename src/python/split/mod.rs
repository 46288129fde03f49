//! The splitters, `TextSplitterConfig` and `TextChunk`.

mod batch;
mod chunk;
mod config;

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyDict, PyList, PyString};

use self::batch::{split_text, split_texts};
pub(super) use self::chunk::TextChunk;
pub(super) use self::config::TextSplitterConfig;
use super::bridge;
use crate::split::{self, Split};

/// The splitter of the core inside any of the classes here; `None` for something else.
pub(in crate::python) fn shared(given: &Bound<'_, PyAny>) -> Option<Arc<dyn Split>> {
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
        pub(in crate::python) struct $name {
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
