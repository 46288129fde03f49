//! The body of a streaming answer, piece by piece.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::Response;
use tokio::time::timeout;

use super::HeaderMap;
use super::endpoint::Inner;
use super::failure;
use crate::error::{Error, Kind, Result};

/// A 2xx answer as it arrives. Ends once: after `None` or an error there is only `None`.
/// Dropping it closes the connection (HTTP/1.1) or resets the stream (HTTP/2).
pub struct ByteStream {
    endpoint: Arc<Inner>,
    headers: HeaderMap,
    response: Option<Response>,
    started: bool,
}

impl ByteStream {
    pub(super) fn new(endpoint: Arc<Inner>, mut response: Response) -> Self {
        let headers = std::mem::take(response.headers_mut());
        Self { endpoint, headers, response: Some(response), started: false }
    }

    /// The response headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The next piece, of whatever size the network delivered.
    ///
    /// # Errors
    /// [`Kind::Stream`] when the connection broke, or when nothing came for `Timeouts::idle`
    /// (`Timeouts::first_byte` before the first piece).
    pub async fn next(&mut self) -> Option<Result<Bytes>> {
        let response = self.response.as_mut()?;
        let timeouts = &self.endpoint.timeouts;
        let limit = if self.started { timeouts.idle } else { timeouts.first_byte };
        let text = match timeout(limit, response.chunk()).await {
            Ok(Ok(Some(piece))) => {
                self.started = true;
                return Some(Ok(piece));
            }
            Ok(Ok(None)) => {
                self.response = None;
                return None;
            }
            Ok(Err(error)) => {
                let cause = self.endpoint.secrets.redact(failure::root_cause(&error));
                format!("Stream error: error decoding response body: {cause}")
            }
            Err(_) => format!(
                "Stream timeout after {}s - response may be incomplete",
                limit.as_secs_f64()
            ),
        };
        self.response = None;
        Some(Err(Error::new(Kind::Stream, text)
            .with_provider(self.endpoint.provider)
            .with_request_id(failure::request_id(&self.headers))))
    }
}

impl std::fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByteStream").field("url", &self.endpoint.shown).finish_non_exhaustive()
    }
}
