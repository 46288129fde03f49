//! Sizes of the runtime: what the user asked for, and what is used where they did not.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Sizes asked for by the user; `None` means the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Worker threads. Default: one a core, at most 32. Fewer suit a program that asks one thing at a
    /// time (large answers are handed between fewer cores), more gained nothing where we looked.
    pub worker_threads: Option<NonZeroUsize>,
    /// Concurrent blocking jobs. Default: four times the cores.
    pub max_blocking_threads: Option<NonZeroUsize>,
    /// Stack of each thread in bytes. Default: 2 MiB.
    pub thread_stack_size: Option<NonZeroUsize>,
}

/// Sizes with the defaults filled in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) worker_threads: usize,
    pub(super) max_blocking_threads: usize,
    pub(super) thread_stack_size: usize,
}

const DEFAULT_STACK: usize = 2 * 1024 * 1024;

// Plain atomics, 0 for "not set": a lock could be held by another thread at the moment of a fork.
static WORKERS: AtomicUsize = AtomicUsize::new(0);
static BLOCKING: AtomicUsize = AtomicUsize::new(0);
static STACK: AtomicUsize = AtomicUsize::new(0);

pub(super) fn store(settings: Settings) {
    let value = |size: Option<NonZeroUsize>| size.map_or(0, NonZeroUsize::get);
    WORKERS.store(value(settings.worker_threads), Ordering::Relaxed);
    BLOCKING.store(value(settings.max_blocking_threads), Ordering::Relaxed);
    STACK.store(value(settings.thread_stack_size), Ordering::Relaxed);
}

pub(super) fn resolve() -> Sizes {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let or = |asked: &AtomicUsize, default: usize| match asked.load(Ordering::Relaxed) {
        0 => default,
        asked => asked,
    };
    Sizes {
        worker_threads: or(&WORKERS, cores.min(32)),
        max_blocking_threads: or(&BLOCKING, 4 * cores),
        thread_stack_size: or(&STACK, DEFAULT_STACK),
    }
}
