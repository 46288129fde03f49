//! `EmbeddingClient`.
//!
//! Every verb is one future of the core and two doors. Lists of Python floats are built in slices of
//! about a millisecond, so that a large answer never holds the interpreter for long;
//! `embed_array` builds none at all.

use std::sync::Arc;
use std::time::Duration;

use numpy::ndarray::Array2;
use numpy::{PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::bridge;
use super::embedding_config::{EmbeddingConfig, describe};
use super::errors::to_py_err;
use super::exit;
use super::finished::{Conversion, with_results};
use super::given::{Listed, import};
use super::resilience::{self, Asked, Entry, Keywords, Layered, NewArguments, Recipe};
use crate::cache::Cache;
use crate::embeddings::{
    self, EmbedOptions, EmbeddingModel, GatheredGroups, GatheredRows, OnError, OnProgress, SomeRows,
};
use crate::error::{Error, Kind, Result};
use crate::resilience::{BreakerPolicy, Order, Protection};
use crate::types::{Embeddings, Matrix};

/// Groups under way at once in `embed_batch_parallel`.
const DEFAULT_GROUPS: usize = 10;

/// Embeds texts, with retries. May be shared between threads and event loops.
#[pyclass(name = "EmbeddingClient", module = "graphbit", frozen)]
pub(super) struct EmbeddingClient {
    client: embeddings::EmbeddingClient,
    recipe: Recipe,
}

impl EmbeddingClient {
    /// The client of the core, sharing model and statistics.
    pub(super) fn shared(&self) -> &embeddings::EmbeddingClient {
        &self.client
    }
}

impl Layered for embeddings::EmbeddingClient {
    type Model = dyn EmbeddingModel;
    const ENTRIES: &'static str = "EmbeddingConfig or EmbeddingClient";

    fn usual_breaker() -> Option<BreakerPolicy> {
        None
    }

    fn entry(given: &Bound<'_, PyAny>) -> Option<Entry<Self>> {
        if let Ok(client) = given.cast::<EmbeddingClient>() {
            let EmbeddingClient { client, recipe } = client.get();
            return Some(Entry::Client((client.clone(), recipe.identity())));
        }
        let config = given.cast::<EmbeddingConfig>().ok()?.get();
        Some(Entry::Model(config.shared_model(), config.identity()))
    }

    fn protected(model: Arc<dyn EmbeddingModel>, protection: Protection) -> Self {
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

    fn cheapest_first(_: &mut [Asked<Self>]) -> Result<()> {
        let text = "order must be 'ordered' or 'weighted': the models are the same";
        Err(Error::validation("order", Some("cheapest"), text))
    }
}

#[pymethods]
impl EmbeddingClient {
    #[new]
    #[pyo3(signature = (config, *, retry=None, circuit_breaker=None, rate_limit=None, concurrency=None, hedging=None, cache=None, fallbacks=None, order="ordered", weights=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn new(
        config: &Bound<'_, PyAny>,
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
        let (client, recipe) = given.client(config)?;
        Ok(Self { client, recipe })
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
    fn embed_many<'py>(
        &self,
        py: Python<'py>,
        texts: Listed<String>,
    ) -> PyResult<Bound<'py, PyList>> {
        not_empty(texts.0.is_empty(), "Text list cannot be empty")?;
        let work = self.client.embed_rows(texts.0, EmbedOptions::fewest_requests());
        let gathered = work.gathered();
        let raised = bridge::block_on(py, work.work()).err();
        row_lists(py, &gathered, raised)
    }

    /// `embed_many` as an awaitable.
    fn embed_many_async<'py>(
        &self,
        py: Python<'py>,
        texts: Listed<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        not_empty(texts.0.is_empty(), "Text list cannot be empty")?;
        let work = self.client.embed_rows(texts.0, EmbedOptions::fewest_requests());
        let gathered = work.gathered();
        let so_far = gathered.clone();
        bridge::future_with_results(
            py,
            async move { Ok(work.work().await) },
            move |py, ended| {
                Ok(row_lists(py, &gathered, ended.err().map(to_py_err))?.into_any().unbind())
            },
            move |py| Ok(row_lists(py, &so_far, None)?.into_any().unbind()),
        )
    }

    /// One request for each inner list, `max_concurrency` (default 10) at once. Returns a dict of
    /// `embeddings`, `errors`, `duration_ms` and `stats`; a failed inner list is `[]` there and named
    /// in `errors`. When `timeout_ms` is over, finished inner lists are kept and the others fail.
    #[pyo3(signature = (texts_batch, max_concurrency=None, timeout_ms=None))]
    fn embed_batch_parallel(
        &self,
        py: Python<'_>,
        texts_batch: Listed<Listed<String>>,
        max_concurrency: Option<usize>,
        timeout_ms: Option<u64>,
    ) -> PyResult<Py<PyAny>> {
        let at_once = max_concurrency.unwrap_or(DEFAULT_GROUPS);
        let timeout = timeout_ms.map(Duration::from_millis);
        let work = self.client.each_group(groups(texts_batch), at_once, timeout);
        let gathered = work.gathered();
        group_dict(py, &gathered, bridge::block_on(py, work.work()))
    }

    /// `embed_batch_parallel` as an awaitable.
    #[pyo3(signature = (texts_batch, max_concurrency=None, timeout_ms=None))]
    fn embed_batch_parallel_async<'py>(
        &self,
        py: Python<'py>,
        texts_batch: Listed<Listed<String>>,
        max_concurrency: Option<usize>,
        timeout_ms: Option<u64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        not_empty(texts_batch.0.is_empty(), "Batch cannot be empty")?;
        EmbedOptions { max_concurrency, ..EmbedOptions::default() }.check()?;
        let at_once = max_concurrency.unwrap_or(DEFAULT_GROUPS);
        let timeout = timeout_ms.map(Duration::from_millis);
        let work = self.client.each_group(groups(texts_batch), at_once, timeout);
        let gathered = work.gathered();
        let so_far = gathered.clone();
        bridge::future_with_results(
            py,
            async move { Ok(work.work().await) },
            move |py, ended| group_dict(py, &gathered, ended.map_err(to_py_err)),
            move |py| group_lists(py, &so_far, None),
        )
    }

    /// The vectors of many texts as a float32 array of shape (texts, dimensions), in order.
    ///
    /// Requests hold `batch_size` texts (default 256, and never more than the provider takes) and `max_concurrency` (default 16) run at once.
    /// `on_error="raise"` raises a failed request's error and cancels the others; `"nan"` leaves NaN in
    /// the rows of failed texts and raises only when every request failed. `on_progress(done, total)`
    /// is called after each request, on another thread; what it raises ends the call.
    #[pyo3(signature = (texts, *, batch_size=None, max_concurrency=None, on_error="raise", on_progress=None))]
    fn embed_array(
        &self,
        py: Python<'_>,
        texts: Listed<String>,
        batch_size: Option<usize>,
        max_concurrency: Option<usize>,
        on_error: &str,
        on_progress: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let options = options(py, batch_size, max_concurrency, on_error, on_progress)?;
        let work = self.client.embed_rows(texts.0, options);
        let gathered = work.gathered();
        let raised = bridge::block_on(py, work.work()).err();
        whole_array(py, &gathered, raised)
    }

    /// `embed_array` as an awaitable.
    #[pyo3(signature = (texts, *, batch_size=None, max_concurrency=None, on_error="raise", on_progress=None))]
    fn embed_array_async<'py>(
        &self,
        py: Python<'py>,
        texts: Listed<String>,
        batch_size: Option<usize>,
        max_concurrency: Option<usize>,
        on_error: &str,
        on_progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = options(py, batch_size, max_concurrency, on_error, on_progress)?;
        let work = self.client.embed_rows(texts.0, options);
        let gathered = work.gathered();
        let so_far = gathered.clone();
        bridge::future_with_results(
            py,
            async move { Ok(work.work().await) },
            move |py, ended| whole_array(py, &gathered, ended.err().map(to_py_err)),
            move |py| some_rows(py, &so_far),
        )
    }

    /// Cosine similarity of two vectors; 0.0 when either has no length.
    #[staticmethod]
    fn similarity(a: &Bound<'_, PyAny>, b: &Bound<'_, PyAny>) -> PyResult<f32> {
        Ok(embeddings::similarity(&vector(a)?, &vector(b)?)?)
    }

    /// The cosine similarity of one vector with each of many, as a float32 array; 0.0 where either has
    /// no length. `vectors` is a 2-D array, which is read in place, or a list of vectors.
    #[staticmethod]
    fn similarity_many<'py>(
        py: Python<'py>,
        query: &Bound<'py, PyAny>,
        vectors: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let query = vector(query)?;
        let numpy = import(py, "numpy")?;
        let as_array = || -> PyResult<Option<Bound<'_, PyAny>>> {
            if !vectors.hasattr("__array__")? {
                return Ok(None);
            }
            // Not a copy when it is what it should be already.
            numpy.call_method1("ascontiguousarray", (vectors, "float32")).map(Some)
        };
        let found = if let Some(array) = exit::inside(py, as_array)? {
            let array: PyReadonlyArray2<'_, f32> = array.extract().map_err(|_| {
                PyTypeError::new_err("argument 'vectors': must be a 2-D array or a list of vectors")
            })?;
            let [rows, dimensions] = *array.shape() else {
                return Ok(PyArray1::zeros(py, 0, false));
            };
            let values = array.as_slice()?;
            bridge::detach(py, || embeddings::similarities(&query, values, rows, dimensions))?
        } else {
            let rows = vectors.extract::<Listed<Listed<f32>>>()?;
            let rows: Vec<Vec<f32>> = rows.0.into_iter().map(|row| row.0).collect();
            bridge::detach(py, || {
                if let Some(odd) = rows.iter().find(|row| row.len() != query.len()) {
                    embeddings::similarity(&query, odd)?;
                }
                embeddings::similarities(&query, &rows.concat(), rows.len(), query.len())
            })?
        };
        Ok(PyArray1::from_vec(py, found))
    }

    /// Counts of requests: total, successful, failed, success rate, mean duration, uptime.
    fn get_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        resilience::statistics(py, &self.client.stats(), None)
    }

    /// What the layers before each model were doing, and the cache.
    fn get_resilience<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let routes = self.client.routes().iter();
        let routes = routes.map(|it| (it.model.provider(), it.model.model(), &*it.stack));
        resilience::describe(py, routes, self.client.cache())
    }

    /// Sets the counts to zero; the uptime goes on.
    fn reset_stats(&self) {
        self.client.reset_stats();
    }

    /// A client pickles as its configuration and settings; the copy has statistics of its own.
    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> NewArguments<'py> {
        self.recipe.arguments(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        describe(py, "EmbeddingClient", self.client.model().as_ref())
    }
}

