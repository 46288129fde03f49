//! Tells refusals that the limit causes from those that come whatever the limit is.
//!
//! A server that answers 503 to one call in a hundred at random would drive any AIMD limit into the
//! ground, though it carries the load well. Refusals caused by the limit stop once it is lowered, until it
//! is back at about its old value. So when round follows round before the limit has regained what it had
//! at the first, although most calls succeed, the limit is not the cause: it is restored, and that share
//! of refusals is tolerated for a while. What is learned wrongly costs little, for it is forgotten soon,
//! and a limit far too high is refused far more. It is made for a few per cent: of a small limit, a fifth
//! refused at random looks like a limit that is too high, and is taken for one.

use std::time::Duration;

use tokio::time::Instant;

/// Rounds without recovery between them that clear the limit of suspicion.
const ROUNDS: u32 = 5;
/// A limit that was back at this share of its old value has recovered.
const RECOVERED: f64 = 0.95;
/// A larger share of refusals is never noise.
const MOST: f64 = 0.3;
/// Standard deviations (of a Poisson count) above what is tolerated.
const DEVIATIONS: f64 = 3.0;
/// Calls without which a share means nothing.
const FEWEST: f64 = 10.0;
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Noise {
    /// The share of refusals that is tolerated, and when it was learned.
    tolerated: Option<(f64, Instant)>,
    window: Option<Count>,
    series: Option<Series>,
}

/// Attempts that have ended since a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    began: Instant,
    finished: f64,
    refused: f64,
}

/// Rounds in a row.
#[derive(Clone, Copy, Debug)]
struct Series {
    /// The limit that the first of them lowered.
    width: f64,
    rounds: u32,
    count: Count,
}

impl Count {
    pub(super) fn new(began: Instant) -> Self {
        Self { began, finished: 0.0, refused: 0.0 }
    }

    pub(super) fn add(&mut self, refused: bool) {
        self.finished += 1.0;
        self.refused += if refused { 1.0 } else { 0.0 };
    }

    /// Whether more was refused than can be noise.
    pub(super) fn is_too_much(&self) -> bool {
        self.refused > self.finished * MOST
    }
}

impl Noise {
    /// An attempt has ended. Shares are looked at over `span` and ten calls at least.
    pub(super) fn count(&mut self, now: Instant, span: Duration, refused: bool) {
        let window = self.window.get_or_insert(Count::new(now));
        if now.saturating_duration_since(window.began) >= span && window.finished >= FEWEST {
            *window = Count::new(now);
        }
        window.add(refused);
        if let Some(series) = &mut self.series {
            series.count.add(refused);
        }
        let old = |at: Instant| now.saturating_duration_since(at) >= FORGOTTEN_AFTER;
        self.tolerated = self.tolerated.filter(|(_, learned)| !old(*learned));
    }

    /// Whether the refusals just counted are no more than usual.
    pub(super) fn tolerates(&self) -> bool {
        let (Some((share, _)), Some(window)) = (self.tolerated, self.window) else { return false };
        let usual = share * window.finished;
        window.refused <= usual + DEVIATIONS * usual.sqrt()
    }

    /// A round is about to lower a limit of `width`; `cause` says that the last one was no noise. The limit
    /// to go back to, when this one is no more to blame than those before.
    ///
    /// A limit below `least` is a pace, and whether that is too fast is no matter of chance.
    pub(super) fn acquits(
        &mut self,
        now: Instant,
        width: f64,
        least: f64,
        cause: bool,
    ) -> Option<f64> {
        let goes_on =
            |series: &Series| !cause && series.width >= least && width < series.width * RECOVERED;
        let series = self.series.filter(goes_on);
        let Some(mut series) = series else {
            self.series = Some(Series { width, rounds: 0, count: Count::new(now) });
            return None;
        };
        series.rounds = series.rounds.saturating_add(1);
        self.series = Some(series);
        let Count { finished, refused, .. } = series.count;
        if series.rounds < ROUNDS || finished < FEWEST {
            return None;
        }
        self.series = None;
        if series.count.is_too_much() {
            return None;
        }
        self.tolerated = Some((refused / finished, now));
        self.window = None;
        Some(series.width)
    }
}
