//! A running piece of work: aborts on drop, turns panics into errors, knows where it is polled.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinHandle};

use crate::error::{Error, Kind, Result};

/// Work on the shared runtime. Await it, or hand it to [`super::wait`]; dropping it aborts the work.
#[must_use = "dropping a task aborts its work"]
pub struct Task<T>(State<T>);

enum State<T> {
    Running(JoinHandle<Result<T>>),
    Failed(Option<Error>),
}

thread_local! {
    /// The generation whose task this thread is polling right now, 0 for none.
    static POLLING: Cell<u64> = const { Cell::new(0) };
}

/// Whether the calling code runs inside a task of the given runtime generation, on its worker.
pub(super) fn inside(generation: u64) -> bool {
    POLLING.get() == generation
}

struct Mark(u64);

impl Mark {
    fn set(generation: u64) -> Self {
        Self(POLLING.replace(generation))
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        POLLING.set(self.0);
    }
}

/// Work that says where it is polled. In a box: a runtime keeps work and outcome in one place, as large as the
/// larger of them, and copies all of that place several times when the work is done.
struct Marked<T> {
    generation: u64,
    future: BoxFuture<'static, Result<T>>,
}

impl<T> Future for Marked<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let _mark = Mark::set(self.generation);
        self.future.as_mut().poll(context)
    }
}

impl<T: Send + 'static> Task<T> {
    pub(super) fn running<F>(handle: &Handle, generation: u64, future: F) -> Self
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        #[expect(clippy::disallowed_methods, reason = "this is the doorway")]
        Self(State::Running(handle.spawn(Marked { generation, future: future.boxed() })))
    }

    pub(super) fn failed(error: Error) -> Self {
        Self(State::Failed(Some(error)))
    }

    /// A handle that aborts the work from elsewhere; `None` when it never started.
    #[must_use]
    pub fn abort_handle(&self) -> Option<AbortHandle> {
        match &self.0 {
            State::Running(handle) => Some(handle.abort_handle()),
            State::Failed(_) => None,
        }
    }

    /// Lets the work go on without anybody waiting for it.
    pub fn detach(mut self) {
        self.0 = State::Failed(None);
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Running(handle) => Pin::new(handle).poll(context).map(|joined| match joined {
                Ok(result) => result,
                Err(error) => Err(match error.try_into_panic() {
                    Ok(panic) => Error::panicked(panic.as_ref()),
                    Err(_) => Error::new(Kind::Cancelled, "the work was cancelled"),
                }),
            }),
            State::Failed(error) => Poll::Ready(Err(error
                .take()
                .unwrap_or_else(|| Error::new(Kind::Cancelled, "the work was detached")))),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let State::Running(handle) = &self.0 {
            handle.abort();
        }
    }
}
