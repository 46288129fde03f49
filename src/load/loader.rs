//! The loader: what is checked in which order, and how the parts work together.
//!
//! Messages are those of GraphBit 0.6.8. Parsing runs on a blocking thread and stops soon after nobody
//! waits for it any more.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use encoding_rs::Encoding;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::encoding::Written;
use super::extracted::Extracted;
use super::files::open;
use super::format::Format;
use super::isolate::Isolation;
use super::limits::{Limits, Meter};
use super::packed::Packed;
use super::place::{PREFIX, Place, Told, not_found};
use super::readers::{Style, extract};
use super::url::{self, Fetched};
use crate::error::{Error, Kind, Result};
use crate::runtime;

/// Who asks for documents.
const AGENT: &str = "GraphBit Document Loader/1.0";

/// How documents are loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderSettings {
    /// Bytes of a file or of what a server sends; 10 MiB.
    pub max_file_size: u64,
    /// How texts are written, unless a mark at their beginning or their server says otherwise; `utf-8`.
    pub default_encoding: String,
    /// With `full`: keep blanks and line breaks of texts as they stand.
    pub preserve_formatting: bool,
    /// The user's own; nothing here reads them.
    pub extraction_settings: Map<String, Value>,
    /// Everything that is in a document, instead of what GraphBit 0.6.8 prints.
    pub full: bool,
    /// What a document may cost.
    pub limits: Limits,
    /// A folder that files must lie in, links resolved; relative paths start there.
    pub root: Option<PathBuf>,
    /// Load from addresses of the public internet only.
    pub deny_private_networks: bool,
    /// Read PDF, DOCX and workbooks in a process that may die of them; `None` where they need one (see
    /// [`Packed::needs_process`]). Only a loader that has an [`Isolation`] can.
    pub isolate: Option<bool>,
}

impl Default for LoaderSettings {
    fn default() -> Self {
        Self {
            max_file_size: 10 << 20,
            default_encoding: "utf-8".to_owned(),
            preserve_formatting: false,
            extraction_settings: Map::new(),
            full: false,
            limits: Limits::default(),
            root: None,
            deny_private_networks: false,
            isolate: None,
        }
    }
}

/// A document that was loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentContent {
    /// Where it is, as it was given.
    pub source: String,
    /// The type, as it was given.
    pub document_type: String,
    /// The text.
    pub content: String,
    /// Bytes of the document itself.
    pub file_size: u64,
    /// When it was loaded, in seconds since 1970.
    pub extracted_at: i64,
    /// Size and place; for a URL the content type; what its reader has to say.
    pub metadata: Map<String, Value>,
}

/// Loads documents. Cloning shares the settings.
#[derive(Clone, Debug)]
pub struct Loader {
    settings: Arc<LoaderSettings>,
    isolation: Option<Arc<Isolation>>,
}

impl Loader {
    /// A loader with these settings.
    #[must_use]
    pub fn new(settings: LoaderSettings) -> Self {
        Self { settings: Arc::new(settings), isolation: None }
    }

    /// The same loader with a way to start processes.
    #[must_use]
    pub fn with_isolation(self, isolation: Option<Arc<Isolation>>) -> Self {
        Self { isolation, ..self }
    }

    /// The same loader with other settings.
    #[must_use]
    pub fn with_settings(&self, settings: LoaderSettings) -> Self {
        Self { settings: Arc::new(settings), isolation: self.isolation.clone() }
    }

    /// Its settings.
    #[must_use]
    pub fn settings(&self) -> &LoaderSettings {
        &self.settings
    }

    /// The document at a place, read as `document_type` in whatever case.
    ///
    /// # Errors
    /// [`Kind::Validation`] for names and types that cannot be; [`Kind::Document`] and its relatives for
    /// documents that cannot be had or read.
    pub async fn load(&self, place: Place, document_type: &str) -> Result<DocumentContent> {
        let format = place.check(document_type)?;
        let mut content = match place.url() {
            Some(url) => self.load_url(url, Some(format)).await,
            None => self.load_file(&place, Some(format)).await,
        }
        .map_err(dressed)?;
        content.document_type = document_type.to_owned();
        Ok(content)
    }

