//! Retrieval-augmented answers: load, split, embed, store; then ask with citations.
//!
//! [`ParallelRag`] runs the stages over the shared runtime with bounded concurrency and memory. It refuses
//! to lose what succeeded: a document that cannot be read or embedded becomes one outcome with an error,
//! the rest is stored, and a document is stored whole or not at all. What the store holds already is not
//! embedded again, whatever ended the process that stored it.
//!
//! ```no_run
//! use std::sync::Arc;
//! use graphbit::embeddings::EmbeddingClient;
//! use graphbit::llm::LlmClient;
//! use graphbit::local::{self, Extractive};
//! use graphbit::rag::{Config, ParallelRag, Source};
//!
//! let embedding = local::open("my-model", "weights.safetensors", None)?;
//! let rag = ParallelRag::new(Config::new(
//!     EmbeddingClient::new(embedding, Default::default()),
//!     LlmClient::new(Arc::new(Extractive), Default::default()),
//! )?)?;
//! let answer = graphbit::runtime::block_on(async move {
//!     rag.ingest(vec![Source::Path("manual".into())], None).await?;
//!     rag.ask("How long is the warranty?", None).await
//! })?;
//! assert!(!answer.citations.is_empty());
//! # Ok::<(), graphbit::Error>(())
//! ```

mod ask;
mod batch;
mod cut;
mod index;
mod ingest;
mod many;
mod marks;
mod passages;
mod progress;
mod prompt;
mod report;
mod source;
mod speed;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::embeddings::EmbeddingClient;
use crate::error::Result;
use crate::llm::LlmClient;
use crate::load::{Loader, LoaderSettings};
use crate::split::{ExactSplitter, Split, Strategy, Unit};
use crate::store::{Metric, Store, VectorStore, at_least_one, within};

pub use ask::{Answer, Citation, NOTHING_FOUND, Prepared};
use index::Index;
pub use ingest::IngestStream;
use ingest::Run;
pub use many::{Answers, AskMany};
pub use passages::{Asking, Mode, Rerank};
pub use progress::OnProgress;
pub use prompt::Prompt;
pub use report::{DocumentOutcome, IngestReport, Progress, StageSeconds};
pub use source::{Source, Sources};

/// Passages given to the model, unless the question asks for another number.
pub const DEFAULT_TOP_K: usize = 4;
/// Code points a chunk, about 250 tokens of English: well below what embedding models take.
const CHUNK_CHARS: usize = 1000;
const CHUNK_OVERLAP: usize = 100;
const BATCH_TEXTS: usize = 64;
const REMOTE_CONCURRENCY: usize = 16;
const MOST_PASSAGES: usize = 1000;
const MOST_FILE_BYTES: u64 = 64 << 20;

/// How a [`ParallelRag`] works. [`Config::new`] gives the defaults; fields may be changed before use.
#[derive(Clone)]
pub struct Config {
    /// Makes vectors of chunks and questions.
    pub embedding: EmbeddingClient,
    /// Answers.
    pub llm: LlmClient,
    /// Cuts documents; default recursive, 1000 characters with 100 of overlap.
    pub splitter: Arc<dyn Split>,
    /// Keeps chunks and vectors; default an empty cosine store.
    pub store: Arc<dyn Store>,
    /// Passages a question retrieves; 1 to 1000, default 4.
    pub top_k: usize,
    /// Chunks an embedding request; at least 1, default 64.
    pub batch_size: usize,
    /// Embedding requests under way at once; default 16, or the number of cores for a local model.
    pub max_concurrency: Option<usize>,
    /// Reads files and URLs; by default all that is in them, blanks and line breaks of texts as they stand, up
    /// to 64 MiB each.
    pub loader: Loader,
    /// What a model is told; default to answer from the numbered passages and cite them.
    pub prompt: Prompt,
}

impl Config {
    /// The defaults around two clients.
    ///
    /// # Errors
    /// Never with the built-in splitter sizes.
    pub fn new(embedding: EmbeddingClient, llm: LlmClient) -> Result<Self> {
        Ok(Self {
            embedding,
            llm,
            splitter: Arc::new(ExactSplitter::new(
                &Strategy::Recursive {
                    chunk_size: CHUNK_CHARS,
                    chunk_overlap: CHUNK_OVERLAP,
                    separators: None,
                },
                Unit::Chars,
            )?),
            store: Arc::new(VectorStore::new(Metric::Cosine, None)?),
            top_k: DEFAULT_TOP_K,
            batch_size: BATCH_TEXTS,
            max_concurrency: None,
            loader: loader(),
            prompt: Prompt::default(),
        })
    }

