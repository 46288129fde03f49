//! Wakes finished waiters a few at a time, because they all head for the same lock.
//!
//! A thread that comes back from a wait usually needs the interpreter next. Woken all at once, dozens of
//! threads queue for it a second time and pay a sleep and a wake-up each. Here a thread is only woken
//! when it is nearly its turn; whoever has got the lock drops its [`Turn`], which wakes the next.
//!
//! It refuses to hold anybody up: it orders wake-ups of threads that have nothing else to wait for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::{future::Future, pin::pin};

use super::task::Task;
use crate::error::Result;

/// Threads between their wake-up and the end of their turn. One more than is served, so that the next
/// is up when the lock becomes free.
const ADMITTED: usize = 2;

/// One for each runtime generation: a forked child must not inherit a queue of threads it lacks.
#[derive(Default)]
pub(super) struct Turnstile {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    admitted: usize,
    queue: VecDeque<Arc<Waiter>>,
}

struct Waiter {
    thread: Thread,
    admitted: AtomicBool,
    turnstile: &'static Turnstile,
}

impl Wake for Waiter {
    fn wake(self: Arc<Self>) {
        let mut state = self.turnstile.lock();
        if state.admitted < ADMITTED {
            state.admitted += 1;
            drop(state);
            self.admit();
        } else {
            state.queue.push_back(self);
        }
    }
}

impl Waiter {
    fn admit(&self) {
        self.admitted.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Turnstile {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Parks until `task` is done and it is this thread's turn. Drop the turn once the lock that
    /// everybody wants is held, or is not wanted after all.
    pub(super) fn wait<T>(&'static self, task: Task<T>) -> (Result<T>, Option<Turn>) {
        let mut task = pin!(task);
        let waiter = Arc::new(Waiter {
            thread: std::thread::current(),
            admitted: AtomicBool::new(false),
            turnstile: self,
        });
        let waker = Waker::from(Arc::clone(&waiter));
        let mut context = Context::from_waker(&waker);
        let mut turn = None;
        loop {
            if let Poll::Ready(result) = task.as_mut().poll(&mut context) {
                return (result, turn);
            }
            // A wake-up without an answer: the turn goes to the next.
            drop(turn.take());
            while !waiter.admitted.swap(false, Ordering::Acquire) {
                std::thread::park();
            }
            turn = Some(Turn(self));
        }
    }
}

/// The right to go for the lock. Dropping it wakes the next waiter.
#[must_use = "dropping the turn wakes the next thread"]
pub struct Turn(&'static Turnstile);

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        match state.queue.pop_front() {
            Some(next) => {
                drop(state);
                next.admit();
            }
            None => state.admitted = state.admitted.saturating_sub(1),
        }
    }
}
