//! One long text on several threads, with the chunks that one thread would make.
//!
//! The text is divided into parts, and in each a chain of chunks starts at a likely cut. A chain
//! goes on by its state alone, so once the chain of the part before has come to a state that this
//! one was in too, the rest of this one's chunks is the right one and is adopted. Two chains nearly
//! always meet after a few chunks; where they do not, the first one goes on through the part, and
//! only time is lost. Chunks are handed out part by part, while other threads cut the later ones.
//!
//! A splitter without such chains is run [`ahead`] on one other thread instead.

use std::collections::VecDeque;
use std::mem;
use std::ops::{ControlFlow, Range};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, Scope};

use super::Each;
use super::chunk::{Chunk, Content};

/// The chunks of a text in order, some at a time. Dropping it ends the work.
pub type Portions<'scope> = Box<dyn Iterator<Item = Vec<Chunk<Content>>> + Send + 'scope>;

/// Chunks that another thread makes before it hands them over.
const PORTION: usize = 1024;

/// Such portions that may wait to be used.
const WAITING: usize = 16;

/// Bytes of a part. Small enough that the first is soon there, large enough that the few chunks made
/// twice at its start do not matter.
const PART: usize = 1 << 20;

/// States remembered of each chain: where two have not met by then, they hardly will.
const REMEMBERED: usize = 4096;

/// Makes the chunks of a text one after the other, from anywhere in it.
pub(super) trait Chain {
    /// All that the following chunks depend on, but for the numbers that [`Chain::shift`] changes.
    type State: PartialEq;

    fn next_chunk(&mut self) -> Option<Chunk<Content>>;

    fn state(&self) -> Self::State;

    /// How far it is, in bytes of the text; grows with each chunk.
    fn place(&self) -> usize;

    /// What the next chunk's `chunk_index` is, or would be.
    fn chunk_index(&self) -> usize;

    /// The code point offset of `byte`, for a chain that began inside the text as it counts.
    fn code_point(&mut self, byte: usize) -> usize;

    /// Adds to the numbers of all further chunks, wrapping around.
    fn shift(&mut self, chunks: usize, code_points: usize);

    /// Hands all chunks to `each`, until that breaks.
    fn run(&mut self, each: &mut Each<'_>) -> ControlFlow<()> {
        while let Some(chunk) = self.next_chunk() {
            each(chunk)?;
        }
        ControlFlow::Continue(())
    }
}

/// What `visit` makes, made by another thread while the caller uses what came before.
pub(super) fn ahead<'scope>(
    scope: &'scope Scope<'scope, '_>,
    visit: impl Fn(&mut Each<'_>) -> ControlFlow<()> + Copy + Send + 'scope,
) -> Portions<'scope> {
    let (sender, receiver) = mpsc::sync_channel(WAITING);
    let work = move || {
        let in_portions = || {
            let mut portion = Vec::with_capacity(PORTION);
            let flow = visit(&mut |chunk| {
                portion.push(chunk);
                if portion.len() < PORTION {
                    return ControlFlow::Continue(());
                }
                let full = mem::replace(&mut portion, Vec::with_capacity(PORTION));
                // An error means that nobody wants more.
                sender.send(Ok(full)).map_or(ControlFlow::Break(()), ControlFlow::Continue)
            });
            if flow.is_continue() {
                drop(sender.send(Ok(portion)));
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(in_portions)) {
            drop(sender.send(Err(panic)));
        }
    };
    if thread::Builder::new().spawn_scoped(scope, work).is_err() {
        // Without a thread it is done when first asked for.
        return Box::new(std::iter::once_with(move || {
            let mut all = Vec::new();
            let _ = visit(&mut |chunk| {
                all.push(chunk);
                ControlFlow::Continue(())
            });
            all
        }));
    }
    Box::new(
        receiver.into_iter().map(|portion| portion.unwrap_or_else(|panic| resume_unwind(panic))),
    )
}

/// What one thread made of its part.
struct Run<C: Chain> {
    chain: C,
    /// Where it began, and which code point it takes that for.
    first: usize,
    first_code_point: usize,
    chunks: Vec<Chunk<Content>>,
    /// Of the chain before each of its chunks, as long as they are remembered.
    marks: Vec<Mark<C::State>>,
}

struct Mark<S> {
    place: usize,
    chunk_index: usize,
    state: S,
}

impl<C: Chain> Run<C> {
    fn new(mut chain: C) -> Self {
        let first = chain.place();
        Self {
            first,
            first_code_point: chain.code_point(first),
            chain,
            chunks: Vec::new(),
            marks: Vec::new(),
        }
    }

    fn go_to(&mut self, end: usize, remember: bool) {
        while self.chain.place() < end {
            if remember && self.marks.len() < REMEMBERED {
                self.marks.push(Mark {
                    place: self.chain.place(),
                    chunk_index: self.chain.chunk_index(),
                    state: self.chain.state(),
                });
            }
            let Some(chunk) = self.chain.next_chunk() else { return };
            self.chunks.push(chunk);
        }
    }

