//! How fast an ingest goes lately, and how long it will still take.
//!
//! Lately, because the beginning of an ingest says little of its rest: what the store holds already goes by
//! many times as fast as what must be embedded. It refuses to guess while more documents may come.

use std::collections::VecDeque;

use super::progress::Counts;

/// Seconds that are looked back on.
const WINDOW: f64 = 10.0;
/// More than there are reports in a window.
const SAMPLES: usize = 256;

/// Documents that had an outcome and chunks that had been embedded, at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    seconds: f64,
    documents: usize,
    chunks: usize,
}

/// The counts of the last seconds.
#[derive(Debug)]
pub(super) struct Speed(VecDeque<Sample>);

/// What they say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Forecast {
    /// Documents a second.
    pub(super) documents: f64,
    /// Chunks a second.
    pub(super) chunks: f64,
    /// Seconds to go; `None` while nobody can know.
    pub(super) eta: Option<f64>,
}

impl Speed {
    /// From the beginning of an ingest on.
    pub(super) fn new() -> Self {
        Self(VecDeque::from([Sample::default()]))
    }

    /// Takes what had been reached `seconds` after the beginning.
    pub(super) fn forecast(&mut self, counts: &Counts, seconds: f64) -> Forecast {
        // One from before the window stays: there is always something to compare with.
        while self.0.get(1).is_some_and(|next| next.seconds <= seconds - WINDOW)
            || self.0.len() >= SAMPLES
        {
            self.0.pop_front();
        }
        let now = Sample { seconds, documents: counts.settled(), chunks: counts.chunks_done };
        let then = self.0.front().copied().unwrap_or_default();
        self.0.push_back(now);
        let passed = seconds - then.seconds;
        let documents = rate(now.documents.saturating_sub(then.documents), passed);
        let chunks = rate(now.chunks.saturating_sub(then.chunks), passed);
        Forecast { documents, chunks, eta: eta(counts, seconds, documents, chunks) }
    }
}

/// The longer of two estimates: by documents, which knows nothing of their sizes, and by chunks, which knows
/// nothing of documents that are not embedded.
fn eta(counts: &Counts, seconds: f64, documents: f64, chunks: f64) -> Option<f64> {
    if counts.finished {
        return Some(0.0);
    }
    if !counts.all_found {
        return None;
    }
    let wait = |left: f64, done: usize, lately: f64| {
        // When nothing came lately, what came before must do.
        let rate = if lately > 0.0 { lately } else { rate(done, seconds) };
        if left <= 0.0 { Some(0.0) } else { (rate > 0.0).then(|| left / rate) }
    };
    let unsettled = counts.documents_total.saturating_sub(counts.settled());
    let uncut = counts.documents_total.saturating_sub(counts.documents_cut);
    let waiting = counts.chunks_total.saturating_sub(counts.chunks_done);
    let by_documents = wait(number(unsettled), counts.settled(), documents);
    let by_chunks = (counts.documents_cut > 0).then(|| {
        let usual = number(counts.chunks_total) / number(counts.documents_cut);
        wait(number(waiting) + number(uncut) * usual, counts.chunks_done, chunks)
    });
    by_documents.into_iter().chain(by_chunks.flatten()).reduce(f64::max)
}

fn rate(count: usize, seconds: f64) -> f64 {
    if seconds > 0.0 { number(count) / seconds } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
const fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(total: usize, cut: usize, settled: usize, chunks: [usize; 2]) -> Counts {
        Counts {
            documents_total: total,
            all_found: true,
            documents_cut: cut,
            documents_done: settled,
            chunks_done: chunks[0],
            chunks_total: chunks[1],
            ..Counts::default()
        }
    }

    #[test]
    fn what_went_by_unchanged_does_not_promise_a_quick_end() {
        let mut speed = Speed::new();
        let early = speed.forecast(&counts(2000, 1000, 1000, [0, 0]), 1.0);
        assert_eq!((early.documents, early.eta), (1000.0, Some(1.0)));
        for second in 2..30_u32 {
            let done = 999 + second as usize;
            speed.forecast(&counts(2000, done + 100, done, [0, 0]), f64::from(second));
        }
        let late = speed.forecast(&counts(2000, 1129, 1029, [0, 0]), 30.0);
        assert_eq!(late, Forecast { documents: 1.0, chunks: 0.0, eta: Some(971.0) });
    }

    #[test]
    fn one_large_document_is_timed_by_its_chunks() {
        let mut speed = Speed::new();
        let half = speed.forecast(&counts(1, 1, 0, [500, 1000]), 5.0);
        assert_eq!(half, Forecast { documents: 0.0, chunks: 100.0, eta: Some(5.0) });
    }

    #[test]
    fn a_standstill_counts_on_what_went_before() {
        let mut speed = Speed::new();
        speed.forecast(&counts(20, 20, 10, [10, 20]), 10.0);
        let stalled = speed.forecast(&counts(20, 20, 10, [10, 20]), 40.0);
        assert_eq!(stalled, Forecast { documents: 0.0, chunks: 0.0, eta: Some(40.0) });
    }

    #[test]
    fn nobody_knows_the_end_of_what_is_still_drawn() {
        let drawn = Counts { all_found: false, ..counts(10, 10, 5, [5, 10]) };
        assert_eq!(Speed::new().forecast(&drawn, 1.0).eta, None);
        let ended = Counts { finished: true, ..drawn };
        assert_eq!(Speed::new().forecast(&ended, 1.0).eta, Some(0.0));
        assert_eq!(Speed::new().forecast(&counts(10, 0, 0, [0, 0]), 1.0).eta, None);
    }
}
