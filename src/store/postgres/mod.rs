//! A store in a table of PostgreSQL, with the extension pgvector.
//!
//! [`PgVectorStore::connect`] makes extension and table where they are missing. It holds a few connections, each
//! process its own: a forked child never speaks on its parent's. Any number of processes may read and write; what
//! one call changes is seen whole or not at all, and whoever is killed in the middle of it has changed nothing.
//! It refuses texts with a NUL character, which PostgreSQL cannot hold, and tables of another form.
//!
//! ```no_run
//! use graphbit::store::{Entry, PgOptions, PgVectorStore};
//! use graphbit::types::Matrix;
//!
//! let hits = graphbit::runtime::block_on(async {
//!     let dsn = "postgresql://me@localhost/mine";
//!     let store = PgVectorStore::connect(dsn, "documents", PgOptions::default()).await?;
//!     let vectors = Matrix::from_rows(&[vec![1.0, 0.0], vec![0.0, 2.0]])?;
//!     store.add(vectors, vec![Entry::text("east"), Entry::text("north")]).await?;
//!     store.search(vec![0.1, 3.0], 1, None).await
//! })?;
//! assert_eq!(hits[0].entry.text, "north");
//! # Ok::<(), graphbit::Error>(())
//! ```

mod dsn;
mod failure;
mod pool;
mod reading;
mod rows;
mod schema;
mod search;
mod statement;
mod tls;
mod writing;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::FutureExt;
use tokio_postgres::{Client, Row};

use self::dsn::Target;
use self::failure::Failure;
use self::pool::Pool;
pub use self::schema::IndexKind;
use self::schema::{Shape, Table};
use self::search::{EF_SEARCH, check_ef_search};
use self::statement::Statement;
use super::checks::{closed, nothing_to_index};
use super::protocol::Store;
use super::remote::awaited_answers;
use super::{Entry, Filter, Hit, Metric, at_least_one, same_dimensions, within};
use crate::error::{Error, Kind, Result};
use crate::runtime::PerProcess;
use crate::types::Matrix;

/// Connections, unless told otherwise: as many batches are written at once.
const CONNECTIONS: usize = 4;
const MOST_CONNECTIONS: usize = 1000;
const TIMEOUT: Duration = Duration::from_secs(60);

/// How a [`PgVectorStore`] works; the default is a cosine store with four connections.
#[derive(Clone, Copy, Debug)]
pub struct PgOptions {
    /// Values a vector. Without it a new table is made by the first vectors, and an existing one knows.
    pub dimensions: Option<usize>,
    /// The metric of every search; it is not written down in the table.
    pub metric: Metric,
    /// Connections at most, 1 to 1000; default 4.
    pub connections: usize,
    /// How long a statement may take; default 60 s.
    pub timeout: Duration,
    /// Candidates that an HNSW index looks at, 1 to 1000; more find more of the best, and take longer. Default 40,
    /// or as many as are wanted when that is more.
    pub ef_search: usize,
}

impl Default for PgOptions {
    fn default() -> Self {
        Self {
            dimensions: None,
            metric: Metric::Cosine,
            connections: CONNECTIONS,
            timeout: TIMEOUT,
            ef_search: EF_SEARCH,
        }
    }
}

/// The store. Share it between threads and tasks.
pub struct PgVectorStore {
    table: Table,
    metric: Metric,
    connections: usize,
    ef_search: AtomicUsize,
    /// What is known of the table, which may not be there yet. No lock: a thread of a parent process may have
    /// held it at the fork.
    shape: ArcSwapOption<Shape>,
    wanted_dimensions: Option<usize>,
    target: Arc<Target>,
    pool: PerProcess<Pool>,
    closed: AtomicBool,
}

impl PgVectorStore {
    /// Connects, and makes the extension and, where the dimensions are known, the table if they are missing.
    ///
    /// `dsn` is a connection string of PostgreSQL (`PGPASSWORD` stands in for a password it lacks), `table` a
    /// name or a schema's name and a table's, as in `app.documents`.
    ///
    /// # Errors
    /// [`Kind::Validation`] for arguments out of their ranges; [`Kind::Network`], [`Kind::Timeout`] and
    /// [`Kind::Authentication`] when there is no connection; [`Kind::Store`] when the table has another form or
    /// other dimensions.
    pub async fn connect(dsn: &str, table: &str, options: PgOptions) -> Result<Self> {
        let PgOptions { dimensions, metric, connections, timeout, ef_search } = options;
        at_least_one("dimensions", dimensions)?;
        within("connections", connections, MOST_CONNECTIONS)?;
        if timeout.is_zero() || timeout.as_millis() > i32::MAX as u128 {
            let text = "must be above 0, and at most 24 days";
            return Err(Error::validation("timeout", Some(&format!("{timeout:?}")), text));
        }
        let target = Arc::new(Target::parse(dsn)?);
        let aim = Arc::clone(&target);
        let store = Self {
            table: table.parse()?,
            metric,
            connections,
            ef_search: AtomicUsize::new(check_ef_search(ef_search)?),
            shape: ArcSwapOption::empty(),
            wanted_dimensions: dimensions,
            target,
            pool: PerProcess::new(move || Pool::new(Arc::clone(&aim), connections, timeout)),
            closed: AtomicBool::new(false),
        };
        store.prepare(dimensions).await?;
        if let (Some(wanted), Some(found)) = (dimensions, store.known_shape()) {
            found.dimensions.map_or(Ok(()), |known| same_dimensions(known, wanted))?;
        }
        Ok(store)
    }

