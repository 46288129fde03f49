//! A Python function as an embedding model: `list[str]` in, rows of numbers out.
//!
//! It refuses to guess what a function meant: anything but as many rows as there were texts, all of one
//! length, is an error.

use std::sync::Arc;

use numpy::{PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::bridge;
use crate::embeddings::{BoxFuture, EmbeddingModel};
use crate::error::{Error, Kind, Result};
use crate::types::{Embeddings, Matrix};

/// A Python function as a model.
pub(super) struct CallableModel {
    function: Arc<Py<PyAny>>,
    model: String,
    dimensions: Option<usize>,
    max_batch: usize,
}

impl CallableModel {
    /// `function` as a model of this name that takes at most `max_batch` texts a call.
    pub(super) fn new(
        function: Bound<'_, PyAny>,
        model: &str,
        dimensions: Option<usize>,
        max_batch: usize,
    ) -> Self {
        let function = Arc::new(function.unbind());
        Self { function, model: model.to_owned(), dimensions, max_batch }
    }
}

impl EmbeddingModel for CallableModel {
    fn provider(&self) -> &str {
        "callable"
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn dimensions(&self) -> Option<usize> {
        self.dimensions
    }

    fn max_batch(&self) -> usize {
        self.max_batch
    }

    fn embed<'a>(&'a self, texts: &'a [String], _: bool) -> BoxFuture<'a, Result<Embeddings>> {
        let (function, texts) = (Arc::clone(&self.function), texts.to_vec());
        let answer = bridge::call_python(move |py| matrix(&function.bind(py).call1((texts,))?));
        Box::pin(async move {
            let vectors = answer.await?;
            let found = vectors.dimensions();
            if let Some(expected) = self.dimensions.filter(|&expected| expected != found) {
                let text = format!("LLM error: {found} dimensions instead of {expected}");
                return Err(Error::new(Kind::Decode, text).with_provider("callable"));
            }
            Ok(Embeddings { vectors, ..Embeddings::default() })
        })
    }
}

/// What a user's function returned, as a matrix.
fn matrix(value: &Bound<'_, PyAny>) -> PyResult<Matrix> {
    let py = value.py();
    let refuse = || {
        let kind = value.get_type();
        PyTypeError::new_err(format!(
            "the function must return a list of lists of numbers or a 2-D array, not {kind}"
        ))
    };
    // Tensors of other libraries offer this too.
    if value.hasattr("__array__")? {
        let array = py.import("numpy")?.call_method1("ascontiguousarray", (value, "float32"))?;
        let array: PyReadonlyArray2<'_, f32> = array.extract().map_err(|_| refuse())?;
        let [rows, dimensions] = *array.shape() else { return Err(refuse()) };
        return Ok(Matrix::new(array.as_slice()?.to_vec(), rows, dimensions)?);
    }
    let rows: Vec<Vec<f32>> = value.extract().map_err(|_| refuse())?;
    Ok(Matrix::from_rows(&rows)?)
}
