//! Replicate: one prediction a call, waited for until it is over or the call's time is up.
//!
//! `POST {base}/predictions` names a version, or an official model as `owner/name`. The reply comes
//! when the prediction is over or after a minute (`Prefer: wait`), and then the prediction is looked at
//! after 0.5 s, 1 s, ... every 5 s. Every prediction is paid for, so one call never makes two: once the
//! server may have one, nothing is sent again but looks, and every error says that repeating cannot
//! help. A call that is dropped, or whose time is up, cancels its prediction, as far as the network
//! lets it; for the rest the server is told with `Cancel-After` how long anybody waits. A stream may
//! last as long as it speaks; its prediction is cancelled with it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Build, Provider, ProviderSettings, Route, events, labelled};
use crate::dialect::replicate::{self, Prediction};
use crate::error::{Advice, Error, Kind, Result};
use crate::http::{Auth, Endpoint, Settings, Timeouts, pace};
use crate::llm::{BoxFuture, ChatModel, ChatStream};
use crate::runtime::{self, Farewell};
use crate::types::{ChatEvent, ChatRequest, ChatResponse, FinishReason, Pace};

const PROVIDER: &str = "replicate";

/// Replicate's constants.
pub const REPLICATE: Provider = Provider {
    name: PROVIDER,
    label: "Replicate",
    shortest_key: 8,
    base_url: "https://api.replicate.com/v1",
    default_model: "openai/gpt-5",
    key_variables: &["REPLICATE_API_TOKEN"],
    url_variable: Some("REPLICATE_BASE_URL"),
    options: &[("version", None)],
    build: Build::Own(|settings| Ok(Arc::new(ReplicateProvider::new(settings)))),
};

/// How long a call waits for its prediction when nobody says.
const DEFAULT_LIMIT: Duration = Duration::from_secs(300);
/// Replicate ends predictions after half an hour; longer waits than this are mistakes.
const LONGEST_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the server holds the reply back at most.
const LONGEST_HOLD: Duration = Duration::from_secs(60);
/// How long after its call a creation may still answer, so that what it made can be cancelled.
const GRACE: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// For one look, for cancelling, and for creating without waiting. A call's own limit comes on top.
const LOOK_LIMIT: Duration = Duration::from_secs(30);
/// A cold model says nothing for minutes, a running one speaks all the time.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// For learning what a stream has cost, after its last piece.
const ACCOUNT_LIMIT: Duration = Duration::from_secs(5);

/// One model, or one version of one.
pub struct ReplicateProvider {
    model: String,
    version: Option<String>,
    limit: Duration,
    routes: Arc<Routes>,
}

/// The same address, with and without waiting for the prediction.
struct Routes {
    wait: Route,
    plain: Route,
}

impl ReplicateProvider {
    /// Prepares nothing but texts; see [`super::LlmConfig::new`].
    #[must_use]
    pub fn new(settings: &ProviderSettings) -> Self {
        let connection = &settings.connection;
        let limit = connection.timeout.unwrap_or(DEFAULT_LIMIT).min(LONGEST_LIMIT);
        let url = format!("{}/predictions", connection.base(REPLICATE.base_url));
        let auth = Auth::Bearer(settings.key.clone().unwrap_or_default());

        let mut plain = connection.settings(Timeouts::default());
        plain.timeouts.first_byte = limit;
        plain.timeouts.idle = IDLE_LIMIT;
        plain.timeouts.total = LOOK_LIMIT;
        let mut wait = plain.clone();
        wait.timeouts.total = limit.saturating_add(GRACE);
        let mut headers = vec![(
            "Cancel-After".to_owned(),
            format!("{}s", limit.saturating_add(GRACE).as_secs()),
        )];
        headers.extend(hold(limit).map(|hold| ("Prefer".to_owned(), hold)));
        // The user's own come later and win.
        wait.headers.splice(0..0, headers);

        let routes = Routes {
            wait: Route::new(PROVIDER, url.clone(), auth.clone(), wait),
            plain: Route::new(PROVIDER, url, auth, plain),
        };
        Self {
            model: settings.model().to_owned(),
            version: settings.options.get("version").cloned(),
            limit,
            routes: Arc::new(routes),
        }
    }

