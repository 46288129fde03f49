//! One prepared URL: everything about a request that does not change is parsed and checked here.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::timeout;
use url::Url;

use super::connector::Proxies;
use super::failure::{self, Secrets, names_credential};
use super::pool::{self, Held, Pooled};
use super::{Auth, ByteStream, Reply, Settings, Timeouts, body, reach};
use crate::error::{Error, Kind, Result};
use crate::runtime;
use crate::secret::ApiKey;

/// A larger answer is refused instead of filling the memory.
const LARGEST_BODY: usize = 512 << 20;

/// One URL with its headers, credentials and limits. Cloning shares everything.
#[derive(Clone)]
pub struct Endpoint {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) provider: &'static str,
    url: Url,
    /// The same, as the HTTP library takes it.
    target: Uri,
    /// The URL without query, fragment and credentials, for messages.
    pub(super) shown: String,
    headers: HeaderMap,
    pub(super) secrets: Secrets,
    pub(super) timeouts: Timeouts,
    key: pool::Key,
    generation: u64,
    client: OnceLock<Held>,
}

impl Endpoint {
    /// Prepares requests to `url`. Nothing is sent or connected.
    ///
    /// # Errors
    /// [`Kind::Configuration`], message `Request failed: builder error: ...` naming what is wrong
    /// with the URL, the key, a header, the proxy or a time limit; never the key itself.
    pub fn new(provider: &'static str, url: &str, auth: Auth, settings: &Settings) -> Result<Self> {
        Self::prepare(provider, url, auth, settings).map_err(|error| error.with_provider(provider))
    }

