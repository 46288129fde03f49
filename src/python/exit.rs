//! The gate between our threads and a finalising interpreter.
//!
//! CPython kills a thread that asks for the interpreter lock after finalisation began, by unwinding its
//! stack; unwinding through Rust frames aborts the process. So every thread of ours passes this gate
//! before it attaches. Once the exit hook has closed it, callers that come back late park for good (the
//! process is about to end under them), threads of our own turn away, and the hook waits for the ones
//! already past it, and for callers on whose thread we run Python code ([`inside`]).
//!
//! It refuses to wait for ever: a callback still running after ten seconds is treated like a daemon
//! thread.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::logging;
use crate::runtime;

static CLOSED: AtomicBool = AtomicBool::new(false);
/// Threads between the gate and the interpreter lock.
static PASSING: AtomicUsize = AtomicUsize::new(0);
/// Threads that run Python code inside our frames.
static INSIDE: AtomicUsize = AtomicUsize::new(0);

const GRACE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(1);

thread_local! {
    /// The thread that runs the exit hook may go on attaching.
    static FINALISING: Cell<bool> = const { Cell::new(false) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

fn decrease(counter: &AtomicUsize) {
    // Saturating: a child forked inside a callback has had its counters reset under it.
    let less = |value: usize| Some(value.saturating_sub(1));
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).ok();
}

/// Whether this thread may go for the interpreter; then it counts as passing.
fn enter_gate() -> bool {
    PASSING.fetch_add(1, Ordering::SeqCst);
    let open = !CLOSED.load(Ordering::SeqCst) || FINALISING.get();
    if !open {
        decrease(&PASSING);
    }
    open
}

/// A thread in Python code within our frames, until it is dropped: a panic must not leave it counted, or
/// the exit hook would wait for it in vain.
struct Inside;

impl Inside {
    fn new() -> Self {
        INSIDE.fetch_add(1, Ordering::SeqCst);
        DEPTH.set(DEPTH.get() + 1);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        decrease(&INSIDE);
    }
}

/// The process is about to end under this thread.
fn park_for_good() -> ! {
    for _ in 0..DEPTH.get() {
        decrease(&INSIDE);
    }
    park()
}

fn park() -> ! {
    loop {
        std::thread::park();
    }
}

/// Leaves the interpreter for `work` and comes back through the gate.
pub(super) fn leave<T, F>(py: Python<'_>, work: F) -> T
where
    T: Send,
    F: FnOnce() -> T + Send,
{
    let value = py.detach(|| {
        let value = work();
        if !enter_gate() {
            park_for_good();
        }
        value
    });
    decrease(&PASSING);
    value
}

/// As [`leave`], for a thread of our own that waits for work, perhaps without end: the exit hook does not wait
/// for it meanwhile.
pub(super) fn idle<T, F>(py: Python<'_>, wait: F) -> T
where
    T: Send,
    F: FnOnce() -> T + Send,
{
    let value = py.detach(|| {
        decrease(&INSIDE);
        let value = wait();
        if !enter_gate() {
            park();
        }
        INSIDE.fetch_add(1, Ordering::SeqCst);
        value
    });
    decrease(&PASSING);
    value
}

/// Attaches one of our own threads to the interpreter for `work`; `None` when it is too late for that.
pub(super) fn attach<T>(work: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    if !enter_gate() {
        return None;
    }
    let _inside = Inside::new();
    Some(Python::attach(|py| {
        decrease(&PASSING);
        work(py)
    }))
}

/// Whether the interpreter is about to end, so that a thread of ours should stop what it does in it.
pub(super) fn closed() -> bool {
    CLOSED.load(Ordering::SeqCst)
}

/// Runs Python code for a caller from within our frames. The caller may be a daemon thread, which CPython
/// would end in the middle of that code and our frames with it: the exit hook waits for it, too.
pub(super) fn inside<T>(py: Python<'_>, work: impl FnOnce() -> T) -> T {
    if DEPTH.get() > 0 {
        return work();
    }
    if !enter_gate() {
        py.detach(|| park_for_good());
    }
    let _inside = Inside::new();
    decrease(&PASSING);
    work()
}

/// To be called between two pieces of Python code of a caller's, from within [`inside`] or not: parks the thread for
/// good when it is too late for another one. Else an iterable without end would use up the hook's patience.
pub(super) fn pause(py: Python<'_>) {
    if closed() {
        leave(py, || ());
    }
}

/// Runs at interpreter exit, before finalisation: closes the gate and lets the late ones through.
#[pyfunction]
fn close_gate(py: Python<'_>) {
    py.detach(logging::settle);
    FINALISING.set(true);
    CLOSED.store(true, Ordering::SeqCst);
    let deadline = Instant::now() + GRACE;
    let busy = || PASSING.load(Ordering::SeqCst) + INSIDE.load(Ordering::SeqCst) > 0;
    py.detach(|| {
        while busy() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        runtime::say_farewells();
    });
}

/// Runs in a forked child: threads that were passing the gate do not exist here.
#[pyfunction]
fn reset_gate() {
    PASSING.store(0, Ordering::SeqCst);
    INSIDE.store(0, Ordering::SeqCst);
}

/// Registers both hooks with the interpreter.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    // Needed by the first blocking call, where Ctrl-C could interrupt the import.
    py.import("threading")?;
    py.import("atexit")?.call_method1("register", (wrap_pyfunction!(close_gate, module)?,))?;
    let os = py.import("os")?;
    if os.hasattr("register_at_fork")? {
        let arguments = pyo3::types::PyDict::new(py);
        arguments.set_item("after_in_child", wrap_pyfunction!(reset_gate, module)?)?;
        os.call_method("register_at_fork", (), Some(&arguments))?;
    }
    Ok(())
}
