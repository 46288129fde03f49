//! Progress to a user's callback: the latest state only, on a thread of its own, at a bounded rate.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::report::Progress;
use crate::runtime::{self, Task};

/// A user's callback. It may be slow: states it misses are skipped, and nobody waits for it but the last
/// report, for at most a second.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

const INTERVAL: Duration = Duration::from_millis(50);
const LAST_REPORT: Duration = Duration::from_secs(1);

/// Takes states and forgets those nobody had time to see.
pub(super) struct Reporter {
    latest: watch::Sender<Progress>,
    task: Mutex<Option<Task<()>>>,
}

impl Reporter {
    pub(super) fn start(on_progress: Option<OnProgress>) -> Self {
        let (latest, seen) = watch::channel(Progress::default());
        let task = on_progress.map(|callback| runtime::spawn(report(seen, callback)));
        Self { latest, task: Mutex::new(task) }
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Progress)) {
        self.latest.send_modify(change);
    }

    /// Delivers the final state.
    pub(super) async fn finish(&self) {
        self.latest.send_modify(|progress| progress.finished = true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // Late or failing callbacks are the user's; the ingest itself has succeeded by now.
            let _ = tokio::time::timeout(LAST_REPORT, task).await;
        }
    }
}

async fn report(mut seen: watch::Receiver<Progress>, callback: OnProgress) -> crate::Result<()> {
    let mut last = Progress::default();
    // A state is reported once; `wait_for` fails when the ingest was stopped.
    while seen.wait_for(|progress| *progress != last).await.is_ok() {
        let progress = *seen.borrow_and_update();
        let callback = Arc::clone(&callback);
        runtime::callback(move || {
            callback(progress);
            Ok(())
        })
        .await?;
        if progress.finished {
            break;
        }
        last = progress;
        // Wakes early for the final state, which is not made to wait.
        let _ = tokio::time::timeout(INTERVAL, seen.wait_for(|progress| progress.finished)).await;
    }
    Ok(())
}
