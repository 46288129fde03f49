//! Many texts at once: bounded concurrency, rows in the order of the texts.
//!
//! Every batch is a task of its own, so that decoding one answer does not hold up the next.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use tokio::time::{Instant, timeout_at};

use super::cached::{self, Row};
use super::client::EmbeddingClient;
use super::plan::{Part, Plan, Sought, parts};
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
    /// As many texts in a request as the model takes.
    #[must_use]
    pub fn fewest_requests() -> Self {
        Self { batch_size: Some(usize::MAX), ..Self::default() }
    }

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

/// Many texts about to be embedded, from [`EmbeddingClient::embed_rows`].
///
/// Rows stay in reach when the work is given up or fails: see [`GatheredRows`].
#[must_use = "nothing is asked until it works"]
pub struct EmbedRows {
    client: EmbeddingClient,
    texts: Vec<String>,
    options: EmbedOptions,
    rows: Arc<Mutex<Rows>>,
}

/// Where the rows of an [`EmbedRows`] gather.
#[derive(Clone)]
pub struct GatheredRows(Arc<Mutex<Rows>>);

/// The rows that a call had when it was given up.
#[derive(Debug)]
pub struct SomeRows {
    /// One row for each text; NaN where there is none. Of no dimensions when there is none at all.
    pub vectors: Matrix,
    /// The texts that have theirs, as ranges in order.
    pub finished: Vec<Range<usize>>,
}

impl GatheredRows {
    /// All rows, once the work has ended well.
    ///
    /// # Errors
    /// The failure, when no request at all succeeded.
    pub fn finish(&self) -> Result<Embeddings> {
        self.take_rows().finish()
    }

    /// The rows so far. This ends the gathering: a second call finds none.
    #[must_use]
    pub fn take(&self) -> SomeRows {
        self.take_rows().into_some()
    }

    fn take_rows(&self) -> Rows {
        let mut rows = lock(&self.0);
        let nothing = Rows::new(rows.total);
        std::mem::replace(&mut *rows, nothing)
    }
}

impl EmbedRows {
    pub(super) fn new(client: EmbeddingClient, texts: Vec<String>, options: EmbedOptions) -> Self {
        let rows = Arc::new(Mutex::new(Rows::new(texts.len())));
        Self { client, texts, options, rows }
    }

    /// Where the rows gather; to be asked for before the work begins.
    #[must_use]
    pub fn gathered(&self) -> GatheredRows {
        GatheredRows(Arc::clone(&self.rows))
    }

    /// Embeds the texts and leaves their rows with [`EmbedRows::gathered`]. Dropping the future cancels
    /// what is under way.
    ///
    /// # Errors
    /// As [`EmbeddingClient::embed_all`].
    pub async fn work(self) -> Result<()> {
        let Self { client, texts, options, rows } = self;
        options.check()?;
        let size = options.batch_size.unwrap_or(DEFAULT_BATCH);
        let at_once = options.max_concurrency.unwrap_or(DEFAULT_CONCURRENCY);
        let stop = options.on_error == OnError::Raise;
        let total = texts.len();
        let sought = match client.shelf() {
            Some(shelf) => {
                let (sought, known) = cached::seek(shelf, texts).await;
                lock(&rows).take_known(known)?;
                sought
            }
            None => Sought::all(texts),
        };
        let known = total.saturating_sub(sought.rows());
        let (sought, mut done) = (Arc::new(sought), known);
        if sought.texts.is_empty() {
            let told = options.on_progress.as_ref().filter(|_| total > 0);
            return tell(told, total, total).await;
        }
        let mut plan = Plan::new(&sought.texts, client.model().as_ref(), size).peekable();
        let all = 0..sought.texts.len();
        if plan.peek().is_some_and(|range| *range == all) {
            // Nothing runs beside a single request, so it needs no task of its own.
            let parts = parts(&client, &sought, all, stop).await;
            lock(&rows).take(parts, &sought, stop)?;
            return tell(options.on_progress.as_ref(), total, total).await;
        }
        let mut answers = stream::iter(plan)
            .map(|range| {
                let (client, sought, count) =
                    (client.clone(), Arc::clone(&sought), sought.rows_of(&range));
                let task =
                    runtime::spawn(async move { Ok(parts(&client, &sought, range, stop).await) });
                async move { (count, task.await) }
            })
            .buffer_unordered(at_once);
        while let Some((count, parts)) = answers.next().await {
            lock(&rows).take(parts?, &sought, stop)?;
            done = done.saturating_add(count);
            tell(options.on_progress.as_ref(), done, total).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for EmbedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbedRows").field("options", &self.options).finish_non_exhaustive()
    }
}

impl fmt::Debug for GatheredRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatheredRows").finish_non_exhaustive()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Texts that have their vectors, in the order in which these came.
    placed: Vec<Range<usize>>,
    /// Why the first of the others has none.
    failure: Option<Error>,
}

