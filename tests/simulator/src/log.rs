//! What was asked, of whom, and how it ended: the request log and the counters of one scope.
//!
//! Bounded: the last 10,000 requests, 64 MiB of bodies in all, 1 MiB of each. It refuses to slow a
//! benchmark down: `--log off` keeps the counters only.
//!
//! ```text
//! GET /s/mine/control/log   -> [{"method": "POST", "path": "/v1/chat/completions", ...}]
//! GET /s/mine/control/stats -> {"requests": 1, "disconnects": 0, ...}
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::HeaderMap;
use serde::Serialize;

const ENTRIES: usize = 10_000;
const BODY: usize = 1 << 20;
const BODIES: usize = 64 << 20;

/// One request, kept as it came; rendered only when somebody reads the log.
pub(crate) struct Entry {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) started: Instant,
    pub(crate) connection: u64,
}

struct Kept {
    entry: Entry,
    body_bytes: usize,
    finished: Option<Instant>,
    status: Option<u16>,
    disconnected: bool,
}

#[derive(Default)]
struct Entries {
    kept: VecDeque<Kept>,
    /// Number of the oldest kept entry.
    first: u64,
    body_bytes: usize,
}

/// The log of one scope.
#[derive(Default)]
pub(crate) struct Log(Mutex<Entries>);

impl Log {
    /// Keeps a request; the number finds it again when it ends.
    pub(crate) fn open(&self, mut entry: Entry) -> u64 {
        let body_bytes = entry.body.len();
        if body_bytes > BODY {
            // A copy, as a slice would keep the whole of it alive.
            entry.body = Bytes::copy_from_slice(entry.body.get(..BODY).unwrap_or_default());
        }
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.body_bytes += entry.body.len();
        let kept = Kept { entry, body_bytes, finished: None, status: None, disconnected: false };
        entries.kept.push_back(kept);
        while entries.kept.len() > ENTRIES || entries.body_bytes > BODIES {
            let Some(dropped) = entries.kept.pop_front() else { break };
            entries.body_bytes -= dropped.entry.body.len();
            entries.first += 1;
        }
        entries.first + entries.kept.len() as u64 - 1
    }

    /// Records how request `number` ended, unless it has been pushed out already.
    pub(crate) fn close(&self, number: u64, status: Option<u16>, disconnected: bool) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = number.checked_sub(entries.first).and_then(|place| usize::try_from(place).ok());
        if let Some(kept) = place.and_then(|place| entries.kept.get_mut(place)) {
            kept.finished = Some(Instant::now());
            kept.status = status;
            kept.disconnected = disconnected;
        }
    }

    /// Forgets all; requests still running end unrecorded.
    pub(crate) fn clear(&self) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.first += entries.kept.len() as u64;
        entries.kept.clear();
        entries.body_bytes = 0;
    }

    /// The log as a JSON array, oldest first.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<Line<'_>> = entries.kept.iter().map(Line::new).collect();
        serde_json::to_vec(&lines).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Line<'a> {
    method: &'a str,
    path: &'a str,
    headers: BTreeMap<&'a str, String>,
    body: String,
    body_bytes: usize,
    started: f64,
    finished: Option<f64>,
    status: Option<u16>,
    connection_id: u64,
    disconnected: bool,
}

impl<'a> Line<'a> {
    fn new(kept: &'a Kept) -> Self {
        let mut headers = BTreeMap::<&str, String>::new();
        for (name, value) in &kept.entry.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            let joined = headers.entry(name.as_str()).or_default();
            if !joined.is_empty() {
                joined.push_str(", ");
            }
            joined.push_str(&value);
        }
        Self {
            method: &kept.entry.method,
            path: &kept.entry.path,
            headers,
            body: String::from_utf8_lossy(&kept.entry.body).into_owned(),
            body_bytes: kept.body_bytes,
            started: unix_seconds(kept.entry.started),
            finished: kept.finished.map(unix_seconds),
            status: kept.status,
            connection_id: kept.entry.connection,
            disconnected: kept.disconnected,
        }
    }
}

