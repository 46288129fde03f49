//! `LlmClient`: every verb is one future of the core and two doors.
//!
//! Arguments are checked by `llm_request` and `llm_many`, at once and alike in every variant; everything
//! else is the core's. An async verb differs from its twin in the door only.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::bridge;
use super::chat_response::PyLlmResponse;
use super::given::Listed;
use super::llm_config::PyLlmConfig;
use super::llm_many::{Batch, ManyArguments, response_into_py, text_into_py};
use super::llm_request::{ChatArguments, Limits, options, prompt_request};
use super::resilience::{self, Asked, Entry, Keywords, Layered, NewArguments, Recipe};
use super::stream::PyStream;
use super::stream_events::PyEvents;
use super::structured::{self, Reader};
use crate::cache::Cache;
use crate::cost;
use crate::error::{Error, Result};
use crate::llm::{ChatModel, LlmClient, Lookup};
use crate::providers::ProviderSettings;
use crate::resilience::{BreakerPolicy, Order, Protection};
use crate::types::{ChatRequest, Message, Role};

/// A client for one configuration. Share it freely between threads, event loops and forked children.
#[pyclass(name = "LlmClient", module = "graphbit", frozen)]
pub(super) struct PyLlmClient {
    pub(super) client: LlmClient,
    recipe: Recipe,
}

impl Layered for LlmClient {
    type Model = dyn ChatModel;
    const ENTRIES: &'static str = "LlmConfig or LlmClient";

    fn usual_breaker() -> Option<BreakerPolicy> {
        Some(BreakerPolicy::default())
    }

    fn entry(given: &Bound<'_, PyAny>) -> Option<Entry<Self>> {
        if let Ok(client) = given.cast::<PyLlmClient>() {
            let PyLlmClient { client, recipe } = client.get();
            return Some(Entry::Client((client.clone(), recipe.identity())));
        }
        let config = &given.cast::<PyLlmConfig>().ok()?.get().config;
        let identity = config.settings().map(ProviderSettings::identity);
        Some(Entry::Model(config.model(), identity))
    }

    fn protected(model: Arc<dyn ChatModel>, protection: Protection) -> Self {
        Self::protected(model, protection)
    }

    fn any_of(clients: &[Self], order: Order) -> Result<Self> {
        Self::any_of(clients, order)
    }

    fn with_cache(&self, cache: Cache, identity: &str) -> Self {
        self.with_cache(cache, identity)
    }

    fn provider(&self) -> &str {
        self.model().provider()
    }

    fn cheapest_first(asked: &mut [Asked<Self>]) -> Result<()> {
        asked.sort_by(|(one, _), (other, _)| price(one).total_cmp(&price(other)));
        Ok(())
    }
}

impl PyLlmClient {
    fn content(&self, request: ChatRequest) -> impl Future<Output = Result<String>> + use<> {
        let client = self.client.clone();
        async move { Ok(client.complete(request).await?.content) }
    }

    fn response(
        &self,
        request: ChatRequest,
        reader: Reader,
    ) -> impl Future<Output = Result<PyLlmResponse>> + use<> {
        let client = self.client.clone();
        async move {
            let answer = client.complete(request).await?;
            structured::read(PyLlmResponse::answered(answer), reader).await
        }
    }
}

/// Dearer than everything, where there is no price.
fn price(client: &LlmClient) -> f64 {
    let model = client.model();
    cost::of_a_million(model.provider(), model.model()).unwrap_or(f64::INFINITY)
}

