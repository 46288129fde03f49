//! `DocumentLoaderConfig`: what GraphBit 0.6.8 lets one set, and the limits it does not have.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyString};
use serde_json::{Map, Number, Value};

use crate::error::{Error, Kind};
use crate::load::{Limits, LoaderSettings};
use crate::python::chat_types::{Reduced, reduced};
use crate::python::given::GivenPath;
use crate::python::json;

/// Settings nested deeper are a mistake, or contain themselves.
const DEEPEST: usize = 128;

/// How documents are loaded. A loader keeps the settings it was made with.
#[pyclass(frozen, module = "graphbit")]
pub(in crate::python) struct DocumentLoaderConfig {
    settings: Mutex<LoaderSettings>,
}

impl DocumentLoaderConfig {
    fn lock(&self) -> MutexGuard<'_, LoaderSettings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As they are now.
    pub(super) fn settings(&self) -> LoaderSettings {
        self.lock().clone()
    }

    pub(super) fn of(settings: LoaderSettings) -> Self {
        Self { settings: Mutex::new(settings) }
    }
}

#[pymethods]
impl DocumentLoaderConfig {
    #[new]
    #[pyo3(signature = (
        max_file_size=None, default_encoding=None, preserve_formatting=None, *, full=false, root=None,
        deny_private_networks=false, max_text_bytes=None, max_unpacked_bytes=None, max_pages=None,
        max_cells=None, max_depth=None, max_seconds=None, isolate=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "the keywords of a Python signature")]
    fn new(
        max_file_size: Option<u64>,
        default_encoding: Option<String>,
        preserve_formatting: Option<bool>,
        full: bool,
        root: Option<GivenPath>,
        deny_private_networks: bool,
        max_text_bytes: Option<usize>,
        max_unpacked_bytes: Option<usize>,
        max_pages: Option<usize>,
        max_cells: Option<usize>,
        max_depth: Option<usize>,
        max_seconds: Option<f64>,
        isolate: Option<bool>,
    ) -> PyResult<Self> {
        let usual = LoaderSettings::default();
        let limits = Limits {
            text_bytes: positive("max_text_bytes", max_text_bytes, usual.limits.text_bytes)?,
            unpacked_bytes: positive(
                "max_unpacked_bytes",
                max_unpacked_bytes,
                usual.limits.unpacked_bytes,
            )?,
            pages: positive("max_pages", max_pages, usual.limits.pages)?,
            cells: positive("max_cells", max_cells, usual.limits.cells)?,
            depth: positive("max_depth", max_depth, usual.limits.depth)?,
            time: max_seconds.map_or(Ok(usual.limits.time), seconds)?,
        };
        Ok(Self::of(LoaderSettings {
            max_file_size: checked_size(max_file_size.unwrap_or(usual.max_file_size))?,
            default_encoding: checked_encoding(default_encoding.unwrap_or(usual.default_encoding))?,
            preserve_formatting: preserve_formatting.unwrap_or_default(),
            full,
            limits,
            root: root.map(|path| path.0),
            deny_private_networks,
            isolate,
            ..LoaderSettings::default()
        }))
    }

    #[getter]
    fn max_file_size(&self) -> u64 {
        self.lock().max_file_size
    }

    #[setter]
    fn set_max_file_size(&self, size: u64) -> PyResult<()> {
        self.lock().max_file_size = checked_size(size)?;
        Ok(())
    }

    #[getter]
    fn default_encoding(&self) -> String {
        self.lock().default_encoding.clone()
    }

    #[setter]
    fn set_default_encoding(&self, encoding: String) -> PyResult<()> {
        self.lock().default_encoding = checked_encoding(encoding)?;
        Ok(())
    }

    #[getter]
    fn preserve_formatting(&self) -> bool {
        self.lock().preserve_formatting
    }

    #[setter]
    fn set_preserve_formatting(&self, preserve: bool) {
        self.lock().preserve_formatting = preserve;
    }

    /// A new dict each time.
    #[getter]
    fn extraction_settings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let settings = Value::Object(self.lock().extraction_settings.clone());
        json::into_python(py, &settings)
    }

    #[setter]
    fn set_extraction_settings(&self, settings: &Bound<'_, PyDict>) -> PyResult<()> {
        let settings = entries(settings, 0)?;
        self.lock().extraction_settings = settings;
        Ok(())
    }

    #[getter]
    fn full(&self) -> bool {
        self.lock().full
    }

    #[getter]
    fn root(&self) -> Option<String> {
        self.lock().root.as_ref().map(|root| root.display().to_string())
    }

    #[getter]
    fn deny_private_networks(&self) -> bool {
        self.lock().deny_private_networks
    }

    #[getter]
    fn max_text_bytes(&self) -> usize {
        self.lock().limits.text_bytes
    }

    #[getter]
    fn max_unpacked_bytes(&self) -> usize {
        self.lock().limits.unpacked_bytes
    }

    #[getter]
    fn max_pages(&self) -> usize {
        self.lock().limits.pages
    }

    #[getter]
    fn max_cells(&self) -> usize {
        self.lock().limits.cells
    }

    #[getter]
    fn max_depth(&self) -> usize {
        self.lock().limits.depth
    }

    #[getter]
    fn max_seconds(&self) -> f64 {
        self.lock().limits.time.as_secs_f64()
    }

    #[getter]
    fn isolate(&self) -> Option<bool> {
        self.lock().isolate
    }

    fn __eq__(&self, other: &Self) -> bool {
        // One after the other: two threads that compare the same two must not wait for each other.
        let mine = self.settings();
        mine == *other.lock()
    }

    #[staticmethod]
    #[pyo3(name = "_restore")]
    fn restore(keywords: &Bound<'_, PyDict>) -> PyResult<Py<PyAny>> {
        let py = keywords.py();
        let keywords = keywords.copy()?;
        let extraction = keywords.get_item("extraction_settings")?;
        keywords.del_item("extraction_settings")?;
        let config = py.get_type::<Self>().call((), Some(&keywords))?;
        config.setattr("extraction_settings", extraction)?;
        Ok(config.unbind())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        let settings = self.settings();
        let keywords = PyDict::new(py);
        keywords.set_item("max_file_size", settings.max_file_size)?;
        keywords.set_item("default_encoding", settings.default_encoding)?;
        keywords.set_item("preserve_formatting", settings.preserve_formatting)?;
        keywords.set_item("full", settings.full)?;
        keywords.set_item("root", settings.root)?;
        keywords.set_item("deny_private_networks", settings.deny_private_networks)?;
        keywords.set_item("max_text_bytes", settings.limits.text_bytes)?;
        keywords.set_item("max_unpacked_bytes", settings.limits.unpacked_bytes)?;
        keywords.set_item("max_pages", settings.limits.pages)?;
        keywords.set_item("max_cells", settings.limits.cells)?;
        keywords.set_item("max_depth", settings.limits.depth)?;
        keywords.set_item("max_seconds", settings.limits.time.as_secs_f64())?;
        keywords.set_item("isolate", settings.isolate)?;
        let extraction = Value::Object(settings.extraction_settings);
        keywords.set_item("extraction_settings", json::into_python(py, &extraction)?)?;
        reduced::<Self>(py, (keywords,))
    }

    fn __repr__(&self) -> String {
        let settings = self.lock();
        format!(
            "DocumentLoaderConfig(max_file_size={}, default_encoding='{}', preserve_formatting={})",
            settings.max_file_size, settings.default_encoding, settings.preserve_formatting
        )
    }
}

