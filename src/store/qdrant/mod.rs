//! A store in a collection of Qdrant, over its REST interface.
//!
//! [`QdrantVectorStore::connect`] uses a collection that is there, and the first vectors make one that is not. Any
//! number of processes may read and write. A call that one request can hold changes all of it or nothing; a larger
//! one is several requests, and may be seen in part. It refuses collections with other vectors, and to send its
//! key to another machine by plain HTTP.
//!
//! ```no_run
//! use graphbit::store::{Entry, QdrantOptions, QdrantVectorStore};
//! use graphbit::types::Matrix;
//!
//! let hits = graphbit::runtime::block_on(async {
//!     let url = "http://localhost:6333";
//!     let store = QdrantVectorStore::connect(url, "documents", QdrantOptions::default()).await?;
//!     let vectors = Matrix::from_rows(&[vec![1.0, 0.0], vec![0.0, 2.0]])?;
//!     store.add(vectors, vec![Entry::text("east"), Entry::text("north")]).await?;
//!     store.search(vec![0.1, 3.0], 1, None).await
//! })?;
//! assert_eq!(hits[0].entry.text, "north");
//! # Ok::<(), graphbit::Error>(())
//! ```

mod collection;
mod condition;
mod points;
mod reading;
mod search;
mod wire;
mod words;
mod writing;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use self::collection::{Layout, Shape};
use self::wire::Server;
use super::checks::{closed, nothing_to_index};
use super::protocol::Store;
use super::remote::awaited_answers;
use super::{Entry, Filter, Hit, Metric, at_least_one, same_dimensions, within};
use crate::error::{Error, Kind, Result};
use crate::secret::ApiKey;
use crate::types::Matrix;

const WRITERS: usize = 4;
const MOST_WRITERS: usize = 256;
const TIMEOUT: Duration = Duration::from_secs(60);
/// Stands in for a key that is not given.
const KEY_VARIABLE: &str = "QDRANT_API_KEY";

/// How a [`QdrantVectorStore`] works; the default is a cosine store without a key.
#[derive(Clone, Debug)]
pub struct QdrantOptions {
    /// The server's key. Without it the environment is asked for `QDRANT_API_KEY`; an empty one is none.
    pub api_key: Option<ApiKey>,
    /// Whether the key may go to another machine by plain HTTP.
    pub insecure: bool,
    /// Values a vector. Without it a new collection is made by the first vectors, and an existing one knows.
    pub dimensions: Option<usize>,
    /// The metric of every search, which is the collection's.
    pub metric: Metric,
    /// How long a request may take; default 60 s.
    pub timeout: Duration,
    /// Changes made at once by an ingest, and searches by [`Store::search_many`], 1 to 256; default 4.
    pub writers: usize,
    /// What a walk through the server's graph keeps in sight, from 1; `None` leaves it to the server.
    pub ef_search: Option<usize>,
    /// Of a new collection: its shards; `None` leaves it to the server.
    pub shard_number: Option<u32>,
    /// Of a new collection: copies of each shard; `None` leaves it to the server.
    pub replication_factor: Option<u32>,
    /// Of a new collection: whether its vectors stay on disk.
    pub on_disk: bool,
}

impl Default for QdrantOptions {
    fn default() -> Self {
        Self {
            api_key: None,
            insecure: false,
            dimensions: None,
            metric: Metric::Cosine,
            timeout: TIMEOUT,
            writers: WRITERS,
            ef_search: None,
            shard_number: None,
            replication_factor: None,
            on_disk: false,
        }
    }
}

impl QdrantOptions {
    fn check(&self) -> Result<()> {
        let count = |number: Option<u32>| number.and_then(|number| usize::try_from(number).ok());
        at_least_one("dimensions", self.dimensions)?;
        at_least_one("ef_search", self.ef_search)?;
        at_least_one("shard_number", count(self.shard_number))?;
        at_least_one("replication_factor", count(self.replication_factor))?;
        within("writers", self.writers, MOST_WRITERS)?;
        if self.timeout.is_zero() {
            return Err(Error::validation("timeout", Some("0"), "must be above 0"));
        }
        Ok(())
    }
}

/// The store. Share it between threads and tasks.
pub struct QdrantVectorStore {
    server: Server,
    collection: String,
    metric: Metric,
    writers: usize,
    ef_search: Option<usize>,
    layout: Layout,
    wanted_dimensions: Option<usize>,
    /// What is known of the collection, which may not be there yet. No lock: a thread of a parent process may have
    /// held it at the fork.
    shape: ArcSwapOption<Shape>,
    /// The number of the next new entry, unless the clock is ahead of it.
    next: AtomicU64,
    closed: AtomicBool,
}