    fn prepare(provider: &'static str, url: &str, auth: Auth, settings: &Settings) -> Result<Self> {
        let mut url = parse_url(url)?;
        let mut secrets = Secrets::default();
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));

        if !url.username().is_empty() || url.password().is_some() {
            let (value, password) = basic(&url)?;
            headers.insert(AUTHORIZATION, value);
            secrets.add(password);
            // They cannot fail for a URL that has a host, which parse_url checked.
            let _ = url.set_username("");
            let _ = url.set_password(None);
        }
        match auth {
            Auth::None => {}
            Auth::Bearer(key) => {
                let value = header_value("API key", &format!("Bearer {}", key.expose()))?;
                headers.insert(AUTHORIZATION, value);
                secrets.add(key);
            }
            Auth::Header(name, key) => {
                headers.insert(header_name(name, 0)?, header_value("API key", key.expose())?);
                secrets.add(key);
            }
        }
        for (number, (name, value)) in settings.headers.iter().enumerate() {
            let name_for_wire = header_name(name, number)?;
            let field = format!("value of header '{name}'");
            secrets.add_header(name, value);
            headers.insert(name_for_wire, header_value(&field, value)?);
        }
        let query = url.query().unwrap_or_default();
        for (name, value) in url.query_pairs().filter(|(name, _)| holds_credential(name)) {
            // One that was not escaped goes on where a query takes it to end. The longer text is looked
            // for first: without its beginning it would not be found.
            if let Some((_, rest)) = query.split_once(&format!("{name}=")) {
                secrets.add(ApiKey::new(rest));
            }
            secrets.add(ApiKey::new(value));
        }
        if let Some(url) = settings.proxy.as_deref().filter(|url| !url.is_empty()) {
            Proxies::new(Some(url))?;
            if let Some(password) = Url::parse(url).ok().as_ref().and_then(Url::password) {
                secrets.add(ApiKey::new(password));
            }
        }
        check(&settings.timeouts)?;
        if settings.public_only {
            reach::check(&url)?;
        }

        url.set_fragment(None);
        let target = target(&url)?;
        let mut shown = url.clone();
        shown.set_query(None);
        Ok(Self {
            inner: Arc::new(Inner {
                provider,
                url,
                target,
                shown: secrets.redact(shown.into()),
                headers,
                secrets,
                timeouts: settings.timeouts,
                key: pool::Key {
                    proxy: settings.proxy.clone(),
                    connect: settings.timeouts.connect,
                    public_only: settings.public_only,
                },
                generation: runtime::generation(),
                client: OnceLock::new(),
            }),
        })
    }

    /// Another address of the same server, reached with the same headers, credentials and limits.
    /// `url` may be relative to this one.
    ///
    /// # Errors
    /// [`Kind::Configuration`] when `url` is unusable or leads to another scheme, host or port: an
    /// address found in an answer must not carry the key away.
    pub fn at(&self, url: &str) -> Result<Self> {
        let inner = &self.inner;
        let mut joined = inner.url.join(url).map_err(|reason| {
            let shown = without_secrets(url);
            let text = format_args!("the URL '{shown}' is unusable ({reason})");
            refused(text).with_provider(inner.provider)
        })?;
        if joined.origin() != inner.url.origin() || !joined.username().is_empty() {
            let shown = without_secrets(url);
            let text = format_args!("the URL '{shown}' leads away from {}", inner.shown);
            return Err(refused(text).with_provider(inner.provider));
        }
        joined.set_fragment(None);
        let target = target(&joined).map_err(|error| error.with_provider(inner.provider))?;
        let mut shown = joined.clone();
        shown.set_query(None);
        Ok(Self {
            inner: Arc::new(Inner {
                provider: inner.provider,
                url: joined,
                target,
                shown: inner.secrets.redact(shown.into()),
                headers: inner.headers.clone(),
                secrets: inner.secrets.clone(),
                timeouts: inner.timeouts,
                key: inner.key.clone(),
                generation: runtime::generation(),
                client: OnceLock::new(),
            }),
        })
    }

    /// The provider this endpoint was prepared for.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        self.inner.provider
    }

    /// The URL as messages show it: no query, no credentials.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.inner.shown
    }

    /// Removes this endpoint's secrets from a text that came from outside.
    #[must_use]
    pub fn redact(&self, text: String) -> String {
        self.inner.secrets.redact(text)
    }

    /// Posts a JSON body and reads the whole answer, within `Timeouts::total`.
    ///
    /// # Errors
    /// Any status but 2xx: kind, status, request id and advice as the server gave them, the body as
    /// message. [`Kind::Network`] or [`Kind::Timeout`] when there was no complete answer.
    pub async fn post(&self, body: Bytes) -> Result<Reply> {
        self.exchange(Method::POST, Some(body)).await
    }

    /// Puts a JSON body in its place, and is otherwise [`Endpoint::post`].
    pub(crate) async fn put(&self, body: Bytes) -> Result<Reply> {
        self.exchange(Method::PUT, Some(body)).await
    }

    /// Gets the whole answer, within `Timeouts::total`.
    ///
    /// # Errors
    /// As [`Endpoint::post`].
    pub async fn get(&self) -> Result<Reply> {
        self.exchange(Method::GET, None).await
    }

    /// Posts a JSON body and returns the answer as it arrives. Dropping the stream closes the connection.
    ///
    /// # Errors
    /// As [`Endpoint::post`], before the first byte of a 2xx answer; later ones come from the stream.
    pub async fn open(&self, body: Bytes) -> Result<ByteStream> {
        self.receive(Method::POST, Some(body)).await
    }

    /// Gets an answer as it arrives, as [`Endpoint::open`] does for a request with a body.
    ///
    /// # Errors
    /// As [`Endpoint::open`].
    pub async fn listen(&self) -> Result<ByteStream> {
        self.receive(Method::GET, None).await
    }

    /// Whether the request behind an error may have reached the server: `false` only when no
    /// connection came about.
    #[must_use]
    pub fn may_have_arrived(error: &Error) -> bool {
        std::error::Error::source(error)
            .and_then(|source| source.downcast_ref::<hyper_util::client::legacy::Error>())
            .is_none_or(|cause| !cause.is_connect())
    }

    async fn receive(&self, method: Method, body: Option<Bytes>) -> Result<ByteStream> {
        let limit = self.inner.timeouts.first_byte;
        let response = match timeout(limit, self.send(method, body, true)).await {
            Ok(response) => response?,
            Err(_) => {
                let text = format!(
                    "Connection timeout after {}s - {} did not respond",
                    limit.as_secs_f64(),
                    self.inner.provider
                );
                return Err(Error::new(Kind::Timeout, text).with_provider(self.inner.provider));
            }
        };
        if !response.status().is_success() {
            return Err(failure::from_response(&self.inner, response).await);
        }
        Ok(ByteStream::new(Arc::clone(&self.inner), response))
    }

    async fn exchange(&self, method: Method, body: Option<Bytes>) -> Result<Reply> {
        let work = async {
            let response = self.send(method, body, false).await?;
            if response.status().is_success() {
                self.read(response).await
            } else {
                Err(failure::from_response(&self.inner, response).await)
            }
        };
        let limit = self.inner.timeouts.total;
        match timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => Err(self.inner.timed_out(limit)),
        }
    }

    pub(super) async fn send(
        &self,
        method: Method,
        body: Option<Bytes>,
        stream: bool,
    ) -> Result<Response<Incoming>> {
        let inner = &self.inner;
        let bodiless = body.is_none();
        let mut request = Request::new(Full::new(body.unwrap_or_default()));
        *request.method_mut() = method;
        *request.uri_mut() = inner.target.clone();
        *request.headers_mut() = inner.headers.clone();
        let headers = request.headers_mut();
        if bodiless {
            headers.remove(CONTENT_TYPE);
        }
        if stream {
            // A compressor in between would hold small events back.
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }

        let generation = runtime::generation();
        let pooled;
        let client = match inner.client.get().and_then(|held| held.get(generation)) {
            Some(client) => client,
            None => {
                pooled = Pooled::new(&inner.key, &inner.target)
                    .map_err(|error| error.with_provider(inner.provider))?;
                // A child leaves the inherited cell alone: the parent may have been filling it at the
                // fork, and nobody would ever finish. It pays one look-up in the pool instead.
                if generation == inner.generation {
                    let _ = inner.client.set(Held::new(generation, pooled.clone()));
                }
                &pooled
            }
        };
        client.request(request).await.map_err(|error| inner.transport(error))
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Reply> {
        let (parts, mut body) = response.into_parts();
        let (status, mut headers) = (parts.status.as_u16(), parts.headers);
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let announced = announced.and_then(|length| length.parse::<usize>().ok());
        if announced.is_some_and(|length| length > LARGEST_BODY) {
            return Err(self.too_large(&headers));
        }
        let whole = self.collect(&mut body, announced.unwrap_or_default(), &headers).await?;
        let Some(inflated) = body::inflated(&mut headers, &whole, LARGEST_BODY) else {
            return Ok(Reply { status, headers, body: whole });
        };
        match inflated {
            Ok(body) => Ok(Reply { status, headers, body }),
            Err(body::Inflating::TooLarge) => Err(self.too_large(&headers)),
            Err(body::Inflating::Broken(reason)) => {
                let text =
                    format!("Failed to parse response: error decoding response body: {reason}");
                Err(Error::new(Kind::Decode, text)
                    .with_provider(self.inner.provider)
                    .with_request_id(failure::request_id(&headers)))
            }
        }
    }

    async fn collect(
        &self,
        body: &mut Incoming,
        announced: usize,
        headers: &HeaderMap,
    ) -> Result<Bytes> {
        let mut piece =
            async || body::next_piece(body).await.map_err(|error| self.inner.transport(error));
        // Most answers are one piece, which is then passed on without a copy.
        let Some(first) = piece().await? else { return Ok(Bytes::new()) };
        let Some(second) = piece().await? else { return Ok(first) };
        let known = first.len().saturating_add(second.len());
        let mut whole = BytesMut::with_capacity(announced.max(known));
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(next) = piece().await? {
            if whole.len().saturating_add(next.len()) > LARGEST_BODY {
                return Err(self.too_large(headers));
            }
            whole.extend_from_slice(&next);
        }
        Ok(whole.freeze())
    }

    fn too_large(&self, headers: &HeaderMap) -> Error {
        let text = format!(
            "Failed to parse response: the answer of {} is larger than {} MiB",
            self.inner.shown,
            LARGEST_BODY >> 20
        );
        // The same question would get the same answer.
        Error::new(Kind::Decode, text)
            .with_advice(crate::error::Advice::Never)
            .with_provider(self.inner.provider)
            .with_request_id(failure::request_id(headers))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("provider", &self.inner.provider)
            .field("url", &self.inner.shown)
            .finish_non_exhaustive()
    }
}

