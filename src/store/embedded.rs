//! The store of this process behind the protocol of all stores: the same methods, to be run where the caller may
//! wait.

use std::collections::HashSet;
use std::sync::Arc;

use super::filter::Filter;
use super::protocol::{Reply, Sought, Store};
use super::{Asked, Candidate, Entry, Hit, Metric, StoredEntry, VectorStore};
use crate::types::Matrix;

impl Store for VectorStore {
    fn metric(&self) -> Metric {
        Self::metric(self)
    }

    fn dimensions(&self) -> Option<usize> {
        Self::dimensions(self)
    }

    fn known_len(&self) -> Option<usize> {
        Some(self.len())
    }

    fn writers(&self) -> usize {
        1
    }

    fn count(self: Arc<Self>, filter: Option<Filter>) -> Reply<usize> {
        Reply::here(move || {
            Ok(filter.map_or_else(|| self.len(), |filter| Self::count(&self, &filter)))
        })
    }

    fn count_values(self: Arc<Self>, key: String) -> Reply<usize> {
        Reply::here(move || {
            let snapshot = self.current();
            let values: HashSet<&str> = values(&snapshot, &key).collect();
            Ok(values.len())
        })
    }

    fn values(self: Arc<Self>, key: String) -> Reply<Vec<String>> {
        Reply::here(move || {
            let snapshot = self.current();
            let values: HashSet<&str> = values(&snapshot, &key).collect();
            Ok(values.into_iter().map(str::to_owned).collect())
        })
    }

    fn values_at(
        self: Arc<Self>,
        ids: Vec<String>,
        key: String,
    ) -> Reply<Vec<Option<Option<String>>>> {
        Reply::here(move || {
            let found = self.get_many(&ids)?.into_iter();
            Ok(found.map(|one| Some(one?.entry.metadata.get(&key).cloned())).collect())
        })
    }

    fn get(self: Arc<Self>, ids: Vec<String>) -> Reply<Vec<Option<StoredEntry>>> {
        Reply::here(move || self.get_many(&ids))
    }

    fn entries(
        self: Arc<Self>,
        filter: Option<Filter>,
        after: Option<u64>,
        limit: usize,
    ) -> Reply<Vec<StoredEntry>> {
        Reply::here(move || Self::entries(&self, filter.as_ref(), after, limit))
    }

    fn replace(
        self: Arc<Self>,
        stale: Vec<String>,
        vectors: Matrix,
        entries: Vec<Entry>,
    ) -> Reply<Vec<String>> {
        Reply::watched(move |go_on| {
            let ids = self.replace_rows(&stale, vectors, entries)?;
            self.catch_up(go_on)?;
            Ok(ids)
        })
    }

    fn delete(self: Arc<Self>, ids: Vec<String>) -> Reply<usize> {
        Reply::watched(move |go_on| {
            let gone = self.delete_rows(&ids)?;
            self.catch_up(go_on)?;
            Ok(gone)
        })
    }

    fn delete_where(self: Arc<Self>, filter: Filter) -> Reply<usize> {
        Reply::watched(move |go_on| {
            let gone = self.delete_rows_where(&filter)?;
            self.catch_up(go_on)?;
            Ok(gone)
        })
    }

    fn search(
        self: Arc<Self>,
        query: Vec<f32>,
        top_k: usize,
        filter: Option<Filter>,
        ef_search: Option<usize>,
    ) -> Reply<Vec<Hit>> {
        Reply::here(move || {
            self.search_as(&query, Asked { top_k, filter: filter.as_ref(), ef_search })
        })
    }

    fn search_many(
        self: Arc<Self>,
        queries: Matrix,
        top_k: usize,
        filter: Option<Filter>,
        ef_search: Option<usize>,
    ) -> Reply<Vec<Vec<Hit>>> {
        Reply::here(move || {
            self.search_many_as(&queries, Asked { top_k, filter: filter.as_ref(), ef_search })
        })
    }

    fn candidates(
        self: Arc<Self>,
        sought: Sought,
        limit: usize,
        filter: Option<Filter>,
    ) -> Reply<Vec<Candidate>> {
        Reply::here(move || Self::candidates(&self, sought.wanted(), limit, filter.as_ref()))
    }
}

fn values<'s>(snapshot: &'s super::block::Snapshot, key: &'s str) -> impl Iterator<Item = &'s str> {
    snapshot.rows().filter_map(move |(_, entry)| entry.metadata.get(key).map(String::as_str))
}
