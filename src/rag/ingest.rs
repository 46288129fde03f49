//! The ingest pipeline: read and cut on blocking threads, embed in batches, store whole documents.
//!
//! Everything is pulled from the far end, so the slowest stage sets the pace and memory is bounded by the
//! batches under way plus the documents they belong to.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures_util::future::{Either, ready};
use futures_util::stream::{self, Stream, StreamExt};

use super::index::StoredChunk;
use super::progress::{OnProgress, Reporter};
use super::report::{DocumentOutcome, IngestReport, StageClock, StageSeconds};
use super::{Inner, Source, cores};
use crate::error::{Error, Kind, Result};
use crate::load;
use crate::runtime;
use crate::types::{Document, Embeddings, Matrix};

/// A batch is closed at this much text even when it has room for more chunks.
const BATCH_CHARS: usize = 32_000;

/// What one input turned out to be.
enum Work {
    File(PathBuf),
    Text(Document),
    Refused(Error),
}

/// The part of a document that all its chunks share.
struct Head {
    slot: usize,
    source: String,
    metadata: BTreeMap<String, String>,
    chunks: usize,
}

/// One chunk on its way.
struct Piece {
    head: Arc<Head>,
    number: usize,
    text: String,
    start_char: usize,
    end_char: usize,
}

/// What leaves the cutting stage.
enum Cut {
    Pieces(Vec<Piece>),
    /// A document that has nothing to embed, or that failed.
    Settled(Head, Result<()>),
}

/// A document's chunks with their vectors, in order.
type EmbeddedChunks = Vec<(StoredChunk, Vec<f32>)>;

#[derive(Default)]
struct Clocks {
    load: StageClock,
    split: StageClock,
    embed: StageClock,
    store: StageClock,
}

/// A document whose chunks come back from several batches.
#[derive(Default)]
struct Assembly {
    chunks: Vec<(usize, StoredChunk, Vec<f32>)>,
    received: usize,
    error: Option<String>,
}

pub(super) async fn run(
    inner: Arc<Inner>,
    sources: Vec<Source>,
    on_progress: Option<OnProgress>,
) -> Result<IngestReport> {
    let started = Instant::now();
    let clocks = Arc::new(Clocks::default());
    let reporter = Reporter::start(on_progress);
    let works = {
        let clocks = Arc::clone(&clocks);
        runtime::spawn_blocking(move || {
            let _busy = clocks.load.run();
            Ok(expand(sources))
        })
        .await?
    };
    reporter.update(|progress| progress.documents_total = works.len());
    let mut outcomes: Vec<DocumentOutcome> = works
        .iter()
        .map(|(source, _)| DocumentOutcome { source: source.clone(), ..DocumentOutcome::default() })
        .collect();
    let mut tokens = 0_u64;
    let mut assemblies: HashMap<usize, Assembly> = HashMap::new();

    let cut = cut_documents(&inner, &clocks, works);
    let batches = batch(cut, inner.config.batch_size, &reporter);
    let embedded = batches
        .map(|step| match step {
            Cut::Settled(head, result) => Either::Left(ready(Done::Settled(head, result))),
            Cut::Pieces(pieces) => {
                Either::Right(embed(Arc::clone(&inner), Arc::clone(&clocks), pieces))
            }
        })
        .buffer_unordered(inner.config.concurrency());
    let mut embedded = Box::pin(embedded);
    while let Some(done) = embedded.next().await {
        let finished = match done {
            Done::Settled(head, result) => vec![(Arc::new(head), result.map(|()| Vec::new()))],
            Done::Batch(pieces, result) => {
                if let Ok(embeddings) = &result {
                    tokens = tokens.saturating_add(embeddings.usage.total_tokens);
                    inner
                        .embedded_tokens
                        .fetch_add(embeddings.usage.total_tokens, Ordering::Relaxed);
                }
                reporter.update(|progress| {
                    progress.chunks_done += pieces.len();
                    progress.tokens = tokens;
                });
                assemble(&mut assemblies, pieces, &result)
            }
        };
        for (head, result) in finished {
            let slot = head.slot;
            let stored = match result {
                Ok(chunks) => store(&inner, &clocks, head, chunks).await,
                Err(error) => Err(error),
            };
            reporter.update(|progress| match &stored {
                Ok(_) => progress.documents_done += 1,
                Err(_) => progress.documents_failed += 1,
            });
            if let Some(outcome) = outcomes.get_mut(slot) {
                match stored {
                    Ok(chunks) => outcome.chunks = chunks,
                    Err(error) => outcome.error = Some(error.message().to_owned()),
                }
            }
        }
    }
    drop(embedded);
    let wall = started.elapsed().as_secs_f64();
    reporter.finish().await;
    Ok(IngestReport {
        documents: outcomes.iter().filter(|outcome| outcome.error.is_none()).count(),
        chunks: outcomes.iter().map(|outcome| outcome.chunks).sum(),
        tokens,
        outcomes,
        seconds: StageSeconds {
            load: clocks.load.seconds(),
            split: clocks.split.seconds(),
            embed: clocks.embed.seconds(),
            store: clocks.store.seconds(),
            wall,
        },
    })
}

