//! How a scope misbehaves: the settings of `POST /control/behaviour` and the decision per request.
//!
//! The object replaces the former one whole; unknown keys are refused. Order of precedence for one
//! request: the next scripted `status` entry, `reset`, `hang`, `raw`, `rate_limit`, `fail_every`,
//! then the normal answer shaped by the rest. `latency_ms` comes before every answer.
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
    /// Requests beyond the rate are answered 429.
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

/// A fault of the connection rather than of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fault {
    Reset,
    Hang,
    Truncate,
    Malformed,
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
        if settings.slow_stream.is_some_and(|slow| slow.chunks == 0) {
            return Err("slow_stream: chunks must be at least 1".into());
        }
        Ok(Self { settings, headers, ..Self::default() })
    }

    /// Time to wait before the answer.
    pub(crate) fn latency(&self, default_ms: f64) -> Duration {
        self.settings.latency_ms.unwrap_or(Latency::Fixed(default_ms)).draw()
    }

    /// Decides the fate of the next request.
    pub(crate) fn decide(&self) -> Decision {
        let settings = &self.settings;
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
        if settings.raw.is_some() {
            return Decision::Raw;
        }
        if settings.rate_limit.as_ref().is_some_and(|limit| !self.admits(limit)) {
            return self.refuse(429, None, BTreeMap::new());
        }
        if settings.fail_every > 0 && (number + 1).is_multiple_of(settings.fail_every) {
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

    fn admits(&self, limit: &RateLimit) -> bool {
        let size = limit.burst.unwrap_or(limit.per_second).max(1.0);
        let now = Instant::now();
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = bucket.get_or_insert(Bucket { tokens: size, filled: now });
        let refill = now.duration_since(bucket.filled).as_secs_f64() * limit.per_second;
        bucket.tokens = (bucket.tokens + refill).min(size);
        bucket.filled = now;
        let admitted = bucket.tokens >= 1.0;
        if admitted {
            bucket.tokens -= 1.0;
        }
        admitted
    }
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
        assert_eq!(status(&behaviour.decide()), 503);
        assert_eq!(behaviour.decide(), Decision::Fault(Fault::Reset));
        let Decision::Refuse { status: code, body, headers } = behaviour.decide() else { panic!() };
        assert_eq!((code.as_u16(), body.unwrap().as_str()), (429, r#"{"error":1}"#));
        assert_eq!(headers["retry-after"], "2");
        assert_eq!(status(&behaviour.decide()), 500);
        assert_eq!(behaviour.decide(), Decision::Answer);
        assert_eq!(behaviour.decide(), Decision::Fault(Fault::Hang));
    }

    #[test]
    fn every_third_fails_with_retry_after() {
        let behaviour = behaviour(r#"{"fail_every": 3, "retry_after": 1.5}"#);
        let codes: Vec<u16> = (0..6).map(|_| status(&behaviour.decide())).collect();
        assert_eq!(codes, [200, 200, 500, 200, 200, 500]);
    }

    #[test]
    fn rate_limit_admits_its_burst_then_refuses() {
        let behaviour = behaviour(r#"{"rate_limit": {"per_second": 0.001, "burst": 2}}"#);
        let codes: Vec<u16> = (0..4).map(|_| status(&behaviour.decide())).collect();
        assert_eq!(codes, [200, 200, 429, 429]);
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
            (r#"{"slow_stream": {"chunks": 0, "delay_ms": 1}}"#, "chunks"),
        ] {
            let error = Behaviour::new(serde_json::from_str(json).unwrap()).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }
}
