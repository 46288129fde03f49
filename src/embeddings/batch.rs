//! Many texts at once: bounded concurrency, rows in the order of the texts.
//!
//! Every batch is a task of its own, so that decoding one answer does not hold up the next.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use tokio::time::{Instant, timeout_at};

use super::client::EmbeddingClient;
use super::plan::{Part, Plan, parts};
use crate::error::{Advice, Error, Kind, Result};
use crate::runtime;
use crate::types::{EmbeddingUsage, Embeddings, Matrix};

const DEFAULT_CONCURRENCY: usize = 16;
const DEFAULT_BATCH: usize = 256;

/// Told how many texts of how many are done, after each batch. Its error ends the call.
pub type OnProgress = Arc<dyn Fn(usize, usize) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// What a failed batch does to the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The call fails with the first batch's error; the others are cancelled.
    #[default]
    Raise,
    /// The rows of the failed texts are NaN. When no batch succeeds, the call fails all the same.
    Nan,
}

/// How [`EmbeddingClient::embed_all`] works.
#[derive(Clone, Default)]
pub struct EmbedOptions {
    /// Texts a request; 256, or fewer where the model allows fewer.
    pub batch_size: Option<usize>,
    /// Requests at once; 16.
    pub max_concurrency: Option<usize>,
    /// What a failed batch does.
    pub on_error: OnError,
    /// Told after each batch.
    pub on_progress: Option<OnProgress>,
}

impl EmbedOptions {
    /// Checks what can be checked before any work.
    ///
    /// # Errors
    /// [`Kind::Validation`] naming an option that is zero.
    pub fn check(&self) -> Result<()> {
        self.batch_size.map_or(Ok(1), |size| positive("batch_size", size))?;
        self.max_concurrency.map_or(Ok(1), |count| positive("max_concurrency", count))?;
        Ok(())
    }
}

impl fmt::Debug for EmbedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbedOptions")
            .field("batch_size", &self.batch_size)
            .field("max_concurrency", &self.max_concurrency)
            .field("on_error", &self.on_error)
            .finish_non_exhaustive()
    }
}

/// What became of each group, in the order of the groups.
#[derive(Debug)]
pub struct GroupsOutcome {
    /// Vectors or error of each group.
    pub groups: Vec<Result<Embeddings>>,
    /// Wall time of the whole call.
    pub duration: Duration,
}

fn positive(field: &str, value: usize) -> Result<usize> {
    if value == 0 {
        let text = format!("{field} must be greater than 0");
        return Err(Error::validation(field, Some("0"), &text));
    }
    Ok(value)
}

pub(super) async fn embed_all(
    client: &EmbeddingClient,
    texts: Vec<String>,
    options: EmbedOptions,
) -> Result<Embeddings> {
    options.check()?;
    let size = options.batch_size.unwrap_or(DEFAULT_BATCH);
    let at_once = options.max_concurrency.unwrap_or(DEFAULT_CONCURRENCY);
    let stop = options.on_error == OnError::Raise;
    let total = texts.len();
    let texts = Arc::new(texts);
    let mut plan = Plan::new(&texts, client.model().as_ref(), size).peekable();
    let mut rows = Rows::new(total);
    if plan.peek().is_some_and(|range| range.len() == total) {
        // Nothing runs beside a single request, so it needs no task of its own.
        rows.take(parts(client, &texts, 0..total, stop).await, stop)?;
        tell(options.on_progress.as_ref(), total, total).await?;
        return rows.finish();
    }
    let mut answers = stream::iter(plan)
        .map(|range| {
            let (client, texts, count) = (client.clone(), Arc::clone(&texts), range.len());
            let task = runtime::spawn(async move { Ok(parts(&client, &texts, range, stop).await) });
            async move { (count, task.await) }
        })
        .buffer_unordered(at_once);
    let mut done = 0_usize;
    while let Some((count, parts)) = answers.next().await {
        rows.take(parts?, stop)?;
        done = done.saturating_add(count);
        tell(options.on_progress.as_ref(), done, total).await?;
    }
    rows.finish()
}

async fn tell(on_progress: Option<&OnProgress>, done: usize, total: usize) -> Result<()> {
    match on_progress {
        Some(on_progress) => on_progress(done, total).await,
        None => Ok(()),
    }
}

/// The matrix being filled; its width is known from the first answer on.
struct Rows {
    total: usize,
    dimensions: Option<usize>,
    data: Vec<f32>,
    usage: EmbeddingUsage,
    /// Texts without a vector, and why the first of them has none.
    missing: Vec<Range<usize>>,
    failure: Option<Error>,
}

