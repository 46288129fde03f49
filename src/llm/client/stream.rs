//! Streamed answers of an [`LlmClient`]: opened through its layers, and counted when they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use super::{LlmClient, Model, check, placed};
use crate::error::{Error, Result};
use crate::llm::ChatStream;
use crate::resilience::{Lease, Route};
use crate::types::{ChatEvent, ChatRequest};

/// Under these names of its metadata the answer of one of several models says whose it is.
pub const ANSWERED_BY: &str = "provider";
/// See [`ANSWERED_BY`].
pub const MODEL: &str = "model";

impl LlmClient {
    /// Opens a streamed answer. Opening is tried again where that can help, up to and including the
    /// first event; what fails later is the stream's to report. A stream counts as one call, successful
    /// once its terminal event has come; one that is dropped before counts as begun only. It is never
    /// from the cache.
    ///
    /// # Errors
    /// As [`LlmClient::complete`]; [`Kind::Configuration`] when the model cannot stream.
    pub async fn stream(&self, request: ChatRequest) -> Result<ChatStream> {
        self.stream_observed(request, |_| std::future::ready(())).await
    }

    /// As [`LlmClient::stream`]; `announce` is awaited before each attempt with its number, from 1.
    ///
    /// # Errors
    /// As [`LlmClient::stream`].
    pub async fn stream_observed<F: Future<Output = ()>>(
        &self,
        request: ChatRequest,
        announce: impl Fn(u32) -> F,
    ) -> Result<ChatStream> {
        check(&request)?;
        let inner = Arc::clone(&self.inner);
        let (started, attempts) = (Instant::now(), AtomicU32::new(0));
        inner.stats.begin();
        let opened = {
            let (inner, request, attempts, announce) = (&inner, &request, &attempts, &announce);
            let open = |route: Route<Model>| async move {
                let model = &route.model;
                let attempt = || {
                    let number = attempts.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                    let announced = announce(number);
                    async {
                        announced.await;
                        let mut events = model.stream(request).await?;
                        let first = events.next().await.transpose()?;
                        Ok(stream::iter(first.map(Ok)).chain(events))
                    }
                };
                let opened =
                    route.stack.open(|tally| inner.estimate(request, tally), attempt).await;
                let (events, lease) = opened.map_err(|error| placed(&**model, "stream", error))?;
                Ok((events, lease, route))
            };
            inner.routes.ask(open).await
        };
        let (events, lease, route) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                inner.stats.end(started.elapsed(), false);
                return Err(error);
            }
        };
        let attempts = attempts.into_inner();
        let mut open: Option<Lease> = Some(lease);
        let mut ended = move |error: Option<&Error>, tokens: Option<u64>| {
            if let Some(lease) = open.take() {
                lease.end(error, tokens);
                inner.stats.end(started.elapsed(), error.is_none());
            }
        };
        let several = self.inner.routes.all().len() > 1;
        let counted = events.map(move |event| match event {
            Ok(ChatEvent::Done { usage, finish_reason, mut metadata }) => {
                ended(None, usage.map(|usage| usage.total_tokens));
                if several {
                    let model = &route.model;
                    metadata.insert(ANSWERED_BY.to_owned(), model.provider().into());
                    metadata.insert(MODEL.to_owned(), model.model().into());
                }
                Ok(ChatEvent::Done { usage, finish_reason, metadata })
            }
            Err(error) => {
                ended(Some(&error), None);
                Err(placed(&*route.model, "stream", error).with_attempts(attempts))
            }
            event => event,
        });
        Ok(Box::pin(counted))
    }
}
