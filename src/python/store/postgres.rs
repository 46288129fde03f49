//! `PgVectorStore`: the store in a table of PostgreSQL.
//!
//! Every call is a journey to a server, so none keeps the interpreter, and each has an awaitable twin. It refuses
//! to show or to pickle its connection string.

use std::sync::Arc;

use pyo3::prelude::*;

use super::methods::remote_store_methods;
use super::{Shared, answer, promise};
use crate::error::Error;
use crate::store::{IndexKind, PgOptions, Reply};

/// A vector store in a table of PostgreSQL, with the extension pgvector.
#[pyclass(frozen, module = "graphbit")]
pub(in crate::python) struct PgVectorStore {
    store: Arc<crate::store::PgVectorStore>,
}

impl PgVectorStore {
    /// The store of the core.
    pub(in crate::python) fn shared(&self) -> Shared {
        Arc::<crate::store::PgVectorStore>::clone(&self.store)
    }

    fn index(
        &self,
        kind: &str,
        m: Option<u32>,
        ef_construction: Option<u32>,
    ) -> PyResult<Reply<()>> {
        let kind = match (kind, m.is_some() || ef_construction.is_some()) {
            ("hnsw", _) => IndexKind::Hnsw { m, ef_construction },
            ("words", false) => IndexKind::Words,
            ("words", true) => {
                let text = "m and ef_construction are of kind 'hnsw'";
                return Err(Error::validation("kind", Some(kind), text).into());
            }
            _ => {
                let text = "must be 'hnsw' or 'words'";
                return Err(Error::validation("kind", Some(kind), text).into());
            }
        };
        let store = Arc::clone(&self.store);
        Ok(Reply::awaited(async move { store.create_index(kind).await }))
    }
}

fn options(
    dimensions: Option<usize>,
    metric: &str,
    connections: usize,
    timeout: f64,
    ef_search: usize,
) -> PyResult<PgOptions> {
    let timeout = super::timeout(timeout)?;
    Ok(PgOptions { dimensions, metric: metric.parse()?, connections, timeout, ef_search })
}

fn opened(
    dsn: String,
    table: String,
    options: PgOptions,
) -> Reply<Arc<crate::store::PgVectorStore>> {
    Reply::awaited(async move {
        Ok(Arc::new(crate::store::PgVectorStore::connect(&dsn, &table, options).await?))
    })
}

remote_store_methods! { PgVectorStore,
    /// Connects, and makes extension and table where they are missing.
    #[staticmethod]
    #[pyo3(signature = (dsn, table="graphbit", *, dimensions=None, metric="cosine", connections=4, timeout=60.0, ef_search=40))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn connect(
        py: Python<'_>,
        dsn: String,
        table: &str,
        dimensions: Option<usize>,
        metric: &str,
        connections: usize,
        timeout: f64,
        ef_search: usize,
    ) -> PyResult<Self> {
        let options = options(dimensions, metric, connections, timeout, ef_search)?;
        Ok(Self { store: answer(py, opened(dsn, table.to_owned(), options))? })
    }

    /// The awaitable twin of `connect`.
    #[staticmethod]
    #[pyo3(signature = (dsn, table="graphbit", *, dimensions=None, metric="cosine", connections=4, timeout=60.0, ef_search=40))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn connect_async<'py>(
        py: Python<'py>,
        dsn: String,
        table: &str,
        dimensions: Option<usize>,
        metric: &str,
        connections: usize,
        timeout: f64,
        ef_search: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = options(dimensions, metric, connections, timeout, ef_search)?;
        promise(py, opened(dsn, table.to_owned(), options), |store| Self { store })
    }

    /// Makes an index for searches by vector ("hnsw") or by words ("words"), unless it is there.
    #[pyo3(signature = (kind="hnsw", *, m=None, ef_construction=None))]
    fn create_index(
        &self,
        py: Python<'_>,
        kind: &str,
        m: Option<u32>,
        ef_construction: Option<u32>,
    ) -> PyResult<()> {
        let reply = self.index(kind, m, ef_construction)?;
        answer(py, reply)
    }

    /// The awaitable twin of `create_index`.
    #[pyo3(signature = (kind="hnsw", *, m=None, ef_construction=None))]
    fn create_index_async<'py>(
        &self,
        py: Python<'py>,
        kind: &str,
        m: Option<u32>,
        ef_construction: Option<u32>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let reply = self.index(kind, m, ef_construction)?;
        promise(py, reply, std::convert::identity)
    }

    /// The table, as it was named.
    #[getter]
    fn table(&self) -> &str {
        self.store.table()
    }

    /// Connections at most.
    #[getter]
    fn connections(&self) -> usize {
        self.store.connections()
    }

    /// Candidates that an HNSW index looks at in each search.
    #[getter]
    fn ef_search(&self) -> usize {
        self.store.ef_search()
    }

    #[setter]
    fn set_ef_search(&self, ef_search: usize) -> PyResult<()> {
        Ok(self.store.set_ef_search(ef_search)?)
    }

    fn __repr__(&self) -> String {
        let dimensions =
            self.dimensions().map_or_else(|| "None".to_owned(), |number| number.to_string());
        format!(
            "PgVectorStore(table='{}', dimensions={dimensions}, metric='{}')",
            self.table(),
            self.metric()
        )
    }
}
