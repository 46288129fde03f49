//! DeepSeek: `POST https://api.deepseek.com/v1/chat/completions`. Its thoughts come as
//! `reasoning_content`, and those that led to a call of a tool have to come back with its result.

use super::{Build, Provider};
use crate::dialect::openai_chat::Wire;

/// DeepSeek's constants.
pub const DEEPSEEK: Provider = Provider {
    name: "deepseek",
    label: "DeepSeek",
    shortest_key: 8,
    base_url: "https://api.deepseek.com/v1",
    default_model: "deepseek-flash",
    key_variables: &["DEEPSEEK_API_KEY"],
    url_variable: Some("DEEPSEEK_BASE_URL"),
    options: &[],
    build: Build::Chat(Wire {
        stream_usage: true,
        json_schema: false,
        returns_reasoning: true,
        ..Wire::COMMON
    }),
};
