//! Many texts at once, on several threads.

use std::convert::Infallible;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use super::{Chunk, Content, Source, Split};

/// Below this many bytes a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 256 * 1024;

/// Bytes of small texts that the calling thread cuts before it looks what the others did.
const PORTION: usize = 64 * 1024;

/// How often `aside` is asked for while only other threads have work.
const LOOK: Duration = Duration::from_millis(20);

/// From this many bytes on a text that is more than its share is divided among the threads.
const WORTH_DIVIDING: usize = 4 * 1024 * 1024;

/// Splits every text, in parallel when there is enough of them; the results keep their order.
///
/// The threads are scoped, one a core at most, and gone when this returns. A panic in one of them
/// goes on in the caller.
pub fn split_texts<S: Split + ?Sized>(
    splitter: &S,
    texts: &[Source<'_>],
) -> Vec<Vec<Chunk<Content>>> {
    let mut results: Vec<_> = texts.iter().map(|_| Vec::new()).collect();
    let deliver = |index: usize, chunks| {
        if let Some(result) = results.get_mut(index) {
            result.extend(chunks);
        }
        Ok::<(), Infallible>(())
    };
    let aside = |work: &mut (dyn FnMut() + Send)| {
        work();
        Ok(())
    };
    match split_each(splitter, texts, None, aside, deliver) {
        Ok(()) => results,
    }
}

/// Splits every text on up to `workers` threads, the caller's among them; by default, and at most,
/// one a core. `deliver` is called here with the number of a text and its chunks, or the next ones of
/// a long text, while the other threads go on; the order of the texts is any. This thread's own share
/// of the cutting and its waiting is done inside `aside`, which runs what it is given, once.
///
/// # Errors
/// The first that `aside` or `deliver` returns; the work stops then.
pub fn split_each<S: Split + ?Sized, E>(
    splitter: &S,
    texts: &[Source<'_>],
    workers: Option<NonZero<usize>>,
    mut aside: impl FnMut(&mut (dyn FnMut() + Send)) -> Result<(), E>,
    mut deliver: impl FnMut(usize, Vec<Chunk<Content>>) -> Result<(), E>,
) -> Result<(), E> {
    let bytes: usize = texts.iter().map(|text| text.text().len()).sum();
    let longest = texts.iter().map(|text| text.text().len()).max().unwrap_or_default();
    let most = if longest < WORTH_DIVIDING { texts.len() } else { usize::MAX };
    let wanted = most.min(bytes / WORTH_A_THREAD);
    let workers = match workers.map_or(wanted, |most| wanted.min(most.get())) {
        0 | 1 => 1,
        // Asking for the number of cores reads files; small batches are done before that.
        more => more.min(thread::available_parallelism().map_or(1, NonZero::get)),
    };
    let mut queue = Queue::new(splitter, texts, workers > 1);
    // All threads together take these, so that none of them is left with one at the end.
    let is_shared = |index: &usize| {
        let length = queue.length(*index);
        let more_than_a_share = workers == 1 || length.saturating_mul(2 * workers) > bytes;
        length >= WORTH_DIVIDING && more_than_a_share
    };
    let (shared, others) = queue.order.iter().partition::<Vec<_>, _>(|index| is_shared(index));
    queue.order = others;
    // This thread takes no long text: it has to be there for what `aside` looks for, a Ctrl-C say.
    let any_long = queue.order.iter().any(|index| queue.length(*index) >= WORTH_DIVIDING);
    let helping = if any_long { workers } else { workers - 1 };
    thread::scope(|scope| {
        for index in shared {
            let Some(text) = texts.get(index) else { continue };
            let mut portions = splitter.portions(*text, workers, scope);
            loop {
                let mut portion = None;
                aside(&mut || portion = portions.next())?;
                match portion {
                    Some(chunks) => deliver(index, chunks)?,
                    None => break,
                }
            }
        }
        let (sender, receiver) = mpsc::channel();
        let helpers: Vec<_> = (0..helping.min(queue.order.len()))
            // A thread that cannot be had is one worker fewer, not an error.
            .map_while(|_| {
                let (sender, queue) = (sender.clone(), &queue);
                let work = move || {
                    while let Some(done) = queue.cut_next(usize::MAX) {
                        if sender.send(done).is_err() {
                            return;
                        }
                    }
                };
                thread::Builder::new().spawn_scoped(scope, work).ok()
            })
            .collect();
        drop(sender);
        let longest = if helpers.is_empty() { usize::MAX } else { WORTH_DIVIDING };
        // Nobody else asks for it; only the lock lets `aside` move the work to another thread.
        let receiver = Mutex::new(receiver);
        let mut run = || {
            let mut finished = false;
            while !finished {
                let mut done = Vec::new();
                aside(&mut || {
                    let mut cut = 0;
                    while cut < PORTION
                        && let Some((index, chunks)) = queue.cut_next(longest)
                    {
                        cut += queue.length(index);
                        done.push((index, chunks));
                    }
                    if let Ok(receiver) = receiver.lock() {
                        if done.is_empty() {
                            let next = receiver.recv_timeout(LOOK);
                            finished = matches!(next, Err(RecvTimeoutError::Disconnected));
                            done.extend(next);
                        }
                        done.extend(receiver.try_iter());
                    }
                })?;
                for (index, chunks) in done {
                    deliver(index, chunks)?;
                }
            }
            Ok(())
        };
        let result = run();
        queue.stop();
        for helper in helpers {
            if let Err(panic) = helper.join() {
                let mut panic = Some(panic);
                aside(&mut || {
                    if let Some(panic) = panic.take() {
                        std::panic::resume_unwind(panic);
                    }
                })?;
            }
        }
        result
    })
}

/// The texts that nobody took yet.
struct Queue<'batch, S: ?Sized> {
    splitter: &'batch S,
    texts: &'batch [Source<'batch>],
    /// Numbers of the texts, in the order in which they are to be taken.
    order: Vec<usize>,
    next: AtomicUsize,
    /// Nobody wants what is being cut.
    stopped: AtomicBool,
}

impl<'batch, S: Split + ?Sized> Queue<'batch, S> {
    fn new(splitter: &'batch S, texts: &'batch [Source<'batch>], shared: bool) -> Self {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        if shared {
            // A long text taken last would keep one thread busy after the others are done.
            order.sort_by_key(|index| {
                std::cmp::Reverse(texts.get(*index).map_or(0, |text| text.text().len()))
            });
        }
        Self { splitter, texts, order, next: AtomicUsize::new(0), stopped: AtomicBool::new(false) }
    }

    fn length(&self, index: usize) -> usize {
        self.texts.get(index).map_or(0, |text| text.text().len())
    }

    /// Cuts the next text, if that is shorter than `longest`.
    fn cut_next(&self, longest: usize) -> Option<(usize, Vec<Chunk<Content>>)> {
        let is_wanted =
            |at: usize| self.length(*self.order.get(at)?).lt(&longest).then_some(at + 1);
        let at = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_wanted).ok()?;
        let index = *self.order.get(at)?;
        let mut chunks = Vec::new();
        let _ = self.splitter.visit(*self.texts.get(index)?, &mut |chunk| {
            chunks.push(chunk);
            if self.stopped.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        Some((index, chunks))
    }

    fn stop(&self) {
        self.next.store(self.order.len(), Ordering::Relaxed);
        self.stopped.store(true, Ordering::Relaxed);
    }
}
