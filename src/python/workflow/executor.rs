//! `Executor`: the three doors of a run.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::super::errors::to_py_err;
use super::super::given::GivenPath;
use super::super::guard_rails::PyGuardRailPolicy;
use super::super::json::class_of;
use super::super::llm_config::PyLlmConfig;
use super::super::{bridge, exit};
use super::events::PyWorkflowStream;
use super::graph::PyWorkflow;
use super::result::PyWorkflowResult;
use super::surroundings::Surroundings;
use crate::error::Error;
use crate::guard::Policy;
use crate::workflow::{Executor, Limits, Prepared, Progress, RunOptions, StreamMode};

/// Runs workflows. Share it freely between threads, event loops and callbacks.
#[pyclass(name = "Executor", module = "graphbit", frozen)]
pub(in super::super) struct PyExecutor {
    executor: Executor,
    /// GraphBit has the switch and no behaviour behind it.
    lightweight: std::sync::atomic::AtomicBool,
}

impl PyExecutor {
    fn prepare(
        &self,
        workflow: &PyWorkflow,
        policy: Option<&Bound<'_, PyAny>>,
        options: RunOptions,
    ) -> PyResult<Prepared> {
        let policy = policy.map(policy_of).transpose()?;
        let workflow = workflow.snapshot();
        // An asynchronous run finds that out when it runs, as ever.
        if workflow.node_count() == 0 && !options.asynchronous {
            return Err(Error::validation("workflow", None, "Workflow cannot be empty").into());
        }
        Ok(self.executor.prepare(&workflow, RunOptions { policy, ..options })?)
    }
}

fn policy_of(given: &Bound<'_, PyAny>) -> PyResult<Arc<Policy>> {
    if let Ok(policy) = given.cast::<PyGuardRailPolicy>() {
        return Ok(Arc::clone(&policy.get().policy));
    }
    let class = class_of(given);
    let text = format!("policy must be a GuardRailPolicyConfig or None, not {class}");
    Err(PyTypeError::new_err(text))
}

#[pymethods]
impl PyExecutor {
    #[new]
    #[pyo3(signature = (config, lightweight_mode=None, timeout_seconds=None, debug=None, *, max_concurrency=None))]
    fn new(
        config: &PyLlmConfig,
        lightweight_mode: Option<bool>,
        timeout_seconds: Option<u64>,
        debug: Option<bool>,
        max_concurrency: Option<usize>,
    ) -> PyResult<Self> {
        crate::python::logging::doubt();
        let mut limits = Limits::default();
        if let Some(seconds) = timeout_seconds {
            limits.timeout = Duration::from_secs(seconds);
        }
        if let Some(concurrency) = max_concurrency {
            limits.max_concurrency = concurrency;
        }
        let config = config.config.clone();
        if debug == Some(true) {
            tracing::debug!(
                provider = config.provider(),
                model = config.model_name(),
                "new executor"
            );
        }
        let executor = Executor::new(config, limits)?;
        let lightweight = lightweight_mode.unwrap_or_default().into();
        Ok(Self { executor, lightweight })
    }

    /// Changes the limits of runs to come; what is left out stays.
    #[pyo3(signature = (timeout_seconds=None, max_retries=None, enable_metrics=None, debug=None, *, max_concurrency=None))]
    fn configure(
        &self,
        timeout_seconds: Option<u64>,
        max_retries: Option<u32>,
        enable_metrics: Option<bool>,
        debug: Option<bool>,
        max_concurrency: Option<usize>,
    ) -> PyResult<()> {
        let now = self.executor.limits();
        let limits = Limits {
            timeout: timeout_seconds.map_or(now.timeout, Duration::from_secs),
            max_retries: max_retries.unwrap_or(now.max_retries),
            max_concurrency: max_concurrency.unwrap_or(now.max_concurrency),
            metrics: enable_metrics.unwrap_or(now.metrics),
        };
        if debug == Some(true) {
            tracing::debug!(?limits, "executor configured");
        }
        Ok(self.executor.set_limits(limits)?)
    }

    /// Runs a workflow to its end. A failed node is told by the result, not raised.
    #[pyo3(signature = (workflow, policy=None, *, checkpoint=None))]
    fn execute(
        &self,
        py: Python<'_>,
        workflow: &PyWorkflow,
        policy: Option<&Bound<'_, PyAny>>,
        checkpoint: Option<GivenPath>,
    ) -> PyResult<PyWorkflowResult> {
        // This thread will wait here, and its event loop with it.
        let ambient = Surroundings::capture(py, false)?.ambient();
        let options = RunOptions {
            ambient,
            checkpoint: checkpoint.map(|path| path.0),
            ..RunOptions::default()
        };
        let prepared = self.prepare(workflow, policy, options)?;
        let progress = prepared.progress();
        bridge::block_on(py, prepared.finish())
            .map(PyWorkflowResult)
            .map_err(|raised| with_partial_result(py, raised, &progress))
    }

