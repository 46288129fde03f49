//! Models behind other people's Python libraries: `huggingface_hub` and `litellm`.
//!
//! A configuration keeps one object of a class of `graphbit.providers`, found by its name when the
//! configuration is made, so that a program may put a class of its own in its place. Each request is one
//! call of that object on a callback thread, never on a worker. It refuses to stream, and to let the
//! key into a text.
//!
//! ```ignore
//! let model = bridged::chat(py, &bridged::LITELLM, key, model, &connection)?;
//! Ok(PyLlmConfig::from_model(model))
//! ```

mod answer;
mod failure;
mod vectors;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pyo3::exceptions::{PyAttributeError, PyImportError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use self::failure::refused;
use self::vectors::BridgedEmbedding;
use super::given::import;
use super::{bridge, exit};
use crate::dialect::openai_chat::{self, Wire};
use crate::embeddings::EmbeddingModel;
use crate::error::{Advice, Kind, Result};
use crate::http::Secrets;
use crate::llm::{BoxFuture, ChatModel};
use crate::providers::{Connection, LlmConfig, check_key};
use crate::secret::ApiKey;
use crate::types::{ChatRequest, ChatResponse};

/// What GraphBit calls every such provider.
const PROVIDER: &str = "python_bridge";
const BLAME: &str = "Core error: LLM provider error: python_bridge - ";

/// One library: where its classes are, and what it calls the arguments that all providers share.
pub(super) struct Backend {
    /// Its name in messages.
    label: &'static str,
    /// Its package in `graphbit.providers`.
    package: &'static str,
    shortest_key: usize,
    /// Class and default model.
    chat: (&'static str, &'static str),
    embeddings: (&'static str, &'static str),
    /// What it calls `base_url` and `headers`.
    address: &'static str,
    headers: &'static str,
    /// Takes fields that the library does not know as one argument, `extra_body`.
    extra_body: bool,
    /// GraphBit keeps such configurations in a registry, and `cleanup()` says so once.
    registered: bool,
}

/// Hugging Face's inference providers.
pub(super) static HUGGINGFACE: Backend = Backend {
    label: "HuggingFace",
    package: "huggingface",
    shortest_key: 10,
    chat: ("HuggingfaceLLM", "microsoft/DialoGPT-medium"),
    embeddings: ("HuggingfaceEmbeddings", "sentence-transformers/all-MiniLM-L6-v2"),
    address: "base_url",
    headers: "headers",
    extra_body: true,
    registered: true,
};

/// Whatever litellm speaks to.
pub(super) static LITELLM: Backend = Backend {
    label: "LiteLLM",
    package: "litellm",
    shortest_key: 8,
    chat: ("LiteLLMLLM", "gpt-3.5-turbo"),
    embeddings: ("LiteLLMEmbeddings", "text-embedding-3-small"),
    address: "api_base",
    headers: "extra_headers",
    extra_body: false,
    registered: false,
};

/// A chat model over the backend's class. `ImportError`, `AttributeError` or `RuntimeError`, as in
/// GraphBit, when the class cannot be had or made.
pub(super) fn chat(
    py: Python<'_>,
    backend: &'static Backend,
    key: Option<String>,
    model: Option<String>,
    connection: &Connection,
) -> PyResult<Arc<dyn ChatModel>> {
    let (class, default_model) = backend.chat;
    let model = model.unwrap_or_else(|| default_model.to_owned());
    let wrapped = Wrapped::new(py, backend, ("llm", class), key, model, connection)?;
    let registered = AtomicBool::new(backend.registered);
    Ok(Arc::new(BridgedChat { wrapped: Arc::new(wrapped), backend, registered }))
}

/// An embedding model over the backend's class; see [`chat`].
pub(super) fn embeddings(
    py: Python<'_>,
    backend: &'static Backend,
    key: String,
    model: Option<String>,
    connection: &Connection,
) -> PyResult<Arc<dyn EmbeddingModel>> {
    let (class, default_model) = backend.embeddings;
    let model = model.unwrap_or_else(|| default_model.to_owned());
    let wrapped = Wrapped::new(py, backend, ("embeddings", class), Some(key), model, connection)?;
    Ok(Arc::new(BridgedEmbedding::new(wrapped)))
}

/// What `cleanup()` answers: `true` once for a configuration that GraphBit would have registered. The
/// object stays, because clients made from the configuration use it.
pub(super) fn cleanup(config: &LlmConfig) -> bool {
    let model = config.model();
    let model: &dyn Any = model.as_ref();
    model
        .downcast_ref::<BridgedChat>()
        .is_some_and(|chat| chat.registered.swap(false, Ordering::Relaxed))
}

/// `text` without `key`, in whatever form it is quoted. For the wrapper classes, which are Python.
#[pyfunction]
pub(super) fn without_key(text: String, key: String) -> String {
    ApiKey::new(key).redact(text)
}

/// An object of a wrapper class, and what its calls need.
struct Wrapped {
    object: Py<PyAny>,
    /// The key, and the credentials in headers.
    secrets: Secrets,
    model: String,
    /// The library keeps it; here it only stretches the deadline of a call with its retries.
    limit: Option<Duration>,
}

impl Wrapped {
    fn new(
        py: Python<'_>,
        backend: &Backend,
        (module, class): (&str, &str),
        key: Option<String>,
        model: String,
        connection: &Connection,
    ) -> PyResult<Self> {
        let key = key.map(ApiKey::new);
        if let Some(key) = &key {
            check_key(backend.label, backend.shortest_key, key)?;
        }
        let options = PyDict::new(py);
        if let Some(base_url) = &connection.base_url {
            options.set_item(backend.address, base_url)?;
        }
        if let Some(timeout) = connection.timeout {
            options.set_item("timeout", timeout.as_secs_f64())?;
        }
        if !connection.headers.is_empty() {
            let headers = PyDict::new(py);
            for (name, value) in &connection.headers {
                headers.set_item(name, value)?;
            }
            options.set_item(backend.headers, headers)?;
        }
        let positional = PyTuple::new(py, key.as_ref().map(ApiKey::expose))?;
        let mut secrets = Secrets::default();
        for (name, value) in &connection.headers {
            secrets.add_header(name, value);
        }
        if let Some(key) = key {
            secrets.add(key);
        }

        let path = format!("graphbit.providers.{}.{module}", backend.package);
        let found = import(py, &path).map_err(|raised| {
            let part = if module == "embeddings" { " embeddings" } else { "" };
            let what = format!("Failed to import {}{part} module", backend.label);
            refused::<PyImportError>(py, &what, raised, &secrets)
        })?;
        let found = exit::inside(py, || found.getattr(class)).map_err(|raised| {
            let what = format!("Failed to get {class} class");
            refused::<PyAttributeError>(py, &what, raised, &secrets)
        })?;
        let made = exit::inside(py, || found.call(positional, Some(&options)));
        let object = made.map_err(|raised| {
            let what = format!("Failed to create {class} instance");
            refused::<PyRuntimeError>(py, &what, raised, &secrets)
        })?;
        Ok(Self { object: object.unbind(), secrets, model, limit: connection.timeout })
    }

