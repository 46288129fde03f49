//! What a library raised, as an error of the core and as an exception of ours.
//!
//! Kind and advice come from the HTTP status the exception carries, or from its class; what tells
//! neither is never tried again, because the call may have been paid for. Keys are taken out of the
//! text, and an exception whose own traceback would show one is not named as the cause.

use std::time::Duration;

use pyo3::exceptions::{PyConnectionError, PyException, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::{PyErr, PyTypeInfo};

use super::answer::field;
use crate::error::{Advice, Error, Kind, shortened};
use crate::http::{LONGEST_WAIT, Secrets};
use crate::python::errors::Cause;

/// How far back it is looked for a status; wrappers wrap once or twice.
const LONGEST_CHAIN: usize = 16;
/// What is kept of an exception's text, in bytes.
const LONGEST_TEXT: usize = 16 << 10;

/// The text `{what}: {Type}: {text}` without the key, and what may be named as its cause.
fn explained(
    py: Python<'_>,
    what: &str,
    raised: PyErr,
    secrets: &Secrets,
) -> (String, Option<PyErr>) {
    let text = shortened(secrets.redact(format!("{what}: {raised}")), LONGEST_TEXT, "...");
    let reveals = || -> PyResult<bool> {
        let lines = py.import("traceback")?;
        let lines = lines.call_method1("format_exception", (raised.value(py),))?;
        let shown = lines.extract::<Vec<String>>()?.concat();
        Ok(secrets.redact(shown.clone()) != shown)
    };
    // If in doubt it stays out.
    let cause = if reveals().unwrap_or(true) { None } else { Some(raised) };
    (text, cause)
}

/// What a constructor raises when the wrapper class failed it.
pub(super) fn refused<E: PyTypeInfo>(
    py: Python<'_>,
    what: &str,
    raised: PyErr,
    secrets: &Secrets,
) -> PyErr {
    if !raised.is_instance_of::<PyException>(py) {
        return raised;
    }
    let (text, cause) = explained(py, what, raised, secrets);
    let error = PyErr::new::<E, _>(text);
    error.set_cause(py, cause);
    error
}

/// The error for an exception that a call raised. `Err` gives it back: Ctrl-C and the like are no
/// failures of a provider.
pub(super) fn failed(
    py: Python<'_>,
    raised: PyErr,
    what: &str,
    secrets: &Secrets,
) -> PyResult<Error> {
    if !raised.is_instance_of::<PyException>(py) {
        return Err(raised);
    }
    let clue = clue(raised.value(py));
    let ours = py.import("graphbit.exceptions")?.getattr("GraphbitError")?;
    let tried_already = raised.value(py).is_instance(&ours)?;
    let (text, cause) = explained(py, what, raised, secrets);

    let mut kind = clue.as_ref().map_or(Kind::Callback, |clue| clue.kind);
    if kind == Kind::RateLimited && text.contains("insufficient_quota") {
        kind = Kind::QuotaExhausted;
    }
    let mut error = Error::new(kind, text);
    if let Some(Clue { status, response, .. }) = clue {
        if let Some(status) = status {
            error = error.with_status(status);
        }
        let header = |name: &str| header(response.as_ref()?, name);
        error = error.with_request_id(header("x-request-id"));
        // 409 is a lock that another request holds for a moment.
        if matches!(error.advice(), Advice::Retry { .. }) || status == Some(409) {
            let after = header("retry-after").and_then(|text| text.parse::<f64>().ok());
            let after = after.filter(|seconds| !seconds.is_nan());
            let after = after.and_then(|seconds| {
                Duration::try_from_secs_f64(seconds.min(LONGEST_WAIT.as_secs_f64())).ok()
            });
            error = error.with_advice(Advice::Retry { after });
        }
    }
    if tried_already {
        error = error.with_advice(Advice::Never);
    }
    Ok(match cause {
        Some(cause) => error.with_source(Cause(cause)),
        None => error,
    })
}

/// What an exception tells about its cause.
struct Clue<'py> {
    kind: Kind,
    status: Option<u16>,
    response: Option<Bound<'py, PyAny>>,
}

/// The first clue on the way from an exception to what it was raised from.
fn clue<'py>(raised: &Bound<'py, impl Sized>) -> Option<Clue<'py>> {
    let mut at = raised.as_any().clone();
    for _ in 0..LONGEST_CHAIN {
        if let Some(found) = clue_of(&at) {
            return Some(found);
        }
        at = ["__cause__", "__context__"]
            .into_iter()
            .find_map(|name| at.getattr(name).ok().filter(|next| !next.is_none()))?;
    }
    None
}

fn clue_of<'py>(raised: &Bound<'py, PyAny>) -> Option<Clue<'py>> {
    let response = field(raised, "response").filter(|response| !response.is_none());
    let status = [Some(raised), response.as_ref()]
        .into_iter()
        .flatten()
        .find_map(|holder| field(holder, "status_code")?.extract::<u16>().ok())
        .filter(|status| (400..600).contains(status));
    let kind = if let Some(kind) = status.and_then(Kind::from_status) {
        kind
    } else if raised.is_instance_of::<PyTimeoutError>() {
        Kind::Timeout
    } else if raised.is_instance_of::<PyConnectionError>() {
        Kind::Network
    } else {
        return None;
    };
    Some(Clue { kind, status, response })
}

fn header(response: &Bound<'_, PyAny>, name: &str) -> Option<String> {
    field(response, "headers")?.call_method1("get", (name,)).ok()?.extract().ok()
}
