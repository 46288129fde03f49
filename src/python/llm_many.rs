//! `complete_many` and `complete_batch`: many prompts at once, one entry for each, in their order.
//!
//! It refuses to lose an answer: an error that ends a batch carries what had been finished by then.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};

use super::bridge::{self, Slices};
use super::chat_response::PyLlmResponse;
use super::errors::to_py_err;
use super::json::class_of;
use super::llm_request::{Limits, check_prompt, options};
use crate::error::{Error, Kind, Result};
use crate::llm::many::{OnError, OnProgress};
use crate::llm::{LlmClient, Many, ManyOptions};
use crate::types::{ChatRequest, ChatResponse, Message, Role};

/// Prompts in one `complete_batch`.
const LARGEST_BATCH: usize = 1000;

/// Prompts with everything that they are asked with.
pub(super) struct Batch {
    prompts: Vec<String>,
    request: ChatRequest,
    options: ManyOptions,
}

/// `complete_many`'s arguments, as Python gave them.
pub(super) struct ManyArguments<'a, 'py> {
    pub(super) max_tokens: Option<i64>,
    pub(super) temperature: Option<f64>,
    pub(super) max_concurrency: Option<usize>,
    pub(super) on_error: &'a str,
    pub(super) on_progress: Option<&'a Bound<'py, PyAny>>,
    pub(super) prompt_caching: bool,
}

impl Batch {
    /// `complete_many`'s: any iterable of str.
    pub(super) fn many(
        prompts: &Bound<'_, PyAny>,
        given: &ManyArguments<'_, '_>,
    ) -> PyResult<Self> {
        let py = prompts.py();
        let prompts = read_prompts(prompts)?;
        let on_error = match given.on_error {
            "raise" => OnError::Stop,
            "return" => OnError::Keep,
            other => {
                let text = "on_error must be 'raise' or 'return'";
                return Err(Error::validation("on_error", Some(other), text).into());
            }
        };
        if on_error == OnError::Stop
            && let Some(index) = prompts.iter().position(String::is_empty)
            && let Err(error) = check_prompt(&place(index), "")
        {
            return Err(refused(py, error, index, prompts.len()));
        }
        let request =
            options(Limits::Plain, given.max_tokens, given.temperature, given.prompt_caching)?;
        check_concurrency(given.max_concurrency)?;
        let on_progress = given.on_progress.map(told).transpose()?;
        let options = ManyOptions { max_concurrency: given.max_concurrency, on_error, on_progress };
        Ok(Self { prompts, request, options })
    }

    /// `complete_batch`'s, with 0.6.8's limits.
    pub(super) fn limited(
        prompts: Vec<String>,
        max_tokens: Option<i64>,
        temperature: Option<f64>,
        max_concurrency: Option<usize>,
    ) -> Result<Self> {
        if prompts.is_empty() {
            return Err(Error::validation("prompts", None, "Prompts list cannot be empty"));
        }
        if prompts.len() > LARGEST_BATCH {
            let count = prompts.len().to_string();
            let text = "Batch size cannot exceed 1000";
            return Err(Error::validation("prompts", Some(&count), text));
        }
        let request = options(Limits::Plain, max_tokens, temperature, false)?;
        check_concurrency(max_concurrency)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let usual = processors.saturating_mul(2).clamp(5, 20);
        let options = ManyOptions {
            max_concurrency: max_concurrency.or(Some(usual)),
            on_error: OnError::Keep,
            on_progress: None,
        };
        Ok(Self { prompts, request, options })
    }

    /// Asks for all of them. `field` names a prompt in the complaint about an empty one.
    pub(super) fn run<T: Send + 'static>(
        self,
        client: LlmClient,
        field: fn(usize) -> String,
        keep: fn(ChatResponse) -> T,
    ) -> impl Future<Output = Result<Many<T>>> + Send + 'static {
        let Self { prompts, request, options } = self;
        let requests = prompts.into_iter().enumerate().map(move |(index, prompt)| {
            if prompt.is_empty() {
                check_prompt(&field(index), &prompt)?;
            }
            let messages = vec![Message::new(Role::User, prompt)];
            Ok(ChatRequest { messages, ..request.clone() })
        });
        async move { Ok(client.complete_each(requests, options, keep).await) }
    }
}

/// How `complete_many` names a prompt.
pub(super) fn place(index: usize) -> String {
    format!("prompts[{index}]")
}

