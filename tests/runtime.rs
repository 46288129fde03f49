//! The nesting matrix: a blocking call returns the right value from every context, with any number of
//! workers, a hundred times over.
//!
//! Each test sizes the runtime first, so it needs a process of its own: run with cargo-nextest.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests drive foreign runtimes")]

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use graphbit::runtime::{self, Settings};
use graphbit::{Error, Kind, Result};

const ROUNDS: usize = 100;

/// Real asynchronous work: leaves the worker, sleeps on the timer, comes back.
fn ask(value: usize) -> Result<usize> {
    runtime::block_on(async move {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_micros(50)).await;
        Ok(value + 1)
    })
}

fn on_our_worker() -> usize {
    runtime::block_on(async { ask(1) }).unwrap()
}

fn on_our_worker_nested(depth: usize) -> Result<usize> {
    if depth == 0 {
        return ask(0);
    }
    runtime::block_on(async move { on_our_worker_nested(depth - 1).map(|value| value + 1) })
}

fn in_spawn_blocking(depth: usize) -> Result<usize> {
    if depth == 0 {
        return ask(0);
    }
    runtime::block_on(async move {
        runtime::spawn_blocking(move || in_spawn_blocking(depth - 1).map(|value| value + 1)).await
    })
}

fn in_callbacks(depth: usize) -> Result<usize> {
    if depth == 0 {
        return ask(0);
    }
    runtime::block_on(async move {
        runtime::callback(move || in_callbacks(depth - 1).map(|value| value + 1)).await
    })
}

fn foreign_multi_thread(workers: usize) -> usize {
    let foreign = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap();
    // Once on the thread that drives the runtime, once on a worker, once on its blocking pool.
    foreign.block_on(async {
        let here = ask(1).unwrap();
        let worker = tokio::spawn(async { ask(2).unwrap() }).await.unwrap();
        let blocking = tokio::task::spawn_blocking(|| ask(3).unwrap()).await.unwrap();
        here + worker + blocking
    })
}

fn foreign_current_thread() -> usize {
    let foreign = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    foreign.block_on(async { tokio::spawn(async { ask(1).unwrap() }).await.unwrap() })
}

fn foreign_local_set(multi_thread: bool) -> usize {
    let foreign = if multi_thread {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap()
    } else {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    };
    let local = tokio::task::LocalSet::new();
    local.block_on(&foreign, async {
        tokio::task::spawn_local(async { ask(1).unwrap() }).await.unwrap()
    })
}

fn many_threads() -> usize {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|i| scope.spawn(move || ask(i).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

fn matrix(workers: usize) {
    let size = NonZeroUsize::new(workers);
    runtime::configure(Settings { worker_threads: size, ..Settings::default() });
    for _ in 0..ROUNDS {
        assert_eq!(ask(1).unwrap(), 2, "plain thread");
        assert_eq!(many_threads(), (1..=16).sum::<usize>(), "sixteen threads at once");
        assert_eq!(on_our_worker(), 2, "a worker of ours");
        assert_eq!(in_spawn_blocking(1).unwrap(), 2, "a blocking thread");
        assert_eq!(in_callbacks(1).unwrap(), 2, "a callback");
        assert_eq!(foreign_multi_thread(1), 9, "another runtime with one worker");
        assert_eq!(foreign_multi_thread(2), 9, "another runtime with two workers");
        assert_eq!(foreign_current_thread(), 2, "another current-thread runtime");
        assert_eq!(foreign_local_set(false), 2, "a LocalSet on a current-thread runtime");
        assert_eq!(foreign_local_set(true), 2, "a LocalSet on a multi-thread runtime");
    }
    for _ in 0..ROUNDS / 10 {
        assert_eq!(on_our_worker_nested(50).unwrap(), 51, "fifty deep on workers");
        assert_eq!(in_spawn_blocking(50).unwrap(), 51, "fifty deep in blocking jobs");
        assert_eq!(in_callbacks(50).unwrap(), 51, "fifty deep in callbacks");
    }
}

#[test]
fn nesting_matrix_with_one_worker() {
    matrix(1);
}

#[test]
fn nesting_matrix_with_two_workers() {
    matrix(2);
}

#[test]
fn nesting_matrix_with_eight_workers() {
    matrix(8);
}

#[test]
fn a_panic_comes_back_as_an_error_with_its_text() {
    let error = runtime::block_on::<(), _>(async { std::panic::panic_any("lost the thread") });
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert!(error.message().contains("lost the thread"), "{error}");
    assert_eq!(ask(4).unwrap(), 5, "the runtime lives on");
}

#[test]
fn a_panic_in_a_callback_comes_back_too() {
    let error = runtime::block_on::<(), _>(runtime::callback(|| std::panic::panic_any("no")));
    assert_eq!(error.unwrap_err().kind(), Kind::Internal);
}

#[test]
fn dropping_a_task_stops_its_work() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    let task = runtime::spawn::<(), _>(async {
        let _guard = Guard;
        std::future::pending().await
    });
    std::thread::sleep(Duration::from_millis(20));
    drop(task);
    let gone = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        DROPPED.load(Ordering::SeqCst) == 1
    });
    assert!(gone, "the future must be dropped soon after its task");
}

