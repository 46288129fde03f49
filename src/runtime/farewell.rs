//! A last word: work that is started when the value that holds it is dropped.
//!
//! For what a server must be told when nobody waits any more, such as that something paid by the second
//! can stop. Ctrl-C usually ends the process a moment later, so whoever ends it first gives the words
//! that are owed a short time to get out ([`say_farewells`]). It refuses to hold an exit up for long, and
//! to speak in a forked child, where the word is the parent's to say.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{generation, per_process, slot, spawn};

/// How long an exit waits for work that was just given up to be dropped.
const SETTLING: Duration = Duration::from_millis(100);
/// How long an exit waits for words under way: a new connection and a reply.
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(1);

#[derive(Default)]
struct Counts {
    /// Values that may yet be dropped.
    owed: AtomicUsize,
    /// Words on their way.
    under_way: AtomicUsize,
}

/// Counts one as long as it lives.
struct Counted(&'static AtomicUsize);

impl Counted {
    fn new(counter: &'static AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(counter)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Work that dropping this starts, on the runtime and on its own; see the module documentation.
pub struct Farewell {
    generation: u64,
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Dropped last, after the word has been counted as under way: an exit sees one or the other.
    _owed: Option<Counted>,
}

impl Farewell {
    /// Nothing runs until this is dropped.
    #[must_use]
    pub fn new(work: impl Future<Output = ()> + Send + 'static) -> Self {
        let owed = per_process::<Counts>().ok().map(|counts| Counted::new(&counts.owed));
        Self { generation: generation(), work: Some(Box::pin(work)), _owed: owed }
    }

    /// It has become needless.
    pub fn forget(mut self) {
        self.work = None;
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if self.generation != generation() {
            return;
        }
        let (Some(work), Ok(counts)) = (self.work.take(), per_process::<Counts>()) else { return };
        let under_way = Counted::new(&counts.under_way);
        spawn(async move {
            work.await;
            drop(under_way);
            Ok(())
        })
        .detach();
    }
}

/// Blocks until every word under way has been said, for two seconds at most. Called by whoever is
/// about to end the process; costs nothing when nothing is owed.
pub fn say_farewells() {
    if slot::existing().is_none() {
        return;
    }
    let Ok(counts) = per_process::<Counts>() else { return };
    let started = Instant::now();
    loop {
        let waited = started.elapsed();
        let owed = counts.owed.load(Ordering::SeqCst) > 0 && waited < SETTLING;
        let under_way = counts.under_way.load(Ordering::SeqCst) > 0 && waited < PATIENCE;
        if !owed && !under_way {
            return;
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn word(said: &Arc<AtomicBool>) -> Farewell {
        let said = Arc::clone(said);
        Farewell::new(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            said.store(true, Ordering::SeqCst);
        })
    }

    #[test]
    fn a_dropped_word_is_said_before_the_exit_and_a_forgotten_one_never() {
        let (dropped, forgotten) = (Arc::default(), Arc::default());
        word(&forgotten).forget();
        drop(word(&dropped));
        say_farewells();
        assert!(dropped.load(Ordering::SeqCst));
        assert!(!forgotten.load(Ordering::SeqCst));
    }

    #[test]
    fn what_is_still_held_does_not_hold_up_an_exit() {
        let held = word(&Arc::default());
        let started = Instant::now();
        say_farewells();
        assert!(started.elapsed() < PATIENCE);
        held.forget();
    }
}
