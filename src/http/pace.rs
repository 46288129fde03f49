//! The providers' rate-limit headers, read into a [`Pace`].
//!
//! | family | names | a reset is |
//! |---|---|---|
//! | OpenAI, Azure, Groq, xAI | `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` | `6m0s`, `20ms`, or seconds |
//! | Mistral | `x-ratelimit-{limit,remaining}-{req,tokens}-minute` | not said |
//! | Anthropic | `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}` | a time, RFC 3339 |
//! | IETF draft | `ratelimit-{limit,remaining,reset}` | seconds |
//!
//! OpenAI's names do not say how long a window is. A minute is assumed, which holds for OpenAI, Azure
//! and xAI; Groq's requests are a day's, so its limit reads too high there, which hurts nobody. The
//! draft's limit is believed only where it names its window (`100;w=60`). It refuses to guess at
//! anything it cannot read: that part is missing.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

use crate::types::Pace;

/// What a header says about a kind of resource.
#[derive(Clone, Copy)]
enum Said {
    Limit,
    Remaining,
    Reset,
}

/// One kind of resource as an answer describes it.
#[derive(Clone, Copy, Default)]
struct Part {
    limit: Option<u64>,
    remaining: Option<u64>,
    reset: Option<Duration>,
}

/// Parts by the names that headers have for them.
#[derive(Default)]
struct Parts {
    requests: Part,
    tokens: Part,
    input: Part,
    output: Part,
}

/// What the headers of an answer say of rate limits; `None` when they say nothing.
///
/// ```
/// use graphbit::http::{HeaderMap, pace};
///
/// let mut headers = HeaderMap::new();
/// assert!(pace(&headers).is_none());
/// headers.insert("x-ratelimit-remaining-requests", "59".parse()?);
/// assert_eq!(pace(&headers).and_then(|pace| pace.remaining_requests), Some(59));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn pace(headers: &HeaderMap) -> Option<Box<Pace>> {
    let mut parts = Parts::default();
    // One pass over the few headers there are costs less than asking for two dozen names.
    for (name, value) in headers {
        let name = name.as_str();
        let (family, rest) = if let Some(rest) = name.strip_prefix("x-ratelimit-") {
            (Family::OpenAi, rest)
        } else if let Some(rest) = name.strip_prefix("anthropic-ratelimit-") {
            (Family::Anthropic, rest)
        } else if let Some(rest) = name.strip_prefix("ratelimit-") {
            (Family::Draft, rest)
        } else {
            continue;
        };
        if let Ok(text) = value.to_str() {
            family.read(&mut parts, rest, text.trim());
        }
    }
    let pace = parts.into_pace();
    (pace != Pace::default()).then(|| Box::new(pace))
}

#[derive(Clone, Copy)]
enum Family {
    OpenAi,
    Anthropic,
    Draft,
}

impl Family {
    fn read(self, parts: &mut Parts, name: &str, text: &str) {
        let (said, kind) = match self {
            Self::OpenAi => match name.split_once('-') {
                Some((said, kind)) => (said, kind),
                None => return,
            },
            Self::Anthropic => match name.rsplit_once('-') {
                Some((kind, said)) => (said, kind),
                None => return,
            },
            Self::Draft => (name, "requests"),
        };
        let said = match said {
            "limit" => Said::Limit,
            "remaining" => Said::Remaining,
            "reset" => Said::Reset,
            _ => return,
        };
        let part = match kind {
            "requests" | "req-minute" => &mut parts.requests,
            "tokens" | "tokens-minute" => &mut parts.tokens,
            "input-tokens" => &mut parts.input,
            "output-tokens" => &mut parts.output,
            _ => return,
        };
        match said {
            Said::Limit if matches!(self, Self::Draft) => {
                part.limit = a_minute(text).or(part.limit)
            }
            Said::Limit => part.limit = text.parse().ok().or(part.limit),
            Said::Remaining => part.remaining = text.parse().ok().or(part.remaining),
            Said::Reset if matches!(self, Self::Anthropic) => {
                part.reset = until(text).or(part.reset)
            }
            Said::Reset => part.reset = duration(text).or(part.reset),
        }
    }
}

