//! Who is asked next: the order of a client's providers, and which of them are better left alone for now.
//!
//! It refuses to move on from a request that every provider would refuse (400, 413, 422, a bad argument):
//! the second bill would bring the same error. What no other provider can share in, it moves on from: no
//! answer, 5xx, 429 after its retries, an open breaker, an exhausted quota, a wrong key, a missing model,
//! an answer that cannot be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::share;
use crate::error::{Error, Kind, Result};

/// How long one that needs its owner (quota, key, permission, model) is asked last.
const COOLING: Duration = Duration::from_secs(60);

/// Which provider is asked first.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Order {
    /// As they are listed.
    #[default]
    Listed,
    /// Drawn by these weights, one for each, each time anew; the others follow as they are listed.
    Weighted(Vec<f64>),
}

/// The providers of one client, by their positions. A clone shares what is known of them.
#[derive(Clone, Debug)]
pub(super) struct Failover {
    order: Order,
    birth: Instant,
    /// Milliseconds since `birth` until which each is asked last. Atomics, for the sake of forks.
    cooling: Arc<[AtomicU64]>,
}

impl Failover {
    /// Of a client with one provider.
    pub(super) fn single() -> Self {
        let cooling = Arc::new([AtomicU64::new(0)]);
        Self { order: Order::Listed, birth: Instant::now(), cooling }
    }

    /// `count` providers in `order`.
    ///
    /// # Errors
    /// [`Kind::Validation`] when the weights are not as many, or one of them is no positive number.
    pub(super) fn new(count: usize, order: Order) -> Result<Self> {
        if let Order::Weighted(weights) = &order {
            let refused = |value: &str, text: &str| Error::validation("weights", Some(value), text);
            if weights.len() != count {
                let text = format!("weights must be one for each of the {count} models");
                return Err(refused(&weights.len().to_string(), &text));
            }
            if let Some(odd) =
                weights.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0))
            {
                return Err(refused(&odd.to_string(), "weights must be finite and not negative"));
            }
            share("weights", weights.iter().sum::<f64>().min(1.0), false)?;
        }
        let cooling = (0..count).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { order, birth: Instant::now(), cooling })
    }

    /// The positions in the order in which they are to be asked now.
    pub(super) fn sequence(&self) -> Vec<usize> {
        let now = self.now();
        let cools = |position: &usize| {
            self.cooling.get(*position).is_some_and(|until| until.load(Ordering::Relaxed) > now)
        };
        let (mut last, mut first): (Vec<usize>, Vec<usize>) =
            (0..self.cooling.len()).partition(cools);
        if let Order::Weighted(weights) = &self.order {
            let weight = |position: &usize| weights.get(*position).copied().unwrap_or_default();
            let mut drawn = fastrand::f64() * first.iter().map(weight).sum::<f64>();
            let hit = first.iter().position(|position| {
                drawn -= weight(position);
                drawn < 0.0
            });
            if let Some(before) = hit.and_then(|hit| first.get_mut(..=hit)) {
                before.rotate_right(1);
            }
        }
        first.append(&mut last);
        first
    }

    /// Whether another provider may do better than the one that failed so, which is remembered.
    pub(super) fn moves_on(&self, position: usize, error: &Error) -> bool {
        use Kind::{
            Authentication, CircuitOpen, Configuration, Decode, Network, NotFound,
            PermissionDenied, QuotaExhausted, RateLimited, Server, Stream, Timeout, Unsupported,
        };
        let needs_owner =
            matches!(error.kind(), Authentication | PermissionDenied | NotFound | QuotaExhausted);
        if needs_owner && let Some(until) = self.cooling.get(position) {
            let cooling = u64::try_from(COOLING.as_millis()).unwrap_or(u64::MAX);
            until.store(self.now().saturating_add(cooling), Ordering::Relaxed);
        }
        let theirs = matches!(
            error.kind(),
            CircuitOpen
                | Configuration
                | Decode
                | Network
                | RateLimited
                | Server
                | Stream
                | Timeout
                | Unsupported
        );
        needs_owner || theirs
    }

    fn now(&self) -> u64 {
        u64::try_from(self.birth.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what #[tokio::test] expands to")]
mod tests {
    use super::*;

    #[test]
    fn listed_ones_are_asked_as_they_are_listed() {
        let failover = Failover::new(3, Order::Listed).unwrap();
        assert_eq!(failover.sequence(), [0, 1, 2]);
    }

    #[test]
    fn weights_say_who_is_asked_first_and_nobody_is_left_out() {
        let failover = Failover::new(3, Order::Weighted(vec![1.0, 0.0, 3.0])).unwrap();
        let mut first = [0; 3];
        for _ in 0..4000 {
            let sequence = failover.sequence();
            first[sequence[0]] += 1;
            let mut sorted = sequence.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2]);
            assert!(sequence[1] < sequence[2], "the others follow as listed: {sequence:?}");
        }
        assert!(first[1] == 0 && (800..1200).contains(&first[0]), "{first:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_needs_its_owner_is_asked_last_for_a_minute() {
        let failover = Failover::new(3, Order::Listed).unwrap();
        assert!(failover.moves_on(0, &Error::new(Kind::QuotaExhausted, "")));
        assert_eq!(failover.sequence(), [1, 2, 0]);
        assert!(failover.moves_on(1, &Error::new(Kind::Server, "")));
        assert_eq!(failover.sequence(), [1, 2, 0], "its breaker minds a server");
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(failover.sequence(), [0, 1, 2]);
    }

    #[test]
    fn a_request_that_all_would_refuse_stays() {
        let failover = Failover::new(2, Order::Listed).unwrap();
        for kind in [Kind::BadRequest, Kind::Validation, Kind::Cancelled, Kind::Callback] {
            assert!(!failover.moves_on(0, &Error::new(kind, "")), "{kind}");
        }
    }

    #[test]
    fn weights_that_make_no_sense_are_refused() {
        for weights in [vec![1.0], vec![1.0, -1.0], vec![f64::NAN, 1.0], vec![0.0, 0.0]] {
            let error = Failover::new(2, Order::Weighted(weights)).unwrap_err();
            assert!(error.message().contains("weights"), "{error}");
        }
    }
}
