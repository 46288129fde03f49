//! [`LlmClient`]: the resilience around a model, and many requests at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::{self, StreamExt};

use super::{ChatModel, ChatStream};
use crate::error::{Error, Kind, Result};
use crate::resilience::{BreakerState, RetryPolicy, Stack, StatsSnapshot};
use crate::runtime;
use crate::types::{ChatRequest, ChatResponse};

/// A client for one model. Cloning shares the model, the breaker and the statistics.
#[derive(Clone)]
pub struct LlmClient {
    inner: Arc<Inner>,
}

struct Inner {
    model: Arc<dyn ChatModel>,
    stack: Stack,
    warm: AtomicBool,
}

impl LlmClient {
    /// A client around `model`. Nothing is sent.
    #[must_use]
    pub fn new(model: Arc<dyn ChatModel>, policy: RetryPolicy) -> Self {
        let inner = Inner { model, stack: Stack::new(policy), warm: AtomicBool::new(false) };
        Self { inner: Arc::new(inner) }
    }

    /// A client with the default policy: four attempts, and a deadline that fits the model's limits.
    #[must_use]
    pub fn with_defaults(model: Arc<dyn ChatModel>) -> Self {
        let policy = RetryPolicy::for_attempts(model.attempt_limit());
        Self::new(model, policy)
    }

    /// The model behind it.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn ChatModel> {
        &self.inner.model
    }

    /// One answer, tried again where that can help.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an impossible temperature; [`Kind::CircuitOpen`]; else the last
    /// attempt's error.
    pub async fn complete(&self, request: ChatRequest) -> Result<ChatResponse> {
        check(&request)?;
        let inner = &self.inner;
        inner.stack.call(|| inner.model.complete(&request)).await
    }

    /// One outcome for each request, in the order of the requests, at most `max_concurrency` (at
    /// least 1) under way at once. Each runs as a task of its own; dropping the future cancels them.
    pub async fn complete_many(
        &self,
        requests: Vec<ChatRequest>,
        max_concurrency: usize,
    ) -> Vec<Result<ChatResponse>> {
        let count = requests.len();
        let mut outcomes: Vec<Option<Result<ChatResponse>>> = Vec::new();
        outcomes.resize_with(count, || None);
        // Unordered inside, so that one slow answer at the head does not idle the other places.
        let mut answers = stream::iter(requests.into_iter().enumerate())
            .map(|(index, request)| {
                let client = self.clone();
                let task = runtime::spawn(async move { client.complete(request).await });
                async move { (index, task.await) }
            })
            .buffer_unordered(max_concurrency.max(1));
        while let Some((index, outcome)) = answers.next().await {
            if let Some(place) = outcomes.get_mut(index) {
                *place = Some(outcome);
            }
        }
        outcomes
            .into_iter()
            .map(|outcome| {
                outcome.unwrap_or_else(|| Err(Error::new(Kind::Internal, "an answer was lost")))
            })
            .collect()
    }

    /// Opens a streamed answer. Opening is tried again where that can help, up to and including the
    /// first event; what fails later is the stream's to report.
    ///
    /// # Errors
    /// As [`LlmClient::complete`]; [`Kind::Configuration`] when the model cannot stream.
    pub async fn stream(&self, request: ChatRequest) -> Result<ChatStream> {
        check(&request)?;
        let inner = &self.inner;
        let request = &request;
        inner
            .stack
            .call(|| async move {
                let mut events = inner.model.stream(request).await?;
                let first = events.next().await.transpose()?;
                Ok(stream::iter(first.map(Ok)).chain(events).boxed())
            })
            .await
    }

    /// Opens a connection by one small request, once in the life of the client. Its outcome, good or
    /// bad, is not reported and not counted.
    pub async fn warm_up(&self) {
        if self.inner.warm.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.inner.model.complete(&ChatRequest::from_prompt("Hello")).await {
            tracing::debug!(provider = self.inner.model.provider(), %error, "warm-up failed");
        }
    }

    /// The numbers so far.
    #[must_use]
    pub fn stats(&self) -> StatsSnapshot {
        self.inner.stack.stats()
    }

    /// Sets the counters to zero; breaker and uptime go on.
    pub fn reset_stats(&self) {
        self.inner.stack.reset_stats();
    }

    /// What the circuit breaker is doing.
    #[must_use]
    pub fn breaker_state(&self) -> BreakerState {
        self.inner.stack.breaker_state()
    }
}

