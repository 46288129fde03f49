//! The ingest pipeline: draw, read and cut on blocking threads, embed in batches, store whole documents.
//!
//! Everything is pulled from the far end, so the slowest stage sets the pace, be it the caller who reads the
//! outcomes. Memory is bounded by [`UNDER_WAY_BYTES`](super::batch::UNDER_WAY_BYTES) of texts and vectors, a document
//! for each reader, and a window of outcomes that wait for an earlier one.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::future::{Either, ready};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Semaphore, mpsc};

use super::Inner;
use super::batch::{ROOM, Step, Twins, Vector, batches};
use super::cut::{Fate, Head, Piece, cut_documents};
use super::index::{Finished, StoredChunk};
use super::progress::{OnProgress, Reporter};
use super::report::{DocumentOutcome, IngestReport, StageClock, StageSeconds};
use super::source::{Draw, Roll, Sources};
use crate::embeddings::{EmbeddingClient, Ledger};
use crate::error::{Error, Kind, Result};
use crate::load::Area;
use crate::runtime;
use crate::types::Embeddings;

/// Documents between the first without an outcome and the last drawn, for each chunk that may be embedded at once.
const WINDOW: usize = 4;
/// Outcomes that wait to be read.
const OUTCOMES: usize = 64;

#[derive(Default)]
pub(super) struct Clocks {
    pub(super) load: StageClock,
    pub(super) split: StageClock,
    embed: StageClock,
    store: StageClock,
}

/// What all stages of one ingest share.
pub(super) struct Run {
    pub(super) inner: Arc<Inner>,
    pub(super) clocks: Clocks,
    pub(super) reporter: Reporter,
    pub(super) roll: Roll,
    /// Documents that may be drawn.
    pub(super) window: Semaphore,
    /// Memory that is free.
    pub(super) room: Arc<Semaphore>,
    pub(super) twins: Mutex<Twins>,
    /// The client of the pipeline, with an account of its own for this ingest.
    embedding: EmbeddingClient,
    ledger: Arc<Ledger>,
    tokens: AtomicU64,
    failure: Mutex<Option<Error>>,
    areas: Mutex<Vec<Area>>,
}

impl Run {
    /// With `once` each document has a name of its own.
    pub(super) fn new(inner: Arc<Inner>, once: bool, on_progress: Option<OnProgress>) -> Arc<Self> {
        let at_once = inner.config.concurrency().saturating_mul(inner.config.batch_size);
        let window = at_once.saturating_mul(WINDOW).min(Semaphore::MAX_PERMITS);
        let ledger = Arc::new(Ledger::new(&inner.config.embedding));
        Arc::new(Self {
            embedding: inner.config.embedding.with_ledger(Arc::clone(&ledger)),
            inner,
            clocks: Clocks::default(),
            reporter: Reporter::start(on_progress, &ledger),
            ledger,
            roll: Roll::new(once),
            window: Semaphore::new(window),
            room: Arc::new(Semaphore::new(ROOM)),
            twins: Mutex::default(),
            tokens: AtomicU64::new(0),
            failure: Mutex::default(),
            areas: Mutex::default(),
        })
    }

    /// Ends the drawing of documents.
    pub(super) fn fail(&self, error: Error) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Remembers where documents were looked for.
    pub(super) fn cover(&self, area: Area) {
        if self.roll.once() {
            self.areas.lock().unwrap_or_else(PoisonError::into_inner).push(area);
        }
    }

    fn spent(&self, tokens: u64) {
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
        self.inner.embedded_tokens.fetch_add(tokens, Ordering::Relaxed);
        let tokens = self.tokens.load(Ordering::Relaxed);
        self.reporter.update(|progress| progress.tokens = tokens);
    }

    /// Embeds a batch. A text that is refused costs its own document, not those that shared the request.
    async fn embed(self: Arc<Self>, pieces: Vec<Piece>) -> Done {
        let whole = self.ask(&pieces).await;
        let refused = |error: &Error| matches!(error.kind(), Kind::BadRequest | Kind::Validation);
        let documents: Vec<usize> = pieces
            .chunk_by(|one, next| one.head.slot == next.head.slot)
            .map(<[Piece]>::len)
            .collect();
        if documents.len() < 2 || !whole.as_ref().is_err_and(refused) {
            let all = pieces.len();
            return Done::Batch(pieces, vec![(all, whole)]);
        }
        let (mut parts, mut rest) = (Vec::new(), pieces.as_slice());
        for length in documents {
            let (part, later) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            parts.push((length, self.ask(part).await));
            rest = later;
        }
        Done::Batch(pieces, parts)
    }