fn groups(batch: Listed<Listed<String>>) -> Vec<Vec<String>> {
    batch.0.into_iter().map(|group| group.0).collect()
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
    import(py, "numpy")?;
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

fn floats<'py>(py: Python<'py>, row: &[f32]) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, row)
}

fn first_row<'py>(py: Python<'py>, answer: &Embeddings) -> PyResult<Bound<'py, PyList>> {
    floats(py, answer.vectors.row(0).unwrap_or_default())
}

fn rows<'py>(
    py: Python<'py>,
    matrix: &Matrix,
    conversion: &mut Conversion,
) -> PyResult<Bound<'py, PyList>> {
    conversion.list(py, matrix.iter(), |row| Ok(floats(py, row)?.into_any().unbind()))
}

/// `embed_many`'s list. What cut the call short carries it, `None` in the places of the unfinished.
fn row_lists<'py>(
    py: Python<'py>,
    gathered: &GatheredRows,
    raised: Option<PyErr>,
) -> PyResult<Bound<'py, PyList>> {
    let SomeRows { vectors, finished } = gathered.take();
    let mut conversion = Conversion::new(raised);
    let mut finished = finished.into_iter().flatten().peekable();
    let list = conversion.list(py, 0..vectors.rows(), |place| {
        match finished.next_if_eq(&place).and_then(|place| vectors.row(place)) {
            Some(row) => Ok(floats(py, row)?.into_any().unbind()),
            None => Ok(py.None()),
        }
    })?;
    conversion.end(&list)?;
    Ok(list)
}

