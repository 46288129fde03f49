//! [`EmbeddingClient`]: the layers around a model and its fallbacks.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use super::batch::{EachGroup, EmbedOptions, EmbedRows, GroupsOutcome};
use super::cached::{self, Row};
use super::ledger::Ledger;
use super::model::EmbeddingModel;
use crate::cache::{Cache, Shelf};
use crate::error::{Error, Kind, Result};
use crate::resilience::{
    Answer, CallStats, Order, Protection, RetryPolicy, Route, Routes, StatsSnapshot, Tally,
};
use crate::types::{Embeddings, Matrix, Pace};
use tokio::time::Instant;

/// A client for one model, which several servers may offer. Cloning shares the layers and the statistics.
///
/// Unless it is given one there is no circuit breaker: a long ingest should see each failure, and its own
/// retries already slow it down.
#[derive(Clone)]
pub struct EmbeddingClient {
    inner: Arc<Inner>,
    ledger: Option<Arc<Ledger>>,
}

struct Inner {
    routes: Routes<Model>,
    cache: Option<Shelf>,
    stats: CallStats,
}

type Model = dyn EmbeddingModel;

impl Answer for Embeddings {
    fn tokens(&self) -> Option<u64> {
        Some(self.usage.total_tokens).filter(|tokens| *tokens > 0)
    }

    fn pace(&self) -> Option<&Pace> {
        self.pace.as_deref()
    }
}

/// One request through the layers of one route. Its row count is checked here once more, because a row too
/// few would shift every later one.
async fn request(
    route: &Route<Model>,
    texts: &[String],
    single: bool,
    ledger: Option<&Ledger>,
) -> Result<Embeddings> {
    let Route { model, stack } = route;
    let tokens = |tally| {
        let count = |text: &String| match tally {
            Tally::Bound => text.len(),
            Tally::Exact => model.tokens(text),
        };
        let sum = texts.iter().map(count).fold(0, usize::saturating_add);
        u64::try_from(sum).unwrap_or(u64::MAX)
    };
    let attempts = AtomicU32::new(0);
    // Whether an attempt has failed since the last one began: a second copy of a slow one is no retry.
    let failed = AtomicBool::new(false);
    let attempt = || {
        attempts.fetch_add(1, Ordering::Relaxed);
        if failed.swap(false, Ordering::Relaxed)
            && let Some(ledger) = ledger
        {
            ledger.retried();
        }
        let answer = model.embed(texts, single);
        let failed = &failed;
        async move {
            let answer = answer.await;
            failed.fetch_or(answer.is_err(), Ordering::Relaxed);
            answer
        }
    };
    let placed = |mut error: Error| {
        if error.provider().is_none() {
            error = error.with_provider(model.provider().to_owned());
        }
        let operation = if single { "embed" } else { "embed_many" };
        error.with_operation(operation).with_model(model.model())
    };
    let answer = stack.call(tokens, attempt).await.map_err(placed)?;
    if let Some(ledger) = ledger {
        ledger.answered(model.provider(), model.model(), &answer.usage);
    }
    if answer.vectors.rows() == texts.len() {
        return Ok(answer);
    }
    let text = format!(
        "LLM error: {} embeddings for {} texts from {}",
        answer.vectors.rows(),
        texts.len(),
        model.provider()
    );
    let attempts = attempts.load(Ordering::Relaxed);
    Err(placed(Error::new(Kind::Decode, text).with_attempts(attempts)))
}

impl EmbeddingClient {
    /// A client around `model` without a breaker. Nothing is sent.
    #[must_use]
    pub fn new(model: Arc<dyn EmbeddingModel>, policy: RetryPolicy) -> Self {
        let protection = Protection { retry: policy, breaker: None, ..Protection::default() };
        Self::single(model, protection)
    }

    /// A client with the default policy: four attempts, and a deadline that fits the model's limits.
    #[must_use]
    pub fn with_defaults(model: Arc<dyn EmbeddingModel>) -> Self {
        let policy = RetryPolicy::for_attempts(model.attempt_limit());
        Self::new(model, policy)
    }