const AGENT: &str = concat!("graphbit/", env!("CARGO_PKG_VERSION"));

fn refused(text: impl fmt::Display) -> Error {
    Error::new(Kind::Configuration, format!("Request failed: builder error: {text}"))
}

fn parse_url(text: &str) -> Result<Url> {
    let right = "it must be absolute, such as https://host/v1";
    let url = Url::parse(text).map_err(|reason| {
        refused(format_args!("the URL '{}' is unusable ({reason}); {right}", without_secrets(text)))
    })?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        let shown = without_secrets(text);
        return Err(refused(format_args!(
            "the URL '{shown}' is not an http:// or https:// URL; {right}"
        )));
    }
    Ok(url)
}

fn target(url: &Url) -> Result<Uri> {
    url.as_str().parse().map_err(|reason| {
        let shown = without_secrets(url.as_str());
        refused(format_args!("the URL '{shown}' is unusable ({reason})"))
    })
}

/// What may be shown of a text that was meant to be a URL but could not be taken apart.
fn without_secrets(text: &str) -> &str {
    // A password may hold any of the other two, so everything up to the last "@" goes first.
    let text = text.rsplit('@').next().unwrap_or_default();
    text.split(['?', '#']).next().unwrap_or_default()
}

/// `Authorization: Basic` from `http://user:password@host`.
fn basic(url: &Url) -> Result<(HeaderValue, ApiKey)> {
    let decode = |part: &str| percent_decoded(part.as_bytes());
    let password = decode(url.password().unwrap_or_default());
    let mut pair = decode(url.username());
    pair.push(b':');
    pair.extend_from_slice(&password);
    let encoded = BASE64_STANDARD.encode(&pair);
    let value = header_value("user and password of the URL", &format!("Basic {encoded}"))?;
    Ok((value, ApiKey::new(String::from_utf8_lossy(&password).into_owned())))
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = match tail {
            [high, low, ..] if byte == b'%' => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        decoded.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    decoded
}

/// The text is not shown: somebody who mixed up name and value put a secret there.
fn header_name(name: &str, number: usize) -> Result<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        let number = number.saturating_add(1);
        refused(format_args!(
            "the name of header {number} is not a header name; use letters, digits and hyphens"
        ))
    })
}