/// JSON has no NaN: it would travel as `null` and silently mean "the default".
fn check(request: &ChatRequest) -> Result<()> {
    for (field, value) in [("temperature", request.temperature), ("top_p", request.top_p)] {
        if let Some(value) = value.filter(|value| !value.is_finite()) {
            let text = format!("{field} must be a finite number");
            return Err(Error::validation(field, Some(&value.to_string()), &text));
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what #[tokio::test] expands to")]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::super::BoxFuture;
    use super::*;
    use crate::types::{ChatEvent, FinishReason};

    /// Answers with the prompt; fails the first `failures` attempts; sleeps while the prompt says so.
    #[derive(Default)]
    struct Echo {
        failures: AtomicUsize,
        attempts: AtomicUsize,
        under_way: AtomicUsize,
        most: AtomicUsize,
    }

    impl Echo {
        fn attempt(&self, kind: Kind) -> Result<()> {
            self.attempts.fetch_add(1, Ordering::SeqCst);
            let less = |left: usize| left.checked_sub(1);
            match self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
                Ok(_) => Err(Error::new(kind, "not now")),
                Err(_) => Ok(()),
            }
        }
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
                self.attempt(Kind::Server)?;
                let prompt = &request.messages[0].content;
                let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
                if let Ok(wait) = prompt.parse() {
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                }
                self.under_way.fetch_sub(1, Ordering::SeqCst);
                if prompt == "bad" {
                    return Err(Error::new(Kind::BadRequest, "bad").with_status(400));
                }
                Ok(ChatResponse { content: prompt.clone(), ..ChatResponse::default() })
            })
        }
        fn stream<'a>(&'a self, _: &'a ChatRequest) -> BoxFuture<'a, Result<ChatStream>> {
            Box::pin(async {
                let first = self.attempt(Kind::Server).map(|()| ChatEvent::Text("a".into()));
                let done = ChatEvent::Done {
                    usage: None,
                    finish_reason: FinishReason::Stop,
                    metadata: Default::default(),
                };
                Ok(stream::iter([first, Ok(done)]).boxed())
            })
        }
    }

    fn client(failures: usize) -> (Arc<Echo>, LlmClient) {
        let model = Arc::new(Echo { failures: failures.into(), ..Echo::default() });
        (model.clone(), LlmClient::new(model, RetryPolicy::default()))
    }

    #[test]
    fn many_keep_their_order_and_run_at_once() {
        let (model, client) = client(0);
        let requests =
            ["40", "1", "bad", "20", "x"].map(ChatRequest::from_prompt).into_iter().collect();
        let outcomes =
            runtime::block_on(async move { Ok(client.complete_many(requests, 3).await) }).unwrap();
        let texts: Vec<_> = outcomes
            .iter()
            .map(|outcome| outcome.as_ref().map_or_else(Error::message, |it| &it.content))
            .collect();
        assert_eq!(texts, ["40", "1", "bad", "20", "x"]);
        assert_eq!(model.most.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_survives_two_failures_and_counts_once() {
        let (model, client) = client(2);
        assert_eq!(client.complete(ChatRequest::from_prompt("hi")).await.unwrap().content, "hi");
        assert_eq!(model.attempts.load(Ordering::SeqCst), 3);
        assert_eq!(client.stats().total_requests, 1);
        client.reset_stats();
        assert_eq!(client.stats().total_requests, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_tried_again_until_its_first_event() {
        let (model, client) = client(2);
        let events: Vec<_> =
            client.stream(ChatRequest::from_prompt("hi")).await.unwrap().collect().await;
        assert_eq!(events.len(), 2);
        assert_eq!(model.attempts.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_temperature_that_json_cannot_say_is_refused() {
        let (model, client) = client(0);
        for temperature in [f64::NAN, f64::INFINITY] {
            let request =
                ChatRequest { temperature: Some(temperature), ..ChatRequest::from_prompt("x") };
            let error = client.complete(request).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Validation);
        }
        assert_eq!(model.attempts.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn warming_up_sends_one_request_and_hides_failure() {
        let (model, client) = client(1);
        client.warm_up().await;
        client.warm_up().await;
        assert_eq!(model.attempts.load(Ordering::SeqCst), 1);
        assert_eq!(client.stats().total_requests, 0);
    }
}