    /// Stores one vector for each entry and returns their ids; see [`super::VectorStore::add`].
    ///
    /// # Errors
    /// As for [`super::VectorStore::add`], and the server's.
    pub async fn add(&self, vectors: Matrix, entries: Vec<Entry>) -> Result<Vec<String>> {
        self.replace_all(Vec::new(), vectors, entries).await
    }

    /// The `top_k` entries most like `query` that `filter` means, best first.
    ///
    /// # Errors
    /// As for [`super::VectorStore::search`], and the server's.
    pub async fn search(
        &self,
        query: Vec<f32>,
        top_k: usize,
        filter: Option<&Filter>,
    ) -> Result<Vec<Hit>> {
        self.search_one(query, top_k, filter, None).await
    }

    /// Makes an index, while others go on reading and writing. One that is there already is left as it is.
    ///
    /// # Errors
    /// [`Kind::Validation`] for numbers out of their ranges, [`Kind::Store`] when there is no table yet, and the
    /// server's: it indexes vectors of at most 2000 values.
    pub async fn create_index(&self, kind: IndexKind) -> Result<()> {
        kind.check()?;
        if self.shape().await?.is_none() {
            return Err(nothing_to_index());
        }
        let (table, metric) = (self.table.clone(), self.metric);
        // It may take hours, and no other work waits for its connection.
        self.pool()?
            .run_for_long(move |client: &mut Client| {
                let table = table.clone();
                async move { kind.create(client, &table, metric).await }.boxed()
            })
            .await
    }

    /// Candidates that an HNSW index looks at.
    #[must_use]
    pub fn ef_search(&self) -> usize {
        self.ef_search.load(Ordering::Relaxed)
    }

    /// Sets [`PgVectorStore::ef_search`] for the searches to come.
    ///
    /// # Errors
    /// [`Kind::Validation`] unless it is between 1 and 1000.
    pub fn set_ef_search(&self, ef_search: usize) -> Result<()> {
        self.ef_search.store(check_ef_search(ef_search)?, Ordering::Relaxed);
        Ok(())
    }

    /// The table, as it was named.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table.name
    }

    /// Connections at most.
    #[must_use]
    pub const fn connections(&self) -> usize {
        self.connections
    }

    /// Lets go of the connections; every later call is refused.
    pub fn close(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            self.pool.get().close();
        }
    }

    fn pool(&self) -> Result<Arc<Pool>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        Ok(Arc::clone(self.pool.get()))
    }

    fn refused(&self, failure: Failure) -> Error {
        failure.into_error(&self.target)
    }

    fn known_shape(&self) -> Option<Arc<Shape>> {
        self.shape.load_full()
    }

    /// What the table looks like; `None` as long as nobody has made it.
    async fn shape(&self) -> Result<Option<Arc<Shape>>> {
        if let Some(shape) = self.known_shape() {
            return Ok(Some(shape));
        }
        let table = self.table.clone();
        let found = self
            .pool()?
            .run(move |client: &mut Client| {
                let table = table.clone();
                async move { schema::find(client, &table).await }.boxed()
            })
            .await?;
        let found = found.map(Arc::new);
        self.shape.store(found.clone());
        Ok(found)
    }

    /// What the table looks like, made for vectors of so many values if need be.
    async fn shape_for(&self, dimensions: usize) -> Result<Arc<Shape>> {
        if let Some(shape) = self.known_shape() {
            return Ok(shape);
        }
        if let Some(wanted) = self.wanted_dimensions {
            same_dimensions(wanted, dimensions)?;
        }
        self.prepare(Some(dimensions)).await?;
        let gone = || Error::new(Kind::Store, "the table was removed while it was made");
        self.known_shape().ok_or_else(gone)
    }

    /// Creates what is missing and looks at what is there then.
    async fn prepare(&self, dimensions: Option<usize>) -> Result<()> {
        let (table, metric) = (self.table.clone(), self.metric);
        let found = self
            .pool()?
            .run(move |client: &mut Client| {
                let table = table.clone();
                async move {
                    // Whoever may only read must not be told that creating is forbidden.
                    if let Some(found) = schema::find(client, &table).await? {
                        return Ok(Some(found));
                    }
                    schema::create(client, &table, metric, dimensions).await?;
                    schema::find(client, &table).await
                }
                .boxed()
            })
            .await?;
        self.shape.store(found.map(Arc::new));
        Ok(())
    }

    async fn rows(&self, statement: Statement) -> Result<Vec<Row>> {
        let statement = Arc::new(statement);
        self.pool()?
            .run(move |client: &mut Client| {
                let statement = Arc::clone(&statement);
                async move { statement.query(client).await }.boxed()
            })
            .await
    }

    /// The rows of a question to the table; none as long as there is no table.
    async fn rows_if_any(&self, statement: Statement) -> Result<Vec<Row>> {
        match self.shape().await? {
            Some(_) => self.rows(statement).await,
            None => Ok(Vec::new()),
        }
    }
}

/// A number as the server takes it.
fn count_of(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Store for PgVectorStore {
    fn metric(&self) -> Metric {
        self.metric
    }

    fn dimensions(&self) -> Option<usize> {
        self.known_shape().map_or(self.wanted_dimensions, |shape| shape.dimensions)
    }

    fn writers(&self) -> usize {
        self.connections
    }

    awaited_answers!();
}

impl fmt::Debug for PgVectorStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgVectorStore")
            .field("table", &self.table.name)
            .field("metric", &self.metric)
            .field("dimensions", &Store::dimensions(self))
            .finish_non_exhaustive()
    }
}
