//! Module functions: `init`, `version`, `configure_runtime`, `get_system_info`, `health_check`, `shutdown`.
//!
//! Keys and their order are GraphBit 0.6.8's; the values are true here.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::Result;
use crate::{logging, runtime};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Assumed where the system does not say how much memory it has, in MiB.
const ASSUMED_MEMORY: u64 = 1024;
/// Below this much available memory `memory_healthy` is false, in MiB.
const LEAST_MEMORY: u64 = 100;

static INITIALISED: AtomicBool = AtomicBool::new(false);

/// Starts the runtime and, when asked, logging to standard error. Optional; the first call wins.
#[pyfunction]
#[pyo3(signature = (log_level=None, enable_tracing=None, debug=None))]
pub(super) fn init(
    py: Python<'_>,
    log_level: Option<&str>,
    enable_tracing: Option<bool>,
    debug: Option<bool>,
) -> PyResult<()> {
    super::bridge::detach(py, runtime::start)?;
    if INITIALISED.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    if enable_tracing.or(debug).unwrap_or(false) && !logging::init(log_level.unwrap_or("warn")) {
        let text = "graphbit.init: another log subscriber is installed already; it stays";
        super::exit::inside(py, || py.import("warnings")?.call_method1("warn", (text,)))?;
    }
    Ok(())
}

/// This package's version.
#[pyfunction]
pub(super) fn version() -> &'static str {
    VERSION
}

/// Sets the sizes of the runtime; ignored once it exists.
#[pyfunction]
#[pyo3(signature = (worker_threads=None, max_blocking_threads=None, thread_stack_size_mb=None))]
pub(super) fn configure_runtime(
    py: Python<'_>,
    worker_threads: Option<i32>,
    max_blocking_threads: Option<i32>,
    thread_stack_size_mb: Option<i32>,
) -> PyResult<()> {
    let settings = runtime::Settings {
        worker_threads: positive("worker_threads", worker_threads)?,
        max_blocking_threads: positive("max_blocking_threads", max_blocking_threads)?,
        thread_stack_size: positive("thread_stack_size_mb", thread_stack_size_mb)?
            .and_then(|megabytes| megabytes.checked_mul(NonZeroUsize::new(1 << 20)?)),
    };
    if !runtime::is_started() {
        runtime::configure(settings);
    }
    super::bridge::detach(py, runtime::start)
}

fn positive(name: &str, value: Option<i32>) -> PyResult<Option<NonZeroUsize>> {
    let Some(value) = value else { return Ok(None) };
    match usize::try_from(value).ok().and_then(NonZeroUsize::new) {
        Some(size) => Ok(Some(size)),
        None => Err(PyValueError::new_err(format!("{name} must be positive, got: {value}"))),
    }
}

/// Facts about the library and its runtime.
#[pyfunction]
pub(super) fn get_system_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("version", VERSION)?;
    info.set_item("python_binding_version", VERSION)?;
    let snapshot = runtime::snapshot();
    if let Some(snapshot) = snapshot {
        info.set_item("runtime_uptime_seconds", snapshot.uptime.as_secs())?;
        info.set_item("runtime_worker_threads", snapshot.worker_threads)?;
        info.set_item("runtime_max_blocking_threads", snapshot.max_blocking_threads)?;
    }
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    info.set_item("cpu_count", cores)?;
    info.set_item("runtime_initialized", snapshot.is_some())?;
    info.set_item("memory_allocator", "mimalloc")?;
    info.set_item("memory_allocator_verified", true)?;
    info.set_item("build_target", format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS))?;
    info.set_item("build_profile", if cfg!(debug_assertions) { "debug" } else { "release" })?;
    Ok(info)
}

/// Whether the runtime and the machine look well.
#[pyfunction]
pub(super) fn health_check(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let health = PyDict::new(py);
    let snapshot = runtime::snapshot();
    health.set_item("runtime_healthy", snapshot.is_some())?;
    match snapshot {
        Some(snapshot) => {
            health.set_item("runtime_uptime_ok", snapshot.uptime.as_secs() >= 1)?;
            health.set_item("worker_threads_ok", snapshot.worker_threads > 0)?;
        }
        None => health.set_item("runtime_stats_available", false)?,
    }
    let available = match super::bridge::detach(py, memory)? {
        Some((total, available)) => {
            health.set_item("total_memory_mb", total)?;
            health.set_item("available_memory_mb", available)?;
            available
        }
        None => {
            health.set_item("memory_info_available", false)?;
            ASSUMED_MEMORY
        }
    };
    let memory_healthy = available > LEAST_MEMORY;
    health.set_item("memory_healthy", memory_healthy)?;
    health.set_item("overall_healthy", snapshot.is_some() && memory_healthy)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    health.set_item("timestamp", now)?;
    Ok(health)
}

/// Total and available memory in MiB, where the system tells.
#[expect(clippy::unnecessary_wraps, reason = "the shape the doorway wants")]
fn memory() -> Result<Option<(u64, u64)>> {
    let Ok(text) = std::fs::read_to_string("/proc/meminfo") else { return Ok(None) };
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes / 1024)
    };
    Ok(field("MemTotal:").zip(field("MemAvailable:")))
}

/// Flushes what is buffered. The runtime goes on and every call keeps working.
#[pyfunction]
pub(super) fn shutdown() {
    tracing::info!("shutdown requested; the runtime stays usable");
}
