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
use super::exit;
use super::finished::{Conversion, with_results};
use super::given::Items;
use super::json::class_of;
use super::llm_request::{Limits, check_prompt, options};
use crate::error::{Error, Kind, Result};
use crate::llm::many::{Ended, OnError, OnProgress};
use crate::llm::{Each, Gathered, LlmClient, ManyOptions};
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
        let prompts = exit::inside(py, || read_prompts(prompts))?;
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

    /// Will ask for all of them. `field` names a prompt in the complaint about an empty one.
    fn each<T: Send + 'static>(
        self,
        client: &LlmClient,
        field: fn(usize) -> String,
        keep: fn(ChatResponse) -> T,
    ) -> Each<T> {
        let Self { prompts, request, options } = self;
        let requests = prompts.into_iter().enumerate().map(move |(index, prompt)| {
            if prompt.is_empty() {
                check_prompt(&field(index), &prompt)?;
            }
            let messages = vec![Message::new(Role::User, prompt)];
            Ok(ChatRequest { messages, ..request.clone() })
        });
        client.each(requests, options, keep)
    }

    /// `complete_many`: texts, and exceptions where they are asked for.
    pub(super) fn texts(self, client: &LlmClient) -> Asked<String> {
        Asked::new(self.each(client, place, |answer| answer.content), text_or_exception)
    }

    /// `complete_many(full=True)`.
    pub(super) fn responses(self, client: &LlmClient) -> Asked<ChatResponse> {
        Asked::new(self.each(client, place, |answer| answer), |py, index, outcome| match outcome {
            Ok(answer) => response_into_py(py, PyLlmResponse::answered(answer)),
            Err(error) => exception(py, index, error),
        })
    }

    /// `complete_batch`: texts only, errors among them.
    pub(super) fn entries(self, client: &LlmClient) -> Asked<String> {
        let each = self.each(client, |_| "prompt".to_owned(), |answer| answer.content);
        Asked::new(each, |py, _, outcome| {
            text_into_py(py, outcome.unwrap_or_else(|error| failed_entry(&error)))
        })
    }
}

type Entry<T> = Arc<dyn Fn(Python<'_>, usize, Result<T>) -> PyResult<Py<PyAny>> + Send + Sync>;

/// Many requests with the way their outcomes look in Python; two doors.
pub(super) struct Asked<T> {
    each: Each<T>,
    entry: Entry<T>,
}

impl<T: Send + 'static> Asked<T> {
    fn new(
        each: Each<T>,
        entry: impl Fn(Python<'_>, usize, Result<T>) -> PyResult<Py<PyAny>> + Send + Sync + 'static,
    ) -> Self {
        Self { each, entry: Arc::new(entry) }
    }

    /// The list of outcomes; what ends the call early carries those that were finished.
    pub(super) fn block(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Self { each, entry } = self;
        let gathered = each.gathered();
        let ended = bridge::block_on(py, async move { Ok(each.work().await) });
        deliver(py, &gathered, ended, &entry)
    }

    /// The same as an `asyncio.Future`.
    pub(super) fn start(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let Self { each, entry } = self;
        let gathered = each.gathered();
        let (so_far, entry_so_far) = (gathered.clone(), Arc::clone(&entry));
        bridge::future_with_results(
            py,
            async move { Ok(each.work().await) },
            move |py, ended| deliver(py, &gathered, Ok(ended), &entry),
            move |py| deliver(py, &so_far, Ok(None), &entry_so_far),
        )
    }
}

fn deliver<T>(
    py: Python<'_>,
    gathered: &Gathered<T>,
    ended: PyResult<Option<Ended>>,
    entry: &Entry<T>,
) -> PyResult<Py<PyAny>> {
    let raised = match ended {
        Ok(None) => None,
        Ok(Some(ended)) => {
            let raised = to_py_err(ended.error);
            set_index(py, &raised, ended.index);
            Some(raised)
        }
        Err(raised) => Some(raised),
    };
    let mut conversion = Conversion::new(raised);
    let outcomes = gathered.take().into_iter().enumerate();
    let list = conversion.list(py, outcomes, |(index, outcome)| match outcome {
        Some(outcome) => entry(py, index, outcome),
        None => Ok(py.None()),
    })?;
    conversion.end(&list)?;
    Ok(list.into_any().unbind())
}

/// How `complete_many` names a prompt.
pub(super) fn place(index: usize) -> String {
    format!("prompts[{index}]")
}

fn read_prompts(given: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let text = given.is_instance_of::<PyString>() || given.is_instance_of::<PyBytes>();
    let Some(given) = (!text).then(|| Items::of(given).ok()).flatten() else {
        return Err(PyTypeError::new_err(format!(
            "argument 'prompts': must be an iterable of str, not '{}'",
            class_of(given)
        )));
    };
    let mut prompts = Vec::with_capacity(given.size_hint().0);
    let slices = Slices::new();
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

fn text_or_exception(py: Python<'_>, index: usize, outcome: Result<String>) -> PyResult<Py<PyAny>> {
    match outcome {
        Ok(text) => text_into_py(py, text),
        Err(error) => exception(py, index, error),
    }
}

/// A failure that stands in its prompt's place.
pub(super) fn exception(py: Python<'_>, index: usize, error: Error) -> PyResult<Py<PyAny>> {
    let error = to_py_err(error);
    set_index(py, &error, Some(index));
    Ok(error.into_value(py).into_any())
}

/// An error of the checks, with the attributes that one of a batch has.
fn refused(py: Python<'_>, error: Error, index: usize, total: usize) -> PyErr {
    let error = to_py_err(error);
    set_index(py, &error, Some(index));
    match PyList::new(py, (0..total).map(|_| py.None())) {
        Ok(results) => with_results(error, &results),
        Err(failed) => failed,
    }
}

/// Says which prompt an error belongs to. An exception of a user's own may refuse attributes; then it goes
/// without.
pub(super) fn set_index(py: Python<'_>, error: &PyErr, index: Option<usize>) {
    let _ = error.value(py).setattr("index", index);
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
