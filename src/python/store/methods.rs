//! The methods that every store class has, each with its awaitable twin, written once.

/// A class over the protocol of all stores: its own methods, and those that all have.
macro_rules! store_methods {
    ($class:ident, $($own:tt)*) => {
        #[pyo3::pymethods]
        impl $class {
            $($own)*

            /// Stores one vector a row and returns the ids. Ids that exist are replaced; without `ids` free
            /// numbers are given. All rows are stored, or none.
            #[pyo3(signature = (vectors, texts=None, ids=None, metadatas=None))]
            fn add(
                &self,
                py: pyo3::Python<'_>,
                vectors: &pyo3::Bound<'_, pyo3::PyAny>,
                texts: Option<super::Texts>,
                ids: Option<super::Texts>,
                metadatas: super::Metadatas,
            ) -> pyo3::PyResult<Vec<String>> {
                let reply = super::replace(self.shared(), super::Listed(Vec::new()), vectors, texts, ids, metadatas)?;
                super::answer(py, reply)
            }

            /// The awaitable twin of `add`.
            #[pyo3(signature = (vectors, texts=None, ids=None, metadatas=None))]
            fn add_async<'py>(
                &self,
                py: pyo3::Python<'py>,
                vectors: &pyo3::Bound<'_, pyo3::PyAny>,
                texts: Option<super::Texts>,
                ids: Option<super::Texts>,
                metadatas: super::Metadatas,
            ) -> pyo3::PyResult<pyo3::Bound<'py, pyo3::PyAny>> {
                let reply = super::replace(self.shared(), super::Listed(Vec::new()), vectors, texts, ids, metadatas)?;
                super::promise(py, reply, std::convert::identity)
            }

            /// Removes the entries with the ids `stale` and stores new ones, in one change; returns the new ids.
            #[pyo3(signature = (stale, vectors, texts=None, ids=None, metadatas=None))]
            fn replace(
                &self,
                py: pyo3::Python<'_>,
                stale: super::Texts,
                vectors: &pyo3::Bound<'_, pyo3::PyAny>,
                texts: Option<super::Texts>,
                ids: Option<super::Texts>,
                metadatas: super::Metadatas,
            ) -> pyo3::PyResult<Vec<String>> {
                let reply = super::replace(self.shared(), stale, vectors, texts, ids, metadatas)?;
                super::answer(py, reply)
            }

            /// The awaitable twin of `replace`.
            #[pyo3(signature = (stale, vectors, texts=None, ids=None, metadatas=None))]
            fn replace_async<'py>(
                &self,
                py: pyo3::Python<'py>,
                stale: super::Texts,
                vectors: &pyo3::Bound<'_, pyo3::PyAny>,
                texts: Option<super::Texts>,
                ids: Option<super::Texts>,
                metadatas: super::Metadatas,
            ) -> pyo3::PyResult<pyo3::Bound<'py, pyo3::PyAny>> {
                let reply = super::replace(self.shared(), stale, vectors, texts, ids, metadatas)?;
                super::promise(py, reply, std::convert::identity)
            }

            /// The `top_k` entries most like `vector`, best first, among those that `where` means.
            #[pyo3(signature = (vector, top_k=5, *, r#where=None, ef_search=None))]
            fn search(
                &self,
                py: pyo3::Python<'_>,
                vector: &pyo3::Bound<'_, pyo3::PyAny>,
                top_k: usize,
                r#where: Option<&pyo3::Bound<'_, pyo3::PyAny>>,
                ef_search: Option<usize>,
            ) -> pyo3::PyResult<Vec<super::SearchHit>> {
                let reply = super::search(self.shared(), vector, top_k, r#where, ef_search)?;
                Ok(super::hits(super::answer(py, reply)?))
            }

            /// The awaitable twin of `search`.
            #[pyo3(signature = (vector, top_k=5, *, r#where=None, ef_search=None))]
            fn search_async<'py>(
                &self,
                py: pyo3::Python<'py>,
                vector: &pyo3::Bound<'_, pyo3::PyAny>,
                top_k: usize,
                r#where: Option<&pyo3::Bound<'_, pyo3::PyAny>>,
                ef_search: Option<usize>,
            ) -> pyo3::PyResult<pyo3::Bound<'py, pyo3::PyAny>> {
                let reply = super::search(self.shared(), vector, top_k, r#where, ef_search)?;
                super::promise(py, reply, super::hits)
            }

            /// `search` for every row of `vectors`, side by side.
            #[pyo3(signature = (vectors, top_k=5, *, r#where=None, ef_search=None))]
            fn search_many(
                &self,
                py: pyo3::Python<'_>,
                vectors: &pyo3::Bound<'_, pyo3::PyAny>,
                top_k: usize,
                r#where: Option<&pyo3::Bound<'_, pyo3::PyAny>>,
                ef_search: Option<usize>,
            ) -> pyo3::PyResult<Vec<Vec<super::SearchHit>>> {
                let reply = super::search_many(self.shared(), vectors, top_k, r#where, ef_search)?;
                Ok(super::hits_of_each(super::answer(py, reply)?))
            }

            /// The awaitable twin of `search_many`.
            #[pyo3(signature = (vectors, top_k=5, *, r#where=None, ef_search=None))]
            fn search_many_async<'py>(
                &self,
                py: pyo3::Python<'py>,
                vectors: &pyo3::Bound<'_, pyo3::PyAny>,
                top_k: usize,
                r#where: Option<&pyo3::Bound<'_, pyo3::PyAny>>,
                ef_search: Option<usize>,
            ) -> pyo3::PyResult<pyo3::Bound<'py, pyo3::PyAny>> {
                let reply = super::search_many(self.shared(), vectors, top_k, r#where, ef_search)?;
                super::promise(py, reply, super::hits_of_each)
            }

            /// The entries with these ids, in this order; `None` for an id that there is not.
            fn get(
                &self,
                py: pyo3::Python<'_>,
                ids: super::Texts,
            ) -> pyo3::PyResult<Vec<Option<super::StoredEntry>>> {
                let reply = self.shared().get(ids.0);
                Ok(super::looked_up(super::answer(py, reply)?))
            }

            /// The awaitable twin of `get`.
            fn get_async<'py>(
                &self,
                py: pyo3::Python<'py>,
                ids: super::Texts,
            ) -> pyo3::PyResult<pyo3::Bound<'py, pyo3::PyAny>> {
                let reply = self.shared().get(ids.0);
                super::promise(py, reply, super::looked_up)
            }

            /// At most `limit` entries that `where` means, in the order they were added, behind index `after`.
            #[pyo3(signature = (r#where=None, *, after=None, limit=1000))]
            fn entries(
                &self,
                py: pyo3::Python<'_>,
                r#where: Option<&pyo3::Bound<'_, pyo3::PyAny>>,
                after: Option<u64>,
                limit: usize,
            ) -> pyo3::PyResult<Vec<super::StoredEntry>> {
                let reply = self.shared().entries(super::filter(r#where)?, after, limit);
                Ok(super::page(super::answer(py, reply)?))
            }

            /// The awaitable twin of `entries`.
            #[pyo3(signature = (r#where=None, *, after=None, limit=1000))]
            fn entries_async<'py>(
                &self,
                py: pyo3::Python<'py>,
                r#where: Option<&pyo3::Bound<'_, pyo3::PyAny>>,
                after: Option<u64>,
                limit: usize,
            ) -> pyo3::PyResult<pyo3::Bound<'py, pyo3::PyAny>> {
                let reply = self.shared().entries(super::filter(r#where)?, after, limit);
                super::promise(py, reply, super::page)
            }

            /// How many entries `where` means; all of them without it.
            #[pyo3(signature = (r#where=None))]
            fn count(
                &self,
                py: pyo3::Python<'_>,
                r#where: Option<&pyo3::Bound<'_, pyo3::PyAny>>,
            ) -> pyo3::PyResult<usize> {
                let reply = self.shared().count(super::filter(r#where)?);
                super::answer(py, reply)
            }

            /// The awaitable twin of `count`.
            #[pyo3(signature = (r#where=None))]
            fn count_async<'py>(
                &self,
                py: pyo3::Python<'py>,
                r#where: Option<&pyo3::Bound<'_, pyo3::PyAny>>,
            ) -> pyo3::PyResult<pyo3::Bound<'py, pyo3::PyAny>> {
                let reply = self.shared().count(super::filter(r#where)?);
                super::promise(py, reply, std::convert::identity)
            }

            /// Removes the entries with these ids, or those that `where` means; returns how many there were.
            #[pyo3(signature = (ids=None, *, r#where=None))]
            fn delete(
                &self,
                py: pyo3::Python<'_>,
                ids: Option<super::Texts>,
                r#where: Option<&pyo3::Bound<'_, pyo3::PyAny>>,
            ) -> pyo3::PyResult<usize> {
                let reply = super::delete(self.shared(), ids, r#where)?;
                super::answer(py, reply)
            }

            /// The awaitable twin of `delete`.
            #[pyo3(signature = (ids=None, *, r#where=None))]
            fn delete_async<'py>(
                &self,
                py: pyo3::Python<'py>,
                ids: Option<super::Texts>,
                r#where: Option<&pyo3::Bound<'_, pyo3::PyAny>>,
            ) -> pyo3::PyResult<pyo3::Bound<'py, pyo3::PyAny>> {
                let reply = super::delete(self.shared(), ids, r#where)?;
                super::promise(py, reply, std::convert::identity)
            }

            /// "cosine", "dot" or "l2".
            #[getter]
            fn metric(&self) -> &'static str {
                self.shared().metric().as_str()
            }

            fn __enter__(slf: pyo3::PyRef<'_, Self>) -> pyo3::PyRef<'_, Self> {
                slf
            }

            fn __exit__(
                &self,
                py: pyo3::Python<'_>,
                _class: &pyo3::Bound<'_, pyo3::PyAny>,
                _error: &pyo3::Bound<'_, pyo3::PyAny>,
                _traceback: &pyo3::Bound<'_, pyo3::PyAny>,
            ) -> pyo3::PyResult<()> {
                self.close(py)
            }
        }
    };
}

/// [`store_methods`], and what the stores on servers have in common beyond them.
macro_rules! remote_store_methods {
    ($class:ident, $($own:tt)*) => {
        super::methods::store_methods! { $class,
            $($own)*

            /// Lets go of the server; every later call is refused.
            fn close(&self, py: pyo3::Python<'_>) -> pyo3::PyResult<()> {
                crate::python::bridge::detach(py, || {
                    self.store.close();
                    Ok(())
                })
            }

            /// Values a vector, or `None` before the first one.
            #[getter]
            fn dimensions(&self) -> Option<usize> {
                self.shared().dimensions()
            }

            fn __len__(&self, py: pyo3::Python<'_>) -> pyo3::PyResult<usize> {
                super::answer(py, self.shared().count(None))
            }

            /// An empty one is as true as a full one; only `len()` asks the server.
            fn __bool__(&self) -> bool {
                true
            }
        }
    };
}

pub(super) use {remote_store_methods, store_methods};
