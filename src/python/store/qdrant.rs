//! `QdrantVectorStore`: the store in a collection of Qdrant.
//!
//! Every call is a journey to a server, so none keeps the interpreter, and each has an awaitable twin. It refuses
//! to show or to pickle its key.

use std::sync::Arc;

use pyo3::prelude::*;

use super::methods::remote_store_methods;
use super::{Shared, answer, promise};
use crate::secret::ApiKey;
use crate::store::{QdrantOptions, Reply, Store};

/// A vector store in a collection of Qdrant.
#[pyclass(frozen, module = "graphbit")]
pub(in crate::python) struct QdrantVectorStore {
    store: Arc<crate::store::QdrantVectorStore>,
}

impl QdrantVectorStore {
    /// The store of the core.
    pub(in crate::python) fn shared(&self) -> Shared {
        Arc::<crate::store::QdrantVectorStore>::clone(&self.store)
    }

    fn index(&self, key: String) -> Reply<()> {
        let store = Arc::clone(&self.store);
        Reply::awaited(async move { store.create_index(&key).await })
    }
}

#[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
fn opened(
    url: String,
    collection: &str,
    api_key: Option<String>,
    insecure: bool,
    dimensions: Option<usize>,
    metric: &str,
    writers: usize,
    timeout: f64,
    ef_search: Option<usize>,
    shard_number: Option<u32>,
    replication_factor: Option<u32>,
    on_disk: bool,
) -> PyResult<Reply<Arc<crate::store::QdrantVectorStore>>> {
    let timeout = super::timeout(timeout)?;
    let options = QdrantOptions {
        api_key: api_key.map(ApiKey::new),
        insecure,
        dimensions,
        metric: metric.parse()?,
        timeout,
        writers,
        ef_search,
        shard_number,
        replication_factor,
        on_disk,
    };
    let collection = collection.to_owned();
    Ok(Reply::awaited(async move {
        let store = crate::store::QdrantVectorStore::connect(&url, &collection, options).await?;
        Ok(Arc::new(store))
    }))
}

remote_store_methods! { QdrantVectorStore,
    /// Looks at the collection, and makes it if it is missing and the dimensions are known.
    #[staticmethod]
    #[pyo3(signature = (url, collection="graphbit", *, api_key=None, insecure=false, dimensions=None, metric="cosine", writers=4, timeout=60.0, ef_search=None, shard_number=None, replication_factor=None, on_disk=false))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn connect(
        py: Python<'_>,
        url: String,
        collection: &str,
        api_key: Option<String>,
        insecure: bool,
        dimensions: Option<usize>,
        metric: &str,
        writers: usize,
        timeout: f64,
        ef_search: Option<usize>,
        shard_number: Option<u32>,
        replication_factor: Option<u32>,
        on_disk: bool,
    ) -> PyResult<Self> {
        let opened = opened(url, collection, api_key, insecure, dimensions, metric, writers, timeout, ef_search, shard_number, replication_factor, on_disk)?;
        Ok(Self { store: answer(py, opened)? })
    }

    /// The awaitable twin of `connect`.
    #[staticmethod]
    #[pyo3(signature = (url, collection="graphbit", *, api_key=None, insecure=false, dimensions=None, metric="cosine", writers=4, timeout=60.0, ef_search=None, shard_number=None, replication_factor=None, on_disk=false))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn connect_async<'py>(
        py: Python<'py>,
        url: String,
        collection: &str,
        api_key: Option<String>,
        insecure: bool,
        dimensions: Option<usize>,
        metric: &str,
        writers: usize,
        timeout: f64,
        ef_search: Option<usize>,
        shard_number: Option<u32>,
        replication_factor: Option<u32>,
        on_disk: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let opened = opened(url, collection, api_key, insecure, dimensions, metric, writers, timeout, ef_search, shard_number, replication_factor, on_disk)?;
        promise(py, opened, |store| Self { store })
    }

    /// Has the server index one key of the metadata, so that conditions on it are fast.
    fn create_index(&self, py: Python<'_>, key: String) -> PyResult<()> {
        answer(py, self.index(key))
    }

    /// The awaitable twin of `create_index`.
    fn create_index_async<'py>(&self, py: Python<'py>, key: String) -> PyResult<Bound<'py, PyAny>> {
        promise(py, self.index(key), std::convert::identity)
    }

    /// The server, without credentials.
    #[getter]
    fn url(&self) -> &str {
        self.store.url()
    }

    /// The collection's name.
    #[getter]
    fn collection(&self) -> &str {
        self.store.collection()
    }

    /// Changes made at once by an ingest.
    #[getter]
    fn writers(&self) -> usize {
        Store::writers(&*self.store)
    }

    /// What a walk through the server's graph keeps in sight; `None` is left to the server.
    #[getter]
    fn ef_search(&self) -> Option<usize> {
        self.store.ef_search()
    }

    fn __repr__(&self) -> String {
        let dimensions =
            self.dimensions().map_or_else(|| "None".to_owned(), |number| number.to_string());
        format!(
            "QdrantVectorStore(url='{}', collection='{}', dimensions={dimensions}, metric='{}')",
            self.url(),
            self.collection(),
            self.metric()
        )
    }
}
