//! What `ParallelRAG.ingest` accepts: paths, names with texts, dicts, other libraries' documents.
//!
//! It refuses to guess: a plain string is a path or a URL, and a text needs a name to be cited by. What is in memory
//! anyway is converted before any work starts, so that a wrong argument costs nothing; what an iterator
//! gives is drawn when there is room for it, on a thread that may wait for it. A string that is no text is
//! no wrong argument but a document that fails: data has such strings, and the others are none the worse.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::stream;
use pyo3::exceptions::{PyTypeError, PyUnicodeEncodeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PyMapping, PyString, PyTuple};

use super::bridge::{self, Slices};
use super::errors::callback_error;
use super::exit;
use super::given::{Items, import};
use crate::error::{Error, Kind, Result};
use crate::load::Place;
use crate::rag::{Source, Sources};
use crate::runtime::{Orders, OwnThread};
use crate::types::Document;

/// A longer string is a text somebody meant to wrap, not a path.
const LONGEST_PATH: usize = 4096;

/// Documents as they were given.
pub(super) enum Given {
    All(Vec<Source>),
    Each(Py<PyIterator>),
    /// An asynchronous iterable: only an event loop can draw from it.
    Awaited(Py<PyAny>),
}

impl Given {
    pub(super) fn new(documents: &Bound<'_, PyAny>) -> PyResult<Self> {
        exit::inside(documents.py(), || Self::read(documents))
    }

    fn read(documents: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Some(source) = path(documents, "documents")? {
            return Ok(Self::All(vec![source]));
        }
        if let Ok(mapping) = documents.cast::<PyMapping>() {
            if mapping.contains("text")? && mapping.contains("source")? {
                return Ok(Self::All(vec![one(documents, "documents")?]));
            }
            return all(mapping.items()?.as_any()).map(Self::All);
        }
        if documents.hasattr("text")? || documents.hasattr("page_content")? {
            return Ok(Self::All(vec![one(documents, "documents")?]));
        }
        if documents.is_instance_of::<PyList>() || documents.is_instance_of::<PyTuple>() {
            return all(documents).map(Self::All);
        }
        if documents.hasattr("__aiter__")? {
            return Ok(Self::Awaited(documents.clone().unbind()));
        }
        let items = documents
            .try_iter()
            .map_err(|_| wrong_type("documents", "a path, a mapping or an iterable", documents))?;
        Ok(Self::Each(items.unbind()))
    }

    /// The core's sources, and what ends the waiting for an asynchronous one. `event_loop` is that of the
    /// caller, who waits for the results there.
    pub(super) fn sources(
        self,
        py: Python<'_>,
        event_loop: Option<Bound<'_, PyAny>>,
    ) -> PyResult<(Sources, Option<Py<PyAny>>)> {
        let documents = match self {
            Self::All(sources) => return Ok((sources.into(), None)),
            Self::Each(items) => return Ok((iterated(items)?, None)),
            Self::Awaited(documents) => documents,
        };
        let Some(event_loop) = event_loop else {
            let text = "documents is an asynchronous iterable; use ingest_async, or async for over \
                        ingest_stream";
            return Err(PyTypeError::new_err(text));
        };
        let module = import(py, "graphbit._drawing")?;
        let made = exit::inside(py, || module.call_method1("Drawing", (documents, event_loop)));
        let drawing = made?.unbind();
        Ok((awaited(drawing.clone_ref(py)), Some(drawing)))
    }
}

type Drawn = Result<Option<Source>>;