    async fn ask(self: &Arc<Self>, pieces: &[Piece]) -> Result<Embeddings> {
        let texts: Vec<String> = pieces.iter().map(|piece| piece.text.clone()).collect();
        let expected = texts.len();
        let run = Arc::clone(self);
        // A task of its own, so that batches use all workers.
        let task = runtime::spawn(async move {
            let _busy = run.clocks.embed.run();
            run.embedding.embed_many(texts).await
        });
        let embeddings = task.await?;
        let rows = embeddings.vectors.rows();
        if rows == expected {
            return Ok(embeddings);
        }
        let text = format!("{rows} vectors came back for {expected} texts");
        Err(Error::new(Kind::Decode, text))
    }
}

/// What comes out of the embedding stage, or past it.
enum Done {
    Settled(Arc<Head>, Fate),
    /// So many of the chunks, one answer, and so on.
    Batch(Vec<Piece>, Vec<(usize, Result<Embeddings>)>),
    Known(Vec<(Piece, Vector)>),
}

/// All of it in one report; documents that the sources do not hold any more are deleted with `mirror`.
pub(super) async fn report(run: Arc<Run>, sources: Sources, mirror: bool) -> Result<IngestReport> {
    let started = Instant::now();
    let (sender, mut receiver) = mpsc::channel(OUTCOMES);
    let collect = async {
        let mut outcomes = Vec::new();
        while let Some(outcome) = receiver.recv().await {
            outcomes.push(outcome);
        }
        outcomes
    };
    let (settled, outcomes) = tokio::join!(settle(Arc::clone(&run), sources, sender), collect);
    settled?;
    let deleted = if mirror { delete_missing(&run).await? } else { 0 };
    let wall = started.elapsed().as_secs_f64();
    run.reporter.finish().await;
    let seconds = StageSeconds {
        load: run.clocks.load.seconds(),
        split: run.clocks.split.seconds(),
        embed: run.clocks.embed.seconds(),
        store: run.clocks.store.seconds(),
        wall,
    };
    Ok(IngestReport {
        documents: outcomes.iter().filter(|outcome| outcome.error.is_none()).count(),
        unchanged: outcomes.iter().filter(|outcome| outcome.unchanged).count(),
        deleted,
        chunks: outcomes.iter().filter(|it| !it.unchanged).map(|it| it.chunks).sum(),
        tokens: run.tokens.load(Ordering::Relaxed),
        cost: run.ledger.cost(),
        retries: run.ledger.retries(),
        outcomes,
        seconds,
    })
}

/// The outcomes of an ingest as they come about, in the order of its documents.
///
/// Dropping it stops the work. Whoever does not read it stops it too, after a window of documents.
pub struct IngestStream {
    outcomes: mpsc::Receiver<DocumentOutcome>,
    work: Option<runtime::Task<()>>,
}

impl IngestStream {
    pub(super) fn start(run: Arc<Run>, sources: Sources) -> Self {
        let (sender, outcomes) = mpsc::channel(OUTCOMES);
        let work = runtime::spawn(async move {
            let settled = settle(Arc::clone(&run), sources, sender).await;
            run.reporter.finish().await;
            settled
        });
        Self { outcomes, work: Some(work) }
    }

    /// The next outcome; `None` when the sources have ended.
    ///
    /// # Errors
    /// That of the sources, once, after the outcomes of what they gave before it.
    pub async fn next(&mut self) -> Result<Option<DocumentOutcome>> {
        if let Some(outcome) = self.outcomes.recv().await {
            return Ok(Some(outcome));
        }
        match self.work.take() {
            Some(work) => work.await.map(|()| None),
            None => Ok(None),
        }
    }
}

/// Outcomes that come in any order and leave in that of the documents.
struct Order {
    run: Arc<Run>,
    next: u64,
    early: BTreeMap<u64, DocumentOutcome>,
    sender: mpsc::Sender<DocumentOutcome>,
}

