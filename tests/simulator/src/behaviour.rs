//! How a scope misbehaves: the settings of `POST /control/behaviour` and the decision per request.
//!
//! The object replaces the former one whole, but for what is left of a rate limit; unknown keys are
//! refused. Order of precedence for one request: the next scripted `status` entry, `reset`, `hang`,
//! `fault`, `raw`, `rate_limit`, `fail_every`, `fail_rate`, then the normal answer shaped by the rest.
//! `latency_ms` comes before every answer but the 429 of a `rate_limit`.
//!
//! ```text
//! {"latency_ms": {"uniform": [10, 80]}, "status": [503, "reset", [429, "slow down", {"retry-after": "1"}]]}
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

/// Everything `POST /control/behaviour` takes; each field may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Time from the whole request to the first byte of the answer, in milliseconds.
    pub(crate) latency_ms: Option<Latency>,
    /// Answers of the next requests, one each; afterwards the scope behaves as the rest says.
    pub(crate) status: Vec<Step>,
    /// Every n-th request fails with `fail_status` (default 500); 0 is never.
    pub(crate) fail_every: u64,
    pub(crate) fail_status: Option<u16>,
    /// This share of the requests fails with `fail_status`, 0.0 to 1.0.
    pub(crate) fail_rate: f64,
    /// Which requests those are depends on this and their number alone.
    pub(crate) seed: u64,
    /// Every request meets this fault.
    pub(crate) fault: Option<Fault>,
    /// Only requests with this text in their body meet any of the troubles; others are answered.
    pub(crate) only: Option<String>,
    /// Requests beyond the rate are answered 429, without the latency: who limits a rate refuses before any
    /// work is done.
    pub(crate) rate_limit: Option<RateLimit>,
    /// `Retry-After` of the 429s and failures above, text or seconds.
    pub(crate) retry_after: Option<Value>,
    /// Promise more bytes than are sent, then close.
    pub(crate) truncate: bool,
    /// Accept the request and never answer.
    pub(crate) hang: bool,
    /// Close the connection with a TCP reset instead of answering.
    pub(crate) reset: bool,
    /// Status 200 with a body that breaks off in the middle of its JSON.
    pub(crate) malformed: bool,
    /// Sent in place of an HTTP response, then the connection is closed.
    pub(crate) raw: Option<String>,
    /// The answer in this many pieces, with a pause between two.
    pub(crate) slow_stream: Option<SlowStream>,
    /// Streams report an error in a frame after their second piece of text, and end.
    pub(crate) stream_error_frame: bool,
    /// Cut packets inside multi-byte characters (send text that has some).
    pub(crate) split_utf8: bool,
    /// All frames of a stream in one packet; without it each frame is a packet.
    pub(crate) one_packet: bool,
    /// Scripted answer: text is sent as it is, other JSON is written out.
    pub(crate) body: Option<Value>,
    /// Scripted conversations, by what is asked and how far they are.
    pub(crate) replies: Vec<crate::dialect::Reply>,
    /// Extra response headers.
    pub(crate) headers: BTreeMap<String, String>,
    /// Length of embeddings where the request does not say.
    pub(crate) dimensions: Option<usize>,
    /// Rounds in which an OpenAI-style chat that offers tools is answered with calls of them all.
    pub(crate) tool_rounds: usize,
    /// How often a Replicate prediction is looked at before it is over; with 0 it is over at once.
    pub(crate) polls: u64,
    /// What `/api/tags` and `/v1/models` list; default `llama3.2:latest`.
    pub(crate) models: Option<Vec<String>>,
}

/// A fixed or an evenly distributed latency.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(crate) enum Latency {
    /// Always this many milliseconds.
    Fixed(f64),
    /// Between the two, evenly.
    Uniform {
        /// Lower and upper bound.
        uniform: [f64; 2],
    },
}

impl Latency {
    fn draw(self) -> Duration {
        let milliseconds = match self {
            Self::Fixed(milliseconds) => milliseconds,
            Self::Uniform { uniform: [low, high] } => low + (high - low) * fastrand::f64(),
        };
        Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or_default()
    }
}

/// A request budget that refills continuously.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateLimit {
    per_second: f64,
    /// Requests admitted at once after a rest; default `per_second`, at least 1.
    burst: Option<f64>,
}

/// Number of pieces and pause between two of them.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlowStream {
    pub(crate) chunks: usize,
    pub(crate) delay_ms: f64,
}

