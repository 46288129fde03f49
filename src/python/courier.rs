//! The thread that carries results of async calls to their event loops.
//!
//! Workers never wait for the interpreter: they queue a delivery here and go on. The courier takes what
//! has piled up, attaches once, and wakes each loop once for the whole batch, which is what keeps
//! thousands of concurrent awaits cheap. The queue is bounded; a full one makes the finished tasks
//! wait, not the workers.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::exit;
use crate::error::{Error, Kind, Result};
use crate::runtime;

const QUEUE: usize = 4096;
/// Bounds how long one batch keeps the interpreter and the loop busy.
const BATCH: usize = 256;

/// How long a cancellation waits for a conversion that has begun.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks whether the interpreter is exiting meanwhile.
const LOOK: Duration = Duration::from_millis(20);

type Outcome = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// A result on its way to an asyncio future.
pub(super) struct Delivery {
    event_loop: Py<PyAny>,
    promise: Py<PyAny>,
    outcome: Option<Outcome>,
    /// What a cancelled future is to have.
    kept: Option<Arc<Kept>>,
}

impl Delivery {
    pub(super) fn new(
        event_loop: &Bound<'_, PyAny>,
        promise: &Bound<'_, PyAny>,
        kept: Option<Arc<Kept>>,
    ) -> Self {
        Self {
            event_loop: event_loop.clone().unbind(),
            promise: promise.clone().unbind(),
            outcome: None,
            kept,
        }
    }

    pub(super) fn set_outcome(
        &mut self,
        outcome: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send + 'static,
    ) {
        self.outcome = Some(Box::new(outcome));
    }
}

/// What half done work has finished, which the courier makes into the future's result, or a cancellation into its
/// `results`: whoever comes first, for it can be taken once.
pub(super) struct Kept {
    stage: Mutex<Stage>,
    changed: Condvar,
}

enum Stage {
    Untouched(Outcome),
    /// The courier is about to have it.
    Converting,
    Converted(Option<Py<PyAny>>),
}

impl Kept {
    pub(super) fn new(
        finished: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Arc<Self> {
        let stage = Mutex::new(Stage::Untouched(Box::new(finished)));
        Arc::new(Self { stage, changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, next: Stage) -> Stage {
        std::mem::replace(&mut *self.lock(), next)
    }

    /// The courier's: whether the future still waits for it.
    fn claim(&self) -> bool {
        let mut stage = self.lock();
        let untouched = matches!(*stage, Stage::Untouched(_));
        let before = untouched.then(|| std::mem::replace(&mut *stage, Stage::Converting));
        drop(stage);
        drop(before);
        untouched
    }

    /// The courier's, after [`Self::claim`].
    fn fill(&self, value: Option<Py<PyAny>>) {
        drop(self.replace(Stage::Converted(value)));
        self.changed.notify_all();
    }

    /// Lets go of it, when nobody can ask any more.
    fn forget(&self) {
        drop(self.replace(Stage::Converted(None)));
    }

    /// The cancellation's. What is being converted at this moment is waited for: nobody else has it.
    fn take(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let begun = Instant::now();
        while matches!(*self.lock(), Stage::Converting)
            && begun.elapsed() < PATIENCE
            && !exit::closed()
        {
            exit::leave(py, || {
                let converting = |stage: &mut Stage| matches!(stage, Stage::Converting);
                drop(self.changed.wait_timeout_while(self.lock(), LOOK, converting));
            });
        }
        match self.replace(Stage::Converted(None)) {
            Stage::Untouched(finished) => finished(py).map(Some),
            Stage::Converting => Ok(None),
            Stage::Converted(value) => Ok(value),
        }
    }
}

/// One courier for each runtime generation.
#[derive(Default)]
struct Post {
    courier: OnceLock<std::result::Result<Courier, String>>,
}

/// The sending side.
#[derive(Clone)]
pub(super) struct Courier {
    sender: mpsc::Sender<Delivery>,
}

impl Courier {
    /// Queues a delivery; waits while the queue is full.
    pub(super) async fn send(&self, delivery: Delivery) {
        // The receiver lives as long as the process, so this only fails while it ends.
        self.sender.send(delivery).await.ok();
    }
}

/// The courier of this process, started on first use.
pub(super) fn current() -> Result<Courier> {
    let post = runtime::per_process::<Post>()?;
    post.courier
        .get_or_init(start)
        .clone()
        .map_err(|text| Error::new(Kind::Internal, format!("Internal error: {text}")))
}

fn start() -> std::result::Result<Courier, String> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    std::thread::Builder::new()
        .name("graphbit-courier".to_owned())
        .spawn(move || carry(receiver))
        .map_err(|cause| format!("cannot start the courier thread: {cause}"))?;
    Ok(Courier { sender })
}

fn carry(mut receiver: mpsc::Receiver<Delivery>) {
    while let Some(first) = receiver.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = receiver.try_recv()
        {
            batch.push(next);
        }
        if exit::attach(|py| deliver(py, batch)).is_none() {
            return;
        }
    }
}

fn deliver(py: Python<'_>, batch: Vec<Delivery>) {
    let mut batch = batch.into_iter().peekable();
    while let Some(first) = batch.next() {
        let event_loop = first.event_loop.clone_ref(py);
        let mut settled = vec![settle(py, first)];
        while let Some(next) = batch.next_if(|next| next.event_loop.is(&event_loop)) {
            settled.push(settle(py, next));
        }
        let resolver = Resolver { settled: Mutex::new(settled) };
        let woken = Bound::new(py, resolver).and_then(|resolver| {
            let name = pyo3::intern!(py, "call_soon_threadsafe");
            event_loop.bind(py).call_method1(name, (resolver,))
        });
        if let Err(error) = woken {
            // The loop was closed while the work ran: nobody is left to tell.
            tracing::debug!(%error, "a result arrived after its event loop was closed");
        }
    }
}

/// An asyncio future and what it will hold.
struct Settled {
    promise: Py<PyAny>,
    value: PyResult<Py<PyAny>>,
}

fn settle(py: Python<'_>, delivery: Delivery) -> Settled {
    let Delivery { promise, outcome, kept, .. } = delivery;
    if kept.as_ref().is_some_and(|kept| !kept.claim()) {
        // Cancelled meanwhile, and has its results.
        return Settled { promise, value: Ok(py.None()) };
    }
    let value = outcome.map_or_else(|| Ok(py.None()), |outcome| outcome(py));
    if let Some(kept) = kept {
        kept.fill(match &value {
            Ok(value) => Some(value.clone_ref(py)),
            Err(error) => error.value(py).getattr("results").ok().map(Bound::unbind),
        });
    }
    Settled { promise, value }
}

fn is_cancelled(promise: &Bound<'_, PyAny>) -> PyResult<bool> {
    promise.call_method0(pyo3::intern!(promise.py(), "cancelled"))?.is_truthy()
}

/// Runs on the loop's thread and settles a batch of futures there.
#[pyclass(frozen, module = "graphbit._graphbit")]
struct Resolver {
    settled: Mutex<Vec<Settled>>,
}

#[pymethods]
impl Resolver {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let taken =
            std::mem::take(&mut *self.settled.lock().unwrap_or_else(PoisonError::into_inner));
        // The loop's own methods are Python code, and it may run on a daemon thread.
        exit::inside(py, || settle_all(py, taken))
    }
}

