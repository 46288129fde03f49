//! xAI: `POST https://api.x.ai/v1/chat/completions`.

use super::{Build, Provider};
use crate::dialect::openai_chat::Wire;

/// xAI's constants.
pub const XAI: Provider = Provider {
    name: "xai",
    label: "xAI",
    shortest_key: 8,
    base_url: "https://api.x.ai/v1",
    default_model: "grok-4",
    key_variables: &["XAI_API_KEY"],
    url_variable: Some("XAI_BASE_URL"),
    options: &[],
    build: Build::Chat(Wire { stream_usage: true, ..Wire::COMMON }),
};
