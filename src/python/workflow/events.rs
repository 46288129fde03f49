//! `WorkflowStreamIterator`: the events of a run, for `for` and `async for`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::super::bridge;
use super::result::PyWorkflowResult;
use super::surroundings::Surroundings;
use crate::python::stream_protocol::{awaited, stream_methods};
use crate::workflow::{Event, EventKind, Events, NodeName, rfc3339};

/// The events of a run that has begun. Dropping or closing it ends the run.
#[pyclass(name = "WorkflowStreamIterator", module = "graphbit", frozen)]
pub(in super::super) struct PyWorkflowStream {
    events: Events,
    surroundings: Arc<Surroundings>,
    exhausted: Arc<AtomicBool>,
}

impl PyWorkflowStream {
    pub(super) fn new(events: Events, surroundings: Arc<Surroundings>) -> Self {
        Self { events, surroundings, exhausted: Arc::default() }
    }
}

stream_methods!(PyWorkflowStream {
    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let event = match self.events.ready() {
            Some(event) => Some(event),
            None => bridge::block_on(py, self.events.next())?,
        };
        self.exhausted.store(event.is_none(), Ordering::Relaxed);
        event.map(|event| told(py, event)).transpose()
    }

    fn __anext__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.surroundings.keeps_turning();
        let (exhausted, next) = (Arc::clone(&self.exhausted), self.events.next());
        let next = async move {
            let event = next.await?;
            exhausted.store(event.is_none(), Ordering::Relaxed);
            Ok(event)
        };
        awaited(py, next, |py, event| Ok(told(py, event)?.into_any().unbind()))
    }

    /// What has become of the nodes so far, however the run ended; `None` before it has begun.
    #[getter]
    fn result(&self) -> Option<PyWorkflowResult> {
        self.events.result().map(PyWorkflowResult)
    }

    /// Ends the run; its requests are cancelled.
    fn close(&self) {
        self.events.close();
        self.exhausted.store(true, Ordering::Relaxed);
    }

    fn __repr__(&self) -> &'static str {
        match self.exhausted.load(Ordering::Relaxed) {
            true => "WorkflowStreamIterator(exhausted)",
            false => "WorkflowStreamIterator(active)",
        }
    }
});

/// An event as a dict: `time`, `category`, `phase`, `event`, and what the event has to say.
fn told(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    let begin = |category: &str, phase: &str, name: &str| {
        dict.set_item("time", rfc3339(event.time))?;
        dict.set_item("category", category)?;
        dict.set_item("phase", phase)?;
        dict.set_item("event", name)
    };
    let of_node = |phase: &str, name: &str, node: &NodeName| {
        let (category, _) = name.split_once('_').unwrap_or(("llm", ""));
        begin(category, phase, name)?;
        dict.set_item("node_id", &*node.id)?;
        dict.set_item("node_name", &*node.name)
    };
    match event.kind {
        EventKind::WorkflowStarted { workflow_id, workflow_name, total_nodes } => {
            begin("workflow", "started", "workflow_started")?;
            dict.set_item("workflow_id", workflow_id)?;
            dict.set_item("workflow_name", workflow_name)?;
            dict.set_item("total_nodes", total_nodes)?;
        }
        EventKind::NodeStarted { node } => of_node("started", "node_started", &node)?,
        EventKind::NodeCompleted { node, output } => {
            of_node("completed", "node_completed", &node)?;
            dict.set_item("output", output)?;
        }
        EventKind::NodeFailed { node, error, error_type } => {
            of_node("failed", "node_failed", &node)?;
            dict.set_item("error", error)?;
            dict.set_item("error_type", error_type)?;
        }
        EventKind::Token { node, llm_call_id, content } => {
            of_node("token", "token", &node)?;
            dict.set_item("llm_call_id", llm_call_id)?;
            dict.set_item("content", content)?;
        }
        EventKind::LlmCallStarted { node, llm_call_id, iteration, model } => {
            of_node("started", "llm_call_started", &node)?;
            dict.set_item("llm_call_id", llm_call_id)?;
            dict.set_item("iteration", iteration)?;
            dict.set_item("model", model)?;
        }
        EventKind::LlmCallCompleted {
            node,
            llm_call_id,
            iteration,
            finish_reason,
            output,
            duration_ms,
        } => {
            of_node("completed", "llm_call_completed", &node)?;
            dict.set_item("llm_call_id", llm_call_id)?;
            dict.set_item("iteration", iteration)?;
            dict.set_item("finish_reason", finish_reason)?;
            dict.set_item("output", output)?;
            dict.set_item("duration_ms", duration_ms)?;
        }
        EventKind::ToolCallStarted { node, tool_name, tool_call_id, parameters } => {
            of_node("started", "tool_call_started", &node)?;
            dict.set_item("tool_name", tool_name)?;
            dict.set_item("tool_call_id", tool_call_id)?;
            dict.set_item("parameters", parameters)?;
        }
        EventKind::ToolCallCompleted { node, tool_name, tool_call_id, output, duration_ms } => {
            of_node("completed", "tool_call_completed", &node)?;
            dict.set_item("tool_name", tool_name)?;
            dict.set_item("tool_call_id", tool_call_id)?;
            dict.set_item("output", output)?;
            dict.set_item("duration_ms", duration_ms)?;
        }
        EventKind::ToolCallFailed { node, tool_name, tool_call_id, error, error_type } => {
            of_node("failed", "tool_call_failed", &node)?;
            dict.set_item("tool_name", tool_name)?;
            dict.set_item("tool_call_id", tool_call_id)?;
            dict.set_item("error", error)?;
            dict.set_item("error_type", error_type)?;
        }
        EventKind::WorkflowCompleted { result, outputs } => {
            begin("workflow", "completed", "workflow_completed")?;
            dict.set_item("result", PyWorkflowResult(result))?;
            dict.set_item("outputs", outputs)?;
        }
        EventKind::WorkflowFailed { error, error_type } => {
            begin("workflow", "failed", "workflow_failed")?;
            dict.set_item("error", error)?;
            dict.set_item("error_type", error_type)?;
        }
    }
    Ok(dict)
}
