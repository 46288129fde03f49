//! The server's REST interface: its addresses, one request, and what answers and refusals become.
//!
//! Everything that is asked or written here may be asked or written again, so that what passes (a server that
//! restarts, is too busy, or breaks a connection) is tried again a few times. The key is a header and nothing
//! else: it stands in no address, and what a server quotes of it is taken out.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::{Host, Url};

use crate::error::{Advice, Error, Kind, Result, shortened};
use crate::http::{Auth, Endpoint, Reply, Settings, Timeouts};
use crate::resilience::{Answer, Protection, RetryPolicy, Stack};
use crate::secret::ApiKey;

const PROVIDER: &str = "qdrant";
/// Attempts at most, with pauses of 0.1, 0.2, 0.4, ... s, twice as long at worst: a server that restarts is back.
const ATTEMPTS: u32 = 7;
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The longest wait that the server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Bytes of a refusal that are repeated.
const LONGEST_REFUSAL: usize = 2000;
const LONGEST_NAME: usize = 255;

/// The addresses of one collection.
pub(super) struct Server {
    collection: Endpoint,
    indexes: Endpoint,
    upserts: Endpoint,
    points: Endpoint,
    deletions: Endpoint,
    scroll: Endpoint,
    query: Endpoint,
    count: Endpoint,
    stack: Stack,
}

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// What the collection looks like.
    Describe,
    Create,
    Index,
    Upsert,
    /// Points by their names.
    Points,
    Delete,
    Scroll,
    Query,
    Count,
}

impl Answer for Reply {}

#[derive(Deserialize)]
struct Answered<T> {
    result: T,
}

impl Server {
    /// Prepares everything, sends nothing.
    pub(super) fn new(
        url: &str,
        collection: &str,
        key: Option<ApiKey>,
        timeout: Duration,
        insecure: bool,
    ) -> Result<Self> {
        check_name(collection)?;
        let auth = key.map_or(Auth::None, |key| Auth::Header("api-key", key));
        let timeouts = Timeouts { total: timeout, ..Timeouts::default() };
        let settings = Settings { timeouts, ..Settings::default() };
        let has_key = matches!(auth, Auth::Header(..));
        let base = Endpoint::new(PROVIDER, url, auth, &settings)?;
        // The endpoint has looked at it.
        let parsed = Url::parse(url).map_err(|cause| Error::configuration(cause.to_string()))?;
        if has_key && !insecure && !is_private(&parsed) {
            let text = "would travel to another machine in the clear; use https, or insecure=True where nobody listens";
            return Err(Error::validation("api_key", None, text));
        }
        let at = |steps: &[&str], query: &str| {
            let mut url = parsed.clone();
            if let Ok(mut path) = url.path_segments_mut() {
                path.pop_if_empty().extend(["collections", collection]).extend(steps);
            }
            base.at(&format!("{}{query}", url.path()))
        };
        // A change is answered when it can be seen.
        let wait = "?wait=true";
        let retry = RetryPolicy {
            attempts: ATTEMPTS,
            cap: LONGEST_PAUSE,
            longest_wait: LONGEST_WAIT,
            ..RetryPolicy::default()
        };
        let protection = Protection { retry, breaker: None, ..Protection::default() };
        Ok(Self {
            collection: at(&[], "")?,
            indexes: at(&["index"], wait)?,
            upserts: at(&["points"], wait)?,
            points: at(&["points"], "")?,
            deletions: at(&["points", "delete"], wait)?,
            scroll: at(&["points", "scroll"], "")?,
            query: at(&["points", "query"], "")?,
            count: at(&["points", "count"], "")?,
            stack: Stack::new(PROVIDER, protection),
        })
    }

    /// The server as messages may show it.
    pub(super) fn url(&self) -> &str {
        let url = self.collection.url();
        url.rsplit_once("/collections/").map_or(url, |(before, _)| before)
    }

