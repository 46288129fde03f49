//! Numbers of one client's calls. Atomics only, so reading never waits for a call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counters of logical calls; retries inside a call are not counted.
#[derive(Debug)]
pub struct CallStats {
    birth: Instant,
    total: AtomicU64,
    successful: AtomicU64,
    failed: AtomicU64,
    microseconds: AtomicU64,
}

/// What [`CallStats`] held at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StatsSnapshot {
    /// Calls started, those under way and cancelled ones included.
    pub total_requests: u64,
    /// Calls that returned an answer.
    pub successful_requests: u64,
    /// Calls that returned an error, those refused by the breaker included.
    pub failed_requests: u64,
    /// `successful_requests / total_requests`; 0.0 without calls.
    pub success_rate: f64,
    /// Mean duration of the successful calls in milliseconds, pauses included; 0.0 without any.
    pub average_response_time_ms: f64,
    /// Since the client was made; not reset.
    pub uptime: Duration,
}

impl Default for CallStats {
    fn default() -> Self {
        Self {
            birth: Instant::now(),
            total: AtomicU64::new(0),
            successful: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            microseconds: AtomicU64::new(0),
        }
    }
}

impl CallStats {
    /// A call starts.
    pub fn begin(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    /// A call has returned after `elapsed`.
    pub fn end(&self, elapsed: Duration, success: bool) {
        if success {
            let microseconds = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
            self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
            self.successful.fetch_add(1, Ordering::Relaxed);
        } else {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The numbers now.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub fn snapshot(&self) -> StatsSnapshot {
        let total = self.total.load(Ordering::Relaxed);
        let successful = self.successful.load(Ordering::Relaxed);
        let milliseconds = self.microseconds.load(Ordering::Relaxed) as f64 / 1000.0;
        let over = |value: f64, count: u64| if count == 0 { 0.0 } else { value / count as f64 };
        StatsSnapshot {
            total_requests: total,
            successful_requests: successful,
            failed_requests: self.failed.load(Ordering::Relaxed),
            success_rate: over(successful as f64, total),
            average_response_time_ms: over(milliseconds, successful),
            uptime: self.birth.elapsed(),
        }
    }

    /// Sets every counter to zero; the uptime goes on.
    pub fn reset(&self) {
        for counter in [&self.total, &self.successful, &self.failed, &self.microseconds] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_averages_follow_the_counts() {
        let stats = CallStats::default();
        assert_eq!(stats.snapshot().success_rate.to_bits(), 0.0_f64.to_bits());
        for (milliseconds, success) in [(100, true), (300, true), (900, false)] {
            stats.begin();
            stats.end(Duration::from_millis(milliseconds), success);
        }
        stats.begin();
        let now = stats.snapshot();
        assert_eq!((now.total_requests, now.successful_requests, now.failed_requests), (4, 2, 1));
        assert!((now.success_rate - 0.5).abs() < 1e-9);
        assert!((now.average_response_time_ms - 200.0).abs() < 1e-9);
        stats.reset();
        assert_eq!(stats.snapshot().total_requests, 0);
    }
}
