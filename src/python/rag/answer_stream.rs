//! `AnswerStream`: an answer as it comes, with its citations at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use super::answer::{PyAnswer, PyCitation, cited};
use crate::llm::LlmClient;
use crate::python::bridge;
use crate::python::llm_many::text_into_py;
use crate::python::stream::{Session, text_of};
use crate::python::stream_protocol::{awaited, stream_methods};
use crate::python::structured::Reader;
use crate::rag::{NOTHING_FOUND, Prepared};

/// The text of one answer, piece by piece. Obtained from a `ParallelRAG`, never constructed.
#[pyclass(name = "AnswerStream", module = "graphbit", frozen)]
pub(in crate::python) struct PyAnswerStream {
    prepared: Prepared,
    /// `None` when there is nothing to ask a model about.
    session: Option<Arc<Session>>,
    /// Whether the one piece that no model said has been given out, or is not wanted any more.
    told: AtomicBool,
}

impl PyAnswerStream {
    pub(super) fn new(client: LlmClient, mut prepared: Prepared) -> Self {
        let request = prepared.request.take();
        let session = request.map(|request| Session::new(client, request, Reader::Text));
        Self { prepared, session, told: AtomicBool::new(false) }
    }

    fn told_once(&self) -> Option<String> {
        (!self.told.swap(true, Ordering::AcqRel)).then(|| NOTHING_FOUND.to_owned())
    }
}

stream_methods!(PyAnswerStream {
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<String>> {
        match &self.session {
            None => Ok(self.told_once()),
            Some(session) => match session.ready_text() {
                Some(text) => Ok(Some(text)),
                None => bridge::block_on(py, session.next(text_of)),
            },
        }
    }

    fn __anext__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.session {
            Some(session) => awaited(py, session.next(text_of), text_into_py),
            None => awaited(py, std::future::ready(Ok(self.told_once())), text_into_py),
        }
    }

    /// The passages given to the model, best first; which of them are cited is known at the end.
    #[getter]
    fn citations(&self) -> Vec<PyCitation> {
        let response = self.session.as_ref().and_then(|session| session.response());
        let text = response.map(|response| response.inner.content).unwrap_or_default();
        cited(self.prepared.passages.clone(), &text)
    }

    /// Whether there were passages to answer from; if not, no model is asked.
    #[getter]
    fn found(&self) -> bool {
        self.session.is_some()
    }

    /// The whole answer, once the stream has ended.
    #[getter]
    fn answer(&self, py: Python<'_>) -> PyResult<Option<PyAnswer>> {
        let response = match &self.session {
            Some(session) => match session.response() {
                Some(response) => Some(response.inner),
                None => return Ok(None),
            },
            None if self.told.load(Ordering::Acquire) => None,
            None => return Ok(None),
        };
        PyAnswer::new(py, self.prepared.clone().answer(response)).map(Some)
    }

    /// Ends the stream; the request is cancelled and its connection freed.
    fn close(&self) {
        self.told.store(true, Ordering::Release);
        if let Some(session) = &self.session {
            session.close();
        }
    }
});
