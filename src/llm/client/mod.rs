//! [`LlmClient`]: the layers around a model, its fallbacks, and many requests at once.

mod stream;

pub use stream::{ANSWERED_BY, MODEL};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tokio::time::Instant;

use super::ChatModel;
use super::cached;
use super::many::{Each, Many, ManyOptions};
use crate::cache::{Cache, Key, Origin, Shelf};
use crate::error::{Error, Result};
use crate::resilience::{
    Answer, BreakerState, CallStats, Order, Protection, RetryPolicy, Route, Routes, StatsSnapshot,
    Tally,
};
use crate::tokens::Encoding;
use crate::types::{ChatRequest, ChatResponse, Pace};

/// What an answer is taken to cost until there were some to learn from.
const USUAL_ANSWER: u64 = 256;
/// The weight of an answer in the average is one to this.
const AVERAGED: u64 = 8;

/// A client for one model and its fallbacks. Cloning shares the models, their layers and the statistics.
#[derive(Clone)]
pub struct LlmClient {
    inner: Arc<Inner>,
}

struct Inner {
    routes: Routes<Model>,
    cache: Option<Shelf>,
    stats: CallStats,
    /// A moving average of the tokens of an answer, in eighths.
    answer_tokens: AtomicU64,
    warm: AtomicBool,
}

/// What [`LlmClient::look_up`] found.
pub enum Lookup {
    /// The answer.
    Kept(Box<ChatResponse>),
    /// That it must be asked for, with [`LlmClient::ask`].
    Missing(Ask),
}

/// A request whose answer is not at hand.
pub struct Ask {
    /// Shared with whoever waits for the same answer; and a request is large to move.
    request: Arc<ChatRequest>,
    /// Where its answer belongs; `None` when it is not to be kept.
    key: Option<Key>,
}

impl Answer for ChatResponse {
    fn tokens(&self) -> Option<u64> {
        Some(self.usage.total_tokens).filter(|tokens| *tokens > 0)
    }

    fn pace(&self) -> Option<&Pace> {
        self.pace.as_deref()
    }
}

type Model = dyn ChatModel;

/// Says whose error it is, and of which call.
fn placed(model: &Model, operation: &'static str, mut error: Error) -> Error {
    if error.provider().is_none() {
        error = error.with_provider(model.provider().to_owned());
    }
    error.with_model(model.model()).with_operation(operation)
}

impl Inner {
    async fn complete<F: Future<Output = ()>>(
        &self,
        request: &ChatRequest,
        announce: impl Fn(u32) -> F,
    ) -> Result<ChatResponse> {
        let attempts = AtomicU32::new(0);
        let (attempts, announce) = (&attempts, &announce);
        let answer = self.routes.ask(|route: Route<Model>| async move {
            let Route { model, stack } = &route;
            let attempt = || {
                let announced =
                    announce(attempts.fetch_add(1, Ordering::Relaxed).saturating_add(1));
                async {
                    announced.await;
                    model.complete(request).await
                }
            };
            match stack.call(|tally| self.estimate(request, tally), attempt).await {
                Ok(mut answer) => {
                    answer.provider = Some(Arc::from(model.provider()));
                    Ok(answer)
                }
                Err(error) => Err(placed(&**model, "complete", error)),
            }
        });
        let answer = answer.await?;
        self.learn(answer.usage.completion_tokens);
        Ok(answer)
    }

    /// Tokens that a request will be charged with: those of its texts, and as many as it allows for the
    /// answer, which is what providers reserve as well; else as many as answers usually have.
    fn estimate(&self, request: &ChatRequest, tally: Tally) -> u64 {
        let count = |text: &str| match tally {
            Tally::Bound => text.len(),
            Tally::Exact => Encoding::O200kBase.tokenizer().count(text),
        };
        let prompt: usize = request.messages.iter().map(|message| count(&message.content)).sum();
        let prompt = u64::try_from(prompt).unwrap_or(u64::MAX);
        let usual = || self.answer_tokens.load(Ordering::Relaxed) / AVERAGED;
        prompt.saturating_add(request.max_tokens.map_or_else(usual, u64::from))
    }

