//! What goes in: sources, the documents they stand for, and one document after the other on demand.
//!
//! Folders and patterns become names, never texts, before their turn comes. It refuses to draw more documents than
//! the window of an ingest holds, and two of the same name at a time: the later would replace the earlier, or
//! the other way round, as chance will have it.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::sync::Notify;

use super::ingest::Run;
use crate::error::{Error, Kind, Result};
use crate::load::{Area, Place, find};
use crate::runtime;
use crate::types::Document;

/// What goes in.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A file, a folder with everything below it, or a pattern (`"docs/**/*.pdf"`).
    Path(PathBuf),
    /// An `http` or `https` URL.
    Url(String),
    /// A text in memory.
    Document(Document),
    /// A document of that name that could not be had, and why: it gets an outcome beside the others.
    Refused(String, String),
}

/// Sources: all of them, or one after the other as there is room, perhaps without end.
pub enum Sources {
    /// All of them; what is wrong with folders shows before anything is embedded.
    All(Vec<Source>),
    /// Drawn when there is room. An error ends the ingest, after what was drawn before it is settled.
    Drawn(BoxStream<'static, Result<Source>>),
}

impl Sources {
    /// Whatever can be drawn from.
    pub fn drawn(sources: impl Stream<Item = Result<Source>> + Send + 'static) -> Self {
        Self::Drawn(sources.boxed())
    }
}

impl From<Vec<Source>> for Sources {
    fn from(sources: Vec<Source>) -> Self {
        Self::All(sources)
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(sources) => f.debug_tuple("All").field(sources).finish(),
            Self::Drawn(_) => f.debug_tuple("Drawn").finish_non_exhaustive(),
        }
    }
}

/// What one input turned out to be.
pub(super) enum Work {
    Place(Place),
    Text(Document),
    Refused(Error),
}

/// A document in its turn.
pub(super) struct Drawn {
    pub(super) slot: u64,
    pub(super) source: String,
    pub(super) work: Work,
}

/// The names of documents: all there were, or those under way.
pub(super) struct Roll {
    once: bool,
    names: Mutex<HashSet<String>>,
    left: Notify,
}

impl Roll {
    /// With `once` a name may be given a single time; else again when the document before it is settled.
    pub(super) fn new(once: bool) -> Self {
        Self { once, names: Mutex::default(), left: Notify::new() }
    }

    pub(super) const fn once(&self) -> bool {
        self.once
    }

    fn enters(&self, name: &str) -> bool {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned())
    }

    /// Waits until the name is free, or refuses the document.
    async fn admit(&self, name: &str, work: Work) -> Work {
        while !self.enters(name) {
            if self.once {
                let text =
                    format!("'{name}' is given twice; every document needs a name of its own");
                return Work::Refused(Error::new(Kind::Document, text));
            }
            self.left.notified().await;
        }
        work
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    pub(super) fn leaves(&self, name: &str) {
        if !self.once {
            self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
            self.left.notify_one();
        }
    }
}

/// The documents of an ingest, in order.
pub(super) struct Draw {
    run: Arc<Run>,
    sources: BoxStream<'static, Result<Source>>,
    found: std::vec::IntoIter<(String, Work)>,
    slot: u64,
}

impl Draw {
    pub(super) async fn from(run: Arc<Run>, sources: Sources) -> Result<Self> {
        let (all, sources) = match sources {
            Sources::All(all) => (all, None),
            Sources::Drawn(sources) => (Vec::new(), Some(sources)),
        };
        let found = expand(&run, all).await?.into_iter();
        run.reporter.update(|counts| counts.all_found = sources.is_none());
        let sources = sources.unwrap_or_else(|| stream::empty().boxed());
        Ok(Self { run, sources, found, slot: 0 })
    }

    pub(super) fn documents(self) -> impl Stream<Item = Drawn> + Send + 'static {
        stream::unfold(self, Self::next)
    }

    async fn next(mut self) -> Option<(Drawn, Self)> {
        loop {
            if let Some((source, work)) = self.found.next() {
                // Given back when the outcome is out.
                self.run.window.acquire().await.ok()?.forget();
                let work = self.run.roll.admit(&source, work).await;
                let slot = self.slot;
                self.slot = slot.saturating_add(1);
                return Some((Drawn { slot, source, work }, self));
            }
            let more = match self.sources.next().await {
                Some(Ok(source)) => expand(&self.run, vec![source]).await.map(Some),
                Some(Err(error)) => Err(error),
                None => Ok(None),
            };
            match more {
                Ok(Some(found)) => self.found = found.into_iter(),
                ended => {
                    self.run.reporter.update(|counts| counts.all_found = true);
                    if let Err(error) = ended {
                        self.run.fail(error);
                    }
                    return None;
                }
            }
        }
    }
}

/// One entry a document.
async fn expand(run: &Arc<Run>, sources: Vec<Source>) -> Result<Vec<(String, Work)>> {
    let looking = Arc::clone(run);
    let needs_disk = sources.iter().any(|source| matches!(source, Source::Path(_)));
    let work = move || {
        let _busy = looking.clocks.load.run();
        let mut found = Vec::new();
        for source in sources {
            if let Some(area) = documents_of(source, &mut found) {
                looking.cover(area);
            }
        }
        Ok(found)
    };
    let found = if needs_disk { runtime::spawn_blocking(work).await? } else { work()? };
    run.reporter.update(|progress| progress.documents_total += found.len());
    Ok(found)
}

fn documents_of(source: Source, documents: &mut Vec<(String, Work)>) -> Option<Area> {
    let path = match source {
        Source::Document(document) => {
            documents.push((document.source.clone(), Work::Text(document)));
            return None;
        }
        Source::Url(url) => {
            let place = Place::Named(url);
            documents.push((place.name(), Work::Place(place)));
            return None;
        }
        Source::Refused(name, reason) => {
            documents.push((name, Work::Refused(Error::new(Kind::Document, reason))));
            return None;
        }
        Source::Path(path) => path,
    };
    let name = path.display().to_string();
    let found = match find(&path, None) {
        Ok(found) => found,
        Err(error) => {
            documents.push((name, Work::Refused(error)));
            return None;
        }
    };
    if found.files.is_empty() {
        let what = if path.is_dir() { "the folder holds no files" } else { "no file matches" };
        let text = format!("Cannot read '{name}': {what} (names starting with a dot are skipped)");
        documents.push((name, Work::Refused(Error::new(Kind::Document, text))));
    }
    for file in found.files {
        let name = file.display().to_string();
        let work = match found.unread.get(&file) {
            None => Work::Place(Place::Path(file)),
            Some(reason) => {
                let text = format!("Cannot read '{name}': {reason}");
                Work::Refused(Error::new(Kind::Document, text))
            }
        };
        documents.push((name, work));
    }
    found.area
}
