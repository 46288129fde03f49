//! Progress to a user's callback: the latest state only, on a thread of its own, at a bounded rate.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::report::Progress;
use super::speed::Speed;
use crate::embeddings::Ledger;
use crate::runtime::{self, Task};

/// A user's callback. It may be slow: states it misses are skipped, and nobody waits for it but the last
/// report, for at most a second.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

const INTERVAL: Duration = Duration::from_millis(50);
/// Time goes on, and requests are sent again, while nothing else happens.
const HEARTBEAT: Duration = Duration::from_secs(1);
const LAST_REPORT: Duration = Duration::from_secs(1);

/// What the stages count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) documents_total: usize,
    /// Whether no more documents will be found.
    pub(super) all_found: bool,
    pub(super) documents_cut: usize,
    pub(super) documents_done: usize,
    pub(super) documents_failed: usize,
    pub(super) chunks_total: usize,
    pub(super) chunks_done: usize,
    pub(super) tokens: u64,
    pub(super) finished: bool,
}

impl Counts {
    /// Documents with an outcome.
    pub(super) const fn settled(&self) -> usize {
        self.documents_done.saturating_add(self.documents_failed)
    }
}

/// Takes states and forgets those nobody had time to see.
pub(super) struct Reporter {
    latest: watch::Sender<Counts>,
    task: Mutex<Option<Task<()>>>,
}

impl Reporter {
    pub(super) fn start(on_progress: Option<OnProgress>, ledger: &Arc<Ledger>) -> Self {
        let (latest, seen) = watch::channel(Counts::default());
        let task =
            on_progress.map(|callback| runtime::spawn(report(seen, callback, Arc::clone(ledger))));
        Self { latest, task: Mutex::new(task) }
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Counts)) {
        self.latest.send_modify(change);
    }

    /// Delivers the final state.
    pub(super) async fn finish(&self) {
        self.latest.send_modify(|counts| counts.finished = true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // Late or failing callbacks are the user's; the ingest itself has succeeded by now.
            let _ = tokio::time::timeout(LAST_REPORT, task).await;
        }
    }
}

async fn report(
    mut seen: watch::Receiver<Counts>,
    callback: OnProgress,
    ledger: Arc<Ledger>,
) -> crate::Result<()> {
    let started = Instant::now();
    let mut speed = Speed::new();
    let mut last = Counts::default();
    loop {
        let news = tokio::time::timeout(HEARTBEAT, seen.wait_for(|counts| *counts != last)).await;
        // Only an ingest that was stopped leaves nothing to wait for.
        if matches!(news, Ok(Err(_))) {
            return Ok(());
        }
        drop(news);
        last = *seen.borrow_and_update();
        let progress = told(&last, started.elapsed().as_secs_f64(), &mut speed, &ledger);
        let callback = Arc::clone(&callback);
        runtime::callback(move || {
            callback(progress);
            Ok(())
        })
        .await?;
        if last.finished {
            return Ok(());
        }
        // Wakes early for the final state, which is not made to wait.
        let _ = tokio::time::timeout(INTERVAL, seen.wait_for(|counts| counts.finished)).await;
    }
}

fn told(counts: &Counts, seconds: f64, speed: &mut Speed, ledger: &Ledger) -> Progress {
    let forecast = speed.forecast(counts, seconds);
    Progress {
        documents_total: counts.documents_total,
        documents_done: counts.documents_done,
        documents_failed: counts.documents_failed,
        chunks_total: counts.chunks_total,
        chunks_done: counts.chunks_done,
        tokens: counts.tokens,
        cost: ledger.cost(),
        retries: ledger.retries(),
        seconds,
        documents_per_second: forecast.documents,
        chunks_per_second: forecast.chunks,
        eta_seconds: forecast.eta,
        finished: counts.finished,
    }
}
