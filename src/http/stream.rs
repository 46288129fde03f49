//! The body of a streaming answer, piece by piece.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::endpoint::Inner;
use super::{Endpoint, HeaderMap, body, failure};
use crate::error::{Error, Kind, Result};

/// An answer as it arrives. Ends once: after `None` or an error there is only `None`.
/// Dropping it closes the connection (HTTP/1.1) or resets the stream (HTTP/2).
pub struct ByteStream {
    endpoint: Arc<Inner>,
    headers: HeaderMap,
    body: Option<Incoming>,
    started: bool,
}

impl Endpoint {
    /// Gets an answer of any status as it arrives, with its status: for readers of documents, to whom a
    /// redirect is a step on the way. Only connecting has a time limit.
    ///
    /// # Errors
    /// [`Kind::Network`], [`Kind::Timeout`] or, where only public addresses are allowed,
    /// [`Kind::PermissionDenied`], when there is no answer.
    pub async fn answer(&self) -> Result<(u16, ByteStream)> {
        let response = self.send(Method::GET, None, true).await?;
        let status = response.status().as_u16();
        Ok((status, ByteStream::new(Arc::clone(&self.inner), response)))
    }
}

impl ByteStream {
    pub(super) fn new(endpoint: Arc<Inner>, response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        Self { endpoint, headers: parts.headers, body: Some(body), started: false }
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
        let body = self.body.as_mut()?;
        let timeouts = &self.endpoint.timeouts;
        let limit = if self.started { timeouts.idle } else { timeouts.first_byte };
        let text = match timeout(limit, body::next_piece(body)).await {
            Ok(Ok(Some(piece))) => {
                self.started = true;
                return Some(Ok(piece));
            }
            Ok(Ok(None)) => {
                self.body = None;
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
        self.body = None;
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