/// Wall-clock time of a monotonic instant, so that a test can compare it with `time.time()`.
fn unix_seconds(instant: Instant) -> f64 {
    static ANCHOR: OnceLock<(Instant, Duration)> = OnceLock::new();
    let (anchor, wall) = ANCHOR.get_or_init(|| {
        (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    });
    let wall = wall.as_secs_f64();
    match instant.checked_duration_since(*anchor) {
        Some(after) => wall + after.as_secs_f64(),
        None => wall - anchor.duration_since(instant).as_secs_f64(),
    }
}

/// The counters of one scope.
#[derive(Default)]
pub(crate) struct Stats {
    pub(crate) requests: AtomicU64,
    pub(crate) connections_open: AtomicU64,
    pub(crate) connections_total: AtomicU64,
    pub(crate) disconnects: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    pub(crate) max_in_flight: AtomicU64,
    /// Answered as asked.
    pub(crate) answered: AtomicU64,
    /// Answered 429.
    pub(crate) refused: AtomicU64,
    /// Ended by the server in any other way.
    pub(crate) failed: AtomicU64,
    pub(crate) service_nanoseconds: AtomicU64,
}

impl Stats {
    /// Zeroes what counts the past; what counts the present stays true.
    pub(crate) fn clear(&self) {
        for past in [
            &self.requests,
            &self.disconnects,
            &self.max_in_flight,
            &self.answered,
            &self.refused,
            &self.failed,
            &self.service_nanoseconds,
        ] {
            past.store(0, Relaxed);
        }
        self.connections_total.store(self.connections_open.load(Relaxed), Relaxed);
    }

    /// The counters as a JSON object.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let [answered, refused, failed] =
            [&self.answered, &self.refused, &self.failed].map(|fate| fate.load(Relaxed));
        let finished = answered + refused + failed;
        #[expect(clippy::cast_precision_loss, reason = "a mean needs no more than 53 bits")]
        let mean = match finished {
            0 => 0.0,
            _ => self.service_nanoseconds.load(Relaxed) as f64 / finished as f64 / 1e6,
        };
        serde_json::json!({
            "requests": self.requests.load(Relaxed),
            "connections_open": self.connections_open.load(Relaxed),
            "connections_total": self.connections_total.load(Relaxed),
            "disconnects": self.disconnects.load(Relaxed),
            "in_flight": self.in_flight.load(Relaxed),
            "max_in_flight": self.max_in_flight.load(Relaxed),
            "answered": answered,
            "refused": refused,
            "failed": failed,
            "mean_service_ms": mean,
        })
        .to_string()
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(body: &[u8]) -> Entry {
        Entry {
            method: "POST".into(),
            path: "/v1/embeddings".into(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body),
            started: Instant::now(),
            connection: 7,
        }
    }

    fn lines(log: &Log) -> Vec<serde_json::Value> {
        serde_json::from_slice(&log.to_json()).unwrap()
    }

    #[test]
    fn keeps_the_newest_and_closes_the_right_one() {
        let log = Log::default();
        let numbers: Vec<u64> = (0..ENTRIES as u64 + 5).map(|_| log.open(entry(b"x"))).collect();
        log.close(numbers[0], Some(200), false); // long gone: must not hit another entry
        log.close(numbers[5], Some(503), true);
        let lines = lines(&log);
        assert_eq!(lines.len(), ENTRIES);
        assert_eq!(lines[0]["status"], 503);
        assert_eq!(lines[0]["disconnected"], true);
        assert!(lines[1]["finished"].is_null());
    }

    #[test]
    fn large_bodies_are_cut_and_their_sum_is_bounded() {
        let log = Log::default();
        let large = vec![b'a'; BODY + 9];
        for _ in 0..70 {
            log.open(entry(&large));
        }
        let lines = lines(&log);
        assert_eq!(lines.len(), BODIES / BODY);
        assert_eq!(lines[0]["body_bytes"], BODY + 9);
        assert_eq!(lines[0]["body"].as_str().unwrap().len(), BODY);
    }

    #[test]
    fn a_request_ending_after_clear_is_not_recorded_elsewhere() {
        let log = Log::default();
        let old = log.open(entry(b"old"));
        log.clear();
        log.open(entry(b"new"));
        log.close(old, Some(200), true);
        assert_eq!(lines(&log)[0]["disconnected"], false);
    }
}