impl Order {
    /// `Err` when nobody reads them any more.
    async fn put(&mut self, slot: u64, outcome: DocumentOutcome) -> Result<()> {
        self.run.roll.leaves(&outcome.source);
        let failed = outcome.error.is_some();
        if failed {
            self.run.inner.failed_documents.fetch_add(1, Ordering::Relaxed);
        }
        self.run.reporter.update(|progress| {
            *if failed { &mut progress.documents_failed } else { &mut progress.documents_done } +=
                1;
        });
        self.early.insert(slot, outcome);
        while let Some(outcome) = self.early.remove(&self.next) {
            self.next += 1;
            self.run.window.add_permits(1);
            let nobody = |_| Error::new(Kind::Cancelled, "nobody reads the outcomes any more");
            self.sender.send(outcome).await.map_err(nobody)?;
        }
        Ok(())
    }

    async fn put_stored(&mut self, stored: Stored) -> Result<()> {
        for (head, stored) in stored {
            let outcome = match stored {
                Ok(chunks) => {
                    let source = head.source.clone();
                    DocumentOutcome { source, chunks, unchanged: false, error: None }
                }
                Err(error) => failed(&head, error.message().to_owned()),
            };
            self.put(head.slot, outcome).await?;
        }
        Ok(())
    }
}