    /// A client with these layers. A policy without a deadline gets the default one.
    #[must_use]
    pub fn protected(model: Arc<dyn EmbeddingModel>, mut protection: Protection) -> Self {
        protection.retry = protection.retry.within(model.attempt_limit());
        Self::single(model, protection)
    }

    /// A client that asks the servers of `clients` in `order` until one answers. It shares their layers
    /// with them, and has statistics of its own; a cache of theirs is left aside.
    ///
    /// # Errors
    /// [`Kind::Validation`] for no clients, weights that do not fit them, or models that differ: vectors
    /// of two models must never meet in one store.
    pub fn any_of(clients: &[Self], order: Order) -> Result<Self> {
        let routes = Routes::any_of(clients.iter().map(|client| &client.inner.routes), order)?;
        let first = routes.first();
        let described = |route: &Route<Model>| {
            let model = &route.model;
            let dimensions = model.dimensions();
            let dimensions = dimensions.map_or_else(String::new, |number| format!(" ({number})"));
            format!("{}{dimensions}", model.model())
        };
        let differs = |route: &&Route<Model>| described(route) != described(first);
        if let Some(odd) = routes.all().iter().find(differs) {
            let text = format!(
                "fallbacks must be the same model with the same dimensions as the first, {}",
                described(first)
            );
            return Err(Error::validation("fallbacks", Some(&described(odd)), &text));
        }
        Ok(Self::of(routes, None))
    }

    /// The same client with a cache before it. `identity` tells its entries from those of other models:
    /// everything but the text that changes a vector.
    #[must_use]
    pub fn with_cache(&self, cache: Cache, identity: &str) -> Self {
        Self::of(self.inner.routes.clone(), Some(Shelf::new(cache, cached::DOMAIN, identity)))
    }

    fn single(model: Arc<Model>, protection: Protection) -> Self {
        let name = format!("{}/{}", model.provider(), model.model());
        Self::of(Routes::single(model, &name, protection), None)
    }

    fn of(routes: Routes<Model>, cache: Option<Shelf>) -> Self {
        let stats = CallStats::default();
        Self { inner: Arc::new(Inner { routes, cache, stats }), ledger: None }
    }

    /// The same client, which writes down in `ledger` what its calls cost.
    #[must_use]
    pub fn with_ledger(&self, ledger: Arc<Ledger>) -> Self {
        Self { inner: Arc::clone(&self.inner), ledger: Some(ledger) }
    }

    /// The servers behind it with their layers, as they are listed.
    #[must_use]
    pub fn routes(&self) -> &[Route<dyn EmbeddingModel>] {
        self.inner.routes.all()
    }

    /// The cache before it.
    #[must_use]
    pub fn cache(&self) -> Option<&Cache> {
        self.inner.cache.as_ref().map(Shelf::cache)
    }

