//! Answers in a format: how they are read, and what is raised when they cannot be.
//!
//! It refuses to lose an answer that was paid for: the error holds the whole response.

use std::sync::Arc;

use pyo3::prelude::*;

use super::bridge;
use super::chat_response::PyLlmResponse;
use super::errors::to_py_err;
use super::json;
use crate::error::{Advice, Error, Kind, Result};
use crate::llm::structured::json_part;
use crate::types::FinishReason;

/// What becomes of an answer's content.
#[derive(Clone)]
pub(super) enum Reader {
    /// It stays text.
    Text,
    /// It is loaded.
    Json,
    /// This class reads it (`model_validate_json`).
    Class(Arc<Py<PyAny>>),
}

/// Reads an answer as asked, on a callback thread: a class may run anybody's code. An answer that calls
/// tools is not the last one, and stays as it is.
pub(super) async fn read(response: PyLlmResponse, reader: Reader) -> Result<PyLlmResponse> {
    let class = match reader {
        Reader::Text => return Ok(response),
        _ if !response.inner.tool_calls.is_empty() => return Ok(response),
        Reader::Json => None,
        Reader::Class(class) => Some(class),
    };
    bridge::call_python(move |py| {
        let text = json_part(&response.inner.content);
        let parsed = match &class {
            Some(class) => class.bind(py).call_method1("model_validate_json", (text,)),
            None => json::loads(py, text),
        };
        match parsed {
            Ok(parsed) => Ok(response.with_parsed(parsed.unbind())),
            Err(cause) => Err(unreadable(py, response, cause)?),
        }
    })
    .await
}

fn unreadable(py: Python<'_>, response: PyLlmResponse, cause: PyErr) -> PyResult<PyErr> {
    let reason = cause.value(py).to_string();
    let mut text = format!(
        "The answer is not the JSON that was asked for: {}",
        reason.lines().next().unwrap_or_default()
    );
    if response.inner.finish_reason == FinishReason::Length {
        text.push_str(" (it was cut off by the token limit)");
    }
    if let Some(refusal) = response.inner.metadata.get("refusal") {
        text.push_str(&format!(" (the model refused: {refusal})"));
    }
    let mut error = Error::new(Kind::Decode, text).with_advice(Advice::Never);
    if let Some(provider) = response.provider() {
        error = error.with_provider(provider.to_owned());
    }
    let error = to_py_err(error);
    error.value(py).setattr("response", response)?;
    error.set_cause(py, Some(cause));
    Ok(error)
}
