//! AI21: `POST https://api.ai21.com/studio/v1/chat/completions`; an organization travels in a header.

use super::{Build, Provider};
use crate::dialect::openai_chat::Wire;

/// AI21's constants.
pub const AI21: Provider = Provider {
    name: "ai21",
    label: "AI21",
    shortest_key: 8,
    base_url: "https://api.ai21.com/studio/v1",
    default_model: "jamba-mini",
    key_variables: &["AI21_API_KEY"],
    url_variable: Some("AI21_BASE_URL"),
    options: &[("organization", Some("Ai21-Organization"))],
    build: Build::Chat(Wire { json_schema: false, ..Wire::COMMON }),
};