    /// The model behind it, as its first server offers it.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn EmbeddingModel> {
        &self.inner.routes.first().model
    }

    /// One text, one row.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an empty text; else the last attempt's error.
    pub async fn embed(&self, text: String) -> Result<Embeddings> {
        if text.is_empty() {
            return Err(Error::new(Kind::Validation, "Text input cannot be empty"));
        }
        let Some(shelf) = &self.inner.cache else { return self.request(&[text], true).await };
        let (client, paid) = (self.clone(), Arc::new(OnceLock::new()));
        let (key, bill) = (cached::key(shelf, &text), Arc::clone(&paid));
        let work = move || async move {
            let answer = client.request(&[text], true).await?;
            // Whose call it was pays; those who waited with it do not.
            let _ = bill.set(answer.usage);
            Ok(Row::new(answer.vectors.into_vec()))
        };
        let (row, _) = shelf.cache().share(key, work).await?;
        let row =
            Arc::try_unwrap(row).map_or_else(|shared| shared.values().to_vec(), Row::into_values);
        let dimensions = row.len();
        let usage = paid.get().copied().unwrap_or_default();
        Ok(Embeddings { vectors: Matrix::new(row, 1, dimensions)?, usage, ..Embeddings::default() })
    }

    /// One row for each text, in order: one request, or as few as the model's limits allow.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an empty list; else the last attempt's error of the request that failed.
    pub async fn embed_many(&self, texts: Vec<String>) -> Result<Embeddings> {
        if texts.is_empty() {
            return Err(Error::new(Kind::Validation, "Text list cannot be empty"));
        }
        self.embed_all(texts, EmbedOptions::fewest_requests()).await
    }

    /// One row for each text, in order, in concurrent batches. No texts, no rows. Dropping the future
    /// cancels what is under way.
    ///
    /// # Errors
    /// [`Kind::Validation`] for a zero option; else as [`EmbedOptions::on_error`] says.
    pub async fn embed_all(&self, texts: Vec<String>, options: EmbedOptions) -> Result<Embeddings> {
        let work = self.embed_rows(texts, options);
        let gathered = work.gathered();
        work.work().await?;
        gathered.finish()
    }

    /// As [`EmbeddingClient::embed_all`], not begun yet, for callers that may give it up, or see it fail,
    /// and want the rows that were finished by then.
    pub fn embed_rows(&self, texts: Vec<String>, options: EmbedOptions) -> EmbedRows {
        EmbedRows::new(self.clone(), texts, options)
    }

    /// Each group as [`EmbeddingClient::embed_many`] would, at most `max_concurrency` at once.
    /// After `timeout` the unfinished groups fail and the finished ones are kept.
    ///
    /// # Errors
    /// [`Kind::Validation`] for no groups or a zero concurrency; [`Kind::Timeout`] when nothing at
    /// all finished in time. Failures of single groups are in the outcome.
    pub async fn embed_groups(
        &self,
        groups: Vec<Vec<String>>,
        max_concurrency: usize,
        timeout: Option<std::time::Duration>,
    ) -> Result<GroupsOutcome> {
        let work = self.each_group(groups, max_concurrency, timeout);
        let gathered = work.gathered();
        Ok(gathered.finish(work.work().await?))
    }

    /// As [`EmbeddingClient::embed_groups`], not begun yet, for callers that may give it up and want what
    /// was finished by then.
    pub fn each_group(
        &self,
        groups: Vec<Vec<String>>,
        max_concurrency: usize,
        timeout: Option<std::time::Duration>,
    ) -> EachGroup {
        EachGroup::new(self.clone(), groups, max_concurrency, timeout)
    }

    /// The numbers so far; a batch counts each of its requests.
    #[must_use]
    pub fn stats(&self) -> StatsSnapshot {
        self.inner.stats.snapshot()
    }

    /// Sets the counters to zero; the uptime goes on.
    pub fn reset_stats(&self) {
        self.inner.stats.reset();
    }

    /// One request with its retries, on whichever server answers; what it brings is put into the cache.
    pub(super) async fn request(&self, texts: &[String], single: bool) -> Result<Embeddings> {
        let (inner, started) = (&self.inner, Instant::now());
        inner.stats.begin();
        let ledger = self.ledger.as_deref();
        let asked =
            |route: Route<Model>| async move { request(&route, texts, single, ledger).await };
        let answer = inner.routes.ask(asked).await;
        inner.stats.end(started.elapsed(), answer.is_ok());
        // A single text is put there by whoever asked for it.
        if let (Ok(answer), Some(shelf), false) = (&answer, &inner.cache, single) {
            cached::put(shelf, texts, &answer.vectors).await;
        }
        answer
    }

    /// The cache before it, with what tells this client's entries from others.
    pub(super) fn shelf(&self) -> Option<&Shelf> {
        self.inner.cache.as_ref()
    }
}

impl fmt::Debug for EmbeddingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddingClient")
            .field("provider", &self.model().provider())
            .field("model", &self.model().model())
            .finish_non_exhaustive()
    }
}
