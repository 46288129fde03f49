//! `ParallelRAG`: documents in, answers with citations out. Python decides what, the core does it.

mod answer;
mod answer_stream;
mod asking;
mod ingest_stream;
mod progress;
mod report;

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::closing::Closing;
use super::documents::{self, wrong_type};
use super::embedding_config::EmbeddingConfig as PyEmbeddingConfig;
use super::embeddings::EmbeddingClient as PyEmbeddingClient;
use super::llm::PyLlmClient;
use super::llm_config::PyLlmConfig;
use super::{bridge, load, local, split, store};
use crate::embeddings::EmbeddingClient;
use crate::llm::LlmClient;
use crate::local::Extractive;
use crate::providers::{Connection, LlmConfig};
use crate::rag::{Config, IngestReport, OnProgress, ParallelRag, Prompt, Sources};
use crate::secret::ApiKey;

use answer::cited;
pub(super) use answer::{PyAnswer, PyCitation};
pub(super) use answer_stream::PyAnswerStream;
use asking::{Given, Questions};
pub(super) use ingest_stream::PyIngestStream;
pub(super) use report::{PyDocumentOutcome, PyIngestProgress, PyIngestReport};

/// Ingests documents in parallel and answers questions about them.
///
/// `embedding` is an EmbeddingConfig or EmbeddingClient (default: the local "wordllama" model), `llm` an
/// LlmConfig or LlmClient (default: OpenAI, at OPENAI_BASE_URL if set, where OPENAI_API_KEY is set, Ollama where OLLAMA_HOST is, else
/// quotes without a language model). `top_k` is the number of passages a question retrieves, `batch_size`
/// the number of chunks an embedding request, `max_concurrency` the number of such requests at once
/// (default 16, or the number of cores for a local model), `prompt` a template with `{question}` and
/// `{passages}`.
#[pyclass(name = "ParallelRAG", module = "graphbit", frozen)]
pub(in crate::python) struct PyParallelRag {
    rag: ParallelRag,
}

#[pymethods]
impl PyParallelRag {
    #[new]
    #[pyo3(signature = (embedding=None, llm=None, *, splitter=None, store=None, top_k=4, batch_size=64, max_concurrency=None, prompt=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python constructor")]
    fn new(
        py: Python<'_>,
        embedding: Option<&Bound<'_, PyAny>>,
        llm: Option<&Bound<'_, PyAny>>,
        splitter: Option<&Bound<'_, PyAny>>,
        store: Option<&Bound<'_, PyAny>>,
        top_k: usize,
        batch_size: usize,
        max_concurrency: Option<usize>,
        prompt: Option<String>,
    ) -> PyResult<Self> {
        let mut config = Config::new(embedding_client(py, embedding)?, llm_client(llm)?)?;
        if let Some(splitter) = splitter {
            config.splitter = split::shared(splitter)?
                .ok_or_else(|| wrong_type("splitter", "one of the splitters", splitter))?;
        }
        if let Some(given) = store {
            config.store = store::shared(given)?;
        }
        config.loader = config.loader.with_isolation(load::isolation(py));
        config.top_k = top_k;
        config.batch_size = batch_size;
        config.max_concurrency = max_concurrency;
        if let Some(prompt) = prompt {
            config.prompt = Prompt::new(prompt)?;
        }
        Ok(Self { rag: ParallelRag::new(config)? })
    }

    /// Loads, splits, embeds and stores; returns an IngestReport with one outcome a document.
    ///
    /// `documents` is a path, a URL, `{name: text}`, or an iterable of paths, URLs, `(name, text)` pairs,
    /// `{"source", "text", "metadata"}` dicts and objects with `text` (or `page_content`) and `source`. A
    /// folder stands for the files below it, a pattern for those it matches. `on_progress` is called with an
    /// IngestProgress on a thread of its own; what it raises is reported, not raised. `progress=False`
    /// hides the bar that is drawn in a notebook and when standard error is a terminal. With
    /// `delete_missing` documents are deleted that the store holds of these folders and patterns and that are
    /// gone.
    #[pyo3(signature = (documents, *, on_progress=None, progress=None, delete_missing=false))]
    fn ingest(
        &self,
        py: Python<'_>,
        documents: &Bound<'_, PyAny>,
        on_progress: Option<Bound<'_, PyAny>>,
        progress: Option<bool>,
        delete_missing: bool,
    ) -> PyResult<PyIngestReport> {
        let callback = progress::callback(on_progress)?;
        let (sources, _) = documents::Given::new(documents)?.sources(py, None)?;
        let (told, bar) = progress::with_bar(py, callback, progress)?;
        let rag = self.rag.clone();
        let report = bridge::block_on(py, ingested(rag, sources, told, delete_missing));
        bar.now(py);
        Ok(PyIngestReport(report?))
    }

