//! The replaceable slot that holds the runtime, and the fork hook that empties it.
//!
//! Why not a `OnceLock`: after `fork()` only the calling thread exists in the child, so the inherited
//! runtime has no workers and every wait on it hangs. The hook makes the child forget it. Why the old
//! instance is leaked: dropping it in the child would deregister the parent's sockets from the epoll
//! instance that both processes share. Why atomics only: any lock may be held by a thread that does not
//! exist in the child.
//!
//! The runtime's one unsafe island: dereferencing the slot, registering the hook, and closing in a child what only
//! its parent may hold.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::callback::Pool;
use super::extensions::Extensions;
use super::settings::{self, Sizes};
use super::turnstile::Turnstile;
#[cfg(unix)]
use super::{own_lock, undivided};
use crate::error::{Error, Kind, Result};

/// Threads Tokio may add beyond the users' limit, as stand-ins for workers that block in place.
const STAND_IN_THREADS: usize = 4096;
const IDLE_THREAD_LIFETIME: Duration = Duration::from_secs(10);
const BUILD_POLL: Duration = Duration::from_micros(50);
/// Shorter than the limits that requests usually have.
const TIMER_INTERVAL: Duration = Duration::from_secs(10);

/// One runtime with everything that must not outlive a fork.
pub(super) struct Instance {
    pub(super) runtime: Runtime,
    pub(super) generation: u64,
    pub(super) started: Instant,
    pub(super) sizes: Sizes,
    pub(super) extensions: Extensions,
    pub(super) callbacks: Pool,
    pub(super) blocking: Blocking,
    pub(super) turnstile: Turnstile,
}

static CURRENT: AtomicPtr<Instance> = AtomicPtr::new(std::ptr::null_mut());
static BUILDING: AtomicBool = AtomicBool::new(false);
static GENERATION: AtomicU64 = AtomicU64::new(1);
static FORK_HOOK: Once = Once::new();

/// A number that changes in a forked child, and only there.
#[must_use]
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Acquire)
}

/// Whether this process has a runtime already.
#[must_use]
pub fn is_started() -> bool {
    existing().is_some()
}

#[expect(unsafe_code, reason = "the slot hands out a reference to a leaked, never freed instance")]
pub(super) fn existing() -> Option<&'static Instance> {
    // SAFETY: the pointer is null or comes from `Box::into_raw` in `build`, published with Release
    // after the instance was complete, and no code path ever frees it.
    unsafe { CURRENT.load(Ordering::Acquire).as_ref() }
}

pub(super) fn current() -> Result<&'static Instance> {
    loop {
        if let Some(instance) = existing() {
            return Ok(instance);
        }
        // One builder; a hundred threads making their first call must not build a hundred runtimes.
        if BUILDING.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            let outcome = existing().map_or_else(build, Ok);
            BUILDING.store(false, Ordering::Release);
            return outcome;
        }
        std::thread::sleep(BUILD_POLL);
    }
}

#[expect(clippy::disallowed_methods, reason = "the doorway leads here")]
fn build() -> Result<&'static Instance> {
    register_fork_hook();
    let sizes = settings::resolve();
    let runtime = Builder::new_multi_thread()
        .worker_threads(sizes.worker_threads)
        .max_blocking_threads(sizes.max_blocking_threads.saturating_add(STAND_IN_THREADS))
        .thread_stack_size(sizes.thread_stack_size)
        .thread_keep_alive(IDLE_THREAD_LIFETIME)
        .thread_name("graphbit")
        .enable_all()
        .build()
        .map_err(|cause| {
            Error::new(Kind::Internal, format!("Internal error: cannot start the runtime: {cause}"))
                .with_source(cause)
        })?;
    let instance = Box::new(Instance {
        runtime,
        generation: generation(),
        started: Instant::now(),
        sizes,
        extensions: Extensions::default(),
        callbacks: Pool::default(),
        blocking: Blocking::new(sizes.max_blocking_threads),
        turnstile: Turnstile::default(),
    });
    let instance: &'static Instance = Box::leak(instance);
    instance.runtime.spawn(keep_a_timer_running());
    CURRENT.store(std::ptr::from_ref(instance).cast_mut(), Ordering::Release);
    Ok(instance)
}

/// A timer that falls due before all others wakes the worker that waits for them, only to make it wait for less. Each
/// request would do that with its limit, before a byte is sent, if none were due sooner.
async fn keep_a_timer_running() {
    loop {
        tokio::time::sleep(TIMER_INTERVAL).await;
    }
}

/// Registered by everything that tells processes apart by their generation, the first time.
#[cfg(unix)]
pub(super) fn register_fork_hook() {
    extern "C" fn wait_for_work() {
        undivided::before_fork();
    }
    extern "C" fn go_on() {
        undivided::after_fork_in_parent();
    }
    // Async-signal-safe: a few stores, no allocation, no lock.
    extern "C" fn forget_parent() {
        undivided::after_fork_in_child();
        for descriptor in own_lock::inherited() {
            #[expect(unsafe_code, reason = "a hook has but the number")]
            // SAFETY: whoever owns the file forgets it in a child instead of closing it.
            let _ = unsafe { libc::close(descriptor) };
        }
        CURRENT.store(std::ptr::null_mut(), Ordering::Release);
        BUILDING.store(false, Ordering::Release);
        GENERATION.fetch_add(1, Ordering::AcqRel);
    }
    FORK_HOOK.call_once(|| {
        #[expect(unsafe_code, reason = "registering a fork hook is a C call")]
        // SAFETY: all three are static functions, and `forget_parent` only touches atomics and closes files.
        let status =
            unsafe { libc::pthread_atfork(Some(wait_for_work), Some(go_on), Some(forget_parent)) };
        if status != 0 {
            tracing::warn!(status, "no fork hook: use of graphbit in forked children will hang");
        }
    });
}

#[cfg(not(unix))]
pub(super) fn register_fork_hook() {
    FORK_HOOK.call_once(|| {});
}

thread_local! {
    /// The place a blocking job occupies while it runs on this thread.
    static PERMIT: Cell<Option<OwnedSemaphorePermit>> = const { Cell::new(None) };
}

/// Gives up this thread's place among the blocking jobs, because it is about to wait.
pub(super) fn yield_blocking_permit() {
    PERMIT.with(Cell::take);
}

/// The users' limit on concurrent blocking jobs.
pub(super) struct Blocking {
    places: Arc<Semaphore>,
}

impl Blocking {
    fn new(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))) }
    }

    pub(super) fn run<T, F>(
        &self,
        handle: Handle,
        work: F,
    ) -> impl Future<Output = Result<T>> + Send + 'static
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let places = Arc::clone(&self.places);
        async move {
            let permit = places.acquire_owned().await.ok();
            #[expect(clippy::disallowed_methods, reason = "this is the doorway")]
            let job = handle.spawn_blocking(move || {
                PERMIT.set(permit);
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                PERMIT.take();
                result
            });
            match job.await {
                Ok(Ok(result)) => result,
                Ok(Err(panic)) => Err(Error::panicked(panic.as_ref())),
                Err(_) => Err(Error::new(Kind::Cancelled, "the runtime is shutting down")),
            }
        }
    }
}
