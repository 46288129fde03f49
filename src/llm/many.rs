//! Many requests at once: bounded concurrency, one outcome a request, in the order of the requests.
//!
//! As many lanes as may work at once are started, and each takes the next request when it has finished
//! one. So a request is made only when its turn has come, nothing is started for each of a million of
//! them, and answers are read on all workers.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;

use super::{BoxFuture, LlmClient};
use crate::error::{Error, Result};
use crate::runtime::{self, Task};
use crate::types::{ChatRequest, ChatResponse};

/// Requests at once unless said otherwise: as many connections as fit a process that may open 1024
/// files, the usual limit, with room for its other work.
pub const DEFAULT_CONCURRENCY: usize = 256;

/// At most this often is a callback told of the progress, and once more at the end.
const REPORTS: Duration = Duration::from_millis(50);

/// Told how many of how many requests have an outcome. Its error ends the work.
pub type OnProgress = Arc<dyn Fn(usize, usize) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// What a failed request does to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The first failure cancels them.
    #[default]
    Stop,
    /// Nothing; the failure is that request's outcome.
    Keep,
}

/// How [`LlmClient::complete_each`] works.
#[derive(Clone, Default)]
pub struct ManyOptions {
    /// Requests under way at once, at least 1; [`DEFAULT_CONCURRENCY`] when unset.
    pub max_concurrency: Option<usize>,
    /// What a failed request does.
    pub on_error: OnError,
    /// Told of the progress, at most twenty times a second, and at the end.
    pub on_progress: Option<OnProgress>,
}

impl fmt::Debug for ManyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManyOptions")
            .field("max_concurrency", &self.max_concurrency)
            .field("on_error", &self.on_error)
            .finish_non_exhaustive()
    }
}

/// What became of many requests.
#[derive(Debug)]
pub struct Many<T> {
    /// One for each request, in their order; `None` only for those that `ended` cut off.
    pub outcomes: Vec<Option<Result<T>>>,
    /// Why the work ended early.
    pub ended: Option<Ended>,
}

/// What ended the work early.
#[derive(Debug)]
pub struct Ended {
    /// The request that failed; `None` when it was the callback.
    pub index: Option<usize>,
    /// How.
    pub error: Error,
}

/// Many requests about to be made, from [`LlmClient::each`].
///
/// What is finished stays in reach when the work itself is given up, by a signal for instance: whoever
/// gives it up takes it from the [`Gathered`] side.
#[must_use = "nothing is asked until it works"]
pub struct Each<T> {
    client: LlmClient,
    shared: Arc<Shared<T>>,
    options: ManyOptions,
    keep: fn(ChatResponse) -> T,
}

/// Where the outcomes of an [`Each`] gather.
pub struct Gathered<T>(Arc<Shared<T>>);

impl<T> Gathered<T> {
    /// The outcomes so far, one place for each request in their order, `None` where there is none yet.
    /// This ends the work: no request is made after it, and a second call finds nothing.
    #[must_use]
    pub fn take(&self) -> Vec<Option<Result<T>>> {
        let (requests, mut outcomes) = {
            let mut work = self.0.lock();
            (work.requests.take(), std::mem::take(&mut work.outcomes))
        };
        drop(requests);
        outcomes.resize_with(self.0.total, || None);
        outcomes
    }
}

impl<T> Clone for Gathered<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Gathered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathered").field("total", &self.0.total).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Each<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Each").field("options", &self.options).finish_non_exhaustive()
    }
}

struct Shared<T> {
    work: Mutex<Work<T>>,
    done: AtomicUsize,
    total: usize,
}

struct Work<T> {
    /// `None` once the outcomes have been taken.
    requests: Option<Box<dyn Iterator<Item = Result<ChatRequest>> + Send>>,
    /// Grows with the requests handed out, which happens in their order.
    outcomes: Vec<Option<Result<T>>>,
}

