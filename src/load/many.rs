//! Many documents at once: an outcome for each, whatever becomes of the others.

use futures_util::StreamExt;
use futures_util::stream;

use super::loader::{DocumentContent, Loader};
use super::place::Place;
use crate::error::{Error, Result};

/// As many wait for disks and servers beside those that keep the processors busy.
const WAITING: usize = 4;
/// More at once only makes each slower.
const MOST_WORKERS: usize = 32;

/// One document of many.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where it is.
    pub place: Place,
    /// Its type; `None` goes by the extension.
    pub document_type: Option<String>,
}

impl Request {
    /// Loads it.
    ///
    /// # Errors
    /// As [`Loader::load`], and [`crate::Kind::Validation`] when the extension says nothing.
    pub async fn load(self, loader: &Loader) -> Result<DocumentContent> {
        let document_type = match self.document_type {
            Some(document_type) => document_type,
            None => match self.place.format() {
                Some(format) => format.as_str().to_owned(),
                None => {
                    let text = "the extension is none of a supported type; say which type it is";
                    let shown = self.place.shown();
                    return Err(Error::validation("document_type", Some(&shown), text));
                }
            },
        };
        loader.load(self.place, &document_type).await
    }
}

/// How many are loaded at once, unless the caller knows better.
#[must_use]
pub fn usual_workers() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    processors.saturating_add(WAITING).min(MOST_WORKERS)
}

/// Loads all of them, at most `workers` at a time, and hands each outcome to `keep` with its number.
pub async fn load_each(
    loader: &Loader,
    requests: Vec<Request>,
    workers: usize,
    keep: impl Fn(usize, Result<DocumentContent>),
) {
    let numbered = stream::iter(requests.into_iter().enumerate());
    let keep = &keep;
    let work = |(number, request): (usize, Request)| async move {
        keep(number, request.load(loader).await);
    };
    numbered.for_each_concurrent(Some(workers.max(1)), work).await;
}
