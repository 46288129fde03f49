//! The keyword arguments every networked configuration shares: address, time limit, headers, proxy.

use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyMapping;

use super::exit;
use crate::error::Error;
use crate::providers::Connection;

/// `base_url=`, `timeout=` (seconds or `timedelta`), `headers=` (a mapping of str), `http_proxy=`.
pub(super) fn connection(
    base_url: Option<String>,
    timeout: Option<&Bound<'_, PyAny>>,
    headers: Option<&Bound<'_, PyMapping>>,
    http_proxy: Option<String>,
) -> PyResult<Connection> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    if let Some(headers) = headers {
        pairs = exit::inside(headers.py(), || headers.items()?.extract())?;
    }
    Ok(Connection {
        base_url,
        timeout: timeout.map(|value| seconds("timeout", value)).transpose()?,
        headers: pairs,
        proxy: http_proxy,
    })
}

/// A positive duration, given as seconds or as a `timedelta`.
pub(super) fn seconds(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let number = exit::inside(value.py(), || match value.call_method0("total_seconds") {
        Ok(total) => total.extract::<f64>(),
        Err(_) => value.extract::<f64>().map_err(|_| {
            let kind = value.get_type();
            PyTypeError::new_err(format!(
                "argument '{field}': must be seconds as a number or a timedelta, not {kind}"
            ))
        }),
    })?;
    match Duration::try_from_secs_f64(number) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => {
            let text = format!("{field} must be a positive number of seconds");
            Err(Error::validation(field, Some(&number.to_string()), &text).into())
        }
    }
}
