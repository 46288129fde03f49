//! Parking a thread until a task is done, waking in between only when somebody asked for it.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::task::Task;
use crate::error::{Error, Kind, Result};

/// Wakes one parked thread. The flag belongs to one wait: a signal handler that runs in `check` may
/// wait on the same thread and swallow the other's unpark token, but not its flag.
struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

pub(super) fn park_until_ready<T>(
    task: Task<T>,
    pause: Option<Duration>,
    mut check: impl FnMut() -> ControlFlow<()>,
) -> Result<T> {
    let mut task = pin!(task);
    let unpark = Arc::new(Unpark { thread: std::thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut context = Context::from_waker(&waker);
    let mut next_check = pause.map(|pause| (pause, Instant::now() + pause));
    loop {
        if let Poll::Ready(result) = task.as_mut().poll(&mut context) {
            return result;
        }
        while !unpark.woken.swap(false, Ordering::Acquire) {
            let Some((pause, due)) = &mut next_check else {
                std::thread::park();
                continue;
            };
            let now = Instant::now();
            if let Some(left) = due.checked_duration_since(now).filter(|left| !left.is_zero()) {
                std::thread::park_timeout(left);
                continue;
            }
            *due = now + *pause;
            if check().is_break() {
                return Err(Error::new(Kind::Cancelled, "the call was interrupted"));
            }
        }
    }
}