#[pymethods]
impl PyLlmClient {
    #[new]
    #[pyo3(signature = (config, debug=None, *, retry=None, circuit_breaker=None, rate_limit=None, concurrency=None, hedging=None, cache=None, fallbacks=None, order="ordered", weights=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn new(
        config: &Bound<'_, PyAny>,
        debug: Option<bool>,
        retry: Option<&Bound<'_, PyAny>>,
        circuit_breaker: Option<&Bound<'_, PyAny>>,
        rate_limit: Option<&Bound<'_, PyAny>>,
        concurrency: Option<&Bound<'_, PyAny>>,
        hedging: Option<&Bound<'_, PyAny>>,
        cache: Option<&Bound<'_, PyAny>>,
        fallbacks: Option<&Bound<'_, PyAny>>,
        order: &str,
        weights: Option<Listed<f64>>,
    ) -> PyResult<Self> {
        super::logging::doubt();
        let given = Keywords {
            retry,
            circuit_breaker,
            rate_limit,
            concurrency,
            hedging,
            cache,
            fallbacks,
            order,
            weights: weights.map(|list| list.0),
        };
        let (client, recipe) = given.client::<LlmClient>(config)?;
        if debug == Some(true) {
            let model = client.model();
            tracing::debug!(provider = model.provider(), model = model.model(), "new client");
        }
        Ok(Self { client, recipe })
    }

    /// One answer's text.
    #[pyo3(signature = (prompt, max_tokens=None, temperature=None, enable_prompt_caching=false))]
    fn complete(
        &self,
        py: Python<'_>,
        prompt: String,
        max_tokens: Option<i64>,
        temperature: Option<f64>,
        enable_prompt_caching: bool,
    ) -> PyResult<String> {
        let caching = enable_prompt_caching;
        let request = prompt_request(Limits::Plain, prompt, max_tokens, temperature, caching)?;
        match self.client.look_up(request)? {
            Lookup::Kept(answer) => Ok(answer.content),
            Lookup::Missing(ask) => {
                let client = self.client.clone();
                bridge::block_on(py, async move { Ok(client.ask(ask).await?.content) })
            }
        }
    }

    /// One answer with usage, finish reason and the rest.
    #[pyo3(signature = (prompt, max_tokens=None, temperature=None, enable_prompt_caching=false))]
    fn complete_full(
        &self,
        py: Python<'_>,
        prompt: String,
        max_tokens: Option<i64>,
        temperature: Option<f64>,
        enable_prompt_caching: bool,
    ) -> PyResult<PyLlmResponse> {
        let caching = enable_prompt_caching;
        let request = prompt_request(Limits::Full, prompt, max_tokens, temperature, caching)?;
        bridge::block_on(py, self.response(request, Reader::Text))
    }

    /// `complete` as an `asyncio.Future`; cancelling it cancels the request.
    #[pyo3(signature = (prompt, max_tokens=None, temperature=None, enable_prompt_caching=false))]
    fn complete_async<'py>(
        &self,
        py: Python<'py>,
        prompt: String,
        max_tokens: Option<i64>,
        temperature: Option<f64>,
        enable_prompt_caching: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let caching = enable_prompt_caching;
        let request = prompt_request(Limits::Plain, prompt, max_tokens, temperature, caching)?;
        bridge::future_into_py(py, self.content(request), text_into_py)
    }

    /// `complete_full` as an `asyncio.Future`.
    #[pyo3(signature = (prompt, max_tokens=None, temperature=None, enable_prompt_caching=false))]
    fn complete_full_async<'py>(
        &self,
        py: Python<'py>,
        prompt: String,
        max_tokens: Option<i64>,
        temperature: Option<f64>,
        enable_prompt_caching: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let caching = enable_prompt_caching;
        let request = prompt_request(Limits::Full, prompt, max_tokens, temperature, caching)?;
        bridge::future_into_py(py, self.response(request, Reader::Text), response_into_py)
    }

    /// One entry for each prompt, in the order of the prompts; a failed one reads
    /// `Error: <Type>: <message>`. At most `max_concurrency` run at once, by default twice the number
    /// of processors, but 5 to 20.
    #[pyo3(signature = (prompts, max_tokens=None, temperature=None, max_concurrency=None))]
    fn complete_batch<'py>(
        &self,
        py: Python<'py>,
        prompts: Listed<String>,
        max_tokens: Option<i64>,
        temperature: Option<f64>,
        max_concurrency: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let batch = Batch::limited(prompts.0, max_tokens, temperature, max_concurrency)?;
        batch.entries(&self.client).start(py)
    }

    /// One answer for each prompt, in the order of the prompts, however many they are.
    #[pyo3(signature = (prompts, max_tokens=None, temperature=None, *, max_concurrency=None, on_error="raise", on_progress=None, enable_prompt_caching=false, full=false))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn complete_many(
        &self,
        prompts: &Bound<'_, PyAny>,
        max_tokens: Option<i64>,
        temperature: Option<f64>,
        max_concurrency: Option<usize>,
        on_error: &str,
        on_progress: Option<&Bound<'_, PyAny>>,
        enable_prompt_caching: bool,
        full: bool,
    ) -> PyResult<Py<PyAny>> {
        let py = prompts.py();
        let prompt_caching = enable_prompt_caching;
        let given = ManyArguments {
            max_tokens,
            temperature,
            max_concurrency,
            on_error,
            on_progress,
            prompt_caching,
        };
        let batch = Batch::many(prompts, &given)?;
        if full {
            batch.responses(&self.client).block(py)
        } else {
            batch.texts(&self.client).block(py)
        }
    }

    /// `complete_many` as an `asyncio.Future`.
    #[pyo3(signature = (prompts, max_tokens=None, temperature=None, *, max_concurrency=None, on_error="raise", on_progress=None, enable_prompt_caching=false, full=false))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn complete_many_async<'py>(
        &self,
        prompts: &Bound<'py, PyAny>,
        max_tokens: Option<i64>,
        temperature: Option<f64>,
        max_concurrency: Option<usize>,
        on_error: &str,
        on_progress: Option<&Bound<'py, PyAny>>,
        enable_prompt_caching: bool,
        full: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = prompts.py();
        let prompt_caching = enable_prompt_caching;
        let given = ManyArguments {
            max_tokens,
            temperature,
            max_concurrency,
            on_error,
            on_progress,
            prompt_caching,
        };
        let batch = Batch::many(prompts, &given)?;
        if full {
            batch.responses(&self.client).start(py)
        } else {
            batch.texts(&self.client).start(py)
        }
    }

    /// Answers a conversation, with tools, formats and the other options of chat models.
    #[pyo3(signature = (messages, tools=None, tool_choice=None, response_format=None, stop=None, seed=None, top_p=None, extra_body=None, *, max_tokens=None, temperature=None, enable_prompt_caching=false, include_raw=false))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn chat(
        &self,
        messages: &Bound<'_, PyAny>,
        tools: Option<&Bound<'_, PyAny>>,
        tool_choice: Option<&Bound<'_, PyAny>>,
        response_format: Option<&Bound<'_, PyAny>>,
        stop: Option<&Bound<'_, PyAny>>,
        seed: Option<i64>,
        top_p: Option<f64>,
        extra_body: Option<&Bound<'_, PyAny>>,
        max_tokens: Option<i64>,
        temperature: Option<f64>,
        enable_prompt_caching: bool,
        include_raw: bool,
    ) -> PyResult<PyLlmResponse> {
        let given = ChatArguments {
            tools,
            tool_choice,
            response_format,
            stop,
            seed,
            top_p,
            extra_body,
            max_tokens,
            temperature,
            prompt_caching: enable_prompt_caching,
            keep_raw: include_raw,
        };
        let (request, reader) = given.request(messages)?;
        bridge::block_on(messages.py(), self.response(request, reader))
    }

    /// `chat` as an `asyncio.Future`.
    #[pyo3(signature = (messages, tools=None, tool_choice=None, response_format=None, stop=None, seed=None, top_p=None, extra_body=None, *, max_tokens=None, temperature=None, enable_prompt_caching=false, include_raw=false))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn chat_async<'py>(
        &self,
        messages: &Bound<'py, PyAny>,
        tools: Option<&Bound<'py, PyAny>>,
        tool_choice: Option<&Bound<'py, PyAny>>,
        response_format: Option<&Bound<'py, PyAny>>,
        stop: Option<&Bound<'py, PyAny>>,
        seed: Option<i64>,
        top_p: Option<f64>,
        extra_body: Option<&Bound<'py, PyAny>>,
        max_tokens: Option<i64>,
        temperature: Option<f64>,
        enable_prompt_caching: bool,
        include_raw: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let given = ChatArguments {
            tools,
            tool_choice,
            response_format,
            stop,
            seed,
            top_p,
            extra_body,
            max_tokens,
            temperature,
            prompt_caching: enable_prompt_caching,
            keep_raw: include_raw,
        };
        let (request, reader) = given.request(messages)?;
        bridge::future_into_py(messages.py(), self.response(request, reader), response_into_py)
    }

    /// `chat` as typed events while they arrive. Sent on first use.
    #[pyo3(signature = (messages, tools=None, tool_choice=None, response_format=None, stop=None, seed=None, top_p=None, extra_body=None, *, max_tokens=None, temperature=None, enable_prompt_caching=false))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn stream_events(
        &self,
        messages: &Bound<'_, PyAny>,
        tools: Option<&Bound<'_, PyAny>>,
        tool_choice: Option<&Bound<'_, PyAny>>,
        response_format: Option<&Bound<'_, PyAny>>,
        stop: Option<&Bound<'_, PyAny>>,
        seed: Option<i64>,
        top_p: Option<f64>,
        extra_body: Option<&Bound<'_, PyAny>>,
        max_tokens: Option<i64>,
        temperature: Option<f64>,
        enable_prompt_caching: bool,
    ) -> PyResult<PyEvents> {
        let given = ChatArguments {
            tools,
            tool_choice,
            response_format,
            stop,
            seed,
            top_p,
            extra_body,
            max_tokens,
            temperature,
            prompt_caching: enable_prompt_caching,
            keep_raw: false,
        };
        let (request, reader) = given.request(messages)?;
        Ok(PyEvents::new(self.client.clone(), request, reader))
    }

    /// Answers a conversation of `(role, content)` tuples. Entries without content are skipped; a
    /// role that is not system, assistant or user counts as user.
    #[pyo3(signature = (messages, max_tokens=None, temperature=None, enable_prompt_caching=false))]
    fn chat_optimized<'py>(
        &self,
        py: Python<'py>,
        messages: Listed<(String, String)>,
        max_tokens: Option<i64>,
        temperature: Option<f64>,
        enable_prompt_caching: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let messages = messages.0;
        if messages.is_empty() {
            return Err(Error::validation("messages", None, "Messages list cannot be empty").into());
        }
        let mut request = options(Limits::Plain, max_tokens, temperature, enable_prompt_caching)?;
        for (role, content) in messages.into_iter().filter(|(_, content)| !content.is_empty()) {
            let role = match role.as_str() {
                "system" => Role::System,
                "assistant" => Role::Assistant,
                _ => Role::User,
            };
            request.messages.push(Message::new(role, content));
        }
        let empty = request.messages.is_empty();
        let answer = self.content(request);
        let work = async move {
            // Found out when awaited, as ever.
            if empty {
                return Err(Error::validation("messages", None, "No valid messages found"));
            }
            answer.await
        };
        bridge::future_into_py(py, work, text_into_py)
    }

    /// The answer's text as it arrives, for `for` and `async for`. Sent on first use.
    #[pyo3(signature = (prompt, max_tokens=None, temperature=None))]
    fn stream(
        &self,
        prompt: String,
        max_tokens: Option<i64>,
        temperature: Option<f64>,
    ) -> PyResult<PyStream> {
        let request = prompt_request(Limits::Plain, prompt, max_tokens, temperature, false)?;
        Ok(PyStream::new(self.client.clone(), request))
    }

    /// The same as `stream`.
    #[pyo3(signature = (prompt, max_tokens=None, temperature=None))]
    fn complete_stream(
        &self,
        prompt: String,
        max_tokens: Option<i64>,
        temperature: Option<f64>,
    ) -> PyResult<PyStream> {
        self.stream(prompt, max_tokens, temperature)
    }

    /// Sends one small request, once, so that the first real one finds a connection.
    fn warmup<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        let work = async move {
            client.warm_up().await;
            Ok("Client warmed up successfully".to_owned())
        };
        bridge::future_into_py(py, work, text_into_py)
    }

    /// Numbers of this client's calls, and its circuit breaker's state.
    fn get_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let breaker = Some(self.client.breaker_state());
        resilience::statistics(py, &self.client.stats(), breaker)
    }

    /// What the layers before each model were doing, and the cache.
    fn get_resilience<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let routes = self.client.routes().iter();
        let routes = routes.map(|it| (it.model.provider(), it.model.model(), &*it.stack));
        resilience::describe(py, routes, self.client.cache())
    }

    /// Sets the counters to zero; circuit breaker and uptime go on.
    fn reset_stats(&self) {
        self.client.reset_stats();
    }

    /// A client pickles as its configuration and settings; the copy has a breaker and statistics of its
    /// own.
    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> NewArguments<'py> {
        self.recipe.arguments(py)
    }

    fn __repr__(&self) -> String {
        let model = self.client.model();
        format!("LlmClient(provider='{}', model='{}')", model.provider(), model.model())
    }
}