/// Whether a parameter of a query is one that must not be repeated.
fn holds_credential(name: &str) -> bool {
    let words = ["sig", "signature", "code", "password", "passwd", "pwd"];
    names_credential(name) || words.iter().any(|word| name.eq_ignore_ascii_case(word))
}

/// An address as messages may show it: no credentials, no query.
#[must_use]
pub fn shown_address(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return without_secrets(text).to_owned() };
    // They cannot fail for a URL that has a host; one without has neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().trim_end_matches('/').to_owned()
}

fn header_value(field: &str, value: &str) -> Result<HeaderValue> {
    let mut header = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
        refused(format_args!(
            "the {field} contains a line break or another control character; \
             strip it (a trailing newline from a file is the usual cause)"
        ))
    })?;
    header.set_sensitive(true);
    Ok(header)
}

fn check(timeouts: &Timeouts) -> Result<()> {
    let Timeouts { connect, total, first_byte, idle } = *timeouts;
    if [connect, total, first_byte, idle].contains(&Duration::ZERO) {
        return Err(refused("a time limit is zero; every time limit must be positive"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str, auth: Auth, settings: &Settings) -> String {
        let error = Endpoint::new("openai", url, auth, settings).unwrap_err();
        assert_eq!(error.kind(), Kind::Configuration);
        assert_eq!(error.provider(), Some("openai"));
        assert!(error.message().starts_with("Request failed: builder error"), "{error}");
        error.message().to_owned()
    }

    #[test]
    fn unusable_urls_are_named_without_their_secrets() {
        let none = Settings::default();
        for url in ["", "api.host/v1", "ftp://host/", "https://", "host:8080/v1"] {
            let text = refusal(url, Auth::None, &none);
            assert!(text.contains("https://host/v1"), "{text}");
        }
        let text = refusal("htp//user:hunter2@host/v1?key=hunter3", Auth::None, &none);
        assert!(text.contains("host/v1") && !text.contains("hunter"), "{text}");
    }

    #[test]
    fn a_key_with_a_line_break_is_refused_and_not_shown() {
        for auth in [
            Auth::Bearer(ApiKey::new("sk-secret-text\n")),
            Auth::Header("api-key", ApiKey::new("sk-secret-text\r\n")),
        ] {
            let text = refusal("https://host/v1", auth, &Settings::default());
            assert!(text.contains("API key") && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn bad_headers_proxies_and_limits_are_named() {
        let with = |change: &dyn Fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            refusal("https://host/v1", Auth::None, &settings)
        };
        let name = with(&|s| s.headers.push(("bad name".into(), "x".into())));
        assert!(name.contains("header 1") && !name.contains("bad name"), "{name}");
        let value = with(&|s| s.headers.push(("x-team".into(), "hunter2\n".into())));
        assert!(value.contains("'x-team'") && !value.contains("hunter2"), "{value}");
        let proxy = with(&|s| s.proxy = Some("http://user:hunter2@ bad".into()));
        assert!(proxy.contains("proxy") && !proxy.contains("hunter2"), "{proxy}");
        let limit = with(&|s| s.timeouts.idle = Duration::ZERO);
        assert!(limit.contains("positive"), "{limit}");
    }

    #[test]
    fn nothing_printed_holds_a_secret() {
        let settings = Settings {
            headers: vec![("x-api-key".into(), "hunter-header".into())],
            proxy: Some("http://u:hunter-proxy@127.0.0.1:1".into()),
            ..Settings::default()
        };
        let key = Auth::Bearer(ApiKey::new("hunter-key"));
        let url = "https://user:hunter-user@host/v1?key=hunter-query#hunter-fragment";
        let endpoint = Endpoint::new("openai", url, key, &settings).unwrap();
        let shown = format!("{endpoint:?} {settings:?} {}", endpoint.url());
        assert!(!shown.contains("hunter"), "{shown}");
        assert_eq!(endpoint.url(), "https://host/v1");
        let quoted = "hunter-key hunter-user hunter-proxy hunter-header".to_owned();
        assert_eq!(endpoint.redact(quoted), "*** *** *** ***");
    }

    #[test]
    fn another_address_is_on_the_same_server_or_refused() {
        let key = Auth::Bearer(ApiKey::new("hunter-key"));
        let url = "https://host/v1/predictions?a=1";
        let endpoint = Endpoint::new("replicate", url, key, &Settings::default()).unwrap();
        for (given, reached) in [
            ("https://host/v1/other", "https://host/v1/other"),
            ("https://host:443/v1/x?token=1#y", "https://host/v1/x"),
            ("predictions/7", "https://host/v1/predictions/7"),
            ("/7", "https://host/7"),
        ] {
            let other = endpoint.at(given).unwrap();
            assert_eq!(other.url(), reached);
            assert_eq!(other.inner.headers, endpoint.inner.headers);
            assert_eq!(other.redact("hunter-key".into()), "***");
        }
        for given in [
            "http://host/v1",
            "https://other/v1",
            "https://host:8443/v1",
            "//other/v1",
            "https://user@host/v1",
            "https://",
            "data:text/plain,x",
        ] {
            let error = endpoint.at(given).unwrap_err();
            assert_eq!(error.kind(), Kind::Configuration, "{given}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_unescaped() {
        assert_eq!(percent_decoded(b"a%40b%zz%4"), b"a@b%zz%4");
    }
}
