//! The small value types of chat: usage, finish reason, tool call.
//!
//! Equal when their values are; hashable where they cannot change. They pickle through a private class
//! method each, because what they hold is not what their constructors take.

use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use serde_json::Value;

use crate::types::{FinishReason, ToolCall, Usage};

/// What `__reduce__` returns: how to make an equal object elsewhere.
pub(super) type Reduced<'py> = (Bound<'py, PyAny>, Bound<'py, PyTuple>);

/// `__reduce__` of a class whose `_restore` takes `state`.
pub(super) fn reduced<'py, T: PyTypeInfo>(
    py: Python<'py>,
    state: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error = PyErr>,
) -> PyResult<Reduced<'py>> {
    Ok((py.get_type::<T>().getattr("_restore")?, state.into_pyobject(py)?))
}

/// Tokens of one request, or a sum over several.
#[pyclass(name = "LlmUsage", module = "graphbit", eq, from_py_object)]
#[derive(Clone, Copy, PartialEq)]
pub(super) struct PyLlmUsage(pub(super) Usage);

#[pymethods]
impl PyLlmUsage {
    #[new]
    fn new(prompt_tokens: u32, completion_tokens: u32) -> Self {
        Self(Usage::new(prompt_tokens.into(), completion_tokens.into()))
    }

    /// All zero.
    #[staticmethod]
    fn empty() -> Self {
        Self(Usage::default())
    }

    /// Reads `prompt_tokens` and `completion_tokens`; other keys are ignored.
    #[staticmethod]
    fn from_dict(data: &Bound<'_, PyDict>) -> PyResult<Self> {
        let count = |key: &str| -> PyResult<u32> {
            let value = data.get_item(key)?;
            value.ok_or_else(|| PyKeyError::new_err(format!("Missing '{key}'")))?.extract()
        };
        Ok(Self::new(count("prompt_tokens")?, count("completion_tokens")?))
    }

    #[getter]
    fn prompt_tokens(&self) -> u64 {
        self.0.prompt_tokens
    }

    #[getter]
    fn completion_tokens(&self) -> u64 {
        self.0.completion_tokens
    }

    #[getter]
    fn total_tokens(&self) -> u64 {
        self.0.total_tokens
    }

    #[getter]
    fn cache_read_tokens(&self) -> Option<u64> {
        self.0.cache_read_tokens
    }

    #[getter]
    fn cache_creation_tokens(&self) -> Option<u64> {
        self.0.cache_creation_tokens
    }

    /// Part of the completion spent on reasoning, where the provider reports it.
    #[getter]
    fn reasoning_tokens(&self) -> Option<u64> {
        self.0.reasoning_tokens
    }

    #[expect(clippy::wrong_self_convention, reason = "a method in Python")]
    pub(super) fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("prompt_tokens", self.0.prompt_tokens)?;
        dict.set_item("completion_tokens", self.0.completion_tokens)?;
        dict.set_item("total_tokens", self.0.total_tokens)?;
        dict.set_item("cache_read_tokens", self.0.cache_read_tokens)?;
        dict.set_item("cache_creation_tokens", self.0.cache_creation_tokens)?;
        Ok(dict)
    }

    /// Adds `other` in place.
    fn add(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) {
        // Copied out first, so that a usage can be added to itself.
        let other = other.borrow().0;
        let mut usage = slf.borrow_mut();
        usage.0 = usage.0.plus(&other);
    }

    fn __add__(&self, other: &Self) -> Self {
        Self(self.0.plus(&other.0))
    }

    fn __iadd__(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) {
        Self::add(slf, other);
    }

    #[classmethod]
    #[pyo3(name = "_restore")]
    fn restore(
        _class: &Bound<'_, PyType>,
        tokens: (u64, u64, u64),
        parts: (Option<u64>, Option<u64>, Option<u64>),
    ) -> Self {
        let (prompt_tokens, completion_tokens, total_tokens) = tokens;
        let (cache_read_tokens, cache_creation_tokens, reasoning_tokens) = parts;
        Self(Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens,
            cache_read_tokens,
            cache_creation_tokens,
            reasoning_tokens,
        })
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        let usage = &self.0;
        let tokens = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens);
        let parts = (usage.cache_read_tokens, usage.cache_creation_tokens, usage.reasoning_tokens);
        reduced::<Self>(py, (tokens, parts))
    }

    fn __repr__(&self) -> String {
        let usage = &self.0;
        let mut text = format!(
            "LlmUsage(prompt_tokens={}, completion_tokens={}, total_tokens={}",
            usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
        );
        for (name, count) in [
            ("cache_read_tokens", usage.cache_read_tokens),
            ("cache_creation_tokens", usage.cache_creation_tokens),
        ] {
            if let Some(count) = count {
                text.push_str(&format!(", {name}={count}"));
            }
        }
        text.push(')');
        text
    }
}

