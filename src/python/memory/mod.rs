//! `MemoryConfig` and `MemoryClient`: each verb is one future of the core and two doors.

mod values;

use std::path::PathBuf;

use pyo3::BoundObject;
use pyo3::prelude::*;

use super::documents::wrong_type;
use super::given::{GivenPath, Listed};
use super::resilience::{Entry, Layered};
use super::{bridge, exit};
use crate::embeddings::EmbeddingClient;
use crate::error::Result;
use crate::llm::LlmClient;
use crate::memory::{Change, Memory, MemoryClient, MemorySettings, Scope, ScoredMemory, TOP_K};
use crate::resilience::Protection;
use crate::types::{Message, Role};

pub(super) use values::{PyMemory, PyMemoryHistory, PyScoredMemory};

/// The models of a memory, its file (default "graphbit_memory.db" in the working folder, ":memory:" for none), and how
/// like a query a memory must be to be found (0 to 1, default 0.7; what lies outside is taken as the nearer end).
#[pyclass(name = "MemoryConfig", module = "graphbit", frozen)]
pub(super) struct PyMemoryConfig {
    settings: MemorySettings,
    /// As they were given, for pickles.
    llm: Py<PyAny>,
    embedding: Py<PyAny>,
    db_path: Option<PathBuf>,
    similarity_threshold: Option<f64>,
}

type ConfigArguments<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Option<PathBuf>, Option<f64>);

#[pymethods]
impl PyMemoryConfig {
    #[new]
    #[pyo3(signature = (llm_config, embedding_config, db_path=None, similarity_threshold=None))]
    fn new(
        llm_config: Bound<'_, PyAny>,
        embedding_config: Bound<'_, PyAny>,
        db_path: Option<GivenPath>,
        similarity_threshold: Option<f64>,
    ) -> PyResult<Self> {
        let db_path = db_path.map(|path| path.0);
        super::logging::doubt();
        let llm: LlmClient = client("llm_config", &llm_config)?;
        let embeddings: EmbeddingClient = client("embedding_config", &embedding_config)?;
        let mut settings = MemorySettings::new(llm, embeddings);
        if let Some(path) = &db_path {
            settings.path.clone_from(path);
        }
        if let Some(threshold) = similarity_threshold {
            settings.similarity_threshold = threshold;
        }
        let (llm, embedding) = (llm_config.unbind(), embedding_config.unbind());
        Ok(Self { settings, llm, embedding, db_path, similarity_threshold })
    }

    /// Pickles as its arguments; the configurations in it leave their keys out.
    fn __getnewargs__<'py>(&self, py: Python<'py>) -> ConfigArguments<'py> {
        let (llm, embedding) = (self.llm.bind(py).clone(), self.embedding.bind(py).clone());
        (llm, embedding, self.db_path.clone(), self.similarity_threshold)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let shown = |given: &Py<PyAny>| exit::inside(py, || given.bind(py).repr());
        Ok(format!(
            "MemoryConfig(llm_config={}, embedding_config={}, db_path={:?}, similarity_threshold={:?})",
            shown(&self.llm)?,
            shown(&self.embedding)?,
            self.settings.path,
            self.settings.similarity_threshold
        ))
    }
}

/// What was given as a client, or a new one with the usual layers.
fn client<C: Layered>(field: &str, given: &Bound<'_, PyAny>) -> PyResult<C> {
    match C::entry(given) {
        Some(Entry::Client((client, _))) => Ok(client),
        Some(Entry::Model(model, _)) => {
            let breaker = C::usual_breaker();
            Ok(C::protected(model, Protection { breaker, ..Protection::default() }))
        }
        None => Err(wrong_type(field, &format!("an {}", C::ENTRIES), given)),
    }
}

/// Long-term memory in a file. Share it freely between threads, event loops and forked children, and the file between
/// processes.
#[pyclass(name = "MemoryClient", module = "graphbit", frozen)]
pub(super) struct PyMemoryClient {
    client: MemoryClient,
}

#[pymethods]
impl PyMemoryClient {
    /// Opens the file, or creates it. Nothing is sent.
    #[new]
    fn new(py: Python<'_>, config: &PyMemoryConfig) -> PyResult<Self> {
        let settings = config.settings.clone();
        Ok(Self { client: bridge::block_on(py, MemoryClient::open(settings))? })
    }

