//! Counting, encoding and cutting text by OpenAI's tokens, as functions of the module.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyString;

use super::bridge;
use super::given::{Items, Listed};
use crate::error::Result;
use crate::tokens::{Encoding, Tokenizer};

/// Texts of fewer bytes are done before another thread could make use of the interpreter.
const SHORT: usize = 2048;

/// Does `work` with the tokenizer, without the interpreter when there is enough of it.
fn with_tokenizer<T: Send>(
    py: Python<'_>,
    encoding: &str,
    bytes: usize,
    work: impl FnOnce(&'static Tokenizer) -> Result<T> + Send,
) -> PyResult<T> {
    let encoding = Encoding::from_name(encoding)?;
    if bytes < SHORT {
        return Ok(work(encoding.tokenizer())?);
    }
    bridge::detach(py, || work(encoding.tokenizer()))
}

#[pyfunction]
#[pyo3(signature = (text, encoding="cl100k_base"))]
pub(super) fn count_tokens(text: &Bound<'_, PyString>, encoding: &str) -> PyResult<usize> {
    let borrowed = PyBackedStr::try_from(text.clone())?;
    with_tokenizer(text.py(), encoding, borrowed.len(), |tokenizer| Ok(tokenizer.count(&borrowed)))
}

#[pyfunction]
#[pyo3(signature = (texts, encoding="cl100k_base", *, max_workers=None))]
pub(super) fn count_tokens_many(
    texts: &Bound<'_, PyAny>,
    encoding: &str,
    max_workers: Option<usize>,
) -> PyResult<Vec<usize>> {
    if texts.is_instance_of::<PyString>() {
        // It would count as one text a character.
        return Err(PyTypeError::new_err("texts: an iterable of str is wanted, not one str"));
    }
    let mut borrowed = Vec::new();
    for text in Items::of(texts)? {
        borrowed.push(PyBackedStr::try_from(text?.cast_into::<PyString>()?)?);
    }
    let views: Vec<&str> = borrowed.iter().map(|text| &**text).collect();
    let bytes = views.iter().map(|text| text.len()).sum();
    with_tokenizer(texts.py(), encoding, bytes, |tokenizer| {
        tokenizer.count_many(&views, max_workers)
    })
}

#[pyfunction]
#[pyo3(signature = (text, n, encoding="cl100k_base"))]
pub(super) fn truncate_tokens<'py>(
    text: &Bound<'py, PyString>,
    n: usize,
    encoding: &str,
) -> PyResult<Bound<'py, PyString>> {
    let borrowed = PyBackedStr::try_from(text.clone())?;
    let kept = with_tokenizer(text.py(), encoding, borrowed.len(), |tokenizer| {
        Ok(tokenizer.truncate(&borrowed, n))
    })?;
    if kept.len() == borrowed.len() {
        return Ok(text.clone());
    }
    Ok(PyString::new(text.py(), kept))
}

#[pyfunction]
#[pyo3(signature = (text, encoding="cl100k_base"))]
pub(super) fn encode_tokens(text: &Bound<'_, PyString>, encoding: &str) -> PyResult<Vec<u32>> {
    let borrowed = PyBackedStr::try_from(text.clone())?;
    with_tokenizer(text.py(), encoding, borrowed.len(), |tokenizer| Ok(tokenizer.encode(&borrowed)))
}

#[pyfunction]
#[pyo3(signature = (ids, encoding="cl100k_base"))]
pub(super) fn decode_tokens(py: Python<'_>, ids: Listed<u32>, encoding: &str) -> PyResult<String> {
    let ids = ids.0;
    with_tokenizer(py, encoding, ids.len(), |tokenizer| {
        let bytes = tokenizer.decode(&ids)?;
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    })
}
