//! What the layers of a client were doing, as dicts.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::cache::Cache;
use crate::resilience::{BreakerState, Stack, StatsSnapshot};

/// `get_stats`: the numbers of a client's calls, and the state of its breaker where it has one to tell of.
pub(in super::super) fn statistics<'py>(
    py: Python<'py>,
    stats: &StatsSnapshot,
    breaker: Option<BreakerState>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("total_requests", stats.total_requests)?;
    dict.set_item("successful_requests", stats.successful_requests)?;
    dict.set_item("failed_requests", stats.failed_requests)?;
    dict.set_item("success_rate", stats.success_rate)?;
    dict.set_item("average_response_time_ms", stats.average_response_time_ms)?;
    if let Some(breaker) = breaker {
        dict.set_item("circuit_breaker_state", breaker.to_string())?;
    }
    dict.set_item("uptime_seconds", stats.uptime.as_secs())?;
    Ok(dict)
}

/// `get_resilience`: what a client's layers and its cache were doing.
pub(in super::super) fn describe<'a, 'py>(
    py: Python<'py>,
    routes: impl Iterator<Item = (&'a str, &'a str, &'a Stack)>,
    cache: Option<&Cache>,
) -> PyResult<Bound<'py, PyDict>> {
    let list = PyList::empty(py);
    for (provider, model, stack) in routes {
        let now = stack.snapshot();
        let route = PyDict::new(py);
        route.set_item("provider", provider)?;
        route.set_item("model", model)?;
        route.set_item("calls", now.calls)?;
        route.set_item("attempts", now.attempts)?;
        route.set_item("hedged", now.hedged)?;
        route.set_item("circuit_breaker_state", now.breaker.to_string())?;
        route.set_item("in_flight", now.in_flight)?;
        route.set_item("concurrency_limit", now.concurrency_limit)?;
        list.append(route)?;
    }
    let held = match cache {
        Some(cache) => {
            let held = PyDict::new(py);
            describe_cache(cache, &held)?;
            Some(held)
        }
        None => None,
    };
    let dict = PyDict::new(py);
    dict.set_item("routes", list)?;
    dict.set_item("cache", held)?;
    Ok(dict)
}

pub(super) fn describe_cache(cache: &Cache, dict: &Bound<'_, PyDict>) -> PyResult<()> {
    let now = cache.stats();
    dict.set_item("hits", now.hits)?;
    dict.set_item("disk_hits", now.disk_hits)?;
    dict.set_item("misses", now.misses)?;
    dict.set_item("shared", now.shared)?;
    dict.set_item("hit_ratio", now.hit_ratio)?;
    dict.set_item("entries", now.memory_entries)?;
    dict.set_item("bytes", now.memory_bytes)?;
    Ok(())
}
