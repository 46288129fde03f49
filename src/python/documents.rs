//! What `ParallelRAG.ingest` accepts: paths, names with texts, dicts, other libraries' documents.
//!
//! It refuses to guess: a plain string is a path, and a text needs a name to be cited by. Everything is
//! converted before any work starts, so that a wrong argument costs nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyMapping, PyString, PyTuple};

use crate::rag::Source;
use crate::types::Document;

/// A longer string is a text somebody meant to wrap, not a path.
const LONGEST_PATH: usize = 4096;

/// Everything `ingest` accepts, as the core's sources.
pub(super) fn sources(documents: &Bound<'_, PyAny>) -> PyResult<Vec<Source>> {
    if let Some(source) = path(documents, "documents")? {
        return Ok(vec![source]);
    }
    if let Ok(mapping) = documents.cast::<PyMapping>() {
        if mapping.contains("text")? && mapping.contains("source")? {
            return Ok(vec![one(documents, "documents")?]);
        }
        let mut sources = Vec::new();
        for item in mapping.items()? {
            sources.push(one(&item, "documents")?);
        }
        return Ok(sources);
    }
    if documents.hasattr("text")? || documents.hasattr("page_content")? {
        return Ok(vec![one(documents, "documents")?]);
    }
    let items = documents
        .try_iter()
        .map_err(|_| wrong_type("documents", "a path, a mapping or an iterable", documents))?;
    items.enumerate().map(|(index, item)| one(&item?, &format!("documents[{index}]"))).collect()
}

fn path(item: &Bound<'_, PyAny>, field: &str) -> PyResult<Option<Source>> {
    if let Ok(text) = item.cast::<PyString>() {
        let text = text.to_cow()?;
        if text.contains('\n') || text.len() > LONGEST_PATH {
            return Err(PyValueError::new_err(format!(
                "{field} looks like a text, but a plain string is a path; give a text as (name, text)"
            )));
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