/// One scripted answer: `503`, `"reset"`, `[status, body, headers]` or an object of the three.
/// Status 200 without a body means the normal answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Step {
    Code(u16),
    Fault(Fault),
    Single((u16,)),
    Pair(u16, Value),
    Triple(u16, Value, BTreeMap<String, String>),
    Object {
        status: u16,
        #[serde(default)]
        body: Value,
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
}

/// What can go wrong with an answer other than its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// A TCP reset in place of an answer.
    Reset,
    /// A TCP reset after the headers and two thirds of the body.
    ResetInBody,
    /// Nothing comes.
    Hang,
    /// Headers come, then nothing.
    HangInBody,
    /// Headers come a byte at a time and never end.
    SlowHeaders,
    /// The connection closes before the announced length is there.
    Truncate,
    /// JSON that breaks off.
    Malformed,
    /// `application/json` that is neither JSON nor text.
    Garbage,
    /// A web page, status 200.
    Html,
}

/// What happens to one request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The dialect answers.
    Answer,
    /// As `Answer`, with this fault.
    Fault(Fault),
    /// The scripted bytes instead of HTTP.
    Raw,
    /// This status; `None` as body is the dialect's own error text.
    Refuse { status: StatusCode, body: Option<String>, headers: BTreeMap<String, String> },
}

