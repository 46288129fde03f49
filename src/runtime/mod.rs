//! The shared Tokio runtime and the only doorway into it.
//!
//! One multi-thread runtime serves synchronous and asynchronous calls. A blocking call never drives a
//! future on the calling thread: it spawns the work here and parks until the answer is in. That single
//! rule is why the same call works from every context:
//!
//! | called from | what happens |
//! |---|---|
//! | a plain thread, an event-loop thread, a `spawn_blocking` thread | park; workers do the work |
//! | another crate's runtime (any flavour, any worker count, `LocalSet`) | park; *our* workers do the work |
//! | a task on one of our own workers | `block_in_place` hands the worker's core on first, then park |
//! | a callback thread, at any depth | park; every further callback gets a thread of its own |
//! | a forked child | the slot was emptied by the fork hook; a fresh runtime is built on first use |
//!
//! It refuses to poll a future on the caller's thread, so work that can only progress on the caller's
//! *own* foreign runtime belongs in that runtime, not here.
//!
//! ```
//! let answer = graphbit::runtime::block_on(async { Ok(6 * 7) })?;
//! assert_eq!(answer, 42);
//! # Ok::<(), graphbit::Error>(())
//! ```

mod callback;
mod extensions;
mod farewell;
mod own_lock;
mod own_thread;
mod per_process;
mod settings;
mod slot;
mod task;
mod turnstile;
mod undivided;
mod wait;

use std::future::Future;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::error::{Error, Result};

pub use farewell::{Farewell, say_farewells};
pub(crate) use own_lock::OwnLock;
pub use own_thread::{Orders, OwnThread};
pub use per_process::PerProcess;
pub use settings::Settings;
pub use slot::{generation, is_started};
pub use task::Task;
pub use turnstile::Turn;
pub use undivided::undivided;

/// What the running runtime looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Time since this process built it.
    pub uptime: Duration,
    /// Worker threads.
    pub worker_threads: usize,
    /// Upper bound on concurrently running blocking jobs.
    pub max_blocking_threads: usize,
}

/// Sets the sizes of the runtime to come. Ignored once the runtime exists, as is every later call.
pub fn configure(settings: Settings) {
    settings::store(settings);
}

/// Builds the runtime now instead of on first use.
///
/// # Errors
/// [`crate::Kind::Internal`] when the system refuses threads.
pub fn start() -> Result<()> {
    slot::current().map(|_| ())
}

/// The running runtime, or `None` before first use in this process.
#[must_use]
pub fn snapshot() -> Option<Snapshot> {
    slot::existing().map(|instance| Snapshot {
        uptime: instance.started.elapsed(),
        worker_threads: instance.sizes.worker_threads,
        max_blocking_threads: instance.sizes.max_blocking_threads,
    })
}

/// Starts `future` on the runtime. Dropping the [`Task`] aborts it; a panic becomes an error.
pub fn spawn<T, F>(future: F) -> Task<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    match slot::current() {
        Ok(instance) => Task::running(instance.runtime.handle(), instance.generation, future),
        Err(error) => Task::failed(error),
    }
}

/// Runs CPU or file work on a blocking thread; at most `max_blocking_threads` run at once.
///
/// A job that itself waits in [`block_on`] gives its place up for good, so jobs may nest to any depth.
pub fn spawn_blocking<T, F>(work: F) -> Task<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    match slot::current() {
        Ok(instance) => {
            let future = instance.blocking.run(instance.runtime.handle().clone(), work);
            Task::running(instance.runtime.handle(), instance.generation, future)
        }
        Err(error) => Task::failed(error),
    }
}

/// Runs a user's callback on a thread of its own, never on a worker.
///
/// The callback may block, and may call back into this crate, at any depth: threads are added while
/// all existing ones are busy and retire after ten idle seconds. The work starts at once; dropping
/// the returned future does not interrupt it.
///
/// # Errors
/// What `work` returns; [`crate::Kind::Internal`] when it panics or no thread can be had.
pub fn callback<T, F>(work: F) -> impl Future<Output = Result<T>> + Send + 'static
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    let submitted = slot::current().and_then(|instance| instance.callbacks.submit(work));
    async move {
        match submitted?.await {
            Ok(result) => result,
            // The thread died without an answer: only a panic inside the pool itself does that.
            Err(_) => Err(Error::panicked(&"a callback thread ended without an answer")),
        }
    }
}

/// Runs `future` on the runtime and waits for it, from any context.
///
/// # Errors
/// What `future` returns; [`crate::Kind::Internal`] with the text when it panics.
pub fn block_on<T, F>(future: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    wait(spawn(future), None, || ControlFlow::Continue(()))
}

/// Waits for a task, from any context. Every `pause` the thread wakes and asks `check`; a `Break`
/// aborts the task and is returned as [`crate::Kind::Cancelled`].
///
/// # Errors
/// What the task returns.
pub fn wait<T: Send + 'static>(
    task: Task<T>,
    pause: Option<Duration>,
    check: impl FnMut() -> ControlFlow<()>,
) -> Result<T> {
    if task::inside(generation()) {
        return tokio::task::block_in_place(|| wait::park_until_ready(task, pause, check));
    }
    slot::yield_blocking_permit();
    wait::park_until_ready(task, pause, check)
}

/// Waits for a task on a thread that will next queue for a lock all waiting threads share.
///
/// Finished waiters are woken one after another; drop the [`Turn`] as soon as the lock is held. There is
/// none when nobody had to wait. Callable from any context, as [`wait`] is.
///
/// # Errors
/// What the task returns, as the first part of the pair.
pub fn wait_in_turn<T: Send + 'static>(task: Task<T>) -> (Result<T>, Option<Turn>) {
    match slot::existing() {
        Some(instance) if !task::inside(instance.generation) => {
            slot::yield_blocking_permit();
            instance.turnstile.wait(task)
        }
        _ => (wait(task, None, || ControlFlow::Continue(())), None),
    }
}

/// One value of `T` for each runtime generation: connection pools, limiters, couriers.
///
/// A forked child gets a new value; the parent's is neither used nor dropped there, because dropping
/// it would deregister the parent's sockets from the poller that both processes share.
///
/// # Errors
/// [`crate::Kind::Internal`] when the runtime cannot be built.
pub fn per_process<T: Default + Send + Sync + 'static>() -> Result<&'static T> {
    slot::current().map(|instance| instance.extensions.get::<T>())
}

/// The number of worker threads. Builds the runtime when there is none.
#[must_use]
pub fn worker_threads() -> usize {
    slot::current().map_or(1, |instance| instance.sizes.worker_threads)
}
