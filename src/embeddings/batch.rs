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
    let size = options.batch_size.unwrap_or(DEFAULT_BATCH).min(client.max_batch());
    let at_once = options.max_concurrency.unwrap_or(DEFAULT_CONCURRENCY);
    let total = texts.len();
    let texts = Arc::new(texts);
    let ranges = (0..total).step_by(size).map(|start| start..total.min(start.saturating_add(size)));
    let mut answers = stream::iter(ranges)
        .map(|range| {
            let (client, texts, wanted) = (client.clone(), Arc::clone(&texts), range.clone());
            let task = runtime::spawn(async move {
                let batch = texts.get(wanted).unwrap_or_default();
                client.request(batch, false).await
            });
            async move { (range, task.await) }
        })
        .buffer_unordered(at_once);

    let mut rows = Rows::new(total);
    let mut failure = None;
    let mut done = 0_usize;
    while let Some((range, answer)) = answers.next().await {
        done = done.saturating_add(range.len());
        match answer.and_then(|answer| rows.place(range, answer)) {
            Ok(()) => {}
            Err(error) if options.on_error == OnError::Raise => return Err(error),
            Err(error) => failure = failure.or(Some(error)),
        }
        if let Some(on_progress) = &options.on_progress {
            on_progress(done, total).await?;
        }
    }
    match failure {
        Some(error) if rows.dimensions.is_none() => Err(error),
        _ => rows.finish(),
    }
}

/// The matrix being filled; its width is known from the first answer on.
struct Rows {
    total: usize,
    dimensions: Option<usize>,
    data: Vec<f32>,
    usage: EmbeddingUsage,
}

impl Rows {
    fn new(total: usize) -> Self {
        Self { total, dimensions: None, data: Vec::new(), usage: EmbeddingUsage::default() }
    }

    fn place(&mut self, range: Range<usize>, answer: Embeddings) -> Result<()> {
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
        if range.len() == self.total {
            self.data = answer.vectors.into_vec();
            return Ok(());
        }
        if self.data.is_empty() {
            self.data = vec![f32::NAN; self.total.saturating_mul(dimensions)];
        }
        let (start, end) =
            (range.start.saturating_mul(dimensions), range.end.saturating_mul(dimensions));
        match self.data.get_mut(start..end) {
            Some(place) if place.len() == answer.vectors.as_slice().len() => {
                place.copy_from_slice(answer.vectors.as_slice());
                Ok(())
            }
            _ => Err(Error::new(Kind::Internal, "a batch does not fit its place")),
        }
    }

    fn finish(self) -> Result<Embeddings> {
        let dimensions = self.dimensions.unwrap_or_default();
        let vectors = Matrix::new(self.data, self.total, dimensions)?;
        Ok(Embeddings { vectors, usage: self.usage })
    }
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
mod tests {
    use super::*;
    use crate::embeddings::EmbeddingModel;
    use crate::resilience::RetryPolicy;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Embeds a number as itself. Later texts answer sooner; text "fail" fails its batch.
    #[derive(Default)]
    struct Numbers {
        now: AtomicUsize,
        most: AtomicUsize,
        batches: Mutex<Vec<usize>>,
    }

    impl EmbeddingModel for Numbers {
        fn provider(&self) -> &str {
            "test"
        }
        fn model(&self) -> &str {
            "numbers"
        }
        fn dimensions(&self) -> Option<usize> {
            Some(1)
        }
        fn max_batch(&self) -> usize {
            10
        }
        fn embed<'a>(&'a self, texts: &'a [String], _: bool) -> BoxFuture<'a, Result<Embeddings>> {
            Box::pin(async move {
                self.batches.lock().unwrap().push(texts.len());
                let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
                let first: u64 = texts[0].parse().unwrap_or_default();
                tokio::time::sleep(Duration::from_millis(40_u64.saturating_sub(first))).await;
                self.now.fetch_sub(1, Ordering::SeqCst);
                if texts.iter().any(|text| text == "fail") {
                    return Err(Error::new(Kind::BadRequest, "refused"));
                }
                let rows: Vec<_> = texts.iter().map(|text| vec![text.parse().unwrap()]).collect();
                let usage = EmbeddingUsage { prompt_tokens: 1, total_tokens: 2 };
                Ok(Embeddings { vectors: Matrix::from_rows(&rows)?, usage })
            })
        }
    }

    fn client() -> (EmbeddingClient, Arc<Numbers>) {
        let model = Arc::new(Numbers::default());
        (EmbeddingClient::new(model.clone(), RetryPolicy::default()), model)
    }

    fn texts(count: usize) -> Vec<String> {
        (0..count).map(|number| number.to_string()).collect()
    }

    fn run<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        runtime::block_on(work)
    }

