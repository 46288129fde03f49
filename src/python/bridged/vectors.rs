//! Embedding models behind a wrapper's `embed` and `embed_many`.
//!
//! Rows may be lists, tuples or arrays; a value that is no number, and an answer without values, are
//! errors. How many rows there must be is the client's to check.

use std::sync::Arc;
use std::time::Duration;

use numpy::{PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::{Arguments, Method, PROVIDER, Wrapped};
use crate::embeddings::{BoxFuture, EmbeddingModel};
use crate::error::{Advice, Error, Kind, Result};
use crate::python::bridge::Slices;
use crate::python::errors::callback_error;
use crate::types::{Embeddings, Matrix};

/// Most texts the services behind the libraries take at once.
const MOST_TEXTS: usize = 2048;

const ONE: Method = Method { name: "embed", failure: "Python embed call failed" };
const MANY: Method = Method { name: "embed_many", failure: "Python embed_many call failed" };

pub(super) struct BridgedEmbedding {
    wrapped: Arc<Wrapped>,
}

impl BridgedEmbedding {
    pub(super) fn new(wrapped: Wrapped) -> Self {
        Self { wrapped: Arc::new(wrapped) }
    }
}

impl EmbeddingModel for BridgedEmbedding {
    fn provider(&self) -> &str {
        PROVIDER
    }

    fn model(&self) -> &str {
        &self.wrapped.model
    }

    fn dimensions(&self) -> Option<usize> {
        None
    }

    fn max_batch(&self) -> usize {
        MOST_TEXTS
    }

    fn attempt_limit(&self) -> Option<Duration> {
        self.wrapped.limit
    }

    fn embed<'a>(&'a self, texts: &'a [String], _: bool) -> BoxFuture<'a, Result<Embeddings>> {
        let (model, texts) = (self.wrapped.model.clone(), texts.to_vec());
        let method = if texts.len() == 1 { ONE } else { MANY };
        Box::pin(async move {
            let vectors = self
                .wrapped
                .call(
                    method,
                    move |py| embed_arguments(py, &model, &texts),
                    |answer, _| read(answer),
                )
                .await;
            let vectors = vectors
                .map_err(|error| error.with_prefix("LLM error: ").with_provider(PROVIDER))?;
            // The libraries do not tell how many tokens it took.
            Ok(Embeddings { vectors, ..Embeddings::default() })
        })
    }
}

fn embed_arguments<'py>(
    py: Python<'py>,
    model: &str,
    texts: &[String],
) -> PyResult<Arguments<'py>> {
    let input = match texts {
        [text] => PyString::new(py, text).into_any(),
        texts => PyList::new(py, texts)?.into_any(),
    };
    let positional = PyTuple::new(py, [PyString::new(py, model).into_any(), input])?;
    Ok((positional, PyDict::new(py)))
}

/// What the call returned. Asking again would bring another like it.
fn read(answer: &Bound<'_, PyAny>) -> Result<Matrix> {
    matrix(answer).map_err(|error| error.with_advice(Advice::Never))
}

/// One vector or a list of them, as rows.
fn matrix(answer: &Bound<'_, PyAny>) -> Result<Matrix> {
    let vectors = if is_array(answer) {
        array(answer)?
    } else {
        if !is_row(answer) {
            return Err(refuse("Python embedding response must be a list"));
        }
        let first = answer.get_item(0).map_err(|_| empty())?;
        if is_row(&first) {
            let slices = Slices::new();
            let mut rows = Vec::new();
            for row in answer.try_iter().map_err(not_a_number)? {
                rows.push(floats(&row.map_err(not_a_number)?)?);
                let raised = |raised| callback_error(answer.py(), raised);
                slices.breathe(answer.py()).map_err(raised)?;
            }
            Matrix::from_rows(&rows)?
        } else {
            Matrix::from_rows(&[floats(answer)?])?
        }
    };
    if vectors.as_slice().is_empty() { Err(empty()) } else { Ok(vectors) }
}

/// An array of any library, of one dimension or two.
fn array(answer: &Bound<'_, PyAny>) -> Result<Matrix> {
    let read = || -> PyResult<Option<Matrix>> {
        let numpy = answer.py().import("numpy")?;
        let array = numpy.call_method1("asarray", (answer,))?;
        // Strings and None would be converted too, silently.
        let kind: String = array.getattr("dtype")?.getattr("kind")?.extract()?;
        if !["f", "i", "u"].contains(&kind.as_str()) {
            return Ok(None);
        }
        let array = numpy.call_method1("ascontiguousarray", (array, "float32"))?;
        let array: PyReadonlyArrayDyn<'_, f32> = array.extract()?;
        let (rows, dimensions) = match *array.shape() {
            [dimensions] => (1, dimensions),
            [rows, dimensions] => (rows, dimensions),
            _ => return Ok(None),
        };
        Ok(Some(Matrix::new(array.as_slice()?.to_vec(), rows, dimensions)?))
    };
    read().map_err(not_a_number)?.ok_or_else(|| {
        refuse("Failed to extract float: an array must hold numbers in one dimension or two")
    })
}

fn floats(row: &Bound<'_, PyAny>) -> Result<Vec<f32>> {
    if is_array(row) {
        return Ok(array(row)?.into_vec());
    }
    let items = row.try_iter().map_err(not_a_number)?;
    items
        .map(|item| item.and_then(|item| item.extract::<f32>()))
        .collect::<PyResult<_>>()
        .map_err(not_a_number)
}

fn is_row(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() || is_array(value)
}

/// Whether it is an array of some dimension: numpy's scalars call themselves arrays too.
fn is_array(value: &Bound<'_, PyAny>) -> bool {
    let dimensions = value.getattr("ndim").and_then(|ndim| ndim.extract::<usize>());
    dimensions.is_ok_and(|ndim| ndim > 0) && value.hasattr("__array__").unwrap_or(false)
}

fn refuse(text: &'static str) -> Error {
    Error::new(Kind::Decode, text)
}

fn empty() -> Error {
    refuse("Empty embedding response from Python")
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err hands over")]
fn not_a_number(cause: PyErr) -> Error {
    Error::new(Kind::Decode, format!("Failed to extract float: {cause}"))
}
