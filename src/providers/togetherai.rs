//! Together: `POST https://api.together.ai/v1/chat/completions`.

use super::{Build, Provider};
use crate::dialect::openai_chat::Wire;

/// TogetherAI's constants.
pub const TOGETHERAI: Provider = Provider {
    name: "togetherai",
    label: "TogetherAI",
    shortest_key: 8,
    base_url: "https://api.together.ai/v1",
    default_model: "openai/gpt-oss-20b",
    key_variables: &["TOGETHER_API_KEY"],
    url_variable: Some("TOGETHER_BASE_URL"),
    options: &[],
    build: Build::Chat(Wire { stream_usage: true, ..Wire::COMMON }),
};
