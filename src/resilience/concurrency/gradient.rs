//! Gradient2: the limit follows how present latency compares with what is usual.
//!
//! For servers that queue rather than refuse. The idea and the starting parameters are those that Netflix
//! published with concurrency-limits: limit ← limit · gradient + queue, with gradient = tolerance ·
//! usual / present between 0.5 and 1, smoothed. The `queue` is what lets it grow at all; a limit under
//! half used says nothing and stays; a usual latency far above the present one is out of date and decays.
//!
//! One thing is added. Under a load that never lets up, the usual latency slowly takes on the delay that
//! the limit itself causes, and the limit rises for ever. So now and then the limit is halved for one
//! measurement. What is measured then is at most the usual latency; and if it fell about as much as the
//! limit did, there was a queue, and the limit stays where it is.
//!
//! Latency is averaged over measurements of at least [`SAMPLES`] calls and [`SPAN`], since one call's is
//! noise. Compare like with like: where answers differ much in length, so do latencies, and AIMD is the
//! better choice.

use std::time::Duration;

use tokio::time::Instant;

use super::{Decision, Outcome, Sample, real, whole};

/// Calls in one measurement.
const SAMPLES: u32 = 10;
/// The shortest measurement.
const SPAN: Duration = Duration::from_millis(100);
/// Measurements averaged plainly before the exponential average takes over.
const WARM_UP: u32 = 10;
/// A usual latency this many times the present one is out of date.
const OUT_OF_DATE: f64 = 2.0;
const DECAY: f64 = 0.95;
/// Measurements, and present latencies, between two halvings.
const HALVING_EVERY: u32 = 60;
const HALVING_LATENCIES: u32 = 30;
/// Latency has fallen with the halved limit when it is below this share.
const FELL: f64 = 0.6;
/// What a refusal multiplies the limit by.
const BACKOFF: f64 = 0.9;

#[derive(Debug)]
pub(super) struct Gradient2 {
    tolerance: f64,
    smoothing: f64,
    long_window: u32,
    queue: f64,
    bounds: (usize, usize),
    width: f64,
    /// The usual latency in seconds.
    usual: f64,
    measured: u32,
    measurement: Option<Measurement>,
    lowered_at: Option<Instant>,
    halved: Option<Halved>,
    /// Measurements left until the next halving.
    until_halving: u32,
    /// Only attempts from then on belong to the present limit.
    valid_from: Option<Instant>,
}

/// What was before the limit was halved for a measurement.
#[derive(Clone, Copy, Debug)]
struct Halved {
    width: f64,
    latency: f64,
}

#[derive(Clone, Copy, Debug)]
struct Measurement {
    began: Instant,
    calls: u32,
    /// Seconds.
    latency: f64,
    most_in_flight: usize,
}

impl Gradient2 {
    pub(super) fn new(
        tolerance: f64,
        smoothing: f64,
        long_window: u32,
        queue: u32,
        start: usize,
        bounds: (usize, usize),
    ) -> Self {
        Self {
            tolerance,
            smoothing,
            long_window,
            queue: f64::from(queue),
            bounds,
            width: real(start),
            usual: 0.0,
            measured: 0,
            measurement: None,
            lowered_at: None,
            halved: None,
            until_halving: WARM_UP,
            valid_from: None,
        }
    }

    pub(super) fn limit(&self) -> usize {
        whole(self.width, self.bounds.0, self.bounds.1)
    }

    pub(super) fn observe(&mut self, sample: &Sample) -> Option<Decision> {
        match sample.outcome {
            Outcome::Ignored => None,
            Outcome::Overloaded => self.refused(sample),
            Outcome::Success => {
                self.succeeded(sample);
                None
            }
        }
    }

    fn succeeded(&mut self, sample: &Sample) {
        if self.valid_from.is_some_and(|from| sample.started < from) {
            return;
        }
        let took = sample.now.saturating_duration_since(sample.started).as_secs_f64();
        let measurement = self.measurement.get_or_insert(Measurement {
            began: sample.now,
            calls: 0,
            latency: 0.0,
            most_in_flight: 0,
        });
        measurement.calls = measurement.calls.saturating_add(1);
        measurement.latency += took;
        measurement.most_in_flight = measurement.most_in_flight.max(sample.in_flight);
        let span = sample.now.saturating_duration_since(measurement.began);
        if measurement.calls >= SAMPLES && span >= SPAN {
            let present = measurement.latency / f64::from(measurement.calls);
            let most = measurement.most_in_flight;
            self.measurement = None;
            self.adjust(present, most, sample.now);
        }
    }

    fn adjust(&mut self, present: f64, most_in_flight: usize, now: Instant) {
        if let Some(before) = self.halved.take() {
            self.usual = self.usual.min(present);
            if present > before.latency * FELL {
                self.width = before.width;
            }
            return;
        }
        self.measured = self.measured.saturating_add(1);
        let weight = if self.measured <= WARM_UP {
            1.0 / f64::from(self.measured)
        } else {
            2.0 / (f64::from(self.long_window) + 1.0)
        };
        self.usual += (present - self.usual) * weight;
        if self.usual > present * OUT_OF_DATE {
            self.usual *= DECAY;
        }
        if real(most_in_flight) < self.width / 2.0 {
            return;
        }
        let gradient = (self.tolerance * self.usual / present.max(1e-9)).clamp(0.5, 1.0);
        let target = self.width * gradient + self.queue;
        let width = self.width + (target - self.width) * self.smoothing;
        self.width = width.clamp(real(self.bounds.0), real(self.bounds.1));
        self.until_halving = self.until_halving.saturating_sub(1);
        let pause = Duration::from_secs_f64(present).saturating_mul(HALVING_LATENCIES);
        let rested = self.valid_from.is_none_or(|from| now.saturating_duration_since(from) > pause);
        if self.until_halving == 0 && rested {
            self.halved = Some(Halved { width: self.width, latency: present });
            self.width = (self.width / 2.0).max(real(self.bounds.0));
            self.until_halving = HALVING_EVERY;
            self.valid_from = Some(now);
        }
    }

    fn refused(&mut self, sample: &Sample) -> Option<Decision> {
        // Once a round trip: the others were sent under the same limit.
        let fresh = self.lowered_at.is_none_or(|at| {
            let since = sample.now.saturating_duration_since(at);
            sample.started >= at && since >= SPAN && since.as_secs_f64() >= self.usual
        });
        if !fresh {
            return None;
        }
        let before = Some(self.limit());
        self.width = (self.width * BACKOFF).max(real(self.bounds.0));
        self.lowered_at = Some(sample.now);
        self.measurement = None;
        self.halved = None;
        Some(Decision::Lowered { before, after: self.limit() })
    }
}
