//! `ParallelRAG`: documents in, answers with citations out. Python decides what, the core does it.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::chat_types::PyLlmUsage;
use super::documents::{sources, wrong_type};
use super::embedding_config::EmbeddingConfig as PyEmbeddingConfig;
use super::embeddings::EmbeddingClient as PyEmbeddingClient;
use super::llm::PyLlmClient;
use super::llm_config::PyLlmConfig;
use super::store::VectorStore;
use super::{bridge, exit, local, split};
use crate::embeddings::EmbeddingClient;
use crate::llm::LlmClient;
use crate::local::Extractive;
use crate::providers::{Connection, LlmConfig};
use crate::rag::{
    Answer, Citation, Config, DocumentOutcome, IngestReport, OnProgress, ParallelRag, Progress,
    Source,
};
use crate::secret::ApiKey;

/// Characters of a text that a repr shows.
const SHOWN: usize = 60;

/// Ingests documents in parallel and answers questions about them.
///
/// `embedding` is an EmbeddingConfig or EmbeddingClient (default: the local "wordllama" model), `llm` an
/// LlmConfig or LlmClient (default: OpenAI, at OPENAI_BASE_URL if set, where OPENAI_API_KEY is set, Ollama where OLLAMA_HOST is, else
/// quotes without a language model). `top_k` is the number of passages a question retrieves, `batch_size`
/// the number of chunks an embedding request, `max_concurrency` the number of such requests at once
/// (default 16, or the number of cores for a local model).
#[pyclass(name = "ParallelRAG", module = "graphbit", frozen)]
pub(super) struct PyParallelRag {
    rag: ParallelRag,
}

