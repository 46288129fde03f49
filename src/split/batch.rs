//! Many texts at once, on all cores.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{Chunk, Content, Source, Split};

/// Below this many bytes a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 256 * 1024;

/// Splits every text, in parallel when there is enough of them; the results keep their order.
///
/// The threads are scoped, one a core at most, and gone when this returns. A panic in one of them
/// goes on in the caller.
pub fn split_texts<S: Split + ?Sized>(
    splitter: &S,
    texts: &[Source<'_>],
) -> Vec<Vec<Chunk<Content>>> {
    let bytes: usize = texts.iter().map(|text| text.text().len()).sum();
    let wanted = texts.len().min(bytes / WORTH_A_THREAD);
    let workers = match wanted {
        0 | 1 => 1,
        // Asking for the number of cores reads files; small batches are done before that.
        more => more.min(thread::available_parallelism().map_or(1, NonZero::get)),
    };
    if workers == 1 {
        return texts.iter().map(|text| splitter.places(*text)).collect();
    }
    // Each worker takes the next text when it is done with one, so a long one holds nobody up.
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(text) = texts.get(index) else { return done };
            done.push((index, splitter.places(*text)));
        }
    };
    let mut done = thread::scope(|scope| {
        let helpers: Vec<_> = (1..workers)
            // A thread that cannot be had is one worker fewer, not an error.
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut done = work();
        for helper in helpers {
            match helper.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, chunks)| chunks).collect()
}
