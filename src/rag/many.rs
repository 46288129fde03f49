//! Many questions at once: embedded in batches, bounded concurrency, one outcome a question, in their order.
//!
//! Each lane takes the next question when it has finished one. The first that needs the vector of a question
//! embeds the whole batch this is in, the others wait for that; so the next batch is embedded while answers to
//! the last one are awaited.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::OnceCell;

use super::passages::{Asking, Mode, check_question};
use super::{Answer, Inner, ParallelRag};
use crate::error::{Error, Kind, Result};
use crate::llm::many::{DEFAULT_CONCURRENCY, Ended, OnError};
use crate::runtime;
use crate::store::at_least_one;

/// Questions about to be asked, from [`ParallelRag::ask_many`].
#[must_use = "nothing is asked until it works"]
pub struct AskMany {
    shared: Arc<Shared>,
    lanes: usize,
}

impl fmt::Debug for AskMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskMany")
            .field("questions", &self.shared.questions.len())
            .finish_non_exhaustive()
    }
}

/// Where the outcomes of an [`AskMany`] gather.
#[derive(Clone)]
pub struct Answers(Arc<Shared>);

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

impl Answers {
    /// The outcomes so far, one place for each question in their order, `None` where there is none yet. A
    /// second call finds nothing.
    #[must_use]
    pub fn take(&self) -> Vec<Option<Result<Answer>>> {
        let mut outcomes = self.0.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = std::mem::take(&mut *outcomes);
        taken.resize_with(self.0.questions.len(), || None);
        taken
    }
}

struct Shared {
    rag: Arc<Inner>,
    questions: Vec<String>,
    asking: Asking,
    on_error: OnError,
    next: AtomicUsize,
    batches: Vec<OnceCell<Result<Batch>>>,
    outcomes: Mutex<Vec<Option<Result<Answer>>>>,
}

/// The vectors of some questions; none for a blank one.
type Batch = Vec<Option<Vec<f32>>>;

impl ParallelRag {
    /// Asks each question as `asking` says, at most `max_concurrency` (default 256) at once.
    ///
    /// A question that fails is an outcome, or with [`OnError::Stop`] ends the work.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an `asking` out of its ranges or a `max_concurrency` of 0, [`Kind::Store`] when
    /// nothing has been ingested.
    pub fn ask_many(
        &self,
        questions: Vec<String>,
        asking: Asking,
        max_concurrency: Option<usize>,
        on_error: OnError,
    ) -> Result<AskMany> {
        asking.check()?;
        at_least_one("max_concurrency", max_concurrency)?;
        if !questions.is_empty() {
            self.inner.check_filled()?;
        }
        let lanes = max_concurrency.unwrap_or(DEFAULT_CONCURRENCY).min(questions.len());
        let batches = questions.len().div_ceil(self.inner.config.batch_size);
        let mut outcomes = Vec::new();
        outcomes.resize_with(questions.len(), || None);
        let shared = Shared {
            rag: Arc::clone(&self.inner),
            questions,
            asking,
            on_error,
            next: AtomicUsize::new(0),
            batches: (0..batches).map(|_| OnceCell::new()).collect(),
            outcomes: Mutex::new(outcomes),
        };
        Ok(AskMany { shared: Arc::new(shared), lanes })
    }
}

impl AskMany {
    /// Where the outcomes gather; to be asked for before the work begins.
    #[must_use]
    pub fn answers(&self) -> Answers {
        Answers(Arc::clone(&self.shared))
    }

    /// Asks, and leaves the outcomes with [`AskMany::answers`]. Dropping the future cancels what is under
    /// way. Returns why it ended early, if it did.
    pub async fn work(self) -> Option<Ended> {
        let Self { shared, lanes } = self;
        let mut lanes: FuturesUnordered<_> = (0..lanes)
            .map(|_| {
                let shared = Arc::clone(&shared);
                runtime::spawn(async move { Ok(shared.lane().await) })
            })
            .collect();
        while let Some(lane) = lanes.next().await {
            match lane {
                Ok(Ok(())) => {}
                Ok(Err(ended)) => return Some(ended),
                Err(error) => return Some(Ended { index: None, error }),
            }
        }
        None
    }
}

impl Shared {
    async fn lane(&self) -> Result<(), Ended> {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(question) = self.questions.get(index) else { return Ok(()) };
            let outcome = AssertUnwindSafe(self.ask(index, question))
                .catch_unwind()
                .await
                .unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())));
            match outcome {
                Err(error) if self.on_error == OnError::Stop => {
                    return Err(Ended { index: Some(index), error });
                }
                outcome => self.keep(index, outcome),
            }
            // A model that answers without waiting must not keep the lane from being cancelled.
            tokio::task::coop::consume_budget().await;
        }
    }

    fn keep(&self, index: usize, outcome: Result<Answer>) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = outcomes.get_mut(index) {
            *place = Some(outcome);
        }
    }

    async fn ask(&self, index: usize, question: &str) -> Result<Answer> {
        check_question(question)?;
        let vector = match self.asking.mode {
            Mode::Lexical => Vec::new(),
            _ => self.vector(index, question).await?,
        };
        let passages = self.rag.passages(question, vector, &self.asking).await?;
        let prepared = self.rag.prepared(question, passages, &self.asking).await?;
        self.rag.answer(prepared).await
    }

    async fn vector(&self, index: usize, question: &str) -> Result<Vec<f32>> {
        let size = self.rag.config.batch_size;
        let Some(batch) = self.batches.get(index / size) else { return Ok(Vec::new()) };
        match batch.get_or_init(|| self.embed(index / size * size)).await {
            Ok(vectors) => Ok(vectors.get(index % size).cloned().flatten().unwrap_or_default()),
            // One question that the server refuses is not the fault of the others.
            Err(error) if error.kind() == Kind::BadRequest && size > 1 => {
                let alone = self.rag.embed(vec![question.to_owned()]).await?;
                Ok(alone.into_iter().next().unwrap_or_default())
            }
            Err(error) => Err(error.duplicate()),
        }
    }

    /// The vectors of the batch that starts at `first`.
    async fn embed(&self, first: usize) -> Result<Batch> {
        let questions = || self.questions.iter().skip(first).take(self.rag.config.batch_size);
        let asked = |question: &&String| check_question(question).is_ok();
        let vectors = self.rag.embed(questions().filter(asked).cloned().collect()).await?;
        let mut vectors = vectors.into_iter();
        Ok(questions().map(|question| asked(&question).then(|| vectors.next()).flatten()).collect())
    }
}
