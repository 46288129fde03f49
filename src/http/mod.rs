//! The one transport: prepared endpoints over pooled connections, and stream frame decoders.
//!
//! An [`Endpoint`] is a URL, its headers and its limits, parsed and checked once; a request then only
//! clones reference-counted parts. Connections live in a pool that belongs to one process: a forked
//! child gets its own. It refuses to follow redirects (they would carry the key to another host), to
//! retry (that is [`crate::resilience`]), and to print a key, a query string or a password.
//!
//! Proxies come from the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, either
//! case) unless [`Settings::proxy`] names one. Trusted roots are the system's (`SSL_CERT_FILE` and
//! `SSL_CERT_DIR` say which) plus the bundled Mozilla set, so that an image without certificates works.
//!
//! ```no_run
//! use graphbit::http::{Auth, Endpoint, Settings};
//! use graphbit::secret::ApiKey;
//!
//! # async fn example() -> graphbit::Result<()> {
//! let auth = Auth::Bearer(ApiKey::new("sk-..."));
//! let url = "https://api.openai.com/v1/embeddings";
//! let endpoint = Endpoint::new("openai", url, auth, &Settings::default())?;
//! let reply = endpoint.post(r#"{"model":"m","input":"hello"}"#.into()).await?;
//! let answer: serde_json::Value = reply.json()?;
//! # Ok(())
//! # }
//! ```

mod body;
mod connector;
mod endpoint;
mod failure;
mod lines;
pub mod ndjson;
mod pace;
mod pool;
mod reach;
pub mod sse;
mod stream;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
pub(crate) use connector::tls;
pub use endpoint::{Endpoint, shown_address};
pub use failure::{LONGEST_WAIT, Secrets, names_credential};
pub use http::HeaderMap;
pub use pace::pace;
pub use reach::is_public;
use serde::de::Deserialize;
pub use stream::ByteStream;

use crate::error::{Error, Kind, Result};
use crate::secret::ApiKey;

/// How a request proves who sends it.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// No credentials.
    #[default]
    None,
    /// `Authorization: Bearer <key>`.
    Bearer(ApiKey),
    /// A header of the provider's own, such as `api-key`.
    Header(&'static str, ApiKey),
}

/// Time limits of one request. Zero is refused by [`Endpoint::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS set-up; 10 s.
    pub connect: Duration,
    /// A whole request that is not a stream, body included; 60 s.
    pub total: Duration,
    /// From sending a streaming request to its headers, and on to its first byte; 60 s each.
    pub first_byte: Duration,
    /// Between two pieces of a stream; 30 s. There is no limit on a stream's total duration.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            total: Duration::from_secs(60),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(30),
        }
    }
}

/// What one client may change about the transport.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `http://`, `https://` or `socks5://` URL; `None` asks the environment, `""` means no proxy at all.
    pub proxy: Option<String>,
    /// Extra headers. They win over the transport's own, credentials included.
    pub headers: Vec<(String, String)>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Whether to refuse addresses of this machine and of private networks. Such connections are always
    /// direct: a proxy would look names up by itself.
    pub public_only: bool,
}

// Header values and proxy URLs may hold credentials, so only names are shown.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Settings")
            .field("proxy", &self.proxy.as_ref().map(|_| "***"))
            .field("headers", &names)
            .field("timeouts", &self.timeouts)
            .field("public_only", &self.public_only)
            .finish()
    }
}

/// A complete 2xx answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// 200 to 299.
    pub status: u16,
    /// The response headers.
    pub headers: HeaderMap,
    /// The decompressed body.
    pub body: Bytes,
}

impl Reply {
    /// The server's name for the request.
    #[must_use]
    pub fn request_id(&self) -> Option<String> {
        failure::request_id(&self.headers)
    }

    /// Reads the body as JSON; `T` may borrow from it.
    ///
    /// # Errors
    /// [`Kind::Decode`] with the decoder's reason.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|reason| {
            let text = format!("Failed to parse response: error decoding response body: {reason}");
            Error::new(Kind::Decode, text).with_request_id(self.request_id())
        })
    }
}
