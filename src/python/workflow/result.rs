//! `WorkflowResult`: what became of each node.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use super::super::chat_types::{Reduced, reduced};
use super::super::json;
use crate::workflow::{RunState, WorkflowResult};

/// The outcome of a run. Obtained from an executor, never constructed.
#[pyclass(name = "WorkflowResult", module = "graphbit", frozen)]
pub(in super::super) struct PyWorkflowResult(pub(super) Arc<WorkflowResult>);

#[pymethods]
impl PyWorkflowResult {
    /// Whether every node completed or was rightly skipped.
    fn is_success(&self) -> bool {
        self.0.is_success()
    }

    /// As `is_success`.
    fn is_completed(&self) -> bool {
        self.0.is_success()
    }

    /// Whether a node failed.
    fn is_failed(&self) -> bool {
        self.0.is_failed()
    }

    /// `Completed`, `Cancelled`, or `Failed { error: "..." }`.
    fn state(&self) -> String {
        self.0.state_text()
    }

    /// What went wrong first.
    fn error(&self) -> Option<String> {
        self.0.error().map(str::to_owned)
    }

    /// The output of the node that finished last.
    fn output(&self) -> Option<String> {
        self.0.output()
    }

    /// From begin to end, tools included.
    fn execution_time_ms(&self) -> u64 {
        self.0.execution_time_ms()
    }

    /// A node's output as text, by id, name or output name.
    fn get_node_output(&self, node_name: &str) -> Option<String> {
        self.0.node_output(node_name)
    }

    /// All outputs as text, under id, name and output name.
    fn get_all_node_outputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dict(py, self.0.output_texts())
    }

    /// As `get_all_node_outputs`.
    fn get_all_nodes_outputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dict(py, self.0.output_texts())
    }

    /// The text of a variable: each finished node has one under each of its names.
    fn get_variable(&self, key: &str) -> Option<String> {
        self.0.variables().into_iter().find(|(name, _)| name == key).map(|(_, text)| text)
    }

    /// All variables.
    fn get_all_variables<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dict(py, self.0.variables())
    }

    /// All variables, as pairs.
    fn variables(&self) -> Vec<(String, String)> {
        self.0.variables()
    }

    /// What is told of an agent's work; `None` for other kinds and for agents that did not run.
    fn get_node_response_metadata<'py>(
        &self,
        py: Python<'py>,
        node_id: &str,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.node_metadata(node_id).map(|told| json::into_python(py, told)).transpose()
    }

    /// What is told of the whole run.
    fn get_all_node_response_metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        json::into_python(py, &self.0.metadata())
    }

    #[classmethod]
    #[pyo3(name = "_restore")]
    fn restore(_class: &Bound<'_, PyType>, text: &str) -> PyResult<Self> {
        Ok(Self(Arc::new(WorkflowResult::restored(text)?)))
    }

    /// So that an exception that carries one crosses process pools.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        let text = self.0.saved().map_err(|error| {
            PyTypeError::new_err(format!("cannot pickle this WorkflowResult: {error}"))
        })?;
        reduced::<Self>(py, (text,))
    }

    fn __repr__(&self) -> String {
        let state = match self.0.state {
            RunState::Completed => "Completed",
            RunState::Failed(_) => "Failed",
            RunState::Cancelled => "Cancelled",
        };
        format!("WorkflowResult(workflow='{}', state={state})", self.0.workflow_name)
    }
}

fn dict(py: Python<'_>, pairs: Vec<(String, String)>) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    for (name, text) in pairs {
        dict.set_item(name, text)?;
    }
    Ok(dict)
}
