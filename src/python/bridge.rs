//! The doorway between Python and the runtime: leave the interpreter, wait, come back.
//!
//! [`block_on`] and [`future_into_py`] are the two doors of one async body. The bridge is our own
//! because the maintained asyncio bridge keeps its runtime in a once-cell: a forked child inherits it
//! without threads and hangs. It refuses to run Python on a runtime worker: callables go through
//! [`call_python`], results of async calls through the courier thread.
//!
//! ```ignore
//! fn complete(&self, py: Python<'_>, prompt: String) -> PyResult<String> {
//!     let client = self.client.clone();
//!     bridge::block_on(py, async move { client.complete(prompt).await })
//! }
//! ```

use std::cell::Cell;
use std::future::Future;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::courier::{self, Delivery, Kept};
use super::errors::{callback_error, to_py_err};
use super::exit;
use crate::error::{Error, Kind, Result};
use crate::runtime::{self, Task};

/// How often a waiting main thread looks for signals. A fifth of the 100 ms promised for Ctrl-C.
const SIGNAL_POLL: Duration = Duration::from_millis(20);

/// How long a thread takes to wake up when the interpreter gets free.
const WAKING: Duration = Duration::from_micros(50);

/// How long a conversion may keep the interpreter from other threads.
const SLICE: Duration = Duration::from_millis(1);

/// How long CPython lets a thread compute while others wait.
const TURN: Duration = Duration::from_millis(5);

/// Runs `future` on the runtime while the interpreter is free for others.
///
/// On the main thread signals are looked for every 20 ms: Ctrl-C aborts the work and raises.
pub(super) fn block_on<T, F>(py: Python<'_>, future: F) -> PyResult<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    wait(py, runtime::spawn(future))
}

/// Waits for a task that already runs; see [`block_on`].
pub(super) fn wait<T: Send + 'static>(py: Python<'_>, task: Task<T>) -> PyResult<T> {
    let Some(interrupts) = Interrupts::watch(py)? else {
        // No signal handler ever runs on this thread: it sleeps until it is its turn to attach.
        let (result, turn) = exit::leave(py, || runtime::wait_in_turn(task));
        drop(turn);
        return result.map_err(to_py_err);
    };
    let mut raised = None;
    let result = exit::leave(py, || {
        runtime::wait(task, Some(SIGNAL_POLL), || match Python::attach(|py| interrupts.check(py)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                raised = Some(error);
                ControlFlow::Break(())
            }
        })
    });
    match raised {
        Some(error) => Err(error),
        None => result.map_err(to_py_err),
    }
}

/// Runs CPU work without the interpreter; a panic becomes an exception.
pub(super) fn detach<T, F>(py: Python<'_>, work: F) -> PyResult<T>
where
    T: Send,
    F: FnOnce() -> Result<T> + Send,
{
    exit::leave(py, || catch_unwind(AssertUnwindSafe(work)))
        .unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())))
        .map_err(to_py_err)
}

/// Goes back into the interpreter for a moment, from inside [`detach`].
pub(super) fn attach<T>(work: impl FnOnce(Python<'_>) -> PyResult<T>) -> PyResult<T> {
    let exiting = || Err(to_py_err(Error::new(Kind::Cancelled, "the interpreter is exiting")));
    exit::attach(work).unwrap_or_else(exiting)
}

/// Whether a wait for the interpreter was one for a thread that computes.
pub(super) fn was_long(wait: Duration) -> bool {
    wait > SLICE
}

/// Cuts a long conversion into slices between which other threads may run. A thread that computes takes its turn then;
/// the next slice is as long as that, or ten seconds of conversion would take a minute.
pub(super) struct Slices {
    begun: Cell<Instant>,
    length: Cell<Duration>,
}

impl Slices {
    pub(super) fn new() -> Self {
        Self { begun: Cell::new(Instant::now()), length: Cell::new(SLICE) }
    }

    /// Begins a slice: the interpreter was free just now.
    pub(super) fn begin(&self) {
        self.begun.set(Instant::now());
    }

    /// To be called now and then: lets others run when it is time, and a signal's handler raise.
    pub(super) fn breathe(&self, py: Python<'_>) -> PyResult<()> {
        if self.begun.get().elapsed() >= self.length.get() {
            let left = Instant::now();
            // One that waits for the interpreter sleeps, and would come too late if it were free for an instant only.
            exit::leave(py, || std::thread::sleep(WAKING));
            self.length.set(left.elapsed().clamp(SLICE, TURN));
            py.check_signals()?;
            self.begin();
        }
        Ok(())
    }
}

/// Runs `future` on the runtime and returns an `asyncio.Future` of the running loop.
///
/// `convert` makes the Python value, on the courier thread. Cancelling the asyncio future aborts the
/// work. Without a running loop this raises `RuntimeError`, as asyncio itself does.
pub(super) fn future_into_py<'py, T, F, C>(
    py: Python<'py>,
    future: F,
    convert: C,
) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
    C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
{
    exit::inside(py, || start(py, future, convert, None))
}

/// As [`future_into_py`], for work that may be half done: when the asyncio future is cancelled, `finished`
/// makes its attribute `results`, before anybody can see that it is. asyncio makes the
/// `CancelledError` by itself and gives nobody the chance to put something on that.
pub(super) fn future_with_results<'py, T, F, C, S>(
    py: Python<'py>,
    future: F,
    convert: C,
    finished: S,
) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
    C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    S: FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send + 'static,
{
    exit::inside(py, || start(py, future, convert, Some(Kept::new(finished))))
}

