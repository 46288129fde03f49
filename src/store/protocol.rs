//! What every store can do, whether it lives in this process or on a server.
//!
//! A [`Store`] takes its arguments by value and answers with a [`Reply`]: work to be done on whatever thread
//! may be blocked, or a future. So a store in memory costs its callers no detour, and one behind a network
//! blocks nobody. It refuses to leave a condition unheeded: a store that cannot express a [`Filter`] returns an
//! error.
//!
//! ```
//! use std::sync::Arc;
//! use graphbit::store::{Entry, Metric, Store, VectorStore};
//! use graphbit::types::Matrix;
//!
//! let store: Arc<dyn Store> = Arc::new(VectorStore::new(Metric::Cosine, None)?);
//! let count = graphbit::runtime::block_on(async move {
//!     let vectors = Matrix::new(vec![1.0, 0.0], 1, 2)?;
//!     Arc::clone(&store).replace(Vec::new(), vectors, vec![Entry::text("east")]).run().await?;
//!     store.count(None).run().await
//! })?;
//! assert_eq!(count, 1);
//! # Ok::<(), graphbit::Error>(())
//! ```

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Candidate, Entry, Filter, Hit, Metric, StoredEntry, Wanted};
use crate::error::{Error, Kind, Result};
use crate::runtime;
use crate::types::Matrix;

/// [`Wanted`] for a search that goes on when its caller has moved on.
#[derive(Clone, Debug, PartialEq)]
pub enum Sought {
    /// Vectors like this one.
    Vector(Vec<f32>),
    /// Texts with these words.
    Words(String),
    /// Both, fused by the ranks they have in either list.
    Both(Vec<f32>, String),
}

impl Sought {
    /// The same, borrowed.
    #[must_use]
    pub fn wanted(&self) -> Wanted<'_> {
        match self {
            Self::Vector(vector) => Wanted::Vector(vector),
            Self::Words(words) => Wanted::Words(words),
            Self::Both(vector, words) => Wanted::Both(vector, words),
        }
    }
}

/// What long work asks from time to time, holding no lock.
pub type GoOn<'g> = &'g mut dyn FnMut() -> ControlFlow<()>;

/// The answer of a store, not yet asked for: nothing happens before it is run.
#[must_use = "nothing happens before it is run"]
pub enum Reply<T> {
    /// Work for a thread that may be blocked.
    /// It asks what it is given whether to go on, where some of it may wait for another time.
    Here(Box<dyn FnOnce(GoOn<'_>) -> Result<T> + Send>),
    /// Comes from elsewhere.
    Awaited(BoxFuture<'static, Result<T>>),
}

impl<T: Send + 'static> Reply<T> {
    /// What `work` returns.
    pub fn here(work: impl FnOnce() -> Result<T> + Send + 'static) -> Self {
        Self::Here(Box::new(move |_| work()))
    }

    /// What `work` returns, which may be told to leave for later what can be left.
    pub fn watched(work: impl FnOnce(GoOn<'_>) -> Result<T> + Send + 'static) -> Self {
        Self::Here(Box::new(work))
    }

    /// What `future` returns.
    pub fn awaited(future: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self::Awaited(future.boxed())
    }

    /// Awaits it; work is done on a blocking thread of the runtime.
    ///
    /// # Errors
    /// The store's.
    pub async fn run(self) -> Result<T> {
        match self {
            Self::Here(work) => {
                runtime::spawn_blocking(move || work(&mut || ControlFlow::Continue(()))).await
            }
            Self::Awaited(future) => future.await,
        }
    }

    /// The answer, if it can be had without waiting for anything but this thread's own work.
    pub fn at_once(self) -> Option<Result<T>> {
        match self {
            Self::Here(work) => Some(work(&mut || ControlFlow::Continue(()))),
            Self::Awaited(_) => None,
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here(_) => "Reply::Here",
            Self::Awaited(_) => "Reply::Awaited",
        })
    }
}

/// A store of vectors with their entries. What each method does stands at those of [`super::VectorStore`]; a
/// `filter` of `None` means every entry.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The metric of every search.
    fn metric(&self) -> Metric;

    /// Values a vector, as far as is known without asking anybody.
    fn dimensions(&self) -> Option<usize>;

    /// Number of entries, where it is known without asking anybody.
    fn known_len(&self) -> Option<usize>;

    /// Changes that are worth making at once.
    fn writers(&self) -> usize;

    /// How many entries `filter` means.
    fn count(self: Arc<Self>, filter: Option<Filter>) -> Reply<usize>;

    /// How many different values the entries have for the metadata's `key`.
    fn count_values(self: Arc<Self>, key: String) -> Reply<usize>;

    /// The different values that the entries have for the metadata's `key`, in any order.
    fn values(self: Arc<Self>, key: String) -> Reply<Vec<String>>;

    /// For each id, whether there is such an entry, and what its metadata's `key` is: `None` for an id that
    /// there is not, `Some(None)` for an entry without the key. No texts are moved for it.
    fn values_at(
        self: Arc<Self>,
        ids: Vec<String>,
        key: String,
    ) -> Reply<Vec<Option<Option<String>>>>;

    /// The entries with these ids, in this order.
    fn get(self: Arc<Self>, ids: Vec<String>) -> Reply<Vec<Option<StoredEntry>>>;

    /// A page of at most `limit` entries in the order they were added, behind the index `after`.
    fn entries(
        self: Arc<Self>,
        filter: Option<Filter>,
        after: Option<u64>,
        limit: usize,
    ) -> Reply<Vec<StoredEntry>>;

    /// Removes the entries with the `stale` ids and stores new ones in one change; returns the new ids.
    fn replace(
        self: Arc<Self>,
        stale: Vec<String>,
        vectors: Matrix,
        entries: Vec<Entry>,
    ) -> Reply<Vec<String>>;

    /// Removes the entries with these ids and says how many there were.
    fn delete(self: Arc<Self>, ids: Vec<String>) -> Reply<usize>;

    /// Removes the entries that `filter` means and says how many there were.
    fn delete_where(self: Arc<Self>, filter: Filter) -> Reply<usize>;

    /// The `top_k` entries most like `query`, best first. `ef_search` is what [`super::Asked::ef_search`] says; `None` is
    /// the store's own.
    fn search(
        self: Arc<Self>,
        query: Vec<f32>,
        top_k: usize,
        filter: Option<Filter>,
        ef_search: Option<usize>,
    ) -> Reply<Vec<Hit>>;

    /// The `top_k` entries most like each row of `queries`, best first.
    fn search_many(
        self: Arc<Self>,
        queries: Matrix,
        top_k: usize,
        filter: Option<Filter>,
        ef_search: Option<usize>,
    ) -> Reply<Vec<Vec<Hit>>>;

    /// The best `limit` entries for what is sought, best first, with their vectors unless these have to be asked for.
    fn candidates(
        self: Arc<Self>,
        sought: Sought,
        limit: usize,
        filter: Option<Filter>,
    ) -> Reply<Vec<Candidate>>;

    /// The vectors of the entries with these ids, in this order. Only a store whose candidates come without need
    /// have it.
    fn vectors(self: Arc<Self>, _ids: Vec<String>) -> Reply<Vec<Option<Vec<f32>>>> {
        Reply::here(|| Err(Error::new(Kind::Unsupported, "this store gives no vectors back")))
    }
}