#[pymethods]
impl PyParallelRag {
    #[new]
    #[pyo3(signature = (embedding=None, llm=None, *, splitter=None, store=None, top_k=4, batch_size=64, max_concurrency=None))]
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
    ) -> PyResult<Self> {
        let mut config = Config::new(embedding_client(py, embedding)?, llm_client(llm)?)?;
        if let Some(splitter) = splitter {
            config.splitter = split::shared(splitter)?
                .ok_or_else(|| wrong_type("splitter", "one of the splitters", splitter))?;
        }
        if let Some(given) = store {
            let shared = given.cast::<VectorStore>();
            let shared = shared.map_err(|_| wrong_type("store", "a VectorStore", given))?;
            config.store = Arc::clone(shared.get().shared());
        }
        config.top_k = top_k;
        config.batch_size = batch_size;
        config.max_concurrency = max_concurrency;
        Ok(Self { rag: ParallelRag::new(config)? })
    }

    /// Loads, splits, embeds and stores; returns an IngestReport with one outcome a document.
    ///
    /// `documents` is a path, `{name: text}`, or an iterable of paths, `(name, text)` pairs,
    /// `{"source", "text", "metadata"}` dicts and objects with `text` (or `page_content`) and `source`. A
    /// folder stands for the files below it. `on_progress` is called with an IngestProgress on a thread
    /// of its own; what it raises is reported, not raised. `progress=False` hides the bar that is drawn
    /// when standard error is a terminal.
    #[pyo3(signature = (documents, *, on_progress=None, progress=None))]
    fn ingest(
        &self,
        py: Python<'_>,
        documents: &Bound<'_, PyAny>,
        on_progress: Option<Bound<'_, PyAny>>,
        progress: Option<bool>,
    ) -> PyResult<PyIngestReport> {
        let (sources, callback) = prepare(py, documents, on_progress, progress)?;
        let rag = self.rag.clone();
        let report = bridge::block_on(py, async move { rag.ingest(sources, callback).await })?;
        Ok(PyIngestReport(report))
    }

    /// The awaitable twin of `ingest`.
    #[pyo3(signature = (documents, *, on_progress=None, progress=None))]
    fn ingest_async<'py>(
        &self,
        py: Python<'py>,
        documents: &Bound<'py, PyAny>,
        on_progress: Option<Bound<'py, PyAny>>,
        progress: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (sources, callback) = prepare(py, documents, on_progress, progress)?;
        let rag = self.rag.clone();
        let future = async move { rag.ingest(sources, callback).await };
        bridge::future_into_py(py, future, |py, report| {
            Ok(Py::new(py, PyIngestReport(report))?.into_any())
        })
    }

    /// Answers from the passages most similar to the question.
    #[pyo3(signature = (question, *, top_k=None))]
    fn ask(&self, py: Python<'_>, question: String, top_k: Option<usize>) -> PyResult<PyAnswer> {
        let rag = self.rag.clone();
        let answer = bridge::block_on(py, async move { rag.ask(&question, top_k).await })?;
        PyAnswer::new(py, answer)
    }

    /// The awaitable twin of `ask`.
    #[pyo3(signature = (question, *, top_k=None))]
    fn ask_async<'py>(
        &self,
        py: Python<'py>,
        question: String,
        top_k: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let rag = self.rag.clone();
        let future = async move { rag.ask(&question, top_k).await };
        bridge::future_into_py(py, future, |py, answer| {
            Ok(Py::new(py, PyAnswer::new(py, answer)?)?.into_any())
        })
    }

    /// The passages most similar to the question, best first, without asking a model.
    #[pyo3(signature = (question, *, top_k=None))]
    fn search(
        &self,
        py: Python<'_>,
        question: String,
        top_k: Option<usize>,
    ) -> PyResult<Vec<PyCitation>> {
        let rag = self.rag.clone();
        let passages = bridge::block_on(py, async move { rag.search(&question, top_k).await })?;
        Ok(citations(passages))
    }

    /// The awaitable twin of `search`.
    #[pyo3(signature = (question, *, top_k=None))]
    fn search_async<'py>(
        &self,
        py: Python<'py>,
        question: String,
        top_k: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let rag = self.rag.clone();
        let future = async move { rag.search(&question, top_k).await };
        bridge::future_into_py(py, future, |py, passages| {
            Ok(citations(passages).into_pyobject(py)?.unbind())
        })
    }

    /// What is held and what was done, as a dict.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.rag.stats();
        let values = PyDict::new(py);
        values.set_item("documents", stats.documents)?;
        values.set_item("chunks", stats.chunks)?;
        values.set_item("failed_documents", stats.failed_documents)?;
        values.set_item("embedded_tokens", stats.embedded_tokens)?;
        values.set_item("questions", stats.questions)?;
        Ok(values)
    }

    /// Number of chunks held.
    fn __len__(&self) -> usize {
        self.rag.stats().chunks
    }

    /// An empty one is as true as a full one; only `len()` tells them apart.
    fn __bool__(&self) -> bool {
        true
    }

    fn __repr__(&self) -> String {
        let (config, stats) = (self.rag.config(), self.rag.stats());
        let (embedding, llm) = (config.embedding.model(), config.llm.model());
        format!(
            "ParallelRAG(embedding='{}/{}', llm='{}/{}', documents={}, chunks={})",
            embedding.provider(),
            embedding.model(),
            llm.provider(),
            llm.model(),
            stats.documents,
            stats.chunks
        )
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

fn prepare(
    py: Python<'_>,
    documents: &Bound<'_, PyAny>,
    on_progress: Option<Bound<'_, PyAny>>,
    progress: Option<bool>,
) -> PyResult<(Vec<Source>, Option<OnProgress>)> {
    let mut callbacks = Vec::new();
    if let Some(callback) = on_progress {
        if !callback.is_callable() {
            return Err(wrong_type("on_progress", "callable", &callback));
        }
        callbacks.push(callback.unbind());
    }
    let sources = sources(documents)?;
    if progress.unwrap_or(true) {
        let bar = py.import("graphbit._progress")?.call_method0("terminal_bar")?;
        if !bar.is_none() {
            callbacks.push(bar.unbind());
        }
    }
    if callbacks.is_empty() {
        return Ok((sources, None));
    }
    let report = move |progress: Progress| {
        exit::attach(|py| {
            for callback in &callbacks {
                // Nobody waits for this call who could be told; Python's hook for that case is.
                if let Err(error) = callback.call1(py, (PyIngestProgress(progress),)) {
                    error.write_unraisable(py, Some(callback.bind(py)));
                }
            }
        });
    };
    Ok((sources, Some(Arc::new(report))))
}

/// How far an ingest is.
#[pyclass(name = "IngestProgress", module = "graphbit", frozen, eq)]
#[derive(Clone, Copy, PartialEq)]
pub(super) struct PyIngestProgress(Progress);

#[pymethods]
impl PyIngestProgress {
    /// Documents to be ingested; 0 until the folders have been read.
    #[getter]
    fn documents_total(&self) -> usize {
        self.0.documents_total
    }
    /// Documents stored.
    #[getter]
    fn documents_done(&self) -> usize {
        self.0.documents_done
    }
    /// Documents that failed.
    #[getter]
    fn documents_failed(&self) -> usize {
        self.0.documents_failed
    }
    /// Chunks cut so far.
    #[getter]
    fn chunks_total(&self) -> usize {
        self.0.chunks_total
    }
    /// Chunks embedded so far.
    #[getter]
    fn chunks_done(&self) -> usize {
        self.0.chunks_done
    }
    /// Tokens embedded so far.
    #[getter]
    fn tokens(&self) -> u64 {
        self.0.tokens
    }
    /// Whether this is the last report.
    #[getter]
    fn finished(&self) -> bool {
        self.0.finished
    }
    fn __repr__(&self) -> String {
        let Progress { documents_total, documents_done, documents_failed, chunks_done, .. } =
            self.0;
        format!(
            "IngestProgress(documents={documents_done}/{documents_total}, \
             failed={documents_failed}, chunks={chunks_done})"
        )
    }
}

/// What an ingest did.
#[pyclass(name = "IngestReport", module = "graphbit", frozen, eq)]
#[derive(Clone, PartialEq)]
pub(super) struct PyIngestReport(IngestReport);

#[pymethods]
impl PyIngestReport {
    /// Documents stored.
    #[getter]
    fn documents(&self) -> usize {
        self.0.documents
    }
    /// Chunks stored.
    #[getter]
    fn chunks(&self) -> usize {
        self.0.chunks
    }
    /// Tokens embedded.
    #[getter]
    fn tokens(&self) -> u64 {
        self.0.tokens
    }
    /// One DocumentOutcome a document, in the order given.
    #[getter]
    fn outcomes(&self) -> Vec<PyDocumentOutcome> {
        self.0.outcomes.iter().cloned().map(PyDocumentOutcome).collect()
    }
    /// The outcomes with an error.
    #[getter]
    fn failed(&self) -> Vec<PyDocumentOutcome> {
        let failed = self.0.outcomes.iter().filter(|outcome| outcome.error.is_some());
        failed.cloned().map(PyDocumentOutcome).collect()
    }
    /// Seconds each stage was busy, by name; stages overlap. "wall" is the whole time.
    #[getter]
    fn seconds<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let seconds = self.0.seconds;
        let values = PyDict::new(py);
        values.set_item("load", seconds.load)?;
        values.set_item("split", seconds.split)?;
        values.set_item("embed", seconds.embed)?;
        values.set_item("store", seconds.store)?;
        values.set_item("wall", seconds.wall)?;
        Ok(values)
    }
    fn __repr__(&self) -> String {
        let IngestReport { documents, chunks, tokens, outcomes, seconds } = &self.0;
        let failed = outcomes.len() - documents;
        format!(
            "IngestReport(documents={documents}, failed={failed}, chunks={chunks}, \
             tokens={tokens}, seconds={:.3})",
            seconds.wall
        )
    }
}

