//! Work that no fork may cut in two: a fork waits for it, and it waits for a fork.
//!
//! For libraries that keep locks in global state, such as SQLite: a child forked in the middle of their work
//! would inherit locks that nobody in it ever lets go. A fork is held up for a second at most. A child that was
//! forked in the middle nevertheless is refused such work for good, instead of hanging in it. Nothing that waits
//! for a fork, or for this very doorway, may run in it.
//!
//! ```
//! assert_eq!(graphbit::runtime::undivided(|| 6 * 7)?, 42);
//! # Ok::<(), graphbit::Error>(())
//! ```

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::slot::register_fork_hook;
use crate::error::{Error, Kind, Result};

/// How long a fork waits. Work that takes longer waits for something itself, such as a slow disk.
const PATIENCE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_micros(100);

/// Pieces of work under way in this process.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
/// Threads that are about to fork.
static FORKING: AtomicUsize = AtomicUsize::new(0);
/// Whether this process, or one of its ancestors, was forked in the middle of such work.
static TORN: AtomicBool = AtomicBool::new(false);

struct UnderWay;

impl UnderWay {
    fn begin() -> Self {
        loop {
            // Announced before looking: of this and a fork that comes now, at least one sees the other.
            UNDER_WAY.fetch_add(1, Ordering::SeqCst);
            if FORKING.load(Ordering::SeqCst) == 0 {
                return Self;
            }
            UNDER_WAY.fetch_sub(1, Ordering::SeqCst);
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Does `work` while no fork begins.
///
/// # Errors
/// [`Kind::Store`] in a process that was forked in the middle of such work.
pub fn undivided<T>(work: impl FnOnce() -> T) -> Result<T> {
    register_fork_hook();
    if TORN.load(Ordering::Acquire) {
        let text = "Internal error: SQLite error: this process was forked while another thread was at work \
                    in a database; fork earlier, or start the process by spawning it";
        return Err(Error::new(Kind::Store, text));
    }
    let _under_way = UnderWay::begin();
    Ok(work())
}

/// Called on the thread that forks, before it does.
#[cfg(unix)]
pub(super) fn before_fork() {
    FORKING.fetch_add(1, Ordering::SeqCst);
    let begun = Instant::now();
    while UNDER_WAY.load(Ordering::SeqCst) > 0 && begun.elapsed() < PATIENCE {
        std::thread::sleep(POLL);
    }
}

/// Called on that thread when it has forked.
#[cfg(unix)]
pub(super) fn after_fork_in_parent() {
    FORKING.fetch_sub(1, Ordering::SeqCst);
}

/// Called on the child's only thread. Async-signal-safe.
#[cfg(unix)]
pub(super) fn after_fork_in_child() {
    FORKING.store(0, Ordering::SeqCst);
    if UNDER_WAY.swap(0, Ordering::SeqCst) > 0 {
        TORN.store(true, Ordering::Release);
    }
}