/// One entry a document: folders become their files, a name given twice is refused the second time.
fn expand(sources: Vec<Source>) -> Vec<(String, Work)> {
    let mut works = Vec::new();
    for source in sources {
        match source {
            Source::Document(document) => {
                works.push((document.source.clone(), Work::Text(document)));
            }
            Source::Path(path) => match load::find(&path) {
                Ok(files) => works.extend(
                    files.into_iter().map(|file| (file.display().to_string(), Work::File(file))),
                ),
                Err(error) => works.push((path.display().to_string(), Work::Refused(error))),
            },
        }
    }
    let mut names = HashSet::new();
    for (source, work) in &mut works {
        // The second one would replace the first one's chunks without a word.
        if !names.insert(source.clone()) {
            let text = format!("'{source}' is given twice; every document needs a name of its own");
            *work = Work::Refused(Error::new(Kind::Document, text));
        }
    }
    works
}

/// Reads and cuts, some documents ahead of the embedding, in order.
fn cut_documents(
    inner: &Arc<Inner>,
    clocks: &Arc<Clocks>,
    works: Vec<(String, Work)>,
) -> impl Stream<Item = Cut> + use<> {
    let (inner, clocks) = (Arc::clone(inner), Arc::clone(clocks));
    stream::iter(works.into_iter().enumerate())
        .map(move |(slot, (source, work))| {
            let (inner, clocks) = (Arc::clone(&inner), Arc::clone(&clocks));
            let name = source.clone();
            let task = runtime::spawn_blocking(move || {
                Ok(cut_document(&inner, &clocks, slot, source, work))
            });
            async move {
                task.await.unwrap_or_else(|error| {
                    Cut::Settled(
                        Head { slot, source: name, metadata: BTreeMap::new(), chunks: 0 },
                        Err(error),
                    )
                })
            }
        })
        .buffered(cores().saturating_mul(2))
}

fn cut_document(inner: &Inner, clocks: &Clocks, slot: usize, source: String, work: Work) -> Cut {
    let document = match work {
        Work::Text(document) => Ok(document),
        Work::File(path) => {
            let _busy = clocks.load.run();
            load::read(&path, inner.config.max_file_bytes)
        }
        Work::Refused(error) => Err(error),
    };
    let document = match document {
        Ok(document) => document,
        Err(error) => {
            let head = Head { slot, source, metadata: BTreeMap::new(), chunks: 0 };
            return Cut::Settled(head, Err(error));
        }
    };
    let _busy = clocks.split.run();
    let mut chunks = inner.config.splitter.cut(&document.text);
    chunks.retain(|chunk| !chunk.content.trim().is_empty());
    let head = Head { slot, source, metadata: document.metadata, chunks: chunks.len() };
    if chunks.is_empty() {
        return Cut::Settled(head, Ok(()));
    }
    let head = Arc::new(head);
    let pieces = chunks.into_iter().enumerate().map(|(number, chunk)| Piece {
        head: Arc::clone(&head),
        number,
        // The span in the document, not the splitter's content: that may lack line breaks, and what is
        // cited should read as it was written.
        text: document
            .text
            .get(chunk.start_byte..chunk.end_byte)
            .map_or_else(|| chunk.content.into_owned(), str::to_owned),
        start_char: chunk.start_char,
        end_char: chunk.end_char,
    });
    Cut::Pieces(pieces.collect())
}

