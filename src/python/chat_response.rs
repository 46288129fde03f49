//! `LlmResponse`, and how a user's function may answer in its place.
//!
//! Equal when the values are. It may change, and returns itself from `with_*`, so that calls can be
//! chained.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::chat_types::{PyFinishReason, PyLlmToolCall, PyLlmUsage, Reduced, parse, reduced};
use super::json;
use crate::cost;
use crate::types::{ChatResponse, FinishReason};

/// Bytes of content that a response's repr shows.
const SHOWN_CONTENT: usize = 50;

/// A finished answer.
#[pyclass(name = "LlmResponse", module = "graphbit", eq, from_py_object)]
#[derive(Clone)]
pub(super) struct PyLlmResponse {
    pub(super) inner: ChatResponse,
    /// Who answered; unknown for answers made by a program.
    provider: Option<Arc<str>>,
    /// What the content was read as. Never changed, so clones share it.
    parsed: Option<Arc<Py<PyAny>>>,
}

/// By what the provider said: what was read from it, and who it was, follow from that.
impl PartialEq for PyLlmResponse {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl PyLlmResponse {
    /// A provider's answer.
    pub(super) fn answered(mut inner: ChatResponse) -> Self {
        let provider = inner.provider.take();
        // How fast it may be asked is no part of what it says.
        inner.pace = None;
        Self { inner, provider, parsed: None }
    }

    /// The same with what its content was read as.
    pub(super) fn with_parsed(self, parsed: Py<PyAny>) -> Self {
        Self { parsed: Some(Arc::new(parsed)), ..self }
    }

    pub(super) fn provider(&self) -> Option<&str> {
        self.provider.as_deref()
    }
}

/// Everything a response holds, in the order in which `_restore` takes it.
type State<'py> = (
    (String, String, Option<String>),
    Vec<PyLlmToolCall>,
    PyLlmUsage,
    PyFinishReason,
    Bound<'py, PyDict>,
    Option<String>,
    Option<Py<PyAny>>,
    Option<String>,
);

#[pymethods]
impl PyLlmResponse {
    #[new]
    fn new(content: String, model: String) -> Self {
        let inner = ChatResponse { content, model, ..ChatResponse::default() };
        Self { inner, provider: None, parsed: None }
    }

    #[getter]
    fn content(&self) -> &str {
        &self.inner.content
    }

    /// Who answered; `None` for an answer made by a program.
    #[getter(provider)]
    fn get_provider(&self) -> Option<&str> {
        self.provider()
    }

    #[getter]
    fn model(&self) -> &str {
        &self.inner.model
    }

    #[getter]
    fn id(&self) -> Option<&str> {
        self.inner.id.as_deref()
    }

    #[getter]
    fn tool_calls(&self) -> Vec<PyLlmToolCall> {
        self.inner.tool_calls.iter().map(PyLlmToolCall::from).collect()
    }

    /// A copy.
    #[getter]
    fn usage(&self) -> PyLlmUsage {
        PyLlmUsage(self.inner.usage)
    }

    #[getter]
    fn finish_reason(&self) -> PyFinishReason {
        PyFinishReason(self.inner.finish_reason.clone())
    }

