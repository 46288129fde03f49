//! Bytes from a server: one GET, redirects followed, stopped at the limit.
//!
//! Half a minute is all there is, redirects and body included. Credentials of a URL go to its own server
//! only. It refuses to repeat them: messages and metadata show the URL without.

use std::fmt;
use std::time::Duration;

use ::http::StatusCode;
use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use ::url::Url;

use super::format::Format;
use crate::error::{Error, Kind, Result};
use crate::http::{Auth, ByteStream, Endpoint, Settings, Timeouts};

/// For everything.
const TIME: Duration = Duration::from_secs(30);
const REDIRECTS: usize = 10;

/// What a server sent.
pub(crate) struct Fetched {
    pub(crate) body: Vec<u8>,
    /// In lower case, empty when there was none.
    pub(super) content_type: String,
}

impl Fetched {
    /// The encoding that the server names.
    pub(super) fn charset(&self) -> Option<&str> {
        let parameters = self.content_type.split(';').skip(1);
        let charset = parameters.filter_map(|it| it.trim().strip_prefix("charset=")).next()?;
        Some(charset.trim().trim_matches(['"', '\'']))
    }

    /// The format that the server names.
    pub(super) fn format(&self) -> Option<Format> {
        let office = "application/vnd.openxmlformats-officedocument";
        match self.content_type.split(';').next().unwrap_or_default().trim() {
            "text/html" | "application/xhtml+xml" => Some(Format::Html),
            "application/pdf" => Some(Format::Pdf),
            "application/json" => Some(Format::Json),
            "text/csv" => Some(Format::Csv),
            "text/xml" | "application/xml" => Some(Format::Xml),
            "application/vnd.ms-excel" => Some(Format::Xls),
            other => match other.strip_prefix(office)? {
                ".wordprocessingml.document" => Some(Format::Docx),
                ".spreadsheetml.sheet" => Some(Format::Xlsx),
                _ => None,
            },
        }
    }
}

/// A URL as it was given, without user and password.
pub(super) fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// At most `limit` bytes, asked for in the name of `agent`.
pub(crate) async fn fetch(
    url: &str,
    limit: u64,
    public_only: bool,
    agent: &str,
) -> Result<Fetched> {
    let get = Get { url, shown: shown(url), limit, public_only, agent };
    match tokio::time::timeout(TIME, get.run()).await {
        Ok(fetched) => fetched,
        Err(_) => {
            let text = format!("no complete answer within {}s", TIME.as_secs());
            Err(get.failed(Kind::DocumentTimeout, text))
        }
    }
}

struct Get<'a> {
    url: &'a str,
    shown: String,
    limit: u64,
    public_only: bool,
    agent: &'a str,
}

