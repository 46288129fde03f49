//! OpenRouter: `POST https://openrouter.ai/api/v1/chat/completions`; the calling site may name itself
//! in headers.

use super::{Build, Provider};
use crate::dialect::openai_chat::Wire;

/// OpenRouter's constants.
pub const OPENROUTER: Provider = Provider {
    name: "openrouter",
    label: "OpenRouter",
    shortest_key: 8,
    base_url: "https://openrouter.ai/api/v1",
    default_model: "openai/gpt-4o-mini",
    key_variables: &["OPENROUTER_API_KEY"],
    url_variable: Some("OPENROUTER_BASE_URL"),
    options: &[("site_url", Some("HTTP-Referer")), ("site_name", Some("X-Title"))],
    build: Build::Chat(Wire { stream_usage: true, ..Wire::COMMON }),
};
