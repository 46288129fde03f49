//! Python functions as tools and as handlers of condition nodes.

use std::sync::Arc;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyString};
use serde_json::{Value, json};

use super::super::errors::callback_error;
use super::super::{bridge, json};
use super::surroundings::Surroundings;
use crate::error::Result;
use crate::llm::BoxFuture;
use crate::types::ToolSpec;
use crate::workflow::{Ambient, Route, Situation, Tool, ToolReply};

/// A `graphbit.tools.binding.BoundTool`.
pub(super) struct PythonTool {
    spec: ToolSpec,
    bound: Arc<Py<PyAny>>,
}

impl PythonTool {
    /// Binds the tools of one node, in their order.
    pub(super) fn bind(tools: &Bound<'_, PyAny>) -> PyResult<Vec<Arc<dyn Tool>>> {
        static BIND: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let bind = BIND.import(tools.py(), "graphbit.tools.binding", "bind_tools")?;
        let bound = bind.call1((tools,))?;
        let mut found: Vec<Arc<dyn Tool>> = Vec::new();
        for bound in bound.try_iter()? {
            let bound = bound?;
            let spec = ToolSpec {
                name: bound.getattr("name")?.extract()?,
                description: bound.getattr("description")?.extract()?,
                parameters: json::dump("tools", &bound.getattr("parameters")?)?,
            };
            found.push(Arc::new(Self { spec, bound: Arc::new(bound.unbind()) }));
        }
        Ok(found)
    }

    /// The bound tool, when `tool` is one.
    pub(super) fn bound(tool: &Arc<dyn Tool>) -> Option<&Py<PyAny>> {
        let tool: &dyn std::any::Any = tool.as_ref();
        Some(tool.downcast_ref::<Self>()?.bound.as_ref())
    }
}

impl Tool for PythonTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, arguments: Value, ambient: &Ambient) -> BoxFuture<'static, Result<ToolReply>> {
        let (bound, ambient) = (Arc::clone(&self.bound), ambient.clone());
        Box::pin(bridge::call_python(move |py| {
            let run = bound.bind(py).getattr(pyo3::intern!(py, "run"))?;
            let event_loop = Surroundings::event_loop(&ambient, py);
            let arguments = (arguments.to_string(), event_loop).into_pyobject(py)?;
            let (worked, text): (bool, String) =
                Surroundings::call(&ambient, &run, arguments)?.extract()?;
            Ok(if worked { ToolReply::Output(text) } else { ToolReply::Failure(text) })
        }))
    }
}

/// A handler.
pub(super) struct PythonRoute {
    handler: Arc<Py<PyAny>>,
}

impl PythonRoute {
    pub(super) fn new(handler: Bound<'_, PyAny>) -> Self {
        Self { handler: Arc::new(handler.unbind()) }
    }
}

impl Route for PythonRoute {
    fn choose(
        &self,
        situation: Situation,
        ambient: &Ambient,
    ) -> BoxFuture<'static, Result<std::result::Result<String, String>>> {
        let (handler, ambient) = (Arc::clone(&self.handler), ambient.clone());
        let situation = json!({
            "parent_node_id": situation.parent_node_id,
            "parent_output": situation.parent_output,
            "variables": situation.variables,
            "node_outputs": situation.node_outputs,
            "metadata": situation.metadata,
        });
        Box::pin(bridge::call_python(move |py| {
            let told = json::loads(py, &situation.to_string())?;
            match ask(handler.bind(py), told, &ambient) {
                Ok(chosen) => Ok(chosen),
                Err(raised) if raised.is_instance_of::<PyException>(py) => {
                    Ok(Err(callback_error(py, raised).message().to_owned()))
                }
                // Ctrl-C and the like are not the run's to judge.
                Err(raised) => Err(raised),
            }
        }))
    }
}

fn ask(
    handler: &Bound<'_, PyAny>,
    situation: Bound<'_, PyAny>,
    ambient: &Ambient,
) -> PyResult<std::result::Result<String, String>> {
    static SETTLED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = handler.py();
    // Coroutines are awaited inside the context, too.
    let settled = SETTLED.import(py, "graphbit.tools.waiting", "called")?;
    let event_loop = Surroundings::event_loop(ambient, py);
    let arguments = (handler, situation, event_loop).into_pyobject(py)?;
    let answer = Surroundings::call(ambient, settled, arguments)?;
    Ok(match answer.cast::<PyString>() {
        Ok(text) => Ok(text.to_str()?.to_owned()),
        Err(_) => Err(format!(
            "TypeError: a condition handler must return the name of a successor as a str, not {}",
            json::class_of(&answer)
        )),
    })
}

/// The bound tools themselves, for functions of `graphbit.tools.binding`.
pub(super) fn bound_tools<'py>(
    py: Python<'py>,
    tools: &[Arc<dyn Tool>],
) -> PyResult<Bound<'py, PyList>> {
    let bound: Vec<_> = tools.iter().filter_map(PythonTool::bound).collect();
    PyList::new(py, bound.into_iter().map(|bound| bound.bind(py)))
}
