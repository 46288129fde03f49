//! A value of which each process has its own: what a forked child must not inherit.
//!
//! Anything with a lock, a queue of waiters or a connection is unusable in a child: whoever held or served
//! it in the parent does not exist there. Unlike [`super::per_process`], which keeps one value of a type,
//! this belongs to an object, such as the limiter of one client, and ends with it.
//!
//! ```
//! use graphbit::runtime::PerProcess;
//! use std::sync::Mutex;
//!
//! let names = PerProcess::new(|| Mutex::new(Vec::new()));
//! names.get().lock().unwrap().push("a");
//! assert_eq!(names.get().lock().unwrap().len(), 1);
//! ```

use std::fmt;
use std::sync::Arc;

use once_cell::race::OnceBox;

use super::slot::{generation, register_fork_hook};

/// Makes a `T` in each process on first use there.
pub struct PerProcess<T> {
    /// That of the process which used it first; each further one hangs on the one before. No lock: a thread of
    /// the parent may have held it at the fork.
    first: OnceBox<Entry<T>>,
    make: Box<dyn Fn() -> T + Send + Sync>,
}

struct Entry<T> {
    generation: u64,
    value: Arc<T>,
    /// That of a child, in the child.
    next: OnceBox<Self>,
}

impl<T> PerProcess<T> {
    /// Nothing is made yet. Of several threads that use it first, each may call `make`; one value stays.
    #[must_use]
    pub fn new(make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        // It may be used, and the process may fork, before there is a runtime.
        register_fork_hook();
        Self { first: OnceBox::new(), make: Box::new(make) }
    }

    /// This process's value.
    #[must_use]
    pub fn get(&self) -> &Arc<T> {
        let generation = generation();
        let make = || {
            let value = Arc::new((self.make)());
            Box::new(Entry { generation, value, next: OnceBox::new() })
        };
        let mut entry = self.first.get_or_init(make);
        while entry.generation != generation {
            entry = entry.next.get_or_init(make);
        }
        &entry.value
    }
}

impl<T> Drop for Entry<T> {
    fn drop(&mut self) {
        if self.generation != generation() {
            #[expect(clippy::mem_forget, reason = "it belongs to the parent process")]
            std::mem::forget(Arc::clone(&self.value));
        }
    }
}

impl<T> fmt::Debug for PerProcess<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerProcess").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn threads_that_come_at_once_share_one_value() {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let counter = PerProcess::new(|| {
            MADE.fetch_add(1, Ordering::SeqCst);
            AtomicUsize::new(0)
        });
        assert_eq!(MADE.load(Ordering::SeqCst), 0, "made on first use");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| counter.get().fetch_add(1, Ordering::SeqCst));
            }
        });
        assert_eq!(counter.get().load(Ordering::SeqCst), 8);
    }
}
