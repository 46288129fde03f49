//! Where a document is: the checks that need nothing but its name.

use std::path::{Path, PathBuf};

use super::format::Format;
use crate::error::{Error, Kind, Result};

/// What every message of the loader begins with, as in GraphBit 0.6.8.
pub(super) const PREFIX: &str = "Validation error for field 'unknown': ";

/// Formats of documents that nobody here reads. A name that tells one of them is not taken for a text's.
const UNSUPPORTED: [&str; 8] = ["doc", "odt", "rtf", "ods", "ppt", "pptx", "odp", "epub"];

/// What a name tells of a document's type.
pub(super) enum Told {
    Format(Format),
    Unsupported(String),
    Nothing,
}

/// Where a document is.
#[derive(Clone, Debug)]
pub enum Place {
    /// A path or a URL, by its beginning.
    Named(String),
    /// A path, whatever it looks like.
    Path(PathBuf),
}

impl Place {
    /// As it was given.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Named(name) => name.clone(),
            Self::Path(path) => path.display().to_string(),
        }
    }

    /// As it may be shown to anybody: a URL without its user and password.
    #[must_use]
    pub fn name(&self) -> String {
        let Some((scheme, rest)) = self.url().and_then(|url| url.split_once("://")) else {
            return self.shown();
        };
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
        format!("{scheme}://{}{rest}", authority.rsplit('@').next().unwrap_or_default())
    }

    /// The URL, if it is one.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Named(name) if is_url(name) => Some(name),
            _ => None,
        }
    }

    /// What its extension says; of a URL that of the path.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        match self.url() {
            Some(url) => Format::of_path(url.split(['?', '#']).next().unwrap_or_default()),
            None => Format::of_path(&self.shown()),
        }
    }

    pub(super) fn told(&self) -> Told {
        if let Some(format) = self.format() {
            return Told::Format(format);
        }
        let shown = self.shown();
        let path = match self.url() {
            Some(url) => url.split(['?', '#']).next().unwrap_or_default(),
            None => &shown,
        };
        let extension = Path::new(path).extension().unwrap_or_default().to_string_lossy();
        match extension.to_lowercase().as_str() {
            "htm" | "xhtml" => Told::Format(Format::Html),
            name if UNSUPPORTED.contains(&name) => Told::Unsupported(name.to_owned()),
            _ => Told::Nothing,
        }
    }

    /// The path of a file.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Named(name) => Path::new(name),
            Self::Path(path) => path,
        }
    }

    /// The format to read it in, when there is nothing to say against name and format.
    pub(super) fn check(&self, document_type: &str) -> Result<Format> {
        let shown = self.shown();
        if shown.trim().is_empty() {
            return Err(Error::new(Kind::Validation, "source_path cannot be empty"));
        }
        if document_type.trim().is_empty() {
            return Err(Error::new(Kind::Validation, "document_type cannot be empty"));
        }
        let format = Format::parse(document_type).ok_or_else(|| {
            let name = document_type.to_lowercase();
            refused(&format!("Unsupported document type: {name}"))
        })?;
        if matches!(self, Self::Named(_)) && self.url().is_none() && shown.contains("://") {
            let text = "Only HTTP and HTTPS URLs are supported";
            return Err(refused(&format!("Invalid URL format: {shown}. {text}")));
        }
        Ok(format)
    }
}

fn is_url(name: &str) -> bool {
    let scheme = name.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| ["http", "https"].iter().any(|it| scheme.eq_ignore_ascii_case(it)))
}

fn refused(reason: &str) -> Error {
    Error::validation("unknown", None, reason)
}

/// Whether a document of that name and type could be loaded, as far as one can tell without reading it:
/// the type is known, letter by letter, and a file of that name exists. URLs are not looked at.
///
/// # Errors
/// [`Kind::Validation`] for the type, [`Kind::DocumentNotFound`] for the file.
pub fn check_source(place: &Place, document_type: &str) -> Result<()> {
    if !Format::ALL.iter().any(|format| format.as_str() == document_type) {
        let names = Format::ALL.map(Format::as_str);
        return Err(refused(&format!(
            "Unsupported document type: {document_type}. Supported types: {names:?}"
        )));
    }
    if place.url().is_none() && !place.path().exists() {
        return Err(not_found(&place.shown()));
    }
    Ok(())
}

pub(super) fn not_found(shown: &str) -> Error {
    Error::new(Kind::DocumentNotFound, format!("{PREFIX}File not found: {shown}"))
}