impl Get<'_> {
    async fn run(&self) -> Result<Fetched> {
        let settings = Settings {
            headers: vec![("user-agent".to_owned(), self.agent.to_owned())],
            timeouts: Timeouts { first_byte: TIME, idle: TIME, ..Timeouts::default() },
            public_only: self.public_only,
            ..Settings::default()
        };
        let mut address = self.url.to_owned();
        for _ in 0..=REDIRECTS {
            let endpoint = Endpoint::new("the server", &address, Auth::None, &settings);
            let answer = match endpoint {
                Ok(endpoint) => endpoint.answer().await,
                Err(error) => Err(error),
            };
            let (status, answer) = answer.map_err(|error| self.unreachable(error))?;
            if let Some(target) = target(&address, status, &answer) {
                address = target;
                continue;
            }
            if !(200..300).contains(&status) {
                return Err(self.refused(status));
            }
            return self.read(answer).await;
        }
        Err(self.failed(Kind::DocumentNetwork, format!("more than {REDIRECTS} redirects")))
    }

    async fn read(&self, mut answer: ByteStream) -> Result<Fetched> {
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let content_type = header(CONTENT_TYPE).unwrap_or_default().to_lowercase();
        let announced = header(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        if let Some(length) = announced.filter(|length| *length > self.limit) {
            return Err(self.too_large("Remote", length));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.next().await {
            let piece = piece.map_err(|error| {
                let text = format!("Failed to read response body: {error}");
                Error::new(Kind::DocumentNetwork, text).with_source(error)
            })?;
            body.extend_from_slice(&piece);
            if body.len() as u64 > self.limit {
                return Err(self.too_large("Downloaded", body.len() as u64));
            }
        }
        Ok(Fetched { body, content_type })
    }

    fn too_large(&self, whose: &str, length: u64) -> Error {
        let limit = self.limit;
        let text = format!(
            "{whose} file size ({length} bytes) exceeds maximum allowed size ({limit} bytes)"
        );
        Error::new(Kind::Document, text)
    }

    fn unreachable(&self, error: Error) -> Error {
        let kind = match error.kind() {
            Kind::Timeout => Kind::DocumentTimeout,
            Kind::PermissionDenied => Kind::DocumentDenied,
            Kind::Configuration => Kind::Document,
            _ => Kind::DocumentNetwork,
        };
        let cause = error.message();
        let text = cause.strip_prefix("Request failed: ").unwrap_or(cause).to_owned();
        self.failed(kind, text).with_source(error)
    }

    fn refused(&self, status: u16) -> Error {
        let kind = match status {
            404 | 410 => Kind::DocumentNotFound,
            401 | 403 => Kind::DocumentDenied,
            408 | 504 => Kind::DocumentTimeout,
            _ => Kind::Document,
        };
        let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let reason = reason.unwrap_or("<unknown status code>");
        let text = format!("HTTP error {status} {reason}: {}", self.shown);
        Error::new(kind, text).with_status(status)
    }

    fn failed(&self, kind: Kind, cause: impl fmt::Display) -> Error {
        Error::new(kind, format!("Failed to fetch URL {}: {cause}", self.shown))
    }
}

/// Where a redirect leads, if it leads anywhere we go.
fn target(address: &str, status: u16, answer: &ByteStream) -> Option<String> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let from = Url::parse(address).ok()?;
    let location = answer.headers().get(LOCATION)?.to_str().ok()?;
    redirected(&from, location).map(Into::into)
}

fn redirected(from: &Url, location: &str) -> Option<Url> {
    let mut to = from.join(location).ok()?;
    if !matches!(to.scheme(), "http" | "https") {
        return None;
    }
    if to.origin() == from.origin() && to.username().is_empty() && to.password().is_none() {
        to.set_username(from.username()).ok()?;
        to.set_password(from.password()).ok()?;
    }
    Some(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_not_shown() {
        for (given, expected) in [
            ("http://u:p@host/a?b#c", "http://host/a?b#c"),
            ("HTTPS://u:p@d@host", "HTTPS://host"),
            ("http://host/a@b", "http://host/a@b"),
            ("http://", "http://"),
        ] {
            assert_eq!(shown(given), expected);
        }
    }

    #[test]
    fn credentials_stay_with_their_server() {
        let from = Url::parse("http://u:p@host/a").unwrap();
        let to = |location: &str| redirected(&from, location).map(String::from);
        assert_eq!(to("/b").unwrap(), "http://u:p@host/b");
        assert_eq!(to("http://other/b").unwrap(), "http://other/b");
        assert_eq!(to("https://host/b").unwrap(), "https://host/b");
        assert_eq!(to("http://host:81/b").unwrap(), "http://host:81/b");
        assert_eq!(to("file:///etc/passwd"), None);
    }

    #[test]
    fn the_charset_is_found_among_the_parameters() {
        let charset = |text: &str| {
            let fetched = Fetched { body: Vec::new(), content_type: text.to_owned() };
            fetched.charset().map(str::to_owned)
        };
        assert_eq!(charset("text/html; charset=\"utf-8\"").as_deref(), Some("utf-8"));
        assert_eq!(charset("text/html;x=1;charset=latin1").as_deref(), Some("latin1"));
        assert_eq!(charset("text/html"), None);
    }
}
