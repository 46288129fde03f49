//! Threads for users' callbacks: as many as are needed at once, reused, retired when idle.
//!
//! A callback may block and may call back into the crate, so a fixed number of threads would deadlock
//! at some depth. The queue is bounded by construction: a job is only queued for a thread that is idle.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::{Error, Kind, Result};

const IDLE_LIFETIME: Duration = Duration::from_secs(10);
/// What interpreters expect of a thread; reserved address space, not memory.
const STACK_SIZE: usize = 8 * 1024 * 1024;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    job_ready: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Threads waiting for a job; each queued job has one of them spoken for.
    idle: usize,
}

impl Pool {
    /// Starts `work` on an idle thread or a new one.
    pub(super) fn submit<T, F>(&self, work: F) -> Result<oneshot::Receiver<Result<T>>>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(work))
                .unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())));
            // Nobody waits any more when the call was cancelled.
            drop(sender.send(result));
        });
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.idle > state.jobs.len() {
            state.jobs.push_back(job);
            drop(state);
            self.shared.job_ready.notify_one();
            return Ok(receiver);
        }
        drop(state);
        let shared = Arc::clone(&self.shared);
        std::thread::Builder::new()
            .name("graphbit-callback".to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || {
                job();
                shared.serve();
            })
            .map_err(|cause| {
                let text = format!("Internal error: cannot start a callback thread: {cause}");
                Error::new(Kind::Internal, text).with_source(cause)
            })?;
        Ok(receiver)
    }
}

impl Shared {
    fn serve(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            state.idle += 1;
            let (guard, timeout) = self
                .job_ready
                .wait_timeout_while(state, IDLE_LIFETIME, |state| state.jobs.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.idle -= 1;
            match state.jobs.pop_front() {
                Some(job) => {
                    drop(state);
                    job();
                    state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                }
                None if timeout.timed_out() => return,
                None => {}
            }
        }
    }
}