/// Brings every document to its outcome; what is wrong with the sources comes last.
async fn settle(
    run: Arc<Run>,
    sources: Sources,
    sender: mpsc::Sender<DocumentOutcome>,
) -> Result<()> {
    let documents = Draw::from(Arc::clone(&run), sources).await?.documents();
    let cut = cut_documents(Arc::clone(&run), documents);
    let embedding = Arc::clone(&run);
    let embedded = batches(Arc::clone(&run), cut)
        .map(move |step| match step {
            Step::Settled(head, fate) => Either::Left(ready(Done::Settled(head, fate))),
            Step::Known(known) => Either::Left(ready(Done::Known(known))),
            Step::Batch(pieces) => Either::Right(Arc::clone(&embedding).embed(pieces)),
        })
        .buffer_unordered(run.inner.config.concurrency());
    let mut embedded = Box::pin(embedded);
    let mut order = Order { run: Arc::clone(&run), next: 0, early: BTreeMap::new(), sender };
    let mut assemblies = Assemblies::default();
    let writers = run.inner.config.store.writers().max(1);
    let mut storing = FuturesUnordered::new();
    loop {
        let done = tokio::select! {
            Some(stored) = storing.next(), if !storing.is_empty() => {
                order.put_stored(stored).await?;
                continue;
            }
            done = embedded.next(), if storing.len() < writers => done,
        };
        let Some(done) = done else { break };
        let mut finished = Vec::new();
        match done {
            Done::Settled(head, Fate::Empty) => finished.push(Ok((head, Vec::new()))),
            Done::Settled(head, Fate::Unchanged(chunks)) => {
                let source = head.source.clone();
                let outcome = DocumentOutcome { source, chunks, unchanged: true, error: None };
                order.put(head.slot, outcome).await?;
            }
            Done::Settled(head, Fate::Failed(error)) => {
                finished.push(Err((head, error.message().to_owned())));
            }
            Done::Known(known) => {
                run.reporter.update(|progress| progress.chunks_done += known.len());
                for (piece, vector) in known {
                    finished.extend(assemblies.add(piece, Ok(vector)));
                }
            }
            Done::Batch(pieces, parts) => {
                let mut pieces = pieces.into_iter();
                for (length, result) in parts {
                    let pieces = pieces.by_ref().take(length);
                    finished.extend(arrive(&run, &mut assemblies, pieces, result));
                }
            }
        }
        let mut whole = Vec::new();
        for document in finished {
            match document {
                Ok((head, chunks)) => whole.push(Finished { head, chunks }),
                Err((head, error)) => order.put(head.slot, failed(&head, error)).await?,
            }
        }
        if !whole.is_empty() {
            storing.push(store(Arc::clone(&run), whole));
        }
    }
    while let Some(stored) = storing.next().await {
        order.put_stored(stored).await?;
    }
    match run.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn failed(head: &Head, error: String) -> DocumentOutcome {
    let source = head.source.clone();
    DocumentOutcome { source, chunks: 0, unchanged: false, error: Some(error) }
}

/// A document's chunks with their vectors, in order.
type EmbeddedChunks = Vec<(StoredChunk, Vector)>;
type Whole = Result<(Arc<Head>, EmbeddedChunks), (Arc<Head>, String)>;

/// A document whose chunks come back from several batches.
#[derive(Default)]
struct Assembly {
    chunks: Vec<(usize, StoredChunk, Vector)>,
    received: usize,
    error: Option<String>,
}

#[derive(Default)]
struct Assemblies(HashMap<u64, Assembly>);

impl Assemblies {
    /// The document, when this was the last of its chunks.
    fn add(&mut self, piece: Piece, vector: Result<Vector, &str>) -> Option<Whole> {
        let Piece { head, number, text, start_char, end_char, .. } = piece;
        let assembly = self.0.entry(head.slot).or_default();
        assembly.received += 1;
        match vector {
            Ok(vector) if assembly.error.is_none() => {
                let chunk = StoredChunk { text, start_char, end_char };
                assembly.chunks.push((number, chunk, vector));
            }
            Ok(_) => {}
            Err(error) => {
                assembly.chunks = Vec::new();
                assembly.error.get_or_insert_with(|| error.to_owned());
            }
        }
        if assembly.received < head.chunks {
            return None;
        }
        let Assembly { mut chunks, error, .. } = self.0.remove(&head.slot)?;
        if let Some(error) = error {
            return Some(Err((head, error)));
        }
        chunks.sort_by_key(|(number, ..)| *number);
        let chunks = chunks.into_iter().map(|(_, chunk, vector)| (chunk, vector)).collect();
        Some(Ok((head, chunks)))
    }
}

/// Puts chunks that were embedded, and those with the same texts, to their documents; returns what is now whole.
fn arrive(
    run: &Run,
    assemblies: &mut Assemblies,
    pieces: impl Iterator<Item = Piece>,
    result: Result<Embeddings>,
) -> Vec<Whole> {
    let mut finished = Vec::new();
    let mut chunks = 0;
    let (embeddings, error) = match result {
        Ok(embeddings) => (embeddings, None),
        Err(error) => (Embeddings::default(), Some(error)),
    };
    run.spent(embeddings.usage.total_tokens);
    for (row, piece) in pieces.enumerate() {
        let vector = match &error {
            Some(error) => Err(error.message()),
            None => Ok(Vector::from(embeddings.vectors.row(row).unwrap_or_default())),
        };
        let twins = {
            let mut twins = run.twins.lock().unwrap_or_else(PoisonError::into_inner);
            twins.arrived(&piece.digest, vector.as_ref().ok())
        };
        chunks += 1 + twins.len();
        for piece in [piece].into_iter().chain(twins) {
            finished.extend(assemblies.add(piece, vector.clone()));
        }
    }
    run.reporter.update(|progress| progress.chunks_done += chunks);
    finished
}

/// What became of documents that were to be stored.
type Stored = Vec<(Arc<Head>, Result<usize>)>;

/// Stores documents, all in one step when none of them is in the way: a change of the store that is written down
/// costs the same for one as for many.
async fn store(run: Arc<Run>, documents: Vec<Finished>) -> Stored {
    let heads: Vec<Arc<Head>> = documents.iter().map(|it| Arc::clone(&it.head)).collect();
    // A task of its own, so that the changes of several batches are made by several workers.
    let task = runtime::spawn(async move {
        let _busy = run.clocks.store.run();
        let index = &run.inner.index;
        let whole = index.replace(&documents).await;
        let mut stored = Vec::with_capacity(documents.len());
        for document in &documents {
            stored.push(match &whole {
                Ok(()) => Ok(document.chunks.len()),
                // A store out of reach is no document's fault.
                Err(error)
                    if documents.len() == 1
                        || matches!(error.kind(), Kind::Network | Kind::Timeout) =>
                {
                    Err(error.duplicate())
                }
                Err(_) => {
                    let alone = index.replace(std::slice::from_ref(document)).await;
                    alone.map(|()| document.chunks.len())
                }
            });
        }
        Ok(stored)
    });
    match task.await {
        Ok(stored) => heads.into_iter().zip(stored).collect(),
        Err(error) => heads.into_iter().map(|head| (head, Err(error.duplicate()))).collect(),
    }
}

async fn delete_missing(run: &Arc<Run>) -> Result<usize> {
    let areas = std::mem::take(&mut *run.areas.lock().unwrap_or_else(PoisonError::into_inner));
    if areas.is_empty() {
        return Ok(0);
    }
    let index = &run.inner.index;
    let mut sources = index.sources().await?;
    let looking = Arc::clone(run);
    let gone = runtime::spawn_blocking(move || {
        let lacking = |source: &str| areas.iter().any(|area| area.lacks(source));
        sources.retain(|source| !looking.roll.holds(source) && lacking(source));
        Ok(sources)
    });
    // A text in memory may have a name like that of a file, and was never there.
    let gone = index.without_texts(gone.await?).await?;
    index.delete(gone).await
}
