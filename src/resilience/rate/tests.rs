use std::future::Future;
use std::sync::Arc;

use proptest::prelude::*;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::advance;

use super::*;
use crate::error::Kind;

const ALMOST: f64 = 1e-6;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn limit(requests: Option<f64>, tokens: Option<f64>, burst: Duration) -> RateLimit {
    RateLimit::new(RateSettings {
        requests_per_minute: requests,
        tokens_per_minute: tokens,
        burst,
        ..RateSettings::default()
    })
    .unwrap()
}

/// A minute's worth in a second: 10 requests and 1,000 tokens a second, a second of burst.
fn usual() -> RateLimit {
    limit(Some(600.0), Some(60_000.0), ms(1000))
}

/// Runs on a clock that moves only when everybody waits.
fn in_virtual_time<T>(work: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap().block_on(work)
}

/// Lets one caller after the other come, and notes when each was let through, in the order in which
/// they were.
async fn admissions(limit: &RateLimit, callers: &[(u64, u64)]) -> Vec<(usize, Duration)> {
    let started = Instant::now();
    let passed = Arc::new(Mutex::new(Vec::new()));
    let mut running = Vec::new();
    for (number, &(gap, tokens)) in callers.iter().enumerate() {
        sleep(ms(gap)).await;
        let (limit, passed) = (limit.clone(), Arc::clone(&passed));
        running.push(tokio::spawn(async move {
            limit.acquire(tokens).await.settle(None);
            passed.lock().unwrap().push((number, started.elapsed()));
        }));
        yield_now().await;
    }
    for caller in running {
        caller.await.unwrap();
    }
    std::mem::take(&mut *passed.lock().unwrap())
}

/// A caller who has come and got into line.
async fn waiter(limit: &RateLimit, tokens: u64) -> JoinHandle<(Reservation, Instant)> {
    let limit = limit.clone();
    let running = tokio::spawn(async move { (limit.acquire(tokens).await, Instant::now()) });
    yield_now().await;
    running
}

