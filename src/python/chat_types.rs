//! Value types of chat: usage, finish reason, tool call, response.
//!
//! Equal when their values are; hashable where they cannot change. What may change (`LlmUsage`,
//! `LlmResponse`) returns itself from `with_*`, so that calls can be chained.

use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::Value;

use crate::types::{ChatResponse, FinishReason, ToolCall, Usage};

/// Bytes of content that a response's repr shows.
const SHOWN_CONTENT: usize = 50;

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
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
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
    fn into_core(self) -> PyResult<ToolCall> {
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

    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("id", &self.id)?;
        dict.set_item("name", &self.name)?;
        dict.set_item("parameters", &self.parameters)?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        let Self { id, name, parameters, .. } = self;
        format!("LlmToolCall(id='{id}', name='{name}', parameters={parameters})")
    }
}

/// A finished answer.
#[pyclass(name = "LlmResponse", module = "graphbit", eq, from_py_object)]
#[derive(Clone, PartialEq)]
pub(super) struct PyLlmResponse(pub(super) ChatResponse);

#[pymethods]
impl PyLlmResponse {
    #[new]
    fn new(content: String, model: String) -> Self {
        Self(ChatResponse { content, model, ..ChatResponse::default() })
    }

    #[getter]
    fn content(&self) -> &str {
        &self.0.content
    }

    #[getter]
    fn model(&self) -> &str {
        &self.0.model
    }

    #[getter]
    fn id(&self) -> Option<&str> {
        self.0.id.as_deref()
    }

    #[getter]
    fn tool_calls(&self) -> Vec<PyLlmToolCall> {
        self.0.tool_calls.iter().map(PyLlmToolCall::from).collect()
    }

    /// A copy.
    #[getter]
    fn usage(&self) -> PyLlmUsage {
        PyLlmUsage(self.0.usage)
    }

    #[getter]
    fn finish_reason(&self) -> PyFinishReason {
        PyFinishReason(self.0.finish_reason.clone())
    }

    /// JSON text by key.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (key, value) in &self.0.metadata {
            dict.set_item(key, value.to_string())?;
        }
        Ok(dict)
    }

    fn has_tool_calls(&self) -> bool {
        !self.0.tool_calls.is_empty()
    }

    fn is_truncated(&self) -> bool {
        self.0.finish_reason == FinishReason::Length
    }

    fn total_tokens(&self) -> u64 {
        self.0.usage.total_tokens
    }

    fn with_usage(mut slf: PyRefMut<'_, Self>, usage: PyLlmUsage) -> PyRefMut<'_, Self> {
        slf.0.usage = usage.0;
        slf
    }

    /// Replaces the calls.
    fn with_tool_calls(
        mut slf: PyRefMut<'_, Self>,
        tool_calls: Vec<PyLlmToolCall>,
    ) -> PyResult<PyRefMut<'_, Self>> {
        slf.0.tool_calls =
            tool_calls.into_iter().map(PyLlmToolCall::into_core).collect::<PyResult<_>>()?;
        Ok(slf)
    }

    fn with_finish_reason(
        mut slf: PyRefMut<'_, Self>,
        finish_reason: PyFinishReason,
    ) -> PyRefMut<'_, Self> {
        slf.0.finish_reason = finish_reason.0;
        slf
    }

    fn with_id(mut slf: PyRefMut<'_, Self>, id: String) -> PyRefMut<'_, Self> {
        slf.0.id = Some(id);
        slf
    }

    /// Adds one entry; `value` is JSON text.
    fn with_metadata<'py>(
        mut slf: PyRefMut<'py, Self>,
        key: String,
        value: &str,
    ) -> PyResult<PyRefMut<'py, Self>> {
        let value = parse("value", value)?;
        slf.0.metadata.insert(key, value);
        Ok(slf)
    }

    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("content", &self.0.content)?;
        dict.set_item("model", &self.0.model)?;
        dict.set_item("id", &self.0.id)?;
        let calls: Vec<_> =
            self.tool_calls().iter().map(|call| call.to_dict(py)).collect::<PyResult<_>>()?;
        dict.set_item("tool_calls", calls)?;
        dict.set_item("usage", self.usage().to_dict(py)?)?;
        dict.set_item("finish_reason", self.0.finish_reason.as_str())?;
        dict.set_item("metadata", self.metadata(py)?)?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        let content = &self.0.content;
        // The longest start of at most that many bytes that ends between two characters.
        let end = (0..=SHOWN_CONTENT).rev().find(|&end| content.is_char_boundary(end));
        let shown = if content.len() > SHOWN_CONTENT {
            content.get(..end.unwrap_or_default()).unwrap_or_default()
        } else {
            content
        };
        let more = if content.len() > SHOWN_CONTENT { "..." } else { "" };
        format!(
            "LlmResponse(content='{shown}{more}...', model='{}', usage=LlmUsage(total={}), finish_reason={})",
            self.0.model, self.0.usage.total_tokens, self.0.finish_reason
        )
    }
}

fn parse(what: &str, json: &str) -> PyResult<Value> {
    serde_json::from_str(json)
        .map_err(|reason| PyValueError::new_err(format!("Invalid JSON {what}: {reason}")))
}

/// Reads what a user's function answered: text, a mapping, or an `LlmResponse`.
pub(super) fn read_answer(answer: &Bound<'_, PyAny>, model: &str) -> PyResult<ChatResponse> {
    if let Ok(text) = answer.extract::<String>() {
        return Ok(PyLlmResponse::new(text, model.to_owned()).0);
    }
    if let Ok(response) = answer.extract::<PyLlmResponse>() {
        return Ok(response.0);
    }
    let mapping = answer.py().import("collections.abc")?.getattr("Mapping")?;
    if !answer.is_instance(&mapping)? {
        let class = answer.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "the function must return a str, a mapping or an LlmResponse, not '{class}'"
        )));
    }
    // Through JSON, so that a mapping is read by the same tolerant decoder as a server's answer.
    let plain = PyDict::new(answer.py());
    plain.call_method1("update", (answer,))?;
    let body: String = answer.py().import("json")?.call_method1("dumps", (plain,))?.extract()?;
    Ok(crate::dialect::openai_chat::decode_mapping(model, body.as_bytes())?)
}