    /// One call of a method on a callback thread; `read` gets what it returned, there.
    async fn call<T, A, R>(self: &Arc<Self>, method: Method, arguments: A, read: R) -> Result<T>
    where
        T: Send + 'static,
        A: for<'py> FnOnce(Python<'py>) -> PyResult<Arguments<'py>> + Send + 'static,
        R: FnOnce(&Bound<'_, PyAny>, &Self) -> Result<T> + Send + 'static,
    {
        let wrapped = Arc::clone(self);
        bridge::call_python(move |py| {
            let (positional, options) = arguments(py)?;
            let object = wrapped.object.bind(py);
            match object.call_method(method.name, positional, Some(&options)) {
                Ok(answer) => Ok(read(&answer, &wrapped)),
                Err(raised) => {
                    failure::failed(py, raised, method.failure, &wrapped.secrets).map(Err)
                }
            }
        })
        .await
        .flatten()
    }
}

type Arguments<'py> = (Bound<'py, PyTuple>, Bound<'py, PyDict>);

/// A method, and how a failure of it begins.
#[derive(Clone, Copy)]
struct Method {
    name: &'static str,
    failure: &'static str,
}

const CHAT: Method = Method { name: "chat", failure: "Python call failed" };

struct BridgedChat {
    wrapped: Arc<Wrapped>,
    backend: &'static Backend,
    registered: AtomicBool,
}

impl ChatModel for BridgedChat {
    fn provider(&self) -> &str {
        PROVIDER
    }

    fn model(&self) -> &str {
        &self.wrapped.model
    }

    fn attempt_limit(&self) -> Option<Duration> {
        self.wrapped.limit
    }

    fn complete<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatResponse>> {
        Box::pin(async {
            self.ask(request).await.map_err(|error| {
                let error = error.with_prefix(BLAME).with_provider(PROVIDER);
                match error.kind() {
                    // The model may still be at work on it: asking again would pay twice.
                    Kind::Timeout => error.with_advice(Advice::Never),
                    _ => error,
                }
            })
        })
    }
}

impl BridgedChat {
    async fn ask(&self, request: &ChatRequest) -> Result<ChatResponse> {
        let wrapped = &self.wrapped;
        let mut extra_body = None;
        let body = match &request.extra_body {
            Some(fields) if self.backend.extra_body => {
                extra_body = Some(serde_json::Value::from(fields.clone()).to_string());
                let rest = ChatRequest { extra_body: None, ..request.clone() };
                openai_chat::encode(&Wire::COMMON, &wrapped.model, &rest, false)?
            }
            _ => openai_chat::encode(&Wire::COMMON, &wrapped.model, request, false)?,
        };
        let keep_raw = request.keep_raw;
        let read = move |answer: &Bound<'_, PyAny>, wrapped: &Wrapped| {
            answer::read(answer, &wrapped.model, keep_raw)
                .unwrap_or_else(|| Err(answer::unreadable(answer, &wrapped.secrets)))
        };
        wrapped.call(CHAT, move |py| chat_arguments(py, &body, extra_body), read).await
    }
}

/// Messages and options are what would have been sent to a server.
fn chat_arguments<'py>(
    py: Python<'py>,
    body: &[u8],
    extra_body: Option<String>,
) -> PyResult<Arguments<'py>> {
    let loads = py.import("json")?.getattr("loads")?;
    let options = loads.call1((PyBytes::new(py, body),))?.cast_into::<PyDict>()?;
    let model = options.call_method1("pop", ("model",))?;
    let messages = options.call_method1("pop", ("messages",))?;
    if let Some(fields) = extra_body {
        options.set_item("extra_body", loads.call1((fields,))?)?;
    }
    Ok((PyTuple::new(py, [model, messages])?, options))
}