    fn deadline(&self) -> Deadline {
        let now = Instant::now();
        Deadline { at: now.checked_add(self.limit).unwrap_or(now), limit: self.limit }
    }

    fn encode(&self, request: &ChatRequest, stream: bool) -> Result<Bytes> {
        replicate::encode(&self.model, self.version.as_deref(), request, stream)
    }

    async fn answer(&self, request: &ChatRequest) -> Result<ChatResponse> {
        let deadline = self.deadline();
        let body = self.encode(request, false)?;
        let mut running = Running::create(&self.routes, true, body, deadline).await?;
        running.finish(deadline, FIRST_PAUSE).await?;
        self.read(&running, request)
    }

    fn read(&self, ended: &Running, request: &ChatRequest) -> Result<ChatResponse> {
        let mut answer = ended.prediction.answer(&self.model, request)?;
        answer.pace.clone_from(&ended.pace);
        if request.keep_raw {
            answer.raw = Some(String::from_utf8_lossy(&ended.body).into_owned());
        }
        Ok(answer)
    }

    async fn open(&self, request: &ChatRequest) -> Result<ChatStream> {
        let deadline = self.deadline();
        let body = self.encode(request, true)?;
        let mut running = Running::create(&self.routes, false, body, deadline).await?;
        if let Some(endpoint) = self.routes.stream_endpoint(&running.prediction) {
            match timeout_at(deadline.at, endpoint.listen()).await {
                Ok(Ok(bytes)) => {
                    let decoder = replicate::stream_decoder(&self.model, request);
                    let routes = Arc::clone(&self.routes);
                    return Ok(accounted(Box::pin(events(bytes, decoder)), running, routes));
                }
                Ok(Err(error)) => {
                    tracing::debug!(provider = PROVIDER, %error, "waiting for the whole instead");
                }
                Err(_) => return Err(deadline.passed(None)),
            }
        }
        running.finish(deadline, FIRST_PAUSE).await?;
        let whole = replicate::events(self.read(&running, request)?);
        Ok(stream::iter(whole.into_iter().map(Ok)).boxed())
    }
}

impl Routes {
    /// An address of a prediction: the one the server says, unless it leads to another server and
    /// the key with it.
    fn address(&self, id: Option<&str>, said: Option<&str>, verb: &str) -> Result<Endpoint> {
        let base = self.plain.endpoint()?;
        if let Some(endpoint) = said.and_then(|url| base.at(url).ok()) {
            return Ok(endpoint);
        }
        match id {
            Some(id) => base.at(&format!("predictions/{id}{verb}")),
            None => {
                let text = "Failed to parse response: the prediction has no usable id";
                Err(Error::new(Kind::Decode, text))
            }
        }
    }

    /// Where a running prediction's output can be read as it comes about.
    fn stream_endpoint(&self, prediction: &Prediction) -> Option<Endpoint> {
        let url = prediction.stream_url().filter(|_| prediction.is_running())?;
        if let Ok(endpoint) = self.plain.endpoint().ok()?.at(url) {
            return Some(endpoint);
        }
        // It is on a host of its own, where the address itself is the secret: no key is sent there,
        // nor headers that may hold one.
        let settings = Settings {
            headers: vec![("Accept".to_owned(), "text/event-stream".to_owned())],
            ..self.plain.settings.clone()
        };
        Endpoint::new(PROVIDER, url, Auth::None, &settings).ok()
    }
}

/// The `Prefer` header: half the time at most, so that the rest is left for looking and cancelling.
fn hold(limit: Duration) -> Option<String> {
    match limit / 2 {
        half if half >= LONGEST_HOLD => Some("wait".to_owned()),
        half if half.as_secs() > 0 => Some(format!("wait={}", half.as_secs())),
        _ => None,
    }
}