impl Parts {
    fn into_pace(self) -> Pace {
        let separate = Part {
            limit: sum(self.input.limit, self.output.limit),
            // One kind that has run out holds the other up.
            remaining: match (self.input.remaining, self.output.remaining) {
                (Some(0), _) | (_, Some(0)) => Some(0),
                (input, output) => sum(input, output),
            },
            reset: self.input.reset.max(self.output.reset),
        };
        let tokens = if separate.remaining == Some(0) {
            Part { limit: self.tokens.limit.or(separate.limit), ..separate }
        } else {
            Part {
                limit: self.tokens.limit.or(separate.limit),
                remaining: self.tokens.remaining.or(separate.remaining),
                reset: self.tokens.reset.or(separate.reset),
            }
        };
        Pace {
            limit_requests: self.requests.limit,
            remaining_requests: self.requests.remaining,
            reset_requests: self.requests.reset,
            limit_tokens: tokens.limit,
            remaining_tokens: tokens.remaining,
            reset_tokens: tokens.reset,
        }
    }
}

/// The sum of two counts; half of a pair says nothing about the whole.
fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    Some(one?.saturating_add(other?))
}

/// Time until a moment in RFC 3339; a moment that has passed is now.
fn until(text: &str) -> Option<Duration> {
    let at: Timestamp = text.parse().ok()?;
    Some(Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default())
}

/// A duration as Go prints them (`1h2m3.5s`, `20ms`), or a plain number of seconds.
fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, tail) = rest.split_at_checked(end)?;
        let unit = tail.find(|letter: char| letter.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit)?;
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            // Either of the two letters that look like a mu.
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let piece = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(piece)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