    /// The awaitable twin of `ingest`.
    #[pyo3(signature = (documents, *, on_progress=None, progress=None, delete_missing=false))]
    fn ingest_async<'py>(
        &self,
        py: Python<'py>,
        documents: &Bound<'py, PyAny>,
        on_progress: Option<Bound<'py, PyAny>>,
        progress: Option<bool>,
        delete_missing: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let callback = progress::callback(on_progress)?;
        let given = documents::Given::new(documents)?;
        let (sources, drawing) = given.sources(py, bridge::event_loop(py))?;
        let (told, bar) = progress::with_bar(py, callback, progress)?;
        let work = ingested(self.rag.clone(), sources, told, delete_missing);
        let work = async move {
            let _closed_in_the_end = (Closing::of(drawing), bar);
            work.await
        };
        bridge::future_into_py(py, work, |py, report| {
            Ok(Py::new(py, PyIngestReport(report))?.into_any())
        })
    }

    /// As `ingest`, but gives each outcome as soon as its document is stored, in order, for `for` and
    /// `async for`. Also takes asynchronous iterables; neither kind need ever end, and both are drawn from
    /// no faster than the outcomes are read. Nothing begins before the first outcome is asked for.
    #[pyo3(signature = (documents, *, on_progress=None))]
    fn ingest_stream(
        &self,
        documents: &Bound<'_, PyAny>,
        on_progress: Option<Bound<'_, PyAny>>,
    ) -> PyResult<PyIngestStream> {
        let told = progress::callback(on_progress)?.map(|callback| progress::tell(vec![callback]));
        Ok(PyIngestStream::new(self.rag.clone(), documents::Given::new(documents)?, told))
    }

    /// Answers from the passages that are found for the question.
    #[pyo3(signature = (question, *, top_k=None, mode="vector", r#where=None, diversity=None, rerank=None, min_score=None, max_context_tokens=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn ask(
        &self,
        py: Python<'_>,
        question: String,
        top_k: Option<usize>,
        mode: &str,
        r#where: Option<Bound<'_, PyAny>>,
        diversity: Option<f32>,
        rerank: Option<Bound<'_, PyAny>>,
        min_score: Option<f32>,
        max_context_tokens: Option<usize>,
    ) -> PyResult<PyAnswer> {
        let given =
            Given { top_k, mode, r#where, diversity, rerank, min_score, max_context_tokens };
        let asking = given.asking()?;
        let rag = self.rag.clone();
        let work = async move { rag.ask_with(&question, &asking).await };
        PyAnswer::new(py, bridge::block_on(py, work)?)
    }

    /// The awaitable twin of `ask`.
    #[pyo3(signature = (question, *, top_k=None, mode="vector", r#where=None, diversity=None, rerank=None, min_score=None, max_context_tokens=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn ask_async<'py>(
        &self,
        py: Python<'py>,
        question: String,
        top_k: Option<usize>,
        mode: &str,
        r#where: Option<Bound<'_, PyAny>>,
        diversity: Option<f32>,
        rerank: Option<Bound<'_, PyAny>>,
        min_score: Option<f32>,
        max_context_tokens: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let given =
            Given { top_k, mode, r#where, diversity, rerank, min_score, max_context_tokens };
        let asking = given.asking()?;
        let rag = self.rag.clone();
        let future = async move { rag.ask_with(&question, &asking).await };
        bridge::future_into_py(py, future, |py, answer| {
            Ok(Py::new(py, PyAnswer::new(py, answer)?)?.into_any())
        })
    }

    /// One answer for each question, in their order; see LlmClient.complete_many for `on_error`.
    #[pyo3(signature = (questions, *, top_k=None, mode="vector", r#where=None, diversity=None, rerank=None, min_score=None, max_context_tokens=None, max_concurrency=None, on_error="raise"))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn ask_many(
        &self,
        py: Python<'_>,
        questions: &Bound<'_, PyAny>,
        top_k: Option<usize>,
        mode: &str,
        r#where: Option<Bound<'_, PyAny>>,
        diversity: Option<f32>,
        rerank: Option<Bound<'_, PyAny>>,
        min_score: Option<f32>,
        max_context_tokens: Option<usize>,
        max_concurrency: Option<usize>,
        on_error: &str,
    ) -> PyResult<Py<PyAny>> {
        let given =
            Given { top_k, mode, r#where, diversity, rerank, min_score, max_context_tokens };
        let asking = given.asking()?;
        Questions::new(&self.rag, questions, asking, max_concurrency, on_error)?.block(py)
    }

    /// The awaitable twin of `ask_many`.
    #[pyo3(signature = (questions, *, top_k=None, mode="vector", r#where=None, diversity=None, rerank=None, min_score=None, max_context_tokens=None, max_concurrency=None, on_error="raise"))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn ask_many_async<'py>(
        &self,
        py: Python<'py>,
        questions: &Bound<'_, PyAny>,
        top_k: Option<usize>,
        mode: &str,
        r#where: Option<Bound<'_, PyAny>>,
        diversity: Option<f32>,
        rerank: Option<Bound<'_, PyAny>>,
        min_score: Option<f32>,
        max_context_tokens: Option<usize>,
        max_concurrency: Option<usize>,
        on_error: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let given =
            Given { top_k, mode, r#where, diversity, rerank, min_score, max_context_tokens };
        let asking = given.asking()?;
        Questions::new(&self.rag, questions, asking, max_concurrency, on_error)?.start(py)
    }

    /// The answer as it comes: finds the passages, and returns an AnswerStream.
    #[pyo3(signature = (question, *, top_k=None, mode="vector", r#where=None, diversity=None, rerank=None, min_score=None, max_context_tokens=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn ask_stream(
        &self,
        py: Python<'_>,
        question: String,
        top_k: Option<usize>,
        mode: &str,
        r#where: Option<Bound<'_, PyAny>>,
        diversity: Option<f32>,
        rerank: Option<Bound<'_, PyAny>>,
        min_score: Option<f32>,
        max_context_tokens: Option<usize>,
    ) -> PyResult<PyAnswerStream> {
        let given =
            Given { top_k, mode, r#where, diversity, rerank, min_score, max_context_tokens };
        let asking = given.asking()?;
        let rag = self.rag.clone();
        let work = async move { rag.prepare(&question, &asking).await };
        let prepared = bridge::block_on(py, work)?;
        Ok(PyAnswerStream::new(self.rag.config().llm.clone(), prepared))
    }

    /// The awaitable twin of `ask_stream`.
    #[pyo3(signature = (question, *, top_k=None, mode="vector", r#where=None, diversity=None, rerank=None, min_score=None, max_context_tokens=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn ask_stream_async<'py>(
        &self,
        py: Python<'py>,
        question: String,
        top_k: Option<usize>,
        mode: &str,
        r#where: Option<Bound<'_, PyAny>>,
        diversity: Option<f32>,
        rerank: Option<Bound<'_, PyAny>>,
        min_score: Option<f32>,
        max_context_tokens: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let given =
            Given { top_k, mode, r#where, diversity, rerank, min_score, max_context_tokens };
        let asking = given.asking()?;
        let (rag, client) = (self.rag.clone(), self.rag.config().llm.clone());
        let future = async move { rag.prepare(&question, &asking).await };
        bridge::future_into_py(py, future, |py, prepared| {
            Ok(Py::new(py, PyAnswerStream::new(client, prepared))?.into_any())
        })
    }

    /// The passages that are found for the question, best first, without asking a model.
    #[pyo3(signature = (question, *, top_k=None, mode="vector", r#where=None, diversity=None, rerank=None, min_score=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn search(
        &self,
        py: Python<'_>,
        question: String,
        top_k: Option<usize>,
        mode: &str,
        r#where: Option<Bound<'_, PyAny>>,
        diversity: Option<f32>,
        rerank: Option<Bound<'_, PyAny>>,
        min_score: Option<f32>,
    ) -> PyResult<Vec<PyCitation>> {
        let given =
            Given { top_k, mode, r#where, diversity, rerank, min_score, max_context_tokens: None };
        let asking = given.asking()?;
        let rag = self.rag.clone();
        let work = async move { rag.search_with(&question, &asking).await };
        Ok(cited(bridge::block_on(py, work)?, ""))
    }

    /// The awaitable twin of `search`.
    #[pyo3(signature = (question, *, top_k=None, mode="vector", r#where=None, diversity=None, rerank=None, min_score=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python method")]
    fn search_async<'py>(
        &self,
        py: Python<'py>,
        question: String,
        top_k: Option<usize>,
        mode: &str,
        r#where: Option<Bound<'_, PyAny>>,
        diversity: Option<f32>,
        rerank: Option<Bound<'_, PyAny>>,
        min_score: Option<f32>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let given =
            Given { top_k, mode, r#where, diversity, rerank, min_score, max_context_tokens: None };
        let asking = given.asking()?;
        let rag = self.rag.clone();
        let future = async move { rag.search_with(&question, &asking).await };
        bridge::future_into_py(py, future, |py, passages| {
            Ok(cited(passages, "").into_pyobject(py)?.unbind())
        })
    }

    /// What is held and what was done, as a dict.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let rag = self.rag.clone();
        let stats = bridge::block_on(py, async move { rag.stats().await })?;
        let values = PyDict::new(py);
        values.set_item("documents", stats.documents)?;
        values.set_item("chunks", stats.chunks)?;
        values.set_item("failed_documents", stats.failed_documents)?;
        values.set_item("embedded_tokens", stats.embedded_tokens)?;
        values.set_item("questions", stats.questions)?;
        Ok(values)
    }

    /// Number of chunks held.
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let store = Arc::clone(&self.rag.config().store);
        store::answer(py, store.count(None))
    }

    /// An empty one is as true as a full one; only `len()` tells them apart.
    fn __bool__(&self) -> bool {
        true
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let config = self.rag.config();
        let (embedding, llm) = (config.embedding.model(), config.llm.model());
        // To be shown is no reason to ask a server.
        let sizes = bridge::detach(py, || Ok(self.rag.sizes_at_once()))?;
        let held = sizes.map_or_else(
            || "store elsewhere".to_owned(),
            |(documents, chunks)| format!("documents={documents}, chunks={chunks}"),
        );
        Ok(format!(
            "ParallelRAG(embedding='{}/{}', llm='{}/{}', {held})",
            embedding.provider(),
            embedding.model(),
            llm.provider(),
            llm.model(),
        ))
    }
}

