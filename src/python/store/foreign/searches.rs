//! Searches of a store that is written in Python: by vector, by words, and by both.
//!
//! It refuses what the object has no method for.

use std::collections::HashSet;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::answers::Backend;
use super::{ForeignStore, conditions};
use crate::error::{Error, Kind, Result};
use crate::python::vectors::to_row;
use crate::store::{FUSED_RANKS, Filter, Hit, finite, fused, same_dimensions};

impl ForeignStore {
    /// A search that is about to be made.
    pub(super) fn search_keywords<'py>(
        &self,
        py: Python<'py>,
        filter: Option<&Filter>,
        ef_search: Option<usize>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let keywords = PyDict::new(py);
        keywords.set_item("where", conditions(py, filter)?)?;
        if let Some(ef_search) = ef_search.filter(|_| self.offers.ef_search) {
            keywords.set_item("ef_search", ef_search)?;
        }
        Ok(keywords)
    }

    pub(super) fn by_vector(
        &self,
        backend: &Backend<'_>,
        query: Vec<f32>,
        top_k: usize,
        filter: Option<&Filter>,
        ef_search: Option<usize>,
    ) -> Result<Vec<Hit>> {
        finite("query", None, &query)?;
        backend.check_dimensions(query.len())?;
        let answer = backend.call("search", |py| {
            let keywords = self.search_keywords(py, filter, ef_search)?;
            Ok(((to_row(py, query)?, top_k), Some(keywords)))
        })?;
        backend.hits("search", &answer, top_k, filter)
    }

    pub(super) fn by_words(
        &self,
        backend: &Backend<'_>,
        words: &str,
        limit: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<Hit>> {
        if !self.offers.search_words {
            let text = format!("'{}' has no method search_words", self.class);
            let text = format!("this store cannot look for words: {text}; ask with mode='vector'");
            return Err(Error::new(Kind::Unsupported, text));
        }
        let answer = backend.call("search_words", |py| {
            Ok(((words, limit), Some(self.search_keywords(py, filter, None)?)))
        })?;
        backend.hits("search_words", &answer, limit, filter)
    }

    /// Hits by vector and by words, fused by their ranks, each with its score by vector.
    pub(super) fn by_both(
        &self,
        backend: &Backend<'_>,
        query: &[f32],
        words: &str,
        limit: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<(Hit, f32)>> {
        let depth = limit.max(FUSED_RANKS);
        // Asked first: a store that knows no words is not made to search for nothing.
        let worded = self.by_words(backend, words, depth, filter)?;
        let alike = self.by_vector(backend, query.to_vec(), depth, filter, None)?;
        let scored: HashSet<u64> = alike.iter().map(|hit| hit.index).collect();
        let mut ranked = fused([alike, worded], |_| None, limit);
        let unscored = |(hit, _): &&mut (Hit, f32)| !scored.contains(&hit.index);
        let ids: Vec<String> =
            ranked.iter_mut().filter(unscored).map(|(hit, _)| hit.entry.id.clone()).collect();
        let mut vectors = self.vectors_of(backend, ids)?.into_iter();
        let mut gone = HashSet::new();
        for (hit, _) in ranked.iter_mut().filter(unscored) {
            match vectors.next().flatten() {
                Some(vector) => {
                    same_dimensions(vector.len(), query.len())?;
                    hit.score = self.metric.between(query, &vector);
                }
                None => {
                    gone.insert(hit.index);
                }
            }
        }
        ranked.retain(|(hit, _)| !gone.contains(&hit.index));
        Ok(ranked)
    }

    pub(super) fn vectors_of(
        &self,
        backend: &Backend<'_>,
        ids: Vec<String>,
    ) -> Result<Vec<Option<Vec<f32>>>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        if !self.offers.vectors {
            let text = format!(
                "this store gives no vectors back, which 'diversity' and mode='hybrid' need: '{}' has no method vectors",
                self.class
            );
            return Err(Error::new(Kind::Unsupported, text));
        }
        let count = ids.len();
        let answer = backend.call("vectors", |_| Ok(((ids,), None)))?;
        backend.vectors(&answer, count)
    }
}