type Finished<T> = Option<(usize, Result<T>)>;

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Work<T>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a lane's last outcome and gives it its next request, under one lock. A request that could
    /// not be made is an outcome by itself.
    fn exchange(
        &self,
        finished: Finished<T>,
        on_error: OnError,
    ) -> Result<Option<(usize, ChatRequest)>, Ended> {
        let mut guard = self.lock();
        let Work { requests, outcomes } = &mut *guard;
        let Some(requests) = requests else { return Ok(None) };
        if let Some((index, outcome)) = finished
            && let Some(place) = outcomes.get_mut(index)
        {
            *place = Some(outcome);
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        loop {
            let index = outcomes.len();
            match requests.next() {
                None => return Ok(None),
                Some(Ok(request)) => {
                    outcomes.push(None);
                    return Ok(Some((index, request)));
                }
                Some(Err(error)) if on_error == OnError::Stop => {
                    return Err(Ended { index: Some(index), error });
                }
                Some(Err(error)) => {
                    outcomes.push(Some(Err(error)));
                    self.done.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Answers request after request, until there are none or one fails that ends the work.
    async fn lane(
        self: Arc<Self>,
        client: LlmClient,
        on_error: OnError,
        keep: fn(ChatResponse) -> T,
    ) -> Result<(), Ended> {
        let mut finished = None;
        while let Some((index, request)) = self.exchange(finished.take(), on_error)? {
            let outcome = AssertUnwindSafe(client.complete(request))
                .catch_unwind()
                .await
                .unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())));
            match outcome {
                Err(error) if on_error == OnError::Stop => {
                    return Err(Ended { index: Some(index), error });
                }
                outcome => finished = Some((index, outcome.map(keep))),
            }
            // A model that answers without waiting must not keep the lane from being cancelled.
            tokio::task::coop::consume_budget().await;
        }
        Ok(())
    }
}

impl<T: Send + 'static> Each<T> {
    pub(super) fn new<I>(
        client: LlmClient,
        requests: I,
        options: ManyOptions,
        keep: fn(ChatResponse) -> T,
    ) -> Self
    where
        I: ExactSizeIterator<Item = Result<ChatRequest>> + Send + 'static,
    {
        let total = requests.len();
        let work = Work { requests: Some(Box::new(requests)), outcomes: Vec::new() };
        let shared = Shared { work: Mutex::new(work), done: AtomicUsize::new(0), total };
        Self { client, shared: Arc::new(shared), options, keep }
    }

    /// Where the outcomes gather; to be asked for before the work begins.
    #[must_use]
    pub fn gathered(&self) -> Gathered<T> {
        Gathered(Arc::clone(&self.shared))
    }

    /// Makes the requests and leaves their outcomes with [`Each::gathered`]. Dropping the future cancels
    /// what is under way. Returns why it ended early, if it did.
    pub async fn work(self) -> Option<Ended> {
        let Self { client, shared, options, keep } = self;
        let ManyOptions { max_concurrency, on_error, on_progress } = options;
        let total = shared.total;
        let lanes = max_concurrency.unwrap_or(DEFAULT_CONCURRENCY).max(1).min(total);
        let finished = Notify::new();
        let lanes: FuturesUnordered<Task<Result<(), Ended>>> = (0..lanes)
            .map(|_| {
                let lane = Arc::clone(&shared).lane(client.clone(), on_error, keep);
                runtime::spawn(async move { Ok(lane.await) })
            })
            .collect();
        let answers = async {
            let ended = drain(lanes).await;
            finished.notify_one();
            ended
        };
        let reports = report(on_progress.as_ref(), &shared.done, total, &finished);
        tokio::pin!(answers, reports);
        tokio::select! {
            Err(error) = &mut reports => Some(Ended { index: None, error }),
            ended = &mut answers => match ended {
                None if on_progress.is_some() => {
                    reports.await.err().map(|error| Ended { index: None, error })
                }
                ended => ended,
            },
        }
    }

    /// As [`Each::work`], with the outcomes.
    pub(super) async fn run(self) -> Many<T> {
        let gathered = self.gathered();
        let ended = self.work().await;
        Many { outcomes: gathered.take(), ended }
    }
}

/// Waits for the lanes; dropping those that are left cancels them.
async fn drain(mut lanes: FuturesUnordered<Task<Result<(), Ended>>>) -> Option<Ended> {
    while let Some(lane) = lanes.next().await {
        match lane {
            Ok(Ok(())) => {}
            Ok(Err(ended)) => return Some(ended),
            Err(error) => return Some(Ended { index: None, error }),
        }
    }
    None
}

