//! `LlmClient`: every verb is one future of the core and two doors.
//!
//! Arguments are checked here, at once and alike in every variant, in the order and with the texts of
//! GraphBit 0.6.8; everything else is the core's. An async verb differs from its twin in the door only.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::bridge;
use super::chat_types::PyLlmResponse;
use super::llm_config::PyLlmConfig;
use super::stream::PyStream;
use crate::error::{Error, Kind, Result};
use crate::llm::LlmClient;
use crate::types::{ChatRequest, Message, Role};

/// Prompts in one batch.
const LARGEST_BATCH: usize = 1000;

/// Which of 0.6.8's two sets of limits a method keeps to.
#[derive(Clone, Copy)]
enum Limits {
    Plain,
    Full,
}

fn check_prompt(prompt: &str) -> Result<()> {
    if prompt.is_empty() {
        return Err(Error::validation("prompt", Some(""), "Prompt cannot be empty"));
    }
    Ok(())
}

fn check_max_tokens(limits: Limits, max_tokens: Option<i64>) -> Result<Option<u32>> {
    let Some(count) = max_tokens else { return Ok(None) };
    let problem = match (limits, count) {
        (Limits::Plain, ..1) => "max_tokens must be greater than 0",
        (Limits::Full, ..1) => "max_tokens must be positive",
        (Limits::Full, 100_001..) => "max_tokens cannot exceed 100,000",
        _ => match u32::try_from(count) {
            Ok(count) => return Ok(Some(count)),
            Err(_) => "max_tokens is too large",
        },
    };
    Err(Error::validation("max_tokens", Some(&count.to_string()), problem))
}

fn check_temperature(temperature: Option<f64>) -> Result<()> {
    match temperature {
        // Not a range of its own for NaN: it is in none.
        Some(value) if !(0.0..=2.0).contains(&value) => {
            let text = "temperature must be between 0.0 and 2.0";
            Err(Error::validation("temperature", Some(&value.to_string()), text))
        }
        _ => Ok(()),
    }
}

fn options(
    limits: Limits,
    max_tokens: Option<i64>,
    temperature: Option<f64>,
    prompt_caching: bool,
) -> Result<ChatRequest> {
    let max_tokens = check_max_tokens(limits, max_tokens)?;
    check_temperature(temperature)?;
    Ok(ChatRequest { max_tokens, temperature, prompt_caching, ..ChatRequest::default() })
}

fn prompt_request(
    limits: Limits,
    prompt: String,
    max_tokens: Option<i64>,
    temperature: Option<f64>,
    prompt_caching: bool,
) -> Result<ChatRequest> {
    check_prompt(&prompt)?;
    let mut request = options(limits, max_tokens, temperature, prompt_caching)?;
    request.messages.push(Message::new(Role::User, prompt));
    Ok(request)
}

/// A failed entry of a batch: `Error: <built-in of GraphBit 0.6.8>: <message>`.
fn failed_entry(error: &Error) -> String {
    let class = match error.kind() {
        Kind::Validation | Kind::Configuration | Kind::Unsupported => "ValueError",
        Kind::Timeout => "TimeoutError",
        // The message of a callback's error begins with what it raised.
        Kind::Callback => return format!("Error: {error}"),
        _ => "RuntimeError",
    };
    format!("Error: {class}: {error}")
}

/// A client for one configuration. Share it freely between threads, event loops and forked children.
#[pyclass(name = "LlmClient", module = "graphbit", frozen)]
pub(super) struct PyLlmClient(pub(super) LlmClient);

impl PyLlmClient {
    fn content(&self, request: ChatRequest) -> impl Future<Output = Result<String>> + use<> {
        let client = self.0.clone();
        async move { Ok(client.complete(request).await?.content) }
    }

    fn response(
        &self,
        request: ChatRequest,
    ) -> impl Future<Output = Result<PyLlmResponse>> + use<> {
        let client = self.0.clone();
        async move { Ok(PyLlmResponse(client.complete(request).await?)) }
    }
}

fn text_into_py(py: Python<'_>, text: String) -> PyResult<Py<PyAny>> {
    Ok(text.into_pyobject(py)?.into_any().unbind())
}