    /// The `result` of an answer.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        call: Call,
        body: &impl Serialize,
    ) -> Result<T> {
        let body = serde_json::to_vec(body)
            .map_err(|cause| Error::new(Kind::Internal, cause.to_string()))?;
        self.send(call, body.into()).await
    }

    /// The same, for a body that is written already.
    pub(super) async fn send<T: DeserializeOwned>(&self, call: Call, body: Bytes) -> Result<T> {
        let reply = self.stack.call(|_| 0, || self.attempt(call, body.clone())).await;
        let reply = reply.map_err(|error| self.refused(&error))?;
        let answered: Result<Answered<T>> = reply.json();
        Ok(answered.map_err(|error| self.refused(&error))?.result)
    }

    async fn attempt(&self, call: Call, body: Bytes) -> Result<Reply> {
        let sent = match call {
            Call::Describe => self.collection.get().await,
            Call::Create => self.collection.put(body).await,
            Call::Index => self.indexes.put(body).await,
            Call::Upsert => self.upserts.put(body).await,
            Call::Points => self.points.post(body).await,
            Call::Delete => self.deletions.post(body).await,
            Call::Scroll => self.scroll.post(body).await,
            Call::Query => self.query.post(body).await,
            Call::Count => self.count.post(body).await,
        };
        sent.map_err(|error| match error.kind() {
            // The limit is the caller's, and is no limit when it counts for each attempt.
            Kind::Timeout => error.with_advice(Advice::Never),
            // Somebody else was first.
            _ if call == Call::Create && error.status() == Some(409) => {
                error.with_advice(Advice::Never)
            }
            _ => error,
        })
    }

    fn refused(&self, error: &Error) -> Error {
        let kind = match (error.kind(), error.status()) {
            (
                kind @ (Kind::Authentication
                | Kind::PermissionDenied
                | Kind::Network
                | Kind::Timeout
                | Kind::Configuration
                | Kind::Cancelled
                | Kind::Internal),
                _,
            ) => kind,
            // It is there and cannot be spoken to.
            (Kind::RateLimited | Kind::QuotaExhausted, _) | (_, Some(502..=504)) => Kind::Network,
            _ => Kind::Store,
        };
        let said = shortened(said(error.message()), LONGEST_REFUSAL, " [shortened]");
        let text = format!("Qdrant at {}: {}", self.url(), self.collection.redact(said));
        let mut told = Error::new(kind, text)
            .with_provider(PROVIDER)
            .with_request_id(error.request_id().map(str::to_owned));
        if let Some(attempts) = error.attempts() {
            told = told.with_attempts(attempts);
        }
        match error.status() {
            Some(status) => told.with_status(status),
            None => told,
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.collection.url()).finish()
    }
}

/// `status.error` of a refusal, or all of it when it has none.
fn said(body: &str) -> String {
    let error = serde_json::from_str::<Value>(body).ok();
    let error = error.as_ref().and_then(|body| body.get("status")?.get("error")?.as_str());
    error.unwrap_or(body).to_owned()
}

/// Whether nobody can listen on the way.
fn is_private(url: &Url) -> bool {
    url.scheme() == "https"
        || match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        }
}

fn check_name(collection: &str) -> Result<()> {
    let odd = |sign: char| sign.is_control() || "<>:\"/\\|?*".contains(sign);
    let text = if collection.is_empty() || collection.len() > LONGEST_NAME {
        "must have 1 to 255 bytes"
    } else if matches!(collection, "." | "..") || collection.contains(odd) {
        "must have none of < > : \" / \\ | ? * and no control character, and be no place of a path"
    } else {
        return Ok(());
    };
    Err(Error::validation("collection", Some(collection), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str, collection: &str, key: Option<&str>, insecure: bool) -> Result<Server> {
        Server::new(url, collection, key.map(ApiKey::new), Duration::from_secs(1), insecure)
    }

    #[test]
    fn addresses_are_below_the_one_given_and_show_no_secret() {
        let server = server(
            "https://me:hunter-1@host:6333/cluster/",
            "my notes #1",
            Some("hunter-2"),
            false,
        )
        .unwrap();
        assert_eq!(server.url(), "https://host:6333/cluster");
        assert_eq!(
            server.query.url(),
            "https://host:6333/cluster/collections/my%20notes%20%231/points/query"
        );
        let refusal =
            Error::new(Kind::BadRequest, r#"{"status":{"error":"no hunter-2"},"time":0}"#)
                .with_status(400);
        let told = server.refused(&refusal);
        assert_eq!(told.kind(), Kind::Store);
        assert_eq!(told.message(), "Qdrant at https://host:6333/cluster: no ***");
        assert!(!format!("{server:?} {told:?}").contains("hunter"));
    }

    #[test]
    fn a_key_goes_to_another_machine_by_https_only() {
        for (private, url) in [
            (true, "https://qdrant.example"),
            (true, "http://localhost:6333"),
            (true, "http://[::1]:6333"),
            (true, "http://127.0.0.2:6333"),
            (false, "http://qdrant:6333"),
            (false, "http://10.0.0.7:6333"),
            (false, "http://localhost.example"),
        ] {
            assert_eq!(server(url, "x", Some("hunter-2"), false).is_ok(), private, "{url}");
            assert!(server(url, "x", Some("hunter-2"), true).is_ok());
            assert!(server(url, "x", None, false).is_ok());
        }
    }

    #[test]
    fn names_that_no_collection_has_are_refused() {
        for name in ["", ".", "..", "a/b", "a?b", "a\0b", &"x".repeat(256)] {
            assert_eq!(
                server("http://localhost", name, None, false).unwrap_err().kind(),
                Kind::Validation,
                "{name:?}"
            );
        }
    }
}
