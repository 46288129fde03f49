//! [`LlmClient`]: the resilience around a model, and many requests at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use super::many::{self, Many, ManyOptions};
use super::{ChatModel, ChatStream};
use crate::error::{Error, Result};
use crate::resilience::{BreakerState, RetryPolicy, Stack, StatsSnapshot};
use crate::types::{ChatEvent, ChatRequest, ChatResponse};

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

impl Inner {
    /// Says whose error it is, and of which call.
    fn placed(&self, operation: &'static str, mut error: Error) -> Error {
        if error.provider().is_none() {
            error = error.with_provider(self.model.provider().to_owned());
        }
        error.with_model(self.model.model()).with_operation(operation)
    }
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
        let answer = inner.stack.call(|| inner.model.complete(&request)).await;
        answer.map_err(|error| inner.placed("complete", error))
    }

    /// As [`LlmClient::complete`]; `announce` is awaited before each attempt with its number, from 1.
    ///
    /// # Errors
    /// As [`LlmClient::complete`].
    pub async fn complete_observed<F: Future<Output = ()>>(
        &self,
        request: ChatRequest,
        announce: impl Fn(u32) -> F,
    ) -> Result<ChatResponse> {
        check(&request)?;
        let (inner, request) = (&self.inner, &request);
        let mut attempts = 0_u32;
        let answer = inner.stack.call(|| {
            attempts = attempts.saturating_add(1);
            let announced = announce(attempts);
            async {
                announced.await;
                inner.model.complete(request).await
            }
        });
        answer.await.map_err(|error| inner.placed("complete", error))
    }

    /// One outcome for each request, in the order of the requests; see [`ManyOptions`]. What `keep` makes
    /// of an answer is held until the end, the rest of it is not. Requests are made one by one as their
    /// turns come; one that is an error is never sent. Dropping the future cancels all of them.
    pub async fn complete_each<I, T>(
        &self,
        requests: I,
        options: ManyOptions,
        keep: fn(ChatResponse) -> T,
    ) -> Many<T>
    where
        I: ExactSizeIterator<Item = Result<ChatRequest>> + Send + 'static,
        T: Send + 'static,
    {
        many::complete_each(self, requests, options, keep).await
    }

    /// Opens a streamed answer. Opening is tried again where that can help, up to and including the
    /// first event; what fails later is the stream's to report. A stream counts as one call, successful
    /// once its terminal event has come; one that is dropped before counts as begun only.
    ///
    /// # Errors
    /// As [`LlmClient::complete`]; [`Kind::Configuration`] when the model cannot stream.
    pub async fn stream(&self, request: ChatRequest) -> Result<ChatStream> {
        self.stream_observed(request, |_| std::future::ready(())).await
    }

    /// As [`LlmClient::stream`]; `announce` is awaited before each attempt with its number, from 1.
    ///
    /// # Errors
    /// As [`LlmClient::stream`].
    pub async fn stream_observed<F: Future<Output = ()>>(
        &self,
        request: ChatRequest,
        announce: impl Fn(u32) -> F,
    ) -> Result<ChatStream> {
        check(&request)?;
        let (started, request) = (Instant::now(), &request);
        let inner = Arc::clone(&self.inner);
        let mut attempts = 0_u32;
        let opened = inner.stack.open(|| {
            attempts = attempts.saturating_add(1);
            let announced = announce(attempts);
            async {
                announced.await;
                let mut events = inner.model.stream(request).await?;
                let first = events.next().await.transpose()?;
                Ok(stream::iter(first.map(Ok)).chain(events))
            }
        });
        let events = opened.await.map_err(|error| self.inner.placed("stream", error))?;
        let mut settled = false;
        let counted = events.map(move |event| {
            let success = match &event {
                Ok(ChatEvent::Done { .. }) => true,
                Err(_) => false,
                Ok(_) => return event,
            };
            if !std::mem::replace(&mut settled, true) {
                inner.stack.settle(started.elapsed(), success);
            }
            event.map_err(|error| inner.placed("stream", error).with_attempts(attempts))
        });
        Ok(Box::pin(counted))
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
    use crate::error::Kind;
    use crate::types::FinishReason;

    /// Answers with the prompt; fails the first `failures` attempts.
    #[derive(Default)]
    struct Echo {
        failures: AtomicUsize,
        attempts: AtomicUsize,
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
                Ok(ChatResponse { content: prompt.clone(), ..ChatResponse::default() })
            })
        }
        fn stream<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatStream>> {
            Box::pin(async {
                let first = self.attempt(Kind::Server).map(|()| ChatEvent::Text("a".into()));
                let done = ChatEvent::Done {
                    usage: None,
                    finish_reason: FinishReason::Stop,
                    metadata: Default::default(),
                };
                let last = match request.messages[0].content.as_str() {
                    "break" => Err(Error::new(Kind::Stream, "it broke")),
                    _ => Ok(done),
                };
                let rest = stream::once(async {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    last
                });
                Ok(stream::iter([first]).chain(rest).boxed())
            })
        }
    }

    fn client(failures: usize) -> (Arc<Echo>, LlmClient) {
        let model = Arc::new(Echo { failures: failures.into(), ..Echo::default() });
        (model.clone(), LlmClient::new(model, RetryPolicy::default()))
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

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_counted_when_it_ends() {
        let (_, client) = client(0);
        let counts = || {
            let stats = client.stats();
            (stats.total_requests, stats.successful_requests, stats.failed_requests)
        };
        let mut events = client.stream(ChatRequest::from_prompt("hi")).await.unwrap();
        assert_eq!(counts(), (1, 0, 0));
        while events.next().await.is_some() {}
        assert_eq!(counts(), (1, 1, 0));
        assert!(client.stats().average_response_time_ms >= 1000.0, "to its end");
        let _: Vec<_> =
            client.stream(ChatRequest::from_prompt("break")).await.unwrap().collect().await;
        assert_eq!(counts(), (2, 1, 1));
        drop(client.stream(ChatRequest::from_prompt("hi")).await.unwrap());
        assert_eq!(counts(), (3, 1, 1));
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