    /// Goes on until `next` can take over, else to `end`.
    fn join(&mut self, next: Self, end: usize) {
        let mut met = None;
        for (position, mark) in next.marks.iter().enumerate() {
            self.go_to(mark.place, false);
            if self.chain.place() == mark.place && self.chain.state() == mark.state {
                met = Some((position, self.chain.chunk_index().wrapping_sub(mark.chunk_index)));
                break;
            }
        }
        let Some((position, chunks)) = met else {
            return self.go_to(end, false);
        };
        let code_points = self.chain.code_point(next.first) - next.first_code_point;
        self.chain = next.chain;
        self.chunks.reserve(next.chunks.len());
        self.chain.shift(chunks, code_points);
        self.chunks.extend(next.chunks.into_iter().skip(position).map(|mut chunk| {
            chunk.chunk_index = chunk.chunk_index.wrapping_add(chunks);
            chunk.start_char += code_points;
            chunk.end_char += code_points;
            chunk
        }));
    }
}

/// The chunks of the chain that `whole` is, made on up to `workers` threads; `start` begins another
/// one in the range it is given, at a place where `whole` is likely to come by.
pub(super) fn divided<'scope, C: Chain + Send + 'scope>(
    length: usize,
    workers: usize,
    whole: C,
    start: impl Fn(Range<usize>) -> Option<C>,
    scope: &'scope Scope<'scope, '_>,
) -> Portions<'scope>
where
    C::State: Send,
{
    let part = length.div_ceil(workers.max(1)).clamp(1, PART);
    let mut runs = vec![Run::new(whole)];
    // A chain that begins late leaves the wait to the one before it.
    let starts = (1..).map(|nth| nth * part).take_while(|from| *from < length);
    runs.extend(starts.filter_map(|from| start(from..length.min(from + part / 2))).map(Run::new));
    let firsts = runs.iter().skip(1).map(|run| run.first);
    let ends: Vec<usize> = firsts.chain([usize::MAX]).collect();
    let parts = Arc::new(Parts {
        state: Mutex::new(State {
            waiting: runs.into_iter().enumerate().collect(),
            done: ends.iter().map(|_| None).collect(),
        }),
        changed: Condvar::new(),
        ends,
    });
    for _ in 1..workers.min(parts.ends.len()) {
        let parts = Arc::clone(&parts);
        // Without a thread the others do its work.
        drop(thread::Builder::new().spawn_scoped(scope, move || while parts.cut_one() {}));
    }
    Box::new(Divided { parts, joined: None, next: 0 })
}

/// The parts of one text.
struct Parts<C: Chain> {
    state: Mutex<State<C>>,
    changed: Condvar,
    /// Where the next part begins, of each.
    ends: Vec<usize>,
}

struct State<C: Chain> {
    waiting: VecDeque<(usize, Run<C>)>,
    done: Vec<Option<thread::Result<Run<C>>>>,
}

impl<C: Chain> Parts<C> {
    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the first part that nobody took; `false` when all are taken.
    fn cut_one(&self) -> bool {
        let Some((nth, mut run)) = self.state().waiting.pop_front() else { return false };
        let end = self.ends.get(nth).copied().unwrap_or(usize::MAX);
        let cut = catch_unwind(AssertUnwindSafe(|| {
            run.go_to(end, nth > 0);
            run
        }));
        if let Some(place) = self.state().done.get_mut(nth) {
            *place = Some(cut);
        }
        self.changed.notify_all();
        true
    }

    /// Part number `nth` once it is cut; cuts others until then.
    fn wait_for(&self, nth: usize) -> Option<thread::Result<Run<C>>> {
        loop {
            let mut state = self.state();
            loop {
                let place = state.done.get_mut(nth)?;
                if let Some(done) = place.take() {
                    return Some(done);
                }
                if !state.waiting.is_empty() {
                    break;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            self.cut_one();
        }
    }
}

struct Divided<C: Chain> {
    parts: Arc<Parts<C>>,
    /// The chain through all parts handed out so far.
    joined: Option<Run<C>>,
    next: usize,
}

impl<C: Chain> Iterator for Divided<C> {
    type Item = Vec<Chunk<Content>>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.parts.ends.get(self.next).copied()?;
        let run = self.parts.wait_for(self.next)?.unwrap_or_else(|panic| resume_unwind(panic));
        self.next += 1;
        let joined = match self.joined.take() {
            None => run,
            Some(mut joined) => {
                joined.join(run, end);
                joined
            }
        };
        Some(mem::take(&mut self.joined.insert(joined).chunks))
    }
}

impl<C: Chain> Drop for Divided<C> {
    fn drop(&mut self) {
        // Nobody wants the rest.
        let rest = mem::take(&mut self.parts.state().waiting);
        drop(rest);
    }
}
