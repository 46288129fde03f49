//! What surrounds the callbacks of a run: the context variables of whoever started it, and the event loop
//! on which coroutines may be awaited.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use super::super::{bridge, exit};
use crate::workflow::Ambient;

/// The surroundings of one run.
pub(super) struct Surroundings {
    context: Py<PyAny>,
    event_loop: Option<Py<PyAny>>,
    /// Whether the loop goes on turning while the run does. A loop whose thread waits for the run would
    /// never get to a coroutine.
    turning: AtomicBool,
}

impl Surroundings {
    /// Those of the calling thread; `turning` says whether its event loop, if it runs one, will go on.
    pub(super) fn capture(py: Python<'_>, turning: bool) -> PyResult<Arc<Self>> {
        static COPY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let copy = exit::inside(py, || COPY.import(py, "contextvars", "copy_context"))?;
        let context = copy.call0()?.unbind();
        let event_loop = bridge::event_loop(py).map(Bound::unbind);
        Ok(Arc::new(Self { context, event_loop, turning: AtomicBool::new(turning) }))
    }

    /// From now on the loop goes on turning.
    pub(super) fn keeps_turning(&self) {
        self.turning.store(true, Ordering::Relaxed);
    }

    /// As the core passes it on.
    pub(super) fn ambient(self: &Arc<Self>) -> Ambient {
        let shared: Arc<dyn Any + Send + Sync> = Arc::<Self>::clone(self);
        Some(shared)
    }

    fn of(ambient: &Ambient) -> Option<&Self> {
        ambient.as_ref()?.downcast_ref()
    }

    /// The loop for coroutines, or `None` where they need one of their own.
    pub(super) fn event_loop<'py>(ambient: &Ambient, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let surroundings = Self::of(ambient)?;
        let turning = surroundings.turning.load(Ordering::Relaxed);
        surroundings.event_loop.as_ref().filter(|_| turning).map(|found| found.bind(py).clone())
    }

    /// Calls `function` in a copy of the context: one context cannot be entered twice at a time.
    pub(super) fn call<'py>(
        ambient: &Ambient,
        function: &Bound<'py, PyAny>,
        arguments: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = function.py();
        let Some(surroundings) = Self::of(ambient) else { return function.call1(arguments) };
        let context = surroundings.context.bind(py).call_method0(pyo3::intern!(py, "copy"))?;
        let mut with_function = vec![function.clone()];
        with_function.extend(arguments.iter());
        context.call_method1(pyo3::intern!(py, "run"), PyTuple::new(py, with_function)?)
    }
}
