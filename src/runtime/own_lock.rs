//! The lock on a file that this process holds alone: no child forked from it does as well.
//!
//! The system lets go of such a lock when nobody has the open file any more, and a forked child has it too: it would
//! hold the lock for as long as it lives, whatever became of the process that took it. So the end of the lock is said
//! and not left to closing, and the fork hook closes the file in the child.

use std::fs::{File, TryLockError};
#[cfg(unix)]
use std::os::fd::{AsRawFd, RawFd};
#[cfg(unix)]
use std::sync::atomic::{AtomicI32, Ordering};

#[cfg(unix)]
use once_cell::race::OnceBox;

use super::slot::{generation, register_fork_hook};

/// Ends when it is dropped, but not where that is in a forked child.
#[derive(Debug)]
pub(crate) struct OwnLock {
    /// `None` when it is being dropped.
    file: Option<File>,
    generation: u64,
    #[cfg(unix)]
    place: &'static Place,
}

impl OwnLock {
    /// Locks `file`, which nothing else uses, without waiting for whoever has locked it.
    pub(crate) fn take(file: File) -> Result<Self, TryLockError> {
        register_fork_hook();
        // Known to the hook before it is locked. A child forked between the opening and this keeps the file open: it
        // holds the lock too until this process ends it, or both are gone.
        let lock = Self {
            generation: generation(),
            #[cfg(unix)]
            place: Place::of(file.as_raw_fd()),
            file: Some(file),
        };
        lock.file.as_ref().map_or(Ok(()), File::try_lock)?;
        Ok(lock)
    }

    /// Whether it is the parent's, and this a forked child.
    pub(crate) fn is_inherited(&self) -> bool {
        self.generation != generation()
    }
}

impl Drop for OwnLock {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        if self.is_inherited() {
            #[expect(
                clippy::mem_forget,
                reason = "the hook has closed it, and the number may be another's"
            )]
            std::mem::forget(file);
            return;
        }
        // A child forked before there was a hook, or at this moment, has the file open too.
        let _ = file.unlock();
        // Before the number can become another file's, which the hook would close.
        #[cfg(unix)]
        self.place.descriptor.store(FREE, Ordering::Release);
    }
}

#[cfg(unix)]
const FREE: RawFd = -1;

/// The first of as many places as there were locks at once. Atomics only, for the fork hook.
#[cfg(unix)]
static FIRST: OnceBox<Place> = OnceBox::new();

/// Where the hook finds the descriptor of one lock.
#[cfg(unix)]
struct Place {
    descriptor: AtomicI32,
    next: OnceBox<Self>,
}

#[cfg(unix)]
impl Place {
    fn of(descriptor: RawFd) -> &'static Self {
        let free = || Box::new(Self { descriptor: AtomicI32::new(FREE), next: OnceBox::new() });
        let mut place = FIRST.get_or_init(free);
        let claimed = |place: &Self| {
            let old = place.descriptor.compare_exchange(
                FREE,
                descriptor,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            old.is_ok()
        };
        while !claimed(place) {
            place = place.next.get_or_init(free);
        }
        place
    }
}

#[cfg(unix)]
impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Place").field(&self.descriptor).finish()
    }
}

/// The descriptors that a child has just inherited, each once. Called on its only thread. Async-signal-safe.
#[cfg(unix)]
pub(super) fn inherited() -> impl Iterator<Item = RawFd> {
    let places = std::iter::successors(FIRST.get(), |place| place.next.get());
    let descriptors = places.map(|place| place.descriptor.swap(FREE, Ordering::AcqRel));
    descriptors.filter(|descriptor| *descriptor != FREE)
}