    /// The document at a place, of the type that its name or its server tells. Where neither does, it is
    /// plain text (Markdown, source code, ...), or refused.
    ///
    /// # Errors
    /// As for [`Loader::load`], but naming the place: `Cannot read '...': ...`.
    pub async fn load_found(&self, place: Place) -> Result<DocumentContent> {
        let format = match place.told() {
            Told::Format(format) => Ok(Some(format)),
            Told::Nothing => Ok(None),
            Told::Unsupported(name) => {
                let text = format!("Unsupported document type: {name}; convert it to text");
                Err(Error::new(Kind::Document, text))
            }
        };
        let loaded = match (format, place.url()) {
            (Err(error), _) => Err(error),
            (Ok(format), Some(url)) => self.load_url(url, format).await,
            (Ok(format), None) => self.load_file(&place, format).await,
        };
        loaded.map_err(|error| {
            let reason = error.message();
            let reason = reason.strip_prefix(PREFIX).unwrap_or(reason);
            let text = format!("Cannot read '{}': {reason}", place.name());
            error.with_message(text)
        })
    }

    async fn load_file(&self, place: &Place, told: Option<Format>) -> Result<DocumentContent> {
        let (loader, place) = (self.clone(), place.clone());
        aside(move |stop| {
            let settings = &loader.settings;
            let shown = place.shown();
            let path = match &settings.root {
                Some(root) => confined(root, place.path(), &shown)?,
                None => place.path().to_path_buf(),
            };
            let format = told.unwrap_or(Format::Txt);
            let bytes = read(&path, &shown, format, settings.max_file_size)?;
            if told.is_none() {
                look_like_text(&bytes)?;
            }
            let metadata = Map::from_iter([("file_path".to_owned(), Value::from(shown.clone()))]);
            loader.finish(format, shown, &bytes, None, metadata, stop)
        })
        .await
    }

    async fn load_url(&self, url: &str, told: Option<Format>) -> Result<DocumentContent> {
        let settings = &self.settings;
        // 0.6.8 says so too, but downloads the document first.
        match told {
            Some(format @ (Format::Pdf | Format::Docx)) if !settings.full => {
                let name = format.as_str();
                let text = format!("URL loading for {name} documents is not yet supported");
                return Err(Error::new(Kind::Document, text));
            }
            Some(format @ (Format::Xlsb | Format::Xlsx | Format::Xls)) if !settings.full => {
                let name = format.as_str();
                let text = format!("Unsupported document type for URL loading: {name}");
                return Err(Error::new(Kind::Document, text));
            }
            _ => {}
        }
        let (most, public) = (settings.max_file_size, settings.deny_private_networks);
        let fetched = url::fetch(url, most, public, AGENT).await?;
        let told = told.or_else(|| fetched.format());
        let (loader, source) = (self.clone(), url.to_owned());
        aside(move |stop| {
            let metadata = Map::from_iter([
                ("url".to_owned(), Value::from(url::shown(&source))),
                ("content_type".to_owned(), Value::from(fetched.content_type.clone())),
            ]);
            let body = &fetched.body;
            if told.is_none() {
                look_like_text(body)?;
            }
            let format = told.unwrap_or(Format::Txt);
            loader.finish(format, source, body, Some(&fetched), metadata, stop)
        })
        .await
    }

    fn finish(
        &self,
        format: Format,
        source: String,
        bytes: &[u8],
        fetched: Option<&Fetched>,
        mut metadata: Map<String, Value>,
        stop: &Arc<AtomicBool>,
    ) -> Result<DocumentContent> {
        let settings = &self.settings;
        let style = Style {
            full: settings.full,
            preserve_formatting: settings.preserve_formatting,
            written: Written {
                default: &settings.default_encoding,
                charset: fetched.and_then(Fetched::charset),
                claimed: None,
                sniff: settings.full,
            },
            from_url: fetched.is_some(),
        };
        let mut meter = Meter::new(settings.limits).stopped_by(Arc::clone(stop));
        let extracted = match format.packed() {
            Some(packed) => self.unpack(packed, bytes, &source)?,
            None => extract(format, bytes, &style, &mut meter)?,
        };
        let file_size = bytes.len() as u64;
        metadata.insert("file_size".to_owned(), Value::from(file_size));
        metadata.extend(extracted.flags);
        Ok(DocumentContent {
            source,
            document_type: String::new(),
            content: extracted.text,
            file_size,
            extracted_at: Timestamp::now().as_second(),
            metadata,
        })
    }

