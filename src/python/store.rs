//! `VectorStore` and `SearchHit`.
//!
//! Vectors come as numpy arrays (any real dtype, one copy to float32) or as lists; everything else
//! happens without the interpreter.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::bridge;
use crate::error::Error;
use crate::store::{self, Entry, Hit, StoreOptions};
use crate::types::Matrix;

/// One answer to a search.
#[pyclass(frozen, module = "graphbit")]
pub(super) struct SearchHit {
    hit: Hit,
}

#[pymethods]
impl SearchHit {
    /// The id the entry was added under.
    #[getter]
    fn id(&self) -> &str {
        &self.hit.entry.id
    }

    /// More is better: the cosine, the dot product, or the distance with its sign turned.
    #[getter]
    fn score(&self) -> f32 {
        self.hit.score
    }

    /// The text stored beside the vector.
    #[getter]
    fn text(&self) -> &str {
        &self.hit.entry.text
    }

    /// The metadata stored beside the vector; a new dict each time.
    #[getter]
    fn metadata(&self) -> BTreeMap<String, String> {
        self.hit.entry.metadata.clone()
    }

    /// The how-manieth vector of the store this was when it was added, from 0.
    #[getter]
    fn index(&self) -> u64 {
        self.hit.index
    }

    fn __repr__(&self) -> String {
        let text: String = self.hit.entry.text.chars().take(50).collect();
        format!("SearchHit(id={:?}, score={}, text={text:?})", self.id(), self.hit.score)
    }
}

/// An exact vector store, in memory or in a folder.
#[pyclass(frozen, module = "graphbit")]
pub(super) struct VectorStore {
    store: Arc<store::VectorStore>,
}

impl VectorStore {
    /// The store of the core.
    pub(super) fn shared(&self) -> &Arc<store::VectorStore> {
        &self.store
    }
}

#[pymethods]
impl VectorStore {
    /// `metric` is "cosine", "dot" or "l2". Without `dimensions` the first vectors decide.
    #[new]
    #[pyo3(signature = (dimensions=None, *, metric="cosine"))]
    fn new(dimensions: Option<usize>, metric: &str) -> PyResult<Self> {
        let store = store::VectorStore::new(metric.parse()?, dimensions)?;
        Ok(Self { store: Arc::new(store) })
    }

    /// Stores one vector a row and returns the ids. Ids that exist are replaced; without `ids` free
    /// numbers are given. All rows are stored, or none.
    #[pyo3(signature = (vectors, texts=None, ids=None, metadatas=None))]
    fn add(
        &self,
        py: Python<'_>,
        vectors: &Bound<'_, PyAny>,
        texts: Option<Vec<String>>,
        ids: Option<Vec<String>>,
        metadatas: Option<Vec<BTreeMap<String, String>>>,
    ) -> PyResult<Vec<String>> {
        let vectors = matrix("vectors", vectors)?;
        if let Some(row) = ids.iter().flatten().position(String::is_empty) {
            let text = format!("the id of row {row} is empty");
            return Err(Error::validation("ids", Some(""), &text).into());
        }
        let mut texts = column("texts", texts, &vectors)?;
        let mut ids = column("ids", ids, &vectors)?;
        let mut metadatas = column("metadatas", metadatas, &vectors)?;
        let entries = (0..vectors.rows())
            .map(|_| Entry {
                id: ids.next().unwrap_or_default(),
                text: texts.next().unwrap_or_default(),
                metadata: metadatas.next().unwrap_or_default(),
            })
            .collect();
        bridge::detach(py, || self.store.add(&vectors, entries))
    }

    /// The `top_k` entries most like `vector`, best first.
    #[pyo3(signature = (vector, top_k=5))]
    fn search(
        &self,
        py: Python<'_>,
        vector: &Bound<'_, PyAny>,
        top_k: usize,
    ) -> PyResult<Vec<SearchHit>> {
        let vector = row("vector", vector)?;
        let hits = bridge::detach(py, || self.store.search(&vector, top_k))?;
        Ok(hits.into_iter().map(|hit| SearchHit { hit }).collect())
    }

    /// `search` for every row of `vectors`, on all cores.
    #[pyo3(signature = (vectors, top_k=5))]
    fn search_many(
        &self,
        py: Python<'_>,
        vectors: &Bound<'_, PyAny>,
        top_k: usize,
    ) -> PyResult<Vec<Vec<SearchHit>>> {
        let vectors = matrix("vectors", vectors)?;
        let results = bridge::detach(py, || self.store.search_many(&vectors, top_k))?;
        let wrap = |hits: Vec<Hit>| hits.into_iter().map(|hit| SearchHit { hit }).collect();
        Ok(results.into_iter().map(wrap).collect())
    }

    /// Removes the entries with these ids; returns how many there were.
    #[expect(clippy::needless_pass_by_value, reason = "extracted from the call's arguments")]
    fn delete(&self, py: Python<'_>, ids: Vec<String>) -> PyResult<usize> {
        bridge::detach(py, || self.store.delete(&ids))
    }