#[test]
fn a_wait_can_be_broken_off() {
    let task = runtime::spawn::<(), _>(std::future::pending());
    let started = Instant::now();
    let error =
        runtime::wait(task, Some(Duration::from_millis(5)), || std::ops::ControlFlow::Break(()));
    assert_eq!(error.unwrap_err().kind(), Kind::Cancelled);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_turn_that_does_not_end_holds_nobody_up() {
    const WAITERS: usize = 32;
    static DONE: AtomicUsize = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..WAITERS {
            scope.spawn(move || {
                // The last comes long after the others, and takes along whoever stands there.
                let due = if number == 0 { 300 } else { 20 };
                let task = runtime::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(due)).await;
                    Ok(number)
                });
                let (result, turn) = runtime::wait_in_turn(task);
                assert_eq!(result.unwrap(), number);
                DONE.fetch_add(1, Ordering::SeqCst);
                let given_up = Instant::now() + Duration::from_secs(30);
                while DONE.load(Ordering::SeqCst) < WAITERS {
                    assert!(Instant::now() < given_up, "somebody waits for the first one's turn");
                    std::thread::sleep(Duration::from_millis(1));
                }
                drop(turn);
            });
        }
    });
}

#[test]
fn blocking_jobs_keep_to_the_limit() {
    let limit = NonZeroUsize::new(2);
    runtime::configure(Settings { max_blocking_threads: limit, ..Settings::default() });
    if runtime::is_started() {
        return; // sharing a process with other tests: the size is already fixed
    }
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let jobs: Vec<_> = (0..12)
        .map(|_| {
            runtime::spawn_blocking(|| {
                let now = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
                MOST.fetch_max(now, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
                RUNNING.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })
        })
        .collect();
    runtime::block_on(async move {
        for job in jobs {
            job.await?;
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(MOST.load(Ordering::SeqCst), 2);
}

#[test]
fn values_are_one_per_process() {
    #[derive(Default)]
    struct Counter(AtomicUsize);
    for expected in 0..3 {
        let counter: &Counter = runtime::per_process().unwrap();
        assert_eq!(counter.0.fetch_add(1, Ordering::SeqCst), expected);
    }
    let size = runtime::snapshot().map(|snapshot| snapshot.worker_threads);
    assert_eq!(size, Some(runtime::worker_threads()));
}

#[test]
fn errors_pass_through_unchanged() {
    let error = runtime::block_on::<(), _>(async {
        Err(Error::validation("top_k", Some("0"), "must be at least 1"))
    });
    let text = "Validation error for field 'top_k' with value '0': must be at least 1";
    assert_eq!(error.unwrap_err().message(), text);
}
