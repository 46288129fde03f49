//! `StreamIterator`: one object for `for`, `async for` and `streaming_response()`.
//!
//! The request starts on first use. Events are pulled, never pushed: a slow reader makes the server
//! wait, and at most [`READ_AHEAD`] events that have already arrived are kept. Dropping or closing the
//! object cancels the request. It refuses to replay: an error before the first event leaves the next
//! use to send the request again, a later one ends the stream.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use futures_util::stream::{Fuse, StreamExt};
use pyo3::prelude::*;
use tokio::sync::{Mutex, Notify};

use super::bridge;
use super::chat_response::PyLlmResponse;
use super::chat_types::{PyFinishReason, PyLlmUsage};
use super::llm_many::text_into_py;
use super::stream_protocol::{awaited, stream_methods};
use super::structured::{self, Reader};
use crate::error::{Error, Kind, Result};
use crate::llm::{Assembly, ChatStream, LlmClient};
use crate::runtime;
use crate::types::{ChatEvent, ChatRequest, Usage};

/// Events taken from the network beyond the one asked for.
const READ_AHEAD: usize = 64;

/// One streamed answer, read event by event; what both iterators stand on.
pub(super) struct Session {
    client: LlmClient,
    request: ChatRequest,
    reader: Reader,
    /// Generation of the process that began it, plus one; zero before.
    process: AtomicU64,
    state: Arc<Mutex<State>>,
    outcome: OnceLock<Outcome>,
    closed: AtomicBool,
    closing: Notify,
}

/// What a finished stream leaves behind.
struct Outcome {
    usage: Option<Usage>,
    response: PyLlmResponse,
}

#[derive(Default)]
struct State {
    events: Option<Fuse<ChatStream>>,
    ready: VecDeque<Result<ChatEvent>>,
    assembly: Assembly,
    ended: bool,
}

impl State {
    /// Lets go of the connection and of everything that has arrived.
    fn end(&mut self) {
        *self = Self { ended: true, ..Self::default() };
    }
}

impl Session {
    pub(super) fn new(client: LlmClient, request: ChatRequest, reader: Reader) -> Arc<Self> {
        Arc::new(Self {
            client,
            request,
            reader,
            process: AtomicU64::new(0),
            state: Arc::default(),
            outcome: OnceLock::new(),
            closed: AtomicBool::new(false),
            closing: Notify::new(),
        })
    }