impl Rows {
    fn new(total: usize) -> Self {
        Self {
            total,
            dimensions: None,
            data: Vec::new(),
            usage: EmbeddingUsage::default(),
            missing: Vec::new(),
            failure: None,
        }
    }

    /// Takes the parts of one request; with `stop` a failure among them is the call's.
    fn take(&mut self, parts: Vec<Part>, stop: bool) -> Result<()> {
        for Part { texts, answer } in parts {
            match answer.and_then(|answer| self.place(&texts, answer)) {
                Ok(()) => {}
                Err(error) if stop => return Err(error),
                Err(error) => {
                    self.missing.push(texts);
                    self.failure.get_or_insert(error);
                }
            }
        }
        Ok(())
    }

    fn place(&mut self, texts: &Range<usize>, answer: Embeddings) -> Result<()> {
        let width = answer.vectors.dimensions();
        let dimensions = *self.dimensions.get_or_insert(width);
        if dimensions != width {
            let text =
                format!("LLM error: vectors of {dimensions} and {width} dimensions in one call");
            return Err(Error::new(Kind::Decode, text));
        }
        self.usage.prompt_tokens =
            self.usage.prompt_tokens.saturating_add(answer.usage.prompt_tokens);
        self.usage.total_tokens = self.usage.total_tokens.saturating_add(answer.usage.total_tokens);
        if texts.len() == self.total {
            self.data = answer.vectors.into_vec();
            return Ok(());
        }
        if self.data.is_empty() {
            // Zeros, because the system has them ready: a page is touched once, by its rows.
            self.data = vec![0.0; self.total.saturating_mul(dimensions)];
        }
        match self.data.get_mut(values(texts, dimensions)) {
            Some(place) if place.len() == answer.vectors.as_slice().len() => {
                place.copy_from_slice(answer.vectors.as_slice());
                Ok(())
            }
            _ => Err(Error::new(Kind::Internal, "a batch does not fit its place")),
        }
    }

    fn finish(mut self) -> Result<Embeddings> {
        let Some(dimensions) = self.dimensions else {
            return self.failure.map_or_else(|| Ok(Embeddings::default()), Err);
        };
        for texts in &self.missing {
            self.data.get_mut(values(texts, dimensions)).unwrap_or_default().fill(f32::NAN);
        }
        let vectors = Matrix::new(self.data, self.total, dimensions)?;
        Ok(Embeddings { vectors, usage: self.usage })
    }
}

/// Where the rows of some texts lie.
fn values(texts: &Range<usize>, dimensions: usize) -> Range<usize> {
    texts.start.saturating_mul(dimensions)..texts.end.saturating_mul(dimensions)
}

pub(super) async fn embed_groups(
    client: &EmbeddingClient,
    groups: Vec<Vec<String>>,
    max_concurrency: usize,
    timeout: Option<Duration>,
) -> Result<GroupsOutcome> {
    if groups.is_empty() {
        return Err(Error::new(Kind::Validation, "Batch cannot be empty"));
    }
    let at_once = positive("max_concurrency", max_concurrency)?;
    let started = Instant::now();
    let deadline = timeout.and_then(|limit| started.checked_add(limit));
    let mut outcome: Vec<Result<Embeddings>> = groups.iter().map(|_| Err(timed_out())).collect();
    let mut finished = 0_usize;
    let mut answers = stream::iter(groups.into_iter().enumerate())
        .map(|(number, texts)| {
            let client = client.clone();
            let task = runtime::spawn(async move {
                if texts.is_empty() {
                    return Ok(Embeddings::default());
                }
                client.embed_many(texts).await
            });
            async move { (number, task.await) }
        })
        .buffer_unordered(at_once);
    loop {
        let next = match deadline {
            None => answers.next().await,
            Some(at) => match timeout_at(at, answers.next()).await {
                Ok(next) => next,
                Err(_) if finished == 0 => return Err(timed_out()),
                Err(_) => break,
            },
        };
        let Some((number, answer)) = next else { break };
        finished = finished.saturating_add(1);
        if let Some(place) = outcome.get_mut(number) {
            *place = answer;
        }
    }
    Ok(GroupsOutcome { groups: outcome, duration: started.elapsed() })
}

fn timed_out() -> Error {
    Error::new(Kind::Timeout, "LLM error: Batch request timed out").with_advice(Advice::Never)
}

#[cfg(test)]
mod tests;
