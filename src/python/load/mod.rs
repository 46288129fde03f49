//! `DocumentLoader` and what belongs to it: settings in, documents out.

mod config;
mod content;
mod files;
mod isolation;
mod loader;
mod many;

use pyo3::prelude::*;
use pyo3::types::PyString;

pub(super) use config::DocumentLoaderConfig;
pub(super) use content::DocumentContent;
pub(super) use files::{find_documents, read_document};
pub(super) use isolation::{isolation, read_documents};
pub(super) use loader::DocumentLoader;

use super::documents::wrong_type;
use super::given::GivenPath;
use crate::load::Place;

/// A path or URL as Python gave it. What a path object says is never taken for a URL.
fn place(field: &str, given: &Bound<'_, PyAny>) -> PyResult<Place> {
    if let Ok(text) = given.cast::<PyString>() {
        // A name that is no text, as the file system may have it, is a path and nothing else.
        return match text.to_str() {
            Ok(text) => Ok(Place::Named(text.to_owned())),
            Err(_) => Ok(Place::Path(given.extract::<GivenPath>()?.0)),
        };
    }
    match given.extract() {
        Ok(GivenPath(path)) => Ok(Place::Path(path)),
        Err(_) => Err(wrong_type(field, "a str or an os.PathLike", given)),
    }
}
