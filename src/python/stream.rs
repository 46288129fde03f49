//! `StreamIterator`: one object for `for`, `async for` and `streaming_response()`.
//!
//! The request starts on first use. Events are pulled, never pushed: a slow reader makes the server
//! wait, and at most [`READ_AHEAD`] events that have already arrived are kept. Dropping the object
//! cancels the request. It refuses to replay: an error before the first text leaves the next use to
//! send the request again, a later one ends the stream.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use futures_util::stream::{Fuse, StreamExt};
use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;
use tokio::sync::Mutex;

use super::bridge;
use super::chat_types::{PyFinishReason, PyLlmUsage};
use crate::error::{Error, Kind, Result};
use crate::llm::{ChatStream, LlmClient};
use crate::runtime;
use crate::types::{ChatEvent, ChatRequest, FinishReason, Usage};

/// Events taken from the network beyond the one asked for.
const READ_AHEAD: usize = 64;

/// The text of one answer, piece by piece. Obtained from a client, never constructed.
#[pyclass(name = "StreamIterator", module = "graphbit", frozen)]
pub(super) struct PyStream(Arc<Session>);

struct Session {
    client: LlmClient,
    request: ChatRequest,
    /// Generation of the process that began it, plus one; zero before.
    process: AtomicU64,
    state: Arc<Mutex<State>>,
    outcome: OnceLock<(Option<Usage>, FinishReason)>,
}

#[derive(Default)]
struct State {
    events: Option<Fuse<ChatStream>>,
    ready: VecDeque<Result<ChatEvent>>,
    ended: bool,
}

impl PyStream {
    pub(super) fn new(client: LlmClient, request: ChatRequest) -> Self {
        Self(Arc::new(Session {
            client,
            request,
            process: AtomicU64::new(0),
            state: Arc::default(),
            outcome: OnceLock::new(),
        }))
    }
}

impl Session {
    /// The next text, or `None` at the end, again and again. Calls are served in the order they were
    /// made: the place in the queue is taken now, not when the future is first polled.
    fn next(self: &Arc<Self>) -> impl Future<Output = Result<Option<String>>> + Send + 'static {
        let session = Arc::clone(self);
        let owned = session.own().map(|()| {
            let mut turn = Box::pin(Arc::clone(&session.state).lock_owned());
            let held = turn.as_mut().now_or_never();
            (turn, held)
        });
        async move {
            let (turn, held) = owned?;
            let mut state = match held {
                Some(state) => state,
                None => turn.await,
            };
            session.advance(&mut state).await
        }
    }

    async fn advance(&self, state: &mut State) -> Result<Option<String>> {
        loop {
            if state.ended {
                return Ok(None);
            }
            match state.ready.pop_front() {
                Some(Ok(ChatEvent::Text(text))) => return Ok(Some(text)),
                Some(Ok(ChatEvent::ToolCallDelta { .. } | ChatEvent::Reasoning(_))) => continue,
                Some(Ok(ChatEvent::Done { usage, finish_reason, .. })) => {
                    let _ = self.outcome.set((usage, finish_reason));
                    *state = State { ended: true, ..State::default() };
                    continue;
                }
                Some(Err(error)) => {
                    *state = State { ended: true, ..State::default() };
                    return Err(error);
                }
                None => {}
            }
            let events = match &mut state.events {
                Some(events) => events,
                None => {
                    let opened = self.client.stream(self.request.clone()).await?;
                    state.events.insert(opened.fuse())
                }
            };
            match events.next().await {
                Some(event) => state.ready.push_back(event),
                None => state.ended = true,
            }
            // Whatever came in the same packet spares later calls the way through the runtime.
            while state.ready.len() < READ_AHEAD
                && let Some(Some(event)) = events.next().now_or_never()
            {
                state.ready.push_back(event);
            }
        }
    }

    /// A text that has already arrived, without the runtime.
    fn ready_text(&self) -> Option<String> {
        self.own().ok()?;
        let mut state = self.state.try_lock().ok()?;
        match state.ready.front_mut() {
            Some(Ok(ChatEvent::Text(text))) => {
                let text = std::mem::take(text);
                state.ready.pop_front();
                Some(text)
            }
            _ => None,
        }
    }

    /// The connection and its queue belong to the process that opened them.
    fn own(&self) -> Result<()> {
        let here = runtime::generation().saturating_add(1);
        match self.process.compare_exchange(0, here, Ordering::AcqRel, Ordering::Acquire) {
            Err(owner) if owner != here => {
                let text = "Stream error: this stream was begun before fork(); ask for a new one";
                Err(Error::new(Kind::Stream, text))
            }
            _ => Ok(()),
        }
    }
}

#[pymethods]
impl PyStream {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<String>> {
        match self.0.ready_text() {
            Some(text) => Ok(Some(text)),
            None => bridge::block_on(py, self.0.next()),
        }
    }

    fn __aiter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __anext__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        bridge::future_into_py(py, self.0.next(), |py, text| match text {
            Some(text) => Ok(text.into_pyobject(py)?.into_any().unbind()),
            None => Err(PyStopAsyncIteration::new_err(())),
        })
    }

    /// Writes each remaining piece to `sys.stdout` and resolves to all of them together.
    fn streaming_response<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let session = Arc::clone(&self.0);
        let work = async move {
            let mut whole = String::new();
            while let Some(text) = session.next().await? {
                whole.push_str(&text);
                bridge::call_python(move |py| {
                    let stdout = py.import("sys")?.getattr("stdout")?;
                    // There is none under pythonw.
                    if !stdout.is_none() {
                        stdout.call_method1("write", (text,))?;
                        stdout.call_method0("flush")?;
                    }
                    Ok(())
                })
                .await?;
            }
            Ok(whole)
        };
        bridge::future_into_py(py, work, |py, whole| {
            Ok(whole.into_pyobject(py)?.into_any().unbind())
        })
    }

    /// Tokens used, once the stream has ended and if the provider said so.
    #[getter]
    fn usage(&self) -> Option<PyLlmUsage> {
        self.0.outcome.get()?.0.map(PyLlmUsage)
    }

    /// Why the model stopped, once the stream has ended.
    #[getter]
    fn finish_reason(&self) -> Option<PyFinishReason> {
        Some(PyFinishReason(self.0.outcome.get()?.1.clone()))
    }
}
