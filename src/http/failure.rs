//! Failed requests as errors: kind from the status, advice from the headers, secrets removed.

use std::error::Error as StdError;
use std::time::{Duration, SystemTime};

use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::body;
use super::connector::ConnectTimeout;
use super::endpoint::Inner;
use super::reach::NotPublic;
use crate::error::{Advice, Error, Kind, shortened};
use crate::secret::ApiKey;

/// What is kept of an error body, in bytes.
const LONGEST_MESSAGE: usize = 16 << 10;
/// What is read of one; more than is kept, so that a key across the cut is still found.
const LONGEST_READ: usize = 64 << 10;
/// An error body may not hold a failed request up for longer.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// The longest wait a server can ask for.
pub const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// Codes in a 429 body that mean "pay", not "slow down".
const QUOTA_CODES: [&str; 3] = ["insufficient_quota", "billing_hard_limit", "billing_not_active"];

/// Whether a header's name says that its value is a credential.
#[must_use]
pub fn names_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "key", "token", "secret", "cookie"].iter().any(|word| name.contains(word))
}

/// Everything that must not be repeated in a text.
#[derive(Clone, Default)]
pub struct Secrets(Vec<ApiKey>);

impl Secrets {
    /// Remembers a secret.
    pub fn add(&mut self, secret: ApiKey) {
        self.0.push(secret);
    }

    /// Remembers the value of a header whose name says that it is a credential.
    pub fn add_header(&mut self, name: &str, value: &str) {
        if names_credential(name) {
            self.add(ApiKey::new(value));
            // Of "Bearer abc" the server quotes either all or the second part.
            if let Some((_, credential)) = value.split_once(' ') {
                self.add(ApiKey::new(credential));
            }
        }
    }

    /// `text` without any of them.
    #[must_use]
    pub fn redact(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| secret.redact(text))
    }
}

impl Inner {
    /// No complete answer came.
    pub(super) fn transport(&self, error: impl StdError + Send + Sync + 'static) -> Error {
        let cause = self.secrets.redact(root_cause(&error));
        let kind = if causes(&error).any(|cause| cause.is::<ConnectTimeout>()) {
            Kind::Timeout
        } else if causes(&error).any(|cause| cause.is::<NotPublic>()) {
            Kind::PermissionDenied
        } else {
            Kind::Network
        };
        let told = Error::new(kind, self.sending(&cause)).with_provider(self.provider);
        // A certificate that was refused once is refused again; other faults of TLS may pass.
        let told = match causes(&error).any(is_refused_certificate) {
            true => told.with_advice(Advice::Never),
            false => told,
        };
        told.with_source(error)
    }

    pub(super) fn timed_out(&self, limit: Duration) -> Error {
        let text = self.sending(&format!("timed out after {}s", limit.as_secs_f64()));
        Error::new(Kind::Timeout, text).with_provider(self.provider)
    }

    fn sending(&self, cause: &str) -> String {
        format!("Request failed: error sending request for url ({}): {cause}", self.shown)
    }
}

/// An error, its source, the source of that, and so on.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// TLS errors travel inside I/O errors inside I/O errors, whose `source` passes them over.
fn is_refused_certificate(cause: &(dyn StdError + 'static)) -> bool {
    let inside =
        |error: &std::io::Error| error.get_ref().is_some_and(|it| is_refused_certificate(it));
    match cause.downcast_ref::<std::io::Error>() {
        Some(error) => inside(error),
        None => matches!(cause.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))),
    }
}

/// The innermost reason: the outer ones only say that something failed.
pub(super) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The server's name for the request, under any of the names in use.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    ["x-request-id", "request-id", "apim-request-id"]
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok())
        .map(|id| id.chars().take(256).collect())
}

/// The error for a status that is not 2xx.
pub(super) async fn from_response(endpoint: &Inner, response: Response<Incoming>) -> Error {
    let (parts, body) = response.into_parts();
    let body = body::beginning(&parts.headers, read_some(body).await, LONGEST_READ);
    from_parts(endpoint, parts.status, &parts.headers, &body)
}

fn from_parts(endpoint: &Inner, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let text = endpoint.secrets.redact(String::from_utf8_lossy(body).into_owned());
    let mut kind = Kind::from_status(status.as_u16()).unwrap_or(Kind::BadRequest);
    if kind == Kind::RateLimited && QUOTA_CODES.iter().any(|code| text.contains(code)) {
        kind = Kind::QuotaExhausted;
    }
    let message = if status.is_redirection() {
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        // Before it is cut: a key may have a "?" in it.
        let location = location.map(|text| endpoint.secrets.redact(text.to_owned()));
        let target = location.as_deref().and_then(|text| text.split(['?', '#']).next());
        let target = target.unwrap_or("elsewhere");
        endpoint.secrets.redact(format!(
            "HTTP {status}: the server redirects to {target}; redirects are not followed, \
             set the final address as base URL"
        ))
    } else if text.trim().is_empty() {
        format!("HTTP {status} with an empty body")
    } else {
        shortened(text, LONGEST_MESSAGE, " [shortened]")
    };
    let error = Error::new(kind, message)
        .with_provider(endpoint.provider)
        .with_status(status.as_u16())
        .with_request_id(request_id(headers).map(|id| endpoint.secrets.redact(id)));
    // 409 is a lock that another request holds for a moment, 425 a connection too young for a request.
    let passes = matches!(status, StatusCode::CONFLICT | StatusCode::TOO_EARLY);
    if matches!(error.advice(), Advice::Retry { .. }) || passes {
        return error.with_advice(Advice::Retry { after: retry_after(headers) });
    }
    error
}

