//! What an ingest tells: outcomes, seconds, and the state while it runs.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How it went for one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentOutcome {
    /// The path or the name given.
    pub source: String,
    /// Chunks the store holds of it; 0 when it failed or held no text.
    pub chunks: usize,
    /// Whether the store had it already, as it is now.
    pub unchanged: bool,
    /// Why nothing of it was stored. What the store had of it before is then still there.
    pub error: Option<String>,
}

/// Seconds each stage was busy. Stages overlap, so they may add up to more than `wall`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StageSeconds {
    /// Finding and reading files.
    pub load: f64,
    /// Cutting texts.
    pub split: f64,
    /// Waiting for embeddings.
    pub embed: f64,
    /// Storing vectors.
    pub store: f64,
    /// From call to report.
    pub wall: f64,
}

/// The result of an ingest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IngestReport {
    /// Documents without an error, unchanged ones among them.
    pub documents: usize,
    /// Documents that the store had already.
    pub unchanged: usize,
    /// Documents deleted because they are gone.
    pub deleted: usize,
    /// Chunks stored by this ingest.
    pub chunks: usize,
    /// Tokens embedded.
    pub tokens: u64,
    /// US dollars for the embeddings; `None` when a price or a count of tokens is missing.
    pub cost: Option<f64>,
    /// Embedding requests that were sent again because they had failed.
    pub retries: u64,
    /// One entry a document, in the order given.
    pub outcomes: Vec<DocumentOutcome>,
    /// Time by stage.
    pub seconds: StageSeconds,
}

/// How far an ingest is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Documents found so far; 0 until the folders have been read.
    pub documents_total: usize,
    /// Documents stored, or found unchanged.
    pub documents_done: usize,
    /// Documents that failed.
    pub documents_failed: usize,
    /// Chunks cut so far, without those of unchanged documents.
    pub chunks_total: usize,
    /// Chunks so far that have a vector, or failed to get one.
    pub chunks_done: usize,
    /// Tokens embedded so far.
    pub tokens: u64,
    /// US dollars for the embeddings so far; `None` when a price or a count of tokens is missing.
    pub cost: Option<f64>,
    /// Embedding requests so far that were sent again because they had failed.
    pub retries: u64,
    /// Since the ingest began.
    pub seconds: f64,
    /// Documents settled a second, over the last ten seconds.
    pub documents_per_second: f64,
    /// Chunks embedded a second, over the last ten seconds.
    pub chunks_per_second: f64,
    /// Seconds to go; `None` while more documents may be found, or none has got far enough to tell.
    pub eta_seconds: Option<f64>,
    /// Whether this is the last report.
    pub finished: bool,
}

/// Measures how long at least one job of a stage was running.
#[derive(Debug, Default)]
pub(super) struct StageClock(Mutex<Running>);

#[derive(Debug, Default)]
struct Running {
    jobs: usize,
    since: Option<Instant>,
    total: Duration,
}

impl StageClock {
    /// Counts until the guard is dropped.
    pub(super) fn run(&self) -> StageGuard<'_> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.jobs += 1;
        running.since.get_or_insert_with(Instant::now);
        StageGuard(self)
    }

    pub(super) fn seconds(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).total.as_secs_f64()
    }
}

pub(super) struct StageGuard<'a>(&'a StageClock);

impl Drop for StageGuard<'_> {
    fn drop(&mut self) {
        let mut running = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.jobs = running.jobs.saturating_sub(1);
        if running.jobs == 0
            && let Some(since) = running.since.take()
        {
            running.total += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_jobs_are_counted_once() {
        let clock = StageClock::default();
        let pause = Duration::from_millis(20);
        let outer = clock.run();
        let inner = clock.run();
        std::thread::sleep(pause);
        drop(inner);
        drop(outer);
        let seconds = clock.seconds();
        assert!(seconds >= pause.as_secs_f64() && seconds < 2.0 * pause.as_secs_f64(), "{seconds}");
        std::thread::sleep(pause);
        assert!((clock.seconds() - seconds).abs() < f64::EPSILON, "idle time does not count");
    }
}
