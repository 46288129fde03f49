//! `LlmConfig`: one constructor a provider, and a function of the user's own as a model.
//!
//! A constructor only gathers its arguments; what they must look like is the core's to say.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMapping};

use super::chat_response::read_answer;
use super::connection::connection;
use super::{bridge, bridged};
use crate::dialect::openai_chat::{self, Wire};
use crate::error::Result;
use crate::llm::{BoxFuture, ChatModel};
use crate::local::Extractive;
use crate::providers::{Connection, LlmConfig, LlmSettings};
use crate::secret::ApiKey;
use crate::types::{ChatRequest, ChatResponse};

/// Which model answers. Made by its static methods only.
#[pyclass(name = "LlmConfig", module = "graphbit", frozen, eq)]
#[derive(Clone, PartialEq)]
pub(super) struct PyLlmConfig(pub(super) LlmConfig);

impl PyLlmConfig {
    /// For other parts of the binding that make models of their own.
    pub(super) fn from_model(model: Arc<dyn ChatModel>) -> Self {
        Self(LlmConfig::from_model(model))
    }

    fn make<const N: usize>(
        provider: &'static str,
        api_key: Option<String>,
        model: Option<String>,
        connection: Connection,
        options: [(&str, Option<String>); N],
    ) -> PyResult<Self> {
        let key = api_key.map(ApiKey::new);
        let mut settings = LlmSettings::new(provider).with_connection(connection);
        settings = LlmSettings { key, model, ..settings };
        for (name, value) in options {
            settings = settings.with_option(name, value);
        }
        Ok(Self(LlmConfig::new(settings)?))
    }
}

#[pymethods]
impl PyLlmConfig {
    /// OpenAI. `api` is "chat" or "responses". `timeout` is in seconds, or a `timedelta`, and limits one
    /// attempt.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, api="chat", base_url=None, timeout=None, headers=None, http_proxy=None))]
    fn openai(
        api_key: String,
        model: Option<String>,
        api: &str,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        // Left out when it says what is so anyway: equal configurations have equal settings.
        let api = Some(api).filter(|api| *api != "chat").map(str::to_owned);
        Self::make("openai", Some(api_key), model, connection, [("api", api)])
    }

    /// Anthropic.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, base_url=None, timeout=None, headers=None, http_proxy=None))]
    fn anthropic(
        api_key: String,
        model: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        Self::make("anthropic", Some(api_key), model, connection, [])
    }

    /// DeepSeek.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, base_url=None, timeout=None, headers=None, http_proxy=None))]
    fn deepseek(
        api_key: String,
        model: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        Self::make("deepseek", Some(api_key), model, connection, [])
    }

    /// Perplexity.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, base_url=None, timeout=None, headers=None, http_proxy=None))]
    fn perplexity(
        api_key: String,
        model: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        Self::make("perplexity", Some(api_key), model, connection, [])
    }

    /// OpenRouter.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, base_url=None, timeout=None, headers=None, http_proxy=None))]
    fn openrouter(
        api_key: String,
        model: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        Self::make("openrouter", Some(api_key), model, connection, [])
    }

    /// Fireworks.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, base_url=None, timeout=None, headers=None, http_proxy=None))]
    fn fireworks(
        api_key: String,
        model: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        Self::make("fireworks", Some(api_key), model, connection, [])
    }

    /// Together.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, base_url=None, timeout=None, headers=None, http_proxy=None))]
    fn togetherai(
        api_key: String,
        model: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        Self::make("togetherai", Some(api_key), model, connection, [])
    }

    /// xAI.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, base_url=None, timeout=None, headers=None, http_proxy=None))]
    fn xai(
        api_key: String,
        model: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        Self::make("xai", Some(api_key), model, connection, [])
    }

    /// Mistral.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, base_url=None, timeout=None, headers=None, http_proxy=None))]
    fn mistralai(
        api_key: String,
        model: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        Self::make("mistralai", Some(api_key), model, connection, [])
    }

    /// Gemini.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, base_url=None, timeout=None, headers=None, http_proxy=None))]
    fn gemini(
        api_key: String,
        model: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        Self::make("gemini", Some(api_key), model, connection, [])
    }

    /// ByteDance's ModelArk; the region is part of `base_url`.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, base_url=None, *, timeout=None, headers=None, http_proxy=None))]
    fn bytedance(
        api_key: String,
        model: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        Self::make("bytedance", Some(api_key), model, connection, [])
    }