/// Sources of an iterator. One thread draws from beginning to end and lets it go: what a generator opens, such
/// as a database's cursor, may belong to the thread that opened it.
///
/// Not the caller's own thread, which waits for outcomes: an iterator that waits for the outcome of what it gave
/// before would then wait for ever, and one that is slow would hold outcomes back that are there.
fn iterated(items: Py<PyIterator>) -> Result<Sources> {
    let own = OwnThread::start("graphbit-iterator", move |orders| {
        exit::attach(|py| serve(items.into_bound(py), orders));
    })?;
    Ok(Sources::drawn(stream::unfold(Some(own), |own| async move {
        let own = own?;
        let drawn = own.ask().await.unwrap_or_else(|| {
            Err(Error::new(Kind::Cancelled, "the thread that draws documents has ended"))
        });
        match drawn {
            Ok(Some(source)) => Some((Ok(source), Some(own))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })))
}

fn serve(mut items: Bound<'_, PyIterator>, mut orders: Orders<Drawn>) {
    let py = items.py();
    for number in 0_usize.. {
        let Some(order) = exit::idle(py, || orders.wait()) else { return };
        let drawn = match items.next() {
            Some(Ok(item)) => one(&item, &format!("documents[{number}]")).map(Some),
            Some(Err(error)) => Err(explained(py, error)),
            None => Ok(None),
        };
        let drawn = drawn.map_err(|error| callback_error(py, error));
        let goes_on = matches!(drawn, Ok(Some(_)));
        // Nobody waits any more when the ingest was stopped.
        drop(order.send(drawn));
        if !goes_on {
            return;
        }
    }
}

/// What sqlite3 raises on a thread that did not open the connection, with what to do about it.
fn explained(py: Python<'_>, error: PyErr) -> PyErr {
    let class = error.get_type(py).fully_qualified_name();
    let sqlite = class.is_ok_and(|class| class == "sqlite3.ProgrammingError");
    if !sqlite || !error.value(py).to_string().contains("same thread") {
        return error;
    }
    let text = "an iterator is drawn from on a thread of its own, and this one belongs to the thread that opened \
                its connection: open it with check_same_thread=False, or in a generator that is given instead";
    let explained: PyErr = Error::validation("documents", None, text).into();
    explained.set_cause(py, Some(error));
    explained
}

/// Sources of an asynchronous iterator, which its event loop draws from, one call at a time.
fn awaited(drawing: Py<PyAny>) -> Sources {
    let begun = Some((Arc::new(drawing), 0_usize));
    Sources::drawn(stream::unfold(begun, |state| async move {
        let (drawing, number) = state?;
        let asked = Arc::clone(&drawing);
        let drawn = bridge::call_python(move |py| {
            let drawn = asked.bind(py).call_method0("draw")?.cast_into::<PyTuple>()?;
            let item = drawn.iter().next();
            item.map(|item| one(&item, &format!("documents[{number}]"))).transpose()
        });
        match drawn.await {
            Ok(Some(source)) => Some((Ok(source), Some((drawing, number.saturating_add(1))))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    }))
}

fn all(items: &Bound<'_, PyAny>) -> PyResult<Vec<Source>> {
    let mut sources = Vec::new();
    let slices = Slices::new();
    for item in Items::of(items)? {
        sources.push(one(&item?, &format!("documents[{}]", sources.len()))?);
        slices.breathe(items.py())?;
    }
    Ok(sources)
}

fn path(item: &Bound<'_, PyAny>, field: &str) -> PyResult<Option<Source>> {
    if let Ok(string) = item.cast::<PyString>() {
        let text = string.to_string_lossy();
        if text.contains('\n') || text.len() > LONGEST_PATH {
            return Err(PyValueError::new_err(format!(
                "{field} looks like a text, but a plain string is a path; give a text as (name, text)"
            )));
        }
        if Place::Named(text.to_string()).url().is_some() {
            return Ok(Some(Source::Url(text.into_owned())));
        }
        let Some(place) = lone_surrogate(string)? else {
            return Ok(Some(Source::Path(PathBuf::from(text.as_ref()))));
        };
        // A file's name that is no text comes with surrogates in the place of its bytes.
        return Ok(Some(match item.extract() {
            Ok(path) => Source::Path(path),
            Err(_) => refused(text.into_owned(), "name", place),
        }));
    }
    if item.hasattr("__fspath__")? {
        return Ok(Some(Source::Path(item.extract()?)));
    }
    Ok(None)
}

fn one<'py>(item: &Bound<'py, PyAny>, field: &str) -> PyResult<Source> {
    if let Some(source) = path(item, field)? {
        return Ok(source);
    }
    let string_of = |value: Bound<'py, PyAny>, part: &str| -> PyResult<Bound<'py, PyString>> {
        value
            .cast_into::<PyString>()
            .map_err(|error| wrong_type(&format!("{field}{part}"), "a string", &error.into_inner()))
    };
    if let Ok(pair) = item.cast::<PyTuple>() {
        if pair.len() != 2 {
            let text = format!("{field} must be (name, text), not a tuple of {}", pair.len());
            return Err(PyValueError::new_err(text));
        }
        let source = string_of(pair.get_item(0)?, "[0], the name,")?;
        let text = string_of(pair.get_item(1)?, "[1], the text,")?;
        return document(&source, &text, BTreeMap::new());
    }
    let get = |names: &[&str]| -> PyResult<Option<Bound<'py, PyAny>>> {
        for name in names {
            let value = match item.cast::<PyMapping>() {
                Ok(mapping) if mapping.contains(name)? => Some(mapping.get_item(name)?),
                Ok(_) => None,
                Err(_) => item.getattr_opt(*name)?,
            };
            if let Some(value) = value.filter(|value| !value.is_none()) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    };
    let Some(text) = get(&["text", "content", "page_content"])? else {
        let wanted = "a path, (name, text), or have a 'text'";
        return Err(wrong_type(field, wanted, item));
    };
    let text = string_of(text, ".text")?;
    let metadata = match get(&["metadata"])? {
        None => BTreeMap::new(),
        Some(metadata) => {
            let mapping = metadata.cast_into::<PyMapping>().map_err(|error| {
                wrong_type(&format!("{field}.metadata"), "a mapping", &error.into_inner())
            })?;
            let mut pairs = BTreeMap::new();
            for pair in mapping.items()? {
                let (key, value) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
                if let Some(value) = written(&value)? {
                    pairs.insert(key.str()?.to_string(), value);
                }
            }
            pairs
        }
    };
    let source = match get(&["source", "name"])? {
        Some(source) => source.str()?,
        None => {
            let source = metadata.get("source").ok_or_else(|| {
                PyValueError::new_err(format!("{field} has no 'source' to cite it by"))
            })?;
            PyString::new(item.py(), source)
        }
    };
    document(&source, &text, metadata)
}

fn document(
    source: &Bound<'_, PyString>,
    text: &Bound<'_, PyString>,
    metadata: BTreeMap<String, String>,
) -> PyResult<Source> {
    let name = || source.to_string_lossy().into_owned();
    if let Some(place) = lone_surrogate(source)? {
        return Ok(refused(name(), "name", place));
    }
    if let Some(place) = lone_surrogate(text)? {
        return Ok(refused(name(), "text", place));
    }
    let text = text.extract()?;
    Ok(Source::Document(Document { source: name(), text, metadata }))
}

/// Where a string holds half of a character, and so is no text that could be written down.
fn lone_surrogate(string: &Bound<'_, PyString>) -> PyResult<Option<usize>> {
    let Err(error) = string.to_cow() else { return Ok(None) };
    let py = string.py();
    if !error.is_instance_of::<PyUnicodeEncodeError>(py) {
        return Err(error);
    }
    error.value(py).getattr("start")?.extract().map(Some)
}

fn refused(source: String, what: &str, place: usize) -> Source {
    let text = format!(
        "Cannot read '{source}': its {what} holds a lone surrogate, half of a character, at position {place}"
    );
    Source::Refused(source, text)
}

/// A value of metadata as filters compare it: they take `True` for "true", and cannot ask for `None`.
fn written(value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    if value.is_none() {
        return Ok(None);
    }
    if let Ok(truth) = value.extract::<bool>() {
        return Ok(Some(truth.to_string()));
    }
    Ok(Some(value.str()?.to_string()))
}

/// A `TypeError` that names the argument, what it should be and what it is.
pub(super) fn wrong_type(field: &str, wanted: &str, given: &Bound<'_, PyAny>) -> PyErr {
    let name = given.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("{field} must be {wanted}, not {name}"))
}
