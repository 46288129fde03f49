//! [`LlmClient`]: the layers around a model, its fallbacks, and many requests at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use super::cached;
use super::many::{Each, Many, ManyOptions};
use super::{ChatModel, ChatStream};
use crate::cache::{Cache, Key, Origin};
use crate::error::{Error, Result};
use crate::resilience::{
    Answer, BreakerState, CallStats, Failover, Lease, Order, Protection, RetryPolicy, Route, Stack,
    StatsSnapshot,
};
use crate::tokens::Encoding;
use crate::types::{ChatEvent, ChatRequest, ChatResponse, Pace};

/// Under these names of its metadata the answer of one of several models says whose it is.
pub const ANSWERED_BY: &str = "provider";
/// See [`ANSWERED_BY`].
pub const MODEL: &str = "model";

/// What an answer is taken to cost until there were some to learn from.
const USUAL_ANSWER: u64 = 256;

/// A client for one model and its fallbacks. Cloning shares the models, their layers and the statistics.
#[derive(Clone)]
pub struct LlmClient {
    inner: Arc<Inner>,
}

struct Inner {
    /// The model of the first of `routes`.
    first: Arc<Model>,
    routes: Vec<Route<Model>>,
    failover: Failover,
    cache: Option<Shelf>,
    stats: CallStats,
    /// A moving average of the tokens of an answer.
    answer_tokens: AtomicU64,
    warm: AtomicBool,
}

