//! Sleeps that end when they should.
//!
//! Tokio's timer counts whole milliseconds and rounds up, which is two per cent of a 50 ms answer:
//! too much for a benchmark that asks how near a client comes to the ideal. One thread of our own
//! waits on a condition variable for the earliest deadline and wakes its sleeper.
//! Refuses to run anything: it only wakes.
//!
//! ```text
//! timer::sleep_until(Instant::now() + Duration::from_micros(50_300)).await;
//! ```

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::oneshot;

/// A pending sleep; dropping it leaves a dead entry that its deadline sweeps away.
pub(crate) struct Sleep(oneshot::Receiver<()>);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context).map(|_| ())
    }
}

/// Sleeps until `due`.
pub(crate) fn sleep_until(due: Instant) -> Sleep {
    let (wake, woken) = oneshot::channel();
    let timer = timer();
    let mut sleepers = timer.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
    // Only a new earliest deadline changes how long the thread has to wait.
    let earliest = sleepers.peek().is_none_or(|first| due < first.due);
    sleepers.push(Sleeper { due, wake });
    drop(sleepers);
    if earliest {
        timer.changed.notify_one();
    }
    Sleep(woken)
}

struct Timer {
    sleepers: Mutex<BinaryHeap<Sleeper>>,
    changed: Condvar,
}

struct Sleeper {
    due: Instant,
    wake: oneshot::Sender<()>,
}

impl Ord for Sleeper {
    // Reversed: the heap gives its greatest, we want the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.due.cmp(&self.due)
    }
}

impl PartialOrd for Sleeper {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Sleeper {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Sleeper {}

fn timer() -> &'static Timer {
    static TIMER: OnceLock<Timer> = OnceLock::new();
    static THREAD: OnceLock<()> = OnceLock::new();
    let timer = TIMER
        .get_or_init(|| Timer { sleepers: Mutex::new(BinaryHeap::new()), changed: Condvar::new() });
    THREAD.get_or_init(|| {
        std::thread::spawn(|| wake_forever(timer));
    });
    timer
}

fn wake_forever(timer: &Timer) {
    let mut due = Vec::new();
    let mut sleepers = timer.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let now = Instant::now();
        while sleepers.peek().is_some_and(|first| first.due <= now) {
            due.extend(sleepers.pop().map(|sleeper| sleeper.wake));
        }
        if !due.is_empty() {
            // Waking costs a system call each; new sleepers must not queue behind that.
            drop(sleepers);
            for wake in due.drain(..) {
                let _ = wake.send(());
            }
            sleepers = timer.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let wait = sleepers.peek().map(|first| first.due.saturating_duration_since(now));
        sleepers = match wait {
            Some(wait) => {
                let waited = timer.changed.wait_timeout(sleepers, wait);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => timer.changed.wait(sleepers).unwrap_or_else(PoisonError::into_inner),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_thousand_sleepers_wake_in_time_and_never_early() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let start = Instant::now();
        let errors = runtime.block_on(async {
            let tasks: Vec<_> = (0..1000_u64)
                .map(|index| {
                    let due = start + Duration::from_micros(50_000 + index * 37);
                    tokio::task::spawn(async move {
                        sleep_until(due).await;
                        let now = Instant::now();
                        assert!(now >= due, "woken early");
                        (now - due).as_secs_f64()
                    })
                })
                .collect();
            let mut errors = Vec::new();
            for task in tasks {
                errors.push(task.await.unwrap());
            }
            errors
        });
        let mean = errors.iter().sum::<f64>() / 1000.0;
        // A generous bound: a busy test machine delays threads by whole milliseconds now and then.
        assert!(mean < 0.005, "mean error {mean} s");
    }

    #[test]
    fn an_earlier_deadline_overtakes() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let start = Instant::now();
        let late = sleep_until(start + Duration::from_secs(30));
        runtime.block_on(sleep_until(start + Duration::from_millis(10)));
        assert!(start.elapsed() < Duration::from_secs(5));
        drop(late);
    }
}