/// The beginning of an error body. A body that breaks off or stalls still has a beginning.
async fn read_some(mut body: Incoming) -> Vec<u8> {
    let mut read = Vec::new();
    let reading = async {
        while let Ok(Some(piece)) = body::next_piece(&mut body).await {
            read.extend_from_slice(&piece);
            if read.len() >= LONGEST_READ {
                break;
            }
        }
    };
    let _ = timeout(READ_LIMIT, reading).await;
    read
}

/// `retry-after-ms`, else `Retry-After` as seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |text: &str, scale: f64| {
        let seconds = text.parse::<f64>().ok().filter(|number| !number.is_nan())? * scale;
        // An absurd number is capped rather than trusted; a negative one fails to convert.
        Duration::try_from_secs_f64(seconds.min(LONGEST_WAIT.as_secs_f64())).ok()
    };
    if let Some(wait) = text("retry-after-ms").and_then(|text| number(text, 0.001)) {
        return Some(wait);
    }
    let value = text(RETRY_AFTER.as_str())?;
    number(value, 1.0).or_else(|| {
        let date = httpdate::parse_http_date(value).ok()?;
        Some(date.duration_since(SystemTime::now()).unwrap_or_default().min(LONGEST_WAIT))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Auth, Endpoint, Settings};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect()
    }

    fn error(status: u16, pairs: &[(&'static str, &str)], body: &str) -> Error {
        let key = Auth::Bearer(ApiKey::new("sk-hunter2"));
        let endpoint =
            Endpoint::new("openai", "https://host/v1?q=1", key, &Settings::default()).unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        from_parts(&endpoint.inner, status, &headers(pairs), body.as_bytes())
    }

    #[test]
    fn the_wait_is_read_from_every_form_and_capped() {
        let wait = |pairs: &[(&'static str, &str)]| retry_after(&headers(pairs));
        assert_eq!(wait(&[("retry-after", "2")]), Some(Duration::from_secs(2)));
        assert_eq!(wait(&[("retry-after", "0.5")]), Some(Duration::from_millis(500)));
        let both = [("retry-after-ms", "250"), ("retry-after", "9")];
        assert_eq!(wait(&both), Some(Duration::from_millis(250)));
        assert_eq!(wait(&[("retry-after", "1e300")]), Some(LONGEST_WAIT));
        let past = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(wait(&[("retry-after", past)]), Some(Duration::ZERO));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(30));
        let soon = wait(&[("retry-after", &soon)]).unwrap();
        assert!(soon > Duration::from_secs(27) && soon <= Duration::from_secs(30), "{soon:?}");
        for nonsense in ["-3", "NaN", "soon", ""] {
            assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
    }

    #[test]
    fn status_headers_and_body_survive() {
        let error = error(
            429,
            &[("retry-after", "3"), ("x-request-id", "req_7")],
            r#"{"error":"slow down, sk-hunter2"}"#,
        );
        assert_eq!(error.kind(), Kind::RateLimited);
        assert_eq!(error.status(), Some(429));
        assert_eq!(error.request_id(), Some("req_7"));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
        assert_eq!(error.message(), r#"{"error":"slow down, ***"}"#);
    }

    #[test]
    fn a_used_up_quota_is_not_retried_but_a_conflict_is() {
        let quota = error(429, &[("retry-after", "3")], r#"{"code":"insufficient_quota"}"#);
        assert_eq!((quota.kind(), quota.advice()), (Kind::QuotaExhausted, Advice::Never));
        assert_eq!(error(409, &[], "busy").advice(), Advice::Retry { after: None });
        assert_eq!(error(400, &[("retry-after", "3")], "bad").advice(), Advice::Never);
    }

    #[test]
    fn a_redirect_says_where_to_and_nothing_secret() {
        let error = error(307, &[("location", "https://other/v1?key=sk-hunter2")], "");
        assert!(error.message().contains("https://other/v1;"), "{error}");
        assert!(!error.message().contains("hunter2"));
        assert_eq!(error.advice(), Advice::Never);
    }

    #[test]
    fn long_bodies_are_cut_between_characters() {
        let error = error(500, &[], &"é".repeat(LONGEST_MESSAGE));
        assert!(error.message().len() < LONGEST_MESSAGE + 20);
        assert!(error.message().ends_with("é [shortened]"));
        assert!(self::error(503, &[], " \n").message().contains("503"));
    }
}
