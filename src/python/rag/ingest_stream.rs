//! `IngestStream`: one object for `for` and `async for`, an outcome a document.
//!
//! The work starts on first use and goes no further ahead of its reader than a window of documents. Dropping
//! or closing the object ends it; what was stored by then stays. It refuses to be read in a forked child: its
//! threads are the parent's.

use std::sync::{Arc, Mutex as Lock, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tokio::sync::{Mutex, Notify};

use super::report::PyDocumentOutcome;
use crate::error::{Error, Kind, Result};
use crate::python::bridge;
use crate::python::closing::Closing;
use crate::python::documents::Given;
use crate::python::stream_protocol::{awaited, stream_methods};
use crate::rag::{DocumentOutcome, IngestStream, OnProgress, ParallelRag};
use crate::runtime;

/// An ingest that runs.
struct Begun {
    outcomes: Option<IngestStream>,
    generation: u64,
    /// The asynchronous iterator that is drawn from: closed, it ends the waiting for the next item.
    _drawing: Closing,
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.generation != runtime::generation() {
            #[expect(clippy::mem_forget, reason = "the work belongs to the parent process")]
            std::mem::forget(self.outcomes.take());
        }
    }
}

enum State {
    Fresh(Given, Option<OnProgress>),
    /// Somebody is about to begin.
    Beginning,
    Begun(Arc<Mutex<Begun>>),
    Ended,
}

struct Session {
    rag: ParallelRag,
    generation: u64,
    state: Lock<State>,
    closing: Notify,
}

impl Session {
    fn replace(&self, state: State) -> State {
        let mut held = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, state)
    }

    /// The ingest, begun on first use; `None` when it has ended.
    fn begun(
        &self,
        py: Python<'_>,
        event_loop: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Option<Arc<Mutex<Begun>>>> {
        if self.generation != runtime::generation() {
            let text = "the stream was made in another process; make a new one here";
            return Err(Error::new(Kind::Cancelled, text).into());
        }
        match self.replace(State::Beginning) {
            State::Fresh(given, callback) => {
                let opened = given.sources(py, event_loop);
                let (sources, drawing) = opened.inspect_err(|_| {
                    self.replace(State::Ended);
                })?;
                let outcomes = Some(self.rag.ingest_stream(sources, callback));
                let _drawing = Closing::of(drawing);
                let begun = Begun { outcomes, generation: self.generation, _drawing };
                let begun = Arc::new(Mutex::new(begun));
                self.replace(State::Begun(Arc::clone(&begun)));
                Ok(Some(begun))
            }
            State::Begun(begun) => {
                self.replace(State::Begun(Arc::clone(&begun)));
                Ok(Some(begun))
            }
            State::Ended => {
                self.replace(State::Ended);
                Ok(None)
            }
            State::Beginning => Err(PyValueError::new_err("iterator already executing")),
        }
    }

    async fn next(
        self: Arc<Self>,
        begun: Option<Arc<Mutex<Begun>>>,
    ) -> Result<Option<DocumentOutcome>> {
        let Some(begun) = begun else { return Ok(None) };
        let mut closing = std::pin::pin!(self.closing.notified());
        // From here on a call of `close` is not missed.
        closing.as_mut().enable();
        let ended =
            matches!(*self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Ended);
        if ended {
            return Ok(None);
        }
        let next = async {
            match &mut begun.lock().await.outcomes {
                Some(outcomes) => outcomes.next().await,
                None => Ok(None),
            }
        };
        let next = tokio::select! {
            biased;
            () = closing => return Ok(None),
            next = next => next,
        };
        if !matches!(next, Ok(Some(_))) {
            self.replace(State::Ended);
        }
        next
    }
}

/// The outcomes of an ingest. Obtained from a pipeline, never constructed.
#[pyclass(name = "IngestStream", module = "graphbit", frozen)]
pub(in crate::python) struct PyIngestStream(Arc<Session>);

impl PyIngestStream {
    pub(super) fn new(rag: ParallelRag, given: Given, callback: Option<OnProgress>) -> Self {
        let state = Lock::new(State::Fresh(given, callback));
        let (generation, closing) = (runtime::generation(), Notify::new());
        Self(Arc::new(Session { rag, generation, state, closing }))
    }
}

stream_methods!(PyIngestStream {
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<PyDocumentOutcome>> {
        let begun = self.0.begun(py, None)?;
        let outcome = bridge::block_on(py, Arc::clone(&self.0).next(begun))?;
        Ok(outcome.map(PyDocumentOutcome))
    }

    fn __anext__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let begun = self.0.begun(py, bridge::event_loop(py))?;
        awaited(py, Arc::clone(&self.0).next(begun), |py, outcome| {
            Ok(Py::new(py, PyDocumentOutcome(outcome))?.into_any())
        })
    }

    /// Ends the ingest. What was stored stays; documents under way are given up.
    fn close(&self) {
        // Dropped outside the lock: it may be the last of it.
        drop(self.0.replace(State::Ended));
        self.0.closing.notify_waiters();
    }
});