proptest! {
    #[test]
    fn no_window_holds_more_than_the_rate_and_the_burst(
        requests in 1.0..6_000.0_f64,
        tokens in 60.0..600_000.0_f64,
        burst in 0_u64..3_000,
        callers in prop::collection::vec((prop_oneof![Just(0), 0_u64..400], 0_u64..3_000), 1..60),
    ) {
        let limit = limit(Some(requests), Some(tokens), ms(burst));
        let passed = in_virtual_time(admissions(&limit, &callers));
        let order: Vec<_> = passed.iter().map(|(number, _)| *number).collect();
        prop_assert_eq!(order, (0..callers.len()).collect::<Vec<_>>(), "first come, first served");

        let burst = ms(burst).as_secs_f64();
        let held = |rate: f64| (rate / 60.0 * burst).max(1.0);
        for (first, &(_, from)) in passed.iter().enumerate() {
            let (mut sent, mut spent) = (0.0, 0.0);
            for &(number, at) in &passed[first..] {
                let cost = super::number(callers[number].1);
                (sent, spent) = (sent + 1.0, spent + cost);
                let window = (at - from).as_secs_f64();
                prop_assert!(sent <= requests / 60.0 * window + held(requests) + ALMOST);
                // What the last one alone is larger than the bucket is paid off after it.
                let overdrawn = (cost - held(tokens)).max(0.0);
                let most = tokens / 60.0 * window + held(tokens) + overdrawn;
                prop_assert!(spent <= most * (1.0 + ALMOST), "{spent} in {window} s, not {most}");
            }
        }
    }

    #[test]
    fn nobody_waits_longer_than_the_limit_demands(
        tokens in prop::collection::vec(0_u64..5_000, 1..40),
    ) {
        let limit = usual();
        let callers: Vec<_> = tokens.iter().map(|&tokens| (0, tokens)).collect();
        let passed = in_virtual_time(admissions(&limit, &callers));
        // All came at once; whoever waits for more than a full bucket waits for it to be full.
        let spent: u64 = tokens.iter().sum();
        let due = (super::number(spent) / 1_000.0).max(super::number(tokens.len() as u64) / 10.0);
        let slack = 0.002 * super::number(tokens.len() as u64) + 0.001;
        let last = passed.last().unwrap().1.as_secs_f64();
        prop_assert!(last <= due + slack, "{last} s, not {due} s");
    }

    #[test]
    fn what_is_settled_or_cancelled_is_neither_lost_nor_made(
        uses in prop::collection::vec((0_u64..50, prop::option::of(0_u64..50), any::<bool>()), 1..10),
    ) {
        let limit = usual();
        let (requests, tokens) = in_virtual_time(async {
            let (mut requests, mut tokens) = (10.0, 1_000.0);
            let mut held = Vec::new();
            for &(estimate, used, cancelled) in &uses {
                held.push((limit.acquire(estimate).await, used, cancelled));
                if !cancelled {
                    requests -= 1.0;
                    tokens -= super::number(used.unwrap_or(estimate));
                }
            }
            for (reservation, used, cancelled) in held {
                if cancelled { reservation.cancel() } else { reservation.settle(used) }
            }
            (requests, tokens)
        });
        let left = limit.snapshot();
        prop_assert!((left.requests_available.unwrap() - requests).abs() < 1.0, "{left:?}");
        prop_assert!((left.tokens_available.unwrap() - tokens).abs() < 50.0, "{left:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_passes_and_then_the_rate() {
    let limit = limit(Some(600.0), None, ms(1000));
    let passed = admissions(&limit, &[(0, 0); 30]).await;
    assert_eq!(passed[9].1, Duration::ZERO, "a second's worth at once");
    for (number, at) in &passed[10..] {
        let due = ms(100) * u32::try_from(number - 9).unwrap();
        assert!(*at >= due && *at <= due + ms(25), "{number} passed after {at:?}");
    }
    let numbers = limit.snapshot();
    assert_eq!((numbers.requests_per_minute, numbers.tokens_per_minute), (Some(600.0), None));
    assert_eq!(numbers.waiting, 0);
    // 20 callers, of whom the last waited 2 s and the mean 1.05 s.
    assert!((20.0..23.0).contains(&numbers.waited_seconds_total), "{numbers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_larger_than_the_burst_passes_and_is_paid_off() {
    let limit = limit(None, Some(60_000.0), ms(1000));
    limit.acquire(5_000).await.settle(None);
    let started = Instant::now();
    limit.acquire(1).await.settle(None);
    assert!((ms(4000)..ms(4010)).contains(&started.elapsed()), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_large_request_is_not_overtaken_by_small_ones() {
    let limit = usual();
    limit.acquire(1_000).await.settle(None);
    let large = waiter(&limit, 900).await;
    let small = waiter(&limit, 1).await;
    assert_eq!(limit.snapshot().waiting, 2);
    let (_, large) = large.await.unwrap();
    let (_, small) = small.await.unwrap();
    assert!(large <= small);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_waiter_leaves_no_hole() {
    let limit = usual();
    limit.acquire(1_000).await.settle(None);
    let started = Instant::now();
    let head = waiter(&limit, 800).await;
    let middle = waiter(&limit, 700).await;
    let last = waiter(&limit, 300).await;
    assert_eq!(limit.snapshot().waiting, 3);
    middle.abort();
    head.abort();
    let (_, passed) = last.await.unwrap();
    assert!((ms(300)..ms(305)).contains(&(passed - started)), "{:?}", passed - started);
    assert_eq!(limit.snapshot().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_refund_lets_the_head_of_the_line_go_at_once() {
    let limit = usual();
    let overestimated = limit.acquire(1_000).await;
    let head = waiter(&limit, 600).await;
    advance(ms(10)).await;
    let before = Instant::now();
    overestimated.settle(Some(100));
    let (reservation, passed) = head.await.unwrap();
    assert_eq!(passed, before);
    let next = waiter(&limit, 800).await;
    advance(ms(10)).await;
    let before = Instant::now();
    reservation.cancel();
    assert_eq!(next.await.unwrap().1, before);
}

#[tokio::test(start_paused = true)]
async fn what_was_used_beyond_the_estimate_is_paid_off() {
    let limit = limit(None, Some(60_000.0), ms(1000));
    limit.acquire(10).await.settle(Some(3_000));
    let started = Instant::now();
    limit.acquire(1).await.settle(None);
    assert!((ms(2000)..ms(2010)).contains(&started.elapsed()), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn clones_share_one_limit() {
    let (one, other) = (usual(), usual());
    let clone = one.clone();
    for _ in 0..5 {
        one.acquire(0).await.settle(None);
        clone.acquire(0).await.settle(None);
    }
    assert_eq!(one.snapshot().requests_available, Some(0.0));
    assert_eq!(other.snapshot().requests_available, Some(10.0));
}

#[tokio::test(start_paused = true)]
async fn limits_nobody_set_are_learned() {
    let limit = limit(None, None, ms(1000));
    assert_eq!(limit.estimate(|_| 1), 0);
    for _ in 0..1_000 {
        limit.acquire(1_000_000).await.settle(Some(7));
    }
    limit.observe(&Pace {
        limit_requests: Some(600),
        remaining_requests: Some(400),
        limit_tokens: Some(60_000),
        remaining_tokens: Some(250),
        ..Pace::default()
    });
    let numbers = limit.snapshot();
    assert_eq!(limit.estimate(|_| 1), 1);
    assert_eq!(
        (numbers.requests_per_minute, numbers.requests_available),
        (Some(600.0), Some(10.0))
    );
    assert_eq!(
        (numbers.tokens_per_minute, numbers.tokens_available),
        (Some(60_000.0), Some(250.0))
    );
    let started = Instant::now();
    limit.acquire(500).await.settle(None);
    assert!((ms(250)..ms(255)).contains(&started.elapsed()), "{:?}", started.elapsed());
    limit.observe(&Pace { limit_requests: Some(1_200), ..Pace::default() });
    assert_eq!(limit.snapshot().requests_per_minute, Some(1_200.0));
}

#[tokio::test(start_paused = true)]
async fn tokens_are_counted_where_they_matter() {
    let limit = limit(None, Some(60_000.0), ms(1000));
    let asked = |bound| {
        limit.estimate(|tally| match tally {
            Tally::Bound => bound,
            Tally::Exact => 7,
        })
    };
    assert_eq!((asked(62), asked(63)), (62, 7), "of 1,000 that are there");
    limit.acquire(500).await.settle(None);
    assert_eq!((asked(31), asked(32)), (31, 7));
    limit.acquire(500).await.settle(None);
    assert_eq!(asked(1), 7);
}

#[tokio::test(start_paused = true)]
async fn a_higher_limit_reaches_whoever_waits() {
    let limit = limit(None, None, ms(1000));
    limit.observe(&Pace { limit_requests: Some(1), ..Pace::default() });
    limit.acquire(0).await.settle(None);
    let started = Instant::now();
    let head = waiter(&limit, 0).await;
    limit.observe(&Pace { limit_requests: Some(600), ..Pace::default() });
    let (_, passed) = head.await.unwrap();
    assert!(passed - started < ms(110), "{:?}", passed - started);
}

#[tokio::test(start_paused = true)]
async fn what_the_user_set_is_only_ever_lowered() {
    let limit = usual();
    limit.observe(&Pace {
        limit_requests: Some(60_000),
        remaining_requests: Some(50_000),
        limit_tokens: Some(1),
        remaining_tokens: Some(10),
        ..Pace::default()
    });
    let numbers = limit.snapshot();
    assert_eq!(
        (numbers.requests_per_minute, numbers.requests_available),
        (Some(600.0), Some(10.0))
    );
    assert_eq!((numbers.tokens_per_minute, numbers.tokens_available), (Some(60_000.0), Some(10.0)));
}

#[tokio::test(start_paused = true)]
async fn a_used_up_window_is_waited_out() {
    for (reset, limit_requests, waited) in [
        (ms(2_500), Some(600), ms(2_500)),
        // Longer than any server may ask for.
        (ms(3_600_000), Some(600), ms(120_000)),
        (ms(60_000), None, ms(60_000)),
        // A bucket that fills continuously, as here: the next request is due in a tenth of a second.
        (ms(60_000), Some(600), ms(100)),
    ] {
        let limit = usual();
        limit.observe(&Pace {
            limit_requests,
            remaining_requests: Some(0),
            reset_requests: Some(reset),
            ..Pace::default()
        });
        assert_eq!(limit.snapshot().requests_available, Some(0.0));
        let started = Instant::now();
        limit.acquire(0).await.settle(None);
        assert!((waited..waited + ms(3)).contains(&started.elapsed()), "{:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn headers_are_ignored_where_the_settings_say_so() {
    let settings = RateSettings {
        requests_per_minute: Some(600.0),
        from_headers: false,
        ..RateSettings::default()
    };
    let limit = RateLimit::new(settings).unwrap();
    let before = limit.snapshot();
    limit.observe(&Pace {
        remaining_requests: Some(0),
        reset_requests: Some(ms(5_000)),
        limit_tokens: Some(7),
        ..Pace::default()
    });
    assert_eq!(limit.snapshot(), before);
}

#[test]
fn impossible_settings_are_refused_by_name() {
    let refusal = |settings: RateSettings| {
        let error = RateLimit::new(settings).unwrap_err();
        assert_eq!(error.kind(), Kind::Validation);
        error.message().to_owned()
    };
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let rate = Some(wrong);
        let settings = RateSettings { requests_per_minute: rate, ..RateSettings::default() };
        assert!(refusal(settings).contains("'requests_per_minute' with value"), "{wrong}");
        let settings = RateSettings { tokens_per_minute: rate, ..RateSettings::default() };
        assert!(refusal(settings).contains("'tokens_per_minute' with value"), "{wrong}");
    }
    let nothing = RateSettings { from_headers: false, ..RateSettings::default() };
    assert!(refusal(nothing).contains("nothing is limited"));
    let saved = RateSettings { burst: Duration::from_secs(61), ..RateSettings::default() };
    assert!(refusal(saved).contains("'burst' with value '61': burst must be 60 s"));
    for (url, name, field) in [
        ("redis://127.0.0.1", "", "name"),
        ("http://127.0.0.1", "n", "redis"),
        ("rediss://:hunter2@127.0.0.1", "n", "redis"),
        ("hunter2", "n", "redis"),
        ("", "n", "redis"),
    ] {
        let redis = Some(RedisSettings { url: ApiKey::new(url), name: name.to_owned() });
        let text = refusal(RateSettings { redis, ..RateSettings::default() });
        assert!(text.contains(field), "{url}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_password_is_never_shown() {
    let url = ApiKey::new("redis://user:hunter2-secret@127.0.0.1:1/0");
    let redis = Some(RedisSettings { url, name: "n".to_owned() });
    let limit = RateLimit::new(RateSettings { redis, ..RateSettings::default() }).unwrap();
    let shared = limit.0.shared.as_ref().unwrap();
    let shown = format!("{limit:?} {:?} {shared:?} {:?}", limit.settings(), shared.link());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("127.0.0.1:1"), "{shown}");
}