fn checked_size(size: u64) -> PyResult<u64> {
    if size == 0 {
        return Err(refused("max_file_size must be greater than 0"));
    }
    Ok(size)
}

fn checked_encoding(encoding: String) -> PyResult<String> {
    if encoding.trim().is_empty() {
        return Err(refused("default_encoding cannot be empty"));
    }
    Ok(encoding)
}

fn refused(text: &'static str) -> PyErr {
    Error::new(Kind::Validation, text).into()
}

fn positive(field: &str, given: Option<usize>, usual: usize) -> PyResult<usize> {
    match given {
        Some(0) => Err(Error::validation(field, Some("0"), "it must be greater than 0").into()),
        given => Ok(given.unwrap_or(usual)),
    }
}

fn seconds(given: f64) -> PyResult<Duration> {
    let time = Duration::try_from_secs_f64(given).ok().filter(|time| !time.is_zero());
    time.ok_or_else(|| {
        let text = "it must be a positive number of seconds";
        Error::validation("max_seconds", Some(&given.to_string()), text).into()
    })
}

fn entries(dict: &Bound<'_, PyDict>, depth: usize) -> PyResult<Map<String, Value>> {
    let mut map = Map::new();
    for (key, value) in dict {
        map.insert(key.cast::<PyString>()?.to_str()?.to_owned(), value_of(&value, depth)?);
    }
    Ok(map)
}

/// A setting as 0.6.8 keeps it: whole numbers of 64 bits, other numbers as floats.
fn value_of(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    if depth > DEEPEST {
        return Err(PyValueError::new_err("the settings are nested too deeply"));
    }
    let inside = depth.saturating_add(1);
    if value.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(Value::Bool(value.is_true()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return text.to_str().map(Value::from).map_err(|_| unsupported());
    }
    if let Ok(list) = value.cast::<PyList>() {
        let items = list.iter().map(|item| value_of(&item, inside));
        return items.collect::<PyResult<_>>().map(Value::Array);
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        return entries(dict, inside).map(Value::Object);
    }
    if let Ok(number) = value.extract::<i64>() {
        return Ok(Value::from(number));
    }
    let number = value.extract::<f64>().map_err(|_| unsupported())?;
    Number::from_f64(number)
        .map(Value::Number)
        .ok_or_else(|| PyValueError::new_err("Invalid floating point number"))
}

fn unsupported() -> PyErr {
    PyTypeError::new_err("Unsupported type for JSON conversion")
}
