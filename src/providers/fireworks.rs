//! Fireworks: `POST https://api.fireworks.ai/inference/v1/chat/completions`.

use super::{Build, Provider};
use crate::dialect::openai_chat::Wire;

/// Fireworks' constants.
pub const FIREWORKS: Provider = Provider {
    name: "fireworks",
    label: "Fireworks",
    shortest_key: 8,
    base_url: "https://api.fireworks.ai/inference/v1",
    default_model: "accounts/fireworks/models/llama-v3p1-8b-instruct",
    key_variables: &["FIREWORKS_API_KEY"],
    url_variable: Some("FIREWORKS_BASE_URL"),
    options: &[],
    build: Build::Chat(Wire { stream_usage: true, ..Wire::COMMON }),
};
