//! How fast a provider lets its caller go, as it says with an answer.

use std::time::Duration;

/// What an answer's headers said of the provider's rate limits. Each part may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Requests allowed a minute.
    pub limit_requests: Option<u64>,
    /// Requests left.
    pub remaining_requests: Option<u64>,
    /// Time until the requests are as in the beginning.
    pub reset_requests: Option<Duration>,
    /// Tokens allowed a minute, of requests and answers together.
    pub limit_tokens: Option<u64>,
    /// Tokens left.
    pub remaining_tokens: Option<u64>,
    /// Time until the tokens are as in the beginning.
    pub reset_tokens: Option<Duration>,
}