/// `embed_array`'s array as it is, NaN in the rows of the unfinished; `None` without any.
fn some_rows(py: Python<'_>, gathered: &GatheredRows) -> PyResult<Py<PyAny>> {
    let SomeRows { vectors, finished } = gathered.take();
    if finished.is_empty() {
        return Ok(py.None());
    }
    Ok(array(py, vectors)?.into_any().unbind())
}

/// `embed_array`'s array. What cut the call short carries [`some_rows`].
fn whole_array(
    py: Python<'_>,
    gathered: &GatheredRows,
    raised: Option<PyErr>,
) -> PyResult<Py<PyAny>> {
    if let Some(raised) = raised {
        return Err(with_results(raised, some_rows(py, gathered)?.bind(py)));
    }
    let array = array(py, gathered.finish()?.vectors)?.into_any();
    Conversion::new(None).end(&array)?;
    Ok(array.unbind())
}

/// What became of the inner lists so far: vectors, an exception where one failed, `None` where one was not
/// finished. What cut the call short carries them.
fn group_lists(
    py: Python<'_>,
    gathered: &GatheredGroups,
    raised: Option<PyErr>,
) -> PyResult<Py<PyAny>> {
    let mut conversion = Conversion::new(raised);
    let list = PyList::empty(py);
    for outcome in gathered.take() {
        match outcome {
            Some(Ok(answer)) => list.append(rows(py, &answer.vectors, &mut conversion)?)?,
            Some(Err(error)) => list.append(to_py_err(error).into_value(py))?,
            None => list.append(py.None())?,
        }
    }
    conversion.end(&list)?;
    Ok(list.into_any().unbind())
}

