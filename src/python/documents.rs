//! What `ParallelRAG.ingest` accepts: paths, names with texts, dicts, other libraries' documents.
//!
//! It refuses to guess: a plain string is a path or a URL, and a text needs a name to be cited by. What is in memory
//! anyway is converted before any work starts, so that a wrong argument costs nothing; what an iterator
//! gives is drawn when there is room for it, on threads that may wait for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::stream;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PyMapping, PyString, PyTuple};

use super::bridge::{self, Slices};
use crate::load::Place;
use crate::rag::{Source, Sources};
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
            Self::Each(items) => return Ok((drawn(Well::Items(items)), None)),
            Self::Awaited(documents) => documents,
        };
        let Some(event_loop) = event_loop else {
            let text = "documents is an asynchronous iterable; use ingest_async, or async for over \
                        ingest_stream";
            return Err(PyTypeError::new_err(text));
        };
        let drawing = py
            .import("graphbit._drawing")?
            .call_method1("Drawing", (documents, event_loop))?
            .unbind();
        Ok((drawn(Well::Drawing(drawing.clone_ref(py))), Some(drawing)))
    }
}

/// What is drawn from.
enum Well {
    Items(Py<PyIterator>),
    Drawing(Py<PyAny>),
}

impl Well {
    fn draw<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self {
            Self::Items(items) => items.bind(py).clone().next().transpose(),
            Self::Drawing(drawing) => {
                let drawn = drawing.bind(py).call_method0("draw")?.cast_into::<PyTuple>()?;
                Ok(drawn.iter().next())
            }
        }
    }
}

/// Sources that are drawn one call at a time.
fn drawn(well: Well) -> Sources {
    let begun = Some((Arc::new(well), 0_usize));
    Sources::drawn(stream::unfold(begun, |state| async move {
        let (well, number) = state?;
        let drawing = Arc::clone(&well);
        let drawn = bridge::call_python(move |py| match drawing.draw(py)? {
            Some(item) => one(&item, &format!("documents[{number}]")).map(Some),
            None => Ok(None),
        });
        match drawn.await {
            Ok(Some(source)) => Some((Ok(source), Some((well, number.saturating_add(1))))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    }))
}

fn all(items: &Bound<'_, PyAny>) -> PyResult<Vec<Source>> {
    let mut sources = Vec::new();
    let mut slices = Slices::new();
    for item in items.try_iter()? {
        sources.push(one(&item?, &format!("documents[{}]", sources.len()))?);
        slices.breathe(items.py())?;
    }
    Ok(sources)
}

fn path(item: &Bound<'_, PyAny>, field: &str) -> PyResult<Option<Source>> {
    if let Ok(text) = item.cast::<PyString>() {
        let text = text.to_cow()?;
        if text.contains('\n') || text.len() > LONGEST_PATH {
            return Err(PyValueError::new_err(format!(
                "{field} looks like a text, but a plain string is a path; give a text as (name, text)"
            )));
        }
        if Place::Named(text.to_string()).url().is_some() {
            return Ok(Some(Source::Url(text.into_owned())));
        }
        return Ok(Some(Source::Path(PathBuf::from(text.as_ref()))));
    }
    if item.hasattr("__fspath__")? {
        return Ok(Some(Source::Path(item.extract()?)));
    }
    Ok(None)
}

fn one(item: &Bound<'_, PyAny>, field: &str) -> PyResult<Source> {
    if let Some(source) = path(item, field)? {
        return Ok(source);
    }
    let text_of = |value: &Bound<'_, PyAny>, part: &str| -> PyResult<String> {
        value.extract().map_err(|_| wrong_type(&format!("{field}{part}"), "a string", value))
    };
    if let Ok(pair) = item.cast::<PyTuple>() {
        if pair.len() != 2 {
            let text = format!("{field} must be (name, text), not a tuple of {}", pair.len());
            return Err(PyValueError::new_err(text));
        }
        let source = text_of(&pair.get_item(0)?, "[0], the name,")?;
        let text = text_of(&pair.get_item(1)?, "[1], the text,")?;
        return Ok(Source::Document(Document { source, text, metadata: BTreeMap::new() }));
    }
    let get = |names: &[&str]| -> PyResult<Option<Bound<'_, PyAny>>> {
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
    let text = text_of(&text, ".text")?;
    let metadata = match get(&["metadata"])? {
        None => BTreeMap::new(),
        Some(metadata) => {
            let mapping = metadata.cast_into::<PyMapping>().map_err(|error| {
                wrong_type(&format!("{field}.metadata"), "a mapping", &error.into_inner())
            })?;
            let mut pairs = BTreeMap::new();
            for pair in mapping.items()? {
                let (key, value) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
                pairs.insert(key.str()?.to_string(), value.str()?.to_string());
            }
            pairs
        }
    };
    let source = match get(&["source", "name"])? {
        Some(source) => source.str()?.to_string(),
        None => metadata.get("source").cloned().ok_or_else(|| {
            PyValueError::new_err(format!("{field} has no 'source' to cite it by"))
        })?,
    };
    Ok(Source::Document(Document { source, text, metadata }))
}

/// A `TypeError` that names the argument, what it should be and what it is.
pub(super) fn wrong_type(field: &str, wanted: &str, given: &Bound<'_, PyAny>) -> PyErr {
    let name = given.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("{field} must be {wanted}, not {name}"))
}
