//! Splitting as Python calls it: the text stays where Python holds it, its UTF-8 form is borrowed
//! without the interpreter, and the chunks come back as lists.

use std::cell::Cell;
use std::collections::VecDeque;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyIterator, PyList, PyString};

use super::chunk::TextChunk;
use super::semantic;
use crate::embeddings::SemanticSplitter;
use crate::error::{Error, Kind};
use crate::python::bridge::Slices;
use crate::python::errors::to_py_err;
use crate::python::given::{Items, draw};
use crate::python::{bridge, cpython};
use crate::split::{self, Packed, Source, Split};

/// Chunks that are cut before the interpreter is asked for, to put them into a list: at first, and at most, which
/// takes some megabytes.
const PORTION: usize = 2048;
const LARGEST_PORTION: usize = 1 << 16;

/// Chunks made between two looks at the clock.
const GLANCE: usize = 128;

/// Bytes of text that an iterator draws before it splits what it has.
const WINDOW_BYTES: usize = 32 << 20;

/// A text of Python's and its UTF-8 form.
pub(super) struct Document<'py> {
    text: Bound<'py, PyString>,
    utf8: PyBackedStr,
    source_length: usize,
}

impl<'py> Document<'py> {
    pub(super) fn new(text: Bound<'py, PyString>) -> PyResult<Self> {
        let utf8 = PyBackedStr::try_from(text.clone())?;
        Ok(Self { source_length: text.len()?, utf8, text })
    }

    /// The text as the core takes it. Python knows the length in code points.
    pub(super) fn source(&self) -> Source<'_> {
        Source::with_length(&self.utf8, self.source_length)
    }

    /// The text as Python has it.
    pub(super) const fn text(&self) -> &Bound<'py, PyString> {
        &self.text
    }
}

/// What cuts the documents: alone, or with an embedding client.
#[derive(Clone)]
pub(in crate::python) enum Cutter {
    /// Needs nothing but the text.
    Pure(Arc<dyn Split>),
    /// Asks a client.
    Semantic(Arc<SemanticSplitter>),
}