#[pymethods]
impl PyLlmClient {
    #[new]
    #[pyo3(signature = (config, debug=None))]
    fn new(config: &Bound<'_, PyLlmConfig>, debug: Option<bool>) -> Self {
        let config = config.get();
        if debug == Some(true) {
            let (provider, model) = (config.0.provider(), config.0.model_name());
            tracing::debug!(provider, model, "new client");
        }
        Self(LlmClient::with_defaults(config.0.model()))
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
        bridge::block_on(py, self.content(request))
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
        bridge::block_on(py, self.response(request))
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
        bridge::future_into_py(py, self.response(request), |py, response| {
            Ok(response.into_pyobject(py)?.into_any().unbind())
        })
    }

    /// One entry for each prompt, in the order of the prompts; a failed one reads
    /// `Error: <Type>: <message>`. At most `max_concurrency` run at once, by default twice the number
    /// of processors, but 5 to 20.
    #[pyo3(signature = (prompts, max_tokens=None, temperature=None, max_concurrency=None))]
    fn complete_batch<'py>(
        &self,
        py: Python<'py>,
        prompts: Vec<String>,
        max_tokens: Option<i64>,
        temperature: Option<f64>,
        max_concurrency: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if prompts.is_empty() {
            return Err(Error::validation("prompts", None, "Prompts list cannot be empty").into());
        }
        if prompts.len() > LARGEST_BATCH {
            let count = prompts.len().to_string();
            let text = "Batch size cannot exceed 1000";
            return Err(Error::validation("prompts", Some(&count), text).into());
        }
        let options = options(Limits::Plain, max_tokens, temperature, false)?;
        let concurrency = match max_concurrency {
            Some(0) => {
                let text = "max_concurrency must be greater than 0";
                return Err(Error::validation("max_concurrency", Some("0"), text).into());
            }
            Some(limit) => limit,
            None => std::thread::available_parallelism()
                .map_or(1, usize::from)
                .saturating_mul(2)
                .clamp(5, 20),
        };
        // Empty prompts are answered in place, without traffic.
        let checked: Vec<Result<()>> = prompts.iter().map(|prompt| check_prompt(prompt)).collect();
        let requests = prompts
            .into_iter()
            .filter(|prompt| !prompt.is_empty())
            .map(|prompt| {
                let messages = vec![Message::new(Role::User, prompt)];
                ChatRequest { messages, ..options.clone() }
            })
            .collect();
        let client = self.0.clone();
        let work = async move {
            let mut answers = client.complete_many(requests, concurrency).await.into_iter();
            let entry = |checked: Result<()>| {
                let outcome = checked.and_then(|()| answers.next().transpose());
                match outcome {
                    Ok(response) => response.unwrap_or_default().content,
                    Err(error) => failed_entry(&error),
                }
            };
            Ok(checked.into_iter().map(entry).collect::<Vec<_>>())
        };
        bridge::future_into_py(py, work, |py, entries| {
            Ok(PyList::new(py, entries)?.into_any().unbind())
        })
    }

    /// Answers a conversation of `(role, content)` tuples. Entries without content are skipped; a
    /// role that is not system, assistant or user counts as user.
    #[pyo3(signature = (messages, max_tokens=None, temperature=None, enable_prompt_caching=false))]
    fn chat_optimized<'py>(
        &self,
        py: Python<'py>,
        messages: Vec<(String, String)>,
        max_tokens: Option<i64>,
        temperature: Option<f64>,
        enable_prompt_caching: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
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
        Ok(PyStream::new(self.0.clone(), request))
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
        let client = self.0.clone();
        let work = async move {
            client.warm_up().await;
            Ok("Client warmed up successfully".to_owned())
        };
        bridge::future_into_py(py, work, text_into_py)
    }

    /// Numbers of this client's calls, and its circuit breaker's state.
    fn get_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.0.stats();
        let dict = PyDict::new(py);
        dict.set_item("total_requests", stats.total_requests)?;
        dict.set_item("successful_requests", stats.successful_requests)?;
        dict.set_item("failed_requests", stats.failed_requests)?;
        dict.set_item("success_rate", stats.success_rate)?;
        dict.set_item("average_response_time_ms", stats.average_response_time_ms)?;
        dict.set_item("circuit_breaker_state", self.0.breaker_state().to_string())?;
        dict.set_item("uptime_seconds", stats.uptime.as_secs())?;
        Ok(dict)
    }

    /// Sets the counters to zero; circuit breaker and uptime go on.
    fn reset_stats(&self) {
        self.0.reset_stats();
    }

    fn __repr__(&self) -> String {
        let model = self.0.model();
        format!("LlmClient(provider='{}', model='{}')", model.provider(), model.model())
    }
}