    #[test]
    fn rows_keep_the_order_of_the_texts_and_concurrency_its_bound() {
        let (client, model) = client();
        let options = EmbedOptions {
            batch_size: Some(3),
            max_concurrency: Some(4),
            ..EmbedOptions::default()
        };
        let answer = run(async move { client.embed_all(texts(32), options).await }).unwrap();
        let expected: Vec<f32> = (0..32_u8).map(f32::from).collect();
        assert_eq!(answer.vectors.as_slice(), expected);
        assert_eq!(answer.usage, EmbeddingUsage { prompt_tokens: 11, total_tokens: 22 });
        assert_eq!(model.most.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn embed_many_splits_at_the_models_limit_only() {
        let (client, model) = client();
        let answer = run(async move {
            client.embed_many(texts(10)).await?;
            client.embed_many(texts(21)).await
        });
        assert_eq!(answer.unwrap().vectors.rows(), 21);
        let mut batches = model.batches.lock().unwrap().clone();
        batches.sort_unstable();
        assert_eq!(batches, [1, 10, 10, 10]);
    }

    #[test]
    fn a_failed_batch_raises_or_leaves_nan_as_asked() {
        let with = |on_error| {
            let (client, _) = client();
            let mut texts = texts(6);
            texts[3] = "fail".to_owned();
            let options = EmbedOptions { batch_size: Some(2), on_error, ..EmbedOptions::default() };
            run(async move { client.embed_all(texts, options).await })
        };
        assert_eq!(with(OnError::Raise).unwrap_err().kind(), Kind::BadRequest);
        let answer = with(OnError::Nan).unwrap();
        let nan: Vec<bool> = answer.vectors.as_slice().iter().map(|value| value.is_nan()).collect();
        assert_eq!(nan, [false, false, true, true, false, false]);
        let (client, _) = client();
        let options = EmbedOptions { on_error: OnError::Nan, ..EmbedOptions::default() };
        let all = run(async move { client.embed_all(vec!["fail".to_owned()], options).await });
        assert_eq!(all.unwrap_err().kind(), Kind::BadRequest);
    }

    #[test]
    fn progress_is_told_and_can_end_the_call() {
        let (client, _) = client();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let on_progress: OnProgress = Arc::new(move |done, total| {
            sink.lock().unwrap().push((done, total));
            let stop = done >= 4;
            Box::pin(
                async move { if stop { Err(Error::new(Kind::Callback, "stop")) } else { Ok(()) } },
            )
        });
        let options = EmbedOptions {
            batch_size: Some(2),
            max_concurrency: Some(1),
            on_progress: Some(on_progress),
            ..EmbedOptions::default()
        };
        let result = run(async move { client.embed_all(texts(8), options).await });
        assert_eq!(result.unwrap_err().message(), "stop");
        assert_eq!(*seen.lock().unwrap(), [(2, 8), (4, 8)]);
    }

    #[test]
    fn zero_options_are_named_and_nothing_is_nothing() {
        let (client, _) = client();
        for field in ["batch_size", "max_concurrency"] {
            let size = |name: &str| (field == name).then_some(0);
            let options = EmbedOptions {
                batch_size: size("batch_size"),
                max_concurrency: size("max_concurrency"),
                ..EmbedOptions::default()
            };
            let client = client.clone();
            let error = run(async move { client.embed_all(texts(1), options).await }).unwrap_err();
            assert!(error.message().contains(field), "{error}");
        }
        let none = run(async move { client.embed_all(vec![], EmbedOptions::default()).await });
        assert_eq!(none.unwrap().vectors.rows(), 0);
    }

    #[test]
    fn a_failed_group_leaves_the_others_alone() {
        let (client, _) = client();
        let groups = vec![texts(2), vec!["fail".into()], vec![], texts(25)];
        let outcome = run(async move { client.embed_groups(groups, 2, None).await }).unwrap();
        let rows: Vec<_> = outcome
            .groups
            .iter()
            .map(|group| group.as_ref().map(|answer| answer.vectors.rows()).map_err(Error::kind))
            .collect();
        assert_eq!(rows, [Ok(2), Err(Kind::BadRequest), Ok(0), Ok(25)]);
    }

    #[test]
    fn a_timeout_keeps_what_was_finished() {
        let (client, _) = client();
        let groups = vec![vec!["0".to_owned()], vec!["39".to_owned()]];
        let limit = Some(Duration::from_millis(20));
        let both = groups.clone();
        let other = client.clone();
        let outcome = run(async move { other.embed_groups(both, 2, limit).await }).unwrap();
        assert_eq!(outcome.groups[0].as_ref().unwrap_err().kind(), Kind::Timeout);
        assert!(outcome.groups[1].is_ok());
        let none = run(async move { client.embed_groups(groups, 1, limit).await });
        assert_eq!(none.unwrap_err().message(), "LLM error: Batch request timed out");
    }
}