    /// Remembers what is worth it of a conversation, which is a list of (role, text) tuples. Returns what was added
    /// or updated.
    #[pyo3(signature = (messages, user_id=None, agent_id=None, run_id=None))]
    fn add(
        &self,
        py: Python<'_>,
        messages: Listed<(String, String)>,
        user_id: Option<String>,
        agent_id: Option<String>,
        run_id: Option<String>,
    ) -> PyResult<Vec<PyMemory>> {
        let scope = Scope { user_id, agent_id, run_id };
        Ok(memories(bridge::block_on(py, self.added(messages, scope))?))
    }

    /// `add` as an awaitable.
    #[pyo3(signature = (messages, user_id=None, agent_id=None, run_id=None))]
    fn add_async<'py>(
        &self,
        py: Python<'py>,
        messages: Listed<(String, String)>,
        user_id: Option<String>,
        agent_id: Option<String>,
        run_id: Option<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let scope = Scope { user_id, agent_id, run_id };
        promise(py, self.added(messages, scope), memories)
    }

    /// The memories of the scope that are most like the query, best first, `top_k` (default 10) at most.
    #[pyo3(signature = (query, user_id=None, agent_id=None, run_id=None, top_k=None))]
    fn search(
        &self,
        py: Python<'_>,
        query: String,
        user_id: Option<String>,
        agent_id: Option<String>,
        run_id: Option<String>,
        top_k: Option<usize>,
    ) -> PyResult<Vec<PyScoredMemory>> {
        let scope = Scope { user_id, agent_id, run_id };
        Ok(scored(bridge::block_on(py, self.found(query, scope, top_k))?))
    }

    /// `search` as an awaitable.
    #[pyo3(signature = (query, user_id=None, agent_id=None, run_id=None, top_k=None))]
    fn search_async<'py>(
        &self,
        py: Python<'py>,
        query: String,
        user_id: Option<String>,
        agent_id: Option<String>,
        run_id: Option<String>,
        top_k: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let scope = Scope { user_id, agent_id, run_id };
        promise(py, self.found(query, scope, top_k), scored)
    }

    /// The memory of this id, or `None`.
    fn get(&self, py: Python<'_>, memory_id: String) -> PyResult<Option<PyMemory>> {
        let client = self.client.clone();
        let found = bridge::block_on(py, async move { client.get(&memory_id).await })?;
        Ok(found.map(PyMemory))
    }

    /// `get` as an awaitable.
    fn get_async<'py>(&self, py: Python<'py>, memory_id: String) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        let work = async move { client.get(&memory_id).await };
        promise(py, work, |found| found.map(PyMemory))
    }

    /// All memories of the scope, oldest first.
    #[pyo3(signature = (user_id=None, agent_id=None, run_id=None))]
    fn get_all(
        &self,
        py: Python<'_>,
        user_id: Option<String>,
        agent_id: Option<String>,
        run_id: Option<String>,
    ) -> PyResult<Vec<PyMemory>> {
        let (client, scope) = (self.client.clone(), Scope { user_id, agent_id, run_id });
        Ok(memories(bridge::block_on(py, async move { client.get_all(scope).await })?))
    }

    /// `get_all` as an awaitable.
    #[pyo3(signature = (user_id=None, agent_id=None, run_id=None))]
    fn get_all_async<'py>(
        &self,
        py: Python<'py>,
        user_id: Option<String>,
        agent_id: Option<String>,
        run_id: Option<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (client, scope) = (self.client.clone(), Scope { user_id, agent_id, run_id });
        promise(py, async move { client.get_all(scope).await }, memories)
    }

    /// Gives a memory another content.
    fn update(&self, py: Python<'_>, memory_id: String, content: String) -> PyResult<PyMemory> {
        let client = self.client.clone();
        let work = async move { client.update(&memory_id, content).await };
        Ok(PyMemory(bridge::block_on(py, work)?))
    }

    /// `update` as an awaitable.
    fn update_async<'py>(
        &self,
        py: Python<'py>,
        memory_id: String,
        content: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        promise(py, async move { client.update(&memory_id, content).await }, PyMemory)
    }

    /// Deletes a memory, if there is one, and its history too unless that is kept.
    #[pyo3(signature = (memory_id, *, keep_history=true))]
    fn delete(&self, py: Python<'_>, memory_id: String, keep_history: bool) -> PyResult<()> {
        let client = self.client.clone();
        bridge::block_on(py, async move { client.delete(&memory_id, keep_history).await })
    }

    /// `delete` as an awaitable.
    #[pyo3(signature = (memory_id, *, keep_history=true))]
    fn delete_async<'py>(
        &self,
        py: Python<'py>,
        memory_id: String,
        keep_history: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        promise(py, async move { client.delete(&memory_id, keep_history).await }, nothing)
    }

    /// Deletes all memories of the scope, which are all of the file if nothing of it is given.
    #[pyo3(signature = (user_id=None, agent_id=None, run_id=None, *, keep_history=true))]
    fn delete_all(
        &self,
        py: Python<'_>,
        user_id: Option<String>,
        agent_id: Option<String>,
        run_id: Option<String>,
        keep_history: bool,
    ) -> PyResult<()> {
        let (client, scope) = (self.client.clone(), Scope { user_id, agent_id, run_id });
        bridge::block_on(py, async move { client.delete_all(scope, keep_history).await })
    }

    /// `delete_all` as an awaitable.
    #[pyo3(signature = (user_id=None, agent_id=None, run_id=None, *, keep_history=true))]
    fn delete_all_async<'py>(
        &self,
        py: Python<'py>,
        user_id: Option<String>,
        agent_id: Option<String>,
        run_id: Option<String>,
        keep_history: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (client, scope) = (self.client.clone(), Scope { user_id, agent_id, run_id });
        promise(py, async move { client.delete_all(scope, keep_history).await }, nothing)
    }

    /// The changes of a memory, oldest first; of a deleted one, too.
    fn history(&self, py: Python<'_>, memory_id: String) -> PyResult<Vec<PyMemoryHistory>> {
        let client = self.client.clone();
        Ok(changes(bridge::block_on(py, async move { client.history(&memory_id).await })?))
    }

    /// `history` as an awaitable.
    fn history_async<'py>(
        &self,
        py: Python<'py>,
        memory_id: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        promise(py, async move { client.history(&memory_id).await }, changes)
    }

    /// Lets the file go. Every later call fails; closing again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let client = self.client.clone();
        bridge::block_on(py, async move { client.close().await })
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (exc_type=None, exc_val=None, exc_tb=None))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_val: Option<&Bound<'_, PyAny>>,
        exc_tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc_val, exc_tb);
        self.close(py)
    }
}

