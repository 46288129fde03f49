//! Calls of a store that is written in Python, and what comes back from them.
//!
//! It refuses whatever could not be an honest answer, and says which method gave it: rows that are missing, in
//! another order, there twice, of other types, or not meant by the conditions.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use pyo3::call::PyCallArgs;
use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::{PyConnectionError, PyException, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

use super::attribute;
use crate::error::{Error, Kind, Result};
use crate::python::bridge::Slices;
use crate::python::errors::{Cause, callback_error};
use crate::python::json::class_of;
use crate::python::vectors;
use crate::store::{Entry, Filter, Hit, StoredEntry, same_dimensions};

type Keywords<'py> = Option<Bound<'py, PyDict>>;

/// The object, on a thread that holds the interpreter.
pub(super) struct Backend<'py> {
    object: &'py Bound<'py, PyAny>,
    class: &'py str,
}

impl<'py> Backend<'py> {
    pub(super) const fn new(object: &'py Bound<'py, PyAny>, class: &'py str) -> Self {
        Self { object, class }
    }

    fn py(&self) -> Python<'py> {
        self.object.py()
    }

    /// Calls a method with the arguments that `arguments` makes.
    pub(super) fn call<A: PyCallArgs<'py>>(
        &self,
        method: &str,
        arguments: impl FnOnce(Python<'py>) -> PyResult<(A, Keywords<'py>)>,
    ) -> Result<Bound<'py, PyAny>> {
        let called = arguments(self.py()).and_then(|(positional, keywords)| {
            self.object.call_method(method, positional, keywords.as_ref())
        });
        called.map_err(|raised| self.failed(method, raised))
    }

    fn failed(&self, method: &str, raised: PyErr) -> Error {
        failed(self.py(), self.class, method, raised)
    }

    fn wrong(&self, method: &str, text: impl std::fmt::Display) -> Error {
        let text = format!("the store's {}.{method}() answered wrongly: {text}", self.class);
        Error::new(Kind::Store, text)
    }

    /// Refuses vectors of another length than the object says it holds.
    pub(super) fn check_dimensions(&self, given: usize) -> Result<()> {
        let known = attribute(self.object, "dimensions");
        let known = known.map_err(|raised| self.failed("dimensions", raised))?;
        let Some(known) = known else { return Ok(()) };
        let Ok(known) = known.extract() else {
            let text = format!("{}.dimensions must be an int or None, not {known}", self.class);
            return Err(Error::new(Kind::Store, text));
        };
        same_dimensions(known, given)
    }

    /// A number of entries, at most `most`.
    pub(super) fn number(
        &self,
        method: &str,
        answer: &Bound<'_, PyAny>,
        most: Option<usize>,
    ) -> Result<usize> {
        let Ok(number) = answer.extract() else {
            let text = format!("a number of entries is wanted, not {}", shown(answer));
            return Err(self.wrong(method, text));
        };
        match most {
            Some(most) if number > most => {
                Err(self.wrong(method, format!("{number} for {most} ids")))
            }
            _ => Ok(number),
        }
    }

    /// Every item of an answer as `read` reads it; others may run meanwhile.
    fn each<T>(
        &self,
        method: &str,
        answer: &Bound<'py, PyAny>,
        mut read: impl FnMut(usize, Bound<'py, PyAny>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let wanted = || self.wrong(method, format!("a list is wanted, not {}", shown(answer)));
        let items = answer.try_iter().map_err(|_| wanted())?;
        let slices = Slices::new();
        let mut found = Vec::new();
        for (at, item) in items.enumerate() {
            let item = item.map_err(|raised| self.failed(method, raised))?;
            found.push(read(at, item)?);
            slices.breathe(self.py()).map_err(|raised| callback_error(self.py(), raised))?;
        }
        Ok(found)
    }

    /// As [`Backend::each`], for answers of one item for each of `count` that were asked about.
    fn one_for_each<T>(
        &self,
        method: &str,
        answer: &Bound<'py, PyAny>,
        count: usize,
        read: impl FnMut(usize, Bound<'py, PyAny>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let found = self.each(method, answer, read)?;
        if found.len() != count {
            return Err(self.wrong(method, format!("{} items for {count}", found.len())));
        }
        Ok(found)
    }

    fn field<T: FromPyObjectOwned<'py>>(
        &self,
        method: &str,
        at: usize,
        row: &Bound<'py, PyAny>,
        (name, wanted): (&str, &str),
    ) -> Result<T> {
        let value = row.getattr(name).map_err(|_| {
            let text = format!("row {at} is {}, which has no attribute {name}", shown(row));
            self.wrong(method, text)
        })?;
        value.extract().map_err(|_| {
            let text = format!("row {at}: {name} must be {wanted}, not {}", shown(&value));
            self.wrong(method, text)
        })
    }

    fn entry(&self, method: &str, at: usize, row: &Bound<'py, PyAny>) -> Result<StoredEntry> {
        let entry = Entry {
            id: self.field(method, at, row, ("id", "a str"))?,
            text: self.field(method, at, row, ("text", "a str"))?,
            metadata: self.field(method, at, row, ("metadata", "a dict of str to str"))?,
        };
        let index = self.field(method, at, row, ("index", "an int from 0"))?;
        Ok(StoredEntry { entry: Arc::new(entry), index })
    }

    /// Entries in the places of the ids.
    pub(super) fn looked_up(
        &self,
        answer: &Bound<'py, PyAny>,
        ids: &[String],
    ) -> Result<Vec<Option<StoredEntry>>> {
        let read = |at: usize, row: Bound<'py, PyAny>| {
            if row.is_none() {
                return Ok(None);
            }
            let stored = self.entry("get", at, &row)?;
            match ids.get(at) {
                Some(id) if *id != stored.entry.id => {
                    let text = format!("row {at} is '{}' and was to be '{id}'", stored.entry.id);
                    Err(self.wrong("get", text))
                }
                _ => Ok(Some(stored)),
            }
        };
        self.one_for_each("get", answer, ids.len(), read)
    }

    /// A page of the entries that `filter` means.
    pub(super) fn page(
        &self,
        answer: &Bound<'py, PyAny>,
        filter: Option<&Filter>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredEntry>> {
        let (mut last, mut ids) = (after, HashSet::new());
        self.each("entries", answer, |at, row| {
            let stored = self.entry("entries", at, &row)?;
            let id = &stored.entry.id;
            if at == limit {
                return Err(self.wrong("entries", format!("more than the {limit} asked for")));
            }
            if let Some(last) = last.filter(|last| stored.index <= *last) {
                let text = format!("row {at} ('{id}') has index {} behind {last}", stored.index);
                return Err(self.wrong("entries", text));
            }
            if !ids.insert(id.clone()) {
                return Err(self.wrong("entries", format!("row {at} is '{id}' once more")));
            }
            self.check_meant("entries", at, &stored, filter)?;
            last = Some(stored.index);
            Ok(stored)
        })
    }

    /// Hits, best first, equals in the order they were added.
    pub(super) fn hits(
        &self,
        method: &str,
        answer: &Bound<'py, PyAny>,
        top_k: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<Hit>> {
        let (mut last, mut ids, mut indexes) = (f32::INFINITY, HashSet::new(), HashSet::new());
        let mut hits = self.each(method, answer, |at, row| {
            let stored = self.entry(method, at, &row)?;
            let id = &stored.entry.id;
            let score: f32 = self.field(method, at, &row, ("score", "a number"))?;
            if at == top_k {
                return Err(self.wrong(method, format!("more than the {top_k} asked for")));
            }
            if !score.is_finite() || score > last {
                let text = format!("row {at} ('{id}') scores {score} behind {last}");
                return Err(self.wrong(method, format!("{text}; the best come first")));
            }
            if !ids.insert(id.clone()) || !indexes.insert(stored.index) {
                let text = format!("row {at} ('{id}') has the id or the index of another");
                return Err(self.wrong(method, text));
            }
            self.check_meant(method, at, &stored, filter)?;
            last = score;
            Ok(Hit { entry: stored.entry, score, index: stored.index })
        })?;
        // Added to zero, -0 and 0 are equals.
        hits.sort_by(|one, other| {
            let order = (other.score + 0.0).total_cmp(&(one.score + 0.0));
            order.then(one.index.cmp(&other.index))
        });
        Ok(hits)
    }

    pub(super) fn hits_of_each(
        &self,
        answer: &Bound<'py, PyAny>,
        count: usize,
        top_k: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<Vec<Hit>>> {
        let read = |_, hits: Bound<'py, PyAny>| self.hits("search_many", &hits, top_k, filter);
        self.one_for_each("search_many", answer, count, read)
    }

    fn check_meant(
        &self,
        method: &str,
        at: usize,
        stored: &StoredEntry,
        filter: Option<&Filter>,
    ) -> Result<()> {
        if filter.is_none_or(|filter| filter.matches(&stored.entry.metadata)) {
            return Ok(());
        }
        let text = format!("row {at} ('{}') is not what where means", stored.entry.id);
        Err(self.wrong(method, text))
    }

    /// Metadata of each of `count` entries.
    pub(super) fn metadatas(
        &self,
        answer: &Bound<'py, PyAny>,
        count: usize,
    ) -> Result<Vec<Option<BTreeMap<String, String>>>> {
        self.one_for_each("metadatas", answer, count, |at, metadata| {
            metadata.extract().map_err(|_| {
                let text = format!("item {at} must be a dict of str to str or None, not ");
                self.wrong("metadatas", text + &shown(&metadata))
            })
        })
    }

    /// The vector of each of `count` entries.
    pub(super) fn vectors(
        &self,
        answer: &Bound<'py, PyAny>,
        count: usize,
    ) -> Result<Vec<Option<Vec<f32>>>> {
        let mut length = None;
        self.one_for_each("vectors", answer, count, |at, vector| {
            if vector.is_none() {
                return Ok(None);
            }
            let values = vectors::row("vector", &vector).map_err(|_| {
                self.wrong("vectors", format!("item {at} must be a vector or None"))
            })?;
            let known = *length.get_or_insert(values.len());
            if values.is_empty() || values.len() != known {
                let text = format!("item {at} has {} values, others {known}", values.len());
                return Err(self.wrong("vectors", text));
            }
            Ok(Some(values))
        })
    }

    pub(super) fn texts(
        &self,
        method: &str,
        answer: &Bound<'py, PyAny>,
    ) -> Result<HashSet<String>> {
        let texts = self.each(method, answer, |at, text| {
            text.extract().map_err(|_| {
                self.wrong(method, format!("item {at} must be a str, not {}", shown(&text)))
            })
        });
        Ok(texts?.into_iter().collect())
    }
}

/// A value in a complaint.
fn shown(value: &Bound<'_, PyAny>) -> String {
    format!("'{}'", class_of(value))
}

/// What a method raised. Errors of this package and what ends a program stay what they are.
pub(super) fn failed(py: Python<'_>, class: &str, method: &str, raised: PyErr) -> Error {
    static OWN: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let own = OWN
        .import(py, "graphbit.exceptions", "GraphbitError")
        .is_ok_and(|own| raised.is_instance(py, own));
    if own || !raised.is_instance_of::<PyException>(py) {
        return callback_error(py, raised);
    }
    let kind = match () {
        () if raised.is_instance_of::<PyTimeoutError>(py) => Kind::Timeout,
        () if raised.is_instance_of::<PyConnectionError>(py) => Kind::Network,
        () => Kind::Store,
    };
    let text = format!("the store's {class}.{method}() raised {raised}");
    Error::new(kind, text).with_source(Cause(raised))
}