/// The dict of `embed_batch_parallel`, keys and their order as in 0.6.8.
#[expect(clippy::cast_precision_loss, reason = "milliseconds and counts stay far below 2^52")]
fn group_dict(
    py: Python<'_>,
    gathered: &GatheredGroups,
    ended: PyResult<Duration>,
) -> PyResult<Py<PyAny>> {
    let outcome = match ended {
        Ok(duration) => gathered.finish(duration),
        Err(raised) => return group_lists(py, gathered, Some(raised)),
    };
    let (embeddings, errors) = (PyList::empty(py), PyList::empty(py));
    let mut conversion = Conversion::new(None);
    let (mut successful, mut vectors, mut tokens) = (0_usize, 0_usize, 0_u64);
    for (number, group) in outcome.groups.iter().enumerate() {
        match group {
            Ok(answer) => {
                successful += 1;
                vectors += answer.vectors.rows();
                tokens = tokens.saturating_add(answer.usage.total_tokens);
                embeddings.append(rows(py, &answer.vectors, &mut conversion)?)?;
            }
            Err(error) => {
                embeddings.append(PyList::empty(py))?;
                errors.append(format!("Batch {number}: {error}"))?;
            }
        }
    }
    conversion.end(&embeddings)?;
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
    Ok(dict.into_any().unbind())
}

fn array(py: Python<'_>, vectors: Matrix) -> PyResult<Bound<'_, PyArray2<f32>>> {
    let shape = (vectors.rows(), vectors.dimensions());
    let array = Array2::from_shape_vec(shape, vectors.into_vec())
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
    Ok(value.extract::<Listed<f32>>()?.0)
}