    fn check(&self) -> Result<()> {
        check_top_k(self.top_k)?;
        at_least_one("batch_size", self.batch_size)?;
        at_least_one("max_concurrency", self.max_concurrency)
    }

    fn concurrency(&self) -> usize {
        let local = self.embedding.model().provider() == crate::local::PROVIDER;
        self.max_concurrency.unwrap_or_else(|| if local { cores() } else { REMOTE_CONCURRENCY })
    }
}

/// What reads documents, unless a configuration says otherwise.
#[must_use]
pub fn loader() -> Loader {
    Loader::new(LoaderSettings {
        max_file_size: MOST_FILE_BYTES,
        preserve_formatting: true,
        full: true,
        ..LoaderSettings::default()
    })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn check_top_k(top_k: usize) -> Result<()> {
    within("top_k", top_k, MOST_PASSAGES)
}

/// What a [`ParallelRag`] has done and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Documents held, those of a store that was filled before among them.
    pub documents: usize,
    /// Chunks held.
    pub chunks: usize,
    /// Documents that could not be ingested, over all ingests.
    pub failed_documents: u64,
    /// Tokens embedded, questions included.
    pub embedded_tokens: u64,
    /// Questions answered.
    pub questions: u64,
}

/// Ingests documents and answers questions about them. Cloning shares everything.
#[derive(Clone)]
pub struct ParallelRag {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    index: Index,
    failed_documents: AtomicU64,
    embedded_tokens: AtomicU64,
    questions: AtomicU64,
}

impl ParallelRag {
    /// Checks the configuration.
    ///
    /// # Errors
    /// [`Kind::Validation`](crate::Kind::Validation) naming the field.
    pub fn new(config: Config) -> Result<Self> {
        config.check()?;
        let index = Index::over(Arc::clone(&config.store));
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                index,
                failed_documents: AtomicU64::new(0),
                embedded_tokens: AtomicU64::new(0),
                questions: AtomicU64::new(0),
            }),
        })
    }

    /// Loads, splits, embeds and stores. A source that was ingested before is replaced, unless the store has it
    /// as it is now: then nothing of it is embedded again.
    ///
    /// The report has one outcome for each document, in the order given (a folder's files in name order).
    /// Dropping the future stops the work; documents finished by then stay stored. `on_progress` is
    /// called on a thread of its own, never faster than 20 times a second, always with the final state.
    ///
    /// # Errors
    /// Only [`Kind::Internal`](crate::Kind::Internal) or [`Kind::Store`](crate::Kind::Store), and those of
    /// [`Sources::Drawn`]: what goes wrong with a document is in its outcome.
    pub async fn ingest(
        &self,
        sources: impl Into<Sources>,
        on_progress: Option<OnProgress>,
    ) -> Result<IngestReport> {
        let run = Run::new(Arc::clone(&self.inner), true, on_progress);
        ingest::report(run, sources.into(), false).await
    }

    /// As [`ParallelRag::ingest`]; then deletes the files that the store holds of the folders and patterns among
    /// the sources and that are not there any more. What was found in none of its parts, or could not be read
    /// in one of them, loses nothing.
    ///
    /// # Errors
    /// As for [`ParallelRag::ingest`]; nothing is deleted then.
    pub async fn mirror(
        &self,
        sources: impl Into<Sources>,
        on_progress: Option<OnProgress>,
    ) -> Result<IngestReport> {
        let run = Run::new(Arc::clone(&self.inner), true, on_progress);
        ingest::report(run, sources.into(), true).await
    }

    /// As [`ParallelRag::ingest`], but hands over each outcome as soon as those before it are there, and
    /// remembers none, so that the sources need not end. A name that comes again replaces its document.
    pub fn ingest_stream(
        &self,
        sources: impl Into<Sources>,
        on_progress: Option<OnProgress>,
    ) -> IngestStream {
        let run = Run::new(Arc::clone(&self.inner), false, on_progress);
        IngestStream::start(run, sources.into())
    }

    /// What is held and what was done.
    ///
    /// # Errors
    /// The store's, for one that has to be asked.
    pub async fn stats(&self) -> Result<Stats> {
        Ok(Stats {
            documents: self.inner.index.documents().await?,
            chunks: self.inner.index.chunks().await?,
            failed_documents: self.inner.failed_documents.load(Ordering::Relaxed),
            embedded_tokens: self.inner.embedded_tokens.load(Ordering::Relaxed),
            questions: self.inner.questions.load(Ordering::Relaxed),
        })
    }

    /// The numbers of documents and chunks held; `None` when the store is elsewhere and would have to be asked.
    #[must_use]
    pub fn sizes_at_once(&self) -> Option<(usize, usize)> {
        self.inner.index.sizes_at_once()
    }

    /// The configuration it was built from.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }
}
