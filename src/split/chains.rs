//! One long text on several threads, with the chunks that one thread would make.
//!
//! The text is divided into parts, and in each a chain of chunks starts at a likely cut. A chain
//! goes on by its state alone, so once the chain of the part before has come to a state that this
//! one was in too, the rest of this one's chunks is the right one and is adopted. Two chains nearly
//! always meet after a few chunks; where they do not, the first one goes on through the part, and
//! only time is lost.

use std::ops::Range;
use std::thread;

use super::chunk::{Chunk, Content};

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
/// one in the range it is given, at a place where `whole` is likely to come by. `None` when there is
/// no such place, and nothing was done.
pub(super) fn divided<C: Chain + Send>(
    length: usize,
    workers: usize,
    whole: C,
    start: impl Fn(Range<usize>) -> Option<C>,
) -> Option<Vec<Chunk<Content>>>
where
    C::State: Send,
{
    let part = length.div_ceil(workers.max(1)).max(1);
    let mut runs = vec![Run::new(whole)];
    // A chain that begins late leaves the wait to the one before it.
    let starts = (1..workers).map(|nth| nth * part).filter(|from| *from < length);
    runs.extend(starts.filter_map(|from| start(from..length.min(from + part / 2))).map(Run::new));
    if runs.len() == 1 {
        return None;
    }
    let firsts = runs.iter().skip(1).map(|run| run.first);
    let ends: Vec<usize> = firsts.chain([usize::MAX]).collect();
    thread::scope(|scope| {
        let mut own = None;
        for (nth, (run, end)) in runs.iter_mut().zip(&ends).enumerate() {
            if nth == 0 {
                own = Some((run, end));
                continue;
            }
            let work = move || run.go_to(*end, true);
            // Without a thread the chain stays empty, and the one before it does its work.
            drop(thread::Builder::new().spawn_scoped(scope, work));
        }
        if let Some((run, end)) = own {
            run.go_to(*end, false);
        }
    });
    let mut runs = runs.into_iter();
    let mut joined = runs.next()?;
    for (next, end) in runs.zip(ends.iter().skip(1)) {
        joined.join(next, *end);
    }
    Some(joined.chunks)
}