/// How it went for one document.
#[pyclass(name = "DocumentOutcome", module = "graphbit", frozen, eq)]
#[derive(Clone, PartialEq)]
pub(super) struct PyDocumentOutcome(DocumentOutcome);

#[pymethods]
impl PyDocumentOutcome {
    /// The path or name given.
    #[getter]
    fn source(&self) -> &str {
        &self.0.source
    }
    /// Chunks stored.
    #[getter]
    fn chunks(&self) -> usize {
        self.0.chunks
    }
    /// Why nothing of it was stored, or None.
    #[getter]
    fn error(&self) -> Option<&str> {
        self.0.error.as_deref()
    }
    /// Whether it was stored.
    #[getter]
    fn ok(&self) -> bool {
        self.0.error.is_none()
    }
    fn __repr__(&self) -> String {
        let DocumentOutcome { source, chunks, error } = &self.0;
        match error {
            None => format!("DocumentOutcome(source={source:?}, chunks={chunks})"),
            Some(error) => format!("DocumentOutcome(source={source:?}, error={error:?})"),
        }
    }
}

/// A passage, with the number that marks it in an answer.
#[pyclass(name = "Citation", module = "graphbit", frozen, eq)]
#[derive(Clone, PartialEq)]
pub(super) struct PyCitation(Citation);