impl ChatModel for ReplicateProvider {
    fn provider(&self) -> &str {
        PROVIDER
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn attempt_limit(&self) -> Option<Duration> {
        Some(self.limit)
    }

    fn complete<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatResponse>> {
        let blamed = |error| self.routes.plain.blamed(error);
        Box::pin(async move { self.answer(request).await.map_err(blamed) })
    }

    fn stream<'a>(&'a self, request: &'a ChatRequest) -> BoxFuture<'a, Result<ChatStream>> {
        let blamed = |error| self.routes.plain.blamed(error);
        Box::pin(async move { self.open(request).await.map_err(blamed) })
    }
}

/// When a call's time is up.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// What to report when it has passed: what went wrong last, else the passing itself.
    fn passed(self, trouble: Option<Error>) -> Error {
        let error = trouble.unwrap_or_else(|| {
            let seconds = self.limit.as_secs_f64();
            let time = match self.limit.as_secs() {
                whole if whole >= 120 && whole.is_multiple_of(60) => {
                    format!("{} minutes", whole / 60)
                }
                _ => format!("{seconds}s"),
            };
            Error::new(Kind::Timeout, format!("Prediction timed out after {time}"))
        });
        error.with_advice(Advice::Never)
    }
}

/// A prediction somebody waits for. Dropped before it is over, it is cancelled.
struct Running {
    prediction: Prediction,
    /// What the server said last.
    body: Bytes,
    /// What the answer to its making said of rate limits.
    pace: Option<Box<Pace>>,
    /// Where to look at it and what cancels it; `None` when it is over.
    open: Option<(Endpoint, Farewell)>,
}

impl Running {
    /// Makes a prediction, which is never tried twice once a server may have it.
    async fn create(
        routes: &Arc<Routes>,
        wait: bool,
        body: Bytes,
        deadline: Deadline,
    ) -> Result<Self> {
        let (sender, receiver) = oneshot::channel();
        let routes = Arc::clone(routes);
        // A task of its own: were it dropped with the call, nobody would learn the name of what it
        // made. What it makes and nobody takes is dropped, and thereby cancelled.
        runtime::spawn(async move {
            drop(sender.send(Self::make(&routes, wait, body).await));
            Ok(())
        })
        .detach();
        match timeout_at(deadline.at, receiver).await {
            Ok(Ok(made)) => made,
            Ok(Err(_)) => Err(Error::new(Kind::Internal, "the prediction was lost")),
            Err(_) => Err(deadline.passed(None)),
        }
    }

    async fn make(routes: &Routes, wait: bool, body: Bytes) -> Result<Self> {
        let route = if wait { &routes.wait } else { &routes.plain };
        let reply = route.endpoint()?.post(body).await.map_err(|error| {
            let refused = match error.status() {
                // A server that says so has made nothing; a gateway's word is no proof.
                Some(status) => matches!(status, 400..=407 | 409..=499 | 503),
                None => !Endpoint::may_have_arrived(&error),
            };
            let error = labelled(error, "API error: ");
            if refused { error } else { error.with_advice(Advice::Never) }
        })?;
        let pace = pace(&reply.headers);
        let made = Self::read(routes, reply.body);
        made.map(|made| Self { pace, ..made }).map_err(|error| error.with_advice(Advice::Never))
    }

    fn read(routes: &Routes, body: Bytes) -> Result<Self> {
        let prediction = replicate::read(&body)?;
        let open = if prediction.is_over() {
            None
        } else {
            let id = prediction.id();
            let look = routes.address(id, prediction.get_url(), "")?;
            let cancel = routes.address(id, prediction.cancel_url(), "/cancel")?;
            Some((look, Farewell::new(post(cancel))))
        };
        Ok(Self { prediction, body, open, pace: None })
    }

    /// Nothing is left to cancel.
    fn close(&mut self) {
        if let Some((_, cancel)) = self.open.take() {
            cancel.forget();
        }
    }