    /// OpenRouter, told which site calls it.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, site_url=None, site_name=None, *, base_url=None, timeout=None, headers=None, http_proxy=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn openrouter_with_site(
        api_key: String,
        model: Option<String>,
        site_url: Option<String>,
        site_name: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        let options = [("site_url", site_url), ("site_name", site_name)];
        Self::make("openrouter", Some(api_key), model, connection, options)
    }

    /// AI21; `organization` travels in its header.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, organization=None, *, base_url=None, timeout=None, headers=None, http_proxy=None))]
    fn ai21(
        api_key: String,
        model: Option<String>,
        organization: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        let options = [("organization", organization)];
        Self::make("ai21", Some(api_key), model, connection, options)
    }

    /// Replicate; `version` runs that version instead of the model's latest.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, version=None, *, base_url=None, timeout=None, headers=None, http_proxy=None))]
    fn replicate(
        api_key: String,
        model: Option<String>,
        version: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        Self::make("replicate", Some(api_key), model, connection, [("version", version)])
    }

    /// An Azure OpenAI deployment at `endpoint`. `api` is "auto" (guessed from the deployment's name),
    /// "chat" or "responses"; `base_url` replaces `endpoint`.
    #[staticmethod]
    #[pyo3(signature = (api_key, deployment_name, endpoint, api_version=None, *, api="auto", base_url=None, timeout=None, headers=None, http_proxy=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn azurellm(
        api_key: String,
        deployment_name: String,
        endpoint: String,
        api_version: Option<String>,
        api: &str,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let base_url = Some(base_url.unwrap_or(endpoint));
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        let options = [("api_version", api_version), ("api", Some(api.to_owned()))];
        Self::make("azurellm", Some(api_key), Some(deployment_name), connection, options)
    }

    /// Ollama, at `base_url`, else at `OLLAMA_HOST`, else on this machine.
    #[staticmethod]
    #[pyo3(signature = (model=None, *, base_url=None, timeout=None, headers=None, http_proxy=None))]
    fn ollama(
        model: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        Self::make("ollama", None, model, connection, [])
    }

    /// Hugging Face's inference providers, through `huggingface_hub` and the class
    /// `graphbit.providers.huggingface.llm.HuggingfaceLLM`.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, base_url=None, timeout=None, headers=None))]
    fn huggingface(
        py: Python<'_>,
        api_key: String,
        model: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, None)?;
        let backend = &bridged::HUGGINGFACE;
        Ok(Self::from_model(bridged::chat(py, backend, Some(api_key), model, &connection)?))
    }

    /// Whatever `litellm` speaks to, through the class `graphbit.providers.litellm.llm.LiteLLMLLM`.
    #[staticmethod]
    #[pyo3(signature = (api_key=None, model=None, *, base_url=None, timeout=None, headers=None))]
    fn litellm(
        py: Python<'_>,
        api_key: Option<String>,
        model: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, None)?;
        Ok(Self::from_model(bridged::chat(py, &bridged::LITELLM, api_key, model, &connection)?))
    }

    /// Any server that speaks OpenAI's chat completions below `base_url`.
    #[staticmethod]
    #[pyo3(signature = (base_url, model, api_key=None, *, timeout=None, headers=None, http_proxy=None))]
    fn openai_compatible(
        base_url: String,
        model: String,
        api_key: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(Some(base_url), timeout, headers, http_proxy)?;
        Self::make("openai_compatible", api_key, Some(model), connection, [])
    }

    /// No language model: answers by quoting the most relevant sentences of the prompt, or of the passages
    /// of `ParallelRAG`, and says so. Needs no key and no network.
    #[staticmethod]
    fn extractive() -> Self {
        Self::from_model(Arc::new(Extractive))
    }

    /// A function of yours: `function(messages, **options)` gets OpenAI-shaped message dicts and the
    /// options that were set, and returns a str, a mapping or an `LlmResponse`. It may be a coroutine
    /// function, may block, and may call clients; it never runs on a worker of the runtime.
    #[staticmethod]
    #[pyo3(signature = (function, *, model="callable"))]
    fn from_callable(function: Bound<'_, PyAny>, model: &str) -> PyResult<Self> {
        if !function.is_callable() {
            let class = function.get_type().name()?;
            let text = format!("argument 'function': '{class}' object is not callable");
            return Err(pyo3::exceptions::PyTypeError::new_err(text));
        }
        let function = Arc::new(function.unbind());
        Ok(Self::from_model(Arc::new(CallableModel { function, model: model.to_owned() })))
    }

    /// The provider's name.
    fn provider(&self) -> &str {
        self.0.provider()
    }

    /// The model's or deployment's name.
    fn model(&self) -> &str {
        self.0.model_name()
    }

    /// Nothing needs cleaning; kept for programs that call it. `True` the first time on a `huggingface`
    /// configuration, as in GraphBit, else `False`. Everything stays usable.
    fn cleanup(&self) -> bool {
        bridged::cleanup(&self.0)
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (exc_type=None, exc_val=None, exc_tb=None))]
    fn __exit__(
        &self,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_val: Option<&Bound<'_, PyAny>>,
        exc_tb: Option<&Bound<'_, PyAny>>,
    ) -> bool {
        let _ = (exc_type, exc_val, exc_tb, self.cleanup());
        false
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.provider(), self.model()).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        format!("LlmConfig(provider='{}', model='{}')", self.provider(), self.model())
    }
}

/// A user's function as a model.
struct CallableModel {
    function: Arc<Py<PyAny>>,
    model: String,
}

impl ChatModel for CallableModel {
    fn provider(&self) -> &str {
        "callable"
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn complete<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatResponse>> {
        Box::pin(async {
            let body = openai_chat::encode(&Wire::COMMON, &self.model, request, false)?;
            let (function, model) = (Arc::clone(&self.function), self.model.clone());
            bridge::call_python(move |py| {
                // Messages and options are what would have been sent to a server.
                let body = PyBytes::new(py, &body);
                let options = py.import("json")?.call_method1("loads", (body,))?;
                let options = options.cast_into::<PyDict>()?;
                let messages = options.call_method1("pop", ("messages",))?;
                options.del_item("model")?;
                let mut answer = function.bind(py).call((messages,), Some(&options))?;
                if py.import("inspect")?.call_method1("iscoroutine", (&answer,))?.is_truthy()? {
                    answer = py.import("asyncio")?.call_method1("run", (answer,))?;
                }
                read_answer(&answer, &model)
            })
            .await
            .map_err(|error| error.with_provider("callable"))
        })
    }
}