/// A cache, and what tells this client's entries from those of others.
#[derive(Clone)]
struct Shelf {
    cache: Cache,
    identity: Arc<str>,
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

fn route(model: Arc<Model>, protection: Protection) -> Route<Model> {
    let name = format!("{}/{}", model.provider(), model.model());
    Route { model, stack: Arc::new(Stack::new(&name, protection)) }
}

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
        let answer = self.failover.ask(&self.routes, |route: Route<Model>| async move {
            let Route { model, stack } = &route;
            let attempt = || {
                let announced =
                    announce(attempts.fetch_add(1, Ordering::Relaxed).saturating_add(1));
                async {
                    announced.await;
                    model.complete(request).await
                }
            };
            match stack.call(|| self.estimate(request), attempt).await {
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
    fn estimate(&self, request: &ChatRequest) -> u64 {
        let tokenizer = Encoding::O200kBase.tokenizer();
        let count = |text: &str| u64::try_from(tokenizer.count(text)).unwrap_or(u64::MAX);
        let prompt: u64 = request.messages.iter().map(|message| count(&message.content)).sum();
        let usual = || self.answer_tokens.load(Ordering::Relaxed);
        prompt.saturating_add(request.max_tokens.map_or_else(usual, u64::from))
    }

    /// An eighth of each answer goes into the average. Two that come at once may forget one of them.
    fn learn(&self, tokens: u64) {
        let before = self.answer_tokens.load(Ordering::Relaxed);
        let after = before.saturating_sub(before / 8).saturating_add(tokens / 8);
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
        let routes: Vec<Route<Model>> =
            clients.iter().flat_map(|client| client.inner.routes.iter().cloned()).collect();
        let Some(first) = routes.first().map(|route| Arc::clone(&route.model)) else {
            return Err(Error::validation("config", None, "config must name at least one model"));
        };
        let failover = Failover::new(routes.len(), order)?;
        Ok(Self::of(first, routes, failover, None))
    }

    /// The same client with a cache before it. `identity` tells its entries from those of other models:
    /// everything but the request that changes an answer.
    #[must_use]
    pub fn with_cache(&self, cache: Cache, identity: &str) -> Self {
        let Inner { first, routes, failover, .. } = &*self.inner;
        let shelf = Shelf { cache, identity: Arc::from(identity) };
        Self::of(Arc::clone(first), routes.clone(), failover.clone(), Some(shelf))
    }

    fn single(model: Arc<Model>, protection: Protection) -> Self {
        let routes = vec![route(Arc::clone(&model), protection)];
        Self::of(model, routes, Failover::single(), None)
    }

    fn of(
        first: Arc<Model>,
        routes: Vec<Route<Model>>,
        failover: Failover,
        cache: Option<Shelf>,
    ) -> Self {
        let inner = Inner {
            first,
            routes,
            failover,
            cache,
            stats: CallStats::default(),
            answer_tokens: AtomicU64::new(USUAL_ANSWER),
            warm: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The model behind it, the first one of several.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn ChatModel> {
        &self.inner.first
    }

    /// The models behind it with their layers, as they are listed.
    #[must_use]
    pub fn routes(&self) -> &[Route<dyn ChatModel>] {
        &self.inner.routes
    }

    /// The cache before it.
    #[must_use]
    pub fn cache(&self) -> Option<&Cache> {
        self.inner.cache.as_ref().map(|shelf| &shelf.cache)
    }

    /// One answer, tried again where that can help, and from the cache where it is there.
    ///
    /// # Errors
    /// [`Kind::Validation`] for an impossible temperature; [`Kind::CircuitOpen`]; else the last
    /// attempt's error.
    pub async fn complete(&self, request: ChatRequest) -> Result<ChatResponse> {
        check(&request)?;
        match &self.inner.cache {
            Some(shelf) if cached::belongs(shelf.cache.settings().completions, &request) => {
                let key = cached::key(&shelf.identity, &request)?;
                self.counted(self.kept_or_asked(&shelf.cache, key, request)).await
            }
            _ => self.counted(self.inner.complete(&request, |_| std::future::ready(()))).await,
        }
    }

    /// The answer to `request`, if it is in memory: without waiting, for callers that would have to leave
    /// their thread to wait. Counts as a call when there is one.
    #[must_use]
    pub fn kept(&self, request: &ChatRequest) -> Option<ChatResponse> {
        let shelf = self.inner.cache.as_ref()?;
        if !cached::belongs(shelf.cache.settings().completions, request) {
            return None;
        }
        let started = Instant::now();
        let key = cached::key(&shelf.identity, request).ok()?;
        let answer = cached::decode(&shelf.cache.peek(&key)?, true)?;
        self.inner.stats.begin();
        self.inner.stats.end(started.elapsed(), true);
        Some(answer)
    }

    async fn kept_or_asked(
        &self,
        cache: &Cache,
        key: Key,
        request: ChatRequest,
    ) -> Result<ChatResponse> {
        let request = Arc::new(request);
        let (inner, asked) = (Arc::clone(&self.inner), Arc::clone(&request));
        let work = move || async move {
            let answer = inner.complete(&asked, |_| std::future::ready(())).await?;
            cached::encode(&answer)
        };
        let (entry, origin) = cache.share(key, work).await?;
        match cached::decode(&entry, origin != Origin::Fresh) {
            Some(answer) => Ok(answer),
            // Written by another version: asked anew, and written in this one's way.
            None => {
                let answer = self.inner.complete(&request, |_| std::future::ready(())).await?;
                cache.put_many(vec![(key, cached::encode(&answer)?)]).await;
                Ok(answer)
            }
        }
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

    /// Opens a streamed answer. Opening is tried again where that can help, up to and including the
    /// first event; what fails later is the stream's to report. A stream counts as one call, successful
    /// once its terminal event has come; one that is dropped before counts as begun only. It is never
    /// from the cache.
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
        let inner = Arc::clone(&self.inner);
        let (started, attempts) = (Instant::now(), AtomicU32::new(0));
        inner.stats.begin();
        let opened = {
            let (inner, request, attempts, announce) = (&inner, &request, &attempts, &announce);
            let open = |route: Route<Model>| async move {
                let model = &route.model;
                let attempt = || {
                    let number = attempts.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                    let announced = announce(number);
                    async {
                        announced.await;
                        let mut events = model.stream(request).await?;
                        let first = events.next().await.transpose()?;
                        Ok(stream::iter(first.map(Ok)).chain(events))
                    }
                };
                let opened = route.stack.open(|| inner.estimate(request), attempt).await;
                let (events, lease) = opened.map_err(|error| placed(&**model, "stream", error))?;
                Ok((events, lease, route))
            };
            inner.failover.ask(&inner.routes, open).await
        };
        let (events, lease, route) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                inner.stats.end(started.elapsed(), false);
                return Err(error);
            }
        };
        let attempts = attempts.into_inner();
        let mut open: Option<Lease> = Some(lease);
        let mut ended = move |error: Option<&Error>, tokens: Option<u64>| {
            if let Some(lease) = open.take() {
                lease.end(error, tokens);
                inner.stats.end(started.elapsed(), error.is_none());
            }
        };
        let several = self.inner.routes.len() > 1;
        let counted = events.map(move |event| match event {
            Ok(ChatEvent::Done { usage, finish_reason, mut metadata }) => {
                ended(None, usage.map(|usage| usage.total_tokens));
                if several {
                    let model = &route.model;
                    metadata.insert(ANSWERED_BY.to_owned(), model.provider().into());
                    metadata.insert(MODEL.to_owned(), model.model().into());
                }
                Ok(ChatEvent::Done { usage, finish_reason, metadata })
            }
            Err(error) => {
                ended(Some(&error), None);
                Err(placed(&*route.model, "stream", error).with_attempts(attempts))
            }
            event => event,
        });
        Ok(Box::pin(counted))
    }

    /// Opens a connection by one small request, once in the life of the client. Its outcome, good or
    /// bad, is not reported and not counted.
    pub async fn warm_up(&self) {
        if self.inner.warm.swap(true, Ordering::Relaxed) {
            return;
        }
        for Route { model, .. } in &self.inner.routes {
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
        let closed = BreakerState::Closed { failures: 0 };
        self.inner.routes.first().map_or(closed, |route| route.stack.snapshot().breaker)
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
