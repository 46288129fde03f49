//! `TextSplitter`: whatever a `TextSplitterConfig` describes, pure or with an embedding client.

use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict, PyList, PyString};

use super::TextSplitterConfig;
use super::batch::{
    ChunkIterator, Cutter, Document, split_iter, split_text, split_texts, split_texts_parallel,
};
use crate::python::given::Listed;

/// The splitter that a `TextSplitterConfig` describes.
#[pyclass(frozen, module = "graphbit")]
pub(in crate::python) struct TextSplitter {
    cutter: Cutter,
    include_metadata: bool,
}

impl TextSplitter {
    /// What does the work.
    pub(super) const fn cutter(&self) -> &Cutter {
        &self.cutter
    }
}

#[pymethods]
impl TextSplitter {
    #[new]
    fn new(config: &TextSplitterConfig) -> PyResult<Self> {
        Ok(Self { cutter: config.cutter()?, include_metadata: config.includes_metadata() })
    }

    /// The chunks of `text`. Other threads run meanwhile.
    fn split_text<'py>(&self, text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyList>> {
        split_text(&self.cutter, text, self.include_metadata)
    }

    /// The chunks of each text, in order; large batches use all cores.
    fn split_texts<'py>(
        &self,
        py: Python<'py>,
        texts: Listed<Bound<'py, PyString>>,
    ) -> PyResult<Bound<'py, PyList>> {
        split_texts(py, &self.cutter, texts.0, self.include_metadata)
    }

    /// The chunks of each text of an iterable, in order, cut by up to `max_workers` threads.
    #[pyo3(signature = (texts, max_workers=None))]
    fn split_texts_parallel<'py>(
        &self,
        texts: &Bound<'py, PyAny>,
        max_workers: Option<usize>,
    ) -> PyResult<Bound<'py, PyList>> {
        split_texts_parallel(&self.cutter, texts, max_workers, self.include_metadata)
    }

    /// An iterator over one list of chunks a text, drawing at most `batch_size` texts ahead.
    #[pyo3(signature = (texts, batch_size=64))]
    fn split_iter(&self, texts: &Bound<'_, PyAny>, batch_size: usize) -> PyResult<ChunkIterator> {
        split_iter(self.cutter.clone(), texts, batch_size, self.include_metadata)
    }

    /// The chunks of `text` as dicts of strings: content, start_index, end_index, chunk_index.
    fn create_documents<'py>(&self, text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyList>> {
        let py = text.py();
        let document = Document::new(text.clone())?;
        let documents = PyList::empty(py);
        let kept = documents.clone().unbind();
        let source = document.source();
        self.cutter.cut(py, &document, |py, chunks| {
            for chunk in chunks.drain(..) {
                let chunk = chunk.chunk();
                let content = chunk.read(source.text());
                let document = PyDict::new(py);
                document.set_item("content", &*content)?;
                document.set_item("start_index", chunk.start_index.to_string())?;
                document.set_item("end_index", chunk.end_index.to_string())?;
                document.set_item("chunk_index", chunk.chunk_index.to_string())?;
                kept.bind(py).append(document)?;
            }
            Ok(())
        })?;
        Ok(documents)
    }
}