    /// Takes an answer into the average. Two that come at once may forget one of them.
    fn learn(&self, tokens: u64) {
        let before = self.answer_tokens.load(Ordering::Relaxed);
        let after = before.saturating_sub(before / AVERAGED).saturating_add(tokens);
        self.answer_tokens.store(after, Ordering::Relaxed);
    }
}

impl LlmClient {
    /// A client around `model` with the default layers. Nothing is sent.
    #[must_use]
    pub fn new(model: Arc<dyn ChatModel>, policy: RetryPolicy) -> Self {
        Self::single(model, Protection { retry: policy, ..Protection::default() })
    }

    /// A client with the default policy: four attempts, and a deadline that fits the model's limits.
    #[must_use]
    pub fn with_defaults(model: Arc<dyn ChatModel>) -> Self {
        Self::protected(model, Protection::default())
    }

    /// A client with these layers. A policy without a deadline gets the default one.
    #[must_use]
    pub fn protected(model: Arc<dyn ChatModel>, mut protection: Protection) -> Self {
        protection.retry = protection.retry.within(model.attempt_limit());
        Self::single(model, protection)
    }

    /// A client that asks the models of `clients` in `order` until one answers. It shares their layers
    /// with them, and has statistics of its own; a cache of theirs is left aside.
    ///
    /// # Errors
    /// [`Kind::Validation`] for no clients, or weights that do not fit them.
    pub fn any_of(clients: &[Self], order: Order) -> Result<Self> {
        let routes = clients.iter().map(|client| &client.inner.routes);
        Ok(Self::of(Routes::any_of(routes, order)?, None))
    }

    /// The same client with a cache before it. `identity` tells its entries from those of other models:
    /// everything but the request that changes an answer.
    #[must_use]
    pub fn with_cache(&self, cache: Cache, identity: &str) -> Self {
        Self::of(self.inner.routes.clone(), Some(Shelf::new(cache, cached::DOMAIN, identity)))
    }

    fn single(model: Arc<Model>, protection: Protection) -> Self {
        let name = format!("{}/{}", model.provider(), model.model());
        Self::of(Routes::single(model, &name, protection), None)
    }

