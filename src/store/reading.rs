//! Looking into a store: by likeness, by id, and in the order of insertion.
//!
//! Everything here works on one snapshot, so that what is answered belongs together, and waits for no
//! writer; only looking up an id does, since the ids are the writers' ledger.

use std::sync::Arc;

use super::filter::Filter;
use super::search::{self, Wanted};
use super::{
    Entry, Hit, StoredEntry, VectorStore, all_finite, at_least_one, finite, same_dimensions,
};
use crate::error::Result;
use crate::types::Matrix;

/// What is asked of a search beside the vector.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'f> {
    /// How many entries at most, from 1.
    pub top_k: usize,
    /// Which entries; `None` means all.
    pub filter: Option<&'f Filter>,
    /// Vectors that a walk through the graph of [`super::Index::Hnsw`] keeps in sight, from 1; more find more and take
    /// longer. `None` is 160, and less than `top_k` is `top_k`. An exact store passes it over.
    pub ef_search: Option<usize>,
}

impl VectorStore {
    /// The `top_k` entries most like `query`, best first, equals in the order they were added.
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] when `top_k` is 0 or a value is not finite, [`crate::Kind::Store`] when the
    /// query's dimensions are not the store's.
    pub fn search(&self, query: &[f32], top_k: usize) -> Result<Vec<Hit>> {
        self.search_where(query, top_k, None)
    }

    /// [`VectorStore::search`] among the entries that `filter` means; `None` means all.
    ///
    /// # Errors
    /// As for [`VectorStore::search`].
    pub fn search_where(
        &self,
        query: &[f32],
        top_k: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<Hit>> {
        self.search_as(query, Asked { top_k, filter, ef_search: None })
    }

    /// [`VectorStore::search`] as `asked` says.
    ///
    /// # Errors
    /// As for [`VectorStore::search`], and [`crate::Kind::Validation`] when `ef_search` is 0.
    pub fn search_as(&self, query: &[f32], asked: Asked<'_>) -> Result<Vec<Hit>> {
        finite("query", None, query)?;
        let hits = self.find(&[query], asked)?.pop();
        Ok(hits.unwrap_or_default())
    }

    /// [`VectorStore::search`] for every row of `queries`, on all cores.
    ///
    /// # Errors
    /// As for [`VectorStore::search`].
    pub fn search_many(&self, queries: &Matrix, top_k: usize) -> Result<Vec<Vec<Hit>>> {
        self.search_many_where(queries, top_k, None)
    }

    /// [`VectorStore::search_many`] among the entries that `filter` means; `None` means all.
    ///
    /// # Errors
    /// As for [`VectorStore::search`].
    pub fn search_many_where(
        &self,
        queries: &Matrix,
        top_k: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<Vec<Hit>>> {
        self.search_many_as(queries, Asked { top_k, filter, ef_search: None })
    }

    /// [`VectorStore::search_many`] as `asked` says.
    ///
    /// # Errors
    /// As for [`VectorStore::search_as`].
    pub fn search_many_as(&self, queries: &Matrix, asked: Asked<'_>) -> Result<Vec<Vec<Hit>>> {
        all_finite("queries", queries)?;
        self.find(&queries.iter().collect::<Vec<_>>(), asked)
    }

    fn find(&self, queries: &[&[f32]], asked: Asked<'_>) -> Result<Vec<Vec<Hit>>> {
        let Asked { top_k, filter, ef_search } = asked;
        at_least_one("top_k", top_k)?;
        at_least_one("ef_search", ef_search)?;
        let snapshot = self.current();
        if let (Some(known), Some(query)) = (snapshot.dimensions, queries.first()) {
            same_dimensions(known, query.len())?;
        }
        let top_k = top_k.min(snapshot.len());
        let wanted = Wanted { metric: self.metric(), top_k, filter, sight: ef_search };
        Ok(search::search(&snapshot, queries, wanted))
    }

    /// The entry with this id.
    ///
    /// # Errors
    /// As for [`VectorStore::get_many`].
    pub fn get(&self, id: &str) -> Result<Option<Arc<Entry>>> {
        let found = self.get_many(&[id])?.pop().flatten();
        Ok(found.map(|stored| stored.entry))
    }

    /// The entries with these ids, in this order; `None` for an id that there is not.
    ///
    /// # Errors
    /// [`crate::Kind::Store`] in a forked child whose parent was writing at that moment.
    pub fn get_many<S: AsRef<str>>(&self, ids: &[S]) -> Result<Vec<Option<StoredEntry>>> {
        let (places, snapshot): (Vec<Option<u64>>, _) = {
            let writer = self.write()?;
            let places = ids.iter().map(|id| writer.places.get(id.as_ref()).copied()).collect();
            (places, self.current())
        };
        let stored = |index: u64| snapshot.entry(index).map(|entry| StoredEntry { entry, index });
        Ok(places.into_iter().map(|place| place.and_then(stored)).collect())
    }

    /// A page of at most `limit` entries that `filter` means, in the order they were added, beginning behind
    /// the one with the [`StoredEntry::index`] `after`. Changes between two pages neither hide nor repeat an
    /// entry that stays.
    ///
    /// ```
    /// use graphbit::store::{Entry, Metric, VectorStore};
    /// use graphbit::types::Matrix;
    ///
    /// let store = VectorStore::new(Metric::Dot, None)?;
    /// store.add(Matrix::new(vec![1.0; 5], 5, 1)?, vec![Entry::text("same"); 5])?;
    /// let (mut pages, mut after) = (0, None);
    /// while let [.., last] = store.entries(None, after, 2)?.as_slice() {
    ///     (pages, after) = (pages + 1, Some(last.index));
    /// }
    /// assert_eq!(pages, 3);
    /// # Ok::<(), graphbit::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Kind::Validation`] when `limit` is 0.
    pub fn entries(
        &self,
        filter: Option<&Filter>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StoredEntry>> {
        at_least_one("limit", limit)?;
        let snapshot = self.current();
        let rows = snapshot.rows_after(after);
        let meant =
            rows.filter(|(_, entry)| filter.is_none_or(|filter| filter.matches(&entry.metadata)));
        let stored = meant.map(|(index, entry)| StoredEntry { entry: entry.clone(), index });
        Ok(stored.take(limit).collect())
    }

    /// How many entries `filter` means.
    #[must_use]
    pub fn count(&self, filter: &Filter) -> usize {
        search::select(&self.current(), filter).len()
    }
}
