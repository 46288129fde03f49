//! Python functions as tools and as handlers of condition nodes.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString};
use serde_json::Value;

use super::super::errors::callback_error;
use super::super::{bridge, exit, json};
use super::surroundings::Surroundings;
use crate::error::Result;
use crate::llm::BoxFuture;
use crate::types::ToolSpec;
use crate::workflow::{Ambient, Node, Route, Situation, Tool, ToolReply};

/// A `graphbit.tools.binding.BoundTool`.
pub(super) struct PythonTool {
    spec: ToolSpec,
    bound: Arc<Py<PyAny>>,
}

impl PythonTool {
    /// Binds the tools of one node, in their order.
    pub(super) fn bind(tools: &Bound<'_, PyAny>) -> PyResult<Vec<Arc<dyn Tool>>> {
        exit::inside(tools.py(), || Self::bind_inside(tools))
    }

    fn bind_inside(tools: &Bound<'_, PyAny>) -> PyResult<Vec<Arc<dyn Tool>>> {
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
        let tool: &dyn Any = tool.as_ref();
        Some(tool.downcast_ref::<Self>()?.bound.as_ref())
    }
}

impl Tool for PythonTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, arguments: Value, ambient: &Ambient) -> BoxFuture<'static, Result<ToolReply>> {
        let (bound, ambient) = (Arc::clone(&self.bound), ambient.clone());
        while_wanted(|wanted| {
            bridge::call_python(move |py| {
                let run = bound.bind(py).getattr(pyo3::intern!(py, "run"))?;
                let event_loop = Surroundings::event_loop(&ambient, py);
                let arguments = (arguments.to_string(), event_loop, wanted).into_pyobject(py)?;
                let (worked, text): (bool, String) =
                    Surroundings::call(&ambient, &run, arguments)?.extract()?;
                Ok(if worked { ToolReply::Output(text) } else { ToolReply::Failure(text) })
            })
        })
    }
}

/// Whether the run still waits for a callback; asked by coroutines, which can be cancelled.
#[pyclass(frozen, module = "graphbit._graphbit")]
struct Wanted(Arc<AtomicBool>);

#[pymethods]
impl Wanted {
    fn __call__(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Says so when the future is dropped: the run has ended, or the callback has.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// The future of a callback that can find out whether anybody still waits for it.
fn while_wanted<T, F>(call: impl FnOnce(Wanted) -> F) -> BoxFuture<'static, Result<T>>
where
    F: Future<Output = Result<T>> + Send + 'static,
{
    let flag = Arc::new(AtomicBool::new(true));
    let waiting = Waiting(Arc::clone(&flag));
    let called = call(Wanted(flag));
    Box::pin(async move {
        let _waiting = waiting;
        called.await
    })
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
        while_wanted(|wanted| {
            bridge::call_python(move |py| {
                let told = told(py, situation)?;
                match ask(handler.bind(py), told, wanted, &ambient) {
                    Ok(chosen) => Ok(chosen),
                    Err(raised) if raised.is_instance_of::<PyException>(py) => {
                        Ok(Err(callback_error(py, raised).message().to_owned()))
                    }
                    // Ctrl-C and the like are not the run's to judge.
                    Err(raised) => Err(raised),
                }
            })
        })
    }
}

/// What a handler is told, as a dict. Each output and each record becomes one object, however many names
/// it has.
fn told(py: Python<'_>, situation: Situation) -> PyResult<Bound<'_, PyDict>> {
    let value = |value: &Value| json::into_python(py, value);
    let (outputs, variables) = (PyDict::new(py), PyDict::new(py));
    let metadata = value(&situation.graph)?.cast_into::<PyDict>()?;
    for node in &situation.finished {
        let output = value(&node.output)?;
        let text = PyString::new(py, &node.text());
        let record = node.metadata.as_ref().map(value).transpose()?;
        for name in node.names() {
            outputs.set_item(name, &output)?;
            variables.set_item(name, &text)?;
            if let Some(record) = &record {
                metadata.set_item(format!("node_response_{name}"), record)?;
            }
        }
    }
    let told = PyDict::new(py);
    told.set_item("parent_node_id", situation.parent_node_id)?;
    told.set_item("parent_output", value(&situation.parent_output)?)?;
    told.set_item("variables", variables)?;
    told.set_item("node_outputs", outputs)?;
    told.set_item("metadata", metadata)?;
    Ok(told)
}

fn ask(
    handler: &Bound<'_, PyAny>,
    situation: Bound<'_, PyDict>,
    wanted: Wanted,
    ambient: &Ambient,
) -> PyResult<std::result::Result<String, String>> {
    static SETTLED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = handler.py();
    // Coroutines are awaited inside the context, too.
    let settled = SETTLED.import(py, "graphbit.tools.waiting", "called")?;
    let event_loop = Surroundings::event_loop(ambient, py);
    let arguments = (handler, situation, event_loop, wanted).into_pyobject(py)?;
    let answer = Surroundings::call(ambient, settled, arguments)?;
    Ok(match answer.cast::<PyString>() {
        Ok(text) => Ok(text.to_str()?.to_owned()),
        Err(_) => Err(format!(
            "TypeError: a condition handler must return the name of a successor as a str, not {}",
            json::class_of(&answer)
        )),
    })
}

/// Shows the collector what a node holds, so that a program whose functions hold their own node can be
/// collected. Only a sole owner may do so: the reference is counted once, however many share it. While a
/// run shares it, the node is in use and nothing is shown.
pub(super) fn traverse(
    node: &Node,
    visit: &PyVisit<'_>,
) -> std::result::Result<(), PyTraverseError> {
    if node.is_shared() {
        return Ok(());
    }
    let tools = node.as_agent().and_then(|agent| agent.tools.as_deref()).unwrap_or_default();
    let bound = tools.iter().filter_map(|tool| {
        let tool: &dyn Any = tool.as_ref();
        Some(&tool.downcast_ref::<PythonTool>()?.bound)
    });
    let handler = node.route().and_then(|route| {
        let route: &dyn Any = route.as_ref();
        Some(&route.downcast_ref::<PythonRoute>()?.handler)
    });
    for held in bound.chain(handler).filter(|held| Arc::strong_count(held) == 1) {
        visit.call(held.as_ref())?;
    }
    Ok(())
}

/// The bound tools themselves, for functions of `graphbit.tools.binding`.
pub(super) fn bound_tools<'py>(
    py: Python<'py>,
    tools: &[Arc<dyn Tool>],
) -> PyResult<Bound<'py, PyList>> {
    let bound: Vec<_> = tools.iter().filter_map(PythonTool::bound).collect();
    PyList::new(py, bound.into_iter().map(|bound| bound.bind(py)))
}
