//! Mistral: `POST https://api.mistral.ai/v1/chat/completions`. It refuses fields it does not know.

use super::{Build, Provider};
use crate::dialect::openai_chat::Wire;

/// MistralAI's constants.
pub const MISTRALAI: Provider = Provider {
    name: "mistralai",
    label: "MistralAI",
    shortest_key: 8,
    base_url: "https://api.mistral.ai/v1",
    default_model: "mistral-large-latest",
    key_variables: &["MISTRAL_API_KEY"],
    url_variable: Some("MISTRAL_BASE_URL"),
    options: &[],
    build: Build::Chat(Wire {
        calls_without_content: true,
        random_seed_field: true,
        required_tool: "any",
        ..Wire::COMMON
    }),
};
