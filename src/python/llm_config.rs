//! `LlmConfig`: one constructor a provider, and a function of the user's own as a model.
//!
//! A constructor only gathers its arguments; what they must look like is the core's to say.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyTuple};

use super::bridged;
use super::connection::connection;
use super::llm_callable::CallableModel;
use super::pickle::{Names, Origin};
use crate::llm::ChatModel;
use crate::local::Extractive;
use crate::providers::{Connection, LlmConfig, ProviderSettings, from_environment};
use crate::secret::ApiKey;

/// Which model answers. Made by its static methods only.
#[pyclass(name = "LlmConfig", module = "graphbit", frozen)]
pub(super) struct PyLlmConfig {
    pub(super) config: LlmConfig,
    origin: Origin,
}

impl PyLlmConfig {
    /// A configuration around any model of the core. It does not pickle, and equals only itself.
    pub(super) fn from_model(model: Arc<dyn ChatModel>) -> Self {
        Self { config: LlmConfig::from_model(model), origin: Origin::plain() }
    }

    /// The same, made again by calling `constructor` with `keywords`, which also tell equality.
    fn from_call(
        model: Arc<dyn ChatModel>,
        constructor: &'static str,
        keywords: Bound<'_, PyDict>,
    ) -> Self {
        Self { origin: Origin::call(constructor, keywords), ..Self::from_model(model) }
    }

    fn from_settings(settings: ProviderSettings) -> PyResult<Self> {
        Ok(Self { config: LlmConfig::new(settings)?, origin: Origin::plain() })
    }

    fn make<const N: usize>(
        provider: &'static str,
        api_key: Option<String>,
        model: Option<String>,
        connection: Connection,
        options: [(&str, Option<String>); N],
    ) -> PyResult<Self> {
        let key = api_key.map(ApiKey::new);
        let mut settings = ProviderSettings::new(provider).with_connection(connection);
        settings = ProviderSettings { key, model, ..settings };
        for (name, value) in options {
            settings = settings.with_option(name, value);
        }
        Self::from_settings(settings)
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
        let api = Some(api).filter(|api| *api != "auto").map(str::to_owned);
        let options = [("api_version", api_version), ("api", api)];
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
    fn extractive(py: Python<'_>) -> Self {
        Self::from_call(Arc::new(Extractive), "extractive", PyDict::new(py))
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
            return Err(PyTypeError::new_err(text));
        }
        let keywords = PyDict::new(function.py());
        keywords.set_item("function", &function)?;
        keywords.set_item("model", model)?;
        let model = CallableModel::new(function, model);
        Ok(Self::from_call(Arc::new(model), "from_callable", keywords))
    }

    /// The provider named, else the one `GRAPHBIT_PROVIDER` names, else the first whose key is set, with
    /// key, address and model from the environment.
    #[staticmethod]
    #[pyo3(signature = (provider=None, model=None, *, timeout=None, headers=None, http_proxy=None))]
    fn from_env(
        provider: Option<&str>,
        model: Option<&str>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let given = connection(None, timeout, headers, http_proxy)?;
        let mut settings = from_environment(provider, model)?;
        let base_url = settings.connection.base_url.take();
        settings.connection = Connection { base_url, ..given };
        Self::from_settings(settings)
    }

    /// The provider's name.
    fn provider(&self) -> &str {
        self.config.provider()
    }

    /// The model's or deployment's name.
    fn model(&self) -> &str {
        self.config.model_name()
    }

    /// Nothing needs cleaning; kept for programs that call it. `True` the first time on a `huggingface`
    /// configuration, as in GraphBit, else `False`. Everything stays usable.
    fn cleanup(&self) -> bool {
        bridged::cleanup(&self.config)
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

    /// An equal configuration whose pickles carry the key, and the credentials in headers and proxy.
    fn with_portable_key(&self, py: Python<'_>) -> Self {
        Self { config: self.config.clone(), origin: self.origin.portable(py) }
    }

    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let settings = self.config.settings();
        let settings = settings.map(|settings| (settings, Names::of_llm(settings)));
        self.origin.reduce(py, "llm_config", &self.__repr__(), settings)
    }

    // Nothing in it ever changes, so a copy would be the same.
    fn __copy__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __deepcopy__<'py>(slf: PyRef<'py, Self>, memo: &Bound<'py, PyAny>) -> PyRef<'py, Self> {
        let _ = memo;
        slf
    }

    fn __eq__(&self, other: &Bound<'_, Self>) -> PyResult<bool> {
        let (py, other) = (other.py(), other.get());
        let same = self.origin.same_call(py, &other.origin)?;
        Ok(same.unwrap_or_else(|| self.config == other.config))
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