fn read_prompts(given: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let text = given.is_instance_of::<PyString>() || given.is_instance_of::<PyBytes>();
    let Some(given) = (!text).then(|| given.try_iter().ok()).flatten() else {
        return Err(PyTypeError::new_err(format!(
            "argument 'prompts': must be an iterable of str, not '{}'",
            class_of(given)
        )));
    };
    let mut prompts = Vec::with_capacity(given.size_hint().0);
    let mut slices = Slices::new();
    for prompt in given {
        let prompt = prompt?;
        let Ok(text) = prompt.cast::<PyString>() else {
            let place = place(prompts.len());
            let class = class_of(&prompt);
            return Err(PyTypeError::new_err(format!("{place} must be a str, not '{class}'")));
        };
        prompts.push(text.to_str()?.to_owned());
        slices.breathe(prompt.py())?;
    }
    Ok(prompts)
}

fn check_concurrency(max_concurrency: Option<usize>) -> Result<()> {
    if max_concurrency == Some(0) {
        let text = "max_concurrency must be greater than 0";
        return Err(Error::validation("max_concurrency", Some("0"), text));
    }
    Ok(())
}

fn told(function: &Bound<'_, PyAny>) -> PyResult<OnProgress> {
    if !function.is_callable() {
        let text = format!("argument 'on_progress': '{}' is not callable", class_of(function));
        return Err(PyTypeError::new_err(text));
    }
    let function = Arc::new(function.clone().unbind());
    Ok(Arc::new(move |done, total| {
        let function = Arc::clone(&function);
        Box::pin(bridge::call_python(move |py| function.call1(py, (done, total)).map(drop)))
    }))
}

/// The list of outcomes, exceptions among them; or what ended the batch, carrying what was finished.
pub(super) fn deliver<T>(
    py: Python<'_>,
    many: Many<T>,
    make: impl Fn(Python<'_>, T) -> PyResult<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let list = PyList::empty(py);
    let mut slices = Slices::new();
    for (index, outcome) in many.outcomes.into_iter().enumerate() {
        match (outcome, &many.ended) {
            (Some(Ok(answer)), _) => list.append(make(py, answer)?)?,
            (Some(Err(error)), None) => {
                let error = to_py_err(error);
                annotate(py, &error, Some(index), None);
                list.append(error.into_value(py))?;
            }
            (Some(Err(_)) | None, _) => list.append(py.None())?,
        }
        slices.breathe(py)?;
    }
    match many.ended {
        None => Ok(list.into_any().unbind()),
        Some(ended) => {
            let error = to_py_err(ended.error);
            annotate(py, &error, ended.index, Some(&list));
            Err(error)
        }
    }
}

/// An error of the checks, with the attributes that one of a batch has.
fn refused(py: Python<'_>, error: Error, index: usize, total: usize) -> PyErr {
    let error = to_py_err(error);
    match PyList::new(py, (0..total).map(|_| py.None())) {
        Ok(results) => annotate(py, &error, Some(index), Some(&results)),
        Err(failed) => return failed,
    }
    error
}

/// Says which prompt an error belongs to and what else there is. An exception of a user's own may refuse
/// attributes; then it goes without.
fn annotate(
    py: Python<'_>,
    error: &PyErr,
    index: Option<usize>,
    results: Option<&Bound<'_, PyList>>,
) {
    let value = error.value(py);
    let _ = value.setattr("index", index);
    if let Some(results) = results {
        let _ = value.setattr("results", results);
    }
}

pub(super) fn text_into_py(py: Python<'_>, text: String) -> PyResult<Py<PyAny>> {
    Ok(text.into_pyobject(py)?.into_any().unbind())
}

pub(super) fn response_into_py(py: Python<'_>, response: PyLlmResponse) -> PyResult<Py<PyAny>> {
    Ok(response.into_pyobject(py)?.into_any().unbind())
}

/// A failed entry of a batch: `Error: <built-in of GraphBit 0.6.8>: <message>`.
pub(super) fn failed_entry(error: &Error) -> String {
    let class = match error.kind() {
        Kind::Validation | Kind::Configuration | Kind::Unsupported => "ValueError",
        Kind::Timeout => "TimeoutError",
        // The message of a callback's error begins with what it raised.
        Kind::Callback => return format!("Error: {error}"),
        _ => "RuntimeError",
    };
    format!("Error: {class}: {error}")
}
