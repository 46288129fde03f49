//! A store on a server, behind the protocol of all stores: its own methods are futures, and their answers awaited.
//!
//! Such stores differ in how they ask their servers and not in how they are asked themselves, so that is written
//! down once. What they refuse, their own methods refuse.

/// The methods of [`super::Store`] that ask the server. The type has `count_meant`, `count_values_of`, `values_of`,
/// `values_at_ids`, `entries_at`, `page`, `replace_all`, `delete_ids`, `delete_meant`, `search_one`, `search_all` and
/// `best_candidates`.
macro_rules! awaited_answers {
    () => {
        fn known_len(&self) -> Option<usize> {
            None
        }

        fn count(
            self: std::sync::Arc<Self>,
            filter: Option<$crate::store::Filter>,
        ) -> $crate::store::Reply<usize> {
            $crate::store::Reply::awaited(async move { self.count_meant(filter.as_ref()).await })
        }

        fn count_values(self: std::sync::Arc<Self>, key: String) -> $crate::store::Reply<usize> {
            $crate::store::Reply::awaited(async move { self.count_values_of(&key).await })
        }

        fn values(self: std::sync::Arc<Self>, key: String) -> $crate::store::Reply<Vec<String>> {
            $crate::store::Reply::awaited(async move { self.values_of(&key).await })
        }

        fn values_at(
            self: std::sync::Arc<Self>,
            ids: Vec<String>,
            key: String,
        ) -> $crate::store::Reply<Vec<Option<Option<String>>>> {
            $crate::store::Reply::awaited(async move { self.values_at_ids(&ids, &key).await })
        }

        fn get(
            self: std::sync::Arc<Self>,
            ids: Vec<String>,
        ) -> $crate::store::Reply<Vec<Option<$crate::store::StoredEntry>>> {
            $crate::store::Reply::awaited(async move { self.entries_at(&ids).await })
        }

        fn entries(
            self: std::sync::Arc<Self>,
            filter: Option<$crate::store::Filter>,
            after: Option<u64>,
            limit: usize,
        ) -> $crate::store::Reply<Vec<$crate::store::StoredEntry>> {
            $crate::store::Reply::awaited(
                async move { self.page(filter.as_ref(), after, limit).await },
            )
        }

        fn replace(
            self: std::sync::Arc<Self>,
            stale: Vec<String>,
            vectors: $crate::types::Matrix,
            entries: Vec<$crate::store::Entry>,
        ) -> $crate::store::Reply<Vec<String>> {
            $crate::store::Reply::awaited(
                async move { self.replace_all(stale, vectors, entries).await },
            )
        }

        fn delete(self: std::sync::Arc<Self>, ids: Vec<String>) -> $crate::store::Reply<usize> {
            $crate::store::Reply::awaited(async move { self.delete_ids(ids).await })
        }

        fn delete_where(
            self: std::sync::Arc<Self>,
            filter: $crate::store::Filter,
        ) -> $crate::store::Reply<usize> {
            $crate::store::Reply::awaited(async move { self.delete_meant(&filter).await })
        }

        fn search(
            self: std::sync::Arc<Self>,
            query: Vec<f32>,
            top_k: usize,
            filter: Option<$crate::store::Filter>,
            ef_search: Option<usize>,
        ) -> $crate::store::Reply<Vec<$crate::store::Hit>> {
            $crate::store::Reply::awaited(async move {
                self.search_one(query, top_k, filter.as_ref(), ef_search).await
            })
        }

        fn search_many(
            self: std::sync::Arc<Self>,
            queries: $crate::types::Matrix,
            top_k: usize,
            filter: Option<$crate::store::Filter>,
            ef_search: Option<usize>,
        ) -> $crate::store::Reply<Vec<Vec<$crate::store::Hit>>> {
            $crate::store::Reply::awaited(async move {
                self.search_all(queries, top_k, filter, ef_search).await
            })
        }

        fn candidates(
            self: std::sync::Arc<Self>,
            sought: $crate::store::Sought,
            limit: usize,
            filter: Option<$crate::store::Filter>,
        ) -> $crate::store::Reply<Vec<$crate::store::Candidate>> {
            $crate::store::Reply::awaited(async move {
                self.best_candidates(sought, limit, filter).await
            })
        }
    };
}

pub(super) use awaited_answers;
