//! `Workflow`: nodes and edges.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::callables::traverse;
use super::node::PyNode;
use crate::workflow::Workflow;

/// A graph of nodes. A run works on the graph as it was when the run began.
#[pyclass(name = "Workflow", module = "graphbit", frozen)]
pub(in super::super) struct PyWorkflow(Mutex<Workflow>);

impl PyWorkflow {
    fn graph(&self) -> MutexGuard<'_, Workflow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The graph as it is now.
    pub(super) fn snapshot(&self) -> Workflow {
        self.graph().clone()
    }
}

#[pymethods]
impl PyWorkflow {
    #[new]
    fn new(name: String) -> Self {
        Self(Mutex::new(Workflow::new(name)))
    }

    /// Its name.
    fn name(&self) -> String {
        self.graph().name().to_owned()
    }

    /// How many nodes it has.
    fn node_count(&self) -> usize {
        self.graph().node_count()
    }

    /// Adds a node and returns its id.
    fn add_node(&self, node: &PyNode) -> PyResult<String> {
        Ok(self.graph().add_node(node.0.clone())?)
    }

    /// Lets `to_id` follow `from_id`; each is a node's id or its name.
    fn connect(&self, from_id: &str, to_id: &str) -> PyResult<()> {
        Ok(self.graph().connect(from_id, to_id)?)
    }

    /// Raises when the graph cannot run.
    fn validate(&self) -> PyResult<()> {
        Ok(self.snapshot().validate()?)
    }

    /// `enforce_unique_node_names` is the one key that means something.
    fn set_graph_metadata(&self, key: &str, value: bool) {
        if key == "enforce_unique_node_names" {
            self.graph().require_unique_names(value);
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Whoever holds the lock is using the graph.
        let Ok(graph) = self.0.try_lock() else { return Ok(()) };
        graph.nodes().iter().try_for_each(|node| traverse(node, &visit))
    }

    fn __repr__(&self) -> String {
        let graph = self.graph();
        format!("Workflow(name='{}', nodes={})", graph.name(), graph.node_count())
    }
}
