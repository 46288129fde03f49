//! `stream_events`: everything a streamed answer delivers, as typed events.
//!
//! The iterator shares its engine with [`super::stream`]: what is said there of starting, dropping and
//! errors holds here.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use super::bridge;
use super::chat_response::PyLlmResponse;
use super::chat_types::{PyFinishReason, PyLlmUsage, Reduced, parse, reduced};
use super::stream::Session;
use super::stream_protocol::{awaited, stream_methods};
use super::structured::Reader;
use crate::llm::LlmClient;
use crate::types::{ChatEvent, ChatRequest};

/// One event of a streamed answer. Which fields are set follows from `type`.
#[pyclass(name = "StreamEvent", module = "graphbit", frozen, eq)]
pub(super) struct PyStreamEvent {
    event: ChatEvent,
    /// With the terminal event only.
    response: Option<PyLlmResponse>,
}

impl PartialEq for PyStreamEvent {
    fn eq(&self, other: &Self) -> bool {
        self.event == other.event && self.response == other.response
    }
}

#[pymethods]
impl PyStreamEvent {
    /// "text", "reasoning", "tool_call" or "done".
    #[getter]
    fn r#type(&self) -> &'static str {
        match self.event {
            ChatEvent::Text(_) => "text",
            ChatEvent::Reasoning(_) => "reasoning",
            ChatEvent::ToolCallDelta { .. } => "tool_call",
            ChatEvent::Done { .. } => "done",
        }
    }

    /// A piece of the answer, or of what the model thinks; never empty.
    #[getter]
    fn text(&self) -> Option<&str> {
        match &self.event {
            ChatEvent::Text(text) | ChatEvent::Reasoning(text) => Some(text),
            _ => None,
        }
    }

    /// Which tool call a piece belongs to.
    #[getter]
    fn index(&self) -> Option<usize> {
        match self.event {
            ChatEvent::ToolCallDelta { index, .. } => Some(index),
            _ => None,
        }
    }

    /// The tool call's id, in its first piece.
    #[getter]
    fn id(&self) -> Option<&str> {
        match &self.event {
            ChatEvent::ToolCallDelta { id, .. } => id.as_deref(),
            _ => None,
        }
    }

    /// The tool's name, in the first piece of its call.
    #[getter]
    fn name(&self) -> Option<&str> {
        match &self.event {
            ChatEvent::ToolCallDelta { name, .. } => name.as_deref(),
            _ => None,
        }
    }

    /// The next piece of the JSON text of a tool call's arguments.
    #[getter]
    fn arguments(&self) -> Option<&str> {
        match &self.event {
            ChatEvent::ToolCallDelta { arguments, .. } => Some(arguments),
            _ => None,
        }
    }

    /// Tokens used, if the provider says so.
    #[getter]
    fn usage(&self) -> Option<PyLlmUsage> {
        match &self.event {
            ChatEvent::Done { usage, .. } => usage.map(PyLlmUsage),
            _ => None,
        }
    }

    /// Why the model stopped.
    #[getter]
    fn finish_reason(&self) -> Option<PyFinishReason> {
        match &self.event {
            ChatEvent::Done { finish_reason, .. } => Some(PyFinishReason(finish_reason.clone())),
            _ => None,
        }
    }

    /// What else the provider said: JSON text by key.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let ChatEvent::Done { metadata, .. } = &self.event else { return Ok(None) };
        let dict = PyDict::new(py);
        for (key, value) in metadata {
            dict.set_item(key, value.to_string())?;
        }
        Ok(Some(dict))
    }

    /// The whole answer.
    #[getter]
    fn response(&self) -> Option<PyLlmResponse> {
        self.response.clone()
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.r#type().hash(&mut hasher);
        (self.text(), self.index(), self.id(), self.arguments()).hash(&mut hasher);
        hasher.finish()
    }

    #[classmethod]
    #[pyo3(name = "_restore", signature = (kind, *state))]
    fn restore(
        _class: &Bound<'_, PyType>,
        kind: &str,
        state: &Bound<'_, PyTuple>,
    ) -> PyResult<Self> {
        let mut response = None;
        let event = match kind {
            "text" => ChatEvent::Text(state.get_item(0)?.extract()?),
            "reasoning" => ChatEvent::Reasoning(state.get_item(0)?.extract()?),
            "tool_call" => {
                let (index, id, name, arguments) = state.extract()?;
                ChatEvent::ToolCallDelta { index, id, name, arguments }
            }
            _ => {
                type Done<'py> =
                    (Option<PyLlmUsage>, PyFinishReason, Bound<'py, PyDict>, Option<PyLlmResponse>);
                let (usage, finish_reason, fields, whole): Done<'_> = state.extract()?;
                response = whole;
                let mut metadata = std::collections::BTreeMap::new();
                for (key, value) in fields {
                    metadata.insert(key.extract()?, parse("value", value.extract()?)?);
                }
                let usage = usage.map(|usage| usage.0);
                ChatEvent::Done { usage, finish_reason: finish_reason.0, metadata }
            }
        };
        Ok(Self { event, response })
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        let kind = self.r#type();
        match &self.event {
            ChatEvent::Text(text) | ChatEvent::Reasoning(text) => reduced::<Self>(py, (kind, text)),
            ChatEvent::ToolCallDelta { index, id, name, arguments } => {
                reduced::<Self>(py, (kind, index, id, name, arguments))
            }
            ChatEvent::Done { .. } => {
                let response = self.response();
                let state =
                    (kind, self.usage(), self.finish_reason(), self.metadata(py)?, response);
                reduced::<Self>(py, state)
            }
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let quoted = |text: &str| PyString::new(py, text).repr();
        let fields = match &self.event {
            ChatEvent::Text(text) | ChatEvent::Reasoning(text) => {
                format!("text={}", quoted(text)?)
            }
            ChatEvent::ToolCallDelta { index, id, name, arguments } => {
                let mut fields = format!("index={index}");
                for (field, text) in [("id", id), ("name", name)] {
                    if let Some(text) = text {
                        fields.push_str(&format!(", {field}={}", quoted(text)?));
                    }
                }
                format!("{fields}, arguments={}", quoted(arguments)?)
            }
            ChatEvent::Done { finish_reason, .. } => format!("finish_reason={finish_reason}"),
        };
        Ok(format!("StreamEvent(type='{}', {fields})", self.r#type()))
    }
}

/// The events of one answer. Obtained from a client, never constructed.
#[pyclass(name = "EventIterator", module = "graphbit", frozen)]
pub(super) struct PyEvents(Arc<Session>);

impl PyEvents {
    pub(super) fn new(client: LlmClient, request: ChatRequest, reader: Reader) -> Self {
        Self(Session::new(client, request, reader))
    }

    fn told(session: &Session, event: ChatEvent) -> PyStreamEvent {
        let response = match event {
            ChatEvent::Done { .. } => session.response(),
            _ => None,
        };
        PyStreamEvent { event, response }
    }
}

stream_methods!(PyEvents {
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<PyStreamEvent>> {
        let event = match self.0.ready_event() {
            Some(event) => Some(event),
            None => bridge::block_on(py, self.0.next(Some))?,
        };
        Ok(event.map(|event| Self::told(&self.0, event)))
    }

    fn __anext__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let session = Arc::clone(&self.0);
        awaited(py, self.0.next(Some), move |py, event| {
            let event = Self::told(&session, event);
            Ok(event.into_pyobject(py)?.into_any().unbind())
        })
    }

    /// Ends the stream; the request is cancelled and its connection freed.
    fn close(&self) {
        self.0.close();
    }

    /// The whole answer, once the stream has ended.
    #[getter]
    fn response(&self) -> Option<PyLlmResponse> {
        self.0.response()
    }
});