/// Settings plus what they count.
#[derive(Debug, Default)]
pub(crate) struct Behaviour {
    pub(crate) settings: Settings,
    /// `settings.headers`, checked.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    served: AtomicU64,
    bucket: Mutex<Option<Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Behaviour {
    /// Checks the settings; the message names what is wrong.
    pub(crate) fn new(settings: Settings) -> Result<Self, String> {
        let headers = header_pairs(&settings.headers)?;
        for step in &settings.status {
            if let Some((status, _, headers)) = step.parts() {
                StatusCode::from_u16(status)
                    .map_err(|_| format!("status: no such code {status}"))?;
                header_pairs(&headers)?;
            }
        }
        if let Some(status) = settings.fail_status {
            StatusCode::from_u16(status)
                .map_err(|_| format!("fail_status: no such code {status}"))?;
        }
        if !(0.0..=1.0).contains(&settings.fail_rate) {
            return Err("fail_rate: must be 0.0 to 1.0".into());
        }
        if settings.slow_stream.is_some_and(|slow| slow.chunks == 0) {
            return Err("slow_stream: chunks must be at least 1".into());
        }
        Ok(Self { settings, headers, ..Self::default() })
    }

    /// Time to wait before the answer.
    pub(crate) fn latency(&self, default_ms: f64) -> Duration {
        self.settings.latency_ms.unwrap_or(Latency::Fixed(default_ms)).draw()
    }

    /// Goes on with the rate limit of the behaviour that this one replaces: a new rate holds from now
    /// on, and a change of it gives no second burst.
    pub(crate) fn inherit(&self, former: &Self) {
        let (Some(limit), Some(before)) = (&self.settings.rate_limit, &former.settings.rate_limit)
        else {
            return;
        };
        let mut left = former.bucket.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(bucket) = &mut left {
            bucket.refill(before);
            bucket.tokens = bucket.tokens.min(limit.size());
        }
        *self.bucket.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }

    /// Decides the fate of the next request.
    pub(crate) fn decide(&self, body: &[u8]) -> Decision {
        let settings = &self.settings;
        if settings.only.as_ref().is_some_and(|text| !holds(body, text.as_bytes())) {
            return Decision::Answer;
        }
        let number = self.served.fetch_add(1, Relaxed);
        let step = usize::try_from(number).ok().and_then(|number| settings.status.get(number));
        match step {
            Some(Step::Fault(fault)) => return Decision::Fault(*fault),
            Some(step) => {
                let (status, body, headers) = step.parts().unwrap_or_default();
                if status == 200 && body.is_none() && headers.is_empty() {
                    return Decision::Answer;
                }
                return self.refuse(status, body, headers);
            }
            None => {}
        }
        if settings.reset {
            return Decision::Fault(Fault::Reset);
        }
        if settings.hang {
            return Decision::Fault(Fault::Hang);
        }
        if let Some(fault) = settings.fault {
            return Decision::Fault(fault);
        }
        if settings.raw.is_some() {
            return Decision::Raw;
        }
        if settings.rate_limit.as_ref().is_some_and(|limit| !self.admits(limit)) {
            return self.refuse(429, None, BTreeMap::new());
        }
        let counted = settings.fail_every > 0 && (number + 1).is_multiple_of(settings.fail_every);
        if counted || self.draws_failure(number) {
            return self.refuse(settings.fail_status.unwrap_or(500), None, BTreeMap::new());
        }
        match (settings.truncate, settings.malformed) {
            (true, _) => Decision::Fault(Fault::Truncate),
            (_, true) => Decision::Fault(Fault::Malformed),
            _ => Decision::Answer,
        }
    }

    fn refuse(
        &self,
        status: u16,
        body: Option<String>,
        mut headers: BTreeMap<String, String>,
    ) -> Decision {
        if let Some(after) = self.settings.retry_after.as_ref().filter(|_| status >= 400) {
            headers.entry("retry-after".into()).or_insert_with(|| text_of(after));
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Decision::Refuse { status, body, headers }
    }

    /// A generator for each number, so that no lock decides the order of the draws.
    fn draws_failure(&self, number: u64) -> bool {
        let Settings { fail_rate, seed, .. } = self.settings;
        if fail_rate <= 0.0 {
            return false;
        }
        // Neighbouring states give similar first draws; a drawn state has no neighbours.
        let state = fastrand::Rng::with_seed(seed).u64(..).wrapping_add(number);
        let state = fastrand::Rng::with_seed(state).u64(..);
        fastrand::Rng::with_seed(state).f64() < fail_rate
    }

    fn admits(&self, limit: &RateLimit) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket { tokens: limit.size(), filled: Instant::now() };
        let bucket = bucket.get_or_insert(full);
        bucket.refill(limit);
        let admitted = bucket.tokens >= 1.0;
        if admitted {
            bucket.tokens -= 1.0;
        }
        admitted
    }
}

impl RateLimit {
    fn size(&self) -> f64 {
        self.burst.unwrap_or(self.per_second).max(1.0)
    }
}

impl Bucket {
    fn refill(&mut self, limit: &RateLimit) {
        let now = Instant::now();
        let gained = now.duration_since(self.filled).as_secs_f64() * limit.per_second;
        self.tokens = (self.tokens + gained).min(limit.size());
        self.filled = now;
    }
}

/// Whether `text` is somewhere in `body`.
fn holds(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}

impl Step {
    fn parts(&self) -> Option<(u16, Option<String>, BTreeMap<String, String>)> {
        let text = |body: &Value| (!body.is_null()).then(|| text_of(body));
        match self {
            Self::Fault(_) => None,
            Self::Code(status) | Self::Single((status,)) => Some((*status, None, BTreeMap::new())),
            Self::Pair(status, body) => Some((*status, text(body), BTreeMap::new())),
            Self::Triple(status, body, headers) | Self::Object { status, body, headers } => {
                Some((*status, text(body), headers.clone()))
            }
        }
    }
}

/// Text as it is, other JSON written out.
pub(crate) fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Headers ready to send, or which one cannot be sent.
pub(crate) fn header_pairs(
    headers: &BTreeMap<String, String>,
) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let pair = |(name, value): (&String, &String)| {
        let wrong = || format!("headers: cannot send {name:?}");
        let name = HeaderName::try_from(name).map_err(|_| wrong())?;
        Ok((name, HeaderValue::try_from(value).map_err(|_| wrong())?))
    };
    headers.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behaviour(json: &str) -> Behaviour {
        Behaviour::new(serde_json::from_str(json).unwrap()).unwrap()
    }