impl Rows {
    fn new(total: usize) -> Self {
        Self {
            total,
            dimensions: None,
            data: Vec::new(),
            usage: EmbeddingUsage::default(),
            placed: Vec::new(),
            failure: None,
        }
    }

    /// Takes the parts of one request; with `stop` a failure among them is the call's.
    fn take(&mut self, parts: Vec<Part>, sought: &Sought, stop: bool) -> Result<()> {
        for Part { texts, answer } in parts {
            match answer.and_then(|answer| self.place(texts, answer, sought)) {
                Ok(()) => {}
                Err(error) if stop => return Err(error),
                Err(error) => {
                    self.failure.get_or_insert(error);
                }
            }
        }
        Ok(())
    }

    /// Takes rows that need not be asked for.
    fn take_known(&mut self, known: Vec<(usize, Row)>) -> Result<()> {
        for (position, row) in known {
            let values = row.values();
            self.put(position..position.saturating_add(1), values, values.len())?;
        }
        Ok(())
    }

    fn place(&mut self, texts: Range<usize>, answer: Embeddings, sought: &Sought) -> Result<()> {
        let EmbeddingUsage { prompt_tokens, total_tokens } = answer.usage;
        self.usage.prompt_tokens = self.usage.prompt_tokens.saturating_add(prompt_tokens);
        self.usage.total_tokens = self.usage.total_tokens.saturating_add(total_tokens);
        let dimensions = answer.vectors.dimensions();
        if !sought.is_all() {
            for (number, row) in texts.zip(answer.vectors.iter()) {
                for position in
                    std::iter::once(sought.position(number)).chain(sought.repeats(number))
                {
                    self.put(position..position.saturating_add(1), row, dimensions)?;
                }
            }
            return Ok(());
        }
        if texts.len() == self.total && self.dimensions.is_none() {
            self.dimensions = Some(dimensions);
            self.data = answer.vectors.into_vec();
            self.placed.push(texts);
            return Ok(());
        }
        self.put(texts, answer.vectors.as_slice(), dimensions)
    }

    fn put(&mut self, texts: Range<usize>, values_of: &[f32], width: usize) -> Result<()> {
        let dimensions = *self.dimensions.get_or_insert(width);
        if dimensions != width {
            let text =
                format!("LLM error: vectors of {dimensions} and {width} dimensions in one call");
            return Err(Error::new(Kind::Decode, text));
        }
        if self.data.is_empty() {
            // Zeros, because the system has them ready: a page is touched once, by its rows.
            self.data = vec![0.0; self.total.saturating_mul(dimensions)];
        }
        match self.data.get_mut(values(&texts, dimensions)) {
            Some(place) if place.len() == values_of.len() => {
                place.copy_from_slice(values_of);
                self.placed.push(texts);
                Ok(())
            }
            _ => Err(Error::new(Kind::Internal, "a batch does not fit its place")),
        }
    }

    /// Makes the rows of all other texts NaN.
    fn blank(&mut self, dimensions: usize) {
        self.placed.sort_unstable_by_key(|texts| texts.start);
        let mut next = 0;
        let end = self.total..self.total;
        for texts in self.placed.iter().chain([&end]) {
            let missing = values(&(next..texts.start), dimensions);
            self.data.get_mut(missing).unwrap_or_default().fill(f32::NAN);
            next = texts.end;
        }
    }