/// The draft's limit, for a minute: `100;w=60`, `100, 100;w=60`. Of several windows the first counts.
fn a_minute(text: &str) -> Option<u64> {
    let policy = text.split(',').find(|policy| policy.contains(";w="))?;
    let (limit, window) = policy.split_once(";w=")?;
    let window: u64 = window.split(';').next()?.trim().parse().ok()?;
    limit.trim().parse::<u64>().ok()?.checked_mul(60)?.checked_div(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, &str)]) -> Option<Pace> {
        let headers = pairs.iter().map(|(name, value)| {
            (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
        });
        pace(&headers.collect()).map(|pace| *pace)
    }

    #[test]
    fn openai_says_limits_rests_and_resets() {
        let pace = read(&[
            ("content-type", "application/json"),
            ("x-ratelimit-limit-requests", "500"),
            ("x-ratelimit-remaining-requests", "499"),
            ("x-ratelimit-reset-requests", "120ms"),
            ("X-RateLimit-Limit-Tokens", "150000"),
            ("x-ratelimit-remaining-tokens", " 149984 "),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ]);
        let expected = Pace {
            limit_requests: Some(500),
            remaining_requests: Some(499),
            reset_requests: Some(Duration::from_millis(120)),
            limit_tokens: Some(150_000),
            remaining_tokens: Some(149_984),
            reset_tokens: Some(Duration::from_secs(360)),
        };
        assert_eq!(pace, Some(expected));
    }

    #[test]
    fn mistral_names_the_minute() {
        let pace = read(&[
            ("x-ratelimit-limit-req-minute", "720"),
            ("x-ratelimit-remaining-tokens-minute", "4999911"),
            ("x-ratelimit-tokens-query-cost", "52"),
            ("x-ratelimit-limit-tokens-month", "7"),
        ]);
        let expected = Pace {
            limit_requests: Some(720),
            remaining_tokens: Some(4_999_911),
            ..Pace::default()
        };
        assert_eq!(pace, Some(expected));
    }

    #[test]
    fn anthropic_gives_times_and_counts_input_and_output_apart() {
        let soon = Timestamp::now() + Duration::from_secs(40);
        let soon = soon.to_string();
        let pace = read(&[
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", &soon),
            ("anthropic-ratelimit-input-tokens-limit", "40000"),
            ("anthropic-ratelimit-input-tokens-remaining", "30000"),
            ("anthropic-ratelimit-output-tokens-limit", "8000"),
            ("anthropic-ratelimit-output-tokens-remaining", "5000"),
            ("anthropic-ratelimit-output-tokens-reset", "2001-02-03T04:05:06Z"),
        ])
        .unwrap();
        assert_eq!((pace.limit_requests, pace.remaining_requests), (Some(50), Some(0)));
        let reset = pace.reset_requests.unwrap();
        assert!(reset > Duration::from_secs(35) && reset <= Duration::from_secs(40), "{reset:?}");
        assert_eq!((pace.limit_tokens, pace.remaining_tokens), (Some(48_000), Some(35_000)));
        assert_eq!(pace.reset_tokens, Some(Duration::ZERO), "it has passed");
    }

    #[test]
    fn the_sum_of_tokens_wins_until_one_kind_has_run_out() {
        let tokens = ("anthropic-ratelimit-tokens-remaining", "900");
        let input = ("anthropic-ratelimit-input-tokens-remaining", "500");
        let rest = |output: &str| {
            let output = ("anthropic-ratelimit-output-tokens-remaining", output);
            read(&[tokens, input, output]).unwrap().remaining_tokens
        };
        assert_eq!(rest("100"), Some(900));
        assert_eq!(rest("0"), Some(0));
        assert_eq!(read(&[input]), None, "half of a pair says nothing about the whole");
    }

    #[test]
    fn the_drafts_limit_counts_with_its_window() {
        for (limit, minute) in [
            ("100;w=60", Some(100)),
            ("100, 100;w=60;burst=5, 1000;w=3600", Some(100)),
            ("10;w=1", Some(600)),
            ("100", None),
            ("100;w=0", None),
            ("many;w=60", None),
        ] {
            let pace = read(&[("ratelimit-limit", limit), ("ratelimit-remaining", "3")]).unwrap();
            assert_eq!(pace.limit_requests, minute, "{limit}");
        }
        let pace = read(&[("ratelimit-reset", "50")]).unwrap();
        assert_eq!(pace.reset_requests, Some(Duration::from_secs(50)));
    }

    #[test]
    fn durations_are_gos_or_seconds() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("1s", Some(ms(1000))),
            ("6m0s", Some(ms(360_000))),
            ("20ms", Some(ms(20))),
            ("1h2m3.5s", Some(ms(3_723_500))),
            ("7m12s", Some(ms(432_000))),
            ("1500us", Some(Duration::from_micros(1500))),
            ("0s", Some(Duration::ZERO)),
            ("59.5", Some(ms(59_500))),
            ("", None),
            ("-3", None),
            ("NaN", None),
            ("inf", None),
            ("1e300", None),
            ("s", None),
            ("1", Some(ms(1000))),
            ("1m2", None),
            ("1.2.3s", None),
            ("5 minutes", None),
            ("99999999999999999999h", None),
            ("\u{e9}", None),
        ] {
            assert_eq!(duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn nothing_and_nonsense_are_nothing() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("date", "today"), ("x-request-id", "7")]), None);
        assert_eq!(
            read(&[
                ("x-ratelimit-limit-requests", "lots"),
                ("x-ratelimit-remaining-tokens", "-1"),
                ("x-ratelimit-reset-tokens", "soon"),
                ("anthropic-ratelimit-tokens-reset", "tomorrow"),
                ("x-ratelimit-limit", "5"),
                ("ratelimit-policy", "\"a\";q=5"),
            ]),
            None
        );
    }
}
