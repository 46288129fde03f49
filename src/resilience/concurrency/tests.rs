//! The line, seen from outside: order, leaving, random callers, many threads.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use proptest::prelude::*;
use tokio::time::{sleep, timeout};

use super::simulation::{milliseconds, simulate};

use super::*;

fn fixed(limit: usize) -> Concurrency {
    let algorithm = Algorithm::Fixed;
    let initial = Some(limit);
    Concurrency::new(ConcurrencySettings { algorithm, initial, ..Default::default() }).unwrap()
}

fn at_once(concurrency: &Concurrency) -> Option<Slot> {
    concurrency.acquire().now_or_never()
}

#[test]
fn without_a_limit_all_are_let_in_until_the_first_refusal() {
    simulate(async {
        let concurrency = Concurrency::new(ConcurrencySettings::default()).unwrap();
        let mut slots: Vec<_> = (0..10_000).map(|_| at_once(&concurrency).unwrap()).collect();
        assert_eq!((concurrency.limit(), concurrency.in_flight()), (None, 10_000));
        slots.pop().unwrap().finish(Outcome::Ignored);
        slots.pop().unwrap().finish(Outcome::Success);
        assert_eq!(concurrency.limit(), None);
        slots.pop().unwrap().finish(Outcome::Overloaded);
        assert!(concurrency.limit().unwrap() < 9_998);
        assert!(at_once(&concurrency).is_none(), "more are under way than may be");
    });
}

#[test]
fn the_line_is_first_come_first_served_and_can_be_left() {
    simulate(async {
        let concurrency = fixed(1);
        let slot = at_once(&concurrency).unwrap();
        let order = RefCell::new(Vec::new());
        let caller = |name: usize| {
            let (concurrency, order) = (&concurrency, &order);
            async move {
                let slot = concurrency.acquire().await;
                order.borrow_mut().push(name);
                sleep(milliseconds(1.0)).await;
                slot.finish(Outcome::Success);
            }
        };
        let leaves =
            timeout(milliseconds(5.0), concurrency.acquire()).map(|end| assert!(end.is_err()));
        let (first, rest) = (caller(0), join_all((1..5).map(caller)));
        let holder = async {
            sleep(milliseconds(2.0)).await;
            assert_eq!(concurrency.waiting(), 6);
            sleep(milliseconds(8.0)).await;
            assert_eq!(concurrency.waiting(), 5, "one has left the middle of the line");
            drop(slot);
        };
        tokio::join!(first, leaves, rest, holder);
        assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
        assert_eq!(concurrency.in_flight(), 0);
    });
}

#[test]
fn a_grant_that_nobody_took_goes_to_the_next() {
    simulate(async {
        let concurrency = fixed(1);
        let slot = at_once(&concurrency).unwrap();
        let mut left = Box::pin(concurrency.acquire());
        let mut next = Box::pin(concurrency.acquire());
        assert!((&mut left).now_or_never().is_none() && (&mut next).now_or_never().is_none());
        slot.finish(Outcome::Success);
        drop(left);
        assert!(next.now_or_never().is_some());
    });
}

#[test]
fn unusable_settings_are_refused_by_name() {
    let usual = ConcurrencySettings::default();
    let gradient = |tolerance, smoothing, long_window| ConcurrencySettings {
        algorithm: Algorithm::Gradient2 { tolerance, smoothing, long_window, queue: 4 },
        ..usual
    };
    for (settings, field) in [
        (ConcurrencySettings { minimum: 0, ..usual }, "minimum"),
        (ConcurrencySettings { minimum: 5, maximum: 4, ..usual }, "maximum"),
        (ConcurrencySettings { initial: Some(10_001), ..usual }, "initial"),
        (ConcurrencySettings { algorithm: Algorithm::Fixed, ..usual }, "initial"),
        (ConcurrencySettings { algorithm: Algorithm::Aimd { backoff: 1.0 }, ..usual }, "backoff"),
        (gradient(f64::NAN, 0.2, 600), "tolerance"),
        (gradient(1.5, 0.0, 600), "smoothing"),
        (gradient(1.5, 0.2, 0), "long_window"),
    ] {
        let error = Concurrency::new(settings).unwrap_err();
        assert!(error.message().contains(&format!("'{field}'")), "{error}");
    }
    let settings = ConcurrencySettings { algorithm: Algorithm::GRADIENT2, ..usual };
    assert_eq!(Concurrency::new(settings).unwrap().limit(), Some(20));
}

#[test]
fn threads_share_one_limit() {
    let concurrency = fixed(3);
    let inside = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                simulate(async {
                    for _ in 0..500 {
                        let slot = concurrency.acquire().await;
                        let before = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert!(before < 3);
                        std::thread::yield_now();
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(slot);
                    }
                });
            });
        }
    });
    assert_eq!((concurrency.in_flight(), concurrency.waiting()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Callers that finish, vanish and give up at random: nobody waits for ever, no slot is lost, and the
    /// limit holds except for those that were let in before it fell.
    #[test]
    fn no_slot_is_lost_and_no_limit_broken(
        callers in prop::collection::vec((0_u64..300, 0_u64..50, 0_u8..6, 1_u64..400), 1..120),
        algorithm in prop::sample::select(vec![
            Algorithm::Fixed, Algorithm::default(), Algorithm::GRADIENT2,
        ]),
        initial in 1_usize..12,
    ) {
        let settings =
            ConcurrencySettings { algorithm, initial: Some(initial), maximum: 20, ..Default::default() };
        let concurrency = Concurrency::new(settings).unwrap();
        // After each change.
        let limits = RefCell::new(vec![initial]);
        let served = simulate(join_all(callers.iter().map(|&(arrives, works, fate, patience)| {
            let (concurrency, limits) = (&concurrency, &limits);
            async move {
                sleep(Duration::from_millis(arrives)).await;
                let patience = if fate == 0 { patience } else { u64::from(u32::MAX) };
                let asked = limits.borrow().len() - 1;
                let waited = timeout(Duration::from_millis(patience), concurrency.acquire()).await;
                let Ok(slot) = waited else { return fate == 0 };
                // It was let in under one of the limits since: a slot rests until its time, and others are refused
                // meanwhile.
                let highest = *limits.borrow()[asked..].iter().max().unwrap();
                assert!(concurrency.in_flight() <= highest);
                sleep(Duration::from_millis(works)).await;
                match fate {
                    1 => drop(slot),
                    2 => slot.finish(Outcome::Overloaded),
                    3 => slot.finish(Outcome::Ignored),
                    _ => slot.finish(Outcome::Success),
                }
                limits.borrow_mut().push(concurrency.limit().unwrap());
                true
            }
        })));
        prop_assert!(served.into_iter().all(|served| served), "somebody waited for ever");
        prop_assert_eq!((concurrency.in_flight(), concurrency.waiting()), (0, 0));
        let limit = concurrency.limit().unwrap();
        prop_assert!((1..=20).contains(&limit), "{}", limit);
    }
}
