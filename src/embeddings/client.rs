//! [`EmbeddingClient`]: retry and statistics around a model.

use std::fmt;
use std::sync::Arc;

use super::batch::{self, EmbedOptions, GroupsOutcome};
use super::model::EmbeddingModel;
use crate::error::{Error, Kind, Result};
use crate::resilience::{RetryPolicy, Stack, StatsSnapshot};
use crate::types::Embeddings;

/// A client for one model. Cloning shares the model and the statistics.
///
/// There is no circuit breaker: a long ingest should see each failure, and its own retries already
/// slow it down.
#[derive(Clone)]
pub struct EmbeddingClient {
    inner: Arc<Inner>,
}

struct Inner {
    model: Arc<dyn EmbeddingModel>,
    stack: Stack,
}

impl EmbeddingClient {
    /// A client around `model`. Nothing is sent.
    #[must_use]
    pub fn new(model: Arc<dyn EmbeddingModel>, policy: RetryPolicy) -> Self {
        let stack = Stack::without_breaker(policy);
        Self { inner: Arc::new(Inner { model, stack }) }
    }

    /// A client with the default policy: four attempts, and a deadline that fits the model's limits.
    #[must_use]
    pub fn with_defaults(model: Arc<dyn EmbeddingModel>) -> Self {
        let policy = RetryPolicy::for_attempts(model.attempt_limit());
        Self::new(model, policy)
    }

    /// The model behind it.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn EmbeddingModel> {
        &self.inner.model
    }

    /// One text, one row.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an empty text; else the last attempt's error.
    pub async fn embed(&self, text: String) -> Result<Embeddings> {
        if text.is_empty() {
            return Err(Error::new(Kind::Validation, "Text input cannot be empty"));
        }
        self.request(&[text], true).await
    }

    /// One row for each text, in order: one request, or as few as the model's limits allow.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an empty list; else the last attempt's error of the request that failed.
    pub async fn embed_many(&self, texts: Vec<String>) -> Result<Embeddings> {
        if texts.is_empty() {
            return Err(Error::new(Kind::Validation, "Text list cannot be empty"));
        }
        let options = EmbedOptions { batch_size: Some(usize::MAX), ..EmbedOptions::default() };
        batch::embed_all(self, texts, options).await
    }

    /// One row for each text, in order, in concurrent batches. No texts, no rows. Dropping the future
    /// cancels what is under way.
    ///
    /// # Errors
    /// [`Kind::Validation`] for a zero option; else as [`EmbedOptions::on_error`] says.
    pub async fn embed_all(&self, texts: Vec<String>, options: EmbedOptions) -> Result<Embeddings> {
        batch::embed_all(self, texts, options).await
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
        batch::embed_groups(self, groups, max_concurrency, timeout).await
    }

    /// The numbers so far; a batch counts each of its requests.
    #[must_use]
    pub fn stats(&self) -> StatsSnapshot {
        self.inner.stack.stats()
    }

    /// Sets the counters to zero; the uptime goes on.
    pub fn reset_stats(&self) {
        self.inner.stack.reset_stats();
    }

    /// One request with its retries. Its row count is checked here once more, because a row too few
    /// would shift every later one.
    pub(super) async fn request(&self, texts: &[String], single: bool) -> Result<Embeddings> {
        let inner = &self.inner;
        let placed = |mut error: Error| {
            if error.provider().is_none() {
                error = error.with_provider(inner.model.provider().to_owned());
            }
            let operation = if single { "embed" } else { "embed_many" };
            error.with_operation(operation).with_model(inner.model.model())
        };
        let mut attempts = 0_u32;
        let answer = inner.stack.call(|| {
            attempts = attempts.saturating_add(1);
            inner.model.embed(texts, single)
        });
        let answer = answer.await.map_err(placed)?;
        if answer.vectors.rows() == texts.len() {
            return Ok(answer);
        }
        let text = format!(
            "LLM error: {} embeddings for {} texts from {}",
            answer.vectors.rows(),
            texts.len(),
            inner.model.provider()
        );
        Err(placed(Error::new(Kind::Decode, text).with_attempts(attempts)))
    }
}

impl fmt::Debug for EmbeddingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddingClient")
            .field("provider", &self.inner.model.provider())
            .field("model", &self.inner.model.model())
            .finish_non_exhaustive()
    }
}