    /// JSON text by key.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (key, value) in &self.inner.metadata {
            dict.set_item(key, value.to_string())?;
        }
        Ok(dict)
    }

    /// The server's whole answer, if it was asked for.
    #[getter]
    fn raw<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.inner.raw.as_deref().map(|text| json::loads(py, text)).transpose()
    }

    /// What the content was read as, if a format was asked for.
    #[getter]
    fn parsed(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.parsed.as_ref().map(|parsed| parsed.clone_ref(py))
    }

    /// US dollars, by the prices in force.
    #[getter]
    fn cost(&self) -> Option<f64> {
        cost::of(self.provider(), &self.inner)
    }

    fn has_tool_calls(&self) -> bool {
        !self.inner.tool_calls.is_empty()
    }

    fn is_truncated(&self) -> bool {
        self.inner.finish_reason == FinishReason::Length
    }

    fn total_tokens(&self) -> u64 {
        self.inner.usage.total_tokens
    }

    fn with_usage(mut slf: PyRefMut<'_, Self>, usage: PyLlmUsage) -> PyRefMut<'_, Self> {
        slf.inner.usage = usage.0;
        slf
    }

    /// Replaces the calls.
    fn with_tool_calls(
        mut slf: PyRefMut<'_, Self>,
        tool_calls: Vec<PyLlmToolCall>,
    ) -> PyResult<PyRefMut<'_, Self>> {
        slf.inner.tool_calls =
            tool_calls.into_iter().map(PyLlmToolCall::into_core).collect::<PyResult<_>>()?;
        Ok(slf)
    }

    fn with_finish_reason(
        mut slf: PyRefMut<'_, Self>,
        finish_reason: PyFinishReason,
    ) -> PyRefMut<'_, Self> {
        slf.inner.finish_reason = finish_reason.0;
        slf
    }

    fn with_id(mut slf: PyRefMut<'_, Self>, id: String) -> PyRefMut<'_, Self> {
        slf.inner.id = Some(id);
        slf
    }

    /// Adds one entry; `value` is JSON text.
    fn with_metadata<'py>(
        mut slf: PyRefMut<'py, Self>,
        key: String,
        value: &str,
    ) -> PyResult<PyRefMut<'py, Self>> {
        let value = parse("value", value)?;
        slf.inner.metadata.insert(key, value);
        Ok(slf)
    }

    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("content", &self.inner.content)?;
        dict.set_item("model", &self.inner.model)?;
        dict.set_item("id", &self.inner.id)?;
        let calls: Vec<_> =
            self.tool_calls().iter().map(|call| call.to_dict(py)).collect::<PyResult<_>>()?;
        dict.set_item("tool_calls", calls)?;
        dict.set_item("usage", self.usage().to_dict(py)?)?;
        dict.set_item("finish_reason", self.inner.finish_reason.as_str())?;
        dict.set_item("metadata", self.metadata(py)?)?;
        Ok(dict)
    }

    #[classmethod]
    #[pyo3(name = "_restore", signature = (*state))]
    fn restore(_class: &Bound<'_, PyType>, state: &Bound<'_, PyTuple>) -> PyResult<Self> {
        let state: State<'_> = state.extract()?;
        let (texts, tool_calls, usage, finish_reason, metadata, raw, parsed, provider) = state;
        let (content, model, id) = texts;
        let mut inner = ChatResponse { id, raw, ..Self::new(content, model).inner };
        inner.tool_calls =
            tool_calls.into_iter().map(PyLlmToolCall::into_core).collect::<PyResult<_>>()?;
        inner.usage = usage.0;
        inner.finish_reason = finish_reason.0;
        for (key, value) in metadata {
            let value = parse("value", value.extract()?)?;
            inner.metadata.insert(key.extract()?, value);
        }
        let (provider, parsed) = (provider.map(Arc::from), parsed.map(Arc::new));
        Ok(Self { inner, provider, parsed })
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        let inner = &self.inner;
        let state: State<'py> = (
            (inner.content.clone(), inner.model.clone(), inner.id.clone()),
            self.tool_calls(),
            self.usage(),
            self.finish_reason(),
            self.metadata(py)?,
            inner.raw.clone(),
            self.parsed(py),
            self.provider().map(str::to_owned),
        );
        reduced::<Self>(py, state)
    }

    fn __repr__(&self) -> String {
        let content = &self.inner.content;
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
            self.inner.model, self.inner.usage.total_tokens, self.inner.finish_reason
        )
    }
}

/// Reads what a user's function answered: text, a mapping, or an `LlmResponse`.
pub(super) fn read_answer(answer: &Bound<'_, PyAny>, model: &str) -> PyResult<ChatResponse> {
    if let Ok(text) = answer.extract::<String>() {
        return Ok(PyLlmResponse::new(text, model.to_owned()).inner);
    }
    if let Ok(response) = answer.extract::<PyLlmResponse>() {
        return Ok(response.inner);
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