fn settle_all(py: Python<'_>, taken: Vec<Settled>) -> PyResult<()> {
    for Settled { promise, value } in taken {
        let promise = promise.bind(py);
        if promise.call_method0(pyo3::intern!(py, "done"))?.is_truthy()? {
            continue;
        }
        match value {
            Ok(value) => promise.call_method1(pyo3::intern!(py, "set_result"), (value,))?,
            // As a task does it: set as an exception, it would be reported as never retrieved.
            Err(error) if error.is_instance(py, cancelled(py)?) => {
                promise.call_method0(pyo3::intern!(py, "cancel"))?
            }
            Err(error) => promise.call_method1(pyo3::intern!(py, "set_exception"), (error,))?,
        };
    }
    Ok(())
}

fn cancelled(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CANCELLED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    CANCELLED.import(py, "asyncio", "CancelledError")
}

/// Aborts the work when its asyncio future was cancelled, and leaves there what it has done. A future that is to have
/// that calls it by itself; asyncio calls it for each a turn of the loop after it was done.
#[pyclass(frozen, module = "graphbit._graphbit")]
pub(super) struct CancelWatcher {
    abort: AbortHandle,
    kept: Option<Arc<Kept>>,
}

impl CancelWatcher {
    pub(super) fn new(abort: AbortHandle, kept: Option<Arc<Kept>>) -> Self {
        Self { abort, kept }
    }
}

#[pymethods]
impl CancelWatcher {
    fn __call__(&self, promise: &Bound<'_, PyAny>) -> PyResult<()> {
        exit::inside(promise.py(), || self.watch(promise))
    }
}

impl CancelWatcher {
    fn watch(&self, promise: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = promise.py();
        let cancelled = is_cancelled(promise)?;
        if cancelled {
            self.abort.abort();
        }
        let Some(kept) = &self.kept else { return Ok(()) };
        if !cancelled {
            // The future has it, and outlives its work.
            kept.forget();
            return Ok(());
        }
        if let Some(results) = kept.take(py)? {
            promise.setattr(pyo3::intern!(py, "results"), results)?;
        }
        Ok(())
    }
}