impl Cutter {
    /// Hands the chunks of one document to `take`, in portions, with the interpreter.
    pub(super) fn cut(
        &self,
        py: Python<'_>,
        document: &Document<'_>,
        mut take: impl FnMut(Python<'_>, &mut Vec<Packed>) -> PyResult<()> + Send,
    ) -> PyResult<()> {
        let source = document.source();
        let splitter = match self {
            Self::Pure(splitter) => splitter,
            Self::Semantic(splitter) => {
                let all = semantic::places_each(py, splitter, std::slice::from_ref(document))?;
                return take(py, &mut all.into_iter().flatten().map(Packed::from).collect());
            }
        };
        let mut portion = Vec::with_capacity(PORTION);
        let mut room = PORTION;
        let mut failed = None;
        bridge::detach(py, || {
            let _ = splitter.visit(source, &mut |chunk| {
                portion.push(Packed::from(chunk));
                if portion.len() < room {
                    return ControlFlow::Continue(());
                }
                let asked = Instant::now();
                let taken = bridge::attach(|py| {
                    if bridge::was_long(asked.elapsed()) {
                        // Whoever computes will make each further visit wait as long.
                        room = (room * 4).min(LARGEST_PORTION);
                    }
                    py.check_signals()?;
                    take(py, &mut portion)
                });
                failed = taken.err();
                if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            Ok(())
        })?;
        match failed {
            Some(error) => Err(error),
            None => take(py, &mut portion),
        }
    }
}

/// Puts chunks into lists, leaving the interpreter now and then.
pub(super) struct Lists {
    with_metadata: bool,
    made: Cell<usize>,
    slices: Slices,
}

impl Lists {
    pub(super) fn new(with_metadata: bool) -> Self {
        Self { with_metadata, made: Cell::new(0), slices: Slices::new() }
    }

    pub(super) fn extend(
        &self,
        list: &Bound<'_, PyList>,
        text: &Bound<'_, PyString>,
        chunks: impl IntoIterator<Item = Packed>,
    ) -> PyResult<()> {
        let py = list.py();
        for chunk in chunks {
            self.made.set(self.made.get().wrapping_add(1));
            if self.made.get().is_multiple_of(GLANCE) {
                self.slices.breathe(py)?;
            }
            let chunk = TextChunk::new(text.clone().unbind(), chunk, self.with_metadata);
            let chunk = Bound::new(py, chunk)?;
            cpython::untrack(&chunk);
            list.append(chunk)?;
        }
        Ok(())
    }
}

pub(super) fn split_text<'py>(
    cutter: &Cutter,
    text: &Bound<'py, PyString>,
    with_metadata: bool,
) -> PyResult<Bound<'py, PyList>> {
    let py = text.py();
    let list = PyList::empty(py);
    let lists = Lists::new(with_metadata);
    let (kept_text, kept_list) = (text.clone().unbind(), list.clone().unbind());
    cutter.cut(py, &Document::new(text.clone())?, move |py, chunks| {
        lists.slices.begin();
        lists.extend(kept_list.bind(py), kept_text.bind(py), chunks.drain(..))
    })?;
    Ok(list)
}

/// A list of chunks for each document. The cutting goes on while the lists are made.
fn split_documents<'py>(
    py: Python<'py>,
    cutter: &Cutter,
    documents: &[Document<'py>],
    with_metadata: bool,
    workers: Option<NonZero<usize>>,
) -> PyResult<Vec<Bound<'py, PyList>>> {
    let splitter = match cutter {
        Cutter::Pure(splitter) => &**splitter,
        Cutter::Semantic(splitter) => {
            return semantic::split_documents(py, splitter, documents, with_metadata);
        }
    };
    let sources: Vec<Source<'_>> = documents.iter().map(Document::source).collect();
    let results: Vec<Bound<'py, PyList>> = documents.iter().map(|_| PyList::empty(py)).collect();
    let lists = Lists::new(with_metadata);
    let aside = |work: &mut (dyn FnMut() + Send)| {
        py.check_signals()?;
        bridge::detach(py, || {
            work();
            Ok(())
        })?;
        lists.slices.begin();
        Ok(())
    };
    let deliver = |index: usize, chunks: Vec<_>| match (documents.get(index), results.get(index)) {
        (Some(document), Some(list)) => {
            lists.extend(list, &document.text, chunks.into_iter().map(Packed::from))
        }
        _ => Ok(()),
    };
    split::split_each(splitter, &sources, workers, aside, deliver)?;
    Ok(results)
}

pub(super) fn split_texts<'py>(
    py: Python<'py>,
    cutter: &Cutter,
    texts: Vec<Bound<'py, PyString>>,
    with_metadata: bool,
) -> PyResult<Bound<'py, PyList>> {
    let documents: Vec<_> = texts.into_iter().map(Document::new).collect::<PyResult<_>>()?;
    PyList::new(py, split_documents(py, cutter, &documents, with_metadata, None)?)
}

pub(super) fn split_texts_parallel<'py>(
    cutter: &Cutter,
    texts: &Bound<'py, PyAny>,
    max_workers: Option<usize>,
    with_metadata: bool,
) -> PyResult<Bound<'py, PyList>> {
    let workers = max_workers.map(|most| at_least_one("max_workers", most)).transpose()?;
    let documents: Vec<_> = iterate(texts)?
        .enumerate()
        .map(|(position, text)| document_at(position, text?))
        .collect::<PyResult<_>>()?;
    let py = texts.py();
    PyList::new(py, split_documents(py, cutter, &documents, with_metadata, workers)?)
}

