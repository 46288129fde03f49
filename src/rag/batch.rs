//! Chunks of documents into batches for the embedding model, each text once, within the memory allowed.
//!
//! A batch goes when it is full, when nothing more will come, or when what comes next has to wait: for its own
//! source, or for memory that only finished documents give back. It refuses documents beyond that memory,
//! but for one that is larger than all of it and goes alone.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt};

use super::cut::{Cut, Digest, Fate, Head, Piece};
use super::ingest::Run;

/// Texts and vectors of documents under way, in bytes: those that are embedded, or wait for it, or to be
/// stored whole. Documents that are just read and cut come on top, one for each reader.
pub(super) const UNDER_WAY_BYTES: usize = 128 << 20;
/// What the memory is counted in.
const GRAIN_BYTES: usize = 1024;
/// Vectors kept for texts that come again.
const KNOWN_BYTES: usize = 16 << 20;
/// A batch is closed at this much text even when it has room for more chunks.
const BATCH_CHARS: usize = 32_000;
/// How long an open batch waits for the next document.
const LINGER: Duration = Duration::from_millis(100);
/// Values of a vector where the model does not say.
const USUAL_DIMENSIONS: usize = 1536;
/// What a chunk costs beside its text and its vector.
const CHUNK_BYTES: usize = 256;

/// The memory of an ingest, in permits of a semaphore.
pub(super) const ROOM: usize = UNDER_WAY_BYTES / GRAIN_BYTES;

pub(super) type Vector = Arc<[f32]>;

/// What goes to the embedding stage, or around it.
pub(super) enum Step {
    Settled(Arc<Head>, Fate),
    Batch(Vec<Piece>),
    /// Chunks with the vectors of equal ones.
    Known(Vec<(Piece, Vector)>),
}

/// Equal texts of one ingest.
#[derive(Default)]
pub(super) struct Twins {
    /// For each text that is on its way to be embedded, the chunks with the same text.
    waiting: HashMap<Digest, Vec<Piece>>,
    known: HashMap<Digest, Vector>,
    /// Digests of the known ones, oldest first.
    order: VecDeque<Digest>,
    bytes: usize,
}

impl Twins {
    /// The chunks that wait for this text, which has been embedded, or not.
    pub(super) fn arrived(&mut self, digest: &Digest, vector: Option<&Vector>) -> Vec<Piece> {
        if let Some(vector) = vector
            && self.known.insert(*digest, Arc::clone(vector)).is_none()
        {
            self.bytes = self.bytes.saturating_add(size_of_val::<[f32]>(vector));
            self.order.push_back(*digest);
            while self.bytes > KNOWN_BYTES
                && let Some(oldest) = self.order.pop_front()
            {
                let forgotten = self.known.remove(&oldest);
                let freed = forgotten.map_or(0, |vector| size_of_val::<[f32]>(&vector));
                self.bytes = self.bytes.saturating_sub(freed);
            }
        }
        self.waiting.remove(digest).unwrap_or_default()
    }
}

struct Batcher<S> {
    run: Arc<Run>,
    cut: Pin<Box<S>>,
    /// A document that found no room.
    late: Option<Vec<Piece>>,
    waiting: VecDeque<Piece>,
    ended: bool,
}

/// Regroups chunks of documents.
pub(super) fn batches<S>(run: Arc<Run>, cut: S) -> impl Stream<Item = Step> + Send + 'static
where
    S: Stream<Item = Cut> + Send + 'static,
{
    let cut = Box::pin(cut);
    let batcher = Batcher { run, cut, late: None, waiting: VecDeque::new(), ended: false };
    stream::unfold(batcher, |mut batcher| async move {
        let step = batcher.next().await?;
        Some((step, batcher))
    })
}

impl<S: Stream<Item = Cut>> Batcher<S> {
    async fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(full) = fill(&self.waiting, self.run.inner.config.batch_size) {
                return Some(self.close(full));
            }
            if let Some(pieces) = self.late.take() {
                if !seat(&self.run, &pieces, self.waiting.is_empty()).await {
                    self.late = Some(pieces);
                    return Some(self.close(self.waiting.len()));
                }
                if let Some(known) = self.admit(pieces) {
                    return Some(known);
                }
                continue;
            }
            if self.ended {
                let rest = self.waiting.len();
                return (rest > 0).then(|| self.close(rest));
            }
            let next = if self.waiting.is_empty() {
                self.cut.next().await
            } else {
                match tokio::time::timeout(LINGER, self.cut.next()).await {
                    Ok(next) => next,
                    Err(_) => return Some(self.close(self.waiting.len())),
                }
            };
            match next {
                Some(Cut::Pieces(_, pieces)) => self.late = Some(pieces),
                Some(Cut::Settled(head, fate)) => return Some(Step::Settled(head, fate)),
                None => self.ended = true,
            }
        }
    }

    fn close(&mut self, count: usize) -> Step {
        Step::Batch(self.waiting.drain(..count).collect())
    }

    /// Lines chunks up, but for those whose text has been embedded or will be.
    fn admit(&mut self, pieces: Vec<Piece>) -> Option<Step> {
        let mut twins = self.run.twins.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = Vec::new();
        for piece in pieces {
            if let Some(vector) = twins.known.get(&piece.digest) {
                known.push((piece, Arc::clone(vector)));
            } else if let Some(waiting) = twins.waiting.get_mut(&piece.digest) {
                waiting.push(piece);
            } else {
                twins.waiting.insert(piece.digest, Vec::new());
                self.waiting.push_back(piece);
            }
        }
        (!known.is_empty()).then_some(Step::Known(known))
    }
}

/// Takes room for a document; `false` when it is not `alone` and others must go first.
async fn seat(run: &Run, pieces: &[Piece], alone: bool) -> bool {
    let Some(piece) = pieces.first() else { return true };
    let dimensions = run.inner.config.embedding.model().dimensions();
    let vector = dimensions.unwrap_or(USUAL_DIMENSIONS).saturating_mul(size_of::<f32>());
    let texts: usize = pieces.iter().map(|piece| piece.text.len()).sum();
    let rest = pieces.len().saturating_mul(vector.saturating_add(CHUNK_BYTES));
    let grains = (texts.saturating_add(rest) / GRAIN_BYTES).clamp(1, ROOM);
    let grains = u32::try_from(grains).unwrap_or(u32::MAX);
    let room = Arc::clone(&run.room);
    let permit = match Arc::clone(&room).try_acquire_many_owned(grains) {
        Ok(permit) => Some(permit),
        Err(_) if !alone => return false,
        Err(_) => room.acquire_many_owned(grains).await.ok(),
    };
    if let Some(permit) = permit {
        let _ = piece.head.room.set(permit);
    }
    true
}

/// How many waiting chunks make a full batch, or `None` when they do not.
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