    /// The next event that `pick` takes something from, or `None` at the end, again and again. Calls are
    /// served in the order they were made: the place in the queue is taken now, not when the future is
    /// first polled.
    pub(super) fn next<T: Send + 'static>(
        self: &Arc<Self>,
        pick: fn(ChatEvent) -> Option<T>,
    ) -> impl Future<Output = Result<Option<T>>> + Send + 'static {
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
            while let Some(event) = session.advance(&mut state).await? {
                if let Some(picked) = pick(event) {
                    return Ok(Some(picked));
                }
            }
            Ok(None)
        }
    }

    async fn advance(&self, state: &mut State) -> Result<Option<ChatEvent>> {
        loop {
            if self.closed.load(Ordering::Acquire) {
                state.end();
            }
            if state.ended {
                return Ok(None);
            }
            match state.ready.pop_front() {
                Some(Ok(event)) => {
                    state.assembly.add(&event);
                    if let ChatEvent::Done { usage, .. } = &event {
                        let usage = *usage;
                        let assembly = std::mem::take(&mut state.assembly);
                        state.end();
                        self.conclude(usage, assembly).await?;
                    }
                    return Ok(Some(event));
                }
                Some(Err(error)) => {
                    state.end();
                    return Err(error);
                }
                None => {}
            }
            if !self.fetch(state).await? {
                state.end();
            }
        }
    }

    /// Waits for at least one event; `false` when there are no more, or somebody closes the stream.
    async fn fetch(&self, state: &mut State) -> Result<bool> {
        let mut closing = std::pin::pin!(self.closing.notified());
        // From here on a call of `close` is not missed.
        closing.as_mut().enable();
        if self.closed.load(Ordering::Acquire) {
            return Ok(false);
        }
        let more = async {
            let events = match &mut state.events {
                Some(events) => events,
                None => {
                    let opened = self.client.stream(self.request.clone()).await?;
                    state.events.insert(opened.fuse())
                }
            };
            let Some(event) = events.next().await else { return Ok(false) };
            state.ready.push_back(event);
            // Whatever came in the same packet spares later calls the way through the runtime.
            while state.ready.len() < READ_AHEAD
                && let Some(Some(event)) = events.next().now_or_never()
            {
                state.ready.push_back(event);
            }
            Ok(true)
        };
        tokio::select! {
            biased;
            () = closing => Ok(false),
            more = more => more,
        }
    }

    /// Puts the whole answer together and reads it as asked.
    async fn conclude(&self, usage: Option<Usage>, assembly: Assembly) -> Result<()> {
        let model = self.client.model();
        let mut answer = assembly.finish(model.model());
        answer.provider.get_or_insert_with(|| Arc::from(model.provider()));
        let response = PyLlmResponse::answered(answer);
        let response = structured::read(response, self.reader.clone()).await?;
        let _ = self.outcome.set(Outcome { usage, response });
        Ok(())
    }

    /// An event that has already arrived, without the runtime. Not the last one: it takes more than that.
    pub(super) fn ready_event(&self) -> Option<ChatEvent> {
        self.ready_if(|event| !matches!(event, ChatEvent::Done { .. }))
    }

    /// A piece of text that has already arrived, without the runtime.
    pub(super) fn ready_text(&self) -> Option<String> {
        self.ready_if(|event| matches!(event, ChatEvent::Text(_))).and_then(text_of)
    }

    fn ready_if(&self, wanted: impl Fn(&ChatEvent) -> bool) -> Option<ChatEvent> {
        self.own().ok()?;
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state.try_lock().ok()?;
        let State { ready, assembly, .. } = &mut *state;
        if !ready.front()?.as_ref().is_ok_and(wanted) {
            return None;
        }
        let event = ready.pop_front()?.ok()?;
        assembly.add(&event);
        Some(event)
    }

    /// Cancels what is under way and forgets what has arrived; the stream has then ended.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.closing.notify_waiters();
        // A child that was forked in the middle of a stream leaves the parent's connection alone.
        if self.own().is_ok()
            && let Ok(mut state) = self.state.try_lock()
        {
            state.end();
        }
    }

    /// The whole answer, once the stream has ended.
    pub(super) fn response(&self) -> Option<PyLlmResponse> {
        Some(self.outcome.get()?.response.clone())
    }

    /// Tokens used, once the stream has ended and if the provider said so.
    pub(super) fn usage(&self) -> Option<PyLlmUsage> {
        self.outcome.get()?.usage.map(PyLlmUsage)
    }

    /// Why the model stopped, once the stream has ended.
    pub(super) fn finish_reason(&self) -> Option<PyFinishReason> {
        let outcome = self.outcome.get()?;
        Some(PyFinishReason(outcome.response.inner.finish_reason.clone()))
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

/// The event's text, if it has one.
pub(super) fn text_of(event: ChatEvent) -> Option<String> {
    match event {
        ChatEvent::Text(text) => Some(text),
        _ => None,
    }
}

/// The text of one answer, piece by piece. Obtained from a client, never constructed.
#[pyclass(name = "StreamIterator", module = "graphbit", frozen)]
pub(super) struct PyStream(Arc<Session>);

impl PyStream {
    pub(super) fn new(client: LlmClient, request: ChatRequest) -> Self {
        Self(Session::new(client, request, Reader::Text))
    }
}

stream_methods!(PyStream {
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<String>> {
        match self.0.ready_text() {
            Some(text) => Ok(Some(text)),
            None => bridge::block_on(py, self.0.next(text_of)),
        }
    }

    fn __anext__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        awaited(py, self.0.next(text_of), text_into_py)
    }

    /// Writes each remaining piece to `sys.stdout` and resolves to all of them together.
    fn streaming_response<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let session = Arc::clone(&self.0);
        let work = async move {
            let mut whole = String::new();
            while let Some(text) = session.next(text_of).await? {
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
        bridge::future_into_py(py, work, text_into_py)
    }

    /// Ends the stream; the request is cancelled and its connection freed.
    fn close(&self) {
        self.0.close();
    }

    /// Tokens used, once the stream has ended and if the provider said so.
    #[getter]
    fn usage(&self) -> Option<PyLlmUsage> {
        self.0.usage()
    }

    /// Why the model stopped, once the stream has ended.
    #[getter]
    fn finish_reason(&self) -> Option<PyFinishReason> {
        self.0.finish_reason()
    }

    /// The whole answer, once the stream has ended.
    #[getter]
    fn response(&self) -> Option<PyLlmResponse> {
        self.0.response()
    }
});