    /// Looks until the prediction is no longer running. Trouble on the way is borne until the
    /// deadline, since what was paid for may still arrive.
    async fn finish(&mut self, deadline: Deadline, mut pause: Duration) -> Result<()> {
        let mut trouble = None;
        while let Some((look, _)) = self.open.as_ref().filter(|_| self.prediction.is_running()) {
            let next = Instant::now().checked_add(pause).unwrap_or(deadline.at);
            sleep_until(next.min(deadline.at)).await;
            if next >= deadline.at {
                return Err(deadline.passed(trouble));
            }
            pause = pause.saturating_mul(2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            let Ok(looked) = timeout_at(deadline.at, look.get()).await else {
                return Err(deadline.passed(trouble));
            };
            match looked.and_then(|reply| Ok((replicate::read(&reply.body)?, reply.body))) {
                Ok((prediction, body)) => {
                    (self.prediction, self.body, trouble) = (prediction, body, None);
                    if self.prediction.is_over() {
                        self.close();
                    }
                }
                Err(error) => {
                    let heals = error.advice() != Advice::Never;
                    pause = pause.max(error.retry_after().unwrap_or_default());
                    let error = labelled(error, "Polling API error: ");
                    if !heals {
                        return Err(error);
                    }
                    trouble = Some(error);
                }
            }
        }
        Ok(())
    }
}

async fn post(cancel: Endpoint) {
    if let Err(error) = cancel.post(Bytes::from_static(b"{}")).await {
        tracing::debug!(provider = PROVIDER, %error, "a prediction was not cancelled");
    }
}

/// A stream that ends with what the prediction says of itself, and cancels it when dropped before.
fn accounted(events: ChatStream, running: Running, routes: Arc<Routes>) -> ChatStream {
    let state = (events, Some(running), routes);
    stream::unfold(state, |(mut events, mut running, routes)| async move {
        let event = match events.next().await? {
            Ok(ChatEvent::Done { usage, finish_reason, mut metadata }) => {
                let mut usage = usage;
                if let Some(mut ended) = running.take() {
                    let at = Instant::now().checked_add(ACCOUNT_LIMIT);
                    let at = at.unwrap_or_else(Instant::now);
                    let deadline = Deadline { at, limit: ACCOUNT_LIMIT };
                    // The answer is there; without its account it is still the answer.
                    let _ = ended.finish(deadline, Duration::ZERO).await;
                    if finish_reason != FinishReason::Other("unknown".to_owned()) {
                        ended.close();
                    }
                    let (counted, said) = ended.prediction.account();
                    usage = usage.or(counted);
                    metadata.extend(said);
                }
                Ok(ChatEvent::Done { usage, finish_reason, metadata })
            }
            Ok(event) => Ok(event),
            Err(error) => {
                running = None;
                Err(routes.plain.blamed(error.with_advice(Advice::Never)))
            }
        };
        Some((event, (events, running, routes)))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::ApiKey;

    fn provider(timeout: Option<Duration>) -> ReplicateProvider {
        let mut settings = ProviderSettings::new(PROVIDER).with_key(ApiKey::new("r8_secret-key"));
        settings.connection.timeout = timeout;
        settings.connection.headers = vec![("prefer".into(), "mine".into())];
        ReplicateProvider::new(&settings)
    }

    #[test]
    fn the_server_holds_the_reply_for_half_the_time_at_most() {
        for (limit, held) in
            [(300, Some("wait")), (120, Some("wait")), (30, Some("wait=15")), (1, None)]
        {
            assert_eq!(hold(Duration::from_secs(limit)).as_deref(), held);
        }
        let headers = &provider(None).routes.wait.settings.headers;
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["Cancel-After", "Prefer", "prefer"],
            "the user's own comes last and wins"
        );
        assert_eq!(headers[0].1, "330s");
    }

    #[test]
    fn the_call_s_time_is_the_user_s_or_five_minutes() {
        assert_eq!(provider(None).attempt_limit(), Some(DEFAULT_LIMIT));
        let limit = Duration::from_secs(7);
        let deadline = provider(Some(limit)).deadline();
        assert_eq!(provider(Some(limit)).attempt_limit(), Some(limit));
        assert_eq!(deadline.passed(None).message(), "Prediction timed out after 7s");
        let message = provider(None).deadline().passed(None).message().to_owned();
        assert_eq!(message, "Prediction timed out after 5 minutes");
        assert_eq!(provider(Some(Duration::MAX)).attempt_limit(), Some(LONGEST_LIMIT));
        let trouble = Error::new(Kind::Server, "Polling API error: down");
        let error = deadline.passed(Some(trouble));
        assert_eq!((error.kind(), error.advice()), (Kind::Server, Advice::Never));
    }
}