fn embedding_client(py: Python<'_>, given: Option<&Bound<'_, PyAny>>) -> PyResult<EmbeddingClient> {
    let Some(given) = given else {
        let model = local::embedding_model(py, None, None, None)?;
        return Ok(EmbeddingClient::with_defaults(model));
    };
    if let Ok(client) = given.cast::<PyEmbeddingClient>() {
        return Ok(client.get().shared().clone());
    }
    if let Ok(config) = given.cast::<PyEmbeddingConfig>() {
        return Ok(EmbeddingClient::with_defaults(config.get().shared_model()));
    }
    Err(wrong_type("embedding", "an EmbeddingConfig, an EmbeddingClient or None", given))
}

fn llm_client(given: Option<&Bound<'_, PyAny>>) -> PyResult<LlmClient> {
    let Some(given) = given else {
        return Ok(LlmClient::with_defaults(llm_of_environment()?));
    };
    if let Ok(client) = given.cast::<PyLlmClient>() {
        return Ok(client.get().client.clone());
    }
    if let Ok(config) = given.cast::<PyLlmConfig>() {
        return Ok(LlmClient::with_defaults(config.get().config.model()));
    }
    Err(wrong_type("llm", "an LlmConfig, an LlmClient or None", given))
}

/// The model that the environment offers; quoting needs none.
fn llm_of_environment() -> crate::Result<Arc<dyn crate::llm::ChatModel>> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    if let Some(key) = set("OPENAI_API_KEY") {
        let connection = Connection { base_url: set("OPENAI_BASE_URL"), ..Connection::default() };
        return Ok(LlmConfig::openai(ApiKey::new(key), None, connection)?.model());
    }
    if set("OLLAMA_HOST").is_some() {
        return Ok(LlmConfig::ollama(None, Connection::default())?.model());
    }
    Ok(Arc::new(Extractive))
}

async fn ingested(
    rag: ParallelRag,
    sources: Sources,
    callback: Option<OnProgress>,
    delete_missing: bool,
) -> crate::Result<IngestReport> {
    if delete_missing {
        rag.mirror(sources, callback).await
    } else {
        rag.ingest(sources, callback).await
    }
}
