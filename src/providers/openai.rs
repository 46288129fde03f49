//! OpenAI: `POST https://api.openai.com/v1/chat/completions` for every model.

use super::{Build, Provider};
use crate::dialect::openai_chat::Wire;

/// OpenAI's constants.
pub const OPENAI: Provider = Provider {
    name: "openai",
    label: "OpenAI",
    shortest_key: 20,
    base_url: "https://api.openai.com/v1",
    default_model: "gpt-4o-mini",
    key_variables: &["OPENAI_API_KEY"],
    url_variable: Some("OPENAI_BASE_URL"),
    options: &[],
    build: Build::Chat(Wire::OPENAI),
};