    /// Writes one file; what was there before is replaced in one step or stays untouched.
    #[expect(clippy::needless_pass_by_value, reason = "extracted from the call's arguments")]
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        bridge::detach(py, || self.store.save(&path))
    }

    /// Reads what `save` wrote; a damaged file raises and loads nothing.
    #[staticmethod]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from the call's arguments")]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let store = bridge::detach(py, || store::VectorStore::load(&path))?;
        Ok(Self { store: Arc::new(store) })
    }

    /// The store in a folder, made when it is not there: each change is written down before the call
    /// returns. One process writes; others pass `read_only=True`.
    #[staticmethod]
    #[pyo3(signature = (path, *, dimensions=None, metric=None, read_only=false, sync=false))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from the call's arguments")]
    fn open(
        py: Python<'_>,
        path: PathBuf,
        dimensions: Option<usize>,
        metric: Option<&str>,
        read_only: bool,
        sync: bool,
    ) -> PyResult<Self> {
        let metric = metric.map(str::parse).transpose()?;
        let options = StoreOptions { metric, dimensions, read_only, sync };
        let store = bridge::detach(py, || store::VectorStore::open(&path, options))?;
        Ok(Self { store: Arc::new(store) })
    }

    /// Takes in what the folder's writer has changed since; whether there was anything.
    fn refresh(&self, py: Python<'_>) -> PyResult<bool> {
        bridge::detach(py, || self.store.refresh())
    }

    /// Lets go of the folder; searches go on, changes are refused.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        bridge::detach(py, || self.store.close())
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _class: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }

    /// Values a vector, or `None` before the first one.
    #[getter]
    fn dimensions(&self) -> Option<usize> {
        self.store.dimensions()
    }

    /// "cosine", "dot" or "l2".
    #[getter]
    fn metric(&self) -> &'static str {
        self.store.metric().as_str()
    }

    fn __len__(&self) -> usize {
        self.store.len()
    }

    fn __repr__(&self) -> String {
        let dimensions =
            self.dimensions().map_or_else(|| "None".to_owned(), |number| number.to_string());
        format!(
            "VectorStore(len={}, dimensions={dimensions}, metric='{}')",
            self.store.len(),
            self.metric()
        )
    }
}

/// The values of an optional argument with one value a vector.
fn column<T>(
    field: &str,
    values: Option<Vec<T>>,
    vectors: &Matrix,
) -> PyResult<std::vec::IntoIter<T>> {
    let rows = vectors.rows();
    match values {
        Some(values) if values.len() != rows => {
            let text = format!("there are {rows} vectors; each needs one value");
            Err(Error::validation(field, Some(&values.len().to_string()), &text).into())
        }
        values => Ok(values.unwrap_or_default().into_iter()),
    }
}

/// `value` as a contiguous float32 array when it is a numpy array.
fn as_array<'py>(field: &str, value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    // Asked for by attribute: without numpy installed its C interface must not be touched.
    if !value.hasattr("__array_interface__")? {
        return Ok(None);
    }
    let kind: String = value.getattr("dtype")?.getattr("kind")?.extract()?;
    if !matches!(kind.as_str(), "f" | "i" | "u") {
        let dtype = value.getattr("dtype")?;
        return Err(PyTypeError::new_err(format!(
            "{field} must hold real numbers, got an array of dtype {dtype}"
        )));
    }
    let options = PyDict::new(value.py());
    options.set_item("order", "C")?;
    options.set_item("copy", false)?;
    value.call_method("astype", ("float32",), Some(&options)).map(Some)
}

fn wrong_shape(field: &str, array: &Bound<'_, PyAny>, wanted: &str) -> PyErr {
    let shape = array.getattr("shape").map_or_else(|_| "?".to_owned(), |shape| shape.to_string());
    Error::validation(field, Some(&format!("array of shape {shape}")), wanted).into()
}

fn matrix(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Matrix> {
    if let Some(array) = as_array(field, value)? {
        let wanted = "must be two-dimensional, one vector a row";
        let rows: PyReadonlyArray2<'_, f32> =
            array.extract().map_err(|_| wrong_shape(field, &array, wanted))?;
        let data = rows.as_slice().map_err(|_| wrong_shape(field, &array, wanted))?.to_vec();
        let shape = (rows.shape().first().copied(), rows.shape().get(1).copied());
        let (count, dimensions) = (shape.0.unwrap_or_default(), shape.1.unwrap_or_default());
        return Ok(Matrix::new(data, count, dimensions)?);
    }
    let mut data = Vec::new();
    let (mut count, mut dimensions) = (0, 0);
    for item in value.try_iter()? {
        let values = row(&format!("{field}[{count}]"), &item?)?;
        if count == 0 {
            dimensions = values.len();
        } else if values.len() != dimensions {
            let text = format!("has {} values, row 0 has {dimensions}", values.len());
            return Err(Error::validation(field, Some(&format!("row {count}")), &text).into());
        }
        data.extend(values);
        count += 1;
    }
    Ok(Matrix::new(data, count, dimensions)?)
}

fn row(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<f32>> {
    if let Some(array) = as_array(field, value)? {
        let wanted = "must be one vector";
        let values: PyReadonlyArray1<'_, f32> =
            array.extract().map_err(|_| wrong_shape(field, &array, wanted))?;
        return Ok(values.as_slice().map_err(|_| wrong_shape(field, &array, wanted))?.to_vec());
    }
    value.extract().map_err(|error: PyErr| {
        let text = format!("{field} must be a list of numbers: {}", error.value(value.py()));
        PyTypeError::new_err(text)
    })
}
