//! Local embedding models for Python: finds the files in installed packages, runs ONNX through Python.
//!
//! It refuses to download. Without the package the error says which command brings it.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use numpy::{PyArray1, PyArray3, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;

use super::given::import;
use super::{bridge, exit};
use crate::embeddings::EmbeddingModel;
use crate::error::{Error, Result};
use crate::local::{self, Inference, StaticEmbedding, TokenBatch, TransformerEmbedding};

/// The model used when none is named.
pub(super) const DEFAULT_MODEL: &str = "wordllama";

/// A local embedding model: one of those that packages carry, or the user's own safetensors file.
///
/// With `path` the model is the static one over that file; `tokenizer` defaults to `tokenizer.json`
/// beside it, and `model` is only its name. Weights are read on first use.
pub(super) fn embedding_model(
    py: Python<'_>,
    model: Option<&str>,
    path: Option<PathBuf>,
    tokenizer: Option<PathBuf>,
) -> PyResult<Arc<dyn EmbeddingModel>> {
    if let Some(path) = path {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(local::open(model.unwrap_or(&stem), path, tokenizer)?);
    }
    if tokenizer.is_some() {
        let text = "is the tokenizer of your own weights: give path= too";
        return Err(Error::validation("tokenizer", None, text).into());
    }
    let model = model.unwrap_or(DEFAULT_MODEL);
    let models = import(py, "graphbit._models")?;
    let found = exit::inside(py, || models.call_method1("find", (model,)))?;
    let Ok((weights, tokenizer)) = found.extract::<(PathBuf, PathBuf)>() else {
        return Err(Error::configuration(found.extract::<String>()?).into());
    };
    if model == DEFAULT_MODEL {
        return Ok(Arc::new(StaticEmbedding::open(model, &weights, Some(tokenizer))?));
    }
    let session = exit::inside(py, || models.call_method1("OnnxModel", (weights,)))?.unbind();
    let inference = Arc::new(PythonInference { session: Arc::new(session) });
    let opened = bridge::detach(py, || TransformerEmbedding::open(model, tokenizer, inference))?;
    Ok(Arc::new(opened))
}

/// The forward pass in Python's onnxruntime, which leaves the interpreter while it computes.
struct PythonInference {
    session: Arc<Py<PyAny>>,
}

impl Inference for PythonInference {
    fn run(&self, batch: TokenBatch) -> BoxFuture<'static, Result<Vec<f32>>> {
        let session = Arc::clone(&self.session);
        bridge::call_python(move |py| {
            let shape = [batch.rows, batch.columns];
            let ids = PyArray1::from_vec(py, batch.ids).reshape(shape)?;
            let mask = PyArray1::from_vec(py, batch.mask).reshape(shape)?;
            let states = session.bind(py).call_method1("run", (ids, mask))?;
            let states = states.cast_into::<PyArray3<f32>>()?;
            let fits = states.shape().starts_with(&shape);
            let values = states.try_readonly()?.as_array().iter().copied().collect::<Vec<f32>>();
            // An array of another shape is reported as an empty answer, which the pooling refuses.
            Ok(if fits { values } else { Vec::new() })
        })
        .boxed()
    }
}