/// Why the model stopped.
#[pyclass(name = "FinishReason", module = "graphbit", frozen, eq, hash, from_py_object)]
#[derive(Clone, PartialEq, Hash)]
pub(super) struct PyFinishReason(pub(super) FinishReason);

#[pymethods]
impl PyFinishReason {
    #[staticmethod]
    fn stop() -> Self {
        Self(FinishReason::Stop)
    }

    #[staticmethod]
    fn length() -> Self {
        Self(FinishReason::Length)
    }

    #[staticmethod]
    fn tool_calls() -> Self {
        Self(FinishReason::ToolCalls)
    }

    #[staticmethod]
    fn content_filter() -> Self {
        Self(FinishReason::ContentFilter)
    }

    #[staticmethod]
    fn error() -> Self {
        Self(FinishReason::Error)
    }

    /// A provider's own word. `other("stop")` prints like `stop()` but is not a natural stop.
    #[staticmethod]
    fn other(reason: String) -> Self {
        Self(FinishReason::Other(reason))
    }

    fn is_natural_stop(&self) -> bool {
        matches!(self.0, FinishReason::Stop | FinishReason::ToolCalls)
    }

    fn is_truncated(&self) -> bool {
        self.0 == FinishReason::Length
    }

    fn is_error(&self) -> bool {
        matches!(self.0, FinishReason::ContentFilter | FinishReason::Error)
    }

    fn to_string(&self) -> &str {
        self.0.as_str()
    }

    /// `word` names a reason of its own unless `other` says that it is a provider's.
    #[classmethod]
    #[pyo3(name = "_restore")]
    fn restore(_class: &Bound<'_, PyType>, word: String, other: bool) -> Self {
        Self(if other { FinishReason::Other(word) } else { FinishReason::from_word(&word) })
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        reduced::<Self>(py, (self.0.as_str(), matches!(self.0, FinishReason::Other(_))))
    }

    fn __str__(&self) -> &str {
        self.0.as_str()
    }

    fn __repr__(&self) -> String {
        format!("FinishReason({})", self.0)
    }
}

/// A call the model asked for; `parameters` is JSON text with sorted keys.
#[pyclass(name = "LlmToolCall", module = "graphbit", frozen, eq, hash, from_py_object)]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct PyLlmToolCall {
    #[pyo3(get)]
    id: String,
    #[pyo3(get)]
    name: String,
    #[pyo3(get)]
    parameters: String,
    /// Sent back with the call; nothing a program reads.
    signature: Option<String>,
}

impl From<&ToolCall> for PyLlmToolCall {
    fn from(call: &ToolCall) -> Self {
        Self {
            id: call.id.clone(),
            name: call.name.clone(),
            parameters: call.arguments.to_string(),
            signature: call.signature.clone(),
        }
    }
}

impl PyLlmToolCall {
    pub(super) fn into_core(self) -> PyResult<ToolCall> {
        let arguments = parse("parameters", &self.parameters)?;
        Ok(ToolCall { signature: self.signature, ..ToolCall::new(self.id, self.name, arguments) })
    }
}

#[pymethods]
impl PyLlmToolCall {
    #[new]
    fn new(id: String, name: String, parameters: &str) -> PyResult<Self> {
        let parameters = parse("parameters", parameters)?.to_string();
        Ok(Self { id, name, parameters, signature: None })
    }

    pub(super) fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("id", &self.id)?;
        dict.set_item("name", &self.name)?;
        dict.set_item("parameters", &self.parameters)?;
        Ok(dict)
    }

    #[classmethod]
    #[pyo3(name = "_restore")]
    fn restore(
        _class: &Bound<'_, PyType>,
        id: String,
        name: String,
        parameters: String,
        signature: Option<String>,
    ) -> Self {
        Self { id, name, parameters, signature }
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        reduced::<Self>(py, (&self.id, &self.name, &self.parameters, &self.signature))
    }

    fn __repr__(&self) -> String {
        let Self { id, name, parameters, .. } = self;
        format!("LlmToolCall(id='{id}', name='{name}', parameters={parameters})")
    }
}

pub(super) fn parse(what: &str, json: &str) -> PyResult<Value> {
    serde_json::from_str(json)
        .map_err(|reason| PyValueError::new_err(format!("Invalid JSON {what}: {reason}")))
}