    /// `execute` as an `asyncio.Future`; cancelling it ends the run.
    #[pyo3(signature = (workflow, policy=None, *, checkpoint=None))]
    fn run_async<'py>(
        &self,
        py: Python<'py>,
        workflow: &PyWorkflow,
        policy: Option<&Bound<'py, PyAny>>,
        checkpoint: Option<GivenPath>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ambient = Surroundings::capture(py, true)?.ambient();
        let options = RunOptions {
            ambient,
            checkpoint: checkpoint.map(|path| path.0),
            asynchronous: true,
            ..RunOptions::default()
        };
        let prepared = self.prepare(workflow, policy, options)?;
        let progress = prepared.progress();
        let finished = prepared.finish();
        let work = async move { Ok(finished.await) };
        bridge::future_into_py(py, work, move |py, finished| match finished {
            Ok(result) => Ok(Py::new(py, PyWorkflowResult(result))?.into_any()),
            Err(error) => Err(with_partial_result(py, to_py_err(error), &progress)),
        })
    }

    /// Begins a run and returns its events.
    #[pyo3(signature = (workflow, policy=None, stream_mode=None, *, checkpoint=None))]
    fn execute_streaming(
        &self,
        py: Python<'_>,
        workflow: &PyWorkflow,
        policy: Option<&Bound<'_, PyAny>>,
        stream_mode: Option<&str>,
        checkpoint: Option<GivenPath>,
    ) -> PyResult<PyWorkflowStream> {
        let mode = stream_mode.map(StreamMode::from_name).transpose()?.unwrap_or_default();
        // Known only once somebody iterates.
        let surroundings = Surroundings::capture(py, false)?;
        let ambient = surroundings.ambient();
        let options = RunOptions {
            ambient,
            checkpoint: checkpoint.map(|path| path.0),
            ..RunOptions::default()
        };
        let prepared = self.prepare(workflow, policy, options)?;
        Ok(PyWorkflowStream::new(prepared.stream(mode), surroundings))
    }

    /// The numbers so far, of all three doors.
    fn get_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (stats, limits) = (self.executor.stats(), self.executor.limits());
        let milliseconds = stats.total_duration.as_secs_f64() * 1000.0;
        #[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
        let share = |part: f64| if stats.total == 0 { 0.0 } else { part / stats.total as f64 };
        #[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
        let successful = stats.successful as f64;
        let dict = PyDict::new(py);
        dict.set_item("total_executions", stats.total)?;
        dict.set_item("successful_executions", stats.successful)?;
        dict.set_item("failed_executions", stats.failed)?;
        dict.set_item("success_rate", share(successful))?;
        dict.set_item("average_duration_ms", share(milliseconds))?;
        dict.set_item("total_duration_ms", stats.total_duration.as_millis())?;
        dict.set_item("uptime_seconds", stats.uptime.as_secs())?;
        dict.set_item("execution_mode", Self::MODE)?;
        dict.set_item("timeout_seconds", limits.timeout.as_secs())?;
        dict.set_item("max_retries", limits.max_retries)?;
        dict.set_item("metrics_enabled", limits.metrics)?;
        Ok(dict)
    }

    /// Sets the numbers and the uptime to zero.
    fn reset_stats(&self) {
        self.executor.reset_stats();
    }

    /// Always "Balanced".
    fn get_execution_mode(&self) -> &'static str {
        Self::MODE
    }

    /// Remembers the switch; it changes nothing.
    fn set_lightweight_mode(&self, enabled: bool) {
        self.lightweight.store(enabled, std::sync::atomic::Ordering::Relaxed);
    }

    /// Whether the switch is on.
    fn is_lightweight_mode(&self) -> bool {
        self.lightweight.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// What events there are and what they hold.
    #[staticmethod]
    fn get_stream_event_schema(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        exit::inside(py, || py.import("graphbit.workflows")?.call_method0("stream_event_schema"))
    }
}

impl PyExecutor {
    const MODE: &'static str = "Balanced";
}

/// What had finished goes out on the exception that ended the run.
fn with_partial_result(py: Python<'_>, raised: PyErr, progress: &Progress) -> PyErr {
    if let Some(result) = progress.result() {
        let result = PyWorkflowResult(result);
        // An exception class with slots has no room for it.
        raised.value(py).setattr("partial_result", result).ok();
    }
    raised
}