/// Tells of the progress until all is done, the end included. Without a callback it never returns.
async fn report(
    on_progress: Option<&OnProgress>,
    done: &AtomicUsize,
    total: usize,
    finished: &Notify,
) -> Result<()> {
    let Some(on_progress) = on_progress else { return std::future::pending().await };
    let mut told = None;
    loop {
        let ended = tokio::time::timeout(REPORTS, finished.notified()).await.is_ok();
        let now = done.load(Ordering::Relaxed);
        // The last answers may have been told of by the clock, a moment before the end.
        if told != Some(now) && (now > 0 || ended) {
            on_progress(now, total).await?;
            told = Some(now);
        }
        if ended {
            return Ok(());
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what #[tokio::test] expands to")]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::error::Kind;
    use crate::llm::ChatModel;
    use crate::resilience::RetryPolicy;

    /// Answers with the prompt: at once, after as many milliseconds as it says, or not at all.
    #[derive(Default)]
    struct Echo {
        under_way: AtomicUsize,
        most: AtomicUsize,
        asked: AtomicUsize,
    }

    impl ChatModel for Echo {
        fn provider(&self) -> &str {
            "echo"
        }
        fn model(&self) -> &str {
            "echo-1"
        }
        fn complete<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatResponse>> {
            Box::pin(async {
                self.asked.fetch_add(1, Ordering::SeqCst);
                let prompt = &request.messages[0].content;
                let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
                if let Ok(wait) = prompt.parse() {
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                }
                self.under_way.fetch_sub(1, Ordering::SeqCst);
                match prompt.as_str() {
                    "bad" => Err(Error::new(Kind::BadRequest, "bad").with_status(400)),
                    "panic" => panic!("on purpose"),
                    _ => Ok(ChatResponse { content: prompt.clone(), ..ChatResponse::default() }),
                }
            })
        }
    }

    fn run(prompts: &[&str], options: ManyOptions) -> (Arc<Echo>, Many<String>) {
        let model = Arc::new(Echo::default());
        let client = LlmClient::new(model.clone(), RetryPolicy::default());
        let requests: Vec<_> = prompts
            .iter()
            .map(|prompt| match *prompt {
                "" => Err(Error::new(Kind::Validation, "empty")),
                prompt => Ok(ChatRequest::from_prompt(prompt)),
            })
            .collect();
        let work = async move {
            let requests = requests.into_iter();
            Ok(client.complete_each(requests, options, |answer| answer.content).await)
        };
        (model, runtime::block_on(work).unwrap())
    }

    fn texts(many: &Many<String>) -> Vec<&str> {
        many.outcomes
            .iter()
            .map(|outcome| match outcome {
                None => "-",
                Some(Ok(text)) => text.as_str(),
                Some(Err(error)) => error.kind().as_str(),
            })
            .collect()
    }

    #[test]
    fn outcomes_keep_the_order_of_the_requests_and_concurrency_its_bound() {
        let prompts = ["40", "1", "bad", "", "20", "panic", "x"];
        let options =
            ManyOptions { max_concurrency: Some(3), on_error: OnError::Keep, on_progress: None };
        let (model, many) = run(&prompts, options);
        assert_eq!(texts(&many), ["40", "1", "bad_request", "validation", "20", "internal", "x"]);
        assert!(many.ended.is_none());
        assert_eq!(model.most.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_failure_cancels_the_rest_and_keeps_what_is_done() {
        let prompts = ["1", "60000", "30", "bad", "x", "y"];
        let options = ManyOptions { max_concurrency: Some(2), ..ManyOptions::default() };
        let (model, many) = run(&prompts, options);
        assert_eq!(texts(&many), ["1", "-", "30", "-", "-", "-"]);
        let ended = many.ended.unwrap();
        assert_eq!((ended.index, ended.error.kind()), (Some(3), Kind::BadRequest));
        assert_eq!(model.asked.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn a_request_that_cannot_be_made_fails_like_one_that_was() {
        let (_, many) = run(&["", "x"], ManyOptions::default());
        assert_eq!(many.ended.unwrap().index, Some(0));
        assert_eq!(many.outcomes.len(), 2);
    }

    #[test]
    fn requests_are_made_when_their_turns_come() {
        let model = Arc::new(Echo::default());
        let client = LlmClient::new(model.clone(), RetryPolicy::default());
        let options = ManyOptions { max_concurrency: Some(4), ..ManyOptions::default() };
        let requests = (0..1000_usize).map(move |made| {
            assert!(made <= model.asked.load(Ordering::SeqCst) + 4, "request {made} is early");
            Ok(ChatRequest::from_prompt("x"))
        });
        let work = async move { Ok(client.complete_each(requests, options, drop).await) };
        assert!(runtime::block_on(work).unwrap().ended.is_none());
    }

    #[test]
    fn no_requests_are_no_outcomes() {
        let (_, many) = run(&[], ManyOptions::default());
        assert!(many.outcomes.is_empty() && many.ended.is_none());
    }

    type Told = Arc<Mutex<Vec<(usize, usize)>>>;

    fn reporting(fail_at: Option<usize>) -> (Told, ManyOptions) {
        let told = Told::default();
        let seen = Arc::clone(&told);
        let on_progress: OnProgress = Arc::new(move |done, total| {
            seen.lock().unwrap().push((done, total));
            Box::pin(std::future::ready(match fail_at {
                Some(least) if done >= least => Err(Error::new(Kind::Callback, "enough")),
                _ => Ok(()),
            }))
        });
        (told, ManyOptions { on_progress: Some(on_progress), ..ManyOptions::default() })
    }

    #[test]
    fn progress_is_told_now_and_then_and_at_the_end() {
        let prompts: Vec<String> = (0..300).map(|number: u32| (number / 2).to_string()).collect();
        let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
        let (told, options) = reporting(None);
        let (_, many) = run(&prompts, options);
        assert!(many.ended.is_none());
        let told = told.lock().unwrap();
        assert_eq!(told.last(), Some(&(300, 300)));
        assert!(told.is_sorted() && told.len() >= 2 && told.len() < 30, "{told:?}");
        let (told, options) = reporting(None);
        run(&["x"], options);
        assert_eq!(*told.lock().unwrap(), [(1, 1)]);
    }

    #[test]
    fn a_callback_may_end_the_work() {
        let (told, options) = reporting(Some(1));
        let (_, many) = run(&["1", "60000"], options);
        assert_eq!(texts(&many), ["1", "-"]);
        let ended = many.ended.unwrap();
        assert_eq!((ended.index, ended.error.kind()), (None, Kind::Callback));
        assert_eq!(*told.lock().unwrap(), [(1, 2)]);
        // The last report counts as well.
        let (_, options) = reporting(Some(1));
        assert!(run(&["x"], options).1.ended.is_some());
    }

    #[test]
    fn what_is_finished_outlives_work_that_is_given_up() {
        let model = Arc::new(Echo::default());
        let client = LlmClient::new(model.clone(), RetryPolicy::default());
        let prompts = ["1", "bad", "60000", "x", "60000"];
        let requests = prompts.map(|prompt| Ok(ChatRequest::from_prompt(prompt))).into_iter();
        let options =
            ManyOptions { max_concurrency: Some(2), on_error: OnError::Keep, on_progress: None };
        let each = client.each(requests, options, |answer| answer.content);
        let gathered = each.gathered();
        let work = runtime::spawn(async move { Ok(each.work().await) });
        while model.asked.load(Ordering::SeqCst) < 5 {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(work);
        let many = Many { outcomes: gathered.take(), ended: None };
        assert_eq!(texts(&many), ["1", "bad_request", "-", "x", "-"]);
        let again = Many { outcomes: gathered.take(), ended: None };
        assert_eq!(texts(&again), ["-"; 5], "taken once");
    }

    #[test]
    fn taking_ends_the_work() {
        let model = Arc::new(Echo::default());
        let client = LlmClient::new(model.clone(), RetryPolicy::default());
        let requests = Endless((0..).map(|_| Ok(ChatRequest::from_prompt("x"))));
        let each = client.each(requests, ManyOptions::default(), drop);
        let gathered = each.gathered();
        let work = runtime::spawn(async move { Ok(each.work().await) });
        while model.asked.load(Ordering::SeqCst) < 100 {
            std::thread::yield_now();
        }
        drop(gathered.take());
        assert!(runtime::wait(work, None, || ControlFlow::Continue(())).unwrap().is_none());
    }

    #[tokio::test]
    async fn lanes_that_never_wait_can_be_cancelled() {
        let client = LlmClient::with_defaults(Arc::new(Echo::default()));
        let requests = (0..usize::MAX >> 1).map(|_| Ok(ChatRequest::from_prompt("x")));
        let requests = Endless(requests);
        let work = client.complete_each(requests, ManyOptions::default(), drop);
        assert!(tokio::time::timeout(Duration::from_millis(50), work).await.is_err());
    }

    struct Endless<I>(I);

    impl<I: Iterator> Iterator for Endless<I> {
        type Item = I::Item;
        fn next(&mut self) -> Option<I::Item> {
            self.0.next()
        }
        fn size_hint(&self) -> (usize, Option<usize>) {
            (4, Some(4))
        }
    }

    impl<I: Iterator> ExactSizeIterator for Endless<I> {}
}