    fn status(decision: &Decision) -> u16 {
        match decision {
            Decision::Refuse { status, .. } => status.as_u16(),
            Decision::Answer => 200,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn scripted_steps_come_first_and_once() {
        let behaviour = behaviour(
            r#"{"status": [503, "reset", [429, {"error": 1}, {"retry-after": "2"}], [500], 200], "hang": true}"#,
        );
        assert_eq!(status(&behaviour.decide(b"")), 503);
        assert_eq!(behaviour.decide(b""), Decision::Fault(Fault::Reset));
        let Decision::Refuse { status: code, body, headers } = behaviour.decide(b"") else {
            panic!()
        };
        assert_eq!((code.as_u16(), body.unwrap().as_str()), (429, r#"{"error":1}"#));
        assert_eq!(headers["retry-after"], "2");
        assert_eq!(status(&behaviour.decide(b"")), 500);
        assert_eq!(behaviour.decide(b""), Decision::Answer);
        assert_eq!(behaviour.decide(b""), Decision::Fault(Fault::Hang));
    }

    #[test]
    fn every_third_fails_with_retry_after() {
        let behaviour = behaviour(r#"{"fail_every": 3, "retry_after": 1.5}"#);
        let codes: Vec<u16> = (0..6).map(|_| status(&behaviour.decide(b""))).collect();
        assert_eq!(codes, [200, 200, 500, 200, 200, 500]);
    }

    #[test]
    fn rate_limit_admits_its_burst_then_refuses() {
        let behaviour = behaviour(r#"{"rate_limit": {"per_second": 0.001, "burst": 2}}"#);
        let codes: Vec<u16> = (0..4).map(|_| status(&behaviour.decide(b""))).collect();
        assert_eq!(codes, [200, 200, 429, 429]);
    }

    #[test]
    fn a_new_rate_holds_at_once_and_gives_no_second_burst() {
        let first = behaviour(r#"{"rate_limit": {"per_second": 0.001, "burst": 4}}"#);
        assert_eq!((0..3).map(|_| status(&first.decide(b""))).collect::<Vec<_>>(), [200; 3]);
        let second = behaviour(r#"{"rate_limit": {"per_second": 0.001, "burst": 9}}"#);
        second.inherit(&first);
        assert_eq!([status(&second.decide(b"")), status(&second.decide(b""))], [200, 429]);
        let third = behaviour(r#"{"rate_limit": {"per_second": 1e9, "burst": 1}}"#);
        third.inherit(&second);
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(status(&third.decide(b"")), 200);
        let rested = behaviour("{}");
        rested.inherit(&third);
        assert_eq!(status(&rested.decide(b"")), 200);
    }

    #[test]
    fn the_same_seed_fails_the_same_share_of_requests() {
        let fates = |json| {
            let behaviour = behaviour(json);
            (0..10_000).map(|_| status(&behaviour.decide(b""))).collect::<Vec<u16>>()
        };
        let one = fates(r#"{"fail_rate": 0.2, "fail_status": 503, "seed": 1}"#);
        assert_eq!(one, fates(r#"{"fail_rate": 0.2, "fail_status": 503, "seed": 1}"#));
        let other = fates(r#"{"fail_rate": 0.2, "seed": 2}"#);
        for (fates, code) in [(&one, 503), (&other, 500)] {
            let failed = fates.iter().filter(|fate| **fate == code).count();
            assert!((1_800..2_200).contains(&failed), "{failed}");
        }
        let both = one.iter().zip(&other).filter(|(a, b)| **a != 200 && **b != 200).count();
        assert!((300..500).contains(&both), "seeds must not agree: {both}");
    }

    #[test]
    fn trouble_meets_only_whom_it_is_meant_for() {
        let behaviour =
            behaviour(r#"{"only": "unlucky", "status": [503], "fault": "slow_headers"}"#);
        assert_eq!(behaviour.decide(b"another prompt"), Decision::Answer);
        assert_eq!(status(&behaviour.decide(b"an unlucky prompt")), 503);
        assert_eq!(behaviour.decide(b"un"), Decision::Answer);
        assert_eq!(behaviour.decide(b"unlucky"), Decision::Fault(Fault::SlowHeaders));
    }

    #[test]
    fn latency_is_drawn_within_bounds() {
        let behaviour = behaviour(r#"{"latency_ms": {"uniform": [10, 20]}}"#);
        for _ in 0..100 {
            let drawn = behaviour.latency(0.0);
            assert!(drawn >= Duration::from_millis(10) && drawn <= Duration::from_millis(20));
        }
    }

    #[test]
    fn mistakes_are_refused_by_name() {
        assert!(serde_json::from_str::<Settings>(r#"{"latncy": 5}"#).is_err());
        for (json, name) in [
            (r#"{"headers": {"a b": "c"}}"#, "a b"),
            (r#"{"status": [[500, "", {"x": "line\nbreak"}]]}"#, "x"),
            (r#"{"status": [7]}"#, "7"),
            (r#"{"fail_rate": 1.5}"#, "fail_rate"),
            (r#"{"slow_stream": {"chunks": 0, "delay_ms": 1}}"#, "chunks"),
        ] {
            let error = Behaviour::new(serde_json::from_str(json).unwrap()).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }
}
