//! The thread that carries results of async calls to their event loops.
//!
//! Workers never wait for the interpreter: they queue a delivery here and go on. The courier takes what
//! has piled up, attaches once, and wakes each loop once for the whole batch, which is what keeps
//! thousands of concurrent awaits cheap. The queue is bounded; a full one makes the finished tasks
//! wait, not the workers.

use std::sync::{Mutex, OnceLock, PoisonError};

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

pub(super) type Outcome = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// A result on its way to an asyncio future.
pub(super) struct Delivery {
    event_loop: Py<PyAny>,
    promise: Py<PyAny>,
    outcome: Option<Outcome>,
    /// Whether a cancelled future is to have the results of its work.
    keeps: bool,
}

impl Delivery {
    pub(super) fn new(
        event_loop: &Bound<'_, PyAny>,
        promise: &Bound<'_, PyAny>,
        keeps: bool,
    ) -> Self {
        Self {
            event_loop: event_loop.clone().unbind(),
            promise: promise.clone().unbind(),
            outcome: None,
            keeps,
        }
    }

    pub(super) fn set_outcome(
        &mut self,
        outcome: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send + 'static,
    ) {
        self.outcome = Some(Box::new(outcome));
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
    keeps: bool,
}

fn settle(py: Python<'_>, delivery: Delivery) -> Settled {
    let Delivery { promise, outcome, keeps, .. } = delivery;
    // Cancelled meanwhile: what it has done is left for the watcher, which comes next.
    let outcome = outcome.filter(|_| !keeps || !is_cancelled(promise.bind(py)).unwrap_or(false));
    let value = match outcome {
        Some(outcome) => outcome(py),
        None => Ok(py.None()),
    };
    Settled { promise, value, keeps }
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
        for Settled { promise, value, keeps } in taken {
            let promise = promise.bind(py);
            if promise.call_method0(pyo3::intern!(py, "done"))?.is_truthy()? {
                // Cancelled on the last stretch: all of it is finished, and nobody else has it.
                if let Ok(value) = value
                    && keeps
                    && !value.is_none(py)
                {
                    let _ = promise.setattr(pyo3::intern!(py, "results"), value);
                }
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
}

fn cancelled(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CANCELLED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    CANCELLED.import(py, "asyncio", "CancelledError")
}

/// Aborts the work when its asyncio future was cancelled, and leaves there what it has done.
#[pyclass(frozen, module = "graphbit._graphbit")]
pub(super) struct CancelWatcher {
    abort: AbortHandle,
    finished: Mutex<Option<Outcome>>,
}

impl CancelWatcher {
    pub(super) fn new(abort: AbortHandle, finished: Option<Outcome>) -> Self {
        Self { abort, finished: Mutex::new(finished) }
    }
}

#[pymethods]
impl CancelWatcher {
    fn __call__(&self, promise: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = promise.py();
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner).take();
        if !is_cancelled(promise)? {
            return Ok(());
        }
        self.abort.abort();
        let name = pyo3::intern!(py, "results");
        if let Some(finished) = finished
            && promise.getattr_opt(name)?.is_none()
        {
            // A loop's own kind of future may refuse attributes; then it goes without.
            let _ = promise.setattr(name, finished(py)?);
        }
        Ok(())
    }
}