impl PyMemoryClient {
    fn added(
        &self,
        messages: Listed<(String, String)>,
        scope: Scope,
    ) -> impl Future<Output = Result<Vec<Memory>>> + use<> {
        let client = self.client.clone();
        let said = messages.0.into_iter().map(|(role, text)| {
            let role = match role.as_str() {
                "system" => Role::System,
                "assistant" => Role::Assistant,
                _ => Role::User,
            };
            Message::new(role, text)
        });
        let said = said.collect();
        async move { client.add(said, scope).await }
    }

    fn found(
        &self,
        query: String,
        scope: Scope,
        top_k: Option<usize>,
    ) -> impl Future<Output = Result<Vec<ScoredMemory>>> + use<> {
        let client = self.client.clone();
        async move { client.search(query, scope, top_k.unwrap_or(TOP_K)).await }
    }
}

fn promise<'py, T, V>(
    py: Python<'py>,
    work: impl Future<Output = Result<T>> + Send + 'static,
    convert: fn(T) -> V,
) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    V: for<'p> IntoPyObject<'p, Error: Into<PyErr>> + 'static,
{
    bridge::future_into_py(py, work, move |py, value| {
        let value = convert(value).into_pyobject(py).map_err(Into::into)?;
        Ok(value.into_bound().into_any().unbind())
    })
}

fn memories(found: Vec<Memory>) -> Vec<PyMemory> {
    found.into_iter().map(PyMemory).collect()
}

fn scored(found: Vec<ScoredMemory>) -> Vec<PyScoredMemory> {
    found.into_iter().map(PyScoredMemory).collect()
}

fn changes(found: Vec<Change>) -> Vec<PyMemoryHistory> {
    found.into_iter().map(PyMemoryHistory).collect()
}

/// `None`, which `()` would not become.
fn nothing((): ()) -> Option<PyMemory> {
    None
}
