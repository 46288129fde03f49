//! How a question is asked, as Python says it, and many of them at once.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::answer::PyAnswer;
use crate::error::{Error, Result};
use crate::llm::many::{Ended, OnError};
use crate::python::bridge;
use crate::python::documents::wrong_type;
use crate::python::errors::to_py_err;
use crate::python::finished::Conversion;
use crate::python::given::Items;
use crate::python::json::class_of;
use crate::python::llm_many::{exception, set_index};
use crate::python::store::filter;
use crate::rag::{Answer, Answers, AskMany, Asking, ParallelRag, Rerank};

/// The keyword arguments that all ways to ask share.
pub(super) struct Given<'a, 'py> {
    pub(super) top_k: Option<usize>,
    pub(super) mode: &'a str,
    pub(super) r#where: Option<Bound<'py, PyAny>>,
    pub(super) diversity: Option<f32>,
    pub(super) rerank: Option<Bound<'py, PyAny>>,
    pub(super) min_score: Option<f32>,
    pub(super) max_context_tokens: Option<usize>,
}

impl Given<'_, '_> {
    pub(super) fn asking(self) -> PyResult<Asking> {
        Ok(Asking {
            top_k: self.top_k,
            mode: self.mode.parse()?,
            filter: filter(self.r#where.as_ref())?,
            diversity: self.diversity,
            rerank: self.rerank.map(rerank).transpose()?,
            min_score: self.min_score,
            max_context_tokens: self.max_context_tokens,
        })
    }
}

/// A Python function as a reranker; it is called on a callback thread.
fn rerank(function: Bound<'_, PyAny>) -> PyResult<Rerank> {
    if !function.is_callable() {
        return Err(wrong_type("rerank", "callable", &function));
    }
    let function = Arc::new(function.unbind());
    Ok(Arc::new(move |question, texts| {
        let function = Arc::clone(&function);
        Box::pin(bridge::call_python(move |py| {
            scores(&function.bind(py).call1((question, texts))?)
        }))
    }))
}

fn scores(value: &Bound<'_, PyAny>) -> PyResult<Vec<f32>> {
    let refuse = || {
        let class = class_of(value);
        PyTypeError::new_err(format!("rerank must return one number for each text, not '{class}'"))
    };
    // Any iterable: arrays and tensors are no sequences.
    value
        .try_iter()
        .map_err(|_| refuse())?
        .map(|score| score?.extract().map_err(|_| refuse()))
        .collect()
}

/// Many questions with two doors.
pub(super) struct Questions(AskMany);

impl Questions {
    pub(super) fn new(
        rag: &ParallelRag,
        questions: &Bound<'_, PyAny>,
        asking: Asking,
        max_concurrency: Option<usize>,
        on_error: &str,
    ) -> PyResult<Self> {
        let on_error = match on_error {
            "raise" => OnError::Stop,
            "return" => OnError::Keep,
            other => {
                let text = "must be 'raise' or 'return'";
                return Err(Error::validation("on_error", Some(other), text).into());
            }
        };
        Ok(Self(rag.ask_many(read(questions)?, asking, max_concurrency, on_error)?))
    }

    pub(super) fn block(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let answers = self.0.answers();
        let ended = bridge::block_on(py, async move { Ok(self.0.work().await) });
        deliver(py, &answers, ended)
    }

    pub(super) fn start(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let (answers, so_far) = (self.0.answers(), self.0.answers());
        bridge::future_with_results(
            py,
            async move { Ok(self.0.work().await) },
            move |py, ended| deliver(py, &answers, Ok(ended)),
            move |py| deliver(py, &so_far, Ok(None)),
        )
    }
}

/// The list of outcomes; what ended the call early carries it.
fn deliver(
    py: Python<'_>,
    answers: &Answers,
    ended: PyResult<Option<Ended>>,
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
    let outcomes = answers.take().into_iter().enumerate();
    let entry = |(index, outcome): (usize, Option<Result<Answer>>)| match outcome {
        Some(Ok(answer)) => Ok(Py::new(py, PyAnswer::new(py, answer)?)?.into_any()),
        Some(Err(error)) => exception(py, index, error),
        None => Ok(py.None()),
    };
    let list = conversion.list(py, outcomes, entry)?;
    conversion.end(&list)?;
    Ok(list.into_any().unbind())
}

fn read(given: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    // A text is an iterable of texts, and never what was meant.
    let text = given.is_instance_of::<PyString>() || given.is_instance_of::<PyBytes>();
    let Some(items) = (!text).then(|| Items::of(given).ok()).flatten() else {
        return Err(wrong_type("questions", "an iterable of str", given));
    };
    let mut questions = Vec::new();
    for item in items {
        let item = item?;
        let Ok(question) = item.cast::<PyString>() else {
            let place = format!("questions[{}]", questions.len());
            return Err(wrong_type(&place, "a str", &item));
        };
        questions.push(question.to_str()?.to_owned());
    }
    Ok(questions)
}
