//! `Node`: agents, conditions and transforms.

use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::super::exit;
use super::super::llm_config::PyLlmConfig;
use super::callables::{PythonRoute, PythonTool, bound_tools, traverse};
use crate::workflow::{Agent, Node};

/// One box of a workflow. Made by its static methods only.
#[pyclass(name = "Node", module = "graphbit", frozen)]
pub(in super::super) struct PyNode(pub(super) Node);

#[pymethods]
impl PyNode {
    /// Asks a model, which may call the tools given here and no others.
    #[staticmethod]
    #[pyo3(signature = (name, prompt, context=None, agent_id=None, output_name=None, tools=None, system_prompt=None, llm_config=None, temperature=None, max_tokens=None, max_iterations=None, enable_prompt_caching=false))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn agent(
        name: String,
        prompt: String,
        context: Option<String>,
        agent_id: Option<String>,
        output_name: Option<String>,
        tools: Option<&Bound<'_, PyList>>,
        system_prompt: Option<String>,
        llm_config: Option<PyRef<'_, PyLlmConfig>>,
        temperature: Option<f64>,
        max_tokens: Option<u32>,
        max_iterations: Option<u32>,
        enable_prompt_caching: bool,
    ) -> PyResult<Self> {
        let mut agent = Agent {
            prompt,
            context,
            agent_id,
            output_name,
            tools: None,
            system_prompt,
            llm_config: llm_config.map(|config| config.config.clone()),
            temperature,
            max_tokens,
            max_iterations,
            prompt_caching: enable_prompt_caching,
        };
        // Before the tools are bound, which the whole process can see.
        agent.check(&name)?;
        agent.tools = tools.map(|tools| PythonTool::bind(tools)).transpose()?;
        Ok(Self(Node::agent(name, agent)?))
    }

    /// Goes on with the successor that `handler` names.
    #[staticmethod]
    fn condition(name: String, handler: Bound<'_, PyAny>) -> PyResult<Self> {
        if !name.trim().is_empty() && !handler.is_callable() {
            return Err(PyTypeError::new_err("Condition handler must be callable"));
        }
        Ok(Self(Node::condition(name, Arc::new(PythonRoute::new(handler)))?))
    }

    /// Text operations (`"trim | uppercase"`) or a template (`"Summary: {input}"`).
    #[staticmethod]
    fn transform(name: String, transformation: String) -> PyResult<Self> {
        Ok(Self(Node::transform(name, transformation)?))
    }

    /// A random UUID, fixed when the node was made.
    fn id(&self) -> &str {
        self.0.id()
    }

    /// Its name.
    fn name(&self) -> &str {
        self.0.name()
    }

    /// Whether it was given a list of tools, be it empty.
    fn has_tools(&self) -> bool {
        self.0.as_agent().is_some_and(|agent| agent.tools.is_some())
    }

    /// The names of its tools.
    fn get_tool_names(&self) -> Vec<String> {
        let agent = self.0.as_agent();
        let tools = agent.and_then(|agent| agent.tools.as_deref()).unwrap_or_default();
        tools.iter().map(|tool| tool.spec().name.clone()).collect()
    }

    /// What was set, as JSON text; keys are left out of it.
    fn get_config(&self) -> String {
        // A map of plain values can always be written.
        serde_json::to_string_pretty(&self.0.config()).unwrap_or_default()
    }

    /// A `ToolExecutor` over its tools.
    fn create_tool_executor<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.binding(py, "executor_for", None)
    }

    /// Runs tool calls and lists what came of them.
    fn execute_tools<'py>(&self, tool_calls: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
        if self.get_tool_names().is_empty() {
            return Err(PyValueError::new_err("This node does not have tools configured"));
        }
        let listing = self.binding(tool_calls.py(), "execute_listing", Some(tool_calls))?;
        Ok(listing.cast_into::<PyString>()?)
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }

    // Nothing is cleared here: a circle also passes through the program's own objects, which are.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        traverse(&self.0, &visit)
    }
}

impl PyNode {
    fn binding<'py>(
        &self,
        py: Python<'py>,
        function: &str,
        argument: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let agent = self.0.as_agent();
        let tools = agent.and_then(|agent| agent.tools.as_deref()).unwrap_or_default();
        let bound = bound_tools(py, tools)?;
        exit::inside(py, || {
            let function = py.import("graphbit.tools.binding")?.getattr(function)?;
            match argument {
                Some(argument) => function.call1((bound, argument)),
                None => function.call1((bound,)),
            }
        })
    }
}