    fn of(routes: Routes<Model>, cache: Option<Shelf>) -> Self {
        let inner = Inner {
            routes,
            cache,
            stats: CallStats::default(),
            answer_tokens: AtomicU64::new(USUAL_ANSWER.saturating_mul(AVERAGED)),
            warm: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The model behind it, the first one of several.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn ChatModel> {
        &self.inner.routes.first().model
    }

    /// The models behind it with their layers, as they are listed.
    #[must_use]
    pub fn routes(&self) -> &[Route<dyn ChatModel>] {
        self.inner.routes.all()
    }

    /// The cache before it.
    #[must_use]
    pub fn cache(&self) -> Option<&Cache> {
        self.inner.cache.as_ref().map(Shelf::cache)
    }

    /// One answer, tried again where that can help, and from the cache where it is there.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an impossible temperature; [`Kind::CircuitOpen`]; else the last
    /// attempt's error.
    pub async fn complete(&self, request: ChatRequest) -> Result<ChatResponse> {
        match self.look_up(request)? {
            Lookup::Kept(answer) => Ok(*answer),
            Lookup::Missing(ask) => self.ask(ask).await,
        }
    }

    /// The answer to `request`, if it is in memory: without waiting, for callers that would have to leave
    /// their thread to wait. Counts as a call when there is one.
    ///
    /// # Errors
    /// [`Kind::Validation`] as for [`LlmClient::complete`].
    pub fn look_up(&self, request: ChatRequest) -> Result<Lookup> {
        check(&request)?;
        let belongs =
            |shelf: &&Shelf| cached::belongs(shelf.cache().settings().completions, &request);
        let Some(shelf) = self.inner.cache.as_ref().filter(belongs) else {
            return Ok(Lookup::Missing(Ask { request: Arc::new(request), key: None }));
        };
        let started = Instant::now();
        let key = cached::key(shelf, &request)?;
        if let Some(answer) = shelf.cache().peek::<ChatResponse>(&key) {
            self.inner.stats.begin();
            self.inner.stats.end(started.elapsed(), true);
            return Ok(Lookup::Kept(Box::new(cached::told(answer))));
        }
        Ok(Lookup::Missing(Ask { request: Arc::new(request), key: Some(key) }))
    }

    /// The answer that [`LlmClient::look_up`] did not find.
    ///
    /// # Errors
    /// As [`LlmClient::complete`].
    pub async fn ask(&self, ask: Ask) -> Result<ChatResponse> {
        let Ask { request, key } = ask;
        let asked = async {
            let Some((key, shelf)) = key.zip(self.inner.cache.as_ref()) else {
                return self.inner.complete(&request, |_| std::future::ready(())).await;
            };
            let inner = Arc::clone(&self.inner);
            let work =
                move || async move { inner.complete(&request, |_| std::future::ready(())).await };
            // It was looked up in memory a moment ago.
            let (answer, origin) = shelf.cache().bring(key, work).await?;
            let answer = Arc::unwrap_or_clone(answer);
            Ok(if origin == Origin::Fresh { answer } else { cached::told(answer) })
        };
        self.counted(asked).await
    }

    /// Counts a call and its outcome.
    async fn counted<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let (stats, started) = (&self.inner.stats, Instant::now());
        stats.begin();
        let result = work.await;
        stats.end(started.elapsed(), result.is_ok());
        result
    }

    /// As [`LlmClient::complete`], but never from the cache; `announce` is awaited before each attempt
    /// with its number, from 1.
    ///
    /// # Errors
    /// As [`LlmClient::complete`].
    pub async fn complete_observed<F: Future<Output = ()>>(
        &self,
        request: ChatRequest,
        announce: impl Fn(u32) -> F,
    ) -> Result<ChatResponse> {
        check(&request)?;
        self.counted(self.inner.complete(&request, announce)).await
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
        self.each(requests, options, keep).run().await
    }

    /// As [`LlmClient::complete_each`], not begun yet, for callers that may give it up and want what was
    /// finished by then.
    pub fn each<I, T>(
        &self,
        requests: I,
        options: ManyOptions,
        keep: fn(ChatResponse) -> T,
    ) -> Each<T>
    where
        I: ExactSizeIterator<Item = Result<ChatRequest>> + Send + 'static,
        T: Send + 'static,
    {
        Each::new(self.clone(), requests, options, keep)
    }

    /// Opens a connection by one small request, once in the life of the client. Its outcome, good or
    /// bad, is not reported and not counted.
    pub async fn warm_up(&self) {
        if self.inner.warm.swap(true, Ordering::Relaxed) {
            return;
        }
        for Route { model, .. } in self.inner.routes.all() {
            if let Err(error) = model.complete(&ChatRequest::from_prompt("Hello")).await {
                tracing::debug!(provider = model.provider(), %error, "warm-up failed");
            }
        }
    }

    /// The numbers so far.
    #[must_use]
    pub fn stats(&self) -> StatsSnapshot {
        self.inner.stats.snapshot()
    }

    /// Sets the counters to zero; breaker and uptime go on.
    pub fn reset_stats(&self) {
        self.inner.stats.reset();
    }

    /// What the circuit breaker of the first model is doing.
    #[must_use]
    pub fn breaker_state(&self) -> BreakerState {
        self.inner.routes.first().stack.snapshot().breaker
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

    use futures_util::stream::{self, StreamExt};

    use super::super::{BoxFuture, ChatStream};
    use super::*;
    use crate::error::Kind;
    use crate::types::{ChatEvent, FinishReason};

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
    async fn what_answers_usually_cost_is_learned_however_short_they_are() {
        let (_, client) = client(0);
        let request = || ChatRequest::from_prompt("");
        assert_eq!(client.inner.estimate(&request(), Tally::Exact), USUAL_ANSWER);
        for _ in 0..100 {
            client.inner.learn(3);
        }
        assert_eq!(client.inner.estimate(&request(), Tally::Exact), 3);
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
