//! The algorithms against servers in virtual time: what they find, how soon, and at what price.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::*;

/// Runs `work` in virtual time.
#[expect(clippy::disallowed_methods, reason = "a runtime of its own, for its paused clock")]
pub(super) fn simulate<T>(work: impl Future<Output = T>) -> T {
    let builder = &mut tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap().block_on(work)
}

pub(super) fn milliseconds(count: f64) -> Duration {
    Duration::from_secs_f64(count / 1000.0)
}

/// A server with a token bucket: a second's or less of requests saved up, the rest refused in a millisecond.
struct Throttled {
    rate: Cell<f64>,
    /// Seconds of requests that a rest saves up.
    burst: f64,
    tokens: Cell<f64>,
    filled: Cell<Instant>,
    latency: f64,
    /// The share of the accepted that fail for reasons of their own.
    failing: f64,
    /// The share that is answered 503 whatever the load.
    noise: f64,
    random: RefCell<fastrand::Rng>,
    began: Instant,
    /// Second by second since the start: requests, refused, served.
    log: RefCell<Vec<[f64; 3]>>,
}

impl Throttled {
    fn new(rate: f64, burst: f64, latency: f64, failing: f64, seed: u64) -> Self {
        Self {
            rate: Cell::new(rate),
            burst,
            tokens: Cell::new((rate * burst).max(1.0)),
            filled: Cell::new(Instant::now()),
            latency,
            failing,
            noise: 0.0,
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
            began: Instant::now(),
            log: RefCell::default(),
        }
    }

    fn draw(&self) -> f64 {
        self.random.borrow_mut().f64()
    }

    fn count(&self, what: usize) {
        let second = usize::try_from(self.began.elapsed().as_secs()).unwrap();
        let mut log = self.log.borrow_mut();
        let length = log.len().max(second + 1);
        log.resize(length, [0.0; 3]);
        log[second][what] += 1.0;
    }

    fn sum(&self, what: usize, from: usize, to: usize) -> f64 {
        self.log.borrow()[from..to].iter().map(|second| second[what]).sum()
    }

    async fn request(&self) -> Outcome {
        self.count(0);
        let now = Instant::now();
        let earned = (now - self.filled.replace(now)).as_secs_f64() * self.rate.get();
        let tokens = (self.tokens.get() + earned).min((self.rate.get() * self.burst).max(1.0));
        if tokens < 1.0 {
            self.tokens.set(tokens);
            self.count(1);
            sleep(milliseconds(1.0)).await;
            return Outcome::Overloaded;
        }
        if self.draw() < self.noise {
            sleep(milliseconds(1.0)).await;
            return Outcome::Overloaded;
        }
        self.tokens.set(tokens - 1.0);
        sleep(milliseconds(self.latency * (0.9 + 0.2 * self.draw()))).await;
        self.count(2);
        if self.draw() < self.failing { Outcome::Ignored } else { Outcome::Success }
    }
}

/// Keeps `callers` calling through the limiter for `seconds`; who fails pauses for 100 to 800 ms, as
/// retries do. The limit is changed to `rates` at their seconds.
async fn load(
    server: &Throttled,
    settings: ConcurrencySettings,
    callers: usize,
    seconds: u32,
    rates: &[(u64, f64)],
) -> Concurrency {
    let concurrency = Concurrency::new(settings).unwrap();
    let calls = join_all((0..callers).map(|_| async {
        loop {
            let slot = concurrency.acquire().await;
            let outcome = server.request().await;
            slot.finish(outcome);
            if outcome != Outcome::Success {
                sleep(milliseconds(100.0 + 700.0 * server.draw())).await;
            }
        }
    }));
    let weather = async {
        let mut now = 0;
        for &(at, rate) in rates {
            sleep(Duration::from_secs(at - now)).await;
            now = at;
            server.rate.set(rate);
        }
        std::future::pending::<()>().await;
    };
    let both = async { tokio::join!(calls, weather) };
    assert!(timeout(Duration::from_secs(seconds.into()), both).await.is_err());
    // The last second may not have seen a request.
    server.log.borrow_mut().resize(usize::try_from(seconds).unwrap() + 1, [0.0; 3]);
    concurrency
}