/// Regroups pieces of documents into batches for the embedding model.
fn batch<'a>(
    cut: impl Stream<Item = Cut> + 'a,
    most: usize,
    reporter: &'a Reporter,
) -> impl Stream<Item = Cut> + 'a {
    let state = (Box::pin(cut), VecDeque::<Piece>::new(), false);
    stream::unfold(state, move |(mut cut, mut waiting, mut ended)| async move {
        loop {
            let texts = fill(&waiting, most);
            // A batch goes when it is full, or when nothing more will come.
            if texts.is_some() || (ended && !waiting.is_empty()) {
                let pieces = waiting.drain(..texts.unwrap_or(waiting.len())).collect();
                return Some((Cut::Pieces(pieces), (cut, waiting, ended)));
            }
            if ended {
                return None;
            }
            match cut.next().await {
                Some(Cut::Pieces(pieces)) => {
                    reporter.update(|progress| progress.chunks_total += pieces.len());
                    waiting.extend(pieces);
                }
                Some(settled) => return Some((settled, (cut, waiting, ended))),
                None => ended = true,
            }
        }
    })
}

/// How many waiting pieces make a full batch, or `None` when they do not.
fn fill(waiting: &VecDeque<Piece>, most: usize) -> Option<usize> {
    let mut chars = 0_usize;
    for (index, piece) in waiting.iter().enumerate() {
        chars += piece.text.len();
        if index + 1 == most || chars >= BATCH_CHARS {
            return Some(index + 1);
        }
    }
    None
}

/// What comes out of the embedding stage.
enum Done {
    Settled(Head, Result<()>),
    Batch(Vec<Piece>, Result<Embeddings>),
}

/// Embeds one batch as a task of its own, so that batches use all workers.
async fn embed(inner: Arc<Inner>, clocks: Arc<Clocks>, pieces: Vec<Piece>) -> Done {
    let texts: Vec<String> = pieces.iter().map(|piece| piece.text.clone()).collect();
    let expected = texts.len();
    let task = runtime::spawn(async move {
        let _busy = clocks.embed.run();
        inner.config.embedding.embed_many(texts).await
    });
    let result = task.await.and_then(|embeddings| {
        if embeddings.vectors.rows() == expected {
            return Ok(embeddings);
        }
        let text = format!("{} vectors came back for {expected} texts", embeddings.vectors.rows());
        Err(Error::new(Kind::Decode, text))
    });
    Done::Batch(pieces, result)
}

/// Puts a batch's chunks with their documents; returns the documents that are now complete.
fn assemble(
    assemblies: &mut HashMap<usize, Assembly>,
    pieces: Vec<Piece>,
    result: &Result<Embeddings>,
) -> Vec<(Arc<Head>, Result<EmbeddedChunks>)> {
    let mut finished = Vec::new();
    for (row, piece) in pieces.into_iter().enumerate() {
        let Piece { head, number, text, start_char, end_char } = piece;
        let assembly = assemblies.entry(head.slot).or_default();
        assembly.received += 1;
        match result {
            Ok(embeddings) if assembly.error.is_none() => {
                let vector = embeddings.vectors.row(row).unwrap_or_default().to_vec();
                assembly.chunks.push((number, StoredChunk { text, start_char, end_char }, vector));
            }
            Ok(_) => {}
            Err(error) => {
                assembly.chunks = Vec::new();
                assembly.error.get_or_insert_with(|| error.message().to_owned());
            }
        }
        if assembly.received < head.chunks {
            continue;
        }
        let Some(assembly) = assemblies.remove(&head.slot) else { continue };
        let outcome = match assembly.error {
            Some(message) => Err(Error::new(Kind::Document, message)),
            None => {
                let mut chunks = assembly.chunks;
                chunks.sort_by_key(|(number, ..)| *number);
                Ok(chunks.into_iter().map(|(_, chunk, vector)| (chunk, vector)).collect())
            }
        };
        finished.push((head, outcome));
    }
    finished
}

async fn store(
    inner: &Arc<Inner>,
    clocks: &Arc<Clocks>,
    head: Arc<Head>,
    chunks: EmbeddedChunks,
) -> Result<usize> {
    let (inner, clocks) = (Arc::clone(inner), Arc::clone(clocks));
    runtime::spawn_blocking(move || {
        let _busy = clocks.store.run();
        let count = chunks.len();
        let (chunks, vectors): (Vec<_>, Vec<_>) = chunks.into_iter().unzip();
        let vectors = Matrix::from_rows(&vectors)?;
        inner.index.replace(&head.source, &head.metadata, chunks, &vectors)?;
        Ok(count)
    })
    .await
}
