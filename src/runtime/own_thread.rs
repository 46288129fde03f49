//! A thread of its own for what must always be asked on the same one.
//!
//! It refuses to run ahead: it is asked for one answer at a time, and sleeps until somebody asks again.

use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Kind, Result};

/// What interpreters expect of a thread; reserved address space, not memory.
const STACK_SIZE: usize = 8 * 1024 * 1024;

/// Where answers are asked for. Dropping it ends the thread, once it is done with its last answer.
#[derive(Debug)]
pub struct OwnThread<T> {
    orders: mpsc::Sender<oneshot::Sender<T>>,
}

/// The thread's side: who waits for an answer.
#[derive(Debug)]
pub struct Orders<T> {
    orders: mpsc::Receiver<oneshot::Sender<T>>,
}

impl<T: Send + 'static> OwnThread<T> {
    /// Starts the thread. What `serve` owns is dropped on it.
    ///
    /// # Errors
    /// [`Kind::Internal`] when no thread can be had.
    pub fn start(name: &str, serve: impl FnOnce(Orders<T>) + Send + 'static) -> Result<Self> {
        let (sender, orders) = mpsc::channel(1);
        std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || serve(Orders { orders }))
            .map_err(|cause| {
                let text = format!("Internal error: cannot start the thread {name}: {cause}");
                Error::new(Kind::Internal, text).with_source(cause)
            })?;
        Ok(Self { orders: sender })
    }

    /// The next answer; `None` when the thread has ended.
    pub async fn ask(&self) -> Option<T> {
        let (answer, waiting) = oneshot::channel();
        self.orders.send(answer).await.ok()?;
        waiting.await.ok()
    }
}

impl<T> Orders<T> {
    /// Sleeps until an answer is wanted; `None` when none will be wanted any more.
    pub fn wait(&mut self) -> Option<oneshot::Sender<T>> {
        self.orders.blocking_recv()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime;
    use std::sync::mpsc as std_mpsc;
    use std::thread;
    use std::time::Duration;

    struct TellsWhereItEnds(std_mpsc::Sender<thread::ThreadId>);

    impl Drop for TellsWhereItEnds {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).ok();
        }
    }

    #[test]
    fn all_answers_come_from_one_thread_which_ends_with_the_questions() {
        let (ended, end) = std_mpsc::channel();
        let held = TellsWhereItEnds(ended);
        let own = OwnThread::start("counter", move |mut orders| {
            let _held = held;
            for number in 0.. {
                let Some(order) = orders.wait() else { return };
                order.send((number, thread::current().id())).ok();
            }
        })
        .unwrap();
        let answers = runtime::block_on(async move {
            let mut answers = Vec::new();
            for _ in 0..100 {
                answers.push(own.ask().await.unwrap());
            }
            Ok(answers)
        })
        .unwrap();
        let thread = end.recv_timeout(Duration::from_secs(5)).unwrap();
        assert_eq!(answers, (0..100).map(|number| (number, thread)).collect::<Vec<_>>());
    }
}