/// Runs each latency, burst and seed, and collects what is outside of the bounds.
fn weather(failing: f64, seconds: u32, rates: &[(u64, f64)], phases: &[(usize, usize, f64)]) {
    let mut broken = Vec::new();
    for latency in [20.0, 100.0, 400.0] {
        for burst in [1.0, 0.1, 0.05] {
            for seed in 0..4 {
                let (shares, refused, early, late) = simulate(async {
                    let server = Throttled::new(500.0, burst, latency, failing, seed);
                    let settings = ConcurrencySettings::default();
                    load(&server, settings, 256, seconds, rates).await;
                    let end = usize::try_from(seconds).unwrap();
                    let shares: Vec<f64> = phases
                        .iter()
                        .map(|&(from, to, rate)| {
                            server.sum(2, from, to) / (rate * (to - from) as f64)
                        })
                        .collect();
                    let refused = server.sum(1, 0, end) / server.sum(0, 0, end);
                    let late = server.sum(1, 2, end) / server.sum(0, 2, end);
                    (shares, refused, server.sum(1, 0, 2), late)
                });
                let found = format!(
                    "latency {latency} burst {burst} seed {seed}: served {shares:.3?}, \
                     refused {refused:.3}, {early} in the first two seconds, {late:.3} after"
                );
                println!("{found}");
                if shares.iter().any(|share| *share < 0.9) || refused > 0.1 || late > 0.06 {
                    broken.push(found);
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn aimd_finds_the_rate_and_keeps_it() {
    weather(0.0, 25, &[], &[(5, 25, 500.0)]);
}

#[test]
fn aimd_follows_a_rate_that_is_halved_and_doubled() {
    let phases = [(5, 10, 500.0), (15, 20, 250.0), (25, 30, 500.0)];
    weather(0.0, 30, &[(10, 250.0), (20, 500.0)], &phases);
}

#[test]
fn failures_of_other_kinds_are_no_overload() {
    weather(0.2, 25, &[], &[(5, 25, 500.0)]);
}

/// Where one slot is a multiple of what the server grants, the pace must do what the limit cannot.
#[test]
fn below_one_slot_starts_are_spaced_out() {
    let mut broken = Vec::new();
    for (rate, latency) in [(5.0, 20.0), (5.0, 100.0), (1.0, 100.0), (0.5, 1_000.0)] {
        for seed in 0..4 {
            let (share, refused) = simulate(async {
                let server = Throttled::new(rate, 1.0 / rate, latency, 0.0, seed);
                load(&server, ConcurrencySettings::default(), 50, 120, &[]).await;
                let refused = server.sum(1, 20, 120) / server.sum(0, 20, 120);
                (server.sum(2, 20, 120) / (rate * 100.0), refused)
            });
            let found = format!(
                "rate {rate} latency {latency} seed {seed}: served {share:.3}, refused {refused:.3}"
            );
            println!("{found}");
            if share < 0.7 || refused > 0.3 {
                broken.push(found);
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The first volley goes out before anything is known; after that the limit must hold the crowd back.
#[test]
fn a_crowd_is_refused_once() {
    for burst in [1.0, 0.1] {
        let (refused, late) = simulate(async {
            let server = Throttled::new(500.0, burst, 400.0, 0.0, 1);
            load(&server, ConcurrencySettings::default(), 10_000, 10, &[]).await;
            let late = server.sum(2, 5, 10) / 2_500.0;
            (server.sum(1, 0, 10), late)
        });
        println!("burst {burst}: refused {refused}, served {late:.3}");
        assert!(refused < 11_000.0 && late >= 0.93, "{refused} {late}");
    }
}

/// Serves a fixed number at a time and lets the others queue, as a server of one's own does.
#[test]
fn gradient_finds_a_limit_that_keeps_the_server_busy_and_its_queue_short() {
    let mut broken = Vec::new();
    for (workers, service) in [(8, 50.0), (32, 50.0), (32, 400.0)] {
        let (limit, rate, latency) = simulate(async {
            let places = Semaphore::new(workers);
            let random = RefCell::new(fastrand::Rng::with_seed(7));
            let settings =
                ConcurrencySettings { algorithm: Algorithm::GRADIENT2, ..Default::default() };
            let concurrency = Concurrency::new(settings).unwrap();
            let (calls, seconds) = (Cell::new(0.0), Cell::new(0.0));
            let began = Instant::now();
            let load = join_all((0..500).map(|_| async {
                loop {
                    let slot = concurrency.acquire().await;
                    let started = Instant::now();
                    let place = places.acquire().await.unwrap();
                    let jitter = 0.8 + 0.4 * random.borrow_mut().f64();
                    sleep(milliseconds(service * jitter)).await;
                    drop(place);
                    slot.finish(Outcome::Success);
                    if began.elapsed() > Duration::from_secs(20) {
                        calls.set(calls.get() + 1.0);
                        seconds.set(seconds.get() + started.elapsed().as_secs_f64());
                    }
                }
            }));
            let _ = timeout(Duration::from_secs(60), load).await;
            (concurrency.limit(), calls.get() / 40.0, seconds.get() / calls.get())
        });
        let busy = rate / (workers as f64 * 1000.0 / service);
        println!("{workers} workers: limit {limit:?}, busy {busy:.3}, latency {latency:.3} s");
        if busy < 0.95 || latency > 3.0 * service / 1000.0 {
            broken.push(format!("{workers} workers: busy {busy:.3}, latency {latency:.3}"));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A limit that nobody uses learns nothing from it.
#[test]
fn a_limit_under_half_used_does_not_grow() {
    for algorithm in [Algorithm::default(), Algorithm::GRADIENT2] {
        let grown = simulate(async {
            let settings =
                ConcurrencySettings { algorithm, initial: Some(20), ..Default::default() };
            let server = Throttled::new(1e6, 1.0, 50.0, 0.0, 3);
            load(&server, settings, 5, 60, &[]).await.limit()
        });
        assert_eq!(grown, Some(20), "{algorithm:?}");
    }
}

/// Whatever the limit, up to a twentieth of the answers is 503: no reason to slow down.
#[test]
fn refusals_at_random_do_not_starve_the_client() {
    let mut broken = Vec::new();
    for callers in [256, 20, 1] {
        for noise in [0.002, 0.01, 0.05] {
            for latency in [20.0, 100.0, 400.0] {
                let share = simulate(async {
                    let mut server = Throttled::new(500.0, 1.0, latency, 0.0, 5);
                    server.noise = noise;
                    load(&server, ConcurrencySettings::default(), callers, 60, &[]).await;
                    // What the callers would have without a limiter: they pause after each refusal.
                    let turn = latency / 1000.0 + noise / (1.0 - noise) * 0.45;
                    let most = f64::min(500.0, real(callers) / turn);
                    server.sum(2, 5, 60) / (most * 55.0)
                });
                let found =
                    format!("{callers} callers, noise {noise}, latency {latency}: {share:.3}");
                println!("{found}");
                if share < 0.7 {
                    broken.push(found);
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