pub(super) fn split_iter(
    cutter: Cutter,
    texts: &Bound<'_, PyAny>,
    batch_size: usize,
    with_metadata: bool,
) -> PyResult<ChunkIterator> {
    let batch_size = at_least_one("batch_size", batch_size)?.get();
    let window = Window {
        texts: Some(iterate(texts)?.unbind()),
        drawn: 0,
        ready: VecDeque::new(),
        raised: None,
    };
    Ok(ChunkIterator { cutter, batch_size, with_metadata, window: Mutex::new(Some(window)) })
}

fn at_least_one(name: &str, given: usize) -> PyResult<NonZero<usize>> {
    let message = || format!("{name} must be at least 1, not {given}");
    NonZero::new(given).ok_or_else(|| to_py_err(Error::new(Kind::Parameter, message())))
}

fn iterate<'py>(texts: &Bound<'py, PyAny>) -> PyResult<Items<'py>> {
    // A string is an iterable of strings too, but nobody means that.
    if texts.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("texts must be an iterable of str, not a str"));
    }
    Items::of(texts)
}

fn document_at<'py>(position: usize, text: Bound<'py, PyAny>) -> PyResult<Document<'py>> {
    let text = text.cast_into::<PyString>().map_err(|error| {
        let class = error.into_inner().get_type();
        let class = class.name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
        PyTypeError::new_err(format!("texts[{position}] must be a str, not {class}"))
    })?;
    Document::new(text)
}

/// What an iterator over documents drew ahead.
struct Window {
    /// `None` when there is nothing more to draw.
    texts: Option<Py<PyIterator>>,
    drawn: usize,
    ready: VecDeque<Py<PyList>>,
    /// What drawing raised, for when the documents drawn before it are given out.
    raised: Option<PyErr>,
}

impl Window {
    fn fill(&mut self, py: Python<'_>, about: &ChunkIterator) -> PyResult<()> {
        let Some(texts) = self.texts.as_ref() else { return Ok(()) };
        let mut texts = texts.bind(py).clone();
        let mut documents = Vec::new();
        let mut bytes = 0;
        while documents.len() < about.batch_size && bytes < WINDOW_BYTES {
            let document = match draw(&mut texts) {
                Some(text) => text.and_then(|text| document_at(self.drawn, text)),
                None => {
                    self.texts = None;
                    break;
                }
            };
            match document {
                Ok(document) => {
                    bytes += document.utf8.len();
                    documents.push(document);
                    self.drawn += 1;
                }
                Err(error) => {
                    self.texts = None;
                    self.raised = Some(error);
                    break;
                }
            }
        }
        let lists = split_documents(py, &about.cutter, &documents, about.with_metadata, None)?;
        self.ready.extend(lists.into_iter().map(Bound::unbind));
        Ok(())
    }

    fn next(&mut self, py: Python<'_>, about: &ChunkIterator) -> PyResult<Option<Py<PyList>>> {
        if self.ready.is_empty() {
            self.fill(py, about)?;
        }
        match (self.ready.pop_front(), &mut self.raised) {
            (Some(list), _) => Ok(Some(list)),
            (None, raised) => raised.take().map_or(Ok(None), Err),
        }
    }
}

/// One list of chunks a document, drawn and split a window at a time.
#[pyclass(frozen, module = "graphbit")]
pub(in crate::python) struct ChunkIterator {
    cutter: Cutter,
    batch_size: usize,
    with_metadata: bool,
    /// Taken out while somebody is in `__next__`, so that no lock is held while Python runs.
    window: Mutex<Option<Window>>,
}

impl ChunkIterator {
    fn replace(&self, window: Option<Window>) -> Option<Window> {
        let mut held = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, window)
    }
}

#[pymethods]
impl ChunkIterator {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyList>>> {
        let Some(mut window) = self.replace(None) else {
            return Err(PyValueError::new_err("iterator already executing"));
        };
        let next = window.next(py, self);
        self.replace(Some(window));
        next
    }
}
