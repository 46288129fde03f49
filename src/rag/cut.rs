//! Reading and cutting, some documents ahead of the embedding; what the store holds already goes no further.
//!
//! # Why the store is the journal
//!
//! Each chunk carries the fingerprint of its document: a hash of its chunks, their places, what travels with them
//! and the name of the embedding model. A document is done when the store holds all of its chunks with that
//! fingerprint, and nothing else says so. A list of finished documents beside the store could not be
//! written in the same instant as the store; after a crash one of the two would be ahead, and documents
//! be missing, or embedded twice. The splitter shows in the chunks, so its settings need no place of their own,
//! and settings that cut a document as before leave it alone. Cutting a document again costs some
//! thousandths of what embedding it does.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;

use super::ingest::Run;
use super::source::{Drawn, Work};
use crate::embeddings::EmbeddingModel;
use crate::error::{Error, Result};
use crate::load;
use crate::runtime;
use crate::types::Document;

/// What the fingerprint of a document ends with that was given as a text and not read from anywhere. Only
/// what was read can be missed when it is not there any more.
pub(super) const OF_TEXT: &str = "-text";

/// A hash of a chunk's text.
pub(super) type Digest = [u8; blake3::OUT_LEN];

/// The part of a document that all its chunks share.
pub(super) struct Head {
    pub(super) slot: u64,
    pub(super) source: String,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) fingerprint: String,
    pub(super) chunks: usize,
    /// What it takes of the memory of an ingest, given back when the last of its chunks is gone.
    pub(super) room: OnceLock<OwnedSemaphorePermit>,
}

impl Head {
    fn bare(slot: u64, source: String) -> Self {
        let (metadata, fingerprint) = (BTreeMap::new(), String::new());
        Self { slot, source, metadata, fingerprint, chunks: 0, room: OnceLock::new() }
    }
}

/// One chunk on its way.
pub(super) struct Piece {
    pub(super) head: Arc<Head>,
    pub(super) number: usize,
    pub(super) text: String,
    pub(super) start_char: usize,
    pub(super) end_char: usize,
    pub(super) digest: Digest,
}

/// What becomes of a document that is not embedded.
pub(super) enum Fate {
    /// It holds no text.
    Empty,
    /// The store has it, in so many chunks.
    Unchanged(usize),
    Failed(Error),
}

/// What leaves the cutting stage.
pub(super) enum Cut {
    Pieces(Arc<Head>, Vec<Piece>),
    Settled(Arc<Head>, Fate),
}

impl Cut {
    /// That of a document which is not settled.
    fn head(&self) -> Option<&Head> {
        match self {
            Self::Pieces(head, _) => Some(head),
            Self::Settled(..) => None,
        }
    }
}

/// Reads and cuts, in order. What is cut by the same time is looked for in the store together.
pub(super) fn cut_documents(
    run: Arc<Run>,
    documents: impl Stream<Item = Drawn> + Send + 'static,
) -> impl Stream<Item = Cut> + Send + 'static {
    let cutting = Arc::clone(&run);
    let begin = move |drawn: Drawn| {
        let Drawn { slot, source, work } = drawn;
        let head = Head::bare(slot, source.clone());
        let task = runtime::spawn(cut(Arc::clone(&cutting), head, work));
        async move {
            task.await.unwrap_or_else(|error| {
                Cut::Settled(Arc::new(Head::bare(slot, source)), Fate::Failed(error))
            })
        }
    };
    let readers = load::usual_workers();
    let cut = documents.map(begin).buffered(readers).ready_chunks(readers);
    let settle = move |cut| {
        let run = Arc::clone(&run);
        async move {
            let cut = settle_known(&run, cut).await;
            run.reporter.update(|counts| {
                counts.documents_cut += cut.len();
                let open = cut.iter().filter_map(Cut::head);
                counts.chunks_total += open.map(|head| head.chunks).sum::<usize>();
            });
            stream::iter(cut)
        }
    };
    cut.then(settle).flatten()
}