    fn unpack(&self, packed: Packed, bytes: &[u8], source: &str) -> Result<Extracted> {
        let LoaderSettings { full, limits, isolate, .. } = *self.settings;
        let isolation = self.isolation.as_ref();
        let extension = Path::new(source).extension().and_then(|extension| extension.to_str());
        let read = match isolation.filter(|_| isolate.unwrap_or(packed.needs_process())) {
            Some(isolation) => isolation.extract(packed, bytes, extension, full, limits),
            None => packed.extract(bytes, extension, full, limits),
        };
        read.map_err(|error| match packed {
            Packed::Excel => error.with_prefix(&format!("Failed to open Excel file {source}: ")),
            Packed::Pdf | Packed::Docx => error,
        })
    }
}

/// Runs work on a blocking thread; `stop` is set when nobody waits for it any more.
async fn aside(
    work: impl FnOnce(&Arc<AtomicBool>) -> Result<DocumentContent> + Send + 'static,
) -> Result<DocumentContent> {
    struct Waiting(Arc<AtomicBool>);
    impl Drop for Waiting {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let waiting = Waiting(Arc::new(AtomicBool::new(false)));
    let stop = Arc::clone(&waiting.0);
    runtime::spawn_blocking(move || work(&stop)).await
}

/// A path that leads into `root` whatever links are on its way.
fn confined(root: &Path, path: &Path, shown: &str) -> Result<PathBuf> {
    let root = root.canonicalize().map_err(|reason| {
        let text = format!("the root folder '{}' cannot be used: {reason}", root.display());
        Error::new(Kind::Document, text)
    })?;
    let outside = || {
        let text = format!("'{shown}' lies outside of the root folder '{}'", root.display());
        Error::new(Kind::DocumentDenied, text)
    };
    match root.join(path).canonicalize() {
        Ok(path) if path.starts_with(&root) => Ok(path),
        Ok(_) => Err(outside()),
        // Whether something outside exists is nobody's business.
        Err(_) if path.components().any(|part| part.as_os_str() == "..") => Err(outside()),
        Err(_) if path.is_absolute() && !path.starts_with(&root) => Err(outside()),
        Err(_) => Err(not_found(shown)),
    }
}

/// All bytes of a regular file, of which there may be `limit`.
fn read(path: &Path, shown: &str, format: Format, limit: u64) -> Result<Vec<u8>> {
    let failed = |reason: std::io::Error| {
        let kind = match reason.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidInput => {
                return not_found(shown);
            }
            ErrorKind::PermissionDenied => Kind::DocumentDenied,
            ErrorKind::IsADirectory => Kind::DocumentIsFolder,
            _ => Kind::Document,
        };
        let text = format!("Failed to read {} file: {reason}", format.label());
        Error::new(kind, text).with_source(reason)
    };
    let too_large = |length: u64| {
        let text =
            format!("File size ({length} bytes) exceeds maximum allowed size ({limit} bytes)");
        Error::new(Kind::Document, text)
    };
    let file = open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        #[cfg(unix)]
        return Err(failed(std::io::Error::from_raw_os_error(libc::EISDIR)));
        #[cfg(not(unix))]
        return Err(failed(ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() {
        let text = format!("Failed to read {} file: it is not a regular file", format.label());
        return Err(Error::new(Kind::Document, text));
    }
    if metadata.len() > limit {
        return Err(too_large(metadata.len()));
    }
    // The length may be a lie (a growing log, a kernel file), so the reading itself is limited too.
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    let length = bytes.len() as u64;
    if length > limit { Err(too_large(length)) } else { Ok(bytes) }
}

/// What is in the way of taking bytes of which nothing is known for a text.
fn look_like_text(bytes: &[u8]) -> Result<()> {
    if bytes.contains(&0) && Encoding::for_bom(bytes).is_none() {
        return Err(Error::new(Kind::Document, "it is a binary file of no supported type"));
    }
    Ok(())
}

/// An error with the beginning that all of the loader's have.
fn dressed(error: Error) -> Error {
    if error.message().starts_with(PREFIX) || error.kind() == Kind::Cancelled {
        return error;
    }
    error.with_prefix(PREFIX)
}
