//! Counting many texts at once, on all cores.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::tokenizer::Tokenizer;
use crate::error::{Error, Kind, Result};

/// Below this many bytes a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 512 * 1024;

impl Tokenizer {
    /// How many tokens each text has, in order; large batches use up to `workers` threads, by default
    /// one a core. The threads are gone when this returns; a panic in one goes on in the caller.
    ///
    /// # Errors
    /// [`Kind::Parameter`] if `workers` is 0.
    pub fn count_many(&self, texts: &[&str], workers: Option<usize>) -> Result<Vec<usize>> {
        if workers == Some(0) {
            let message = "max_workers: 0 threads cannot count; pass at least 1, or nothing";
            return Err(Error::new(Kind::Parameter, message));
        }
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        let useful = texts.len().min(bytes / WORTH_A_THREAD);
        let threads = match useful {
            0 | 1 => 1,
            // Asking for the number of cores reads files; small batches are done before that.
            _ => useful.min(
                workers.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get)),
            ),
        };
        if threads == 1 {
            return Ok(texts.iter().map(|text| self.count(text)).collect());
        }
        // Each thread takes the next text when it is done with one, so a long one holds nobody up.
        let counts: Vec<AtomicUsize> = texts.iter().map(|_| AtomicUsize::new(0)).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let (Some(text), Some(count)) = (texts.get(index), counts.get(index)) else {
                    return;
                };
                count.store(self.count(text), Ordering::Relaxed);
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                // A thread that cannot be had is one fewer, not an error.
                if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
        });
        Ok(counts.into_iter().map(AtomicUsize::into_inner).collect())
    }
}
