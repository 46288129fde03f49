//! Vectors as they come from Python: numpy arrays of any real dtype, with one copy to float32, or lists. And as they
//! go there: float32 arrays without a copy, or lists where there is no numpy.

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::exit;
use super::given::{Items, Listed, import};
use crate::error::Error;
use crate::types::Matrix;

/// The values of an optional argument with one value a vector.
pub(super) fn column<T>(
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

/// One vector a row.
pub(super) fn matrix(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Matrix> {
    exit::inside(value.py(), || read_matrix(field, value))
}

/// One vector.
pub(super) fn row(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<f32>> {
    exit::inside(value.py(), || read_row(field, value))
}

fn read_matrix(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Matrix> {
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
    for item in Items::of(value)? {
        let values = read_row(&format!("{field}[{count}]"), &item?)?;
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

/// An array of shape (rows, values).
pub(super) fn to_array<'py>(py: Python<'py>, vectors: Matrix) -> PyResult<Bound<'py, PyAny>> {
    if import(py, "numpy").is_err() {
        return Ok(PyList::new(py, vectors.iter().collect::<Vec<_>>())?.into_any());
    }
    let shape = [vectors.rows(), vectors.dimensions()];
    Ok(PyArray1::from_vec(py, vectors.into_vec()).reshape(shape)?.into_any())
}

/// An array of one vector's values.
pub(super) fn to_row<'py>(py: Python<'py>, vector: Vec<f32>) -> PyResult<Bound<'py, PyAny>> {
    if import(py, "numpy").is_err() {
        return Ok(PyList::new(py, vector)?.into_any());
    }
    Ok(PyArray1::from_vec(py, vector).into_any())
}

fn read_row(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<f32>> {
    if let Some(array) = as_array(field, value)? {
        let wanted = "must be one vector";
        let values: PyReadonlyArray1<'_, f32> =
            array.extract().map_err(|_| wrong_shape(field, &array, wanted))?;
        return Ok(values.as_slice().map_err(|_| wrong_shape(field, &array, wanted))?.to_vec());
    }
    value.extract().map(|Listed(values)| values).map_err(|error: PyErr| {
        let text = format!("{field} must be a list of numbers: {}", error.value(value.py()));
        PyTypeError::new_err(text)
    })
}