fn start<'py, T, F, C>(
    py: Python<'py>,
    future: F,
    convert: C,
    kept: Option<Arc<Kept>>,
) -> PyResult<Bound<'py, PyAny>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
    C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
{
    let event_loop = running_loop(py)?;
    let promise = match kept {
        Some(_) => keeping_future(&event_loop)?,
        None => event_loop.call_method0(pyo3::intern!(py, "create_future"))?,
    };
    let courier = courier::current().map_err(to_py_err)?;
    let mut delivery = Delivery::new(&event_loop, &promise, kept.clone());
    let task = runtime::spawn(async move {
        let result = AssertUnwindSafe(future)
            .catch_unwind()
            .await
            .unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())));
        delivery.set_outcome(move |py| convert(py, result.map_err(to_py_err)?));
        courier.send(delivery).await;
        Ok(())
    });
    if let Some(abort) = task.abort_handle() {
        let keeps = kept.is_some();
        let watcher = Bound::new(py, courier::CancelWatcher::new(abort, kept))?;
        if keeps {
            promise.setattr(pyo3::intern!(py, "_watcher"), &watcher)?;
        }
        promise.call_method1(pyo3::intern!(py, "add_done_callback"), (watcher,))?;
    }
    task.detach();
    Ok(promise)
}

/// A future that has us leave there what is finished as soon as it is cancelled.
fn keeping_future<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = event_loop.py();
    let of_loop = PyDict::new(py);
    of_loop.set_item(pyo3::intern!(py, "loop"), event_loop)?;
    CLASS.import(py, "graphbit._keeping", "KeepingFuture")?.call((), Some(&of_loop))
}

/// Runs a user's Python callable on a callback thread. What it raises comes back as the source of an
/// error of [`crate::Kind::Callback`] and is re-raised unchanged by [`to_py_err`].
pub(super) fn call_python<T, F>(work: F) -> impl Future<Output = Result<T>> + Send + 'static
where
    T: Send + 'static,
    F: FnOnce(Python<'_>) -> PyResult<T> + Send + 'static,
{
    runtime::callback(move || {
        exit::attach(|py| work(py).map_err(|error| callback_error(py, error)))
            .unwrap_or_else(|| Err(Error::new(Kind::Cancelled, "the interpreter is exiting")))
    })
}

/// The event loop that runs on this thread, if there is one. Never imports asyncio.
pub(super) fn event_loop(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    let event_loop = asyncio(py)?.call_method0(pyo3::intern!(py, "_get_running_loop")).ok()?;
    (!event_loop.is_none()).then_some(event_loop)
}

fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    GET.import(py, "asyncio", "get_running_loop")?.call0()
}

/// What can interrupt a wait on the main thread: a signal handler that raises, or the cancellation of
/// the asyncio task that made the blocking call (asyncio's own Ctrl-C handler cancels, it does not
/// raise).
struct Interrupts {
    task: Option<(Py<PyAny>, usize)>,
}

impl Interrupts {
    /// `None` on threads that no signal handler ever runs on.
    fn watch(py: Python<'_>) -> PyResult<Option<Self>> {
        if !on_main_thread(py)? {
            return Ok(None);
        }
        let task = current_task(py).and_then(|task| {
            let requests = cancel_requests(&task)?;
            Some((task.unbind(), requests))
        });
        Ok(Some(Self { task }))
    }

    fn check(&self, py: Python<'_>) -> PyResult<()> {
        py.check_signals()?;
        if let Some((task, before)) = &self.task
            && cancel_requests(task.bind(py)).is_some_and(|now| now > *before)
        {
            static CANCELLED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
            let class = CANCELLED.import(py, "asyncio", "CancelledError")?;
            return Err(PyErr::from_value(class.call0()?));
        }
        Ok(())
    }
}

/// The module, if the program has imported it: one that has not runs no loop, and Ctrl-C in the middle
/// of a first import would leave it half made.
fn asyncio(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    static MODULES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    MODULES.import(py, "sys", "modules").ok()?.get_item("asyncio").ok()
}

/// The asyncio task running on this thread.
fn current_task(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    event_loop(py)?;
    asyncio(py)?.call_method0(pyo3::intern!(py, "current_task")).ok()
}

/// How often the task was asked to cancel; `None` before Python 3.11, which does not count.
fn cancel_requests(task: &Bound<'_, PyAny>) -> Option<usize> {
    task.call_method0(pyo3::intern!(task.py(), "cancelling")).ok()?.extract().ok()
}

fn on_main_thread(py: Python<'_>) -> PyResult<bool> {
    thread_local! {
        // Remembered for a generation: the thread that forks is the main thread of the child.
        static KNOWN: Cell<(u64, bool)> = const { Cell::new((0, false)) };
    }
    let generation = runtime::generation();
    let (known, main) = KNOWN.get();
    if known == generation {
        return Ok(main);
    }
    let main = exit::inside(py, || -> PyResult<bool> {
        let threading = py.import("threading")?;
        let ident: u64 = threading.call_method0("get_ident")?.extract()?;
        let main = threading.call_method0("main_thread")?.getattr("ident")?;
        Ok(main.extract::<u64>()? == ident)
    })?;
    KNOWN.set((generation, main));
    Ok(main)
}