    fn finish(mut self) -> Result<Embeddings> {
        let Some(dimensions) = self.dimensions else {
            return self.failure.map_or_else(|| Ok(Embeddings::default()), Err);
        };
        self.blank(dimensions);
        let vectors = Matrix::new(self.data, self.total, dimensions)?;
        Ok(Embeddings { vectors, usage: self.usage, pace: None })
    }

    fn into_some(mut self) -> SomeRows {
        let dimensions = self.dimensions.unwrap_or_default();
        self.blank(dimensions);
        match Matrix::new(self.data, self.total, dimensions) {
            Ok(vectors) => SomeRows { vectors, finished: self.placed },
            // The only answer was refused, so that its width is all there is of it.
            Err(_) => SomeRows { vectors: Matrix::default(), finished: Vec::new() },
        }
    }
}

/// Where the rows of some texts lie.
fn values(texts: &Range<usize>, dimensions: usize) -> Range<usize> {
    texts.start.saturating_mul(dimensions)..texts.end.saturating_mul(dimensions)
}

/// Groups about to be embedded, from [`EmbeddingClient::each_group`].
#[must_use = "nothing is asked until it works"]
pub struct EachGroup {
    client: EmbeddingClient,
    groups: Vec<Vec<String>>,
    at_once: usize,
    timeout: Option<Duration>,
    outcomes: Outcomes,
}

type Outcomes = Arc<Mutex<Vec<Option<Result<Embeddings>>>>>;

/// Where the outcomes of an [`EachGroup`] gather.
#[derive(Clone)]
pub struct GatheredGroups(Outcomes);

impl GatheredGroups {
    /// The outcomes of work that took `duration`; what has none by now was out of time.
    #[must_use]
    pub fn finish(&self, duration: Duration) -> GroupsOutcome {
        let ended = |outcome: Option<_>| outcome.unwrap_or_else(|| Err(timed_out()));
        GroupsOutcome { groups: self.take().into_iter().map(ended).collect(), duration }
    }

    /// The outcomes so far, one place for each group, `None` where there is none. A second call finds none.
    #[must_use]
    pub fn take(&self) -> Vec<Option<Result<Embeddings>>> {
        lock(&self.0).iter_mut().map(Option::take).collect()
    }
}

impl EachGroup {
    pub(super) fn new(
        client: EmbeddingClient,
        groups: Vec<Vec<String>>,
        at_once: usize,
        timeout: Option<Duration>,
    ) -> Self {
        let outcomes = Arc::new(Mutex::new(groups.iter().map(|_| None).collect()));
        Self { client, groups, at_once, timeout, outcomes }
    }

    /// Where the outcomes gather; to be asked for before the work begins.
    #[must_use]
    pub fn gathered(&self) -> GatheredGroups {
        GatheredGroups(Arc::clone(&self.outcomes))
    }

    /// Embeds the groups and leaves their outcomes with [`EachGroup::gathered`]. Returns how long it took.
    /// Dropping the future cancels what is under way.
    ///
    /// # Errors
    /// As [`EmbeddingClient::embed_groups`].
    pub async fn work(self) -> Result<Duration> {
        let Self { client, groups, at_once, timeout, outcomes } = self;
        if groups.is_empty() {
            return Err(Error::new(Kind::Validation, "Batch cannot be empty"));
        }
        let at_once = positive("max_concurrency", at_once)?;
        let started = Instant::now();
        let deadline = timeout.and_then(|limit| started.checked_add(limit));
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
            if let Some(place) = lock(&outcomes).get_mut(number) {
                *place = Some(answer);
            }
        }
        Ok(started.elapsed())
    }
}

impl fmt::Debug for EachGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EachGroup").field("groups", &self.groups.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for GatheredGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatheredGroups").finish_non_exhaustive()
    }
}

fn timed_out() -> Error {
    Error::new(Kind::Timeout, "LLM error: Batch request timed out").with_advice(Advice::Never)
}

#[cfg(test)]
mod tests;