fn citations(passages: Vec<crate::types::Passage>) -> Vec<PyCitation> {
    let numbered = passages.into_iter().enumerate();
    numbered
        .map(|(index, passage)| PyCitation(Citation { number: index + 1, passage, cited: false }))
        .collect()
}

#[pymethods]
impl PyCitation {
    /// The passage's number, from 1, best first.
    #[getter]
    fn number(&self) -> usize {
        self.0.number
    }
    /// The document's path or name.
    #[getter]
    fn source(&self) -> &str {
        &self.0.passage.source
    }
    /// The passage.
    #[getter]
    fn text(&self) -> &str {
        &self.0.passage.text
    }
    /// First character of the passage in the document.
    #[getter]
    fn start_char(&self) -> usize {
        self.0.passage.start_char
    }
    /// One past its last character.
    #[getter]
    fn end_char(&self) -> usize {
        self.0.passage.end_char
    }
    /// Similarity to the question.
    #[getter]
    fn score(&self) -> f32 {
        self.0.passage.score
    }
    /// Whether the answer's text carries this passage's number.
    #[getter]
    fn cited(&self) -> bool {
        self.0.cited
    }
    fn __repr__(&self) -> String {
        let Citation { number, passage, cited } = &self.0;
        let cited = if *cited { "True" } else { "False" };
        format!(
            "Citation(number={number}, source={:?}, score={:.3}, cited={cited}, text={:?})",
            passage.source,
            passage.score,
            shown(&passage.text)
        )
    }
}

/// An answer and the passages it rests on.
#[pyclass(name = "Answer", module = "graphbit", frozen)]
pub(super) struct PyAnswer {
    answer: Answer,
    citations: Py<PyList>,
}

impl PyAnswer {
    fn new(py: Python<'_>, answer: Answer) -> PyResult<Self> {
        let citations = answer.citations.iter().cloned().map(PyCitation);
        let citations = PyList::new(py, citations.collect::<Vec<_>>())?.unbind();
        Ok(Self { answer, citations })
    }
}

#[pymethods]
impl PyAnswer {
    /// What the model said.
    #[getter]
    fn text(&self) -> &str {
        &self.answer.text
    }
    /// The passages given to the model, best first.
    #[getter]
    fn citations(&self, py: Python<'_>) -> Py<PyList> {
        self.citations.clone_ref(py)
    }
    /// Names of the documents the text cites, each once, in the order of the passages.
    #[getter]
    fn sources(&self) -> Vec<&str> {
        let mut sources = Vec::new();
        for citation in self.answer.citations.iter().filter(|citation| citation.cited) {
            let source = citation.passage.source.as_str();
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        sources
    }
    /// Tokens of the model call.
    #[getter]
    fn usage(&self) -> PyLlmUsage {
        PyLlmUsage(self.answer.usage)
    }
    /// The model that answered.
    #[getter]
    fn model(&self) -> &str {
        &self.answer.model
    }
    fn __str__(&self) -> &str {
        &self.answer.text
    }
    fn __repr__(&self) -> String {
        format!(
            "Answer(model={:?}, sources={:?}, text={:?})",
            self.answer.model,
            self.sources(),
            shown(&self.answer.text)
        )
    }
}

/// The beginning of a text, for a repr.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}