/// Settles the documents that the store has already.
async fn settle_known(run: &Run, mut cut: Vec<Cut>) -> Vec<Cut> {
    let config = &run.inner.config;
    // Not part of the fingerprint: some models know it only when they have answered once.
    let fits = match (config.embedding.model().dimensions(), config.store.dimensions()) {
        (Some(model), Some(store)) => model == store,
        _ => true,
    };
    let heads: Vec<&Head> = cut.iter().filter_map(Cut::head).collect();
    if !fits || heads.is_empty() {
        return cut;
    }
    let held = run.inner.index.holds(&heads).await;
    // One that could not be asked about is not embedded at a venture: that may have been paid for already.
    let fate = |number: usize, chunks: usize| match &held {
        Ok(held) => held.get(number).is_some_and(|held| *held).then_some(Fate::Unchanged(chunks)),
        Err(error) => Some(Fate::Failed(error.duplicate())),
    };
    let mut number = 0;
    for one in &mut cut {
        let Cut::Pieces(head, _) = one else { continue };
        if let Some(fate) = fate(number, head.chunks) {
            *one = Cut::Settled(Arc::clone(head), fate);
        }
        number += 1;
    }
    cut
}

async fn cut(run: Arc<Run>, head: Head, work: Work) -> Result<Cut> {
    let given = matches!(work, Work::Text(_));
    let document = match work {
        Work::Text(document) => document,
        Work::Refused(error) => return Err(error),
        Work::Place(place) => {
            let _busy = run.clocks.load.run();
            let content = run.inner.config.loader.load_found(place).await?;
            Document { text: content.content, ..Document::default() }
        }
    };
    runtime::spawn_blocking(move || Ok(cut_document(&run, head, document, given))).await
}

fn cut_document(run: &Run, mut head: Head, document: Document, given: bool) -> Cut {
    let config = &run.inner.config;
    let _busy = run.clocks.split.run();
    let Document { text, metadata, .. } = document;
    let mut chunks = config.splitter.cut(&text);
    chunks.retain(|chunk| !chunk.content.trim().is_empty());
    head.metadata = metadata;
    if chunks.is_empty() {
        return Cut::Settled(Arc::new(head), Fate::Empty);
    }
    let texts: Vec<(String, Digest)> = chunks
        .iter()
        .map(|chunk| {
            // The span in the document, not the splitter's content: that may lack line breaks, and what
            // is cited should read as it was written.
            let span = text.get(chunk.start_byte..chunk.end_byte);
            let text = span.unwrap_or(&chunk.content).to_owned();
            let digest = *blake3::hash(text.as_bytes()).as_bytes();
            (text, digest)
        })
        .collect();
    let places = chunks.iter().map(|chunk| [chunk.start_char, chunk.end_char]);
    let digests = texts.iter().map(|(_, digest)| digest).zip(places);
    head.fingerprint = fingerprint(config.embedding.model().as_ref(), &head.metadata, digests);
    if given {
        head.fingerprint.push_str(OF_TEXT);
    }
    head.chunks = chunks.len();
    let head = Arc::new(head);
    let pieces = texts.into_iter().zip(chunks).enumerate();
    let pieces = pieces.map(|(number, ((text, digest), chunk))| Piece {
        head: Arc::clone(&head),
        number,
        text,
        start_char: chunk.start_char,
        end_char: chunk.end_char,
        digest,
    });
    let pieces = pieces.collect();
    Cut::Pieces(head, pieces)
}

fn fingerprint<'a>(
    model: &dyn EmbeddingModel,
    metadata: &BTreeMap<String, String>,
    chunks: impl Iterator<Item = (&'a Digest, [usize; 2])>,
) -> String {
    let mut hasher = blake3::Hasher::new();
    let named = metadata.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
    for part in [model.provider(), model.model()].into_iter().chain(named) {
        // With its length, so that no two lists of parts look the same.
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    for (digest, place) in chunks {
        hasher.update(digest);
        for number in place {
            hasher.update(&(number as u64).to_le_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}