impl QdrantVectorStore {
    /// Looks at the collection, and makes it if it is missing and the dimensions are known.
    ///
    /// `url` is the server's, with its port, as in `https://qdrant.example:6333`.
    ///
    /// # Errors
    /// [`Kind::Validation`] for arguments out of their ranges, and for a key that would go to another machine by plain
    /// HTTP; [`Kind::Configuration`] for an unusable URL; [`Kind::Network`], [`Kind::Timeout`],
    /// [`Kind::Authentication`] and [`Kind::PermissionDenied`] when the server does not answer;
    /// [`Kind::Store`] when the collection has other vectors, another distance or other dimensions.
    pub async fn connect(url: &str, collection: &str, options: QdrantOptions) -> Result<Self> {
        options.check()?;
        let QdrantOptions { dimensions, metric, timeout, writers, ef_search, .. } = options;
        let key = options.api_key.or_else(|| std::env::var(KEY_VARIABLE).ok().map(ApiKey::new));
        let key = key.filter(|key| !key.expose().trim().is_empty());
        let store = Self {
            server: Server::new(url, collection, key, timeout, options.insecure)?,
            collection: collection.to_owned(),
            metric,
            writers,
            ef_search,
            layout: Layout {
                shard_number: options.shard_number,
                replication_factor: options.replication_factor,
                on_disk: options.on_disk,
            },
            wanted_dimensions: dimensions,
            shape: ArcSwapOption::empty(),
            next: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        };
        match dimensions {
            Some(wanted) => same_dimensions(store.shape_for(wanted).await?.dimensions, wanted)?,
            None => drop(store.shape().await?),
        }
        Ok(store)
    }

    /// Stores one vector for each entry and returns their ids; see [`super::VectorStore::add`]. More than a request
    /// holds (1000 entries, 6 MiB) is not stored at once.
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

    /// Has the server index one key of the metadata, so that conditions on it are fast. An index that is there is
    /// left as it is.
    ///
    /// # Errors
    /// [`Kind::Store`] when there is no collection yet, and the server's.
    pub async fn create_index(&self, key: &str) -> Result<()> {
        if self.shape().await?.is_none() {
            return Err(nothing_to_index());
        }
        collection::index_key(self.server()?, key).await
    }

    /// The collection's name.
    #[must_use]
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// The server, without what its address may hold of credentials.
    #[must_use]
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// What a walk through the server's graph keeps in sight; `None` is left to the server.
    #[must_use]
    pub const fn ef_search(&self) -> Option<usize> {
        self.ef_search
    }

    /// Refuses every later call.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn server(&self) -> Result<&Server> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        Ok(&self.server)
    }

    /// What the collection looks like; `None` as long as nobody has made it.
    async fn shape(&self) -> Result<Option<Arc<Shape>>> {
        if let Some(shape) = self.shape.load_full() {
            return Ok(Some(shape));
        }
        let found = collection::find(self.server()?, self.metric).await?.map(Arc::new);
        self.shape.store(found.clone());
        Ok(found)
    }

    /// What the collection looks like, made for vectors of so many values if need be.
    async fn shape_for(&self, dimensions: usize) -> Result<Arc<Shape>> {
        if let Some(shape) = self.shape().await? {
            return Ok(shape);
        }
        if let Some(wanted) = self.wanted_dimensions {
            same_dimensions(wanted, dimensions)?;
        }
        collection::create(self.server()?, self.metric, dimensions, self.layout).await?;
        // Somebody else's may have come about meanwhile.
        let gone = || Error::new(Kind::Store, "the collection was removed while it was made");
        self.shape().await?.ok_or_else(gone)
    }
}

impl Store for QdrantVectorStore {
    fn metric(&self) -> Metric {
        self.metric
    }

    fn dimensions(&self) -> Option<usize> {
        self.shape.load().as_ref().map(|shape| shape.dimensions).or(self.wanted_dimensions)
    }

    fn writers(&self) -> usize {
        self.writers
    }

    awaited_answers!();
}

impl fmt::Debug for QdrantVectorStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QdrantVectorStore")
            .field("url", &self.url())
            .field("collection", &self.collection)
            .field("metric", &self.metric)
            .field("dimensions", &Store::dimensions(self))
            .finish_non_exhaustive()
    }
}
