//! The last outcomes of a breaker's calls, as counts: how many, how many failed, how many were slow.
//!
//! A ring of bytes and three counters, all atomic: a lock held by another thread at a fork would stay
//! locked in the child. Each place is exchanged whole, and the counters follow what came out of it, so
//! they stay exact however calls interleave.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

/// The place holds an outcome.
const USED: u8 = 1;
const FAILED: u8 = 2;
const SLOW: u8 = 4;

#[derive(Debug)]
pub(super) struct Window {
    places: Box<[AtomicU8]>,
    next: AtomicUsize,
    calls: AtomicU32,
    failures: AtomicU32,
    slow: AtomicU32,
}

/// What a [`Window`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u32,
    pub(super) failures: u32,
    pub(super) slow: u32,
}

impl Window {
    /// Holds the last `size` outcomes, at least one.
    pub(super) fn new(size: usize) -> Self {
        Self {
            places: (0..size.max(1)).map(|_| AtomicU8::new(0)).collect(),
            next: AtomicUsize::new(0),
            calls: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            slow: AtomicU32::new(0),
        }
    }

    /// Takes an outcome in, for the oldest one.
    pub(super) fn record(&self, failed: bool, slow: bool) -> Counts {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % self.places.len();
        let outcome = USED | if failed { FAILED } else { 0 } | if slow { SLOW } else { 0 };
        if let Some(place) = self.places.get(place) {
            let before = place.swap(outcome, Ordering::AcqRel);
            for (counter, mark) in self.counters() {
                match (before & mark != 0, outcome & mark != 0) {
                    (false, true) => counter.fetch_add(1, Ordering::AcqRel),
                    (true, false) => counter.fetch_sub(1, Ordering::AcqRel),
                    _ => 0,
                };
            }
        }
        self.counts()
    }

    /// Forgets every outcome.
    pub(super) fn clear(&self) {
        for place in &self.places {
            let before = place.swap(0, Ordering::AcqRel);
            for (counter, mark) in self.counters() {
                if before & mark != 0 {
                    counter.fetch_sub(1, Ordering::AcqRel);
                }
            }
        }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            calls: self.calls.load(Ordering::Acquire),
            failures: self.failures.load(Ordering::Acquire),
            slow: self.slow.load(Ordering::Acquire),
        }
    }

    fn counters(&self) -> [(&AtomicU32, u8); 3] {
        [(&self.calls, USED), (&self.failures, FAILED), (&self.slow, SLOW)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_counts_are_those_of_the_last_outcomes(
            size in 1_usize..20,
            outcomes in proptest::collection::vec(any::<(bool, bool)>(), 0..100),
        ) {
            let window = Window::new(size);
            for (failed, slow) in &outcomes {
                window.record(*failed, *slow);
            }
            let last = &outcomes[outcomes.len().saturating_sub(size)..];
            let whole = |count| u32::try_from(count).unwrap();
            let count = |of: fn(&&(bool, bool)) -> bool| whole(last.iter().filter(of).count());
            let expected = Counts {
                calls: whole(last.len()),
                failures: count(|outcome| outcome.0),
                slow: count(|outcome| outcome.1),
            };
            prop_assert_eq!(window.counts(), expected);
            window.clear();
            prop_assert_eq!(window.counts(), Counts { calls: 0, failures: 0, slow: 0 });
        }
    }

    #[test]
    fn threads_lose_no_count() {
        let window = Window::new(64);
        std::thread::scope(|scope| {
            for thread in 0..8_usize {
                let window = &window;
                scope.spawn(move || {
                    for call in 0..1000 {
                        window.record((call + thread) % 2 == 0, call % 3 == 0);
                        if call % 100 == 0 {
                            window.clear();
                        }
                    }
                });
            }
        });
        for _ in 0..64 {
            window.record(true, false);
        }
        assert_eq!(window.counts(), Counts { calls: 64, failures: 64, slow: 0 });
    }
}
