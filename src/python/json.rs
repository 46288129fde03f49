//! JSON between Python and the core, by Python's own `json` module: it knows Python's numbers and
//! strings, and is there anyway.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyMapping, PyString};
use serde_json::Value;

use super::exit;
use super::given::import;
use crate::error::Error;

/// A Python value as JSON. `field` names it when it cannot be said in JSON.
pub(super) fn dump(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    let py = value.py();
    let options = PyDict::new(py);
    // Python would write NaN, which no other reader takes.
    options.set_item("allow_nan", false)?;
    let refuse = |reason: String| -> PyErr {
        let text = format!("it must be something that JSON can say: {reason}");
        Error::validation(field, None, &text).into()
    };
    let json = import(py, "json")?;
    let text = exit::inside(py, || json.call_method("dumps", (value,), Some(&options)))
        .map_err(|error| refuse(error.value(py).to_string()))?;
    let text = text.cast_into::<PyString>()?;
    serde_json::from_str(text.to_str()?).map_err(|reason| refuse(reason.to_string()))
}

/// JSON text as Python values.
pub(super) fn loads<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    let json = import(py, "json")?;
    exit::inside(py, || json.call_method1("loads", (text,)))
}

/// A JSON value as a Python value, without the way over its text.
pub(super) fn into_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into_pyobject(py)?.into_any(),
            (None, Some(number)) => number.into_pyobject(py)?.into_any(),
            (None, None) => PyFloat::new(py, number.as_f64().unwrap_or(f64::NAN)).into_any(),
        },
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(into_python(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(fields) => {
            let dict = PyDict::new(py);
            for (name, field) in fields {
                dict.set_item(name, into_python(py, field)?)?;
            }
            dict.into_any()
        }
    })
}

/// Any mapping as a dict; `None` for everything else.
pub(super) fn mapping<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
    if let Ok(dict) = value.cast::<PyDict>() {
        return Ok(Some(dict.clone()));
    }
    let Ok(mapping) = value.cast::<PyMapping>() else { return Ok(None) };
    let dict = PyDict::new(value.py());
    dict.update(mapping)?;
    Ok(Some(dict))
}

/// A field of a mapping as text; `None` where it is missing or `None`.
pub(super) fn word(mapping: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<String>> {
    let value = mapping.get_item(name)?.filter(|value| !value.is_none());
    Ok(value.map(|value| value.to_string()))
}

/// The name of a value's class, for complaints.
pub(super) fn class_of(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string())
}
